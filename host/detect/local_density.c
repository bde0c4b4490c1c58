/* local_density.c - how much sparser a clip lies than its nearest training clips do (systems E9).
 *
 *   y = whitened principal coordinates, no domain's mean taken away
 *   num(x) = mean distance of y to its K nearest training clips
 *   den(x) = mean over those K of each one's mean distance to its own K nearest others
 *   score  = ln(num + eps) - ln(den + eps)
 * The same for both domains: one head. Leave one out: the clip is nobody's neighbour; its K
 * neighbours take their next one instead. The axes are kept; but axes that hold all in which few
 * clips vary put these equally far from each other, and then all is fitted again without the clip,
 * which a line of the log says (as mahalanobis.c does).
 */
#include "detect/saved.h"
#include "detect/basis.h"

#include "base/log.h"
#include "base/par.h"
#include "kernels/cpu.h" /* ASD_SIMD */

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_K = 256 };
static const double eps = 1e-12; /* clips that are there twice */

typedef struct density_params {
    int64_t k, axes;
    double  weight;
} density_params;

static const asd_opt rows[] = {
    {"k", 0, ASD_OPT_INT, offsetof(density_params, k), "10", 1, MAX_K, NULL, "clips",
     "nearest training clips"},
    {"axes", 0, ASD_OPT_INT, offsetof(density_params, axes), "128", 1, ASD_MAX_COLUMNS, NULL,
     "axes", "principal axes of the domain-centred covariance"},
    {"weight", 0, ASD_OPT_REAL, offsetof(density_params, weight), "0", 0, 1e9, NULL, "",
     "of a target clip in that covariance; 0 = source clips / target clips"},
    {0},
};

typedef struct neighbour {
    double  d;
    int64_t i;
} neighbour;

typedef struct density_state {
    int64_t    k, n;
    asd_basis  basis;
    double    *bank; /* (axes, n): training coordinates, an axis a row */
    neighbour *near; /* (n, k + 1): each training clip's nearest others, rising */
    int64_t    room; /* of near that is used: min(k + 1, n - 1) */
} density_state;

static void density_clear(void *state)
{
    density_state *s = state;
    asd_basis_clear(&s->basis);
    free(s->bank);
    free(s->near);
}

ASD_SIMD static void square_distances(const double *bank, int64_t n, int64_t axes, const double *y,
                                      double *d)
{
    for (int64_t t = 0; t < n; ++t)
        d[t] = 0;
    for (int64_t a = 0; a < axes; ++a)
        for (int64_t t = 0; t < n; ++t)
            d[t] += (y[a] - bank[a * n + t]) * (y[a] - bank[a * n + t]);
}

/* The `room` nearest of d without `skip`, rising; equal distances by number. */
static int64_t nearest(const double *square, int64_t n, int64_t skip, int64_t room, neighbour *out)
{
    int64_t found = 0;
    for (int64_t t = 0; t < n; ++t) {
        if (t == skip || (found == room && square[t] >= out[found - 1].d))
            continue;
        int64_t at = found < room ? found++ : found - 1;
        for (; at > 0 && out[at - 1].d > square[t]; --at)
            out[at] = out[at - 1];
        out[at] = (neighbour){square[t], t};
    }
    for (int64_t k = 0; k < found; ++k)
        out[k].d = sqrt(out[k].d);
    return found;
}

/* Mean distance of training clip j to its K nearest others, `skip` not being there. */
static double own_density(const density_state *s, int64_t j, int64_t skip)
{
    const neighbour *near = s->near + j * (s->k + 1);
    double           sum  = 0;
    int64_t          used = 0;
    for (int64_t k = 0; k < s->room && used < s->k; ++k)
        if (near[k].i != skip) {
            sum += near[k].d;
            ++used;
        }
    return used ? sum / (double)used : 0;
}

static double ratio(const density_state *s, const neighbour *near, int64_t found, int64_t skip)
{
    double num = 0, den = 0;
    for (int64_t k = 0; k < found; ++k) {
        num += near[k].d;
        den += own_density(s, near[k].i, skip);
    }
    return log(num / (double)found + eps) - log(den / (double)found + eps);
}

typedef struct density_job {
    density_state *s;
    const double  *y;      /* (n, axes) */
    double        *square; /* (n, s->n) scratch */
    int64_t        n;
    int            step; /* 0: fill s->near, 1: score training clips, 2: score others */
    double        *score;
} density_job;

enum { CHUNK = 16 };

