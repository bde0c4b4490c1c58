/* pack.cuh - 16 bytes at a time: the widest access of one thread, and the one that reaches the
 * memory's bandwidth.
 *
 * pack<T> holds 16 / sizeof(T) values in registers (4 float, 8 bf16). Global and shared addresses
 * must be 16-byte aligned: tensors are, and so are their rows where pack_fits(C) says so.
 */
#ifndef ASD_CUDA_PACK_CUH
#define ASD_CUDA_PACK_CUH

#include "cuda/kernel.cuh"

#include <string.h>

template <typename T> struct alignas(16) pack {
    enum { N = 16 / (int)sizeof(T) };
    T v[N];
};

/* True where every row of a dense (R, columns) tensor of T starts on 16 bytes. */
template <typename T> static __host__ __device__ __forceinline__ bool pack_fits(int64_t columns)
{
    return columns % (int64_t)pack<T>::N == 0;
}

/* Value i of a pack, as fp32, and back (rounded). */
template <typename T> static __device__ __forceinline__ float pack_get(const pack<T> &p, int i)
{
    return to_f32(p.v[i]);
}
template <typename T> static __device__ __forceinline__ void pack_set(pack<T> &p, int i, float x)
{
    p.v[i] = from_f32<T>(x);
}

/* The copy through float4 makes one 16-byte instruction of it; memcpy alone may become eight. */
template <typename T> static __device__ __forceinline__ pack<T> load16(const T *p)
{
    asd_check_aligned(p, 16, "load16");
    float4  bits = *reinterpret_cast<const float4 *>(p);
    pack<T> r;
    memcpy((void *)&r, &bits, sizeof r);
    return r;
}

template <typename T> static __device__ __forceinline__ void store16(T *p, const pack<T> &x)
{
    float4 bits;
    asd_check_aligned(p, 16, "store16");
    memcpy(&bits, &x, sizeof bits);
    *reinterpret_cast<float4 *>(p) = bits;
}

/* N values of global memory as fp32 and back, 1 or a multiple of pack<T>::N: kernels whose rows may
 * not start on 16 bytes are compiled for both, and 8 values of fp32 stand beside 8 of bf16. */
template <int N, typename T> static __device__ __forceinline__ void load_f32(const T *p, float *x)
{
    if constexpr (N == 1) {
        x[0] = to_f32(*p);
    } else {
        static_assert(N % pack<T>::N == 0, "one value or whole 16 bytes");
#pragma unroll
        for (int q = 0; q < N; q += pack<T>::N) {
            pack<T> r = load16(p + q);
#pragma unroll
            for (int i = 0; i < pack<T>::N; ++i)
                x[q + i] = pack_get(r, i);
        }
    }
}

template <int N, typename T> static __device__ __forceinline__ void store_f32(T *p, const float *x)
{
    if constexpr (N == 1) {
        *p = from_f32<T>(x[0]);
    } else {
        static_assert(N % pack<T>::N == 0, "one value or whole 16 bytes");
#pragma unroll
        for (int q = 0; q < N; q += pack<T>::N) {
            pack<T> r;
#pragma unroll
            for (int i = 0; i < pack<T>::N; ++i)
                pack_set(r, i, x[q + i]);
            store16(p + q, r);
        }
    }
}

#ifdef ASD_SIMT

/* Value by value, so that each is checked against its neighbours' accesses. */
template <typename T> static __device__ __forceinline__ pack<T> load_shared16(shared_ptr<T> p)
{
    pack<T> r;
    asd_check_aligned(p, 16, "load_shared16");
    for (int i = 0; i < pack<T>::N; ++i)
        r.v[i] = p[i];
    return r;
}

template <typename T>
static __device__ __forceinline__ void store_shared16(shared_ptr<T> p, const pack<T> &x)
{
    asd_check_aligned(p, 16, "store_shared16");
    for (int i = 0; i < pack<T>::N; ++i)
        p[i] = x.v[i];
}

#else

template <typename T> static __device__ __forceinline__ pack<T> load_shared16(const T *p)
{
    return load16(p);
}

template <typename T> static __device__ __forceinline__ void store_shared16(T *p, const pack<T> &x)
{
    store16(p, x);
}

#endif
#endif
