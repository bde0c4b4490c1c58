/* attention_bwd.cu - attention.c on CUDA, backward. See attention.cu.
 *
 *   attention_dq_k     a block owns a tile of queries and goes over the keys: dq, the gate's
 *                      gradient as a row sum in registers, and if asked for dt along diagonals.
 *                      It leaves delta = rowsum(y dy), gates and log-sums for the next.
 *   attention_dkv_k    a block owns a tile of keys and goes over the queries: dk and dv.
 *   attention_sums_k   the gate's parameters, over tiles, clips and heads in order.
 *   attention_dt_k     dt over tiles and clips, then attention_table_k: by bucket.
 *
 * Nothing is added by two blocks, so there are no atomics and the bits are the same in every run.
 * The price is that both kernels make the scores: seven products instead of five, which
 * attention_bwd_sm90.cu pays in shared memory.
 *
 * Counts for (33, 496, 12 x 64), bf16: 14 B H P^2 K = 87 GFLOP done, 62 needed; q, k, v, y, dy, dq,
 * dk, dv once are 201 MB, the partial sums 10 MB with the table's gradient. Not measured.
 *
 * Numerics: as forward; p and ds are rounded to bf16 for their products, everything else is fp32.
 * With bf16, y was rounded, and p for its product with v, so delta is off by some e, and each row
 * of ds adds up to -e instead of 0. By that sum the gate's gradient and the delta that
 * attention_dkv_k reads are put right; dq and dt carry e p, as in FlashAttention 2.
 */
#include "kernels/attention_tile.cuh"

template <typename T, int K> struct bwd_shape {
    static constexpr int WARPS = sizeof(T) == 4 && K == 128 ? 2 : 4, THREADS = WARP * WARPS;
    /* that share a multiprocessor: more would spill registers */
    static constexpr int BLOCKS  = K == 32 ? 3 : 2;
    static constexpr int ROWS    = 16 * WARPS;        /* of the block's own tile */
    static constexpr int COLUMNS = K <= 64 ? 64 : 32; /* rows of a tile of the other side */
    static constexpr int STAGES  = sizeof(T) == 2 ? 2 : 1;
    static constexpr int LD      = tile_row<T, K>::LD;
    static constexpr int TILES   = (2 * ROWS + 2 * STAGES * COLUMNS) * LD; /* elements */
    static_assert(ATTENTION_PAD % ROWS == 0 && ATTENTION_PAD % COLUMNS == 0, "whole tiles");
    /* floats of attention_dq_k: fold; delta, ga, gb, dgate's two, dc of each row */
    static constexpr int FOLD = 2 * K + 4, ROW_FLOATS = 6;
    /* of a warp's diagonals: eight lanes' g against those of 16 rows and COLUMNS columns */
    static constexpr int SLANT = COLUMNS + 24, DIAGONALS = WARPS * 8 * SLANT;
};

/* Tokens in whole tiles. */
static __host__ __device__ __forceinline__ int64_t padded(int64_t P)
{
    return (P + ATTENTION_PAD - 1) / ATTENTION_PAD * ATTENTION_PAD;
}

/* What the backward keeps in scratch, fp32. rows: (3, B H, padded) log-sum, delta, gate; lines: (B
 * H tiles, 2 K + 4) the gate's sums; dt: (B H tiles, window) stretches of dt; sums: (H, 2 P - 1).
 */
typedef struct bwd_scratch {
    float *lse, *delta, *gate, *lines, *dt, *sums;
} bwd_scratch;

/* Floats of a stretch of distances, from the last row of a tile to the first column on. */
template <typename T, int K> static __host__ __device__ __forceinline__ int bwd_window(int64_t P)
{
    return (int)padded(P) + bwd_shape<T, K>::ROWS;
}

/* --- dq --- */

