/* test_plan.c - whole networks through the planner, against the same tape run in double precision
 * without a planner (ref/ref_tape.h): gradients by finite differences, memory that is reused, the
 * errors of tape and plan, and equal bits for any number of threads.
 */
#include "harness.h"
#include "ref/nets.h"
#include "ref/ref_tape.h"

#include "base/par.h"
#include "base/rng.h"
#include "models/ae_plan.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const asd_batchnorm_attr norm = {.eps = 1e-3f, .momentum = 0.01f};

/* A tape with its store and plan, and inputs to fill. */
typedef struct rig {
    asd_params params;
    asd_tape   tape;
    asd_plan  *plan;
    asd_rng    rng;
    int        training;
} rig;

static void rig_new(rig *r, int training, uint64_t seed)
{
    memset(r, 0, sizeof *r);
    asd_params_init(&r->params);
    asd_tape_init(&r->tape, &r->params, training);
    asd_rng_init(&r->rng, seed, ASD_RNG_TEST, asd_rng_hash("plan"), 0);
    r->training = training;
}

static void rig_free(rig *r)
{
    asd_plan_free(r->plan);
    asd_tape_clear(&r->tape);
    asd_params_clear(&r->params);
}

static void rig_weights(rig *r)
{
    asd_ref_random_weights(&r->params, &r->rng, r->training);
}

static void rig_plan(rig *r, asd_val loss, const asd_val *outputs, int n)
{
    assert_ok(asd_plan_build(&r->tape, loss, outputs, n, NULL, &r->plan));
}

static void rig_step(rig *r)
{
    if (r->params.g)
        memset(r->params.g, 0, (size_t)r->params.n_trainable * sizeof(float));
    assert_ok(asd_plan_forward(r->plan));
    assert_ok(asd_plan_backward(r->plan));
}

static double largest(const float *g, int64_t n)
{
    double m = 0;
    for (int64_t i = 0; i < n; ++i)
        m = fmax(m, fabs((double)g[i]));
    return m;
}

/* Every trainable number and every input that asked for a gradient, element by element. The limit:
 * rounding of fp32 through the network, measured at 2e-6 of the largest gradient on these networks,
 * times ten; the central difference itself is good to 1e-9. */
static void check_gradients(rig *r, asd_val loss)
{
    asd_ref_tape ref;
    float        planned = *(const float *)asd_plan_data(r->plan, loss);
    double       scale   = largest(r->params.g, r->params.n_trainable);
    asd_ref_tape_new(&ref, &r->tape);
    for (int v = 0; v < r->tape.n_values; ++v)
        if (asd_plan_data(r->plan, v) && r->tape.value[v].node < 0 && r->tape.value[v].param < 0)
            asd_ref_tape_input(&ref, v, asd_plan_data(r->plan, v));
    double exact = asd_ref_tape_run(&ref, loss);
    assert_near(planned, exact, 1e-5 * (1 + fabs(exact)));
    for (int v = 0; v < r->tape.n_values; ++v) {
        const asd_value *tv = &r->tape.value[v];
        const float     *g  = tv->want_grad ? asd_plan_grad(r->plan, v) : NULL;
        if (tv->param >= 0 && r->params.param[tv->param].trainable)
            g = r->params.g + r->params.param[tv->param].offset;
        for (int64_t i = 0; g && i < asd_count(tv->spec.shape); ++i) {
            double want = asd_ref_tape_slope(&ref, loss, v, i);
            if (!(fabs((double)g[i] - want) <= 2e-5 * (scale + fabs(want))))
                fail_msg("gradient of %s[%ld]: %.9g, central difference %.9g (largest %.3g)",
                         tv->param >= 0 ? r->params.param[tv->param].name : tv->name, (long)i,
                         (double)g[i], want, scale);
        }
    }
    asd_ref_tape_free(&ref);
}

/* The official network's form at a size where every derivative can be taken. */
static void small_config(asd_cfg *cfg)
{
    assert_ok(asd_opts_defaults(asd_cfg_opts, cfg));
    cfg->front_end_n_mels       = 4;
    cfg->front_end_stack_frames = 3;
    cfg->model_hidden           = 7;
    cfg->model_depth            = 2;
    cfg->model_code             = 3;
}

