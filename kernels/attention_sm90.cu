/* attention_sm90.cu - the forward of attention by wgmma and bulk copies, for compute capability
 * 9.0, bf16 and heads of width 64. attention.cu chooses it.
 *
 * The portable kernel in all that is arithmetic. A block is two warpgroups of 64 queries: q stays
 * in registers, keys and values are read by the tensor cores out of shared memory, once for 64
 * queries where mma.sync reads them for 32. One thread fetches the tiles of keys and values by bulk
 * copies, STAGES deep, and each tile has two gates: `full`, at which it lands, and `empty`, at
 * which every warp says that it has done with it. So no barrier holds the warpgroups in step, and
 * nobody spends instructions on copying. A tile is fetched over the one that was read LAG steps
 * ago: that far a warpgroup may fall behind the other before it is waited for.
 *
 * Products and softmax of one warpgroup take turns. Exponentials cost as many clocks as products
 * (64-wide heads), so it takes the other three warpgroups of the multiprocessor (two blocks of
 * 2 x 128 threads with 128 registers, 86 KB of shared memory each) to fill the gaps; nothing keeps
 * them in step, and they drift apart by themselves.
 *
 * Counts for (33, 496, 12 x 64): as attention.cu; a block's keys and values come out of the
 * second-level cache, 201 MB in all, which at 5 TB/s is 40 us beside 55 us of products at 450
 * TFLOP/s.
 *
 * Not measured, and not run on a GPU yet: the shim runs this kernel with wgmma and bulk copies
 * emulated, so that indices, masks, waits and gates are proven, but not the instructions and
 * descriptors of wgmma.cuh and bulk.cuh. Until a GPU has, it runs only where it is asked for (op.h,
 * ASD_ATTENTION_HOPPER).
 */
#include "kernels/attention_fwd.cuh"

#include "cuda/bulk.cuh"
#include "cuda/wgmma.cuh"

enum {
    HEAD    = 64, /* width */
    WARPS   = 8,
    THREADS = WARP * WARPS,
    QUERIES = 16 * WARPS,
    KEYS    = BULK_ROWS,
    TILE    = KEYS * HEAD,
    STAGES  = 4, /* of a tile of keys and one of values */
    LAG     = 2,
    TILES   = QUERIES * HEAD + STAGES * 2 * TILE, /* elements */
    FLOATS  = 2 * HEAD + 2 + QUERIES + 2,         /* fold, gate; and to whole 16 bytes */
};

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

/* Values that do not count weigh 0, which is not enough should they be no numbers: zeros. All
 * threads; they all have waited for the tile. */
static __device__ __forceinline__ void clear_rows(shared_ptr<bf16> v, int from)
{
    for (int i = from * 8 + (int)threadIdx.x; i < KEYS * 8; i += THREADS)
        store_shared16<bf16>(v + tile_at<HEAD>(i / 8, i % 8 * 8), pack<bf16>{});
    wgmma_filled();
    __syncthreads();
}

/* One block a tile of queries of a head. Shared: the queries' tile, which takes y at the end,
 * STAGES tiles of keys and of values, then floats: folded gate, gates, window of the bias. map: of
 * qkv, (B, P, 3 C). */
