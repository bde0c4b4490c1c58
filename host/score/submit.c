/* submit.c - see submit.h. */
#include "score/submit.h"

#include "score/csv.h"
#include "score/meta.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const asd_eval_machines_2026[] = {"BlowerDustCollector", "Sander",   "SewingMachine",
                                              "ToothBrush",          "ToyDrone", NULL};
const char *const asd_dev_machines_2026[]  = {"ToyCar",     "ToyCarEmu", "bearingEmu", "fan",
                                              "gearboxEmu", "sliderEmu", "valveEmu",   NULL};

static const char        ROOT[] = "task2/", REPORT_END[] = ".technical_report.pdf";
static const char *const PREFIX[2] = {"anomaly_score_", "decision_result_"};
enum { MAX_SYSTEMS = 4, SHOWN_ROWS = 5, LABEL_SIZE = 256, PATH_SIZE = 1200 };

/* --- making -------------------------------------------------------------------------------------
 */

static asd_status add_column(asd_package *p, const char *label, const asd_score_set *s,
                             int decisions)
{
    char  *text = NULL, number[32], name[PATH_SIZE];
    size_t size = 0;
    FILE  *f    = open_memstream(&text, &size);
    if (!f)
        return ASD_FAIL(ASD_E_OOM, "%s: %s", label, s->machine);
    for (int64_t i = 0; i < s->n; ++i)
        if (decisions)
            fprintf(f, "%s,%d\n", s->name[i], s->decision[i]);
        else
            fprintf(f, "%s,%s\n", s->name[i], asd_real_text(s->score[i], number));
    int bad = ferror(f);
    bad |= fclose(f) != 0;
    snprintf(name, sizeof name, "%s%s/%s%s_section_%02d_test.csv", ROOT, label, PREFIX[decisions],
             s->machine, s->section);
    asd_status st = bad ? ASD_FAIL(ASD_E_OOM, "%s: %s", label, s->machine)
                        : asd_package_add(p, name, text, size);
    free(text);
    return st;
}

asd_status asd_submit_add_system(asd_package *p, const asd_submit_options *o, const char *label,
                                 const asd_scores *scores, const char *meta, size_t meta_size)
{
    char name[PATH_SIZE];
    snprintf(name, sizeof name, "%s%s/%s.meta.yaml", ROOT, label, label);
    ASD_TRY(asd_package_add(p, name, meta, meta_size));
    for (int64_t i = 0; i < scores->n; ++i)
        for (int64_t k = 0; k < o->n_machines; ++k) {
            const asd_score_set *s = scores->set + i;
            if (strcmp(s->machine, o->machine[k]))
                continue;
            ASD_TRY(add_column(p, label, s, 0));
            if (s->decision)
                ASD_TRY(add_column(p, label, s, 1));
        }
    return ASD_OK;
}

asd_status asd_submit_add_report(asd_package *p, const char *label, const char *pdf, size_t size)
{
    char name[PATH_SIZE];
    snprintf(name, sizeof name, "%s%s%s", ROOT, label, REPORT_END);
    return asd_package_add(p, name, pdf, size);
}

/* --- checking: one CSV --------------------------------------------------------------------------
 */

typedef struct checker {
    const asd_package        *package;
    const asd_submit_options *o;
    asd_findings             *f;
} checker;

/* Test clips of a machine, NULL when there is no data to compare with. */
static const asd_machine *test_clips(const checker *c, const char *machine)
{
    const asd_dataset *d = c->o->data;
    for (int64_t i = 0; d && i < d->n; ++i)
        if (!strcmp(d->machine[i].name, machine))
            return d->machine + i;
    return NULL;
}

