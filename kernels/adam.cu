/* adam.cu - see adam.h. The norm, the clipping and the update of G networks in one launch.
 *
 * One block takes one chunk after another (a grid's stride apart); a chunk is up to 2,048 elements
 * of one network, 8 a thread as two 16-byte packs. Without clipping the update does not wait for
 * the norm: one pass reads g, w, m, v and writes w, m, v, and sums g g on the way. With clipping a
 * first pass sums, a barrier over the grid follows, then the update reads g a second time, from the
 * second-level cache (10 MB for 2.6 M parameters, of 50 MB on an H100). Each block adds up its
 * network's partial sums by itself, in one order whatever the grid; sums are in double.
 *
 * Bytes a parameter: 16 read, 12 written (+ 4 read again with clipping, + 2 written with w16).
 * 2.6 M parameters: 73 MB, of which g, w, m and v fit in the cache from step to step. FLOP: 14 a
 * parameter and one multiply-add in double. One barrier of the grid, about 2 us. Not measured.
 *
 * Partial sums are written by one block and read by others: plain pointers, no __restrict__.
 */
#include "cuda/kernel.cuh"

#include "cuda/grid.cuh"   /* grid_barrier */
#include "cuda/pack.cuh"   /* load16, store16 */
#include "cuda/reduce.cuh" /* block_sum */
#include "kernels/adam.h"

enum { THREADS = 256, PACKS = ASD_ADAM_CHUNK / 4 / THREADS };

static_assert(PACKS * 4 * THREADS == ASD_ADAM_CHUNK, "a chunk is whole packs of all threads");

struct adam_args {
    asd_adam              a;
    const asd_adam_chunk *chunk;
    const int32_t        *group_chunk;
    int                   n_chunks, groups;
    const asd_step       *step;
    float                *w, *m, *v;
    const float          *g;
    bf16                 *w16; /* NULL for none */
    double               *partial, *norm;
    unsigned             *barrier;
};

/* What the update multiplies with: the same conversions as in adam.c. */
struct adam_rates {
    float beta1_rest, beta2, beta2_rest, eps, l2, step_size, root_correction, shrink;
};

static __device__ __forceinline__ double square(float x)
{
    return (double)x * (double)x;
}

/* Chunks that begin on 16 bytes are read in packs; the rest of a chunk, and a network whose
 * parameters have an odd size, element by element. */
static __device__ __forceinline__ int packs_of(const asd_adam_chunk &c)
{
    return c.first % 4 == 0 ? c.n / 4 : 0;
}

static __device__ double sum_chunk(const float *__restrict__ g, const asd_adam_chunk &c)
{
    int    packs = packs_of(c);
    double sum   = 0;
#pragma unroll
    for (int k = 0; k < PACKS; ++k) {
        int i = (int)threadIdx.x + k * THREADS;
        if (i < packs) {
            pack<float> x = load16(g + c.first + 4 * i);
            sum += (square(x.v[0]) + square(x.v[1])) + (square(x.v[2]) + square(x.v[3]));
        }
    }
    for (int i = 4 * packs + (int)threadIdx.x; i < c.n; i += THREADS)
        sum += square(g[c.first + i]);
    return sum;
}

static __device__ __forceinline__ void update_one(const adam_rates &r, float clip, float g,
                                                  float *w, float *m, float *v)
{
    float wi = *w * r.shrink;
    float gi = g * clip + r.l2 * wi;
    float mi = *m + r.beta1_rest * (gi - *m);
    float vi = r.beta2 * *v + r.beta2_rest * gi * gi;
    *m       = mi;
    *v       = vi;
    *w       = wi - r.step_size * (mi / (sqrtf(vi) / r.root_correction + r.eps));
}

/* Updates a chunk and returns this thread's share of the sum of g g. */
static __device__ double update_chunk(const adam_args &a, const adam_rates &r, float clip,
                                      const asd_adam_chunk &c)
{
    const float *__restrict__ g = a.g + c.first;
    float      *w = a.w + c.first, *m = a.m + c.first, *v = a.v + c.first;
    bf16       *w16       = a.w16 ? a.w16 + c.first : nullptr;
    int         packs     = packs_of(c);
    double      sum       = 0;
    pack<float> pg[PACKS] = {}, pw[PACKS] = {}, pm[PACKS] = {}, pv[PACKS] = {};
#pragma unroll
    for (int k = 0; k < PACKS; ++k) { /* all loads under way before the first is used */
        int i = (int)threadIdx.x + k * THREADS;
        if (i < packs) {
            pg[k] = load16(g + 4 * i);
            pw[k] = load16(w + 4 * i);
            pm[k] = load16(m + 4 * i);
            pv[k] = load16(v + 4 * i);
        }
    }
#pragma unroll
    for (int k = 0; k < PACKS; ++k) {
        int i = (int)threadIdx.x + k * THREADS;
        if (i < packs) {
            sum += (square(pg[k].v[0]) + square(pg[k].v[1])) +
                   (square(pg[k].v[2]) + square(pg[k].v[3]));
#pragma unroll
            for (int e = 0; e < 4; ++e) {
                update_one(r, clip, pg[k].v[e], &pw[k].v[e], &pm[k].v[e], &pv[k].v[e]);
                if (w16)
                    w16[4 * i + e] = from_f32<bf16>(pw[k].v[e]);
            }
            store16(w + 4 * i, pw[k]);
            store16(m + 4 * i, pm[k]);
            store16(v + 4 * i, pv[k]);
        }
    }
    for (int i = 4 * packs + (int)threadIdx.x; i < c.n; i += THREADS) {
        sum += square(g[i]);
        update_one(r, clip, g[i], w + i, m + i, v + i);
        if (w16)
            w16[i] = from_f32<bf16>(w[i]);
    }
    return sum;
}

