/* cfg.h - recipes: YAML in, one struct out, with the origin of every value.
 *
 * A recipe is pure data. `base:` names one or more parent recipes (relative to the file that names
 * them, or standard ones by name; merged left to right, then the file's own keys; a list replaces a
 * list, and `key+: [x]` adds to the one that came before). Then come the smoke: keys of parents and
 * file, if a smoke run is asked for, and --set key=value last. `train: {lr: 1}` and `train.lr: 1`
 * are the same. Unknown keys, wrong types and values out of range are ASD_E_CONFIG with
 * file:line:column and the nearest valid name.
 */
#ifndef ASD_BASE_CFG_H
#define ASD_BASE_CFG_H

#include "base/device.h"
#include "base/opt.h"

#include <limits.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct asd_cfg {
#define CFG(field, key, type, ctype, def, min, max, choices, unit, text) ctype field;
#include "base/cfg.def"
#undef CFG
} asd_cfg;

/* Choices by name: ASD_CFG_INDEX values follow the order in cfg.def. */
enum { ASD_CHANNEL_NEAR, ASD_CHANNEL_FAR, ASD_CHANNEL_MEAN };
enum { ASD_OPTIMISER_ADAM, ASD_OPTIMISER_ADAMW };
enum {
    ASD_THRESHOLD_GAMMA,
    ASD_THRESHOLD_GAMMA_LOC0,
    ASD_THRESHOLD_QUANTILE,
    ASD_THRESHOLD_OFFICIAL_BATCHES
};

enum {
    ASD_NORMALISE_NONE,
    ASD_NORMALISE_Z_TRAIN,
    ASD_NORMALISE_MIN_Z_TRAIN,
    ASD_NORMALISE_Z_TEST,
    ASD_NORMALISE_RANK_TEST
};

extern const asd_opt asd_cfg_opts[]; /* ends with key NULL */

/* A recipe that was read: the values, and for each row of asd_cfg_opts where its value came from.
 */
typedef struct asd_recipe {
    asd_cfg cfg;
    char  **origin;   /* (rows) "default", "recipes/x.yaml:12:5", "--set"; owned */
    char   *path;     /* as given */
    char    hash[33]; /* of the resolved values alone: equal configurations have equal hashes */
} asd_recipe;

/* path may be the file, or the name of a recipe as asd_recipe_find takes it ("dcase-baseline").
 * sets: n texts "key.path=value", the value in YAML, so lists are [a, b]. `smoke` overlays the
 * recipe's `smoke:` section, whose keys are ordinary recipe keys, so that a run takes seconds; a
 * recipe without one is then an error. Call asd_recipe_clear on any return. */
asd_status asd_recipe_load(const char *path, char *const *sets, int64_t n, int smoke,
                           asd_recipe *out);
void       asd_recipe_clear(asd_recipe *r);
/* Sets one key of a loaded recipe from plain text, as an option of a program does that stands for a
 * key; a list becomes this one text. origin ("--seed") also begins the error, whose status is
 * `code`. Checks and hash are redone.
 */
asd_status asd_recipe_set(asd_recipe *r, const char *key, const char *text, const char *origin,
                          asd_status code);
/* Finds a recipe's file: `name` itself (beside the file `from`, if that is not NULL); a bare name
 * also as NAME.yaml beside `from`, in ./recipes, in $ASD_RECIPES, and in ../share/asd/recipes and
 * ../recipes of the program's folder. `where` begins the error, NULL for none. ASD_E_CONFIG if
 * there is none. */
asd_status asd_recipe_find(const char *name, const char *from, const char *where,
                           char found[PATH_MAX]);
/* Checks that need more than one value (fmin < fmax) and texts with a form; asd_recipe_load calls
 * it. ASD_E_CONFIG names the value's origin. */
asd_status asd_cfg_check(const asd_recipe *r);
/* The resolved configuration as YAML that loads to the same values and hash; with_origin adds
 * "# origin" to every line. */
asd_status asd_recipe_print(const asd_recipe *r, int with_origin, FILE *out);
/* Markdown table of all keys (docs/recipes.md is made by it and a test keeps it fresh). */
void asd_cfg_docs(FILE *out);

/* Options of all programs that take a recipe. Place ASD_COMMON_OPTS and ASD_RECIPE_OPTS in the
 * program's table, with asd_recipe_args as the first member of its struct. */
enum { ASD_PRECISION_FP32, ASD_PRECISION_BF16 };
typedef struct asd_recipe_args {
    asd_common common;
    char      *data;   /* NULL when not given */
    char      *run;    /* NULL when not given */
    char      *device; /* as given; asd_recipe_from_args chooses */
    char      *seed;   /* NULL: the recipe's */
    asd_list   sets;
    int        precision, smoke, print_config;
} asd_recipe_args;
#define ASD_RECIPE_OPT(key, type, field, def, choices, unit, text)                                 \
    {                                                                                              \
        key, 0, type, offsetof(asd_recipe_args, field), def, 0, 0, choices, unit, text             \
    }
#define ASD_RECIPE_OPTS                                                                            \
    ASD_RECIPE_OPT("data", ASD_OPT_TEXT, data, NULL, NULL, "DIR",                                  \
                   "the folder of dev_data/raw, or of machine folders"),                           \
        ASD_RECIPE_OPT("run", ASD_OPT_TEXT, run, NULL, NULL, "DIR",                                \
                       "run folder instead of one named after recipe and configuration"),          \
        ASD_RECIPE_OPT("device", ASD_OPT_TEXT, device, "auto", NULL, "cpu|cuda[:N]|auto",          \
                       "where to compute; auto = CUDA if there is a device"),                      \
        ASD_RECIPE_OPT("precision", ASD_OPT_CHOICE, precision, "fp32", "fp32|bf16", "",            \
                       "of stored activations and weights; sums are fp32"),                        \
        ASD_RECIPE_OPT("seed", ASD_OPT_TEXT, seed, NULL, NULL, "N",                                \
                       "seed instead of the recipe's"),                                            \
        ASD_RECIPE_OPT("set", ASD_OPT_LIST, sets, NULL, NULL, "key=VALUE",                         \
                       "set a key of the recipe (docs/recipes.md), e.g. train.lr=0.01"),           \
        ASD_RECIPE_OPT("smoke", ASD_OPT_FLAG, smoke, "0", NULL, "",                                \
                       "a run of seconds: the recipe's smoke: keys"),                              \
        ASD_RECIPE_OPT("print-config", ASD_OPT_FLAG, print_config, "0", NULL, "",                  \
                       "show every value of the recipe with its origin, and end")

/* Loads the recipe that `path` names with --smoke, --set, --seed, and chooses the device. With
 * --print-config it prints the configuration to stdout and sets *exit_now = 1. Call
 * asd_recipe_clear on any return. */
asd_status asd_recipe_from_args(const asd_recipe_args *args, const char *path, asd_recipe *out,
                                asd_device *device, int *exit_now);

#ifdef __cplusplus
}
#endif
#endif
