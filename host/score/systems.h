/* systems.h - which score folders a path means: a folder of CSVs, a run, or a folder of systems. */
#ifndef ASD_SCORE_SYSTEMS_H
#define ASD_SCORE_SYSTEMS_H

#include "base/status.h"

#include <stdint.h>

typedef struct asd_systems {
    char  **name;   /* (n) base name of the folder: the detector's name in a run */
    char  **folder; /* (n) holds the CSVs */
    int64_t n;
} asd_systems;

/* path itself if it holds anomaly_score_*.csv; else each of its sub-folders that does; else the
 * same in path/scores, as in a run folder. ASD_E_DATA when there is none, saying what was found.
 * Sorted by name. Clear after any return. */
asd_status asd_systems_find(const char *path, asd_systems *out);
/* The one system of a path; ASD_E_DATA naming them when there are several. folder: PATH_MAX. */
asd_status asd_systems_find_one(const char *path, char *folder);
void       asd_systems_clear(asd_systems *s);

#endif
