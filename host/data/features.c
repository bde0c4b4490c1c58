/* features.c - see features.h. */
#include "data/features.h"

#include "audio/wav.h"
#include "base/arena.h"
#include "base/file.h"
#include "base/log.h"
#include "base/par.h"
#include "nn/plan.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CHUNKS = 16 };

asd_logmel_attr asd_front_end_attr(const asd_cfg *cfg)
{
    double rate = (double)cfg->data_rate_hz;
    return (asd_logmel_attr){.n_fft       = cfg->front_end_n_fft,
                             .hop_samples = cfg->front_end_hop_samples,
                             .n_mels      = cfg->front_end_n_mels,
                             .rate_hz     = rate,
                             .fmin_hz     = cfg->front_end_fmin_hz,
                             .fmax_hz =
                                 cfg->front_end_fmax_hz > 0 ? cfg->front_end_fmax_hz : rate / 2,
                             .floor = 2.220446049250313e-16 /* epsilon of double, dcase2026 6.1 */};
}

/* The front-end planned for one clip length. */
typedef struct front_end {
    asd_params params; /* empty */
    asd_tape   tape;
    asd_plan  *plan;
    asd_val    samples, frames;
    int64_t    S, T;
} front_end;

static void front_end_clear(front_end *f)
{
    asd_plan_free(f->plan);
    asd_tape_clear(&f->tape);
    asd_params_clear(&f->params);
    memset(f, 0, sizeof *f);
}

static asd_status front_end_plan(front_end *f, const asd_cfg *cfg, int64_t S)
{
    if (f->plan && f->S == S)
        return ASD_OK;
    front_end_clear(f);
    asd_params_init(&f->params);
    asd_tape_init(&f->tape, &f->params, 0);
    f->S       = S;
    f->samples = asd_tape_bound(&f->tape, "samples", ASD_F32, ASD_SHAPE2(1, S));
    f->frames  = asd_logmel(&f->tape, f->samples, asd_front_end_attr(cfg));
    f->T       = asd_tape_shape(&f->tape, f->frames).d[1];
    ASD_TRY(asd_params_alloc(&f->params, 0));
    return asd_plan_build(&f->tape, ASD_NO_VAL, &f->frames, 1, NULL, &f->plan);
}

typedef struct clip_frames {
    float  *x; /* (T, F) */
    int64_t T;
    char    hash[33];
} clip_frames;

typedef struct load_job {
    const asd_clip *const *clips;
    int64_t                n, n_chunks;
    const asd_cfg         *cfg;
    clip_frames           *result; /* (n) */
    asd_progress          *bar;    /* NULL for none */
    pthread_mutex_t        bar_lock;
    asd_failure            failure;
} load_job;

static asd_status load_clip(front_end *f, const asd_clip *clip, const asd_cfg *cfg,
                            clip_frames *out)
{
    static const asd_channel hear[] = {[ASD_CHANNEL_NEAR] = ASD_HEAR_NEAR,
                                       [ASD_CHANNEL_FAR]  = ASD_HEAR_FAR,
                                       [ASD_CHANNEL_MEAN] = ASD_HEAR_MEAN};
    asd_status               st     = ASD_OK;
    float                   *x      = NULL;
    int64_t                  n;
    asd_wav_info             info;
    ASD_GO(
        done, st,
        asd_wav_read(clip->path, hear[cfg->data_channel], (int)cfg->data_rate_hz, &x, &n, &info));
    ASD_GO(done, st, front_end_plan(f, cfg, n));
    if (f->T < cfg->front_end_stack_frames) {
        st = ASD_FAIL(ASD_E_DATA,
                      "%s: %lld samples give %lld frames, want at least %lld for one input vector",
                      clip->path, (long long)n, (long long)f->T,
                      (long long)cfg->front_end_stack_frames);
        goto done;
    }
    size_t bytes = (size_t)(f->T * cfg->front_end_n_mels) * sizeof(float);
    out->T       = f->T;
    if (!(out->x = malloc(bytes))) {
        st = ASD_FAIL(ASD_E_OOM, "%s: no memory for %zu bytes of features", clip->path, bytes);
        goto done;
    }
    asd_plan_bind(f->plan, f->samples, x);
    ASD_GO(done, st, asd_plan_forward(f->plan));
    memcpy(out->x, asd_plan_data(f->plan, f->frames), bytes);
    asd_hash_bytes(x, (size_t)n * sizeof *x, out->hash);
done:
    free(x);
    return st;
}

