/* test_cpu_bf16.c - bf16 on the CPU: every number and every rounding, and matrix products by each
 * tile that runs here. Ops in bf16 are in test_ops.c, encoders in test_encoder_bf16.c.
 */
#include "harness.h"

#include "base/rng.h"
#include "kernels/cpu_bf16.h"
#include "kernels/cpu_bf16_product.h"
#include "kernels/cpu_tile.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- numbers --- */

static void test_every_number(void **state)
{
    enum { ALL = 65536 };
    static uint16_t x[ALL], back[ALL];
    static float    wide[ALL];
    (void)state;
    for (int i = 0; i < ALL; ++i)
        x[i] = (uint16_t)i;
    asd_bf16_widen(x, wide, ALL);
    asd_bf16_narrow(wide, back, ALL);
    for (int i = 0; i < ALL; ++i) {
        int nan = (i & 0x7fff) > 0x7f80;
        assert_int_equal(nan, isnan(wide[i]) != 0);
        assert_int_equal(back[i], nan ? i | 0x40 : i);
        if (!nan && i + 1 < ALL && (i & 0x7fff) < 0x7f7f) { /* between it and the next */
            double   a = (double)wide[i], b = (double)wide[i + 1];
            uint16_t even = (uint16_t)(i % 2 ? i + 1 : i);
            assert_int_equal(asd_bf16_of((float)(a + 0.25 * (b - a))), i);
            assert_int_equal(asd_bf16_of((float)(a + 0.75 * (b - a))), i + 1);
            assert_int_equal(asd_bf16_of((float)(a + 0.5 * (b - a))), even);
        }
    }
    assert_int_equal(asd_bf16_of(3.4e38f), 0x7f80); /* above the largest and a half: infinity */
}

/* Vectors and what is left behind them: nothing past the end is touched. */
static void test_lengths(void **state)
{
    (void)state;
    for (int n = 0; n < 70; ++n) {
        float    x[71], y[71];
        uint16_t z[71];
        for (int i = 0; i <= 70; ++i) {
            x[i] = 0.1f * (float)i - 2;
            y[i] = 7;
            z[i] = 9;
        }
        asd_bf16_narrow(x, z, n);
        asd_bf16_widen(z, y, n);
        for (int i = 0; i < n; ++i) {
            assert_int_equal(z[i], asd_bf16_of(x[i]));
            assert_true(y[i] == asd_bf16_value(z[i]));
        }
        assert_int_equal(z[n], 9);
        assert_true(y[n] == 7);
    }
}

/* --- products --- */

typedef struct product {
    int64_t   m, n, k, lda, ldb, ldy;
    uint16_t *a, *b;
    float    *bias, *y;
} product;

static uint16_t *random_bf16(int64_t n, uint64_t seed)
{
    uint16_t *x = malloc((size_t)n * sizeof *x);
    asd_rng   r;
    asd_rng_init(&r, seed, ASD_RNG_TEST, asd_rng_hash("bf16"), 0);
    for (int64_t i = 0; i < n; ++i)
        x[i] = asd_bf16_of((float)asd_rng_normal(&r));
    return x;
}

/* What lies between rows and behind the last is NaN, and so is y: none of it may count. */
static product make(int64_t m, int64_t n, int64_t k, int64_t pad)
{
    product p = {.m = m, .n = n, .k = k, .lda = k + pad, .ldb = k + 2 * pad, .ldy = n + pad};
    p.a       = random_bf16(m * p.lda, 1);
    p.b       = random_bf16(n * p.ldb, 2);
    p.bias    = malloc((size_t)n * sizeof *p.bias);
    p.y       = malloc((size_t)(m * p.ldy) * sizeof *p.y);
    for (int64_t i = 0; i < m * p.lda; ++i)
        p.a[i] = i % p.lda < k ? p.a[i] : 0x7fff;
    for (int64_t i = 0; i < n * p.ldb; ++i)
        p.b[i] = i % p.ldb < k ? p.b[i] : 0x7fff;
    for (int64_t i = 0; i < n; ++i)
        p.bias[i] = 0.01f * (float)i - 1;
    memset(p.y, 0xFF, (size_t)(m * p.ldy) * sizeof *p.y);
    return p;
}

static void drop(product *p)
{
    free(p->a);
    free(p->b);
    free(p->bias);
    free(p->y);
}

static void run(const product *p, const asd_pair_tile *t, int bias)
{
    asd_bf16_product(t, p->m, p->n, p->k, p->a, p->lda, p->b, p->ldb, bias ? p->bias : NULL, p->y,
                     p->ldy);
}

static const int64_t size[][3] = {{1, 1, 1},   {2, 3, 4},      {8, 48, 16},  {9, 49, 18},
                                  {13, 47, 2}, {16, 200, 514}, {97, 31, 36}, {100, 193, 258},
                                  {7, 8, 512}, {3, 50, 1026}};
enum { SIZES = sizeof size / sizeof *size };

