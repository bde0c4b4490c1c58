/* test_submit.c - the challenge package: what is made passes its own check, and every damage of a
 * good package is found and named.
 */
#include "harness.h"

#include "base/file.h"
#include "base/rng.h"
#include "score/csv.h"
#include "score/meta.h"
#include "score/submit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 20 };
#define LABEL "Doe_INST-X_task2_2"

static char *const machines[]     = {"Sander", "ToyDrone"};
static char *const dev_machines[] = {"fan", "valveEmu"};

static asd_submit_options make_options(void)
{
    return (asd_submit_options){.machine     = machines,
                                .n_machines  = 2,
                                .dev_machine = dev_machines,
                                .n_dev       = 2,
                                .rows        = ROWS};
}

static const char META[] =
    "submission:\n"
    "  label: " LABEL "\n"
    "  name: A system\n"
    "  abbreviation: ASYS\n"
    "  authors:\n"
    "    - firstname: Jane\n"
    "      lastname: Doe\n"
    "      email: jane@example.org\n"
    "      corresponding: true\n"
    "      affiliation:\n"
    "        institution: Institute\n"
    "        location: Town, Country\n"
    "    - {firstname: Joe, lastname: Roe, email: joe@example.org,\n"
    "       affiliation: {institution: Institute, department: D, location: Town}}\n"
    "system:\n"
    "  description:\n"
    "    input_sampling_rate: 16kHz\n"
    "    data_augmentation: !!null\n"
    "    front_end: !!null\n"
    "    acoustic_features: log-mel energies\n"
    "    embeddings: !!null\n"
    "    machine_learning_method: AE\n"
    "    aggregation_method: average\n"
    "    domain_adaptation_method: !!null\n"
    "    domain_generalization_method: !!null\n"
    "    ensemble_method_subsystem_count: !!null\n"
    "    decision_making: gamma distribution\n"
    "    attribute_usage: !!null\n"
    "    external_data_usage: !!null\n"
    "    development_data_usage: development\n"
    "  complexity:\n"
    "    total_parameters: 269992\n"
    "  external_datasets:\n"
    "    - name: AudioSet\n"
    "      url: https://example.org\n"
    "  source_code: !!null\n"
    "results:\n"
    "  development_dataset:\n"
    "    fan: {auc_source: 60.1, auc_target: 55, pauc: 52.5}\n"
    "    valveEmu: {auc_source: 70.1, auc_target: 65.0, pauc: 53}\n";

/* --- a good package --- */

static asd_scores make_scores(void)
{
    asd_scores s = {calloc(3, sizeof *s.set), 3};
    for (int m = 0; m < 3; ++m) { /* the third is a development machine: not for the package */
        asd_score_set *set = s.set + m;
        *set               = (asd_score_set){.machine  = strdup(m < 2 ? machines[m] : "fan"),
                                             .n        = ROWS,
                                             .name     = calloc(ROWS, sizeof(char *)),
                                             .score    = calloc(ROWS, sizeof(double)),
                                             .decision = calloc(ROWS, sizeof(int))};
        for (int i = 0; i < ROWS; ++i) {
            set->score[i]    = 0.1 * ((i * 7) % ROWS) + m;
            set->decision[i] = i % 3 == 0;
            if (asprintf(set->name + i, "section_00_%04d.wav", i) < 0)
                abort();
        }
    }
    return s;
}

static asd_package make_package(void)
{
    asd_submit_options o = make_options();
    asd_package        p = {0};
    asd_scores         s = make_scores();
    assert_ok(asd_submit_add_system(&p, &o, LABEL, &s, META, sizeof META - 1));
    assert_ok(asd_submit_add_report(&p, LABEL, "%PDF-1.5\n...", 12));
    asd_scores_clear(&s);
    return p;
}

static void replace(asd_package *p, const char *name, const char *text)
{
    for (int64_t i = 0; i < p->n; ++i)
        if (!strcmp(p->file[i].name, name)) {
            free(p->file[i].data);
            p->file[i].data = strdup(text);
            p->file[i].size = strlen(text);
            return;
        }
    fail_msg("no %s", name);
}

