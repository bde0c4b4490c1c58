/* embed_h5_parts.h - what the writing and the reading half of embed_h5 share. */
#ifndef ASD_DATA_EMBED_H5_PARTS_H
#define ASD_DATA_EMBED_H5_PARTS_H

#include "data/embed_h5.h"

#include <hdf5.h>
#include <stddef.h>
#include <xxhash.h>

#define ASD_EMBED_DATASET "embedding"
#define ASD_EMBED_HASH_DIGITS 32
#define ASD_EMBED_MAX_NAME 4096  /* bytes of a clip's name */
#define ASD_EMBED_MAX_TEXT 32768 /* bytes of key_material: an attribute holds 64 KiB at most */
#define ASD_EMBED_MAX_ROWS INT64_C(1000000000)

/* HDF5 prints its errors unless told not to, per thread. Between enter and leave it is silent, what
 * it would have printed of the first failure is kept, and then the application's setting is put
 * back. */
typedef struct asd_h5_quiet {
    H5E_auto2_t print;
    void       *data;
    int         number;    /* errno of the failure, 0 for none */
    char        text[200]; /* what the innermost function said */
} asd_h5_quiet;
void asd_h5_enter(asd_h5_quiet *q);
void asd_h5_leave(const asd_h5_quiet *q);

/* "PATH: what: why", why being the system's word (ASD_E_IO), else HDF5's own (`otherwise`). Between
 * enter and leave. */
asd_status asd_h5_fail(asd_status otherwise, const char *path, const char *what);

hid_t asd_h5_access(void); /* file access properties: format 1.10, no locks; < 0 on failure */
/* The file's shape of embedding. dims: (3); returns the rank. */
int asd_h5_dims(const asd_embeddings *e, hsize_t dims[3]);

/* Hash of clip, n_samples, n_rows and audio in their stored form; the embedding's bytes follow. */
asd_status asd_h5_hash_head(XXH3_state_t *hash, const asd_embeddings *e, const char *path);
void       asd_h5_hash_end(XXH3_state_t *hash, char hex[ASD_EMBED_HASH_DIGITS + 1]);

/* Fixed-length text rows of `width` bytes, padded with 0. Caller frees; NULL: no memory. */
char  *asd_h5_pack(char *const *text, int64_t n, size_t width);
size_t asd_h5_width(char *const *text, int64_t n); /* of the longest, at least 1 */

#endif
