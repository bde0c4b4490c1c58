/* test_plan_cuda.c - plans on CUDA against the same tapes on the CPU: results, memory that is
 * reused, whole steps captured and launched again, and what is refused. Without a device every case
 * skips; the build for the CPU's shim (test_plan_cuda_simt) always has one.
 */
#include "harness.h"
#include "ref/nets.h"

#include "base/device.h"
#include "kernels/adam.h"
#include "nn/plan.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const asd_batchnorm_attr norm = {.eps = 1e-3f, .momentum = 0.01f};

/* One tape and store, a plan on each backend. */
typedef struct rig {
    asd_gpu    *gpu;
    asd_stream *stream;
    asd_params  params;
    asd_tape    tape;
    asd_plan   *cpu, *cuda;
    asd_rng     rng;
    int         training;
} rig;

#define need_device()                                                                              \
    do {                                                                                           \
        const char *why_;                                                                          \
        if (!asd_cuda_count(&why_))                                                                \
            skip();                                                                                \
    } while (0)

static void rig_new(rig *r, int training, uint64_t seed)
{
    memset(r, 0, sizeof *r);
    assert_ok(asd_gpu_open(0, &r->gpu));
    assert_ok(asd_stream_new(r->gpu, &r->stream));
    asd_params_init(&r->params);
    asd_tape_init(&r->tape, &r->params, training);
    asd_rng_init(&r->rng, seed, ASD_RNG_TEST, asd_rng_hash("plan_cuda"), 0);
    r->training = training;
}

static void rig_free(rig *r)
{
    asd_plan_free(r->cpu);
    asd_plan_free(r->cuda);
    asd_tape_clear(&r->tape);
    asd_params_clear(&r->params);
    asd_stream_free(r->stream);
    asd_gpu_close(r->gpu);
}

static void rig_weights(rig *r)
{
    asd_ref_random_weights(&r->params, &r->rng, r->training);
    assert_ok(asd_params_to_gpu(&r->params, r->stream));
}

static void rig_plans(rig *r, asd_val loss, const asd_val *outputs, int n)
{
    assert_ok(asd_plan_build(&r->tape, loss, outputs, n, NULL, &r->cpu));
    assert_ok(asd_plan_build(&r->tape, loss, outputs, n, r->stream, &r->cuda));
}

static void write_both(rig *r, asd_val v, const void *data)
{
    assert_ok(asd_plan_write(r->cpu, v, data));
    assert_ok(asd_plan_write(r->cuda, v, data));
    assert_ok(asd_stream_wait(r->stream));
}

static void write_random(rig *r, asd_val v)
{
    int64_t n = asd_count(asd_tape_shape(&r->tape, v));
    float  *x = malloc((size_t)n * sizeof *x);
    asd_ref_fill(&r->rng, x, n);
    write_both(r, v, x);
    free(x);
}

static asd_status step_once(rig *r, asd_plan *p)
{
    ASD_TRY(asd_params_zero_grad(&r->params, p == r->cpu ? NULL : r->stream));
    ASD_TRY(asd_plan_forward(p));
    return r->training ? asd_plan_backward(p) : ASD_OK;
}

/* Rounding of two orders of summing in fp32 through the network; the CPU's own error against double
 * is 2e-6 of the largest element (test_plan.c). */
static void check_close(const char *what, const float *cpu, const float *cuda, int64_t n)
{
    double scale = 0;
    for (int64_t i = 0; i < n; ++i)
        scale = fmax(scale, fabs((double)cpu[i]));
    for (int64_t i = 0; i < n; ++i)
        if (!(fabs((double)cpu[i] - (double)cuda[i]) <= 2e-5 * scale + 1e-7))
            fail_msg("%s[%ld]: %.9g on CUDA, %.9g on the CPU (largest %.3g)", what, (long)i,
                     (double)cuda[i], (double)cpu[i], scale);
}

static float *copy_of(const float *x, int64_t n)
{
    float *y = malloc((size_t)n * sizeof *y + 1);
    memcpy(y, x, (size_t)n * sizeof *y);
    return y;
}

/* A step on both backends from the same weights and running statistics: loss, gradients of
 * parameters and of the input, statistics. */
