/* test_normalise.c - detectors' columns on one scale, and the texts of a fusion. */
#include "harness.h"

#include "base/rng.h"
#include "score/normalise.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N = 60, N_TARGET = 8, M = 25 };

static double        loo[2 * N], test[2 * M];
static unsigned char is_target[N];

static void make(uint64_t seed)
{
    asd_rng r;
    asd_rng_init(&r, seed, ASD_RNG_TEST, asd_rng_hash("normalise"), 0);
    for (int i = 0; i < N; ++i) {
        is_target[i]   = i % 7 == 3 && i < 7 * N_TARGET;
        loo[2 * i]     = 5 + asd_rng_normal(&r);
        loo[2 * i + 1] = 9 + 3 * asd_rng_normal(&r);
    }
    for (int i = 0; i < 2 * M; ++i)
        test[i] = 6 + 2 * asd_rng_normal(&r);
}

/* domain -1: all */
static void naive(int column, int domain, double *mean, double *std)
{
    int n = 0;
    *mean = *std = 0;
    for (int i = 0; i < N; ++i)
        if (domain < 0 || is_target[i] == domain) {
            *mean += loo[2 * i + column];
            ++n;
        }
    *mean /= n;
    for (int i = 0; i < N; ++i)
        if (domain < 0 || is_target[i] == domain)
            *std += pow(loo[2 * i + column] - *mean, 2);
    *std = sqrt(*std / n);
}

static void fit(asd_normaliser *z, int kind, int heads)
{
    assert_ok(asd_normaliser_fit(z, kind, heads, loo, is_target, N, "it"));
}

static void test_z_train(void **state)
{
    (void)state;
    asd_normaliser z;
    double         out[N], mean[2], std[2];
    make(1);
    naive(0, 0, &mean[0], &std[0]);
    naive(1, 1, &mean[1], &std[1]);
    fit(&z, ASD_NORMALISE_Z_TRAIN, 2);
    assert_ok(asd_normalise(&z, test, M, out));
    for (int i = 0; i < M; ++i)
        assert_near(out[i],
                    fmin((test[2 * i] - mean[0]) / std[0], (test[2 * i + 1] - mean[1]) / std[1]),
                    1e-12);
    asd_normalise_train(&z, loo, N, out);
    for (int i = 0; i < N; ++i)
        assert_near(out[i],
                    fmin((loo[2 * i] - mean[0]) / std[0], (loo[2 * i + 1] - mean[1]) / std[1]),
                    1e-12);
    asd_normaliser_clear(&z);
    naive(0, -1, &mean[0], &std[0]); /* one head: all clips, one comparison */
    fit(&z, ASD_NORMALISE_Z_TRAIN, 1);
    assert_ok(asd_normalise(&z, test, M, out));
    for (int i = 0; i < M; ++i)
        assert_near(out[i], (test[2 * i] - mean[0]) / std[0], 1e-12);
    asd_normaliser_clear(&z);
    naive(0, 0, &mean[0], &std[0]); /* one head, both domains' statistics of it */
    naive(0, 1, &mean[1], &std[1]);
    fit(&z, ASD_NORMALISE_MIN_Z_TRAIN, 1);
    assert_ok(asd_normalise(&z, test, M, out));
    for (int i = 0; i < M; ++i)
        assert_near(out[i],
                    fmin((test[2 * i] - mean[0]) / std[0], (test[2 * i] - mean[1]) / std[1]),
                    1e-12);
    asd_normaliser_clear(&z);
}