/* delta and gate of each of the block's queries, to shared memory and to scratch. */
template <typename T, int K, int GATED, typename F = bwd_shape<T, K>>
static __device__ __forceinline__ void
dq_rows(const attention_args<T> &p, const T *y, const float *saved, bwd_scratch s,
        attention_place at, shared_ptr<T> q, shared_ptr<T> dy, shared_ptr<float> fold,
        shared_ptr<float> rows)
{
    for (int r = (int)threadIdx.x; r < F::ROWS; r += F::THREADS) {
        int     i     = at.first + r;
        int64_t to    = at.bh * padded(p.P) + i;
        float   delta = 0, ga = 0, gb = 0, gate = 0;
        if (i < p.P) {
            const T *row = y + (at.b * p.P + i) * p.C + at.h * K;
#pragma unroll 2
            for (int c = 0; c < K; c += pack<T>::N) {
                pack<T> u = load16(row + c), v = load_shared16<T>(dy + tile_place<T, K>(r, c));
#pragma unroll
                for (int k = 0; k < pack<T>::N; ++k)
                    delta = fmaf(pack_get(u, k), pack_get(v, k), delta);
            }
            if (GATED && p.table) {
                gate_halves<T, K>(q, r, fold, &ga, &gb);
                gate = (ga * (gb * p.a[at.h] - 1) + 2) * ATTENTION_LOG2E;
            }
        }
        rows[r]               = delta;
        rows[F::ROWS + r]     = ga;
        rows[2 * F::ROWS + r] = gb;
        s.gate[to]            = gate; /* delta follows when it has been put right */
        s.lse[to]             = i < p.P ? saved[at.bh * p.P + i] : INFINITY; /* weighs nothing */
    }
}

/* ds of a warp's 16 rows, added along the diagonals: into the warp's (8, SLANT), row g, at
 * 8 (n - r) + 2 t + 8, so that lanes of one g lie side by side; the distance is g less. */
template <typename F, int NT>
static __device__ __forceinline__ void
put_diagonals(const mma_c (&ds)[1][NT], const float (&gate)[2], shared_ptr<float> slant)
{
    shared_ptr<float> to = slant + (mma_row(0) * F::SLANT + mma_column(0));
#pragma unroll
    for (int i = 0; i <= NT; ++i) /* n - r = i - 1 */
#pragma unroll
        for (int e = 0; e < 2; ++e) {
            float x = 0;
            if (i < NT) /* row g + 8, column block i */
                x = gate[1] * ds[0][i].x[2 + e];
            if (i > 0) /* row g, column block i - 1 */
                x = fmaf(gate[0], ds[0][i - 1].x[e], x);
            to[8 * i + e] = x;
        }
}

/* dt += what the warps have put: a thread a distance, over warps and g in order. first: where in dt
 * the last row of the block meets the first column. */
template <typename F>
static __device__ __forceinline__ void add_diagonals(shared_ptr<float> slants, shared_ptr<float> dt)
{
    for (int x = (int)threadIdx.x; x < F::ROWS + F::COLUMNS - 1; x += F::THREADS) {
        float sum = 0;
        for (int w = 0; w < F::WARPS; ++w)
#pragma unroll
            for (int g = 0; g < 8; ++g) {
                /* x = column - row + ROWS - 1, row = 16 w + g + 8 r, at = column - 8 r + 8 */
                int at = x - (F::ROWS - 1) + 16 * w + g + 8;
                if (at >= 0 && at < F::COLUMNS + 8)
                    sum += slants[(w * 8 + g) * F::SLANT + at];
            }
        dt[x] += sum * (1 / ATTENTION_LOG2E);
    }
}

/* The block's sums for the gate's parameters, and what the gate adds to dq. dgate: of the lane's
 * two rows, already over all keys. */
