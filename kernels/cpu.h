/* cpu.h - what CPU kernels share: matrix products cut into blocks, and vector code for every
 * processor.
 *
 * An element of a product has the same bits whatever the product's other rows and columns, the
 * number of threads and the blocks (cpu_tile.h).
 */
#ifndef ASD_KERNELS_CPU_H
#define ASD_KERNELS_CPU_H

#include <stdint.h>

/* Compiled for each of these instruction sets, the best chosen when the program starts. Nothing
 * here contracts a*b+c (-ffp-contract=off), so all of them round alike. Sanitizers cannot run
 * before the choice is made. */
#if defined(__x86_64__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__)
#define ASD_SIMD __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define ASD_SIMD
#endif

/* Rows of C values that one chunk takes: 16384 values, 3 to 10 us of work. */
static inline int64_t asd_chunk_rows(int64_t C)
{
    return C < 16384 ? 16384 / C : 1;
}

/* sum of a[i] b[i], in ASD_LANES (cpu_math.h) running sums; a may be b. */
float asd_row_dot(const float *a, const float *b, int64_t n);

/* One product of a parallel region: y = op(a) op(b) + beta y, beta 0 or 1, or + bias' when there is
 * one (beta is then not used); all row-major. op(a): (m, k), op(b): (k, n), y: (m, n), bias: (n);
 * lda, ldb, ldy: elements between stored rows. A batch is `batch` such products, step_* elements
 * apart; 0 reads as 1. Several products run side by side in one asd_par_for: give each
 * asd_gemm_blocks chunks. */
typedef struct asd_gemm_job {
    int          transpose_a, transpose_b;
    int64_t      m, n, k;
    const float *a;
    int64_t      lda;
    const float *b;
    int64_t      ldb;
    float        beta;
    const float *bias; /* NULL for none */
    float       *y;
    int64_t      ldy;
    int64_t      batch, step_a, step_b, step_y, step_bias;
} asd_gemm_job;

/* Rows [row, row + rows) and columns [column, column + columns) of product `product` of a batch. */
typedef struct asd_gemm_part {
    int64_t product, row, rows, column, columns;
} asd_gemm_part;

int64_t asd_gemm_blocks(const asd_gemm_job *j);
/* What a block makes; of j, only m, n and batch count. */
asd_gemm_part asd_gemm_part_of(const asd_gemm_job *j, int64_t block);
void          asd_gemm_block(const asd_gemm_job *j, int64_t block);
void          asd_gemm(const asd_gemm_job *j); /* all blocks, in parallel */
/* All rows at once by this thread, for chunks that their caller has cut; no batch. */
void asd_gemm_here(const asd_gemm_job *j);

#endif
