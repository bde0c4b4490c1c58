/* bulk.cuh - Hopper's bulk copies (TMA): one thread fetches a whole tile, and the others wait for
 * it at a gate in shared memory instead of at a barrier of the block.
 *
 * A map describes (planes, rows, columns) bf16 in global memory, row after row `ld` elements apart,
 * plane after plane rows ld apart. A fetch takes 64 rows of 64 columns of one plane, and puts them
 * where tile_at<64> has them, on 1024 bytes: the 128-byte swizzle of wgmma.cuh. What the plane has
 * not becomes zeros.
 *
 * A gate (an mbarrier) goes through phases 0, 1, 2, ..: one is over when as many threads have
 * arrived as the gate was made for, and all bytes have landed that were announced to it.
 *
 *   bulk_gate_make(g, arrivals)    one thread, once
 *   bulk_gates_made()              that thread, after its last gate; then a barrier of the block
 *   bulk_expect(g, bytes)          arrives, and announces bytes of the phase
 *   bulk_fetch(tile, map, column, row, plane, g)   the same thread, after its bulk_expect
 *   bulk_arrive(g)                 arrives: whoever waits for the phase may fetch over what this
 *                                  warp has read before its last __syncwarp; by wgmma, before
 *                                  its last wgmma_wait
 *   bulk_wait(g, phase)            returns once `phase` is over: then this thread may read what was
 *                                  fetched, wgmma too. No thread may come a whole phase late
 *
 * What ordinary stores wrote needs wgmma_filled and a barrier before a fetch goes over it.
 *
 *   asd_bulk_map(&map, x, planes, rows, columns, ld)   host. x on 16 bytes, ld a multiple of 8
 *   const __grid_constant__ bulk_map map               how a kernel takes it
 *
 * Compute capability 9.0 and later; compiled for anything else it traps, and whoever launches asks
 * the device before. The shim copies when somebody looks at the gate, and checks that nobody reads
 * before, and that nobody may still read what a fetch goes over (simt/bulk.h). The instructions
 * below have not run on a GPU yet. See the PTX manual, "cp.async.bulk.tensor" and "mbarrier".
 */
#ifndef ASD_CUDA_BULK_CUH
#define ASD_CUDA_BULK_CUH

#include "cuda/mma.cuh"

enum { BULK_ROWS = 64, BULK_COLUMNS = 64, BULK_BYTES = BULK_ROWS * BULK_COLUMNS * 2 };

#ifdef ASD_SIMT
#include "cuda/simt/bulk.h"
#else

struct alignas(128) bulk_map { /* a CUtensorMap */
    uint64_t x[16];
};
typedef uint64_t bulk_gate;

/* In bulk.cu. ASD_E_DEVICE when the driver has no such maps, or refuses this one. */
asd_status asd_bulk_map(bulk_map *map, const bf16 *x, int64_t planes, int64_t rows, int64_t columns,
                        int64_t ld);

#if defined __CUDA_ARCH__ && __CUDA_ARCH__ >= 900

static __device__ __forceinline__ void bulk_gate_make(bulk_gate *g, int arrivals)
{
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;"
                 :
                 : "r"(shared_address(g)), "r"(arrivals)
                 : "memory");
}

static __device__ __forceinline__ void bulk_gates_made()
{
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

static __device__ __forceinline__ void bulk_expect(bulk_gate *g, int bytes)
{
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;"
                 :
                 : "r"(shared_address(g)), "r"(bytes)
                 : "memory");
}

static __device__ __forceinline__ void bulk_fetch(bf16 *tile, const bulk_map &map, int column,
                                                  int row, int plane, bulk_gate *g)
{
    asm volatile("cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes "
                 "[%0], [%1, {%2, %3, %4}], [%5];"
                 :
                 : "r"(shared_address(tile)), "l"(&map), "r"(column), "r"(row), "r"(plane),
                   "r"(shared_address(g))
                 : "memory");
}

static __device__ __forceinline__ void bulk_arrive(bulk_gate *g)
{
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" : : "r"(shared_address(g)) : "memory");
}

/* try_wait sleeps for a while by itself. */
static __device__ __forceinline__ void bulk_wait(bulk_gate *g, int phase)
{
    asm volatile("{\n.reg .pred p;\n"
                 "AGAIN:\n"
                 "mbarrier.try_wait.parity.shared::cta.b64 p, [%0], %1;\n"
                 "@!p bra AGAIN;\n}"
                 :
                 : "r"(shared_address(g)), "r"(phase & 1)
                 : "memory");
}

#else

static __device__ __forceinline__ void bulk_gate_make(bulk_gate *, int)
{
}
static __device__ __forceinline__ void bulk_gates_made()
{
}
static __device__ __forceinline__ void bulk_expect(bulk_gate *, int)
{
}
static __device__ __forceinline__ void bulk_fetch(bf16 *, const bulk_map &, int, int, int,
                                                  bulk_gate *)
{
    __trap();
}
static __device__ __forceinline__ void bulk_arrive(bulk_gate *)
{
}
static __device__ __forceinline__ void bulk_wait(bulk_gate *, int)
{
}

#endif
#endif
#endif
