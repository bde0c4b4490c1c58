/* each.cuh - ops that treat every value alike: a thread takes 16 bytes, the last one what is left.
 */
#ifndef ASD_CUDA_EACH_CUH
#define ASD_CUDA_EACH_CUH

#include "cuda/pack.cuh"

enum { EACH_THREADS = 256 };

template <typename T> static inline dim3 each_blocks(int64_t n)
{
    return dim3(asd_blocks(n, (int64_t)EACH_THREADS * pack<T>::N));
}

/* First element of this thread, a multiple of pack<T>::N; may be past the last. */
template <typename T> static __device__ __forceinline__ int64_t each_first(void)
{
    return ((int64_t)blockIdx.x * EACH_THREADS + threadIdx.x) * pack<T>::N;
}

/* Elements first .. first+N-1 of (n), zero past the end. */
template <typename T>
static __device__ __forceinline__ pack<T> each_load(const T *x, int64_t first, int64_t n)
{
    if (first + pack<T>::N <= n)
        return load16(x + first);
    pack<T> r;
#pragma unroll
    for (int i = 0; i < pack<T>::N; ++i)
        r.v[i] = first + i < n ? x[first + i] : from_f32<T>(0.0f);
    return r;
}

/* Stores, or adds to what is there; nothing past the end. The sum is rounded once. */
template <typename T>
static __device__ __forceinline__ void each_put(T *to, int64_t first, int64_t n, const float *x,
                                                bool add)
{
    pack<T> out;
    if (add)
        out = each_load(to, first, n);
#pragma unroll
    for (int i = 0; i < pack<T>::N; ++i)
        pack_set(out, i, add ? pack_get(out, i) + x[i] : x[i]);
    if (first + pack<T>::N <= n) {
        store16(to + first, out);
        return;
    }
#pragma unroll
    for (int i = 0; i < pack<T>::N; ++i)
        if (first + i < n)
            to[first + i] = out.v[i];
}

#endif
