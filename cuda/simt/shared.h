/* shared.h - the shared memory of one running block, with a shadow that knows who wrote and read
 * each value since the last barrier. Used by simt.cc. */
#ifndef ASD_CUDA_SIMT_SHARED_H
#define ASD_CUDA_SIMT_SHARED_H

#include "cuda/simt/simt.h"

namespace simt
{

enum { MAX_ARRAYS = 64, GRANULE = 2, SHARED_LIMIT = 227 * 1024, NOBODY = -1, MANY = -2 };

enum { UNWRITTEN, WRITTEN, ON_ITS_WAY /* by cp.async */, BULK_ON_ITS_WAY };

/* Of GRANULE bytes. Times are (block's barriers, warp's barriers) passed. */
struct shadow {
    int32_t  writer, reader; /* thread; NOBODY, or a bulk copy; readers of several warps: MANY */
    uint32_t write_block, write_warp, read_block, read_warp;
    int16_t  reader_warp; /* when several lanes of one warp have read; else -1 */
    uint8_t  written;     /* one of the four */
    uint8_t  atomic;
};

struct shared_memory {
    unsigned char *bytes;
    shadow        *seen;
    uint32_t       used, dynamic_bytes;
    shared_array   array[MAX_ARRAYS];
    const void    *key[MAX_ARRAYS];
    int            n;
};

/* Empty, with the first dynamic_bytes taken by the dynamic array. */
void shared_begin(shared_memory *m, size_t dynamic_bytes);
void shared_free(shared_memory *m);

struct moment { /* of the access */
    int      thread;
    uint32_t block, warp;
};
/* Marks the access, or says in `why` (at least 200 bytes) what is wrong with it and returns 0. */
int shared_mark(shared_memory *m, uint32_t begin, uint32_t bytes, access how, moment now, char *why,
                size_t why_size);

} // namespace simt

#endif
