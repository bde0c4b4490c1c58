/* audit_set.c - names and links of a copy of a data set. See audit_set.h. */
#include "tools/audit_set.h"

#include "base/file.h"
#include "base/rng.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

asd_status audit_choose(const asd_dataset *data, int64_t per_machine, audit_clip **out, int64_t *n)
{
    int64_t total = 0;
    for (int64_t m = 0; m < data->n; ++m)
        total += data->machine[m].n_test;
    *n = 0;
    if (!(*out = calloc((size_t)total + 1, sizeof **out)))
        return ASD_FAIL(ASD_E_OOM, "no memory for %lld clips", (long long)total);
    for (int64_t m = 0; m < data->n; ++m) {
        const asd_machine *machine = &data->machine[m];
        int64_t            have    = machine->n_test;
        int64_t            take    = per_machine && per_machine < have ? per_machine : have;
        for (int64_t i = 0; i < take; ++i)
            (*out)[(*n)++] =
                (audit_clip){.machine = machine, .clip = &machine->test[i * have / take]};
    }
    return *n ? ASD_OK : ASD_FAIL(ASD_E_DATA, "%s: no test clips", data->root);
}

static int by_order(const void *a, const void *b)
{
    const audit_clip *x = a, *y = b;
    if (x->machine != y->machine)
        return x->machine < y->machine ? -1 : 1;
    return (x->order > y->order) - (x->order < y->order);
}

/* "section_00_" of clips whose names have a section, else nothing. */
static int prefix_of(const audit_clip *c, char *out, size_t size)
{
    int section = asd_clip_name_section(c->clip->name);
    if (section < 0)
        *out = 0;
    else
        snprintf(out, size, "section_%02d_", section);
    return section;
}

void audit_name(audit_clip *clip, int64_t n, audit_naming naming, uint64_t seed)
{
    for (int64_t i = 0; i < n; ++i) {
        asd_rng r;
        asd_rng_init(&r, seed, ASD_RNG_SPLIT, (uint64_t)naming, asd_rng_hash(clip[i].clip->path));
        clip[i].order = naming == AUDIT_REVERSED ? -(double)(clip[i].clip - clip[i].machine->test)
                                                 : asd_rng_uniform(&r);
    }
    qsort(clip, (size_t)n, sizeof *clip, by_order);
    for (int64_t i = 0, number = 0; i < n; ++i) {
        char prefix[32];
        number = i && clip[i].machine == clip[i - 1].machine ? number + 1 : 0;
        prefix_of(&clip[i], prefix, sizeof prefix);
        if (naming == AUDIT_LABELLED && *prefix) {
            asd_rng r;
            asd_rng_init(&r, seed, ASD_RNG_SPLIT, 100, asd_rng_hash(clip[i].clip->path));
            uint32_t label = asd_rng_below(&r, 4);
            snprintf(clip[i].name, sizeof clip[i].name, "%s%s_test_%s_%04lld_noAttribute.wav",
                     prefix, label & 1 ? "target" : "source", label & 2 ? "anomaly" : "normal",
                     (long long)number);
        } else {
            snprintf(clip[i].name, sizeof clip[i].name, "%s%04lld.wav", prefix, (long long)number);
        }
    }
}

static asd_status link_to(const char *path, const char *folder, const char *name)
{
    char real[PATH_MAX], at[PATH_MAX];
    if (!realpath(path, real))
        return ASD_FAIL(ASD_E_IO, "%s: %s", path, strerror(errno));
    ASD_TRY(asd_path(at, "%s/%s", folder, name));
    if (symlink(real, at))
        return ASD_FAIL(ASD_E_IO, "%s: cannot link to %s: %s", at, real, strerror(errno));
    return ASD_OK;
}

asd_status audit_link(const asd_dataset *data, const audit_clip *clip, int64_t n,
                      const char *folder)
{
    ASD_TRY(asd_remove_tree(folder));
    for (int64_t m = 0; m < data->n; ++m) {
        const asd_machine *machine = &data->machine[m];
        char               train[PATH_MAX], test[PATH_MAX];
        int64_t            count = 0;
        for (int64_t i = 0; i < n; ++i)
            count += clip[i].machine == machine;
        if (!count)
            continue;
        ASD_TRY(asd_path(train, "%s/%s/train", folder, machine->name));
        ASD_TRY(asd_path(test, "%s/%s/test", folder, machine->name));
        ASD_TRY(asd_make_folders(train));
        ASD_TRY(asd_make_folders(test));
        for (int64_t i = 0; i < machine->n_train; ++i)
            ASD_TRY(link_to(machine->train[i].path, train, machine->train[i].name));
        for (int64_t i = 0; i < n; ++i)
            if (clip[i].machine == machine)
                ASD_TRY(link_to(clip[i].clip->path, test, clip[i].name));
    }
    return ASD_OK;
}
