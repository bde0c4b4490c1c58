/* gemm.h - matrix products on the device, by cuBLASLt.
 *
 *   y[i] = op(a[i]) op(b[i]) + beta y[i] (+ bias[i])       i = 0 .. batch-1, all row-major
 *
 * Products of fp32 are done in fp32 (no TF32), products of bf16 with fp32 accumulation. The
 * algorithm is cuBLASLt's first choice for the shape, found once and kept in the device's cache, so
 * that the same shape gives the same bits in every run.
 */
#ifndef ASD_CUDA_GEMM_H
#define ASD_CUDA_GEMM_H

#include "cuda/gpu.h"
#include "kernels/op.h"

#ifdef __cplusplus
extern "C" {
#endif

/* op(a): (m, k), op(b): (k, n), y: (m, n), bias: (n) fp32 added to every row, or NULL. lda, ldb,
 * ldy: elements between stored rows; step_*: elements between the matrices of a batch (0 = the
 * same one for all). a and b have `dtype`, ASD_F32 or ASD_BF16; y may be fp32 where they are bf16
 * (gradients of parameters). beta: 0 or 1; y is not read with 0. */
typedef struct asd_cuda_gemm {
    int          transpose_a, transpose_b;
    int64_t      m, n, k, batch;
    asd_dtype    dtype, y_dtype;
    const void  *a;
    int64_t      lda, step_a;
    const void  *b;
    int64_t      ldb, step_b;
    void        *y;
    int64_t      ldy, step_y;
    float        beta;
    const float *bias;
    int64_t      step_bias;
} asd_cuda_gemm;

/* Enqueued on s, capturable, allocates nothing on the device. ASD_E_DEVICE when cuBLASLt refuses,
 * with the shape. */
asd_status asd_cuda_gemm_run(asd_stream *s, const asd_cuda_gemm *g);

#ifdef __cplusplus
}
#endif
#endif
