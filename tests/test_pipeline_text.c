/* test_pipeline_text.c - the text of a pipeline in a recipe: every form, every slip, and mutants.
 */
#include "harness.h"

#include "base/rng.h"
#include "detect/embedding.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *text, *message; /* NULL: it parses */
} texts[] = {
    {"base = near | mahalanobis", NULL},
    {" base.2-x= near ,far|pca( 64 )| mahalanobis ( centre = domain , weight=99 , k=128 ) ", NULL},
    {"a = near | knn(k=1, distance=cosine, bank=domain)", NULL},
    {"near | knn", "want LABEL = STREAM | detector"},
    {"= near | knn", "at character 1"},
    {"-a = near | knn", "want LABEL = STREAM | detector"},
    {"../a = near | knn", "want LABEL = STREAM | detector"},
    {"a/b = near | knn", "want LABEL = STREAM | detector"},
    {"a = | knn", "want a stream at character 5"},
    {"a = near", "want ',' or '|' at character 9"},
    {"a = near, near | knn", "stream near twice"},
    {"a = a, b, c, d, e | knn", "more than 4 streams"},
    {"a = near knn", "want ',' or '|' at character 10"},
    {"a = near | ", "no detector \"\""},
    {"a = near | knnn", "did you mean \"knn\""},
    {"a = near | knn(kk=2)", "did you mean \"k\""},
    {"a = near | knn(k=0)", "0"},
    {"a = near | knn(k=1.5)", "1.5"},
    {"a = near | knn(1) knn", "want '|' or the end at character 19"},
    {"a = near | knn | knn", "must be the last step"},
    {"a = near | pca(8)", "gives no scores"},
    {"a = near | mse", "residuals"},
    {"a = near | pca(1)|pca(1)|pca(1)|pca(1)|pca(1)|pca(1)|pca(1)|pca(1)|knn", "more than 8 steps"},
};

static void test_texts(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; ++i) {
        asd_pipeline p;
        asd_status   st = asd_pipeline_parse(texts[i].text, &p);
        if (!texts[i].message != !st || (st && st != ASD_E_CONFIG) ||
            (st && !strstr(asd_error_text(), texts[i].message)))
            fail_msg("\"%s\": %s \"%s\", want \"%s\"", texts[i].text, asd_status_name(st),
                     st ? asd_error_text() : "", texts[i].message ? texts[i].message : "ok");
        asd_pipeline_clear(&p);
    }
    char *const streams[] = {"near", "far"};
    char *const good[]    = {"a = near | knn", "b = far, near | knn(2)"};
    char *const twice[]   = {"a = near | knn", "a = far | knn(2)"};
    char *const fused[] = {"fused = near | knn"}, *const lost[] = {"a = nar | knn"};
    asd_pipeline *list;
    assert_ok(asd_pipelines_parse(good, 2, streams, 2, &list));
    assert_string_equal(list[1].stream[0], "far");
    assert_string_equal(list[1].label, "b");
    for (int i = 0; i < 2; ++i)
        asd_pipeline_clear(&list[i]);
    free(list);
    assert_fails(asd_pipelines_parse(twice, 2, streams, 2, &list), ASD_E_CONFIG, "names a twice");
    assert_null(list);
    assert_fails(asd_pipelines_parse(fused, 1, streams, 2, NULL), ASD_E_CONFIG, "fusion");
    assert_fails(asd_pipelines_parse(lost, 1, streams, 2, NULL), ASD_E_CONFIG,
                 "did you mean \"near\"");
}

static void test_mutants(void **state)
{
    (void)state;
    static const char letters[] = "kn()=,_ -./\\|\"x1\xff\n\t";
    asd_rng           r;
    int               parsed = 0;
    asd_rng_init(&r, 9, ASD_RNG_TEST, 0, 0);
    for (int k = 0; k < 20000; ++k) {
        char         text[120] = "a = near, far | pca(64) | knn(k=2, distance=cosine)";
        asd_pipeline p;
        size_t       n = strlen(text);
        for (uint32_t edits = asd_rng_below(&r, 4); edits; --edits) {
            size_t at = asd_rng_below(&r, (uint32_t)n);
            if (asd_rng_below(&r, 2)) {
                text[at] = letters[asd_rng_below(&r, sizeof letters - 1)];
            } else {
                memmove(text + at, text + at + 1, n - at);
                --n;
            }
        }
        if (!asd_pipeline_parse(text, &p)) {
            ++parsed;
            assert_true(p.label[0] != '.' && p.label[0] != '-' && !strchr(p.label, '/'));
            assert_true(p.n_streams >= 1 && p.n_steps >= 1);
            assert_non_null(p.step[p.n_steps - 1].detector->score_rows);
        }
        asd_pipeline_clear(&p);
    }
    assert_true(parsed > 4000 && parsed < 18000);
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("detect/pipeline/texts", test_texts),
    ASD_CASE("detect/pipeline/mutants", test_mutants),
};

ASD_TEST_MAIN(cases)
