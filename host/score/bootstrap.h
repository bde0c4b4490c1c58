/* bootstrap.h - how much the values would move with other clips: stratified resampling.
 *
 * A replicate draws, for each machine and section and each of its four strata (domain x label), as
 * many clips as the stratum holds, with replacement; machines are fixed. The draws of a stratum are
 * the cell (seed, ASD_RNG_BOOTSTRAP, a = replicate, b = hash of "<machine>_section_<SS>" * 4 +
 * stratum) of rng.h, an index into the stratum's clips sorted by name. So any replicate of any
 * machine can be computed alone, the other machines do not change it, and two systems on the same
 * clips see the same draws.
 */
#ifndef ASD_SCORE_BOOTSTRAP_H
#define ASD_SCORE_BOOTSTRAP_H

#include "score/omega.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct asd_boot {
    int     n_systems;
    int64_t n_sets, replicates;
    double *cell;  /* (n_systems, n_sets, ASD_NCELLS, replicates) */
    double *omega; /* (n_systems, replicates) */
} asd_boot;

/* system: (n_systems, 1 or 2) evaluations of the same clips (asd_compare_compute checks that).
 * ASD_E_OOM. The bits do not depend on the number of threads. */
asd_status asd_boot_run(const asd_eval *const *system, int n_systems, const asd_omega_options *o,
                        asd_boot *out);
void       asd_boot_clear(asd_boot *b);

/* Bias-corrected percentile interval (Efron 1981) of an estimate from its replicates. v: (n), is
 * put in another order. Exactly mirrored when v and the estimate change sign; [x, x] when all are
 * x. */
asd_interval asd_boot_interval(double *v, int64_t n, double estimate, double level);

#ifdef __cplusplus
}
#endif
#endif
