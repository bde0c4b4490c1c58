/* autoencoder.c - the official baseline's network. See models.h. */
#include "models/models.h"

#include <stdio.h>

static int grouped(const asd_tape *t, asd_val x)
{
    return asd_tape_shape(t, x).n == 3;
}

static asd_val linear(asd_tape *t, asd_val x, const char *name, int64_t width)
{
    return grouped(t, x) ? asd_linear_grouped(t, x, name, width) : asd_linear(t, x, name, width);
}

static asd_val layer(asd_tape *t, asd_val x, const char *side, int64_t index, int64_t width,
                     const asd_cfg *cfg)
{
    char               name[64];
    asd_batchnorm_attr norm = {(float)cfg->model_bn_eps, (float)cfg->model_bn_momentum, 1};
    snprintf(name, sizeof name, "%s.%lld.linear", side, (long long)index);
    x = linear(t, x, name, width);
    snprintf(name, sizeof name, "%s.%lld.norm", side, (long long)index);
    return grouped(t, x) ? asd_batchnorm_grouped(t, x, name, norm)
                         : asd_batchnorm(t, x, name, norm);
}

asd_val asd_autoencoder(asd_tape *t, asd_val x, const asd_cfg *cfg)
{
    int64_t C = asd_last(asd_tape_shape(t, x)), depth = cfg->model_depth;
    char    name[64];
    for (int64_t i = 0; i < depth; ++i)
        x = layer(t, x, "encoder", i, cfg->model_hidden, cfg);
    x = layer(t, x, "encoder", depth, cfg->model_code, cfg);
    for (int64_t i = 0; i < depth; ++i)
        x = layer(t, x, "decoder", i, cfg->model_hidden, cfg);
    snprintf(name, sizeof name, "decoder.%lld.linear", (long long)depth);
    return linear(t, x, name, C);
}
