/* test_yaml.c - recipes as an attacker or a broken disk would write them. */
#include "harness.h"

#include "base/cfg.h"
#include "base/file.h"
#include "base/rng.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static asd_status load_bytes(const char *text, size_t size, int smoke, asd_recipe *r)
{
    static char path[PATH_MAX];
    if (!*path)
        assert_ok(asd_path(path, "%s/r.yaml", asd_test_folder()));
    remove(path); /* a new file is not flushed at its close, a cut one is */
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
    return asd_recipe_load(path, NULL, 0, smoke, r);
}

/* Files made to exhaust time, memory or stack are refused, each quickly. */
static void test_hostile(void **state)
{
    (void)state;
    enum { BIG = 10 << 20 };
    char      *text = malloc(BIG + 1);
    asd_recipe r;
    memset(text, 'a', BIG);
    text[BIG] = 0;
    assert_fails(load_bytes(text, strlen(text), 0, &r), ASD_E_CONFIG, "bytes");
    asd_recipe_clear(&r);
    static const char *const nests[] = {"[", "{", "{a: ", "- ", "? ", "a: [", "[{", "!a ", "&a "};
    for (size_t i = 0; i < sizeof nests / sizeof *nests; ++i) {
        size_t n = 0;
        for (int k = 0; k < 20000; ++k)
            n += (size_t)snprintf(text + n, 10, "%s", nests[i]);
        assert_fails(load_bytes(text, strlen(text), 0, &r), ASD_E_CONFIG, "r.yaml:");
        asd_recipe_clear(&r);
    }
    size_t n = (size_t)sprintf(text, "a: &a [x,x,x,x,x,x,x,x,x]\n");
    for (char c = 'b'; c < 'n'; ++c) { /* a billion laughs */
        n += (size_t)sprintf(text + n, "%c: &%c [", c, c);
        for (int k = 0; k < 9; ++k)
            n += (size_t)sprintf(text + n, "%s*%c", k ? "," : "", c - 1);
        n += (size_t)sprintf(text + n, "]\n");
    }
    assert_fails(load_bytes(text, strlen(text), 0, &r), ASD_E_CONFIG,
                 "anchors (&name) are not taken");
    asd_recipe_clear(&r);
    n = (size_t)sprintf(text, "name: x\nscore.detectors: [");
    for (int k = 0; k < 5000; ++k)
        n += (size_t)sprintf(text + n, "m,");
    sprintf(text + n, "]\n");
    assert_fails(load_bytes(text, strlen(text), 0, &r), ASD_E_CONFIG, "more than 4096 items");
    asd_recipe_clear(&r);
    n = 0;
    for (int k = 0; k < 5000; ++k)
        n += (size_t)sprintf(text + n, "k%d: 1\n", k);
    assert_fails(load_bytes(text, strlen(text), 0, &r), ASD_E_CONFIG, "more than 4096 keys");
    asd_recipe_clear(&r);
    memset(text, 'a', 3000);
    sprintf(text + 3000, ": 1\n");
    assert_fails(load_bytes(text, strlen(text), 0, &r), ASD_E_CONFIG, "r.yaml:1:1: ");
    asd_recipe_clear(&r);
    free(text);
}

/* Thousands of damaged recipes: OK or ASD_E_CONFIG with a text, nothing else (and under the
 * sanitizers no leak and no access out of bounds). */
static void test_mutations(void **state)
{
    (void)state;
    static const char *const tokens[] = {
        ":",  ": ",   "- ", "\n",   "\n  ", "[",     "]",     "{", "}",     ",",    "#",    "'",
        "\"", "|\n",  ">",  "&a ",  "*a",   "!!s ",  "? ",    "%", "---\n", "...",  "<<: ", "\t",
        "\\", "\\x0", "~",  "null", "base", "smoke", "train", "é", "\xff",  "\r\n", "@",    "`"};
    char  *seed[2], path[PATH_MAX];
    size_t size[2];
    int    n_ok = 0, n_bad = 0;
    assert_ok(asd_path(path, "%s/recipes/dcase-baseline.yaml", asd_test_source()));
    assert_ok(asd_read_file(path, 1 << 20, &seed[0], &size[0]));
    seed[1]    = strdup("name: x\nreport: >-\n  folded\n  text\ndata:\n  machines:\n  - 'a'\n"
                           "  - \"b\\u00e9\"\nscore: {detectors: [mse, \"f(a, b)\"], threshold: gamma}\n"
                           "smoke:\n  train.epochs: 1\n");
    size[1]    = strlen(seed[1]);
    char *text = malloc(size[0] + size[1] + 1000);
    for (uint64_t round = 0; round < 8000; ++round) {
        asd_rng rng;
        int     which = (int)(round & 1);
        asd_rng_init(&rng, 9, ASD_RNG_TEST, round, 0);
        size_t n = size[which];
        memcpy(text, seed[which], n);
        for (uint32_t k = 1 + asd_rng_below(&rng, 4); k > 0 && n > 8; --k) {
            size_t      at    = asd_rng_below(&rng, (uint32_t)n);
            const char *token = tokens[asd_rng_below(&rng, sizeof tokens / sizeof *tokens)];
            size_t      cut   = asd_rng_below(&rng, 8);
            switch (asd_rng_below(&rng, 5)) {
            case 0: text[at] = (char)asd_rng_below(&rng, 256); break;
            case 1: /* a token goes in */
                memmove(text + at + strlen(token), text + at, n - at);
                memcpy(text + at, token, strlen(token));
                n += strlen(token);
                break;
            case 2: /* bytes go out */
                cut = cut < n - at ? cut : n - at;
                memmove(text + at, text + at + cut, n - at - cut);
                n -= cut;
                break;
            case 3: n = at; break;                       /* cut off */
            case 4: text[at] ^= (char)(1 << cut); break; /* one bit */
            }
        }
        asd_recipe r;
        asd_error_clear();
        asd_status st = load_bytes(text, n, which, &r);
        if (st) {
            assert_int_equal(st, ASD_E_CONFIG);
            assert_true(*asd_error_text());
            ++n_bad;
        } else {
            assert_true(strlen(r.hash) == 32);
            ++n_ok;
        }
        asd_recipe_clear(&r);
    }
    print_message("%d loaded, %d refused\n", n_ok, n_bad);
    assert_true(n_ok > 200 && n_bad > 2000);
    free(text), free(seed[0]), free(seed[1]);
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("base/yaml/hostile", test_hostile),
    ASD_CASE("base/yaml/mutations", test_mutations),
};

ASD_TEST_MAIN(cases)
