/* test_matmul.c - tensor-core fragments, ldmatrix and cp.async, bulk copies and wgmma
 * (tests/simt/matmul.cu) against a double reference: on the shim as test_matmul_simt, on a device
 * as test_matmul.
 *
 * Tolerance: products of bf16 are exact in fp32; each of the K / 16 steps adds 17 numbers with at
 * most the truncation of one fp32 ulp each (tensor cores do not round), so K / 16 + 2 ulp of the
 * sum of magnitudes, twice.
 */
#include "harness.h"

#include "base/device.h"
#include "base/rng.h"
#include "cuda/gpu.h"

#include "simt/matmul.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { AFTER = 64 }; /* floats behind y that nothing may touch */

typedef struct rig {
    asd_gpu    *gpu;
    asd_stream *stream;
    void       *a, *b;
    float      *y;
} rig;

static void rig_new(rig *r, size_t a_bytes, size_t b_bytes, size_t y_bytes)
{
    const char *why;
    memset(r, 0, sizeof *r);
    if (asd_cuda_count(&why) < 1) {
        print_message("skipped: %s\n", why);
        skip();
    }
    assert_ok(asd_gpu_open(0, &r->gpu));
    assert_ok(asd_stream_new(r->gpu, &r->stream));
    assert_ok(asd_gpu_alloc(r->gpu, a_bytes, "a", "", &r->a));
    assert_ok(asd_gpu_alloc(r->gpu, b_bytes, "b", "", &r->b));
    assert_ok(asd_gpu_alloc(r->gpu, y_bytes, "y", "", (void **)&r->y));
}

static void rig_free(rig *r)
{
    asd_gpu_free(r->gpu, r->a);
    asd_gpu_free(r->gpu, r->b);
    asd_gpu_free(r->gpu, r->y);
    asd_stream_free(r->stream);
    asd_gpu_close(r->gpu);
}

/* A normal draw, rounded to a whole number of 2^-7: exact in bf16 (and tf32) up to 2. */
static uint16_t draw(asd_rng *rng, double *value)
{
    double   x = fmax(-1.9, fmin(1.9, asd_rng_normal(rng)));
    float    f = (float)(nearbyint(x * 64) / 64);
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    *value = (double)f;
    return (uint16_t)(u >> 16);
}

typedef struct shape {
    const char *name;
    int64_t     m, n, k;
    int         a_trans, b_trans;
} shape;

/* Rows on 16 bytes, which come by cp.async, and rows that are not; in each of the four layouts. */
static const shape shapes[] = {
    {"matmul/nt/16x8x16", 16, 8, 16, 0, 0},     {"matmul/nt/1x1x8", 1, 1, 8, 0, 0},
    {"matmul/nt/64x64x64", 64, 64, 64, 0, 0},   {"matmul/nt/131x67x104", 131, 67, 104, 0, 0},
    {"matmul/nt/37x53x71", 37, 53, 71, 0, 0},   {"matmul/nt/5x3x1", 5, 3, 1, 0, 0},
    {"matmul/nn/64x64x32", 64, 64, 32, 0, 1},   {"matmul/nn/61x72x88", 61, 72, 88, 0, 1},
    {"matmul/nn/17x29x113", 17, 29, 113, 0, 1}, {"matmul/tn/64x128x40", 64, 128, 40, 1, 1},
    {"matmul/tn/104x88x97", 104, 88, 97, 1, 1}, {"matmul/tn/13x7x31", 13, 7, 31, 1, 1},
    {"matmul/tt/72x65x136", 72, 65, 136, 1, 0}, {"matmul/tt/71x101x3", 71, 101, 3, 1, 0},
};

