/* wav_header.h - where the samples of a WAV file lie, checked against the file's real length.
 *
 * libsndfile reads a file that was cut off as if it were a shorter one, so we walk the chunks
 * ourselves before it sees the file. Taken: RIFF, RF64 and BW64 with PCM (8 unsigned, 16, 24, 32
 * bits) or IEEE float (32, 64), plain or WAVE_FORMAT_EXTENSIBLE, any chunks before and after the
 * samples. Refused, each by name: other formats under the name .wav, sizes that a streaming writer
 * left open (0 or 0xFFFFFFFF: a complete file cannot be told from a cut one), sizes beyond the end
 * of the file, a last frame that is not whole.
 */
#ifndef ASD_AUDIO_WAV_HEADER_H
#define ASD_AUDIO_WAV_HEADER_H

#include "audio/wav.h"

typedef struct asd_wav_layout {
    asd_wav_info info;
    int64_t      data_offset; /* bytes from the start of the file to the first sample */
    int64_t      data_bytes;  /* frames * channels * bits / 8                         */
} asd_wav_layout;

/* fd: open for reading, regular file; its position is left alone. path is for the messages and for
 * its extension, which must be .wav or .wave in any case. ASD_E_DATA, or ASD_E_IO when reading
 * fails. */
asd_status asd_wav_layout_read(int fd, const char *path, asd_wav_layout *out);

#endif
