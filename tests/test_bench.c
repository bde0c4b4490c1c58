/* test_bench.c - asd-bench: a wrong result is never timed, a stand-in computes what we compute, and
 * a peer is talked to. Timings themselves are not tested: they decide nothing here. */
#include "harness.h"

#include "base/device.h"
#include "base/rng.h"
#include "cuda/gpu.h"
#include "tools/bench.h"
#include "tools/bench_peak.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const bench_options quick = {
    .min_seconds = 2e-4, .warm_seconds = 0, .cold_calls = 2, .library = 0};

static void open_cpu(bench_device *d)
{
    assert_ok(bench_cpu_open(d));
    d->scrub_bytes = 4096; /* cold enough for a test */
    d->flops_per_s = 1e9;
    d->bytes_per_s = 1e9;
}

static const asd_case *case_named(const asd_op *op, const char *name)
{
    for (const asd_case *c = op->cases; c->name; ++c)
        if (!strcmp(c->name, name))
            return c;
    fail_msg("%s has no case %s", op->name, name);
    return NULL;
}

/* --- checks --- */

static asd_status last_element_off(const asd_call *c)
{
    ASD_TRY(asd_op_relu.fwd[ASD_CPU](c));
    ((float *)c->y.x)[asd_count(c->y.shape) - 1] += 1e-2f;
    return ASD_OK;
}

static asd_status first_not_written(const asd_call *c)
{
    float keep = *(float *)c->y.x;
    ASD_TRY(asd_op_relu.fwd[ASD_CPU](c));
    *(float *)c->y.x = keep; /* whatever was there before */
    return ASD_OK;
}

static asd_status one_gradient_missing(const asd_call *c)
{
    float *dx = c->x[0].g;
    ASD_TRY(asd_op_relu.bwd[ASD_CPU](c));
    int64_t i = asd_count(c->y.shape) / 2; /* one that is not 0 */
    while (((const float *)c->y.x)[i] <= 0)
        ++i;
    dx[i] = 0;
    return ASD_OK;
}

static asd_status other_bits(const asd_call *c)
{
    static float move; /* within every limit, but not the same twice */
    ASD_TRY(asd_op_relu.fwd[ASD_CPU](c));
    float *y = c->y.x;
    for (int64_t i = 0; i < asd_count(c->y.shape); ++i)
        if (y[i] > 1) {
            y[i] += move;
            break;
        }
    move = 1.2e-7f - move;
    return ASD_OK;
}

/* Runs the op's case and demands that it is refused with this reason and has no times. */
static void refused(const asd_op *op, const char *case_name, bench_pass pass, const char *why)
{
    bench_device  d;
    bench_subject s;
    char          roof;
    open_cpu(&d);
    assert_ok(bench_op_open(&s, &d, op, case_named(op, case_name), ASD_F32, pass));
    assert_ok(bench_run(&d, &s, &quick, NULL));
    assert_false(s.line.check.passed);
    if (!asd_test_contains(s.line.check.why, why))
        fail_msg("refused because \"%s\", want \"%s\"", s.line.check.why, why);
    assert_int_equal(s.line.ours.hot.n, 0);
    assert_int_equal(s.line.ours.cold.n, 0);
    assert_int_equal(s.line.ours.n_samples, 0);
    assert_true(isnan(bench_roofline(&d, &s.line, &roof)));
    json_t *o = bench_line_json(&d, &s.line);
    assert_null(json_object_get(o, "median_us"));
    assert_null(json_object_get(o, "samples_us"));
    assert_true(json_is_false(json_object_get(json_object_get(o, "check"), "passed")));
    json_decref(o);
    char  *text = NULL;
    size_t size;
    FILE  *f = open_memstream(&text, &size);
    assert_ok(bench_print_line(f, 0, &d, &s.line));
    fclose(f);
    assert_non_null(strstr(text, "FAILED, not timed"));
    free(text);
    s.close(s.ctx);
    bench_device_close(&d);
}

static void test_wrong_is_not_timed(void **state)
{
    (void)state;
    asd_op wrong       = asd_op_relu;
    wrong.fwd[ASD_CPU] = last_element_off;
    refused(&wrong, "n=65537", BENCH_FWD, "y: error");
    wrong.fwd[ASD_CPU] = first_not_written;
    refused(&wrong, "n=65537", BENCH_FWD, "y: error nan");
    wrong              = asd_op_relu;
    wrong.bwd[ASD_CPU] = one_gradient_missing;
    refused(&wrong, "n=65537", BENCH_BWD, "gradient of input 0: error");
    wrong              = asd_op_relu;
    wrong.fwd[ASD_CPU] = other_bits;
    refused(&wrong, "B=256,C=128", BENCH_FWD, "differ in their bits");
    wrong      = asd_op_relu;
    wrong.name = "nothing";
    refused(&wrong, "B=3,C=7", BENCH_FWD, "no naive reference");
}

