/* test_features.c - from wav files to frames: lengths, channels, rates, threads, the identity of
 * the audio, and damaged clips.
 */
#include "clips.h"
#include "ref/ref_ops.h"

#include "base/par.h"
#include "data/features.h"

#include <stdio.h>
#include <string.h>

enum { MAX_CLIPS = 64 };

/* A list of clips in one folder, as asd_features_load takes it. */
typedef struct rig {
    asd_cfg         cfg;
    const char     *folder;
    asd_clip        clip[MAX_CLIPS];
    const asd_clip *list[MAX_CLIPS];
    int64_t         n;
    asd_features    f;
} rig;

static void rig_new(rig *r)
{
    memset(r, 0, sizeof *r);
    assert_ok(asd_opts_defaults(asd_cfg_opts, &r->cfg));
    r->folder = asd_test_folder();
}

static const char *rig_path(rig *r)
{
    char path[PATH_MAX];
    assert_true(r->n < MAX_CLIPS);
    assert_ok(
        asd_path(path, "%s/section_00_source_train_normal_%04ld_x.wav", r->folder, (long)r->n));
    r->clip[r->n]      = (asd_clip){.path = strdup(path), .domain = ASD_SOURCE};
    r->list[r->n]      = &r->clip[r->n];
    r->clip[r->n].name = (char *)asd_base_name(r->clip[r->n].path);
    return r->clip[r->n++].path;
}

static void rig_load(rig *r)
{
    asd_features_clear(&r->f);
    assert_ok(asd_features_load(r->list, r->n, &r->cfg, NULL, &r->f));
}

static void rig_free(rig *r)
{
    asd_features_clear(&r->f);
    for (int64_t i = 0; i < r->n; ++i)
        free(r->clip[i].path);
    asd_opts_clear(asd_cfg_opts, &r->cfg);
}

/* Clips of the lengths that the challenge has had, in one set: 1 + floor(samples / 512) frames
 * each, and the frames of a clip do not depend on its neighbours. */
static void test_lengths(void **state)
{
    (void)state;
    static const int64_t seconds[] = {10, 6, 11, 12, 16, 10},
                         frames[]  = {313, 188, 344, 376, 501, 313};
    rig r;
    rig_new(&r);
    for (int i = 0; i < 6; ++i)
        asd_test_clip(rig_path(&r), seconds[i] * 16000, 2, 16000);
    rig_load(&r);
    assert_int_equal(r.f.n, 6);
    assert_int_equal(r.f.F, 128);
    assert_int_equal((uintptr_t)r.f.x % 64, 0);
    assert_int_equal(r.f.first[0], 0);
    for (int i = 0; i < 6; ++i) {
        asd_features alone;
        assert_int_equal(r.f.first[i + 1] - r.f.first[i], frames[i]);
        assert_ok(asd_features_load(&r.list[i], 1, &r.cfg, NULL, &alone));
        assert_int_equal(alone.rows, frames[i]);
        assert_memory_equal(alone.x, r.f.x + r.f.first[i] * 128,
                            sizeof(float) * 128 * (size_t)frames[i]);
        asd_features_clear(&alone);
    }
    assert_int_equal(r.f.rows, r.f.first[6]);
    rig_free(&r);
}

/* The same numbers as the definition gives, in double, from the samples of the file. */
static void test_definition(void **state)
{
    (void)state;
    rig r;
    rig_new(&r);
    r.cfg.front_end_n_fft       = 64;
    r.cfg.front_end_hop_samples = 24;
    r.cfg.front_end_n_mels      = 9;
    r.cfg.front_end_fmin_hz     = 300;
    asd_test_clip(rig_path(&r), 1201, 2, 16000);
    rig_load(&r);
    float       *samples;
    int64_t      n;
    asd_wav_info info;
    assert_ok(asd_wav_read(r.clip[0].path, ASD_HEAR_NEAR, 0, &samples, &n, &info));
    asd_logmel_attr attr = asd_front_end_attr(&r.cfg);
    assert_true(attr.fmax_hz == 8000 && attr.floor == 0x1p-52);
    asd_node node = {
        .op = &asd_op_logmel, .attr = &attr, .n_in = 1, .in = {{ASD_F32, ASD_SHAPE2(1, n)}}};
    assert_ok(asd_op_logmel.infer(&node));
    assert_int_equal(asd_count(node.y.shape), r.f.rows * 9);
    double       *x = malloc((size_t)n * sizeof *x), *y = malloc((size_t)r.f.rows * 9 * sizeof *y);
    const double *in[1] = {x};
    for (int64_t i = 0; i < n; ++i)
        x[i] = (double)samples[i];
    asd_ref_find("logmel")(&node, 0, in, y, NULL);
    for (int64_t i = 0; i < r.f.rows * 9; ++i)
        assert_near(r.f.x[i], y[i], 1e-4); /* dB */
    free(x);
    free(y);
    free(samples);
    rig_free(&r);
}

