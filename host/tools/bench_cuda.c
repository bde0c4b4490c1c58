/* bench_cuda.c - a GPU as a device to measure.
 *
 * Hot: calls are captured in a CUDA graph of about two milliseconds, which is launched between two
 * events; a time is the graph's divided by its calls, so neither the host nor the events count.
 * That is how a network runs them, too. Cold: each call alone between two events, after a memset of
 * twice the L2 cache; it holds one launch.
 *
 * Ceilings: a bf16 product of 8192 x 8192 matrices of random normal numbers (constant ones draw
 * less power and run faster) by cuBLASLt, and a copy of 512 MiB within the device. Best of their
 * repetitions.
 */
#include "tools/bench.h"

#include "base/log.h"
#include "base/rng.h"
#include "cuda/gemm.h"
#include "cuda/gpu.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static asd_status cuda_alloc(bench_device *d, size_t bytes, const char *what, void **out)
{
    return asd_gpu_alloc(d->gpu, bytes ? bytes : 1, what, "a smaller --case", out);
}

static void cuda_release(bench_device *d, void *p)
{
    asd_gpu_free(d->gpu, p);
}

static asd_status cuda_wait(bench_device *d)
{
    return asd_stream_wait(d->stream);
}

static asd_status cuda_upload(bench_device *d, void *to, const void *from, size_t bytes)
{
    ASD_TRY(asd_stream_upload(d->stream, to, from, bytes));
    return cuda_wait(d);
}

static asd_status cuda_download(bench_device *d, void *to, const void *from, size_t bytes)
{
    ASD_TRY(asd_stream_download(d->stream, to, from, bytes));
    return cuda_wait(d);
}

/* --- time --- */

typedef struct stopwatch {
    asd_event *from, *to;
} stopwatch;

static void stopwatch_free(stopwatch *w)
{
    asd_event_free(w->from);
    asd_event_free(w->to);
}

static asd_status stopwatch_new(bench_device *d, stopwatch *w)
{
    *w            = (stopwatch){NULL, NULL};
    asd_status st = asd_event_new(d->gpu, &w->from);
    if (!st)
        st = asd_event_new(d->gpu, &w->to);
    if (st)
        stopwatch_free(w);
    return st;
}

/* Seconds that a call spends on the stream, everything before it done. */
static asd_status stopwatch_time(bench_device *d, stopwatch *w, bench_call call, void *ctx,
                                 double *seconds)
{
    ASD_TRY(asd_event_record(w->from, d->stream));
    ASD_TRY(call(ctx));
    ASD_TRY(asd_event_record(w->to, d->stream));
    ASD_TRY(cuda_wait(d));
    return asd_event_seconds(w->from, w->to, seconds);
}

static asd_status capture(bench_device *d, bench_call call, void *ctx, int calls, asd_graph **out)
{
    asd_status st = ASD_OK, end;
    char       text[1024];
    *out = NULL;
    ASD_TRY(asd_capture_begin(d->stream));
    for (int i = 0; i < calls && !st; ++i)
        st = call(ctx);
    if (st) /* the capture must be ended; its own failure says less than this one */
        snprintf(text, sizeof text, "%s", asd_error_text());
    end = asd_capture_end(d->stream, out);
    if (!st)
        return end;
    asd_graph_free(*out);
    *out = NULL;
    return ASD_FAIL(st, "%s", text);
}

typedef struct graph_call {
    asd_graph  *graph;
    asd_stream *stream;
} graph_call;

static asd_status launch(void *ctx)
{
    graph_call *g = ctx;
    return asd_graph_launch(g->graph, g->stream);
}

static asd_status cuda_hot(bench_device *d, bench_call call, void *ctx, double seconds, int max,
                           double *time, int *n)
{
    enum { MOST_CALLS = 500 };
    const double graph_seconds = 2e-3;
    double       begin         = asd_now(), once;
    stopwatch    w;
    graph_call   g = {NULL, d->stream};
    *n             = 0;
    ASD_TRY(stopwatch_new(d, &w));
    asd_status st;
    ASD_GO(done, st, stopwatch_time(d, &w, call, ctx, &once));
    int calls = (int)fmin(MOST_CALLS, fmax(1, graph_seconds / fmax(once, 1e-7)));
    ASD_GO(done, st, capture(d, call, ctx, calls, &g.graph));
    ASD_GO(done, st, stopwatch_time(d, &w, launch, &g, &once)); /* the first launch uploads it */
    do {
        ASD_GO(done, st, stopwatch_time(d, &w, launch, &g, &once));
        time[(*n)++] = once / calls;
    } while (*n < max && asd_now() - begin < seconds);
done:
    asd_graph_free(g.graph);
    stopwatch_free(&w);
    return st;
}

static asd_status cuda_cold(bench_device *d, bench_call call, void *ctx, int n, double *time)
{
    stopwatch  w;
    asd_status st = ASD_OK;
    ASD_TRY(stopwatch_new(d, &w));
    for (int i = 0; i < n && !st; ++i) {
        st = asd_stream_zero(d->stream, d->scrub, d->scrub_bytes);
        if (!st)
            st = stopwatch_time(d, &w, call, ctx, time + i);
    }
    stopwatch_free(&w);
    return st;
}

