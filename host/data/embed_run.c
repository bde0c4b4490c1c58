/* embed_run.c - see embed_run.h. */
#include "data/embed_run.h"

#include "base/log.h"
#include "base/stop.h"
#include "data/embed_key.h"
#include "data/embed_run_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PART_CLIPS = 256, PART_SECONDS = 20 };

static void shard_range(const asd_embed_job *j, int64_t *first, int64_t *end)
{
    embed_shard_range(j, j->n_shards > 1 ? j->shard : 1, first, end);
}

static asd_status target(const asd_embed_job *j, const asd_embed_output *o, char path[PATH_MAX])
{
    return j->n_shards > 1 ? asd_embed_shard_path(o->path, j->shard, j->n_shards, path)
                           : asd_path(path, "%s", o->path);
}

/* Of the clips that need not be computed: their audio must be known. */
static asd_status hash_range(asd_embed_job *j, const unsigned char *wanted, int64_t first,
                             int64_t end)
{
    int64_t *which = malloc((size_t)(end - first + 1) * sizeof *which), n = 0;
    if (!which)
        return ASD_FAIL(ASD_E_OOM, "no memory for %lld clips", (long long)(end - first));
    for (int64_t i = first; i < end; ++i)
        if (!wanted || wanted[i])
            which[n++] = i;
    asd_status st = asd_embed_hash(j->clip, which, n);
    free(which);
    return st;
}

/* --- is a file what is wanted? --- */

/* How the file's clips differ from the wanted ones, in words; "" when they do not. */
static asd_status compare_clips(asd_embed_job *j, const asd_embeddings *have, int64_t first,
                                int64_t end, char *out, size_t size)
{
    int64_t     i = 0, k = first, fresh = 0, gone = 0, changed = 0;
    const char *example = "";
    *out                = 0;
    for (int pass = 0; pass < 2; ++pass) {
        for (i = 0, k = first; i < have->N || k < end;) {
            int side = i == have->N ? 1 : k == end ? -1 : strcmp(have->clip[i], j->clip[k].name);
            if (!pass && side) {
                gone += side < 0;
                fresh += side > 0;
                example = side < 0 ? have->clip[i] : j->clip[k].name;
            } else if (pass && strcmp(have->audio[i], j->clip[k].audio)) {
                ++changed;
                example = j->clip[k].name;
            }
            i += side <= 0;
            k += side >= 0;
        }
        if (pass || fresh || gone)
            break;
        ASD_TRY(hash_range(j, NULL, first, end));
    }
    if (fresh || gone || changed)
        snprintf(out, size, "%lld clips are new, %lld gone, %lld sound otherwise (%s)",
                 (long long)fresh, (long long)gone, (long long)changed, example);
    return ASD_OK;
}

static asd_status refuse(const asd_embed_job *j, const char *path, const char *why)
{
    if (!asd_is_file(path)) /* a folder, a device: nothing that -f should replace */
        return ASD_FAIL(ASD_E_USAGE, "%s: is there and is no file, so it cannot become one", path);
    if (j->force) {
        asd_note("%s: made anew: %s", path, why);
        return ASD_OK;
    }
    return ASD_FAIL(ASD_E_DATA, "%s: is there, but not what is wanted: %s; -f makes it anew", path,
                    why);
}

static asd_status check_complete(asd_embed_job *j, asd_embed_output *o, const char *path)
{
    char            why[1024] = "", *method = NULL;
    asd_embed_file *f = NULL;
    int64_t         first, end;
    asd_status      st = asd_embed_open(path, &f);
    shard_range(j, &first, &end);
    if (!st)
        st = asd_embed_key_method(path, asd_embed_head(f)->key_material, &method);
    if (!st && strcmp(method, o->method))
        asd_embed_difference(method, o->method, why, sizeof why);
    else if (!st)
        st = compare_clips(j, asd_embed_head(f), first, end, why, sizeof why);
    if (!st && *why) {
        st = refuse(j, path, why);
    } else if (!st) {
        o->up_to_date = 1;
        snprintf(o->key, sizeof o->key, "%s", asd_embed_head(f)->key);
    }
    free(method);
    asd_embed_close(f);
    return st;
}

