/* mahalanobis.c - distance to the domains' means in a shared covariance (systems E1, E3, E7, E18).
 *
 *   cov=weighted      axes are the top k principal ones of the weighted covariance (E1)
 *   cov=ledoit_wolf   all axes of the shrunk one (E3)
 *   d_m(x) = sqrt(sum over axes of (a' (x - mean_m))^2)
 *
 * Leave one out. Without row i of a domain of N rows its residual is r N / (N - 1) from the mean of
 * the others. cov=weighted, loo=centre: so much for the centre, the axes are kept (systems E1, 5):
 * the scores are exact for centres, not for eigenvectors, in which a target clip of large weight
 * has a large part. loo=refit: all is fitted again without the clip (its fold, where a domain has
 * many: clip number j of its domain is in fold j mod folds). Axes that hold all in which few clips
 * vary put each at the same distance from its centre: then loo=centre says nothing, and loo=refit
 * is taken, which a line of the log says. cov=ledoit_wolf: the covariance is
 * left out too, with shrinkage and mean variance kept. With c = (1 - rho) N / ((N - 1) (n - 1)) it
 * is M - c r r', so v' (M - c r r')^-1 v = q_vv + c q_vr^2 / (1 - c q_rr),   q in the metric of
 * M^-1.
 */
#include "detect/saved.h"
#include "detect/mahalanobis.h"

#include "base/log.h"
#include "base/par.h"
#include "kernels/cpu.h" /* ASD_SIMD */

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const int64_t refit_folds[2] = {10, 20}; /* most of a domain; DCASE has 10 target clips */

static const asd_opt rows[] = {
    {"k", 0, ASD_OPT_INT, offsetof(maha_params, k), "128", 1, ASD_MAX_COLUMNS, NULL, "axes",
     "principal axes used by cov=weighted"},
    {"weight", 0, ASD_OPT_REAL, offsetof(maha_params, weight), "0", 0, 1e9, NULL, "",
     "of a target clip in the weighted covariance; 0 = source clips / target clips"},
    {"centre", 0, ASD_OPT_CHOICE, offsetof(maha_params, centre), "domain", 0, 0, "domain|all", "",
     "distance to each domain's mean, or to the mean of all"},
    {"cov", 0, ASD_OPT_CHOICE, offsetof(maha_params, cov), "weighted", 0, 0, "weighted|ledoit_wolf",
     "", "weighted principal axes, or a shrunk covariance"},
    {"loo", 0, ASD_OPT_CHOICE, offsetof(maha_params, loo), "centre", 0, 0, "centre|refit", "",
     "what cov=weighted leaves a training clip out of: its mean, or mean and axes"},
    {0},
};

typedef struct maha_state {
    asd_basis basis;
    int       heads;
} maha_state;

static void maha_clear(void *state)
{
    asd_basis_clear(&((maha_state *)state)->basis);
}

/* Rows that a thread takes at a time. */
enum { CHUNK = 16 };

typedef struct distances_job {
    const asd_basis *b;
    int              heads;
    const double    *y;
    double          *score;
} distances_job;

static void distances_chunk(void *ctx, int64_t first, int64_t count)
{
    const distances_job *j = ctx;
    for (int64_t i = first; i < first + count; ++i) {
        double *score = j->score + 2 * i;
        for (int h = 0; h < j->heads; ++h)
            score[h] = asd_basis_distance(j->b, j->y + i * j->b->k, h);
        if (j->heads == 1)
            score[1] = score[0];
    }
}

/* d of every row to both heads. */
static asd_status distances(const asd_basis *b, int heads, const float *x, int64_t n, double *score)
{
    double *y = malloc((size_t)(n * b->k) * sizeof *y + 1);
    if (!y)
        return ASD_FAIL(ASD_E_OOM, "no memory for %lld projections", (long long)n);
    asd_basis_project(b, x, n, y);
    distances_job j = {b, heads, y, score};
    asd_par_ranges(n, CHUNK, distances_chunk, &j);
    free(y);
    return ASD_OK;
}

/* Rows that share row i's centre. */
static int64_t own_rows(const asd_basis *b, int own)
{
    return b->one_centre ? b->count.n[0] + b->count.n[1] : b->count.n[own];
}

void maha_leave_out_centre(const asd_counts *count, int heads, const unsigned char *is_target,
                           int64_t n, double *loo)
{
    for (int64_t i = 0; i < n; ++i) {
        int     own = heads == 2 && is_target[i];
        int64_t N   = heads == 1 ? count->n[0] + count->n[1] : count->n[is_target[i]];
        loo[2 * i + own] =
            N > 1 ? loo[2 * i + own] * (double)N / (double)(N - 1) : (double)INFINITY;
        if (heads == 1)
            loo[2 * i + 1] = loo[2 * i];
    }
}

/* Two residuals are as long as each other in any case; rounding is 1e-13 of a distance, 1e-10 in
 * the worst of axes (basis.c keeps variances down to 1e-6 of the largest). */
