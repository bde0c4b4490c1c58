/* test_canvas.c - the two canvases, and figures that measure their words on them. */
#include "harness.h"
#include "ref/markup.h"

#include "base/rng.h"
#include "base/utf8.h"
#include "score/canvas_svg.h"
#include "score/markup.h"
#include "score/report_figures.h"
#include "score/report_theme.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Drawings need a font: scripts/install-deps.sh brings one. */
static asd_font *need_font(void)
{
    asd_font *font = asd_font_open();
    if (!font)
        fail_msg("no font is installed");
    return font;
}

/* --- a canvas that remembers its words and strokes --- */

enum { MAX_WORDS = 64 };

typedef struct recorder {
    asd_canvas canvas;
    asd_font  *font;
    asd_frame  frame;
    int        n_strokes, depth;
    struct {
        char   text[64];
        double begin, end, y;
        int    is_turned;
    } word[MAX_WORDS];
    int n;
} recorder;

static void record_begin(asd_canvas *c, asd_frame frame, double width, double height,
                         const char *label)
{
    recorder *r = (recorder *)c;
    (void)label;
    assert_true(height > 0 && (asd_frame_styles[frame].is_fluid || width > 0));
    r->frame = frame;
    ++r->depth;
}

static void record_end(asd_canvas *c)
{
    --((recorder *)c)->depth;
}

static void record_line(asd_canvas *c, asd_ink ink, int index, double x1, double y1, double x2,
                        double y2)
{
    recorder *r = (recorder *)c;
    (void)ink;
    (void)index;
    assert_true(isfinite(x1) && isfinite(y1) && isfinite(x2) && isfinite(y2));
    assert_true(r->depth > 0);
    ++r->n_strokes;
}

static void record_circle(asd_canvas *c, asd_ink ink, int index, double x, double y, double radius)
{
    record_line(c, ink, index, x, y, radius, radius);
}

static void record_path(asd_canvas *c, asd_ink ink, int index, const asd_map *map, const double *x,
                        const double *y, int64_t n, int closed)
{
    (void)closed;
    for (int64_t i = 0; i < n; ++i)
        if (isfinite(x[i]) && isfinite(y[i]))
            record_line(c, ink, index, map->x0 + map->x_scale * x[i], map->y0 + map->y_scale * y[i],
                        0, 0);
}

static double record_width(asd_canvas *c, asd_frame frame, const char *text)
{
    return asd_font_width(((recorder *)c)->font, asd_frame_styles[frame].text_px, text);
}

static void record_text(asd_canvas *c, const asd_label *l)
{
    recorder *r     = (recorder *)c;
    double    width = record_width(c, r->frame, l->text);
    assert_true(r->n < MAX_WORDS);
    snprintf(r->word[r->n].text, sizeof r->word[r->n].text, "%s", l->text);
    r->word[r->n].begin     = l->x + l->dx - width * 0.5 * (double)l->anchor;
    r->word[r->n].end       = r->word[r->n].begin + width;
    r->word[r->n].y         = l->y;
    r->word[r->n].is_turned = l->is_turned;
    ++r->n;
}

static asd_canvas *record(recorder *r, asd_font *font)
{
    static const asd_canvas_ops ops = {record_begin,  record_end,  record_line, record_line,
                                       record_circle, record_path, record_text, record_width};

    *r = (recorder){.canvas = {&ops}, .font = font};
    return &r->canvas;
}

/* No two words on one line may touch, and none may leave 0 .. width. */
static void check_words(const recorder *r, double width, const char *what)
{
    for (int i = 0; i < r->n; ++i) {
        if (r->word[i].is_turned)
            continue;
        if (r->word[i].begin < 0 || r->word[i].end > width + 1e-6)
            fail_msg("%s: \"%s\" stands at %.1f .. %.1f of %.0f", what, r->word[i].text,
                     r->word[i].begin, r->word[i].end, width);
        for (int k = 0; k < i; ++k)
            if (!r->word[k].is_turned && fabs(r->word[k].y - r->word[i].y) < 6 &&
                r->word[k].begin < r->word[i].end && r->word[i].begin < r->word[k].end)
                fail_msg("%s: \"%s\" over \"%s\"", what, r->word[i].text, r->word[k].text);
    }
    assert_int_equal(r->depth, 0);
}

/* --- words --- */