asd_status asd_embed_check(asd_embed_job *j)
{
    char    path[PATH_MAX];
    int64_t first, end;
    shard_range(j, &first, &end);
    if (first == end)
        return ASD_FAIL(ASD_E_USAGE, "shard %lld of %lld has none of the %lld clips",
                        (long long)j->shard, (long long)j->n_shards, (long long)j->n);
    for (int64_t i = 0; i < j->n_outputs; ++i) {
        asd_embed_output *o = &j->output[i];
        o->up_to_date       = 0;
        ASD_TRY(target(j, o, path));
        switch (asd_embed_look(path)) {
        case ASD_EMBED_ABSENT: break;
        case ASD_EMBED_UNFINISHED: asd_note("%s: was never finished, made anew", path); break;
        case ASD_EMBED_COMPLETE: ASD_TRY(check_complete(j, o, path)); break;
        case ASD_EMBED_OTHER: ASD_TRY(refuse(j, path, asd_error_text())); break;
        }
    }
    return ASD_OK;
}

/* --- what is left to do --- */

typedef struct by_length {
    int64_t S, clip;
} by_length;

/* Clips are sorted by name, so their numbers order equal lengths. */
static int compare_lengths(const void *a, const void *b)
{
    const by_length *x = a, *y = b;
    if (x->S != y->S)
        return x->S < y->S ? -1 : 1;
    return (x->clip > y->clip) - (x->clip < y->clip);
}

static asd_status check_length(const asd_embed_job *j, const asd_embed_clip *clip, int64_t S)
{
    if (S < j->embedder.min_samples)
        return ASD_FAIL(ASD_E_DATA, "%s: %lld samples at %d Hz, the encoder wants at least %lld",
                        clip->path, (long long)S, j->ear.rate_hz,
                        (long long)j->embedder.min_samples);
    if (j->embedder.max_samples && S > j->embedder.max_samples)
        return ASD_FAIL(ASD_E_DATA,
                        "%s: %lld samples at %d Hz, the encoder takes at most %lld (--length first "
                        "cuts clips)",
                        clip->path, (long long)S, j->ear.rate_hz,
                        (long long)j->embedder.max_samples);
    return ASD_OK;
}

/* A clip is done when every output has it under one hash, and that is what it sounds like now. */
static asd_status find_done(asd_embed_job *j, asd_embed_parts *const *parts, int64_t first,
                            int64_t end, unsigned char *done)
{
    for (int64_t i = first; i < end; ++i) {
        const char *hash = NULL;
        done[i]          = 1;
        for (int64_t k = 0; k < j->n_outputs && done[i]; ++k) {
            const char *other = parts[k] ? asd_embed_parts_audio(parts[k], j->clip[i].name) : hash;
            done[i]           = !parts[k] || (other && (!hash || !strcmp(hash, other)));
            hash              = other;
        }
    }
    ASD_TRY(hash_range(j, done, first, end));
    for (int64_t i = first; i < end; ++i)
        for (int64_t k = 0; k < j->n_outputs && done[i]; ++k)
            if (parts[k] &&
                strcmp(asd_embed_parts_audio(parts[k], j->clip[i].name), j->clip[i].audio))
                done[i] = 0;
    return ASD_OK;
}

static asd_status make_order(asd_embed_job *j, const unsigned char *done, int64_t first,
                             int64_t end, embed_work *w)
{
    by_length *list = malloc((size_t)(end - first) * sizeof *list);
    asd_status st   = ASD_OK;
    w->order        = malloc((size_t)(end - first) * sizeof *w->order);
    w->S            = malloc((size_t)(end - first) * sizeof *w->S);
    if (!list || !w->order || !w->S)
        st = ASD_FAIL(ASD_E_OOM, "no memory for %lld clips", (long long)(end - first));
    for (int64_t i = first; i < end && !st; ++i) {
        int64_t S = asd_embed_samples(&j->ear, &j->clip[i].info);
        st        = check_length(j, &j->clip[i], S);
        if (!done[i])
            list[w->n++] = (by_length){S, i};
    }
    if (!st && w->n)
        qsort(list, (size_t)w->n, sizeof *list, compare_lengths);
    for (int64_t i = 0; i < w->n && !st; ++i) {
        w->order[i] = list[i].clip;
        w->S[i]     = list[i].S;
    }
    free(list);
    return st;
}

