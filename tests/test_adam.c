/* test_adam.c - what a captured training step has besides its ops: the optimiser over many networks
 * in one launch, held to the CPU's, and the tables that feed it. Without a device the cases that
 * need one are skipped; the same file runs against the kernels' source on the CPU. */
#include "harness.h"

#include "base/rng.h"
#include "cuda/gpu.h"
#include "kernels/adam.h"
#include "kernels/feed.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct rig {
    asd_gpu    *gpu;
    asd_stream *s;
} rig;

static void rig_new(rig *r)
{
    *r = (rig){0};
    asd_test_device(&r->gpu, &r->s);
}

static void rig_free(rig *r)
{
    asd_stream_free(r->s);
    asd_gpu_close(r->gpu);
}

static void *to_device(const rig *r, const void *x, size_t bytes)
{
    void *p;
    assert_ok(asd_gpu_alloc(r->gpu, bytes, "a test's table", "", &p));
    if (x)
        assert_ok(asd_stream_upload(r->s, p, x, bytes));
    assert_ok(asd_stream_wait(r->s));
    return p;
}

static void to_host(const rig *r, void *x, const void *device, size_t bytes)
{
    assert_ok(asd_stream_download(r->s, x, device, bytes));
    assert_ok(asd_stream_wait(r->s));
}

/* --- layouts: parameters of several networks with unused numbers between them --- */

typedef struct layout {
    const char    *name;
    int64_t        groups, n_slices;
    asd_adam_slice slice[6];
    int64_t        total; /* elements of the block */
} layout;

static const layout layouts[] = {
    {"one network, one parameter", 1, 1, {{0, 14013}}, 14016},
    {"one number", 1, 1, {{4, 1}}, 16},
    {"three networks, borders on 16 bytes",
     3,
     4,
     {{0, 2048}, {6144, 4096}, {18432, 128}, {18816, 12}},
     18864},
    {"seven networks, odd sizes",
     7,
     6,
     {{16, 1}, {32, 7}, {96, 1023}, {7264, 2049}, {21616, 5000}, {56624, 3}},
     56656},
};
enum { N_LAYOUTS = sizeof layouts / sizeof *layouts, STEPS = 4 };

static const asd_adam rules[] = {
    {0.9, 0.999, 1e-8, 0, 0, 0},    {0.9, 0.999, 1e-8, 0.05, 0, 0}, {0.9, 0.999, 1e-8, 0.05, 0, 1},
    {0.9, 0.98, 1e-6, 0.01, 25, 1}, {0.5, 0.9, 1e-3, 0, 0.1, 0},    {0.9, 0.999, 1e-8, 0, 1e9, 0},
};
enum { N_RULES = sizeof rules / sizeof *rules };

static int64_t network_size(const layout *l)
{
    int64_t n = 0;
    for (int64_t i = 0; i < l->n_slices; ++i)
        n += l->slice[i].n;
    return n;
}

/* A network's numbers taken out of the block, or (put) written back. */
static void gather(const layout *l, int64_t g, float *block, float *own, int put)
{
    for (int64_t i = 0; i < l->n_slices; ++i) {
        float *at    = block + l->slice[i].first + g * l->slice[i].n;
        size_t bytes = (size_t)l->slice[i].n * sizeof *at;
        memcpy(put ? at : own, put ? own : at, bytes);
        own += l->slice[i].n;
    }
}

/* Gradients that differ in size by 10^6 between numbers and by 10 between networks; some are 0. */
static void fill_gradient(const layout *l, int step, float *g)
{
    asd_rng rng;
    asd_rng_init(&rng, 6, ASD_RNG_TEST, (uint64_t)step, 0);
    for (int64_t i = 0; i < l->total; ++i) {
        g[i] = (float)(asd_rng_normal(&rng) * pow(10, (double)(i % 7) - 5));
        if ((i + step) % 5 == 0)
            g[i] = 0;
    }
}

typedef struct side {
    float *w, *g, *m, *v;
} side;

