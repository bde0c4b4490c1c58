/* attention_bwd_sm90.cu - the backward of attention by wgmma, for compute capability 9.0, bf16 and
 * heads of width 64. attention.cu chooses it; attention_bwd.cu calls it and adds up what it leaves.
 *
 * The portable backward pays for its fixed order with two products more: one kernel owns queries,
 * one owns keys, and both make the scores and their exponentials. Here one block has a whole head:
 *
 *   for each 128 keys                  dk, dv in registers, 64 keys a warpgroup
 *     for each 64 queries              q and dy come by cp.async, two deep
 *       s' = k q'    dp' = v dy'       left sides in registers, v's for all queries
 *       p', ds'                        in registers; ds' also to shared memory, 16 KB
 *       dv += p' dy    dk += ds' q     left sides p', ds' in registers
 *     every two tiles of queries       dq' += k' ds', 128 keys at once; a warpgroup has a tile
 *
 * Five products, one exponential a score, and dq (512 queries in fp32: 128 KB) stays in shared
 * memory until the last key: each value of it belongs to one thread, which adds in the order of the
 * keys. So there are no atomics and no partial sums in global memory, and the bits are the same in
 * every run. What would do five products without all that shared memory costs more: partial dq in
 * global memory is 400 MB of traffic for the counts below, atomics are not deterministic, and a
 * semaphore that orders them makes blocks wait. The price: clips of at most 512 tokens (544 without
 * a bias; longer ones take the portable kernels), one block a multiprocessor, and as many blocks as
 * heads, so small batches leave multiprocessors idle (33 clips of 12 heads are 3 on each of 132).
 *
 * The right sides are all tiles of 64 columns with the 128-byte swizzle that tile_at and cp.async
 * make; q', dy' and ds' are read as they lie, dy, q and ds' turned. No bulk copies (TMA): cp.async
 * is 16 KB every 5 products of 128 x 64 x 64 here, and the shim runs it; mbarriers it has not.
 *
 * A multiprocessor, with the bias and 512 tokens: 256 threads (two warpgroups) of up to 255
 * registers: dk, dv, s', dp' 128, v 16, k or p' or ds' as bf16 16; dq' takes the place of s'
 * (ptxas: 255 with a bias, 248 without, nothing spilled). Shared memory 226 KB: dq 128, k 16, ds'
 * 32, q and dy 32, and floats: {log-sum, delta, gate, dgate} of a query 8, window of the bias 4,
 * sums of dgate 4.
 *
 * Counts for (33, 496, 12 x 64): 10 B H P^2 K = 62 GFLOP, 66 with the padding to 512; 97 million
 * scores; reads of q, k, v, y, dy and writes of dq, dk, dv 201 MB once, q and dy three times more
 * out of the second-level cache. For each 128 x 64 scores the tensor cores need 1280 clocks at
 * their peak, exponentials 512, and the four schedulers 1500 for the 740 instructions of each warp
 * (1050 and 520 without the bias): 350 TFLOP/s are 3250 clocks. dp' runs behind the exponentials,
 * the other warpgroup's products behind the rest. (ptxas puts products one after the other where
 * registers that one of them reads are written while another is under way: so dv waits for ds.) Not
 * measured.
 *
 * Numerics: as attention_bwd.cu, but delta is not put right: that takes the sum of a row of ds over
 * all keys before dk is made. Each row of ds adds up to some -e, the rounding of y and p; dq, dk
 * and dt carry e p, as in FlashAttention 2. The gate's gradient, sum of ds t over the keys, would
 * carry e times the mean of t: t is taken from its mean, which changes nothing else. dt is summed
 * from ds as rounded to bf16 for its products.
 *
 * Not run on a GPU yet: see attention_sm90.cu. Used by: attention_bwd.cu, where a plan asks for it.
 */
#include "kernels/attention_tile.cuh"

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
    LIMIT   = 227 * 1024,                   /* bytes of shared memory that a block can have */
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
    shared_ptr<bf16>  k, ds, stage;
    shared_ptr<float> dq, rows, window, fold, part, scratch;
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

/* --- one tile of queries against the pass's keys --- */

/* s' in, p' out, 0 where a row's key does not count. rows: of the tile's queries. near: where in
 * the window row g meets column 2 t. */
