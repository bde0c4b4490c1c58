/* tokens.cu - tokens.c on the device. Memory-bound: forward reads x and writes y, backward the
 * other way round; 53.6 MB for 34 clips of 512 x 768 in bf16. The table is 1.6 MB and stays in
 * cache. */
#include "cuda/kernel.cuh"

#include "cuda/pack.cuh"
#include "kernels/op.h"

enum { THREADS = 256 };

/* A thread has N columns of one token of y. blockIdx: packs, clip. m: tokens in front, 0 or 1 */
template <typename T, int N>
static __global__ void __launch_bounds__(THREADS)
    tokens_fwd_k(const T *__restrict__ x, const float *__restrict__ table,
                 const float *__restrict__ cls, T *__restrict__ y, int m, int P, int C)
{
    int64_t o = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * N, size = (int64_t)(m + P) * C;
    float   v[N], row[N]                                                = {0};
    if (o >= size)
        return;
    int64_t from = o - m * C; /* in the clip of x; before it, in cls */
    if (from < 0) {
        load_f32<N>(cls + o, v);
    } else {
        load_f32<N>(x + (int64_t)blockIdx.y * P * C + from, v);
        load_f32<N>(table + from, row);
    }
#pragma unroll
    for (int i = 0; i < N; ++i)
        v[i] += row[i];
    store_f32<N>(y + blockIdx.y * size + o, v);
}

/* What the backward writes; any may be NULL. */
typedef struct tokens_grads {
    float *table, *cls;
    int    add_x, add_table, add_cls;
} tokens_grads;

/* A thread has N columns of one token of all clips, in order: it moves dx and sums what the clips
 * share. Tokens behind P are rows of the table that nobody read. */
template <typename T, int N>
static __global__ void __launch_bounds__(THREADS)
    tokens_bwd_k(const T *__restrict__ dy, T *__restrict__ dx, tokens_grads g, int B, int m, int P,
                 int rows, int C)
{
    int64_t o = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * N, size = (int64_t)(m + P) * C;
    if (o >= (int64_t)(m + rows) * C)
        return;
    int64_t at     = o - m * C;
    T      *to     = at >= 0 && o < size ? dx : nullptr;
    float  *shared = at < 0 ? g.cls : g.table, sum[N] = {0};
    bool    add = at < 0 ? g.add_cls : g.add_table;
#pragma unroll 4
    for (int b = 0; b < B && o < size; ++b) {
        float d[N];
        load_f32<N>(dy + b * size + o, d);
#pragma unroll
        for (int i = 0; i < N; ++i)
            sum[i] += d[i];
        if (to && g.add_x) {
            float old[N];
            load_f32<N>(to + (int64_t)b * P * C + at, old);
#pragma unroll
            for (int i = 0; i < N; ++i)
                d[i] += old[i];
        }
        if (to)
            store_f32<N>(to + (int64_t)b * P * C + at, d);
    }
    if (!shared)
        return;
    shared += at < 0 ? o : at;
    if (add) {
        float old[N];
        load_f32<N>(shared, old);
#pragma unroll
        for (int i = 0; i < N; ++i)
            sum[i] += old[i];
    }
    store_f32<N>(shared, sum);
}

template <typename T, int N> static asd_status forward_by(const asd_call *c)
{
    int P = (int)c->x[0].shape.d[1], C = (int)c->x[0].shape.d[2], m = c->n_in - 2;
    return ASD_LAUNCH(
        (tokens_fwd_k<T, N>),
        dim3(asd_blocks((int64_t)(m + P) * C, THREADS * N), (unsigned)c->y.shape.d[0]),
        dim3(THREADS), 0, c->stream, (const T *)c->x[0].x, (const float *)c->x[1].x,
        m ? (const float *)c->x[2].x : nullptr, (T *)c->y.x, m, P, C);
}

template <typename T> static asd_status forward(const asd_call *c)
{
    return pack_fits<T>(asd_last(c->y.shape)) ? forward_by<T, pack<T>::N>(c) : forward_by<T, 1>(c);
}

extern "C" asd_status tokens_fwd_cuda(const asd_call *c)
{
    return c->x[0].dtype == ASD_BF16 ? forward<bf16>(c) : forward<float>(c);
}

template <typename T, int N> static asd_status backward_by(const asd_call *c)
{
    /* y = x + table  ->  dx = dy, dtable = sum over clips of dy */
    int          B = (int)c->x[0].shape.d[0], P = (int)c->x[0].shape.d[1];
    int          C = (int)c->x[0].shape.d[2], m = c->n_in - 2;
    tokens_grads g = {};
    g.table        = (float *)c->x[1].g;
    g.cls          = m ? (float *)c->x[2].g : nullptr;
    g.add_x        = c->acc[0];
    g.add_table    = c->acc[1];
    g.add_cls      = m ? c->acc[2] : 0;
    int rows       = g.table ? (int)c->x[1].shape.d[0] : P;
    if (!c->x[0].g && !g.table && !g.cls)
        return ASD_OK;
    return ASD_LAUNCH((tokens_bwd_k<T, N>), dim3(asd_blocks((int64_t)(m + rows) * C, THREADS * N)),
                      dim3(THREADS), 0, c->stream, (const T *)c->y.g, (T *)c->x[0].g, g, B, m, P,
                      rows, C);
}

template <typename T> static asd_status backward(const asd_call *c)
{
    return pack_fits<T>(asd_last(c->y.shape)) ? backward_by<T, pack<T>::N>(c)
                                              : backward_by<T, 1>(c);
}

extern "C" asd_status tokens_bwd_cuda(const asd_call *c)
{
    return c->x[0].dtype == ASD_BF16 ? backward<bf16>(c) : backward<float>(c);
}
