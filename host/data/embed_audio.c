/* embed_audio.c - see embed_audio.h. */
#include "data/embed_audio.h"

#include "audio/resample.h"
#include "base/file.h"
#include "base/par.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The rate, the channels and every sample. */
static asd_status hash_samples(const char *path, const float *x, const asd_wav_info *info,
                               char hex[33])
{
    char   parts[80];
    size_t values = (size_t)info->frames * (size_t)info->channels;
    asd_hash_bytes(x, values * sizeof *x, hex);
    int n = snprintf(parts, sizeof parts, "%d %d %s", info->rate_hz, info->channels, hex);
    if (n < 0 || n >= (int)sizeof parts)
        return ASD_FAIL(ASD_E_DATA, "%s: %d channels at %d Hz", path, info->channels,
                        info->rate_hz);
    asd_hash_bytes(parts, (size_t)n, hex);
    return ASD_OK;
}

int64_t asd_embed_samples(const asd_embed_ear *ear, const asd_wav_info *info)
{
    int64_t n = info->frames;
    if (info->rate_hz != ear->rate_hz) /* keep in step with asd_resample */
        n = (n * ear->rate_hz + info->rate_hz - 1) / info->rate_hz;
    return ear->max_samples && n > ear->max_samples ? ear->max_samples : n;
}

/* (frames, channels) -> (channels, frames) */
static asd_status split(const char *path, const float *x, const asd_wav_info *info, int n_signals,
                        float **y, int64_t *n)
{
    if (n_signals > info->channels)
        return ASD_FAIL(ASD_E_DATA, "%s: %d channels, want %d", path, info->channels, n_signals);
    *n = info->frames;
    *y = malloc((size_t)(info->frames * n_signals) * sizeof **y);
    if (!*y)
        return ASD_FAIL(ASD_E_OOM, "%s: no memory for its signals", path);
    for (int c = 0; c < n_signals; ++c)
        for (int64_t i = 0; i < info->frames; ++i)
            (*y)[c * info->frames + i] = x[i * info->channels + c];
    return ASD_OK;
}

/* *x becomes the same clip at the ear's rate. */
static asd_status change_rate(const asd_embed_ear *ear, float **x, asd_wav_info *info)
{
    float  *other = NULL;
    int64_t n     = 0;
    if (info->rate_hz == ear->rate_hz)
        return ASD_OK;
    ASD_TRY(
        asd_resample(*x, info->frames, info->channels, info->rate_hz, ear->rate_hz, &other, &n));
    free(*x);
    *x            = other;
    info->frames  = n;
    info->rate_hz = ear->rate_hz;
    return ASD_OK;
}

/* (n_signals, n) in place to (n_signals, S), the head of each */
static asd_status cut(const char *path, float *y, int n_signals, int64_t n, int64_t S)
{
    if (n < S)
        return ASD_FAIL(ASD_E_DATA, "%s: %lld samples, its header promised %lld", path,
                        (long long)n, (long long)S);
    for (int k = 1; k < n_signals; ++k)
        memmove(y + k * S, y + k * n, (size_t)S * sizeof *y);
    return ASD_OK;
}

/* y NULL: the hash alone. */
static asd_status read_clip(asd_embed_clip *clip, const asd_embed_ear *ear, float **y)
{
    float       *x = NULL;
    int64_t      n = 0;
    asd_wav_info info;
    char         hash[33];
    asd_status   st = asd_wav_read_all(clip->path, 0, &x, &info);
    if (!st)
        st = hash_samples(clip->path, x, &info, hash);
    if (!st && *clip->audio && strcmp(hash, clip->audio))
        st = ASD_FAIL(ASD_E_DATA, "%s: changed while it was used", clip->path);
    if (!st)
        memcpy(clip->audio, hash, sizeof hash);
    if (!st && y) {
        *y = NULL;
        if (!(st = change_rate(ear, &x, &info)))
            st = ear->hear ? ear->hear(ear->ctx, clip->path, x, &info, y, &n)
                           : split(clip->path, x, &info, ear->n_signals, y, &n);
        if (!st)
            st = cut(clip->path, *y, ear->n_signals, n, asd_embed_samples(ear, &clip->info));
        if (st) {
            free(*y);
            *y = NULL;
        }
    }
    free(x);
    return st;
}

/* --- all clips at once --- */

typedef struct sweep {
    asd_embed_clip *clip;
    const int64_t  *which; /* NULL: all */
    asd_failure     failure;
} sweep;

static void probe_one(void *ctx, int64_t i)
{
    sweep *s = ctx;
    asd_failure_note(&s->failure, i, asd_wav_probe(s->clip[i].path, &s->clip[i].info));
}

asd_status asd_embed_probe(asd_embed_clip *clip, int64_t n)
{
    sweep s = {.clip = clip};
    asd_failure_init(&s.failure);
    asd_par_for(n, probe_one, &s);
    return asd_failure_end(&s.failure);
}

