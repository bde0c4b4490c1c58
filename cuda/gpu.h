/* gpu.h - the CUDA device as host C sees it: memory, streams, copies, captured graphs.
 *
 * No CUDA header is needed to include this. Three implementations, one chosen by the build:
 *   cuda/gpu.cu          the CUDA runtime
 *   cuda/none.c          a build without CUDA: asd_gpu_open fails and says so
 *   cuda/simt/gpu.cc     tests only: device memory is host memory, kernels run as fibers (simt.h)
 *
 * Every call that can fail says what was being done, on which device, and CUDA's own words
 * (ASD_E_DEVICE). Work on a stream is asynchronous: a kernel's failure shows at the next
 * asd_stream_wait.
 *
 * Ownership: whoever opens, allocates or creates frees; free(NULL) is legal everywhere. A device
 * must outlive its streams, a stream its graphs and the plans that use it. One host thread at a
 * time per stream.
 */
#ifndef ASD_CUDA_GPU_H
#define ASD_CUDA_GPU_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct asd_gpu    asd_gpu;    /* a device in use: library handles, algorithm cache */
typedef struct asd_stream asd_stream; /* an order of work, with a workspace for libraries  */
typedef struct asd_event  asd_event;
typedef struct asd_graph  asd_graph; /* captured work, ready to launch again */

typedef struct asd_gpu_info {
    char    name[128];
    int     major, minor;                                  /* compute capability */
    int     sms;                                           /* streaming multiprocessors */
    size_t  total_bytes, free_bytes;                       /* memory; free at the time of asking */
    int64_t sm_clock_hz, memory_clock_hz, memory_bus_bits; /* highest clocks; 0 = not told */
    int64_t l2_bytes;
    int     driver_version, runtime_version; /* as CUDA counts: 13000 = 13.0 */
} asd_gpu_info;

/* index: after CUDA_VISIBLE_DEVICES. ASD_E_DEVICE: no such device, or no CUDA in this build. */
asd_status asd_gpu_open(int index, asd_gpu **out);
void       asd_gpu_close(asd_gpu *g);
asd_status asd_gpu_ask(int index, asd_gpu_info *out); /* without opening it */
asd_status asd_gpu_query(const asd_gpu *g, asd_gpu_info *out);
/* "cuBLASLt 13.0.2, cuFFT 12.0.0, ..." into buf; "" without CUDA. Returns buf. */
const char *asd_gpu_libraries(char *buf, size_t size);

/* Zeroed device memory, 256-byte aligned. Out of memory (ASD_E_OOM, exit 4): the message tells
 * `what`, the bytes asked, the bytes free, and `hint`, the option that lowers it. */
asd_status asd_gpu_alloc(asd_gpu *g, size_t bytes, const char *what, const char *hint, void **out);
void       asd_gpu_free(asd_gpu *g, void *p);
/* Page-locked host memory: copies from and to it overlap with kernels. */
asd_status asd_gpu_alloc_pinned(asd_gpu *g, size_t bytes, const char *what, void **out);
void       asd_gpu_free_pinned(asd_gpu *g, void *p);

asd_status asd_stream_new(asd_gpu *g, asd_stream **out);
void       asd_stream_free(asd_stream *s);
asd_gpu   *asd_stream_gpu(const asd_stream *s);
int        asd_stream_sms(const asd_stream *s); /* for the size of grids */

/* Enqueued, capturable. Host memory of a copy must stay as it is until asd_stream_wait, and be
 * pinned for the copy to overlap. bytes 0 does nothing. */
asd_status asd_stream_upload(asd_stream *s, void *device, const void *host, size_t bytes);
asd_status asd_stream_download(asd_stream *s, void *host, const void *device, size_t bytes);
asd_status asd_stream_copy(asd_stream *s, void *to, const void *from, size_t bytes);
asd_status asd_stream_zero(asd_stream *s, void *device, size_t bytes);

/* Until everything enqueued is done; reports what failed since the last wait. */
asd_status asd_stream_wait(asd_stream *s);

asd_status asd_event_new(asd_gpu *g, asd_event **out);
void       asd_event_free(asd_event *e);
asd_status asd_event_record(asd_event *e, asd_stream *s);
/* Later work on s starts when the event has happened; forks and joins streams in a capture too. */
asd_status asd_stream_after(asd_stream *s, asd_event *e);
asd_status asd_event_wait(asd_event *e);
asd_status asd_event_seconds(asd_event *from, asd_event *to, double *out); /* both happened */

/* Records what record(ctx) enqueues on s, and on streams forked from it and joined again; nothing
 * of it runs. A failure of record is the result then, and there is no graph. */
asd_status asd_capture(asd_stream *s, asd_status (*record)(void *ctx), void *ctx, asd_graph **out);
/* Its two halves. Who fails in between still calls end, and frees the graph if there is one. */
asd_status asd_capture_begin(asd_stream *s);
asd_status asd_capture_end(asd_stream *s, asd_graph **out);
int        asd_stream_capturing(const asd_stream *s); /* s, or one it was forked from */
asd_status asd_graph_launch(asd_graph *g, asd_stream *s);
int        asd_graph_nodes(const asd_graph *g);
void       asd_graph_free(asd_graph *g);

#ifdef __cplusplus
}
#endif
#endif
