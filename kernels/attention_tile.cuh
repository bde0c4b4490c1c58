/* attention_tile.cuh - what the kernels of attention.cu and attention_bwd.cu are made of: tiles of
 * rows of one head in shared memory, and the two products that attention has, forward and backward.
 *
 *   tile_dots        s = a b'     every row of a against every row of b      q k', dy v'
 *   tile_accumulate  o += s x     rows of s weigh rows of x                  p v, ds k, p' dy, ds'
 * q
 *
 * A warp owns 16 MT rows of s and all its columns, in the registers that mma.cuh calls mma_c: lane
 * 4 g + t has rows g, g + 8, .. and columns 8 n + 2 t, 8 n + 2 t + 1. With bf16 both products are
 * mma.sync, and s goes from the first to the second without leaving the registers. With fp32 they
 * are fp32 multiply-adds in the same registers, rows of 16 bytes from shared memory for the first,
 * shuffles inside four lanes for the second; so all that lies between the products is written once.
 *
 * The bias of a head is t[key - query]. A block brings the stretch of t that its rows and all
 * columns need into shared memory once; inside a warp's s it depends on 8 (n - row / 8) + 2 t - g
 * alone, so a lane reads NT + 2 MT - 1 pairs for its 4 MT NT scores.
 */
#ifndef ASD_KERNELS_ATTENTION_TILE_CUH
#define ASD_KERNELS_ATTENTION_TILE_CUH

#include "cuda/kernel.cuh"

#include "cuda/mma.cuh"
#include "cuda/pack.cuh"
#include "cuda/reduce.cuh"

#include "kernels/attention.h"

enum { ATTENTION_PAD = 64 }; /* queries are counted in whole tiles of the backward */

#define ATTENTION_LOG2E 1.44269504088896341f

/* What the kernels read of a call; C = H K. */
template <typename T> struct attention_args {
    const T       *qkv;
    const int32_t *lengths;              /* NULL: all keys count */
    const int32_t *bucket;               /* (2P-1), of distances */
    const float   *table, *w, *bias, *a; /* table NULL: no gate */
    int64_t        P, C, H;
};

template <typename T> static inline attention_args<T> attention_args_of(const asd_call *c)
{
    const asd_attention_attr *a = (const asd_attention_attr *)c->attr;
    asd_attention_sizes       s = asd_attention_sizes_of(a, c->x[0].shape);
    attention_args<T>         p = {};
    p.qkv                       = (const T *)c->x[0].x;
    p.lengths                   = a->masked ? (const int32_t *)c->x[1].x : NULL;
    p.P                         = s.P;
    p.C                         = s.C;
    p.H                         = s.H;
    if (a->gated) {
        p.bucket = asd_attention_cuda_buckets(c);
        p.table  = (const float *)c->x[asd_attention_input(a, ASD_ATTENTION_TABLE)].x;
        p.w      = (const float *)c->x[asd_attention_input(a, ASD_ATTENTION_W)].x;
        p.bias   = (const float *)c->x[asd_attention_input(a, ASD_ATTENTION_B)].x;
        p.a      = (const float *)c->x[asd_attention_input(a, ASD_ATTENTION_A)].x;
    }
    return p;
}

/* Block i of a grid of (clip, head, tile). */
struct attention_place {
    unsigned bh, b, h;
    int      first, keys; /* first row of the tile; keys that count */
};

template <typename T>
static __device__ __forceinline__ attention_place attention_here(const attention_args<T> &p,
                                                                 int tiles, int rows)
{
    attention_place at;
    at.bh    = blockIdx.x / (unsigned)tiles;
    at.b     = at.bh / (unsigned)p.H;
    at.h     = at.bh % (unsigned)p.H;
    at.first = (int)(blockIdx.x % (unsigned)tiles) * rows;
    at.keys  = (int)p.P;
    if (p.lengths) {
        int n   = p.lengths[at.b];
        at.keys = n < 0 ? 0 : n > (int)p.P ? (int)p.P : n;
    }
    return at;
}

/* --- tiles --- */

/* Elements of a row in shared memory. bf16 rows are permuted by tile_at; fp32 rows are 16 bytes
 * longer than they need be, so that eight of them start in different banks. */
template <typename T, int K> struct tile_row {
    static constexpr int LD = sizeof(T) == 2 ? K : K + 4;
};

template <typename T, int K> static __device__ __forceinline__ int tile_place(int row, int column)
{
    if constexpr (sizeof(T) == 2)
        return tile_at<K>(row, column);
    else
        return row * tile_row<T, K>::LD + column;
}

/* Rows first .. first + ROWS - 1 of x, `ld` apart, by asynchronous copies; zeros from `end` on. */
template <typename T, int K, int ROWS, int THREADS>
static __device__ __forceinline__ void tile_fetch(shared_ptr<T> tile, const T *x, int64_t ld,
                                                  int first, int64_t end)
{
    constexpr int N = pack<T>::N, CHUNKS = K / N;
#pragma unroll 1
    for (int i = (int)threadIdx.x; i < ROWS * CHUNKS; i += THREADS) {
        int r = i / CHUNKS, c = i % CHUNKS * N;
        cp_async16(tile + tile_place<T, K>(r, c), x + (first + r) * ld + c, first + r < end);
    }
}

