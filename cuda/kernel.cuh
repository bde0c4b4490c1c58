/* kernel.cuh - the first include of every .cu file: one dialect, two compilers.
 *
 * nvcc sees CUDA. A C++ compiler (ASD_SIMT defined) sees cuda/simt/simt.h, which runs the same
 * source on the CPU, one fiber per thread, with every shared-memory access checked. For that to
 * work a portable kernel keeps to what both know:
 *
 *   ASD_SHARED(float, s, 32);            instead of  __shared__ float s[32];
 *   ASD_DYNAMIC_SHARED(float, s);        instead of  extern __shared__ float s[];
 *   shared_ptr<float>                    the type of s and s + 4 where a helper takes it
 *   bf16, to_f32(x), from_f32<T>(x)      instead of  __nv_bfloat16 and its intrinsics
 *   ASD_LAUNCH(k, grid, block, bytes, stream, args...)    instead of  k<<<...>>>(args...)
 *
 * threadIdx, __syncthreads, __syncwarp, __shfl_*_sync, __ballot_sync, atomicAdd, float4 and the C
 * maths functions are as in CUDA. Vectors of 16 bytes: pack.cuh; sums over warps and blocks:
 * reduce.cuh; tensor cores and asynchronous copies: mma.cuh; a barrier over the grid: grid.cuh.
 */
#ifndef ASD_CUDA_KERNEL_CUH
#define ASD_CUDA_KERNEL_CUH

#include "cuda/gpu.h"

#ifdef ASD_SIMT
#include "cuda/simt/simt.h"
#else
#include "cuda/launch.cuh"
#endif

enum { WARP = 32 };
#define ALL_LANES 0xffffffffu

static __device__ __forceinline__ float to_f32(float x)
{
    return x;
}
static __device__ __forceinline__ float to_f32(bf16 x)
{
    return asd_bf16_to_f32(x);
}
/* Rounds to nearest, ties to even. */
template <typename T> static __device__ __forceinline__ T from_f32(float x);
template <> __device__ __forceinline__ float              from_f32<float>(float x)
{
    return x;
}
template <> __device__ __forceinline__ bf16 from_f32<bf16>(float x)
{
    return asd_bf16_from_f32(x);
}

/* Blocks of `size` that cover n. */
static inline unsigned asd_blocks(int64_t n, int64_t size)
{
    return (unsigned)((n + size - 1) / size);
}

#endif
