/* embed_h5.h - the embedding cache: one HDF5 file a stream, complete or absent, that anyone reads.
 *
 *   embedding   float32  PLAIN (N, D); LAYERS (N, layers, D); ROWS (N, P, D)
 *   clip        UTF-8, fixed length, padded with 0: names, ascending, none twice
 *   n_samples   int64 (N): what of the clip was embedded, at the encoder's rate
 *   n_rows      int64 (N): ROWS only; rows of a clip from n_rows on are NaN
 *   audio       ASCII, 32 hexadecimal digits: hash of each clip's samples as they were read
 *   attributes  key, key_material (JSON, embed_key.h), format_version, content_hash, complete = 1
 *
 * Nothing here knows labels or domains. A file is written under a temporary name, `complete` last,
 * synced and renamed; it is never changed afterwards, and never repaired. All metadata carries
 * HDF5's checksums (format 1.10), all data content_hash, so that a damaged file is an error.
 *
 * Several processes write a file of consecutive clips each; asd_embed_join makes the whole of them:
 * a file whose `embedding` is a virtual data set over the shards, which lie beside it. Its fill
 * value is NaN, so that HDF5, which says nothing when a shard is gone, gives no zeros. Readers here
 * open the shards themselves and check each.
 *
 * HDF5's own state is process-wide: call these from one thread at a time. Errors name the file:
 * ASD_E_DATA what is wrong with it, ASD_E_IO what the system says (no space, no permission).
 */
#ifndef ASD_DATA_EMBED_H5_H
#define ASD_DATA_EMBED_H5_H

#include "base/status.h"

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ASD_EMBED_FORMAT 1

typedef enum asd_embed_form { ASD_EMBED_PLAIN, ASD_EMBED_LAYERS, ASD_EMBED_ROWS } asd_embed_form;

/* rows: 1, the layers, or the most tokens or time patches of a clip. All owned. */
typedef struct asd_embeddings {
    asd_embed_form form;
    int64_t        N, rows, D;
    float         *x;         /* (N, rows, D); NULL in a head */
    char         **clip;      /* (N) */
    int64_t       *n_samples; /* (N) */
    int64_t       *n_rows;    /* (N); ROWS: rows that a clip has, else NULL */
    char         **audio;     /* (N) */
    char          *key, *key_material;
} asd_embeddings;

/* Reads and checks all of a file. Call asd_embeddings_clear on any return. */
asd_status asd_embeddings_read(const char *path, asd_embeddings *out);
void       asd_embeddings_clear(asd_embeddings *e); /* safe on a zeroed struct, and twice */
/* *row: of the clip "fan/train/NAME.wav". ASD_E_DATA when there is none. */
asd_status asd_embeddings_find(const asd_embeddings *e, const char *clip, int64_t *row);

/* What lies at a path, before it is written: no file; one of ours that was never completed, which
 * counts as none; a complete one; anything else, which asd_error_text describes. */
typedef enum asd_embed_found {
    ASD_EMBED_ABSENT,
    ASD_EMBED_UNFINISHED,
    ASD_EMBED_COMPLETE,
    ASD_EMBED_OTHER
} asd_embed_found;
asd_embed_found asd_embed_look(const char *path);

/* A file open for reading rows, for files that do not fit into memory. The rows read are not
 * compared with content_hash; asd_embeddings_read does that. */
typedef struct asd_embed_file asd_embed_file;
asd_status                    asd_embed_open(const char *path, asd_embed_file **out);
const asd_embeddings         *asd_embed_head(const asd_embed_file *f); /* x is NULL */
/* x: (n, rows, D) of clips first .. first + n - 1 */
asd_status asd_embed_read(asd_embed_file *f, int64_t first, int64_t n, float *x);
void       asd_embed_close(asd_embed_file *f);

/* A new file: all that `head` says (its x is not looked at; clips ascending), then the rows in
 * order. An existing file stays until commit; abandon, or the end of the process, leaves it. */
typedef struct asd_embed_writer asd_embed_writer;
asd_status asd_embed_create(const char *path, const asd_embeddings *head, asd_embed_writer **out);
/* x: (n, rows, D) of the next n clips */
asd_status asd_embed_write(asd_embed_writer *w, int64_t n, const float *x);
/* Every row must have been written. Frees w on any return. */
asd_status asd_embed_commit(asd_embed_writer *w);
void       asd_embed_abandon(asd_embed_writer *w); /* safe on NULL */
/* Create, write and commit of embeddings that are all in memory. */
asd_status asd_embed_save(const char *path, const asd_embeddings *e);

/* Makes the virtual whole of n complete shards in path's own folder, given by base name in the
 * order of their clips. key, key_material: of the whole (embed_key.h). */
asd_status asd_embed_join(const char *path, char *const *shards, int64_t n, const char *key,
                          const char *key_material);

#ifdef __cplusplus
}
#endif
#endif