template <typename T, int K, typename F = bwd_shape<T, K>>
static __device__ __forceinline__ void
dq_gate(const attention_args<T> &p, attention_place at, const float (&dgate)[2], shared_ptr<T> q,
        shared_ptr<float> fold, shared_ptr<float> rows, int row, float *line, mma_c (&dq)[1][K / 8])
{
    shared_ptr<float> ga = rows + F::ROWS, gb = rows + 2 * F::ROWS, da = rows + 3 * F::ROWS,
                      db = rows + 4 * F::ROWS, dc = rows + 5 * F::ROWS;
    float c = p.a[at.h], u[2], v[2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
        int   r = row + mma_row(2 * i);
        float a = ga[r], b = gb[r];
        u[i] = dgate[i] * (b * c - 1) * a * (1 - a);
        v[i] = dgate[i] * a * c * b * (1 - b);
        if (mma_lane() % 4 == 0) {
            da[r] = u[i];
            db[r] = v[i];
            dc[r] = dgate[i] * a * b;
        }
    }
#pragma unroll
    for (int n = 0; n < K / 8; ++n)
#pragma unroll
        for (int k = 0; k < 4; ++k) {
            int column = 8 * n + mma_column(k);
            dq[0][n].x[k] += u[k / 2] * fold[column] + v[k / 2] * fold[K + column];
        }
    __syncthreads();
    for (int i = (int)threadIdx.x; i < 2 * K + 3; i += F::THREADS) {
        shared_ptr<float> of  = i < K || i == 2 * K ? da : i < 2 * K || i == 2 * K + 1 ? db : dc;
        float             sum = 0;
        for (int r = 0; r < F::ROWS; ++r)
            sum += i < 2 * K ? of[r] * to_f32((T)q[tile_place<T, K>(r, i % K)]) : (float)of[r];
        line[i] = sum;
    }
}

/* What a lane gathers over the keys for its two rows. */
struct dq_row_sums {
    float ds[2], dgate[2], bias[2]; /* sums of ds, of ds t, of p t */
};

/* s, dp of a tile of keys: ds, in s. */
template <typename T, int NT, int GATED>
static __device__ __forceinline__ void
dq_scores(mma_c (&s)[1][NT], const mma_c (&dp)[1][NT], shared_ptr<float> window, float scale,
          const float (&gate)[2], const float (&lse)[2], const float (&delta)[2], int  keys,
          dq_row_sums *sum)
{
    float bias[NT + 1][2];
    if constexpr (GATED) {
        int at = mma_column(0) - mma_row(0);
#pragma unroll
        for (int i = 0; i <= NT; ++i) {
            bias[i][0] = window[at + 8 * i];
            bias[i][1] = window[at + 8 * i + 1];
        }
    }
#pragma unroll
    for (int n = 0; n < NT; ++n)
#pragma unroll
        for (int k = 0; k < 4; ++k) {
            int   r = k / 2, e = k % 2;
            float x = s[0][n].x[k] * scale - lse[r];
            if constexpr (GATED)
                x = fmaf(gate[r], bias[n - r + 1][e], x);
            float prob = 8 * n + mma_column(k) < keys ? score_exp2<T>(x) : 0.0f;
            float ds   = prob * (dp[0][n].x[k] - delta[r]);
            sum->ds[r] += ds;
            if constexpr (GATED) {
                sum->dgate[r] = fmaf(ds, bias[n - r + 1][e], sum->dgate[r]);
                sum->bias[r]  = fmaf(prob, bias[n - r + 1][e], sum->bias[r]);
            }
            s[0][n].x[k] = ds;
        }
}

/* One block a tile of queries of a head, four warps of 16 (two for the widest fp32). Shared: tiles
 * of q and dy, STAGES tiles of keys and of values, then floats: fold, six for each row, window of
 * the bias, and for TABLE dt of the window's length and the warps' diagonals. */
