/* table.h - Omega of a published table of cells, for example one typed off a report.
 *
 * Header `machine,auc_source,auc_target,pauc` (three values a machine) or `machine,auc,pauc` (two),
 * then one row a machine; lines that begin with '#' are comments. Percent or fraction is decided
 * once for the whole file: percent when any value is above 1.
 */
#ifndef ASD_SCORE_TABLE_H
#define ASD_SCORE_TABLE_H

#include "base/status.h"

#include <stdint.h>
#include <stdio.h>

typedef struct asd_table {
    double  omega, arithmetic_mean; /* fractions */
    int64_t n_machines, n_values;
    int     columns; /* values a machine: 3 or 2 */
    int     percent; /* how the file was read */
} asd_table;

/* ASD_E_DATA names file, line and row: another header, a doubled machine, a value that is negative
 * or above 100 %. */
asd_status asd_table_read(const char *path, asd_table *out);
/* {"schema": "asd.table/1", ...} as one line. */
asd_status asd_table_print_json(const asd_table *t, FILE *out);
void       asd_table_print(const asd_table *t, FILE *out);

#endif
