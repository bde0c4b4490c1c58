/* weightnorm.cu - weightnorm.c on the device. Memory-bound: forward 3 times v (57 MB for BEATs' 768
 * x 48 x 128), backward 5 times; v stays in an H100's second cache (18.9 MB of 50) between the
 * passes. Its inputs are parameters, fp32 in every network. */
#include "cuda/kernel.cuh"

#include "cuda/lines.cuh"
#include "kernels/op.h"

enum { THREADS = 256 };

/* A block goes over part y of the rows, 32 N columns wide: lanes side by side, warps on rows in
 * turn. a, b: (R, k), may be the same   lines: (parts, k), sums of a b over the part's rows */
template <int N>
static __global__ void __launch_bounds__(LINE_THREADS)
    weightnorm_products_k(const float *a, const float *b, float *__restrict__ lines, int64_t R,
                          int64_t part_rows, int k)
{
    ASD_SHARED(float, buffer, LINE_THREADS *N);
    int     tile   = (int)blockIdx.x * WARP * N;
    int     column = tile + (int)threadIdx.x % WARP * N;
    int64_t first = blockIdx.y * part_rows, end = first + part_rows < R ? first + part_rows : R;
    float   sum[N] = {0};
    for (int64_t r = first + threadIdx.x / WARP; r < end && column < k; r += LINE_WARPS) {
        float va[N], vb[N];
        load_f32<N>(a + r * k + column, va);
        load_f32<N>(b + r * k + column, vb);
#pragma unroll
        for (int i = 0; i < N; ++i)
            sum[i] += va[i] * vb[i];
    }
    line_put<N, 1>(sum, buffer, k - tile, lines + (int64_t)blockIdx.y * k + tile);
}

/* A thread for N values. square: (k), the taps' squared lengths */
template <int N>
static __global__ void __launch_bounds__(THREADS)
    weightnorm_fwd_k(const float *__restrict__ g, const float *__restrict__ v,
                     const float *__restrict__ square, float *__restrict__ w, int64_t count, int k)
{
    int64_t o = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * N;
    if (o >= count)
        return;
    int   j = (int)(o % k);
    float x[N];
    load_f32<N>(v + o, x);
#pragma unroll
    for (int i = 0; i < N; ++i)
        x[i] *= g[j + i] / sqrtf(square[j + i]);
    store_f32<N>(w + o, x);
}

/* The same for dv (NULL: none); block 0 makes dg (NULL: none) besides. along: (k) = <dw, v> */
template <int N>
static __global__ void __launch_bounds__(THREADS)
    weightnorm_bwd_k(const float *__restrict__ dw, const float *__restrict__ v,
                     const float *__restrict__ g, const float *__restrict__ square,
                     const float *__restrict__ along, float *__restrict__ dv,
                     float *__restrict__ dg, int64_t count, int k, int add_v, int add_g)
{
    for (int j = (int)threadIdx.x; blockIdx.x == 0 && dg && j < k; j += THREADS)
        dg[j] = (add_g ? dg[j] : 0) + along[j] / sqrtf(square[j]);
    int64_t o = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * N;
    if (o >= count || !dv)
        return;
    int   j = (int)(o % k);
    float d[N], x[N], old[N];
    load_f32<N>(dw + o, d);
    load_f32<N>(v + o, x);
    if (add_v)
        load_f32<N>(dv + o, old);
#pragma unroll
    for (int i = 0; i < N; ++i) {
        d[i] = g[j + i] / sqrtf(square[j + i]) * (d[i] - x[i] * (along[j + i] / square[j + i]));
        if (add_v)
            d[i] += old[i];
    }
    store_f32<N>(dv + o, d);
}

/* to[j] = sum_r a[r, j] b[r, j] */
template <int N>
static asd_status products(const asd_call *c, const void *a, const void *b, float *lines, float *to)
{
    int     k = (int)asd_last(c->y.shape);
    int64_t R = asd_rows(c->y.shape), parts = asd_parts(R);
    ASD_TRY(ASD_LAUNCH((weightnorm_products_k<N>), dim3(asd_blocks(k, WARP * N), (unsigned)parts),
                       dim3(LINE_THREADS), 0, c->stream, (const float *)a, (const float *)b, lines,
                       R, asd_part_rows(R), k));
    sum_lines sums = {};
    sums.lines     = lines;
    sums.parts     = parts;
    sums.ld        = k;
    sums.columns   = k;
    sums.out[0]    = to;
    return sum_lines_run(c->stream, sums, 1, 1);
}

template <int N> static asd_status forward(const asd_call *c)
{
    int64_t count = asd_count(c->y.shape);
    ASD_TRY(products<N>(c, c->x[1].x, c->x[1].x, (float *)c->work, (float *)c->saved));
    return ASD_LAUNCH((weightnorm_fwd_k<N>), dim3(asd_blocks(count, THREADS * N)), dim3(THREADS), 0,
                      c->stream, (const float *)c->x[0].x, (const float *)c->x[1].x,
                      (const float *)c->saved, (float *)c->y.x, count, (int)asd_last(c->y.shape));
}

template <int N> static asd_status backward(const asd_call *c)
{
    int64_t count = asd_count(c->y.shape), k = asd_last(c->y.shape);
    float  *along = (float *)c->work;
    if (!c->x[0].g && !c->x[1].g)
        return ASD_OK;
    ASD_TRY(products<N>(c, c->y.g, c->x[1].x, along + k, along));
    /* w = g v / n  ->  dg = <dw, v> / n, dv = g / n (dw - v <dw, v> / n^2) */
    return ASD_LAUNCH((weightnorm_bwd_k<N>), dim3(c->x[1].g ? asd_blocks(count, THREADS * N) : 1),
                      dim3(THREADS), 0, c->stream, (const float *)c->y.g, (const float *)c->x[1].x,
                      (const float *)c->x[0].x, (const float *)c->saved, along, (float *)c->x[1].g,
                      (float *)c->x[0].g, count, (int)k, c->acc[1], c->acc[0]);
}

/* `along + k` starts on 16 bytes where k is a multiple of 4. */
extern "C" asd_status weightnorm_fwd_cuda(const asd_call *c)
{
    return pack_fits<float>(asd_last(c->y.shape)) ? forward<4>(c) : forward<1>(c);
}

extern "C" asd_status weightnorm_bwd_cuda(const asd_call *c)
{
    return pack_fits<float>(asd_last(c->y.shape)) ? backward<4>(c) : backward<1>(c);
}
