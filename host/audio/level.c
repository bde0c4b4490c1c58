/* level.c - see level.h. Sums over bins and frames in double. */
#include "audio/level.h"

#include "audio/stft.h"

#include <math.h>
#include <stdlib.h>

enum { N_FFT = 1024, HOP = 512, BINS = N_FFT / 2 + 1, FIRST = 2 };

/* power: (ASD_LEVEL_BANDS) broadband and octaves of one frame's bins. */
static void band_powers(float (*bins)[2], double *power)
{
    power[0] = 0;
    for (int b = 1, from = FIRST; b < ASD_LEVEL_BANDS; ++b, from *= 2) {
        int to   = b + 1 < ASD_LEVEL_BANDS ? 2 * from : BINS;
        power[b] = 0;
        for (int f = from; f < to; ++f)
            power[b] +=
                (double)bins[f][0] * (double)bins[f][0] + (double)bins[f][1] * (double)bins[f][1];
        power[0] += power[b];
    }
}

static double difference(double near, double far)
{
    return log(near + 1e-10) - log(far + 1e-10);
}

/* level: (T, ASD_LEVEL_BANDS) */
static void summarise(const double *level, int64_t T, float *y)
{
    for (int b = 0; b < ASD_LEVEL_BANDS; ++b) {
        double mean = 0, square = 0;
        for (int64_t t = 0; t < T; ++t)
            mean += level[t * ASD_LEVEL_BANDS + b];
        mean /= (double)T;
        for (int64_t t = 0; t < T; ++t) {
            double d = level[t * ASD_LEVEL_BANDS + b] - mean;
            square += d * d;
        }
        y[b]                   = (float)mean;
        y[ASD_LEVEL_BANDS + b] = (float)sqrt(square / (double)T);
    }
}

asd_status asd_level_features(const char *path, const float *near, const float *far, int64_t n,
                              float *y)
{
    asd_stft *stft;
    if (n < 1)
        return ASD_FAIL(ASD_E_DATA, "%s: no samples to compare the channels' levels", path);
    ASD_TRY(asd_stft_new(N_FFT, HOP, &stft));
    int64_t T     = asd_stft_frames(stft, n);
    double *level = malloc((size_t)T * ASD_LEVEL_BANDS * sizeof *level);
    if (level)
        for (int64_t t = 0; t < T; ++t) {
            float  bins[BINS][2];
            double a[ASD_LEVEL_BANDS], b[ASD_LEVEL_BANDS];
            asd_stft_frame(stft, near, n, t, bins);
            band_powers(bins, a);
            asd_stft_frame(stft, far, n, t, bins);
            band_powers(bins, b);
            for (int i = 0; i < ASD_LEVEL_BANDS; ++i)
                level[t * ASD_LEVEL_BANDS + i] = difference(a[i], b[i]);
        }
    asd_status st =
        level ? ASD_OK : ASD_FAIL(ASD_E_OOM, "%s: no memory for %lld frames", path, (long long)T);
    if (!st)
        summarise(level, T, y);
    free(level);
    asd_stft_free(stft);
    return st;
}
