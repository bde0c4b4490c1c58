/* embed_signal.c - near, far, both, their difference, or one with the other's spectrum taken off;
 * and the levels of both.
 */
#include "audio/channels.h"
#include "audio/level.h"
#include "tools/embed_cmd.h"

#include <stdlib.h>

static asd_subtraction subtraction(const asd_embed_how *how)
{
    return (asd_subtraction){
        .alpha = how->alpha, .floor = how->floor, .gain_median = how->gain == ASD_GAIN_MEDIAN};
}

static asd_status hear(const void *ctx, const char *path, float *x, const asd_wav_info *info,
                       float **y, int64_t *n)
{
    const asd_embed_how  *how      = ctx;
    const asd_subtraction subtract = subtraction(how);
    *n                             = info->frames;
    switch (how->channel) {
    case ASD_SIGNAL_DIFFERENCE: return asd_channel_difference(path, x, info, y);
    case ASD_SIGNAL_SUBTRACTED: return asd_channel_subtracted(path, x, info, &subtract, y);
    default: return asd_channel_take(path, x, info, how->channel == ASD_SIGNAL_FAR, y);
    }
}

asd_embed_ear embed_ear(const asd_embed_how *how)
{
    asd_embed_ear ear = {.rate_hz     = ASD_ENCODER_RATE_HZ,
                         .n_signals   = 1,
                         .max_samples = how->length == ASD_LENGTH_FIRST
                                            ? ASD_FIRST_SECONDS * ASD_ENCODER_RATE_HZ
                                            : 0,
                         .ctx         = how,
                         .hear        = hear};
    if (how->channel == ASD_SIGNAL_BOTH) { /* the channels as they are */
        ear.n_signals = 2;
        ear.hear      = NULL;
    }
    return ear;
}

json_t *embed_signal_method(const asd_embed_how *how)
{
    char    kind[16], gain[16];
    json_t *o = json_object();
    asd_embed_how_choice("channel", how->channel, kind, sizeof kind);
    asd_embed_how_choice("gain", how->gain, gain, sizeof gain);
    if (how->channel == ASD_SIGNAL_DIFFERENCE) {
        json_object_set_new(o, "front_end", json_string(ASD_CHANNEL_DIFFERENCE));
    } else if (how->channel == ASD_SIGNAL_SUBTRACTED) {
        json_object_set_new(o, "front_end", json_string(ASD_CHANNEL_SUBTRACTED));
        json_object_set_new(o, "alpha", json_real(how->alpha));
        json_object_set_new(o, "floor", json_real(how->floor));
        json_object_set_new(o, "gain", json_string(gain));
    }
    json_object_set_new(o, "kind", json_string(kind));
    return o;
}

/* --- levels --- */

enum { LEVEL_BATCH = 4096 }; /* the most clips of --batch */

static asd_status run_level(void *ctx, int64_t B, int64_t S, const float *x, const float **y,
                            int64_t *rows)
{
    float *out = ctx;
    ASD_ASSERT(B <= LEVEL_BATCH);
    for (int64_t b = 0; b < B; ++b)
        ASD_TRY(asd_level_features("level", x + 2 * b * S, x + (2 * b + 1) * S, S,
                                   out + b * ASD_LEVEL_D));
    y[0]    = out;
    rows[0] = 1;
    return ASD_OK;
}

asd_embed_ear embed_level_ear(void)
{
    return (asd_embed_ear){.rate_hz = ASD_ENCODER_RATE_HZ, .n_signals = 2};
}

asd_status embed_level_new(asd_embedder *embedder)
{
    static const int64_t D   = ASD_LEVEL_D;
    float               *out = malloc(sizeof(float) * LEVEL_BATCH * ASD_LEVEL_D);
    *embedder =
        (asd_embedder){.ctx = out, .run = run_level, .n_outputs = 1, .D = &D, .min_samples = 1};
    return out ? ASD_OK : ASD_FAIL(ASD_E_OOM, "no memory for level features");
}

void embed_level_free(asd_embedder *embedder)
{
    free(embedder->ctx);
}

json_t *embed_level_method(void)
{
    return json_pack("{s:s, s:s, s:i}", "features", ASD_LEVEL_VERSION, "length", "whole", "rate_hz",
                     ASD_ENCODER_RATE_HZ);
}
