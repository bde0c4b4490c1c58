/* test_detect_parts.c - the detectors of KIST's that test_detect_rows.c only holds to properties,
 * against their definitions: local density, boundary, conformity, change point, and k-means.
 */
#include "harness.h"

#include "base/file.h"
#include "base/rng.h"
#include "detect/basis.h"
#include "detect/kmeans.h"
#include "ref/ref_detect.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N = 46, M = 9, D = 7, T = 6, N_TARGET = 6 };

/* Two streams of N training and M test clips; the first is partly the second's doing. */
static float         x[2][(N + M) * D];
static double        wide[2][(N + M) * D];
static unsigned char is_target[N];

static void make(uint64_t seed)
{
    asd_rng r;
    asd_rng_init(&r, seed, ASD_RNG_TEST, asd_rng_hash("parts"), 0);
    for (int i = 0; i < N + M; ++i) {
        int target = i < N ? i % 8 == 3 : i % 2;
        if (i < N)
            is_target[i] = (unsigned char)target;
        for (int d = 0; d < D; ++d)
            x[1][i * D + d] = (float)(2 + (1 + 0.4 * d) * asd_rng_normal(&r) + 0.8 * target);
        for (int d = 0; d < D; ++d)
            x[0][i * D + d] = (float)(1 + 0.7 * (double)x[1][i * D + (d + 1) % D] +
                                      0.5 * asd_rng_normal(&r) - 0.5 * target);
    }
    for (int s = 0; s < 2; ++s)
        for (int i = 0; i < (N + M) * D; ++i)
            wide[s][i] = (double)x[s][i];
}

static void run(const char *text, double *loo, double *score, int heads)
{
    asd_pipeline   p;
    asd_train_rows t = {.n = N, .is_target = is_target};
    asd_clip_rows  test[2];
    assert_ok(asd_pipeline_parse(text, &p));
    t.n_streams = p.n_streams;
    for (int s = 0; s < 2; ++s) {
        int which   = strcmp(p.stream[s], "far") == 0;
        t.stream[s] = (asd_clip_rows){x[which], N, 1, D, NULL};
        test[s]     = (asd_clip_rows){x[which] + N * D, M, 1, D, NULL};
    }
    assert_ok(asd_pipeline_fit(&p, &t, "fan", loo));
    assert_ok(asd_pipeline_score(&p, test, NULL, "fan", score));
    assert_int_equal(p.heads, heads);
    asd_pipeline_clear(&p);
}

/* --- helpers in double, by definition --- */

/* Axes (k, D), whitened, of a weighted covariance of z (n, D), which is centred already. */
static void axes_of(const double *z, int n, const unsigned char *target, double weight, int k,
                    double *axes)
{
    double c[D * D] = {0}, value[D], vector[D * D], total = 0;
    for (int i = 0; i < n; ++i) {
        double w = target && target[i] ? weight : 1;
        total += w;
        for (int a = 0; a < D; ++a)
            for (int b = 0; b < D; ++b)
                c[a * D + b] += w * z[i * D + a] * z[i * D + b];
    }
    for (int i = 0; i < D * D; ++i)
        c[i] /= total;
    ref_eigen(c, D, value, vector);
    for (int a = 0; a < k; ++a)
        for (int b = 0; b < D; ++b)
            axes[a * D + b] = vector[a * D + b] / sqrt(fmax(value[a], 1e-6 * value[0]));
}

/* Residuals of the training rows from their domain's mean. */
static void residuals_of(const double *rows, double *z)
{
    double mean[2][D];
    for (int h = 0; h < 2; ++h)
        ref_mean(rows, N, D, is_target, h, -1, mean[h]);
    for (int i = 0; i < N * D; ++i)
        z[i] = rows[i] - mean[is_target[i / D]][i % D];
}

static double between(const double *axes, int k, const double *a, const double *b)
{
    double sum = 0;
    for (int i = 0; i < k; ++i) {
        double p = 0;
        for (int d = 0; d < D; ++d)
            p += axes[i * D + d] * (a[d] - b[d]);
        sum += p * p;
    }
    return sqrt(sum);
}

static int rising(const void *a, const void *b)
{
    double u = *(const double *)a, v = *(const double *)b;
    return (u > v) - (u < v);
}

/* --- local density --- */

typedef struct pair {
    double d;
    int    i;
} pair;

