/* plan.c - from tape to calls. Read build() at the bottom first: it is the list of the planner's
 * passes.
 *
 * Time runs over the kept ops: forward of op i at time i, backward of op i at time 2 n - 1 - i. An
 * item is a buffer with a live range [from, to]; place() gives each item an offset, largest first,
 * at the lowest address where it touches no item that lives at the same time (Pisarchyk and Lee
 * 2020, greedy by size). A view has no items: what happens to it happens to its base.
 */
#include "nn/plan_parts.h"

#include "base/arena.h"
#include "kernels/cpu_bf16.h"

#include <stdlib.h>
#include <string.h>

static void use(item *it, int time)
{
    if (it->from > it->to)
        it->from = it->to = time;
    if (time < it->from)
        it->from = time;
    if (time > it->to)
        it->to = time;
}

/* Marks the ops that `v` needs. */
static void mark(const asd_tape *t, asd_val v, unsigned char *needed)
{
    int node = t->value[v].node;
    if (node < 0 || needed[node])
        return;
    needed[node] = 1;
    for (int k = 0; k < t->node[node].n.n_in; ++k)
        mark(t, t->node[node].in[k], needed);
}

static int backward_time(const asd_plan *p, int i)
{
    return 2 * p->n - 1 - i;
}

/* Each kept op has a kernel for the backend, and the CPU is not to train in bf16: its backward
 * kernels know fp32 alone. */
static asd_status check_ops(const asd_tape *t, asd_plan *p, asd_val loss)
{
    for (int i = 0; i < p->n; ++i) {
        const asd_node *n = &t->node[p->call[i].node].n;
        if (!n->op->fwd[p->backend])
            return ASD_FAIL(ASD_E_DEVICE, "%s has no CUDA kernel in this program; use --device cpu",
                            n->op->name);
        p->call[i].bf16_on_cpu = p->backend == ASD_CPU && asd_bf16_in(n);
        for (int k = 0; k <= n->n_in && p->call[i].bf16_on_cpu && loss != ASD_NO_VAL; ++k)
            if ((k < n->n_in ? n->in[k] : n->y).dtype == ASD_BF16)
                return ASD_FAIL(ASD_E_DEVICE,
                                "%s: %s %d is bf16, in which the CPU does not train; use "
                                "--precision fp32 or --device cuda",
                                n->op->name, k < n->n_in ? "input" : "output", k < n->n_in ? k : 0);
    }
    return ASD_OK;
}

/* Which values carry a gradient: trainable parameters, inputs that ask for one, and what is
 * computed from them. */
static asd_status find_gradients(const asd_tape *t, asd_plan *p, asd_val loss)
{
    for (int v = 0; v < t->n_values; ++v) {
        int param = t->value[v].param;
        p->value[v].needs_grad =
            loss != ASD_NO_VAL &&
            (t->value[v].want_grad || (param >= 0 && t->params->param[param].trainable));
    }
    for (int i = 0; i < p->n; ++i) {
        const asd_tape_node *n   = &t->node[p->call[i].node];
        int                  any = 0;
        for (int k = 0; k < n->n.n_in; ++k)
            any |= asd_plan_base(p, n->in[k])->needs_grad && !(n->n.op->no_grad >> k & 1);
        if (any && !n->n.op->bwd[p->backend] && n->n.op->bwd[ASD_CPU])
            return ASD_FAIL(ASD_E_DEVICE,
                            "%s has no CUDA backward in this program; train with --device cpu",
                            n->n.op->name);
        if (any && !n->n.op->bwd[p->backend])
            return ASD_FAIL(ASD_E_SHAPE,
                            "%s has no backward, but the loss is to be differentiated through it",
                            n->n.op->name);
        p->value[n->out].needs_grad = any;
    }
    if (loss != ASD_NO_VAL && !asd_plan_base(p, loss)->needs_grad)
        return ASD_FAIL(ASD_E_SHAPE, "the loss depends on no trainable parameter");
    return ASD_OK;
}

/* Which ops run backward: those whose output's gradient somebody wrote, beginning at the loss. The
 * order of writers decides store or add. */
static void plan_backward(const asd_tape *t, asd_plan *p, asd_val loss)
{
    if (loss == ASD_NO_VAL)
        return;
    asd_plan_base(p, loss)->grad_written = 1;
    for (int i = p->n - 1; i >= 0; --i) {
        planned_call        *c = &p->call[i];
        const asd_tape_node *n = &t->node[c->node];
        c->has_backward        = p->value[n->out].grad_written;
        if (!c->has_backward)
            continue;
        use(&p->value[n->out].g, backward_time(p, i));
        for (int k = 0; k < n->n.n_in; ++k) {
            planned_value *in = asd_plan_base(p, n->in[k]);
            if (!in->needs_grad || (n->n.op->no_grad >> k & 1))
                continue;
            c->call.acc[k]   = t->value[n->in[k]].param >= 0 || in->grad_written;
            in->grad_written = 1;
            use(&in->g, backward_time(p, i));
        }
    }
}

