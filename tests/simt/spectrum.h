/* spectrum.h - see spectrum.cu. */
#ifndef ASD_TESTS_SIMT_SPECTRUM_H
#define ASD_TESTS_SIMT_SPECTRUM_H

#include "cuda/gpu.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Entries (cos, sin) of the table of twiddle factors for n = 64, 128 .. 4096; fills it unless out
 * is NULL. */
size_t spectrum_table(int n, float *out);

/* x: (rows, n) -> power: (rows, n/2 + 1), |DFT|^2. table: spectrum_table on the device. */
asd_status spectrum_run(asd_stream *s, int n, int rows, const float *x, const float *table,
                        float *power);

#ifdef __cplusplus
}
#endif
#endif
