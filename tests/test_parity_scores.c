/* test_parity_scores.c - our baseline against PyTorch (tests/golden/make_baseline.py): inference,
 * covariances by the official rule, and every score. The golden's official score is the mean of all
 * entries of E P E', literally; ours is one quadratic form. Tolerance as in test_parity.c.
 */
#include "harness.h"
#include "ref/baseline.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { F = BASELINE_F };

static void with_fixed(void (*look)(baseline_net *, const baseline_data *))
{
    baseline_data m;
    baseline_net  n;
    baseline_plan l;
    baseline_open(&m, 0);
    baseline_net_init(&n);
    baseline_plan_init(&l, &n, &m, 1, 0); /* makes the parameters */
    baseline_net_fixed(&n, &m.g);
    look(&n, &m);
    baseline_plan_clear(&l);
    baseline_net_clear(&n);
    baseline_close(&m);
}

static void check_fixed_loss(baseline_net *n, const baseline_data *m)
{
    baseline_check("fixed/loss", baseline_eval_loss(n, m), golden_number(&m->g, "fixed/loss/value"),
                   golden_number(&m->g, "fixed/loss/fp32_error"));
}

static void test_fixed_loss(void **state)
{
    (void)state;
    with_fixed(check_fixed_loss);
}

/* --- covariances and scores ------------------------------------------------------------------- */

/* source, target: (F, F), batches in the golden's order. */
static void covariances_of(baseline_net *n, const baseline_data *m, float *source, float *target)
{
    int64_t          batch = (int64_t)golden_number(&m->g, "train/batch");
    int32_t         *order = malloc((size_t)m->n_rows * sizeof *order);
    int32_t         *start = malloc((size_t)batch * sizeof *start);
    unsigned char   *which = malloc((size_t)batch);
    asd_residual_cov cov;
    assert_ok(asd_residual_cov_init(&cov, F, batch * BASELINE_STACK));
    golden_order(50, m->n_rows, order);
    for (int64_t k = 0; k < m->n_rows; k += batch) {
        int64_t       rows = m->n_rows - k < batch ? m->n_rows - k : batch;
        baseline_plan l;
        for (int64_t i = 0; i < rows; ++i) {
            start[i] = m->start[order[k + i]];
            which[i] = m->is_target[order[k + i]];
        }
        asd_residuals r = baseline_residuals(&l, n, m, start, rows);
        asd_residual_cov_add(&cov, &r, which);
        baseline_plan_clear(&l);
    }
    assert_ok(asd_residual_cov_finish(&cov, source, target));
    asd_residual_cov_clear(&cov);
    free(order);
    free(start);
    free(which);
}

static void check_fixed_covariances(baseline_net *n, const baseline_data *m)
{
    static const char *const domain[2] = {"source", "target"};
    float                   *cov       = malloc((size_t)2 * F * F * sizeof *cov);
    covariances_of(n, m, cov, cov + F * F);
    for (int d = 0; d < 2; ++d) {
        char    name[64];
        int64_t count, k = 0;
        snprintf(name, sizeof name, "fixed.cov_%s", domain[d]);
        const float *want  = golden_tensor(&m->g, name, &count);
        double       error = golden_number(&m->g, "fixed/cov_%s/fp32_error", domain[d]);
        double unit = BASELINE_ROUNDING * golden_number(&m->g, "fixed/cov_%s/largest", domain[d]);
        assert_int_equal(count, F * (F + 1) / 2);
        for (int i = 0; i < F; ++i)
            for (int j = i; j < F; ++j, ++k) {
                double value = (double)cov[(d * F + i) * F + j];
                if (!(fabs(value - (double)want[k]) <= 2 * error + unit))
                    fail_msg("%s[%d, %d]: %.9g, want %.9g within %.3g", name, i, j, value,
                             (double)want[k], 2 * error + unit);
                assert_true(cov[(d * F + i) * F + j] == cov[(d * F + j) * F + i]);
            }
    }
    free(cov);
}

static void test_fixed_covariances(void **state)
{
    (void)state;
    with_fixed(check_fixed_covariances);
}

/* One score of one clip. Its own error may be small by luck, so that of its kind counts. */
static void check_score(const golden *g, const char *part, const char *clip_name, const char *score,
                        double value)
{
    char   what[128], path[64];
    double want = golden_number(g, "%s/scores/%s/%s/value", part, clip_name, score);
    snprintf(path, sizeof path, "%s/scores", part);
    snprintf(what, sizeof what, "%s: %s of %s", part, score, clip_name);
    baseline_check(what, value, want, golden_relative_error(g, path, score) * fabs(want));
}

/* Every score of the test clips: by the detectors as recipes name them, and both domains' own. */
static void check_scores(baseline_net *n, const baseline_data *m, const char *part)
{
    static const struct {
        const char *text, *golden;
    } detector[]                       = {{"mse", "mse"},
                                          {"selective_mahalanobis", "official"},
                                          {"selective_mahalanobis(mode=official)", "official"},
                                          {"selective_mahalanobis(mode=framewise)", "framewise"}};
    static const char *const domain[2] = {"official_source", "official_target"};
    float                   *cov       = malloc((size_t)2 * F * F * sizeof *cov);
    double                  *inverse   = malloc((size_t)F * F * sizeof *inverse);
    covariances_of(n, m, cov, cov + F * F);
    asd_residual_stats stats = {.F = F, .covariance = {cov, cov + F * F}};
    for (int i = 0; i < m->n_clips; ++i) {
        const baseline_clip *c = &m->clip[i];
        int32_t              start[512];
        baseline_plan        l;
        if (strcmp(c->role, "test") != 0)
            continue;
        int64_t rows = c->T - BASELINE_STACK + 1;
        assert_in_range(rows, 1, 512);
        for (int64_t t = 0; t < rows; ++t)
            start[t] = (int32_t)(c->first + t);
        asd_residuals r = baseline_residuals(&l, n, m, start, rows);
        for (size_t k = 0; k < sizeof detector / sizeof *detector; ++k) {
            asd_detector_use use;
            double           score;
            assert_ok(asd_detector_parse(detector[k].text, &use));
            assert_ok(asd_detector_fit(&use, &stats, part));
            assert_ok(use.detector->score(use.state, &r, &score));
            check_score(&m->g, part, c->name, detector[k].golden, score);
            asd_detector_clear(&use);
        }
        for (int d = 0; d < 2; ++d) {
            double mean[F];
            asd_residual_mean(&r, mean);
            assert_ok(asd_spd_inverse(cov + d * F * F, F, part, inverse));
            check_score(&m->g, part, c->name, domain[d], asd_quadratic_form(inverse, mean, F));
        }
        baseline_plan_clear(&l);
    }
    free(cov);
    free(inverse);
}

static void check_fixed_scores(baseline_net *n, const baseline_data *m)
{
    check_scores(n, m, "fixed");
}

static void test_fixed_scores(void **state)
{
    (void)state;
    with_fixed(check_fixed_scores);
}

static void test_trained_scores(void **state)
{
    (void)state;
    baseline_data m;
    baseline_run  t;
    baseline_open(&m, 0);
    baseline_train(&t, &m, "train");
    check_scores(&t.n, &m, "train");
    baseline_run_clear(&t);
    baseline_close(&m);
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("parity/fixed/loss", test_fixed_loss),
    ASD_CASE("parity/fixed/covariances", test_fixed_covariances),
    ASD_CASE("parity/fixed/scores", test_fixed_scores),
    ASD_CASE("parity/train/scores-official-rate", test_trained_scores),
};

ASD_TEST_MAIN(cases)
