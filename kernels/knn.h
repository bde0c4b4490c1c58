/* knn.h - cosine distance to the nearest training rows of many machines at once on a device
 * (systems E10), as host/detect/knn.c defines it for one.
 *
 *   d(x, y) = max(0, 1 - x' y / (|x| |y|))       1 where x or y is all zeros
 *   score   = mean of the k smallest d, or the k-th; of fewer than k rows all there are, of none
 *             infinity
 *
 * Products and lengths are in double, a distance is kept in fp32: 6e-8 of itself, however small it
 * is. Ranks that close may exchange, distances not. A row has the same bits alone and in company.
 *
 * All pointers are device memory; enqueued, nothing is allocated, capturable. ASD_E_DEVICE in a
 * build without CUDA.
 */
#ifndef ASD_KERNELS_KNN_H
#define ASD_KERNELS_KNN_H

#include "cuda/gpu.h"
#include "kernels/op.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { ASD_KNN_MOST = 32 };

typedef struct asd_knn {
    int64_t G, N, M, D; /* machines; rows of a bank and rows to score, of each at most; columns */
    int     k;          /* 1 .. ASD_KNN_MOST */
    int by_domain; /* the two scores are distances to source and target rows; else both to all */
    int kth;       /* the k-th distance in place of the mean */
    int itself;    /* row i to score is row i of the bank, and no neighbour of its own */
} asd_knn;

/* Bytes of scratch, to be aligned for double. */
int64_t asd_knn_work(const asd_knn *a);

/* bank: (G, N, D)   n: (G) rows that a bank has, NULL: N each   is_target: (G, N) bytes
 * x: (G, M, D)   m: (G), NULL: M each   work: (asd_knn_work)   score: (G, M, 2); rows past m are
 * left as they are. */
asd_status asd_knn_cosine(const asd_knn *a, const float *bank, const int32_t *n,
                          const unsigned char *is_target, const float *x, const int32_t *m,
                          void *work, double *score, asd_stream *s);

/* knn.cu */
asd_status knn_cosine_cuda(const asd_knn *a, const float *bank, const int32_t *n,
                           const unsigned char *is_target, const float *x, const int32_t *m,
                           void *work, double *score, asd_stream *s);

/* Rows of a bank that one block goes over: so many, whatever the device, that bits do not change
 * with it. */
enum { ASD_KNN_SLICE = 128 };
static inline int64_t asd_knn_slices(const asd_knn *a)
{
    return (a->N + ASD_KNN_SLICE - 1) / ASD_KNN_SLICE;
}

#ifdef __cplusplus
}
#endif
#endif
