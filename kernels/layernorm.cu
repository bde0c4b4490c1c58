/* layernorm.cu - layernorm.c on the device.
 *
 * Memory-bound: the floor is to read x (and r) and write y, 51.8 MB (77.7) at 16,864 x 768 in bf16,
 * and backward to read x (and r) and dy and write dx (and dr), 77.7 MB (129.5): on an H100 at 3.0
 * TB/s 17.3 us (25.9) and 25.9 us (43.2). Both passes over a row run on registers or shared memory,
 * so each byte of it moves once. The sums for dw and db stay in registers while a block walks over
 * its part of the rows; one line a part goes through memory (1.6 MB there, mostly cache).
 *
 *   forward   one warp a row (C <= 1024), four rows a block; w and b come from the first cache
 *   backward  one block a part of the rows (rows.h), its eight warps take rows in turn; in bf16 the
 *             next row is copied in while one is worked on
 *
 * Rows of 1025 to 8192 values are held by eight warps; rows that do not start on 16 bytes, or are
 * wider, go through the *_any_k kernels, which read a row three times (from the cache, mostly).
 * Tried and dropped: backward in bf16 with the row in registers, as fp32 has it: 78 bytes of spill
 * at 768 columns under the 128 registers that two blocks a multiprocessor leave.
 */
#include "cuda/kernel.cuh"

#include "cuda/lines.cuh"
#include "cuda/mma.cuh" /* cp_async16 */
#include "cuda/row.cuh"
#include "kernels/op.h"
#include "kernels/rows.h"

/* x, r, y: (R, C), r NULL for none   w, b: (C)   saved: (R, 2) */
template <typename T> struct norm_call {
    const T     *x, *r;
    const float *w, *b;
    float        alpha, eps;
    int64_t      R;
    int          C;
    T           *y;
    float       *saved;
};

/* dx, dr, lines NULL for none. lines: (parts, 2, C), the sums for dw and db of each part */
template <typename T> struct norm_back {
    const T     *x, *r, *dy;
    const float *w, *saved;
    float        alpha;
    int64_t      R, part_rows;
    int          C, add_x, add_r;
    T           *dx, *dr;
    float       *lines;
};

/* Thread's values of v = x + alpha r. */
template <typename T, int VALUES, int WARPS>
static __device__ __forceinline__ void load_sum(const T *x, const T *r, float alpha, int C,
                                                float *v)
{
    typedef row_part<T, VALUES, WARPS> part;
    part                               a, b;
    a.load(x, C);
    if (r)
        b.load(r, C);
#pragma unroll
    for (int k = 0; k < part::PACKS; ++k)
#pragma unroll
        for (int i = 0; i < part::N; ++i)
            v[k * part::N + i] = r ? a.get(k, i) + alpha * b.get(k, i) : a.get(k, i);
}

template <typename T, int VALUES, int WARPS>
static __global__ void __launch_bounds__(row_block<WARPS>::THREADS,
                                         WARPS == 1 && VALUES <= 24 ? 8 : 1)
    layernorm_fwd_k(norm_call<T> a)
{
    typedef row_part<T, VALUES, WARPS> part;
    ASD_SHARED(float, scratch, WARP);
    int64_t row = row_index<WARPS>();
    if (row >= a.R)
        return; /* a whole warp, and one warp has no barrier ahead */
    float v[VALUES], sum = 0, square = 0;
    load_sum<T, VALUES, WARPS>(a.x + row * a.C, a.r ? a.r + row * a.C : nullptr, a.alpha, a.C, v);
#pragma unroll
    for (int i = 0; i < VALUES; ++i)
        sum += v[i]; /* 0 past the row's end */
    float mean = row_sum<WARPS>(sum, scratch) / (float)a.C;
#pragma unroll
    for (int k = 0; k < part::PACKS; ++k)
        if (part::column(k) < a.C) {
#pragma unroll
            for (int i = 0; i < part::N; ++i)
                square += (v[k * part::N + i] - mean) * (v[k * part::N + i] - mean);
        }
    float rstd = 1 / sqrtf(row_sum<WARPS>(square, scratch) / (float)a.C + a.eps);
    if (row_thread<WARPS>() == 0) {
        a.saved[2 * row]     = mean;
        a.saved[2 * row + 1] = rstd;
    }
#pragma unroll
    for (int k = 0; k < part::PACKS; ++k) {
        int column = part::column(k);
        if (column < a.C) {
            row_f32<T> w(a.w, column, a.C), b(a.b, column, a.C);
            pack<T>    y;
#pragma unroll
            for (int i = 0; i < part::N; ++i)
                pack_set(y, i, (v[k * part::N + i] - mean) * rstd * w.v[i] + b.v[i]);
            store16(a.y + row * a.C + column, y);
        }
    }
}

