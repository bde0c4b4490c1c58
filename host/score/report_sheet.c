/* report_sheet.c - see report_sheet.h. */
#include "score/report_sheet.h"

#include "base/utf8.h"
#include "score/markup.h"
#include "score/report_page.h" /* asd_page_cell_titles */
#include "score/report_theme.h"
#include "score/report_views.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Pixels; 3/4 of a point each. Text of 10.5 is then 7.9 point, to stand beside a paper's 9 or 10.
 */
enum {
    COLUMN  = 325, /* 86 mm: a column of IEEE and DCASE papers */
    MARGIN  = 3,   /* half a dot, half a frame */
    INNER   = COLUMN - 2 * MARGIN,
    GAP     = 8,
    LINE    = 14, /* from base line to base line */
    ROW     = 34, /* a row of omega and differences: two lines of words; the grid lines meet */
    CELL_H  = 30, /* a row of cells: the same, closer */
    PANEL   = ASD_FIG_PANEL,
    PANEL_X = 236, /* from panel to panel: three make 178 mm, both columns */
    PANELS  = 3,
    KEY     = ASD_FIG_KEY_W + 5
};

enum { MAX_WORDS = 300 };

static void put(asd_canvas *c, asd_anchor anchor, int is_strong, double x, double y,
                const char *text)
{
    asd_draw_text(
        c, (asd_label){.text = text, .x = x, .y = y, .anchor = anchor, .is_strong = is_strong});
}

static double sheet_width(asd_canvas *c, const char *text)
{
    return asd_text_width(c, ASD_FRAME_SHEET, text);
}

/* The words, cut with "..." at a character's end to be no wider than `width`. */
static const char *fit(asd_canvas *c, const char *text, double width, char out[MAX_WORDS])
{
    char   clean[MAX_WORDS - 4];
    size_t end = strlen(asd_clean_text(clean, sizeof clean, text));
    strcpy(out, clean);
    while (end > 0 && sheet_width(c, out) > width) {
        while (--end > 0 && ((unsigned char)clean[end] & 0xc0) == 0x80)
            ;
        memcpy(out, clean, end);
        strcpy(out + end, "\xe2\x80\xa6");
    }
    return out;
}

static void put_key(asd_paper *p, asd_canvas *c, double x, double base, int64_t system)
{
    asd_paper_place(p, x, base - 9, 0);
    asd_fig_key(c, (int)system);
}

/* A legend's entry; returns where the next one begins. */
static double put_swatch(asd_paper *p, asd_canvas *c, double x, double base, asd_ink ink,
                         const char *text)
{
    asd_paper_place(p, x, base - 9, 0);
    asd_fig_swatch(c, ink);
    put(c, ASD_ANCHOR_START, 0, x + KEY, base, text);
    return x + KEY + sheet_width(c, text) + 2 * GAP;
}

static const char *percent(double fraction, char out[32])
{
    if (isfinite(fraction))
        snprintf(out, 32, "%.2f", 100 * fraction);
    else
        strcpy(out, "\xe2\x80\x93");
    return out;
}

asd_status asd_sheet_draw(const asd_sheet *s, asd_paper *p)
{
    asd_canvas *c = asd_paper_canvas(p);
    asd_paper_place(p, MARGIN, MARGIN, 0);
    asd_draw_begin(c, ASD_FRAME_SHEET, s->width - 2 * MARGIN, s->height - 2 * MARGIN, s->title);
    asd_status st = s->draw(s, p, c);
    asd_draw_end(c);
    return st;
}

/* --- intervals: name, plot, value --- */

typedef struct forest {
    double       plot_x, plot_w, name_w;
    asd_fig_axis axis;
} forest;

static const char *interval_words(asd_interval i, int is_delta, char out[64])
{
    *out = 0;
    if (isfinite(i.lo) && isfinite(i.hi))
        snprintf(out, 64, is_delta ? "[%+.2f, %+.2f]" : "[%.2f, %.2f]", 100 * i.lo, 100 * i.hi);
    return out;
}

static forest forest_layout(const asd_sheet *s, asd_canvas *c, double name_w, double value_w)
{
    forest f = {.axis = s->axis};
    f.name_w = fmin(name_w, 0.38 * INNER);
    f.plot_x = f.name_w + GAP;
    f.plot_w = INNER - f.plot_x - GAP - value_w;
    asd_fig_axis_thin(c, &f.axis, f.plot_w);
    return f;
}

