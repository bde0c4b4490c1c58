/* tape.h - recording a network: shapes only, no arithmetic.
 *
 *   asd_tape t;
 *   asd_tape_init(&t, &params, 1);
 *   asd_val x    = asd_tape_input(&t, "x", ASD_F32, ASD_SHAPE2(256, 640));
 *   asd_val y    = asd_linear(&t, x, "code", 8);
 *   asd_val loss = asd_mse(&t, y, x);
 *   ASD_TRY(asd_plan_build(&t, loss, NULL, 0, NULL, &plan));
 *
 * Errors are sticky: after a failed call every further call does nothing and returns ASD_NO_VAL,
 * and asd_plan_build reports the first failure. So a builder needs no checks.
 */
#ifndef ASD_NN_TAPE_H
#define ASD_NN_TAPE_H

#include "nn/params.h"

typedef int asd_val; /* index of a value on its tape */
enum { ASD_NO_VAL = -1 };

typedef struct asd_value {
    asd_spec    spec;
    int         node;      /* the op that makes it, -1 for inputs and parameters */
    int         param;     /* index in the store, -1 for others                   */
    int         bound;     /* input whose memory the caller lends (asd_plan_bind)  */
    int         want_grad; /* input whose gradient is asked for               */
    asd_val     base;      /* the value that this one is a view of, no view itself; -1 if none */
    const char *name;      /* inputs: for messages; owned by the caller            */
} asd_value;

typedef struct asd_tape_node {
    asd_node n;
    asd_val  in[ASD_MAX_IN];
    asd_val  out;
} asd_tape_node;

typedef struct asd_tape {
    asd_params    *params;
    asd_value     *value;
    asd_tape_node *node;
    void         **attrs; /* copies of attribute structs */
    int            n_values, room_values, n_nodes, room_nodes, n_attrs, room_attrs;
    int            training;
    asd_status     status; /* first failure */
    char           error[512];
} asd_tape;

/* params must outlive the tape and every plan made of it. */
void asd_tape_init(asd_tape *t, asd_params *params, int training);
void asd_tape_clear(asd_tape *t);

/* An input in the plan's arena: fill asd_plan_data(plan, v) before each run. */
asd_val asd_tape_input(asd_tape *t, const char *name, asd_dtype dtype, asd_shape shape);
/* An input in the caller's memory, lent with asd_plan_bind: large tables that should not be copied.
 */
asd_val asd_tape_bound(asd_tape *t, const char *name, asd_dtype dtype, asd_shape shape);
void    asd_tape_want_grad(asd_tape *t, asd_val input); /* of a view: of what it looks at */
asd_val asd_tape_param(asd_tape *t, const char *name, asd_shape shape, asd_init init,
                       int64_t fan_in);
/* The same parameter as bf16 inputs want it: the copy that CUDA's optimiser refreshes, or on the
 * CPU, which does not train in bf16, the one of asd_params_round. Its gradient is collected in
 * fp32. */
asd_val asd_tape_param_bf16(asd_tape *t, const char *name, asd_shape shape, asd_init init,
                            int64_t fan_in);
asd_val asd_tape_state(asd_tape *t, const char *name, asd_shape shape, asd_init init);
/* attr is copied. */
asd_val asd_tape_op(asd_tape *t, const asd_op *op, const void *attr, size_t attr_size,
                    const asd_val *in, int n_in);

/* x's memory read with another shape of as many elements: no step, no copy, and x and its views
 * have one gradient and one life in the plan. x: any value, views and parameters too. */
asd_val asd_tape_view(asd_tape *t, asd_val x, asd_shape shape);
/* x, or what x is a view of: the value that the memory belongs to. */
asd_val asd_tape_base(const asd_tape *t, asd_val x);

asd_shape asd_tape_shape(const asd_tape *t, asd_val v);

/* Layers: parameters are NAME.weight, NAME.bias, NAME.running_mean, NAME.running_var, as in
 * PyTorch. */
asd_val asd_linear(asd_tape *t, asd_val x, const char *name, int64_t out);
asd_val asd_batchnorm(asd_tape *t, asd_val x, const char *name, asd_batchnorm_attr attr);
/* G networks side by side: x: (G, B, C), parameters with a leading G, the loss (G). asd_relu and
 * asd_frame_stack (index (G, B)) need no grouped form. */