/* --- backward --- */

enum { BACK_WARPS = LINE_WARPS, BACK_THREADS = LINE_THREADS };

/* One pack of a row: h = (v - mean) rstd and dy, from the packs of x, r and dy. */
template <typename T, bool RESIDUAL>
static __device__ __forceinline__ void make_h(const pack<T> &x, const pack<T> &r, float alpha,
                                              float mean, float rstd, float *h)
{
#pragma unroll
    for (int i = 0; i < pack<T>::N; ++i) {
        float v = pack_get(x, i);
        if constexpr (RESIDUAL)
            v += alpha * pack_get(r, i);
        h[i] = (v - mean) * rstd;
    }
}

/* One pack of the row's gradients, from h, dy and the row's two means. */
template <typename T>
static __device__ __forceinline__ void put_pack(const norm_back<T> &a, int64_t at, const float *h,
                                                const pack<T> &dy, const float *w, float rstd,
                                                float mean_g, float mean_gh)
{
    enum { N = pack<T>::N };
    float dx[N], dr[N];
#pragma unroll
    for (int i = 0; i < N; ++i) {
        dx[i] = rstd * (pack_get(dy, i) * w[i] - mean_g - h[i] * mean_gh);
        dr[i] = a.alpha * dx[i];
    }
    if (a.dx)
        row_put(a.dx + at, dx, a.add_x);
    if (a.dr)
        row_put(a.dr + at, dr, a.add_r);
}

/* bf16 rows of one warp: while a warp works on a row, its next one is on the way into shared memory
 * (16 warps on a multiprocessor, so up to 72 KB under way: 20 KB would do at 3 TB/s). A thread
 * copies and reads its own packs alone, so the ring needs no barrier; and the row lies in shared
 * memory for the second pass, which leaves the registers to the 2 VALUES sums for dw and db.
 * Dynamic shared memory: two rows a warp, staged_bytes(). */