static int by_distance(const void *a, const void *b)
{
    return rising(&((const pair *)a)->d, &((const pair *)b)->d);
}

/* The K nearest training rows of y, those in skip left out; returns their mean distance. */
static double nearest(const double *axes, int k, const double *y, int K, int skip, int also,
                      pair *near)
{
    pair   all[N];
    int    n   = 0;
    double sum = 0;
    for (int i = 0; i < N; ++i)
        if (i != skip && i != also)
            all[n++] = (pair){between(axes, k, y, wide[0] + i * D), i};
    qsort(all, (size_t)n, sizeof *all, by_distance);
    for (int i = 0; i < K; ++i) {
        near[i] = all[i];
        sum += all[i].d / K;
    }
    return sum;
}

static double density_of(const double *axes, int k, const double *y, int K, int skip)
{
    pair   near[N], inner[N];
    double num = nearest(axes, k, y, K, skip, -1, near), den = 0;
    for (int i = 0; i < K; ++i)
        den += nearest(axes, k, wide[0] + near[i].i * D, K, near[i].i, skip, inner) / K;
    return log(num + 1e-12) - log(den + 1e-12);
}

static void test_density(void **state)
{
    (void)state;
    double loo[2 * N], score[2 * M], z[N * D], axes[D * D];
    make(1);
    run("a = near | local_density(k=4, axes=5, weight=7)", loo, score, 1);
    residuals_of(wide[0], z);
    axes_of(z, N, is_target, 7, 5, axes);
    for (int i = 0; i < M; ++i)
        assert_near(score[2 * i], density_of(axes, 5, wide[0] + (N + i) * D, 4, -1), 1e-9);
    for (int i = 0; i < N; ++i) /* as if the clip had not been there, but for the axes */
        assert_near(loo[2 * i], density_of(axes, 5, wide[0] + i * D, 4, i), 1e-9);
}

/* Seven clips of one domain in six axes are equally far from each other. */
static void test_density_of_few(void **state)
{
    enum { FEW = 7 };
    static const unsigned char source[FEW];
    (void)state;
    float  rest[FEW * D];
    double loo[2 * FEW], unused[2 * FEW], one[2];
    make(5);
    for (int out = -1; out < FEW; ++out) {
        asd_pipeline   p;
        int            n = out < 0 ? FEW : FEW - 1;
        asd_train_rows t = {.n = n, .is_target = source, .n_streams = 1};
        for (int i = 0, to = 0; i < FEW; ++i)
            if (i != out)
                memcpy(rest + to++ * D, x[0] + i * D, D * sizeof *rest);
        t.stream[0] = (asd_clip_rows){rest, n, 1, D, NULL};
        assert_ok(asd_pipeline_parse("a = near | local_density(k=3)", &p));
        assert_ok(asd_pipeline_fit(&p, &t, "fan", out < 0 ? loo : unused));
        if (out >= 0) {
            t.stream[0] = (asd_clip_rows){x[0] + out * D, 1, 1, D, NULL};
            assert_ok(asd_pipeline_score(&p, t.stream, NULL, "fan", one));
            assert_near(one[0], loo[2 * out], 1e-12);
            assert_true(fabs(one[0]) > 1e-3);
        }
        asd_pipeline_clear(&p);
    }
}

/* --- boundary --- */

static double quantile(double *d, int n, double q)
{
    qsort(d, (size_t)n, sizeof *d, rising);
    double at = q * (n - 1);
    int    i  = (int)at;
    return i + 1 < n ? d[i] + (at - i) * (d[i + 1] - d[i]) : d[n - 1];
}

/* One cluster: its centroid is the domains' common mean after centring, so the score is the
 * distance over the radius. */
static void test_one_cluster(void **state)
{
    (void)state;
    double loo[2 * N], score[2 * M], d[2 * (N + M)], own[N];
    make(2);
    run("a = near | boundary(clusters=1, k=4, weight=7, quantile=0.8)", loo, score, 2);
    ref_weighted(wide[0], N, D, is_target, 7, 4, 0, wide[0], N + M, d);
    for (int i = 0; i < N; ++i)
        own[i] = d[2 * i + is_target[i]];
    double radius = quantile(own, N, 0.8);
    for (int i = 0; i < M; ++i)
        for (int h = 0; h < 2; ++h)
            assert_near(score[2 * i + h], d[2 * (N + i) + h] / radius, 1e-9);
    for (int i = 0; i < N; ++i)
        for (int h = 0; h < 2; ++h) {
            int    n    = is_target[i] ? N_TARGET : N - N_TARGET;
            double grow = h == is_target[i] ? n / (n - 1.0) : 1;
            assert_near(loo[2 * i + h], grow * d[2 * i + h] / radius, 1e-9);
        }
}

