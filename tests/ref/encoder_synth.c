/* encoder_synth.c - see encoder_synth.h. */
#include "ref/encoder_synth.h"

#include "harness.h"
#include "ref/synthetic.h"

#include <stdlib.h>
#include <string.h>

static int ends(const char *name, const char *end)
{
    size_t n = strlen(name), k = strlen(end);
    return n >= k && !strcmp(name + n - k, end);
}

typedef struct rule {
    double add, factor;
} rule;

static double fan_in(const encoder_name *n)
{
    double product = 1;
    for (int i = 1; i < n->n_dims; ++i)
        product *= (double)n->dim[i];
    return sqrt(3 / product);
}

static rule beats_rule(const encoder_name *n)
{
    if (ends(n->core, "layer_norm.weight") || ends(n->core, "weight_g") || ends(n->core, "grep_a"))
        return (rule){1, 0.1};
    if (ends(n->core, "relative_attention_bias.weight") || ends(n->core, "weight_v"))
        return (rule){0, 1};
    if (ends(n->core, ".bias"))
        return (rule){0, 0.1};
    return (rule){0, fan_in(n)};
}

static rule vit_rule(const encoder_name *n)
{
    const char *s = n->core;
    if (ends(s, "running_mean"))
        return (rule){-20, 5};
    if (ends(s, "running_var"))
        return (rule){100, 50};
    if (ends(s, ".weight") && (strstr(s, "norm") || !strncmp(s, "init_bn", 7)))
        return (rule){1, 0.1};
    if (ends(s, ".bias") || ends(s, "pos_embed"))
        return (rule){0, 0.1};
    if (!strcmp(s, "extra_tokens"))
        return (rule){0, 0.5};
    double g = ends(s, "attn.qkv.weight") ? 2 : ends(s, "attn.proj.weight") ? 0.25 : 1;
    return (rule){0, g * fan_in(n)};
}

static int64_t elements(const encoder_name *n)
{
    int64_t c = 1;
    for (int i = 0; i < n->n_dims; ++i)
        c *= n->dim[i];
    return c;
}

static void fill_adapters(asd_params *p, const asd_encoder_desc *d)
{
    static const char *const target[2][2] = {{"q", "q_proj"}, {"v", "v_proj"}};
    for (int i = 0; i < d->depth && d->lora_rank; ++i)
        for (int k = 0; k < 4; ++k) {
            char name[160], param[64];
            snprintf(param, sizeof param, "blocks.%d.%s.lora_%c", i, target[k / 2][0],
                     k % 2 ? 'B' : 'A');
            snprintf(name, sizeof name,
                     "base_model.model.encoder.layers.%d.self_attn.%s.lora_%c.weight", i,
                     target[k / 2][1], k % 2 ? 'B' : 'A');
            int at = asd_params_find(p, param);
            assert_true(at >= 0);
            asd_synthetic_fill(name, k % 2 ? 0.05 : sqrt(3.0 / (double)d->dim),
                               asd_count(p->param[at].shape), asd_params_value(p, at));
        }
}

int64_t asd_synth_count(const encoder_name *n)
{
    return elements(n);
}

float *asd_synth_tensor(const asd_encoder_desc *d, const encoder_name *n)
{
    rule     r     = strcmp(d->kind, "beats") ? vit_rule(n) : beats_rule(n);
    int64_t  count = elements(n);
    uint64_t seed  = asd_synthetic_seed(n->core);
    float   *x     = malloc((size_t)count * sizeof *x);
    for (int64_t j = 0; j < count; ++j)
        x[j] = (float)(r.add + r.factor * asd_synthetic_at(seed, j));
    return x;
}

void asd_synth_weights(const asd_encoder_desc *d, asd_params *p)
{
    encoder_names l     = {0};
    asd_encoder   table = {.d = *d, .params = *p};
    encoder_kind_find(d->kind)->names(d, &l);
    assert_false(l.failed);
    if (d->pos == ASD_POS_SINCOS)
        encoder_fill_places(&table);
    for (int i = 0; i < l.n; ++i) {
        const encoder_name *n = &l.name[i];
        if (!strcmp(n->param, "pos") && d->pos == ASD_POS_SINCOS)
            continue;
        if (n->flags & NAME_SAME && n->flags & NAME_OPTIONAL)
            continue; /* layer 0 has filled the one table */
        if (asd_params_find(p, n->param) < 0)
            continue; /* a classifier that this tape has not */
        float *x = asd_synth_tensor(d, n);
        encoder_put(p, n, x, elements(n));
        free(x);
    }
    fill_adapters(p, d);
    encoder_names_free(&l);
}

