/* test_opt.c - option values, the command line, --help. */
#include "harness.h"

#include "base/opt.h"
#include "base/rng.h"
#include "base/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct values {
    asd_common common;
    int        exact, device, centre;
    int64_t    replicates;
    double     level;
    char      *output;
    asd_list   sets;
    int64_t    needed;
} values;

#define AT(field) offsetof(values, field)

static const asd_opt table[] = {
    ASD_COMMON_OPTS,
    ASD_JSON_OPT,
    {"bootstrap", 'b', ASD_OPT_INT, AT(replicates), "10000", 0, 1e6, NULL, "replicates",
     "resampled data sets for the intervals; 0 = none"},
    {"level", 0, ASD_OPT_REAL, AT(level), "0.95", 0.5, 0.9999, NULL, "", "level of the intervals"},
    {"exact", 0, ASD_OPT_BOOL, AT(exact), "true", 0, 1, NULL, "", "count all ties"},
    {"device", 0, ASD_OPT_CHOICE, AT(device), "auto", 0, 0, "cpu|cuda|auto", "",
     "where to compute; a longer sentence that must be broken into several lines because it does "
     "not fit beside its option"},
    {"centre", 0, ASD_OPT_CHOICE, AT(centre), "none", 0, 0, "none|domain|machine|attribute", "",
     "which mean is taken off"},
    {"official-csv-of-the-evaluator", 'o', ASD_OPT_TEXT, AT(output), NULL, 0, 0, NULL, "FILE",
     "write the official CSV"},
    {"set", 0, ASD_OPT_LIST, AT(sets), "[a=1, b=2]", 0, 3, NULL, "key=VALUE", "set a recipe key"},
    {0}};

static const asd_command command = {
    "asd-test run",
    "SCORES [MORE...]",
    "Does a thing.\nAnd another.",
    table,
    1,
    3,
    "asd-test run x.csv\nasd-test run -b 100 x.csv y.csv\n",
};

static const char help_golden[] =
    "Usage: asd-test run [OPTION...] SCORES [MORE...]\n"
    "\n"
    "Does a thing.\n"
    "And another.\n"
    "\n"
    "Options:\n"
    "  -q, --quiet                 say only what went wrong\n"
    "  -v, --verbose               say more\n"
    "  -j, --jobs N                threads; 0 = OMP_NUM_THREADS or all cores (0 to 1024; default "
    "0)\n"
    "      --json                  print the result as JSON\n"
    "  -b, --bootstrap REPLICATES  resampled data sets for the intervals; 0 = none (0 to 1000000; "
    "default\n"
    "                              10000)\n"
    "      --level X               level of the intervals (0.5 to 0.9999; default 0.95)\n"
    "      --exact true|false      count all ties (default true)\n"
    "      --device cpu|cuda|auto  where to compute; a longer sentence that must be broken into "
    "several\n"
    "                              lines because it does not fit beside its option (default auto)\n"
    "      --centre NAME           which mean is taken off (none|domain|machine|attribute; default "
    "none)\n"
    "  -o, --official-csv-of-the-evaluator FILE\n"
    "                              write the official CSV\n"
    "      --set key=VALUE         set a recipe key (may repeat; default [a=1, b=2])\n"
    "  -h, --help                  show this help\n"
    "  -V, --version               show the version\n"
    "\n"
    "Examples:\n"
    "  asd-test run x.csv\n"
    "  asd-test run -b 100 x.csv y.csv\n";

/* Splits a command line at blanks; what a shell would do without quotes. */
typedef struct line {
    char  text[512];
    char *argv[32];
    int   argc;
} line;

static void split(line *l, const char *text)
{
    snprintf(l->text, sizeof l->text, "prog %s", text);
    l->argc = 0;
    for (char *s = strtok(l->text, " "); s; s = strtok(NULL, " "))
        l->argv[l->argc++] = s;
    l->argv[l->argc] = NULL;
}

