/* report_figures.h - the figures of the report: numbers in, one <svg> each out.
 *
 * A figure knows nothing of machines or files; its label (for readers who hear the page) and the
 * words around it come from the caller. `style` is a system's index: class s<style mod 8>.
 */
#ifndef ASD_SCORE_REPORT_FIGURES_H
#define ASD_SCORE_REPORT_FIGURES_H

#include "base/status.h"

#include <stdint.h>
#include <stdio.h>

/* A short stroke in the system's colour and dash, for legends. Hidden from screen readers. */
void asd_fig_key(FILE *out, int style);

/* --- intervals: one row each over a common axis; as wide as the place they are put in --- */

typedef struct asd_fig_axis {
    double lo, hi;   /* value range */
    double mark;     /* a line through all rows (0 of a difference), NaN for none */
    int    is_delta; /* labels with a sign */
} asd_fig_axis;

/* An axis that holds all n values lo[i] .. hi[i] (non-finite ones are skipped) and the mark. */
asd_fig_axis asd_fig_axis_fit(const double *lo, const double *hi, int64_t n, double mark,
                              int is_delta);
/* Value and whisker; lo and hi may be NaN: then the dot alone. */
void asd_fig_interval(FILE *out, const asd_fig_axis *axis, int style, double value, double lo,
                      double hi, const char *label);
/* Tick labels in percent under the rows. */
void asd_fig_axis_row(FILE *out, const asd_fig_axis *axis);

/* --- ROC: false-positive against true-positive rate in the unit square --- */

typedef struct asd_fig_roc_curve {
    const double *fpr, *tpr; /* (n) from (0, 0) to (1, 1) */
    int64_t       n;
    int           style;
} asd_fig_roc_curve;

/* low_fpr > 0 shades 0 .. low_fpr, the part that pAUC measures. */
void asd_fig_roc(FILE *out, const asd_fig_roc_curve *curve, int n_curves, double low_fpr,
                 const char *label);

/* --- score histograms: a strip per domain, normal filled, anomalous outlined --- */

typedef struct asd_fig_scores {
    const double  *score;            /* (n) */
    const uint8_t *target, *anomaly; /* (n) 0 or 1 */
    int64_t        n;
    double         threshold; /* of the decisions, NaN for none */
} asd_fig_scores;

/* Both strips share range, bins and height; heights are shares of a class in its domain, so that
 * few clips show as well as many. Few far-off scores would squeeze all others into one bin: then
 * the range ends without them, and *beyond (if not NULL) says how many clips the end bins took in.
 * ASD_E_OOM. */
asd_status asd_fig_histogram(FILE *out, const asd_fig_scores *s, const char *label,
                             int64_t *beyond);

/* --- curves over training steps --- */

typedef struct asd_fig_series {
    const double *step, *value; /* (n) step ascending; a value that is not finite is a gap */
    int64_t       n;
} asd_fig_series;

/* loss: required; val: second curve or NULL; height: pixels of the whole figure. Long series are
 * thinned to their mean in 300 equal stretches of steps, with the range inside each as a band. The
 * value axis is logarithmic when the positive values span more than a factor of 20. ASD_E_OOM. */
asd_status asd_fig_loss(FILE *out, const asd_fig_series *loss, const asd_fig_series *val,
                        int height, const char *label);

#endif
