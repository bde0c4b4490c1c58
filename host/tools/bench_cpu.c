/* bench_cpu.c - the CPU as a device to measure: clock, caches, ceilings. Also what is common to
 * all devices: choosing one, medians.
 *
 * Ceilings. Compute: fused multiply-adds in registers (bench_peak.c), at the threads in use; not a
 * product of ours, whose own losses would then count for nothing. Bandwidth: a copy far larger than
 * the caches, reads and writes counted once each; the better of two forms, small chunks and one
 * piece a thread (which lets memcpy bypass the caches). Both are the best of their repetitions: a
 * ceiling is what the machine can do, not what it does on average.
 */
#include "tools/bench.h"

#include "base/arena.h"
#include "base/device.h"
#include "base/log.h"
#include "base/par.h"
#include "tools/bench_peak.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- statistics --- */

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_median(double *v, int64_t n)
{
    qsort(v, (size_t)n, sizeof *v, by_size);
    return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

bench_spread bench_spread_of(double *v, int n)
{
    double median = bench_median(v, n);
    return (bench_spread){
        .median = median, .p20 = v[n / 5], .p80 = v[n - 1 - n / 5], .min = v[0], .n = n};
}

/* --- memory --- */

static asd_status cpu_alloc(bench_device *d, size_t bytes, const char *what, void **out)
{
    (void)d;
    *out = asd_calloc_aligned(bytes ? bytes : 1, 1);
    return *out ? ASD_OK : ASD_FAIL(ASD_E_OOM, "no memory for %s: %zu bytes", what, bytes);
}

static void cpu_release(bench_device *d, void *p)
{
    (void)d;
    free(p);
}

static asd_status cpu_copy(bench_device *d, void *to, const void *from, size_t bytes)
{
    (void)d;
    if (bytes)
        memcpy(to, from, bytes);
    return ASD_OK;
}

static asd_status cpu_wait(bench_device *d)
{
    (void)d;
    return ASD_OK;
}

/* --- time --- */

/* Reading the clock takes 25 ns: below this a time is the mean of several calls. */
static const double SHORTEST = 5e-6;

static asd_status cpu_hot(bench_device *d, bench_call call, void *ctx, double seconds, int max,
                          double *time, int *n)
{
    (void)d;
    double begin = asd_now();
    ASD_TRY(call(ctx));
    double once = asd_now() - begin;
    int    each = once < SHORTEST ? (int)ceil(SHORTEST / fmax(once, 1e-8)) : 1;
    *n          = 0;
    do {
        double start = asd_now();
        for (int i = 0; i < each; ++i)
            ASD_TRY(call(ctx));
        time[(*n)++] = (asd_now() - start) / each;
    } while (*n < max && asd_now() - begin < seconds);
    return ASD_OK;
}

enum { SCRUB_CHUNK = 1 << 20 };

static void scrub_chunk(void *ctx, int64_t chunk)
{
    const bench_device *d    = ctx;
    char               *at   = (char *)d->scrub + chunk * SCRUB_CHUNK;
    size_t              left = d->scrub_bytes - (size_t)(chunk * SCRUB_CHUNK);
    size_t              size = left < SCRUB_CHUNK ? left : SCRUB_CHUNK;
    for (size_t i = 0; i < size; i += 64)
        ++at[i]; /* a store to every line: memset could bypass the caches */
}

static asd_status cpu_cold(bench_device *d, bench_call call, void *ctx, int n, double *time)
{
    for (int i = 0; i < n; ++i) {
        asd_par_for((int64_t)(d->scrub_bytes + SCRUB_CHUNK - 1) / SCRUB_CHUNK, scrub_chunk, d);
        double start = asd_now();
        ASD_TRY(call(ctx));
        time[i] = asd_now() - start;
    }
    return ASD_OK;
}

/* --- ceilings --- */

typedef struct copy_job {
    char   *from, *to;
    int64_t bytes, chunk;
} copy_job;

static void copy_chunk(void *ctx, int64_t i)
{
    const copy_job *j    = ctx;
    int64_t         left = j->bytes - i * j->chunk;
    memcpy(j->to + i * j->chunk, j->from + i * j->chunk,
           (size_t)(left < j->chunk ? left : j->chunk));
}

static asd_status copy(void *ctx)
{
    copy_job *j = ctx;
    asd_par_for((j->bytes + j->chunk - 1) / j->chunk, copy_chunk, j);
    return ASD_OK;
}

static asd_status measure_copy(bench_device *d, double seconds)
{
    double   time[64], best = INFINITY;
    int      n;
    copy_job j = {.bytes = (int64_t)d->scrub_bytes};
    j.from     = asd_calloc_aligned((size_t)j.bytes, 2);
    if (!j.from)
        return ASD_FAIL(ASD_E_OOM, "no memory for the copy that gives the ceiling");
    j.to = j.from + j.bytes;
    memset(j.from, 1, (size_t)j.bytes * 2); /* pages that were never written are all the same one */
    asd_status st          = ASD_OK;
    int64_t    chunk_of[2] = {1 << 18, (j.bytes + d->threads - 1) / d->threads};
    for (int form = 0; form < 2 && !st; ++form) {
        j.chunk = chunk_of[form];
        st      = cpu_hot(d, copy, &j, seconds / 2, 64, time, &n);
        if (!st)
            best = fmin(best, bench_spread_of(time, n).min);
    }
    if (!st) {
        d->bytes_per_s = 2.0 * (double)j.bytes / best;
        snprintf(d->bytes_by, sizeof d->bytes_by, "copy of %lld MB", (long long)(j.bytes >> 20));
    }
    free(j.from);
    return st;
}

static asd_status cpu_ceilings(bench_device *d, double seconds)
{
    const char *by;
    d->flops_per_s = bench_peak(0, seconds, &by);
    snprintf(d->flops_by, sizeof d->flops_by, "%s", by);
    return measure_copy(d, seconds);
}

/* --- opening --- */

static void cpu_close(bench_device *d)
{
    free(d->scrub);
}

static const bench_backend cpu = {cpu_close, cpu_alloc, cpu_release, cpu_copy,    cpu_copy,
                                  cpu_wait,  cpu_hot,   cpu_cold,    cpu_ceilings};

static void read_name(char *buf, size_t size)
{
    char  line[256], name[128] = "unknown processor";
    FILE *f = fopen("/proc/cpuinfo", "re");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "model name : %127[^\n]", name) == 1)
            break;
    if (f)
        fclose(f);
    snprintf(buf, size, "%s", name);
}