template <int GATED>
static __device__ __forceinline__ void weigh(mma_c (&s)[8], shared_ptr<float> rows,
                                             shared_ptr<float> window, int near, float scale,
                                             int keys)
{
#pragma unroll
    for (int n = 0; n < 8; ++n)
#pragma unroll
        for (int e = 0; e < 2; ++e) {
            pack<float> of = load_shared16<float>(rows + (8 * n + mma_column(e)) * ROW);
#pragma unroll
            for (int r = 0; r < 2; ++r) {
                float x = fmaf(s[n].x[2 * r + e], scale, -of.v[0]);
                if constexpr (GATED)
                    x = fmaf(of.v[2], (float)window[near + 8 * (r - n) - e], x);
                s[n].x[2 * r + e] = mma_row(2 * r) < keys ? score_exp2<bf16>(x) : 0.0f;
            }
        }
}

/* Sums over the eight g of one warp: x[n][e] of 16 columns becomes that of column 8 g + 2 t + e,
 * half as many values at each step. */
static __device__ __forceinline__ void sum_columns(const float (&x)[8][2], float (&sum)[2])
{
    float a[4][2], b[2][2];
    int   l    = mma_lane();
    auto  fold = [&](float low, float high, int bit) {
        float keep = l & bit ? high : low, give = l & bit ? low : high;
        return keep + __shfl_xor_sync(ALL_LANES, give, bit);
    };
#pragma unroll
    for (int e = 0; e < 2; ++e) {
#pragma unroll
        for (int n = 0; n < 4; ++n)
            a[n][e] = fold(x[n][e], x[n + 4][e], 16);
#pragma unroll
        for (int n = 0; n < 2; ++n)
            b[n][e] = fold(a[n][e], a[n + 2][e], 8);
        sum[e] = fold(b[0][e], b[1][e], 4);
    }
}

/* dp' in, ds' = p' (dp' - delta) out, and in a strip of shared memory; p' and ds' as left sides of
 * products. part: of the warp, sums of ds' (t - mean) over its keys. */
template <int GATED>
static __device__ __forceinline__ void
slope(const mma_c (&p)[8], mma_c (&ds)[8], mma_a (&left_p)[4], mma_a (&left_ds)[4],
      shared_ptr<float> rows, shared_ptr<bf16> strip, int row, shared_ptr<float> window, int near,
      float mean, shared_ptr<float> part)
{
#pragma unroll
    for (int n = 0; n < 8; ++n)
#pragma unroll
        for (int e = 0; e < 2; ++e) {
            float delta    = rows[(8 * n + mma_column(e)) * ROW + 1];
            ds[n].x[e]     = p[n].x[e] * (ds[n].x[e] - delta);
            ds[n].x[2 + e] = p[n].x[2 + e] * (ds[n].x[2 + e] - delta);
        }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        left_p[i]  = mma_a_of(p[2 * i], p[2 * i + 1]);
        left_ds[i] = mma_a_of(ds[2 * i], ds[2 * i + 1]);
        mma_store_a<HEAD>(strip, row, 16 * i, left_ds[i]);
    }
    if constexpr (GATED) {
        float x[8][2], sum[2];
#pragma unroll
        for (int n = 0; n < 8; ++n)
#pragma unroll
            for (int e = 0; e < 2; ++e)
                x[n][e] = ds[n].x[e] * (window[near - 8 * n - e] - mean) +
                          ds[n].x[2 + e] * (window[near + 8 - 8 * n - e] - mean);
        sum_columns(x, sum);
        part[8 * (mma_lane() / 4) + mma_column(0)] = sum[0];
        part[8 * (mma_lane() / 4) + mma_column(1)] = sum[1];
    }
}

/* --- two tiles of queries, whose ds' are in shared memory --- */

/* dq' of the warpgroup's tile: += k' ds' over a pass's keys. A thread's values of eight queries lie
 * together: rows (dims) g, g + 8 of its warp's 16, columns (queries) 2 t, 2 t + 1 of the eight. */
static __device__ __forceinline__ void dq_step(const head_shared &m, int tile, int pass, int64_t P)
{
    int   lane = (int)threadIdx.x % 128, dims = lane / WARP * 16;
    mma_c d[8] = {};
    mma_a k[8];
#pragma unroll
    for (int i = 0; i < 8; ++i)
        k[i] = mma_load_a_trans<HEAD>(m.k, 16 * i, dims);
    wgmma_hold(k);
    wgmma_hold(d);
    wgmma_begin();
#pragma unroll
    for (int i = 0; i < 8; ++i)
        wgmma_64x64x16<true>(d, k[i], wgmma_tile_at(m.ds + tile % 2 * STRIP, 16 * i, 0), i > 0);
    wgmma_end(d);
#pragma unroll
    for (int n = 0; n < 8; ++n) {
        if (tile * QUERIES + 8 * n >= P)
            break;
        shared_ptr<float> to  = m.dq + ((tile * 8 + n) * 128 + lane) * 4;
        pack<float>       sum = {};
        if (pass)
            sum = load_shared16<float>(to);
#pragma unroll
        for (int v = 0; v < 4; ++v)
            sum.v[v] += d[n].x[v];
        store_shared16<float>(to, sum);
    }
}

