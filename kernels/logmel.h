/* logmel.h - what logmel.c and logmel.cu share: the choice of method, and the tables. */
#ifndef ASD_KERNELS_LOGMEL_H
#define ASD_KERNELS_LOGMEL_H

#include "kernels/op.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct asd_mel_band {
    int64_t first, n; /* bins first .. first + n - 1 have weight */
    int64_t weight;   /* where their weights start */
} asd_mel_band;

/* Fills band: (n_mels), and weight; with NULL only counts. Returns the number of weights. */
int64_t asd_logmel_bands(const asd_logmel_attr *a, asd_mel_band *band, float *weight);

/* window: (n_fft), the periodic Hann window times `scale`, in double and rounded once. */
void asd_logmel_window(const asd_logmel_attr *a, double scale, float *window);

/* True where CUDA takes the fused kernel: n_fft is a power of two from 64 to 4096, and the
 * attribute does not ask for cuFFT. */
int asd_logmel_is_fused(const asd_logmel_attr *a);

/* Of `rows` frames, how many go through cuFFT at a time. Their spectra, n_fft + 2 floats each, are
 * the op's scratch: at most 32 MiB (or one frame), so that they stay in the second-level cache. */
int64_t asd_logmel_chunk_rows(const asd_logmel_attr *a, int64_t rows);

asd_status logmel_prepare_cuda(asd_call *c);
void       logmel_release_cuda(asd_call *c);

#ifdef __cplusplus
}
#endif
#endif
