/* report_run.c - reads what a training run left behind: run.json and log/metrics.jsonl. */
#include "score/report_data.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NO_MEMORY ASD_FAIL(ASD_E_OOM, "report: out of memory")

static asd_status read_facts(const char *run, json_t **out)
{
    char         path[PATH_MAX];
    char        *text = NULL;
    size_t       size = 0;
    json_error_t error;
    ASD_TRY(asd_path(path, "%s/run.json", run));
    if (!asd_is_file(path))
        return ASD_OK;
    ASD_TRY(asd_read_file(path, (size_t)64 << 20, &text, &size));
    *out = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    free(text);
    if (!*out)
        return ASD_FAIL(ASD_E_DATA, "%s:%d:%d: not JSON: %s", path, error.line, error.column,
                        error.text);
    if (!json_is_object(*out))
        return ASD_FAIL(ASD_E_DATA, "%s: want a JSON object", path);
    return ASD_OK;
}

static asd_report_curve *curve_of(asd_report_run *run, const char *machine)
{
    for (int64_t i = 0; i < run->n_curves; ++i)
        if (!strcmp(run->curve[i].machine, machine))
            return &run->curve[i];
    asd_report_curve *all = realloc(run->curve, (size_t)(run->n_curves + 1) * sizeof *all);
    if (!all)
        return NULL;
    run->curve          = all;
    asd_report_curve *c = &all[run->n_curves];
    *c                  = (asd_report_curve){.machine = strdup(machine)};
    if (!c->machine)
        return NULL;
    ++run->n_curves;
    return c;
}

static int grow(asd_report_curve *c)
{
    if (c->n < c->size)
        return 1;
    int64_t  size   = c->size ? 2 * c->size : 256;
    double **all[3] = {&c->step, &c->loss, &c->val_loss};
    for (int i = 0; i < 3; ++i) {
        double *more = realloc(*all[i], (size_t)size * sizeof *more);
        if (!more)
            return 0;
        *all[i] = more;
    }
    c->size = size;
    return 1;
}

/* A number, or NaN for null and for a key that is not there (JSON has no NaN; trainers write null).
 */
static asd_status number_of(const json_t *line, const char *key, const char *where, double *out)
{
    const json_t *v = json_object_get(line, key);
    *out            = NAN;
    if (!v || json_is_null(v))
        return ASD_OK;
    if (!json_is_number(v))
        return ASD_FAIL(ASD_E_DATA, "%s: \"%s\" is not a number", where, key);
    *out = json_number_value(v);
    return ASD_OK;
}

/* A started-again run writes the steps since its checkpoint anew: the later line replaces all from
 * that step on. */
static asd_status add_line(asd_report_run *run, const json_t *line, const char *where)
{
    double        step, loss, val_loss;
    const json_t *machine = json_object_get(line, "machine");
    if (!json_is_object(line))
        return ASD_FAIL(ASD_E_DATA, "%s: want a JSON object", where);
    if (machine && !json_is_string(machine))
        return ASD_FAIL(ASD_E_DATA, "%s: \"machine\" is not a text", where);
    ASD_TRY(number_of(line, "step", where, &step));
    ASD_TRY(number_of(line, "loss", where, &loss));
    ASD_TRY(number_of(line, "val_loss", where, &val_loss));
    if (!(step >= 0 && step <= 9e15))
        return ASD_FAIL(ASD_E_DATA, "%s: want a \"step\" of 0 or more", where);
    asd_report_curve *c = curve_of(run, machine ? json_string_value(machine) : "");
    if (!c)
        return NO_MEMORY;
    if (c->n && c->step[c->n - 1] == step) { /* training and validation lines of one step */
        if (!isnan(loss))
            c->loss[c->n - 1] = loss;
        if (!isnan(val_loss))
            c->val_loss[c->n - 1] = val_loss;
        return ASD_OK;
    }
    while (c->n && c->step[c->n - 1] >= step)
        --c->n;
    if (!grow(c))
        return NO_MEMORY;
    c->step[c->n] = step, c->loss[c->n] = loss, c->val_loss[c->n] = val_loss;
    ++c->n;
    return ASD_OK;
}

static int by_machine(const void *a, const void *b)
{
    return strcmp(((const asd_report_curve *)a)->machine, ((const asd_report_curve *)b)->machine);
}

static asd_status read_metrics(const char *folder, asd_report_run *run)
{
    char       path[PATH_MAX], where[PATH_MAX + 32];
    char      *text = NULL;
    size_t     room = 0;
    ssize_t    size;
    asd_status st = ASD_OK;
    ASD_TRY(asd_path(path, "%s/log/metrics.jsonl", folder));
    if (!asd_is_file(path))
        return ASD_OK;
    FILE *in = fopen(path, "re");
    if (!in)
        return ASD_FAIL(ASD_E_IO, "%s: cannot read: %m", path);
    while (!st && (size = getline(&text, &room, in)) > 0) {
        json_error_t error;
        int          is_whole = text[size - 1] == '\n';
        snprintf(where, sizeof where, "%s:%ld", path, (long)run->n_lines + 1);
        json_t *line = json_loadb(text, (size_t)size, JSON_REJECT_DUPLICATES, &error);
        if (!line && !is_whole) { /* killed while writing: nothing is wrong with the rest */
            run->is_torn = 1;
            break;
        }
        if (!line) {
            st = ASD_FAIL(ASD_E_DATA, "%s:%d: not JSON: %s", where, error.column, error.text);
            break;
        }
        ++run->n_lines;
        st = add_line(run, line, where);
        json_decref(line);
    }
    if (!st && ferror(in))
        st = ASD_FAIL(ASD_E_IO, "%s: cannot read: %m", path);
    fclose(in);
    free(text);
    if (run->n_curves)
        qsort(run->curve, (size_t)run->n_curves, sizeof *run->curve, by_machine);
    return st;
}

asd_status asd_report_read_run(const char *path, asd_report_run *out)
{
    *out = (asd_report_run){.path = strdup(path)};
    if (!out->path)
        return NO_MEMORY;
    ASD_TRY(read_facts(path, &out->facts));
    return read_metrics(path, out);
}

void asd_report_run_clear(asd_report_run *run)
{
    for (int64_t i = 0; i < run->n_curves; ++i) {
        free(run->curve[i].machine);
        free(run->curve[i].step);
        free(run->curve[i].loss);
        free(run->curve[i].val_loss);
    }
    free(run->curve);
    free(run->path);
    json_decref(run->facts);
    *run = (asd_report_run){.path = NULL};
}