/* --- the middle: batches through the embedder --- */

static asd_status check_finite(const asd_embed_job *j, const embed_work *w, int64_t first,
                               int64_t B)
{
    for (int64_t k = 0; k < j->embedder.n_outputs; ++k) {
        const int64_t values = w->rows[k] * j->embedder.D[k];
        for (int64_t i = 0; i < B * values; ++i)
            if (!isfinite(w->y[k][i]))
                return ASD_FAIL(ASD_E_NUMERIC, "%s: its embedding has %g at value %lld",
                                j->clip[w->order[first + i / values]].path, (double)w->y[k][i],
                                (long long)(i % values));
    }
    return ASD_OK;
}

static asd_status run_batch(asd_embed_job *j, embed_work *w, int64_t first, int64_t B, float *x)
{
    int64_t S = w->S[first], one = j->ear.n_signals * S;
    for (int64_t i = 0; i < B; ++i) {
        float *clip = NULL;
        ASD_TRY(asd_embed_reader_next(w->reader, &clip));
        memcpy(x + i * one, clip, (size_t)one * sizeof *x);
        free(clip);
    }
    ASD_TRY(j->embedder.run(j->embedder.ctx, B, S, x, w->y, w->rows));
    ASD_TRY(check_finite(j, w, first, B));
    return asd_embed_writer_put(w->writer, w->order + first, B, S, w->rows, w->y);
}

static asd_status run_batches(asd_embed_job *j, embed_work *w, int64_t done)
{
    asd_status   st      = ASD_OK;
    int64_t      longest = w->S[w->n - 1];
    asd_progress bar;
    float       *x = malloc((size_t)(j->batch * j->ear.n_signals * longest) * sizeof *x);
    if (!x)
        return ASD_FAIL(ASD_E_OOM,
                        "no memory for %lld clips of %lld samples; a smaller --batch "
                        "needs less",
                        (long long)j->batch, (long long)longest);
    if (j->what)
        asd_progress_init(&bar, j->what, "clips", done + w->n, done);
    for (int64_t i = 0, B; i < w->n && !st; i += B) {
        for (B = 1; B < j->batch && i + B < w->n && w->S[i + B] == w->S[i];)
            ++B;
        st = run_batch(j, w, i, B, x);
        if (st)
            break;
        j->computed += B;
        if (j->what)
            asd_progress_step(&bar, done + i + B, NULL);
        if (asd_stop_wanted() && i + B < w->n)
            st = ASD_FAIL(ASD_E_STOPPED, "stopped by %s; start again to go on", asd_stop_signal());
    }
    if (j->what)
        asd_progress_done(&bar);
    free(x);
    return st;
}

/* Reader and writer threads around run_batches. A failure of the middle still saves what it has
 * made; that is worth nothing only when the writer failed itself. */
static asd_status run_pipeline(asd_embed_job *j, asd_embed_parts *const *parts, embed_work *w,
                               int64_t done)
{
    char    text[4096];
    int64_t ahead = 2 * j->batch + j->readers;
    ASD_TRY(asd_embed_writer_new(j, parts, &w->writer));
    asd_status st = asd_embed_reader_new(j->clip, w->order, w->n, &j->ear, (int)j->readers,
                                         ahead < w->n ? ahead : w->n, &w->reader);
    if (!st)
        st = run_batches(j, w, done);
    snprintf(text, sizeof text, "%s", asd_error_text());
    asd_embed_reader_free(w->reader);
    asd_status saved = asd_embed_writer_end(w->writer);
    if (saved && (!st || st == ASD_E_STOPPED))
        return saved;
    return st ? ASD_FAIL(st, "%s", text) : ASD_OK;
}

/* --- the whole job --- */