template <typename T, int VALUES, bool RESIDUAL>
static __global__ void __launch_bounds__(BACK_THREADS, 2) layernorm_bwd_staged_k(norm_back<T> a)
{
    typedef row_part<T, VALUES, 1> part;
    enum { N = part::N, PACKS = part::PACKS, STEP = BACK_THREADS * N, X = 0, DY = 1, R = 2 };
    enum { STAGE = (RESIDUAL ? 3 : 2) * PACKS * STEP };
    ASD_DYNAMIC_SHARED(T, ring);
    ASD_SHARED(float, scratch, STEP);
    float   dw[VALUES] = {0}, db[VALUES] = {0}, next_mean = 0, next_rstd = 0;
    int64_t first = blockIdx.x * a.part_rows,
            end   = first + a.part_rows < a.R ? first + a.part_rows : a.R;
    int mine = (int)threadIdx.x * N, stage = 0; /* this thread's packs; STAGE of the next row */

    auto fetch = [&](int64_t row) {
        if (row < end) {
#pragma unroll
            for (int k = 0; k < PACKS; ++k) {
                int64_t at = row * a.C + part::column(k);
                bool    in = part::column(k) < a.C; /* else zeros */
                cp_async16(ring + (stage + mine + (X * PACKS + k) * STEP), a.x + at, in);
                cp_async16(ring + (stage + mine + (DY * PACKS + k) * STEP), a.dy + at, in);
                if constexpr (RESIDUAL)
                    cp_async16(ring + (stage + mine + (R * PACKS + k) * STEP), a.r + at, in);
            }
            next_mean = a.saved[2 * row];
            next_rstd = a.saved[2 * row + 1];
        }
        cp_async_commit();
        stage = STAGE - stage;
    };

    int64_t row = first + threadIdx.x / WARP;
    fetch(row);
    for (; row < end; row += BACK_WARPS) {
        float mean = next_mean, rstd = next_rstd, mean_g = 0, mean_gh = 0;
        __syncwarp(); /* what lay in the stage that is filled now has been read */
        fetch(row + BACK_WARPS);
        cp_async_wait<1>();
        shared_ptr<T> at = ring + (stage + mine);
#pragma unroll
        for (int k = 0; k < PACKS; ++k) {
            float      h[N];
            pack<T>    x = load_shared16<T>(at + (X * PACKS + k) * STEP), r = x;
            pack<T>    dy = load_shared16<T>(at + (DY * PACKS + k) * STEP);
            row_f32<T> w(a.w, part::column(k), a.C);
            if constexpr (RESIDUAL)
                r = load_shared16<T>(at + (R * PACKS + k) * STEP);
            make_h<T, RESIDUAL>(x, r, a.alpha, mean, rstd, h);
#pragma unroll
            for (int i = 0; i < N; ++i) {
                float d = pack_get(dy, i), g = d * w.v[i];
                mean_g += g;
                mean_gh += g * h[i];
                dw[k * N + i] += d * h[i];
                db[k * N + i] += d;
            }
        }
        mean_g  = warp_sum(mean_g) / (float)a.C;
        mean_gh = warp_sum(mean_gh) / (float)a.C;
        __syncwarp(); /* the second pass reads again: kept, the row would cost 2 VALUES registers */
#pragma unroll
        for (int k = 0; k < PACKS; ++k) {
            float      h[N];
            pack<T>    x = load_shared16<T>(at + (X * PACKS + k) * STEP), r = x;
            pack<T>    dy = load_shared16<T>(at + (DY * PACKS + k) * STEP);
            row_f32<T> w(a.w, part::column(k), a.C);
            if constexpr (RESIDUAL)
                r = load_shared16<T>(at + (R * PACKS + k) * STEP);
            make_h<T, RESIDUAL>(x, r, a.alpha, mean, rstd, h);
            if (part::column(k) < a.C)
                put_pack(a, row * a.C + part::column(k), h, dy, w.v, rstd, mean_g, mean_gh);
        }
    }
    cp_async_wait<0>();
    if (!a.lines)
        return; /* all blocks */
    float *line = a.lines + (int64_t)blockIdx.x * 2 * a.C;
    line_put<N, PACKS>(dw, scratch, a.C, line);
    line_put<N, PACKS>(db, scratch, a.C, line + a.C);
}

template <typename T, int VALUES> static size_t staged_bytes(bool residual)
{
    return (size_t)2 * (residual ? 3 : 2) * VALUES * sizeof(T) * BACK_THREADS;
}

/* Everything else that registers hold: fp32, whose ring would be too large for some devices, and
 * rows of eight warps, which take the rows of the part one by one. */