static void compare_step(rig *r, asd_val loss, asd_val x)
{
    asd_params *p = &r->params;
    int64_t     G = asd_count(asd_tape_shape(&r->tape, loss)), n = p->n_trainable;
    float      *state = copy_of(p->state, p->n_state), losses[2][8], *dx[2] = {NULL, NULL};
    assert_true(G <= 8);
    assert_ok(asd_params_to_gpu(p, r->stream));
    assert_ok(step_once(r, r->cpu));
    assert_ok(step_once(r, r->cuda));
    assert_ok(asd_plan_read(r->cpu, loss, losses[0]));
    assert_ok(asd_plan_read(r->cuda, loss, losses[1]));
    check_close("loss", losses[0], losses[1], G);
    if (r->tape.value[x].want_grad) {
        int64_t m = asd_count(asd_tape_shape(&r->tape, x));
        for (int k = 0; k < 2; ++k) {
            dx[k] = malloc((size_t)m * sizeof *dx[k]);
            assert_ok(asd_plan_read_grad(k ? r->cuda : r->cpu, x, dx[k]));
        }
        check_close("dx", dx[0], dx[1], m);
    }
    float *w = copy_of(p->w, n), *g = copy_of(p->g, n), *s = copy_of(p->state, p->n_state);
    assert_ok(asd_params_from_gpu(p, r->stream));
    check_close("g", g, p->g, n);
    check_close("state", s, p->state, p->n_state);
    assert_memory_equal(w, p->w, (size_t)n * sizeof *w); /* nobody changed it on the way */
    memcpy(p->state, state, (size_t)p->n_state * sizeof *state);
    free(w);
    free(g);
    free(s);
    free(state);
    free(dx[0]);
    free(dx[1]);
}

static void test_random_networks(void **state)
{
    (void)state;
    need_device();
    for (uint64_t seed = 0; seed < 40; ++seed) {
        rig     r;
        asd_val x;
        rig_new(&r, 1, seed);
        int64_t R    = 2 + asd_rng_below(&r.rng, 12);
        asd_val loss = asd_ref_random_net(&r.tape, &r.rng, R, &x);
        rig_weights(&r);
        rig_plans(&r, loss, NULL, 0);
        assert_int_equal(asd_plan_bytes(r.cpu), asd_plan_bytes(r.cuda));
        int64_t n   = asd_count(asd_tape_shape(&r.tape, x));
        float  *nan = malloc((size_t)n * sizeof *nan);
        for (int64_t i = 0; i < n; ++i)
            nan[i] = NAN; /* a first run leaves NaN wherever it writes; the second must find none */
        assert_ok(asd_plan_write(r.cuda, x, nan));
        assert_ok(step_once(&r, r.cuda));
        assert_ok(asd_stream_wait(r.stream));
        free(nan);
        write_random(&r, x);
        compare_step(&r, loss, x);
        rig_free(&r);
    }
}

static void test_grouped(void **state)
{
    (void)state;
    need_device();
    rig r;
    rig_new(&r, 1, 7);
    asd_val x = asd_tape_input(&r.tape, "x", ASD_F32, ASD_SHAPE3(3, 11, 20));
    asd_tape_want_grad(&r.tape, x);
    asd_val h    = asd_linear_grouped(&r.tape, x, "a", 13);
    asd_val y    = asd_relu(&r.tape, asd_batchnorm_grouped(&r.tape, h, "norm", norm));
    asd_val loss = asd_mse_grouped(&r.tape, asd_linear_grouped(&r.tape, y, "b", 20), x);
    rig_weights(&r);
    rig_plans(&r, loss, NULL, 0);
    write_random(&r, x);
    compare_step(&r, loss, x);
    rig_free(&r);
}

