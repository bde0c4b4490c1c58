/* test_weights_map.c - checkpoints into parameter stores: names, parts, shapes, and what is
 * refused. */
#include "harness.h"

#include "nn/weights_map.h"
#include "weights_writer.h"

#include <limits.h>

static const char *file_path(void)
{
    static char path[PATH_MAX];
    if (!*path)
        snprintf(path, sizeof path, "%s/w.pt", asd_test_folder());
    return path;
}

static void test_rename(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to, *name, *want; /* want NULL: does not fit */
    } c[] = {
        {"a.b", "x", "a.b", "x"},
        {"a.b", "x", "a.bc", NULL},
        {"a.b", "x", "a.", NULL},
        {"a.b", NULL, "a.b", ""},
        {"a.*", "x.*", "a.b", "x.b"},
        {"a.*", "x.*", "a.b.c", NULL}, /* '*' stops at '.' */
        {"a.*", "x.*", "a.", NULL},    /* and stands for one character at least */
        {"a.**", "x.**", "a.b.c", "x.b.c"},
        {"**", "**", "a.b.c", "a.b.c"},
        {"l.*.q.**", "layer.*.qkv.**", "l.11.q.weight", "layer.11.qkv.weight"},
        {"l.*.q.**", "layer.*.qkv.**", "l.11.k.weight", NULL},
        {"*.*", "<*|*>", "ab.cd", "<ab|cd>"},
        {"**.norm.*", "**.n.*", "a.norm.norm.b", "a.norm.n.b"}, /* shortest that fits */
        {"*x", "*", "axxx", "axx"},
        {"l*.w", "layer *", "l12.w", "layer 12"},
    };
    for (size_t i = 0; i < sizeof c / sizeof *c; ++i) {
        const asd_weights_rule r = {c[i].from, c[i].to, 0, 0, 0};
        char                   to[64];
        const int              fits = asd_weights_rename(&r, c[i].name, to, sizeof to);
        if (fits != (c[i].want != NULL) || (fits && strcmp(to, c[i].want)))
            fail_msg("%s -> %s of %s: %s", c[i].from, c[i].to ? c[i].to : "-", c[i].name,
                     fits ? to : "does not fit");
    }
}

/* --- a network of two layers, and its file --- */

enum { C = 2 };

static const float x[64] = {1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16,
                            17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32};

static void make_store(asd_params *p)
{
    int i;
    asd_params_init(p);
    assert_ok(asd_params_need(p, "layer.0.qkv.weight", (asd_shape){2, {3 * C, C}}, ASD_INIT_ONE, C,
                              1, &i));
    assert_ok(
        asd_params_need(p, "layer.0.qkv.bias", (asd_shape){1, {3 * C}}, ASD_INIT_ONE, C, 1, &i));
    assert_ok(asd_params_need(p, "patch.weight", (asd_shape){2, {3, 4}}, ASD_INIT_ONE, 4, 1, &i));
    assert_ok(asd_params_need(p, "gate", (asd_shape){1, {5}}, ASD_INIT_ONE, 1, 1, &i));
    assert_ok(asd_params_need(p, "positions", (asd_shape){2, {3, 2}}, ASD_INIT_ONE, 1, 1, &i));
    assert_ok(asd_params_need(p, "time", (asd_shape){2, {3, 2}}, ASD_INIT_ONE, 1, 1, &i));
    assert_ok(asd_params_need(p, "mean", (asd_shape){1, {4}}, ASD_INIT_ZERO, 1, 0, &i));
    assert_ok(
        asd_params_need(p, "layer.0.qkv.lora_A", (asd_shape){1, {2}}, ASD_INIT_ONE, 1, 1, &i));
    assert_ok(asd_params_alloc(p, 0));
    asd_params_reset(p, 1, 1);
}

