/* batchnorm.cu - batchnorm.c on the device: one kernel forward, one backward.
 *
 * Mapping: a block has all rows of a few columns of one group: 2 lanes of 16 bytes across (8 fp32
 * or 16 bf16 columns, one 32-byte sector a row), 128 rows down; blockIdx.y is the group. Where rows
 * do not start on 16 bytes, 8 lanes of one number across and 32 rows down. A column's sum: each
 * thread's rows in order, then over the lanes of a warp that share the column, then over the warps
 * in order, so the bits depend on the shape alone. Inference sums nothing, so there the rows are
 * cut over blockIdx.z.
 *
 * Shared memory: the warps' sums. The block's columns of x (8 KB of the autoencoder's 256 rows) are
 * read once from memory and again from the first-level cache: registers would hold no more than 256
 * rows, and the second pass costs 40 cycles where the launch costs 3,000.
 *
 * ReLU (the attribute): the forward cuts off, the backward computes the sign of y again by the same
 * fmaf, so neither writes nor reads anything more. In the autoencoder that saves two launches and 5
 * passes over the tensor a layer.
 *
 * Numerics: fp32, two passes, as in batchnorm.c.
 *
 * Bytes: forward reads x and writes y once; backward reads x and dy and writes dx. The
 * autoencoder's 7 x 256 x 128 is 1.8 and 2.8 MB, 0.6 and 0.9 us at 3 TB/s: the launch is the cost,
 * hence one kernel and as many blocks (112) as that width gives.
 */
#include "cuda/kernel.cuh"

#include "cuda/pack.cuh" /* load_f32, store_f32, pack_fits */
#include "kernels/op.h"

/* __launch_bounds__(THREADS, 1): left alone, ptxas aims at three blocks a multiprocessor, and
 * spills for it on sm_80; there are fewer blocks than multiprocessors. */
enum { THREADS = 256, WARPS = THREADS / WARP, INFERENCE_ROWS = 512 };

/* How a block covers its columns and rows; N columns a thread. */
template <int N> struct tile {
    enum {
        LANES   = N == 1 ? 8 : 2,
        COLUMNS = LANES * N,
        ROWS    = THREADS / LANES,
        UNROLL  = 2,
    };
};

/* v: (COUNT) sums of one thread, replaced by those of all threads with the same lane of LANES.
 * scratch: shared, WARPS LANES COUNT floats. Barriers: one before scratch is written, one before it
 * is read. */
template <int LANES, int COUNT>
static __device__ void column_sums(float *v, shared_ptr<float> scratch)
{
    int warp = (int)threadIdx.x / WARP, lane = (int)threadIdx.x % LANES;
#pragma unroll
    for (int d = WARP / 2; d >= LANES; d /= 2)
#pragma unroll
        for (int i = 0; i < COUNT; ++i)
            v[i] += __shfl_xor_sync(ALL_LANES, v[i], d);
    __syncthreads();
    if ((int)threadIdx.x % WARP < LANES)
#pragma unroll
        for (int i = 0; i < COUNT; ++i)
            scratch[(warp * LANES + lane) * COUNT + i] = v[i];
    __syncthreads();
#pragma unroll
    for (int i = 0; i < COUNT; ++i) {
        float sum = 0;
#pragma unroll
        for (int k = 0; k < WARPS; ++k)
            sum += scratch[(k * LANES + lane) * COUNT + i];
        v[i] = sum;
    }
}

