/* matmul.h - see matmul.cu. */
#ifndef ASD_TESTS_SIMT_MATMUL_H
#define ASD_TESTS_SIMT_MATMUL_H

#include "cuda/gpu.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct matmul {
    int64_t     m, n, k;
    int         a_trans; /* a lies (K, M), not (M, K) */
    int         b_trans; /* b lies (K, N), not (N, K) */
    const void *a, *b;   /* bf16, on 16 bytes, as all device memory */
    float      *y;       /* (M, N) = a b */
} matmul;

asd_status matmul_run(asd_stream *s, const matmul *p);

/* y: (16, 8) = a (16, K) b (8, K), fp32 rounded to tf32, by one warp. K a multiple of 8. */
asd_status matmul_tf32_run(asd_stream *s, const float *a, const float *b, int64_t k, float *y);

/* Compute capability 9.0: box, the 64 rows from `row` and 64 columns from `column` on of plane
 * `plane` of b (planes, rows, columns), zeros outside, fetched by a bulk copy; nt = a box' and
 * nn = a box by wgmma. a: (64, 64) bf16; box, nt, nn: (64, 64). */
typedef struct matmul_box {
    const void *a, *b;
    int64_t     planes, rows, columns;
    int         plane, row, column;
    float      *box, *nt, *nn;
} matmul_box;

asd_status matmul_hopper_run(asd_stream *s, const matmul_box *p);

#ifdef __cplusplus
}
#endif
#endif
