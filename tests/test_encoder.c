/* test_encoder.c - the layers that encoders are made of, as a network records them: a small one of
 * all of them, through the planner, against the same tape in double precision (ref/ref_tape.h), on
 * every backend; and what the layers leave out for inference.
 */
#include "harness.h"
#include "ref/nets.h"
#include "ref/ref_tape.h"

#include "base/device.h"
#include "nn/plan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { B = 3, P = 7, C = 8 };

typedef struct rig {
    asd_params  params;
    asd_tape    tape;
    asd_plan   *plan;
    asd_rng     rng;
    asd_gpu    *gpu;
    asd_stream *stream; /* NULL: the CPU */
    asd_val     x, lengths, target, y, loss;
} rig;

/* A post-norm block as in BEATs, with a gate by softmax in place of attention, and a head. */
static void record(rig *r, int training)
{
    asd_tape *t = &r->tape;
    asd_params_init(&r->params);
    asd_tape_init(t, &r->params, training);
    asd_rng_init(&r->rng, 1, ASD_RNG_TEST, asd_rng_hash("encoder"), 0);
    r->x       = asd_tape_input(t, "x", ASD_F32, ASD_SHAPE3(B, P, C));
    r->lengths = asd_tape_input(t, "lengths", ASD_I32, ASD_SHAPE1(B));
    r->target  = asd_tape_input(t, "target", ASD_F32, ASD_SHAPE2(B, C));
    asd_tape_want_grad(t, r->x);
    asd_val h     = asd_dropout(t, asd_layernorm(t, r->x, "norm_in", 1e-5f), 0.1f);
    asd_val gate  = asd_softmax(t, asd_bias(t, h, "gate"), 0.125f);
    asd_val mixed = asd_layernorm_residual(t, asd_dropout(t, gate, 0.5f), h, 1.5f, "norm", 1e-5f);
    asd_val up    = asd_gelu(t, asd_linear(t, mixed, "up", 2 * C));
    asd_val down  = asd_bias_grouped(t, asd_linear(t, up, "down", C), "shift"); /* a clip a group */
    asd_val last  = asd_layernorm_residual(t, down, mixed, 1.5f, "norm_out", 1e-5f);
    r->y          = asd_l2norm(t, asd_meanpool(t, last, r->lengths), 1e-12f);
    r->loss       = asd_mse(t, r->y, r->target);
}

static void build(rig *r, int training, int cuda)
{
    memset(r, 0, sizeof *r);
    if (cuda) {
        assert_ok(asd_gpu_open(0, &r->gpu));
        assert_ok(asd_stream_new(r->gpu, &r->stream));
    }
    record(r, training);
    asd_ref_random_weights(&r->params, &r->rng, training);
    if (cuda)
        assert_ok(asd_params_to_gpu(&r->params, r->stream));
    assert_ok(
        asd_plan_build(&r->tape, training ? r->loss : ASD_NO_VAL, &r->y, 1, r->stream, &r->plan));
}

static void rig_free(rig *r)
{
    asd_plan_free(r->plan);
    asd_tape_clear(&r->tape);
    asd_params_clear(&r->params);
    asd_stream_free(r->stream);
    asd_gpu_close(r->gpu);
}

static void write_inputs(rig *r, asd_ref_tape *ref)
{
    static const int32_t lengths[B] = {P, 3, 1};
    float                x[B * P * C], target[B * C];
    asd_ref_fill(&r->rng, x, B * P * C);
    asd_ref_fill(&r->rng, target, B * C);
    assert_ok(asd_plan_write(r->plan, r->x, x));
    assert_ok(asd_plan_write(r->plan, r->lengths, lengths));
    asd_ref_tape_new(ref, &r->tape);
    asd_ref_tape_input(ref, r->x, x);
    asd_ref_tape_input(ref, r->lengths, lengths);
    if (r->tape.training) {
        assert_ok(asd_plan_write(r->plan, r->target, target));
        asd_ref_tape_input(ref, r->target, target);
    }
    if (r->stream)
        assert_ok(asd_stream_wait(r->stream));
}

static double largest(const float *g, int64_t n)
{
    double m = 0;
    for (int64_t i = 0; i < n; ++i)
        m = fmax(m, fabs((double)g[i]));
    return m;
}

