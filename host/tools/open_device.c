/* open_device.c - see open_device.h. */
#include "tools/open_device.h"

#include "base/log.h"

#include <string.h>

asd_status asd_device_open(const char *typed, const asd_device *d, asd_gpu **gpu)
{
    const char *why = "";
    *gpu            = NULL;
    if (d->cuda)
        return asd_gpu_open(d->index, gpu);
    if (!strcmp(typed, "auto") && !asd_cuda_count(&why))
        asd_note("on the CPU: %s", why);
    return ASD_OK;
}

json_t *asd_device_json(const asd_device *d, const asd_gpu *gpu)
{
    asd_gpu_info info;
    if (!gpu)
        return json_string("cpu");
    if (asd_gpu_query(gpu, &info))
        return json_sprintf("cuda:%d", d->index);
    return json_sprintf("cuda:%d %s", d->index, info.name);
}
