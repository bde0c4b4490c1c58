/* gpu.cc - gpu.h without a GPU: device memory is host memory, a stream does its work at once.
 * Linked into test programs only; the device is called what it is. */
#include "cuda/simt/asan.h"
#include "cuda/simt/gpu.h"

#include "base/device.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

struct asd_gpu {
    size_t used, limit; /* bytes; limit: ASD_SIMT_MEMORY in the environment, to try running out */
};

struct asd_graph {
    std::vector<std::pair<const char *, simt::work>> node;
};

struct asd_stream {
    asd_gpu    *gpu;
    asd_graph  *recording;  /* not NULL between asd_capture_begin and end */
    asd_stream *joined_to;  /* forked from a capturing stream: records into its graph */
    int64_t     of_capture; /* the one of joined_to's captures that it belongs to */
    int64_t     captures;   /* begun so far */
    asd_status  failed;     /* first failure since the last wait */
    char        text[1200];
};

struct asd_event {
    asd_stream *of;
    double      seconds;
};

static asd_graph *graph_of(asd_stream *s)
{
    if (s->recording)
        return s->recording;
    return s->joined_to && s->joined_to->captures == s->of_capture ? graph_of(s->joined_to)
                                                                   : nullptr;
}

asd_status simt::stream_do(asd_stream *s, const char *name, const work &w)
{
    asd_graph *g = graph_of(s);
    if (g) {
        g->node.emplace_back(name, w);
        return ASD_OK;
    }
    if (s->failed) /* a device that failed does nothing more */
        return ASD_OK;
    asd_status st = w();
    if (st) {
        s->failed = st;
        snprintf(s->text, sizeof s->text, "%s", asd_error_text());
    }
    return ASD_OK;
}

int asd_cuda_count(const char **why)
{
    *why = "";
    return 1;
}

static size_t memory_limit()
{
    const char *text = getenv("ASD_SIMT_MEMORY");
    return text ? strtoull(text, nullptr, 10) : (size_t)4 << 30;
}

static void describe(size_t used, size_t limit, asd_gpu_info *out)
{
    memset(out, 0, sizeof *out);
    snprintf(out->name, sizeof out->name, "SIMT on the CPU (for tests)");
    out->major       = 9; /* it emulates wgmma too */
    out->sms         = 4;
    out->total_bytes = limit;
    out->free_bytes  = limit - used;
}

asd_status asd_gpu_ask(int index, asd_gpu_info *out)
{
    describe(0, memory_limit(), out);
    return index == 0 ? ASD_OK
                      : ASD_FAIL(ASD_E_DEVICE, "cuda:%d: there is 1 device, cuda:0", index);
}

asd_status asd_gpu_open(int index, asd_gpu **out)
{
    *out = nullptr;
    if (index != 0)
        return ASD_FAIL(ASD_E_DEVICE, "cuda:%d: there is 1 device, cuda:0", index);
    *out = new asd_gpu{0, memory_limit()};
    return ASD_OK;
}

void asd_gpu_close(asd_gpu *g)
{
    delete g;
}

asd_status asd_gpu_query(const asd_gpu *g, asd_gpu_info *out)
{
    describe(g->used, g->limit, out);
    return ASD_OK;
}

const char *asd_gpu_libraries(char *buf, size_t size)
{
    snprintf(buf, size, "SIMT");
    return buf;
}

/* --- memory: the bytes before a block hold its size --- */

/* Behind a block lies what no kernel may touch: AddressSanitizer watches it, or a border of
 * NaNs is looked at when the block is freed. */
#ifdef SIMT_ASAN
enum { HEAD = 256, BORDER = 0, UNTOUCHED = 0xFF };
#else
enum { HEAD = 256, BORDER = 64, UNTOUCHED = 0xFF };
#endif

asd_status asd_gpu_alloc(asd_gpu *g, size_t bytes, const char *what, const char *hint, void **out)
{
    *out = nullptr;
    if (bytes > g->limit - g->used)
        return ASD_FAIL(ASD_E_OOM, "%s: no device memory for %zu bytes, %zu of %zu are free; %s",
                        what, bytes, g->limit - g->used, g->limit, hint);
    char *p = nullptr;
    if (posix_memalign((void **)&p, 256, HEAD + bytes + BORDER))
        return ASD_FAIL(ASD_E_OOM, "%s: no memory for %zu bytes", what, bytes);
    memset(p + HEAD, 0, bytes);
    memset(p + HEAD + bytes, UNTOUCHED, BORDER);
    memcpy(p, &bytes, sizeof bytes);
    g->used += bytes;
    *out = p + HEAD;
    return ASD_OK;
}

