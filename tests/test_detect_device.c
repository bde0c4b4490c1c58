/* test_detect_device.c - detectors of many machines at once on a device, held to what the same
 * pipelines say of one machine after the other on the CPU: scores, leave-one-out scores, heads; and
 * to themselves, alone and in company. Without a device the cases are skipped; the same file runs
 * against the kernels' source on the CPU.
 */
#include "harness.h"

#include "base/rng.h"
#include "detect/embedding.h"
#include "detect/on_device.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MACHINES = 5, MOST = 96, WIDE = 40, STREAMS = 2 };

/* Rows of a few machines that differ in what they have: 0 both domains, 1 fewer clips than columns
 * and a single target, 2 no targets, 3 targets alone, 4 more clips and a row of zeros. */
typedef struct set {
    float             x[MACHINES][STREAMS][2][MOST * WIDE]; /* training clips, clips to score */
    unsigned char     is_target[MACHINES][MOST];
    double            loo[MACHINES][MOST * 2], score[MACHINES][MOST * 2];
    asd_pipeline_task task[MACHINES];
} set;

static const struct {
    int64_t n, m;
    int     targets; /* of ten */
} machines[MACHINES] = {{60, 9, 3}, {11, 4, -1}, {50, 7, 0}, {52, 5, 10}, {MOST, 70, 2}};

static set *set_new(int64_t D, int streams)
{
    static const char *const what[] = {"m0", "m1", "m2", "m3", "m4"};
    set                     *s      = calloc(1, sizeof *s);
    asd_rng                  rng;
    asd_rng_init(&rng, 3, ASD_RNG_TEST, asd_rng_hash("on device"), (uint64_t)D);
    for (int g = 0; g < MACHINES; ++g) {
        int64_t n = machines[g].n, m = machines[g].m;
        for (int64_t i = 0; i < n; ++i)
            s->is_target[g][i] = machines[g].targets < 0 ? i == 4
                                                         : machines[g].targets * (i + 1) / 10 >
                                                               machines[g].targets * i / 10;
        for (int64_t i = 0; i < n + m; ++i)
            for (int k = 0; k < streams; ++k) {
                int    test   = i >= n;
                float *row    = s->x[g][k][test] + (test ? i - n : i) * D;
                double common = asd_rng_normal(&rng);
                for (int64_t d = 0; d < D; ++d)
                    row[d] =
                        (float)((asd_rng_normal(&rng) + common) * (0.2 + 0.1 * (double)(d % 5)) +
                                2 + sin((double)(d + g)) + 0.3 * (!test && s->is_target[g][i]));
            }
        asd_pipeline_task *t = &s->task[g];
        *t = (asd_pipeline_task){.what = what[g], .loo = s->loo[g], .score = s->score[g]};
        t->train.n_streams = streams;
        t->train.n         = n;
        t->train.is_target = s->is_target[g];
        for (int k = 0; k < streams; ++k) {
            t->train.stream[k] = (asd_clip_rows){s->x[g][k][0], n, 1, D, NULL};
            t->stream[k]       = (asd_clip_rows){s->x[g][k][1], m, 1, D, NULL};
        }
    }
    memset(s->x[4][0][0] + 5 * D, 0, (size_t)D * sizeof(float));
    memset(s->x[4][0][1] + 3 * D, 0, (size_t)D * sizeof(float));
    return s;
}

typedef struct rig {
    asd_gpu    *gpu;
    asd_stream *s;
} rig;

static void rig_new(rig *r)
{
    asd_test_device(&r->gpu, &r->s);
}

static void rig_free(rig *r)
{
    asd_stream_free(r->s);
    asd_gpu_close(r->gpu);
}

/* Pipelines of the device forms, how near to the CPU they are, and on how many of the machines. */
static const struct {
    const char *text;
    int64_t     D;
    double      limit; /* of a score */
    int         done;
} forms[] = {
    /* distances are rounded to fp32 once, 6e-8, of which a mean is no worse */
    {"a = x | knn", 7, 1e-7, MACHINES},
    {"a = x | knn(k=3, bank=domain)", 33, 1e-7, MACHINES},
    {"a = x, y | knn(k=10, bank=domain, take=kth)", 20, 1e-7, MACHINES},
    {"a = x, y | pca(12) | knn(k=32, take=kth)", 16, 1e-7, MACHINES},
    /* both in double, through a condition of 1e4 at most: test_mahalanobis.c */
    {"a = x | mahalanobis(cov=ledoit_wolf)", 9, 1e-9, MACHINES},
    {"a = x, y | mahalanobis(cov=ledoit_wolf)", 40, 1e-9, MACHINES},
    {"a = x | mahalanobis(cov=ledoit_wolf, centre=all)", 30, 1e-9, MACHINES},
    /* where all axes are taken, the CPU fits again without each clip */
    {"a = x | mahalanobis(k=128)", 10, 1e-9, MACHINES - 1},
    {"a = x | mahalanobis(k=8, weight=99)", 33, 1e-9, MACHINES},
    {"a = x, y | mahalanobis(k=40, weight=9)", 40, 1e-9, MACHINES - 1}, /* 80 columns */
    {"a = x, y | mahalanobis(k=70, weight=9)", 40, 1e-9, 1},
    {"a = x | mahalanobis(k=5, weight=3, centre=all)", 20, 1e-9, MACHINES},
    {"a = x, y | pca(20) | mahalanobis(k=6)", 40, 1e-9, MACHINES}, /* widths differ */
};
enum { N_FORMS = sizeof forms / sizeof *forms };

