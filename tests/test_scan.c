/* test_scan.c - asd-data scan: counts, warnings and problems of data sets made here. */
#include "harness.h"

#include "audio/wav.h"
#include "base/file.h"
#include "base/par.h"
#include "data/scan.h"

#include <jansson.h>
#include <math.h>
#include <sndfile.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void clip(const char *root, const char *name, int64_t frames, int channels, int rate_hz)
{
    char   path[PATH_MAX];
    float *x = calloc((size_t)(frames * channels), sizeof *x);
    assert_ok(asd_path(path, "%s/%s", root, name));
    *strrchr(path, '/') = 0;
    assert_ok(asd_make_folders(path));
    path[strlen(path)] = '/';
    assert_ok(asd_wav_write16(path, x, frames, channels, rate_hz));
    free(x);
}

static void machine(const char *root, const char *name, int64_t frames, int channels, int rate_hz)
{
    static const char *const clips[] = {"train/section_00_source_train_normal_0000_spd_1.wav",
                                        "train/section_00_source_train_normal_0001_spd_2.wav",
                                        "train/section_00_target_train_normal_0000_spd_2.wav",
                                        "test/section_00_source_test_normal_0000_spd_1.wav",
                                        "test/section_00_target_test_anomaly_0000_spd_9.wav",
                                        "test/section_00_0001.wav"};
    char                     path[PATH_MAX];
    for (size_t i = 0; i < sizeof clips / sizeof *clips; ++i) {
        assert_ok(asd_path(path, "%s/%s", name, clips[i]));
        clip(root, path, frames, channels, rate_hz);
    }
}

static int has_text(const asd_problems *p, const char *part)
{
    for (int64_t i = 0; i < p->n; ++i)
        if (asd_test_contains(p->text[i], part))
            return 1;
    return 0;
}

static void test_counts(void **state)
{
    (void)state;
    const char *root = asd_test_folder();
    asd_scan    s;
    machine(root, "dev_data/raw/fan", 1600, 2, 16000);
    machine(root, "eval_data/raw/valve", 800, 2, 16000);
    clip(root, "eval_data/raw/valve/test/section_00_0002.wav", 1000, 1, 8000);
    clip(root, "eval_data/raw/valve/test/opaque.wav", 1000, 1, 8000);
    assert_ok(asd_scan_run(root, NULL, 0, ASD_SCAN_HEADERS, &s));
    assert_int_equal(s.data.n, 2);
    const asd_scan_machine *fan = s.machine, *valve = s.machine + 1;
    assert_int_equal(fan->train[ASD_SOURCE], 2);
    assert_int_equal(fan->train[ASD_TARGET], 1);
    assert_int_equal(fan->test[ASD_SOURCE][ASD_NORMAL], 1);
    assert_int_equal(fan->test[ASD_TARGET][ASD_ANOMALY], 1);
    assert_int_equal(fan->test[ASD_SOURCE][ASD_ANOMALY], 0);
    assert_int_equal(fan->test_unlabelled, 1);
    assert_int_equal(fan->n_attributes, 2); /* spd_9 is a test clip's */
    assert_string_equal(fan->attribute[1].text, "spd_2");
    assert_int_equal(fan->attribute[1].train[ASD_SOURCE], 1);
    assert_int_equal(fan->attribute[1].train[ASD_TARGET], 1);
    assert_near(fan->seconds_min, 0.1, 0);
    assert_near(fan->seconds, 0.6, 1e-12);
    assert_int_equal(valve->test_unlabelled, 3);
    assert_int_equal(valve->odd, 1);
    assert_int_equal(valve->channels.n, 2);
    assert_int_equal(valve->rate_hz.value[0], 8000);
    assert_int_equal(s.problems.n, 0);
    assert_true(has_text(&s.warnings, "training clips (source+target): 2+1 in all 2 machines"));
    assert_true(has_text(&s.warnings, "channels: valve 1/2 (DCASE 2026: 2)"));
    assert_true(has_text(&s.warnings, "sample rate in Hz: valve 8000/16000"));
    assert_true(has_text(&s.warnings, "different lengths: valve 0.05 to 0.125 s"));
    assert_true(has_text(&s.warnings, "no known form, so without label: valve 1, e.g. opaque.wav"));
    assert_false(has_text(&s.warnings, "bits"));
    asd_scan_clear(&s);
    asd_scan_clear(&s);
}

