/* eval_common.c - what the sub-commands of asd-eval share. */
#include "base/file.h"
#include "data/dataset.h"
#include "tools/eval_cmds.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

asd_omega_options eval_options(const eval_args *a)
{
    return (asd_omega_options){.auc        = a->auc,
                               .cells      = a->cells,
                               .replicates = a->bootstrap,
                               .level      = a->level,
                               .seed       = (uint64_t)a->seed};
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Every test clip of this machine and section has a score, and no other name has one. */
static asd_status check_machine(const asd_machine *m, const asd_score_set *set)
{
    asd_status st   = ASD_OK;
    char     **name = malloc((size_t)(set->n + 1) * sizeof *name);
    if (!name)
        return ASD_FAIL(ASD_E_OOM, "%s: names", m->name);
    memcpy(name, set->name, (size_t)set->n * sizeof *name);
    qsort(name, (size_t)set->n, sizeof *name, by_text);
    int64_t i = 0, k = 0; /* clips of the folder are sorted by name */
    while (!st && (i < m->n_test || k < set->n)) {
        if (i < m->n_test && m->test[i].section != set->section) {
            ++i;
            continue;
        }
        int side = i == m->n_test ? 1 : k == set->n ? -1 : strcmp(m->test[i].name, name[k]);
        if (side < 0)
            st = ASD_FAIL(ASD_E_DATA, "%s section %02d: no score for the test clip %s", m->name,
                          set->section, m->test[i].path);
        else if (side > 0)
            st = ASD_FAIL(ASD_E_DATA, "%s section %02d: %s has a score but is no test clip of %s",
                          m->name, set->section, name[k], m->folder);
        ++i, ++k;
    }
    free(name);
    return st;
}

static int is_chosen(const eval_args *a, const char *machine)
{
    for (int64_t i = 0; i < a->machine.n; ++i)
        if (!strcmp(a->machine.item[i], machine))
            return 1;
    return !a->machine.n;
}

static asd_status check_against_data(const eval_args *a, const char *folder)
{
    asd_dataset d      = {0};
    asd_scores  scores = {0};
    asd_status  st;
    ASD_GO(done, st, asd_scores_read(folder, &scores));
    ASD_GO(done, st, asd_dataset_open(a->data, NULL, 0, &d));
    for (int64_t i = 0; i < scores.n; ++i) {
        int64_t k = 0;
        if (!is_chosen(a, scores.set[i].machine))
            continue;
        while (k < d.n && strcmp(d.machine[k].name, scores.set[i].machine))
            ++k;
        if (k == d.n) {
            st = ASD_FAIL(ASD_E_DATA, "%s: no machine %s here, which has scores in %s", a->data,
                          scores.set[i].machine, folder);
            goto done;
        }
        ASD_GO(done, st, check_machine(d.machine + k, scores.set + i));
    }
done:
    asd_scores_clear(&scores);
    asd_dataset_clear(&d);
    return st;
}

asd_status eval_open(const eval_args *a, const char *folder, asd_eval *out)
{
    memset(out, 0, sizeof *out);
    if (a->data)
        ASD_TRY(check_against_data(a, folder));
    return asd_eval_open(folder, a->truth, a->machine.item, a->machine.n, out);
}

asd_status eval_out_open(const char *path, eval_out *o)
{
    *o = (eval_out){stdout, NULL};
    if (!path)
        return ASD_OK;
    asd_outfile *f = malloc(sizeof *f);
    if (!f)
        return ASD_FAIL(ASD_E_OOM, "%s", path);
    asd_status st = asd_outfile_open(f, path);
    if (st) {
        free(f);
        return st;
    }
    *o = (eval_out){f->stream, f};
    return ASD_OK;
}

asd_status eval_out_close(eval_out *o, asd_status st)
{
    if (!o->file) {
        if (!st && o->stream && (fflush(o->stream) || ferror(o->stream)))
            st = ASD_FAIL(ASD_E_IO, "standard output: %s", strerror(errno));
        return st;
    }
    if (st)
        asd_outfile_abandon(o->file);
    else
        st = asd_outfile_commit(o->file);
    free(o->file);
    *o = (eval_out){0};
    return st;
}
