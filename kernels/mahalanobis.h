/* mahalanobis.h - Mahalanobis distances of many machines at once on a device (systems E1, E3):
 * means and covariances of the training rows, a factor of each, distances of other rows.
 *
 *   C = sum of w r r' / sum of w       r: a row minus its domain's mean, w: 1, or `weight` (target)
 *   M = (1 - rho) C + rho mu I         mu = trace(C) / D, rho of Ledoit and Wolf (2004), or 0
 *   M = L L'                           Cholesky
 *   score_m(x) = |inverse(L) (x - mean_m)|
 *
 * Or in axes that the caller has made of C (systems E1: its largest principal ones):
 *
 *   score_m(x) = |A (x - centre) - place_m|
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
    int     held_out;    /* with ledoit_wolf: C n / (n - 1) in C's place, rho and mu as they were */
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
    double  *shrink; /* (G, 2) = 1 - rho (held_out: times n / (n - 1)), rho mu */
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

/* The same, and cross: (G, x->n) products of the two differences whose lengths the scores are, in
 * the same metric: what leaving a row out needs too. */
asd_status asd_maha_score_cross(const asd_maha *a, const asd_maha_model *from,
                                const asd_maha_rows *x, double *work, double *score, double *cross,
                                asd_stream *s);

/* The first part of a fit: means, C (its lower triangle) in factor's place, and of info the rows of
 * each domain. */
asd_status asd_maha_covariance(const asd_maha *a, const asd_maha_rows *train,
                               const unsigned char *is_target, const asd_maha_model *to,
                               asd_stream *s);
/* For fewer rows than columns: gram (G, train->n, train->n), of which the lower triangle of a
 * machine's own rows is written: products of the rows sqrt(w / sum of w) r with each other, whose
 * eigenvalues are those of C. to->factor is not used. */
asd_status asd_maha_gram(const asd_maha *a, const asd_maha_rows *train,
                         const unsigned char *is_target, const asd_maha_model *to, double *gram,
                         asd_stream *s);

typedef struct asd_maha_axes {
    int64_t       K;      /* axes; a machine with fewer has zeros behind, in axis and place */
    const double *axis;   /* (G, K, D) one a row */
    const double *centre; /* (G, D) */
    const double *place;  /* (G, 2, K) where the means of source and target fall */
} asd_maha_axes;
/* score: (G, x->n, 2). Of `a`, G and D alone are looked at. */
asd_status asd_maha_score_axes(const asd_maha *a, const asd_maha_axes *axes, const asd_maha_rows *x,
                               double *score, asd_stream *s);

/* mahalanobis.cu */
asd_status maha_fit_cuda(const asd_maha *a, const asd_maha_rows *train,
                         const unsigned char *is_target, const asd_maha_model *to, asd_stream *s);
asd_status maha_score_cuda(const asd_maha *a, const asd_maha_model *from, const asd_maha_rows *x,
                           double *work, double *score, double *cross, asd_stream *s);
asd_status maha_covariance_cuda(const asd_maha *a, const asd_maha_rows *train,
                                const unsigned char *is_target, const asd_maha_model *to,
                                asd_stream *s);
asd_status maha_gram_cuda(const asd_maha *a, const asd_maha_rows *train,
                          const unsigned char *is_target, const asd_maha_model *to, double *gram,
                          asd_stream *s);
asd_status maha_axes_cuda(const asd_maha *a, const asd_maha_axes *axes, const asd_maha_rows *x,
                          double *score, asd_stream *s);

#ifdef __cplusplus
}
#endif
#endif
