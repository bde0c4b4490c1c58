/* report_theme.c - see report_theme.h.
 *
 * The palette: system colours keep at least 3:1 against the page in both themes (WCAG 1.4.11) and
 * differ in lightness as well as hue, so they stay apart with any kind of colour blindness and on
 * grey paper; a dash pattern says the same again. Heat goes from orange to blue, the pair that
 * every kind of colour blindness keeps apart, through the page's own background at 50 %, which is
 * chance. tests/test_report.c computes all these contrasts.
 */
#include "score/report_theme.h"

#include "base/status.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

const asd_theme_colour asd_theme_colours[] = {
    {"page", 0xffffff, 0x101418},  {"card", 0xf6f8fa, 0x171d23},   {"text", 0x1a2027, 0xe8edf2},
    {"muted", 0x56616c, 0xa3afbb}, {"grid", 0xdde3e9, 0x2c353e},   {"axis", 0x7d8893, 0x74808c},
    {"link", 0x0a58a8, 0x74b9f5},  {"normal", 0x66788a, 0x8b9cad}, {"anomaly", 0xb5123b, 0xff7d93},
    {"s0", 0x0067ab, 0x5ab5f2},    {"s1", 0xbf4a00, 0xffa05f},     {"s2", 0x00775a, 0x37cf9e},
    {"s3", 0x8a3aa6, 0xd09cf2},    {"s4", 0x80600a, 0xe6c64f},     {"s5", 0xb8256e, 0xff92c4},
    {"s6", 0x3d4854, 0xc6cfd8},    {"s7", 0x00727e, 0x59d2de},     {NULL, 0, 0},
};

#define SYSTEM ASD_COLOUR_OF_SYSTEM
/* class, stroke, width, dash, fill, opacity, dash of the system, round */
const asd_ink_style asd_ink_styles[ASD_NINKS] = {
    [ASD_INK_AXIS]      = {"", "axis", 1, "", NULL, 0, 0, 0},
    [ASD_INK_GRID]      = {"grid", "grid", 1, "", NULL, 0, 0, 0},
    [ASD_INK_CHANCE]    = {"chance", "axis", 1, "2 3", NULL, 0, 0, 0},
    [ASD_INK_ZERO]      = {"zero", "text", 1.2, "", NULL, 0, 0, 0},
    [ASD_INK_THRESHOLD] = {"threshold", "text", 1.2, "4 2.5", NULL, 0, 0, 0},
    [ASD_INK_LOW_FPR]   = {"low-fpr", NULL, 0, "", "muted", 0.16, 0, 0},
    [ASD_INK_NORMAL]    = {"normal", "normal", 0.8, "", "normal", 0.42, 0, 0},
    [ASD_INK_ANOMALY]   = {"anomaly", "anomaly", 1.7, "", "anomaly", 0.1, 0, 0},
    [ASD_INK_BAND]      = {"band", NULL, 0, "", "s0", 0.22, 0, 0},
    [ASD_INK_LOSS]      = {"loss", "s0", 1.8, "", NULL, 0, 0, 1},
    [ASD_INK_LOSS_VAL]  = {"loss-val", "s1", 1.8, "7 3", NULL, 0, 0, 1},
    [ASD_INK_WORST]     = {"frame", "text", 2.5, "", NULL, 0, 0, 0},
    [ASD_INK_HEAT]      = {"h", NULL, 0, "", NULL, 0, 0, 0},
    [ASD_INK_ROC]       = {"roc", SYSTEM, 1.7, "", NULL, 0, 1, 1},
    [ASD_INK_KEY]       = {"swatch", SYSTEM, 2.6, "", NULL, 0, 1, 0},
    [ASD_INK_WHISKER]   = {"whisker", SYSTEM, 3.5, "", NULL, 0, 0, 0},
    [ASD_INK_END]       = {"end", SYSTEM, 1, "", NULL, 0, 0, 0},
    [ASD_INK_DOT]       = {"dot", "page", 1, "", SYSTEM, 1, 0, 0},
};

const asd_frame_style asd_frame_styles[ASD_NFRAMES] = {
    [ASD_FRAME_KEY] = {"key", 0, 10.5, 0},        [ASD_FRAME_ROW] = {"iv", 1, 11.5, 0},
    [ASD_FRAME_PANEL] = {"panel", 0, 10.5, 12.5}, [ASD_FRAME_CURVE] = {"curve", 1, 11.5, 0},
    [ASD_FRAME_SCALE] = {"colours", 0, 11.5, 0},  [ASD_FRAME_SHEET] = {"sheet", 0, 10.5, 0},
};

/* Far ends of the heat scale; text colour on them keeps 4.5:1. */
static const uint32_t heat_low[2]  = {0xf0883e, 0x9c4309};
static const uint32_t heat_high[2] = {0x5aa9e0, 0x0d5fa3};
static const uint32_t heat_mid[2]  = {0xffffff, 0x171d23};

