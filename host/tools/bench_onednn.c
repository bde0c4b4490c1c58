/* bench_onednn.c - what oneDNN 2 takes for the same work on the CPU.
 *
 * Its primitives read our inputs and write results of their own, which are compared with ours
 * before anything is timed. Tensors are in the plain layouts that our ops use: a network of ours
 * would have to pay for any other. They run on OpenMP with as many threads as ours. What oneDNN
 * refuses (a layout, a shape) has no stand-in.
 */
#include "tools/bench.h"

#include "base/arena.h"
#include "base/log.h"
#include "base/par.h"

#include <math.h>
#include <omp.h>
#include <oneapi/dnnl/dnnl.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_STEPS = 2, MAX_ARGS = 10, MAX_MEMORY = 24 };

typedef struct step {
    dnnl_primitive_t primitive;
    dnnl_exec_arg_t  arg[MAX_ARGS];
    int              n;
} step;

typedef struct standin {
    const asd_node *node;
    const asd_call *ours;
    int             backward, threads;
    dnnl_engine_t   engine;
    dnnl_stream_t   stream;
    step            step[MAX_STEPS];
    int             n_steps;
    dnnl_memory_t   memory[MAX_MEMORY];
    int             n_memory;
    float          *y, *g[ASD_MAX_IN]; /* its results; NULL where it has none */
    float          *mean, *variance;
    dnnl_status_t   st; /* the first failure; then nothing more is done */
} standin;

typedef dnnl_memory_desc_t layout;

/* --- building --- */

/* strides NULL: dense, row-major */
static layout layout_of(standin *s, int n, const dnnl_dim_t *dims, const dnnl_dim_t *strides)
{
    dnnl_dims_t dense, size;
    layout      out = {0};
    for (int i = n - 1; i >= 0; --i) {
        size[i]  = dims[i];
        dense[i] = strides ? strides[i] : i == n - 1 ? 1 : dense[i + 1] * dims[i + 1];
    }
    if (!s->st)
        s->st = dnnl_memory_desc_init_by_strides(&out, n, size, dnnl_f32, dense);
    return out;
}

static layout flat(standin *s, int64_t n)
{
    return layout_of(s, 1, &n, NULL);
}

/* A tensor read as (R, C). */
static layout rows(standin *s, asd_shape shape)
{
    dnnl_dim_t dims[2] = {asd_rows(shape), asd_last(shape)};
    return layout_of(s, 2, dims, NULL);
}

static float *result(standin *s, int64_t n)
{
    float *p = asd_calloc_aligned((size_t)n + 1, sizeof *p);
    if (!p)
        s->st = dnnl_out_of_memory;
    return p;
}

static dnnl_primitive_desc_t described(standin *s, const_dnnl_op_desc_t what,
                                       const_dnnl_primitive_desc_t forward)
{
    dnnl_primitive_desc_t d = NULL;
    if (!s->st)
        s->st = dnnl_primitive_desc_create(&d, what, NULL, s->engine, forward);
    return d;
}

/* A primitive of this description, which is freed. */
static step *add_step(standin *s, dnnl_primitive_desc_t d)
{
    step *one = s->step + s->n_steps++;
    if (!s->st)
        s->st = dnnl_primitive_create(&one->primitive, d);
    if (d)
        dnnl_primitive_desc_destroy(d);
    return one;
}

static void give(standin *s, step *one, int name, layout l, void *data)
{
    dnnl_memory_t m;
    ASD_ASSERT(one->n < MAX_ARGS && s->n_memory < MAX_MEMORY);
    if (s->st || (s->st = dnnl_memory_create(&m, &l, s->engine, data)))
        return;
    s->memory[s->n_memory++] = m;
    one->arg[one->n++]       = (dnnl_exec_arg_t){name, m};
}

/* --- running --- */

