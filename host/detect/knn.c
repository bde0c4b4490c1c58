/* knn.c - distance to the nearest training clips (systems E10).
 *
 *   distance=cosine      1 - x' y / (|x| |y|); a row of zeros is at distance 1 from everything
 *   distance=euclidean   |x - y|
 *   take=mean|kth        of the k smallest: their mean, or the largest of them
 *   bank=all|domain      the neighbours are all training clips, or each domain's by itself
 * A bank of fewer than k clips gives all it has. Leave one out: the clip itself is no neighbour;
 * nothing else is fitted, so that is exact. Distances are exact to rounding in double, 0 between
 * clips that are there twice (bank.h).
 *
 * On a device (kernels/knn.h) distances are those of the CPU to 1e-7 of each: they are kept in
 * fp32.
 */
#include "detect/saved.h"
#include "detect/bank.h"
#include "detect/on_device.h"
#include "kernels/knn.h"

#include <math.h>

enum { COSINE, EUCLIDEAN };
enum { TAKE_MEAN, TAKE_KTH };
enum { BANK_ALL, BANK_DOMAIN };

typedef struct knn_params {
    int64_t k;
    int     distance, bank, take;
} knn_params;

static const asd_opt rows[] = {
    {"k", 0, ASD_OPT_INT, offsetof(knn_params, k), "1", 1, ASD_BANK_MAX_K, NULL, "clips",
     "nearest training clips"},
    {"distance", 0, ASD_OPT_CHOICE, offsetof(knn_params, distance), "cosine", 0, 0,
     "cosine|euclidean", "", "between two embeddings"},
    {"bank", 0, ASD_OPT_CHOICE, offsetof(knn_params, bank), "all", 0, 0, "all|domain", "",
     "search all training clips, or each domain by itself"},
    {"take", 0, ASD_OPT_CHOICE, offsetof(knn_params, take), "mean", 0, 0, "mean|kth", "",
     "mean of the k distances, or the k-th"},
    {0},
};

typedef struct knn_state {
    knn_params p;
    asd_bank   bank;
} knn_state;

static void knn_clear(void *state)
{
    asd_bank_clear(&((knn_state *)state)->bank);
}

static asd_status knn_fit(void *state, const void *params, const asd_train_rows *train,
                          const char *what, double *loo, int *heads)
{
    knn_state           *s     = state;
    const asd_clip_rows *x     = &train->stream[0];
    asd_counts           count = asd_count_domains(train->is_target, train->n);
    s->p                       = *(const knn_params *)params;
    *heads                     = s->p.bank == BANK_DOMAIN && count.n[0] && count.n[1] ? 2 : 1;
    ASD_TRY(asd_bank_fit(&s->bank, x->x, x->n, x->D, *heads == 2 ? train->is_target : NULL,
                         s->p.distance == COSINE, what));
    return asd_bank_leave_out(&s->bank, s->p.k, s->p.take == TAKE_KTH, loo);
}

static asd_status knn_score(const void *state, const asd_clip_rows *stream, double *score)
{
    const knn_state *s = state;
    return asd_bank_score(&s->bank, stream->x, stream->n, s->p.k, s->p.take == TAKE_KTH, score);
}

/* --- many machines on a device --- */

static const char *knn_lacks(const void *params)
{
    const knn_params *p = params;
    return p->distance != COSINE ? "distance=euclidean" : p->k > ASD_KNN_MOST ? "k above 32" : NULL;
}

static asd_knn search_of(const knn_params *p, int64_t G, int64_t N, int64_t M, int64_t D)
{
    return (asd_knn){.G         = G,
                     .N         = N,
                     .M         = M,
                     .D         = D,
                     .k         = (int)p->k,
                     .by_domain = p->bank == BANK_DOMAIN,
                     .kth       = p->take == TAKE_KTH};
}

static double knn_bytes(const void *params, double G, double N, double M, double D)
{
    double  most = fmax(N, M);
    asd_knn a    = search_of(params, 1, (int64_t)N, (int64_t)most, (int64_t)D);
    return G * ((N + M) * D * 4 + N + 8 + (double)asd_knn_work(&a) + 2 * (N + M) * 8);
}

/* A machine without one of the domains has one bank, whatever the parameters: both its scores are
 * the distances to what there is. */