static void side_new(side *s, const layout *l)
{
    size_t  n = (size_t)l->total;
    asd_rng rng;
    s->w = calloc(n, sizeof(float));
    s->g = calloc(n, sizeof(float));
    s->m = calloc(n, sizeof(float));
    s->v = calloc(n, sizeof(float));
    asd_rng_init(&rng, 5, ASD_RNG_TEST, 0, 0);
    for (size_t i = 0; i < n; ++i)
        s->w[i] = (float)asd_rng_normal(&rng);
}

static void side_free(side *s)
{
    free(s->w);
    free(s->g);
    free(s->m);
    free(s->v);
}

typedef struct device_side {
    float    *w, *g, *m, *v;
    uint16_t *w16;
    double   *norm;
    asd_step *step;
} device_side;

static void device_new(device_side *d, const rig *r, const layout *l, const side *s,
                       const asd_step *now)
{
    size_t bytes = (size_t)l->total * sizeof(float);
    d->w         = to_device(r, s->w, bytes);
    d->g         = to_device(r, NULL, bytes);
    d->m         = to_device(r, s->m, bytes);
    d->v         = to_device(r, s->v, bytes);
    d->w16       = to_device(r, NULL, bytes / 2);
    d->norm      = to_device(r, NULL, (size_t)l->groups * sizeof(double));
    d->step      = to_device(r, now, sizeof *now);
}

static void device_free(device_side *d, const rig *r)
{
    void *all[] = {d->w, d->g, d->m, d->v, d->w16, d->norm, d->step};
    for (size_t i = 0; i < sizeof all / sizeof *all; ++i)
        asd_gpu_free(r->gpu, all[i]);
}

static void check_side(const layout *l, int rule, const side *have, const side *want, float lr)
{
    for (int64_t i = 0; i < l->total; ++i) {
        /* as in nn/adam: one rounding of w a step, a few of an update of about lr; two roundings
         * differ by twice that, and the device contracts products and sums */
        double limit =
            2 * STEPS * 0x1p-24 * (fabs((double)want->w[i]) + 8 * (double)lr) * 1.5 + 1e-30;
        if (!(fabs((double)have->w[i] - (double)want->w[i]) <= limit))
            fail_msg("%s, rule %d: weight %ld is %.9g, on the CPU %.9g, want within %g", l->name,
                     rule, (long)i, (double)have->w[i], (double)want->w[i], limit);
        assert_near((double)have->m[i], (double)want->m[i],
                    2 * STEPS * 0x1p-23 * fabs((double)want->m[i]) + 1e-12);
        assert_near((double)have->v[i], (double)want->v[i],
                    2 * STEPS * 0x1p-23 * fabs((double)want->v[i]) + 1e-12);
    }
}

