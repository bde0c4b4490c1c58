/* test_args.c - the options of programs with a recipe, and the choice of device. */
#include "harness.h"

#include "base/cfg.h"
#include "base/file.h"
#include "base/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct program_args {
    asd_recipe_args recipe;
    int64_t         extra;
} program_args;

static const asd_opt     table[] = {ASD_COMMON_OPTS,
                                    ASD_RECIPE_OPTS,
                                    {"extra", 0, ASD_OPT_INT, offsetof(program_args, extra), "4", 0, 9,
                                     NULL, "", "an option of the program's own"},
                                    {0}};
static const asd_command command = {"asd-test", "RECIPE", "Tests.", table, 1, 1, NULL};

/* Parses and loads as a program does. The caller clears args and recipe. */
static asd_status run(char *const *words, program_args *args, asd_recipe *r, asd_device *device,
                      int *exit_now)
{
    char        *argv[16] = {(char *)"asd-test"};
    int          argc     = 1;
    asd_operands ops;
    for (; words[argc - 1]; ++argc)
        argv[argc] = words[argc - 1];
    *r = (asd_recipe){0};
    ASD_TRY(asd_opts_parse(&command, argc, argv, args, &ops, exit_now));
    return asd_recipe_from_args(&args->recipe, ops.v[0], r, device, exit_now);
}

#define RUN(...) run((char *const[]){__VA_ARGS__, NULL}, &args, &r, &device, &exit_now)

static char *write_recipe(void)
{
    static char path[PATH_MAX];
    const char *text = "name: x\nseed: 3\ntrain.epochs: 50\nsmoke: {train.epochs: 1}\n";
    assert_ok(asd_path(path, "%s/x.yaml", asd_test_folder()));
    assert_ok(asd_write_file(path, text, strlen(text)));
    return path;
}

static void test_values(void **state)
{
    (void)state;
    program_args args;
    asd_recipe   r;
    asd_device   device;
    int          exit_now;
    char         hash[33];
    char        *path = write_recipe();
    assert_ok(RUN(path));
    assert_int_equal(r.cfg.seed, 3);
    assert_int_equal(r.cfg.train_epochs, 50);
    assert_int_equal(args.extra, 4);
    assert_null(args.recipe.data);
    assert_int_equal(args.recipe.precision, ASD_PRECISION_FP32);
    assert_false(device.cuda || exit_now);
    snprintf(hash, sizeof hash, "%s", r.hash);
    asd_opts_clear(table, &args);
    asd_recipe_clear(&r);
    assert_ok(RUN(path, "--smoke", "--seed", "7", "--set", "train.lr=1", "--set=seed=5", "--data",
                  "d", "--run=e", "--device=cpu", "--precision=bf16", "-q", "--extra=5"));
    assert_int_equal(r.cfg.seed, 7); /* --seed is later than --set */
    assert_string_equal(r.origin[2], "--seed");
    assert_string_equal(asd_cfg_opts[2].key, "seed");
    assert_int_equal(r.cfg.train_epochs, 1);
    assert_true(r.cfg.train_lr == 1);
    assert_string_equal(args.recipe.data, "d");
    assert_string_equal(args.recipe.run, "e");
    assert_int_equal(args.recipe.precision, ASD_PRECISION_BF16);
    assert_true(args.recipe.common.quiet);
    assert_string_not_equal(r.hash, hash);
    asd_opts_clear(table, &args);
    asd_recipe_clear(&r);
    /* The hash sees the value, not the way it came. */
    assert_ok(RUN(path, "--seed=3"));
    assert_string_equal(r.hash, hash);
    asd_opts_clear(table, &args);
    asd_recipe_clear(&r);
}

static void test_errors(void **state)
{
    (void)state;
    program_args args;
    asd_recipe   r;
    asd_device   device;
    int          exit_now;
    char        *path = write_recipe();
    assert_fails(RUN(path, "--seed=x"), ASD_E_USAGE, "--seed: \"x\" is not a whole number");
    asd_opts_clear(table, &args);
    asd_recipe_clear(&r);
    assert_fails(RUN(path, "--seed=-1"), ASD_E_USAGE, "--seed: -1 is out of range, want 0 to 9e15");
    asd_opts_clear(table, &args);
    asd_recipe_clear(&r);
    assert_fails(RUN(path, "--set=train.lt=1"), ASD_E_CONFIG, "did you mean train.lr?");
    asd_opts_clear(table, &args);
    asd_recipe_clear(&r);
    assert_fails(RUN("no-such-recipe"), ASD_E_CONFIG, "recipe no-such-recipe: neither a file nor");
    asd_opts_clear(table, &args);
    asd_recipe_clear(&r);
    assert_fails(RUN(path, "--device=gpu"), ASD_E_USAGE, "\"gpu\" is none of cpu, cuda, cuda:N");
    asd_opts_clear(table, &args);
    asd_recipe_clear(&r);
}