/* The bytes of a good file, cut or changed: every one is found, whatever the number of threads. */
static void test_problems(void **state)
{
    (void)state;
    const char *root = asd_test_folder();
    char        path[PATH_MAX], *bytes;
    size_t      size;
    asd_scan    s;
    char       *seen[2] = {NULL, NULL};
    machine(root, "fan", 1600, 2, 16000);
    assert_ok(asd_path(path, "%s/fan/test/section_00_0001.wav", root));
    assert_ok(asd_read_file(path, 1 << 20, &bytes, &size));
    assert_ok(asd_write_file(path, bytes, size - 1));
    assert_ok(asd_path(path, "%s/fan/test/section_00_0007.wav", root));
    assert_ok(asd_write_file(path, bytes, 0));
    assert_ok(asd_path(path, "%s/fan/train/section_00_source_train_normal_0000_spd_1.wav", root));
    assert_ok(asd_write_file(path, "not audio at all", 16));
    assert_ok(asd_path(path, "%s/fan/train/section_00_source_train_anomaly_0003.wav", root));
    assert_ok(asd_write_file(path, bytes, size));
    assert_ok(asd_path(path, "%s/fan/test/x.mp3", root));
    assert_ok(asd_write_file(path, bytes, size));
    assert_ok(asd_path(path, "%s/fan/test/section_00_0008.wav", root));
    assert_int_equal(symlink("nowhere", path), 0);
    free(bytes);
    for (int threads = 1; threads <= 2; ++threads) {
        asd_par_set_threads(threads);
        assert_ok(asd_scan_run(root, NULL, 0, ASD_SCAN_HEADERS, &s));
        assert_int_equal(s.problems.n, 6);
        assert_true(has_text(&s.problems, "section_00_0001.wav: truncated"));
        assert_true(has_text(&s.problems, "section_00_0007.wav: empty file"));
        assert_true(has_text(&s.problems, "0000_spd_1.wav: the content is text"));
        assert_true(has_text(&s.problems, "labelled anomaly"));
        assert_true(has_text(&s.problems, "x.mp3: not a .wav file"));
        assert_true(has_text(&s.problems, "section_00_0008.wav: cannot read"));
        assert_int_equal(s.machine[0].n_audio, 4);
        size_t n;
        FILE  *f = open_memstream(seen + threads - 1, &n);
        assert_ok(asd_scan_json(&s, f));
        fclose(f);
        asd_scan_clear(&s);
    }
    asd_par_set_threads(0);
    assert_string_equal(seen[0], seen[1]);
    free(seen[0]);
    free(seen[1]);
    assert_ok(asd_scan_run(root, NULL, 0, ASD_SCAN_NAMES, &s));
    assert_int_equal(s.problems.n, 2); /* the names alone */
    asd_scan_clear(&s);
}

static void test_deep(void **state)
{
    (void)state;
    const char *root = asd_test_folder();
    char        path[PATH_MAX];
    SF_INFO  info = {.format = SF_FORMAT_WAV | SF_FORMAT_FLOAT, .channels = 2, .samplerate = 16000};
    float    x[200] = {0};
    asd_scan s;
    machine(root, "fan", 1600, 2, 16000);
    assert_ok(asd_path(path, "%s/fan/test/section_00_0005.wav", root));
    x[77]       = NAN;
    SNDFILE *sf = sf_open(path, SFM_WRITE, &info);
    assert_int_equal(sf_writef_float(sf, x, 100), 100);
    sf_close(sf);
    assert_ok(asd_scan_run(root, NULL, 0, ASD_SCAN_HEADERS, &s));
    assert_int_equal(s.problems.n, 0);
    assert_true(has_text(&s.warnings, "bits a sample: fan 16/32 float"));
    asd_scan_clear(&s);
    assert_ok(asd_scan_run(root, NULL, 0, ASD_SCAN_SAMPLES, &s));
    assert_int_equal(s.problems.n, 1);
    assert_true(
        has_text(&s.problems, "section_00_0005.wav: sample 38 of channel 1 is NaN; want finite"));
    asd_scan_clear(&s);
}

static char *print_to_text(const asd_scan *s, int verbose)
{
    char  *text = NULL;
    size_t n;
    FILE  *f = open_memstream(&text, &n);
    asd_scan_print(s, verbose, f);
    fclose(f);
    return text;
}

/* No line is longer than 100 columns, with long and wide names and mixed values. */
static void test_table_width(void **state)
{
    (void)state;
    const char *root = asd_test_folder();
    asd_scan    s;
    machine(root, "a_machine_name_much_longer_than_its_column", 160000, 2, 192000);
    machine(root, "größeres-Gebläse-für-Späne-und-Stäube", 1600, 2, 16000);
    machine(root, "mixed", 1601, 2, 16000);
    clip(root, "mixed/test/section_12_0000.wav", 123457, 8, 192000);
    clip(root, "mixed/test/section_12_0001.wav", 5, 1, 192);
    assert_ok(asd_scan_run(root, NULL, 0, ASD_SCAN_HEADERS, &s));
    char *text = print_to_text(&s, 1);
    assert_true(asd_test_contains(text, "a_machine_name_much_l~"));
    assert_true(asd_test_contains(text, "größeres-Gebläse-für-~"));
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        int columns = 0;
        for (const char *p = line; *p; ++p)
            columns += (*p & 0xC0) != 0x80;
        assert_in_range(columns, 0, 100);
    }
    free(text);
    asd_scan_clear(&s);
}

