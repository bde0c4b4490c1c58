/* canvas_cairo.h - figures for papers: SVG or PDF by cairo, words set and measured by pango.
 *
 * Light theme, everything a vector, fonts embedded as far as they are used. One CSS pixel is 3/4 of
 * a point. The same strokes and fonts give the same PDF; in an SVG, cairo numbers its surfaces
 * through the life of a process, so there it is the same process that gives the same bytes.
 *
 *   asd_paper *p;
 *   ASD_TRY(asd_paper_new(ASD_PAPER_PDF, 325, 200, "Omega of all systems", font, &p));
 *   asd_canvas *c = asd_paper_canvas(p);
 *   asd_draw_begin(c, ASD_FRAME_SHEET, 325, 200, NULL);
 *   asd_paper_place(p, 40, 10, 250);     the next frame begins here and is 250 wide if fluid
 *   asd_fig_roc(c, ...);
 *   asd_draw_end(c);
 *   st = asd_paper_finish(p, &data, &size);
 *   asd_paper_free(p);
 */
#ifndef ASD_SCORE_CANVAS_CAIRO_H
#define ASD_SCORE_CANVAS_CAIRO_H

#include "base/status.h"
#include "score/canvas.h"

/* DejaVu Sans, or the nearest that fontconfig knows. One thread at a time. */
typedef struct asd_font asd_font;
/* NULL when this machine has no font at all. Free with asd_font_free. */
asd_font *asd_font_open(void);
void      asd_font_free(asd_font *f);
/* Pixels that one line takes at a size of `px`; not hinted, so it grows with the size. */
double asd_font_width(asd_font *f, double px, const char *text);

typedef enum asd_paper_format { ASD_PAPER_SVG, ASD_PAPER_PDF, ASD_NPAPERS } asd_paper_format;
extern const char *const asd_paper_suffixes[]; /* "svg", "pdf" */

typedef struct asd_paper asd_paper;
/* width, height: pixels; title: for the PDF's properties; font must outlive it. ASD_E_OOM; ASD_E_IO
 * when cairo refuses. */
asd_status  asd_paper_new(asd_paper_format format, double width, double height, const char *title,
                          asd_font *font, asd_paper **out);
asd_canvas *asd_paper_canvas(asd_paper *p);
void        asd_paper_place(asd_paper *p, double x, double y, double width);
/* How many characters of the words drawn have no glyph in any font here; boxes stand for them. */
int64_t asd_paper_unknown_glyphs(const asd_paper *p);
/* Ends the drawing; the file's bytes are the caller's to free(). The paper is only good to be freed
 * then. */
asd_status asd_paper_finish(asd_paper *p, char **data, size_t *size);
void       asd_paper_free(asd_paper *p); /* NULL is fine */

#endif