/* x, y: (G, R, C)   w, b, running_*: (G, C)   mean, rstd: (G, C), the two halves of `saved` */
template <int N, typename T>
__global__ void __launch_bounds__(THREADS, 1)
    batchnorm_fwd_k(const T *__restrict__ x, const float *__restrict__ w,
                    const float *__restrict__ b, float *__restrict__ running_mean,
                    float *__restrict__ running_var, float *__restrict__ saved_mean,
                    float *__restrict__ saved_rstd, T *__restrict__ y, int64_t R, int64_t C,
                    float eps, float momentum, int training, int relu)
{
    typedef tile<N> t;
    ASD_SHARED(float, scratch, WARPS *t::COLUMNS);
    int64_t column = ((int64_t)blockIdx.x * t::LANES + threadIdx.x % t::LANES) * N;
    int64_t at = (int64_t)blockIdx.y * R * C + column, p = (int64_t)blockIdx.y * C + column;
    int64_t first = threadIdx.x / t::LANES, end = R;
    bool    inside = column < C; /* C is a multiple of N: all of a thread's columns or none */
    float   mean[N], var[N], scale[N], shift[N];
    if (training) {
#pragma unroll
        for (int i = 0; i < N; ++i)
            mean[i] = var[i] = 0;
#pragma unroll t::UNROLL
        for (int64_t r = inside ? first : R; r < R; r += t::ROWS) {
            float v[N];
            load_f32<N>(x + at + r * C, v);
#pragma unroll
            for (int i = 0; i < N; ++i)
                mean[i] += v[i];
        }
        column_sums<t::LANES, N>(mean, scratch);
#pragma unroll
        for (int i = 0; i < N; ++i)
            mean[i] /= (float)R;
#pragma unroll t::UNROLL
        for (int64_t r = inside ? first : R; r < R; r += t::ROWS) {
            float v[N];
            load_f32<N>(x + at + r * C, v);
#pragma unroll
            for (int i = 0; i < N; ++i)
                var[i] = fmaf(v[i] - mean[i], v[i] - mean[i], var[i]);
        }
        column_sums<t::LANES, N>(var, scratch);
#pragma unroll
        for (int i = 0; i < N; ++i)
            var[i] /= (float)R;
    } else {
        first += (int64_t)blockIdx.z * INFERENCE_ROWS;
        end = (int64_t)(blockIdx.z + 1) * INFERENCE_ROWS < R
                  ? (int64_t)(blockIdx.z + 1) * INFERENCE_ROWS
                  : R;
    }
    if (!inside)
        return;
    bool writes = threadIdx.x / t::LANES == 0 && blockIdx.z == 0; /* the column's statistics */
#pragma unroll
    for (int i = 0; i < N; ++i) {
        if (!training) {
            mean[i] = running_mean[p + i];
            var[i]  = running_var[p + i];
        } else if (writes) {
            float unbiased      = R > 1 ? var[i] * ((float)R / (float)(R - 1)) : var[i];
            running_mean[p + i] = (1 - momentum) * running_mean[p + i] + momentum * mean[i];
            running_var[p + i]  = (1 - momentum) * running_var[p + i] + momentum * unbiased;
        }
        float rstd = 1 / sqrtf(var[i] + eps);
        if (writes) {
            saved_mean[p + i] = mean[i];
            saved_rstd[p + i] = rstd;
        }
        scale[i] = rstd * w[p + i];
        shift[i] = b[p + i];
    }
#pragma unroll t::UNROLL
    for (int64_t r = first; r < end; r += t::ROWS) {
        float v[N];
        load_f32<N>(x + at + r * C, v);
#pragma unroll
        for (int i = 0; i < N; ++i) {
            float z = fmaf(v[i] - mean[i], scale[i], shift[i]);
            v[i]    = relu && z < 0 ? 0 : z; /* NaN passes, as in relu.cu */
        }
        store_f32<N>(y + at + r * C, v);
    }
}

/* dy where the ReLU behind the normalisation lets it through: y > 0, by the forward's own fmaf. */
static __device__ __forceinline__ float let_through(float dy, float centred, float scale,
                                                    float shift)
{
    return fmaf(centred, scale, shift) > 0 ? dy : 0;
}

/* dw, db, dx: NULL where none is wanted; add_*: 1 adds, 0 stores */
template <int N, typename T>
__global__ void __launch_bounds__(THREADS, 1)
    batchnorm_bwd_k(const T *__restrict__ x, const T *__restrict__ dy, const float *__restrict__ w,
                    const float *__restrict__ b, const float *__restrict__ saved_mean,
                    const float *__restrict__ saved_rstd, T *__restrict__ dx,
                    float *__restrict__ dw, float *__restrict__ db, int64_t R, int64_t C, int relu,
                    int add_dx, int add_dw, int add_db)
{
    typedef tile<N> t;
    ASD_SHARED(float, scratch, WARPS * 2 * t::COLUMNS);
    int64_t column = ((int64_t)blockIdx.x * t::LANES + threadIdx.x % t::LANES) * N;
    int64_t at = (int64_t)blockIdx.y * R * C + column, p = (int64_t)blockIdx.y * C + column;
    int64_t first  = threadIdx.x / t::LANES;
    bool    inside = column < C;
    float   mean[N], rstd[N], scale[N], shift[N], sums[2 * N]; /* sum_r dy h, sum_r dy */
#pragma unroll
    for (int i = 0; i < N; ++i) {
        mean[i]  = inside ? saved_mean[p + i] : 0;
        rstd[i]  = inside ? saved_rstd[p + i] : 0;
        scale[i] = inside ? rstd[i] * w[p + i] : 0;
        shift[i] = inside ? b[p + i] : 0;
        sums[i] = sums[N + i] = 0;
    }
#pragma unroll t::UNROLL
    for (int64_t r = inside ? first : R; r < R; r += t::ROWS) {
        float v[N], g[N];
        load_f32<N>(x + at + r * C, v);
        load_f32<N>(dy + at + r * C, g);
#pragma unroll
        for (int i = 0; i < N; ++i) {
            g[i]    = relu ? let_through(g[i], v[i] - mean[i], scale[i], shift[i]) : g[i];
            sums[i] = fmaf(g[i], (v[i] - mean[i]) * rstd[i], sums[i]);
            sums[N + i] += g[i];
        }
    }
    column_sums<t::LANES, 2 * N>(sums, scratch);
    if (!inside)
        return;
    if (first == 0)
#pragma unroll
        for (int i = 0; i < N; ++i) {
            if (dw)
                dw[p + i] = sums[i] + (add_dw ? dw[p + i] : 0);
            if (db)
                db[p + i] = sums[N + i] + (add_db ? db[p + i] : 0);
        }
    if (!dx)
        return;
        /* y = (x - m) s w + b, m and s functions of x  ->  dx = w s (dy - mean dy - h mean (dy h))
         */
#pragma unroll
    for (int i = 0; i < N; ++i) {
        sums[i] /= (float)R;
        sums[N + i] /= (float)R;
    }
#pragma unroll t::UNROLL
    for (int64_t r = first; r < R; r += t::ROWS) {
        float v[N], g[N], old[N];
        load_f32<N>(x + at + r * C, v);
        load_f32<N>(dy + at + r * C, g);
        if (add_dx)
            load_f32<N>(dx + at + r * C, old);
#pragma unroll
        for (int i = 0; i < N; ++i) {
            float h = (v[i] - mean[i]) * rstd[i];
            g[i]    = relu ? let_through(g[i], v[i] - mean[i], scale[i], shift[i]) : g[i];
            g[i]    = scale[i] * (g[i] - sums[N + i] - h * sums[i]) + (add_dx ? old[i] : 0);
        }
        store_f32<N>(dx + at + r * C, g);
    }
}