static const asd_weights_rule rules[] = {
    {"enc.*.q_proj.**", "layer.*.qkv.**", 0, 0, 3},
    {"enc.*.k_proj.**", "layer.*.qkv.**", 0, 1, 3},
    {"enc.*.v_proj.**", "layer.*.qkv.**", 0, 2, 3},
    {"patch_embedding.weight", "patch.weight", ASD_MAP_FLAT, 0, 0},
    {"enc.*.grep_a", "gate", 0, 0, 0},
    {"positions", "positions", ASD_MAP_FIRST, 0, 0},
    {"time_pos_embed", "time", ASD_MAP_TRANSPOSE, 0, 0},
    {"bn.running_mean", "mean", 0, 0, 0},
    {"head.**", NULL, 0, 0, 0},
};
static const char *const     leaves[] = {"**.lora_A", NULL};
static const asd_weights_map map = {"model.", rules, sizeof rules / sizeof *rules, NULL, leaves};

enum { N_FILE = 16, K_WEIGHT = 2, GATE = 7, POSITIONS = 9, EMA = 13, SPARE = 14 };
static const ww_tensor file[N_FILE] = {
    {"", "model.enc.0.q_proj.weight", 2, {C, C}, x},
    {"", "model.enc.0.q_proj.bias", 1, {C}, x},
    {"", "model.enc.0.k_proj.weight", 2, {C, C}, x + 4},
    {"", "model.enc.0.k_proj.bias", 1, {C}, x + 2},
    {"", "model.enc.0.v_proj.weight", 2, {C, C}, x + 8},
    {"", "model.enc.0.v_proj.bias", 1, {C}, x + 4},
    {"", "model.patch_embedding.weight", 4, {3, 1, 2, 2}, x + 3},
    {"", "model.enc.0.grep_a", 4, {1, 5, 1, 1}, x + 5},
    {"", "model.enc.1.grep_a", 4, {1, 5, 1, 1}, x + 5}, /* a copy that is the same */
    {"", "positions", 3, {1, 5, 2}, x + 7},             /* no prefix; more rows than needed */
    {"", "model.time_pos_embed", 4, {1, 2, 1, 3}, x + 9},
    {"", "model.bn.running_mean", 1, {4}, x + 11},
    {"", "model.head.weight", 2, {7, 2}, x},
    {"ema", "enc.0.nobody", 1, {3}, x}, /* not in the state dictionary */
    {"", "spare", 1, {1}, x},
    {"", "spare2", 1, {1}, x},
};

/* Writes file[] with one tensor changed, opens it. */
static void open_file(asd_weights *w, const ww_tensor *t, int n)
{
    ww_write(WW_ZIP, file_path(), t, n, NULL, 0);
    assert_ok(asd_weights_open(file_path(), w));
}

static const float *value(const asd_params *p, const char *name)
{
    return asd_params_value(p, asd_params_find(p, name));
}

static void test_load(void **state)
{
    (void)state;
    asd_params  p;
    asd_weights w;
    make_store(&p);
    open_file(&w, file, SPARE);
    assert_ok(asd_weights_load(&w, &map, &p));
    assert_memory_equal(value(&p, "layer.0.qkv.weight"), x, 12 * sizeof *x); /* q, k, v rows */
    assert_memory_equal(value(&p, "layer.0.qkv.bias"), x, 6 * sizeof *x);
    assert_memory_equal(value(&p, "patch.weight"), x + 3, 12 * sizeof *x);
    assert_memory_equal(value(&p, "gate"), x + 5, 5 * sizeof *x);
    assert_memory_equal(value(&p, "positions"), x + 7, 6 * sizeof *x);
    for (int r = 0; r < 3; ++r)
        for (int c = 0; c < 2; ++c)
            assert_true(value(&p, "time")[r * 2 + c] == x[9 + c * 3 + r]);
    assert_memory_equal(value(&p, "mean"), x + 11, 4 * sizeof *x);
    assert_true(value(&p, "layer.0.qkv.lora_A")[0] == 1); /* left alone */
    asd_weights_close(&w);
    asd_params_clear(&p);
}

