/* test_synth_set.c - the folder that asd-data synth writes: layout, same bits, refusals, resume. */
#include "harness.h"

#include "base/file.h"
#include "base/par.h"
#include "data/dataset.h"
#include "data/synth.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static asd_synth_params short_params(double seconds)
{
    asd_synth_params p;
    asd_synth_defaults(&p);
    p.seconds      = seconds;
    p.train_source = 5;
    p.train_target = 2;
    p.test         = 3;
    return p;
}

static int same_file(const char *a_dir, const char *b_dir, const char *name)
{
    char a[PATH_MAX], b[PATH_MAX], ha[33], hb[33];
    assert_ok(asd_path(a, "%s/%s", a_dir, name));
    assert_ok(asd_path(b, "%s/%s", b_dir, name));
    assert_ok(asd_hash_file(a, ha));
    assert_ok(asd_hash_file(b, hb));
    return !strcmp(ha, hb);
}

/* Every clip of b is in a with the same bits; returns their number. */
static int64_t compare_sets(const char *a, const char *b)
{
    asd_dataset d;
    int64_t     n = 0;
    assert_ok(asd_dataset_open(b, NULL, 0, &d));
    for (int64_t m = 0; m < d.n; ++m)
        for (int part = 0; part < 2; ++part) {
            const asd_clip *clip  = part ? d.machine[m].test : d.machine[m].train;
            int64_t         clips = part ? d.machine[m].n_test : d.machine[m].n_train;
            for (int64_t i = 0; i < clips; ++i, ++n) {
                char name[PATH_MAX];
                assert_ok(asd_path(name, "dev_data/raw/%s/%s/%s", d.machine[m].name,
                                   part ? "test" : "train", clip[i].name));
                assert_true(same_file(a, b, name));
            }
        }
    asd_dataset_clear(&d);
    return n;
}

static void test_jobs_and_subset(void **state)
{
    (void)state;
    asd_synth_params  p   = short_params(0.5);
    const char       *all = asd_test_folder(), *two = asd_test_folder(), *fewer = asd_test_folder();
    const char *const some[] = {"valve", "fan"};
    asd_par_set_threads(1);
    assert_ok(asd_synth_write(&p, NULL, 0, all, 0));
    asd_par_set_threads(2);
    assert_ok(asd_synth_write(&p, some, 2, two, 0));
    assert_int_equal(compare_sets(all, two), 2 * (5 + 2 + 4 * 3));
    p.train_source = 2;
    p.train_target = 0;
    p.test         = 1;
    assert_ok(asd_synth_write(&p, some, 2, fewer, 0));
    assert_int_equal(compare_sets(all, fewer), 2 * (2 + 4));
}

static void test_layout(void **state)
{
    (void)state;
    asd_synth_params p   = short_params(0.5);
    const char      *dir = asd_test_folder();
    assert_ok(asd_synth_write(&p, NULL, 0, dir, 0));
    asd_dataset d;
    assert_ok(asd_dataset_open(dir, NULL, 0, &d));
    assert_int_equal(d.n, asd_synth_n_machines());
    for (int64_t m = 0; m < d.n; ++m) {
        int cell[2][2][2] = {{{0}}}, hidden = 0;
        assert_string_equal(d.machine[m].name, asd_synth_machine((int)m));
        for (int part = 0; part < 2; ++part) {
            const asd_clip *clip = part ? d.machine[m].test : d.machine[m].train;
            for (int64_t i = 0; i < (part ? d.machine[m].n_test : d.machine[m].n_train); ++i) {
                asd_clip_name n;
                assert_ok(asd_clip_name_parse(clip[i].name, &n));
                assert_int_equal(n.section, 0);
                assert_int_equal(n.split, part ? ASD_TEST : ASD_TRAIN);
                ++cell[part][n.domain][n.condition];
                hidden += !strcmp(n.attribute, "noAttribute");
                assert_true(n.attribute[0]);
            }
        }
        const int want[2][2][2] = {{{5, 0}, {2, 0}}, {{3, 3}, {3, 3}}};
        assert_memory_equal(cell, want, sizeof want);
        assert_true(hidden == 0 || hidden == 5 + 2 + 12);
    }
    asd_dataset_clear(&d);

    char   path[PATH_MAX], *text;
    size_t size;
    assert_ok(asd_path(path, "%s/dev_data/raw/gearbox/attributes_00.csv", dir));
    assert_ok(asd_read_file(path, 1 << 20, &text, &size));
    assert_true(asd_test_contains(text, "file_name,d1p,d1v,d2p,d2v\n"));
    assert_true(asd_test_contains(
        text, "gearbox/train/section_00_source_train_normal_0001_spd_1_load_2.wav,spd,1,load,2\n"));
    free(text);
    assert_ok(asd_path(path, "%s/SYNTH.json", dir));
    assert_ok(asd_read_file(path, 1 << 20, &text, &size));
    assert_true(asd_test_contains(text, "\"schema\": \"asd.synth/1\""));
    assert_false(asd_test_contains(text, "anomaly"));
    free(text);
    assert_ok(asd_path(path, "%s/.synth-partial", dir));
    assert_false(asd_is_folder(path));
}

