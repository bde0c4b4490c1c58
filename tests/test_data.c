/* test_data.c - clip names and data set folders, real and made up. */
#include "harness.h"

#include "base/file.h"
#include "base/rng.h"
#include "data/dataset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- names --- */

#define S_ ASD_SOURCE
#define T_ ASD_TARGET
#define NO -1

static const struct {
    const char *name;
    int         section, number, domain, split, condition;
    const char *attribute;
} names[] = {
    {"section_00_source_train_normal_0000_nzl_1_pow_1.wav", 0, 0, S_, 0, 0, "nzl_1_pow_1"},
    {"section_00_target_test_anomaly_0199_noAttribute", 0, 199, T_, 1, 1, "noAttribute"},
    {"section_00_source_train_normal_0989_.wav", 0, 989, S_, 0, 0, ""},
    {"section_02_target_train_normal_0003.WAV", 2, 3, T_, 0, 0, ""},
    {"section_00_source_test_normal_0000_volt_3.0.wav", 0, 0, S_, 1, 0, "volt_3.0"},
    {"section_00_source_test_normal_0000_volt_3.0", 0, 0, S_, 1, 0, "volt_3.0"},
    {"section_00_source_test_normal_0002_m-n_W_.wav", 0, 2, S_, 1, 0, "m-n_W_"},
    {"section_01_source_test_normal_0017_car_A2_spd_8_mic_1_noise_1.wav", 1, 17, S_, 1, 0,
     "car_A2_spd_8_mic_1_noise_1"},
    {"section_00_source_normal_0035_weight15_BckgF.wav", 0, 35, S_, NO, 0, "weight15_BckgF"},
    {"section_00_0199.wav", 0, 199, NO, NO, NO, ""},
    {"section_05_0000", 5, 0, NO, NO, NO, ""},
    {"section_03_source_test_0042.wav", 3, 42, S_, 1, NO, ""},
    {"normal_id_01_00000000.wav", 1, 0, NO, NO, 0, ""},
    {"anomaly_id_06_00000263.wav", 6, 263, NO, NO, 1, ""},
    {"id_05_00000120.wav", 5, 120, NO, NO, NO, ""},
    {"section_00_source_train_normal_0000_source_target_test.wav", 0, 0, S_, 0, 0,
     "source_target_test"},
    {"section_00_source_train_normal_0000_größe_1.wav", 0, 0, S_, 0, 0, "größe_1"},
};

static void test_names(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; ++i) {
        asd_clip_name n;
        assert_ok(asd_clip_name_parse(names[i].name, &n));
        assert_int_equal(n.section, names[i].section);
        assert_int_equal(n.number, names[i].number);
        assert_int_equal(n.domain, names[i].domain);
        assert_int_equal(n.split, names[i].split);
        assert_int_equal(n.condition, names[i].condition);
        assert_string_equal(n.attribute, names[i].attribute);
        assert_int_equal(asd_clip_name_section(names[i].name), names[i].section);
        assert_ok(asd_clip_name_check(names[i].name));
    }
}

