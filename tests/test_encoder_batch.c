/* test_encoder_batch.c - small random encoders of every kind: a clip's bits do not depend on its
 * batch, every layer and pooling, all lengths, what is refused; and CUDA (a GPU, or the shim)
 * against the CPU in fp32 and bf16. */
#include "harness.h"
#include "ref/synthetic.h"

#include "base/device.h"
#include "models/encoder.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const kinds[] = {"beats", "eat", "sslam", "dasheng"};
enum { KINDS = 4 };

static asd_encoder *tiny(const char *kind)
{
    asd_encoder *e;
    assert_ok(asd_encoder_random(kind, 1, 7, &e));
    return e;
}

/* Clips of different loudness: (B, S). Free it. */
static float *clips(int64_t B, int64_t S)
{
    float *x = malloc((size_t)(B * S) * sizeof *x);
    for (int64_t b = 0; b < B; ++b) {
        char name[16];
        snprintf(name, sizeof name, "clip %d", (int)b);
        asd_synthetic_fill(name, 0.3 / (double)(1 + b), S, x + b * S);
    }
    return x;
}

/* (B, n_layers, rows, dim); free it. size: elements of one clip. */
static float *embed(asd_encoder *e, const float *x, int64_t B, int64_t S, const int *layers,
                    int n_layers, asd_pool pool, int64_t *size)
{
    asd_encoder_run *r;
    assert_ok(asd_encoder_plan(e, B, S, layers, n_layers, pool, NULL, 0, &r));
    *size    = n_layers * asd_encoder_rows(r) * asd_encoder_dim(r);
    float *y = malloc((size_t)(B * *size) * sizeof *y);
    assert_ok(asd_encoder_forward(r, x, y));
    for (int64_t i = 0; i < B * *size; ++i)
        assert_true(isfinite(y[i]));
    asd_encoder_run_free(r);
    return y;
}

static void check_batch(const char *kind, int64_t S, asd_pool pool)
{
    enum { B = 3 };
    static const int layers[3] = {2, 0, 1};
    asd_encoder     *e         = tiny(kind);
    float           *x         = clips(B, S);
    int64_t          size, one;
    float           *all = embed(e, x, B, S, layers, 3, pool, &size);
    for (int b = 0; b < B; ++b) {
        float *y = embed(e, x + b * S, 1, S, layers, 3, pool, &one);
        assert_int_equal(one, size);
        if (memcmp(y, all + b * size, (size_t)size * sizeof *y) != 0)
            fail_msg("%s, %ld samples, %s: clip %d has other bits in a batch", kind, (long)S,
                     asd_pool_name(pool), b);
        free(y);
    }
    /* a layer alone, and which clip is which */
    float *last = embed(e, x, B, S, (int[]){1}, 1, pool, &one);
    assert_int_equal(3 * one, size);
    for (int b = 0; b < B; ++b)
        assert_memory_equal(last + b * one, all + b * size + 2 * one, (size_t)one * sizeof *last);
    assert_memory_not_equal(all, all + size, (size_t)size * sizeof *all);
    free(last);
    free(all);
    free(x);
    asd_encoder_close(e);
}

static void test_bits(void **state)
{
    (void)state;
    for (int k = 0; k < KINDS; ++k)
        for (int p = 0; p < ASD_POOL_HEAD; ++p) {
            asd_encoder_desc d;
            assert_ok(asd_encoder_default(kinds[k], 1, &d));
            if (p != ASD_POOL_CLS || d.n_cls)
                check_batch(kinds[k], 16177, (asd_pool)p);
        }
    check_batch("dasheng", 170001, ASD_POOL_NONE); /* two chunks, the second short */
}

