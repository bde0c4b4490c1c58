/* mma.cuh - tensor cores and asynchronous copies for kernels that bring their own GEMM: attention.
 *
 * All of it is warp-level code of compute capability 8.0 and later: nvcc makes PTX of it
 * (mma_ptx.cuh), the shim emulates it lane by lane with every access checked (simt/mma.h). Blocks
 * count their threads by threadIdx.x alone; functions marked (warp) need all 32 lanes.
 *
 * Fragments. A warp holds a small matrix in its registers, a few values in each lane. With
 *   g = lane / 4 (0 .. 7)    t = lane % 4 (0 .. 3)
 *
 *   mma_a  (16, 16) bf16, rows m, columns k. x[i] holds two neighbours in k, the first in the low
 *          half:  x[0] = (g, 2t) (g, 2t+1)        x[2] = (g, 2t+8) (g, 2t+9)
 *                 x[1] = (g+8, 2t) (g+8, 2t+1)    x[3] = (g+8, 2t+8) (g+8, 2t+9)
 *   mma_b  (16, 8) bf16, rows k, columns n. Two neighbours in k again, so that a matrix stored
 *          (n, k) is read without turning:
 *                 x[0] = (2t, g) (2t+1, g)        x[1] = (2t+8, g) (2t+9, g)
 *   mma_c  (16, 8) fp32, rows m, columns n:
 *                 x[0] = (g, 2t)  x[1] = (g, 2t+1)  x[2] = (g+8, 2t)  x[3] = (g+8, 2t+1)
 *          of x[i] the row is mma_row(i), the column mma_column(i).
 *   With tf32 the same mma_a is (16, 8), one value a register: x[0] = (g, t), x[1] = (g+8, t),
 *   x[2] = (g, t+4), x[3] = (g+8, t+4); mma_b is (8, 8): x[0] = (t, g), x[1] = (t+4, g).
 *
 * Tiles in shared memory. Row r of a (rows, COLUMNS) tile is COLUMNS / 8 chunks of 16 bytes, and
 * tile_at permutes the chunks of each row so that the eight rows which ldmatrix reads at once lie
 * in different banks. Fill and read a tile through tile_at alone (mma_load_* do).
 *
 *   ASD_SHARED(bf16, q, 64 * 32);                                  a (64, 32) tile
 *   cp_async16(q + tile_at<32>(r, c), x + ..., r < rows);          c a multiple of 8
 *   cp_async_commit(); cp_async_wait<0>(); __syncthreads();
 *   mma_a a = mma_load_a<32>(q, 16 * warp, 0);
 *
 * Asynchronous copies. cp_async_commit() closes a group of the thread's copies so far;
 * cp_async_wait<N>() returns when all groups but the N youngest have landed. Then the thread sees
 * its own copies; the others see them after a barrier.
 */
#ifndef ASD_CUDA_MMA_CUH
#define ASD_CUDA_MMA_CUH

#include "cuda/kernel.cuh"

struct mma_a {
    uint32_t x[4];
};
struct mma_b {
    uint32_t x[2];
};
struct mma_c {
    float x[4];
};

/* What each of the two has of its own:
 *
 *   uint32_t bf16x2(float low, float high);                    two bf16, rounded to nearest even
 *   void store_bf16x2(shared_ptr<bf16> p, uint32_t two);       both at once, p on 4 bytes
 *   uint32_t to_tf32(float x);                                 10 bits of mantissa, ties away
 *                                                              from 0
 *   float exp2_fast(float x);                                  2^x within 2 ulp, 0 where that is
 *                                                              below 2^-126: one instruction
 *   void mma_16x8x16(mma_c &c, mma_a a, mma_b b);              c += a b, bf16 in, fp32 sums (warp)
 *   void mma_16x8x8_tf32(mma_c &c, mma_a a, mma_b b);          c += a b, operands by to_tf32 (warp)
 *
 * ldmatrix (warp): lane l of 8 i .. 8 i + 7 gives the address of row l % 8 of matrix i, (8, 8)
 * bf16, on 16 bytes. r[i] gets (g, 2t) (g, 2t+1) of matrix i, or, _trans, (2t, g) (2t+1, g). Of
 * _x2, lanes 16 and up give nothing.
 *   void ldmatrix_x4(uint32_t (&r)[4], shared_ptr<bf16> row);        also ldmatrix_x4_trans
 *   void ldmatrix_x2(uint32_t (&r)[2], shared_ptr<bf16> row);        also ldmatrix_x2_trans
 *
 * 16 bytes from global to shared memory, both on 16 bytes; zeros when !valid, and then src is not
 * read and may be any address.
 *   void cp_async16(shared_ptr<T> dst, const T *src, bool valid);
 *   void cp_async_commit();
 *   void cp_async_wait<N>();
 */
