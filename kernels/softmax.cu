/* softmax.cu - softmax.c on the device. Memory-bound: the floor is 2 tensors through memory
 * forward, 3 backward. Rows of up to 8192 values are held in registers (row.cuh); the *_any_k
 * kernels take the others and read a row three times. */
#include "cuda/kernel.cuh"

#include "cuda/row.cuh"
#include "kernels/op.h"

/* A row in the registers of WARPS warps. x, y: (R, C) */
template <typename T, int VALUES, int WARPS>
static __global__ void __launch_bounds__(row_block<WARPS>::THREADS)
    softmax_fwd_k(const T *x, T *y, float scale, int64_t R, int C)
{
    typedef row_part<T, VALUES, WARPS> part;
    ASD_SHARED(float, scratch, WARP);
    int64_t row = row_index<WARPS>();
    if (row >= R)
        return; /* a whole warp, and one warp has no barrier ahead */
    float v[VALUES], max = -INFINITY, sum = 0;
    part  in;
    in.load(x + row * C, C);
#pragma unroll
    for (int k = 0; k < part::PACKS; ++k)
#pragma unroll
        for (int i = 0; i < part::N; ++i) {
            v[k * part::N + i] = part::column(k) < C ? scale * in.get(k, i) : -INFINITY;
            max                = fmaxf(max, v[k * part::N + i]);
        }
    max = row_max<WARPS>(max, scratch);
#pragma unroll
    for (int i = 0; i < VALUES; ++i) {
        v[i] = expf(v[i] - max); /* 0 past the row's end */
        sum += v[i];
    }
    float share = 1 / row_sum<WARPS>(sum, scratch);
#pragma unroll
    for (int k = 0; k < part::PACKS; ++k)
        if (part::column(k) < C) {
            pack<T> out;
#pragma unroll
            for (int i = 0; i < part::N; ++i)
                pack_set(out, i, v[k * part::N + i] * share);
            store16(y + row * C + part::column(k), out);
        }
}

template <typename T, int VALUES, int WARPS>
static __global__ void __launch_bounds__(row_block<WARPS>::THREADS,
                                         WARPS == 1 && VALUES <= 24 ? 6 : 1)
    softmax_bwd_k(const T *y, const T *dy, T *dx, float scale, int64_t R, int C, int add)
{
    typedef row_part<T, VALUES, WARPS> part;
    ASD_SHARED(float, scratch, WARP);
    int64_t row = row_index<WARPS>();
    if (row >= R)
        return;
    part p, d;
    p.load(y + row * C, C);
    d.load(dy + row * C, C);
    float dot = row_sum<WARPS>(p.dot(d), scratch);
#pragma unroll
    for (int k = 0; k < part::PACKS; ++k)
        if (part::column(k) < C) {
            float out[part::N];
#pragma unroll
            for (int i = 0; i < part::N; ++i)
                out[i] = scale * p.get(k, i) * (d.get(k, i) - dot);
            row_put(dx + row * C + part::column(k), out, add);
        }
}

/* --- any width: a warp a row, its lanes stride over the columns --- */

enum { ANY_ROWS = 4, ANY_THREADS = WARP * ANY_ROWS };

template <typename T>
static __global__ void __launch_bounds__(ANY_THREADS)
    softmax_fwd_any_k(const T *x, T *y, float scale, int64_t R, int C)
{
    int     lane = (int)threadIdx.x % WARP;
    int64_t row = (int64_t)blockIdx.x * ANY_ROWS + threadIdx.x / WARP, o = row * C;
    if (row >= R)
        return;
    float max = -INFINITY, sum = 0;
    for (int c = lane; c < C; c += WARP)
        max = fmaxf(max, scale * to_f32(x[o + c]));
    max = warp_max(max);
    for (int c = lane; c < C; c += WARP)
        sum += expf(scale * to_f32(x[o + c]) - max);
    float share = 1 / warp_sum(sum);
    for (int c = lane; c < C; c += WARP)
        y[o + c] = from_f32<T>(expf(scale * to_f32(x[o + c]) - max) * share);
}

template <typename T>
static __global__ void __launch_bounds__(ANY_THREADS)
    softmax_bwd_any_k(const T *y, const T *dy, T *dx, float scale, int64_t R, int C, int add)
{
    int     lane = (int)threadIdx.x % WARP;
    int64_t row = (int64_t)blockIdx.x * ANY_ROWS + threadIdx.x / WARP, o = row * C;
    if (row >= R)
        return;
    float dot = 0;
    for (int c = lane; c < C; c += WARP)
        dot += to_f32(y[o + c]) * to_f32(dy[o + c]);
    dot = warp_sum(dot);
    for (int c = lane; c < C; c += WARP) {
        float d   = scale * to_f32(y[o + c]) * (to_f32(dy[o + c]) - dot);
        dx[o + c] = from_f32<T>(add ? to_f32(dx[o + c]) + d : d);
    }
}

/* --- launchers --- */

template <typename T> static asd_status forward(const asd_call *c)
{
    float    scale = ((const asd_softmax_attr *)c->attr)->scale;
    int64_t  R     = asd_rows(c->y.shape);
    int      C     = (int)asd_last(c->y.shape);
    const T *x     = (const T *)c->x[0].x;
    T       *y     = (T *)c->y.x;
    return row_switch<T>(
        C,
        [&](auto plan) {
            typedef decltype(plan)       as;
            typedef row_block<as::warps> block;
            return ASD_LAUNCH((softmax_fwd_k<T, as::values, as::warps>),
                              dim3(asd_blocks(R, block::ROWS)), dim3(block::THREADS), 0, c->stream,
                              x, y, scale, R, C);
        },
        [&]() {
            return ASD_LAUNCH((softmax_fwd_any_k<T>), dim3(asd_blocks(R, ANY_ROWS)),
                              dim3(ANY_THREADS), 0, c->stream, x, y, scale, R, C);
        });
}

extern "C" asd_status softmax_fwd_cuda(const asd_call *c)
{
    return c->x[0].dtype == ASD_BF16 ? forward<bf16>(c) : forward<float>(c);
}

template <typename T> static asd_status backward(const asd_call *c)
{
    /* y = exp(scale x) / sum exp(scale x)  ->  dx = scale y (dy - sum(dy y)) */
    float    scale = ((const asd_softmax_attr *)c->attr)->scale;
    int64_t  R     = asd_rows(c->y.shape);
    int      C = (int)asd_last(c->y.shape), add = c->acc[0];
    const T *y = (const T *)c->y.x, *dy = (const T *)c->y.g;
    T       *dx = (T *)c->x[0].g;
    if (!dx)
        return ASD_OK;
    return row_switch<T>(
        C,
        [&](auto plan) {
            typedef decltype(plan)       as;
            typedef row_block<as::warps> block;
            return ASD_LAUNCH((softmax_bwd_k<T, as::values, as::warps>),
                              dim3(asd_blocks(R, block::ROWS)), dim3(block::THREADS), 0, c->stream,
                              y, dy, dx, scale, R, C, add);
        },
        [&]() {
            return ASD_LAUNCH((softmax_bwd_any_k<T>), dim3(asd_blocks(R, ANY_ROWS)),
                              dim3(ANY_THREADS), 0, c->stream, y, dy, dx, scale, R, C, add);
        });
}

extern "C" asd_status softmax_bwd_cuda(const asd_call *c)
{
    return c->x[0].dtype == ASD_BF16 ? backward<bf16>(c) : backward<float>(c);
}
