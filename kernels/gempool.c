/* gempool.c - the generalised mean of a clip's tokens: between mean (power 1) and maximum.
 *
 *   y[b]     = (sum_{p < n} h[p]^q / n)^(1/q)      h = max(x, eps), q the power
 *   dx[b, p] = dy (h[p] / y)^(q-1) / n for p < n and x > eps, else 0
 *
 * x: (B, P, C)   n: (B) int32, optional   y: (B, C)   (pool.h)   saved: (B, C) = y in fp32
 * Tokens are signed, and what is negative counts as eps. The gradient h^(q-1) y^(1-q) / n is taken
 * as a power of h / y, which is at most n^(1/q), where y^(1-q) alone may be eps^(1-q) = 1e12.
 * Numerics: powers in fp32; power 3 by products and cbrtf.
 * See: Radenovic, Tolias and Chum, Fine-tuning CNN Image Retrieval with No Human Annotation, 2018.
 * Used by: pooling of encoders.
 */
#include "kernels/cpu.h"
#include "kernels/pool.h"

#include <float.h>
#include <math.h>

static asd_status gempool_infer(asd_node *n)
{
    const asd_gem_attr *a = n->attr;
    if (!(a->p >= 1 && isfinite(a->p) && a->eps > 0) ||
        pow((double)a->eps, (double)a->p) < (double)FLT_MIN)
        return ASD_FAIL(ASD_E_SHAPE,
                        "gempool: power %g and eps %g, want a power of at least 1 and an eps whose "
                        "power is at least %g",
                        (double)a->p, (double)a->eps, (double)FLT_MIN);
    ASD_TRY(asd_pool_infer(n, 1));
    n->saved_bytes = (size_t)asd_count(n->y.shape) * sizeof(float);
    return ASD_OK;
}

static inline float cube(float x, float eps)
{
    float h = x < eps ? eps : x; /* this way round a NaN stays one */
    return h * h * h;
}

static inline float at_least(float x, float eps)
{
    return x < eps ? eps : x;
}

ASD_SIMD static void sum_cubes(const asd_pool_block *k, float eps, float *sum)
{
    float a[ASD_POOL_COLUMNS];
    for (int64_t i = 0; i < k->columns; ++i)
        a[i] = eps;
    asd_pool_sum(k, a, cube, sum);
}

/* Any power: powf is no vector code, so the pairwise sum is spelt out for it. */
static void sum_powers(const asd_pool_block *k, float eps, float power, float *sum)
{
    for (int64_t i = 0; i < k->columns; ++i) {
        sum[i] = 0;
        for (int64_t from = 0; from < k->n; from += ASD_POOL_TOKENS) {
            float part = 0;
            for (int64_t p = from; p < k->n && p < from + ASD_POOL_TOKENS; ++p)
                part += powf(at_least(k->x[p * k->C + i], eps), power);
            sum[i] += part;
        }
    }
}

static void forward(const asd_call *c, const asd_pool_block *k)
{
    const asd_gem_attr *a = c->attr;
    float               sum[ASD_POOL_COLUMNS];
    int64_t             o = k->b * k->C + k->at;
    if (a->p == 3)
        sum_cubes(k, a->eps, sum);
    else
        sum_powers(k, a->eps, a->p, sum);
    for (int64_t i = 0; i < k->columns; ++i) {
        float mean = sum[i] / (float)(k->n ? k->n : 1);
        float y    = a->p == 3 ? cbrtf(mean) : powf(mean, 1 / a->p);

        ((float *)c->y.x)[o + i] = ((float *)c->saved)[o + i] = y;
    }
}

