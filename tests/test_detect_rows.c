/* test_detect_rows.c - detectors on embeddings against their definitions (ref/ref_detect.h) and
 * what must hold for every one of them.
 */
#include "detect_bed.h"

#include "base/par.h"
#include "base/rng.h"
#include "detect/basis.h"
#include "ref/ref_detect.h"

#include <malloc.h> /* mallopt */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- against the definitions --- */

static void near_scores(const double *got, const double *want, int n, int heads)
{
    for (int i = 0; i < n; ++i)
        for (int h = 0; h < heads; ++h)
            assert_near(got[2 * i + h], want[2 * i + h], 1e-8 * (1 + want[2 * i + h]));
}

/* The same numbers with row `skip` left out of the means alone. */
static double centre_left_out(const bed *b, double weight, int k, int all, int i, int head)
{
    /* distance to a mean is what moving the row by the difference of the means gives */
    double mean[MAX_D], without[MAX_D], moved[MAX_D], d[2];
    int    domain = all ? -1 : head;
    ref_mean(b->wide[0], b->n, b->D, b->is_target, domain, -1, mean);
    ref_mean(b->wide[0], b->n, b->D, b->is_target, domain, i, without);
    for (int c = 0; c < b->D; ++c)
        moved[c] = b->wide[0][i * b->D + c] + mean[c] - without[c];
    ref_weighted(b->wide[0], b->n, b->D, b->is_target, weight, k, all, moved, 1, d);
    return d[head];
}

static const struct {
    const char *text;
    int         n, n_target, D, k;
    double      weight;
    int         all;
} weighted[] = {
    {"a = near | mahalanobis", 100, 10, 24, 128, 0, 0},
    {"a = near | mahalanobis(k=5)", 100, 10, 24, 5, 0, 0},
    {"a = near | mahalanobis(k=7, weight=99)", 60, 6, 17, 7, 99, 0},
    {"a = near | mahalanobis(k=7, weight=1, centre=all)", 60, 6, 17, 7, 1, 1},
    {"a = near | mahalanobis(k=6)", 20, 4, 40, 6, 0, 0},   /* fewer rows than columns */
    {"a = near | mahalanobis(k=40)", 20, 4, 40, 40, 0, 0}, /* all that they span */
};

static void test_weighted(void **state)
{
    (void)state;
    static bed    b, test;
    static double loo[2 * MAX_N], got[2 * MAX_N], want[2 * MAX_N];
    for (size_t c = 0; c < sizeof weighted / sizeof *weighted; ++c) {
        asd_pipeline p;
        make_bed(&b, weighted[c].n, weighted[c].n_target, weighted[c].D, 10 + c);
        make_bed(&test, 15, 5, weighted[c].D, 90 + c);
        fit(&p, weighted[c].text, &b, loo);
        assert_int_equal(p.heads, weighted[c].all ? 1 : 2);
        score(&p, &test, 0, test.n, got);
        ref_weighted(b.wide[0], b.n, b.D, b.is_target, weighted[c].weight, weighted[c].k,
                     weighted[c].all, test.wide[0], test.n, want);
        near_scores(got, want, test.n, p.heads);
        int all_axes = weighted[c].k > b.n && b.D > b.n; /* taken as loo=refit: test_all_axes */
        for (int i = 0; i < b.n && !all_axes; i += 7)
            for (int h = 0; h < p.heads; ++h)
                assert_near(
                    loo[2 * i + h],
                    centre_left_out(&b, weighted[c].weight, weighted[c].k, weighted[c].all, i, h),
                    1e-8 * (1 + loo[2 * i + h]));
        asd_pipeline_clear(&p);
    }
}