template <typename T, int K, int GATED, int TABLE>
static __global__ void __launch_bounds__(bwd_shape<T, K>::THREADS, bwd_shape<T, K>::BLOCKS)
    attention_dq_k(attention_args<T> p, const T *y, const T *dy, const float *saved, T *dqkv,
                   int add, bwd_scratch s, int tiles)
{
    typedef bwd_shape<T, K> F;
    constexpr int           NT = F::COLUMNS / 8;
    ASD_DYNAMIC_SHARED(T, q);
    ASD_DYNAMIC_SHARED(float, bytes);
    shared_ptr<T>     o = q + F::ROWS * F::LD, stage = q + 2 * F::ROWS * F::LD;
    shared_ptr<float> fold = bytes + F::TILES * (int)sizeof(T) / 4, rows = fold + F::FOLD,
                      window = rows + F::ROW_FLOATS * F::ROWS,
                      dt     = window + (GATED ? bwd_window<T, K>(p.P) : 0),
                      slants = dt + (TABLE ? bwd_window<T, K>(p.P) : 0);
    attention_place at       = attention_here(p, tiles, F::ROWS);
    const T        *x        = p.qkv + at.b * p.P * 3 * p.C + at.h * K;
    int             warp = (int)threadIdx.x / WARP, row = 16 * warp;
    int             steps = (at.keys + F::COLUMNS - 1) / F::COLUMNS;

    auto bring = [&](int step) {
        shared_ptr<T> to = stage + step % F::STAGES * 2 * F::COLUMNS * F::LD;
        tile_fetch<T, K, F::COLUMNS, F::THREADS>(to, x + p.C, 3 * p.C, step * F::COLUMNS, at.keys);
        tile_fetch<T, K, F::COLUMNS, F::THREADS>(to + F::COLUMNS * F::LD, x + 2 * p.C, 3 * p.C,
                                                 step * F::COLUMNS, at.keys);
    };

    tile_fetch<T, K, F::ROWS, F::THREADS>(q, x, 3 * p.C, at.first, p.P);
    tile_fetch<T, K, F::ROWS, F::THREADS>(o, dy + at.b * p.P * p.C + at.h * K, p.C, at.first, p.P);
    cp_async_commit();
    if (F::STAGES == 2 && steps)
        bring(0);
    cp_async_commit();
    if (GATED && p.table)
        gate_fold<T, K, F::THREADS>(p, fold);
    if constexpr (GATED)
        bias_window<T, F::THREADS>(p, at.h, window, bwd_window<T, K>(p.P), 1 - F::ROWS - at.first);
    if constexpr (TABLE)
        for (int i = (int)threadIdx.x; i < bwd_window<T, K>(p.P); i += F::THREADS)
            dt[i] = 0;
    cp_async_wait<1>();
    __syncthreads();
    dq_rows<T, K, GATED>(p, y, saved, s, at, q, o, fold, rows);
    __syncthreads();

    mma_c       dq[1][K / 8] = {};
    float       lse[2], delta[2], gate[2];
    dq_row_sums sum   = {};
    float       scale = ATTENTION_LOG2E / sqrtf((float)K);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
        int     r    = row + mma_row(2 * i);
        int64_t from = at.bh * padded(p.P) + at.first + r;
        delta[i]     = rows[r];
        lse[i]       = s.lse[from]; /* written by this block, before the barrier */
        gate[i]      = GATED ? s.gate[from] : 0.0f;
    }
    for (int step = 0; step < steps; ++step) {
        int ahead = step + F::STAGES - 1;
        if (ahead < steps)
            bring(ahead);
        cp_async_commit();
        cp_async_wait<F::STAGES - 1>();
        __syncthreads();
        shared_ptr<T> k = stage + step % F::STAGES * 2 * F::COLUMNS * F::LD;
        mma_c         scores[1][NT], dp[1][NT];
        tile_dots<K>(scores, q, row, k);
        tile_dots<K>(dp, o, row, k + F::COLUMNS * F::LD);
        dq_scores<T, NT, GATED>(scores, dp, window + (step * F::COLUMNS + F::ROWS - row - 9), scale,
                                gate, lse, delta, at.keys - step * F::COLUMNS, &sum);
        tile_accumulate<K>(dq, scores, k);
        if constexpr (TABLE)
            put_diagonals<F>(scores, gate, slants + warp * 8 * F::SLANT);
        __syncthreads(); /* what comes next overwrites the stage, and reads the diagonals */
        if constexpr (TABLE)
            add_diagonals<F>(slants, dt + step * F::COLUMNS);
    }
    cp_async_wait<0>();
    __syncthreads();
    float by[2] = {1, 1}, factor = 1 / sqrtf((float)K), dgate[2];
#pragma unroll
    for (int n = 0; n < K / 8; ++n)