/* dgate of `count` tiles from `tile` on: over the warps, in order. */
static __device__ __forceinline__ void dgate_step(const head_shared &m, int tile, int count)
{
    int i = (int)threadIdx.x, which = i / QUERIES;
    if (which >= count)
        return;
    float sum = 0;
    for (int w = 0; w < WARPS; ++w)
        sum += m.part[(which * WARPS + w) * QUERIES + i % QUERIES];
    m.rows[(tile * QUERIES + i) * ROW + 3] += sum;
}

/* dt[i] += gate ds' along diagonal i of 128 keys and `count` tiles of queries, rows: theirs. first:
 * which distance i stands for key 0 and query 0. Four lanes share a diagonal, each with 16 queries
 * of a tile: eight neighbouring diagonals are in eight neighbouring rows, which are in different
 * banks, and the four lanes read different words of a row's chunk. */
static __device__ __forceinline__ void dt_step(shared_ptr<bf16> ds, shared_ptr<float> rows,
                                               float *dt, int first, int count)
{
    int l = mma_lane(), quarter = l / 8;
#pragma unroll 1
    for (int i = 0; i < 2 * KEYS; i += 8 * WARPS) {
        int   d     = i + (int)threadIdx.x / WARP * 8 + l % 8 - (KEYS - 1);
        bool  owner = quarter == 0 && first + d >= 0;
        float sum = 0, before = owner ? dt[first + d] : 0.0f;
        for (int tile = 0; tile < count; ++tile)
#pragma unroll 4
            for (int j = 0; j < 16; ++j) {
                int column = 16 * quarter + (j + 2 * quarter) % 16, query = tile * QUERIES + column;
                int row = query + d;
                if (row >= 0 && row < KEYS)
                    sum = fmaf(rows[query * ROW + 2],
                               to_f32((bf16)ds[tile * STRIP + tile_at<HEAD>(row, column)]), sum);
            }
        sum += __shfl_xor_sync(ALL_LANES, sum, 8);
        sum += __shfl_xor_sync(ALL_LANES, sum, 16);
        if (owner)
            dt[first + d] = before + sum * (1 / ATTENTION_LOG2E);
    }
}

/* --- a head --- */

/* k and v of a pass, and its first tile of queries, are in shared memory (v in the second strip):
 * dk, dv of the warp's 16 keys, and what the pass adds to dq, dgate and dt (NULL: not asked for, or
 * its place of distance 1 - queries). bring(tile) fetches q and dy. All threads; ends with a
 * barrier that the next pass needs. */
