/* canvas_svg.h - figures inside the page: SVG whose shapes carry class names.
 *
 * One style sheet gives the classes colours per theme and on paper (report_theme.c), and words stay
 * <text> in the reader's own font, to be selected, searched and read aloud: that is what cairo's
 * SVG cannot give (docs/decisions/0005-two-canvases.md). Widths of words are measured by pango at
 * the largest size at which the style sheet shows them, with the font that figures for papers are
 * set in; it is wider than the fonts readers are likely to have.
 */
#ifndef ASD_SCORE_CANVAS_SVG_H
#define ASD_SCORE_CANVAS_SVG_H

#include "score/canvas.h"
#include "score/canvas_cairo.h" /* asd_font */

#include <stdio.h>

typedef struct asd_svg {
    asd_canvas canvas; /* first: an asd_canvas * is an asd_svg * */
    FILE      *out;    /* not owned; its error flag is the caller's to check */
    asd_font  *font;   /* not owned; NULL: widths are estimated, 0.65 of the size a character */
    asd_frame  frame;
    double     height;
} asd_svg;

/* Returns &svg->canvas, ready to draw to `out`. */
asd_canvas *asd_svg_on(asd_svg *svg, FILE *out, asd_font *font);

#endif
