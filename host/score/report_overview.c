/* report_overview.c - the sections that compare systems: Omega, differences, cells. */
#include "score/canvas_svg.h"
#include "score/markup.h"
#include "score/report_figures.h"
#include "score/report_page.h"
#include "score/report_theme.h"
#include "score/report_views.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const asd_page_cell_titles[] = {"AUC source", "AUC target", "pAUC"};

void asd_page_key(FILE *out, int system)
{
    asd_svg svg;
    asd_fig_key(asd_svg_on(&svg, out, NULL), system);
}

void asd_page_machine(FILE *out, const asd_report *r, const char *name, int section)
{
    asd_markup_text(out, name);
    if (r->many_sections)
        fprintf(out, " %02d", section);
}

void asd_page_percent(FILE *out, double fraction)
{
    if (isfinite(fraction))
        fprintf(out, "%.2f", 100 * fraction);
    else
        fputs("\xe2\x80\x93", out);
}

void asd_page_interval(FILE *out, asd_interval i, int is_delta)
{
    if (isfinite(i.lo) && isfinite(i.hi))
        fprintf(out, is_delta ? " [%+.2f, %+.2f]" : " [%.2f, %.2f]", 100 * i.lo, 100 * i.hi);
}

/* The same, as plain text for labels. */
static const char *interval_text(asd_interval i, int is_delta, char buf[64])
{
    *buf = 0;
    if (isfinite(i.lo) && isfinite(i.hi))
        snprintf(buf, 64, is_delta ? ", interval %+.2f to %+.2f" : ", interval %.2f to %.2f",
                 100 * i.lo, 100 * i.hi);
    return buf;
}

void asd_page_open_section(FILE *out, const char *id, const char *title)
{
    fprintf(out, "<section aria-labelledby=\"%s\">\n<h2 id=\"%s\">%s</h2>\n", id, id, title);
}

/* --- Omega --- */

static void forest_axis(FILE *out, const asd_report *r, const asd_fig_axis *axis, const char *unit)
{
    asd_svg svg;
    fputs("<div class=\"row axis\"><span class=\"name\"></span><span class=\"plot\">", out);
    asd_fig_axis_row(asd_svg_on(&svg, out, r->font), axis);
    fprintf(out, "</span><span class=\"value muted small\">%s</span></div>\n</div>\n", unit);
}

static asd_status omega_rows(FILE *out, const asd_report *r)
{
    asd_fig_axis axis;
    asd_svg      svg;
    asd_canvas  *c = asd_svg_on(&svg, out, r->font);
    ASD_TRY(asd_report_omega_axis(r, &axis));
    fputs("<div class=\"forest\" role=\"list\">\n", out);
    for (int64_t i = 0; i < r->n_systems; ++i) {
        const asd_report_system *s = &r->system[i];
        char                     label[512], interval[64];
        fputs("<div class=\"row\" role=\"listitem\"><span class=\"name\">", out);
        asd_page_key(out, (int)i);
        asd_markup_text(out, s->name);
        fputs("</span><span class=\"plot\">", out);
        snprintf(label, sizeof label, "Omega of %s: %.2f percent%s", s->name, 100 * s->omega.omega,
                 interval_text(s->omega.omega_ci, 0, interval));
        asd_fig_interval(c, &axis, (int)i, s->omega.omega, s->omega.omega_ci.lo,
                         s->omega.omega_ci.hi, label);
        fputs("</span><span class=\"value\"><b>", out);
        asd_page_percent(out, s->omega.omega);
        fputs("</b><span class=\"muted small\">", out);
        asd_page_interval(out, s->omega.omega_ci, 0);
        fputs("</span></span></div>\n", out);
    }
    forest_axis(out, r, &axis, "\xce\xa9 in %");
    return ASD_OK;
}

