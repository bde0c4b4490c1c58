/* adam.h - one optimiser step over all parameters at once: Adam (Kingma and Ba 2015) and AdamW
 * (Loshchilov and Hutter 2019), with the gradient norm and its clipping in the same call. PyTorch's
 * order of operations.
 *
 *   norm = |g|        g <- g min(1, clip / (norm + 1e-6))  when clip > 0
 *   Adam:  g <- g + decay w        AdamW:  w <- (1 - lr decay) w
 *   m <- m + (1 - beta1) (g - m)        v <- beta2 v + (1 - beta2) g g
 *   w <- w - lr / (1 - beta1^t) m / (sqrt(v) / sqrt(1 - beta2^t) + eps)        t = 1, 2, ...
 */
#ifndef ASD_KERNELS_ADAM_H
#define ASD_KERNELS_ADAM_H

#include "cuda/gpu.h"
#include "kernels/op.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct asd_adam {
    double beta1, beta2, eps, weight_decay;
    double clip_norm; /* 0 = no clipping */
    int    decoupled; /* 1 = AdamW */
} asd_adam;

/* Doubles of scratch that an update of n parameters needs. */
int64_t asd_adam_work(int64_t n);

/* w, g, m, v: (n), 64-byte aligned; work: (asd_adam_work(n)). step->step counts the updates done
 * before this one. Returns the gradient's norm before clipping. g is left as it is. */
double asd_adam_update_cpu(const asd_adam *a, const asd_step *step, int64_t n, float *w,
                           const float *g, float *m, float *v, double *work);

/* --- on the device: G networks in one launch --- */

/* Where G networks lie side by side in one block: of this parameter, network g has the n elements
 * from first + g n. */
typedef struct asd_adam_slice {
    int64_t first, n;
} asd_adam_slice;

enum { ASD_ADAM_CHUNK = 2048 }; /* elements of one block's turn: two 16-byte loads a thread */

/* `n` elements from `first`, all of one network. */
typedef struct asd_adam_chunk {
    int64_t first;
    int32_t n, group;
} asd_adam_chunk;

/* The slices cut into chunks, sorted by network, in device memory. The cut knows nothing of the
 * device, so neither do the bits of a norm. */
typedef struct asd_adam_layout {
    asd_gpu        *gpu;
    int64_t         n_chunks, groups;
    asd_adam_chunk *chunk;       /* (n_chunks) on the device, like all below */
    int32_t        *group_chunk; /* (groups + 1) first chunk of each network */
    double         *partial;     /* (n_chunks) sums of squares */
    unsigned       *barrier;     /* cuda/grid.cuh */
    void           *memory;
} asd_adam_layout;

/* One update at a time may use a layout. Waits for the stream. */
asd_status asd_adam_layout_init(asd_adam_layout *l, asd_stream *s, const asd_adam_slice *slice,
                                int64_t n_slices, int64_t groups);
void       asd_adam_layout_clear(asd_adam_layout *l);

/* The same update of every network, each with its own norm and clipping: enqueued, capturable. All
 * pointers are device memory, w, g, m and v 16-byte aligned. w16: the new values in bf16 as well,
 * at the same indices; NULL for none. norm: (groups) before clipping. ASD_E_DEVICE in a build
 * without CUDA. */
asd_status asd_adam_update_cuda(const asd_adam *a, const asd_adam_layout *l, const asd_step *step,
                                float *w, const float *g, float *m, float *v, void *w16,
                                double *norm, asd_stream *s);

/* adam.cu */
asd_status adam_update_cuda(const asd_adam *a, const asd_adam_layout *l, const asd_step *step,
                            float *w, const float *g, float *m, float *v, void *w16, double *norm,
                            asd_stream *s);

#ifdef __cplusplus
}
#endif
#endif
