/* attention_fwd.cuh - the forward kernel of attention.cu, with products by mma.sync, and of
 * attention_sm90.cu, with products by wgmma; everything between the products is the same. */
#ifndef ASD_KERNELS_ATTENTION_FWD_CUH
#define ASD_KERNELS_ATTENTION_FWD_CUH

#include "kernels/attention_tile.cuh"

#include "cuda/wgmma.cuh"

/* MT: 32 rows a warp read each key out of shared memory half as often as 16; wide heads and fp32
 * have no registers for that. HOPPER: products by wgmma, whose c has 16 rows a warp. */
template <typename T, int K, int HOPPER> struct fwd_shape {
    static constexpr int WARPS = HOPPER ? 8 : 4, THREADS = WARP * WARPS;
    static constexpr int MT      = sizeof(T) == 2 && K <= 64 && !HOPPER ? 2 : 1;
    static constexpr int QUERIES = 16 * MT * WARPS;
    static constexpr int KEYS    = K <= 64 ? 64 : 32;
    static constexpr int STAGES  = sizeof(T) == 2 ? 2 : 1;
    /* that share a multiprocessor: more would spill registers */
    static constexpr int BLOCKS = sizeof(T) == 2 ? 2 : K <= 64 ? 4 : 3;
    static constexpr int LD     = tile_row<T, K>::LD;
    static constexpr int TILES  = (QUERIES + 2 * STAGES * KEYS) * LD; /* elements */
    static constexpr int FLOATS = 2 * K + 2 + QUERIES + 2;  /* fold, gate; and to whole 16 bytes */
    static constexpr int SLACK  = HOPPER ? WGMMA_ALIGN : 0; /* bytes, to put tiles on 1024 */
};

/* Distances from the last query of a tile to the first key on. */
template <typename F> static __host__ __device__ __forceinline__ int fwd_window(int64_t P)
{
    return (int)((P + F::KEYS - 1) / F::KEYS) * F::KEYS + F::QUERIES;
}

/* s = 64 queries of a warpgroup, in registers, times 64 keys. */
static __device__ __forceinline__ void hopper_dots(mma_c (&s)[8], mma_a (&q)[4], shared_ptr<bf16> k)
{
    wgmma_hold(q);
    wgmma_begin();
#pragma unroll
    for (int i = 0; i < 4; ++i)
        wgmma_64x64x16<false>(s, q[i], wgmma_tile_at(k, 0, 16 * i), i > 0);
    wgmma_end(s);
}

/* y += s times 64 values. */
static __device__ __forceinline__ void hopper_accumulate(mma_c (&y)[8], const mma_c (&s)[8],
                                                         shared_ptr<bf16> v)
{
    mma_a p[4];
#pragma unroll
    for (int i = 0; i < 4; ++i)
        p[i] = mma_a_of(s[2 * i], s[2 * i + 1]);
    wgmma_hold(p);
    wgmma_hold(y);
    wgmma_begin();
#pragma unroll
    for (int i = 0; i < 4; ++i)
        wgmma_64x64x16<true>(y, p[i], wgmma_tile_at(v, 16 * i, 0), true);
    wgmma_end(y);
}

/* One tile of keys is in shared memory: scores, running maximum and sum, and y. a: of
 * HOPPER, the queries. window: where lane 0 of the warp finds the distance of its first key to its
 * last row of eight. */
