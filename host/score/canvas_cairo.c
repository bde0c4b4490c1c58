/* canvas_cairo.c - see canvas_cairo.h. */
#include "score/canvas_cairo.h"

#include "base/file.h"
#include "score/markup.h"
#include "score/report_theme.h"

#include <cairo-pdf.h>
#include <cairo-svg.h>
#include <math.h>
#include <pango/pangocairo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_FRAMES = 4, MAX_TEXT = 1024 };
#define POINTS_PER_PX 0.75

/* --- words --- */

struct asd_font {
    PangoFontMap         *map;
    PangoContext         *context;
    PangoFontDescription *family;
    PangoLayout          *layout;
};

/* A bundle brings its own font, for machines that have none. fontconfig can be told so by its
 * environment alone, and reads that once. */
static void name_own_fonts(void)
{
    char path[PATH_MAX];
    if (!asd_beside_program(path, "../share/asd/fonts/fonts.conf"))
        setenv("FONTCONFIG_FILE", path, 0);
}

asd_font *asd_font_open(void)
{
    asd_font *f = calloc(1, sizeof *f);
    if (!f)
        return NULL;
    name_own_fonts();
    f->map     = pango_cairo_font_map_new();
    f->context = pango_font_map_create_context(f->map);
    f->family  = pango_font_description_from_string("DejaVu Sans, sans-serif");
    pango_font_description_set_absolute_size(f->family, 10 * PANGO_SCALE);
    /* Otherwise the shapes chosen for some scripts would follow the user's environment. */
    pango_context_set_language(f->context, pango_language_from_string("en"));
    /* Widths must not depend on the size or the device: no fitting to a grid of pixels. */
    pango_context_set_round_glyph_positions(f->context, FALSE);
    cairo_font_options_t *options = cairo_font_options_create();
    cairo_font_options_set_hint_style(options, CAIRO_HINT_STYLE_NONE);
    cairo_font_options_set_hint_metrics(options, CAIRO_HINT_METRICS_OFF);
    cairo_font_options_set_antialias(options, CAIRO_ANTIALIAS_GRAY);
    pango_cairo_context_set_font_options(f->context, options);
    cairo_font_options_destroy(options);
    PangoFont *font = pango_font_map_load_font(f->map, f->context, f->family);
    if (!font) {
        asd_font_free(f);
        return NULL;
    }
    g_object_unref(font);
    f->layout = pango_layout_new(f->context);
    pango_layout_set_single_paragraph_mode(f->layout, TRUE);
    pango_layout_set_auto_dir(f->layout, FALSE);
    return f;
}

void asd_font_free(asd_font *f)
{
    if (!f)
        return;
    if (f->layout)
        g_object_unref(f->layout);
    pango_font_description_free(f->family);
    g_object_unref(f->context);
    g_object_unref(f->map);
    free(f);
}

static void set_words(asd_font *f, double px, const char *text)
{
    char clean[MAX_TEXT];
    pango_font_description_set_absolute_size(f->family, px * PANGO_SCALE);
    pango_layout_set_font_description(f->layout, f->family);
    pango_layout_set_text(f->layout, asd_clean_text(clean, sizeof clean, text), -1);
}

static double words_width(asd_font *f)
{
    PangoRectangle logical;
    pango_layout_get_extents(f->layout, NULL, &logical);
    return (double)logical.width / PANGO_SCALE;
}

double asd_font_width(asd_font *f, double px, const char *text)
{
    set_words(f, px, text);
    return words_width(f);
}

/* --- the file in memory --- */

const char *const asd_paper_suffixes[] = {"svg", "pdf"};

struct asd_paper {
    asd_canvas       canvas; /* first: an asd_canvas * is an asd_paper * */
    cairo_surface_t *surface;
    cairo_t         *cr;
    asd_font        *font;
    FILE            *out; /* to data */
    char            *data;
    size_t           size;
    int              depth;
    int64_t          n_unknown;
    double           place_x, place_y, place_width;
    struct {
        asd_frame frame;
        double    x_scale; /* pixels per unit of x */
    } open[MAX_FRAMES];
};

static cairo_status_t write_bytes(void *closure, const unsigned char *data, unsigned int length)
{
    asd_paper *p = closure;
    return fwrite(data, 1, length, p->out) == length ? CAIRO_STATUS_SUCCESS
                                                     : CAIRO_STATUS_WRITE_ERROR;
}

/* --- strokes --- */

static double x_of(const asd_paper *p, double x)
{
    return p->depth ? x * p->open[p->depth - 1].x_scale : x;
}

