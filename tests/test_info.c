/* test_info.c - asd-info as a user runs it. */
#include "harness.h"

#include "base/build.h"
#include "base/cfg.h"
#include "base/file.h"
#include "base/utf8.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int run(const char *options, char **out)
{
    char        line[PATH_MAX + 200];
    const char *bin = getenv("ASD_BIN");
    snprintf(line, sizeof line, "'%s/asd-info' %s", bin && *bin ? bin : "build", options);
    return asd_test_shell(line, out);
}

static const char *text_at(const json_t *o, const char *section, const char *key)
{
    const char *text = json_string_value(json_object_get(json_object_get(o, section), key));
    if (!text || !*text)
        fail_msg("%s.%s is missing", section, key);
    return text;
}

static void test_json(void **state)
{
    (void)state;
    static const char *const libraries[] = {
        "oneDNN",  "OpenBLAS", "kissfft", "libsndfile", "soxr",  "libfyaml", "jansson",
        "libcurl", "libzip",   "OpenSSL", "xxHash",     "cairo", "Pango",    "glibc"};
    char        *out;
    json_error_t error;
    assert_int_equal(run("--json", &out), 0);
    json_t *o = json_loads(out, JSON_REJECT_DUPLICATES, &error);
    if (!o)
        fail_msg("%s in %s", error.text, out);
    assert_string_equal(json_string_value(json_object_get(o, "schema")), "asd.info/1");
    assert_string_equal(text_at(o, "asd", "version"), ASD_VERSION);
    assert_string_equal(text_at(o, "asd", "commit"), asd_build.commit);
    assert_true(strlen(text_at(o, "asd", "compiler")) > 3);
    for (size_t i = 0; i < sizeof libraries / sizeof *libraries; ++i)
        assert_true(strpbrk(text_at(o, "libraries", libraries[i]), "0123456789") != NULL);
    /* a dynamically chosen library shows its own version, not that of a header */
    assert_string_equal(text_at(o, "libraries", "jansson"), jansson_version_str());
    const json_t *machine = json_object_get(o, "machine");
    assert_true(json_integer_value(json_object_get(machine, "cores_usable")) >= 1);
    assert_true(json_integer_value(json_object_get(machine, "memory_bytes")) > 1 << 26);
    assert_true(json_is_array(json_object_get(machine, "instructions")));
    const char *why = "";
    int         n   = asd_cuda_count(&why);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(o, "cuda"), "devices")), n);
    if (!n)
        assert_string_equal(text_at(o, "cuda", "note"), why);
    json_decref(o);
    free(out);
}

static void test_text(void **state)
{
    (void)state;
    char *out;
    assert_int_equal(run("", &out), 0);
    assert_true(asd_test_contains(out, "  version                 " ASD_VERSION "\n"));
    assert_true(asd_test_contains(out, "memory available"));
    for (char *s = strtok(out, "\n"); s; s = strtok(NULL, "\n"))
        assert_true(asd_utf8_length(s) <= 100);
    free(out);
}

static void test_environment(void **state)
{
    (void)state;
    char *out;
    assert_int_equal(setenv("OPENBLAS_NUM_THREADS", "3", 1), 0);
    assert_int_equal(run("-j 2", &out), 0);
    unsetenv("OPENBLAS_NUM_THREADS");
    assert_true(asd_test_contains(out, "  OPENBLAS_NUM_THREADS    3\n"));
    assert_true(asd_test_contains(out, "  threads                 2\n"));
    free(out);
}

/* `asd-info --recipe-docs > docs/recipes.md` gives the file of the tree, byte for byte. */
static void test_recipe_docs(void **state)
{
    (void)state;
    char   path[PATH_MAX], *out, *have;
    size_t size;
    assert_int_equal(run("--recipe-docs", &out), 0);
    assert_ok(asd_path(path, "%s/docs/recipes.md", asd_test_source()));
    assert_ok(asd_read_file(path, 1 << 20, &have, &size));
    assert_string_equal(out, have);
    free(out), free(have);
}

static void test_usage(void **state)
{
    (void)state;
    char *out;
    assert_int_equal(run("--jsn 2>&1", &out), 2);
    assert_string_equal(out, "asd-info: unknown option --jsn; did you mean --json?\n");
    free(out);
    assert_int_equal(run("x y 2>/dev/null", &out), 2);
    assert_string_equal(out, ""); /* nothing on stdout */
    free(out);
    assert_int_equal(run("-V", &out), 0);
    assert_string_equal(out, "asd " ASD_VERSION "\n");
    free(out);
    assert_int_equal(run("> /dev/full 2>/dev/null", NULL), 1); /* a full disk is no success */
    assert_int_equal(run("--json > /dev/full 2>/dev/null", NULL), 1);
}

/* --- asd-info FILE --- */

static char *golden(const char *options, const char *name)
{
    static char line[PATH_MAX + 100];
    snprintf(line, sizeof line, "%s '%s/tests/golden/%s'", options, asd_test_source(), name);
    return line;
}

