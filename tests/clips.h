/* clips.h - small data sets of wav files for tests: a tone and noise per clip, made from its name.
 */
#ifndef ASD_TESTS_CLIPS_H
#define ASD_TESTS_CLIPS_H

#include "harness.h"

#include "audio/wav.h"
#include "base/file.h"
#include "base/rng.h"

#include <math.h>
#include <stdlib.h>

/* Two channels; the far one holds another noise. Clips of another name differ. */
static inline void asd_test_clip(const char *path, int64_t samples, int channels, int rate_hz)
{
    float  *x = malloc((size_t)(samples * channels) * sizeof *x);
    asd_rng r;
    asd_rng_init(&r, 1, ASD_RNG_TEST, asd_rng_hash(asd_base_name(path)), 0);
    double pitch = asd_rng_range(&r, 100, 2000), level = asd_rng_range(&r, 0.05, 0.2);
    for (int64_t i = 0; i < samples; ++i)
        for (int c = 0; c < channels; ++c)
            x[i * channels + c] = (float)(level * sin(6.283185307 * pitch * (double)i / rate_hz) +
                                          0.05 * (c + 1) * asd_rng_normal(&r));
    assert_ok(asd_wav_write16(path, x, samples, channels, rate_hz));
    free(x);
}

/* ROOT/MACHINE/train with n clips of 0.5 s, every fifth of the target domain, and `test` with
 * n_test. */
static inline void asd_test_machine(const char *root, const char *machine, int n, int n_test)
{
    char path[PATH_MAX];
    assert_ok(asd_path(path, "%s/%s/train", root, machine));
    assert_ok(asd_make_folders(path));
    for (int i = 0; i < n; ++i) {
        assert_ok(asd_path(path, "%s/%s/train/section_00_%s_train_normal_%04d_noAttribute.wav",
                           root, machine, i % 5 == 4 ? "target" : "source", i));
        asd_test_clip(path, 8000, 2, 16000);
    }
    assert_ok(asd_path(path, "%s/%s/test", root, machine));
    assert_ok(asd_make_folders(path));
    for (int i = 0; i < n_test; ++i) {
        assert_ok(asd_path(path, "%s/%s/test/section_00_%04d.wav", root, machine, i));
        asd_test_clip(path, 8000, 2, 16000);
    }
}

#endif
