/* wav.c - see wav.h. One reader: wav_header.c proves that the file is whole, libsndfile converts
 * the samples in blocks of bounded size, and what the two say about the file must agree.
 */
#include "audio/wav.h"

#include "audio/resample.h"
#include "audio/wav_header.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <sndfile.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BLOCK_VALUES = 8192 }; /* of all channels together; 32 KiB of float on the stack */

typedef struct reader {
    const char    *path;
    int            fd;
    SNDFILE       *sf;
    asd_wav_layout layout;
    int64_t        done;         /* frames read so far */
    int64_t        block_frames; /* most frames of one read_block */
} reader;

static void reader_close(reader *r)
{
    if (r->sf)
        sf_close(r->sf);
    if (r->fd >= 0)
        close(r->fd);
    r->sf = NULL;
    r->fd = -1;
}

static asd_status open_checked(reader *r, const char *path)
{
    *r = (reader){.path = path, .fd = open(path, O_RDONLY | O_CLOEXEC)};
    if (r->fd < 0)
        return ASD_FAIL(errno == ENOENT || errno == ENOTDIR || errno == ELOOP ? ASD_E_DATA
                                                                              : ASD_E_IO,
                        "%s: cannot read: %s", path, strerror(errno));
    return asd_wav_layout_read(r->fd, path, &r->layout);
}

/* On any return reader_close is due. */
static asd_status reader_open(reader *r, const char *path)
{
    SF_INFO sf = {0};
    ASD_TRY(open_checked(r, path));
    const asd_wav_info *info = &r->layout.info;
    r->block_frames          = BLOCK_VALUES / info->channels;
    if (!(r->sf = sf_open_fd(r->fd, SFM_READ, &sf, SF_FALSE)))
        return ASD_FAIL(ASD_E_DATA, "%s: libsndfile cannot read it: %s", path, sf_strerror(NULL));
    if (sf.frames != info->frames || sf.channels != info->channels ||
        sf.samplerate != info->rate_hz)
        return ASD_FAIL(ASD_E_DATA,
                        "%s: damaged header: it can be read as %" PRId64 " x %d at %d Hz or as "
                        "%" PRId64 " x %d at %d Hz",
                        path, info->frames, info->channels, info->rate_hz, (int64_t)sf.frames,
                        sf.channels, sf.samplerate);
    return ASD_OK;
}

static asd_status check_block(reader *r, int64_t got, int64_t want)
{
    if (got != want)
        return ASD_FAIL(ASD_E_DATA, "%s: read %" PRId64 " of %" PRId64 " frames: %s", r->path,
                        r->done + (got > 0 ? got : 0), r->layout.info.frames,
                        sf_error(r->sf) ? sf_strerror(r->sf) : "the file became shorter");
    r->done += got;
    return ASD_OK;
}

/* Frames of the next block, 0 at the end. */
static int64_t next_block(const reader *r)
{
    int64_t left = r->layout.info.frames - r->done;
    return left < r->block_frames ? left : r->block_frames;
}

/* x: (frames, channels) of the next block. 16 bits go through the integers so that x is exactly
 * int16 / 32768; the other widths are scaled by libsndfile the same way (2^-7, 2^-23, 2^-31). */
static asd_status read_block(reader *r, float x[BLOCK_VALUES], int64_t frames)
{
    const asd_wav_info *info = &r->layout.info;
    const int64_t       n    = frames * info->channels;
    if (info->bits == 16) {
        int16_t s[BLOCK_VALUES];
        ASD_TRY(check_block(r, sf_readf_short(r->sf, s, frames), frames));
        for (int64_t i = 0; i < n; ++i)
            x[i] = (float)s[i] * (1.0f / 32768.0f);
        return ASD_OK;
    }
    ASD_TRY(check_block(r, sf_readf_float(r->sf, x, frames), frames));
    for (int64_t i = 0; info->is_float && i < n; ++i)
        if (!isfinite(x[i]))
            return ASD_FAIL(ASD_E_DATA,
                            "%s: sample %" PRId64 " of channel %" PRId64 " is %s; want finite",
                            r->path, r->done - frames + i / info->channels, i % info->channels,
                            isnan(x[i]) ? "NaN" : "infinite");
    return ASD_OK;
}

