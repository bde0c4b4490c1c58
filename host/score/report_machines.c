/* report_machines.c - a card per machine and section: ROC curves of all systems, score histograms.
 */
#include "score/canvas_svg.h"
#include "score/markup.h"
#include "score/report_figures.h"
#include "score/report_page.h"
#include "score/report_views.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- ROC --- */

static void roc_caption(FILE *out, const asd_report *r, const asd_report_machine *m,
                        const asd_report_roc_panel *panel)
{
    fputs("<figcaption>", out);
    for (int64_t i = 0, n = 0; i < r->n_systems; ++i) {
        int64_t at = asd_report_row(&r->system[i], m);
        if (at < 0)
            continue;
        const asd_omega_row *row = &r->system[i].omega.row[at];
        if (n++)
            fputs("<br/>", out);
        asd_page_key(out, (int)i);
        asd_markup_text(out, r->system[i].name);
        fputs(panel->domain < 0 ? ": <span class=\"nowrap\">pAUC <b>"
                                : ": <span class=\"nowrap\">AUC <b>",
              out);
        asd_page_percent(out, row->cell[panel->cell]);
        fputs("</b></span>", out);
        if (panel->domain < 0) {
            fputs(" <span class=\"nowrap\">(AUC ", out);
            asd_page_percent(out, row->auc_all);
            fputs(")</span>", out);
        }
    }
    fputs("</figcaption>", out);
}

static asd_status roc_panel(FILE *out, const asd_report *r, const asd_report_machine *m, int which)
{
    const asd_report_roc_panel *panel = &asd_report_roc_panels[which];
    asd_report_rocs             rocs;
    asd_svg                     svg;
    char                        label[512];
    asd_status                  st = asd_report_rocs_make(r, m, panel, &rocs);
    if (!st) {
        fprintf(out, "<figure><h4>ROC, %s</h4>", panel->title);
        snprintf(label, sizeof label,
                 "ROC, %s of %s section %02d, one curve per system; values below", panel->title,
                 m->name, m->section);
        asd_fig_roc(asd_svg_on(&svg, out, r->font), rocs.curve, rocs.n, panel->low_fpr, label);
        roc_caption(out, r, m, panel);
        fputs("</figure>\n", out);
    }
    asd_report_rocs_clear(&rocs);
    return st;
}

/* --- histograms --- */

static asd_status histogram_panel(FILE *out, const asd_report *r, int64_t index,
                                  const asd_report_machine *m)
{
    const asd_report_system *system = &r->system[index];
    const asd_eval_set      *set    = asd_report_set(system, m);
    int64_t                  beyond = 0;
    asd_svg                  svg;
    char                     label[512];
    if (!set)
        return ASD_OK;
    asd_fig_scores s = asd_report_scores(set);
    snprintf(label, sizeof label,
             "Score histograms of %s section %02d by %s, source above target, normal filled, "
             "anomalous outlined",
             m->name, m->section, system->name);
    fputs("<figure><h4>Scores, ", out);
    asd_page_key(out, (int)index);
    asd_markup_text(out, system->name);
    fputs("</h4>", out);
    ASD_TRY(asd_fig_histogram(asd_svg_on(&svg, out, r->font), &s, label, &beyond));
    fputs("<figcaption>", out);
    if (isfinite(s.threshold))
        fprintf(out, "threshold near %.4g", s.threshold);
    if (beyond)
        fprintf(out, "%s%" PRId64 " far-off clip%s counted in the end bins",
                isfinite(s.threshold) ? "; " : "", beyond, beyond == 1 ? "" : "s");
    fputs("</figcaption></figure>\n", out);
    return ASD_OK;
}

/* --- cards --- */

static void counts(FILE *out, const asd_report *r, const asd_report_machine *m)
{
    for (int64_t i = 0; i < r->n_systems; ++i) {
        const asd_eval_set *s = asd_report_set(&r->system[i], m);
        if (!s)
            continue;
        fprintf(out,
                "source %" PRId64 " normal, %" PRId64 " anomalous \xc2\xb7 target %" PRId64
                " normal, %" PRId64 " anomalous",
                s->count[0][0], s->count[0][1], s->count[1][0], s->count[1][1]);
        return;
    }
}

static asd_status card(FILE *out, const asd_report *r, int64_t index)
{
    const asd_report_machine *m = &r->machine[index];
    fprintf(out,
            "<article class=\"card\" aria-labelledby=\"m%" PRId64 "\"><h3 id=\"m%" PRId64 "\">",
            index, index);
    asd_markup_text(out, m->name);
    if (r->many_sections)
        fprintf(out, " section %02d", m->section);
    fputs(" <span class=\"muted small counts\">", out);
    counts(out, r, m);
    fputs("</span></h3>\n<div class=\"panels\">\n", out);
    for (int which = 0; which < 3; ++which)
        ASD_TRY(roc_panel(out, r, m, which));
    for (int64_t i = 0; i < r->n_systems; ++i)
        ASD_TRY(histogram_panel(out, r, i, m));
    fputs("</div></article>\n", out);
    return ASD_OK;
}

static void key_swatch(FILE *out, asd_ink ink, const char *text)
{
    asd_svg     svg;
    asd_canvas *c = asd_svg_on(&svg, out, NULL);
    fputs("<span class=\"nowrap\">", out);
    asd_fig_swatch(c, ink);
    fprintf(out, "%s</span> ", text);
}

asd_status asd_page_machines(FILE *out, const asd_report *r)
{
    asd_page_open_section(out, "machines", "Machines");
    fprintf(out,
            "<p class=\"muted small\">ROC curves of a domain set its normal clips against %s. "
            "pAUC looks at the shaded part, false-positive rates up to 0.1. Histograms show shares "
            "of each class: ",
            r->options->omega.auc == ASD_AUC_OFFICIAL ? "the anomalous clips of both domains"
                                                      : "its own anomalous clips");
    key_swatch(out, ASD_INK_NORMAL, "normal");
    key_swatch(out, ASD_INK_ANOMALY, "anomalous");
    key_swatch(out, ASD_INK_THRESHOLD, "decision threshold");
    fputs("</p>\n", out);
    for (int64_t i = 0; i < r->n_machines; ++i)
        ASD_TRY(card(out, r, i));
    fputs("</section>\n", out);
    return ASD_OK;
}