/* x[r] = or += the tile's rows that are below `end`; by the warp that wrote them. */
template <typename T, int K, int ROWS>
static __device__ __forceinline__ void tile_store(shared_ptr<T> tile, int row, T *x, int64_t ld,
                                                  int first, int64_t end, int add)
{
    constexpr int N = pack<T>::N, CHUNKS = K / N;
    __syncwarp();
    for (int i = mma_lane(); i < ROWS * CHUNKS; i += WARP) {
        int r = row + i / CHUNKS, c = i % CHUNKS * N;
        if (first + r >= end)
            continue;
        pack<T> v  = load_shared16<T>(tile + tile_place<T, K>(r, c));
        T      *to = x + (first + r) * ld + c;
        if (add) {
            pack<T> old = load16(to);
#pragma unroll
            for (int k = 0; k < N; ++k)
                pack_set(v, k, pack_get(v, k) + pack_get(old, k));
        }
        store16(to, v);
    }
}

/* Sums of a warp's rows, by[row] times as large, into a tile that then goes to tile_store. */
template <typename T, int K, int MT>
static __device__ __forceinline__ void
tile_put(shared_ptr<T> tile, int row, const mma_c (&o)[MT][K / 8], const float (&by)[2 * MT])
{
#pragma unroll
    for (int m = 0; m < MT; ++m)
#pragma unroll
        for (int n = 0; n < K / 8; ++n)
#pragma unroll
            for (int v = 0; v < 4; ++v)
                tile[tile_place<T, K>(row + 16 * m + mma_row(v), 8 * n + mma_column(v))] =
                    from_f32<T>(o[m][n].x[v] * by[2 * m + v / 2]);
}

/* --- products (warp) --- */

/* s = rows row .. row + 16 MT - 1 of a times all 8 NT rows of b. */
template <int K, int MT, int NT>
static __device__ __forceinline__ void tile_dots(mma_c (&s)[MT][NT], shared_ptr<bf16> a, int row,
                                                 shared_ptr<bf16> b)
{
#pragma unroll
    for (int m = 0; m < MT; ++m)
#pragma unroll
        for (int n = 0; n < NT; ++n)
            s[m][n] = {};
#pragma unroll 2
    for (int k = 0; k < K; k += 16) {
        mma_a fa[MT];
#pragma unroll
        for (int m = 0; m < MT; ++m)
            fa[m] = mma_load_a<K>(a, row + 16 * m, k);
#pragma unroll
        for (int n = 0; n < NT; n += 2) {
            mma_b fb[2];
            mma_load_b<K>(fb, b, 8 * n, k);
#pragma unroll
            for (int m = 0; m < MT; ++m) {
                mma_16x8x16(s[m][n], fa[m], fb[0]);
                mma_16x8x16(s[m][n + 1], fa[m], fb[1]);
            }
        }
    }
}

template <int K, int MT, int NT>
static __device__ __forceinline__ void tile_dots(mma_c (&s)[MT][NT], shared_ptr<float> a, int row,
                                                 shared_ptr<float> b)
{
    constexpr int LD = tile_row<float, K>::LD;
    int           g = mma_lane() / 4, t = mma_lane() % 4;
#pragma unroll
    for (int m = 0; m < MT; ++m)
#pragma unroll
        for (int n = 0; n < NT; ++n)
            s[m][n] = {};
#pragma unroll 1
    for (int k = 0; k < K; k += 4) {
        pack<float> x[2 * MT];
#pragma unroll
        for (int i = 0; i < 2 * MT; ++i)
            x[i] = load_shared16<float>(a + ((row + g + 8 * i) * LD + k));
#pragma unroll
        for (int n = 0; n < NT; ++n)
#pragma unroll
            for (int e = 0; e < 2; ++e) {
                pack<float> y = load_shared16<float>(b + ((8 * n + 2 * t + e) * LD + k));
#pragma unroll
                for (int i = 0; i < 2 * MT; ++i)
#pragma unroll
                    for (int j = 0; j < 4; ++j)
                        s[i / 2][n].x[i % 2 * 2 + e] =
                            fmaf(x[i].v[j], y.v[j], s[i / 2][n].x[i % 2 * 2 + e]);
            }
    }
}

