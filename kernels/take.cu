/* take.cu - take.c on the device: a copy, and back with zeros around it. */
#include "cuda/kernel.cuh"

#include "cuda/pack.cuh"
#include "kernels/op.h"

enum { THREADS = 256 };

/* blockIdx: packs of N values, clip. A clip of y is n C values in a row, `skip` behind the start of
 * its clip of x, which has `size`. */
template <typename T, int N>
static __global__ void __launch_bounds__(THREADS)
    take_fwd_k(const T *__restrict__ x, T *__restrict__ y, int64_t size, int64_t skip, int64_t n)
{
    int64_t o = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * N;
    float   v[N];
    if (o >= n)
        return;
    load_f32<N>(x + blockIdx.y * size + skip + o, v);
    store_f32<N>(y + blockIdx.y * n + o, v);
}

template <typename T, int N>
static __global__ void __launch_bounds__(THREADS)
    take_bwd_k(const T *__restrict__ dy, T *__restrict__ dx, int64_t size, int64_t skip, int64_t n,
               int add)
{
    int64_t o      = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * N;
    bool    inside = o >= skip && o - skip < n;
    float   v[N]   = {0}, old[N];
    if (o >= size || (add && !inside))
        return;
    if (inside)
        load_f32<N>(dy + blockIdx.y * n + o - skip, v);
    if (add) {
        load_f32<N>(dx + blockIdx.y * size + o, old);
#pragma unroll
        for (int i = 0; i < N; ++i)
            v[i] += old[i];
    }
    store_f32<N>(dx + blockIdx.y * size + o, v);
}

template <typename T, int N> static asd_status run(const asd_call *c, bool backward)
{
    int64_t C = asd_last(c->y.shape), size = c->x[0].shape.d[1] * C, n = c->y.shape.d[1] * C;
    int64_t skip = ((const asd_take_attr *)c->attr)->first * C;
    dim3    grid(asd_blocks(backward ? size : n, THREADS * N), (unsigned)c->y.shape.d[0]);
    if (!backward)
        return ASD_LAUNCH((take_fwd_k<T, N>), grid, dim3(THREADS), 0, c->stream,
                          (const T *)c->x[0].x, (T *)c->y.x, size, skip, n);
    return ASD_LAUNCH((take_bwd_k<T, N>), grid, dim3(THREADS), 0, c->stream, (const T *)c->y.g,
                      (T *)c->x[0].g, size, skip, n, c->acc[0]);
}

template <typename T> static asd_status run_by(const asd_call *c, bool backward)
{
    return pack_fits<T>(asd_last(c->y.shape)) ? run<T, pack<T>::N>(c, backward)
                                              : run<T, 1>(c, backward);
}

extern "C" asd_status take_fwd_cuda(const asd_call *c)
{
    return c->x[0].dtype == ASD_BF16 ? run_by<bf16>(c, false) : run_by<float>(c, false);
}

extern "C" asd_status take_bwd_cuda(const asd_call *c)
{
    /* y = some of x  ->  dx = dy there */
    if (!c->x[0].g)
        return ASD_OK;
    return c->x[0].dtype == ASD_BF16 ? run_by<bf16>(c, true) : run_by<float>(c, true);
}