/* systems E5: from distances to centroids and their radii */
static double boundary_of(const double *d, const double *r, int n)
{
    double excess = INFINITY, sorted[8];
    for (int i = 0; i < n; ++i) {
        excess    = fmin(excess, d[i] / r[i]);
        sorted[i] = d[i];
    }
    qsort(sorted, (size_t)n, sizeof *sorted, rising);
    return excess + 0.5 * sorted[0] / sorted[1];
}

/* Means of {source, target} x {near, far} without clip `skip`. */
static void group_means(int skip, double mean[4][D])
{
    for (int g = 0; g < 4; ++g)
        ref_mean(wide[g >> 1], N, D, is_target, g & 1, skip, mean[g]);
}

static void test_domain_channel(void **state)
{
    (void)state;
    double        loo[2 * N], score[2 * M], z[2 * N * D], axes[D * D], mean[4][D], r[4], d[4];
    unsigned char both[2 * N];
    make(3);
    run("a = near, far | boundary(k=5, weight=7, by=domain_channel)", loo, score, 1);
    group_means(-1, mean);
    for (int i = 0; i < 2 * N; ++i) {
        both[i] = is_target[i % N];
        for (int k = 0; k < D; ++k) /* centred rows go through float */
            z[i * D + k] =
                (double)(float)(wide[i / N][i % N * D + k] - mean[2 * (i / N) + both[i]][k]);
    }
    axes_of(z, 2 * N, both, 7, 5, axes);
    for (int g = 0; g < 4; ++g) {
        double own[N];
        int    n = 0;
        for (int i = 0; i < N; ++i)
            if (is_target[i] == (g & 1))
                own[n++] = between(axes, 5, wide[g >> 1] + i * D, mean[g]);
        r[g] = quantile(own, n, 0.95);
    }
    for (int i = 0; i < M; ++i) {
        for (int g = 0; g < 4; ++g)
            d[g] = between(axes, 5, wide[0] + (N + i) * D, mean[g]);
        assert_near(score[2 * i], boundary_of(d, r, 4), 1e-6);
    }
    for (int i = 0; i < N; ++i) {
        group_means(i, mean);
        for (int g = 0; g < 4; ++g)
            d[g] = between(axes, 5, wide[0] + i * D, mean[g]);
        assert_near(loo[2 * i], boundary_of(d, r, 4), 1e-6);
    }
}

/* Well separated heaps are found; centres are the means of their members, members are nearest to
 * their centre; fewer different rows than clusters. */
static void test_kmeans(void **state)
{
    (void)state;
    enum { HEAPS = 5, EACH = 20, W = 3 };
    static double y[HEAPS * EACH * W], centre[8 * W];
    int32_t       label[HEAPS * EACH];
    int64_t       K = HEAPS;
    asd_rng       r;
    asd_rng_init(&r, 6, ASD_RNG_TEST, 0, 0);
    for (int i = 0; i < HEAPS * EACH; ++i)
        for (int d = 0; d < W; ++d)
            y[i * W + d] = 100 * ((i % HEAPS) >> d & 1) + asd_rng_normal(&r);
    assert_ok(asd_kmeans(y, HEAPS * EACH, W, &K, 10, 0, centre, label));
    assert_int_equal(K, HEAPS);
    for (int i = HEAPS; i < HEAPS * EACH; ++i)
        assert_int_equal(label[i], label[i % HEAPS]);
    K = 8;
    assert_ok(asd_kmeans(y, HEAPS * EACH, W, &K, 10, 0, centre, label));
    assert_int_equal(K, 8);
    for (int k = 0; k < K; ++k)
        for (int d = 0; d < W; ++d) {
            double sum = 0;
            int    n   = 0;
            for (int i = 0; i < HEAPS * EACH; ++i)
                if (label[i] == k) {
                    sum += y[i * W + d];
                    ++n;
                }
            assert_near(centre[k * W + d], sum / n, 1e-9);
        }
    for (int i = 0; i < HEAPS * EACH; ++i) {
        double d[8] = {0};
        for (int k = 0; k < K; ++k)
            for (int c = 0; c < W; ++c)
                d[k] += pow(y[i * W + c] - centre[k * W + c], 2);
        for (int k = 0; k < K; ++k)
            assert_true(d[label[i]] <= d[k]);
    }
    for (int i = 0; i < HEAPS * EACH * W; ++i)
        y[i] = i / W % 2; /* two different rows */
    assert_ok(asd_kmeans(y, HEAPS * EACH, W, &K, 3, 0, centre, label));
    assert_int_equal(K, 2);
}