/* Leave one out by doing so: everything is fitted again without the row, with rho and mu kept. */
static void test_ledoit_wolf(void **state)
{
    (void)state;
    static const int shapes[][3] = {{100, 10, 18}, {60, 6, 3}, {30, 5, 40}, {40, 2, 7}};
    static bed       b, test, less;
    static double    loo[2 * MAX_N], got[2 * MAX_N], want[2 * MAX_N];
    for (size_t c = 0; c < sizeof shapes / sizeof *shapes; ++c) {
        asd_pipeline p;
        double       mu, rho, one[2];
        make_bed(&b, shapes[c][0], shapes[c][1], shapes[c][2], 20 + c);
        make_bed(&test, 9, 3, b.D, 80 + c);
        fit(&p, "a = near | mahalanobis(cov=ledoit_wolf)", &b, loo);
        score(&p, &test, 0, test.n, got);
        rho =
            ref_ledoit_wolf(b.wide[0], b.n, b.D, b.is_target, -1, &mu, test.wide[0], test.n, want);
        assert_true(rho > 0 && rho < 1);
        near_scores(got, want, test.n, 2);
        for (int i = 0; i < b.n; ++i) {
            less = b;
            memmove(less.wide[0] + i * b.D, b.wide[0] + (i + 1) * b.D,
                    sizeof(double) * (size_t)((b.n - i - 1) * b.D));
            memmove(less.is_target + i, b.is_target + i + 1, (size_t)(b.n - i - 1));
            ref_ledoit_wolf(less.wide[0], b.n - 1, b.D, less.is_target, rho, &mu,
                            b.wide[0] + i * b.D, 1, one);
            near_scores(loo + 2 * i, one, 1, 2);
        }
        asd_pipeline_clear(&p);
    }
}

/* loo=refit: a training clip has the score that a fit to the clips outside its fold gives it. */
static void test_refit(void **state)
{
    (void)state;
    static bed    b, less, one;
    static double loo[2 * MAX_N], plain[2 * MAX_N], s[2 * MAX_N], unused[2 * MAX_N];
    asd_pipeline  p;
    make_bed(&b, 90, 9, 11, 8);
    fit(&p, "a = near | mahalanobis(k=5, weight=9, loo=refit)", &b, loo);
    score(&p, &b, 0, b.n, s);
    asd_pipeline_clear(&p);
    fit(&p, "a = near | mahalanobis(k=5, weight=9)", &b, unused);
    score(&p, &b, 0, b.n, plain); /* leaving out changes no score of others */
    assert_memory_equal(s, plain, sizeof(double) * 2 * (size_t)b.n);
    asd_pipeline_clear(&p);
    int seen[2] = {0, 0}, fold[MAX_N];
    for (int i = 0; i < b.n; ++i)
        fold[i] = seen[b.is_target[i]]++ % (b.is_target[i] ? 9 : 10);
    for (int i = 0; i < b.n; i += 4) {
        make_bed(&less, 1, 0, b.D, 1);
        less.n = 0;
        for (int k = 0; k < b.n; ++k)
            if (fold[k] != fold[i] || b.is_target[k] != b.is_target[i]) {
                memcpy(less.x[0] + less.n * b.D, b.x[0] + k * b.D, sizeof(float) * (size_t)b.D);
                less.is_target[less.n++] = b.is_target[k];
            }
        fit(&p, "a = near | mahalanobis(k=5, weight=9)", &less, unused);
        one   = less;
        one.n = 1;
        memcpy(one.x[0], b.x[0] + i * b.D, sizeof(float) * (size_t)b.D);
        score(&p, &one, 0, 1, s);
        assert_memory_equal(loo + 2 * i, s, 2 * sizeof *s);
        asd_pipeline_clear(&p);
    }
}

/* 22 axes of 24 clips in two domains are all there are: with the axes kept, every clip is as far
 * from its own mean as the others, and z-scores would divide by what rounding leaves. */
