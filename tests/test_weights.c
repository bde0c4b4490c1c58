/* test_weights.c - checkpoints of others: PyTorch's own files and made ones, in every form, read to
 * the last element. Hostile ones are in test_weights_hostile.c. */
#include "harness.h"

#include "base/file.h"
#include "nn/weights.h"
#include "weights_writer.h"

#include <math.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *at(const char *name)
{
    static const char *folder;
    static char        path[4][PATH_MAX];
    static int         turn;
    if (!folder)
        folder = asd_test_folder();
    turn = (turn + 1) % 4;
    assert_ok(asd_path(path[turn], "%s/%s", folder, name));
    return path[turn];
}

/* --- files that PyTorch wrote: keep in step with tests/golden/make_torch_files.py --- */

static double eighths(int64_t i)
{
    return (double)i / 8 - 1;
}

static double minus_three(int64_t i)
{
    return (double)i - 3;
}

static double counted(int64_t i)
{
    return (double)i;
}

static double thirds(int64_t i)
{
    return i % 3 == 0;
}

static double doubled(int64_t i)
{
    return 2 * eighths(i);
}

static const struct golden {
    const char *where, *name;
    asd_wdtype  dtype;
    int         n_dims;
    int64_t     dim[3], stride[3]; /* by numpy's hand: elements */
    int64_t     offset;
    double (*value)(int64_t); /* of element i of the storage */
} golden[] = {
    {"model", "plain", ASD_W_F32, 2, {2, 3}, {3, 1}, 0, eighths},
    {"model", "parameter", ASD_W_F32, 1, {4}, {1}, 0, eighths},
    {"model", "shared.first", ASD_W_F32, 2, {3, 4}, {4, 1}, 0, eighths},
    {"model", "shared.second", ASD_W_F32, 2, {2, 6}, {6, 1}, 12, eighths},
    {"model", "transposed", ASD_W_F32, 2, {4, 3}, {1, 4}, 0, eighths},
    {"model", "permuted", ASD_W_F32, 3, {4, 2, 3}, {1, 12, 4}, 0, eighths},
    {"model", "every_other", ASD_W_F32, 1, {5}, {2}, 1, eighths},
    {"model", "double", ASD_W_F64, 1, {5}, {1}, 0, eighths},
    {"model", "half", ASD_W_F16, 1, {5}, {1}, 0, eighths},
    {"model", "bfloat", ASD_W_BF16, 1, {5}, {1}, 0, eighths},
    {"model", "long", ASD_W_I64, 1, {5}, {1}, 0, minus_three},
    {"model", "int", ASD_W_I32, 1, {5}, {1}, 0, minus_three},
    {"model", "short", ASD_W_I16, 1, {5}, {1}, 0, minus_three},
    {"model", "char", ASD_W_I8, 1, {5}, {1}, 0, minus_three},
    {"model", "byte", ASD_W_U8, 1, {5}, {1}, 0, counted},
    {"model", "bool", ASD_W_BOOL, 1, {5}, {1}, 0, thirds},
    {"model", "scalar", ASD_W_F32, 0, {0}, {0}, 10, eighths},
    {"model", "tracked", ASD_W_I64, 0, {0}, {0}, 10, minus_three},
    {"model", "empty", ASD_W_F32, 2, {0, 3}, {3, 1}, 0, eighths},
    {"model._ema", "plain", ASD_W_F32, 2, {2, 3}, {3, 1}, 0, doubled},
};
enum { N_GOLDEN = sizeof golden / sizeof *golden };

