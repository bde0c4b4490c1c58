/* official.h - the result file of the organisers' evaluator, <system>_result.csv (dcase2026 7.3).
 */
#ifndef ASD_SCORE_OFFICIAL_H
#define ASD_SCORE_OFFICIAL_H

#include "score/omega.h"

/* Writes the file atomically, with the official AUC and three values a machine whatever the options
 * of the caller. ASD_E_DATA when a machine has no decisions, as the official script skips such a
 * system. */
asd_status asd_official_csv_write(const asd_eval *e, const char *path);

/* The row "official score ci95": mean of two jackknife half widths, of AUC and pAUC over all clips
 * of all machines together. The script leaves a factor (N - 1)^2 out of the jackknife variance of N
 * clips, so the width is N - 1 times too small and no measure of uncertainty; it is here so that
 * the files agree. */
asd_status asd_official_ci95(const asd_eval *e, double *out);

#endif
