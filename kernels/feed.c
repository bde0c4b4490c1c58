/* feed.c - see feed.h. */
#include "kernels/feed.h"

typedef asd_status (*index_fn)(const asd_feed *, const asd_step *, int32_t *, int64_t,
                               asd_stream *);
typedef asd_status (*record_fn)(const asd_feed_log *, const float *, const double *, asd_step *,
                                asd_stream *);

static const index_fn  index_cuda[]  = {ASD_CUDA_FN(feed_index_cuda)};
static const record_fn record_cuda[] = {ASD_CUDA_FN(feed_record_cuda)};

static asd_status no_cuda(void)
{
    return ASD_FAIL(ASD_E_DEVICE, "a step on a device: this program was built without CUDA");
}

asd_status asd_feed_index(const asd_feed *f, const asd_step *counter, int32_t *index, int64_t n,
                          asd_stream *s)
{
    ASD_ASSERT(n > 0 && n <= f->batch);
    return index_cuda[0] ? index_cuda[0](f, counter, index, n, s) : no_cuda();
}

asd_status asd_feed_record(const asd_feed_log *log, const float *loss, const double *norm,
                           asd_step *counter, asd_stream *s)
{
    ASD_ASSERT(!norm == !log->norm);
    return record_cuda[0] ? record_cuda[0](log, loss, norm, counter, s) : no_cuda();
}