static void check_tensor(const asd_weights *w, const struct golden *g)
{
    float             x[32];
    int64_t           i[3], n[3] = {1, 1, 1}, k = 0;
    const asd_weight *t = asd_weights_find_in(w, g->where, g->name);
    if (!t)
        fail_msg("%s: no %s in %s", w->path, g->name, g->where);
    assert_int_equal(t->dtype, g->dtype);
    assert_int_equal(t->n_dims, g->n_dims);
    for (int d = 0; d < g->n_dims; ++d) {
        assert_int_equal(t->dim[d], g->dim[d]);
        assert_int_equal(t->stride[d], g->stride[d]);
        n[d] = g->dim[d];
    }
    assert_int_equal(asd_weight_count(t), n[0] * n[1] * n[2]);
    x[asd_weight_count(t)] = -77;
    assert_ok(asd_weight_read(w, t, x));
    for (i[0] = 0; i[0] < n[0]; ++i[0])
        for (i[1] = 0; i[1] < n[1]; ++i[1])
            for (i[2] = 0; i[2] < n[2]; ++i[2], ++k) {
                int64_t from = g->offset;
                for (int d = 0; d < g->n_dims; ++d)
                    from += i[d] * g->stride[d];
                if (x[k] != (float)g->value(from))
                    fail_msg("%s: %s element %d is %g, want %g", w->path, g->name, (int)k,
                             (double)x[k], g->value(from));
            }
    assert_true(x[k] == -77); /* nothing behind */
}

static void check_golden(const char *folder, const char *file, const char *format)
{
    char        path[PATH_MAX];
    asd_weights w;
    double      v;
    assert_ok(asd_path(path, "%s/%s", folder, file));
    assert_ok(asd_weights_open(path, &w));
    assert_string_equal(w.format, format);
    assert_string_equal(w.root, "model");
    assert_int_equal(w.n, N_GOLDEN);
    for (int i = 0; i < N_GOLDEN; ++i) {
        assert_string_equal(w.tensor[i].name, golden[i].name); /* the file's order */
        check_tensor(&w, &golden[i]);
    }
    assert_null(asd_weights_find(&w, "nothing"));
    assert_ptr_equal(asd_weights_find(&w, "plain"), &w.tensor[0]);
    /* Two views of one storage. */
    assert_ptr_equal((const char *)w.tensor[3].data, (const char *)w.tensor[2].data + 12 * 4);
    assert_int_equal(w.tensor[3].storage_bytes_left, 12 * 4);
    assert_int_equal(w.tensor[2].storage_bytes_left, 24 * 4);
    assert_true(asd_weights_number(&w, "cfg.layers", &v) && v == 12);
    assert_true(asd_weights_number(&w, "cfg.dropout", &v) && v == 0.1);
    assert_true(asd_weights_number(&w, "cfg.deep_norm", &v) && v == 1);
    assert_true(asd_weights_number(&w, "cfg.bias", &v) && v == 0);
    assert_true(asd_weights_number(&w, "cfg.big", &v) && v == 0x1p70);
    assert_true(asd_weights_number(&w, "cfg.negative", &v) && v == -5);
    assert_true(asd_weights_number(&w, "cfg.nested.list.0", &v) && v == 1);
    assert_true(asd_weights_number(&w, "many.299", &v) && v == 299);
    assert_string_equal(asd_weights_text(&w, "cfg.nested.list.1"), "two");
    assert_string_equal(asd_weights_text(&w, "cfg.nested.unicode"), "Pr\xc3\xbc"
                                                                    "fstand");
    assert_string_equal(asd_weights_text(&w, "cfg.activation"), "gelu");
    assert_string_equal(asd_weights_text(&w, "label_dict.1"), "/m/05zppz");
    assert_string_equal(asd_weights_text(&w, "dtype"), "torch.float32");
    assert_false(asd_weights_number(&w, "cfg.activation", &v)); /* a text is no number */
    assert_false(asd_weights_number(&w, "cfg.none", &v));
    assert_null(asd_weights_text(&w, "cfg.layers"));
    asd_weights_close(&w);
}

static const char *golden_folder(void)
{
    static char path[PATH_MAX];
    assert_ok(asd_path(path, "%s/tests/golden", asd_test_source()));
    return path;
}

static void test_golden_zip(void **state)
{
    (void)state;
    check_golden(golden_folder(), "torch_zip.pt", "pytorch zip");
}

static void test_golden_legacy(void **state)
{
    (void)state;
    check_golden(golden_folder(), "torch_legacy.pt", "pytorch legacy");
}

