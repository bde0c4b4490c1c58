/* attention_bwd_sm90.cuh - of attention_bwd_sm90.cu: what a block has in shared memory, and the
 * numbers of its queries, before and after the products. */
#ifndef ASD_KERNELS_ATTENTION_BWD_SM90_CUH
#define ASD_KERNELS_ATTENTION_BWD_SM90_CUH

#include "kernels/attention_tile.cuh"

#include "cuda/bulk.cuh"
#include "cuda/wgmma.cuh"

enum {
    HEAD    = 64, /* width */
    WARPS   = 8,
    THREADS = WARP * WARPS,
    KEYS    = 128, /* of a pass */
    QUERIES = 64,  /* of a tile */
    TILE    = QUERIES * HEAD,
    STRIP   = KEYS * HEAD,                  /* k of a pass, v of a pass, ds' of a tile of queries */
    TILES   = STRIP + 2 * STRIP + 4 * TILE, /* elements; k, ds' twice, q and dy twice */
    ROW     = 4,                            /* floats of a query: log-sum, delta, gate, dgate */
    LINE    = 2 * HEAD + 4,                 /* of a head's sums for the gate's parameters */
    PART    = 2 * WARPS * QUERIES,          /* sums of dgate over a warp's keys, of two tiles */
    GATES   = 4,                            /* full twice, empty twice */
    LIMIT   = 227 * 1024 - 128, /* bytes of shared memory that a block can have besides the gates */
};

/* Of a head of P tokens. dq: rows in shared memory; window: distances from 1 - queries on. */
struct head_sizes {
    int tiles, queries, dq, window;
};

static constexpr __host__ __device__ __forceinline__ head_sizes head_sizes_of(int64_t P)
{
    head_sizes s = {};
    s.tiles      = (int)((P + QUERIES - 1) / QUERIES);
    s.queries    = s.tiles * QUERIES;
    s.dq         = (int)((P + 7) / 8) * 8;
    s.window     = s.queries + (int)((P + KEYS - 1) / KEYS) * KEYS;
    return s;
}

static constexpr size_t shared_bytes(int64_t P, int gated)
{
    head_sizes s      = head_sizes_of(P);
    size_t     floats = (size_t)s.dq * HEAD + (size_t)s.queries * ROW;
    if (gated)
        floats += (size_t)(s.window + LINE + PART + WARPS);
    return TILES * sizeof(bf16) + floats * sizeof(float) + WGMMA_ALIGN;
}

static_assert(shared_bytes(ASD_ATTENTION_SM90_TOKENS, 0) <= LIMIT &&
                  shared_bytes(ASD_ATTENTION_SM90_TOKENS + 1, 0) > LIMIT &&
                  shared_bytes(ASD_ATTENTION_SM90_GATED_TOKENS, 1) <= LIMIT &&
                  shared_bytes(ASD_ATTENTION_SM90_GATED_TOKENS + 1, 1) > LIMIT,
              "as many tokens as fit");

/* --- rows: a query's numbers, eight lanes each --- */

/* What the block has in shared memory. dq: float4 of thread, eight queries, tile; see dq_step. */
struct head_shared {
    shared_ptr<bf16>      k, ds, stage;
    shared_ptr<bulk_gate> full, empty;
    shared_ptr<float>     dq, rows, window, fold, part, scratch;
};

/* The gate's two sigmoids of query r, eight values of which this lane has; all lanes of the warp.
 */
static __device__ __forceinline__ void row_halves(const pack<bf16> &q, shared_ptr<float> fold,
                                                  float *ga, float *gb)
{
    int   c = (int)threadIdx.x % 8 * 8;
    float a = 0, b = 0;
#pragma unroll
    for (int k = 0; k < 8; ++k) {
        a = fmaf(pack_get(q, k), (float)fold[c + k], a);
        b = fmaf(pack_get(q, k), (float)fold[HEAD + c + k], b);
    }
    *ga = gate_sigmoid(group_sum<8>(a) + fold[2 * HEAD]);
    *gb = gate_sigmoid(group_sum<8>(b) + fold[2 * HEAD + 1]);
}

