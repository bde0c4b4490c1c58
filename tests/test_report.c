/* test_report.c - the whole report: what stands in it, that it is safe, that it is the same twice.
 */
#include "harness.h"
#include "ref/markup.h"
#include "ref/score_folders.h"

#include "base/file.h"
#include "base/log.h"
#include "score/report.h"
#include "tools/eval_cmds.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- small systems --- */

static asd_report_options options_for(char *const *runs, int64_t n)
{
    asd_report_options o = {.run = runs, .n_runs = n, .omega = ASD_OMEGA_DEFAULTS};
    o.omega.replicates   = 200;
    return o;
}

/* The page of these runs; caller frees. */
static char *report_of(const asd_report_options *o)
{
    char   path[PATH_MAX], *text;
    size_t size;
    assert_ok(asd_path(path, "%s/new/report.html", asd_test_folder()));
    assert_ok(asd_report_write(o, path));
    assert_ok(asd_read_file(path, (size_t)64 << 20, &text, &size));
    assert_int_equal(strlen(text), size);
    return text;
}

static asd_markup_facts check_page(const char *text)
{
    asd_markup_facts facts;
    asd_markup_check(text, &facts);
    if (*facts.wrong)
        fail_msg("not well-formed: %s", facts.wrong);
    assert_int_equal(facts.n_scripts, 0);
    assert_null(strstr(text, "://")); /* these pages name no address at all */
    return facts;
}

static void assert_has(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("the page lacks \"%s\"", part);
}

static void assert_lacks(const char *text, const char *part)
{
    if (strstr(text, part))
        fail_msg("the page has \"%s\"", part);
}

static int count(const char *text, const char *part)
{
    int n = 0;
    for (const char *s = text; (s = strstr(s, part)); s += strlen(part))
        ++n;
    return n;
}

/* --- what stands in it --- */

static void test_page_values(void **state)
{
    (void)state;
    char                    *run       = strdup(ref_make_run()), folder[PATH_MAX], want[256];
    asd_report_options       o         = options_for(&run, 1);
    char                    *page      = report_of(&o);
    static const char *const systems[] = {"mahalanobis", "mse"};
    asd_omega                omega[2];
    asd_eval                 eval[2];

    asd_markup_facts facts = check_page(page);
    /* per machine three ROC panels and a histogram per system */
    assert_int_equal(count(page, "class=\"panel\""), 3 * (3 + 2));
    assert_true(facts.n_svg > 15);
    for (int i = 0; i < 3; ++i) {
        snprintf(want, sizeof want, "<h3 id=\"m%d\">%s ", i, ref_machines[i]);
        assert_has(page, want);
    }
    for (int k = 0; k < 2; ++k) {
        assert_ok(asd_path(folder, "%s/scores/%s", run, systems[k]));
        assert_ok(asd_eval_open(folder, NULL, NULL, 0, &eval[k]));
        assert_ok(asd_omega_compute(&eval[k], &o.omega, &omega[k]));
        snprintf(want, sizeof want, "<b>%.2f</b><span class=\"muted small\"> [%.2f, %.2f]",
                 100 * omega[k].omega, 100 * omega[k].omega_ci.lo, 100 * omega[k].omega_ci.hi);
        assert_has(page, want);
        for (int64_t i = 0; i < omega[k].n; ++i)
            for (int c = 0; c < ASD_NCELLS; ++c) {
                const asd_omega_row *row = &omega[k].row[i];
                snprintf(want, sizeof want, "%s\"><b>%.2f</b><span>%.2f\xe2\x80\x93%.2f</span>",
                         i == omega[k].worst_row && c == omega[k].worst_cell ? " worst" : "",
                         100 * row->cell[c], 100 * row->ci[c].lo, 100 * row->ci[c].hi);
                assert_has(page, want);
                snprintf(want, sizeof want, "%s: <span class=\"nowrap\">%s <b>%.2f</b>", systems[k],
                         c == ASD_CELL_PAUC ? "pAUC" : "AUC", 100 * row->cell[c]);
                assert_has(page, want);
            }
        snprintf(want, sizeof want, "<b>%s</b>: %s, ", systems[k],
                 omega[k].row[omega[k].worst_row].machine);
        assert_has(page, want);
    }
    assert_int_equal(count(page, " worst\">"), 2);
    asd_compare compare;
    assert_ok(asd_compare_compute(&eval[0], &eval[1], &o.omega, &compare));
    snprintf(want, sizeof want, "<b>%+.2f</b><span class=\"muted small\"> [%+.2f, %+.2f]",
             100 * compare.delta, 100 * compare.delta_ci.lo, 100 * compare.delta_ci.hi);
    assert_has(page, want);
    assert_has(page, "No run.json here");
    assert_has(page, "No log/metrics.jsonl here");
    asd_compare_clear(&compare);
    for (int k = 0; k < 2; ++k) {
        asd_omega_clear(&omega[k]);
        asd_eval_clear(&eval[k]);
    }
    free(page);
    free(run);
}

