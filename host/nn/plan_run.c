/* plan_run.c - a plan's memory, its running on either backend, and its printing.
 *
 * On CUDA the host only enqueues. The step's values are on the device in one struct that every
 * kernel reads; it is sent when they changed, from page-locked memory, in the order of the stream.
 */
#include "nn/plan_parts.h"

#include "base/arena.h"
#include "kernels/cpu_bf16.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- memory --- */

asd_status asd_plan_alloc_checks(asd_plan *p)
{
    size_t most = 0;
    for (int v = 0; v < p->n_values; ++v) {
        size_t bytes = (size_t)asd_count(p->value[v].tensor.shape) * sizeof(float);
        most         = bytes > most ? bytes : most;
    }
    if (p->check && p->stream && !(p->check_x = malloc(most + 1)))
        return ASD_FAIL(ASD_E_OOM, "no memory for ASD_CHECK: a tensor of %zu bytes", most);
    return ASD_OK;
}

static asd_status alloc_gpu(asd_plan *p)
{
    asd_gpu *gpu = asd_stream_gpu(p->stream);
    char     what[64];
    snprintf(what, sizeof what, "a network of %d steps", p->n);
    ASD_TRY(asd_gpu_alloc(gpu, asd_align_up(p->bytes) + sizeof(asd_step), what, "train.batch",
                          (void **)&p->base));
    p->step_device = (asd_step *)(p->base + asd_align_up(p->bytes));
    ASD_TRY(asd_gpu_alloc_pinned(gpu, STEP_SLOTS * sizeof *p->slot, "the values of a step",
                                 (void **)&p->slot));
    for (int i = 0; i < STEP_SLOTS; ++i)
        ASD_TRY(asd_event_new(gpu, &p->slot_free[i]));
    return ASD_OK;
}

asd_status asd_plan_alloc(asd_plan *p)
{
    if (p->stream)
        return alloc_gpu(p);
    p->base = asd_calloc_aligned(p->bytes, 1);
    return p->base ? ASD_OK : ASD_FAIL(ASD_E_OOM, "no memory for a plan of %zu bytes", p->bytes);
}

void asd_plan_release(asd_plan *p)
{
    if (!p->stream) {
        free(p->base);
        return;
    }
    asd_gpu *gpu = asd_stream_gpu(p->stream);
    for (int i = 0; i < STEP_SLOTS; ++i)
        asd_event_free(p->slot_free[i]);
    asd_gpu_free_pinned(gpu, p->slot);
    asd_gpu_free(gpu, p->base);
    free(p->check_x);
}

asd_status asd_plan_copy_in(const asd_plan *p, void *to, const void *from, size_t bytes)
{
    if (p->stream)
        return asd_stream_upload(p->stream, to, from, bytes);
    memcpy(to, from, bytes);
    return ASD_OK;
}

static asd_status copy_out(const asd_plan *p, void *to, const void *from, size_t bytes)
{
    if (!p->stream) {
        memcpy(to, from, bytes);
        return ASD_OK;
    }
    ASD_TRY(asd_stream_download(p->stream, to, from, bytes));
    return asd_stream_wait(p->stream);
}

asd_status asd_plan_wait(const asd_plan *p)
{
    return p->stream ? asd_stream_wait(p->stream) : ASD_OK;
}

/* --- values --- */

void *asd_plan_data(const asd_plan *p, asd_val v)
{
    return v >= 0 && v < p->n_values && asd_plan_base(p, v)->readable ? p->value[v].tensor.x : NULL;
}

float *asd_plan_grad(const asd_plan *p, asd_val v)
{
    return v >= 0 && v < p->n_values && asd_plan_base(p, v)->grad_readable ? p->value[v].tensor.g
                                                                           : NULL;
}

static size_t bytes_of(const asd_plan *p, asd_val v)
{
    const asd_tensor *t = &p->value[v].tensor;
    return (size_t)asd_count(t->shape) * asd_dtype_size(t->dtype);
}

asd_status asd_plan_write(asd_plan *p, asd_val input, const void *host)
{
    void *x = asd_plan_data(p, input);
    ASD_ASSERT(x && !asd_plan_base(p, input)->lent);
    return asd_plan_copy_in(p, x, host, bytes_of(p, input));
}

asd_status asd_plan_read(const asd_plan *p, asd_val v, void *host)
{
    const void *x = asd_plan_data(p, v);
    ASD_ASSERT(x);
    return copy_out(p, host, x, bytes_of(p, v));
}

asd_status asd_plan_read_grad(const asd_plan *p, asd_val v, float *host)
{
    const float *g = asd_plan_grad(p, v);
    ASD_ASSERT(g);
    return copy_out(p, host, g, bytes_of(p, v));
}

void asd_plan_bind(asd_plan *p, asd_val v, const void *data)
{
    v = p->value[v].base;
    ASD_ASSERT(p->value[v].lent);
    for (int u = 0; u < p->n_values; ++u)
        if (p->value[u].base == v)
            p->value[u].tensor.x = (void *)data;
    for (int i = 0; i < p->n; ++i)
        for (int k = 0; k < p->call[i].call.n_in; ++k)
            if (p->call[i].in[k] == v)
                p->call[i].call.x[k].x = (void *)data;
}

asd_step *asd_plan_step(asd_plan *p)
{
    return &p->step;
}

const asd_step *asd_plan_step_seen(const asd_plan *p)
{
    return p->stream ? p->step_device : &p->step;
}

size_t asd_plan_bytes(const asd_plan *p)
{
    return p->bytes;
}

/* --- the step's values --- */

/* Field by field, because padding is not kept by assignment. A new field of asd_step belongs here.
 */
