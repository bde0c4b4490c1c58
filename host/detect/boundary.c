/* boundary.c - how far outside the clusters of normal clips, and how near a border between them
 * (systems E5).
 *
 *   score = min_j d_j / r_j + 0.5 d_(1) / d_(2)
 * d_j: distance to centroid j in whitened principal coordinates; r_j: 95th percentile of its
 * members' distances; d_(1) <= d_(2) the two smallest.
 *
 *   by=kmeans           k-means of the domain-centred training clips; a clip is centred by either
 *                       domain's mean in turn: two heads. Two streams are joined.
 *   by=domain_channel   four centroids {source, target} x {first, second stream}; the score is of
 *                       the first stream's row, not centred: one head.
 *
 * Leave one out: means and centroids of domains without the clip, exactly; axes, k-means' clusters
 * and radii are kept.
 */
#include "detect/saved.h"
#include "detect/basis.h"
#include "detect/kmeans.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BY_KMEANS, BY_DOMAIN_CHANNEL };
enum { MAX_CLUSTERS = 64 };

typedef struct boundary_params {
    int64_t clusters, k, restarts, seed;
    double  weight, quantile;
    int     by;
} boundary_params;

static const asd_opt rows[] = {
    {"clusters", 0, ASD_OPT_INT, offsetof(boundary_params, clusters), "4", 1, MAX_CLUSTERS, NULL,
     "clusters", "of by=kmeans"},
    {"k", 0, ASD_OPT_INT, offsetof(boundary_params, k), "128", 1, ASD_MAX_COLUMNS, NULL, "axes",
     "principal axes of the domain-centred covariance"},
    {"weight", 0, ASD_OPT_REAL, offsetof(boundary_params, weight), "0", 0, 1e9, NULL, "",
     "of a target clip in that covariance; 0 = source clips / target clips"},
    {"by", 0, ASD_OPT_CHOICE, offsetof(boundary_params, by), "kmeans", 0, 0,
     "kmeans|domain_channel", "", "what the clusters are"},
    {"restarts", 0, ASD_OPT_INT, offsetof(boundary_params, restarts), "10", 1, 1000, NULL, "",
     "k-means++ starts, of which the best counts"},
    {"quantile", 0, ASD_OPT_REAL, offsetof(boundary_params, quantile), "0.95", 0, 1, NULL, "",
     "of the members' distances that is a cluster's radius"},
    {"seed", 0, ASD_OPT_INT, offsetof(boundary_params, seed), "0", 0, 1e15, NULL, "",
     "of k-means++"},
    {0},
};

typedef struct boundary_state {
    int       by, heads;
    int64_t   clusters;
    asd_basis basis;
    double   *centre; /* (clusters, k) */
    double    radius[MAX_CLUSTERS];
} boundary_state;

static void boundary_clear(void *state)
{
    boundary_state *s = state;
    asd_basis_clear(&s->basis);
    free(s->centre);
}

/* d: (n) distances to the clusters; INFINITY: the cluster is not there. */
static double boundary_of(const double *d, const double *radius, int64_t n)
{
    double excess = INFINITY, first = INFINITY, second = INFINITY;
    for (int64_t j = 0; j < n; ++j) {
        excess = fmin(excess, d[j] / radius[j]);
        if (d[j] < first) {
            second = first;
            first  = d[j];
        } else if (d[j] < second) {
            second = d[j];
        }
    }
    return excess + (second > 0 && isfinite(second) ? 0.5 * first / second : 0);
}

static double distance(const double *a, const double *b, int64_t k)
{
    double sum = 0;
    for (int64_t i = 0; i < k; ++i)
        sum += (a[i] - b[i]) * (a[i] - b[i]);
    return sqrt(sum);
}

