/* weightnorm.c - a convolution's weight as a direction and a length for every tap.
 *
 *   n[j] = sqrt(sum_r v[r, j]^2)        w[r, j] = g[j] v[r, j] / n[j]
 *   dg[j] = sum_r dw[r, j] v[r, j] / n[j]
 *   dv[r, j] = g[j] / n[j] (dw[r, j] - v[r, j] dg[j] / n[j])
 *
 * g: (k)   v, w: (O, I, k) read as (R, k)   saved: (k) = n
 * One length a tap over all the rest of v, as BEATs has it: PyTorch's weight_norm(dim=2). No
 * epsilon: a tap of zeros is NaN, as there.
 * Numerics: sums over rows in fp32, in parts (rows.h). w is fp32 on both backends.
 * Used by: BEATs' positional convolution.
 */
#include "kernels/cpu.h"
#include "kernels/op.h"
#include "kernels/rows.h"

#include "base/par.h"

#include <math.h>
#include <string.h>

static asd_status weightnorm_infer(asd_node *n)
{
    char      sg[64], sv[64];
    asd_shape g = n->in[0].shape, v = n->in[1].shape;
    if (v.n != 3 || asd_count(v) < 1 || !asd_shape_equal(g, ASD_SHAPE1(asd_last(v))))
        return ASD_FAIL(ASD_E_SHAPE, "weightnorm: g %s, v %s, want (k) and (O, I, k)",
                        asd_shape_text(g, sg, sizeof sg), asd_shape_text(v, sv, sizeof sv));
    n->y              = n->in[1];
    n->saved_bytes    = (size_t)asd_last(v) * sizeof(float);
    n->fwd_work_bytes = (size_t)(asd_parts(asd_rows(v)) * asd_last(v)) * sizeof(float);
    n->bwd_work_bytes = n->fwd_work_bytes + n->saved_bytes;
    return ASD_OK;
}

ASD_SIMD static void add_products(const float *restrict a, const float *restrict b,
                                  float *restrict sum, int64_t k)
{
    for (int64_t j = 0; j < k; ++j)
        sum[j] += a[j] * b[j];
}

/* line[j] = sum over the part's rows of a[r, j] b[r, j]; a may be b. */
static void sum_products(const float *a, const float *b, int64_t R, int64_t k, int64_t part,
                         float *line)
{
    int64_t rows = asd_part_rows(R);
    memset(line, 0, (size_t)k * sizeof *line);
    for (int64_t r = part * rows; r < R && r < (part + 1) * rows; ++r)
        add_products(a + r * k, b + r * k, line, k);
}

static void square_part(void *ctx, int64_t part)
{
    const asd_call *c = ctx;
    const float    *v = c->x[1].x;
    int64_t         k = asd_last(c->y.shape);
    sum_products(v, v, asd_rows(c->y.shape), k, part, (float *)c->work + part * k);
}

ASD_SIMD static void scale_row(const float *restrict v, const float *restrict g,
                               const float *restrict n, float *restrict w, int64_t k)
{
    for (int64_t j = 0; j < k; ++j)
        w[j] = g[j] / n[j] * v[j];
}

static void scale_part(void *ctx, int64_t part)
{
    const asd_call *c = ctx;
    int64_t         k = asd_last(c->y.shape), R = asd_rows(c->y.shape), rows = asd_part_rows(R);
    for (int64_t r = part * rows; r < R && r < (part + 1) * rows; ++r)
        scale_row((const float *)c->x[1].x + r * k, c->x[0].x, c->saved, (float *)c->y.x + r * k,
                  k);
}

static asd_status weightnorm_fwd_cpu(const asd_call *c)
{
    int64_t k = asd_last(c->y.shape), parts = asd_parts(asd_rows(c->y.shape));
    float  *n = c->saved;
    asd_par_for(parts, square_part, (void *)c);
    asd_sum_lines(c->work, parts, k, k, n, 0);
    for (int64_t j = 0; j < k; ++j)
        n[j] = sqrtf(n[j]);
    asd_par_for(parts, scale_part, (void *)c);
    return ASD_OK;
}

