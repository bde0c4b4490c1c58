/* test_front.c - what the cases of test_ops cannot say about the encoders' front-ends, on every
 * backend that there is: the check values of their specifications (beats 1 and 11,
 * eat-sslam-dasheng 1 and 8), tones, silence, neighbours in a batch, and what is refused. */
#include "op_rig.h"
#include "ref/ref_front.h"
#include "ref/synthetic.h"

#include "base/device.h"
#include "kernels/fbank.h"
#include "kernels/meldb.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const asd_fbank_attr RAW     = {ASD_WINDOW_POVEY, 32768, 128, 0, 1, 0};
static const asd_fbank_attr BEATS   = {ASD_WINDOW_POVEY, 32768, 128, 15.41663, 13.11164, 0};
static const asd_fbank_attr EAT_RAW = {ASD_WINDOW_HANN, 1, 128, 0, 1, 0};
static const asd_fbank_attr EAT     = {ASD_WINDOW_HANN, 1, 128, -4.268, 9.138, 1024};
static const asd_meldb_attr DASHENG = {512, 160, 64, 0, 8000, 120, 0};

static int n_backends(void)
{
    const char *why;
    return asd_cuda_count(&why) > 0 && asd_op_fbank.fwd[ASD_CUDA] ? 2 : 1;
}

/* Runs an op on x: (B, S) of `dtype`. Returns y, caller frees. *rows: frames of a clip. */
static float *run(const asd_op *op, const void *attr, asd_dtype dtype, int64_t B, int64_t S,
                  const void *x, int backend, int64_t *rows)
{
    asd_case c = {.name      = "front",
                  .n_in      = 1,
                  .attr      = attr,
                  .in        = {{dtype, {2, {B, S}}}},
                  .fill      = {ASD_FILL_PCM},
                  .inference = 1};
    op_rig   r;
    op_rig_new(&r, op, &c, (asd_backend)backend, 0);
    memcpy(r.fresh[0], x, (size_t)(B * S) * asd_dtype_size(dtype));
    op_rig_fwd(&r);
    size_t bytes = (size_t)asd_count(r.node.y.shape) * sizeof(float);
    float *y     = malloc(bytes);
    memcpy(y, op_rig_host(&r.y), bytes);
    *rows = r.node.y.shape.d[1];
    op_rig_free(&r);
    return y;
}

static float *clip(int64_t n, void (*make)(int64_t, float *))
{
    float *x = malloc((size_t)n * sizeof *x);
    make(n, x);
    return x;
}

static double mean_of(const float *x, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; ++i)
        sum += (double)x[i];
    return sum / (double)n;
}

/* --- the generator --- */

static void test_synthetic(void **state)
{
    (void)state;
    static const double waveform[] = {0.441343, 0.892053, 0.0547975, 0.148436};
    static const double wave[]     = {0.37490046, -0.24520540, -0.10096765, -0.92583561};
    static const double sweep[]    = {0.01874502, 0.04249142, 0.10310345, 0.11259452, 0.19304173};
    float               x[5];
    assert_true(asd_synthetic_seed("waveform") == 0xa60ca2c33703a772u);
    assert_true(asd_synthetic_seed("wave") == 0x5e2cc5f62bdfe2b4u);
    for (int j = 0; j < 4; ++j) {
        assert_near(asd_synthetic_at(asd_synthetic_seed("waveform"), j), waveform[j], 1e-6);
        assert_near(asd_synthetic_at(asd_synthetic_seed("wave"), j), wave[j], 1e-8);
    }
    asd_synthetic_sweep(5, x);
    for (int j = 0; j < 5; ++j)
        assert_near((double)x[j], sweep[j], 1e-8);
    asd_synthetic_noise(5, x);
    assert_near((double)x[1], 0.0892053, 1e-7);
}

/* --- tables --- */

