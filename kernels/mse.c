/* mse.c - mean squared error: y = mean over all elements of (p - t)^2.
 *
 *   dp = 2 (p - t) dy / n        dt = -dp
 *
 * p, t: any equal shape   y: scalar (shape (1))
 * Numerics: squares and their sum in double, in fixed chunks, because a sum of 163,840 fp32 terms
 * (batch 256 of the autoencoder) loses 3 digits when added one by one. Used by: autoencoder.
 */
#include "kernels/cpu.h"
#include "kernels/op.h"

#include "base/par.h"

enum { CHUNK = 16384 };

static int64_t n_chunks(asd_shape s)
{
    return (asd_count(s) + CHUNK - 1) / CHUNK;
}

static asd_status mse_infer(asd_node *n)
{
    char sp[64], st[64];
    if (!asd_shape_equal(n->in[0].shape, n->in[1].shape) || asd_count(n->in[0].shape) < 1)
        return ASD_FAIL(ASD_E_SHAPE, "mse: p %s and t %s, want equal and not empty",
                        asd_shape_text(n->in[0].shape, sp, sizeof sp),
                        asd_shape_text(n->in[1].shape, st, sizeof st));
    n->y              = (asd_spec){ASD_F32, ASD_SHAPE1(1)};
    n->fwd_work_bytes = (size_t)n_chunks(n->in[0].shape) * sizeof(double);
    return ASD_OK;
}

/* Eight running sums, so that the order of additions is the same for every vector width. */
ASD_SIMD static double sum_squares(const float *restrict p, const float *restrict t, int64_t n)
{
    double  s[8] = {0};
    int64_t i    = 0;
    for (; i + 8 <= n; i += 8)
        for (int k = 0; k < 8; ++k) {
            double d = (double)p[i + k] - (double)t[i + k];
            s[k] += d * d;
        }
    for (; i < n; ++i) {
        double d = (double)p[i] - (double)t[i];
        s[i % 8] += d * d;
    }
    return ((s[0] + s[4]) + (s[1] + s[5])) + ((s[2] + s[6]) + (s[3] + s[7]));
}

ASD_SIMD static void scaled_difference(const float *restrict p, const float *restrict t,
                                       float scale, float *restrict d, int64_t n, int add)
{
    if (add)
        for (int64_t i = 0; i < n; ++i)
            d[i] += scale * (p[i] - t[i]);
    else
        for (int64_t i = 0; i < n; ++i)
            d[i] = scale * (p[i] - t[i]);
}

static int64_t chunk_size(const asd_call *c, int64_t chunk)
{
    int64_t left = asd_count(c->x[0].shape) - chunk * CHUNK;
    return left < CHUNK ? left : CHUNK;
}

static void fwd_chunk(void *ctx, int64_t chunk)
{
    const asd_call *c          = ctx;
    int64_t         o          = chunk * CHUNK;
    ((double *)c->work)[chunk] = sum_squares((const float *)c->x[0].x + o,
                                             (const float *)c->x[1].x + o, chunk_size(c, chunk));
}

static asd_status mse_fwd_cpu(const asd_call *c)
{
    double sum = 0;
    asd_par_for(n_chunks(c->x[0].shape), fwd_chunk, (void *)c);
    for (int64_t i = 0; i < n_chunks(c->x[0].shape); ++i)
        sum += ((const double *)c->work)[i];
    *(float *)c->y.x = (float)(sum / (double)asd_count(c->x[0].shape));
    return ASD_OK;
}

static void bwd_chunk(void *ctx, int64_t chunk)
{
    const asd_call *c = ctx;
    int64_t         o = chunk * CHUNK, n = chunk_size(c, chunk);
    const float    *p = (const float *)c->x[0].x + o, *t = (const float *)c->x[1].x + o;
    float scale = (float)(2.0 * (double)*(const float *)c->y.g / (double)asd_count(c->x[0].shape));
    if (c->x[0].g)
        scaled_difference(p, t, scale, (float *)c->x[0].g + o, n, c->acc[0]);
    if (c->x[1].g)
        scaled_difference(p, t, -scale, (float *)c->x[1].g + o, n, c->acc[1]);
}

static asd_status mse_bwd_cpu(const asd_call *c)
{
    /* y = sum (p - t)^2 / n  ->  dp = 2 (p - t) dy / n, dt = -dp */
    asd_par_for(n_chunks(c->x[0].shape), bwd_chunk, (void *)c);
    return ASD_OK;
}

#define CASE(B, C, is_bench)                                                                       \
    {                                                                                              \
        .name = "B=" #B ",C=" #C, .n_in = 2, .bench = is_bench,                                    \
        .in = {{ASD_F32, {2, {B, C}}}, {ASD_F32, {2, {B, C}}}},                                    \
    }
static const asd_case mse_cases[] = {
    CASE(1, 1, 0), CASE(3, 5, 0), CASE(127, 131, 0), CASE(256, 640, 1), {.name = NULL},
};

const asd_op asd_op_mse = {
    .name   = "mse",
    .min_in = 2,
    .n_in   = 2,
    .infer  = mse_infer,
    .fwd    = {mse_fwd_cpu},
    .bwd    = {mse_bwd_cpu},
    .keeps  = ASD_KEEPS_X(0) | ASD_KEEPS_X(1),
    .cases  = mse_cases,
};