asd_status asd_page_omega(FILE *out, const asd_report *r)
{
    asd_page_open_section(out, "omega", "Omega");
    fprintf(out,
            "<p class=\"muted small\">\xce\xa9 is the harmonic mean of %s over all machines%s. "
            "50 %% is chance.</p>\n",
            r->options->omega.cells == ASD_CELLS_21 ? "AUC source, AUC target and pAUC"
                                                    : "the mean of the two AUCs and pAUC",
            r->many_sections ? " and sections" : "");
    ASD_TRY(omega_rows(out, r));
    fputs(
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Means per system\">"
        "<table class=\"lines\"><caption>Means over all machines, in percent</caption>\n<thead><tr>"
        "<th scope=\"col\" class=\"left\">system</th><th scope=\"col\">\xce\xa9</th>"
        "<th scope=\"col\">harmonic<br/>AUC source</th><th scope=\"col\">harmonic<br/>AUC target"
        "</th><th scope=\"col\">harmonic<br/>pAUC</th><th scope=\"col\">arithmetic<br/>of all</th>"
        "<th scope=\"col\">cells</th></tr></thead>\n<tbody>\n",
        out);
    for (int64_t i = 0; i < r->n_systems; ++i) {
        const asd_omega *o = &r->system[i].omega;
        fputs("<tr><th scope=\"row\">", out);
        asd_page_key(out, (int)i);
        asd_markup_text(out, r->system[i].name);
        fputs("</th><td>", out);
        asd_page_percent(out, o->omega);
        for (int c = 0; c < ASD_NCELLS; ++c) {
            fputs("</td><td>", out);
            asd_page_percent(out, o->harmonic[c]);
        }
        fputs("</td><td>", out);
        asd_page_percent(out, o->arithmetic_mean);
        fprintf(out, "</td><td>%" PRId64 "</td></tr>\n", o->n_values);
    }
    fputs("</tbody></table></div>\n</section>\n", out);
    return ASD_OK;
}

/* --- differences --- */

/* A difference of 0 is the middle of the heat scale, 10 points are a quarter of it. */
static int delta_heat(double delta)
{
    return asd_theme_heat_step(0.5 + 2.5 * delta);
}

static void pair_cells(FILE *out, const asd_report *r, const asd_report_pair *p)
{
    const asd_compare *c = &p->compare;
    fputs("<details><summary>Cell by cell: ", out);
    asd_markup_text(out, r->system[p->b].name);
    fputs(" \xe2\x88\x92 ", out);
    asd_markup_text(out, r->system[p->a].name);
    fputs(
        "</summary>\n<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Differences "
        "cell by cell\"><table class=\"heat\"><thead><tr><td></td>",
        out);
    for (int k = 0; k < ASD_NCELLS; ++k)
        fprintf(out, "<th scope=\"col\">%s</th>", asd_page_cell_titles[k]);
    fputs("</tr></thead>\n<tbody>\n", out);
    for (int64_t i = 0; i < c->a.n; ++i) {
        fputs("<tr><th scope=\"row\">", out);
        asd_page_machine(out, r, c->a.row[i].machine, c->a.row[i].section);
        fputs("</th>", out);
        for (int k = 0; k < ASD_NCELLS; ++k) {
            double       delta = c->b.row[i].cell[k] - c->a.row[i].cell[k];
            asd_interval ci    = c->cell_ci ? c->cell_ci[i][k] : (asd_interval){NAN, NAN};
            int          clear = ci.lo > 0 || ci.hi < 0;
            fprintf(out, "<td class=\"h%d\"><b>%+.2f%s</b>", delta_heat(delta), 100 * delta,
                    clear ? "*" : "");
            if (isfinite(ci.lo))
                fprintf(out, "<span>%+.2f \xe2\x80\xa6 %+.2f</span>", 100 * ci.lo, 100 * ci.hi);
            fputs("</td>", out);
        }
        fputs("</tr>\n", out);
    }
    fputs("</tbody></table></div>\n<p class=\"muted small\">Points of percent, blue where ", out);
    asd_markup_text(out, r->system[p->b].name);
    fputs(" is better; * the interval of this cell alone leaves out 0. With many cells some do so "
          "by chance.</p></details>\n",
          out);
}

