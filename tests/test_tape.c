/* test_tape.c - what goes wrong on a tape and in a plan is said once and clearly; batch
 * normalisation keeps its promise between training and inference plans; a plan can be printed.
 */
#include "harness.h"
#include "ref/ref_tape.h"

#include "base/rng.h"
#include "kernels/cpu_bf16.h"
#include "nn/plan.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const asd_batchnorm_attr norm = {.eps = 1e-3f, .momentum = 0.01f};

typedef struct rig {
    asd_params params;
    asd_tape   tape;
    asd_plan  *plan;
    asd_rng    rng;
} rig;

static asd_tape *rig_new(rig *r, int training)
{
    memset(r, 0, sizeof *r);
    asd_params_init(&r->params);
    asd_tape_init(&r->tape, &r->params, training);
    asd_rng_init(&r->rng, 1, ASD_RNG_TEST, asd_rng_hash("tape"), 0);
    return &r->tape;
}

static void rig_free(rig *r)
{
    asd_plan_free(r->plan);
    asd_tape_clear(&r->tape);
    asd_params_clear(&r->params);
}

static void rig_alloc(rig *r)
{
    assert_ok(asd_params_alloc(&r->params, r->tape.training));
    asd_params_reset(&r->params, 1, 1);
}

static asd_val input(asd_tape *t, int64_t R, int64_t C)
{
    return asd_tape_input(t, "x", ASD_F32, ASD_SHAPE2(R, C));
}

static void fill(rig *r, asd_val v, int64_t n, double mean)
{
    float *x = asd_plan_data(r->plan, v);
    for (int64_t i = 0; i < n; ++i)
        x[i] = (float)(mean + asd_rng_normal(&r->rng));
}

/* --- errors of recording --- */

/* After the first failure nothing is recorded, and the plan reports that first failure, even when
 * the thread's own text is another one by then. */
static void expect_sticky(rig *r, asd_val failed, const char *text)
{
    asd_tape *t      = &r->tape;
    int       values = t->n_values, nodes = t->n_nodes, params = r->params.n;
    assert_int_equal(failed, ASD_NO_VAL);
    asd_val x = input(t, 3, 4);
    assert_int_equal(x, ASD_NO_VAL);
    assert_int_equal(asd_linear(t, x, "later", 5), ASD_NO_VAL);
    assert_int_equal(asd_batchnorm(t, x, "later", norm), ASD_NO_VAL);
    assert_int_equal(asd_relu(t, failed), ASD_NO_VAL);
    assert_int_equal(asd_mse(t, x, failed), ASD_NO_VAL);
    assert_int_equal(asd_tape_bound(t, "b", ASD_F32, ASD_SHAPE1(-1)), ASD_NO_VAL);
    asd_tape_want_grad(t, x);
    assert_int_equal(t->n_values, values);
    assert_int_equal(t->n_nodes, nodes);
    assert_int_equal(r->params.n, params);
    asd_status st = ASD_FAIL(ASD_E_IO, "something else");
    assert_int_equal(st, ASD_E_IO);
    assert_fails(asd_plan_build(t, ASD_NO_VAL, NULL, 0, NULL, &r->plan), ASD_E_SHAPE, text);
    assert_null(r->plan);
    rig_free(r);
}

