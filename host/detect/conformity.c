/* conformity.c - how badly the first stream is predicted from the second by ridge regression
 * (systems E8).
 *
 *   a, b: principal coordinates of the second and of the first stream, each centred
 *   W = (A' A + l I)^-1 A' B,  l = ridge tr(A' A) / axes        r(x) = |b - W' a|
 *
 *   as=rank       s_m = (1 + number of training clips i of domain m with r_i <= r) / (n_m + 1)
 *   as=residual   r itself, one head
 *   side=min      both domains' ranks: two heads;   side=target: the target's alone, one head
 *
 * The training clips' own r come from cross-fitting: axes and W of every fold are fitted to the
 * clips outside it. Clip number j of its domain, in the order given, is in fold j mod folds. Leave
 * one out: a training clip's rank among the others of the domain.
 */
#include "detect/saved.h"
#include "detect/basis.h"

#include <cblas.h>
#include <lapacke.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE_MIN, SIDE_TARGET };
enum { AS_RANK, AS_RESIDUAL };

typedef struct conformity_params {
    int64_t axes, folds;
    double  ridge;
    int     side, as;
} conformity_params;

static const asd_opt rows[] = {
    {"axes", 0, ASD_OPT_INT, offsetof(conformity_params, axes), "128", 1, ASD_MAX_COLUMNS, NULL,
     "axes", "principal axes of each stream"},
    {"ridge", 0, ASD_OPT_REAL, offsetof(conformity_params, ridge), "0.01", 1e-12, 1e6, NULL, "",
     "of the mean variance of the second stream's coordinates"},
    {"folds", 0, ASD_OPT_INT, offsetof(conformity_params, folds), "5", 2, 1000, NULL, "",
     "of the cross-fitting that gives the training clips' residuals"},
    {"side", 0, ASD_OPT_CHOICE, offsetof(conformity_params, side), "min", 0, 0, "min|target", "",
     "rank in both domains, or in the target's alone"},
    {"as", 0, ASD_OPT_CHOICE, offsetof(conformity_params, as), "rank", 0, 0, "rank|residual", "",
     "rank of the residual, or the residual"},
    {0},
};

typedef struct ridge_model {
    asd_basis  basis[2]; /* of the first and second stream */
    asd_panels w;        /* (axes of the second, axes of the first) */
} ridge_model;

typedef struct conformity_state {
    int         as, heads, side;
    ridge_model model;
    double     *r[2]; /* (n[m]) cross-fitted training residuals of each domain, rising */
    int64_t     n[2];
} conformity_state;

static void model_clear(ridge_model *m)
{
    asd_basis_clear(&m->basis[0]);
    asd_basis_clear(&m->basis[1]);
    asd_panels_clear(&m->w);
}

static void conformity_clear(void *state)
{
    conformity_state *s = state;
    model_clear(&s->model);
    free(s->r[0]);
    free(s->r[1]);
}

/* Principal coordinates, not whitened. *y: (n, k) owned. */
static asd_status coordinates(const asd_basis *b, const float *x, int64_t n, double **y)
{
    if (!(*y = malloc((size_t)(n * b->k) * sizeof **y + 1)))
        return ASD_FAIL(ASD_E_OOM, "no memory for %lld projections", (long long)n);
    asd_basis_project(b, x, n, *y);
    for (int64_t i = 0; i < n; ++i)
        for (int64_t a = 0; a < b->k; ++a)
            (*y)[i * b->k + a] *= sqrt(b->value[a]);
    return ASD_OK;
}

/* a: (n, ka), b: (n, kb) */
static asd_status solve_ridge(const double *a, int64_t ka, const double *b, int64_t kb, int64_t n,
                              double ridge, const char *what, asd_panels *w)
{
    double    *gram = malloc((size_t)(ka * ka) * sizeof *gram), trace = 0;
    double    *mix = malloc((size_t)(ka * kb) * sizeof *mix);
    asd_status st  = gram && mix ? asd_panels_new(w, ka, kb)
                                 : ASD_FAIL(ASD_E_OOM, "%s: no memory for a regression", what);
    if (!st) {
        cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)ka, (int)ka, (int)n, 1, a,
                    (int)ka, a, (int)ka, 0, gram, (int)ka);
        cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)ka, (int)kb, (int)n, 1, a,
                    (int)ka, b, (int)kb, 0, mix, (int)kb);
        for (int64_t i = 0; i < ka; ++i)
            trace += gram[i * ka + i];
        for (int64_t i = 0; i < ka; ++i)
            gram[i * ka + i] += ridge * trace / (double)ka;
        lapack_int info = LAPACKE_dposv(LAPACK_ROW_MAJOR, 'L', (lapack_int)ka, (lapack_int)kb, gram,
                                        (lapack_int)ka, mix, (lapack_int)kb);
        if (info)
            st = ASD_FAIL(ASD_E_NUMERIC, "%s: the regression's %lld x %lld matrix is singular",
                          what, (long long)ka, (long long)ka);
    }
    for (int64_t i = 0; i < ka && !st; ++i)
        for (int64_t c = 0; c < kb; ++c)
            *asd_panels_at(w, i, c) = mix[i * kb + c];
    free(gram);
    free(mix);
    return st;
}

