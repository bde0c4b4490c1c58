/* gpu.cu - gpu.h over the CUDA runtime.
 *
 * The current device is a property of the host thread, so every call chooses its own first; that
 * costs nothing when it is chosen already. Streams do not wait for the default stream (nothing of
 * ours runs there but the zeroing of new memory, which is waited for).
 */
#include "cuda/kernel.cuh"

#include "base/device.h"
#include "cuda/libraries.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

struct asd_event {
    asd_gpu    *gpu;
    cudaEvent_t event;
};

struct asd_graph {
    asd_gpu        *gpu;
    cudaGraphExec_t exec;
    int             nodes;
};

/* --- errors --- */

__attribute__((format(printf, 3, 4))) static asd_status check(const asd_gpu *g, cudaError_t error,
                                                              const char *format, ...)
{
    char    what[256];
    va_list ap;
    if (error == cudaSuccess)
        return ASD_OK;
    va_start(ap, format);
    vsnprintf(what, sizeof what, format, ap);
    va_end(ap);
    cudaGetLastError(); /* an error that does not stick is told once */
    return ASD_FAIL(ASD_E_DEVICE, "GPU %d: %s: %s (%s)", g->index, what, cudaGetErrorString(error),
                    cudaGetErrorName(error));
}

asd_status asd_stream_check(asd_stream *s, cudaError_t error, const char *what)
{
    if (error != cudaSuccess)
        s->failed = 1;
    return check(s->gpu, error, "%s", what);
}

static cudaError_t choose(const asd_gpu *g)
{
    return cudaSetDevice(g->index);
}

/* choose(), then the call. */
#define WITH(g, call) (choose(g) == cudaSuccess ? (call) : cudaGetLastError())

/* --- devices --- */

static const char *version_text(int version, char buf[16])
{
    snprintf(buf, 16, "%d.%d", version / 1000, version % 1000 / 10);
    return buf;
}

int asd_cuda_count(const char **why)
{
    static thread_local char text[256];
    char                     found[16], wanted[16];
    int                      n = 0, driver = 0;
    const char              *visible = getenv("CUDA_VISIBLE_DEVICES");
    cudaError_t              error   = cudaGetDeviceCount(&n);
    *why                             = text;
    text[0]                          = 0;
    if (error == cudaSuccess && n > 0)
        return n;
    cudaGetLastError();
    if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0)
        snprintf(text, sizeof text,
                 "this machine has no NVIDIA driver (libcuda.so.1 was not found)");
    else if (error == cudaErrorInsufficientDriver)
        snprintf(text, sizeof text,
                 "the NVIDIA driver is too old: found CUDA %s, this build needs %s or later",
                 version_text(driver, found), version_text(CUDART_VERSION, wanted));
    else if (error == cudaErrorNoDevice || error == cudaSuccess)
        snprintf(text, sizeof text, "the NVIDIA driver shows no GPU%s%.60s%s",
                 visible ? " (CUDA_VISIBLE_DEVICES is \"" : "", visible ? visible : "",
                 visible ? "\")" : "");
    else
        snprintf(text, sizeof text, "%s (%s)", cudaGetErrorString(error), cudaGetErrorName(error));
    return 0;
}

/* Is there code for the device's architecture in this program? Any kernel answers for all. */
static __global__ void probe_k(void)
{
}

static asd_status check_architecture(const asd_gpu *g)
{
    cudaFuncAttributes attributes;
    cudaError_t        error = cudaFuncGetAttributes(&attributes, (const void *)probe_k);
    if (error == cudaErrorNoKernelImageForDevice || error == cudaErrorInvalidDeviceFunction ||
        error == cudaErrorUnsupportedPtxVersion) {
        cudaGetLastError();
        return ASD_FAIL(ASD_E_DEVICE,
                        "GPU %d (%s) has compute capability %d.%d, and this build holds no code "
                        "for it: configure with -DCMAKE_CUDA_ARCHITECTURES=%d%d",
                        g->index, g->properties.name, g->properties.major, g->properties.minor,
                        g->properties.major, g->properties.minor);
    }
    return check(g, error, "looking for code for this device");
}

static asd_status find_device(int index)
{
    const char *why;
    int         n = asd_cuda_count(&why);
    if (n == 0)
        return ASD_FAIL(ASD_E_DEVICE, "%s", why);
    if (index < 0 || index >= n)
        return ASD_FAIL(ASD_E_DEVICE, "GPU %d: there are %d devices, 0 to %d", index, n, n - 1);
    return ASD_OK;
}

