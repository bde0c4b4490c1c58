/* cells.c - see cells.h.
 *
 *   2 U_d = sum over groups of normals_d (2 anomalies above + anomalies in the group)
 *   AUC_d = 2 U_d / (2 N_d P)
 *   2 A N P = sum of dx (2 y + dy) over the groups left of x = N / 10, the last one cut there
 */
#include "score/cells.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const asd_auc_names[]   = {"official", "same-domain", NULL};
const char *const asd_cells_names[] = {"21", "14", NULL};
const char *const asd_cell_names[]  = {"auc_source", "auc_target", "pauc", NULL};

enum { NORMAL_SOURCE, ANOMALY_SOURCE, NORMAL_TARGET, ANOMALY_TARGET };

double asd_floor_value(double v)
{
    return v > 0x1p-52 ? v : 0x1p-52;
}

static int by_score_down(const void *a, const void *b, void *score)
{
    double x = ((const double *)score)[*(const int64_t *)a];
    double y = ((const double *)score)[*(const int64_t *)b];
    return (x < y) - (x > y);
}

static int64_t *order_down(const double *score, int64_t n)
{
    int64_t *order = malloc((size_t)n * sizeof *order);
    if (!order)
        return NULL;
    for (int64_t i = 0; i < n; ++i)
        order[i] = i;
    qsort_r(order, (size_t)n, sizeof *order, by_score_down, (void *)score);
    return order;
}

asd_status asd_ranking_init(const asd_eval_set *s, asd_ranking *out)
{
    memset(out, 0, sizeof *out);
    if (s->n > INT32_MAX / 4)
        return ASD_FAIL(ASD_E_DATA, "%s section %02d: %" PRId64 " clips", s->machine, s->section,
                        s->n);
    int64_t *order = order_down(s->score, s->n);
    out->slot      = malloc((size_t)s->n * sizeof *out->slot);
    if (!order || !out->slot) {
        free(order);
        asd_ranking_clear(out);
        return ASD_FAIL(ASD_E_OOM, "%s: %" PRId64 " clips", s->machine, s->n);
    }
    for (int64_t k = 0; k < s->n; ++k) {
        int64_t i = order[k];
        if (k && s->score[i] != s->score[order[k - 1]])
            ++out->n_groups;
        out->slot[i] = (int32_t)(4 * out->n_groups + 2 * s->target[i] + s->anomaly[i]);
    }
    ++out->n_groups;
    memcpy(out->count, s->count, sizeof out->count);
    free(order);
    return ASD_OK;
}

void asd_ranking_clear(asd_ranking *r)
{
    free(r->slot);
    memset(r, 0, sizeof *r);
}

/* Area under the ROC up to FPR 0.1, standardised. */
static double partial_auc(const asd_ranking *r, const int32_t *w)
{
    int64_t n = r->count[0][0] + r->count[1][0], p = r->count[0][1] + r->count[1][1];
    int64_t x = 0, y = 0, whole = 0;
    double  cut = 0;
    for (const int32_t *g = w;; g += 4) { /* n > 0, so x passes n / 10 before the groups end */
        int64_t dx = (int64_t)g[NORMAL_SOURCE] + g[NORMAL_TARGET];
        int64_t dy = (int64_t)g[ANOMALY_SOURCE] + g[ANOMALY_TARGET];
        if (10 * (x + dx) >= n) {
            double h = (double)(n - 10 * x) / 10; /* 0 < h <= dx */
            cut      = h * ((double)(2 * y) + (double)dy * h / (double)dx);
            break;
        }
        whole += dx * (2 * y + dy);
        x += dx;
        y += dy;
    }
    double area = ((double)whole + cut) / (double)(2 * n * p);
    return 0.5 * (1 + (area - 0.005) / (0.1 - 0.005));
}

