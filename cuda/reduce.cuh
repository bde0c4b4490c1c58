/* reduce.cuh - sums and maxima over the lanes of a warp and the threads of a block.
 *
 * Every result is the same in all threads that took part, and the order of additions is fixed by
 * the number of threads alone, so the bits are the same in every run.
 *
 *   group_*<LANES>   over each aligned group of LANES lanes (a power of two, 1 .. 32); all 32 lanes
 *                    of the warp must call
 *   warp_*           over the 32 lanes
 *   block_*<THREADS> over a block of THREADS threads (a multiple of 32, up to 1024, threadIdx.x
 *                    alone); all threads must call. Two barriers inside: one before scratch is
 *                    written, so that it may still hold an earlier reduction or anything else that
 *                    was read, and one before it is read. No barrier at the end: write to scratch
 *                    yourself only after a __syncthreads().
 *                    scratch: shared, THREADS / 32 floats (block_sum2: twice that)
 */
#ifndef ASD_CUDA_REDUCE_CUH
#define ASD_CUDA_REDUCE_CUH

#include "cuda/kernel.cuh"

#include <math.h>

template <int LANES> static __device__ __forceinline__ float group_sum(float x)
{
    static_assert(LANES >= 1 && LANES <= WARP && !(LANES & (LANES - 1)), "a power of two up to 32");
#pragma unroll
    for (int d = LANES / 2; d; d /= 2)
        x += __shfl_xor_sync(ALL_LANES, x, d);
    return x;
}

/* NaN is ignored where there is a number, as by fmaxf. */
template <int LANES> static __device__ __forceinline__ float group_max(float x)
{
    static_assert(LANES >= 1 && LANES <= WARP && !(LANES & (LANES - 1)), "a power of two up to 32");
#pragma unroll
    for (int d = LANES / 2; d; d /= 2)
        x = fmaxf(x, __shfl_xor_sync(ALL_LANES, x, d));
    return x;
}

static __device__ __forceinline__ float warp_sum(float x)
{
    return group_sum<WARP>(x);
}

static __device__ __forceinline__ float warp_max(float x)
{
    return group_max<WARP>(x);
}

/* Each warp leaves its sum in scratch; then every warp adds all of them in the same way. */
template <int THREADS> static __device__ float block_sum(float x, shared_ptr<float> scratch)
{
    static_assert(THREADS % WARP == 0 && THREADS <= 1024, "whole warps, at most 32 of them");
    int warp = (int)threadIdx.x / WARP, lane = (int)threadIdx.x % WARP;
    x = warp_sum(x);
    __syncthreads();
    if (lane == 0)
        scratch[warp] = x;
    __syncthreads();
    return warp_sum(lane < THREADS / WARP ? (float)scratch[lane] : 0.0f);
}

/* The same in double; the warps' sums are added in order. */
template <int THREADS> static __device__ double block_sum(double x, shared_ptr<double> scratch)
{
    static_assert(THREADS % WARP == 0 && THREADS <= 1024, "whole warps, at most 32 of them");
    int warp = (int)threadIdx.x / WARP, lane = (int)threadIdx.x % WARP;
#pragma unroll
    for (int d = WARP / 2; d; d /= 2)
        x += __shfl_xor_sync(ALL_LANES, x, d);
    __syncthreads();
    if (lane == 0)
        scratch[warp] = x;
    __syncthreads();
    x = 0;
#pragma unroll
    for (int i = 0; i < THREADS / WARP; ++i)
        x += scratch[i];
    return x;
}

/* Two sums for the price of one pair of barriers; a and b are replaced by their sums. */
template <int THREADS>
static __device__ void block_sum2(float *a, float *b, shared_ptr<float> scratch)
{
    static_assert(THREADS % WARP == 0 && THREADS <= 1024, "whole warps, at most 32 of them");
    const int warps = THREADS / WARP;
    int       warp = (int)threadIdx.x / WARP, lane = (int)threadIdx.x % WARP;
    float     x = warp_sum(*a), y = warp_sum(*b);
    __syncthreads();
    if (lane == 0) {
        scratch[warp]         = x;
        scratch[warps + warp] = y;
    }
    __syncthreads();
    *a = warp_sum(lane < warps ? (float)scratch[lane] : 0.0f);
    *b = warp_sum(lane < warps ? (float)scratch[warps + lane] : 0.0f);
}

template <int THREADS> static __device__ float block_max(float x, shared_ptr<float> scratch)
{
    static_assert(THREADS % WARP == 0 && THREADS <= 1024, "whole warps, at most 32 of them");
    int warp = (int)threadIdx.x / WARP, lane = (int)threadIdx.x % WARP;
    x = warp_max(x);
    __syncthreads();
    if (lane == 0)
        scratch[warp] = x;
    __syncthreads();
    return warp_max(lane < THREADS / WARP ? (float)scratch[lane] : -INFINITY);
}

#endif
