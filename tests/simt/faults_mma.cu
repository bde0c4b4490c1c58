/* faults_mma.cu - as faults.cu, for asynchronous copies, 16-byte accesses, ldmatrix and mma. */
#include "cuda/mma.cuh"
#include "cuda/pack.cuh"
#include "cuda/wgmma.cuh"

#include "tests/simt/faults.h"

enum { THREADS = 64, CHUNKS = 16 };

/* y[0] = sum of x (64), brought by the first 16 threads in two groups; `fault` breaks one thing. */
static __global__ void copy_k(const float *x, float *y, int fault)
{
    ASD_SHARED(float, s, THREADS);
    int t = (int)threadIdx.x;
    if (fault == FAULT_COPY_OVER_READ) {
        s[t] = x[t];
        __syncthreads();
        y[t] = s[63 - t]; /* and no barrier before the copy below */
    }
    if (fault == FAULT_PACK_MISALIGNED)
        y[t] = pack_get(load16(x + 1), 0);
    for (int i = t; i < CHUNKS; i += CHUNKS / 2) {
        if (t < CHUNKS / 2)
            cp_async16(s + 4 * i + (fault == FAULT_COPY_TO_MISALIGNED ? 2 : 0),
                       x + 4 * i + (fault == FAULT_COPY_FROM_MISALIGNED ? 2 : 0), true);
        if (fault != FAULT_COPY_NO_COMMIT)
            cp_async_commit();
    }
    if (fault == FAULT_COPY_OVERWRITTEN && t == 3)
        s[4 * t] = 1;
    if (fault == FAULT_COPY_WAITS_FOR_OLDER)
        cp_async_wait<1>();
    else if (fault != FAULT_COPY_NO_WAIT)
        cp_async_wait<0>();
    if (fault != FAULT_COPY_NO_BARRIER)
        __syncthreads();
    if (fault == FAULT_SHARED_PACK_MISALIGNED)
        y[t] = pack_get(load_shared16(s + 1), 0);
    /* without the barrier the first threads would find nothing yet; the last finds a race */
    if (t == (fault == FAULT_COPY_NO_BARRIER ? THREADS - 1 : 0)) {
        float sum = 0;
        for (int i = 0; i < THREADS; ++i)
            sum += s[i];
        *y = sum;
    }
}

/* y[0] = first element of a (16, 16) times b (16, 8), where row 0 of a is x[0 .. 5] and zeros, and
 * b is 16: 16 (1 + .. + 6) with x[i] = i + 1. */
static __global__ void mma_k(const float *x, float *y, int fault)
{
    ASD_SHARED(bf16, tile, 256);
    int   t   = (int)threadIdx.x;
    mma_c sum = {};
    mma_a a;
    for (int i = t; i < 256; i += 32)
        if (fault != FAULT_ROW_UNWRITTEN || i != 37)
            tile[i] = from_f32<bf16>(i < 6 ? x[i] : 0.0f);
    __syncwarp();
    int row = t % 16 * 16 + t / 16 * 8;
    if (fault == FAULT_ROW_MISALIGNED && t == 9)
        row += 2;
    if (fault == FAULT_ROW_OUT_OF_BOUNDS && t == 31)
        row += 8;
    ldmatrix_x4(a.x, tile + row);
    uint32_t both = bf16x2(16.0f, 16.0f);
    mma_b    b    = {{both, both}};
    if (fault == FAULT_MMA_LANE_ENDED && t == 31)
        return;
    if (fault != FAULT_MMA_LANE_ABSENT || t != 3)
        mma_16x8x16(sum, a, b);
    __syncwarp();
    if (fault == FAULT_TF32_NOT_ROUNDED) {
        mma_b wide = {{__float_as_uint(0.1f), to_tf32(0.1f)}};
        mma_16x8x8_tf32(sum, a, wide);
    }
    if (t == 0)
        *y = sum.x[0];
}

/* Sixteen columns of a tile, added; twice, the second time into another sum. */
static __global__ void wgmma_k(const float *x, float *y, int fault)
{
    ASD_DYNAMIC_SHARED(bf16, tile);
    int   t      = (int)threadIdx.x;
    mma_c sum[8] = {}, other[8] = {};
    mma_a ones[1];
    for (int i = t; i < 64 * 64; i += 128)
        tile[tile_at<64>(i / 64, i % 64)] = from_f32<bf16>(x[i % 64]);
    if (fault != FAULT_WGMMA_NOT_FILLED || t != 70)
        wgmma_filled();
    __syncthreads();
    for (int i = 0; i < 4; ++i)
        ones[0].x[i] = bf16x2(1, 1);
    wgmma_hold(ones);
    if (fault != FAULT_WGMMA_NOT_BEGUN)
        wgmma_begin();
    wgmma_64x64x16<false>(sum, ones[0], wgmma_tile_at(tile, 0, 0), true);
    if (fault != FAULT_WGMMA_NO_COMMIT)
        wgmma_commit();
    wgmma_64x64x16<false>(other, ones[0], wgmma_tile_at(tile, 0, 16), false);
    wgmma_commit();
    if (fault == FAULT_WGMMA_WAITS_FOR_OLDER)
        wgmma_wait<2>();
    else if (fault != FAULT_WGMMA_NO_WAIT)
        wgmma_wait<1>();
    wgmma_hold(sum);
    float got = sum[7].x[3];
    wgmma_wait<0>();
    wgmma_hold(other);
    if (t == 127)
        *y = got == got ? got + other[7].x[3] : -1;
}

extern "C" asd_status faults_mma_run(asd_stream *s, int fault, const float *x, float *y)
{
    if (fault >= FAULT_NONE_WGMMA)
        return ASD_LAUNCH(wgmma_k, 1, 128, 64 * 64 * sizeof(bf16), s, x, y, fault);
    if (fault >= FAULT_NONE_MMA)
        return ASD_LAUNCH(mma_k, 1, 32, 0, s, x, y, fault);
    return ASD_LAUNCH(copy_k, 1, THREADS, 0, s, x, y, fault);
}
