/* meldb.c - samples to a mel spectrogram in decibels by torchaudio's definition: the front-end of
 * Dasheng.
 *
 *   X[t, k] = sum_j w[j] x[t hop + j - n_fft/2] exp(-2 pi i j k / n_fft)   x mirrored at its ends
 *   w[j]    = 0.5 - 0.5 cos(2 pi j / n_fft)                                periodic Hann
 *   E[t, m] = sum_k h[m, k] |X[t, k]|^2
 *   dB      = 10 log10(max(E, 1e-10))
 *   y       = max(dB, max of the clip's dB - top_db)
 *
 *   h[m, k] = max(0, min((f_k - p_m) / (p_{m+1} - p_m), (p_{m+2} - f_k) / (p_{m+2} - p_{m+1})))
 *   p_m     = 700 (10^(mel_m / 2595) - 1), mel_m equally spaced, mel(f) = 2595 log10(1 + f / 700)
 *
 * Triangles are linear in Hz and not normalised by area. The original takes the maximum over the
 * whole batch, so that a clip's features depend on its neighbours; here it is the clip's own, which
 * is what the original gives one clip at a time.
 *
 * x: (B, S) float in [-1, 1), or int16 read as x / 32768; S > n_fft/2, else there is no mirror
 * y: (B, T2, n_mels), T2 = T = 1 + floor(S / hop), or `frames` >= T: rows of zeros behind
 *
 * Numerics: fp32, the window and the mel table too, in the order of the original.
 * Mapping: a chunk is a run of groups of eight frames (cpu_fft.h); then one chunk per clip for the
 * clamp.
 * See: eat-sslam-dasheng 1.4.   Used by: Dasheng.
 */
#include "kernels/meldb.h"

#include "kernels/cpu.h"
#include "kernels/cpu_front.h"

#include "base/par.h"

#include <math.h>

#define RATE_HZ 16000.0

static int64_t frames_of(const asd_meldb_attr *a, int64_t S)
{
    return 1 + S / a->hop_samples;
}

int64_t asd_meldb_blocks(const asd_meldb_attr *a, int64_t frames)
{
    int64_t per_block = asd_meldb_frames_block(a->n_fft);
    return (frames + per_block - 1) / per_block;
}

static asd_status meldb_infer(asd_node *n)
{
    const asd_meldb_attr *a = n->attr;
    char                  sx[64];
    if (n->in[0].shape.n != 2 || n->in[0].dtype == ASD_I32)
        return ASD_FAIL(ASD_E_SHAPE, "meldb: x %s, want samples (B, S) as float or int16",
                        asd_shape_text(n->in[0].shape, sx, sizeof sx));
    if (a->n_fft < 64 || !asd_fft_takes(a->n_fft) || a->hop_samples < 1 || a->n_mels < 1)
        return ASD_FAIL(ASD_E_CONFIG,
                        "meldb: n_fft %lld, hop %lld, %lld bands; want a power of two from 64 to "
                        "%d, hop and bands >= 1",
                        (long long)a->n_fft, (long long)a->hop_samples, (long long)a->n_mels,
                        ASD_FFT_MOST);
    if (!(a->fmin_hz >= 0 && a->fmin_hz < a->fmax_hz && a->fmax_hz <= RATE_HZ / 2))
        return ASD_FAIL(ASD_E_CONFIG, "meldb: bands from %g to %g Hz, want 0 <= fmin < fmax <= %g",
                        a->fmin_hz, a->fmax_hz, RATE_HZ / 2);
    if (!(a->top_db > 0) || !isfinite(a->top_db))
        return ASD_FAIL(ASD_E_CONFIG, "meldb: top_db %g, want > 0", a->top_db);
    int64_t S = n->in[0].shape.d[1], T = frames_of(a, S);
    if (S <= a->n_fft / 2)
        return ASD_FAIL(ASD_E_SHAPE,
                        "meldb: clips of %lld samples, want more than %lld (half a frame)",
                        (long long)S, (long long)a->n_fft / 2);
    if (a->frames && a->frames < T)
        return ASD_FAIL(ASD_E_CONFIG, "meldb: %lld frames, want 0 or at least the clips' %lld",
                        (long long)a->frames, (long long)T);
    n->y =
        (asd_spec){ASD_F32, ASD_SHAPE3(n->in[0].shape.d[0], a->frames ? a->frames : T, a->n_mels)};
    n->fwd_work_bytes = (size_t)n->in[0].shape.d[0] * (size_t)asd_meldb_blocks(a, T) * 2 *
                        sizeof(float); /* CUDA: the extremes of each block */
    return ASD_OK;
}

