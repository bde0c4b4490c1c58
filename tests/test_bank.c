/* test_bank.c - what the detectors on embeddings compute with: products and solves by panels, and
 * exact nearest rows, against their definitions in long double and bit for bit in other company.
 */
#include "harness.h"

#include "base/par.h"
#include "base/rng.h"
#include "detect/bank.h"
#include "detect/basis.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double *numbers(int64_t n, uint64_t seed)
{
    asd_rng r;
    double *x = malloc((size_t)n * sizeof *x);
    assert_non_null(x);
    asd_rng_init(&r, seed, ASD_RNG_TEST, asd_rng_hash("bank"), 0);
    for (int64_t i = 0; i < n; ++i)
        x[i] = asd_rng_normal(&r);
    return x;
}

/* --- panels --- */

static void test_tiles(void **state)
{
    (void)state;
    enum { R = ASD_PANEL_ROWS, C = 8, MOST = 300 };
    double *x = numbers(MOST * R, 1), *panel = numbers(MOST * C, 2), out[R * C];
    int     ran = 0;
    for (const asd_panel_tile *t = asd_panel_tile_all; *t; ++t)
        for (int depth = 0; asd_panel_tile_runs(*t) && depth <= MOST; depth += 1 + depth * 2, ++ran)
            for (int add = 0; add < 2; ++add) {
                for (int i = 0; i < R * C; ++i)
                    out[i] = add ? i : NAN; /* is not read */
                (*t)(depth, x, panel, add, out);
                for (int i = 0; i < R * C; ++i) {
                    long double want = add ? i : 0;
                    for (int d = 0; d < depth; ++d)
                        want += (long double)x[d * R + i / C] * (long double)panel[d * C + i % C];
                    assert_near(out[i], (double)want, 1e-13 * (1 + fabs((double)want)));
                }
            }
    assert_true(ran > 0);
    free(x);
    free(panel);
}

static const struct {
    int64_t n, D, k;
} sizes[] = {{1, 1, 1},    {7, 5, 3},     {50, 8, 16}, {49, 9, 17},
             {97, 255, 8}, {13, 256, 30}, {60, 600, 9}};
enum { N_SIZES = sizeof sizes / sizeof *sizes };

/* y and the same rows alone, and on three threads. */
static void same_rows(const asd_panels *p, const float *x, const double *centre, int64_t n,
                      const double *y)
{
    double *again = malloc((size_t)(n * p->k) * sizeof *again);
    asd_par_set_threads(3);
    asd_panels_multiply(p, x, n, centre, again);
    asd_par_set_threads(0);
    assert_memory_equal(again, y, (size_t)(n * p->k) * sizeof *y);
    for (int64_t i = 0; i < n; i += 1 + n / 9) {
        asd_panels_multiply(p, x + i * p->D, 1, centre, again);
        assert_memory_equal(again, y + i * p->k, (size_t)p->k * sizeof *y);
    }
    free(again);
}

static float *narrowed(double *wide, int64_t n)
{
    float *x = malloc((size_t)n * sizeof *x);
    assert_non_null(x);
    for (int64_t i = 0; i < n; ++i)
        wide[i] = (double)(x[i] = (float)wide[i]);
    return x;
}

static void test_product(void **state)
{
    (void)state;
    for (int c = 0; c < N_SIZES; ++c) {
        int64_t    n = sizes[c].n, D = sizes[c].D, k = sizes[c].k;
        double    *wide = numbers(n * D, 3), *m = numbers(D * k, 4), *centre = numbers(D, 5);
        float     *x = narrowed(wide, n * D);
        double    *y = malloc((size_t)(n * k) * sizeof *y);
        asd_panels p;
        assert_ok(asd_panels_new(&p, D, k));
        for (int64_t i = 0; i < D * k; ++i)
            *asd_panels_at(&p, i / k, i % k) = m[i];
        for (int centred = 0; centred < 2; ++centred) {
            asd_panels_multiply(&p, x, n, centred ? centre : NULL, y);
            for (int64_t i = 0; i < n * k; ++i) {
                long double want = 0;
                for (int64_t d = 0; d < D; ++d)
                    want += ((long double)wide[i / k * D + d] - (centred ? centre[d] : 0)) *
                            (long double)m[d * k + i % k];
                assert_near(y[i], (double)want, 1e-15 * (double)(D + 10));
            }
            same_rows(&p, x, centred ? centre : NULL, n, y);
        }
        double *of_wide = malloc((size_t)(n * k) * sizeof *of_wide);
        asd_panels_multiply(&p, x, n, NULL, y);
        asd_panels_multiply_d(&p, wide, n, of_wide);
        assert_memory_equal(y, of_wide, (size_t)(n * k) * sizeof *y);
        asd_panels_clear(&p);
        free(wide);
        free(m);
        free(centre);
        free(x);
        free(y);
        free(of_wide);
    }
}