static void test_matmul(void **state)
{
    const shape *p  = *state;
    size_t       na = (size_t)(p->m * p->k), nb = (size_t)(p->n * p->k), ny = (size_t)(p->m * p->n);
    double      *a = malloc(na * sizeof *a), *b = malloc(nb * sizeof *b);
    uint16_t    *a_bits = malloc(na * 2), *b_bits = malloc(nb * 2);
    float       *y = malloc((ny + AFTER) * sizeof *y);
    asd_rng      rng;
    rig          r;
    rig_new(&r, na * 2, nb * 2, (ny + AFTER) * sizeof(float));
    asd_rng_init(&rng, 5, ASD_RNG_TEST, 0, 0);
    for (size_t i = 0; i < na; ++i)
        a_bits[i] = draw(&rng, &a[i]);
    for (size_t i = 0; i < nb; ++i)
        b_bits[i] = draw(&rng, &b[i]);
    for (size_t i = 0; i < ny + AFTER; ++i)
        y[i] = i < ny ? NAN : 7;
    assert_ok(asd_stream_upload(r.stream, r.a, a_bits, na * 2));
    assert_ok(asd_stream_upload(r.stream, r.b, b_bits, nb * 2));
    assert_ok(asd_stream_upload(r.stream, r.y, y, (ny + AFTER) * sizeof *y));
    assert_ok(
        matmul_run(r.stream, &(matmul){p->m, p->n, p->k, p->a_trans, p->b_trans, r.a, r.b, r.y}));
    assert_ok(asd_stream_download(r.stream, y, r.y, (ny + AFTER) * sizeof *y));
    assert_ok(asd_stream_wait(r.stream));
    for (int64_t m = 0; m < p->m; ++m)
        for (int64_t n = 0; n < p->n; ++n) {
            double sum = 0, size = 0;
            for (int64_t k = 0; k < p->k; ++k) {
                double x = a[p->a_trans ? k * p->m + m : m * p->k + k] *
                           b[p->b_trans ? k * p->n + n : n * p->k + k];
                sum += x;
                size += fabs(x);
            }
            assert_near(y[m * p->n + n], sum, 2 * (double)(p->k / 16 + 2) * 0x1p-23 * size);
        }
    for (size_t i = ny; i < ny + AFTER; ++i)
        assert_near(y[i], 7, 0);
    rig_free(&r);
    free(a);
    free(b);
    free(a_bits);
    free(b_bits);
    free(y);
}

/* Operands with more bits than tf32 has: the error is that of their rounding, 2^-11 each. */
static void test_tf32(void **state)
{
    enum { M = 16, N = 8, K = 40 };
    float   a[M * K], b[N * K], y[M * N];
    asd_rng rng;
    rig     r;
    (void)state;
    rig_new(&r, sizeof a, sizeof b, sizeof y);
    asd_rng_init(&rng, 6, ASD_RNG_TEST, 0, 0);
    for (int i = 0; i < M * K; ++i)
        a[i] = (float)asd_rng_normal(&rng);
    for (int i = 0; i < N * K; ++i)
        b[i] = (float)asd_rng_normal(&rng);
    assert_ok(asd_stream_upload(r.stream, r.a, a, sizeof a));
    assert_ok(asd_stream_upload(r.stream, r.b, b, sizeof b));
    assert_ok(matmul_tf32_run(r.stream, r.a, r.b, K, r.y));
    assert_ok(asd_stream_download(r.stream, y, r.y, sizeof y));
    assert_ok(asd_stream_wait(r.stream));
    double error = 0, squares = 0;
    for (int m = 0; m < M; ++m)
        for (int n = 0; n < N; ++n) {
            double sum = 0, size = 0;
            for (int k = 0; k < K; ++k) {
                sum += (double)a[m * K + k] * (double)b[n * K + k];
                size += fabs((double)a[m * K + k] * (double)b[n * K + k]);
            }
            assert_near(y[m * N + n], sum, 2.1 * 0x1p-11 * size);
            error += (y[m * N + n] - sum) * (y[m * N + n] - sum);
            squares += sum * sum;
        }
    /* and it is tf32, neither bf16 (2^-9) nor fp32 */
    assert_true(sqrt(error / squares) < 0x1p-10 && sqrt(error / squares) > 0x1p-15);
    rig_free(&r);
}

/* First what a bulk copy brings, value by value, then wgmma's products of it: a fault of a map, of
 * a swizzle or of a descriptor shows here before it does in attention. Boxes inside, over the last
 * rows and columns, and of the last plane. */
