/* dropout.h - what dropout.c and dropout.cu must agree on. */
#ifndef ASD_KERNELS_DROPOUT_H
#define ASD_KERNELS_DROPOUT_H

#include <stdint.h>

/* Values of one call: a cell of base/rng.h has 2^32 blocks of four words. */
#define ASD_DROPOUT_MOST ((int64_t)1 << 34)

/* A word below this drops its value: p of the 2^32 words. */
static inline uint32_t asd_dropout_below(float drop_prob)
{
    return (uint32_t)((double)drop_prob * 0x1p32); /* drop_prob < 1, so below 2^32 */
}

#endif
