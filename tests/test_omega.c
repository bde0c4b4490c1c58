/* test_omega.c - values against naive double loops and the published 2022 results; the bootstrap
 * against drawing the clips one by one; comparisons.
 */
#include "harness.h"

#include "base/file.h"
#include "base/par.h"
#include "base/rng.h"
#include "score/bootstrap.h"
#include "score/cells.h"
#include "score/csv.h"
#include "score/omega.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- made-up evaluations --- */

/* count: [target][anomaly]. levels > 0 rounds the scores to that many values, for ties. */
static void make_set(asd_eval_set *s, const char *machine, int section, const int64_t count[2][2],
                     int levels, double shift, uint64_t seed)
{
    asd_rng r;
    asd_rng_init(&r, seed, ASD_RNG_TEST, asd_rng_hash(machine), (uint64_t)section);
    int64_t n = count[0][0] + count[0][1] + count[1][0] + count[1][1], i = 0;
    *s = (asd_eval_set){.machine  = strdup(machine),
                        .section  = section,
                        .n        = n,
                        .name     = calloc((size_t)n, sizeof(char *)),
                        .score    = calloc((size_t)n, sizeof(double)),
                        .target   = calloc((size_t)n, 1),
                        .anomaly  = calloc((size_t)n, 1),
                        .decision = calloc((size_t)n, sizeof(int))};
    memcpy(s->count, count, sizeof s->count);
    for (int t = 0; t < 2; ++t)
        for (int a = 0; a < 2; ++a)
            for (int64_t k = 0; k < count[t][a]; ++k, ++i) {
                double x       = asd_rng_normal(&r) + shift * a + 0.4 * t;
                s->score[i]    = levels ? floor(x * levels) / levels : x;
                s->target[i]   = (uint8_t)t;
                s->anomaly[i]  = (uint8_t)a;
                s->decision[i] = s->score[i] > 0.8;
                if (asprintf(&s->name[i], "section_%02d_%s_test_%s_%04d.wav", section,
                             t ? "target" : "source", a ? "anomaly" : "normal", (int)k) < 0)
                    abort();
            }
}

static const int64_t BALANCED[2][2] = {{50, 50}, {50, 50}};

static asd_eval make_eval(int machines, const int64_t count[2][2], int levels, uint64_t seed)
{
    asd_eval e = {calloc((size_t)machines, sizeof *e.set), machines};
    for (int i = 0; i < machines; ++i) {
        char name[32];
        snprintf(name, sizeof name, "machine%c", 'A' + i);
        make_set(e.set + i, name, 0, count, levels, 0.2 + 0.2 * i, seed);
    }
    return e;
}

/* --- naive truth --- */

static double naive_auc(const asd_eval_set *s, int domain, int all_anomalies)
{
    double wins = 0, pairs = 0;
    for (int64_t i = 0; i < s->n; ++i)
        for (int64_t k = 0; k < s->n; ++k) {
            if (s->anomaly[i] || !s->anomaly[k] || (domain >= 0 && s->target[i] != domain) ||
                (domain >= 0 && !all_anomalies && s->target[k] != domain))
                continue;
            pairs += 1;
            wins += s->score[i] < s->score[k] ? 1 : s->score[i] == s->score[k] ? 0.5 : 0;
        }
    return wins / pairs;
}

/* ROC height at false positive rate x: linear between the points (FPR, TPR) of all thresholds. */
static double roc_height(const asd_eval_set *s, double x)
{
    double left_x = 0, left_y = 0, right_x = 1, right_y = 1, n = 0, p = 0;
    for (int64_t i = 0; i < s->n; ++i)
        *(s->anomaly[i] ? &p : &n) += 1;
    for (int64_t t = 0; t < s->n; ++t) {
        double fp = 0, tp = 0;
        for (int64_t i = 0; i < s->n; ++i)
            if (s->score[i] >= s->score[t])
                *(s->anomaly[i] ? &tp : &fp) += 1;
        fp /= n, tp /= p;
        if (fp <= x && (fp > left_x || (fp == left_x && tp > left_y)))
            left_x = fp, left_y = tp;
        if (fp > x && (fp < right_x || (fp == right_x && tp < right_y)))
            right_x = fp, right_y = tp;
    }
    return left_y + (right_y - left_y) * (x - left_x) / (right_x - left_x);
}

