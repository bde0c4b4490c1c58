/* report_machines.c - a card per machine and section: ROC curves of all systems, score histograms.
 */
#include "score/report_figures.h"
#include "score/report_page.h"
#include "score/report_svg.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *title;
    int         domain; /* of asd_roc_curve */
    int         cell;   /* that the curve belongs to */
} rocs[] = {{"ROC, source normals", 0, ASD_CELL_AUC_SOURCE},
            {"ROC, target normals", 1, ASD_CELL_AUC_TARGET},
            {"ROC, all clips", -1, ASD_CELL_PAUC}};

static const asd_eval_set *find_set(const asd_report_system *s, const asd_report_machine *m)
{
    for (int64_t i = 0; i < s->eval.n; ++i)
        if (s->eval.set[i].section == m->section && !strcmp(s->eval.set[i].machine, m->name))
            return &s->eval.set[i];
    return NULL;
}

/* --- ROC --- */

static void roc_caption(FILE *out, const asd_report *r, const asd_report_machine *m, int which)
{
    fputs("<figcaption>", out);
    for (int64_t i = 0, n = 0; i < r->n_systems; ++i) {
        int64_t at = asd_report_row(&r->system[i], m);
        if (at < 0)
            continue;
        const asd_omega_row *row = &r->system[i].omega.row[at];
        if (n++)
            fputs("<br/>", out);
        asd_fig_key(out, (int)i);
        asd_markup_text(out, r->system[i].name);
        fputs(rocs[which].domain < 0 ? ": <span class=\"nowrap\">pAUC <b>"
                                     : ": <span class=\"nowrap\">AUC <b>",
              out);
        asd_page_percent(out, row->cell[rocs[which].cell]);
        fputs("</b></span>", out);
        if (rocs[which].domain < 0) {
            fputs(" <span class=\"nowrap\">(AUC ", out);
            asd_page_percent(out, row->auc_all);
            fputs(")</span>", out);
        }
    }
    fputs("</figcaption>", out);
}

static asd_status roc_panel(FILE *out, const asd_report *r, const asd_report_machine *m, int which)
{
    asd_status         st    = ASD_OK;
    int                n     = 0;
    asd_fig_roc_curve *curve = calloc((size_t)r->n_systems, sizeof *curve);
    asd_roc           *roc   = calloc((size_t)r->n_systems, sizeof *roc);
    char               label[512];
    if (!curve || !roc) {
        st = ASD_FAIL(ASD_E_OOM, "report: out of memory");
        goto done;
    }
    for (int64_t i = 0; i < r->n_systems; ++i) {
        const asd_eval_set *set = find_set(&r->system[i], m);
        if (!set)
            continue;
        ASD_GO(done, st, asd_roc_curve(set, rocs[which].domain, r->options->omega.auc, &roc[i]));
        curve[n++] = (asd_fig_roc_curve){roc[i].fpr, roc[i].tpr, roc[i].n, (int)i};
    }
    fprintf(out, "<figure><h4>%s</h4>", rocs[which].title);
    snprintf(label, sizeof label, "%s of %s section %02d, one curve per system; values below",
             rocs[which].title, m->name, m->section);
    asd_fig_roc(out, curve, n, rocs[which].domain < 0 ? 0.1 : 0, label);
    roc_caption(out, r, m, which);
    fputs("</figure>\n", out);
done:
    for (int64_t i = 0; roc && i < r->n_systems; ++i)
        asd_roc_clear(&roc[i]);
    free(roc);
    free(curve);
    return st;
}

/* --- histograms --- */

/* The threshold that the decisions tell of: between the highest score called normal and the lowest
 * called anomalous. NaN when there are none, all are equal, or no single threshold explains them.
 */
static double threshold_of(const asd_eval_set *s)
{
    double normal = -INFINITY, anomaly = INFINITY;
    if (!s->decision)
        return NAN;
    for (int64_t i = 0; i < s->n; ++i)
        if (s->decision[i])
            anomaly = fmin(anomaly, s->score[i]);
        else
            normal = fmax(normal, s->score[i]);
    return isfinite(normal) && isfinite(anomaly) && normal <= anomaly ? 0.5 * (normal + anomaly)
                                                                      : NAN;
}

static asd_status histogram_panel(FILE *out, const asd_report_system *system, int style,
                                  const asd_report_machine *m)
{
    const asd_eval_set *set    = find_set(system, m);
    int64_t             beyond = 0;
    char                label[512];
    if (!set)
        return ASD_OK;
    asd_fig_scores s = {set->score, set->target, set->anomaly, set->n, threshold_of(set)};
    snprintf(label, sizeof label,
             "Score histograms of %s section %02d by %s, source above target, normal filled, "
             "anomalous outlined",
             m->name, m->section, system->name);
    fputs("<figure><h4>Scores, ", out);
    asd_fig_key(out, style);
    asd_markup_text(out, system->name);
    fputs("</h4>", out);
    ASD_TRY(asd_fig_histogram(out, &s, label, &beyond));
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
        const asd_eval_set *s = find_set(&r->system[i], m);
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
        ASD_TRY(histogram_panel(out, &r->system[i], (int)i, m));
    fputs("</div></article>\n", out);
    return ASD_OK;
}

static void key_swatch(FILE *out, const char *css_class, const char *text)
{
    fprintf(out,
            "<span class=\"nowrap\"><svg class=\"key\" viewBox=\"0 0 26 10\" aria-hidden=\"true\">"
            "<path class=\"%s\" d=\"%s\"/></svg>%s</span> ",
            css_class, strcmp(css_class, "threshold") ? "M1 9V1h24v8z" : "M13 0v10", text);
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
    key_swatch(out, "normal", "normal");
    key_swatch(out, "anomaly", "anomalous");
    key_swatch(out, "threshold", "decision threshold");
    fputs("</p>\n", out);
    for (int64_t i = 0; i < r->n_machines; ++i)
        ASD_TRY(card(out, r, i));
    fputs("</section>\n", out);
    return ASD_OK;
}
