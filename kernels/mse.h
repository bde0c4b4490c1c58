/* mse.h - what mse keeps on the device between runs (mse.cu): see mse_fwd_k. */
#ifndef ASD_KERNELS_MSE_H
#define ASD_KERNELS_MSE_H

#include "kernels/op.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Elements of one group that one block adds up; the device's scratch is a float for each such
 * stretch of each group. */
enum { ASD_MSE_BLOCK = 2048 };

asd_status mse_prepare_cuda(asd_call *c);
void       mse_release_cuda(asd_call *c);

#ifdef __cplusplus
}
#endif
#endif
