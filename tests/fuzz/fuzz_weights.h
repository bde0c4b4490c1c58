/* fuzz_weights.h - the rules that hold for whatever was opened as weights. */
#ifndef ASD_TESTS_FUZZ_WEIGHTS_H
#define ASD_TESTS_FUZZ_WEIGHTS_H

#include "fuzz.h"
#include "nn/weights_parts.h"

/* Bytes from the first element to behind the last one. */
static inline __int128 fuzz_reach(const asd_weight *t)
{
    __int128 last = 0;
    for (int d = 0; d < t->n_dims; ++d) {
        if (t->dim[d] == 0)
            return 0;
        last += (__int128)(t->dim[d] - 1) * t->stride[d];
    }
    return (last + 1) * (__int128)asd_wdtype_bytes(t->dtype);
}

/* Reads every tensor and setting. data: where tensors must lie, or NULL; n: the bytes there are. */
static inline void fuzz_use_weights(const asd_weights *w, const void *data, size_t n)
{
    const uintptr_t low = (uintptr_t)data;
    for (int64_t i = 0; i < w->n; ++i) {
        const asd_weight *t     = &w->tensor[i];
        const int64_t     count = asd_weight_count(t);
        const size_t      bytes = asd_wdtype_bytes(t->dtype);
        char              text[200];
        MUST(count >= 0 && (uint64_t)count * bytes <= n && t->name[0]);
        MUST(fuzz_reach(t) <= (__int128)t->storage_bytes_left && t->storage_bytes_left <= n);
        MUST(!data || !count ||
             ((uintptr_t)t->data >= low && t->storage_bytes_left <= low + n - (uintptr_t)t->data));
        MUST(asd_weights_find_in(w, t->where, t->name) == t);
        asd_weight_shape_text(t, text, sizeof text);
        float *x = malloc((size_t)count * sizeof *x + 1);
        MUST(x);
        (void)asd_weight_read(w, t, x);
        free(x);
    }
    for (int64_t i = 0; i < w->n_meta; ++i) {
        double    number;
        const int is_number = asd_weights_number(w, w->meta[i].key, &number);
        MUST(is_number == (w->meta[i].kind == ASD_META_NUMBER));
        MUST(!asd_weights_text(w, w->meta[i].key) == (w->meta[i].kind != ASD_META_TEXT));
    }
}

#endif