template <int GATED>
static __global__ void __launch_bounds__(THREADS, 2)
    attention_fwd_hopper_k(const __grid_constant__ bulk_map map, attention_args<bf16> p, bf16 *out,
                           float *lse, int tiles)
{
    ASD_DYNAMIC_SHARED(bf16, shared);
    ASD_DYNAMIC_SHARED(float, bytes);
    ASD_SHARED(bulk_gate, gate_of, 2 * STAGES + 1);
    int               skip = wgmma_skip(shared);
    shared_ptr<bf16>  q = shared + skip, stage = q + QUERIES * HEAD;
    shared_ptr<float> fold = bytes + (skip + TILES) / 2, gates = fold + (2 * HEAD + 2),
                      window   = fold + FLOATS;
    shared_ptr<bulk_gate> full = gate_of, empty = full + STAGES, queries = empty + STAGES;
    attention_place       at    = attention_here(p, tiles, QUERIES);
    int                   steps = (at.keys + KEYS - 1) / KEYS;
    int                   row   = (int)threadIdx.x / WARP * 16;
    bool                  first = threadIdx.x == 0;

    auto fetch = [&](int step) { /* thread 0 */
                                 shared_ptr<bf16> to = stage + step % STAGES * 2 * TILE;
                                 int              c = (int)(p.C + at.h * HEAD), g = step % STAGES;
                                 bulk_expect(full + g, 2 * BULK_BYTES);
                                 bulk_fetch(to, map, c, step * KEYS, (int)at.b, full + g);
                                 bulk_fetch(to + TILE, map, c + (int)p.C, step * KEYS, (int)at.b,
                                            full + g);
    };

    if (first) {
        for (int i = 0; i < STAGES; ++i) {
            bulk_gate_make(full + i, 1);
            bulk_gate_make(empty + i, WARPS);
        }
        bulk_gate_make(queries, 1);
        bulk_gates_made();
        bulk_expect(queries, 2 * BULK_BYTES);
        for (int i = 0; i < 2; ++i)
            bulk_fetch(q + i * TILE, map, (int)at.h * HEAD, at.first + i * KEYS, (int)at.b,
                       queries);
        for (int step = 0; step < STAGES && step < steps; ++step)
            fetch(step);
    }
    float gate[2] = {};
    if constexpr (GATED) {
        gate_fold<bf16, HEAD, THREADS>(p, fold);
        bias_window<bf16, THREADS>(p, at.h, window, fwd_window(p.P, QUERIES, KEYS),
                                   1 - QUERIES - at.first);
    }
    __syncthreads();
    bulk_wait(queries, 0);
    if constexpr (GATED) {
        fwd_gates<bf16, HEAD, QUERIES, THREADS>(p, at.h, q, fold, gates);
        __syncthreads();
#pragma unroll
        for (int i = 0; i < 2; ++i)
            gate[i] = gates[row + mma_lane() / 4 + 8 * i];
    }
    mma_a a[4];
    __syncwarp();
#pragma unroll
    for (int i = 0; i < 4; ++i)
        a[i] = mma_load_a<HEAD>(q, row, 16 * i);

    fwd_sums<HEAD, 1> o;
    float             scale = ATTENTION_LOG2E / sqrtf((float)HEAD);
    fwd_begin(o);
    for (int step = 0; step < steps; ++step) {
        int              slot = step % STAGES, keys = at.keys - step * KEYS;
        shared_ptr<bf16> k = stage + slot * 2 * TILE, v = k + TILE;
        if (first && step >= LAG && step - LAG + STAGES < steps) {
            bulk_wait(empty + (step - LAG) % STAGES, (step - LAG) / STAGES);
            fetch(step - LAG + STAGES);
        }
        __syncwarp();
        bulk_wait(full + slot, step / STAGES);
        __syncwarp();
        if (keys < KEYS && at.keys < (int)p.P)
            clear_rows(v, keys);
        mma_c s[1][8];
        hopper_dots(s[0], a, k);
        fwd_weigh<bf16, GATED>(s, window + (step * KEYS + QUERIES - row - 16 + 7), gate, scale,
                               keys, o);
        hopper_accumulate(o.y[0], s[0], v);
        __syncwarp();
        if (mma_lane() == 0)
            bulk_arrive(empty + slot);
    }
    __syncwarp(); /* its rows of q have been read, also where there are no keys */
    fwd_end(p, at, q, row, steps > 0, o, out, lse);
}

template <int GATED> static asd_status run(const asd_call *c)
{
    attention_args<bf16> p      = attention_args_of<bf16>(c);
    int64_t              B      = c->x[0].shape.d[0];
    int                  tiles  = (int)((p.P + QUERIES - 1) / QUERIES);
    size_t               floats = GATED ? FLOATS + fwd_window(p.P, QUERIES, KEYS) : 0;
    bulk_map             map;
    ASD_TRY(asd_bulk_map(&map, p.qkv, B, p.P, 3 * p.C, 3 * p.C));
    return ASD_LAUNCH((attention_fwd_hopper_k<GATED>), dim3((unsigned)(B * p.H * tiles)),
                      dim3(THREADS), TILES * sizeof(bf16) + floats * sizeof(float) + WGMMA_ALIGN,
                      c->stream, map, p, (bf16 *)c->y.x, (float *)c->saved, tiles);
}

extern "C" asd_status asd_attention_fwd_sm90(const asd_call *c)
{
    return ((const asd_attention_attr *)c->attr)->gated ? run<1>(c) : run<0>(c);
}
