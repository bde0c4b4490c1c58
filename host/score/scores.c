/* scores.c - see scores.h. */
#include "score/scores.h"

#include "base/file.h"
#include "score/csv.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char SCORE_PREFIX[] = "anomaly_score_", DECISION_PREFIX[] = "decision_result_";

static void clear_set(asd_score_set *s)
{
    for (int64_t i = 0; s->name && i < s->n; ++i)
        free(s->name[i]);
    free(s->machine);
    free(s->name);
    free(s->score);
    free(s->decision);
    memset(s, 0, sizeof *s);
}

void asd_scores_clear(asd_scores *s)
{
    for (int64_t i = 0; i < s->n; ++i)
        clear_set(s->set + i);
    free(s->set);
    memset(s, 0, sizeof *s);
}

/* Reads a score file into a set that has its machine and section already. */
static asd_status read_score_file(const char *path, asd_score_set *set)
{
    asd_csv    c;
    int64_t   *order = NULL;
    asd_status st;
    ASD_GO(done, st, asd_csv_read(path, 0, &c));
    ASD_GO(done, st, asd_csv_want_cells(&c, 2, 2, "file name and score"));
    order      = malloc((size_t)c.n * sizeof *order);
    set->name  = calloc((size_t)c.n, sizeof *set->name);
    set->score = malloc((size_t)c.n * sizeof *set->score);
    if (!order || !set->name || !set->score) {
        st = ASD_FAIL(ASD_E_OOM, "%s: %" PRId64 " rows", path, c.n);
        goto done;
    }
    set->n = c.n;
    for (int64_t i = 0; i < c.n; ++i) {
        ASD_GO(done, st, asd_csv_number(&c, i, 1, "score", set->score + i));
        if (!*c.row[i].cell[0]) {
            st = ASD_FAIL(ASD_E_DATA, "%s:%" PRId64 ": no file name in row: ,%s", path,
                          c.row[i].line, c.row[i].cell[1]);
            goto done;
        }
        if (!(set->name[i] = strdup(c.row[i].cell[0]))) {
            st = ASD_FAIL(ASD_E_OOM, "%s: names", path);
            goto done;
        }
    }
    st = asd_csv_sort(&c, 0, "file name", order);
done:
    free(order);
    asd_csv_clear(&c);
    return st;
}

static int by_set_name(const void *a, const void *b, void *set)
{
    const asd_score_set *s = set;
    return strcmp(s->name[*(const int64_t *)a], s->name[*(const int64_t *)b]);
}

/* Joins a decision file to its set by name. */
static asd_status read_decision_file(const char *path, asd_score_set *set)
{
    asd_csv    c;
    int64_t   *order = NULL, *mine = NULL;
    asd_status st;
    char       where[512];
    ASD_GO(done, st, asd_csv_read(path, 0, &c));
    ASD_GO(done, st, asd_csv_want_cells(&c, 2, 2, "file name and decision"));
    order         = malloc((size_t)c.n * sizeof *order);
    mine          = malloc((size_t)set->n * sizeof *mine);
    set->decision = malloc((size_t)set->n * sizeof *set->decision);
    if (!order || !mine || !set->decision) {
        st = ASD_FAIL(ASD_E_OOM, "%s: %" PRId64 " rows", path, c.n);
        goto done;
    }
    for (int64_t i = 0; i < set->n; ++i)
        mine[i] = i;
    qsort_r(mine, (size_t)set->n, sizeof *mine, by_set_name, set);
    ASD_GO(done, st, asd_csv_sort(&c, 0, "file name", order));
    for (int64_t i = 0, j = 0; i < set->n || j < c.n; ++i, ++j) {
        int side = i == set->n ? 1
                   : j == c.n  ? -1
                               : strcmp(set->name[mine[i]], c.row[order[j]].cell[0]);
        if (side < 0) {
            st = ASD_FAIL(ASD_E_DATA, "%s: no row for %s, which has a score", path,
                          set->name[mine[i]]);
            goto done;
        }
        if (side > 0) {
            st = ASD_FAIL(ASD_E_DATA, "%s: this clip has a decision but no row in the score file",
                          asd_csv_where(&c, order[j], where, sizeof where));
            goto done;
        }
        ASD_GO(done, st, asd_csv_bit(&c, order[j], 1, "decision", set->decision + mine[i]));
    }
done:
    free(order);
    free(mine);
    asd_csv_clear(&c);
    return st;
}

static int by_set(const void *a, const void *b)
{
    const asd_score_set *x = a, *y = b;
    int                  side = strcmp(x->machine, y->machine);
    return side ? side : x->section - y->section;
}

