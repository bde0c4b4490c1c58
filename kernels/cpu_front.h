/* cpu_front.h - what the front-ends fbank and meldb share on the CPU: eight frames at a time from
 * samples to mel energies. */
#ifndef ASD_KERNELS_CPU_FRONT_H
#define ASD_KERNELS_CPU_FRONT_H

#include "kernels/cpu_fft.h"
#include "kernels/logmel.h" /* asd_mel_band */
#include "kernels/op.h"

enum { ASD_FRONT_SLOTS = 16 };

/* Work space of one chunk. */
typedef struct asd_front_slot {
    float      *span;  /* (7 hop + frame) samples of eight frames */
    asd_frames *rows;  /* (n_fft) */
    asd_frames *power; /* (n_fft/2 + 1) */
    asd_frames *mel;   /* (n_mels) */
} asd_front_slot;

typedef struct asd_front {
    asd_arena      arena; /* holds all arrays below */
    asd_fft_plan   fft;
    float         *window; /* (frame) */
    asd_mel_band  *band;   /* (n_mels) */
    float         *weight;
    int64_t        frame, hop, n_mels; /* samples, samples, bands */
    int64_t        n_slots;
    asd_front_slot slot[ASD_FRONT_SLOTS];
} asd_front;

/* Groups of eight frames of all clips, and how many chunks they are cut into: by shape alone. */
static inline int64_t asd_front_groups(int64_t frames)
{
    return (frames + ASD_FRAMES - 1) / ASD_FRAMES;
}

/* window, band and weight are left for the caller to fill. `what`: for messages. */
asd_status asd_front_new(const char *what, int64_t n_fft, int64_t frame, int64_t hop,
                         int64_t n_mels, int64_t n_weights, int64_t groups, asd_front **out);
void       asd_front_free(asd_front *f);

/* First group of chunk `slot` of `groups`; chunk n_slots starts behind the last. */
static inline int64_t asd_front_first(const asd_front *f, int64_t groups, int64_t slot)
{
    return groups * slot / f->n_slots;
}

/* span[i] = scale * sample start + i of clip b, 0 <= i < n; int16 is read as x / 32768. Off the
 * clip the signal is mirrored about its first and last sample, as far as it reaches, and then 0.
 * x: (B, S) */
void asd_front_samples(const asd_tensor *x, int64_t b, int64_t start, int64_t n, float scale,
                       float *span);

/* mel[m] = sum_k weight power[band.first + k] */
void asd_front_mel(const asd_front *f, const asd_frames *power, asd_frames *mel);

/* x[i] = scale * ln(max(x[i], floor)); a NaN stays one. */
void asd_front_log(float *x, int64_t n, float floor, float scale);

/* One mel band: a triangle of height 1 over edge[0], edge[1], edge[2], read at at(ctx, 0 ..
 * bins-1), all in fp32. Its weights go behind the `used` of the bands before; returns used with
 * them. band, weight: NULL to count only. */
int64_t asd_front_triangle(const float edge[3], float (*at)(const void *ctx, int64_t bin),
                           const void *ctx, int64_t bins, int64_t used, asd_mel_band *band,
                           float *weight);

#endif
