/* opt_parse.c - the command line.
 *
 * A parser of our own over the table, not argp: argp and getopt_long accept abbreviated long
 * options and cannot be told not to, and their messages know neither the nearest name nor our exit
 * code.
 */
#include "base/log.h"
#include "base/opt.h"
#include "base/par.h"

#include <stdlib.h>
#include <string.h>

typedef struct parser {
    const asd_command *command;
    void              *values;
    char             **argv;
    int                argc, at; /* argv[at] is looked at */
    unsigned char     *given;    /* per row of the table */
} parser;

static int64_t count_rows(const asd_opt *opts)
{
    int64_t n = 0;
    while (opts[n].key)
        ++n;
    return n;
}

static const asd_opt *find_letter(const asd_opt *opts, char letter)
{
    for (; opts->key; ++opts)
        if (opts->letter == letter)
            return opts;
    return NULL;
}

static const asd_opt *find_long(const asd_opt *opts, const char *name, size_t length)
{
    for (; opts->key; ++opts)
        if (strlen(opts->key) == length && !memcmp(opts->key, name, length))
            return opts;
    return NULL;
}

static asd_status unknown_long(const parser *p, const char *name, size_t length)
{
    const asd_opt *opts   = p->command->opts;
    int64_t        n      = count_rows(opts);
    char          *wanted = strndup(name, length);
    const char   **names  = calloc((size_t)n + 2, sizeof *names);
    asd_status     st;
    if (!wanted || !names) {
        st = ASD_FAIL(ASD_E_OOM, "no memory for the option names");
        goto done;
    }
    for (int64_t i = 0; i < n; ++i)
        names[i] = opts[i].key;
    names[n]         = "help";
    names[n + 1]     = "version";
    const char *near = asd_nearest(wanted, names, n + 2);
    if (near)
        st = ASD_FAIL(ASD_E_USAGE, "unknown option --%.60s; did you mean --%s?", wanted, near);
    else
        st = ASD_FAIL(ASD_E_USAGE, "unknown option --%.60s; `%s --help` lists all", wanted,
                      p->command->name);
done:
    free(wanted);
    free(names);
    return st;
}

/* The first use of a list option replaces its default, later ones append. */
static asd_status take(parser *p, const asd_opt *opt, const char *text, const char *where)
{
    int64_t row = opt - p->command->opts;
    if (opt->type == ASD_OPT_LIST && !p->given[row])
        asd_opt_reset(opt, p->values);
    p->given[row] = 1;
    return asd_opt_set(opt, p->values, text, where, ASD_E_USAGE);
}

static asd_status needs_value(const asd_opt *opt, const char *where)
{
    char meta[64];
    return ASD_FAIL(ASD_E_USAGE, "%s: a value is missing (%s %s)", where, where,
                    asd_opt_metavariable(opt, meta, sizeof meta));
}

static void help_or_version(const parser *p, int help)
{
    if (help)
        asd_opts_help(p->command, stdout);
    else
        puts("asd " ASD_VERSION);
}

/* --key, --key=value, --key value */
static asd_status parse_long(parser *p, int *exit_now)
{
    const char *name   = p->argv[p->at] + 2;
    size_t      length = strcspn(name, "=");
    const char *value  = name[length] ? name + length + 1 : NULL;
    char        where[80];
    snprintf(where, sizeof where, "--%.*s", (int)(length < 70 ? length : 70), name);
    if (!strcmp(name, "help") || !strcmp(name, "version")) {
        help_or_version(p, *name == 'h');
        *exit_now = 1;
        return ASD_OK;
    }
    const asd_opt *opt = find_long(p->command->opts, name, length);
    if (!opt)
        return unknown_long(p, name, length);
    if (opt->type == ASD_OPT_FLAG) {
        if (value)
            return ASD_FAIL(ASD_E_USAGE, "%s takes no value, found \"%.60s\"", where, value);
        return take(p, opt, "1", where);
    }
    if (!value) {
        if (p->at + 1 >= p->argc)
            return needs_value(opt, where);
        value = p->argv[++p->at];
    }
    return take(p, opt, value, where);
}