asd_encoder *asd_synth_encoder(const char *kind, const asd_encoder_desc *d)
{
    asd_encoder_desc full;
    asd_encoder     *e;
    assert_ok(asd_encoder_default(kind, 0, &full));
    assert_ok(asd_encoder_new(d ? d : &full, &e));
    asd_synth_weights(d ? d : &full, &e->params);
    return e;
}

void synth_net_run(synth_net *n, const asd_encoder_desc *d, int64_t B, int64_t S, const float *x,
                   const int32_t *lengths, asd_pool pool, const char *cotangent, int training)
{
    asd_tape *t = &n->tape;
    memset(n, 0, sizeof *n);
    n->d = *d;
    asd_params_init(&n->params);
    asd_tape_init(t, &n->params, training);
    n->g         = (asd_encoder_graph){.lengths = ASD_NO_VAL};
    n->g.samples = asd_tape_input(t, "samples", ASD_F32, ASD_SHAPE2(B, S));
    if (lengths)
        n->g.lengths = asd_tape_input(t, "lengths", ASD_I32, ASD_SHAPE1(B));
    assert_ok(asd_encoder_record(t, d, &n->g));
    n->y          = asd_encoder_pool(t, d, &n->g, d->depth, pool);
    int64_t count = asd_count(asd_tape_shape(t, n->y));
    n->cotangent  = asd_tape_input(t, "cotangent", ASD_F32, ASD_SHAPE2(1, count));
    asd_val in[2] = {asd_tape_view(t, n->y, ASD_SHAPE2(1, count)), n->cotangent};
    n->loss       = asd_tape_op(t, &asd_op_linear, NULL, 0, in, 2);
    assert_ok(asd_params_alloc(&n->params, training));
    asd_synth_weights(d, &n->params);
    assert_ok(asd_plan_build(t, training ? n->loss : ASD_NO_VAL, (asd_val[]){n->y, n->loss}, 2,
                             NULL, &n->plan));
    float *r = malloc((size_t)count * sizeof *r);
    asd_synthetic_fill(cotangent, 1, count, r);
    assert_ok(asd_plan_write(n->plan, n->cotangent, r));
    free(r);
    assert_ok(asd_plan_write(n->plan, n->g.samples, x));
    if (lengths)
        assert_ok(asd_plan_write(n->plan, n->g.lengths, lengths));
    assert_ok(asd_encoder_fill(&n->g, n->plan));
    assert_ok(asd_plan_forward(n->plan));
    if (training) {
        assert_ok(asd_params_zero_grad(&n->params, NULL));
        assert_ok(asd_plan_backward(n->plan));
    }
}

void synth_net_free(synth_net *n)
{
    asd_plan_free(n->plan);
    asd_tape_clear(&n->tape);
    asd_params_clear(&n->params);
    free(n->g.constant);
}

float *synth_net_y(const synth_net *n)
{
    float *y = malloc((size_t)asd_count(asd_tape_shape(&n->tape, n->y)) * sizeof *y);
    assert_ok(asd_plan_read(n->plan, n->y, y));
    return y;
}

double synth_net_loss(const synth_net *n)
{
    float loss;
    assert_ok(asd_plan_read(n->plan, n->loss, &loss));
    return (double)loss;
}

double synth_net_grad(const synth_net *n, const char *core, int n_first, float *first)
{
    encoder_names l   = {0};
    double        sum = -1;
    encoder_kind_find(n->d.kind)->names(&n->d, &l);
    for (int i = 0; i < l.n && sum < 0; ++i) {
        const encoder_name *e = &l.name[i];
        if (strcmp(e->core, core) != 0)
            continue;
        const float *g    = n->params.g + (encoder_place(&n->params, e) - n->params.w);
        int64_t      rows = e->flags & NAME_TRANSPOSED ? e->dim[3] : 1, C = e->dim[1];
        sum = 0;
        for (int64_t j = 0; j < elements(e); ++j)
            sum += (double)g[j] * (double)g[j];
        for (int64_t j = 0; j < n_first; ++j) /* (rows, C) in the store, (C, rows) in the file */
            first[j] = g[rows > 1 ? j % rows * C + j / rows : j];
    }
    encoder_names_free(&l);
    if (sum < 0)
        fail_msg("no tensor %s", core);
    return sqrt(sum);
}
