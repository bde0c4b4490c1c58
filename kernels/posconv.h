/* posconv.h - what posconv.c and posconv.cu agree on. */
#ifndef ASD_KERNELS_POSCONV_H
#define ASD_KERNELS_POSCONV_H

#include "kernels/op.h"

#ifdef __cplusplus
extern "C" {
#endif

/* x, y: (B, P, G W)   w: (G W, W, k); W: channels of a group. */
typedef struct asd_posconv_sizes {
    int64_t B, P, C, G, W, k;
    int64_t before; /* tokens before t that y[t] sees; behind it are k - 1 - before */
    int64_t L;      /* P + k - 1: a clip between its zeros */
} asd_posconv_sizes;

static inline asd_posconv_sizes asd_posconv_sizes_of(asd_shape x, asd_shape w)
{
    asd_posconv_sizes s = {x.d[0], x.d[1], x.d[2],     x.d[2] / w.d[1],
                           w.d[1], w.d[2], w.d[2] / 2, x.d[1] + w.d[2] - 1};
    return s;
}

#ifdef __cplusplus
}
#endif
#endif
