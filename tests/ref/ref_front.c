/* ref_front.c - front-ends as naive loops in double: the transform by its sum, the bands by
 * their formula at every bin.
 *
 * The windows and the tables of band weights are part of the definitions and are made in fp32 there
 * (beats 1.3, 1.4, eat-sslam-dasheng 1.4), so they are here; every intermediate result has its own
 * name, and with it its own rounding. */
#include "ref/ref_front.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define TWO_PI 6.28318530717958647692

/* power[k] = |sum_j z[j] exp(-2 pi i j k / n)|^2, k = 0 .. n/2 */
static void power_spectrum(const double *z, int64_t n, double *power)
{
    double *c = malloc((size_t)n * 2 * sizeof *c), *s = c + n;
    for (int64_t i = 0; i < n; ++i) {
        c[i] = cos(TWO_PI * (double)i / (double)n);
        s[i] = sin(TWO_PI * (double)i / (double)n);
    }
    for (int64_t k = 0; k <= n / 2; ++k) {
        double re = 0, im = 0;
        for (int64_t j = 0; j < n; ++j) {
            re += z[j] * c[j * k % n];
            im -= z[j] * s[j * k % n];
        }
        power[k] = re * re + im * im;
    }
    free(c);
}

/* Hann over `period` samples. */
static double hann_window(int64_t j, int64_t period)
{
    float step  = (float)(TWO_PI / (double)period);
    float angle = (float)j * step;
    float c     = (float)cos((double)angle);
    float half  = 0.5f * c;
    return (double)(0.5f - half);
}

static float triangle(float at, float left, float centre, float right)
{
    float rise = at - left, up = centre - left, fall = right - at, down = right - centre;
    float a = rise / up, b = fall / down;
    return fmaxf(0, fminf(a, b));
}

/* --- Kaldi --- */

static float kaldi_mel(int k)
{
    float hz    = 31.25f * (float)k;
    float ratio = hz / 700.0f;
    float sum   = 1.0f + ratio;
    float ln    = (float)log((double)sum);
    return 1127.0f * ln;
}

static float kaldi_edge(int64_t n_mels, int64_t i)
{
    double low = 1127.0 * log(1.0 + 20.0 / 700.0), high = 1127.0 * log(1.0 + 8000.0 / 700.0);
    float  delta = (float)((high - low) / (double)(n_mels + 1));
    float  along = (float)i * delta;
    return along + (float)low;
}

void asd_ref_fbank_energy(const asd_fbank_attr *a, const double *x, int64_t t, double *energy)
{
    double frame[400], z[512] = {0}, power[257], mean = 0;
    for (int j = 0; j < 400; ++j) {
        frame[j] = x[160 * t + j] * a->in_scale;
        mean += frame[j] / 400;
    }
    for (int j = 0; j < 400; ++j)
        frame[j] -= mean;
    for (int j = 0; j < 400; ++j) {
        double hann = hann_window(j, 399);
        double window =
            a->window == ASD_WINDOW_HANN ? hann : (double)(float)pow(hann, (double)0.85f);
        /* 0.97 is the fp32 number: what the original multiplies samples with */
        z[j] = window * (frame[j] - (double)0.97f * frame[j > 0 ? j - 1 : 0]);
    }
    power_spectrum(z, 512, power);
    for (int64_t m = 0; m < a->n_mels; ++m) {
        energy[m] = 0;
        for (int k = 0; k < 256; ++k)
            energy[m] += power[k] * (double)triangle(kaldi_mel(k), kaldi_edge(a->n_mels, m),
                                                     kaldi_edge(a->n_mels, m + 1),
                                                     kaldi_edge(a->n_mels, m + 2));
    }
}

