/* products.h - what wgmma.h needs of a thread: its products under way. Their sums are NaN where the
 * kernel keeps them until it waits, so that whoever reads too early shows. */
#ifndef ASD_CUDA_SIMT_PRODUCTS_H
#define ASD_CUDA_SIMT_PRODUCTS_H

#include <cstdint>
#include <vector>

namespace simt
{

struct shared_array;

struct late_sum { /* 64 columns of a thread's two rows */
    float *c;
    float  x[32];
    int    group;
};

struct products {
    std::vector<late_sum> late;
    int                   groups;
    bool                  begun; /* wgmma_begin, and no wgmma_wait since */
    uint32_t filled; /* barriers passed at the last wgmma_filled, and one; 0: none yet */
};

products &products_here();
void      products_filled();
/* Value at `offset` bytes is read by the tensor core: fails unless its writer has said
 * wgmma_filled since the barrier before it wrote. */
void products_read(const shared_array *a, int64_t offset);

} // namespace simt

#endif
