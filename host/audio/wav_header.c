/* wav_header.c - see wav_header.h.
 *
 * RIFF: "RIFF" size32 "WAVE", then chunks: id, size32, bytes, and a pad byte when size is odd.
 * RF64 (EBU Tech 3306) and BW64 (ITU-R BS.2088): the size fields are 0xFFFFFFFF and a first chunk
 * "ds64" holds the 64-bit sizes of the whole and of "data".
 */
#include "audio/wav_header.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    HEAD_BYTES        = 4096, /* one read serves nearly every header */
    TAG_PCM           = 1,
    TAG_FLOAT         = 3,
    TAG_EXTENSIBLE    = 0xFFFE,
    MAX_CHANNELS      = 1024, /* libsndfile's own limit */
    MAX_RATE_HZ       = 1000000,
    MAX_CHUNKS        = 4096, /* a file of empty chunks shall not keep us busy */
    FMT_BYTES         = 16,
    FMT_EXTENDED_SIZE = 40
};
#define OPEN_SIZE UINT32_MAX /* what a streaming writer leaves, and RF64's "see ds64" */

typedef struct head {
    int           fd;
    const char   *path;
    int64_t       file_bytes;
    int64_t       n; /* valid bytes in `bytes` */
    unsigned char bytes[HEAD_BYTES];
} head;