static int same_step(const asd_step *a, const asd_step *b)
{
    _Static_assert(sizeof(asd_step) == 24, "a new field of asd_step is to be compared here");
    return a->step == b->step && a->seed == b->seed && !memcmp(&a->lr, &b->lr, sizeof a->lr);
}

asd_status asd_plan_send_step(asd_plan *p)
{
    if (!p->stream || same_step(&p->sent, &p->step))
        return ASD_OK;
    if (asd_stream_capturing(p->stream))
        return ASD_FAIL(ASD_E_DEVICE, "the values of the step changed and were not sent before the "
                                      "capture began: the graph would repeat them for ever");
    int i = p->next_slot;
    ASD_TRY(asd_event_wait(p->slot_free[i])); /* its last copy is done; at once if it had none */
    p->slot[i] = p->step;
    ASD_TRY(asd_stream_upload(p->stream, p->step_device, &p->slot[i], sizeof *p->slot));
    ASD_TRY(asd_event_record(p->slot_free[i], p->stream));
    p->sent      = p->step;
    p->next_slot = (i + 1) % STEP_SLOTS;
    return ASD_OK;
}

/* --- running --- */

static float element(const void *x, asd_dtype dtype, int64_t i)
{
    return dtype == ASD_F32 ? ((const float *)x)[i] : asd_bf16_value(((const uint16_t *)x)[i]);
}

static asd_status check_finite(const asd_plan *p, const asd_call *c, int index, const void *x,
                               asd_dtype dtype, asd_shape shape, const char *what)
{
    char s[64];
    if (dtype != ASD_F32 && dtype != ASD_BF16)
        return ASD_OK;
    if (p->stream) {
        ASD_TRY(copy_out(p, p->check_x, x, (size_t)asd_count(shape) * asd_dtype_size(dtype)));
        x = p->check_x;
    }
    for (int64_t i = 0; i < asd_count(shape); ++i)
        if (!isfinite(element(x, dtype, i)))
            return ASD_FAIL(ASD_E_NUMERIC, "step %d, %s: element %lld of %s %s is %g", index,
                            c->op->name, (long long)i, what, asd_shape_text(shape, s, sizeof s),
                            (double)element(x, dtype, i));
    return ASD_OK;
}

/* With ASD_CHECK, CUDA's errors, which else show at some later wait, name their step. */
static asd_status end_call(const asd_plan *p, const asd_call *c, int index, int check)
{
    if (!check || !p->stream)
        return ASD_OK;
    asd_status st = asd_stream_wait(p->stream);
    return st ? ASD_FAIL(st, "step %d, %s: %s", index, c->op->name, asd_error_text()) : ASD_OK;
}

/* Inside a capture nothing runs, so there is nothing to check. */
static int checks(const asd_plan *p)
{
    return p->check && !(p->stream && asd_stream_capturing(p->stream));
}

int asd_plan_checks(const asd_plan *p)
{
    return p->check;
}

asd_status asd_plan_forward(asd_plan *p)
{
    int check = checks(p);
    ASD_TRY(asd_plan_send_step(p));
    for (int i = 0; i < p->n; ++i) {
        const asd_call *c = &p->call[i].call;
        if (p->call[i].bf16_on_cpu)
            ASD_TRY(asd_bf16_fwd(c, p->call[i].wide_scratch));
        else
            ASD_TRY(c->op->fwd[p->backend](c));
        ASD_TRY(end_call(p, c, i, check));
        if (check)
            ASD_TRY(check_finite(p, c, i, c->y.x, c->y.dtype, c->y.shape, "y"));
    }
    return ASD_OK;
}

asd_status asd_plan_backward(asd_plan *p)
{
    int check = checks(p);
    for (int i = p->n - 1; i >= 0; --i) {
        if (!p->call[i].has_backward)
            continue;
        asd_call c = p->call[i].call;
        c.work     = p->call[i].bwd_scratch;
        ASD_TRY(c.op->bwd[p->backend](&c));
        ASD_TRY(end_call(p, &c, i, check));
        for (int k = 0; check && k < c.n_in; ++k)
            if (c.x[k].g)
                ASD_TRY(
                    check_finite(p, &c, i, c.x[k].g, c.x[k].g_dtype, c.x[k].shape, "a gradient"));
    }
    return ASD_OK;
}

/* --- printing --- */

void asd_plan_print(const asd_plan *p, FILE *out)
{
    char        s[64];
    const char *backend = p->stream ? "cuda" : "cpu";
    fprintf(out, "%4s  %-12s %-22s %10s  %-11s %-9s %-5s %s\n", "step", "op", "y", "bytes", "live",
            "backward", "dtype", "kernel");
    for (int i = 0; i < p->n; ++i) {
        const planned_call *c    = &p->call[i];
        const item         *y    = NULL;
        int                 used = 0;
        for (int v = 0; v < p->n_values && !y; ++v)
            if (p->value[v].tensor.x == c->call.y.x && p->value[v].x.bytes &&
                p->value[v].x.from == i)
                y = &p->value[v].x;
        fprintf(out, "%4d  %-12s %-22s %10zu  [%3d, %3d]  ", i, c->call.op->name,
                asd_shape_text(c->call.y.shape, s, sizeof s), y ? y->bytes : 0, y ? y->from : i,
                y ? y->to : i);
        for (int k = 0; c->has_backward && k < c->call.n_in; ++k, ++used)
            fputs(!c->call.x[k].g ? "-" : c->call.acc[k] ? "+" : "=", out);
        fprintf(out, "%*s%-5s %s_fwd_%s\n", used < 10 ? 10 - used : 1, "",
                asd_dtype_name(c->call.y.dtype), c->call.op->name, backend);
    }
    fprintf(out, "arena: %zu bytes on %s\n", p->bytes, backend);
}
