/* test_channels.c - what is made of a clip's two channels: against naive loops in double, by what
 * must hold for any samples, and files that lack a channel. */
#include "harness.h"

#include "audio/channels.h"
#include "audio/level.h"
#include "audio/stft.h"
#include "base/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define TWO_PI 6.28318530717958647692
static const asd_subtraction usual = {0.5, 0.05, 0};

/* Interleaved: channel 0 a sweep with noise, channel 1 half of it with other noise, channel 2, if
 * there is one, NaN, which nothing may read. */
static float *make_clip(int64_t n, int channels, asd_wav_info *info)
{
    asd_rng rng;
    float  *x = malloc((size_t)(n * channels) * sizeof *x);
    asd_rng_init(&rng, 4, ASD_RNG_TEST, (uint64_t)n, 0);
    for (int64_t i = 0; i < n; ++i) {
        double s        = 0.3 * sin(0.02 * (double)i + 1e-5 * (double)i * (double)i);
        x[i * channels] = (float)(s + 0.05 * asd_rng_normal(&rng));
        if (channels > 1)
            x[i * channels + 1] = (float)(0.5 * s + 0.05 * asd_rng_normal(&rng));
        if (channels > 2)
            x[i * channels + 2] = NAN;
    }
    *info = (asd_wav_info){.frames = n, .channels = channels, .rate_hz = 16000, .bits = 16};
    return x;
}

/* --- references --- */

static double hann(int64_t j)
{
    return 0.5 - 0.5 * cos(TWO_PI * (double)j / 1024);
}

/* X: (513) re, im of the frame of 1024 around sample `centre` of every `stride`-th of x. */
static void ref_frame(const float *x, int64_t n, int stride, int64_t centre, double (*X)[2])
{
    static double turn[1024][2];
    for (int i = 0; i < 1024; ++i) {
        turn[i][0] = cos(TWO_PI * i / 1024);
        turn[i][1] = sin(TWO_PI * i / 1024);
    }
    for (int f = 0; f <= 512; ++f) {
        X[f][0] = X[f][1] = 0;
        for (int j = 0; j < 1024; ++j) {
            int64_t at = centre + j - 512;
            double  v  = at >= 0 && at < n ? (double)x[at * stride] * hann(j) : 0;
            X[f][0] += v * turn[f * j % 1024][0];
            X[f][1] -= v * turn[f * j % 1024][1];
        }
    }
}