static void system_name(FILE *out, const asd_report *r, int64_t i)
{
    asd_page_key(out, (int)i);
    asd_markup_text(out, r->system[i].name);
}

static asd_status pair_rows(FILE *out, const asd_report *r)
{
    asd_fig_axis axis;
    asd_svg      svg;
    asd_canvas  *c = asd_svg_on(&svg, out, r->font);
    int64_t      n;
    ASD_TRY(asd_report_pair_axis(r, &axis, &n));
    if (!n)
        return ASD_OK;
    fputs("<div class=\"forest\" role=\"list\">\n", out);
    for (int64_t i = 0; i < r->n_pairs; ++i) {
        const asd_report_pair *p = &r->pair[i];
        char                   label[1024], interval[64];
        if (p->why_not)
            continue;
        fputs("<div class=\"row\" role=\"listitem\"><span class=\"name\">", out);
        system_name(out, r, p->b);
        fputs(" \xe2\x88\x92 ", out);
        system_name(out, r, p->a);
        fputs("</span><span class=\"plot\">", out);
        snprintf(label, sizeof label, "Omega of %s minus Omega of %s: %+.2f points%s",
                 r->system[p->b].name, r->system[p->a].name, 100 * p->compare.delta,
                 interval_text(p->compare.delta_ci, 1, interval));
        asd_fig_interval(c, &axis, (int)p->b, p->compare.delta, p->compare.delta_ci.lo,
                         p->compare.delta_ci.hi, label);
        fprintf(out, "</span><span class=\"value\"><b>%+.2f</b><span class=\"muted small\">",
                100 * p->compare.delta);
        asd_page_interval(out, p->compare.delta_ci, 1);
        if (r->options->omega.replicates)
            fprintf(out, "<br/>better in %.1f %% of replicates", 100 * p->compare.p_delta_gt_0);
        fputs("</span></span></div>\n", out);
    }
    forest_axis(out, r, &axis, "points of \xce\xa9");
    return ASD_OK;
}

asd_status asd_page_pairs(FILE *out, const asd_report *r)
{
    if (!r->n_pairs)
        return ASD_OK;
    asd_page_open_section(out, "differences", "Paired differences");
    fputs(
        "<p class=\"muted small\">Both systems are resampled with the same clips, so what is hard "
        "for both cancels. An interval that leaves out 0 separates two systems; overlapping "
        "intervals of \xce\xa9 alone do not say that they are equal.</p>\n",
        out);
    if (r->n_systems > ASD_REPORT_ALL_PAIRS) {
        fputs("<p class=\"muted small\">The best system is set against each other one: ", out);
        asd_markup_text(out, r->system[r->best].name);
        fputs(".</p>\n", out);
    }
    ASD_TRY(pair_rows(out, r));
    for (int64_t i = 0; i < r->n_pairs; ++i) {
        const asd_report_pair *p = &r->pair[i];
        if (p->why_not) {
            fputs("<p>Not compared: A = ", out);
            system_name(out, r, p->a);
            fputs(" and B = ", out);
            system_name(out, r, p->b);
            fputs(". ", out);
            asd_markup_text(out, p->why_not);
            fputs(".</p>\n", out);
        } else {
            pair_cells(out, r, p);
        }
    }
    fputs("</section>\n", out);
    return ASD_OK;
}

/* --- cells --- */

/* A narrow window may break a name where a word begins: Blower|Dust|Collector, slide_|rail. All
 * bytes involved are ASCII, so no character is cut. */
static int may_break(char before, char after)
{
    return (islower((unsigned char)before) && isupper((unsigned char)after)) || before == '_' ||
           before == '-';
}

static void put_breakable(FILE *out, const char *name)
{
    char  *copy = strdup(name);
    size_t from = 0;
    for (size_t i = 1; copy && i < strlen(name); ++i) {
        if (!may_break(name[i - 1], name[i]))
            continue;
        copy[i] = 0;
        asd_markup_text(out, copy + from);
        fputs("<wbr/>", out);
        copy[i] = name[i], from = i;
    }
    asd_markup_text(out, name + from);
    free(copy);
}

