/* wgmma.h - wgmma.cuh for the shim: each warp multiplies its own rows, with b read value by value
 * and so with every access checked. Whether four warps are there together is not. */
#ifndef ASD_CUDA_SIMT_WGMMA_H
#define ASD_CUDA_SIMT_WGMMA_H

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
}
static inline void wgmma_begin()
{
}
static inline void wgmma_commit()
{
}
template <int YOUNGEST> static inline void wgmma_wait()
{
}
template <typename C, int N> static inline void wgmma_hold(C (&)[N])
{
}

template <bool TURNED>
static inline void wgmma_64x64x16(mma_c (&c)[8], const mma_a &a, const wgmma_tile &b, bool add)
{
    int  g = simt::lane() / 4, t = simt::lane() % 4;
    auto at = [&](int k, int n) {
        return (bf16)b.tile[TURNED ? tile_at<64>(b.row + k, b.column + n)
                                   : tile_at<64>(b.row + n, b.column + k)];
    };
    for (int n = 0; n < 8; ++n) {
        mma_b right;
        for (int i = 0; i < 2; ++i)
            right.x[i] =
                simt::pair_of(at(2 * t + 8 * i, 8 * n + g), at(2 * t + 8 * i + 1, 8 * n + g));
        if (!add)
            c[n] = {};
        mma_16x8x16(c[n], a, right);
    }
}

#endif