/* Point i of n from 0 .. n-1 between the ends, counted from the nearer one, in fp32. */
static float spaced(float start, float end, int64_t n, int64_t i)
{
    float step = (end - start) / (float)(n - 1);
    return i < n / 2 ? start + step * (float)i : end - step * (float)(n - 1 - i);
}

static double mel_of(double hz)
{
    return 2595 * log10(1 + hz / 700);
}

static float edge(const asd_meldb_attr *a, int64_t m)
{
    float mel = spaced((float)mel_of(a->fmin_hz), (float)mel_of(a->fmax_hz), a->n_mels + 2, m);
    return 700.0f * ((float)pow(10, (double)(mel / 2595.0f)) - 1.0f);
}

static float bin_hz(const void *bins, int64_t k)
{
    return spaced(0, (float)(RATE_HZ / 2), *(const int64_t *)bins, k);
}

int64_t asd_meldb_bands(const asd_meldb_attr *a, asd_mel_band *band, float *weight)
{
    int64_t used = 0, bins = a->n_fft / 2 + 1;
    for (int64_t m = 0; m < a->n_mels; ++m) {
        const float corner[3] = {edge(a, m), edge(a, m + 1), edge(a, m + 2)};
        used =
            asd_front_triangle(corner, bin_hz, &bins, bins, used, band ? band + m : NULL, weight);
    }
    return used;
}

void asd_meldb_window(const asd_meldb_attr *a, double scale, float *window)
{
    const float step = (float)(6.283185307179586 / (double)a->n_fft);
    for (int64_t j = 0; j < a->n_fft; ++j) {
        float angle = (float)j * step;
        window[j]   = (float)scale * (0.5f - 0.5f * (float)cos((double)angle));
    }
}

static void meldb_release(asd_call *c)
{
    asd_front_free(c->state);
    c->state = NULL;
}

static int64_t groups_of_clip(const asd_call *c)
{
    return asd_front_groups(frames_of(c->attr, c->x[0].shape.d[1]));
}

static asd_status meldb_prepare(asd_call *c)
{
    const asd_meldb_attr *a = c->attr;
    asd_front            *f;
    ASD_TRY(asd_front_new("meldb", a->n_fft, a->n_fft, a->hop_samples, a->n_mels,
                          asd_meldb_bands(a, NULL, NULL), c->x[0].shape.d[0] * groups_of_clip(c),
                          &f));
    asd_meldb_window(a, 1, f->window);
    asd_meldb_bands(a, f->band, f->weight);
    c->state = f;
    return ASD_OK;
}

ASD_SIMD static void multiply(const float *window, int64_t n, asd_frames *rows)
{
    for (int64_t j = 0; j < n; ++j)
        rows[j] *= window[j];
}

/* Frames t .. t+7 of clip b, as far as there are any, without the clamp. */
static void run_group(const asd_call *c, const asd_front *f, const asd_front_slot *s, int64_t b,
                      int64_t t)
{
    int64_t T = frames_of(c->attr, c->x[0].shape.d[1]), F = f->n_mels;
    asd_front_samples(&c->x[0], b, t * f->hop - f->frame / 2, 7 * f->hop + f->frame, 1, s->span);
    asd_fft_gather(s->span, f->hop, f->frame, s->rows);
    multiply(f->window, f->frame, s->rows);
    asd_fft_power(&f->fft, s->rows, s->power);
    asd_front_mel(f, s->power, s->mel);
    asd_front_log((float *)s->mel, F * ASD_FRAMES, ASD_MELDB_FLOOR,
                  4.3429448190325175f /* 10 / ln 10 */);
    asd_fft_scatter(s->mel, F, T - t < ASD_FRAMES ? T - t : ASD_FRAMES,
                    (float *)c->y.x + (b * c->y.shape.d[1] + t) * F, F);
}

static void fwd_chunk(void *ctx, int64_t chunk)
{
    const asd_call  *c       = ctx;
    const asd_front *f       = c->state;
    int64_t          of_clip = groups_of_clip(c), all = of_clip * c->x[0].shape.d[0];
    for (int64_t g = asd_front_first(f, all, chunk); g < asd_front_first(f, all, chunk + 1); ++g)
        run_group(c, f, &f->slot[chunk], g / of_clip, g % of_clip * ASD_FRAMES);
}

