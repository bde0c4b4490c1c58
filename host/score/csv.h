/* csv.h - the small comma-separated files of the challenge: no quotes, no header unless a caller
 * asks for one, LF or CRLF.
 *
 * The text is kept whole and cut in place; cells point into it. Blank lines at the end are dropped,
 * a blank line between rows is an error. Every error names file and line, and shows the row.
 */
#ifndef ASD_SCORE_CSV_H
#define ASD_SCORE_CSV_H

#include "base/status.h"

#include <stdint.h>

enum { ASD_CSV_CELLS = 8 };

typedef struct asd_csv_row {
    int64_t line; /* 1-based */
    int     n;    /* cells */
    char   *cell[ASD_CSV_CELLS];
} asd_csv_row;

typedef struct asd_csv {
    char        *path, *text; /* owned */
    asd_csv_row *row;         /* (n) owned */
    int64_t      n;
    int64_t      blank_end; /* empty lines after the last row */
} asd_csv;

/* comments: lines that begin with '#' are skipped. ASD_E_DATA also for an empty file, a quoted
 * cell, a NUL byte, a byte-order mark or more than ASD_CSV_CELLS cells. Clear after any return. */
asd_status asd_csv_read(const char *path, int comments, asd_csv *out);
/* The same from size bytes in memory, which are copied; name stands for the path in errors. */
asd_status asd_csv_parse(const char *name, const char *data, size_t size, int comments,
                         asd_csv *out);
void       asd_csv_clear(asd_csv *c);

/* ASD_E_DATA unless every row has from min to max cells. `columns` says what they are. */
asd_status asd_csv_want_cells(const asd_csv *c, int min, int max, const char *columns);
/* A finite decimal number, blanks around it allowed; `what` begins the complaint ("score"). */
asd_status asd_csv_number(const asd_csv *c, int64_t row, int cell, const char *what, double *out);
/* A number that must be 0 or 1 ("1.0" is 1). */
asd_status asd_csv_bit(const asd_csv *c, int64_t row, int cell, const char *what, int *out);
/* order: (n) row indices sorted by the text of the cell. ASD_E_DATA naming both lines when two rows
 * have the same text. */
asd_status asd_csv_sort(const asd_csv *c, int cell, const char *what, int64_t *order);
/* "file:line: row text", for errors of callers. Returns buf. */
const char *asd_csv_where(const asd_csv *c, int64_t row, char *buf, size_t size);

/* The shortest decimal digits that read back equal, written as Python's repr does (0.5, 1e-05,
 * 1.0, 2.220446049250313e-16): what the official files hold. Returns buf. */
const char *asd_real_text(double x, char buf[32]);

/* Splits PREFIX<machine>_section_<SS>_test.csv. The baseline's longer form
 * PREFIXDCASE2026T2<machine>_section_<SS>_test<anything>.csv is taken too. Returns 0 when the name
 * has another form. machine: at least 256 bytes. */
int asd_score_file_name(const char *name, const char *prefix, char *machine, int *section);

#endif
