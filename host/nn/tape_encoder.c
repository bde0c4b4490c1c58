/* tape_encoder.c - recording the parts that encoders are made of; the plain layers are in tape.c.
 *
 * A function records one op: it makes the attribute and the parameters, in a fixed order (their
 * order decides their random initial values), and calls asd_tape_op. Shapes are checked there, by
 * the op's infer; a function that needs a shape before takes it from asd_tape_shape, which is
 * harmless on a tape that has failed. Parameters are NAME.leaf with the leaves of the released
 * checkpoints.
 */
#include "nn/tape.h"

#include <stdio.h>

enum { NAME_MAX_CHARS = 192 };

static const char *join(char buf[NAME_MAX_CHARS], const char *name, const char *leaf)
{
    snprintf(buf, NAME_MAX_CHARS, "%s.%s", name, leaf);
    return buf;
}

asd_val asd_add(asd_tape *t, asd_val a, asd_val b)
{
    return asd_add_scaled(t, a, b, 1);
}

asd_val asd_add_scaled(asd_tape *t, asd_val a, asd_val b, float alpha)
{
    asd_add_attr attr  = {alpha};
    asd_val      in[2] = {a, b};
    return asd_tape_op(t, &asd_op_add, &attr, sizeof attr, in, 2);
}

asd_val asd_patches(asd_tape *t, asd_val x, asd_patches_attr attr)
{
    return asd_tape_op(t, &asd_op_patches, &attr, sizeof attr, &x, 1);
}

asd_val asd_tokens(asd_tape *t, asd_val x, asd_val table, asd_val cls)
{
    asd_tokens_attr attr  = {cls != ASD_NO_VAL};
    asd_val         in[3] = {x, table, cls};
    return asd_tape_op(t, &asd_op_tokens, &attr, sizeof attr, in, 2 + attr.cls);
}

asd_val asd_take(asd_tape *t, asd_val x, int64_t first, int64_t n)
{
    asd_take_attr attr = {first, n};
    return asd_tape_op(t, &asd_op_take, &attr, sizeof attr, &x, 1);
}

asd_val asd_bandmean(asd_tape *t, asd_val x, int64_t bands)
{
    asd_bandmean_attr attr = {bands};
    return asd_tape_op(t, &asd_op_bandmean, &attr, sizeof attr, &x, 1);
}

static asd_val pool(asd_tape *t, const asd_op *op, const void *attr, size_t attr_size, asd_val x,
                    asd_val lengths)
{
    asd_val in[2] = {x, lengths};
    return asd_tape_op(t, op, attr, attr_size, in, lengths == ASD_NO_VAL ? 1 : 2);
}

asd_val asd_meanstdpool(asd_tape *t, asd_val x, asd_val lengths)
{
    asd_meanstd_attr attr = {1e-6f};
    return pool(t, &asd_op_meanstd, &attr, sizeof attr, x, lengths);
}

asd_val asd_gempool(asd_tape *t, asd_val x, asd_val lengths, asd_gem_attr attr)
{
    return pool(t, &asd_op_gempool, &attr, sizeof attr, x, lengths);
}

static asd_val attention(asd_tape *t, asd_val qkv, asd_val lengths, const asd_val *gate,
                         asd_attention_attr attr)
{
    asd_val in[ASD_MAX_IN];
    int     n   = 0;
    in[n++]     = qkv;
    attr.masked = lengths != ASD_NO_VAL;
    attr.gated  = gate != NULL;
    if (attr.masked)
        in[n++] = lengths;
    for (int i = 0; gate && i < 4; ++i)
        in[n++] = gate[i];
    return asd_tape_op(t, &asd_op_attention, &attr, sizeof attr, in, n);
}

asd_val asd_attention(asd_tape *t, asd_val qkv, int64_t heads, asd_val lengths)
{
    return attention(t, qkv, lengths, NULL, (asd_attention_attr){.heads = heads});
}

asd_val asd_attention_gated(asd_tape *t, asd_val qkv, int64_t heads, asd_val lengths,
                            const asd_val gate[4], int64_t buckets, int64_t max_distance)
{
    return attention(
        t, qkv, lengths, gate,
        (asd_attention_attr){.heads = heads, .buckets = buckets, .max_distance = max_distance});
}

asd_val asd_weightnorm(asd_tape *t, asd_val g, asd_val v)
{
    asd_val in[2] = {g, v};
    return asd_tape_op(t, &asd_op_weightnorm, NULL, 0, in, 2);
}

asd_val asd_posconv(asd_tape *t, asd_val x, const char *name, int64_t groups, int64_t taps)
{
    char             buf[NAME_MAX_CHARS];
    asd_posconv_attr attr = {groups};
    int64_t          C = asd_last(asd_tape_shape(t, x)), W = groups > 0 ? C / groups : C;
    asd_val          in[3] = {x};
    asd_val g = asd_tape_param(t, join(buf, name, "weight_g"), ASD_SHAPE1(taps), ASD_INIT_ONE, 0);
    asd_val v = asd_tape_param(t, join(buf, name, "weight_v"), ASD_SHAPE3(C, W, taps),
                               ASD_INIT_FAN_IN, W * taps);
    in[1]     = asd_weightnorm(t, g, v);
    in[2]     = asd_tape_param(t, join(buf, name, "bias"), ASD_SHAPE1(C), ASD_INIT_ZERO, 0);
    return asd_tape_op(t, &asd_op_posconv, &attr, sizeof attr, in, 3);
}
