/* test_mahalanobis.c - Mahalanobis distances of many machines on a device, held to what host/detect
 * computes of one machine after the other on the CPU. Without a device the cases are skipped; the
 * same file runs against the kernels' source on the CPU.
 */
#include "machines.h"

#include "detect/basis.h"
#include "kernels/mahalanobis.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct result {
    double  *score;  /* (G, M, 2) */
    double  *shrink; /* (G, 2) */
    int32_t *info;   /* (G, ASD_MAHA_INFO) */
    double  *mean;   /* (G, 2, D) */
} result;

static void result_free(result *y)
{
    free(y->score);
    free(y->shrink);
    free(y->info);
    free(y->mean);
}

typedef struct job {
    rig                 *r;
    const asd_maha      *a;
    asd_maha_rows        train, test;
    const unsigned char *is_target;
    asd_maha_model       model;
    double              *work, *score;
} job;

static asd_status fit_and_score(void *ctx)
{
    job *j = ctx;
    ASD_TRY(asd_maha_fit(j->a, &j->train, j->is_target, &j->model, j->r->s));
    return asd_maha_score(j->a, &j->model, &j->test, j->work, j->score, j->r->s);
}

/* captured: the second launch of a graph instead of two calls */
static void run(const machines *h, asd_maha a, int captured, result *y)
{
    rig    r;
    size_t G = (size_t)h->G, D = (size_t)h->D;
    rig_new(&r);
    a.G            = h->G;
    a.D            = h->D;
    job j          = {.r = &r, .a = &a};
    j.train.x      = to_device(&r, h->train, G * (size_t)h->N * D * sizeof(float));
    j.train.count  = to_device(&r, h->n, G * sizeof *h->n);
    j.train.n      = h->N;
    j.test.x       = to_device(&r, h->test, G * (size_t)h->M * D * sizeof(float));
    j.test.count   = to_device(&r, h->m, G * sizeof *h->m);
    j.test.n       = h->M;
    j.is_target    = to_device(&r, h->is_target, G * (size_t)h->N);
    j.model.mean   = to_device(&r, NULL, G * 2 * D * sizeof(double));
    j.model.factor = to_device(&r, NULL, G * D * D * sizeof(double));
    j.model.shrink = to_device(&r, NULL, G * 2 * sizeof(double));
    j.model.info   = to_device(&r, NULL, G * ASD_MAHA_INFO * sizeof(int32_t));
    j.work         = to_device(&r, NULL, (size_t)asd_maha_work(&a, h->M) * sizeof(double));
    j.score        = to_device(&r, NULL, G * (size_t)h->M * 2 * sizeof(double));
    assert_ok(fit_and_score(&j));
    if (captured) {
        asd_graph *graph;
        assert_ok(asd_stream_wait(r.s));
        assert_ok(asd_capture(r.s, fit_and_score, &j, &graph));
        assert_ok(asd_graph_launch(graph, r.s));
        assert_ok(asd_graph_launch(graph, r.s));
        assert_ok(asd_stream_wait(r.s));
        asd_graph_free(graph);
    }
    y->score  = malloc(G * (size_t)h->M * 2 * sizeof(double));
    y->shrink = malloc(G * 2 * sizeof(double));
    y->info   = malloc(G * ASD_MAHA_INFO * sizeof(int32_t));
    y->mean   = malloc(G * 2 * D * sizeof(double));
    to_host(&r, y->score, j.score, G * (size_t)h->M * 2 * sizeof(double));
    to_host(&r, y->shrink, j.model.shrink, G * 2 * sizeof(double));
    to_host(&r, y->info, j.model.info, G * ASD_MAHA_INFO * sizeof(int32_t));
    to_host(&r, y->mean, j.model.mean, G * 2 * D * sizeof(double));
    rig_free(&r);
}

/* One machine by host/detect. Both decompose what may have a condition of 1e4: 1e-9 is a thousand
 * times what double loses by that. */
