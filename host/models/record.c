/* record.c - an encoder on a tape: front-end, patches, tokens, blocks; pooling and classifier. */
#include "models/parts.h"

#include <stdlib.h>

asd_fbank_attr encoder_fbank_attr(const asd_encoder_desc *d, int64_t frames)
{
    return (asd_fbank_attr){.window   = d->window,
                            .in_scale = d->in_scale,
                            .n_mels   = d->n_mels,
                            .mean     = d->mean,
                            .divisor  = d->divisor,
                            .frames   = frames};
}

asd_meldb_attr encoder_meldb_attr(const asd_encoder_desc *d, int64_t frames)
{
    return (asd_meldb_attr){.n_fft       = 512,
                            .hop_samples = 160,
                            .n_mels      = d->n_mels,
                            .fmin_hz     = 0,
                            .fmax_hz     = 8000,
                            .top_db      = 120,
                            .frames      = frames};
}

static asd_val front(const encoder_tape *e, asd_encoder_graph *g, int64_t frames)
{
    const asd_encoder_desc *d = e->d;
    if (d->front == ASD_FRONT_FBANK)
        return asd_fbank(e->t, g->samples,
                         encoder_fbank_attr(d, d->frames || d->frames_multiple ? frames : 0));
    asd_affine_attr norm  = {d->norm_in_eps};
    asd_val         in[5] = {asd_meldb(e->t, g->samples, encoder_meldb_attr(d, frames))};
    asd_shape       F     = ASD_SHAPE1(d->n_mels);
    in[1]                 = encoder_param(e, "mels.weight", F, ASD_INIT_ONE, 0);
    in[2]                 = encoder_param(e, "mels.bias", F, ASD_INIT_ZERO, 0);
    in[3]                 = asd_tape_state(e->t, "mels.running_mean", F, ASD_INIT_ZERO);
    in[4]                 = asd_tape_state(e->t, "mels.running_var", F, ASD_INIT_ONE);
    asd_val x             = asd_tape_op(e->t, &asd_op_affine, &norm, sizeof norm, in, 5);
    if (d->chunk_tail == ASD_TAIL_SHORT || g->chunks == 1)
        return x;
    asd_val masked[2] = {x}; /* zeros behind the clip are zeros behind the norm */
    masked[1] = g->frame_lengths = asd_tape_input(e->t, "frame lengths", ASD_I32, ASD_SHAPE1(g->B));
    return asd_tape_op(e->t, &asd_op_mask, NULL, 0, masked, 2);
}

/* BEATs: norm, projection, and a convolution over tokens in place of a table of places. */
static asd_val conv_places(const encoder_tape *e, asd_val x, asd_val lengths)
{
    const asd_encoder_desc *d = e->d;
    int64_t                 W = d->dim / d->conv_groups, k = d->conv_taps;
    asd_posconv_attr        attr = {d->conv_groups};
    if (lengths != ASD_NO_VAL) {
        asd_val masked[2] = {x, lengths};
        x                 = asd_tape_op(e->t, &asd_op_mask, NULL, 0, masked, 2);
    }
    asd_val norm[2], in[3] = {x};
    norm[0] = encoder_param(e, "pos_conv.weight_g", ASD_SHAPE1(k), ASD_INIT_ONE, 0);
    norm[1] =
        encoder_param(e, "pos_conv.weight_v", ASD_SHAPE3(d->dim, W, k), ASD_INIT_FAN_IN, W * k);
    in[1]     = asd_tape_op(e->t, &asd_op_weightnorm, NULL, 0, norm, 2);
    in[2]     = encoder_param(e, "pos_conv.bias", ASD_SHAPE1(d->dim), ASD_INIT_ZERO, 0);
    asd_val c = asd_gelu(e->t, asd_tape_op(e->t, &asd_op_posconv, &attr, sizeof attr, in, 3));
    return encoder_norm(e, c, x, 1, "norm_in", d->eps);
}

static asd_val sum_places(const encoder_tape *e, asd_val x)
{
    const asd_encoder_desc *d     = e->d;
    asd_shape               C     = ASD_SHAPE1(d->dim);
    asd_val                 table = ASD_NO_VAL, cls = ASD_NO_VAL;
    if (d->pos == ASD_POS_SINCOS)
        table = asd_tape_state(e->t, "pos", ASD_SHAPE2(d->pos_rows, d->dim), ASD_INIT_ZERO);
    else
        table = encoder_param(e, "pos", ASD_SHAPE2(d->pos_rows, d->dim), ASD_INIT_FAN_IN, d->dim);
    if (d->n_cls)
        cls = encoder_param(e, "cls", C, ASD_INIT_FAN_IN, d->dim);
    if (d->pos == ASD_POS_LEARNED) { /* the frequency's vector: there is one row of mels */
        asd_val in[2] = {x};
        in[1]         = encoder_param(e, "freq", C, ASD_INIT_FAN_IN, d->dim);
        x             = asd_tape_op(e->t, &asd_op_bias, NULL, 0, in, 2);
    }
    x = asd_tokens(e->t, x, table, cls);
    return d->norm_blocks ? encoder_norm(e, x, ASD_NO_VAL, 0, "norm_in", d->eps) : x;
}