static asd_status finish(asd_embed_job *j, asd_embed_parts *const *parts, int64_t first,
                         int64_t end)
{
    asd_status st    = ASD_OK;
    size_t     n     = (size_t)(end - first);
    char     **clip  = malloc(n * sizeof *clip);
    char     **audio = malloc(n * sizeof *audio);
    if (!clip || !audio)
        st = ASD_FAIL(ASD_E_OOM, "no memory for %zu clips", n);
    for (size_t i = 0; i < n && !st; ++i) {
        clip[i]  = j->clip[first + (int64_t)i].name;
        audio[i] = j->clip[first + (int64_t)i].audio;
    }
    for (int64_t k = 0; k < j->n_outputs && !st; ++k)
        if (parts[k])
            st = asd_embed_parts_join(parts[k], clip, audio, (int64_t)n, j->output[k].key);
    free(clip);
    free(audio);
    return st;
}

static asd_status make(asd_embed_job *j, asd_embed_parts **parts, int64_t first, int64_t end)
{
    asd_status     st   = ASD_OK;
    embed_work     w    = {0};
    unsigned char *done = calloc((size_t)j->n, 1);
    char           path[PATH_MAX];
    double         start = asd_now();
    if (!done)
        return ASD_FAIL(ASD_E_OOM, "no memory for %lld clips", (long long)j->n);
    for (int64_t k = 0; k < j->n_outputs; ++k) {
        if (j->output[k].up_to_date)
            continue;
        ASD_GO(out, st, target(j, &j->output[k], path));
        ASD_GO(out, st, asd_embed_parts_open(path, j->output[k].method, &parts[k]));
    }
    ASD_GO(out, st, find_done(j, parts, first, end, done));
    ASD_GO(out, st, make_order(j, done, first, end, &w));
    if (w.n < end - first)
        asd_note("%lld of %lld clips are done already", (long long)(end - first - w.n),
                 (long long)(end - first));
    w.y    = calloc((size_t)j->embedder.n_outputs + 1, sizeof(*w.y));
    w.rows = calloc((size_t)j->embedder.n_outputs + 1, sizeof *w.rows);
    if (!w.y || !w.rows)
        ASD_GO(out, st, ASD_FAIL(ASD_E_OOM, "no memory for outputs"));
    if (w.n)
        ASD_GO(out, st, run_pipeline(j, parts, &w, end - first - w.n));
    ASD_GO(out, st, finish(j, parts, first, end));
    j->seconds += asd_now() - start;
out:
    free(w.y);
    free(w.rows);
    free(w.order);
    free(w.S);
    free(done);
    return st;
}

asd_status asd_embed_run(asd_embed_job *j)
{
    int64_t first, end, todo = 0;
    ASD_ASSERT(j->n > 0 && j->n_outputs > 0 && j->batch > 0 && j->readers > 0);
    if (!j->part_clips)
        j->part_clips = PART_CLIPS;
    if (!(j->part_seconds > 0))
        j->part_seconds = PART_SECONDS;
    shard_range(j, &first, &end);
    ASD_TRY(asd_embed_check(j));
    for (int64_t k = 0; k < j->n_outputs; ++k) {
        char path[PATH_MAX];
        todo += !j->output[k].up_to_date;
        if (j->output[k].up_to_date) {
            ASD_TRY(target(j, &j->output[k], path));
            ASD_TRY(asd_embed_parts_remove(path));
        }
    }
    asd_status        st    = ASD_OK;
    asd_embed_parts **parts = calloc((size_t)j->n_outputs + 1, sizeof(*parts));
    if (!parts)
        return ASD_FAIL(ASD_E_OOM, "no memory for %lld outputs", (long long)j->n_outputs);
    if (todo)
        st = make(j, parts, first, end);
    for (int64_t k = 0; k < j->n_outputs; ++k)
        asd_embed_parts_close(parts[k]);
    free(parts);
    for (int64_t k = 0; k < j->n_outputs && !st && j->n_shards > 1; ++k)
        st = asd_embed_join_if_last(j, &j->output[k]);
    return st;
}