static void compare(const machines *h, const asd_maha *a, const result *y, int64_t g)
{
    asd_basis            b;
    double               rho    = 0;
    const float         *x      = h->train + g * h->N * h->D;
    const unsigned char *is     = h->is_target + g * h->N;
    int                  centre = a->one_centre ? ASD_CENTRE_ALL : ASD_CENTRE_DOMAIN;
    asd_basis_rule       rule   = {centre, h->D, a->weight};
    if (a->ledoit_wolf)
        assert_ok(asd_basis_ledoit_wolf(&b, x, h->n[g], h->D, is, centre, "m", &rho, NULL));
    else
        assert_ok(asd_basis_fit(&b, x, h->n[g], h->D, is, &rule, "m"));
    assert_int_equal(b.k, h->D);
    assert_near(y->shrink[2 * g], 1 - rho, 1e-12);
    assert_int_equal(y->info[g * ASD_MAHA_INFO + ASD_MAHA_SOURCE], b.count.n[0]);
    assert_int_equal(y->info[g * ASD_MAHA_INFO + ASD_MAHA_TARGET], b.count.n[1]);
    assert_int_equal(y->info[g * ASD_MAHA_INFO + ASD_MAHA_BROKEN], 0);
    double *projected = malloc((size_t)(h->M * h->D) * sizeof *projected);
    asd_basis_project(&b, h->test + g * h->M * h->D, h->m[g], projected);
    for (int64_t i = 0; i < h->m[g]; ++i)
        for (int head = 0; head < 2; ++head) {
            double want = asd_basis_distance(&b, projected + i * h->D, head);
            double got  = y->score[(g * h->M + i) * 2 + head];
            if (!(fabs(got - want) <= 1e-9 * want))
                fail_msg("machine %ld, row %ld, head %d: %.12g, want %.12g", (long)g, (long)i, head,
                         got, want);
        }
    for (int64_t i = h->m[g]; i < h->M; ++i) /* left as they were */
        assert_true(isnan(y->score[(g * h->M + i) * 2]) && isnan(y->score[(g * h->M + i) * 2 + 1]));
    free(projected);
    asd_basis_clear(&b);
}

static void test_equals_cpu(void **state)
{
    (void)state;
    static const struct {
        int64_t  G, N, M, D;
        int      targets;
        asd_maha a;
    } cases[] = {
        {3, 40, 5, 7, 3, {.weight = 0}},
        {2, 150, 70, 64, 1, {.weight = 99}},
        {2, 190, 67, 130, 4, {.weight = 0}},
        {2, 90, 9, 65, 3, {.weight = 2, .one_centre = 1}},
        {2, 80, 3, 33, 0, {.weight = 0}},
        {1, 80, 64, 33, 10, {.weight = 3}},
        {3, 45, 6, 70, 2, {.ledoit_wolf = 1, .weight = 7}}, /* fewer rows than columns */
        {2, 100, 5, 129, 5, {.ledoit_wolf = 1, .one_centre = 1}},
        {1, 2, 2, 1, 0, {.weight = 0}},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; ++c) {
        machines h;
        result   y;
        machines_new(&h, cases[c].G, cases[c].N, cases[c].M, cases[c].D, cases[c].targets);
        run(&h, cases[c].a, 0, &y);
        for (int64_t g = 0; g < h.G; ++g)
            compare(&h, &cases[c].a, &y, g);
        result_free(&y);
        machines_free(&h);
    }
}

/* The bits of a machine among others, alone, and by a captured graph; of a row among others. */
static void test_bits(void **state)
{
    (void)state;
    asd_test_skip_repetition();
    for (int lw = 0; lw < 2; ++lw) {
        const asd_maha a = {.ledoit_wolf = lw};
        machines       h, one, last;
        result         all, again, alone, row;
        machines_new(&h, 3, 100, 66, 70, 3);
        run(&h, a, 0, &all);
        run(&h, a, 1, &again);
        assert_memory_equal(all.score, again.score, (size_t)(h.G * h.M) * 2 * sizeof(double));
        one   = h;
        one.G = 1, one.train += h.N * h.D, one.test += h.M * h.D;
        one.n += 1, one.m += 1, one.is_target += h.N;
        run(&one, a, 0, &alone);
        assert_memory_equal(all.score + h.M * 2, alone.score, (size_t)h.M * 2 * sizeof(double));
        /* row 64 of machine 1, the first of a second block, as the only one */
        int32_t single = 1;
        last           = one;
        last.M = 1, last.m = &single, last.test += 63 * h.D;
        run(&last, a, 0, &row);
        assert_true(isfinite(row.score[0]));
        assert_memory_equal(row.score, alone.score + 63 * 2, 2 * sizeof(double));
        result_free(&all);
        result_free(&again);
        result_free(&alone);
        result_free(&row);
        machines_free(&h);
    }
}

