/* official.c - see official.h. Numbers are written as Python writes them: the shortest digits that
 * read back equal. */
#include "score/official.h"

#include "base/file.h"
#include "score/cells.h"
#include "score/csv.h"
#include "score/special.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- ci95 ---------------------------------------------------------------------------------------
 */

/* All clips of all machines as one set of one domain. */
static asd_status pool(const asd_eval *e, asd_eval_set *all)
{
    *all = (asd_eval_set){.machine = e->set[0].machine};
    for (int64_t i = 0; i < e->n; ++i)
        all->n += e->set[i].n;
    all->score   = malloc((size_t)all->n * sizeof *all->score);
    all->target  = calloc((size_t)all->n, 1);
    all->anomaly = malloc((size_t)all->n);
    if (!all->score || !all->target || !all->anomaly)
        return ASD_FAIL(ASD_E_OOM, "%" PRId64 " clips", all->n);
    int64_t at = 0;
    for (int64_t i = 0; i < e->n; ++i)
        for (int64_t k = 0; k < e->set[i].n; ++k, ++at) {
            all->score[at]   = e->set[i].score[k];
            all->anomaly[at] = e->set[i].anomaly[k];
            ++all->count[0][all->anomaly[at]];
        }
    return ASD_OK;
}

/* t * sqrt(sum (theta_i - mean)^2 / (N (N - 1))) over the values with one clip left out. */
static double half_width(const double *theta, int64_t n)
{
    double mean = 0, sum = 0;
    for (int64_t i = 0; i < n; ++i)
        mean += theta[i] / (double)n;
    for (int64_t i = 0; i < n; ++i)
        sum += (theta[i] - mean) * (theta[i] - mean);
    return asd_student_inv(0.975, (double)(n - 1)) * sqrt(sum / ((double)n * (double)(n - 1)));
}

asd_status asd_official_ci95(const asd_eval *e, double *out)
{
    asd_eval_set all;
    asd_ranking  r      = {0};
    int32_t     *weight = NULL;
    double      *theta  = NULL;
    asd_status   st;
    *out = NAN;
    ASD_GO(done, st, pool(e, &all));
    ASD_GO(done, st, asd_ranking_init(&all, &r));
    weight = calloc((size_t)(4 * r.n_groups), sizeof *weight);
    theta  = malloc((size_t)(2 * all.n) * sizeof *theta);
    if (!weight || !theta) {
        st = ASD_FAIL(ASD_E_OOM, "%" PRId64 " clips", all.n);
        goto done;
    }
    for (int64_t i = 0; i < all.n; ++i)
        ++weight[r.slot[i]];
    for (int64_t i = 0; i < all.n; ++i) {
        double cell[ASD_NCELLS];
        --weight[r.slot[i]];
        --r.count[0][all.anomaly[i]];
        if (!r.count[0][0] || !r.count[0][1])
            goto done; /* a single clip of a kind: stays NaN */
        asd_cells_weighted(&r, weight, ASD_AUC_OFFICIAL, cell);
        theta[i]         = cell[ASD_CELL_AUC_SOURCE]; /* one domain: all clips */
        theta[all.n + i] = cell[ASD_CELL_PAUC];
        ++weight[r.slot[i]];
        ++r.count[0][all.anomaly[i]];
    }
    *out = 0.5 * (half_width(theta, all.n) + half_width(theta + all.n, all.n));
done:
    free(all.score);
    free(all.target);
    free(all.anomaly);
    free(weight);
    free(theta);
    asd_ranking_clear(&r);
    return st;
}

/* --- the file -----------------------------------------------------------------------------------
 */

enum { MEASURES = 5 }; /* AUC, pAUC, precision, recall, F1 score; each by domain */

static double measure(const asd_omega_row *r, int which, int domain)
{
    switch (which) {
    case 0: return r->cell[domain ? ASD_CELL_AUC_TARGET : ASD_CELL_AUC_SOURCE];
    case 1: return r->cell[ASD_CELL_PAUC]; /* the same for both */
    case 2: return r->precision[domain];
    case 3: return r->recall[domain];
    default: return r->f1[domain];
    }
}