/* Against sums in double: a chain of at most 512 products, then sums of chains. */
static void check_values(const product *p, const char *how, int bias)
{
    for (int64_t r = 0; r < p->m; ++r)
        for (int64_t c = 0; c < p->ldy; ++c) {
            double got = (double)p->y[r * p->ldy + c], want = 0, room = 0;
            if (c >= p->n) {
                assert_true(isnan(got)); /* between rows nothing is written */
                continue;
            }
            for (int64_t i = 0; i < p->k; ++i) {
                double one = (double)asd_bf16_value(p->a[r * p->lda + i]) *
                             (double)asd_bf16_value(p->b[c * p->ldb + i]);
                want += one;
                room += fabs(one);
            }
            want += bias ? (double)p->bias[c] : 0;
            double limit = 0x1p-24 * (room + 1) * (8 + 0.02 * (double)p->k);
            if (!(fabs(got - want) <= limit))
                fail_msg("%s, %ld x %ld x %ld, element %ld %ld: %g, want %g", how, (long)p->m,
                         (long)p->n, (long)p->k, (long)r, (long)c, got, want);
        }
}

static void test_values(void **state)
{
    (void)state;
    for (int s = 0; s < SIZES; ++s)
        for (int how = 0; how < 4; ++how) {
            product p = make(size[s][0], size[s][1], size[s][2], how & 2);
            run(&p, NULL, how & 1);
            check_values(&p, "widened", how & 1);
            for (const asd_pair_tile *const *t = asd_pair_tile_all; *t; ++t)
                if (asd_pair_tile_runs(*t)) {
                    memset(p.y, 0xFF, (size_t)(p.m * p.ldy) * sizeof *p.y);
                    run(&p, *t, how & 1);
                    check_values(&p, (*t)->name, how & 1);
                }
            drop(&p);
        }
}

/* Widening piece by piece gives the bits of the fp32 product of widened matrices. */
static void test_widened_bits(void **state)
{
    (void)state;
    for (int s = 0; s < SIZES; ++s) {
        product    p    = make(size[s][0], size[s][1], size[s][2], 3);
        float     *a    = malloc((size_t)(p.m * p.lda) * sizeof *a);
        float     *b    = malloc((size_t)(p.n * p.ldb) * sizeof *b);
        float     *y    = malloc((size_t)(p.m * p.ldy) * sizeof *y);
        asd_matrix left = {a, p.lda, 1}, right = {b, 1, p.ldb};
        asd_bf16_widen(p.a, a, p.m * p.lda);
        asd_bf16_widen(p.b, b, p.n * p.ldb);
        memset(y, 0xFF, (size_t)(p.m * p.ldy) * sizeof *y);
        asd_product(p.m, p.n, p.k, left, right, p.bias, 0, y, p.ldy);
        run(&p, NULL, 1);
        assert_memory_equal(y, p.y, (size_t)(p.m * p.ldy) * sizeof *y);
        free(a);
        free(b);
        free(y);
        drop(&p);
    }
}

/* By pairs too, an element has the bits of its own row and column, whatever is beside it. */
static void test_bits_alone(void **state)
{
    (void)state;
    for (const asd_pair_tile *const *t = asd_pair_tile_all; *t; ++t)
        for (int s = 0; s < SIZES && asd_pair_tile_runs(*t); ++s) {
            product p = make(size[s][0], size[s][1], size[s][2], 2);
            run(&p, *t, 1);
            for (int64_t r = 0; r < p.m; r += 5)
                for (int64_t c = 0; c < p.n; c += 11) {
                    float one;
                    asd_bf16_product(*t, 1, 1, p.k, p.a + r * p.lda, p.lda, p.b + c * p.ldb, p.ldb,
                                     p.bias + c, &one, 1);
                    assert_memory_equal(&one, p.y + r * p.ldy + c, sizeof one);
                }
            drop(&p);
        }
}

/* A chain takes the second of a pair first, one product at a time: 2^-24 is lost beside 1, and two
 * of them before 1 are not. Asked of "plain" alone: processors may keep more digits in between. */
static void test_order_in_a_pair(void **state)
{
    const uint16_t one = asd_bf16_of(1), h = asd_bf16_of(0x1p-24f), ones[4] = {one, one, one, one};
    const uint16_t x[2][4] = {{h, 0, one, h}, {h, 0, h, one}};
    (void)state;
    for (int i = 0; i < 2; ++i)
        for (const asd_pair_tile *const *t = asd_pair_tile_all; *t; ++t) {
            float wide, pairs;
            asd_bf16_product(NULL, 1, 1, 4, x[i], 4, ones, 4, NULL, &wide, 1);
            assert_true(wide == (i ? 1 + 0x1p-23f : 1));
            if (strcmp((*t)->name, "plain") != 0)
                continue;
            asd_bf16_product(*t, 1, 1, 4, x[i], 4, ones, 4, NULL, &pairs, 1);
            assert_true(pairs == (i ? 1 : 1 + 0x1p-23f));
        }
}

/* The word for a cache's key is that of the tile that computes. */
static void test_name(void **state)
{
    (void)state;
    const asd_pair_tile *pairs = asd_pair_tile_best();
    const char          *fp32 = asd_products_by(0), *bf16 = asd_products_by(1);
    int                  plain = !strcmp(asd_tile_best()->name, "plain");
    assert_string_equal(fp32, plain ? "plain" : "fma");
    assert_string_equal(bf16, pairs ? pairs->name : fp32);
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("bf16/numbers/every-one", test_every_number),
    ASD_CASE("bf16/numbers/lengths", test_lengths),
    ASD_CASE("bf16/product/values", test_values),
    ASD_CASE("bf16/product/bits-of-fp32-when-widened", test_widened_bits),
    ASD_CASE("bf16/product/bits-alone", test_bits_alone),
    ASD_CASE("bf16/product/order-in-a-pair", test_order_in_a_pair),
    ASD_CASE("bf16/product/name", test_name),
};
ASD_TEST_MAIN(cases)