static void test_sticky(void **state)
{
    (void)state;
    rig       r;
    asd_tape *t = rig_new(&r, 1);
    asd_val   x = input(t, 3, 4);
    asd_linear(t, x, "a", 5);
    expect_sticky(&r, asd_linear(t, x, "a", 6), "parameter a.weight is (5, 4), the network wants");

    t = rig_new(&r, 1);
    expect_sticky(&r, asd_mse(t, input(t, 3, 4), input(t, 4, 3)), "mse: p (3, 4) and t (4, 3)");

    t = rig_new(&r, 1);
    expect_sticky(&r, asd_frame_stack(t, input(t, 3, 4), input(t, 3, 4), 2),
                  "frame_stack: x (3, 4)");

    t             = rig_new(&r, 1);
    asd_val index = asd_tape_input(t, "i", ASD_I32, ASD_SHAPE1(2));
    expect_sticky(&r, asd_frame_stack(t, input(t, 3, 4), index, 4), "stack 4");

    t = rig_new(&r, 1);
    expect_sticky(&r, input(t, 0, 4), "input x has shape (0, 4)");

    t = rig_new(&r, 1);
    expect_sticky(&r,
                  asd_batchnorm(t, asd_tape_input(t, "x", ASD_F32, ASD_SHAPE3(2, 3, 4)), "n", norm),
                  "batchnorm: input 1 is (4), want (2, 4) to fit x (2, 3, 4)");

    t = rig_new(&r, 1);
    expect_sticky(&r, asd_batchnorm(t, asd_tape_input(t, "x", ASD_F32, ASD_SHAPE1(3)), "n", norm),
                  "batchnorm: x (3), want (R, C) or (G, R, C)");

    /* a leading dimension is a group only when it is asked for, and then there must be one */
    t = rig_new(&r, 1);
    expect_sticky(&r, asd_linear_grouped(t, input(t, 3, 4), "a", 5),
                  "linear: x (3, 4) does not fit w (3, 5, 4)");

    static const asd_mse_attr groups = {2}, negative = {-1};
    t            = rig_new(&r, 1);
    asd_val p[2] = {input(t, 3, 4), 0};
    expect_sticky(&r, asd_tape_op(t, &asd_op_mse, &groups, sizeof groups, p, 2),
                  "mse: p (3, 4) in 2 groups");
    t = rig_new(&r, 1);
    input(t, 3, 4);
    expect_sticky(&r, asd_tape_op(t, &asd_op_mse, &negative, sizeof negative, p, 2),
                  "mse: p (3, 4) in -1 groups");

    /* running statistics and weights of one name */
    t = rig_new(&r, 1);
    asd_tape_param(t, "p", ASD_SHAPE1(3), ASD_INIT_ZERO, 0);
    expect_sticky(&r, asd_tape_state(t, "p", ASD_SHAPE1(3), ASD_INIT_ZERO), "parameter p");

    /* a second network on a store that has its memory already */
    t = rig_new(&r, 1);
    asd_linear(t, input(t, 3, 4), "a", 5);
    rig_alloc(&r);
    expect_sticky(&r, asd_linear(t, input(t, 3, 4), "b", 5),
                  "parameter b.weight is not in the network");
}

/* A view is the same value with another shape: of a view, of an input that is lent, of a parameter.
 */
static void test_view(void **state)
{
    (void)state;
    rig       r;
    asd_tape *t = rig_new(&r, 1);
    asd_val   x = asd_tape_input(t, "x", ASD_F32, ASD_SHAPE3(2, 3, 4));
    asd_val   a = asd_tape_view(t, x, ASD_SHAPE2(6, 4)), b = asd_tape_view(t, a, ASD_SHAPE1(24));
    assert_int_equal(asd_tape_base(t, x), x);
    assert_int_equal(asd_tape_base(t, b), x);
    assert_true(asd_shape_equal(asd_tape_shape(t, b), ASD_SHAPE1(24)));
    assert_true(asd_shape_equal(asd_tape_shape(t, x), ASD_SHAPE3(2, 3, 4)));
    asd_tape_want_grad(t, b);
    assert_true(t->value[x].want_grad && !t->value[b].want_grad);
    asd_val p = asd_tape_param(t, "p", ASD_SHAPE2(2, 12), ASD_INIT_ZERO, 0);
    assert_int_equal(asd_tape_base(t, asd_tape_view(t, p, ASD_SHAPE1(24))), p);
    assert_int_equal(t->n_nodes, 0);
    assert_int_equal(r.params.n, 1);
    asd_val y = asd_relu(t, x);
    expect_sticky(&r, asd_tape_view(t, y, ASD_SHAPE2(5, 5)),
                  "view: x (2, 3, 4) has 24 elements, the shape wanted (5, 5)");

    t = rig_new(&r, 1);
    x = input(t, 3, 4);
    expect_sticky(&r, asd_tape_view(t, x, ASD_SHAPE2(-3, -4)), "view: x (3, 4)");
}