/* Device memory lent to the plan: no copy, and a change is seen. */
static void test_bound(void **state)
{
    (void)state;
    need_device();
    rig     r;
    float   table[2][7 * 3], got[4 * 6], *device;
    int32_t start[4] = {5, 0, 3, 1};
    rig_new(&r, 0, 8);
    asd_val frames = asd_tape_bound(&r.tape, "frames", ASD_F32, ASD_SHAPE2(7, 3));
    asd_val index  = asd_tape_input(&r.tape, "index", ASD_I32, ASD_SHAPE1(4));
    asd_val y      = asd_frame_stack(&r.tape, frames, index, 2);
    rig_weights(&r);
    assert_ok(asd_plan_build(&r.tape, ASD_NO_VAL, &y, 1, r.stream, &r.cuda));
    assert_ok(asd_gpu_alloc(r.gpu, sizeof table, "table", "", (void **)&device));
    assert_ok(asd_plan_write(r.cuda, index, start));
    for (int k = 0; k < 2; ++k) {
        asd_ref_fill(&r.rng, table[k], 21);
        assert_ok(asd_stream_upload(r.stream, device + 21 * k, table[k], sizeof table[k]));
        asd_plan_bind(r.cuda, frames, device + 21 * k);
        assert_ok(asd_plan_forward(r.cuda));
        assert_ok(asd_plan_read(r.cuda, y, got));
        for (int i = 0; i < 4; ++i)
            assert_memory_equal(got + 6 * i, table[k] + 3 * start[i], 6 * sizeof(float));
    }
    assert_ok(asd_plan_build(&r.tape, ASD_NO_VAL, &y, 1, NULL, &r.cpu));
    asd_gpu_free(r.gpu, device);
    rig_free(&r);
}

/* --- captured steps --- */

enum { STEPS = 6 };

typedef struct trainer {
    rig             r;
    asd_val         x, loss;
    asd_adam_layout layout;
    double         *norm; /* device */
    float          *batch;
    int64_t         batch_size;
} trainer;

static void trainer_new(trainer *t)
{
    asd_adam_slice all = {0, 0};
    rig_new(&t->r, 1, 21);
    t->loss       = asd_ref_random_net(&t->r.tape, &t->r.rng, 9, &t->x);
    t->batch_size = asd_count(asd_tape_shape(&t->r.tape, t->x));
    rig_weights(&t->r);
    assert_ok(asd_plan_build(&t->r.tape, t->loss, NULL, 0, t->r.stream, &t->r.cuda));
    all.n = t->r.params.n_trainable;
    assert_ok(asd_adam_layout_init(&t->layout, t->r.stream, &all, 1, 1));
    assert_ok(asd_gpu_alloc(t->r.gpu, sizeof *t->norm, "norm", "", (void **)&t->norm));
    t->batch = malloc((size_t)(STEPS * t->batch_size) * sizeof *t->batch);
    asd_ref_fill(&t->r.rng, t->batch, STEPS * t->batch_size);
}

static void trainer_free(trainer *t)
{
    asd_adam_layout_clear(&t->layout);
    asd_gpu_free(t->r.gpu, t->norm);
    free(t->batch);
    rig_free(&t->r);
}

static asd_status whole_step(void *ctx)
{
    trainer                 *t    = ctx;
    const asd_params_on_gpu *p    = &t->r.params.on_gpu;
    asd_adam                 adam = {.beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .clip_norm = 1};
    ASD_TRY(step_once(&t->r, t->r.cuda));
    return asd_adam_update_cuda(&adam, &t->layout, asd_plan_step_seen(t->r.cuda), p->w, p->g, p->m,
                                p->v, NULL, t->norm, t->r.stream);
}

static void set_step(trainer *t, int i)
{
    *asd_plan_step(t->r.cuda) = (asd_step){.step = i, .lr = 1e-2f / (float)(1 + i)};
    assert_ok(asd_plan_write(t->r.cuda, t->x, t->batch + i * t->batch_size));
}

/* Learning rate and step count change at every step, so a graph that kept its first ones would show
 * it. captured_from: steps from there on are launches of a graph; STEPS: none. */
static void train(int captured_from, float **w, int64_t *n, float *loss)
{
    trainer    t;
    asd_graph *graph = NULL;
    trainer_new(&t);
    for (int i = 0; i < STEPS; ++i) {
        set_step(&t, i);
        if (i < captured_from) {
            assert_ok(whole_step(&t));
            continue;
        }
        assert_ok(asd_plan_send_step(t.r.cuda));
        if (!graph) {
            assert_ok(asd_capture(t.r.stream, whole_step, &t, &graph));
            assert_true(asd_graph_nodes(graph) > 10);
            assert_int_equal(asd_stream_capturing(t.r.stream), 0);
        }
        assert_ok(asd_graph_launch(graph, t.r.stream));
    }
    assert_ok(asd_plan_read(t.r.cuda, t.loss, loss));
    assert_ok(asd_params_from_gpu(&t.r.params, t.r.stream));
    *n = t.r.params.n_trainable;
    *w = copy_of(t.r.params.w, *n);
    asd_graph_free(graph);
    trainer_free(&t);
}