static const json_t *tensor_at(const json_t *o, const char *where, const char *name)
{
    size_t        i;
    const json_t *t;
    json_array_foreach(json_object_get(o, "tensors"), i, t)
    {
        if (!strcmp(json_string_value(json_object_get(t, "name")), name) &&
            !strcmp(json_string_value(json_object_get(t, "where")), where))
            return t;
    }
    fail_msg("no tensor %s in %s", name, where);
    return NULL;
}

static void test_weights_json(void **state)
{
    (void)state;
    static const struct {
        const char *file, *format;
    } forms[] = {{"torch_zip.pt", "pytorch zip"}, {"torch_legacy.pt", "pytorch legacy"}};
    for (int i = 0; i < 2; ++i) {
        char   *out, *sum, line[PATH_MAX + 100];
        json_t *cfg;
        assert_int_equal(run(golden("--json", forms[i].file), &out), 0);
        json_t *o = json_loads(out, JSON_REJECT_DUPLICATES, NULL);
        assert_string_equal(json_string_value(json_object_get(o, "schema")), "asd.weights/1");
        assert_string_equal(json_string_value(json_object_get(o, "format")), forms[i].format);
        assert_string_equal(json_string_value(json_object_get(o, "root")), "model");
        assert_int_equal(json_integer_value(json_object_get(o, "n_tensors")), 19);
        snprintf(line, sizeof line, "sha256sum < '%s/tests/golden/%s'", asd_test_source(),
                 forms[i].file);
        assert_int_equal(asd_test_shell(line, &sum), 0);
        assert_memory_equal(sum, json_string_value(json_object_get(o, "sha256")), 64);
        const json_t *t = tensor_at(o, "model", "permuted"), *s = json_object_get(t, "shape");
        assert_string_equal(json_string_value(json_object_get(t, "dtype")), "F32");
        assert_int_equal(json_array_size(s), 3);
        assert_int_equal(json_integer_value(json_array_get(s, 0)), 4);
        assert_int_equal(json_integer_value(json_array_get(s, 2)), 3);
        assert_int_equal(json_integer_value(json_object_get(t, "elements")), 24);
        tensor_at(o, "model._ema", "plain");
        cfg = json_object_get(o, "settings");
        assert_int_equal(json_integer_value(json_object_get(cfg, "cfg.layers")), 12);
        assert_true(json_real_value(json_object_get(cfg, "cfg.dropout")) == 0.1);
        assert_string_equal(json_string_value(json_object_get(cfg, "label_dict.0")), "/m/09x0r");
        assert_true(json_is_null(json_object_get(cfg, "cfg.none")));
        json_decref(o);
        free(sum);
        free(out);
    }
}

static void test_weights_text(void **state)
{
    (void)state;
    char *out;
    assert_int_equal(run(golden("", "torch_zip.pt"), &out), 0);
    static const char *const lines[] = {"pytorch zip\n",
                                        "  cfg.layers",
                                        " 12\n",
                                        "  cfg.activation",
                                        "model (19 tensors, ",
                                        "  transposed",
                                        " F32   [4,3]\n",
                                        "model._ema (1 tensor, 6 elements), beside"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; ++i)
        if (!strstr(out, lines[i]))
            fail_msg("no \"%s\" in %s", lines[i], out);
    free(out);
    /* Files of our own runs are safetensors. */
    assert_int_equal(run(golden("", "baseline.safetensors"), &out), 0);
    assert_non_null(strstr(out, "safetensors\n"));
    free(out);
}

static void test_weights_refused(void **state)
{
    (void)state;
    char       *out, line[PATH_MAX + 100];
    const char *folder = asd_test_folder();
    const char  call[] = "\x80\2\x8a\x0al\xfc\x9c\x46\xf9 j\xa8P\x19.\x80\2M\xe9\3."
                         "\x80\2}X\x0d\0\0\0little_endian\x88s."
                         "\x80\2cos\nsystem\nX\7\0\0\0touch x\x85R.";
    snprintf(line, sizeof line, "%s/evil.pt", folder);
    assert_ok(asd_write_file(line, call, sizeof call - 1));
    snprintf(line, sizeof line, "'%s/evil.pt' 2>&1", folder);
    assert_int_equal(run(line, &out), 3);
    assert_non_null(strstr(out, "evil.pt: the pickle names os.system: refused"));
    free(out);
    assert_int_equal(run("/nonexistent.pt 2>&1", &out), 3);
    assert_non_null(strstr(out, "/nonexistent.pt"));
    free(out);
    assert_int_equal(run("a b 2>/dev/null", NULL), 2);
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("tools/info/json", test_json),
    ASD_CASE("tools/info/text", test_text),
    ASD_CASE("tools/info/environment", test_environment),
    ASD_CASE("tools/info/recipe-docs", test_recipe_docs),
    ASD_CASE("tools/info/usage", test_usage),
    ASD_CASE("tools/info/weights-json", test_weights_json),
    ASD_CASE("tools/info/weights-text", test_weights_text),
    ASD_CASE("tools/info/weights-refused", test_weights_refused),
};

ASD_TEST_MAIN(cases)
