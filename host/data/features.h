/* features.h - clips to frames: reads audio, runs the front-end op, keeps all frames of a set side
 * by side.
 *
 * Training and scoring come through here, so their features cannot differ. Memory: 4 bytes x n_mels
 * per frame for the result (160 MB for 1,000 ten-second clips of 128 bands) and, while reading, one
 * clip of samples and one front-end plan per chunk of work (at most 16, about 2 MB each for ten
 * seconds).
 */
#ifndef ASD_DATA_FEATURES_H
#define ASD_DATA_FEATURES_H

#include "base/cfg.h"
#include "data/dataset.h"
#include "kernels/op.h"

typedef struct asd_features {
    float   *x;     /* (rows, F), 64-byte aligned                       */
    int64_t *first; /* (n + 1): clip i has frames first[i] .. first[i+1] */
    int64_t  n, rows, F;
    char     hash[33]; /* of all samples in order: identity of the audio   */
} asd_features;

/* clips: (n); their order is kept. Every clip must give at least front_end.stack_frames frames
 * (ASD_E_DATA). progress_text: label of a progress bar, NULL for none. Uses all threads; the result
 * does not depend on them. */
asd_status asd_features_load(const asd_clip *const *clips, int64_t n, const asd_cfg *cfg,
                             const char *progress_text, asd_features *out);
void       asd_features_clear(asd_features *f);

asd_logmel_attr asd_front_end_attr(const asd_cfg *cfg);

#endif
