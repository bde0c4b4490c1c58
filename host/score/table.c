/* table.c - see table.h. */
#include "score/table.h"

#include "score/csv.h"
#include "score/omega.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* Values a machine by the header, 0 for another header. */
static int header_columns(const asd_csv_row *r)
{
    static const char *const wide[] = {"machine", "auc_source", "auc_target", "pauc"};
    static const char *const slim[] = {"machine", "auc", "pauc"};
    const char *const       *want   = r->n == 4 ? wide : slim;
    if (r->n != 4 && r->n != 3)
        return 0;
    for (int i = 0; i < r->n; ++i)
        if (strcmp(r->cell[i], want[i]))
            return 0;
    return r->n - 1;
}

static asd_status read_values(const asd_csv *c, int columns, double *v, asd_table *out)
{
    char   where[512];
    double most = 0;
    for (int64_t i = 1; i < c->n; ++i)
        for (int k = 1; k <= columns; ++k) {
            double *x = v + (i - 1) * columns + k - 1;
            ASD_TRY(asd_csv_number(c, i, k, c->row[0].cell[k], x));
            if (*x < 0 || *x > 100)
                return ASD_FAIL(ASD_E_DATA, "%s: %s %s, want 0 to 100 %% or 0 to 1",
                                asd_csv_where(c, i, where, sizeof where), c->row[0].cell[k],
                                c->row[i].cell[k]);
            most = *x > most ? *x : most;
        }
    out->percent    = most > 1;
    out->columns    = columns;
    out->n_machines = c->n - 1;
    out->n_values   = out->n_machines * columns;
    double sum      = 0;
    for (int64_t i = 0; i < out->n_values; ++i) {
        v[i] = out->percent ? v[i] / 100 : v[i];
        sum += v[i];
    }
    out->omega           = asd_harmonic_mean(v, out->n_values);
    out->arithmetic_mean = sum / (double)out->n_values;
    return ASD_OK;
}

asd_status asd_table_read(const char *path, asd_table *out)
{
    asd_csv    c;
    asd_status st;
    double    *v     = NULL;
    int64_t   *order = NULL;
    char       where[512];
    memset(out, 0, sizeof *out);
    ASD_GO(done, st, asd_csv_read(path, 1, &c));
    int columns = header_columns(c.row);
    if (!columns) {
        st = ASD_FAIL(ASD_E_DATA,
                      "%s: want the header machine,auc_source,auc_target,pauc or machine,auc,pauc",
                      asd_csv_where(&c, 0, where, sizeof where));
        goto done;
    }
    if (c.n < 2) {
        st = ASD_FAIL(ASD_E_DATA, "%s: a header and no machines", path);
        goto done;
    }
    ASD_GO(done, st,
           asd_csv_want_cells(&c, columns + 1, columns + 1,
                              columns == 3 ? "4 as in the header" : "3 as in the header"));
    v     = malloc((size_t)(c.n * columns) * sizeof *v);
    order = malloc((size_t)c.n * sizeof *order);
    if (!v || !order) {
        st = ASD_FAIL(ASD_E_OOM, "%s: %" PRId64 " rows", path, c.n);
        goto done;
    }
    ASD_GO(done, st, asd_csv_sort(&c, 0, "machine", order));
    st = read_values(&c, columns, v, out);
done:
    free(v);
    free(order);
    asd_csv_clear(&c);
    return st;
}

asd_status asd_table_print_json(const asd_table *t, FILE *out)
{
    json_t *root = json_pack("{s:s, s:f, s:I, s:s, s:f}", "schema", "asd.table/1", "omega",
                             t->omega, "n_values", (json_int_t)t->n_values, "cells",
                             asd_cells_names[t->columns == 3 ? ASD_CELLS_21 : ASD_CELLS_14],
                             "arithmetic_mean", t->arithmetic_mean);
    int     bad  = !root || json_dumpf(root, out, JSON_REAL_PRECISION(17)) || fputc('\n', out) < 0;
    json_decref(root);
    return bad ? ASD_FAIL(ASD_E_IO, "cannot write JSON") : ASD_OK;
}

void asd_table_print(const asd_table *t, FILE *out)
{
    fprintf(out, "Omega %.2f   arithmetic mean %.2f\n", 100 * t->omega, 100 * t->arithmetic_mean);
    fprintf(out, "%% of %" PRId64 " values: %" PRId64 " machines, %s; read as %s\n", t->n_values,
            t->n_machines,
            t->columns == 3 ? "AUC source, AUC target, pAUC each" : "AUC and pAUC each",
            t->percent ? "percent" : "fractions");
}
