/* mse.cu - mse.c on the device: one kernel forward, one backward.
 *
 * Forward: a block adds up a stretch of 2,048 elements of one group (blockIdx.y) and leaves the sum
 * in scratch; the block that finds by the group's ticket that it is the last one adds those sums in
 * their order. Which block that is changes from run to run, what it adds does not. The tickets are
 * whole numbers in memory of their own (asd_call.state), and the last block puts its ticket back to
 * 0 for the next run. Tried on paper and dropped: a second kernel for the last sum (a launch more,
 * about 2 us of a step of 150), one block a group (1.3 MB through one multiprocessor, 13 us).
 *
 * Backward: one thread 16 bytes.
 *
 * Numerics: differences, squares and sums in fp32. A term of the autoencoder's 163,840 goes through
 * 8 additions of its thread, 5 + 5 of warp and block and 3 + 5 of the last sum, so nothing is lost
 * where mse.c, which adds 2,048 one after another, needs double.
 *
 * Bytes: forward reads p and t once, backward reads both and writes dp (and dt). The autoencoder's
 * 7 x 256 x 640 is 9.2 MB forward: 3.1 us at 3 TB/s, 560 blocks.
 */
#include "cuda/kernel.cuh"

#include "cuda/pack.cuh"   /* load_f32, store_f32, pack_fits */
#include "cuda/reduce.cuh" /* block_sum, warp_sum */
#include "kernels/mse.h"

enum { THREADS = 256 };

/* p, t: (G, size)   y: (G)   part: (G, gridDim.x)   ticket: (G), all 0 before and after */
template <int N, typename T>
__global__ void __launch_bounds__(THREADS)
    mse_fwd_k(const T *__restrict__ p, const T *__restrict__ t, float *__restrict__ y,
              volatile float *part, unsigned *ticket, int64_t size)
{
    ASD_SHARED(float, scratch, THREADS / WARP);
    ASD_SHARED(int, last, 1);
    int64_t g = blockIdx.y, from = (int64_t)blockIdx.x * ASD_MSE_BLOCK;
    int64_t end = from + ASD_MSE_BLOCK < size ? from + ASD_MSE_BLOCK : size;
    float   sum = 0;
    p += g * size;
    t += g * size;
    part += g * gridDim.x;
#pragma unroll 4
    for (int64_t i = from + threadIdx.x * N; i < end; i += THREADS * N) {
        float a[N], b[N];
        load_f32<N>(p + i, a);
        load_f32<N>(t + i, b);
#pragma unroll
        for (int k = 0; k < N; ++k)
            sum = fmaf(a[k] - b[k], a[k] - b[k], sum);
    }
    sum = block_sum<THREADS>(sum, scratch);
    if (threadIdx.x == 0) {
        part[blockIdx.x] = sum;
        __threadfence(); /* the sum before the ticket */
        last[0] = atomicAdd(&ticket[g], 1u) == gridDim.x - 1;
    }
    __syncthreads();
    if (!last[0] || threadIdx.x >= WARP)
        return;
    __threadfence(); /* the ticket before the others' sums */
    sum = 0;
    for (unsigned i = threadIdx.x; i < gridDim.x; i += WARP)
        sum += part[i];
    sum = warp_sum(sum);
    if (threadIdx.x == 0) {
        y[g]      = sum / (float)size;
        ticket[g] = 0;
    }
}

/* dp, dt: NULL where none is wanted; add_*: 1 adds, 0 stores. They may be the same memory (p and t
 * one value): then dt adds to what this thread has just stored in dp. */
template <int N, typename T>
__global__ void __launch_bounds__(THREADS)
    mse_bwd_k(const T *__restrict__ p, const T *__restrict__ t, const float *__restrict__ dy, T *dp,
              T *dt, int64_t size, int add_dp, int add_dt)
{
    int64_t i = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * N, at = blockIdx.y * size + i;
    if (i >= size) /* size is a multiple of N */
        return;
    float scale = 2 * dy[blockIdx.y] / (float)size, a[N], b[N], old[N];
    load_f32<N>(p + at, a);
    load_f32<N>(t + at, b);
    /* y = sum (p - t)^2 / n  ->  dp = 2 (p - t) dy / n, dt = -dp */
#pragma unroll
    for (int k = 0; k < N; ++k)
        a[k] = scale * (a[k] - b[k]);
    if (dp) {
        if (add_dp)
            load_f32<N>(dp + at, old);
#pragma unroll
        for (int k = 0; k < N; ++k)
            b[k] = (add_dp ? old[k] : 0) + a[k];
        store_f32<N>(dp + at, b);
    }
    if (dt) {
        if (add_dt)
            load_f32<N>(dt + at, old);
#pragma unroll
        for (int k = 0; k < N; ++k)
            b[k] = (add_dt ? old[k] : 0) - a[k];
        store_f32<N>(dt + at, b);
    }
}

static int64_t group_size(const asd_call *c)
{
    return asd_count(c->x[0].shape) / asd_count(c->y.shape);
}

template <int N, typename T> static asd_status forward(const asd_call *c)
{
    int64_t size = group_size(c);
    dim3    grid(asd_blocks(size, ASD_MSE_BLOCK), (unsigned)asd_count(c->y.shape));
    return ASD_LAUNCH((mse_fwd_k<N, T>), grid, THREADS, 0, c->stream, (const T *)c->x[0].x,
                      (const T *)c->x[1].x, (float *)c->y.x, (float *)c->work, (unsigned *)c->state,
                      size);
}

template <int N, typename T> static asd_status backward(const asd_call *c)
{
    int64_t size = group_size(c);
    dim3    grid(asd_blocks(size, THREADS * N), (unsigned)asd_count(c->y.shape));
    return ASD_LAUNCH((mse_bwd_k<N, T>), grid, THREADS, 0, c->stream, (const T *)c->x[0].x,
                      (const T *)c->x[1].x, (const float *)c->y.g, (T *)c->x[0].g, (T *)c->x[1].g,
                      size, (int)c->acc[0], (int)c->acc[1]);
}

template <typename T> static asd_status forward_of(const asd_call *c)
{
    return pack_fits<T>(group_size(c)) ? forward<pack<T>::N, T>(c) : forward<1, T>(c);
}

template <typename T> static asd_status backward_of(const asd_call *c)
{
    return pack_fits<T>(group_size(c)) ? backward<pack<T>::N, T>(c) : backward<1, T>(c);
}

extern "C" asd_status mse_prepare_cuda(asd_call *c)
{
    return asd_gpu_alloc(asd_stream_gpu(c->stream),
                         (size_t)asd_count(c->y.shape) * sizeof(unsigned), "the tickets of mse",
                         "train.batch_size", &c->state);
}

extern "C" void mse_release_cuda(asd_call *c)
{
    if (c->state)
        asd_gpu_free(asd_stream_gpu(c->stream), c->state);
    c->state = NULL;
}

extern "C" asd_status mse_fwd_cuda(const asd_call *c)
{
    return c->x[0].dtype == ASD_BF16 ? forward_of<bf16>(c) : forward_of<float>(c);
}

extern "C" asd_status mse_bwd_cuda(const asd_call *c)
{
    return c->x[0].dtype == ASD_BF16 ? backward_of<bf16>(c) : backward_of<float>(c);
}
