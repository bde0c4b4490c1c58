/* test_score_embeddings.c - the scores that a recipe of embeddings writes: joined by name, blind,
 * fused as the recipe says. The embeddings are made up; tests/run_kist.sh goes the whole way.
 */
#include "harness.h"

#include "audio/level.h"
#include "base/file.h"
#include "base/rng.h"
#include "data/embed_h5.h"
#include "score/scores.h"
#include "tools/score_recipe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { N_TRAIN = 40, N_TEST = 12, ROWS = 4, D = 9, N_CLIPS = N_TRAIN + N_TEST };

static const char *const streams[] = {"near", "far", "near5", "near_time", "far_time", "level"};
enum { N_STREAMS = sizeof streams / sizeof *streams };

static void test_name(int opaque, int i, char *out, size_t size)
{
    static const char *const kind[] = {"source_test_normal", "source_test_anomaly",
                                       "target_test_normal", "target_test_anomaly"};
    if (opaque) /* in another order */
        snprintf(out, size, "section_00_%04d.wav", (i * 5 + 3) % N_TEST);
    else
        snprintf(out, size, "section_00_%s_%04d_x.wav", kind[i % 4], i);
}

static void touch(const char *format, const char *root, const char *name)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, format, root, name);
    assert_ok(asd_write_file(path, "", 0));
}

typedef struct named {
    char name[200];
    int  clip;
} named;

static int by_name(const void *a, const void *b)
{
    return strcmp(((const named *)a)->name, ((const named *)b)->name);
}

/* What asd-embed writes about a stream of the recipe, as far as scoring looks at it. */
static void material_of(const char *stream, char *out, size_t size)
{
    if (!strcmp(stream, "level"))
        snprintf(out, size, "{\"features\":\"%s\",\"length\":\"whole\",\"rate_hz\":16000}",
                 ASD_LEVEL_VERSION);
    else
        snprintf(out, size,
                 "{\"channel\":{\"kind\":\"%s\"},\"encoder\":{\"kind\":\"beats\","
                 "\"weights\":\"ab\"},\"layer\":%d,\"length\":\"whole\",\"pool\":\"%s\"}",
                 strstr(stream, "far") ? "far" : "near", strstr(stream, "5") ? 5 : 12,
                 strstr(stream, "time") ? "time" : "mean");
}

/* Clips of one machine, whose names alone are looked at, and a file of embeddings a stream. */
static void make(const char *root, int opaque, const char *without)
{
    char  path[PATH_MAX], name[128];
    named list[N_CLIPS];
    for (int k = 0; k < 3; ++k) {
        snprintf(path, sizeof path, "%s/%s", root,
                 (const char *[]){"data/fan/train", "data/fan/test", "run/embed"}[k]);
        assert_ok(asd_make_folders(path));
    }
    for (int i = 0; i < N_CLIPS; ++i) {
        if (i < N_TRAIN)
            snprintf(name, sizeof name, "section_00_%s_train_normal_%04d_x.wav",
                     i % 8 == 2 ? "target" : "source", i);
        else
            test_name(opaque, i - N_TRAIN, name, sizeof name);
        touch(i < N_TRAIN ? "%s/data/fan/train/%s" : "%s/data/fan/test/%s", root, name);
        snprintf(list[i].name, sizeof list[i].name, "fan/%s/%s", i < N_TRAIN ? "train" : "test",
                 name);
        list[i].clip = i;
    }
    qsort(list, N_CLIPS, sizeof *list, by_name);
    for (int s = 0; s < N_STREAMS; ++s) {
        int            many = strstr(streams[s], "time") != NULL, rows = many ? ROWS : 1;
        static float   x[N_CLIPS * ROWS * D];
        static int64_t n_samples[N_CLIPS], n_rows[N_CLIPS];
        char          *clip[N_CLIPS], *audio[N_CLIPS], key[] = "0123456789abcdef0123456789abcdef";
        char           material[300];
        if (without && !strcmp(streams[s], without))
            continue;
        material_of(streams[s], material, sizeof material);
        for (int i = 0; i < N_CLIPS; ++i) {
            asd_rng r;
            asd_rng_init(&r, 4, ASD_RNG_TEST, (uint64_t)list[i].clip, (uint64_t)s);
            for (int d = 0; d < rows * D; ++d)
                x[i * rows * D + d] =
                    (float)(asd_rng_normal(&r) + 0.1 * (d % D) + 0.5 * (list[i].clip % 8 == 2));
            clip[i]      = list[i].name;
            audio[i]     = key;
            n_samples[i] = 16000;
            n_rows[i]    = ROWS;
        }
        asd_embeddings e = {.form         = many ? ASD_EMBED_ROWS : ASD_EMBED_PLAIN,
                            .N            = N_CLIPS,
                            .rows         = rows,
                            .D            = D,
                            .x            = x,
                            .clip         = clip,
                            .n_samples    = n_samples,
                            .n_rows       = many ? n_rows : NULL,
                            .audio        = audio,
                            .key          = key,
                            .key_material = material};
        snprintf(path, sizeof path, "%s/run/embed/%s.h5", root, streams[s]);
        assert_ok(asd_embed_save(path, &e));
    }
}

