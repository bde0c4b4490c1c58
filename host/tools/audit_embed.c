/* audit_embed.c - test clips embedded again under other names. See audit_set.h. */
#include "tools/audit_set.h"

#include "base/file.h"
#include "tools/embed_cmd.h"
#include "tools/open_device.h"
#include "tools/train_run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int by_name(const void *a, const void *b)
{
    return strcmp(((const asd_embed_clip *)a)->name, ((const asd_embed_clip *)b)->name);
}

/* The test clips by their new names. */
static asd_status make_inputs(const audit_clip *clip, int64_t n, embed_inputs *in)
{
    char name[PATH_MAX];
    if (!(in->clip = calloc((size_t)n + 1, sizeof *in->clip)))
        return ASD_FAIL(ASD_E_OOM, "no memory for %lld clips", (long long)n);
    for (; in->n < n; ++in->n) {
        ASD_TRY(asd_path(name, "%s/test/%s", clip[in->n].machine->name, clip[in->n].name));
        in->clip[in->n].path = strdup(clip[in->n].clip->path);
        in->clip[in->n].name = strdup(name);
        if (!in->clip[in->n].path || !in->clip[in->n].name)
            return ASD_FAIL(ASD_E_OOM, "no memory for %lld clips", (long long)n);
    }
    qsort(in->clip, (size_t)n, sizeof *in->clip, by_name);
    return asd_embed_probe(in->clip, in->n);
}

asd_status audit_embed(const audit_clip *clip, int64_t n, const audit_embedder *how,
                       const char *run)
{
    embed_args   args = {.recipe = *how->args, .weights = (char *)how->weights};
    embed_inputs in   = {0};
    asd_device   device;
    embed_job    j  = {.args   = &args,
                       .inputs = &in,
                       .batch  = how->batch,
                       .seed   = (uint64_t)how->recipe->cfg.seed,
                       .files  = json_array()};
    asd_status   st = asd_device_choose(how->args->device, &device);
    args.recipe.run = (char *)run;
    if (!st)
        st = embed_recipe_streams(&args, how->recipe, &j);
    if (!st)
        st = make_inputs(clip, n, &in);
    if (!st)
        st = asd_device_open(how->args->device, &device, &j.gpu);
    if (!st && j.gpu)
        st = asd_stream_new(j.gpu, &j.gpu_stream);
    if (!st)
        st = embed_run_all(&j);
    embed_job_clear(&j);
    embed_inputs_clear(&in);
    return st;
}
