/* test_truth.c - score files, label files and their join by name: what is taken, what is refused
 * and how the refusal names the row.
 */
#include "harness.h"

#include "base/file.h"
#include "base/rng.h"
#include "score/csv.h"
#include "score/omega.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put(const char *folder, const char *file, const char *text)
{
    char path[PATH_MAX];
    assert_ok(asd_path(path, "%s/%s", folder, file));
    char *slash = strrchr(path, '/');
    *slash      = 0;
    assert_ok(asd_make_folders(path));
    *slash = '/';
    assert_ok(asd_write_file(path, text, strlen(text)));
}

static const char SCORES[]    = "anomaly_score_fan_section_00_test.csv";
static const char DECISIONS[] = "decision_result_fan_section_00_test.csv";

#define SN "section_00_source_test_normal_0000_a.wav"
#define SA "section_00_source_test_anomaly_0000_a.wav"
#define TN "section_00_target_test_normal_0000_a.wav"
#define TA "section_00_target_test_anomaly_0000_a.wav"
static const char GOOD[]           = SN ",0.5\n" SA ",2\n" TN ",-1e-3\n" TA ",1.25\n";
static const char GOOD_DECISIONS[] = TA ",1\n" SN ",0\n" SA ",1.0\n" TN ",0\n";

/* --- score files --- */

static void test_read(void **state)
{
    (void)state;
    static const char *const same[] = {
        GOOD,
        SN ",0.5\r\n" SA ",2\r\n" TN ",-1e-3\r\n" TA ",1.25\r\n",
        SN ",0.5\n" SA ",2\n" TN ",-1e-3\n" TA ",1.25",
        SN ",0.5\n" SA ",2\n" TN ",-1e-3\n" TA ",1.25\n\n\r\n\n",
        SN ", 0.5\n" SA ",+2 \n" TN ",-0.001\n" TA ",1.25\t\n",
    };
    for (size_t k = 0; k < sizeof same / sizeof *same; ++k) {
        const char *folder = asd_test_folder();
        asd_scores  s;
        put(folder, SCORES, same[k]);
        put(folder, DECISIONS, GOOD_DECISIONS);
        put(folder, "result.csv", "not,a,score\n");
        assert_ok(asd_scores_read(folder, &s));
        assert_int_equal(s.n, 1);
        assert_string_equal(s.set->machine, "fan");
        assert_int_equal(s.set->section, 0);
        assert_int_equal(s.set->n, 4);
        assert_string_equal(s.set->name[2], TN);
        assert_true(s.set->score[0] == 0.5 && s.set->score[1] == 2 && s.set->score[2] == -1e-3 &&
                    s.set->score[3] == 1.25);
        assert_true(!s.set->decision[0] && s.set->decision[1] && !s.set->decision[2] &&
                    s.set->decision[3]);
        asd_scores_clear(&s);
    }
}

