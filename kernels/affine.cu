/* affine.cu - affine.c on the device. Memory-bound: 2 tensors through memory forward, 3 backward;
 * 33 clips of 1001 x 64 in fp32 are 8.5 MB each. */
#include "cuda/kernel.cuh"

#include "cuda/lines.cuh"
#include "kernels/op.h"
#include "kernels/rows.h"

#include <math.h>

enum { THREADS = 256, ROWS = 16 };

/* A block has 16 rows. */
template <typename T>
static __global__ void __launch_bounds__(THREADS)
    affine_fwd_k(const T *__restrict__ x, const float *__restrict__ w, const float *__restrict__ b,
                 const float *__restrict__ mean, const float *__restrict__ var, float eps,
                 T *__restrict__ y, int64_t R, int C)
{
    int64_t  first = (int64_t)blockIdx.x * ROWS;
    unsigned rows  = (unsigned)(R - first < ROWS ? R - first : (int64_t)ROWS);
#pragma unroll 4
    for (unsigned i = threadIdx.x; i < rows * (unsigned)C; i += THREADS) {
        int64_t  o = first * C + i;
        unsigned c = i % (unsigned)C;
        y[o]       = from_f32<T>((to_f32(x[o]) - mean[c]) * (w[c] / sqrtf(var[c] + eps)) + b[c]);
    }
}

/* A block goes over part y of the rows, 32 columns wide: lanes side by side, warps on rows in turn.
 * dx or lines may be NULL. lines: (parts, 2, C) = sums of dy h, of dy */
template <typename T>
static __global__ void __launch_bounds__(LINE_THREADS)
    affine_bwd_k(const T *__restrict__ x, const T *__restrict__ dy, const float *__restrict__ w,
                 const float *__restrict__ mean, const float *__restrict__ var, float eps,
                 T *__restrict__ dx, float *__restrict__ lines, int64_t R, int64_t part_rows, int C,
                 int add)
{
    ASD_SHARED(float, buffer, LINE_THREADS);
    int     tile   = (int)blockIdx.x * WARP;
    int     column = tile + (int)threadIdx.x % WARP;
    int64_t first = blockIdx.y * part_rows, end = first + part_rows < R ? first + part_rows : R;
    float   dw = 0, db = 0, m = 0, s = 0, k = 0;
    if (column < C) {
        m = mean[column];
        s = 1 / sqrtf(var[column] + eps);
        k = w[column] * s;
    }
    for (int64_t r = first + threadIdx.x / WARP; r < end && column < C; r += LINE_WARPS) {
        int64_t o = r * C + column;
        float   d = to_f32(dy[o]);
        dw += d * ((to_f32(x[o]) - m) * s);
        db += d;
        if (dx)
            dx[o] = from_f32<T>(d * k + (add ? to_f32(dx[o]) : 0.0f));
    }
    if (lines) { /* the same in all threads */
        float *line = lines + (int64_t)blockIdx.y * 2 * C + tile;
        line_put<1, 1>(&dw, buffer, C - tile, line);
        line_put<1, 1>(&db, buffer, C - tile, line + C);
    }
}

static float eps_of(const asd_call *c)
{
    return ((const asd_affine_attr *)c->attr)->eps;
}

template <typename T> static asd_status forward(const asd_call *c)
{
    int64_t R = asd_rows(c->y.shape);
    return ASD_LAUNCH((affine_fwd_k<T>), dim3(asd_blocks(R, ROWS)), dim3(THREADS), 0, c->stream,
                      (const T *)c->x[0].x, (const float *)c->x[1].x, (const float *)c->x[2].x,
                      (const float *)c->x[3].x, (const float *)c->x[4].x, eps_of(c), (T *)c->y.x, R,
                      (int)asd_last(c->y.shape));
}

extern "C" asd_status affine_fwd_cuda(const asd_call *c)
{
    return c->x[0].dtype == ASD_BF16 ? forward<bf16>(c) : forward<float>(c);
}

template <typename T> static asd_status backward(const asd_call *c)
{
    /* y = (x - m) s w + b  ->  dx = dy w s, dw = sum dy h, db = sum dy */
    int64_t R = asd_rows(c->y.shape), parts = asd_parts(R);
    int     C     = (int)asd_last(c->y.shape);
    float  *lines = c->x[1].g || c->x[2].g ? (float *)c->work : nullptr;
    if (!c->x[0].g && !lines)
        return ASD_OK;
    ASD_TRY(ASD_LAUNCH((affine_bwd_k<T>), dim3(asd_blocks(C, WARP), (unsigned)parts),
                       dim3(LINE_THREADS), 0, c->stream, (const T *)c->x[0].x, (const T *)c->y.g,
                       (const float *)c->x[1].x, (const float *)c->x[3].x, (const float *)c->x[4].x,
                       eps_of(c), (T *)c->x[0].g, lines, R, asd_part_rows(R), C, c->acc[0]));
    if (!lines)
        return ASD_OK;
    sum_lines sums = {};
    sums.lines     = lines;
    sums.parts     = parts;
    sums.ld        = 2 * C;
    sums.columns   = C;
    for (int k = 0; k < 2; ++k) {
        sums.out[k] = (float *)c->x[1 + k].g;
        sums.add[k] = c->acc[1 + k];
    }
    return sum_lines_run(c->stream, sums, 2, 1);
}

extern "C" asd_status affine_bwd_cuda(const asd_call *c)
{
    return c->x[0].dtype == ASD_BF16 ? backward<bf16>(c) : backward<float>(c);
}