int maha_says_nothing(const asd_counts *count, int heads, const unsigned char *is_target, int64_t n,
                      const double *loo)
{
    double low = INFINITY, high = 0;
    if ((heads == 1 ? n : count->n[0]) < 3)
        return 0;
    for (int64_t i = 0; i < n; ++i)
        if (heads == 1 || !is_target[i]) {
            low  = fmin(low, loo[2 * i]);
            high = fmax(high, loo[2 * i]);
        }
    return high - low <= 1e-9 * high;
}

double maha_downdated(double vv, double vr, double rr, double c)
{
    /* 1 - c rr > 0 as long as what is left is positive definite; rounding is not let past it */
    return sqrt(vv + c * vr * vr / fmax(1 - c * rr, 1e-12));
}

/* r' r, v' r and v' v of r = y - own, v = y - other; y: (n) in the metric of M^-1 */
ASD_SIMD static void products(const double *y, const double *own, const double *other, int64_t n,
                              double *rr, double *vr, double *vv)
{
    enum { LANES = 4 };
    double  sum[3][LANES] = {{0}};
    int64_t i             = 0;
    for (; i + LANES <= n; i += LANES)
        for (int k = 0; k < LANES; ++k) {
            double r = y[i + k] - own[i + k], v = y[i + k] - other[i + k];
            sum[0][k] += r * r;
            sum[1][k] += v * r;
            sum[2][k] += v * v;
        }
    for (; i < n; ++i) {
        double r = y[i] - own[i], v = y[i] - other[i];
        sum[0][0] += r * r;
        sum[1][0] += v * r;
        sum[2][0] += v * v;
    }
    double *out[] = {rr, vr, vv};
    for (int s = 0; s < 3; ++s)
        *out[s] = (sum[s][0] + sum[s][2]) + (sum[s][1] + sum[s][3]);
}

typedef struct left_out_job {
    const asd_basis     *held_out;
    int                  heads;
    double               rho;
    int64_t              n;
    const unsigned char *is_target;
    const double        *y; /* (n, k) */
    double              *loo;
} left_out_job;

static void left_out_chunk(void *ctx, int64_t first, int64_t count)
{
    const left_out_job *j = ctx;
    const asd_basis    *b = j->held_out;
    for (int64_t i = first; i < first + count; ++i) {
        int     own  = j->heads == 2 && j->is_target[i];
        int64_t N    = own_rows(b, j->is_target[i]);
        double  grow = N > 1 ? (double)N / (double)(N - 1) : 0;
        double  c    = j->n > 1 ? (1 - j->rho) * grow / (double)(j->n - 1) : 0;
        double  rr, vr, vv, *loo = j->loo + 2 * i;
        products(j->y + i * b->k, b->target[own], b->target[!own], b->k, &rr, &vr, &vv);
        loo[!own] = maha_downdated(vv, vr, rr, c);
        loo[own]  = N < 2 ? (double)INFINITY : maha_downdated(grow * grow * rr, grow * rr, rr, c);
        if (j->heads == 1)
            loo[1] = loo[0];
    }
}

static asd_status leave_out_row(const maha_state *s, const asd_basis *held_out, double rho,
                                const asd_train_rows *train, const asd_clip_rows *x, double *loo)
{
    double *y = malloc((size_t)(train->n * held_out->k) * sizeof *y);
    if (!y)
        return ASD_FAIL(ASD_E_OOM, "no memory for %lld projections", (long long)train->n);
    asd_basis_project(held_out, x->x, train->n, y);
    left_out_job j = {held_out, s->heads, rho, train->n, train->is_target, y, loo};
    asd_par_ranges(train->n, CHUNK, left_out_chunk, &j);
    free(y);
    return ASD_OK;
}

/* The rows with keep[i] == wanted, side by side; returns their number. */
static int64_t pick_rows(const asd_clip_rows *x, const unsigned char *keep, int wanted,
                         const unsigned char *is_target, float *out, unsigned char *out_target)
{
    int64_t n = 0;
    for (int64_t i = 0; i < x->n; ++i)
        if (keep[i] == wanted) {
            memcpy(out + n * x->D, x->x + i * x->D, (size_t)x->D * sizeof *out);
            out_target[n++] = is_target[i];
        }
    return n;
}

/* Scores of the clips with out[i] by a fit to the others. */
static asd_status refit_without(const asd_train_rows *train, const asd_clip_rows *x,
                                const asd_basis_rule *rule, int heads, const unsigned char *out,
                                const char *what, double *loo)
{
    asd_basis      b      = {0};
    float         *kept   = malloc((size_t)(x->n * x->D) * sizeof *kept);
    unsigned char *target = malloc((size_t)x->n);
    double        *score  = malloc((size_t)(2 * x->n) * sizeof *score);
    int64_t        n      = 0;
    asd_status     st     = kept && target && score
                                ? ASD_OK
                                : ASD_FAIL(ASD_E_OOM, "%s: no memory for %lld rows", what, (long long)x->n);
    if (!st) {
        n  = pick_rows(x, out, 0, train->is_target, kept, target);
        st = asd_basis_fit(&b, kept, n, x->D, target, rule, what);
    }
    if (!st) {
        n  = pick_rows(x, out, 1, train->is_target, kept, target);
        st = distances(&b, heads, kept, n, score);
    }
    for (int64_t i = 0, k = 0; i < x->n && !st; ++i)
        if (out[i]) {
            memcpy(loo + 2 * i, score + 2 * k++, 2 * sizeof *loo);
            if (heads == 2 && !b.count.n[train->is_target[i] != 0])
                loo[2 * i + train->is_target[i]] = (double)INFINITY;
        }
    asd_basis_clear(&b);
    free(kept);
    free(target);
    free(score);
    return st;
}

