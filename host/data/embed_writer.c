/* embed_writer.c - see embed_run_parts.h. The only thread that calls HDF5 while a job computes. */
#include "base/log.h"
#include "data/embed_run_parts.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { QUEUE = 2, PART_BYTES = 64 << 20 }; /* bytes of results held before they become a part */

/* One clip: output k has rows[k] rows of D[k], side by side in y. */
typedef struct result {
    int64_t  clip, S;
    int64_t *rows; /* (n_outputs) */
    float   *y;
} result;

struct asd_embed_sink {
    const asd_embed_job    *j;
    asd_embed_parts *const *parts;
    pthread_t               thread;
    pthread_mutex_t         lock;
    pthread_cond_t          changed;
    result                 *queue[QUEUE]; /* batches, oldest first */
    int64_t                 length[QUEUE];
    int                     waiting, ending;
    asd_status              status;
    char                    text[4096];
    /* of the thread alone */
    result *kept; /* (part_clips + batch) */
    int64_t n_kept;
    size_t  bytes;
    double  since;
};

static void free_results(result *r, int64_t n)
{
    for (int64_t i = 0; r && i < n; ++i) {
        free(r[i].rows);
        free(r[i].y);
    }
}

static int by_number(const void *a, const void *b)
{
    const result *x = a, *y = b;
    return (x->clip > y->clip) - (x->clip < y->clip); /* the order of names */
}

/* Values of outputs first .. first + n - 1 of a clip. */
static int64_t n_values(const asd_embed_sink *s, const int64_t *rows, int64_t first, int64_t n)
{
    int64_t values = 0;
    for (int64_t k = first; k < first + n; ++k)
        values += rows[k] * s->j->embedder.D[k];
    return values;
}

/* One output's slice of the kept results, as a part. */
static asd_status save_output(asd_embed_sink *s, int64_t k)
{
    const asd_embed_output *o = &s->j->output[k];
    const int64_t           D = s->j->embedder.D[o->first];
    const size_t            n = (size_t)s->n_kept;
    asd_embeddings          e = {.form = o->form, .N = s->n_kept, .rows = o->n, .D = D};
    asd_status              st;
    if (o->form == ASD_EMBED_ROWS)
        for (size_t i = 0; i < n; ++i)
            e.rows = s->kept[i].rows[o->first] > e.rows ? s->kept[i].rows[o->first] : e.rows;
    e.x         = malloc(n * (size_t)(e.rows * D) * sizeof *e.x);
    e.clip      = malloc(n * sizeof *e.clip);
    e.audio     = malloc(n * sizeof *e.audio);
    e.n_samples = malloc(n * sizeof *e.n_samples);
    e.n_rows    = o->form == ASD_EMBED_ROWS ? malloc(n * sizeof *e.n_rows) : NULL;
    if (!e.x || !e.clip || !e.audio || !e.n_samples || (o->form == ASD_EMBED_ROWS && !e.n_rows)) {
        st = ASD_FAIL(ASD_E_OOM, "%s: no memory for a part of %zu clips", o->path, n);
        goto done;
    }
    for (size_t i = 0; i < n; ++i) {
        const result *r      = &s->kept[i];
        const int64_t values = n_values(s, r->rows, o->first, o->n);
        float        *to     = e.x + (int64_t)i * e.rows * D;
        memcpy(to, r->y + n_values(s, r->rows, 0, o->first), (size_t)values * sizeof *to);
        for (int64_t v = values; v < e.rows * D; ++v)
            to[v] = NAN;
        e.clip[i]      = s->j->clip[r->clip].name;
        e.audio[i]     = s->j->clip[r->clip].audio;
        e.n_samples[i] = r->S;
        if (e.n_rows)
            e.n_rows[i] = r->rows[o->first];
    }
    st = asd_embed_parts_add(s->parts[k], &e);
done:
    free(e.x);
    free(e.clip);
    free(e.audio);
    free(e.n_samples);
    free(e.n_rows);
    return st;
}

static asd_status save_part(asd_embed_sink *s)
{
    asd_status st = ASD_OK;
    if (s->n_kept)
        qsort(s->kept, (size_t)s->n_kept, sizeof *s->kept, by_number);
    for (int64_t k = 0; k < s->j->n_outputs && !st && s->n_kept; ++k)
        if (s->parts[k])
            st = save_output(s, k);
    free_results(s->kept, s->n_kept);
    s->n_kept = 0;
    s->bytes  = 0;
    s->since  = asd_now();
    return st;
}

static asd_status keep_batch(asd_embed_sink *s, const result *r, int64_t n)
{
    for (int64_t i = 0; i < n; ++i) {
        s->bytes += (size_t)n_values(s, r[i].rows, 0, s->j->embedder.n_outputs) * sizeof(float);
        s->kept[s->n_kept++] = r[i];
    }
    return s->n_kept >= s->j->part_clips || s->bytes >= PART_BYTES ||
                   asd_now() - s->since >= s->j->part_seconds
               ? save_part(s)
               : ASD_OK;
}

