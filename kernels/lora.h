/* lora.h - what lora.c and lora.cu agree on. */
#ifndef ASD_KERNELS_LORA_H
#define ASD_KERNELS_LORA_H

#include "kernels/op.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Floats of z, a whole number of 64 bytes so that the next one starts on a border. */
static inline int64_t asd_lora_z_room(int64_t R, int64_t r)
{
    return (R * r + 15) / 16 * 16;
}

/* x: (R, I)   A: (r, I)   B: (O, r)   y: (R, columns) */
typedef struct asd_lora_target {
    int64_t           R, I, r, O, columns;
    const asd_tensor *A, *B;
    int64_t           z; /* where z begins in `saved`, and u in the backward's scratch */
} asd_lora_target;

static inline asd_lora_target asd_lora_target_of(const asd_call *c, int k)
{
    int64_t           R = asd_rows(c->y.shape);
    const asd_tensor *A = &c->x[2 + 2 * k], *B = &c->x[3 + 2 * k];
    asd_lora_target t = {R, A->shape.d[1], A->shape.d[0], B->shape.d[0], asd_last(c->y.shape), A, B,
                         0};
    for (int j = 0; j < k; ++j)
        t.z += asd_lora_z_room(R, c->x[2 + 2 * j].shape.d[0]);
    return t;
}

#ifdef __cplusplus
}
#endif
#endif