/* What the PyTorch of this machine writes: newer and older ones lay files out differently. */
static void test_golden_again(void **state)
{
    (void)state;
    char        command[3 * PATH_MAX];
    const char *folder = asd_test_folder();
    snprintf(command, sizeof command,
             "p=${ASD_TORCH_PYTHON:-python3}; $p -c 'import torch' 2>/dev/null || exit 77; "
             "cp '%s/tests/golden/make_torch_files.py' '%s/' && $p '%s/make_torch_files.py'",
             asd_test_source(), folder, folder);
    const int rc = asd_test_shell(command, NULL);
    if (rc == 77) {
        print_message("skipped: no Python with torch (set ASD_TORCH_PYTHON)\n");
        skip();
    }
    assert_int_equal(rc, 0);
    check_golden(folder, "torch_zip.pt", "pytorch zip");
    check_golden(folder, "torch_legacy.pt", "pytorch legacy");
}

/* --- made files --- */

enum { N_MADE = 4 };
static const float made_x[24] = {1, -2, 3.5f, 1e-30f, 5, 6, 7, 8, 9, 10, 11, 12};

static const ww_tensor made[N_MADE] = {
    {"model", "a.weight", 2, {3, 4}, made_x},
    {"model", "a.bias", 1, {3}, made_x + 2},
    {"model", "scale", 0, {0}, made_x + 1},
    {"model._ema", "a.weight", 2, {4, 3}, made_x + 4},
};
static const ww_setting settings[] = {
    {"cfg", "encoder_layers", WW_INT, 12, NULL},    {"cfg", "huge", WW_INT, 1e12, NULL},
    {"cfg", "dropout", WW_REAL, 0.0625, NULL},      {"cfg", "deep_norm", WW_BOOL, 1, NULL},
    {"cfg", "activation_fn", WW_TEXT, 0, "gelu"},   {"cfg", "nothing", WW_NONE, 0, NULL},
    {"cfg.model", "_name", WW_TEXT, 0, "data2vec"}, {"", "epoch", WW_INT, 70000, NULL},
};

static void check_made(const char *path, const char *format)
{
    asd_weights w;
    double      v;
    float       x[12];
    assert_ok(asd_weights_open(path, &w));
    assert_string_equal(w.format, format);
    assert_int_equal(w.n, N_MADE);
    for (int i = 0; i < N_MADE; ++i) {
        const asd_weight *t = asd_weights_find_in(&w, made[i].where, made[i].name);
        assert_non_null(t);
        assert_int_equal(t->n_dims, made[i].n_dims);
        for (int d = 0; d < t->n_dims; ++d)
            assert_int_equal(t->dim[d], made[i].dim[d]);
        assert_ok(asd_weight_read(&w, t, x));
        assert_memory_equal(x, made[i].x, (size_t)asd_weight_count(t) * 4);
        if (asd_weight_mapped(t))
            assert_memory_equal(asd_weight_mapped(t), made[i].x, (size_t)asd_weight_count(t) * 4);
    }
    assert_true(asd_weights_number(&w, "cfg.encoder_layers", &v) && v == 12);
    assert_true(asd_weights_number(&w, "cfg.huge", &v) && v == 1e12);
    assert_true(asd_weights_number(&w, "cfg.dropout", &v) && v == 0.0625);
    assert_true(asd_weights_number(&w, "epoch", &v) && v == 70000);
    assert_string_equal(asd_weights_text(&w, "cfg.model._name"), "data2vec");
    asd_weights_close(&w);
}

static void test_made(void **state)
{
    (void)state;
    const int n = sizeof settings / sizeof *settings;
    ww_write(WW_ZIP, at("z.pt"), made, N_MADE, settings, n);
    check_made(at("z.pt"), "pytorch zip");
    ww_write(WW_LEGACY, at("l.pt"), made, N_MADE, settings, n);
    check_made(at("l.pt"), "pytorch legacy");
}

