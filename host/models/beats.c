/* beats.c - BEATs (Chen et al., ICML 2023): sizes, and the names of its checkpoints.
 *
 * Post-norm with a scaled skip, relative positions gated per query, one table for all layers, a
 * grouped convolution over tokens in place of absolute positions, a norm before the first block and
 * none behind the last. q, k and v are three layers in the files and one here.
 */
#include "models/parts.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static void beats_defaults(asd_encoder_desc *d, int tiny)
{
    d->front        = ASD_FRONT_FBANK;
    d->window       = ASD_WINDOW_POVEY;
    d->in_scale     = 32768;
    d->n_mels       = 128;
    d->mean         = 15.41663;
    d->divisor      = 2 * 6.55582;
    d->patch_t      = 16;
    d->patch_f      = 16;
    d->patch_dim    = tiny ? 48 : 512;
    d->patch_norm   = 1;
    d->pos          = ASD_POS_CONV;
    d->conv_taps    = 128;
    d->conv_groups  = 16;
    d->norm_blocks  = 1;
    d->depth        = tiny ? 2 : 12;
    d->dim          = tiny ? 64 : 768;
    d->heads        = tiny ? 2 : 12;
    d->mlp          = tiny ? 128 : 3072;
    d->eps          = 1e-5f;
    d->skip_alpha   = (float)pow(2.0 * d->depth, 0.25);
    d->buckets      = 320;
    d->max_distance = 800;
}

static const char *beats_core(const char *name, char buffer[256])
{
    (void)buffer;
    return name;
}

static double number(const asd_weights *w, const char *key, double otherwise)
{
    double x;
    char   full[64];
    snprintf(full, sizeof full, "cfg.%s", key);
    return asd_weights_number(w, full, &x) ? x : otherwise;
}

/* What the configuration says. Absent keys have the defaults of the original class, which are not
 * those of the released models; a file without any configuration is taken for a released model. */
static asd_status read_configuration(const asd_weights *w, asd_encoder_desc *d)
{
    double      layers = 0;
    const char *gelu   = asd_weights_text(w, "cfg.activation_fn");
    if (!asd_weights_number(w, "cfg.encoder_layers", &layers)) {
        d->skip_alpha = (float)pow(2.0 * d->depth, 0.25);
        return ASD_OK;
    }
    double heads = number(w, "encoder_attention_heads", 12);
    if ((int)layers != d->depth || (int64_t)heads != d->heads)
        return ASD_FAIL(ASD_E_DATA,
                        "%s: its cfg says %g layers with %g heads, its tensors %d with %lld",
                        w->path, layers, heads, d->depth, (long long)d->heads);
    if (number(w, "layer_norm_first", 0) != 0 || number(w, "relative_position_embedding", 0) != 1 ||
        number(w, "gru_rel_pos", 0) != 1 || (gelu && strcmp(gelu, "gelu") != 0))
        return ASD_FAIL(ASD_E_DATA,
                        "%s: cfg has layer_norm_first %g, relative_position_embedding %g, "
                        "gru_rel_pos %g, activation_fn %s; want 0, 1, 1, gelu",
                        w->path, number(w, "layer_norm_first", 0),
                        number(w, "relative_position_embedding", 0), number(w, "gru_rel_pos", 0),
                        gelu ? gelu : "gelu");
    d->skip_alpha   = number(w, "deep_norm", 0) != 0 ? (float)pow(2.0 * d->depth, 0.25) : 1;
    d->max_distance = (int64_t)number(w, "max_distance", 1280);
    d->grad_decay   = (float)number(w, "layer_wise_gradient_decay_ratio", 1);
    return ASD_OK;
}

static asd_status beats_describe(const encoder_file *f, asd_encoder_desc *d)
{
    const char *conv = "encoder.pos_conv.0.weight_v";
    int64_t     width;
    if (!encoder_file_find(f, conv))
        conv = "encoder.pos_conv.0.parametrizations.weight.original1";
    ASD_TRY(encoder_file_dim(f, "post_extract_proj.weight", 0, &d->dim));
    ASD_TRY(encoder_file_dim(f, "post_extract_proj.weight", 1, &d->patch_dim));
    ASD_TRY(encoder_file_dim(f, "patch_embedding.weight", 2, &d->patch_t));
    ASD_TRY(encoder_file_dim(f, "patch_embedding.weight", 3, &d->patch_f));
    ASD_TRY(encoder_file_dim(f, conv, 1, &width));
    ASD_TRY(encoder_file_dim(f, conv, 2, &d->conv_taps));
    ASD_TRY(encoder_file_dim(f, "encoder.layers.0.fc1.weight", 0, &d->mlp));
    ASD_TRY(encoder_file_dim(f, "encoder.layers.0.self_attn.relative_attention_bias.weight", 0,
                             &d->buckets));
    ASD_TRY(encoder_file_dim(f, "encoder.layers.0.self_attn.relative_attention_bias.weight", 1,
                             &d->heads));
    d->conv_groups = d->dim / width;
    d->depth       = encoder_file_depth(f, "encoder.layers.");
    if (d->dim % width || d->dim % d->heads || d->n_mels % d->patch_f ||
        d->depth > ASD_ENCODER_MAX_DEPTH)
        return ASD_FAIL(
            ASD_E_DATA,
            "%s: width %lld in %lld heads, %lld channels a group, patches of %lld mels, "
            "%d layers: no such BEATs",
            f->w->path, (long long)d->dim, (long long)d->heads, (long long)width,
            (long long)d->patch_f, d->depth);
    if (encoder_file_find(f, "predictor.weight"))
        ASD_TRY(encoder_file_dim(f, "predictor.weight", 0, &d->head_classes));
    return read_configuration(f->w, d);
}