asd_status asd_gpu_open(int index, asd_gpu **out)
{
    *out = NULL;
    ASD_TRY(find_device(index));
    asd_gpu *g = (asd_gpu *)calloc(1, sizeof *g);
    if (!g)
        return ASD_FAIL(ASD_E_OOM, "GPU %d: no memory on the host", index);
    g->index = index;
    pthread_mutex_init(&g->lock, NULL);
    asd_status st =
        check(g, cudaGetDeviceProperties(&g->properties, index), "asking for its properties");
    if (!st)
        st = check(g, WITH(g, cudaFree(NULL)), "starting to use it");
    if (!st)
        st = check_architecture(g);
    if (st) {
        asd_gpu_close(g);
        return st;
    }
    *out = g;
    return ASD_OK;
}

void asd_gpu_close(asd_gpu *g)
{
    if (!g)
        return;
    asd_gemm_close(g);
    pthread_mutex_destroy(&g->lock);
    free(g);
}

static int64_t attribute(int index, cudaDeviceAttr which, int64_t unit)
{
    int value = 0;
    if (cudaDeviceGetAttribute(&value, which, index) != cudaSuccess) {
        cudaGetLastError();
        return 0;
    }
    return value * unit;
}

asd_status asd_gpu_query(const asd_gpu *g, asd_gpu_info *out)
{
    cudaDeviceProp p;
    memset(out, 0, sizeof *out);
    ASD_TRY(check(g, cudaGetDeviceProperties(&p, g->index), "asking for its properties"));
    ASD_TRY(check(g, WITH(g, cudaMemGetInfo(&out->free_bytes, &out->total_bytes)),
                  "asking for its free memory"));
    snprintf(out->name, sizeof out->name, "%.127s", p.name);
    out->major           = p.major;
    out->minor           = p.minor;
    out->sms             = p.multiProcessorCount;
    out->l2_bytes        = p.l2CacheSize;
    out->sm_clock_hz     = attribute(g->index, cudaDevAttrClockRate, 1000); /* told in kHz */
    out->memory_clock_hz = attribute(g->index, cudaDevAttrMemoryClockRate, 1000);
    out->memory_bus_bits = attribute(g->index, cudaDevAttrGlobalMemoryBusWidth, 1);
    ASD_TRY(check(g, cudaDriverGetVersion(&out->driver_version), "asking the driver's version"));
    return check(g, cudaRuntimeGetVersion(&out->runtime_version), "asking the runtime's version");
}

asd_status asd_gpu_ask(int index, asd_gpu_info *out)
{
    int     before = 0;
    asd_gpu g      = {};
    g.index        = index;
    memset(out, 0, sizeof *out);
    ASD_TRY(find_device(index));
    ASD_TRY(check(&g, cudaGetDevice(&before), "asking for the current device"));
    asd_status st = asd_gpu_query(&g, out);
    cudaSetDevice(before);
    return st;
}

const char *asd_gpu_libraries(char *buf, size_t size)
{
    char   text[16];
    int    version = 0;
    size_t used    = 0;
    if (cudaRuntimeGetVersion(&version) == cudaSuccess)
        used = (size_t)snprintf(buf, size, "runtime %s, ", version_text(version, text));
    if (used < size)
        asd_library_versions(buf + used, size - used);
    return buf;
}

/* --- memory --- */

static asd_status out_of_memory(const asd_gpu *g, size_t bytes, const char *what, const char *hint)
{
    size_t free_bytes = 0, total = 0;
    cudaGetLastError();
    if (cudaMemGetInfo(&free_bytes, &total) != cudaSuccess)
        cudaGetLastError();
    return ASD_FAIL(
        ASD_E_OOM, "GPU %d (%s): out of memory: %s needs %.1f MiB, %.1f of %.1f MiB are free%s%s",
        g->index, g->properties.name, what, (double)bytes / 1048576, (double)free_bytes / 1048576,
        (double)total / 1048576, hint && *hint ? "; lower " : "", hint ? hint : "");
}

asd_status asd_gpu_alloc(asd_gpu *g, size_t bytes, const char *what, const char *hint, void **out)
{
    *out              = NULL;
    void       *p     = NULL;
    cudaError_t error = WITH(g, cudaMalloc(&p, bytes ? bytes : 1));
    if (error == cudaErrorMemoryAllocation)
        return out_of_memory(g, bytes, what, hint);
    ASD_TRY(check(g, error, "allocating %zu bytes for %s", bytes, what));
    error = cudaMemsetAsync(p, 0, bytes ? bytes : 1, cudaStreamLegacy);
    if (error == cudaSuccess) /* our streams do not wait for the default one */
        error = cudaStreamSynchronize(cudaStreamLegacy);
    if (error != cudaSuccess) {
        cudaFree(p);
        return check(g, error, "zeroing %zu bytes for %s", bytes, what);
    }
    *out = p;
    return ASD_OK;
}

