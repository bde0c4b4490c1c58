/* test_detect_saved.c - a fitted pipeline that was saved and loaded is the one that was fitted. */
#include "detect_bed.h"

#include "base/file.h"
#include "detect/saved.h"

#include <stdio.h>
#include <stdlib.h>

static const char MACHINE[] = "fan.section_00";

static void read_file(const char *path, char **bytes, size_t *n)
{
    assert_ok(asd_read_file(path, SIZE_MAX, bytes, n));
}

static void write_file(const char *path, const char *bytes, size_t n)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

/* Every detector: the same scores, bit for bit; and what was loaded saves as the same bytes. */
static void test_every(void **state)
{
    static bed    b, test;
    static double loo[2 * MAX_N], fitted[2 * MAX_N], loaded[2 * MAX_N];
    char          path[2][512];
    (void)state;
    const char *folder = asd_test_folder();
    for (int i = 0; i < 2; ++i)
        snprintf(path[i], sizeof path[i], "%s/%d.safetensors", folder, i);
    make_bed(&b, 80, 8, 19, 1);
    make_bed(&test, 37, 9, 19, 2);
    for (int c = 0; c < EVERY; ++c) {
        asd_pipeline p, q;
        char        *bytes[2];
        size_t       n[2];
        fit(&p, every[c], &b, loo);
        score(&p, &test, 0, test.n, fitted);
        assert_ok(asd_pipeline_save(&p, MACHINE, path[0]));
        assert_ok(asd_pipeline_parse(every[c], &q));
        assert_ok(asd_pipeline_load(&q, MACHINE, path[0]));
        assert_int_equal(q.heads, p.heads);
        score(&q, &test, 0, test.n, loaded);
        same_scores(fitted, loaded, test.n, p.heads, every[c]);
        assert_ok(asd_pipeline_save(&q, MACHINE, path[1]));
        for (int i = 0; i < 2; ++i)
            read_file(path[i], &bytes[i], &n[i]);
        assert_int_equal(n[0], n[1]);
        assert_memory_equal(bytes[0], bytes[1], n[0]);
        for (int i = 0; i < 2; ++i)
            free(bytes[i]);
        asd_pipeline_clear(&p);
        asd_pipeline_clear(&q);
    }
}

/* Rows of zeros have no direction: a bank keeps them apart. */
static void test_zeros(void **state)
{
    static bed    b, test;
    static double loo[2 * MAX_N], fitted[2 * MAX_N], loaded[2 * MAX_N];
    const char   *text = "a = near | knn(2, bank=domain)";
    char          path[512];
    asd_pipeline  p, q;
    (void)state;
    snprintf(path, sizeof path, "%s/zeros.safetensors", asd_test_folder());
    make_bed(&b, 30, 5, 11, 1);
    make_bed(&test, 9, 2, 11, 2);
    memset(b.x[0] + 3 * b.D, 0, 2 * (size_t)b.D * sizeof(float));
    memset(test.x[0] + 4 * b.D, 0, (size_t)b.D * sizeof(float));
    fit(&p, text, &b, loo);
    score(&p, &test, 0, test.n, fitted);
    assert_ok(asd_pipeline_save(&p, MACHINE, path));
    assert_ok(asd_pipeline_parse(text, &q));
    assert_ok(asd_pipeline_load(&q, MACHINE, path));
    score(&q, &test, 0, test.n, loaded);
    same_scores(fitted, loaded, test.n, p.heads, text);
    asd_pipeline_clear(&p);
    asd_pipeline_clear(&q);
}

static void refused(const char *text, const char *what, const char *path, const char *says)
{
    asd_pipeline p;
    assert_ok(asd_pipeline_parse(text, &p));
    assert_fails(asd_pipeline_load(&p, what, path), ASD_E_DATA, says);
    for (int i = 0; i < p.n_steps; ++i)
        assert_null(p.step[i].state);
    asd_pipeline_clear(&p);
}

static void test_refused(void **state)
{
    static bed    b;
    static double loo[2 * MAX_N];
    const char   *text = "a = near | pca(6) | knn(2)";
    char          path[512], nothing[512];
    asd_pipeline  p;
    (void)state;
    const char *folder = asd_test_folder();
    snprintf(path, sizeof path, "%s/a.safetensors", folder);
    snprintf(nothing, sizeof nothing, "%s/nothing.safetensors", folder);
    make_bed(&b, 40, 4, 12, 1);
    fit(&p, text, &b, loo);
    assert_ok(asd_pipeline_save(&p, MACHINE, path));
    asd_pipeline_clear(&p);
    refused(text, "valve.section_00", path,
            "a.safetensors: machine is \"fan.section_00\", want \"valve.section_00\"");
    refused("a = near | pca(7) | knn(2)", MACHINE, path,
            "a.safetensors: pipeline is \"near | pca-k-6 | knn-k-2\", want \"near | pca-k-7 | ");
    refused("a = far | pca(6) | knn(2)", MACHINE, path, "want \"far | pca-k-6 | knn-k-2\"");
    refused(text, MACHINE, nothing, "nothing.safetensors");
}

/* Files are hostile: whatever is in them, loading ends with a failure or with something that can
 * score. */
static void test_broken(void **state)
{
    static bed               b;
    static double            loo[2 * MAX_N], s[2 * MAX_N];
    static const char *const texts[] = {"a = near | knn(2, bank=domain)",
                                        "a = near | local_density(k=3, axes=4)",
                                        "a = near | mahalanobis(cov=ledoit_wolf)"};
    char                     path[512];
    asd_rng                  r;
    int                      ok = 0, bad = 0;
    (void)state;
    snprintf(path, sizeof path, "%s/broken.safetensors", asd_test_folder());
    make_bed(&b, 24, 4, 6, 1);
    asd_rng_init(&r, 11, ASD_RNG_TEST, 0, 0);
    for (int c = 0; c < 3; ++c) {
        asd_pipeline p;
        char        *bytes;
        size_t       n;
        fit(&p, texts[c], &b, loo);
        assert_ok(asd_pipeline_save(&p, MACHINE, path));
        asd_pipeline_clear(&p);
        read_file(path, &bytes, &n);
        for (int k = 0; k < 200; ++k) {
            size_t at = asd_rng_u64(&r) % n, kept = k % 4 ? n : at;
            char   was = bytes[at];
            bytes[at] ^= (char)(1 << asd_rng_u32(&r) % 8);
            write_file(path, bytes, kept);
            bytes[at] = was;
            assert_ok(asd_pipeline_parse(texts[c], &p));
            asd_status st = asd_pipeline_load(&p, MACHINE, path);
            assert_true(st == ASD_OK || st == ASD_E_DATA);
            if (!st)
                score(&p, &b, 0, b.n, s);
            ok += !st;
            bad += st != ASD_OK;
            asd_pipeline_clear(&p);
        }
        free(bytes);
    }
    assert_true(ok > 50 && bad > 100);
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("detect/saved/every detector", test_every),
    ASD_CASE("detect/saved/rows of zeros", test_zeros),
    ASD_CASE("detect/saved/of something else", test_refused),
    ASD_CASE("detect/saved/broken files", test_broken),
};

ASD_TEST_MAIN(cases)