static void beats_block(const asd_encoder_desc *d, encoder_names *l, int i)
{
    static const char *const third[3] = {"q_proj", "k_proj", "v_proj"};
    int64_t                  C = d->dim, K = C / d->heads;
    char                     core[96], param[64];
    encoder_name            *n;
#define PARAM(leaf) (snprintf(param, sizeof param, "blocks.%d.%s", i, leaf), param)
#define CORE(leaf) (snprintf(core, sizeof core, "encoder.layers.%d.%s", i, leaf), core)
    n        = encoder_names_add(l, PARAM("grep_a"), 4, (int64_t[]){1, d->heads, 1, 1}, "%s",
                                 CORE("self_attn.grep_a"));
    n        = encoder_names_add(l, "rel_table", 2, (int64_t[]){d->buckets, d->heads}, "%s",
                                 CORE("self_attn.relative_attention_bias.weight"));
    n->flags = NAME_SAME | (i ? NAME_OPTIONAL : 0);
    for (int k = 0; k < 3; ++k) {
        n        = encoder_names_add(l, PARAM("qkv.weight"), 2, (int64_t[]){C, C},
                                     "encoder.layers.%d.self_attn.%s.weight", i, third[k]);
        n->part  = k;
        n->parts = 3;
        n = encoder_names_add(l, PARAM("qkv.bias"), 1, &C, "encoder.layers.%d.self_attn.%s.bias", i,
                              third[k]);
        n->part  = k;
        n->parts = 3;
    }
    encoder_names_linear(l, PARAM("proj"), C, C, CORE("self_attn.out_proj"));
    encoder_names_add(l, PARAM("grep_w"), 2, (int64_t[]){8, K}, "%s",
                      CORE("self_attn.grep_linear.weight"));
    encoder_names_add(l, PARAM("grep_b"), 1, (int64_t[]){8}, "%s",
                      CORE("self_attn.grep_linear.bias"));
    encoder_names_norm(l, PARAM("norm1"), C, CORE("self_attn_layer_norm"));
    encoder_names_linear(l, PARAM("fc1"), d->mlp, C, CORE("fc1"));
    encoder_names_linear(l, PARAM("fc2"), C, d->mlp, CORE("fc2"));
    encoder_names_norm(l, PARAM("norm2"), C, CORE("final_layer_norm"));
#undef PARAM
#undef CORE
}

static void beats_names(const asd_encoder_desc *d, encoder_names *l)
{
    int64_t       C = d->dim, W = C / d->conv_groups, k = d->conv_taps;
    encoder_name *n;
    encoder_names_add(l, "patch.weight", 4, (int64_t[]){d->patch_dim, 1, d->patch_t, d->patch_f},
                      "patch_embedding.weight");
    encoder_names_norm(l, "norm_patch", d->patch_dim, "layer_norm");
    encoder_names_linear(l, "proj", C, d->patch_dim, "post_extract_proj");
    encoder_names_add(l, "pos_conv.bias", 1, &C, "encoder.pos_conv.0.bias");
    n = encoder_names_add(l, "pos_conv.weight_g", 3, (int64_t[]){1, 1, k},
                          "encoder.pos_conv.0.weight_g");
    snprintf(n->other, sizeof n->other, "encoder.pos_conv.0.parametrizations.weight.original0");
    n = encoder_names_add(l, "pos_conv.weight_v", 3, (int64_t[]){C, W, k},
                          "encoder.pos_conv.0.weight_v");
    snprintf(n->other, sizeof n->other, "encoder.pos_conv.0.parametrizations.weight.original1");
    encoder_names_norm(l, "norm_in", C, "encoder.layer_norm");
    for (int i = 0; i < d->depth; ++i)
        beats_block(d, l, i);
    if (d->head_classes)
        encoder_names_linear(l, "head", d->head_classes, C, "predictor");
}

const encoder_kind encoder_kind_beats = {
    .defaults = beats_defaults,
    .anchor   = "post_extract_proj.weight",
    .core     = beats_core,
    .describe = beats_describe,
    .names    = beats_names,
};