static void test_replay(void **state)
{
    (void)state;
    need_device();
    float  *eager, *replayed, *half, loss[3];
    int64_t n;
    train(STEPS, &eager, &n, &loss[0]);
    train(1, &replayed, &n, &loss[1]);
    train(STEPS / 2, &half, &n, &loss[2]);
    assert_true(isfinite(loss[0]));
    assert_memory_equal(eager, replayed, (size_t)n * sizeof *eager);
    assert_memory_equal(eager, half, (size_t)n * sizeof *eager);
    assert_memory_equal(&loss[0], &loss[1], sizeof *loss);
    assert_memory_equal(&loss[0], &loss[2], sizeof *loss);
    free(eager);
    free(replayed);
    free(half);
}

/* The values of the step would be frozen into the graph: said, and the stream is whole again. */
static void test_step_changed_in_capture(void **state)
{
    (void)state;
    need_device();
    trainer    t;
    asd_graph *graph = NULL;
    trainer_new(&t);
    set_step(&t, 3);
    assert_ok(asd_stream_wait(t.r.stream));
    assert_fails(asd_capture(t.r.stream, whole_step, &t, &graph), ASD_E_DEVICE,
                 "were not sent before the capture");
    assert_null(graph);
    assert_int_equal(asd_stream_capturing(t.r.stream), 0);
    assert_ok(whole_step(&t));
    assert_ok(asd_stream_wait(t.r.stream));
    trainer_free(&t);
}

/* More steps ahead of the device than there are places for the values on their way. */
static void test_many_steps_ahead(void **state)
{
    (void)state;
    need_device();
    trainer  t;
    asd_step seen;
    trainer_new(&t);
    for (int i = 0; i < 23; ++i) {
        *asd_plan_step(t.r.cuda) = (asd_step){.step = i, .seed = 77, .lr = (float)i};
        assert_ok(asd_plan_send_step(t.r.cuda));
        assert_ok(
            asd_stream_download(t.r.stream, &seen, asd_plan_step_seen(t.r.cuda), sizeof seen));
        assert_ok(asd_stream_wait(t.r.stream));
        assert_true(seen.step == i && seen.seed == 77 && seen.lr == (float)i);
    }
    trainer_free(&t);
}

/* --- bf16 --- */

static uint16_t bf16_of(float x) /* exact ones only */
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    assert_true((bits & 0xffff) == 0);
    return (uint16_t)(bits >> 16);
}

static float f32_of(uint16_t x)
{
    uint32_t bits = (uint32_t)x << 16;
    float    y;
    memcpy(&y, &bits, sizeof y);
    return y;
}

/* Weights rounded to bf16 beside the fp32 ones, activations and their gradients in bf16, gradients
 * of parameters in fp32. Small whole numbers are exact in all of them, so the results are too. */