/* -a, -abc, -oVALUE, -o VALUE */
static asd_status parse_letters(parser *p, int *exit_now)
{
    for (const char *c = p->argv[p->at] + 1; *c; ++c) {
        const char     where[3] = {'-', *c, 0};
        const asd_opt *opt      = find_letter(p->command->opts, *c);
        if (!opt && (*c == 'h' || *c == 'V')) {
            help_or_version(p, *c == 'h');
            *exit_now = 1;
            return ASD_OK;
        }
        if (!opt)
            return ASD_FAIL(ASD_E_USAGE, "unknown option -%c in \"%.60s\"; `%s --help` lists all",
                            *c, p->argv[p->at], p->command->name);
        if (opt->type == ASD_OPT_FLAG) {
            ASD_TRY(take(p, opt, "1", where));
            continue;
        }
        if (c[1])
            return take(p, opt, c + 1, where);
        if (p->at + 1 >= p->argc)
            return needs_value(opt, where);
        return take(p, opt, p->argv[++p->at], where);
    }
    return ASD_OK;
}

/* Moves argv[at] in front of the options that stand before it, so that operands end up together. */
static void move_operand(parser *p, asd_operands *operands)
{
    char *operand = p->argv[p->at];
    memmove(operands->v + operands->n + 1, operands->v + operands->n,
            (size_t)(p->argv + p->at - (operands->v + operands->n)) * sizeof *p->argv);
    operands->v[operands->n++] = operand;
}

static asd_status check_complete(const parser *p, const asd_operands *operands)
{
    const asd_command *c = p->command;
    for (const asd_opt *o = c->opts; o->key; ++o) {
        int may_be_absent =
            o->def || o->type == ASD_OPT_FLAG || o->type == ASD_OPT_TEXT || o->type == ASD_OPT_LIST;
        if (!may_be_absent && !p->given[o - c->opts])
            return ASD_FAIL(ASD_E_USAGE, "--%s is required; see `%s --help`", o->key, c->name);
        if (o->type == ASD_OPT_LIST) {
            const asd_list *list = (const void *)((const char *)p->values + o->offset);
            if ((double)list->n < o->min)
                return ASD_FAIL(ASD_E_USAGE, "--%s: %ld given, at least %.0f wanted", o->key,
                                (long)list->n, o->min);
        }
    }
    if (operands->n < c->min_operands)
        return ASD_FAIL(ASD_E_USAGE, "too few operands: %d given, want %s; see `%s --help`",
                        operands->n, c->operands, c->name);
    if (c->max_operands >= 0 && operands->n > c->max_operands)
        return ASD_FAIL(ASD_E_USAGE, "unexpected operand \"%.60s\"; `%s` takes %s",
                        operands->v[c->max_operands], c->name,
                        *c->operands ? c->operands : "no operands");
    return ASD_OK;
}

asd_status asd_opts_parse(const asd_command *command, int argc, char **argv, void *values,
                          asd_operands *operands, int *exit_now)
{
    asd_status st = ASD_OK;
    parser     p  = {command, values, argv, argc, 1, NULL};
    operands->n   = 0;
    operands->v   = argc > 0 ? argv + 1 : argv;
    *exit_now     = 0;
    ASD_TRY(asd_opts_defaults(command->opts, values));
    if (!(p.given = calloc((size_t)count_rows(command->opts) + 1, 1)))
        return ASD_FAIL(ASD_E_OOM, "no memory for the options");
    int options_ended = 0;
    for (; p.at < argc; ++p.at) {
        const char *arg = argv[p.at];
        if (options_ended || arg[0] != '-' || !arg[1]) /* "-" alone is an operand */
            move_operand(&p, operands);
        else if (!strcmp(arg, "--"))
            options_ended = 1;
        else
            ASD_GO(done, st,
                   arg[1] == '-' ? parse_long(&p, exit_now) : parse_letters(&p, exit_now));
        if (*exit_now)
            goto done;
    }
    st = check_complete(&p, operands);
done:
    free(p.given);
    return st;
}

void asd_common_apply(const asd_common *c, const char *program)
{
    asd_log_setup(program, c->quiet ? ASD_LOG_WARN : c->verbose ? ASD_LOG_DETAIL : ASD_LOG_NOTE, 0);
    asd_par_set_threads((int)c->jobs);
}
