/* test_groups.c - G networks in one plan are the same G networks each in a plan of its own, bit for
 * bit: loss, gradients and running statistics, over several steps; and a batchnorm with its ReLU
 * inside is the same as one with a relu op behind it.
 */
#include "harness.h"

#include "base/par.h"
#include "base/rng.h"
#include "kernels/adam.h"
#include "nn/plan.h"

#include <stdlib.h>
#include <string.h>

enum { G = 3, R = 90, F = 11, STACK = 3, WIDTH = 71, CODE = 3, STEPS = 3 };

static const asd_batchnorm_attr norm = {.eps = 1e-3f, .momentum = 0.01f};
static const asd_adam           adam = {0.9, 0.999, 1e-8, 0, 0, 0};

typedef struct net {
    asd_params params;
    asd_tape   tape;
    asd_plan  *plan;
    asd_val    index, loss;
    double    *work;
} net;

/* The autoencoder's ops. groups 0: one network without the dimension of groups. fused: the ReLU is
 * batchnorm's. */
static void net_new(net *n, int64_t groups, int fused, int64_t B, const float *frames)
{
    memset(n, 0, sizeof *n);
    asd_params_init(&n->params);
    asd_tape_init(&n->tape, &n->params, 1);
    asd_tape *t = &n->tape;
    asd_val   f = asd_tape_bound(t, "frames", ASD_F32, ASD_SHAPE2(R, F));
    n->index  = asd_tape_input(t, "index", ASD_I32, groups ? ASD_SHAPE2(groups, B) : ASD_SHAPE1(B));
    asd_val x = asd_frame_stack(t, f, n->index, STACK), y = x;
    int64_t widths[] = {WIDTH, CODE, STACK * F};
    for (int i = 0; i < 3; ++i) {
        char a[2] = {(char)('a' + i)}, b[2] = {(char)('k' + i)};
        y = groups ? asd_linear_grouped(t, y, a, widths[i]) : asd_linear(t, y, a, widths[i]);
        if (i == 2)
            break;
        asd_batchnorm_attr attr = norm;
        attr.relu               = fused;
        y = groups ? asd_batchnorm_grouped(t, y, b, attr) : asd_batchnorm(t, y, b, attr);
        y = fused ? y : asd_relu(t, y);
    }
    n->loss = groups ? asd_mse_grouped(t, y, x) : asd_mse(t, y, x);
    assert_ok(asd_params_alloc(&n->params, 1));
    asd_params_reset(&n->params, 5, 1);
    assert_ok(asd_plan_build(t, n->loss, NULL, 0, NULL, &n->plan));
    asd_plan_bind(n->plan, f, frames);
    n->work = malloc((size_t)asd_adam_work(n->params.n_trainable) * sizeof *n->work);
}

static void net_free(net *n)
{
    asd_plan_free(n->plan);
    asd_tape_clear(&n->tape);
    asd_params_clear(&n->params);
    free(n->work);
}

static void net_step(net *n, int64_t step)
{
    asd_params *p           = &n->params;
    *asd_plan_step(n->plan) = (asd_step){.step = step, .lr = 0.01f};
    memset(p->g, 0, (size_t)p->n_trainable * sizeof *p->g);
    assert_ok(asd_plan_forward(n->plan));
    assert_ok(asd_plan_backward(n->plan));
    asd_adam_update_cpu(&adam, asd_plan_step(n->plan), p->n_trainable, p->w, p->g, p->m, p->v,
                        n->work);
}

/* Group g of parameter k: its values or its gradient. */
static float *part(const net *n, int k, int64_t g, int gradient, int64_t *count)
{
    const asd_param *q = &n->params.param[k];
    *count             = asd_count(q->shape) / q->shape.d[0];
    return (gradient ? n->params.g + q->offset : asd_params_value(&n->params, k)) + g * *count;
}

static void compare(const net *all, const net *one, int64_t g)
{
    const float *losses = asd_plan_data(all->plan, all->loss);
    assert_memory_equal(&losses[g], asd_plan_data(one->plan, one->loss), sizeof(float));
    for (int k = 0; k < all->params.n; ++k) {
        int64_t      n, offset = one->params.param[k].offset;
        const float *x = part(all, k, g, 0, &n);
        assert_string_equal(all->params.param[k].name, one->params.param[k].name);
        assert_int_equal(n, asd_count(one->params.param[k].shape));
        assert_memory_equal(x, asd_params_value(&one->params, k), (size_t)n * sizeof *x);
        if (all->params.param[k].trainable)
            assert_memory_equal(part(all, k, g, 1, &n), one->params.g + offset,
                                (size_t)n * sizeof *x);
    }
}

/* All networks in one plan, their ReLU fused or not, against plans of their own with a relu op. */
static void check(int64_t B, int fused)
{
    static float frames[R * F];
    net          all, one[G];
    asd_rng      rng;
    asd_rng_init(&rng, 1, ASD_RNG_TEST, asd_rng_hash("groups"), (uint64_t)B);
    for (int i = 0; i < R * F; ++i)
        frames[i] = (float)(asd_rng_normal(&rng) - 30);
    net_new(&all, G, fused, B, frames);
    for (int64_t g = 0; g < G; ++g) {
        net_new(&one[g], 0, 0, B, frames);
        for (int k = 0; k < all.params.n; ++k) { /* no two groups alike */
            int64_t n;
            float  *to = asd_params_value(&one[g].params, k), *from = part(&all, k, g, 0, &n);
            memcpy(to, from, (size_t)n * sizeof *to);
        }
    }
    for (int64_t step = 0; step < STEPS; ++step) {
        int32_t *index = asd_plan_data(all.plan, all.index);
        for (int64_t i = 0; i < G * B; ++i)
            index[i] = (int32_t)asd_rng_below(&rng, R - STACK + 1);
        for (int64_t g = 0; g < G; ++g) {
            memcpy(asd_plan_data(one[g].plan, one[g].index), index + g * B,
                   (size_t)B * sizeof *index);
            net_step(&one[g], step);
        }
        net_step(&all, step);
        for (int64_t g = 0; g < G; ++g)
            compare(&all, &one[g], g);
    }
    for (int64_t g = 0; g < G; ++g)
        net_free(&one[g]);
    net_free(&all);
}

static void test_equal_bits(void **state)
{
    (void)state;
    int threads = asd_par_threads();
    for (int t = 1; t <= 3; ++t) {
        asd_par_set_threads(t);
        check(67, 0);
        check(2, 0);
    }
    asd_par_set_threads(threads);
}

static void test_fused_relu(void **state)
{
    (void)state;
    check(67, 1);
    check(2, 1);
}

/* 600 x 33 numbers a group are more than one chunk of the mean squared error. */
static void test_several_chunks(void **state)
{
    (void)state;
    check(600, 1);
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("groups/plan/bits-of-single-networks", test_equal_bits),
    ASD_CASE("groups/plan/bits-with-fused-relu", test_fused_relu),
    ASD_CASE("groups/plan/several-chunks", test_several_chunks),
};
ASD_TEST_MAIN(cases)
