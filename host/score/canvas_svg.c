/* canvas_svg.c - see canvas_svg.h. */
#include "score/canvas_svg.h"

#include "base/utf8.h"
#include "score/markup.h"
#include "score/report_theme.h"

#include <math.h>

/* A path cannot be given in percent: it lives in an inner <svg> that stretches, in so many units.
 * Rounded to tenths they are below a device pixel in every window. */
enum { STRETCHED = 1000 };

/* Tenths of a pixel are below a device pixel at every size the page shows. */
static long tenths(double v)
{
    return lround(v * 10);
}

static void put_tenths(FILE *out, long t)
{
    long whole = t / 10, rest = t % 10;
    if (t < 0) {
        fputc('-', out);
        whole = -whole, rest = -rest;
    }
    if (whole || !rest)
        fprintf(out, "%ld", whole);
    if (rest)
        fprintf(out, ".%ld", rest);
}

static void put_y(FILE *out, const char *name, double value)
{
    fprintf(out, " %s=\"", name);
    put_tenths(out, tenths(value));
    fputc('"', out);
}

static void put_x(const asd_svg *s, const char *name, double value)
{
    if (asd_frame_styles[s->frame].is_fluid)
        fprintf(s->out, " %s=\"%.2f%%\"", name, value);
    else
        put_y(s->out, name, value);
}

static void put_class(FILE *out, const char *element, asd_ink ink, int index)
{
    const char *name = asd_ink_styles[ink].css_class;
    fprintf(out, "<%s", element);
    if (ink >= ASD_INK_ROC)
        fprintf(out, " class=\"%s s%d\"", name, index % ASD_THEME_SYSTEMS);
    else if (ink == ASD_INK_HEAT)
        fprintf(out, " class=\"%s%d\"", name, index);
    else if (*name)
        fprintf(out, " class=\"%s\"", name);
}

static void svg_begin(asd_canvas *c, asd_frame frame, double width, double height,
                      const char *label)
{
    asd_svg *s = (asd_svg *)c;
    s->frame = frame, s->height = height;
    fprintf(s->out, "<svg class=\"%s\"", asd_frame_styles[frame].css_class);
    if (asd_frame_styles[frame].is_fluid) {
        put_y(s->out, "height", height);
    } else {
        fputs(" viewBox=\"0 0 ", s->out);
        put_tenths(s->out, tenths(width));
        fputc(' ', s->out);
        put_tenths(s->out, tenths(height));
        fputc('"', s->out);
    }
    if (label) {
        fputs(" role=\"img\" aria-label=\"", s->out);
        asd_markup_text(s->out, label);
        fputs("\">", s->out);
    } else {
        fputs(" aria-hidden=\"true\">", s->out);
    }
}

static void svg_end(asd_canvas *c)
{
    fputs("</svg>", ((asd_svg *)c)->out);
}

static void svg_line(asd_canvas *c, asd_ink ink, int index, double x1, double y1, double x2,
                     double y2)
{
    asd_svg *s = (asd_svg *)c;
    put_class(s->out, "line", ink, index);
    put_x(s, "x1", x1);
    put_x(s, "x2", x2);
    put_y(s->out, "y1", y1);
    put_y(s->out, "y2", y2);
    fputs("/>", s->out);
}

static void svg_rect(asd_canvas *c, asd_ink ink, int index, double x, double y, double width,
                     double height)
{
    asd_svg *s = (asd_svg *)c;
    put_class(s->out, "rect", ink, index);
    put_x(s, "x", x);
    put_y(s->out, "y", y);
    put_x(s, "width", width);
    put_y(s->out, "height", height);
    fputs("/>", s->out);
}

static void svg_circle(asd_canvas *c, asd_ink ink, int index, double x, double y, double radius)
{
    asd_svg *s = (asd_svg *)c;
    put_class(s->out, "circle", ink, index);
    put_x(s, "cx", x);
    put_y(s->out, "cy", y);
    put_y(s->out, "r", radius);
    fputs("/>", s->out);
}

/* One relative step: h and v where they do, which is most of a ROC curve. */
static void put_step(FILE *out, long dx, long dy)
{
    if (!dx && !dy)
        return;
    if (!dy) {
        fputc('h', out);
        put_tenths(out, dx);
    } else if (!dx) {
        fputc('v', out);
        put_tenths(out, dy);
    } else {
        fputc('l', out);
        put_tenths(out, dx);
        if (dy >= 0) /* a minus sign parts the numbers by itself */
            fputc(' ', out);
        put_tenths(out, dy);
    }
}