asd_status asd_wav_probe(const char *path, asd_wav_info *info)
{
    reader     r;
    asd_status st = open_checked(&r, path);
    *info         = r.layout.info;
    reader_close(&r);
    return st;
}

asd_status asd_wav_verify(const char *path, asd_wav_info *info)
{
    reader     r;
    float      block[BLOCK_VALUES];
    asd_status st = reader_open(&r, path);
    for (int64_t n; !st && (n = next_block(&r)) > 0;)
        st = read_block(&r, block, n);
    *info = r.layout.info;
    reader_close(&r);
    return st;
}

static asd_status check_channel(const char *path, asd_channel channel, const asd_wav_info *info)
{
    if (channel == ASD_HEAR_FAR && info->channels < 2)
        return ASD_FAIL(ASD_E_DATA,
                        "%s: mono, so it has no far channel; want 2 channels (near, far), or "
                        "choose the near channel",
                        path);
    return ASD_OK;
}

/* block: (frames, channels) -> x: (frames) */
static void hear(const float *block, int64_t frames, int channels, asd_channel channel, float *x)
{
    if (channel != ASD_HEAR_MEAN) {
        const int k = channel == ASD_HEAR_FAR;
        for (int64_t i = 0; i < frames; ++i)
            x[i] = block[i * channels + k];
        return;
    }
    for (int64_t i = 0; i < frames; ++i) {
        double sum = 0;
        for (int k = 0; k < channels; ++k)
            sum += (double)block[i * channels + k];
        x[i] = (float)(sum / channels);
    }
}

/* Replaces *x: (*frames, channels) by its resampled form where the rates differ. */
static asd_status to_rate(float **x, int64_t *frames, int channels, int from_hz, int to_hz)
{
    float  *y;
    int64_t n;
    if (!to_hz || to_hz == from_hz)
        return ASD_OK;
    ASD_TRY(asd_resample(*x, *frames, channels, from_hz, to_hz, &y, &n));
    free(*x);
    *x      = y;
    *frames = n;
    return ASD_OK;
}

/* The whole file; `heard` channels a row: 1 (as `channel` says) or all. */
static asd_status read_file(reader *r, int all, asd_channel channel, int rate_hz, float **x,
                            int64_t *frames)
{
    const asd_wav_info *info  = &r->layout.info;
    const int           heard = all ? info->channels : 1;
    float               block[BLOCK_VALUES];
    *frames = info->frames;
    if (!(*x = malloc((size_t)(info->frames * heard) * sizeof **x)))
        return ASD_FAIL(ASD_E_OOM, "%s: no memory for %" PRId64 " x %d samples", r->path,
                        info->frames, heard);
    for (int64_t n; (n = next_block(r)) > 0;) {
        const int64_t at = r->done;
        ASD_TRY(read_block(r, block, n));
        if (all)
            memcpy(*x + at * heard, block, (size_t)(n * heard) * sizeof *block);
        else
            hear(block, n, info->channels, channel, *x + at);
    }
    return to_rate(x, frames, heard, info->rate_hz, rate_hz);
}

asd_status asd_wav_read(const char *path, asd_channel channel, int rate_hz, float **x, int64_t *n,
                        asd_wav_info *info)
{
    reader     r;
    asd_status st;
    *x = NULL;
    *n = 0;
    ASD_GO(done, st, reader_open(&r, path));
    ASD_GO(done, st, check_channel(path, channel, &r.layout.info));
    ASD_GO(done, st, read_file(&r, 0, channel, rate_hz, x, n));
done:
    *info = r.layout.info;
    if (st) {
        free(*x);
        *x = NULL;
        *n = 0;
    }
    reader_close(&r);
    return st;
}

asd_status asd_wav_read_all(const char *path, int rate_hz, float **x, asd_wav_info *info)
{
    reader     r;
    asd_status st;
    int64_t    n = 0;
    *x           = NULL;
    ASD_GO(done, st, reader_open(&r, path));
    ASD_GO(done, st, read_file(&r, 1, ASD_HEAR_NEAR, rate_hz, x, &n));
done:
    *info = r.layout.info;
    if (st) {
        free(*x);
        *x = NULL;
    } else {
        info->frames = n;
        if (rate_hz)
            info->rate_hz = rate_hz;
    }
    reader_close(&r);
    return st;
}

