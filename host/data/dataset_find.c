/* dataset_find.c - see dataset_find.h.
 *
 * The first of these that the root has:
 *   1. train or test folders                          the root is one machine
 *   2. dev_data or eval_data, here or under data/dcase20NNt2/   their raw/ or themselves
 *   3. raw                                            the root is a dev_data
 *   4. folders that are machines                      machines side by side
 */
#include "data/dataset_find.h"

#include "base/file.h"
#include "base/log.h"
#include "base/opt.h"

#include <fnmatch.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static int is_machine_folder(const char *folder)
{
    char path[PATH_MAX];
    for (int i = 0; i < ASD_N_CLIP_FOLDERS; ++i)
        if (!asd_path(path, "%s/%s", folder, asd_clip_folders[i].name) && asd_is_folder(path))
            return 1;
    return 0;
}

static asd_status add_machine(asd_found *f, const char *name, const char *folder)
{
    ASD_TRY(asd_clip_name_check(name)); /* it becomes part of CSV file names */
    asd_found_machine *more = realloc(f->machine, (size_t)(f->n + 1) * sizeof *more);
    if (!more)
        return ASD_FAIL(ASD_E_OOM, "%s: no memory for a machine", folder);
    f->machine           = more;
    asd_found_machine *m = more + f->n++;
    m->name              = strdup(name);
    m->folder            = strdup(folder);
    return m->name && m->folder ? ASD_OK : ASD_FAIL(ASD_E_OOM, "%s: no memory", folder);
}

static asd_status add_side_by_side(asd_found *f, const char *folder)
{
    asd_status st = ASD_OK;
    asd_names  names;
    char       path[PATH_MAX];
    ASD_TRY(asd_list_folder(folder, &names));
    for (int64_t i = 0; i < names.n && !st; ++i) {
        ASD_GO(done, st, asd_path(path, "%s/%s", folder, names.name[i]));
        if (!asd_is_folder(path) || names.name[i][0] == '.')
            continue;
        if (is_machine_folder(path))
            st = add_machine(f, names.name[i], path);
        else
            asd_detail("%s: no train or test folder inside, so not a machine", path);
    }
done:
    asd_names_free(&names);
    return st;
}

/* dev_data and eval_data of one folder; *any says whether one was there. */
static asd_status add_parts(asd_found *f, const char *folder, int *any)
{
    static const char *const parts[] = {"dev_data", "eval_data"};
    char                     path[PATH_MAX], raw[PATH_MAX];
    for (size_t i = 0; i < sizeof parts / sizeof *parts; ++i) {
        ASD_TRY(asd_path(path, "%s/%s", folder, parts[i]));
        if (!asd_is_folder(path))
            continue;
        *any = 1;
        ASD_TRY(asd_path(raw, "%s/raw", path));
        ASD_TRY(add_side_by_side(f, asd_is_folder(raw) ? raw : path));
    }
    return ASD_OK;
}

/* The official baselines put data/dcase2026t2/ before the parts. */
static asd_status add_baseline_layout(asd_found *f, const char *root, int *any)
{
    asd_status st = ASD_OK;
    asd_names  names;
    char       path[PATH_MAX];
    ASD_TRY(asd_path(path, "%s/data", root));
    if (!asd_is_folder(path))
        return ASD_OK;
    ASD_TRY(asd_list_folder(path, &names));
    for (int64_t i = 0; i < names.n && !st; ++i) {
        if (fnmatch("dcase20[0-9][0-9]t2", names.name[i], 0))
            continue;
        ASD_GO(done, st, asd_path(path, "%s/data/%s", root, names.name[i]));
        st = add_parts(f, path, any);
    }
done:
    asd_names_free(&names);
    return st;
}

static asd_status add_root_machine(asd_found *f, const char *root)
{
    char real[PATH_MAX];
    if (!realpath(root, real)) /* "." and a trailing slash have no name of their own */
        return ASD_FAIL(ASD_E_DATA, "%s: cannot resolve the path", root);
    return add_machine(f, asd_base_name(real), root);
}

static int by_name(const void *a, const void *b)
{
    const asd_found_machine *x = a, *y = b;
    int                      c = strcmp(x->name, y->name);
    return c ? c : strcmp(x->folder, y->folder);
}