/* One input vector is five frames, 2048 samples: one sample less is an error that says so. */
static void test_too_short(void **state)
{
    (void)state;
    rig r;
    rig_new(&r);
    asd_test_clip(rig_path(&r), 2048, 1, 16000);
    rig_load(&r);
    assert_int_equal(r.f.rows, 5);
    asd_features_clear(&r.f);
    asd_test_clip(rig_path(&r), 2047, 1, 16000);
    assert_fails(asd_features_load(r.list, 2, &r.cfg, NULL, &r.f), ASD_E_DATA,
                 "normal_0001_x.wav: 2047 samples give 4 frames, want at least 5");
    assert_null(r.f.x);
    asd_features_clear(&r.f);
    rig_free(&r);
}

static void test_no_clips(void **state)
{
    (void)state;
    rig r;
    rig_new(&r);
    rig_load(&r);
    assert_int_equal(r.f.n, 0);
    assert_int_equal(r.f.rows, 0);
    assert_int_equal(r.f.first[0], 0);
    rig_free(&r);
}

/* Near is channel 0, far channel 1, mean their mean: the same bits as mono files of them. */
static void test_channels(void **state)
{
    (void)state;
    enum { S = 6000 };
    rig    r;
    float *x = malloc(sizeof *x * S * 2), *mono = malloc(sizeof *mono * S);
    rig_new(&r);
    for (int i = 0; i < 2 * S; ++i)
        x[i] = (float)((i * 7919 + i / 3) % 1001 * 2) / 32768; /* even: the mean is a sample, too */
    assert_ok(asd_wav_write16(rig_path(&r), x, S, 2, 16000));
    for (int hear = 0; hear < 3; ++hear) {
        for (int i = 0; i < S; ++i)
            mono[i] = hear == 0   ? x[2 * i]
                      : hear == 1 ? x[2 * i + 1]
                                  : 0.5f * (x[2 * i] + x[2 * i + 1]);
        assert_ok(asd_wav_write16(rig_path(&r), mono, S, 1, 16000));
    }
    static const int channel[] = {ASD_CHANNEL_NEAR, ASD_CHANNEL_FAR, ASD_CHANNEL_MEAN};
    for (int hear = 0; hear < 3; ++hear) {
        asd_features stereo, alone;
        r.cfg.data_channel = channel[hear];
        assert_ok(asd_features_load(r.list, 1, &r.cfg, NULL, &stereo));
        r.cfg.data_channel = ASD_CHANNEL_NEAR;
        assert_ok(asd_features_load(&r.list[1 + hear], 1, &r.cfg, NULL, &alone));
        assert_memory_equal(stereo.x, alone.x, sizeof(float) * (size_t)(stereo.rows * 128));
        assert_string_equal(stereo.hash, alone.hash);
        asd_features_clear(&stereo);
        asd_features_clear(&alone);
    }
    r.cfg.data_channel = ASD_CHANNEL_FAR;
    assert_fails(asd_features_load(&r.list[1], 1, &r.cfg, NULL, &r.f), ASD_E_DATA,
                 "normal_0001_x.wav");
    free(x);
    free(mono);
    rig_free(&r);
}

/* The same tone at 16, 22.05 and 48 kHz: frames of the same number and, in the tone's band, level.
 */
static void test_rates(void **state)
{
    (void)state;
    static const int rates[] = {16000, 22050, 48000};
    rig              r;
    rig_new(&r);
    for (int k = 0; k < 3; ++k) {
        int    S = rates[k];
        float *x = malloc(sizeof *x * (size_t)S);
        for (int i = 0; i < S; ++i)
            x[i] = (float)(0.3 * sin(6.283185307179586 * 1000 * i / S));
        assert_ok(asd_wav_write16(rig_path(&r), x, S, 1, rates[k]));
        free(x);
    }
    rig_load(&r);
    for (int k = 0; k < 3; ++k) {
        assert_int_equal(r.f.first[k + 1] - r.f.first[k], 32);
        for (int64_t t = 3; t < 28; ++t) {
            const float *a = r.f.x + t * 128, *b = r.f.x + (r.f.first[k] + t) * 128;
            int          loudest = 0;
            for (int m = 0; m < 128; ++m)
                loudest = b[m] > b[loudest] ? m : loudest;
            /* mel 15 of 45.245 in 129 steps: band 41 or 42 counted from 0 */
            assert_true(loudest == 41 || loudest == 42);
            assert_near(b[loudest], a[loudest], 0.05);
        }
    }
    rig_free(&r);
}

/* The hash is of the samples that are heard: it changes with one bit of one sample and with the
 * order of clips, not with names or with what the other channel says. */
