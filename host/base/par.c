/* par.c - see par.h. A pool of threads that sleep when there is nothing to do.
 *
 * One word holds the running job: generation in the upper half, next chunk in the lower. A thread
 * takes a chunk by a compare-and-swap of that word, so it can never take one of a job that ended,
 * and a worker that the system did not wake in time is never waited for: the caller waits for
 * chunks, not for threads. Waiting is a short spin (a step of a network is about forty regions of
 * 50 us), then a futex.
 *
 * Why not OpenMP: libgomp's barrier waits for every thread and spins for long. With other programs
 * on the machine (a second test, a data loader, a neighbour in the container) a training step of 9
 * ms took 30 to 270 ms. oneDNN keeps OpenMP inside; every thread here tells it to use one thread,
 * because it would otherwise cut a product by the number of threads, and the order of its sums with
 * it. OpenBLAS likewise.
 */
#include "base/par.h"

#include "base/status.h"

#include <cblas.h>
#include <limits.h>
#include <linux/futex.h>
#include <omp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MAX_THREADS = 1024 };
enum { SPINS = 4000 }; /* about 50 us of pause instructions */

static struct {
    _Atomic uint64_t    job;    /* generation << 32 | next chunk */
    _Atomic uint32_t    wake;   /* futex: low half of the generation */
    _Atomic uint32_t    asleep; /* workers in the futex */
    _Atomic int64_t     n;      /* chunks of the job */
    _Atomic(asd_par_fn) fn;
    _Atomic(void *)     ctx;
    _Atomic uint32_t    left;    /* futex: chunks of the job not finished */
    _Atomic int         limit;   /* threads that may work; 0 before the first use */
    int                 all;     /* limit by OMP_NUM_THREADS or the processor mask */
    int                 workers; /* started */
    pthread_mutex_t     owner;   /* held by the caller of a region */
} pool = {.owner = PTHREAD_MUTEX_INITIALIZER};

static pthread_once_t first_use = PTHREAD_ONCE_INIT;

static _Thread_local int inside; /* this thread runs a chunk */
static _Thread_local int tamed;  /* this thread has told the libraries to use one thread */

static void futex_wait(_Atomic uint32_t *word, uint32_t seen)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word, int n)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0);
}

static inline void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

/* The libraries' thread counts are this thread's (OpenMP) or the process's (OpenBLAS) own settings.
 */
static void tame_libraries(void)
{
    if (!tamed) {
        omp_set_num_threads(1);
        tamed = 1;
    }
}

static void set_up(void)
{
    int n    = omp_get_max_threads();
    pool.all = n < MAX_THREADS ? n : MAX_THREADS;
    atomic_store(&pool.limit, pool.all);
    openblas_set_num_threads(1);
}

/* Runs chunks of generation `gen` until none is left. */
static void work(uint32_t gen)
{
    for (uint64_t job = atomic_load(&pool.job);;) {
        int64_t n = atomic_load(&pool.n);
        if (job >> 32 != gen || (int64_t)(job & UINT32_MAX) >= n)
            return;
        asd_par_fn fn  = atomic_load(&pool.fn);
        void      *ctx = atomic_load(&pool.ctx);
        /* success means that generation `gen` still had this chunk, so fn, ctx and n are its own */
        if (!atomic_compare_exchange_weak(&pool.job, &job, job + 1))
            continue;
        inside = 1;
        fn(ctx, (int64_t)(job & UINT32_MAX));
        inside = 0;
        if (atomic_fetch_sub(&pool.left, 1) == 1)
            futex_wake(&pool.left, 1);
        job = atomic_load(&pool.job);
    }
}

static void *worker(void *arg)
{
    int      id   = (int)(intptr_t)arg;
    uint32_t seen = 0;
    tame_libraries();
    for (;;) {
        uint32_t gen = atomic_load(&pool.wake);
        for (int i = 0; i < SPINS && gen == seen; ++i) {
            relax();
            gen = atomic_load(&pool.wake);
        }
        if (gen == seen) {
            atomic_fetch_add(&pool.asleep, 1);
            futex_wait(&pool.wake, seen);
            atomic_fetch_sub(&pool.asleep, 1);
            continue;
        }
        seen = gen;
        if (id < atomic_load(&pool.limit))
            work(gen);
    }
    return NULL;
}

