/* logmel.c - samples to log-mel spectrogram in dB, by librosa's definition (version 0.10 and
 * later).
 *
 *   X[t, f] = sum_n w[n] x[t hop + n - n_fft/2] exp(-2 pi i f n / n_fft)   x is 0 off the clip
 *   w[n]    = 0.5 - 0.5 cos(2 pi n / n_fft)                                periodic Hann
 *   P[t, f] = |X[t, f]|^2
 *   M[t, m] = sum_f h[m, f] P[t, f]
 *   y       = 10 log10(max(M, floor))
 *
 *   h[m, f] = max(0, min((f - f_m) / (f_{m+1} - f_m),
 *                        (f_{m+2} - f) / (f_{m+2} - f_{m+1}))) 2 / (f_{m+2} - f_m)
 *
 * f_m are equally spaced on the Slaney scale between fmin and fmax: linear below 1 kHz (3 mel per
 * 200 Hz), logarithmic above (27 mel per factor 6.4); the factor 2 / width is Slaney's area
 * normalisation.
 *
 * x: (B, S) float in [-1, 1), or int16 read as x / 32768
 * y: (B, T, F), T = 1 + floor(S / hop), F = n_mels
 *
 * Numerics: fp32 throughout, window and mel weights computed in double and rounded once.
 * 10 log10 is (10 / ln 10) logf: glibc's logf is within 0.6 ulp and three times as fast as its
 * log10f.
 * Mapping: one chunk per clip (at most 16 chunks), each with its own FFT plan and frame buffers.
 * See: dcase2026 6.1, systems B1; McFee et al., librosa.   Used by: the baseline's front-end.
 */
#include "kernels/logmel.h"

#include "kernels/cpu.h"

#include "base/arena.h"
#include "base/par.h"

#include <kiss_fftr.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CHUNKS = 16 };

typedef struct logmel_slot {
    kiss_fftr_cfg fft;
    float        *frame; /* (n_fft) */
    kiss_fft_cpx *bins;  /* (n_fft/2 + 1) */
    float        *power; /* (n_fft/2 + 1) */
} logmel_slot;

typedef struct logmel_state {
    asd_arena     arena; /* holds all arrays below */
    float        *window;
    float        *weight;
    asd_mel_band *band; /* (n_mels) */
    int64_t       n_slots;
    logmel_slot   slot[MAX_CHUNKS];
} logmel_state;

int64_t asd_logmel_frames(const asd_logmel_attr *a, int64_t samples)
{
    return 1 + samples / a->hop_samples;
}

int asd_logmel_is_fused(const asd_logmel_attr *a)
{
    return a->n_fft >= 64 && a->n_fft <= 4096 && !(a->n_fft & (a->n_fft - 1)) &&
           a->method != ASD_LOGMEL_CUFFT;
}

int64_t asd_logmel_chunk_rows(const asd_logmel_attr *a, int64_t rows)
{
    int64_t most   = (32 << 20) / ((a->n_fft + 2) * (int64_t)sizeof(float));
    int64_t chunks = most ? (rows + most - 1) / most : rows;
    return chunks ? (rows + chunks - 1) / chunks : 0;
}

static int64_t n_chunks(int64_t B)
{
    return B < MAX_CHUNKS ? B : MAX_CHUNKS;
}

static asd_status logmel_infer(asd_node *n)
{
    const asd_logmel_attr *a = n->attr;
    char                   sx[64];
    if (n->in[0].shape.n != 2 || n->in[0].dtype == ASD_I32)
        return ASD_FAIL(ASD_E_SHAPE, "logmel: x %s, want samples (B, S) as float or int16",
                        asd_shape_text(n->in[0].shape, sx, sizeof sx));
    if (a->n_fft < 4 || a->n_fft % 2 || a->hop_samples < 1 || a->n_mels < 1)
        return ASD_FAIL(
            ASD_E_CONFIG,
            "logmel: n_fft %lld, hop %lld, %lld bands; want an even n_fft >= 4, hop and bands >= 1",
            (long long)a->n_fft, (long long)a->hop_samples, (long long)a->n_mels);
    if (!(a->fmin_hz >= 0 && a->fmin_hz < a->fmax_hz && a->fmax_hz <= a->rate_hz / 2))
        return ASD_FAIL(
            ASD_E_CONFIG,
            "logmel: bands from %g to %g Hz, want 0 <= fmin < fmax <= %g (half the rate)",
            a->fmin_hz, a->fmax_hz, a->rate_hz / 2);
    if (a->method < ASD_LOGMEL_AUTO || a->method > ASD_LOGMEL_CUFFT ||
        (a->method == ASD_LOGMEL_FUSED && !asd_logmel_is_fused(a)))
        return ASD_FAIL(
            ASD_E_CONFIG,
            "logmel: method %d with n_fft %lld; want 0, 2, or 1 with a power of two from "
            "64 to 4096",
            a->method, (long long)a->n_fft);
    n->y = (asd_spec){ASD_F32, ASD_SHAPE3(n->in[0].shape.d[0],
                                          asd_logmel_frames(a, n->in[0].shape.d[1]), a->n_mels)};
    if (!asd_logmel_is_fused(a)) /* spectra on their way from cuFFT to the bands */
        n->fwd_work_bytes = (size_t)asd_logmel_chunk_rows(a, asd_rows(n->y.shape)) *
                            (size_t)(a->n_fft + 2) * sizeof(float);
    return ASD_OK;
}