/* A payload of the zip form may be used where it lies. */
static void test_mapped(void **state)
{
    (void)state;
    asd_weights w;
    ww_write(WW_ZIP, at("m.pt"), made, N_MADE, NULL, 0);
    assert_ok(asd_weights_open(at("m.pt"), &w));
    for (int i = 0; i < N_MADE; ++i) {
        const asd_weight *t = &w.tensor[i];
        assert_non_null(asd_weight_mapped(t));
        assert_in_range((uintptr_t)t->data, (uintptr_t)w.map, (uintptr_t)w.map + w.map_bytes);
        assert_int_equal(((uintptr_t)t->data - (uintptr_t)w.map) % 64, 0);
    }
    asd_weights_close(&w);
}

/* Whoever takes the mapping has the elements when the file is closed. */
static void test_take_map(void **state)
{
    (void)state;
    asd_weights w;
    ww_write(WW_ZIP, at("m.pt"), made, N_MADE, NULL, 0);
    assert_ok(asd_weights_open(at("m.pt"), &w));
    const asd_weight *t     = &w.tensor[0];
    const float      *x     = asd_weight_mapped(t);
    const size_t      bytes = (size_t)asd_weight_count(t) * sizeof *x, map_bytes = w.map_bytes;
    void             *map = asd_weights_take_map(&w);
    asd_weights_close(&w);
    assert_memory_equal(x, made[0].x, bytes);
    assert_int_equal(munmap(map, map_bytes), 0);
}

static void test_safetensors(void **state)
{
    (void)state;
    const ww_tensor  t[]    = {{"encoder", "a.weight", 2, {3, 4}, made_x},
                               {"", "five", 5, {1, 2, 1, 3, 2}, made_x}};
    const ww_setting meta[] = {{"", "format", WW_TEXT, 0, "pt"}};
    asd_weights      w;
    float            x[12];
    char             text[64];
    ww_write(WW_SAFETENSORS, at("s.safetensors"), t, 2, meta, 1);
    assert_ok(asd_weights_open(at("s.safetensors"), &w));
    assert_string_equal(w.format, "safetensors");
    assert_string_equal(w.root, "");
    assert_string_equal(asd_weights_text(&w, "format"), "pt");
    assert_non_null(asd_weights_find(&w, "encoder.a.weight"));
    assert_string_equal(asd_weight_shape_text(asd_weights_find(&w, "five"), text, sizeof text),
                        "[1,2,1,3,2]");
    assert_ok(asd_weight_read(&w, asd_weights_find(&w, "five"), x));
    assert_memory_equal(x, made_x, sizeof x);
    asd_weights_close(&w);
}

/* Enough names for long memo numbers, several batches of SETITEMS and a deep search. */
static void test_many(void **state)
{
    (void)state;
    enum { N = 2500 };
    static ww_tensor t[N];
    static char      name[N][24];
    asd_weights      w;
    for (int i = 0; i < N; ++i) {
        snprintf(name[i], sizeof name[i], "layer.%d.weight", i * 7919 % N);
        t[i] = (ww_tensor){"", name[i], 1, {1 + i % 3}, made_x};
    }
    for (int form = WW_ZIP; form <= WW_LEGACY; ++form) {
        ww_write((ww_form)form, at("n.pt"), t, N, NULL, 0);
        assert_ok(asd_weights_open(at("n.pt"), &w));
        assert_int_equal(w.n, N);
        for (int i = 0; i < N; ++i) {
            const asd_weight *found = asd_weights_find(&w, name[i]);
            assert_ptr_equal(found, &w.tensor[i]);
            assert_int_equal(found->dim[0], 1 + i % 3);
        }
        asd_weights_close(&w);
    }
}

/* --- numbers --- */

