/* nets.c - see nets.h. */
#include "ref/nets.h"

#include "harness.h"

#include <stdio.h>

enum { MAX_NODES = 12, MAX_COLUMNS = 9 };

/* One step on other shapes of the same memory, or none at all: v and its view are both used on. */
static asd_val through_views(asd_tape *t, asd_val v, int step)
{
    asd_shape s    = asd_tape_shape(t, v);
    asd_val   flat = asd_tape_view(t, v, ASD_SHAPE3(1, asd_count(s), 1));
    return asd_tape_view(t, step ? asd_gelu(t, flat) : flat, s);
}

asd_val asd_ref_random_net(asd_tape *t, asd_rng *rng, int64_t R, asd_val *x)
{
    static const asd_batchnorm_attr norm = {.eps = 1e-3f, .momentum = 0.01f};
    asd_val                         v[MAX_NODES + 1];
    char                            name[32];
    int                             n = 1;
    *x = v[0] = asd_tape_input(t, "x", ASD_F32, ASD_SHAPE2(R, 1 + asd_rng_below(rng, MAX_COLUMNS)));
    if (asd_rng_below(rng, 2))
        asd_tape_want_grad(t, *x);
    int64_t width = 1 + asd_rng_below(rng, MAX_COLUMNS);
    v[n]          = asd_linear(t, v[0], "in", width);
    ++n;
    while (n <= MAX_NODES - 2) {
        asd_val  from = v[1 + asd_rng_below(rng, (uint32_t)n - 1)];
        uint32_t kind = asd_rng_below(rng, 8);
        snprintf(name, sizeof name, "layer%d", (int)asd_rng_below(rng, 2) ? n : 0);
        v[n] = kind < 2    ? asd_relu(t, from)
               : kind == 2 ? asd_batchnorm(t, from, "norm", norm)
               : kind == 3
                   ? asd_add_scaled(t, from, v[1 + asd_rng_below(rng, (uint32_t)n - 1)], -.5f)
               : kind < 6 ? through_views(t, from, kind == 4)
                          : asd_linear(t, from, name, width);
        ++n;
    }
    asd_val p = asd_linear(t, v[n - 1], "out", width);
    return asd_mse(t, p, v[1 + asd_rng_below(rng, (uint32_t)n - 1)]);
}

void asd_ref_random_weights(asd_params *p, asd_rng *rng, int training)
{
    assert_ok(asd_params_alloc(p, training));
    for (int k = 0; k < p->n; ++k) {
        float  *x = asd_params_value(p, k);
        int64_t n = asd_count(p->param[k].shape);
        for (int64_t i = 0; i < n; ++i)
            x[i] = p->param[k].init == ASD_INIT_ONE ? (float)asd_rng_range(rng, 0.5, 1.5)
                                                    : 0.5f * (float)asd_rng_normal(rng);
    }
}

void asd_ref_fill(asd_rng *rng, float *x, int64_t n)
{
    for (int64_t i = 0; i < n; ++i)
        x[i] = (float)asd_rng_normal(rng);
}
