/* score_recipe.h - scores of all test clips by a recipe: what `asd-eval score` writes and `asd-eval
 * audit` compares.
 */
#ifndef ASD_TOOLS_SCORE_RECIPE_H
#define ASD_TOOLS_SCORE_RECIPE_H

#include "base/cfg.h"
#include "data/dataset.h"

#include <jansson.h>

/* Where scores go: to files, or with `only` to standard output or JSON. */
typedef struct score_out {
    const char *folder; /* of one folder a detector: RUN/scores */
    const char *only;   /* score the test clips of this file name alone and print them; NULL: all */
    int         json;   /* with `only`: to result instead of standard output */
    json_t     *result; /* array; what was written, or the printed rows */
} score_out;

/* Writes anomaly_score_*.csv and decision_result_*.csv of one machine and section into
 * folder/LABEL, or with `only` gives the rows. clip, score: (n). section < 0: the names have none.
 */
asd_status score_emit(const score_out *o, const char *label, const char *machine, int section,
                      const asd_clip *const *clip, int64_t n, const double *score,
                      double threshold);
/* asd_threshold_fit by the recipe's rule, with "LABEL for KEY" in the message. */
asd_status score_threshold(const asd_cfg *cfg, const char *label, const char *key,
                           const double *train, int64_t n, double *threshold);
/* ASD_E_DATA with the nearest name when no test clip is called `only`. */
asd_status score_check_only(const asd_dataset *data, const char *only);

typedef struct score_from {
    const char       *data;   /* root of the data set */
    const char       *run;    /* run folder, NULL: the recipe's own */
    const char       *typed;  /* --device as given */
    const asd_device *device; /* what that chose */
} score_from;

/* By the networks that asd-train left in the run. *used: how it was computed (asd_device_json). */
asd_status score_by_networks(const asd_recipe *recipe, const score_from *from, score_out *out,
                             json_t **used);
/* By detectors on the embeddings in RUN/embed/STREAM.h5. *used: the device, if a detector used it.
 */
asd_status score_by_embeddings(const asd_recipe *recipe, const score_from *from, score_out *out,
                               json_t **used);
/* Whichever the recipe is for. out->folder NULL: RUN/scores, kept in `folder`. *used: owned by the
 * caller, NULL before. */
asd_status score_recipe(const asd_recipe *recipe, const score_from *from, score_out *out,
                        json_t **used, char folder[PATH_MAX]);

#endif