static int64_t modified_ns(const char *dir, const char *name)
{
    char        path[PATH_MAX];
    struct stat s;
    assert_ok(asd_path(path, "%s/%s", dir, name));
    assert_int_equal(stat(path, &s), 0);
    return (int64_t)s.st_mtim.tv_sec * 1000000000 + s.st_mtim.tv_nsec;
}

static void test_refuses_and_replaces(void **state)
{
    (void)state;
    asd_synth_params  p     = short_params(0.5), q;
    const char *const fan[] = {"fan"};
    const char       *clip = "dev_data/raw/fan/train/section_00_source_train_normal_0000_spd_1.wav";
    const char       *dir  = asd_test_folder();
    assert_ok(asd_synth_write(&p, fan, 1, dir, 0));
    int64_t when = modified_ns(dir, clip);
    assert_ok(asd_synth_write(&p, fan, 1, dir, 0)); /* already there: nothing is touched */
    assert_int_equal(modified_ns(dir, clip), when);

    q      = p;
    q.seed = 5;
    q.test = 1;
    assert_fails(asd_synth_write(&q, fan, 1, dir, 0), ASD_E_USAGE, "not empty");
    assert_int_equal(modified_ns(dir, clip), when);
    assert_ok(asd_synth_write(&q, fan, 1, dir, 1));
    assert_true(modified_ns(dir, clip) != when);
    asd_dataset d;
    assert_ok(asd_dataset_open(dir, NULL, 0, &d));
    assert_int_equal(d.machine[0].n_test, 4); /* nothing of the old set is left */
    asd_dataset_clear(&d);

    /* A set with a clip missing is not complete. */
    char path[PATH_MAX];
    assert_ok(asd_path(path, "%s/%s", dir, clip));
    assert_int_equal(unlink(path), 0);
    assert_fails(asd_synth_write(&q, fan, 1, dir, 0), ASD_E_USAGE, "not empty");
    assert_ok(asd_synth_write(&q, fan, 1, dir, 1));
    assert_true(asd_is_file(path));

    /* Somebody's recordings are never replaced, not even with force. */
    const char *theirs = asd_test_folder();
    assert_ok(asd_path(path, "%s/dev_data/raw/fan", theirs));
    assert_ok(asd_make_folders(path));
    assert_fails(asd_synth_write(&p, fan, 1, theirs, 0), ASD_E_USAGE, "not empty");
    assert_fails(asd_synth_write(&p, fan, 1, theirs, 1), ASD_E_USAGE, "never replaced");
    assert_true(asd_is_folder(path));
}