static void test_bad_names(void **state)
{
    (void)state;
    static const struct {
        const char *name, *part;
    } bad[] = {
        {"", "does not begin with section_SS_"},
        {"00000000.wav", "does not begin with section_SS_"},
        {"section_0_0000.wav", "does not begin with section_SS_"},
        {"section_000_0000.wav", "does not begin with section_SS_"},
        {"Section_00_0000.wav", "does not begin with section_SS_"},
        {"normal_section_00_0000.wav", "does not begin with section_SS_"},
        {"section_00_.wav", "found \"\" where the number"},
        {"section_00_source_0000.wav", "where normal or anomaly belongs"},
        {"section_00_source_train_0000.wav", "where normal or anomaly belongs"},
        {"section_00_source_train_broken_0000.wav", "found \"broken_0000\""},
        {"section_00_test_normal_0000.wav", "found \"test_normal_0000\" where the number"},
        {"section_00_source_normal_train_0000.wav", "found \"train_0000\" where the number"},
        {"section_00_source_train_normal_000.wav", "found \"000\" where the number"},
        {"section_00_source_train_normal_0000000000.wav", "4 to 9 digits"},
        {"section_00_source_train_normal_0000x.wav", "found \"0000x\" where the number"},
        {"section_00_0000_spd_1.wav", "after the number of an unlabelled name"},
        {"section_00_source_train_normal_0000_a,b.wav", "a comma, quote or slash"},
        {"section_00_source_train_normal_0000_a\nb.wav", "a control character"},
        {"section_00_source_train_normal_0000_\xFF.wav", "not UTF-8"},
        {"section_00_source_train_normal_0000_\xC0\xAF.wav", "not UTF-8"},
        {"section_00_source_train_normal_0000_\xED\xA0\x80.wav", "not UTF-8"},
        {"section_00_source_train_normal_0000_\xE2\x82", "not UTF-8"},
    };
    asd_clip_name n;
    char          lengthy[400] = "section_00_source_train_normal_0000_";
    for (size_t i = 0; i < sizeof bad / sizeof *bad; ++i)
        assert_fails(asd_clip_name_parse(bad[i].name, &n), ASD_E_DATA, bad[i].part);
    memset(lengthy + 36, 'a', 191);
    assert_ok(asd_clip_name_parse(lengthy, &n));
    assert_int_equal(strlen(n.attribute), 191);
    lengthy[36 + 191] = 'a';
    assert_fails(asd_clip_name_parse(lengthy, &n), ASD_E_DATA, "attribute of 192 characters");
    memset(lengthy + 36, 'a', sizeof lengthy - 37);
    assert_fails(asd_clip_name_parse(lengthy, &n), ASD_E_DATA, "want at most 250");
}

/* Changed names parse or fail, and what parses has values in range. */
static void test_name_mutations(void **state)
{
    (void)state;
    static const char *const parts[] = {"source_", "target_", "train_", "test_",    "normal_",
                                        "_",       "0000",    "id_",    "section_", ".wav"};
    int                      taken   = 0;
    for (uint32_t round = 0; round < 200000; ++round) {
        asd_rng       rng;
        asd_clip_name n;
        char          name[512];
        asd_rng_init(&rng, 1, ASD_RNG_TEST, round, 0);
        strcpy(name, names[asd_rng_below(&rng, sizeof names / sizeof *names)].name);
        for (uint32_t k = 1 + asd_rng_below(&rng, 3); k > 0; --k) {
            size_t      len = strlen(name), at = asd_rng_below(&rng, (uint32_t)len + 1);
            const char *part = parts[asd_rng_below(&rng, 10)];
            switch (asd_rng_below(&rng, 4)) {
            case 0: name[at] = (char)(asd_rng_below(&rng, 256) * (at < len)); break;
            case 1:
                memmove(name + at, name + (at < len ? at + 1 : at), len - at + (at == len));
                break;
            case 2:
                memmove(name + at + strlen(part), name + at, len - at + 1);
                memcpy(name + at, part, strlen(part));
                break;
            case 3: name[at] = 0; break;
            }
        }
        if (asd_clip_name_parse(name, &n))
            continue;
        ++taken;
        assert_in_range(n.section, 0, 99);
        assert_in_range(n.number, 0, 999999999);
        assert_in_range(n.domain + 1, 0, 2);
        assert_in_range(n.split + 1, 0, 2);
        assert_in_range(n.condition + 1, 0, 2);
        assert_true(strstr(name, n.attribute) != NULL);
        assert_int_equal(asd_clip_name_section(name), n.section);
    }
    assert_true(taken > 1000);
}

/* --- folders --- */

static const char *at(const char *folder, const char *name)
{
    static char path[4][PATH_MAX];
    static int  turn;
    turn = (turn + 1) % 4;
    assert_ok(asd_path(path[turn], "%s/%s", folder, name));
    return path[turn];
}