static void check_one(bench_device *d, const asd_op *op, const asd_case *c, asd_dtype precision,
                      bench_pass pass)
{
    bench_subject s;
    bench_check   check;
    assert_ok(bench_op_open(&s, d, op, c, precision, pass));
    assert_ok(s.check(s.ctx, &check));
    if (!check.passed)
        fail_msg("%s %s %s %s: %s", op->name, c->name, asd_dtype_name(precision),
                 bench_pass_name(pass), check.why);
    assert_true(s.line.bytes > 0);
    s.close(s.ctx);
}

/* The limits hold for what is right: every small case of every op. */
static void check_small(bench_device *d, asd_dtype precision)
{
    for (const asd_op *const *op = asd_ops; *op; ++op)
        for (const asd_case *c = (*op)->cases; c->name; ++c) {
            if (c->bench || (precision == ASD_BF16 && !(*op)->bf16))
                continue;
            if ((*op)->fwd[d->kind])
                check_one(d, *op, c, precision, BENCH_FWD);
            if ((*op)->bwd[d->kind] && !c->inference)
                check_one(d, *op, c, precision, BENCH_BWD);
        }
}

static void test_right_passes(void **state)
{
    (void)state;
    bench_device d;
    open_cpu(&d);
    check_small(&d, ASD_F32);
    bench_device_close(&d);
}

/* On a GPU, or on the shim that runs its kernels on the CPU. */
static void test_right_passes_cuda(void **state)
{
    (void)state;
    bench_device d;
    const char  *why;
    if (!asd_cuda_count(&why)) {
        print_message("skipped: %s\n", why);
        skip();
    }
    assert_ok(bench_device_open(&d, "cuda"));
    check_small(&d, ASD_F32);
    check_small(&d, ASD_BF16);
    bench_device_close(&d);
}

/* Three machines of each detector's device form, held against the CPU, and the fit alone. */
static void test_detectors_cuda(void **state)
{
    (void)state;
    char       *argv[] = {"detectors", "--device",  "cuda",    "--machines", "3",
                          "--rows",    "60",        "--tests", "7",          "--columns",
                          "12",        "--seconds", "0.01",    "-q"};
    const char *why;
    if (!asd_cuda_count(&why)) {
        print_message("skipped: %s\n", why);
        skip();
    }
    assert_int_equal(bench_detectors_main((int)(sizeof argv / sizeof *argv), argv), 0);
}

static asd_status count_call(void *ctx)
{
    bench_device *d = ((void **)ctx)[0];
    return asd_stream_zero(d->stream, ((void **)ctx)[1], 4096);
}

/* Captured, launched, timed: times are there and of one call each. */
static void test_cuda_clock(void **state)
{
    (void)state;
    bench_device d;
    double       time[50];
    int          n;
    const char  *why;
    void        *ctx[2] = {&d, NULL};
    if (!asd_cuda_count(&why)) {
        print_message("skipped: %s\n", why);
        skip();
    }
    assert_ok(bench_device_open(&d, "cuda"));
    assert_ok(d.backend->alloc(&d, 4096, "a test", &ctx[1]));
    assert_ok(d.backend->hot(&d, count_call, ctx, 1e-3, 50, time, &n));
    assert_true(n >= 1 && n <= 50);
    for (int i = 0; i < n; ++i)
        assert_true(time[i] >= 0 && time[i] < 1);
    assert_ok(d.backend->cold(&d, count_call, ctx, 3, time));
    for (int i = 0; i < 3; ++i)
        assert_true(time[i] >= 0 && time[i] < 1);
    d.backend->release(&d, ctx[1]);
    bench_device_close(&d);
}

static void check_adam(bench_device *d)
{
    bench_subject s;
    assert_ok(bench_adam_open(&s, d, 20011));
    assert_ok(bench_run(d, &s, &quick, NULL));
    assert_string_equal(s.line.check.why, "");
    assert_true(s.line.check.passed && s.line.check.error > 0);
    assert_true(s.line.ours.hot.n > 0 && s.line.ours.n_samples >= 5);
    s.close(s.ctx);
}

static void test_adam(void **state)
{
    (void)state;
    bench_device d;
    open_cpu(&d);
    check_adam(&d);
    bench_device_close(&d);
}

