/* cpu.h - what CPU kernels share: matrix products in fixed chunks (oneDNN), and vector code for
 * every processor.
 *
 * Bits do not depend on the number of threads: a product is cut into row blocks of y by its shape
 * alone, each block is one single-threaded library call with the full inner length.
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

/* y = alpha op(a) op(b) + beta y, all row-major.
 * op(a): (m, k), op(b): (k, n), y: (m, n); lda, ldb, ldy: elements between stored rows. Aborts on
 * bad arguments. */
void asd_gemm(int transpose_a, int transpose_b, int64_t m, int64_t n, int64_t k, float alpha,
              const float *a, int64_t lda, const float *b, int64_t ldb, float beta, float *y,
              int64_t ldy);

#endif
