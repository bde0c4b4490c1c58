/* score_device.h - detectors on a device: all machines of a recipe at once, before normalisation.
 *
 * What is scored here is not fitted again on the CPU; all that follows (normalisation, fusion,
 * thresholds, files) does not know where a score came from.
 */
#ifndef ASD_TOOLS_SCORE_DEVICE_H
#define ASD_TOOLS_SCORE_DEVICE_H

#include "tools/score_rows.h"

/* What a pipeline says of a group's clips: two heads each (detect/embedding.h). */
typedef struct score_raw {
    double *loo, *score; /* (n_train, 2), (n_test, 2) owned; NULL: the CPU has it to do */
    int     heads;
} score_raw;
asd_status score_raw_new(const score_group *g, score_raw *out); /* clear on any return */
void       score_raw_clear(score_raw *r);

typedef struct score_device {
    score_file        *file; /* of all streams */
    asd_pipeline      *pipeline;
    int64_t            n_pipelines;
    const score_group *group;
    int64_t            n_groups;
    uint64_t           seed;
    score_raw         *raw; /* (n_pipelines, n_groups), all NULL before: results */
} score_device;

/* Some pipeline's detector has a device form. */
int score_device_wanted(const asd_pipeline *p, int64_t n);
/* Scores by the pipelines that have one; of the others, and of machines left to the CPU, a line at
 * -v says why. *done: pipelines times machines that the device did. ASD_E_STOPPED on request. */
asd_status score_device_run(const score_device *d, asd_stream *s, int64_t *done);

#endif
