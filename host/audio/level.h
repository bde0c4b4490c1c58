/* level.h - how much louder the near microphone is than the far one: 18 numbers a clip.
 *
 *   P_c[t, b] = sum over the band's bins of |X_c[t, f]|^2     STFT of 1024 samples, hop 512,
 *   L[t, b]   = ln(P_near + 1e-10) - ln(P_far + 1e-10)        periodic Hann, centred, zeros outside
 *   y         = mean over t of L[t, 0 .. 8], then standard deviation (population) of the same
 *
 * Band 0 is broadband, 31.25 to 8000 Hz; bands 1 .. 8 are its octaves: 31.25-62.5, 62.5-125, ..
 * 4000-8000 Hz, which at 16 kHz are bins 2-3, 4-7, .. 256-512. The report names neither bands nor
 * units: octaves down to where two bins are left are our choice, as is the natural logarithm, which
 * a Mahalanobis distance does not see. 1e-10 is a three-hundredth of what a bin gets from the
 * rounding of int16.
 * See: systems E18, B5.
 */
#ifndef ASD_AUDIO_LEVEL_H
#define ASD_AUDIO_LEVEL_H

#include "base/status.h"

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ASD_LEVEL_VERSION "channel-level/1" /* for keys, see channels.h */
enum { ASD_LEVEL_BANDS = 9, ASD_LEVEL_D = 2 * ASD_LEVEL_BANDS };

/* near, far: (n) samples at 16 kHz, n >= 1. y: (ASD_LEVEL_D). path: for messages. Thread-safe. */
asd_status asd_level_features(const char *path, const float *near, const float *far, int64_t n,
                              float *y);

#ifdef __cplusplus
}
#endif
#endif
