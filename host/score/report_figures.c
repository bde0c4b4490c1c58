/* report_figures.c - see report_figures.h. The curves over training steps are in report_loss.c. */
#include "score/report_figures.h"
#include "score/report_theme.h"
#include "score/ticks.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void asd_fig_key(asd_canvas *c, int style)
{
    asd_draw_begin(c, ASD_FRAME_KEY, ASD_FIG_KEY_W, ASD_FIG_KEY_H, NULL);
    asd_draw_line(c, ASD_INK_KEY, style, 0, 5, ASD_FIG_KEY_W, 5);
    asd_draw_end(c);
}

void asd_fig_swatch(asd_canvas *c, asd_ink ink)
{
    asd_draw_begin(c, ASD_FRAME_KEY, ASD_FIG_KEY_W, ASD_FIG_KEY_H, NULL);
    if (ink == ASD_INK_THRESHOLD)
        asd_draw_line(c, ink, 0, 13, 0, 13, ASD_FIG_KEY_H);
    else if (!asd_ink_styles[ink].fill)
        asd_draw_line(c, ink, 0, 0, 5, ASD_FIG_KEY_W, 5);
    else
        asd_draw_rect(c, ink, 0, 1, 1, 24, 8);
    asd_draw_end(c);
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
    asd_fig_axis axis = {mark, mark, mark, is_delta, 5};
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

static asd_ticks axis_ticks(const asd_fig_axis *axis)
{
    return asd_ticks_make(100 * axis->lo, 100 * axis->hi, axis->want);
}

static void axis_label(const asd_fig_axis *axis, const asd_ticks *ticks, int i, char out[40])
{
    char buf[32];
    snprintf(out, 40, "%s%s", axis->is_delta && ticks->at[i] > 0.5 * ticks->step ? "+" : "",
             asd_tick_text(ticks, i, buf));
}

enum { LABEL_GAP = 6 }; /* least room between two labels of an axis */

void asd_fig_axis_thin(asd_canvas *c, asd_fig_axis *axis, double width)
{
    for (; axis->want > 2; --axis->want) {
        asd_ticks ticks = axis_ticks(axis);
        double    end   = -INFINITY;
        int       fits  = 1;
        for (int i = 0; i < ticks.n; ++i) {
            char text[40];
            axis_label(axis, &ticks, i, text);
            double at   = axis_percent(axis, ticks.at[i] / 100) / 100 * width;
            double half = 0.5 * asd_text_width(c, ASD_FRAME_ROW, text);
            fits &= at - half >= end;
            end = at + half + LABEL_GAP;
        }
        if (fits)
            return;
    }
}

void asd_fig_interval(asd_canvas *c, const asd_fig_axis *axis, int style, double value, double lo,
                      double hi, const char *label)
{
    asd_draw_begin(c, ASD_FRAME_ROW, 0, ASD_FIG_ROW_H, label);
    asd_ticks ticks = axis_ticks(axis);
    for (int i = 0; i < ticks.n; ++i) {
        double x = axis_percent(axis, ticks.at[i] / 100);
        asd_draw_line(c, ASD_INK_GRID, 0, x, -4, x, 30);
    }
    if (isfinite(axis->mark)) {
        double x = axis_percent(axis, axis->mark);
        asd_draw_line(c, ASD_INK_ZERO, 0, x, -4, x, 30);
    }
    if (isfinite(lo) && isfinite(hi)) {
        double x1 = axis_percent(axis, lo), x2 = axis_percent(axis, hi);
        asd_draw_line(c, ASD_INK_WHISKER, style, x1, 13, x2, 13);
        asd_draw_line(c, ASD_INK_END, style, x1, 7, x1, 19);
        asd_draw_line(c, ASD_INK_END, style, x2, 7, x2, 19);
    }
    if (isfinite(value))
        asd_draw_circle(c, ASD_INK_DOT, style, axis_percent(axis, value), 13, 6);
    asd_draw_end(c);
}

void asd_fig_axis_row(asd_canvas *c, const asd_fig_axis *axis)
{
    asd_ticks ticks = axis_ticks(axis);
    asd_draw_begin(c, ASD_FRAME_ROW, 0, ASD_FIG_AXIS_H, NULL);
    for (int i = 0; i < ticks.n; ++i) {
        char   text[40];
        double x = axis_percent(axis, ticks.at[i] / 100);
        axis_label(axis, &ticks, i, text);
        asd_draw_line(c, ASD_INK_GRID, 0, x, -4, x, 4);
        asd_draw_text(c, (asd_label){.text = text, .x = x, .y = 16, .anchor = ASD_ANCHOR_MIDDLE});
    }
    asd_draw_end(c);
}

/* --- panels of a machine: 200 x 200 units, about one unit a pixel --- */

enum { PANEL = ASD_FIG_PANEL, LEFT = 40, RIGHT = 5, TOP = 6, BOTTOM = 32 };
#define PLOT_W ((double)(PANEL - LEFT - RIGHT))
#define PLOT_H ((double)(PANEL - TOP - BOTTOM))

static void put_word(asd_canvas *c, asd_anchor anchor, double x, double y, const char *text)
{
    asd_draw_text(c, (asd_label){.text = text, .x = x, .y = y, .anchor = anchor});
}

static void axis_titles(asd_canvas *c, const char *x, const char *y)
{
    put_word(c, ASD_ANCHOR_MIDDLE, LEFT + PLOT_W / 2, PANEL - 4, x);
    asd_draw_text(
        c,
        (asd_label){
            .text = y, .x = 9, .y = TOP + PLOT_H / 2, .anchor = ASD_ANCHOR_MIDDLE, .is_turned = 1});
}

void asd_fig_roc(asd_canvas *c, const asd_fig_roc_curve *curve, int n_curves, double low_fpr,
                 const char *label)
{
    static const char *const names[] = {"0", "0.5", "1"};
    asd_draw_begin(c, ASD_FRAME_PANEL, PANEL, PANEL, label);
    if (low_fpr > 0)
        asd_draw_rect(c, ASD_INK_LOW_FPR, 0, LEFT, TOP, low_fpr * PLOT_W, PLOT_H);
    for (int i = 0; i < 3; ++i) {
        double x = LEFT + 0.5 * i * PLOT_W, y = TOP + PLOT_H - 0.5 * i * PLOT_H;
        asd_draw_line(c, ASD_INK_GRID, 0, x, TOP, x, TOP + PLOT_H);
        asd_draw_line(c, ASD_INK_GRID, 0, LEFT, y, LEFT + PLOT_W, y);
        put_word(c, i < 2 ? ASD_ANCHOR_MIDDLE : ASD_ANCHOR_END, x, TOP + PLOT_H + 13, names[i]);
        put_word(c, ASD_ANCHOR_END, LEFT - 4, y + (i < 2 ? 4 : 7), names[i]);
    }
    asd_draw_line(c, ASD_INK_CHANCE, 0, LEFT, TOP + PLOT_H, LEFT + PLOT_W, TOP);
    asd_draw_line(c, ASD_INK_AXIS, 0, LEFT, TOP + PLOT_H, LEFT + PLOT_W, TOP + PLOT_H);
    asd_draw_line(c, ASD_INK_AXIS, 0, LEFT, TOP, LEFT, TOP + PLOT_H);
    const asd_map map = {LEFT, PLOT_W, TOP + PLOT_H, -PLOT_H};
    for (int k = 0; k < n_curves; ++k)
        asd_draw_path(c, ASD_INK_ROC, curve[k].style, &map, curve[k].fpr, curve[k].tpr, curve[k].n,
                      0);
    axis_titles(c, "false-positive rate", "true-positive rate");
    asd_draw_end(c);
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
static void outline(asd_canvas *c, const histogram *h, int target, int anomaly, double base)
{
    double        x[5 * MAX_BINS], y[5 * MAX_BINS];
    int           n     = 0;
    const double *share = h->share[target][anomaly];
    const asd_map map   = {LEFT, PLOT_W / h->n_bins, base, -STRIP_H / h->highest};
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
    asd_draw_path(c, anomaly ? ASD_INK_ANOMALY : ASD_INK_NORMAL, 0, &map, x, y, n, 0);
}

static void strip(asd_canvas *c, const histogram *h, int target, double threshold)
{
    double top = STRIP_TOP + target * (STRIP_H + STRIP_GAP), base = top + STRIP_H;
    char   text[64], tick[32];
    asd_draw_text(
        c,
        (asd_label){.text = target ? "target" : "source", .x = LEFT, .y = top - 6, .is_strong = 1});
    asd_ticks ticks = asd_ticks_make(0, 100 * h->highest, 3);
    for (int i = 0; i < ticks.n; ++i) {
        double y = base - STRIP_H * ticks.at[i] / 100 / h->highest;
        asd_draw_line(c, ASD_INK_GRID, 0, LEFT, y, LEFT + PLOT_W, y);
        snprintf(text, sizeof text, "%s%s", asd_tick_text(&ticks, i, tick), i ? "%" : "");
        put_word(c, ASD_ANCHOR_END, LEFT - 3, y + 3.5, text);
    }
    for (int anomaly = 0; anomaly < 2; ++anomaly)
        if (h->clips[target][anomaly])
            outline(c, h, target, anomaly, base);
    asd_draw_line(c, ASD_INK_AXIS, 0, LEFT, base, LEFT + PLOT_W, base);
    if (threshold >= h->lo && threshold <= h->hi) {
        double x = LEFT + PLOT_W * (threshold - h->lo) / (h->hi - h->lo);
        asd_draw_line(c, ASD_INK_THRESHOLD, 0, x, top - 2, x, base);
    }
}

/* The label of a score tick: centred under it, but kept clear of the share labels on the left and
 * inside the panel on the right. */
typedef struct score_label {
    char   text[32];
    double tick; /* x */
    double begin, end;
    int    is_left, is_right; /* moved inwards */
} score_label;

static score_label label_of(asd_canvas *c, const histogram *h, const asd_ticks *ticks, int i)
{
    score_label l;
    asd_tick_text(ticks, i, l.text);
    double width = asd_text_width(c, ASD_FRAME_PANEL, l.text), least = LEFT - LABEL_GAP;
    l.tick     = LEFT + PLOT_W * (ticks->at[i] - h->lo) / (h->hi - h->lo);
    l.begin    = l.tick - 0.5 * width;
    l.is_right = l.begin + width > PANEL;
    l.is_left  = !l.is_right && l.begin < least;
    l.begin    = l.is_right ? PANEL - width : l.is_left ? least : l.begin;
    l.end      = l.begin + width;
    return l;
}

/* As many ticks as have room for their labels, four or so at most. */
static asd_ticks score_ticks(asd_canvas *c, const histogram *h)
{
    for (int want = 4;; --want) {
        asd_ticks ticks = asd_ticks_make(h->lo, h->hi, want);
        double    last  = -INFINITY;
        int       fits  = 1;
        for (int i = 0; i < ticks.n; ++i) {
            score_label l = label_of(c, h, &ticks, i);
            fits &= l.begin >= last;
            last = l.end + LABEL_GAP;
        }
        if (fits)
            return ticks;
        if (want == 2) { /* long labels: the first alone, which is better than an illegible row */
            ticks.n = 1;
            return ticks;
        }
    }
}

asd_status asd_fig_histogram(asd_canvas *c, const asd_fig_scores *s, const char *label,
                             int64_t *beyond)
{
    histogram h;
    ASD_TRY(count(&h, s));
    if (beyond)
        *beyond = h.beyond;
    if (!(h.highest > 0)) /* no clips: empty strips */
        h.highest = 1;
    asd_draw_begin(c, ASD_FRAME_PANEL, PANEL, PANEL, label);
    for (int target = 0; target < 2; ++target)
        strip(c, &h, target, s->threshold);
    asd_ticks ticks = score_ticks(c, &h);
    double    base  = STRIP_TOP + 2 * STRIP_H + STRIP_GAP;
    for (int i = 0; i < ticks.n; ++i) {
        score_label l = label_of(c, &h, &ticks, i);
        asd_draw_line(c, ASD_INK_AXIS, 0, l.tick, base, l.tick, base + 3);
        /* A label moved inwards hangs on its edge, whatever font the reader has. */
        if (l.is_right)
            put_word(c, ASD_ANCHOR_END, PANEL, base + 13, l.text);
        else if (l.is_left)
            put_word(c, ASD_ANCHOR_START, l.begin, base + 13, l.text);
        else
            put_word(c, ASD_ANCHOR_MIDDLE, l.tick, base + 13, l.text);
    }
    put_word(c, ASD_ANCHOR_MIDDLE, LEFT + PLOT_W / 2, PANEL - 4, "score");
    asd_draw_end(c);
    return ASD_OK;
}

/* --- heat scale --- */

void asd_fig_heat_scale(asd_canvas *c, const char *label)
{
    static const char *const names[] = {"0", "25", "50", "75", "100"};
    asd_draw_begin(c, ASD_FRAME_SCALE, ASD_FIG_SCALE_W, ASD_FIG_SCALE_H, label);
    for (int i = 0; i < ASD_THEME_HEAT; ++i)
        asd_draw_rect(c, ASD_INK_HEAT, i, 10 + 12 * i, 0, 12.2, 14);
    for (int i = 0; i <= 4; ++i)
        put_word(c, ASD_ANCHOR_MIDDLE, 10 + 60 * i, 27, names[i]);
    asd_draw_end(c);
}