static double channel(uint32_t colour, int shift)
{
    return (double)(colour >> shift & 0xff) / 255;
}

uint32_t asd_theme_heat(int step, int dark)
{
    double   far  = ((double)step + 0.5) / ASD_THEME_HEAT - 0.5; /* -0.475 .. 0.475 */
    double   mix  = pow(fabs(far) / 0.475, 0.85); /* a little steeper near 50 %, where cells lie */
    uint32_t from = heat_mid[dark], to = far < 0 ? heat_low[dark] : heat_high[dark], out = 0;
    for (int shift = 16; shift >= 0; shift -= 8) {
        double v = channel(from, shift) * (1 - mix) + channel(to, shift) * mix;
        out |= (uint32_t)lround(v * 255) << shift;
    }
    return out;
}

int asd_theme_heat_step(double value)
{
    int step = (int)floor(value * ASD_THEME_HEAT + 1e-9);
    return step < 0 ? 0 : step >= ASD_THEME_HEAT ? ASD_THEME_HEAT - 1 : step;
}

static double luminance(uint32_t colour)
{
    static const double weight[3] = {0.2126, 0.7152, 0.0722};
    double              sum       = 0;
    for (int i = 0; i < 3; ++i) {
        double c = channel(colour, 16 - 8 * i);
        sum += weight[i] * (c <= 0.04045 ? c / 12.92 : pow((c + 0.055) / 1.055, 2.4));
    }
    return sum;
}

double asd_theme_contrast(uint32_t a, uint32_t b)
{
    double la = luminance(a), lb = luminance(b);
    return (fmax(la, lb) + 0.05) / (fmin(la, lb) + 0.05);
}

/* Sixteen systems: eight colours, and the second eight with another dash than the first. */
enum { COLOURS = 8, DASHES = 4 };
static const char *const dashes[DASHES] = {"", "7 3", "2 2.4", "9 3 2 3"};

const char *asd_theme_dash(int system)
{
    system %= ASD_THEME_SYSTEMS;
    return dashes[(system + system / COLOURS) % DASHES];
}

uint32_t asd_theme_light(const char *name, int index)
{
    char own[16];
    if (!strcmp(name, SYSTEM)) {
        snprintf(own, sizeof own, "s%d", index % COLOURS);
        name = own;
    }
    const asd_theme_colour *c = asd_theme_colours;
    while (c->name && strcmp(c->name, name))
        ++c;
    ASD_ASSERT(c->name);
    return c->light;
}

static void put_colours(FILE *out, int dark)
{
    fputs(":root{", out);
    for (const asd_theme_colour *c = asd_theme_colours; c->name; ++c)
        fprintf(out, "--%s:#%06x;", c->name, (unsigned)(dark ? c->dark : c->light));
    for (int i = 0; i < ASD_THEME_HEAT; ++i)
        fprintf(out, "--h%d:#%06x%s", i, (unsigned)asd_theme_heat(i, dark),
                i + 1 < ASD_THEME_HEAT ? ";" : "}\n");
}

