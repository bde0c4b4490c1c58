/* test_cpu_gemm.c - matrix products on the CPU: against sums in double, and the promise of
 * kernels/cpu_tile.h that an element's bits depend on its own row and column alone.
 */
#include "harness.h"

#include "base/par.h"
#include "base/rng.h"
#include "kernels/cpu.h"
#include "kernels/cpu_tile.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static float *random_floats(int64_t n, uint64_t seed)
{
    float  *x = malloc((size_t)n * sizeof *x);
    asd_rng r;
    asd_rng_init(&r, seed, ASD_RNG_TEST, 0, 0);
    for (int64_t i = 0; i < n; ++i)
        x[i] = (float)asd_rng_range(&r, -1, 1);
    return x;
}

/* A product with everything it reads and writes. op(a): (m, k), op(b): (k, n). */
typedef struct product {
    asd_gemm_job j;
    float       *a, *b, *bias, *before; /* before: what y holds */
    int64_t      count;                 /* of y, all of the batch */
} product;

static product make(int64_t m, int64_t n, int64_t k, int ta, int tb, int64_t pad, int64_t batch)
{
    product p  = {.j = {.m = m, .n = n, .k = k, .transpose_a = ta, .transpose_b = tb}};
    p.j.lda    = (ta ? m : k) + pad;
    p.j.ldb    = (tb ? k : n) + pad;
    p.j.ldy    = n + pad;
    p.j.batch  = batch;
    p.j.step_a = (ta ? k : m) * p.j.lda, p.j.step_b = (tb ? n : k) * p.j.ldb;
    p.j.step_y = m * p.j.ldy, p.j.step_bias = n;
    p.count = batch * p.j.step_y;
    p.j.a = p.a = random_floats(batch * p.j.step_a, 1);
    p.j.b = p.b = random_floats(batch * p.j.step_b, 2);
    p.bias      = random_floats(batch * n, 3);
    p.before    = random_floats(p.count, 4);
    p.j.y       = malloc((size_t)p.count * sizeof *p.j.y);
    memcpy(p.j.y, p.before, (size_t)p.count * sizeof *p.j.y);
    return p;
}

static void drop(product *p)
{
    free(p->a);
    free(p->b);
    free(p->bias);
    free(p->before);
    free(p->j.y);
}

static double element(const asd_gemm_job *j, int64_t i, int64_t r, int64_t c, double *size)
{
    double sum = 0;
    *size      = 0;
    for (int64_t x = 0; x < j->k; ++x) {
        double a = (double)j->a[i * j->step_a + (j->transpose_a ? x * j->lda + r : r * j->lda + x)];
        double b = (double)j->b[i * j->step_b + (j->transpose_b ? c * j->ldb + x : x * j->ldb + c)];
        sum += a * b;
        *size += fabs(a * b);
    }
    return sum;
}

static void check_values(const product *p)
{
    const asd_gemm_job *j = &p->j;
    for (int64_t o = 0; o < p->count; ++o) {
        int64_t i = o / j->step_y, r = o % j->step_y / j->ldy, c = o % j->ldy;
        if (c >= j->n) {
            assert_true(j->y[o] == p->before[o]); /* between rows nothing is written */
            continue;
        }
        double size, want = element(j, i, r, c, &size);
        double base = j->bias        ? (double)j->bias[i * j->step_bias + c]
                      : j->beta != 0 ? (double)p->before[o]
                                     : 0;
        /* a chain of at most 256 products, then sums of chains: its worst case is size 2^-24 (256 +
         * k / 256), its spread far less */
        double limit = 0x1p-24 * (size + fabs(base)) * (8 + 0.01 * (double)j->k);
        if (!(fabs((double)j->y[o] - base - want) <= limit))
            fail_msg("%ld x %ld x %ld, transposed %d %d, element %ld %ld: %g, want %g", (long)j->m,
                     (long)j->n, (long)j->k, j->transpose_a, j->transpose_b, (long)r, (long)c,
                     (double)j->y[o], base + want);
    }
}

