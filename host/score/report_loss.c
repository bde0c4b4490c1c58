/* report_loss.c - the training-loss figure of report_figures.h.
 *
 * The figure is as wide as its place and keeps its height, so words stay readable on a phone. Value
 * labels stand left of x = 0, in a margin that the style sheet (or the sheet) keeps free.
 */
#include "score/report_figures.h"
#include "score/ticks.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { STRETCHES = ASD_FIG_LOSS_POINTS };
enum {
    TOP_PX    = 8,  /* above the curves: half a label */
    BOTTOM_PX = 36, /* below: labels and title */
    LABEL_PX  = 6   /* between a value label and its line */
};

/* A series thinned to at most STRETCHES points. */
typedef struct thin {
    double step[2 * STRETCHES], mean[2 * STRETCHES], least[2 * STRETCHES], most[2 * STRETCHES];
    int    n;
    int    is_thinned;
} thin;

/* Each stretch of equal step width with finite values gives a point at their mean; a stretch whose
 * values are all non-finite gives a gap. */
static void thin_out(const asd_fig_series *s, double first, double last, thin *t)
{
    t->n          = 0;
    t->is_thinned = s->n > STRETCHES;
    for (int64_t i = 0; i < s->n;) {
        int64_t end = i + 1;
        double  at  = floor((s->step[i] - first) / (last - first) * STRETCHES);
        while (t->is_thinned && end < s->n &&
               floor((s->step[end] - first) / (last - first) * STRETCHES) == at)
            ++end;
        double sum = 0, steps = 0, least = INFINITY, most = -INFINITY;
        int    finite = 0;
        for (int64_t k = i; k < end; ++k) {
            steps += s->step[k];
            if (!isfinite(s->value[k]))
                continue;
            ++finite, sum += s->value[k];
            least = fmin(least, s->value[k]), most = fmax(most, s->value[k]);
        }
        t->step[t->n]  = steps / (double)(end - i);
        t->mean[t->n]  = finite ? sum / finite : NAN;
        t->least[t->n] = finite ? least : NAN;
        t->most[t->n]  = finite ? most : NAN;
        ++t->n;
        i = end;
    }
}

typedef struct frame {
    double first, last; /* steps */
    double lo, hi;      /* values, in log10 when is_log */
    int    is_log;
} frame;

static void widen(const thin *t, double *lo, double *hi)
{
    for (int i = 0; i < t->n; ++i)
        if (isfinite(t->mean[i]))
            *lo = fmin(*lo, t->least[i]), *hi = fmax(*hi, t->most[i]);
}

static double scaled(const frame *f, double v)
{
    return f->is_log ? log10(v) : v;
}

/* A series thinned, with the frame that all curves of the figure share. */
typedef struct curves {
    frame f;
    thin  t[2]; /* loss, validation (n = 0 without) */
} curves;

/* The points that have a value, in arrays that the caller frees. */
static asd_status join(const asd_fig_series *s, asd_fig_series *out)
{
    double *step  = malloc((size_t)(s->n ? s->n : 1) * sizeof *step);
    double *value = malloc((size_t)(s->n ? s->n : 1) * sizeof *value);
    *out          = (asd_fig_series){step, value, 0};
    if (!step || !value)
        return ASD_FAIL(ASD_E_OOM, "report: no memory for a curve");
    for (int64_t i = 0; i < s->n; ++i)
        if (isfinite(s->value[i]))
            step[out->n] = s->step[i], value[out->n++] = s->value[i];
    return ASD_OK;
}

static asd_status prepare(const asd_fig_series *loss, const asd_fig_series *val, curves **out)
{
    asd_fig_series both[2] = {*loss, {NULL, NULL, 0}};
    asd_status     st      = ASD_OK;
    curves        *p = *out = malloc(sizeof *p);
    if (!p)
        return ASD_FAIL(ASD_E_OOM, "report: no memory for a curve");
    frame *f = &p->f;
    *f       = (frame){INFINITY, -INFINITY, INFINITY, -INFINITY, 0};
    if (val)
        ASD_GO(done, st, join(val, &both[1]));
    for (int k = 0; k < 2; ++k)
        if (both[k].n) {
            f->first = fmin(f->first, both[k].step[0]);
            f->last  = fmax(f->last, both[k].step[both[k].n - 1]);
        }
    if (!(f->last > f->first)) /* one step, or none */
        f->first = isfinite(f->first) ? f->first - 1 : 0, f->last = f->first + 2;
    for (int k = 0; k < 2; ++k) {
        thin_out(&both[k], f->first, f->last, &p->t[k]);
        widen(&p->t[k], &f->lo, &f->hi);
    }
    if (!isfinite(f->lo))
        f->lo = 0, f->hi = 1;
    f->is_log = f->lo > 0 && f->hi > 20 * f->lo;
    if (f->is_log)
        f->lo = log10(f->lo), f->hi = log10(f->hi);
    double pad = 0.05 * (f->hi - f->lo);
    if (!(pad > 0))
        pad = f->hi ? 0.05 * fabs(f->hi) : 0.5;
    f->lo -= pad, f->hi += pad;
done:
    free((double *)both[1].step);
    free((double *)both[1].value);
    return st;
}