static void test_hopper(void **state)
{
    enum { PLANES = 2, ROWS = 83, COLUMNS = 136, SIDE = 64, N = SIDE * SIDE };
    static const int at[][3] = {{0, 0, 0}, {0, 7, 64}, {1, 50, 8}, {1, 64, 128}, {0, 83, 0}};
    static double    a[N], b[PLANES * ROWS * COLUMNS];
    static uint16_t  a_bits[N], b_bits[PLANES * ROWS * COLUMNS];
    static float     y[3 * N];
    const char      *why;
    asd_rng          rng;
    asd_gpu_info     info;
    rig              r;
    (void)state;
    if (asd_cuda_count(&why) > 0) {
        assert_ok(asd_gpu_ask(0, &info));
        if (info.major != 9 || info.minor != 0) {
            print_message("skipped: no device of compute capability 9.0\n");
            skip();
        }
    }
    rig_new(&r, sizeof a_bits, sizeof b_bits, sizeof y);
    asd_rng_init(&rng, 7, ASD_RNG_TEST, 0, 0);
    for (int i = 0; i < N; ++i)
        a_bits[i] = draw(&rng, &a[i]);
    for (int i = 0; i < PLANES * ROWS * COLUMNS; ++i)
        b_bits[i] = draw(&rng, &b[i]);
    assert_ok(asd_stream_upload(r.stream, r.a, a_bits, sizeof a_bits));
    assert_ok(asd_stream_upload(r.stream, r.b, b_bits, sizeof b_bits));
    for (size_t i = 0; i < sizeof at / sizeof *at; ++i) {
        double     box[N];
        matmul_box p = {r.a,      r.b,      PLANES, ROWS,    COLUMNS,    at[i][0],
                        at[i][1], at[i][2], r.y,    r.y + N, r.y + 2 * N};
        assert_ok(matmul_hopper_run(r.stream, &p));
        assert_ok(asd_stream_download(r.stream, y, r.y, sizeof y));
        assert_ok(asd_stream_wait(r.stream));
        for (int j = 0; j < N; ++j) {
            int row = p.row + j / SIDE, column = p.column + j % SIDE;
            box[j] =
                row < ROWS && column < COLUMNS ? b[(p.plane * ROWS + row) * COLUMNS + column] : 0;
            if (fabs(y[j] - box[j]) > 0)
                fail_msg("box (%d,%d,%d): row %d, column %d is %g, want %g", p.plane, p.row,
                         p.column, j / SIDE, j % SIDE, y[j], box[j]);
        }
        for (int j = 0; j < 2 * N; ++j) {
            int    m = j % N / SIDE, n = j % SIDE, turned = j >= N;
            double sum = 0, size = 0;
            for (int k = 0; k < SIDE; ++k) {
                double x = a[m * SIDE + k] * box[turned ? k * SIDE + n : n * SIDE + k];
                sum += x;
                size += fabs(x);
            }
            if (!(fabs(y[N + j] - sum) <= 2 * (SIDE / 16 + 2) * 0x1p-23 * size))
                fail_msg("box (%d,%d,%d): %s product (%d,%d) is %.9g, want %.9g", p.plane, p.row,
                         p.column, turned ? "turned" : "plain", m, n, y[N + j], sum);
        }
    }
    rig_free(&r);
}

int main(int argc, char **argv)
{
    enum { N = sizeof shapes / sizeof *shapes };
    static struct CMUnitTest tests[N + 2];
    for (int i = 0; i < N; ++i)
        tests[i] = (struct CMUnitTest){shapes[i].name, test_matmul, NULL, NULL, (void *)&shapes[i]};
    tests[N] = (struct CMUnitTest){"matmul/tf32/16x8x40", test_tf32, NULL, NULL, NULL};
    tests[N + 1] =
        (struct CMUnitTest){"matmul/hopper/bulk copy and wgmma", test_hopper, NULL, NULL, NULL};
    return asd_test_run(tests, N + 2, argc, argv);
}
