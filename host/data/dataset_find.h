/* dataset_find.h - which folders below a root are machines. Used by dataset.c alone. */
#ifndef ASD_DATA_DATASET_FIND_H
#define ASD_DATA_DATASET_FIND_H

#include "data/dataset.h"

#define ASD_N_CLIP_FOLDERS 4
typedef struct asd_clip_folder {
    const char *name;
    asd_split   split;
} asd_clip_folder;
extern const asd_clip_folder asd_clip_folders[ASD_N_CLIP_FOLDERS];

typedef struct asd_found_machine {
    char *name;
    char *folder;
} asd_found_machine;

typedef struct asd_found {
    asd_found_machine *machine; /* (n) sorted by name, then by folder; owned */
    int64_t            n;
} asd_found;

/* ASD_E_DATA when there is none, saying what was looked for. Call asd_found_clear on any return. */
asd_status asd_find_machines(const char *root, asd_found *out);
/* Keeps the machines named in `only` (n_only 0: all). */
asd_status asd_found_select(asd_found *f, const char *root, char *const *only, int64_t n_only);
/* One note for each kind of folder inside machine folders that is not read. */
void asd_found_report(const asd_found *f);
void asd_found_clear(asd_found *f);

#endif
