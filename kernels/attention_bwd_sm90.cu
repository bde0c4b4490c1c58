/* attention_bwd_sm90.cu - the backward of attention by wgmma, for compute capability 9.0, bf16 and
 * heads of width 64. attention.cu chooses it; attention_bwd.cu calls it and adds up what it leaves.
 *
 * The portable backward pays for its fixed order with two products more: one kernel owns queries,
 * one owns keys, and both make the scores and their exponentials. Here one block has a whole head:
 *
 *   for each 128 keys                  dk, dv in registers, 64 keys a warpgroup
 *     for each 64 queries              q and dy come by bulk copies, two deep
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
 * The right sides are all tiles of 64 columns with the 128-byte swizzle that tile_at and bulk
 * copies make; q', dy' and ds' are read as they lie, dy, q and ds' turned. q and dy have two gates
 * a stage (bulk.cuh): `full`, at which they land, and `empty`, at which each warp says that it has
 * done with them. The next are asked for while s' and dp' are under way, and a barrier is left
 * every two tiles on either side of dq', which is of both warpgroups. k and v, once a pass, come by
 * cp.async, which makes zeros of those behind a clip's length.
 *
 * A multiprocessor, with the bias and 512 tokens: 256 threads (two warpgroups) of up to 255
 * registers: dk, dv, s', dp' 128, v 16, k or p' or ds' as bf16 16; dq' takes the place of s'
 * (ptxas: 255 with a bias, 246 without, nothing spilled). Shared memory 226 KB: dq 128, k 16, ds'
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
#include "kernels/attention_bwd_sm90.cuh"

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

/* k and v of a pass are in shared memory (v in the second strip): dk, dv of the warp's 16 keys, and
 * what the pass adds to dq, dgate and dt (NULL: not asked for, or its place of distance 1 -
 * queries). fetch(use) asks for q and dy of the use-th tile that a stage takes, of all `uses` of
 * all passes; the first is under way. All threads; ends with a barrier that the next pass needs. */
