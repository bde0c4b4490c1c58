/* test_par.c - the thread pool: every chunk once, whatever happens around it. */
#include "harness.h"

#include "base/par.h"
#include "base/rng.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_CHUNKS = 300 };

typedef struct tally {
    _Atomic int count[MAX_CHUNKS];
    _Atomic int deepest; /* most threads that a chunk believed it might use */
} tally;

static void count_chunk(void *ctx, int64_t chunk)
{
    tally *t = ctx;
    if (asd_par_threads() > atomic_load(&t->deepest))
        atomic_store(&t->deepest, asd_par_threads());
    atomic_fetch_add(&t->count[chunk], 1);
}

static void check(const tally *t, int64_t n, int want)
{
    for (int64_t i = 0; i < MAX_CHUNKS; ++i)
        if (t->count[i] != (i < n ? want : 0))
            fail_msg("chunk %ld of %ld ran %d times, want %d", (long)i, (long)n, t->count[i],
                     i < n ? want : 0);
}

static void test_every_chunk_once(void **state)
{
    (void)state;
    asd_rng rng;
    asd_rng_init(&rng, 1, ASD_RNG_TEST, 0, 0);
    for (int threads = 1; threads <= 5; ++threads) {
        asd_par_set_threads(threads);
        for (int round = 0; round < 2000; ++round) {
            tally   t = {.deepest = 0};
            int64_t n = asd_rng_below(&rng, round % 10 ? 6 : MAX_CHUNKS);
            asd_par_for(n, count_chunk, &t);
            check(&t, n, 1);
        }
    }
    asd_par_set_threads(0);
}

/* Workers that fell asleep between regions are woken again. */
static void test_after_sleep(void **state)
{
    (void)state;
    asd_par_set_threads(3);
    for (int round = 0; round < 20; ++round) {
        tally t = {.deepest = 0};
        usleep(2000);
        asd_par_for(7, count_chunk, &t);
        check(&t, 7, 1);
    }
    asd_par_set_threads(0);
}

/* Stretches of at most 5: each element once, in whole stretches but for the last. */
static void count_range(void *ctx, int64_t first, int64_t count)
{
    atomic_int *seen = ctx;
    int         once = first % 5 == 0 && count >= 1 && count <= 5;
    for (int64_t i = first; i < first + count; ++i)
        atomic_fetch_add(&seen[i], once ? 1 : 100);
}

static void test_ranges(void **state)
{
    enum { MOST = 23 };
    (void)state;
    for (int threads = 1; threads <= 3; ++threads)
        for (int64_t n = 0; n <= MOST; ++n) {
            atomic_int seen[MOST + 1] = {0};
            asd_par_set_threads(threads);
            asd_par_ranges(n, 5, count_range, seen);
            for (int64_t i = 0; i <= MOST; ++i)
                assert_int_equal(seen[i], i < n);
        }
    asd_par_set_threads(0);
}

static void nest_chunk(void *ctx, int64_t chunk)
{
    tally *inner = (tally *)ctx + chunk;
    asd_par_for(11, count_chunk, inner);
}

static void test_nested(void **state)
{
    (void)state;
    enum { OUTER = 5 };
    tally *t = calloc(OUTER, sizeof *t);
    asd_par_set_threads(3);
    asd_par_for(OUTER, nest_chunk, t);
    for (int i = 0; i < OUTER; ++i) {
        check(&t[i], 11, 1);
        assert_int_equal(t[i].deepest, 1); /* inside a chunk there is one thread */
    }
    asd_par_set_threads(0);
    free(t);
}

static void *other_caller(void *arg)
{
    tally *t = arg;
    for (int round = 0; round < 500; ++round)
        asd_par_for(9, count_chunk, t);
    return NULL;
}

/* Two threads of a program that both call: neither waits for ever, no chunk is lost. */
static void test_two_callers(void **state)
{
    (void)state;
    pthread_t other;
    tally    *t = calloc(2, sizeof *t);
    asd_par_set_threads(3);
    assert_int_equal(pthread_create(&other, NULL, other_caller, &t[0]), 0);
    other_caller(&t[1]);
    pthread_join(other, NULL);
    check(&t[0], 9, 500);
    check(&t[1], 9, 500);
    asd_par_set_threads(0);
    free(t);
}

static void test_limits(void **state)
{
    (void)state;
    asd_par_set_threads(0);
    int all = asd_par_threads();
    assert_true(all >= 1);
    asd_par_set_threads(7);
    assert_int_equal(asd_par_threads(), 7);
    asd_par_set_threads(0);
    assert_int_equal(asd_par_threads(), all);
    tally t = {.deepest = 0};
    asd_par_for(0, count_chunk, &t);
    asd_par_for(-3, count_chunk, &t);
    check(&t, 0, 0);
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("base/par/every-chunk-once", test_every_chunk_once),
    ASD_CASE("base/par/after-sleep", test_after_sleep),
    ASD_CASE("base/par/ranges", test_ranges),
    ASD_CASE("base/par/nested", test_nested),
    ASD_CASE("base/par/two-callers", test_two_callers),
    ASD_CASE("base/par/limits", test_limits),
};

ASD_TEST_MAIN(cases)
