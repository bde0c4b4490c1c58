/* plan.c - from tape to calls. Read build() at the bottom first: it is the list of the planner's
 * passes.
 *
 * Time runs over the kept ops: forward of op i at time i, backward of op i at time 2 n - 1 - i. An
 * item is a buffer with a live range [from, to]; place() gives each item an offset, largest first,
 * at the lowest address where it touches no item that lives at the same time (Pisarchyk and Lee
 * 2020, greedy by size).
 */
#include "nn/plan.h"

#include "base/arena.h"
#include "base/log.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct item {
    size_t bytes, offset;
    int    from, to; /* live range, both ends included; from > to: not used */
} item;

typedef struct planned_value {
    asd_tensor    tensor;
    item          x, g;
    int           needs_grad;
    int           readable, grad_readable;
    int           lent;         /* the caller's memory */
    unsigned char grad_written; /* during backward planning */
} planned_value;

typedef struct planned_call {
    asd_call call;
    item     saved, fwd_work, bwd_work;
    void    *bwd_scratch;
    int      node;           /* on the tape */
    asd_val  in[ASD_MAX_IN]; /* for asd_plan_bind */
    int      has_backward;
} planned_call;

struct asd_plan {
    asd_backend    backend;
    planned_value *value; /* (n_values) */
    int            n_values;
    planned_call  *call; /* (n) kept ops in tape order */
    int            n;
    char          *base;
    size_t         bytes;
    asd_step       step;
    int            check;
};

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
            any |= p->value[n->in[k]].needs_grad && !(n->n.op->no_grad >> k & 1);
        if (any && !n->n.op->bwd[p->backend])
            return ASD_FAIL(ASD_E_SHAPE,
                            "%s has no backward, but the loss is to be differentiated through it",
                            n->n.op->name);
        p->value[n->out].needs_grad = any;
    }
    if (loss != ASD_NO_VAL && !p->value[loss].needs_grad)
        return ASD_FAIL(ASD_E_SHAPE, "the loss depends on no trainable parameter");
    return ASD_OK;
}

/* Which ops run backward: those whose output's gradient somebody wrote, beginning at the loss. The
 * order of writers decides store or add. */
static void plan_backward(const asd_tape *t, asd_plan *p, asd_val loss)
{
    if (loss == ASD_NO_VAL)
        return;
    p->value[loss].grad_written = 1;
    for (int i = p->n - 1; i >= 0; --i) {
        planned_call        *c = &p->call[i];
        const asd_tape_node *n = &t->node[c->node];
        c->has_backward        = p->value[n->out].grad_written;
        if (!c->has_backward)
            continue;
        use(&p->value[n->out].g, backward_time(p, i));
        for (int k = 0; k < n->n.n_in; ++k) {
            planned_value *in = &p->value[n->in[k]];
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
            use(&p->value[n->in[k]].x, i);
            if (keep >> k & 1)
                use(&p->value[n->in[k]].x, backward_time(p, i));
        }
        c->saved = (item){
            .bytes = n->n.saved_bytes, .from = i, .to = c->has_backward ? backward_time(p, i) : i};
        c->fwd_work = (item){.bytes = n->n.fwd_work_bytes, .from = i, .to = i};
        c->bwd_work = (item){.bytes = c->has_backward ? n->n.bwd_work_bytes : 0,
                             .from  = backward_time(p, i),
                             .to    = backward_time(p, i)};
    }
    for (int i = -1; i < n_outputs; ++i) {
        asd_val v = i < 0 ? loss : outputs[i];
        if (v == ASD_NO_VAL)
            continue;
        use(&p->value[v].x, end);
        p->value[v].readable = 1;
    }
    for (int v = 0; v < p->n_values; ++v) {
        const asd_value *tv    = &t->value[v];
        planned_value   *pv    = &p->value[v];
        int              input = tv->node < 0 && tv->param < 0;
        pv->lent               = tv->bound;
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
            pv->g.bytes = (size_t)asd_count(tv->spec.shape) * sizeof(float);
    }
    if (loss != ASD_NO_VAL) { /* holds ones from building on */
        use(&p->value[loss].g, 0);
        use(&p->value[loss].g, end);
    }
}