static void test_read_errors(void **state)
{
    (void)state;
    static const struct {
        const char *scores, *decisions, *part, *line;
    } bad[] = {
        {SN ",0.5\n" SA "\n", NULL, SA ": 1 column, want file name and score", "csv:2:"},
        {SN ",0.5\n" SA ",2,3\n", NULL, SA ",2,3: 3 columns", "csv:2:"},
        {"file_name,anomaly_score\n" SN ",0.5\n", NULL, "these files have no header", "csv:1:"},
        {SN ",0.5\n" SA ",nan\n", NULL, SA ",nan: score \"nan\" is not finite", "csv:2:"},
        {SN ",0.5\n" SA ",-inf\n", NULL, "is not finite", "csv:2:"},
        {SN ",0.5\n" SA ",1e999\n", NULL, "is not finite", "csv:2:"},
        {SN ",0.5\n" SA ",\n", NULL, SA ",: score \"\" is not a number", "csv:2:"},
        {SN ",0.5\n" SA ",1.5x\n", NULL, "\"1.5x\" is not a number", "csv:2:"},
        {SN ",0.5\n" SA ",0x1p3\n", NULL, "is not a number", "csv:2:"},
        {SN ",0.5\n" SA ",1 2\n", NULL, "is not a number", "csv:2:"},
        {SN ",0.5\n,2\n", NULL, "no file name", "csv:2:"},
        {SN ",0.5\n\n" SA ",2\n", NULL, "empty line before row: " SA ",2", "csv:2:"},
        {SN ",0.5\n" SA ",2\n" SN ",0.5\n", NULL, SN ",0.5: file name doubled, first on line 1",
         "csv:3:"},
        {"\"" SN "\",0.5\n", NULL, "quoted", "csv:1:"},
        {"\xef\xbb\xbf" SN ",0.5\n", NULL, "byte-order mark", "csv:1:"},
        {"", NULL, "no rows", "csv: "},
        {"\n\n", NULL, "no rows", "csv: "},
        {"a,1,2,3,4,5,6,7,8\n", NULL, "more than 8 columns: a,1,2,3,4,5,6,7,8", "csv:1:"},
        {GOOD, SN ",0\n" SA ",1\n" TN ",0\n", "no row for " TA ", which has a score", "csv: "},
        {SN ",0.5\n" SA ",2\n" TN ",1\n", GOOD_DECISIONS,
         TA ",1: this clip has a decision but no row in the score file", "csv:1:"},
        {GOOD, SN ",0\n" SA ",1\n" TN ",0\n" TA ",2\n", TA ",2: decision \"2\", want 0 or 1",
         "csv:4:"},
        {GOOD, SN ",0\n" SA ",1\n" TN ",0\n" TA ",0.5\n", "want 0 or 1", "csv:4:"},
    };
    for (size_t k = 0; k < sizeof bad / sizeof *bad; ++k) {
        const char *folder = asd_test_folder();
        asd_scores  s;
        put(folder, SCORES, bad[k].scores);
        if (bad[k].decisions)
            put(folder, DECISIONS, bad[k].decisions);
        assert_fails(asd_scores_read(folder, &s), ASD_E_DATA, bad[k].part);
        assert_true(asd_test_contains(asd_error_text(), bad[k].line));
        assert_true(asd_test_contains(asd_error_text(), bad[k].decisions ? DECISIONS : SCORES));
        asd_scores_clear(&s);
    }
    char        nul[]  = SN ",0.5\n" SA ",2\n", path[PATH_MAX];
    const char *folder = asd_test_folder();
    asd_scores  s;
    nul[7] = 0;
    assert_ok(asd_path(path, "%s/%s", folder, SCORES));
    assert_ok(asd_write_file(path, nul, sizeof nul - 1));
    assert_fails(asd_scores_read(folder, &s), ASD_E_DATA, "NUL byte at offset 7");
    asd_scores_clear(&s);
}

static void test_file_names(void **state)
{
    (void)state;
    static const struct {
        const char *name, *machine; /* NULL: refused */
        int         section;
    } names[] = {
        {"anomaly_score_fan_section_00_test.csv", "fan", 0},
        {"anomaly_score_my_fan_section_02_section_17_test.csv", "my_fan_section_02", 17},
        {"anomaly_score_DCASE2026T2ToyCar_section_00_test_seed13711_id(0_).csv", "ToyCar", 0},
        {"anomaly_score_DCASE2023T2bandsaw_section_00_test_seed13711_id(0_)_Eval.csv", "bandsaw",
         0},
        {"anomaly_score_fan_section_00_train.csv", NULL, 0},
        {"anomaly_score_fan_section_0_test.csv", NULL, 0},
        {"anomaly_score_fan_section_00_test_old.csv", NULL, 0},
        {"anomaly_score__section_00_test.csv", NULL, 0},
        {"anomaly_score_.csv", NULL, 0},
    };
    for (size_t k = 0; k < sizeof names / sizeof *names; ++k) {
        const char *folder = asd_test_folder();
        asd_scores  s;
        put(folder, names[k].name, GOOD);
        if (names[k].machine) {
            assert_ok(asd_scores_read(folder, &s));
            assert_string_equal(s.set->machine, names[k].machine);
            assert_int_equal(s.set->section, names[k].section);
        } else {
            assert_fails(asd_scores_read(folder, &s), ASD_E_DATA, names[k].name);
        }
        asd_scores_clear(&s);
    }
    const char *folder = asd_test_folder();
    asd_scores  s;
    put(folder, SCORES, GOOD);
    put(folder, names[2].name, GOOD);
    put(folder, "anomaly_score_ToyCar_section_00_test.csv", GOOD);
    assert_fails(asd_scores_read(folder, &s), ASD_E_DATA, "a second score file for ToyCar");
    asd_scores_clear(&s);
    folder = asd_test_folder();
    put(folder, DECISIONS, GOOD_DECISIONS);
    assert_fails(asd_scores_read(folder, &s), ASD_E_DATA, "decisions without the score file");
    asd_scores_clear(&s);
    assert_fails(asd_scores_read(asd_test_folder(), &s), ASD_E_DATA, "no anomaly_score_");
    asd_scores_clear(&s);
}