static asd_status model_fit(ridge_model *m, const asd_clip_rows *x, const conformity_params *p,
                            const char *what)
{
    asd_basis_rule rule = {.centre = ASD_CENTRE_ALL, .k = p->axes, .weight = 1};
    double        *y[2] = {NULL, NULL};
    unsigned char *none = calloc((size_t)x[0].n, 1);
    asd_status     st =
        none ? ASD_OK : ASD_FAIL(ASD_E_OOM, "%s: no memory for %lld rows", what, (long long)x[0].n);
    for (int c = 0; c < 2 && !st; ++c) {
        st = asd_basis_fit(&m->basis[c], x[c].x, x[c].n, x[c].D, none, &rule, what);
        if (!st)
            st = coordinates(&m->basis[c], x[c].x, x[c].n, &y[c]);
    }
    if (!st)
        st = solve_ridge(y[1], m->basis[1].k, y[0], m->basis[0].k, x[0].n, p->ridge, what, &m->w);
    free(none);
    free(y[0]);
    free(y[1]);
    return st;
}

static asd_status residuals(const ridge_model *m, const asd_clip_rows *x, double *r)
{
    int64_t    n = x[0].n, k = m->basis[0].k;
    double    *b = NULL, *a = NULL, *guess = malloc((size_t)(n * k) * sizeof *guess + 1);
    asd_status st = guess ? coordinates(&m->basis[0], x[0].x, n, &b)
                          : ASD_FAIL(ASD_E_OOM, "no memory for %lld rows", (long long)n);
    if (!st)
        st = coordinates(&m->basis[1], x[1].x, n, &a);
    if (!st)
        asd_panels_multiply_d(&m->w, a, n, guess);
    for (int64_t i = 0; i < n && !st; ++i) {
        double sum = 0;
        for (int64_t c = 0; c < k; ++c)
            sum += (b[i * k + c] - guess[i * k + c]) * (b[i * k + c] - guess[i * k + c]);
        r[i] = sqrt(sum);
    }
    free(a);
    free(b);
    free(guess);
    return st;
}

/* The clips of which keep[i] == wanted, copied. */
static asd_status select_clips(const asd_clip_rows *x, const unsigned char *keep, int wanted,
                               asd_clip_rows out[2], float *owned[2])
{
    for (int c = 0; c < 2; ++c) {
        out[c] = (asd_clip_rows){NULL, 0, 1, x[c].D, NULL};
        if (!(owned[c] = malloc((size_t)(x[c].n * x[c].D) * sizeof(float))))
            return ASD_FAIL(ASD_E_OOM, "no memory for %lld rows", (long long)x[c].n);
        for (int64_t i = 0; i < x[c].n; ++i)
            if (keep[i] == wanted)
                memcpy(owned[c] + out[c].n++ * x[c].D, x[c].x + i * x[c].D,
                       (size_t)x[c].D * sizeof(float));
        out[c].x = owned[c];
    }
    return ASD_OK;
}

/* in_fold: (n) 1 for the clips of the fold; their r come from a model of the others. */
static asd_status fit_fold(const asd_train_rows *train, const conformity_params *p,
                           const unsigned char *in_fold, const char *what, double *r)
{
    ridge_model   m        = {0};
    asd_clip_rows fit_x[2] = {{0}}, own_x[2] = {{0}};
    float        *fit_own[2] = {NULL, NULL}, *own_own[2] = {NULL, NULL};
    double       *own_r = malloc((size_t)train->n * sizeof *own_r);
    asd_status    st    = own_r ? select_clips(train->stream, in_fold, 0, fit_x, fit_own)
                                : ASD_FAIL(ASD_E_OOM, "%s: no memory for residuals", what);
    if (!st)
        st = select_clips(train->stream, in_fold, 1, own_x, own_own);
    if (!st)
        st = model_fit(&m, fit_x, p, what);
    if (!st)
        st = residuals(&m, own_x, own_r);
    for (int64_t i = 0, at = 0; i < train->n && !st; ++i)
        if (in_fold[i])
            r[i] = own_r[at++];
    model_clear(&m);
    for (int c = 0; c < 2; ++c) {
        free(fit_own[c]);
        free(own_own[c]);
    }
    free(own_r);
    return st;
}

static asd_status cross_fit(const asd_train_rows *train, const conformity_params *p,
                            const char *what, double *r)
{
    unsigned char *in_fold = malloc((size_t)train->n);
    asd_status     st      = in_fold ? ASD_OK : ASD_FAIL(ASD_E_OOM, "%s: no memory", what);
    for (int64_t f = 0; f < p->folds && !st; ++f) {
        int64_t seen[2] = {0, 0}, members = 0;
        for (int64_t i = 0; i < train->n; ++i)
            members += in_fold[i] = seen[train->is_target[i] != 0]++ % p->folds == f;
        if (members == train->n)
            st = ASD_FAIL(ASD_E_DATA, "%s: %lld training clips are too few for %lld folds", what,
                          (long long)train->n, (long long)p->folds);
        else if (members)
            st = fit_fold(train, p, in_fold, what, r);
    }
    free(in_fold);
    return st;
}

