/* canvas.h - what figures are drawn on: one set of strokes, two ways to put them down.
 *
 *   canvas_svg.h     an <svg> inside the page, coloured by the page's style sheet in every theme
 *   canvas_cairo.h   a figure of its own for a paper: SVG or PDF by cairo, words by pango
 *
 * A figure names what a stroke means (asd_ink) and never a colour; report_theme.c says once how
 * each ink looks, as CSS and as numbers. Units are CSS pixels (1/96 inch), x to the right, y down.
 *
 *   asd_draw_begin(c, ASD_FRAME_PANEL, 200, 200, "ROC of fan");
 *   asd_draw_line(c, ASD_INK_AXIS, 0, 40, 168, 195, 168);
 *   asd_draw_text(c, (asd_label){.text = "0.5", .x = 36, .y = 90, .anchor = ASD_ANCHOR_END});
 *   asd_draw_end(c);
 *
 * Drawing never fails: a stream or a surface keeps its first error, and whoever closes it asks.
 */
#ifndef ASD_SCORE_CANVAS_H
#define ASD_SCORE_CANVAS_H

#include <stddef.h>
#include <stdint.h>

/* Keep in step with asd_ink_styles in report_theme.c. `index` is the system for inks that show one
 * (colour and dash), the step of the heat scale for HEAT, and 0 for all others. */
typedef enum asd_ink {
    ASD_INK_AXIS,
    ASD_INK_GRID,
    ASD_INK_CHANCE,
    ASD_INK_ZERO,
    ASD_INK_THRESHOLD,
    ASD_INK_LOW_FPR,
    ASD_INK_NORMAL,
    ASD_INK_ANOMALY,
    ASD_INK_BAND,
    ASD_INK_LOSS,
    ASD_INK_LOSS_VAL,
    ASD_INK_WORST,
    ASD_INK_HEAT,
    ASD_INK_ROC,     /* from here on: of a system */
    ASD_INK_KEY,     /* a short stroke for legends */
    ASD_INK_WHISKER, /* an interval */
    ASD_INK_END,     /* its two ends */
    ASD_INK_DOT,     /* its value */
    ASD_NINKS
} asd_ink;

/* What a figure is part of: its text size, and whether x is in percent of the width it is given
 * ("fluid": words and strokes keep their size in every window). Keep in step with asd_frame_styles
 * in report_theme.c. */
typedef enum asd_frame {
    ASD_FRAME_KEY,   /* in a line of text */
    ASD_FRAME_ROW,   /* fluid; an interval */
    ASD_FRAME_PANEL, /* ROC, histogram */
    ASD_FRAME_CURVE, /* fluid; loss */
    ASD_FRAME_SCALE, /* colours of the heat map */
    ASD_FRAME_SHEET, /* a whole figure of its own */
    ASD_NFRAMES
} asd_frame;

typedef enum asd_anchor { ASD_ANCHOR_START, ASD_ANCHOR_MIDDLE, ASD_ANCHOR_END } asd_anchor;

/* One line of words with its base line at y. They may come from anywhere: what cannot be shown is
 * replaced (markup.h). */
typedef struct asd_label {
    const char *text;
    double      x, y;
    double      dx; /* added to x, in pixels also where x is in percent */
    asd_anchor  anchor;
    int         is_strong; /* in the colour of text, else muted */
    int         is_turned; /* reads upwards */
} asd_label;

/* From data to figure: px = x0 + x_scale x, py = y0 + y_scale y. */
typedef struct asd_map {
    double x0, x_scale, y0, y_scale;
} asd_map;

typedef struct asd_canvas asd_canvas;

typedef struct asd_canvas_ops {
    void (*begin)(asd_canvas *c, asd_frame frame, double width, double height, const char *label);
    void (*end)(asd_canvas *c);
    void (*line)(asd_canvas *c, asd_ink ink, int index, double x1, double y1, double x2, double y2);
    void (*rect)(asd_canvas *c, asd_ink ink, int index, double x, double y, double width,
                 double height);
    void (*circle)(asd_canvas *c, asd_ink ink, int index, double x, double y, double radius);
    void (*path)(asd_canvas *c, asd_ink ink, int index, const asd_map *map, const double *x,
                 const double *y, int64_t n, int closed);
    void (*text)(asd_canvas *c, const asd_label *l);
    double (*text_width)(asd_canvas *c, asd_frame frame, const char *text);
} asd_canvas_ops;

struct asd_canvas {
    const asd_canvas_ops *ops;
};

/* A frame of width x height; fluid ones take the width of their place and pass 0. label: what the
 * figure shows, for those who hear it; NULL for ornament. */
static inline void asd_draw_begin(asd_canvas *c, asd_frame frame, double width, double height,
                                  const char *label)
{
    c->ops->begin(c, frame, width, height, label);
}

static inline void asd_draw_end(asd_canvas *c)
{
    c->ops->end(c);
}

static inline void asd_draw_line(asd_canvas *c, asd_ink ink, int index, double x1, double y1,
                                 double x2, double y2)
{
    c->ops->line(c, ink, index, x1, y1, x2, y2);
}

static inline void asd_draw_rect(asd_canvas *c, asd_ink ink, int index, double x, double y,
                                 double width, double height)
{
    c->ops->rect(c, ink, index, x, y, width, height);
}

static inline void asd_draw_circle(asd_canvas *c, asd_ink ink, int index, double x, double y,
                                   double radius)
{
    c->ops->circle(c, ink, index, x, y, radius);
}

/* A path through x, y: (n), mapped. Where it meets a point that is not finite it breaks off and
 * begins anew. closed: each part goes back to its start. Mapped values stay within +-1e6. */
static inline void asd_draw_path(asd_canvas *c, asd_ink ink, int index, const asd_map *map,
                                 const double *x, const double *y, int64_t n, int closed)
{
    c->ops->path(c, ink, index, map, x, y, n, closed);
}

static inline void asd_draw_text(asd_canvas *c, asd_label label)
{
    c->ops->text(c, &label);
}

/* Pixels that the words take at the size of such a frame, measured with the font there is. */
static inline double asd_text_width(asd_canvas *c, asd_frame frame, const char *text)
{
    return c->ops->text_width(c, frame, text);
}

#endif
