/* fuzz_wav.c - a WAV file: header, every channel, samples. */
#include "audio/wav.h"
#include "fuzz.h"

#include <math.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    asd_wav_info info, probed;
    float       *x  = NULL;
    const char  *p  = fuzz_file(data, size);
    asd_status   st = asd_wav_read_all(p, 0, &x, &info);
    MUST(!st || st == ASD_E_DATA);
    if (!st) {
        MUST(!asd_wav_probe(p, &probed) && !memcmp(&probed, &info, sizeof info));
        MUST((uint64_t)info.frames * (uint64_t)info.channels * (uint64_t)info.bits / 8 <= size);
        for (int64_t i = 0; i < info.frames * info.channels; ++i)
            MUST(isfinite(x[i]));
    } else {
        MUST(!x);
    }
    free(x);
    return 0;
}
