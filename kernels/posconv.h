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

/* Element (out, in, tap) of a group's weight is w[first + out * out_step + in * in_step + tap *
 * tap_step]: forward as it lies; for dx the channels exchanged and the taps in reverse. */
typedef struct asd_posconv_taps {
    int64_t first, group_step, out_step, in_step, tap_step;
    int64_t before; /* tokens in front of a window's own */
} asd_posconv_taps;

static inline asd_posconv_taps asd_posconv_forward_taps(asd_posconv_sizes s)
{
    asd_posconv_taps a = {0, s.W * s.W * s.k, s.W * s.k, s.k, 1, s.before};
    return a;
}

static inline asd_posconv_taps asd_posconv_backward_taps(asd_posconv_sizes s)
{
    asd_posconv_taps a = {s.k - 1, s.W * s.W * s.k, s.k, s.W * s.k, -1, s.k - 1 - s.before};
    return a;
}

/* posconv_mma.cu: for bf16 x where the shape fits. c->work holds the packed weight, bf16 (C, W, k).
 */
int        asd_posconv_mma_fits(asd_posconv_sizes s);
asd_status asd_posconv_mma(const asd_call *c, const void *x, const float *bias, void *y,
                           asd_posconv_taps a, int add);
asd_status asd_posconv_dw_mma(const asd_call *c);

#ifdef __cplusplus
}
#endif
#endif