static void check_slopes(rig *r, asd_ref_tape *ref, asd_val v, const float *g, double scale)
{
    for (int64_t i = 0; i < asd_count(asd_tape_shape(&r->tape, v)); ++i) {
        double want = asd_ref_tape_slope(ref, r->loss, v, i);
        /* the limit of test_plan.c: ten times the rounding measured there */
        if (!(fabs((double)g[i] - want) <= 2e-5 * (scale + fabs(want))))
            fail_msg("gradient of value %d[%ld]: %.9g, central difference %.9g (largest %.3g)", v,
                     (long)i, (double)g[i], want, scale);
    }
}

static void check_training(int cuda)
{
    rig          r;
    asd_ref_tape ref;
    float        loss, dx[B * P * C];
    build(&r, 1, cuda);
    write_inputs(&r, &ref);
    assert_ok(asd_params_zero_grad(&r.params, r.stream));
    assert_ok(asd_plan_forward(r.plan));
    assert_ok(asd_plan_backward(r.plan));
    assert_ok(asd_plan_read(r.plan, r.loss, &loss));
    assert_ok(asd_plan_read_grad(r.plan, r.x, dx));
    if (cuda)
        assert_ok(asd_params_from_gpu(&r.params, r.stream));
    assert_near(loss, asd_ref_tape_run(&ref, r.loss), 1e-5);
    double scale = largest(r.params.g, r.params.n_trainable);
    assert_true(scale > 1e-3);
    check_slopes(&r, &ref, r.x, dx, largest(dx, B * P * C));
    for (int v = 0; v < r.tape.n_values; ++v)
        if (r.tape.value[v].param >= 0)
            check_slopes(&r, &ref, v, r.params.g + r.params.param[r.tape.value[v].param].offset,
                         scale);
    asd_ref_tape_free(&ref);
    rig_free(&r);
}

static void test_training(void **state)
{
    const char *why;
    (void)state;
    check_training(0);
    if (asd_cuda_count(&why) > 0)
        check_training(1);
}

static int count_ops(const asd_tape *t, const asd_op *op)
{
    int n = 0;
    for (int i = 0; i < t->n_nodes; ++i)
        n += t->node[i].n.op == op;
    return n;
}

/* No dropout is left; the parameters are those of training. */
static void test_inference(void **state)
{
    const char *why;
    (void)state;
    for (int cuda = 0; cuda <= (asd_cuda_count(&why) > 0); ++cuda) {
        rig          r;
        asd_ref_tape ref;
        float        y[B * C];
        build(&r, 0, cuda);
        assert_int_equal(count_ops(&r.tape, &asd_op_dropout), 0);
        assert_int_equal(count_ops(&r.tape, &asd_op_layernorm), 3);
        assert_int_equal(r.params.n, 12);
        assert_true(asd_params_find(&r.params, "norm_out.weight") >= 0);
        int shift = asd_params_find(&r.params, "shift.bias");
        assert_true(asd_shape_equal(r.params.param[shift].shape, ASD_SHAPE2(B, C)));
        write_inputs(&r, &ref);
        assert_ok(asd_plan_forward(r.plan));
        assert_ok(asd_plan_read(r.plan, r.y, y));
        asd_ref_tape_run(&ref, r.y);
        for (int i = 0; i < B * C; ++i)
            assert_near(y[i], ref.value[r.y][i], 2e-6);
        asd_ref_tape_free(&ref);
        rig_free(&r);
    }
}

/* Each dropout of a network has a stream of its own, and its place decides which. */
static void test_streams(void **state)
{
    rig      r;
    uint64_t seen[2];
    int      n = 0;
    (void)state;
    memset(&r, 0, sizeof r);
    record(&r, 1);
    for (int i = 0; i < r.tape.n_nodes; ++i)
        if (r.tape.node[i].n.op == &asd_op_dropout) {
            assert_in_range(n, 0, 1);
            seen[n++] = ((const asd_dropout_attr *)r.tape.node[i].n.attr)->stream;
        }
    assert_int_equal(n, 2);
    assert_true(seen[0] != seen[1]);
    asd_val same = asd_dropout(&r.tape, r.x, 0);
    assert_int_equal(same, r.x);
    rig_free(&r);
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("nn/encoder/training", test_training),
    ASD_CASE("nn/encoder/inference", test_inference),
    ASD_CASE("nn/encoder/dropout-streams", test_streams),
};

ASD_TEST_MAIN(cases)