/* Means over tokens made by hand from the tokens themselves. */
static void test_pools(void **state)
{
    (void)state;
    for (int k = 0; k < KINDS; ++k) {
        enum { S = 20000, C = 64 };
        asd_encoder            *e = tiny(kinds[k]);
        const asd_encoder_desc *d = asd_encoder_describe(e);
        float                  *x = clips(1, S);
        int64_t                 n, P = asd_encoder_tokens(d, S), bands = asd_encoder_bands(d);
        float                  *all = embed(e, x, 1, S, (int[]){2}, 1, ASD_POOL_NONE, &n);
        assert_int_equal(n, (d->n_cls + P) * C);
        const float *patch = all + d->n_cls * C;
        float       *mean  = embed(e, x, 1, S, (int[]){2}, 1, ASD_POOL_MEAN, &n);
        float       *both  = embed(e, x, 1, S, (int[]){2}, 1, ASD_POOL_MEANSTD, &n);
        float       *gem   = embed(e, x, 1, S, (int[]){2}, 1, ASD_POOL_GEM, &n);
        float       *times = embed(e, x, 1, S, (int[]){2}, 1, ASD_POOL_TIME, &n);
        assert_int_equal(n, P / bands * C);
        for (int c = 0; c < C; ++c) {
            double m = 0, var = 0, cube = 0, slot = 0;
            for (int64_t p = 0; p < P; ++p) {
                double v = (double)patch[p * C + c];
                m += v / (double)P;
                cube += pow(fmax(v, 1e-6), 3) / (double)P;
                slot += p < bands ? v / (double)bands : 0;
            }
            for (int64_t p = 0; p < P; ++p)
                var += pow((double)patch[p * C + c] - m, 2) / (double)P;
            assert_near((double)mean[c], m, 1e-6);
            assert_near((double)both[c], m, 1e-6);
            assert_near((double)both[C + c], sqrt(var), 1e-5);
            assert_near((double)gem[c], cbrt(cube), 1e-5);
            assert_near((double)times[c], slot, 1e-6);
        }
        if (d->n_cls) {
            float *cls = embed(e, x, 1, S, (int[]){2}, 1, ASD_POOL_CLS, &n);
            assert_memory_equal(cls, all, C * sizeof *cls);
            free(cls);
        }
        free(all), free(mean), free(both), free(gem), free(times), free(x);
        asd_encoder_close(e);
    }
}

/* Shortest, odd, 12 s and longer than a chunk; and tokens as the specifications count them. */
static void test_lengths(void **state)
{
    static const struct {
        const char *kind;
        int64_t     S, tokens;
    } want[] = {
        {"beats", 2800, 8},       {"beats", 160000, 496}, {"beats", 192000, 592},
        {"beats", 480000, 1496},  {"eat", 160000, 512},   {"eat", 96000, 304},
        {"eat", 288000, 912},     {"dasheng", 480, 1},    {"dasheng", 16000, 25},
        {"dasheng", 240000, 375},
    };
    static const int64_t odd[] = {4801, 33333, 192000, 240000};
    (void)state;
    for (size_t i = 0; i < sizeof want / sizeof *want; ++i) {
        asd_encoder_desc d;
        assert_ok(asd_encoder_default(want[i].kind, 0, &d));
        assert_int_equal(asd_encoder_tokens(&d, want[i].S), want[i].tokens);
    }
    for (int k = 0; k < KINDS; ++k) {
        asd_encoder            *e = tiny(kinds[k]);
        const asd_encoder_desc *d = asd_encoder_describe(e);
        int64_t most = asd_encoder_max_samples(d), least = asd_encoder_min_samples(d);
        for (int i = -1; i < 4; ++i) {
            int64_t S = i < 0 ? least : odd[i], n;
            float  *x = clips(1, S);
            free(embed(e, x, 1, S, (int[]){2}, 1, ASD_POOL_NONE, &n));
            assert_int_equal(n, 64 * (d->n_cls + asd_encoder_tokens(d, S)));
            free(x);
        }
        asd_encoder_run *r;
        assert_fails(asd_encoder_plan(e, 1, least - 1, (int[]){1}, 1, ASD_POOL_MEAN, NULL, 0, &r),
                     ASD_E_CONFIG, "samples at 16000 Hz");
        assert_null(r);
        if (most < INT64_MAX)
            assert_fails(
                asd_encoder_plan(e, 1, most + 1, (int[]){1}, 1, ASD_POOL_MEAN, NULL, 0, &r),
                ASD_E_CONFIG, "samples at 16000 Hz");
        asd_encoder_close(e);
    }
}