static void set_colour(cairo_t *cr, uint32_t colour, double opacity)
{
    cairo_set_source_rgba(cr, (double)(colour >> 16 & 0xff) / 255,
                          (double)(colour >> 8 & 0xff) / 255, (double)(colour & 0xff) / 255,
                          opacity);
}

static void set_dash(cairo_t *cr, const char *dash)
{
    double length[8];
    int    n = 0;
    for (char *end; n < 8 && *dash; dash = end) {
        length[n] = strtod(dash, &end);
        if (end == dash)
            break;
        ++n;
    }
    cairo_set_dash(cr, length, n, 0);
}

/* Fills and strokes what has been traced, as the ink's line in the table says. */
static void put_ink(asd_paper *p, asd_ink ink, int index)
{
    const asd_ink_style *s  = &asd_ink_styles[ink];
    cairo_t             *cr = p->cr;
    if (ink == ASD_INK_HEAT) {
        set_colour(cr, asd_theme_heat(index, 0), 1);
        cairo_fill_preserve(cr);
    } else if (s->fill) {
        set_colour(cr, asd_theme_light(s->fill, index), s->fill_opacity);
        cairo_fill_preserve(cr);
    }
    if (s->stroke) {
        set_colour(cr, asd_theme_light(s->stroke, index), 1);
        set_dash(cr, s->has_system_dash ? asd_theme_dash(index) : s->dash);
        cairo_set_line_width(cr, s->width);
        cairo_set_line_join(cr, s->is_round ? CAIRO_LINE_JOIN_ROUND : CAIRO_LINE_JOIN_MITER);
        cairo_stroke_preserve(cr);
    }
    cairo_new_path(cr);
}

static void paper_begin(asd_canvas *c, asd_frame frame, double width, double height,
                        const char *label)
{
    asd_paper *p = (asd_paper *)c;
    (void)height;
    (void)label; /* a file has one title, given when it is made */
    ASD_ASSERT(p->depth < MAX_FRAMES);
    cairo_save(p->cr);
    cairo_translate(p->cr, p->place_x, p->place_y);
    p->open[p->depth].frame   = frame;
    p->open[p->depth].x_scale = asd_frame_styles[frame].is_fluid ? p->place_width / 100 : 1;
    ++p->depth;
    p->place_x = p->place_y = 0, p->place_width = width;
}

static void paper_end(asd_canvas *c)
{
    asd_paper *p = (asd_paper *)c;
    ASD_ASSERT(p->depth > 0);
    --p->depth;
    cairo_restore(p->cr);
}

static void paper_line(asd_canvas *c, asd_ink ink, int index, double x1, double y1, double x2,
                       double y2)
{
    asd_paper *p = (asd_paper *)c;
    cairo_move_to(p->cr, x_of(p, x1), y1);
    cairo_line_to(p->cr, x_of(p, x2), y2);
    put_ink(p, ink, index);
}

static void paper_rect(asd_canvas *c, asd_ink ink, int index, double x, double y, double width,
                       double height)
{
    asd_paper *p = (asd_paper *)c;
    cairo_rectangle(p->cr, x_of(p, x), y, x_of(p, width), height);
    put_ink(p, ink, index);
}

static void paper_circle(asd_canvas *c, asd_ink ink, int index, double x, double y, double radius)
{
    asd_paper *p = (asd_paper *)c;
    cairo_arc(p->cr, x_of(p, x), y, radius, 0, 2 * acos(-1));
    cairo_close_path(p->cr);
    put_ink(p, ink, index);
}

static void paper_path(asd_canvas *c, asd_ink ink, int index, const asd_map *map, const double *x,
                       const double *y, int64_t n, int closed)
{
    asd_paper *p       = (asd_paper *)c;
    int        drawing = 0;
    for (int64_t i = 0; i < n; ++i) {
        if (!isfinite(x[i]) || !isfinite(y[i])) {
            if (drawing && closed)
                cairo_close_path(p->cr);
            drawing = 0;
            continue;
        }
        double px = x_of(p, map->x0 + map->x_scale * x[i]), py = map->y0 + map->y_scale * y[i];
        if (drawing)
            cairo_line_to(p->cr, px, py);
        else
            cairo_move_to(p->cr, px, py);
        drawing = 1;
    }
    if (drawing && closed)
        cairo_close_path(p->cr);
    put_ink(p, ink, index);
}