#ifdef ASD_SIMT
#include "cuda/simt/mma.h"
#else
#include "cuda/mma_ptx.cuh"
#endif

static __device__ __forceinline__ int mma_lane()
{
    return (int)threadIdx.x % WARP;
}
/* Place of x[i] of an mma_c in its (16, 8). */
static __device__ __forceinline__ int mma_row(int i)
{
    return mma_lane() / 4 + i / 2 * 8;
}
static __device__ __forceinline__ int mma_column(int i)
{
    return mma_lane() % 4 * 2 + i % 2;
}

/* Index of (row, column) in a tile of COLUMNS bf16 a row. Eight neighbouring rows at one column
 * fall on the eight 16-byte columns of the 32 banks, whatever COLUMNS: the chunk is exchanged by
 * the number of the 128-byte line that the row is in. */
template <int COLUMNS> static __device__ __forceinline__ int tile_at(int row, int column)
{
    const int chunks = COLUMNS / 8;
    static_assert(COLUMNS % 8 == 0 &&
                      (chunks % 8 == 0 || chunks == 4 || chunks == 2 || chunks == 1),
                  "8, 16, 32 or a multiple of 64 columns");
    const int turns = chunks < 8 ? chunks : 8, rows_a_line = 8 / turns;
    int       chunk = column / 8 ^ row / rows_a_line % turns;
    return row * COLUMNS + chunk * 8 + column % 8;
}

/* Fragments of a tile in shared memory; (warp). row, column: where the fragment begins in the
 * tile, multiples of 8. */

/* a(m, k) = tile(row + m, column + k). */
template <int COLUMNS>
static __device__ __forceinline__ mma_a mma_load_a(shared_ptr<bf16> tile, int row, int column)
{
    mma_a a;
    int   l = mma_lane();
    ldmatrix_x4(a.x, tile + tile_at<COLUMNS>(row + l % 16, column + l / 16 * 8));
    return a;
}

/* The other way: a into the tile, as mma_load_a reads it. Each lane stores pairs of its own; a
 * barrier before another reads them. */
template <int COLUMNS>
static __device__ __forceinline__ void mma_store_a(shared_ptr<bf16> tile, int row, int column,
                                                   const mma_a &a)
{
    int l = mma_lane();
#pragma unroll
    for (int i = 0; i < 4; ++i)
        store_bf16x2(tile +
                         tile_at<COLUMNS>(row + l / 4 + i % 2 * 8, column + l % 4 * 2 + i / 2 * 8),
                     a.x[i]);
}

/* a(m, k) = tile(row + k, column + m): of a tile that lies turned. */
template <int COLUMNS>
static __device__ __forceinline__ mma_a mma_load_a_trans(shared_ptr<bf16> tile, int row, int column)
{
    mma_a a;
    int   l = mma_lane();
    ldmatrix_x4_trans(a.x,
                      tile + tile_at<COLUMNS>(row + l % 8 + l / 16 * 8, column + l / 8 % 2 * 8));
    return a;
}

/* Two neighbours in n: b[j](k, n) = tile(row + 8 j + n, column + k), as keys (P, K) lie. */
template <int COLUMNS>
static __device__ __forceinline__ void mma_load_b(mma_b (&b)[2], shared_ptr<bf16> tile, int row,
                                                  int column)
{
    uint32_t r[4];
    int      l = mma_lane();
    ldmatrix_x4(r, tile + tile_at<COLUMNS>(row + l % 8 + l / 16 * 8, column + l / 8 % 2 * 8));
    b[0] = {{r[0], r[1]}};
    b[1] = {{r[2], r[3]}};
}

/* b[j](k, n) = tile(row + k, column + 8 j + n), as values (P, K) lie. */
template <int COLUMNS>
static __device__ __forceinline__ void mma_load_b_trans(mma_b (&b)[2], shared_ptr<bf16> tile,
                                                        int row, int column)
{
    uint32_t r[4];
    int      l = mma_lane();
    ldmatrix_x4_trans(r, tile + tile_at<COLUMNS>(row + l % 16, column + l / 16 * 8));
    b[0] = {{r[0], r[1]}};
    b[1] = {{r[2], r[3]}};
}

/* Sums of two neighbours in n, (16, 16) together, rounded to be the left side of the next product:
 * no lane needs another's value, so probabilities never leave the registers. */
static __device__ __forceinline__ mma_a mma_a_of(const mma_c &left, const mma_c &right)
{
    return {{bf16x2(left.x[0], left.x[1]), bf16x2(left.x[2], left.x[3]),
             bf16x2(right.x[0], right.x[1]), bf16x2(right.x[2], right.x[3])}};
}

#endif
