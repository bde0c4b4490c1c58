/* feed.h - the two ends of a captured step that are no op: which rows it reads, and what it leaves.
 *
 * A captured graph is launched again and again without an argument, so what differs from step to
 * step is found from a counter in device memory: asd_feed_index copies the rows of the step that
 * the counter names out of a table that the host wrote for a whole epoch, asd_feed_record keeps the
 * losses in the counter's place of another table and counts on. The host reads that table whenever
 * it likes. Both are one small launch: 4 bytes a row of the batch; nothing else. Not measured.
 *
 * All pointers are device memory. Enqueued, capturable. ASD_E_DEVICE in a build without CUDA.
 */
#ifndef ASD_KERNELS_FEED_H
#define ASD_KERNELS_FEED_H

#include "cuda/gpu.h"
#include "kernels/op.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Row numbers of the batches of `slots` epochs: epoch e is in slot e mod slots. */
typedef struct asd_feed {
    const int32_t *table; /* (slots, steps, groups, batch) */
    int64_t        slots, steps, groups, batch;
} asd_feed;

/* index[g, i] = table[epoch mod slots, position, g, i], i < n <= batch, with counter->step =
 * epoch steps + position. index: (groups, n) */
asd_status asd_feed_index(const asd_feed *f, const asd_step *counter, int32_t *index, int64_t n,
                          asd_stream *s);

/* What the host will read: row `step mod rows` of each table. */
typedef struct asd_feed_log {
    float  *loss; /* (rows, groups) */
    double *norm; /* (rows, groups); NULL where there is no gradient */
    int64_t rows, groups;
} asd_feed_log;

/* loss, norm: (groups). Then ++counter->step. */
asd_status asd_feed_record(const asd_feed_log *log, const float *loss, const double *norm,
                           asd_step *counter, asd_stream *s);

/* feed.cu */
asd_status feed_index_cuda(const asd_feed *f, const asd_step *counter, int32_t *index, int64_t n,
                           asd_stream *s);
asd_status feed_record_cuda(const asd_feed_log *log, const float *loss, const double *norm,
                            asd_step *counter, asd_stream *s);

#ifdef __cplusplus
}
#endif
#endif