/* What enters the first block: (B chunks, n_cls + P / chunks, dim). */
static asd_val tokens(const encoder_tape *e, asd_encoder_graph *g)
{
    const asd_encoder_desc *d    = e->d;
    asd_patches_attr        attr = {
               .pt = d->patch_t, .pf = d->patch_f, .mel_major = d->mel_major, .bf16 = e->bf16};
    asd_val x = g->patches = asd_patches(e->t, g->features, attr);
    if (g->chunks > 1)
        x = asd_tape_view(e->t, x,
                          ASD_SHAPE3(g->B * g->chunks, d->chunk_tokens, d->patch_t * d->patch_f));
    x = encoder_linear(e, x, "patch", d->patch_norm ? d->patch_dim : d->dim, d->patch_bias);
    if (d->patch_norm)
        x = encoder_linear(e, encoder_norm(e, x, ASD_NO_VAL, 0, "norm_patch", d->eps), "proj",
                           d->dim, 1);
    x = d->pos == ASD_POS_CONV ? conv_places(e, x, g->lengths) : sum_places(e, x);
    return asd_dropout(e->t, x, d->drop_prob);
}

/* Chunks side by side become one clip again, without what padded the last. */
static asd_val whole_clips(const encoder_tape *e, const asd_encoder_graph *g, asd_val x)
{
    if (g->chunks == 1)
        return x;
    asd_shape s = ASD_SHAPE3(g->B, g->chunks * e->d->chunk_tokens, e->d->dim);
    return asd_take(e->t, asd_tape_view(e->t, x, s), 0, g->P);
}

static asd_status check_length(const asd_encoder_desc *d, int64_t S)
{
    int64_t least = asd_encoder_min_samples(d), most = asd_encoder_max_samples(d);
    if (S < least)
        return ASD_FAIL(ASD_E_CONFIG, "%s takes clips of at least %lld samples at %d Hz, not %lld",
                        d->kind, (long long)least, (int)ASD_ENCODER_RATE_HZ, (long long)S);
    if (S > most)
        return ASD_FAIL(ASD_E_CONFIG, "%s takes clips of at most %lld samples at %d Hz, not %lld",
                        d->kind, (long long)most, (int)ASD_ENCODER_RATE_HZ, (long long)S);
    return ASD_OK;
}

/* How a clip is cut, and to how many frames it is padded for that. */
static int64_t plan_chunks(const asd_encoder_desc *d, asd_encoder_graph *g, int64_t S)
{
    int64_t frames = asd_encoder_frames(d, S), n = d->chunk_tokens;
    g->P      = asd_encoder_tokens(d, S);
    g->frames = frames;
    g->chunks = 1;
    g->tail   = g->P;
    if (!n || g->P <= n)
        return frames;
    g->chunks = (g->P + n - 1) / n;
    g->tail   = g->P - (g->chunks - 1) * n;
    return g->chunks * n * d->patch_t;
}

