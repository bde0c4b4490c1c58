/* matmul.cu - the helpers of cuda/mma.cuh at work, as an attention kernel uses them: tiles brought
 * by cp.async two stages deep, read by ldmatrix, multiplied by mma. Built for the shim and, where
 * there is nvcc, for the device; test_matmul.c holds both to a double reference.
 *
 *   y(m, n) = sum_k a(m, k) b(n, k)       a, b: bf16, either way round;  y: (M, N) fp32
 */
#include "cuda/bulk.cuh"
#include "cuda/mma.cuh"
#include "cuda/pack.cuh"
#include "cuda/wgmma.cuh"

#include "tests/simt/matmul.h"

enum { TILE = 64, DEPTH = 32, THREADS = 128, TILE_SIZE = TILE * DEPTH };

/* The (ROWS, COLUMNS) of x (rows, columns) from (row0, column0) on, zeros outside. Rows on 16 bytes
 * come by cp.async, chunk by chunk; others value by value. */
template <int ROWS, int COLUMNS>
static __device__ __forceinline__ void fetch(shared_ptr<bf16> tile, const bf16 *x, int64_t rows,
                                             int64_t columns, int64_t row0, int64_t column0)
{
    for (int i = (int)threadIdx.x; i < ROWS * COLUMNS / 8; i += THREADS) {
        int              r = i / (COLUMNS / 8), c = i % (COLUMNS / 8) * 8;
        int64_t          row = row0 + r, column = column0 + c, at = row * columns + column;
        shared_ptr<bf16> place = tile + tile_at<COLUMNS>(r, c);
        if (pack_fits<bf16>(columns)) {
            cp_async16(place, x + at, row < rows && column < columns);
            continue;
        }
        pack<bf16> p;
#pragma unroll
        for (int j = 0; j < pack<bf16>::N; ++j)
            p.v[j] = row < rows && column + j < columns ? x[at + j] : from_f32<bf16>(0.0f);
        store_shared16(place, p);
    }
}

/* One block per (64, 64) of y, four warps of (32, 32) each. Shared: two stages of a tile of a and
 * one of b, DEPTH deep. */
template <bool A_TRANS, bool B_TRANS>
static __global__ void __launch_bounds__(THREADS)
    matmul_k(const bf16 *a, const bf16 *b, float *y, int64_t M, int64_t N, int64_t K)
{
    ASD_SHARED(bf16, tile_a, 2 * TILE_SIZE);
    ASD_SHARED(bf16, tile_b, 2 * TILE_SIZE);
    int64_t m0 = (int64_t)blockIdx.y * TILE, n0 = (int64_t)blockIdx.x * TILE;
    int     warp = (int)threadIdx.x / WARP, wm = warp / 2 * 32, wn = warp % 2 * 32;
    int     steps     = (int)((K + DEPTH - 1) / DEPTH);
    mma_c   sum[2][4] = {};

    auto stage = [&](int step) {
        shared_ptr<bf16> ta = tile_a + step % 2 * TILE_SIZE, tb = tile_b + step % 2 * TILE_SIZE;
        int64_t          k0 = (int64_t)step * DEPTH;
        if constexpr (A_TRANS)
            fetch<DEPTH, TILE>(ta, a, K, M, k0, m0);
        else
            fetch<TILE, DEPTH>(ta, a, M, K, m0, k0);
        if constexpr (B_TRANS)
            fetch<DEPTH, TILE>(tb, b, K, N, k0, n0);
        else
            fetch<TILE, DEPTH>(tb, b, N, K, n0, k0);
    };

    stage(0);
    cp_async_commit();
    for (int step = 0; step < steps; ++step) {
        if (step + 1 < steps)
            stage(step + 1);
        cp_async_commit(); /* at the last step an empty group, so that the count stays right */
        cp_async_wait<1>();
        __syncthreads();
        shared_ptr<bf16> ta = tile_a + step % 2 * TILE_SIZE, tb = tile_b + step % 2 * TILE_SIZE;
#pragma unroll
        for (int k = 0; k < DEPTH; k += 16) {
            mma_a fa[2];
            mma_b fb[4];
#pragma unroll
            for (int i = 0; i < 2; ++i) {
                if constexpr (A_TRANS)
                    fa[i] = mma_load_a_trans<TILE>(ta, k, wm + 16 * i);
                else
                    fa[i] = mma_load_a<DEPTH>(ta, wm + 16 * i, k);
            }
#pragma unroll
            for (int j = 0; j < 4; j += 2) {
                mma_b two[2];
                if constexpr (B_TRANS)
                    mma_load_b_trans<TILE>(two, tb, k, wn + 8 * j);
                else
                    mma_load_b<DEPTH>(two, tb, wn + 8 * j, k);
                fb[j]     = two[0];
                fb[j + 1] = two[1];
            }
#pragma unroll
            for (int i = 0; i < 2; ++i)
#pragma unroll
                for (int j = 0; j < 4; ++j)
                    mma_16x8x16(sum[i][j], fa[i], fb[j]);
        }
        __syncthreads(); /* the next step overwrites the stage that was read here */
    }

#pragma unroll
    for (int i = 0; i < 2; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j)
#pragma unroll
            for (int v = 0; v < 4; ++v) {
                int64_t m = m0 + wm + 16 * i + mma_row(v), n = n0 + wn + 8 * j + mma_column(v);
                if (m < M && n < N)
                    y[m * N + n] = sum[i][j].x[v];
            }
}