/* The norm of network `group`, in all threads: thread t adds partial sums t, t + 256, ... */
static __device__ double group_norm(const adam_args &a, int group, shared_ptr<double> scratch)
{
    double sum = 0;
    for (int i = a.group_chunk[group] + (int)threadIdx.x; i < a.group_chunk[group + 1];
         i += THREADS)
        sum += a.partial[i];
    return sqrt(block_sum<THREADS>(sum, scratch));
}

/* One thread raises the betas to the step's power and tells the block. rates: (3) */
static __device__ adam_rates read_rates(const adam_args &a, shared_ptr<float> rates)
{
    if (threadIdx.x == 0) {
        double t = (double)a.step->step + 1, lr = (double)a.step->lr;
        rates[0] = (float)(lr / (1 - pow(a.a.beta1, t)));
        rates[1] = (float)sqrt(1 - pow(a.a.beta2, t));
        rates[2] = a.a.decoupled ? (float)(1 - lr * a.a.weight_decay) : 1.0f;
    }
    __syncthreads();
    adam_rates r;
    r.beta1_rest      = (float)(1 - a.a.beta1);
    r.beta2           = (float)a.a.beta2;
    r.beta2_rest      = (float)(1 - a.a.beta2);
    r.eps             = (float)a.a.eps;
    r.l2              = a.a.decoupled ? 0.0f : (float)a.a.weight_decay;
    r.step_size       = rates[0];
    r.root_correction = rates[1];
    r.shrink          = rates[2];
    return r;
}

template <int CLIP> static __global__ void __launch_bounds__(THREADS) adam_update_k(adam_args a)
{
    ASD_SHARED(double, scratch, THREADS / WARP);
    ASD_SHARED(float, rates, 3);
    adam_rates r = read_rates(a, rates);
    for (int c = (int)blockIdx.x; c < a.n_chunks; c += (int)gridDim.x) {
        double sum = CLIP ? sum_chunk(a.g, a.chunk[c]) : update_chunk(a, r, 1.0f, a.chunk[c]);
        sum        = block_sum<THREADS>(sum, scratch);
        if (threadIdx.x == 0)
            a.partial[c] = sum;
    }
    grid_barrier(a.barrier, gridDim.x);
    if (CLIP) {
        int   group = -1;
        float clip  = 1;
        for (int c = (int)blockIdx.x; c < a.n_chunks; c += (int)gridDim.x) {
            if (a.chunk[c].group != group) { /* the same in all threads */
                group        = a.chunk[c].group;
                double limit = a.a.clip_norm / (group_norm(a, group, scratch) + 1e-6);
                clip         = limit < 1 ? (float)limit : 1.0f;
            }
            update_chunk(a, r, clip, a.chunk[c]);
        }
    }
    for (int k = (int)blockIdx.x; k < a.groups; k += (int)gridDim.x) {
        double norm = group_norm(a, k, scratch);
        if (threadIdx.x == 0)
            a.norm[k] = norm;
    }
}

extern "C" asd_status adam_update_cuda(const asd_adam *a, const asd_adam_layout *l,
                                       const asd_step *step, float *w, const float *g, float *m,
                                       float *v, void *w16, double *norm, asd_stream *s)
{
    adam_args args   = {};
    args.a           = *a;
    args.chunk       = l->chunk;
    args.group_chunk = l->group_chunk;
    args.n_chunks    = (int)l->n_chunks;
    args.groups      = (int)l->groups;
    args.step        = step;
    args.w           = w;
    args.m           = m;
    args.v           = v;
    args.g           = g;
    args.w16         = (bf16 *)w16;
    args.partial     = l->partial;
    args.norm        = norm;
    args.barrier     = l->barrier;
    int resident     = 0;
    if (a->clip_norm > 0) {
        ASD_TRY(ASD_RESIDENT_BLOCKS(adam_update_k<1>, THREADS, 0, s, &resident));
        dim3 grid((unsigned)(args.n_chunks < resident ? args.n_chunks : resident));
        return ASD_LAUNCH_COOPERATIVE((adam_update_k<1>), grid, dim3(THREADS), 0, s, args);
    }
    ASD_TRY(ASD_RESIDENT_BLOCKS(adam_update_k<0>, THREADS, 0, s, &resident));
    dim3 grid((unsigned)(args.n_chunks < resident ? args.n_chunks : resident));
    return ASD_LAUNCH_COOPERATIVE((adam_update_k<0>), grid, dim3(THREADS), 0, s, args);
}
