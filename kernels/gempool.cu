/* gempool.cu - gempool.c on the device. Memory-bound for power 3: forward reads x, backward reads x
 * and writes dx; 25.9 MB each for 34 clips of 496 x 768 in bf16. Other powers take a powf (about 30
 * instructions) for each value. */
#include "cuda/kernel.cuh"

#include "cuda/pool.cuh"

#include <math.h>

/* As in pool.cuh. CUBE: the power is 3. y, saved: (B, C) */
template <typename T, int N, bool CUBE>
static __global__ void __launch_bounds__(POOL_THREADS)
    gempool_fwd_k(const T *__restrict__ x, T *__restrict__ y, float *__restrict__ saved,
                  asd_gem_attr q, pool_args a)
{
    ASD_SHARED(float, slices, POOL_THREADS *N);
    pool_place<N> w(a);
    float         sum = pool_sum<N>(x, a, w, slices + 0, [&](float v, int) {
        float h = v < q.eps ? q.eps : v; /* this way round a NaN stays one */
        return CUBE ? h * h * h : powf(h, q.p);
    });
    if (w.column < a.C) {
        float mean = sum / (float)(w.n ? w.n : 1);
        float root = CUBE ? cbrtf(mean) : powf(mean, 1 / q.p);

        saved[w.b * a.C + w.column] = root;
        y[w.b * a.C + w.column]     = from_f32<T>(root);
    }
}

template <typename T, int N, bool CUBE>
static __global__ void __launch_bounds__(POOL_THREADS)
    gempool_bwd_k(const T *__restrict__ x, const T *__restrict__ dy,
                  const float *__restrict__ saved, asd_gem_attr q, T *__restrict__ dx, pool_args a)
{
    pool_place<N> w(a);
    float         share[N] = {0}, inverse[N] = {0};
    if (w.inside && w.n) { /* without tokens y is 0 */
        load_f32<N>(dy + w.b * a.C + w.at, share);
        load_f32<N>(saved + w.b * a.C + w.at, inverse);
#pragma unroll
        for (int i = 0; i < N; ++i) {
            share[i] /= (float)w.n;
            inverse[i] = 1 / inverse[i];
        }
    }
    pool_spread<N, true>(x, dx, a, w, [&](float v, int i) {
        float r = v * inverse[i];
        return v > q.eps ? share[i] * (CUBE ? r * r : powf(r, q.p - 1)) : 0.0f;
    });
}

static asd_gem_attr attr_of(const asd_call *c)
{
    return *(const asd_gem_attr *)c->attr;
}

template <bool CUBE> static asd_status forward(const asd_call *c)
{
    return pool_switch(c, [&](auto plan) {
        typedef typename decltype(plan)::type T;
        constexpr int                         N = decltype(plan)::n;
        return ASD_LAUNCH((gempool_fwd_k<T, N, CUBE>), pool_grid<N>(c, false), dim3(POOL_THREADS),
                          0, c->stream, (const T *)c->x[0].x, (T *)c->y.x, (float *)c->saved,
                          attr_of(c), pool_args_of(c));
    });
}

extern "C" asd_status gempool_fwd_cuda(const asd_call *c)
{
    return attr_of(c).p == 3 ? forward<true>(c) : forward<false>(c);
}

template <bool CUBE> static asd_status backward(const asd_call *c)
{
    return pool_switch(c, [&](auto plan) {
        typedef typename decltype(plan)::type T;
        constexpr int                         N = decltype(plan)::n;
        return ASD_LAUNCH((gempool_bwd_k<T, N, CUBE>), pool_grid<N>(c, true), dim3(POOL_THREADS), 0,
                          c->stream, (const T *)c->x[0].x, (const T *)c->y.g,
                          (const float *)c->saved, attr_of(c), (T *)c->x[0].g, pool_args_of(c));
    });
}

extern "C" asd_status gempool_bwd_cuda(const asd_call *c)
{
    /* y = (sum h^q / n)^(1/q)  ->  dx = dy (h / y)^(q-1) / n where h = x */
    if (!c->x[0].g)
        return ASD_OK;
    return attr_of(c).p == 3 ? backward<true>(c) : backward<false>(c);
}