static void test_recipe_set(void **state)
{
    (void)state;
    asd_recipe r;
    assert_ok(asd_recipe_load(write_recipe(), NULL, 0, 0, &r));
    assert_ok(asd_recipe_set(&r, "data.channel", "far", "--channel", ASD_E_USAGE));
    assert_int_equal(r.cfg.data_channel, ASD_CHANNEL_FAR);
    assert_ok(asd_recipe_set(&r, "data.machines", "fan", "--machine", ASD_E_USAGE));
    assert_ok(asd_recipe_set(&r, "data.machines", "valve", "--machine", ASD_E_USAGE));
    assert_int_equal(r.cfg.data_machines.n, 1);
    assert_string_equal(r.cfg.data_machines.item[0], "valve");
    assert_fails(asd_recipe_set(&r, "data.channel", "fat", "--channel", ASD_E_USAGE), ASD_E_USAGE,
                 "--channel: \"fat\" is none of near, far, mean; did you mean far?");
    assert_fails(asd_recipe_set(&r, "front_end.fmax_hz", "9000", "--fmax", ASD_E_USAGE),
                 ASD_E_CONFIG, "--fmax: front_end.fmax_hz: 9000 Hz is above half");
    assert_fails(asd_recipe_set(&r, "report", "\xff", "--report", ASD_E_USAGE), ASD_E_USAGE,
                 "--report: not UTF-8");
    asd_recipe_clear(&r);
}

/* --print-config goes to stdout, loads again, and names the origins. */
static void test_print_config(void **state)
{
    (void)state;
    program_args args;
    asd_recipe   r, back;
    asd_device   device;
    int          exit_now;
    char         out[PATH_MAX], *text;
    size_t       size;
    char        *path = write_recipe();
    assert_ok(asd_path(out, "%s/out.yaml", asd_test_folder()));
    fflush(stdout);
    int saved = dup(STDOUT_FILENO);
    assert_non_null(freopen(out, "w", stdout));
    /* The device is not needed to look at the configuration. */
    asd_status st = RUN(path, "--print-config", "--device=cuda:9", "--seed=8");
    fflush(stdout);
    dup2(saved, STDOUT_FILENO);
    close(saved);
    assert_ok(st);
    assert_true(exit_now);
    assert_ok(asd_read_file(out, 1 << 20, &text, &size));
    assert_true(asd_test_contains(text, "# --seed\n"));
    assert_true(asd_test_contains(text, "x.yaml:3:1\n"));
    assert_true(asd_test_contains(text, "# default\n"));
    assert_ok(asd_recipe_load(out, NULL, 0, 0, &back));
    assert_string_equal(back.hash, r.hash);
    free(text);
    asd_recipe_clear(&back);
    asd_recipe_clear(&r);
    asd_opts_clear(table, &args);
}

static void test_device(void **state)
{
    (void)state;
    static const char *const bad[] = {"",        "CPU",        "cuda:",   "cuda:x",
                                      "cuda:-1", "cuda0",      "cuda:1x", "cuda:1 ",
                                      "cudax",   "cuda:99999", "cuda: 1"};
    asd_device               d;
    const char              *why;
    int                      n = asd_cuda_count(&why);
    assert_ok(asd_device_choose("cpu", &d));
    assert_int_equal(d.cuda, 0);
    assert_ok(asd_device_choose("auto", &d));
    assert_int_equal(d.cuda, n > 0);
    assert_fails(asd_device_choose("cuda:9999", &d), ASD_E_DEVICE, "--device cuda:9999: ");
    if (n)
        assert_ok(asd_device_choose("cuda", &d));
    else
        assert_fails(asd_device_choose("cuda", &d), ASD_E_DEVICE, why);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; ++i)
        assert_fails(asd_device_choose(bad[i], &d), ASD_E_USAGE, "is none of cpu, cuda, cuda:N");
}

static void test_help_fits(void **state)
{
    (void)state;
    char  *text;
    size_t size;
    FILE  *f = open_memstream(&text, &size);
    asd_opts_help(&command, f);
    fclose(f);
    for (char *s = strtok(text, "\n"); s; s = strtok(NULL, "\n"))
        assert_true(asd_utf8_length(s) <= 100);
    free(text);
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("base/args/values", test_values),
    ASD_CASE("base/args/errors", test_errors),
    ASD_CASE("base/args/recipe-set", test_recipe_set),
    ASD_CASE("base/args/print-config", test_print_config),
    ASD_CASE("base/args/help-fits", test_help_fits),
    ASD_CASE("base/device/choose", test_device),
};

ASD_TEST_MAIN(cases)
