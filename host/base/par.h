/* par.h - work on all cores whose result does not know how many cores there were.
 *
 * A loop is cut into chunks whose number and borders depend on the problem only. A chunk is done by
 * one thread from start to end, and chunks never add into the same memory, so any number of threads
 * gives the same bits. Inside a chunk a nested asd_par_for runs serially.
 */
#ifndef ASD_BASE_PAR_H
#define ASD_BASE_PAR_H

#include "base/status.h"

#include <pthread.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef void (*asd_par_fn)(void *ctx, int64_t chunk);

/* Calls fn(ctx, 0 .. n_chunks-1), each once, in any order. Allocates nothing. */
void asd_par_for(int64_t n_chunks, asd_par_fn fn, void *ctx);

/* Calls fn(ctx, first, count) for stretches that make up 0 .. n-1: `chunk` long each, the last what
 * is left. */
typedef void (*asd_par_range_fn)(void *ctx, int64_t first, int64_t count);
void asd_par_ranges(int64_t n, int64_t chunk, asd_par_range_fn fn, void *ctx);

int  asd_par_threads(void);      /* threads that asd_par_for may use now: 1 inside a chunk */
void asd_par_set_threads(int n); /* -j N; 0 = OMP_NUM_THREADS or all cores */

/* Failures of chunks: the one of the lowest order wins, so that the message does not depend on
 * threads. An error's text belongs to the thread that made it; this carries it to the caller. */
typedef struct asd_failure {
    pthread_mutex_t lock;
    asd_status      status;
    int64_t         order;
    char            text[4096];
} asd_failure;

void asd_failure_init(asd_failure *f);
void asd_failure_note(asd_failure *f, int64_t order, asd_status st); /* ASD_OK does nothing */
asd_status
asd_failure_end(asd_failure *f); /* raises it in this thread, or ASD_OK; frees the lock */

#ifdef __cplusplus
}
#endif
#endif