asd_status asd_find_machines(const char *root, asd_found *out)
{
    char raw[PATH_MAX];
    int  any = 0;
    *out     = (asd_found){0};
    if (!asd_is_folder(root))
        return ASD_FAIL(ASD_E_DATA, "%s: %s", root,
                        asd_is_file(root) ? "a file; want the folder of a data set"
                                          : "no such folder");
    ASD_TRY(asd_path(raw, "%s/raw", root));
    if (is_machine_folder(root))
        return add_root_machine(out, root);
    ASD_TRY(add_parts(out, root, &any));
    ASD_TRY(add_baseline_layout(out, root, &any));
    if (!any)
        ASD_TRY(add_side_by_side(out, asd_is_folder(raw) ? raw : root));
    if (!out->n)
        return ASD_FAIL(ASD_E_DATA,
                        "%s: no machine folder found; want dev_data/raw/MACHINE/train (or "
                        "eval_data/..., or MACHINE/train, or a machine's own folder)",
                        root);
    qsort(out->machine, (size_t)out->n, sizeof *out->machine, by_name);
    return ASD_OK;
}

static asd_status unknown_machine(const asd_found *f, const char *root, const char *name)
{
    const char **known = calloc((size_t)f->n, sizeof *known);
    char         list[512];
    size_t       used = 0;
    if (!known)
        return ASD_FAIL(ASD_E_OOM, "%s: no memory for %" PRId64 " names", root, f->n);
    list[0] = 0;
    for (int64_t i = 0; i < f->n; ++i) {
        known[i] = f->machine[i].name;
        if (used < sizeof list && (i == 0 || strcmp(known[i], known[i - 1])))
            used +=
                (size_t)snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", known[i]);
    }
    const char *near = asd_nearest(name, known, f->n);
    free(known);
    return ASD_FAIL(ASD_E_DATA, "%s: no machine \"%s\"; %s%s%sthe machines here are %s%s", root,
                    name, near ? "did you mean \"" : "", near ? near : "", near ? "\"? " : "", list,
                    used >= sizeof list ? "..." : "");
}

asd_status asd_found_select(asd_found *f, const char *root, char *const *only, int64_t n_only)
{
    int64_t kept = 0;
    if (!n_only)
        return ASD_OK;
    for (int64_t k = 0; k < n_only; ++k) {
        int64_t i = 0;
        while (i < f->n && strcmp(f->machine[i].name, only[k]))
            ++i;
        if (i == f->n)
            return unknown_machine(f, root, only[k]);
    }
    for (int64_t i = 0; i < f->n; ++i) {
        int64_t k = 0;
        while (k < n_only && strcmp(f->machine[i].name, only[k]))
            ++k;
        if (k < n_only) {
            asd_found_machine m = f->machine[i];
            f->machine[i]       = f->machine[kept];
            f->machine[kept++]  = m;
        }
    }
    for (int64_t i = kept; i < f->n; ++i) {
        free(f->machine[i].name);
        free(f->machine[i].folder);
    }
    f->n = kept;
    return ASD_OK;
}

typedef struct ignored {
    char    name[64];
    int64_t folders;
} ignored;

static void count_ignored(const char *folder, ignored *list, int *n, int max)
{
    asd_names names;
    char      path[PATH_MAX];
    if (asd_list_folder(folder, &names))
        return;
    for (int64_t i = 0; i < names.n; ++i) {
        int k = 0;
        for (int c = 0; c < ASD_N_CLIP_FOLDERS; ++c)
            k |= !strcmp(names.name[i], asd_clip_folders[c].name);
        if (k || names.name[i][0] == '.' || asd_path(path, "%s/%s", folder, names.name[i]) ||
            !asd_is_folder(path))
            continue;
        while (k < *n && strncmp(list[k].name, names.name[i], sizeof list[k].name - 1))
            ++k;
        if (k == max)
            continue;
        if (k == *n)
            snprintf(list[(*n)++].name, sizeof list[k].name, "%s", names.name[i]);
        ++list[k].folders;
    }
    asd_names_free(&names);
}

void asd_found_report(const asd_found *f)
{
    ignored list[8] = {0};
    int     n       = 0;
    for (int64_t i = 0; i < f->n; ++i)
        count_ignored(f->machine[i].folder, list, &n, 8);
    for (int k = 0; k < n; ++k)
        asd_note("not read: folder \"%s\" of %" PRId64 " machine%s (only train and test are)",
                 list[k].name, list[k].folders, list[k].folders == 1 ? "" : "s");
}

void asd_found_clear(asd_found *f)
{
    for (int64_t i = 0; i < f->n; ++i) {
        free(f->machine[i].name);
        free(f->machine[i].folder);
    }
    free(f->machine);
    *f = (asd_found){0};
}
