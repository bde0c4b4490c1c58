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
};

#ifdef __cplusplus
extern "C"
#endif
    /* x, y: (64) device memory; flag: (1), 0. */
    asd_status
    faults_run(asd_stream *s, int fault, const float *x, float *y, int *flag);

#endif