static asd_status run(void *ctx)
{
    standin      *s  = ctx;
    dnnl_status_t st = dnnl_success;
    omp_set_num_threads(s->threads); /* of this thread; base/par.c has set it to 1 */
    for (int i = 0; i < s->n_steps && !st; ++i)
        st = dnnl_primitive_execute(s->step[i].primitive, s->stream, s->step[i].n, s->step[i].arg);
    if (!st)
        st = dnnl_stream_wait(s->stream);
    omp_set_num_threads(1);
    return st ? ASD_FAIL(ASD_E_IO, "oneDNN: %s failed with status %d", s->node->op->name, (int)st)
              : ASD_OK;
}

static double relative_difference(const float *a, const float *b, int64_t n)
{
    double difference = 0, size = 0;
    for (int64_t i = 0; i < n; ++i) {
        difference += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
        size += (double)b[i] * (double)b[i];
    }
    return size > 0 ? sqrt(difference / size) : sqrt(difference);
}

static asd_status difference(void *ctx, double *out)
{
    const standin *s = ctx;
    *out             = 0;
    if (!s->backward)
        *out = relative_difference(s->y, s->ours->y.x, asd_count(s->node->y.shape));
    for (int k = 0; k < s->node->n_in; ++k)
        if (s->g[k]) {
            double one =
                relative_difference(s->g[k], s->ours->x[k].g, asd_count(s->node->in[k].shape));
            *out = one <= *out ? *out : one; /* NaN wins */
        }
    return ASD_OK;
}

static void destroy(void *ctx)
{
    standin *s = ctx;
    for (int i = 0; i < s->n_steps; ++i)
        if (s->step[i].primitive)
            dnnl_primitive_destroy(s->step[i].primitive);
    for (int i = 0; i < s->n_memory; ++i)
        dnnl_memory_destroy(s->memory[i]);
    if (s->stream)
        dnnl_stream_destroy(s->stream);
    if (s->engine)
        dnnl_engine_destroy(s->engine);
    for (int k = 0; k < ASD_MAX_IN; ++k)
        free(s->g[k]);
    free(s->y);
    free(s->mean);
    free(s->variance);
    free(s);
}

/* --- ops: each adds its steps; returns the primitive's name, NULL when there is none --- */

/* y = x w' + b. Backward as two inner products, the second with the gradient of b. */
static const char *linear(standin *s)
{
    const asd_call *c = s->ours;
    dnnl_dim_t      R = asd_rows(s->node->y.shape), C = asd_last(s->node->in[0].shape);
    dnnl_dim_t      O         = asd_last(s->node->y.shape);
    dnnl_dim_t      turned[2] = {C, O}, by[2] = {1, C}, row[2] = {1, O};
    layout          x = rows(s, s->node->in[0].shape), w = rows(s, s->node->in[1].shape);
    layout          y = rows(s, s->node->y.shape), b = layout_of(s, 2, row, NULL), db = flat(s, O);
    int             bias = s->node->n_in == 3;
    if (s->node->in[1].shape.n != 2 || R < 1)
        return NULL;
    if (!s->backward) {
        dnnl_matmul_desc_t m;
        layout             wt = layout_of(s, 2, turned, by);
        s->y                  = result(s, R * O);
        if (!s->st)
            s->st = dnnl_matmul_desc_init(&m, &x, &wt, bias ? &b : NULL, &y);
        step *one = add_step(s, described(s, &m, NULL));
        give(s, one, DNNL_ARG_SRC, x, c->x[0].x);
        give(s, one, DNNL_ARG_WEIGHTS, wt, c->x[1].x);
        if (bias)
            give(s, one, DNNL_ARG_BIAS, b, c->x[2].x);
        give(s, one, DNNL_ARG_DST, y, s->y);
        return "matmul";
    }
    dnnl_inner_product_desc_t f, i;
    dnnl_primitive_desc_t     forward;
    s->g[0] = result(s, R * C);
    s->g[1] = result(s, O * C);
    if (!s->st)
        s->st = dnnl_inner_product_forward_desc_init(&f, dnnl_forward_training, &x, &w,
                                                     bias ? &db : NULL, &y);
    forward = described(s, &f, NULL);
    if (!s->st)
        s->st = dnnl_inner_product_backward_data_desc_init(&i, &x, &w, &y);
    step *one = add_step(s, described(s, &i, forward));
    give(s, one, DNNL_ARG_DIFF_DST, y, c->y.g);
    give(s, one, DNNL_ARG_WEIGHTS, w, c->x[1].x);
    give(s, one, DNNL_ARG_DIFF_SRC, x, s->g[0]);
    if (!s->st)
        s->st = dnnl_inner_product_backward_weights_desc_init(&i, &x, &w, bias ? &db : NULL, &y);
    one = add_step(s, described(s, &i, forward));
    give(s, one, DNNL_ARG_DIFF_DST, y, c->y.g);
    give(s, one, DNNL_ARG_SRC, x, c->x[0].x);
    give(s, one, DNNL_ARG_DIFF_WEIGHTS, w, s->g[1]);
    if (bias) {
        s->g[2] = result(s, O);
        give(s, one, DNNL_ARG_DIFF_BIAS, db, s->g[2]);
    }
    if (forward)
        dnnl_primitive_desc_destroy(forward);
    return "inner product";
}