static void density_chunk(void *ctx, int64_t chunk)
{
    const density_job *j = ctx;
    density_state     *s = j->s;
    for (int64_t i = chunk * CHUNK; i < j->n && i < (chunk + 1) * CHUNK; ++i) {
        neighbour near[MAX_K + 1];
        double   *square = j->square + i * s->n;
        int64_t   skip   = j->step == 2 ? -1 : i;
        if (j->step != 1)
            square_distances(s->bank, s->n, s->basis.k, j->y + i * s->basis.k, square);
        if (j->step == 0) {
            nearest(square, s->n, i, s->room, s->near + i * (s->k + 1));
            continue;
        }
        int64_t found       = nearest(square, s->n, skip, s->k, near);
        j->score[2 * i]     = ratio(s, near, found, skip);
        j->score[2 * i + 1] = j->score[2 * i];
    }
}

static asd_status run(density_state *s, const asd_clip_rows *x, int training, double *score)
{
    enum { ROWS = 4096 };
    /* training clips are compared in two passes over the same distances, so they are one block */
    int64_t     room = training || x->n < ROWS ? x->n : ROWS;
    density_job j    = {.s = s};
    double     *y    = malloc((size_t)(room * s->basis.k) * sizeof *y);
    j.square         = malloc((size_t)(room * s->n) * sizeof *j.square);
    j.y              = y;
    asd_status st    = y && j.square ? ASD_OK
                                     : ASD_FAIL(ASD_E_OOM, "no memory for distances to %lld clips",
                                                (long long)s->n);
    for (int64_t at = 0; at < x->n && !st; at += room) {
        j.n     = x->n - at < room ? x->n - at : room;
        j.score = score + 2 * at;
        asd_basis_project(&s->basis, x->x + at * x->D, j.n, y);
        for (int64_t i = 0; i < j.n && training; ++i)
            for (int64_t a = 0; a < s->basis.k; ++a)
                s->bank[a * s->n + i] = y[i * s->basis.k + a];
        for (j.step = training ? 0 : 2; j.step < (training ? 2 : 3); ++j.step)
            asd_par_for((j.n + CHUNK - 1) / CHUNK, density_chunk, &j);
    }
    free(y);
    free(j.square);
    return st;
}

static asd_status fit_all(density_state *s, const density_params *p, const asd_clip_rows *x,
                          const unsigned char *is_target, const char *what, double *loo)
{
    asd_basis_rule rule = {.k = p->axes, .weight = p->weight};
    s->k                = p->k;
    s->n                = x->n;
    s->room             = s->k + 1 < s->n - 1 ? s->k + 1 : s->n - 1;
    ASD_TRY(asd_basis_fit(&s->basis, x->x, x->n, x->D, is_target, &rule, what));
    s->bank = malloc((size_t)(s->basis.k * s->n) * sizeof *s->bank);
    s->near = malloc((size_t)(s->n * (s->k + 1)) * sizeof *s->near);
    if (!s->bank || !s->near)
        return ASD_FAIL(ASD_E_OOM, "%s: no memory for a bank of %lld clips", what, (long long)s->n);
    return run(s, x, 1, loo);
}

/* Scores are logarithms, so the size of a spread that is rounding needs no scale. */
static int says_nothing(const double *loo, const unsigned char *is_target, int64_t n)
{
    double  low = INFINITY, high = -INFINITY;
    int64_t sources = asd_count_domains(is_target, n).n[0];
    for (int64_t i = 0; i < n; ++i)
        if (!sources || !is_target[i]) {
            low  = fmin(low, loo[2 * i]);
            high = fmax(high, loo[2 * i]);
        }
    return (sources ? sources : n) > 2 && high - low <= 1e-9;
}

/* Each clip by a fit to the others. */
static asd_status refit_each(const density_params *p, const asd_clip_rows *x,
                             const unsigned char *is_target, const char *what, double *loo)
{
    int64_t        n = x->n, D = x->D;
    float         *kept = malloc((size_t)(n * D) * sizeof *kept);
    unsigned char *kind = malloc((size_t)n);
    double        *own  = malloc((size_t)(2 * n) * sizeof *own);
    asd_status     st   = kept && kind && own
                              ? ASD_OK
                              : ASD_FAIL(ASD_E_OOM, "%s: no memory for %lld rows", what, (long long)n);
    for (int64_t i = 0; i < n && !st; ++i) {
        density_state s      = {0};
        asd_clip_rows others = {kept, n - 1, 1, D, NULL}, one = {x->x + i * D, 1, 1, D, NULL};
        memcpy(kept, x->x, (size_t)(i * D) * sizeof *kept);
        memcpy(kept + i * D, x->x + (i + 1) * D, (size_t)((n - 1 - i) * D) * sizeof *kept);
        memcpy(kind, is_target, (size_t)i);
        memcpy(kind + i, is_target + i + 1, (size_t)(n - 1 - i));
        st = fit_all(&s, p, &others, kind, what, own);
        if (!st)
            st = run(&s, &one, 0, loo + 2 * i);
        density_clear(&s);
    }
    free(kept);
    free(kind);
    free(own);
    return st;
}

