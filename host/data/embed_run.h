/* embed_run.h - clips through an embedder into files of embeddings.
 *
 *   reader threads -> batches of clips of one length -> embedder -> writer thread -> parts -> file
 *
 * The three overlap. Clips are taken by length, then name, so that an embedder plans few shapes;
 * files hold them by name. What an embedder gives for a clip must not depend on the clips beside
 * it, so neither batch size nor threads nor an interruption change a file's bytes.
 *
 * A file that is complete and has the same method, clips and audio is left alone. Another complete
 * one is refused, with what differs, unless `force`. Finished clips are on disk after part_clips
 * clips or part_seconds, whichever is first (embed_parts.h): started again, a job goes on there.
 */
#ifndef ASD_DATA_EMBED_RUN_H
#define ASD_DATA_EMBED_RUN_H

#include "data/embed_audio.h"
#include "data/embed_h5.h"

/* What turns signals into vectors: a network, or a formula. */
typedef struct asd_embedder {
    void *ctx;
    /* x: (B, n_signals, S) -> y[k]: (B, rows[k], D[k]) of each output, valid until the next call */
    asd_status (*run)(void *ctx, int64_t B, int64_t S, const float *x, const float **y,
                      int64_t *rows);
    int64_t        n_outputs;   /* layers of a network, in one pooling or several */
    const int64_t *D;           /* (n_outputs) */
    int64_t        min_samples; /* shorter clips are an error */
    int64_t        max_samples; /* longer ones too; 0: none is */
} asd_embedder;

/* One file: n of the embedder's outputs from `first` on. PLAIN and ROWS have n = 1; the outputs of
 * LAYERS have one row and one D. */
typedef struct asd_embed_output {
    const char    *path, *method; /* method: embed_key.h */
    asd_embed_form form;
    int64_t        first, n;
    /* result */
    int  up_to_date; /* was there already */
    int  joined;     /* the whole of all shards was written */
    char key[33];    /* of the file, or of this shard */
} asd_embed_output;

typedef struct asd_embed_job {
    asd_embed_clip   *clip; /* (n) probed, ascending by name, none twice */
    int64_t           n;
    asd_embed_ear     ear;
    asd_embedder      embedder;
    asd_embed_output *output; /* (n_outputs) */
    int64_t           n_outputs;
    int64_t           batch, readers;
    int64_t           shard, n_shards; /* 1 .. n_shards; n_shards 0 or 1: all clips */
    int               force;
    int64_t           part_clips;   /* 0: 256 */
    double            part_seconds; /* 0: 20 */
    const char       *what;         /* label of the progress bar; NULL: none */
    /* result */
    int64_t computed; /* clips that went through the embedder now */
    double  seconds;  /* that took */
} asd_embed_job;

/* Fills up_to_date of every output, reading audio where a file can only differ there. ASD_E_DATA:
 * a file in the way that is not what is wanted, and no force. asd_embed_run calls it; a dry run
 * calls it alone. */
asd_status asd_embed_check(asd_embed_job *j);
/* ASD_E_STOPPED: asked to stop, what was finished is saved. */
asd_status asd_embed_run(asd_embed_job *j);
/* Joins the shards of one output, which must all be there. method NULL: that of the first. What
 * lies at path and is no earlier file of this method is replaced only with force. */
asd_status asd_embed_join_shards(const char *path, int64_t n_shards, const char *method, int force);
/* "DIR/e.h5", 2, 4 -> "DIR/e.2-of-4.h5" */
asd_status asd_embed_shard_path(const char *path, int64_t shard, int64_t n_shards, char *out);

#endif
