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
    asd_val           out[ASD_ENCODER_MAX_DEPTH + 1];
    int               n_layers;
    asd_pool          pool;
    int64_t           rows, dim;
    float            *layer; /* (B, rows, dim): one layer on the host; NULL for a single one */
};

static asd_status check(const asd_encoder *e, int64_t B, const int *layers, int n_layers,
                        asd_pool pool, const asd_stream *s, int bf16)
{
    const asd_encoder_desc *d = &e->d;
    if (B < 1 || n_layers < 1 || n_layers > d->depth + 1)
        return ASD_FAIL(ASD_E_CONFIG, "%lld clips and %d layers, want at least one, and at most %d",
                        (long long)B, n_layers, d->depth + 1);
    for (int i = 0; i < n_layers; ++i)
        for (int k = 0; k <= i; ++k)
            if (layers[i] < 0 || layers[i] > d->depth || (k < i && layers[k] == layers[i]))
                return ASD_FAIL(ASD_E_CONFIG, "layer %d: %s has layers 0 to %d, each once",
                                layers[i], d->kind, d->depth);
    if (pool < 0 || pool >= ASD_NPOOLS)
        return ASD_FAIL(ASD_E_CONFIG, "pooling %d is not known", (int)pool);
    if (pool == ASD_POOL_CLS && !d->n_cls)
        return ASD_FAIL(ASD_E_CONFIG, "%s has no class token; pool by mean", d->kind);
    if (pool == ASD_POOL_HEAD && (!d->head_classes || n_layers != 1 || layers[0] != d->depth))
        return ASD_FAIL(ASD_E_CONFIG,
                        "%s: class probabilities come from layer %d of a fine-tuned checkpoint, "
                        "and this one has %lld classes",
                        d->kind, d->depth, (long long)d->head_classes);
    if (bf16 && !s)
        return ASD_FAIL(ASD_E_DEVICE,
                        "%s: the CPU computes encoders in fp32 only; use "
                        "--precision fp32 or --device cuda",
                        d->kind);
    return ASD_OK;
}

static asd_status record(asd_encoder_run *r, int64_t B, int64_t S, const int *layers, int bf16)
{
    asd_tape *t = &r->tape;
    r->g        = (asd_encoder_graph){.lengths = ASD_NO_VAL, .bf16 = bf16};
    asd_tape_init(t, &r->e->params, 0);
    r->g.samples = asd_tape_input(t, "samples", ASD_F32, ASD_SHAPE2(B, S));
    for (int i = 0; i < r->n_layers; ++i)
        r->g.last = layers[i] > r->g.last ? layers[i] : r->g.last;
    if (!r->g.last)
        r->g.last = 1; /* 0 would mean all; the planner leaves out what no output needs */
    ASD_TRY(asd_encoder_record(t, &r->e->d, &r->g));
    for (int i = 0; i < r->n_layers; ++i)
        r->out[i] = asd_encoder_pool(t, &r->e->d, &r->g, layers[i], r->pool);
    if (t->status)
        return ASD_FAIL(t->status, "%s", t->error);
    asd_shape y = asd_tape_shape(t, r->out[0]);
    r->rows     = y.n == 3 ? y.d[1] : 1;
    r->dim      = asd_last(y);
    return ASD_OK;
}

asd_status asd_encoder_plan(asd_encoder *e, int64_t B, int64_t S, const int *layers, int n_layers,
                            asd_pool pool, asd_stream *s, int bf16, asd_encoder_run **out)
{
    asd_status       st = ASD_OK;
    asd_encoder_run *r  = NULL;
    *out                = NULL;
    ASD_TRY(check(e, B, layers, n_layers, pool, s, bf16));
    if (!(r = calloc(1, sizeof *r)))
        return ASD_FAIL(ASD_E_OOM, "no memory to plan %s", e->d.kind);
    r->e        = e;
    r->n_layers = n_layers;
    r->pool     = pool;
    ASD_GO(done, st, record(r, B, S, layers, bf16));
    if (n_layers > 1 && !(r->layer = malloc((size_t)(B * r->rows * r->dim) * sizeof *r->layer))) {
        st = ASD_FAIL(ASD_E_OOM, "no memory for %lld vectors", (long long)(B * r->rows));
        goto done;
    }
    if (s && !e->params.on_gpu.w)
        ASD_GO(done, st, asd_params_to_gpu(&e->params, s));
    ASD_GO(done, st, asd_plan_build(&r->tape, ASD_NO_VAL, r->out, n_layers, s, &r->plan));
    ASD_GO(done, st, asd_encoder_fill(&r->g, r->plan));
    e->planned = 1;
    *out       = r;
    r          = NULL;
done:
    asd_encoder_run_free(r);
    return st;
}

asd_status asd_encoder_forward(asd_encoder_run *r, const float *samples, float *out)
{
    int64_t B = r->g.B, one = r->rows * r->dim;
    ASD_TRY(asd_plan_write(r->plan, r->g.samples, samples));
    ASD_TRY(asd_plan_forward(r->plan));
    for (int l = 0; l < r->n_layers; ++l) {
        float *to = r->layer ? r->layer : out;
        ASD_TRY(asd_plan_read(r->plan, r->out[l], to));
        for (int64_t b = 0; b < B && r->layer; ++b)
            memcpy(out + (b * r->n_layers + l) * one, to + b * one, (size_t)one * sizeof *out);
    }
    for (int64_t i = 0; i < B * one && r->pool == ASD_POOL_HEAD; ++i)
        out[i] = 1 / (1 + expf(-out[i]));
    return ASD_OK;
}

int64_t asd_encoder_rows(const asd_encoder_run *r)
{
    return r->rows;
}

int64_t asd_encoder_dim(const asd_encoder_run *r)
{
    return r->dim;
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