/* o += s x: x has 8 NT rows. */
template <int K, int MT, int NT>
static __device__ __forceinline__ void tile_accumulate(mma_c (&o)[MT][K / 8],
                                                       const mma_c (&s)[MT][NT], shared_ptr<bf16> x)
{
#pragma unroll
    for (int n = 0; n < NT; n += 2) {
        mma_a fa[MT];
#pragma unroll
        for (int m = 0; m < MT; ++m)
            fa[m] = mma_a_of(s[m][n], s[m][n + 1]);
#pragma unroll
        for (int c = 0; c < K / 8; c += 2) {
            mma_b fb[2];
            mma_load_b_trans<K>(fb, x, 8 * n, 8 * c);
#pragma unroll
            for (int m = 0; m < MT; ++m) {
                mma_16x8x16(o[m][c], fa[m], fb[0]);
                mma_16x8x16(o[m][c + 1], fa[m], fb[1]);
            }
        }
    }
}

/* Sums of a tile are made apart, 32 columns at a time, and then added to o: one chain over a long
 * clip's keys would double the error. */
template <int K, int MT, int NT>
static __device__ __forceinline__ void
tile_accumulate(mma_c (&o)[MT][K / 8], const mma_c (&s)[MT][NT], shared_ptr<float> x)
{
    constexpr int LD = tile_row<float, K>::LD;
    int           t = mma_lane() % 4, quad = mma_lane() / 4 * 4;
#pragma unroll
    for (int c0 = 0; c0 < K / 8; c0 += 4) {
        mma_c part[MT][4] = {};
#pragma unroll
        for (int n = 0; n < NT; ++n)
#pragma unroll
            for (int e = 0; e < 2; ++e)
#pragma unroll 1
                for (int from = 0; from < 4;
                     ++from) { /* the lane that has column 8 n + 2 from + e */
                    float weight[2 * MT];
#pragma unroll
                    for (int i = 0; i < 2 * MT; ++i)
                        weight[i] =
                            __shfl_sync(ALL_LANES, s[i / 2][n].x[i % 2 * 2 + e], quad + from);
#pragma unroll
                    for (int c = 0; c < 4; ++c)
#pragma unroll
                        for (int v = 0; v < 2; ++v) {
                            float y = x[(8 * n + 2 * from + e) * LD + 8 * (c0 + c) + 2 * t + v];
#pragma unroll
                            for (int i = 0; i < 2 * MT; ++i)
                                part[i / 2][c].x[i % 2 * 2 + v] =
                                    fmaf(weight[i], y, part[i / 2][c].x[i % 2 * 2 + v]);
                        }
                }
#pragma unroll
        for (int m = 0; m < MT; ++m)
#pragma unroll
            for (int c = 0; c < 4; ++c)
#pragma unroll
                for (int v = 0; v < 4; ++v)
                    o[m][c0 + c].x[v] += part[m][c].x[v];
    }
}

/* 2^x of a score less its row's maximum or log-sum. */
template <typename T> static __device__ __forceinline__ float score_exp2(float x)
{
    if constexpr (sizeof(T) == 2)
        return exp2_fast(x);
    else
        return exp2f(x);
}

/* --- the gate and the bias --- */

/* fold: (2 K + 2), the sums of rows 0..3 and of 4..7 of w, then of bias. All threads of the block;
 * a barrier before it is read. */
template <typename T, int K, int THREADS>
static __device__ __forceinline__ void gate_fold(const attention_args<T> &p, shared_ptr<float> fold)
{
    for (int i = (int)threadIdx.x; i < 2 * K + 2; i += THREADS) {
        const float *x = i < 2 * K ? p.w + i / K * 4 * K + i % K : p.bias + (i - 2 * K) * 4;
        int          d = i < 2 * K ? K : 1;
        fold[i]        = x[0] + x[d] + x[2 * d] + x[3 * d];
    }
}

static __device__ __forceinline__ float gate_sigmoid(float x)
{
    return 1 / (1 + expf(-x));
}

/* The two sigmoids of the query in row `row` of a tile. */
template <typename T, int K>
static __device__ __forceinline__ void gate_halves(shared_ptr<T> q, int row, shared_ptr<float> fold,
                                                   float *ga, float *gb)
{
    float a = fold[2 * K], b = fold[2 * K + 1];
#pragma unroll 2
    for (int c = 0; c < K; c += pack<T>::N) {
        pack<T> x = load_shared16<T>(q + tile_place<T, K>(row, c));
#pragma unroll
        for (int k = 0; k < pack<T>::N; ++k) {
            a = fmaf(pack_get(x, k), (float)fold[c + k], a);
            b = fmaf(pack_get(x, k), (float)fold[K + c + k], b);
        }
    }
    *ga = gate_sigmoid(a);
    *gb = gate_sigmoid(b);
}

/* window[i] = t[from + i], i < n; 0 for distances that no two tokens have, and without a gate. All
 * threads of the block; a barrier before it is read. */
template <typename T, int THREADS>
static __device__ __forceinline__ void bias_window(const attention_args<T> &p, int64_t h,
                                                   shared_ptr<float> window, int n, int from)
{
    for (int i = (int)threadIdx.x; i < n; i += THREADS) {
        int d     = from + i;
        window[i] = p.table && d > -(int)p.P && d < (int)p.P
                        ? p.table[p.bucket[d + (int)p.P - 1] * p.H + h]
                        : 0.0f;
    }
}

#endif