/* No "<" and no "&": the sheet is valid inside <style> in HTML and XML alike. */
static const char page_css[] =
    "*{box-sizing:border-box}\n"
    "html{color-scheme:light dark;-webkit-text-size-adjust:100%;scroll-behavior:auto}\n"
    "body{margin:0;background:var(--page);color:var(--text);"
    "font:15px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'Noto Sans','Liberation Sans',"
    "'DejaVu Sans',Arial,sans-serif;font-variant-numeric:tabular-nums}\n"
    "main,header,nav,footer{max-width:1320px;margin:0 auto;padding:0 20px}\n"
    "header{padding-top:28px}\n"
    "h1{font-size:26px;line-height:1.25;margin:0 0 4px;overflow-wrap:anywhere}\n"
    "h2{font-size:19px;line-height:1.3;margin:40px 0 6px;padding-top:14px;"
    "border-top:1px solid var(--grid)}\n"
    "h3{font-size:16px;line-height:1.3;margin:0 0 6px;overflow-wrap:anywhere}\n"
    "h4{font-size:13px;margin:0 0 2px;overflow-wrap:anywhere}\n"
    "p{margin:6px 0;max-width:90ch;overflow-wrap:anywhere}\n"
    "a{color:var(--link)}\n"
    "a:focus-visible,summary:focus-visible,.scroll:focus-visible{outline:2px solid var(--link);"
    "outline-offset:2px}\n"
    ".muted,figcaption,caption{color:var(--muted)}\n"
    ".small{font-size:13px}\n"
    ".nowrap{white-space:nowrap}\n"
    ".skip{position:absolute;left:-9999px}\n"
    ".skip:focus{left:8px;top:8px;background:var(--page);padding:6px 10px;z-index:2}\n"
    "nav ul{display:flex;flex-wrap:wrap;gap:2px 18px;list-style:none;margin:14px 0 0;padding:0}\n"
    "figure{margin:0}\n"
    "figcaption{font-size:12.5px;line-height:1.4;overflow-wrap:anywhere}\n"
    "footer{padding-top:24px;padding-bottom:40px;font-size:13px;color:var(--muted)}\n"
    ".scroll{overflow-x:auto;max-width:100%}\n"
    "table{border-collapse:collapse;font-size:14px}\n"
    "caption{text-align:left;font-size:13px;padding-bottom:4px}\n"
    "th,td{padding:4px 10px;text-align:right;vertical-align:top}\n"
    "th{font-weight:600}\n"
    "th[scope=row],th.left,td.left{text-align:left;overflow-wrap:anywhere}\n"
    ".lines th[scope=row]{min-width:8.5em}\n"
    "th[scope=colgroup]{text-align:center}\n"
    "thead th{border-bottom:1px solid var(--axis);vertical-align:bottom}\n"
    ".lines tbody tr+tr{border-top:1px solid var(--grid)}\n"
    ".facts{margin-bottom:14px}.facts td.left{width:60%}\n"
    ".facts th[scope=row]{font-weight:400;color:var(--muted);min-width:9em}\n"
    ".plain{margin:6px 0;padding-left:18px}\n"
    ".counts{font-weight:400;margin-left:6px}\n"
    "details{margin:10px 0}\n"
    "summary{cursor:pointer;font-weight:600}\n"
    /* systems: colour and dash say the same */
    ".key{display:inline-block;width:26px;height:10px;vertical-align:baseline;margin-right:5px}\n"
    /* intervals */
    ".forest{margin:12px 0 4px;max-width:1000px}\n"
    ".forest .row{display:grid;grid-template-columns:minmax(120px,17em) 1fr minmax(150px,13em);"
    "gap:0 16px;align-items:center;padding:3px 0;border-top:1px solid var(--grid)}\n"
    ".forest .row:first-child,.forest .axis{border-top:0}\n"
    ".forest .value{text-align:right;white-space:nowrap}\n"
    ".forest .name{overflow-wrap:anywhere;font-weight:600}\n"
    ".iv{display:block;width:100%;overflow:visible}\n"
    /* heat map */
    ".heats{display:flex;flex-wrap:wrap;gap:22px 24px;align-items:flex-start;margin-top:12px}\n"
    ".heats .scroll{flex:0 1 auto}\n"
    ".heat{border-collapse:separate;border-spacing:2px}\n"
    ".heat caption{color:var(--text);font-size:14px;font-weight:600;overflow-wrap:anywhere}\n"
    ".heat thead th{border:0;font-size:12.5px;padding:2px 4px;text-align:center}\n"
    ".heat th[scope=row]{font-weight:400;padding:3px 8px 3px 0;vertical-align:middle;"
    "line-height:1.25;max-width:11em;overflow-wrap:break-word}\n"
    ".heat td{text-align:center;padding:3px 6px 4px;min-width:78px;line-height:1.2;"
    "border-radius:3px;vertical-align:middle}\n"
    ".heat td b{font-weight:600;display:block}\n"
    ".heat td span{font-size:11px;white-space:nowrap}\n"
    ".heat td.worst{outline:2.5px solid var(--text);outline-offset:-2px}\n"
    ".heat td.worst b::before{content:'\\25BC\\A0'}\n"
    ".heat tfoot td,.heat tfoot th{border-top:1px solid var(--axis);border-radius:0}\n"
    ".scale{display:flex;align-items:center;gap:8px;font-size:12.5px;color:var(--muted);"
    "margin-top:10px;flex-wrap:wrap}\n"
    ".colours{width:260px;height:30px;display:block}\n"
    /* machine cards and their panels */
    ".card{background:var(--card);border:1px solid var(--grid);border-radius:8px;"
    "padding:12px 14px 14px;margin:14px 0}\n"
    ".panels{display:grid;grid-template-columns:repeat(auto-fill,minmax(155px,1fr));"
    "gap:14px 16px}\n"
    "@media (min-width:700px){.panels{grid-template-columns:repeat(auto-fill,minmax(205px,1fr))}}\n"
    ".panels figure{max-width:270px;min-width:0}\n"
    ".panel{display:block;width:100%;height:auto}\n"
    /* value labels stand in the margin */
    ".curve{display:block;width:calc(100% - 56px);margin-left:56px;overflow:visible}\n"
    ".curves{display:grid;grid-template-columns:repeat(auto-fill,minmax(280px,1fr));gap:18px 24px;"
    "margin-top:10px}\n"
    ".curves.wide{grid-template-columns:minmax(0,1000px)}\n"
    /* inside figures */
    "svg text{fill:var(--muted)}\n"
    "svg text.strong{fill:var(--text)}\n"
    ".e-mid{text-anchor:middle}\n"
    ".e-end{text-anchor:end}\n"
    "svg svg path{vector-effect:non-scaling-stroke}\n";

