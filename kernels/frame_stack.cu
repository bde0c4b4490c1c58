/* frame_stack.cu - frame_stack.c on the device: rows of consecutive frames, gathered by index.
 *
 * Mapping: a warp copies a row, its lanes side by side; 8 rows a block. The unit of a copy is 16
 * bytes where every frame starts on 16 bytes (F a multiple of 4 in fp32), else one number. A row of
 * the autoencoder, 640 fp32, is 5 accesses a lane, all of them in flight at once.
 *
 * Bytes: reads and writes y once, and the index; x comes from the L2 cache where rows overlap.
 */
#include "cuda/kernel.cuh"

#include "kernels/op.h"

enum { ROWS = 8 };

/* x: (R, frame) units U   index: (B)   y: (B, row) */
template <typename U>
__global__ void __launch_bounds__(ROWS *WARP)
    frame_stack_fwd_k(const U *__restrict__ x, const int32_t *__restrict__ index, U *__restrict__ y,
                      int64_t B, int64_t frame, int64_t row)
{
    int64_t b = (int64_t)blockIdx.x * ROWS + threadIdx.x / WARP;
    if (b >= B)
        return;
    const U *from = x + index[b] * frame;
    U       *to   = y + b * row;
#pragma unroll 8
    for (int64_t i = threadIdx.x % WARP; i < row; i += WARP)
        to[i] = from[i];
}

template <typename U> static asd_status copy_rows(const asd_call *c)
{
    const asd_frame_stack_attr *a = (const asd_frame_stack_attr *)c->attr;
    int64_t                     B = asd_rows(c->y.shape);
    int64_t                     frame =
        asd_last(c->x[0].shape) * (int64_t)asd_dtype_size(c->y.dtype) / (int64_t)sizeof(U);
    return ASD_LAUNCH((frame_stack_fwd_k<U>), asd_blocks(B, ROWS), ROWS * WARP, 0, c->stream,
                      (const U *)c->x[0].x, (const int32_t *)c->x[1].x, (U *)c->y.x, B, frame,
                      a->stack * frame);
}

extern "C" asd_status frame_stack_fwd_cuda(const asd_call *c)
{
    size_t number = asd_dtype_size(c->y.dtype);
    if ((size_t)asd_last(c->x[0].shape) * number % sizeof(float4) == 0)
        return copy_rows<float4>(c);
    return number == 4 ? copy_rows<uint32_t>(c) : copy_rows<uint16_t>(c);
}