static double size_of(const double z[2])
{
    return hypot(z[0], z[1]);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* y: (n), systems B3 word by word. */
static void ref_subtract(const float *x, int64_t n, const asd_subtraction *how, double *y)
{
    int64_t T          = 1 + n / 256;
    double(*X)[513][2] = malloc((size_t)T * sizeof *X);
    double(*Z)[513][2] = malloc((size_t)T * sizeof *Z);
    double *ratio = malloc((size_t)T * 513 * sizeof *ratio), gain = 1;
    double *weight = calloc((size_t)n, sizeof *weight);
    for (int64_t t = 0; t < T; ++t) {
        ref_frame(x, n, 2, 256 * t, X[t]);
        ref_frame(x + 1, n, 2, 256 * t, Z[t]);
        for (int f = 0; f <= 512; ++f)
            ratio[t * 513 + f] = size_of(X[t][f]) / (size_of(Z[t][f]) + 1e-12);
    }
    qsort(ratio, (size_t)T * 513, sizeof *ratio, by_size);
    if (how->gain_median) {
        int64_t all = T * 513;
        gain        = (ratio[(all - 1) / 2] + ratio[all / 2]) / 2;
    }
    memset(y, 0, (size_t)n * sizeof *y);
    for (int64_t t = 0; t < T; ++t) {
        for (int f = 0; f <= 512; ++f) {
            double a = size_of(X[t][f]), b = gain * size_of(Z[t][f]);
            double scale = fmax(a - how->alpha * b, how->floor * a) / (a + 1e-12);
            X[t][f][0] *= scale;
            X[t][f][1] *= scale;
        }
        for (int j = 0; j < 1024; ++j) {
            int64_t at = 256 * t + j - 512;
            if (at < 0 || at >= n)
                continue;
            double v = 0;
            for (int f = 0; f <= 512; ++f) {
                double angle = TWO_PI * (double)(f * j % 1024) / 1024;
                double re    = X[t][f][0] * cos(angle) - X[t][f][1] * sin(angle);
                v += (f % 512 ? 2 : 1) * re / 1024;
            }
            y[at] += v * hann(j);
            weight[at] += hann(j) * hann(j);
        }
    }
    for (int64_t i = 0; i < n; ++i)
        y[i] /= weight[i];
    free(weight);
    free(ratio);
    free(Z);
    free(X);
}

/* --- subtraction --- */

static void check_subtraction(int64_t n, const asd_subtraction *how)
{
    asd_wav_info info;
    float       *x    = make_clip(n, 2, &info), *y;
    double      *want = malloc((size_t)n * sizeof *want);
    assert_ok(asd_channel_subtracted("a.wav", x, &info, how, &y));
    ref_subtract(x, n, how, want);
    for (int64_t i = 0; i < n; ++i)
        assert_near((double)y[i], want[i], 2e-6);
    free(want);
    free(y);
    free(x);
}

/* An even and an odd number of bins, for the median; a clip shorter than half a frame. */
static void test_subtract_naive(void **state)
{
    (void)state;
    static const asd_subtraction median = {0.7, 0.1, 1};
    check_subtraction(1100, &usual);
    check_subtraction(1100, &median);
    check_subtraction(1300, &median);
    check_subtraction(300, &usual);
    check_subtraction(1, &usual);
}

/* How far apart a and scale b are, over n samples. */
static void assert_close(const float *a, const float *b, int stride, double scale, int64_t n)
{
    for (int64_t i = 0; i < n; ++i)
        assert_near((double)a[i], scale * (double)b[i * stride], 1e-6);
}

static void test_subtract_nothing(void **state)
{
    (void)state;
    enum { N = 40000 };
    static const asd_subtraction none = {0, 0.05, 0}, none_median = {0, 1, 1};
    asd_wav_info                 info;
    float                       *x = make_clip(N, 2, &info), *y;
    assert_ok(asd_channel_subtracted("a.wav", x, &info, &none, &y));
    assert_close(y, x, 2, 1, N);
    free(y);
    assert_ok(asd_channel_subtracted("a.wav", x, &info, &none_median, &y));
    assert_close(y, x, 2, 1, N);
    free(y);
    for (int i = 0; i < N; ++i) /* a far microphone that hears nothing */
        x[2 * i + 1] = 0;
    assert_ok(asd_channel_subtracted("a.wav", x, &info, &usual, &y));
    assert_close(y, x, 2, 1, N);
    free(y);
    for (int i = 0; i < N; ++i) /* a near one that hears nothing */
        x[2 * i] = 0;
    assert_ok(asd_channel_subtracted("a.wav", x, &info, &usual, &y));
    for (int i = 0; i < N; ++i)
        assert_true(y[i] == 0);
    free(y);
    free(x);
}

/* A far channel that is the near one, quieter: all that is left is known. */
static void test_subtract_copy(void **state)
{
    (void)state;
    enum { N = 20000 };
    static const asd_subtraction same = {1, 0.05, 0}, part = {2, 0.05, 0}, median = {0.75, 0.05, 1};
    asd_wav_info                 info;
    float                       *x = make_clip(N, 2, &info), *y;
    for (int i = 0; i < N; ++i)
        x[2 * i + 1] = x[2 * i];
    assert_ok(asd_channel_subtracted("a.wav", x, &info, &same, &y));
    assert_close(y, x, 2, 0.05, N);
    free(y);
    for (int i = 0; i < N; ++i)
        x[2 * i + 1] = x[2 * i] / 4;
    assert_ok(asd_channel_subtracted("a.wav", x, &info, &part, &y));
    assert_close(y, x, 2, 0.5, N);
    free(y);
    assert_ok(asd_channel_subtracted("a.wav", x, &info, &median, &y)); /* the gain is 4 */
    assert_close(y, x, 2, 0.25, N);
    free(y);
    free(x);
}

static void test_subtract_refused(void **state)
{
    (void)state;
    static const asd_subtraction bad[] = {{-0.1, 0.05, 0}, {NAN, 0.05, 0}, {1, -1, 0}, {1, 1.5, 0}};
    asd_wav_info                 info;
    float                       *x = make_clip(100, 2, &info), *y = x;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; ++i) {
        assert_fails(asd_channel_subtracted("a.wav", x, &info, &bad[i], &y), ASD_E_CONFIG,
                     "want alpha >= 0");
        assert_null(y);
    }
    free(x);
}

/* --- the other channels --- */

static void test_take(void **state)
{
    (void)state;
    for (int channels = 1; channels <= 3; ++channels) {
        asd_wav_info info;
        float       *x = make_clip(777, channels, &info), *y;
        for (int k = 0; k < channels && k < 2; ++k) {
            assert_ok(asd_channel_take("a.wav", x, &info, k, &y));
            for (int i = 0; i < 777; ++i)
                assert_true(y[i] == x[i * channels + k]);
            free(y);
        }
        free(x);
    }
}