/* The same input gives the same bytes, with one thread or two; another seed gives others. */
static void test_page_same_bytes(void **state)
{
    (void)state;
    char              *run = strdup(ref_make_run());
    asd_report_options o   = options_for(&run, 1);
    char              *a = report_of(&o), *b = report_of(&o);
    assert_string_equal(a, b);
    free(b);
    o.omega.seed = 1;
    b            = report_of(&o);
    assert_string_not_equal(a, b);
    free(a);
    free(b);
    free(run);
}

static void test_page_options(void **state)
{
    (void)state;
    char              *run = strdup(ref_make_run());
    asd_report_options o   = options_for(&run, 1);
    o.omega.replicates     = 0; /* no intervals anywhere */
    o.title                = "Night shift <2>";
    char *page             = report_of(&o);
    check_page(page);
    assert_has(page, "<title>Night shift &lt;2&gt;</title>");
    assert_has(page, "without intervals");
    assert_lacks(page, ">nan");
    assert_lacks(page, "\"nan");
    assert_lacks(page, " nan");
    assert_lacks(page, "whisker s0\" x1");
    free(page);

    o           = options_for(&run, 1);
    o.omega.auc = ASD_AUC_SAME_DOMAIN, o.omega.cells = ASD_CELLS_14;
    page = report_of(&o);
    check_page(page);
    assert_has(page, "same-domain AUC, two cells a machine");
    free(page);
    free(run);
}

static void test_page_sections_and_decisions(void **state)
{
    (void)state;
    char *run = strdup(asd_test_folder()), path[PATH_MAX];
    for (int section = 0; section < 3; ++section)
        ref_write_scores(run, "valve", section, 1, 3, -1);
    char  *text;
    size_t size;
    assert_ok(asd_path(path, "%s/anomaly_score_valve_section_00_test.csv", run));
    assert_ok(asd_read_file(path, 1 << 20, &text, &size));
    /* decisions by a threshold of 1 */
    char  *decisions = NULL;
    size_t n         = 0;
    FILE  *out       = open_memstream(&decisions, &n);
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        char *comma = strchr(line, ',');
        fprintf(out, "%.*s,%d\n", (int)(comma - line), line, strtod(comma + 1, NULL) > 1);
    }
    fclose(out);
    assert_ok(asd_path(path, "%s/decision_result_valve_section_00_test.csv", run));
    assert_ok(asd_write_file(path, decisions, n));
    asd_report_options o    = options_for(&run, 1);
    char              *page = report_of(&o);
    check_page(page);
    assert_has(page, "valve section 02");
    assert_has(page, ">valve 01</a>");
    assert_int_equal(count(page, "threshold near"), 1);
    assert_int_equal(count(page, "class=\"threshold\" x1"), 1 + 2); /* key, two strips */
    free(decisions);
    free(text);
    free(page);
    free(run);
}

