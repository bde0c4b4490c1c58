/* open_device.c - see open_device.h. */
#include "tools/open_device.h"

#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void say_why(const char *typed, const asd_device *d)
{
    const char *why = "";
    if (!d->cuda && !strcmp(typed, "auto") && !asd_cuda_count(&why))
        asd_note("on the CPU: %s", why);
}

asd_status asd_device_settle(char **typed, const asd_device *d)
{
    char text[32] = "cpu";
    if (strcmp(*typed, "auto") != 0)
        return ASD_OK;
    say_why(*typed, d);
    if (d->cuda)
        snprintf(text, sizeof text, "cuda:%d", d->index);
    char *settled = strdup(text);
    if (!settled)
        return ASD_FAIL(ASD_E_OOM, "no memory for a name");
    free(*typed);
    *typed = settled;
    return ASD_OK;
}

asd_status asd_device_open(const char *typed, const asd_device *d, asd_gpu **gpu)
{
    *gpu = NULL;
    if (d->cuda)
        return asd_gpu_open(d->index, gpu);
    say_why(typed, d);
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