/* Starts workers up to the limit; with fewer than wanted the work is done all the same. */
static void start_workers(int limit)
{
    for (; pool.workers + 1 < limit; ++pool.workers) {
        pthread_t      thread;
        pthread_attr_t attr;
        pthread_attr_init(&attr);
        pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
        int failed = pthread_create(&thread, &attr, worker, (void *)(intptr_t)(pool.workers + 1));
        pthread_attr_destroy(&attr);
        if (failed)
            return;
    }
}

void asd_par_set_threads(int n)
{
    pthread_once(&first_use, set_up);
    atomic_store(&pool.limit, n <= 0 ? pool.all : n < MAX_THREADS ? n : MAX_THREADS);
}

int asd_par_threads(void)
{
    pthread_once(&first_use, set_up);
    return inside ? 1 : atomic_load(&pool.limit);
}

static void run_region(int64_t n, asd_par_fn fn, void *ctx)
{
    uint32_t gen = (uint32_t)(atomic_load(&pool.job) >> 32) + 1;
    start_workers(atomic_load(&pool.limit));
    /* close the old job first, so that no worker reads the new chunk count with the old word */
    atomic_store(&pool.job, (uint64_t)gen << 32 | UINT32_MAX);
    atomic_store(&pool.n, n);
    atomic_store(&pool.fn, fn);
    atomic_store(&pool.ctx, ctx);
    atomic_store(&pool.left, (uint32_t)n);
    atomic_store(&pool.job, (uint64_t)gen << 32);
    atomic_store(&pool.wake, gen);
    /* workers beyond the limit sleep at the same word: then all are woken, to reach those that may
     * work */
    if (atomic_load(&pool.asleep))
        futex_wake(&pool.wake, pool.workers < atomic_load(&pool.limit) && n <= MAX_THREADS
                                   ? (int)n - 1
                                   : INT_MAX);
    work(gen);
    uint32_t left = atomic_load(&pool.left);
    for (int i = 0; i < SPINS && left; ++i) {
        relax();
        left = atomic_load(&pool.left);
    }
    while ((left = atomic_load(&pool.left)))
        futex_wait(&pool.left, left);
}

void asd_par_for(int64_t n_chunks, asd_par_fn fn, void *ctx)
{
    ASD_ASSERT(n_chunks < INT32_MAX);
    pthread_once(&first_use, set_up);
    tame_libraries();
    /* another thread's region is running: do it alone, the bits are the same */
    if (n_chunks <= 1 || asd_par_threads() == 1 || pthread_mutex_trylock(&pool.owner)) {
        for (int64_t i = 0; i < n_chunks; ++i)
            fn(ctx, i);
        return;
    }
    run_region(n_chunks, fn, ctx);
    pthread_mutex_unlock(&pool.owner);
}

typedef struct ranges {
    int64_t          n, chunk;
    asd_par_range_fn fn;
    void            *ctx;
} ranges;

static void range_chunk(void *ctx, int64_t i)
{
    const ranges *r     = ctx;
    int64_t       first = i * r->chunk, left = r->n - first;
    r->fn(r->ctx, first, left < r->chunk ? left : r->chunk);
}

void asd_par_ranges(int64_t n, int64_t chunk, asd_par_range_fn fn, void *ctx)
{
    ranges r = {n, chunk, fn, ctx};
    asd_par_for((n + chunk - 1) / chunk, range_chunk, &r);
}

void asd_failure_init(asd_failure *f)
{
    pthread_mutex_init(&f->lock, NULL);
    f->status  = ASD_OK;
    f->order   = 0;
    f->text[0] = 0;
}

void asd_failure_note(asd_failure *f, int64_t order, asd_status st)
{
    if (!st)
        return;
    pthread_mutex_lock(&f->lock);
    if (!f->status || order < f->order) {
        f->status = st;
        f->order  = order;
        snprintf(f->text, sizeof f->text, "%s", asd_error_text());
    }
    pthread_mutex_unlock(&f->lock);
}

asd_status asd_failure_end(asd_failure *f)
{
    pthread_mutex_destroy(&f->lock);
    return f->status ? ASD_FAIL(f->status, "%s", f->text) : ASD_OK;
}
