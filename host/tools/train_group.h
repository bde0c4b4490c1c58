/* train_group.h - all networks of a run on a CUDA device at once.
 *
 * Networks with the same number of training and of held-out rows take the same steps, so they are
 * put side by side: one parameter store with a leading dimension, one plan, and one captured graph
 * that is a whole step of all of them. Other networks make a group of their own, on a stream of
 * its own. The features of a group lie in one table in device memory; which rows a step reads comes
 * from a table too, written by the host an epoch ahead, so a step needs nothing from the host but
 * its launch.
 *
 * The batches and their order are those of the CPU (train_net.h). A step depends on parameters and
 * step number alone, so any interruption gives the same bits on the same device. Against the CPU
 * only rounding differs, and what training makes of it; over the first epochs (tests/
 * test_train_cuda.c) losses agree to 2e-6 and norms to 2e-4 of their size, weights to 5e-3 of the
 * largest of their layer. The exception are the biases in front of a batch normalisation: they
 * have no effect and a gradient of rounding alone, by which Adam walks them about. The running mean
 * follows them late, so held-out losses agree to 5e-4 and covariances to 5e-3 only.
 */
#ifndef ASD_TOOLS_TRAIN_GROUP_H
#define ASD_TOOLS_TRAIN_GROUP_H

#include "cuda/gpu.h"
#include "tools/train_net.h"

typedef struct asd_groups asd_groups;

/* Most steps of one asd_groups_run: about 0.1 s of the baseline. */
enum { ASD_GROUP_STEPS = 512 };

/* nets: (n), loaded (asd_net_load); they and gpu must outlive the groups. Uploads the features. */
asd_status asd_groups_new(asd_gpu *gpu, const asd_cfg *cfg, asd_net *nets, int64_t n,
                          asd_groups **out);
void       asd_groups_free(asd_groups *g);

/* Parameters, moments and running statistics of the networks go to the device; `step` steps were
 * done. Before the first run. */
asd_status asd_groups_upload(asd_groups *g, int64_t step);
/* And come back, for a checkpoint. */
asd_status asd_groups_download(asd_groups *g);

/* Where a run of steps that begins at `step` has to end at the latest: no epoch of any network may
 * end inside. */
int64_t asd_groups_end(const asd_groups *g, int64_t step);
/* Does steps from .. to - 1 and waits for them. record[i ASD_GROUP_STEPS + k] is step from + k of
 * network i, done[i] their number. ASD_E_NUMERIC as asd_net_step. */
asd_status asd_groups_run(asd_groups *g, int64_t from, int64_t to, asd_net_record *record,
                          int *done);
/* The extra pass of every network (asd_net_finish). */
asd_status asd_groups_finish(asd_groups *g);

#endif