static void forest_row(const forest *f, asd_paper *p, asd_canvas *c, int64_t row, int64_t system,
                       double value, asd_interval ci)
{
    char   words[64];
    double y = (double)row * ROW;
    asd_paper_place(p, f->plot_x, y + 2, f->plot_w);
    asd_fig_interval(c, &f->axis, (int)system, value, ci.lo, ci.hi, NULL);
    snprintf(words, sizeof words, f->axis.is_delta ? "%+.2f" : "%.2f", 100 * value);
    put(c, ASD_ANCHOR_END, 1, INNER, y + 13, words);
    put(c, ASD_ANCHOR_END, 0, INNER, y + 13 + LINE, interval_words(ci, f->axis.is_delta, words));
}

static void forest_axis(const forest *f, asd_paper *p, asd_canvas *c, int64_t n_rows,
                        const char *unit)
{
    asd_paper_place(p, f->plot_x, (double)n_rows * ROW + 2, f->plot_w);
    asd_fig_axis_row(c, &f->axis);
    put(c, ASD_ANCHOR_END, 0, INNER, (double)n_rows * ROW + 18, unit);
}

static double widen(double width, asd_canvas *c, const char *words)
{
    return fmax(width, sheet_width(c, words));
}

static asd_status draw_omega(const asd_sheet *s, asd_paper *p, asd_canvas *c)
{
    const asd_report *r      = s->r;
    double            name_w = 0, value_w = sheet_width(c, "\xce\xa9 in %");
    char              words[MAX_WORDS];
    for (int64_t i = 0; i < r->n_systems; ++i) {
        name_w  = widen(name_w, c, r->system[i].name);
        value_w = widen(value_w, c, interval_words(r->system[i].omega.omega_ci, 0, words));
    }
    forest f = forest_layout(s, c, name_w + KEY, value_w);
    for (int64_t i = 0; i < r->n_systems; ++i) {
        const asd_omega *o    = &r->system[i].omega;
        double           base = (double)i * ROW + 19;
        forest_row(&f, p, c, i, i, o->omega, o->omega_ci);
        put_key(p, c, 0, base, i);
        put(c, ASD_ANCHOR_START, 1, KEY, base, fit(c, r->system[i].name, f.name_w - KEY, words));
    }
    forest_axis(&f, p, c, r->n_systems, "\xce\xa9 in %");
    return ASD_OK;
}

asd_status asd_sheet_omega(const asd_report *r, asd_sheet *out)
{
    *out        = (asd_sheet){.r = r, .width = COLUMN, .n_rows = r->n_systems, .draw = draw_omega};
    out->height = (double)out->n_rows * ROW + ASD_FIG_AXIS_H + 2 + 2 * MARGIN;
    snprintf(out->title, sizeof out->title, "Omega of each system");
    return asd_report_omega_axis(r, &out->axis);
}

#define MINUS "\xe2\x88\x92 "

static asd_status draw_pairs(const asd_sheet *s, asd_paper *p, asd_canvas *c)
{
    const asd_report *r      = s->r;
    double            name_w = 0, value_w = sheet_width(c, "points of \xce\xa9");
    char              words[MAX_WORDS], line[MAX_WORDS + 8];
    for (int64_t i = 0; i < r->n_pairs; ++i) {
        const asd_report_pair *pair = &r->pair[i];
        if (pair->why_not)
            continue;
        name_w  = widen(name_w, c, r->system[pair->a].name);
        name_w  = widen(name_w, c, r->system[pair->b].name);
        value_w = widen(value_w, c, interval_words(pair->compare.delta_ci, 1, words));
    }
    double minus_w = sheet_width(c, MINUS);
    forest f       = forest_layout(s, c, name_w + minus_w + KEY, value_w);
    double room    = f.name_w - KEY - minus_w;
    for (int64_t i = 0, row = 0; i < r->n_pairs; ++i) {
        const asd_report_pair *pair = &r->pair[i];
        double                 base = (double)row * ROW + 13;
        if (pair->why_not)
            continue;
        forest_row(&f, p, c, row++, pair->b, pair->compare.delta, pair->compare.delta_ci);
        put_key(p, c, 0, base, pair->b);
        put(c, ASD_ANCHOR_START, 1, KEY, base, fit(c, r->system[pair->b].name, room, words));
        put_key(p, c, 0, base + LINE, pair->a);
        snprintf(line, sizeof line, MINUS "%s", fit(c, r->system[pair->a].name, room, words));
        put(c, ASD_ANCHOR_START, 1, KEY, base + LINE, line);
    }
    forest_axis(&f, p, c, s->n_rows, "points of \xce\xa9");
    return ASD_OK;
}

