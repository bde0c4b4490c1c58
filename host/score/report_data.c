/* report_data.c - finds the systems of a report and computes their values and differences. */
#include "score/report_data.h"

#include "base/log.h"
#include "score/systems.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define NO_MEMORY ASD_FAIL(ASD_E_OOM, "report: out of memory")

/* One more element at the end of an array (array: address of its pointer), zeroed; NULL when there
 * is no memory. The pointer is copied as bytes, since its type differs from call to call. */
static void *append(void *array, int64_t *n, size_t size)
{
    void *old;
    memcpy(&old, array, sizeof old);
    char *all = realloc(old, (size_t)(*n + 1) * size);
    if (!all)
        return NULL;
    memcpy(array, &all, sizeof all);
    return memset(all + (size_t)(*n)++ * size, 0, size);
}

/* --- which folders are systems --- */

/* The last part of a path that has a name: "runs/a/" -> "a", "." -> ".". */
static char *last_part(const char *path)
{
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/')
        --end;
    size_t start = end;
    while (start > 0 && path[start - 1] != '/')
        --start;
    return strndup(path + start, end - start);
}

static int is_same_folder(const char *a, const char *b)
{
    struct stat x, y;
    return !stat(a, &x) && !stat(b, &y) && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static asd_status add_system(asd_report *r, const char *run, const char *detector,
                             const char *folder)
{
    asd_report_system *s = append(&r->system, &r->n_systems, sizeof *s);
    if (!s)
        return NO_MEMORY;
    char *part = last_part(run);
    int   made;
    if (!part)
        return NO_MEMORY;
    if (!detector)
        made = asprintf(&s->name, "%s", part);
    else if (r->options->n_runs > 1)
        made = asprintf(&s->name, "%s/%s", part, detector);
    else
        made = asprintf(&s->name, "%s", detector);
    free(part);
    if (made < 0) {
        s->name = NULL;
        return NO_MEMORY;
    }
    if (!(s->folder = strdup(folder)))
        return NO_MEMORY;
    /* Two runs may end alike: then the path as given tells them apart. */
    for (int64_t i = 0; i + 1 < r->n_systems; ++i) {
        if (is_same_folder(r->system[i].folder, folder))
            return ASD_FAIL(ASD_E_USAGE, "%s: given twice", folder);
        if (strcmp(r->system[i].name, s->name))
            continue;
        free(s->name);
        if (asprintf(&s->name, detector ? "%s/%s" : "%s", run, detector) < 0) {
            s->name = NULL;
            return NO_MEMORY;
        }
    }
    return ASD_OK;
}

static asd_status find_systems(asd_report *r, const char *run)
{
    asd_systems found = {0};
    char        scores[PATH_MAX];
    asd_status  st;
    if (!asd_is_folder(run))
        return ASD_FAIL(ASD_E_DATA, "%s: no such folder", run);
    ASD_GO(done, st, asd_path(scores, "%s/scores", run));
    ASD_GO(done, st, asd_systems_find(run, &found));
    for (int64_t i = 0; i < found.n; ++i) {
        /* Without a folder of its own a system is called after its run. */
        int is_run =
            is_same_folder(found.folder[i], run) || is_same_folder(found.folder[i], scores);
        ASD_GO(done, st, add_system(r, run, is_run ? NULL : found.name[i], found.folder[i]));
    }
done:
    asd_systems_clear(&found);
    return st;
}

/* --- values --- */

static int by_machine(const void *a, const void *b)
{
    const asd_report_machine *x = a, *y = b;
    int                       order = strcmp(x->name, y->name);
    return order ? order : (x->section > y->section) - (x->section < y->section);
}

static asd_status collect_machines(asd_report *r)
{
    for (int64_t i = 0; i < r->n_systems; ++i)
        for (int64_t k = 0; k < r->system[i].omega.n; ++k) {
            const asd_omega_row *row = &r->system[i].omega.row[k];
            asd_report_machine  *m   = append(&r->machine, &r->n_machines, sizeof *m);
            if (!m)
                return NO_MEMORY;
            *m = (asd_report_machine){row->machine, row->section};
        }
    qsort(r->machine, (size_t)r->n_machines, sizeof *r->machine, by_machine);
    int64_t kept = 0;
    for (int64_t i = 0; i < r->n_machines; ++i) {
        if (kept && !by_machine(&r->machine[kept - 1], &r->machine[i]))
            continue;
        r->machine[kept++] = r->machine[i];
        r->many_sections |= r->machine[i].section != 0;
    }
    r->n_machines = kept;
    return ASD_OK;
}

int64_t asd_report_row(const asd_report_system *s, const asd_report_machine *m)
{
    for (int64_t i = 0; i < s->omega.n; ++i)
        if (s->omega.row[i].section == m->section && !strcmp(s->omega.row[i].machine, m->name))
            return i;
    return -1;
}

static asd_status add_pair(asd_report *r, int64_t a, int64_t b)
{
    asd_report_pair *p = append(&r->pair, &r->n_pairs, sizeof *p);
    if (!p)
        return NO_MEMORY;
    p->a = a, p->b = b;
    asd_status st = asd_compare_compute(&r->system[a].eval, &r->system[b].eval, &r->options->omega,
                                        &p->compare);
    if (st != ASD_E_DATA)
        return st;
    /* Systems that scored other clips still stand side by side, only without a difference. */
    if (!(p->why_not = strdup(asd_error_text())))
        return NO_MEMORY;
    asd_warn("report: %s and %s are not compared: %s", r->system[a].name, r->system[b].name,
             p->why_not);
    asd_error_clear();
    return ASD_OK;
}

/* Of the systems that scored most machines, the one with the largest Omega. */
static int64_t best_system(const asd_report *r)
{
    int64_t best = 0;
    for (int64_t i = 1; i < r->n_systems; ++i) {
        const asd_omega *a = &r->system[best].omega, *b = &r->system[i].omega;
        if (b->n > a->n || (b->n == a->n && b->omega > a->omega))
            best = i;
    }
    return best;
}

/* All pairs of up to five systems; of more, the best one against each, so that the list stays short
 * and the time linear. */
static asd_status compare_all(asd_report *r)
{
    r->best = best_system(r);
    for (int64_t a = 0; a < r->n_systems; ++a) {
        if (r->n_systems > ASD_REPORT_ALL_PAIRS && a != r->best)
            ASD_TRY(add_pair(r, a, r->best));
        for (int64_t b = a + 1; b < r->n_systems && r->n_systems <= ASD_REPORT_ALL_PAIRS; ++b)
            ASD_TRY(add_pair(r, a, b));
    }
    return ASD_OK;
}

asd_status asd_report_gather(const asd_report_options *o, asd_report *out)
{
    *out = (asd_report){.options = o, .font = asd_font_open()};
    if (o->figures && !out->font) /* said before anything is computed */
        return ASD_FAIL(ASD_E_IO,
                        "%s: no words can be drawn, for fontconfig finds no font; install one "
                        "(Debian: fonts-dejavu-core) or do without figures",
                        o->figures);
    for (int64_t i = 0; i < o->n_runs; ++i)
        ASD_TRY(find_systems(out, o->run[i]));
    for (int64_t i = 0; i < out->n_systems; ++i) {
        asd_report_system *s = &out->system[i];
        ASD_TRY(o->open ? o->open(o->open_context, s->folder, &s->eval)
                        : asd_eval_open(s->folder, o->truth, NULL, 0, &s->eval));
        ASD_TRY(asd_omega_compute(&s->eval, &o->omega, &s->omega));
    }
    ASD_TRY(collect_machines(out));
    ASD_TRY(compare_all(out));
    for (int64_t i = 0; i < o->n_runs; ++i) {
        asd_report_run *run = append(&out->run, &out->n_runs, sizeof *run);
        if (!run)
            return NO_MEMORY;
        ASD_TRY(asd_report_read_run(o->run[i], run));
    }
    return ASD_OK;
}

void asd_report_clear(asd_report *r)
{
    for (int64_t i = 0; i < r->n_pairs; ++i) {
        asd_compare_clear(&r->pair[i].compare);
        free(r->pair[i].why_not);
    }
    for (int64_t i = 0; i < r->n_systems; ++i) {
        asd_omega_clear(&r->system[i].omega);
        asd_eval_clear(&r->system[i].eval);
        free(r->system[i].name);
        free(r->system[i].folder);
    }
    for (int64_t i = 0; i < r->n_runs; ++i)
        asd_report_run_clear(&r->run[i]);
    asd_font_free(r->font);
    free(r->pair);
    free(r->system);
    free(r->machine);
    free(r->run);
    *r = (asd_report){.options = NULL};
}