/* Trapezoids between all false positive rates k / N up to 0.1: exact, as the curve bends only
 * there. A jump at x counts from its top, so each piece takes its left end from the right. */
static double naive_pauc(const asd_eval_set *s)
{
    double n = 0, area = 0;
    for (int64_t i = 0; i < s->n; ++i)
        n += !s->anomaly[i];
    for (double k = 0; k / n < 0.1 - 1e-12; k += 1) {
        double a = k / n, b = fmin((k + 1) / n, 0.1);
        area += (b - a) * roc_height(s, 0.5 * (a + b)); /* linear inside: the middle is the mean */
    }
    return 0.5 * (1 + (area - 0.005) / 0.095);
}

static void test_values_naive(void **state)
{
    (void)state;
    static const int64_t shapes[][2][2] = {
        {{50, 50}, {50, 50}}, {{1, 1}, {1, 1}},   {{13, 7}, {5, 29}}, {{3, 0}, {2, 4}},
        {{7, 40}, {1, 1}},    {{31, 1}, {17, 2}}, {{5, 3}, {5, 3}},
    };
    static const int levels[] = {0, 4, 1};
    for (size_t k = 0; k < sizeof shapes / sizeof *shapes; ++k)
        for (int l = 0; l < 3; ++l)
            for (int auc = ASD_AUC_OFFICIAL; auc <= ASD_AUC_SAME_DOMAIN; ++auc) {
                asd_eval          e = {calloc(1, sizeof *e.set), 1};
                asd_omega         o;
                asd_omega_options options = ASD_OMEGA_DEFAULTS;
                options.auc               = auc;
                options.replicates        = 0;
                make_set(e.set, "fan", 0, shapes[k], levels[l], 0.7, k);
                if (auc == ASD_AUC_SAME_DOMAIN && !shapes[k][0][1]) {
                    assert_fails(asd_omega_compute(&e, &options, &o), ASD_E_DATA,
                                 "no anomalous clip of the source domain");
                    asd_eval_clear(&e);
                    continue;
                }
                assert_ok(asd_omega_compute(&e, &options, &o));
                const double *cell = o.row[0].cell;
                const int     all  = auc == ASD_AUC_OFFICIAL;
                assert_near(cell[ASD_CELL_AUC_SOURCE], naive_auc(e.set, 0, all), 1e-15);
                assert_near(cell[ASD_CELL_AUC_TARGET], naive_auc(e.set, 1, all), 1e-15);
                assert_near(cell[ASD_CELL_PAUC], naive_pauc(e.set), 1e-13);
                assert_near(o.row[0].auc_all, naive_auc(e.set, -1, 1), 1e-15);
                if (all && shapes[k][0][0] == shapes[k][1][0])
                    assert_near(0.5 * (cell[0] + cell[1]), o.row[0].auc_all, 1e-15);
                asd_omega_clear(&o);
                asd_eval_clear(&e);
            }
}

static void test_values_known(void **state)
{
    (void)state;
    asd_eval          e = make_eval(1, BALANCED, 0, 1);
    asd_omega         o;
    asd_omega_options options = ASD_OMEGA_DEFAULTS;
    options.replicates        = 0;
    /* all equal: chance; perfect; inverted (the least pAUC is (1 - 1/19) / 2) */
    static const double want[3][3] = {{0.5, 0.5, 0.5}, {1, 1, 1}, {0, 0, 0.5 * (1 - 1.0 / 19)}};
    for (int k = 0; k < 3; ++k) {
        for (int64_t i = 0; i < e.set->n; ++i)
            e.set->score[i] = k == 0 ? 7 : k == 1 ? e.set->anomaly[i] : -e.set->anomaly[i];
        assert_ok(asd_omega_compute(&e, &options, &o));
        for (int c = 0; c < ASD_NCELLS; ++c)
            assert_near(o.row[0].cell[c], want[k][c], 1e-15);
        /* zero cells are floored at 2^-52: Omega = 3 / (2 * 2^52 + 1 / pAUC) */
        assert_near(o.omega, k == 0 ? 0.5 : k == 1 ? 1 : 1.5 * 0x1p-52, k == 2 ? 1e-30 : 1e-15);
        asd_omega_clear(&o);
    }
    asd_eval_clear(&e);
}