static void test_write(void **state)
{
    (void)state;
    enum { N = 300 };
    const char   *folder = asd_test_folder();
    char         *name[N];
    double        score[N];
    int           decision[N];
    asd_rng       r;
    asd_score_set set = {"fan", 3, N, name, score, decision};
    asd_rng_init(&r, 1, ASD_RNG_TEST, 0, 0);
    for (int i = 0; i < N; ++i) {
        assert_true(asprintf(name + i, "clip_%03d.wav", N - i) > 0);
        score[i]    = ldexp(asd_rng_uniform(&r) - 0.5, (int)asd_rng_below(&r, 2000) - 1050);
        decision[i] = (int)asd_rng_below(&r, 2);
    }
    score[0] = 0.1, score[1] = -0.0, score[2] = 1e300, score[3] = 5e-324, score[4] = 100;
    assert_ok(asd_score_set_write(folder, &set));
    asd_scores got;
    assert_ok(asd_scores_read(folder, &got));
    assert_int_equal(got.n, 1);
    assert_int_equal(got.set->section, 3);
    for (int i = 0; i < N; ++i) {
        assert_string_equal(got.set->name[i], name[i]);
        assert_memory_equal(got.set->score + i, score + i, sizeof *score);
        assert_int_equal(got.set->decision[i], decision[i]);
    }
    asd_scores_clear(&got);
    score[7] = NAN;
    assert_fails(asd_score_set_write(folder, &set), ASD_E_NUMERIC, "clip_293.wav is nan");
    score[7]    = 0;
    decision[7] = 2;
    assert_fails(asd_score_set_write(folder, &set), ASD_E_DATA, "clip_293.wav is 2");
    decision[7] = 0;
    name[8][3]  = ',';
    assert_fails(asd_score_set_write(folder, &set), ASD_E_DATA, "comma-separated");
    for (int i = 0; i < N; ++i)
        free(name[i]);
}

static void test_real_text(void **state)
{
    (void)state;
    static const struct {
        double      x;
        const char *text; /* what Python's repr says */
    } want[] = {
        {0.5, "0.5"},
        {1, "1.0"},
        {100, "100.0"},
        {0.1, "0.1"},
        {1.0 / 3, "0.3333333333333333"},
        {1e-4, "0.0001"},
        {1e-5, "1e-05"},
        {0x1p-52, "2.220446049250313e-16"},
        {1e15, "1000000000000000.0"},
        {1e16, "1e+16"},
        {123456789.125, "123456789.125"},
        {-2.5e-7, "-2.5e-07"},
        {0, "0.0"},
        {-0.0, "-0.0"},
        {5e-324, "5e-324"},
        {0.5290745770373391, "0.5290745770373391"},
    };
    char text[32];
    for (size_t k = 0; k < sizeof want / sizeof *want; ++k)
        assert_string_equal(asd_real_text(want[k].x, text), want[k].text);
}

/* Damaged copies never crash, and what is accepted is finite, named once and complete. */
static void test_mutations(void **state)
{
    (void)state;
    static const char alphabet[] = ",,\n\n\r\"-+.eE0129naif#_ \t\xff";
    const char       *folder     = asd_test_folder();
    int               taken      = 0;
    for (int k = 0; k < 600; ++k) {
        char    text[sizeof GOOD + 8], path[PATH_MAX];
        size_t  n = sizeof GOOD - 1;
        asd_rng r;
        asd_rng_init(&r, 2, ASD_RNG_TEST, (uint64_t)k, 0);
        memcpy(text, GOOD, n);
        for (uint32_t m = 1 + asd_rng_below(&r, 3); m; --m) {
            size_t at = asd_rng_below(&r, (uint32_t)n);
            char   c  = alphabet[asd_rng_below(&r, sizeof alphabet - 1)];
            switch (asd_rng_below(&r, 3)) {
            case 0: text[at] = c; break;
            case 1: memmove(text + at, text + at + 1, --n - at); break;
            default: memmove(text + at + 1, text + at, n++ - at); text[at] = c;
            }
        }
        assert_ok(asd_path(path, "%s/%s", folder, SCORES));
        assert_ok(asd_write_file(path, text, n));
        asd_scores s;
        asd_status st = asd_scores_read(folder, &s);
        assert_true(st == ASD_OK || st == ASD_E_DATA);
        if (!st) {
            ++taken;
            assert_in_range(s.set->n, 1, 5);
            for (int64_t i = 0; i < s.set->n; ++i) {
                assert_true(isfinite(s.set->score[i]) && *s.set->name[i]);
                for (int64_t j = 0; j < i; ++j)
                    assert_string_not_equal(s.set->name[i], s.set->name[j]);
            }
        } else {
            assert_true(asd_test_contains(asd_error_text(), SCORES));
        }
        asd_scores_clear(&s);
    }
    assert_in_range(taken, 100, 550);
}