extern "C" asd_status matmul_run(asd_stream *s, const matmul *p)
{
    dim3        grid(asd_blocks(p->n, TILE), asd_blocks(p->m, TILE));
    const bf16 *a = (const bf16 *)p->a, *b = (const bf16 *)p->b;
    if (p->a_trans && p->b_trans)
        return ASD_LAUNCH((matmul_k<true, true>), grid, THREADS, 0, s, a, b, p->y, p->m, p->n,
                          p->k);
    if (p->a_trans)
        return ASD_LAUNCH((matmul_k<true, false>), grid, THREADS, 0, s, a, b, p->y, p->m, p->n,
                          p->k);
    if (p->b_trans)
        return ASD_LAUNCH((matmul_k<false, true>), grid, THREADS, 0, s, a, b, p->y, p->m, p->n,
                          p->k);
    return ASD_LAUNCH((matmul_k<false, false>), grid, THREADS, 0, s, a, b, p->y, p->m, p->n, p->k);
}

/* One warp; operands straight from global memory into their fragments. */
static __global__ void matmul_tf32_k(const float *a, const float *b, int64_t K, float *y)
{
    int   g = mma_lane() / 4, t = mma_lane() % 4;
    mma_c sum = {};
    for (int64_t k = t; k < K; k += 8) {
        mma_a fa = {{to_tf32(a[g * K + k]), to_tf32(a[(g + 8) * K + k]), to_tf32(a[g * K + k + 4]),
                     to_tf32(a[(g + 8) * K + k + 4])}};
        mma_b fb = {{to_tf32(b[g * K + k]), to_tf32(b[g * K + k + 4])}};
        mma_16x8x8_tf32(sum, fa, fb);
    }
    for (int i = 0; i < 4; ++i)
        y[mma_row(i) * 8 + mma_column(i)] = sum.x[i];
}

extern "C" asd_status matmul_tf32_run(asd_stream *s, const float *a, const float *b, int64_t k,
                                      float *y)
{
    return ASD_LAUNCH(matmul_tf32_k, 1, WARP, 0, s, a, b, k, y);
}

/* One warpgroup. */
static __global__ void __launch_bounds__(THREADS)
    matmul_hopper_k(const __grid_constant__ bulk_map map, matmul_box p)
{
    ASD_DYNAMIC_SHARED(bf16, shared);
    ASD_SHARED(bulk_gate, gate, 1);
    shared_ptr<bf16> box = shared + wgmma_skip(shared);
    const bf16      *a   = (const bf16 *)p.a;
    int   row = (int)threadIdx.x / WARP * 16 + mma_lane() / 4, column = mma_lane() % 4 * 2;
    mma_a left[4];
    mma_c nt[8] = {}, nn[8] = {};
    if (threadIdx.x == 0) {
        bulk_gate_make(gate, 1);
        bulk_gates_made();
        bulk_expect(gate, BULK_BYTES);
        bulk_fetch(box, map, p.column, p.row, p.plane, gate);
    }
    for (int i = 0; i < 4; ++i)
        for (int j = 0; j < 4; ++j) {
            const bf16 *x = a + (row + j % 2 * 8) * TILE + 16 * i + column + j / 2 * 8;
            left[i].x[j]  = bf16x2(to_f32(x[0]), to_f32(x[1]));
        }
    __syncthreads();
    bulk_wait(gate, 0);
    for (int i = (int)threadIdx.x; i < TILE * TILE; i += THREADS)
        p.box[i] = to_f32((bf16)box[tile_at<TILE>(i / TILE, i % TILE)]);
    __syncwarp();
    wgmma_hold(left);
    wgmma_hold(nt);
    wgmma_hold(nn);
    wgmma_begin();
    for (int i = 0; i < 4; ++i) {
        wgmma_64x64x16<false>(nt, left[i], wgmma_tile_at(box, 0, 16 * i), i > 0);
        wgmma_64x64x16<true>(nn, left[i], wgmma_tile_at(box, 16 * i, 0), i > 0);
    }
    wgmma_commit();
    wgmma_wait<0>();
    wgmma_hold(nt);
    wgmma_hold(nn);
    for (int n = 0; n < 8; ++n)
        for (int v = 0; v < 4; ++v) {
            int at   = (row + v / 2 * 8) * TILE + 8 * n + mma_column(v);
            p.nt[at] = nt[n].x[v];
            p.nn[at] = nn[n].x[v];
        }
}

extern "C" asd_status matmul_hopper_run(asd_stream *s, const matmul_box *p)
{
    bulk_map map = {};
    ASD_TRY(asd_bulk_map(&map, (const bf16 *)p->b, p->planes, p->rows, p->columns, p->columns));
    return ASD_LAUNCH(matmul_hopper_k, dim3(1), dim3(THREADS), BULK_BYTES + WGMMA_ALIGN, s, map,
                      *p);
}
