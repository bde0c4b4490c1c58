/* cells.h - values of one machine and section from how often each clip counts.
 *
 * Once: clips are sorted by score and given a slot, 4 * group + class, where group 0 holds the
 * highest score, equal scores share a group, and class = 2 * target + anomaly. Then any number of
 * times: weights are counted into slots and one pass from high to low gives all values. The plain
 * evaluation is weight 1 for every clip; a bootstrap replicate is how often each clip was drawn.
 * Everything up to the last division is integer.
 */
#ifndef ASD_SCORE_CELLS_H
#define ASD_SCORE_CELLS_H

#include "score/omega.h"

typedef struct asd_ranking {
    int32_t *slot;     /* (n) of the set's clips, in the set's order */
    int64_t  n_groups; /* distinct scores */
    int64_t  count[2][2];
} asd_ranking;

asd_status asd_ranking_init(const asd_eval_set *s, asd_ranking *out);
void       asd_ranking_clear(asd_ranking *r);

/* weight: (n_groups, 4); its sums over the groups are r->count. cell: (ASD_NCELLS). */
void   asd_cells_weighted(const asd_ranking *r, const int32_t *weight, int auc, double *cell);
double asd_auc_all(const asd_ranking *r, const int32_t *weight);

/* n / sum 1 / max(v, e) over the values that Omega averages. cell: (n, ASD_NCELLS). */
double asd_omega_of_cells(const double *cell, int64_t n, int cells);

/* The smallest value that Omega takes: 2^-52. */
double asd_floor_value(double v);

#endif