static uint16_t le16(const unsigned char *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t le32(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t le64(const unsigned char *p)
{
    return (uint64_t)le32(p) | (uint64_t)le32(p + 4) << 32;
}

/* n bytes at offset, which the caller knows to lie inside the file. */
static asd_status peek(const head *h, int64_t offset, void *out, size_t n)
{
    if (offset + (int64_t)n <= h->n) {
        memcpy(out, h->bytes + offset, n);
        return ASD_OK;
    }
    ssize_t got = pread(h->fd, out, n, offset);
    if (got != (ssize_t)n)
        return ASD_FAIL(ASD_E_IO, "%s: cannot read %zu bytes at %" PRId64 ": %s", h->path, n,
                        offset, got < 0 ? strerror(errno) : "end of file");
    return ASD_OK;
}

/* What a file is, told from its first bytes, for people who wonder why it is not audio. */
static const char *sniff(const head *h)
{
    static const struct {
        const char *magic;
        size_t      at, n;
        const char *what;
    } table[] = {
        {"fLaC", 0, 4, "FLAC"},
        {"OggS", 0, 4, "Ogg"},
        {"FORM", 0, 4, "AIFF"},
        {"RIFX", 0, 4, "big-endian RIFX"},
        {"riff", 0, 4, "Sony Wave64"},
        {"caff", 0, 4, "Apple CAF"},
        {".snd", 0, 4, "Sun AU"},
        {"ID3", 0, 3, "MP3"},
        {"\xFF\xFB", 0, 2, "MP3"},
        {"ftyp", 4, 4, "MP4"},
        {"PK\3\4", 0, 4, "a zip archive"},
        {"\x1F\x8B", 0, 2, "gzip"},
        {"\x89HDF", 0, 4, "HDF5"},
        {"<!DOCTYPE", 0, 9, "an HTML page (a failed download?)"},
        {"<html", 0, 5, "an HTML page (a failed download?)"},
        {"version https://git-lfs", 0, 23, "a Git LFS pointer, not the file itself"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; ++i)
        if (h->n >= (int64_t)(table[i].at + table[i].n) &&
            !memcmp(h->bytes + table[i].at, table[i].magic, table[i].n))
            return table[i].what;
    int zeros = 1, text = 1;
    for (int64_t i = 0; i < h->n; ++i) {
        unsigned char c = h->bytes[i];
        zeros &= c == 0;
        text &= c >= 0x20 || c == '\n' || c == '\r' || c == '\t';
    }
    return zeros ? "zero bytes" : text ? "text" : "unknown bytes";
}

static asd_status check_name(const head *h)
{
    const char *base = strrchr(h->path, '/');
    const char *dot  = strrchr(base ? base : h->path, '.');
    if (dot && (!strcasecmp(dot, ".wav") || !strcasecmp(dot, ".wave")))
        return ASD_OK;
    return ASD_FAIL(ASD_E_DATA, "%s: the content is WAV, but the name ends in \"%s\"; want .wav",
                    h->path, dot ? dot : "");
}

static asd_status read_head(head *h, int fd, const char *path)
{
    struct stat s;
    h->fd   = fd;
    h->path = path;
    if (fstat(fd, &s))
        return ASD_FAIL(ASD_E_IO, "%s: %s", path, strerror(errno));
    if (!S_ISREG(s.st_mode))
        return ASD_FAIL(ASD_E_DATA, "%s: %s; want a WAV file", path,
                        S_ISDIR(s.st_mode) ? "a folder" : "not a regular file");
    h->file_bytes = s.st_size;
    if (!h->file_bytes)
        return ASD_FAIL(ASD_E_DATA, "%s: empty file (0 bytes); want a WAV file", path);
    h->n = pread(fd, h->bytes, HEAD_BYTES, 0);
    if (h->n < 0)
        return ASD_FAIL(ASD_E_IO, "%s: cannot read: %s", path, strerror(errno));
    int wave = h->n >= 12 && (!memcmp(h->bytes, "RIFF", 4) || !memcmp(h->bytes, "RF64", 4) ||
                              !memcmp(h->bytes, "BW64", 4));
    if (wave && !memcmp(h->bytes + 8, "WAVE", 4))
        return check_name(h);
    if (wave)
        return ASD_FAIL(ASD_E_DATA, "%s: RIFF file of kind \"%.4s\"; want \"WAVE\"", path,
                        (const char *)h->bytes + 8);
    if (h->n < 12)
        return ASD_FAIL(ASD_E_DATA, "%s: %" PRId64 " bytes, too short for a WAV header", path,
                        h->n);
    return ASD_FAIL(ASD_E_DATA, "%s: the content is %s; want WAV (RIFF, RF64 or BW64)", path,
                    sniff(h));
}

static asd_status parse_fmt(const head *h, int64_t at, uint64_t size, asd_wav_info *info)
{
    unsigned char b[FMT_EXTENDED_SIZE] = {0};
    if (size < FMT_BYTES || at + FMT_BYTES > h->file_bytes)
        return ASD_FAIL(ASD_E_DATA, "%s: \"fmt \" chunk of %" PRIu64 " bytes; want at least %d",
                        h->path, size, FMT_BYTES);
    size_t n = size < sizeof b ? (size_t)size : sizeof b;
    if (at + (int64_t)n > h->file_bytes)
        n = (size_t)(h->file_bytes - at);
    ASD_TRY(peek(h, at, b, n));
    unsigned tag = le16(b), channels = le16(b + 2), align = le16(b + 12), bits = le16(b + 14);
    uint32_t rate_hz = le32(b + 4);
    if (tag == TAG_EXTENSIBLE) {
        if (n < FMT_EXTENDED_SIZE)
            return ASD_FAIL(ASD_E_DATA,
                            "%s: extensible \"fmt \" chunk of %zu bytes; want at least %d", h->path,
                            n, FMT_EXTENDED_SIZE);
        tag = le16(b + 24); /* the first two bytes of the sub-format's GUID are the plain tag */
    }
    if (tag != TAG_PCM && tag != TAG_FLOAT)
        return ASD_FAIL(ASD_E_DATA, "%s: WAV codec %u; want 1 (PCM) or 3 (float)", h->path, tag);
    int widths = tag == TAG_PCM ? bits == 8 || bits == 16 || bits == 24 || bits == 32
                                : bits == 32 || bits == 64;
    if (!widths)
        return ASD_FAIL(ASD_E_DATA, "%s: %u-bit %s samples; want %s", h->path, bits,
                        tag == TAG_PCM ? "PCM" : "float",
                        tag == TAG_PCM ? "8, 16, 24 or 32" : "32 or 64");
    if (channels < 1 || channels > MAX_CHANNELS)
        return ASD_FAIL(ASD_E_DATA, "%s: %u channels; want 1 to %d", h->path, channels,
                        MAX_CHANNELS);
    if (rate_hz < 1 || rate_hz > MAX_RATE_HZ)
        return ASD_FAIL(ASD_E_DATA, "%s: sample rate %" PRIu32 " Hz; want 1 to %d", h->path,
                        rate_hz, MAX_RATE_HZ);
    if (align != channels * bits / 8)
        return ASD_FAIL(ASD_E_DATA, "%s: frames of %u bytes; want %u (%u channels of %u bits)",
                        h->path, align, channels * bits / 8, channels, bits);
    info->channels = (int)channels;
    info->rate_hz  = (int)rate_hz;
    info->bits     = (int)bits;
    info->is_float = tag == TAG_FLOAT;
    return ASD_OK;
}

/* The data chunk begins at `at` and claims `size` bytes; the whole file claims riff_size + 8. */
static asd_status check_data(const head *h, int64_t at, uint64_t size, uint64_t riff_size,
                             asd_wav_layout *out)
{
    uint64_t held     = (uint64_t)(h->file_bytes - at);
    uint64_t frame    = (uint64_t)out->info.channels * (uint64_t)out->info.bits / 8;
    uint64_t riff_end = riff_size > UINT64_MAX - 8 ? UINT64_MAX : riff_size + 8;
    if (size == OPEN_SIZE || riff_size == OPEN_SIZE || riff_size == 0 ||
        (size == 0 && held >= frame && riff_end <= (uint64_t)at))
        return ASD_FAIL(ASD_E_DATA,
                        "%s: the writer never filled in the sizes (RIFF %#" PRIx64
                        ", data %#" PRIx64 "; the file holds %" PRIu64
                        " bytes of samples), so it cannot be known to "
                        "be complete; rewrite it, e.g. ffmpeg -i old.wav new.wav",
                        h->path, riff_size, size, held);
    if (size == 0)
        return ASD_FAIL(ASD_E_DATA, "%s: 0 samples; want at least 1", h->path);
    if (size > held)
        return ASD_FAIL(ASD_E_DATA,
                        "%s: truncated: the header promises %" PRIu64
                        " bytes of samples, the file holds %" PRIu64,
                        h->path, size, held);
    if (size % frame)
        return ASD_FAIL(ASD_E_DATA,
                        "%s: %" PRIu64 " bytes of samples; want a multiple of %" PRIu64
                        " (%d channels of %d bits)",
                        h->path, size, frame, out->info.channels, out->info.bits);
    if (riff_end < (uint64_t)at + size)
        return ASD_FAIL(ASD_E_DATA,
                        "%s: the RIFF size ends the file at byte %" PRIu64
                        ", the samples end at %" PRIu64,
                        h->path, riff_end, (uint64_t)at + size);
    /* One byte of grace: some writers count a pad byte that they do not write. */
    if (riff_end > (uint64_t)h->file_bytes + 1)
        return ASD_FAIL(ASD_E_DATA,
                        "%s: truncated: the header promises %" PRIu64
                        " bytes in all, the file holds %" PRId64,
                        h->path, riff_end, h->file_bytes);
    out->data_offset = at;
    out->data_bytes  = (int64_t)size;
    out->info.frames = (int64_t)(size / frame);
    return ASD_OK;
}

asd_status asd_wav_layout_read(int fd, const char *path, asd_wav_layout *out)
{
    head h = {0};
    memset(out, 0, sizeof *out);
    ASD_TRY(read_head(&h, fd, path));
    int      long_form = h.bytes[1] != 'I'; /* RF64 or BW64, not RIFF */
    int      have_fmt  = 0;
    uint64_t riff_size = le32(h.bytes + 4), data_size = 0;
    int64_t  at = 12;
    for (int i = 0; i < MAX_CHUNKS && at <= h.file_bytes - 8; ++i) {
        unsigned char chunk[8], ds64[16];
        ASD_TRY(peek(&h, at, chunk, sizeof chunk));
        uint64_t size = le32(chunk + 4);
        at += 8;
        if (i == 0 && long_form) {
            if (memcmp(chunk, "ds64", 4) || size < 28 || at + 16 > h.file_bytes)
                return ASD_FAIL(ASD_E_DATA, "%s: %.4s file without a leading \"ds64\" chunk", path,
                                (const char *)h.bytes);
            ASD_TRY(peek(&h, at, ds64, sizeof ds64));
            if (riff_size == OPEN_SIZE)
                riff_size = le64(ds64);
            data_size = le64(ds64 + 8);
        } else if (!memcmp(chunk, "fmt ", 4)) {
            ASD_TRY(parse_fmt(&h, at, size, &out->info));
            have_fmt = 1;
        } else if (!memcmp(chunk, "data", 4)) {
            if (!have_fmt)
                return ASD_FAIL(ASD_E_DATA, "%s: no \"fmt \" chunk before the samples", path);
            if (long_form && size == OPEN_SIZE)
                size = data_size;
            return check_data(&h, at, size, riff_size, out);
        }
        at += (int64_t)(size + (size & 1));
    }
    return ASD_FAIL(ASD_E_DATA,
                    "%s: truncated or damaged: no \"data\" chunk in the %" PRId64 " bytes held",
                    path, h.file_bytes);
}
