/* residual.h - scores from what an autoencoder fails to reconstruct (systems C1,
 * dcase2026 6.4-6.7).
 *
 * Residual rows: the vectors of a clip are (B, stack F); their residual x - y is read as B stack
 * rows of F bands.
 */
#ifndef ASD_DETECT_RESIDUAL_H
#define ASD_DETECT_RESIDUAL_H

#include "base/opt.h"
#include <stdint.h>
#include <stdio.h>

typedef struct asd_residuals {
    const float *x, *y; /* (B, stack F) */
    int64_t      B, stack, F;
} asd_residuals;

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
typedef struct asd_residual_stats {
    int64_t      F;
    const float *covariance[2]; /* (F, F) source, target */
    /* official batch rule (dcase2026 6.7): values of the batches of the last epoch, then of
     * validation */
    const float *batch_mse, *batch_mahalanobis;
    int64_t      n_batch_mse, n_batch_mahalanobis;
} asd_residual_stats;

typedef struct asd_detector asd_detector;
struct asd_detector {
    const char    *name;
    const char    *about;
    const asd_opt *params; /* ends with key NULL */
    size_t         params_bytes, state_bytes;
    /* state points at zeroed memory of state_bytes */
    asd_status (*fit)(void *state, const void *params, const asd_residual_stats *stats,
                      const char *what);
    void (*clear)(void *state);
    /* Larger = stranger. Rows of other clips are never seen. A residual that is not finite gives a
     * score that is not finite: the caller knows the clip's name. */
    asd_status (*score)(const void *state, const asd_residuals *r, double *score);
    /* values that the official batch rule fits its threshold to */
    void (*batches)(const asd_residual_stats *stats, const float **values, int64_t *n);
};

extern const asd_detector *const asd_detectors[]; /* rows of detectors.def, ended by NULL */

/* A detector as a recipe names it: `mse` or `selective_mahalanobis(mode=framewise)`. */
typedef struct asd_detector_use {
    const asd_detector *detector;
    void               *params; /* owned */
    void               *state;  /* owned; NULL before fit */
    char label[128]; /* name of its score folder: the name, then non-default parameters as
                        -key-value */
} asd_detector_use;

/* ASD_E_CONFIG with the position in `text` and the nearest name. Call asd_detector_clear on any
 * return. */
asd_status asd_detector_parse(const char *text, asd_detector_use *out);
/* All of a recipe's list, to find a slip of the pen before hours of training; the same detector
 * twice is an error too. */
asd_status asd_detectors_check(char *const *text, int64_t n);
/* One entry per detector with its parameters, for --list-detectors. */
void       asd_detectors_list(FILE *out);
asd_status asd_detector_fit(asd_detector_use *d, const asd_residual_stats *stats, const char *what);
void       asd_detector_clear(asd_detector_use *d);

#endif
