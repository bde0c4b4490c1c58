/* tape.c - see tape.h. */
#include "nn/tape.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void asd_tape_init(asd_tape *t, asd_params *params, int training)
{
    memset(t, 0, sizeof *t);
    t->params   = params;
    t->training = training;
}

void asd_tape_clear(asd_tape *t)
{
    for (int i = 0; i < t->n_attrs; ++i)
        free(t->attrs[i]);
    free(t->attrs);
    free(t->value);
    free(t->node);
    memset(t, 0, sizeof *t);
}

/* Keeps the first failure's text: the thread's own text may be overwritten before the plan reports
 * it. */
static asd_val fail(asd_tape *t, asd_status st)
{
    if (!t->status) {
        t->status = st;
        snprintf(t->error, sizeof t->error, "%s", asd_error_text());
    }
    return ASD_NO_VAL;
}

static int grow(void **items, int n, int *room, size_t size)
{
    if (n < *room)
        return 1;
    int   more = *room ? 2 * *room : 64;
    void *p    = realloc(*items, (size_t)more * size);
    if (!p)
        return 0;
    *items = p;
    *room  = more;
    return 1;
}

static asd_val add_value(asd_tape *t, asd_value v)
{
    if (t->status)
        return ASD_NO_VAL;
    if (!grow((void **)&t->value, t->n_values, &t->room_values, sizeof *t->value))
        return fail(t, ASD_FAIL(ASD_E_OOM, "no memory for a tape of %d values", t->n_values));
    t->value[t->n_values] = v;
    return t->n_values++;
}

static asd_val add_input(asd_tape *t, const char *name, asd_dtype dtype, asd_shape shape, int bound)
{
    char s[64];
    for (int i = 0; i < shape.n; ++i)
        if (shape.d[i] < 1)
            return t->status ? ASD_NO_VAL
                             : fail(t, ASD_FAIL(ASD_E_SHAPE,
                                                "input %s has shape %s, want at least 1 everywhere",
                                                name, asd_shape_text(shape, s, sizeof s)));
    return add_value(t, (asd_value){.spec  = {dtype, shape},
                                    .node  = -1,
                                    .param = -1,
                                    .bound = bound,
                                    .name  = name,
                                    .base  = ASD_NO_VAL});
}

asd_val asd_tape_input(asd_tape *t, const char *name, asd_dtype dtype, asd_shape shape)
{
    return add_input(t, name, dtype, shape, 0);
}

asd_val asd_tape_bound(asd_tape *t, const char *name, asd_dtype dtype, asd_shape shape)
{
    return add_input(t, name, dtype, shape, 1);
}

void asd_tape_want_grad(asd_tape *t, asd_val input)
{
    if (!t->status) {
        input = asd_tape_base(t, input);
        ASD_ASSERT(t->value[input].node < 0 && t->value[input].spec.dtype == ASD_F32);
        t->value[input].want_grad = 1;
    }
}

static asd_val add_param(asd_tape *t, const char *name, asd_dtype dtype, asd_shape shape,
                         asd_init init, int64_t fan_in, int trainable)
{
    int index;
    if (t->status)
        return ASD_NO_VAL;
    asd_status st = asd_params_need(t->params, name, shape, init, fan_in, trainable, &index);
    if (st)
        return fail(t, st);
    return add_value(
        t, (asd_value){.spec = {dtype, shape}, .node = -1, .param = index, .base = ASD_NO_VAL});
}

asd_val asd_tape_param(asd_tape *t, const char *name, asd_shape shape, asd_init init,
                       int64_t fan_in)
{
    return add_param(t, name, ASD_F32, shape, init, fan_in, 1);
}

asd_val asd_tape_param_bf16(asd_tape *t, const char *name, asd_shape shape, asd_init init,
                            int64_t fan_in)
{
    t->params->bf16_weights = 1;
    return add_param(t, name, ASD_BF16, shape, init, fan_in, 1);
}

