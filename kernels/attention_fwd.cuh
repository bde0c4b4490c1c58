/* attention_fwd.cuh - what the forward of attention.cu, with products by mma.sync, and that of
 * attention_sm90.cu, with products by wgmma, have in common: all but the products and how tiles
 * come. A warp has 16 MT queries; of them a lane has 2 MT, rows g + 8 r. */
#ifndef ASD_KERNELS_ATTENTION_FWD_CUH
#define ASD_KERNELS_ATTENTION_FWD_CUH

#include "kernels/attention_tile.cuh"

/* Distances from the last of `queries` to the first key on, with keys counted in whole tiles. */
static __host__ __device__ __forceinline__ int fwd_window(int64_t P, int queries, int keys)
{
    return (int)((P + keys - 1) / keys) * keys + queries;
}

/* gates[r] of the tile's queries, log2 e times as large, for scores in units of log 2. fold: by
 * gate_fold, if there is a gate. All threads; a barrier before and after. */
template <typename T, int K, int QUERIES, int THREADS>
static __device__ __forceinline__ void fwd_gates(const attention_args<T> &p, unsigned h,
                                                 shared_ptr<T> q, shared_ptr<float> fold,
                                                 shared_ptr<float> gates)
{
    for (int r = (int)threadIdx.x; r < QUERIES; r += THREADS) {
        float ga = 0, gb = 0, c = 0;
        if (p.table) {
            gate_halves<T, K>(q, r, fold, &ga, &gb);
            c = p.a[h];
        }
        gates[r] = (ga * (gb * c - 1) + 2) * ATTENTION_LOG2E;
    }
}

/* Of a lane's queries so far: the largest score, the sum of p, and p v. */
template <int K, int MT> struct fwd_sums {
    float max[2 * MT], sum[2 * MT];
    mma_c y[MT][K / 8];
};

template <int K, int MT> static __device__ __forceinline__ void fwd_begin(fwd_sums<K, MT> &o)
{
#pragma unroll
    for (int i = 0; i < 2 * MT; ++i) {
        o.max[i] = -INFINITY;
        o.sum[i] = 0;
    }
#pragma unroll
    for (int m = 0; m < MT; ++m)
#pragma unroll
        for (int c = 0; c < K / 8; ++c)
            o.y[m][c] = {};
}

/* s: q k' of a tile of keys in, p out; o goes over to the new maximum. window: where lane 0 of the
 * warp finds the distance of its first key to its last row of eight. keys: of the tile that count,
 * and more. */
template <typename T, int GATED, int K, int MT, int NT>
static __device__ __forceinline__ void fwd_weigh(mma_c (&s)[MT][NT], shared_ptr<float> window,
                                                 const float (&gate)[2 * MT], float scale, int keys,
                                                 fwd_sums<K, MT> &o)
{
    [[maybe_unused]] int at = mma_column(0) - mma_row(0);
#pragma unroll
    for (int r = 0; r < 2 * MT; ++r) { /* rows g + 8 r */
        float m = o.max[r];
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
        float smaller = score_exp2<T>(o.max[r] - m);
        o.max[r]      = m;
        o.sum[r] *= smaller;
#pragma unroll
        for (int n = 0; n < NT; ++n)
#pragma unroll
            for (int e = 0; e < 2; ++e) {
                float &x = s[r / 2][n].x[r % 2 * 2 + e];
                x        = score_exp2<T>(x - m);
                o.sum[r] += x;
            }
#pragma unroll
        for (int c = 0; c < K / 8; ++c)
#pragma unroll
            for (int e = 0; e < 2; ++e)
                o.y[r / 2][c].x[r % 2 * 2 + e] *= smaller;
    }
}

/* y and the log-sum of the warp's queries, through its rows of q, which nobody reads any more.
 * row: the first of them in the tile; any: whether there were keys. */
template <typename T, int K, int MT>
static __device__ __forceinline__ void
fwd_end(const attention_args<T> &p, const attention_place &at, shared_ptr<T> q, int row, bool any,
        const fwd_sums<K, MT> &o, T *out, float *lse)
{
    float by[2 * MT];
#pragma unroll
    for (int i = 0; i < 2 * MT; ++i) {
        float all = group_sum<4>(o.sum[i]);
        int   r   = at.first + row + mma_lane() / 4 + 8 * i;
        by[i]     = any ? 1 / all : 0;
        if (r < p.P && mma_lane() % 4 == 0)
            lse[at.bh * p.P + r] = any ? o.max[i] + log2f(all) : 0.0f;
    }
    tile_put<T, K, MT>(q, row, o.y, by);
    tile_store<T, K, 16 * MT>(q, row, out + at.b * p.P * p.C + at.h * K, p.C, at.first, p.P, 0);
}

#endif