/* work: <dw, v> of each tap (k), then the parts' lines */
static void product_part(void *ctx, int64_t part)
{
    const asd_call *c = ctx;
    int64_t         k = asd_last(c->y.shape);
    sum_products(c->y.g, c->x[1].x, asd_rows(c->y.shape), k, part,
                 (float *)c->work + (part + 1) * k);
}

/* along: <dw, v>, so dg / n = along / n^2 */
ASD_SIMD static void turn_row(const float *restrict dw, const float *restrict v,
                              const float *restrict g, const float *restrict n,
                              const float *restrict along, float *restrict dv, int64_t k, int add)
{
    for (int64_t j = 0; j < k; ++j) {
        float d = g[j] / n[j] * (dw[j] - v[j] * (along[j] / n[j] / n[j]));
        dv[j]   = add ? dv[j] + d : d;
    }
}

static void turn_part(void *ctx, int64_t part)
{
    const asd_call *c = ctx;
    int64_t         k = asd_last(c->y.shape), R = asd_rows(c->y.shape), rows = asd_part_rows(R);
    for (int64_t r = part * rows; r < R && r < (part + 1) * rows; ++r)
        turn_row((const float *)c->y.g + r * k, (const float *)c->x[1].x + r * k, c->x[0].x,
                 c->saved, c->work, (float *)c->x[1].g + r * k, k, c->acc[1]);
}

static asd_status weightnorm_bwd_cpu(const asd_call *c)
{
    int64_t      k = asd_last(c->y.shape), parts = asd_parts(asd_rows(c->y.shape));
    float       *along = c->work, *dg = c->x[0].g;
    const float *n = c->saved;
    if (!dg && !c->x[1].g)
        return ASD_OK;
    asd_par_for(parts, product_part, (void *)c);
    asd_sum_lines(along + k, parts, k, k, along, 0);
    /* w = g v / n  ->  dg = <dw, v> / n */
    for (int64_t j = 0; dg && j < k; ++j)
        dg[j] = (c->acc[0] ? dg[j] : 0) + along[j] / n[j];
    /* w = g v / n, n = |v|  ->  dv = g / n (dw - v <dw, v> / n^2) */
    if (c->x[1].g)
        asd_par_for(parts, turn_part, (void *)c);
    return ASD_OK;
}

static double weightnorm_flops(const asd_node *n, int backward)
{
    return (double)asd_count(n->y.shape) * (backward ? 7 : 4);
}

#define CASE(O, I, k, is_bench)                                                                    \
    {                                                                                              \
        .name = "O=" #O ",I=" #I ",k=" #k, .n_in = 2, .bench = is_bench,                           \
        .in = {{ASD_F32, {1, {k}}}, {ASD_F32, {3, {O, I, k}}}}, .fill = {ASD_FILL_POSITIVE},       \
    }
static const asd_case weightnorm_cases[] = {
    CASE(2, 1, 1, 0),  CASE(3, 5, 7, 0),      CASE(4, 9, 8, 0), CASE(67, 2, 3, 0),
    CASE(5, 7, 33, 0), CASE(768, 48, 128, 1), {.name = NULL},
};

const asd_op asd_op_weightnorm = {
    .name   = "weightnorm",
    .min_in = 2,
    .n_in   = 2,
    .infer  = weightnorm_infer,
    .fwd    = {weightnorm_fwd_cpu, ASD_CUDA_FN(weightnorm_fwd_cuda)},
    .bwd    = {weightnorm_bwd_cpu, ASD_CUDA_FN(weightnorm_bwd_cuda)},
    .keeps  = ASD_KEEPS_X(0) | ASD_KEEPS_X(1),
    .flops  = weightnorm_flops,
    .cases  = weightnorm_cases,
};