static void refuse(const ww_tensor *t, int n, const asd_weights_map *m, const char *message)
{
    asd_params  p;
    asd_weights w;
    make_store(&p);
    open_file(&w, t, n);
    assert_fails(asd_weights_load(&w, m, &p), ASD_E_DATA, message);
    assert_true(asd_test_contains(asd_error_text(), file_path()));
    asd_weights_close(&w);
    asd_params_clear(&p);
}

static void test_refused(void **state)
{
    (void)state;
    ww_tensor t[N_FILE];
    memcpy(t, file, sizeof t);
    refuse(t, N_FILE, &map, "2 unexpected: spare, spare2");
    refuse(t + 1, SPARE - 1, &map, "1 missing: a part of layer.0.qkv.weight");
    refuse(t + 6, SPARE - 6, &map, "2 missing: layer.0.qkv.weight, layer.0.qkv.bias");
    t[0].name = "model.enc.7.q_proj.weight"; /* the network has no layer 7 */
    refuse(t, SPARE, &map,
           "1 missing: a part of layer.0.qkv.weight; 1 unexpected: model.enc.7.q_proj.weight (as "
           "layer.7.qkv.weight)");
    memcpy(t, file, sizeof t);
    t[K_WEIGHT].dim[1] = 3;
    refuse(t, SPARE, &map,
           "1 of another shape: model.enc.0.k_proj.weight [2,3] for layer.0.qkv.weight");
    memcpy(t, file, sizeof t);
    t[POSITIONS].dim[1] = 2; /* fewer rows than needed */
    refuse(t, SPARE, &map, "positions [1,2,2] for positions");
    memcpy(t, file, sizeof t);
    t[GATE].x = x + 6;
    refuse(t, SPARE, &map, "model.enc.1.grep_a differs from another copy of gate");
    /* Without the rule for adapters they are missing; with `fills` only some are looked for. */
    const asd_weights_map all = {"model.", rules, map.n_rules, NULL, NULL};
    refuse(file, SPARE, &all, "1 missing: layer.0.qkv.lora_A");
    const char *const     fills[] = {"gate", "mean", NULL};
    const asd_weights_map some    = {"model.", rules, map.n_rules, fills, NULL};
    refuse(file, GATE, &some, "2 missing: gate, mean");
}

/* A wrong prefix, so that no name fits: everything is listed, ten of each. */
static void test_nothing_fits(void **state)
{
    (void)state;
    static ww_tensor t[25];
    static char      name[25][16];
    for (int i = 0; i < 25; ++i) {
        snprintf(name[i], sizeof name[i], "other.%d", i);
        t[i] = (ww_tensor){"", name[i], 1, {1}, x};
    }
    refuse(t, 25, &map, "7 missing: layer.0.qkv.weight, ");
    assert_true(asd_test_contains(asd_error_text(), "25 unexpected: other.0, other.1, "));
    assert_true(asd_test_contains(asd_error_text(), "other.9, ..."));
    assert_false(asd_test_contains(asd_error_text(), "other.10"));
}

static void test_prefix(void **state)
{
    (void)state;
    const char *const prefixes[] = {"", "backbone.", "model.", NULL};
    asd_weights       w;
    open_file(&w, file, SPARE);
    assert_string_equal(asd_weights_prefix(&w, "enc.0.q_proj.weight", prefixes), "model.");
    assert_string_equal(asd_weights_prefix(&w, "positions", prefixes), "");
    assert_null(asd_weights_prefix(&w, "enc.0.nobody", prefixes));
    asd_weights_close(&w);
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("weights/map/rename", test_rename),
    ASD_CASE("weights/map/load", test_load),
    ASD_CASE("weights/map/refused", test_refused),
    ASD_CASE("weights/map/nothing-fits", test_nothing_fits),
    ASD_CASE("weights/map/prefix", test_prefix),
};
ASD_TEST_MAIN(cases)
