/* mahalanobis_device.c - the detector of mahalanobis.c for many machines at once on a device
 * (kernels/mahalanobis.h).
 *
 *   cov=ledoit_wolf   all on the device; the rank-one downdates of leaving a row out are made here
 *                     from three products a row
 *   cov=weighted      covariances (or Gram matrices, of fewer rows than columns) and distances on
 *                     the device; between them the k largest eigenpairs by LAPACK, a core a machine
 *
 * Both sides work in double: what differs from the CPU is the order of sums. Eigenvectors magnify
 * that where the k-th variance and the next are nearly the same.
 */
#include "detect/mahalanobis.h"

#include "base/par.h"
#include "detect/on_device.h"
#include "kernels/mahalanobis.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *maha_lacks(const void *params)
{
    const maha_params *p = params;
    return p->cov == COV_WEIGHTED && p->loo == LOO_REFIT ? "loo=refit" : NULL;
}

static int heads_of(const maha_params *p, const asd_rows_task *t)
{
    return p->centre == ASD_CENTRE_DOMAIN && asd_rows_two_domains(t) ? 2 : 1;
}

/* Means, one matrix a machine, and what is told of a fit. */
static double model_bytes(double G, double D, double side)
{
    return G * (2 * D + side * side + 2 + ASD_MAHA_INFO) * 8;
}

static asd_maha_model new_model(asd_device_blocks *b, const asd_maha *a, int64_t side,
                                asd_status *st)
{
    size_t         G = (size_t)a->G, D = (size_t)a->D, m = (size_t)side;
    asd_maha_model y = {0};
    y.mean           = asd_device_block(b, G * 2 * D * sizeof(double), "means", st);
    y.factor         = asd_device_block(b, G * m * m * sizeof(double), "covariances", st);
    y.shrink         = asd_device_block(b, G * 2 * sizeof(double), "shrinkages", st);
    y.info           = asd_device_block(b, G * ASD_MAHA_INFO * sizeof(int32_t), "counts", st);
    return y;
}

/* --- cov=ledoit_wolf --- */

typedef struct ledoit_wolf {
    const maha_params *p;
    asd_rows_task     *task;
    asd_stream        *s;
    asd_device_rows    rows;
    asd_maha           a;
    asd_maha_model     model;
    double            *work, *loo, *cross, *score; /* on the device */
} ledoit_wolf;

/* Distances to both means and their product, of all training rows, to leave-one-out distances. */
static void leave_out_rows(const asd_rows_task *t, const double shrink[2], const double *cross,
                           double *loo)
{
    asd_counts count = asd_count_domains(t->is_target, t->train.n);
    int64_t    n     = t->train.n;
    for (int64_t i = 0; i < n; ++i) {
        int     own   = t->heads == 2 && t->is_target[i];
        int64_t N     = t->heads == 2 ? count.n[own] : n;
        double  grow  = N > 1 ? (double)N / (double)(N - 1) : 0;
        double  c     = n > 1 ? shrink[0] * grow / (double)n : 0; /* shrink: times n / (n - 1) */
        double  qq[2] = {loo[2 * i] * loo[2 * i], loo[2 * i + 1] * loo[2 * i + 1]}, rr = qq[own];
        loo[2 * i + own] =
            N > 1 ? maha_downdated(grow * grow * rr, grow * rr, rr, c) : (double)INFINITY;
        loo[2 * i + !own] =
            t->heads == 2 ? maha_downdated(qq[!own], cross[i], rr, c) : loo[2 * i + own];
    }
}

/* The training rows in the held-out metric. */
static asd_status held_out(ledoit_wolf *l)
{
    asd_maha_rows train = {l->rows.train, l->rows.n, l->rows.N};
    l->a.held_out       = 1;
    ASD_TRY(asd_maha_fit(&l->a, &train, l->rows.is_target, &l->model, l->s));
    ASD_TRY(asd_maha_score_cross(&l->a, &l->model, &train, l->work, l->loo, l->cross, l->s));
    for (int64_t g = 0; g < l->rows.G; ++g) {
        asd_rows_task *t = &l->task[g];
        double         shrink[2];
        int32_t        info[ASD_MAHA_INFO];
        double        *cross = malloc((size_t)t->train.n * sizeof *cross);
        if (!cross)
            return ASD_FAIL(ASD_E_OOM, "%s: no memory for scores", t->what);
        ASD_TRY(asd_stream_download(l->s, info, l->model.info + g * ASD_MAHA_INFO, sizeof info));
        asd_status st = asd_device_take(l->s, l->model.shrink, g, 1, 2, 1, shrink);
        if (!st)
            st = asd_device_take(l->s, l->cross, g, l->rows.N, 1, t->train.n, cross);
        if (!st)
            st = asd_device_take(l->s, l->loo, g, l->rows.N, 2, t->train.n, t->loo);
        t->heads = heads_of(l->p, t);
        if (!st && info[ASD_MAHA_BROKEN])
            t->left = "the covariance of its training rows has no factor";
        else if (!st)
            leave_out_rows(t, shrink, cross, t->loo);
        free(cross);
        ASD_TRY(st);
    }
    return ASD_OK;
}

