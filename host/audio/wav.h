/* wav.h - audio files in: every PCM width and float, any rate, any number of channels.
 *
 * Errors are ASD_E_DATA and name the file, what was found and what was wanted: empty, truncated,
 * not audio, zero frames, NaN or Inf samples. Nothing is skipped in silence. What counts as a whole
 * WAV file is said in wav_header.h; the content decides, and a name that does not end in .wav is an
 * error. Readers allocate only what they return, plus 64 KiB on the stack. Thread-safe.
 */
#ifndef ASD_AUDIO_WAV_H
#define ASD_AUDIO_WAV_H

#include "base/status.h"

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct asd_wav_info {
    int64_t frames; /* samples a channel, at the file's rate */
    int     channels;
    int     rate_hz;
    int     bits; /* 8 (unsigned) 16 24 32; 32 and 64 with is_float */
    int     is_float;
} asd_wav_info;

/* Header only, checked against the file's length (a header that promises more than the file holds
 * is an error). */
asd_status asd_wav_probe(const char *path, asd_wav_info *info);

/* Which channel a caller hears. near = channel 0, far = channel 1 (dcase2026 2.6); mono files have
 * only near. */
typedef enum asd_channel { ASD_HEAR_NEAR, ASD_HEAR_FAR, ASD_HEAR_MEAN } asd_channel;

/* One channel as float in [-1, 1) (int16 / 32768), resampled with soxr's high quality to rate_hz
 * when the file has another rate (0 = keep the file's). *x: (*n) samples, caller frees with free().
 */
asd_status asd_wav_read(const char *path, asd_channel channel, int rate_hz, float **x, int64_t *n,
                        asd_wav_info *info);

/* The same check of every sample without keeping any: the whole file is read, in bounded memory. */
asd_status asd_wav_verify(const char *path, asd_wav_info *info);

/* All channels, interleaved as stored: *x: (frames, channels). Caller frees. info->frames and
 * info->rate_hz describe *x, that is after resampling; bits and is_float describe the file. */
asd_status asd_wav_read_all(const char *path, int rate_hz, float **x, asd_wav_info *info);

/* 16-bit files without any conversion, into the caller's memory (a pinned ring, say).
 * channel >= 0: x: (frames); channel -1: all, x: (frames, channels). cap: values that x takes; a
 * file that needs more, has another width or lacks the channel is ASD_E_DATA. */
asd_status asd_wav_read_i16(const char *path, int channel, int16_t *x, int64_t cap,
                            asd_wav_info *info);

/* 16-bit PCM, atomically; x: (frames, channels) in [-1, 1], clipped, rounded to nearest even of x *
 * 32768. NaN or Inf is ASD_E_NUMERIC. */
asd_status asd_wav_write16(const char *path, const float *x, int64_t frames, int channels,
                           int rate_hz);

#ifdef __cplusplus
}
#endif
#endif
