/* fbank.c - samples to log-mel energies by Kaldi's definition, normalised: the front-end of BEATs,
 * EAT and SSLAM.
 *
 *   x[j]   = in_scale s[160 t + j],  j < 400       t = 0 .. T-1, frames that fit into the clip
 *   d[j]   = x[j] - mean(x)                        of this frame
 *   e[j]   = d[j] - 0.97 d[j-1],  d[-1] = d[0]
 *   z[j]   = w[j] e[j], zeros up to 512            Hann: w = 0.5 - 0.5 cos(2 pi j / 399)
 *   P[k]   = |sum_j z[j] exp(-2 pi i j k / 512)|^2 Povey: Hann^0.85
 *   E[m]   = sum_{k < 256} h[m, k] P[k]
 *   y      = (ln(max(E, 2^-23)) - mean) / divisor
 *
 *   h[m, k] = max(0, min((mel_k - l) / (c - l), (r - mel_k) / (r - c))),  mel = 1127 ln(1 + f /
 * 700) l, c, r = mel(20) + (m, m+1, m+2) (mel(8000) - mel(20)) / (n_mels + 1)
 *
 * Triangles are linear in mel and not normalised by area. With 128 bands 504 weights are not zero,
 * and band 3 has none: it reads the floor in every frame.
 *
 * s: (B, S) float in [-1, 1), or int16 read as s / 32768
 * y: (B, T2, n_mels), T2 = T, or `frames`: rows behind the clip's end are (0 - mean) / divisor
 *
 * Numerics: fp32. Where a band holds one tiny weight, the rounding of the table shows in the third
 * digit of that weight, and the window's ends lose as much to 1 - cos; so both tables are made in
 * fp32 in the order of the original: mel(20), the step and every product, sum, quotient, cosine,
 * power and logarithm rounded. A pure tone leaves bands in which
 * nothing but the rounding errors of the transform are heard: compare energies, not logarithms.
 * Mapping: a chunk is a run of groups of eight frames (cpu_fft.h); no group crosses clips.
 * See: beats 1, eat-sslam-dasheng 1.3.   Used by: BEATs, EAT, SSLAM.
 */
#include "kernels/fbank.h"

#include "kernels/cpu.h"
#include "kernels/cpu_front.h"

#include "base/par.h"

#include <math.h>

int64_t asd_fbank_frames(int64_t samples)
{
    return samples < ASD_FBANK_FRAME ? 0 : 1 + (samples - ASD_FBANK_FRAME) / ASD_FBANK_HOP;
}

static asd_status fbank_infer(asd_node *n)
{
    const asd_fbank_attr *a = n->attr;
    char                  sx[64];
    if (n->in[0].shape.n != 2 || n->in[0].dtype == ASD_I32)
        return ASD_FAIL(ASD_E_SHAPE, "fbank: x %s, want samples (B, S) as float or int16",
                        asd_shape_text(n->in[0].shape, sx, sizeof sx));
    int64_t T = asd_fbank_frames(n->in[0].shape.d[1]);
    if (T < 1)
        return ASD_FAIL(ASD_E_SHAPE, "fbank: clips of %lld samples, want at least %d (one frame)",
                        (long long)n->in[0].shape.d[1], ASD_FBANK_FRAME);
    if (a->window != ASD_WINDOW_POVEY && a->window != ASD_WINDOW_HANN)
        return ASD_FAIL(ASD_E_CONFIG, "fbank: window %d, want %d (Povey) or %d (Hann)", a->window,
                        ASD_WINDOW_POVEY, ASD_WINDOW_HANN);
    if (a->n_mels < 1 || a->frames < 0)
        return ASD_FAIL(ASD_E_CONFIG, "fbank: %lld bands and %lld frames, want >= 1 and >= 0",
                        (long long)a->n_mels, (long long)a->frames);
    if (!(a->in_scale > 0) || !isfinite(a->in_scale) || !(a->divisor > 0) ||
        !isfinite(a->divisor) || !isfinite(a->mean))
        return ASD_FAIL(ASD_E_CONFIG,
                        "fbank: scale %g, mean %g, divisor %g; want scale and divisor > 0",
                        a->in_scale, a->mean, a->divisor);
    n->y =
        (asd_spec){ASD_F32, ASD_SHAPE3(n->in[0].shape.d[0], a->frames ? a->frames : T, a->n_mels)};
    return ASD_OK;
}

