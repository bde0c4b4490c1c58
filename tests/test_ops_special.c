/* test_ops_special.c - values that test_ops.c does not draw: masked rows, constant rows, rows of
 * zeros, means far from zero, other seeds and steps; and inputs that do not fit. On every backend.
 */
#include "op_rig.h"
#include "ref/ref_encoder.h"

#include "base/device.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const unsigned char ALL[ASD_MAX_IN] = {1, 1, 1, 1, 1, 1, 1, 1}, STORE[ASD_MAX_IN];

/* check(r) for the case on the CPU, and on CUDA in fp32 and bf16 where there is CUDA. */
static void each_backend(const asd_op *op, const asd_case *c, void (*check)(op_rig *r))
{
    const char *why;
    int         variants = asd_cuda_count(&why) > 0 ? 3 : 1;
    for (int v = 0; v < variants; ++v) {
        op_rig r;
        op_rig_new(&r, op, c, v ? ASD_CUDA : ASD_CPU, v == 2);
        check(&r);
        op_rig_free(&r);
    }
}

static void set(op_rig *r, int k, int64_t i, double x)
{
    op_rig_put(r->node.in[k].dtype, r->fresh[k], i, x);
    r->ref[k][i] = op_rig_get(r->node.in[k].dtype, r->fresh[k], i);
}

static double y_at(const op_rig *r, int64_t i)
{
    return op_rig_get(r->node.y.dtype, op_rig_host(&r->y), i);
}

static double dx_at(const op_rig *r, int64_t i)
{
    return op_rig_get(r->node.in[0].dtype, op_rig_host(&r->g[0]), i);
}

/* Half a unit of the last place of y, relative. */
static double rounding(const op_rig *r)
{
    return r->node.y.dtype == ASD_BF16 ? 0x1p-8 : 0x1p-24;
}

/* Forward, keeping y (backward runs with y destroyed), and backward. */
static void both(op_rig *r, double *y, double *dy)
{
    op_rig_gradients(r, dy);
    op_rig_fwd(r);
    for (int64_t i = 0; i < asd_count(r->node.y.shape); ++i)
        y[i] = y_at(r, i);
    op_rig_bwd(r, ALL, STORE);
}

/* The three ways that a row is held: by lanes that stride, by one warp, by eight warps. */
static const int64_t WIDTHS[] = {7, 24, 1032};
enum { MOST = 3 * 1032 };

static void each_width(const asd_op *op, const void *attr, void (*check)(op_rig *r))
{
    for (int i = 0; i < 3; ++i) {
        int64_t  C = WIDTHS[i];
        asd_case c = {.name = "special",
                      .n_in = op == &asd_op_layernorm ? 3 : 1,
                      .attr = attr,
                      .in   = {{ASD_F32, ASD_SHAPE2(3, C)},
                               {ASD_F32, ASD_SHAPE1(C)},
                               {ASD_F32, ASD_SHAPE1(C)}}};
        each_backend(op, &c, check);
    }
}

/* --- softmax --- */

/* Row 0: the first masked. Row 1: all but the last. Row 2: every second. */
static int masked(int64_t row, int64_t c, int64_t C)
{
    return row == 0 ? c == 0 : row == 1 ? c < C - 1 : c % 2 != 0;
}

static void check_masked(op_rig *r)
{
    double  y[MOST], dy[MOST];
    int64_t C = asd_last(r->node.y.shape);
    for (int64_t i = 0; i < 3 * C; ++i)
        if (masked(i / C, i % C, C))
            set(r, 0, i, -INFINITY);
    both(r, y, dy);
    for (int64_t row = 0; row < 3; ++row) {
        double sum = 0;
        for (int64_t c = 0; c < C; ++c) {
            double dx = dx_at(r, row * C + c), at = y[row * C + c];
            sum += at;
            assert_true(isfinite(at) && isfinite(dx));
            if (masked(row, c, C))
                assert_true(at == 0 && dx == 0);
            else
                assert_true(at > 0);
        }
        assert_near(sum, 1, r->bf16 ? 0x1p-8 : 1e-5);
    }
    assert_near(y[2 * C - 1], 1, 0);
}