template <int GATED, typename F>
static __device__ __forceinline__ void pass_over(const head_shared &m, head_sizes s, int pass,
                                                 int64_t P, int keys, float mean, float *dt,
                                                 F bring, mma_c (&dk)[1][8], mma_c (&dv)[1][8])
{
    int   warp = (int)threadIdx.x / WARP, row = 16 * warp;
    float scale = ATTENTION_LOG2E / sqrtf((float)HEAD);
    mma_a v[4];
#pragma unroll
    for (int i = 0; i < 4; ++i)
        v[i] = mma_load_a<HEAD>(m.ds + STRIP, row, 16 * i);
    for (int tile = 0; tile < s.tiles; ++tile) {
        shared_ptr<bf16>  q = m.stage + tile % 2 * 2 * TILE, dy = q + TILE;
        shared_ptr<float> rows = m.rows + tile * QUERIES * ROW;
        int near = pass * KEYS + row + mma_row(0) + s.queries - 1 - tile * QUERIES - mma_column(0);
        mma_c a[8], b[8]; /* s' and p', dp' and ds' */
        mma_a k[4], p[4], ds[4];
        if (tile) { /* q and dy of `tile` are there, and nobody reads those before any more */
            cp_async_wait<0>();
            wgmma_filled();
            __syncthreads();
        }
        if (tile + 1 < s.tiles)
            bring(tile + 1);
        cp_async_commit();
#pragma unroll
        for (int i = 0; i < 4; ++i)
            k[i] = mma_load_a<HEAD>(m.k, row, 16 * i);
        wgmma_hold(k);
        wgmma_hold(v);
        wgmma_begin();
#pragma unroll
        for (int i = 0; i < 4; ++i)
            wgmma_64x64x16<false>(a, k[i], wgmma_tile_at(q, 0, 16 * i), i > 0);
        wgmma_commit();
#pragma unroll
        for (int i = 0; i < 4; ++i)
            wgmma_64x64x16<false>(b, v[i], wgmma_tile_at(dy, 0, 16 * i), i > 0);
        wgmma_commit();
        wgmma_wait<1>();
        wgmma_hold(a);
        weigh<GATED>(a, rows, m.window, near, scale, keys - pass * KEYS - row);
        wgmma_wait<0>();
        wgmma_hold(b);
        slope<GATED>(a, b, p, ds, rows, m.ds + tile % 2 * STRIP, row, m.window, near, mean,
                     m.part + (tile % 2 * WARPS + warp) * QUERIES);
        wgmma_hold(p);
        wgmma_hold(ds);
        wgmma_hold(dk[0]);
        wgmma_hold(dv[0]);
        wgmma_begin();
#pragma unroll
        for (int i = 0; i < 4; ++i)
            wgmma_64x64x16<true>(dv[0], p[i], wgmma_tile_at(dy, 16 * i, 0), true);
#pragma unroll
        for (int i = 0; i < 4; ++i)
            wgmma_64x64x16<true>(dk[0], ds[i], wgmma_tile_at(q, 16 * i, 0), true);
        wgmma_commit();
        wgmma_wait<0>();
        wgmma_hold(dk[0]);
        wgmma_hold(dv[0]);
        if (tile % 2 == 0 && tile + 1 < s.tiles)
            continue;
        int first = tile / 2 * 2, own = first + (int)threadIdx.x / 128;
        wgmma_filled(); /* ds', by ordinary stores */
        __syncthreads();
        if (own <= tile)
            dq_step(m, own, pass, P);
        if constexpr (GATED)
            dgate_step(m, first, tile - first + 1);
        if (dt)
            dt_step(m.ds, m.rows + first * QUERIES * ROW, dt,
                    pass * KEYS - first * QUERIES + s.queries - 1, tile - first + 1);
    }
    __syncthreads();
}

/* dq (of the head, rows 3 C apart) of every query, through the stages. */
template <int GATED>
static __device__ __forceinline__ void put_dq(const attention_args<bf16> &p, attention_place at,
                                              head_sizes s, const head_shared &m, bf16 *dq, int add)
{
    int   lane = (int)threadIdx.x % 128, group = (int)threadIdx.x / 128, dims = lane / WARP * 16;
    float factor        = 1 / sqrtf((float)HEAD);
    shared_ptr<bf16> to = m.stage + group * TILE;
    for (int first = 0; first < s.tiles; first += 2) {
        int tile = first + group;
#pragma unroll
        for (int n = 0; n < 8; ++n) {
            if (tile * QUERIES + 8 * n >= p.P)
                break;
            pack<float> sum = {};
            if (at.keys)
                sum = load_shared16<float>(m.dq + ((tile * 8 + n) * 128 + lane) * 4);
#pragma unroll
            for (int v = 0; v < 4; ++v) {
                int   column = 8 * n + mma_column(v), dim = dims + mma_row(v);
                float d = sum.v[v] * factor;
                if constexpr (GATED) {
                    shared_ptr<float> of = m.rows + (tile * QUERIES + column) * ROW;
                    d += of[0] * m.fold[dim] + of[1] * m.fold[HEAD + dim];
                }
                to[tile_at<HEAD>(column, dim)] = from_f32<bf16>(d);
            }
        }
        __syncthreads();
        tile_store<bf16, HEAD, 16>(to, dims, dq, 3 * p.C, tile * QUERIES, p.P, add);
        __syncthreads();
    }
}

/* One block a head; two warpgroups. Shared: see the top. lines: (B H, LINE); dt: (B H, window),
 * NULL if not asked for; dqkv likewise. */