/* --- ceilings --- */

enum { PRODUCT = 8192 };
static const size_t COPY_BYTES = (size_t)512 << 20;

typedef struct product_job {
    asd_stream   *stream;
    asd_cuda_gemm gemm;
} product_job;

static asd_status product(void *ctx)
{
    product_job *j = ctx;
    return asd_cuda_gemm_run(j->stream, &j->gemm);
}

/* Random normal bf16, a block of 1 Mi numbers again and again. */
static asd_status fill_normal(bench_device *d, void *to, size_t bytes)
{
    enum { BLOCK = 1 << 20 };
    asd_rng   r;
    uint16_t *block = malloc(BLOCK * sizeof *block);
    if (!block)
        return ASD_FAIL(ASD_E_OOM, "no memory for random numbers");
    asd_rng_init(&r, 1, ASD_RNG_TEST, 0, 0);
    for (int i = 0; i < BLOCK; ++i) {
        float    f = (float)asd_rng_normal(&r);
        uint32_t u;
        memcpy(&u, &f, sizeof u);
        block[i] = (uint16_t)(u >> 16);
    }
    asd_status st = ASD_OK;
    for (size_t at = 0; at < bytes && !st; at += BLOCK * sizeof *block)
        st = cuda_upload(d, (char *)to + at, block, BLOCK * sizeof *block);
    free(block);
    return st;
}

static asd_status measure_product(bench_device *d, double seconds)
{
    const size_t bytes = (size_t)PRODUCT * PRODUCT * 2;
    double       time[64];
    int          n;
    void        *m = NULL;
    asd_status   st;
    ASD_GO(done, st, cuda_alloc(d, 3 * bytes, "the product that gives the ceiling", &m));
    ASD_GO(done, st, fill_normal(d, m, 2 * bytes));
    product_job j = {d->stream,
                     {.m       = PRODUCT,
                      .n       = PRODUCT,
                      .k       = PRODUCT,
                      .batch   = 1,
                      .dtype   = ASD_BF16,
                      .y_dtype = ASD_BF16,
                      .a       = m,
                      .lda     = PRODUCT,
                      .b       = (char *)m + bytes,
                      .ldb     = PRODUCT,
                      .y       = (char *)m + 2 * bytes,
                      .ldy     = PRODUCT}};
    ASD_GO(done, st, cuda_hot(d, product, &j, seconds, 64, time, &n));
    d->flops_per_s = 2.0 * PRODUCT * PRODUCT * PRODUCT / bench_spread_of(time, n).min;
    snprintf(d->flops_by, sizeof d->flops_by, "bf16 product, %d^3", PRODUCT);
done:
    cuda_release(d, m);
    return st;
}

typedef struct copy_job {
    asd_stream *stream;
    char       *m;
} copy_job;

static asd_status copy(void *ctx)
{
    copy_job *j = ctx;
    return asd_stream_copy(j->stream, j->m + COPY_BYTES, j->m, COPY_BYTES);
}

static asd_status measure_copy(bench_device *d, double seconds)
{
    double     time[64];
    int        n;
    void      *m = NULL;
    asd_status st;
    ASD_GO(done, st, cuda_alloc(d, 2 * COPY_BYTES, "the copy that gives the ceiling", &m));
    copy_job j = {d->stream, m};
    ASD_GO(done, st, cuda_hot(d, copy, &j, seconds, 64, time, &n));
    d->bytes_per_s = 2.0 * (double)COPY_BYTES / bench_spread_of(time, n).min;
    snprintf(d->bytes_by, sizeof d->bytes_by, "copy of %zu MB", COPY_BYTES >> 20);
done:
    cuda_release(d, m);
    return st;
}

static asd_status cuda_ceilings(bench_device *d, double seconds)
{
    ASD_TRY(measure_product(d, seconds));
    return measure_copy(d, seconds);
}

/* --- opening --- */

static void cuda_close(bench_device *d)
{
    asd_gpu_free(d->gpu, d->scrub);
    asd_stream_free(d->stream);
    asd_gpu_close(d->gpu);
}

static const bench_backend cuda = {cuda_close,  cuda_alloc,    cuda_release,
                                   cuda_upload, cuda_download, cuda_wait,
                                   cuda_hot,    cuda_cold,     cuda_ceilings};

asd_status bench_cuda_open(bench_device *d, int index)
{
    asd_gpu_info info;
    *d = (bench_device){.backend = &cuda, .kind = ASD_CUDA};
    ASD_TRY(asd_gpu_open(index, &d->gpu));
    ASD_TRY(asd_gpu_query(d->gpu, &info));
    ASD_TRY(asd_stream_new(d->gpu, &d->stream));
    snprintf(d->name, sizeof d->name, "%s", info.name);
    d->cache_bytes = info.l2_bytes;
    d->scrub_bytes = (size_t)(info.l2_bytes > 0 ? 2 * info.l2_bytes : 128 << 20);
    return cuda_alloc(d, d->scrub_bytes, "emptying the caches", &d->scrub);
}