static void test_gain_finite_difference(void **state)
{
    (void)state;
    asd_eval e = make_eval(3, BALANCED, 0, 3);
    for (int cells = ASD_CELLS_21; cells <= ASD_CELLS_14; ++cells) {
        asd_omega         o;
        asd_omega_options options = ASD_OMEGA_DEFAULTS;
        options.replicates        = 0;
        options.cells             = cells;
        assert_ok(asd_omega_compute(&e, &options, &o));
        assert_int_equal(o.n_values, cells == ASD_CELLS_14 ? 6 : 9);
        double most = 0;
        for (int v = 0; v < 9; ++v) {
            double cell[9], up, down;
            for (int i = 0; i < 9; ++i)
                cell[i] = o.row[i / 3].cell[i % 3];
            cell[v] += 1e-5;
            up = asd_omega_of_cells(cell, 3, cells);
            cell[v] -= 2e-5;
            down = asd_omega_of_cells(cell, 3, cells);
            assert_near(o.row[v / 3].gain[v % 3], 0.01 * (up - down) / 2e-5, 1e-10);
            most = fmax(most, o.row[v / 3].gain[v % 3]);
        }
        assert_true(o.row[o.worst_row].gain[o.worst_cell] == most);
        asd_omega_clear(&o);
    }
    asd_eval_clear(&e);
}

static void test_roc_area(void **state)
{
    (void)state;
    static const int64_t count[2][2] = {{13, 7}, {5, 29}};
    asd_eval             e           = {calloc(1, sizeof *e.set), 1};
    make_set(e.set, "fan", 0, count, 4, 0.7, 9);
    for (int domain = -1; domain < 2; ++domain)
        for (int auc = ASD_AUC_OFFICIAL; auc <= ASD_AUC_SAME_DOMAIN; ++auc) {
            asd_roc r;
            double  area = 0;
            assert_ok(asd_roc_curve(e.set, domain, auc, &r));
            assert_true(r.fpr[0] == 0 && r.tpr[0] == 0);
            assert_true(r.fpr[r.n - 1] == 1 && r.tpr[r.n - 1] == 1);
            for (int64_t i = 1; i < r.n; ++i) {
                assert_true(r.fpr[i] > r.fpr[i - 1] || r.tpr[i] > r.tpr[i - 1]);
                area += (r.fpr[i] - r.fpr[i - 1]) * (r.tpr[i] + r.tpr[i - 1]) / 2;
            }
            assert_near(area, naive_auc(e.set, domain, auc == ASD_AUC_OFFICIAL), 1e-14);
            asd_roc_clear(&r);
        }
    asd_eval_clear(&e);
}

/* --- the real 2022 baselines --- */

/* Rows of result.csv: "00,AUC source,AUC target,pAUC,precision...", below a line with the machine.
 * n_columns: how many of them follow the definitions of the later evaluators. mobilenetv2's file
 * takes the anomalies of both domains into precision and recall, so only its first three do. */
static void check_2022(const char *system, double omega, int n_columns)
{
    char        folder[PATH_MAX], path[PATH_MAX], line[1024], machine[256] = "";
    const char *shared = asd_test_shared();
    assert_ok(asd_path(folder, "%s/data/dcase2022-dev-baselines/%s", shared, system));
    assert_ok(asd_path(path, "%s/result.csv", folder));
    asd_eval          e;
    asd_omega         o;
    asd_omega_options options = ASD_OMEGA_DEFAULTS;
    options.replicates        = 0;
    assert_ok(asd_eval_open(folder, NULL, NULL, 0, &e));
    assert_ok(asd_omega_compute(&e, &options, &o));
    assert_int_equal(o.n, 21);
    assert_int_equal(o.n_values, 63);
    assert_near(o.omega, omega, 1e-12);
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    int seen = 0;
    while (fgets(line, sizeof line, f)) {
        double v[9];
        int    section;
        if (sscanf(line, "%2d,%lf,%lf,%lf,%lf,%lf,%lf,%lf,%lf,%lf", &section, v, v + 1, v + 2,
                   v + 3, v + 4, v + 5, v + 6, v + 7, v + 8) == 10) {
            int64_t i = 0;
            while (i < o.n && (strcmp(o.row[i].machine, machine) || o.row[i].section != section))
                ++i;
            assert_true(i < o.n);
            const asd_omega_row *r     = o.row + i;
            const double         got[] = {r->cell[0],      r->cell[1],      r->cell[2],
                                          r->precision[0], r->precision[1], r->recall[0],
                                          r->recall[1],    r->f1[0],        r->f1[1]};
            for (int k = 0; k < n_columns; ++k)
                assert_near(got[k], v[k], 1e-12);
            ++seen;
        } else if (!strchr(line, ',')) {
            snprintf(machine, sizeof machine, "%.*s", (int)strcspn(line, "\r\n"), line);
        }
    }
    fclose(f);
    assert_int_equal(seen, 21);
    asd_omega_clear(&o);
    asd_eval_clear(&e);
}