static const char print_css[] =
    "@page{margin:14mm}\n"
    "@media print{body{font-size:10.5pt}main,header,nav,footer{max-width:none;padding:0}"
    "nav,.skip{display:none}h2{break-after:avoid}h3{break-after:avoid}"
    "figure,.row,tr,.card,.heats .scroll{break-inside:avoid}.scroll{overflow:visible}"
    ".panels{grid-template-columns:repeat(5,1fr)}"
    "details::details-content{content-visibility:visible;block-size:auto}"
    "*{-webkit-print-color-adjust:exact;print-color-adjust:exact}}\n";

static const char narrow_css[] =
    "@media (max-width:640px){main,header,nav,footer{padding-left:16px;padding-right:16px}"
    "h1{font-size:22px}"
    ".forest .row{grid-template-columns:1fr auto;padding:6px 0}"
    ".forest .plot{grid-column:1/-1;grid-row:2}"
    ".forest .axis .name,.forest .axis .value{display:none}"
    ".heats .scroll,.heat{width:100%}.heat td{min-width:0;padding:3px 2px 4px}"
    ".heat td span{font-size:10.5px}.heat th[scope=row]{font-size:13px}"
    ".card{padding:10px 10px 12px;margin-left:-6px;margin-right:-6px}"
    "th,td{padding:4px 6px}.counts{display:block;margin:0}}\n";

/* Inks as rules. Where the system decides, its class (.s0) gives colour and dash. */
static void put_inks(FILE *out)
{
    fputs("svg line,svg path{fill:none;stroke:var(--axis)}\n", out);
    for (int k = ASD_INK_AXIS + 1; k < ASD_NINKS; ++k) {
        const asd_ink_style *s = &asd_ink_styles[k];
        if (k == ASD_INK_HEAT) /* tables have these classes as well, see asd_theme_css */
            continue;
        fprintf(out, "svg .%s{", s->css_class);
        if (!s->stroke)
            fputs("stroke:none", out);
        else
            fprintf(out, "stroke-width:%g", s->width);
        if (s->stroke && strcmp(s->stroke, SYSTEM))
            fprintf(out, ";stroke:var(--%s)", s->stroke);
        if (*s->dash)
            fprintf(out, ";stroke-dasharray:%s", s->dash);
        if (s->is_round)
            fputs(";stroke-linejoin:round", out);
        if (s->fill && strcmp(s->fill, SYSTEM))
            fprintf(out, ";fill:var(--%s);fill-opacity:%g", s->fill, s->fill_opacity);
        fputs("}\n", out);
    }
    for (int i = 0; i < ASD_THEME_SYSTEMS; ++i) {
        fprintf(out, "svg .s%d{stroke:var(--s%d)", i, i % COLOURS);
        if (*asd_theme_dash(i))
            fprintf(out, ";stroke-dasharray:%s", asd_theme_dash(i));
        fprintf(out,
                "}svg .dot.s%d{fill:var(--s%d);stroke:var(--page)}"
                "svg .whisker.s%d,svg .end.s%d,svg .dot.s%d{stroke-dasharray:none}\n",
                i, i % COLOURS, i, i, i);
    }
}

static void put_text_sizes(FILE *out)
{
    for (int k = 0; k < ASD_NFRAMES; ++k)
        fprintf(out, ".%s text{font-size:%gpx}", asd_frame_styles[k].css_class,
                asd_frame_styles[k].text_px);
    fputs("\n@media (max-width:640px){", out);
    for (int k = 0; k < ASD_NFRAMES; ++k)
        if (asd_frame_styles[k].narrow_px > 0)
            fprintf(out, ".%s text{font-size:%gpx}", asd_frame_styles[k].css_class,
                    asd_frame_styles[k].narrow_px);
    fputs("}\n", out);
}

void asd_theme_css(FILE *out)
{
    put_colours(out, 0);
    fputs("@media screen and (prefers-color-scheme:dark){", out);
    put_colours(out, 1);
    fputs("}\n", out);
    fputs(page_css, out);
    put_inks(out);
    put_text_sizes(out);
    for (int i = 0; i < ASD_THEME_HEAT; ++i)
        fprintf(out, ".h%d{background:var(--h%d);fill:var(--h%d)}", i, i, i);
    fputc('\n', out);
    fputs(narrow_css, out);
    fputs(print_css, out);
}
