/* test_bench_compare.c - asd-bench compare: files read or refused, verdicts, intervals. */
#include "harness.h"

#include "base/rng.h"
#include "tools/bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* n samples around `median` microseconds with this relative spread. */
static void write_line(FILE *f, const char *op, const char *device, double median, double spread,
                       int passed)
{
    fprintf(f,
            "{\"schema\":\"asd.bench/1\",\"what\":\"kernel\",\"op\":\"%s\",\"case\":\"n=1\","
            "\"dtype\":\"f32\",\"pass\":\"fwd\",\"device\":\"%s\",\"check\":{\"passed\":%s}",
            op, device, passed ? "true" : "false");
    if (passed) {
        fprintf(f, ",\"samples_us\":[");
        for (int i = 0; i < 20; ++i)
            fprintf(f, "%s%.6f", i ? "," : "", median * (1 + spread * (i / 9.5 - 1)));
        fprintf(f, "]");
    }
    fprintf(f, "}\n");
}

static FILE *results_file(char path[4096])
{
    snprintf(path, 4096, "%s/results.jsonl", asd_test_folder());
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f, "{\"schema\":\"asd.bench/1\",\"what\":\"run\",\"date\":\"x\"}\n");
    return f;
}

static const bench_pair *pair_of(const bench_comparison *c, const char *op)
{
    for (int64_t i = 0; i < c->n; ++i)
        if (!strcmp(c->pair[i].a->op, op))
            return &c->pair[i];
    fail_msg("no pair %s", op);
    return NULL;
}

static void test_compare(void **state)
{
    (void)state;
    char             path[2][4096];
    bench_results    r[2];
    bench_comparison c;
    static const struct {
        const char   *op;
        double        b, spread; /* a is 100 */
        bench_verdict want;
    } rows[] = {
        {"equal", 100, 0.02, BENCH_SAME},    {"slower", 120, 0.02, BENCH_SLOWER},
        {"slightly", 104, 0.01, BENCH_SAME}, {"noisy", 107, 0.9, BENCH_SAME},
        {"faster", 80, 0.02, BENCH_FASTER},
    };
    enum { ROWS = sizeof rows / sizeof *rows };
    for (int side = 0; side < 2; ++side) {
        FILE *f = results_file(path[side]);
        for (int i = 0; i < ROWS; ++i)
            write_line(f, rows[i].op, "cpu", side ? rows[i].b : 100, rows[i].spread, 1);
        write_line(f, "broken", "cpu", 100, 0.01, !side);
        write_line(f, side ? "new" : "old", "cpu", 100, 0.01, 1);
        fclose(f);
        assert_ok(bench_results_read(path[side], &r[side]));
        assert_int_equal(r[side].n, ROWS + 2);
    }
    assert_ok(bench_compare(&r[0], &r[1], 0.05, 0.95, 500, 0, &c));
    for (int i = 0; i < ROWS; ++i) {
        const bench_pair *p = pair_of(&c, rows[i].op);
        assert_near(p->ratio, rows[i].b / 100, 1e-6);
        assert_true(p->lo <= p->ratio && p->ratio <= p->hi);
        if (p->verdict != rows[i].want)
            fail_msg("%s: verdict %d, want %d, ratio %g [%g, %g]", rows[i].op, p->verdict,
                     rows[i].want, p->ratio, p->lo, p->hi);
    }
    assert_true(pair_of(&c, "noisy")->lo < 1); /* beyond the threshold, but not surely */
    assert_int_equal(pair_of(&c, "broken")->verdict, BENCH_BROKEN);
    assert_int_equal(c.n_slower, 2);
    assert_int_equal(c.n_only_a, 1);
    assert_string_equal(c.only_a[0]->op, "old");
    assert_int_equal(c.n_only_b, 1);
    assert_string_equal(c.only_b[0]->op, "new");
    double lo = pair_of(&c, "noisy")->lo;
    bench_comparison_clear(&c);
    assert_ok(bench_compare(&r[0], &r[1], 0.05, 0.95, 500, 0, &c));
    assert_near(pair_of(&c, "noisy")->lo, lo, 0); /* the same draws every time */
    bench_comparison_clear(&c);
    for (int side = 0; side < 2; ++side)
        bench_results_clear(&r[side]);
}

/* An interval at 95 % that covers the true ratio about that often. */
static void test_compare_covers(void **state)
{
    (void)state;
    enum { TRIALS = 200, N = 20 };
    double  sample[2][N];
    int     covered = 0;
    asd_rng rng;
    asd_rng_init(&rng, 7, ASD_RNG_TEST, 0, 0);
    for (int t = 0; t < TRIALS; ++t) {
        bench_record     record[2];
        bench_results    r[2];
        bench_comparison c;
        for (int side = 0; side < 2; ++side) {
            for (int i = 0; i < N; ++i)
                sample[side][i] = (side ? 1.3 : 1) * exp(0.1 * asd_rng_normal(&rng));
            record[side] =
                (bench_record){.op = "x", .device = "cpu", .sample = sample[side], .n = N};
            snprintf(record[side].case_name, sizeof record[side].case_name, "%d", t);
            r[side] = (bench_results){.record = &record[side], .n = 1};
        }
        assert_ok(bench_compare(&r[0], &r[1], 0.05, 0.95, 400, 0, &c));
        covered += c.pair[0].lo <= 1.3 && 1.3 <= c.pair[0].hi;
        bench_comparison_clear(&c);
    }
    assert_true(covered >= 0.9 * TRIALS);
    assert_true(covered < TRIALS);
}

