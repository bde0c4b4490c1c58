/* simt.h - runs the kernels' real source on the CPU, to prove them where there is no GPU.
 *
 * A .cu file compiled as C++ with ASD_SIMT defined sees this instead of CUDA. A launch runs block
 * after block; the threads of a block are fibers that one host thread switches between, at
 * barriers, warp collectives and asd_spin alone. Nothing is simulated of time or memory hierarchy:
 * what is proven is indexing, masks, synchronisation and arithmetic.
 *
 * Shared memory is reached through shared_ptr<T>, which checks each access:
 *   - inside the array it was declared for, aligned;
 *   - a read finds what some thread of this block has written;
 *   - no race: two threads that touch a value, one of them writing, have a barrier between the two
 *     accesses (__syncthreads, or __syncwarp when they are of one warp; shuffles order no memory).
 * A barrier that not all threads of a block reach, a collective that not all lanes of its mask
 * reach, and a wait that never ends are errors as well. Each is reported once, as
 *   kernel layernorm_fwd_k, block (3,0,0), thread (17,0,0): ...
 * and fails the launch with ASD_E_DEVICE. Global memory is plain host memory: AddressSanitizer
 * and the canaries of tests/test_ops.c watch its borders.
 */
#ifndef ASD_CUDA_SIMT_H
#define ASD_CUDA_SIMT_H

#include "cuda/gpu.h"

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <type_traits>

#include "cuda/simt/types.h" /* dim3, float4, bf16 */

#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __align__(n) alignas(n)