/* --- truth and join --- */

static void put_truth(const char *folder)
{
    static const char file[] = "ground_truth_fan_section_00_test.csv";
    char              path[128];
    snprintf(path, sizeof path, "ground_truth_data/%s", file);
    put(folder, path,
        "section_00_0003.wav,1\nsection_00_0000.wav,0\nsection_00_0001.wav,1\n"
        "section_00_0002.wav,0\n");
    snprintf(path, sizeof path, "ground_truth_domain/%s", file);
    put(folder, path,
        "section_00_0000.wav,0\nsection_00_0001.wav,0\nsection_00_0002.wav,1\n"
        "section_00_0003.wav,1\n");
    snprintf(path, sizeof path, "ground_truth_attributes/%s", file);
    put(folder, path,
        "section_00_0001.wav,section_00_source_anomaly_0000_a\n"
        "section_00_0000.wav,section_00_source_test_normal_0000_a,more\n"
        "section_00_0002.wav,section_00_target_test_normal_0000_a.wav\n"
        "section_00_0003.wav,section_00_target_test_anomaly_0000_a\n");
}

static void test_truth_join(void **state)
{
    (void)state;
    const char *truth = asd_test_folder(), *anonymous = asd_test_folder(),
               *labelled = asd_test_folder(), *list = asd_test_folder();
    char list_path[PATH_MAX];
    put_truth(truth);
    put(list, "eval_data_list.csv",
        "fan\nsection_00_0003.wav," TA "\nsection_00_0000.wav," SN "\nsection_00_0001.wav," SA
        "\nsection_00_0002.wav," TN "\n");
    assert_ok(asd_path(list_path, "%s/eval_data_list.csv", list));
    put(anonymous, SCORES,
        "section_00_0002.wav,-1e-3\nsection_00_0000.wav,0.5\nsection_00_0003.wav,1.25\n"
        "section_00_0001.wav,2\n");
    /* the label files lack "test" in one name, as RoboticArm's did */
    put(labelled, SCORES,
        SN ",0.5\nsection_00_source_anomaly_0000_a.wav,2\n" TN ",-1e-3\n" TA ",1.25\n");
    const char *const folders[] = {anonymous, labelled, anonymous};
    const char *const truths[]  = {truth, truth, list_path};
    for (int k = 0; k < 3; ++k) {
        asd_eval e;
        assert_ok(asd_eval_open(folders[k], truths[k], NULL, 0, &e));
        assert_int_equal(e.n, 1);
        static const double  score[]   = {0.5, 2, -1e-3, 1.25};
        static const uint8_t target[]  = {0, 0, 1, 1};
        static const uint8_t anomaly[] = {0, 1, 0, 1};
        for (int i = 0; i < 4; ++i) {
            char name[32];
            snprintf(name, sizeof name, "section_00_%04d.wav", i);
            assert_string_equal(e.set->name[i], name);
            assert_true(e.set->score[i] == score[i]);
            assert_int_equal(e.set->target[i], target[i]);
            assert_int_equal(e.set->anomaly[i], anomaly[i]);
        }
        asd_eval_clear(&e);
    }
    asd_eval e;
    assert_ok(asd_eval_open(labelled, NULL, NULL, 0, &e)); /* labels from the names alone */
    assert_int_equal(e.set->count[1][1], 1);
    asd_eval_clear(&e);
}

