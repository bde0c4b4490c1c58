/* report_svg.h - the pen of the report: escaped text, SVG shapes, axis ticks.
 *
 * Why the SVG is written here and not by cairo. Cairo bakes colours and turns every letter into a
 * glyph outline: the page could then not follow the reader's light or dark setting, its words could
 * not be selected, searched or read aloud, each figure would carry its own font, and a machine
 * without fonts could make no report. Here shapes carry class names ("s0", "normal", "grid"), one
 * style sheet gives them colours per theme (report_theme.c), and words stay <text> in the reader's
 * own sans-serif font. No figure needs the width of a word: long names stand in HTML beside the
 * figure, where the browser wraps them. So the bytes depend on the data alone, never on fonts that
 * happen to be installed.
 *
 * Everything goes to a stdio stream whose error flag the caller checks at the end (base/file.h
 * does). Coordinates are user units of the figure's viewBox, x to the right, y down.
 */
#ifndef ASD_SCORE_REPORT_SVG_H
#define ASD_SCORE_REPORT_SVG_H

#include <stdint.h>
#include <stdio.h>

/* Writes text that came from a file or a user: & < > " ' become entities, so it is safe as content
 * and inside a quoted attribute, in HTML and in XML. Bytes that are not UTF-8, control characters,
 * and the invisible marks that reorder the text around them become U+FFFD. */
void asd_markup_text(FILE *out, const char *text);

/* Opens <svg viewBox="0 0 width height" class="css_class" role="img" aria-label=LABEL>; the label
 * is formatted, then escaped, and cut after 1023 bytes. */
void asd_svg_open(FILE *out, double width, double height, const char *css_class, const char *label,
                  ...) __attribute__((format(printf, 5, 6)));
void asd_svg_close(FILE *out);

void asd_svg_line(FILE *out, const char *css_class, double x1, double y1, double x2, double y2);
void asd_svg_rect(FILE *out, const char *css_class, double x, double y, double width,
                  double height);
/* From data to figure units: px = x0 + x_scale x, py = y0 + y_scale y. */
typedef struct asd_svg_map {
    double x0, x_scale, y0, y_scale;
} asd_svg_map;
/* A path through x, y: (n), mapped, rounded to tenths and with points on a straight run left out.
 * Where it meets a point that is not finite it breaks off and begins anew. closed: back to the
 * start. Mapped values must stay within +-1e8. */
void asd_svg_path(FILE *out, const char *css_class, const asd_svg_map *map, const double *x,
                  const double *y, int64_t n, int closed);

typedef enum asd_anchor { ASD_ANCHOR_START, ASD_ANCHOR_MIDDLE, ASD_ANCHOR_END } asd_anchor;
/* One line of text with its base line at y; escaped. */
void asd_svg_text(FILE *out, const char *css_class, asd_anchor anchor, double x, double y,
                  const char *text);

/* Round numbers (1, 2 or 5 times a power of ten) inside [lo, hi]. */
#define ASD_TICKS_MAX 16
typedef struct asd_ticks {
    double at[ASD_TICKS_MAX];
    int    n;
    double step;
} asd_ticks;
/* About `want` (2 .. 10) ticks; at least one when lo < hi. lo == hi gives that value alone. */
asd_ticks asd_ticks_make(double lo, double hi, int want);
/* Ticks at powers of ten inside [lo, hi], both > 0, and at twice and five times them where there is
 * room. May be none when hi < 2.5 lo. */
asd_ticks asd_ticks_log(double lo, double hi);
/* The tick's label with as many decimals as the step needs ("0.25", "1e-05"). Returns buf. */
const char *asd_tick_text(const asd_ticks *t, int i, char buf[32]);

#endif
