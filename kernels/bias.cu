/* bias.cu - bias.c on the device. Memory-bound: 2 tensors through memory each way; backward reads
 * dy once for both gradients. */
#include "cuda/kernel.cuh"

#include "cuda/lines.cuh"
#include "kernels/op.h"
#include "kernels/rows.h"

enum { THREADS = 256, ROWS = 16 };

/* N values at a time: a pack, or one where rows do not start on 16 bytes. */
template <typename T, int N>
static __device__ __forceinline__ void load_values(const T *from, float *v)
{
    if constexpr (N == 1) {
        v[0] = to_f32(*from);
    } else {
        pack<T> p = load16(from);
#pragma unroll
        for (int i = 0; i < N; ++i)
            v[i] = pack_get(p, i);
    }
}

template <typename T, int N>
static __device__ __forceinline__ void store_values(T *to, const float *v)
{
    if constexpr (N == 1) {
        *to = from_f32<T>(v[0]);
    } else {
        pack<T> p;
#pragma unroll
        for (int i = 0; i < N; ++i)
            pack_set(p, i, v[i]);
        store16(to, p);
    }
}

/* A block adds group y's bias to 16 of its rows. x, y: (G, R, C)   b: (G, C) */
template <typename T, int N>
static __global__ void __launch_bounds__(THREADS)
    bias_fwd_k(const T *__restrict__ x, const float *__restrict__ b, T *__restrict__ y, int64_t R,
               int C)
{
    int64_t  first = (int64_t)blockIdx.x * ROWS, o = ((int64_t)blockIdx.y * R + first) * C;
    unsigned rows  = (unsigned)(R - first < ROWS ? R - first : (int64_t)ROWS),
             packs = (unsigned)(C / N);
    b += (int64_t)blockIdx.y * C;
#pragma unroll 4
    for (unsigned i = threadIdx.x; i < rows * packs; i += THREADS) {
        unsigned column = i % packs * N;
        float    v[N];
        load_values<T, N>(x + o + (int64_t)i * N, v);
#pragma unroll
        for (int k = 0; k < N; ++k)
            v[k] += b[column + (unsigned)k];
        store_values<T, N>(y + o + (int64_t)i * N, v);
    }
}

/* A block goes over part y of group z's rows, 32 N columns wide: lanes side by side, warps on rows
 * in turn. dx or lines may be NULL. lines: (G, parts, C) */
template <typename T, int N>
static __global__ void __launch_bounds__(LINE_THREADS)
    bias_bwd_k(const T *__restrict__ dy, T *__restrict__ dx, float *__restrict__ lines, int64_t R,
               int64_t part_rows, int C, int add)
{
    ASD_SHARED(float, buffer, LINE_THREADS *N);
    int     tile   = (int)blockIdx.x * WARP * N;
    int     column = tile + (int)threadIdx.x % WARP * N;
    int64_t first = blockIdx.y * part_rows, end = first + part_rows < R ? first + part_rows : R;
    float   sum[N] = {0};
    for (int64_t r = first + threadIdx.x / WARP; r < end && column < C; r += LINE_WARPS) {
        int64_t o = ((int64_t)blockIdx.z * R + r) * C + column;
        float   d[N];
        load_values<T, N>(dy + o, d);
#pragma unroll
        for (int i = 0; i < N; ++i)
            sum[i] += d[i];
        if (dx && add) {
            float old[N];
            load_values<T, N>(dx + o, old);
#pragma unroll
            for (int i = 0; i < N; ++i)
                d[i] += old[i];
        }
        if (dx)
            store_values<T, N>(dx + o, d);
    }
    if (lines) /* the same in all threads */
        line_put<N, 1>(sum, buffer, C - tile,
                       lines + ((int64_t)blockIdx.z * gridDim.y + blockIdx.y) * C + tile);
}

static int64_t groups(const asd_call *c)
{
    return c->x[1].shape.n == 2 ? c->x[1].shape.d[0] : 1;
}

template <typename T, int N> static asd_status forward_by(const asd_call *c)
{
    int64_t G = groups(c), R = asd_rows(c->y.shape) / G;
    return ASD_LAUNCH((bias_fwd_k<T, N>), dim3(asd_blocks(R, ROWS), (unsigned)G), dim3(THREADS), 0,
                      c->stream, (const T *)c->x[0].x, (const float *)c->x[1].x, (T *)c->y.x, R,
                      (int)asd_last(c->y.shape));
}

template <typename T> static asd_status forward(const asd_call *c)
{
    return pack_fits<T>(asd_last(c->y.shape)) ? forward_by<T, pack<T>::N>(c) : forward_by<T, 1>(c);
}

extern "C" asd_status bias_fwd_cuda(const asd_call *c)
{
    return c->x[0].dtype == ASD_BF16 ? forward<bf16>(c) : forward<float>(c);
}

template <typename T, int N> static asd_status backward_by(const asd_call *c)
{
    /* y = x + b  ->  dx = dy, db = sum over rows of dy */
    int64_t G = groups(c), R = asd_rows(c->y.shape) / G, parts = asd_parts(R);
    int     C     = (int)asd_last(c->y.shape);
    float  *lines = c->x[1].g ? (float *)c->work : nullptr;
    if (!c->x[0].g && !lines)
        return ASD_OK;
    ASD_TRY(ASD_LAUNCH((bias_bwd_k<T, N>),
                       dim3(asd_blocks(C, WARP * N), (unsigned)parts, (unsigned)G),
                       dim3(LINE_THREADS), 0, c->stream, (const T *)c->y.g, (T *)c->x[0].g, lines,
                       R, asd_part_rows(R), C, c->acc[0]));
    if (!lines)
        return ASD_OK;
    sum_lines sums  = {};
    sums.lines      = lines;
    sums.parts      = parts;
    sums.ld         = C;
    sums.group_step = parts * C;
    sums.columns    = C;
    sums.out[0]     = (float *)c->x[1].g;
    sums.add[0]     = c->acc[1];
    return sum_lines_run(c->stream, sums, 1, (unsigned)G);
}

template <typename T> static asd_status backward(const asd_call *c)
{
    return pack_fits<T>(asd_last(c->y.shape)) ? backward_by<T, pack<T>::N>(c)
                                              : backward_by<T, 1>(c);
}

extern "C" asd_status bias_bwd_cuda(const asd_call *c)
{
    return c->x[0].dtype == ASD_BF16 ? backward<bf16>(c) : backward<float>(c);
}
