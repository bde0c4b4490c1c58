/* attention.cu - attention.c on CUDA, forward. attention_tile.cuh has the products,
 * attention_bwd.cu the backward.
 *
 * A block has a tile of queries of one head of one clip, and goes over the keys in tiles that
 * cp.async brings two deep, with the running maximum and sum of FlashAttention 2 (arXiv
 * 2307.08691). Scores live in registers. The bias is a vector in shared memory (P + 128 floats at
 * most), the gate a number for each row, made here from the tile of q: what the bias adds to memory
 * traffic is nothing, and to arithmetic two instructions a score.
 *
 * Counts for (33, 496, 12 x 64), bf16: products 4 B H P^2 K = 24.9 GFLOP; q, k, v, y once 100 MB,
 * k and v four times more out of the second-level cache. mma.sync is good for about 60 % of what
 * wgmma is on an H100. Not measured.
 *
 * Numerics: scores in units of log 2, exponentials by exp2f, with bf16 by exp2_fast; p is rounded
 * to bf16 for its product with v, its sum is that of the unrounded; all sums fp32. saved: as
 * the CPU's, in units of log 2.
 */
#include "kernels/attention_tile.cuh"

#include <stdlib.h>

/* MT: 32 rows a warp read each key out of shared memory half as often as 16; wide heads and fp32
 * have no registers for that. */
template <typename T, int K> struct fwd_shape {
    static constexpr int WARPS = 4, THREADS = WARP * WARPS;
    static constexpr int MT      = sizeof(T) == 2 && K <= 64 ? 2 : 1;
    static constexpr int QUERIES = 16 * MT * WARPS;
    static constexpr int KEYS    = K <= 64 ? 64 : 32;
    static constexpr int STAGES  = sizeof(T) == 2 ? 2 : 1;
    static constexpr int BLOCKS  = sizeof(T) == 4 ? 4 : 2; /* that share a multiprocessor */
    static constexpr int LD      = tile_row<T, K>::LD;
    static constexpr int TILES   = (QUERIES + 2 * STAGES * KEYS) * LD; /* elements */
    static constexpr int FLOATS  = 2 * K + 2 + QUERIES + 2; /* fold, gate; and to whole 16 bytes */
};

/* Distances from the last query of a tile to the first key on. */
template <typename T, int K> static __host__ __device__ __forceinline__ int fwd_window(int64_t P)
{
    typedef fwd_shape<T, K> F;
    return (int)((P + F::KEYS - 1) / F::KEYS) * F::KEYS + F::QUERIES;
}

/* One tile of keys is in shared memory: scores, running maximum and sum, and y. window: where lane
 * 0 of the warp finds the distance of its first key to its last row of eight. */
template <typename T, int K, int GATED, typename F = fwd_shape<T, K>>
static __device__ __forceinline__ void
fwd_tile(shared_ptr<T> q, int row, shared_ptr<T> k, shared_ptr<T> v, shared_ptr<float> window,
         const float (&gate)[2 * F::MT], float scale, int keys, float (&max)[2 * F::MT],
         float (&sum)[2 * F::MT], mma_c (&y)[F::MT][K / 8])
{
    constexpr int MT = F::MT, NT = F::KEYS / 8;
    mma_c         s[MT][NT];
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
    tile_accumulate<K>(y, s, v);
}

/* One block a tile of queries of a head; four warps of 16 MT queries. Shared: the queries' tile,
 * which takes y at the end, STAGES tiles of keys and of values, then floats: folded gate, gates,
 * window of the bias. */