template <int GATED, typename F>
static __device__ __forceinline__ void
pass_over(const head_shared &m, head_sizes s, int pass, int uses, int64_t P, int keys, float mean,
          float *dt, F fetch, mma_c (&dk)[1][8], mma_c (&dv)[1][8])
{
    int   warp = (int)threadIdx.x / WARP, row = 16 * warp;
    float scale = ATTENTION_LOG2E / sqrtf((float)HEAD);
    mma_a v[4];
#pragma unroll
    for (int i = 0; i < 4; ++i)
        v[i] = mma_load_a<HEAD>(m.ds + STRIP, row, 16 * i);
    for (int tile = 0; tile < s.tiles; ++tile) {
        int               use = pass * s.tiles + tile, slot = use % 2;
        shared_ptr<bf16>  q = m.stage + slot * 2 * TILE, dy = q + TILE;
        shared_ptr<float> rows = m.rows + tile * QUERIES * ROW;
        int near = pass * KEYS + row + mma_row(0) + s.queries - 1 - tile * QUERIES - mma_column(0);
        mma_c a[8], b[8]; /* s' and p', dp' and ds' */
        mma_a k[4], p[4], ds[4];
        if (tile && tile % 2 == 0) /* nobody reads ds' of the two before any more */
            __syncthreads();
#pragma unroll
        for (int i = 0; i < 4; ++i)
            k[i] = mma_load_a<HEAD>(m.k, row, 16 * i);
        bulk_wait(m.full + slot, use / 2);
        __syncwarp();
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
        if (threadIdx.x == 0 && use + 1 < uses) {
            if (use)
                bulk_wait(m.empty + (use - 1) % 2, (use - 1) / 2);
            fetch(use + 1);
        }
        __syncwarp();
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
        __syncwarp();
        if (mma_lane() == 0)
            bulk_arrive(m.empty + slot);
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

/* One block a head; two warpgroups. Shared: see the top. qkv, grad: maps of qkv and dy. lines:
 * (B H, LINE); dt: (B H, window), NULL if not asked for; dqkv likewise. */
template <int GATED>
static __global__ void __launch_bounds__(THREADS, 1)
    attention_bwd_hopper_k(const __grid_constant__ bulk_map qkv,
                           const __grid_constant__ bulk_map grad, attention_args<bf16> p,
                           const bf16 *y, const bf16 *dy, const float *saved, bf16 *dqkv, int add,
                           float *lines, float *dt)
{
    ASD_DYNAMIC_SHARED(bf16, shared);
    ASD_DYNAMIC_SHARED(float, bytes);
    ASD_SHARED(bulk_gate, gates, GATES);
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
    m.full               = gates;
    m.empty              = m.full + 2;
    const bf16 *x        = p.qkv + at.b * p.P * 3 * p.C + at.h * HEAD;
    bf16       *to       = dqkv ? dqkv + at.b * p.P * 3 * p.C + at.h * HEAD : NULL;
    int         warp_row = (int)threadIdx.x / WARP * 16;
    float       mean     = 0;

    int passes = (at.keys + KEYS - 1) / KEYS, uses = passes * s.tiles;

    auto fetch = [&](int use) { /* thread 0 */
                                shared_ptr<bf16> stage = m.stage + use % 2 * 2 * TILE;
                                int c = (int)at.h * HEAD, query = use % s.tiles * QUERIES;
                                bulk_expect(m.full + use % 2, 2 * BULK_BYTES);
                                bulk_fetch(stage, qkv, c, query, (int)at.b, m.full + use % 2);
                                bulk_fetch(stage + TILE, grad, c, query, (int)at.b,
                                           m.full + use % 2);
    };

    if (threadIdx.x == 0) {
        for (int i = 0; i < 2; ++i) {
            bulk_gate_make(m.full + i, 1);
            bulk_gate_make(m.empty + i, WARPS);
        }
        bulk_gates_made();
        if (uses)
            fetch(0);
    }
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

    for (int pass = 0; pass < passes; ++pass) {
        mma_c dk[1][8] = {}, dv[1][8] = {};
        tile_fetch<bf16, HEAD, KEYS, THREADS>(m.k, x + p.C, 3 * p.C, pass * KEYS, at.keys);
        tile_fetch<bf16, HEAD, KEYS, THREADS>(m.ds + STRIP, x + 2 * p.C, 3 * p.C, pass * KEYS,
                                              at.keys);
        cp_async_commit();
        cp_async_wait<0>();
        __syncthreads();
        pass_over<GATED>(m, s, pass, uses, p.P, at.keys, mean, dt, fetch, dk, dv);
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
        for (int i = passes * KEYS * 16 + (int)threadIdx.x; i < (int)p.P * 16; i += THREADS)
            store16(to + i / 16 * 3 * p.C + (i / 8 % 2 + 1) * p.C + i % 8 * 8, pack<bf16>{});
    if constexpr (GATED) {
        if (!passes)
            __syncthreads();
        gate_rows(p, at, s, m, lines + (int64_t)at.bh * LINE);
    }
    if (to)
        put_dq<GATED>(p, at, s, m, to, add);
}

template <int GATED> static asd_status run(const asd_call *c, float *lines, float *dt)
{
    attention_args<bf16> p  = attention_args_of<bf16>(c);
    int64_t              B  = c->x[0].shape.d[0];
    const bf16          *dy = (const bf16 *)c->y.g;
    bulk_map             qkv, grad;
    ASD_TRY(asd_bulk_map(&qkv, p.qkv, B, p.P, 3 * p.C, 3 * p.C));
    ASD_TRY(asd_bulk_map(&grad, dy, B, p.P, p.C, p.C));
    return ASD_LAUNCH((attention_bwd_hopper_k<GATED>), dim3((unsigned)(B * p.H)), dim3(THREADS),
                      shared_bytes(p.P, GATED), c->stream, qkv, grad, p, (const bf16 *)c->y.x, dy,
                      (const float *)c->saved, (bf16 *)c->x[0].g, (int)c->acc[0], lines, dt);
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
