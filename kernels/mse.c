/* mse.c - mean squared error: y = mean over all elements of (p - t)^2.
 *
 *   dp = 2 (p - t) dy / n        dt = -dp
 *
 * p, t: any equal shape   y: (1)
 * With attribute groups = G, one mean a group of n elements: p, t: (G, ...)   y: (G). Each group
 * has the bits it would have alone.
 *
 * Numerics: squares and their sum in double, in fixed chunks, because a sum of 163,840 fp32 terms
 * (batch 256 of the autoencoder) loses 3 digits when added one by one.
 *
 * Used by: autoencoder.
 */
#include "kernels/cpu.h"
#include "kernels/mse.h"

#include "base/par.h"

enum { CHUNK = 16384 };

/* Elements of one group, and the chunks that they make; a last chunk is shorter. */
static int64_t group_size(asd_shape x, asd_shape y)
{
    return asd_count(x) / asd_count(y);
}

static int64_t group_chunks(asd_shape x, asd_shape y)
{
    return (group_size(x, y) + CHUNK - 1) / CHUNK;
}

static int64_t n_chunks(const asd_call *c)
{
    return asd_count(c->y.shape) * group_chunks(c->x[0].shape, c->y.shape);
}

static asd_status mse_infer(asd_node *n)
{
    const asd_mse_attr *a = n->attr;
    int64_t             G = a && a->groups ? a->groups : 1;
    char                sp[64], st[64];
    if (n->in[0].dtype != n->in[1].dtype)
        return ASD_FAIL(ASD_E_SHAPE, "mse: p is %s and t %s, want the same",
                        asd_dtype_name(n->in[0].dtype), asd_dtype_name(n->in[1].dtype));
    if (!asd_shape_equal(n->in[0].shape, n->in[1].shape) || asd_count(n->in[0].shape) < 1)
        return ASD_FAIL(ASD_E_SHAPE, "mse: p %s and t %s, want equal and not empty",
                        asd_shape_text(n->in[0].shape, sp, sizeof sp),
                        asd_shape_text(n->in[1].shape, st, sizeof st));
    if (a && a->groups && (G < 1 || n->in[0].shape.n < 1 || n->in[0].shape.d[0] != G))
        return ASD_FAIL(ASD_E_SHAPE, "mse: p %s in %lld groups, want (%lld, ...)",
                        asd_shape_text(n->in[0].shape, sp, sizeof sp), (long long)G, (long long)G);
    n->y = (asd_spec){ASD_F32, ASD_SHAPE1(G)};
    /* a double a chunk here, a float a block on the device */
    int64_t chunks = group_chunks(n->in[0].shape, n->y.shape);
    int64_t blocks = (group_size(n->in[0].shape, n->y.shape) + ASD_MSE_BLOCK - 1) / ASD_MSE_BLOCK;
    size_t  cpu    = (size_t)(G * chunks) * sizeof(double);
    size_t  cuda   = (size_t)(G * blocks) * sizeof(float);
    n->fwd_work_bytes = cpu > cuda ? cpu : cuda;
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

/* Chunk i: the group it is of, its first element and its length. */
static void chunk_of(const asd_call *c, int64_t i, int64_t *g, int64_t *from, int64_t *n)
{
    int64_t size   = group_size(c->x[0].shape, c->y.shape);
    int64_t chunks = group_chunks(c->x[0].shape, c->y.shape), o = i % chunks * CHUNK;
    *g    = i / chunks;
    *from = *g * size + o;
    *n    = size - o < CHUNK ? size - o : CHUNK;
}

static void fwd_chunk(void *ctx, int64_t chunk)
{
    const asd_call *c = ctx;
    int64_t         g, o, n;
    chunk_of(c, chunk, &g, &o, &n);
    ((double *)c->work)[chunk] =
        sum_squares((const float *)c->x[0].x + o, (const float *)c->x[1].x + o, n);
}

static asd_status mse_fwd_cpu(const asd_call *c)
{
    int64_t       chunks = group_chunks(c->x[0].shape, c->y.shape);
    const double *part   = c->work;
    asd_par_for(n_chunks(c), fwd_chunk, (void *)c);
    for (int64_t g = 0; g < asd_count(c->y.shape); ++g) {
        double sum = 0;
        for (int64_t i = 0; i < chunks; ++i)
            sum += part[g * chunks + i];
        ((float *)c->y.x)[g] = (float)(sum / (double)group_size(c->x[0].shape, c->y.shape));
    }
    return ASD_OK;
}

static void bwd_chunk(void *ctx, int64_t chunk)
{
    const asd_call *c = ctx;
    int64_t         g, o, n;
    chunk_of(c, chunk, &g, &o, &n);
    const float *p = (const float *)c->x[0].x + o, *t = (const float *)c->x[1].x + o;
    double       dy    = (double)((const float *)c->y.g)[g];
    float        scale = (float)(2.0 * dy / (double)group_size(c->x[0].shape, c->y.shape));
    if (c->x[0].g)
        scaled_difference(p, t, scale, (float *)c->x[0].g + o, n, c->acc[0]);
    if (c->x[1].g)
        scaled_difference(p, t, -scale, (float *)c->x[1].g + o, n, c->acc[1]);
}

static asd_status mse_bwd_cpu(const asd_call *c)
{
    /* y = sum (p - t)^2 / n  ->  dp = 2 (p - t) dy / n, dt = -dp */
    asd_par_for(n_chunks(c), bwd_chunk, (void *)c);
    return ASD_OK;
}

#define CASE(B, C, is_bench)                                                                       \
    {                                                                                              \
        .name = "B=" #B ",C=" #C, .n_in = 2, .bench = is_bench,                                    \
        .in = {{ASD_F32, {2, {B, C}}}, {ASD_F32, {2, {B, C}}}},                                    \
    }
#define GROUPED(G, B, C, is_bench)                                                                 \
    {                                                                                              \
        .name = "G=" #G ",B=" #B ",C=" #C, .n_in = 2, .bench = is_bench, .attr = &attr##G,         \
        .in = {{ASD_F32, {3, {G, B, C}}}, {ASD_F32, {3, {G, B, C}}}},                              \
    }
static const asd_mse_attr attr0 = {0}, attr1 = {1}, attr3 = {3}, attr7 = {7}, attr13 = {13};
static const asd_case     mse_cases[] = {
        CASE(1, 1, 0),
        CASE(3, 5, 0),
        CASE(127, 131, 0),
        GROUPED(1, 2, 3, 0),
        GROUPED(3, 5, 7, 0),
        GROUPED(13, 1, 1, 0),
        GROUPED(3, 127, 131, 1),
        {.name = "groups=0",
         .n_in = 2,
         .attr = &attr0,
         .in   = {{ASD_F32, {3, {2, 3, 4}}}, {ASD_F32, {3, {2, 3, 4}}}}},
        {.name = "groups=7,n=7",
         .n_in = 2,
         .attr = &attr7,
         .in   = {{ASD_F32, {1, {7}}}, {ASD_F32, {1, {7}}}}},
        {.name      = "B=257,C=263,forward", /* more blocks on the device than a warp has lanes */
         .n_in      = 2,
         .inference = 1,
         .in        = {{ASD_F32, {2, {257, 263}}}, {ASD_F32, {2, {257, 263}}}}},
        CASE(256, 640, 1),
        GROUPED(7, 256, 640, 1),
        {.name = NULL},
};

const asd_op asd_op_mse = {
    .name    = "mse",
    .min_in  = 2,
    .n_in    = 2,
    .infer   = mse_infer,
    .fwd     = {mse_fwd_cpu, ASD_CUDA_FN(mse_fwd_cuda)},
    .bwd     = {mse_bwd_cpu, ASD_CUDA_FN(mse_bwd_cuda)},
    .prepare = {NULL, ASD_CUDA_FN(mse_prepare_cuda)},
    .release = {NULL, ASD_CUDA_FN(mse_release_cuda)},
    .bf16    = ASD_KEEPS_X(0) | ASD_KEEPS_X(1),
    .keeps   = ASD_KEEPS_X(0) | ASD_KEEPS_X(1),
    .cases   = mse_cases,
};