static void test_refused(void **state)
{
    asd_encoder     *e = tiny("beats"), *other;
    asd_encoder_run *r;
    char             key[1024];
    (void)state;
    assert_fails(asd_encoder_plan(e, 1, 16000, (int[]){3}, 1, ASD_POOL_MEAN, NULL, 0, &r),
                 ASD_E_CONFIG, "layers 0 to 2");
    assert_fails(asd_encoder_plan(e, 1, 16000, (int[]){1, 1}, 2, ASD_POOL_MEAN, NULL, 0, &r),
                 ASD_E_CONFIG, "each once");
    assert_fails(asd_encoder_plan(e, 1, 16000, (int[]){1}, 1, ASD_POOL_CLS, NULL, 0, &r),
                 ASD_E_CONFIG, "no class token");
    assert_fails(asd_encoder_plan(e, 1, 16000, (int[]){2}, 1, ASD_POOL_HEAD, NULL, 0, &r),
                 ASD_E_CONFIG, "fine-tuned");
    assert_fails(asd_encoder_set_frames(e, 512, 0), ASD_E_CONFIG, "without padding");
    assert_fails(asd_encoder_set_chunk_tail(e, ASD_TAIL_PAD), ASD_E_CONFIG, "does not cut");
    assert_ok(asd_encoder_random("tiny_beats", 0, 7, &other)); /* the same by its other name */
    assert_string_equal(asd_encoder_key(e), asd_encoder_key(other));
    asd_encoder_close(other);
    asd_encoder_close(e);
    e = tiny("eat");
    snprintf(key, sizeof key, "%s", asd_encoder_key(e));
    assert_fails(asd_encoder_set_frames(e, 500, 0), ASD_E_CONFIG, "multiple of 16");
    assert_fails(asd_encoder_set_frames(e, 0, 0), ASD_E_CONFIG, "one of the two");
    assert_ok(asd_encoder_set_frames(e, 0, 16));
    assert_string_not_equal(key, asd_encoder_key(e)); /* what changes the result changes the key */
    assert_int_equal(asd_encoder_tokens(asd_encoder_describe(e), 160000), 504);
    asd_encoder_close(e);
    assert_fails(asd_encoder_random("resnet", 1, 1, &e), ASD_E_CONFIG, "dasheng");
}

static void test_cuda(void **state)
{
    static const int64_t S[KINDS] = {5600, 4000, 4000, 3000};
    const char          *why;
    (void)state;
    if (asd_cuda_count(&why) == 0 || !asd_op_attention.fwd[ASD_CUDA])
        skip();
    for (int k = 0; k < KINDS; ++k) {
        asd_gpu    *gpu;
        asd_stream *s;
        int64_t     n;
        assert_ok(asd_gpu_open(0, &gpu));
        assert_ok(asd_stream_new(gpu, &s));
        asd_encoder *e    = tiny(kinds[k]);
        float       *x    = clips(2, S[k]), y[2][2 * 2 * 64];
        float       *want = embed(e, x, 2, S[k], (int[]){0, 2}, 2, ASD_POOL_MEAN, &n);
        for (int bf16 = 0; bf16 < 2; ++bf16) {
            asd_encoder_run *r;
            assert_ok(asd_encoder_plan(e, 2, S[k], (int[]){0, 2}, 2, ASD_POOL_MEAN, s, bf16, &r));
            assert_ok(asd_encoder_forward(r, x, y[bf16]));
            asd_encoder_run_free(r);
        }
        for (int i = 0; i < 2 * 2 * 64; ++i)
            assert_near((double)y[0][i], (double)want[i], 1e-4);
        for (int v = 0; v < 4; ++v)
            if (!(asd_test_cosine(y[1] + v * 64, want + v * 64, 64) >= 0.9995))
                fail_msg("%s: bf16 vector %d has cosine %g with fp32", kinds[k], v,
                         asd_test_cosine(y[1] + v * 64, want + v * 64, 64));
        free(want);
        free(x);
        asd_encoder_close(e);
        asd_stream_free(s);
        asd_gpu_close(gpu);
    }
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("models/batch/same-bits-as-alone", test_bits),
    ASD_CASE("models/pools/from-tokens", test_pools),
    ASD_CASE("models/lengths/all", test_lengths),
    ASD_CASE("models/config/refused", test_refused),
    ASD_CASE("models/cuda/against-cpu", test_cuda),
};
ASD_TEST_MAIN(cases)
