/* threshold.h - the decision threshold of a machine from scores of normal clips; anomaly means
 * score > threshold (strictly), as in the official baseline.
 *
 *   gamma       maximum likelihood with free shape a >= 1, location and scale, as SciPy's gamma.fit
 *               seeks; threshold = quantile of the fitted distribution. Where the likelihood has no
 *               maximum its limit is used: skew <= 0 -> normal distribution; spike at the smallest
 *               score (shape < 1 would be unbounded) -> shifted exponential. See threshold.c.
 *   gamma_loc0  location 0, Newton on the shape; scores <= 0 are first shifted by min - 1e-6
 *   quantile    linear interpolation between order statistics (as numpy's default)
 *   official_batches   the gamma rule; the caller hands over batch losses instead of clip scores
 */
#ifndef ASD_SCORE_THRESHOLD_H
#define ASD_SCORE_THRESHOLD_H

#include "base/status.h"

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* kind: ASD_THRESHOLD_* of base/cfg.h. s: (n) finite, n >= 2. 0 < quantile < 1.
 * ASD_E_DATA: too few scores or a non-finite one; ASD_E_NUMERIC: all scores equal, so that there is
 * no distribution to fit (quantile takes them). */
asd_status asd_threshold_fit(int kind, const double *s, int64_t n, double quantile,
                             double *threshold);

/* The fit itself, for tests and reports. shape = Inf: the normal limit, loc = mean and scale =
 * standard deviation then. */
typedef struct asd_gamma_fit {
    double shape, loc, scale;
} asd_gamma_fit;
asd_status asd_gamma_fit_free(const double *s, int64_t n, asd_gamma_fit *out);
asd_status asd_gamma_fit_loc0(const double *s, int64_t n, asd_gamma_fit *out);
double     asd_gamma_fit_quantile(const asd_gamma_fit *g, double q);

#ifdef __cplusplus
}
#endif
#endif
