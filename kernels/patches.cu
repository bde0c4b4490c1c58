/* patches.cu - patches.c on the device. Memory-bound: x is read once and y written once; 26.0 MB
 * for 34 clips of 998 x 128 from fp32 to bf16. */
#include "cuda/kernel.cuh"

#include "cuda/pack.cuh"
#include "kernels/op.h"

enum { THREADS = 256 };

/* Where value k of patch `token` is in a clip of (T, F); nf patches side by side. */
typedef struct patch_sizes {
    int T, F, pt, pf, nf, mel_major, count; /* count: values in all patches of a clip */

    __device__ __forceinline__ int place(int token, int k) const
    {
        int i = mel_major ? k % pt : k / pf, j = mel_major ? k / pt : k % pf;
        return (token / nf * pt + i) * F + token % nf * pf + j;
    }
    /* The other way: the value of y that (t, f) goes to, or -1. */
    __device__ __forceinline__ int back(int t, int f) const
    {
        if (t / pt >= T / pt || f / pf >= nf)
            return -1;
        int i = t % pt, j = f % pf;
        return (t / pt * nf + f / pf) * pt * pf + (mel_major ? j * pt + i : i * pf + j);
    }
} patch_sizes;

/* A thread writes N values of a patch. WIDE: they are neighbours in x too, on whole 16 bytes.
 * blockIdx: N values, clip */
template <typename X, typename Y, int N, bool WIDE>
static __global__ void __launch_bounds__(THREADS)
    patches_fwd_k(const X *__restrict__ x, Y *__restrict__ y, patch_sizes s)
{
    int o = (int)(blockIdx.x * THREADS + threadIdx.x) * N, D = s.pt * s.pf;
    if (o >= s.count)
        return;
    float v[N];
    x += (int64_t)blockIdx.y * s.T * s.F;
    if constexpr (WIDE) {
        load_f32<N>(x + s.place(o / D, o % D), v);
    } else {
#pragma unroll
        for (int i = 0; i < N; ++i)
            v[i] = to_f32(x[s.place((o + i) / D, (o + i) % D)]);
    }
    store_f32<N>(y + (int64_t)blockIdx.y * s.count + o, v);
}

/* A thread writes N values of dx. WIDE: they are neighbours in dy too. */
template <typename X, typename Y, int N, bool WIDE>
static __global__ void __launch_bounds__(THREADS)
    patches_bwd_k(const Y *__restrict__ dy, X *__restrict__ dx, patch_sizes s, int add)
{
    static_assert(WIDE || N == 1, "neighbours in dx are neighbours in dy");
    int o = (int)(blockIdx.x * THREADS + threadIdx.x) * N;
    if (o >= s.T * s.F)
        return;
    float v[N] = {0}, old[N] = {0};
    int   from = s.back(o / s.F, o % s.F);
    X    *to   = dx + (int64_t)blockIdx.y * s.T * s.F + o;
    if (from >= 0)
        load_f32<N>(dy + (int64_t)blockIdx.y * s.count + from, v);
    if (add)
        load_f32<N>(to, old);
#pragma unroll
    for (int i = 0; i < N; ++i)
        v[i] += old[i];
    store_f32<N>(to, v);
}

static patch_sizes sizes_of(const asd_call *c)
{
    const asd_patches_attr *a = (const asd_patches_attr *)c->attr;
    patch_sizes             s = {};
    s.T                       = (int)c->x[0].shape.d[1];
    s.F                       = (int)c->x[0].shape.d[2];
    s.pt                      = (int)a->pt;
    s.pf                      = (int)a->pf;
    s.nf                      = s.F / s.pf;
    s.mel_major               = a->mel_major;
    s.count                   = (int)(c->y.shape.d[1] * c->y.shape.d[2]);
    return s;
}

template <typename X, typename Y, int N, bool WIDE>
static asd_status launch_forward(const asd_call *c, patch_sizes s)
{
    return ASD_LAUNCH((patches_fwd_k<X, Y, N, WIDE>),
                      dim3(asd_blocks(s.count, THREADS * N), (unsigned)c->y.shape.d[0]),
                      dim3(THREADS), 0, c->stream, (const X *)c->x[0].x, (Y *)c->y.x, s);
}

template <typename X, typename Y, int N, bool WIDE>
static asd_status launch_backward(const asd_call *c, patch_sizes s)
{
    return ASD_LAUNCH((patches_bwd_k<X, Y, N, WIDE>),
                      dim3(asd_blocks((int64_t)s.T * s.F, THREADS * N), (unsigned)c->y.shape.d[0]),
                      dim3(THREADS), 0, c->stream, (const Y *)c->y.g, (X *)c->x[0].g, s, c->acc[0]);
}

template <typename X, typename Y> static asd_status run(const asd_call *c, bool backward)
{
    enum { N = pack<Y>::N };
    patch_sizes s    = sizes_of(c);
    bool        wide = !s.mel_major && s.F % N == 0 && s.pf % N == 0;
    if (backward)
        return wide ? launch_backward<X, Y, N, true>(c, s) : launch_backward<X, Y, 1, false>(c, s);
    if (wide)
        return launch_forward<X, Y, N, true>(c, s);
    return s.pt * s.pf % N == 0 ? launch_forward<X, Y, N, false>(c, s)
                                : launch_forward<X, Y, 1, false>(c, s);
}

static asd_status run_by_dtype(const asd_call *c, bool backward)
{
    if (c->x[0].dtype == ASD_BF16)
        return run<bf16, bf16>(c, backward);
    return c->y.dtype == ASD_BF16 ? run<float, bf16>(c, backward) : run<float, float>(c, backward);
}

extern "C" asd_status patches_fwd_cuda(const asd_call *c)
{
    return run_by_dtype(c, false);
}

extern "C" asd_status patches_bwd_cuda(const asd_call *c)
{
    /* y = x moved  ->  dx = dy moved back */
    return c->x[0].g ? run_by_dtype(c, true) : ASD_OK;
}