static void test_all_axes(void **state)
{
    (void)state;
    static const char *const text[] = {"a = near | mahalanobis(k=22)",
                                       "a = near | mahalanobis(k=22, loo=refit)",
                                       "a = near | mahalanobis(k=12)", /* axes are kept */
                                       "a = near | mahalanobis(k=12, loo=refit)"};
    static bed               b;
    static double            loo[4][2 * MAX_N];
    double                   least = INFINITY, most = 0;
    make_bed(&b, 24, 4, 40, 17);
    for (int i = 0; i < 4; ++i) {
        asd_pipeline p;
        fit(&p, text[i], &b, loo[i]);
        asd_pipeline_clear(&p);
    }
    for (int i = 0; i < b.n; ++i)
        if (!b.is_target[i]) {
            least = fmin(least, loo[0][2 * i]);
            most  = fmax(most, loo[0][2 * i]);
        }
    assert_true(most > 1.01 * least);
    assert_memory_equal(loo[0], loo[1], sizeof(double) * 2 * 24);
    assert_memory_not_equal(loo[2], loo[3], sizeof(double) * 2 * 24);
}

/* I3.7: no shrinkage with many rows, all of it for isotropic data. */
static void test_shrinkage(void **state)
{
    (void)state;
    enum { N = 20000, D = 4 };
    static float         x[N * D];
    static unsigned char none[N];
    asd_rng              r;
    double               rho[2];
    asd_rng_init(&r, 3, ASD_RNG_TEST, 0, 0);
    for (int stretched = 0; stretched < 2; ++stretched) {
        asd_basis b;
        for (int i = 0; i < N * D; ++i)
            x[i] = (float)((stretched && i % D == 0 ? 5 : 1) * asd_rng_normal(&r));
        assert_ok(
            asd_basis_ledoit_wolf(&b, x, N, D, none, ASD_CENTRE_ALL, "it", &rho[stretched], NULL));
        asd_basis_clear(&b);
    }
    assert_true(rho[0] > 0.2 && rho[0] <= 1);
    assert_true(rho[1] >= 0 && rho[1] < 1e-3);
}

static void test_knn(void **state)
{
    (void)state;
    static bed    b, test;
    static double loo[2 * MAX_N], got[2 * MAX_N];
    make_bed(&b, 70, 7, 13, 4);
    make_bed(&test, 11, 3, 13, 5);
    for (int variant = 0; variant < 24; ++variant) {
        int          cosine = variant & 1, kth = variant >> 1 & 1, domain = variant >> 2 & 1;
        int          k = (int[]){1, 4, 9}[variant >> 3];
        char         text[160];
        asd_pipeline p;
        snprintf(text, sizeof text, "a = near | knn(%d, distance=%s, take=%s, bank=%s)", k,
                 cosine ? "cosine" : "euclidean", kth ? "kth" : "mean", domain ? "domain" : "all");
        fit(&p, text, &b, loo);
        assert_int_equal(p.heads, domain ? 2 : 1);
        score(&p, &test, 0, test.n, got);
        for (int h = 0; h < p.heads; ++h) {
            for (int i = 0; i < test.n; ++i)
                assert_near(got[2 * i + h],
                            ref_knn(b.wide[0], b.n, b.D, b.is_target, domain ? h : -1, -1,
                                    test.wide[0] + i * b.D, k, kth, cosine),
                            1e-9);
            for (int i = 0; i < b.n; ++i)
                assert_near(loo[2 * i + h],
                            ref_knn(b.wide[0], b.n, b.D, b.is_target, domain ? h : -1, i,
                                    b.wide[0] + i * b.D, k, kth, cosine),
                            1e-9);
        }
        asd_pipeline_clear(&p);
    }
}

/* In all its own axes a row's distances are what they were, whatever the mean; joined streams are
 * one stream. */