static void *write_results(void *ctx)
{
    asd_embed_sink *s  = ctx;
    asd_status      st = ASD_OK;
    pthread_mutex_lock(&s->lock);
    for (;;) {
        while (!s->waiting && !s->ending)
            pthread_cond_wait(&s->changed, &s->lock);
        if (!s->waiting)
            break;
        result *batch = s->queue[0];
        int64_t n     = s->length[0];
        pthread_mutex_unlock(&s->lock);
        if (st)
            free_results(batch, n);
        else
            st = keep_batch(s, batch, n);
        free(batch);
        pthread_mutex_lock(&s->lock);
        if (st && !s->status) {
            s->status = st;
            snprintf(s->text, sizeof s->text, "%s", asd_error_text());
        }
        s->queue[0]  = s->queue[1];
        s->length[0] = s->length[1];
        --s->waiting;
        pthread_cond_broadcast(&s->changed);
    }
    pthread_mutex_unlock(&s->lock);
    if (!st && (st = save_part(s))) {
        s->status = st;
        snprintf(s->text, sizeof s->text, "%s", asd_error_text());
    }
    return NULL;
}

asd_status asd_embed_writer_new(const asd_embed_job *j, asd_embed_parts *const *parts,
                                asd_embed_sink **out)
{
    asd_embed_sink *s = calloc(1, sizeof *s);
    *out              = NULL;
    if (!s || !(s->kept = calloc((size_t)(j->part_clips + j->batch), sizeof *s->kept))) {
        free(s);
        return ASD_FAIL(ASD_E_OOM, "no memory for a part of %lld clips", (long long)j->part_clips);
    }
    s->j     = j;
    s->parts = parts;
    s->since = asd_now();
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
    if (pthread_create(&s->thread, NULL, write_results, s)) {
        pthread_mutex_destroy(&s->lock);
        pthread_cond_destroy(&s->changed);
        free(s->kept);
        free(s);
        return ASD_FAIL(ASD_E_OOM, "cannot start the writer thread");
    }
    *out = s;
    return ASD_OK;
}

/* Output k of clip number i of a batch, for every k. */
static asd_status copy_result(const asd_embed_sink *s, int64_t i, const int64_t *rows,
                              const float *const *y, result *r)
{
    const int64_t n      = s->j->embedder.n_outputs;
    const size_t  values = (size_t)n_values(s, rows, 0, n);
    r->rows              = malloc((size_t)n * sizeof *rows);
    r->y                 = malloc(values * sizeof *r->y);
    if (!r->rows || !r->y)
        return ASD_FAIL(ASD_E_OOM, "no memory for %zu values of a clip", values);
    memcpy(r->rows, rows, (size_t)n * sizeof *rows);
    for (int64_t k = 0; k < n; ++k) {
        const int64_t one = n_values(s, rows, k, 1);
        memcpy(r->y + n_values(s, rows, 0, k), y[k] + i * one, (size_t)one * sizeof *r->y);
    }
    return ASD_OK;
}

asd_status asd_embed_writer_put(asd_embed_sink *s, const int64_t *which, int64_t B, int64_t S,
                                const int64_t *rows, const float *const *y)
{
    asd_status st    = ASD_OK;
    result    *batch = calloc((size_t)B, sizeof *batch);
    for (int64_t i = 0; batch && i < B && !st; ++i) {
        batch[i] = (result){.clip = which[i], .S = S};
        st       = copy_result(s, i, rows, y, &batch[i]);
    }
    if (!batch)
        st = ASD_FAIL(ASD_E_OOM, "no memory for %lld results", (long long)B);
    pthread_mutex_lock(&s->lock);
    while (s->waiting == QUEUE && !s->status)
        pthread_cond_wait(&s->changed, &s->lock);
    if (!st && s->status)
        st = ASD_FAIL(s->status, "%s", s->text);
    if (!st) {
        s->queue[s->waiting]    = batch;
        s->length[s->waiting++] = B;
        pthread_cond_broadcast(&s->changed);
        batch = NULL;
    }
    pthread_mutex_unlock(&s->lock);
    if (batch)
        free_results(batch, B);
    free(batch);
    return st;
}

asd_status asd_embed_writer_end(asd_embed_sink *s)
{
    pthread_mutex_lock(&s->lock);
    s->ending = 1;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
    asd_status st = s->status ? ASD_FAIL(s->status, "%s", s->text) : ASD_OK;
    free_results(s->kept, s->n_kept);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->changed);
    free(s->kept);
    free(s);
    return st;
}
