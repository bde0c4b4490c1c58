/* pool.cuh - pool.h on the device: sums over a clip's tokens, and gradients spread over them.
 *
 * A block has 8 packs of columns side by side (128 bytes of a token) and 32 slices of the tokens:
 * slice s takes tokens s, s + 32, ...; the slices of a column are then added in order by one
 * thread. The partition depends on P and C alone. Forward: blockIdx = columns, clip. Backward:
 * columns, clip, stretch of 128 tokens. N: values of a pack, or 1 where rows do not start on 16
 * bytes. x: (B, P, C)
 */
#ifndef ASD_CUDA_POOL_CUH
#define ASD_CUDA_POOL_CUH

#include "cuda/pack.cuh"
#include "kernels/op.h"

enum {
    POOL_SIDE    = 8,
    POOL_SLICES  = 32,
    POOL_THREADS = POOL_SIDE * POOL_SLICES,
    POOL_STRETCH = 128
};

/* What a kernel is told of its call. */
typedef struct pool_args {
    const int32_t *lengths; /* NULL: all P */
    int            P, C, add;
} pool_args;

/* Tokens of clip b that count. */
static __device__ __forceinline__ int pool_length(const pool_args &a, int64_t b)
{
    int n = a.lengths ? a.lengths[b] : a.P;
    return n < 0 ? 0 : n > a.P ? a.P : n;
}

/* Where this thread is. */
template <int N> struct pool_place {
    int64_t b;
    int     n;  /* tokens that count */
    int     at; /* first of this thread's N columns */
    int     slice;
    int     column; /* the one column of a sum that this thread ends, or none: C */
    bool    inside; /* at < C */

    __device__ __forceinline__ explicit pool_place(const pool_args &a)
    {
        int tile = (int)blockIdx.x * POOL_SIDE * N;
        b        = blockIdx.y;
        n        = pool_length(a, b);
        at       = tile + (int)threadIdx.x % POOL_SIDE * N;
        slice    = (int)threadIdx.x / POOL_SIDE;
        column   = (int)threadIdx.x < POOL_SIDE * N && tile + (int)threadIdx.x < a.C
                       ? tile + (int)threadIdx.x
                       : a.C;
        inside   = at < a.C;
    }
};

/* The sum over the clip's tokens of term(x, i), i the place among a thread's N columns: returned to
 * the thread that ends the column. One barrier inside; slices (POOL_THREADS * N floats) may be
 * written again only after another. All threads of the block must call. */
template <int N, typename T, typename Term>
static __device__ __forceinline__ float pool_sum(const T *__restrict__ x, const pool_args &a,
                                                 const pool_place<N> &w, shared_ptr<float> slices,
                                                 Term term)
{
    float sum[N] = {0}, all = 0;
    if (w.inside) {
        const T *from = x + w.b * a.P * a.C + w.at;
#pragma unroll 4
        for (int p = w.slice; p < w.n; p += POOL_SLICES) {
            float v[N];
            load_f32<N>(from + (int64_t)p * a.C, v);
#pragma unroll
            for (int i = 0; i < N; ++i)
                sum[i] += term(v[i], i);
        }
    }
    int side = (int)threadIdx.x % POOL_SIDE * N;
#pragma unroll
    for (int i = 0; i < N; ++i)
        slices[w.slice * POOL_SIDE * N + side + i] = sum[i];
    __syncthreads();
    if (w.column < a.C)
        for (int s = 0; s < POOL_SLICES; ++s)
            all += slices[s * POOL_SIDE * N + (int)threadIdx.x];
    return all;
}

/* Stores or adds term(x, i) in the tokens of this stretch that count, and stores 0 in the others.
 * READS: x is needed, else term gets 0. */
template <int N, bool READS, typename T, typename Term>
static __device__ __forceinline__ void pool_spread(const T *x, T *dx, const pool_args &a,
                                                   const pool_place<N> &w, Term term)
{
    int first = (int)blockIdx.z * POOL_STRETCH;
    int end   = a.P - first < POOL_STRETCH ? a.P : first + POOL_STRETCH;
    if (a.add && end > w.n)
        end = w.n;
    if (!w.inside)
        return;
#pragma unroll 4
    for (int p = first + w.slice; p < end; p += POOL_SLICES) {
        int64_t o    = (w.b * a.P + p) * a.C + w.at;
        float   v[N] = {0}, d[N] = {0};
        if (READS && p < w.n)
            load_f32<N>(x + o, v);
        if (a.add)
            load_f32<N>(dx + o, d);
        if (p < w.n) {
#pragma unroll
            for (int i = 0; i < N; ++i)
                d[i] = a.add ? d[i] + term(v[i], i) : term(v[i], i);
        }
        store_f32<N>(dx + o, d);
    }
}

/* --- host --- */

static inline pool_args pool_args_of(const asd_call *c)
{
    pool_args a = {};
    a.lengths   = c->n_in == 2 ? (const int32_t *)c->x[1].x : nullptr;
    a.P         = (int)c->x[0].shape.d[1];
    a.C         = (int)c->x[0].shape.d[2];
    a.add       = c->acc[0];
    return a;
}

template <int N> static inline dim3 pool_grid(const asd_call *c, bool backward)
{
    unsigned tiles = asd_blocks(c->x[0].shape.d[2], POOL_SIDE * N);
    return dim3(tiles, (unsigned)c->x[0].shape.d[0],
                backward ? asd_blocks(c->x[0].shape.d[1], POOL_STRETCH) : 1u);
}

template <typename T, int V> struct pool_plan {
    typedef T            type;
    static constexpr int n = V;
};

/* run(pool_plan) with the call's dtype and the width that its rows allow; returns its status. */
template <typename Run> static asd_status pool_switch(const asd_call *c, Run run)
{
    int64_t C = c->x[0].shape.d[2];
    if (c->x[0].dtype == ASD_BF16)
        return pack_fits<bf16>(C) ? run(pool_plan<bf16, pack<bf16>::N>())
                                  : run(pool_plan<bf16, 1>());
    return pack_fits<float>(C) ? run(pool_plan<float, pack<float>::N>())
                               : run(pool_plan<float, 1>());
}

#endif