static asd_status density_fit(void *state, const void *params, const asd_train_rows *train,
                              const char *what, double *loo, int *heads)
{
    density_state       *s = state;
    const asd_clip_rows *x = &train->stream[0];
    *heads                 = 1;
    ASD_TRY(fit_all(s, params, x, train->is_target, what, loo));
    if (s->basis.k + 2 < x->n || !says_nothing(loo, train->is_target, x->n))
        return ASD_OK;
    asd_note("%s: %lld axes hold all in which its %lld training clips vary, so that they are "
             "equally far from each other: each is scored by a fit to the others",
             what, (long long)s->basis.k, (long long)x->n);
    asd_status st = refit_each(params, x, train->is_target, what, loo);
    if (st != ASD_E_NUMERIC)
        return st;
    for (int64_t i = 0; i < 2 * x->n; ++i)
        loo[i] = 0; /* too few to do without one: no spread, not that of rounding */
    return ASD_OK;
}

static asd_status density_score(const void *state, const asd_clip_rows *stream, double *score)
{
    density_state copy = *(const density_state *)state; /* run only fills it when training */
    return run(&copy, stream, 0, score);
}

static neighbour *near_at(const density_state *s, int64_t i)
{
    return &s->near[i / s->room * (s->k + 1) + i % s->room];
}

/* Of near the distances and the numbers, as many of each clip as are used. */
static void near_saved(const density_state *s, asd_saved *v)
{
    int64_t n = s->n * s->room, *number = malloc((size_t)n * sizeof *number + 1);
    double *d = malloc((size_t)n * sizeof *d + 1);
    for (int64_t i = 0; i < n && d && number; ++i) {
        d[i]      = near_at(s, i)->d;
        number[i] = near_at(s, i)->i;
    }
    asd_saved_own(v, d);
    asd_saved_own(v, number);
    asd_saved_reals(v, "near.distance", &d, n);
    asd_saved_ints(v, "near.clip", &number, n);
}

static void near_loaded(density_state *s, asd_saved *v)
{
    int64_t n = s->n * s->room, *number = NULL;
    double *d = NULL;
    asd_saved_reals(v, "near.distance", &d, n);
    asd_saved_ints(v, "near.clip", &number, n);
    if (asd_saved_ok(v) && !(s->near = malloc((size_t)(s->n * (s->k + 1)) * sizeof *s->near)))
        asd_saved_own(v, NULL);
    for (int64_t i = 0; i < n && asd_saved_ok(v); ++i) {
        if (number[i] < 0 || number[i] >= s->n)
            asd_saved_wrong(v, "near.clip");
        *near_at(s, i) = (neighbour){d[i], number[i]};
    }
    free(d);
    free(number);
}

static void density_fields(void *state, const void *params, asd_saved *v)
{
    density_state *s = state;
    s->k             = ((const density_params *)params)->k;
    asd_saved_int(v, "clips", &s->n, 2, INT32_MAX);
    asd_saved_basis(v, "basis", &s->basis, asd_saved_joined(v));
    if (!asd_saved_ok(v))
        return;
    s->room = s->k + 1 < s->n - 1 ? s->k + 1 : s->n - 1;
    asd_saved_reals(v, "bank", &s->bank, s->basis.k * s->n);
    if (asd_saved_ok(v) && asd_saved_loads(v))
        near_loaded(s, v);
    else if (asd_saved_ok(v))
        near_saved(s, v);
}

const asd_detector asd_detector_local_density = {
    .name         = "local_density",
    .about        = "how much sparser a clip lies than its nearest training clips",
    .params       = rows,
    .params_bytes = sizeof(density_params),
    .state_bytes  = sizeof(density_state),
    .clear        = density_clear,
    .max_streams  = 1,
    .fit_rows     = density_fit,
    .score_rows   = density_score,
    .fields       = density_fields,
};