static void rename_file(asd_package *p, const char *name, const char *to)
{
    for (int64_t i = 0; i < p->n; ++i)
        if (!strcmp(p->file[i].name, name)) {
            free(p->file[i].name);
            p->file[i].name = strdup(to);
            return;
        }
    fail_msg("no %s", name);
}

static const asd_finding *find(const asd_findings *f, const char *part)
{
    for (int64_t i = 0; i < f->n; ++i)
        if (strstr(f->item[i].text, part))
            return f->item + i;
    return NULL;
}

static void print_findings(const asd_findings *f)
{
    for (int64_t i = 0; i < f->n; ++i)
        print_message("%s: %s\n", f->item[i].is_error ? "error" : "warning", f->item[i].text);
}

/* Exactly these findings are expected: `part` with its level, n_errors in all. */
static void expect(const asd_package *p, int is_error, int64_t n_errors, const char *part)
{
    asd_submit_options o = make_options();
    asd_findings       f = {0};
    assert_ok(asd_submit_check(p, &o, &f));
    const asd_finding *found = find(&f, part);
    if (!found || found->is_error != is_error || f.n_errors != n_errors) {
        print_findings(&f);
        fail_msg("want %s \"%s\", %d errors in all", is_error ? "error" : "warning", part,
                 (int)n_errors);
    }
    asd_findings_clear(&f);
}

static void test_good(void **state)
{
    (void)state;
    char        path[PATH_MAX], twin[PATH_MAX], *a, *b;
    size_t      na, nb;
    const char *folder = asd_test_folder();
    asd_package p      = make_package(), back;
    assert_int_equal(p.n, 1 + 4 + 1);
    assert_null(asd_package_find(&p, "task2/" LABEL "/anomaly_score_fan_section_00_test.csv"));
    expect(&p, 0, 0, "names were not compared");
    assert_ok(asd_path(path, "%s/p.zip", folder));
    assert_ok(asd_path(twin, "%s/q.zip", folder));
    assert_ok(asd_package_write(&p, path));
    assert_ok(asd_package_read(path, &back));
    assert_int_equal(back.n, p.n);
    for (int64_t i = 0; i < p.n; ++i) {
        assert_string_equal(back.file[i].name, p.file[i].name);
        assert_int_equal(back.file[i].size, p.file[i].size);
        assert_memory_equal(back.file[i].data, p.file[i].data, p.file[i].size);
    }
    expect(&back, 0, 0, "names were not compared");
    /* the same content in another time zone gives the same bytes */
    setenv("TZ", "Asia/Tokyo", 1);
    assert_ok(asd_package_write(&back, twin));
    unsetenv("TZ");
    assert_ok(asd_read_file(path, 1 << 20, &a, &na));
    assert_ok(asd_read_file(twin, 1 << 20, &b, &nb));
    assert_int_equal(na, nb);
    assert_memory_equal(a, b, na);
    free(a);
    free(b);
    asd_package_clear(&p);
    asd_package_clear(&back);
}

#define SCORE_FILE "task2/" LABEL "/anomaly_score_Sander_section_00_test.csv"
#define DECISION_FILE "task2/" LABEL "/decision_result_Sander_section_00_test.csv"
#define META_FILE "task2/" LABEL "/" LABEL ".meta.yaml"

/* The good text of a file with the first `from` replaced by `to`. */
static void edit(asd_package *p, const char *name, const char *from, const char *to)
{
    const asd_package_file *f  = asd_package_find(p, name);
    const char             *at = f ? strstr(f->data, from) : NULL;
    char                   *text;
    if (!at)
        fail_msg("%s lacks %s", name, from);
    assert_true(asprintf(&text, "%.*s%s%s", (int)(at - f->data), f->data, to, at + strlen(from)) >
                0);
    replace(p, name, text);
    free(text);
}