/* What a killed run leaves: a plan, some clips, one of them cut short. Started again it goes on. */
static void test_resume(void **state)
{
    (void)state;
    asd_synth_params  p     = short_params(0.5);
    const char *const fan[] = {"fan"};
    const char       *whole = asd_test_folder(), *cut = asd_test_folder();
    char              command[4 * PATH_MAX], path[PATH_MAX];
    assert_ok(asd_synth_write(&p, fan, 1, whole, 0));
    snprintf(
        command, sizeof command,
        "set -e; mkdir '%s/.synth-partial'; cd '%s/.synth-partial'; cp -r '%s/dev_data' .; cp "
        "'%s/SYNTH.json' "
        "PLAN.json; rm dev_data/raw/fan/test/*anomaly*; "
        "truncate -s 100 dev_data/raw/fan/train/section_00_source_train_normal_0001_spd_2.wav; "
        "touch -d 2001-01-01 dev_data/raw/fan/train/section_00_source_train_normal_0000_spd_1.wav",
        cut, cut, whole, whole);
    assert_int_equal(asd_test_shell(command, NULL), 0);
    assert_ok(asd_synth_write(&p, fan, 1, cut, 0));
    assert_int_equal(compare_sets(whole, cut), 5 + 2 + 12);
    assert_int_equal(compare_sets(cut, whole), 5 + 2 + 12);
    /* ... and what was there was not made again */
    assert_true(
        modified_ns(cut, "dev_data/raw/fan/train/section_00_source_train_normal_0000_spd_1.wav") <
        (int64_t)1000000000 * 1000000000);
    /* Killed between the renames: dev_data is in place, SYNTH.json is not. */
    snprintf(command, sizeof command,
             "set -e; cd '%s'; mkdir .synth-partial; mv SYNTH.json .synth-partial/PLAN.json; touch "
             ".synth-partial/COMMIT",
             cut);
    assert_int_equal(asd_test_shell(command, NULL), 0);
    assert_ok(asd_synth_write(&p, fan, 1, cut, 0));
    assert_ok(asd_path(path, "%s/SYNTH.json", cut));
    assert_true(asd_is_file(path));
    assert_int_equal(compare_sets(whole, cut), 5 + 2 + 12);
    /* Another plan's leftovers are thrown away. */
    const char *other = asd_test_folder();
    snprintf(command, sizeof command,
             "set -e; mkdir '%s/.synth-partial'; cd '%s/.synth-partial'; cp -r '%s/dev_data' .; "
             "echo '{}' >PLAN.json; "
             "for f in dev_data/raw/fan/*/*.wav; do head -c 32044 /dev/zero >\"$f\"; done",
             other, other, whole);
    assert_int_equal(asd_test_shell(command, NULL), 0);
    assert_ok(asd_synth_write(&p, fan, 1, other, 0));
    assert_int_equal(compare_sets(whole, other), 5 + 2 + 12);
}

static void test_bad_parameters(void **state)
{
    (void)state;
    asd_synth_params  p      = short_params(0.5);
    const char       *dir    = asd_test_folder();
    const char *const typo[] = {"geerbox"};
    assert_fails(asd_synth_write(&p, typo, 1, dir, 0), ASD_E_USAGE, "did you mean \"gearbox\"");
    p.seconds = 0.1;
    assert_fails(asd_synth_check(&p), ASD_E_USAGE, "seconds is 0.1");
    p          = short_params(0.5);
    p.severity = -1;
    assert_fails(asd_synth_check(&p), ASD_E_USAGE, "severity");
    p        = short_params(0.5);
    p.snr_db = NAN;
    assert_fails(asd_synth_check(&p), ASD_E_USAGE, "snr-db");
    p      = short_params(0.5);
    p.test = 10001;
    assert_fails(asd_synth_check(&p), ASD_E_USAGE, "test");
    p         = short_params(0.5);
    p.rate_hz = 4000;
    assert_fails(asd_synth_write(&p, NULL, 0, dir, 0), ASD_E_USAGE, "rate");
}

static int shell(const char *format, const char *dir)
{
    char        command[2 * PATH_MAX], line[3 * PATH_MAX];
    const char *bin = getenv("ASD_BIN");
    snprintf(command, sizeof command, format, dir);
    snprintf(line, sizeof line, "%s/asd-data synth %s 2>&1", bin ? bin : ".", command);
    char *out = NULL;
    int   rc  = asd_test_shell(line, &out);
    free(out);
    return rc;
}

static void test_program(void **state)
{
    (void)state;
    const char *dir = asd_test_folder();
    assert_int_equal(shell("--machines fan,valve --train-source 2 --train-target 1 --test 1 "
                           "--seconds 0.5 -j 2 '%s'",
                           dir),
                     0);
    char path[PATH_MAX];
    assert_ok(asd_path(
        path, "%s/dev_data/raw/valve/test/section_00_target_test_anomaly_0000_noAttribute.wav",
        dir));
    assert_true(asd_is_file(path));
    assert_int_equal(shell("--machines fan '%s'", dir), 2);
    assert_int_equal(shell("--machines nothing '%s/x'", dir), 2);
    assert_int_equal(shell("--severity -1 '%s/x'", dir), 2);
    assert_int_equal(shell("--help", dir), 0);
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("synth/set/jobs-and-subset", test_jobs_and_subset),
    ASD_CASE("synth/set/layout", test_layout),
    ASD_CASE("synth/set/refuses-and-replaces", test_refuses_and_replaces),
    ASD_CASE("synth/set/resume", test_resume),
    ASD_CASE("synth/set/bad-parameters", test_bad_parameters),
    ASD_CASE("synth/set/program", test_program),
};
ASD_TEST_MAIN(cases)