static void test_bf16(void **state)
{
    (void)state;
    need_device();
    enum { R = 3, C = 4, O = 2 };
    rig      r;
    uint16_t x16[R * C], t16[R * O], y16[R * O];
    float    loss;
    rig_new(&r, 1, 31);
    asd_tape *t     = &r.tape;
    asd_val   x     = asd_tape_input(t, "x", ASD_BF16, ASD_SHAPE2(R, C));
    asd_val   to    = asd_tape_input(t, "to", ASD_BF16, ASD_SHAPE2(R, O));
    asd_val   in[3] = {x};
    in[1]           = asd_tape_param_bf16(t, "w", ASD_SHAPE2(O, C), ASD_INIT_FAN_IN, C);
    in[2]           = asd_tape_param(t, "b", ASD_SHAPE1(O), ASD_INIT_ZERO, 0);
    asd_val y       = asd_tape_op(t, &asd_op_linear, NULL, 0, in, 3);
    asd_val l       = asd_mse(t, y, to);
    assert_ok(asd_params_alloc(&r.params, 1));
    float *w = asd_params_value(&r.params, 0), *b = asd_params_value(&r.params, 1);
    for (int i = 0; i < O * C; ++i)
        w[i] = (float)(i % 5 - 2) + 0.001f; /* the fp32 original is not what is multiplied */
    b[0] = 3;
    b[1] = -1;
    assert_fails(asd_plan_build(t, l, &y, 1, r.stream, &r.cuda), ASD_E_SHAPE, "not on the device");
    assert_ok(asd_params_to_gpu(&r.params, r.stream));
    assert_ok(asd_plan_build(t, l, &y, 1, r.stream, &r.cuda));
    for (int i = 0; i < R * C; ++i)
        x16[i] = bf16_of((float)(i % 3 - 1));
    for (int i = 0; i < R * O; ++i)
        t16[i] = bf16_of((float)(i % 4));
    assert_ok(asd_plan_write(r.cuda, x, x16));
    assert_ok(asd_plan_write(r.cuda, to, t16));
    assert_ok(step_once(&r, r.cuda));
    assert_ok(asd_plan_read(r.cuda, y, y16));
    assert_ok(asd_plan_read(r.cuda, l, &loss));
    assert_ok(asd_params_from_gpu(&r.params, r.stream));
    double want = 0, dw[O * C] = {0}, db[O] = {0};
    for (int i = 0; i < R; ++i)
        for (int o = 0; o < O; ++o) {
            double sum = (double)b[o];
            for (int k = 0; k < C; ++k)
                sum += (double)f32_of(x16[i * C + k]) * ((o * C + k) % 5 - 2);
            assert_true((double)f32_of(y16[i * O + o]) == sum);
            double d = sum - (double)f32_of(t16[i * O + o]), g;
            want += d * d / (R * O);
            g = (double)f32_of(bf16_of((float)d)) * 2 / (R * O); /* dy is rounded to bf16 */
            db[o] += g;
            for (int k = 0; k < C; ++k)
                dw[o * C + k] += g * (double)f32_of(x16[i * C + k]);
        }
    assert_near((double)loss, want, 1e-6 * want);
    for (int i = 0; i < O * C; ++i)
        assert_near((double)r.params.g[i], dw[i], 0.01 * (1 + fabs(dw[i])));
    for (int o = 0; o < O; ++o)
        assert_near((double)r.params.g[r.params.param[1].offset + o], db[o],
                    0.01 * (1 + fabs(db[o])));
    assert_ok(asd_params_round(&r.params));
    assert_fails(asd_plan_build(t, l, NULL, 0, NULL, &r.cpu), ASD_E_DEVICE,
                 "linear: input 0 is bf16, in which the CPU does not train");
    rig_free(&r);
}

/* --- what is refused, and how it is said --- */

static asd_status fake_infer(asd_node *n)
{
    n->y = n->in[0];
    return ASD_OK;
}

static asd_status fake_kernel(const asd_call *c)
{
    (void)c;
    return ASD_OK;
}

static void test_refused(void **state)
{
    (void)state;
    need_device();
    static const asd_op no_cuda = {.name  = "onlycpu",
                                   .n_in  = 1,
                                   .infer = fake_infer,
                                   .fwd   = {fake_kernel, NULL},
                                   .bwd   = {fake_kernel, NULL}};
    static const asd_op no_bwd  = {.name  = "halfcuda",
                                   .n_in  = 1,
                                   .infer = fake_infer,
                                   .fwd   = {fake_kernel, fake_kernel},
                                   .bwd   = {fake_kernel, NULL}};
    const asd_op *const ops[2]  = {&no_cuda, &no_bwd};
    const char *const   told[2] = {"onlycpu has no CUDA kernel", "halfcuda has no CUDA backward"};
    for (int k = 0; k < 2; ++k) {
        rig r;
        rig_new(&r, 1, 51);
        asd_val x    = asd_tape_input(&r.tape, "x", ASD_F32, ASD_SHAPE2(3, 5));
        asd_val h    = asd_linear(&r.tape, x, "a", 5);
        asd_val y    = asd_tape_op(&r.tape, ops[k], NULL, 0, &h, 1);
        asd_val loss = asd_mse(&r.tape, y, x);
        rig_weights(&r);
        assert_fails(asd_plan_build(&r.tape, loss, NULL, 0, r.stream, &r.cuda), ASD_E_DEVICE,
                     told[k]);
        assert_null(r.cuda);
        assert_ok(asd_plan_build(&r.tape, loss, NULL, 0, NULL, &r.cpu));
        rig_free(&r);
    }
}