static void test_window(void **state)
{
    (void)state;
    float  w[ASD_FBANK_FRAME];
    double sum = 0;
    asd_fbank_window(&BEATS, 1, w);
    for (int j = 0; j < ASD_FBANK_FRAME; ++j) {
        sum += (double)w[j];
        assert_near((double)w[j], (double)w[ASD_FBANK_FRAME - 1 - j], 3e-7); /* cosines in fp32 */
    }
    assert_true(w[0] == 0 && w[399] == 0);
    assert_near((double)w[1], 2.6513456e-4, 1e-10);
    assert_near((double)w[50], 0.19614591, 1e-8);
    assert_near((double)w[100], 0.55664062, 1e-7);
    assert_near((double)w[199], 0.99998683, 1e-7);
    assert_near((double)w[200], 0.99998683, 1e-7);
    assert_near(sum, 212.146989, 1e-5);
    asd_fbank_window(&EAT, 0.25, w);
    assert_near((double)w[100], 0.25 * (0.5 - 0.5 * cos(6.283185307179586 * 100 / 399)), 1e-8);
}

static void test_fbank_bands(void **state)
{
    (void)state;
    static const struct {
        int    band, first, n;
        double w[10];
    } want[] = {
        {0, 1, 1, {.8026373}},
        {1, 2, 1, {.03096626}},
        {2, 2, 1, {.9690337}},
        {3, 0, 0, {0}},
        {4, 3, 1, {.9516037}},
        {5, 3, 1, {.04839637}},
        {6, 4, 1, {.9525394}},
        {7, 4, 2, {.04746064, .02781247}},
        {8, 5, 1, {.9721875}},
        {9, 6, 1, {.172087}},
        {10, 6, 1, {.827913}},
        {11, 7, 1, {.3805823}},
        {12, 7, 1, {.6194177}},
        {13, 8, 1, {.6490063}},
        {14, 8, 1, {.3509937}},
        {15, 9, 1, {.9734814}},
        {64, 57, 4, {.05235593, .7002809, .6597902, .02767794}},
        {127,
         246,
         10,
         {.1062589, .298781, .4905853, .6816831, .8720856, .9382184, .7492177, .56089, .3732575,
          .1862867}},
    };
    asd_mel_band band[128];
    float        weight[600];
    double       sum = 0;
    assert_int_equal(asd_fbank_bands(&BEATS, NULL, NULL), 504);
    assert_int_equal(asd_fbank_bands(&BEATS, band, weight), 504);
    for (int i = 0; i < 504; ++i)
        sum += (double)weight[i];
    assert_near(sum, 252.61051, 1e-4);
    for (size_t i = 0; i < sizeof want / sizeof *want; ++i) {
        const asd_mel_band *b = &band[want[i].band];
        assert_int_equal(b->n, want[i].n);
        assert_int_equal(b->first, want[i].first);
        for (int k = 0; k < want[i].n; ++k) /* 6 weights depend on the logarithm, beats 1.4 */
            assert_near((double)weight[b->weight + k], want[i].w[k], 2e-7);
    }
}

static void test_meldb_bands(void **state)
{
    (void)state;
    asd_mel_band band[64];
    float        weight[600];
    double       least = 1;
    assert_int_equal(asd_meldb_bands(&DASHENG, NULL, NULL), 500);
    assert_int_equal(asd_meldb_bands(&DASHENG, band, weight), 500);
    for (int m = 0; m < 64; ++m) {
        double peak = 0;
        assert_true(band[m].n >= 1 && band[m].first >= 1 && band[m].first + band[m].n <= 256);
        for (int64_t k = 0; k < band[m].n; ++k)
            peak = fmax(peak, (double)weight[band[m].weight + k]);
        least = fmin(least, peak);
    }
    assert_near(least, 0.70, 0.005);
}

/* --- check values --- */