static void hash_one(void *ctx, int64_t i)
{
    sweep          *s    = ctx;
    asd_embed_clip *clip = s->clip + s->which[i];
    if (!*clip->audio)
        asd_failure_note(&s->failure, i, read_clip(clip, NULL, NULL));
}

asd_status asd_embed_hash(asd_embed_clip *clip, const int64_t *which, int64_t n_which)
{
    sweep s = {.clip = clip, .which = which};
    asd_failure_init(&s.failure);
    asd_par_for(n_which, hash_one, &s);
    return asd_failure_end(&s.failure);
}

/* --- reader: a ring of `ahead` slots, slot i % ahead for the i-th clip in order --- */

typedef struct slot {
    int        filled;
    asd_status status;
    float     *x;
    char       text[1024]; /* of a failure, which belongs to the thread that met it */
} slot;

struct asd_embed_reader {
    asd_embed_clip      *clip;
    const int64_t       *order;
    const asd_embed_ear *ear;
    int64_t              n, ahead, claimed, taken;
    slot                *slot;
    int                  stop, n_threads;
    pthread_t           *thread;
    pthread_mutex_t      lock;
    pthread_cond_t       filled, freed;
};

static void *read_ahead(void *ctx)
{
    asd_embed_reader *r = ctx;
    pthread_mutex_lock(&r->lock);
    for (;;) {
        while (!r->stop && r->claimed < r->n && r->claimed >= r->taken + r->ahead)
            pthread_cond_wait(&r->freed, &r->lock);
        if (r->stop || r->claimed >= r->n)
            break;
        int64_t i = r->claimed++;
        slot   *s = r->slot + i % r->ahead;
        pthread_mutex_unlock(&r->lock);
        s->x      = NULL;
        s->status = read_clip(&r->clip[r->order[i]], r->ear, &s->x);
        if (s->status)
            snprintf(s->text, sizeof s->text, "%s", asd_error_text());
        pthread_mutex_lock(&r->lock);
        s->filled = 1;
        pthread_cond_broadcast(&r->filled);
    }
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

asd_status asd_embed_reader_new(asd_embed_clip *clip, const int64_t *order, int64_t n,
                                const asd_embed_ear *ear, int n_threads, int64_t ahead,
                                asd_embed_reader **out)
{
    asd_embed_reader *r = calloc(1, sizeof *r);
    *out                = NULL;
    ASD_ASSERT(n_threads > 0 && ahead > 0);
    if (!r)
        return ASD_FAIL(ASD_E_OOM, "no memory for a reader");
    *r = (asd_embed_reader){.clip = clip, .order = order, .ear = ear, .n = n, .ahead = ahead};
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->filled, NULL);
    pthread_cond_init(&r->freed, NULL);
    r->slot       = calloc((size_t)ahead, sizeof *r->slot);
    r->thread     = calloc((size_t)n_threads, sizeof *r->thread);
    asd_status st = r->slot && r->thread ? ASD_OK : ASD_FAIL(ASD_E_OOM, "no memory for a reader");
    while (!st && r->n_threads < n_threads) {
        if (pthread_create(&r->thread[r->n_threads], NULL, read_ahead, r))
            st = ASD_FAIL(ASD_E_OOM, "cannot start reader thread %d", r->n_threads + 1);
        else
            ++r->n_threads;
    }
    if (st) {
        asd_embed_reader_free(r);
        return st;
    }
    *out = r;
    return ASD_OK;
}

asd_status asd_embed_reader_next(asd_embed_reader *r, float **x)
{
    slot *s = r->slot + r->taken % r->ahead;
    ASD_ASSERT(r->taken < r->n);
    pthread_mutex_lock(&r->lock);
    while (!s->filled)
        pthread_cond_wait(&r->filled, &r->lock);
    asd_status st = s->status ? ASD_FAIL(s->status, "%s", s->text) : ASD_OK;
    *x            = s->x;
    s->x          = NULL;
    s->filled     = 0;
    ++r->taken;
    pthread_cond_broadcast(&r->freed);
    pthread_mutex_unlock(&r->lock);
    return st;
}

void asd_embed_reader_free(asd_embed_reader *r)
{
    if (!r)
        return;
    pthread_mutex_lock(&r->lock);
    r->stop = 1;
    pthread_cond_broadcast(&r->freed);
    pthread_mutex_unlock(&r->lock);
    for (int i = 0; i < r->n_threads; ++i)
        pthread_join(r->thread[i], NULL);
    for (int64_t i = 0; r->slot && i < r->ahead; ++i)
        free(r->slot[i].x);
    pthread_mutex_destroy(&r->lock);
    pthread_cond_destroy(&r->filled);
    pthread_cond_destroy(&r->freed);
    free(r->slot);
    free(r->thread);
    free(r);
}