static int larger_first(const void *a, const void *b)
{
    const item *x = *(item *const *)a, *y = *(item *const *)b;
    return x->bytes != y->bytes ? (x->bytes < y->bytes ? 1 : -1) : (x < y ? -1 : x > y);
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
        list[n++] = &p->call[i].bwd_work;
    }
    int kept = 0;
    for (int i = 0; i < n; ++i)
        if (list[i]->bytes && list[i]->from <= list[i]->to) {
            list[i]->bytes = asd_align_up(list[i]->bytes);
            list[kept++]   = list[i];
        } else {
            list[i]->bytes = 0;
        }
    return kept;
}

static asd_status place(asd_plan *p)
{
    size_t room   = (size_t)(2 * p->n_values + 3 * p->n + 1);
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
    p->base = asd_calloc_aligned(p->bytes, 1);
    return p->base ? ASD_OK : ASD_FAIL(ASD_E_OOM, "no memory for a plan of %zu bytes", p->bytes);
}

static void *address(const asd_plan *p, const item *it)
{
    return it->bytes ? p->base + it->offset : NULL;
}

static void set_addresses(const asd_tape *t, asd_plan *p, asd_val loss)
{
    for (int v = 0; v < p->n_values; ++v) {
        const asd_value *tv = &t->value[v];
        asd_tensor      *x  = &p->value[v].tensor;
        *x = (asd_tensor){address(p, &p->value[v].x), address(p, &p->value[v].g), tv->spec.dtype,
                          tv->spec.dtype, tv->spec.shape};
        if (tv->param >= 0) {
            const asd_param *q = &t->params->param[tv->param];
            x->x               = asd_params_value(t->params, tv->param);
            x->g = q->trainable && t->params->g && loss != ASD_NO_VAL ? t->params->g + q->offset
                                                                      : NULL;
        }
    }
    for (int i = 0; i < p->n; ++i) {
        planned_call        *c = &p->call[i];
        const asd_tape_node *n = &t->node[c->node];
        c->call.op             = n->n.op;
        c->call.n_in           = n->n.n_in;
        c->call.training       = t->training;
        c->call.step           = &p->step;
        c->call.y              = p->value[n->out].tensor;
        c->call.saved          = address(p, &c->saved);
        c->call.work           = address(p, &c->fwd_work);
        c->bwd_scratch         = address(p, &c->bwd_work);
        for (int k = 0; k < n->n.n_in; ++k) {
            c->in[k]     = n->in[k];
            c->call.x[k] = p->value[n->in[k]].tensor;
            if (!p->value[n->in[k]].needs_grad || (n->n.op->no_grad >> k & 1))
                c->call.x[k].g = NULL;
        }
    }
    for (int64_t i = 0; loss != ASD_NO_VAL && i < asd_count(t->value[loss].spec.shape); ++i)
        ((float *)p->value[loss].tensor.g)[i] = 1;
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

static asd_status check_loss(const asd_tape *t, asd_val loss)
{
    if (t->status)
        return ASD_FAIL(t->status, "%s", t->error);
    if (!t->params->allocated)
        return ASD_FAIL(ASD_E_SHAPE, "the parameters have no memory yet");
    if (loss != ASD_NO_VAL && !t->training)
        return ASD_FAIL(ASD_E_SHAPE,
                        "the tape is for inference: its loss cannot be differentiated");
    if (loss != ASD_NO_VAL && !t->params->g && t->params->n_trainable)
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
    for (int v = 0; v < p->n_values; ++v)
        p->value[v].x = p->value[v].g = (item){.from = 1, .to = 0};
    ASD_TRY(find_gradients(t, p, loss));
    plan_backward(t, p, loss);
    plan_values(t, p, loss, outputs, n_outputs);
    ASD_TRY(place(p));
    set_addresses(t, p, loss);
    return prepare_calls(t, p);
}

asd_status asd_plan_build(asd_tape *t, asd_val loss, const asd_val *outputs, int n_outputs,
                          asd_backend backend, asd_plan **out)
{
    asd_status     st     = ASD_OK;
    asd_plan      *p      = NULL;
    size_t         n      = (size_t)t->n_nodes + 1;
    unsigned char *needed = NULL;
    *out                  = NULL;
    ASD_TRY(check_loss(t, loss));
    if (backend != ASD_CPU)
        return ASD_FAIL(ASD_E_DEVICE, "this build of asd has no CUDA; use --device cpu");
    needed = calloc(n, 1);
    p      = calloc(1, sizeof *p);
    if (!p || !needed) {
        st = ASD_FAIL(ASD_E_OOM, "no memory to plan %d ops", t->n_nodes);
        goto done;
    }
    p->backend  = backend;
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
    free(p->base);
    free(p);
}

/* --- running --- */

void *asd_plan_data(const asd_plan *p, asd_val v)
{
    return v >= 0 && v < p->n_values && p->value[v].readable ? p->value[v].tensor.x : NULL;
}

float *asd_plan_grad(const asd_plan *p, asd_val v)
{
    return v >= 0 && v < p->n_values && p->value[v].grad_readable ? p->value[v].tensor.g : NULL;
}

void asd_plan_bind(asd_plan *p, asd_val v, const void *data)
{
    ASD_ASSERT(p->value[v].lent);
    p->value[v].tensor.x = (void *)data;
    for (int i = 0; i < p->n; ++i)
        for (int k = 0; k < p->call[i].call.n_in; ++k)
            if (p->call[i].in[k] == v)
                p->call[i].call.x[k].x = (void *)data;
}

asd_step *asd_plan_step(asd_plan *p)
{
    return &p->step;
}

size_t asd_plan_bytes(const asd_plan *p)
{
    return p->bytes;
}

static asd_status check_finite(const asd_call *c, int index, const float *x, asd_shape shape,
                               const char *what)
{
    char s[64];
    for (int64_t i = 0; i < asd_count(shape); ++i)
        if (!isfinite(x[i]))
            return ASD_FAIL(ASD_E_NUMERIC, "step %d, %s: element %lld of %s %s is %g", index,
                            c->op->name, (long long)i, what, asd_shape_text(shape, s, sizeof s),
                            (double)x[i]);
    return ASD_OK;
}

asd_status asd_plan_forward(asd_plan *p)
{
    for (int i = 0; i < p->n; ++i) {
        const asd_call *c = &p->call[i].call;
        ASD_TRY(c->op->fwd[p->backend](c));
        if (p->check && c->y.dtype == ASD_F32)
            ASD_TRY(check_finite(c, i, c->y.x, c->y.shape, "y"));
    }
    return ASD_OK;
}

asd_status asd_plan_backward(asd_plan *p)
{
    for (int i = p->n - 1; i >= 0; --i) {
        if (!p->call[i].has_backward)
            continue;
        asd_call c = p->call[i].call;
        c.work     = p->call[i].bwd_scratch;
        ASD_TRY(c.op->bwd[p->backend](&c));
        for (int k = 0; p->check && k < c.n_in; ++k)
            if (c.x[k].g)
                ASD_TRY(check_finite(&c, i, c.x[k].g, c.x[k].shape, "a gradient"));
    }
    return ASD_OK;
}

void asd_plan_print(const asd_plan *p, FILE *out)
{
    char s[64];
    fprintf(out, "%4s  %-12s %-22s %10s  %-11s %s\n", "step", "op", "y", "bytes", "live",
            "backward");
    for (int i = 0; i < p->n; ++i) {
        const planned_call *c = &p->call[i];
        const item         *y = NULL;
        for (int v = 0; v < p->n_values && !y; ++v)
            if (p->value[v].tensor.x == c->call.y.x && p->value[v].x.bytes &&
                p->value[v].x.from == i)
                y = &p->value[v].x;
        fprintf(out, "%4d  %-12s %-22s %10zu  [%3d, %3d]  ", i, c->call.op->name,
                asd_shape_text(c->call.y.shape, s, sizeof s), y ? y->bytes : 0, y ? y->from : i,
                y ? y->to : i);
        for (int k = 0; c->has_backward && k < c->call.n_in; ++k)
            fputs(!c->call.x[k].g ? "-" : c->call.acc[k] ? "+" : "=", out);
        fputc('\n', out);
    }
    fprintf(out, "arena: %zu bytes\n", p->bytes);
}
