/* tile.cuh - sums of products of two tiles, 64 x 64, on the ordinary units in float or double: for
 * what needs more digits than tensor cores keep.
 *
 * 128 threads; thread (ty, tx) = (t / 16, t % 16) has rows ty 8 .. ty 8 + 7 and four columns of the
 * result in registers: for 16 terms it makes 512 multiply-adds from 96 16-byte (double) or 48
 * (float) reads of shared memory, most of them broadcast. Sums run over the terms in order, so an
 * element has the same bits wherever its row and column stand.
 */
#ifndef ASD_CUDA_TILE_CUH
#define ASD_CUDA_TILE_CUH

#include "cuda/pack.cuh"

enum { TILE = 64, TILE_TERMS = 16, TILE_THREADS = 128, TILE_ROWS = 8, TILE_COLUMNS = 4 };

/* Shared memory of one operand: (TILE_TERMS, LD), the rows of a term padded so that threads that
 * write a row's terms spread over the banks. */
template <typename T> struct tile_shared {
    enum { N = pack<T>::N, LD = TILE + 16 / (int)sizeof(T), SIZE = TILE_TERMS * LD };
};

/* Row and column of this thread's element (i, j). */
static __device__ __forceinline__ int tile_row(int i)
{
    return (int)threadIdx.x / 16 * TILE_ROWS + i;
}
template <typename T> static __device__ __forceinline__ int tile_column(int j)
{
    enum { N = pack<T>::N };
    return j / N * 16 * N + (int)threadIdx.x % 16 * N + j % N;
}

/* sum[i][j] += the 16 terms of a[term][row] b[term][column]. No barrier inside. */
template <typename T>
static __device__ __forceinline__ void tile_multiply(T (*sum)[TILE_COLUMNS], shared_ptr<T> a,
                                                     shared_ptr<T> b)
{
    enum { N = pack<T>::N, LD = tile_shared<T>::LD };
#pragma unroll 2
    for (int k = 0; k < TILE_TERMS; ++k) {
        T left[TILE_ROWS], right[TILE_COLUMNS];
#pragma unroll
        for (int i = 0; i < TILE_ROWS; i += N) {
            pack<T> p = load_shared16<T>(a + (k * LD + tile_row(i)));
#pragma unroll
            for (int e = 0; e < N; ++e)
                left[i + e] = p.v[e];
        }
#pragma unroll
        for (int j = 0; j < TILE_COLUMNS; j += N) {
            pack<T> p = load_shared16<T>(b + (k * LD + tile_column<T>(j)));
#pragma unroll
            for (int e = 0; e < N; ++e)
                right[j + e] = p.v[e];
        }
#pragma unroll
        for (int i = 0; i < TILE_ROWS; ++i)
#pragma unroll
            for (int j = 0; j < TILE_COLUMNS; ++j)
                sum[i][j] += left[i] * right[j];
    }
}

/* One operand's 16 terms to shared memory: value(row, term). Neighbouring threads take neighbouring
 * terms of a row (BY_ROW 0: operands whose terms lie side by side in memory), or neighbouring rows
 * of a term. */
template <typename T, int BY_ROW, typename Value>
static __device__ __forceinline__ void tile_fill(shared_ptr<T> to, Value value)
{
#pragma unroll 4
    for (int q = 0; q < TILE * TILE_TERMS / TILE_THREADS; ++q) {
        int e                               = (int)threadIdx.x + q * TILE_THREADS;
        int row                             = BY_ROW ? e % TILE : e / TILE_TERMS;
        int term                            = BY_ROW ? e / TILE : e % TILE_TERMS;
        to[term * tile_shared<T>::LD + row] = value(row, term);
    }
}

/* sum[i][j] += the sum over `terms` terms of left(row, term) right(column, term). Values past the
 * last term are not asked for. shared: 2 tile_shared<T>::SIZE values; a barrier before they are
 * written and one after they have been read. All threads of the block must call. */
template <typename T, int BY_ROW, typename Left, typename Right>
static __device__ __forceinline__ void tile_products(T (*sum)[TILE_COLUMNS], shared_ptr<T> shared,
                                                     int terms, Left left, Right right)
{
    shared_ptr<T> a = shared, b = shared + tile_shared<T>::SIZE;
    for (int first = 0; first < terms; first += TILE_TERMS) {
        __syncthreads();
        tile_fill<T, BY_ROW>(
            a, [&](int row, int k) { return first + k < terms ? left(row, first + k) : (T)0; });
        tile_fill<T, BY_ROW>(
            b, [&](int row, int k) { return first + k < terms ? right(row, first + k) : (T)0; });
        __syncthreads();
        tile_multiply<T>(sum, a, b);
    }
    __syncthreads();
}

#endif
