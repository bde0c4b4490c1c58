/* test_cfg.c - recipes: reading, resolving, errors with place, printing, hostile input. */
#include "harness.h"

#include "base/cfg.h"
#include "base/file.h"
#include "base/rng.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Writes a file of the folder; returns its path, valid until the next call but three. */
static const char *write_text(const char *folder, const char *name, const char *text)
{
    static char path[4][PATH_MAX];
    static int  turn;
    char       *p = path[turn++ % 4];
    assert_ok(asd_path(p, "%s/%s", folder, name));
    remove(p); /* thousands of small files: a new one is not flushed at its close, a cut one is */
    FILE *f = fopen(p, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    assert_int_equal(fclose(f), 0);
    return p;
}

static asd_status load_text(const char *text, const char *set, asd_recipe *r)
{
    static const char *folder;
    if (!folder)
        folder = asd_test_folder();
    char *sets[] = {(char *)set};
    return asd_recipe_load(write_text(folder, "r.yaml", text), sets, set != NULL, 0, r);
}

static int row_of(const char *key)
{
    for (int i = 0; asd_cfg_opts[i].key; ++i)
        if (!strcmp(asd_cfg_opts[i].key, key))
            return i;
    fail_msg("no key %s", key);
    return -1;
}

static const char *origin(const asd_recipe *r, const char *key)
{
    return r->origin[row_of(key)];
}

static char *print(const asd_recipe *r, int with_origin)
{
    char  *text;
    size_t size;
    FILE  *f = open_memstream(&text, &size);
    assert_ok(asd_recipe_print(r, with_origin, f));
    fclose(f);
    return text;
}

/* field and key agree, sections stand together, and every default is in its own range. */
static void test_table(void **state)
{
    (void)state;
    static const char *const fields[] = {
#define CFG(field, key, type, ctype, def, min, max, choices, unit, text) #field,
#include "base/cfg.def"
#undef CFG
    };
    asd_cfg cfg;
    assert_ok(asd_opts_defaults(asd_cfg_opts, &cfg));
    asd_opts_clear(asd_cfg_opts, &cfg);
    for (int i = 0; asd_cfg_opts[i].key; ++i) {
        char key[100];
        snprintf(key, sizeof key, "%s", asd_cfg_opts[i].key);
        for (char *dot; (dot = strchr(key, '.'));)
            *dot = '_';
        assert_string_equal(key, fields[i]);
        assert_true(strlen(asd_cfg_opts[i].text) > 0);
        const char *end = asd_cfg_opts[i].text + strlen(asd_cfg_opts[i].text) - 1;
        assert_true(*end != '.');
    }
}

static void test_values(void **state)
{
    (void)state;
    asd_recipe r;
    assert_ok(load_text("name: x-1\n"
                        "report: 'it''s: a #test'\n"
                        "transductive: true\n"
                        "data: {machines: [fan, \"a, b\"], channel: far}\n"
                        "train:\n"
                        "  lr: 1e-4\n"
                        "  epochs: 3   # few\n"
                        "train.batch: 7\n"
                        "expect.cells: 14\n"
                        "score.detectors:\n"
                        "  - mse\n"
                        "  - selective_mahalanobis(mode=official)\n",
                        NULL, &r));
    assert_string_equal(r.cfg.name, "x-1");
    assert_string_equal(r.cfg.report, "it's: a #test");
    assert_int_equal(r.cfg.transductive, 1);
    assert_int_equal(r.cfg.data_machines.n, 2);
    assert_string_equal(r.cfg.data_machines.item[1], "a, b");
    assert_int_equal(r.cfg.data_channel, ASD_CHANNEL_FAR);
    assert_true(r.cfg.train_lr == 1e-4);
    assert_int_equal(r.cfg.train_epochs, 3);
    assert_int_equal(r.cfg.train_batch, 7);
    assert_int_equal(r.cfg.expect_cells, 1);
    assert_int_equal(r.cfg.score_detectors.n, 2);
    assert_string_equal(r.cfg.score_detectors.item[1], "selective_mahalanobis(mode=official)");
    /* Origins: the key's place, or the default. */
    const char *o = origin(&r, "train.epochs");
    assert_string_equal(o + strlen(o) - strlen("r.yaml:7:3"), "r.yaml:7:3");
    o = origin(&r, "data.channel");
    assert_string_equal(o + strlen(o) - strlen("r.yaml:4:33"), "r.yaml:4:33");
    assert_string_equal(origin(&r, "train.beta1"), "default");
    assert_int_equal(r.cfg.train_optimiser, ASD_OPTIMISER_ADAM);
    asd_recipe_clear(&r);
    asd_recipe_clear(&r);
}

static void test_formats(void **state)
{
    (void)state;
    /* Byte order mark, CRLF, an explicit document, empty sections: all the same recipe. */
    static const char *const same[] = {
        "name: x\ntrain: {epochs: 3}\n", "\xef\xbb\xbfname: x\r\ntrain:\r\n  epochs: 3\r\n",
        "%YAML 1.2\n---\nname: x\ntrain.epochs: 3\nscore:\n...\n",
        "# c\n\nname: \"x\"\nmodel: {}\ntrain: {\"epochs\": 3}", "{name: x, train: {epochs: 3, }}"};
    char hash[33];
    for (size_t i = 0; i < sizeof same / sizeof *same; ++i) {
        asd_recipe r;
        assert_ok(load_text(same[i], NULL, &r));
        if (i == 0)
            snprintf(hash, sizeof hash, "%s", r.hash);
        assert_string_equal(r.hash, hash);
        asd_recipe_clear(&r);
    }
    asd_recipe r;
    assert_ok(load_text("name: x\ntrain.epochs: 4\n", NULL, &r));
    assert_string_not_equal(r.hash, hash);
    asd_recipe_clear(&r);
}

static void test_sets(void **state)
{
    (void)state;
    asd_recipe r;
    assert_ok(load_text("name: x\n", "score.detectors=[mse, selective_mahalanobis]", &r));
    assert_int_equal(r.cfg.score_detectors.n, 2);
    assert_string_equal(r.cfg.score_detectors.item[0], "mse");
    assert_string_equal(origin(&r, "score.detectors"), "--set");
    asd_recipe_clear(&r);
    assert_ok(load_text("name: x\n", "train={epochs: 2, lr: 0.5}", &r));
    assert_int_equal(r.cfg.train_epochs, 2);
    assert_true(r.cfg.train_lr == 0.5);
    asd_recipe_clear(&r);
    assert_ok(load_text("name: x\nreport: y\n", "report=", &r));
    assert_null(r.cfg.report);
    asd_recipe_clear(&r);
    assert_ok(load_text("name: x\nreport: y\n", "report=\"null\"", &r));
    assert_string_equal(r.cfg.report, "null");
    asd_recipe_clear(&r);
    static const struct {
        const char *set, *text;
    } bad[] = {
        {"train.lr", "--set train.lr: want key=value"},
        {"=3", "want key=value"},
        {"train.lt=3", "--set: unknown key train.lt; did you mean train.lr?"},
        {"train.lr=abc", "--set train.lr: \"abc\" is not a number"},
        {"train.lr=", "--set train.lr: has no value, want a number"},
        {"train.lr=[1]", "found a list, want a number"},
        {"train=3", "--set: train is a section, not a value"},
        {"score.detectors=mse", "want a list such as [a, b]"},
        {"score.detectors=[]", "0 items, want at least 1"},
        {"score.detectors=[f(a=1, b=2)]", "put quotes around"},
        {"score.detectors=[mse", "--set score.detectors: "},
        {"base=x.yaml", "belongs in a recipe file"},
        {"smoke.train.lr=1", "belongs in a recipe file"},
        {"report=a: b: c", "--set report: "},
        {"report=\xff", "not UTF-8"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; ++i) {
        print_message("set: %s\n", bad[i].set);
        assert_fails(load_text("name: x\n", bad[i].set, &r), ASD_E_CONFIG, bad[i].text);
        asd_recipe_clear(&r);
    }
}

static void test_errors(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *text;
    } bad[] = {
        {"name: x\ntrian:\n  lr: 1\n", "r.yaml:3:3: unknown key trian.lr; did you mean train.lr?"},
        {"name: x\nlr: 1\n", "r.yaml:2:1: unknown key lr; did you mean train.lr?"},
        {"name: x\nzzzzzzzzz: 1\n", "r.yaml:2:1: unknown key zzzzzzzzz"},
        {"name: x\ntrain:\n  lr: fast\n", "r.yaml:3:7: train.lr: \"fast\" is not a number"},
        {"name: x\ntrain.epochs: 1.5\n", "r.yaml:2:15: train.epochs: \"1.5\" is not a whole"},
        {"name: x\ntrain.epochs: -1\n", "-1 is out of range, want 0 to 1000000 epochs"},
        {"name: x\ntrain.epochs: '3'\n", "r.yaml:2:15: train.epochs: found the text \"3\", want"},
        {"name: x\ntrain.epochs:\n", "r.yaml:2:1"},
        {"name: x\ntransductive: yes\n", "\"yes\" is neither true nor false"},
        {"name: x\ndata.channel: left\n", "\"left\" is none of near, far, mean"},
        {"name: x\ntrain.lr: [1]\n", "r.yaml:2:11: train.lr: found a list, want a number"},
        {"name: x\ntrain.lr: {}\n", "found a section, want a number"},
        {"name: x\ntrain: 3\n", "r.yaml:2:1: train is a section, not a value"},
        {"name: x\ntrain: {lr: {x: 1}}\n", "train.lr is one value, not a section"},
        {"name: x\nscore.detectors: mse\n", "score.detectors: want a list such as [a, b]"},
        {"name: x\nscore.detectors: [mse, [a]]\n",
         "r.yaml:2:24: score.detectors: a list in a list"},
        {"name: x\nscore.detectors: [mse, {a: 1}]\n", "found a mapping in it"},
        {"name: x\nscore.detectors: [mse, ~]\n", "item 2 is empty"},
        {"name: x\nscore.detectors: [f(a, b)]\n", "\"f(a\" has an open bracket"},
        {"name: x\nname: y\n", "r.yaml:2:1: name is given twice, first in line 1"},
        {"train: {lr: 1}\nname: x\ntrain.lr: 2\n", "train.lr is given twice, first in line 1"},
        {"train.lr: 1\n", "name is missing"},
        {"", "name is missing"},
        {"name: a/b\n", "r.yaml:1:1: name: \"a/b\" cannot name a folder"},
        {"name: ..\n", "cannot name a folder"},
        {"name: ''\n", "cannot name a folder"},
        {"name: &a x\nreport: *a\n", "r.yaml:1:10: anchors (&name) are not taken"},
        {"name: x\nreport: *a\n", "aliases (*name) are not taken"},
        {"name: !!str x\n", "tags (!name) are not taken"},
        {"name: x\ntrain: !!python/object {lr: 1}\n", "tags (!name) are not taken"},
        {"name: x\n<<: {train.lr: 1}\n", "unknown key <<"},
        {"name: x\n--- \nname: y\n", "a second document begins"},
        {"- a\n- b\n", "a list is no recipe"},
        {"hello\n", "\"hello\" is no recipe"},
        {"name: x\n? [a]\n: b\n", "a key must be a plain text"},
        {"name: x\n? {a: b}\n: b\n", "a key must be a plain text"},
        {"name: x\n'': b\n", "an empty key"},
        {"name: \"a\\0b\"\n", "a zero character in a text"},
        {"name: x\n\"a\\0b\": 1\n", "a zero character in a text"},
        {"name: x\nreport: 'a''''b'\n", "r.yaml:2:9: two quotes in a row within '...'"},
        {"name: x\nreport: \xff\xfe\n", "r.yaml:2:9: not UTF-8 (byte 0xff)"},
        {"name: x\nreport: \xc0\xaf\n", "not UTF-8"},
        {"name: x\nreport: \x01\n", "a control character (byte 0x01)"},
        {"name: x\nreport: \"a\n", "r.yaml:"},
        {"name: x\n\tlr: 1\n", "r.yaml:"},
        {"name: x\n  report: y\n", "r.yaml:"},
        {"name: x\nfront_end.fmax_hz: 9000\n",
         "r.yaml:2:1: front_end.fmax_hz: 9000 Hz is above half of data.rate_hz, 8000 Hz"},
        {"name: x\nfront_end: {fmin_hz: 8000}\n", "r.yaml:2:13: front_end.fmin_hz: 8000 Hz is not"},
        {"name: x\nexpect.omega: [mse]\n", "expect.omega: \"mse\" is not detector=percent"},
        {"name: x\nexpect.omega: [mse=101]\n", "is not detector=percent"},
        {"name: x\nsmoke: 3\n", "r.yaml:2:1: smoke is a section, not a value"},
        {"name: x\nsmoke: {train: {lr: a}}\n", "r.yaml:2:21: train.lr: \"a\" is not a number"},
        {"name: x\nsmoke: {smoke: {train: {lr: 1}}}\n", "unknown key smoke.train.lr"},
        {"name: x\nsmoke: {base: y}\n", "unknown key base"},
        {"name: x\nbase: {}\n", "base: found a section, want a recipe"},
        {"name: x\nbase:\n", "base: has no value"},
        {"name: x\nbase: {a: b}\n", "unknown key base.a"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; ++i) {
        asd_recipe r;
        print_message("recipe: %s\n", bad[i].yaml);
        assert_fails(load_text(bad[i].yaml, NULL, &r), ASD_E_CONFIG, bad[i].text);
        asd_recipe_clear(&r);
    }
}

static void test_bases(void **state)
{
    (void)state;
    const char *folder = asd_test_folder();
    char        below[PATH_MAX];
    asd_recipe  r;
    assert_ok(asd_path(below, "%s/sub", folder));
    assert_ok(asd_make_folders(below));
    write_text(folder, "a.yaml",
               "name: a\ntrain: {lr: 1, epochs: 1, batch: 2}\nscore.detectors: [p, q]\n"
               "smoke: {train.epochs: 9, train.batch: 9}\n");
    write_text(folder, "b.yaml", "train.lr: 2\nseed: 2\n");
    const char *path = write_text(below, "c.yaml",
                                  "base: [../a.yaml, ../b.yaml]\nname: c\nscore.detectors: [r]\n"
                                  "train.batch: 3\nsmoke: {train.batch: 8}\n");
    assert_ok(asd_recipe_load(path, NULL, 0, 0, &r));
    assert_string_equal(r.cfg.name, "c");
    assert_true(r.cfg.train_lr == 2); /* the later parent wins */
    assert_int_equal(r.cfg.train_epochs, 1);
    assert_int_equal(r.cfg.train_batch, 3);
    assert_int_equal(r.cfg.seed, 2);
    assert_int_equal(r.cfg.score_detectors.n, 1); /* a list replaces a list */
    assert_true(asd_test_contains(origin(&r, "train.lr"), "sub/../b.yaml:1:1"));
    asd_recipe_clear(&r);
    /* smoke: after the own keys, the parents' first; --set after all. */
    char *sets[] = {"train.lr=7"};
    assert_ok(asd_recipe_load(path, sets, 1, 1, &r));
    assert_int_equal(r.cfg.train_epochs, 9);
    assert_int_equal(r.cfg.train_batch, 8);
    assert_true(r.cfg.train_lr == 7);
    assert_true(asd_test_contains(origin(&r, "train.batch"), "sub/c.yaml:5:9"));
    asd_recipe_clear(&r);
    path = write_text(folder, "d.yaml", "base: b\nname: d\n"); /* by name, beside this one */
    assert_ok(asd_recipe_load(path, NULL, 0, 0, &r));
    assert_int_equal(r.cfg.seed, 2);
    asd_recipe_clear(&r);
    assert_fails(asd_recipe_load(path, NULL, 0, 1, &r), ASD_E_CONFIG, "has no smoke: section");
    asd_recipe_clear(&r);
}

static void test_bad_bases(void **state)
{
    (void)state;
    const char *folder = asd_test_folder();
    char        deep[PATH_MAX];
    asd_recipe  r;
    const char *path = write_text(folder, "x.yaml", "name: x\nbase: ./gone.yaml\n");
    assert_fails(asd_recipe_load(path, NULL, 0, 0, &r), ASD_E_CONFIG, "x.yaml:2:7: base: recipe");
    asd_recipe_clear(&r);
    path = write_text(folder, "x2.yaml", "name: x\nbase: [x, xyzzz]\n");
    assert_fails(asd_recipe_load(path, NULL, 0, 0, &r), ASD_E_CONFIG, "gone.yaml: no such file");
    asd_recipe_clear(&r);
    write_text(folder, "one.yaml", "base: two.yaml\n");
    path = write_text(folder, "two.yaml", "base: one\nname: two\n");
    assert_fails(asd_recipe_load(path, NULL, 0, 0, &r), ASD_E_CONFIG,
                 "two.yaml: a cycle: it is its own parent");
    assert_true(asd_test_contains(asd_error_text(), "one.yaml:1:7: base: "));
    asd_recipe_clear(&r);
    path = write_text(folder, "self.yaml", "name: s\nbase: self\n");
    assert_fails(asd_recipe_load(path, NULL, 0, 0, &r), ASD_E_CONFIG, "a cycle");
    asd_recipe_clear(&r);
    for (int i = 0; i < 20; ++i) { /* deep, and doubled at every level */
        char name[20], text[60];
        snprintf(name, sizeof name, "n%d.yaml", i);
        snprintf(text, sizeof text, "name: n\nbase: [n%d, n%d]\n", i + 1, i + 1);
        write_text(folder, name, text);
    }
    write_text(folder, "n20.yaml", "seed: 1\n");
    assert_ok(asd_path(deep, "%s/n0.yaml", folder));
    assert_fails(asd_recipe_load(deep, NULL, 0, 0, &r), ASD_E_CONFIG, "parents go deeper than 8");
    asd_recipe_clear(&r);
    assert_ok(asd_path(deep, "%s/n13.yaml", folder));
    assert_fails(asd_recipe_load(deep, NULL, 0, 0, &r), ASD_E_CONFIG, "or are more than 64");
    asd_recipe_clear(&r);
    assert_ok(asd_path(deep, "%s/n17.yaml", folder));
    assert_ok(asd_recipe_load(deep, NULL, 0, 0, &r));
    asd_recipe_clear(&r);
}

static void test_find(void **state)
{
    (void)state;
    const char *folder = asd_test_folder();
    char        found[PATH_MAX];
    write_text(folder, "special.yaml", "name: special\n");
    assert_fails(asd_recipe_find("special", NULL, NULL, found), ASD_E_CONFIG,
                 "recipe special: neither a file nor a standard recipe");
    assert_int_equal(setenv("ASD_RECIPES", folder, 1), 0);
    assert_ok(asd_recipe_find("special", NULL, NULL, found));
    assert_true(asd_test_contains(found, "special.yaml"));
    assert_ok(asd_recipe_find("special.yaml", NULL, NULL, found));
    assert_fails(
        asd_recipe_find("speciel", NULL, "there", found), ASD_E_CONFIG,
        "there: recipe speciel: neither a file nor a standard recipe; did you mean special");
    assert_fails(asd_recipe_find("./special", NULL, NULL, found), ASD_E_CONFIG, "no such file");
    assert_fails(asd_recipe_find("", NULL, NULL, found), ASD_E_CONFIG, "no such file");
    assert_fails(asd_recipe_find(folder, NULL, NULL, found), ASD_E_CONFIG, "no such file");
    unsetenv("ASD_RECIPES");
}

static void assert_same_values(const asd_recipe *a, const asd_recipe *b)
{
    for (const asd_opt *o = asd_cfg_opts; o->key; ++o) {
        char  *text[2];
        size_t size[2];
        for (int i = 0; i < 2; ++i) {
            FILE *f = open_memstream(&text[i], &size[i]);
            asd_opt_print(o, i ? &b->cfg : &a->cfg, f);
            fclose(f);
        }
        if (strcmp(text[0], text[1]))
            fail_msg("%s: %s became %s", o->key, text[0], text[1]);
        free(text[0]), free(text[1]);
    }
}

static void assert_reads_back(const asd_recipe *r, const char *folder)
{
    for (int with_origin = 0; with_origin < 2; ++with_origin) {
        asd_recipe back;
        char      *text = print(r, with_origin);
        assert_ok(asd_recipe_load(write_text(folder, "p.yaml", text), NULL, 0, 0, &back));
        assert_same_values(r, &back);
        if (r->cfg.report)
            assert_string_equal(r->cfg.report, back.cfg.report);
        assert_string_equal(r->hash, back.hash);
        free(text);
        asd_recipe_clear(&back);
    }
}

/* A text of odd pieces: quotes, colons, comments, other scripts, number-like and special words. */
static char *odd_text(asd_rng *rng, char *buf, size_t size)
{
    static const char *const piece[] = {
        "a",    "B",    " ",    ":",      ": ",     "#",      " #",     "\"",  "'",   "\\",
        "-",    "- ",   "[",    "]",      "{",      "}",      ",",      "|",   ">",   "%",
        "@",    "`",    "&",    "*",      "!",      "?",      "=",      "0",   "1e5", "0x1f",
        "null", "~",    "true", "no",     ".inf",   "é",      "日本",   "🎵",   "\n",  "\t",
        "\r",   "\x01", "\x7f", "\u00a0", "\u2028", "\ufeff", "\u0301", "---", "...", "\n---\n"};
    buf[0] = 0;
    for (uint32_t n = 1 + asd_rng_below(rng, 6); n > 0; --n)
        strncat(buf, piece[asd_rng_below(rng, sizeof piece / sizeof *piece)],
                size - strlen(buf) - 1);
    return buf;
}

static void set_number(asd_rng *rng, const asd_opt *o, asd_cfg *cfg)
{
    char   text[64];
    double x = o->min + (o->max - o->min) * asd_rng_uniform(rng) *
                            (asd_rng_below(rng, 2) ? 1 : asd_rng_uniform(rng) * 1e-3);
    snprintf(text, sizeof text, o->type == ASD_OPT_INT ? "%.0f" : "%.17g", x);
    assert_ok(asd_opt_set(o, cfg, text, o->key, ASD_E_CONFIG));
}

/* asd_recipe_print loads back to the same values and hash, whatever the values. */
static void test_print_reads_back(void **state)
{
    (void)state;
    const char *folder = asd_test_folder();
    for (uint64_t round = 0; round < 1500; ++round) {
        asd_rng    rng;
        asd_recipe r, again;
        char       text[200];
        asd_rng_init(&rng, 5, ASD_RNG_TEST, round, 0);
        assert_ok(load_text("name: x\n", NULL, &r));
        for (const asd_opt *o = asd_cfg_opts; o->key; ++o) {
            if (!strcmp(o->key, "name") || !strcmp(o->key, "expect.omega") ||
                !strcmp(o->key, "score.fusion"))
                continue; /* these have a form of their own, or need another key */
            if (o->type == ASD_OPT_TEXT && asd_rng_below(&rng, 4))
                assert_ok(asd_opt_set(o, &r.cfg, odd_text(&rng, text, sizeof text), "", 1));
            if (o->type == ASD_OPT_LIST)
                for (uint32_t n = asd_rng_below(&rng, 4); n > 0; --n)
                    assert_ok(asd_opt_set(o, &r.cfg, odd_text(&rng, text, sizeof text), "", 1));
            if (o->type == ASD_OPT_REAL || o->type == ASD_OPT_INT)
                set_number(&rng, o, &r.cfg);
        }
        r.cfg.front_end_fmin_hz = 0; /* bands must fit the rate */
        r.cfg.front_end_fmax_hz = 0;
        /* The hash that belongs to these values is the one of loading them. */
        char *printed = print(&r, 0);
        assert_ok(asd_recipe_load(write_text(folder, "q.yaml", printed), NULL, 0, 0, &again));
        assert_same_values(&r, &again);
        for (int64_t i = 0; i < r.cfg.data_machines.n; ++i)
            assert_string_equal(r.cfg.data_machines.item[i], again.cfg.data_machines.item[i]);
        assert_reads_back(&again, folder);
        free(printed);
        asd_recipe_clear(&r);
        asd_recipe_clear(&again);
    }
}

/* An origin is a comment: a path with a line break must not begin a line of YAML. */
static void test_hostile_origin(void **state)
{
    (void)state;
    const char *folder = asd_test_folder();
    char        odd[PATH_MAX], *text;
    asd_recipe  r;
    assert_ok(asd_path(odd, "%s/a\nseed: 5\n#", folder));
    assert_ok(asd_make_folders(odd));
    assert_ok(asd_recipe_load(write_text(odd, "r.yaml", "name: x\n"), NULL, 0, 0, &r));
    text = print(&r, 1);
    assert_null(strstr(text, "\nseed: 5"));
    free(text);
    assert_reads_back(&r, folder);
    asd_recipe_clear(&r);
}

/* Every standard recipe loads, also in its smoke form, and reads back. */
static void test_standard_recipes(void **state)
{
    (void)state;
    char      folder[PATH_MAX], path[PATH_MAX];
    asd_names names;
    int       n_recipes = 0;
    assert_ok(asd_path(folder, "%s/recipes", asd_test_source()));
    assert_ok(asd_list_folder(folder, &names));
    for (int64_t i = 0; i < names.n; ++i) {
        size_t length = strlen(names.name[i]);
        if (length < 5 || strcmp(names.name[i] + length - 5, ".yaml"))
            continue;
        ++n_recipes;
        assert_ok(asd_path(path, "%s/%s", folder, names.name[i]));
        for (int smoke = 0; smoke < 2; ++smoke) {
            asd_recipe r;
            assert_ok(asd_recipe_load(path, NULL, 0, smoke, &r));
            assert_int_equal(strlen(r.cfg.name), length - 5); /* file and system agree */
            assert_memory_equal(r.cfg.name, names.name[i], length - 5);
            assert_reads_back(&r, asd_test_folder());
            asd_recipe_clear(&r);
        }
    }
    asd_names_free(&names);
    assert_true(n_recipes > 0);
}

/* The baseline's numbers, as published: a slip in the recipe or a changed default shows here. */
static void test_baseline(void **state)
{
    (void)state;
    asd_recipe r;
    char       path[PATH_MAX];
    assert_ok(asd_path(path, "%s/recipes/dcase-baseline.yaml", asd_test_source()));
    assert_ok(asd_recipe_load(path, NULL, 0, 0, &r));
    const asd_cfg *c = &r.cfg;
    assert_int_equal(c->front_end_n_fft, 1024);
    assert_int_equal(c->front_end_hop_samples, 512);
    assert_int_equal(c->front_end_n_mels * c->front_end_stack_frames, 640);
    assert_true(c->front_end_fmax_hz == 8000);
    assert_int_equal(c->model_depth, 4);
    assert_int_equal(c->model_code, 8);
    assert_true(c->model_bn_eps == 1e-3 && c->model_bn_momentum == 0.01);
    assert_true(c->train_lr == 1e-3 && c->train_eps == 1e-8);
    assert_int_equal(c->train_epochs, 100);
    assert_int_equal(c->train_batch, 256);
    assert_int_equal(c->seed, 13711);
    assert_int_equal(c->data_channel, ASD_CHANNEL_NEAR);
    assert_int_equal(c->score_threshold, ASD_THRESHOLD_GAMMA);
    assert_string_equal(c->expect_omega.item[0], "mse=56.66");
    /* Every value is stated: none comes from a default. It embeds and fuses nothing. */
    for (int i = 0; asd_cfg_opts[i].key; ++i)
        if (!strcmp(r.origin[i], "default") && strncmp(asd_cfg_opts[i].key, "embed.", 6) &&
            strcmp(asd_cfg_opts[i].key, "score.normalise") &&
            strcmp(asd_cfg_opts[i].key, "score.fusion"))
            fail_msg("%s is left to its default", asd_cfg_opts[i].key);
    asd_recipe_clear(&r);
}

/* docs/recipes.md is what the table gives. */
static void test_docs(void **state)
{
    (void)state;
    char   path[PATH_MAX], *have, *want;
    size_t have_size, want_size;
    FILE  *f = open_memstream(&want, &want_size);
    asd_cfg_docs(f);
    fclose(f);
    assert_ok(asd_path(path, "%s/docs/recipes.md", asd_test_source()));
    assert_ok(asd_read_file(path, 1 << 20, &have, &have_size));
    if (strcmp(have, want))
        fail_msg("docs/recipes.md is stale: asd-info --recipe-docs > docs/recipes.md");
    free(have), free(want);
}

/* `key+` keeps what parents, and their smoke: keys, gave. */
static void test_added(void **state)
{
    (void)state;
    const char *folder = asd_test_folder();
    char       *sets[] = {"score.detectors+=[z]"};
    asd_recipe  r;
    write_text(folder, "a.yaml",
               "name: a\nscore: {detectors: [p, q]}\nsmoke: {score: {detectors: [s]}}\n");
    const char *path = write_text(folder, "b.yaml",
                                  "base: a.yaml\nname: b\nscore:\n  detectors+: [r]\n"
                                  "smoke:\n  score.detectors+: [t, u]\n");
    assert_ok(asd_recipe_load(path, sets, 1, 0, &r));
    assert_int_equal(r.cfg.score_detectors.n, 4);
    for (int i = 0; i < 4; ++i)
        assert_string_equal(r.cfg.score_detectors.item[i],
                            ((const char *[]){"p", "q", "r", "z"})[i]);
    assert_true(asd_test_contains(origin(&r, "score.detectors"), "--set"));
    asd_recipe_clear(&r);
    assert_ok(asd_recipe_load(path, NULL, 0, 1, &r));
    assert_int_equal(r.cfg.score_detectors.n, 3);
    for (int i = 0; i < 3; ++i)
        assert_string_equal(r.cfg.score_detectors.item[i], ((const char *[]){"s", "t", "u"})[i]);
    asd_recipe_clear(&r);
    assert_fails(load_text("name: x\ntrain: {lr+: 1}\n", NULL, &r), ASD_E_CONFIG,
                 "is no list, so nothing can be added");
    asd_recipe_clear(&r);
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("base/cfg/table", test_table),
    ASD_CASE("base/cfg/load/values", test_values),
    ASD_CASE("base/cfg/load/formats", test_formats),
    ASD_CASE("base/cfg/load/sets", test_sets),
    ASD_CASE("base/cfg/load/errors", test_errors),
    ASD_CASE("base/cfg/base/merge", test_bases),
    ASD_CASE("base/cfg/base/added-lists", test_added),
    ASD_CASE("base/cfg/base/errors", test_bad_bases),
    ASD_CASE("base/cfg/find", test_find),
    ASD_CASE("base/cfg/print/reads-back", test_print_reads_back),
    ASD_CASE("base/cfg/print/hostile-origin", test_hostile_origin),
    ASD_CASE("base/cfg/recipes/all-load", test_standard_recipes),
    ASD_CASE("base/cfg/recipes/dcase-baseline", test_baseline),
    ASD_CASE("base/cfg/docs/fresh", test_docs),
};

ASD_TEST_MAIN(cases)
