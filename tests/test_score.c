/* test_score.c - special functions and thresholds against SciPy; score files and truth. */
#include "harness.h"

#include "base/cfg.h"
#include "base/file.h"
#include "base/rng.h"
#include "score/special.h"
#include "score/threshold.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- against tests/golden/gamma.txt --- */

static FILE *open_golden(void)
{
    char path[PATH_MAX];
    assert_ok(asd_path(path, "%s/tests/golden/gamma.txt", asd_test_source()));
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    return f;
}

static void close_to(const char *line, double got, double want, double relative)
{
    if (!(fabs(got - want) <= relative * fabs(want) + 1e-300))
        fail_msg("%s: got %.17g, want %.17g", line, got, want);
}

static void test_special_scipy(void **state)
{
    (void)state;
    FILE *f = open_golden();
    char  line[256], what[32];
    int   seen = 0;
    while (fgets(line, sizeof line, f)) {
        double v[3];
        int    n = sscanf(line, "%31s %lf %lf %lf", what, v, v + 1, v + 2);
        if (!strcmp(what, "fit"))
            break;
        if (n == 3 && !strcmp(what, "digamma"))
            close_to(line, asd_digamma(v[0]), v[1], 2e-14), ++seen;
        else if (n == 3 && !strcmp(what, "trigamma"))
            close_to(line, asd_trigamma(v[0]), v[1], 2e-14), ++seen;
        else if (n == 4 && !strcmp(what, "gamma_p"))
            close_to(line, asd_gamma_p(v[0], v[1]), v[2], 5e-12), ++seen;
        else if (n == 4 && !strcmp(what, "gamma_inv"))
            close_to(line, asd_gamma_inv(v[0], v[1]), v[2], 1e-12), ++seen;
        else if (n == 3 && !strcmp(what, "normal_inv"))
            close_to(line, asd_normal_inv(v[0]), v[1], 1e-13), ++seen;
        else if (n == 4 && !strcmp(what, "student_inv"))
            close_to(line, asd_student_inv(v[0], v[1]), v[2], 1e-12), ++seen;
    }
    fclose(f);
    assert_int_equal(seen, 22 + 63 + 60 + 10 + 8);
}

static void test_inverse_exact(void **state)
{
    (void)state;
    for (double p = 0.0078125; p < 1; p += 0.0078125) /* dyadic: 1 - p is exact */
        assert_true(asd_normal_inv(1 - p) == -asd_normal_inv(p));
    assert_near(asd_student_inv(0.975, 1), tan(3.14159265358979324 * 0.475), 1e-11); /* Cauchy */
    assert_true(asd_normal_inv(0) == -INFINITY && asd_normal_inv(1) == INFINITY);
}

static void test_gamma_round_trip(void **state)
{
    (void)state;
    for (double a = 0.02; a < 2e6; a *= 3)
        for (double q = 0.001; q < 1; q += 0.0713)
            assert_near(asd_gamma_p(a, asd_gamma_inv(a, q)), q, 2e-12);
}

static void test_fit_scipy(void **state)
{
    (void)state;
    FILE *f = open_golden();
    char  line[256], kind[16];
    int   seen = 0;
    while (fgets(line, sizeof line, f)) {
        long   n;
        double shape, loc, scale, q90, s[400];
        if (sscanf(line, "fit %15s %ld %lf %lf %lf %lf", kind, &n, &shape, &loc, &scale, &q90) != 6)
            continue;
        assert_in_range(n, 2, 400);
        for (long i = 0; i < n; ++i)
            assert_true(fgets(line, sizeof line, f) && sscanf(line, "%lf", s + i) == 1);
        asd_gamma_fit g;
        double        threshold;
        int           is_free = !strcmp(kind, "free");
        assert_ok(is_free ? asd_gamma_fit_free(s, n, &g) : asd_gamma_fit_loc0(s, n, &g));
        /* A likelihood is flat at its top: half of the digits of a double, in both programs. */
        double close = is_free ? 2e-5 : 1e-9;
        assert_near(g.shape, shape, close * shape);
        assert_near(g.scale, scale, close * scale);
        assert_near(g.loc, loc, is_free ? close * shape * scale : 0);
        assert_ok(asd_threshold_fit(is_free ? ASD_THRESHOLD_GAMMA : ASD_THRESHOLD_GAMMA_LOC0, s, n,
                                    0.9, &threshold));
        assert_near(threshold, q90, close * 0.1 * fabs(q90));
        ++seen;
    }
    fclose(f);
    assert_int_equal(seen, 7);
}

/* --- thresholds where a likelihood has no maximum, and other corners --- */

static void test_threshold_left_skew(void **state)
{
    (void)state;
    /* Skewed to the left: the likelihood rises towards the normal distribution. */
    enum { N = 101 };
    double s[N], sum = 0, square = 0, threshold;
    for (int i = 0; i < N; ++i) {
        s[i] = 10 - pow(i / 20.0, 2);
        sum += s[i];
    }
    for (int i = 0; i < N; ++i)
        square += (s[i] - sum / N) * (s[i] - sum / N);
    assert_ok(asd_threshold_fit(ASD_THRESHOLD_GAMMA, s, N, 0.9, &threshold));
    assert_near(threshold, sum / N + 1.2815515655446004 * sqrt(square / N), 1e-9);
}