static int streams_of(const char *text)
{
    return strchr(text, ',') && strstr(text, "x, y") ? 2 : 1;
}

static void near(double have, double want, double limit, const char *text, int machine,
                 const char *of, int64_t i)
{
    if (isinf(want) && have == want)
        return;
    if (!(fabs(have - want) <= limit * fabs(want) + 1e-15))
        fail_msg("%s: machine %d, %s %lld, head %lld: %.12g, want %.12g", text, machine, of,
                 (long long)i / 2, (long long)i % 2, have, want);
}

static void test_equals_cpu(void **state)
{
    (void)state;
    rig r;
    rig_new(&r);
    for (int f = 0; f < N_FORMS; ++f) {
        const char  *text = forms[f].text;
        set         *s    = set_new(forms[f].D, streams_of(text));
        asd_pipeline p, one;
        double       loo[MOST * 2], score[MOST * 2];
        int64_t      done;
        assert_ok(asd_pipeline_parse(text, &p));
        assert_ok(asd_pipeline_parse(text, &one));
        assert_ok(asd_pipeline_run(&p, s->task, MACHINES, r.s, &done));
        if (done != forms[f].done)
            fail_msg("%s: %lld machines on the device, want %d", text, (long long)done,
                     forms[f].done);
        for (int g = 0; g < MACHINES; ++g) {
            const asd_pipeline_task *t = &s->task[g];
            assert_ok(asd_pipeline_fit(&one, &t->train, t->what, loo));
            assert_ok(asd_pipeline_score(&one, t->stream, NULL, t->what, score));
            assert_int_equal(t->heads, one.heads);
            for (int64_t i = 0; i < 2 * machines[g].n; ++i)
                near(t->loo[i], loo[i], forms[f].limit, text, g, "training clip", i);
            for (int64_t i = 0; i < 2 * machines[g].m; ++i)
                near(t->score[i], score[i], forms[f].limit, text, g, "clip", i);
        }
        asd_pipeline_clear(&p);
        asd_pipeline_clear(&one);
        free(s);
    }
    rig_free(&r);
}

static void same_bits(const double *have, const double *want, int64_t n, const char *text,
                      int machine, const char *of)
{
    for (int64_t i = 0; i < n; ++i)
        if (memcmp(&have[i], &want[i], sizeof *have))
            fail_msg("%s: machine %d, %s %lld of those in hand, head %lld: %.17g alone, %.17g "
                     "among all",
                     text, machine, of, (long long)i / 2, (long long)i % 2, have[i], want[i]);
}

/* A machine alone, and each of some clips as the only one, has the bits that it had among all. */
static void test_bits(void **state)
{
    (void)state;
    asd_test_skip_repetition();
    rig r;
    rig_new(&r);
    for (int f = 0; f < N_FORMS; ++f) {
        set         *all = set_new(forms[f].D, streams_of(forms[f].text));
        set         *own = set_new(forms[f].D, streams_of(forms[f].text));
        asd_pipeline p;
        int64_t      done;
        assert_ok(asd_pipeline_parse(forms[f].text, &p));
        assert_ok(asd_pipeline_run(&p, all->task, MACHINES, r.s, &done));
        for (int g = 0; g < MACHINES; g += 2)
            for (int64_t i = 0; i < machines[g].m; i += machines[g].m / 2) {
                asd_pipeline_task *t = &own->task[g];
                for (int k = 0; k < t->train.n_streams; ++k) {
                    t->stream[k].x = own->x[g][k][1] + i * forms[f].D;
                    t->stream[k].n = 1;
                }
                assert_ok(asd_pipeline_run(&p, t, 1, r.s, &done));
                same_bits(own->score[g], all->score[g] + 2 * i, 2, forms[f].text, g, "clip");
                same_bits(own->loo[g], all->loo[g], 2 * machines[g].n, forms[f].text, g,
                          "training clip");
                assert_int_equal(own->task[g].heads, all->task[g].heads);
            }
        asd_pipeline_clear(&p);
        free(all);
        free(own);
    }
    rig_free(&r);
}

/* With memory for two machines at a time: the same bits. */
static double bytes_each(const void *ctx, double G, double N, double M, double D)
{
    (void)N, (void)M, (void)D;
    return G * *(const double *)ctx;
}

static asd_status count_stretch(const void *ctx, asd_rows_task *task, int64_t G, asd_stream *s)
{
    (void)ctx, (void)s;
    for (int64_t g = 0; g < G; ++g)
        task[g].heads = g == 0 ? (int)G : 0;
    return ASD_OK;
}

