/* names.c - the list that says which tensor of a file fills which parameter, and how. */
#include "models/parts.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

encoder_name *encoder_names_add(encoder_names *l, const char *param, int n_dims, const int64_t *dim,
                                const char *core_format, ...)
{
    va_list args;
    if (!l->failed && l->n == l->room) {
        int           room = l->room ? 2 * l->room : 64;
        encoder_name *more = realloc(l->name, (size_t)room * sizeof *more);
        if (!more) {
            l->failed = 1;
        } else {
            l->name = more;
            l->room = room;
        }
    }
    if (l->failed)
        return &l->scratch;
    encoder_name *n = &l->name[l->n++];
    *n              = (encoder_name){.n_dims = n_dims, .parts = 1};
    va_start(args, core_format);
    vsnprintf(n->core, sizeof n->core, core_format, args);
    va_end(args);
    snprintf(n->param, sizeof n->param, "%s", param);
    memcpy(n->dim, dim, (size_t)n_dims * sizeof *dim);
    return n;
}

void encoder_names_free(encoder_names *l)
{
    free(l->name);
    memset(l, 0, sizeof *l);
}

void encoder_names_linear(encoder_names *l, const char *param, int64_t out, int64_t in,
                          const char *core)
{
    char name[64];
    snprintf(name, sizeof name, "%.50s.weight", param);
    encoder_names_add(l, name, 2, (int64_t[]){out, in}, "%s.weight", core);
    snprintf(name, sizeof name, "%.50s.bias", param);
    encoder_names_add(l, name, 1, &out, "%s.bias", core);
}

void encoder_names_norm(encoder_names *l, const char *param, int64_t n, const char *core)
{
    char name[64];
    snprintf(name, sizeof name, "%.50s.weight", param);
    encoder_names_add(l, name, 1, &n, "%s.weight", core);
    snprintf(name, sizeof name, "%.50s.bias", param);
    encoder_names_add(l, name, 1, &n, "%s.bias", core);
}

void encoder_names_vit_block(encoder_names *l, const asd_encoder_desc *d, int i)
{
    static const struct {
        const char *leaf, *core;
        int         norm, out, in; /* in units of dim; -1: the MLP's width */
    } layer[] = {
        {"norm1", "norm1", 1, 0, 0}, {"qkv", "attn.qkv", 0, 3, 1}, {"proj", "attn.proj", 0, 1, 1},
        {"norm2", "norm2", 1, 0, 0}, {"fc1", "mlp.fc1", 0, -1, 1}, {"fc2", "mlp.fc2", 0, 1, -1},
    };
    char param[64], core[64];
    for (size_t k = 0; k < sizeof layer / sizeof *layer; ++k) {
        snprintf(param, sizeof param, "blocks.%d.%s", i, layer[k].leaf);
        snprintf(core, sizeof core, "blocks.%d.%s", i, layer[k].core);
        if (layer[k].norm)
            encoder_names_norm(l, param, d->dim, core);
        else
            encoder_names_linear(l, param, layer[k].out < 0 ? d->mlp : layer[k].out * d->dim,
                                 layer[k].in < 0 ? d->mlp : layer[k].in * d->dim, core);
    }
}

/* --- a file under core names --- */

const asd_weight *encoder_file_find(const encoder_file *f, const char *core)
{
    for (int64_t i = 0; i < f->w->n; ++i)
        if (f->core[i] && !strcmp(f->core[i], core))
            return &f->w->tensor[i];
    return NULL;
}

asd_status encoder_file_dim(const encoder_file *f, const char *core, int axis, int64_t *out)
{
    const asd_weight *t = encoder_file_find(f, core);
    *out                = 0;
    if (!t || axis >= t->n_dims)
        return ASD_FAIL(ASD_E_DATA, "%s: no tensor %s with %d dimensions or more", f->w->path, core,
                        axis + 1);
    if (t->dim[axis] < 1 || t->dim[axis] > INT32_MAX)
        return ASD_FAIL(ASD_E_DATA, "%s: %s has size %lld", f->w->path, core,
                        (long long)t->dim[axis]);
    *out = t->dim[axis];
    return ASD_OK;
}

int encoder_file_depth(const encoder_file *f, const char *before)
{
    size_t length = strlen(before);
    int    depth  = 0;
    for (int64_t i = 0; i < f->w->n; ++i) {
        if (!f->core[i] || strncmp(f->core[i], before, length) != 0)
            continue;
        const char *digits = f->core[i] + length;
        size_t      n      = strspn(digits, "0123456789");
        if (!n || digits[n] != '.')
            continue;
        long block = strtol(digits, NULL, 10);
        block      = block < ASD_ENCODER_MAX_DEPTH ? block : ASD_ENCODER_MAX_DEPTH;
        depth      = (int)block >= depth ? (int)block + 1 : depth;
    }
    return depth;
}