asd_status asd_sheet_pairs(const asd_report *r, asd_sheet *out)
{
    *out = (asd_sheet){.r = r, .width = COLUMN, .draw = draw_pairs};
    snprintf(out->title, sizeof out->title, "Paired differences of Omega");
    ASD_TRY(asd_report_pair_axis(r, &out->axis, &out->n_rows));
    out->height = (double)out->n_rows * ROW + ASD_FIG_AXIS_H + 2 + 2 * MARGIN;
    return ASD_OK;
}

/* --- cells --- */

static void machine_words(const asd_report *r, int64_t index, char out[MAX_WORDS])
{
    const asd_report_machine *m = &r->machine[index];
    if (r->many_sections)
        snprintf(out, MAX_WORDS, "%.280s %02d", m->name, m->section);
    else
        snprintf(out, MAX_WORDS, "%.290s", m->name);
}

typedef struct cells {
    double name_w, cell_w;
    int    decimals; /* of the intervals: two, or one where two do not fit */
} cells;

static void cell_interval(asd_interval i, int decimals, char out[64])
{
    snprintf(out, 64, "%.*f\xe2\x80\x93%.*f", decimals, 100 * i.lo, decimals, 100 * i.hi);
}

static void put_cell(const cells *layout, asd_canvas *c, int column, double y,
                     const asd_omega_row *row, int is_worst)
{
    char   words[64];
    double w = layout->cell_w, x = layout->name_w + GAP + column * w;
    double value = row->cell[column];
    asd_draw_rect(c, ASD_INK_HEAT, asd_theme_heat_step(value), x + 1, y + 1, w - 2, CELL_H - 2);
    if (is_worst)
        asd_draw_rect(c, ASD_INK_WORST, 0, x + 2, y + 2, w - 4, CELL_H - 4);
    int has_interval = isfinite(row->ci[column].lo) && isfinite(row->ci[column].hi);
    put(c, ASD_ANCHOR_MIDDLE, 1, x + w / 2, y + (has_interval ? 13 : 19), percent(value, words));
    if (has_interval) {
        cell_interval(row->ci[column], layout->decimals, words);
        put(c, ASD_ANCHOR_MIDDLE, 1, x + w / 2, y + 13 + LINE - 2, words);
    }
}

static cells cells_layout(const asd_report *r, asd_canvas *c)
{
    cells l = {.name_w = sheet_width(c, "harmonic mean"), .decimals = 2};
    char  words[MAX_WORDS];
    for (int64_t i = 0; i < r->n_machines; ++i) {
        machine_words(r, i, words);
        l.name_w = widen(l.name_w, c, words);
    }
    l.name_w = fmin(l.name_w, 0.38 * INNER);
    l.cell_w = (INNER - l.name_w - GAP) / ASD_NCELLS;
    cell_interval((asd_interval){0.8888, 0.8888}, 2, words);
    if (sheet_width(c, words) > l.cell_w - 6)
        l.decimals = 1;
    return l;
}

static asd_status draw_cells(const asd_sheet *s, asd_paper *p, asd_canvas *c)
{
    const asd_report        *r      = s->r;
    const asd_report_system *system = &r->system[s->index];
    const asd_omega         *o      = &system->omega;
    const cells              l      = cells_layout(r, c);
    char                     words[MAX_WORDS], fitted[MAX_WORDS];
    double                   y = LINE + 4, x0 = l.name_w + GAP;
    for (int k = 0; k < ASD_NCELLS; ++k)
        put(c, ASD_ANCHOR_MIDDLE, 1, x0 + (k + 0.5) * l.cell_w, LINE - 2, asd_page_cell_titles[k]);
    for (int64_t i = 0; i < r->n_machines; ++i, y += CELL_H) {
        int64_t at = asd_report_row(system, &r->machine[i]);
        machine_words(r, i, words);
        put(c, ASD_ANCHOR_START, 1, 0, y + 19, fit(c, words, l.name_w, fitted));
        for (int k = 0; k < ASD_NCELLS; ++k)
            if (at >= 0)
                put_cell(&l, c, k, y, &o->row[at], at == o->worst_row && k == o->worst_cell);
            else
                put(c, ASD_ANCHOR_MIDDLE, 0, x0 + (k + 0.5) * l.cell_w, y + 19,
                    percent(NAN, words));
    }
    asd_draw_line(c, ASD_INK_AXIS, 0, 0, y + 2, INNER, y + 2);
    put(c, ASD_ANCHOR_START, 1, 0, y + LINE + 2, "harmonic mean");
    for (int k = 0; k < ASD_NCELLS; ++k)
        put(c, ASD_ANCHOR_MIDDLE, 1, x0 + (k + 0.5) * l.cell_w, y + LINE + 2,
            percent(o->harmonic[k], words));
    y += 2 * LINE;
    put(c, ASD_ANCHOR_END, 0, INNER - ASD_FIG_SCALE_W, y + 11, "percent");
    asd_paper_place(p, INNER - ASD_FIG_SCALE_W, y, 0);
    asd_fig_heat_scale(c, NULL);
    return ASD_OK;
}

