/* train_loop.h - training all networks of a run, with checkpoints, metrics and a clean stop. */
#ifndef ASD_TOOLS_TRAIN_LOOP_H
#define ASD_TOOLS_TRAIN_LOOP_H

#include "tools/train_net.h"
#include "tools/train_run.h"

/* Loads the data, resumes from the latest checkpoint if there is one, trains to the end, makes the
 * final pass and saves. ASD_E_STOPPED when a signal asked for it: state saved. gpu: where to train;
 * NULL for the CPU. */
asd_status asd_train_loop(asd_run *run, const asd_cfg *cfg, asd_net *nets, int64_t n, asd_gpu *gpu);

#endif
