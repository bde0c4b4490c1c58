/* report_views.c - see report_views.h. */
#include "score/report_views.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NO_MEMORY ASD_FAIL(ASD_E_OOM, "report: out of memory")

static double low_end(double value, asd_interval ci)
{
    return isfinite(ci.lo) ? fmin(ci.lo, value) : value;
}

static double high_end(double value, asd_interval ci)
{
    return isfinite(ci.hi) ? fmax(ci.hi, value) : value;
}

asd_status asd_report_omega_axis(const asd_report *r, asd_fig_axis *out)
{
    double *ends = calloc((size_t)r->n_systems * 2, sizeof *ends);
    if (!ends)
        return NO_MEMORY;
    for (int64_t i = 0; i < r->n_systems; ++i) {
        const asd_omega *o     = &r->system[i].omega;
        ends[i]                = low_end(o->omega, o->omega_ci);
        ends[r->n_systems + i] = high_end(o->omega, o->omega_ci);
    }
    *out = asd_fig_axis_fit(ends, ends + r->n_systems, r->n_systems, NAN, 0);
    free(ends);
    return ASD_OK;
}

asd_status asd_report_pair_axis(const asd_report *r, asd_fig_axis *out, int64_t *n)
{
    double *ends = calloc((size_t)r->n_pairs * 2 + 1, sizeof *ends);
    *n           = 0;
    if (!ends)
        return NO_MEMORY;
    for (int64_t i = 0; i < r->n_pairs; ++i) {
        const asd_compare *c = &r->pair[i].compare;
        if (r->pair[i].why_not)
            continue;
        ends[*n]              = low_end(c->delta, c->delta_ci);
        ends[r->n_pairs + *n] = high_end(c->delta, c->delta_ci);
        ++*n;
    }
    *out = asd_fig_axis_fit(ends, ends + r->n_pairs, *n, 0, 1);
    free(ends);
    return ASD_OK;
}

const asd_eval_set *asd_report_set(const asd_report_system *s, const asd_report_machine *m)
{
    for (int64_t i = 0; i < s->eval.n; ++i)
        if (s->eval.set[i].section == m->section && !strcmp(s->eval.set[i].machine, m->name))
            return &s->eval.set[i];
    return NULL;
}

const asd_report_roc_panel asd_report_roc_panels[3] = {
    {"source normals", 0, ASD_CELL_AUC_SOURCE, 0},
    {"target normals", 1, ASD_CELL_AUC_TARGET, 0},
    {"all clips", -1, ASD_CELL_PAUC, 0.1},
};

asd_status asd_report_rocs_make(const asd_report *r, const asd_report_machine *m,
                                const asd_report_roc_panel *panel, asd_report_rocs *out)
{
    out->n     = 0;
    out->curve = calloc((size_t)r->n_systems, sizeof *out->curve);
    out->roc   = calloc((size_t)r->n_systems, sizeof *out->roc);
    if (!out->curve || !out->roc)
        return NO_MEMORY;
    for (int64_t i = 0; i < r->n_systems; ++i) {
        const asd_eval_set *set = asd_report_set(&r->system[i], m);
        asd_roc            *roc = &out->roc[out->n];
        if (!set)
            continue;
        ASD_TRY(asd_roc_curve(set, panel->domain, r->options->omega.auc, roc));
        out->curve[out->n++] = (asd_fig_roc_curve){roc->fpr, roc->tpr, roc->n, (int)i};
    }
    return ASD_OK;
}

void asd_report_rocs_clear(asd_report_rocs *rocs)
{
    for (int i = 0; i < rocs->n; ++i)
        asd_roc_clear(&rocs->roc[i]);
    free(rocs->roc);
    free(rocs->curve);
    *rocs = (asd_report_rocs){.n = 0};
}

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

asd_fig_scores asd_report_scores(const asd_eval_set *s)
{
    return (asd_fig_scores){s->score, s->target, s->anomaly, s->n, threshold_of(s)};
}
