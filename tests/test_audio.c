/* test_audio.c - WAV files of every kind, whole and damaged. libsndfile writes the good files, so
 * that our header reader is checked against somebody else's writer. */
#include "harness.h"

#include "audio/resample.h"
#include "audio/wav.h"
#include "base/file.h"
#include "base/rng.h"

#include <inttypes.h>
#include <math.h>
#include <sndfile.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *in_folder(const char *folder, const char *name, char path[PATH_MAX])
{
    assert_ok(asd_path(path, "%s/%s", folder, name));
    return path;
}

/* A value that every width can hold exactly: a multiple of 1/128 in [-1, 1). */
static float exact_value(int64_t frame, int channel)
{
    return (float)((frame * 37 + channel * 11) % 256 - 128) / 128.0f;
}

static void write_sf(const char *path, int format, int64_t frames, int channels, int rate_hz)
{
    SF_INFO  info = {.format = format, .channels = channels, .samplerate = rate_hz};
    SNDFILE *sf   = sf_open(path, SFM_WRITE, &info);
    float   *x    = malloc((size_t)(frames * channels) * sizeof *x);
    assert_non_null(sf);
    for (int64_t i = 0; i < frames; ++i)
        for (int k = 0; k < channels; ++k)
            x[i * channels + k] = exact_value(i, k);
    sf_command(sf, SFC_SET_CLIPPING, NULL, SF_TRUE);
    assert_int_equal(sf_writef_float(sf, x, frames), frames);
    assert_int_equal(sf_close(sf), 0);
    free(x);
}

