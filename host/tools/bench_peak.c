/* bench_peak.c - see bench_peak.h.
 *
 * A fused multiply-add takes 4 cycles (6 of bf16 pairs on some) and a core starts two each cycle: 8
 * to 12 chains that know nothing of each other keep it busy. There are twelve, as many as a product
 * has; sums stay in registers, factors are constants, so neither caches nor memory play a part. A
 * sum s = s m + c goes to c / (1 - m), far from what is slow: zero, infinity, denormal numbers.
 */
#include "tools/bench_peak.h"

#include "base/log.h" /* asd_now */
#include "base/par.h"
#include "kernels/cpu_bf16_product.h"

#include <math.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { CHAINS = 12 };

/* Chains by name: gcc keeps arrays of vectors in memory. */
#define TWELVE(DO, ...)                                                                            \
    DO(0, __VA_ARGS__)                                                                             \
    DO(1, __VA_ARGS__)                                                                             \
    DO(2, __VA_ARGS__)                                                                             \
    DO(3, __VA_ARGS__)                                                                             \
    DO(4, __VA_ARGS__)                                                                             \
    DO(5, __VA_ARGS__)                                                                             \
    DO(6, __VA_ARGS__)                                                                             \
    DO(7, __VA_ARGS__)                                                                             \
    DO(8, __VA_ARGS__)                                                                             \
    DO(9, __VA_ARGS__)                                                                             \
    DO(10, __VA_ARGS__)                                                                            \
    DO(11, __VA_ARGS__)
#define START(i, vector, set) vector s##i = set(1 + 0.125f * i);
#define STEP(i, step) s##i = step(s##i);
#define END(i, add) all = add(all, s##i);

/* float name(int64_t steps): twelve chains of `vector`, set(x) fills one, step(s) is what is
 * measured, add(a, b) joins two. */
#define RUN(name, attribute, vector, set, step, add)                                               \
    attribute static float name(int64_t steps)                                                     \
    {                                                                                              \
        float  first;                                                                              \
        vector all = set(0.0f);                                                                    \
        TWELVE(START, vector, set)                                                                 \
        for (int64_t n = 0; n < steps; ++n) {                                                      \
            TWELVE(STEP, step)                                                                     \
        }                                                                                          \
        TWELVE(END, add)                                                                           \
        memcpy(&first, &all, sizeof first);                                                        \
        return first;                                                                              \
    }

#if defined(__x86_64__)
#define STEP_AVX2(s) _mm256_fmadd_ps(s, _mm256_set1_ps(0.75f), _mm256_set1_ps(0.25f))
RUN(run_avx2, __attribute__((target("avx2,fma"))), __m256, _mm256_set1_ps, STEP_AVX2, _mm256_add_ps)

#define STEP_AVX512(s) _mm512_fmadd_ps(s, _mm512_set1_ps(0.75f), _mm512_set1_ps(0.25f))
RUN(run_avx512, __attribute__((target("avx512f"))), __m512, _mm512_set1_ps, STEP_AVX512,
    _mm512_add_ps)

/* s += a b of pairs, both 0: a sum that grew would end where it no longer changes. */
#define NO_PAIRS ((__m512bh)_mm512_setzero_si512())
#define STEP_PAIRS(s) _mm512_dpbf16_ps(s, NO_PAIRS, NO_PAIRS)
RUN(run_avx512_bf16, __attribute__((target("avx512f,avx512bf16"))), __m512, _mm512_set1_ps,
    STEP_PAIRS, _mm512_add_ps)

static const bench_chains avx512_bf16 = {"avx512-bf16, pairs of bf16", 1, CHAINS * 16 * 2 * 2,
                                         run_avx512_bf16};
static const bench_chains avx512      = {"avx512f fma, fp32", 0, CHAINS * 16 * 2, run_avx512};
static const bench_chains avx2        = {"avx2 fma, fp32", 0, CHAINS * 8 * 2, run_avx2};
#endif

/* Multiply, then add: what kernels/cpu_tile.c's plain tile does. */
typedef float four __attribute__((vector_size(16)));
#define SET_FOUR(x) ((four){x, x, x, x})
#define STEP_FOUR(s) ((s)*SET_FOUR(0.75f) + SET_FOUR(0.25f))
#define ADD_FOUR(a, b) ((a) + (b))
RUN(run_plain, , four, SET_FOUR, STEP_FOUR, ADD_FOUR)

static const bench_chains plain = {"multiply and add, fp32", 0, CHAINS * 4 * 2, run_plain};

#if defined(__x86_64__)
const bench_chains *const bench_chains_all[] = {&avx512_bf16, &avx512, &avx2, &plain, NULL};

int bench_chains_run(const bench_chains *c)
{
    int avx512_too = c == &avx512 || c == &avx512_bf16;
    return c == &plain || (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                           (!avx512_too || __builtin_cpu_supports("avx512f")) &&
                           (c != &avx512_bf16 || __builtin_cpu_supports("avx512bf16")));
}
#else
const bench_chains *const bench_chains_all[] = {&plain, NULL};

int bench_chains_run(const bench_chains *c)
{
    return c == &plain;
}
#endif

static const bench_chains *best(int bf16)
{
    const bench_chains *const *c = bench_chains_all;
    while (!bench_chains_run(*c) || ((*c)->bf16 && !(bf16 && asd_pair_tile_best())))
        ++c;
    return *c;
}

typedef struct peak_job {
    const bench_chains *chains;
    int64_t             steps;
} peak_job;

static void peak_chunk(void *ctx, int64_t chunk)
{
    const peak_job *j    = ctx;
    volatile float  sink = j->chains->run(j->steps);
    (void)sink;
    (void)chunk;
}

double bench_peak(int bf16, double seconds, const char **by)
{
    peak_job     j       = {best(bf16), 1 << 20}; /* 2 ms of two a cycle, at 3 GHz */
    const int    threads = asd_par_threads();
    const double begin   = asd_now();
    double       least   = INFINITY;
    *by                  = j.chains->name;
    do {
        double start = asd_now();
        asd_par_for(threads, peak_chunk, &j);
        least = fmin(least, asd_now() - start);
    } while (asd_now() - begin < seconds);
    return (double)(threads * j.steps * j.chains->flops) / least;
}