static void test_csv_damage(void **state)
{
    (void)state;
    static const struct {
        const char *file, *from, *to, *part;
        int         is_error, n_errors;
    } damage[] = {
        {SCORE_FILE, "section_00_0003.wav,0.1\n", "", "19 rows, want 20", 1, 2},
        {SCORE_FILE, "section_00_0003.wav,0.1\n", "", "section_00_0003.wav is not in", 1, 2},
        {SCORE_FILE, "section_00_0003.wav", "section_00_0004.wav", "file name doubled", 1, 2},
        {SCORE_FILE, "section_00_0003.wav", "section_00_0033.wav",
         DECISION_FILE ": section_00_0003.wav is not in", 1, 1},
        {SCORE_FILE, "section_00_0003.wav", "section_00_source_test_normal_0003_a.wav",
         "not of the form section_00_0000.wav", 1, 2},
        {SCORE_FILE, "0003.wav,0.1", "0003.wav,nan", "section_00_0003.wav,nan: score \"nan\"", 1,
         1},
        {SCORE_FILE, "0003.wav,0.1", "0003.wav,inf", "is not finite", 1, 1},
        {SCORE_FILE, "0003.wav,0.1", "0003.wav", "section_00_0003.wav: 1 columns, want 2", 1, 1},
        {SCORE_FILE, "0003.wav,0.1", "0003.wav,0.1,1", "3 columns, want 2", 1, 1},
        {SCORE_FILE, "section_00_0000.wav,", "file_name,score\nsection_00_0000.wav,",
         "no header line", 1, 4},
        {SCORE_FILE, "0019.wav,1.3\n", "0019.wav,1.3\n\n", "empty line at the end", 1, 1},
        {SCORE_FILE, "section_00_0003.wav", "\nsection_00_0003.wav", "empty line before row", 1, 2},
        {DECISION_FILE, "0003.wav,1", "0003.wav,2", "decision \"2\", want 0 or 1", 1, 1},
        {DECISION_FILE, "0003.wav,1", "0003.wav,1.0", "names were not compared", 0, 0},
        {SCORE_FILE, "\n", "\r\n", "names were not compared", 0, 0},
    };
    for (size_t k = 0; k < sizeof damage / sizeof *damage; ++k) {
        asd_package p = make_package();
        edit(&p, damage[k].file, damage[k].from, damage[k].to);
        expect(&p, damage[k].is_error, damage[k].n_errors, damage[k].part);
        asd_package_clear(&p);
    }
    asd_package p               = make_package();
    char        ties[ROWS * 32] = "", same[ROWS * 32] = "", bad[ROWS * 32] = "";
    for (int i = 0; i < ROWS; ++i) {
        snprintf(ties + strlen(ties), 32, "section_00_%04d.wav,%d\n", i, i / 2);
        snprintf(same + strlen(same), 32, "section_00_%04d.wav,1\n", i);
        snprintf(bad + strlen(bad), 32, "section_00_%04d.wav,x\n", i);
    }
    replace(&p, SCORE_FILE, ties);
    replace(&p, DECISION_FILE, same);
    expect(&p, 0, 0, "20 scores have only 10 distinct values");
    expect(&p, 0, 0, DECISION_FILE ": all 20 decisions are 1");
    replace(&p, SCORE_FILE, bad);
    expect(&p, 1, 6, "15 more rows like these");
    asd_package_clear(&p);
}

