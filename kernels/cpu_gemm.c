/* cpu_gemm.c - asd_gemm over oneDNN's sgemm: the one file that knows oneDNN (2.6; sgemm is the same
 * in 3.x).
 *
 * Row blocks of 64: measured on an AVX2 EPYC core, 64 x 128 x 640 runs at the rate of 256 x 128 x
 * 640 (95 GFLOP/s both, one thread), so small blocks cost nothing and feed any number of threads.
 * Tried and dropped: the matmul primitive; same rate at these shapes (it calls the same kernel
 * there), and it needs a descriptor per shape and allocates a table of arguments in every call.
 */
#include "kernels/cpu.h"

#include "base/par.h"
#include "base/status.h"

#include <dnnl.h>
#include <omp.h>

enum { ROWS = 64 };

typedef struct gemm_job {
    int          transpose_a, transpose_b;
    int64_t      m, n, k, lda, ldb, ldy;
    float        alpha, beta;
    const float *a, *b;
    float       *y;
} gemm_job;

static void gemm_block(void *ctx, int64_t chunk)
{
    const gemm_job *j    = ctx;
    int64_t         row  = chunk * ROWS;
    int64_t         rows = j->m - row < ROWS ? j->m - row : ROWS;
    const float    *a    = j->transpose_a ? j->a + row : j->a + row * j->lda;
    dnnl_status_t   st =
        dnnl_sgemm(j->transpose_a ? 'T' : 'N', j->transpose_b ? 'T' : 'N', rows, j->n, j->k,
                   j->alpha, a, j->lda, j->b, j->ldb, j->beta, j->y + row * j->ldy, j->ldy);
    ASD_ASSERT(st == dnnl_success);
}

void asd_gemm(int transpose_a, int transpose_b, int64_t m, int64_t n, int64_t k, float alpha,
              const float *a, int64_t lda, const float *b, int64_t ldb, float beta, float *y,
              int64_t ldy)
{
    if (m <= 0 || n <= 0)
        return;
    gemm_job job = {transpose_a, transpose_b, m, n, k, lda, ldb, ldy, alpha, beta, a, b, y};
    /* Outside a parallel region oneDNN would split a block over threads itself, and with it the
     * order of sums. */
    int threads = omp_get_max_threads();
    int alone   = !omp_in_parallel() && m <= ROWS && threads > 1;
    if (alone)
        omp_set_num_threads(1);
    asd_par_for((m + ROWS - 1) / ROWS, gemm_block, &job);
    if (alone)
        omp_set_num_threads(threads);
}