static int rising(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double quantile(double *d, int64_t n, double q)
{
    qsort(d, (size_t)n, sizeof *d, rising);
    double  at = q * (double)(n - 1);
    int64_t i  = (int64_t)at;
    return i + 1 < n ? d[i] + (at - (double)i) * (d[i + 1] - d[i]) : d[n - 1];
}

/* A cluster of one clip, or of equal ones, has no radius of its own: a hundredth of the largest, or
 * 1, the scale of whitened axes. */
static void mend_radii(boundary_state *s)
{
    double largest = 0;
    for (int64_t j = 0; j < s->clusters; ++j)
        largest = fmax(largest, s->radius[j]);
    for (int64_t j = 0; j < s->clusters; ++j)
        s->radius[j] = largest > 0 ? fmax(s->radius[j], 0.01 * largest) : 1;
}

/* y: (n, k), label: (n). d: (n) scratch. */
static void fit_radii(boundary_state *s, const double *y, const int32_t *label, int64_t n, double q,
                      double *d)
{
    int64_t k = s->basis.k;
    for (int64_t j = 0; j < s->clusters; ++j) {
        int64_t count = 0;
        for (int64_t i = 0; i < n; ++i)
            if (label[i] == j)
                d[count++] = distance(y + i * k, s->centre + j * k, k);
        s->radius[j] = count ? quantile(d, count, q) : 0;
    }
    mend_radii(s);
}

/* --- by=kmeans --- */

/* y minus the mean of domain h, times grow, against the clusters. */
static double kmeans_score(const boundary_state *s, const double *y, int h, double grow)
{
    int64_t       k = s->basis.k;
    const double *t = s->basis.target[h];
    double        d[MAX_CLUSTERS], moved[ASD_MAX_COLUMNS];
    for (int64_t a = 0; a < k; ++a)
        moved[a] = grow * (y[a] - t[a]);
    for (int64_t j = 0; j < s->clusters; ++j)
        d[j] = distance(moved, s->centre + j * k, k);
    return boundary_of(d, s->radius, s->clusters);
}

/* train: not NULL when the rows are the training clips, each to be left out of its domain's mean.
 */
static void kmeans_scores(const boundary_state *s, const double *y, int64_t n,
                          const asd_train_rows *train, double *score)
{
    for (int64_t i = 0; i < n; ++i) {
        for (int h = 0; h < s->heads; ++h) {
            int     own  = train && (s->heads == 1 || h == train->is_target[i]);
            int64_t N    = s->heads == 1 ? n : s->basis.count.n[h];
            double  grow = own && N > 1 ? (double)N / (double)(N - 1) : 1;
            score[2 * i + h] =
                own && N < 2 ? (double)INFINITY : kmeans_score(s, y + i * s->basis.k, h, grow);
        }
        if (s->heads == 1)
            score[2 * i + 1] = score[2 * i];
    }
}

static asd_status fit_kmeans(boundary_state *s, const boundary_params *p,
                             const asd_train_rows *train, const asd_clip_rows *x, const char *what,
                             double *loo)
{
    asd_basis_rule rule = {.centre = s->heads == 2 ? ASD_CENTRE_DOMAIN : ASD_CENTRE_ALL,
                           .k      = p->k,
                           .weight = p->weight};
    ASD_TRY(asd_basis_fit(&s->basis, x->x, x->n, x->D, train->is_target, &rule, what));
    int64_t    k = s->basis.k, n = x->n;
    double    *y = malloc((size_t)(n * k) * sizeof *y), *own = malloc((size_t)(n * k) * sizeof *y);
    double    *d     = malloc((size_t)n * sizeof *d);
    int32_t   *label = calloc((size_t)n, sizeof *label);
    asd_status st    = ASD_OK;
    s->clusters      = p->clusters;
    s->centre        = malloc((size_t)(s->clusters * k) * sizeof *s->centre);
    if (!y || !own || !d || !label || !s->centre)
        st = ASD_FAIL(ASD_E_OOM, "%s: no memory for %lld projections", what, (long long)n);
    if (!st) {
        asd_basis_project(&s->basis, x->x, n, y);
        for (int64_t i = 0; i < n * k; ++i)
            own[i] = y[i] - s->basis.target[s->heads == 2 && train->is_target[i / k]][i % k];
        st = asd_kmeans(own, n, k, &s->clusters, p->restarts, (uint64_t)p->seed, s->centre, label);
    }
    if (!st) {
        fit_radii(s, own, label, n, p->quantile, d);
        kmeans_scores(s, y, n, train, loo);
    }
    free(y);
    free(own);
    free(d);
    free(label);
    return st;
}

/* --- by=domain_channel --- */

/* Rows of both streams minus the mean of their (domain, stream): (2 n, D), the basis' training
 * rows.
 */
static float *centred_groups(const asd_train_rows *train, unsigned char *is_target)
{
    int64_t n = train->n, D = train->stream[0].D;
    float  *out      = malloc((size_t)(2 * n * D) * sizeof *out);
    double *mean     = calloc((size_t)(4 * D), sizeof *mean);
    int64_t count[2] = {0, 0};
    for (int64_t i = 0; i < n; ++i)
        ++count[train->is_target[i] != 0];
    for (int64_t i = 0; out && mean && i < 2 * n; ++i) {
        const float *x = train->stream[i / n].x + i % n * D;
        int          g = 2 * (int)(i / n) + train->is_target[i % n];
        for (int64_t d = 0; d < D; ++d)
            mean[g * D + d] += (double)x[d] / (double)count[g & 1];
    }
    for (int64_t i = 0; out && mean && i < 2 * n; ++i) {
        const float *x = train->stream[i / n].x + i % n * D;
        int          g = 2 * (int)(i / n) + train->is_target[i % n];
        is_target[i]   = train->is_target[i % n];
        for (int64_t d = 0; d < D; ++d)
            out[i * D + d] = (float)((double)x[d] - mean[g * D + d]);
    }
    if (!mean) {
        free(out);
        out = NULL;
    }
    free(mean);
    return out;
}

/* Distances of y to the groups, of which train clip `skip` is left out (-1: none). */
static void group_distances(const boundary_state *s, const double *y, const double *skip_rows[2],
                            int own, double *d)
{
    int64_t k = s->basis.k;
    for (int g = 0; g < 4; ++g) {
        const double *c = s->centre + g * k;
        int64_t       N = s->basis.count.n[g & 1] / 2;
        if (!N || (skip_rows && own == (g & 1) && N < 2)) {
            d[g] = INFINITY;
            continue;
        }
        double sum = 0;
        for (int64_t a = 0; a < k; ++a) {
            double m = skip_rows && own == (g & 1)
                           ? ((double)N * c[a] - skip_rows[g >> 1][a]) / (double)(N - 1)
                           : c[a];
            sum += (y[a] - m) * (y[a] - m);
        }
        d[g] = sqrt(sum);
    }
}

static void fit_groups(boundary_state *s, const asd_train_rows *train, double *const y[2], double q,
                       double *scratch, int32_t *label, double *loo)
{
    int64_t k = s->basis.k, n = train->n;
    memset(s->centre, 0, (size_t)(4 * k) * sizeof *s->centre);
    for (int64_t i = 0; i < 2 * n; ++i) {
        int g    = 2 * (int)(i / n) + train->is_target[i % n];
        label[i] = g;
        for (int64_t a = 0; a < k; ++a)
            s->centre[g * k + a] += y[i / n][i % n * k + a] / ((double)s->basis.count.n[g & 1] / 2);
    }
    fit_radii(s, y[0], label, 2 * n, q, scratch); /* y[1] follows y[0] */
    for (int64_t i = 0; i < n; ++i) {
        const double *rows_of[2] = {y[0] + i * k, y[1] + i * k};
        double        d[4];
        group_distances(s, rows_of[0], rows_of, train->is_target[i], d);
        loo[2 * i] = loo[2 * i + 1] = boundary_of(d, s->radius, 4);
    }
}

static asd_status fit_domain_channel(boundary_state *s, const boundary_params *p,
                                     const asd_train_rows *train, const char *what, double *loo)
{
    const asd_clip_rows *x = train->stream;
    int64_t              n = train->n;
    if (train->n_streams != 2 || x[0].D != x[1].D)
        return ASD_FAIL(ASD_E_CONFIG,
                        "%s: boundary(by=domain_channel) takes two streams of one width", what);
    asd_basis_rule rule      = {.centre = ASD_CENTRE_ALL, .k = p->k, .weight = p->weight};
    unsigned char *is_target = malloc((size_t)(2 * n));
    int32_t       *label     = calloc((size_t)(2 * n), sizeof *label);
    double        *y = NULL, *scratch = malloc((size_t)(2 * n) * sizeof *scratch);
    float         *rows_in = is_target ? centred_groups(train, is_target) : NULL;
    asd_status     st      = rows_in && label && scratch ? ASD_OK
                                                         : ASD_FAIL(ASD_E_OOM, "%s: no memory for %lld rows",
                                                                    what, (long long)(2 * n));
    if (!st)
        st = asd_basis_fit(&s->basis, rows_in, 2 * n, x[0].D, is_target, &rule, what);
    s->clusters = 4;
    if (!st) {
        y         = malloc((size_t)(2 * n * s->basis.k) * sizeof *y);
        s->centre = malloc((size_t)(4 * s->basis.k) * sizeof *s->centre);
        if (!y || !s->centre)
            st = ASD_FAIL(ASD_E_OOM, "%s: no memory for %lld rows", what, (long long)(2 * n));
    }
    if (!st) {
        double *const both[2] = {y, y + n * s->basis.k};
        for (int c = 0; c < 2; ++c)
            asd_basis_project(&s->basis, x[c].x, n, both[c]);
        fit_groups(s, train, both, p->quantile, scratch, label, loo);
    }
    free(is_target);
    free(label);
    free(scratch);
    free(rows_in);
    free(y);
    return st;
}

/* --- both --- */

static asd_status boundary_fit(void *state, const void *params, const asd_train_rows *train,
                               const char *what, double *loo, int *heads)
{
    boundary_state        *s     = state;
    const boundary_params *p     = params;
    asd_counts             count = asd_count_domains(train->is_target, train->n);
    asd_clip_rows          all   = train->stream[0];
    float                 *own   = NULL;
    s->by                        = p->by;
    *heads = s->heads = s->by == BY_KMEANS && count.n[0] && count.n[1] ? 2 : 1;
    if (s->by == BY_DOMAIN_CHANNEL)
        return fit_domain_channel(s, p, train, what, loo);
    if (train->n_streams > 1 && !(own = asd_rows_join(train->stream, train->n_streams, &all)))
        return ASD_FAIL(ASD_E_OOM, "%s: no memory for joined rows", what);
    asd_status st = fit_kmeans(s, p, train, &all, what, loo);
    free(own);
    return st;
}

static asd_status boundary_score(const void *state, const asd_clip_rows *stream, double *score)
{
    const boundary_state *s   = state;
    asd_clip_rows         all = stream[0];
    float                *own = NULL;
    int64_t               k   = s->basis.k;
    if (s->basis.D > stream[0].D) {
        if (!(own = asd_rows_join(stream, 2, &all)))
            return ASD_FAIL(ASD_E_OOM, "no memory for joined rows");
    }
    double *y = malloc((size_t)(all.n * k) * sizeof *y);
    if (!y) {
        free(own);
        return ASD_FAIL(ASD_E_OOM, "no memory for %lld projections", (long long)all.n);
    }
    asd_basis_project(&s->basis, all.x, all.n, y);
    if (s->by == BY_KMEANS)
        kmeans_scores(s, y, all.n, NULL, score);
    for (int64_t i = 0; i < all.n && s->by == BY_DOMAIN_CHANNEL; ++i) {
        double d[4];
        group_distances(s, y + i * k, NULL, 0, d);
        score[2 * i] = score[2 * i + 1] = boundary_of(d, s->radius, 4);
    }
    free(y);
    free(own);
    return ASD_OK;
}

static void boundary_fields(void *state, const void *params, asd_saved *v)
{
    boundary_state *s     = state;
    int64_t         heads = s->heads;
    s->by                 = ((const boundary_params *)params)->by;
    asd_saved_int(v, "heads", &heads, 1, 2);
    asd_saved_int(v, "clusters", &s->clusters, s->by == BY_KMEANS ? 1 : 4,
                  s->by == BY_KMEANS ? MAX_CLUSTERS : 4);
    asd_saved_basis(v, "basis", &s->basis,
                    s->by == BY_KMEANS ? asd_saved_joined(v) : asd_saved_width(v, 0));
    asd_saved_values(v, "radius", s->radius, MAX_CLUSTERS);
    if (!asd_saved_ok(v))
        return;
    s->heads = (int)heads;
    asd_saved_reals(v, "centre", &s->centre, s->clusters * s->basis.k);
}

const asd_detector asd_detector_boundary = {
    .name         = "boundary",
    .about        = "radial excess over clusters of normal clips, and nearness of a border",
    .params       = rows,
    .params_bytes = sizeof(boundary_params),
    .state_bytes  = sizeof(boundary_state),
    .clear        = boundary_clear,
    .min_streams  = 1,
    .max_streams  = 2,
    .fit_rows     = boundary_fit,
    .score_rows   = boundary_score,
    .fields       = boundary_fields,
};
