/* report_views.h - which numbers a figure of the report shows, for the page and for papers alike.
 */
#ifndef ASD_SCORE_REPORT_VIEWS_H
#define ASD_SCORE_REPORT_VIEWS_H

#include "score/report_data.h"
#include "score/report_figures.h"

/* The axis that holds Omega of all systems; of all pairs that can be compared (*n of them, may be
 * 0). ASD_E_OOM. */
asd_status asd_report_omega_axis(const asd_report *r, asd_fig_axis *out);
asd_status asd_report_pair_axis(const asd_report *r, asd_fig_axis *out, int64_t *n);

/* The clips of a machine and section in a system, NULL when the system did not score it. */
const asd_eval_set *asd_report_set(const asd_report_system *s, const asd_report_machine *m);

/* A machine's ROC curves stand in three panels. */
typedef struct asd_report_roc_panel {
    const char *title;
    int         domain;  /* of asd_roc_curve */
    int         cell;    /* that the curve belongs to */
    double      low_fpr; /* shaded */
} asd_report_roc_panel;
extern const asd_report_roc_panel asd_report_roc_panels[3];

/* One curve per system that scored the machine. */
typedef struct asd_report_rocs {
    asd_fig_roc_curve *curve; /* (n) into roc */
    int                n;
    asd_roc           *roc; /* (n) */
} asd_report_rocs;
asd_status asd_report_rocs_make(const asd_report *r, const asd_report_machine *m,
                                const asd_report_roc_panel *panel, asd_report_rocs *out);
void       asd_report_rocs_clear(asd_report_rocs *rocs); /* after any return */

/* The scores with the threshold that the decisions tell of: between the highest score called normal
 * and the lowest called anomalous. NaN when there are no decisions, all are equal, or no single
 * threshold explains them. */
asd_fig_scores asd_report_scores(const asd_eval_set *s);

#endif
