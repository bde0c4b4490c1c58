/* test_tokens.c - the ops on tokens beyond their cases: a clip alone has the bits that it has in a
 * batch, on every backend; what is refused; values that are no numbers, or all the same.
 */
#include "harness.h"
#include "ref/nets.h"

#include "base/device.h"
#include "nn/plan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { B = 3, T = 37, F = 24, P = 36, C = 16 };

typedef struct rig {
    asd_params  params;
    asd_tape    tape;
    asd_plan   *plan;
    asd_gpu    *gpu;
    asd_stream *stream; /* NULL: the CPU */
} rig;

static asd_tape *rig_new(rig *r, int training, int cuda)
{
    memset(r, 0, sizeof *r);
    if (cuda) {
        assert_ok(asd_gpu_open(0, &r->gpu));
        assert_ok(asd_stream_new(r->gpu, &r->stream));
    }
    asd_params_init(&r->params);
    asd_tape_init(&r->tape, &r->params, training);
    return &r->tape;
}

static void rig_plan(rig *r, asd_val loss, const asd_val *outputs, int n)
{
    assert_ok(asd_params_alloc(&r->params, r->tape.training));
    asd_params_reset(&r->params, 5, 1);
    if (r->stream)
        assert_ok(asd_params_to_gpu(&r->params, r->stream));
    assert_ok(asd_plan_build(&r->tape, loss, outputs, n, r->stream, &r->plan));
}

static void rig_free(rig *r)
{
    asd_plan_free(r->plan);
    asd_tape_clear(&r->tape);
    asd_params_clear(&r->params);
    asd_stream_free(r->stream);
    asd_gpu_close(r->gpu);
}

static int backends(void)
{
    const char *why;
    return asd_cuda_count(&why) > 0 ? 2 : 1;
}

/* --- alone and in a batch --- */

enum { OUTPUTS = 9, MOST = 2 * P * C };

/* Every op of tokens on n clips; y: (n, MOST) each, what an output does not fill stays 0. */
static void forward(int cuda, int n, const float *x, const int32_t *lengths, float *y[OUTPUTS])
{
    rig                    r;
    asd_tape              *t      = rig_new(&r, 0, cuda);
    const asd_patches_attr square = {4, 8, 0, 0}, mels = {3, 8, 1, 0};
    const asd_gem_attr     cubes = {3, 1e-6f}, odd = {2.5f, 1e-6f};
    asd_val                samples = asd_tape_input(t, "x", ASD_F32, ASD_SHAPE3(n, T, F));
    asd_val                length  = asd_tape_input(t, "lengths", ASD_I32, ASD_SHAPE1(n));
    asd_val table = asd_tape_param(t, "table", ASD_SHAPE2(60, 32), ASD_INIT_FAN_IN, 1);
    asd_val cls   = asd_tape_param(t, "cls", ASD_SHAPE1(32), ASD_INIT_FAN_IN, 1);
    asd_val all[OUTPUTS];
    all[0] = asd_patches(t, samples, square); /* (n, 27, 32) */
    all[1] = asd_patches(t, samples, mels);
    all[2] = asd_tokens(t, all[0], table, cls);
    all[3] = asd_take(t, all[2], 1, 27);
    all[4] = asd_bandmean(t, all[3], 3);
    all[5] = asd_meanpool(t, all[3], length);
    all[6] = asd_meanstdpool(t, all[3], length);
    all[7] = asd_gempool(t, all[3], length, cubes);
    all[8] = asd_gempool(t, asd_add_scaled(t, all[3], all[0], -.5f), ASD_NO_VAL, odd);
    rig_plan(&r, ASD_NO_VAL, all, OUTPUTS);
    assert_ok(asd_plan_write(r.plan, samples, x));
    assert_ok(asd_plan_write(r.plan, length, lengths));
    assert_ok(asd_plan_forward(r.plan));
    for (int i = 0; i < OUTPUTS; ++i) {
        int64_t each = asd_count(asd_tape_shape(t, all[i])) / n;
        float  *got  = malloc((size_t)(n * each) * sizeof *got);
        assert_true(each <= MOST);
        assert_ok(asd_plan_read(r.plan, all[i], got));
        for (int b = 0; b < n; ++b)
            memcpy(y[i] + b * MOST, got + b * each, (size_t)each * sizeof *got);
        free(got);
    }
    rig_free(&r);
}