asd_val asd_tape_state(asd_tape *t, const char *name, asd_shape shape, asd_init init)
{
    return add_param(t, name, ASD_F32, shape, init, 0, 0);
}

static const void *keep_attr(asd_tape *t, const void *attr, size_t size)
{
    void *copy = malloc(size);
    if (!copy || !grow((void **)&t->attrs, t->n_attrs, &t->room_attrs, sizeof *t->attrs)) {
        free(copy);
        return NULL;
    }
    memcpy(copy, attr, size);
    return t->attrs[t->n_attrs++] = copy;
}

asd_val asd_tape_op(asd_tape *t, const asd_op *op, const void *attr, size_t attr_size,
                    const asd_val *in, int n_in)
{
    if (t->status)
        return ASD_NO_VAL;
    ASD_ASSERT(n_in >= op->min_in && n_in <= op->n_in);
    if (!grow((void **)&t->node, t->n_nodes, &t->room_nodes, sizeof *t->node))
        return fail(t, ASD_FAIL(ASD_E_OOM, "no memory for a tape of %d ops", t->n_nodes));
    asd_tape_node *node = &t->node[t->n_nodes];
    memset(node, 0, sizeof *node);
    node->n.op   = op;
    node->n.n_in = n_in;
    if (attr_size && !(node->n.attr = keep_attr(t, attr, attr_size)))
        return fail(t, ASD_FAIL(ASD_E_OOM, "no memory for an attribute of %s", op->name));
    for (int k = 0; k < n_in; ++k) {
        ASD_ASSERT(in[k] >= 0 && in[k] < t->n_values);
        node->in[k]   = in[k];
        node->n.in[k] = t->value[in[k]].spec;
        if (node->n.in[k].dtype == ASD_BF16 && !(op->bf16 >> k & 1))
            return fail(t,
                        ASD_FAIL(ASD_E_SHAPE, "%s: input %d is bf16, which it does not take there",
                                 op->name, k));
    }
    asd_status st = op->infer(&node->n);
    if (st)
        return fail(t, st);
    node->out = add_value(
        t, (asd_value){.spec = node->n.y, .node = t->n_nodes, .param = -1, .base = ASD_NO_VAL});
    if (node->out != ASD_NO_VAL)
        ++t->n_nodes;
    return node->out;
}

asd_val asd_tape_base(const asd_tape *t, asd_val x)
{
    return x == ASD_NO_VAL || t->value[x].base == ASD_NO_VAL ? x : t->value[x].base;
}

/* A view is made by the same op, is the same parameter, and is lent with the same input as its
 * base: only shape and name are its own. */
asd_val asd_tape_view(asd_tape *t, asd_val x, asd_shape shape)
{
    char sx[64], sy[64];
    if (t->status)
        return ASD_NO_VAL;
    ASD_ASSERT(x >= 0 && x < t->n_values);
    asd_value v     = t->value[x];
    int       empty = 0;
    for (int i = 0; i < shape.n; ++i)
        empty |= shape.d[i] < 1;
    if (empty || asd_count(shape) != asd_count(v.spec.shape))
        return fail(t, ASD_FAIL(ASD_E_SHAPE,
                                "view: x %s has %lld elements, the shape wanted %s "
                                "does not",
                                asd_shape_text(v.spec.shape, sx, sizeof sx),
                                (long long)asd_count(v.spec.shape),
                                asd_shape_text(shape, sy, sizeof sy)));
    v.spec.shape = shape;
    v.want_grad  = 0;
    v.base       = asd_tape_base(t, x);
    return add_value(t, v);
}

asd_shape asd_tape_shape(const asd_tape *t, asd_val v)
{
    return v == ASD_NO_VAL ? ASD_SHAPE1(1) : t->value[v].spec.shape;
}

/* --- layers --- */

enum { NAME_MAX_CHARS = 192 };

