/* softmax.c - each row's exponentials, divided by their sum.
 *
 *   y  = exp(v - max v) / sum exp(v - max v)        v = scale x
 *   dx = scale y (dy - sum(dy y))
 *
 * x, y: (..., C) read as (R, C)
 * -Inf entries (masked keys) get exactly 0; a row of nothing but -Inf has no answer and is NaN, as
 * in PyTorch.
 * Numerics: the largest entry is taken away first, so nothing overflows; sums in fp32.
 * Used by: attention without a fused kernel, attentive pooling.
 */
#include "kernels/cpu.h"
#include "kernels/cpu_math.h"
#include "kernels/op.h"

#include "base/par.h"

#include <math.h>

enum { LANES = ASD_LANES };

static asd_status softmax_infer(asd_node *n)
{
    char                    s[64];
    const asd_softmax_attr *a = n->attr;
    if (n->in[0].shape.n < 1 || asd_count(n->in[0].shape) < 1)
        return ASD_FAIL(ASD_E_SHAPE, "softmax: x %s, want (..., C) and not empty",
                        asd_shape_text(n->in[0].shape, s, sizeof s));
    if (!(a->scale > 0) || !isfinite(a->scale))
        return ASD_FAIL(ASD_E_CONFIG, "softmax: scale %g, want above 0", (double)a->scale);
    n->y = n->in[0];
    return ASD_OK;
}

ASD_SIMD static float row_max(const float *x, int64_t C)
{
    float   m[LANES];
    int64_t i = 0;
    for (int k = 0; k < LANES; ++k)
        m[k] = -INFINITY;
    for (; i + LANES <= C; i += LANES)
        for (int k = 0; k < LANES; ++k)
            m[k] = x[i + k] > m[k] ? x[i + k] : m[k];
    for (; i < C; ++i)
        m[i % LANES] = x[i] > m[i % LANES] ? x[i] : m[i % LANES];
    for (int k = 1; k < LANES; ++k)
        m[0] = m[k] > m[0] ? m[k] : m[0];
    return m[0];
}

ASD_SIMD static void exponentials(const float *restrict x, float scale, float max,
                                  float *restrict y, int64_t C)
{
    for (int64_t i = 0; i < C; ++i)
        y[i] = asd_exp_f32(scale * x[i] - max);
}

ASD_SIMD static float row_sum(const float *y, int64_t C)
{
    float   s[LANES] = {0};
    int64_t i        = 0;
    for (; i + LANES <= C; i += LANES)
        for (int k = 0; k < LANES; ++k)
            s[k] += y[i + k];
    for (; i < C; ++i)
        s[i % LANES] += y[i];
    return asd_lanes_sum(s);
}

ASD_SIMD static void divide(float *y, float by, int64_t C)
{
    for (int64_t i = 0; i < C; ++i)
        y[i] /= by;
}

ASD_SIMD static void row_gradient(const float *restrict y, const float *restrict dy, float scale,
                                  float dot, float *restrict dx, int64_t C, int add)
{
    if (add)
        for (int64_t i = 0; i < C; ++i)
            dx[i] += scale * y[i] * (dy[i] - dot);
    else
        for (int64_t i = 0; i < C; ++i)
            dx[i] = scale * y[i] * (dy[i] - dot);
}

static void fwd_rows(void *ctx, int64_t first, int64_t rows)
{
    const asd_call *c     = ctx;
    float           scale = ((const asd_softmax_attr *)c->attr)->scale;
    int64_t         C     = asd_last(c->y.shape);
    for (int64_t r = first; r < first + rows; ++r) {
        const float *x = (const float *)c->x[0].x + r * C;
        float       *y = (float *)c->y.x + r * C;
        exponentials(x, scale, scale * row_max(x, C), y, C);
        divide(y, row_sum(y, C), C);
    }
}

static void bwd_rows(void *ctx, int64_t first, int64_t rows)
{
    const asd_call *c     = ctx;
    float           scale = ((const asd_softmax_attr *)c->attr)->scale;
    int64_t         C     = asd_last(c->y.shape);
    for (int64_t r = first; r < first + rows; ++r) {
        const float *y = (const float *)c->y.x + r * C, *dy = (const float *)c->y.g + r * C;
        row_gradient(y, dy, scale, asd_row_dot(y, dy, C), (float *)c->x[0].g + r * C, C, c->acc[0]);
    }
}

static asd_status softmax_fwd_cpu(const asd_call *c)
{
    asd_par_ranges(asd_rows(c->y.shape), asd_chunk_rows(asd_last(c->y.shape)), fwd_rows, (void *)c);
    return ASD_OK;
}

static asd_status softmax_bwd_cpu(const asd_call *c)
{
    /* y = exp(scale x) / sum exp(scale x)  ->  dx = scale y (dy - sum(dy y)) */
    if (c->x[0].g)
        asd_par_ranges(asd_rows(c->y.shape), asd_chunk_rows(asd_last(c->y.shape)), bwd_rows,
                       (void *)c);
    return ASD_OK;
}

/* An exponential counts as one. */
static double softmax_flops(const asd_node *n, int backward)
{
    return (double)asd_count(n->y.shape) * (backward ? 5 : 6);
}

static const asd_softmax_attr plain = {.scale = 1}, eighth = {.scale = 0.125f};
#define CASE(R, C, is_bench)                                                                       \
    {                                                                                              \
        .name = "R=" #R ",C=" #C, .n_in = 1, .attr = &plain, .bench = is_bench,                    \
        .in = {{ASD_F32, {2, {R, C}}}},                                                            \
    }
/* Widths as in layernorm.c: rows in registers of one warp or eight, and the general kernels. */
static const asd_case softmax_cases[] = {
    CASE(1, 1, 0),
    CASE(3, 7, 0),
    CASE(9, 40, 0),
    CASE(2, 496, 0),
    CASE(1, 521, 0),
    CASE(2, 768, 0),
    CASE(1, 1000, 0),
    CASE(1, 1032, 0),
    CASE(1, 2056, 0),
    {.name = "B=2,H=3,T=5,K=8,scale",
     .n_in = 1,
     .attr = &eighth,
     .in   = {{ASD_F32, {4, {2, 3, 5, 8}}}}},
    {.name = "R=5,C=13,scale", .n_in = 1, .attr = &eighth, .in = {{ASD_F32, {2, {5, 13}}}}},
    {.name  = "B=2,H=12,T=496,T=496",
     .n_in  = 1,
     .attr  = &plain,
     .in    = {{ASD_F32, {4, {2, 12, 496, 496}}}},
     .bench = 1},
    CASE(17, 8200, 1),
    {.name = NULL},
};

const asd_op asd_op_softmax = {
    .name   = "softmax",
    .min_in = 1,
    .n_in   = 1,
    .infer  = softmax_infer,
    .fwd    = {softmax_fwd_cpu, ASD_CUDA_FN(softmax_fwd_cuda)},
    .bwd    = {softmax_bwd_cpu, ASD_CUDA_FN(softmax_bwd_cuda)},
    .keeps  = ASD_KEEPS_Y,
    .bf16   = ASD_KEEPS_X(0),
    .flops  = softmax_flops,
    .cases  = softmax_cases,
};
