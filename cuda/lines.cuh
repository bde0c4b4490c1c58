/* lines.cuh - the second pass of sums over rows: adds the parts' lines, see kernels/rows.h. */
#ifndef ASD_CUDA_LINES_CUH
#define ASD_CUDA_LINES_CUH

#include "cuda/kernel.cuh"

/* For each group z and each output y, out[y][z * columns + c] = or += the sum over p of
 * lines[z * group_step + p * ld + y * columns + c]. An output that is NULL is left out. */
typedef struct sum_lines {
    const float *lines;
    int64_t      parts, ld, group_step;
    int          columns;
    float       *out[2];
    int          add[2];
} sum_lines;

enum { SUM_LINES_SLICES = 16 };

/* A block sums 32 columns: warp s takes lines s, s + 16, ..., then warp 0 adds the 16 sums. */
static __global__ void __launch_bounds__(WARP *SUM_LINES_SLICES) sum_lines_k(sum_lines a)
{
    ASD_SHARED(float, slices, WARP *SUM_LINES_SLICES);
    int    lane = (int)threadIdx.x % WARP, slice = (int)threadIdx.x / WARP;
    int    c   = (int)blockIdx.x * WARP + lane;
    float *out = blockIdx.y ? a.out[1] : a.out[0];
    int    add = blockIdx.y ? a.add[1] : a.add[0];
    if (!out)
        return; /* the whole block */
    float sum = 0;
    if (c < a.columns) {
        const float *line =
            a.lines + blockIdx.z * a.group_step + (int64_t)blockIdx.y * a.columns + c;
#pragma unroll 4
        for (int64_t p = slice; p < a.parts; p += SUM_LINES_SLICES)
            sum += line[p * a.ld];
    }
    slices[threadIdx.x] = sum;
    __syncthreads();
    if (slice == 0 && c < a.columns) {
        float all = 0;
#pragma unroll
        for (int s = 0; s < SUM_LINES_SLICES; ++s)
            all += slices[s * WARP + lane];
        float *to = out + (int64_t)blockIdx.z * a.columns + c;
        *to       = add ? *to + all : all;
    }
}

static inline asd_status sum_lines_run(asd_stream *s, sum_lines a, int outputs, unsigned groups)
{
    return ASD_LAUNCH(sum_lines_k, dim3(asd_blocks(a.columns, WARP), (unsigned)outputs, groups),
                      dim3(WARP * SUM_LINES_SLICES), 0, s, a);
}

#endif
