/* cpu_front.c - see cpu_front.h. */
#include "kernels/cpu_front.h"

#include "kernels/cpu.h"

#include <stdlib.h>

static void place(asd_front *f, int64_t n_fft, int64_t n_weights)
{
    asd_arena *a = &f->arena;
    f->window    = asd_arena_take(a, (size_t)f->frame, sizeof(float));
    f->band      = asd_arena_take(a, (size_t)f->n_mels, sizeof(asd_mel_band));
    f->weight    = asd_arena_take(a, (size_t)n_weights, sizeof(float));
    asd_fft_plan_init(&f->fft, n_fft, a);
    for (int64_t i = 0; i < f->n_slots; ++i) {
        asd_front_slot *s = &f->slot[i];
        s->span           = asd_arena_take(a, (size_t)(7 * f->hop + f->frame), sizeof(float));
        s->rows           = asd_arena_take(a, (size_t)n_fft, sizeof(asd_frames));
        s->power          = asd_arena_take(a, (size_t)n_fft / 2 + 1, sizeof(asd_frames));
        s->mel            = asd_arena_take(a, (size_t)f->n_mels, sizeof(asd_frames));
        ASD_ASSERT(s->span && s->rows && s->power && s->mel);
    }
    ASD_ASSERT(f->window && f->band && f->weight);
}

asd_status asd_front_new(const char *what, int64_t n_fft, int64_t frame, int64_t hop,
                         int64_t n_mels, int64_t n_weights, int64_t groups, asd_front **out)
{
    *out         = NULL;
    asd_front *f = calloc(1, sizeof *f);
    if (!f)
        return ASD_FAIL(ASD_E_OOM, "%s: no memory for its state", what);
    f->frame    = frame;
    f->hop      = hop;
    f->n_mels   = n_mels;
    f->n_slots  = groups < ASD_FRONT_SLOTS ? groups : ASD_FRONT_SLOTS;
    size_t slot = (size_t)(7 * hop + frame) * sizeof(float) +
                  (size_t)(n_fft + n_fft / 2 + 1 + n_mels) * sizeof(asd_frames) + 4 * ASD_ALIGN;
    asd_status st =
        asd_arena_init(&f->arena, (size_t)(frame + n_weights) * sizeof(float) +
                                      (size_t)n_mels * sizeof(asd_mel_band) + 3 * ASD_ALIGN +
                                      asd_fft_bytes(n_fft) + (size_t)f->n_slots * slot);
    if (st) {
        free(f);
        return st;
    }
    place(f, n_fft, n_weights);
    *out = f;
    return ASD_OK;
}

void asd_front_free(asd_front *f)
{
    if (f)
        asd_arena_clear(&f->arena);
    free(f);
}

/* Where sample i comes from when the clip is mirrored; off the clip beyond the mirror's reach. */
static int64_t mirrored(int64_t i, int64_t S)
{
    if (i < 0)
        i = -i;
    if (i >= S)
        i = 2 * (S - 1) - i;
    return i;
}

ASD_SIMD static void convert_f32(const float *restrict x, int64_t n, float scale,
                                 float *restrict out)
{
    for (int64_t i = 0; i < n; ++i)
        out[i] = x[i] * scale;
}

ASD_SIMD static void convert_i16(const int16_t *restrict x, int64_t n, float scale,
                                 float *restrict out)
{
    for (int64_t i = 0; i < n; ++i)
        out[i] = ((float)x[i] * 0x1p-15f) * scale;
}

static void convert(const asd_tensor *x, int64_t at, int64_t n, float scale, float *out)
{
    if (x->dtype == ASD_I16)
        convert_i16((const int16_t *)x->x + at, n, scale, out);
    else
        convert_f32((const float *)x->x + at, n, scale, out);
}

/* span[i] for i = from .. to-1, all off the clip. */
static void fill_border(const asd_tensor *x, int64_t b, int64_t start, int64_t from, int64_t to,
                        float scale, float *span)
{
    int64_t S = x->shape.d[1];
    for (int64_t i = from; i < to; ++i) {
        int64_t at = mirrored(start + i, S);
        if (at >= 0 && at < S)
            convert(x, b * S + at, 1, scale, span + i);
        else
            span[i] = 0;
    }
}

void asd_front_samples(const asd_tensor *x, int64_t b, int64_t start, int64_t n, float scale,
                       float *span)
{
    int64_t S = x->shape.d[1], from = start < 0 ? -start : 0, to = S - start < n ? S - start : n;
    if (from > n)
        from = n;
    if (to < from)
        to = from;
    fill_border(x, b, start, 0, from, scale, span);
    convert(x, b * S + start + from, to - from, scale, span + from);
    fill_border(x, b, start, to, n, scale, span);
}

ASD_SIMD void asd_front_mel(const asd_front *f, const asd_frames *power, asd_frames *mel)
{
    for (int64_t m = 0; m < f->n_mels; ++m) {
        const asd_mel_band *b   = &f->band[m];
        const float        *w   = f->weight + b->weight;
        asd_frames          sum = {0};
        for (int64_t k = 0; k < b->n; ++k)
            sum += power[b->first + k] * w[k];
        mel[m] = sum;
    }
}

ASD_SIMD void asd_front_log(float *x, int64_t n, float floor, float scale)
{
    uint32_t least = asd_bits(floor);
    for (int64_t i = 0; i < n; ++i) { /* of numbers >= 0 the order is that of their bits */
        uint32_t u = asd_bits(x[i]);
        x[i]       = scale * asd_log_f32(asd_from_bits(u > least ? u : least));
    }
}

int64_t asd_front_triangle(const float edge[3], float (*at)(const void *ctx, int64_t bin),
                           const void *ctx, int64_t bins, int64_t used, asd_mel_band *band,
                           float *weight)
{
    asd_mel_band b = {.first = 0, .n = 0, .weight = used};
    for (int64_t k = 0; k < bins; ++k) {
        float x    = at(ctx, k);
        float up   = (x - edge[0]) / (edge[1] - edge[0]);
        float down = (edge[2] - x) / (edge[2] - edge[1]);
        float ramp = up < down ? up : down;
        if (!(ramp > 0))
            continue;
        if (!b.n)
            b.first = k;
        b.n = k - b.first + 1;
        if (weight)
            weight[used] = ramp;
        ++used;
    }
    if (band)
        *band = b;
    return used;
}
