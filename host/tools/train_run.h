/* train_run.h - the run folder: who made it, from what, and how far it got.
 *
 *   run.json              command, configuration and hashes, data, versions, devices, state
 * running|stopped|done config.yaml           the resolved recipe log/rank-0.log        what was
 * printed;  log/metrics.jsonl: one object a logged step ckpt/step-N/          model.safetensors,
 * optim.safetensors, state.json;  ckpt/last -> step-N scores/DETECTOR/      by asd-eval score
 */
#ifndef ASD_TOOLS_TRAIN_RUN_H
#define ASD_TOOLS_TRAIN_RUN_H

#include "base/cfg.h"

#include <jansson.h>
#include <limits.h>

typedef struct asd_run {
    char    folder[PATH_MAX];
    char    train_hash[33]; /* of the keys that change what is trained */
    int     lock;           /* file descriptor, -1 when not locked */
    json_t *info;           /* contents of run.json */
} asd_run;

/* Hash of the keys that decide the trained weights: seed, data, front_end, model, train without
 * logging and checkpoint keys. Scoring keys may change without training again. */
asd_status asd_run_train_hash(const asd_cfg *cfg, char hash[33]);

/* folder NULL: runs/NAME-HASH8, from the recipe's name, train hash and streams. */
asd_status asd_run_folder(const char *folder, const asd_recipe *recipe, char out[PATH_MAX]);

/* Makes or reopens the folder for training, locks it and reads run.json. Another configuration in
 * it is ASD_E_CONFIG; another process training in it is ASD_E_USAGE. argv: the command, for
 * run.json. */
asd_status asd_run_open(asd_run *run, const char *folder, const asd_recipe *recipe, int argc,
                        char **argv);
/* Opens for reading, without lock; ASD_E_DATA when there is no run or its state is not `done`. */
asd_status asd_run_open_done(asd_run *run, const char *folder, const asd_recipe *recipe);
/* Sets state (and "step") and writes run.json. */
asd_status  asd_run_set_state(asd_run *run, const char *state, int64_t step);
const char *asd_run_state(const asd_run *run); /* "" when new */
void        asd_run_close(asd_run *run);

#endif
