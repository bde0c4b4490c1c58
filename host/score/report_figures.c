/* report_figures.c - see report_figures.h. The curves over training steps are in report_loss.c. */
#include "score/report_figures.h"
#include "score/report_svg.h"
#include "score/report_theme.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void asd_fig_key(FILE *out, int style)
{
    fprintf(out,
            "<svg class=\"key\" viewBox=\"0 0 26 10\" aria-hidden=\"true\"><path class=\"s%d\" "
            "d=\"M0 5h26\"/></svg>",
            style % ASD_THEME_SYSTEMS);
}

/* --- intervals --- */

/* Positions are percentages of the width, so words and strokes keep their size in every window;
 * the ends stay clear of the edge for tick labels. */
static double axis_percent(const asd_fig_axis *axis, double v)
{
    double at = 4 + 92 * (v - axis->lo) / (axis->hi - axis->lo);
    return fmin(fmax(at, 0), 100);
}

asd_fig_axis asd_fig_axis_fit(const double *lo, const double *hi, int64_t n, double mark,
                              int is_delta)
{
    asd_fig_axis axis = {mark, mark, mark, is_delta};
    for (int64_t i = 0; i < n; ++i) {
        if (isfinite(lo[i]))
            axis.lo = fmin(axis.lo, lo[i]); /* fmin passes over NaN */
        if (isfinite(hi[i]))
            axis.hi = fmax(axis.hi, hi[i]);
    }
    if (!isfinite(axis.lo) || !isfinite(axis.hi))
        axis.lo = 0, axis.hi = 1;
    double pad = 0.08 * (axis.hi - axis.lo);
    if (pad < 0.002) /* one tenth of a point would look like a wide range */
        pad = 0.002;
    axis.lo -= pad, axis.hi += pad;
    return axis;
}

static void put_percent_line(FILE *out, const char *css_class, double x1, double x2, int y1, int y2)
{
    fprintf(out, "<line class=\"%s\" x1=\"%.2f%%\" x2=\"%.2f%%\" y1=\"%d\" y2=\"%d\"/>", css_class,
            x1, x2, y1, y2);
}

static asd_ticks axis_ticks(const asd_fig_axis *axis)
{
    return asd_ticks_make(100 * axis->lo, 100 * axis->hi, 5);
}

void asd_fig_interval(FILE *out, const asd_fig_axis *axis, int style, double value, double lo,
                      double hi, const char *label)
{
    char css_class[32];
    fputs("<svg class=\"iv\" height=\"26\" role=\"img\" aria-label=\"", out);
    asd_markup_text(out, label);
    fputs("\">", out);
    asd_ticks ticks = axis_ticks(axis);
    for (int i = 0; i < ticks.n; ++i) {
        double x = axis_percent(axis, ticks.at[i] / 100);
        put_percent_line(out, "grid", x, x, -4, 30);
    }
    if (isfinite(axis->mark)) {
        double x = axis_percent(axis, axis->mark);
        put_percent_line(out, "zero", x, x, -4, 30);
    }
    style %= ASD_THEME_SYSTEMS;
    if (isfinite(lo) && isfinite(hi)) {
        double x1 = axis_percent(axis, lo), x2 = axis_percent(axis, hi);
        snprintf(css_class, sizeof css_class, "whisker s%d", style);
        put_percent_line(out, css_class, x1, x2, 13, 13);
        snprintf(css_class, sizeof css_class, "end s%d", style);
        put_percent_line(out, css_class, x1, x1, 7, 19);
        put_percent_line(out, css_class, x2, x2, 7, 19);
    }
    if (isfinite(value))
        fprintf(out, "<circle class=\"dot s%d\" cx=\"%.2f%%\" cy=\"13\" r=\"6\"/>", style,
                axis_percent(axis, value));
    fputs("</svg>", out);
}

void asd_fig_axis_row(FILE *out, const asd_fig_axis *axis)
{
    asd_ticks ticks = axis_ticks(axis);
    fputs("<svg class=\"iv\" height=\"20\" aria-hidden=\"true\">", out);
    for (int i = 0; i < ticks.n; ++i) {
        char   buf[32];
        double x = axis_percent(axis, ticks.at[i] / 100);
        put_percent_line(out, "grid", x, x, -4, 4);
        asd_tick_text(&ticks, i, buf);
        fprintf(out, "<text class=\"e-mid\" x=\"%.2f%%\" y=\"16\">%s%s</text>", x,
                axis->is_delta && ticks.at[i] > 0.5 * ticks.step ? "+" : "", buf);
    }
    fputs("</svg>", out);
}

/* --- panels of a machine: 200 x 200 units, about one unit a pixel --- */

enum { PANEL = 200, LEFT = 40, RIGHT = 5, TOP = 6, BOTTOM = 32 };
#define PLOT_W ((double)(PANEL - LEFT - RIGHT))
#define PLOT_H ((double)(PANEL - TOP - BOTTOM))