static void test_layout_damage(void **state)
{
    (void)state;
    asd_package p = make_package();
    rename_file(&p, SCORE_FILE, "task2/" LABEL "/anomaly_score_sander_section_00_test.csv");
    expect(&p, 1, 2, SCORE_FILE " is missing");
    expect(&p, 1, 2, "anomaly_score_sander_section_00_test.csv: no file of a submission");
    asd_package_clear(&p);

    p = make_package();
    rename_file(&p, SCORE_FILE,
                "task2/" LABEL "/anomaly_score_DCASE2026T2Sander_section_00_test_seed1.csv");
    expect(&p, 1, 2, SCORE_FILE " is missing");
    asd_package_clear(&p);

    p = make_package();
    rename_file(&p, "task2/" LABEL ".technical_report.pdf", "task2/report.pdf");
    expect(&p, 1, 2, ".technical_report.pdf is missing");
    asd_package_clear(&p);

    p = make_package();
    replace(&p, "task2/" LABEL ".technical_report.pdf", "<html>");
    expect(&p, 1, 1, "not a PDF file");
    asd_package_clear(&p);

    p = make_package();
    assert_ok(asd_package_add(&p, "__MACOSX/x", "x", 1));
    expect(&p, 1, 1, "__MACOSX/x: not in the folder task2/");
    asd_package_clear(&p);

    p = make_package();
    rename_file(&p, META_FILE, "task2/" LABEL "/meta.yaml");
    expect(&p, 1, 2, META_FILE " is missing");
    asd_package_clear(&p);

    /* a second system with a copied meta file; then too many systems, of another team */
    asd_submit_options o = make_options();
    asd_scores         s = make_scores();
    p                    = make_package();
    assert_ok(asd_submit_add_system(&p, &o, "Doe_INST-X_task2_3", &s, META, sizeof META - 1));
    expect(&p, 1, 1, "submission.label is \"" LABEL "\", its folder \"Doe_INST-X_task2_3\"");
    for (int i = 4; i < 7; ++i) {
        char label[32];
        snprintf(label, sizeof label, "Roe_OTHER_task2_%d", i);
        assert_ok(asd_submit_add_system(&p, &o, label, &s, META, sizeof META - 1));
    }
    expect(&p, 0, 1 + 3 + 1 + 2, "labels of different teams");
    expect(&p, 1, 1 + 3 + 1 + 2, "5 systems, want at most 4");
    expect(&p, 1, 1 + 3 + 1 + 2, "task2/Roe_OTHER_task2_5: the label is not of the form");
    asd_package_clear(&p);
    asd_scores_clear(&s);

    asd_package empty = {0};
    expect(&empty, 1, 2, "no system");
}

static void test_labels(void **state)
{
    (void)state;
    static const char *const good[] = {"Doe_INST_task2_1", "van-Doe_A1_task2_4"};
    static const char *const bad[]  = {"Doe_INST_task2_0",  "Doe_INST_task2_5",
                                       "Doe_INST_task2_12", "Doe_INST_task1_1",
                                       "Doe_task2_1",       "Doe__task2_1",
                                       "_INST_task2_1",     "Doe_IN ST_task2_1",
                                       "Doe_A_B_task2_1",   "",
                                       "Doe_INST_task2_"};
    for (size_t k = 0; k < sizeof good / sizeof *good; ++k)
        assert_true(asd_label_valid(good[k]));
    for (size_t k = 0; k < sizeof bad / sizeof *bad; ++k)
        assert_false(asd_label_valid(bad[k]));
}

