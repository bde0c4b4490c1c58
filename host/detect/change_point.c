/* change_point.c - how far the distance from normal drifts within a clip (systems E6).
 *
 *   a_t = Mahalanobis distance (E1) of the clip's t-th row, in axes of all training clips' rows
 *   S_t = sum over u <= t of (a_u - mean a)
 *   stat = (max S - min S) / (std a  sqrt(T))        score = mean of stat over the streams
 * One head per domain whose mean the distances are from. A clip of one row, or of constant
 * distance, has 0. Leave one out: the domain's mean without the clip's rows, exactly; the axes are
 * kept.
 */
#include "detect/saved.h"
#include "detect/basis.h"

#include "base/par.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct drift_params {
    int64_t k;
    double  weight;
} drift_params;

static const asd_opt rows[] = {
    {"k", 0, ASD_OPT_INT, offsetof(drift_params, k), "128", 1, ASD_MAX_COLUMNS, NULL, "axes",
     "principal axes of the domain-centred covariance of rows"},
    {"weight", 0, ASD_OPT_REAL, offsetof(drift_params, weight), "0", 0, 1e9, NULL, "",
     "of a target row in that covariance; 0 = source rows / target rows"},
    {0},
};

typedef struct drift_state {
    int       heads, n_streams;
    asd_basis basis[ASD_MAX_STREAMS];
} drift_state;

static void drift_clear(void *state)
{
    for (int i = 0; i < ASD_MAX_STREAMS; ++i)
        asd_basis_clear(&((drift_state *)state)->basis[i]);
}

/* The rows that clips have, side by side. *out: (total, D) owned; *is_target: (total) owned. */
static asd_status all_rows(const asd_clip_rows *x, const unsigned char *clip_is_target,
                           const char *what, float **out, unsigned char **is_target, int64_t *total)
{
    *total = 0;
    for (int64_t i = 0; i < x->n; ++i)
        *total += asd_clip_length(x, i);
    *out       = malloc((size_t)(*total * x->D) * sizeof **out + 1);
    *is_target = malloc((size_t)*total + 1);
    if (!*out || !*is_target)
        return ASD_FAIL(ASD_E_OOM, "%s: no memory for %lld rows", what, (long long)*total);
    int64_t at = 0;
    for (int64_t i = 0; i < x->n; ++i) {
        int64_t T = asd_clip_length(x, i);
        memcpy(*out + at * x->D, x->x + i * x->rows * x->D, (size_t)(T * x->D) * sizeof **out);
        memset(*is_target + at, clip_is_target[i], (size_t)T);
        at += T;
    }
    return ASD_OK;
}

/* a: (T) */
static double range_of_sums(const double *a, int64_t T)
{
    double mean = 0, square = 0, sum = 0, low = 0, high = 0;
    for (int64_t t = 0; t < T; ++t)
        mean += a[t] / (double)T;
    for (int64_t t = 0; t < T; ++t)
        square += (a[t] - mean) * (a[t] - mean);
    /* what rounding leaves of a constant is no drift */
    if (!(square > 1e-24 * mean * mean * (double)T))
        return 0;
    for (int64_t t = 0; t < T; ++t) {
        sum += a[t] - mean;
        low  = t ? fmin(low, sum) : sum;
        high = t ? fmax(high, sum) : sum;
    }
    return (high - low) / (sqrt(square / (double)T) * sqrt((double)T));
}

/* y: (T, k) coordinates; centre: (k). a: (T) scratch */
static double drift_of(const double *y, int64_t T, int64_t k, const double *centre, double *a)
{
    for (int64_t t = 0; t < T; ++t) {
        double sum = 0;
        for (int64_t i = 0; i < k; ++i)
            sum += (y[t * k + i] - centre[i]) * (y[t * k + i] - centre[i]);
        a[t] = sqrt(sum);
    }
    return range_of_sums(a, T);
}

/* Where the mean of domain h falls without the T rows y; 0 when nothing is left. */
static int centre_without(const asd_basis *b, const double *y, int64_t T, int h, double *centre)
{
    int64_t N = b->one_centre ? b->count.n[0] + b->count.n[1] : b->count.n[h];
    for (int64_t i = 0; i < b->k; ++i) {
        double sum = (double)N * b->target[h][i];
        for (int64_t t = 0; t < T; ++t)
            sum -= y[t * b->k + i];
        centre[i] = N > T ? sum / (double)(N - T) : 0;
    }
    return N > T;
}

typedef struct drift_job {
    const drift_state   *s;
    const asd_clip_rows *x;
    const asd_basis     *b;
    const unsigned char *is_target; /* of training clips; NULL for others */
    double              *y;         /* (chunks, rows, k) scratch */
    double              *a;         /* (chunks, rows) scratch */
    double              *score;     /* (n, 2): each stream adds its share */
} drift_job;

