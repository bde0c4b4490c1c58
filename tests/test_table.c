/* test_table.c - published tables, folders of systems, the official evaluator's result file. */
#include "harness.h"

#include "base/file.h"
#include "score/official.h"
#include "score/systems.h"
#include "score/table.h"

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

static const char SCORES[] = "anomaly_score_fan_section_00_test.csv";
static const char GOOD[]   = "section_00_source_test_normal_0000_a.wav,0.5\n";

static void test_systems(void **state)
{
    (void)state;
    const char *run = asd_test_folder();
    asd_systems s;
    char        folder[PATH_MAX];
    put(run, "run.json", "{}");
    assert_fails(asd_systems_find(run, &s), ASD_E_DATA, "nor in a sub-folder");
    asd_systems_clear(&s);
    put(run, "scores/mse/anomaly_score_fan_section_00_test.csv", GOOD);
    assert_ok(asd_systems_find_one(run, folder));
    put(run, "scores/knn/anomaly_score_fan_section_00_test.csv", GOOD);
    put(run, "scores/notes/readme.txt", "x");
    assert_ok(asd_systems_find(run, &s));
    assert_int_equal(s.n, 2);
    assert_string_equal(s.name[0], "knn");
    assert_string_equal(s.name[1], "mse");
    asd_systems_clear(&s);
    assert_fails(asd_systems_find_one(run, folder), ASD_E_DATA,
                 "2 systems, want one of them: knn, mse");
    put(run, SCORES, GOOD);
    assert_ok(asd_systems_find_one(run, folder));
    assert_string_equal(folder, run);
}

/* --- tables --- */

static void test_table(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double      omega; /* NaN: refused */
        const char *part;
    } tables[] = {
        {"machine,auc_source,auc_target,pauc\nfan,50,50,50\n", 0.5, NULL},
        {"# typed off page 3\r\nmachine,auc,pauc\r\nfan,0.5,1\r\n#\r\ngearbox,1,1\r\n", 0.8, NULL},
        {"machine,auc,pauc\nfan,0.5,100\n", 2 / (200 + 1.0), NULL}, /* one value above 1: percent */
        {"machine,auc\nfan,50\n", NAN, "want the header"},
        {"machine,pauc,auc\nfan,50,50\n", NAN, "want the header"},
        {"fan,50,50\n", NAN, "want the header"},
        {"machine,auc,pauc\n", NAN, "no machines"},
        {"machine,auc,pauc\nfan,50\n", NAN, "csv:2: fan,50: 2 columns"},
        {"machine,auc,pauc\nfan,50,101\n", NAN, "pauc 101"},
        {"machine,auc,pauc\nfan,-0.1,0.5\n", NAN, "auc -0.1"},
        {"machine,auc,pauc\nfan,50,50\nfan,50,50\n", NAN, "machine doubled"},
        {"machine,auc,pauc\nfan,50,fifty\n", NAN, "csv:2: fan,50,fifty: pauc \"fifty\""},
    };
    for (size_t k = 0; k < sizeof tables / sizeof *tables; ++k) {
        const char *folder = asd_test_folder();
        char        path[PATH_MAX];
        asd_table   t;
        put(folder, "t.csv", tables[k].text);
        assert_ok(asd_path(path, "%s/t.csv", folder));
        if (tables[k].part) {
            assert_fails(asd_table_read(path, &t), ASD_E_DATA, tables[k].part);
        } else {
            assert_ok(asd_table_read(path, &t));
            assert_near(t.omega, tables[k].omega, 1e-15);
        }
    }
}

static void test_published_tables(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double      omega; /* percent, recomputed from the printed cells */
    } want[] = {
        {"KIST_maha", 57.99},       {"KIST_ENS", 68.97},          {"JK_S1", 62.95},
        {"TSZ_baseline", 58.17},    {"TSZ_proto", 53.93},         {"AAU_DEV_online", 66.58},
        {"AAU_DEV_offline", 68.60}, {"AAU_DEVADD_online", 64.49}, {"AAU_DEVADD_offline", 65.11},
        {"AAU_maha", 57.09},        {"AAU_mse", 56.93},           {"ZENG_S1", 64.67},
        {"ZENG_S2", 62.34},         {"ZENG_S3", 65.63},           {"ZENG_S4", 62.96},
    };
    if (!asd_test_shared())
        asd_test_skip_shared();
    for (size_t k = 0; k < sizeof want / sizeof *want; ++k) {
        char      path[PATH_MAX];
        asd_table t;
        assert_ok(asd_path(path, "%s/data/tables/%s.csv", asd_test_shared(), want[k].name));
        assert_ok(asd_table_read(path, &t));
        assert_true(round(1e4 * t.omega) == round(100 * want[k].omega));
        assert_int_equal(t.columns, strncmp(want[k].name, "AAU", 3) ? 3 : 2);
    }
}