asd_status asd_encoder_record(asd_tape *t, const asd_encoder_desc *d, asd_encoder_graph *g)
{
    encoder_tape e    = {t, d, g->bf16};
    int          last = g->last ? g->last : d->depth;
    asd_shape    in   = asd_tape_shape(t, g->samples);
    asd_val      lengths, table = ASD_NO_VAL;
    if (t->status)
        return ASD_FAIL(t->status, "%s", t->error);
    if (d->depth > ASD_ENCODER_MAX_DEPTH || last > d->depth)
        return ASD_FAIL(ASD_E_CONFIG, "%s has layers 0 to %d (at most %d), not %d", d->kind,
                        d->depth, (int)ASD_ENCODER_MAX_DEPTH, last);
    if (g->bf16 && d->frozen)
        return ASD_FAIL(ASD_E_CONFIG, "frozen weights are kept in fp32; use --precision fp32");
    if (g->lengths != ASD_NO_VAL && d->pos != ASD_POS_CONV)
        return ASD_FAIL(ASD_E_CONFIG, "%s takes no lengths: its clips are all of one length",
                        d->kind);
    ASD_TRY(check_length(d, asd_last(in)));
    g->B             = in.d[0];
    g->chunk_lengths = g->frame_lengths = ASD_NO_VAL;
    int64_t frames                      = plan_chunks(d, g, asd_last(in));
    g->features                         = front(&e, g, frames);
    asd_val x                           = tokens(&e, g);
    lengths                             = g->lengths;
    if (d->chunk_tail == ASD_TAIL_SHORT && g->chunks > 1 && g->tail < d->chunk_tokens)
        lengths = g->chunk_lengths =
            asd_tape_input(t, "chunk lengths", ASD_I32, ASD_SHAPE1(g->B * g->chunks));
    if (d->buckets)
        table = encoder_param(&e, "rel_table", ASD_SHAPE2(d->buckets, d->heads), ASD_INIT_FAN_IN,
                              d->heads);
    for (int i = 0; i <= d->depth; ++i)
        g->layer[i] = ASD_NO_VAL;
    g->layer[0] = whole_clips(&e, g, x);
    for (int i = 0; i < last; ++i) {
        x = encoder_block(&e, x, i, lengths, table);
        if (i + 1 == d->depth && d->norm_final)
            x = encoder_norm(&e, x, ASD_NO_VAL, 0, "norm", d->eps);
        g->layer[i + 1] = whole_clips(&e, g, x);
    }
    return ASD_OK;
}

asd_status asd_encoder_fill(asd_encoder_graph *g, asd_plan *p)
{
    int64_t n = g->B * g->chunks;
    if (g->chunk_lengths == ASD_NO_VAL && g->frame_lengths == ASD_NO_VAL)
        return ASD_OK;
    if (!g->constant && !(g->constant = calloc((size_t)(n + g->B), sizeof *g->constant)))
        return ASD_FAIL(ASD_E_OOM, "no memory for the lengths of %lld chunks", (long long)n);
    for (int64_t i = 0; i < n; ++i) {
        int last       = i % g->chunks == g->chunks - 1;
        g->constant[i] = (int32_t)(last ? g->tail : (g->P - g->tail) / (g->chunks - 1));
    }
    for (int64_t b = 0; b < g->B; ++b)
        g->constant[n + b] = (int32_t)g->frames;
    if (g->chunk_lengths != ASD_NO_VAL)
        ASD_TRY(asd_plan_write(p, g->chunk_lengths, g->constant));
    if (g->frame_lengths != ASD_NO_VAL)
        ASD_TRY(asd_plan_write(p, g->frame_lengths, g->constant + n));
    return ASD_OK;
}

/* The patch tokens of a layer in fp32, class tokens left out unless asked for. */
static asd_val layer_f32(const encoder_tape *e, const asd_encoder_graph *g, int layer, int first,
                         int64_t n)
{
    asd_val   x = g->layer[layer];
    asd_shape s = asd_tape_shape(e->t, x);
    if (first || n < s.d[1])
        x = asd_take(e->t, x, first, n);
    return g->bf16 ? encoder_cast(e, x, ASD_F32, 1) : x;
}

asd_val asd_encoder_pool(asd_tape *t, const asd_encoder_desc *d, const asd_encoder_graph *g,
                         int layer, asd_pool pool)
{
    encoder_tape e = {t, d, 0};
    if (pool == ASD_POOL_HEAD)
        return asd_encoder_head(t, d, g);
    if (pool == ASD_POOL_CLS)
        return asd_tape_view(t, layer_f32(&e, g, layer, 0, 1), ASD_SHAPE2(g->B, d->dim));
    if (pool == ASD_POOL_NONE)
        return layer_f32(&e, g, layer, 0, d->n_cls + g->P);
    asd_val x = layer_f32(&e, g, layer, d->n_cls, g->P);
    switch (pool) {
    case ASD_POOL_MEANSTD: return asd_meanstdpool(t, x, g->lengths);
    case ASD_POOL_GEM: return asd_gempool(t, x, g->lengths, (asd_gem_attr){3, 1e-6f});
    case ASD_POOL_TIME:
        return asd_encoder_bands(d) == 1 ? x : asd_bandmean(t, x, asd_encoder_bands(d));
    default: return asd_meanpool(t, x, g->lengths);
    }
}

asd_val asd_encoder_head(asd_tape *t, const asd_encoder_desc *d, const asd_encoder_graph *g)
{
    encoder_tape e = {t, d, 0};
    asd_val      x = asd_encoder_pool(t, d, g, d->depth, d->n_cls ? ASD_POOL_CLS : ASD_POOL_MEAN);
    if (d->head_norm_eps > 0)
        x = encoder_norm(&e, x, ASD_NO_VAL, 0, "head_norm", d->head_norm_eps);
    return encoder_linear(&e, x, "head", d->head_classes, 1);
}
