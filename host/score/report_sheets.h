/* report_sheets.h - the report's figures as files of their own: SVG and PDF for a two-column paper.
 *
 *   omega, differences          one column (86 mm)
 *   cells-SYSTEM                one column
 *   roc-MACHINE[-SECTION]       both columns (178 mm)
 *   scores-MACHINE[-SECTION]    up to three panels of 53 mm side by side
 *   loss[-RUN][-MACHINE]        one column
 *
 * Names in file names keep letters, digits, "_", "." and "-"; what else they hold becomes "_", and
 * a number is added where two names would then be one.
 */
#ifndef ASD_SCORE_REPORT_SHEETS_H
#define ASD_SCORE_REPORT_SHEETS_H

#include "score/report_data.h"

typedef struct asd_sheet_file {
    char   name[128]; /* "omega.pdf" */
    char  *data;
    size_t size;
} asd_sheet_file;

typedef struct asd_sheets {
    asd_sheet_file *file; /* (n) */
    int64_t         n;
    int64_t         n_boxed;    /* figures with characters that no font has */
    char            boxed[128]; /* the first of them */
} asd_sheets;

/* Draws all of them, in memory; r->font must be there. Warns of characters that no font has.
 * ASD_E_OOM; ASD_E_IO when cairo refuses. Clear after any return. */
asd_status asd_sheets_draw(const asd_report *r, asd_sheets *out);
/* Writes them into a folder, which is made if need be; each file is whole or not there. */
asd_status asd_sheets_write(const asd_sheets *s, const char *folder);
void       asd_sheets_clear(asd_sheets *s);

#endif
