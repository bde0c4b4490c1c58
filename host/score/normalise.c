/* normalise.c - see normalise.h. */
#include "score/normalise.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SOURCE, TARGET };

/* Mean and population standard deviation of the finite scores that count; returns their number. */
static int64_t spread(const double *s, int64_t n, int column, const unsigned char *is_target,
                      int domain, double *mean, double *std)
{
    int64_t count = 0;
    double  sum = 0, square = 0;
    for (int64_t i = 0; i < n; ++i)
        if (isfinite(s[2 * i + column]) && (domain < 0 || (is_target[i] != 0) == domain)) {
            sum += s[2 * i + column];
            ++count;
        }
    *mean = count ? sum / (double)count : 0;
    for (int64_t i = 0; i < n; ++i)
        if (isfinite(s[2 * i + column]) && (domain < 0 || (is_target[i] != 0) == domain))
            square += (s[2 * i + column] - *mean) * (s[2 * i + column] - *mean);
    *std = count ? sqrt(square / (double)count) : 0;
    return count;
}

static double smaller(const double *s, int heads)
{
    return heads == 2 ? fmin(s[0], s[1]) : s[0];
}

static int rising(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static asd_status keep_sorted(asd_normaliser *z, const double *loo, int64_t n, const char *what)
{
    if (!(z->sorted = malloc((size_t)(n + 1) * sizeof *z->sorted)))
        return ASD_FAIL(ASD_E_OOM, "%s: no memory for %lld scores", what, (long long)n);
    for (int64_t i = 0; i < n; ++i)
        z->sorted[i] = smaller(loo + 2 * i, z->heads);
    z->n = n;
    qsort(z->sorted, (size_t)n, sizeof *z->sorted, rising);
    return ASD_OK;
}

/* Statistics of the source (or of all clips, when one side counts), then of the target. */
static asd_status fit_z(asd_normaliser *z, const double *loo, const unsigned char *is_target,
                        int64_t n, const char *what)
{
    int64_t targets = 0, sources;
    sources = spread(loo, n, 0, is_target, z->sides == 2 ? SOURCE : -1, &z->mean[0], &z->std[0]);
    if (z->sides == 2)
        targets = spread(loo, n, z->heads == 2, is_target, TARGET, &z->mean[1], &z->std[1]);
    if (sources < 2 && targets >= 2) { /* trained on the target alone, or nearly */
        z->mean[0] = z->mean[1];
        z->std[0]  = z->std[1];
    }
    if (z->sides == 1 || targets < 2) {
        z->mean[1] = z->mean[0];
        z->std[1]  = z->std[0];
    }
    z->std[1] = fmax(z->std[1], 0.25 * z->std[0]);
    /* what rounding leaves of equal scores is no spread */
    if (!(z->std[0] > 1e-10 * fabs(z->mean[0])))
        return ASD_FAIL(ASD_E_NUMERIC,
                        "%s: all training scores are %g, so there is no scale to normalise by",
                        what, z->mean[0]);
    return ASD_OK;
}

asd_status asd_normaliser_fit(asd_normaliser *z, int kind, int heads, const double *loo,
                              const unsigned char *is_target, int64_t n, const char *what)
{
    memset(z, 0, sizeof *z);
    z->kind  = kind;
    z->heads = heads;
    z->sides = kind == ASD_NORMALISE_MIN_Z_TRAIN ? 2 : heads;
    switch (kind) {
    case ASD_NORMALISE_NONE: return ASD_OK;
    case ASD_NORMALISE_RANK_TEST: return keep_sorted(z, loo, n, what);
    default: return fit_z(z, loo, is_target, n, what);
    }
}

static double min_z(const double *s, int heads, int sides, const double *mean, const double *std)
{
    double best = INFINITY;
    for (int h = 0; h < sides; ++h)
        best = fmin(best, (s[heads == 2 ? h : 0] - mean[h]) / std[h]);
    return best;
}

/* Share of sorted r that are <= x. */
static double share_not_above(const double *r, int64_t n, double x)
{
    int64_t from = 0, to = n;
    while (from < to) {
        int64_t middle = (from + to) / 2;
        if (r[middle] <= x)
            from = middle + 1;
        else
            to = middle;
    }
    return (double)from / (double)n;
}

void asd_normalise_train(const asd_normaliser *z, const double *loo, int64_t n, double *out)
{
    for (int64_t i = 0; i < n; ++i) {
        const double *s = loo + 2 * i;
        out[i]          = z->kind == ASD_NORMALISE_NONE ? smaller(s, z->heads)
                          : z->kind == ASD_NORMALISE_RANK_TEST
                              ? share_not_above(z->sorted, z->n, smaller(s, z->heads))
                              : min_z(s, z->heads, z->sides, z->mean, z->std);
    }
}

/* Average rank / n. */
static asd_status rank_all(const double *score, int heads, int64_t n, double *out)
{
    double *sorted = malloc((size_t)(n + 1) * sizeof *sorted);
    if (!sorted)
        return ASD_FAIL(ASD_E_OOM, "no memory for %lld ranks", (long long)n);
    for (int64_t i = 0; i < n; ++i)
        sorted[i] = smaller(score + 2 * i, heads);
    qsort(sorted, (size_t)n, sizeof *sorted, rising);
    for (int64_t i = 0; i < n; ++i) {
        double  x     = smaller(score + 2 * i, heads);
        double  last  = share_not_above(sorted, n, x) * (double)n;
        int64_t first = (int64_t)(last + 0.5);
        while (first > 0 && sorted[first - 1] == x)
            --first;
        out[i] = 0.5 * ((double)first + 1 + last) / (double)n;
    }
    free(sorted);
    return ASD_OK;
}

/* Statistics of the scored clips' columns, added in rising order: the clips' own order does not
 * show in the last bits. */
static asd_status column_spread(const double *score, int64_t n, int heads, double mean[2],
                                double std[2])
{
    double *sorted = malloc((size_t)(2 * n + 1) * sizeof *sorted);
    if (!sorted)
        return ASD_FAIL(ASD_E_OOM, "no memory for %lld scores", (long long)n);
    for (int h = 0; h < heads; ++h) {
        for (int64_t i = 0; i < n; ++i)
            sorted[i] = score[2 * i + h];
        qsort(sorted, (size_t)n, sizeof *sorted, rising);
        for (int64_t i = n; i-- > 0;) /* into the first of two columns */
            sorted[2 * i] = sorted[i];
        spread(sorted, n, 0, NULL, -1, &mean[h], &std[h]);
        std[h] = std[h] > 0 ? std[h] : 1; /* one clip, or equal ones: on the mean */
    }
    free(sorted);
    return ASD_OK;
}

asd_status asd_normalise(const asd_normaliser *z, const double *score, int64_t n, double *out)
{
    double mean[2] = {0}, std[2] = {0};
    if (z->kind == ASD_NORMALISE_RANK_TEST)
        return rank_all(score, z->heads, n, out);
    if (z->kind != ASD_NORMALISE_Z_TEST) {
        asd_normalise_train(z, score, n, out);
        return ASD_OK;
    }
    ASD_TRY(column_spread(score, n, z->heads, mean, std));
    for (int64_t i = 0; i < n; ++i)
        out[i] = min_z(score + 2 * i, z->heads, z->heads, mean, std);
    return ASD_OK;
}

void asd_normaliser_clear(asd_normaliser *z)
{
    free(z->sorted);
    memset(z, 0, sizeof *z);
}

/* --- fusion --- */

static asd_status parse_one(const char *text, const char *const *labels, int64_t n, double *weight)
{
    char        label[128];
    const char *p   = text;
    size_t      len = 0;
    while (isspace((unsigned char)*p))
        ++p;
    while (isalnum((unsigned char)p[len]) || (p[len] && strchr("_.-", p[len])))
        ++len;
    snprintf(label, sizeof label, "%.*s", (int)(len < 127 ? len : 127), p);
    p += len;
    while (isspace((unsigned char)*p) || *p == '=')
        ++p;
    char  *end   = NULL;
    double value = strtod(p, &end);
    while (end && isspace((unsigned char)*end))
        ++end;
    if (!len || end == p || *end || !(value > 0 && value < 1e6))
        return ASD_FAIL(ASD_E_CONFIG,
                        "score.fusion: \"%.100s\" is not LABEL=WEIGHT, as in base=0.40, with a "
                        "weight above 0",
                        text);
    for (int64_t i = 0; i < n; ++i)
        if (!strcmp(labels[i], label)) {
            if (weight[i] > 0)
                return ASD_FAIL(ASD_E_CONFIG, "score.fusion names %s twice", label);
            weight[i] = value;
            return ASD_OK;
        }
    const char *near = asd_nearest(label, labels, n);
    return ASD_FAIL(ASD_E_CONFIG, "score.fusion: score.detectors has no label \"%s\"%s%s%s", label,
                    near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

asd_status asd_fusion_parse(char *const *text, int64_t n, const char *const *labels,
                            int64_t n_labels, double *weight)
{
    memset(weight, 0, (size_t)n_labels * sizeof *weight);
    for (int64_t i = 0; i < n; ++i)
        ASD_TRY(parse_one(text[i], labels, n_labels, weight));
    return ASD_OK;
}