static asd_status parse(line *l, const char *text, values *v, asd_operands *operands)
{
    int exit_now;
    split(l, text);
    memset(v, 0x5a, sizeof *v); /* the parser may not trust what was there */
    asd_status st = asd_opts_parse(&command, l->argc, l->argv, v, operands, &exit_now);
    assert_false(exit_now);
    return st;
}

static void test_defaults(void **state)
{
    (void)state;
    line         l;
    values       v;
    asd_operands ops;
    assert_ok(parse(&l, "x", &v, &ops));
    assert_int_equal(v.common.quiet, 0);
    assert_int_equal(v.common.jobs, 0);
    assert_int_equal(v.replicates, 10000);
    assert_true(v.level == 0.95);
    assert_int_equal(v.exact, 1);
    assert_int_equal(v.device, 2);
    assert_null(v.output);
    assert_int_equal(v.sets.n, 2);
    assert_string_equal(v.sets.item[0], "a=1");
    assert_string_equal(v.sets.item[1], "b=2");
    asd_opts_clear(table, &v);
    asd_opts_clear(table, &v); /* twice is harmless */
}

static void test_types(void **state)
{
    (void)state;
    line         l;
    values       v;
    asd_operands ops;
    assert_ok(parse(&l,
                    "-qvj3 a --bootstrap=17 --level 0.5 --exact false b --device cpu -oout.csv "
                    "--set k=1 --json --set=l=x=2 -- --c",
                    &v, &ops));
    assert_true(v.common.quiet && v.common.verbose && v.common.json);
    assert_int_equal(v.common.jobs, 3);
    assert_int_equal(v.replicates, 17);
    assert_true(v.level == 0.5);
    assert_int_equal(v.exact, 0);
    assert_int_equal(v.device, 0);
    assert_string_equal(v.output, "out.csv");
    assert_int_equal(v.sets.n, 2);
    assert_string_equal(v.sets.item[0], "k=1");
    assert_string_equal(v.sets.item[1], "l=x=2");
    assert_int_equal(ops.n, 3);
    assert_string_equal(ops.v[0], "a");
    assert_string_equal(ops.v[1], "b");
    assert_string_equal(ops.v[2], "--c");
    asd_opts_clear(table, &v);
    /* -o VALUE and -j VALUE apart, last one wins, "-" and numbers with sign as values. */
    assert_ok(parse(&l, "-b +5 -o - -o one -j 7 -j 2 -", &v, &ops));
    assert_int_equal(v.replicates, 5);
    assert_string_equal(v.output, "one");
    assert_int_equal(v.common.jobs, 2);
    assert_int_equal(ops.n, 1);
    assert_string_equal(ops.v[0], "-");
    asd_opts_clear(table, &v);
    assert_ok(parse(&l, "x --official-csv-of-the-evaluator= --level=9.5e-1", &v, &ops));
    assert_string_equal(v.output, "");
    assert_true(v.level == 0.95);
    asd_opts_clear(table, &v);
}

