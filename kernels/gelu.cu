/* gelu.cu - gelu.c on the device. Memory-bound: forward 2, backward 3 tensors through memory; erff
 * is about 20 instructions, of the 38 (forward) that the cores have time for at 3 TB/s in bf16. */
#include "cuda/kernel.cuh"

#include "cuda/each.cuh"
#include "kernels/op.h"

#include <math.h>

/* Phi(x), the normal distribution */
static __device__ __forceinline__ float normal(float x)
{
    return 0.5f + 0.5f * erff(x * 0.707106781f);
}

template <typename T>
static __global__ void __launch_bounds__(EACH_THREADS) gelu_fwd_k(const T *x, T *y, int64_t n)
{
    int64_t o = each_first<T>();
    if (o >= n)
        return;
    pack<T> in = each_load(x, o, n);
    float   out[pack<T>::N];
#pragma unroll
    for (int i = 0; i < pack<T>::N; ++i) {
        float v = pack_get(in, i);
        out[i]  = v * normal(v);
    }
    each_put(y, o, n, out, false);
}

template <typename T>
static __global__ void __launch_bounds__(EACH_THREADS)
    gelu_bwd_k(const T *x, const T *dy, T *dx, int64_t n, int add)
{
    int64_t o = each_first<T>();
    if (o >= n)
        return;
    pack<T> in = each_load(x, o, n), d = each_load(dy, o, n);
    float   out[pack<T>::N];
#pragma unroll
    for (int i = 0; i < pack<T>::N; ++i) {
        float v = pack_get(in, i);
        out[i]  = pack_get(d, i) * (normal(v) + v * 0.398942280f * expf(-0.5f * v * v));
    }
    each_put(dx, o, n, out, add);
}

template <typename T> static asd_status forward(const asd_call *c)
{
    int64_t n = asd_count(c->y.shape);
    return ASD_LAUNCH((gelu_fwd_k<T>), each_blocks<T>(n), dim3(EACH_THREADS), 0, c->stream,
                      (const T *)c->x[0].x, (T *)c->y.x, n);
}

extern "C" asd_status gelu_fwd_cuda(const asd_call *c)
{
    return c->x[0].dtype == ASD_BF16 ? forward<bf16>(c) : forward<float>(c);
}

template <typename T> static asd_status backward(const asd_call *c)
{
    /* y = x Phi(x)  ->  dx = dy (Phi(x) + x phi(x)) */
    int64_t n = asd_count(c->y.shape);
    if (!c->x[0].g)
        return ASD_OK;
    return ASD_LAUNCH((gelu_bwd_k<T>), each_blocks<T>(n), dim3(EACH_THREADS), 0, c->stream,
                      (const T *)c->x[0].x, (const T *)c->y.g, (T *)c->x[0].g, n, c->acc[0]);
}

extern "C" asd_status gelu_bwd_cuda(const asd_call *c)
{
    return c->x[0].dtype == ASD_BF16 ? backward<bf16>(c) : backward<float>(c);
}