/* Slaney's mel scale: 200/3 Hz per mel up to 1 kHz = 15 mel, then ln(6.4)/27 per mel. */
static double hz_to_mel(double hz)
{
    return hz < 1000 ? hz * 3 / 200 : 15 + log(hz / 1000) * 27 / log(6.4);
}

static double mel_to_hz(double mel)
{
    return mel < 15 ? mel * 200 / 3 : 1000 * exp((mel - 15) * log(6.4) / 27);
}

static double band_edge(const asd_logmel_attr *a, int64_t m)
{
    double lo = hz_to_mel(a->fmin_hz), hi = hz_to_mel(a->fmax_hz);
    return mel_to_hz(lo + (hi - lo) * (double)m / (double)(a->n_mels + 1));
}

int64_t asd_logmel_bands(const asd_logmel_attr *a, asd_mel_band *band, float *weight)
{
    int64_t used = 0;
    for (int64_t m = 0; m < a->n_mels; ++m) {
        double       f0 = band_edge(a, m), f1 = band_edge(a, m + 1), f2 = band_edge(a, m + 2);
        asd_mel_band b = {.first = 0, .n = 0, .weight = used};
        for (int64_t f = 0; f <= a->n_fft / 2; ++f) {
            double hz = (double)f * a->rate_hz / (double)a->n_fft;
            double up = (hz - f0) / (f1 - f0), down = (f2 - hz) / (f2 - f1);
            double ramp = up < down ? up : down;
            if (ramp <= 0)
                continue;
            if (!b.n)
                b.first = f;
            b.n = f - b.first + 1;
            if (weight)
                weight[used] = (float)(ramp * 2 / (f2 - f0));
            ++used;
        }
        if (band)
            band[m] = b;
    }
    return used;
}

void asd_logmel_window(const asd_logmel_attr *a, double scale, float *window)
{
    for (int64_t i = 0; i < a->n_fft; ++i)
        window[i] =
            (float)(scale * (0.5 - 0.5 * cos(6.283185307179586 * (double)i / (double)a->n_fft)));
}

static void logmel_release(asd_call *c)
{
    logmel_state *s = c->state;
    if (s)
        asd_arena_clear(&s->arena);
    free(s);
    c->state = NULL;
}

/* Cuts all arrays out of the arena. */
static void place(logmel_state *s, const asd_logmel_attr *a, int64_t n_weights, size_t fft_bytes)
{
    size_t bins = (size_t)a->n_fft / 2 + 1;
    s->window   = asd_arena_take(&s->arena, (size_t)a->n_fft, sizeof(float));
    s->weight   = asd_arena_take(&s->arena, (size_t)n_weights, sizeof(float));
    s->band     = asd_arena_take(&s->arena, (size_t)a->n_mels, sizeof(asd_mel_band));
    for (int64_t i = 0; i < s->n_slots; ++i) {
        logmel_slot *t = &s->slot[i];
        t->fft =
            kiss_fftr_alloc((int)a->n_fft, 0, asd_arena_take(&s->arena, fft_bytes, 1), &fft_bytes);
        t->frame = asd_arena_take(&s->arena, (size_t)a->n_fft, sizeof(float));
        t->bins  = asd_arena_take(&s->arena, bins, sizeof(kiss_fft_cpx));
        t->power = asd_arena_take(&s->arena, bins, sizeof(float));
        ASD_ASSERT(t->fft && t->power);
    }
}

