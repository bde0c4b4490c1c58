/* models.h - the networks: builders that record a tape.
 *
 * A builder is called once per batch shape; parameters are found again by name.
 */
#ifndef ASD_MODELS_MODELS_H
#define ASD_MODELS_MODELS_H

#include "base/cfg.h"
#include "nn/tape.h"

/* Official autoencoder (dcase2026 6.2, systems C1): C -> hidden x depth -> code -> hidden x depth
 * -> C, batch normalisation and ReLU after every layer but the last, the code included. x: (B, C)
 * -> (B, C). Parameters encoder.0 .. encoder.<depth>, decoder.0 .. decoder.<depth>, each with
 * .linear and (but the last) .norm; 267,928 trainable numbers for C = 640, hidden 128, depth 4,
 * code 8. x: (G, B, C) makes G such networks side by side, each parameter with a leading G. */
asd_val asd_autoencoder(asd_tape *t, asd_val x, const asd_cfg *cfg);

#endif
