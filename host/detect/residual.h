/* residual.h - scores from what an autoencoder fails to reconstruct (systems C1,
 * dcase2026 6.4-6.7).
 *
 * Residual rows: the vectors of a clip are (B, stack F); their residual x - y is read as B stack
 * rows of F bands.
 */
#ifndef ASD_DETECT_RESIDUAL_H
#define ASD_DETECT_RESIDUAL_H

#include "detect/detector.h"

#include <stdint.h>

struct asd_residuals {
    const float *x, *y; /* (B, stack F) */
    int64_t      B, stack, F;
};

/* --- covariance by the official rule --- */

/* Within each batch and domain: rows minus that batch's own mean row of that domain, their outer
 * products summed; divided at the end by (number of vectors of the domain - 1), not of rows.
 * Without target vectors the target's covariance is the source's. */
typedef struct asd_residual_cov {
    int64_t F;
    double *sum[2]; /* (F, F) by domain */
    int64_t vectors[2];
    float  *rows;  /* scratch: (max rows, F) */
    float  *outer; /* scratch: (F, F) */
    int64_t max_rows;
} asd_residual_cov;

asd_status asd_residual_cov_init(asd_residual_cov *c, int64_t F, int64_t max_rows);
void       asd_residual_cov_clear(asd_residual_cov *c);
/* is_target: (B), 1 for the vectors of target clips. */
void asd_residual_cov_add(asd_residual_cov *c, const asd_residuals *r,
                          const unsigned char *is_target);
/* source, target: (F, F). ASD_E_DATA when there are fewer than two source vectors. */
asd_status asd_residual_cov_finish(const asd_residual_cov *c, float *source, float *target);

/* Inverse of a symmetric positive definite matrix, in double (official: fp32 without
 * regularisation; the difference is the rounding of its inverse). ASD_E_NUMERIC naming `what` when
 * it is singular to working precision. */
asd_status asd_spd_inverse(const float *a, int64_t n, const char *what, double *inverse);

/* Mean residual row over all vectors and stack positions. mean: (F) */
void asd_residual_mean(const asd_residuals *r, double *mean);
/* v' P v. P: (F, F) */
double asd_quadratic_form(const double *p, const double *v, int64_t F);
/* Mean over rows e of e e'. gram: (F, F) */
void asd_residual_gram(const asd_residuals *r, double *gram);

/* --- detectors --- */

/* What training left for the detectors of one network. */
struct asd_residual_stats {
    int64_t      F;
    const float *covariance[2]; /* (F, F) source, target */
    /* official batch rule (dcase2026 6.7): values of the batches of the last epoch, then of
     * validation */
    const float *batch_mse, *batch_mahalanobis;
    int64_t      n_batch_mse, n_batch_mahalanobis;
};

#endif