/* Rows sorted by name against the clips of the test folder, which are sorted too. */
static asd_status compare_names(const checker *c, const asd_csv *csv, const int64_t *order,
                                const asd_machine *m)
{
    const char *missing = NULL, *unknown = NULL;
    int64_t     n_missing = 0, n_unknown = 0;
    for (int64_t i = 0, k = 0; i < m->n_test || k < csv->n;) {
        const char *want = i < m->n_test ? m->test[i].name : NULL;
        const char *got  = k < csv->n ? csv->row[order[k]].cell[0] : NULL;
        int         side = !want ? 1 : !got ? -1 : strcmp(want, got);
        if (side < 0 && !n_missing++)
            missing = want;
        if (side > 0 && !n_unknown++)
            unknown = got;
        i += side <= 0;
        k += side >= 0;
    }
    if (n_missing)
        ASD_TRY(asd_find_error(c->f, "%s: no row for %s%s (%" PRId64 " clips of %s have none)",
                               csv->path, missing, n_missing > 1 ? " and others" : "", n_missing,
                               m->folder));
    if (n_unknown)
        ASD_TRY(asd_find_error(c->f, "%s: %s%s: no such test clip in %s (%" PRId64 " rows)",
                               csv->path, unknown, n_unknown > 1 ? " and others" : "", m->folder,
                               n_unknown));
    return ASD_OK;
}

