/* mahalanobis.h - Mahalanobis distances of many machines at once on a device (systems E1, E3):
 * means and covariances of the training rows, a factor of each, distances of other rows.
 *
 *   C = sum of w r r' / sum of w       r: a row minus its domain's mean, w: 1, or `weight` (target)
 *   M = (1 - rho) C + rho mu I         mu = trace(C) / D, rho of Ledoit and Wolf (2004), or 0
 *   M = L L'                           Cholesky
 *   score_m(x) = |inverse(L) (x - mean_m)|
 *
 * All sums are in double and in one order: a machine has the same bits alone and among others, and
 * so has a row. What host/detect computes by eigenvectors is the same where all axes are taken.
 *
 * Machines are G blocks of rows, padded to the longest. All pointers are device memory; enqueued,
 * nothing is allocated, capturable. ASD_E_DEVICE in a build without CUDA.
 */
#ifndef ASD_KERNELS_MAHALANOBIS_H
#define ASD_KERNELS_MAHALANOBIS_H

#include "cuda/gpu.h"
#include "kernels/op.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct asd_maha {
    int64_t G, D;        /* machines, at most 65535; columns */
    int     one_centre;  /* both domains share the mean of all rows */
    int     ledoit_wolf; /* shrink; all rows then weigh the same */
    double  weight; /* of a target row; 0: source rows / target rows, or 1 where one has none */
} asd_maha;

/* Rows of G machines. */
typedef struct asd_maha_rows {
    const float   *x;     /* (G, n, D) */
    const int32_t *count; /* (G) rows that a machine has, at most n; NULL: n each */
    int64_t        n;
} asd_maha_rows;

enum { ASD_MAHA_SOURCE, ASD_MAHA_TARGET, ASD_MAHA_BROKEN, ASD_MAHA_INFO };

/* What a fit leaves; the caller's memory. A domain without rows has the mean of the other. */
typedef struct asd_maha_model {
    double  *mean;   /* (G, 2, D) source, target */
    double  *factor; /* (G, D, D) lower triangle: L; what is above is undefined */
    double  *shrink; /* (G, 2) = 1 - rho, rho mu */
    int32_t *info;   /* (G, ASD_MAHA_INFO) rows of each domain; 0, or 1 + the first column that says
                      * nothing beyond those before it: then M has no inverse, and scores are NaN */
} asd_maha_model;

/* is_target: (G, train->n) bytes */
asd_status asd_maha_fit(const asd_maha *a, const asd_maha_rows *train,
                        const unsigned char *is_target, const asd_maha_model *to, asd_stream *s);
/* Doubles of scratch that a score of n rows a machine needs. */
int64_t asd_maha_work(const asd_maha *a, int64_t n);
/* score: (G, x->n, 2) distances to source and target; rows past a machine's count are left as they
 * are. work: (asd_maha_work(a, x->n)) */
asd_status asd_maha_score(const asd_maha *a, const asd_maha_model *from, const asd_maha_rows *x,
                          double *work, double *score, asd_stream *s);

/* mahalanobis.cu */
asd_status maha_fit_cuda(const asd_maha *a, const asd_maha_rows *train,
                         const unsigned char *is_target, const asd_maha_model *to, asd_stream *s);
asd_status maha_score_cuda(const asd_maha *a, const asd_maha_model *from, const asd_maha_rows *x,
                           double *work, double *score, asd_stream *s);

#ifdef __cplusplus
}
#endif
#endif