static void test_2022_baselines(void **state)
{
    (void)state;
    if (!asd_test_shared())
        asd_test_skip_shared();
    check_2022("ae", 0.5290745770373391, 9);
    check_2022("mobilenetv2", 0.5570542117231061, 3);
}

/* --- bootstrap --- */

static void test_rng_fill(void **state)
{
    (void)state;
    for (int64_t before = 0; before < 6; ++before)
        for (int64_t n = 0; n < 70; n += 1 + n / 7) {
            asd_rng  a, b;
            uint32_t got[80];
            asd_rng_init(&a, 3, ASD_RNG_TEST, 1, 2);
            asd_rng_init(&b, 3, ASD_RNG_TEST, 1, 2);
            for (int64_t i = 0; i < before; ++i)
                assert_int_equal(asd_rng_u32(&a), asd_rng_u32(&b));
            asd_rng_fill_u32(&a, n, got);
            for (int64_t i = 0; i < n; ++i)
                assert_int_equal(got[i], asd_rng_u32(&b));
            assert_int_equal(asd_rng_u32(&a), asd_rng_u32(&b)); /* both stand at the same place */
        }
}

/* One replicate the slow way: draw clips one by one, copy them, count pairs. */
static void naive_replicate(const asd_eval_set *s, uint64_t seed, int64_t replicate,
                            asd_eval_set *out)
{
    char text[64];
    snprintf(text, sizeof text, "%s_section_%02d", s->machine, s->section);
    *out       = (asd_eval_set){.n       = s->n,
                                .score   = calloc((size_t)s->n, sizeof(double)),
                                .target  = calloc((size_t)s->n, 1),
                                .anomaly = calloc((size_t)s->n, 1)};
    int64_t at = 0;
    for (int class = 0; class < 4; ++class) {
        int64_t member[512], size = 0;
        asd_rng r;
        for (int64_t i = 0; i < s->n; ++i)
            if (2 * s->target[i] + s->anomaly[i] == class)
                member[size++] = i;
        asd_rng_init(&r, seed, ASD_RNG_BOOTSTRAP, (uint64_t)replicate,
                     asd_rng_hash(text) << 2 | (uint64_t) class);
        for (int64_t k = 0; k < size; ++k, ++at) {
            int64_t i        = member[asd_rng_below(&r, (uint32_t)size)];
            out->score[at]   = s->score[i];
            out->target[at]  = s->target[i];
            out->anomaly[at] = s->anomaly[i];
        }
    }
}

static void test_bootstrap_naive(void **state)
{
    (void)state;
    static const int64_t count[2][2] = {{13, 7}, {5, 29}};
    for (int levels = 0; levels < 5; levels += 4) {
        asd_eval          e       = make_eval(2, count, levels, 4);
        const asd_eval   *system  = &e;
        asd_omega_options options = ASD_OMEGA_DEFAULTS;
        asd_boot          b;
        options.replicates = 70;
        options.seed       = 11;
        assert_ok(asd_boot_run(&system, 1, &options, &b));
        for (int64_t i = 0; i < 70; i += 3) {
            double cell[6];
            for (int64_t m = 0; m < 2; ++m) {
                asd_eval_set drawn;
                naive_replicate(e.set + m, 11, i, &drawn);
                cell[3 * m]     = naive_auc(&drawn, 0, 1);
                cell[3 * m + 1] = naive_auc(&drawn, 1, 1);
                cell[3 * m + 2] = naive_pauc(&drawn);
                for (int c = 0; c < 3; ++c)
                    assert_near(b.cell[(3 * m + c) * 70 + i], cell[3 * m + c], 1e-13);
                free(drawn.score);
                free(drawn.target);
                free(drawn.anomaly);
            }
            assert_near(b.omega[i], asd_harmonic_mean(cell, 6), 1e-13);
        }
        asd_boot_clear(&b);
        asd_eval_clear(&e);
    }
}