static asd_status leave_out_refit(const maha_state *s, const asd_train_rows *train,
                                  const asd_clip_rows *x, const asd_basis_rule *rule,
                                  const char *what, double *loo)
{
    unsigned char *out = malloc((size_t)x->n);
    asd_status     st  = out ? ASD_OK : ASD_FAIL(ASD_E_OOM, "%s: no memory for folds", what);
    for (int domain = 0; domain < 2; ++domain) {
        int64_t N     = s->basis.count.n[domain];
        int64_t folds = N < refit_folds[domain] ? N : refit_folds[domain];
        for (int64_t f = 0; f < folds && !st; ++f) {
            int64_t seen = 0;
            for (int64_t i = 0; i < x->n; ++i)
                out[i] = train->is_target[i] == domain && seen++ % folds == f;
            st = refit_without(train, x, rule, s->heads, out, what, loo);
        }
    }
    free(out);
    return st;
}

/* For maha_says_nothing. Clips too few to do without one keep what they have. */
static asd_status refit_instead(const maha_state *s, const asd_train_rows *train,
                                const asd_clip_rows *x, const asd_basis_rule *rule,
                                const char *what, double *loo)
{
    double *refit = malloc((size_t)(2 * x->n) * sizeof *refit);
    if (!refit)
        return ASD_FAIL(ASD_E_OOM, "%s: no memory for scores", what);
    asd_status st = leave_out_refit(s, train, x, rule, what, refit);
    if (!st) {
        memcpy(loo, refit, (size_t)(2 * x->n) * sizeof *loo);
        asd_note("%s: %lld axes hold all in which its %lld training clips vary, so that each is as "
                 "far from its centre as the others: taken as loo=refit",
                 what, (long long)s->basis.k, (long long)x->n);
    }
    free(refit);
    return st == ASD_E_NUMERIC ? ASD_OK : st;
}

static asd_status maha_fit(void *state, const void *params, const asd_train_rows *train,
                           const char *what, double *loo, int *heads)
{
    maha_state          *s        = state;
    const maha_params   *p        = params;
    const asd_clip_rows *x        = &train->stream[0];
    asd_counts           count    = asd_count_domains(train->is_target, train->n);
    asd_basis            held_out = {0};
    double               rho      = 0;
    asd_status           st;
    *heads = s->heads = p->centre == ASD_CENTRE_DOMAIN && count.n[0] && count.n[1] ? 2 : 1;
    int centre        = s->heads == 2 ? ASD_CENTRE_DOMAIN : ASD_CENTRE_ALL;
    if (p->cov == COV_LEDOIT_WOLF) {
        st = asd_basis_ledoit_wolf(&s->basis, x->x, x->n, x->D, train->is_target, centre, what,
                                   &rho, &held_out);
        if (!st)
            st = leave_out_row(s, &held_out, rho, train, x, loo);
        asd_basis_clear(&held_out);
        return st;
    }
    asd_basis_rule rule = {.centre = centre, .k = p->k, .weight = p->weight};
    ASD_TRY(asd_basis_fit(&s->basis, x->x, x->n, x->D, train->is_target, &rule, what));
    if (p->loo == LOO_REFIT)
        return leave_out_refit(s, train, x, &rule, what, loo);
    ASD_TRY(distances(&s->basis, s->heads, x->x, x->n, loo));
    maha_leave_out_centre(&count, s->heads, train->is_target, train->n, loo);
    if (maha_says_nothing(&count, s->heads, train->is_target, train->n, loo))
        return refit_instead(s, train, x, &rule, what, loo);
    return ASD_OK;
}

static asd_status maha_score(const void *state, const asd_clip_rows *stream, double *score)
{
    const maha_state *s = state;
    return distances(&s->basis, s->heads, stream->x, stream->n, score);
}

static void maha_fields(void *state, const void *params, asd_saved *v)
{
    maha_state *s     = state;
    int64_t     heads = s->heads;
    (void)params;
    asd_saved_int(v, "heads", &heads, 1, 2);
    asd_saved_basis(v, "basis", &s->basis, asd_saved_joined(v));
    s->heads = (int)heads;
}

const asd_detector asd_detector_mahalanobis = {
    .name         = "mahalanobis",
    .about        = "distance to the domains' means in whitened axes; streams are joined",
    .params       = rows,
    .params_bytes = sizeof(maha_params),
    .state_bytes  = sizeof(maha_state),
    .clear        = maha_clear,
    .max_streams  = 1,
    .fit_rows     = maha_fit,
    .score_rows   = maha_score,
    .fields       = maha_fields,
    .device_lacks = maha_lacks,
    .run_device   = maha_device,
};