static void check_all_masked(op_rig *r)
{
    int64_t C = asd_last(r->node.y.shape);
    for (int64_t c = 0; c < C; ++c)
        set(r, 0, C + c, -INFINITY);
    op_rig_fwd(r);
    for (int64_t i = 0; i < 3 * C; ++i)
        assert_true(i / C == 1 ? isnan(y_at(r, i)) : isfinite(y_at(r, i)));
}

/* Far above where exp overflows: only differences count. */
static void check_large(op_rig *r)
{
    int64_t C = asd_last(r->node.y.shape);
    for (int64_t i = 0; i < 3 * C; ++i)
        set(r, 0, i, i % C == 2 ? 1024 : 512);
    op_rig_fwd(r);
    for (int64_t i = 0; i < 3 * C; ++i)
        assert_near(y_at(r, i), i % C == 2, 0);
}

static void test_softmax(void **state)
{
    static const asd_softmax_attr attr = {.scale = 0.5f};
    (void)state;
    each_width(&asd_op_softmax, &attr, check_masked);
    each_width(&asd_op_softmax, &attr, check_all_masked);
    each_width(&asd_op_softmax, &attr, check_large);
}

/* --- layernorm --- */

static void check_constant(op_rig *r)
{
    double  y[MOST], dy[MOST];
    int64_t C = asd_last(r->node.y.shape);
    for (int64_t c = 0; c < C; ++c)
        set(r, 0, C + c, 2.5);
    both(r, y, dy);
    for (int64_t c = 0; c < C; ++c) {
        double b = r->ref[2][c];
        assert_near(y[C + c], b, fabs(b) * rounding(r));
        assert_true(isfinite(dx_at(r, C + c)));
    }
}

/* A mean 2000 times the deviation: a variance by one pass would have no digit left. */
static void check_far_mean(op_rig *r)
{
    int64_t C = asd_last(r->node.y.shape);
    if (r->bf16)
        return; /* such a row cannot be written in 8 bits */
    for (int64_t i = 0; i < 3 * C; ++i)
        set(r, 0, i, 4096 + (double)(i * 37 % 16) * 0.25);
    op_rig_fwd(r);
    asd_ref_layernorm(&r->node, 1, (const double *const *)r->ref, r->y_ref, NULL);
    for (int64_t i = 0; i < 3 * C; ++i)
        assert_near(y_at(r, i), r->y_ref[i], 2e-3);
}

static void test_layernorm(void **state)
{
    static const asd_layernorm_attr attr = {.eps = 1e-5f, .alpha = 1};
    (void)state;
    each_width(&asd_op_layernorm, &attr, check_constant);
    each_width(&asd_op_layernorm, &attr, check_far_mean);
}

/* --- l2norm --- */

static void check_zero_row(op_rig *r)
{
    double  y[MOST], dy[MOST];
    int64_t C = asd_last(r->node.y.shape);
    for (int64_t c = 0; c < C; ++c)
        set(r, 0, C + c, 0);
    both(r, y, dy);
    for (int64_t c = 0; c < C; ++c) {
        assert_near(y[C + c], 0, 0);
        assert_near(dx_at(r, C + c), dy[C + c] * 1e12, fabs(dy[C + c]) * 1e10);
    }
}

static void test_l2norm(void **state)
{
    static const asd_l2norm_attr attr = {.eps = 1e-12f};
    (void)state;
    each_width(&asd_op_l2norm, &attr, check_zero_row);
}

/* --- gelu --- */

static void check_far(op_rig *r)
{
    static const double x[] = {0, 10, 88, 1e18, -10, -88, -1e18, -6};
    double              y[8], dy[8];
    for (int64_t i = 0; i < 8; ++i)
        set(r, 0, i, x[i]);
    both(r, y, dy);
    for (int64_t i = 0; i < 8; ++i) {
        double at = r->ref[0][i], want = at > 0 ? at : 0;
        assert_near(y[i], want, 2e-6 + want * rounding(r));
        want = i == 0 ? dy[i] / 2 : x[i] > 0 ? dy[i] : 0;
        assert_near(dx_at(r, i), want, fabs(dy[i]) * (2e-5 + rounding(r)));
    }
}

static void test_gelu(void **state)
{
    static const asd_case c = {.name = "far", .n_in = 1, .in = {{ASD_F32, {1, {8}}}}};
    (void)state;
    each_backend(&asd_op_gelu, &c, check_far);
}

/* --- dropout --- */