/* Rounded to tenths, with points on a straight run left out. x_more: units per unit of the map. */
static void put_points(FILE *out, const asd_map *map, double x_more, const double *x,
                       const double *y, int64_t n, int closed)
{
    int  drawing = 0;
    long px = 0, py = 0; /* the last corner written */
    long dx = 0, dy = 0; /* the run since then, not yet written */
    for (int64_t i = 0; i < n; ++i) {
        if (!isfinite(x[i]) || !isfinite(y[i])) {
            put_step(out, dx, dy);
            if (drawing && closed)
                fputc('z', out);
            dx = dy = drawing = 0;
            continue;
        }
        long qx = tenths(x_more * (map->x0 + map->x_scale * x[i]));
        long qy = tenths(map->y0 + map->y_scale * y[i]);
        if (!drawing) {
            fputc('M', out);
            put_tenths(out, qx);
            fputc(' ', out);
            put_tenths(out, qy);
            px = qx, py = qy, drawing = 1;
            continue;
        }
        long ex = qx - px - dx, ey = qy - py - dy; /* this point from the end of the run */
        int  on = dx * ey == dy * ex && dx * ex >= 0 && dy * ey >= 0;
        if (!on) {
            put_step(out, dx, dy);
            px += dx, py += dy;
            dx = dy = 0;
        }
        dx += ex, dy += ey;
    }
    put_step(out, dx, dy);
    if (drawing && closed)
        fputc('z', out);
}

static void svg_path(asd_canvas *c, asd_ink ink, int index, const asd_map *map, const double *x,
                     const double *y, int64_t n, int closed)
{
    asd_svg *s        = (asd_svg *)c;
    int      is_fluid = asd_frame_styles[s->frame].is_fluid;
    if (is_fluid) {
        fprintf(s->out, "<svg width=\"100%%\" viewBox=\"0 0 %d ", STRETCHED);
        put_tenths(s->out, tenths(s->height));
        fputs("\" preserveAspectRatio=\"none\"", s->out);
        put_y(s->out, "height", s->height);
        fputc('>', s->out);
    }
    put_class(s->out, "path", ink, index);
    fputs(" d=\"", s->out);
    put_points(s->out, map, is_fluid ? STRETCHED / 100 : 1, x, y, n, closed);
    fputs(is_fluid ? "\"/></svg>" : "\"/>", s->out);
}

static void svg_text(asd_canvas *c, const asd_label *l)
{
    static const char *const anchors[] = {"", "e-mid", "e-end"};

    asd_svg    *s      = (asd_svg *)c;
    const char *anchor = anchors[l->anchor];
    fputs("<text", s->out);
    if (*anchor || l->is_strong)
        fprintf(s->out, " class=\"%s%s%s\"", l->is_strong ? "strong" : "",
                *anchor && l->is_strong ? " " : "", anchor);
    if (l->is_turned) { /* turned text stands in fixed frames only */
        fputs(" transform=\"translate(", s->out);
        put_tenths(s->out, tenths(l->x + l->dx));
        fputc(' ', s->out);
        put_tenths(s->out, tenths(l->y));
        fputs(")rotate(-90)\"", s->out);
    } else {
        put_x(s, "x", l->x);
        if (l->dx != 0)
            put_y(s->out, "dx", l->dx);
        put_y(s->out, "y", l->y);
    }
    fputc('>', s->out);
    asd_markup_text(s->out, l->text);
    fputs("</text>", s->out);
}

static double svg_text_width(asd_canvas *c, asd_frame frame, const char *text)
{
    const asd_frame_style *style = &asd_frame_styles[frame];
    asd_svg               *s     = (asd_svg *)c;
    double                 px    = fmax(style->text_px, style->narrow_px);
    return s->font ? asd_font_width(s->font, px, text) : 0.65 * px * (double)asd_utf8_length(text);
}

asd_canvas *asd_svg_on(asd_svg *svg, FILE *out, asd_font *font)
{
    static const asd_canvas_ops ops = {svg_begin,  svg_end,  svg_line, svg_rect,
                                       svg_circle, svg_path, svg_text, svg_text_width};

    *svg = (asd_svg){.canvas = {&ops}, .out = out, .font = font};
    return &svg->canvas;
}