namespace simt
{

/* --- the running thread --- */

struct thread_id {
    dim3 thread, block, block_size, grid_size;
};
extern thread_local thread_id *self; /* NULL outside kernels */
/* gcc takes UndefinedBehaviorSanitizer's check of self's address from the flags of an addition, and
 * the linker makes of that addition an instruction that sets none: a null pointer is reported at
 * random. An address that gcc knows nothing of it compares by itself. */
inline const thread_id &here()
{
    thread_id **where = &self;
    __asm__("" : "+r"(where));
    return **where;
}

[[noreturn]] void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* --- shared memory --- */

struct shared_array { /* one ASD_SHARED of the running block */
    const char *name;
    uint32_t    begin, bytes; /* in the block's shared memory */
};
const shared_array *shared_find(const void *key, size_t bytes, const char *name);
const shared_array *shared_dynamic(const char *name);
/* cp.async begun and done, a bulk copy begun and done */
enum access { READ, WRITE, ATOMIC, COPY, LAND, BULK, BULK_LAND };
/* Checks an access and gives the place. offset, bytes: within the array. */
void *shared_touch(const shared_array *a, int64_t offset, size_t bytes, size_t element, access how);
/* The address must be on `bytes`; `what` wants it so. */
void shared_align(const shared_array *a, int64_t offset, size_t bytes, const char *what);
void global_align(const void *p, size_t bytes, const char *what);

/* cp.async, for simt/mma.h: 16 bytes that nobody may touch until the thread has waited for them. */
void async_copy16(const shared_array *a, int64_t offset, const void *src, bool valid);
void async_commit();
void async_wait(int youngest); /* for all groups but so many */

template <typename T> struct ref;

template <typename T> struct ptr {
    const shared_array *a  = nullptr;
    int64_t             at = 0; /* elements */

    ref<T> operator[](int64_t i) const
    {
        return ref<T>{*this + i};
    }
    ref<T> operator*() const
    {
        return ref<T>{*this};
    }
    ptr operator+(int64_t i) const
    {
        return ptr{a, at + i};
    }
    ptr operator-(int64_t i) const
    {
        return ptr{a, at - i};
    }
    ptr &operator+=(int64_t i)
    {
        at += i;
        return *this;
    }
    /* The same memory as another type; the place must be a whole number of U. */
    template <typename U> ptr<U> as() const
    {
        int64_t byte = at * (int64_t)sizeof(T);
        if (byte % (int64_t)sizeof(U))
            fail("shared array %s: byte %lld seen as elements of %zu bytes", a->name,
                 (long long)byte, sizeof(U));
        return ptr<U>{a, byte / (int64_t)sizeof(U)};
    }
    T get() const
    {
        T x;
        memcpy(&x, shared_touch(a, at * (int64_t)sizeof(T), sizeof(T), sizeof(T), READ), sizeof x);
        return x;
    }
    void set(T x) const
    {
        memcpy(shared_touch(a, at * (int64_t)sizeof(T), sizeof(T), sizeof(T), WRITE), &x, sizeof x);
    }
};

template <typename T> struct ref {
    ptr<T> p;

    operator T() const
    {
        return p.get();
    }
    const ref &operator=(T x) const
    {
        p.set(x);
        return *this;
    }
    const ref &operator=(const ref &o) const
    {
        p.set(o.p.get());
        return *this;
    }
    const ref &operator+=(T x) const
    {
        p.set(p.get() + x);
        return *this;
    }
    const ref &operator-=(T x) const
    {
        p.set(p.get() - x);
        return *this;
    }
    const ref &operator*=(T x) const
    {
        p.set(p.get() * x);
        return *this;
    }
};

template <typename T> ptr<T> shared(const void *key, size_t n, const char *name)
{
    return ptr<T>{shared_find(key, n * sizeof(T), name), 0};
}
template <typename T> ptr<T> dynamic(const char *name)
{
    return ptr<T>{shared_dynamic(name), 0};
}

/* --- waiting --- */

void barrier(int line, const char *file);
int  barrier_reduce(int value, int how, int line, const char *file); /* 0 or, 1 and, 2 count */
void warp_barrier(unsigned mask, int line, const char *file);
/* Every lane of mask gives `bytes` and gets the values of all; all: (32, bytes), valid until the
 * lane's next collective. Returns the lanes that gave. */
unsigned warp_exchange(unsigned mask, const void *mine, size_t bytes, const void **all, int line,
                       const char *file);
void     spin();
int      lane();

/* One lane's value of each lane, for shuffles. `from` outside the mask is an error. */
template <typename T> T shuffle(unsigned mask, T x, int from, int line, const char *file)
{
    const void *all;
    T           y;
    unsigned    gave = warp_exchange(mask, &x, sizeof x, &all, line, file);
    if (!(gave >> from & 1))
        fail("shuffle at %s:%d reads lane %d, which is not in mask %08x", file, line, from, gave);
    memcpy(&y, (const char *)all + (size_t)from * sizeof y, sizeof y);
    return y;
}
template <typename T>
T shuffle_up(unsigned mask, T x, unsigned delta, int width, int line, const char *file)
{
    int l = lane(), first = l / width * width, from = l - (int)delta;
    return shuffle(mask, x, from < first ? l : from, line, file);
}
template <typename T>
T shuffle_down(unsigned mask, T x, unsigned delta, int width, int line, const char *file)
{
    int l = lane(), last = l / width * width + width - 1, from = l + (int)delta;
    return shuffle(mask, x, from > last ? l : from, line, file);
}
template <typename T>
T shuffle_xor(unsigned mask, T x, int bits, int width, int line, const char *file)
{
    int l = lane(), from = l ^ bits, last = l / width * width + width - 1;
    return shuffle(mask, x, from > last ? l : from, line, file);
}
template <typename T>
T shuffle_index(unsigned mask, T x, int index, int width, int line, const char *file)
{
    int l = lane();
    return shuffle(mask, x, l / width * width + (index & (width - 1)), line, file);
}
unsigned ballot(unsigned mask, int value, int line, const char *file);

/* --- launches --- */

asd_status launch(const char *name, dim3 grid, dim3 block, size_t shared_bytes, int cooperative,
                  asd_stream *s, const std::function<void()> &thread);

template <typename... Formal, typename... Actual>
asd_status launch_kernel(const char *name, void (*kernel)(Formal...), dim3 grid, dim3 block,
                         size_t shared_bytes, int cooperative, asd_stream *s, Actual... actual)
{
    return launch(name, grid, block, shared_bytes, cooperative, s,
                  [=] { kernel(static_cast<Formal>(actual)...); });
}

} // namespace simt