/* {log-sum, delta, gate, 0} of every query. A row that no clip has weighs nothing. */
template <int GATED>
static __device__ __forceinline__ void
fill_rows(const attention_args<bf16> &p, const bf16 *y, const bf16 *dy, const float *saved,
          attention_place at, head_sizes s, const head_shared &m)
{
    int c = (int)threadIdx.x % 8 * 8;
    for (int r = (int)threadIdx.x / 8; r < s.queries; r += THREADS / 8) {
        pack<bf16> q     = {};
        float      delta = 0, gate = 0;
        if (r < p.P) {
            int64_t    from = (at.b * p.P + r) * p.C + at.h * HEAD + c;
            pack<bf16> u = load16(y + from), v = load16(dy + from);
            if constexpr (GATED)
                q = load16(p.qkv + (at.b * p.P + r) * 3 * p.C + at.h * HEAD + c);
#pragma unroll
            for (int k = 0; k < 8; ++k)
                delta = fmaf(pack_get(u, k), pack_get(v, k), delta);
        }
        delta = group_sum<8>(delta);
        if constexpr (GATED) {
            float ga, gb;
            row_halves(q, m.fold, &ga, &gb);
            gate = (ga * (gb * p.a[at.h] - 1) + 2) * ATTENTION_LOG2E;
        }
        if (c == 0) {
            pack<float> row = {{r < p.P ? saved[at.bh * p.P + r] : INFINITY, delta, gate, 0}};
            store_shared16<float>(m.rows + r * ROW, row);
        }
    }
}

/* What dgate means for q and for the gate's parameters: rows become {u, v, ..}, of which u fold +
 * v fold' is added to dq, and line gets the head's sums. All threads; a barrier before,
 * and inside it one after which rows may be read. */
static __device__ __forceinline__ void gate_rows(const attention_args<bf16> &p, attention_place at,
                                                 head_sizes s, const head_shared &m, float *line)
{
    int   c = (int)threadIdx.x % 8 * 8, warp = (int)threadIdx.x / WARP;
    float a = p.a[at.h], du[8] = {}, dv[8] = {}, sum[3] = {};
    for (int r = (int)threadIdx.x / 8; r < s.queries; r += THREADS / 8) {
        pack<bf16> q = {};
        float      ga, gb, dgate = 0;
        if (r < p.P) {
            q     = load16(p.qkv + (at.b * p.P + r) * 3 * p.C + at.h * HEAD + c);
            dgate = m.rows[r * ROW + 3];
        }
        row_halves(q, m.fold, &ga, &gb);
        float u = dgate * (gb * a - 1) * ga * (1 - ga), v = dgate * ga * a * gb * (1 - gb);
#pragma unroll
        for (int k = 0; k < 8; ++k) {
            du[k] = fmaf(u, pack_get(q, k), du[k]);
            dv[k] = fmaf(v, pack_get(q, k), dv[k]);
        }
        sum[0] += u;
        sum[1] += v;
        sum[2] += dgate * ga * gb;
        if (c == 0) {
            m.rows[r * ROW]     = u;
            m.rows[r * ROW + 1] = v;
        }
    }
    auto rows_of_warp = [](float x) { /* over its four rows at a time */
                                      x += __shfl_xor_sync(ALL_LANES, x, 8);
                                      return x + __shfl_xor_sync(ALL_LANES, x, 16);
    };
#pragma unroll
    for (int k = 0; k < 8; ++k) {
        float u = rows_of_warp(du[k]), v = rows_of_warp(dv[k]);
        if (mma_lane() < 8) {
            m.scratch[warp * LINE + c + k]        = u;
            m.scratch[warp * LINE + HEAD + c + k] = v;
        }
    }
#pragma unroll
    for (int k = 0; k < 3; ++k) {
        float x = rows_of_warp(sum[k]);
        if (mma_lane() == 0)
            m.scratch[warp * LINE + 2 * HEAD + k] = x;
    }
    __syncthreads();
    for (int i = (int)threadIdx.x; i < 2 * HEAD + 3; i += THREADS) {
        float x = 0;
        for (int w = 0; w < WARPS; ++w)
            x += m.scratch[w * LINE + i];
        line[i] = x;
    }
}

#endif
