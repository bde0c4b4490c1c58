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
#include <string.h>

enum { ROWS = 64 };

static int64_t row_blocks(const asd_gemm_job *j)
{
    return (j->m + ROWS - 1) / ROWS;
}

int64_t asd_gemm_blocks(const asd_gemm_job *j)
{
    return row_blocks(j) * (j->batch ? j->batch : 1);
}

void asd_gemm_block(const asd_gemm_job *j, int64_t block)
{
    int64_t      i = block / row_blocks(j), row = block % row_blocks(j) * ROWS;
    int64_t      rows = j->m - row < ROWS ? j->m - row : ROWS;
    const float *a    = j->a + i * j->step_a + (j->transpose_a ? row : row * j->lda);
    const float *b    = j->b + i * j->step_b;
    float       *y    = j->y + i * j->step_y + row * j->ldy;
    if (j->bias)
        for (int64_t r = 0; r < rows; ++r)
            memcpy(y + r * j->ldy, j->bias + i * j->step_bias, (size_t)j->n * sizeof *y);
    dnnl_status_t st =
        dnnl_sgemm(j->transpose_a ? 'T' : 'N', j->transpose_b ? 'T' : 'N', rows, j->n, j->k, 1, a,
                   j->lda, b, j->ldb, j->bias ? 1 : j->beta, y, j->ldy);
    ASD_ASSERT(st == dnnl_success);
}

void asd_gemm_here(const asd_gemm_job *j)
{
    ASD_ASSERT(!j->bias);
    dnnl_status_t st = dnnl_sgemm(j->transpose_a ? 'T' : 'N', j->transpose_b ? 'T' : 'N', j->m,
                                  j->n, j->k, 1, j->a, j->lda, j->b, j->ldb, j->beta, j->y, j->ldy);
    ASD_ASSERT(st == dnnl_success);
}

static void gemm_chunk(void *ctx, int64_t chunk)
{
    asd_gemm_block(ctx, chunk);
}

void asd_gemm(const asd_gemm_job *j)
{
    asd_par_for(asd_gemm_blocks(j), gemm_chunk, (void *)j);
}