static void test_steps(void **state)
{
    (void)state;
    static bed    b, test, both;
    static double loo[2][2 * MAX_N], got[2][2 * MAX_N];
    asd_pipeline  p[2];
    make_bed(&b, 70, 7, 13, 4);
    make_bed(&test, 11, 3, 13, 5);
    fit(&p[0], "a = near | knn(3, distance=euclidean)", &b, loo[0]);
    fit(&p[1], "a = near | pca(13) | knn(3, distance=euclidean)", &b, loo[1]);
    for (int k = 0; k < 2; ++k)
        score(&p[k], &test, 0, test.n, got[k]);
    for (int i = 0; i < 2 * test.n; ++i)
        assert_near(got[0][i], got[1][i], 1e-4);
    asd_pipeline_clear(&p[0]);
    asd_pipeline_clear(&p[1]);
    fit(&p[0], "a = near, far | mahalanobis(k=20)", &b, loo[0]);
    both.n = b.n;
    both.D = 2 * b.D;
    for (int i = 0; i < b.n; ++i)
        for (int s = 0; s < 2; ++s)
            memcpy(both.x[0] + i * both.D + s * b.D, b.x[s] + i * b.D, sizeof(float) * (size_t)b.D);
    memcpy(both.is_target, b.is_target, sizeof b.is_target);
    fit(&p[1], "a = near | mahalanobis(k=20)", &both, loo[1]);
    assert_memory_equal(loo[0], loo[1], sizeof(double) * 2 * (size_t)b.n);
    asd_pipeline_clear(&p[0]);
    asd_pipeline_clear(&p[1]);
}

/* --- what holds for every detector --- */

static void test_rows_alone(void **state)
{
    (void)state;
    static bed    b, test;
    static double loo[2][2 * MAX_N], all[2 * MAX_N], some[2 * MAX_N];
    make_bed(&b, 80, 8, 19, 1);
    make_bed(&test, 37, 9, 19, 2);
    for (int c = 0; c < EVERY; ++c) {
        asd_pipeline p;
        for (int threads = 1; threads <= 3; threads += 2) {
            asd_par_set_threads(threads);
            fit(&p, every[c], &b, loo[threads > 1]);
            score(&p, &test, 0, test.n, threads > 1 ? some : all);
            if (threads == 1)
                asd_pipeline_clear(&p);
        }
        same_scores(loo[0], loo[1], b.n, p.heads, every[c]);
        same_scores(all, some, test.n, p.heads, every[c]);
        for (int i = 0; i < test.n; ++i) { /* alone */
            score(&p, &test, i, 1, some);
            same_scores(all + 2 * i, some, 1, p.heads, every[c]);
        }
        for (int i = 0; i + 6 <= test.n; i += 5) { /* in other company */
            score(&p, &test, i, 6, some);
            same_scores(all + 2 * i, some, 6, p.heads, every[c]);
        }
        asd_pipeline_clear(&p);
        asd_par_set_threads(0);
    }
}

/* glibc fills what malloc gives with this number's complement in its last byte: 0xFF, which in
 * float and double is NaN. 0 would turn it off. */
enum { PERTURB_NAN = 256 };

/* What memory held before does not show. LAPACKE's check for NaN reads more than dstein was given,
 * and where a NaN lay there eigenvectors came from another algorithm. */
static void test_memory(void **state)
{
    (void)state;
    static bed    b, test;
    static double loo[2][2 * MAX_N], s[2][2 * MAX_N];
    make_bed(&b, 80, 8, 19, 1);
    make_bed(&test, 12, 3, 19, 2);
    for (int c = 0; c < EVERY; ++c)
        for (int k = 0; k < 2; ++k) {
            asd_pipeline p;
            mallopt(M_PERTURB, k ? PERTURB_NAN : 0);
            fit(&p, every[c], &b, loo[k]);
            score(&p, &test, 0, test.n, s[k]);
            mallopt(M_PERTURB, 0);
            if (k) {
                same_scores(loo[0], loo[1], b.n, p.heads, every[c]);
                same_scores(s[0], s[1], test.n, p.heads, every[c]);
            }
            asd_pipeline_clear(&p);
        }
}

/* Fitted again on the same rows a pipeline is the same; a row far away is stranger than all the
 * training rows and those of another draw. */