static void test_autoencoder_gradient(void **state)
{
    (void)state;
    asd_cfg cfg;
    rig     r;
    small_config(&cfg);
    rig_new(&r, 1, 1);
    asd_val frames = asd_tape_input(&r.tape, "frames", ASD_F32, ASD_SHAPE2(29, 4));
    asd_val index  = asd_tape_input(&r.tape, "index", ASD_I32, ASD_SHAPE1(13));
    asd_val x      = asd_frame_stack(&r.tape, frames, index, 3);
    asd_val loss   = asd_mse(&r.tape, asd_autoencoder(&r.tape, x, &cfg), x);
    rig_weights(&r);
    rig_plan(&r, loss, NULL, 0);
    asd_ref_fill(&r.rng, asd_plan_data(r.plan, frames), 29 * 4);
    for (int i = 0; i < 13; ++i)
        ((int32_t *)asd_plan_data(r.plan, index))[i] = (int32_t)asd_rng_below(&r.rng, 27);
    rig_step(&r);
    check_gradients(&r, loss);
    asd_opts_clear(asd_cfg_opts, &cfg);
    rig_free(&r);
}

/* h is read by two ops: one backward stores its gradient, the other adds. So with the weights of
 * a layer that is used twice. */
static void test_used_often(void **state)
{
    (void)state;
    rig r;
    rig_new(&r, 1, 2);
    asd_val x = asd_tape_input(&r.tape, "x", ASD_F32, ASD_SHAPE2(11, 5));
    asd_tape_want_grad(&r.tape, x);
    asd_val h    = asd_linear(&r.tape, x, "first", 5);
    asd_val y    = asd_batchnorm(&r.tape, h, "norm", norm);
    asd_val z    = asd_linear(&r.tape, asd_relu(&r.tape, y), "first", 5); /* the same layer again */
    asd_val loss = asd_mse(&r.tape, asd_linear(&r.tape, z, "second", 5), h);
    rig_weights(&r);
    rig_plan(&r, loss, NULL, 0);
    asd_ref_fill(&r.rng, asd_plan_data(r.plan, x), 55);
    rig_step(&r);
    check_gradients(&r, loss);
    rig_free(&r);
}

/* Both inputs of one op are the same value: the two halves of its gradient cancel exactly. */
static void test_same_input_twice(void **state)
{
    (void)state;
    rig r;
    rig_new(&r, 1, 3);
    asd_val x    = asd_tape_input(&r.tape, "x", ASD_F32, ASD_SHAPE2(3, 4));
    asd_val h    = asd_linear(&r.tape, x, "layer", 6);
    asd_val loss = asd_mse(&r.tape, h, h);
    rig_weights(&r);
    rig_plan(&r, loss, NULL, 0);
    asd_ref_fill(&r.rng, asd_plan_data(r.plan, x), 12);
    memset(r.params.g, 0, (size_t)r.params.n_trainable * sizeof(float));
    rig_step(&r);
    assert_true(*(float *)asd_plan_data(r.plan, loss) == 0);
    assert_true(largest(r.params.g, r.params.n_trainable) == 0);
    rig_free(&r);
}

/* Views of an input, of a parameter and of what an op made, each used beside its base, and both
 * halves of a sum from one memory: one gradient, stored once and added to by all others. */
static void test_views(void **state)
{
    (void)state;
    rig r;
    rig_new(&r, 1, 12);
    asd_tape *t = &r.tape;
    asd_val   x = asd_tape_input(t, "x", ASD_F32, ASD_SHAPE3(2, 3, 4));
    asd_tape_want_grad(t, x);
    asd_val h     = asd_linear(t, asd_tape_view(t, x, ASD_SHAPE2(6, 4)), "first", 4);
    asd_val w     = asd_tape_param(t, "w", ASD_SHAPE2(3, 4), ASD_INIT_ONE, 0);
    asd_val in[2] = {asd_tape_view(t, h, ASD_SHAPE2(2, 12)), asd_tape_view(t, w, ASD_SHAPE1(12))};
    asd_val y     = asd_gelu(t, asd_tape_op(t, &asd_op_bias, NULL, 0, in, 2));
    asd_val z     = asd_tape_view(t, asd_tape_view(t, y, ASD_SHAPE1(24)), ASD_SHAPE2(6, 4));
    z             = asd_linear(t, asd_add(t, asd_layernorm(t, z, "norm", 1e-5f), h), "second", 4);
    asd_val row   = asd_add(t, asd_tape_view(t, z, ASD_SHAPE3(3, 2, 4)),
                            asd_tape_view(t, x, ASD_SHAPE3(3, 2, 4)));
    asd_val twice = asd_add_scaled(t, row, asd_tape_view(t, row, ASD_SHAPE3(3, 2, 4)), 0.25f);
    in[0]         = asd_tape_view(t, twice, ASD_SHAPE2(6, 4));
    asd_val third = asd_tape_view(t, w, ASD_SHAPE2(3, 4)); /* and as it was */
    asd_val loss  = asd_add(t, asd_mse(t, in[0], asd_tape_view(t, y, ASD_SHAPE2(6, 4))),
                            asd_mse(t, third, asd_tape_input(t, "zero", ASD_F32, ASD_SHAPE2(3, 4))));
    loss          = asd_tape_view(t, loss, ASD_SHAPE2(1, 1));
    rig_weights(&r);
    rig_plan(&r, loss, NULL, 0);
    asd_ref_fill(&r.rng, asd_plan_data(r.plan, x), 24);
    rig_step(&r);
    check_gradients(&r, loss);
    rig_free(&r);
}

