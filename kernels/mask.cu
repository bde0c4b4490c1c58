/* mask.cu - mask.c on the device. Memory-bound: each kept value is read once and written once,
 * others are written only. */
#include "cuda/kernel.cuh"

#include "kernels/op.h"

enum { THREADS = 256, ROWS = 16 };

/* A block has 16 rows. from, to: (B P, C)   add: to what is there, which then stays behind the
 * length */
template <typename T>
static __global__ void __launch_bounds__(THREADS)
    mask_k(const T *__restrict__ from, const int32_t *__restrict__ lengths, T *__restrict__ to,
           int64_t R, int P, int C, int add)
{
    int64_t  first = (int64_t)blockIdx.x * ROWS;
    unsigned rows  = (unsigned)(R - first < ROWS ? R - first : (int64_t)ROWS);
#pragma unroll 4
    for (unsigned i = threadIdx.x; i < rows * (unsigned)C; i += THREADS) {
        int64_t row = first + i / (unsigned)C, o = first * C + i;
        int     keep = (int)(row % P) < lengths[row / P];
        float   v    = keep ? to_f32(from[o]) : 0.0f;
        to[o]        = from_f32<T>(add ? to_f32(to[o]) + v : v);
    }
}

template <typename T> static asd_status run(const asd_call *c, const void *from, void *to, int add)
{
    int64_t R = asd_rows(c->y.shape);
    return ASD_LAUNCH((mask_k<T>), dim3(asd_blocks(R, ROWS)), dim3(THREADS), 0, c->stream,
                      (const T *)from, (const int32_t *)c->x[1].x, (T *)to, R, (int)c->y.shape.d[1],
                      (int)asd_last(c->y.shape), add);
}

extern "C" asd_status mask_fwd_cuda(const asd_call *c)
{
    return c->x[0].dtype == ASD_BF16 ? run<bf16>(c, c->x[0].x, c->y.x, 0)
                                     : run<float>(c, c->x[0].x, c->y.x, 0);
}

extern "C" asd_status mask_bwd_cuda(const asd_call *c)
{
    if (!c->x[0].g)
        return ASD_OK;
    return c->x[0].dtype == ASD_BF16 ? run<bf16>(c, c->y.g, c->x[0].g, c->acc[0])
                                     : run<float>(c, c->y.g, c->x[0].g, c->acc[0]);
}
