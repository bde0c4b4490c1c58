/* embed_audio.h - clips to signals, read ahead by several threads and handed out in order.
 *
 * Each clip is read once: its samples are hashed as they come from the file (the clip's identity in
 * the cache's key), then become the signals that an embedder hears, at its rate.
 */
#ifndef ASD_DATA_EMBED_AUDIO_H
#define ASD_DATA_EMBED_AUDIO_H

#include "audio/wav.h"

#include <stdint.h>

typedef struct asd_embed_clip {
    char        *path, *name; /* to open; in the file of embeddings. Owned by who made the list */
    asd_wav_info info;        /* by asd_embed_probe */
    char         audio[33];   /* hash of the samples, "" until they were read */
} asd_embed_clip;

/* What of a clip an embedder hears: n_signals of S samples at rate_hz. */
typedef struct asd_embed_ear {
    int         rate_hz, n_signals;
    int64_t     max_samples; /* what follows is cut off; 0: nothing */
    const void *ctx;
    /* x: (frames, channels) at rate_hz, hear's own to change -> *y: (n_signals, *n), malloc'ed.
     * NULL: the channels themselves, as many as n_signals. Thread-safe. */
    asd_status (*hear)(const void *ctx, const char *path, float *x, const asd_wav_info *info,
                       float **y, int64_t *n);
} asd_embed_ear;

/* Samples of a signal that `ear` gets from a clip that was probed. */
int64_t asd_embed_samples(const asd_embed_ear *ear, const asd_wav_info *info);
/* Fills info of n clips, in parallel; the error is that of the first clip that has one. */
asd_status asd_embed_probe(asd_embed_clip *clip, int64_t n);
/* Fills audio where it is "", in parallel. which: (n_which) indices into clip. */
asd_status asd_embed_hash(asd_embed_clip *clip, const int64_t *which, int64_t n_which);

typedef struct asd_embed_reader asd_embed_reader;
/* Begins to read clip[order[0]], clip[order[1]] .. with n_threads, at most `ahead` clips ahead of
 * what was taken. clip, order and ear must outlive the reader; only clip[].audio is written. */
asd_status asd_embed_reader_new(asd_embed_clip *clip, const int64_t *order, int64_t n,
                                const asd_embed_ear *ear, int n_threads, int64_t ahead,
                                asd_embed_reader **out);
/* The next clip's signals (n_signals, S), freed by the caller. Its failure, if it has one. */
asd_status asd_embed_reader_next(asd_embed_reader *r, float **x);
void       asd_embed_reader_free(asd_embed_reader *r); /* also in the middle; safe on NULL */

#endif