/* --- errors of planning --- */

static void test_bad_loss(void **state)
{
    (void)state;
    rig       r;
    asd_tape *t    = rig_new(&r, 1);
    asd_val   x    = input(t, 3, 4);
    asd_val   y    = asd_linear(t, x, "a", 4);
    asd_val   loss = asd_mse(t, y, x), fixed = asd_mse(t, x, asd_relu(t, x));
    assert_fails(asd_plan_build(t, loss, NULL, 0, NULL, &r.plan), ASD_E_SHAPE,
                 "the parameters have no memory");
    rig_alloc(&r);
    assert_fails(asd_plan_build(t, fixed, NULL, 0, NULL, &r.plan), ASD_E_SHAPE,
                 "the loss depends on no trainable parameter");
    assert_null(r.plan);
    rig_free(&r);

    t    = rig_new(&r, 0);
    x    = input(t, 3, 4);
    loss = asd_mse(t, asd_linear(t, x, "a", 4), x);
    rig_alloc(&r);
    assert_fails(asd_plan_build(t, loss, NULL, 0, NULL, &r.plan), ASD_E_SHAPE, "inference");
    assert_ok(asd_plan_build(t, ASD_NO_VAL, &loss, 1, NULL, &r.plan));
    rig_free(&r);

    t    = rig_new(&r, 1);
    x    = input(t, 3, 4);
    loss = asd_mse(t, asd_linear(t, x, "a", 4), x);
    assert_ok(asd_params_alloc(&r.params, 0));
    assert_fails(asd_plan_build(t, loss, NULL, 0, NULL, &r.plan), ASD_E_SHAPE,
                 "allocated for inference");
    rig_free(&r);
}

/* The loss reaches a weight only through an op without a backward: an error that names the op, not
 * a gradient that is silently zero. */
static void test_not_differentiable(void **state)
{
    (void)state;
    rig       r;
    asd_tape *t     = rig_new(&r, 1);
    asd_val   x     = input(t, 6, 4);
    asd_val   index = asd_tape_input(t, "i", ASD_I32, ASD_SHAPE1(6));
    asd_val   h     = asd_linear(t, x, "a", 4);
    asd_val   loss  = asd_mse(t, h, asd_frame_stack(t, h, index, 1));
    rig_alloc(&r);
    assert_fails(asd_plan_build(t, loss, NULL, 0, NULL, &r.plan), ASD_E_SHAPE,
                 "frame_stack has no backward");
    rig_free(&r);

    static const asd_logmel_attr attr = {16, 4, 3, 1000, 0, 500, 1e-10, 0};
    t                                 = rig_new(&r, 1);
    h                                 = asd_logmel(t, asd_linear(t, input(t, 2, 9), "a", 32), attr);
    loss                              = asd_mse(t, h, asd_relu(t, h));
    rig_alloc(&r);
    assert_fails(asd_plan_build(t, loss, NULL, 0, NULL, &r.plan), ASD_E_SHAPE,
                 "logmel has no backward");
    rig_free(&r);

    /* and without a loss the same tapes run */
    t = rig_new(&r, 0);
    h = asd_logmel(t, asd_linear(t, input(t, 2, 9), "a", 32), attr);
    rig_alloc(&r);
    assert_ok(asd_plan_build(t, ASD_NO_VAL, &h, 1, NULL, &r.plan));
    rig_free(&r);
}

/* --- ASD_CHECK=1 --- */

