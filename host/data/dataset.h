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

typedef struct asd_clip {
    char      *path; /* to open                       */
    char      *name; /* base name with ".wav"         */
    int        section;
    asd_domain domain;    /* training clips only           */
    char      *attribute; /* training clips only, else ""  */
} asd_clip;

typedef struct asd_machine {
    char     *name;
    char     *folder;
    asd_clip *train; /* (n_train) sorted by name */
    asd_clip *test;  /* (n_test)  sorted by name */
    int64_t   n_train, n_test;
} asd_machine;

typedef struct asd_dataset {
    char        *root;
    asd_machine *machine; /* (n) sorted by name, ASCII order */
    int64_t      n;
} asd_dataset;

/* root: holds dev_data/raw/<machine> and eval_data/raw/<machine> (also under data/dcase2026t2/), or
 * machine folders side by side, or is itself one machine folder. only: n_only machine names, or 0
 * for all; one that is not found is an error with the nearest name. A training clip labelled
 * anomaly is ASD_E_DATA. */
asd_status asd_dataset_open(const char *root, char *const *only, int64_t n_only, asd_dataset *out);
void       asd_dataset_clear(asd_dataset *d);

/* Training labels as KIST and AAU count them: distinct machine x attribute x domain of training
 * names (45 on the 2026 development set), times channels (90). */
int64_t asd_dataset_n_labels(const asd_dataset *d, int channels);

#endif