static void test_font_width(void **state)
{
    (void)state;
    asd_font *font = need_font();
    double    ten  = asd_font_width(font, 10, "false-positive rate");
    assert_true(ten > 60 && ten < 130);
    assert_near(asd_font_width(font, 20, "false-positive rate"), 2 * ten, 0.02 * ten);
    assert_near(asd_font_width(font, 10, ""), 0, 0);
    assert_true(asd_font_width(font, 10, "iiii") < asd_font_width(font, 10, "WWWW"));
    /* a page without a font still lays its figures out */
    asd_svg     svg;
    asd_canvas *c    = asd_svg_on(&svg, stdout, NULL);
    double      room = asd_text_width(c, ASD_FRAME_ROW,
                                      "\xc3\xa4"
                                           "12.50");
    assert_near(room, 6 * 0.65 * asd_frame_styles[ASD_FRAME_ROW].text_px, 1e-9);
    /* panels are measured as large as a narrow window shows them */
    c = asd_svg_on(&svg, stdout, font);
    assert_near(asd_text_width(c, ASD_FRAME_PANEL, "0.5"), asd_font_width(font, 12.5, "0.5"), 0);
    asd_font_free(font);
    asd_font_free(NULL);
}

static void test_clean_text(void **state)
{
    (void)state;
    char out[64];
    assert_string_equal(asd_clean_text(out, sizeof out, "a\nb\tc<&"), "a b c<&");
    assert_string_equal(asd_clean_text(out, sizeof out, "\x1b\xff\xe2\x80\xae"),
                        "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
    assert_string_equal(asd_clean_text(out, 4, "ab\xe6\xa9\x9f"),
                        "ab"); /* cut before, not inside */
    assert_string_equal(asd_clean_text(out, 6, "ab\xe6\xa9\x9f"), "ab\xe6\xa9\x9f");
    for (uint64_t round = 0; round < 3000; ++round) {
        asd_rng r;
        char    text[48];
        asd_rng_init(&r, 6, ASD_RNG_TEST, round, 0);
        size_t n = asd_rng_u64(&r) % 40, size = 4 + asd_rng_u64(&r) % 40;
        for (size_t i = 0; i < n; ++i)
            if (!(text[i] = (char)(asd_rng_u64(&r) >> 7)))
                text[i] = '\xe2';
        text[n] = 0;
        asd_clean_text(out, size, text);
        assert_true(strlen(out) < size && asd_utf8_valid(out));
        for (const char *s = out; *s; ++s)
            assert_true((unsigned char)*s >= 0x20 && *s != 0x7f);
    }
}

/* --- papers --- */

typedef void draw(asd_canvas *c, asd_paper *p, const void *context);

/* The file, zero-terminated; caller frees. */
static char *paper_of(asd_paper_format format, draw *d, const void *context, size_t *size)
{
    asd_font  *font = need_font();
    asd_paper *p;
    char      *data, *text;
    assert_ok(asd_paper_new(format, 200, 120, "T\xc3\xa4st <1>", font, &p));
    asd_canvas *c = asd_paper_canvas(p);
    asd_draw_begin(c, ASD_FRAME_SHEET, 200, 120, NULL);
    d(c, p, context);
    asd_draw_end(c);
    assert_ok(asd_paper_finish(p, &data, size));
    asd_paper_free(p);
    asd_font_free(font);
    text = malloc(*size + 1);
    memcpy(text, data, *size);
    text[*size] = 0;
    free(data);
    return text;
}

static void draw_words(asd_canvas *c, asd_paper *p, const void *context)
{
    (void)p;
    asd_draw_text(c, (asd_label){.text = context, .x = 10, .y = 20});
    asd_draw_text(c, (asd_label){.text = context, .x = 10, .y = 90, .is_turned = 1});
}

static void test_paper_pdf(void **state)
{
    (void)state;
    size_t size, size2;
    char  *a = paper_of(ASD_PAPER_PDF, draw_words, "words", &size);
    char  *b = paper_of(ASD_PAPER_PDF, draw_words, "words", &size2);
    assert_memory_equal(a, "%PDF-1.", 7);
    assert_non_null(memmem(a, size, "/Type /Page ", 12));
    assert_non_null(memmem(a, size, "/Count 1", 8));
    assert_non_null(memmem(a, size, "0 0 150 90", 10)); /* points: 3/4 of 200 x 120 */
    assert_non_null(memmem(a, size, "/FontFile2", 10)); /* embedded */
    assert_non_null(memmem(a, size, "/Title", 6));
    assert_null(memmem(a, size, "Date", 4));
    assert_non_null(memmem(a, size, "%%EOF", 5));
    assert_int_equal(size, size2);
    assert_memory_equal(a, b, size);
    free(b);
    b = paper_of(ASD_PAPER_PDF, draw_words, "other", &size2);
    assert_true(size != size2 || memcmp(a, b, size));
    free(a);
    free(b);
}

static void test_paper_svg(void **state)
{
    (void)state;
    asd_markup_facts facts;
    size_t           size;
    char            *text = paper_of(ASD_PAPER_SVG, draw_words, "<\"&'\xff\x1b\n", &size);
    asd_markup_check_file(text, &facts);
    if (*facts.wrong)
        fail_msg("not well-formed: %s", facts.wrong);
    assert_int_equal(facts.n_svg, 1);
    assert_non_null(strstr(text, "width=\"150pt\" height=\"90pt\""));
    assert_null(strstr(text, "<image"));
    free(text);
}

/* What a paper shows of an ink is what the table says, and so what the style sheet says. */
static void draw_ink(asd_canvas *c, asd_paper *p, const void *context)
{
    (void)p;
    asd_draw_rect(c, *(const asd_ink *)context, 2, 5, 5, 50, 40);
}

/* Colours in cairo's SVG are percentages. */
static void check_colour(const char *text, const char *property, uint32_t want, int ink)
{
    char key[32];
    snprintf(key, sizeof key, "%s:rgb(", property);
    const char *at = strstr(text, key);
    double      v[3];
    if (!at || sscanf(at + strlen(key), "%lf%%,%lf%%,%lf%%", v, v + 1, v + 2) != 3)
        fail_msg("ink %d has no %s", ink, property);
    for (int k = 0; k < 3; ++k)
        assert_near(v[k], (double)(want >> (16 - 8 * k) & 0xff) / 2.55, 0.01);
}

static void test_paper_inks(void **state)
{
    (void)state;
    for (int k = 0; k < ASD_NINKS; ++k) {
        const asd_ink_style *s   = &asd_ink_styles[k];
        const asd_ink        ink = (asd_ink)k;
        size_t               size;
        char                *text = paper_of(ASD_PAPER_SVG, draw_ink, &ink, &size), want[64];
        if (k == ASD_INK_HEAT)
            check_colour(text, "fill", asd_theme_heat(2, 0), k);
        else if (s->fill)
            check_colour(text, "fill", asd_theme_light(s->fill, 2), k);
        else
            assert_null(strstr(text, "fill:rgb"));
        if (s->stroke) {
            check_colour(text, "stroke", asd_theme_light(s->stroke, 2), k);
            snprintf(want, sizeof want, "stroke-width:%g;", s->width);
            assert_non_null(strstr(text, want));
        } else {
            assert_null(strstr(text, "stroke:rgb"));
        }
        int has_dash = *s->dash || (s->has_system_dash && *asd_theme_dash(2));
        assert_int_equal(strstr(text, "stroke-dasharray") != NULL, has_dash);
        free(text);
    }
}

/* A fluid frame takes the width of its place, a fixed one does not. */
static void draw_row(asd_canvas *c, asd_paper *p, const void *context)
{
    (void)context;
    asd_paper_place(p, 20, 30, 150);
    asd_draw_begin(c, ASD_FRAME_ROW, 0, 26, NULL);
    asd_draw_line(c, ASD_INK_AXIS, 0, 50, 1, 100, 1);
    asd_draw_end(c);
    asd_paper_place(p, 20, 30, 150);
    asd_draw_begin(c, ASD_FRAME_PANEL, 200, 200, NULL);
    asd_draw_line(c, ASD_INK_AXIS, 0, 50, 2, 60, 2);
    asd_draw_end(c);
}

static void test_paper_place(void **state)
{
    (void)state;
    size_t size;
    char  *text = paper_of(ASD_PAPER_SVG, draw_row, NULL, &size);
    assert_non_null(strstr(text, "M 75 1 L 150 1 \" transform=\"matrix(0.75,0,0,0.75,15,22.5)\""));
    assert_non_null(strstr(text, "M 50 2 L 60 2 \" transform=\"matrix(0.75,0,0,0.75,15,22.5)\""));
    free(text);
}

static void test_paper_unknown_glyphs(void **state)
{
    (void)state;
    asd_font  *font = need_font();
    asd_paper *p;
    assert_ok(asd_paper_new(ASD_PAPER_PDF, 100, 100, "t", font, &p));
    asd_canvas *c = asd_paper_canvas(p);
    asd_draw_begin(c, ASD_FRAME_SHEET, 100, 100, NULL);
    asd_draw_text(c, (asd_label){.text = "fan \xce\xa9 \xef\xbf\xbd"});
    assert_int_equal(asd_paper_unknown_glyphs(p), 0);
    asd_draw_text(c, (asd_label){.text = "x\xee\x80\x80"}); /* U+E000: nobody's */
    assert_int_equal(asd_paper_unknown_glyphs(p), 1);
    asd_draw_end(c);
    asd_paper_free(p); /* not finished: nothing leaks, nothing is written */
    asd_font_free(font);
}

/* --- figures that measure --- */

static void test_histogram_words(void **state)
{
    (void)state;
    enum { N = 60 };
    asd_font *font = need_font();
    double    score[N];
    uint8_t   target[N], anomaly[N];
    for (uint64_t round = 0; round < 300; ++round) {
        recorder rec;
        asd_rng  r;
        char     what[64];
        asd_rng_init(&r, 7, ASD_RNG_TEST, round, 0);
        double at     = asd_rng_normal(&r) * pow(10, (int)(asd_rng_u64(&r) % 9) - 4);
        double spread = pow(10, (int)(asd_rng_u64(&r) % 11) - 6);
        for (int i = 0; i < N; ++i) {
            target[i] = i & 1, anomaly[i] = i >> 1 & 1;
            score[i] = at + spread * asd_rng_uniform(&r);
        }
        const asd_fig_scores s = {score, target, anomaly, N, at};
        snprintf(what, sizeof what, "round %d, %.17g + %g", (int)round, at, spread);
        assert_ok(asd_fig_histogram(record(&rec, font), &s, NULL, NULL));
        check_words(&rec, ASD_FIG_PANEL, what);
        assert_true(rec.n_strokes > 10);
    }
    asd_font_free(font);
}

static void test_axis_words(void **state)
{
    (void)state;
    asd_font *font = need_font();
    for (uint64_t round = 0; round < 500; ++round) {
        recorder rec;
        asd_rng  r;
        asd_rng_init(&r, 8, ASD_RNG_TEST, round, 0);
        const double lo = asd_rng_uniform(&r) - 0.5, hi = lo + 0.2 * asd_rng_uniform(&r);
        const double width = 60 + 200 * asd_rng_uniform(&r);
        asd_fig_axis axis  = asd_fig_axis_fit(&lo, &hi, 1, NAN, 1);
        asd_canvas  *c     = record(&rec, font);
        asd_fig_axis_thin(c, &axis, width);
        asd_fig_axis_row(c, &axis);
        assert_true(rec.n >= 1);
        for (int i = 0; i < rec.n; ++i) { /* recorded in percent */
            double middle     = (rec.word[i].begin + rec.word[i].end) / 200 * width;
            double half       = (rec.word[i].end - rec.word[i].begin) / 2;
            rec.word[i].begin = middle - half, rec.word[i].end = middle + half;
            if (i && axis.want > 2 && rec.word[i].begin < rec.word[i - 1].end)
                fail_msg("%s over %s in %.0f", rec.word[i].text, rec.word[i - 1].text, width);
        }
    }
    /* room enough: as many as asked for; none: few */
    recorder     rec;
    asd_fig_axis axis = {0.5, 0.55, NAN, 0, 5};
    asd_fig_axis_thin(record(&rec, font), &axis, 1000);
    assert_int_equal(axis.want, 5);
    asd_fig_axis_thin(record(&rec, font), &axis, 40);
    assert_int_equal(axis.want, 2);
    asd_font_free(font);
}

static void test_loss_margin(void **state)
{
    (void)state;
    asd_font    *font   = need_font();
    const double step[] = {0, 1, 2}, small[] = {1, 2, 3}, large[] = {123456.5, 123456.6, 123456.7};
    asd_fig_series s = {step, small, 3};
    recorder       rec;
    double         narrow, wide;
    assert_ok(asd_fig_loss_margin(record(&rec, font), &s, NULL, &narrow));
    s.value = large;
    assert_ok(asd_fig_loss_margin(record(&rec, font), &s, NULL, &wide));
    assert_true(narrow > 10 && wide > narrow + 15);
    assert_ok(asd_fig_loss(record(&rec, font), &s, NULL, 160, NULL));
    double least = 0;
    for (int i = 0; i < rec.n; ++i)
        least = fmin(least, rec.word[i].begin);
    assert_near(-least, wide, 1e-9); /* the labels take just that */
    asd_font_free(font);
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("canvas/font/width", test_font_width),
    ASD_CASE("canvas/text/clean", test_clean_text),
    ASD_CASE("canvas/paper/pdf", test_paper_pdf),
    ASD_CASE("canvas/paper/svg", test_paper_svg),
    ASD_CASE("canvas/paper/inks-as-in-the-table", test_paper_inks),
    ASD_CASE("canvas/paper/place", test_paper_place),
    ASD_CASE("canvas/paper/unknown-glyphs", test_paper_unknown_glyphs),
    ASD_CASE("canvas/figures/histogram-words-apart", test_histogram_words),
    ASD_CASE("canvas/figures/axis-words-apart", test_axis_words),
    ASD_CASE("canvas/figures/loss-margin", test_loss_margin),
};
ASD_TEST_MAIN(cases)
