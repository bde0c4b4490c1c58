/* bandmean.c - the mean of consecutive tokens: one vector for the bands of each time patch.
 *
 *   y[b, q]  = sum_{k < n} x[b, q n + k] / n       n = bands
 *   dx[b, p] = dy[b, p / n] / n
 *
 * x: (B, P, C), P a multiple of bands   y: (B, P / bands, C)
 * Numerics: tokens added in order in fp32; bands are few (8).
 * Used by: embeddings with a time axis, of BEATs, EAT and SSLAM.
 */
#include "kernels/cpu.h"
#include "kernels/op.h"

#include "base/par.h"

static asd_status bandmean_infer(asd_node *n)
{
    char      sx[64];
    asd_shape x     = n->in[0].shape;
    int64_t   bands = ((const asd_bandmean_attr *)n->attr)->bands;
    if (x.n != 3 || asd_count(x) < 1)
        return ASD_FAIL(ASD_E_SHAPE, "bandmean: x %s, want (B, P, C) and not empty",
                        asd_shape_text(x, sx, sizeof sx));
    if (bands < 1 || x.d[1] % bands)
        return ASD_FAIL(ASD_E_SHAPE, "bandmean: x %s, want a multiple of %lld bands as P",
                        asd_shape_text(x, sx, sizeof sx), (long long)bands);
    n->y = (asd_spec){n->in[0].dtype, ASD_SHAPE3(x.d[0], x.d[1] / bands, x.d[2])};
    return ASD_OK;
}

ASD_SIMD static void mean_rows(const float *restrict x, int64_t n, float *restrict y, int64_t C)
{
    for (int64_t i = 0; i < C; ++i)
        y[i] = x[i];
    for (int64_t k = 1; k < n; ++k)
        for (int64_t i = 0; i < C; ++i)
            y[i] += x[k * C + i];
    for (int64_t i = 0; i < C; ++i)
        y[i] /= (float)n;
}

ASD_SIMD static void spread_row(const float *restrict dy, int64_t n, float *restrict dx, int64_t C,
                                int add)
{
    float share = 1 / (float)n;
    for (int64_t k = 0; k < n; ++k)
        for (int64_t i = 0; i < C; ++i)
            dx[k * C + i] = add ? dx[k * C + i] + dy[i] * share : dy[i] * share;
}

static int64_t bands_of(const asd_call *c)
{
    return ((const asd_bandmean_attr *)c->attr)->bands;
}

/* Chunks: the rows of y of one clip. */
static void fwd_chunk(void *ctx, int64_t b)
{
    const asd_call *c = ctx;
    int64_t         Q = c->y.shape.d[1], C = c->y.shape.d[2], n = bands_of(c);
    for (int64_t r = b * Q; r < (b + 1) * Q; ++r)
        mean_rows((const float *)c->x[0].x + r * n * C, n, (float *)c->y.x + r * C, C);
}

static void bwd_chunk(void *ctx, int64_t b)
{
    const asd_call *c = ctx;
    int64_t         Q = c->y.shape.d[1], C = c->y.shape.d[2], n = bands_of(c);
    for (int64_t r = b * Q; r < (b + 1) * Q; ++r)
        spread_row((const float *)c->y.g + r * C, n, (float *)c->x[0].g + r * n * C, C, c->acc[0]);
}

static asd_status bandmean_fwd_cpu(const asd_call *c)
{
    asd_par_for(c->y.shape.d[0], fwd_chunk, (void *)c);
    return ASD_OK;
}

static asd_status bandmean_bwd_cpu(const asd_call *c)
{
    /* y = sum x / n  ->  dx = dy / n */
    if (c->x[0].g)
        asd_par_for(c->y.shape.d[0], bwd_chunk, (void *)c);
    return ASD_OK;
}

static double bandmean_flops(const asd_node *n, int backward)
{
    (void)backward;
    return (double)asd_count(n->in[0].shape);
}

static const asd_bandmean_attr one = {1}, three = {3}, eight = {8};

#define CASE(B, P, C, how, is_bench)                                                               \
    {                                                                                              \
        .name = "B=" #B ",P=" #P ",C=" #C ",bands=" #how, .n_in = 1, .bench = is_bench,            \
        .attr = &(how), .in = {{ASD_F32, {3, {B, P, C}}}},                                         \
    }
static const asd_case bandmean_cases[] = {
    CASE(1, 1, 1, one, 0),    CASE(3, 6, 7, three, 0), CASE(2, 24, 8, eight, 0),
    CASE(2, 9, 16, three, 0), CASE(3, 5, 13, one, 0),  CASE(34, 496, 768, eight, 1),
    {.name = NULL},
};

const asd_op asd_op_bandmean = {
    .name   = "bandmean",
    .min_in = 1,
    .n_in   = 1,
    .infer  = bandmean_infer,
    .fwd    = {bandmean_fwd_cpu, ASD_CUDA_FN(bandmean_fwd_cuda)},
    .bwd    = {bandmean_bwd_cpu, ASD_CUDA_FN(bandmean_bwd_cuda)},
    .bf16   = ASD_KEEPS_X(0),
    .flops  = bandmean_flops,
    .cases  = bandmean_cases,
};