/* y L' is x - centre again, and each number that of forward substitution. */
static void test_solve(void **state)
{
    (void)state;
    for (int c = 0; c < N_SIZES; ++c) {
        int64_t    n = sizes[c].n, D = sizes[c].D;
        double    *wide = numbers(n * D, 6), *l = numbers(D * D, 7), *centre = numbers(D, 8);
        float     *x = narrowed(wide, n * D);
        double    *y = malloc((size_t)(n * D) * sizeof *y);
        asd_panels p;
        for (int64_t i = 0; i < D * D;
             ++i) { /* column-major; above the diagonal is not looked at */
            int64_t column = i / D, row = i % D;
            l[i] = row < column ? NAN : row == column ? 2 + fabs(l[i]) : l[i] / sqrt((double)D);
        }
        assert_ok(asd_panels_factor(&p, D, l));
        assert_int_equal(p.k, D);
        asd_panels_multiply(&p, x, n, centre, y);
        for (int64_t i = 0; i < n; ++i) {
            long double *want = malloc((size_t)D * sizeof *want);
            for (int64_t k = 0; k < D; ++k) {
                want[k] = (long double)wide[i * D + k] - (long double)centre[k];
                for (int64_t d = 0; d < k; ++d)
                    want[k] -= want[d] * (long double)l[d * D + k];
                want[k] /= (long double)l[k * D + k];
                assert_near(y[i * D + k], (double)want[k], 1e-13 * (1 + fabs((double)want[k])));
            }
            free(want);
        }
        same_rows(&p, x, centre, n, y);
        asd_panels_clear(&p);
        free(wide);
        free(l);
        free(centre);
        free(x);
        free(y);
    }
}

/* --- nearest rows --- */

enum { N = 450, M = 40, D = 70 };

/* Rows of a bank and of others: around a mean far away some 1e-3 and some only 1e-6 of it apart,
 * some there twice or three times as long, some of them zeros. */
static float         bank_rows[N * D], other_rows[M * D];
static unsigned char group[N];

static void make_rows(float *x, int n, uint64_t seed)
{
    double *r = numbers(n * D, seed), *mean = numbers(D, 99);
    for (int i = 0; i < n; ++i) {
        double spread = i % 3 ? 1e-2 : 1e-6;
        for (int d = 0; d < D; ++d)
            x[i * D + d] = (float)(20 * mean[d] + spread * r[i * D + d]);
        if (i % 50 == 17)
            memset(x + i * D, 0, D * sizeof *x);
        if (i % 20 == 8)
            memcpy(x + i * D, x + (i - 1) * D, D * sizeof *x);
        for (int d = 0; i % 20 == 13 && d < D; ++d)
            x[i * D + d] = 3 * x[(i - 2) * D + d];
    }
    free(r);
    free(mean);
}

static void make_bank(void)
{
    make_rows(bank_rows, N, 11);
    make_rows(other_rows, M, 12);
    memcpy(other_rows + 2 * D, bank_rows + 5 * D, D * sizeof(float));
    memset(other_rows + 3 * D, 0, D * sizeof(float));
    for (int i = 0; i < N; ++i)
        group[i] = i % 7 == 3;
}

static long double distance(const float *x, const float *y, int cosine)
{
    long double xx = 0, yy = 0, sum = 0;
    for (int d = 0; d < D; ++d) {
        xx += (long double)x[d] * (long double)x[d];
        yy += (long double)y[d] * (long double)y[d];
    }
    if (cosine && !(xx > 0 && yy > 0))
        return 1;
    for (int d = 0; d < D; ++d) {
        long double r = cosine ? (long double)x[d] / sqrtl(xx) - (long double)y[d] / sqrtl(yy)
                               : (long double)x[d] - (long double)y[d];
        sum += r * r;
    }
    return cosine ? sum / 2 : sqrtl(sum);
}