static void test_errors(void **state)
{
    (void)state;
    static const struct {
        const char *line, *text;
    } bad[] = {
        {"x --bootsrap 3", "unknown option --bootsrap; did you mean --bootstrap?"},
        {"x --boot 3", "did you mean --bootstrap?"}, /* abbreviations are refused */
        {"x --quite", "did you mean --quiet?"},
        {"x --hlep", "did you mean --help?"},
        {"x --=3", "unknown option --"},
        {"x --zzzzzzzz", "`asd-test run --help` lists all"},
        {"x --help=1", "unknown option --help"},
        {"x -qz", "unknown option -z in \"-qz\""},
        {"x --quiet=1", "--quiet takes no value, found \"1\""},
        {"x --bootstrap", "--bootstrap: a value is missing (--bootstrap REPLICATES)"},
        {"x -b", "-b: a value is missing"},
        {"x -b 1x", "-b: \"1x\" is not a whole number"},
        {"x --bootstrap=", "\"\" is not a whole number"},
        {"x --bootstrap 1.0", "not a whole number"},
        {"x --bootstrap 0x10", "not a whole number"},
        {"x --bootstrap -1", "--bootstrap: -1 is out of range, want 0 to 1000000 replicates"},
        {"x --bootstrap 1000001", "out of range"},
        {"x --bootstrap 99999999999999999999", "out of range"},
        {"x --level abc", "\"abc\" is not a number"},
        {"x --level 0.9f", "not a number"},
        {"x --level nan", "not a number"},
        {"x --level inf", "not a number"},
        {"x --level 0x1p-1", "not a number"},
        {"x --level 1e999", "out of range, want 0.5 to 0.9999"},
        {"x --level 0.49", "out of range"},
        {"x --exact yes", "\"yes\" is neither true nor false"},
        {"x --device gpu", "\"gpu\" is none of cpu, cuda, auto; did you mean cpu?"},
        {"x --device", "(--device cpu|cuda|auto)"},
        {"x --set a --set b --set c --set d", "--set: more than 3 values"},
        {"-q", "too few operands: 0 given, want SCORES [MORE...]"},
        {"a b c d e", "unexpected operand \"d\"; `asd-test run` takes SCORES [MORE...]"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; ++i) {
        line         l;
        values       v;
        asd_operands ops;
        print_message("line: %s\n", bad[i].line);
        assert_fails(parse(&l, bad[i].line, &v, &ops), ASD_E_USAGE, bad[i].text);
        asd_opts_clear(table, &v);
    }
}

static void test_required(void **state)
{
    (void)state;
    static const asd_opt rows[] = {
        {"needed", 0, ASD_OPT_INT, AT(needed), NULL, 0, 9, NULL, "", "a number"},
        {"set", 0, ASD_OPT_LIST, AT(sets), NULL, 1, 0, NULL, "", "at least one, no upper limit"},
        {0}};
    static const asd_command c = {"asd-test", "", "About.", rows, 0, 0, NULL};
    values                   v;
    asd_operands             ops;
    int                      exit_now;
    char                    *none[]  = {"asd-test", NULL};
    char                    *one[]   = {"asd-test", "--needed=4", NULL};
    char                    *both[]  = {"asd-test", "--needed=4", "--set=a", "--set=b", NULL};
    char                    *extra[] = {"asd-test", "--needed=4", "--set=a", "b", NULL};
    assert_fails(asd_opts_parse(&c, 1, none, &v, &ops, &exit_now), ASD_E_USAGE,
                 "--needed is required");
    asd_opts_clear(rows, &v);
    assert_fails(asd_opts_parse(&c, 2, one, &v, &ops, &exit_now), ASD_E_USAGE,
                 "--set: 0 given, at least 1 wanted");
    asd_opts_clear(rows, &v);
    assert_fails(asd_opts_parse(&c, 4, extra, &v, &ops, &exit_now), ASD_E_USAGE,
                 "takes no operands");
    asd_opts_clear(rows, &v);
    assert_ok(asd_opts_parse(&c, 4, both, &v, &ops, &exit_now));
    assert_int_equal(v.sets.n, 2);
    assert_int_equal(v.needed, 4);
    asd_opts_clear(rows, &v);
    assert_fails(asd_opts_parse(&c, 0, none + 1, &v, &ops, &exit_now), ASD_E_USAGE, "required");
    asd_opts_clear(rows, &v);
}

static char *help_text(const asd_command *c)
{
    char  *text;
    size_t size;
    FILE  *f = open_memstream(&text, &size);
    asd_opts_help(c, f);
    fclose(f);
    return text;
}

static void test_help(void **state)
{
    (void)state;
    char *text = help_text(&command);
    assert_string_equal(text, help_golden);
    for (char *s = strtok(text, "\n"); s; s = strtok(NULL, "\n"))
        assert_true(asd_utf8_length(s) <= 100);
    free(text);
}

/* What a call prints to stdout goes through a file, as the parser prints by itself. */
static char *stdout_of(const char *arguments, int *exit_now)
{
    char         path[300];
    line         l;
    values       v;
    asd_operands ops;
    snprintf(path, sizeof path, "%s/out", asd_test_folder());
    split(&l, arguments);
    fflush(stdout);
    int saved = dup(STDOUT_FILENO);
    assert_non_null(freopen(path, "w", stdout));
    asd_status st = asd_opts_parse(&command, l.argc, l.argv, &v, &ops, exit_now);
    fflush(stdout);
    dup2(saved, STDOUT_FILENO);
    close(saved);
    asd_opts_clear(table, &v);
    assert_ok(st);
    char  *text = calloc(1, 8192);
    FILE  *f    = fopen(path, "r");
    size_t n    = fread(text, 1, 8191, f);
    text[n]     = 0;
    fclose(f);
    return text;
}

static void test_help_and_version_options(void **state)
{
    (void)state;
    static const char *const help[] = {"-h", "--help", "-qh", "x --level 0.9 --help --zzz"};
    int                      exit_now;
    for (size_t i = 0; i < 4; ++i) {
        char *text = stdout_of(help[i], &exit_now);
        assert_true(exit_now);
        assert_string_equal(text, help_golden);
        free(text);
    }
    char *text = stdout_of("--version", &exit_now);
    assert_true(exit_now);
    assert_string_equal(text, "asd " ASD_VERSION "\n");
    free(text);
    text = stdout_of("-V", &exit_now);
    assert_string_equal(text, "asd " ASD_VERSION "\n");
    free(text);
}

static char *print(const char *key, const values *v)
{
    char  *text;
    size_t size;
    FILE  *f = open_memstream(&text, &size);
    for (const asd_opt *o = table; o->key; ++o)
        if (!strcmp(o->key, key))
            asd_opt_print(o, v, f);
    fclose(f);
    return text;
}

static void assert_prints(const char *key, const values *v, const char *want)
{
    char *text = print(key, v);
    assert_string_equal(text, want);
    free(text);
}

static void test_print(void **state)
{
    (void)state;
    char   plain[] = "a=b(c)", colon[] = "a: b", number[] = "12", word[] = "Null", odd[] = "a,b";
    char   escapes[] = "\"\\\n\t\x01\u00e9\u2028\xff\xc2\x85 ", empty[] = "";
    char  *items[] = {plain, odd, number};
    values v       = {.level = 0.1, .replicates = -3, .exact = 1, .device = 1};
    v.sets         = (asd_list){items, 3};
    assert_prints("bootstrap", &v, "-3");
    assert_prints("level", &v, "0.1");
    v.level = 1.0 / 3;
    assert_prints("level", &v, "0.3333333333333333");
    v.level = 1e-8;
    assert_prints("level", &v, "1e-8");
    v.level = 1e300;
    assert_prints("level", &v, "1e300");
    assert_prints("exact", &v, "true");
    assert_prints("device", &v, "cuda");
    assert_prints("quiet", &v, "0");
    assert_prints("set", &v, "[a=b(c), \"a,b\", \"12\"]");
    const char *key = "official-csv-of-the-evaluator";
    assert_prints(key, &v, "null");
    v.output = colon;
    assert_prints(key, &v, "\"a: b\"");
    v.output = word;
    assert_prints(key, &v, "\"Null\"");
    v.output = empty;
    assert_prints(key, &v, "\"\"");
    v.output = escapes;
    assert_prints(key, &v, "\"\\\"\\\\\\n\\t\\x01\u00e9\\u2028\\xff\\x85 \"");
}

static void test_nearest(void **state)
{
    (void)state;
    static const char *const names[] = {"train.lr", "train.epochs", "train.eps", "model.hidden",
                                        "seed"};
    assert_string_equal(asd_nearest("train.lt", names, 5), "train.lr");
    assert_string_equal(asd_nearest("sede", names, 5), "seed"); /* a swap is one edit */
    assert_string_equal(asd_nearest("train.epoch", names, 5), "train.epochs");
    assert_string_equal(asd_nearest("mod", names, 5), "model.hidden");
    assert_null(asd_nearest("xyzzy", names, 5));
    assert_null(asd_nearest("", names, 5));
    char longer[200];
    memset(longer, 'a', sizeof longer);
    longer[199] = 0;
    assert_null(asd_nearest(longer, names, 5));
}

/* Any argument vector gives OK or a usage error with a text, and never loses an operand. */
static void test_mutations(void **state)
{
    (void)state;
    static const char *const parts[] = {"-q",
                                        "-v",
                                        "-qvb3",
                                        "--bootstrap",
                                        "--bootstrap=5",
                                        "--level",
                                        "0.9",
                                        "1",
                                        "--",
                                        "-",
                                        "",
                                        "--set",
                                        "--set=k=v",
                                        "--device=cuda",
                                        "--exact",
                                        "true",
                                        "-o",
                                        "-ofile",
                                        "--jobs=0",
                                        "operand",
                                        "---x",
                                        "--=",
                                        "-j",
                                        "99",
                                        "\xff\xfe",
                                        "--json",
                                        "--centre=domain"};
    int                      n_ok = 0, n_bad = 0;
    for (uint64_t round = 0; round < 20000; ++round) {
        asd_rng r;
        char    text[8][32], *argv[10];
        int     argc = 1;
        asd_rng_init(&r, 1, ASD_RNG_TEST, round, 0);
        argv[0] = "prog";
        for (uint32_t n = asd_rng_below(&r, 9); n > 0; --n) {
            char *t = text[argc - 1];
            snprintf(t, sizeof text[0], "%s",
                     parts[asd_rng_below(&r, sizeof parts / sizeof *parts)]);
            if (asd_rng_below(&r, 4) == 0 && *t) { /* change one byte, never to NUL */
                char to = (char)(1 + asd_rng_below(&r, 255));
                if (to != 'h' && to != 'V')
                    t[asd_rng_below(&r, (uint32_t)strlen(t))] = to;
            }
            argv[argc++] = t;
        }
        argv[argc] = NULL;
        values       v;
        asd_operands ops;
        int          exit_now;
        asd_error_clear();
        asd_status st = asd_opts_parse(&command, argc, argv, &v, &ops, &exit_now);
        if (st) {
            assert_int_equal(st, ASD_E_USAGE);
            assert_true(*asd_error_text());
            ++n_bad;
        } else {
            assert_true(exit_now || (ops.n >= 1 && ops.n <= 3));
            assert_true(v.level >= 0.5 && v.level <= 0.9999 && v.device >= 0 && v.device < 3);
            ++n_ok;
        }
        for (int i = 1; i < argc; ++i) { /* reordered, not lost */
            int found = 0;
            for (int k = 1; k < argc; ++k)
                found += argv[k] == text[i - 1];
            assert_int_equal(found, 1);
        }
        asd_opts_clear(table, &v);
    }
    assert_true(n_ok > 500 && n_bad > 500);
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("base/opt/defaults", test_defaults),
    ASD_CASE("base/opt/parse/types", test_types),
    ASD_CASE("base/opt/parse/errors", test_errors),
    ASD_CASE("base/opt/parse/required", test_required),
    ASD_CASE("base/opt/help/golden", test_help),
    ASD_CASE("base/opt/help/options", test_help_and_version_options),
    ASD_CASE("base/opt/print/reads-back", test_print),
    ASD_CASE("base/opt/nearest", test_nearest),
    ASD_CASE("base/opt/parse/mutations", test_mutations),
};

ASD_TEST_MAIN(cases)
