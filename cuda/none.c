/* none.c - gpu.h and gemm.h in a build without CUDA: no device can be opened, and what needs one
 * cannot be reached. */
#include "base/device.h"
#include "cuda/gemm.h"
#include "cuda/gpu.h"

#include <string.h>

static const char *const reason = "this program was built without CUDA";

static asd_status no_cuda(void)
{
    return ASD_FAIL(ASD_E_DEVICE, "%s", reason);
}

int asd_cuda_count(const char **why)
{
    *why = reason;
    return 0;
}

asd_status asd_gpu_open(int index, asd_gpu **out)
{
    (void)index;
    *out = NULL;
    return no_cuda();
}

void asd_gpu_close(asd_gpu *g)
{
    (void)g;
}

asd_status asd_gpu_ask(int index, asd_gpu_info *out)
{
    (void)index;
    memset(out, 0, sizeof *out);
    return no_cuda();
}

asd_status asd_gpu_query(const asd_gpu *g, asd_gpu_info *out)
{
    (void)g;
    memset(out, 0, sizeof *out);
    return no_cuda();
}

const char *asd_gpu_libraries(char *buf, size_t size)
{
    if (size)
        *buf = 0;
    return buf;
}

asd_status asd_gpu_alloc(asd_gpu *g, size_t bytes, const char *what, const char *hint, void **out)
{
    (void)g, (void)bytes, (void)what, (void)hint;
    *out = NULL;
    return no_cuda();
}

void asd_gpu_free(asd_gpu *g, void *p)
{
    (void)g, (void)p;
}

asd_status asd_gpu_alloc_pinned(asd_gpu *g, size_t bytes, const char *what, void **out)
{
    (void)g, (void)bytes, (void)what;
    *out = NULL;
    return no_cuda();
}

void asd_gpu_free_pinned(asd_gpu *g, void *p)
{
    (void)g, (void)p;
}

asd_status asd_stream_new(asd_gpu *g, asd_stream **out)
{
    (void)g;
    *out = NULL;
    return no_cuda();
}

void asd_stream_free(asd_stream *s)
{
    (void)s;
}

asd_gpu *asd_stream_gpu(const asd_stream *s)
{
    (void)s;
    return NULL;
}

int asd_stream_sms(const asd_stream *s)
{
    (void)s;
    return 0;
}

asd_status asd_stream_upload(asd_stream *s, void *device, const void *host, size_t bytes)
{
    (void)s, (void)device, (void)host, (void)bytes;
    return no_cuda();
}

asd_status asd_stream_download(asd_stream *s, void *host, const void *device, size_t bytes)
{
    (void)s, (void)host, (void)device, (void)bytes;
    return no_cuda();
}

asd_status asd_stream_copy(asd_stream *s, void *to, const void *from, size_t bytes)
{
    (void)s, (void)to, (void)from, (void)bytes;
    return no_cuda();
}

asd_status asd_stream_zero(asd_stream *s, void *device, size_t bytes)
{
    (void)s, (void)device, (void)bytes;
    return no_cuda();
}

asd_status asd_stream_wait(asd_stream *s)
{
    (void)s;
    return no_cuda();
}

asd_status asd_event_new(asd_gpu *g, asd_event **out)
{
    (void)g;
    *out = NULL;
    return no_cuda();
}

void asd_event_free(asd_event *e)
{
    (void)e;
}

asd_status asd_event_record(asd_event *e, asd_stream *s)
{
    (void)e, (void)s;
    return no_cuda();
}

asd_status asd_stream_after(asd_stream *s, asd_event *e)
{
    (void)s, (void)e;
    return no_cuda();
}

asd_status asd_event_wait(asd_event *e)
{
    (void)e;
    return no_cuda();
}

asd_status asd_event_seconds(asd_event *from, asd_event *to, double *out)
{
    (void)from, (void)to;
    *out = 0;
    return no_cuda();
}

asd_status asd_capture_begin(asd_stream *s)
{
    (void)s;
    return no_cuda();
}

asd_status asd_capture_end(asd_stream *s, asd_graph **out)
{
    (void)s;
    *out = NULL;
    return no_cuda();
}

int asd_stream_capturing(const asd_stream *s)
{
    (void)s;
    return 0;
}

asd_status asd_graph_launch(asd_graph *g, asd_stream *s)
{
    (void)g, (void)s;
    return no_cuda();
}

int asd_graph_nodes(const asd_graph *g)
{
    (void)g;
    return 0;
}

void asd_graph_free(asd_graph *g)
{
    (void)g;
}

asd_status asd_cuda_gemm_run(asd_stream *s, const asd_cuda_gemm *g)
{
    (void)s, (void)g;
    return no_cuda();
}
