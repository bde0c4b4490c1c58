/* test_print.c - what asd-eval prints: JSON keys as the interface names them, tables that fit. */
#include "harness.h"

#include "base/rng.h"
#include "score/omega.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static asd_eval make_eval(const char *const *machine, int n, int sections, int decisions,
                          double shift)
{
    asd_eval e = {calloc((size_t)(n * sections), sizeof *e.set), n * sections};
    for (int m = 0; m < n * sections; ++m) {
        enum { N = 40 };
        asd_eval_set *s = e.set + m;
        asd_rng       r;
        asd_rng_init(&r, 1, ASD_RNG_TEST, (uint64_t)m, 0);
        *s = (asd_eval_set){.machine  = strdup(machine[m / sections]),
                            .section  = m % sections,
                            .n        = N,
                            .name     = calloc(N, sizeof(char *)),
                            .score    = calloc(N, sizeof(double)),
                            .target   = calloc(N, 1),
                            .anomaly  = calloc(N, 1),
                            .decision = decisions ? calloc(N, sizeof(int)) : NULL,
                            .count    = {{10, 10}, {10, 10}}};
        for (int i = 0; i < N; ++i) {
            s->target[i]  = i >= 20;
            s->anomaly[i] = i / 10 & 1;
            s->score[i]   = asd_rng_normal(&r) + shift * s->anomaly[i];
            if (decisions)
                s->decision[i] = s->score[i] > 0.5;
            if (asprintf(s->name + i, "clip_%03d.wav", i) < 0)
                abort();
        }
    }
    return e;
}

static json_t *parse_json(char *text)
{
    json_error_t error;
    json_t      *root = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    if (!root)
        fail_msg("%s: %s", error.text, text);
    assert_string_equal(strchr(text, '\n'), "\n"); /* one line */
    free(text);
    return root;
}

static const char *const MACHINES[] = {"ToyCar", "fan"};

static void test_omega_json(void **state)
{
    (void)state;
    asd_eval          e       = make_eval(MACHINES, 2, 1, 1, 0.7);
    asd_omega_options options = ASD_OMEGA_DEFAULTS;
    asd_omega         o;
    options.replicates = 100;
    options.seed       = 5;
    assert_ok(asd_omega_compute(&e, &options, &o));
    char  *text;
    size_t size;
    FILE  *f = open_memstream(&text, &size);
    assert_ok(asd_omega_print_json(&o, f));
    fclose(f);
    json_t     *root = parse_json(text), *machines;
    const char *schema, *auc, *cells, *machine, *section;
    double      omega, lo, hi, level, mean, hs, ht, hp, v[4], ci[6], gain[3], judged[6];
    int         values, replicates, seed, n[4];
    /* "!" refuses keys that are not listed: the schema exactly */
    assert_int_equal(
        json_unpack(root,
                    "{s:s, s:s, s:s, s:i, s:F, s:[F, F!], s:F, s:i, s:i, s:F, s:{s:F, s:F, s:F!}, "
                    "s:o!}",
                    "schema", &schema, "auc", &auc, "cells", &cells, "n_values", &values, "omega",
                    &omega, "omega_ci", &lo, &hi, "level", &level, "replicates", &replicates,
                    "seed", &seed, "arithmetic_mean", &mean, "harmonic", "auc_source", &hs,
                    "auc_target", &ht, "pauc", &hp, "machines", &machines),
        0);
    assert_string_equal(schema, "asd.omega/1");
    assert_string_equal(auc, "official");
    assert_string_equal(cells, "21");
    assert_true(values == 6 && replicates == 100 && seed == 5 && level == 0.95);
    assert_true(omega == o.omega && lo == o.omega_ci.lo && hi == o.omega_ci.hi);
    assert_true(mean == o.arithmetic_mean && hs == o.harmonic[0] && ht == o.harmonic[1] &&
                hp == o.harmonic[2]);
    assert_int_equal(json_array_size(machines), 2);
    assert_int_equal(
        json_unpack(json_array_get(machines, 1),
                    "{s:s, s:s, s:F, s:F, s:F, s:F, s:{s:[F, F!], s:[F, F!], s:[F, F!]!}, "
                    "s:{s:F, s:F, s:F!}, s:F, s:F, s:F, s:F, s:F, s:F, s:{s:i, s:i, s:i, s:i!}!}",
                    "machine", &machine, "section", &section, "auc_all", v, "auc_source", v + 1,
                    "auc_target", v + 2, "pauc", v + 3, "ci", "auc_source", ci, ci + 1,
                    "auc_target", ci + 2, ci + 3, "pauc", ci + 4, ci + 5, "omega_gain_per_point",
                    "auc_source", gain, "auc_target", gain + 1, "pauc", gain + 2,
                    "precision_source", judged, "precision_target", judged + 1, "recall_source",
                    judged + 2, "recall_target", judged + 3, "f1_source", judged + 4, "f1_target",
                    judged + 5, "n", "source_normal", n, "source_anomaly", n + 1, "target_normal",
                    n + 2, "target_anomaly", n + 3),
        0);
    const asd_omega_row *r = o.row + 1;
    assert_string_equal(machine, "fan");
    assert_string_equal(section, "00");
    assert_true(v[0] == r->auc_all && !memcmp(v + 1, r->cell, sizeof r->cell));
    assert_memory_equal(ci, r->ci, sizeof r->ci);
    assert_memory_equal(gain, r->gain, sizeof r->gain);
    assert_true(judged[0] == r->precision[0] && judged[3] == r->recall[1] && judged[5] == r->f1[1]);
    assert_true(n[0] == 10 && n[1] == 10 && n[2] == 10 && n[3] == 10);
    json_decref(root);
    asd_omega_clear(&o);
    asd_eval_clear(&e);
}