static void test_alone(void **state)
{
    (void)state;
    static const int32_t lengths[B] = {27, 11, 30};
    static float         x[B * T * F], batch[OUTPUTS][B * MOST], alone[OUTPUTS][MOST];
    float               *to[OUTPUTS];
    asd_rng              rng;
    asd_rng_init(&rng, 1, ASD_RNG_TEST, asd_rng_hash("tokens"), 0);
    asd_ref_fill(&rng, x, B * T * F);
    for (int cuda = 0; cuda < backends(); ++cuda) {
        for (int i = 0; i < OUTPUTS; ++i)
            to[i] = batch[i];
        forward(cuda, B, x, lengths, to);
        for (int b = 0; b < B; ++b) {
            for (int i = 0; i < OUTPUTS; ++i)
                to[i] = alone[i];
            forward(cuda, 1, x + b * T * F, lengths + b, to);
            for (int i = 0; i < OUTPUTS; ++i) {
                int differs = 0;
                for (int k = 0; k < MOST; ++k)
                    differs |= alone[i][k] != 0;
                assert_true(differs);
                if (memcmp(alone[i], batch[i] + b * MOST, sizeof alone[i]))
                    fail_msg("output %d, clip %d: other bits alone than in a batch", i, b);
            }
        }
    }
}

/* --- what is refused --- */

static void refuse(const char *text, asd_val (*record)(asd_tape *t, asd_val x))
{
    rig       r;
    asd_tape *t = rig_new(&r, 0, 0);
    asd_val   x = asd_tape_input(t, "x", ASD_F32, ASD_SHAPE3(B, P, C));
    assert_int_equal(record(t, x), ASD_NO_VAL);
    assert_fails(asd_plan_build(t, ASD_NO_VAL, NULL, 0, NULL, &r.plan), ASD_E_SHAPE, text);
    rig_free(&r);
}

static asd_val patch_too_large(asd_tape *t, asd_val x)
{
    asd_patches_attr attr = {P + 1, 4, 0, 0};
    return asd_patches(t, x, attr);
}

static asd_val patch_of_nothing(asd_tape *t, asd_val x)
{
    asd_patches_attr attr = {4, 0, 0, 0};
    return asd_patches(t, x, attr);
}

static asd_val table_too_short(asd_tape *t, asd_val x)
{
    asd_val table = asd_tape_input(t, "table", ASD_F32, ASD_SHAPE2(P - 1, C));
    return asd_tokens(t, x, table, ASD_NO_VAL);
}

static asd_val other_cls(asd_tape *t, asd_val x)
{
    asd_val table = asd_tape_input(t, "table", ASD_F32, ASD_SHAPE2(P, C));
    return asd_tokens(t, x, table, asd_tape_input(t, "cls", ASD_F32, ASD_SHAPE1(C + 1)));
}

static asd_val take_behind(asd_tape *t, asd_val x)
{
    return asd_take(t, x, 1, P);
}

static asd_val take_none(asd_tape *t, asd_val x)
{
    return asd_take(t, x, 1, 0);
}

static asd_val take_before(asd_tape *t, asd_val x)
{
    return asd_take(t, x, -1, 2);
}

static asd_val broken_bands(asd_tape *t, asd_val x)
{
    return asd_bandmean(t, x, 7);
}

static asd_val no_bands(asd_tape *t, asd_val x)
{
    return asd_bandmean(t, x, 0);
}

static asd_val gem_vanishes(asd_tape *t, asd_val x)
{
    asd_gem_attr attr = {7, 1e-6f};
    return asd_gempool(t, x, ASD_NO_VAL, attr);
}

static asd_val gem_lengths(asd_tape *t, asd_val x)
{
    asd_gem_attr attr = {3, 1e-6f};
    return asd_gempool(t, x, asd_tape_input(t, "n", ASD_I32, ASD_SHAPE1(B + 1)), attr);
}

static asd_val std_of_rows(asd_tape *t, asd_val x)
{
    return asd_meanstdpool(t, asd_tape_view(t, x, ASD_SHAPE2(B * P, C)), ASD_NO_VAL);
}

static asd_val add_other(asd_tape *t, asd_val x)
{
    return asd_add(t, x, asd_tape_view(t, x, ASD_SHAPE3(B, C, P)));
}

static void test_refused(void **state)
{
    (void)state;
    refuse("patches: x (3, 36, 16), want (B, T, F) with at least one patch of 37 x 4",
           patch_too_large);
    refuse("at least one patch of 4 x 0", patch_of_nothing);
    refuse("tokens: x (3, 36, 16), table f32 (35, 16), want", table_too_short);
    refuse("tokens: x (3, 36, 16), the token in front f32 (17), want f32 (16)", other_cls);
    refuse("take: 36 tokens from 1 on, of x (3, 36, 16)", take_behind);
    refuse("take: 0 tokens from 1 on", take_none);
    refuse("take: 2 tokens from -1 on", take_before);
    refuse("bandmean: x (3, 36, 16), want a multiple of 7 bands as P", broken_bands);
    refuse("a multiple of 0 bands", no_bands);
    refuse("gempool: power 7 and eps 1e-06", gem_vanishes);
    refuse("gempool: x (3, 36, 16), lengths i32 (4), want i32 (3)", gem_lengths);
    refuse("meanstd: x (108, 16), want (B, P, C)", std_of_rows);
    refuse("add: a f32 (3, 36, 16), b f32 (3, 16, 36), want the same twice", add_other);
}