static void test_adam_cuda(void **state)
{
    (void)state;
    bench_device d;
    const char  *why;
    if (!asd_cuda_count(&why)) {
        print_message("skipped: %s\n", why);
        skip();
    }
    assert_ok(bench_device_open(&d, "cuda"));
    check_adam(&d);
    bench_device_close(&d);
}

/* --- stand-ins --- */

/* 0: there is none. */
static int standin_agrees(bench_device *d, const asd_op *op, const asd_case *c, bench_pass pass)
{
    bench_subject s;
    bench_standin lib;
    double        difference = NAN;
    assert_ok(bench_op_open(&s, d, op, c, ASD_F32, pass));
    assert_ok(bench_standin_open(&lib, d, &s));
    int there = lib.call != NULL;
    if (there) {
        assert_ok(s.call(s.ctx));
        assert_ok(lib.call(lib.ctx));
        assert_ok(d->backend->wait(d));
        assert_ok(lib.difference(lib.ctx, &difference));
        if (!(difference <= 1e-4))
            fail_msg("%s %s %s: %s differs by %g", op->name, c->name, bench_pass_name(pass),
                     lib.name, difference);
    }
    bench_standin_close(&lib);
    s.close(s.ctx);
    return there;
}

/* Every small case of an op: 1 when some forward had a stand-in, 2 for a backward, 3 for both. */
static int standins_of(bench_device *d, const char *name)
{
    const asd_op *op    = asd_op_find(name);
    int           there = 0;
    assert_non_null(op);
    for (const asd_case *c = op->cases; c->name; ++c) {
        if (c->bench || asd_rows(c->in[0].shape) < 3) /* of two rows a gradient cancels to noise */
            continue;
        there |= standin_agrees(d, op, c, BENCH_FWD);
        if (op->bwd[d->kind] && !c->inference)
            there |= standin_agrees(d, op, c, BENCH_BWD) << 1;
    }
    return there;
}

static void test_standins_agree(void **state)
{
    (void)state;
    static const char *const expected[] = {"linear",    "batchnorm", "relu",
                                           "layernorm", "softmax",   "gelu"};
    bench_device             d;
    open_cpu(&d);
    for (size_t i = 0; i < sizeof expected / sizeof *expected; ++i)
        if (standins_of(&d, expected[i]) != 3)
            fail_msg("%s has no stand-in forward and backward", expected[i]);
    assert_int_equal(standins_of(&d, "bias"), 1);
    assert_int_equal(standins_of(&d, "meanpool"), 1);
    assert_int_equal(standins_of(&d, "mse"), 0);
    bench_device_close(&d);
}

static void test_standins_agree_cuda(void **state)
{
    (void)state;
    bench_device d;
    const char  *why;
    if (!asd_cuda_count(&why)) {
        print_message("skipped: %s\n", why);
        skip();
    }
    assert_ok(bench_device_open(&d, "cuda"));
    assert_int_equal(standins_of(&d, "linear"), 3);
    bench_device_close(&d);
}

static asd_status nothing(void *ctx)
{
    (void)ctx;
    return ASD_OK;
}

/* --- statistics --- */

static void test_spread(void **state)
{
    (void)state;
    double       v[] = {5, 1, 4, 2, 3, 10, 9, 8, 7, 6}, odd[] = {3, 1, 2};
    bench_spread s = bench_spread_of(v, 10);
    assert_near(s.median, 5.5, 0);
    assert_near(s.p20, 3, 0);
    assert_near(s.p80, 8, 0);
    assert_near(s.min, 1, 0);
    assert_int_equal(s.n, 10);
    assert_near(bench_median(odd, 3), 2, 0);
}

static void test_roofline(void **state)
{
    (void)state;
    bench_device d = {.flops_per_s = 100, .bytes_per_s = 10};
    bench_line   l = {.flops = 50, .bytes = 2, .ours.hot = {.median = 1, .n = 1}};
    char         roof;
    assert_near(bench_roofline(&d, &l, &roof), 0.5, 1e-15); /* 0.5 s of compute, 0.2 s of memory */
    assert_int_equal(roof, 'c');
    l.bytes = 8;
    assert_near(bench_roofline(&d, &l, &roof), 0.8, 1e-15);
    assert_int_equal(roof, 'm');
}

static void test_clock(void **state)
{
    (void)state;
    bench_device d;
    double       time[100];
    int          n;
    open_cpu(&d);
    assert_ok(d.backend->hot(&d, nothing, NULL, 1e-3, 100, time, &n));
    assert_int_equal(n, 100); /* a call that does nothing fills the room, many calls a time */
    for (int i = 0; i < n; ++i)
        assert_true(time[i] >= 0 && time[i] < 1e-3);
    assert_ok(d.backend->cold(&d, nothing, NULL, 3, time));
    assert_ok(d.backend->ceilings(&d, 1e-3));
    assert_true(d.flops_per_s > 1e8 && d.flops_per_s < 1e15);
    assert_true(d.bytes_per_s > 1e7 && d.bytes_per_s < 1e14);
    bench_device_close(&d);
}