static void test_values(void **state)
{
    static const int64_t size[][3] = {{1, 1, 1},   {2, 3, 5},     {6, 16, 8},    {7, 17, 9},
                                      {13, 49, 1}, {5, 100, 257}, {97, 31, 300}, {200, 195, 513}};
    (void)state;
    for (size_t s = 0; s < sizeof size / sizeof *size; ++s)
        for (int how = 0; how < 4 * 3; ++how) {
            product p = make(size[s][0], size[s][1], size[s][2], how & 1, how >> 1 & 1, how % 3,
                             1 + how % 2);
            p.j.beta  = how / 4 == 1;
            p.j.bias  = how / 4 == 2 ? p.bias : NULL;
            asd_gemm(&p.j);
            check_values(&p);
            drop(&p);
        }
}

/* A product of rows [from, from + m) alone has the bits of the same rows in all of them. */
static void check_rows(const product *whole, int64_t from, int64_t m)
{
    asd_gemm_job j = whole->j;
    j.m            = m;
    j.a += j.transpose_a ? from : from * j.lda;
    j.y            = malloc((size_t)(m * j.ldy) * sizeof *j.y);
    const float *y = whole->j.y + from * j.ldy;
    memcpy(j.y, whole->before + from * j.ldy, (size_t)(m * j.ldy) * sizeof *j.y);
    asd_gemm(&j);
    if (memcmp(j.y, y, (size_t)(m * j.ldy) * sizeof *j.y))
        fail_msg("%ld rows from row %ld of %ld x %ld x %ld, transposed %d %d: other bits", (long)m,
                 (long)from, (long)j.m, (long)j.n, (long)j.k, j.transpose_a, j.transpose_b);
    free(j.y);
}

/* The three products of a linear layer: y = x w', dx = dy w, dw = dy' x. */
static const int linear_forms[3][2] = {{0, 1}, {0, 0}, {1, 0}};

static void test_every_count(void **state)
{
    (void)state;
    for (int form = 0; form < 3; ++form) {
        product p = make(600, 50, 65, linear_forms[form][0], linear_forms[form][1], 0, 1);
        p.j.bias  = form ? NULL : p.bias;
        p.j.beta  = form == 2;
        asd_gemm(&p.j);
        for (int64_t m = 1; m <= 600; ++m)
            check_rows(&p, m % 7 * (600 - m) / 7, m);
        drop(&p);
    }
}

static void test_large(void **state)
{
    static const int64_t size[][2] = {{2, 64},    {8, 3072},   {768, 768},
                                      {2304, 64}, {3072, 500}, {97, 3072}};
    static const int64_t rows[][2] = {{0, 1}, {496, 1}, {3, 2}, {64, 67}, {7, 130}, {104, 496}};
    int                  threads   = asd_par_threads();
    (void)state;
    for (size_t s = 0; s < sizeof size / sizeof *size; ++s)
        for (int form = 0; form < 3; ++form) {
            product p = make(600, size[s][0], size[s][1], linear_forms[form][0],
                             linear_forms[form][1], 0, 1);
            asd_par_set_threads(2);
            asd_gemm(&p.j);
            for (size_t r = 0; r < sizeof rows / sizeof *rows; ++r) {
                asd_par_set_threads(1 + (int)r % 2);
                check_rows(&p, rows[r][0], rows[r][1]);
            }
            drop(&p);
        }
    asd_par_set_threads(threads);
}

/* One thread makes what the blocks make. */
static void test_here(void **state)
{
    (void)state;
    for (int form = 0; form < 3; ++form) {
        product p   = make(301, 200, 300, linear_forms[form][0], linear_forms[form][1], 1, 1);
        float  *all = malloc((size_t)p.count * sizeof *all);
        asd_gemm(&p.j);
        memcpy(all, p.j.y, (size_t)p.count * sizeof *all);
        memcpy(p.j.y, p.before, (size_t)p.count * sizeof *all);
        asd_gemm_here(&p.j);
        assert_memory_equal(p.j.y, all, (size_t)p.count * sizeof *all);
        free(all);
        drop(&p);
    }
}

