/* fuzz_safetensors.c - the format of our own runs, and of others. The length of the header is made
 * from the input's, so that changes reach the JSON. */
#include "fuzz_weights.h"

enum { DATA = 64 };

static void try_bytes(const uint8_t *data, size_t size)
{
    asd_weights w;
    asd_status  st = asd_weights_parse("fuzz.safetensors", data, size, 0, &w);
    MUST(!st || st == ASD_E_DATA);
    if (!st)
        fuzz_use_weights(&w, data, size);
    asd_weights_close(&w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_bytes(data, size);
    if (size < 8)
        return 0;
    uint8_t *own = calloc(size + DATA, 1); /* the JSON, then data of zeros */
    MUST(own);
    memcpy(own, data, size);
    for (int i = 0; i < 8; ++i)
        own[i] = (uint8_t)((size - 8) >> 8 * i);
    for (size_t behind = 0; behind <= DATA; behind += 8)
        try_bytes(own, size + behind);
    free(own);
    return 0;
}
