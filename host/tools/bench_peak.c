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

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { CHAINS = 12 };

/* Chains by name: gcc keeps arrays of vectors in memory. */
#define TWELVE(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11)

#if defined(__x86_64__)
__attribute__((target("avx2,fma"))) static float run_avx2(int64_t steps)
{
    const __m256 m = _mm256_set1_ps(0.75f), c = _mm256_set1_ps(0.25f);
#define START(i) __m256 s##i = _mm256_set1_ps(1 + 0.125f * i);
#define STEP(i) s##i = _mm256_fmadd_ps(s##i, m, c);
#define END(i) all = _mm256_add_ps(all, s##i);
    TWELVE(START)
    for (int64_t n = 0; n < steps; ++n) {
        TWELVE(STEP)
    }
    __m256 all = _mm256_setzero_ps();
    TWELVE(END)
#undef START
#undef STEP
#undef END
    float out[8];
    _mm256_storeu_ps(out, all);
    return out[0];
}

__attribute__((target("avx512f"))) static float run_avx512(int64_t steps)
{
    const __m512 m = _mm512_set1_ps(0.75f), c = _mm512_set1_ps(0.25f);
#define START(i) __m512 s##i = _mm512_set1_ps(1 + 0.125f * i);
#define STEP(i) s##i = _mm512_fmadd_ps(s##i, m, c);
#define END(i) all = _mm512_add_ps(all, s##i);
    TWELVE(START)
    for (int64_t n = 0; n < steps; ++n) {
        TWELVE(STEP)
    }
    __m512 all = _mm512_setzero_ps();
    TWELVE(END)
#undef START
#undef STEP
#undef END
    float out[16];
    _mm512_storeu_ps(out, all);
    return out[0];
}

/* s += a b of pairs, both 0: a sum that grew would end where it no longer changes. */
__attribute__((target("avx512f,avx512bf16"))) static float run_avx512_bf16(int64_t steps)
{
    const __m512bh zero = (__m512bh)_mm512_setzero_si512();
#define START(i) __m512 s##i = _mm512_set1_ps(1 + 0.125f * i);
#define STEP(i) s##i = _mm512_dpbf16_ps(s##i, zero, zero);
#define END(i) all = _mm512_add_ps(all, s##i);
    TWELVE(START)
    for (int64_t n = 0; n < steps; ++n) {
        TWELVE(STEP)
    }
    __m512 all = _mm512_setzero_ps();
    TWELVE(END)
#undef START
#undef STEP
#undef END
    float out[16];
    _mm512_storeu_ps(out, all);
    return out[0];
}

static const bench_chains avx512_bf16 = {"avx512-bf16, pairs of bf16", 1, CHAINS * 16 * 2 * 2,
                                         run_avx512_bf16};
static const bench_chains avx512      = {"avx512f fma, fp32", 0, CHAINS * 16 * 2, run_avx512};
static const bench_chains avx2        = {"avx2 fma, fp32", 0, CHAINS * 8 * 2, run_avx2};
#endif

/* Multiply, then add: what kernels/cpu_tile.c's plain tile does. */
static float run_plain(int64_t steps)
{
    typedef float four __attribute__((vector_size(16)));
    const four    m = {0.75f, 0.75f, 0.75f, 0.75f}, c = {0.25f, 0.25f, 0.25f, 0.25f};
#define START(i) four s##i = {1 + 0.125f * i, 1, 1, 1};
#define STEP(i) s##i = s##i * m + c;
#define END(i) all += s##i;
    TWELVE(START)
    for (int64_t n = 0; n < steps; ++n) {
        TWELVE(STEP)
    }
    four all = {0};
    TWELVE(END)
#undef START
#undef STEP
#undef END
    return all[0];
}

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