static void test_page_training(void **state)
{
    (void)state;
    char *run = strdup(ref_make_run()), path[PATH_MAX];
    assert_ok(asd_path(path, "%s/log", run));
    assert_ok(asd_make_folders(path));
    static const char metrics[] = "{\"step\": 1, \"loss\": 2, \"machine\": \"fan\"}\n"
                                  "{\"step\": 2, \"loss\": 1.5, \"machine\": \"fan\"}\n"
                                  "{\"step\": 2, \"val_loss\": 1.75, \"machine\": \"fan\"}\n"
                                  "{\"step\": 1, \"loss\": 3, \"machine\": \"<b>\"}\n";
    static const char facts[]   = "{\"state\": \"done\", \"config\": {\"train\": {\"lr\": 0.001, "
                                  "\"list\": [0.9, \"a\", null, true]}, \"many\": [{\"x\": -0.1}, "
                                  "[1, [2]], {}]}, \"</td><script>\": \"<script>alert(1)</script>\"}";
    assert_ok(asd_path(path, "%s/log/metrics.jsonl", run));
    assert_ok(asd_write_file(path, metrics, sizeof metrics - 1));
    assert_ok(asd_path(path, "%s/run.json", run));
    assert_ok(asd_write_file(path, facts, sizeof facts - 1));
    asd_report_options o    = options_for(&run, 1);
    char              *page = report_of(&o);
    check_page(page);
    assert_has(page, "<h4>fan</h4>");
    assert_has(page, "<h4>&lt;b&gt;</h4>");
    assert_has(page, "2 steps; last loss 1.5, validation 1.75 (dashed)");
    assert_has(page, "<th scope=\"row\">config.train.lr</th><td class=\"left\">0.001</td>");
    assert_has(page, "config.train.list</th><td class=\"left\">[0.9, a, null, true]</td>");
    assert_has(page, "config.many[0].x</th><td class=\"left\">-0.1</td>");
    assert_has(page, "config.many[1][1]</th><td class=\"left\">[2]</td>");
    assert_has(page, "&lt;/td&gt;&lt;script&gt;</th>");
    assert_lacks(page, "<script");
    free(page);
    free(run);
}

/* --- hostile names --- */

static void test_page_hostile(void **state)
{
    (void)state;
    char *run = strdup(asd_test_folder());
    ref_write_hostile(run);
    asd_report_options o = options_for(&run, 1);
    asd_log_setup("test", ASD_LOG_WARN, 1); /* rank 1 is silent: systems differ in machines */
    char *page = report_of(&o);
    asd_log_setup("test", ASD_LOG_NOTE, 0);
    check_page(page);
    assert_has(page, "&lt;script&gt;alert(1)&lt;\\script&gt;");
    assert_has(page, "&quot;&gt;&lt;svg onload=x&gt;");
    assert_has(page, "&amp;lt;b&amp;gt;");
    assert_has(page, "Tr\xc3\xa4ger_<wbr/>fan<wbr/>Motor-<wbr/>\xe6\xa9\x9f</a>");
    assert_has(page, "{}%s%n\\");
    assert_lacks(page, "\xe2\x80\xae");
    assert_has(page, "Content-Security-Policy");
    free(page);
    free(run);
}

/* --- which folders are systems --- */