template <typename T, int K, int GATED, int HOPPER, typename F = fwd_shape<T, K, HOPPER>>
static __device__ __forceinline__ void
fwd_tile(shared_ptr<T> q, mma_a (&a)[4], int row, shared_ptr<T> k, shared_ptr<T> v,
         shared_ptr<float> window, const float (&gate)[2 * F::MT], float scale, int keys,
         float (&max)[2 * F::MT], float (&sum)[2 * F::MT], mma_c (&y)[F::MT][K / 8])
{
    constexpr int MT = F::MT, NT = F::KEYS / 8;
    mma_c         s[MT][NT];
    if constexpr (HOPPER)
        hopper_dots(s[0], a, k);
    else
        tile_dots<K>(s, q, row, k);
    [[maybe_unused]] int at = mma_column(0) - mma_row(0);
#pragma unroll
    for (int r = 0; r < 2 * MT; ++r) { /* rows g + 8 r */
        float m = max[r];
#pragma unroll
        for (int n = 0; n < NT; ++n)
#pragma unroll
            for (int e = 0; e < 2; ++e) {
                float &x = s[r / 2][n].x[r % 2 * 2 + e];
                if constexpr (GATED)
                    x = fmaf(x, scale, gate[r] * (float)window[at + 8 * (n - r + 2 * MT - 1) + e]);
                else
                    x *= scale;
                if (8 * n + mma_column(e) >= keys)
                    x = -INFINITY;
                m = fmaxf(m, x);
            }
        m             = group_max<4>(m);
        float smaller = score_exp2<T>(max[r] - m);
        max[r]        = m;
        sum[r] *= smaller;
#pragma unroll
        for (int n = 0; n < NT; ++n)
#pragma unroll
            for (int e = 0; e < 2; ++e) {
                float &x = s[r / 2][n].x[r % 2 * 2 + e];
                x        = score_exp2<T>(x - m);
                sum[r] += x;
            }
#pragma unroll
        for (int c = 0; c < K / 8; ++c)
#pragma unroll
            for (int e = 0; e < 2; ++e)
                y[r / 2][c].x[r % 2 * 2 + e] *= smaller;
    }
    if constexpr (HOPPER)
        hopper_accumulate(y[0], s[0], v);
    else
        tile_accumulate<K>(y, s, v);
}

/* One block a tile of queries of a head; four warps of 16 MT queries. Shared: the queries' tile,
 * which takes y at the end, STAGES tiles of keys and of values, then floats: folded gate, gates,
 * window of the bias. */