void asd_gpu_free(asd_gpu *g, void *p)
{
    if (p && choose(g) == cudaSuccess)
        cudaFree(p); /* fails only after a failure that a wait has reported */
}

asd_status asd_gpu_alloc_pinned(asd_gpu *g, size_t bytes, const char *what, void **out)
{
    *out              = NULL;
    void       *p     = NULL;
    cudaError_t error = WITH(g, cudaHostAlloc(&p, bytes ? bytes : 1, cudaHostAllocDefault));
    if (error == cudaErrorMemoryAllocation) {
        cudaGetLastError();
        return ASD_FAIL(ASD_E_OOM, "no memory on the host: %s needs %zu page-locked bytes", what,
                        bytes);
    }
    ASD_TRY(check(g, error, "page-locking %zu bytes for %s", bytes, what));
    memset(p, 0, bytes);
    *out = p;
    return ASD_OK;
}

void asd_gpu_free_pinned(asd_gpu *g, void *p)
{
    if (p && choose(g) == cudaSuccess)
        cudaFreeHost(p);
}

/* --- streams --- */

asd_status asd_stream_new(asd_gpu *g, asd_stream **out)
{
    *out          = NULL;
    asd_stream *s = (asd_stream *)calloc(1, sizeof *s);
    if (!s)
        return ASD_FAIL(ASD_E_OOM, "GPU %d: no memory on the host for a stream", g->index);
    s->gpu        = g;
    asd_status st = check(g, WITH(g, cudaStreamCreateWithFlags(&s->stream, cudaStreamNonBlocking)),
                          "making a stream");
    if (!st)
        st = asd_gpu_alloc(g, ASD_WORKSPACE_BYTES + ASD_BIAS_BYTES, "a stream's workspace", "",
                           (void **)&s->workspace);
    if (st) {
        asd_stream_free(s);
        return st;
    }
    *out = s;
    return ASD_OK;
}

void asd_stream_free(asd_stream *s)
{
    if (!s)
        return;
    if (choose(s->gpu) == cudaSuccess && s->stream) {
        cudaStreamSynchronize(s->stream);
        cudaStreamDestroy(s->stream);
    }
    asd_gpu_free(s->gpu, s->workspace);
    free(s);
}

asd_gpu *asd_stream_gpu(const asd_stream *s)
{
    return s->gpu;
}

int asd_stream_sms(const asd_stream *s)
{
    return s->gpu->properties.multiProcessorCount;
}

static asd_status copy(asd_stream *s, void *to, const void *from, size_t bytes,
                       enum cudaMemcpyKind kind, const char *what)
{
    if (!bytes)
        return ASD_OK;
    cudaError_t error = WITH(s->gpu, cudaMemcpyAsync(to, from, bytes, kind, s->stream));
    if (error == cudaSuccess)
        return ASD_OK;
    s->failed = 1;
    return check(s->gpu, error, "%s %zu bytes", what, bytes);
}

asd_status asd_stream_upload(asd_stream *s, void *device, const void *host, size_t bytes)
{
    return copy(s, device, host, bytes, cudaMemcpyHostToDevice, "uploading");
}

asd_status asd_stream_download(asd_stream *s, void *host, const void *device, size_t bytes)
{
    return copy(s, host, device, bytes, cudaMemcpyDeviceToHost, "downloading");
}

asd_status asd_stream_copy(asd_stream *s, void *to, const void *from, size_t bytes)
{
    return copy(s, to, from, bytes, cudaMemcpyDeviceToDevice, "copying");
}

asd_status asd_stream_zero(asd_stream *s, void *device, size_t bytes)
{
    if (!bytes)
        return ASD_OK;
    return asd_stream_check(s, WITH(s->gpu, cudaMemsetAsync(device, 0, bytes, s->stream)),
                            "zeroing memory");
}

asd_status asd_stream_wait(asd_stream *s)
{
    return asd_stream_check(s, WITH(s->gpu, cudaStreamSynchronize(s->stream)),
                            "work enqueued before this wait failed");
}

asd_status asd_resident_blocks(const void *kernel, unsigned block, size_t shared_bytes,
                               asd_stream *s, int *out)
{
    int each = 0;
    *out     = 0;
    if (shared_bytes > 48 * 1024)
        ASD_TRY(asd_stream_check(
            s,
            WITH(s->gpu, cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                              (int)shared_bytes)),
            "asking for a kernel's shared memory"));
    ASD_TRY(asd_stream_check(s,
                             WITH(s->gpu, cudaOccupancyMaxActiveBlocksPerMultiprocessor(
                                              &each, kernel, (int)block, shared_bytes)),
                             "asking how many blocks of a kernel fit"));
    *out = each * asd_stream_sms(s);
    return ASD_OK;
}

/* --- events --- */

