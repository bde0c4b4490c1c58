/* feed.cu - see feed.h. */
#include "cuda/kernel.cuh"

#include "kernels/feed.h"

enum { THREADS = 256 };

/* One thread an entry of index: (groups, n). */
static __global__ void feed_index_k(asd_feed f, const asd_step *counter, int32_t *index, int64_t n)
{
    int64_t i = (int64_t)blockIdx.x * THREADS + (int64_t)threadIdx.x;
    if (i >= f.groups * n)
        return;
    int64_t epoch = counter->step / f.steps, position = counter->step % f.steps;
    int64_t row = (epoch % f.slots * f.steps + position) * f.groups + i / n;
    index[i]    = f.table[row * f.batch + i % n];
}

/* One block; threads stride over the groups. All have read the counter before one changes it. */
static __global__ void feed_record_k(asd_feed_log log, const float *loss, const double *norm,
                                     asd_step *counter)
{
    int64_t row = counter->step % log.rows * log.groups;
    for (int64_t g = (int64_t)threadIdx.x; g < log.groups; g += THREADS) {
        log.loss[row + g] = loss[g];
        if (norm)
            log.norm[row + g] = norm[g];
    }
    __syncthreads();
    if (threadIdx.x == 0)
        ++counter->step;
}

extern "C" asd_status feed_index_cuda(const asd_feed *f, const asd_step *counter, int32_t *index,
                                      int64_t n, asd_stream *s)
{
    return ASD_LAUNCH(feed_index_k, dim3(asd_blocks(f->groups * n, THREADS)), dim3(THREADS), 0, s,
                      *f, counter, index, n);
}

extern "C" asd_status feed_record_cuda(const asd_feed_log *log, const float *loss,
                                       const double *norm, asd_step *counter, asd_stream *s)
{
    return ASD_LAUNCH(feed_record_k, dim3(1), dim3(THREADS), 0, s, *log, loss, norm, counter);
}