static void test_beats(void **state)
{
    (void)state;
    static const double first[] = {11.5204, 8.68454, 12.1279, -15.9424,
                                   14.4261, 11.4474, 14.7858, 11.8049};
    static const double last[]  = {23.3514, 23.2198, 22.7934, 23.3076,
                                   23.3444, 23.5986, 23.5147, 22.2029};
    static const double norm[]  = {-0.297155, -0.513443, -0.250822, -2.39169};
    float              *x       = clip(16000, asd_synthetic_noise);
    for (int backend = 0; backend < n_backends(); ++backend) {
        int64_t T, n = 98 * 128;
        float  *y = run(&asd_op_fbank, &RAW, ASD_F32, 1, 16000, x, backend, &T);
        assert_int_equal(T, 98);
        for (int m = 0; m < 8; ++m) {
            assert_near((double)y[m], first[m], 6e-5);
            assert_near((double)y[97 * 128 + 120 + m], last[m], 6e-5);
        }
        double mean = mean_of(y, n), square = 0;
        for (int64_t i = 0; i < n; ++i)
            square += ((double)y[i] - mean) * ((double)y[i] - mean);
        assert_near(mean, 18.713497, 2e-6);
        assert_near(sqrt(square / (double)(n - 1)), 4.443405, 2e-6);
        free(y);
        y = run(&asd_op_fbank, &BEATS, ASD_F32, 1, 16000, x, backend, &T);
        for (int m = 0; m < 4; ++m)
            assert_near((double)y[m], norm[m], 6e-6);
        free(y);
    }
    free(x);
}

typedef struct spot {
    int    row, column;
    double value;
} spot;

static void check_spots(const float *y, int64_t F, const spot *s, int n, double tolerance)
{
    for (int i = 0; i < n; ++i)
        assert_near((double)y[s[i].row * F + s[i].column], s[i].value, tolerance);
}

static void test_eat(void **state)
{
    (void)state;
    static const spot raw[] = {{0, 0, -10.344031},
                               {0, 64, -2.2659578},
                               {500, 10, -5.6556617},
                               {500, 100, -0.1013034},
                               {997, 127, 0.6743845}};
    float            *x     = clip(160000, asd_synthetic_sweep);
    for (int backend = 0; backend < n_backends(); ++backend) {
        int64_t T;
        float  *y = run(&asd_op_fbank, &EAT_RAW, ASD_F32, 1, 160000, x, backend, &T);
        assert_int_equal(T, 998);
        assert_near(mean_of(y, 998 * 128), -2.7039209, 2e-6);
        check_spots(y, 128, raw, 1, 5e-5); /* a few roundings of the sweep leak into band 0 */
        check_spots(y, 128, raw + 1, 4, 1e-5);
        for (int64_t t = 0; t < T; ++t)
            assert_near((double)y[t * 128 + 3], -15.942385, 1e-6);
        free(y);
        y = run(&asd_op_fbank, &EAT, ASD_F32, 1, 160000, x, backend, &T);
        assert_int_equal(T, 1024);
        assert_near(mean_of(y, 1024 * 128), 0.17867513, 1e-6);
        for (int64_t i = 998 * 128; i < 1024 * 128; ++i)
            assert_near((double)y[i], 0.46706063, 3e-8);
        assert_near((double)y[3], -1.2775646, 1e-6);
        free(y);
    }
    free(x);
}

static void test_dasheng(void **state)
{
    (void)state;
    static const spot want[] = {{0, 0, 16.1816937},
                                {0, 3, 19.7911036},
                                {500, 10, 15.7062494},
                                {1000, 63, 1.2086628},
                                {777, 30, -2.8703763}};
    float            *x      = clip(160000, asd_synthetic_sweep);
    for (int backend = 0; backend < n_backends(); ++backend) {
        int64_t T;
        float  *y    = run(&asd_op_meldb, &DASHENG, ASD_F32, 1, 160000, x, backend, &T);
        float   most = -INFINITY, least = INFINITY;
        assert_int_equal(T, 1001);
        for (int64_t i = 0; i < T * 64; ++i) {
            most  = fmaxf(most, y[i]);
            least = fminf(least, y[i]);
        }
        assert_near((double)most, 33.1196057, 1e-5);
        assert_near((double)least, -38.9771157, 5e-4); /* 72 dB down: roundings of the loudest */
        assert_near(mean_of(y, T * 64), -1.0603389, 5e-6);
        check_spots(y, 64, want, 5, 2e-5);
        free(y);
    }
    free(x);
}

