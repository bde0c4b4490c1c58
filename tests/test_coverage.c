/* test_coverage.c - do the 95 % intervals hold the truth in 95 % of the data sets?
 *
 * Scores are drawn from normal distributions chosen like a baseline's cells (AUC 0.45 to 0.8), so
 * the true cells are known: AUCs in closed form, pAUC by integration, Omega from them. Many data
 * sets are drawn, the interval of each is computed, and the share that holds the truth is counted,
 * beside the plain percentile and the basic bootstrap interval for comparison. Two systems that
 * share most of their noise do the same for the difference.
 *
 * A quick run draws 100 data sets and refuses gross errors; `ASD_COVERAGE=1000`
 * (run_slow_coverage.sh) demands 93.5 to 96.5 %.
 */
#include "harness.h"

#include "base/log.h"
#include "base/rng.h"
#include "score/bootstrap.h"
#include "score/omega.h"
#include "score/special.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MACHINES = 7, CLIPS = 50, SYSTEMS = 2 };

/* Per machine: mean of target normals, of source anomalies, of target anomalies (source normals
 * have 0), all with standard deviation 1 but the anomalies', which have 1.4. */
static const double mean_a[MACHINES][3] = {{0.9, 1.1, 1.0}, {0.3, 0.9, 0.7}, {0.0, 0.5, 0.6},
                                           {0.8, 0.6, 0.9}, {0.4, 0.9, 0.6}, {0.7, 0.7, 0.8},
                                           {0.1, 0.3, 0.3}};
static const double mean_b[MACHINES][3] = {{0.6, 1.2, 1.0}, {0.3, 0.9, 0.9}, {0.1, 0.6, 0.6},
                                           {0.7, 0.7, 0.9}, {0.4, 1.1, 0.9}, {0.9, 0.7, 0.7},
                                           {0.1, 0.4, 0.2}};
static const double ANOMALY_SD = 1.4, SHARED_NOISE = 0.8;

static double class_mean(int system, int machine, int target, int anomaly)
{
    const double *m = (system ? mean_b : mean_a)[machine];
    return anomaly ? m[1 + target] : target ? m[0] : 0;
}

/* --- truth --- */

static double tail(double x, double mean, double sd)
{
    return asd_normal_cdf((mean - x) / sd);
}

static double true_pauc(int system, int machine)
{
    double m = class_mean(system, machine, 1, 0), lo = -10, hi = 10;
    for (int i = 0; i < 100; ++i) { /* threshold with a false positive rate of 0.1 */
        double mid                                                     = 0.5 * (lo + hi);
        *(0.5 * (tail(mid, 0, 1) + tail(mid, m, 1)) > 0.1 ? &lo : &hi) = mid;
    }
    /* area = integral of TPR dFPR from there on, by Simpson's rule */
    enum { N = 4000 };
    double area = 0, step = (12 - lo) / N;
    for (int i = 0; i <= N; ++i) {
        double x = lo + i * step, density = 0.19947114020071635; /* 1 / (2 sqrt(2 pi)) */
        density *= exp(-0.5 * x * x) + exp(-0.5 * (x - m) * (x - m));
        double tpr = 0.5 * (tail(x, class_mean(system, machine, 0, 1), ANOMALY_SD) +
                            tail(x, class_mean(system, machine, 1, 1), ANOMALY_SD));
        area += (i == 0 || i == N ? 1 : i & 1 ? 4 : 2) * density * tpr * step / 3;
    }
    return 0.5 * (1 + (area - 0.005) / 0.095);
}

static double true_omega(int system, double *cell)
{
    const double sd = sqrt(1 + ANOMALY_SD * ANOMALY_SD);
    for (int m = 0; m < MACHINES; ++m) {
        for (int t = 0; t < 2; ++t) {
            double normal   = class_mean(system, m, t, 0);
            cell[3 * m + t] = 0.5 * (tail(normal, class_mean(system, m, 0, 1), sd) +
                                     tail(normal, class_mean(system, m, 1, 1), sd));
        }
        cell[3 * m + 2] = true_pauc(system, m);
    }
    return asd_harmonic_mean(cell, 3 * MACHINES);
}

/* --- one data set --- */

static asd_eval new_eval(void)
{
    asd_eval e = {calloc(MACHINES, sizeof *e.set), MACHINES};
    for (int m = 0; m < MACHINES; ++m) {
        asd_eval_set *s = e.set + m;
        int64_t       n = 4 * CLIPS;
        *s              = (asd_eval_set){.n       = n,
                                         .name    = calloc((size_t)n, sizeof(char *)),
                                         .score   = calloc((size_t)n, sizeof(double)),
                                         .target  = calloc((size_t)n, 1),
                                         .anomaly = calloc((size_t)n, 1),
                                         .count   = {{CLIPS, CLIPS}, {CLIPS, CLIPS}}};
        if (asprintf(&s->machine, "machine%d", m) < 0)
            abort();
        for (int64_t i = 0; i < n; ++i) {
            s->target[i]  = (uint8_t)(i / (2 * CLIPS));
            s->anomaly[i] = (uint8_t)(i / CLIPS % 2);
            if (asprintf(&s->name[i], "clip_%03d.wav", (int)i) < 0)
                abort();
        }
    }
    return e;
}

static void draw_scores(asd_eval *a, asd_eval *b, int64_t data_set)
{
    for (int m = 0; m < MACHINES; ++m) {
        asd_rng r;
        asd_rng_init(&r, 77, ASD_RNG_TEST, (uint64_t)data_set, (uint64_t)m);
        for (int64_t i = 0; i < a->set[m].n; ++i) {
            int    t = a->set[m].target[i], y = a->set[m].anomaly[i];
            double z = asd_rng_normal(&r), sd = y ? ANOMALY_SD : 1;
            double w =
                SHARED_NOISE * z + sqrt(1 - SHARED_NOISE * SHARED_NOISE) * asd_rng_normal(&r);
            a->set[m].score[i] = class_mean(0, m, t, y) + sd * z;
            b->set[m].score[i] = class_mean(1, m, t, y) + sd * w;
        }
    }
}