static void test_join_errors(void **state)
{
    (void)state;
    static const struct {
        const char *scores, *part;
    } bad[] = {
        {"section_00_0000.wav,1\nsection_00_0001.wav,1\nsection_00_0003.wav,1\n",
         "no score for section_00_0002.wav (1 of 4 clips"},
        {"section_00_0000.wav,1\nsection_00_0001.wav,1\nsection_00_0003.wav,1\n"
         "section_00_0002.wav,1\nsection_00_0004.wav,1\n",
         "scored clip section_00_0004.wav is not in the truth"},
        {"section_00_0000.wav,1\n" SN ",1\nsection_00_0001.wav,1\n",
         "section_00_0000.wav and " SN " are the same clip, scored twice"},
    };
    const char *truth = asd_test_folder();
    put_truth(truth);
    for (size_t k = 0; k < sizeof bad / sizeof *bad; ++k) {
        const char *folder = asd_test_folder();
        asd_eval    e;
        put(folder, SCORES, bad[k].scores);
        assert_fails(asd_eval_open(folder, truth, NULL, 0, &e), ASD_E_DATA, bad[k].part);
    }
    /* names without labels, of training clips, of another section; a domain without normal clips */
    static const struct {
        const char *scores, *part;
    } unlabelled[] = {
        {SN ",1\nsection_00_0001.wav,1\n", "section_00_0001.wav\" does not say its domain"},
        {SN ",1\nsection_00_source_train_normal_0000_a.wav,1\n", "is a training clip's"},
        {SN ",1\nsection_01_source_test_normal_0000_a.wav,1\n",
         "of section 01, its file of section 00"},
        {SN ",1\nnonsense.wav,1\n", "nonsense.wav"},
        {SN ",1\n" SA ",1\n" TA ",2\n", "no normal clip of the target domain"},
        {SN ",1\n" TN ",1\n", "no anomalous clip among 2"},
    };
    for (size_t k = 0; k < sizeof unlabelled / sizeof *unlabelled; ++k) {
        const char *folder = asd_test_folder();
        asd_eval    e;
        put(folder, SCORES, unlabelled[k].scores);
        assert_fails(asd_eval_open(folder, NULL, NULL, 0, &e), ASD_E_DATA, unlabelled[k].part);
    }
    /* machines that only one side has, and choosing among them */
    const char *folder = asd_test_folder();
    asd_eval    e;
    char       *fan[] = {"fan"}, *gearbox[] = {"gearbox"};
    put(folder, "anomaly_score_valve_section_00_test.csv", GOOD);
    assert_fails(asd_eval_open(folder, truth, NULL, 0, &e), ASD_E_DATA,
                 "no scores for machine fan section 00");
    put(folder, SCORES,
        "section_00_0000.wav,1\nsection_00_0001.wav,1\nsection_00_0002.wav,1\n"
        "section_00_0003.wav,1\n");
    assert_fails(asd_eval_open(folder, truth, NULL, 0, &e), ASD_E_DATA, "valve section 00: ");
    assert_fails(asd_eval_open(folder, truth, gearbox, 1, &e), ASD_E_DATA,
                 "no scores of machine gearbox");
    assert_ok(asd_eval_open(folder, truth, fan, 1, &e));
    assert_int_equal(e.n, 1);
    assert_string_equal(e.set->machine, "fan");
    asd_eval_clear(&e);
}

static void test_truth_errors(void **state)
{
    (void)state;
    static const struct {
        const char *file, *text, *part;
    } bad[] = {
        {"ground_truth_data/ground_truth_fan_section_00_test.csv", "section_00_0000.wav,2\n",
         "label \"2\", want 0 or 1"},
        {"ground_truth_domain/ground_truth_fan_section_00_test.csv",
         "section_00_0000.wav,0\nsection_00_0001.wav,0\nsection_00_0002.wav,1\n",
         "no row for section_00_0003.wav"},
        {"ground_truth_domain/ground_truth_fan_section_00_test.csv",
         "section_00_0000.wav,0\nsection_00_0001.wav,0\nsection_00_0002.wav,1\n"
         "section_00_0003.wav,1\nsection_00_0009.wav,1\n",
         "section_00_0009.wav,1: no such clip in"},
        {"ground_truth_domain/ground_truth_fan_section_00_test.csv",
         "section_00_0000.wav,0\nsection_00_0000.wav,0\n", "doubled"},
        {"ground_truth_attributes/ground_truth_fan_section_00_test.csv", "section_00_0000.wav\n",
         "1 column"},
    };
    for (size_t k = 0; k < sizeof bad / sizeof *bad; ++k) {
        const char *folder = asd_test_folder();
        asd_truth   t;
        put_truth(folder);
        put(folder, bad[k].file, bad[k].text);
        assert_fails(asd_truth_read(folder, &t), ASD_E_DATA, bad[k].part);
        assert_true(asd_test_contains(asd_error_text(), bad[k].file));
        asd_truth_clear(&t);
    }
    asd_truth t;
    assert_fails(asd_truth_read(asd_test_folder(), &t), ASD_E_DATA, "no folder ground_truth_data");
    asd_truth_clear(&t);
    static const char *const lists[][2] = {
        {"section_00_0000.wav," SN "\n", "before any line with a machine's name"},
        {"fan\nsection_00_0000.wav," SN "\nsection_00_0000.wav," SA "\n", "doubled"},
        {"fan\n", "machines without clips"},
        {"fan\nsection_00_0000.wav,section_00_0001.wav\n", "does not say"},
        {"fan\nsection_01_0000.wav," SN "\n", "of section 00, its file of section 01"},
    };
    for (size_t k = 0; k < sizeof lists / sizeof *lists; ++k) {
        const char *folder = asd_test_folder();
        char        path[PATH_MAX];
        put(folder, "list.csv", lists[k][0]);
        assert_ok(asd_path(path, "%s/list.csv", folder));
        assert_fails(asd_truth_read(path, &t), ASD_E_DATA, lists[k][1]);
        asd_truth_clear(&t);
    }
}

