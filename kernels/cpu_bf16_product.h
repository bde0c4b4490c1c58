/* cpu_bf16_product.h - matrix products of bf16 on the CPU, summed in fp32.
 *
 *   y = bias + A B'        A: (m, k), rows lda apart   B: (n, k), rows ldb apart   y: (m, n) fp32
 *
 * Where the processor multiplies pairs of bf16 (AVX-512 BF16), they are multiplied as they are:
 * half the bytes, twice the products an instruction. Elsewhere pieces of A and B are widened as
 * they are needed, and the result has the bits of cpu_tile.h's product of the widened matrices.
 * Both have the bits of an element depend on its row of A and of B alone; they differ from each
 * other in the order of sums.
 */
#ifndef ASD_KERNELS_CPU_BF16_PRODUCT_H
#define ASD_KERNELS_CPU_BF16_PRODUCT_H

#include <stdint.h>

/* A pair is two neighbours along k in 32 bits, the first in the lower half. A chain of sums over k
 * takes the second of each pair first, as the instruction does. */
typedef struct asd_pair_tile {
    const char *name; /* "avx512-bf16", "plain" */
    /* rows (1 .. ASD_PAIR_ROWS) of y by ASD_PAIR_COLUMNS; b: (pairs, ASD_PAIR_COLUMNS). base NULL:
     * nothing is added. */
    void (*run)(int64_t rows, int64_t pairs, const uint16_t *a, int64_t lda, const uint32_t *b,
                const float *base, int64_t ldbase, float *y, int64_t ldy);
} asd_pair_tile;

enum { ASD_PAIR_ROWS = 8, ASD_PAIR_COLUMNS = 48 };

/* What this processor multiplies pairs with, NULL: it does not. "plain" does the same sums by other
 * instructions, slowly: it is there to test all the rest on any processor. */
const asd_pair_tile              *asd_pair_tile_best(void);
extern const asd_pair_tile *const asd_pair_tile_all[]; /* ended by NULL */
int                               asd_pair_tile_runs(const asd_pair_tile *t);

/* What gives products their bits on this processor, of factors in bf16 or in fp32: "avx512-bf16",
 * pairs; "fma", fused multiply-adds, the same on AVX2 and AVX-512; "plain", multiplied, then added.
 */
const char *asd_products_by(int bf16);

/* In this thread, on 350 KB of stack. t: asd_pair_tile_best(), or NULL: by widening. Of an odd k
 * all is widened. bias: (n) or NULL. */
void asd_bf16_product(const asd_pair_tile *t, int64_t m, int64_t n, int64_t k, const uint16_t *a,
                      int64_t lda, const uint16_t *b, int64_t ldb, const float *bias, float *y,
                      int64_t ldy);

#endif