static void test_check_names_step(void **state)
{
    (void)state;
    rig       r;
    asd_tape *t    = rig_new(&r, 1);
    asd_val   x    = input(t, 3, 4);
    asd_val   h    = asd_linear(t, asd_relu(t, asd_linear(t, x, "a", 4)), "b", 1);
    asd_val   y    = asd_tape_input(t, "y", ASD_F32, ASD_SHAPE2(3, 1));
    asd_val   loss = asd_mse(t, h, y);
    rig_alloc(&r);
    setenv("ASD_CHECK", "1", 1);
    assert_ok(asd_plan_build(t, loss, NULL, 0, NULL, &r.plan));
    unsetenv("ASD_CHECK");
    fill(&r, x, 12, 0);
    fill(&r, y, 3, 0);
    assert_ok(asd_plan_forward(r.plan));
    assert_ok(asd_plan_backward(r.plan));

    ((float *)asd_plan_data(r.plan, x))[5] = NAN;
    assert_fails(asd_plan_forward(r.plan), ASD_E_NUMERIC, "step 0, linear: element 4 of y (3, 4)");
    fill(&r, x, 12, 0);
    float *b = asd_params_value(&r.params, asd_params_find(&r.params, "b.bias"));
    *b       = INFINITY;
    assert_fails(asd_plan_forward(r.plan), ASD_E_NUMERIC, "step 2, linear: element 0 of y (3, 1)");

    /* forward finite, gradient too large for fp32: dy = 2/3 y is 1e18, times a weight of 1e25 */
    *b       = 1e18f;
    float *w = asd_params_value(&r.params, asd_params_find(&r.params, "b.weight"));
    for (int i = 0; i < 12; ++i)
        ((float *)asd_plan_data(r.plan, x))[i] = 0;
    float *a = asd_params_value(&r.params, asd_params_find(&r.params, "a.bias"));
    for (int i = 0; i < 4; ++i) {
        a[i] = 1e-8f;
        w[i] = 1e25f;
    }
    assert_ok(asd_plan_forward(r.plan));
    assert_fails(asd_plan_backward(r.plan), ASD_E_NUMERIC,
                 "step 2, linear: element 0 of a gradient");
    rig_free(&r);
}

/* --- batch normalisation through plans --- */

static void run_batchnorm(rig *r, int training, asd_val *x, asd_val *y)
{
    asd_tape_clear(&r->tape);
    asd_plan_free(r->plan);
    r->plan = NULL;
    asd_tape_init(&r->tape, &r->params, training);
    *x           = input(&r->tape, 50, 3);
    *y           = asd_batchnorm(&r->tape, *x, "n", norm);
    asd_val loss = asd_mse(&r->tape, *y, *x);
    if (!r->params.allocated)
        rig_alloc(r);
    assert_ok(asd_plan_build(&r->tape, training ? loss : ASD_NO_VAL, y, 1, NULL, &r->plan));
}

