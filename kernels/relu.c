/* relu.c - y = max(x, 0).
 *
 *   dx = dy where y > 0, else 0        (the derivative at 0 is 0, as in PyTorch; NaN passes
 * through)
 *
 * x, y: any shape.   Used by: autoencoder.
 */
#include "kernels/cpu.h"
#include "kernels/op.h"

#include "base/par.h"

/* Below 64 Ki elements (10 us) waking a second thread costs more than it saves. */
enum { CHUNK = 65536 };

static asd_status relu_infer(asd_node *n)
{
    n->y = n->in[0];
    return ASD_OK;
}

ASD_SIMD static void relu_forward(const float *restrict x, float *restrict y, int64_t n)
{
    for (int64_t i = 0; i < n; ++i)
        y[i] = x[i] < 0 ? 0 : x[i];
}

ASD_SIMD static void relu_backward(const float *restrict y, const float *restrict dy,
                                   float *restrict dx, int64_t n, int add)
{
    if (add)
        for (int64_t i = 0; i < n; ++i)
            dx[i] += y[i] > 0 ? dy[i] : 0;
    else
        for (int64_t i = 0; i < n; ++i)
            dx[i] = y[i] > 0 ? dy[i] : 0;
}

static void fwd_range(void *ctx, int64_t o, int64_t n)
{
    const asd_call *c = ctx;
    relu_forward((const float *)c->x[0].x + o, (float *)c->y.x + o, n);
}

static void bwd_range(void *ctx, int64_t o, int64_t n)
{
    const asd_call *c = ctx;
    relu_backward((const float *)c->y.x + o, (const float *)c->y.g + o, (float *)c->x[0].g + o, n,
                  c->acc[0]);
}

static asd_status relu_fwd_cpu(const asd_call *c)
{
    asd_par_ranges(asd_count(c->y.shape), CHUNK, fwd_range, (void *)c);
    return ASD_OK;
}

static asd_status relu_bwd_cpu(const asd_call *c)
{
    /* y = max(x, 0)  ->  dx = dy [y > 0] */
    if (c->x[0].g)
        asd_par_ranges(asd_count(c->y.shape), CHUNK, bwd_range, (void *)c);
    return ASD_OK;
}

static const asd_case relu_cases[] = {
    {.name = "n=1", .n_in = 1, .in = {{ASD_F32, {1, {1}}}}},
    {.name = "B=3,C=7", .n_in = 1, .in = {{ASD_F32, {2, {3, 7}}}}},
    {.name = "n=1031", .n_in = 1, .in = {{ASD_F32, {1, {1031}}}}},
    {.name = "n=65537", .n_in = 1, .in = {{ASD_F32, {1, {65537}}}}, .bench = 1},
    {.name = "B=256,C=128", .n_in = 1, .in = {{ASD_F32, {2, {256, 128}}}}, .bench = 1},
    {.name = NULL},
};

const asd_op asd_op_relu = {
    .name   = "relu",
    .min_in = 1,
    .n_in   = 1,
    .infer  = relu_infer,
    .fwd    = {relu_fwd_cpu, ASD_CUDA_FN(relu_fwd_cuda)},
    .bwd    = {relu_bwd_cpu, ASD_CUDA_FN(relu_bwd_cuda)},
    .bf16   = ASD_KEEPS_X(0),
    .keeps  = ASD_KEEPS_Y,
    .cases  = relu_cases,
};