void asd_cells_weighted(const asd_ranking *r, const int32_t *weight, int auc, double *cell)
{
    int64_t above_s = 0, above_t = 0, u_s = 0, u_t = 0, p_s = r->count[0][1], p_t = r->count[1][1];
    const int32_t *end = weight + 4 * r->n_groups;
    if (auc == ASD_AUC_OFFICIAL) {
        for (const int32_t *g = weight; g < end; g += 4) {
            int64_t in = (int64_t)g[ANOMALY_SOURCE] + g[ANOMALY_TARGET], both = 2 * above_s + in;
            u_s += g[NORMAL_SOURCE] * both;
            u_t += g[NORMAL_TARGET] * both;
            above_s += in;
        }
        p_s = p_t = p_s + p_t;
    } else {
        for (const int32_t *g = weight; g < end; g += 4) {
            u_s += g[NORMAL_SOURCE] * (2 * above_s + g[ANOMALY_SOURCE]);
            u_t += g[NORMAL_TARGET] * (2 * above_t + g[ANOMALY_TARGET]);
            above_s += g[ANOMALY_SOURCE];
            above_t += g[ANOMALY_TARGET];
        }
    }
    cell[ASD_CELL_AUC_SOURCE] = (double)u_s / (double)(2 * r->count[0][0] * p_s);
    cell[ASD_CELL_AUC_TARGET] = (double)u_t / (double)(2 * r->count[1][0] * p_t);
    cell[ASD_CELL_PAUC]       = partial_auc(r, weight);
}

double asd_auc_all(const asd_ranking *r, const int32_t *weight)
{
    int64_t n = r->count[0][0] + r->count[1][0], p = r->count[0][1] + r->count[1][1];
    int64_t above = 0, u = 0;
    for (const int32_t *g = weight; g < weight + 4 * r->n_groups; g += 4) {
        int64_t in = (int64_t)g[ANOMALY_SOURCE] + g[ANOMALY_TARGET];
        u += ((int64_t)g[NORMAL_SOURCE] + g[NORMAL_TARGET]) * (2 * above + in);
        above += in;
    }
    return (double)u / (double)(2 * n * p);
}

double asd_harmonic_mean(const double *v, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; ++i)
        sum += 1 / asd_floor_value(v[i]);
    return (double)n / sum;
}

double asd_omega_of_cells(const double *cell, int64_t n, int cells)
{
    if (cells == ASD_CELLS_21)
        return asd_harmonic_mean(cell, ASD_NCELLS * n);
    double sum = 0;
    for (int64_t i = 0; i < n; ++i) {
        const double *c = cell + ASD_NCELLS * i;
        sum += 1 / asd_floor_value(0.5 * (c[ASD_CELL_AUC_SOURCE] + c[ASD_CELL_AUC_TARGET])) +
               1 / asd_floor_value(c[ASD_CELL_PAUC]);
    }
    return (double)(2 * n) / sum;
}

/* --- curves -------------------------------------------------------------------------------------
 */

asd_status asd_roc_curve(const asd_eval_set *s, int domain, int auc, asd_roc *out)
{
    memset(out, 0, sizeof *out);
    int64_t normals = 0, anomalies = 0;
    for (int t = 0; t < 2; ++t) {
        normals += domain < 0 || domain == t ? s->count[t][0] : 0;
        anomalies += domain < 0 || domain == t || auc == ASD_AUC_OFFICIAL ? s->count[t][1] : 0;
    }
    if (!normals || !anomalies)
        return ASD_FAIL(ASD_E_DATA,
                        "%s section %02d: a ROC of %" PRId64 " normal and %" PRId64
                        " anomalous clips",
                        s->machine, s->section, normals, anomalies);
    int64_t *order = order_down(s->score, s->n), x = 0, y = 0;
    out->fpr = malloc((size_t)(s->n + 1) * sizeof *out->fpr);
    out->tpr = malloc((size_t)(s->n + 1) * sizeof *out->tpr);
    if (!order || !out->fpr || !out->tpr) {
        free(order);
        asd_roc_clear(out);
        return ASD_FAIL(ASD_E_OOM, "%s: ROC of %" PRId64 " clips", s->machine, s->n);
    }
    out->fpr[0] = out->tpr[0] = 0;
    out->n                    = 1;
    for (int64_t k = 0; k < s->n; ++k) {
        int64_t i    = order[k];
        int     mine = domain < 0 || domain == s->target[i];
        x += mine && !s->anomaly[i];
        y += (mine || auc == ASD_AUC_OFFICIAL) && s->anomaly[i];
        if (k + 1 < s->n && s->score[order[k + 1]] == s->score[i])
            continue;
        double fpr = (double)x / (double)normals, tpr = (double)y / (double)anomalies;
        if (fpr == out->fpr[out->n - 1] && tpr == out->tpr[out->n - 1])
            continue; /* clips of the other domain only */
        out->fpr[out->n]   = fpr;
        out->tpr[out->n++] = tpr;
    }
    free(order);
    return ASD_OK;
}

void asd_roc_clear(asd_roc *r)
{
    free(r->fpr);
    free(r->tpr);
    memset(r, 0, sizeof *r);
}
