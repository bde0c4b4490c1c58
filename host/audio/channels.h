/* channels.h - what an encoder may hear of a clip of two microphones: near, far, their difference,
 * or near with the far channel's spectrum subtracted.
 *
 * Everywhere near is channel 0 and far is channel 1 (audio/wav.h). x: (info->frames,
 * info->channels) interleaved, as asd_wav_read_all gives it; *y: (info->frames), malloc'ed, NULL
 * after an error. A file that lacks a channel is ASD_E_DATA and named by `path`. Thread-safe.
 *
 * Arithmetic that changes needs another version (ASD_CHANNEL_, ASD_LEVEL_VERSION): cached
 * embeddings go by it. tests/test_front_end.c pins the numbers that each version gives.
 */
#ifndef ASD_AUDIO_CHANNELS_H
#define ASD_AUDIO_CHANNELS_H

#include "audio/wav.h"

#ifdef __cplusplus
extern "C" {
#endif

/* For keys; the parameters go beside them. */
#define ASD_CHANNEL_DIFFERENCE "channel-difference/1"
#define ASD_CHANNEL_SUBTRACTED "channel-subtracted/1"

/* channel: 0 near, 1 far. */
asd_status asd_channel_take(const char *path, const float *x, const asd_wav_info *info, int channel,
                            float **y);

/* near - far, no alignment of delay or gain, clipped to [-1, 1] (systems B4). */
asd_status asd_channel_difference(const char *path, const float *x, const asd_wav_info *info,
                                  float **y);

typedef struct asd_subtraction {
    double alpha;       /* of the far magnitude, >= 0; 0.5 */
    double floor;       /* of the near magnitude, 0 .. 1; 0.05 */
    int    gain_median; /* 1: far is first multiplied by the clip's median of |near| / |far| */
} asd_subtraction;

/* Spectral subtraction, near's phase, overlap-add (systems B3). */
asd_status asd_channel_subtracted(const char *path, const float *x, const asd_wav_info *info,
                                  const asd_subtraction *how, float **y);

#ifdef __cplusplus
}
#endif
#endif
