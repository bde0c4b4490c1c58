/* test_mahalanobis.c - Mahalanobis distances and nearest neighbours of many machines on a device,
 * held to what host/detect computes of one machine after the other on the CPU. Without a device the
 * cases are skipped; the same file runs against the kernels' source on the CPU.
 */
#include "harness.h"

#include "base/rng.h"
#include "cuda/gpu.h"
#include "detect/basis.h"
#include "kernels/knn.h"
#include "kernels/mahalanobis.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct rig {
    asd_gpu    *gpu;
    asd_stream *s;
    void       *block[16]; /* on the device */
    int         n;
} rig;

static void rig_new(rig *r)
{
    memset(r, 0, sizeof *r);
    if (asd_gpu_open(0, &r->gpu)) {
        print_message("skipped: %s\n", asd_error_text());
        skip();
    }
    assert_ok(asd_stream_new(r->gpu, &r->s));
}

static void rig_free(rig *r)
{
    while (r->n)
        asd_gpu_free(r->gpu, r->block[--r->n]);
    asd_stream_free(r->s);
    asd_gpu_close(r->gpu);
}

/* A copy on the device; x NULL: bytes of 0xFF, which is NaN in double. */
static void *to_device(rig *r, const void *x, size_t bytes)
{
    void *p, *fill = malloc(bytes);
    memset(fill, 0xFF, bytes);
    assert_ok(asd_gpu_alloc(r->gpu, bytes, "a test's table", "", &p));
    assert_ok(asd_stream_upload(r->s, p, x ? x : fill, bytes));
    assert_ok(asd_stream_wait(r->s));
    free(fill);
    return r->block[r->n++] = p;
}

static void to_host(rig *r, void *x, const void *device, size_t bytes)
{
    assert_ok(asd_stream_download(r->s, x, device, bytes));
    assert_ok(asd_stream_wait(r->s));
}

/* Rows of G machines on the host. */
typedef struct machines {
    int64_t        G, N, M, D;
    float         *train, *test; /* (G, N, D), (G, M, D) */
    int32_t       *n, *m;        /* (G) rows that each has */
    unsigned char *is_target;    /* (G, N) */
} machines;

/* Normal numbers with a mean and scale of each column's own, correlated; what is past a machine's
 * rows is NaN. targets: out of ten rows */
static void machines_new(machines *a, int64_t G, int64_t N, int64_t M, int64_t D, int targets)
{
    asd_rng rng;
    *a = (machines){.G = G, .N = N, .M = M, .D = D};
    asd_rng_init(&rng, (uint64_t)(G * N * D), ASD_RNG_TEST, asd_rng_hash("maha"), 0);
    a->train     = malloc((size_t)(G * N * D) * sizeof(float));
    a->test      = malloc((size_t)(G * M * D) * sizeof(float));
    a->n         = malloc((size_t)G * sizeof *a->n);
    a->m         = malloc((size_t)G * sizeof *a->m);
    a->is_target = malloc((size_t)(G * N));
    for (int64_t g = 0; g < G; ++g) {
        a->n[g] = (int32_t)(N - 3 * g);
        a->m[g] = (int32_t)(M - g);
        for (int64_t r = 0; r < N + M; ++r) {
            int    target = r < N ? targets * (r + 1) / 10 > targets * r / 10 : 0;
            int    there  = r < N ? r < a->n[g] : r - N < a->m[g];
            float *row    = r < N ? a->train + (g * N + r) * D : a->test + (g * M + r - N) * D;
            double common = asd_rng_normal(&rng);
            if (r < N)
                a->is_target[g * N + r] = (unsigned char)(target ? 200 : 0);
            for (int64_t d = 0; d < D; ++d) {
                double v = asd_rng_normal(&rng) + 0.7 * common;
                v = v * (0.1 + 0.05 * (double)(d % 7)) + 3 * sin((double)(d + g)) + 0.2 * target;
                row[d] = there ? (float)v : NAN;
            }
        }
    }
}

static void machines_free(machines *a)
{
    free(a->train);
    free(a->test);
    free(a->n);
    free(a->m);
    free(a->is_target);
}

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