static void test_hash(void **state)
{
    (void)state;
    enum { S = 4000 };
    rig          r;
    float       *x = calloc(2 * S, sizeof *x);
    asd_features f;
    char         first[33];
    rig_new(&r);
    for (int i = 0; i < S; ++i)
        x[2 * i] = (float)(i % 100) / 32768;
    assert_ok(asd_wav_write16(rig_path(&r), x, S, 2, 16000));
    asd_test_clip(rig_path(&r), S, 2, 16000);
    rig_load(&r);
    snprintf(first, sizeof first, "%s", r.f.hash);
    assert_int_equal(strlen(first), 32);

    x[2 * 1234] += 1.0f / 32768; /* one step of one sample, near */
    assert_ok(asd_wav_write16(r.clip[0].path, x, S, 2, 16000));
    rig_load(&r);
    assert_string_not_equal(r.f.hash, first);
    x[2 * 1234] -= 1.0f / 32768;
    x[2 * 1234 + 1] += 1.0f / 32768; /* far */
    assert_ok(asd_wav_write16(r.clip[0].path, x, S, 2, 16000));
    rig_load(&r);
    assert_string_equal(r.f.hash, first);

    const asd_clip *swapped[2] = {r.list[1], r.list[0]};
    assert_ok(asd_features_load(swapped, 2, &r.cfg, NULL, &f));
    assert_string_not_equal(f.hash, first);
    asd_features_clear(&f);
    assert_ok(asd_features_load(r.list, 1, &r.cfg, NULL, &f));
    assert_string_not_equal(f.hash, first);
    asd_features_clear(&f);

    assert_int_equal(rename(r.clip[0].path, rig_path(&r)), 0);
    const asd_clip *renamed[2] = {r.list[2], r.list[1]};
    assert_ok(asd_features_load(renamed, 2, &r.cfg, NULL, &f));
    assert_string_equal(f.hash, first);
    asd_features_clear(&f);
    free(x);
    rig_free(&r);
}

/* More clips than chunks, of different lengths: the bits do not depend on the threads. */
static void test_threads(void **state)
{
    (void)state;
    rig          r;
    asd_features one;
    int          before = asd_par_threads();
    rig_new(&r);
    for (int i = 0; i < 37; ++i)
        asd_test_clip(rig_path(&r), 3000 + i % 5 * 1777, 2, 16000);
    asd_par_set_threads(1);
    assert_ok(asd_features_load(r.list, r.n, &r.cfg, NULL, &one));
    for (int threads = 2; threads <= 4; ++threads) {
        asd_par_set_threads(threads);
        rig_load(&r);
        assert_int_equal(r.f.rows, one.rows);
        assert_memory_equal(r.f.x, one.x, sizeof(float) * (size_t)(one.rows * 128));
        assert_memory_equal(r.f.first, one.first, sizeof *one.first * (size_t)(r.n + 1));
        assert_string_equal(r.f.hash, one.hash);
    }
    asd_par_set_threads(before);
    asd_features_clear(&one);
    rig_free(&r);
}

/* Of several damaged clips always the first is named, whichever thread met one first. */
static void test_damaged(void **state)
{
    (void)state;
    static const int bad[]  = {7, 19, 23, 36};
    int              before = asd_par_threads();
    rig              r;
    rig_new(&r);
    for (int i = 0; i < 40; ++i)
        asd_test_clip(rig_path(&r), 3000, 2, 16000);
    for (int k = 3; k >= 0; --k) {
        if (k == 1)
            assert_int_equal(remove(r.clip[bad[k]].path), 0);
        else
            assert_ok(asd_write_file(r.clip[bad[k]].path, "RIFF", 4));
        char name[32];
        snprintf(name, sizeof name, "normal_%04d_x.wav", bad[k]);
        for (int round = 0; round < 6; ++round) {
            asd_par_set_threads(1 + round % 3);
            assert_fails(asd_features_load(r.list, r.n, &r.cfg, NULL, &r.f), ASD_E_DATA, name);
            assert_null(r.f.x);
            assert_null(r.f.first);
        }
    }
    asd_par_set_threads(before);
    rig_free(&r);
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("features/length/6-to-16-s", test_lengths),
    ASD_CASE("features/length/too-short", test_too_short),
    ASD_CASE("features/length/no-clips", test_no_clips),
    ASD_CASE("features/value/definition", test_definition),
    ASD_CASE("features/channel/near-far-mean", test_channels),
    ASD_CASE("features/rate/resampled", test_rates),
    ASD_CASE("features/hash/one-sample", test_hash),
    ASD_CASE("features/bits/threads", test_threads),
    ASD_CASE("features/damaged/first-is-named", test_damaged),
};

ASD_TEST_MAIN(cases)
