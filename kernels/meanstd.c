/* meanstd.c - mean and standard deviation of a clip's tokens, side by side.
 *
 *   y[b]     = (m, s)    m = sum_{p < n} x[p] / n    s = sqrt(sum_{p < n} (x[p] - m)^2 / n)
 *   dx[b, p] = dm / n + ds (x[p] - m) / (n max(s, eps)) for p < n, else 0
 *
 * x: (B, P, C)   n: (B) int32, optional   y: (B, 2 C), means first   (pool.h)   saved: (B, 2, C) =
 * m, s The deviation is the population's: one token has 0. eps is in the gradient alone, where s
 * would divide by 0; y is exact. Numerics: two passes, because tokens of encoders have channels
 * whose mean is ten times their deviation: the difference of squares would lose two digits. The
 * backward reads m and s in fp32, not y, which bf16 would round to 2^-9. Used by: pooling of
 * encoders.
 */
#include "kernels/cpu.h"
#include "kernels/pool.h"

#include <math.h>

static asd_status meanstd_infer(asd_node *n)
{
    float eps = ((const asd_meanstd_attr *)n->attr)->eps;
    if (!(eps > 0 && isfinite(eps)))
        return ASD_FAIL(ASD_E_SHAPE, "meanstd: eps %g, want more than 0", (double)eps);
    ASD_TRY(asd_pool_infer(n, 2));
    n->saved_bytes = (size_t)asd_count(n->y.shape) * sizeof(float);
    return ASD_OK;
}

static inline float itself(float x, float unused)
{
    (void)unused;
    return x;
}

static inline float square_from(float x, float mean)
{
    return (x - mean) * (x - mean);
}

ASD_SIMD static void forward(const asd_call *c, const asd_pool_block *k)
{
    float   mean[ASD_POOL_COLUMNS], std[ASD_POOL_COLUMNS];
    int64_t o = 2 * k->b * k->C + k->at, n = k->n ? k->n : 1;
    asd_pool_sum(k, NULL, itself, mean);
    for (int64_t i = 0; i < k->columns; ++i)
        mean[i] /= (float)n;
    asd_pool_sum(k, mean, square_from, std);
    for (int64_t i = 0; i < k->columns; ++i)
        std[i] = sqrtf(std[i] / (float)n);
    for (int to = 0; to < 2; ++to) {
        float *y = (float *)(to ? c->saved : c->y.x) + o;
        for (int64_t i = 0; i < k->columns; ++i) {
            y[i]        = mean[i];
            y[k->C + i] = std[i];
        }
    }
}

ASD_SIMD static void backward(const asd_call *c, const asd_pool_block *k)
{
    float        offset[ASD_POOL_COLUMNS], slope[ASD_POOL_COLUMNS];
    int64_t      o    = 2 * k->b * k->C + k->at;
    const float *mean = (const float *)c->saved + o, *std = mean + k->C;
    const float *dm = (const float *)c->y.g + o, *ds = dm + k->C;
    float eps = ((const asd_meanstd_attr *)c->attr)->eps, share = 1 / (float)(k->n ? k->n : 1);
    for (int64_t i = 0; i < k->columns; ++i) {
        offset[i] = dm[i] * share;
        slope[i]  = ds[i] * share / (std[i] > eps ? std[i] : eps);
    }
    for (int64_t p = 0; p < k->n; ++p) {
        const float *restrict x = k->x + p * k->C;
        float *restrict dx      = k->dx + p * k->C;
        for (int64_t i = 0; i < k->columns; ++i) {
            float d = offset[i] + (x[i] - mean[i]) * slope[i];
            dx[i]   = c->acc[0] ? dx[i] + d : d;
        }
    }
}

static asd_status meanstd_fwd_cpu(const asd_call *c)
{
    asd_pool_forward(c, forward);
    return ASD_OK;
}

static asd_status meanstd_bwd_cpu(const asd_call *c)
{
    /* m = sum x / n, s = sqrt(sum (x - m)^2 / n)  ->  dx = dm / n + ds (x - m) / (n s) */
    asd_pool_backward(c, backward);
    return ASD_OK;
}

static double meanstd_flops(const asd_node *n, int backward)
{
    return (double)asd_count(n->in[0].shape) * (backward ? 3 : 4);
}

static const asd_meanstd_attr small = {1e-6f};

static const asd_case meanstd_cases[] = ASD_POOL_CASES(&small);

const asd_op asd_op_meanstd = {
    .name    = "meanstd",
    .min_in  = 1,
    .n_in    = 2,
    .infer   = meanstd_infer,
    .fwd     = {meanstd_fwd_cpu, ASD_CUDA_FN(meanstd_fwd_cuda)},
    .bwd     = {meanstd_bwd_cpu, ASD_CUDA_FN(meanstd_bwd_cuda)},
    .keeps   = ASD_KEEPS_X(0) | ASD_KEEPS_X(1),
    .no_grad = ASD_KEEPS_X(1),
    .bf16    = ASD_KEEPS_X(0),
    .flops   = meanstd_flops,
    .cases   = meanstd_cases,
};
