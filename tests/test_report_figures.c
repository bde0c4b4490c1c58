/* test_report_figures.c - the report's pen, palette and figures. */
#include "harness.h"
#include "ref/markup.h"

#include "base/rng.h"
#include "base/utf8.h"
#include "score/canvas_svg.h"
#include "score/markup.h"
#include "score/report_figures.h"
#include "score/report_theme.h"
#include "score/ticks.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What was written to a stream that was opened by to_memory. */
typedef struct memory {
    FILE       *out;
    char       *text;
    size_t      size;
    asd_svg     svg;
    asd_canvas *canvas;
} memory;

static void to_memory(memory *m)
{
    memset(m, 0, sizeof *m);
    m->out = open_memstream(&m->text, &m->size);
    assert_non_null(m->out);
    m->canvas = asd_svg_on(&m->svg, m->out, NULL);
}

static char *text_of(memory *m)
{
    assert_int_equal(fclose(m->out), 0);
    return m->text;
}

static asd_markup_facts check_markup(const char *text)
{
    asd_markup_facts facts;
    asd_markup_check(text, &facts);
    if (*facts.wrong)
        fail_msg("not well-formed: %s", facts.wrong);
    return facts;
}

/* --- the checker itself: a test that cannot fail is none --- */

static void test_checker(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "<a><b></a></b>",
        "<a>",
        "</a>",
        "<a b=c/>",
        "<a b=\"1\" b=\"2\"/>",
        "<a>&nbsp;</a>",
        "<a>& b</a>",
        "<a>\x01</a>",
        "<a>\xff</a>",
        "<a href=\"http://x.org\"/>",
        "<a href=\"#b\"/>",
        "<a><b id=\"x\"/><b id=\"x\"/></a>",
        "<img src=\"x\"/>",
        "<a onclick=\"x\"/>",
        "<style>a{background:url(x)}</style>",
        "<a style=\"x\"/>",
        "<!-- -->",
        "text",
        "<a>></a>",
        "<a b=\"<\"/>",
    };
    asd_markup_facts facts;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; ++i) {
        asd_markup_check(bad[i], &facts);
        if (!*facts.wrong)
            fail_msg("taken as well-formed: %s", bad[i]);
    }
    static const char *const bad_files[] = {
        "<a style=\"fill:url(x.svg)\"/>",
        "<a xlink:href=\"#b\"/>",
        "<a xlink:href=\"x.svg#b\"/>",
        "<?xml version=\"1.0\"?><a/>",
    };
    for (size_t i = 0; i < sizeof bad_files / sizeof *bad_files; ++i) {
        asd_markup_check_file(bad_files[i], &facts);
        if (!*facts.wrong)
            fail_msg("taken as a well-formed file: %s", bad_files[i]);
    }
    asd_markup_check_file(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg xmlns:xlink=\"x\"><g id=\"a\" "
        "style=\"fill:none\"/><use xlink:href=\"#a\"/></svg>",
        &facts);
    assert_string_equal(facts.wrong, "");
    facts = check_markup("<!DOCTYPE html>\n<a id=\"x\"><b href=\"#x\">&lt;\xc3\xa4</b><svg/></a>");
    assert_int_equal(facts.n_elements, 3);
    assert_int_equal(facts.n_svg, 1);
}

/* --- escaping --- */

