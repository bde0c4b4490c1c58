/* relu.cu - relu.c on the device.
 *
 * Mapping: one thread 16 bytes (4 fp32 or 8 bf16); the thread after the last whole pack does what
 * is left, value by value.
 *
 * Bytes: forward 2, backward 3 (4 when dx is added to) times the tensor, read and written once; no
 * arithmetic to speak of, so the memory's bandwidth is the roof. Small tensors (7 x 256 x 128 fp32,
 * 0.9 MB) cost a launch.
 */
#include "cuda/kernel.cuh"

#include "cuda/pack.cuh" /* load_f32, store_f32 */
#include "kernels/op.h"

enum { THREADS = 256 };

template <int N, typename T> static __device__ void relu_forward(const T *x, T *y)
{
    float v[N];
    load_f32<N>(x, v);
#pragma unroll
    for (int i = 0; i < N; ++i)
        v[i] = v[i] < 0 ? 0 : v[i]; /* NaN passes */
    store_f32<N>(y, v);
}

template <int N, typename T>
static __device__ void relu_backward(const T *y, const T *dy, T *dx, int add)
{
    float v[N], g[N], old[N];
    load_f32<N>(y, v);
    load_f32<N>(dy, g);
    if (add)
        load_f32<N>(dx, old);
#pragma unroll
    for (int i = 0; i < N; ++i)
        g[i] = (add ? old[i] : 0) + (v[i] > 0 ? g[i] : 0);
    store_f32<N>(dx, g);
}

template <typename T>
__global__ void __launch_bounds__(THREADS)
    relu_fwd_k(const T *__restrict__ x, T *__restrict__ y, int64_t n)
{
    constexpr int N = pack<T>::N;
    int64_t       i = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * N;
    if (i + N <= n)
        relu_forward<N>(x + i, y + i);
    else
        for (; i < n; ++i)
            relu_forward<1>(x + i, y + i);
}

template <typename T>
__global__ void __launch_bounds__(THREADS)
    relu_bwd_k(const T *__restrict__ y, const T *__restrict__ dy, T *__restrict__ dx, int64_t n,
               int add)
{
    constexpr int N = pack<T>::N;
    int64_t       i = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * N;
    if (i + N <= n)
        relu_backward<N>(y + i, dy + i, dx + i, add);
    else
        for (; i < n; ++i)
            relu_backward<1>(y + i, dy + i, dx + i, add);
}

template <typename T> static asd_status forward(const asd_call *c)
{
    int64_t n = asd_count(c->y.shape);
    return ASD_LAUNCH((relu_fwd_k<T>), asd_blocks(n, THREADS * pack<T>::N), THREADS, 0, c->stream,
                      (const T *)c->x[0].x, (T *)c->y.x, n);
}

template <typename T> static asd_status backward(const asd_call *c)
{
    int64_t n = asd_count(c->y.shape);
    return ASD_LAUNCH((relu_bwd_k<T>), asd_blocks(n, THREADS * pack<T>::N), THREADS, 0, c->stream,
                      (const T *)c->y.x, (const T *)c->y.g, (T *)c->x[0].g, n, (int)c->acc[0]);
}

extern "C" asd_status relu_fwd_cuda(const asd_call *c)
{
    return c->x[0].dtype == ASD_BF16 ? forward<bf16>(c) : forward<float>(c);
}

extern "C" asd_status relu_bwd_cuda(const asd_call *c)
{
    if (!c->x[0].g)
        return ASD_OK;
    return c->x[0].dtype == ASD_BF16 ? backward<bf16>(c) : backward<float>(c);
}