static int rising(const void *a, const void *b)
{
    long double u = *(const long double *)a, v = *(const long double *)b;
    return (u > v) - (u < v);
}

/* of: -1 both groups; skip: a row that is not there */
static double by_definition(const float *x, int of, int skip, int k, int kth, int cosine)
{
    static long double d[N];
    long double        sum = 0;
    int                n   = 0;
    for (int i = 0; i < N; ++i)
        if (i != skip && (of < 0 || group[i] == of))
            d[n++] = distance(x, bank_rows + i * D, cosine);
    qsort(d, (size_t)n, sizeof *d, rising);
    k = k < n ? k : n;
    for (int i = 0; i < k; ++i)
        sum += d[i];
    return kth ? (double)d[k - 1] : (double)(sum / k);
}

/* A unit in the last place of the rows' lengths moves a length by that and a cosine distance, half
 * a square, by its root times that. */
static void near_definition(double got, double want, int cosine)
{
    double ulps = 2e-15 * (cosine ? sqrt(want) : 200);
    assert_near(got, want, 1e-13 * want + ulps + 1e-29);
}

static void test_definition(void **state)
{
    (void)state;
    static double score[2 * N];
    make_bank();
    for (int variant = 0; variant < 24; ++variant) {
        int      cosine = variant & 1, kth = variant >> 1 & 1, grouped = variant >> 2 & 1;
        int      k = (int[]){1, 4, 300}[variant >> 3];
        asd_bank b;
        assert_ok(asd_bank_fit(&b, bank_rows, N, D, grouped ? group : NULL, cosine, "it"));
        assert_ok(asd_bank_score(&b, other_rows, M, k, kth, score));
        for (int i = 0; i < 2 * M; ++i)
            near_definition(
                score[i],
                by_definition(other_rows + i / 2 * D, grouped ? i % 2 : -1, -1, k, kth, cosine),
                cosine);
        assert_ok(asd_bank_leave_out(&b, k, kth, score));
        int step = k > 4 ? 23 : 3;
        for (int i = 0; i < 2 * N; i += step)
            near_definition(
                score[i],
                by_definition(bank_rows + i / 2 * D, grouped ? i % 2 : -1, i / 2, k, kth, cosine),
                cosine);
        asd_bank_clear(&b);
    }
}

/* Screening leaves nothing out: the nearest is, bit for bit, the least of what banks of one row
 * measure. A row alone, on any number of threads, has the bits that it has in company. */
static void test_bits(void **state)
{
    (void)state;
    static double score[2 * M], again[2 * M], one[2], least[2];
    make_bank();
    for (int cosine = 0; cosine < 2; ++cosine) {
        asd_bank b, single;
        assert_ok(asd_bank_fit(&b, bank_rows, N, D, group, cosine, "it"));
        assert_ok(asd_bank_score(&b, other_rows, M, 1, 0, score));
        asd_par_set_threads(3);
        assert_ok(asd_bank_score(&b, other_rows, M, 1, 0, again));
        asd_par_set_threads(0);
        assert_memory_equal(score, again, sizeof score);
        for (int i = 0; i < M; ++i) {
            assert_ok(asd_bank_score(&b, other_rows + i * D, 1, 1, 0, one));
            assert_memory_equal(score + 2 * i, one, sizeof one);
            least[0] = least[1] = (double)INFINITY;
            for (int t = 0; i % 3 == 2 && t < N; ++t) { /* row 2 is in the bank */
                assert_ok(asd_bank_fit(&single, bank_rows + t * D, 1, D, NULL, cosine, "it"));
                assert_ok(asd_bank_score(&single, other_rows + i * D, 1, 1, 0, one));
                least[group[t]] = fmin(least[group[t]], one[0]);
                asd_bank_clear(&single);
            }
            if (i % 3 == 2)
                assert_memory_equal(score + 2 * i, least, sizeof least);
        }
        assert_true(score[2 * 2 + group[5]] == 0); /* it is in the bank */
        asd_bank_clear(&b);
    }
}

