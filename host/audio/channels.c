/* channels.c - the channels of a clip, and what is made of two.
 *
 * Subtraction. X1, X2: STFT of near and far, 1024 samples, hop 256, periodic Hann, centred, zeros
 * off the clip.
 *
 *   |Y| = max(|X1| - alpha g |X2|, floor |X1|)
 *   Y   = |Y| X1 / (|X1| + 1e-12)
 *   g   = 1, or the median over all bins and frames of |X1| / (|X2| + 1e-12)
 *   y   = overlap-add of the inverse with the same window, divided by the sum of its squares
 *
 * alpha below 1, because the far microphone often hears the machine as loud as the near one: with 1
 * most bins would fall to the floor.
 * See: systems B3, B4; Boll 1979; Berouti et al. 1979.
 */
#include "audio/channels.h"

#include "audio/stft.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N_FFT = 1024, HOP = 256, BINS = N_FFT / 2 + 1 };
#define TINY 1e-12f

static const char *const name[] = {"near", "far"};

static asd_status need(const char *path, const asd_wav_info *info, int channel, const char *what)
{
    if (info->channels > channel)
        return ASD_OK;
    return ASD_FAIL(ASD_E_DATA, "%s: %d channel%s, want at least %d: %s the %s channel", path,
                    info->channels, info->channels == 1 ? "" : "s", channel + 1, what,
                    name[channel]);
}

static asd_status room(const char *path, int64_t n, float **y)
{
    *y = malloc((size_t)n * sizeof **y + 1);
    return *y ? ASD_OK : ASD_FAIL(ASD_E_OOM, "%s: no memory for %lld samples", path, (long long)n);
}

asd_status asd_channel_take(const char *path, const float *x, const asd_wav_info *info, int channel,
                            float **y)
{
    *y = NULL;
    ASD_ASSERT(channel == 0 || channel == 1);
    ASD_TRY(need(path, info, channel, "asked for is"));
    ASD_TRY(room(path, info->frames, y));
    for (int64_t i = 0; i < info->frames; ++i)
        (*y)[i] = x[i * info->channels + channel];
    return ASD_OK;
}

asd_status asd_channel_difference(const char *path, const float *x, const asd_wav_info *info,
                                  float **y)
{
    *y = NULL;
    ASD_TRY(need(path, info, 1, "the difference needs"));
    ASD_TRY(room(path, info->frames, y));
    for (int64_t i = 0; i < info->frames; ++i) {
        float d = x[i * info->channels] - x[i * info->channels + 1];
        (*y)[i] = d > 1 ? 1 : d < -1 ? -1 : d;
    }
    return ASD_OK;
}

/* --- subtraction --- */

typedef struct subtract {
    asd_stft *stft;
    float    *near, *far; /* (n) */
    float    *weight;     /* (n) sum of squared windows */
    int64_t   n;
    float     near_bins[BINS][2], far_bins[BINS][2];
} subtract;

static float magnitude(const float bin[2])
{
    return sqrtf(bin[0] * bin[0] + bin[1] * bin[1]);
}

/* The k-th smallest (from 0) of n numbers >= 0, by counting first the upper and then the lower
 * halves of their bits, which are in the numbers' order. count: (65536) */
static float kth(const float *x, int64_t n, int64_t k, int64_t *count)
{
    uint32_t upper = 0, bits;
    for (int half = 0; half < 2; ++half) {
        memset(count, 0, 65536 * sizeof *count);
        for (int64_t i = 0; i < n; ++i) {
            memcpy(&bits, &x[i], sizeof bits);
            if (half == 0)
                ++count[bits >> 16];
            else if (bits >> 16 == upper)
                ++count[bits & 0xffff];
        }
        uint32_t at = 0;
        for (; k >= count[at]; ++at)
            k -= count[at];
        if (half == 0)
            upper = at;
        else
            bits = upper << 16 | at;
    }
    float found;
    memcpy(&found, &bits, sizeof found);
    return found;
}