static void draw(asd_canvas *c, const frame *f, thin *t, asd_ink ink, double plot)
{
    const double  xs = 100 / (f->last - f->first), ys = -plot / (f->hi - f->lo);
    const asd_map map = {-f->first * xs, xs, TOP_PX - f->hi * ys, ys};
    double        x[4 * STRETCHES], y[4 * STRETCHES];
    for (int i = 0; i < t->n; ++i) {
        t->mean[i]  = scaled(f, t->mean[i]);
        t->least[i] = scaled(f, t->least[i]);
        t->most[i]  = scaled(f, t->most[i]);
    }
    /* The band of each unbroken run: along the least values and back along the greatest. */
    for (int from = 0; t->is_thinned && from < t->n;) {
        int to = from, m = 0;
        while (to < t->n && isfinite(t->mean[to]))
            ++to;
        for (int i = from; i < to; ++i, ++m)
            x[m] = t->step[i], y[m] = t->least[i];
        for (int i = to - 1; i >= from; --i, ++m)
            x[m] = t->step[i], y[m] = t->most[i];
        if (m > 2)
            asd_draw_path(c, ASD_INK_BAND, 0, &map, x, y, m, 1);
        from = to + 1;
    }
    asd_draw_path(c, ink, 0, &map, t->step, t->mean, t->n, 0);
}

static asd_ticks value_ticks(const frame *f)
{
    /* is_log needs a factor of 20, so there are always ticks */
    return f->is_log ? asd_ticks_log(pow(10, f->lo), pow(10, f->hi))
                     : asd_ticks_make(f->lo, f->hi, 4);
}

static void put_axes(asd_canvas *c, const frame *f, int height)
{
    double    plot  = height - TOP_PX - BOTTOM_PX;
    asd_ticks ticks = value_ticks(f);
    char      text[32];
    for (int i = 0; i < ticks.n; ++i) {
        double y = TOP_PX + plot * (f->hi - scaled(f, ticks.at[i])) / (f->hi - f->lo);
        asd_draw_line(c, ASD_INK_GRID, 0, 0, y, 100, y);
        asd_draw_text(c, (asd_label){.text   = asd_tick_text(&ticks, i, text),
                                     .y      = y + 4,
                                     .dx     = -LABEL_PX,
                                     .anchor = ASD_ANCHOR_END});
    }
    asd_draw_line(c, ASD_INK_AXIS, 0, 0, TOP_PX + plot, 100, TOP_PX + plot);
    ticks = asd_ticks_make(f->first, f->last, 4);
    for (int i = 0; i < ticks.n; ++i) {
        double at = 100 * (ticks.at[i] - f->first) / (f->last - f->first);
        asd_draw_text(c, (asd_label){.text   = asd_tick_text(&ticks, i, text),
                                     .x      = at,
                                     .y      = TOP_PX + plot + 15,
                                     .anchor = at < 5    ? ASD_ANCHOR_START
                                               : at > 92 ? ASD_ANCHOR_END
                                                         : ASD_ANCHOR_MIDDLE});
    }
    asd_draw_text(c, (asd_label){.text = f->is_log ? "step (loss on a logarithmic scale)" : "step",
                                 .x    = 50,
                                 .y    = height - 5,
                                 .anchor = ASD_ANCHOR_MIDDLE});
}

asd_status asd_fig_loss(asd_canvas *c, const asd_fig_series *loss, const asd_fig_series *val,
                        int height, const char *label)
{
    curves    *p;
    asd_status st = prepare(loss, val, &p);
    if (!st) {
        double plot = height - TOP_PX - BOTTOM_PX;
        asd_draw_begin(c, ASD_FRAME_CURVE, 0, height, label);
        put_axes(c, &p->f, height);
        draw(c, &p->f, &p->t[0], ASD_INK_LOSS, plot);
        if (p->t[1].n)
            draw(c, &p->f, &p->t[1], ASD_INK_LOSS_VAL, plot);
        asd_draw_end(c);
    }
    free(p);
    return st;
}

asd_status asd_fig_loss_margin(asd_canvas *c, const asd_fig_series *loss, const asd_fig_series *val,
                               double *margin)
{
    curves    *p;
    asd_status st = prepare(loss, val, &p);
    *margin       = 0;
    if (!st) {
        asd_ticks ticks = value_ticks(&p->f);
        char      text[32];
        for (int i = 0; i < ticks.n; ++i)
            *margin = fmax(*margin, LABEL_PX + asd_text_width(c, ASD_FRAME_CURVE,
                                                              asd_tick_text(&ticks, i, text)));
    }
    free(p);
    return st;
}