static void test_systems_found(void **state)
{
    (void)state;
    char *top = strdup(asd_test_folder()), path[PATH_MAX], other[PATH_MAX];
    assert_ok(asd_path(path, "%s/a/x", top));
    assert_ok(asd_path(other, "%s/b/x", top));
    ref_write_system(path, 1, 1);
    ref_write_system(other, 1.2, 2);

    char *parent[1] = {malloc(PATH_MAX)};
    assert_ok(asd_path(parent[0], "%s/a/", top)); /* a folder of systems */
    asd_report_options o    = options_for(parent, 1);
    char              *page = report_of(&o);
    assert_has(page, "Anomalous sound detection: x</h1>");
    assert_lacks(page, "id=\"differences\"");
    free(page);

    char *both[2] = {path, other}; /* two systems of one name: paths tell them apart */
    o             = options_for(both, 2);
    page          = report_of(&o);
    check_page(page);
    assert_has(page, "b/x");
    assert_has(page, "id=\"differences\"");
    free(page);

    char *twice[2] = {path, path};
    char  file[PATH_MAX];
    assert_ok(asd_path(file, "%s/r.html", top));
    o = options_for(twice, 2);
    assert_fails(asd_report_write(&o, file), ASD_E_USAGE, "given twice");
    char *empty[1] = {strdup(asd_test_folder())};
    o              = options_for(empty, 1);
    assert_fails(asd_report_write(&o, file), ASD_E_DATA, "no anomaly_score_");
    char *missing[1] = {"/nonexistent/run"};
    o                = options_for(missing, 1);
    assert_fails(asd_report_write(&o, file), ASD_E_DATA, "/nonexistent/run: no such folder");
    assert_false(asd_is_file(file));
    free(empty[0]);
    free(parent[0]);
    free(top);
}

/* Systems that scored other clips stand side by side without a difference; the page says why. */
static void test_systems_not_comparable(void **state)
{
    (void)state;
    char *run = strdup(ref_make_run()), path[PATH_MAX];
    assert_ok(asd_path(path, "%s/scores/partial", run));
    ref_write_scores(path, "fan", 0, 1, 5, 4);
    asd_report_options o = options_for(&run, 1);
    asd_log_setup("test", ASD_LOG_WARN, 1);
    char *page = report_of(&o);
    asd_log_setup("test", ASD_LOG_NOTE, 0);
    check_page(page);
    assert_int_equal(count(page, "Not compared: "), 2);
    /* dashes: cells of ToyCar and bearing; decisions, which no system has, in the table of values
     */
    assert_int_equal(count(page, "<td>\xe2\x80\x93</td>"), 2 * ASD_NCELLS + 7 * 6);
    free(page);
    free(run);
}

/* A damaged score file: the error names it, and the old report stays. */
static void test_page_atomic(void **state)
{
    (void)state;
    char  *run = strdup(ref_make_run()), path[PATH_MAX], file[PATH_MAX], *text;
    size_t size;
    assert_ok(asd_path(file, "%s/eval/report.html", run));
    assert_ok(asd_path(path, "%s/eval", run));
    assert_ok(asd_make_folders(path));
    assert_ok(asd_write_file(file, "old", 3));
    assert_ok(asd_path(path, "%s/scores/mse/anomaly_score_fan_section_00_test.csv", run));
    assert_ok(asd_write_file(path, "section_00_source_test_normal_0000.wav,nan\n", 43));
    asd_report_options o = options_for(&run, 1);
    assert_fails(asd_report_write(&o, file), ASD_E_DATA, "anomaly_score_fan_section_00_test.csv");
    assert_ok(asd_read_file(file, 1000, &text, &size));
    assert_string_equal(text, "old");
    free(text);
    free(run);
}

/* --- real scores --- */

static void test_page_real(void **state)
{
    (void)state;
    const char *shared = asd_test_shared();
    if (!shared)
        asd_test_skip_shared();
    char run[PATH_MAX];
    assert_ok(asd_path(run, "%s/data/dcase2022-dev-baselines", shared));
    char              *runs[1] = {run};
    asd_report_options o       = options_for(runs, 1);
    o.omega.replicates         = 50;
    char            *page      = report_of(&o);
    asd_markup_facts facts;
    asd_markup_check(page, &facts);
    if (*facts.wrong)
        fail_msg("not well-formed: %s", facts.wrong);
    assert_has(page, "<b>52.91</b>"); /* the official Omega of both, in percent */
    assert_has(page, "<b>55.71</b>");
    assert_has(page, "<b>+2.80</b>");
    assert_has(page, "2 systems on 21 machine sections, 4200 test clips");
    assert_int_equal(count(page, "<article "), 21);
    assert_int_equal(count(page, "class=\"panel\""), 21 * 5);
    assert_true(strlen(page) < 1000000);
    free(page);
}

/* --- the command --- */