static void test_meta_damage(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to, *part;
        int         is_error, n_errors;
    } damage[] = {
        {"  name: A system\n", "", "submission.name is missing", 1, 1},
        {"name: A system", "name:", "submission.name is empty", 1, 1},
        {"ASYS", "ASYSTEMWITHALONGNAME", "more than 10 characters", 0, 0},
        {LABEL, "Doe_INST_task2_2", "its folder", 1, 1},
        {LABEL, "Doe-INST-task2", "want <LastName>", 1, 2},
        {"    front_end: !!null\n", "", "system.description.front_end is missing; write !!null", 1,
         1},
        {"front_end: !!null", "front_end: [a, b]", "front_end is a list", 1, 1},
        {"front_end: !!null", "front_end: &x a\n    dup: *x", "names were not compared", 0, 0},
        {"front_end: !!null\n    acoustic_features: log-mel energies",
         "front_end: &x a\n    acoustic_features: *x", "acoustic_features is a list, a map or an",
         1, 1},
        {"front_end: !!null", "front_end: a\n    front_end: b", "not valid YAML, line 20", 1, 1},
        {"front_end: !!null", "front_end: null", "names were not compared", 0, 0},
        {"subsystem_count: !!null", "subsystem_count: two", "want an integer", 1, 1},
        {"subsystem_count: !!null", "subsystem_count: 2", "names were not compared", 0, 0},
        {"269992", "269,992", "want an integer without separators", 1, 1},
        {"269992", "!!null", "total_parameters is empty", 1, 1},
        {"      corresponding: true\n", "", "0 authors with `corresponding: true`", 1, 1},
        {"{firstname: Joe,", "{firstname: Joe, corresponding: true,", "2 authors with", 1, 1},
        {"lastname: Doe", "lastname: Smith", "the corresponding author is Smith", 0, 0},
        {"        location: Town, Country\n", "", "authors[0].affiliation.location is missing", 1,
         1},
        {"email: joe@example.org,", "", "authors[1].email is missing", 1, 1},
        {"      url: https://example.org\n", "", "external_datasets[0].url is missing", 1, 1},
        {"    - name: AudioSet\n      url: https://example.org\n", "", "names were not compared", 0,
         0},
        {"    - name: AudioSet\n      url: https://example.org\n", "    AudioSet\n",
         "is no list of name and url", 1, 1},
        {"pauc: 52.5", "pauc: 152.5", "fan.pauc is \"152.5\", want 0 to 100", 1, 1},
        {"pauc: 52.5", "pauc: high", "fan.pauc is \"high\"", 1, 1},
        {", pauc: 52.5", "", "results.development_dataset.fan.pauc is missing", 1, 1},
        {"    fan: {auc_source: 60.1, auc_target: 55, pauc: 52.5}\n", "",
         "fan.auc_target is missing", 1, 3},
        {"60.1, auc_target: 55, pauc: 52.5}\n    valveEmu: {auc_source: 70.1, auc_target: 65.0, "
         "pauc: 53}",
         "0.6, auc_target: 0.55, pauc: 0.5}\n    valveEmu: {auc_source: 0.7, auc_target: 0.65, "
         "pauc: 0.53}",
         "no value above 1; want percent", 1, 1},
        {"submission:", "submission: [", "meta.yaml: not valid YAML, line 3 column 7", 1, 1},
    };
    for (size_t k = 0; k < sizeof damage / sizeof *damage; ++k) {
        asd_package p = make_package();
        edit(&p, META_FILE, damage[k].from, damage[k].to);
        expect(&p, damage[k].is_error, damage[k].n_errors, damage[k].part);
        asd_package_clear(&p);
    }
}

/* Random damage of the meta file gives findings or none, never a crash. */
static void test_meta_mutations(void **state)
{
    (void)state;
    static const char alphabet[] = ":-{}[]!&*#|>'\"%@`, \n\t\0\xff"
                                   "09a";
    for (int k = 0; k < 400; ++k) {
        char         text[sizeof META];
        asd_rng      r;
        asd_findings f = {0};
        asd_rng_init(&r, 4, ASD_RNG_TEST, (uint64_t)k, 0);
        memcpy(text, META, sizeof META);
        for (uint32_t m = 1 + asd_rng_below(&r, 4); m; --m)
            text[asd_rng_below(&r, sizeof META - 1)] =
                alphabet[asd_rng_below(&r, sizeof alphabet - 1)];
        assert_ok(asd_meta_check("m", text, sizeof META - 1, LABEL, dev_machines, 2, &f));
        asd_findings_clear(&f);
    }
}

/* The form is complete but for what only a person knows. */
static void test_form(void **state)
{
    (void)state;
    asd_findings  f      = {0};
    asd_omega_row row[2] = {{.machine = "fan", .cell = {0.601, 0.55, 0.525}},
                            {.machine = "valveEmu", .cell = {0.7, 0.65, 0.53}}};
    asd_omega     o      = {.row = row, .n = 2};
    char         *text;
    size_t        size;
    FILE         *out = open_memstream(&text, &size);
    asd_meta_template(&o, dev_machines, 2, out);
    fclose(out);
    assert_non_null(strstr(text, "auc_source: 60.10"));
    assert_ok(asd_meta_check("m", text, size, "Name_INST_task2_1", dev_machines, 2, &f));
    print_findings(&f);
    assert_int_equal(f.n, 1);
    assert_non_null(find(&f, "total_parameters is empty"));
    asd_findings_clear(&f);
    free(text);
}