static void test_stretches(void **state)
{
    (void)state;
    rig          r;
    asd_gpu_info info;
    rig_new(&r);
    assert_ok(asd_gpu_query(r.gpu, &info));
    static const struct {
        double of_free; /* what a machine takes of the free memory */
        int    first[MACHINES];
    } cases[] = {{0.01, {5, 0, 0, 0, 0}},
                 {0.2, {2, 0, 2, 0, 1}},
                 {0.4, {1, 1, 1, 1, 1}},
                 {3, {1, 1, 1, 1, 1}}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; ++c) {
        double        bytes          = cases[c].of_free * (double)info.free_bytes;
        asd_rows_task task[MACHINES] = {{.heads = 0}};
        asd_stretches how            = {&bytes, bytes_each, count_stretch};
        assert_ok(asd_in_stretches(&how, task, MACHINES, r.s));
        for (int g = 0; g < MACHINES; ++g)
            assert_int_equal(task[g].heads, cases[c].first[g]);
    }
    rig_free(&r);
}

/* A machine that no metric can be fitted to fails as on the CPU, whatever the others are. */
static void test_degenerate(void **state)
{
    (void)state;
    static const char *const texts[] = {"a = x | mahalanobis(k=3)",
                                        "a = x | mahalanobis(cov=ledoit_wolf)"};
    for (size_t c = 0; c < sizeof texts / sizeof *texts; ++c) {
        rig          r;
        asd_pipeline p;
        int64_t      done;
        char         said[600];
        rig_new(&r);
        set *s = set_new(6, 1);
        for (int64_t i = 0; i < machines[3].n * 6; ++i)
            s->x[3][0][0][i] = (float)(i % 6);
        assert_ok(asd_pipeline_parse(texts[c], &p));
        assert_int_equal(asd_pipeline_fit(&p, &s->task[3].train, "m3", s->loo[3]), ASD_E_NUMERIC);
        snprintf(said, sizeof said, "%s", asd_error_text());
        assert_fails(asd_pipeline_run(&p, s->task, MACHINES, r.s, &done), ASD_E_NUMERIC, said);
        asd_pipeline_clear(&p);
        free(s);
        rig_free(&r);
    }
}

static void test_lacks(void **state)
{
    (void)state;
    static const char *const texts[][2] = {
        {"a = x | knn(k=32)", NULL},
        {"a = x | pca(4) | knn(bank=domain)", NULL},
        {"a = x | mahalanobis", NULL},
        {"a = x | mahalanobis(cov=ledoit_wolf, loo=refit)", NULL},
        {"a = x | mahalanobis(loo=refit)", "mahalanobis(loo=refit) has no device form"},
        {"a = x | knn(k=33)", "knn(k above 32) has no device form"},
        {"a = x | knn(distance=euclidean)", "knn(distance=euclidean) has no device form"},
        {"a = x | local_density", "local_density has no device form"},
        {"a = x | pca(4) | boundary", "boundary has no device form"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; ++i) {
        asd_pipeline p;
        char         buf[128];
        assert_ok(asd_pipeline_parse(texts[i][0], &p));
        const char *why = asd_pipeline_lacks(&p, buf, sizeof buf);
        if (texts[i][1])
            assert_string_equal(why, texts[i][1]);
        else
            assert_null(why);
        asd_pipeline_clear(&p);
    }
}

/* What the CPU refuses is refused in the same words, before anything is on the device. */
static void test_refused(void **state)
{
    (void)state;
    rig          r;
    asd_pipeline p;
    int64_t      done;
    rig_new(&r);
    set *s = set_new(8, 1);
    assert_ok(asd_pipeline_parse("a = x | knn", &p));
    s->x[2][0][1][3 * 8 + 5] = NAN;
    assert_fails(asd_pipeline_run(&p, s->task, MACHINES, r.s, &done), ASD_E_DATA,
                 "m2: stream x, row 3: value 5 of the embedding is not finite");
    s->x[2][0][1][3 * 8 + 5] = 0;
    s->x[1][0][0][0]         = INFINITY;
    assert_fails(asd_pipeline_run(&p, s->task, MACHINES, r.s, &done), ASD_E_DATA,
                 "m1: stream x, row 0");
    s->x[1][0][0][0]       = 0;
    s->task[3].stream[0].D = 4;
    assert_fails(asd_pipeline_run(&p, s->task, MACHINES, r.s, &done), ASD_E_SHAPE,
                 "m3, a: stream x has clips of 1 x 4");
    s->task[3].stream[0].D = 8;
    s->task[0].train.n     = 1;
    assert_fails(asd_pipeline_run(&p, s->task, MACHINES, r.s, &done), ASD_E_DATA,
                 "1 training clips");
    asd_pipeline_clear(&p);
    free(s);
    rig_free(&r);
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("detect/device/equals-cpu", test_equals_cpu),
    ASD_CASE("detect/device/bits", test_bits),
    ASD_CASE("detect/device/stretches", test_stretches),
    ASD_CASE("detect/device/degenerate", test_degenerate),
    ASD_CASE("detect/device/lacks", test_lacks),
    ASD_CASE("detect/device/refused", test_refused),
};

ASD_TEST_MAIN(cases)
