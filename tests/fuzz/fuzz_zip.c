/* fuzz_zip.c - whole checkpoints, of any form; checksums are not compared, or every change would
 * end there. */
#include "fuzz_weights.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    asd_weights w;
    asd_status  st = asd_weights_parse("fuzz.pt", data, size, 0, &w);
    MUST(!st || st == ASD_E_DATA);
    if (!st)
        fuzz_use_weights(&w, data, size);
    asd_weights_close(&w);
    return 0;
}