#pragma unroll
        for (int k = 0; k < 4; ++k)
            dq[0][n].x[k] *= factor;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
        float ds = group_sum<4>(sum.ds[i]);
        dgate[i] = group_sum<4>(sum.dgate[i]) - ds * group_sum<4>(sum.bias[i]);
        if (mma_lane() % 4 == 0)
            s.delta[at.bh * padded(p.P) + at.first + row + mma_row(2 * i)] = delta[i] + ds;
    }
    if (GATED && p.table)
        dq_gate<T, K>(p, at, dgate, q, fold, rows, row, s.lines + (int64_t)blockIdx.x * (2 * K + 4),
                      dq);
    if constexpr (TABLE)
        for (int i = (int)threadIdx.x; i < bwd_window<T, K>(p.P); i += F::THREADS)
            s.dt[(int64_t)blockIdx.x * bwd_window<T, K>(p.P) + i] = dt[i];
    if (dqkv) {
        tile_put<T, K, 1>(o, row, dq, by);
        tile_store<T, K, 16>(o, row, dqkv + at.b * p.P * 3 * p.C + at.h * K, 3 * p.C, at.first, p.P,
                             add);
    }
}

/* --- dk, dv --- */

/* One block a tile of keys of a head, warps as above: its rows are keys, its columns queries, so
 * that p' and ds' are the left sides of the products. Shared: tiles of k and v, STAGES tiles of
 * queries and of dy, then floats: STAGES times log-sums, deltas and gates of the queries, window.
 */
template <typename T, int K, int GATED>
static __global__ void __launch_bounds__(bwd_shape<T, K>::THREADS, bwd_shape<T, K>::BLOCKS)
    attention_dkv_k(attention_args<T> p, const T *dy, T *dqkv, int add, bwd_scratch s, int tiles)
{
    typedef bwd_shape<T, K> F;
    constexpr int           NT = F::COLUMNS / 8;
    ASD_DYNAMIC_SHARED(T, k);
    ASD_DYNAMIC_SHARED(float, bytes);
    shared_ptr<T>     v = k + F::ROWS * F::LD, stage = k + 2 * F::ROWS * F::LD;
    shared_ptr<float> rows   = bytes + F::TILES * (int)sizeof(T) / 4,
                      window = rows + F::STAGES * 3 * F::COLUMNS;
    attention_place at       = attention_here(p, tiles, F::ROWS);
    const T        *x        = p.qkv + at.b * p.P * 3 * p.C + at.h * K;
    const T        *o        = dy + at.b * p.P * p.C + at.h * K;
    int64_t         P        = padded(p.P);
    int             row      = (int)threadIdx.x / WARP * 16;
    int             steps    = at.first < at.keys ? (int)((p.P + F::COLUMNS - 1) / F::COLUMNS) : 0;

    auto bring = [&](int step) {
        shared_ptr<T>     to     = stage + step % F::STAGES * 2 * F::COLUMNS * F::LD;
        shared_ptr<float> values = rows + step % F::STAGES * 3 * F::COLUMNS;
        const float      *from   = s.lse + at.bh * P + step * F::COLUMNS;
        tile_fetch<T, K, F::COLUMNS, F::THREADS>(to, x, 3 * p.C, step * F::COLUMNS, p.P);
        tile_fetch<T, K, F::COLUMNS, F::THREADS>(to + F::COLUMNS * F::LD, o, p.C, step * F::COLUMNS,
                                                 p.P);
        for (int i = (int)threadIdx.x; i < 3 * F::COLUMNS / 4; i += F::THREADS) {
            int which = i / (F::COLUMNS / 4), c = i % (F::COLUMNS / 4) * 4;
            cp_async16(values + (which * F::COLUMNS + c), from + which * (s.delta - s.lse) + c,
                       true);
        }
    };

    tile_fetch<T, K, F::ROWS, F::THREADS>(k, x + p.C, 3 * p.C, at.first, at.keys);
    tile_fetch<T, K, F::ROWS, F::THREADS>(v, x + 2 * p.C, 3 * p.C, at.first, at.keys);
    if (F::STAGES == 2 && steps)
        bring(0);
    cp_async_commit();
    /* window[i] = t[first - (padded - 1) + i] */
    if constexpr (GATED)
        bias_window<T, F::THREADS>(p, at.h, window, bwd_window<T, K>(p.P), at.first + 1 - (int)P);

    mma_c dk[1][K / 8] = {}, dv[1][K / 8] = {};
    float scale = ATTENTION_LOG2E / sqrtf((float)K), factor = 1 / sqrtf((float)K);
    for (int step = 0; step < steps; ++step) {
        int ahead = step + F::STAGES - 1;
        if (ahead < steps)
            bring(ahead);
        cp_async_commit();
        cp_async_wait<F::STAGES - 1>();
        __syncthreads();
        shared_ptr<T>     q   = stage + step % F::STAGES * 2 * F::COLUMNS * F::LD;
        shared_ptr<float> lse = rows + step % F::STAGES * 3 * F::COLUMNS, delta = lse + F::COLUMNS,
                          gate = delta + F::COLUMNS;
        mma_c prob[1][NT], ds[1][NT];
        tile_dots<K>(prob, k, row, q);
        tile_dots<K>(ds, v, row, q + F::COLUMNS * F::LD);
        int near = (int)P - 1 + row + mma_row(0) - step * F::COLUMNS - mma_column(0);
#pragma unroll
        for (int n = 0; n < NT; ++n)
#pragma unroll
            for (int e = 0; e < 2; ++e) {
                int   c = 8 * n + mma_column(e);
                float l = lse[c], d = delta[c], g = GATED ? (float)gate[c] : 0.0f;
#pragma unroll
                for (int r = 0; r < 2; ++r) {
                    float a = prob[0][n].x[2 * r + e] * scale - l;
                    if constexpr (GATED)
                        a = fmaf(g, (float)window[near + 8 * (r - n) - e], a);
                    a = at.first + row + mma_row(2 * r) < at.keys ? score_exp2<T>(a) : 0.0f;
                    prob[0][n].x[2 * r + e] = a;
                    ds[0][n].x[2 * r + e]   = a * (ds[0][n].x[2 * r + e] - d);
                }
            }
        tile_accumulate<K>(dv, prob, q + F::COLUMNS * F::LD);
        tile_accumulate<K>(dk, ds, q);
        __syncthreads();
    }
    cp_async_wait<0>();
    __syncthreads();
    float by_k[2] = {factor, factor}, by_v[2] = {1, 1};
    T    *to = dqkv + at.b * p.P * 3 * p.C + at.h * K;
    tile_put<T, K, 1>(k, row, dk, by_k);
    tile_store<T, K, 16>(k, row, to + p.C, 3 * p.C, at.first, p.P, add);
    tile_put<T, K, 1>(v, row, dv, by_v);
    tile_store<T, K, 16>(v, row, to + 2 * p.C, 3 * p.C, at.first, p.P, add);
}