/* --- loud beside quiet --- */

/* A tone: far from it nothing but the transform's rounding errors is heard, so energies are
 * compared, beside the frame's loudest. */
static void test_tone(void **state)
{
    (void)state;
    enum { S = 4000, N = 1 + (S - 400) / 160 };
    float  x[S];
    double clean[S], want[128];
    for (int i = 0; i < S; ++i) {
        x[i]     = (float)(0.5 * sin(6.283185307179586 * 997 * i / 16000));
        clean[i] = (double)x[i];
    }
    for (int backend = 0; backend < n_backends(); ++backend) {
        int64_t T;
        float  *y = run(&asd_op_fbank, &EAT_RAW, ASD_F32, 1, S, x, backend, &T);
        assert_int_equal(T, N);
        for (int64_t t = 0; t < T; ++t) {
            double most = 0;
            asd_ref_fbank_energy(&EAT_RAW, clean, t, want);
            for (int m = 0; m < 128; ++m)
                most = fmax(most, want[m]);
            for (int m = 0; m < 128; ++m)
                assert_near(exp((double)y[t * 128 + m]), fmax(want[m], 0x1p-23),
                            2e-6 * want[m] + 1e-9 * most + 1e-13);
        }
        free(y);
    }
}

static void test_silence(void **state)
{
    (void)state;
    enum { S = 4 * 16000 / 10 };
    int16_t x[S] = {0};
    for (int i = 0; i < S / 2; ++i) /* loud before, so that frames side by side differ */
        x[i] = (int16_t)(30000 * sin(0.3 * i * i / S));
    for (int backend = 0; backend < n_backends(); ++backend) {
        int64_t T;
        float  *y = run(&asd_op_fbank, &RAW, ASD_I16, 1, S, x, backend, &T);
        float  *z = run(&asd_op_fbank, &BEATS, ASD_I16, 1, S, x, backend, &T);
        for (int64_t t = S / 2 / 160 + 1; t < T; ++t)
            for (int m = 0; m < 128; ++m) {
                assert_true(y[t * 128 + m] == -15.942385f);
                assert_near((double)z[t * 128 + m], -2.3916928, 3e-7);
            }
        free(y);
        free(z);
        asd_meldb_attr wide = DASHENG; /* the floor of energies, not that of the clip */
        wide.top_db         = 1000;
        y                   = run(&asd_op_meldb, &wide, ASD_I16, 1, S, x, backend, &T);
        for (int64_t t = (S / 2 + 256) / 160 + 1; t < T; ++t)
            for (int m = 0; m < 64; ++m)
                assert_near((double)y[t * 64 + m], -100, 8e-6);
        free(y);
    }
}

/* --- neighbours --- */

static void fill_pcm(int16_t *x, int64_t n, double level, const char *name)
{
    uint64_t seed = asd_synthetic_seed(name);
    for (int64_t i = 0; i < n; ++i)
        x[i] = (int16_t)nearbyint(32767 * level * asd_synthetic_at(seed, i));
}

/* int16 is x / 32768 exactly, and a clip knows nothing of the others. Odd lengths, so that clips
 * start at odd samples; numbers of frames that leave groups of eight unfilled. */
static void check_neighbours(const asd_op *op, const void *attr, int64_t S, int backend)
{
    enum { B = 3 };
    int16_t *x = malloc((size_t)(B * S) * sizeof *x);
    float   *f = malloc((size_t)(B * S) * sizeof *f);
    int64_t  T;
    fill_pcm(x, S, 1e-4, "quiet");
    fill_pcm(x + S, S, 0.9, "loud");
    fill_pcm(x + 2 * S, S, 0.01, "between");
    for (int64_t i = 0; i < B * S; ++i)
        f[i] = (float)x[i] / 32768;
    float *all  = run(op, attr, ASD_I16, B, S, x, backend, &T);
    float *same = run(op, attr, ASD_F32, B, S, f, backend, &T);
    size_t size = (size_t)T * (op == &asd_op_fbank ? 128 : 64);
    assert_memory_equal(all, same, B * size * sizeof(float));
    for (int64_t b = 0; b < B; ++b) {
        float *alone = run(op, attr, ASD_I16, 1, S, x + b * S, backend, &T);
        assert_memory_equal(alone, all + (size_t)b * size, size * sizeof(float));
        free(alone);
    }
    free(same);
    free(all);
    free(f);
    free(x);
}

