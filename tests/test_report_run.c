/* test_report_run.c - what the report reads of a training run: run.json and metrics.jsonl. */
#include "harness.h"

#include "base/file.h"
#include "base/rng.h"
#include "score/report_data.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *make_run(const char *facts, const char *metrics)
{
    static char folder[PATH_MAX];
    char        path[PATH_MAX + 32];
    snprintf(folder, sizeof folder, "%s", asd_test_folder());
    snprintf(path, sizeof path, "%s/log", folder);
    assert_ok(asd_make_folders(path));
    snprintf(path, sizeof path, "%s/log/metrics.jsonl", folder);
    if (metrics)
        assert_ok(asd_write_file(path, metrics, strlen(metrics)));
    snprintf(path, sizeof path, "%s/run.json", folder);
    if (facts)
        assert_ok(asd_write_file(path, facts, strlen(facts)));
    return folder;
}

static void test_run_curves(void **state)
{
    (void)state;
    asd_report_run run;
    assert_ok(asd_report_read_run(make_run(NULL, NULL), &run));
    assert_null(run.facts);
    assert_int_equal(run.n_lines, 0);
    asd_report_run_clear(&run);

    /* two networks; step 2 of fan was done again after a restart; the last line was cut off */
    assert_ok(asd_report_read_run(make_run("{\"seed\": 3}",
                                           "{\"step\": 1, \"loss\": 9, \"machine\": \"fan\"}\n"
                                           "{\"step\": 1, \"loss\": 8, \"machine\": \"bearing\"}\n"
                                           "{\"step\": 2, \"loss\": 7, \"machine\": \"fan\"}\n"
                                           "{\"step\": 3, \"loss\": 6, \"machine\": \"fan\"}\n"
                                           "{\"step\": 2, \"loss\": 5, \"machine\": \"fan\"}\n"
                                           "{\"step\": 2, \"val_loss\": 4, \"machine\": \"fan\"}\n"
                                           "{\"step\": 4, \"loss\": null, \"machine\": \"fan\"}\n"
                                           "{\"step\": 5, \"lo"),
                                  &run));
    assert_int_equal(run.n_lines, 7);
    assert_int_equal(run.is_torn, 1);
    assert_int_equal(run.n_curves, 2);
    assert_string_equal(run.curve[0].machine, "bearing");
    assert_int_equal(run.curve[0].n, 1);
    const asd_report_curve *fan = &run.curve[1];
    assert_int_equal(fan->n, 3);
    assert_near(fan->step[1], 2, 0);
    assert_near(fan->loss[1], 5, 0);
    assert_near(fan->val_loss[1], 4, 0);
    assert_true(isnan(fan->loss[2]) && isnan(fan->val_loss[0]));
    assert_int_equal(json_integer_value(json_object_get(run.facts, "seed")), 3);
    asd_report_run_clear(&run);
}

static void test_run_damaged(void **state)
{
    (void)state;
    static const struct {
        const char *facts, *metrics, *part;
    } cases[] = {
        {NULL, "{\"step\": 1}\n{\"step\": \n{\"step\": 3}\n", "metrics.jsonl:2"},
        {NULL, "{\"step\": 1, \"loss\": \"low\"}\n", "metrics.jsonl:1: \"loss\" is not a number"},
        {NULL, "{\"loss\": 1}\n", "metrics.jsonl:1: want a \"step\""},
        {NULL, "{\"step\": -1}\n", "want a \"step\" of 0 or more"},
        {NULL, "[1]\n", "metrics.jsonl:1: want a JSON object"},
        {NULL, "{\"step\": 1, \"machine\": 7}\n", "\"machine\" is not a text"},
        {NULL, "{\"step\": 1, \"step\": 2}\n", "metrics.jsonl:1"},
        {NULL, "\n", "metrics.jsonl:1"},
        {"{\"a\": 1,}", NULL, "run.json:1:"},
        {"[]", NULL, "run.json: want a JSON object"},
        {"", NULL, "run.json"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        asd_report_run run;
        assert_fails(asd_report_read_run(make_run(cases[i].facts, cases[i].metrics), &run),
                     ASD_E_DATA, cases[i].part);
        asd_report_run_clear(&run);
    }
}

/* Damaged in any way, the files give curves or ASD_E_DATA. */
static void test_run_mutation(void **state)
{
    (void)state;
    static const char good[] = "{\"step\": 1, \"loss\": 0.5, \"machine\": \"fan\"}\n"
                               "{\"step\": 2, \"loss\": 0.25, \"val_loss\": 1e-3}\n";
    const char       *folder = make_run("{}", good);
    char              path[PATH_MAX + 32], text[sizeof good];
    int               n_bad = 0;
    snprintf(path, sizeof path, "%s/log/metrics.jsonl", folder);
    for (uint64_t round = 0; round < 400; ++round) {
        asd_rng r;
        asd_rng_init(&r, 4, ASD_RNG_TEST, round, 0);
        memcpy(text, good, sizeof good);
        size_t size = sizeof good - 1;
        for (uint64_t k = asd_rng_u64(&r) % 3; k < 3; ++k)
            text[asd_rng_u64(&r) % size] = (char)(asd_rng_u64(&r) >> 5);
        if (round % 4 == 0)
            size = asd_rng_u64(&r) % size;
        assert_ok(asd_write_file(path, text, size));
        asd_report_run run;
        asd_status     st = asd_report_read_run(folder, &run);
        if (st)
            assert_int_equal(st, ASD_E_DATA);
        n_bad += st != ASD_OK;
        for (int64_t i = 0; i < run.n_curves; ++i)
            for (int64_t k = 1; k < run.curve[i].n; ++k)
                assert_true(run.curve[i].step[k] > run.curve[i].step[k - 1]);
        asd_report_run_clear(&run);
    }
    assert_true(n_bad > 100);
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("report/run/curves", test_run_curves),
    ASD_CASE("report/run/damaged", test_run_damaged),
    ASD_CASE("report/run/mutation", test_run_mutation),
};
ASD_TEST_MAIN(cases)
