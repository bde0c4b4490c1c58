/* meanpool.c - the mean of a clip's tokens; with lengths, of its first tokens alone.
 *
 *   y[b]     = sum_{p < n[b]} x[b, p] / n[b]
 *   dx[b, p] = dy[b] / n[b] for p < n[b], else 0
 *
 * x: (B, P, C)   n: (B) int32, optional: without it n[b] = P   y: (B, C)   (pool.h)
 * Used by: pooling of encoders.
 */
#include "kernels/cpu.h"
#include "kernels/pool.h"

static asd_status meanpool_infer(asd_node *n)
{
    return asd_pool_infer(n, 1);
}

static inline float itself(float x, float unused)
{
    (void)unused;
    return x;
}

ASD_SIMD static void forward(const asd_call *c, const asd_pool_block *k)
{
    float sum[ASD_POOL_COLUMNS], *y = (float *)c->y.x + k->b * k->C + k->at;
    asd_pool_sum(k, NULL, itself, sum);
    for (int64_t i = 0; i < k->columns; ++i)
        y[i] = k->n ? sum[i] / (float)k->n : 0;
}

ASD_SIMD static void backward(const asd_call *c, const asd_pool_block *k)
{
    const float *dy    = (const float *)c->y.g + k->b * k->C + k->at;
    float        share = 1 / (float)(k->n ? k->n : 1);
    for (int64_t p = 0; p < k->n; ++p) {
        float *restrict dx = k->dx + p * k->C;
        for (int64_t i = 0; i < k->columns; ++i)
            dx[i] = c->acc[0] ? dx[i] + dy[i] * share : dy[i] * share;
    }
}

static asd_status meanpool_fwd_cpu(const asd_call *c)
{
    asd_pool_forward(c, forward);
    return ASD_OK;
}

static asd_status meanpool_bwd_cpu(const asd_call *c)
{
    /* y = sum x / n  ->  dx = dy / n */
    asd_pool_backward(c, backward);
    return ASD_OK;
}

static double meanpool_flops(const asd_node *n, int backward)
{
    (void)backward;
    return (double)asd_count(n->in[0].shape);
}

static const asd_case meanpool_cases[] = ASD_POOL_CASES(NULL);

const asd_op asd_op_meanpool = {
    .name    = "meanpool",
    .min_in  = 1,
    .n_in    = 2,
    .infer   = meanpool_infer,
    .fwd     = {meanpool_fwd_cpu, ASD_CUDA_FN(meanpool_fwd_cuda)},
    .bwd     = {meanpool_bwd_cpu, ASD_CUDA_FN(meanpool_bwd_cuda)},
    .keeps   = ASD_KEEPS_X(1),
    .no_grad = ASD_KEEPS_X(1),
    .bf16    = ASD_KEEPS_X(0),
    .flops   = meanpool_flops,
    .cases   = meanpool_cases,
};