/* --- sums over blocks --- */

enum { SUM_THREADS = 128 };

/* Where the gate's parameters collect their gradients; NULL: not asked for. */
typedef struct gate_gradients {
    float *dw, *dbias, *da;
    int    add_w, add_bias, add_a;
} gate_gradients;

static __device__ __forceinline__ void put(float *to, int add, float x)
{
    *to = add ? *to + x : x;
}

/* lines: (B H tiles, 2 K + 4). Block i < 2 K + 2 sums column i of all lines, and writes it to four
 * rows; block 2 K + 2 + h sums dc of head h's lines. Threads take lines in turn, then fixed order.
 */
static __global__ void __launch_bounds__(SUM_THREADS)
    attention_sums_k(const float *lines, int64_t B, int64_t H, int64_t tiles, int64_t K,
                     gate_gradients g)
{
    ASD_SHARED(float, scratch, SUM_THREADS / WARP);
    int64_t i = blockIdx.x, ld = 2 * K + 4, h = i - (2 * K + 2);
    float   sum = 0;
    if (h < 0) {
        for (int64_t l = threadIdx.x; l < B * H * tiles; l += SUM_THREADS)
            sum += lines[l * ld + i];
    } else {
        for (int64_t l = threadIdx.x; l < B * tiles; l += SUM_THREADS)
            sum += lines[((l / tiles * H + h) * tiles + l % tiles) * ld + 2 * K + 2];
    }
    sum = block_sum<SUM_THREADS>(sum, scratch);
    if (threadIdx.x)
        return;
    if (h >= 0) {
        if (g.da)
            put(g.da + h, g.add_a, sum);
        return;
    }
    for (int64_t r = 0; r < 4; ++r)
        if (i < 2 * K && g.dw)
            put(g.dw + (i / K * 4 + r) * K + i % K, g.add_w, sum);
        else if (i >= 2 * K && g.dbias)
            put(g.dbias + (i - 2 * K) * 4 + r, g.add_bias, sum);
}