static void test_batchnorm_modes(void **state)
{
    (void)state;
    enum { R = 50, C = 3 };
    rig     r;
    asd_val x, y;
    float   data[R * C], trained[R * C], before[64];
    rig_new(&r, 1);
    run_batchnorm(&r, 1, &x, &y);
    fill(&r, x, R * C, -60); /* log-mel's level: a one-pass variance would lose its digits */
    memcpy(data, asd_plan_data(r.plan, x), sizeof data);
    const float *mean = asd_params_value(&r.params, asd_params_find(&r.params, "n.running_mean"));
    const float *var  = asd_params_value(&r.params, asd_params_find(&r.params, "n.running_var"));
    double       want_mean[C] = {0}, want_var[C] = {1, 1, 1}, m[C] = {0}, v[C] = {0};
    for (int i = 0; i < R * C; ++i)
        m[i % C] += (double)data[i] / R;
    for (int i = 0; i < R * C; ++i)
        v[i % C] += ((double)data[i] - m[i % C]) * ((double)data[i] - m[i % C]) / (R - 1);
    for (int step = 0; step < 1500; ++step) {
        assert_ok(asd_plan_forward(r.plan));
        for (int c = 0; c < C; ++c) {
            want_mean[c] += 0.01 * (m[c] - want_mean[c]);
            want_var[c] += 0.01 * (v[c] - want_var[c]);
        }
        if (step > 3 && step < 1499)
            continue;
        for (int c = 0; c < C; ++c) {
            /* about 1 / momentum = 100 roundings stand in a running value at a time */
            assert_near(mean[c], want_mean[c], 100 * 0x1p-24 * 60);
            assert_near(var[c], want_var[c], 100 * 0x1p-24 * 3);
        }
    }
    memcpy(trained, asd_plan_data(r.plan, y), sizeof trained);
    memcpy(before, r.params.state, (size_t)r.params.n_state * sizeof(float));

    /* inference: the running values, here the batch's own after many steps (variance unbiased) */
    run_batchnorm(&r, 0, &x, &y);
    memcpy(asd_plan_data(r.plan, x), data, sizeof data);
    assert_ok(asd_plan_forward(r.plan));
    const float *got = asd_plan_data(r.plan, y);
    for (int i = 0; i < R * C; ++i)
        assert_near((double)got[i] * sqrt((double)R / (R - 1)), (double)trained[i], 2e-3);
    assert_memory_equal(before, r.params.state, (size_t)r.params.n_state * sizeof(float));

    /* rows do not see each other: one row alone gives the same bits */
    float all[R * C];
    memcpy(all, got, sizeof all);
    float *in = asd_plan_data(r.plan, x);
    for (int i = C; i < R * C; ++i)
        in[i] = 1e6f;
    assert_ok(asd_plan_forward(r.plan));
    assert_memory_equal(asd_plan_data(r.plan, y), all, C * sizeof(float));
    rig_free(&r);
}

/* A bf16 value goes where the op's row lets it. */
static void test_bf16(void **state)
{
    (void)state;
    rig       r;
    asd_tape *t     = rig_new(&r, 0);
    asd_val   in[3] = {asd_tape_input(t, "x", ASD_F32, ASD_SHAPE2(3, 4))};
    in[1]           = asd_tape_param(t, "w", ASD_SHAPE2(5, 4), ASD_INIT_ONE, 0);
    in[2]           = asd_tape_input(t, "b", ASD_BF16, ASD_SHAPE1(5));
    expect_sticky(&r, asd_tape_op(t, &asd_op_linear, NULL, 0, in, 3), "linear: input 2 is bf16");
    rig_free(&r);
}

/* Activations in bf16 and a weight rounded to it, on the CPU: the sums are fp32. Whole numbers are
 * exact in both, and what is not shows by how it was rounded. For inference alone. */