static void test_bootstrap_threads(void **state)
{
    (void)state;
    asd_eval          e       = make_eval(3, BALANCED, 0, 5);
    asd_omega_options options = ASD_OMEGA_DEFAULTS;
    asd_omega         one, many;
    options.replicates = 777;
    asd_par_set_threads(1);
    assert_ok(asd_omega_compute(&e, &options, &one));
    asd_par_set_threads(3);
    assert_ok(asd_omega_compute(&e, &options, &many));
    assert_memory_equal(&one.omega_ci, &many.omega_ci, sizeof one.omega_ci);
    for (int64_t i = 0; i < 3; ++i)
        assert_memory_equal(one.row[i].ci, many.row[i].ci, sizeof one.row[i].ci);
    assert_true(one.omega_ci.lo < one.omega && one.omega < one.omega_ci.hi);
    asd_omega_clear(&many);
    /* A machine's intervals do not know the other machines. */
    asd_eval last = {e.set + 2, 1};
    assert_ok(asd_omega_compute(&last, &options, &many));
    assert_memory_equal(one.row[2].ci, many.row[0].ci, sizeof one.row[2].ci);
    asd_omega_clear(&many);
    options.seed = 1;
    assert_ok(asd_omega_compute(&e, &options, &many));
    assert_true(many.omega_ci.lo != one.omega_ci.lo);
    asd_omega_clear(&one);
    asd_omega_clear(&many);
    asd_eval_clear(&e);
}

static void test_interval_corners(void **state)
{
    (void)state;
    double same[100], up[199], down[199];
    for (int i = 0; i < 100; ++i)
        same[i] = 0.25;
    asd_interval ci = asd_boot_interval(same, 100, 0.25, 0.95);
    assert_true(ci.lo == 0.25 && ci.hi == 0.25);
    /* 199 replicates around the estimate: ranks 5 and 195 of the 200 gaps */
    for (int i = 0; i < 199; ++i)
        up[i] = (i * 73) % 199;
    ci = asd_boot_interval(up, 199, 99, 0.95);
    assert_true(ci.lo == 4 && ci.hi == 194);
    /* off centre: mirrored bit for bit; estimate outside its replicates: still inside their range
     */
    static const double estimates[] = {99, 120.5, 30, 198, -1, 400};
    for (size_t k = 0; k < 6; ++k) {
        for (int i = 0; i < 199; ++i)
            down[i] = -up[i];
        asd_interval a = asd_boot_interval(up, 199, estimates[k], 0.9);
        asd_interval b = asd_boot_interval(down, 199, -estimates[k], 0.9);
        assert_true(a.lo == -b.hi && a.hi == -b.lo);
        assert_true(a.lo <= a.hi && a.lo >= 0 && a.hi <= 198);
    }
}

/* --- comparisons --- */