/* Rounded to fp32 after each step, as the original does. */
static float mel_of(float hz)
{
    float ratio = hz / 700.0f;
    float one   = 1.0f + ratio;
    return 1127.0f * (float)log((double)one);
}

static float bin_mel(const void *unused, int64_t k)
{
    (void)unused;
    return mel_of(31.25f * (float)k);
}

int64_t asd_fbank_bands(const asd_fbank_attr *a, asd_mel_band *band, float *weight)
{
    double  low = 1127 * log(1 + 20.0 / 700), high = 1127 * log(1 + 8000.0 / 700);
    float   start = (float)low, step = (float)((high - low) / (double)(a->n_mels + 1));
    int64_t used = 0;
    for (int64_t m = 0; m < a->n_mels; ++m) {
        const float edge[3] = {start + (float)m * step, start + (float)(m + 1) * step,
                               start + (float)(m + 2) * step};
        used = asd_front_triangle(edge, bin_mel, NULL, ASD_FBANK_BINS, used, band ? band + m : NULL,
                                  weight);
    }
    return used;
}

void asd_fbank_window(const asd_fbank_attr *a, double scale, float *window)
{
    const float step = (float)(6.283185307179586 / (ASD_FBANK_FRAME - 1));
    for (int j = 0; j < ASD_FBANK_FRAME; ++j) {
        float angle = (float)j * step;
        float hann  = 0.5f - 0.5f * (float)cos((double)angle);
        float povey = (float)pow((double)hann, (double)0.85f);
        window[j]   = (float)scale * (a->window == ASD_WINDOW_POVEY ? povey : hann);
    }
}

static void fbank_release(asd_call *c)
{
    asd_front_free(c->state);
    c->state = NULL;
}

/* Frames of a clip that are both there and wanted. */
static int64_t frames_of(const asd_call *c)
{
    int64_t T = asd_fbank_frames(c->x[0].shape.d[1]), rows = c->y.shape.d[1];
    return T < rows ? T : rows;
}

static int64_t n_groups(const asd_call *c)
{
    return c->x[0].shape.d[0] * asd_front_groups(frames_of(c));
}

static asd_status fbank_prepare(asd_call *c)
{
    const asd_fbank_attr *a = c->attr;
    asd_front            *f;
    ASD_TRY(asd_front_new("fbank", ASD_FBANK_FFT, ASD_FBANK_FRAME, ASD_FBANK_HOP, a->n_mels,
                          asd_fbank_bands(a, NULL, NULL), n_groups(c), &f));
    asd_fbank_window(a, 1, f->window);
    asd_fbank_bands(a, f->band, f->weight);
    c->state = f;
    return ASD_OK;
}

/* rows: (512), the first 400 with samples: minus their mean, pre-emphasised, windowed. */
ASD_SIMD static void emphasise(const float *window, asd_frames *rows)
{
    asd_frames sum[4] = {{0}};
    for (int j = 0; j < ASD_FBANK_FRAME; j += 4)
        for (int k = 0; k < 4; ++k)
            sum[k] += rows[j + k];
    asd_frames mean   = ((sum[0] + sum[1]) + (sum[2] + sum[3])) / (float)ASD_FBANK_FRAME;
    asd_frames before = rows[0] - mean;
    for (int j = 0; j < ASD_FBANK_FRAME; ++j) {
        asd_frames d = rows[j] - mean;
        rows[j]      = (d - ASD_FBANK_PREEMPHASIS * before) * window[j];
        before       = d;
    }
    for (int j = ASD_FBANK_FRAME; j < ASD_FBANK_FFT; ++j)
        rows[j] = (asd_frames){0};
}

ASD_SIMD static void normalise(float *x, int64_t n, float mean, float divisor)
{
    for (int64_t i = 0; i < n; ++i)
        x[i] = (x[i] - mean) / divisor;
}

/* Frames t .. t+7 of clip b, as far as there are any. */
static void run_group(const asd_call *c, const asd_front *f, const asd_front_slot *s, int64_t b,
                      int64_t t)
{
    const asd_fbank_attr *a = c->attr;
    int64_t T = frames_of(c), n = T - t < ASD_FRAMES ? T - t : ASD_FRAMES, F = a->n_mels;
    float  *y = (float *)c->y.x + (b * c->y.shape.d[1] + t) * F;
    asd_front_samples(&c->x[0], b, t * f->hop, 7 * f->hop + f->frame, (float)a->in_scale, s->span);
    asd_fft_gather(s->span, f->hop, f->frame, s->rows);
    emphasise(f->window, s->rows);
    asd_fft_power(&f->fft, s->rows, s->power);
    asd_front_mel(f, s->power, s->mel);
    asd_front_log((float *)s->mel, F * ASD_FRAMES, ASD_FBANK_FLOOR, 1);
    normalise((float *)s->mel, F * ASD_FRAMES, (float)a->mean, (float)a->divisor);
    asd_fft_scatter(s->mel, F, n, y, F);
    if (t + n == T) {
        float pad = (0.0f - (float)a->mean) / (float)a->divisor;
        for (int64_t i = n * F; i < (c->y.shape.d[1] - t) * F; ++i)
            y[i] = pad;
    }
}

