/* l2norm.c - each row divided by its Euclidean length.
 *
 *   y  = x / max(|x|, eps)                          (torch.nn.functional.normalize)
 *   dx = s (dy - h sum(dy h))      s = 1 / max(|x|, eps),  h = x s
 *   dx = s dy                      where |x| < eps: there y is a linear function of x
 *
 * x, y: (..., C) read as (R, C)   saved: (R) = |x|
 * Numerics: squares summed in fp32, so |x| between 1e-19 and 1e19. Backward makes h from x, not
 * from y, which may have been rounded to bf16.
 * Used by: embeddings before a cosine.
 */
#include "kernels/cpu.h"
#include "kernels/cpu_math.h"
#include "kernels/op.h"

#include "base/par.h"

#include <math.h>

static asd_status l2norm_infer(asd_node *n)
{
    char                   s[64];
    const asd_l2norm_attr *a = n->attr;
    if (n->in[0].shape.n < 1 || asd_count(n->in[0].shape) < 1)
        return ASD_FAIL(ASD_E_SHAPE, "l2norm: x %s, want (..., C) and not empty",
                        asd_shape_text(n->in[0].shape, s, sizeof s));
    if (!(a->eps > 0))
        return ASD_FAIL(ASD_E_CONFIG, "l2norm: eps %g, want above 0", (double)a->eps);
    n->y           = n->in[0];
    n->saved_bytes = (size_t)asd_rows(n->y.shape) * sizeof(float);
    return ASD_OK;
}

ASD_SIMD static void scale_row(const float *restrict x, float s, float *restrict y, int64_t C)
{
    for (int64_t i = 0; i < C; ++i)
        y[i] = x[i] * s;
}

/* dx = s (dy - x along), stored or added */
ASD_SIMD static void row_gradient(const float *restrict x, const float *restrict dy, float s,
                                  float along, float *restrict dx, int64_t C, int add)
{
    if (add)
        for (int64_t i = 0; i < C; ++i)
            dx[i] += s * (dy[i] - x[i] * along);
    else
        for (int64_t i = 0; i < C; ++i)
            dx[i] = s * (dy[i] - x[i] * along);
}

static void fwd_rows(void *ctx, int64_t first, int64_t rows)
{
    const asd_call *c   = ctx;
    float           eps = ((const asd_l2norm_attr *)c->attr)->eps, *norm = c->saved;
    int64_t         C = asd_last(c->y.shape);
    for (int64_t r = first; r < first + rows; ++r) {
        const float *x = (const float *)c->x[0].x + r * C;
        norm[r]        = sqrtf(asd_row_dot(x, x, C));
        scale_row(x, 1 / (norm[r] < eps ? eps : norm[r]), (float *)c->y.x + r * C, C);
    }
}

static void bwd_rows(void *ctx, int64_t first, int64_t rows)
{
    const asd_call *c    = ctx;
    float           eps  = ((const asd_l2norm_attr *)c->attr)->eps;
    const float    *norm = c->saved;
    int64_t         C    = asd_last(c->y.shape);
    for (int64_t r = first; r < first + rows; ++r) {
        const float *x = (const float *)c->x[0].x + r * C, *dy = (const float *)c->y.g + r * C;
        float        s     = 1 / (norm[r] < eps ? eps : norm[r]);
        float        along = norm[r] < eps ? 0 : s * (s * asd_row_dot(x, dy, C));
        row_gradient(x, dy, s, along, (float *)c->x[0].g + r * C, C, c->acc[0]);
    }
}

static asd_status l2norm_fwd_cpu(const asd_call *c)
{
    asd_par_ranges(asd_rows(c->y.shape), asd_chunk_rows(asd_last(c->y.shape)), fwd_rows, (void *)c);
    return ASD_OK;
}

static asd_status l2norm_bwd_cpu(const asd_call *c)
{
    /* y = x / max(|x|, eps)  ->  dx = s (dy - h sum(dy h)) where |x| >= eps, else s dy */
    if (c->x[0].g)
        asd_par_ranges(asd_rows(c->y.shape), asd_chunk_rows(asd_last(c->y.shape)), bwd_rows,
                       (void *)c);
    return ASD_OK;
}

static double l2norm_flops(const asd_node *n, int backward)
{
    return (double)asd_count(n->y.shape) * (backward ? 5 : 3);
}

static const asd_l2norm_attr torch = {.eps = 1e-12f};
/* Rows of 8 are shorter than this: the linear part, where the other one would show. */
static const asd_l2norm_attr long_eps = {.eps = 8};
#define CASE(label, attribute, R, C, is_bench)                                                     \
    {                                                                                              \
        .name = label, .n_in = 1, .attr = attribute, .bench = is_bench,                            \
        .in = {{ASD_F32, {2, {R, C}}}},                                                            \
    }
/* Widths as in layernorm.c: rows in registers of one warp or eight, and the general kernels. */
static const asd_case l2norm_cases[] = {
    CASE("R=1,C=1", &torch, 1, 1, 0),
    CASE("R=3,C=5", &torch, 3, 5, 0),
    CASE("R=9,C=40", &torch, 9, 40, 0),
    CASE("R=2,C=264", &torch, 2, 264, 0),
    CASE("R=2,C=521", &torch, 2, 521, 0),
    CASE("R=1,C=768", &torch, 1, 768, 0),
    CASE("R=1,C=1000", &torch, 1, 1000, 0),
    CASE("R=1,C=1032", &torch, 1, 1032, 0),
    CASE("R=1,C=2056", &torch, 1, 2056, 0),
    CASE("R=1,C=4104", &torch, 1, 4104, 0),
    CASE("R=5,C=8,short", &long_eps, 5, 8, 0),
    CASE("R=5,C=7,short", &long_eps, 5, 7, 0),
    {.name = "B=2,P=3,C=8", .n_in = 1, .attr = &torch, .in = {{ASD_F32, {3, {2, 3, 8}}}}},
    CASE("R=17,C=8200", &torch, 17, 8200, 1),
    CASE("R=16864,C=128", &torch, 16864, 128, 1),
    {.name = NULL},
};

const asd_op asd_op_l2norm = {
    .name   = "l2norm",
    .min_in = 1,
    .n_in   = 1,
    .infer  = l2norm_infer,
    .fwd    = {l2norm_fwd_cpu, ASD_CUDA_FN(l2norm_fwd_cuda)},
    .bwd    = {l2norm_bwd_cpu, ASD_CUDA_FN(l2norm_bwd_cuda)},
    .keeps  = ASD_KEEPS_X(0),
    .bf16   = ASD_KEEPS_X(0),
    .flops  = l2norm_flops,
    .cases  = l2norm_cases,
};
