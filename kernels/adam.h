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

#include "kernels/op.h"

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

#endif