/* What is readable of a base is readable of its views, and lent memory is lent to both. */
static void test_view_memory(void **state)
{
    (void)state;
    rig   r;
    float table[2][12];
    rig_new(&r, 0, 13);
    asd_tape *t    = &r.tape;
    asd_val   x    = asd_tape_bound(t, "x", ASD_F32, ASD_SHAPE2(3, 4));
    asd_val   flat = asd_tape_view(t, x, ASD_SHAPE1(12));
    asd_val   y = asd_relu(t, flat), z = asd_relu(t, asd_relu(t, x));
    asd_val   rows = asd_tape_view(t, y, ASD_SHAPE2(4, 3)), out[2] = {rows, z};
    rig_weights(&r);
    rig_plan(&r, ASD_NO_VAL, out, 2);
    assert_true(asd_plan_bytes(r.plan) <= 3 * 64); /* y, z and what z is made of; no copies */
    assert_ptr_equal(asd_plan_data(r.plan, rows), asd_plan_data(r.plan, y));
    assert_non_null(asd_plan_data(r.plan, y));
    for (int k = 0; k < 2; ++k) {
        float got[12];
        asd_ref_fill(&r.rng, table[k], 12);
        asd_plan_bind(r.plan, k ? flat : x, table[k]);
        assert_ptr_equal(asd_plan_data(r.plan, x), table[k]);
        assert_ptr_equal(asd_plan_data(r.plan, flat), table[k]);
        assert_ok(asd_plan_forward(r.plan));
        assert_ok(asd_plan_read(r.plan, rows, got));
        assert_memory_equal(got, asd_plan_data(r.plan, z), sizeof got);
        for (int i = 0; i < 12; ++i)
            assert_true(got[i] == (table[k][i] > 0 ? table[k][i] : 0));
    }
    rig_free(&r);
}

/* --- random networks --- */

typedef struct result {
    float  loss;
    float *g, *dx, *state;
    size_t bytes, g_bytes, dx_bytes, state_bytes;
} result;

/* Is v read by the op of one of later[]? */
static int feeds(const asd_tape *t, asd_val v, const asd_val *later, int n)
{
    for (int i = 0; i < n; ++i) {
        int node = t->value[later[i]].node;
        for (int k = 0; node >= 0 && k < t->node[node].n.n_in; ++k)
            if (t->node[node].in[k] == v)
                return 1;
    }
    return 0;
}

/* One network by seed, planned with every value the loss needs kept (`keep_all`) or with memory
 * reused. */