/* --- names against the test folder --- */

static void test_names(void **state)
{
    (void)state;
    asd_clip    clips[ROWS];
    asd_machine m[2] = {
        {.name = "Sander", .folder = "raw/Sander", .test = clips, .n_test = ROWS},
        {.name = "ToyDrone", .folder = "raw/ToyDrone", .test = clips, .n_test = ROWS}};
    asd_dataset data = {.machine = m, .n = 2};
    char        names[ROWS][32];
    for (int i = 0; i < ROWS; ++i) {
        snprintf(names[i], sizeof names[i], "section_00_%04d.wav", i);
        clips[i] = (asd_clip){.name = names[i]};
    }
    asd_submit_options o = make_options();
    asd_findings       f = {0};
    asd_package        p = make_package();
    o.data               = &data;
    assert_ok(asd_submit_check(&p, &o, &f));
    print_findings(&f);
    assert_int_equal(f.n, 0);
    edit(&p, SCORE_FILE, "section_00_0003.wav", "section_00_0033.wav");
    edit(&p, DECISION_FILE, "section_00_0003.wav", "section_00_0033.wav");
    assert_ok(asd_submit_check(&p, &o, &f));
    assert_int_equal(f.n_errors, 4);
    assert_non_null(find(&f, SCORE_FILE ": no row for section_00_0003.wav (1 clips of raw/Sander"));
    assert_non_null(find(&f, DECISION_FILE ": section_00_0033.wav: no such test clip"));
    asd_findings_clear(&f);
    asd_package_clear(&p);
}

/* --- the archive --- */

static void test_archive_damage(void **state)
{
    (void)state;
    const char *folder = asd_test_folder();
    char        path[PATH_MAX], *bytes;
    size_t      n;
    asd_package p = make_package(), back;
    assert_ok(asd_path(path, "%s/p.zip", folder));
    assert_ok(asd_package_write(&p, path));
    asd_package_clear(&p);
    assert_ok(asd_read_file(path, 1 << 20, &bytes, &n));
    assert_fails(asd_package_read("/nonexistent.zip", &back), ASD_E_DATA, "/nonexistent.zip");
    int refused = 0;
    for (int k = 0; k < 200; ++k) { /* cut, or one byte changed */
        char   *copy = malloc(n);
        asd_rng r;
        asd_rng_init(&r, 6, ASD_RNG_TEST, (uint64_t)k, 0);
        memcpy(copy, bytes, n);
        size_t size = k % 2 ? n : asd_rng_below(&r, (uint32_t)n);
        if (k % 2)
            copy[asd_rng_below(&r, (uint32_t)n)] ^= (char)(1 << asd_rng_below(&r, 8));
        assert_ok(asd_write_file(path, copy, size));
        asd_status st = asd_package_read(path, &back);
        assert_true(st == ASD_OK || st == ASD_E_DATA);
        refused += st != ASD_OK;
        if (k % 2 == 0)
            assert_int_equal(st, ASD_E_DATA);
        asd_package_clear(&back);
        free(copy);
    }
    assert_true(refused > 150);
    free(bytes);
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("submit/good", test_good),
    ASD_CASE("submit/csv/damage", test_csv_damage),
    ASD_CASE("submit/layout/damage", test_layout_damage),
    ASD_CASE("submit/label", test_labels),
    ASD_CASE("submit/meta/damage", test_meta_damage),
    ASD_CASE("submit/meta/mutations", test_meta_mutations),
    ASD_CASE("submit/meta/form", test_form),
    ASD_CASE("submit/names/test-folder", test_names),
    ASD_CASE("submit/archive/damage", test_archive_damage),
};
ASD_TEST_MAIN(cases)