static asd_status whole(ledoit_wolf *l)
{
    asd_maha_rows train = {l->rows.train, l->rows.n, l->rows.N};
    asd_maha_rows test  = {l->rows.test, l->rows.m, l->rows.M};
    l->a.held_out       = 0;
    ASD_TRY(asd_maha_fit(&l->a, &train, l->rows.is_target, &l->model, l->s));
    ASD_TRY(asd_maha_score(&l->a, &l->model, &test, l->work, l->score, l->s));
    for (int64_t g = 0; g < l->rows.G; ++g) {
        asd_rows_task *t = &l->task[g];
        int32_t        info[ASD_MAHA_INFO];
        ASD_TRY(asd_stream_download(l->s, info, l->model.info + g * ASD_MAHA_INFO, sizeof info));
        ASD_TRY(asd_device_take(l->s, l->score, g, l->rows.M, 2, t->test.n, t->score));
        if (info[ASD_MAHA_BROKEN])
            t->left = "the covariance of its training rows has no factor";
    }
    return ASD_OK;
}

static double ledoit_wolf_bytes(const void *params, double G, double N, double M, double D)
{
    asd_maha a    = {.G = 1, .D = (int64_t)D};
    double   most = fmax(N, M), work = (double)asd_maha_work(&a, (int64_t)most);
    (void)params;
    return G * ((N + M) * D * 4 + N + 8 + (work + 3 * N + 2 * M) * 8) + model_bytes(G, D, D);
}

static asd_status ledoit_wolf_stretch(const void *params, asd_rows_task *task, int64_t G,
                                      asd_stream *s)
{
    asd_device_blocks b  = {.gpu = asd_stream_gpu(s)};
    ledoit_wolf       l  = {.p = params, .task = task, .s = s};
    asd_status        st = asd_device_rows_upload(task, G, s, &b, &l.rows);
    int64_t           N = l.rows.N, M = l.rows.M;
    l.a = (asd_maha){
        .G = G, .D = l.rows.D, .ledoit_wolf = 1, .one_centre = l.p->centre == ASD_CENTRE_ALL};
    l.model = new_model(&b, &l.a, l.rows.D, &st);
    l.work  = asd_device_block(&b, (size_t)asd_maha_work(&l.a, N > M ? N : M) * sizeof(double),
                               "projections", &st);
    l.loo   = asd_device_block(&b, (size_t)(G * N) * 2 * sizeof(double), "scores", &st);
    l.cross = asd_device_block(&b, (size_t)(G * N) * sizeof(double), "scores", &st);
    l.score = asd_device_block(&b, (size_t)(G * M) * 2 * sizeof(double), "scores", &st);
    if (!st)
        st = held_out(&l);
    if (!st)
        st = whole(&l);
    asd_device_blocks_clear(&b);
    return st;
}

/* --- cov=weighted --- */

/* Machines whose matrices are on the host at a time, a core each: 16 of 768 columns are 75 MB. */
enum { BASES = 16 };

typedef struct weighted {
    const maha_params *p;
    asd_rows_task     *task;
    asd_stream        *s;
    asd_device_rows    rows;
    asd_maha           a;
    asd_maha_model     model;
    double *gram; /* (G, N, N) on the device; NULL: no machine has fewer rows than columns */
    double *axis, *centre, *place; /* asd_maha_axes, on the device */
    int64_t K;
    double *axes_out; /* (K, D) of the machine in hand */
    /* of machines from .. from + BASES - 1 */
    int64_t     from;
    double     *products[BASES];
    asd_basis   basis[BASES];
    asd_failure failure;
} weighted;