/* --- the official result file --- */

/* Two machines, one with two sections; every number worked out by hand. */
static void test_official_csv(void **state)
{
    (void)state;
    const char *folder = asd_test_folder();
    char        path[PATH_MAX], *text;
    size_t      size;
    asd_eval    e;
    for (int k = 0; k < 3; ++k) { /* fan 00, fan 01 (a source anomaly sinks), valve 00 */
        char file[64], scores[512], decisions[512];
        int  section = k == 1;
        snprintf(scores, sizeof scores,
                 "section_%02d_source_test_normal_0000_a.wav,1\n"
                 "section_%02d_source_test_anomaly_0000_a.wav,%s\n"
                 "section_%02d_target_test_normal_0000_a.wav,2\n"
                 "section_%02d_target_test_anomaly_0000_a.wav,4\n",
                 section, section, k == 1 ? "1.5" : "3", section, section);
        snprintf(decisions, sizeof decisions,
                 "section_%02d_source_test_normal_0000_a.wav,0\n"
                 "section_%02d_source_test_anomaly_0000_a.wav,%d\n"
                 "section_%02d_target_test_normal_0000_a.wav,1\n"
                 "section_%02d_target_test_anomaly_0000_a.wav,1\n",
                 section, section, k != 1, section, section);
        snprintf(file, sizeof file, "anomaly_score_%s_section_%02d_test.csv",
                 k == 2 ? "valve" : "fan", section);
        put(folder, file, scores);
        assert_ok(asd_eval_open(folder, NULL, NULL, 0, &e));
        assert_ok(asd_path(path, "%s/out.csv", folder));
        assert_fails(asd_official_csv_write(&e, path), ASD_E_DATA, "needs decisions");
        assert_false(asd_is_file(path));
        asd_eval_clear(&e);
        snprintf(file, sizeof file, "decision_result_%s_section_%02d_test.csv",
                 k == 2 ? "valve" : "fan", section);
        put(folder, file, decisions);
    }
    /* fan 01: anomalies 1.5 and 4, normals 1 (source) and 2 (target): AUC source 1, target 0.5.
     * ROC: (0, 0) -> 4: (0, 0.5) -> 2: (0.5, 0.5): area up to 0.1 is 0.05, so
     * pAUC = (1 + 0.045 / 0.095) / 2 = 14 / 19 */
#define HEADER                                                                                     \
    "section,AUC (all),AUC (source),AUC (target),pAUC,precision (source),precision (target),"      \
    "recall (source),recall (target),F1 score (source),F1 score (target)\n"
    static const char want[] = "fan\n" HEADER "00,1.0,1.0,1.0,1.0,1.0,0.5,1.0,1.0,1.0,"
                               "0.6666666666666666\n01,0.75,1.0,0.5,0.73684210526315";
    assert_ok(asd_eval_open(folder, NULL, NULL, 0, &e));
    assert_ok(asd_official_csv_write(&e, path));
    assert_ok(asd_read_file(path, 1 << 20, &text, &size));
    double value[5];
    if (strncmp(text, want, sizeof want - 1))
        fail_msg("%s", text);
    /* means of fan: AUC (1, 1, 1, 0.5), pAUC (1, 14/19 twice) */
    assert_non_null(strstr(text, ",0.0,0.5,0.0,1.0,0.0,0.6666666666666666\n,,AUC,pAUC,precision,"
                                 "recall,F1 score\narithmetic mean,,"));
    const char *mean = strstr(text, "\narithmetic mean,");
    assert_non_null(mean);
    assert_int_equal(sscanf(mean, "\narithmetic mean,,%lf,%lf,%lf,%lf,%lf", value, value + 1,
                            value + 2, value + 3, value + 4),
                     5);
    assert_near(value[0], 3.5 / 4, 1e-15);
    assert_near(value[1], (1 + 14.0 / 19) / 2, 1e-15);
    assert_near(value[2], 2.0 / 4, 1e-15);
    assert_near(value[3], 3.0 / 4, 1e-15);
    assert_near(value[4], (1 + 0 + 4.0 / 3) / 4, 1e-15);
    mean = strstr(text, "\nharmonic mean,");
    assert_int_equal(sscanf(mean, "\nharmonic mean,,%lf,%lf", value, value + 1), 2);
    assert_near(value[0], 4 / (3 + 2.0), 1e-15);
    assert_near(value[1], 2 / (1 + 19.0 / 14), 1e-15);
    mean = strstr(text, "\nsource harmonic mean,");
    assert_int_equal(
        sscanf(mean, "\nsource harmonic mean,,%lf,%lf,%lf", value, value + 1, value + 2), 3);
    assert_near(value[0], 1, 1e-15);
    assert_near(value[2], 2 / (1 + 0x1p52), 1e-25); /* precision 0 counts as 2^-52 */
    mean = strstr(text, "\ntarget harmonic mean,");
    assert_int_equal(sscanf(mean, "\ntarget harmonic mean,,%lf", value), 1);
    assert_near(value[0], 2 / (1 + 2.0), 1e-15);
    assert_non_null(strstr(text, "\n\nvalve\n" HEADER "00,1.0,1.0,1.0,1.0,"));
    assert_non_null(strstr(text,
                           "\n\n,,AUC,pAUC,precision,recall,F1 score\n\"arithmetic mean over all "
                           "machine types, sections, and domains\",,"));
    mean = strstr(text, "\n\nofficial score,,");
    assert_non_null(mean);
    assert_int_equal(
        sscanf(mean, "\n\nofficial score,,%lf\nofficial score ci95,,%lf", value, value + 1), 2);
    assert_near(value[0], 9 / (7 + 2 + 19.0 / 14), 1e-14);
    assert_true(!strcmp(text + size - 2, "\n\n"));
    free(text);
    asd_eval_clear(&e);
}