/* --- conformity --- */

/* |b - W' a| of row y by a ridge regression fitted to the training rows with use[i]. */
static double ridge_residual(const unsigned char *use, int k, double ridge, int y)
{
    double rows[2][N * D], mean[2][D], axes[2][D * D], a[N][D], b[N][D], gram[D * D] = {0};
    double inverse[D * D], w[D * D] = {0}, trace = 0, own[2][D], sum = 0;
    int    n = 0;
    for (int i = 0; i < N; ++i)
        if (use[i]) {
            for (int s = 0; s < 2; ++s)
                memcpy(rows[s] + n * D, wide[s] + i * D, sizeof(double) * D);
            ++n;
        }
    for (int s = 0; s < 2; ++s) {
        double value[D], c[D * D] = {0};
        ref_mean(rows[s], n, D, NULL, -1, -1, mean[s]);
        for (int i = 0; i < n * D; ++i)
            rows[s][i] -= mean[s][i % D];
        for (int i = 0; i < n; ++i)
            for (int p = 0; p < D * D; ++p)
                c[p] += rows[s][i * D + p / D] * rows[s][i * D + p % D] / n;
        ref_eigen(c, D, value, axes[s]);
        for (int p = 0; p < k; ++p) {
            own[s][p] = 0;
            for (int d = 0; d < D; ++d)
                own[s][p] += axes[s][p * D + d] * (wide[s][y * D + d] - mean[s][d]);
            for (int i = 0; i < n; ++i) {
                double v = 0;
                for (int d = 0; d < D; ++d)
                    v += axes[s][p * D + d] * rows[s][i * D + d];
                (s ? a : b)[i][p] = v;
            }
        }
    }
    for (int p = 0; p < k; ++p)
        for (int q = 0; q < k; ++q)
            for (int i = 0; i < n; ++i)
                gram[p * k + q] += a[i][p] * a[i][q];
    for (int p = 0; p < k; ++p)
        trace += gram[p * k + p];
    for (int p = 0; p < k; ++p)
        gram[p * k + p] += ridge * trace / k;
    ref_inverse(gram, k, inverse);
    for (int p = 0; p < k; ++p)
        for (int q = 0; q < k; ++q)
            for (int o = 0; o < k; ++o)
                for (int i = 0; i < n; ++i)
                    w[p * k + q] += inverse[p * k + o] * a[i][o] * b[i][q];
    for (int q = 0; q < k; ++q) {
        double guess = 0;
        for (int p = 0; p < k; ++p)
            guess += w[p * k + q] * own[1][p];
        sum += pow(own[0][q] - guess, 2);
    }
    return sqrt(sum);
}

static void test_conformity(void **state)
{
    (void)state;
    double        loo[2 * N], score[2 * M], rank_loo[2 * N], rank[2 * M], target[2 * M];
    double        other[2 * N];
    unsigned char all[N], use[N];
    make(4);
    run("a = near, far | conformity(axes=4, ridge=0.2, folds=3, as=residual)", loo, score, 1);
    memset(all, 1, sizeof all);
    for (int i = 0; i < M; ++i)
        assert_near(score[2 * i], ridge_residual(all, 4, 0.2, N + i), 1e-9);
    for (int i = 0; i < N; ++i) {
        int seen[2] = {0, 0}, fold[N];
        for (int k = 0; k < N; ++k)
            fold[k] = seen[is_target[k]]++ % 3;
        for (int k = 0; k < N; ++k)
            use[k] = fold[k] != fold[i];
        assert_near(loo[2 * i], ridge_residual(use, 4, 0.2, i), 1e-9);
    }
    run("a = near, far | conformity(axes=4, ridge=0.2, folds=3)", rank_loo, rank, 2);
    run("a = near, far | conformity(axes=4, ridge=0.2, folds=3, side=target)", other, target, 1);
    for (int h = 0; h < 2; ++h) {
        int n = h ? N_TARGET : N - N_TARGET;
        for (int i = 0; i < M; ++i) {
            int below = 0;
            for (int k = 0; k < N; ++k)
                below += is_target[k] == h && loo[2 * k] <= score[2 * i];
            assert_near(rank[2 * i + h], (1.0 + below) / (n + 1.0), 1e-15);
            if (h)
                assert_near(target[2 * i], (1.0 + below) / (n + 1.0), 1e-15);
        }
        for (int i = 0; i < N; ++i) { /* among the others */
            int below = 0, others = n - (is_target[i] == h);
            for (int k = 0; k < N; ++k)
                below += k != i && is_target[k] == h && loo[2 * k] <= loo[2 * i];
            assert_near(rank_loo[2 * i + h], (1.0 + below) / (others + 1.0), 1e-15);
        }
    }
}