/* Banks whose products with themselves do not fit, and more rows than are searched for at a time:
 * numbers on a line, whose neighbours are known. */
static void test_many(void **state)
{
    (void)state;
    enum { MANY = 4300 };
    static float  x[2 * MANY];
    static double score[2 * MANY];
    asd_bank      b;
    for (int i = 0; i < MANY; ++i) {
        int at       = (int)((int64_t)i * 1237 % MANY); /* 0, 1, 3, 6, 10, ... in some order */
        x[2 * i]     = 100;
        x[2 * i + 1] = (float)(at / 2 + at % 2 * 0.25);
    }
    assert_ok(asd_bank_fit(&b, x, MANY, 2, NULL, 0, "it"));
    assert_ok(asd_bank_leave_out(&b, 2, 1, score)); /* the second: a quarter on one side, then */
    for (int i = 0; i < MANY; ++i) {
        int edge = x[2 * i + 1] == 0 || (double)x[2 * i + 1] == MANY / 2 - 1 + 0.25;
        assert_true(score[2 * i] == (edge ? 1 : 0.75));
    }
    for (int i = 0; i < MANY; ++i)
        x[2 * i + 1] += 0.125f;
    assert_ok(asd_bank_score(&b, x, MANY, 1, 0, score));
    for (int i = 0; i < MANY; ++i)
        assert_true(score[2 * i] == 0.125);
    asd_bank_clear(&b);
}

/* One row, rows that are all equal, all of them zeros, a group of none, the largest and smallest of
 * floats. */
static void test_degenerate(void **state)
{
    (void)state;
    static const float equal[]   = {3, 4, 3, 4, 3, 4}, zeros[6];
    static const float extreme[] = {3e38f, -3e38f, 1e-45f, 0, -3e38f, 3e38f};
    unsigned char      none[3]   = {0, 0, 0};
    double             s[6];
    asd_bank           b;
    for (int cosine = 0; cosine < 2; ++cosine) {
        assert_ok(asd_bank_fit(&b, equal, 1, 2, NULL, cosine, "it"));
        assert_ok(asd_bank_leave_out(&b, 1, 0, s));
        assert_true(isinf(s[0]) && isinf(s[1]));
        assert_ok(asd_bank_score(&b, equal, 1, 5, 1, s));
        assert_true(s[0] == 0 && s[1] == 0);
        asd_bank_clear(&b);
        assert_ok(asd_bank_fit(&b, equal, 3, 2, none, cosine, "it"));
        assert_ok(asd_bank_leave_out(&b, 2, 0, s));
        assert_true(s[0] == 0 && isinf(s[1]) && s[4] == 0 && isinf(s[5]));
        asd_bank_clear(&b);
        assert_ok(asd_bank_fit(&b, zeros, 3, 2, NULL, cosine, "it"));
        assert_ok(asd_bank_leave_out(&b, 2, 0, s));
        assert_true(s[0] == cosine && s[5] == cosine);
        assert_ok(asd_bank_score(&b, equal, 3, 2, 0, s));
        assert_true(s[0] == (cosine ? 1 : 5) && s[5] == s[0]);
        assert_ok(asd_bank_score(&b, zeros, 3, 2, 0, s));
        assert_true(s[0] == cosine && s[5] == cosine);
        asd_bank_clear(&b);
        assert_ok(asd_bank_fit(&b, extreme, 3, 2, NULL, cosine, "it"));
        assert_ok(asd_bank_score(&b, extreme, 3, 1, 0, s));
        for (int i = 0; i < 6; ++i)
            assert_true(s[i] == 0);
        assert_ok(asd_bank_leave_out(&b, 2, 1, s));
        assert_near(s[0], cosine ? 2 : 6e38 * sqrt(2), 1e-6 * s[0]);
        asd_bank_clear(&b);
    }
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("panels/tile/every-processor", test_tiles),
    ASD_CASE("panels/product/definition-and-bits", test_product),
    ASD_CASE("panels/solve/definition-and-bits", test_solve),
    ASD_CASE("bank/every-variant/definition", test_definition),
    ASD_CASE("bank/nearest/bits", test_bits),
    ASD_CASE("bank/many/known-neighbours", test_many),
    ASD_CASE("bank/degenerate", test_degenerate),
};

ASD_TEST_MAIN(cases)
