/* fuzz_pickle.c - one pickle; every storage that it names is there, if it is small. */
#include "fuzz_weights.h"

static const unsigned char storage[4096];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    asd_pt_pickle       p;
    asd_weights         w  = {.path = strdup("fuzz"), .root = ""};
    asd_weights_builder b  = {.w = &w};
    size_t              at = 0;
    asd_status          st = asd_pt_pickle_read("fuzz", data, size, &at, &p);
    MUST(at <= size);
    for (int64_t i = 0; !st && i < p.n_storages; ++i) {
        asd_pt_storage *s = &p.storage[i];
        MUST(asd_pt_find_storage(&p, s->key, s->key_bytes) == s);
        const uint64_t bytes = (uint64_t)s->n * asd_wdtype_bytes(s->dtype);
        if (bytes <= sizeof storage)
            st = asd_pt_give(&p, s, storage, bytes);
    }
    if (!st)
        st = asd_weights_from_pickle(&b, &p);
    if (!st)
        st = asd_weights_finish(&b);
    MUST(!st || st == ASD_E_DATA);
    if (!st)
        fuzz_use_weights(&w, storage, sizeof storage);
    asd_pt_pickle_close(&p);
    asd_weights_close(&w);
    return 0;
}