void asd_gpu_free(asd_gpu *g, void *p)
{
    size_t bytes;
    if (!p)
        return;
    memcpy(&bytes, (char *)p - HEAD, sizeof bytes);
    g->used -= bytes;
    for (int i = 0; i < BORDER; ++i)
        if (((unsigned char *)p)[bytes + (size_t)i] != UNTOUCHED) {
            fprintf(stderr, "device memory of %zu bytes was written %d bytes past its end\n", bytes,
                    i);
            abort();
        }
    free((char *)p - HEAD);
}

asd_status asd_gpu_alloc_pinned(asd_gpu *, size_t bytes, const char *what, void **out)
{
    *out = calloc(bytes ? bytes : 1, 1);
    return *out ? ASD_OK : ASD_FAIL(ASD_E_OOM, "%s: no memory for %zu bytes", what, bytes);
}

void asd_gpu_free_pinned(asd_gpu *, void *p)
{
    free(p);
}

/* --- streams --- */

asd_status asd_stream_new(asd_gpu *g, asd_stream **out)
{
    *out        = new asd_stream{};
    (*out)->gpu = g;
    return ASD_OK;
}

void asd_stream_free(asd_stream *s)
{
    if (s)
        delete s->recording;
    delete s;
}

asd_gpu *asd_stream_gpu(const asd_stream *s)
{
    return s->gpu;
}

int asd_stream_sms(const asd_stream *)
{
    return 4;
}

static asd_status copy(asd_stream *s, void *to, const void *from, size_t bytes, const char *name)
{
    if (!bytes)
        return ASD_OK;
    return simt::stream_do(s, name, [=] {
        memcpy(to, from, bytes);
        return ASD_OK;
    });
}

asd_status asd_stream_upload(asd_stream *s, void *device, const void *host, size_t bytes)
{
    return copy(s, device, host, bytes, "upload");
}

asd_status asd_stream_download(asd_stream *s, void *host, const void *device, size_t bytes)
{
    return copy(s, host, device, bytes, "download");
}

asd_status asd_stream_copy(asd_stream *s, void *to, const void *from, size_t bytes)
{
    return copy(s, to, from, bytes, "copy");
}

asd_status asd_stream_zero(asd_stream *s, void *device, size_t bytes)
{
    if (!bytes)
        return ASD_OK;
    return simt::stream_do(s, "zero", [=] {
        memset(device, 0, bytes);
        return ASD_OK;
    });
}

asd_status asd_stream_wait(asd_stream *s)
{
    if (graph_of(s))
        return ASD_FAIL(ASD_E_DEVICE, "a stream that is being captured cannot be waited for");
    asd_status st = s->failed;
    s->failed     = ASD_OK;
    return st ? ASD_FAIL(st, "%s", s->text) : ASD_OK;
}

/* --- events --- */

asd_status asd_event_new(asd_gpu *, asd_event **out)
{
    *out = new asd_event{};
    return ASD_OK;
}

void asd_event_free(asd_event *e)
{
    delete e;
}

asd_status asd_event_record(asd_event *e, asd_stream *s)
{
    e->of = s;
    return simt::stream_do(s, "event", [=] {
        std::chrono::duration<double> now = std::chrono::steady_clock::now().time_since_epoch();
        e->seconds                        = now.count();
        return ASD_OK;
    });
}

asd_status asd_stream_after(asd_stream *s, asd_event *e)
{
    if (e->of && e->of != s && graph_of(e->of) && !graph_of(s)) {
        s->joined_to  = e->of;
        s->of_capture = e->of->captures;
    }
    return ASD_OK;
}

asd_status asd_event_wait(asd_event *)
{
    return ASD_OK;
}

asd_status asd_event_seconds(asd_event *from, asd_event *to, double *out)
{
    *out = to->seconds - from->seconds;
    return ASD_OK;
}

/* --- capture --- */

asd_status asd_capture_begin(asd_stream *s)
{
    if (graph_of(s))
        return ASD_FAIL(ASD_E_DEVICE, "the stream is being captured already");
    s->recording = new asd_graph{};
    ++s->captures;
    return ASD_OK;
}

asd_status asd_capture_end(asd_stream *s, asd_graph **out)
{
    *out = s->recording;
    if (!s->recording)
        return ASD_FAIL(ASD_E_DEVICE, "the stream is not being captured");
    s->recording = nullptr;
    return ASD_OK;
}

asd_status asd_graph_launch(asd_graph *g, asd_stream *s)
{
    for (auto &node : g->node)
        ASD_TRY(simt::stream_do(s, node.first, node.second));
    return ASD_OK;
}

int asd_graph_nodes(const asd_graph *g)
{
    return (int)g->node.size();
}

void asd_graph_free(asd_graph *g)
{
    delete g;
}

int asd_stream_capturing(const asd_stream *s)
{
    return graph_of((asd_stream *)s) != nullptr;
}