void asd_ref_fbank(const asd_node *n, int training, const double *const *x, double *y,
                   double *const *state)
{
    (void)training, (void)state;
    const asd_fbank_attr *a = n->attr;
    int64_t               S = n->in[0].shape.d[1], rows = n->y.shape.d[1], F = a->n_mels;
    int64_t               T    = (S - 400) / 160 + 1;
    double               *clip = malloc((size_t)S * sizeof *clip);
    for (int64_t b = 0; b < n->in[0].shape.d[0]; ++b) {
        for (int64_t i = 0; i < S; ++i)
            clip[i] = x[0][b * S + i] / (n->in[0].dtype == ASD_I16 ? 32768 : 1);
        for (int64_t t = 0; t < rows; ++t) {
            double *row = y + (b * rows + t) * F;
            if (t < T)
                asd_ref_fbank_energy(a, clip, t, row);
            for (int64_t m = 0; m < F; ++m) {
                double ln = t < T ? log(fmax(row[m], 0x1p-23)) : 0;
                row[m]    = (ln - a->mean) / a->divisor;
            }
        }
    }
    free(clip);
}

/* --- torchaudio --- */

/* n points from start to end in fp32: the first half counted from the start, the rest from the end.
 */
static float linspace(float start, float end, int64_t n, int64_t i)
{
    float range = end - start;
    float step  = range / (float)(n - 1);
    float along = step * (float)(i < n / 2 ? i : n - 1 - i);
    return i < n / 2 ? start + along : end - along;
}

static float htk_edge(const asd_meldb_attr *a, int64_t i)
{
    float low      = (float)(2595 * log10(1 + a->fmin_hz / 700));
    float high     = (float)(2595 * log10(1 + a->fmax_hz / 700));
    float mel      = linspace(low, high, a->n_mels + 2, i);
    float exponent = mel / 2595.0f;
    float ratio    = (float)pow(10, (double)exponent);
    float less     = ratio - 1.0f;
    return 700.0f * less;
}

void asd_ref_meldb_energy(const asd_meldb_attr *a, const double *x, int64_t S, int64_t t,
                          double *energy)
{
    int64_t N = a->n_fft, bins = N / 2 + 1;
    double *z = malloc((size_t)N * sizeof *z), *power = malloc((size_t)bins * sizeof *power);
    for (int64_t j = 0; j < N; ++j) {
        int64_t at = labs(t * a->hop_samples + j - N / 2);
        at         = at < S ? at : 2 * S - 2 - at;
        z[j]       = x[at] * hann_window(j, N);
    }
    power_spectrum(z, N, power);
    for (int64_t m = 0; m < a->n_mels; ++m) {
        energy[m] = 0;
        for (int64_t k = 0; k < bins; ++k)
            energy[m] += power[k] * (double)triangle(linspace(0, 8000, bins, k), htk_edge(a, m),
                                                     htk_edge(a, m + 1), htk_edge(a, m + 2));
    }
    free(power);
    free(z);
}

void asd_ref_meldb(const asd_node *n, int training, const double *const *x, double *y,
                   double *const *state)
{
    (void)training, (void)state;
    const asd_meldb_attr *a = n->attr;
    int64_t               S = n->in[0].shape.d[1], rows = n->y.shape.d[1], F = a->n_mels;
    int64_t               T    = S / a->hop_samples + 1;
    double               *clip = malloc((size_t)S * sizeof *clip);
    for (int64_t b = 0; b < n->in[0].shape.d[0]; ++b) {
        double *out = y + b * rows * F, most = -INFINITY;
        for (int64_t i = 0; i < S; ++i)
            clip[i] = x[0][b * S + i] / (n->in[0].dtype == ASD_I16 ? 32768 : 1);
        for (int64_t t = 0; t < T; ++t)
            asd_ref_meldb_energy(a, clip, S, t, out + t * F);
        for (int64_t i = 0; i < T * F; ++i) {
            out[i] = 10 * log10(fmax(out[i], 1e-10));
            most   = fmax(most, out[i]);
        }
        for (int64_t i = 0; i < T * F; ++i)
            out[i] = fmax(out[i], most - a->top_db);
        memset(out + T * F, 0, (size_t)((rows - T) * F) * sizeof *out);
    }
    free(clip);
}
