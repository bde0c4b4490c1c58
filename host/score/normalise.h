/* normalise.h - scores of different detectors on one scale, and their weighted sum.
 *
 * A detector gives each clip one or two columns (heads): one score, or distances to the source and
 * to the target domain. A normaliser is fitted to the training clips' leave-one-out scores and
 * turns the columns of any clip into one number; the domain of that clip is not asked for (systems
 * F1, F3, F8).
 *
 *   none          the smaller column
 *
 *   z_train       min over heads h of (s_h - mean_h) / std_h; mean and std over the training clips
 *                 of domain h, with one head over all of them
 *
 *   min_z_train   the same, but one head is also compared with both domains' statistics (F1)
 *
 *   z_test        statistics of each column over the scored clips instead
 *
 *   rank_test     rank of the smaller column among the scored clips / their number, ties averaged
 *
 * The last two make a clip's score depend on the other scored clips: transductive. A training clip,
 * for the threshold, is then put on the same scale by training statistics: z_train, and the share
 * of training clips that do not score higher (systems H22b).
 *
 * Few target clips say little about a spread: std of the target is at least a quarter of the
 * source's. With fewer than two target scores the source's statistics count for both.
 */
#ifndef ASD_SCORE_NORMALISE_H
#define ASD_SCORE_NORMALISE_H

#include "base/cfg.h"

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct asd_normaliser {
    int     kind;  /* ASD_NORMALISE_* of base/cfg.h */
    int     heads; /* columns of the detector */
    int     sides; /* columns that are compared: 2 also for one head under min_z_train */
    double  mean[2], std[2];
    double *sorted; /* rank_test: (n) training scores, rising; owned */
    int64_t n;
} asd_normaliser;

/* loo: (n, 2); INFINITY: the clip has no score in that column (it was its domain's only one).
 * is_target: (n). what: "base for fan.section_00". ASD_E_NUMERIC: scores without spread. Call
 * asd_normaliser_clear on any return. */
asd_status asd_normaliser_fit(asd_normaliser *z, int kind, int heads, const double *loo,
                              const unsigned char *is_target, int64_t n, const char *what);
/* The training clips on the normalised scale. out: (n) */
void asd_normalise_train(const asd_normaliser *z, const double *loo, int64_t n, double *out);
/* score: (n, 2) of all scored clips of the machine. out: (n) */
asd_status asd_normalise(const asd_normaliser *z, const double *score, int64_t n, double *out);
void       asd_normaliser_clear(asd_normaliser *z);

/* --- fusion --- */

/* score.fusion: `LABEL=0.40` or `LABEL 0.40` each. weight: (n_labels) of labels, 0 for those that
 * do not take part. ASD_E_CONFIG with the nearest label: an unknown one, one named twice, a weight
 * that is not a positive number. */
asd_status asd_fusion_parse(char *const *text, int64_t n, const char *const *labels,
                            int64_t n_labels, double *weight);

#ifdef __cplusplus
}
#endif
#endif
