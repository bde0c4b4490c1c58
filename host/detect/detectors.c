/* detectors.c - the detectors on reconstruction residuals, and `name(key=value, ...)` as recipes
 * write them.
 *
 *   mse                    mean of (x - y)^2 over all vectors and values of the clip
 *   selective_mahalanobis  min over domains d of
 *       official           e' P_d e with e the clip's mean residual row: what the official code's
 * average over all entries of E P E' amounts to (systems C1, point 4) framewise          mean over
 * rows e_i of e_i' P_d e_i: the textbook form P_d: inverse covariance of the training residuals of
 * domain d by the official rule (residual.h).
 */
#include "detect/residual.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DETECTOR(name) extern const asd_detector asd_detector_##name;
#include "detect/detectors.def"
#undef DETECTOR

const asd_detector *const asd_detectors[] = {
#define DETECTOR(name) &asd_detector_##name,
#include "detect/detectors.def"
#undef DETECTOR
    NULL,
};

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

/* --- name(key=value, ...) --- */

static const char *skip_spaces(const char *p)
{
    while (isspace((unsigned char)*p))
        ++p;
    return p;
}

/* Copies a word of [A-Za-z0-9_.+-] into out and returns what follows it and spaces. */
static const char *take_word(const char *p, char *out, size_t size)
{
    size_t n = 0;
    p        = skip_spaces(p);
    while (isalnum((unsigned char)*p) || (*p && strchr("_.+-", *p))) {
        if (n + 1 < size)
            out[n++] = *p;
        ++p;
    }
    out[n] = 0;
    return skip_spaces(p);
}

static asd_status expected(const char *text, const char *at, const char *what)
{
    return ASD_FAIL(ASD_E_CONFIG, "detector \"%.200s\": want %s at character %td", text, what,
                    at - text + 1);
}

static asd_status find_detector(const char *text, const char *name, const asd_detector **out)
{
    const char *names[64];
    int64_t     n = 0;
    for (const asd_detector *const *d = asd_detectors; *d && n < 64; ++d) {
        names[n++] = (*d)->name;
        if (!strcmp((*d)->name, name)) {
            *out = *d;
            return ASD_OK;
        }
    }
    const char *near = asd_nearest(name, names, n);
    return ASD_FAIL(ASD_E_CONFIG, "detector \"%.200s\": there is no detector \"%s\"%s%s%s", text,
                    name, near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

/* *given: bit i for row i that was set already; the label would not say which value counts. */
static asd_status set_param(asd_detector_use *d, const char *text, const char *key,
                            const char *value, unsigned *given)
{
    const char *names[16];
    int64_t     n = 0;
    char        where[256];
    snprintf(where, sizeof where, "detector \"%.120s\": %.60s", text, key);
    for (const asd_opt *o = d->detector->params; o->key && n < 16; ++o) {
        names[n++] = o->key;
        if (strcmp(o->key, key))
            continue;
        if (*given >> (n - 1) & 1)
            return ASD_FAIL(ASD_E_CONFIG, "detector \"%.200s\": %s twice", text, key);
        *given |= 1u << (n - 1);
        ASD_TRY(asd_opt_set(o, d->params, value, where, ASD_E_CONFIG));
        if (!o->def || strcmp(o->def, value)) {
            size_t used = strlen(d->label);
            snprintf(d->label + used, sizeof d->label - used, "-%s-%s", key, value);
        }
        return ASD_OK;
    }
    const char *near = asd_nearest(key, names, n);
    return ASD_FAIL(ASD_E_CONFIG, "detector \"%.200s\": %s has no parameter \"%s\"%s%s%s", text,
                    d->detector->name, key, near ? "; did you mean \"" : "", near ? near : "",
                    near ? "\"?" : "");
}

asd_status asd_detector_parse(const char *text, asd_detector_use *out)
{
    char        name[64], key[64], value[64];
    const char *p     = take_word(text, name, sizeof name);
    unsigned    given = 0;
    memset(out, 0, sizeof *out);
    ASD_TRY(find_detector(text, name, &out->detector));
    snprintf(out->label, sizeof out->label, "%s", name);
    if (!(out->params = calloc(1, out->detector->params_bytes + 1)))
        return ASD_FAIL(ASD_E_OOM, "no memory for detector %s", name);
    ASD_TRY(asd_opts_defaults(out->detector->params, out->params));
    if (!*p)
        return ASD_OK;
    if (*p != '(')
        return expected(text, p, "'(' or the end");
    p = skip_spaces(p + 1);
    while (*p != ')') {
        p = take_word(p, key, sizeof key);
        if (!*key || *p != '=')
            return expected(text, p, "key=value");
        p = take_word(p + 1, value, sizeof value);
        if (!*value)
            return expected(text, p, "a value");
        ASD_TRY(set_param(out, text, key, value, &given));
        if (*p == ',') {
            p = skip_spaces(p + 1);
            if (*p == ')')
                return expected(text, p, "key=value");
        } else if (*p != ')') {
            return expected(text, p, "',' or ')'");
        }
    }
    p = skip_spaces(p + 1);
    return *p ? expected(text, p, "the end") : ASD_OK;
}

asd_status asd_detectors_check(char *const *text, int64_t n)
{
    asd_detector_use *use = calloc((size_t)n + 1, sizeof *use);
    asd_status        st =
        use ? ASD_OK : ASD_FAIL(ASD_E_OOM, "no memory for %lld detectors", (long long)n);
    for (int64_t i = 0; i < n && !st; ++i) {
        st = asd_detector_parse(text[i], &use[i]);
        for (int64_t k = 0; k < i && !st; ++k)
            if (!strcmp(use[k].label, use[i].label))
                st = ASD_FAIL(ASD_E_CONFIG, "score.detectors names %s twice", use[i].label);
    }
    for (int64_t i = 0; use && i < n; ++i)
        asd_detector_clear(&use[i]);
    free(use);
    return st;
}

void asd_detectors_list(FILE *out)
{
    for (const asd_detector *const *d = asd_detectors; *d; ++d) {
        fprintf(out, "%-24s %s\n", (*d)->name, (*d)->about);
        for (const asd_opt *o = (*d)->params; o->key; ++o)
            fprintf(out, "    %-20s %s (%s; default %s)\n", o->key, o->text,
                    o->choices ? o->choices : o->unit, o->def ? o->def : "none");
    }
}

asd_status asd_detector_fit(asd_detector_use *d, const asd_residual_stats *stats, const char *what)
{
    if (d->state && d->detector->clear)
        d->detector->clear(d->state);
    free(d->state);
    if (!(d->state = calloc(1, d->detector->state_bytes + 1)))
        return ASD_FAIL(ASD_E_OOM, "%s: no memory for detector %s", what, d->detector->name);
    return d->detector->fit ? d->detector->fit(d->state, d->params, stats, what) : ASD_OK;
}

void asd_detector_clear(asd_detector_use *d)
{
    if (d->state && d->detector->clear)
        d->detector->clear(d->state);
    free(d->state);
    if (d->params)
        asd_opts_clear(d->detector->params, d->params);
    free(d->params);
    memset(d, 0, sizeof *d);
}