static void test_difference(void **state)
{
    (void)state;
    float        x[]    = {0.5f, 0.25f, -0.9f, 0.9f, 0.9f, -0.9f, 1, 0, -1, 0, 0.1f, 0.3f};
    const float  want[] = {0.25f, -1, 1, 1, -1, 0.1f - 0.3f};
    asd_wav_info info   = {.frames = 6, .channels = 2, .rate_hz = 16000};
    float       *y;
    assert_ok(asd_channel_difference("a.wav", x, &info, &y));
    for (int i = 0; i < 6; ++i)
        assert_true(y[i] == want[i]);
    free(y);
    float *three = make_clip(50, 3, &info);
    assert_ok(asd_channel_difference("a.wav", three, &info, &y));
    for (int i = 0; i < 50; ++i)
        assert_true(y[i] == three[3 * i] - three[3 * i + 1]);
    free(y);
    assert_ok(asd_channel_subtracted("a.wav", three, &info, &usual, &y));
    for (int i = 0; i < 50; ++i)
        assert_true(isfinite(y[i]));
    free(y);
    free(three);
}

static void test_missing(void **state)
{
    (void)state;
    asd_wav_info info;
    float       *x = make_clip(100, 1, &info), *y = x;
    assert_fails(asd_channel_take("m/near only.wav", x, &info, 1, &y), ASD_E_DATA,
                 "m/near only.wav: 1 channel, want at least 2: asked for is the far channel");
    assert_null(y);
    assert_fails(asd_channel_difference("b.wav", x, &info, &y), ASD_E_DATA,
                 "b.wav: 1 channel, want at least 2: the difference needs the far channel");
    assert_null(y);
    y = x;
    assert_fails(asd_channel_subtracted("b.wav", x, &info, &usual, &y), ASD_E_DATA,
                 "b.wav: 1 channel, want at least 2: spectral subtraction needs the far channel");
    assert_null(y);
    info.channels = 0;
    assert_fails(asd_channel_take("b.wav", x, &info, 0, &y), ASD_E_DATA, "0 channels, want at");
    free(x);
}

/* --- spectra and back --- */

static void test_stft_back(void **state)
{
    (void)state;
    static const struct {
        int     n_fft, hop;
        int64_t n;
    } c[] = {{1024, 256, 5000}, {1024, 512, 5120}, {64, 32, 1}, {100, 30, 999}, {4, 1, 17}};
    for (size_t k = 0; k < sizeof c / sizeof *c; ++k) {
        asd_stft    *s;
        asd_wav_info info;
        int64_t      n = c[k].n;
        float       *x = make_clip(n, 1, &info), *y = calloc((size_t)n, sizeof *y);
        float       *weight = calloc((size_t)n, sizeof *weight);
        float(*bins)[2]     = malloc((size_t)(c[k].n_fft / 2 + 1) * sizeof *bins);
        assert_ok(asd_stft_new(c[k].n_fft, c[k].hop, &s));
        assert_int_equal(asd_stft_frames(s, n), 1 + n / c[k].hop);
        for (int64_t t = 0; t < asd_stft_frames(s, n); ++t) {
            asd_stft_frame(s, x, n, t, bins);
            asd_stft_add(s, bins, n, t, y, weight);
        }
        for (int64_t i = 0; i < n; ++i) {
            assert_true(weight[i] > 0);
            assert_near((double)(y[i] / weight[i]), (double)x[i], 1e-6);
        }
        asd_stft_free(s);
        free(bins);
        free(weight);
        free(y);
        free(x);
    }
}

/* --- levels --- */

static void split_clip(const float *x, int64_t n, float *near, float *far)
{
    for (int64_t i = 0; i < n; ++i) {
        near[i] = x[2 * i];
        far[i]  = x[2 * i + 1];
    }
}

static void test_level_naive(void **state)
{
    (void)state;
    static const int edge[] = {2, 4, 8, 16, 32, 64, 128, 256, 513};
    enum { N = 2600, T = 1 + N / 512 };
    asd_wav_info info;
    float       *x = make_clip(N, 2, &info), near[N], far[N], y[ASD_LEVEL_D];
    double       level[ASD_LEVEL_BANDS][T], X[513][2];
    split_clip(x, N, near, far);
    for (int t = 0; t < T; ++t) {
        double power[2][ASD_LEVEL_BANDS] = {{0}};
        for (int c = 0; c < 2; ++c) {
            ref_frame(x + c, N, 2, 512 * t, X);
            for (int b = 1; b < ASD_LEVEL_BANDS; ++b)
                for (int f = edge[b - 1]; f < edge[b]; ++f)
                    power[c][b] += X[f][0] * X[f][0] + X[f][1] * X[f][1];
            for (int f = 2; f <= 512; ++f)
                power[c][0] += X[f][0] * X[f][0] + X[f][1] * X[f][1];
        }
        for (int b = 0; b < ASD_LEVEL_BANDS; ++b)
            level[b][t] = log(power[0][b] + 1e-10) - log(power[1][b] + 1e-10);
    }
    assert_ok(asd_level_features("a.wav", near, far, N, y));
    for (int b = 0; b < ASD_LEVEL_BANDS; ++b) {
        double mean = 0, square = 0;
        for (int t = 0; t < T; ++t)
            mean += level[b][t] / T;
        for (int t = 0; t < T; ++t)
            square += (level[b][t] - mean) * (level[b][t] - mean) / T;
        assert_near((double)y[b], mean, 1e-5);
        assert_near((double)y[ASD_LEVEL_BANDS + b], sqrt(square), 1e-5);
    }
    free(x);
}

