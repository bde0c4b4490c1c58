/* stft.h - short-time spectra of one signal and back, for what is done to channels before any
 * front-end.
 *
 *   X[t, f] = sum_j w[j] x[t hop + j - n_fft/2] exp(-2 pi i f j / n_fft)    x is 0 off the signal
 *   w[j]    = 0.5 - 0.5 cos(2 pi j / n_fft)                                 periodic Hann
 *   y[i]    = sum_t w[.] IDFT(Y[t])[.] / sum_t w[.]^2
 *
 * One asd_stft is used by one thread at a time.
 */
#ifndef ASD_AUDIO_STFT_H
#define ASD_AUDIO_STFT_H

#include "base/status.h"

#include <stdint.h>

typedef struct asd_stft asd_stft;

/* n_fft: even, >= 4; hop: 1 .. n_fft/2, so that no sample is without weight. */
asd_status asd_stft_new(int n_fft, int hop, asd_stft **out);
void       asd_stft_free(asd_stft *s); /* safe on NULL */

int64_t asd_stft_frames(const asd_stft *s, int64_t n); /* 1 + floor(n / hop) */

/* x: (n). bins: (n_fft/2 + 1) re, im of frame t. */
void asd_stft_frame(asd_stft *s, const float *x, int64_t n, int64_t t, float (*bins)[2]);

/* Adds frame t, windowed, to sum: (n), and its squared window to weight: (n). bins as above. */
void asd_stft_add(asd_stft *s, float (*bins)[2], int64_t n, int64_t t, float *sum, float *weight);

#endif
