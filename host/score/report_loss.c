/* report_loss.c - the training-loss figure of report_figures.h.
 *
 * The figure is as wide as its place and keeps its height, so words stay readable on a phone: the
 * curve lives in an inner <svg> that stretches (strokes do not), everything else is placed in
 * percent. Value labels stand left of x = 0, in a margin that the style sheet keeps free.
 */
#include "score/report_figures.h"
#include "score/report_svg.h"

#include <math.h>
#include <stdlib.h>

enum { STRETCHES = 300 };
enum {
    TOP_PX    = 8,
    BOTTOM_PX = 36
}; /* above and below the curves: half a label; labels and title */

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

static void draw(FILE *out, const frame *f, thin *t, const char *css_class)
{
    const double      xs = 1000 / (f->last - f->first), ys = -1000 / (f->hi - f->lo);
    const asd_svg_map map = {-f->first * xs, xs, -f->hi * ys, ys};
    double            x[4 * STRETCHES], y[4 * STRETCHES];
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
            asd_svg_path(out, "band", &map, x, y, m, 1);
        from = to + 1;
    }
    asd_svg_path(out, css_class, &map, t->step, t->mean, t->n, 0);
}

static void put_axes(FILE *out, const frame *f, int height)
{
    int       plot = height - TOP_PX - BOTTOM_PX;
    asd_ticks ticks;
    char      text[32];
    /* is_log needs a factor of 20, so there are always ticks */
    ticks =
        f->is_log ? asd_ticks_log(pow(10, f->lo), pow(10, f->hi)) : asd_ticks_make(f->lo, f->hi, 4);
    for (int i = 0; i < ticks.n; ++i) {
        double at = (f->hi - scaled(f, ticks.at[i])) / (f->hi - f->lo);
        double y  = TOP_PX + plot * at;
        fprintf(out, "<line class=\"grid\" x1=\"0\" x2=\"100%%\" y1=\"%.1f\" y2=\"%.1f\"/>", y, y);
        fprintf(out, "<text class=\"e-end\" x=\"-6\" y=\"%.1f\">%s</text>", y + 4,
                asd_tick_text(&ticks, i, text));
    }
    fprintf(out, "<line x1=\"0\" x2=\"100%%\" y1=\"%d\" y2=\"%d\"/>", TOP_PX + plot, TOP_PX + plot);
    ticks = asd_ticks_make(f->first, f->last, 4);
    for (int i = 0; i < ticks.n; ++i) {
        double      at     = 100 * (ticks.at[i] - f->first) / (f->last - f->first);
        const char *anchor = at < 5 ? "" : at > 92 ? " class=\"e-end\"" : " class=\"e-mid\"";
        fprintf(out, "<text%s x=\"%.2f%%\" y=\"%d\">%s</text>", anchor, at, TOP_PX + plot + 15,
                asd_tick_text(&ticks, i, text));
    }
    fprintf(out, "<text class=\"e-mid\" x=\"50%%\" y=\"%d\">step%s</text>", height - 5,
            f->is_log ? " (loss on a logarithmic scale)" : "");
}

asd_status asd_fig_loss(FILE *out, const asd_fig_series *loss, const asd_fig_series *val,
                        int height, const char *label)
{
    const asd_fig_series none = {NULL, NULL, 0};
    frame                f    = {INFINITY, -INFINITY, INFINITY, -INFINITY, 0};
    thin                *t    = malloc(2 * sizeof *t);
    if (!t)
        return ASD_FAIL(ASD_E_OOM, "report: no memory for a curve");
    if (!val)
        val = &none;
    const asd_fig_series *both[2] = {loss, val};
    for (int k = 0; k < 2; ++k)
        if (both[k]->n) {
            f.first = fmin(f.first, both[k]->step[0]);
            f.last  = fmax(f.last, both[k]->step[both[k]->n - 1]);
        }
    if (!(f.last > f.first)) /* one step, or none */
        f.first = isfinite(f.first) ? f.first - 1 : 0, f.last = f.first + 2;
    for (int k = 0; k < 2; ++k) {
        thin_out(both[k], f.first, f.last, &t[k]);
        widen(&t[k], &f.lo, &f.hi);
    }
    if (!isfinite(f.lo))
        f.lo = 0, f.hi = 1;
    f.is_log = f.lo > 0 && f.hi > 20 * f.lo;
    if (f.is_log)
        f.lo = log10(f.lo), f.hi = log10(f.hi);
    double pad = 0.05 * (f.hi - f.lo);
    if (!(pad > 0))
        pad = f.hi ? 0.05 * fabs(f.hi) : 0.5;
    f.lo -= pad, f.hi += pad;

    fprintf(out, "<svg class=\"curve\" height=\"%d\" role=\"img\" aria-label=\"", height);
    asd_markup_text(out, label);
    fputs("\">", out);
    put_axes(out, &f, height);
    fprintf(out,
            "<svg x=\"0\" y=\"%d\" width=\"100%%\" height=\"%d\" viewBox=\"0 0 1000 1000\" "
            "preserveAspectRatio=\"none\">",
            TOP_PX, height - TOP_PX - BOTTOM_PX);
    draw(out, &f, &t[0], "loss");
    if (val->n)
        draw(out, &f, &t[1], "loss-val");
    fputs("</svg></svg>\n", out);
    free(t);
    return ASD_OK;
}