static void plan_values(const asd_tape *t, asd_plan *p, asd_val loss, const asd_val *outputs,
                        int n_outputs)
{
    int end = 2 * p->n;
    for (int i = 0; i < p->n; ++i) {
        planned_call        *c    = &p->call[i];
        const asd_tape_node *n    = &t->node[c->node];
        unsigned             keep = c->has_backward ? n->n.op->keeps : 0;
        use(&p->value[n->out].x, i);
        if (keep & ASD_KEEPS_Y)
            use(&p->value[n->out].x, backward_time(p, i));
        for (int k = 0; k < n->n.n_in; ++k) {
            use(&asd_plan_base(p, n->in[k])->x, i);
            if (keep >> k & 1)
                use(&asd_plan_base(p, n->in[k])->x, backward_time(p, i));
        }
        c->saved = (item){
            .bytes = n->n.saved_bytes, .from = i, .to = c->has_backward ? backward_time(p, i) : i};
        c->fwd_work = (item){.bytes = n->n.fwd_work_bytes, .from = i, .to = i};
        c->wide = (item){.bytes = c->bf16_on_cpu ? asd_bf16_room(&n->n) : 0, .from = i, .to = i};
        c->bwd_work = (item){.bytes = c->has_backward ? n->n.bwd_work_bytes : 0,
                             .from  = backward_time(p, i),
                             .to    = backward_time(p, i)};
    }
    for (int i = -1; i < n_outputs; ++i) {
        asd_val v = i < 0 ? loss : outputs[i];
        if (v == ASD_NO_VAL)
            continue;
        use(&asd_plan_base(p, v)->x, end);
        asd_plan_base(p, v)->readable = 1;
    }
    for (int v = 0; v < p->n_values; ++v) {
        const asd_value *tv    = &t->value[v];
        planned_value   *pv    = &p->value[v];
        int              input = tv->node < 0 && tv->param < 0;
        if (pv->base != v)
            continue;
        pv->lent = tv->bound;
        if (input && pv->x.from <= pv->x.to) { /* filled before the run, read whenever */
            use(&pv->x, 0);
            use(&pv->x, end);
            pv->readable = 1;
        }
        if (tv->want_grad && pv->g.from <= pv->g.to) {
            use(&pv->g, end);
            pv->grad_readable = 1;
        }
        if (tv->param < 0 && !tv->bound)
            pv->x.bytes = (size_t)asd_count(tv->spec.shape) * asd_dtype_size(tv->spec.dtype);
        if (tv->param < 0)
            pv->g.bytes = (size_t)asd_count(tv->spec.shape) * asd_dtype_size(tv->spec.dtype);
    }
    if (loss != ASD_NO_VAL) { /* holds ones from building on */
        use(&asd_plan_base(p, loss)->g, 0);
        use(&asd_plan_base(p, loss)->g, end);
    }
}

static int larger_first(const void *a, const void *b)
{
    const item *x = *(item *const *)a, *y = *(item *const *)b;
    return x->bytes != y->bytes ? (x->bytes < y->bytes ? 1 : -1) : x->order - y->order;
}

