/* train_ckpt.h - checkpoints of a run: complete or absent, and exact.
 *
 * A checkpoint is a folder ckpt/step-N written under a hidden name, synced, renamed; then ckpt/last
 * (a symbolic link) is replaced. It holds all networks: tensors KEY/NAME with KEY as in asd_net.
 *   model.safetensors   parameters and running statistics; after training also covariance.source,
 * covariance.target, batches.mse, batches.mahalanobis optim.safetensors   m and v of every
 * parameter, losses of the running epoch and of the last validation state.json          step,
 * seconds, bytes of metrics.jsonl, hashes of configuration and clips
 */
#ifndef ASD_TOOLS_TRAIN_CKPT_H
#define ASD_TOOLS_TRAIN_CKPT_H

#include "tools/train_net.h"
#include "tools/train_run.h"

typedef struct asd_ckpt_state {
    int64_t step;          /* steps done by every network that has that many */
    double  seconds;       /* spent training, over all starts */
    int64_t metrics_bytes; /* valid length of log/metrics.jsonl */
    int     finished;      /* covariances and batch values are there */
} asd_ckpt_state;

/* Writes the checkpoint, moves `last`, and removes checkpoints beyond train.ckpt_keep. */
asd_status asd_ckpt_save(const asd_run *run, const asd_net *nets, int64_t n,
                         const asd_ckpt_state *state);
/* *found = 0 and ASD_OK when there is no checkpoint. Checks hashes of configuration and clips:
 * ASD_E_DATA naming the machine whose clips changed. */
asd_status asd_ckpt_load(const asd_run *run, asd_net *nets, int64_t n, asd_ckpt_state *state,
                         int *found);
/* Weights and statistics of a finished run, for scoring: into networks allocated for inference.
 * *batch_mse of each network is set. */
asd_status asd_ckpt_load_model(const asd_run *run, asd_net *nets, int64_t n);
/* Identity of the weights, for run.json. */
asd_status asd_ckpt_hash(const asd_run *run, char hash[33]);

#endif
