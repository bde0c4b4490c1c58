/* wgmma.cuh - Hopper's products of whole warpgroups, for kernels that mma.cuh is too slow for.
 *
 * Four warps whose number starts at a multiple of four multiply together: c (64, 64) fp32, of which
 * warp w of the four holds rows 16 w .. 16 w + 15 as eight mma_c side by side; a (64, 16) bf16 from
 * registers, each warp's 16 rows as an mma_a; b from a tile of 64 columns in shared memory that
 * lies as tile_at<64> has it, on 1024 bytes: that is the tensor core's 128-byte swizzle.
 *
 *   wgmma_tile_at(tile, row, column)     where b begins: rows in steps of 8, columns of 16
 *   wgmma_hold(x)                        x, an array of mma_a or mma_c, is in its registers here:
 *                                        before wgmma_begin that it is written, after wgmma_wait
 *                                        that it is not read earlier
 *   wgmma_begin()                        registers of c and a are written
 *   wgmma_64x64x16<TURNED>(c, a, b, add) c = or += a b. b(k, n) = tile(row + n, column + k) or,
 *                                        TURNED, tile(row + k, column + n)
 *   wgmma_commit()                       closes a group of products
 *   wgmma_wait<N>()                      all groups but the N youngest are done: their c may be
 *                                        read once it is held, their a and b written again
 *   wgmma_end(c)                         wgmma_commit, wgmma_wait<0>, wgmma_hold(c)
 *   wgmma_filled()                       before a barrier: what this thread stored, or its copies
 *                                        brought (after cp_async_wait), may be read by wgmma
 *   wgmma_skip(shared)                   elements from `shared` to the next 1024 bytes
 *
 * Compute capability 9.0 alone (sm_90a). Compiled for anything else the products trap; whoever
 * launches asks the device before. In the shim each warp multiplies its rows by mma_16x8x16; sums
 * are NaN until they are waited for, and a tile that was not wgmma_filled is an error.
 *
 * The instructions and descriptors below have not run on a GPU yet: only what is around them is
 * proven, by the shim. See the PTX manual, "wgmma.mma_async" and "Shared memory matrix layout".
 */
#ifndef ASD_CUDA_WGMMA_CUH
#define ASD_CUDA_WGMMA_CUH

#include "cuda/mma.cuh"

enum { WGMMA_ALIGN = 1024 };

#ifdef ASD_SIMT
#include "cuda/simt/wgmma.h"
#else

typedef uint64_t wgmma_tile;

/* Address in units of 16 bytes; 1024 bytes between groups of eight rows; the 128-byte swizzle. The
 * other stride counts where a matrix is wider than a swizzled row, which none is here. */
static __device__ __forceinline__ wgmma_tile wgmma_tile_at(const bf16 *tile, int row, int column)
{
    uint32_t address = shared_address(tile) + (uint32_t)(row * 128 + column * 2);
    return (uint64_t)((address & 0x3ffffu) >> 4) | (uint64_t)1 << 16 | (uint64_t)(1024 >> 4) << 32 |
           (uint64_t)1 << 62;
}

static __device__ __forceinline__ int wgmma_skip(const bf16 *shared)
{
    return (int)((WGMMA_ALIGN - shared_address(shared) % WGMMA_ALIGN) % WGMMA_ALIGN) / 2;
}

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

static __device__ __forceinline__ void wgmma_filled()
{
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

static __device__ __forceinline__ void wgmma_begin()
{
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}

static __device__ __forceinline__ void wgmma_commit()
{
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

template <int YOUNGEST> static __device__ __forceinline__ void wgmma_wait()
{
    asm volatile("wgmma.wait_group.sync.aligned %0;" : : "n"(YOUNGEST) : "memory");
}

template <int N> static __device__ __forceinline__ void wgmma_hold(mma_c (&c)[N])
{
#pragma unroll
    for (int n = 0; n < N; ++n)
        asm volatile(""
                     : "+f"(c[n].x[0]), "+f"(c[n].x[1]), "+f"(c[n].x[2]),
                       "+f"(c[n].x[3])::"memory");
}

template <int N> static __device__ __forceinline__ void wgmma_hold(mma_a (&a)[N])
{
#pragma unroll
    for (int n = 0; n < N; ++n)
        asm volatile(""
                     : "+r"(a[n].x[0]), "+r"(a[n].x[1]), "+r"(a[n].x[2]),
                       "+r"(a[n].x[3])::"memory");
}

#define ASD_WGMMA_C(n) "+f"(c[n].x[0]), "+f"(c[n].x[1]), "+f"(c[n].x[2]), "+f"(c[n].x[3])
template <bool TURNED>
static __device__ __forceinline__ void wgmma_64x64x16(mma_c (&c)[8], const mma_a &a, wgmma_tile b,
                                                      bool add)
{
    asm volatile("{\n.reg .pred p;\n"
                 "setp.ne.b32 p, %37, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 "
                 "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
                 "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, "
                 "%30, %31}, "
                 "{%32, %33, %34, %35}, %36, p, 1, 1, %38;\n}"
                 : ASD_WGMMA_C(0), ASD_WGMMA_C(1), ASD_WGMMA_C(2), ASD_WGMMA_C(3), ASD_WGMMA_C(4),
                   ASD_WGMMA_C(5), ASD_WGMMA_C(6), ASD_WGMMA_C(7)
                 : "r"(a.x[0]), "r"(a.x[1]), "r"(a.x[2]), "r"(a.x[3]), "l"(b), "r"((int)add),
                   "n"((int)TURNED)
                 : "memory");
}
#undef ASD_WGMMA_C

#else

static __device__ __forceinline__ void wgmma_filled()
{
}
static __device__ __forceinline__ void wgmma_begin()
{
}
static __device__ __forceinline__ void wgmma_commit()
{
}
template <int YOUNGEST> static __device__ __forceinline__ void wgmma_wait()
{
}
template <typename C, int N> static __device__ __forceinline__ void wgmma_hold(C (&)[N])
{
}
template <bool TURNED>
static __device__ __forceinline__ void wgmma_64x64x16(mma_c (&)[8], const mma_a &, wgmma_tile, bool)
{
    __trap();
}

#endif
#endif

static __device__ __forceinline__ void wgmma_end(mma_c (&c)[8])
{
    wgmma_commit();
    wgmma_wait<0>();
    wgmma_hold(c);
}

#endif
