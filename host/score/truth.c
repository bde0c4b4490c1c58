/* truth.c - see truth.h. */
#include "score/truth.h"

#include "base/file.h"
#include "data/dataset.h" /* asd_clip_name_parse */
#include "score/csv.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

asd_status asd_truth_from_name(const char *name, int section, uint8_t *target, uint8_t *anomaly)
{
    asd_clip_name c;
    ASD_TRY(asd_clip_name_parse(name, &c));
    if (c.split == ASD_TRAIN)
        return ASD_FAIL(ASD_E_DATA, "clip name \"%s\" is a training clip's, want a test clip's",
                        name);
    if (c.domain == ASD_DOMAIN_UNKNOWN || c.condition == ASD_COND_UNKNOWN)
        return ASD_FAIL(ASD_E_DATA,
                        "clip name \"%s\" does not say %s; want section_%02d_DOMAIN_test_COND_NNNN"
                        "_ATTR.wav or label files by --truth",
                        name, c.domain == ASD_DOMAIN_UNKNOWN ? "its domain" : "normal or anomaly",
                        section);
    if (c.section >= 0 && c.section != section)
        return ASD_FAIL(ASD_E_DATA, "clip name \"%s\" is of section %02d, its file of section %02d",
                        name, c.section, section);
    *target  = c.domain == ASD_TARGET;
    *anomaly = c.condition == ASD_ANOMALY;
    return ASD_OK;
}

void asd_truth_clear(asd_truth *t)
{
    for (int64_t i = 0; i < t->n; ++i) {
        asd_truth_set *s = t->set + i;
        for (int64_t k = 0; s->clip && k < s->n; ++k) {
            free(s->clip[k].name);
            free(s->clip[k].labelled);
        }
        free(s->clip);
        free(s->machine);
    }
    free(t->set);
    free(t->path);
    memset(t, 0, sizeof *t);
}

static int by_set(const void *a, const void *b)
{
    const asd_truth_set *x = a, *y = b;
    int                  side = strcmp(x->machine, y->machine);
    return side ? side : x->section - y->section;
}

const asd_truth_set *asd_truth_find(const asd_truth *t, const char *machine, int section)
{
    for (int64_t i = 0; i < t->n; ++i)
        if (t->set[i].section == section && !strcmp(t->set[i].machine, machine))
            return t->set + i;
    return NULL;
}

/* --- label folders ------------------------------------------------------------------------------
 */

/* Row of `c` (sorted by name through `order`) for each clip of the set, or ASD_E_DATA naming the
 * first name that one of the two lacks. column: (n) rows of c. */
static asd_status match_rows(const asd_csv *c, const char *data_path, const asd_truth_set *set,
                             int64_t *column)
{
    char     where[512];
    int64_t *order = malloc((size_t)c->n * sizeof *order);
    if (!order)
        return ASD_FAIL(ASD_E_OOM, "%s: %" PRId64 " rows", c->path, c->n);
    asd_status st = asd_csv_sort(c, 0, "file name", order);
    for (int64_t i = 0, j = 0; !st && (i < set->n || j < c->n); ++i, ++j) {
        int side = i == set->n ? 1
                   : j == c->n ? -1
                               : strcmp(set->clip[i].name, c->row[order[j]].cell[0]);
        if (side < 0)
            st = ASD_FAIL(ASD_E_DATA, "%s: no row for %s, which %s has", c->path, set->clip[i].name,
                          data_path);
        else if (side > 0)
            st = ASD_FAIL(ASD_E_DATA, "%s: no such clip in %s",
                          asd_csv_where(c, order[j], where, sizeof where), data_path);
        else
            column[i] = order[j];
    }
    free(order);
    return st;
}

