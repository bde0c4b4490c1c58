/* cpu_fft.h - power spectra of eight real frames at once on the CPU.
 *
 * Eight frames lie side by side: row j holds sample j of all of them, so that every step of the
 * transform is the same arithmetic on eight neighbouring floats and the bits of a frame depend
 * neither on its place nor on its neighbours. Frames are not paired as real and imaginary parts:
 * there a loud frame's rounding errors would land in a silent one.
 */
#ifndef ASD_KERNELS_CPU_FFT_H
#define ASD_KERNELS_CPU_FFT_H

#include "base/arena.h"
#include "kernels/cpu_math.h"

enum { ASD_FRAMES = 8, ASD_FFT_LEAST = 16, ASD_FFT_MOST = 4096 };

/* One row: a value of each of eight frames. */
typedef float asd_frames __attribute__((vector_size(ASD_FRAMES * sizeof(float)), may_alias));

/* Tables for frames of n_fft samples; they live in the arena they were cut from. */
typedef struct asd_fft_plan {
    int64_t  n_fft;
    float   *turn;  /* cos and sin of 2 pi k / n_fft, k < n_fft */
    int32_t *place; /* (n_fft/2) where the transform leaves bin k */
} asd_fft_plan;

/* True for the powers of two from ASD_FFT_LEAST to ASD_FFT_MOST. */
int    asd_fft_takes(int64_t n_fft);
size_t asd_fft_bytes(int64_t n_fft); /* of arena that a plan takes */
void   asd_fft_plan_init(asd_fft_plan *p, int64_t n_fft, asd_arena *arena);

/* rows: (n_fft) windowed samples, destroyed. power: (n_fft/2 + 1) |X[k]|^2. */
void asd_fft_power(const asd_fft_plan *p, asd_frames *rows, asd_frames *power);

/* rows[j] = x[j], x[j + hop], .. x[j + 7 hop], j < n: eight overlapping frames of n samples. */
void asd_fft_gather(const float *x, int64_t hop, int64_t n, asd_frames *rows);
/* The other way round: y[frame * step + j] = rows[j][frame], j < n, frame < frames <= 8. */
void asd_fft_scatter(const asd_frames *rows, int64_t n, int64_t frames, float *y, int64_t step);

#endif