/* --- tiles --- */

static void tile_product(const asd_tile *t, const product *p, float *y)
{
    const asd_gemm_job *j      = &p->j;
    float              *packed = malloc((size_t)asd_tile_packed(t, j->k, j->n) * sizeof *packed);
    asd_matrix          a      = {j->a, j->lda, 1},
               b               = {j->b, j->transpose_b ? 1 : j->ldb, j->transpose_b ? j->ldb : 1};
    asd_tile_pack(t, b, j->k, j->n, packed);
    asd_tile_product(t, j->m, j->n, j->k, a, packed, p->before, j->ldy, y, j->ldy);
    free(packed);
}

/* Every tile that this processor runs: right, and those with fused multiply-add bit-equal. */
static void test_tiles(void **state)
{
    (void)state;
    for (int tb = 0; tb < 2; ++tb)
        for (int64_t n = 1; n < 100; n += 7) {
            product p     = make(1 + n % 23, n, 3 * n + 5, 0, tb, tb, 1);
            float  *fused = NULL;
            p.j.beta      = 1;
            for (const asd_tile *const *t = asd_tile_all; *t; ++t) {
                if (!asd_tile_runs(*t))
                    continue;
                memcpy(p.j.y, p.before, (size_t)p.count * sizeof *p.j.y);
                tile_product(*t, &p, p.j.y);
                check_values(&p);
                if (fused && strcmp((*t)->name, "plain"))
                    assert_memory_equal(p.j.y, fused, (size_t)p.count * sizeof *fused);
                if (!fused)
                    fused = memcpy(malloc((size_t)p.count * sizeof *fused), p.j.y,
                                   (size_t)p.count * sizeof *fused);
            }
            free(fused);
            drop(&p);
        }
    assert_true(asd_tile_runs(asd_tile_best()));
}

/* Rows that overlap, forwards and backwards: the windows of a convolution. */
static void test_windows(void **state)
{
    enum { M = 21, N = 5, K = 300 };
    float *x = random_floats(M + K, 5), *w = random_floats(N * K, 6), y[M * N];
    (void)state;
    for (int back = 0; back < 2; ++back) {
        asd_matrix windows = {back ? x + K - 1 : x, 1, back ? -1 : 1}, taps = {w, 1, K};
        asd_product(M, N, K, windows, taps, NULL, 0, y, N);
        for (int i = 0; i < M * N; ++i) {
            double want = 0;
            for (int j = 0; j < K; ++j)
                want += (double)x[i / N + (back ? K - 1 - j : j)] * (double)w[i % N * K + j];
            assert_near(y[i], want, 1e-5);
        }
    }
    free(x);
    free(w);
}

static void test_turn(void **state)
{
    (void)state;
    for (int64_t rows = 1; rows < 30; rows += 4)
        for (int64_t columns = 1; columns < 30; columns += 3) {
            float *from = random_floats(rows * (columns + 2), 7);
            float *to   = calloc((size_t)(columns * (rows + 1)), sizeof *to);
            asd_turn(rows, columns, from, columns + 2, to, rows + 1);
            for (int64_t i = 0; i < columns * (rows + 1); ++i)
                assert_true(to[i] == (i % (rows + 1) < rows
                                          ? from[i % (rows + 1) * (columns + 2) + i / (rows + 1)]
                                          : 0));
            free(from);
            free(to);
        }
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("gemm/values/every form", test_values),
    ASD_CASE("gemm/rows/same bits for every count", test_every_count),
    ASD_CASE("gemm/rows/same bits alone and in a batch", test_large),
    ASD_CASE("gemm/here/as in blocks", test_here),
    ASD_CASE("gemm/tiles/all instruction sets", test_tiles),
    ASD_CASE("gemm/product/windows that overlap", test_windows),
    ASD_CASE("gemm/turn/sizes", test_turn),
};

ASD_TEST_MAIN(cases)