/* The target's spread has a floor; without two target scores the source's statistics count. */
static void test_few_targets(void **state)
{
    (void)state;
    asd_normaliser z;
    double         mean, std;
    make(2);
    naive(0, 0, &mean, &std);
    for (int i = 0; i < N; ++i)
        if (is_target[i])
            loo[2 * i + 1] = 3;
    fit(&z, ASD_NORMALISE_Z_TRAIN, 2);
    assert_near(z.mean[1], 3, 0);
    assert_near(z.std[1], 0.25 * std, 1e-15);
    asd_normaliser_clear(&z);
    int kept = 0;
    for (int i = 0; i < N; ++i)
        if (is_target[i] && kept++)
            is_target[i] = 0;
    for (int i = 0; i < N; ++i)
        if (is_target[i])
            loo[2 * i + 1] = (double)INFINITY;
    naive(0, 0, &mean, &std);
    fit(&z, ASD_NORMALISE_Z_TRAIN, 2);
    assert_near(z.mean[1], mean, 1e-12);
    assert_near(z.std[1], std, 1e-12);
    double out[N];
    asd_normalise_train(&z, loo, N, out);
    for (int i = 0; i < N; ++i)
        assert_true(isfinite(out[i]));
    asd_normaliser_clear(&z);
    for (int i = 0; i < 2 * N; ++i)
        loo[i] = 4;
    assert_fails(asd_normaliser_fit(&z, ASD_NORMALISE_Z_TRAIN, 2, loo, is_target, N, "base, fan"),
                 ASD_E_NUMERIC, "base, fan: all training scores are 4");
    asd_normaliser_clear(&z);
    for (int i = 0; i < 2 * N; ++i) /* equal but for rounding */
        loo[i] = 4 + 1e-13 * (i % 5);
    assert_fails(asd_normaliser_fit(&z, ASD_NORMALISE_Z_TRAIN, 2, loo, is_target, N, "base, fan"),
                 ASD_E_NUMERIC, "base, fan: all training scores are 4");
    asd_normaliser_clear(&z);
    fit(&z, ASD_NORMALISE_NONE, 2);
    assert_ok(asd_normalise(&z, test, M, out));
    for (int i = 0; i < M; ++i)
        assert_near(out[i], fmin(test[2 * i], test[2 * i + 1]), 0);
    asd_normaliser_clear(&z);
}

/* What depends on other clips, and what does not. */
static void test_company(void **state)
{
    (void)state;
    double out[M], alone[1], copy[2 * M];
    make(3);
    for (int kind = ASD_NORMALISE_NONE; kind <= ASD_NORMALISE_RANK_TEST; ++kind)
        for (int heads = 1; heads <= 2; ++heads) {
            asd_normaliser z;
            int            differ = 0;
            fit(&z, kind, heads);
            assert_ok(asd_normalise(&z, test, M, out));
            for (int i = 0; i < M; ++i) {
                memcpy(copy, test + 2 * i, 2 * sizeof *copy);
                assert_ok(asd_normalise(&z, copy, 1, alone));
                assert_true(isfinite(alone[0]));
                differ += alone[0] != out[i];
            }
            assert_int_equal(differ > 0, kind >= ASD_NORMALISE_Z_TEST);
            asd_normaliser_clear(&z);
        }
}

static void test_ranks(void **state)
{
    (void)state;
    asd_normaliser z;
    const double   s[]      = {3, 0, 1, 0, 3, 0, 2, 0, 3, 0};
    const double   want[]   = {4. / 5, 1. / 5, 4. / 5, 2. / 5, 4. / 5};
    const double   train[]  = {1, 0, 2, 0, 2, 0, 5, 0};
    const double   shares[] = {0.25, 0.75, 0.75, 1};
    double         out[5];
    memset(is_target, 0, sizeof is_target);
    assert_ok(asd_normaliser_fit(&z, ASD_NORMALISE_RANK_TEST, 1, train, is_target, 4, "it"));
    assert_ok(asd_normalise(&z, s, 5, out));
    for (int i = 0; i < 5; ++i)
        assert_near(out[i], want[i], 1e-15);
    asd_normalise_train(&z, train, 4, out);
    for (int i = 0; i < 4; ++i)
        assert_near(out[i], shares[i], 1e-15);
    asd_normaliser_clear(&z);
}