template <typename T, int K, int GATED, int HOPPER>
static __global__ void __launch_bounds__(fwd_shape<T, K, HOPPER>::THREADS,
                                         fwd_shape<T, K, HOPPER>::BLOCKS)
    attention_fwd_k(attention_args<T> p, T *out, float *lse, int tiles)
{
    typedef fwd_shape<T, K, HOPPER> F;
    ASD_DYNAMIC_SHARED(T, shared);
    ASD_DYNAMIC_SHARED(float, bytes);
    int skip = 0;
    if constexpr (HOPPER)
        skip = wgmma_skip(shared);
    shared_ptr<T>     q = shared + skip, stage = q + F::QUERIES * F::LD;
    shared_ptr<float> fold  = bytes + (skip + F::TILES) * (int)sizeof(T) / 4,
                      gates = fold + (2 * K + 2), window = fold + F::FLOATS;
    attention_place at  = attention_here(p, tiles, F::QUERIES);
    const T        *x   = p.qkv + at.b * p.P * 3 * p.C + at.h * K;
    int             row = (int)threadIdx.x / WARP * 16 * F::MT, g = mma_lane() / 4;
    int             steps = (at.keys + F::KEYS - 1) / F::KEYS;

    auto bring = [&](int step) {
        shared_ptr<T> to = stage + step % F::STAGES * 2 * F::KEYS * F::LD;
        tile_fetch<T, K, F::KEYS, F::THREADS>(to, x + p.C, 3 * p.C, step * F::KEYS, at.keys);
        tile_fetch<T, K, F::KEYS, F::THREADS>(to + F::KEYS * F::LD, x + 2 * p.C, 3 * p.C,
                                              step * F::KEYS, at.keys);
    };

    tile_fetch<T, K, F::QUERIES, F::THREADS>(q, x, 3 * p.C, at.first, p.P);
    cp_async_commit();
    if (F::STAGES == 2 && steps)
        bring(0);
    cp_async_commit();
    float gate[2 * F::MT] = {};
    if constexpr (GATED) {
        if (p.table)
            gate_fold<T, K, F::THREADS>(p, fold);
        bias_window<T, F::THREADS>(p, at.h, window, fwd_window<F>(p.P), 1 - F::QUERIES - at.first);
        cp_async_wait<1>();
        __syncthreads();
        for (int r = (int)threadIdx.x; r < F::QUERIES; r += F::THREADS) {
            float ga = 0, gb = 0, c = 0;
            if (p.table) {
                gate_halves<T, K>(q, r, fold, &ga, &gb);
                c = p.a[at.h];
            }
            gates[r] = (ga * (gb * c - 1) + 2) * ATTENTION_LOG2E;
        }
        __syncthreads();
#pragma unroll
        for (int i = 0; i < 2 * F::MT; ++i)
            gate[i] = gates[row + g + 8 * i];
    }

    mma_c y[F::MT][K / 8] = {};
    float max[2 * F::MT], sum[2 * F::MT] = {}, by[2 * F::MT];
    float scale = ATTENTION_LOG2E / sqrtf((float)K);
#pragma unroll
    for (int i = 0; i < 2 * F::MT; ++i)
        max[i] = -INFINITY;
    mma_a a[4] = {};
    if constexpr (HOPPER) {
        cp_async_wait<1>();
        __syncthreads();
#pragma unroll
        for (int i = 0; i < 4; ++i)
            a[i] = mma_load_a<K>(q, row, 16 * i);
    }
    for (int step = 0; step < steps; ++step) {
        int ahead = step + F::STAGES - 1;
        if (ahead < steps)
            bring(ahead);
        cp_async_commit(); /* at the end an empty group, so that the count stays right */
        cp_async_wait<F::STAGES - 1>();
        if constexpr (HOPPER)
            wgmma_filled();
        __syncthreads();
        shared_ptr<T> k = stage + step % F::STAGES * 2 * F::KEYS * F::LD;
        fwd_tile<T, K, GATED, HOPPER>(q, a, row, k, k + F::KEYS * F::LD,
                                      window + (step * F::KEYS + F::QUERIES - row - 16 * F::MT + 7),
                                      gate, scale, at.keys - step * F::KEYS, max, sum, y);
        __syncthreads(); /* what comes next overwrites the stage that was read here */
    }
    cp_async_wait<0>();
    __syncthreads(); /* q has been read, also where there are no keys */
#pragma unroll
    for (int i = 0; i < 2 * F::MT; ++i) {
        float all = group_sum<4>(sum[i]);
        int   r   = at.first + row + g + 8 * i;
        by[i]     = steps ? 1 / all : 0;
        if (r < p.P && mma_lane() % 4 == 0)
            lse[at.bh * p.P + r] = steps ? max[i] + log2f(all) : 0.0f;
    }
    tile_put<T, K, F::MT>(q, row, y, by);
    tile_store<T, K, 16 * F::MT>(q, row, out + at.b * p.P * p.C + at.h * K, p.C, at.first, p.P, 0);
}

template <typename T, int K, int GATED, int HOPPER> static asd_status run_fwd(const asd_call *c)
{
    typedef fwd_shape<T, K, HOPPER> F;
    attention_args<T>               p      = attention_args_of<T>(c);
    int                             tiles  = (int)((p.P + F::QUERIES - 1) / F::QUERIES);
    size_t                          floats = GATED ? F::FLOATS + fwd_window<F>(p.P) : 0;
    return ASD_LAUNCH((attention_fwd_k<T, K, GATED, HOPPER>),
                      dim3((unsigned)(c->x[0].shape.d[0] * p.H * tiles)), dim3(F::THREADS),
                      F::TILES * sizeof(T) + floats * sizeof(float) + F::SLACK, c->stream, p,
                      (T *)c->y.x, (float *)c->saved, tiles);
}

#endif
