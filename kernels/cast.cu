/* cast.cu - cast.c on the device. Memory-bound: each value is read once and written once. A thread
 * has four values, a block apart, so that four loads are in flight and a warp's are side by side.
 */
#include "cuda/kernel.cuh"

#include "kernels/op.h"

enum { THREADS = 256, FLIGHT = 4 };

/* to = factor from (+ to). from and to: (n) */
template <typename From, typename To>
static __global__ void __launch_bounds__(THREADS)
    cast_k(const From *__restrict__ from, To *__restrict__ to, int64_t n, float factor, int add)
{
    int64_t first = (int64_t)blockIdx.x * THREADS * FLIGHT + threadIdx.x;
#pragma unroll
    for (int k = 0; k < FLIGHT; ++k) {
        int64_t i = first + k * THREADS;
        if (i < n)
            to[i] = from_f32<To>(factor * to_f32(from[i]) + (add ? to_f32(to[i]) : 0.0f));
    }
}

template <typename From, typename To>
static asd_status run_by(const asd_call *c, const void *from, void *to, float factor, int add)
{
    int64_t n = asd_count(c->y.shape);
    return ASD_LAUNCH((cast_k<From, To>), dim3(asd_blocks(n, THREADS * FLIGHT)), dim3(THREADS), 0,
                      c->stream, (const From *)from, (To *)to, n, factor, add);
}

template <typename From>
static asd_status run(const asd_call *c, const void *from, asd_dtype to_type, void *to,
                      float factor, int add)
{
    return to_type == ASD_BF16 ? run_by<From, bf16>(c, from, to, factor, add)
                               : run_by<From, float>(c, from, to, factor, add);
}

extern "C" asd_status cast_fwd_cuda(const asd_call *c)
{
    return c->x[0].dtype == ASD_BF16 ? run<bf16>(c, c->x[0].x, c->y.dtype, c->y.x, 1, 0)
                                     : run<float>(c, c->x[0].x, c->y.dtype, c->y.x, 1, 0);
}

extern "C" asd_status cast_bwd_cuda(const asd_call *c)
{
    const asd_cast_attr *a = (const asd_cast_attr *)c->attr;
    if (!c->x[0].g)
        return ASD_OK;
    return c->y.g_dtype == ASD_BF16
               ? run<bf16>(c, c->y.g, c->x[0].g_dtype, c->x[0].g, a->grad_scale, c->acc[0])
               : run<float>(c, c->y.g, c->x[0].g_dtype, c->x[0].g, a->grad_scale, c->acc[0]);
}
