/* run.c - embedding: a plan for one shape of batch, and running it. */
#include "models/parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct asd_encoder_run {
    asd_encoder      *e;
    asd_tape          tape;
    asd_plan         *plan;
    asd_encoder_graph g;
    int               n;
    asd_val           val[ASD_ENCODER_MAX_OUTPUTS];
    asd_pool          pool[ASD_ENCODER_MAX_OUTPUTS];
    int64_t           rows[ASD_ENCODER_MAX_OUTPUTS], dim[ASD_ENCODER_MAX_OUTPUTS];
    float            *layer; /* (B, rows, dim): one output on the host; NULL for a single one */
};

static asd_status check_output(const asd_encoder_desc *d, const asd_encoder_output *o)
{
    if (o->layer < 0 || o->layer > d->depth)
        return ASD_FAIL(ASD_E_CONFIG, "layer %d: %s has layers 0 to %d, each once", o->layer,
                        d->kind, d->depth);
    if (o->pool < 0 || o->pool >= ASD_NPOOLS)
        return ASD_FAIL(ASD_E_CONFIG, "pooling %d is not known", (int)o->pool);
    if (o->pool == ASD_POOL_CLS && !d->n_cls)
        return ASD_FAIL(ASD_E_CONFIG, "%s has no class token; pool by mean", d->kind);
    if (o->pool == ASD_POOL_HEAD && (!d->head_classes || o->layer != d->depth))
        return ASD_FAIL(ASD_E_CONFIG,
                        "%s: class probabilities come from layer %d of a fine-tuned checkpoint, "
                        "and this one has %lld classes",
                        d->kind, d->depth, (long long)d->head_classes);
    return ASD_OK;
}

static asd_status check(const asd_encoder *e, int64_t B, const asd_encoder_output *o, int n)
{
    const asd_encoder_desc *d = &e->d;
    if (B < 1 || n < 1 || n > ASD_ENCODER_MAX_OUTPUTS)
        return ASD_FAIL(ASD_E_CONFIG, "%lld clips and %d layers, want at least one, and at most %d",
                        (long long)B, n, ASD_ENCODER_MAX_OUTPUTS);
    for (int i = 0; i < n; ++i) {
        ASD_TRY(check_output(d, o + i));
        for (int k = 0; k < i; ++k)
            if (o[k].layer == o[i].layer && o[k].pool == o[i].pool)
                return ASD_FAIL(ASD_E_CONFIG, "layer %d: %s has layers 0 to %d, each once",
                                o[i].layer, d->kind, d->depth);
    }
    return ASD_OK;
}

static asd_status record(asd_encoder_run *r, int64_t B, int64_t S, const asd_encoder_output *o,
                         int bf16)
{
    asd_tape *t = &r->tape;
    r->g        = (asd_encoder_graph){.lengths = ASD_NO_VAL, .bf16 = bf16};
    asd_tape_init(t, &r->e->params, 0);
    r->g.samples = asd_tape_input(t, "samples", ASD_F32, ASD_SHAPE2(B, S));
    for (int i = 0; i < r->n; ++i)
        r->g.last = o[i].layer > r->g.last ? o[i].layer : r->g.last;
    if (!r->g.last)
        r->g.last = 1; /* 0 would mean all; the planner leaves out what no output needs */
    ASD_TRY(asd_encoder_record(t, &r->e->d, &r->g));
    for (int i = 0; i < r->n; ++i)
        r->val[i] = asd_encoder_pool(t, &r->e->d, &r->g, o[i].layer, o[i].pool);
    if (t->status)
        return ASD_FAIL(t->status, "%s", t->error);
    for (int i = 0; i < r->n; ++i) {
        asd_shape y = asd_tape_shape(t, r->val[i]);
        r->pool[i]  = o[i].pool;
        r->rows[i]  = y.n == 3 ? y.d[1] : 1;
        r->dim[i]   = asd_last(y);
    }
    return ASD_OK;
}