static const struct {
    const char *name;
    int         format, bits, is_float;
} kinds[] = {
    {"u8.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_U8, 8, 0},
    {"16.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16, 16, 0},
    {"24.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_24, 24, 0},
    {"32.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_32, 32, 0},
    {"f32.wav", SF_FORMAT_WAV | SF_FORMAT_FLOAT, 32, 1},
    {"f64.wav", SF_FORMAT_WAV | SF_FORMAT_DOUBLE, 64, 1},
    {"x16.wav", SF_FORMAT_WAVEX | SF_FORMAT_PCM_16, 16, 0},
    {"x24.WAV", SF_FORMAT_WAVEX | SF_FORMAT_PCM_24, 24, 0},
    {"xf32.wav", SF_FORMAT_WAVEX | SF_FORMAT_FLOAT, 32, 1},
    {"rf16.wav", SF_FORMAT_RF64 | SF_FORMAT_PCM_16, 16, 0},
    {"rff64.wave", SF_FORMAT_RF64 | SF_FORMAT_DOUBLE, 64, 1},
};

static void check_kind(const char *path, size_t k, int64_t frames, int channels, int rate_hz)
{
    asd_wav_info info;
    float       *x;
    int64_t      n;
    assert_ok(asd_wav_probe(path, &info));
    assert_int_equal(info.frames, frames);
    assert_int_equal(info.channels, channels);
    assert_int_equal(info.rate_hz, rate_hz);
    assert_int_equal(info.bits, kinds[k].bits);
    assert_int_equal(info.is_float, kinds[k].is_float);
    assert_ok(asd_wav_verify(path, &info));
    assert_ok(asd_wav_read_all(path, 0, &x, &info));
    for (int64_t i = 0; i < frames; ++i)
        for (int c = 0; c < channels; ++c)
            assert_true(x[i * channels + c] == exact_value(i, c));
    free(x);
    for (int c = 0; c < 2 && c < channels; ++c) {
        assert_ok(asd_wav_read(path, c ? ASD_HEAR_FAR : ASD_HEAR_NEAR, 0, &x, &n, &info));
        assert_int_equal(n, frames);
        for (int64_t i = 0; i < n; ++i)
            assert_true(x[i] == exact_value(i, c));
        free(x);
    }
    assert_ok(asd_wav_read(path, ASD_HEAR_MEAN, 0, &x, &n, &info));
    for (int64_t i = 0; i < n; ++i) {
        double sum = 0;
        for (int c = 0; c < channels; ++c)
            sum += exact_value(i, c);
        assert_true(x[i] == (float)(sum / channels));
    }
    free(x);
}

/* Every width, plain, extensible and RF64; 1, 2 and 8 channels; lengths around the block of 8192
 * values; odd byte counts, which need a pad byte. */
static void test_every_width(void **state)
{
    (void)state;
    static const int     channels[] = {1, 2, 8};
    static const int64_t frames[]   = {1, 999, 1024, 8193};
    const char          *folder     = asd_test_folder();
    char                 path[PATH_MAX];
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; ++k)
        for (int c = 0; c < 3; ++c)
            for (int f = 0; f < 4; ++f) {
                const int rate_hz = f % 2 ? 16000 : 44100;
                in_folder(folder, kinds[k].name, path);
                write_sf(path, kinds[k].format, frames[f], channels[c], rate_hz);
                check_kind(path, k, frames[f], channels[c], rate_hz);
            }
}

static void test_i16(void **state)
{
    (void)state;
    enum { N = 5000, C = 3 };
    char         path[PATH_MAX];
    const char  *folder = asd_test_folder();
    int16_t     *all    = malloc(sizeof *all * N * C), one[N];
    asd_wav_info info;
    write_sf(in_folder(folder, "a.wav", path), SF_FORMAT_WAV | SF_FORMAT_PCM_16, N, C, 16000);
    assert_ok(asd_wav_read_i16(path, -1, all, N * C, &info));
    for (int c = 0; c < C; ++c) {
        assert_ok(asd_wav_read_i16(path, c, one, N, &info));
        for (int i = 0; i < N; ++i) {
            assert_int_equal(one[i], (int)(exact_value(i, c) * 32768));
            assert_int_equal(all[i * C + c], one[i]);
        }
    }
    assert_fails(asd_wav_read_i16(path, 3, one, N, &info), ASD_E_DATA, "no channel 3");
    assert_fails(asd_wav_read_i16(path, -1, all, N * C - 1, &info), ASD_E_DATA, "at most 14999");
    write_sf(in_folder(folder, "b.wav", path), SF_FORMAT_WAV | SF_FORMAT_PCM_24, N, C, 16000);
    assert_fails(asd_wav_read_i16(path, 0, one, N, &info), ASD_E_DATA, "24-bit PCM samples");
    free(all);
}

static void test_write_read(void **state)
{
    (void)state;
    /* Ties go to even; both ends are clipped. */
    static const float x[]    = {0.5f / 32768, 1.5f / 32768, -0.5f / 32768, -1.5f / 32768,
                                 1.0f,         -1.0f,        7.0f,          -7.0f};
    static const int   want[] = {0, 2, 0, -2, 32767, -32768, 32767, -32768};
    int16_t            got[8];
    char               path[PATH_MAX];
    asd_wav_info       info;
    in_folder(asd_test_folder(), "w.wav", path);
    assert_ok(asd_wav_write16(path, x, 4, 2, 22050));
    assert_ok(asd_wav_read_i16(path, -1, got, 8, &info));
    assert_int_equal(info.frames, 4);
    assert_int_equal(info.channels, 2);
    assert_int_equal(info.rate_hz, 22050);
    for (int i = 0; i < 8; ++i)
        assert_int_equal(got[i], want[i]);
    SF_INFO  sf = {0};
    SNDFILE *f  = sf_open(path, SFM_READ, &sf);
    assert_non_null(f);
    assert_int_equal(sf.format, SF_FORMAT_WAV | SF_FORMAT_PCM_16);
    assert_int_equal(sf.frames, 4);
    sf_close(f);
    const float bad[] = {0, NAN};
    assert_fails(asd_wav_write16(path, bad, 1, 2, 16000), ASD_E_NUMERIC, "channel 1 is NaN");
    assert_ok(asd_wav_probe(path, &info)); /* the old file is still whole */
}

/* --- bytes by hand --- */

typedef struct bytes {
    unsigned char b[4096];
    size_t        n;
} bytes;

static void add(bytes *o, const void *p, size_t n)
{
    assert_true(o->n + n <= sizeof o->b);
    memcpy(o->b + o->n, p, n);
    o->n += n;
}

static void add_le(bytes *o, uint64_t v, int n)
{
    for (int i = 0; i < n; ++i)
        add(o, &(unsigned char){(unsigned char)(v >> 8 * i)}, 1);
}

static void add_fmt(bytes *o, unsigned tag, unsigned channels, uint32_t rate, unsigned align,
                    unsigned bits)
{
    add(o, "fmt ", 4);
    add_le(o, 16, 4);
    add_le(o, tag, 2);
    add_le(o, channels, 2);
    add_le(o, rate, 4);
    add_le(o, (uint64_t)rate * align, 4);
    add_le(o, align, 2);
    add_le(o, bits, 2);
}

/* 100 frames of 2 x 16 bits: 44 + 400 bytes. */
static bytes good_wav(void)
{
    bytes o = {.n = 0};
    add(&o, "RIFF", 4);
    add_le(&o, 36 + 400, 4);
    add(&o, "WAVE", 4);
    add_fmt(&o, 1, 2, 16000, 4, 16);
    add(&o, "data", 4);
    add_le(&o, 400, 4);
    for (int i = 0; i < 200; ++i)
        add_le(&o, (uint64_t)(i * 7), 2);
    return o;
}

static void set_le(bytes *o, size_t at, uint64_t v, int n)
{
    for (int i = 0; i < n; ++i)
        o->b[at + (size_t)i] = (unsigned char)(v >> 8 * i);
}

static const char *dump(const char *folder, const bytes *o)
{
    static char path[PATH_MAX];
    FILE       *f = fopen(in_folder(folder, "d.wav", path), "wb"); /* no fsync: 3000 of these */
    assert_non_null(f);
    assert_int_equal(fwrite(o->b, 1, o->n, f), o->n);
    assert_int_equal(fclose(f), 0);
    return path;
}

/* All readers refuse it, with this part of the message and the file's name. */
static void refused(const char *path, const char *part)
{
    asd_wav_info info;
    float       *x;
    int64_t      n;
    assert_fails(asd_wav_probe(path, &info), ASD_E_DATA, part);
    assert_true(asd_test_contains(asd_error_text(), asd_base_name(path)));
    assert_fails(asd_wav_verify(path, &info), ASD_E_DATA, part);
    assert_fails(asd_wav_read(path, ASD_HEAR_NEAR, 0, &x, &n, &info), ASD_E_DATA, part);
    assert_null(x);
    assert_fails(asd_wav_read_all(path, 0, &x, &info), ASD_E_DATA, part);
    assert_null(x);
}

static void test_damaged_sizes(void **state)
{
    (void)state;
    const char  *f = asd_test_folder();
    asd_wav_info info;
    bytes        o = good_wav();
    assert_ok(asd_wav_probe(dump(f, &o), &info));
    assert_int_equal(info.frames, 100);

    o.n = 443;
    refused(dump(f, &o), "truncated: the header promises 400 bytes of samples, the file holds 399");
    o.n = 44;
    refused(dump(f, &o), "promises 400 bytes of samples, the file holds 0");
    o.n = 40;
    refused(dump(f, &o), "no \"data\" chunk");
    o.n = 7;
    refused(dump(f, &o), "7 bytes, too short");
    o.n = 0;
    refused(dump(f, &o), "empty file (0 bytes)");

    o = good_wav();
    set_le(&o, 40, UINT32_MAX, 4);
    refused(dump(f, &o), "never filled in the sizes");
    set_le(&o, 40, 0, 4);
    set_le(&o, 4, 36, 4);
    refused(dump(f, &o), "never filled in the sizes");
    o = good_wav();
    set_le(&o, 4, UINT32_MAX, 4);
    refused(dump(f, &o), "never filled in the sizes");
    set_le(&o, 4, 0, 4);
    refused(dump(f, &o), "never filled in the sizes");
    set_le(&o, 4, 36, 4);
    set_le(&o, 40, 0, 4);
    o.n = 44;
    refused(dump(f, &o), "0 samples");

    o = good_wav();
    set_le(&o, 40, 398, 4);
    refused(dump(f, &o), "398 bytes of samples; want a multiple of 4");
    o = good_wav();
    set_le(&o, 4, 200, 4);
    refused(dump(f, &o), "the RIFF size ends the file at byte 208, the samples end at 444");
    o = good_wav();
    add(&o, "LIST", 4); /* a chunk of 100 bytes behind the samples, cut off */
    add_le(&o, 100, 4);
    set_le(&o, 4, 36 + 400 + 108, 4);
    refused(dump(f, &o), "truncated: the header promises 552 bytes in all, the file holds 452");
}

static void test_damaged_format(void **state)
{
    (void)state;
    static const struct {
        size_t      at;
        uint64_t    value;
        int         n;
        const char *part;
    } edits[] = {
        {20, 2, 2, "WAV codec 2"},
        {22, 0, 2, "0 channels"},
        {22, 60000, 2, "60000 channels"},
        {24, 0, 4, "sample rate 0 Hz"},
        {24, 4000000000u, 4, "sample rate 4000000000 Hz"},
        {32, 2, 2, "frames of 2 bytes; want 4"},
        {34, 12, 2, "12-bit PCM samples"},
        {34, 0, 2, "0-bit PCM samples"},
        {16, 8, 4, "\"fmt \" chunk of 8 bytes"},
        {12, 0x20202020, 4, "no \"fmt \" chunk before the samples"},
        {8, 0x20495641, 4, "of kind \"AVI \""},
    };
    const char *f = asd_test_folder();
    for (size_t i = 0; i < sizeof edits / sizeof *edits; ++i) {
        bytes o = good_wav();
        set_le(&o, edits[i].at, edits[i].value, edits[i].n);
        refused(dump(f, &o), edits[i].part);
    }
}

/* Chunks before and after the samples, one of them odd, and bytes behind the last chunk. */
static void test_other_chunks(void **state)
{
    (void)state;
    bytes o = {.n = 0};
    add(&o, "RIFF\0\0\0\0WAVE", 12);
    add(&o, "LIST\5\0\0\0INFOx\0", 14);
    add_fmt(&o, 1, 1, 8000, 1, 8);
    add(&o, "fact\4\0\0\0\3\0\0\0", 12);
    add(&o, "data\3\0\0\0\x80\xC0\x40\0", 12);
    add(&o, "cue \0\0\0\0", 8);
    set_le(&o, 4, o.n - 8, 4);
    add(&o, "TAG behind the end", 18);
    asd_wav_info info;
    float       *x;
    assert_ok(asd_wav_read_all(dump(asd_test_folder(), &o), 0, &x, &info));
    assert_int_equal(info.frames, 3);
    assert_true(x[0] == 0 && x[1] == 0.5f && x[2] == -0.5f);
    free(x);
}

static void test_other_content(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        const char *part;
    } contents[] = {
        {"fLaC and then some more", "the content is FLAC"},
        {"OggS and then some more", "the content is Ogg"},
        {"just a note, no sound at all\n", "the content is text"},
        {"<!DOCTYPE html><html>404", "HTML page"},
        {"version https://git-lfs.github.com/spec/v1", "Git LFS pointer"},
        {"PK\3\4 and then some more", "zip archive"},
    };
    const char  *f = asd_test_folder();
    asd_wav_info info;
    char         path[PATH_MAX];
    bytes        o;
    for (size_t i = 0; i < sizeof contents / sizeof *contents; ++i) {
        o.n = 0;
        add(&o, contents[i].bytes, strlen(contents[i].bytes));
        refused(dump(f, &o), contents[i].part);
    }
    memset(o.b, 0, o.n = 512);
    refused(dump(f, &o), "the content is zero bytes");
    write_sf(in_folder(f, "real.wav", path), SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 100, 1, 16000);
    refused(path, "the content is FLAC; want WAV");
    o = good_wav();
    assert_ok(asd_write_file(in_folder(f, "x.flac", path), o.b, o.n));
    refused(path, "the content is WAV, but the name ends in \".flac\"");
    refused(in_folder(f, "absent.wav", path), "No such file");
    refused(f, "a folder; want a WAV file");
    assert_fails(asd_wav_probe("/dev/zero", &info), ASD_E_DATA, "not a regular file");
}

static void test_not_finite(void **state)
{
    (void)state;
    static const double bad[] = {NAN, INFINITY, -INFINITY, 1e300};
    const char         *f     = asd_test_folder();
    char                path[PATH_MAX];
    asd_wav_info        info;
    float              *x;
    int64_t             n;
    for (size_t k = 0; k < 4; ++k) {
        SF_INFO  sf = {.channels = 2, .samplerate = 16000};
        double   s[2 * 5000];
        SNDFILE *file;
        memset(s, 0, sizeof s);
        s[2 * 4321 + 1] = bad[k];
        sf.format       = SF_FORMAT_WAV | (k == 3 ? SF_FORMAT_DOUBLE : SF_FORMAT_FLOAT);
        assert_non_null(file = sf_open(in_folder(f, "n.wav", path), SFM_WRITE, &sf));
        assert_int_equal(sf_writef_double(file, s, 5000), 5000);
        sf_close(file);
        assert_ok(asd_wav_probe(path, &info));
        assert_fails(asd_wav_verify(path, &info), ASD_E_DATA, "sample 4321 of channel 1 is");
        assert_fails(asd_wav_read(path, ASD_HEAR_NEAR, 0, &x, &n, &info), ASD_E_DATA,
                     k ? "infinite" : "NaN");
        assert_null(x);
    }
}

static void test_mono_far(void **state)
{
    (void)state;
    char         path[PATH_MAX];
    asd_wav_info info;
    float       *x;
    int64_t      n;
    write_sf(in_folder(asd_test_folder(), "m.wav", path), SF_FORMAT_WAV | SF_FORMAT_PCM_16, 50, 1,
             16000);
    assert_fails(asd_wav_read(path, ASD_HEAR_FAR, 0, &x, &n, &info), ASD_E_DATA,
                 "mono, so it has no far channel");
    assert_null(x);
}

/* A sine keeps its frequency and height, and the length is ceil(n * to / from), as librosa's. */
static void test_resample(void **state)
{
    (void)state;
    static const int rates[][2] = {{44100, 16000}, {16000, 44100}, {48000, 16000},
                                   {8000, 16000},  {16000, 16000}, {22050, 32000}};
    char             path[PATH_MAX];
    asd_wav_info     info;
    in_folder(asd_test_folder(), "s.wav", path);
    for (size_t k = 0; k < sizeof rates / sizeof *rates; ++k) {
        const int     from = rates[k][0], to = rates[k][1];
        const int64_t frames = from / 2 + 7, want = (frames * to + from - 1) / from;
        float        *x = malloc((size_t)frames * 2 * sizeof *x), *y, *all;
        int64_t       n;
        for (int64_t i = 0; i < frames; ++i) {
            x[2 * i]     = (float)(0.5 * sin(2 * M_PI * 1000 * (double)i / from));
            x[2 * i + 1] = (float)(0.25 * cos(2 * M_PI * 440 * (double)i / from));
        }
        assert_ok(asd_wav_write16(path, x, frames, 2, from));
        assert_ok(asd_wav_read(path, ASD_HEAR_FAR, to, &y, &n, &info));
        assert_int_equal(n, want);
        assert_int_equal(info.frames, frames);
        assert_int_equal(info.rate_hz, from);
        for (int64_t i = n / 4; i < 3 * n / 4; ++i)
            assert_near(y[i], 0.25 * cos(2 * M_PI * 440 * (double)i / to), 1e-4);
        assert_ok(asd_wav_read_all(path, to, &all, &info));
        assert_int_equal(info.frames, want);
        assert_int_equal(info.rate_hz, to);
        for (int64_t i = 0; i < n; ++i)
            assert_near(all[2 * i + 1], y[i], 1e-7);
        free(x);
        free(y);
        free(all);
    }
}

/* Any byte changed, any length: an error or a result, never a crash; and when it is a result, the
 * samples lie inside the file. */
static void test_mutations(void **state)
{
    (void)state;
    const char  *f    = asd_test_folder();
    const bytes  good = good_wav();
    asd_wav_info info;
    int64_t      taken = 0;
    for (uint32_t round = 0; round < 3000; ++round) {
        asd_rng rng;
        bytes   o = good;
        asd_rng_init(&rng, 7, ASD_RNG_TEST, round, 0);
        int n = 1 + (int)asd_rng_below(&rng, 3);
        for (int i = 0; i < n; ++i)
            o.b[asd_rng_below(&rng, 44)] = (unsigned char)asd_rng_below(&rng, 256);
        if (asd_rng_below(&rng, 4) == 0)
            o.n = asd_rng_below(&rng, (uint32_t)o.n);
        float       *x  = NULL;
        const char  *p  = dump(f, &o);
        asd_status   st = asd_wav_read_all(p, 0, &x, &info);
        asd_wav_info probed;
        if (st) {
            assert_int_equal(st, ASD_E_DATA);
            assert_null(x);
        } else {
            ++taken;
            assert_ok(asd_wav_probe(p, &probed));
            assert_memory_equal(&probed, &info, sizeof info);
            assert_true(info.frames * info.channels * info.bits / 8 + 44 <= (int64_t)o.n);
        }
        free(x);
    }
    assert_true(taken > 100 && taken < 2900);
}

static void test_real(void **state)
{
    (void)state;
    const char  *shared = asd_test_shared();
    char         path[PATH_MAX];
    asd_wav_info info;
    if (!shared)
        asd_test_skip_shared();
    assert_ok(asd_path(path, "%s/data/mimii-fan/fan_normal/00000000.wav", shared));
    assert_ok(asd_wav_verify(path, &info));
    assert_int_equal(info.channels, 8);
    assert_int_equal(info.rate_hz, 16000);
    assert_int_equal(info.bits, 16);
    assert_int_equal(info.frames, 160000);
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("audio/wav/every-width", test_every_width),
    ASD_CASE("audio/wav/i16", test_i16),
    ASD_CASE("audio/wav/write-read", test_write_read),
    ASD_CASE("audio/wav/damaged-sizes", test_damaged_sizes),
    ASD_CASE("audio/wav/damaged-format", test_damaged_format),
    ASD_CASE("audio/wav/other-chunks", test_other_chunks),
    ASD_CASE("audio/wav/other-content", test_other_content),
    ASD_CASE("audio/wav/not-finite", test_not_finite),
    ASD_CASE("audio/wav/mono-has-no-far", test_mono_far),
    ASD_CASE("audio/wav/resample", test_resample),
    ASD_CASE("audio/wav/mutations", test_mutations),
    ASD_CASE("audio/wav/real-8-channels", test_real),
};
ASD_TEST_MAIN(cases)