static void axis_titles(FILE *out, const char *x, const char *y)
{
    asd_svg_text(out, "", ASD_ANCHOR_MIDDLE, LEFT + PLOT_W / 2, PANEL - 4, x);
    fprintf(out, "<text class=\"e-mid\" transform=\"translate(9 %.0f)rotate(-90)\">",
            TOP + PLOT_H / 2);
    asd_markup_text(out, y);
    fputs("</text>", out);
}

void asd_fig_roc(FILE *out, const asd_fig_roc_curve *curve, int n_curves, double low_fpr,
                 const char *label)
{
    static const char *const names[] = {"0", "0.5", "1"};
    asd_svg_open(out, PANEL, PANEL, "panel", "%s", label);
    if (low_fpr > 0)
        asd_svg_rect(out, "low-fpr", LEFT, TOP, low_fpr * PLOT_W, PLOT_H);
    for (int i = 0; i < 3; ++i) {
        double x = LEFT + 0.5 * i * PLOT_W, y = TOP + PLOT_H - 0.5 * i * PLOT_H;
        asd_svg_line(out, "grid", x, TOP, x, TOP + PLOT_H);
        asd_svg_line(out, "grid", LEFT, y, LEFT + PLOT_W, y);
        asd_svg_text(out, "", i < 2 ? ASD_ANCHOR_MIDDLE : ASD_ANCHOR_END, x, TOP + PLOT_H + 13,
                     names[i]);
        asd_svg_text(out, "", ASD_ANCHOR_END, LEFT - 4, y + (i < 2 ? 4 : 7), names[i]);
    }
    asd_svg_line(out, "chance", LEFT, TOP + PLOT_H, LEFT + PLOT_W, TOP);
    asd_svg_line(out, "", LEFT, TOP + PLOT_H, LEFT + PLOT_W, TOP + PLOT_H);
    asd_svg_line(out, "", LEFT, TOP, LEFT, TOP + PLOT_H);
    const asd_svg_map map = {LEFT, PLOT_W, TOP + PLOT_H, -PLOT_H};
    for (int c = 0; c < n_curves; ++c) {
        char css_class[32];
        snprintf(css_class, sizeof css_class, "roc s%d", curve[c].style % ASD_THEME_SYSTEMS);
        asd_svg_path(out, css_class, &map, curve[c].fpr, curve[c].tpr, curve[c].n, 0);
    }
    axis_titles(out, "false-positive rate", "true-positive rate");
    asd_svg_close(out);
}

/* --- histograms --- */

enum { MAX_BINS = 40, STRIP_TOP = 17, STRIP_H = 64, STRIP_GAP = 22 };

typedef struct histogram {
    double  lo, hi;
    int     n_bins;
    double  share[2][2][MAX_BINS]; /* [target][anomaly][bin], shares of that class and domain */
    int64_t clips[2][2];
    double  highest;
    int64_t beyond; /* clips outside [lo, hi], counted in the end bins */
} histogram;

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The range of the bulk: a score counts as far off only if it lies further from the middle 98 %
 * than those are wide, so ordinary long tails are shown in full. sorted: (n) ascending, n > 0. */
static void choose_range(histogram *h, const double *sorted, int64_t n)
{
    double  low = sorted[n / 100], high = sorted[n - 1 - n / 100], width = high - low;
    int64_t first = 0, last = n - 1;
    while (width > 0 && low - sorted[first] > width)
        ++first;
    while (width > 0 && sorted[last] - high > width)
        --last;
    h->lo = sorted[first], h->hi = sorted[last];
    double least = 1e-9 * fmax(fabs(h->lo), fabs(h->hi)); /* below: rounding, not a spread */
    if (h->hi - h->lo <= least) {
        double half = h->hi ? 0.5 * fabs(h->hi) : 0.5;
        h->lo -= half, h->hi += half;
    }
}

static asd_status count(histogram *h, const asd_fig_scores *s)
{
    memset(h, 0, sizeof *h);
    double *sorted = malloc((size_t)(s->n ? s->n : 1) * sizeof *sorted);
    if (!sorted)
        return ASD_FAIL(ASD_E_OOM, "report: no memory for a histogram of %ld scores", (long)s->n);
    h->hi = 1;
    if (s->n) {
        memcpy(sorted, s->score, (size_t)s->n * sizeof *sorted);
        qsort(sorted, (size_t)s->n, sizeof *sorted, by_value);
        choose_range(h, sorted, s->n);
    }
    free(sorted);
    /* Grows as the cube root of n, like the rules of Scott and Freedman-Diaconis: 200 clips 20. */
    h->n_bins = (int)fmin(fmax(round(3.5 * cbrt((double)s->n)), 12), MAX_BINS);
    for (int64_t i = 0; i < s->n; ++i) {
        double at  = (s->score[i] - h->lo) / (h->hi - h->lo) * h->n_bins;
        int    bin = (int)fmin(fmax(floor(at), 0), h->n_bins - 1);
        h->beyond += s->score[i] < h->lo || s->score[i] > h->hi;
        h->clips[s->target[i]][s->anomaly[i]] += 1;
        h->share[s->target[i]][s->anomaly[i]][bin] += 1;
    }
    for (int k = 0; k < 4; ++k)
        for (int b = 0; b < h->n_bins; ++b) {
            double *share = &h->share[k / 2][k % 2][b];
            if (h->clips[k / 2][k % 2])
                *share /= (double)h->clips[k / 2][k % 2];
            h->highest = fmax(h->highest, *share);
        }
    return ASD_OK;
}