template <typename T, int VALUES, int WARPS>
static __global__ void __launch_bounds__(BACK_THREADS, 1) layernorm_bwd_k(norm_back<T> a)
{
    typedef row_part<T, VALUES, WARPS> part;
    enum { N = part::N, STEP = WARPS == 1 ? BACK_WARPS : 1 };
    ASD_SHARED(float, scratch, WARPS == 1 ? BACK_THREADS * N : 2 * WARP);
    float   dw[VALUES] = {0}, db[VALUES] = {0};
    int64_t first = blockIdx.x * a.part_rows,
            end   = first + a.part_rows < a.R ? first + a.part_rows : a.R;
    for (int64_t row = first + (WARPS == 1 ? (int)threadIdx.x / WARP : 0); row < end; row += STEP) {
        int64_t o    = row * a.C;
        float   mean = a.saved[2 * row], rstd = a.saved[2 * row + 1], mean_g = 0, mean_gh = 0;
        float   h[VALUES];
        part    dy;
        dy.load(a.dy + o, a.C);
        load_sum<T, VALUES, WARPS>(a.x + o, a.r ? a.r + o : nullptr, a.alpha, a.C, h);
#pragma unroll
        for (int k = 0; k < part::PACKS; ++k) {
            row_f32<T> w(a.w, part::column(k), a.C);
#pragma unroll
            for (int i = 0; i < N; ++i) {
                int   j = k * N + i;
                float d = dy.get(k, i), g = d * w.v[i];
                h[j] = (h[j] - mean) * rstd;
                mean_g += g;
                mean_gh += g * h[j];
                dw[j] += d * h[j];
                db[j] += d;
            }
        }
        row_sum2<WARPS>(&mean_g, &mean_gh, scratch);
        mean_g /= (float)a.C;
        mean_gh /= (float)a.C;
#pragma unroll
        for (int k = 0; k < part::PACKS; ++k) {
            row_f32<T> w(a.w, part::column(k), a.C);
            if (part::column(k) < a.C)
                put_pack(a, o + part::column(k), h + k * N, dy.p[k], w.v, rstd, mean_g, mean_gh);
        }
    }
    if (!a.lines)
        return; /* all blocks */
    float *line = a.lines + (int64_t)blockIdx.x * 2 * a.C;
    if constexpr (WARPS == 1) {
        line_put<N, part::PACKS>(dw, scratch, a.C, line);
        line_put<N, part::PACKS>(db, scratch, a.C, line + a.C);
    } else {
#pragma unroll
        for (int k = 0; k < part::PACKS; ++k)
#pragma unroll
            for (int i = 0; i < N; ++i)
                if (part::column(k) < a.C) {
                    line[part::column(k) + i]       = dw[k * N + i];
                    line[a.C + part::column(k) + i] = db[k * N + i];
                }
    }
}

template <typename T, int VALUES, int WARPS>
static asd_status run_held(const asd_call *c, const norm_back<T> &a)
{
    dim3 grid((unsigned)asd_parts(a.R)), block(BACK_THREADS);
    if constexpr (sizeof(T) == 2 && WARPS == 1 && VALUES <= 24) {
        size_t bytes = staged_bytes<T, VALUES>(a.r != nullptr);
        return a.r ? ASD_LAUNCH((layernorm_bwd_staged_k<T, VALUES, true>), grid, block, bytes,
                                c->stream, a)
                   : ASD_LAUNCH((layernorm_bwd_staged_k<T, VALUES, false>), grid, block, bytes,
                                c->stream, a);
    } else {
        return ASD_LAUNCH((layernorm_bwd_k<T, VALUES, WARPS>), grid, block, 0, c->stream, a);
    }
}

/* --- any width --- */

enum { ANY_ROWS = 4, ANY_THREADS = WARP * ANY_ROWS, ANY_COLUMNS = 128 };

template <typename T>
static __device__ __forceinline__ float sum_at(const T *x, const T *r, float alpha, int64_t i)
{
    return r ? to_f32(x[i]) + alpha * to_f32(r[i]) : to_f32(x[i]);
}