/* A file that is nearly a score file is a mistake, not something to pass over in silence. */
static asd_status take_file(const char *folder, const char *file, const char *prefix,
                            asd_scores *scores)
{
    char machine[256], path[PATH_MAX];
    int  section;
    if (strncmp(file, prefix, strlen(prefix)) || strlen(file) < 4 ||
        strcmp(file + strlen(file) - 4, ".csv"))
        return ASD_OK;
    ASD_TRY(asd_path(path, "%s/%s", folder, file));
    if (!asd_score_file_name(file, prefix, machine, &section))
        return ASD_FAIL(ASD_E_DATA, "%s: want the name %s<machine>_section_<SS>_test.csv", path,
                        prefix);
    asd_score_set *set = NULL;
    for (int64_t i = 0; i < scores->n; ++i)
        if (scores->set[i].section == section && !strcmp(scores->set[i].machine, machine))
            set = scores->set + i;
    if (prefix == DECISION_PREFIX) {
        if (!set)
            return ASD_FAIL(ASD_E_DATA,
                            "%s: decisions without the score file %s%s_section_%02d_test.csv", path,
                            SCORE_PREFIX, machine, section);
        if (set->decision)
            return ASD_FAIL(ASD_E_DATA, "%s: a second decision file for %s section %02d", path,
                            machine, section);
        return read_decision_file(path, set);
    }
    if (set)
        return ASD_FAIL(ASD_E_DATA, "%s: a second score file for %s section %02d", path, machine,
                        section);
    set  = scores->set + scores->n++;
    *set = (asd_score_set){.machine = strdup(machine), .section = section};
    if (!set->machine)
        return ASD_FAIL(ASD_E_OOM, "%s: name", path);
    return read_score_file(path, set);
}

asd_status asd_scores_read(const char *folder, asd_scores *out)
{
    asd_names  files;
    asd_status st;
    memset(out, 0, sizeof *out);
    ASD_TRY(asd_list_folder(folder, &files));
    if (!(out->set = calloc((size_t)files.n + 1, sizeof *out->set))) {
        st = ASD_FAIL(ASD_E_OOM, "%s: %" PRId64 " files", folder, files.n);
        goto done;
    }
    for (int64_t i = 0; i < files.n; ++i)
        ASD_GO(done, st, take_file(folder, files.name[i], SCORE_PREFIX, out));
    for (int64_t i = 0; i < files.n; ++i)
        ASD_GO(done, st, take_file(folder, files.name[i], DECISION_PREFIX, out));
    if (!out->n)
        st = ASD_FAIL(ASD_E_DATA, "%s: no %s<machine>_section_<SS>_test.csv here", folder,
                      SCORE_PREFIX);
    else
        qsort(out->set, (size_t)out->n, sizeof *out->set, by_set);
done:
    asd_names_free(&files);
    return st;
}

/* Names that would change a file's rows when read back. */
static int name_is_plain(const char *name)
{
    return *name && !strpbrk(name, ",\"\r\n") && strncmp(name, "\xef\xbb\xbf", 3);
}

static asd_status write_column(const char *folder, const char *prefix, const asd_score_set *set,
                               int decisions)
{
    char        path[PATH_MAX], text[32];
    asd_outfile f;
    ASD_TRY(asd_path(path, "%s/%s%s_section_%02d_test.csv", folder, prefix, set->machine,
                     set->section));
    ASD_TRY(asd_remove_unfinished_of(path)); /* of a killed run */
    ASD_TRY(asd_outfile_open(&f, path));
    for (int64_t i = 0; i < set->n; ++i)
        if (decisions)
            fprintf(f.stream, "%s,%d\n", set->name[i], set->decision[i]);
        else
            fprintf(f.stream, "%s,%s\n", set->name[i], asd_real_text(set->score[i], text));
    return asd_outfile_commit(&f);
}

asd_status asd_score_set_write(const char *folder, const asd_score_set *set)
{
    if (!set->n || set->section < 0 || set->section > 99 || !*set->machine ||
        strchr(set->machine, '/'))
        return ASD_FAIL(ASD_E_DATA, "%s: scores of machine \"%s\" section %d, %" PRId64 " clips",
                        folder, set->machine, set->section, set->n);
    for (int64_t i = 0; i < set->n; ++i) {
        if (!name_is_plain(set->name[i]))
            return ASD_FAIL(ASD_E_DATA,
                            "%s section %02d: clip name \"%s\" cannot stand in a comma-separated "
                            "file",
                            set->machine, set->section, set->name[i]);
        if (!isfinite(set->score[i]))
            return ASD_FAIL(ASD_E_NUMERIC, "%s section %02d: score of %s is %g", set->machine,
                            set->section, set->name[i], set->score[i]);
        if (set->decision && set->decision[i] != 0 && set->decision[i] != 1)
            return ASD_FAIL(ASD_E_DATA, "%s section %02d: decision of %s is %d, want 0 or 1",
                            set->machine, set->section, set->name[i], set->decision[i]);
    }
    ASD_TRY(write_column(folder, SCORE_PREFIX, set, 0));
    return set->decision ? write_column(folder, DECISION_PREFIX, set, 1) : ASD_OK;
}
