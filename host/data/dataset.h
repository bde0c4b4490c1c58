/* dataset.h - the clips of a DCASE Task 2 folder: names parsed, files counted, nothing read twice.
 *
 * Blindness: domain, condition and attribute of TEST clips are parsed only by asd_dataset_labels
 * (asd-eval omega and asd-data scan). asd_dataset_open fills them for training clips alone; a test
 * clip carries ASD_UNKNOWN there, so train, embed and score cannot see them.
 */
#ifndef ASD_DATA_DATASET_H
#define ASD_DATA_DATASET_H

#include "base/status.h"

#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum asd_domain { ASD_DOMAIN_UNKNOWN = -1, ASD_SOURCE, ASD_TARGET } asd_domain;
typedef enum asd_condition { ASD_COND_UNKNOWN = -1, ASD_NORMAL, ASD_ANOMALY } asd_condition;
typedef enum asd_split { ASD_SPLIT_UNKNOWN = -1, ASD_TRAIN, ASD_TEST } asd_split;

/* One file name by the grammar of dcase2026 2.4 and its older forms. */
typedef struct asd_clip_name {
    int           section; /* -1 when the name has none                    */
    int64_t       number;
    asd_domain    domain;
    asd_split     split;
    asd_condition condition;
    char          attribute[192]; /* all that follows the number; "" or "noAttribute" mean none */
} asd_clip_name;

/* name: base name with or without ".wav". ASD_E_DATA with the name and what was expected where. */
asd_status asd_clip_name_parse(const char *name, asd_clip_name *out);
/* The section alone (the id in 2020's names), -1 when the name begins otherwise. Reads no label. */
int asd_clip_name_section(const char *name);
/* Names of any grammar: no control characters, comma, quote or slash, valid UTF-8, not too long. */
asd_status asd_clip_name_check(const char *name);

typedef struct asd_clip {
    char      *path;      /* to open                                                          */
    char      *name;      /* base name with ".wav"                                            */
    int        section;   /* test names without one: the machine's only training section      */
    asd_domain domain;    /* training clips only; 2020's names have none and count as source  */
    char      *attribute; /* training clips only, else ""                                     */
} asd_clip;

typedef struct asd_machine {
    char     *name;
    char     *folder; /* the first one, when development and evaluation part both have it */
    asd_clip *train;  /* (n_train) sorted by name */
    asd_clip *test;   /* (n_test)  sorted by name */
    int64_t   n_train, n_test;
} asd_machine;

typedef struct asd_dataset {
    char        *root;
    asd_machine *machine; /* (n) sorted by name, ASCII order */
    int64_t      n;
} asd_dataset;

/* Failures that were collected, in the order they were met; the texts name the files. */
typedef struct asd_problems {
    char  **text; /* (n) */
    int64_t n;
} asd_problems;
asd_status asd_problems_add(asd_problems *p, const char *text); /* copies; ASD_E_OOM */
void       asd_problems_clear(asd_problems *p);

/* root: holds dev_data/raw/<machine> and eval_data/raw/<machine> (also without raw, and under
 * data/dcase20NNt2/), or machine folders side by side, or is itself one machine folder. A machine
 * folder holds train, test, or 2021's source_test and target_test; other folders in it are named in
 * a note and left alone. A machine that both parts have (2020-2022) becomes one, with the sections
 * of both. Symbolic links are followed.
 * only: n_only machine names, or 0 for all; one that is not found is an error with the nearest
 * name. ASD_E_DATA, naming the file: a training name that is not labelled, labelled anomaly or of
 * the test split; a name twice in a machine; no clips in a train or test folder; anything in these
 * that is neither .wav nor hidden nor .csv, .txt, .md; a test name without section where there are
 * several.
 */
asd_status asd_dataset_open(const char *root, char *const *only, int64_t n_only, asd_dataset *out);
/* The same, but what is wrong with single files and folders is collected instead of returned, and
 * what it concerns is left out of the data set. problems: zeroed by the caller. */
asd_status asd_dataset_survey(const char *root, char *const *only, int64_t n_only,
                              asd_problems *problems, asd_dataset *out);
void       asd_dataset_clear(asd_dataset *d); /* safe on a zeroed struct, and twice */

/* What the names of m's test clips say, for scoring and scan alone: out: (m->n_test), in the order
 * of m->test. Unlabelled names give ASD_COND_UNKNOWN. */
asd_status asd_dataset_labels(const asd_machine *m, asd_clip_name *out);

/* Training labels as KIST and AAU count them: distinct machine x attribute x domain of training
 * names (45 on the 2026 development set), times channels (90). */
int64_t asd_dataset_n_labels(const asd_dataset *d, int channels);

#ifdef __cplusplus
}
#endif
#endif