/* ci95 by the definition: leave each clip out of the pooled set, values by double loops. */
static void test_official_ci95(void **state)
{
    (void)state;
    static double  score[]   = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8};
    static uint8_t anomaly[] = {0, 0, 1, 0, 1, 1, 0, 0, 1, 1, 0, 1}, target[12] = {0};
    asd_eval_set   set[2] = {
          {.machine = "a", .n = 5, .score = score, .anomaly = anomaly, .target = target},
          {.machine = "b", .n = 7, .score = score + 5, .anomaly = anomaly + 5, .target = target}};
    asd_eval e = {set, 2};
    double   got, theta[12], mean = 0, sum = 0, pauc[12], pmean = 0, psum = 0;
    for (int out = 0; out < 12; ++out) {
        double wins = 0, n = 0, p = 0, top = 0;
        for (int i = 0; i < 12; ++i)
            if (i != out)
                *(anomaly[i] ? &p : &n) += 1;
        for (int i = 0; i < 12; ++i)
            for (int k = 0; k < 12; ++k)
                if (i != out && k != out && !anomaly[i] && anomaly[k])
                    wins += score[i] < score[k] ? 1 : score[i] == score[k] ? 0.5 : 0;
        theta[out] = wins / (n * p);
        mean += theta[out] / 12;
        /* 5 or 6 normals: the first step to the right is at FPR 1/6 or more, beyond 0.1. Height at
         * 0 and slope of the ROC's piece that leaves the axis: its group holds the highest normal.
         */
        double high = -1, in = 0, also = 0;
        for (int i = 0; i < 12; ++i)
            if (i != out && !anomaly[i] && score[i] > high)
                high = score[i];
        for (int i = 0; i < 12; ++i) {
            if (i == out)
                continue;
            top += anomaly[i] && score[i] > high;
            in += anomaly[i] && score[i] == high;
            also += !anomaly[i] && score[i] == high;
        }
        double slope = (in / p) / (also / n);
        double area  = 0.1 * top / p + 0.5 * slope * 0.01;
        pauc[out]    = 0.5 * (1 + (area - 0.005) / 0.095);
        pmean += pauc[out] / 12;
    }
    for (int i = 0; i < 12; ++i) {
        sum += (theta[i] - mean) * (theta[i] - mean);
        psum += (pauc[i] - pmean) * (pauc[i] - pmean);
    }
    assert_ok(asd_official_ci95(&e, &got));
    /* t(0.975, 11) = 2.2009851600916 */
    assert_near(got, 0.5 * 2.2009851600916 * (sqrt(sum / 132) + sqrt(psum / 132)), 1e-12);
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("scores/systems/find", test_systems),
    ASD_CASE("table/read", test_table),
    ASD_CASE("table/published", test_published_tables),
    ASD_CASE("official/csv/by-hand", test_official_csv),
    ASD_CASE("official/ci95/by-definition", test_official_ci95),
};
ASD_TEST_MAIN(cases)