/* An empty file; the folders above it are made. */
static void touch(const char *folder, const char *name)
{
    char  path[PATH_MAX];
    FILE *f;
    strcpy(path, at(folder, name));
    *strrchr(path, '/') = 0;
    assert_ok(asd_make_folders(path));
    assert_non_null(f = fopen(at(folder, name), "w"));
    fclose(f);
}

static void touch_machine(const char *folder, const char *machine)
{
    char name[300];
    for (int i = 0; i < 3; ++i) {
        snprintf(name, sizeof name, "%s/train/section_00_%s_train_normal_000%d_a.wav", machine,
                 i == 2 ? "target" : "source", i);
        touch(folder, name);
        snprintf(name, sizeof name, "%s/test/section_00_000%d.wav", machine, i);
        touch(folder, name);
    }
}

static void test_layouts(void **state)
{
    (void)state;
    static const char *const below[] = {"dev_data/raw/",
                                        "eval_data/raw/",
                                        "dev_data/",
                                        "raw/",
                                        "",
                                        "data/dcase2026t2/dev_data/raw/"};
    for (size_t i = 0; i < sizeof below / sizeof *below; ++i) {
        const char *root = asd_test_folder();
        char        path[PATH_MAX];
        asd_dataset d;
        strcpy(path, at(root, below[i]));
        touch_machine(path, "valve");
        touch_machine(path, "Fan");
        touch(path, "Fan/attributes_00.csv");
        touch(path, "Fan/train/.hidden");
        touch(path, "Fan/train/README.md");
        touch(path, "Fan/supplemental/noise.wav");
        touch(path, "notes/readme.txt");
        assert_ok(asd_dataset_open(root, NULL, 0, &d));
        assert_int_equal(d.n, 2);
        assert_string_equal(d.machine[0].name, "Fan");
        assert_string_equal(d.machine[1].name, "valve");
        for (int m = 0; m < 2; ++m) {
            assert_int_equal(d.machine[m].n_train, 3);
            assert_int_equal(d.machine[m].n_test, 3);
        }
        assert_int_equal(asd_dataset_n_labels(&d, 1), 4);
        assert_int_equal(asd_dataset_n_labels(&d, 2), 8);
        asd_dataset_clear(&d);
        asd_dataset_clear(&d);
        char *only[] = {"valve"};
        assert_ok(asd_dataset_open(root, only, 1, &d));
        assert_int_equal(d.n, 1);
        assert_string_equal(d.machine[0].name, "valve");
        asd_dataset_clear(&d);
        char *wrong[] = {"valve", "valvo"};
        assert_fails(asd_dataset_open(root, wrong, 2, &d), ASD_E_DATA,
                     "no machine \"valvo\"; did you mean \"valve\"? the machines here are Fan, "
                     "valve");
        assert_int_equal(d.n, 0);
    }
}

static void test_one_machine(void **state)
{
    (void)state;
    const char *root = asd_test_folder();
    char        here[PATH_MAX];
    asd_dataset d;
    touch_machine(root, "slider");
    assert_ok(asd_dataset_open(at(root, "slider/"), NULL, 0, &d));
    assert_int_equal(d.n, 1);
    assert_string_equal(d.machine[0].name, "slider");
    assert_string_equal(d.machine[0].train[2].name, "section_00_target_train_normal_0002_a.wav");
    asd_dataset_clear(&d);
    assert_non_null(getcwd(here, sizeof here));
    assert_int_equal(chdir(at(root, "slider")), 0);
    assert_ok(asd_dataset_open(".", NULL, 0, &d));
    assert_string_equal(d.machine[0].name, "slider");
    assert_true(asd_is_file(d.machine[0].test[0].path));
    asd_dataset_clear(&d);
    assert_int_equal(chdir(here), 0);
    /* A data set of links is a data set. */
    const char *links = asd_test_folder();
    assert_int_equal(symlink(at(root, "slider"), at(links, "linked")), 0);
    assert_ok(asd_dataset_open(links, NULL, 0, &d));
    assert_string_equal(d.machine[0].name, "linked");
    assert_int_equal(d.machine[0].n_train, 3);
    asd_dataset_clear(&d);
}