static int rising(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Number of sorted r that are <= x. */
static int64_t not_above(const double *r, int64_t n, double x)
{
    int64_t from = 0;
    while (from < n) {
        int64_t middle = (from + n) / 2;
        if (r[middle] <= x)
            from = middle + 1;
        else
            n = middle;
    }
    return from;
}

/* own: domain that the clip is a training clip of, -1 for none. */
static void set_score(const conformity_state *s, double r, int own, double *score)
{
    for (int h = 0; h < 2; ++h) {
        int     m    = s->heads == 2 ? h : s->side == SIDE_TARGET && s->n[1] ? 1 : !s->n[0];
        int64_t self = own == m, others = s->n[m] - self;
        int64_t below = not_above(s->r[m], s->n[m], r) - self;
        score[h]      = s->as == AS_RESIDUAL ? r
                        : others             ? (double)(1 + below) / (double)(others + 1)
                                             : (double)INFINITY;
    }
}

static asd_status conformity_fit(void *state, const void *params, const asd_train_rows *train,
                                 const char *what, double *loo, int *heads)
{
    conformity_state        *s     = state;
    const conformity_params *p     = params;
    asd_counts               count = asd_count_domains(train->is_target, train->n);
    double                  *r     = malloc((size_t)train->n * sizeof *r);
    s->as                          = p->as;
    s->side                        = p->side;
    *heads = s->heads = p->as == AS_RANK && p->side == SIDE_MIN && count.n[0] && count.n[1] ? 2 : 1;
    for (int m = 0; m < 2; ++m)
        s->r[m] = malloc((size_t)(count.n[m] + 1) * sizeof(double));
    asd_status st = r && s->r[0] && s->r[1]
                        ? cross_fit(train, p, what, r)
                        : ASD_FAIL(ASD_E_OOM, "%s: no memory for residuals", what);
    if (!st)
        st = model_fit(&s->model, train->stream, p, what);
    for (int64_t i = 0; i < train->n && !st; ++i) {
        int m              = train->is_target[i] != 0;
        s->r[m][s->n[m]++] = r[i];
    }
    for (int m = 0; m < 2 && !st; ++m)
        qsort(s->r[m], (size_t)s->n[m], sizeof(double), rising);
    for (int64_t i = 0; i < train->n && !st; ++i)
        set_score(s, r[i], train->is_target[i] != 0, loo + 2 * i);
    free(r);
    return st;
}

static asd_status conformity_score(const void *state, const asd_clip_rows *stream, double *score)
{
    const conformity_state *s = state;
    double                 *r = malloc((size_t)stream[0].n * sizeof *r + 1);
    if (!r)
        return ASD_FAIL(ASD_E_OOM, "no memory for %lld residuals", (long long)stream[0].n);
    asd_status st = residuals(&s->model, stream, r);
    for (int64_t i = 0; i < stream[0].n && !st; ++i)
        set_score(s, r[i], -1, score + 2 * i);
    free(r);
    return st;
}

static void conformity_fields(void *state, const void *params, asd_saved *v)
{
    conformity_state        *s     = state;
    const conformity_params *p     = params;
    int64_t                  heads = s->heads;
    s->as                          = p->as;
    s->side                        = p->side;
    asd_saved_int(v, "heads", &heads, 1, 2);
    asd_saved_basis(v, "first", &s->model.basis[0], asd_saved_width(v, 0));
    asd_saved_basis(v, "second", &s->model.basis[1], asd_saved_width(v, 1));
    asd_saved_int(v, "source_clips", &s->n[0], 0, INT32_MAX);
    asd_saved_int(v, "target_clips", &s->n[1], 0, INT32_MAX);
    if (asd_saved_ok(v) && !(s->model.basis[0].value && s->model.basis[1].value))
        asd_saved_wrong(v, "first");
    if (!asd_saved_ok(v))
        return;
    s->heads = (int)heads;
    asd_saved_panels(v, "ridge", &s->model.w, s->model.basis[1].k, s->model.basis[0].k);
    asd_saved_reals(v, "source_residual", &s->r[0], s->n[0]);
    asd_saved_reals(v, "target_residual", &s->r[1], s->n[1]);
}

const asd_detector asd_detector_conformity = {
    .name         = "conformity",
    .about        = "how badly the first stream is predicted from the second, ranked per domain",
    .params       = rows,
    .params_bytes = sizeof(conformity_params),
    .state_bytes  = sizeof(conformity_state),
    .clear        = conformity_clear,
    .min_streams  = 2,
    .max_streams  = 2,
    .fit_rows     = conformity_fit,
    .score_rows   = conformity_score,
    .fields       = conformity_fields,
};
