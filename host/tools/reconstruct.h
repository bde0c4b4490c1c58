/* reconstruct.h - a trained autoencoder's output for whole clips, on a CUDA device.
 *
 * Vectors go through the network in batches of one size, whatever the clips: a vector's output is a
 * function of itself alone, so a clip has the same bits in any company.
 */
#ifndef ASD_TOOLS_RECONSTRUCT_H
#define ASD_TOOLS_RECONSTRUCT_H

#include "cuda/gpu.h"
#include "tools/train_net.h"

typedef struct asd_reconstructor asd_reconstructor;

/* The network of `net` (its weights are copied) on a stream of its own. */
asd_status asd_reconstructor_new(asd_gpu *gpu, const asd_net *net, asd_reconstructor **out);
void       asd_reconstructor_free(asd_reconstructor *r);

/* All vectors of all clips of f, in order: clip i has T_i - stack + 1 of them. *y: (vectors, stack
 * F), valid until the next call. */
asd_status asd_reconstruct(asd_reconstructor *r, const asd_features *f, const float **y);

#endif