/* 2020: ids instead of sections, no domains, and the same name in train and test.
 * 2021: two test folders, and the same machine in both parts. */
static void test_old_layouts(void **state)
{
    (void)state;
    asd_clip_name label[8];
    asd_dataset   d;
    const char   *root = asd_test_folder();
    touch(root, "ToyCar/train/normal_id_01_00000000.wav");
    touch(root, "ToyCar/train/normal_id_02_00000000.wav");
    touch(root, "ToyCar/test/normal_id_01_00000000.wav");
    touch(root, "ToyCar/test/anomaly_id_02_00000000.wav");
    assert_ok(asd_dataset_open(root, NULL, 0, &d));
    assert_int_equal(d.machine[0].n_train, 2);
    assert_int_equal(d.machine[0].train[1].section, 2);
    assert_int_equal(d.machine[0].train[1].domain, ASD_SOURCE);
    assert_int_equal(d.machine[0].test[0].section, 2); /* "anomaly..." sorts first */
    assert_ok(asd_dataset_labels(d.machine, label));
    assert_int_equal(label[0].condition, ASD_ANOMALY);
    assert_int_equal(label[1].condition, ASD_NORMAL);
    asd_dataset_clear(&d);

    root = asd_test_folder();
    touch(root, "dev_data/fan/train/section_00_source_train_normal_0000_strength_1_ambient.wav");
    touch(root, "dev_data/fan/source_test/section_00_source_test_normal_0000.wav");
    touch(root, "dev_data/fan/target_test/section_00_target_test_anomaly_0000.wav");
    touch(root, "eval_data/fan/train/section_03_target_train_normal_0000.wav");
    touch(root, "eval_data/fan/source_test/section_03_source_test_0000.wav");
    touch(root, "eval_data/fan/target_test/section_03_target_test_0000.wav");
    assert_ok(asd_dataset_open(root, NULL, 0, &d));
    assert_int_equal(d.n, 1);
    assert_int_equal(d.machine[0].n_train, 2);
    assert_int_equal(d.machine[0].n_test, 4);
    assert_string_equal(d.machine[0].train[0].attribute, "strength_1_ambient");
    assert_ok(asd_dataset_labels(d.machine, label));
    assert_int_equal(label[1].domain, ASD_TARGET);
    assert_int_equal(label[1].condition, ASD_ANOMALY);
    assert_int_equal(label[3].domain, ASD_TARGET);
    assert_int_equal(label[3].condition, ASD_COND_UNKNOWN);
    asd_dataset_clear(&d);
}

/* Whatever the test names say, the opened data set holds the section of it and nothing else. */
static void test_blind(void **state)
{
    (void)state;
    const char *root = asd_test_folder();
    asd_dataset d;
    touch_machine(root, "fan");
    touch(root, "fan/test/section_00_target_test_anomaly_0003_spd_1.wav");
    touch(root, "fan/test/section_00_no_such_grammar.wav");
    touch(root, "fan/test/b1946ac9.wav");
    assert_ok(asd_dataset_open(root, NULL, 0, &d));
    assert_int_equal(d.machine[0].n_test, 6);
    for (int i = 0; i < 6; ++i) {
        assert_int_equal(d.machine[0].test[i].domain, ASD_DOMAIN_UNKNOWN);
        assert_string_equal(d.machine[0].test[i].attribute, "");
        assert_int_equal(d.machine[0].test[i].section, 0);
    }
    asd_clip_name label[6];
    assert_fails(asd_dataset_labels(d.machine, label), ASD_E_DATA, "\"b1946ac9.wav\"");
    asd_dataset_clear(&d);
    touch(root, "fan/train/section_01_source_train_normal_0000.wav");
    assert_fails(asd_dataset_open(root, NULL, 0, &d), ASD_E_DATA,
                 "b1946ac9.wav: the name has no section, and fan has several");
}