static void test_again_and_far(void **state)
{
    (void)state;
    static bed    b, test;
    static double loo[2][2 * MAX_N], s[2][2 * MAX_N];
    make_bed(&b, 80, 8, 19, 1);
    make_bed(&test, 20, 4, 19, 1); /* the same draw: its first rows are training rows */
    asd_rng r;
    asd_rng_init(&r, 8, ASD_RNG_TEST, 0, 0);
    for (int d = 0; d < test.D; ++d)
        for (int k = 0; k < 2; ++k)
            test.x[k][19 * test.D + d] = (float)(-60 * asd_rng_normal(&r));
    spread(&test);
    for (int c = 0; c < EVERY; ++c) {
        asd_pipeline p;
        fit(&p, every[c], &b, loo[0]);
        score(&p, &test, 0, test.n, s[0]);
        asd_train_rows t = train_of(&b, every[c], p.n_streams);
        assert_ok(asd_pipeline_fit(&p, &t, "fan.section_00", loo[1]));
        score(&p, &test, 0, test.n, s[1]);
        same_scores(loo[0], loo[1], b.n, p.heads, every[c]);
        same_scores(s[0], s[1], test.n, p.heads, every[c]);
        /* angles are not lengths; a drift is a shape; ranks end at 1 */
        int angles = strstr(every[c], "knn") && !strstr(every[c], "euclidean");
        int ranks  = strstr(every[c], "conformity") && !strstr(every[c], "residual");
        for (int i = 0; i < 19 && !angles && !strstr(every[c], "change"); ++i)
            for (int h = 0; h < p.heads; ++h)
                assert_true(s[0][2 * 19 + h] > s[0][2 * i + h] ||
                            (ranks && s[0][2 * 19 + h] == s[0][2 * i + h]));
        for (int i = 0; i < b.n; ++i)
            for (int h = 0; h < p.heads; ++h)
                assert_true(isfinite(loo[0][2 * i + h]));
        asd_pipeline_clear(&p);
    }
}

static void finite_scores(const char *text, const bed *b, const bed *test, int lone)
{
    static double loo[2 * MAX_N], s[2 * MAX_N];
    asd_pipeline  p;
    fit(&p, text, b, loo);
    score(&p, test, 0, test->n, s);
    for (int i = 0; i < test->n; ++i)
        for (int h = 0; h < p.heads; ++h)
            if (!isfinite(s[2 * i + h]) || (s[2 * i + h] < 0 && !strstr(text, "density")))
                fail_msg("%s: test clip %d, head %d: %g", text, i, h, s[2 * i + h]);
    for (int i = 0; i < b->n; ++i)
        for (int h = 0; h < p.heads; ++h) {
            int alone = lone && h == b->is_target[i] && (h == 1 && p.heads == 2);
            alone |= lone && b->is_target[i] && strstr(text, "side=target");
            if (alone ? loo[2 * i + h] != (double)INFINITY : !isfinite(loo[2 * i + h]))
                fail_msg("%s: training clip %d, head %d: %g", text, i, h, loo[2 * i + h]);
        }
    asd_pipeline_clear(&p);
}

/* Input that statistics trip over. */
static void test_degenerate(void **state)
{
    (void)state;
    static bed b, test;
    for (int c = 0; c < EVERY; ++c) {
        make_bed(&b, 60, 6, 12, 3);
        make_bed(&test, 10, 3, 12, 4);
        for (int i = 0; i < b.n;
             ++i) /* a feature that never changes, and one that copies another */
            for (int s = 0; s < 2; ++s) {
                b.x[s][i * b.D + 4] = 0.1f;
                b.x[s][i * b.D + 7] = b.x[s][i * b.D + 2];
            }
        spread(&b);
        finite_scores(every[c], &b, &test, 0);
        make_bed(&b, 60, 6, 12, 3);
        for (int i = 1; i < b.n; i += 2) /* every clip twice, within its domain or not */
            for (int s = 0; s < 2; ++s)
                memcpy(b.x[s] + i * b.D, b.x[s] + (i - 1) * b.D, sizeof(float) * (size_t)b.D);
        spread(&b);
        finite_scores(every[c], &b, &test, 0);
        make_bed(&b, 60, 1, 12, 3);
        finite_scores(every[c], &b, &test, 1);
        make_bed(&b, 60, 0, 12, 3); /* no target clip: one domain, one head */
        finite_scores(every[c], &b, &test, 0);
        make_bed(&b, 14, 3, 30, 3);
        make_bed(&test, 10, 3, 30, 4);
        finite_scores(every[c], &b, &test, 0);
        memset(test.x, 0, sizeof test.x);
        memset(test.many, 0, sizeof test.many);
        finite_scores(every[c], &b, &test, 0);
    }
}