enum { CHUNK = 8 };

static void drift_chunk(void *ctx, int64_t chunk)
{
    const drift_job     *j = ctx;
    const asd_basis     *b = j->b;
    const asd_clip_rows *x = j->x;
    double              *y = j->y + chunk * x->rows * b->k, *a = j->a + chunk * x->rows;
    for (int64_t i = chunk * CHUNK; i < x->n && i < (chunk + 1) * CHUNK; ++i) {
        int64_t T = asd_clip_length(x, i);
        asd_basis_project(b, x->x + i * x->rows * x->D, T, y);
        for (int h = 0; h < 2; ++h) {
            double        own[ASD_MAX_COLUMNS], drift = 0;
            const double *centre = b->target[h];
            int           there  = 1;
            if (j->is_target && (j->s->heads == 1 || h == j->is_target[i])) {
                there  = centre_without(b, y, T, h, own);
                centre = own;
            }
            drift = there ? drift_of(y, T, b->k, centre, a) : (double)INFINITY;
            j->score[2 * i + h] += drift / (double)j->s->n_streams;
        }
    }
}

static asd_status run(const drift_state *s, const asd_clip_rows *stream,
                      const unsigned char *is_target, double *score)
{
    memset(score, 0, (size_t)(2 * stream[0].n) * sizeof *score);
    for (int c = 0; c < s->n_streams; ++c) {
        const asd_clip_rows *x      = &stream[c];
        int64_t              chunks = (x->n + CHUNK - 1) / CHUNK;
        drift_job            j      = {s, x, &s->basis[c], is_target, NULL, NULL, score};
        j.y = malloc((size_t)(chunks * x->rows * s->basis[c].k) * sizeof *j.y);
        j.a = malloc((size_t)(chunks * x->rows) * sizeof *j.a);
        if (j.y && j.a)
            asd_par_for(chunks, drift_chunk, &j);
        asd_status st = j.y && j.a ? ASD_OK
                                   : ASD_FAIL(ASD_E_OOM, "no memory for %lld clips of %lld rows",
                                              (long long)x->n, (long long)x->rows);
        free(j.y);
        free(j.a);
        ASD_TRY(st);
    }
    return ASD_OK;
}

static asd_status drift_fit(void *state, const void *params, const asd_train_rows *train,
                            const char *what, double *loo, int *heads)
{
    drift_state        *s     = state;
    const drift_params *p     = params;
    asd_counts          count = asd_count_domains(train->is_target, train->n);
    s->n_streams              = train->n_streams;
    *heads = s->heads = count.n[0] && count.n[1] ? 2 : 1;
    for (int c = 0; c < s->n_streams; ++c) {
        asd_basis_rule rule      = {.centre = s->heads == 2 ? ASD_CENTRE_DOMAIN : ASD_CENTRE_ALL,
                                    .k      = p->k,
                                    .weight = p->weight};
        float         *x         = NULL;
        unsigned char *is_target = NULL;
        int64_t        total;
        asd_status st = all_rows(&train->stream[c], train->is_target, what, &x, &is_target, &total);
        if (!st)
            st = asd_basis_fit(&s->basis[c], x, total, train->stream[c].D, is_target, &rule, what);
        free(x);
        free(is_target);
        ASD_TRY(st);
    }
    return run(s, train->stream, train->is_target, loo);
}

static asd_status drift_score(const void *state, const asd_clip_rows *stream, double *score)
{
    return run(state, stream, NULL, score);
}

static void drift_fields(void *state, const void *params, asd_saved *v)
{
    drift_state *s     = state;
    int64_t      heads = s->heads;
    (void)params;
    asd_saved_int(v, "heads", &heads, 1, 2);
    s->n_streams = asd_saved_streams(v);
    for (int c = 0; c < s->n_streams; ++c) {
        size_t was = asd_saved_enter(v, "stream", c);
        asd_saved_basis(v, "basis", &s->basis[c], asd_saved_width(v, c));
        asd_saved_leave(v, was);
    }
    s->heads = (int)heads;
}

const asd_detector asd_detector_change_point = {
    .name         = "change_point",
    .about        = "drift of the distance from normal within a clip; takes time-patch streams",
    .params       = rows,
    .params_bytes = sizeof(drift_params),
    .state_bytes  = sizeof(drift_state),
    .clear        = drift_clear,
    .min_streams  = 1,
    .max_streams  = ASD_MAX_STREAMS,
    .many_rows    = 1,
    .fit_rows     = drift_fit,
    .score_rows   = drift_score,
    .fields       = drift_fields,
};
