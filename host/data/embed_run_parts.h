/* embed_run_parts.h - what the files of embed_run share. */
#ifndef ASD_DATA_EMBED_RUN_PARTS_H
#define ASD_DATA_EMBED_RUN_PARTS_H

#include "base/file.h"
#include "data/embed_parts.h"
#include "data/embed_run.h"

/* --- embed_writer.c: the thread that keeps results until they are a part, and saves it --- */

typedef struct asd_embed_sink asd_embed_sink;
/* parts: (j->n_outputs), NULL for an output that is up to date. All must outlive the thread. */
asd_status asd_embed_writer_new(const asd_embed_job *j, asd_embed_parts *const *parts,
                                asd_embed_sink **out);
/* Copies y[k]: (B, rows[k], D[k]) of each output, of the clips which: (B) of S samples. Waits while
 * the thread is two batches behind. Also returns a failure of the thread. */
asd_status asd_embed_writer_put(asd_embed_sink *s, const int64_t *which, int64_t B, int64_t S,
                                const int64_t *rows, const float *const *y);
/* Saves what is left, ends the thread, frees s. */
asd_status asd_embed_writer_end(asd_embed_sink *s);

/* --- embed_shards.c --- */

/* The clips of this shard: consecutive, as even as can be. */
void embed_shard_range(const asd_embed_job *j, int64_t shard, int64_t *first, int64_t *end);
/* When all shards of o are there now: joins them, o->joined = 1. One of several processes that get
 * here at once does it first, the others find it done. With force, shards that were made of other
 * clips or in another way are those that other processes are still to replace: nothing is joined.
 */
asd_status asd_embed_join_if_last(const asd_embed_job *j, asd_embed_output *o);

typedef struct embed_work {
    const float     **y; /* (n_outputs) what the embedder gave */
    int64_t          *rows;
    int64_t          *order, *S; /* (n) clips to compute, by length then name */
    int64_t           n;
    asd_embed_reader *reader;
    asd_embed_sink   *writer;
} embed_work;

#endif