ASD_SIMD static float largest(const float *x, int64_t n)
{
    float most[ASD_LANES];
    for (int k = 0; k < ASD_LANES; ++k)
        most[k] = x[0];
    int64_t i = 0;
    for (; i + ASD_LANES <= n; i += ASD_LANES)
        for (int k = 0; k < ASD_LANES; ++k)
            most[k] = x[i + k] > most[k] ? x[i + k] : most[k];
    for (; i < n; ++i)
        most[0] = x[i] > most[0] ? x[i] : most[0];
    for (int k = 1; k < ASD_LANES; ++k)
        most[0] = most[k] > most[0] ? most[k] : most[0];
    return most[0];
}

ASD_SIMD static void raise_to(float *x, int64_t n, float least)
{
    for (int64_t i = 0; i < n; ++i)
        x[i] = x[i] < least ? least : x[i];
}

static void clamp_chunk(void *ctx, int64_t b)
{
    const asd_call       *c = ctx;
    const asd_meldb_attr *a = c->attr;
    int64_t               F = a->n_mels, n = frames_of(a, c->x[0].shape.d[1]) * F;
    float                *y = (float *)c->y.x + b * c->y.shape.d[1] * F;
    raise_to(y, n, largest(y, n) - (float)a->top_db);
    for (int64_t i = n; i < c->y.shape.d[1] * F; ++i)
        y[i] = 0;
}

static asd_status meldb_fwd_cpu(const asd_call *c)
{
    asd_par_for(((const asd_front *)c->state)->n_slots, fwd_chunk, (void *)c);
    asd_par_for(c->x[0].shape.d[0], clamp_chunk, (void *)c);
    return ASD_OK;
}

static double meldb_flops(const asd_node *n, int backward)
{
    const asd_meldb_attr *a = n->attr; /* 2.5 N log2 N for a real transform of N samples */
    return backward ? 0
                    : (double)n->in[0].shape.d[0] * (double)frames_of(a, n->in[0].shape.d[1]) *
                          2.5 * (double)a->n_fft * log2((double)a->n_fft);
}

static const asd_meldb_attr dasheng = {512, 160, 64, 0, 8000, 120, 0};
static const asd_meldb_attr clamped = {512, 160, 64, 0, 8000, 20, 0};
static const asd_meldb_attr padded  = {512, 160, 64, 0, 8000, 30, 16};
static const asd_meldb_attr fft64   = {64, 27, 9, 50, 7000, 120, 0};
static const asd_meldb_attr fft1024 = {1024, 320, 128, 0, 8000, 25, 0};
static const asd_meldb_attr fft4096 = {4096, 1001, 128, 0, 8000, 120, 0};
#define CASE(B, S, A, type, suffix, is_bench)                                                      \
    {                                                                                              \
        .name = "B=" #B ",S=" #S "," #A suffix, .n_in = 1, .attr = &A, .bench = is_bench,          \
        .in = {{type, {2, {B, S}}}}, .fill = {ASD_FILL_PCM}, .inference = 1,                       \
    }
static const asd_case meldb_cases[] = {
    CASE(1, 257, dasheng, ASD_F32, "", 0),
    CASE(2, 1281, dasheng, ASD_I16, ",int16", 0),
    CASE(3, 2001, clamped, ASD_F32, "", 0),
    CASE(3, 1999, padded, ASD_I16, ",int16", 0),
    CASE(3, 1009, fft64, ASD_I16, ",int16", 0),
    CASE(2, 5001, fft1024, ASD_F32, "", 0),
    CASE(1, 7013, fft4096, ASD_I16, ",int16", 0),
    CASE(1, 160000, dasheng, ASD_F32, "", 1),
    CASE(2, 160000, dasheng, ASD_I16, ",int16", 1),
    CASE(256, 160000, dasheng, ASD_I16, ",int16", 2),
    {.name = NULL},
};

const asd_op asd_op_meldb = {
    .name      = "meldb",
    .min_in    = 1,
    .n_in      = 1,
    .infer     = meldb_infer,
    .fwd       = {meldb_fwd_cpu, ASD_CUDA_FN(meldb_fwd_cuda)},
    .prepare   = {meldb_prepare, ASD_CUDA_FN(meldb_prepare_cuda)},
    .release   = {meldb_release, ASD_CUDA_FN(meldb_release_cuda)},
    .flops     = meldb_flops,
    .roundings = 2, /* sample, window */
    .cases     = meldb_cases,
};
