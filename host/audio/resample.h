/* resample.h - change of sample rate with soxr's high-quality recipe, as librosa's default does. */
#ifndef ASD_AUDIO_RESAMPLE_H
#define ASD_AUDIO_RESAMPLE_H

#include "base/status.h"

#include <stdint.h>

/* x: (frames, channels) -> *y: (*n, channels), *n = ceil(frames * to_hz / from_hz); caller frees.
 * Equal rates give a copy. The result depends on x alone, not on threads. */
asd_status asd_resample(const float *x, int64_t frames, int channels, int from_hz, int to_hz,
                        float **y, int64_t *n);

#endif
