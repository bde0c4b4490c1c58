/* test_spectrum.c - cuda/fft.cuh (through tests/simt/spectrum.cu) against Fourier sums in double:
 * on the shim as test_spectrum_simt, on a device as test_spectrum.
 *
 * Tolerance: an fp32 FFT of noise errs by about 0.6 sqrt(log2 N) 2^-24 |x| in each X[k], as a root
 * mean square; the largest of some thousand values stays below log2(N) 2^-24 |x|. Of a tone, a
 * factor's rounding is the same in all samples: up to an ulp of the largest |X| anywhere.
 */
#include "harness.h"

#include "base/device.h"
#include "base/rng.h"
#include "cuda/gpu.h"

#include "simt/spectrum.h"

#include <math.h>
#include <stdlib.h>

enum { AFTER = 64 }; /* floats behind the result that nothing may touch */

/* Noise; a constant, all in the first bin; the highest frequency, all in the last; a tone beside
 * them; a single sample at an odd place; silence. */
static double sample(asd_rng *rng, int row, int i, int n)
{
    switch (row) {
    case 0: return 1;
    case 1: return i % 2 ? -1 : 1;
    case 2: return cos(6.283185307179586 * 5 * i / n) + 0.25;
    case 3: return i == 13;
    case 4: return 0;
    default: return asd_rng_normal(rng);
    }
}

/* want: (n/2 + 1) |X|^2 by the sum. Returns what an X[k] may err by. */
static double reference(const float *x, int n, double *want)
{
    double norm = 0, largest = 0, *turn = malloc((size_t)n * 2 * sizeof *turn);
    for (int i = 0; i < n; ++i) {
        norm += (double)x[i] * (double)x[i];
        turn[2 * i]     = cos(6.283185307179586 * i / n);
        turn[2 * i + 1] = sin(6.283185307179586 * i / n);
    }
    for (int k = 0; k <= n / 2; ++k) {
        double re = 0, im = 0;
        for (int i = 0, at = 0; i < n; ++i, at = (at + k) % n) {
            re += (double)x[i] * turn[2 * at];
            im -= (double)x[i] * turn[2 * at + 1];
        }
        want[k] = re * re + im * im;
        largest = fmax(largest, want[k]);
    }
    free(turn);
    return log2(n) * 0x1p-24 * sqrt(norm) + 0x1p-23 * sqrt(largest);
}

static void check_row(const float *x, const float *power, int n, int row)
{
    double *want = malloc((size_t)(n / 2 + 1) * sizeof *want), e = reference(x, n, want);
    for (int k = 0; k <= n / 2; ++k) {
        double limit = e * (2 * sqrt(want[k]) + e) + 0x1p-22 * want[k];
        if (!(fabs((double)power[k] - want[k]) <= limit))
            fail_msg("n %d, row %d, bin %d: %.9g, want %.9g within %.3g", n, row, k,
                     (double)power[k], want[k], limit);
    }
    free(want);
}

static void test_spectrum(void **state)
{
    const char *why;
    int      n = *(const int *)*state, rows = 8192 / n + 7, bins = n / 2 + 1; /* not whole blocks */
    size_t   nx = (size_t)(rows * n), ny = (size_t)(rows * bins), nt = spectrum_table(n, NULL);
    float   *x = malloc(nx * sizeof *x), *y = malloc((ny + AFTER) * sizeof *y);
    float   *table = malloc(nt * 2 * sizeof *table);
    asd_gpu *gpu;
    asd_stream *s;
    void       *dx, *dy, *dt;
    asd_rng     rng;
    if (asd_cuda_count(&why) < 1) {
        print_message("skipped: %s\n", why);
        skip();
    }
    assert_ok(asd_gpu_open(0, &gpu));
    assert_ok(asd_stream_new(gpu, &s));
    assert_ok(asd_gpu_alloc(gpu, nx * sizeof *x, "x", "", &dx));
    assert_ok(asd_gpu_alloc(gpu, (ny + AFTER) * sizeof *y, "y", "", &dy));
    assert_ok(asd_gpu_alloc(gpu, nt * 2 * sizeof *table, "table", "", &dt));
    asd_rng_init(&rng, 7, ASD_RNG_TEST, 0, 0);
    for (size_t i = 0; i < nx; ++i)
        x[i] = (float)sample(&rng, (int)i / n, (int)i % n, n);
    for (size_t i = 0; i < ny + AFTER; ++i)
        y[i] = i < ny ? NAN : 7;
    spectrum_table(n, table);
    assert_ok(asd_stream_upload(s, dx, x, nx * sizeof *x));
    assert_ok(asd_stream_upload(s, dy, y, (ny + AFTER) * sizeof *y));
    assert_ok(asd_stream_upload(s, dt, table, nt * 2 * sizeof *table));
    assert_ok(spectrum_run(s, n, rows, dx, dt, dy));
    assert_ok(asd_stream_download(s, y, dy, (ny + AFTER) * sizeof *y));
    assert_ok(asd_stream_wait(s));
    for (int row = 0; row < rows; ++row)
        if (row < 6 || row % 4 == 0 || row == rows - 1)
            check_row(x + row * n, y + row * bins, n, row);
    for (size_t i = ny; i < ny + AFTER; ++i)
        assert_near((double)y[i], 7, 0);
    asd_gpu_free(gpu, dx);
    asd_gpu_free(gpu, dy);
    asd_gpu_free(gpu, dt);
    asd_stream_free(s);
    asd_gpu_close(gpu);
    free(x);
    free(y);
    free(table);
}

int main(int argc, char **argv)
{
    enum { N = 7 };
    static const char *const name[N] = {"spectrum/power/n=64",   "spectrum/power/n=128",
                                        "spectrum/power/n=256",  "spectrum/power/n=512",
                                        "spectrum/power/n=1024", "spectrum/power/n=2048",
                                        "spectrum/power/n=4096"};
    static int               size[N];
    static struct CMUnitTest tests[N];
    for (int i = 0; i < N; ++i) {
        size[i]  = 64 << i;
        tests[i] = (struct CMUnitTest){name[i], test_spectrum, NULL, NULL, &size[i]};
    }
    return asd_test_run(tests, N, argc, argv);
}
