/* residual_detectors.c - the detectors on reconstruction residuals.
 *
 *   mse                    mean of (x - y)^2 over all vectors and values of the clip
 *   selective_mahalanobis  min over domains d of
 *       official     e' P_d e with e the clip's mean residual row: what the official code's average
 *                    over all entries of E P E' amounts to (systems C1, point 4)
 *       framewise    mean over rows e_i of e_i' P_d e_i: the textbook form
 *     P_d: inverse covariance of the training residuals of domain d by the official rule
 *     (residual.h).
 */
#include "detect/residual.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* --- mse --- */

static const asd_opt no_params[] = {{0}};

static asd_status mse_score(const void *state, const asd_residuals *r, double *score)
{
    (void)state;
    double  sum = 0;
    int64_t n   = r->B * r->stack * r->F;
    for (int64_t i = 0; i < n; ++i) {
        double d = (double)r->y[i] - (double)r->x[i];
        sum += d * d;
    }
    *score = sum / (double)n;
    return ASD_OK;
}

static void mse_batches(const asd_residual_stats *stats, const float **values, int64_t *n)
{
    *values = stats->batch_mse;
    *n      = stats->n_batch_mse;
}

const asd_detector asd_detector_mse = {
    .name    = "mse",
    .about   = "mean squared reconstruction error of the clip",
    .params  = no_params,
    .score   = mse_score,
    .batches = mse_batches,
};

/* --- selective_mahalanobis --- */

enum { MODE_OFFICIAL, MODE_FRAMEWISE };

typedef struct mahalanobis_params {
    int mode;
} mahalanobis_params;

static const asd_opt mahalanobis_rows[] = {
    {"mode", 0, ASD_OPT_CHOICE, offsetof(mahalanobis_params, mode), "official", 0, 0,
     "official|framewise", "", "length of the clip's mean residual, or mean length of its rows"},
    {0},
};

typedef struct mahalanobis_state {
    int     mode;
    int64_t F;
    double *precision[2]; /* (F, F) */
} mahalanobis_state;

static void mahalanobis_clear(void *state)
{
    mahalanobis_state *s = state;
    free(s->precision[0]);
    free(s->precision[1]);
}

static asd_status mahalanobis_fit(void *state, const void *params, const asd_residual_stats *stats,
                                  const char *what)
{
    static const char *const domain[2] = {"source", "target"};
    mahalanobis_state       *s         = state;
    char                     text[320];
    s->mode = ((const mahalanobis_params *)params)->mode;
    s->F    = stats->F;
    for (int d = 0; d < 2; ++d) {
        snprintf(text, sizeof text, "%s, %s domain", what, domain[d]);
        if (!(s->precision[d] = malloc((size_t)(s->F * s->F) * sizeof(double))))
            return ASD_FAIL(ASD_E_OOM, "%s: no memory for a precision matrix", text);
        ASD_TRY(asd_spd_inverse(stats->covariance[d], s->F, text, s->precision[d]));
    }
    return ASD_OK;
}

/* mean over rows of e' P e = sum of all entries of P times (mean over rows of e e'): one pass for
 * both domains. */
static double inner_product(const double *a, const double *b, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; ++i)
        sum += a[i] * b[i];
    return sum;
}

static asd_status mahalanobis_score(const void *state, const asd_residuals *r, double *score)
{
    const mahalanobis_state *s      = state;
    int64_t                  F      = r->F;
    double                  *moment = malloc((size_t)(F * F) * sizeof *moment), by_domain[2];
    if (!moment)
        return ASD_FAIL(ASD_E_OOM, "no memory for the residuals' moments of %lld bands",
                        (long long)F);
    ASD_ASSERT(F == s->F);
    if (s->mode == MODE_OFFICIAL)
        asd_residual_mean(r, moment);
    else
        asd_residual_gram(r, moment);
    for (int d = 0; d < 2; ++d)
        by_domain[d] = s->mode == MODE_OFFICIAL ? asd_quadratic_form(s->precision[d], moment, F)
                                                : inner_product(s->precision[d], moment, F * F);
    *score = fmin(by_domain[0], by_domain[1]);
    free(moment);
    return ASD_OK;
}

static void mahalanobis_batches(const asd_residual_stats *stats, const float **values, int64_t *n)
{
    *values = stats->batch_mahalanobis;
    *n      = stats->n_batch_mahalanobis;
}

const asd_detector asd_detector_selective_mahalanobis = {
    .name         = "selective_mahalanobis",
    .about        = "Mahalanobis length of residuals, the smaller of source and target",
    .params       = mahalanobis_rows,
    .params_bytes = sizeof(mahalanobis_params),
    .state_bytes  = sizeof(mahalanobis_state),
    .fit          = mahalanobis_fit,
    .clear        = mahalanobis_clear,
    .score        = mahalanobis_score,
    .batches      = mahalanobis_batches,
};
