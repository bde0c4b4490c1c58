/* l2norm.cu - l2norm.c on the device. Memory-bound: the floor is 2 tensors through memory forward,
 * 3 backward. Rows of up to 8192 values are held in registers (row.cuh); the *_any_k kernels take
 * the others and read a row twice. */
#include "cuda/kernel.cuh"

#include "cuda/row.cuh"
#include "kernels/op.h"

/* A row in the registers of WARPS warps. x, y: (R, C)   norm: (R) = |x| */
template <typename T, int VALUES, int WARPS>
static __global__ void __launch_bounds__(row_block<WARPS>::THREADS)
    l2norm_fwd_k(const T *x, T *y, float *norm, float eps, int64_t R, int C)
{
    typedef row_part<T, VALUES, WARPS> part;
    ASD_SHARED(float, scratch, WARP);
    int64_t row = row_index<WARPS>();
    if (row >= R)
        return; /* a whole warp, and one warp has no barrier ahead */
    float square = 0;
    part  in;
    in.load(x + row * C, C);
#pragma unroll
    for (int k = 0; k < part::PACKS; ++k)
#pragma unroll
        for (int i = 0; i < part::N; ++i)
            square += in.get(k, i) * in.get(k, i);
    float length = sqrtf(row_sum<WARPS>(square, scratch)), s = 1 / fmaxf(length, eps);
    if (row_thread<WARPS>() == 0)
        norm[row] = length;
#pragma unroll
    for (int k = 0; k < part::PACKS; ++k)
        if (part::column(k) < C) {
            pack<T> out;
#pragma unroll
            for (int i = 0; i < part::N; ++i)
                pack_set(out, i, in.get(k, i) * s);
            store16(y + row * C + part::column(k), out);
        }
}

template <typename T, int VALUES, int WARPS>
static __global__ void __launch_bounds__(row_block<WARPS>::THREADS)
    l2norm_bwd_k(const T *x, const T *dy, const float *norm, T *dx, float eps, int64_t R, int C,
                 int add)
{
    typedef row_part<T, VALUES, WARPS> part;
    ASD_SHARED(float, scratch, WARP);
    int64_t row = row_index<WARPS>();
    if (row >= R)
        return;
    part v, d;
    v.load(x + row * C, C);
    d.load(dy + row * C, C);
    float dot   = row_sum<WARPS>(v.dot(d), scratch);
    float s     = 1 / fmaxf(norm[row], eps);
    float along = norm[row] < eps ? 0 : s * (s * dot);
#pragma unroll
    for (int k = 0; k < part::PACKS; ++k)
        if (part::column(k) < C) {
            float out[part::N];
#pragma unroll
            for (int i = 0; i < part::N; ++i)
                out[i] = s * (d.get(k, i) - v.get(k, i) * along);
            row_put(dx + row * C + part::column(k), out, add);
        }
}

/* --- any width: a warp a row, its lanes stride over the columns --- */

enum { ANY_ROWS = 4, ANY_THREADS = WARP * ANY_ROWS };

template <typename T>
static __global__ void __launch_bounds__(ANY_THREADS)
    l2norm_fwd_any_k(const T *x, T *y, float *norm, float eps, int64_t R, int C)
{
    int     lane = (int)threadIdx.x % WARP;
    int64_t row = (int64_t)blockIdx.x * ANY_ROWS + threadIdx.x / WARP, o = row * C;
    if (row >= R)
        return;
    float square = 0;
    for (int c = lane; c < C; c += WARP)
        square += to_f32(x[o + c]) * to_f32(x[o + c]);
    float length = sqrtf(warp_sum(square)), s = 1 / fmaxf(length, eps);
    if (lane == 0)
        norm[row] = length;
    for (int c = lane; c < C; c += WARP)
        y[o + c] = from_f32<T>(to_f32(x[o + c]) * s);
}

template <typename T>
static __global__ void __launch_bounds__(ANY_THREADS)
    l2norm_bwd_any_k(const T *x, const T *dy, const float *norm, T *dx, float eps, int64_t R, int C,
                     int add)
{
    int     lane = (int)threadIdx.x % WARP;
    int64_t row = (int64_t)blockIdx.x * ANY_ROWS + threadIdx.x / WARP, o = row * C;
    if (row >= R)
        return;
    float dot = 0;
    for (int c = lane; c < C; c += WARP)
        dot += to_f32(x[o + c]) * to_f32(dy[o + c]);
    dot         = warp_sum(dot);
    float s     = 1 / fmaxf(norm[row], eps);
    float along = norm[row] < eps ? 0 : s * (s * dot);
    for (int c = lane; c < C; c += WARP) {
        float d   = s * (to_f32(dy[o + c]) - to_f32(x[o + c]) * along);
        dx[o + c] = from_f32<T>(add ? to_f32(dx[o + c]) + d : d);
    }
}

/* --- launchers --- */

template <typename T> static asd_status forward(const asd_call *c)
{
    float    eps  = ((const asd_l2norm_attr *)c->attr)->eps;
    int64_t  R    = asd_rows(c->y.shape);
    int      C    = (int)asd_last(c->y.shape);
    const T *x    = (const T *)c->x[0].x;
    T       *y    = (T *)c->y.x;
    float   *norm = (float *)c->saved;
    return row_switch<T>(
        C,
        [&](auto plan) {
            typedef decltype(plan)       as;
            typedef row_block<as::warps> block;
            return ASD_LAUNCH((l2norm_fwd_k<T, as::values, as::warps>),
                              dim3(asd_blocks(R, block::ROWS)), dim3(block::THREADS), 0, c->stream,
                              x, y, norm, eps, R, C);
        },
        [&]() {
            return ASD_LAUNCH((l2norm_fwd_any_k<T>), dim3(asd_blocks(R, ANY_ROWS)),
                              dim3(ANY_THREADS), 0, c->stream, x, y, norm, eps, R, C);
        });
}

extern "C" asd_status l2norm_fwd_cuda(const asd_call *c)
{
    return c->x[0].dtype == ASD_BF16 ? forward<bf16>(c) : forward<float>(c);
}

template <typename T> static asd_status backward(const asd_call *c)
{
    /* y = x / max(|x|, eps)  ->  dx = s (dy - h sum(dy h)) where |x| >= eps, else s dy */
    float        eps = ((const asd_l2norm_attr *)c->attr)->eps;
    int64_t      R   = asd_rows(c->y.shape);
    int          C = (int)asd_last(c->y.shape), add = c->acc[0];
    const T     *x = (const T *)c->x[0].x, *dy = (const T *)c->y.g;
    const float *norm = (const float *)c->saved;
    T           *dx   = (T *)c->x[0].g;
    if (!dx)
        return ASD_OK;
    return row_switch<T>(
        C,
        [&](auto plan) {
            typedef decltype(plan)       as;
            typedef row_block<as::warps> block;
            return ASD_LAUNCH((l2norm_bwd_k<T, as::values, as::warps>),
                              dim3(asd_blocks(R, block::ROWS)), dim3(block::THREADS), 0, c->stream,
                              x, dy, norm, dx, eps, R, C, add);
        },
        [&]() {
            return ASD_LAUNCH((l2norm_bwd_any_k<T>), dim3(asd_blocks(R, ANY_ROWS)),
                              dim3(ANY_THREADS), 0, c->stream, x, dy, norm, dx, eps, R, C, add);
        });
}

extern "C" asd_status l2norm_bwd_cuda(const asd_call *c)
{
    return c->x[0].dtype == ASD_BF16 ? backward<bf16>(c) : backward<float>(c);
}