/* A warp a row; its lanes stride over the columns. */
template <typename T>
static __global__ void __launch_bounds__(ANY_THREADS) layernorm_fwd_any_k(norm_call<T> a)
{
    int     lane = (int)threadIdx.x % WARP;
    int64_t row = (int64_t)blockIdx.x * ANY_ROWS + threadIdx.x / WARP, o = row * a.C;
    if (row >= a.R)
        return;
    float sum = 0, square = 0;
    for (int c = lane; c < a.C; c += WARP)
        sum += sum_at(a.x, a.r, a.alpha, o + c);
    float mean = warp_sum(sum) / (float)a.C;
    for (int c = lane; c < a.C; c += WARP) {
        float d = sum_at(a.x, a.r, a.alpha, o + c) - mean;
        square += d * d;
    }
    float rstd = 1 / sqrtf(warp_sum(square) / (float)a.C + a.eps);
    if (lane == 0) {
        a.saved[2 * row]     = mean;
        a.saved[2 * row + 1] = rstd;
    }
    for (int c = lane; c < a.C; c += WARP)
        a.y[o + c] =
            from_f32<T>((sum_at(a.x, a.r, a.alpha, o + c) - mean) * rstd * a.w[c] + a.b[c]);
}

/* A warp a row: dx and dr. */
template <typename T>
static __global__ void __launch_bounds__(ANY_THREADS) layernorm_bwd_any_k(norm_back<T> a)
{
    int     lane = (int)threadIdx.x % WARP;
    int64_t row = (int64_t)blockIdx.x * ANY_ROWS + threadIdx.x / WARP, o = row * a.C;
    if (row >= a.R)
        return;
    float mean = a.saved[2 * row], rstd = a.saved[2 * row + 1], mean_g = 0, mean_gh = 0;
    for (int c = lane; c < a.C; c += WARP) {
        float g = to_f32(a.dy[o + c]) * a.w[c];
        mean_g += g;
        mean_gh += g * ((sum_at(a.x, a.r, a.alpha, o + c) - mean) * rstd);
    }
    mean_g  = warp_sum(mean_g) / (float)a.C;
    mean_gh = warp_sum(mean_gh) / (float)a.C;
    for (int c = lane; c < a.C; c += WARP) {
        float h  = (sum_at(a.x, a.r, a.alpha, o + c) - mean) * rstd;
        float dv = rstd * (to_f32(a.dy[o + c]) * a.w[c] - mean_g - h * mean_gh);
        if (a.dx)
            a.dx[o + c] = from_f32<T>(a.add_x ? to_f32(a.dx[o + c]) + dv : dv);
        if (a.dr)
            a.dr[o + c] = from_f32<T>(a.add_r ? to_f32(a.dr[o + c]) + a.alpha * dv : a.alpha * dv);
    }
}

/* A thread a column of a part: the sums for dw and db. blockIdx: block of columns, part. */
template <typename T>
static __global__ void __launch_bounds__(ANY_COLUMNS) layernorm_lines_any_k(norm_back<T> a)
{
    int     c     = (int)(blockIdx.x * ANY_COLUMNS + threadIdx.x);
    int64_t first = blockIdx.y * a.part_rows,
            end   = first + a.part_rows < a.R ? first + a.part_rows : a.R;
    if (c >= a.C)
        return;
    float dw = 0, db = 0;
    for (int64_t row = first; row < end; ++row) {
        float d = to_f32(a.dy[row * a.C + c]);
        dw += d * ((sum_at(a.x, a.r, a.alpha, row * a.C + c) - a.saved[2 * row]) *
                   a.saved[2 * row + 1]);
        db += d;
    }
    float *line   = a.lines + (int64_t)blockIdx.y * 2 * a.C;
    line[c]       = dw;
    line[a.C + c] = db;
}

/* --- launchers --- */