/* --- intervals of three kinds --- */

enum { BIAS_CORRECTED, PERCENTILE, BASIC, KINDS };
static const char *const kind_names[] = {"bias-corrected", "percentile", "basic"};

typedef struct tally {
    int64_t held[KINDS], below[KINDS], n; /* below: the whole interval lies under the truth */
    double  width[KINDS];
} tally;

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void count_one(tally *t, double *v, int64_t n, double estimate, double truth)
{
    asd_interval  ci[KINDS];
    const int64_t rank = (int64_t)(0.025 * (double)(n + 1));
    ci[BIAS_CORRECTED] = asd_boot_interval(v, n, estimate, 0.95);
    qsort(v, (size_t)n, sizeof *v, by_value);
    ci[PERCENTILE] = (asd_interval){v[rank - 1], v[n - rank]};
    ci[BASIC] = (asd_interval){2 * estimate - ci[PERCENTILE].hi, 2 * estimate - ci[PERCENTILE].lo};
    for (int k = 0; k < KINDS; ++k) {
        t->held[k] += ci[k].lo <= truth && truth <= ci[k].hi;
        t->below[k] += ci[k].hi < truth;
        t->width[k] += ci[k].hi - ci[k].lo;
    }
    ++t->n;
}

static void show(const char *what, const tally *t)
{
    for (int k = 0; k < KINDS; ++k)
        print_message("%-10s %-15s covers %6.2f %%, below the truth %5.2f %%, above %5.2f %%, mean "
                      "width %.2f points\n",
                      k ? "" : what, kind_names[k], 100.0 * (double)t->held[k] / (double)t->n,
                      100.0 * (double)t->below[k] / (double)t->n,
                      100.0 * (double)(t->n - t->held[k] - t->below[k]) / (double)t->n,
                      100 * t->width[k] / (double)t->n);
}

static void test_coverage(void **state)
{
    (void)state;
    const char       *wanted    = getenv("ASD_COVERAGE");
    const int64_t     data_sets = wanted ? atoll(wanted) : 100;
    asd_omega_options options   = ASD_OMEGA_DEFAULTS;
    options.replicates          = wanted ? 1999 : 499;
    const int64_t   n = options.replicates, values = MACHINES * ASD_NCELLS;
    double          truth_a[MACHINES * ASD_NCELLS], truth_b[MACHINES * ASD_NCELLS];
    const double    omega_a = true_omega(0, truth_a), omega_b = true_omega(1, truth_b);
    tally           omega = {0}, delta = {0}, auc = {0}, pauc = {0};
    double          bias = 0;
    asd_eval        a = new_eval(), b = new_eval();
    const asd_eval *both[SYSTEMS] = {&a, &b};
    assert_in_range(data_sets, 1, 100000);
    const double start = asd_now();
    for (int64_t d = 0; d < data_sets; ++d) {
        asd_omega         of_a, of_b;
        asd_omega_options plain = options;
        asd_boot          boot;
        plain.replicates = 0;
        options.seed     = (uint64_t)d;
        draw_scores(&a, &b, d);
        assert_ok(asd_omega_compute(&a, &plain, &of_a));
        assert_ok(asd_omega_compute(&b, &plain, &of_b));
        assert_ok(asd_boot_run(both, SYSTEMS, &options, &boot));
        for (int64_t i = 0; i < n; ++i)
            boot.omega[n + i] -= boot.omega[i];
        count_one(&omega, boot.omega, n, of_a.omega, omega_a);
        count_one(&delta, boot.omega + n, n, of_b.omega - of_a.omega, omega_b - omega_a);
        for (int64_t v = 0; v < values; ++v)
            count_one(v % ASD_NCELLS == ASD_CELL_PAUC ? &pauc : &auc, boot.cell + v * n, n,
                      of_a.row[v / ASD_NCELLS].cell[v % ASD_NCELLS], truth_a[v]);
        bias += of_a.omega - omega_a;
        asd_boot_clear(&boot);
        asd_omega_clear(&of_a);
        asd_omega_clear(&of_b);
    }
    print_message("%d data sets of %d x %d clips, %d replicates, %.1f s; true Omega %.2f, mean "
                  "estimate off by %+.3f points\n",
                  (int)data_sets, MACHINES, 4 * CLIPS, (int)n, asd_now() - start, 100 * omega_a,
                  100 * bias / (double)data_sets);
    show("Omega", &omega);
    show("B - A", &delta);
    show("AUC cells", &auc);
    show("pAUC cells", &pauc);
    const double share = (double)omega.held[BIAS_CORRECTED] / (double)data_sets;
    const double pair  = (double)delta.held[BIAS_CORRECTED] / (double)data_sets;
    /* 100 data sets know a share of 0.95 to 0.022 */
    assert_true(share >= (wanted ? 0.935 : 0.88) && share <= (wanted ? 0.965 : 1));
    assert_true(pair >= (wanted ? 0.935 : 0.88) && pair <= (wanted ? 0.965 : 1));
    assert_true((double)auc.held[BIAS_CORRECTED] / (double)auc.n > 0.92);
    assert_true((double)pauc.held[BIAS_CORRECTED] / (double)pauc.n > 0.91);
    asd_eval_clear(&a);
    asd_eval_clear(&b);
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("omega/bootstrap/coverage", test_coverage),
};
ASD_TEST_MAIN(cases)