static asd_status median_gain(const char *path, subtract *s, float *gain)
{
    int64_t  T = asd_stft_frames(s->stft, s->n), n = T * BINS;
    float   *ratio = malloc((size_t)n * sizeof *ratio);
    int64_t *count = malloc(65536 * sizeof *count);
    if (ratio && count) {
        for (int64_t t = 0; t < T; ++t) {
            asd_stft_frame(s->stft, s->near, s->n, t, s->near_bins);
            asd_stft_frame(s->stft, s->far, s->n, t, s->far_bins);
            for (int f = 0; f < BINS; ++f)
                ratio[t * BINS + f] =
                    magnitude(s->near_bins[f]) / (magnitude(s->far_bins[f]) + TINY);
        }
        *gain = 0.5f * (kth(ratio, n, (n - 1) / 2, count) + kth(ratio, n, n / 2, count));
    }
    asd_status st =
        ratio && count ? ASD_OK
                       : ASD_FAIL(ASD_E_OOM, "%s: no memory for its %lld bins", path, (long long)n);
    free(count);
    free(ratio);
    return st;
}

/* y: (n), zero */
static void subtract_frames(subtract *s, float alpha, float floor, float *y)
{
    for (int64_t t = 0; t < asd_stft_frames(s->stft, s->n); ++t) {
        asd_stft_frame(s->stft, s->near, s->n, t, s->near_bins);
        asd_stft_frame(s->stft, s->far, s->n, t, s->far_bins);
        for (int f = 0; f < BINS; ++f) {
            float near = magnitude(s->near_bins[f]), far = magnitude(s->far_bins[f]);
            float less = near - alpha * far, least = floor * near;
            float scale = (less > least ? less : least) / (near + TINY);
            s->near_bins[f][0] *= scale;
            s->near_bins[f][1] *= scale;
        }
        asd_stft_add(s->stft, s->near_bins, s->n, t, y, s->weight);
    }
    for (int64_t i = 0; i < s->n; ++i)
        y[i] /= s->weight[i];
}

static asd_status run_subtraction(const char *path, subtract *s, const asd_subtraction *how,
                                  float **y)
{
    float gain = 1;
    ASD_TRY(asd_stft_new(N_FFT, HOP, &s->stft));
    if (how->gain_median)
        ASD_TRY(median_gain(path, s, &gain));
    s->weight = calloc((size_t)s->n + 1, sizeof *s->weight);
    *y        = calloc((size_t)s->n + 1, sizeof **y);
    if (!s->weight || !*y)
        return ASD_FAIL(ASD_E_OOM, "%s: no memory for %lld samples", path, (long long)s->n);
    subtract_frames(s, (float)how->alpha * gain, (float)how->floor, *y);
    return ASD_OK;
}

asd_status asd_channel_subtracted(const char *path, const float *x, const asd_wav_info *info,
                                  const asd_subtraction *how, float **y)
{
    *y = NULL;
    if (!(how->alpha >= 0 && isfinite(how->alpha)) || !(how->floor >= 0 && how->floor <= 1))
        return ASD_FAIL(ASD_E_CONFIG,
                        "spectral subtraction: alpha %g, floor %g; want alpha >= 0 and a floor "
                        "from 0 to 1",
                        how->alpha, how->floor);
    ASD_TRY(need(path, info, 1, "spectral subtraction needs"));
    subtract *s = calloc(1, sizeof *s);
    if (!s)
        return ASD_FAIL(ASD_E_OOM, "%s: no memory for its spectra", path);
    s->n          = info->frames;
    asd_status st = asd_channel_take(path, x, info, 0, &s->near);
    if (!st)
        st = asd_channel_take(path, x, info, 1, &s->far);
    if (!st)
        st = run_subtraction(path, s, how, y);
    if (st) {
        free(*y);
        *y = NULL;
    }
    asd_stft_free(s->stft);
    free(s->near);
    free(s->far);
    free(s->weight);
    free(s);
    return st;
}
