/* ref_tape.c - see ref_tape.h. */
#include "ref/ref_tape.h"

#include "ref/ref_ops.h"

#include <math.h>
#include <stdlib.h>

/* The first value of the same memory: a weight used twice is one weight, a view is its base. */
static int first_of(const asd_tape *t, int v)
{
    int u = 0;
    if (t->value[v].param < 0)
        return asd_tape_base(t, v);
    while (u < v && !(t->value[u].param >= 0 && t->value[u].param == t->value[v].param))
        ++u;
    return u;
}

void asd_ref_tape_new(asd_ref_tape *r, const asd_tape *tape)
{
    r->tape  = tape;
    r->value = calloc((size_t)tape->n_values + 1, sizeof *r->value);
    for (int v = 0; v < tape->n_values; ++v) {
        int64_t n = asd_count(tape->value[v].spec.shape);
        if (first_of(tape, v) < v) {
            r->value[v] = r->value[first_of(tape, v)];
            continue;
        }
        r->value[v] = calloc((size_t)n, sizeof(double));
        for (int64_t i = 0; i < n && tape->value[v].param >= 0; ++i)
            r->value[v][i] = (double)asd_params_value(tape->params, tape->value[v].param)[i];
    }
}

void asd_ref_tape_free(asd_ref_tape *r)
{
    for (int v = 0; v < r->tape->n_values; ++v)
        if (first_of(r->tape, v) == v)
            free(r->value[v]);
    free(r->value);
}

void asd_ref_tape_input(asd_ref_tape *r, asd_val v, const void *data)
{
    const asd_spec *s = &r->tape->value[v].spec;
    for (int64_t i = 0; i < asd_count(s->shape); ++i)
        r->value[v][i] = s->dtype == ASD_F32   ? (double)((const float *)data)[i]
                         : s->dtype == ASD_I32 ? (double)((const int32_t *)data)[i]
                                               : (double)((const int16_t *)data)[i];
}

double asd_ref_tape_run(asd_ref_tape *r, asd_val loss)
{
    for (int i = 0; i < r->tape->n_nodes; ++i) {
        const asd_tape_node *n   = &r->tape->node[i];
        asd_ref_fwd          fwd = asd_ref_find(n->n.op->name);
        const double        *x[ASD_MAX_IN];
        ASD_ASSERT(fwd);
        for (int k = 0; k < n->n.n_in; ++k)
            x[k] = r->value[n->in[k]];
        fwd(&n->n, r->tape->training, x, r->value[n->out], NULL);
    }
    double sum = 0;
    for (int64_t i = 0; i < asd_count(r->tape->value[loss].spec.shape); ++i)
        sum += r->value[loss][i];
    return sum;
}

double asd_ref_tape_slope(asd_ref_tape *r, asd_val loss, asd_val v, int64_t i)
{
    double x = r->value[v][i], h = 1e-6 * (1 + fabs(x)), up, down;
    r->value[v][i] = x + h;
    up             = asd_ref_tape_run(r, loss);
    r->value[v][i] = x - h;
    down           = asd_ref_tape_run(r, loss);
    r->value[v][i] = x;
    return (up - down) / (2 * h);
}