static const char *eltwise(standin *s, dnnl_alg_kind_t forward, dnnl_alg_kind_t backward)
{
    int64_t               n = asd_count(s->node->y.shape);
    layout                x = flat(s, n);
    dnnl_eltwise_desc_t   d;
    dnnl_primitive_desc_t f;
    if (!s->st)
        s->st = dnnl_eltwise_forward_desc_init(&d, dnnl_forward_training,
                                               s->backward ? backward : forward, &x, 0, 0);
    f = described(s, &d, NULL);
    if (!s->backward) {
        s->y      = result(s, n);
        step *one = add_step(s, f);
        give(s, one, DNNL_ARG_SRC, x, s->ours->x[0].x);
        give(s, one, DNNL_ARG_DST, x, s->y);
        return "eltwise";
    }
    s->g[0] = result(s, n);
    if (!s->st)
        s->st = dnnl_eltwise_backward_desc_init(&d, backward, &x, &x, 0, 0);
    step *one = add_step(s, described(s, &d, f));
    if (f)
        dnnl_primitive_desc_destroy(f);
    if (backward == forward)
        give(s, one, DNNL_ARG_SRC, x, s->ours->x[0].x);
    else
        give(s, one, DNNL_ARG_DST, x, s->ours->y.x);
    give(s, one, DNNL_ARG_DIFF_DST, x, s->ours->y.g);
    give(s, one, DNNL_ARG_DIFF_SRC, x, s->g[0]);
    return "eltwise";
}

static const char *relu(standin *s)
{
    return eltwise(s, dnnl_eltwise_relu, dnnl_eltwise_relu_use_dst_for_bwd);
}

static const char *gelu(standin *s)
{
    return eltwise(s, dnnl_eltwise_gelu_erf, dnnl_eltwise_gelu_erf);
}

static const char *softmax(standin *s)
{
    layout                  x = rows(s, s->node->y.shape);
    dnnl_softmax_desc_t     d;
    dnnl_primitive_desc_t   f;
    const asd_softmax_attr *a = s->node->attr;
    if (a->scale != 1)
        return NULL;
    if (!s->st)
        s->st = dnnl_softmax_forward_desc_init(&d, dnnl_forward_training, &x, 1);
    f = described(s, &d, NULL);
    if (!s->backward) {
        s->y      = result(s, asd_count(s->node->y.shape));
        step *one = add_step(s, f);
        give(s, one, DNNL_ARG_SRC, x, s->ours->x[0].x);
        give(s, one, DNNL_ARG_DST, x, s->y);
        return "softmax";
    }
    s->g[0] = result(s, asd_count(s->node->y.shape));
    if (!s->st)
        s->st = dnnl_softmax_backward_desc_init(&d, &x, &x, 1);
    step *one = add_step(s, described(s, &d, f));
    if (f)
        dnnl_primitive_desc_destroy(f);
    give(s, one, DNNL_ARG_DST, x, s->ours->y.x);
    give(s, one, DNNL_ARG_DIFF_DST, x, s->ours->y.g);
    give(s, one, DNNL_ARG_DIFF_SRC, x, s->g[0]);
    return "softmax";
}

/* Both normalisations have x, scale, shift, and n values of mean and of variance, given or
 * computed. fwd, bwd: their operation descriptors. */