static void test_threshold_spike(void **state)
{
    (void)state;
    /* A power of an exponential spikes at the smallest score: the fit stops at shape 1. */
    enum { N = 400 };
    double        s[N], mean = 0;
    asd_gamma_fit g;
    for (int i = 0; i < N; ++i) {
        s[i] = 5 + pow(-log((i + 0.5) / N), 3);
        mean += s[i] / N;
    }
    assert_ok(asd_gamma_fit_free(s, N, &g));
    assert_near(g.shape, 1, 1e-12);
    assert_near(g.loc, s[N - 1], 1e-5 * mean);
    assert_near(g.loc + g.scale, mean, 1e-9 * mean);
}

static void test_threshold_moves_with_scores(void **state)
{
    (void)state;
    enum { N = 150 };
    static const int kinds[] = {ASD_THRESHOLD_GAMMA, ASD_THRESHOLD_QUANTILE,
                                ASD_THRESHOLD_OFFICIAL_BATCHES};
    double           s[N], t[N], a, b;
    asd_rng          r;
    asd_rng_init(&r, 5, ASD_RNG_TEST, 0, 0);
    for (int i = 0; i < N; ++i) {
        s[i] = -log(1 - asd_rng_uniform(&r)) - log(1 - asd_rng_uniform(&r));
        t[i] = 0.001 * s[i] - 3;
    }
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; ++k) {
        assert_ok(asd_threshold_fit(kinds[k], s, N, 0.9, &a));
        assert_ok(asd_threshold_fit(kinds[k], t, N, 0.9, &b));
        assert_near(b, 0.001 * a - 3, 1e-9);
        int above = 0;
        for (int i = 0; i < N; ++i)
            above += s[i] > a;
        assert_in_range(above, 8, 22); /* about a tenth of 150 */
    }
}

static void test_threshold_quantile(void **state)
{
    (void)state;
    double s[] = {3, 1, 2, 10, 4}, t;
    assert_ok(asd_threshold_fit(ASD_THRESHOLD_QUANTILE, s, 5, 0.9, &t));
    assert_near(t, 7.6, 1e-12); /* numpy.percentile([1,2,3,4,10], 90) */
    assert_ok(asd_threshold_fit(ASD_THRESHOLD_QUANTILE, s, 1, 0.9, &t));
    assert_true(t == 3);
    assert_true(s[0] == 3 && s[1] == 1); /* the scores stay in place */
}

static void test_threshold_loc0_shift(void **state)
{
    (void)state;
    double s[] = {-1, 0, 0.5, 2, 3, 1}, t[6], a, b;
    for (int i = 0; i < 6; ++i)
        t[i] = s[i] + 1 + 1e-6;
    assert_ok(asd_threshold_fit(ASD_THRESHOLD_GAMMA_LOC0, s, 6, 0.9, &a));
    assert_ok(asd_threshold_fit(ASD_THRESHOLD_GAMMA_LOC0, t, 6, 0.9, &b));
    assert_near(a, b - 1 - 1e-6, 1e-9);
}

static void test_threshold_errors(void **state)
{
    (void)state;
    double same[] = {0.1, 0.1, 0.1}, bad[] = {1, NAN, 2}, t;
    assert_fails(asd_threshold_fit(ASD_THRESHOLD_GAMMA, same, 3, 0.9, &t), ASD_E_NUMERIC,
                 "quantile would take them");
    assert_fails(asd_threshold_fit(ASD_THRESHOLD_GAMMA_LOC0, same, 3, 0.9, &t), ASD_E_NUMERIC,
                 "standard deviation");
    assert_fails(asd_threshold_fit(ASD_THRESHOLD_GAMMA, same, 1, 0.9, &t), ASD_E_DATA, "1 scores");
    assert_fails(asd_threshold_fit(ASD_THRESHOLD_GAMMA, bad, 3, 0.9, &t), ASD_E_DATA,
                 "score 1 of 3");
    assert_fails(asd_threshold_fit(ASD_THRESHOLD_QUANTILE, bad, 3, 0.9, &t), ASD_E_DATA,
                 "score 1 of 3");
    assert_fails(asd_threshold_fit(ASD_THRESHOLD_GAMMA, same, 3, 1.0, &t), ASD_E_CONFIG,
                 "quantile 1");
    assert_ok(asd_threshold_fit(ASD_THRESHOLD_QUANTILE, same, 3, 0.9, &t));
    assert_true(t == 0.1);
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("score/special/scipy", test_special_scipy),
    ASD_CASE("score/special/inverse-exact", test_inverse_exact),
    ASD_CASE("score/special/gamma-round-trip", test_gamma_round_trip),
    ASD_CASE("score/threshold/scipy", test_fit_scipy),
    ASD_CASE("score/threshold/left-skew-is-normal", test_threshold_left_skew),
    ASD_CASE("score/threshold/spike-is-exponential", test_threshold_spike),
    ASD_CASE("score/threshold/moves-with-scores", test_threshold_moves_with_scores),
    ASD_CASE("score/threshold/quantile", test_threshold_quantile),
    ASD_CASE("score/threshold/loc0-shift", test_threshold_loc0_shift),
    ASD_CASE("score/threshold/errors", test_threshold_errors),
};
ASD_TEST_MAIN(cases)
