/* row.cuh - rows of (R, C) in registers, for ops that look at a row more than once but should read
 * it once.
 *
 * A row is held by WARPS warps (1 or 8), VALUES values a thread, in packs of 16 bytes: thread t of
 * the row holds packs t, t + 32 WARPS, ... so that neighbours read neighbours. One warp holds up to
 * 1024 values, eight hold up to 8192; row_switch picks by C alone. Rows that are wider or do not
 * start on 16 bytes need a kernel of their own, a warp that strides over the row value by value.
 */
#ifndef ASD_CUDA_ROW_CUH
#define ASD_CUDA_ROW_CUH

#include "cuda/pack.cuh"
#include "cuda/reduce.cuh"

/* Blocks of a kernel that gives each row one turn: four rows of one warp, or one row of eight. */
template <int WARPS> struct row_block {
    enum { ROWS = WARPS == 1 ? 4 : 1, THREADS = WARP * WARPS * ROWS };
};

/* This thread's place in its row. */
template <int WARPS> static __device__ __forceinline__ int row_thread(void)
{
    return WARPS == 1 ? (int)threadIdx.x % WARP : (int)threadIdx.x;
}

/* The row of this thread in a grid of row_block blocks; may be past the last. */
template <int WARPS> static __device__ __forceinline__ int64_t row_index(void)
{
    return (int64_t)blockIdx.x * row_block<WARPS>::ROWS +
           (WARPS == 1 ? (int)threadIdx.x / WARP : 0);
}

/* Sums and maxima over the row, the same in all its threads. scratch: WARPS floats, twice that for
 * row_sum2; not used by one warp. With eight warps all of the block must call. */
template <int WARPS>
static __device__ __forceinline__ float row_sum(float x, shared_ptr<float> scratch)
{
    if constexpr (WARPS == 1)
        return warp_sum(x);
    else
        return block_sum<WARP * WARPS>(x, scratch);
}

template <int WARPS>
static __device__ __forceinline__ float row_max(float x, shared_ptr<float> scratch)
{
    if constexpr (WARPS == 1)
        return warp_max(x);
    else
        return block_max<WARP * WARPS>(x, scratch);
}

template <int WARPS>
static __device__ __forceinline__ void row_sum2(float *a, float *b, shared_ptr<float> scratch)
{
    if constexpr (WARPS == 1) {
        *a = warp_sum(*a);
        *b = warp_sum(*b);
    } else {
        block_sum2<WARP * WARPS>(a, b, scratch);
    }
}

/* A thread's part of a row as it lies in memory: half the registers of fp32 where T is bf16. */
template <typename T, int VALUES, int WARPS> struct row_part {
    enum { N = pack<T>::N, PACKS = VALUES / N };
    pack<T> p[PACKS];

    /* First column of pack k of this thread. */
    static __device__ __forceinline__ int column(int k)
    {
        return (row_thread<WARPS>() + k * WARP * WARPS) * N;
    }
    /* row: where the row starts; packs past C are 0 */
    __device__ __forceinline__ void load(const T *row, int C)
    {
#pragma unroll
        for (int k = 0; k < PACKS; ++k)
            if (column(k) < C) {
                p[k] = load16(row + column(k));
            } else {
#pragma unroll
                for (int i = 0; i < N; ++i)
                    p[k].v[i] = from_f32<T>(0.0f);
            }
    }
    __device__ __forceinline__ float get(int k, int i) const
    {
        return to_f32(p[k].v[i]);
    }
    /* This thread's part of the sum over the row of its products with another. */
    __device__ __forceinline__ float dot(const row_part &other) const
    {
        float sum = 0;
#pragma unroll
        for (int k = 0; k < PACKS; ++k)
#pragma unroll
            for (int i = 0; i < N; ++i)
                sum += get(k, i) * other.get(k, i);
        return sum;
    }
};

/* Values column .. column+N-1 of an fp32 vector, for a row of T; 0 past C. */
template <typename T> struct row_f32 {
    float                      v[pack<T>::N];
    __device__ __forceinline__ row_f32(const float *vector, int column, int C)
    {
#pragma unroll
        for (int q = 0; q < pack<T>::N; q += 4) {
            pack<float> four = {{0, 0, 0, 0}};
            if (column < C)
                four = load16(vector + column + q);
#pragma unroll
            for (int i = 0; i < 4; ++i)
                v[q + i] = four.v[i];
        }
    }
};

/* One pack of fp32 values: stores, or adds to what is there. The sum is rounded once. */
template <typename T>
static __device__ __forceinline__ void row_put(T *to, const float *x, bool add)
{
    pack<T> out;
    if (add)
        out = load16(to);
#pragma unroll
    for (int i = 0; i < pack<T>::N; ++i)
        pack_set(out, i, add ? pack_get(out, i) + x[i] : x[i]);
    store16(to, out);
}

/* How a row of C values of T is held; the arguments of row_switch's function. */
template <int V, int W> struct row_plan {
    static constexpr int values = V, warps = W;
};

/* held(row_plan) where registers hold the row, general() elsewhere; returns its status. */
template <typename T, typename Held, typename General>
static asd_status row_switch(int64_t C, Held held, General general)
{
    if (!pack_fits<T>(C) || C > 8192)
        return general();
    if (C <= 256)
        return held(row_plan<8, 1>());
    if (C <= 512)
        return held(row_plan<16, 1>());
    if (C <= 768)
        return held(row_plan<24, 1>());
    if (C <= 1024)
        return held(row_plan<32, 1>());
    if (C <= 2048)
        return held(row_plan<8, 8>());
    if (C <= 4096)
        return held(row_plan<16, 8>());
    return held(row_plan<32, 8>());
}

#endif
