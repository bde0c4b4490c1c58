/* faults.h - see faults.cu. */
#ifndef ASD_TESTS_SIMT_FAULTS_H
#define ASD_TESTS_SIMT_FAULTS_H

#include "cuda/gpu.h"

enum {
    FAULT_NONE,
    FAULT_NONE_WARP,
    FAULT_NONE_COLLECTIVES,
    FAULT_UNWRITTEN,
    FAULT_MISSING_BARRIER,
    FAULT_MISSING_LAST_BARRIER,
    FAULT_OUT_OF_BOUNDS,
    FAULT_DIVERGENT_BARRIER,
    FAULT_OTHER_BARRIER,
    FAULT_MISSING_SYNCWARP,
    FAULT_SHUFFLE_MASK,
    FAULT_SHUFFLE_ABSENT,
    FAULT_ENDLESS,
    FAULT_TOO_MANY_THREADS,
    FAULT_NONE_COPY, /* from here on tests/simt/faults_mma.cu */
    FAULT_COPY_NO_WAIT,
    FAULT_COPY_NO_COMMIT,
    FAULT_COPY_WAITS_FOR_OLDER,
    FAULT_COPY_NO_BARRIER,
    FAULT_COPY_OVER_READ,
    FAULT_COPY_OVERWRITTEN,
    FAULT_COPY_FROM_MISALIGNED,
    FAULT_COPY_TO_MISALIGNED,
    FAULT_PACK_MISALIGNED,
    FAULT_SHARED_PACK_MISALIGNED,
    FAULT_NONE_MMA,
    FAULT_ROW_MISALIGNED,
    FAULT_ROW_OUT_OF_BOUNDS,
    FAULT_ROW_UNWRITTEN,
    FAULT_MMA_LANE_ABSENT,
    FAULT_MMA_LANE_ENDED,
    FAULT_TF32_NOT_ROUNDED,
    FAULT_NONE_WGMMA,
    FAULT_WGMMA_NOT_FILLED,
    FAULT_WGMMA_NOT_BEGUN,
    FAULT_WGMMA_NO_WAIT, /* these read NaN, and say -1 */
    FAULT_WGMMA_NO_COMMIT,
    FAULT_WGMMA_WAITS_FOR_OLDER,
    FAULT_NONE_BULK, /* from here on tests/simt/faults_bulk.cu */
    FAULT_BULK_NOT_MADE,
    FAULT_BULK_NO_BARRIER,
    FAULT_BULK_NO_WAIT,
    FAULT_BULK_OTHERS_WAIT,
    FAULT_BULK_OLD_PHASE,
    FAULT_BULK_OVER_READ,
    FAULT_BULK_NO_SYNCWARP,
    FAULT_BULK_NO_ARRIVAL,
    FAULT_BULK_TWO_ARRIVALS,
    FAULT_BULK_SHORT,
    FAULT_BULK_MISALIGNED,
};

#ifdef __cplusplus
extern "C" {
#endif

/* x, y: (64) device memory; flag: (1), 0. */
asd_status faults_run(asd_stream *s, int fault, const float *x, float *y, int *flag);
asd_status faults_mma_run(asd_stream *s, int fault, const float *x, float *y);
asd_status faults_bulk_run(asd_stream *s, int fault, const float *x, float *y);

#ifdef __cplusplus
}
#endif

#endif