template <int GATED>
static __global__ void __launch_bounds__(THREADS, 1)
    attention_bwd_hopper_k(attention_args<bf16> p, const bf16 *y, const bf16 *dy,
                           const float *saved, bf16 *dqkv, int add, float *lines, float *dt)
{
    ASD_DYNAMIC_SHARED(bf16, shared);
    ASD_DYNAMIC_SHARED(float, bytes);
    int             skip = wgmma_skip(shared);
    attention_place at   = attention_here(p, 1, 0);
    head_sizes      s    = head_sizes_of(p.P);
    head_shared     m;
    m.k                  = shared + skip;
    m.ds                 = m.k + STRIP;
    m.stage              = m.ds + 2 * STRIP;
    m.scratch            = bytes + (skip + STRIP) / 2; /* once ds' are not needed any more */
    m.dq                 = bytes + (skip + TILES) / 2;
    m.rows               = m.dq + s.dq * HEAD;
    m.fold               = m.rows + s.queries * ROW;
    m.part               = m.fold + LINE;
    m.window             = m.part + PART + WARPS;
    const bf16 *x        = p.qkv + at.b * p.P * 3 * p.C + at.h * HEAD;
    const bf16 *o        = dy + at.b * p.P * p.C + at.h * HEAD;
    bf16       *to       = dqkv ? dqkv + at.b * p.P * 3 * p.C + at.h * HEAD : NULL;
    int         warp_row = (int)threadIdx.x / WARP * 16;
    float       mean     = 0;

    auto bring = [&](int tile) {
        shared_ptr<bf16> stage = m.stage + tile % 2 * 2 * TILE;
        tile_fetch<bf16, HEAD, QUERIES, THREADS>(stage, x, 3 * p.C, tile * QUERIES, p.P);
        tile_fetch<bf16, HEAD, QUERIES, THREADS>(stage + TILE, o, p.C, tile * QUERIES, p.P);
    };

    if (dt)
        dt += (int64_t)at.bh * s.window;
    if constexpr (GATED) {
        gate_fold<bf16, HEAD, THREADS>(p, m.fold);
        bias_window<bf16, THREADS>(p, at.h, m.window, s.window, 1 - s.queries);
        for (int i = (int)threadIdx.x; i < s.window; i += THREADS) { /* as this thread wrote them */
            mean += m.window[i];
            if (dt)
                dt[i] = 0;
        }
        mean = block_sum<THREADS>(mean, m.part + PART) / (float)(2 * p.P - 1);
    }
    fill_rows<GATED>(p, y, dy, saved, at, s, m);

    int pass = 0;
    for (; pass * KEYS < at.keys; ++pass) {
        mma_c dk[1][8] = {}, dv[1][8] = {};
        tile_fetch<bf16, HEAD, KEYS, THREADS>(m.k, x + p.C, 3 * p.C, pass * KEYS, at.keys);
        tile_fetch<bf16, HEAD, KEYS, THREADS>(m.ds + STRIP, x + 2 * p.C, 3 * p.C, pass * KEYS,
                                              at.keys);
        bring(0);
        cp_async_commit();
        cp_async_wait<0>();
        wgmma_filled();
        __syncthreads();
        pass_over<GATED>(m, s, pass, p.P, at.keys, mean, dt, bring, dk, dv);
        if (to) {
            float factor = 1 / sqrtf((float)HEAD), by_k[2] = {factor, factor}, by_v[2] = {1, 1};
            tile_put<bf16, HEAD, 1>(m.k, warp_row, dk, by_k);
            tile_store<bf16, HEAD, 16>(m.k, warp_row, to + p.C, 3 * p.C, pass * KEYS, p.P, add);
            tile_put<bf16, HEAD, 1>(m.ds, warp_row, dv, by_v);
            tile_store<bf16, HEAD, 16>(m.ds, warp_row, to + 2 * p.C, 3 * p.C, pass * KEYS, p.P,
                                       add);
        }
        __syncthreads();
    }
    if (to && !add) /* keys that no pass had */
        for (int i = pass * KEYS * 16 + (int)threadIdx.x; i < (int)p.P * 16; i += THREADS)
            store16(to + i / 16 * 3 * p.C + (i / 8 % 2 + 1) * p.C + i % 8 * 8, pack<bf16>{});
    if constexpr (GATED) {
        if (!pass)
            __syncthreads();
        gate_rows(p, at, s, m, lines + (int64_t)at.bh * LINE);
    }
    if (to)
        put_dq<GATED>(p, at, s, m, to, add);
}

template <int GATED> static asd_status run(const asd_call *c, float *lines, float *dt)
{
    attention_args<bf16> p = attention_args_of<bf16>(c);
    return ASD_LAUNCH((attention_bwd_hopper_k<GATED>), dim3((unsigned)(c->x[0].shape.d[0] * p.H)),
                      dim3(THREADS), shared_bytes(p.P, GATED), c->stream, p, (const bf16 *)c->y.x,
                      (const bf16 *)c->y.g, (const float *)c->saved, (bf16 *)c->x[0].g,
                      (int)c->acc[0], lines, dt);
}

extern "C" asd_status asd_attention_bwd_sm90(const asd_call *c, asd_attention_partial *to)
{
    const asd_attention_attr *a = (const asd_attention_attr *)c->attr;
    head_sizes                s = head_sizes_of(c->x[0].shape.d[1]);
    to->tiles                   = 1;
    to->rows                    = s.queries;
    to->window                  = s.window;
    return a->gated ? run<1>(c, to->lines, to->dt) : run<0>(c, to->lines, NULL);
}
