/* embed_inputs.c - data sets and audio files as a sorted list of clips. */
#include "base/file.h"
#include "data/dataset.h"
#include "tools/embed_cmd.h"

#include <stdlib.h>
#include <string.h>

static int by_name(const void *a, const void *b)
{
    return strcmp(((const asd_embed_clip *)a)->name, ((const asd_embed_clip *)b)->name);
}

static asd_status add(embed_inputs *in, const char *path, const char *name)
{
    asd_embed_clip *c = &in->clip[in->n];
    memset(c, 0, sizeof *c);
    c->path = strdup(path);
    c->name = strdup(name);
    ++in->n;
    return c->path && c->name ? ASD_OK : ASD_FAIL(ASD_E_OOM, "%s: no memory for its name", path);
}

/* "fan/test/x.wav": the machine's name, then the clip's folder and file. */
static asd_status add_clips(embed_inputs *in, const asd_machine *m, const asd_clip *clip, int64_t n)
{
    char name[PATH_MAX], folder[PATH_MAX];
    for (int64_t i = 0; i < n; ++i) {
        const char *base = asd_base_name(clip[i].path);
        int         end  = base > clip[i].path ? (int)(base - clip[i].path) - 1 : 0;
        ASD_TRY(asd_path(folder, "%.*s", end, clip[i].path));
        ASD_TRY(asd_path(name, "%s/%s/%s", m->name, asd_base_name(folder), clip[i].name));
        ASD_TRY(add(in, clip[i].path, name));
    }
    return ASD_OK;
}

static asd_status sort_and_probe(embed_inputs *in)
{
    qsort(in->clip, (size_t)in->n, sizeof *in->clip, by_name);
    for (int64_t i = 1; i < in->n; ++i)
        if (!strcmp(in->clip[i - 1].name, in->clip[i].name))
            return ASD_FAIL(ASD_E_USAGE, "%s is given twice", in->clip[i].name);
    return asd_embed_probe(in->clip, in->n);
}

asd_status embed_inputs_data(const char *root, char *const *machines, int64_t n_machines,
                             embed_inputs *out)
{
    asd_dataset data;
    int64_t     n = 0;
    memset(out, 0, sizeof *out);
    ASD_TRY(asd_dataset_open(root, machines, n_machines, &data));
    asd_status st = ASD_OK;
    for (int64_t i = 0; i < data.n; ++i)
        n += data.machine[i].n_train + data.machine[i].n_test;
    if (!n)
        st = ASD_FAIL(ASD_E_DATA, "%s: no clips", root);
    else if (!(out->clip = calloc((size_t)n, sizeof *out->clip)))
        st = ASD_FAIL(ASD_E_OOM, "%s: no memory for %lld clips", root, (long long)n);
    for (int64_t i = 0; i < data.n && !st; ++i) {
        const asd_machine *m = &data.machine[i];
        if (!(st = add_clips(out, m, m->train, m->n_train)))
            st = add_clips(out, m, m->test, m->n_test);
    }
    asd_dataset_clear(&data);
    return st ? st : sort_and_probe(out);
}

asd_status embed_inputs_operands(char *const *operand, int64_t n, embed_inputs *out)
{
    memset(out, 0, sizeof *out);
    if (n == 1 && asd_is_folder(operand[0]))
        return embed_inputs_data(operand[0], NULL, 0, out);
    if (!(out->clip = calloc((size_t)n, sizeof *out->clip)))
        return ASD_FAIL(ASD_E_OOM, "no memory for %lld clips", (long long)n);
    for (int64_t i = 0; i < n; ++i) {
        if (asd_is_folder(operand[i]))
            return ASD_FAIL(ASD_E_USAGE,
                            "%s is a folder: give one data set, or audio files and no folder",
                            operand[i]);
        ASD_TRY(add(out, operand[i], operand[i]));
    }
    return sort_and_probe(out);
}

void embed_inputs_clear(embed_inputs *in)
{
    for (int64_t i = 0; i < in->n; ++i) {
        free(in->clip[i].path);
        free(in->clip[i].name);
    }
    free(in->clip);
    memset(in, 0, sizeof *in);
}