static void test_level_known(void **state)
{
    (void)state;
    enum { N = 16000 };
    static float near[N], far[N];
    float        y[ASD_LEVEL_D], z[ASD_LEVEL_D];
    asd_wav_info info;
    float       *x = make_clip(N, 2, &info);
    split_clip(x, N, near, far);
    assert_ok(asd_level_features("a.wav", near, far, N, y));
    assert_ok(asd_level_features("a.wav", far, near, N, z));
    for (int b = 0; b < ASD_LEVEL_BANDS; ++b) { /* the other way round */
        assert_near((double)z[b], -(double)y[b], 1e-6);
        assert_near((double)z[ASD_LEVEL_BANDS + b], (double)y[ASD_LEVEL_BANDS + b], 1e-6);
        assert_true(y[ASD_LEVEL_BANDS + b] > 0.01f);
    }
    for (int i = 0; i < N; ++i) /* half the amplitude everywhere */
        far[i] = near[i] / 2;
    assert_ok(asd_level_features("a.wav", near, far, N, y));
    for (int b = 0; b < ASD_LEVEL_BANDS; ++b) {
        assert_near((double)y[b], log(4), 2e-4);
        assert_near((double)y[ASD_LEVEL_BANDS + b], 0, 2e-4);
    }
    memset(near, 0, sizeof near);
    memset(far, 0, sizeof far);
    assert_ok(asd_level_features("a.wav", near, far, N, y));
    for (int i = 0; i < ASD_LEVEL_D; ++i)
        assert_true(y[i] == 0);
    free(x);
}

/* A tone in the middle of each octave lifts that band, and broadband with it, most. */
static void test_level_bands(void **state)
{
    (void)state;
    enum { N = 8192 };
    static float near[N], far[N];
    asd_rng      rng;
    asd_rng_init(&rng, 5, ASD_RNG_TEST, 0, 0);
    for (int i = 0; i < N; ++i)
        far[i] = (float)(1e-3 * asd_rng_normal(&rng));
    for (int b = 1; b < ASD_LEVEL_BANDS; ++b) {
        double hz = 31.25 * pow(2, b - 1) * 1.5;
        float  y[ASD_LEVEL_D];
        for (int i = 0; i < N; ++i)
            near[i] = far[i] + (float)(0.3 * sin(TWO_PI * hz * i / 16000));
        assert_ok(asd_level_features("a.wav", near, far, N, y));
        for (int other = 1; other < ASD_LEVEL_BANDS; ++other)
            assert_true(other == b || y[other] < y[b]);
        assert_true(y[0] > 4 && y[0] < y[b]);
    }
}

static void test_level_short(void **state)
{
    (void)state;
    float x[3] = {0.1f, 0.2f, 0.3f}, y[ASD_LEVEL_D];
    assert_ok(asd_level_features("a.wav", x, x, 3, y));
    for (int i = 0; i < ASD_LEVEL_D; ++i)
        assert_true(y[i] == 0);
    assert_fails(asd_level_features("e.wav", x, x, 0, y), ASD_E_DATA, "e.wav: no samples");
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("audio/subtract/naive/lengths-and-gain", test_subtract_naive),
    ASD_CASE("audio/subtract/nothing/near-comes-back", test_subtract_nothing),
    ASD_CASE("audio/subtract/copy/known-rest", test_subtract_copy),
    ASD_CASE("audio/subtract/refused/alpha-and-floor", test_subtract_refused),
    ASD_CASE("audio/channel/take/one-to-three", test_take),
    ASD_CASE("audio/channel/difference/clipped", test_difference),
    ASD_CASE("audio/channel/missing/names-the-file", test_missing),
    ASD_CASE("audio/stft/back/any-length", test_stft_back),
    ASD_CASE("audio/level/naive/each-band", test_level_naive),
    ASD_CASE("audio/level/known/swap-half-silence", test_level_known),
    ASD_CASE("audio/level/bands/tone-in-each", test_level_bands),
    ASD_CASE("audio/level/short/one-frame-and-none", test_level_short),
};
ASD_TEST_MAIN(cases)