/* The outline of one class, each run of filled bins by itself: so nothing is drawn along the base
 * line where there are no clips. */
static void outline(FILE *out, const histogram *h, int target, int anomaly, double base)
{
    double            x[5 * MAX_BINS], y[5 * MAX_BINS];
    int               n     = 0;
    const double     *share = h->share[target][anomaly];
    const asd_svg_map map   = {LEFT, PLOT_W / h->n_bins, base, -STRIP_H / h->highest};
    for (int b = 0; b < h->n_bins; ++b) {
        if (!(share[b] > 0))
            continue;
        if (b == 0 || !(share[b - 1] > 0))
            x[n] = b, y[n++] = 0;
        x[n] = b, y[n++] = share[b];
        x[n] = b + 1, y[n++] = share[b];
        if (b + 1 == h->n_bins || !(share[b + 1] > 0)) {
            x[n] = b + 1, y[n++] = 0;
            x[n] = NAN, y[n++] = NAN;
        }
    }
    asd_svg_path(out, anomaly ? "anomaly" : "normal", &map, x, y, n, 0);
}

static void strip(FILE *out, const histogram *h, int target, double threshold)
{
    double top = STRIP_TOP + target * (STRIP_H + STRIP_GAP), base = top + STRIP_H;
    char   text[64], tick[32];
    snprintf(text, sizeof text, "%s", target ? "target" : "source");
    asd_svg_text(out, "strong", ASD_ANCHOR_START, LEFT, top - 6, text);
    asd_ticks ticks = asd_ticks_make(0, 100 * h->highest, 3);
    for (int i = 0; i < ticks.n; ++i) {
        double y = base - STRIP_H * ticks.at[i] / 100 / h->highest;
        asd_svg_line(out, "grid", LEFT, y, LEFT + PLOT_W, y);
        snprintf(text, sizeof text, "%s%s", asd_tick_text(&ticks, i, tick), i ? "%" : "");
        asd_svg_text(out, "", ASD_ANCHOR_END, LEFT - 3, y + 3.5, text);
    }
    for (int anomaly = 0; anomaly < 2; ++anomaly)
        if (h->clips[target][anomaly])
            outline(out, h, target, anomaly, base);
    asd_svg_line(out, "", LEFT, base, LEFT + PLOT_W, base);
    if (threshold >= h->lo && threshold <= h->hi) {
        double x = LEFT + PLOT_W * (threshold - h->lo) / (h->hi - h->lo);
        asd_svg_line(out, "threshold", x, top - 2, x, base);
    }
}

asd_status asd_fig_histogram(FILE *out, const asd_fig_scores *s, const char *label, int64_t *beyond)
{
    histogram h;
    ASD_TRY(count(&h, s));
    if (beyond)
        *beyond = h.beyond;
    if (!(h.highest > 0)) /* no clips: empty strips */
        h.highest = 1;
    asd_svg_open(out, PANEL, PANEL, "panel", "%s", label);
    for (int target = 0; target < 2; ++target)
        strip(out, &h, target, s->threshold);
    asd_ticks ticks = asd_ticks_make(h.lo, h.hi, 4);
    double    base  = STRIP_TOP + 2 * STRIP_H + STRIP_GAP;
    for (int i = 0; i < ticks.n; ++i) {
        char       text[32];
        double     at = (ticks.at[i] - h.lo) / (h.hi - h.lo), x = LEFT + PLOT_W * at;
        asd_anchor anchor = at > 0.9    ? ASD_ANCHOR_END
                            : at < 0.05 ? ASD_ANCHOR_START
                                        : ASD_ANCHOR_MIDDLE;
        asd_svg_line(out, "", x, base, x, base + 3);
        asd_svg_text(out, "", anchor, anchor == ASD_ANCHOR_END ? fmin(x + 4, PANEL) : x, base + 13,
                     asd_tick_text(&ticks, i, text));
    }
    asd_svg_text(out, "", ASD_ANCHOR_MIDDLE, LEFT + PLOT_W / 2, PANEL - 4, "score");
    asd_svg_close(out);
    return ASD_OK;
}
