/* threshold.c - see threshold.h.
 *
 * Three-parameter gamma. Scores are standardised to d = (s - mean) / sd. For a location `t`
 * standard deviations below the mean the best scale and shape follow at once: with
 *   spread(t) = mean(d/t - log(1 + d/t))        (= log of mean - mean of log, since mean d = 0)
 * the shape solves log a - psi(a) = spread, the scale is t / a, and the log-likelihood per score is
 *   l(t) = -log t + a log a - a - log Gamma(a) - (a - 1) spread.
 * What is left is a search in one dimension over u = log(t - t_min), t_min = (mean - min) / sd: a
 * scan, because l may have more than one hill, then a golden section around the best point.
 *
 * The likelihood is unbounded for shapes below 1 (a spike on the smallest score), so a >= 1 is
 * demanded; a fit that wants less ends as the shifted exponential (a = 1, loc = min), which is the
 * best of that border. Scores skewed to the left have no maximum either: l rises for ever with t,
 * towards the normal distribution, which is then taken (shape Inf). SciPy's simplex search meets
 * the same two walls and stops somewhere along them.
 *
 * Numerics: the forms above hold their digits for a = 1e6, where log Gamma(a) - a log a + a would
 * not; so Stirling's remainder is used for a >= 10.
 */
#include "score/threshold.h"

#include "base/cfg.h"
#include "score/special.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define EULER 0.57721566490153286 /* log a - psi(a) at a = 1 */

enum { SCAN = 160 };              /* points of the scan, 0.13 apart in u */
static const double T_MAX = 1e3;  /* shape 1e6, skew 0.002: no test tells it from the normal */
static const double T_MIN = 1e-6; /* closest the location comes to the smallest score, in sd */

/* a with log a - psi(a) = spread > 0 (Newton from Minka's start, systems.md F). */
static double solve_shape(double spread)
{
    double r = spread - 3, a = (-r + sqrt(r * r + 24 * spread)) / (12 * spread);
    for (int i = 0; i < 50; ++i) {
        double step = (log(a) - asd_digamma(a) - spread) / (1 / a - asd_trigamma(a));
        double next = a - step > 0 ? a - step : 0.5 * a;
        double move = fabs(next - a);
        a           = next;
        if (move <= 1e-13 * a)
            break;
    }
    return a;
}

/* a log a - a - log Gamma(a) */
static double shape_term(double a)
{
    if (a < 10) {
        int sign;
        return a * log(a) - a - lgamma_r(a, &sign);
    }
    double r = 1 / (a * a);
    return 0.5 * log(a / 6.283185307179586) -
           (1.0 / 12 - r * (1.0 / 360 - r * (1.0 / 1260 - r * (1.0 / 1680)))) / a;
}

/* Log-likelihood per score of the best gamma whose location lies t below the mean. */
static double profile(const double *d, int64_t n, double t, double *shape)
{
    double spread = 0;
    for (int64_t i = 0; i < n; ++i) {
        double x = d[i] / t;
        spread += x - log1p(x);
    }
    spread /= (double)n;
    *shape = spread >= EULER ? 1 : solve_shape(spread);
    return -log(t) + shape_term(*shape) - (*shape - 1) * spread;
}

static asd_status check_scores(const double *s, int64_t n, double *mean, double *sd)
{
    *mean = *sd = NAN;
    if (n < 2)
        return ASD_FAIL(ASD_E_DATA, "threshold: %lld scores of normal clips, want 2 or more",
                        (long long)n);
    double sum = 0, square = 0;
    for (int64_t i = 0; i < n; ++i) {
        if (!isfinite(s[i]))
            return ASD_FAIL(ASD_E_DATA, "threshold: score %lld of %lld is %g", (long long)i,
                            (long long)n, s[i]);
        sum += s[i];
    }
    *mean = sum / (double)n;
    for (int64_t i = 0; i < n; ++i)
        square += (s[i] - *mean) * (s[i] - *mean);
    *sd = sqrt(square / (double)n);
    /* Equal numbers leave rounding of the mean behind, not exactly 0. */
    if (!(*sd > 1e-14 * fabs(*mean)) || !isfinite(*sd))
        return ASD_FAIL(ASD_E_NUMERIC,
                        "threshold: %lld scores around %g with standard deviation %g: no gamma "
                        "distribution fits; threshold quantile would take them",
                        (long long)n, *mean, *sd);
    return ASD_OK;
}