static void test_bad_folders(void **state)
{
    (void)state;
    static const struct {
        const char *file, *part;
    } bad[] = {
        {"fan/train/section_00_source_train_anomaly_0000.wav", "labelled anomaly"},
        {"fan/train/section_00_source_test_normal_0000.wav", "a test clip in the train folder"},
        {"fan/train/section_00_0000.wav", "a training clip without a label"},
        {"fan/train/whatever.wav", "\"whatever.wav\" does not begin with"},
        {"fan/train/section_00_source_train_normal_0009.flac", ".flac: not a .wav file"},
        {"fan/test/Thumbs.db", "Thumbs.db: not a .wav file"},
        {"fan/test/more/section_00_0009.wav", "more: a folder among the clips"},
        {"fan/test/a,b.wav", "a comma, quote or slash"},
        {"fan/source_test/section_00_0000.wav", "this name is there twice"},
        {"fan/section_00_0000.wav", "a clip beside the train and test folders"},
        {"fan/target_test/readme.txt", "target_test: no .wav files"},
    };
    asd_dataset d;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; ++i) {
        const char *root = asd_test_folder();
        touch_machine(root, "fan");
        touch(root, bad[i].file);
        assert_fails(asd_dataset_open(root, NULL, 0, &d), ASD_E_DATA, bad[i].part);
        assert_int_equal(d.n, 0);
        assert_null(d.machine);
    }
    const char *root = asd_test_folder();
    assert_fails(asd_dataset_open(root, NULL, 0, &d), ASD_E_DATA, "no machine folder found");
    assert_fails(asd_dataset_open(at(root, "none"), NULL, 0, &d), ASD_E_DATA, "no such folder");
    touch(root, "file");
    assert_fails(asd_dataset_open(at(root, "file"), NULL, 0, &d), ASD_E_DATA, "a file; want");
}

/* --- the complete real file list of 2026 --- */

typedef struct real_counts {
    char machine[64];
    int  train[2], test[2][2], unlabelled;
} real_counts;

static real_counts *counts_of(real_counts *all, int *n, const char *machine)
{
    int i = 0;
    while (i < *n && strcmp(all[i].machine, machine))
        ++i;
    if (i == *n) {
        assert_true(*n < 12);
        snprintf(all[(*n)++].machine, sizeof all->machine, "%s", machine);
    }
    return all + i;
}

/* Parses every name, counts, and builds the folder tree from empty files. */
static int read_real_names(FILE *f, const char *root, real_counts all[12])
{
    char line[512], machine[64], split[16], name[300], path[800];
    int  rows = 0, n = 0;
    assert_non_null(fgets(line, sizeof line, f));
    while (fgets(line, sizeof line, f)) {
        asd_clip_name c;
        assert_int_equal(sscanf(line, "%63[^,],%15[^,],%299[^\r\n]", machine, split, name), 3);
        assert_ok(asd_clip_name_parse(name, &c));
        real_counts *k = counts_of(all, &n, machine);
        assert_int_equal(c.section, 0);
        if (!strcmp(split, "train")) {
            assert_int_equal(c.split, ASD_TRAIN);
            assert_int_equal(c.condition, ASD_NORMAL);
            ++k->train[c.domain];
        } else if (c.condition == ASD_COND_UNKNOWN) {
            ++k->unlabelled;
        } else {
            assert_int_equal(c.split, ASD_TEST);
            ++k->test[c.domain][c.condition];
        }
        snprintf(path, sizeof path, "dev_data/raw/%s/%s/%s", machine, split, name);
        touch(root, path);
        ++rows;
    }
    assert_int_equal(n, 12);
    return rows;
}