/* A machine whose covariance has no inverse says where; its neighbours are as they would be. */
static void test_singular(void **state)
{
    (void)state;
    const asd_maha a = {.weight = 1};
    machines       h, sound;
    result         y, want;
    machines_new(&h, 3, 110, 4, 70, 3);
    machines_new(&sound, 3, 110, 4, 70, 3);
    for (int64_t r = 0; r < h.n[1]; ++r) { /* column 66 says what 3 and 5 say, 68 nothing at all */
        float *row = h.train + (h.N + r) * h.D;
        row[66]    = 0.5f * row[3] + row[5];
        row[68]    = 1;
    }
    h.n[2] = 50; /* fewer rows than columns */
    run(&h, a, 0, &y);
    run(&sound, a, 0, &want);
    assert_int_equal(y.info[ASD_MAHA_BROKEN], 0);
    assert_memory_equal(y.score, want.score, (size_t)h.M * 2 * sizeof(double));
    assert_int_equal(y.info[ASD_MAHA_INFO + ASD_MAHA_BROKEN], 67);
    /* a domain's mean takes a row's worth each */
    assert_int_equal(y.info[2 * ASD_MAHA_INFO + ASD_MAHA_BROKEN], 49);
    for (int64_t i = h.M * 2; i < h.G * h.M * 2; ++i)
        assert_true(isnan(y.score[i]));
    result_free(&y);
    result_free(&want);
    machines_free(&h);
    machines_free(&sound);
}

/* --- what host/detect/mahalanobis_device.c makes of the parts --- */

/* Rows of a machine on the device, and room for a fit. side: of the matrix */
static job job_new(rig *r, const machines *h, asd_maha *a)
{
    size_t G = (size_t)h->G, D = (size_t)h->D, N = (size_t)h->N, M = (size_t)h->M;
    a->G = h->G, a->D = h->D;
    job j          = {.r = r, .a = a};
    j.train        = (asd_maha_rows){to_device(r, h->train, G * N * D * sizeof(float)),
                                     to_device(r, h->n, G * sizeof *h->n), h->N};
    j.test         = (asd_maha_rows){to_device(r, h->test, G * M * D * sizeof(float)),
                                     to_device(r, h->m, G * sizeof *h->m), h->M};
    j.is_target    = to_device(r, h->is_target, G * N);
    j.model.mean   = to_device(r, NULL, G * 2 * D * sizeof(double));
    j.model.factor = to_device(r, NULL, G * D * D * sizeof(double));
    j.model.shrink = to_device(r, NULL, G * 2 * sizeof(double));
    j.model.info   = to_device(r, NULL, G * ASD_MAHA_INFO * sizeof(int32_t));
    return j;
}

/* Lengths of a training row's differences from both means, and their product, in the metric that a
 * row is left out of. */
static void test_held_out(void **state)
{
    (void)state;
    machines h;
    rig      r;
    asd_maha a = {.ledoit_wolf = 1, .held_out = 1};
    machines_new(&h, 2, 75, 3, 66, 3);
    rig_new(&r);
    job     j         = job_new(&r, &h, &a);
    size_t  rows      = (size_t)(h.G * h.N);
    void   *on_device = to_device(&r, NULL, rows * 2 * sizeof(double));
    void   *crosses   = to_device(&r, NULL, rows * sizeof(double));
    double *score = malloc(rows * 2 * sizeof *score), *cross = malloc(rows * sizeof *cross);
    double  shrink[4];
    j.work = to_device(&r, NULL, (size_t)asd_maha_work(&a, h.N) * sizeof(double));
    assert_ok(asd_maha_fit(&a, &j.train, j.is_target, &j.model, r.s));
    assert_ok(asd_maha_score_cross(&a, &j.model, &j.train, j.work, on_device, crosses, r.s));
    to_host(&r, score, on_device, rows * 2 * sizeof *score);
    to_host(&r, cross, crosses, rows * sizeof *cross);
    to_host(&r, shrink, j.model.shrink, sizeof shrink);
    for (int64_t g = 0; g < h.G; ++g) {
        asd_basis    b, held;
        double       rho, n = (double)h.n[g];
        const float *x = h.train + g * h.N * h.D;
        assert_ok(asd_basis_ledoit_wolf(&b, x, h.n[g], h.D, h.is_target + g * h.N,
                                        ASD_CENTRE_DOMAIN, "m", &rho, &held));
        assert_near(shrink[2 * g], (1 - rho) * n / (n - 1), 1e-12);
        double *y = malloc((size_t)(h.N * h.D) * sizeof *y);
        asd_basis_project(&held, x, h.n[g], y);
        for (int64_t i = 0; i < h.N; ++i) {
            const double *got = score + (g * h.N + i) * 2, *own = y + i * h.D;
            double        both = 0;
            if (i >= h.n[g]) { /* left as they were */
                assert_true(isnan(got[0]) && isnan(got[1]) && isnan(cross[g * h.N + i]));
                continue;
            }
            for (int64_t d = 0; d < h.D; ++d)
                both += (own[d] - held.target[0][d]) * (own[d] - held.target[1][d]);
            assert_near(cross[g * h.N + i], both, 1e-9 * got[0] * got[1]);
            for (int k = 0; k < 2; ++k)
                assert_near(got[k], asd_basis_distance(&held, own, k), 1e-9 * got[k]);
        }
        free(y);
        asd_basis_clear(&b);
        asd_basis_clear(&held);
    }
    free(score);
    free(cross);
    rig_free(&r);
    machines_free(&h);
}