enum { DROPOUT_N = 4099 };
static const asd_dropout_attr third = {.drop_prob = 0.3f, .stream = 0xfedcba9876543210u};

static void run_at(op_rig *r, asd_step at, unsigned char *kept)
{
    memcpy(op_rig_host(&r->step), &at, sizeof at);
    op_rig_fwd(r);
    for (int64_t i = 0; i < DROPOUT_N; ++i) {
        double x = r->ref[0][i], y = y_at(r, i);
        kept[i] = y != 0;
        if (kept[i])
            assert_near(y, x / 0.7, fabs(x / 0.7) * (2e-7 + rounding(r)));
    }
}

static void check_mask(op_rig *r)
{
    static const asd_step at[] = {{.step = 0, .seed = 1},
                                  {.step = 1, .seed = 1},
                                  {.step = 0, .seed = 2},
                                  {.step = (int64_t)1 << 40, .seed = 0xffffffffffffffffu}};
    static unsigned char  kept[4][DROPOUT_N], again[DROPOUT_N];
    static double         dy[DROPOUT_N];
    for (int64_t i = 0; i < DROPOUT_N; ++i)
        set(r, 0, i, 1 + (double)(i % 7)); /* never 0 */
    for (int s = 0; s < 4; ++s) {
        int count = 0, common = 0;
        run_at(r, at[s], kept[s]);
        for (int64_t i = 0; i < DROPOUT_N; ++i) {
            uint32_t word =
                asd_ref_random_word(at[s].seed, 4, (uint64_t)at[s].step, third.stream, i);
            assert_int_equal(kept[s][i], word >= (uint32_t)((double)third.drop_prob * 0x1p32));
            count += kept[s][i];
            common += kept[s][i] == kept[0][i];
        }
        /* 0.7 of them, within 5 standard deviations; two masks agree by chance in 0.58 */
        assert_true(abs(count - (int)(0.7 * DROPOUT_N)) < 147);
        if (s)
            assert_true(abs(common - (int)(0.58 * DROPOUT_N)) < 158);
    }
    run_at(r, at[0], again);
    assert_memory_equal(again, kept[0], DROPOUT_N);
    /* backward makes the mask of the same step */
    op_rig_gradients(r, dy);
    op_rig_bwd(r, ALL, STORE);
    for (int64_t i = 0; i < DROPOUT_N; ++i)
        assert_near(dx_at(r, i), kept[0][i] ? dy[i] / 0.7 : 0,
                    fabs(dy[i]) * (1e-6 + 2 * rounding(r)));
}

static void test_dropout(void **state)
{
    static const asd_case c = {
        .name = "mask", .n_in = 1, .attr = &third, .in = {{ASD_F32, {1, {DROPOUT_N}}}}};
    (void)state;
    each_backend(&asd_op_dropout, &c, check_mask);
}

/* --- inputs that do not fit --- */

typedef struct misfit {
    const asd_op *op;
    const void   *attr;
    int           n_in;
    asd_spec      in[4];
    asd_status    status;
    const char   *says;
} misfit;

