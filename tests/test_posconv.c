/* test_posconv.c - the positional convolution as encoders use it: its parameters, numbers from
 * PyTorch, and that a clip in a batch has the bits of the clip alone.
 */
#include "harness.h"

#include "base/par.h"
#include "nn/plan.h"

#include <math.h>
#include <string.h>

enum { P = 5, C = 4, GROUPS = 2 };

/* torch 2.15, float64: Conv1d(4, 4, k, padding=k/2, groups=2) under weight_norm(dim=2), an even k's
 * last output dropped; weight_v[i] = sin(i + 1), weight_g[j] = 0.5 + 0.25 j, bias[o] = 0.1 o,
 * x[i] = cos(0.7 i), loss = sum_i y[i] sin(0.3 i), i over all elements in their order. */
typedef struct golden {
    int64_t k;
    double  y[P * C], dx[8], dg[4], dv[6], db[C];
} golden;

static const golden goldens[] = {
    {4,
     {0.20084329, 0.32571109, 0.04806437, 0.47194623,  0.11490772, -0.09189833, 0.38044996,
      0.42546763, -0.1318195, 0.41349263, -0.08494877, 0.19554645, 0.21014818,  -0.1497979,
      0.43822243, 0.50296579, 0.13274499, 0.20678582,  0.05685295, 0.50464163},
     {0.1412181, 0.24688269, 0.37907345, -0.66959616, -0.575258, 0.72131354, 1.12151859,
      -0.62448789},
     {0.22267817, 0.36085692, -0.15616791, -0.35975074},
     {0.05630268, 0.112624, -0.16410966, 0.0913672, 0.01018465, 0.22795537},
     {0.16881721, 0.10681423, 0.03526985, -0.03942508}},
    {3,
     {0.12276252, 0.22808053, 0.12076326,  0.13210889,  0.00121115, 0.05685421,  0.29981606,
      0.42150102, 0.0106706,  0.16700232,  0.14029505,  0.2327496,  -0.02131931, 0.01688363,
      0.21269461, 0.30522865, -0.06671478, -0.00617404, 0.1933162,  0.33478005},
     {0.55745886, -0.49503819, 0.53464255, -0.43262341, 0.86356811, -0.86565327, 1.08666382,
      -1.1271043},
     {0.09690828, 0.21621326, 0.05037767},
     {0.13737714, -0.11199069, 0.15896793, 0.20827596, -0.13539517, -0.02745785},
     {0.16881721, 0.10681423, 0.03526985, -0.03942508}},
};

static const asd_param *param(const asd_params *p, const char *name)
{
    int i = asd_params_find(p, name);
    if (i < 0)
        fail_msg("no parameter %s", name);
    return &p->param[i];
}

static void near(const float *got, const double *want, int n, const char *what)
{
    for (int i = 0; i < n; ++i)
        if (!(fabs((double)got[i] - want[i]) <= 2e-6))
            fail_msg("%s[%d] is %.9g, PyTorch has %.9g", what, i, (double)got[i], want[i]);
}

static void check_golden(const golden *g)
{
    asd_params params;
    asd_tape   t;
    asd_plan  *plan;
    float      x[P * C], y[P * C], dx[P * C];
    asd_params_init(&params);
    asd_tape_init(&t, &params, 1);
    asd_val in     = asd_tape_input(&t, "x", ASD_F32, ASD_SHAPE3(1, P, C));
    asd_val target = asd_tape_input(&t, "target", ASD_F32, ASD_SHAPE3(1, P, C));
    asd_tape_want_grad(&t, in);
    asd_val out  = asd_posconv(&t, in, "pos", GROUPS, g->k);
    asd_val loss = asd_mse(&t, out, target);
    assert_int_equal(params.n, 3);
    const asd_param *pg = param(&params, "pos.weight_g"), *pv = param(&params, "pos.weight_v");
    const asd_param *pb = param(&params, "pos.bias");
    assert_true(asd_shape_equal(pg->shape, ASD_SHAPE1(g->k)));
    assert_true(asd_shape_equal(pv->shape, ASD_SHAPE3(C, C / GROUPS, g->k)));
    assert_true(asd_shape_equal(pb->shape, ASD_SHAPE1(C)));
    assert_ok(asd_params_alloc(&params, 1));
    for (int64_t i = 0; i < asd_count(pv->shape); ++i)
        params.w[pv->offset + i] = sinf((float)(i + 1));
    for (int64_t j = 0; j < g->k; ++j)
        params.w[pg->offset + j] = 0.5f + 0.25f * (float)j;
    for (int o = 0; o < C; ++o)
        params.w[pb->offset + o] = 0.1f * (float)o;
    for (int i = 0; i < P * C; ++i)
        x[i] = (float)cos(0.7 * i);
    assert_ok(asd_plan_build(&t, loss, &out, 1, NULL, &plan));
    assert_ok(asd_plan_write(plan, in, x));
    assert_ok(asd_plan_forward(plan));
    assert_ok(asd_plan_read(plan, out, y));
    near(y, g->y, P * C, "y");
    /* dloss/dy of the mean square is 2 (y - target) / n: a target that makes it sin(0.3 i) */
    for (int i = 0; i < P * C; ++i)
        y[i] -= (float)(sin(0.3 * i) * P * C / 2);
    assert_ok(asd_plan_write(plan, target, y));
    assert_ok(asd_params_zero_grad(&params, NULL));
    assert_ok(asd_plan_forward(plan));
    assert_ok(asd_plan_backward(plan));
    assert_ok(asd_plan_read_grad(plan, in, dx));
    near(dx, g->dx, 8, "dx");
    near(params.g + pg->offset, g->dg, (int)g->k, "dg");
    near(params.g + pv->offset, g->dv, 6, "dv");
    near(params.g + pb->offset, g->db, C, "db");
    asd_plan_free(plan);
    asd_tape_clear(&t);
    asd_params_clear(&params);
}

