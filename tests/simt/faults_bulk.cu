/* faults_bulk.cu - as faults.cu, for bulk copies and their gates. */
#include "cuda/bulk.cuh"
#include "cuda/wgmma.cuh"

#include "tests/simt/faults.h"

enum { THREADS = 64 };

/* y[0] = sum of the fp32 in x (2 x 32), seen as bf16 and fetched twice over the same tile: twice
 * 1 + .. + 64, of which the lower halves are zeros. `fault` breaks one thing. */
static __global__ void bulk_k(const __grid_constant__ bulk_map map, float *y, int fault)
{
    ASD_SHARED(bf16, tile, BULK_ROWS * BULK_COLUMNS + 8);
    ASD_SHARED(bulk_gate, gates, 2);
    ASD_SHARED(float, part, THREADS);
    shared_ptr<bulk_gate> full = gates, empty = full + 1;
    int                   t = (int)threadIdx.x, place = fault == FAULT_BULK_MISALIGNED ? 8 : 0;
    float                 sum = 0;
    if (t == 0) {
        if (fault != FAULT_BULK_NOT_MADE)
            bulk_gate_make(full, 1);
        bulk_gate_make(empty, THREADS / WARP);
        bulk_gates_made();
    }
    if (fault != FAULT_BULK_NO_BARRIER)
        __syncthreads();
    for (int round = 0; round < 2; ++round) {
        if (t == 0) {
            if (round && fault != FAULT_BULK_OVER_READ)
                bulk_wait(empty, 0);
            bulk_expect(full, fault == FAULT_BULK_SHORT ? 2 * BULK_BYTES : BULK_BYTES);
            if (fault == FAULT_BULK_TWO_ARRIVALS)
                bulk_arrive(full);
            bulk_fetch(tile + place, map, 0, 0, 0, full);
        }
        if (fault != FAULT_BULK_NO_WAIT && (fault != FAULT_BULK_OTHERS_WAIT || t < WARP))
            bulk_wait(full, fault == FAULT_BULK_OLD_PHASE ? 0 : round);
        for (int i = t; i < BULK_ROWS * BULK_COLUMNS; i += THREADS)
            sum += to_f32((bf16)tile[tile_at<BULK_COLUMNS>(i / BULK_COLUMNS, i % BULK_COLUMNS)]);
        if (fault != FAULT_BULK_NO_SYNCWARP)
            __syncwarp();
        if (mma_lane() == 0 && (fault != FAULT_BULK_NO_ARRIVAL || t))
            bulk_arrive(empty);
    }
    part[t] = sum;
    __syncthreads();
    if (t == 0) {
        for (int i = 1; i < THREADS; ++i)
            sum += part[i];
        *y = sum;
    }
}

extern "C" asd_status faults_bulk_run(asd_stream *s, int fault, const float *x, float *y)
{
    bulk_map map = {};
    ASD_TRY(asd_bulk_map(&map, (const bf16 *)x, 1, 2, 64, 64));
    return ASD_LAUNCH(bulk_k, 1, THREADS, 0, s, map, y, fault);
}