/* sums[h][d] = over clips and tiles in order. stretch: (B H tiles, window), of the distances from
 * 1 - rows - first on. One thread a distance, blockIdx.y = head. */
static __global__ void __launch_bounds__(SUM_THREADS)
    attention_dt_k(const float *stretch, float *sums, int64_t B, int64_t H, int64_t P, int tiles,
                   int rows, int window)
{
    int64_t x = (int64_t)blockIdx.x * SUM_THREADS + threadIdx.x, h = blockIdx.y;
    if (x >= 2 * P - 1)
        return;
    float sum = 0;
    for (int64_t b = 0; b < B; ++b)
        for (int tile = 0; tile < tiles; ++tile) {
            int64_t at = x - (P - 1) + rows - 1 + (int64_t)tile * rows;
            if (at >= 0 && at < window)
                sum += stretch[((b * H + h) * tiles + tile) * window + at];
        }
    sums[h * (2 * P - 1) + x] = sum;
}

/* dtable[bucket][h], one thread each: distances of the bucket in order. */
static __global__ void __launch_bounds__(SUM_THREADS)
    attention_table_k(const float *sums, const int32_t *bucket, float *dtable, int64_t H,
                      int64_t buckets, int64_t P, int add)
{
    int64_t i = (int64_t)blockIdx.x * SUM_THREADS + threadIdx.x;
    if (i >= buckets * H)
        return;
    float sum = 0;
    for (int64_t x = 0; x < 2 * P - 1; ++x)
        if (bucket[x] == i / H)
            sum += sums[i % H * (2 * P - 1) + x];
    put(dtable + i, add, sum);
}

/* --- launches --- */

static bwd_scratch scratch_of(const asd_call *c, asd_attention_sizes s, int64_t tiles)
{
    bwd_scratch x;
    int64_t     rows = s.B * s.H * padded(s.P);
    x.lse            = (float *)c->work;
    x.delta          = x.lse + rows;
    x.gate           = x.delta + rows;
    x.lines          = x.gate + rows;
    x.sums           = x.lines + s.B * s.H * tiles * (2 * s.K + 4);
    x.dt             = x.sums + s.H * (2 * s.P - 1);
    return x;
}

template <typename T, int K, int GATED, int TABLE> static asd_status run_dq(const asd_call *c)
{
    typedef bwd_shape<T, K>   F;
    const asd_attention_attr *a     = (const asd_attention_attr *)c->attr;
    asd_attention_sizes       s     = asd_attention_sizes_of(a, c->x[0].shape);
    int                       tiles = (int)(padded(s.P) / F::ROWS), window = bwd_window<T, K>(s.P);
    size_t                    floats = F::FOLD + F::ROW_FLOATS * F::ROWS + (GATED ? window : 0) +
                    (TABLE ? window + F::DIAGONALS : 0);
    return ASD_LAUNCH((attention_dq_k<T, K, GATED, TABLE>), dim3((unsigned)(s.B * s.H * tiles)),
                      dim3(F::THREADS), F::TILES * sizeof(T) + floats * sizeof(float), c->stream,
                      attention_args_of<T>(c), (const T *)c->y.x, (const T *)c->y.g,
                      (const float *)c->saved, (T *)c->x[0].g, (int)c->acc[0],
                      scratch_of(c, s, tiles), tiles);
}

template <typename T, int K, int GATED> static asd_status run_dkv(const asd_call *c)
{
    typedef bwd_shape<T, K> F;
    asd_attention_sizes     s =
        asd_attention_sizes_of((const asd_attention_attr *)c->attr, c->x[0].shape);
    int    tiles  = (int)(padded(s.P) / F::ROWS);
    size_t floats = F::STAGES * 3 * F::COLUMNS + (GATED ? bwd_window<T, K>(s.P) : 0);
    return ASD_LAUNCH((attention_dkv_k<T, K, GATED>), dim3((unsigned)(s.B * s.H * tiles)),
                      dim3(F::THREADS), F::TILES * sizeof(T) + floats * sizeof(float), c->stream,
                      attention_args_of<T>(c), (const T *)c->y.g, (T *)c->x[0].g, (int)c->acc[0],
                      scratch_of(c, s, tiles), tiles);
}