static asd_status read_conditions(const char *path, asd_truth_set *set)
{
    asd_csv    c;
    int64_t   *order = NULL;
    asd_status st;
    int        bit;
    ASD_GO(done, st, asd_csv_read(path, 0, &c));
    ASD_GO(done, st, asd_csv_want_cells(&c, 2, 2, "file name and label"));
    order     = malloc((size_t)c.n * sizeof *order);
    set->clip = calloc((size_t)c.n, sizeof *set->clip);
    if (!order || !set->clip) {
        st = ASD_FAIL(ASD_E_OOM, "%s: %" PRId64 " rows", path, c.n);
        goto done;
    }
    set->n = c.n;
    ASD_GO(done, st, asd_csv_sort(&c, 0, "file name", order));
    for (int64_t i = 0; i < c.n; ++i) {
        ASD_GO(done, st, asd_csv_bit(&c, order[i], 1, "label", &bit));
        set->clip[i].anomaly = (uint8_t)bit;
        if (!(set->clip[i].name = strdup(c.row[order[i]].cell[0]))) {
            st = ASD_FAIL(ASD_E_OOM, "%s: names", path);
            goto done;
        }
    }
done:
    free(order);
    asd_csv_clear(&c);
    return st;
}

static asd_status read_domains(const char *path, const char *data_path, asd_truth_set *set)
{
    asd_csv    c;
    int64_t   *column = malloc((size_t)set->n * sizeof *column);
    asd_status st;
    int        bit;
    ASD_GO(done, st, asd_csv_read(path, 0, &c));
    if (!column) {
        st = ASD_FAIL(ASD_E_OOM, "%s: %" PRId64 " rows", path, c.n);
        goto done;
    }
    ASD_GO(done, st, asd_csv_want_cells(&c, 2, 2, "file name and domain"));
    ASD_GO(done, st, match_rows(&c, data_path, set, column));
    for (int64_t i = 0; i < set->n; ++i) {
        ASD_GO(done, st, asd_csv_bit(&c, column[i], 1, "domain", &bit));
        set->clip[i].target = (uint8_t)bit;
    }
done:
    free(column);
    asd_csv_clear(&c);
    return st;
}

/* Labelled names, by which the scores of renamed files can be joined too. */
static asd_status read_attributes(const char *path, const char *data_path, asd_truth_set *set)
{
    asd_csv    c;
    int64_t   *column = malloc((size_t)set->n * sizeof *column);
    asd_status st;
    ASD_GO(done, st, asd_csv_read(path, 0, &c));
    if (!column) {
        st = ASD_FAIL(ASD_E_OOM, "%s: %" PRId64 " rows", path, c.n);
        goto done;
    }
    ASD_GO(done, st, asd_csv_want_cells(&c, 2, ASD_CSV_CELLS, "file name and labelled name"));
    ASD_GO(done, st, match_rows(&c, data_path, set, column));
    for (int64_t i = 0; i < set->n; ++i) {
        const char *name = c.row[column[i]].cell[1];
        size_t      size = strlen(name);
        int         wav  = size >= 4 && !strcmp(name + size - 4, ".wav");
        if (asprintf(&set->clip[i].labelled, "%s%s", name, wav ? "" : ".wav") < 0) {
            set->clip[i].labelled = NULL;
            st                    = ASD_FAIL(ASD_E_OOM, "%s: names", path);
            goto done;
        }
    }
done:
    free(column);
    asd_csv_clear(&c);
    return st;
}

static asd_status read_folder(const char *folder, asd_truth *t)
{
    char       data[PATH_MAX], domain[PATH_MAX], attributes[PATH_MAX], machine[256];
    asd_names  files;
    asd_status st;
    int        section;
    ASD_TRY(asd_path(data, "%s/ground_truth_data", folder));
    if (!asd_is_folder(data))
        return ASD_FAIL(ASD_E_DATA,
                        "%s: no folder ground_truth_data here; want the organisers' evaluator with "
                        "ground_truth_data/ and ground_truth_domain/",
                        folder);
    ASD_TRY(asd_list_folder(data, &files));
    if (!(t->set = calloc((size_t)files.n + 1, sizeof *t->set))) {
        st = ASD_FAIL(ASD_E_OOM, "%s: %" PRId64 " files", data, files.n);
        goto done;
    }
    for (int64_t i = 0; i < files.n; ++i) {
        const char *file = files.name[i];
        if (!asd_score_file_name(file, "ground_truth_", machine, &section))
            continue;
        asd_truth_set *set = t->set + t->n++;
        set->section       = section;
        if (!(set->machine = strdup(machine))) {
            st = ASD_FAIL(ASD_E_OOM, "%s: names", data);
            goto done;
        }
        ASD_GO(done, st, asd_path(data, "%s/ground_truth_data/%s", folder, file));
        ASD_GO(done, st, asd_path(domain, "%s/ground_truth_domain/%s", folder, file));
        ASD_GO(done, st, asd_path(attributes, "%s/ground_truth_attributes/%s", folder, file));
        ASD_GO(done, st, read_conditions(data, set));
        ASD_GO(done, st, read_domains(domain, data, set));
        if (asd_is_file(attributes))
            ASD_GO(done, st, read_attributes(attributes, data, set));
    }
    st = t->n ? ASD_OK
              : ASD_FAIL(ASD_E_DATA,
                         "%s/ground_truth_data: no ground_truth_<machine>_section_<SS>"
                         "_test.csv here",
                         folder);
done:
    asd_names_free(&files);
    return st;
}