/* Every half there is, against the definition: sign, 5 bits of exponent, 10 of fraction. */
static void test_halves(void **state)
{
    (void)state;
    enum { N = 65536 };
    static uint16_t half[N];
    static float    x[N];
    asd_weights     w = {.path = (char *)(uintptr_t) "halves"};
    asd_weight      t = {.name   = (char *)(uintptr_t) "h",
                         .dtype  = ASD_W_F16,
                         .n_dims = 1,
                         .dim    = {1},
                         .stride = {1}};
    for (int i = 0; i < N; ++i) {
        const int e = i >> 10 & 31, f = i & 1023;
        half[i] = (uint16_t)i;
        t.data  = &half[i];
        if (e == 31) {
            assert_fails(asd_weight_read(&w, &t, &x[i]), ASD_E_DATA, "want finite");
            continue;
        }
        assert_ok(asd_weight_read(&w, &t, &x[i]));
        const double want = (i & 0x8000 ? -1 : 1) * (e ? ldexp(1024 + f, e - 25) : ldexp(f, -24));
        assert_true(x[i] == want && !signbit(x[i]) == !signbit(want));
    }
}

static void test_not_finite(void **state)
{
    (void)state;
    const double     d[3] = {1, 1e300, 2};
    const float      f[3] = {1, 2, NAN};
    float            x[3];
    asd_weights      w = {.path = (char *)(uintptr_t) "f"};
    const asd_weight t = {.name   = (char *)(uintptr_t) "t",
                          .dtype  = ASD_W_F64,
                          .n_dims = 1,
                          .dim    = {3},
                          .stride = {1},
                          .data   = d};
    const asd_weight u = {.name   = (char *)(uintptr_t) "u",
                          .dtype  = ASD_W_F32,
                          .n_dims = 1,
                          .dim    = {3},
                          .stride = {1},
                          .data   = f};
    assert_fails(asd_weight_read(&w, &t, x), ASD_E_DATA, "f: tensor t: element 1 is inf");
    assert_fails(asd_weight_read(&w, &u, x), ASD_E_DATA, "tensor u: element 2 is nan");
}

/* What is no file at all. */
static void test_no_file(void **state)
{
    (void)state;
    asd_weights w;
    assert_fails(asd_weights_open("/nonexistent.pt", &w), ASD_E_DATA, "/nonexistent.pt");
    asd_weights_close(&w);
    assert_fails(asd_weights_open("/", &w), ASD_E_DATA, "not a file");
    asd_weights_close(&w);
    assert_int_equal(mkfifo(at("pipe"), 0600), 0);
    assert_fails(asd_weights_open(at("pipe"), &w), ASD_E_DATA, "not a file");
    asd_weights_close(&w);
    assert_ok(asd_write_file(at("empty"), "", 0));
    assert_fails(asd_weights_open(at("empty"), &w), ASD_E_DATA, "it is empty");
    asd_weights_close(&w);
}

static void test_hash(void **state)
{
    (void)state;
    char hex[65];
    assert_ok(asd_write_file(at("abc"), "abc", 3)); /* FIPS 180-4's example */
    assert_ok(asd_weights_hash(at("abc"), hex));
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_fails(asd_weights_hash(at("none"), hex), ASD_E_DATA, "none");
    char        open_hex[65];
    asd_weights w;
    ww_write(WW_ZIP, at("m.pt"), made, N_MADE, NULL, 0);
    assert_ok(asd_weights_open(at("m.pt"), &w));
    assert_ok(asd_weights_sha256(&w, open_hex));
    assert_ok(asd_weights_hash(at("m.pt"), hex));
    assert_string_equal(open_hex, hex);
    asd_weights_close(&w);
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("weights/golden/zip", test_golden_zip),
    ASD_CASE("weights/golden/legacy", test_golden_legacy),
    ASD_CASE("weights/golden/again", test_golden_again),
    ASD_CASE("weights/made/both-forms", test_made),
    ASD_CASE("weights/made/mapped", test_mapped),
    ASD_CASE("weights/made/mapping-taken", test_take_map),
    ASD_CASE("weights/made/safetensors", test_safetensors),
    ASD_CASE("weights/made/2500-tensors", test_many),
    ASD_CASE("weights/read/every-half", test_halves),
    ASD_CASE("weights/read/not-finite", test_not_finite),
    ASD_CASE("weights/open/no-file", test_no_file),
    ASD_CASE("weights/hash/known-answer", test_hash),
};
ASD_TEST_MAIN(cases)