/* Without the clips at hand, the names can at least have the evaluation set's form. */
static asd_status check_name_form(const checker *c, const asd_csv *csv)
{
    for (int64_t i = 0; i < csv->n; ++i) {
        const char   *name = csv->row[i].cell[0];
        size_t        n    = strlen(name);
        asd_clip_name clip;
        if (asd_clip_name_parse(name, &clip) || clip.section || clip.domain != ASD_DOMAIN_UNKNOWN ||
            clip.condition != ASD_COND_UNKNOWN || *clip.attribute || n < 4 ||
            strcmp(name + n - 4, ".wav"))
            return asd_find_error(c->f,
                                  "%s:%" PRId64 ": \"%.100s\" is not of the form "
                                  "section_00_0000.wav",
                                  csv->path, csv->row[i].line, name);
    }
    return ASD_OK;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* v: (n), sorted here. */
static asd_status check_values(const checker *c, const asd_csv *csv, int decisions, double *v,
                               int64_t n)
{
    int64_t distinct = n > 0;
    qsort(v, (size_t)n, sizeof *v, by_value);
    for (int64_t i = 1; i < n; ++i)
        distinct += v[i] != v[i - 1];
    if (decisions && distinct == 1 && n > 1)
        return asd_find_warning(c->f, "%s: all %" PRId64 " decisions are %g", csv->path, n, v[0]);
    if (!decisions && distinct < n - n / 10)
        return asd_find_warning(c->f,
                                "%s: %" PRId64 " scores have only %" PRId64
                                " distinct values; ties count as half a pair",
                                csv->path, n, distinct);
    return ASD_OK;
}

static asd_status check_rows(const checker *c, const asd_csv *csv, int decisions, double *v,
                             int64_t *n_values)
{
    int64_t n_bad = 0;
    *n_values     = 0;
    for (int64_t i = 0; i < csv->n; ++i) {
        char       where[512];
        int        bit = 0;
        asd_status st  = ASD_OK;
        if (csv->row[i].n != 2)
            st = ASD_FAIL(ASD_E_DATA, "%s: %d columns, want 2",
                          asd_csv_where(csv, i, where, sizeof where), csv->row[i].n);
        else if (decisions)
            st = asd_csv_bit(csv, i, 1, "decision", &bit), v[*n_values] = bit;
        else
            st = asd_csv_number(csv, i, 1, "score", v + *n_values);
        if (!st)
            ++*n_values;
        else if (n_bad++ < SHOWN_ROWS)
            ASD_TRY(asd_find_error(c->f, "%s", asd_error_text()));
    }
    if (n_bad > SHOWN_ROWS)
        ASD_TRY(asd_find_error(c->f, "%s: %" PRId64 " more rows like these", csv->path,
                               n_bad - SHOWN_ROWS));
    return ASD_OK;
}

static asd_status check_csv(const checker *c, const char *machine, int decisions,
                            const asd_package_file *file, asd_csv *csv)
{
    int64_t   *order = NULL, n_values;
    double    *v     = NULL;
    asd_status st    = asd_csv_parse(file->name, file->data, file->size, 0, csv);
    if (st)
        return st == ASD_E_DATA ? asd_find_error(c->f, "%s", asd_error_text()) : st;
    order = malloc((size_t)csv->n * sizeof *order);
    v     = malloc((size_t)csv->n * sizeof *v);
    if (!order || !v) {
        st = ASD_FAIL(ASD_E_OOM, "%s: %" PRId64 " rows", file->name, csv->n);
        goto done;
    }
    if (csv->blank_end)
        ASD_GO(done, st,
               asd_find_error(c->f, "%s: empty line at the end; the official evaluator stops there",
                              csv->path));
    ASD_GO(done, st, check_rows(c, csv, decisions, v, &n_values));
    ASD_GO(done, st, check_values(c, csv, decisions, v, n_values));
    if (csv->n != c->o->rows)
        ASD_GO(done, st,
               asd_find_error(c->f, "%s: %" PRId64 " rows, want %" PRId64, csv->path, csv->n,
                              c->o->rows));
    const asd_machine *m = test_clips(c, machine);
    st                   = asd_csv_sort(csv, 0, "file name", order);
    if (st)
        st = asd_find_error(c->f, "%s", asd_error_text());
    else
        st = m ? compare_names(c, csv, order, m) : check_name_form(c, csv);
done:
    free(order);
    free(v);
    return st;
}

/* --- checking: one system -----------------------------------------------------------------------
 */

static int by_row_name(const void *a, const void *b)
{
    return strcmp(((const asd_csv_row *)a)->cell[0], ((const asd_csv_row *)b)->cell[0]);
}

/* Scores and decisions are of the same clips. Sorts the rows of both. */
static asd_status compare_columns(const checker *c, asd_csv *scores, asd_csv *decisions)
{
    qsort(scores->row, (size_t)scores->n, sizeof *scores->row, by_row_name);
    qsort(decisions->row, (size_t)decisions->n, sizeof *decisions->row, by_row_name);
    for (int64_t i = 0; i < scores->n || i < decisions->n; ++i) {
        int side = i == scores->n      ? 1
                   : i == decisions->n ? -1
                                       : by_row_name(scores->row + i, decisions->row + i);
        if (side)
            return asd_find_error(c->f, "%s: %s is not in %s",
                                  side < 0 ? scores->path : decisions->path,
                                  (side < 0 ? scores : decisions)->row[i].cell[0],
                                  side < 0 ? decisions->path : scores->path);
    }
    return ASD_OK;
}

static asd_status check_machine(const checker *c, const char *label, const char *machine)
{
    asd_csv    csv[2] = {{0}, {0}};
    asd_status st     = ASD_OK;
    for (int k = 0; k < 2 && !st; ++k) {
        char name[PATH_SIZE];
        snprintf(name, sizeof name, "%s%s/%s%s_section_00_test.csv", ROOT, label, PREFIX[k],
                 machine);
        const asd_package_file *file = asd_package_find(c->package, name);
        st                           = file ? check_csv(c, machine, k, file, csv + k)
                                            : asd_find_error(c->f, "%s is missing", name);
    }
    if (!st && csv[0].n && csv[1].n)
        st = compare_columns(c, csv, csv + 1);
    asd_csv_clear(csv);
    asd_csv_clear(csv + 1);
    return st;
}

static asd_status check_system(const checker *c, const char *label)
{
    char name[PATH_SIZE];
    if (!asd_label_valid(label))
        ASD_TRY(asd_find_error(c->f,
                               "%s%s: the label is not of the form "
                               "<LastName>_<Institute>_task2_<1..4>",
                               ROOT, label));
    snprintf(name, sizeof name, "%s%s/%s.meta.yaml", ROOT, label, label);
    const asd_package_file *meta = asd_package_find(c->package, name);
    if (meta)
        ASD_TRY(asd_meta_check(name, meta->data, meta->size, label, c->o->dev_machine, c->o->n_dev,
                               c->f));
    else
        ASD_TRY(asd_find_error(c->f, "%s is missing", name));
    for (int64_t i = 0; i < c->o->n_machines; ++i)
        ASD_TRY(check_machine(c, label, c->o->machine[i]));
    return ASD_OK;
}

/* --- checking: the whole ------------------------------------------------------------------------
 */

/* A file of a system's folder that the layout does not name. */
static int belongs(const checker *c, const char *label, const char *file)
{
    char machine[256], meta[PATH_SIZE];
    int  section;
    snprintf(meta, sizeof meta, "%s.meta.yaml", label);
    if (!strcmp(file, meta))
        return 1;
    for (int k = 0; k < 2; ++k)
        for (int64_t i = 0; i < c->o->n_machines; ++i)
            if (asd_score_file_name(file, PREFIX[k], machine, &section) && !section &&
                !strcmp(machine, c->o->machine[i]) &&
                strlen(file) ==
                    strlen(PREFIX[k]) + strlen(machine) + strlen("_section_00_test.csv"))
                return 1;
    return 0;
}

static asd_status check_report(const checker *c, const char *name, const asd_package_file *file)
{
    size_t n = strlen(name), end = sizeof REPORT_END - 1;
    char   label[LABEL_SIZE];
    if (n <= end || strcmp(name + n - end, REPORT_END))
        return asd_find_error(c->f, "%s: no file of a submission", file->name);
    snprintf(label, sizeof label, "%.*s", (int)(n - end), name);
    if (!asd_label_valid(label))
        ASD_TRY(asd_find_error(c->f, "%s: want %s<Name>_<Institute>_task2_1%s", file->name, ROOT,
                               REPORT_END));
    if (file->size < 5 || memcmp(file->data, "%PDF-", 5))
        ASD_TRY(asd_find_error(c->f, "%s: not a PDF file", file->name));
    return ASD_OK;
}

/* Labels are the folders in task2/; the files are sorted by name, so those of one label stand
 * together, but not when called on a package still in the making: hence the search. */
static asd_status collect(const checker *c, char label[][LABEL_SIZE], int64_t max, int64_t *n,
                          int64_t *n_reports)
{
    *n = *n_reports = 0;
    for (int64_t i = 0; i < c->package->n; ++i) {
        const asd_package_file *file = c->package->file + i;
        const char             *rest = file->name + sizeof ROOT - 1, *slash;
        if (strncmp(file->name, ROOT, sizeof ROOT - 1) || strlen(file->name) >= LABEL_SIZE) {
            ASD_TRY(asd_find_error(c->f, "%.200s: not in the folder %s", file->name, ROOT));
            continue;
        }
        if (!(slash = strchr(rest, '/'))) {
            *n_reports += strstr(rest, REPORT_END) != NULL;
            ASD_TRY(check_report(c, rest, file));
            continue;
        }
        char    mine[LABEL_SIZE];
        int64_t k = 0;
        snprintf(mine, sizeof mine, "%.*s", (int)(slash - rest), rest);
        while (k < *n && strcmp(label[k], mine))
            ++k;
        if (k == *n && k < max)
            memcpy(label[(*n)++], mine, sizeof mine);
        if (!belongs(c, mine, slash + 1))
            ASD_TRY(asd_find_error(c->f, "%s: no file of a submission", file->name));
    }
    return ASD_OK;
}

asd_status asd_submit_check(const asd_package *p, const asd_submit_options *o, asd_findings *f)
{
    const checker c = {p, o, f};
    char          label[4 * MAX_SYSTEMS][LABEL_SIZE];
    int64_t       n, n_reports;
    ASD_TRY(collect(&c, label, 4 * MAX_SYSTEMS, &n, &n_reports));
    if (!n)
        ASD_TRY(asd_find_error(f, "no system: want a folder %s<LABEL>/", ROOT));
    if (n > MAX_SYSTEMS)
        ASD_TRY(asd_find_error(f, "%s: %s%" PRId64 " systems, want at most %d", ROOT,
                               n == 4 * MAX_SYSTEMS ? "at least " : "", n, MAX_SYSTEMS));
    if (!n_reports)
        ASD_TRY(asd_find_error(f, "%s<Name>_<Institute>_task2_1%s is missing", ROOT, REPORT_END));
    for (int64_t i = 1; i < n; ++i) {
        size_t team = strlen(label[0]) > 8 ? strlen(label[0]) - 1 : 0;
        if (strncmp(label[0], label[i], team))
            ASD_TRY(
                asd_find_warning(f, "%s and %s are labels of different teams", label[0], label[i]));
    }
    for (int64_t i = 0; i < n; ++i)
        ASD_TRY(check_system(&c, label[i]));
    if (n && !o->data)
        ASD_TRY(asd_find_warning(f, "file names were not compared with the test clips; --data DIR "
                                    "does that"));
    return ASD_OK;
}