/* --- numbers at their limits --- */

/* Column 0 all equal, 1 all negative, 2 with a NaN, 3 as it comes. */
static void test_limits(void **state)
{
    (void)state;
    enum { N = 5, COLUMNS = 4 };
    static const float x[N * COLUMNS] = {2,   -1, 1, 1,  2, -2, 2, 2,  2, -3,
                                         NAN, 3,  2, -4, 4, 4,  2, -5, 5, 5};
    for (int cuda = 0; cuda < backends(); ++cuda)
        for (int op = 0; op < 2; ++op) {
            rig                r;
            float              y[2 * COLUMNS], dx[N * COLUMNS];
            const asd_gem_attr cubes = {3, 1e-6f};
            asd_tape          *t     = rig_new(&r, 1, cuda);
            asd_val            in    = asd_tape_input(t, "x", ASD_F32, ASD_SHAPE3(1, N, COLUMNS));
            asd_tape_want_grad(t, in);
            asd_val out =
                op ? asd_gempool(t, in, ASD_NO_VAL, cubes) : asd_meanstdpool(t, in, ASD_NO_VAL);
            asd_val zero = asd_tape_input(t, "zero", ASD_F32, asd_tape_shape(t, out));
            asd_val loss = asd_mse(t, out, zero); /* its gradient is 2 y / (elements of y) */
            rig_plan(&r, loss, &out, 1);
            memset(dx, 0, sizeof dx);
            assert_ok(asd_plan_write(r.plan, in, x));
            assert_ok(asd_plan_write(r.plan, zero, dx));
            assert_ok(asd_plan_forward(r.plan));
            assert_ok(asd_plan_backward(r.plan));
            assert_ok(asd_plan_read(r.plan, out, y));
            assert_ok(asd_plan_read_grad(r.plan, in, dx));
            assert_near(y[0], 2, 1e-6);
            assert_true(isnan(y[2])); /* what is no number is not clamped away */
            assert_near(y[3], op ? cbrt(45) : 3, 1e-6);
            if (op) {
                assert_near(y[1], 1e-6, 1e-12);
                for (int p = 0; p < N; ++p)
                    assert_true(dx[p * COLUMNS + 1] == 0);
                assert_near(dx[0], 2. * 2 / 4 / N, 1e-6);
                assert_near(dx[3], 2 * cbrt(45) / 4 / pow(cbrt(45), 2) / N, 1e-6);
            } else {
                assert_true(y[COLUMNS] == 0); /* and no division by it */
                assert_near(dx[0], 2. * 2 / 8 / N, 1e-6);
                assert_near(y[COLUMNS + 3], sqrt(2), 1e-6);
                assert_near(dx[3], 2. * 3 / 8 / N + 2 * sqrt(2) / 8 * (1 - 3) / (N * sqrt(2)),
                            1e-6);
            }
            rig_free(&r);
        }
}

/* Patches of fp32 frames for a network in bf16: the same values, rounded once. */
static void test_patches_bf16(void **state)
{
    (void)state;
    static const asd_patches_attr how[3] = {{4, 8, 0, 1}, {4, 8, 1, 1}, {5, 3, 0, 1}};
    static float                  x[B * T * F], y[B * T * F];
    static uint16_t               y16[B * T * F];
    asd_rng                       rng;
    asd_rng_init(&rng, 2, ASD_RNG_TEST, asd_rng_hash("tokens"), 0);
    asd_ref_fill(&rng, x, B * T * F);
    for (int k = 0; k < 3; ++k) {
        rig              r;
        asd_patches_attr plain = how[k];
        asd_tape        *t     = rig_new(&r, 0, backends() - 1);
        asd_val          in    = asd_tape_input(t, "x", ASD_F32, ASD_SHAPE3(B, T, F));
        plain.bf16             = 0;
        asd_val out[2]         = {asd_patches(t, in, plain), asd_patches(t, in, how[k])};
        int64_t n              = asd_count(asd_tape_shape(t, out[0]));
        rig_plan(&r, ASD_NO_VAL, out, 2);
        assert_ok(asd_plan_write(r.plan, in, x));
        assert_ok(asd_plan_forward(r.plan));
        assert_ok(asd_plan_read(r.plan, out[0], y));
        assert_ok(asd_plan_read(r.plan, out[1], y16));
        for (int64_t i = 0; i < n; ++i) {
            uint32_t bits;
            memcpy(&bits, &y[i], sizeof bits);
            assert_int_equal(y16[i], (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16));
        }
        rig_free(&r);
    }
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("tokens/bits/alone-and-in-a-batch", test_alone),
    ASD_CASE("tokens/errors/shapes-and-attributes", test_refused),
    ASD_CASE("tokens/pools/limits", test_limits),
    ASD_CASE("tokens/patches/bf16-of-fp32", test_patches_bf16),
};

ASD_TEST_MAIN(cases)