/* share: dy / n   inverse: 1 / y */
ASD_SIMD static void spread_squares(const asd_pool_block *k, float eps, const float *restrict share,
                                    const float *restrict inverse, int add)
{
    for (int64_t p = 0; p < k->n; ++p) {
        const float *restrict x = k->x + p * k->C;
        float *restrict dx      = k->dx + p * k->C;
        for (int64_t i = 0; i < k->columns; ++i) {
            float h = x[i] > eps ? x[i] : 0; /* chosen before the products: no branch is left */
            float r = h * inverse[i], d = share[i] * r * r;
            dx[i] = add ? dx[i] + d : d;
        }
    }
}

static void spread_powers(const asd_pool_block *k, const asd_gem_attr *a, const float *share,
                          const float *inverse, int add)
{
    for (int64_t p = 0; p < k->n; ++p)
        for (int64_t i = 0; i < k->columns; ++i) {
            float x = k->x[p * k->C + i], *dx = k->dx + p * k->C + i;
            float d = x > a->eps ? share[i] * powf(x * inverse[i], a->p - 1) : 0;
            *dx     = add ? *dx + d : d;
        }
}

static void backward(const asd_call *c, const asd_pool_block *k)
{
    const asd_gem_attr *a = c->attr;
    float               share[ASD_POOL_COLUMNS], inverse[ASD_POOL_COLUMNS];
    int64_t             o = k->b * k->C + k->at;
    if (!k->n)
        return; /* y is 0 */
    for (int64_t i = 0; i < k->columns; ++i) {
        share[i]   = ((const float *)c->y.g)[o + i] / (float)k->n;
        inverse[i] = 1 / ((const float *)c->saved)[o + i];
    }
    if (a->p == 3)
        spread_squares(k, a->eps, share, inverse, c->acc[0]);
    else
        spread_powers(k, a, share, inverse, c->acc[0]);
}

static asd_status gempool_fwd_cpu(const asd_call *c)
{
    asd_pool_forward(c, forward);
    return ASD_OK;
}

static asd_status gempool_bwd_cpu(const asd_call *c)
{
    /* y = (sum h^q / n)^(1/q)  ->  dx = dy (h / y)^(q-1) / n where h = x */
    asd_pool_backward(c, backward);
    return ASD_OK;
}

/* A power counts as one. */
static double gempool_flops(const asd_node *n, int backward)
{
    return (double)asd_count(n->in[0].shape) * (backward ? 4 : 3);
}

static const asd_gem_attr cubes = {3, 1e-6f}, odd = {2.5f, 1e-6f}, mean = {1, 1e-6f},
                          clamped = {3, 0.471f};

#define CASE(B, P, C, how, is_bench) ASD_POOL_CASE(B, P, C, "," #how, &(how), is_bench)
#define CASE_LENGTHS(B, P, C, how, limit) ASD_POOL_LENGTHS(B, P, C, "," #how, &(how), limit)
static const asd_case gempool_cases[] = {
    CASE(1, 1, 1, cubes, 0),
    CASE(3, 5, 7, cubes, 0),
    CASE(2, 67, 8, cubes, 0),
    CASE(2, 3, 72, odd, 0),
    CASE(1, 33, 131, clamped, 0),
    CASE(2, 9, 8, mean, 0),
    CASE_LENGTHS(7, 5, 3, odd, 8),
    CASE_LENGTHS(9, 37, 8, cubes, 3),
    CASE_LENGTHS(5, 41, 8, clamped, 50),
    CASE(34, 496, 768, cubes, 1),
    {.name = NULL},
};

const asd_op asd_op_gempool = {
    .name    = "gempool",
    .min_in  = 1,
    .n_in    = 2,
    .infer   = gempool_infer,
    .fwd     = {gempool_fwd_cpu, ASD_CUDA_FN(gempool_fwd_cuda)},
    .bwd     = {gempool_bwd_cpu, ASD_CUDA_FN(gempool_bwd_cuda)},
    .keeps   = ASD_KEEPS_X(0) | ASD_KEEPS_X(1),
    .no_grad = ASD_KEEPS_X(1),
    .bf16    = ASD_KEEPS_X(0),
    .flops   = gempool_flops,
    .cases   = gempool_cases,
};