static void test_out_of_memory(void **state)
{
    (void)state;
    need_device();
    rig r;
    rig_new(&r, 0, 52);
    asd_val x = asd_tape_input(&r.tape, "x", ASD_F32, ASD_SHAPE2(1 << 20, 1 << 18)); /* 1 TiB */
    asd_val y = asd_relu(&r.tape, x);
    assert_ok(asd_params_alloc(&r.params, 0));
    assert_fails(asd_plan_build(&r.tape, ASD_NO_VAL, &y, 1, r.stream, &r.cuda), ASD_E_OOM,
                 "train.batch");
    assert_true(asd_test_contains(asd_error_text(), "a network of 1 steps"));
    assert_true(asd_test_contains(asd_error_text(), "free"));
    assert_int_equal(asd_exit_code(ASD_E_OOM), 4);
    rig_free(&r);
}

static void test_check_names_step(void **state)
{
    (void)state;
    need_device();
    rig   r;
    float data[15] = {0};
    rig_new(&r, 1, 53);
    asd_val x    = asd_tape_input(&r.tape, "x", ASD_F32, ASD_SHAPE2(3, 5));
    asd_val h    = asd_linear(&r.tape, x, "a", 4);
    asd_val loss = asd_mse(&r.tape, asd_linear(&r.tape, asd_relu(&r.tape, h), "b", 5), x);
    rig_weights(&r);
    assert_int_equal(setenv("ASD_CHECK", "1", 1), 0);
    assert_ok(asd_plan_build(&r.tape, loss, NULL, 0, r.stream, &r.cuda));
    unsetenv("ASD_CHECK");
    assert_int_equal(asd_plan_checks(r.cuda), 1);
    assert_ok(asd_plan_write(r.cuda, x, data));
    assert_ok(step_once(&r, r.cuda));
    data[5] = NAN;
    assert_ok(asd_plan_write(r.cuda, x, data));
    assert_fails(asd_plan_forward(r.cuda), ASD_E_NUMERIC,
                 "step 0, linear: element 4 of y (3, 4) is nan");
    rig_free(&r);
}

static void test_print(void **state)
{
    (void)state;
    need_device();
    rig    r;
    char  *text;
    size_t size;
    rig_new(&r, 0, 54);
    asd_val x = asd_tape_input(&r.tape, "x", ASD_F32, ASD_SHAPE2(3, 5));
    asd_val y = asd_relu(&r.tape, asd_linear(&r.tape, x, "a", 4));
    rig_weights(&r);
    rig_plans(&r, ASD_NO_VAL, &y, 1);
    for (int k = 0; k < 2; ++k) {
        FILE *f = open_memstream(&text, &size);
        asd_plan_print(k ? r.cuda : r.cpu, f);
        fclose(f);
        assert_true(asd_test_contains(text, k ? "f32   relu_fwd_cuda\n" : "f32   relu_fwd_cpu\n"));
        assert_true(asd_test_contains(text, k ? "bytes on cuda\n" : "bytes on cpu\n"));
        free(text);
    }
    rig_free(&r);
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("plan-cuda/equal/random-networks", test_random_networks),
    ASD_CASE("plan-cuda/equal/grouped", test_grouped),
    ASD_CASE("plan-cuda/bound/device-memory", test_bound),
    ASD_CASE("plan-cuda/capture/replay-equals-eager", test_replay),
    ASD_CASE("plan-cuda/capture/step-changed", test_step_changed_in_capture),
    ASD_CASE("plan-cuda/step/many-ahead", test_many_steps_ahead),
    ASD_CASE("plan-cuda/bf16/exact-numbers", test_bf16),
    ASD_CASE("plan-cuda/errors/no-kernel", test_refused),
    ASD_CASE("plan-cuda/errors/out-of-memory", test_out_of_memory),
    ASD_CASE("plan-cuda/check/names-the-step", test_check_names_step),
    ASD_CASE("plan-cuda/print/kernels", test_print),
};

ASD_TEST_MAIN(cases)