static void run_random(uint64_t seed, int keep_all, int check, result *out)
{
    rig     r;
    asd_val x, all[128];
    rig_new(&r, 1, seed);
    int64_t R    = 2 + asd_rng_below(&r.rng, 12);
    asd_val loss = asd_ref_random_net(&r.tape, &r.rng, R, &x);
    int     n    = 0;
    rig_weights(&r);
    for (int v = loss; v >= 0 && keep_all; --v)
        if (v == loss || feeds(&r.tape, v, all, n))
            all[n++] = v;
    rig_plan(&r, loss, all, n);
    int64_t C  = asd_last(asd_tape_shape(&r.tape, x));
    float  *in = asd_plan_data(r.plan, x);
    *out       = (result){.bytes       = asd_plan_bytes(r.plan),
                          .g_bytes     = (size_t)r.params.n_trainable * sizeof(float),
                          .dx_bytes    = (size_t)(R * C) * sizeof(float),
                          .state_bytes = (size_t)r.params.n_state * sizeof(float)};
    out->g     = malloc(out->g_bytes);
    out->dx    = calloc(out->dx_bytes, 1);
    out->state = malloc(out->state_bytes + 1);
    memcpy(out->state, r.params.state, out->state_bytes);
    for (int64_t i = 0; i < R * C; ++i)
        in[i] = NAN; /* a first run leaves NaN wherever it writes; the second must not find any */
    rig_step(&r);
    memcpy(r.params.state, out->state, out->state_bytes);
    asd_ref_fill(&r.rng, in, R * C);
    rig_step(&r);
    if (check)
        check_gradients(&r, loss);
    out->loss = *(float *)asd_plan_data(r.plan, loss);
    memcpy(out->g, r.params.g, out->g_bytes);
    memcpy(out->state, r.params.state, out->state_bytes);
    if (r.tape.value[x].want_grad)
        memcpy(out->dx, asd_plan_grad(r.plan, x), out->dx_bytes);
    rig_free(&r);
}

static void result_free(result *r)
{
    free(r->g);
    free(r->dx);
    free(r->state);
}

/* Reuse of memory may change no bit: buffers whose live ranges overlap share nothing. */
static void test_reuse_changes_nothing(void **state)
{
    (void)state;
    size_t reused = 0, kept = 0;
    for (uint64_t seed = 0; seed < 150; ++seed) {
        result a, b;
        run_random(seed, 0, 0, &a);
        run_random(seed, 1, 0, &b);
        if (memcmp(&a.loss, &b.loss, sizeof a.loss) || memcmp(a.g, b.g, a.g_bytes) ||
            memcmp(a.dx, b.dx, a.dx_bytes) || memcmp(a.state, b.state, a.state_bytes))
            fail_msg("network %lu: reused memory changes its loss or gradients", (long)seed);
        if (!isfinite(a.loss))
            fail_msg("network %lu: loss %g", (long)seed, (double)a.loss);
        reused += a.bytes;
        kept += b.bytes;
        result_free(&a);
        result_free(&b);
    }
    if (!(reused < kept * 9 / 10))
        fail_msg("%zu bytes with reuse, %zu without: the planner shares next to nothing", reused,
                 kept);
}

static void test_random_gradients(void **state)
{
    (void)state;
    for (uint64_t seed = 1000; seed < 1040; ++seed) {
        result a;
        run_random(seed, 0, 1, &a);
        result_free(&a);
    }
}

/* --- what is planned --- */

static int count_lines(const asd_plan *p, const char *what, char **text)
{
    size_t size;
    FILE  *f = open_memstream(text, &size);
    int    n = 0;
    asd_plan_print(p, f);
    fclose(f);
    for (const char *at = *text; (at = strstr(at, what)); ++at)
        ++n;
    return n;
}

static void test_dead_branch(void **state)
{
    (void)state;
    rig    r[2];
    size_t bytes[2];
    char  *text;
    for (int dead = 0; dead < 2; ++dead) {
        rig_new(&r[dead], 1, 4);
        asd_tape *t = &r[dead].tape;
        asd_val   x = asd_tape_input(t, "x", ASD_F32, ASD_SHAPE2(8, 16)), branch = ASD_NO_VAL;
        asd_val   h = asd_linear(t, x, "layer", 16);
        if (dead) {
            branch = asd_linear(t, asd_relu(t, asd_linear(t, h, "dead1", 512)), "dead2", 3);
            asd_mse(t, branch, branch);
        }
        asd_val loss = asd_mse(t, asd_relu(t, h), x);
        rig_weights(&r[dead]);
        rig_plan(&r[dead], loss, NULL, 0);
        asd_ref_fill(&r[dead].rng, asd_plan_data(r[dead].plan, x), 128);
        for (int64_t i = 0; i < r[dead].params.n_trainable; ++i)
            r[dead].params.g[i] = 0;
        rig_step(&r[dead]);
        bytes[dead] = asd_plan_bytes(r[dead].plan);
        assert_int_equal(count_lines(r[dead].plan, " linear ", &text), 1);
        free(text);
        if (dead) {
            int k = asd_params_find(&r[dead].params, "dead1.weight");
            assert_true(largest(r[dead].params.g + r[dead].params.param[k].offset, 512 * 16) == 0);
            assert_null(asd_plan_data(r[dead].plan, branch));
            assert_null(asd_plan_data(r[dead].plan, h)); /* alive, but its memory is reused */
            assert_null(asd_plan_grad(r[dead].plan, h));
            assert_null(asd_plan_grad(r[dead].plan, x)); /* never asked for */
        }
    }
    assert_int_equal(bytes[0], bytes[1]);
    rig_free(&r[0]);
    rig_free(&r[1]);
}