/* --- change point --- */

static double drift(const double *a, int n)
{
    double mean = 0, std = 0, sum = 0, low = INFINITY, high = -INFINITY;
    for (int t = 0; t < n; ++t)
        mean += a[t] / n;
    for (int t = 0; t < n; ++t)
        std += pow(a[t] - mean, 2) / n;
    for (int t = 0; t < n; ++t) {
        sum += a[t] - mean;
        low  = fmin(low, sum);
        high = fmax(high, sum);
    }
    return (high - low) / (sqrt(std) * sqrt(n));
}

static void test_change_point(void **state)
{
    (void)state;
    enum { CLIPS = 12, SCORED = 3 };
    static float  rows[2][CLIPS * T * D];
    static double flat[CLIPS * T * D];
    unsigned char target[CLIPS], row_target[CLIPS * T];
    int64_t       length[CLIPS];
    double        loo[2 * CLIPS], score[2 * SCORED], want[CLIPS][2] = {{0}}, left[CLIPS][2] = {{0}};
    asd_pipeline  p;
    asd_rng       r;
    asd_rng_init(&r, 7, ASD_RNG_TEST, 0, 0);
    for (int i = 0; i < CLIPS; ++i) {
        target[i] = i % 4 == 1;
        length[i] = T - i % 2;
    }
    for (int s = 0; s < 2; ++s)
        for (int i = 0; i < CLIPS * T * D; ++i)
            rows[s][i] = i / D % T < length[i / (T * D)]
                             ? (float)(asd_rng_normal(&r) * (1 + i / D % T) + target[i / (T * D)])
                             : NAN;
    asd_train_rows t = {.n = CLIPS, .is_target = target, .n_streams = 2};
    for (int s = 0; s < 2; ++s)
        t.stream[s] = (asd_clip_rows){rows[s], CLIPS, T, D, length};
    assert_ok(asd_pipeline_parse("a = near, far | change_point(k=4, weight=3)", &p));
    assert_ok(asd_pipeline_fit(&p, &t, "fan", loo));
    for (int s = 0; s < 2; ++s)
        t.stream[s].n = SCORED;
    assert_ok(asd_pipeline_score(&p, t.stream, NULL, "fan", score));
    asd_pipeline_clear(&p);
    for (int s = 0; s < 2; ++s) {
        int    n = 0, first[CLIPS + 1];
        double d[2 * CLIPS * T], without[D], mean[D], moved[T * D], e[2 * T], a[T];
        for (int i = 0; i < CLIPS; ++i) {
            first[i] = n;
            for (int u = 0; u < length[i]; ++u, ++n) {
                row_target[n] = target[i];
                for (int c = 0; c < D; ++c)
                    flat[n * D + c] = (double)rows[s][(i * T + u) * D + c];
            }
        }
        first[CLIPS] = n;
        ref_weighted(flat, n, D, row_target, 3, 4, 0, flat, n, d);
        for (int i = 0; i < CLIPS; ++i)
            for (int h = 0; h < 2; ++h) {
                int count = first[i + 1] - first[i];
                for (int u = 0; u < count; ++u)
                    a[u] = d[2 * (first[i] + u) + h];
                want[i][h] += drift(a, count) / 2;
                /* without the clip: distances to a mean that moved */
                memset(without, 0, sizeof without);
                int used = 0;
                for (int k = 0; k < n; ++k)
                    if (row_target[k] == h && (k < first[i] || k >= first[i + 1])) {
                        ++used;
                        for (int c = 0; c < D; ++c)
                            without[c] += flat[k * D + c];
                    }
                ref_mean(flat, n, D, row_target, h, -1, mean);
                for (int u = 0; u < count * D; ++u)
                    moved[u] = flat[first[i] * D + u] + mean[u % D] - without[u % D] / (double)used;
                ref_weighted(flat, n, D, row_target, 3, 4, 0, moved, count, e);
                for (int u = 0; u < count; ++u)
                    a[u] = e[2 * u + h];
                left[i][h] += drift(a, count) / 2;
            }
    }
    for (int h = 0; h < 2; ++h) {
        for (int i = 0; i < SCORED; ++i)
            assert_near(score[2 * i + h], want[i][h], 1e-9);
        for (int i = 0; i < CLIPS; ++i)
            assert_near(loo[2 * i + h], left[i][h], 1e-9);
    }
}