/* The lower triangle of a matrix (m, stride), stride >= m, to the upper one of (m, m), in place. */
static void turn(double *c, int64_t m, int64_t stride)
{
    for (int64_t i = 0; i < m; ++i)
        memmove(c + i * m, c + i * stride, (size_t)(i + 1) * sizeof *c);
    for (int64_t i = 0; i < m; ++i)
        for (int64_t k = 0; k < i; ++k)
            c[k * m + i] = c[i * m + k];
}

static void weighted_basis(void *ctx, int64_t i)
{
    weighted            *w = ctx;
    const asd_rows_task *t = &w->task[w->from + i];
    int64_t              n = t->train.n, D = t->train.D;
    asd_basis_rule       rule = {.k = w->p->k, .weight = w->p->weight};
    rule.centre               = t->heads == 2 ? ASD_CENTRE_DOMAIN : ASD_CENTRE_ALL;
    turn(w->products[i], n < D ? n : D, n < D ? w->rows.N : D);
    asd_failure_note(&w->failure, i,
                     asd_basis_fit_products(&w->basis[i], t->train.x, n, D, t->is_target, &rule,
                                            w->products[i], t->what));
}

static asd_status download_products(weighted *w, int64_t n)
{
    for (int64_t i = 0; i < n; ++i) {
        const asd_rows_task *t    = &w->task[w->from + i];
        int                  rows = t->train.n < t->train.D;
        int64_t              side = rows ? w->rows.N : w->rows.D, g = w->from + i;
        free(w->products[i]);
        if (!(w->products[i] = malloc((size_t)(side * side) * sizeof(double))))
            return ASD_FAIL(ASD_E_OOM, "%s: no memory for a covariance of %lld", t->what,
                            (long long)side);
        ASD_TRY(asd_device_take(w->s, rows ? w->gram : w->model.factor, g, side, side,
                                rows ? t->train.n : side, w->products[i]));
    }
    return ASD_OK;
}

static asd_status upload_axes(weighted *w, int64_t n)
{
    for (int64_t i = 0; i < n; ++i) {
        const asd_basis *b = &w->basis[i];
        int64_t          g = w->from + i, K = w->K, D = b->D;
        size_t           k = (size_t)b->k * sizeof(double), row = (size_t)D * sizeof(double);
        for (int64_t a = 0; a < b->k; ++a)
            for (int64_t d = 0; d < D; ++d)
                w->axes_out[a * D + d] = *asd_panels_at(&b->axis, d, a);
        ASD_TRY(asd_stream_upload(w->s, w->axis + g * K * D, w->axes_out, (size_t)b->k * row));
        ASD_TRY(asd_stream_upload(w->s, w->centre + g * D, b->mean, row));
        ASD_TRY(asd_stream_upload(w->s, w->place + g * 2 * K, b->target[0], k));
        ASD_TRY(asd_stream_upload(w->s, w->place + (g * 2 + 1) * K, b->target[1], k));
        ASD_TRY(asd_stream_wait(w->s)); /* axes_out and the basis are free again */
    }
    return ASD_OK;
}

/* Axes of all machines, BASES of them at a time. */
static asd_status find_axes(weighted *w)
{
    asd_status st = ASD_OK;
    for (w->from = 0; w->from < w->rows.G && !st; w->from += BASES) {
        int64_t n = w->rows.G - w->from < BASES ? w->rows.G - w->from : BASES;
        st        = download_products(w, n);
        if (!st) {
            asd_failure_init(&w->failure);
            asd_par_for(n, weighted_basis, w);
            st = asd_failure_end(&w->failure);
        }
        if (!st)
            st = upload_axes(w, n);
        for (int64_t i = 0; i < n; ++i)
            asd_basis_clear(&w->basis[i]);
    }
    for (int i = 0; i < BASES; ++i)
        free(w->products[i]);
    return st;
}

static asd_status make_products(weighted *w, asd_device_blocks *b)
{
    asd_maha_rows train = {w->rows.train, w->rows.n, w->rows.N};
    int64_t       N = w->rows.N, D = w->rows.D;
    int           tall = 0, wide = 0;
    asd_status    st = ASD_OK;
    for (int64_t g = 0; g < w->rows.G; ++g) {
        const asd_rows_task *t = &w->task[g];
        int64_t              m = t->train.n < D ? t->train.n : D, k = w->p->k < m ? w->p->k : m;
        w->K                              = k > w->K ? k : w->K;
        *(t->train.n < D ? &wide : &tall) = 1;
    }
    w->model = new_model(b, &w->a, tall ? D : 1, &st);
    if (wide)
        w->gram = asd_device_block(b, (size_t)(w->rows.G * N * N) * sizeof(double),
                                   "products of rows", &st);
    if (!st && tall)
        st = asd_maha_covariance(&w->a, &train, w->rows.is_target, &w->model, w->s);
    if (!st && wide)
        st = asd_maha_gram(&w->a, &train, w->rows.is_target, &w->model, w->gram, w->s);
    return st;
}

