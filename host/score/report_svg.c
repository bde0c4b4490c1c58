/* report_svg.c - see report_svg.h. */
#include "score/report_svg.h"
#include "base/utf8.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

/* --- escaped text --- */

/* What XML 1.0 does not allow, or what would reorder or hide neighbouring text. */
static int is_unfit(uint32_t c)
{
    if (c < 0x20)
        return c != '\t' && c != '\n' && c != '\r';
    return (c >= 0x7f && c <= 0x9f) || (c >= 0x200b && c <= 0x200f) ||
           (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || c == 0xfeff ||
           (c & 0xfffe) == 0xfffe || (c >= 0xfdd0 && c <= 0xfdef);
}

void asd_markup_text(FILE *out, const char *text)
{
    for (const char *s = text; *s;) {
        uint32_t code   = 0;
        int      length = asd_utf8_next(s, &code);
        if (!length || is_unfit(code))
            fputs("\xef\xbf\xbd", out);
        else if (code == '&')
            fputs("&amp;", out);
        else if (code == '<')
            fputs("&lt;", out);
        else if (code == '>')
            fputs("&gt;", out);
        else if (code == '"')
            fputs("&quot;", out);
        else if (code == '\'')
            fputs("&#39;", out);
        else
            fwrite(s, 1, (size_t)length, out);
        s += length ? length : 1;
    }
}

/* --- shapes --- */

/* Tenths of a user unit are below a device pixel at every size the page shows. */
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

static void put_attribute(FILE *out, const char *name, double value)
{
    fprintf(out, " %s=\"", name);
    put_tenths(out, tenths(value));
    fputc('"', out);
}

void asd_svg_open(FILE *out, double width, double height, const char *css_class, const char *label,
                  ...)
{
    char    text[1024];
    va_list args;
    va_start(args, label);
    vsnprintf(text, sizeof text, label, args);
    va_end(args);
    fputs("<svg viewBox=\"0 0 ", out);
    put_tenths(out, tenths(width));
    fputc(' ', out);
    put_tenths(out, tenths(height));
    fprintf(out, "\" class=\"%s\" role=\"img\" aria-label=\"", css_class);
    asd_markup_text(out, text);
    fputs("\">", out);
}

void asd_svg_close(FILE *out)
{
    fputs("</svg>\n", out);
}

void asd_svg_line(FILE *out, const char *css_class, double x1, double y1, double x2, double y2)
{
    fprintf(out, "<line class=\"%s\"", css_class);
    put_attribute(out, "x1", x1);
    put_attribute(out, "y1", y1);
    put_attribute(out, "x2", x2);
    put_attribute(out, "y2", y2);
    fputs("/>", out);
}

void asd_svg_rect(FILE *out, const char *css_class, double x, double y, double width, double height)
{
    fprintf(out, "<rect class=\"%s\"", css_class);
    put_attribute(out, "x", x);
    put_attribute(out, "y", y);
    put_attribute(out, "width", width);
    put_attribute(out, "height", height);
    fputs("/>", out);
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

void asd_svg_path(FILE *out, const char *css_class, const asd_svg_map *map, const double *x,
                  const double *y, int64_t n, int closed)
{
    int  drawing = 0;
    long px = 0, py = 0; /* the last corner written */
    long dx = 0, dy = 0; /* the run since then, not yet written */
    fprintf(out, "<path class=\"%s\" d=\"", css_class);
    for (int64_t i = 0; i < n; ++i) {
        if (!isfinite(x[i]) || !isfinite(y[i])) {
            put_step(out, dx, dy);
            dx = dy = drawing = 0;
            continue;
        }
        long qx = tenths(map->x0 + map->x_scale * x[i]);
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
    fputs(closed ? "z\"/>" : "\"/>", out);
}

void asd_svg_text(FILE *out, const char *css_class, asd_anchor anchor, double x, double y,
                  const char *text)
{
    static const char *const names[] = {"", " e-mid", " e-end"};
    fprintf(out, "<text class=\"%s%s\"", css_class, names[anchor]);
    put_attribute(out, "x", x);
    put_attribute(out, "y", y);
    fputc('>', out);
    asd_markup_text(out, text);
    fputs("</text>", out);
}

/* --- ticks --- */

asd_ticks asd_ticks_make(double lo, double hi, int want)
{
    asd_ticks t = {.n = 0, .step = 0};
    /* not below what arithmetic can halve, not beyond what it can add */
    if (!(hi > lo) || !isnormal((hi - lo) / 1024)) {
        t.at[t.n++] = lo;
        return t;
    }
    /* A step that is rounded up may be longer than the range and miss it: then finer. */
    for (; !t.n; want *= 2) {
        double rough = (hi - lo) / want;
        double power = pow(10, floor(log10(rough)));
        double ratio = rough / power;
        t.step       = power * (ratio <= 1 ? 1 : ratio <= 2 ? 2 : ratio <= 5 ? 5 : 10);
        /* A hair of slack keeps ends such as 0.30000000000000004. Multiples are computed, not
         * summed, so 0 is exactly 0. */
        double first = ceil(lo / t.step - 1e-9);
        for (double k = first; k * t.step <= hi + 1e-9 * t.step && t.n < ASD_TICKS_MAX; ++k)
            t.at[t.n++] = k * t.step + 0.0; /* -0 becomes 0 */
    }
    return t;
}

asd_ticks asd_ticks_log(double lo, double hi)
{
    static const double digits[3] = {1, 2, 5};
    asd_ticks           t         = {.n = 0, .step = 0};
    double              decades   = log10(hi / lo);
    int                 per = decades <= 2.5 ? 3 : 1, stride = 1 + (int)(decades / 6);
    for (int e = (int)floor(log10(lo)); e <= (int)floor(log10(hi) + 1e-9); ++e)
        for (int k = 0; k < per; ++k) {
            double v = digits[k] * pow(10, e);
            if (e % stride == 0 && v >= lo * (1 - 1e-9) && v <= hi * (1 + 1e-9) &&
                t.n < ASD_TICKS_MAX)
                t.at[t.n++] = v;
        }
    return t;
}

const char *asd_tick_text(const asd_ticks *t, int i, char buf[32])
{
    double v = t->at[i];
    if (t->step > 0 && fabs(v) < 0.5 * t->step)
        v = 0;
    double largest = fmax(fabs(t->at[0]), fabs(t->at[t->n - 1]));
    if (t->step > 0 && largest < 1e5 && t->step >= 1e-4) {
        int decimals = (int)ceil(-log10(t->step) - 1e-9);
        snprintf(buf, 32, "%.*f", decimals > 0 ? decimals : 0, v);
    } else if (t->step > 0) { /* digits enough to tell neighbours apart */
        double unit   = floor(log10(t->step) + 1e-9);
        int    digits = v == 0 ? 1 : 1 + (int)(floor(log10(fabs(v)) + 1e-9) - unit);
        snprintf(buf, 32, "%.*g", digits < 1 ? 1 : digits > 12 ? 12 : digits, v);
    } else {
        snprintf(buf, 32, "%.4g", v);
    }
    return buf;
}
