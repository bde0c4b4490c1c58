/* test_info_gpu.c - asd-info's section of CUDA, on whatever device this program has: none, one that
 * runs on the CPU (cmake/simt.cmake), a real one; and as text.
 */
#include "harness.h"

#include "base/device.h"
#include "cuda/gpu.h"
#include "tools/info.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *text_of(const json_t *o, const char *key)
{
    const char *text = json_string_value(json_object_get(o, key));
    if (!text)
        fail_msg("%s is missing", key);
    return text;
}

static void test_devices(void **state)
{
    (void)state;
    const char *why;
    int         n = asd_cuda_count(&why);
    json_t     *o = info_cuda();
    assert_int_equal(json_integer_value(json_object_get(o, "devices")), n);
    assert_int_equal((int)json_array_size(json_object_get(o, "device")), n);
    if (n == 0) {
        assert_string_equal(text_of(o, "note"), why);
        assert_null(json_object_get(o, "libraries")); /* not opened where they are of no use */
    } else {
        assert_true(json_is_null(json_object_get(o, "note")));
        assert_true(*text_of(o, "libraries") != 0);
    }
    for (int i = 0; i < n; ++i) {
        char          capability[16];
        asd_gpu_info  info;
        const json_t *d = json_array_get(json_object_get(o, "device"), (size_t)i);
        assert_ok(asd_gpu_ask(i, &info));
        snprintf(capability, sizeof capability, "%d.%d", info.major, info.minor);
        assert_int_equal(json_integer_value(json_object_get(d, "index")), i);
        assert_string_equal(text_of(d, "name"), info.name);
        assert_string_equal(text_of(d, "compute_capability"), capability);
        assert_int_equal(json_integer_value(json_object_get(d, "multiprocessors")), info.sms);
        assert_true(json_integer_value(json_object_get(d, "memory_bytes")) ==
                    (json_int_t)info.total_bytes);
    }
    json_decref(o);
}

static void printed(const char *json, char *out, size_t size)
{
    json_error_t error;
    json_t      *o = json_loads(json, 0, &error);
    if (!o)
        fail_msg("%s", error.text);
    FILE *f = fmemopen(out, size, "w");
    assert_non_null(f);
    info_print(o, f);
    assert_int_equal(fclose(f), 0);
    json_decref(o);
}

static void test_text(void **state)
{
    (void)state;
    char out[4096];
    printed(
        "{\"schema\": \"asd.info/1\", \"cuda\": {\"devices\": 2, \"note\": null, \"driver\": "
        "\"13.0\", \"device\": [{\"index\": 0, \"name\": \"NVIDIA H100\", "
        "\"compute_capability\": \"9.0\", \"memory_bytes\": 85899345920, \"cache_bytes\": null, "
        "\"clock_hz\": 1980000000, \"memory_bus_bits\": 5120}, {\"index\": 1, \"error\": "
        "\"GPU 1 fell off the bus\"}]}}",
        out, sizeof out);
    assert_string_equal(out,
                        "cuda\n"
                        "  devices                 2\n"
                        "  note                    -\n"
                        "  driver                  13.0\n"
                        "  device 0                NVIDIA H100, compute capability 9.0, memory "
                        "80.0 GiB, clock 1980 MHz,\n"
                        "                          memory bus bits 5120\n"
                        "  device 1                error GPU 1 fell off the bus\n");
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("tools/info-gpu/devices", test_devices),
    ASD_CASE("tools/info-gpu/text", test_text),
};

ASD_TEST_MAIN(cases)
