/* report_sheet.h - what stands on each sheet of report_sheets.h. report_sheets.c only.
 *
 * The page's figures with the words around them, which on the page are HTML: names, values, keys.
 */
#ifndef ASD_SCORE_REPORT_SHEET_H
#define ASD_SCORE_REPORT_SHEET_H

#include "score/report_data.h"
#include "score/report_figures.h"

/* A sheet that is laid out and can be drawn any number of times. Points into the report. */
typedef struct asd_sheet asd_sheet;
struct asd_sheet {
    const asd_report       *r;
    char                    title[512];
    double                  width, height; /* pixels */
    int64_t                 index;         /* of the system or machine */
    const asd_report_curve *curve;         /* of a loss sheet */
    asd_fig_axis            axis;          /* of omega, differences */
    int64_t                 n_rows;        /* of omega, differences; 0: nothing to show */
    asd_status (*draw)(const asd_sheet *s, asd_paper *p, asd_canvas *c);
};

asd_status asd_sheet_omega(const asd_report *r, asd_sheet *out);
asd_status asd_sheet_pairs(const asd_report *r, asd_sheet *out);
void       asd_sheet_cells(const asd_report *r, int64_t system, asd_sheet *out);
void       asd_sheet_roc(const asd_report *r, int64_t machine, asd_sheet *out);
void       asd_sheet_scores(const asd_report *r, int64_t machine, asd_sheet *out);
void       asd_sheet_loss(const asd_report *r, const asd_report_curve *curve, asd_sheet *out);

/* Onto a paper of its width and height. */
asd_status asd_sheet_draw(const asd_sheet *s, asd_paper *p);

#endif
