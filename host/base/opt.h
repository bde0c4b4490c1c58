/* opt.h - one table of options makes the parser, --help, the recipe schema, the docs and the dump.
 *
 * A row names a value's key, type, default, range, unit and sentence, and where in the caller's
 * struct it lives. The same row type serves command lines (`--bootstrap 2000`) and recipes
 * (`train.lr: 0.001`); cfg.h builds the recipe reader on it.
 *
 * On the command line a key is a long option in kebab-case ("official-csv"); abbreviations are
 * refused, numbers must parse to the last character and lie in the range, unknown options name the
 * nearest valid one.
 */
#ifndef ASD_BASE_OPT_H
#define ASD_BASE_OPT_H

#include "base/status.h"

#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum asd_opt_type {
    ASD_OPT_FLAG,   /* int        0, or 1 when given; takes no argument                        */
    ASD_OPT_BOOL,   /* int        true | false                                                 */
    ASD_OPT_INT,    /* int64_t                                                                 */
    ASD_OPT_REAL,   /* double                                                                  */
    ASD_OPT_TEXT,   /* char *     owned by the struct; NULL when absent                        */
    ASD_OPT_CHOICE, /* int        index into `choices`                                         */
    ASD_OPT_LIST,   /* asd_list   of texts, owned; on the command line the option repeats      */
} asd_opt_type;

typedef struct asd_list {
    char  **item;
    int64_t n;
} asd_list;

typedef struct asd_opt {
    const char  *key;    /* "train.lr" in recipes, "bootstrap" on command lines             */
    char         letter; /* one-letter option, 0 for none                                   */
    asd_opt_type type;
    size_t       offset;   /* of the value in the struct                                      */
    const char  *def;      /* default as a user would write it; NULL = required or absent     */
    double       min, max; /* inclusive range of INT and REAL; count of LIST (max 0: any)     */
    const char  *choices;  /* "cpu|cuda|auto" for CHOICE, else NULL                           */
    const char  *unit;     /* "Hz", "clips", or "": also the metavariable in --help           */
    const char  *text;     /* one sentence without full stop                                  */
} asd_opt;

/* A program or sub-command: what --help shows and what the parser checks. */
typedef struct asd_command {
    const char    *name;     /* "asd-eval omega"                                             */
    const char    *operands; /* "SCORES", "[INPUT...]"                                       */
    const char    *about;    /* one paragraph; lines separated by \n                         */
    const asd_opt *opts;     /* ends with a row {0}                                          */
    int            min_operands, max_operands; /* max < 0: any number                        */
    const char    *examples; /* shown last; NULL for none                                    */
} asd_command;

typedef struct asd_operands {
    int    n;
    char **v; /* point into argv */
} asd_operands;

/* Fills *values (defaults first, then argv[1..]) and *operands. -h/--help prints help to stdout and
 * -V/--version the version; both then set *exit_now = 1 and return ASD_OK. `--` ends options; a
 * lone "-" is an operand; options and operands may mix: argv is reordered so that operands stand
 * together. Given twice, the last value counts; a LIST collects all, and the first one given
 * replaces its default. An INT, REAL, BOOL or CHOICE without default must be given. Errors are
 * ASD_E_USAGE. On any return asd_opts_clear may be called on values. */
asd_status asd_opts_parse(const asd_command *command, int argc, char **argv, void *values,
                          asd_operands *operands, int *exit_now);
void       asd_opts_clear(const asd_opt *opts, void *values);
void       asd_opts_help(const asd_command *command, FILE *out);

/* The most choices one CHOICE may have, plus one. */
#define ASD_OPT_MAX_CHOICES 32

/* Sets one value from text, with full-parse and range checks; a LIST appends the text. `where`
 * begins the error ("recipe.yaml:3:5: train.lr" or "--bootstrap"). */
asd_status asd_opt_set(const asd_opt *opt, void *values, const char *text, const char *where,
                       asd_status code);
/* Whatever values held before is overwritten, not freed. */
asd_status asd_opts_defaults(const asd_opt *opts, void *values);
/* Frees and zeroes one value: 0, NULL, the empty list, the first choice. */
void asd_opt_reset(const asd_opt *opt, void *values);
/* Writes the value as a user would write it in YAML flow style. An absent TEXT is `null`. */
void asd_opt_print(const asd_opt *opt, const void *values, FILE *out);
/* "1024", "9e15": a bound of the table. Returns buf. */
const char *asd_opt_number(double x, char *buf, size_t size);
/* What stands for the value in --help: "N", "FILE", "cpu|cuda"; "" for a FLAG. Returns buf. */
const char *asd_opt_metavariable(const asd_opt *opt, char *buf, size_t size);

/* The candidate with the least edit distance (distance <= 1 + length / 3), else the only one that
 * begins with name, else NULL. */
const char *asd_nearest(const char *name, const char *const *candidates, int64_t n);

/* Options of all programs. ASD_COMMON_OPTS are the rows that every program has; --json,
 * -n/--dry-run and -f/--force are added by those that have them. Place the rows in a program's
 * table with asd_common as the first member of its struct. */
typedef struct asd_common {
    int     quiet, verbose, json, dry_run, force;
    int64_t jobs;
} asd_common;
#define ASD_COMMON_FLAG(key, letter, field, text)                                                  \
    {                                                                                              \
        key, letter, ASD_OPT_FLAG, offsetof(asd_common, field), "0", 0, 1, NULL, "", text          \
    }
#define ASD_COMMON_OPTS                                                                            \
    ASD_COMMON_FLAG("quiet", 'q', quiet, "say only what went wrong"),                              \
        ASD_COMMON_FLAG("verbose", 'v', verbose, "say more"),                                      \
    {                                                                                              \
        "jobs", 'j', ASD_OPT_INT, offsetof(asd_common, jobs), "0", 0, 1024, NULL, "N",             \
            "threads; 0 = OMP_NUM_THREADS or all cores"                                            \
    }
#define ASD_JSON_OPT ASD_COMMON_FLAG("json", 0, json, "print the result as JSON")
#define ASD_DRY_RUN_OPT                                                                            \
    ASD_COMMON_FLAG("dry-run", 'n', dry_run, "say what would be done, do nothing")
#define ASD_FORCE_OPT ASD_COMMON_FLAG("force", 'f', force, "overwrite what is there")

/* Sets log level and threads from the common options; --quiet wins over --verbose. */
void asd_common_apply(const asd_common *c, const char *program);

#ifdef __cplusplus
}
#endif
#endif
