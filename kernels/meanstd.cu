/* meanstd.cu - meanstd.c on the device. Memory-bound: forward reads x once from memory and once
 * more from cache (a block's 63 KB of a clip of 496 tokens), backward reads x and writes dx; 25.9
 * MB each for 34 clips of 496 x 768 in bf16. */
#include "cuda/kernel.cuh"

#include "cuda/pool.cuh"

#include <math.h>

/* As in pool.cuh, twice. y, saved: (B, 2, C) */
template <typename T, int N>
static __global__ void __launch_bounds__(POOL_THREADS)
    meanstd_fwd_k(const T *__restrict__ x, T *__restrict__ y, float *__restrict__ saved,
                  pool_args a)
{
    ASD_SHARED(float, slices, POOL_THREADS *N);
    ASD_SHARED(float, means, POOL_SIDE *N);
    pool_place<N> w(a);
    float         tokens = (float)(w.n ? w.n : 1);
    float         mean = pool_sum<N>(x, a, w, slices + 0, [](float v, int) { return v; }) / tokens;
    if (w.column < a.C)
        means[threadIdx.x] = mean;
    __syncthreads();
    float m[N] = {0};
#pragma unroll
    for (int i = 0; i < N && w.inside; ++i)
        m[i] = means[(int)threadIdx.x % POOL_SIDE * N + i];
    float squares =
        pool_sum<N>(x, a, w, slices + 0, [&](float v, int i) { return (v - m[i]) * (v - m[i]); });
    if (w.column < a.C) {
        int64_t o      = 2 * w.b * a.C + w.column;
        float   std    = sqrtf(squares / tokens);
        saved[o]       = mean;
        saved[o + a.C] = std;
        y[o]           = from_f32<T>(mean);
        y[o + a.C]     = from_f32<T>(std);
    }
}

template <typename T, int N>
static __global__ void __launch_bounds__(POOL_THREADS)
    meanstd_bwd_k(const T *__restrict__ x, const T *__restrict__ dy,
                  const float *__restrict__ saved, float eps, T *__restrict__ dx, pool_args a)
{
    pool_place<N> w(a);
    float         offset[N] = {0}, slope[N] = {0}, mean[N] = {0}, std[N] = {0};
    float         share = 1 / (float)(w.n ? w.n : 1);
    if (w.inside) {
        int64_t o = 2 * w.b * a.C + w.at;
        load_f32<N>(dy + o, offset);
        load_f32<N>(dy + o + a.C, slope);
        load_f32<N>(saved + o, mean);
        load_f32<N>(saved + o + a.C, std);
    }
#pragma unroll
    for (int i = 0; i < N; ++i) {
        offset[i] *= share;
        slope[i] *= share / fmaxf(std[i], eps);
    }
    pool_spread<N, true>(x, dx, a, w,
                         [&](float v, int i) { return offset[i] + (v - mean[i]) * slope[i]; });
}

extern "C" asd_status meanstd_fwd_cuda(const asd_call *c)
{
    return pool_switch(c, [&](auto plan) {
        typedef typename decltype(plan)::type T;
        constexpr int                         N = decltype(plan)::n;
        return ASD_LAUNCH((meanstd_fwd_k<T, N>), pool_grid<N>(c, false), dim3(POOL_THREADS), 0,
                          c->stream, (const T *)c->x[0].x, (T *)c->y.x, (float *)c->saved,
                          pool_args_of(c));
    });
}

extern "C" asd_status meanstd_bwd_cuda(const asd_call *c)
{
    /* m = sum x / n, s = sqrt(sum (x - m)^2 / n)  ->  dx = dm / n + ds (x - m) / (n s) */
    if (!c->x[0].g)
        return ASD_OK;
    return pool_switch(c, [&](auto plan) {
        typedef typename decltype(plan)::type T;
        constexpr int                         N = decltype(plan)::n;
        return ASD_LAUNCH((meanstd_bwd_k<T, N>), pool_grid<N>(c, true), dim3(POOL_THREADS), 0,
                          c->stream, (const T *)c->x[0].x, (const T *)c->y.g,
                          (const float *)c->saved, ((const asd_meanstd_attr *)c->attr)->eps,
                          (T *)c->x[0].g, pool_args_of(c));
    });
}
