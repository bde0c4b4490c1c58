/* test_cpu_fft.c - eight spectra at once against sums, for every length; gather and scatter. */
#include "harness.h"

#include "base/rng.h"
#include "kernels/cpu_fft.h"

#include <math.h>
#include <stdlib.h>

/* Half of the bins of long frames are enough. */
static void check_power(int64_t n_fft)
{
    asd_arena    arena;
    asd_fft_plan plan;
    asd_rng      rng;
    int64_t      bins = n_fft / 2 + 1, step = n_fft > 1024 ? 13 : 1;
    size_t       bytes = asd_fft_bytes(n_fft);
    assert_ok(asd_arena_init(&arena, bytes));
    asd_fft_plan_init(&plan, n_fft, &arena);
    asd_frames *rows  = asd_calloc_aligned((size_t)n_fft, sizeof *rows);
    asd_frames *power = asd_calloc_aligned((size_t)bins, sizeof *power);
    double     *x     = malloc((size_t)n_fft * ASD_FRAMES * sizeof *x);
    asd_rng_init(&rng, 1, ASD_RNG_TEST, (uint64_t)n_fft, 0);
    for (int64_t j = 0; j < n_fft; ++j)
        for (int l = 0; l < ASD_FRAMES; ++l) { /* the last but one frame is silent */
            rows[j][l]            = l == 6 ? 0 : (float)(asd_rng_normal(&rng) * pow(10, l));
            x[j * ASD_FRAMES + l] = (double)rows[j][l];
        }
    asd_fft_power(&plan, rows, power);
    for (int64_t k = 0; k < bins; k += k + step < bins ? step : 1)
        for (int l = 0; l < ASD_FRAMES; ++l) {
            double re = 0, im = 0, size = pow(10, 2 * l) * (double)n_fft;
            for (int64_t j = 0; j < n_fft; ++j) {
                double angle = 6.283185307179586 * (double)(j * k % n_fft) / (double)n_fft;
                re += x[j * ASD_FRAMES + l] * cos(angle);
                im -= x[j * ASD_FRAMES + l] * sin(angle);
            }
            if (l == 6)
                assert_true(power[k][l] == 0);
            else
                assert_near((double)power[k][l], re * re + im * im,
                            2e-6 * (size + re * re + im * im));
        }
    free(x);
    free(power);
    free(rows);
    asd_arena_clear(&arena);
}

static void test_power(void **state)
{
    (void)state;
    for (int64_t n_fft = ASD_FFT_LEAST; n_fft <= ASD_FFT_MOST; n_fft *= 2)
        check_power(n_fft);
}

static void test_lengths(void **state)
{
    (void)state;
    assert_true(asd_fft_takes(16) && asd_fft_takes(4096));
    assert_false(asd_fft_takes(8) || asd_fft_takes(8192) || asd_fft_takes(400) ||
                 asd_fft_takes(0) || asd_fft_takes(-16));
}

/* Lengths with and without rows that leave the blocks of eight. */
static void test_transposes(void **state)
{
    (void)state;
    enum { HOP = 5, MOST = 27 };
    float x[7 * HOP + MOST], y[ASD_FRAMES * MOST];
    for (int i = 0; i < 7 * HOP + MOST; ++i)
        x[i] = (float)i;
    for (int64_t n = 1; n <= MOST; ++n)
        for (int64_t frames = 1; frames <= ASD_FRAMES; ++frames) {
            asd_frames *rows = asd_calloc_aligned((size_t)n, sizeof *rows);
            asd_fft_gather(x, HOP, n, rows);
            for (int i = 0; i < ASD_FRAMES * MOST; ++i)
                y[i] = -1;
            asd_fft_scatter(rows, n, frames, y, n);
            for (int64_t l = 0; l < ASD_FRAMES; ++l)
                for (int64_t j = 0; j < n; ++j) {
                    assert_true(rows[j][l] == (float)(l * HOP + j));
                    assert_true(y[l * n + j] == (l < frames ? (float)(l * HOP + j) : -1));
                }
            free(rows);
        }
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("kernels/cpu_fft/power/every-length", test_power),
    ASD_CASE("kernels/cpu_fft/lengths/taken", test_lengths),
    ASD_CASE("kernels/cpu_fft/transpose/every-length", test_transposes),
};
ASD_TEST_MAIN(cases)