static void test_compare_devices(void **state)
{
    (void)state;
    char             path[2][4096];
    bench_results    r[2];
    bench_comparison c;
    for (int side = 0; side < 2; ++side) {
        FILE *f = results_file(path[side]);
        write_line(f, "relu", side ? "GPU" : "CPU, 2 threads", 100, 0.01, 1);
        fclose(f);
        assert_ok(bench_results_read(path[side], &r[side]));
    }
    assert_fails(bench_compare(&r[0], &r[1], 0.05, 0.95, 100, 0, &c), ASD_E_DATA,
                 "is of \"CPU, 2 threads\"");
    assert_ok(bench_compare(&r[0], &r[1], 0.05, 0.95, 100, 1, &c));
    assert_int_equal(c.n, 1);
    bench_comparison_clear(&c);
    strcpy(r[1].record[0].op, "gelu");
    assert_fails(bench_compare(&r[0], &r[1], 0.05, 0.95, 100, 1, &c), ASD_E_DATA,
                 "no line in common");
    for (int side = 0; side < 2; ++side)
        bench_results_clear(&r[side]);
}

static void test_results_pooled(void **state)
{
    (void)state;
    char          path[4096];
    bench_results r;
    FILE         *f = results_file(path);
    write_line(f, "relu", "cpu", 100, 0.01, 1);
    write_line(f, "relu", "gpu", 100, 0.01, 1);
    fprintf(f, "\n{\"schema\":\"asd.bench/1\",\"what\":\"run\"}\n");
    write_line(f, "relu", "cpu", 200, 0.01, 1);
    fclose(f);
    assert_ok(bench_results_read(path, &r));
    assert_int_equal(r.n, 2);
    assert_int_equal(r.record[0].n, 40);
    assert_int_equal(r.record[1].n, 20);
    assert_near(r.record[0].sample[39], 200e-6 * 1.01, 1e-9);
    bench_results_clear(&r);
}

static void broken(const char *line, const char *part)
{
    char          path[4096];
    bench_results r;
    FILE         *f = results_file(path);
    fprintf(f, "%s\n", line);
    fclose(f);
    assert_fails(bench_results_read(path, &r), ASD_E_DATA, part);
    assert_fails(bench_results_read(path, &r), ASD_E_DATA, "results.jsonl");
}

#define KERNEL "{\"schema\":\"asd.bench/1\",\"what\":\"kernel\",\"op\":\"a\",\"case\":\"b\","
#define REST "\"dtype\":\"f32\",\"pass\":\"fwd\",\"device\":\"d\","

static void test_results_broken(void **state)
{
    (void)state;
    bench_results r;
    broken("", "no results");
    broken("not json", ":2: ");
    broken("{\"schema\":\"asd.omega/1\",\"what\":\"run\"}", "schema is asd.omega/1");
    broken("{\"schema\":\"asd.bench/1\",\"what\":\"train\"}", "\"what\" is train");
    broken(KERNEL "\"x\":1}", "\"dtype\"");
    broken(KERNEL REST "\"check\":{}}", "\"passed\"");
    broken(KERNEL REST "\"check\":{\"passed\":true}}", "\"samples_us\"");
    broken(KERNEL REST "\"check\":{\"passed\":true},\"samples_us\":[]}", "\"samples_us\"");
    broken(KERNEL REST "\"check\":{\"passed\":true},\"samples_us\":[1,-1]}", "number 2");
    broken(KERNEL REST "\"check\":{\"passed\":true},\"samples_us\":[\"1\"]}", "number 1");
    broken(KERNEL "\"op\":\"twice\"," REST "\"check\":{\"passed\":false}}", "duplicate");
    assert_fails(bench_results_read("/nonexistent/x.jsonl", &r), ASD_E_DATA, "x.jsonl");
}

/* Whatever the bytes: read, or refused as damaged. */
static void test_results_mutated(void **state)
{
    (void)state;
    char    path[4096], good[8192], bad[8192];
    FILE   *f = results_file(path);
    asd_rng rng;
    int     refused_files = 0;
    write_line(f, "relu", "cpu", 100, 0.01, 1);
    write_line(f, "gelu", "cpu", 100, 0.01, 0);
    fclose(f);
    f           = fopen(path, "r");
    size_t size = fread(good, 1, sizeof good, f);
    fclose(f);
    asd_rng_init(&rng, 11, ASD_RNG_TEST, 0, 0);
    for (int round = 0; round < 1500; ++round) {
        bench_results r;
        size_t        n = size;
        memcpy(bad, good, size);
        for (uint32_t i = 0; i <= asd_rng_below(&rng, 3); ++i)
            bad[asd_rng_below(&rng, (uint32_t)n)] = (char)asd_rng_below(&rng, 256);
        if (round % 3 == 0)
            n = asd_rng_below(&rng, (uint32_t)size);
        f = fopen(path, "w");
        fwrite(bad, 1, n, f);
        fclose(f);
        asd_status st = bench_results_read(path, &r);
        if (st && st != ASD_E_DATA)
            fail_msg("round %d: status %s: %s", round, asd_status_name(st), asd_error_text());
        refused_files += st != ASD_OK;
        for (int64_t i = 0; !st && i < r.n; ++i)
            for (int64_t k = 0; k < r.record[i].n; ++k)
                assert_true(r.record[i].sample[k] > 0 && isfinite(r.record[i].sample[k]));
        if (!st)
            bench_results_clear(&r);
    }
    assert_true(refused_files > 500);
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("bench/compare/verdicts", test_compare),
    ASD_CASE("bench/compare/interval-covers", test_compare_covers),
    ASD_CASE("bench/compare/devices", test_compare_devices),
    ASD_CASE("bench/results/pooled", test_results_pooled),
    ASD_CASE("bench/results/broken", test_results_broken),
    ASD_CASE("bench/results/mutated", test_results_mutated),
};
ASD_TEST_MAIN(cases)
