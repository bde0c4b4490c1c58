/* test_knn.c - nearest neighbours of many machines on a device, held to what host/detect computes
 * of one machine after the other on the CPU. Without a device the cases are skipped; the same file
 * runs against the kernels' source on the CPU.
 */
#include "machines.h"

#include "detect/embedding.h"
#include "kernels/knn.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    ASD_CASE("knn/cuda/equals-cpu", test_knn),
    ASD_CASE("knn/cuda/bits", test_knn_bits),
    ASD_CASE("knn/errors/sizes", test_knn_refused),
};

ASD_TEST_MAIN(cases)