static void test_refused(void **state)
{
    (void)state;
    static const asd_maha a = {.G = 70000, .D = 4}, b = {.G = 1, .D = 0}, c = {.G = 1, .D = 4};
    asd_maha_rows         x = {.n = 5}, none = {.n = 0};
    asd_maha_model        m = {0};
    assert_fails(asd_maha_fit(&a, &x, NULL, &m, NULL), ASD_E_SHAPE, "70000 machines");
    assert_fails(asd_maha_fit(&b, &x, NULL, &m, NULL), ASD_E_SHAPE, "5 rows of 0");
    assert_fails(asd_maha_score(&c, &m, &none, NULL, NULL, NULL), ASD_E_SHAPE, "0 rows of 4");
}

/* --- nearest neighbours --- */

typedef struct knn_job {
    rig                 *r;
    const asd_knn       *a;
    const float         *bank, *x;
    const int32_t       *n, *m;
    const unsigned char *is_target;
    void                *work;
    double              *score;
} knn_job;

static asd_status search(void *ctx)
{
    knn_job *j = ctx;
    return asd_knn_cosine(j->a, j->bank, j->n, j->is_target, j->x, j->m, j->work, j->score,
                          j->r->s);
}

/* score: (G, M, 2), owned; by two launches of a graph if captured */
static double *run_knn(const machines *h, asd_knn a, int captured)
{
    rig     r;
    size_t  G = (size_t)h->G, D = (size_t)h->D, M = (size_t)(a.itself ? h->N : h->M);
    double *score = malloc(G * M * 2 * sizeof *score);
    rig_new(&r);
    a.G = h->G, a.N = h->N, a.M = (int64_t)M, a.D = h->D;
    knn_job j   = {.r = &r, .a = &a};
    j.bank      = to_device(&r, h->train, G * (size_t)h->N * D * sizeof(float));
    j.x         = a.itself ? j.bank : to_device(&r, h->test, G * M * D * sizeof(float));
    j.n         = to_device(&r, h->n, G * sizeof *h->n);
    j.m         = a.itself ? j.n : to_device(&r, h->m, G * sizeof *h->m);
    j.is_target = to_device(&r, h->is_target, G * (size_t)h->N);
    j.work      = to_device(&r, NULL, (size_t)asd_knn_work(&a));
    j.score     = to_device(&r, NULL, G * M * 2 * sizeof *score);
    assert_ok(search(&j));
    if (captured) {
        asd_graph *graph;
        assert_ok(asd_stream_wait(r.s));
        assert_ok(asd_capture(r.s, search, &j, &graph));
        assert_ok(asd_graph_launch(graph, r.s));
        assert_ok(asd_graph_launch(graph, r.s));
        assert_ok(asd_stream_wait(r.s));
        asd_graph_free(graph);
    }
    to_host(&r, score, j.score, G * M * 2 * sizeof *score);
    rig_free(&r);
    return score;
}

/* The limit is that of knn.h, one rounding to fp32; of what is no distance but rounding, 1e-15. */
static void compare_knn(const machines *h, const asd_knn *a, const double *score, int64_t g)
{
    char           text[128];
    asd_pipeline   p;
    int64_t        n = h->n[g], M = a->itself ? h->N : h->M, m = a->itself ? n : h->m[g];
    double        *want  = malloc((size_t)(n + m) * 2 * sizeof *want);
    asd_train_rows train = {
        .stream[0] = {.x = h->train + g * h->N * h->D, .n = n, .rows = 1, .D = h->D},
        .n_streams = 1,
        .n         = n,
        .is_target = h->is_target + g * h->N};
    asd_clip_rows test = {.x = h->test + g * h->M * h->D, .n = m, .rows = 1, .D = h->D};
    snprintf(text, sizeof text, "t = s | knn(k=%d, distance=cosine, bank=%s, take=%s)", a->k,
             a->by_domain ? "domain" : "all", a->kth ? "kth" : "mean");
    assert_ok(asd_pipeline_parse(text, &p));
    assert_ok(asd_pipeline_fit(&p, &train, "m", want));
    if (!a->itself)
        assert_ok(asd_pipeline_score(&p, &test, NULL, "m", want));
    for (int64_t i = 0; i < m * 2; ++i) {
        double got = score[g * M * 2 + i];
        if (!(fabs(got - want[i]) <= 1e-7 * want[i] + 1e-15) && !(isinf(got) && isinf(want[i])))
            fail_msg("%s, machine %ld, row %ld, score %ld: %.9g, want %.9g", text, (long)g,
                     (long)i / 2, (long)i % 2, got, want[i]);
    }
    for (int64_t i = m * 2; i < M * 2; ++i)
        assert_true(isnan(score[g * M * 2 + i]));
    asd_pipeline_clear(&p);
    free(want);
}