asd_status asd_event_new(asd_gpu *g, asd_event **out)
{
    *out         = NULL;
    asd_event *e = (asd_event *)calloc(1, sizeof *e);
    if (!e)
        return ASD_FAIL(ASD_E_OOM, "GPU %d: no memory on the host for an event", g->index);
    e->gpu        = g;
    asd_status st = check(g, WITH(g, cudaEventCreate(&e->event)), "making an event");
    if (st) {
        free(e);
        return st;
    }
    *out = e;
    return ASD_OK;
}

void asd_event_free(asd_event *e)
{
    if (!e)
        return;
    if (choose(e->gpu) == cudaSuccess)
        cudaEventDestroy(e->event);
    free(e);
}

asd_status asd_event_record(asd_event *e, asd_stream *s)
{
    return asd_stream_check(s, WITH(s->gpu, cudaEventRecord(e->event, s->stream)),
                            "recording an event");
}

asd_status asd_stream_after(asd_stream *s, asd_event *e)
{
    return asd_stream_check(s, WITH(s->gpu, cudaStreamWaitEvent(s->stream, e->event, 0)),
                            "making a stream wait for an event");
}

asd_status asd_event_wait(asd_event *e)
{
    return check(e->gpu, WITH(e->gpu, cudaEventSynchronize(e->event)),
                 "work enqueued before this event failed");
}

asd_status asd_event_seconds(asd_event *from, asd_event *to, double *out)
{
    float ms = 0;
    *out     = 0;
    ASD_TRY(check(from->gpu, WITH(from->gpu, cudaEventElapsedTime(&ms, from->event, to->event)),
                  "asking for the time between two events"));
    *out = (double)ms / 1000;
    return ASD_OK;
}

/* --- captures --- */

asd_status asd_capture_begin(asd_stream *s)
{
    /* cuBLASLt cannot be opened inside a capture. Whether it is needed is not known yet, so that
     * it is missing is said where it is used. */
    if (!s->gpu->gemms && asd_gemm_open(s->gpu))
        asd_error_clear();
    ASD_TRY(asd_stream_check(
        s, WITH(s->gpu, cudaStreamBeginCapture(s->stream, cudaStreamCaptureModeThreadLocal)),
        "beginning a capture"));
    s->capturing = 1;
    s->failed    = 0;
    return ASD_OK;
}

int asd_stream_capturing(const asd_stream *s)
{
    enum cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
    if (WITH(s->gpu, cudaStreamIsCapturing(s->stream, &status)) != cudaSuccess)
        cudaGetLastError();
    return status != cudaStreamCaptureStatusNone;
}

static asd_status make_graph(asd_gpu *g, cudaGraph_t template_graph, asd_graph **out)
{
    size_t     n     = 0;
    asd_graph *graph = (asd_graph *)calloc(1, sizeof *graph);
    if (!graph)
        return ASD_FAIL(ASD_E_OOM, "GPU %d: no memory on the host for a graph", g->index);
    graph->gpu = g;
    asd_status st =
        check(g, cudaGraphGetNodes(template_graph, NULL, &n), "counting the steps of a graph");
    if (!st)
        st = check(g, cudaGraphInstantiateWithFlags(&graph->exec, template_graph, 0),
                   "making a graph of %zu steps ready", n);
    if (st) {
        asd_graph_free(graph);
        return st;
    }
    graph->nodes = (int)n;
    *out         = graph;
    return ASD_OK;
}

asd_status asd_capture_end(asd_stream *s, asd_graph **out)
{
    char        text[512];
    cudaGraph_t graph = NULL;
    *out              = NULL;
    snprintf(text, sizeof text, "%s", asd_error_text());
    int         failed = s->failed;
    cudaError_t error  = WITH(s->gpu, cudaStreamEndCapture(s->stream, &graph));
    s->capturing       = 0;
    asd_status st      = ASD_OK;
    if (failed) {
        cudaGetLastError();
        st = ASD_FAIL(ASD_E_DEVICE, "GPU %d: a call failed inside the capture: %s", s->gpu->index,
                      text);
    } else {
        st = check(s->gpu, error, "ending a capture");
    }
    if (!st)
        st = make_graph(s->gpu, graph, out);
    if (graph)
        cudaGraphDestroy(graph);
    return st;
}

asd_status asd_graph_launch(asd_graph *g, asd_stream *s)
{
    return asd_stream_check(s, WITH(s->gpu, cudaGraphLaunch(g->exec, s->stream)),
                            "launching a graph");
}

int asd_graph_nodes(const asd_graph *g)
{
    return g->nodes;
}

void asd_graph_free(asd_graph *g)
{
    if (!g)
        return;
    if (choose(g->gpu) == cudaSuccess && g->exec)
        cudaGraphExecDestroy(g->exec);
    free(g);
}