/* bf16 of x, nearest, ties to even; x is a number. */
static uint16_t bf16_of(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

/* Every rule on every layout against the CPU, network by network: weights, moments, norms, and
 * nothing written between the networks. */
static void test_like_cpu(void **state)
{
    (void)state;
    rig r;
    rig_new(&r);
    for (int k = 0; k < N_LAYOUTS * N_RULES; ++k) {
        const layout   *l   = &layouts[k / N_RULES];
        const asd_adam *a   = &rules[k % N_RULES];
        int64_t         own = network_size(l);
        asd_step        now = {.lr = 3e-3f};
        side            cpu, back, net;
        device_side     d;
        asd_adam_layout table;
        double         *work = calloc((size_t)asd_adam_work(own), sizeof *work), norm[8];
        uint16_t       *w16  = calloc((size_t)l->total, sizeof *w16);
        side_new(&cpu, l);
        side_new(&back, l);
        side_new(&net, l); /* room for one network */
        device_new(&d, &r, l, &cpu, &now);
        assert_ok(asd_adam_layout_init(&table, r.s, l->slice, l->n_slices, l->groups));
        for (now.step = 0; now.step < STEPS; ++now.step) {
            fill_gradient(l, (int)now.step, cpu.g);
            assert_ok(asd_stream_upload(r.s, d.g, cpu.g, (size_t)l->total * sizeof(float)));
            assert_ok(asd_stream_upload(r.s, d.step, &now, sizeof now));
            assert_ok(asd_adam_update_cuda(a, &table, d.step, d.w, d.g, d.m, d.v,
                                           k % 2 ? d.w16 : NULL, d.norm, r.s));
            to_host(&r, norm, d.norm, (size_t)l->groups * sizeof *norm);
            for (int64_t g = 0; g < l->groups; ++g) {
                gather(l, g, cpu.w, net.w, 0);
                gather(l, g, cpu.g, net.g, 0);
                gather(l, g, cpu.m, net.m, 0);
                gather(l, g, cpu.v, net.v, 0);
                double want = asd_adam_update_cpu(a, &now, own, net.w, net.g, net.m, net.v, work);
                assert_near(norm[g], want, 1e-12 * want);
                gather(l, g, cpu.w, net.w, 1);
                gather(l, g, cpu.m, net.m, 1);
                gather(l, g, cpu.v, net.v, 1);
            }
        }
        to_host(&r, back.w, d.w, (size_t)l->total * sizeof(float));
        to_host(&r, back.m, d.m, (size_t)l->total * sizeof(float));
        to_host(&r, back.v, d.v, (size_t)l->total * sizeof(float));
        to_host(&r, w16, d.w16, (size_t)l->total * sizeof *w16);
        check_side(l, k % N_RULES, &back, &cpu, now.lr);
        for (int64_t i = 0; i < l->n_slices; ++i)
            for (int64_t e = 0; e < l->slice[i].n * l->groups; ++e) {
                int64_t at = l->slice[i].first + e;
                assert_int_equal(w16[at], k % 2 ? bf16_of(back.w[at]) : 0);
            }
        asd_adam_layout_clear(&table);
        device_free(&d, &r);
        side_free(&cpu);
        side_free(&back);
        side_free(&net);
        free(work);
        free(w16);
    }
    rig_free(&r);
}

/* A captured step launched again and again gives the bits of single calls: the barrier's counter
 * needs no reset, and the step is read when the kernel runs. */
static void test_replay(void **state)
{
    (void)state;
    const layout *l = &layouts[3];
    rig           r;
    rig_new(&r);
    for (int rule = 2; rule < 4; ++rule) { /* without and with clipping */
        side            start, end[2];
        asd_adam_layout table;
        asd_step        now = {.lr = 1e-2f};
        float          *loss;
        double          norm[2][STEPS][7];
        side_new(&start, l);
        fill_gradient(l, 0, start.g);
        assert_ok(asd_adam_layout_init(&table, r.s, l->slice, l->n_slices, l->groups));
        loss = to_device(&r, NULL, 7 * sizeof *loss);
        for (int graph = 0; graph < 2; ++graph) {
            device_side  d;
            asd_graph   *step = NULL;
            asd_feed_log log  = {.loss   = to_device(&r, NULL, 7 * STEPS * sizeof(float)),
                                 .norm   = to_device(&r, NULL, 7 * STEPS * sizeof(double)),
                                 .rows   = STEPS,
                                 .groups = 7};
            side_new(&end[graph], l);
            device_new(&d, &r, l, &start, &now);
            assert_ok(asd_stream_upload(r.s, d.g, start.g, (size_t)l->total * sizeof(float)));
            assert_ok(asd_stream_wait(r.s));
            if (graph)
                assert_ok(asd_capture_begin(r.s));
            for (int t = 0; t < (graph ? 1 : STEPS); ++t) {
                assert_ok(asd_adam_update_cuda(&rules[rule], &table, d.step, d.w, d.g, d.m, d.v,
                                               NULL, d.norm, r.s));
                assert_ok(asd_feed_record(&log, loss, d.norm, d.step, r.s));
            }
            if (graph)
                assert_ok(asd_capture_end(r.s, &step));
            for (int t = 0; graph && t < STEPS; ++t)
                assert_ok(asd_graph_launch(step, r.s));
            to_host(&r, end[graph].w, d.w, (size_t)l->total * sizeof(float));
            to_host(&r, norm[graph], log.norm, sizeof norm[graph]);
            to_host(&r, &now, d.step, sizeof now);
            assert_int_equal(now.step, STEPS);
            now.step = 0;
            asd_graph_free(step);
            asd_gpu_free(r.gpu, log.loss);
            asd_gpu_free(r.gpu, log.norm);
            device_free(&d, &r);
        }
        assert_memory_equal(end[0].w, end[1].w, (size_t)l->total * sizeof(float));
        assert_true(memcmp(end[0].w, start.w, (size_t)l->total * sizeof(float)) != 0);
        assert_memory_equal(norm[0], norm[1], sizeof norm[0]);
        asd_adam_layout_clear(&table);
        asd_gpu_free(r.gpu, loss);
        side_free(&start);
        side_free(&end[0]);
        side_free(&end[1]);
    }
    rig_free(&r);
}

/* A gradient that is not a number shows in its network's norm and in no other's. */
static void test_not_finite(void **state)
{
    (void)state;
    const layout   *l = &layouts[2];
    rig             r;
    side            start;
    device_side     d;
    asd_adam_layout table;
    asd_step        now = {.lr = 1e-2f};
    double          norm[3];
    rig_new(&r);
    side_new(&start, l);
    fill_gradient(l, 0, start.g);
    start.g[l->slice[1].first + l->slice[1].n + 5] = NAN; /* of the second network */
    device_new(&d, &r, l, &start, &now);
    assert_ok(asd_adam_layout_init(&table, r.s, l->slice, l->n_slices, l->groups));
    for (int rule = 2; rule < 4; ++rule) {
        assert_ok(asd_stream_upload(r.s, d.g, start.g, (size_t)l->total * sizeof(float)));
        assert_ok(asd_adam_update_cuda(&rules[rule], &table, d.step, d.w, d.g, d.m, d.v, NULL,
                                       d.norm, r.s));
        to_host(&r, norm, d.norm, sizeof norm);
        assert_true(isfinite(norm[0]) && isnan(norm[1]) && isfinite(norm[2]));
    }
    asd_adam_layout_clear(&table);
    device_free(&d, &r);
    side_free(&start);
    rig_free(&r);
}

/* --- feed --- */

enum { FEED_SLOTS = 2, FEED_STEPS = 3, FEED_GROUPS = 5, FEED_BATCH = 71, FEED_ROWS = 4 };

/* Ten steps over four epochs: each reads its own rows of the slot of its epoch, the last of an
 * epoch with fewer. */
static void test_feed(void **state)
{
    (void)state;
    rig      r;
    int32_t  table[FEED_SLOTS][FEED_STEPS][FEED_GROUPS][FEED_BATCH];
    int32_t  have[FEED_GROUPS * FEED_BATCH];
    float    loss[FEED_GROUPS], losses[FEED_ROWS][FEED_GROUPS];
    double   norm[FEED_GROUPS], norms[FEED_ROWS][FEED_GROUPS];
    asd_step now = {0};
    rig_new(&r);
    for (size_t i = 0; i < sizeof table / sizeof(int32_t); ++i)
        ((int32_t *)table)[i] = (int32_t)(3 * i + 1);
    asd_feed     feed    = {.table  = to_device(&r, table, sizeof table),
                            .slots  = FEED_SLOTS,
                            .steps  = FEED_STEPS,
                            .groups = FEED_GROUPS,
                            .batch  = FEED_BATCH};
    asd_feed_log log     = {.loss   = to_device(&r, NULL, sizeof losses),
                            .norm   = to_device(&r, NULL, sizeof norms),
                            .rows   = FEED_ROWS,
                            .groups = FEED_GROUPS};
    int32_t     *index   = to_device(&r, NULL, sizeof have);
    float       *d_loss  = to_device(&r, NULL, sizeof loss);
    double      *d_norm  = to_device(&r, NULL, sizeof norm);
    asd_step    *counter = to_device(&r, &now, sizeof now);
    for (int step = 0; step < 10; ++step) {
        int     position = step % FEED_STEPS, slot = step / FEED_STEPS % FEED_SLOTS;
        int64_t n = position + 1 == FEED_STEPS ? 13 : FEED_BATCH;
        assert_ok(asd_feed_index(&feed, counter, index, n, r.s));
        to_host(&r, have, index, sizeof have);
        for (int64_t g = 0; g < FEED_GROUPS; ++g)
            for (int64_t i = 0; i < n; ++i)
                assert_int_equal(have[g * n + i], table[slot][position][g][i]);
        for (int g = 0; g < FEED_GROUPS; ++g) {
            loss[g] = (float)(10 * step + g);
            norm[g] = -(double)loss[g];
        }
        assert_ok(asd_stream_upload(r.s, d_loss, loss, sizeof loss));
        assert_ok(asd_stream_upload(r.s, d_norm, norm, sizeof norm));
        assert_ok(asd_feed_record(&log, d_loss, d_norm, counter, r.s));
        to_host(&r, &now, counter, sizeof now);
        assert_int_equal(now.step, step + 1);
    }
    to_host(&r, losses, log.loss, sizeof losses);
    to_host(&r, norms, log.norm, sizeof norms);
    for (int step = 6; step < 10; ++step)
        for (int g = 0; g < FEED_GROUPS; ++g) {
            assert_true(losses[step % FEED_ROWS][g] == (float)(10 * step + g));
            assert_true(norms[step % FEED_ROWS][g] == -(double)(10 * step + g));
        }
    void *all[] = {(void *)feed.table, log.loss, log.norm, index, d_loss, d_norm, counter};
    for (size_t i = 0; i < sizeof all / sizeof *all; ++i)
        asd_gpu_free(r.gpu, all[i]);
    rig_free(&r);
}

/* A network of more chunks than a block has threads: a thread adds several partial sums. */
static void test_many_chunks(void **state)
{
    (void)state;
    enum { N = ASD_ADAM_CHUNK * 259 + 5 };
    rig                  r;
    asd_adam_layout      table;
    const asd_adam_slice all  = {0, N};
    const layout         l    = {"many chunks", 1, 1, {{0, N}}, N};
    const asd_adam       rule = {0.9, 0.999, 1e-8, 0, 10, 0};
    const asd_step       now  = {.lr = 0.5f};
    side                 s;
    device_side          d;
    double               norm;
    rig_new(&r);
    side_new(&s, &l);
    memset(s.w, 0, N * sizeof *s.w);
    for (int i = 0; i < N; ++i)
        s.g[i] = 1;
    device_new(&d, &r, &l, &s, &now);
    assert_ok(asd_stream_upload(r.s, d.g, s.g, N * sizeof *s.g));
    assert_ok(asd_adam_layout_init(&table, r.s, &all, 1, 1));
    assert_ok(asd_adam_update_cuda(&rule, &table, d.step, d.w, d.g, d.m, d.v, NULL, d.norm, r.s));
    to_host(&r, &norm, d.norm, sizeof norm);
    to_host(&r, s.m, d.m, N * sizeof *s.m);
    assert_near(norm, sqrt(N), 1e-9);
    for (int i = 0; i < N; ++i) /* clipped to 10 over all */
        assert_near((double)s.m[i], 0.1 * 10 / sqrt(N), 1e-8);
    asd_adam_layout_clear(&table);
    device_free(&d, &r);
    side_free(&s);
    rig_free(&r);
}

static void test_no_chunks(void **state)
{
    (void)state;
    rig                  r;
    asd_adam_layout      table;
    const asd_adam_slice none = {0, 0};
    rig_new(&r);
    assert_fails(asd_adam_layout_init(&table, r.s, &none, 1, 3), ASD_E_SHAPE,
                 "adam: 0 chunks of 3 networks");
    asd_adam_layout_clear(&table);
    rig_free(&r);
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("adam/device/like-cpu", test_like_cpu),
    ASD_CASE("adam/device/replay", test_replay),
    ASD_CASE("adam/device/not-finite", test_not_finite),
    ASD_CASE("adam/device/many-chunks", test_many_chunks),
    ASD_CASE("adam/device/nothing-to-update", test_no_chunks),
    ASD_CASE("feed/device/rows-and-records", test_feed),
};

ASD_TEST_MAIN(cases)
