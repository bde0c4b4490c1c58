/* omega.h - from scores and truth to the official values, their harmonic mean and how sure it is.
 *
 *   scores (scores.h) + truth (truth.h)  --join by name-->  asd_eval  -->  asd_omega
 *
 * Per machine and section, with P anomalies of both domains and N_d normals of domain d:
 *   AUC_d   = U / (N_d P), U = pairs normal < anomaly, a tie counts 1/2; all anomalies of both
 *             domains (official) or only those of domain d (same-domain)
 *   pAUC    = area under the ROC of all clips up to FPR 0.1, ties moved together, cut by linear
 *             interpolation, standardised as McClish: (1 + (A - 0.005) / 0.095) / 2
 *   Omega   = n / sum 1 / max(v, e), e = 2^-52, over AUC_source, AUC_target, pAUC of every machine
 *             and section (21 cells) or over (AUC_source + AUC_target) / 2 and pAUC (14 cells)
 * Pair counts are integers, so a value is the correctly rounded quotient and does not depend on the
 * order of the clips. See: spec dcase2026 7.2; systems G1.
 *
 * Used by: asd-eval omega, compare, report.
 */
#ifndef ASD_SCORE_OMEGA_H
#define ASD_SCORE_OMEGA_H

#include "score/scores.h"
#include "score/truth.h"

#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { ASD_AUC_OFFICIAL, ASD_AUC_SAME_DOMAIN }; /* whose anomalies a domain's AUC uses */
enum { ASD_CELLS_21, ASD_CELLS_14 };            /* three or two values a machine */

extern const char *const asd_auc_names[];   /* "official", "same-domain" */
extern const char *const asd_cells_names[]; /* "21", "14" */

/* --- joined scores ------------------------------------------------------------------------------
 */

/* One machine and section, clips sorted by name. All arrays (n). */
typedef struct asd_eval_set {
    char    *machine;
    int      section;
    int64_t  n;
    char   **name;
    double  *score;       /* larger = stranger, finite */
    uint8_t *target;      /* 0 source, 1 target */
    uint8_t *anomaly;     /* 0 normal, 1 anomaly */
    int     *decision;    /* 0 normal, 1 anomaly; NULL when there are no decisions */
    int64_t  count[2][2]; /* [target][anomaly], clips */
} asd_eval_set;

/* Sorted by (machine, section). */
typedef struct asd_eval {
    asd_eval_set *set;
    int64_t       n;
} asd_eval;

/* Joins by name. Every score row needs a truth and every truth of that machine and section a score;
 * ASD_E_DATA names the row, also when a domain has no normals or there are no anomalies to compare
 * with. truth NULL: labels and domains from the labelled file names. */
asd_status asd_eval_join(const asd_scores *scores, const asd_truth *truth, asd_eval *out);
/* asd_scores_read + asd_truth_read (truth_path may be NULL) + asd_eval_join. only: n_only machine
 * names to evaluate, 0 for all; one that is not there is ASD_E_DATA. */
asd_status asd_eval_open(const char *folder, const char *truth_path, char *const *only,
                         int64_t n_only, asd_eval *out);
void       asd_eval_clear(asd_eval *e);

/* --- values -------------------------------------------------------------------------------------
 */

enum { ASD_CELL_AUC_SOURCE, ASD_CELL_AUC_TARGET, ASD_CELL_PAUC, ASD_NCELLS };
extern const char *const asd_cell_names[]; /* "auc_source", "auc_target", "pauc" */

typedef struct asd_interval {
    double lo, hi;
} asd_interval;

/* Values of one machine and section. Fractions, not percent. */
typedef struct asd_omega_row {
    const char  *machine; /* points into the asd_eval, which must outlive the row */
    int          section;
    double       auc_all;          /* printed, not in Omega */
    double       cell[ASD_NCELLS]; /* the values that Omega averages */
    asd_interval ci[ASD_NCELLS];   /* NaN when replicates is 0 */
    double       gain[ASD_NCELLS]; /* rise of Omega per 0.01 rise of the cell: 0.01 dOmega/dcell */
    int          has_decisions;    /* the next three are NaN without */
    double       precision[2], recall[2], f1[2]; /* [domain], on that domain's clips only */
    int64_t      count[2][2];                    /* [target][anomaly], clips */
} asd_omega_row;

