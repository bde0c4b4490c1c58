/* faults.cu - kernels with one mistake each, for test_simt.c: what the shim must report. And their
 * correct twins, which it must not. */
#include "cuda/kernel.cuh"
#include "cuda/reduce.cuh"

#include "tests/simt/faults.h"

enum { THREADS = 64 };

/* Sums a block through shared memory; `fault` breaks one thing. */
static __global__ void sum_k(const float *x, float *y, int fault)
{
    ASD_SHARED(float, s, THREADS);
    int t = (int)threadIdx.x;
    if (fault != FAULT_UNWRITTEN || t != 13)
        s[t] = x[t];
    if (fault != FAULT_MISSING_BARRIER)
        __syncthreads();
    if (fault == FAULT_OUT_OF_BOUNDS && t == 5)
        s[THREADS] = 1;
    if (fault == FAULT_DIVERGENT_BARRIER && t >= 32)
        return;
    if (fault == FAULT_OTHER_BARRIER && t == 40)
        __syncthreads();
    else
        __syncthreads();
    for (int n = THREADS / 2; n; n /= 2) {
        if (t < n)
            s[t] += s[t + n];
        if (n > 1 && fault != FAULT_MISSING_LAST_BARRIER)
            __syncthreads();
    }
    if (t == 0)
        *y = s[0];
}

/* A tree inside one warp, ordered by __syncwarp alone. */
static __global__ void warp_k(const float *x, float *y, int fault)
{
    ASD_SHARED(float, s, 32);
    int t = (int)threadIdx.x;
    s[t]  = x[t];
    for (int n = 16; n; n /= 2) {
        if (fault != FAULT_MISSING_SYNCWARP)
            __syncwarp();
        float other = t < n ? s[t + n] : 0;
        if (fault == FAULT_SHUFFLE_MASK)
            other += __shfl_sync(0x0000ffffu, other, 20);
        if (fault == FAULT_SHUFFLE_ABSENT && t != 7)
            other = __shfl_xor_sync(ALL_LANES, other, 1);
        if (t < n)
            s[t] += other;
    }
    if (t == 0)
        *y = s[0];
}

static __global__ void spin_k(int *flag)
{
    while (atomicAdd(flag, 0) == 0)
        asd_spin();
}

/* Every warp and lane in its place: y[t] = sum over the warp of x, plus votes. */
static __global__ void collectives_k(const float *x, float *y)
{
    int      t   = (int)threadIdx.x;
    float    sum = warp_sum(x[t]);
    unsigned odd = __ballot_sync(ALL_LANES, t & 1);
    float next = __shfl_down_sync(ALL_LANES, x[t], 1), first = __shfl_sync(ALL_LANES, x[t], 0, 8);
    float half = 0;
    if (t % 32 < 16) /* half a warp on its own */
        half = __shfl_xor_sync(0x0000ffffu, x[t], 8);
    y[t] = sum + (odd == 0xaaaaaaaau) + next + 2 * first + 4 * half +
           8 * (float)__syncthreads_count(t < 10);
}

extern "C" asd_status faults_run(asd_stream *s, int fault, const float *x, float *y, int *flag)
{
    switch (fault) {
    case FAULT_MISSING_SYNCWARP:
    case FAULT_SHUFFLE_MASK:
    case FAULT_SHUFFLE_ABSENT:
    case FAULT_NONE_WARP: return ASD_LAUNCH(warp_k, 1, 32, 0, s, x, y, fault);
    case FAULT_ENDLESS: return ASD_LAUNCH(spin_k, 1, 32, 0, s, flag);
    case FAULT_NONE_COLLECTIVES: return ASD_LAUNCH(collectives_k, 1, THREADS, 0, s, x, y);
    case FAULT_TOO_MANY_THREADS: return ASD_LAUNCH(sum_k, 1, 2048, 0, s, x, y, fault);
    default: return ASD_LAUNCH(sum_k, 1, THREADS, 0, s, x, y, fault);
    }
}