asd_status asd_encoder_plan_outputs(asd_encoder *e, int64_t B, int64_t S,
                                    const asd_encoder_output *outputs, int n, asd_stream *s,
                                    int bf16, asd_encoder_run **out)
{
    asd_status       st = ASD_OK;
    asd_encoder_run *r  = NULL;
    *out                = NULL;
    ASD_TRY(check(e, B, outputs, n));
    if (!(r = calloc(1, sizeof *r)))
        return ASD_FAIL(ASD_E_OOM, "no memory to plan %s", e->d.kind);
    r->e = e;
    r->n = n;
    ASD_GO(done, st, record(r, B, S, outputs, bf16));
    if (s && !e->params.on_gpu.w) {
        e->params.bf16_weights = 1; /* a later plan may want them */
        ASD_GO(done, st, asd_params_to_gpu(&e->params, s));
    }
    if (!s && bf16 && !e->params.w16)
        ASD_GO(done, st, asd_params_round(&e->params));
    ASD_GO(done, st, asd_plan_build(&r->tape, ASD_NO_VAL, r->val, n, s, &r->plan));
    ASD_GO(done, st, asd_encoder_fill(&r->g, r->plan));
    e->planned = 1;
    *out       = r;
    r          = NULL;
done:
    asd_encoder_run_free(r);
    return st;
}

asd_status asd_encoder_plan(asd_encoder *e, int64_t B, int64_t S, const int *layers, int n_layers,
                            asd_pool pool, asd_stream *s, int bf16, asd_encoder_run **out)
{
    asd_encoder_output o[ASD_ENCODER_MAX_OUTPUTS];
    *out = NULL;
    if (n_layers > e->d.depth + 1 || n_layers > ASD_ENCODER_MAX_OUTPUTS)
        return ASD_FAIL(ASD_E_CONFIG, "%lld clips and %d layers, want at least one, and at most %d",
                        (long long)B, n_layers, e->d.depth + 1);
    for (int i = 0; i < n_layers; ++i)
        o[i] = (asd_encoder_output){layers[i], pool};
    ASD_TRY(asd_encoder_plan_outputs(e, B, S, o, n_layers, s, bf16, out));
    asd_encoder_run *r    = *out;
    size_t           size = (size_t)(B * r->rows[0] * r->dim[0]) * sizeof *r->layer;
    if (n_layers > 1 && !(r->layer = malloc(size))) {
        asd_encoder_run_free(r);
        *out = NULL;
        return ASD_FAIL(ASD_E_OOM, "no memory for %zu bytes of vectors", size);
    }
    return ASD_OK;
}

asd_status asd_encoder_compute(asd_encoder_run *r, const float *samples)
{
    ASD_TRY(asd_plan_write(r->plan, r->g.samples, samples));
    return asd_plan_forward(r->plan);
}

asd_status asd_encoder_read(asd_encoder_run *r, int i, float *out)
{
    ASD_ASSERT(i >= 0 && i < r->n);
    ASD_TRY(asd_plan_read(r->plan, r->val[i], out));
    for (int64_t k = 0; k < r->g.B * r->rows[i] * r->dim[i] && r->pool[i] == ASD_POOL_HEAD; ++k)
        out[k] = 1 / (1 + expf(-out[k]));
    return ASD_OK;
}

asd_status asd_encoder_forward(asd_encoder_run *r, const float *samples, float *out)
{
    int64_t one = r->rows[0] * r->dim[0];
    ASD_TRY(asd_encoder_compute(r, samples));
    for (int l = 0; l < r->n; ++l) {
        ASD_ASSERT(r->layer || r->n == 1);
        ASD_TRY(asd_encoder_read(r, l, r->layer ? r->layer : out));
        for (int64_t b = 0; b < r->g.B && r->layer; ++b)
            memcpy(out + (b * r->n + l) * one, r->layer + b * one, (size_t)one * sizeof *out);
    }
    return ASD_OK;
}

int64_t asd_encoder_rows(const asd_encoder_run *r)
{
    return r->rows[0];
}

int64_t asd_encoder_dim(const asd_encoder_run *r)
{
    return r->dim[0];
}

int64_t asd_encoder_output_rows(const asd_encoder_run *r, int i)
{
    ASD_ASSERT(i >= 0 && i < r->n);
    return r->rows[i];
}

int64_t asd_encoder_output_dim(const asd_encoder_run *r, int i)
{
    ASD_ASSERT(i >= 0 && i < r->n);
    return r->dim[i];
}

size_t asd_encoder_run_bytes(const asd_encoder_run *r)
{
    return asd_plan_bytes(r->plan);
}

void asd_encoder_run_free(asd_encoder_run *r)
{
    if (!r)
        return;
    asd_plan_free(r->plan);
    asd_tape_clear(&r->tape);
    free(r->g.constant);
    free(r->layer);
    free(r);
}
