/* score_folders.c - see score_folders.h. */
#include "ref/score_folders.h"

#include "harness.h"

#include "base/file.h"
#include "base/rng.h"

#include <stdio.h>
#include <stdlib.h>

void ref_write_scores(const char *folder, const char *machine, int section, double lift,
                      uint64_t seed, int skip)
{
    char    path[PATH_MAX], *text = NULL;
    size_t  size = 0;
    asd_rng r;
    FILE   *out = open_memstream(&text, &size);
    assert_non_null(out);
    assert_ok(asd_make_folders(folder));
    asd_rng_init(&r, seed, ASD_RNG_TEST, (uint64_t)section, 7);
    for (int i = 0; i < 48; ++i) {
        int    target = i & 1, anomaly = i >> 1 & 1;
        double score = asd_rng_normal(&r) + (anomaly ? lift / (1 + target) : 0);
        if (i != skip)
            fprintf(out, "section_%02d_%s_test_%s_%04d_spd_1.wav,%.17g\n", section,
                    target ? "target" : "source", anomaly ? "anomaly" : "normal", i / 4, score);
    }
    assert_int_equal(fclose(out), 0);
    assert_ok(
        asd_path(path, "%s/anomaly_score_%s_section_%02d_test.csv", folder, machine, section));
    assert_ok(asd_write_file(path, text, size));
    free(text);
}

const char *const ref_machines[] = {"ToyCar", "bearing", "fan"};

void ref_write_system(const char *folder, double lift, uint64_t seed)
{
    for (int i = 0; i < 3; ++i)
        ref_write_scores(folder, ref_machines[i], 0, lift + 0.3 * i, seed + (uint64_t)i, -1);
}

const char *ref_make_run(void)
{
    static char run[PATH_MAX];
    char        path[PATH_MAX];
    snprintf(run, sizeof run, "%s", asd_test_folder());
    assert_ok(asd_path(path, "%s/scores/mse", run));
    ref_write_system(path, 0.8, 10);
    assert_ok(asd_path(path, "%s/scores/mahalanobis", run));
    ref_write_system(path, 1.6, 20);
    return run;
}

void ref_write_hostile(const char *run)
{
    static const char *const names[] = {
        "<script>alert(1)<\\script>",
        "\"><svg onload=x>",
        "' onmouseover='x",
        "&lt;b&gt;",
        "fan\x1b[31m\xff\xc0\xbc",
        "\xe2\x80\xae nur",
        "]]>--><!--",
        "{}%s%n\\",
        "Tr\xc3\xa4ger_fanMotor-\xe6\xa9\x9f",
        "FAN",
        "<><svg onload=x>",
    };
    char path[PATH_MAX];
    for (size_t i = 0; i < sizeof names / sizeof *names; ++i) {
        assert_ok(asd_path(path, "%s/scores/%s", run, names[i]));
        ref_write_scores(path, names[i], 0, 1, i, -1);
        ref_write_scores(path, "fan", 0, 1, i, -1);
    }
}