static asd_status logmel_prepare(asd_call *c)
{
    const asd_logmel_attr *a         = c->attr;
    int64_t                n_weights = asd_logmel_bands(a, NULL, NULL);
    size_t                 fft_bytes = 0, n = (size_t)a->n_fft;
    logmel_state          *s = calloc(1, sizeof *s);
    if (!s)
        return ASD_FAIL(ASD_E_OOM, "logmel: no memory for its state");
    c->state   = s;
    s->n_slots = n_chunks(c->x[0].shape.d[0]);
    kiss_fftr_alloc((int)a->n_fft, 0, NULL, &fft_bytes); /* only asks for the size */
    ASD_TRY(asd_arena_init(&s->arena, (n + (size_t)n_weights) * sizeof(float) +
                                          (size_t)a->n_mels * sizeof(asd_mel_band) +
                                          (size_t)s->n_slots * (fft_bytes + 4 * n * sizeof(float)) +
                                          (size_t)(3 + 4 * MAX_CHUNKS) * 2 * ASD_ALIGN));
    place(s, a, n_weights, fft_bytes);
    asd_logmel_window(a, 1, s->window);
    asd_logmel_bands(a, s->band, s->weight);
    return ASD_OK;
}

/* frame[n] = w[n] x[start + n], zero outside 0 .. S-1 */
ASD_SIMD static void window_f32(const float *x, int64_t S, int64_t start, const float *window,
                                int64_t n, float *frame)
{
    int64_t from = start < 0 ? -start : 0, to = start + n > S ? S - start : n;
    if (to < from)
        from = to = 0;
    memset(frame, 0, (size_t)from * sizeof *frame);
    for (int64_t i = from; i < to; ++i)
        frame[i] = x[start + i] * window[i];
    memset(frame + to, 0, (size_t)(n - to) * sizeof *frame);
}

ASD_SIMD static void window_i16(const int16_t *x, int64_t S, int64_t start, const float *window,
                                int64_t n, float *frame)
{
    int64_t from = start < 0 ? -start : 0, to = start + n > S ? S - start : n;
    if (to < from)
        from = to = 0;
    memset(frame, 0, (size_t)from * sizeof *frame);
    for (int64_t i = from; i < to; ++i)
        frame[i] = ((float)x[start + i] * 0x1p-15f) * window[i];
    memset(frame + to, 0, (size_t)(n - to) * sizeof *frame);
}

ASD_SIMD static void power_spectrum(const kiss_fft_cpx *bins, int64_t n, float *power)
{
    for (int64_t i = 0; i < n; ++i)
        power[i] = bins[i].r * bins[i].r + bins[i].i * bins[i].i;
}

static void mel_log(const logmel_state *s, const asd_logmel_attr *a, const float *power, float *y)
{
    float floor = (float)a->floor;
    for (int64_t m = 0; m < a->n_mels; ++m) {
        const asd_mel_band *b = &s->band[m];
        const float        *w = s->weight + b->weight, *p = power + b->first;
        float               sum = 0;
        for (int64_t i = 0; i < b->n; ++i)
            sum += w[i] * p[i];
        y[m] = 4.3429448190325175f /* 10 / ln 10 */ * logf(sum > floor ? sum : floor);
    }
}

static void fwd_chunk(void *ctx, int64_t chunk)
{
    const asd_call        *c = ctx;
    const asd_logmel_attr *a = c->attr;
    const logmel_state    *s = c->state;
    const logmel_slot     *t = &s->slot[chunk];
    int64_t                B = c->y.shape.d[0], T = c->y.shape.d[1], S = c->x[0].shape.d[1];
    for (int64_t b = chunk; b < B; b += s->n_slots)
        for (int64_t frame = 0; frame < T; ++frame) {
            int64_t start = frame * a->hop_samples - a->n_fft / 2;
            if (c->x[0].dtype == ASD_I16)
                window_i16((const int16_t *)c->x[0].x + b * S, S, start, s->window, a->n_fft,
                           t->frame);
            else
                window_f32((const float *)c->x[0].x + b * S, S, start, s->window, a->n_fft,
                           t->frame);
            kiss_fftr(t->fft, t->frame, t->bins);
            power_spectrum(t->bins, a->n_fft / 2 + 1, t->power);
            mel_log(s, a, t->power, (float *)c->y.x + (b * T + frame) * a->n_mels);
        }
}

