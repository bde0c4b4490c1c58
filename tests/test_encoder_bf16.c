/* test_encoder_bf16.c - encoders in bf16 on the CPU: close to fp32, on noise and on every real
 * clip; the same bits in any batch and with any number of threads. CUDA's are in
 * test_encoder_batch.c. */
#include "harness.h"
#include "ref/synthetic.h"

#include "audio/wav.h"
#include "base/par.h"
#include "models/encoder.h"

#include <glob.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

static const char *const kinds[] = {"beats", "eat", "sslam", "dasheng"};
enum { KINDS = 4, C = 64 };

/* What whole encoders are held to as well. */
static const double least = 0.9995;

static asd_encoder_run *plan(asd_encoder *e, int64_t B, int64_t S, int bf16)
{
    asd_encoder_run *r;
    assert_ok(asd_encoder_plan(e, B, S, (int[]){2, 0}, 2, ASD_POOL_MEAN, NULL, bf16, &r));
    assert_int_equal(asd_encoder_dim(r), C);
    return r;
}

/* y: (B, 2, C), layers 2 and 0 */
static void embed(asd_encoder *e, const float *x, int64_t B, int64_t S, int bf16, float *y)
{
    asd_encoder_run *r = plan(e, B, S, bf16);
    assert_ok(asd_encoder_forward(r, x, y));
    asd_encoder_run_free(r);
}

static void test_close_to_fp32(void **state)
{
    enum { B = 3, S = 21000 };
    static float x[B * S];
    (void)state;
    for (int b = 0; b < B; ++b)
        asd_synthetic_fill(kinds[b], 0.3 / (1 + b), S, x + b * S);
    for (int k = 0; k < KINDS; ++k) {
        asd_encoder *e;
        float        want[B * 2 * C], got[B * 2 * C];
        assert_ok(asd_encoder_random(kinds[k], 1, 7, &e));
        embed(e, x, B, S, 0, want);
        embed(e, x, B, S, 1, got);
        for (int v = 0; v < B * 2; ++v)
            if (!(asd_test_cosine(want + v * C, got + v * C, C) >= least))
                fail_msg("%s: vector %d has cosine %g with fp32", kinds[k], v,
                         asd_test_cosine(want + v * C, got + v * C, C));
        assert_memory_not_equal(want, got, sizeof want); /* it is another arithmetic */
        asd_encoder_close(e);
    }
}

static void test_bits(void **state)
{
    enum { B = 3, S = 16177 };
    static float x[B * S];
    int          threads = asd_par_threads();
    (void)state;
    for (int b = 0; b < B; ++b)
        asd_synthetic_fill(kinds[b], 0.3 / (1 + b), S, x + b * S);
    for (int k = 0; k < KINDS; ++k) {
        asd_encoder *e;
        float        all[B * 2 * C], again[B * 2 * C];
        assert_ok(asd_encoder_random(kinds[k], 1, 7, &e));
        asd_par_set_threads(2);
        embed(e, x, B, S, 1, all);
        asd_par_set_threads(1);
        embed(e, x, B, S, 1, again);
        assert_memory_equal(all, again, sizeof all);
        asd_par_set_threads(threads);
        for (int b = 0; b < B; ++b) {
            embed(e, x + b * S, 1, S, 1, again);
            assert_memory_equal(all + b * 2 * C, again, 2 * C * sizeof *all);
        }
        asd_encoder_close(e);
    }
}

/* Every clip of mini-real, in the smallest network of each kind. */
static void check_real(const char *kind, const glob_t *files)
{
    asd_encoder     *e;
    asd_encoder_run *run[2] = {NULL};
    int64_t          S      = 0;
    double           worst  = 1;
    assert_ok(asd_encoder_random(kind, 1, 7, &e));
    for (size_t i = 0; i < files->gl_pathc; ++i) {
        asd_wav_info info;
        float       *x, y[2][2 * C];
        int64_t      n;
        assert_ok(
            asd_wav_read(files->gl_pathv[i], ASD_HEAR_NEAR, ASD_ENCODER_RATE_HZ, &x, &n, &info));
        for (int bf16 = 0; bf16 < 2; ++bf16) {
            if (n != S) {
                asd_encoder_run_free(run[bf16]);
                run[bf16] = plan(e, 1, n, bf16);
            }
            assert_ok(asd_encoder_forward(run[bf16], x, y[bf16]));
        }
        S = n;
        for (int v = 0; v < 2; ++v) {
            double c = asd_test_cosine(y[0] + v * C, y[1] + v * C, C);
            worst    = c < worst ? c : worst;
            if (!(c >= least))
                fail_msg("%s, %s: vector %d has cosine %g with fp32", kind, files->gl_pathv[i], v,
                         c);
        }
        free(x);
    }
    print_message("%s: %zu clips, cosine with fp32 at least %.6f\n", kind, files->gl_pathc, worst);
    for (int bf16 = 0; bf16 < 2; ++bf16)
        asd_encoder_run_free(run[bf16]);
    asd_encoder_close(e);
}

static void test_real(void **state)
{
    (void)state;
    const char *shared = asd_test_shared();
    char        pattern[PATH_MAX];
    glob_t      files;
    if (!shared)
        asd_test_skip_shared();
    snprintf(pattern, sizeof pattern, "%s/data/mini-real/dev_data/raw/*/*/*.wav", shared);
    assert_int_equal(glob(pattern, 0, NULL, &files), 0);
    assert_true(files.gl_pathc > 100);
    check_real("beats", &files);
    check_real("dasheng", &files);
    globfree(&files);
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("models/bf16/close-to-fp32", test_close_to_fp32),
    ASD_CASE("models/bf16/same-bits", test_bits),
    ASD_CASE("models/bf16/every-real-clip", test_real),
};
ASD_TEST_MAIN(cases)