static asd_status run_sums(const asd_call *c, asd_attention_partial x, float *sums)
{
    const asd_attention_attr *a = (const asd_attention_attr *)c->attr;
    asd_attention_sizes       s = asd_attention_sizes_of(a, c->x[0].shape);
    int w = asd_attention_input(a, ASD_ATTENTION_W), b = asd_attention_input(a, ASD_ATTENTION_B),
        h            = asd_attention_input(a, ASD_ATTENTION_A),
        t            = asd_attention_input(a, ASD_ATTENTION_TABLE);
    gate_gradients g = {(float *)c->x[w].g, (float *)c->x[b].g, (float *)c->x[h].g,
                        c->acc[w],          c->acc[b],          c->acc[h]};
    if (g.dw || g.dbias || g.da)
        ASD_TRY(ASD_LAUNCH(attention_sums_k, dim3((unsigned)(2 * s.K + 2 + s.H)), dim3(SUM_THREADS),
                           0, c->stream, (const float *)x.lines, s.B, s.H, (int64_t)x.tiles, s.K,
                           g));
    if (!c->x[t].g)
        return ASD_OK;
    ASD_TRY(ASD_LAUNCH(attention_dt_k, dim3(asd_blocks(2 * s.P - 1, SUM_THREADS), (unsigned)s.H),
                       dim3(SUM_THREADS), 0, c->stream, (const float *)x.dt, sums, s.B, s.H, s.P,
                       x.tiles, x.rows, x.window));
    return ASD_LAUNCH(attention_table_k, dim3(asd_blocks(a->buckets * s.H, SUM_THREADS)),
                      dim3(SUM_THREADS), 0, c->stream, (const float *)sums,
                      asd_attention_cuda_buckets(c), (float *)c->x[t].g, s.H, a->buckets, s.P,
                      (int)c->acc[t]);
}

/* fp32 has one kernel with and without a gate. */
template <typename T, int K> static asd_status run_bwd(const asd_call *c)
{
    const asd_attention_attr *a       = (const asd_attention_attr *)c->attr;
    asd_attention_sizes       s       = asd_attention_sizes_of(a, c->x[0].shape);
    int                       table   = a->gated && c->x[asd_attention_input(a, 0)].g != NULL;
    int                       tiles   = (int)(padded(s.P) / bwd_shape<T, K>::ROWS);
    bwd_scratch               x       = scratch_of(c, s, tiles);
    asd_attention_partial     partial = {x.lines, table ? x.dt : NULL, tiles, bwd_shape<T, K>::ROWS,
                                         bwd_window<T, K>(s.P)};
    if (asd_attention_cuda_bwd_sm90(c)) {
        ASD_TRY(asd_attention_bwd_sm90(c, &partial));
        return a->gated ? run_sums(c, partial, x.sums) : ASD_OK;
    }
    if (table)
        ASD_TRY((run_dq<T, K, 1, 1>(c)));
    else if (a->gated || sizeof(T) == 4)
        ASD_TRY((run_dq<T, K, 1, 0>(c)));
    else if constexpr (sizeof(T) == 2)
        ASD_TRY((run_dq<T, K, 0, 0>(c)));
    if (c->x[0].g) {
        if (a->gated || sizeof(T) == 4)
            ASD_TRY((run_dkv<T, K, 1>(c)));
        else if constexpr (sizeof(T) == 2)
            ASD_TRY((run_dkv<T, K, 0>(c)));
    }
    return a->gated ? run_sums(c, partial, x.sums) : ASD_OK;
}

template <int K> static asd_status run_bwd_of(const asd_call *c)
{
    return c->x[0].dtype == ASD_F32 ? run_bwd<float, K>(c) : run_bwd<bf16, K>(c);
}

extern "C" asd_status attention_bwd_cuda(const asd_call *c)
{
    int64_t K = asd_attention_sizes_of((const asd_attention_attr *)c->attr, c->x[0].shape).K;
    return K == 32 ? run_bwd_of<32>(c) : K == 64 ? run_bwd_of<64>(c) : run_bwd_of<128>(c);
}