/* The lower triangle (side, side) of what a machine's rows make, by double loops: C, or of_rows. */
static void check_products(const machines *h, const asd_maha *a, int64_t g, int of_rows,
                           const double *got)
{
    int64_t              n = h->n[g], D = h->D, count[2] = {0, 0}, side = of_rows ? h->N : D;
    const float         *x    = h->train + g * h->N * D;
    const unsigned char *is   = h->is_target + g * h->N;
    double              *z    = malloc((size_t)(n * D) * sizeof *z), total;
    double              *mean = calloc((size_t)(2 * D), sizeof *mean);
    for (int64_t i = 0; i < n; ++i) {
        int own = !a->one_centre && is[i];
        ++count[is[i] != 0];
        for (int64_t d = 0; d < D; ++d)
            mean[own * D + d] += (double)x[i * D + d];
    }
    double weight = a->weight > 0 ? a->weight : (double)count[0] / (double)count[1];
    total         = (double)count[0] + weight * (double)count[1];
    for (int64_t i = 0; i < n; ++i) {
        int    own = !a->one_centre && is[i];
        double N   = a->one_centre ? (double)n : (double)count[own];
        for (int64_t d = 0; d < D; ++d)
            z[i * D + d] =
                sqrt((is[i] ? weight : 1) / total) * ((double)x[i * D + d] - mean[own * D + d] / N);
    }
    for (int64_t i = 0; i < side; ++i)
        for (int64_t k = 0; k <= i; ++k) {
            double want = 0, have = got[(g * side + i) * side + k];
            if (of_rows && i >= n) { /* left as it was */
                assert_true(isnan(have));
                continue;
            }
            for (int64_t e = 0; e < (of_rows ? D : n); ++e)
                want += of_rows ? z[i * D + e] * z[k * D + e] : z[e * D + i] * z[e * D + k];
            assert_near(have, want, 1e-13);
        }
    free(z);
    free(mean);
}

/* Scores in axes that the CPU has found; machine g has K - g of them. */
static void check_axes(rig *r, const machines *h, job *j, int64_t K)
{
    size_t     G = (size_t)h->G, D = (size_t)h->D, rows = G * (size_t)h->M;
    double    *axis   = calloc(G * (size_t)K * D, sizeof *axis);
    double    *place  = calloc(G * 2 * (size_t)K, sizeof *place);
    double    *centre = malloc(G * D * sizeof *centre), *score = malloc(rows * 2 * sizeof *score);
    asd_basis *b = calloc(G, sizeof *b);
    for (int64_t g = 0; g < h->G; ++g) {
        asd_basis_rule rule = {j->a->one_centre, K - g, j->a->weight};
        assert_ok(asd_basis_fit(&b[g], h->train + g * h->N * h->D, h->n[g], h->D,
                                h->is_target + g * h->N, &rule, "m"));
        for (int64_t k = 0; k < b[g].k; ++k)
            for (int64_t d = 0; d < h->D; ++d)
                axis[(g * K + k) * h->D + d] = *asd_panels_at(&b[g].axis, d, k);
        memcpy(centre + g * h->D, b[g].mean, D * sizeof *centre);
        for (int t = 0; t < 2; ++t)
            memcpy(place + (g * 2 + t) * K, b[g].target[t], (size_t)b[g].k * sizeof *place);
    }
    asd_maha_axes axes = {K, to_device(r, axis, G * (size_t)K * D * sizeof *axis),
                          to_device(r, centre, G * D * sizeof *centre),
                          to_device(r, place, G * 2 * (size_t)K * sizeof *place)};
    j->score           = to_device(r, NULL, rows * 2 * sizeof *score);
    assert_ok(asd_maha_score_axes(j->a, &axes, &j->test, j->score, r->s));
    to_host(r, score, j->score, rows * 2 * sizeof *score);
    for (int64_t g = 0; g < h->G; ++g) {
        double *y = malloc((size_t)(h->M * K) * sizeof *y);
        asd_basis_project(&b[g], h->test + g * h->M * h->D, h->m[g], y);
        for (int64_t i = 0; i < h->M; ++i)
            for (int k = 0; k < 2; ++k) {
                double got = score[(g * h->M + i) * 2 + k];
                if (i >= h->m[g])
                    assert_true(isnan(got)); /* left as it was */
                else
                    assert_near(got, asd_basis_distance(&b[g], y + i * b[g].k, k), 1e-12 * got);
            }
        free(y);
        asd_basis_clear(&b[g]);
    }
    free(axis);
    free(place);
    free(centre);
    free(score);
    free(b);
}

