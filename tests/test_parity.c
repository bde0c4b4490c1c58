/* test_parity.c - our baseline against librosa and PyTorch (tests/golden/make_baseline.py):
 * features, losses, gradients, training.
 *
 * Tolerance everywhere: twice the error that the same mathematics makes in single precision,
 * measured by the golden's maker over several float32 routes, plus the rounding of the number
 * compared.
 */
#include "harness.h"
#include "ref/baseline.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { F = BASELINE_F };

static void test_features(void **state)
{
    (void)state;
    for (int as_float = 0; as_float < 2; ++as_float) {
        baseline_data m;
        baseline_open(&m, as_float);
        for (int i = 0; i < m.n_clips; ++i) {
            const baseline_clip *c = &m.clip[i];
            char                 name[128];
            double mean = 0, error = golden_number(&m.g, "features/%s/fp32_error", c->name);
            for (int64_t k = 0; k < c->T * F; ++k)
                mean += (double)c->y[k] / (double)(c->T * F);
            snprintf(name, sizeof name, "features.%s", c->name);
            baseline_check(name, mean, golden_number(&m.g, "features/%s/mean", c->name), error);
            if (!strcmp(c->role, "source") || !strcmp(c->role, "target"))
                continue; /* only their mean is kept; training on them shows the rest */
            int64_t      n;
            const float *want = golden_tensor(&m.g, name, &n);
            assert_int_equal(n, c->T * F);
            for (int64_t k = 0; k < n; ++k) {
                char what[192];
                snprintf(what, sizeof what, "%s frame %lld band %lld", name, (long long)(k / F),
                         (long long)(k % F));
                baseline_check(what, (double)c->y[k], (double)want[k], error);
            }
        }
        baseline_close(&m);
    }
}

/* --- training --- */

static void test_parameter_count(void **state)
{
    (void)state;
    baseline_data m;
    baseline_net  n;
    baseline_plan l;
    baseline_open(&m, 0);
    baseline_net_init(&n);
    baseline_plan_init(&l, &n, &m, 2, 1);
    assert_int_equal(asd_params_count(&n.params, 1), 267928); /* dcase2026 6.2, systems C1 */
    assert_int_equal(asd_params_count(&n.params, 0), 2 * (8 * 128 + 8));
    baseline_plan_clear(&l);
    baseline_net_clear(&n);
    baseline_close(&m);
}

/* The losses. Disturbances only grow, so a step may err as much as the worst so far. */
static void check_losses(const baseline_run *t)
{
    double worst = 0;
    for (int64_t k = 0; k < t->steps; ++k) {
        char   what[64];
        double error = golden_number(&t->m->g, "%s/losses/%d/fp32_error", t->part, (int)k);
        worst        = error > worst ? error : worst;
        snprintf(what, sizeof what, "%s: loss of step %d", t->part, (int)k);
        baseline_check(what, t->loss[k],
                       golden_number(&t->m->g, "%s/losses/%d/value", t->part, (int)k), worst);
    }
}

static double norm_of(const float *x, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; ++i)
        sum += (double)x[i] * (double)x[i];
    return sqrt(sum);
}

/* Norm and probe of a tensor against "<part>/layers/<i>/<leaf>/<what>_norm" and "_probe". A probe
 * is a sum of signed terms, so it errs on the scale of the norm: the worst of the two counts. */
typedef struct tensor_check {
    double value[2], want[2], error; /* norm and probe */
    char   name[2][128];
} tensor_check;

static tensor_check measure(const baseline_run *t, int i, const char *leaf, const char *what,
                            const float *x, int64_t n)
{
    static const char *const kind[2] = {"norm", "probe"};
    tensor_check             c = {.value = {norm_of(x, n), golden_probe(x, n, 3000 + (uint32_t)i)}};
    for (int k = 0; k < 2; ++k) {
        double e = golden_number(&t->m->g, "%s/layers/%d/%s/%s_%s/fp32_error", t->part, i, leaf,
                                 what, kind[k]);
        c.error  = e > c.error ? e : c.error;
        c.want[k] =
            golden_number(&t->m->g, "%s/layers/%d/%s/%s_%s/value", t->part, i, leaf, what, kind[k]);
        snprintf(c.name[k], sizeof c.name[k], "%s: layer %d %s %s_%s", t->part, i, leaf, what,
                 kind[k]);
    }
    c.error += BASELINE_ROUNDING * c.want[0];
    return c;
}

static void check_tensor(const baseline_run *t, int i, const char *leaf, const char *what,
                         const float *x, int64_t n)
{
    tensor_check c = measure(t, i, leaf, what, x, n);
    for (int k = 0; k < 2; ++k)
        baseline_check(c.name[k], c.value[k], c.want[k], c.error);
}

/* A bias in front of batch normalisation has no effect and so no gradient: what there is, is
 * rounding, whose size is the golden's largest over such biases. */