/* --- eval_data_list -----------------------------------------------------------------------------
 */

static int by_clip(const void *a, const void *b)
{
    return strcmp(((const asd_truth_clip *)a)->name, ((const asd_truth_clip *)b)->name);
}

static asd_status add_pair(asd_truth *t, const asd_csv *c, int64_t row, const char *machine)
{
    char          where[512];
    const char   *name = c->row[row].cell[0], *labelled = c->row[row].cell[1];
    asd_clip_name anonymous;
    asd_csv_where(c, row, where, sizeof where);
    if (!machine)
        return ASD_FAIL(ASD_E_DATA, "%s: a pair of names before any line with a machine's name",
                        where);
    ASD_TRY(asd_clip_name_parse(name, &anonymous));
    if (anonymous.section < 0)
        return ASD_FAIL(ASD_E_DATA, "%s: the first name has no section", where);
    asd_truth_set *set = (asd_truth_set *)asd_truth_find(t, machine, anonymous.section);
    if (!set) {
        asd_truth_set *more = realloc(t->set, (size_t)(t->n + 1) * sizeof *more);
        if (!more)
            return ASD_FAIL(ASD_E_OOM, "%s: sets", c->path);
        t->set = more;
        set    = t->set + t->n++;
        *set   = (asd_truth_set){.machine = strdup(machine), .section = anonymous.section};
        /* No machine has more clips than the file has rows. */
        set->clip = calloc((size_t)c->n, sizeof *set->clip);
        if (!set->machine || !set->clip)
            return ASD_FAIL(ASD_E_OOM, "%s: clips", c->path);
    }
    asd_truth_clip *clip = set->clip + set->n++;
    *clip                = (asd_truth_clip){.name = strdup(name), .labelled = strdup(labelled)};
    if (!clip->name || !clip->labelled)
        return ASD_FAIL(ASD_E_OOM, "%s: names", c->path);
    return asd_truth_from_name(labelled, set->section, &clip->target, &clip->anomaly);
}

static asd_status read_list(const char *path, asd_truth *t)
{
    asd_csv     c;
    asd_status  st;
    const char *machine = NULL;
    ASD_GO(done, st, asd_csv_read(path, 0, &c));
    for (int64_t i = 0; i < c.n; ++i) {
        if (c.row[i].n == 1)
            machine = c.row[i].cell[0];
        else
            ASD_GO(done, st, add_pair(t, &c, i, machine));
    }
    if (!t->n) {
        st = ASD_FAIL(ASD_E_DATA, "%s: machines without clips", path);
        goto done;
    }
    for (int64_t i = 0; i < t->n; ++i) {
        asd_truth_set *s = t->set + i;
        qsort(s->clip, (size_t)s->n, sizeof *s->clip, by_clip);
        for (int64_t k = 1; k < s->n; ++k)
            if (!strcmp(s->clip[k - 1].name, s->clip[k].name)) {
                st =
                    ASD_FAIL(ASD_E_DATA, "%s: %s of %s doubled", path, s->clip[k].name, s->machine);
                goto done;
            }
    }
done:
    asd_csv_clear(&c);
    return st;
}

asd_status asd_truth_read(const char *path, asd_truth *out)
{
    memset(out, 0, sizeof *out);
    if (!(out->path = strdup(path)))
        return ASD_FAIL(ASD_E_OOM, "%s: path", path);
    ASD_TRY(asd_is_folder(path) ? read_folder(path, out) : read_list(path, out));
    qsort(out->set, (size_t)out->n, sizeof *out->set, by_set);
    return ASD_OK;
}