template <typename T> using shared_ptr = simt::ptr<T>;

static inline void asd_check_aligned(const void *p, int bytes, const char *what)
{
    simt::global_align(p, (size_t)bytes, what);
}
template <typename T>
static inline void asd_check_aligned(shared_ptr<T> p, int bytes, const char *what)
{
    simt::shared_align(p.a, p.at * (int64_t)sizeof(T), (size_t)bytes, what);
}

#define ASD_SHARED(T, name, n)                                                                     \
    static const char   name##_key = 0;                                                            \
    const shared_ptr<T> name       = simt::shared<T>(&name##_key, n, #name)
#define ASD_DYNAMIC_SHARED(T, name) const shared_ptr<T> name = simt::dynamic<T>(#name)

#define ASD_LAUNCH(kernel, grid, block, shared_bytes, stream, ...)                                 \
    simt::launch_kernel(#kernel, kernel, grid, block, shared_bytes, 0, stream, __VA_ARGS__)
#define ASD_LAUNCH_COOPERATIVE(kernel, grid, block, shared_bytes, stream, ...)                     \
    simt::launch_kernel(#kernel, kernel, grid, block, shared_bytes, 1, stream, __VA_ARGS__)
/* Few, so that cooperative launches stay small. */
#define ASD_RESIDENT_BLOCKS(kernel, block, shared_bytes, stream, out) (*(out) = 8, ASD_OK)

#define threadIdx (simt::here().thread)
#define blockIdx (simt::here().block)
#define blockDim (simt::here().block_size)
#define gridDim (simt::here().grid_size)
enum { warpSize = 32 };

#define __syncthreads() simt::barrier(__LINE__, __FILE__)
#define __syncthreads_or(x) simt::barrier_reduce(!!(x), 0, __LINE__, __FILE__)
#define __syncthreads_and(x) simt::barrier_reduce(!!(x), 1, __LINE__, __FILE__)
#define __syncthreads_count(x) simt::barrier_reduce(!!(x), 2, __LINE__, __FILE__)
/* Macros with defaults: the mask, and 32 for the width of a shuffle. */
#define SIMT_MASK(...) SIMT_FIRST(__VA_ARGS__ __VA_OPT__(, ) 0xffffffffu)
#define SIMT_FIRST(x, ...) x
#define SIMT_WIDTH(...) SIMT_FIRST(__VA_ARGS__ __VA_OPT__(, ) 32)
#define __syncwarp(...) simt::warp_barrier(SIMT_MASK(__VA_ARGS__), __LINE__, __FILE__)
#define __shfl_sync(mask, x, from, ...)                                                            \
    simt::shuffle_index(mask, x, from, SIMT_WIDTH(__VA_ARGS__), __LINE__, __FILE__)
#define __shfl_up_sync(mask, x, delta, ...)                                                        \
    simt::shuffle_up(mask, x, delta, SIMT_WIDTH(__VA_ARGS__), __LINE__, __FILE__)
#define __shfl_down_sync(mask, x, delta, ...)                                                      \
    simt::shuffle_down(mask, x, delta, SIMT_WIDTH(__VA_ARGS__), __LINE__, __FILE__)
#define __shfl_xor_sync(mask, x, bits, ...)                                                        \
    simt::shuffle_xor(mask, x, bits, SIMT_WIDTH(__VA_ARGS__), __LINE__, __FILE__)
#define __ballot_sync(mask, x) simt::ballot(mask, !!(x), __LINE__, __FILE__)
#define __any_sync(mask, x) (simt::ballot(mask, !!(x), __LINE__, __FILE__) != 0)
#define __all_sync(mask, x) (simt::ballot(mask, !(x), __LINE__, __FILE__) == 0)
#define asd_spin() simt::spin()

/* One host thread runs everything, so these order nothing more. */
static inline void __threadfence()
{
}
static inline void __threadfence_block()
{
}

/* --- atomics: global memory by plain pointer, shared by shared_ptr --- */

template <typename T, typename U> static inline T atomicAdd(T *p, U x)
{
    T old = *p;
    *p    = old + (T)x;
    return old;
}
template <typename T, typename U> static inline T atomicMax(T *p, U x)
{
    T old = *p;
    *p    = old > (T)x ? old : (T)x;
    return old;
}
template <typename T, typename U> static inline T atomicMin(T *p, U x)
{
    T old = *p;
    *p    = old < (T)x ? old : (T)x;
    return old;
}
template <typename T, typename U> static inline T atomicExch(T *p, U x)
{
    T old = *p;
    *p    = (T)x;
    return old;
}
template <typename T> static inline T atomicCAS(T *p, T compare, T x)
{
    T old = *p;
    if (old == compare)
        *p = x;
    return old;
}
template <typename T, typename U> static inline T atomicAdd(simt::ptr<T> p, U x)
{
    T *place =
        (T *)simt::shared_touch(p.a, p.at * (int64_t)sizeof(T), sizeof(T), sizeof(T), simt::ATOMIC);
    return atomicAdd(place, x);
}

/* --- maths that CUDA has and C++ has not --- */

static inline float rsqrtf(float x)
{
    return 1 / sqrtf(x);
}
static inline double rsqrt(double x)
{
    return 1 / sqrt(x);
}
static inline float __fdividef(float a, float b)
{
    return a / b;
}
static inline float __fmul_rn(float a, float b)
{
    return a * b;
}
static inline float __fadd_rn(float a, float b)
{
    return a + b;
}
static inline uint32_t __float_as_uint(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}
static inline float __uint_as_float(uint32_t u)
{
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}
static inline uint32_t __umulhi(uint32_t a, uint32_t b)
{
    return (uint32_t)((uint64_t)a * b >> 32);
}
static inline int __popc(uint32_t x)
{
    return __builtin_popcount(x);
}
static inline int __clz(int x)
{
    return x ? __builtin_clz((unsigned)x) : 32;
}
static inline int __ffs(int x)
{
    return __builtin_ffs(x);
}
static inline unsigned __brev(unsigned x)
{
    unsigned y = 0;
    for (int i = 0; i < 32; ++i)
        y |= (x >> i & 1) << (31 - i);
    return y;
}
template <typename T> static inline T __ldg(const T *p)
{
    return *p;
}
template <typename T> static inline T __ldcs(const T *p)
{
    return *p;
}
template <typename T> static inline void __stcs(T *p, T x)
{
    *p = x;
}
static inline int min(int a, int b)
{
    return a < b ? a : b;
}
static inline int max(int a, int b)
{
    return a > b ? a : b;
}
static inline unsigned min(unsigned a, unsigned b)
{
    return a < b ? a : b;
}
static inline unsigned max(unsigned a, unsigned b)
{
    return a > b ? a : b;
}
static inline long long min(long long a, long long b)
{
    return a < b ? a : b;
}
static inline long long max(long long a, long long b)
{
    return a > b ? a : b;
}
static inline long min(long a, long b)
{
    return a < b ? a : b;
}
static inline long max(long a, long b)
{
    return a > b ? a : b;
}
static inline void sincospif(float x, float *s, float *c)
{
    *s = (float)sin(3.14159265358979323846 * (double)x);
    *c = (float)cos(3.14159265358979323846 * (double)x);
}

#endif
