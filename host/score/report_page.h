/* report_page.h - the sections of the report's page, in the order they stand. report*.c only.
 *
 * The markup is well-formed XML as well as HTML: every element is closed, every attribute quoted,
 * every text escaped.
 */
#ifndef ASD_SCORE_REPORT_PAGE_H
#define ASD_SCORE_REPORT_PAGE_H

#include "score/report_data.h"

#include <stdio.h>

asd_status asd_page_omega(FILE *out, const asd_report *r);    /* Omega of each system */
asd_status asd_page_pairs(FILE *out, const asd_report *r);    /* paired differences */
void       asd_page_cells(FILE *out, const asd_report *r);    /* heat maps, the worst cells */
asd_status asd_page_machines(FILE *out, const asd_report *r); /* ROC curves and histograms */
void       asd_page_values(FILE *out, const asd_report *r);   /* all values as tables */
asd_status asd_page_training(FILE *out, const asd_report *r); /* loss curves */
void       asd_page_provenance(FILE *out, const asd_report *r);

/* The stroke of a system, for legends. */
void asd_page_key(FILE *out, int system);
/* <section> with its heading; id and title are our own words. The caller closes it. */
void asd_page_open_section(FILE *out, const char *id, const char *title);
/* "ToyCar 02", or "fan" where every machine has section 00 only. Escaped. */
void asd_page_machine(FILE *out, const asd_report *r, const char *name, int section);
/* A fraction as percent with two decimals, no sign of percent: "55.71"; a dash for NaN. */
void asd_page_percent(FILE *out, double fraction);
/* " [53.20, 58.13]", nothing for NaN. */
void asd_page_interval(FILE *out, asd_interval i, int is_delta);

extern const char *const asd_page_cell_titles[]; /* "AUC source", ... by ASD_CELL_* */

#endif
