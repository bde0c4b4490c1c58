/* report_figures.h - the figures of the report: numbers in, one frame on a canvas each.
 *
 * A figure knows nothing of machines or files; its label (for readers who hear the page) and the
 * words around it come from the caller: HTML on the page, report_sheets.c in a figure for a paper.
 * `style` is a system's index. Where words could meet, figures measure them with the canvas.
 */
#ifndef ASD_SCORE_REPORT_FIGURES_H
#define ASD_SCORE_REPORT_FIGURES_H

#include "base/status.h"
#include "score/canvas.h"

#include <stdint.h>

/* A short stroke in the system's colour and dash, for legends. Hidden from screen readers. */
void asd_fig_key(asd_canvas *c, int style);
/* The same for inks that stand for no system: a box where they fill, else a line. */
void asd_fig_swatch(asd_canvas *c, asd_ink ink);
enum { ASD_FIG_KEY_W = 26, ASD_FIG_KEY_H = 10 };

/* --- intervals: one row each over a common axis; as wide as the place they are put in --- */

typedef struct asd_fig_axis {
    double lo, hi;   /* value range */
    double mark;     /* a line through all rows (0 of a difference), NaN for none */
    int    is_delta; /* labels with a sign */
    int    want;     /* about so many ticks, 5 */
} asd_fig_axis;

enum { ASD_FIG_ROW_H = 26, ASD_FIG_AXIS_H = 20, ASD_FIG_PANEL = 200 }; /* pixels */

/* An axis that holds all n values lo[i] .. hi[i] (non-finite ones are skipped) and the mark. */
asd_fig_axis asd_fig_axis_fit(const double *lo, const double *hi, int64_t n, double mark,
                              int is_delta);
/* Value and whisker; lo and hi may be NaN: then the dot alone. */
void asd_fig_interval(asd_canvas *c, const asd_fig_axis *axis, int style, double value, double lo,
                      double hi, const char *label);
/* Fewer ticks until their labels stand apart in rows `width` pixels wide. */
void asd_fig_axis_thin(asd_canvas *c, asd_fig_axis *axis, double width);
/* Tick labels in percent under the rows. */
void asd_fig_axis_row(asd_canvas *c, const asd_fig_axis *axis);

/* --- ROC: false-positive against true-positive rate in the unit square --- */

typedef struct asd_fig_roc_curve {
    const double *fpr, *tpr; /* (n) from (0, 0) to (1, 1) */
    int64_t       n;
    int           style;
} asd_fig_roc_curve;

/* low_fpr > 0 shades 0 .. low_fpr, the part that pAUC measures. */
void asd_fig_roc(asd_canvas *c, const asd_fig_roc_curve *curve, int n_curves, double low_fpr,
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
asd_status asd_fig_histogram(asd_canvas *c, const asd_fig_scores *s, const char *label,
                             int64_t *beyond);

/* --- curves over training steps --- */

typedef struct asd_fig_series {
    const double *step, *value; /* (n) step ascending; a value that is not finite is a gap */
    int64_t       n;
} asd_fig_series;

/* loss: required; val: second curve or NULL, joined over the steps where it has no value, since
 * validation comes once an epoch; height: pixels of the whole figure. Long series are thinned to
 * their mean in ASD_FIG_LOSS_POINTS equal stretches of steps, with the range inside each as a band.
 * The value axis is logarithmic when the positive values span more than a factor of 20. Its labels
 * stand left of the frame. ASD_E_OOM. */
enum { ASD_FIG_LOSS_POINTS = 300 };
asd_status asd_fig_loss(asd_canvas *c, const asd_fig_series *loss, const asd_fig_series *val,
                        int height, const char *label);
/* The pixels that the value labels take left of the frame. ASD_E_OOM. */
asd_status asd_fig_loss_margin(asd_canvas *c, const asd_fig_series *loss, const asd_fig_series *val,
                               double *margin);

/* --- the colours of the heat map, 0 to 100 percent --- */

enum { ASD_FIG_SCALE_W = 260, ASD_FIG_SCALE_H = 30 };
void asd_fig_heat_scale(asd_canvas *c, const char *label);

#endif
