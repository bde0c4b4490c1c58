/* fft.h - batched Fourier transforms of real rows on the device, by cuFFT.
 *
 *   X[r, f] = sum_i x[r, i] exp(-2 pi i i f / n)        f = 0 .. n/2
 *
 * For lengths that fft.cuh has no kernel for, and as what its kernels are measured against. Two
 * implementations: cuda/fft.cu, and cuda/simt/fft.cc for tests without a GPU.
 */
#ifndef ASD_CUDA_FFT_H
#define ASD_CUDA_FFT_H

#include "cuda/gpu.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct asd_fft asd_fft; /* a plan with its scratch; free it before its device is closed */

/* n: even. rows: transforms of one run. Allocates on the device, so never inside a capture.
 * ASD_E_DEVICE: no cuFFT, or it refuses; the message says n and rows. */
asd_status asd_fft_new(asd_stream *s, int64_t n, int64_t rows, asd_fft **out);
void       asd_fft_free(asd_fft *f);

/* In place. x: (rows, n + 2) float, of each row the first n read -> (rows, n/2 + 1) re, im.
 * Enqueued, capturable. One stream at a time per plan. */
asd_status asd_fft_run(asd_fft *f, asd_stream *s, float *x);

#ifdef __cplusplus
}
#endif
#endif