static asd_status run(const char *root, const char *set, const char *only, json_t **rows)
{
    char       recipe[PATH_MAX], data[PATH_MAX], folder[PATH_MAX], where[PATH_MAX];
    asd_recipe r;
    asd_device device = {0};
    json_t    *used   = NULL;
    char      *sets[] = {(char *)set};
    score_out  out    = {.only = only, .json = 1, .result = json_array()};
    snprintf(recipe, sizeof recipe, "%s/recipes/kist-ulicp.yaml", asd_test_source());
    snprintf(data, sizeof data, "%s/data", root);
    snprintf(folder, sizeof folder, "%s/run", root);
    score_from from = {data, folder, "cpu", &device};
    asd_status st   = asd_recipe_load(recipe, sets, set != NULL, 0, &r);
    if (!st)
        st = score_recipe(&r, &from, &out, &used, where);
    asd_recipe_clear(&r);
    json_decref(used);
    if (rows)
        *rows = out.result;
    else
        json_decref(out.result);
    return st;
}

/* by clip: (N_TEST) */
static void read_scores(const char *root, const char *label, int opaque, double *score,
                        int *decision)
{
    char       path[PATH_MAX], name[128];
    asd_scores s;
    snprintf(path, sizeof path, "%s/run/scores/%s", root, label);
    assert_ok(asd_scores_read(path, &s));
    assert_int_equal(s.n, 1);
    assert_int_equal(s.set[0].n, N_TEST);
    for (int i = 0; i < N_TEST; ++i) {
        int64_t k = 0;
        test_name(opaque, i, name, sizeof name);
        while (k < N_TEST && strcmp(s.set[0].name[k], name))
            ++k;
        assert_true(k < N_TEST);
        score[i]    = s.set[0].score[k];
        decision[i] = s.set[0].decision[k];
    }
    asd_scores_clear(&s);
}

static const struct {
    const char *label;
    double      weight;
} parts[] = {{"base", 0.40},     {"joint", 0.15},  {"residual", 0.20}, {"density", 0.10},
             {"boundary", 0.10}, {"change", 0.05}, {"level", 0.05}};
enum { N_PARTS = sizeof parts / sizeof *parts };

static void test_fused(void **state)
{
    (void)state;
    const char *root        = asd_test_folder();
    double      sum[N_TEST] = {0}, s[N_TEST], fused[N_TEST];
    int         decision[N_TEST];
    make(root, 0, NULL);
    assert_ok(run(root, NULL, NULL, NULL));
    for (int k = 0; k < N_PARTS; ++k) {
        read_scores(root, parts[k].label, 0, s, decision);
        for (int i = 0; i < N_TEST; ++i)
            sum[i] += parts[k].weight * s[i];
    }
    read_scores(root, "fused", 0, fused, decision);
    for (int i = 0; i < N_TEST; ++i)
        assert_near(fused[i], sum[i], 1e-12);
    /* a subset and its own weights */
    assert_ok(run(root, "score.fusion=[base=2, level 3]", NULL, NULL));
    memset(sum, 0, sizeof sum);
    for (int k = 0; k < N_PARTS; k += N_PARTS - 1) {
        read_scores(root, parts[k].label, 0, s, decision);
        for (int i = 0; i < N_TEST; ++i)
            sum[i] += (k ? 3 : 2) * s[i];
    }
    read_scores(root, "fused", 0, fused, decision);
    for (int i = 0; i < N_TEST; ++i)
        assert_near(fused[i], sum[i], 1e-12);
}