template <typename T> static asd_status forward(const asd_call *c)
{
    const asd_layernorm_attr *attr = (const asd_layernorm_attr *)c->attr;
    norm_call<T>              a    = {};
    a.x                            = (const T *)c->x[0].x;
    a.w                            = (const float *)c->x[1].x;
    a.b                            = (const float *)c->x[2].x;
    a.r                            = c->n_in == 4 ? (const T *)c->x[3].x : nullptr;
    a.alpha                        = attr->alpha;
    a.eps                          = attr->eps;
    a.R                            = asd_rows(c->y.shape);
    a.C                            = (int)asd_last(c->y.shape);
    a.y                            = (T *)c->y.x;
    a.saved                        = (float *)c->saved;
    return row_switch<T>(
        a.C,
        [&](auto plan) {
            typedef decltype(plan)       as;
            typedef row_block<as::warps> block;
            return ASD_LAUNCH((layernorm_fwd_k<T, as::values, as::warps>),
                              dim3(asd_blocks(a.R, block::ROWS)), dim3(block::THREADS), 0,
                              c->stream, a);
        },
        [&]() {
            return ASD_LAUNCH((layernorm_fwd_any_k<T>), dim3(asd_blocks(a.R, ANY_ROWS)),
                              dim3(ANY_THREADS), 0, c->stream, a);
        });
}

extern "C" asd_status layernorm_fwd_cuda(const asd_call *c)
{
    return c->x[0].dtype == ASD_BF16 ? forward<bf16>(c) : forward<float>(c);
}

template <typename T> static asd_status backward_any(const asd_call *c, const norm_back<T> &a)
{
    if (a.dx || a.dr)
        ASD_TRY(ASD_LAUNCH((layernorm_bwd_any_k<T>), dim3(asd_blocks(a.R, ANY_ROWS)),
                           dim3(ANY_THREADS), 0, c->stream, a));
    if (a.lines)
        ASD_TRY(ASD_LAUNCH((layernorm_lines_any_k<T>),
                           dim3(asd_blocks(a.C, ANY_COLUMNS), (unsigned)asd_parts(a.R)),
                           dim3(ANY_COLUMNS), 0, c->stream, a));
    return ASD_OK;
}

template <typename T> static asd_status backward(const asd_call *c)
{
    /* y = (v - m) s w + b  ->  dv = s (g - mean g - h mean(g h)), dw = sum dy h, db = sum dy */
    int          with_r = c->n_in == 4;
    norm_back<T> a      = {};
    a.x                 = (const T *)c->x[0].x;
    a.r                 = with_r ? (const T *)c->x[3].x : nullptr;
    a.dy                = (const T *)c->y.g;
    a.w                 = (const float *)c->x[1].x;
    a.saved             = (const float *)c->saved;
    a.alpha             = ((const asd_layernorm_attr *)c->attr)->alpha;
    a.R                 = asd_rows(c->y.shape);
    a.part_rows         = asd_part_rows(a.R);
    a.C                 = (int)asd_last(c->y.shape);
    a.add_x             = c->acc[0];
    a.add_r             = c->acc[3];
    a.dx                = (T *)c->x[0].g;
    a.dr                = with_r ? (T *)c->x[3].g : nullptr;
    a.lines             = c->x[1].g || c->x[2].g ? (float *)c->work : nullptr;
    ASD_TRY(row_switch<T>(
        a.C,
        [&](auto plan) {
            typedef decltype(plan) as;
            return run_held<T, as::values, as::warps>(c, a);
        },
        [&]() { return backward_any(c, a); }));
    if (!a.lines)
        return ASD_OK;
    sum_lines sums = {};
    sums.lines     = a.lines;
    sums.parts     = asd_parts(a.R);
    sums.ld        = 2 * a.C;
    sums.columns   = a.C;
    for (int k = 0; k < 2; ++k) {
        sums.out[k] = (float *)c->x[k + 1].g;
        sums.add[k] = c->acc[k + 1];
    }
    return sum_lines_run(c->stream, sums, 2, 1);
}

extern "C" asd_status layernorm_bwd_cuda(const asd_call *c)
{
    return c->x[0].dtype == ASD_BF16 ? backward<bf16>(c) : backward<float>(c);
}