/* The last-level cache that core 0 sees; sysconf may tell the whole socket's. */
static int64_t last_cache_bytes(void)
{
    int64_t kib  = 0;
    FILE   *f    = fopen("/sys/devices/system/cpu/cpu0/cache/index3/size", "re"); /* "32768K" */
    int     read = f ? fscanf(f, "%" SCNd64 "K", &kib) : 0;
    if (f)
        fclose(f);
    if (read == 1 && kib > 0)
        return kib << 10;
    long told = sysconf(_SC_LEVEL3_CACHE_SIZE);
    return told > 0 ? told : 32 << 20;
}

asd_status bench_cpu_open(bench_device *d)
{
    const int64_t least = 64 << 20, most = 256 << 20;
    *d = (bench_device){.backend = &cpu, .kind = ASD_CPU, .threads = asd_par_threads()};
    read_name(d->name, sizeof d->name);
    d->cache_bytes = last_cache_bytes();
    int64_t want   = 2 * d->cache_bytes;
    d->scrub_bytes = (size_t)(want < least ? least : want > most ? most : want);
    return cpu_alloc(d, d->scrub_bytes, "emptying the caches", &d->scrub);
}

void bench_device_close(bench_device *d)
{
    if (d->backend)
        d->backend->close(d);
    *d = (bench_device){0};
}