static int lower_first(const void *a, const void *b)
{
    const item *x = *(item *const *)a, *y = *(item *const *)b;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static int collect(asd_plan *p, item **list)
{
    int n = 0;
    for (int v = 0; v < p->n_values; ++v) {
        list[n++] = &p->value[v].x;
        list[n++] = &p->value[v].g;
    }
    for (int i = 0; i < p->n; ++i) {
        list[n++] = &p->call[i].saved;
        list[n++] = &p->call[i].fwd_work;
        list[n++] = &p->call[i].wide;
        list[n++] = &p->call[i].bwd_work;
    }
    int kept = 0;
    for (int i = 0; i < n; ++i)
        if (list[i]->bytes && list[i]->from <= list[i]->to) {
            list[i]->bytes = asd_align_up(list[i]->bytes);
            list[i]->order = kept;
            list[kept++]   = list[i];
        } else {
            list[i]->bytes = 0;
        }
    return kept;
}

static asd_status place(asd_plan *p)
{
    size_t room   = (size_t)(2 * p->n_values + 4 * p->n + 1);
    item **list   = malloc(room * sizeof *list);
    item **placed = malloc(room * sizeof *placed);
    if (!list || !placed) {
        free(list);
        free(placed);
        return ASD_FAIL(ASD_E_OOM, "no memory to plan %d ops", p->n);
    }
    int n = collect(p, list);
    qsort(list, (size_t)n, sizeof *list, larger_first);
    for (int i = 0; i < n; ++i) {
        size_t at = 0;
        qsort(placed, (size_t)i, sizeof *placed, lower_first);
        for (int k = 0; k < i; ++k)
            if (placed[k]->from <= list[i]->to && list[i]->from <= placed[k]->to &&
                placed[k]->offset < at + list[i]->bytes &&
                at < placed[k]->offset + placed[k]->bytes)
                at = placed[k]->offset + placed[k]->bytes;
        list[i]->offset = at;
        placed[i]       = list[i];
        if (at + list[i]->bytes > p->bytes)
            p->bytes = at + list[i]->bytes;
    }
    free(list);
    free(placed);
    return asd_plan_alloc(p);
}

static void *address(const asd_plan *p, const item *it)
{
    return it->bytes ? p->base + it->offset : NULL;
}

/* A parameter's tensor: its memory is the store's, or a mapped file's, which nobody writes. A bf16
 * one is the copy that the optimiser
 * refreshes; its gradient is that of the fp32 original. */
static void set_param(const asd_tape *t, const asd_plan *p, asd_val loss, int v)
{
    const asd_params *store = t->params;
    int               k     = t->value[v].param;
    const asd_param  *q     = &store->param[k];
    asd_tensor       *x     = &p->value[v].tensor;
    float            *g     = p->stream ? store->on_gpu.g : store->g;
    if (x->dtype == ASD_BF16)
        x->x = (p->stream ? store->on_gpu.w16 : store->w16) + q->offset;
    else
        x->x = p->stream ? (void *)asd_params_value_on_gpu(store, k)
                         : (void *)(uintptr_t)asd_params_peek(store, k);
    x->g       = q->trainable && g && loss != ASD_NO_VAL ? g + q->offset : NULL;
    x->g_dtype = ASD_F32;
}

static void set_addresses(const asd_tape *t, asd_plan *p, asd_val loss)
{
    for (int v = 0; v < p->n_values; ++v) {
        const asd_value *tv = &t->value[v];
        asd_tensor      *x  = &p->value[v].tensor;
        if (p->value[v].base != v) { /* a base comes before its views */
            *x       = asd_plan_base(p, v)->tensor;
            x->shape = tv->spec.shape;
            continue;
        }
        *x = (asd_tensor){address(p, &p->value[v].x), address(p, &p->value[v].g), tv->spec.dtype,
                          tv->spec.dtype, tv->spec.shape};
        if (tv->param >= 0)
            set_param(t, p, loss, v);
    }
    for (int i = 0; i < p->n; ++i) {
        planned_call        *c = &p->call[i];
        const asd_tape_node *n = &t->node[c->node];
        c->call.op             = n->n.op;
        c->call.n_in           = n->n.n_in;
        c->call.training       = t->training;
        c->call.step           = p->stream ? p->step_device : &p->step;
        c->call.stream         = p->stream;
        c->call.y              = p->value[n->out].tensor;
        c->call.saved          = address(p, &c->saved);
        c->call.work           = address(p, &c->fwd_work);
        c->bwd_scratch         = address(p, &c->bwd_work);
        c->wide_scratch        = address(p, &c->wide);
        for (int k = 0; k < n->n.n_in; ++k) {
            c->in[k]     = p->value[n->in[k]].base;
            c->call.x[k] = p->value[n->in[k]].tensor;
            if (!asd_plan_base(p, n->in[k])->needs_grad || (n->n.op->no_grad >> k & 1))
                c->call.x[k].g = NULL;
        }
    }
}

/* The gradient of the loss: a one for each of its elements, there from building on. */
static asd_status set_ones(const asd_tape *t, const asd_plan *p, asd_val loss)
{
    int64_t n    = asd_count(t->value[loss].spec.shape);
    float  *ones = malloc((size_t)n * sizeof *ones);
    if (!ones)
        return ASD_FAIL(ASD_E_OOM, "no memory for a loss of %lld elements", (long long)n);
    for (int64_t i = 0; i < n; ++i)
        ones[i] = 1;
    asd_status st = asd_plan_copy_in(p, p->value[loss].tensor.g, ones, (size_t)n * sizeof *ones);
    if (!st)
        st = asd_plan_wait(p); /* before the host memory goes */
    free(ones);
    return st;
}

static asd_status prepare_calls(const asd_tape *t, asd_plan *p)
{
    for (int i = 0; i < p->n; ++i) {
        p->call[i].call.attr = t->node[p->call[i].node].n.attr;
        if (p->call[i].call.op->prepare[p->backend])
            ASD_TRY(p->call[i].call.op->prepare[p->backend](&p->call[i].call));
    }
    return ASD_OK;
}

static asd_status check_loss(const asd_tape *t, const asd_stream *stream, asd_val loss)
{
    const asd_params *store = t->params;
    if (t->status)
        return ASD_FAIL(t->status, "%s", t->error);
    if (!store->allocated)
        return ASD_FAIL(ASD_E_SHAPE, "the parameters have no memory yet");
    if (stream && store->n && store->gpu != asd_stream_gpu(stream))
        return ASD_FAIL(ASD_E_SHAPE, "the parameters are not on the device of this plan's stream");
    for (int v = 0; v < t->n_values; ++v)
        if (t->value[v].param >= 0 && t->value[v].spec.dtype == ASD_BF16 &&
            !(stream ? store->on_gpu.w16 : store->w16))
            return ASD_FAIL(ASD_E_SHAPE,
                            stream ? "the parameters went to the device without bf16 copies"
                                   : "the parameters have no bf16 copies");
    if (loss != ASD_NO_VAL && t->value[loss].spec.dtype != ASD_F32)
        return ASD_FAIL(ASD_E_SHAPE, "the loss is %s, want f32",
                        asd_dtype_name(t->value[loss].spec.dtype));
    if (loss != ASD_NO_VAL && !t->training)
        return ASD_FAIL(ASD_E_SHAPE,
                        "the tape is for inference: its loss cannot be differentiated");
    if (loss != ASD_NO_VAL && !store->g && store->n_trainable)
        return ASD_FAIL(ASD_E_SHAPE,
                        "the parameters have no gradients: they were allocated for inference");
    return ASD_OK;
}

/* The planner's passes, in order. */
static asd_status build(asd_tape *t, asd_val loss, const asd_val *outputs, int n_outputs,
                        asd_plan *p, unsigned char *needed)
{
    for (int i = -1; i < n_outputs; ++i) {
        asd_val v = i < 0 ? loss : outputs[i];
        if (v != ASD_NO_VAL)
            mark(t, v, needed);
    }
    for (int i = 0; i < t->n_nodes; ++i)
        if (needed[i])
            p->call[p->n++].node = i;
    for (int v = 0; v < p->n_values; ++v) {
        p->value[v].x = p->value[v].g = (item){.from = 1, .to = 0};
        p->value[v].base              = asd_tape_base(t, v);
    }
    ASD_TRY(check_ops(t, p, loss));
    ASD_TRY(find_gradients(t, p, loss));
    plan_backward(t, p, loss);
    plan_values(t, p, loss, outputs, n_outputs);
    ASD_TRY(place(p));
    set_addresses(t, p, loss);
    if (loss != ASD_NO_VAL)
        ASD_TRY(set_ones(t, p, loss));
    ASD_TRY(asd_plan_alloc_checks(p));
    ASD_TRY(prepare_calls(t, p));
    return asd_plan_wait(p);
}

asd_status asd_plan_build(asd_tape *t, asd_val loss, const asd_val *outputs, int n_outputs,
                          asd_stream *stream, asd_plan **out)
{
    asd_status     st     = ASD_OK;
    asd_plan      *p      = NULL;
    size_t         n      = (size_t)t->n_nodes + 1;
    unsigned char *needed = NULL;
    *out                  = NULL;
    ASD_TRY(check_loss(t, stream, loss));
    needed = calloc(n, 1);
    p      = calloc(1, sizeof *p);
    if (!p || !needed) {
        st = ASD_FAIL(ASD_E_OOM, "no memory to plan %d ops", t->n_nodes);
        goto done;
    }
    p->backend  = stream ? ASD_CUDA : ASD_CPU;
    p->stream   = stream;
    p->n_values = t->n_values;
    p->check    = getenv("ASD_CHECK") && !strcmp(getenv("ASD_CHECK"), "1");
    p->value    = calloc((size_t)t->n_values + 1, sizeof *p->value);
    p->call     = calloc(n, sizeof *p->call);
    if (!p->value || !p->call) {
        st = ASD_FAIL(ASD_E_OOM, "no memory to plan %d ops", t->n_nodes);
        goto done;
    }
    if ((st = build(t, loss, outputs, n_outputs, p, needed)))
        goto done;
    *out = p;
    p    = NULL;
done:
    free(needed);
    asd_plan_free(p);
    return st;
}

void asd_plan_free(asd_plan *p)
{
    if (!p)
        return;
    for (int i = 0; i < p->n; ++i)
        if (p->call[i].call.op && p->call[i].call.op->release[p->backend])
            p->call[i].call.op->release[p->backend](&p->call[i].call);
    free(p->call);
    free(p->value);
    asd_plan_release(p);
    free(p);
}