static asd_status read_i16(reader *r, int channel, int16_t *x, int64_t cap)
{
    const asd_wav_info *info = &r->layout.info;
    const int           c    = info->channels;
    const int64_t       want = channel < 0 ? info->frames * c : info->frames;
    int16_t             block[BLOCK_VALUES];
    if (info->bits != 16)
        return ASD_FAIL(ASD_E_DATA, "%s: %d-bit %s samples; want 16-bit PCM", r->path, info->bits,
                        info->is_float ? "float" : "PCM");
    if (channel >= c)
        return ASD_FAIL(ASD_E_DATA, "%s: %d channels, so there is no channel %d (from 0)", r->path,
                        c, channel);
    if (want > cap)
        return ASD_FAIL(ASD_E_DATA, "%s: %" PRId64 " values; want at most %" PRId64, r->path, want,
                        cap);
    if (channel < 0)
        return check_block(r, sf_readf_short(r->sf, x, info->frames), info->frames);
    for (int64_t n; (n = next_block(r)) > 0;) {
        int16_t *to = x + r->done;
        ASD_TRY(check_block(r, sf_readf_short(r->sf, block, n), n));
        for (int64_t i = 0; i < n; ++i)
            to[i] = block[i * c + channel];
    }
    return ASD_OK;
}

asd_status asd_wav_read_i16(const char *path, int channel, int16_t *x, int64_t cap,
                            asd_wav_info *info)
{
    reader     r;
    asd_status st = reader_open(&r, path);
    if (!st)
        st = read_i16(&r, channel, x, cap);
    *info = r.layout.info;
    reader_close(&r);
    return st;
}

static void put(unsigned char *p, uint32_t value, int bytes)
{
    for (int i = 0; i < bytes; ++i)
        p[i] = (unsigned char)(value >> 8 * i);
}

asd_status asd_wav_write16(const char *path, const float *x, int64_t frames, int channels,
                           int rate_hz)
{
    ASD_ASSERT(frames > 0 && channels > 0 && channels < 32768 && rate_hz > 0);
    const int64_t limit = (UINT32_MAX - 64) / 2 / channels;
    if (frames > limit)
        return ASD_FAIL(ASD_E_DATA, "%s: %" PRId64 " frames; a WAV file takes %" PRId64, path,
                        frames, limit);
    const int64_t n     = frames * channels;
    const size_t  bytes = 44 + 2 * (size_t)n;
    for (int64_t i = 0; i < n; ++i)
        if (!isfinite(x[i]))
            return ASD_FAIL(ASD_E_NUMERIC, "%s: sample %" PRId64 " of channel %" PRId64 " is %s",
                            path, i / channels, i % channels, isnan(x[i]) ? "NaN" : "infinite");
    unsigned char *b = malloc(bytes);
    if (!b)
        return ASD_FAIL(ASD_E_OOM, "%s: no memory for %zu bytes", path, bytes);
    memcpy(b, "RIFF....WAVEfmt ", 16);
    put(b + 4, (uint32_t)bytes - 8, 4);
    put(b + 16, 16, 4);
    put(b + 20, 1, 2);
    put(b + 22, (uint32_t)channels, 2);
    put(b + 24, (uint32_t)rate_hz, 4);
    put(b + 28, (uint32_t)rate_hz * (uint32_t)channels * 2, 4);
    put(b + 32, (uint32_t)channels * 2, 2);
    put(b + 34, 16, 2);
    memcpy(b + 36, "data", 4);
    put(b + 40, (uint32_t)(2 * n), 4);
    for (int64_t i = 0; i < n; ++i) {
        float v = rintf(x[i] * 32768.0f); /* to nearest even, the default rounding mode */
        v       = v > 32767 ? 32767 : v < -32768 ? -32768 : v;
        put(b + 44 + 2 * i, (uint16_t)(int16_t)v, 2);
    }
    asd_status st = asd_write_file(path, b, bytes);
    free(b);
    return st;
}