static void test_json(void **state)
{
    (void)state;
    const char *root = asd_test_folder();
    char       *text = NULL;
    size_t      n;
    asd_scan    s;
    machine(root, "fan", 1600, 2, 16000);
    assert_ok(asd_scan_run(root, NULL, 0, ASD_SCAN_HEADERS, &s));
    FILE *f = open_memstream(&text, &n);
    assert_ok(asd_scan_json(&s, f));
    fclose(f);
    json_t *j = json_loads(text, JSON_REJECT_DUPLICATES, NULL), *m, *a;
    assert_non_null(j);
    assert_string_equal(json_string_value(json_object_get(j, "schema")), "asd.scan/1");
    assert_int_equal(json_integer_value(json_object_get(j, "labels")), 3);
    assert_int_equal(json_integer_value(json_object_get(j, "labels_with_channel")), 6);
    m = json_array_get(json_object_get(j, "machines"), 0);
    assert_string_equal(json_string_value(json_object_get(m, "machine")), "fan");
    a = json_object_get(m, "audio");
    assert_int_equal(json_integer_value(json_object_get(a, "clips")), 6);
    assert_near(json_real_value(json_array_get(json_object_get(a, "seconds"), 1)), 0.1, 0);
    json_decref(j);
    free(text);
    asd_scan_clear(&s);
}

/* The program: exit codes, results on stdout alone. */
static void test_program(void **state)
{
    (void)state;
    const char *bin = getenv("ASD_BIN"), *root = asd_test_folder();
    char        command[2 * PATH_MAX], *out;
    if (!bin)
        skip(); /* run by hand, outside ctest */
    machine(root, "fan", 1600, 2, 16000);
    snprintf(command, sizeof command, "%s/asd-data scan %s 2>/dev/null", bin, root);
    assert_int_equal(asd_test_shell(command, &out), 0);
    assert_true(asd_test_contains(out, "1 machine, 3 training and 3 test clips"));
    free(out);
    snprintf(command, sizeof command, "%s/asd-data scan -q --json %s 2>&1", bin, root);
    assert_int_equal(asd_test_shell(command, &out), 0);
    assert_true(asd_test_contains(out, "\"asd.scan/1\""));
    free(out);
    snprintf(command, sizeof command, ": > %s/fan/test/section_00_0099.wav", root);
    assert_int_equal(asd_test_shell(command, NULL), 0);
    snprintf(command, sizeof command, "%s/asd-data scan %s 2>&1 >/dev/null", bin, root);
    assert_int_equal(asd_test_shell(command, &out), 3);
    assert_true(asd_test_contains(out, "section_00_0099.wav: empty file"));
    assert_true(asd_test_contains(out, "1 file or folder damaged or misnamed"));
    free(out);
    snprintf(command, sizeof command, "%s/asd-data scan --machine fam %s 2>&1", bin, root);
    assert_int_equal(asd_test_shell(command, &out), 3);
    assert_true(asd_test_contains(out, "did you mean \"fan\""));
    free(out);
    snprintf(command, sizeof command, "%s/asd-data scan --deep --no-audio %s 2>&1", bin, root);
    assert_int_equal(asd_test_shell(command, NULL), 2);
    snprintf(command, sizeof command, "%s/asd-data scan %s/none 2>/dev/null", bin, root);
    assert_int_equal(asd_test_shell(command, NULL), 3);
    snprintf(command, sizeof command, "%s/asd-data skan 2>&1", bin);
    assert_int_equal(asd_test_shell(command, &out), 2);
    assert_true(asd_test_contains(out, "did you mean \"scan\"?"));
    free(out);
}

static void test_real(void **state)
{
    (void)state;
    const char *shared = asd_test_shared();
    char        path[PATH_MAX];
    asd_scan    s;
    if (!shared)
        asd_test_skip_shared();
    assert_ok(asd_path(path, "%s/data/mini-real", shared));
    assert_ok(asd_scan_run(path, NULL, 0, ASD_SCAN_SAMPLES, &s));
    assert_int_equal(s.problems.n, 0);
    assert_int_equal(s.data.n, 2);
    for (int k = 0; k < 2; ++k) {
        assert_int_equal(s.machine[k].channels.value[0], 2);
        assert_near(s.machine[k].seconds_min, 2, 0);
        assert_near(s.machine[k].seconds_max, 2, 0);
    }
    asd_scan_clear(&s);
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("scan/counts-and-warnings", test_counts),
    ASD_CASE("scan/problems", test_problems),
    ASD_CASE("scan/deep-finds-nan", test_deep),
    ASD_CASE("scan/table/100-columns", test_table_width),
    ASD_CASE("scan/json", test_json),
    ASD_CASE("scan/program", test_program),
    ASD_CASE("scan/real", test_real),
};
ASD_TEST_MAIN(cases)