static void test_z_test(void **state)
{
    (void)state;
    asd_normaliser z;
    double         out[M], sum = 0, square = 0;
    make(4);
    fit(&z, ASD_NORMALISE_Z_TEST, 1);
    assert_ok(asd_normalise(&z, test, M, out));
    for (int i = 0; i < M; ++i) {
        sum += out[i];
        square += out[i] * out[i];
    }
    assert_near(sum, 0, 1e-12);
    assert_near(square, M, 1e-10);
    double turned[2 * M], back[M]; /* the clips' order does not show, not even in the last bit */
    for (int i = 0; i < M; ++i)
        memcpy(turned + 2 * i, test + 2 * (M - 1 - i), 2 * sizeof *turned);
    assert_ok(asd_normalise(&z, turned, M, back));
    for (int i = 0; i < M; ++i)
        assert_true(back[M - 1 - i] == out[i]);
    asd_normaliser_clear(&z);
}

static void test_fusion(void **state)
{
    (void)state;
    static const char *const labels[] = {"base", "joint", "level"};
    static char             *good[]   = {"joint=0.15", "  base 0.40 ", "level = 1e-2"}, *one[1];
    static const struct {
        char *text, *message;
    } bad[] = {
        {"base", "is not LABEL=WEIGHT"},     {"base=", "is not LABEL=WEIGHT"},
        {"base=0", "is not LABEL=WEIGHT"},   {"base=-1", "is not LABEL=WEIGHT"},
        {"base=nan", "is not LABEL=WEIGHT"}, {"base=0.4x", "is not LABEL=WEIGHT"},
        {"=0.4", "is not LABEL=WEIGHT"},     {"bas=0.4", "did you mean \"base\""},
        {"", "is not LABEL=WEIGHT"},
    };
    double weight[3];
    assert_ok(asd_fusion_parse(good, 3, labels, 3, weight));
    assert_near(weight[0], 0.40, 0);
    assert_near(weight[1], 0.15, 0);
    assert_near(weight[2], 0.01, 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; ++i) {
        one[0] = bad[i].text;
        assert_fails(asd_fusion_parse(one, 1, labels, 3, weight), ASD_E_CONFIG, bad[i].message);
    }
    good[2] = "base=1";
    assert_fails(asd_fusion_parse(good, 3, labels, 3, weight), ASD_E_CONFIG, "base twice");
}

/* What parses has a weight above 0 for a label that exists; nothing else changes. */
static void test_fusion_mutants(void **state)
{
    (void)state;
    static const char *const labels[]  = {"base", "joint", "level"};
    static const char        letters[] = "basejointlevl=.-+e0123456789 \t,x\xff";
    asd_rng                  r;
    int                      parsed = 0;
    asd_rng_init(&r, 11, ASD_RNG_TEST, 0, 0);
    for (int k = 0; k < 20000; ++k) {
        char   text[40] = "joint = 0.25", *one[1] = {text};
        double weight[3];
        size_t n = strlen(text);
        for (uint32_t edits = asd_rng_below(&r, 4); edits; --edits) {
            size_t at = asd_rng_below(&r, (uint32_t)n);
            if (asd_rng_below(&r, 2)) {
                text[at] = letters[asd_rng_below(&r, sizeof letters - 1)];
            } else {
                memmove(text + at, text + at + 1, n - at);
                --n;
            }
        }
        asd_status st = asd_fusion_parse(one, 1, labels, 3, weight);
        if (st) {
            assert_int_equal(st, ASD_E_CONFIG);
            continue;
        }
        ++parsed;
        int set = 0;
        for (int l = 0; l < 3; ++l) {
            assert_true(weight[l] >= 0 && weight[l] < 1e6);
            set += weight[l] > 0;
        }
        assert_int_equal(set, 1);
    }
    assert_true(parsed > 4000 && parsed < 18000);
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("score/normalise/z-train", test_z_train),
    ASD_CASE("score/normalise/few-targets", test_few_targets),
    ASD_CASE("score/normalise/company", test_company),
    ASD_CASE("score/normalise/ranks", test_ranks),
    ASD_CASE("score/normalise/z-test", test_z_test),
    ASD_CASE("score/fusion/texts", test_fusion),
    ASD_CASE("score/fusion/mutants", test_fusion_mutants),
};

ASD_TEST_MAIN(cases)
