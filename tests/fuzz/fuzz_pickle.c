/* fuzz_pickle.c - one pickle; every storage that it names is there, if it is small. */
#include "fuzz_weights.h"

enum { MOST = 4096 }; /* bytes of a storage */

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
        if (bytes <= MOST) /* a block of its own, so that a step outside is seen */
            st = asd_pt_give(&p, s, calloc(bytes + !bytes, 1), bytes);
    }
    if (!st)
        st = asd_weights_from_pickle(&b, &p);
    if (!st)
        st = asd_weights_finish(&b);
    MUST(!st || st == ASD_E_DATA);
    if (!st)
        fuzz_use_weights(&w, NULL, MOST);
    for (int64_t i = 0; i < p.n_storages; ++i)
        free((void *)(uintptr_t)p.storage[i].data);
    asd_pt_pickle_close(&p);
    asd_weights_close(&w);
    return 0;
}
