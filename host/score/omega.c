/* omega.c - the values of every machine, their mean, and what each of them costs (omega.h). */
#include "score/omega.h"

#include "score/bootstrap.h"
#include "score/cells.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const asd_interval NO_INTERVAL = {NAN, NAN};

/* Decisions of one domain's clips: TP, FP, FN -> precision, recall, F1 as the official script. */
static void judge(const asd_eval_set *s, asd_omega_row *row)
{
    for (int t = 0; t < 2; ++t) {
        if (!s->decision) {
            row->precision[t] = row->recall[t] = row->f1[t] = NAN;
            continue;
        }
        double tp = 0, fp = 0, fn = 0;
        for (int64_t i = 0; i < s->n; ++i)
            if (s->target[i] == t) {
                tp += s->decision[i] && s->anomaly[i];
                fp += s->decision[i] && !s->anomaly[i];
                fn += !s->decision[i] && s->anomaly[i];
            }
        double p = tp / asd_floor_value(tp + fp), r = tp / asd_floor_value(tp + fn);
        row->precision[t] = p;
        row->recall[t]    = r;
        row->f1[t]        = 2 * p * r / asd_floor_value(p + r);
    }
}

static asd_status compute_row(const asd_eval_set *s, int auc, asd_omega_row *row)
{
    asd_ranking r;
    *row = (asd_omega_row){.machine       = s->machine,
                           .section       = s->section,
                           .has_decisions = s->decision != NULL,
                           .ci            = {NO_INTERVAL, NO_INTERVAL, NO_INTERVAL}};
    memcpy(row->count, s->count, sizeof row->count);
    judge(s, row);
    for (int t = 0; t < 2; ++t)
        if (auc == ASD_AUC_SAME_DOMAIN && !s->count[t][1])
            return ASD_FAIL(
                ASD_E_DATA,
                "%s section %02d: no anomalous clip of the %s domain, so its same-domain "
                "AUC does not exist",
                s->machine, s->section, t ? "target" : "source");
    ASD_TRY(asd_ranking_init(s, &r));
    int32_t *weight = calloc((size_t)(4 * r.n_groups), sizeof *weight);
    if (!weight) {
        asd_ranking_clear(&r);
        return ASD_FAIL(ASD_E_OOM, "%s: %" PRId64 " clips", s->machine, s->n);
    }
    for (int64_t i = 0; i < s->n; ++i)
        ++weight[r.slot[i]];
    asd_cells_weighted(&r, weight, auc, row->cell);
    row->auc_all = asd_auc_all(&r, weight);
    free(weight);
    asd_ranking_clear(&r);
    return ASD_OK;
}

/* With Omega = n / sum 1/v, dOmega/dv = Omega^2 / (n v^2); the 14-cell AUC is the mean of two, so
 * each of the two moves it by half. */
static void compute_gains(asd_omega *o)
{
    const double scale = 0.01 * o->omega * o->omega / (double)o->n_values;
    double       most  = -1;
    for (int64_t i = 0; i < o->n; ++i) {
        asd_omega_row *row = o->row + i;
        double auc = 0.5 * (row->cell[ASD_CELL_AUC_SOURCE] + row->cell[ASD_CELL_AUC_TARGET]);
        for (int c = 0; c < ASD_NCELLS; ++c) {
            int    half  = o->options.cells == ASD_CELLS_14 && c != ASD_CELL_PAUC;
            double v     = asd_floor_value(half ? auc : row->cell[c]);
            row->gain[c] = (half ? 0.5 : 1) * scale / (v * v);
            if (row->gain[c] > most) {
                most          = row->gain[c];
                o->worst_row  = i;
                o->worst_cell = c;
            }
        }
    }
}

static asd_status compute_means(asd_omega *o)
{
    double *v = malloc((size_t)(o->n * ASD_NCELLS) * sizeof *v);
    if (!v)
        return ASD_FAIL(ASD_E_OOM, "%" PRId64 " machines", o->n);
    for (int c = 0; c < ASD_NCELLS; ++c) {
        for (int64_t i = 0; i < o->n; ++i)
            v[i] = o->row[i].cell[c];
        o->harmonic[c] = asd_harmonic_mean(v, o->n);
    }
    double sum = 0;
    for (int64_t i = 0; i < o->n; ++i) {
        const double *cell = o->row[i].cell;
        memcpy(v + ASD_NCELLS * i, cell, sizeof o->row[i].cell);
        double aucs = cell[ASD_CELL_AUC_SOURCE] + cell[ASD_CELL_AUC_TARGET];
        sum += (o->options.cells == ASD_CELLS_14 ? 0.5 * aucs : aucs) + cell[ASD_CELL_PAUC];
    }
    o->n_values        = o->n * (o->options.cells == ASD_CELLS_14 ? 2 : 3);
    o->arithmetic_mean = sum / (double)o->n_values;
    o->omega           = asd_omega_of_cells(v, o->n, o->options.cells);
    free(v);
    compute_gains(o);
    return ASD_OK;
}

static asd_status compute_intervals(const asd_eval *e, asd_omega *o)
{
    asd_boot boot;
    ASD_TRY(asd_boot_run(&e, 1, &o->options, &boot));
    const int64_t n     = boot.replicates;
    const double  level = o->options.level;
    for (int64_t i = 0; i < o->n; ++i)
        for (int c = 0; c < ASD_NCELLS; ++c)
            o->row[i].ci[c] = asd_boot_interval(boot.cell + (i * ASD_NCELLS + c) * n, n,
                                                o->row[i].cell[c], level);
    o->omega_ci = asd_boot_interval(boot.omega, n, o->omega, level);
    asd_boot_clear(&boot);
    return ASD_OK;
}

asd_status asd_omega_compute(const asd_eval *e, const asd_omega_options *options, asd_omega *out)
{
    asd_status st;
    *out = (asd_omega){.options = *options, .n = e->n, .omega_ci = NO_INTERVAL};
    if (!e->n)
        return ASD_FAIL(ASD_E_DATA, "no scores to evaluate");
    if (!(out->row = calloc((size_t)e->n, sizeof *out->row))) {
        st = ASD_FAIL(ASD_E_OOM, "%" PRId64 " machines", e->n);
        goto fail;
    }
    for (int64_t i = 0; i < e->n; ++i)
        ASD_GO(fail, st, compute_row(e->set + i, options->auc, out->row + i));
    ASD_GO(fail, st, compute_means(out));
    if (options->replicates)
        ASD_GO(fail, st, compute_intervals(e, out));
    return ASD_OK;
fail:
    asd_omega_clear(out);
    return st;
}

void asd_omega_clear(asd_omega *o)
{
    free(o->row);
    memset(o, 0, sizeof *o);
}