static void test_compare_mirror(void **state)
{
    (void)state;
    asd_eval a = make_eval(3, BALANCED, 0, 6), b = make_eval(3, BALANCED, 8, 7);
    for (int cells = ASD_CELLS_21; cells <= ASD_CELLS_14; ++cells) {
        asd_omega_options options = ASD_OMEGA_DEFAULTS;
        asd_compare       ab, ba, aa;
        options.replicates = 501;
        options.cells      = cells;
        assert_ok(asd_compare_compute(&a, &b, &options, &ab));
        assert_ok(asd_compare_compute(&b, &a, &options, &ba));
        assert_ok(asd_compare_compute(&a, &a, &options, &aa));
        assert_true(ab.delta == ab.omega_b - ab.omega_a && ab.delta == -ba.delta);
        assert_true(ab.delta_ci.lo == -ba.delta_ci.hi && ab.delta_ci.hi == -ba.delta_ci.lo);
        assert_true(ab.delta_ci.lo < ab.delta && ab.delta < ab.delta_ci.hi);
        assert_near(ab.p_delta_gt_0 + ba.p_delta_gt_0, 1, 1e-15);
        for (int i = 0; i < 9; ++i) {
            asd_interval x = ab.cell_ci[i / 3][i % 3], y = ba.cell_ci[i / 3][i % 3];
            assert_true(x.lo == -y.hi && x.hi == -y.lo);
        }
        assert_true(aa.delta == 0 && aa.delta_ci.lo == 0 && aa.delta_ci.hi == 0);
        assert_true(aa.p_delta_gt_0 == 0.5);
        asd_compare_clear(&ab);
        asd_compare_clear(&ba);
        asd_compare_clear(&aa);
    }
    asd_eval_clear(&a);
    asd_eval_clear(&b);
}

/* Paired: a small steady gain on every clip is sure, though each Omega alone is not. */
static void test_compare_paired(void **state)
{
    (void)state;
    asd_eval a = make_eval(3, BALANCED, 0, 6), b = make_eval(3, BALANCED, 0, 6);
    for (int64_t m = 0; m < 3; ++m)
        for (int64_t i = 0; i < b.set[m].n; ++i)
            b.set[m].score[i] += 0.1 * b.set[m].anomaly[i];
    asd_omega_options options = ASD_OMEGA_DEFAULTS;
    asd_compare       c;
    asd_omega         o;
    options.replicates = 500;
    assert_ok(asd_compare_compute(&a, &b, &options, &c));
    assert_ok(asd_omega_compute(&a, &options, &o));
    assert_true(c.delta_ci.lo > 0 && c.p_delta_gt_0 == 1);
    assert_true(o.omega_ci.hi - o.omega_ci.lo > 3 * (c.delta_ci.hi - c.delta_ci.lo));
    assert_true(c.omega_b < o.omega_ci.hi);
    asd_omega_clear(&o);
    asd_compare_clear(&c);
    asd_eval_clear(&a);
    asd_eval_clear(&b);
}

static void test_compare_other_clips(void **state)
{
    (void)state;
    static const int64_t fewer[2][2] = {{50, 50}, {50, 49}};
    asd_eval             a = make_eval(2, BALANCED, 0, 6), b = make_eval(1, BALANCED, 0, 6);
    asd_eval             c       = make_eval(2, fewer, 0, 6);
    asd_omega_options    options = ASD_OMEGA_DEFAULTS;
    asd_compare          out;
    assert_fails(asd_compare_compute(&a, &b, &options, &out), ASD_E_DATA,
                 "machine machineB section 00 has scores in A only");
    assert_fails(asd_compare_compute(&b, &a, &options, &out), ASD_E_DATA, "in B only");
    assert_fails(asd_compare_compute(&a, &c, &options, &out), ASD_E_DATA,
                 "section_00_target_test_anomaly_0049.wav has a score in A only");
    b.set[0].anomaly[3] ^= 1;
    asd_eval first = {a.set, 1};
    assert_fails(asd_compare_compute(&first, &b, &options, &out), ASD_E_DATA, "truth of");
    asd_eval_clear(&a);
    asd_eval_clear(&b);
    asd_eval_clear(&c);
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("omega/values/naive", test_values_naive),
    ASD_CASE("omega/values/known", test_values_known),
    ASD_CASE("omega/gain/finite-difference", test_gain_finite_difference),
    ASD_CASE("omega/roc/area", test_roc_area),
    ASD_CASE("omega/2022-baselines/result-csv", test_2022_baselines),
    ASD_CASE("base/rng/fill", test_rng_fill),
    ASD_CASE("omega/bootstrap/naive", test_bootstrap_naive),
    ASD_CASE("omega/bootstrap/threads", test_bootstrap_threads),
    ASD_CASE("omega/bootstrap/interval", test_interval_corners),
    ASD_CASE("omega/compare/mirror", test_compare_mirror),
    ASD_CASE("omega/compare/paired", test_compare_paired),
    ASD_CASE("omega/compare/other-clips", test_compare_other_clips),
};
ASD_TEST_MAIN(cases)