static int run_command(char *const *words, char **out)
{
    char       file[PATH_MAX];
    char      *argv[16];
    int        argc = 0;
    size_t     size;
    asd_status st;
    for (; words[argc]; ++argc)
        argv[argc] = words[argc];
    argv[argc] = NULL;
    assert_ok(asd_path(file, "%s/stdout", asd_test_folder()));
    fflush(stdout);
    int keep = dup(STDOUT_FILENO);
    assert_non_null(freopen(file, "w", stdout));
    int code = eval_report_main(argc, argv);
    fflush(stdout);
    assert_true(dup2(keep, STDOUT_FILENO) >= 0);
    close(keep);
    st = asd_read_file(file, 1 << 20, out, &size);
    assert_ok(st);
    return code;
}

static void test_command(void **state)
{
    (void)state;
    char *run = strdup(ref_make_run()), path[PATH_MAX], want[2 * PATH_MAX + 2], *out;
    assert_ok(asd_path(path, "%s/eval/report.html", run));
    snprintf(want, sizeof want, "%s\n", path);
    assert_int_equal(run_command((char *[]){"report", run, "--bootstrap", "20", "-q", NULL}, &out),
                     0);
    assert_string_equal(out, want);
    assert_true(asd_is_file(path));
    free(out);

    assert_ok(asd_path(path, "%s/two/a.html", run));
    assert_int_equal(
        run_command((char *[]){"report", "-o", path, "--bootstrap=0", "--auc", "same-domain",
                               "--cells", "14", "--title", "x", "-q", run, NULL},
                    &out),
        0);
    assert_true(asd_is_file(path));
    free(out);

    char *figures = malloc(PATH_MAX);
    assert_ok(asd_path(figures, "%s/paper/figures", run));
    assert_int_equal(run_command((char *[]){"report", "-o", path, "--bootstrap=0", "--figures",
                                            figures, "-q", run, NULL},
                                 &out),
                     0);
    snprintf(want, sizeof want, "%s\n%s\n", path, figures);
    assert_string_equal(out, want);
    assert_true(asd_is_folder(figures));
    free(figures);
    free(out);

    /* one machine only */
    assert_int_equal(run_command((char *[]){"report", "-o", path, "--bootstrap=0", "--machine",
                                            "fan", "-q", run, NULL},
                                 &out),
                     0);
    free(out);
    char  *page;
    size_t size;
    assert_ok(asd_read_file(path, 1 << 24, &page, &size));
    check_page(page);
    assert_int_equal(count(page, "<article "), 1);
    assert_lacks(page, "bearing");
    free(page);

    static const struct {
        char *words[6];
        int   code;
    } bad[] = {
        {{"report", NULL}, 2},
        {{"report", "a", "b", NULL}, 2},
        {{"report", "a", "--level", "1", NULL}, 2},
        {{"report", "a", "--bootstrap", "-1", NULL}, 2},
        {{"report", "a", "--aux", "official", NULL}, 2},
        {{"report", "/nonexistent/run", NULL}, 3},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; ++i) {
        assert_int_equal(run_command(bad[i].words, &out), bad[i].code);
        assert_string_equal(out, "");
        free(out);
    }
    free(run);
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("report/page/values-are-omegas", test_page_values),
    ASD_CASE("report/page/same-bytes", test_page_same_bytes),
    ASD_CASE("report/page/options", test_page_options),
    ASD_CASE("report/page/sections-and-decisions", test_page_sections_and_decisions),
    ASD_CASE("report/page/training-and-provenance", test_page_training),
    ASD_CASE("report/page/hostile-names", test_page_hostile),
    ASD_CASE("report/page/atomic", test_page_atomic),
    ASD_CASE("report/page/real-scores", test_page_real),
    ASD_CASE("report/systems/found", test_systems_found),
    ASD_CASE("report/systems/not-comparable", test_systems_not_comparable),
    ASD_CASE("report/command/exit-codes", test_command),
};
ASD_TEST_MAIN(cases)
