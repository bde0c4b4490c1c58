/* embed_h5_parts.c - see embed_h5_parts.h. */
#include "data/embed_h5_parts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static herr_t look_at(unsigned depth, const H5E_error2_t *error, void *ctx)
{
    asd_h5_quiet *q  = ctx;
    const char   *at = strstr(error->desc, "errno = ");
    (void)depth;
    if (at && !q->number)
        q->number = atoi(at + 8);
    if (!*q->text)
        snprintf(q->text, sizeof q->text, "%s", error->desc);
    return 0;
}

/* HDF5 calls this when one of its functions fails; the next call, that of a clean-up, clears the
 * stack. */
static herr_t keep(hid_t stack, void *ctx)
{
    asd_h5_quiet *q = ctx;
    if (!q->number)
        H5Ewalk2(stack, H5E_WALK_UPWARD, look_at, q);
    return 0;
}

void asd_h5_enter(asd_h5_quiet *q)
{
    /* Files are closed here one by one. HDF5's own end would try again to write what a full disk
     * refused, and tell the terminal about it. Fails harmlessly when the library is in use already.
     */
    H5dont_atexit();
    memset(q, 0, sizeof *q);
    H5Eget_auto2(H5E_DEFAULT, &q->print, &q->data);
    H5Eset_auto2(H5E_DEFAULT, keep, q);
}

void asd_h5_leave(const asd_h5_quiet *q)
{
    H5Eset_auto2(H5E_DEFAULT, q->print, q->data);
}

asd_status asd_h5_fail(asd_status otherwise, const char *path, const char *what)
{
    H5E_auto2_t   print = NULL;
    void         *data  = NULL;
    asd_h5_quiet *q     = NULL;
    H5Eget_auto2(H5E_DEFAULT, &print, &data);
    ASD_ASSERT(print == keep);
    q = data;
    if (q->number)
        return ASD_FAIL(ASD_E_IO, "%s: %s: %s", path, what, strerror(q->number));
    return ASD_FAIL(otherwise, "%s: %s: %s", path, what,
                    *q->text ? q->text : "HDF5 says no reason");
}

hid_t asd_h5_access(void)
{
    hid_t p = H5Pcreate(H5P_FILE_ACCESS);
    /* No locks: a file has one writer, which alone knows its temporary name, and does not change
     * afterwards; and some network file systems refuse locks. */
    if (p >= 0 && (H5Pset_libver_bounds(p, H5F_LIBVER_V110, H5F_LIBVER_V110) < 0 ||
                   H5Pset_file_locking(p, 0, 1) < 0)) {
        H5Pclose(p);
        return -1;
    }
    return p;
}

int asd_h5_dims(const asd_embeddings *e, hsize_t dims[3])
{
    dims[0] = (hsize_t)e->N;
    dims[1] = (hsize_t)(e->form == ASD_EMBED_PLAIN ? e->D : e->rows);
    dims[2] = (hsize_t)e->D;
    return e->form == ASD_EMBED_PLAIN ? 2 : 3;
}

size_t asd_h5_width(char *const *text, int64_t n)
{
    size_t width = 1;
    for (int64_t i = 0; i < n; ++i) {
        size_t length = strlen(text[i]);
        width         = length > width ? length : width;
    }
    return width;
}

char *asd_h5_pack(char *const *text, int64_t n, size_t width)
{
    char *packed = calloc((size_t)n + 1, width);
    for (int64_t i = 0; packed && i < n; ++i)
        memcpy(packed + (size_t)i * width, text[i], strlen(text[i]));
    return packed;
}

asd_status asd_h5_hash_head(XXH3_state_t *hash, const asd_embeddings *e, const char *path)
{
    size_t width = asd_h5_width(e->clip, e->N);
    char  *names = asd_h5_pack(e->clip, e->N, width);
    char  *audio = asd_h5_pack(e->audio, e->N, ASD_EMBED_HASH_DIGITS);
    if (names && audio) {
        XXH3_128bits_reset(hash);
        XXH3_128bits_update(hash, names, (size_t)e->N * width);
        XXH3_128bits_update(hash, e->n_samples, (size_t)e->N * sizeof *e->n_samples);
        if (e->n_rows)
            XXH3_128bits_update(hash, e->n_rows, (size_t)e->N * sizeof *e->n_rows);
        XXH3_128bits_update(hash, audio, (size_t)e->N * ASD_EMBED_HASH_DIGITS);
    }
    asd_status st =
        names && audio ? ASD_OK
                       : ASD_FAIL(ASD_E_OOM, "%s: no memory for %lld names", path, (long long)e->N);
    free(names);
    free(audio);
    return st;
}

void asd_h5_hash_end(XXH3_state_t *hash, char hex[ASD_EMBED_HASH_DIGITS + 1])
{
    XXH128_hash_t h = XXH3_128bits_digest(hash);
    snprintf(hex, ASD_EMBED_HASH_DIGITS + 1, "%016" PRIx64 "%016" PRIx64, h.high64, h.low64);
}
