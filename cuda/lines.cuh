/* lines.cuh - sums over rows in two passes: a block per part of the rows leaves a line, and then
 * the lines are added in order. The parts are those of kernels/rows.h. */
#ifndef ASD_CUDA_LINES_CUH
#define ASD_CUDA_LINES_CUH

#include "cuda/pack.cuh"
#include "kernels/rows.h"

/* A block of the first pass: its warps take rows in turn. */
enum { LINE_WARPS = ASD_PART_ROUND, LINE_THREADS = WARP * LINE_WARPS };

/* The warps' sums of the same columns, added in order of warps, into this block's line. Lane l of a
 * warp has in sums[k * N + i] its sum of column (k * 32 + l) * N + i, for k < PACKS; columns from C
 * on are left out. buffer: LINE_THREADS * N floats. All threads of the block must call. */
template <int N, int PACKS>
static __device__ __forceinline__ void line_put(const float *sums, shared_ptr<float> buffer, int C,
                                                float *line)
{
    enum { COLUMNS = WARP * N };
    static_assert((int)COLUMNS <= (int)LINE_THREADS, "a thread for each column of a round");
    int lane = (int)threadIdx.x % WARP, warp = (int)threadIdx.x / WARP;
#pragma unroll
    for (int k = 0; k < PACKS; ++k) {
        __syncthreads(); /* the columns before have been read */
#pragma unroll
        for (int i = 0; i < N; i += N < 4 ? 1 : 4) {
            shared_ptr<float> to = buffer + (warp * COLUMNS + lane * N + i);
            if constexpr (N < 4) {
                *to = sums[k * N + i];
            } else {
                const float *s    = sums + k * N + i;
                pack<float>  four = {{s[0], s[1], s[2], s[3]}};
                store_shared16(to, four);
            }
        }
        __syncthreads();
        int column = k * COLUMNS + (int)threadIdx.x;
        if ((int)threadIdx.x < COLUMNS && column < C) {
            float sum = 0;
#pragma unroll
            for (int w = 0; w < LINE_WARPS; ++w)
                sum += buffer[w * COLUMNS + (int)threadIdx.x];
            line[column] = sum;
        }
    }
}

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