static void one_bank(double *score, int64_t n, int column)
{
    for (int64_t i = 0; i < n; ++i)
        score[2 * i] = score[2 * i + 1] = score[2 * i + column];
}

static asd_status knn_stretch(const void *params, asd_rows_task *task, int64_t G, asd_stream *s)
{
    asd_device_blocks b = {.gpu = asd_stream_gpu(s)};
    asd_device_rows   y;
    asd_status        st  = asd_device_rows_upload(task, G, s, &b, &y);
    asd_knn           own = search_of(params, G, y.N, y.N, y.D), a = own;
    own.itself      = 1;
    a.M             = y.M;
    int64_t work[2] = {asd_knn_work(&own), asd_knn_work(&a)};
    void   *scratch = asd_device_block(&b, (size_t)work[work[1] > work[0]], "distances", &st);
    double *loo     = asd_device_block(&b, (size_t)(G * y.N) * 2 * sizeof *loo, "scores", &st);
    double *score   = asd_device_block(&b, (size_t)(G * y.M) * 2 * sizeof *score, "scores", &st);
    if (!st)
        st = asd_knn_cosine(&own, y.train, y.n, y.is_target, y.train, y.n, scratch, loo, s);
    if (!st)
        st = asd_knn_cosine(&a, y.train, y.n, y.is_target, y.test, y.m, scratch, score, s);
    for (int64_t g = 0; g < G && !st; ++g) {
        asd_rows_task *t = &task[g];
        t->heads         = a.by_domain && asd_rows_two_domains(t) ? 2 : 1;
        st               = asd_device_take(s, loo, g, y.N, 2, t->train.n, t->loo);
        if (!st)
            st = asd_device_take(s, score, g, y.M, 2, t->test.n, t->score);
        if (!st && t->heads == 1) {
            int column = a.by_domain && t->is_target[0];
            one_bank(t->loo, t->train.n, column);
            one_bank(t->score, t->test.n, column);
        }
    }
    asd_device_blocks_clear(&b);
    return st;
}

static asd_status knn_device(const void *params, asd_rows_task *task, int64_t n, asd_stream *s)
{
    asd_stretches how = {params, knn_bytes, knn_stretch};
    return asd_in_stretches(&how, task, n, s);
}

static void knn_fields(void *state, const void *params, asd_saved *v)
{
    knn_state *s      = state;
    asd_bank  *b      = &s->bank;
    int64_t    groups = b->groups, columns = asd_saved_joined(v);
    s->p      = *(const knn_params *)params;
    b->cosine = s->p.distance == COSINE;
    asd_saved_int(v, "groups", &groups, 1, 2);
    asd_saved_int(v, "columns", &b->D, columns, columns);
    asd_saved_int(v, "clips", &b->n, 0, INT32_MAX);
    if (!asd_saved_ok(v))
        return;
    asd_saved_int(v, "source_clips", &b->first[1], 0, b->n);
    asd_saved_int(v, "source_zeros", &b->zeros[0], 0, INT32_MAX);
    asd_saved_int(v, "target_zeros", &b->zeros[1], 0, INT32_MAX);
    if (!asd_saved_ok(v))
        return;
    b->groups   = (int)groups;
    b->first[2] = b->n;
    asd_saved_ints(v, "origin", &b->origin, b->n + b->zeros[0] + b->zeros[1]);
    asd_saved_floats(v, "rows", &b->row, b->n * b->D);
    asd_saved_floats(v, "units", &b->unit, b->n * b->D);
    asd_saved_reals(v, "scale", &b->scale, b->n);
    asd_saved_reals(v, "norm", &b->norm, b->n);
    asd_saved_reals(v, "centre", &b->centre, b->D);
    asd_saved_values(v, "widest", &b->widest, 1);
    asd_saved_values(v, "reach", &b->reach, 1);
}

const asd_detector asd_detector_knn = {
    .name         = "knn",
    .about        = "distance to the nearest training clips; streams are joined",
    .params       = rows,
    .params_bytes = sizeof(knn_params),
    .state_bytes  = sizeof(knn_state),
    .clear        = knn_clear,
    .max_streams  = 1,
    .fit_rows     = knn_fit,
    .score_rows   = knn_score,
    .fields       = knn_fields,
    .device_lacks = knn_lacks,
    .run_device   = knn_device,
};
