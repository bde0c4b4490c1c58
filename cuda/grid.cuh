/* grid.cuh - a barrier over all blocks of a cooperative launch.
 *
 * One integer in device memory holds who has arrived (the low 31 bits) and a phase (the top bit).
 * The last block to arrive sets the count back to zero and turns the phase over, in one addition;
 * the others wait for the phase to turn. So the integer is ready for the next barrier, of this
 * launch or of any later one: it is zeroed once, when it is allocated, and a captured graph may be
 * launched again without touching it.
 */
#ifndef ASD_CUDA_GRID_CUH
#define ASD_CUDA_GRID_CUH

#include "cuda/kernel.cuh"

#ifndef ASD_SIMT /* the shim brings its own: there it lets the other blocks run */
static __device__ __forceinline__ void asd_spin()
{
    __nanosleep(32);
}
#endif

#define GRID_PHASE 0x80000000u

/* All threads of all `blocks` blocks must call. What any of them wrote to global memory before is
 * seen by all after. Memory that others write must be read through plain pointers (no
 * __restrict__, no __ldg), or the compiler may take it from a cache that does not know. */
static __device__ __forceinline__ void grid_barrier(unsigned *counter, unsigned blocks)
{
    __syncthreads();
    if (threadIdx.x == 0) {
        __threadfence(); /* this block's writes, before it counts as arrived */
        unsigned before = atomicAdd(counter, 1u);
        if ((before & ~GRID_PHASE) == blocks - 1)
            atomicAdd(counter, GRID_PHASE - blocks);
        else
            while (!((*(volatile unsigned *)counter ^ before) & GRID_PHASE))
                asd_spin();
        __threadfence(); /* the others' writes, before this block reads on */
    }
    __syncthreads();
}

#endif