/* Rows of one group, columns, groups. */
typedef struct sizes {
    int64_t R, C, G;
} sizes;

static sizes sizes_of(const asd_call *c)
{
    int64_t C = asd_last(c->y.shape), G = asd_count(c->x[1].shape) / C;
    return {asd_rows(c->y.shape) / G, C, G};
}

template <int N, typename T> static asd_status forward(const asd_call *c, sizes s)
{
    const asd_batchnorm_attr *a    = (const asd_batchnorm_attr *)c->attr;
    float                    *mean = (float *)c->saved;
    dim3                      grid(asd_blocks(s.C, tile<N>::COLUMNS), (unsigned)s.G,
              c->training ? 1 : asd_blocks(s.R, INFERENCE_ROWS));
    return ASD_LAUNCH((batchnorm_fwd_k<N, T>), grid, THREADS, 0, c->stream, (const T *)c->x[0].x,
                      (const float *)c->x[1].x, (const float *)c->x[2].x, (float *)c->x[3].x,
                      (float *)c->x[4].x, mean, mean + s.G * s.C, (T *)c->y.x, s.R, s.C, a->eps,
                      a->momentum, c->training, a->relu);
}

template <int N, typename T> static asd_status backward(const asd_call *c, sizes s)
{
    const asd_batchnorm_attr *a    = (const asd_batchnorm_attr *)c->attr;
    const float              *mean = (const float *)c->saved;
    dim3                      grid(asd_blocks(s.C, tile<N>::COLUMNS), (unsigned)s.G);
    return ASD_LAUNCH((batchnorm_bwd_k<N, T>), grid, THREADS, 0, c->stream, (const T *)c->x[0].x,
                      (const T *)c->y.g, (const float *)c->x[1].x, (const float *)c->x[2].x, mean,
                      mean + s.G * s.C, (T *)c->x[0].g, (float *)c->x[1].g, (float *)c->x[2].g, s.R,
                      s.C, a->relu, (int)c->acc[0], (int)c->acc[1], (int)c->acc[2]);
}

template <typename T> static asd_status forward_of(const asd_call *c)
{
    sizes s = sizes_of(c);
    return pack_fits<T>(s.C) ? forward<pack<T>::N, T>(c, s) : forward<1, T>(c, s);
}

template <typename T> static asd_status backward_of(const asd_call *c)
{
    sizes s = sizes_of(c);
    return pack_fits<T>(s.C) ? backward<pack<T>::N, T>(c, s) : backward<1, T>(c, s);
}

extern "C" asd_status batchnorm_fwd_cuda(const asd_call *c)
{
    return c->x[0].dtype == ASD_BF16 ? forward_of<bf16>(c) : forward_of<float>(c);
}

extern "C" asd_status batchnorm_bwd_cuda(const asd_call *c)
{
    ASD_ASSERT(c->training);
    return c->x[0].dtype == ASD_BF16 ? backward_of<bf16>(c) : backward_of<float>(c);
}