static void test_misfits(void **state)
{
    static const asd_layernorm_attr norm = {1e-5f, 1}, no_eps = {0, 1}, no_alpha = {1e-5f, NAN};
    static const asd_softmax_attr   zero = {0}, one = {1};
    static const asd_dropout_attr   certain = {1, 0}, negative = {-0.1f, 0}, tenth = {0.1f, 0};
    static const asd_l2norm_attr    flat      = {0};
    const misfit                    misfits[] = {
                           {&asd_op_layernorm,
                            &norm,
                            3,
                            {{ASD_F32, {2, {3, 5}}}, {ASD_F32, {1, {4}}}, {ASD_F32, {1, {5}}}},
                            ASD_E_SHAPE,
                            "layernorm: x (3, 5), w (4), want (5)"},
                           {&asd_op_layernorm,
                            &norm,
                            3,
                            {{ASD_F32, {2, {3, 5}}}, {ASD_F32, {1, {5}}}, {ASD_F32, {2, {3, 5}}}},
                            ASD_E_SHAPE,
                            "b (3, 5), want (5)"},
                           {&asd_op_layernorm,
                            &norm,
                            4,
                            {{ASD_F32, {2, {3, 5}}}, {ASD_F32, {1, {5}}}, {ASD_F32, {1, {5}}}, {ASD_F32, {2, {5, 3}}}},
                            ASD_E_SHAPE,
                            "residual f32 (5, 3), want the same"},
                           {&asd_op_layernorm,
                            &norm,
                            4,
                            {{ASD_BF16, {1, {5}}}, {ASD_F32, {1, {5}}}, {ASD_F32, {1, {5}}}, {ASD_F32, {1, {5}}}},
                            ASD_E_SHAPE,
                            "x bf16 (5), residual f32 (5)"},
                           {&asd_op_layernorm,
                            &no_eps,
                            3,
                            {{ASD_F32, {1, {5}}}, {ASD_F32, {1, {5}}}, {ASD_F32, {1, {5}}}},
                            ASD_E_CONFIG,
                            "eps 0"},
                           {&asd_op_layernorm,
                            &no_alpha,
                            3,
                            {{ASD_F32, {1, {5}}}, {ASD_F32, {1, {5}}}, {ASD_F32, {1, {5}}}},
                            ASD_E_CONFIG,
                            "alpha nan"},
                           {&asd_op_softmax, &zero, 1, {{ASD_F32, {1, {5}}}}, ASD_E_CONFIG, "scale 0"},
                           {&asd_op_softmax, &one, 1, {{ASD_F32, {0, {0}}}}, ASD_E_SHAPE, "want (..., C)"},
                           {&asd_op_dropout, &certain, 1, {{ASD_F32, {1, {5}}}}, ASD_E_CONFIG, "probability 1"},
                           {&asd_op_dropout, &negative, 1, {{ASD_F32, {1, {5}}}}, ASD_E_CONFIG, "probability -0.1"},
                           {&asd_op_dropout,
                            &tenth,
                            1,
                            {{ASD_F32, {2, {1 << 18, (1 << 16) + 1}}}},
                            ASD_E_SHAPE,
                            "17180131328 values, want at most 2^34"},
                           {&asd_op_l2norm, &flat, 1, {{ASD_F32, {1, {5}}}}, ASD_E_CONFIG, "eps 0"},
                           {&asd_op_meanpool,
                            NULL,
                            1,
                            {{ASD_F32, {2, {3, 5}}}},
                            ASD_E_SHAPE,
                            "x (3, 5), want (B, P, C)"},
                           {&asd_op_meanpool,
                            NULL,
                            2,
                            {{ASD_F32, {3, {3, 5, 2}}}, {ASD_I32, {1, {5}}}},
                            ASD_E_SHAPE,
                            "lengths i32 (5), want i32 (3)"},
                           {&asd_op_meanpool,
                            NULL,
                            2,
                            {{ASD_F32, {3, {3, 5, 2}}}, {ASD_F32, {1, {3}}}},
                            ASD_E_SHAPE,
                            "lengths f32 (3), want i32 (3)"},
                           {&asd_op_bias,
                            NULL,
                            2,
                            {{ASD_F32, {2, {3, 5}}}, {ASD_F32, {1, {3}}}},
                            ASD_E_SHAPE,
                            "bias: x (3, 5), b (3)"},
                           {&asd_op_bias,
                            NULL,
                            2,
                            {{ASD_F32, {3, {3, 2, 5}}}, {ASD_F32, {2, {2, 5}}}},
                            ASD_E_SHAPE,
                            "b (2, 5)"},
                           {&asd_op_bias,
                            NULL,
                            2,
                            {{ASD_F32, {1, {5}}}, {ASD_F32, {2, {1, 5}}}},
                            ASD_E_SHAPE,
                            "x (5), b (1, 5)"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof misfits / sizeof *misfits; ++i) {
        const misfit *m    = &misfits[i];
        asd_node      node = {.op = m->op, .attr = m->attr, .n_in = m->n_in};
        memcpy(node.in, m->in, sizeof m->in);
        assert_fails(m->op->infer(&node), m->status, m->says);
    }
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("ops/softmax/special/masked-and-large", test_softmax),
    ASD_CASE("ops/layernorm/special/constant-and-far-mean", test_layernorm),
    ASD_CASE("ops/l2norm/special/zero-row", test_l2norm),
    ASD_CASE("ops/gelu/special/far-out", test_gelu),
    ASD_CASE("ops/dropout/special/mask-by-seed-and-step", test_dropout),
    ASD_CASE("ops/infer/special/misfits", test_misfits),
};

ASD_TEST_MAIN(cases)
