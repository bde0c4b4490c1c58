/* wgmma.h - wgmma.cuh for the shim: each warp multiplies its own rows, with b read value by value
 * and so with every access checked. Sums arrive when they are waited for. Not checked: that four
 * warps are there together, and that a is not written before the wait. */
#ifndef ASD_CUDA_SIMT_WGMMA_H
#define ASD_CUDA_SIMT_WGMMA_H

#include "cuda/simt/products.h"

struct wgmma_tile {
    shared_ptr<bf16> tile;
    int              row, column;
};

template <int COLUMNS> static __device__ __forceinline__ int tile_at(int row, int column);

static inline wgmma_tile wgmma_tile_at(shared_ptr<bf16> tile, int row, int column)
{
    simt::shared_align(tile.a, tile.at * (int64_t)sizeof(bf16), WGMMA_ALIGN, "wgmma_tile_at");
    return {tile, row, column};
}

static inline int wgmma_skip(shared_ptr<bf16> shared)
{
    (void)shared;
    return 0;
}

static inline void wgmma_filled()
{
    simt::products_filled();
}
static inline void wgmma_begin()
{
    simt::products_here().begun = true;
}
static inline void wgmma_commit()
{
    ++simt::products_here().groups;
}

template <int YOUNGEST> static inline void wgmma_wait()
{
    simt::products             &p = simt::products_here();
    std::vector<simt::late_sum> later;
    for (const simt::late_sum &s : p.late)
        if (s.group + YOUNGEST < p.groups)
            memcpy((void *)s.c, s.x, sizeof s.x);
        else
            later.push_back(s);
    p.late.swap(later);
    p.begun = false;
}

template <typename C, int N> static inline void wgmma_hold(C (&)[N])
{
}

namespace simt
{

/* The sum that c will be; where products into it are under way already, theirs. */
static inline late_sum &late_sum_of(float *c)
{
    products &p = products_here();
    if (!p.begun)
        fail("wgmma_64x64x16 without wgmma_begin since the last wgmma_wait");
    for (late_sum &s : p.late)
        if (s.c == c)
            return s;
    p.late.push_back({c, {}, 0});
    memcpy(p.late.back().x, c, sizeof p.late.back().x);
    return p.late.back();
}

} // namespace simt

template <bool TURNED>
static inline void wgmma_64x64x16(mma_c (&c)[8], const mma_a &a, const wgmma_tile &b, bool add)
{
    int  g = simt::lane() / 4, t = simt::lane() % 4;
    auto at = [&](int k, int n) {
        int i =
            TURNED ? tile_at<64>(b.row + k, b.column + n) : tile_at<64>(b.row + n, b.column + k);
        bf16 x = b.tile[i];
        simt::products_read(b.tile.a, (b.tile.at + i) * (int64_t)sizeof(bf16));
        return x;
    };
    mma_c sum[8];
    memcpy((void *)sum, simt::late_sum_of(c[0].x).x, sizeof sum);
    for (int n = 0; n < 8; ++n) {
        mma_b right;
        for (int i = 0; i < 2; ++i)
            right.x[i] =
                simt::pair_of(at(2 * t + 8 * i, 8 * n + g), at(2 * t + 8 * i + 1, 8 * n + g));
        if (!add)
            sum[n] = {};
        mma_16x8x16(sum[n], a, right);
    }
    simt::late_sum &s = simt::late_sum_of(c[0].x);
    memcpy(s.x, (void *)sum, sizeof s.x);
    s.group = simt::products_here().groups;
    memset((void *)c, 0xff, sizeof c); /* NaN */
}

#endif