void asd_sheet_cells(const asd_report *r, int64_t system, asd_sheet *out)
{
    *out = (asd_sheet){.r = r, .width = COLUMN, .index = system, .draw = draw_cells};
    out->height =
        LINE + 4 + (double)r->n_machines * CELL_H + 2 * LINE + ASD_FIG_SCALE_H + 2 * MARGIN;
    snprintf(out->title, sizeof out->title, "Cells of %.400s", r->system[system].name);
}

/* --- ROC --- */

/* Systems that scored the machine: entries of its legends, histograms. */
static int64_t n_scored(const asd_report *r, int64_t machine)
{
    int64_t n = 0;
    for (int64_t i = 0; i < r->n_systems; ++i)
        n += asd_report_row(&r->system[i], &r->machine[machine]) >= 0;
    return n;
}

static void roc_legend(const asd_sheet *s, asd_paper *p, asd_canvas *c, double x, int cell)
{
    const asd_report *r    = s->r;
    double            base = LINE + PANEL + LINE;
    for (int64_t i = 0; i < r->n_systems; ++i) {
        int64_t at = asd_report_row(&r->system[i], &r->machine[s->index]);
        char    number[32], words[MAX_WORDS];
        if (at < 0)
            continue;
        snprintf(words, sizeof words, "%s %s", cell == ASD_CELL_PAUC ? "pAUC" : "AUC",
                 percent(r->system[i].omega.row[at].cell[cell], number));
        put(c, ASD_ANCHOR_END, 1, x + PANEL, base, words);
        double room = PANEL - KEY - GAP - sheet_width(c, words);
        put_key(p, c, x, base, i);
        put(c, ASD_ANCHOR_START, 0, x + KEY, base, fit(c, r->system[i].name, room, words));
        base += LINE;
    }
}

static asd_status draw_roc(const asd_sheet *s, asd_paper *p, asd_canvas *c)
{
    for (int k = 0; k < PANELS; ++k) {
        const asd_report_roc_panel *panel = &asd_report_roc_panels[k];
        const double                x     = k * PANEL_X;
        asd_report_rocs             rocs;
        asd_status st = asd_report_rocs_make(s->r, &s->r->machine[s->index], panel, &rocs);
        if (!st) {
            put(c, ASD_ANCHOR_START, 1, x + 40, LINE - 4, panel->title); /* over the axis */
            asd_paper_place(p, x, LINE, 0);
            asd_fig_roc(c, rocs.curve, rocs.n, panel->low_fpr, NULL);
            roc_legend(s, p, c, x, panel->cell);
        }
        asd_report_rocs_clear(&rocs);
        ASD_TRY(st);
    }
    return ASD_OK;
}

void asd_sheet_roc(const asd_report *r, int64_t machine, asd_sheet *out)
{
    *out        = (asd_sheet){.r = r, .index = machine, .draw = draw_roc};
    out->width  = 2 * PANEL_X + PANEL + 2 * MARGIN;
    out->height = LINE + PANEL + 4 + (double)n_scored(r, machine) * LINE + 2 * MARGIN;
    char words[MAX_WORDS];
    machine_words(r, machine, words);
    snprintf(out->title, sizeof out->title, "ROC curves of %s", words);
}

/* --- histograms --- */

enum { HISTOGRAM_H = LINE + PANEL + LINE + 2 }; /* heading, panel, caption */

