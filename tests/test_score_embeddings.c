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

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { N_TRAIN = 40, N_TEST = 12, ROWS = 4, D = 9, MACHINES = 2, N_CLIPS = N_TRAIN + N_TEST };

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
        snprintf(
            out, size,
            "{\"channel\":{\"kind\":\"%s\"},\"encoder\":{\"key\":\"encoder=beats depth=12 dim=9\","
            "\"kind\":\"beats\",\"weights\":\"ab\"},\"layer\":%d,\"length\":\"whole\",\"pool\":\"%"
            "s\"}",
            strstr(stream, "far") ? "far" : "near", strstr(stream, "5") ? 5 : 12,
            strstr(stream, "time") ? "time" : "mean");
}

static const char *const machine_names[MACHINES] = {"fan", "pump"};

/* Clips of a few machines, whose names alone are looked at, and a file of embeddings a stream. */
static void make_set(const char *root, int opaque, const char *without, int n_machines)
{
    char  path[PATH_MAX], name[128];
    named list[MACHINES * N_CLIPS];
    int   n = n_machines * N_CLIPS;
    snprintf(path, sizeof path, "%s/run/embed", root);
    assert_ok(asd_make_folders(path));
    for (int i = 0; i < n; ++i) {
        const char *machine = machine_names[i / N_CLIPS];
        int         own     = i % N_CLIPS;
        const char *split   = own < N_TRAIN ? "train" : "test";
        char        file[200];
        if (own < N_TRAIN)
            snprintf(name, sizeof name, "section_00_%s_train_normal_%04d_x.wav",
                     own % 8 == 2 ? "target" : "source", own);
        else
            test_name(opaque, own - N_TRAIN, name, sizeof name);
        snprintf(path, sizeof path, "%s/data/%s/%s", root, machine, split);
        assert_ok(asd_make_folders(path));
        snprintf(file, sizeof file, "%s/%s/%s", machine, split, name);
        touch("%s/data/%s", root, file);
        snprintf(list[i].name, sizeof list[i].name, "%s", file);
        list[i].clip = i;
    }
    qsort(list, (size_t)n, sizeof *list, by_name);
    for (int s = 0; s < N_STREAMS; ++s) {
        int            many = strstr(streams[s], "time") != NULL, rows = many ? ROWS : 1;
        static float   x[MACHINES * N_CLIPS * ROWS * D];
        static int64_t n_samples[MACHINES * N_CLIPS], n_rows[MACHINES * N_CLIPS];
        char          *clip[MACHINES * N_CLIPS], *audio[MACHINES * N_CLIPS],
            key[] = "0123456789abcdef0123456789abcdef";
        char material[300];
        if (without && !strcmp(streams[s], without))
            continue;
        material_of(streams[s], material, sizeof material);
        for (int i = 0; i < n; ++i) {
            asd_rng r;
            asd_rng_init(&r, 4, ASD_RNG_TEST, (uint64_t)list[i].clip, (uint64_t)s);
            for (int d = 0; d < rows * D; ++d)
                x[i * rows * D + d] = (float)(asd_rng_normal(&r) + 0.1 * (d % D) +
                                              0.5 * (list[i].clip % N_CLIPS % 8 == 2));
            clip[i]      = list[i].name;
            audio[i]     = key;
            n_samples[i] = 16000;
            n_rows[i]    = ROWS;
        }
        asd_embeddings e = {.form         = many ? ASD_EMBED_ROWS : ASD_EMBED_PLAIN,
                            .N            = n,
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

static void make(const char *root, int opaque, const char *without)
{
    make_set(root, opaque, without, 1);
}

/* used: what was said to have computed, owned by the caller; NULL: not wanted. */
static asd_status run_on(const char *typed, const char *root, char *const *sets, int n_sets,
                         const char *only, json_t **rows, json_t **used_by)
{
    char       recipe[PATH_MAX], data[PATH_MAX], folder[PATH_MAX], where[PATH_MAX];
    asd_recipe r;
    asd_device device = {0};
    json_t    *used   = NULL;
    score_out  out    = {.only = only, .json = 1, .result = json_array()};
    snprintf(recipe, sizeof recipe, "%s/recipes/kist-ulicp.yaml", asd_test_source());
    snprintf(data, sizeof data, "%s/data", root);
    snprintf(folder, sizeof folder, "%s/run", root);
    assert_ok(asd_device_choose(typed, &device));
    score_from from = {data, folder, typed, &device};
    asd_status st   = asd_recipe_load(recipe, sets, n_sets, 0, &r);
    if (!st)
        st = score_recipe(&r, &from, &out, &used, where);
    asd_recipe_clear(&r);
    if (used_by)
        *used_by = used;
    else
        json_decref(used);
    if (rows)
        *rows = out.result;
    else
        json_decref(out.result);
    return st;
}

static asd_status run(const char *root, const char *set, const char *only, json_t **rows)
{
    char *sets[] = {(char *)set};
    return run_on("cpu", root, sets, set != NULL, only, rows, NULL);
}

/* Of one machine by clip: (N_TEST). */
static void read_machine(const char *root, const char *label, int machine, int opaque,
                         double *score, int *decision)
{
    char       path[PATH_MAX], name[128];
    asd_scores s;
    int64_t    set = 0;
    snprintf(path, sizeof path, "%s/run/scores/%s", root, label);
    assert_ok(asd_scores_read(path, &s));
    while (set < s.n && strcmp(s.set[set].machine, machine_names[machine]))
        ++set;
    assert_true(set < s.n);
    assert_int_equal(s.set[set].n, N_TEST);
    for (int i = 0; i < N_TEST; ++i) {
        int64_t k = 0;
        test_name(opaque, i, name, sizeof name);
        while (k < N_TEST && strcmp(s.set[set].name[k], name))
            ++k;
        assert_true(k < N_TEST);
        score[i]    = s.set[set].score[k];
        decision[i] = s.set[set].decision[k];
    }
    asd_scores_clear(&s);
}

static void read_scores(const char *root, const char *label, int opaque, double *score,
                        int *decision)
{
    read_machine(root, label, 0, opaque, score, decision);
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
    assert_fails(
        run(root,
            "embed.streams=[near = beats(), near5 = beats(), \"far = beats(channel=far)\", "
            "\"near_time = beats(pool=time)\", "
            "\"far_time = beats(channel=far, pool=time)\", level = level()]",
            NULL, NULL),
        ASD_E_DATA, "near5.h5: made with layer 5, stream near5 of the recipe says 12");
    char *pooled[] = {(char *)"score.detectors=[c = near | change_point]",
                      (char *)"score.fusion=[]"};
    assert_fails(run_on("cpu", root, pooled, 2, NULL, NULL, NULL), ASD_E_DATA,
                 "change_point takes rows in time, stream near has one vector a clip");
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

static void need_device(void)
{
    const char *why;
    if (asd_cuda_count(&why) < 1) {
        print_message("skipped: %s\n", why);
        skip();
    }
}

static double read_threshold(const json_t *rows, const char *label, int machine)
{
    for (size_t i = 0; i < json_array_size(rows); ++i) {
        const json_t *row = json_array_get(rows, i);
        if (!strcmp(json_string_value(json_object_get(row, "detector")), label) &&
            !strcmp(json_string_value(json_object_get(row, "machine")), machine_names[machine]))
            return json_number_value(json_object_get(row, "threshold"));
    }
    fail_msg("no threshold of %s", label);
    return 0;
}

static char *const device_sets[] = {
    (char *)"score.detectors=[\"base = near | mahalanobis(k=5)\", \"level = level | "
            "mahalanobis(cov=ledoit_wolf)\", \"close = near, far | knn(k=2, bank=domain)\", "
            "\"boundary = near5 | boundary(clusters=2)\"]",
    (char *)"score.fusion=[base=1, level=1, close=1, boundary=1]"};
static const char *const device_labels[] = {"fused", "base", "level", "close", "boundary"};
enum { N_LABELS = sizeof device_labels / sizeof *device_labels };

/* Of one machine: the CPU's scores, decisions and threshold. */
static void compare_devices(char *const root[2], json_t *const rows[2], int machine)
{
    for (int l = 0; l < N_LABELS; ++l) {
        const char *label = device_labels[l];
        double      s[2][N_TEST], t = read_threshold(rows[0], label, machine);
        int         decision[2][N_TEST];
        for (int k = 0; k < 2; ++k)
            read_machine(root[k], label, machine, 0, s[k], decision[k]);
        for (int i = 0; i < N_TEST; ++i)
            assert_near(s[1][i], s[0][i], 1e-6 * (1 + fabs(s[0][i])));
        assert_near(read_threshold(rows[1], label, machine), t, 1e-6 * (1 + fabs(t)));
        assert_memory_equal(decision[0], decision[1], sizeof decision[0]);
    }
}

/* On a device: scores, decisions and thresholds of the CPU. z-scores are distances less their mean
 * over their spread, so that the relative error of a distance (1e-7 of k-NN's, which are kept in
 * fp32) grows by the ratio of the two, here less than ten. */
static void test_cuda(void **state)
{
    (void)state;
    static const char *const both[] = {"cpu", "cuda"};
    need_device();
    char   *root[2] = {(char *)asd_test_folder(), (char *)asd_test_folder()};
    json_t *rows[2], *used[2];
    for (int k = 0; k < 2; ++k) {
        make_set(root[k], 0, NULL, MACHINES);
        assert_ok(run_on(both[k], root[k], device_sets, 2, NULL, &rows[k], &used[k]));
    }
    assert_string_equal(json_string_value(used[0]), "cpu");
    assert_true(strncmp(json_string_value(used[1]), "cuda:0 ", 7) == 0);
    for (int m = 0; m < MACHINES; ++m)
        compare_devices(root, rows, m);
    for (int k = 0; k < 2; ++k) {
        json_decref(rows[k]);
        json_decref(used[k]);
    }
}

/* One clip alone: the bits that it had among all, of both machines, which have a clip of this name
 * each. */
static void test_cuda_alone(void **state)
{
    (void)state;
    const char *root = asd_test_folder();
    need_device();
    make_set(root, 0, NULL, MACHINES);
    assert_ok(run_on("cuda", root, device_sets, 2, NULL, NULL, NULL));
    for (int i = 0; i < N_TEST; i += 5) {
        char    name[128];
        json_t *alone;
        test_name(0, i, name, sizeof name);
        assert_ok(run_on("cuda", root, device_sets, 2, name, &alone, NULL));
        assert_int_equal(json_array_size(alone), MACHINES * N_LABELS);
        for (size_t k = 0; k < json_array_size(alone); ++k) {
            const json_t *row   = json_array_get(alone, k);
            const char   *label = json_string_value(json_object_get(row, "detector"));
            double        s[N_TEST];
            int           decision[N_TEST];
            read_machine(root, label, k >= N_LABELS, 0, s, decision);
            if (json_number_value(json_object_get(row, "score")) != s[i])
                fail_msg("%s of %s, clip %d: %.17g, want %.17g", label,
                         machine_names[k >= N_LABELS], i,
                         json_number_value(json_object_get(row, "score")), s[i]);
        }
        json_decref(alone);
    }
}

/* What is said to have worked is what has. */
static void test_device(void **state)
{
    (void)state;
    static char *const host_only[] = {(char *)"score.detectors=[density = near5 | local_density]",
                                      (char *)"score.fusion=[]"};
    const char        *root        = asd_test_folder(), *why;
    int                cuda        = asd_cuda_count(&why) > 0;
    json_t            *used;
    asd_device         d;
    make(root, 0, NULL);
    assert_ok(run_on("auto", root, device_sets, 2, NULL, NULL, &used));
    assert_true(!strncmp(json_string_value(used), cuda ? "cuda:0 " : "cpu", cuda ? 7 : 4));
    json_decref(used);
    assert_ok(run_on("auto", root, host_only, 2, NULL, NULL, &used));
    assert_string_equal(json_string_value(used), "cpu");
    json_decref(used);
    if (!cuda)
        assert_fails(asd_device_choose("cuda", &d), ASD_E_DEVICE, "--device cuda: ");
    assert_fails(asd_device_choose("cuda:99", &d), ASD_E_DEVICE, "--device cuda:99: ");
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("tools/score-embeddings/fused", test_fused),
    ASD_CASE("tools/score-embeddings/blind", test_blind),
    ASD_CASE("tools/score-embeddings/refused", test_refused),
    ASD_CASE("tools/score-embeddings/cuda", test_cuda),
    ASD_CASE("tools/score-embeddings/cuda-alone", test_cuda_alone),
    ASD_CASE("tools/score-embeddings/device", test_device),
};

ASD_TEST_MAIN(cases)