static double idle_bias_error(const golden *g)
{
    double worst = 0;
    for (int i = 0; i + 1 < BASELINE_LAYERS; ++i) {
        double e = golden_number(g, "slow/layers/%d/bias/grad_norm/fp32_error", i);
        worst    = e > worst ? e : worst;
    }
    return worst;
}

static void check_gradients(const baseline_run *t)
{
    static const char *const leaf[] = {"weight", "bias", "scale", "shift"};
    for (int i = 0; i < BASELINE_LAYERS; ++i)
        for (int k = 0; k < (i + 1 < BASELINE_LAYERS ? 4 : 2); ++k) {
            const asd_param *p = &t->n.params.param[baseline_param(&t->n, i, leaf[k])];
            const float     *g = t->grad + p->offset;
            if (k == 1 && i + 1 < BASELINE_LAYERS)
                baseline_check("gradient of an idle bias", norm_of(g, asd_count(p->shape)), 0,
                               idle_bias_error(&t->m->g));
            else
                check_tensor(t, i, leaf[k], "grad", g, asd_count(p->shape));
        }
}

/* How far every parameter and running statistic went. Twenty steps of Adam blow rounding up, and
 * the golden's error is the largest of a few runs of PyTorch, itself a sample: of a hundred such
 * comparisons some lie beyond twice of it, whoever computes. So each may be four times as far, and
 * all of them together, as root mean square, not farther than PyTorch's own. */
static void check_moved(const baseline_run *t)
{
    double                   square = 0, count = 0;
    static const char *const leaf[] = {"weight", "scale",        "shift",
                                       "bias",   "running_mean", "running_var"};
    const asd_params        *p      = &t->n.params;
    for (int i = 0; i < BASELINE_LAYERS; ++i)
        for (int k = 0; k < 6; ++k) {
            int at = baseline_param(&t->n, i, leaf[k]);
            if (at < 0)
                continue; /* the last layer has no norm */
            const asd_param *q     = &p->param[at];
            int64_t          n     = asd_count(q->shape);
            const float     *now   = asd_params_value(p, at);
            const float     *then  = t->start + (q->trainable ? 0 : p->n_trainable) + q->offset;
            float           *moved = malloc((size_t)n * sizeof *moved);
            for (int64_t j = 0; j < n; ++j)
                moved[j] = now[j] - then[j];
            if (!strcmp(leaf[k], "bias") &&
                i + 1 < BASELINE_LAYERS) /* rounding times Adam: at most lr */
                baseline_check("idle bias", norm_of(moved, n), 0,
                               (double)t->steps * t->lr * sqrt((double)n) / 2);
            else {
                tensor_check c = measure(t, i, leaf[k], "moved", moved, n);
                for (int j = 0; j < 2; ++j, ++count) {
                    baseline_check(c.name[j], c.value[j], c.want[j], 2 * c.error);
                    square += pow((c.value[j] - c.want[j]) / c.error, 2);
                }
            }
            free(moved);
        }
    if (!(sqrt(square / count) <= 1))
        fail_msg("%s: parameters are %.3g times as far off as PyTorch's in fp32, want 1", t->part,
                 sqrt(square / count));
}

static void with_training(const char *part, void (*look)(const baseline_run *))
{
    baseline_data m;
    baseline_run  t;
    baseline_open(&m, 0);
    baseline_train(&t, &m, part);
    look(&t);
    baseline_run_clear(&t);
    baseline_close(&m);
}

static void check_initial(const baseline_run *t)
{
    baseline_check("initial_eval_loss", t->initial_eval_loss,
                   golden_number(&t->m->g, "initial_eval_loss/value"),
                   golden_number(&t->m->g, "initial_eval_loss/fp32_error"));
}

static void test_initial_loss(void **state)
{
    (void)state;
    with_training("train", check_initial);
}

static void test_official_losses(void **state)
{
    (void)state;
    with_training("train", check_losses);
}

static void test_slow_losses(void **state)
{
    (void)state;
    with_training("slow", check_losses);
}

static void test_first_gradient(void **state)
{
    (void)state;
    with_training("train", check_gradients);
}

static void test_slow_parameters(void **state)
{
    (void)state;
    with_training("slow", check_moved);
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("parity/features/librosa", test_features),
    ASD_CASE("parity/network/parameters", test_parameter_count),
    ASD_CASE("parity/train/initial-loss", test_initial_loss),
    ASD_CASE("parity/train/first-gradient", test_first_gradient),
    ASD_CASE("parity/train/losses-official-rate", test_official_losses),
    ASD_CASE("parity/train/losses-slow-rate", test_slow_losses),
    ASD_CASE("parity/train/parameters-slow-rate", test_slow_parameters),
};

ASD_TEST_MAIN(cases)
