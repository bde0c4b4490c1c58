/* fbank.h - what fbank.c and fbank.cu share: constants and tables. */
#ifndef ASD_KERNELS_FBANK_H
#define ASD_KERNELS_FBANK_H

#include "kernels/logmel.h" /* asd_mel_band */
#include "kernels/op.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { ASD_FBANK_FRAME = 400, ASD_FBANK_HOP = 160, ASD_FBANK_FFT = 512, ASD_FBANK_BINS = 256 };
#define ASD_FBANK_FLOOR 1.1920928955078125e-07f /* 2^-23 */
#define ASD_FBANK_PREEMPHASIS 0.97f

/* Fills band: (n_mels), and weight; with NULL only counts. Returns the number of weights. */
int64_t asd_fbank_bands(const asd_fbank_attr *a, asd_mel_band *band, float *weight);

/* window: (ASD_FBANK_FRAME), times `scale`, a power of two. */
void asd_fbank_window(const asd_fbank_attr *a, double scale, float *window);

asd_status fbank_prepare_cuda(asd_call *c);
void       fbank_release_cuda(asd_call *c);

#ifdef __cplusplus
}
#endif
#endif
