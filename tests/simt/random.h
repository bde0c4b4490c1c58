/* random.h - see random.cu. */
#ifndef ASD_TESTS_SIMT_RANDOM_H
#define ASD_TESTS_SIMT_RANDOM_H

#include "cuda/gpu.h"

enum { RANDOM_BLOCKS = 64 };

#ifdef __cplusplus
extern "C"
#endif
    /* Blocks first .. first+63 of the cell (seed, purpose, a, b). out: (256) device memory */
    asd_status
    random_run(asd_stream *s, uint64_t seed, uint32_t purpose, uint64_t a, uint64_t b,
               uint32_t first, uint32_t *out);

#endif