static const char *normalise(standin *s, const_dnnl_op_desc_t fwd, const_dnnl_op_desc_t bwd,
                             int64_t n, int given, const char *name)
{
    const asd_call *c = s->ours;
    layout          x = rows(s, s->node->in[0].shape), w = flat(s, asd_last(s->node->y.shape));
    layout          of             = flat(s, n);
    s->mean                        = result(s, n);
    s->variance                    = result(s, n);
    s->y                           = result(s, asd_count(s->node->y.shape));
    float                *mean     = given ? c->x[3].x : s->mean; /* the running ones */
    float                *variance = given ? c->x[4].x : s->variance;
    dnnl_primitive_desc_t f        = described(s, fwd, NULL);
    dnnl_primitive_desc_t b        = s->backward ? described(s, bwd, f) : NULL;
    step                 *one      = add_step(s, f);
    give(s, one, DNNL_ARG_SRC, x, c->x[0].x);
    give(s, one, DNNL_ARG_SCALE, w, c->x[1].x);
    give(s, one, DNNL_ARG_SHIFT, w, c->x[2].x);
    give(s, one, DNNL_ARG_MEAN, of, mean);
    give(s, one, DNNL_ARG_VARIANCE, of, variance);
    give(s, one, DNNL_ARG_DST, x, s->y);
    if (!s->backward)
        return name;
    /* the backward needs the statistics of one forward, which then goes */
    if (!s->st && run(s))
        s->st = dnnl_runtime_error;
    if (one->primitive)
        dnnl_primitive_destroy(one->primitive);
    *one       = (step){.n = 0};
    s->n_steps = 0;
    for (int k = 0; k < 3; ++k)
        s->g[k] = result(s, asd_count(s->node->in[k].shape));
    one = add_step(s, b);
    give(s, one, DNNL_ARG_SRC, x, c->x[0].x);
    give(s, one, DNNL_ARG_DIFF_DST, x, c->y.g);
    give(s, one, DNNL_ARG_SCALE, w, c->x[1].x);
    give(s, one, DNNL_ARG_SHIFT, w, c->x[2].x);
    give(s, one, DNNL_ARG_MEAN, of, mean);
    give(s, one, DNNL_ARG_VARIANCE, of, variance);
    give(s, one, DNNL_ARG_DIFF_SRC, x, s->g[0]);
    give(s, one, DNNL_ARG_DIFF_SCALE, w, s->g[1]);
    give(s, one, DNNL_ARG_DIFF_SHIFT, w, s->g[2]);
    return name;
}

static const char *batchnorm(standin *s)
{
    const asd_batchnorm_attr       *a = s->node->attr;
    layout                          x = rows(s, s->node->in[0].shape);
    dnnl_batch_normalization_desc_t f, b;
    unsigned                        flags = dnnl_use_scale | dnnl_use_shift;
    if (s->node->in[1].shape.n != 1 || a->relu)
        return NULL; /* groups; the ReLU would need a workspace of its own */
    if (!s->ours->training)
        flags |= dnnl_use_global_stats;
    if (!s->st)
        s->st = dnnl_batch_normalization_forward_desc_init(
            &f, s->ours->training ? dnnl_forward_training : dnnl_forward_inference, &x, a->eps,
            flags);
    if (!s->st)
        s->st =
            dnnl_batch_normalization_backward_desc_init(&b, dnnl_backward, &x, &x, a->eps, flags);
    return normalise(s, &f, &b, asd_last(s->node->y.shape), !s->ours->training,
                     "batch normalization");
}

/* Without a residual: oneDNN adds none. */
static const char *layernorm(standin *s)
{
    const asd_layernorm_attr       *a = s->node->attr;
    layout                          x = rows(s, s->node->in[0].shape);
    int64_t                         R = asd_rows(s->node->in[0].shape);
    layout                          m = flat(s, R);
    dnnl_layer_normalization_desc_t f, b;
    unsigned                        flags = dnnl_use_scale | dnnl_use_shift;
    if (s->node->n_in != 3)
        return NULL;
    if (!s->st)
        s->st = dnnl_layer_normalization_forward_desc_init(&f, dnnl_forward_training, &x, &m,
                                                           a->eps, flags);
    if (!s->st)
        s->st = dnnl_layer_normalization_backward_desc_init(&b, dnnl_backward, &x, &x, &m, a->eps,
                                                            flags);
    return normalise(s, &f, &b, R, 0, "layer normalization");
}