asd_status asd_gamma_fit_free(const double *s, int64_t n, asd_gamma_fit *out)
{
    double mean, sd, low = 0, shape;
    ASD_TRY(check_scores(s, n, &mean, &sd));
    double *d = malloc((size_t)n * sizeof *d);
    if (!d)
        return ASD_FAIL(ASD_E_OOM, "threshold: %lld scores", (long long)n);
    for (int64_t i = 0; i < n; ++i) {
        d[i] = (s[i] - mean) / sd;
        low  = fmin(low, d[i]);
    }
    /* Border a = 1: the exponential from the smallest score on. */
    double t_best = -low, shape_best = 1, best = -log(-low) - 1;
    double first = log(T_MIN), step = (log(T_MAX) - first) / (SCAN - 1);
    int    at = -1;
    for (int i = 0; i < SCAN; ++i) {
        double t = -low + exp(first + step * i), l = profile(d, n, t, &shape);
        if (l > best)
            best = l, at = i, t_best = t, shape_best = shape;
    }
    /* l of the normal distribution is -log(2 pi e) / 2 */
    if (at == SCAN - 1 || best < -1.4189385332046727) {
        *out = (asd_gamma_fit){INFINITY, mean, sd};
        free(d);
        return ASD_OK;
    }
    if (at > 0) { /* golden section between the neighbours of the best point */
        const double golden = 0.6180339887498949;
        double       a = first + step * (at - 1), b = a + 2 * step;
        double       p = b - golden * (b - a), q = a + golden * (b - a);
        double       lp = profile(d, n, -low + exp(p), &shape);
        double       lq = profile(d, n, -low + exp(q), &shape);
        while (b - a > 1e-9) {
            if (lp >= lq) {
                b = q, q = p, lq = lp, p = b - golden * (b - a);
                lp = profile(d, n, -low + exp(p), &shape);
            } else {
                a = p, p = q, lp = lq, q = a + golden * (b - a);
                lq = profile(d, n, -low + exp(q), &shape);
            }
        }
        t_best = -low + exp(0.5 * (a + b));
        profile(d, n, t_best, &shape_best);
    }
    *out = (asd_gamma_fit){shape_best, mean - sd * t_best, sd * t_best / shape_best};
    free(d);
    return ASD_OK;
}

asd_status asd_gamma_fit_loc0(const double *s, int64_t n, asd_gamma_fit *out)
{
    double mean, sd, shift = 0, low = INFINITY, spread = 0;
    ASD_TRY(check_scores(s, n, &mean, &sd));
    for (int64_t i = 0; i < n; ++i)
        low = fmin(low, s[i]);
    if (low <= 0)
        shift = low - 1e-6;
    mean -= shift;
    for (int64_t i = 0; i < n; ++i) { /* log mean - mean log, as in profile() */
        double x = (s[i] - shift - mean) / mean;
        spread += x - log1p(x);
    }
    double shape = solve_shape(spread / (double)n);
    *out         = (asd_gamma_fit){shape, shift, mean / shape};
    return ASD_OK;
}

double asd_gamma_fit_quantile(const asd_gamma_fit *g, double q)
{
    if (isinf(g->shape))
        return g->loc + g->scale * asd_normal_inv(q);
    return g->loc + g->scale * asd_gamma_inv(g->shape, q);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static asd_status sample_quantile(const double *s, int64_t n, double q, double *out)
{
    if (n < 1)
        return ASD_FAIL(ASD_E_DATA, "threshold: no scores of normal clips");
    for (int64_t i = 0; i < n; ++i)
        if (!isfinite(s[i]))
            return ASD_FAIL(ASD_E_DATA, "threshold: score %lld of %lld is %g", (long long)i,
                            (long long)n, s[i]);
    double *v = malloc((size_t)n * sizeof *v);
    if (!v)
        return ASD_FAIL(ASD_E_OOM, "threshold: %lld scores", (long long)n);
    memcpy(v, s, (size_t)n * sizeof *v);
    qsort(v, (size_t)n, sizeof *v, by_value);
    double  at = q * (double)(n - 1), part = at - floor(at);
    int64_t i = (int64_t)at;
    *out      = i + 1 < n ? v[i] + part * (v[i + 1] - v[i]) : v[n - 1];
    free(v);
    return ASD_OK;
}

asd_status asd_threshold_fit(int kind, const double *s, int64_t n, double quantile,
                             double *threshold)
{
    asd_gamma_fit g;
    *threshold = NAN;
    if (!(quantile > 0 && quantile < 1))
        return ASD_FAIL(ASD_E_CONFIG, "threshold: quantile %g, want more than 0 and less than 1",
                        quantile);
    switch (kind) {
    case ASD_THRESHOLD_GAMMA:
    case ASD_THRESHOLD_OFFICIAL_BATCHES: ASD_TRY(asd_gamma_fit_free(s, n, &g)); break;
    case ASD_THRESHOLD_GAMMA_LOC0: ASD_TRY(asd_gamma_fit_loc0(s, n, &g)); break;
    case ASD_THRESHOLD_QUANTILE: return sample_quantile(s, n, quantile, threshold);
    default: ASD_ASSERT(!"a kind of ASD_THRESHOLD_*");
    }
    *threshold = asd_gamma_fit_quantile(&g, quantile);
    return ASD_OK;
}