static asd_status logmel_fwd_cpu(const asd_call *c)
{
    asd_par_for(n_chunks(c->y.shape.d[0]), fwd_chunk, (void *)c);
    return ASD_OK;
}

static double logmel_flops(const asd_node *n, int backward)
{
    const asd_logmel_attr *a = n->attr; /* 2.5 N log2 N for a real transform of N samples */
    return backward
               ? 0
               : (double)asd_rows(n->y.shape) * 2.5 * (double)a->n_fft * log2((double)a->n_fft);
}

#define FLOOR 2.220446049250313e-16
static const asd_logmel_attr baseline       = {1024, 512, 128, 16000, 0, 8000, FLOOR, 0};
static const asd_logmel_attr baseline_cufft = {1024, 512, 128, 16000, 0, 8000, FLOOR, 2};
static const asd_logmel_attr odd            = {18, 5, 3, 16000, 50, 7000, FLOOR, 0};
/* Each length of the fused kernel, with hops that make even, odd and overlapping frames. */
static const asd_logmel_attr fft64   = {64, 27, 9, 16000, 0, 8000, FLOOR, 1};
static const asd_logmel_attr fft128  = {128, 64, 33, 16000, 20, 7600, FLOOR, 1};
static const asd_logmel_attr fft256  = {256, 101, 40, 16000, 0, 8000, FLOOR, 1};
static const asd_logmel_attr fft512  = {512, 160, 64, 16000, 0, 8000, FLOOR, 1};
static const asd_logmel_attr fft2048 = {2048, 512, 130, 16000, 0, 8000, FLOOR, 1};
static const asd_logmel_attr fft4096 = {4096, 1024, 128, 16000, 0, 8000, FLOOR, 1};
static const asd_logmel_attr fft1000 = {1000, 500, 64, 16000, 0, 8000, FLOOR, 0};
#define CASE(B, S, A, type, suffix, is_bench)                                                      \
    {                                                                                              \
        .name = "B=" #B ",S=" #S "," #A suffix, .n_in = 1, .attr = &A, .bench = is_bench,          \
        .in = {{type, {2, {B, S}}}}, .fill = {ASD_FILL_PCM}, .inference = 1,                       \
    }
static const asd_case logmel_cases[] = {
    CASE(1, 1, odd, ASD_F32, "", 0),
    CASE(3, 101, odd, ASD_F32, "", 0),
    CASE(17, 64, odd, ASD_F32, "", 0),
    CASE(3, 331, odd, ASD_I16, ",int16", 0),
    CASE(1, 8191, baseline, ASD_F32, "", 0),
    CASE(2, 6007, baseline, ASD_I16, ",int16", 0),
    CASE(1, 3, baseline, ASD_I16, ",int16", 0),
    CASE(2, 6007, baseline_cufft, ASD_I16, ",int16", 0),
    CASE(3, 1009, fft64, ASD_I16, ",int16", 0),
    CASE(2, 2003, fft128, ASD_F32, "", 0),
    CASE(3, 1501, fft256, ASD_I16, ",int16", 0),
    CASE(2, 3000, fft512, ASD_F32, "", 0),
    CASE(3, 2051, fft512, ASD_I16, ",int16", 0),
    CASE(1, 5001, fft2048, ASD_F32, "", 0),
    CASE(2, 4096, fft2048, ASD_I16, ",int16", 0),
    CASE(2, 7013, fft4096, ASD_I16, ",int16", 0),
    CASE(1, 9000, fft4096, ASD_F32, "", 0),
    CASE(2, 3001, fft1000, ASD_I16, ",int16", 0),
    CASE(1, 160000, baseline, ASD_F32, "", 1),
    CASE(2, 160000, baseline, ASD_I16, ",int16", 1),
    CASE(256, 160000, baseline, ASD_I16, ",int16", 2),
    CASE(256, 160000, baseline_cufft, ASD_I16, ",int16", 2),
    {.name = NULL},
};

const asd_op asd_op_logmel = {
    .name    = "logmel",
    .min_in  = 1,
    .n_in    = 1,
    .infer   = logmel_infer,
    .fwd     = {logmel_fwd_cpu, ASD_CUDA_FN(logmel_fwd_cuda)},
    .prepare = {logmel_prepare, ASD_CUDA_FN(logmel_prepare_cuda)},
    .release = {logmel_release, ASD_CUDA_FN(logmel_release_cuda)},
    .flops   = logmel_flops,
    .cases   = logmel_cases,
};