/* One line of means of n rows: domains from first to last, v: (2 n) room to work. */
static void put_means(const char *name, const char *suffix, const asd_omega_row *row, int64_t n,
                      int first, int last, int harmonic, double *v, FILE *out)
{
    char        text[32];
    const char *quote = *suffix ? "\"" : "";
    fprintf(out, "%s%s%s%s,", quote, name, suffix, quote);
    for (int which = 0; which < MEASURES; ++which) {
        int64_t m   = 0;
        double  sum = 0;
        for (int d = first; d <= last; ++d)
            for (int64_t i = 0; i < n; ++i, ++m) {
                v[m] = measure(row + i, which, d);
                sum += v[m];
            }
        fprintf(out, ",%s",
                asd_real_text(harmonic ? asd_harmonic_mean(v, m) : sum / (double)m, text));
    }
    fputc('\n', out);
}

static void put_summary(const char *suffix, const asd_omega_row *row, int64_t n, double *v,
                        FILE *out)
{
    fputs(",,AUC,pAUC,precision,recall,F1 score\n", out);
    put_means("arithmetic mean", suffix, row, n, 0, 1, 0, v, out);
    put_means("harmonic mean", suffix, row, n, 0, 1, 1, v, out);
    put_means("source harmonic mean", suffix, row, n, 0, 0, 1, v, out);
    put_means("target harmonic mean", suffix, row, n, 1, 1, 1, v, out);
    fputc('\n', out);
}

static void put_section(const asd_omega_row *r, FILE *out)
{
    char         text[32];
    const double v[] = {r->auc_all,      r->cell[0],   r->cell[1],   r->cell[2], r->precision[0],
                        r->precision[1], r->recall[0], r->recall[1], r->f1[0],   r->f1[1]};
    fprintf(out, "%02d", r->section);
    for (size_t i = 0; i < sizeof v / sizeof *v; ++i)
        fprintf(out, ",%s", asd_real_text(v[i], text));
    fputc('\n', out);
}

asd_status asd_official_csv_write(const asd_eval *e, const char *path)
{
    asd_omega         o       = {0};
    asd_omega_options options = ASD_OMEGA_DEFAULTS;
    asd_outfile       f       = {0};
    asd_status        st;
    double            ci95, *v = NULL;
    char              text[32];
    options.replicates = 0;
    for (int64_t i = 0; i < e->n; ++i)
        if (!e->set[i].decision)
            return ASD_FAIL(ASD_E_DATA,
                            "%s section %02d: no decision_result file; the official result needs "
                            "decisions for every machine",
                            e->set[i].machine, e->set[i].section);
    ASD_TRY(asd_omega_compute(e, &options, &o));
    ASD_GO(done, st, asd_official_ci95(e, &ci95));
    if (!(v = malloc((size_t)(2 * o.n) * sizeof *v))) {
        st = ASD_FAIL(ASD_E_OOM, "%" PRId64 " machines", o.n);
        goto done;
    }
    ASD_GO(done, st, asd_outfile_open(&f, path));
    for (int64_t first = 0, last; first < o.n; first = last) {
        fprintf(f.stream,
                "%s\nsection,AUC (all),AUC (source),AUC (target),pAUC,precision (source),precision "
                "(target),recall (source),recall (target),F1 score (source),F1 score (target)\n",
                o.row[first].machine);
        for (last = first; last < o.n && !strcmp(o.row[last].machine, o.row[first].machine); ++last)
            put_section(o.row + last, f.stream);
        put_summary("", o.row + first, last - first, v, f.stream);
    }
    put_summary(" over all machine types, sections, and domains", o.row, o.n, v, f.stream);
    fprintf(f.stream, "official score,,%s\n", asd_real_text(o.omega, text));
    fprintf(f.stream, "official score ci95,,%s\n\n", asd_real_text(ci95, text));
    st = asd_outfile_commit(&f);
done:
    if (f.stream)
        asd_outfile_abandon(&f);
    free(v);
    asd_omega_clear(&o);
    return st;
}