static asd_status score_weighted(weighted *w, double *loo, double *score)
{
    asd_maha_rows train = {w->rows.train, w->rows.n, w->rows.N};
    asd_maha_rows test  = {w->rows.test, w->rows.m, w->rows.M};
    asd_maha_axes axes  = {w->K, w->axis, w->centre, w->place};
    ASD_TRY(asd_maha_score_axes(&w->a, &axes, &train, loo, w->s));
    ASD_TRY(asd_maha_score_axes(&w->a, &axes, &test, score, w->s));
    for (int64_t g = 0; g < w->rows.G; ++g) {
        asd_rows_task *t     = &w->task[g];
        asd_counts     count = asd_count_domains(t->is_target, t->train.n);
        ASD_TRY(asd_device_take(w->s, loo, g, w->rows.N, 2, t->train.n, t->loo));
        ASD_TRY(asd_device_take(w->s, score, g, w->rows.M, 2, t->test.n, t->score));
        maha_leave_out_centre(&count, t->heads, t->is_target, t->train.n, t->loo);
        if (maha_says_nothing(&count, t->heads, t->is_target, t->train.n, t->loo))
            t->left = "its axes hold all in which its training rows vary";
    }
    return ASD_OK;
}

static double weighted_bytes(const void *params, double G, double N, double M, double D)
{
    const maha_params *p = params;
    double             K = fmin((double)p->k, fmin(N, D));
    return G * ((N + M) * D * 4 + N + 8 + (N * N + 2 * (N + M) + (K + 1) * D + 2 * K) * 8) +
           model_bytes(G, D, D);
}

static asd_status weighted_stretch(const void *params, asd_rows_task *task, int64_t G,
                                   asd_stream *s)
{
    asd_device_blocks b  = {.gpu = asd_stream_gpu(s)};
    weighted          w  = {.p = params, .task = task, .s = s};
    asd_status        st = asd_device_rows_upload(task, G, s, &b, &w.rows);
    int64_t           N = w.rows.N, M = w.rows.M, D = w.rows.D;
    double           *loo, *score;
    w.a = (asd_maha){
        .G = G, .D = D, .weight = w.p->weight, .one_centre = w.p->centre == ASD_CENTRE_ALL};
    for (int64_t g = 0; g < G; ++g)
        task[g].heads = heads_of(w.p, &task[g]);
    if (!st)
        st = make_products(&w, &b);
    w.axis   = asd_device_block(&b, (size_t)(G * w.K * D) * sizeof(double), "axes", &st);
    w.centre = asd_device_block(&b, (size_t)(G * D) * sizeof(double), "means", &st);
    w.place  = asd_device_block(&b, (size_t)(G * 2 * w.K) * sizeof(double), "means", &st);
    loo      = asd_device_block(&b, (size_t)(G * N) * 2 * sizeof(double), "scores", &st);
    score    = asd_device_block(&b, (size_t)(G * M) * 2 * sizeof(double), "scores", &st);
    if (!st && !(w.axes_out = malloc((size_t)(w.K * D) * sizeof(double))))
        st = ASD_FAIL(ASD_E_OOM, "no memory for %lld axes", (long long)w.K);
    if (!st)
        st = find_axes(&w);
    if (!st)
        st = score_weighted(&w, loo, score);
    free(w.axes_out);
    asd_device_blocks_clear(&b);
    return st;
}

asd_status maha_device(const void *params, asd_rows_task *task, int64_t n, asd_stream *s)
{
    const maha_params *p            = params;
    asd_stretches      weighted_how = {params, weighted_bytes, weighted_stretch};
    asd_stretches      whole_how    = {params, ledoit_wolf_bytes, ledoit_wolf_stretch};
    return asd_in_stretches(p->cov == COV_WEIGHTED ? &weighted_how : &whole_how, task, n, s);
}
