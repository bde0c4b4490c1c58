/* test_report_sheets.c - asd-eval report --figures: which files there are, and that they are valid.
 */
#include "harness.h"
#include "ref/markup.h"
#include "ref/score_folders.h"

#include "base/file.h"
#include "base/log.h"
#include "score/report.h"

#include <stdlib.h>
#include <string.h>

static asd_report_options options_for(char *const *run, const char *figures)
{
    asd_report_options o = {
        .run = run, .n_runs = 1, .figures = figures, .omega = ASD_OMEGA_DEFAULTS};
    o.omega.replicates = 200;
    return o;
}

static void write_figures(char *run, const char *figures)
{
    char               page[PATH_MAX];
    asd_report_options o = options_for(&run, figures);
    assert_ok(asd_path(page, "%s/page.html", run));
    assert_ok(asd_report_write(&o, page));
    assert_true(asd_is_file(page));
}

/* A figure of the folder, zero-terminated; caller frees. */
static char *figure(const char *folder, const char *name, size_t *size)
{
    char path[PATH_MAX], *text;
    assert_ok(asd_path(path, "%s/%s", folder, name));
    assert_ok(asd_read_file(path, (size_t)64 << 20, &text, size));
    return text;
}

/* Every figure there is drawn in both formats and valid; returns how many. */
static int64_t check_figures(const char *folder)
{
    asd_names names;
    assert_ok(asd_list_folder(folder, &names));
    int64_t n = names.n;
    for (int64_t i = 0; i < n; ++i) {
        asd_markup_facts facts;
        size_t           size;
        char            *data = figure(folder, names.name[i], &size);
        const char      *end  = strrchr(names.name[i], '.');
        for (const char *s = names.name[i]; *s; ++s)
            assert_true(*s > ' ' && *s < 0x7f && !strchr("<>&\"'\\/%{}", *s));
        if (!strcmp(end, ".pdf")) {
            assert_memory_equal(data, "%PDF-1.", 7);
            assert_non_null(memmem(data, size, "/Count 1", 8));
            assert_non_null(memmem(data, size, "/FontFile", 9));
            assert_memory_equal(data + size - 6, "%%EOF\n", 6);
            assert_true(i + 1 < n && !strncmp(names.name[i + 1], names.name[i],
                                              (size_t)(end + 1 - names.name[i])));
        } else {
            assert_string_equal(end, ".svg");
            asd_markup_check_file(data, &facts);
            if (*facts.wrong)
                fail_msg("%s: %s", names.name[i], facts.wrong);
            assert_int_equal(facts.n_svg, 1);
            assert_int_equal(facts.n_scripts, 0);
        }
        free(data);
    }
    asd_names_free(&names);
    return n;
}

static void test_figures_all(void **state)
{
    (void)state;
    static const char *const want[]    = {"cells-mahalanobis", "cells-mse",      "differences",
                                          "loss-a_b_",         "loss-fan",       "omega",
                                          "roc-ToyCar",        "roc-bearing",    "roc-fan",
                                          "scores-ToyCar",     "scores-bearing", "scores-fan"};
    static const char        metrics[] = "{\"step\": 1, \"loss\": 2, \"machine\": \"fan\"}\n"
                                         "{\"step\": 2, \"loss\": 1.5, \"machine\": \"fan\"}\n"
                                         "{\"step\": 2, \"val_loss\": 1.75, \"machine\": \"fan\"}\n"
                                         "{\"step\": 1, \"loss\": 3, \"machine\": \"a b>\"}\n";
    char                    *run       = strdup(ref_make_run()), path[PATH_MAX], folder[PATH_MAX];
    assert_ok(asd_path(path, "%s/log", run));
    assert_ok(asd_make_folders(path));
    assert_ok(asd_path(path, "%s/log/metrics.jsonl", run));
    assert_ok(asd_write_file(path, metrics, sizeof metrics - 1));
    assert_ok(asd_path(folder, "%s/new/figures", asd_test_folder()));
    write_figures(run, folder);
    assert_int_equal(check_figures(folder), 2 * sizeof want / sizeof *want);
    for (size_t i = 0; i < sizeof want / sizeof *want; ++i) {
        assert_ok(asd_path(path, "%s/%s.pdf", folder, want[i]));
        if (!asd_is_file(path))
            fail_msg("no %s", path);
    }
    /* the same again gives the same PDFs; other scores give others */
    char *names[] = {"omega.pdf", "cells-mse.pdf", "roc-fan.pdf", "scores-fan.pdf", "loss-fan.pdf"};
    char *old[5];
    size_t size[5], again;
    for (int k = 0; k < 5; ++k)
        old[k] = figure(folder, names[k], &size[k]);
    write_figures(run, folder);
    for (int k = 0; k < 5; ++k) {
        char *new = figure(folder, names[k], &again);
        assert_int_equal(again, size[k]);
        assert_memory_equal(new, old[k], again);
        free(new);
    }
    assert_ok(asd_path(path, "%s/scores/mse", run));
    ref_write_system(path, 0.5, 99);
    write_figures(run, folder);
    for (int k = 0; k < 5; ++k) {
        char *new   = figure(folder, names[k], &again);
        int is_same = again == size[k] && !memcmp(new, old[k], again);
        assert_int_equal(is_same, k == 4); /* the loss is not of the scores */
        free(new);
        free(old[k]);
    }
    free(run);
}

