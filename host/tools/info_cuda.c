/* info_cuda.c - asd-info's section of CUDA: devices, driver, libraries, or one line why there are
 * none.
 */
#include "tools/info.h"

#include "base/build.h"
#include "base/device.h"
#include "cuda/gpu.h"

#include <string.h>

/* 13020 = "13.2"; null where it is not told. */
static json_t *version_text(int version)
{
    return version ? json_sprintf("%d.%d", version / 1000, version % 1000 / 10) : json_null();
}

static json_t *number_or_null(int64_t value)
{
    return value ? json_integer(value) : json_null();
}

static json_t *collect_device(int index, asd_gpu_info *info)
{
    json_t    *o  = json_object();
    asd_status st = asd_gpu_ask(index, info);
    json_object_set_new(o, "index", json_integer(index));
    if (st) { /* one that is there and cannot be asked must not hide the others */
        json_object_set_new(o, "error", json_string(asd_error_text()));
        return o;
    }
    json_object_set_new(o, "name", json_string(info->name));
    json_object_set_new(o, "compute_capability", json_sprintf("%d.%d", info->major, info->minor));
    json_object_set_new(o, "multiprocessors", json_integer(info->sms));
    json_object_set_new(o, "memory_bytes", json_integer((json_int_t)info->total_bytes));
    json_object_set_new(o, "memory_free_bytes", json_integer((json_int_t)info->free_bytes));
    json_object_set_new(o, "cache_bytes", number_or_null(info->l2_bytes));
    json_object_set_new(o, "clock_hz", number_or_null(info->sm_clock_hz));
    json_object_set_new(o, "memory_clock_hz", number_or_null(info->memory_clock_hz));
    json_object_set_new(o, "memory_bus_bits", number_or_null(info->memory_bus_bits));
    return o;
}

json_t *info_cuda(void)
{
    const char *why = NULL;
    char        libraries[512];
    int         n = asd_cuda_count(&why), driver = 0, runtime = 0;
    json_t     *o = json_object(), *devices = json_array();
    for (int i = 0; i < n; ++i) {
        asd_gpu_info info = {0};
        json_array_append_new(devices, collect_device(i, &info));
        driver  = info.driver_version ? info.driver_version : driver;
        runtime = info.runtime_version ? info.runtime_version : runtime;
    }
    json_object_set_new(o, "toolkit", *asd_build.cuda ? json_string(asd_build.cuda) : json_null());
    json_object_set_new(o, "devices", json_integer(n));
    json_object_set_new(o, "note", n ? json_null() : json_string(why));
    if (n > 0) { /* opening the libraries takes seconds: only where they can be used */
        json_object_set_new(o, "driver", version_text(driver));
        json_object_set_new(o, "runtime", version_text(runtime));
        json_object_set_new(o, "libraries",
                            json_string(asd_gpu_libraries(libraries, sizeof libraries)));
        json_object_set_new(o, "device", devices);
    } else {
        json_decref(devices);
    }
    return o;
}
