/* scores.h - anomaly scores and decisions of test clips, as files and in memory.
 *
 * Files are the challenge's: two columns, no header, `name.wav,score`;
 * anomaly_score_<machine>_section_<SS>_test.csv and decision_result_<machine>_section_<SS>_test.csv
 * (dcase2026 4.2, 6.8). Scores are written with 17 significant digits, so they read back equal.
 */
#ifndef ASD_SCORE_SCORES_H
#define ASD_SCORE_SCORES_H

#include "base/status.h"

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct asd_score_set {
    char   *machine;
    int     section;
    int64_t n;
    char  **name;     /* (n) base names with .wav, in the file's order */
    double *score;    /* (n) larger = stranger */
    int    *decision; /* (n) 0 normal, 1 anomaly; NULL when there are none */
} asd_score_set;

/* Sorted by (machine, section). */
typedef struct asd_scores {
    asd_score_set *set;
    int64_t        n;
} asd_scores;

/* Reads every score file of a folder, joined with its decisions by name. A doubled name, a row
 * without a number, NaN, Inf, a header, a missing column: ASD_E_DATA naming file, line and row.
 * CRLF and blank lines at the end are fine. */
asd_status asd_scores_read(const char *folder, asd_scores *out);
/* Writes (atomically) the score file and, if set->decision, the decision file of one set into an
 * existing folder. */
asd_status asd_score_set_write(const char *folder, const asd_score_set *set);
void       asd_scores_clear(asd_scores *s);

#ifdef __cplusplus
}
#endif
#endif
