/* dasheng.c - Dasheng (Dinkel et al., Interspeech 2024): sizes, and the names of its checkpoints.
 *
 * Pre-norm with a norm at the end, learned places (one for the time, one vector for all mels), no
 * class token, batch normalisation of the mels with frozen statistics. A token is all mels of four
 * frames. Clips longer than 252 tokens are cut into chunks that do not see each other.
 */
#include "models/parts.h"

#include <string.h>

static void dasheng_defaults(asd_encoder_desc *d, int tiny)
{
    d->front        = ASD_FRONT_MELDB;
    d->in_scale     = 1;
    d->n_mels       = 64;
    d->divisor      = 1;
    d->norm_in_eps  = 1e-5f;
    d->patch_t      = 4;
    d->patch_f      = 64;
    d->mel_major    = 1;
    d->patch_bias   = 1;
    d->pos          = ASD_POS_LEARNED;
    d->pos_rows     = 252;
    d->depth        = tiny ? 2 : 12;
    d->dim          = tiny ? 64 : 768;
    d->heads        = tiny ? 2 : 12;
    d->mlp          = tiny ? 128 : 3072;
    d->pre_norm     = 1;
    d->eps          = 1e-6f;
    d->skip_alpha   = 1;
    d->norm_final   = 1;
    d->chunk_tokens = 252;
    d->chunk_tail   = ASD_TAIL_SHORT;
}

static const char *dasheng_core(const char *name, char buffer[256])
{
    (void)buffer;
    if (!strncmp(name, "front_end.", 10) || strstr(name, "num_batches_tracked"))
        return NULL; /* the front-end's tables, which are made here; a counter */
    return name;
}

static asd_status dasheng_describe(const encoder_file *f, asd_encoder_desc *d)
{
    ASD_TRY(encoder_file_dim(f, "patch_embed.proj.weight", 0, &d->dim));
    ASD_TRY(encoder_file_dim(f, "patch_embed.proj.weight", 2, &d->patch_f));
    ASD_TRY(encoder_file_dim(f, "patch_embed.proj.weight", 3, &d->patch_t));
    ASD_TRY(encoder_file_dim(f, "time_pos_embed", 3, &d->pos_rows));
    ASD_TRY(encoder_file_dim(f, "blocks.0.mlp.fc1.weight", 0, &d->mlp));
    d->depth        = encoder_file_depth(f, "blocks.");
    d->chunk_tokens = d->pos_rows;
    /* no file says how many: 12, 16 and 24 heads in the base, 0.6B and 1.2B models */
    d->heads = d->dim == 1280 ? 16 : d->dim / 64;
    if (d->heads < 1 || d->dim % d->heads || d->n_mels != d->patch_f ||
        d->depth > ASD_ENCODER_MAX_DEPTH)
        return ASD_FAIL(
            ASD_E_DATA,
            "%s: width %lld in %lld heads, patches of %lld mels, %d layers: no such Dasheng",
            f->w->path, (long long)d->dim, (long long)d->heads, (long long)d->patch_f, d->depth);
    if (!encoder_file_find(f, "outputlayer.1.weight"))
        return ASD_OK;
    d->head_norm_eps = 1e-5f;
    return encoder_file_dim(f, "outputlayer.1.weight", 0, &d->head_classes);
}

static void dasheng_names(const asd_encoder_desc *d, encoder_names *l)
{
    encoder_name *n =
        encoder_names_add(l, "pos", 4, (int64_t[]){1, d->dim, 1, d->pos_rows}, "time_pos_embed");
    n->flags = NAME_TRANSPOSED;
    encoder_names_add(l, "freq", 4, (int64_t[]){1, d->dim, 1, 1}, "freq_pos_embed");
    encoder_names_norm(l, "mels", d->n_mels, "init_bn.1");
    encoder_names_add(l, "mels.running_mean", 1, &d->n_mels, "init_bn.1.running_mean");
    encoder_names_add(l, "mels.running_var", 1, &d->n_mels, "init_bn.1.running_var");
    encoder_names_add(l, "patch.weight", 4, (int64_t[]){d->dim, 1, d->patch_f, d->patch_t},
                      "patch_embed.proj.weight");
    encoder_names_add(l, "patch.bias", 1, &d->dim, "patch_embed.proj.bias");
    for (int i = 0; i < d->depth; ++i)
        encoder_names_vit_block(l, d, i);
    encoder_names_norm(l, "norm", d->dim, "norm");
    if (d->head_classes) {
        encoder_names_norm(l, "head_norm", d->dim, "outputlayer.0");
        encoder_names_linear(l, "head", d->head_classes, d->dim, "outputlayer.1");
    }
}

const encoder_kind encoder_kind_dasheng = {
    .defaults = dasheng_defaults,
    .anchor   = "time_pos_embed",
    .core     = dasheng_core,
    .describe = dasheng_describe,
    .names    = dasheng_names,
};
