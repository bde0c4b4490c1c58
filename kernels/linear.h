/* linear.h - what linear.c and linear.cu agree on. */
#ifndef ASD_KERNELS_LINEAR_H
#define ASD_KERNELS_LINEAR_H

#include "kernels/op.h"

#ifdef __cplusplus
extern "C" {
#endif

/* x: (G, R, C)   w: (G, O, C)   y: (G, R, O); G = 1 when w has no groups */
typedef struct asd_linear_sizes {
    int64_t G, R, C, O;
} asd_linear_sizes;

static inline asd_linear_sizes asd_linear_sizes_of(asd_shape x, asd_shape w)
{
    int64_t          G = w.n == 3 ? w.d[0] : 1;
    asd_linear_sizes s = {G, asd_rows(x) / G, asd_last(x), w.d[w.n - 2]};
    return s;
}

/* On the device db adds stretches of so many rows; with more than one stretch their sums, an fp32
 * (stretches, G, O), are the backward's scratch. */
enum { ASD_LINEAR_DB_ROWS = 256 };

static inline int64_t asd_linear_db_stretches(asd_linear_sizes s)
{
    return (s.R + ASD_LINEAR_DB_ROWS - 1) / ASD_LINEAR_DB_ROWS;
}

#ifdef __cplusplus
}
#endif
#endif
