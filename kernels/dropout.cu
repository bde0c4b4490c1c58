/* dropout.cu - dropout.c on the device: the same mask, bit for bit. Memory-bound: 2 tensors through
 * memory; a block of four random words is about 70 instructions, so 18 a value, of the 38 that the
 * cores have time for at 3 TB/s in bf16. */
#include "cuda/kernel.cuh"

#include "base/rng.h"
#include "cuda/each.cuh"
#include "cuda/philox.cuh"
#include "kernels/dropout.h"
#include "kernels/op.h"

/* Forward on x, backward on dy. A thread's pack is one block of random words, or two. */
template <typename T>
static __global__ void __launch_bounds__(EACH_THREADS)
    dropout_k(const T *x, T *y, int64_t n, const asd_step *step, uint64_t stream, uint32_t below,
              float scale, int add)
{
    enum { N = pack<T>::N };
    int64_t o = each_first<T>();
    if (o >= n)
        return;
    random_cell cell = random_open(step->seed, ASD_RNG_DROPOUT, (uint64_t)step->step, stream);
    pack<T>     in   = each_load(x, o, n);
    uint32_t    word[N];
    float       out[N];
#pragma unroll
    for (int i = 0; i < N; i += 4)
        random_block(cell, (uint32_t)((o + i) / 4), word + i);
#pragma unroll
    for (int i = 0; i < N; ++i)
        out[i] = word[i] < below ? 0.0f : pack_get(in, i) * scale;
    each_put(y, o, n, out, add);
}

template <typename T> static asd_status apply(const asd_call *c, const void *x, void *y, int add)
{
    const asd_dropout_attr *a = (const asd_dropout_attr *)c->attr;
    int64_t                 n = asd_count(c->y.shape);
    return ASD_LAUNCH((dropout_k<T>), each_blocks<T>(n), dim3(EACH_THREADS), 0, c->stream,
                      (const T *)x, (T *)y, n, c->step, a->stream, asd_dropout_below(a->drop_prob),
                      1 / (1 - a->drop_prob), add);
}

extern "C" asd_status dropout_fwd_cuda(const asd_call *c)
{
    if (!c->training)
        return asd_stream_copy(c->stream, c->y.x, c->x[0].x,
                               (size_t)asd_count(c->y.shape) * asd_dtype_size(c->y.dtype));
    return c->x[0].dtype == ASD_BF16 ? apply<bf16>(c, c->x[0].x, c->y.x, 0)
                                     : apply<float>(c, c->x[0].x, c->y.x, 0);
}

extern "C" asd_status dropout_bwd_cuda(const asd_call *c)
{
    /* y = m x / (1 - p)  ->  dx = m dy / (1 - p) */
    if (!c->x[0].g)
        return ASD_OK;
    return c->x[0].dtype == ASD_BF16 ? apply<bf16>(c, c->y.g, c->x[0].g, c->acc[0])
                                     : apply<float>(c, c->y.g, c->x[0].g, c->acc[0]);
}
