/* block.c - the transformer block of all four encoders, and the layers it is made of.
 *
 *   post-norm   x1 = norm1(a x + Attn(x))        y = norm2(a x1 + MLP(x1))      BEATs, EAT, SSLAM
 *   pre-norm    x1 = x + Attn(norm1(x))          y = x1 + MLP(norm2(x1))        Dasheng
 *
 * Attn: fused q, k, v; heads; projection. MLP: fc2(gelu(fc1(x))). a: 1, or (2 depth)^(1/4) in
 * BEATs. Adapters add to the fused q, k, v before attention sees them, so BEATs' gate sees them
 * too.
 */
#include "models/parts.h"

#include <stdio.h>

enum { NAME_MAX_CHARS = 96 };

asd_val encoder_param(const encoder_tape *e, const char *name, asd_shape shape, asd_init init,
                      int64_t fan_in)
{
    return e->d->frozen ? asd_tape_state(e->t, name, shape, init)
                        : asd_tape_param(e->t, name, shape, init, fan_in);
}

asd_val encoder_linear(const encoder_tape *e, asd_val x, const char *name, int64_t out, int bias)
{
    char      buf[NAME_MAX_CHARS];
    int64_t   C     = asd_last(asd_tape_shape(e->t, x));
    asd_val   in[3] = {x};
    asd_shape shape = ASD_SHAPE2(out, C);
    snprintf(buf, sizeof buf, "%s.weight", name);
    in[1] = e->bf16 ? asd_tape_param_bf16(e->t, buf, shape, ASD_INIT_FAN_IN, C)
                    : encoder_param(e, buf, shape, ASD_INIT_FAN_IN, C);
    snprintf(buf, sizeof buf, "%s.bias", name);
    if (bias)
        in[2] = encoder_param(e, buf, ASD_SHAPE1(out), ASD_INIT_FAN_IN, C);
    return asd_tape_op(e->t, &asd_op_linear, NULL, 0, in, 2 + bias);
}

asd_val encoder_norm(const encoder_tape *e, asd_val x, asd_val residual, float alpha,
                     const char *name, float eps)
{
    char               buf[NAME_MAX_CHARS];
    asd_layernorm_attr attr  = {.eps = eps, .alpha = residual == ASD_NO_VAL ? 0 : alpha};
    asd_val            in[4] = {x, ASD_NO_VAL, ASD_NO_VAL, residual};
    asd_shape          C     = ASD_SHAPE1(asd_last(asd_tape_shape(e->t, x)));
    snprintf(buf, sizeof buf, "%s.weight", name);
    in[1] = encoder_param(e, buf, C, ASD_INIT_ONE, 0);
    snprintf(buf, sizeof buf, "%s.bias", name);
    in[2] = encoder_param(e, buf, C, ASD_INIT_ZERO, 0);
    return asd_tape_op(e->t, &asd_op_layernorm, &attr, sizeof attr, in,
                       residual == ASD_NO_VAL ? 3 : 4);
}

asd_val encoder_cast(const encoder_tape *e, asd_val x, asd_dtype to, float grad_scale)
{
    asd_cast_attr attr = {to, grad_scale};
    return asd_tape_op(e->t, &asd_op_cast, &attr, sizeof attr, &x, 1);
}