/* A value of a plan that is both input and output, read by no op, keeps its memory. */
static void test_input_as_output(void **state)
{
    (void)state;
    rig r;
    rig_new(&r, 0, 5);
    asd_val x      = asd_tape_input(&r.tape, "x", ASD_F32, ASD_SHAPE2(4, 4));
    asd_val idle   = asd_tape_input(&r.tape, "idle", ASD_F32, ASD_SHAPE2(4, 4));
    asd_val y      = asd_relu(&r.tape, asd_linear(&r.tape, x, "layer", 4));
    asd_val out[2] = {idle, asd_relu(&r.tape, asd_linear(&r.tape, y, "more", 4))};
    rig_weights(&r);
    rig_plan(&r, ASD_NO_VAL, out, 2);
    float *data = asd_plan_data(r.plan, idle);
    asd_ref_fill(&r.rng, asd_plan_data(r.plan, x), 16);
    for (int i = 0; i < 16; ++i)
        data[i] = (float)i;
    assert_ok(asd_plan_forward(r.plan));
    for (int i = 0; i < 16; ++i)
        assert_true(data[i] == (float)i);
    rig_free(&r);
}

static void test_bound(void **state)
{
    (void)state;
    rig   r;
    float table[2][7 * 3], got[2][4 * 6];
    rig_new(&r, 0, 6);
    asd_val frames = asd_tape_bound(&r.tape, "frames", ASD_F32, ASD_SHAPE2(7, 3));
    asd_val index  = asd_tape_input(&r.tape, "index", ASD_I32, ASD_SHAPE1(4));
    asd_val y      = asd_frame_stack(&r.tape, frames, index, 2);
    rig_weights(&r);
    rig_plan(&r, ASD_NO_VAL, &y, 1);
    assert_true(asd_plan_bytes(r.plan) < sizeof table[0] + 4 * 6 * 4 + 64); /* no copy of frames */
    for (int i = 0; i < 4; ++i)
        ((int32_t *)asd_plan_data(r.plan, index))[i] = 5 - i;
    for (int k = 0; k < 2; ++k) {
        asd_ref_fill(&r.rng, table[k], 21);
        asd_plan_bind(r.plan, frames, table[k]);
        assert_ptr_equal(asd_plan_data(r.plan, frames), table[k]);
        assert_ok(asd_plan_forward(r.plan));
        memcpy(got[k], asd_plan_data(r.plan, y), sizeof got[k]);
        for (int i = 0; i < 4; ++i)
            assert_memory_equal(got[k] + 6 * i, table[k] + 3 * (5 - i), 6 * sizeof(float));
    }
    table[1][15] += 1; /* the caller's memory itself, not what it held when it was lent */
    assert_ok(asd_plan_forward(r.plan));
    assert_true(((float *)asd_plan_data(r.plan, y))[0] == got[1][0] + 1);
    rig_free(&r);
}

static void test_memory_of_official(void **state)
{
    (void)state;
    asd_cfg     cfg;
    asd_params  params;
    asd_ae_plan train, infer;
    assert_ok(asd_opts_defaults(asd_cfg_opts, &cfg));
    asd_params_init(&params);
    assert_ok(asd_ae_declare(&params, &cfg));
    assert_ok(asd_params_alloc(&params, 1));
    assert_ok(asd_ae_plan_make(&params, &cfg, 1000, 256, 1, &train));
    assert_ok(asd_ae_plan_make(&params, &cfg, 1000, 256, 0, &infer));
    /* training keeps every layer's x (9 normalised and 9 rectified of 128 or 8 columns, 256 rows),
     * the input, the output and one gradient; inference keeps x, y and two layers */
    size_t row   = 256 * sizeof(float);
    size_t layer = row * 128, vectors = row * 640;
    print_message("plan of a step: %zu bytes; inference: %zu\n", asd_plan_bytes(train.plan),
                  asd_plan_bytes(infer.plan));
    assert_true(asd_plan_bytes(infer.plan) <= 2 * vectors + 2 * layer + 8192);
    assert_true(asd_plan_bytes(train.plan) <= 3 * vectors + 18 * layer);
    assert_true(asd_plan_bytes(infer.plan) < asd_plan_bytes(train.plan));
    asd_ae_plan_clear(&train);
    asd_ae_plan_clear(&infer);
    asd_params_clear(&params);
    asd_opts_clear(asd_cfg_opts, &cfg);
}