/* Names that are markup, escape sequences, paths or one name in other letters. */
static void test_figures_hostile(void **state)
{
    (void)state;
    char *run = strdup(asd_test_folder()), path[PATH_MAX];
    ref_write_hostile(run);
    assert_ok(asd_path(path, "%s/figures", run));
    asd_log_setup("test", ASD_LOG_WARN, 1); /* rank 1 is silent: systems differ in machines */
    write_figures(run, path);
    asd_log_setup("test", ASD_LOG_NOTE, 0);
    /* Omega, cells per system, two figures per machine; no two share a file, not even
     * where letters differ in case only. All systems
     * scored other clips, so there are no differences. */
    assert_int_equal(check_figures(path), 2 * (1 + REF_HOSTILE + 2 * (REF_HOSTILE + 1)));
    assert_ok(asd_path(path, "%s/figures/roc-fan-2.pdf", run));
    assert_true(asd_is_file(path));
    free(run);
}

/* A run that cannot be shown leaves the old figures alone, and a folder that cannot be made says
 * so.
 */
static void test_figures_atomic(void **state)
{
    (void)state;
    char  *run = strdup(ref_make_run()), path[PATH_MAX], folder[PATH_MAX], file[PATH_MAX];
    size_t size;
    assert_ok(asd_path(file, "%s/report.html", run));
    assert_ok(asd_path(folder, "%s/figures", run));
    assert_ok(asd_make_folders(folder));
    assert_ok(asd_path(path, "%s/omega.pdf", folder));
    assert_ok(asd_write_file(path, "old", 3));
    asd_report_options o = options_for(&run, folder);
    assert_ok(asd_path(path, "%s/log", run));
    assert_ok(asd_make_folders(path));
    assert_ok(asd_path(path, "%s/log/metrics.jsonl", run));
    assert_ok(asd_write_file(path, "{\n{}\n", 5));
    assert_fails(asd_report_write(&o, file), ASD_E_DATA, "metrics.jsonl");
    char *old = figure(folder, "omega.pdf", &size);
    assert_int_equal(size, 3);
    free(old);
    assert_false(asd_is_file(file));
    asd_names names;
    assert_ok(asd_list_folder(folder, &names));
    assert_int_equal(names.n, 1);
    asd_names_free(&names);

    assert_ok(asd_write_file(path, "", 0));
    assert_ok(asd_path(path, "%s/omega.pdf/x", folder)); /* below a file */
    o.figures = path;
    assert_fails(asd_report_write(&o, file), ASD_E_IO, "omega.pdf");
    free(run);
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("report/figures/all", test_figures_all),
    ASD_CASE("report/figures/hostile-names", test_figures_hostile),
    ASD_CASE("report/figures/atomic", test_figures_atomic),
};
ASD_TEST_MAIN(cases)
