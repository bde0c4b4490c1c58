/* eat.c - EAT (Chen et al., IJCAI 2024) and SSLAM (Alex et al., ICLR 2025): sizes, the table of
 * places, and the names of their checkpoints. SSLAM is EAT's network with other weights.
 *
 * Post-norm, fixed sine and cosine places, a class token without a place, a norm before the first
 * block and none behind the last. Clips are padded to a multiple of 32 frames before normalising,
 * which for 10 s is the 1024 frames of the originals.
 */
#include "models/parts.h"

#include <math.h>
#include <string.h>

enum { TABLE_ROWS = 6144 }; /* 768 time patches of 8 bands: 122.9 s */

static void eat_defaults(asd_encoder_desc *d, int tiny)
{
    d->front           = ASD_FRONT_FBANK;
    d->window          = ASD_WINDOW_HANN;
    d->in_scale        = 1;
    d->n_mels          = 128;
    d->mean            = -4.268;
    d->divisor         = 2 * 4.569;
    d->frames_multiple = 32;
    d->patch_t         = 16;
    d->patch_f         = 16;
    d->patch_bias      = 1;
    d->pos             = ASD_POS_SINCOS;
    d->pos_rows        = TABLE_ROWS;
    d->n_cls           = 1;
    d->norm_blocks     = 1;
    d->depth           = tiny ? 2 : 12;
    d->dim             = tiny ? 64 : 768;
    d->heads           = tiny ? 2 : 12;
    d->mlp             = tiny ? 128 : 3072;
    d->eps             = 1e-6f;
    d->skip_alpha      = 1;
}

/* Row t 8 + f: sines of f, cosines of f, sines of t, cosines of t, a quarter of the width each. */
void encoder_fill_places(asd_encoder *e)
{
    const asd_encoder_desc *d = &e->d;
    int                     k = asd_params_find(&e->params, "pos");
    if (d->pos != ASD_POS_SINCOS || e->params.param[k].mapped)
        return;
    float  *table = asd_params_value(&e->params, k);
    int64_t Q = d->dim / 4, bands = asd_encoder_bands(d);
    for (int64_t i = 0; i < Q; ++i) {
        double w = pow(10000, -(double)i / (double)Q);
        for (int64_t r = 0; r < d->pos_rows; ++r) {
            double t = (double)(r / bands) * w, f = (double)(r % bands) * w;
            float *row = table + r * d->dim + i;
            row[0]     = (float)sin(f);
            row[Q]     = (float)cos(f);
            row[2 * Q] = (float)sin(t);
            row[3 * Q] = (float)cos(t);
        }
    }
}

/* fairseq's names and Hugging Face's are the same behind this. */
static const char *eat_core(const char *name, char buffer[256])
{
    static const char wrapper[] = "modality_encoders.IMAGE.", norm[] = "context_encoder.norm.";
    if (!strncmp(name, wrapper, sizeof wrapper - 1))
        name += sizeof wrapper - 1;
    if (!strncmp(name, "decoder.", 8) || !strncmp(name, "_ema", 4))
        return NULL; /* the pre-training's prediction head, and its teacher */
    if (strncmp(name, norm, sizeof norm - 1) != 0)
        return name;
    memcpy(buffer, "pre_norm.", sizeof "pre_norm.");
    strncat(buffer, name + sizeof norm - 1, 200);
    return buffer;
}

static asd_status eat_describe(const encoder_file *f, asd_encoder_desc *d)
{
    const asd_weight *places = encoder_file_find(f, "fixed_positional_encoder.positions");
    double            heads;
    ASD_TRY(encoder_file_dim(f, "extra_tokens", 2, &d->dim));
    ASD_TRY(encoder_file_dim(f, "local_encoder.proj.weight", 2, &d->patch_t));
    ASD_TRY(encoder_file_dim(f, "local_encoder.proj.weight", 3, &d->patch_f));
    ASD_TRY(encoder_file_dim(f, "blocks.0.mlp.fc1.weight", 0, &d->mlp));
    d->depth = encoder_file_depth(f, "blocks.");
    d->heads =
        asd_weights_number(f->w, "cfg.model.num_heads", &heads) ? (int64_t)heads : d->dim / 64;
    if (places && places->n_dims == 3 && places->dim[1] > d->pos_rows)
        d->pos_rows = places->dim[1];
    if (d->heads < 1 || d->dim % (4 * d->heads) || d->n_mels % d->patch_f ||
        d->pos_rows > INT32_MAX || d->depth > ASD_ENCODER_MAX_DEPTH)
        return ASD_FAIL(
            ASD_E_DATA,
            "%s: width %lld in %lld heads, patches of %lld mels, %d layers: no such EAT",
            f->w->path, (long long)d->dim, (long long)d->heads, (long long)d->patch_f, d->depth);
    if (!encoder_file_find(f, "head.weight"))
        return ASD_OK;
    /* Hugging Face's port has another eps in the classifier than the original */
    d->head_norm_eps = !strcmp(f->w->format, "safetensors") ? 1e-5f : 1e-6f;
    return encoder_file_dim(f, "head.weight", 0, &d->head_classes);
}

static void eat_names(const asd_encoder_desc *d, encoder_names *l)
{
    encoder_name *n;
    encoder_names_add(l, "cls", 3, (int64_t[]){1, 1, d->dim}, "extra_tokens");
    encoder_names_add(l, "patch.weight", 4, (int64_t[]){d->dim, 1, d->patch_t, d->patch_f},
                      "local_encoder.proj.weight");
    encoder_names_add(l, "patch.bias", 1, &d->dim, "local_encoder.proj.bias");
    encoder_names_norm(l, "norm_in", d->dim, "pre_norm");
    n        = encoder_names_add(l, "pos", 3, (int64_t[]){1, d->pos_rows, d->dim},
                                 "fixed_positional_encoder.positions");
    n->flags = NAME_OPTIONAL | NAME_SHORT;
    for (int i = 0; i < d->depth; ++i)
        encoder_names_vit_block(l, d, i);
    if (d->head_classes) {
        encoder_names_norm(l, "head_norm", d->dim, "fc_norm");
        encoder_names_linear(l, "head", d->head_classes, d->dim, "head");
    }
}

const encoder_kind encoder_kind_eat = {
    .defaults = eat_defaults,
    .anchor   = "extra_tokens",
    .wrapper  = "modality_encoders.IMAGE.",
    .core     = eat_core,
    .describe = eat_describe,
    .names    = eat_names,
};