static void test_neighbours(void **state)
{
    (void)state;
    asd_fbank_attr padded = BEATS, cut = BEATS;
    asd_meldb_attr zeros = DASHENG;
    padded.frames        = 25;
    cut.frames           = 9;
    zeros.frames         = 30;
    for (int backend = 0; backend < n_backends(); ++backend) {
        check_neighbours(&asd_op_fbank, &BEATS, 3333, backend);
        check_neighbours(&asd_op_fbank, &padded, 3333, backend);
        check_neighbours(&asd_op_fbank, &cut, 3333, backend);
        check_neighbours(&asd_op_meldb, &DASHENG, 3333, backend);
        check_neighbours(&asd_op_meldb, &zeros, 3333, backend);
    }
}

/* Frames that are cut or put behind leave the others as they are. */
static void test_frames(void **state)
{
    (void)state;
    enum { S = 2500, T0 = 1 + (S - 400) / 160 };
    float *x = clip(S, asd_synthetic_sweep);
    for (int backend = 0; backend < n_backends(); ++backend)
        for (int64_t frames = 1; frames <= 24; frames += frames == 1 ? T0 - 2 : 5) {
            asd_fbank_attr a = EAT;
            int64_t        T, rows;
            a.frames    = 0;
            float *want = run(&asd_op_fbank, &a, ASD_F32, 1, S, x, backend, &T);
            a.frames    = frames;
            float *y    = run(&asd_op_fbank, &a, ASD_F32, 1, S, x, backend, &rows);
            assert_int_equal(T, T0);
            assert_int_equal(rows, frames);
            int64_t both = T < rows ? T : rows;
            assert_memory_equal(y, want, (size_t)both * 128 * sizeof *y);
            for (int64_t i = both * 128; i < rows * 128; ++i)
                assert_true(y[i] == (0.0f - -4.268f) / 9.138f);
            free(y);
            free(want);
        }
    free(x);
}

/* The loudest value is the clip's own: top_db below it nothing is quieter, and something is just
 * there; zeros behind do not count as loud. */
static void test_clamp(void **state)
{
    (void)state;
    enum { B = 2, S = 4801 };
    asd_meldb_attr a = {512, 160, 64, 0, 8000, 15, 40};
    int16_t        x[B * S];
    fill_pcm(x, S, 1e-3, "quiet");
    fill_pcm(x + S, S, 0.9, "loud");
    for (int backend = 0; backend < n_backends(); ++backend) {
        int64_t rows, T = 1 + S / 160;
        float  *y = run(&asd_op_meldb, &a, ASD_I16, B, S, x, backend, &rows);
        assert_int_equal(rows, 40);
        for (int64_t b = 0; b < B; ++b) {
            const float *clip_y = y + b * rows * 64;
            float        most = -INFINITY, least = INFINITY;
            for (int64_t i = 0; i < T * 64; ++i) {
                most  = fmaxf(most, clip_y[i]);
                least = fminf(least, clip_y[i]);
            }
            assert_true(b == 0 ? most < 0 : most > 20);
            assert_true(least == most - 15.0f);
            for (int64_t i = T * 64; i < rows * 64; ++i)
                assert_true(clip_y[i] == 0);
        }
        free(y);
    }
}

/* --- errors --- */

static asd_status infer(const asd_op *op, const void *attr, asd_dtype dtype, int64_t S)
{
    asd_node n = {.op = op, .attr = attr, .n_in = 1, .in = {{dtype, ASD_SHAPE2(2, S)}}};
    return op->infer(&n);
}

