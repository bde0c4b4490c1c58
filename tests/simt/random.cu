/* random.cu - writes the device's random words, for test_random.c. */
#include "cuda/kernel.cuh"
#include "cuda/philox.cuh"

#include "tests/simt/random.h"

static __global__ void random_k(uint64_t seed, uint32_t purpose, uint64_t a, uint64_t b,
                                uint32_t first, uint32_t *out)
{
    random_cell cell = random_open(seed, purpose, a, b);
    random_block(cell, first + threadIdx.x, out + 4 * threadIdx.x);
}

extern "C" asd_status random_run(asd_stream *s, uint64_t seed, uint32_t purpose, uint64_t a,
                                 uint64_t b, uint32_t first, uint32_t *out)
{
    return ASD_LAUNCH(random_k, dim3(1), dim3(RANDOM_BLOCKS), 0, s, seed, purpose, a, b, first,
                      out);
}