static void test_real_names(void **state)
{
    (void)state;
    static const char *const dev[]  = {"ToyCar",     "ToyCarEmu", "bearingEmu", "fan",
                                       "gearboxEmu", "sliderEmu", "valveEmu"};
    const char              *shared = asd_test_shared(), *root = asd_test_folder();
    real_counts              all[12] = {0};
    asd_dataset              d;
    if (!shared)
        asd_test_skip_shared();
    FILE *f = fopen(at(shared, "data/dcase2026-names/files.csv"), "r");
    assert_non_null(f);
    assert_int_equal(read_real_names(f, root, all), 14400);
    fclose(f);
    int labelled = 0;
    for (int i = 0; i < 12; ++i) {
        assert_int_equal(all[i].train[ASD_SOURCE], 990);
        assert_int_equal(all[i].train[ASD_TARGET], 10);
        labelled += !all[i].unlabelled;
        for (int k = 0; k < 4; ++k)
            assert_int_equal(all[i].test[k / 2][k % 2], all[i].unlabelled ? 0 : 50);
        assert_true(all[i].unlabelled == 0 || all[i].unlabelled == 200);
    }
    assert_int_equal(labelled, 7);
    assert_ok(asd_dataset_open(root, (char *const *)dev, 7, &d));
    assert_int_equal(d.n, 7);
    assert_int_equal(asd_dataset_n_labels(&d, 1), 45);
    assert_int_equal(asd_dataset_n_labels(&d, 2), 90);
    asd_dataset_clear(&d);
    assert_ok(asd_dataset_open(root, NULL, 0, &d));
    assert_int_equal(d.n, 12);
    for (int i = 0; i < 12; ++i) {
        assert_int_equal(d.machine[i].n_train, 1000);
        assert_int_equal(d.machine[i].n_test, 200);
    }
    asd_dataset_clear(&d);
}

/* The names that the official 2022 baselines wrote on the real development set. */
static void test_real_2022_names(void **state)
{
    (void)state;
    const char *shared = asd_test_shared();
    int         rows = 0, files = 0;
    asd_names   list;
    if (!shared)
        asd_test_skip_shared();
    const char *folder = strdup(at(shared, "data/dcase2022-dev-baselines/ae"));
    assert_ok(asd_list_folder(folder, &list));
    for (int64_t i = 0; i < list.n; ++i) {
        char line[512];
        if (strncmp(list.name[i], "anomaly_score_", 14))
            continue;
        int   count[2][2] = {{0}};
        FILE *f           = fopen(at(folder, list.name[i]), "r");
        assert_non_null(f);
        while (fgets(line, sizeof line, f)) {
            asd_clip_name c;
            line[strcspn(line, ",")] = 0;
            assert_ok(asd_clip_name_parse(line, &c));
            assert_int_equal(c.split, ASD_TEST);
            ++count[c.domain][c.condition];
            ++rows;
        }
        fclose(f);
        for (int k = 0; k < 4; ++k)
            assert_int_equal(count[k / 2][k % 2], 50);
        ++files;
    }
    assert_int_equal(files, 21);
    assert_int_equal(rows, 4200);
    asd_names_free(&list);
    free((char *)folder);
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("data/names/grammar", test_names),
    ASD_CASE("data/names/refused", test_bad_names),
    ASD_CASE("data/names/mutations", test_name_mutations),
    ASD_CASE("data/names/real-2026", test_real_names),
    ASD_CASE("data/names/real-2022", test_real_2022_names),
    ASD_CASE("data/dataset/layouts", test_layouts),
    ASD_CASE("data/dataset/one-machine", test_one_machine),
    ASD_CASE("data/dataset/2020-and-2021", test_old_layouts),
    ASD_CASE("data/dataset/blind-to-test-labels", test_blind),
    ASD_CASE("data/dataset/refused", test_bad_folders),
};
ASD_TEST_MAIN(cases)
