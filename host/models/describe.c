/* describe.c - what a description says about clips: frames, tokens, shortest and longest. */
#include "models/parts.h"

#include "nn/front_end.h"

#include <stdio.h>
#include <string.h>

enum { WINDOW = 400, HOP = 160 }; /* samples; both front-ends hop by 10 ms */

static const struct {
    const char         *name;
    const encoder_kind *kind;
    const char         *what;
} rows[] = {
#define ENCODER(name, family, what) {#name, &encoder_kind_##family, what},
#include "models/models.def"
#undef ENCODER
};

const encoder_kind *encoder_kind_find(const char *name)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; ++i)
        if (!strcmp(rows[i].name, name))
            return rows[i].kind;
    return NULL;
}

asd_status asd_encoder_default(const char *kind, int tiny, asd_encoder_desc *out)
{
    char list[256] = "";
    for (size_t i = 0; i < sizeof rows / sizeof *rows; ++i) {
        size_t n = strlen(list);
        snprintf(list + n, sizeof list - n, "%s%s", i ? ", " : "", rows[i].name);
        if (strcmp(rows[i].name, kind) != 0)
            continue;
        *out = (asd_encoder_desc){.kind = rows[i].name, .grad_decay = 1};
        rows[i].kind->defaults(out, tiny);
        return ASD_OK;
    }
    return ASD_FAIL(ASD_E_CONFIG, "no encoder is called %s; there are %s", kind, list);
}

const char *asd_pool_name(asd_pool p)
{
    static const char *const name[ASD_NPOOLS] = {"mean", "meanstd", "gem", "cls",
                                                 "none", "time",    "head"};
    return p >= 0 && p < ASD_NPOOLS ? name[p] : "unknown";
}

int64_t asd_encoder_bands(const asd_encoder_desc *d)
{
    return d->n_mels / d->patch_f;
}

/* Whole frames before padding. */
static int64_t real_frames(const asd_encoder_desc *d, int64_t samples)
{
    if (d->front == ASD_FRONT_MELDB)
        return 1 + samples / HOP;
    return samples < WINDOW ? 0 : 1 + (samples - WINDOW) / HOP;
}

int64_t asd_encoder_frames(const asd_encoder_desc *d, int64_t samples)
{
    int64_t T = real_frames(d, samples), k = d->frames_multiple;
    if (d->frames)
        return d->frames;
    return k ? (T + k - 1) / k * k : T;
}

int64_t asd_encoder_tokens(const asd_encoder_desc *d, int64_t samples)
{
    return asd_encoder_frames(d, samples) / d->patch_t * asd_encoder_bands(d);
}

int64_t asd_encoder_min_samples(const asd_encoder_desc *d)
{
    if (d->front == ASD_FRONT_MELDB)
        return (d->patch_t - 1) * HOP;
    return d->frames || d->frames_multiple ? WINDOW : WINDOW + (d->patch_t - 1) * HOP;
}

int64_t asd_encoder_max_samples(const asd_encoder_desc *d)
{
    int64_t frames = d->pos_rows / asd_encoder_bands(d) * d->patch_t;
    if (!d->pos_rows || d->chunk_tokens || d->frames)
        return INT64_MAX;
    if (d->frames_multiple)
        frames = frames / d->frames_multiple * d->frames_multiple;
    return WINDOW + frames * HOP - 1;
}

int64_t asd_encoder_valid_tokens(const asd_encoder_desc *d, int64_t S, int64_t valid)
{
    int64_t m = asd_encoder_frames(d, S), P = asd_encoder_tokens(d, S);
    int64_t g1 = S / m, g2 = m / P;
    int64_t frames = (valid + g1 - 1) / g1, tokens = (frames + g2 - 1) / g2;
    return tokens < P ? tokens : P;
}

void encoder_make_key(asd_encoder *e)
{
    const asd_encoder_desc *d = &e->d;
    char                    front[ASD_FRONT_END_TEXT];
    asd_fbank_attr          fbank = encoder_fbank_attr(d, d->frames);
    asd_meldb_attr          meldb = encoder_meldb_attr(d, d->frames);
    snprintf(e->key, sizeof e->key,
             "encoder=%s depth=%d dim=%lld front=%s multiple=%lld tail=%s weights=%s", d->kind,
             d->depth, (long long)d->dim,
             d->front == ASD_FRONT_MELDB ? asd_front_end_meldb(&meldb, front)
                                         : asd_front_end_fbank(&fbank, front),
             (long long)d->frames_multiple,
             d->chunk_tokens ? (d->chunk_tail == ASD_TAIL_PAD ? "pad" : "short") : "none", e->hash);
}