template <typename T, int K, int GATED>
static __global__ void __launch_bounds__(fwd_shape<T, K>::THREADS, fwd_shape<T, K>::BLOCKS)
    attention_fwd_k(attention_args<T> p, T *out, float *lse, int tiles)
{
    typedef fwd_shape<T, K> F;
    ASD_DYNAMIC_SHARED(T, q);
    ASD_DYNAMIC_SHARED(float, bytes);
    shared_ptr<T>     stage = q + F::QUERIES * F::LD;
    shared_ptr<float> fold = bytes + F::TILES * (int)sizeof(T) / 4, gates = fold + (2 * K + 2),
                      window = fold + F::FLOATS;
    attention_place at       = attention_here(p, tiles, F::QUERIES);
    const T        *x        = p.qkv + at.b * p.P * 3 * p.C + at.h * K;
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
        bias_window<T, F::THREADS>(p, at.h, window, fwd_window<T, K>(p.P),
                                   1 - F::QUERIES - at.first);
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
    for (int step = 0; step < steps; ++step) {
        int ahead = step + F::STAGES - 1;
        if (ahead < steps)
            bring(ahead);
        cp_async_commit(); /* at the end an empty group, so that the count stays right */
        cp_async_wait<F::STAGES - 1>();
        __syncthreads();
        shared_ptr<T> k = stage + step % F::STAGES * 2 * F::KEYS * F::LD;
        fwd_tile<T, K, GATED>(q, row, k, k + F::KEYS * F::LD,
                              window + (step * F::KEYS + F::QUERIES - row - 16 * F::MT + 7), gate,
                              scale, at.keys - step * F::KEYS, max, sum, y);
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

/* --- what a plan makes once --- */

/* state: the buckets of all distances, on the device. */
typedef struct attention_state {
    asd_gpu *gpu;
    void    *bucket;
} attention_state;

extern "C" asd_status attention_prepare_cuda(asd_call *c)
{
    const asd_attention_attr *a = (const asd_attention_attr *)c->attr;
    asd_attention_sizes       s = asd_attention_sizes_of(a, c->x[0].shape);
    if (s.B * s.H * asd_attention_cuda_tiles(s.P) > INT32_MAX)
        return ASD_FAIL(ASD_E_SHAPE,
                        "attention: %lld clips of %lld tokens and %lld heads on CUDA, "
                        "want fewer than 2^31 tiles of 32 tokens",
                        (long long)s.B, (long long)s.P, (long long)s.H);
    if ((a->gated || c->x[0].dtype == ASD_F32) && s.P > ASD_ATTENTION_CUDA_TOKENS)
        return ASD_FAIL(ASD_E_SHAPE,
                        "attention: %lld tokens on CUDA, in fp32 or with a position bias, want at "
                        "most %d: the distances stay in shared memory",
                        (long long)s.P, ASD_ATTENTION_CUDA_TOKENS);
    if (!a->gated)
        return ASD_OK;
    attention_state *state = (attention_state *)calloc(1, sizeof *state);
    int32_t         *host  = (int32_t *)malloc((size_t)(2 * s.P - 1) * sizeof *host);
    asd_status       st    = ASD_OK;
    size_t           bytes = (size_t)(2 * s.P - 1) * sizeof *host;
    if (!state || !host) {
        free(state);
        free(host);
        return ASD_FAIL(ASD_E_OOM, "attention: no memory for its buckets");
    }
    c->state   = state;
    state->gpu = asd_stream_gpu(c->stream);
    asd_attention_fill_buckets(a, s.P, host);
    st = asd_gpu_alloc(state->gpu, bytes, "attention's buckets", "--batch", &state->bucket);
    if (!st)
        st = asd_stream_upload(c->stream, state->bucket, host, bytes);
    if (!st)
        st = asd_stream_wait(c->stream);
    free(host);
    return st;
}

extern "C" void attention_release_cuda(asd_call *c)
{
    attention_state *state = (attention_state *)c->state;
    if (state)
        asd_gpu_free(state->gpu, state->bucket);
    free(state);
    c->state = NULL;
}

extern "C" const int32_t *asd_attention_cuda_buckets(const asd_call *c)
{
    return c->state ? (const int32_t *)((const attention_state *)c->state)->bucket : NULL;
}

/* --- launches --- */

template <typename T, int K, int GATED> static asd_status run_fwd(const asd_call *c)
{
    typedef fwd_shape<T, K> F;
    attention_args<T>       p      = attention_args_of<T>(c);
    int                     tiles  = (int)((p.P + F::QUERIES - 1) / F::QUERIES);
    size_t                  floats = GATED ? F::FLOATS + fwd_window<T, K>(p.P) : 0;
    return ASD_LAUNCH((attention_fwd_k<T, K, GATED>),
                      dim3((unsigned)(c->x[0].shape.d[0] * p.H * tiles)), dim3(F::THREADS),
                      F::TILES * sizeof(T) + floats * sizeof(float), c->stream, p, (T *)c->y.x,
                      (float *)c->saved, tiles);
}

/* fp32 has one kernel for both, with a bias of zeros where there is none. */
template <int K> static asd_status run_fwd_of(const asd_call *c)
{
    if (c->x[0].dtype == ASD_F32)
        return run_fwd<float, K, 1>(c);
    return ((const asd_attention_attr *)c->attr)->gated ? run_fwd<bf16, K, 1>(c)
                                                        : run_fwd<bf16, K, 0>(c);
}

extern "C" asd_status attention_fwd_cuda(const asd_call *c)
{
    int64_t K = asd_attention_sizes_of((const asd_attention_attr *)c->attr, c->x[0].shape).K;
    return K == 32 ? run_fwd_of<32>(c) : K == 64 ? run_fwd_of<64>(c) : run_fwd_of<128>(c);
}