static void test_escape_known(void **state)
{
    (void)state;
#define FFFD "\xef\xbf\xbd"
    static const char *const cases[][2] = {
        {"fan", "fan"},
        {"<script>alert('1')</script>", "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;"},
        {"\" onload=\"x", "&quot; onload=&quot;x"},
        {"a&amp;b", "a&amp;amp;b"},
        {"\xc3\xa4\xe6\xa9\x9f\xf0\x9f\x94\x8a", "\xc3\xa4\xe6\xa9\x9f\xf0\x9f\x94\x8a"},
        {"a\x01\x1b[31mb\x7f", "a" FFFD FFFD "[31mb" FFFD},
        {"\xc0\xbcscript", FFFD FFFD "script"}, /* overlong "<" */
        {"\xed\xa0\x80", FFFD FFFD FFFD},       /* a surrogate */
        {"cut \xe6\xa9", "cut " FFFD FFFD},
        {"\xe2\x80\xae"
         "gpj.exe",
         FFFD "gpj.exe"}, /* right-to-left override */
        {"\xef\xbb\xbf", FFFD},
        {"\xef\xbf\xbe", FFFD},
        {"line\nline\ttab", "line\nline\ttab"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        memory m;
        to_memory(&m);
        asd_markup_text(m.out, cases[i][0]);
        assert_string_equal(text_of(&m), cases[i][1]);
        free(m.text);
    }
}

static void test_escape_mutation(void **state)
{
    (void)state;
    static const char special[] = "<>&\"'\x01\x80\xc3\xe2\xf0\xff;#/ a";
    for (uint64_t round = 0; round < 3000; ++round) {
        asd_rng r;
        memory  m;
        char    text[48];
        asd_rng_init(&r, 5, ASD_RNG_TEST, round, 0);
        size_t n = asd_rng_u64(&r) % 40;
        for (size_t i = 0; i < n; ++i) {
            uint64_t v = asd_rng_u64(&r);
            text[i]    = v & 1 ? special[(v >> 8) % (sizeof special - 1)] : (char)(v >> 8);
            text[i]    = text[i] ? text[i] : 'x';
        }
        text[n] = 0;
        to_memory(&m);
        fputs("<a b=\"", m.out);
        asd_markup_text(m.out, text);
        fputs("\">", m.out);
        asd_markup_text(m.out, text);
        fputs("</a>", m.out);
        asd_markup_facts facts = check_markup(text_of(&m));
        assert_int_equal(facts.n_elements, 1);
        assert_true(asd_utf8_valid(m.text));
        free(m.text);
    }
}

/* --- shapes --- */

static void check_path(const double *x, const double *y, int64_t n, int closed, const char *want)
{
    memory        m;
    char          full[256];
    const asd_map identity = {0, 1, 0, 1};
    to_memory(&m);
    asd_draw_path(m.canvas, ASD_INK_GRID, 0, &identity, x, y, n, closed);
    snprintf(full, sizeof full, "<path class=\"grid\" d=\"%s\"/>", want);
    assert_string_equal(text_of(&m), full);
    free(m.text);
}

static void test_path(void **state)
{
    (void)state;
    check_path((double[]){0, 1, 2, 2, 2}, (double[]){0, 0, 0, 1, 3}, 5, 0, "M0 0h2v3");
    check_path((double[]){0, 1, 2.04}, (double[]){0, -1, -2.04}, 3, 1, "M0 0l2-2z");
    check_path((double[]){0, 1, 0}, (double[]){0, 0, 0}, 3, 0, "M0 0h1h-1"); /* there and back */
    check_path((double[]){-0.04, 0.5}, (double[]){-0.5, 0.25}, 2, 0, "M0 -.5l.5 .8");
    check_path((double[]){0, 1, NAN, 5, 6}, (double[]){0, 1, 1, 5, 5}, 5, 0, "M0 0l1 1M5 5h1");
    check_path((double[]){0, 1, NAN, 5, 6}, (double[]){0, 1, 1, 5, 5}, 5, 1, "M0 0l1 1zM5 5h1z");
    check_path((double[]){NAN, 3}, (double[]){0, 4}, 2, 0, "M3 4");
    check_path(NULL, NULL, 0, 0, "");
}

/* However many points are left out, the drawn line passes where the data do. */
static void test_path_faithful(void **state)
{
    (void)state;
    enum { N = 400 };
    double  x[N], y[N];
    memory  m;
    asd_rng r;
    asd_rng_init(&r, 9, ASD_RNG_TEST, 1, 0);
    x[0] = y[0] = 0;
    for (int i = 1; i < N; ++i) {
        uint64_t v = asd_rng_u64(&r) % 3;
        x[i]       = x[i - 1] + (v != 1 ? 0.5 : 0);
        y[i]       = y[i - 1] + (v != 0 ? 0.5 : 0);
    }
    const asd_map map = {3, 2, 100, -1};
    to_memory(&m);
    asd_draw_path(m.canvas, ASD_INK_GRID, 0, &map, x, y, N, 0);
    const char *at = strstr(text_of(&m), " d=\"") + 4;
    double      px = 0, py = 0;
    char       *end;
    int         next = 0;
    assert_int_equal(*at, 'M');
    px = strtod(at + 1, &end), py = strtod(end, &end);
    for (at = end; *at != '"'; at = end) {
        double dx = 0, dy = 0;
        char   kind = *at++;
        if (kind == 'h')
            dx = strtod(at, &end);
        else if (kind == 'v')
            dy = strtod(at, &end);
        else
            dx = strtod(at, &end), dy = strtod(end, &end);
        /* every data point up to the end of this stroke lies on it */
        for (; next < N; ++next) {
            double qx = 3 + 2 * x[next] - px, qy = 100 - y[next] - py;
            if (fabs(qx) > fabs(dx) + 1e-9 || fabs(qy) > fabs(dy) + 1e-9)
                break;
            assert_near(qx * dy - qy * dx, 0, 1e-6);
        }
        px += dx, py += dy;
    }
    assert_int_equal(next, N);
    assert_near(px, 3 + 2 * x[N - 1], 1e-6);
    assert_near(py, 100 - y[N - 1], 1e-6);
    free(m.text);
}

static void check_ticks(const asd_ticks *t, double lo, double hi)
{
    char text[ASD_TICKS_MAX][32];
    if (t->n < 1 || t->n > ASD_TICKS_MAX)
        fail_msg("%d ticks in [%g, %g]", t->n, lo, hi);
    for (int i = 0; i < t->n; ++i) {
        double slack = 1e-6 * (hi - lo);
        if (!(t->at[i] >= lo - slack && t->at[i] <= hi + slack))
            fail_msg("tick %g outside [%g, %g]", t->at[i], lo, hi);
        asd_tick_text(t, i, text[i]);
        if (fabs(strtod(text[i], NULL) - t->at[i]) > 1e-6 * fmax(fabs(t->at[i]), t->step))
            fail_msg("tick %.17g is labelled %s (step %g)", t->at[i], text[i], t->step);
        if (i && !strcmp(text[i], text[i - 1]))
            fail_msg("two ticks labelled %s in [%g, %g]", text[i], lo, hi);
    }
}

static void test_ticks(void **state)
{
    (void)state;
    for (uint64_t round = 0; round < 5000; ++round) {
        asd_rng r;
        asd_rng_init(&r, 6, ASD_RNG_TEST, round, 0);
        double    lo = asd_rng_normal(&r) * pow(10, (int)(asd_rng_u64(&r) % 13) - 6);
        double    hi = lo + (0.01 + asd_rng_uniform(&r)) * pow(10, (int)(asd_rng_u64(&r) % 9) - 4);
        int       want = 2 + (int)(asd_rng_u64(&r) % 9);
        asd_ticks t    = asd_ticks_make(lo, hi, want);
        if (hi - lo > 1e-7 * fabs(lo))
            check_ticks(&t, lo, hi);
        lo = pow(10, asd_rng_uniform(&r) * 8 - 4), hi = lo * (3 + 1e5 * asd_rng_uniform(&r));
        t = asd_ticks_log(lo, hi);
        check_ticks(&t, lo, hi);
    }
    char      text[32];
    asd_ticks t = asd_ticks_make(-1, 1, 4);
    assert_int_equal(t.n, 5);
    assert_string_equal(asd_tick_text(&t, 1, text), "-0.5");
    assert_string_equal(asd_tick_text(&t, 2, text), "0.0"); /* not "-0.0" */
    assert_true(!signbit(t.at[2]));
    t = asd_ticks_make(0, 1999, 4);
    assert_true(t.n == 4 && t.at[0] == 0 && !signbit(t.at[0])); /* "-0.00%" is no coordinate */
    t = asd_ticks_make(-1.5e308, 1.5e308, 4);
    assert_int_equal(t.n, 1);
    t = asd_ticks_make(0, 5e-324, 4);
    assert_int_equal(t.n, 1);
    t = asd_ticks_make(7, 7, 4);
    assert_int_equal(t.n, 1);
    assert_string_equal(asd_tick_text(&t, 0, text), "7");
}

/* --- palette --- */

static const asd_theme_colour *colour(const char *name)
{
    for (const asd_theme_colour *c = asd_theme_colours; c->name; ++c)
        if (!strcmp(c->name, name))
            return c;
    fail_msg("no colour %s", name);
    return NULL;
}

static void test_contrast(void **state)
{
    (void)state;
    static const char *const words[]  = {"text", "muted", "link"};
    static const char *const shapes[] = {"s0", "s1", "s2",     "s3",      "s4",  "s5",
                                         "s6", "s7", "normal", "anomaly", "axis"};
    assert_near(asd_theme_contrast(0xffffff, 0), 21, 1e-9);
    for (int dark = 0; dark < 2; ++dark)
        for (int card = 0; card < 2; ++card) {
            const asd_theme_colour *b    = colour(card ? "card" : "page");
            uint32_t                back = dark ? b->dark : b->light;
            for (size_t i = 0; i < sizeof words / sizeof *words; ++i) {
                const asd_theme_colour *c = colour(words[i]);
                if (asd_theme_contrast(back, dark ? c->dark : c->light) < 4.5)
                    fail_msg("%s on %s, dark %d: under 4.5", c->name, b->name, dark);
            }
            for (size_t i = 0; i < sizeof shapes / sizeof *shapes; ++i) {
                const asd_theme_colour *c = colour(shapes[i]);
                if (asd_theme_contrast(back, dark ? c->dark : c->light) < 3)
                    fail_msg("%s on %s, dark %d: under 3", c->name, b->name, dark);
            }
        }
    for (int dark = 0; dark < 2; ++dark)
        for (int step = 0; step < ASD_THEME_HEAT; ++step) {
            const asd_theme_colour *text = colour("text");
            double                  ratio =
                asd_theme_contrast(asd_theme_heat(step, dark), dark ? text->dark : text->light);
            if (ratio < 4.5)
                fail_msg("text on h%d, dark %d: contrast %.2f", step, dark, ratio);
        }
}

static void test_heat_steps(void **state)
{
    (void)state;
    assert_int_equal(asd_theme_heat_step(-1), 0);
    assert_int_equal(asd_theme_heat_step(0), 0);
    assert_int_equal(asd_theme_heat_step(0.4999), 9);
    assert_int_equal(asd_theme_heat_step(0.5), 10);
    assert_int_equal(asd_theme_heat_step(0.15), 3); /* 0.15 * 20 is just under 3 */
    assert_int_equal(asd_theme_heat_step(1), ASD_THEME_HEAT - 1);
    for (int dark = 0; dark < 2; ++dark)
        for (int i = 0; i < ASD_THEME_HEAT; ++i)
            for (int k = 0; k < i; ++k)
                assert_int_not_equal(asd_theme_heat(i, dark), asd_theme_heat(k, dark));
}

static void test_style_sheet(void **state)
{
    (void)state;
    memory m;
    int    depth = 0;
    to_memory(&m);
    asd_theme_css(m.out);
    for (const char *s = text_of(&m); *s; ++s) {
        depth += (*s == '{') - (*s == '}');
        assert_true(depth >= 0 && *s != '<' && *s != '&');
    }
    assert_int_equal(depth, 0);
    assert_non_null(strstr(m.text, "prefers-color-scheme:dark"));
    assert_non_null(strstr(m.text, "@media print"));
    assert_null(strstr(m.text, "url("));
    assert_null(strstr(m.text, "@import"));
    /* every colour that is used has been given */
    for (const char *s = m.text; (s = strstr(s, "var(--")); ++s) {
        char name[32];
        assert_int_equal(sscanf(s, "var(--%31[a-z0-9])", name), 1);
        char given[40];
        snprintf(given, sizeof given, "--%s:#", name);
        if (!strstr(m.text, given))
            fail_msg("colour %s is used but not given", name);
    }
    free(m.text);
}

/* --- figures --- */

static int count(const char *text, const char *part)
{
    int n = 0;
    for (const char *s = text; (s = strstr(s, part)); s += strlen(part))
        ++n;
    return n;
}

static void test_interval(void **state)
{
    (void)state;
    const double lo[] = {0.5, NAN, 0.52}, hi[] = {0.6, 0.55, 0.62};
    asd_fig_axis axis = asd_fig_axis_fit(lo, hi, 3, NAN, 0);
    assert_true(axis.lo < 0.5 && axis.lo > 0.45 && axis.hi > 0.62 && axis.hi < 0.65);
    axis = asd_fig_axis_fit(lo, hi, 3, 0, 1);
    assert_true(axis.lo < 0 && axis.hi > 0.62);
    axis = asd_fig_axis_fit(NULL, NULL, 0, NAN, 0);
    assert_true(axis.lo < axis.hi);
    axis = asd_fig_axis_fit(lo, lo, 1, NAN, 0); /* no width */
    assert_true(axis.lo < 0.5 && axis.hi > 0.5);

    memory m;
    axis = (asd_fig_axis){0, 1, NAN, 0, 5};
    to_memory(&m);
    asd_fig_interval(m.canvas, &axis, ASD_THEME_SYSTEMS + 1, 0.5, 0.25, 0.75, "a \"b\"");
    check_markup(text_of(&m));
    assert_non_null(strstr(m.text, "cx=\"50.00%\""));
    assert_non_null(strstr(m.text, "whisker s1\" x1=\"27.00%\" x2=\"73.00%\""));
    assert_non_null(strstr(m.text, "aria-label=\"a &quot;b&quot;\""));
    free(m.text);
    to_memory(&m);
    asd_fig_interval(m.canvas, &axis, 0, 0.5, NAN, NAN, "");
    check_markup(text_of(&m));
    assert_null(strstr(m.text, "whisker"));
    free(m.text);
}

static void draw_histogram(memory *m, const asd_fig_scores *s, int64_t *beyond)
{
    to_memory(m);
    assert_ok(asd_fig_histogram(m->canvas, s, "label", beyond));
    check_markup(text_of(m));
    assert_null(strstr(m->text, "nan"));
    assert_null(strstr(m->text, "inf"));
}

static void test_histogram(void **state)
{
    (void)state;
    enum { N = 400 };
    double  score[N];
    uint8_t target[N], anomaly[N];
    memory  m;
    int64_t beyond;
    asd_rng r;
    asd_rng_init(&r, 8, ASD_RNG_TEST, 0, 0);
    for (int i = 0; i < N; ++i) {
        target[i] = i & 1, anomaly[i] = i >> 1 & 1;
        score[i] = asd_rng_normal(&r) + anomaly[i];
    }
    asd_fig_scores s = {score, target, anomaly, N, 0.5};
    draw_histogram(&m, &s, &beyond);
    assert_int_equal(beyond, 0);
    assert_int_equal(count(m.text, "class=\"normal\""), 2);
    assert_int_equal(count(m.text, "class=\"anomaly\""), 2);
    assert_int_equal(count(m.text, "class=\"threshold\""), 2);
    free(m.text);

    score[3] = 1e6; /* one clip far off: the others keep their shape, and the page says so */
    draw_histogram(&m, &s, &beyond);
    assert_int_equal(beyond, 1);
    free(m.text);

    s.threshold = NAN;
    for (int i = 0; i < N; ++i)
        score[i] = 7;
    draw_histogram(&m, &s, &beyond);
    assert_int_equal(beyond, 0);
    assert_null(strstr(m.text, "threshold"));
    free(m.text);

    score[0] = 1.7e308, score[1] = -1.7e308; /* the range is beyond double */
    draw_histogram(&m, &s, NULL);
    free(m.text);
    score[0] = 5e-324, score[1] = 0, s.n = 2;
    draw_histogram(&m, &s, NULL);
    free(m.text);

    s.n = 1; /* one clip; then none */
    draw_histogram(&m, &s, NULL);
    assert_int_equal(count(m.text, "class=\"normal\""), 1);
    free(m.text);
    s.n = 0;
    draw_histogram(&m, &s, NULL);
    assert_int_equal(count(m.text, "class=\"normal\""), 0);
    free(m.text);
}

/* Where a curve runs: its highest and lowest drawn point, in units of the inner box (0 .. 1000). */
static void test_loss(void **state)
{
    (void)state;
    enum { N = 5000 };
    static double  step[N], loss[N], val[N];
    memory         m;
    asd_fig_series a = {step, loss, N}, b = {step, val, N};
    for (int i = 0; i < N; ++i)
        step[i] = i, loss[i] = 1 + 1000 * exp(-i / 300.0), val[i] = i % 100 ? NAN : 2;
    for (int i = 1000; i < 1100; ++i)
        loss[i] = NAN;
    to_memory(&m);
    assert_ok(asd_fig_loss(m.canvas, &a, &b, 200, "<loss>"));
    check_markup(text_of(&m));
    assert_int_equal(count(m.text, "class=\"loss\""), 1);
    assert_int_equal(count(m.text, "class=\"loss-val\""), 1);
    assert_int_equal(count(m.text, "class=\"band\""), 2); /* one gap */
    assert_non_null(strstr(m.text, "logarithmic"));
    assert_null(strstr(m.text, "nan"));
    assert_true(m.size < 40000);
    free(m.text);

    static const struct {
        int    n;
        double value;
    } small[] = {{0, 0}, {1, 0}, {1, 5}, {2, -3}, {2, NAN}, {3, INFINITY}};
    for (size_t k = 0; k < sizeof small / sizeof *small; ++k) {
        for (int i = 0; i < small[k].n; ++i)
            loss[i] = small[k].value;
        a.n = small[k].n;
        to_memory(&m);
        assert_ok(asd_fig_loss(m.canvas, &a, NULL, 200, "loss"));
        check_markup(text_of(&m));
        assert_null(strstr(m.text, "nan"));
        assert_null(strstr(m.text, "inf"));
        free(m.text);
    }
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("report/checker/finds-what-is-wrong", test_checker),
    ASD_CASE("report/escape/known", test_escape_known),
    ASD_CASE("report/escape/mutation", test_escape_mutation),
    ASD_CASE("report/path/known", test_path),
    ASD_CASE("report/path/passes-all-points", test_path_faithful),
    ASD_CASE("report/ticks/random-ranges", test_ticks),
    ASD_CASE("report/theme/contrast", test_contrast),
    ASD_CASE("report/theme/heat-steps", test_heat_steps),
    ASD_CASE("report/theme/style-sheet", test_style_sheet),
    ASD_CASE("report/interval/ends", test_interval),
    ASD_CASE("report/histogram/shapes", test_histogram),
    ASD_CASE("report/loss/gaps-and-few", test_loss),
};
ASD_TEST_MAIN(cases)