/* --- bits --- */

/* One step of the official network: hash of loss, gradients and running statistics. */
static void official_step(int threads, int rounds, float *loss, float *g, float *running)
{
    enum { R = 400, B = 256 };
    asd_cfg     cfg;
    asd_params  params;
    asd_ae_plan p;
    asd_rng     rng;
    int32_t     index[B];
    float      *frames = malloc(sizeof *frames * R * 128);
    int         before = asd_par_threads();
    assert_ok(asd_opts_defaults(asd_cfg_opts, &cfg));
    asd_rng_init(&rng, 9, ASD_RNG_TEST, 0, 0);
    asd_ref_fill(&rng, frames, R * 128);
    for (int i = 0; i < B; ++i)
        index[i] = (int32_t)asd_rng_below(&rng, R - 4);
    asd_params_init(&params);
    assert_ok(asd_ae_declare(&params, &cfg));
    assert_ok(asd_params_alloc(&params, 1));
    asd_params_reset(&params, 13711, 1);
    assert_ok(asd_ae_plan_make(&params, &cfg, R, B, 1, &p));
    asd_par_set_threads(threads);
    for (int k = 0; k < rounds; ++k) {
        asd_params_reset(&params, 13711, 1);
        memset(params.g, 0, (size_t)params.n_trainable * sizeof(float));
        assert_ok(asd_ae_forward(&p, frames, index));
        assert_ok(asd_plan_backward(p.plan));
    }
    asd_par_set_threads(before);
    *loss = asd_ae_loss(&p);
    memcpy(g, params.g, (size_t)params.n_trainable * sizeof(float));
    memcpy(running, params.state, (size_t)params.n_state * sizeof(float));
    asd_ae_plan_clear(&p);
    asd_params_clear(&params);
    asd_opts_clear(asd_cfg_opts, &cfg);
    free(frames);
}

static void test_same_bits(void **state)
{
    (void)state;
    enum { ROOM = 300000 };
    float *g = malloc(sizeof *g * ROOM), *g1 = malloc(sizeof *g1 * ROOM), s[8192] = {0},
          s1[8192] = {0}, loss, loss1;
    memset(g, 0, sizeof *g * ROOM);
    memset(g1, 0, sizeof *g1 * ROOM);
    official_step(1, 1, &loss, g, s);
    assert_true(isfinite(loss) && largest(g, ROOM) > 0);
    for (int threads = 1; threads <= 4; ++threads) {
        official_step(threads, 3, &loss1, g1, s1);
        assert_memory_equal(&loss, &loss1, sizeof loss);
        assert_memory_equal(g, g1, sizeof *g * ROOM);
        assert_memory_equal(s, s1, sizeof s);
    }
    free(g);
    free(g1);
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("plan/gradient/autoencoder", test_autoencoder_gradient),
    ASD_CASE("plan/gradient/used-often", test_used_often),
    ASD_CASE("plan/gradient/same-input-twice", test_same_input_twice),
    ASD_CASE("plan/gradient/views", test_views),
    ASD_CASE("plan/gradient/random-networks", test_random_gradients),
    ASD_CASE("plan/memory/reuse-changes-nothing", test_reuse_changes_nothing),
    ASD_CASE("plan/memory/official-network", test_memory_of_official),
    ASD_CASE("plan/memory/input-as-output", test_input_as_output),
    ASD_CASE("plan/memory/views", test_view_memory),
    ASD_CASE("plan/dead-branch/dropped", test_dead_branch),
    ASD_CASE("plan/bound/lent-memory", test_bound),
    ASD_CASE("plan/bits/threads-and-rounds", test_same_bits),
};

ASD_TEST_MAIN(cases)