static void paper_text(asd_canvas *c, const asd_label *l)
{
    static const double before[] = {0, 0.5, 1}; /* of the width, left of the anchor */

    asd_paper *p = (asd_paper *)c;
    set_words(p->font, asd_frame_styles[p->open[p->depth - 1].frame].text_px, l->text);
    p->n_unknown += pango_layout_get_unknown_glyphs_count(p->font->layout);
    cairo_save(p->cr);
    set_colour(p->cr, asd_theme_light(l->is_strong ? "text" : "muted", 0), 1);
    cairo_translate(p->cr, x_of(p, l->x) + l->dx, l->y);
    if (l->is_turned)
        cairo_rotate(p->cr, -acos(-1) / 2);
    cairo_move_to(p->cr, -before[l->anchor] * words_width(p->font), 0);
    pango_cairo_show_layout_line(p->cr, pango_layout_get_line_readonly(p->font->layout, 0));
    cairo_restore(p->cr);
}

static double paper_text_width(asd_canvas *c, asd_frame frame, const char *text)
{
    return asd_font_width(((asd_paper *)c)->font, asd_frame_styles[frame].text_px, text);
}

/* --- from beginning to end --- */

static asd_status cairo_failure(cairo_status_t status)
{
    return ASD_FAIL(status == CAIRO_STATUS_NO_MEMORY ? ASD_E_OOM : ASD_E_IO, "figure: cairo: %s",
                    cairo_status_to_string(status));
}

asd_status asd_paper_new(asd_paper_format format, double width, double height, const char *title,
                         asd_font *font, asd_paper **out)
{
    static const asd_canvas_ops ops = {paper_begin,  paper_end,  paper_line, paper_rect,
                                       paper_circle, paper_path, paper_text, paper_text_width};

    char           clean[MAX_TEXT];
    double         w = width * POINTS_PER_PX, h = height * POINTS_PER_PX;
    cairo_status_t status;
    asd_paper     *p = *out = calloc(1, sizeof *p);
    if (!p || !(p->out = open_memstream(&p->data, &p->size))) {
        free(p);
        *out = NULL;
        return ASD_FAIL(ASD_E_OOM, "figure: out of memory");
    }
    p->canvas.ops = &ops;
    p->font       = font;
    if (format == ASD_PAPER_PDF) {
        p->surface = cairo_pdf_surface_create_for_stream(write_bytes, p, w, h);
        cairo_pdf_surface_set_metadata(p->surface, CAIRO_PDF_METADATA_TITLE,
                                       asd_clean_text(clean, sizeof clean, title));
        cairo_pdf_surface_set_metadata(p->surface, CAIRO_PDF_METADATA_CREATOR, "asd " ASD_VERSION);
        /* cairo writes the time by itself; the same results shall give the same file */
        cairo_pdf_surface_set_metadata(p->surface, CAIRO_PDF_METADATA_CREATE_DATE, NULL);
    } else {
        p->surface = cairo_svg_surface_create_for_stream(write_bytes, p, w, h);
    }
    p->cr = cairo_create(p->surface);
    cairo_scale(p->cr, POINTS_PER_PX, POINTS_PER_PX);
    pango_cairo_update_context(p->cr, font->context);
    pango_layout_context_changed(font->layout);
    if ((status = cairo_status(p->cr))) {
        asd_paper_free(p);
        *out = NULL;
        return cairo_failure(status);
    }
    return ASD_OK;
}

asd_canvas *asd_paper_canvas(asd_paper *p)
{
    return &p->canvas;
}

void asd_paper_place(asd_paper *p, double x, double y, double width)
{
    p->place_x = x, p->place_y = y, p->place_width = width;
}

int64_t asd_paper_unknown_glyphs(const asd_paper *p)
{
    return p->n_unknown;
}

asd_status asd_paper_finish(asd_paper *p, char **data, size_t *size)
{
    ASD_ASSERT(p->depth == 0);
    cairo_status_t status = cairo_status(p->cr);
    *data                 = NULL;
    cairo_surface_finish(p->surface);
    if (!status)
        status = cairo_surface_status(p->surface);
    int failed = fclose(p->out);
    p->out     = NULL;
    if (status)
        return cairo_failure(status);
    if (failed)
        return ASD_FAIL(ASD_E_OOM, "figure: out of memory");
    *data = p->data, *size = p->size;
    p->data = NULL;
    return ASD_OK;
}

void asd_paper_free(asd_paper *p)
{
    if (!p)
        return;
    if (p->cr)
        cairo_destroy(p->cr);
    if (p->surface)
        cairo_surface_destroy(p->surface); /* writes to out if it was not finished */
    if (p->out)
        fclose(p->out);
    free(p->data);
    free(p);
}