/* Twelve chains from 1 + i / 8: without a step they add up to 20.25; after many each is 1, of pairs
 * of zeros what it was. */
static void test_peak(void **state)
{
    (void)state;
    int ran = 0;
    for (const bench_chains *const *c = bench_chains_all; *c; ++c) {
        if (!bench_chains_run(*c))
            continue;
        assert_near((double)(*c)->run(0), 20.25, 0);
        assert_near((double)(*c)->run(200), (*c)->bf16 ? 20.25 : 12, 1e-5);
        assert_true((*c)->flops % 24 == 0);
        ++ran;
    }
    assert_true(ran > 0);
    for (int bf16 = 0; bf16 < 2; ++bf16) {
        const char *by   = NULL;
        double      peak = bench_peak(bf16, 1e-3, &by);
        assert_true(peak > 1e8 && peak < 1e15);
        assert_true(strstr(by, "fp32") || (bf16 && strstr(by, "bf16")));
    }
}

/* --- peer --- */

static bench_peer *fake_peer(bench_device *d, const char *script, char *why, size_t size)
{
    char        path[4096];
    bench_peer *p = NULL;
    snprintf(path, sizeof path, "%s/peer.sh", asd_test_folder());
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(script, f);
    fclose(f);
    assert_ok(bench_peer_open("/bin/sh", path, d, &p, why, size));
    return p;
}

static void test_peer(void **state)
{
    (void)state;
    bench_device  d;
    bench_subject s;
    char          why[200];
    double        median;
    open_cpu(&d);
    assert_ok(bench_op_open(&s, &d, &asd_op_relu, case_named(&asd_op_relu, "B=3,C=7"), ASD_F32,
                            BENCH_BWD));
    assert_null(fake_peer(&d, "echo '{\"skip\": \"no torch here\"}'", why, sizeof why));
    assert_string_equal(why, "no torch here");
    assert_null(fake_peer(&d, "echo hello", why, sizeof why));
    assert_non_null(strstr(why, "does not run"));
    bench_peer *p = NULL;
    assert_ok(bench_peer_open("/nonexistent/python", "x", &d, &p, why, sizeof why));
    assert_null(p);
    p = fake_peer(&d,
                  "echo '{\"peer\": \"fake 1\"}'; read a\n"
                  "case $a in *'\"op\":\"relu\",\"case\":\"B=3,C=7\",\"pass\":\"bwd\"'*'[[3,7]]'*) "
                  ";; *) exit 1 ;; esac\n"
                  "echo '{\"median_s\": 0.25}'; read a; echo '{\"skip\": \"not this\"}'; read a\n",
                  why, sizeof why);
    assert_non_null(p);
    assert_string_equal(bench_peer_name(p), "fake 1");
    assert_ok(bench_peer_time(p, &s, 0.1, &median, why, sizeof why));
    assert_near(median, 0.25, 0);
    assert_ok(bench_peer_time(p, &s, 0.1, &median, why, sizeof why));
    assert_near(median, 0, 0);
    assert_string_equal(why, "not this");
    for (int i = 0; i < 2; ++i) { /* it ends without an answer: said, and no failure */
        assert_ok(bench_peer_time(p, &s, 0.1, &median, why, sizeof why));
        assert_near(median, 0, 0);
    }
    bench_peer_close(p);
    s.close(s.ctx);
    bench_device_close(&d);
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("bench/peak/chains", test_peak),
    ASD_CASE("bench/check/wrong-is-not-timed", test_wrong_is_not_timed),
    ASD_CASE("bench/check/right-passes", test_right_passes),
    ASD_CASE("bench/check/right-passes-cuda", test_right_passes_cuda),
    ASD_CASE("bench/detectors/cuda", test_detectors_cuda),
    ASD_CASE("bench/check/adam", test_adam),
    ASD_CASE("bench/check/adam-cuda", test_adam_cuda),
    ASD_CASE("bench/standin/agrees", test_standins_agree),
    ASD_CASE("bench/standin/agrees-cuda", test_standins_agree_cuda),
    ASD_CASE("bench/time/spread", test_spread),
    ASD_CASE("bench/time/roofline", test_roofline),
    ASD_CASE("bench/time/clock", test_clock),
    ASD_CASE("bench/time/cuda-clock", test_cuda_clock),
    ASD_CASE("bench/peer/talks", test_peer),
};
ASD_TEST_MAIN(cases)