static void test_json_nulls(void **state)
{
    (void)state;
    asd_eval          e       = make_eval(MACHINES, 2, 1, 0, 0.7);
    asd_omega_options options = ASD_OMEGA_DEFAULTS;
    asd_omega         o[2];
    char             *names[] = {"mse", "maha \"x\""};
    options.replicates        = 0;
    for (int k = 0; k < 2; ++k)
        assert_ok(asd_omega_compute(&e, &options, o + k));
    char  *text;
    size_t size;
    FILE  *f = open_memstream(&text, &size);
    assert_ok(asd_omega_list_print_json(o, names, 2, f));
    fclose(f);
    json_t *root = parse_json(text), *second = json_array_get(json_object_get(root, "systems"), 1);
    assert_string_equal(json_string_value(json_object_get(root, "schema")), "asd.omega-list/1");
    assert_string_equal(json_string_value(json_object_get(second, "name")), "maha \"x\"");
    assert_true(json_is_null(json_object_get(second, "omega_ci")));
    json_t *row = json_array_get(json_object_get(second, "machines"), 0);
    assert_true(json_is_null(json_object_get(row, "precision_source")));
    assert_true(json_is_null(json_object_get(json_object_get(row, "ci"), "pauc")));
    assert_true(json_is_real(json_object_get(row, "pauc")));
    json_decref(root);
    for (int k = 0; k < 2; ++k)
        asd_omega_clear(o + k);
    asd_eval_clear(&e);
}

static void test_compare_json(void **state)
{
    (void)state;
    asd_eval          a = make_eval(MACHINES, 2, 1, 0, 0.7), b = make_eval(MACHINES, 2, 1, 0, 0.9);
    asd_omega_options options = ASD_OMEGA_DEFAULTS;
    asd_compare       c;
    options.replicates = 100;
    assert_ok(asd_compare_compute(&a, &b, &options, &c));
    char  *text;
    size_t size;
    FILE  *f = open_memstream(&text, &size);
    assert_ok(asd_compare_print_json(&c, f));
    fclose(f);
    json_t     *root = parse_json(text);
    const char *schema;
    double      of_a, of_b, delta, lo, hi, p;
    int         replicates;
    assert_int_equal(json_unpack(root, "{s:s, s:F, s:F, s:F, s:[F, F!], s:F, s:i}", "schema",
                                 &schema, "omega_a", &of_a, "omega_b", &of_b, "delta", &delta,
                                 "delta_ci", &lo, &hi, "p_delta_gt_0", &p, "replicates",
                                 &replicates),
                     0);
    assert_string_equal(schema, "asd.compare/1");
    assert_true(delta == of_b - of_a && delta == c.delta && lo == c.delta_ci.lo &&
                hi == c.delta_ci.hi && p == c.p_delta_gt_0 && replicates == 100);
    json_decref(root);
    asd_compare_clear(&c);
    asd_eval_clear(&a);
    asd_eval_clear(&b);
}

/* Longest line in columns (UTF-8 characters); no line ends in a blank. */
static int widest(const char *text)
{
    int most = 0, n = 0;
    for (const char *p = text; *p; ++p) {
        if (*p == '\n') {
            assert_true(p == text || p[-1] != ' ');
            most = n > most ? n : most;
            n    = 0;
        } else {
            n += (*p & 0xC0) != 0x80;
        }
    }
    return most;
}

static void test_tables_fit(void **state)
{
    (void)state;
    static const char *const long_names[] = {
        "BlowerDustCollector", "eine-sehr-lange-Maschinenbezeichnung-mit-\xc3\xbc-und-mehr"};
    for (int sections = 1; sections < 3; ++sections)
        for (int perfect = 0; perfect < 2; ++perfect) {
            asd_eval          a       = make_eval(long_names, 2, sections, 1, perfect ? 100 : 0.7);
            asd_eval          b       = make_eval(long_names, 2, sections, 1, perfect ? -100 : 0.5);
            asd_omega_options options = ASD_OMEGA_DEFAULTS;
            asd_omega         o[2];
            asd_compare       c;
            char             *text, *names[] = {"mse", (char *)(size_t)long_names[1]};
            size_t            size;
            options.replicates = 100;
            for (int k = 0; k < 2; ++k)
                assert_ok(asd_omega_compute(&a, &options, o + k));
            assert_ok(asd_compare_compute(&a, &b, &options, &c));
            FILE *f = open_memstream(&text, &size);
            asd_omega_print_table(o, f);
            asd_omega_list_print_table(o, names, 2, f);
            asd_compare_print_table(&c, long_names[1], "b", f);
            fclose(f);
            if (widest(text) > 100)
                fail_msg("%d columns:\n%s", widest(text), text);
            assert_non_null(strstr(text, "BlowerDustCollector"));
            assert_non_null(strstr(text, "]*"));
            assert_non_null(strstr(text, "* costs most: one point more in "));
            free(text);
            asd_compare_clear(&c);
            for (int k = 0; k < 2; ++k)
                asd_omega_clear(o + k);
            asd_eval_clear(&a);
            asd_eval_clear(&b);
        }
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("print/omega/json", test_omega_json),
    ASD_CASE("print/omega/json-nulls", test_json_nulls),
    ASD_CASE("print/compare/json", test_compare_json),
    ASD_CASE("print/tables/fit-100-columns", test_tables_fit),
};
ASD_TEST_MAIN(cases)
