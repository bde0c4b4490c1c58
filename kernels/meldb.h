/* meldb.h - what meldb.c and meldb.cu share: constants and tables. */
#ifndef ASD_KERNELS_MELDB_H
#define ASD_KERNELS_MELDB_H

#include "kernels/logmel.h" /* asd_mel_band */
#include "kernels/op.h"

#ifdef __cplusplus
extern "C" {
#endif

#define ASD_MELDB_FLOOR 1e-10f

/* Fills band: (n_mels), and weight; with NULL only counts. Returns the number of weights. */
int64_t asd_meldb_bands(const asd_meldb_attr *a, asd_mel_band *band, float *weight);

/* window: (n_fft), periodic Hann times `scale`, a power of two. */
void asd_meldb_window(const asd_meldb_attr *a, double scale, float *window);

/* Frames that a block of the CUDA kernel takes; fft.cuh's numbers, checked there. */
static inline int64_t asd_meldb_frames_block(int64_t n_fft)
{
    return n_fft == 4096                   ? 1
           : n_fft == 2048                 ? 4
           : n_fft == 1024 || n_fft == 512 ? 8
           : n_fft == 256 || n_fft == 128  ? 16
                                           : 32;
}

/* Blocks of a clip of so many frames. */
int64_t asd_meldb_blocks(const asd_meldb_attr *a, int64_t frames);

asd_status meldb_prepare_cuda(asd_call *c);
void       meldb_release_cuda(asd_call *c);

#ifdef __cplusplus
}
#endif
#endif