static void test_axes(void **state)
{
    (void)state;
    static const struct {
        int64_t  N, M, D, K;
        asd_maha a;
    } cases[] = {
        {90, 5, 7, 7, {.weight = 0}},
        {140, 70, 66, 66, {.weight = 99}},
        {70, 66, 130, 30, {.weight = 2, .one_centre = 1}},
        {131, 2, 140, 65, {.weight = 0}},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; ++c) {
        machines h;
        rig      r;
        asd_maha a = cases[c].a;
        machines_new(&h, 2, cases[c].N, cases[c].M, cases[c].D, 3);
        rig_new(&r);
        job     j       = job_new(&r, &h, &a);
        size_t  G       = (size_t)h.G;
        int     of_rows = h.N < h.D;
        size_t  bytes   = G * (size_t)((of_rows ? h.N * h.N : h.D * h.D)) * sizeof(double);
        double *got = malloc(bytes), *gram = of_rows ? to_device(&r, NULL, bytes) : NULL;
        if (of_rows)
            assert_ok(asd_maha_gram(&a, &j.train, j.is_target, &j.model, gram, r.s));
        else
            assert_ok(asd_maha_covariance(&a, &j.train, j.is_target, &j.model, r.s));
        to_host(&r, got, of_rows ? gram : j.model.factor, bytes);
        for (int64_t g = 0; g < h.G; ++g)
            check_products(&h, &a, g, of_rows, got);
        check_axes(&r, &h, &j, cases[c].K);
        free(got);
        rig_free(&r);
        machines_free(&h);
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const asd_maha a = {.G = 70000, .D = 4}, b = {.G = 1, .D = 0}, c = {.G = 1, .D = 4};
    asd_maha_rows         x = {.n = 5}, none = {.n = 0};
    asd_maha_model        m = {0};
    assert_fails(asd_maha_fit(&a, &x, NULL, &m, NULL), ASD_E_SHAPE, "70000 machines");
    assert_fails(asd_maha_fit(&b, &x, NULL, &m, NULL), ASD_E_SHAPE, "5 rows of 0");
    assert_fails(asd_maha_score(&c, &m, &none, NULL, NULL, NULL), ASD_E_SHAPE, "0 rows of 4");
    assert_fails(asd_maha_score_cross(&c, &m, &none, NULL, NULL, NULL, NULL), ASD_E_SHAPE,
                 "0 rows of 4");
    assert_fails(asd_maha_covariance(&a, &x, NULL, &m, NULL), ASD_E_SHAPE, "70000 machines");
    assert_fails(asd_maha_gram(&b, &x, NULL, &m, NULL, NULL), ASD_E_SHAPE, "5 rows of 0");
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("mahalanobis/cuda/equals-cpu", test_equals_cpu),
    ASD_CASE("mahalanobis/cuda/bits", test_bits),
    ASD_CASE("mahalanobis/cuda/singular", test_singular),
    ASD_CASE("mahalanobis/cuda/held-out", test_held_out),
    ASD_CASE("mahalanobis/cuda/axes", test_axes),
    ASD_CASE("mahalanobis/errors/sizes", test_refused),
};

ASD_TEST_MAIN(cases)