static void load_chunk(void *ctx, int64_t chunk)
{
    load_job *j = ctx;
    front_end f = {0};
    for (int64_t i = chunk; i < j->n; i += j->n_chunks) {
        asd_status st = load_clip(&f, j->clips[i], j->cfg, &j->result[i]);
        asd_failure_note(&j->failure, i, st);
        if (j->bar) {
            pthread_mutex_lock(&j->bar_lock);
            asd_progress_step(j->bar, j->bar->done + 1, NULL);
            pthread_mutex_unlock(&j->bar_lock);
        }
        if (st)
            break;
    }
    front_end_clear(&f);
}

/* Puts the clips' frames side by side, freeing each as it is copied. */
static asd_status join(load_job *j, asd_features *out)
{
    int64_t rows = 0, F = j->cfg->front_end_n_mels;
    char   *hashes = malloc((size_t)j->n * 32 + 1);
    out->first     = calloc((size_t)j->n + 1, sizeof *out->first);
    for (int64_t i = 0; i < j->n; ++i)
        rows += j->result[i].T;
    out->x = aligned_alloc(ASD_ALIGN, asd_align_up((size_t)(rows * F) * sizeof(float) + 1));
    if (!hashes || !out->first || !out->x) {
        free(hashes);
        return ASD_FAIL(ASD_E_OOM, "no memory for %lld frames of %lld features", (long long)rows,
                        (long long)F);
    }
    out->n = j->n;
    out->F = F;
    for (int64_t i = 0; i < j->n; ++i) {
        clip_frames *c = &j->result[i];
        memcpy(out->x + out->rows * F, c->x, (size_t)(c->T * F) * sizeof(float));
        memcpy(hashes + 32 * i, c->hash, 32);
        free(c->x);
        c->x = NULL;
        out->rows += c->T;
        out->first[i + 1] = out->rows;
    }
    asd_hash_bytes(hashes, (size_t)j->n * 32, out->hash);
    free(hashes);
    return ASD_OK;
}

asd_status asd_features_load(const asd_clip *const *clips, int64_t n, const asd_cfg *cfg,
                             const char *progress_text, asd_features *out)
{
    asd_status   st = ASD_OK;
    asd_progress bar;
    load_job j = {.clips = clips, .n = n, .n_chunks = n < MAX_CHUNKS ? n : MAX_CHUNKS, .cfg = cfg};
    memset(out, 0, sizeof *out);
    if (!(j.result = calloc((size_t)n + 1, sizeof *j.result)))
        return ASD_FAIL(ASD_E_OOM, "no memory for %lld clips", (long long)n);
    pthread_mutex_init(&j.bar_lock, NULL);
    asd_failure_init(&j.failure);
    if (progress_text) {
        asd_progress_init(&bar, progress_text, "clips", n, 0);
        j.bar = &bar;
    }
    asd_par_for(j.n_chunks, load_chunk, &j);
    if (j.bar)
        asd_progress_done(j.bar);
    pthread_mutex_destroy(&j.bar_lock);
    if (!(st = asd_failure_end(&j.failure)))
        st = join(&j, out);
    for (int64_t i = 0; i < n; ++i)
        free(j.result[i].x);
    free(j.result);
    if (st)
        asd_features_clear(out);
    return st;
}

void asd_features_clear(asd_features *f)
{
    free(f->x);
    free(f->first);
    memset(f, 0, sizeof *f);
}