static void fwd_chunk(void *ctx, int64_t chunk)
{
    const asd_call  *c       = ctx;
    const asd_front *f       = c->state;
    int64_t          of_clip = asd_front_groups(frames_of(c)), all = n_groups(c);
    for (int64_t g = asd_front_first(f, all, chunk); g < asd_front_first(f, all, chunk + 1); ++g)
        run_group(c, f, &f->slot[chunk], g / of_clip, g % of_clip * ASD_FRAMES);
}

static asd_status fbank_fwd_cpu(const asd_call *c)
{
    asd_par_for(((const asd_front *)c->state)->n_slots, fwd_chunk, (void *)c);
    return ASD_OK;
}

/* 2.5 N log2 N for a real transform of N samples. */
static double fbank_flops(const asd_node *n, int backward)
{
    int64_t T = asd_fbank_frames(n->in[0].shape.d[1]), rows = n->y.shape.d[1];
    return backward ? 0
                    : (double)n->in[0].shape.d[0] * (double)(T < rows ? T : rows) * 2.5 *
                          ASD_FBANK_FFT * 9;
}

static const asd_fbank_attr beats   = {ASD_WINDOW_POVEY, 32768, 128, 15.41663, 13.11164, 0};
static const asd_fbank_attr eat     = {ASD_WINDOW_HANN, 1, 128, -4.268, 9.138, 0};
static const asd_fbank_attr raw     = {ASD_WINDOW_HANN, 1, 128, 0, 1, 0};
static const asd_fbank_attr raw40   = {ASD_WINDOW_POVEY, 32768, 40, 0, 1, 0};
static const asd_fbank_attr eat7    = {ASD_WINDOW_HANN, 1, 128, -4.268, 9.138, 7};
static const asd_fbank_attr eat16   = {ASD_WINDOW_HANN, 1, 128, -4.268, 9.138, 16};
static const asd_fbank_attr eat1024 = {ASD_WINDOW_HANN, 1, 128, -4.268, 9.138, 1024};
#define CASE(B, S, A, type, suffix, is_bench)                                                      \
    {                                                                                              \
        .name = "B=" #B ",S=" #S "," #A suffix, .n_in = 1, .attr = &A, .bench = is_bench,          \
        .in = {{type, {2, {B, S}}}}, .fill = {ASD_FILL_PCM}, .inference = 1,                       \
    }
static const asd_case fbank_cases[] = {
    CASE(1, 400, raw, ASD_F32, "", 0),
    CASE(2, 559, beats, ASD_F32, "", 0),
    CASE(1, 2000, eat, ASD_F32, "", 0),
    CASE(3, 1999, raw40, ASD_I16, ",int16", 0),
    CASE(2, 1679, raw, ASD_I16, ",int16", 0),
    CASE(3, 1680, beats, ASD_I16, ",int16", 0),
    CASE(2, 1681, eat16, ASD_F32, "", 0),
    CASE(2, 1681, eat7, ASD_I16, ",int16", 0),
    CASE(1, 160000, beats, ASD_F32, "", 1),
    CASE(1, 160000, beats, ASD_I16, ",int16", 1),
    CASE(2, 160000, eat1024, ASD_I16, ",int16", 1),
    CASE(256, 160000, beats, ASD_I16, ",int16", 2),
    {.name = NULL},
};

const asd_op asd_op_fbank = {
    .name      = "fbank",
    .min_in    = 1,
    .n_in      = 1,
    .infer     = fbank_infer,
    .fwd       = {fbank_fwd_cpu, ASD_CUDA_FN(fbank_fwd_cuda)},
    .prepare   = {fbank_prepare, ASD_CUDA_FN(fbank_prepare_cuda)},
    .release   = {fbank_release, ASD_CUDA_FN(fbank_release_cuda)},
    .flops     = fbank_flops,
    .roundings = 4, /* mean, product, difference, window */
    .cases     = fbank_cases,
};
