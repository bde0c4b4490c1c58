/* attention.cu - attention.c on CUDA, forward. attention_tile.cuh has the products,
 * attention_fwd.cuh what lies between them, attention_bwd.cu the backward; attention_sm90.cu and
 * attention_bwd_sm90.cu are the two for compute capability 9.0.
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
#include "kernels/attention_fwd.cuh"

#include <stdlib.h>
#include <string.h>

/* --- what a plan makes once --- */

/* bucket: of all distances, on the device; NULL without a gate. */
typedef struct attention_state {
    asd_gpu *gpu;
    void    *bucket;
    int      hopper;     /* attention_sm90.cu does the forward */
    int      hopper_bwd; /* attention_bwd_sm90.cu the backward */
} attention_state;

static asd_status choose(const asd_call *c, int64_t K, int *hopper)
{
    const char  *wish   = getenv("ASD_ATTENTION");
    int          method = ((const asd_attention_attr *)c->attr)->method;
    asd_gpu_info info;
    *hopper = 0;
    if (method == ASD_ATTENTION_PORTABLE ||
        (method == ASD_ATTENTION_AUTO && !(wish && !strcmp(wish, "hopper"))))
        return ASD_OK;
    ASD_TRY(asd_gpu_query(asd_stream_gpu(c->stream), &info));
    *hopper = info.major == 9 && info.minor == 0 && c->x[0].dtype == ASD_BF16 && K == 64;
    if (method == ASD_ATTENTION_HOPPER && !*hopper)
        return ASD_FAIL(ASD_E_CONFIG,
                        "attention: %s, heads of width %lld, compute capability %d.%d; the kernel "
                        "for Hopper wants bf16, 64 and 9.0",
                        asd_dtype_name(c->x[0].dtype), (long long)K, info.major, info.minor);
    return ASD_OK;
}

static asd_status upload_buckets(const asd_call *c, const asd_attention_attr *a, int64_t P,
                                 attention_state *state)
{
    size_t     bytes = (size_t)(2 * P - 1) * sizeof(int32_t);
    int32_t   *host  = (int32_t *)malloc(bytes);
    asd_status st;
    if (!host)
        return ASD_FAIL(ASD_E_OOM, "attention: no memory for its buckets");
    asd_attention_fill_buckets(a, P, host);
    st = asd_gpu_alloc(state->gpu, bytes, "attention's buckets", "--batch", &state->bucket);
    if (!st)
        st = asd_stream_upload(c->stream, state->bucket, host, bytes);
    if (!st)
        st = asd_stream_wait(c->stream);
    free(host);
    return st;
}

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
    attention_state *state = (attention_state *)calloc(1, sizeof *state);
    if (!state)
        return ASD_FAIL(ASD_E_OOM, "attention: no memory for its state");
    c->state   = state;
    state->gpu = asd_stream_gpu(c->stream);
    ASD_TRY(choose(c, s.K, &state->hopper));
    state->hopper_bwd = state->hopper && s.P <= (a->gated ? ASD_ATTENTION_SM90_GATED_TOKENS
                                                          : ASD_ATTENTION_SM90_TOKENS);
    return a->gated ? upload_buckets(c, a, s.P, state) : ASD_OK;
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

extern "C" int asd_attention_cuda_bwd_sm90(const asd_call *c)
{
    return ((const attention_state *)c->state)->hopper_bwd;
}

/* --- the kernel --- */

/* MT: 32 rows a warp read each key out of shared memory half as often as 16; wide heads and fp32
 * have no registers for that. */
template <typename T, int K> struct fwd_shape {
    static constexpr int WARPS = 4, THREADS = WARP * WARPS;
    static constexpr int MT      = sizeof(T) == 2 && K <= 64 ? 2 : 1;
    static constexpr int QUERIES = 16 * MT * WARPS;
    static constexpr int KEYS    = K <= 64 ? 64 : 32;
    static constexpr int STAGES  = sizeof(T) == 2 ? 2 : 1;
    /* that share a multiprocessor: more would spill registers */
    static constexpr int BLOCKS = sizeof(T) == 2 ? 2 : K <= 64 ? 4 : 3;
    static constexpr int LD     = tile_row<T, K>::LD;
    static constexpr int TILES  = (QUERIES + 2 * STAGES * KEYS) * LD; /* elements */
    static constexpr int FLOATS = 2 * K + 2 + QUERIES + 2; /* fold, gate; and to whole 16 bytes */
};

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
    int             row      = (int)threadIdx.x / WARP * 16 * F::MT;
    int             steps    = (at.keys + F::KEYS - 1) / F::KEYS;

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
        bias_window<T, F::THREADS>(p, at.h, window, fwd_window(p.P, F::QUERIES, F::KEYS),
                                   1 - F::QUERIES - at.first);
        cp_async_wait<1>();
        __syncthreads();
        fwd_gates<T, K, F::QUERIES, F::THREADS>(p, at.h, q, fold, gates);
        __syncthreads();
#pragma unroll
        for (int i = 0; i < 2 * F::MT; ++i)
            gate[i] = gates[row + mma_lane() / 4 + 8 * i];
    }

    fwd_sums<K, F::MT> o;
    float              scale = ATTENTION_LOG2E / sqrtf((float)K);
    fwd_begin(o);
    for (int step = 0; step < steps; ++step) {
        int ahead = step + F::STAGES - 1;
        if (ahead < steps)
            bring(ahead);
        cp_async_commit(); /* at the end an empty group, so that the count stays right */
        cp_async_wait<F::STAGES - 1>();
        __syncthreads();
        shared_ptr<T> k = stage + step % F::STAGES * 2 * F::KEYS * F::LD;
        mma_c         s[F::MT][F::KEYS / 8];
        tile_dots<K>(s, q, row, k);
        fwd_weigh<T, GATED>(s, window + (step * F::KEYS + F::QUERIES - row - 16 * F::MT + 7), gate,
                            scale, at.keys - step * F::KEYS, o);
        tile_accumulate<K>(o.y, s, k + F::KEYS * F::LD);
        __syncthreads(); /* what comes next overwrites the stage that was read here */
    }
    cp_async_wait<0>();
    __syncthreads(); /* q has been read, also where there are no keys */
    fwd_end(p, at, q, row, steps > 0, o, out, lse);
}

/* --- launches --- */

template <typename T, int K, int GATED> static asd_status run_fwd(const asd_call *c)
{
    typedef fwd_shape<T, K> F;
    attention_args<T>       p      = attention_args_of<T>(c);
    int                     tiles  = (int)((p.P + F::QUERIES - 1) / F::QUERIES);
    size_t                  floats = GATED ? F::FLOATS + fwd_window(p.P, F::QUERIES, F::KEYS) : 0;
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
    if (((const attention_state *)c->state)->hopper)
        return asd_attention_fwd_sm90(c);
    return K == 32 ? run_fwd_of<32>(c) : K == 64 ? run_fwd_of<64>(c) : run_fwd_of<128>(c);
}
