/* affine.c - batch normalisation with frozen statistics, in training as in inference.
 *
 *   y  = h w + b               h = (x - m) s,  s = 1 / sqrt(var + eps)
 *   dx = dy w s        dw = sum_r dy h        db = sum_r dy
 *
 * x, y: (..., C) read as (R, C)   w, b, m, var: (C)
 * The batchnorm op takes the batch's own statistics when it trains; a pre-trained network whose
 * batches now come from one machine must not. dw and db in parts of rows (rows.h).
 * Used by: dasheng.
 */
#include "kernels/cpu.h"
#include "kernels/op.h"
#include "kernels/rows.h"

#include "base/par.h"

#include <math.h>
#include <string.h>

enum { CHUNK = 16384 };

static asd_status affine_infer(asd_node *n)
{
    char                   sx[64], sk[64];
    const asd_affine_attr *a = n->attr;
    asd_shape              x = n->in[0].shape, C = ASD_SHAPE1(asd_last(x));
    if (x.n < 1)
        return ASD_FAIL(ASD_E_SHAPE, "affine: x is a scalar, want (..., C)");
    for (int k = 1; k < 5; ++k)
        if (!asd_shape_equal(n->in[k].shape, C))
            return ASD_FAIL(ASD_E_SHAPE, "affine: input %d is %s, want (%lld) to fit x %s", k,
                            asd_shape_text(n->in[k].shape, sk, sizeof sk), (long long)C.d[0],
                            asd_shape_text(x, sx, sizeof sx));
    if (!(a->eps > 0))
        return ASD_FAIL(ASD_E_CONFIG, "affine: eps %g, want > 0", (double)a->eps);
    n->y              = n->in[0];
    n->bwd_work_bytes = (size_t)(asd_parts(asd_rows(x)) * 2 * C.d[0]) * sizeof(float);
    return ASD_OK;
}

static int64_t chunk_rows(int64_t C)
{
    return C < CHUNK ? CHUNK / C : 1;
}

static void fwd_chunk(void *ctx, int64_t chunk)
{
    const asd_call *c   = ctx;
    float           eps = ((const asd_affine_attr *)c->attr)->eps;
    int64_t         R = asd_rows(c->y.shape), C = asd_last(c->y.shape), rows = chunk_rows(C);
    const float    *w = c->x[1].x, *b = c->x[2].x, *m = c->x[3].x, *var = c->x[4].x;
    int64_t         end = (chunk + 1) * rows < R ? (chunk + 1) * rows : R;
    for (int64_t i = 0; i < C; ++i) {
        float k = w[i] / sqrtf(var[i] + eps);
        for (int64_t r = chunk * rows; r < end; ++r)
            ((float *)c->y.x)[r * C + i] =
                (((const float *)c->x[0].x)[r * C + i] - m[i]) * k + b[i];
    }
}

/* Rows of part p: their dx, and their sums of dy h and dy. */
static void bwd_part(void *ctx, int64_t p)
{
    const asd_call *c   = ctx;
    float           eps = ((const asd_affine_attr *)c->attr)->eps;
    int64_t         R = asd_rows(c->y.shape), C = asd_last(c->y.shape), rows = asd_part_rows(R);
    const float    *x = c->x[0].x, *w = c->x[1].x, *m = c->x[3].x, *var = c->x[4].x, *dy = c->y.g;
    float          *dx = c->x[0].g, *line = (float *)c->work + p * 2 * C;
    int64_t         end = (p + 1) * rows < R ? (p + 1) * rows : R;
    for (int64_t i = 0; i < C; ++i) {
        float s = 1 / sqrtf(var[i] + eps), dw = 0, db = 0;
        for (int64_t r = p * rows; r < end; ++r) {
            float d = dy[r * C + i];
            dw += d * (x[r * C + i] - m[i]) * s;
            db += d;
            if (dx)
                dx[r * C + i] = d * w[i] * s + (c->acc[0] ? dx[r * C + i] : 0);
        }
        line[i]     = dw;
        line[C + i] = db;
    }
}

static asd_status affine_fwd_cpu(const asd_call *c)
{
    int64_t rows = chunk_rows(asd_last(c->y.shape));
    asd_par_for((asd_rows(c->y.shape) + rows - 1) / rows, fwd_chunk, (void *)c);
    return ASD_OK;
}

static asd_status affine_bwd_cpu(const asd_call *c)
{
    /* y = (x - m) s w + b  ->  dx = dy w s, dw = sum dy h, db = sum dy */
    int64_t C = asd_last(c->y.shape), parts = asd_parts(asd_rows(c->y.shape));
    asd_par_for(parts, bwd_part, (void *)c);
    for (int k = 1; k < 3; ++k)
        if (c->x[k].g)
            asd_sum_lines((const float *)c->work + (k - 1) * C, parts, 2 * C, C, c->x[k].g,
                          c->acc[k]);
    return ASD_OK;
}

static double affine_flops(const asd_node *n, int backward)
{
    return (double)asd_count(n->y.shape) * (backward ? 7 : 3);
}

static const asd_affine_attr plain = {1e-5f};
#define CASE(R, C, is_bench)                                                                       \
    {                                                                                              \
        .name = "R=" #R ",C=" #C, .n_in = 5, .attr = &plain, .bench = is_bench,                    \
        .in   = {{ASD_F32, {2, {R, C}}},                                                           \
                 {ASD_F32, {1, {C}}},                                                              \
                 {ASD_F32, {1, {C}}},                                                              \
                 {ASD_F32, {1, {C}}},                                                              \
                 {ASD_F32, {1, {C}}}},                                                             \
        .fill = {[4] = ASD_FILL_POSITIVE},                                                         \
    }
static const asd_case affine_cases[] = {
    CASE(1, 1, 0),
    CASE(3, 5, 0),
    CASE(131, 3, 0),
    CASE(37, 64, 0),
    {.name = "B=2,T=3,C=4",
     .n_in = 5,
     .attr = &plain,
     .in   = {{ASD_F32, {3, {2, 3, 4}}},
              {ASD_F32, {1, {4}}},
              {ASD_F32, {1, {4}}},
              {ASD_F32, {1, {4}}},
              {ASD_F32, {1, {4}}}},
     .fill = {[4] = ASD_FILL_POSITIVE}},
    CASE(8008, 64, 1),
    {.name = NULL},
};

const asd_op asd_op_affine = {
    .name    = "affine",
    .min_in  = 5,
    .n_in    = 5,
    .infer   = affine_infer,
    .fwd     = {affine_fwd_cpu, ASD_CUDA_FN(affine_fwd_cuda)},
    .bwd     = {affine_bwd_cpu, ASD_CUDA_FN(affine_bwd_cuda)},
    .keeps   = ASD_KEEPS_X(0) | ASD_KEEPS_X(1) | ASD_KEEPS_X(3) | ASD_KEEPS_X(4),
    .no_grad = ASD_KEEPS_X(3) | ASD_KEEPS_X(4),
    .bf16    = ASD_KEEPS_X(0),
    .flops   = affine_flops,
    .cases   = affine_cases,
};