/* Two inputs of two dimensions, b repeated over the rows. oneDNN has no backward of it. */
static const char *bias(standin *s)
{
    dnnl_dim_t         row[2] = {1, asd_last(s->node->y.shape)};
    layout             x = rows(s, s->node->y.shape), b = layout_of(s, 2, row, NULL);
    dnnl_binary_desc_t d;
    if (s->backward || s->node->in[1].shape.n != 1)
        return NULL;
    if (!s->st)
        s->st = dnnl_binary_desc_init(&d, dnnl_binary_add, &x, &b, &x);
    s->y      = result(s, asd_count(s->node->y.shape));
    step *one = add_step(s, described(s, &d, NULL));
    give(s, one, DNNL_ARG_SRC_0, x, s->ours->x[0].x);
    give(s, one, DNNL_ARG_SRC_1, b, s->ours->x[1].x);
    give(s, one, DNNL_ARG_DST, x, s->y);
    return "binary";
}

/* x: (B, P, C) -> y: (B, C), forward only */
static const char *meanpool(standin *s)
{
    asd_shape             x     = s->node->in[0].shape;
    dnnl_dim_t            to[3] = {x.d[0], 1, x.d[2]};
    layout                from = layout_of(s, x.n, x.d, NULL), mean = layout_of(s, x.n, to, NULL);
    dnnl_reduction_desc_t d;
    if (s->backward || x.n != 3 || s->node->n_in != 1)
        return NULL;
    if (!s->st)
        s->st = dnnl_reduction_desc_init(&d, dnnl_reduction_mean, &from, &mean, 0, 0);
    s->y      = result(s, asd_count(s->node->y.shape));
    step *one = add_step(s, described(s, &d, NULL));
    give(s, one, DNNL_ARG_SRC, from, s->ours->x[0].x);
    give(s, one, DNNL_ARG_DST, mean, s->y);
    return "reduction";
}

static const struct {
    const char *op;
    const char *(*build)(standin *s);
} table[] = {
    {"linear", linear},       {"relu", relu},           {"gelu", gelu}, {"softmax", softmax},
    {"batchnorm", batchnorm}, {"layernorm", layernorm}, {"bias", bias}, {"meanpool", meanpool},
};

asd_status bench_onednn_open(bench_standin *out, const bench_subject *of)
{
    const char *name = NULL;
    memset(out, 0, sizeof *out);
    standin *s = calloc(1, sizeof *s);
    if (!s)
        return ASD_FAIL(ASD_E_OOM, "no memory for a stand-in");
    *s    = (standin){.node     = of->node,
                      .ours     = of->ready,
                      .backward = of->line.pass == BENCH_BWD,
                      .threads  = asd_par_threads()};
    s->st = dnnl_engine_create(&s->engine, dnnl_cpu, 0);
    if (!s->st)
        s->st = dnnl_stream_create(&s->stream, s->engine, dnnl_stream_default_flags);
    omp_set_num_threads(s->threads); /* a primitive is cut for the threads it is made with */
    for (size_t i = 0; i < sizeof table / sizeof *table && !s->st; ++i)
        if (!strcmp(table[i].op, of->line.op))
            name = table[i].build(s);
    omp_set_num_threads(1);
    if (!name || s->st) {
        if (s->st)
            asd_detail("%s %s: oneDNN gives status %d, no stand-in", of->line.op,
                       of->line.case_name, (int)s->st);
        destroy(s);
        return ASD_OK;
    }
    const dnnl_version_t *v = dnnl_version();
    snprintf(out->name, sizeof out->name, "oneDNN %d.%d.%d %s", v->major, v->minor, v->patch, name);
    out->call       = run;
    out->ctx        = s;
    out->difference = difference;
    out->close      = destroy;
    return ASD_OK;
}
