/* device.c - see device.h. */
#include "base/device.h"

#include <stdlib.h>
#include <string.h>

/* "cuda", "cuda:0": 1 and the number; anything else 0. */
static int parse_cuda(const char *text, int *index)
{
    *index = 0;
    if (strncmp(text, "cuda", 4))
        return 0;
    if (!text[4])
        return 1;
    size_t digits = text[4] == ':' ? strspn(text + 5, "0123456789") : 0;
    if (!digits || digits > 4 || text[5 + digits])
        return 0;
    *index = atoi(text + 5);
    return 1;
}

asd_status asd_device_choose(const char *text, asd_device *out)
{
    const char *why = "";
    int         cpu = !strcmp(text, "cpu"), automatic = !strcmp(text, "auto"), index;
    *out        = (asd_device){0, 0};
    int is_cuda = parse_cuda(text, &index);
    if (!cpu && !automatic && !is_cuda)
        return ASD_FAIL(ASD_E_USAGE, "--device: \"%.60s\" is none of cpu, cuda, cuda:N, auto",
                        text);
    if (cpu)
        return ASD_OK;
    int n = asd_cuda_count(&why);
    if (automatic) {
        out->cuda = n > 0;
        return ASD_OK;
    }
    if (n == 0)
        return ASD_FAIL(ASD_E_DEVICE, "--device %s: %s", text, why);
    if (index >= n)
        return ASD_FAIL(ASD_E_DEVICE, "--device %s: there are %d devices, cuda:0 to cuda:%d", text,
                        n, n - 1);
    *out = (asd_device){1, index};
    return ASD_OK;
}