asd_val asd_linear_grouped(asd_tape *t, asd_val x, const char *name, int64_t out);
asd_val asd_batchnorm_grouped(asd_tape *t, asd_val x, const char *name, asd_batchnorm_attr attr);
asd_val asd_mse_grouped(asd_tape *t, asd_val p, asd_val target);
asd_val asd_relu(asd_tape *t, asd_val x);
asd_val asd_mse(asd_tape *t, asd_val p, asd_val target);
asd_val asd_frame_stack(asd_tape *t, asd_val frames, asd_val index, int64_t stack);
asd_val asd_logmel(asd_tape *t, asd_val samples, asd_logmel_attr attr);
/* tape_front.c: samples (B, S) as float or int16 -> (B, T, F); no gradient passes. */
asd_val asd_fbank(asd_tape *t, asd_val samples, asd_fbank_attr attr);
asd_val asd_meldb(asd_tape *t, asd_val samples, asd_meldb_attr attr);

/* What encoders are made of. Where NAME has parameters they start as in PyTorch: weight 1, bias 0.
 */
asd_val asd_layernorm(asd_tape *t, asd_val x, const char *name, float eps);
/* norm(x + alpha residual), the end of a post-norm layer's branch. */
asd_val asd_layernorm_residual(asd_tape *t, asd_val x, asd_val residual, float alpha,
                               const char *name, float eps);
asd_val asd_softmax(asd_tape *t, asd_val x, float scale);
asd_val asd_gelu(asd_tape *t, asd_val x);
/* x itself on a tape that is not for training, and where drop_prob is 0. The mask's stream is the
 * op's place on the tape, so the same builder makes the same masks. */
asd_val asd_dropout(asd_tape *t, asd_val x, float drop_prob);
asd_val asd_l2norm(asd_tape *t, asd_val x, float eps);
/* x: (B, P, C) -> (B, C). lengths: (B) int32, or ASD_NO_VAL for whole clips. */
asd_val asd_meanpool(asd_tape *t, asd_val x, asd_val lengths);
/* Adds NAME.bias (C); grouped: x (G, ..., C), NAME.bias (G, C). */
asd_val asd_bias(asd_tape *t, asd_val x, const char *name);
asd_val asd_bias_grouped(asd_tape *t, asd_val x, const char *name);

/* tape_encoder.c: the parts that encoders bring besides. */
asd_val asd_add(asd_tape *t, asd_val a, asd_val b);                     /* a + b */
asd_val asd_add_scaled(asd_tape *t, asd_val a, asd_val b, float alpha); /* a + alpha b */
/* w (O, I, k) from a length a tap g (k) and directions v (O, I, k). */
asd_val asd_weightnorm(asd_tape *t, asd_val g, asd_val v);
/* The convolution over tokens, x: (B, P, C). NAME.weight_g (taps), NAME.weight_v (C, C/groups,
 * taps) and NAME.bias (C). They start as uniform v, which weightnorm scales to g = 1: a weight of
 * standard deviation 1/sqrt(C C/groups), where BEATs has sqrt(4/(C taps)). */
asd_val asd_posconv(asd_tape *t, asd_val x, const char *name, int64_t groups, int64_t taps);
/* x: (B, T, F) -> (B, (T / pt) (F / pf), pt pf), time outside */
asd_val asd_patches(asd_tape *t, asd_val x, asd_patches_attr attr);
/* x: (B, P, C), table: (at least P, C), cls: (C) or ASD_NO_VAL -> x + table, behind cls */
asd_val asd_tokens(asd_tape *t, asd_val x, asd_val table, asd_val cls);
asd_val asd_take(asd_tape *t, asd_val x, int64_t first, int64_t n); /* (B, P, C) -> (B, n, C) */
asd_val asd_bandmean(asd_tape *t, asd_val x, int64_t bands); /* (B, P, C) -> (B, P / bands, C) */
/* Pools as asd_meanpool: to (B, 2 C), means first, and to (B, C). */
asd_val asd_meanstdpool(asd_tape *t, asd_val x, asd_val lengths);
asd_val asd_gempool(asd_tape *t, asd_val x, asd_val lengths, asd_gem_attr attr);

/* Attention inside each clip. qkv: (B, P, 3 C), a row all heads' q, then their k, then their v.
 * lengths: (B) int32, or ASD_NO_VAL for whole clips. -> (B, P, C) */
asd_val asd_attention(asd_tape *t, asd_val qkv, int64_t heads, asd_val lengths);
/* With BEATs' gated position bias. gate: table (buckets, heads), grep_w (8, C / heads), grep_b (8),
 * grep_a (heads), parameters that layers may share. */
asd_val asd_attention_gated(asd_tape *t, asd_val qkv, int64_t heads, asd_val lengths,
                            const asd_val gate[4], int64_t buckets, int64_t max_distance);

#endif