/* --- golden/detect.txt: scikit-learn and NumPy --- */

static double number(char **p)
{
    char  *end;
    double v = strtod(*p, &end);
    assert_true(end > *p);
    *p = end;
    return v;
}

static void golden_scores(const char *text, const asd_train_rows *t, const asd_clip_rows *test,
                          double *score)
{
    static double loo[200];
    asd_pipeline  p;
    assert_ok(asd_pipeline_parse(text, &p));
    assert_ok(asd_pipeline_fit(&p, t, "golden", loo));
    assert_ok(asd_pipeline_score(&p, test, NULL, "golden", score));
    asd_pipeline_clear(&p);
}

static void test_golden(void **state)
{
    (void)state;
    enum { GN = 40, GM = 6, GD = 9 };
    float         rows[GN * GD], tests[GM * GD];
    double        want[GM][5], got[3][2 * GM], rho;
    unsigned char target[GN];
    char          path[4096], *text, *p;
    size_t        size;
    snprintf(path, sizeof path, "%s/tests/golden/detect.txt", asd_test_source());
    assert_ok(asd_read_file(path, 1 << 20, &text, &size));
    p = strchr(text, '\n');
    assert_int_equal((int)number(&p), GN);
    assert_int_equal((int)number(&p), GM);
    assert_int_equal((int)number(&p), GD);
    double shrinkage = number(&p);
    for (int i = 0; i < GN; ++i) {
        target[i] = (unsigned char)number(&p);
        for (int d = 0; d < GD; ++d)
            rows[i * GD + d] = (float)number(&p);
    }
    for (int i = 0; i < GM; ++i) {
        for (int d = 0; d < GD; ++d)
            tests[i * GD + d] = (float)number(&p);
        for (int k = 0; k < 5; ++k)
            want[i][k] = number(&p);
    }
    free(text);
    asd_clip_rows  y = {tests, GM, 1, GD, NULL};
    asd_train_rows t = {
        .stream = {{rows, GN, 1, GD, NULL}}, .n = GN, .n_streams = 1, .is_target = target};
    asd_basis b;
    assert_ok(
        asd_basis_ledoit_wolf(&b, rows, GN, GD, target, ASD_CENTRE_DOMAIN, "golden", &rho, NULL));
    assert_near(rho, shrinkage, 1e-12);
    asd_basis_clear(&b);
    golden_scores("a = x | mahalanobis(cov=ledoit_wolf)", &t, &y, got[0]);
    golden_scores("a = x | mahalanobis(k=6, weight=9)", &t, &y, got[1]);
    golden_scores("a = x | knn(3)", &t, &y, got[2]);
    for (int i = 0; i < GM; ++i)
        for (int k = 0; k < 5; ++k)
            assert_near(got[k / 2][2 * i + k % 2], want[i][k], 1e-10 * (1 + want[i][k]));
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("detect/golden/scikit-learn", test_golden),
    ASD_CASE("detect/local_density/definition", test_density),
    ASD_CASE("detect/local_density/few-clips", test_density_of_few),
    ASD_CASE("detect/boundary/one-cluster", test_one_cluster),
    ASD_CASE("detect/boundary/domain-channel", test_domain_channel),
    ASD_CASE("detect/kmeans/heaps", test_kmeans),
    ASD_CASE("detect/conformity/definition", test_conformity),
    ASD_CASE("detect/change_point/definition", test_change_point),
};

ASD_TEST_MAIN(cases)