static void test_refused(void **state)
{
    (void)state;
    static bed         b;
    static double      loo[2 * MAX_N];
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    static char       *names[MAX_N];
    for (int i = 0; i < MAX_N; ++i)
        names[i] = "other.wav";
    names[17] = "fan/train/x.wav";
    for (int c = 0; c < EVERY; ++c) {
        asd_pipeline p;
        assert_ok(asd_pipeline_parse(every[c], &p));
        for (int k = 0; k < 3; ++k) {
            make_bed(&b, 60, 6, 12, 3);
            b.x[p.n_streams - 1][17 * 12 + 5]           = bad[k];
            b.many[p.n_streams - 1][17 * ROWS * 12 + 5] = bad[k];
            asd_train_rows t                            = train_of(&b, every[c], p.n_streams);
            assert_fails(asd_pipeline_fit(&p, &t, "fan.section_00", loo), ASD_E_DATA, "row 17");
            t.clip = names;
            assert_fails(asd_pipeline_fit(&p, &t, "fan.section_00", loo), ASD_E_DATA,
                         "fan/train/x.wav");
        }
        make_bed(&b, 60, 6, 12, 3);
        asd_train_rows t = train_of(&b, every[c], p.n_streams);
        assert_ok(asd_pipeline_fit(&p, &t, "fan.section_00", loo));
        b.x[0][17 * 12] = b.many[0][17 * ROWS * 12] = NAN;
        assert_fails(asd_pipeline_score(&p, t.stream, names, "fan.section_00", loo), ASD_E_DATA,
                     "fan/train/x.wav");
        b.x[0][17 * 12] = b.many[0][17 * ROWS * 12] = 0;
        t.stream[0].D                               = 11;
        assert_fails(asd_pipeline_score(&p, t.stream, NULL, "fan.section_00", loo), ASD_E_SHAPE,
                     "x 11, the training clips");
        asd_pipeline_clear(&p);
    }
    for (int c = 0; c < 5; ++c) { /* no variance at all */
        asd_pipeline p;
        make_bed(&b, 60, 6, 12, 3);
        for (int i = 0; i < 60 * 12; ++i)
            b.x[0][i] = b.x[1][i] = 0.25f;
        assert_ok(asd_pipeline_parse(every[c], &p));
        asd_train_rows t = train_of(&b, every[c], p.n_streams);
        assert_fails(asd_pipeline_fit(&p, &t, "fan.section_00", loo), ASD_E_NUMERIC,
                     "fan.section_00, a: all training rows of a domain are equal");
        t.n = t.stream[0].n = t.stream[1].n = 1;
        assert_fails(asd_pipeline_fit(&p, &t, "fan.section_00", loo), ASD_E_DATA,
                     "1 training clips, want at least 2");
        asd_pipeline_clear(&p);
    }
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("detect/mahalanobis/weighted", test_weighted),
    ASD_CASE("detect/mahalanobis/ledoit-wolf", test_ledoit_wolf),
    ASD_CASE("detect/mahalanobis/refit", test_refit),
    ASD_CASE("detect/mahalanobis/all axes", test_all_axes),
    ASD_CASE("detect/mahalanobis/shrinkage", test_shrinkage),
    ASD_CASE("detect/knn/every-variant", test_knn),
    ASD_CASE("detect/pipeline/steps-and-joined-streams", test_steps),
    ASD_CASE("detect/every/rows-and-threads-independent", test_rows_alone),
    ASD_CASE("detect/every/whatever-memory-holds", test_memory),
    ASD_CASE("detect/every/again-and-far", test_again_and_far),
    ASD_CASE("detect/every/degenerate", test_degenerate),
    ASD_CASE("detect/every/refused", test_refused),
};

ASD_TEST_MAIN(cases)