static asd_status draw_scores(const asd_sheet *s, asd_paper *p, asd_canvas *c)
{
    const asd_report *r             = s->r;
    int               n             = 0;
    int               has_threshold = 0;
    for (int64_t i = 0; i < r->n_systems; ++i) {
        const asd_eval_set *set = asd_report_set(&r->system[i], &r->machine[s->index]);
        char                words[MAX_WORDS];
        int64_t             beyond;
        if (!set)
            continue;
        double         x = n % PANELS * PANEL_X, y = n / PANELS * HISTOGRAM_H;
        asd_fig_scores scores = asd_report_scores(set);
        put_key(p, c, x, y + LINE - 4, i);
        put(c, ASD_ANCHOR_START, 1, x + KEY, y + LINE - 4,
            fit(c, r->system[i].name, PANEL - KEY, words));
        asd_paper_place(p, x, y + LINE, 0);
        ASD_TRY(asd_fig_histogram(c, &scores, NULL, &beyond));
        *words = 0;
        if (isfinite(scores.threshold))
            has_threshold = 1,
            snprintf(words, sizeof words, "threshold near %.4g", scores.threshold);
        if (beyond)
            snprintf(words + strlen(words), sizeof words - strlen(words), "%s%lld beyond the ends",
                     *words ? "; " : "", (long long)beyond);
        if (*words)
            put(c, ASD_ANCHOR_MIDDLE, 0, x + 117, y + LINE + PANEL + LINE - 4, words);
        ++n;
    }
    double base = (n + PANELS - 1) / PANELS * HISTOGRAM_H + LINE - 4;
    double x    = put_swatch(p, c, 0, base, ASD_INK_NORMAL, "normal");
    x           = put_swatch(p, c, x, base, ASD_INK_ANOMALY, "anomalous");
    if (n == 1) /* as wide as one panel: a second line */
        x = 0, base += LINE;
    if (has_threshold)
        put_swatch(p, c, x, base, ASD_INK_THRESHOLD, "decision threshold");
    return ASD_OK;
}

void asd_sheet_scores(const asd_report *r, int64_t machine, asd_sheet *out)
{
    int64_t n = n_scored(r, machine), columns = n < PANELS ? n : PANELS;
    *out       = (asd_sheet){.r = r, .index = machine, .draw = draw_scores};
    out->width = (double)(columns - 1) * PANEL_X + PANEL + 2 * MARGIN;
    out->height =
        (double)((n + PANELS - 1) / PANELS * HISTOGRAM_H + (n == 1 ? 2 : 1) * LINE) + 2 * MARGIN;
    char words[MAX_WORDS];
    machine_words(r, machine, words);
    snprintf(out->title, sizeof out->title, "Scores of %s", words);
}

/* --- loss --- */

static int has_values(const double *v, int64_t n)
{
    for (int64_t i = 0; i < n; ++i)
        if (isfinite(v[i]))
            return 1;
    return 0;
}

static asd_status draw_loss(const asd_sheet *s, asd_paper *p, asd_canvas *c)
{
    const asd_report_curve *k       = s->curve;
    const asd_fig_series    loss    = {k->step, k->loss, k->n};
    const asd_fig_series    val     = {k->step, k->val_loss, k->n};
    int                     has_val = has_values(k->val_loss, k->n);
    double                  margin;
    ASD_TRY(asd_fig_loss_margin(c, &loss, has_val ? &val : NULL, &margin));
    double x = put_swatch(p, c, margin, LINE - 4, ASD_INK_LOSS, "loss");
    if (k->n > ASD_FIG_LOSS_POINTS)
        x = put_swatch(p, c, x, LINE - 4, ASD_INK_BAND, "its range");
    if (has_val)
        put_swatch(p, c, x, LINE - 4, ASD_INK_LOSS_VAL, "validation");
    asd_paper_place(p, margin, LINE + 2, INNER - margin);
    return asd_fig_loss(c, &loss, has_val ? &val : NULL, (int)(s->height - 2 * MARGIN - LINE - 2),
                        NULL);
}

void asd_sheet_loss(const asd_report *r, const asd_report_curve *curve, asd_sheet *out)
{
    *out = (asd_sheet){.r = r, .width = COLUMN, .height = 190, .curve = curve, .draw = draw_loss};
    snprintf(out->title, sizeof out->title, "Training loss%s%.400s", *curve->machine ? " of " : "",
             curve->machine);
}