/* Other names, another order, one clip alone: the same bits. */
static void test_blind(void **state)
{
    (void)state;
    const char *root[2] = {asd_test_folder(), asd_test_folder()};
    const char *also[]  = {"fused", "base", "boundary", "change"};
    double      s[2][N_TEST];
    int         decision[2][N_TEST];
    for (int k = 0; k < 2; ++k) {
        make(root[k], k, NULL);
        assert_ok(run(root[k], NULL, NULL, NULL));
    }
    for (int l = 0; l < 4; ++l) {
        for (int k = 0; k < 2; ++k)
            read_scores(root[k], also[l], k, s[k], decision[k]);
        assert_memory_equal(s[0], s[1], sizeof s[0]);
        assert_memory_equal(decision[0], decision[1], sizeof decision[0]);
    }
    for (int i = 0; i < N_TEST; i += 5) {
        char    name[128];
        json_t *rows;
        read_scores(root[0], "fused", 0, s[0], decision[0]);
        test_name(0, i, name, sizeof name);
        assert_ok(run(root[0], NULL, name, &rows));
        json_t *last = json_array_get(rows, json_array_size(rows) - 1);
        assert_int_equal(json_array_size(rows), N_PARTS + 1);
        assert_string_equal(json_string_value(json_object_get(last, "detector")), "fused");
        assert_string_equal(json_string_value(json_object_get(last, "clip")), name);
        assert_true(json_number_value(json_object_get(last, "score")) == s[0][i]);
        json_decref(rows);
    }
}

static void test_refused(void **state)
{
    (void)state;
    const char *root = asd_test_folder(), *less = asd_test_folder(), *more = asd_test_folder();
    make(root, 0, NULL);
    make(less, 0, "near5");
    make(more, 0, NULL);
    touch("%s/data/fan/test/%s", more, "section_00_9999.wav");
    assert_fails(run(less, NULL, NULL, NULL), ASD_E_DATA, "embed/near5.h5 is not there");
    assert_fails(run(more, NULL, NULL, NULL), ASD_E_DATA, "fan/test/section_00_9999.wav");
    assert_fails(run(root, NULL, "section_00_9999.wav", NULL), ASD_E_DATA, "no test clip of that");
    assert_fails(run(root, "embed.length=first", NULL, NULL), ASD_E_DATA,
                 "made with length \"whole\", stream near of the recipe says \"first 10 s\"");
    assert_fails(run(root, "embed.streams=[\"near = beats(layer=4)\"]", NULL, NULL), ASD_E_CONFIG,
                 "no stream \"far\"");
    assert_fails(run(root, "embed.streams+=[near = beats()]", NULL, NULL), ASD_E_CONFIG, "near");
    static const struct {
        const char *stream, *message;
    } stale[] = {
        {"beats(channel=far)", "made with channel {\"kind\":\"near\"}"},
        {"beats(layer=4)", "made with layer 12, stream near of the recipe says 4"},
        {"beats(pool=gem)", "made with pool \"mean\""},
        {"eat()", "made with encoder \"beats\""},
        {"tiny_beats()", "made with weights ab"},
    };
    for (size_t i = 0; i < sizeof stale / sizeof *stale; ++i) {
        char set[400];
        snprintf(set, sizeof set,
                 "embed.streams=[\"near = %s\", \"far = beats(channel=far)\", \"near5 = "
                 "beats(layer=5)\", \"near_time = beats(pool=time)\", \"far_time = "
                 "beats(channel=far, pool=time)\", level = level()]",
                 stale[i].stream);
        assert_fails(run(root, set, NULL, NULL), ASD_E_DATA, stale[i].message);
    }
    assert_fails(run(root, "score.detectors=[base = nearby | knn]", NULL, NULL), ASD_E_CONFIG,
                 "no stream \"nearby\"");
    assert_fails(run(root, "score.detectors=[mse]", NULL, NULL), ASD_E_CONFIG, "want LABEL");
    assert_fails(run(root, "score.fusion=[bases=1]", NULL, NULL), ASD_E_CONFIG,
                 "did you mean \"base\"");
    assert_fails(run(root, "embed.streams=[]", NULL, NULL), ASD_E_CONFIG, "no embed.streams");
    assert_fails(run(root, "score.threshold=official_batches", NULL, NULL), ASD_E_CONFIG,
                 "an autoencoder's");
    assert_fails(run(root, "score.detectors+=[a = near_time | knn]", NULL, NULL), ASD_E_DATA,
                 "want a pooled embedding");
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("tools/score-embeddings/fused", test_fused),
    ASD_CASE("tools/score-embeddings/blind", test_blind),
    ASD_CASE("tools/score-embeddings/refused", test_refused),
};

ASD_TEST_MAIN(cases)