static const char *join(char buf[NAME_MAX_CHARS], const char *name, const char *leaf)
{
    snprintf(buf, NAME_MAX_CHARS, "%s.%s", name, leaf);
    return buf;
}

/* The shape of a grouped parameter: s behind x's first dimension. */
static asd_shape behind_groups(asd_tape *t, asd_val x, asd_shape s)
{
    asd_shape y = {s.n + 1, {asd_tape_shape(t, x).d[0]}};
    memcpy(y.d + 1, s.d, (size_t)s.n * sizeof *s.d);
    return y;
}

static asd_val linear(asd_tape *t, asd_val x, const char *name, int64_t C, asd_shape w, asd_shape b)
{
    char    buf[NAME_MAX_CHARS];
    asd_val in[3] = {x};
    /* One statement each: C leaves the order inside braces open, and the order numbers parameters,
     * so it decides their random initial values. */
    in[1] = asd_tape_param(t, join(buf, name, "weight"), w, ASD_INIT_FAN_IN, C);
    in[2] = asd_tape_param(t, join(buf, name, "bias"), b, ASD_INIT_FAN_IN, C);
    return asd_tape_op(t, &asd_op_linear, NULL, 0, in, 3);
}

asd_val asd_linear(asd_tape *t, asd_val x, const char *name, int64_t out)
{
    int64_t C = asd_last(asd_tape_shape(t, x));
    return linear(t, x, name, C, ASD_SHAPE2(out, C), ASD_SHAPE1(out));
}

asd_val asd_linear_grouped(asd_tape *t, asd_val x, const char *name, int64_t out)
{
    int64_t C = asd_last(asd_tape_shape(t, x));
    return linear(t, x, name, C, behind_groups(t, x, ASD_SHAPE2(out, C)),
                  behind_groups(t, x, ASD_SHAPE1(out)));
}

static asd_val batchnorm(asd_tape *t, asd_val x, const char *name, asd_shape C,
                         asd_batchnorm_attr attr)
{
    char    buf[NAME_MAX_CHARS];
    asd_val in[5] = {x};
    in[1]         = asd_tape_param(t, join(buf, name, "weight"), C, ASD_INIT_ONE, 0);
    in[2]         = asd_tape_param(t, join(buf, name, "bias"), C, ASD_INIT_ZERO, 0);
    in[3]         = asd_tape_state(t, join(buf, name, "running_mean"), C, ASD_INIT_ZERO);
    in[4]         = asd_tape_state(t, join(buf, name, "running_var"), C, ASD_INIT_ONE);
    return asd_tape_op(t, &asd_op_batchnorm, &attr, sizeof attr, in, 5);
}

asd_val asd_batchnorm(asd_tape *t, asd_val x, const char *name, asd_batchnorm_attr attr)
{
    return batchnorm(t, x, name, ASD_SHAPE1(asd_last(asd_tape_shape(t, x))), attr);
}

asd_val asd_batchnorm_grouped(asd_tape *t, asd_val x, const char *name, asd_batchnorm_attr attr)
{
    asd_shape C = ASD_SHAPE1(asd_last(asd_tape_shape(t, x)));
    return batchnorm(t, x, name, behind_groups(t, x, C), attr);
}

asd_val asd_relu(asd_tape *t, asd_val x)
{
    return asd_tape_op(t, &asd_op_relu, NULL, 0, &x, 1);
}

asd_val asd_mse(asd_tape *t, asd_val p, asd_val target)
{
    asd_val in[2] = {p, target};
    return asd_tape_op(t, &asd_op_mse, NULL, 0, in, 2);
}

asd_val asd_mse_grouped(asd_tape *t, asd_val p, asd_val target)
{
    asd_mse_attr attr  = {asd_tape_shape(t, p).d[0]};
    asd_val      in[2] = {p, target};
    return asd_tape_op(t, &asd_op_mse, &attr, sizeof attr, in, 2);
}

