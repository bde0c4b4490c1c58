/* truth.h - what test clips really are: domain and condition, from names or from label files.
 *
 * Only asd-eval omega and its siblings include this; train, embed and score never see a truth.
 * Label files are the user's own copy of the organisers' (dcase2026 7.1):
 *   a folder with ground_truth_data/, ground_truth_domain/ and, if present,
 * ground_truth_attributes/ each with ground_truth_<machine>_section_<SS>_test.csv, two columns, no
 * header, any order; attributes: anonymous name, labelled name without ".wav" or an eval_data_list
 * file: a line with a machine's name, then `anonymous.wav,labelled.wav` lines
 */
#ifndef ASD_SCORE_TRUTH_H
#define ASD_SCORE_TRUTH_H

#include "base/status.h"

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct asd_truth_clip {
    char   *name;     /* as the organisers hand it out: "section_00_0000.wav" */
    char   *labelled; /* "section_00_source_test_normal_0000_spd_1.wav", NULL when not known */
    uint8_t target;   /* 0 source, 1 target */
    uint8_t anomaly;  /* 0 normal, 1 anomaly */
} asd_truth_clip;

typedef struct asd_truth_set {
    char           *machine;
    int             section;
    asd_truth_clip *clip; /* (n) sorted by name */
    int64_t         n;
} asd_truth_set;

/* Sorted by (machine, section). */
typedef struct asd_truth {
    asd_truth_set *set;
    int64_t        n;
    char          *path; /* for messages */
} asd_truth;

/* path: folder or file as above. ASD_E_DATA names file, line and row for a wrong column, a doubled
 * name, or a name that one of the files lacks. Clear after any return. */
asd_status asd_truth_read(const char *path, asd_truth *out);
void       asd_truth_clear(asd_truth *t);
/* NULL when the machine and section are not there. */
const asd_truth_set *asd_truth_find(const asd_truth *t, const char *machine, int section);

/* One clip from its labelled file name. ASD_E_DATA when the name does not say domain and condition.
 */
asd_status asd_truth_from_name(const char *name, int section, uint8_t *target, uint8_t *anomaly);

#ifdef __cplusplus
}
#endif
#endif