/* base: (B, P, 3 C), the frozen layer's output of x */
static asd_val adapted(const encoder_tape *e, asd_val base, asd_val x, int index)
{
    static const struct {
        unsigned    bit;
        const char *name;
        int         third, thirds;
    } target[]      = {{ASD_LORA_Q, "q", 0, 1},
                       {ASD_LORA_K, "k", 1, 1},
                       {ASD_LORA_V, "v", 2, 1},
                       {ASD_LORA_QKV, "qkv", 0, 3}};
    int64_t       C = e->d->dim, r = e->d->lora_rank;
    asd_lora_attr attr                         = {.scale = e->d->lora_scale};
    asd_val       in[2 + 2 * ASD_LORA_TARGETS] = {base, x};
    for (int k = 0; k < (int)(sizeof target / sizeof *target); ++k) {
        char name[NAME_MAX_CHARS];
        int  n = attr.n_targets;
        if (!(e->d->lora_targets & target[k].bit))
            continue;
        snprintf(name, sizeof name, "blocks.%d.%s.lora_A", index, target[k].name);
        in[2 + 2 * n] = asd_tape_param(e->t, name, ASD_SHAPE2(r, C), ASD_INIT_FAN_IN, C);
        snprintf(name, sizeof name, "blocks.%d.%s.lora_B", index, target[k].name);
        in[3 + 2 * n] =
            asd_tape_param(e->t, name, ASD_SHAPE2(target[k].thirds * C, r), ASD_INIT_ZERO, 0);
        attr.offset[n] = target[k].third * C;
        ++attr.n_targets;
    }
    return asd_tape_op(e->t, &asd_op_lora, &attr, sizeof attr, in, 2 + 2 * attr.n_targets);
}

/* NAME of block `index` into buf. */
static const char *of(char buf[NAME_MAX_CHARS], int index, const char *name)
{
    snprintf(buf, NAME_MAX_CHARS, "blocks.%d.%s", index, name);
    return buf;
}

static asd_val attention(const encoder_tape *e, asd_val x, int index, asd_val lengths,
                         asd_val rel_table)
{
    const asd_encoder_desc *d = e->d;
    char                    name[NAME_MAX_CHARS];
    int64_t                 K   = d->dim / d->heads;
    asd_val                 qkv = encoder_linear(e, x, of(name, index, "qkv"), 3 * d->dim, 1);
    if (d->lora_rank)
        qkv = adapted(e, qkv, x, index);
    if (rel_table == ASD_NO_VAL) {
        qkv = asd_attention(e->t, qkv, d->heads, lengths);
    } else {
        asd_val gate[4] = {rel_table};
        gate[1] = encoder_param(e, of(name, index, "grep_w"), ASD_SHAPE2(8, K), ASD_INIT_FAN_IN, K);
        gate[2] = encoder_param(e, of(name, index, "grep_b"), ASD_SHAPE1(8), ASD_INIT_FAN_IN, K);
        gate[3] =
            encoder_param(e, of(name, index, "grep_a"), ASD_SHAPE1(d->heads), ASD_INIT_ONE, 0);
        qkv = asd_attention_gated(e->t, qkv, d->heads, lengths, gate, d->buckets, d->max_distance);
    }
    return asd_dropout(e->t, encoder_linear(e, qkv, of(name, index, "proj"), d->dim, 1),
                       d->drop_prob);
}

static asd_val mlp(const encoder_tape *e, asd_val x, int index)
{
    char    name[NAME_MAX_CHARS];
    asd_val h = asd_gelu(e->t, encoder_linear(e, x, of(name, index, "fc1"), e->d->mlp, 1));
    return asd_dropout(e->t, encoder_linear(e, h, of(name, index, "fc2"), e->d->dim, 1),
                       e->d->drop_prob);
}

asd_val encoder_block(const encoder_tape *e, asd_val x, int index, asd_val lengths,
                      asd_val rel_table)
{
    const asd_encoder_desc *d = e->d;
    char                    name[NAME_MAX_CHARS];
    if (e->t->training && d->grad_decay != 1)
        x = encoder_cast(e, x, e->bf16 ? ASD_BF16 : ASD_F32, d->grad_decay);
    if (d->pre_norm) {
        asd_val h = encoder_norm(e, x, ASD_NO_VAL, 0, of(name, index, "norm1"), d->eps);
        x         = asd_add(e->t, x, attention(e, h, index, lengths, rel_table));
        h         = encoder_norm(e, x, ASD_NO_VAL, 0, of(name, index, "norm2"), d->eps);
        return asd_add(e->t, x, mlp(e, h, index));
    }
    asd_val a = attention(e, x, index, lengths, rel_table);
    x         = encoder_norm(e, a, x, d->skip_alpha, of(name, index, "norm1"), d->eps);
    return encoder_norm(e, mlp(e, x, index), x, d->skip_alpha, of(name, index, "norm2"), d->eps);
}
