/* resample.c - see resample.h.
 *
 * librosa.resample(res_type="soxr_hq") runs soxr's HQ recipe and then cuts or zero-pads to
 * ceil(frames * to / from) samples; so do we.
 */
#include "audio/resample.h"

#include <inttypes.h>
#include <soxr.h>
#include <stdlib.h>
#include <string.h>

asd_status asd_resample(const float *x, int64_t frames, int channels, int from_hz, int to_hz,
                        float **y, int64_t *n)
{
    ASD_ASSERT(frames > 0 && channels > 0 && from_hz > 0 && to_hz > 0);
    *y = NULL;
    *n = 0;
    if (frames > INT64_MAX / to_hz / channels / (int64_t)sizeof(float))
        return ASD_FAIL(ASD_E_DATA, "%" PRId64 " frames at %d Hz cannot be resampled to %d Hz",
                        frames, from_hz, to_hz);
    int64_t rows = (frames * to_hz + from_hz - 1) / from_hz;
    float  *out  = calloc((size_t)(rows * channels), sizeof *out);
    if (!out)
        return ASD_FAIL(ASD_E_OOM, "no memory for %" PRId64 " x %d samples", rows, channels);
    if (from_hz == to_hz) {
        memcpy(out, x, (size_t)(rows * channels) * sizeof *out);
    } else {
        soxr_io_spec_t      io      = soxr_io_spec(SOXR_FLOAT32_I, SOXR_FLOAT32_I);
        soxr_quality_spec_t quality = soxr_quality_spec(SOXR_HQ, 0);
        soxr_runtime_spec_t runtime = soxr_runtime_spec(1);
        size_t              used, made;
        soxr_error_t error = soxr_oneshot(from_hz, to_hz, (unsigned)channels, x, (size_t)frames,
                                          &used, out, (size_t)rows, &made, &io, &quality, &runtime);
        if (error) {
            free(out);
            return ASD_FAIL(ASD_E_NUMERIC, "resampling %d -> %d Hz: %s", from_hz, to_hz, error);
        }
    }
    *y = out;
    *n = rows;
    return ASD_OK;
}