static void test_knn(void **state)
{
    (void)state;
    static const struct {
        int64_t G, N, M, D;
        int     targets;
        asd_knn a;
    } cases[] = {
        {3, 70, 5, 7, 3, {.k = 1}},
        {2, 150, 70, 33, 4, {.k = 3, .by_domain = 1}},
        {2, 270, 66, 16, 1, {.k = 4, .by_domain = 1, .kth = 1}},
        {2, 131, 9, 40, 3, {.k = 5, .itself = 1}},
        {2, 90, 9, 21, 5, {.k = 32, .by_domain = 1, .itself = 1, .kth = 1}},
        {2, 20, 3, 5, 2, {.k = 10, .by_domain = 1}}, /* four targets: fewer than k */
        {1, 2, 2, 3, 0, {.k = 3}},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; ++c) {
        machines h;
        machines_new(&h, cases[c].G, cases[c].N, cases[c].M, cases[c].D, cases[c].targets);
        for (int64_t d = 0; d < h.D; ++d) { /* a row of zeros in the bank and one to score */
            h.train[d]      = 0;
            h.test[h.D + d] = 0;
        }
        double *score = run_knn(&h, cases[c].a, 0);
        for (int64_t g = 0; g < h.G; ++g)
            compare_knn(&h, &cases[c].a, score, g);
        free(score);
        machines_free(&h);
    }
}

static void test_knn_bits(void **state)
{
    (void)state;
    const asd_knn a      = {.k = 3, .by_domain = 1};
    const int32_t single = 1;
    machines      h, one;
    machines_new(&h, 3, 140, 66, 20, 3);
    double *all = run_knn(&h, a, 0), *again = run_knn(&h, a, 1);
    assert_memory_equal(all, again, (size_t)(h.G * h.M) * 2 * sizeof *all);
    one   = h;
    one.G = 1, one.train += h.N * h.D, one.n += 1, one.is_target += h.N;
    one.M = 1, one.m = (int32_t *)&single, one.test += (h.M + 64) * h.D;
    double *alone = run_knn(&one, a, 0);
    assert_true(isfinite(alone[0]) && isfinite(alone[1]));
    assert_memory_equal(alone, all + (h.M + 64) * 2, 2 * sizeof *alone);
    free(all);
    free(again);
    free(alone);
    machines_free(&h);
}

static void test_knn_refused(void **state)
{
    (void)state;
    static const asd_knn many = {1, 5, 5, 4, .k = 33}, none = {1, 5, 5, 4, .k = 0},
                         empty = {1, 0, 5, 4, .k = 1};
    assert_fails(asd_knn_cosine(&many, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL), ASD_E_SHAPE,
                 "k is 33, want 1 to 32");
    assert_fails(asd_knn_cosine(&none, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL), ASD_E_SHAPE,
                 "k is 0");
    assert_fails(asd_knn_cosine(&empty, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
                 ASD_E_SHAPE, "banks of 0 rows");
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("mahalanobis/cuda/equals-cpu", test_equals_cpu),
    ASD_CASE("mahalanobis/cuda/bits", test_bits),
    ASD_CASE("mahalanobis/cuda/singular", test_singular),
    ASD_CASE("mahalanobis/errors/sizes", test_refused),
    ASD_CASE("knn/cuda/equals-cpu", test_knn),
    ASD_CASE("knn/cuda/bits", test_knn_bits),
    ASD_CASE("knn/errors/sizes", test_knn_refused),
};

ASD_TEST_MAIN(cases)
