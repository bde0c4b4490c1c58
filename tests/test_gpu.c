/* test_gpu.c - the device's interface (cuda/gpu.h) and the opening of CUDA's libraries. Built once
 * with the program's own device code and once against the one that runs kernels on the CPU; cases
 * that need a device skip where there is none.
 */
#include "harness.h"

#include "base/device.h"
#include "cuda/gpu.h"
#include "cuda/libraries.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* --- libraries --- */

/* Any library serves; one that tells no version counts as 0.0.0. */
static const asd_library_spec absent = {
    .name       = "cuNothing",
    .sonames    = {"libcunothing.so.13", "libcunothing.so.12"},
    .version    = "cunothingGetVersion",
    .major_unit = 1000,
    .pip_folder = "cunothing",
    .install    = "it cannot be installed",
};

static const asd_library_spec maths = {
    .name       = "maths",
    .sonames    = {"libcunothing.so.13", "libm.so.6"},
    .version    = "noSuchFunction",
    .major_unit = 1000,
    .pip_folder = "maths",
    .install    = "every system has it",
};

static void test_library_absent(void **state)
{
    (void)state;
    asd_library l;
    unsetenv("ASD_CUDA_LIBRARIES");
    assert_int_equal(setenv("CUDA_HOME", "/a cuda", 1), 0);
    assert_fails(asd_library_open(&absent, &l), ASD_E_DEVICE, "cuNothing is needed");
    static const char *const told[] = {"libcunothing.so.13, libcunothing.so.12",
                                       "linker's path",
                                       "/a cuda/lib64",
                                       "/a cuda/lib",
                                       "/usr/local/cuda/lib64",
                                       "it cannot be installed"};
    for (size_t i = 0; i < sizeof told / sizeof *told; ++i)
        if (!asd_test_contains(asd_error_text(), told[i]))
            fail_msg("\"%s\" lacks \"%s\"", asd_error_text(), told[i]);
    assert_null(l.handle);
    unsetenv("CUDA_HOME");
}

static void test_library_open(void **state)
{
    (void)state;
    asd_library l;
    void       *symbol;
    unsetenv("ASD_CUDA_LIBRARIES");
    assert_ok(asd_library_open(&maths, &l));
    assert_string_equal(l.version, "0.0.0");
    assert_ok(asd_library_function(&l, "cosf", &symbol));
    assert_non_null(symbol);
    assert_fails(asd_library_function(&l, "cufftExecR2C", &symbol), ASD_E_DEVICE,
                 "maths 0.0.0 has no function cufftExecR2C");
    assert_null(symbol);
}

/* Found, and of a version that will not do. */
static void test_library_old(void **state)
{
    (void)state;
    asd_library      l;
    asd_library_spec old = maths;
    old.oldest_major     = 11;
    assert_fails(asd_library_open(&old, &l), ASD_E_DEVICE, "needs 11.0 or later");
    assert_null(l.handle);
}

/* A file of that name that is no library: the reason is told, not "not found" alone. */
static void test_library_damaged(void **state)
{
    (void)state;
    char        path[512];
    asd_library l;
    const char *folder = asd_test_folder();
    snprintf(path, sizeof path, "%s/libcunothing.so.12", folder);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs("this is no library", f);
    fclose(f);
    assert_int_equal(setenv("ASD_CUDA_LIBRARIES", folder, 1), 0);
    assert_fails(asd_library_open(&absent, &l), ASD_E_DEVICE, path);
    assert_fails(asd_library_open(&maths, &l), ASD_E_DEVICE, "maths"); /* that folder only */
    unsetenv("ASD_CUDA_LIBRARIES");
}

static void test_library_versions(void **state)
{
    (void)state;
    char        text[256], small[24], folder[512];
    const char *names[] = {"cuBLASLt ", "cuFFT ", "cuDNN ", "NCCL "};
    snprintf(folder, sizeof folder, "%s", asd_test_folder());
    assert_int_equal(setenv("ASD_CUDA_LIBRARIES", folder, 1), 0);
    assert_string_equal(asd_library_versions(text, sizeof text),
                        "cuBLASLt not found, cuFFT not found, cuDNN not found, NCCL not found");
    assert_string_equal(asd_library_versions(small, sizeof small), "cuBLASLt not found, cuF");
    unsetenv("ASD_CUDA_LIBRARIES");
    for (size_t i = 0; i < sizeof names / sizeof *names; ++i)
        assert_true(asd_test_contains(asd_library_versions(text, sizeof text), names[i]));
}

/* --- without a device --- */

static int devices(void)
{
    const char *why;
    return asd_cuda_count(&why);
}

static void test_no_device(void **state)
{
    (void)state;
    const char  *why = NULL;
    asd_gpu     *g;
    asd_gpu_info info;
    asd_device   chosen;
    if (asd_cuda_count(&why))
        skip();
    assert_true(strlen(why) > 10 && !strchr(why, '\n'));
    assert_fails(asd_gpu_open(0, &g), ASD_E_DEVICE, why);
    assert_null(g);
    assert_fails(asd_gpu_ask(0, &info), ASD_E_DEVICE, why);
    assert_fails(asd_device_choose("cuda", &chosen), ASD_E_DEVICE, why);
    assert_ok(asd_device_choose("auto", &chosen));
    assert_int_equal(chosen.cuda, 0);
}

/* What a user sees: exit code 4 and one line. */
static void test_program_without(void **state)
{
    (void)state;
    char        line[1024], *out;
    const char *bin = getenv("ASD_BIN");
    if (devices())
        skip();
    snprintf(line, sizeof line,
             "'%s/asd-train' '%s/recipes/dcase-baseline.yaml' --device cuda 2>&1",
             bin && *bin ? bin : "build", asd_test_source());
    assert_int_equal(asd_test_shell(line, &out), 4);
    char *end = strchr(out, '\n');
    if (!end || end[1] || !asd_test_contains(out, "--device cuda: "))
        fail_msg("want one line, got: %s", out);
    free(out);
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("gpu/library/absent", test_library_absent),
    ASD_CASE("gpu/library/open", test_library_open),
    ASD_CASE("gpu/library/old", test_library_old),
    ASD_CASE("gpu/library/damaged", test_library_damaged),
    ASD_CASE("gpu/library/versions", test_library_versions),
    ASD_CASE("gpu/none/one-clear-line", test_no_device),
    ASD_CASE("gpu/none/exit-code", test_program_without),
};

ASD_TEST_MAIN(cases)