static void heat_table(FILE *out, const asd_report *r, const asd_report_system *s, int style)
{
    const asd_omega *o = &s->omega;
    fputs("<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Cells of ", out);
    asd_markup_text(out, s->name);
    fputs("\"><table class=\"heat\"><caption>", out);
    asd_page_key(out, style);
    asd_markup_text(out, s->name);
    fputs("</caption>\n<thead><tr><td></td>", out);
    for (int c = 0; c < ASD_NCELLS; ++c)
        fprintf(out, "<th scope=\"col\">%s</th>", asd_page_cell_titles[c]);
    fputs("</tr></thead>\n<tbody>\n", out);
    for (int64_t i = 0; i < r->n_machines; ++i) {
        int64_t at = asd_report_row(s, &r->machine[i]);
        fprintf(out, "<tr><th scope=\"row\"><a href=\"#m%" PRId64 "\">", i);
        put_breakable(out, r->machine[i].name);
        if (r->many_sections)
            fprintf(out, " %02d", r->machine[i].section);
        fputs("</a></th>", out);
        for (int c = 0; c < ASD_NCELLS; ++c) {
            if (at < 0) {
                fputs("<td>\xe2\x80\x93</td>", out);
                continue;
            }
            const asd_omega_row *row   = &o->row[at];
            int                  worst = at == o->worst_row && c == o->worst_cell;
            fprintf(out, "<td class=\"h%d%s\"><b>", asd_theme_heat_step(row->cell[c]),
                    worst ? " worst" : "");
            asd_page_percent(out, row->cell[c]);
            fputs("</b>", out);
            if (isfinite(row->ci[c].lo))
                fprintf(out, "<span>%.2f\xe2\x80\x93%.2f</span>", 100 * row->ci[c].lo,
                        100 * row->ci[c].hi);
            fputs("</td>", out);
        }
        fputs("</tr>\n", out);
    }
    fputs("</tbody>\n<tfoot><tr><th scope=\"row\">harmonic mean</th>", out);
    for (int c = 0; c < ASD_NCELLS; ++c) {
        fputs("<td>", out);
        asd_page_percent(out, o->harmonic[c]);
        fputs("</td>", out);
    }
    fputs("</tr></tfoot></table></div>\n", out);
}

static void heat_scale(FILE *out, const asd_report *r)
{
    asd_svg svg;
    fputs("<div class=\"scale\"><span>percent</span>", out);
    asd_fig_heat_scale(asd_svg_on(&svg, out, r->font),
                       "Colour scale: orange below 50 percent, blue above");
    fputs("<span>50 is chance</span></div>\n", out);
}

void asd_page_cells(FILE *out, const asd_report *r)
{
    asd_page_open_section(out, "cells", "Cells");
    fputs("<p class=\"muted small\">The harmonic mean is ruled by its smallest values. The framed "
          "cell (\xe2\x96\xbc) costs \xce\xa9 most: raising it by one point raises \xce\xa9 more "
          "than raising any other.</p>\n<ul class=\"small plain\">\n",
          out);
    for (int64_t i = 0; i < r->n_systems; ++i) {
        const asd_omega     *o   = &r->system[i].omega;
        const asd_omega_row *row = &o->row[o->worst_row];
        fputs("<li><b>", out);
        asd_markup_text(out, r->system[i].name);
        fputs("</b>: ", out);
        asd_page_machine(out, r, row->machine, row->section);
        fprintf(out, ", %s, ", asd_page_cell_titles[o->worst_cell]);
        asd_page_percent(out, row->cell[o->worst_cell]);
        fprintf(out, " %%; one point more there gives %.3f points of \xce\xa9</li>\n",
                100 * row->gain[o->worst_cell]);
    }
    fputs("</ul>\n<div class=\"heats\">\n", out);
    for (int64_t i = 0; i < r->n_systems; ++i)
        heat_table(out, r, &r->system[i], (int)i);
    fputs("</div>\n", out);
    heat_scale(out, r);
    fputs("</section>\n", out);
}