/* Same scores under anonymous and labelled names, in another order: the same bits everywhere. */
static void test_names_do_not_matter(void **state)
{
    (void)state;
    enum { N = 60 };
    const char *truth = asd_test_folder(), *folder[2] = {asd_test_folder(), asd_test_folder()};
    char        text[5][N * 80];
    size_t      n[5] = {0};
    asd_rng     r;
    asd_rng_init(&r, 8, ASD_RNG_TEST, 0, 0);
    int32_t order[N];
    asd_rng_permutation(&r, N, order);
    for (int i = 0; i < N; ++i) {
        int    k = order[i], t = k & 1, a = k >> 1 & 1;
        double s = asd_rng_normal(&r) + a;
        char   name[32], label[64];
        snprintf(name, sizeof name, "section_00_%04d", k);
        snprintf(label, sizeof label, "section_00_%s_test_%s_%04d_x", t ? "target" : "source",
                 a ? "anomaly" : "normal", i);
        n[0] += (size_t)sprintf(text[0] + n[0], "%s.wav,%d\n", name, a);
        n[1] += (size_t)sprintf(text[1] + n[1], "%s.wav,%d\n", name, t);
        n[2] += (size_t)sprintf(text[2] + n[2], "%s.wav,%s\n", name, label);
        n[3] += (size_t)sprintf(text[3] + n[3], "%s.wav,%.17g\n", name, s);
        char row[128]; /* the other file is in reverse order */
        int  size = snprintf(row, sizeof row, "%s.wav,%.17g\n", label, s);
        memmove(text[4] + size, text[4], n[4]);
        memcpy(text[4], row, (size_t)size);
        n[4] += (size_t)size;
        text[4][n[4]] = 0;
    }
    put(truth, "ground_truth_data/ground_truth_fan_section_00_test.csv", text[0]);
    put(truth, "ground_truth_domain/ground_truth_fan_section_00_test.csv", text[1]);
    put(truth, "ground_truth_attributes/ground_truth_fan_section_00_test.csv", text[2]);
    asd_omega         o[2];
    asd_eval          e[2];
    asd_omega_options options = ASD_OMEGA_DEFAULTS;
    options.replicates        = 300;
    for (int k = 0; k < 2; ++k) {
        put(folder[k], SCORES, text[3 + k]);
        assert_ok(asd_eval_open(folder[k], truth, NULL, 0, e + k));
        assert_ok(asd_omega_compute(e + k, &options, o + k));
    }
    assert_true(o[0].omega == o[1].omega);
    assert_memory_equal(&o[0].omega_ci, &o[1].omega_ci, sizeof o[0].omega_ci);
    assert_memory_equal(o[0].row->ci, o[1].row->ci, sizeof o[0].row->ci);
    for (int k = 0; k < 2; ++k) {
        asd_omega_clear(o + k);
        asd_eval_clear(e + k);
    }
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("scores/read/good", test_read),
    ASD_CASE("scores/read/errors", test_read_errors),
    ASD_CASE("scores/read/file-names", test_file_names),
    ASD_CASE("scores/read/mutations", test_mutations),
    ASD_CASE("scores/write/round-trip", test_write),
    ASD_CASE("scores/real-text/python-repr", test_real_text),
    ASD_CASE("truth/join/anonymous-labelled-list", test_truth_join),
    ASD_CASE("truth/join/errors", test_join_errors),
    ASD_CASE("truth/read/errors", test_truth_errors),
    ASD_CASE("truth/join/names-do-not-matter", test_names_do_not_matter),
};
ASD_TEST_MAIN(cases)