static void test_fbank_refused(void **state)
{
    (void)state;
    asd_fbank_attr a = BEATS;
    assert_int_equal(asd_fbank_frames(399), 0);
    assert_int_equal(asd_fbank_frames(559), 1);
    assert_int_equal(asd_fbank_frames(560), 2);
    assert_int_equal(asd_fbank_frames(480000), 2998);
    assert_fails(infer(&asd_op_fbank, &a, ASD_F32, 399), ASD_E_SHAPE, "399 samples, want at least");
    assert_fails(infer(&asd_op_fbank, &a, ASD_I32, 400), ASD_E_SHAPE, "int16");
    a.window = 2;
    assert_fails(infer(&asd_op_fbank, &a, ASD_F32, 400), ASD_E_CONFIG, "window 2");
    a        = BEATS;
    a.n_mels = 0;
    assert_fails(infer(&asd_op_fbank, &a, ASD_F32, 400), ASD_E_CONFIG, "0 bands");
    a        = BEATS;
    a.frames = -1;
    assert_fails(infer(&asd_op_fbank, &a, ASD_F32, 400), ASD_E_CONFIG, "-1 frames");
    a         = BEATS;
    a.divisor = 0;
    assert_fails(infer(&asd_op_fbank, &a, ASD_F32, 400), ASD_E_CONFIG, "divisor 0");
    a          = BEATS;
    a.in_scale = NAN;
    assert_fails(infer(&asd_op_fbank, &a, ASD_F32, 400), ASD_E_CONFIG, "scale nan");
    assert_ok(infer(&asd_op_fbank, &BEATS, ASD_I16, 400));
}

static void test_meldb_refused(void **state)
{
    (void)state;
    asd_meldb_attr a = DASHENG;
    assert_fails(infer(&asd_op_meldb, &a, ASD_F32, 256), ASD_E_SHAPE, "256 samples, want more");
    assert_ok(infer(&asd_op_meldb, &a, ASD_I16, 257));
    assert_fails(infer(&asd_op_meldb, &a, ASD_I32, 300), ASD_E_SHAPE, "int16");
    a.n_fft = 400;
    assert_fails(infer(&asd_op_meldb, &a, ASD_F32, 900), ASD_E_CONFIG, "n_fft 400");
    a.n_fft = 8192;
    assert_fails(infer(&asd_op_meldb, &a, ASD_F32, 9000), ASD_E_CONFIG, "n_fft 8192");
    a         = DASHENG;
    a.fmax_hz = 8001;
    assert_fails(infer(&asd_op_meldb, &a, ASD_F32, 900), ASD_E_CONFIG, "8001 Hz");
    a        = DASHENG;
    a.top_db = 0;
    assert_fails(infer(&asd_op_meldb, &a, ASD_F32, 900), ASD_E_CONFIG, "top_db 0");
    a        = DASHENG;
    a.frames = 6;
    assert_ok(infer(&asd_op_meldb, &a, ASD_F32, 900));
    assert_fails(infer(&asd_op_meldb, &a, ASD_F32, 960), ASD_E_CONFIG, "the clips' 7");
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("front/synthetic/known-answers", test_synthetic),
    ASD_CASE("front/fbank/window/check-values", test_window),
    ASD_CASE("front/fbank/bands/check-values", test_fbank_bands),
    ASD_CASE("front/meldb/bands/check-values", test_meldb_bands),
    ASD_CASE("front/fbank/beats/check-values", test_beats),
    ASD_CASE("front/fbank/eat/check-values", test_eat),
    ASD_CASE("front/meldb/dasheng/check-values", test_dasheng),
    ASD_CASE("front/fbank/energy/tone", test_tone),
    ASD_CASE("front/both/silence/beside-noise", test_silence),
    ASD_CASE("front/both/bits/alone-and-in-a-batch", test_neighbours),
    ASD_CASE("front/fbank/frames/cut-and-padded", test_frames),
    ASD_CASE("front/meldb/clamp/per-clip", test_clamp),
    ASD_CASE("front/fbank/refused/each-reason", test_fbank_refused),
    ASD_CASE("front/meldb/refused/each-reason", test_meldb_refused),
};
ASD_TEST_MAIN(cases)