typedef struct asd_omega_options {
    int      auc, cells; /* ASD_AUC_*, ASD_CELLS_* */
    int64_t  replicates; /* 0: no intervals */
    double   level;      /* 0.95 */
    uint64_t seed;
} asd_omega_options;

#define ASD_OMEGA_DEFAULTS ((asd_omega_options){ASD_AUC_OFFICIAL, ASD_CELLS_21, 10000, 0.95, 0})

typedef struct asd_omega {
    asd_omega_options options;
    int64_t           n_values; /* that Omega averages: 3 or 2 a row */
    double            omega;
    asd_interval      omega_ci; /* NaN when replicates is 0 */
    double            arithmetic_mean;
    double            harmonic[ASD_NCELLS]; /* harmonic mean of each cell over the rows */
    asd_omega_row    *row;
    int64_t           n;                     /* rows */
    int64_t           worst_row, worst_cell; /* the cell with the largest gain */
} asd_omega;

/* ASD_E_DATA for an empty evaluation, ASD_E_OOM. Threads come from asd_par_for and do not change
 * the bits. */
asd_status asd_omega_compute(const asd_eval *e, const asd_omega_options *options, asd_omega *out);
void       asd_omega_clear(asd_omega *o);

/* {"schema": "asd.omega/1", ...} as one line; NaN (no interval, no decisions) is null. */
asd_status asd_omega_print_json(const asd_omega *o, FILE *out);
/* For people: percent, two decimals, intervals, at most 100 columns, the worst cell marked. */
void asd_omega_print_table(const asd_omega *o, FILE *out);
/* Several systems: {"schema": "asd.omega-list/1", "systems": [{"name": ..., "schema":
 * "asd.omega/1", ...}]}, and one line for each. o, name: (n) */
asd_status asd_omega_list_print_json(const asd_omega *o, char *const *name, int64_t n, FILE *out);
void       asd_omega_list_print_table(const asd_omega *o, char *const *name, int64_t n, FILE *out);

/* Harmonic mean of n values, each not under e = 2^-52. */
double asd_harmonic_mean(const double *v, int64_t n);

/* --- two systems on the same clips --------------------------------------------------------------
 */

typedef struct asd_compare {
    asd_omega_options options;
    double            omega_a, omega_b;
    double            delta; /* omega_b - omega_a */
    asd_interval      delta_ci;
    double            p_delta_gt_0; /* share of replicates with delta > 0, delta == 0 counts half */
    asd_omega         a, b;         /* values without their own intervals */
    asd_interval (*cell_ci)[ASD_NCELLS]; /* (rows) of cell_b - cell_a */
} asd_compare;

/* ASD_E_DATA naming the first clip that only one system scored. */
asd_status asd_compare_compute(const asd_eval *a, const asd_eval *b,
                               const asd_omega_options *options, asd_compare *out);
void       asd_compare_clear(asd_compare *c);
asd_status asd_compare_print_json(const asd_compare *c, FILE *out);
void       asd_compare_print_table(const asd_compare *c, const char *name_a, const char *name_b,
                                   FILE *out);

/* --- for drawings -------------------------------------------------------------------------------
 */

typedef struct asd_roc {
    double *fpr, *tpr; /* (n) from (0, 0) to (1, 1), a point after each distinct score */
    int64_t n;
} asd_roc;

/* domain: 0 source, 1 target, -1 all clips; auc: whose anomalies (ASD_AUC_*), ignored for -1. */
asd_status asd_roc_curve(const asd_eval_set *s, int domain, int auc, asd_roc *out);
void       asd_roc_clear(asd_roc *r);

#ifdef __cplusplus
}
#endif
#endif