static void test_goldens(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof goldens / sizeof *goldens; ++i)
        check_golden(&goldens[i]);
}

/* --- batches --- */

enum { CLIPS = 3, TOKENS = 41, WIDTH = 96, HEADS = 2, TAPS = 20 };

/* y of `clips` clips that begin at clip `first`, by a projection and the convolution. */
static void embed(asd_params *params, int first, int clips, const float *x, float *y)
{
    asd_tape  t;
    asd_plan *plan;
    asd_tape_init(&t, params, 0);
    asd_val in  = asd_tape_input(&t, "x", ASD_F32, ASD_SHAPE3(clips, TOKENS, WIDTH));
    asd_val out = asd_linear(&t, in, "project", WIDTH);
    out         = asd_add(&t, out, asd_gelu(&t, asd_posconv(&t, out, "pos", HEADS, TAPS)));
    if (!params->w) {
        assert_ok(asd_params_alloc(params, 0));
        asd_params_reset(params, 1, 0);
    }
    assert_ok(asd_plan_build(&t, ASD_NO_VAL, &out, 1, NULL, &plan));
    assert_ok(asd_plan_write(plan, in, x + (size_t)first * TOKENS * WIDTH));
    assert_ok(asd_plan_forward(plan));
    assert_ok(asd_plan_read(plan, out, y));
    asd_plan_free(plan);
    asd_tape_clear(&t);
}

static void test_batch(void **state)
{
    enum { CLIP = TOKENS * WIDTH };
    static float x[CLIPS * CLIP], all[CLIPS * CLIP], alone[CLIP];
    int          threads = asd_par_threads();
    asd_params   params;
    (void)state;
    asd_params_init(&params);
    for (int i = 0; i < CLIPS * CLIP; ++i)
        x[i] = (float)sin(0.37 * i * (1 + i % 11));
    asd_par_set_threads(2);
    embed(&params, 0, CLIPS, x, all);
    for (int b = 0; b < CLIPS; ++b) {
        asd_par_set_threads(1 + b % 2);
        embed(&params, b, 1, x, alone);
        assert_memory_equal(alone, all + (size_t)b * CLIP, sizeof alone);
    }
    asd_par_set_threads(threads);
    asd_params_clear(&params);
}

/* Sizes that do not fit are named. */
static void test_refusals(void **state)
{
    static const struct {
        asd_shape   x;
        int64_t     groups;
        const char *says;
    } bad[] = {
        {{3, {2, 5, 6}}, 4, "posconv: x (2, 5, 6), w (6, 1, 3)"},
        {{3, {2, 5, 6}}, 0, "for 0 groups"},
        {{2, {5, 6}}, 2, "posconv: x (5, 6)"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; ++i) {
        asd_params params;
        asd_tape   t;
        asd_params_init(&params);
        asd_tape_init(&t, &params, 0);
        asd_val in = asd_tape_input(&t, "x", ASD_F32, bad[i].x);
        assert_int_equal(asd_posconv(&t, in, "pos", bad[i].groups, 3), ASD_NO_VAL);
        assert_int_equal(t.status, ASD_E_SHAPE);
        if (!strstr(t.error, bad[i].says))
            fail_msg("'%s' does not say '%s'", t.error, bad[i].says);
        asd_tape_clear(&t);
        asd_params_clear(&params);
    }
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("nn/posconv/as PyTorch", test_goldens),
    ASD_CASE("nn/posconv/same bits alone and in a batch", test_batch),
    ASD_CASE("nn/posconv/refusals", test_refusals),
};

ASD_TEST_MAIN(cases)