asd_val asd_frame_stack(asd_tape *t, asd_val frames, asd_val index, int64_t stack)
{
    asd_frame_stack_attr attr  = {stack};
    asd_val              in[2] = {frames, index};
    return asd_tape_op(t, &asd_op_frame_stack, &attr, sizeof attr, in, 2);
}

asd_val asd_logmel(asd_tape *t, asd_val samples, asd_logmel_attr attr)
{
    return asd_tape_op(t, &asd_op_logmel, &attr, sizeof attr, &samples, 1);
}

static asd_val layernorm(asd_tape *t, asd_val *in, int n_in, const char *name,
                         asd_layernorm_attr attr)
{
    char      buf[NAME_MAX_CHARS];
    asd_shape C = ASD_SHAPE1(asd_last(asd_tape_shape(t, in[0])));
    in[1]       = asd_tape_param(t, join(buf, name, "weight"), C, ASD_INIT_ONE, 0);
    in[2]       = asd_tape_param(t, join(buf, name, "bias"), C, ASD_INIT_ZERO, 0);
    return asd_tape_op(t, &asd_op_layernorm, &attr, sizeof attr, in, n_in);
}

asd_val asd_layernorm(asd_tape *t, asd_val x, const char *name, float eps)
{
    asd_val in[3] = {x};
    return layernorm(t, in, 3, name, (asd_layernorm_attr){.eps = eps, .alpha = 0});
}

asd_val asd_layernorm_residual(asd_tape *t, asd_val x, asd_val residual, float alpha,
                               const char *name, float eps)
{
    asd_val in[4] = {x, ASD_NO_VAL, ASD_NO_VAL, residual};
    return layernorm(t, in, 4, name, (asd_layernorm_attr){.eps = eps, .alpha = alpha});
}

asd_val asd_softmax(asd_tape *t, asd_val x, float scale)
{
    asd_softmax_attr attr = {scale};
    return asd_tape_op(t, &asd_op_softmax, &attr, sizeof attr, &x, 1);
}

asd_val asd_gelu(asd_tape *t, asd_val x)
{
    return asd_tape_op(t, &asd_op_gelu, NULL, 0, &x, 1);
}

asd_val asd_dropout(asd_tape *t, asd_val x, float drop_prob)
{
    asd_dropout_attr attr = {.drop_prob = drop_prob, .stream = (uint64_t)t->n_nodes};
    if (!t->training || drop_prob == 0)
        return x;
    return asd_tape_op(t, &asd_op_dropout, &attr, sizeof attr, &x, 1);
}

asd_val asd_l2norm(asd_tape *t, asd_val x, float eps)
{
    asd_l2norm_attr attr = {eps};
    return asd_tape_op(t, &asd_op_l2norm, &attr, sizeof attr, &x, 1);
}

asd_val asd_meanpool(asd_tape *t, asd_val x, asd_val lengths)
{
    asd_val in[2] = {x, lengths};
    return asd_tape_op(t, &asd_op_meanpool, NULL, 0, in, lengths == ASD_NO_VAL ? 1 : 2);
}

static asd_val bias(asd_tape *t, asd_val x, const char *name, asd_shape shape)
{
    char    buf[NAME_MAX_CHARS];
    asd_val in[2] = {x};
    in[1]         = asd_tape_param(t, join(buf, name, "bias"), shape, ASD_INIT_ZERO, 0);
    return asd_tape_op(t, &asd_op_bias, NULL, 0, in, 2);
}

asd_val asd_bias(asd_tape *t, asd_val x, const char *name)
{
    return bias(t, x, name, ASD_SHAPE1(asd_last(asd_tape_shape(t, x))));
}

asd_val asd_bias_grouped(asd_tape *t, asd_val x, const char *name)
{
    return bias(t, x, name, behind_groups(t, x, ASD_SHAPE1(asd_last(asd_tape_shape(t, x)))));
}