static void test_bf16_cpu(void **state)
{
    (void)state;
    enum { R = 3, C = 4, O = 2 };
    rig       r;
    asd_tape *t     = rig_new(&r, 1);
    asd_val   x     = asd_tape_input(t, "x", ASD_BF16, ASD_SHAPE2(R, C));
    asd_val   in[3] = {x};
    in[1]           = asd_tape_param_bf16(t, "w", ASD_SHAPE2(O, C), ASD_INIT_ZERO, 0);
    in[2]           = asd_tape_param(t, "b", ASD_SHAPE1(O), ASD_INIT_ZERO, 0);
    asd_val y       = asd_relu(t, asd_tape_op(t, &asd_op_linear, NULL, 0, in, 3));
    asd_val loss    = asd_mse(t, y, asd_tape_input(t, "to", ASD_BF16, ASD_SHAPE2(R, O)));
    rig_alloc(&r);
    assert_fails(asd_plan_build(t, ASD_NO_VAL, &y, 1, NULL, &r.plan), ASD_E_SHAPE,
                 "the parameters have no bf16 copies");
    float *w = asd_params_value(&r.params, 0), *b = asd_params_value(&r.params, 1);
    for (int i = 0; i < O * C; ++i)
        w[i] = (float)(i % 5 - 2) + 0.001f; /* the fp32 original is not what is multiplied */
    b[0] = 100;
    b[1] = 0.25f;
    assert_ok(asd_params_round(&r.params));
    assert_fails(asd_plan_build(t, loss, &y, 1, NULL, &r.plan), ASD_E_DEVICE,
                 "linear: input 0 is bf16, in which the CPU does not train");
    assert_ok(asd_plan_build(t, ASD_NO_VAL, &y, 1, NULL, &r.plan));
    uint16_t x16[R * C], y16[R * O];
    for (int i = 0; i < R * C; ++i)
        x16[i] = asd_bf16_of((float)(64 * (i % 3) - 64));
    assert_ok(asd_plan_write(r.plan, x, x16));
    assert_ok(asd_plan_forward(r.plan));
    assert_ok(asd_plan_read(r.plan, y, y16));
    for (int i = 0; i < R; ++i)
        for (int o = 0; o < O; ++o) {
            float sum = b[o];
            for (int k = 0; k < C; ++k)
                sum += (float)(64 * ((i * C + k) % 3) - 64) * (float)((o * C + k) % 5 - 2);
            assert_int_equal(y16[i * O + o], sum > 0 ? asd_bf16_of(sum) : 0);
        }
    rig_free(&r);
}

/* --- printing --- */

static void test_print(void **state)
{
    (void)state;
    rig       r;
    asd_tape *t    = rig_new(&r, 1);
    asd_val   x    = input(t, 8, 16);
    asd_val   h    = asd_relu(t, asd_linear(t, x, "a", 5));
    asd_val   loss = asd_mse(t, asd_linear(t, h, "b", 16), x);
    char     *text, op[32], shape[32], flags[16];
    size_t    size, bytes;
    int       step, from, to, lines = 0;
    rig_alloc(&r);
    assert_ok(asd_plan_build(t, loss, NULL, 0, NULL, &r.plan));
    FILE *f = open_memstream(&text, &size);
    asd_plan_print(r.plan, f);
    fclose(f);
    static const char *const want[4][3] = {{"linear", "(8, 5)", "-++"},
                                           {"relu", "(8, 5)", "="},
                                           {"linear", "(8, 16)", "=++"},
                                           {"mse", "(1)", "=-"}};
    char                    *line       = strchr(text, '\n') + 1;
    for (; sscanf(line, "%d %31s %31[^)]) %zu [%d, %d] %15s", &step, op, shape, &bytes, &from, &to,
                  flags) == 7;
         line = strchr(line, '\n') + 1) {
        strcat(shape, ")");
        assert_int_equal(step, lines);
        assert_string_equal(op, want[lines][0]);
        assert_string_equal(shape, want[lines][1]);
        assert_string_equal(flags, want[lines][2]);
        assert_int_equal(from, step);
        assert_true(to >= from && to <= 8 && bytes % 64 == 0 && bytes > 0);
        ++lines;
    }
    assert_int_equal(lines, 4);
    assert_int_equal(sscanf(line, "arena: %zu bytes", &bytes), 1);
    assert_int_equal(bytes, asd_plan_bytes(r.plan));
    free(text);
    rig_free(&r);
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("tape/errors/sticky", test_sticky),
    ASD_CASE("tape/errors/bf16", test_bf16),
    ASD_CASE("plan/bf16/on-the-cpu", test_bf16_cpu),
    ASD_CASE("tape/view/of-anything", test_view),
    ASD_CASE("plan/errors/loss", test_bad_loss),
    ASD_CASE("plan/errors/not-differentiable", test_not_differentiable),
    ASD_CASE("plan/check/names-the-step", test_check_names_step),
    ASD_CASE("plan/batchnorm/training-and-inference", test_batchnorm_modes),
    ASD_CASE("plan/print/every-step", test_print),
};

ASD_TEST_MAIN(cases)
