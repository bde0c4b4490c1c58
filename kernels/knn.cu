/* knn.cu - knn.h on the device: tiles of cosines on the ordinary units, and the k smallest
 * distances of each row kept in registers, so that no matrix of distances exists.
 *
 * 7 machines, 200 rows against 1000 of 768: 2.2 GFLOP in double, 2.8 with what tiles are padded by,
 * 84 us at an H100's 34 TFLOP/s; 25.8 MB through memory, 8 us. A block has 64 rows and a slice of
 * 128 of the bank: 224 blocks. Half of the time in fp32 would cost the digits that a distance of
 * 0.01 stands in (1 - 0.99: it keeps 1e-5 of it), and of distances so small are normal clips. Not
 * measured.
 */
#include "cuda/kernel.cuh"

#include "cuda/tile.cuh"
#include "kernels/knn.h"

#include <math.h>

/* Distances of a tile in shared memory: (TILE, LD). */
enum { LD = TILE + 1 };

struct knn_args {
    const float         *bank, *x;
    const int32_t       *n, *m;
    const unsigned char *is_target;
    const double        *bank_inverse, *x_inverse; /* (G, N), (G, M) */
    float               *lists;                    /* (G, M, slices, 2, K) rising */
    double              *score;
    int                  N, M, D, k, by_domain, kth, itself, slices;
};

static __device__ __forceinline__ int rows_of(const int32_t *count, int64_t g, int most)
{
    int n = count ? count[g] : most;
    return n < 0 ? 0 : n > most ? most : n;
}

/* --- lengths --- */

enum { LENGTH_ROWS = 8 };

/* A warp takes a row: 1 / |x|, or 0 of zeros. blockIdx: rows, machine */
static __global__ void __launch_bounds__(WARP *LENGTH_ROWS)
    knn_length_k(const float *__restrict__ x, const int32_t *count, double *__restrict__ inverse,
                 int rows, int D)
{
    int     row = (int)blockIdx.x * LENGTH_ROWS + (int)threadIdx.x / WARP;
    int64_t g   = blockIdx.y;
    double  sum = 0;
    if (row >= rows_of(count, g, rows))
        return; /* the whole warp */
    for (int d = (int)threadIdx.x % WARP; d < D; d += WARP) {
        double v = (double)x[(g * rows + row) * D + d];
        sum += v * v;
    }
#pragma unroll
    for (int d = WARP / 2; d; d /= 2)
        sum += __shfl_xor_sync(ALL_LANES, sum, d);
    if (threadIdx.x % WARP == 0)
        inverse[g * rows + row] = sum > 0 ? 1 / sqrt(sum) : 0;
}

/* --- the k smallest --- */

/* K numbers in rising order, in registers. */
template <int K> struct smallest {
    float d[K];

    __device__ __forceinline__ void clear()
    {
#pragma unroll
        for (int i = 0; i < K; ++i)
            d[i] = INFINITY;
    }
    __device__ __forceinline__ void show(float v)
    {
        if (!(v < d[K - 1]))
            return;
        d[K - 1] = v;
#pragma unroll
        for (int i = K - 1; i > 0; --i) {
            float low = fminf(d[i - 1], d[i]), high = fmaxf(d[i - 1], d[i]);
            d[i - 1] = low;
            d[i]     = high;
        }
    }
};

/* blockIdx: 64 rows, slice of the bank, machine. Thread t then reads, of row t % 64, the distances
 * to the rows that score t / 64 counts. */
template <int K> static __global__ void __launch_bounds__(TILE_THREADS, 3) knn_near_k(knn_args a)
{
    ASD_SHARED(double, staged, 2 * tile_shared<double>::SIZE);
    ASD_SHARED(float, distance, TILE *LD);
    int64_t      g     = blockIdx.z;
    int          first = (int)blockIdx.x * TILE, m = rows_of(a.m, g, a.M), n = rows_of(a.n, g, a.N);
    int          own = (int)threadIdx.x % TILE, head = (int)threadIdx.x / TILE;
    int          slice = (int)blockIdx.y * ASD_KNN_SLICE;
    const float *x = a.x + g * a.M * a.D, *bank = a.bank + g * a.N * a.D;
    smallest<K>  near;
    near.clear();
    if (first >= m)
        return; /* the whole block */
    for (int at = slice; at < slice + ASD_KNN_SLICE && at < n; at += TILE) {
        double sum[TILE_ROWS][TILE_COLUMNS] = {{0}};
        tile_products<double, 0>(
            sum, staged + 0, a.D,
            [&](int r, int d) {
                return first + r < m ? (double)x[(int64_t)(first + r) * a.D + d] : 0;
            },
            [&](int c, int d) {
                return at + c < n ? (double)bank[(int64_t)(at + c) * a.D + d] : 0;
            });
#pragma unroll
        for (int i = 0; i < TILE_ROWS; ++i)
#pragma unroll
            for (int j = 0; j < TILE_COLUMNS; ++j) {
                int    r = tile_row(i), c = tile_column<double>(j);
                bool   there = first + r < m && at + c < n && !(a.itself && first + r == at + c);
                double d     = (double)INFINITY;
                if (there)
                    d = 1 - sum[i][j] * a.x_inverse[g * a.M + first + r] *
                                a.bank_inverse[g * a.N + at + c];
                distance[r * LD + c] = d < 0 ? 0.0f : (float)d;
            }
        __syncthreads();
        for (int c = 0; c < TILE && at + c < n; ++c) {
            int bank_of = a.by_domain ? a.is_target[g * a.N + at + c] != 0 : 0;
            if (bank_of == head)
                near.show(distance[own * LD + c]);
        }
        /* the barrier inside tile_products comes before distances are written again */
    }
    if (first + own >= m)
        return;
    float *to = a.lists + (((g * a.M + first + own) * a.slices + blockIdx.y) * 2 + head) * K;
#pragma unroll
    for (int i = 0; i < K; ++i)
        to[i] = near.d[i];
}

enum { MERGE_THREADS = 128 };

/* A thread has one score of one row: the slices' lists in order. blockIdx: scores, machine */
template <int K> static __global__ void __launch_bounds__(MERGE_THREADS) knn_merge_k(knn_args a)
{
    int64_t g = blockIdx.y;
    int     t = (int)blockIdx.x * MERGE_THREADS + (int)threadIdx.x, row = t / 2;
    int     head = a.by_domain ? t % 2 : 0, found = 0;
    if (row >= rows_of(a.m, g, a.M))
        return;
    smallest<K>  near;
    const float *list = a.lists + ((g * a.M + row) * a.slices * 2 + head) * K;
    near.clear();
    for (int s = 0; s < a.slices; ++s, list += 2 * K)
#pragma unroll
        for (int i = 0; i < K; ++i)
            near.show(list[i]);
    double sum = 0, last = INFINITY;
#pragma unroll
    for (int i = 0; i < K; ++i)
        if (i < a.k && near.d[i] < INFINITY) {
            last = (double)near.d[i];
            sum += last;
            ++found;
        }
    a.score[(g * a.M + row) * 2 + t % 2] = a.kth || !found ? last : sum / found;
}

/* --- host --- */

template <int K> static asd_status near_and_merge(const knn_args &k, unsigned G, asd_stream *s)
{
    ASD_TRY(ASD_LAUNCH((knn_near_k<K>), dim3(asd_blocks(k.M, TILE), (unsigned)k.slices, G),
                       dim3(TILE_THREADS), 0, s, k));
    return ASD_LAUNCH((knn_merge_k<K>), dim3(asd_blocks(2 * (int64_t)k.M, MERGE_THREADS), G),
                      dim3(MERGE_THREADS), 0, s, k);
}

extern "C" asd_status knn_cosine_cuda(const asd_knn *a, const float *bank, const int32_t *n,
                                      const unsigned char *is_target, const float *x,
                                      const int32_t *m, void *work, double *score, asd_stream *s)
{
    knn_args k            = {};
    unsigned G            = (unsigned)a->G;
    double  *bank_inverse = (double *)work, *x_inverse = bank_inverse + a->G * a->N;
    k.bank         = bank;
    k.x            = x;
    k.n            = n;
    k.m            = m;
    k.is_target    = is_target;
    k.bank_inverse = bank_inverse;
    k.x_inverse    = x_inverse;
    k.lists        = (float *)(x_inverse + a->G * a->M);
    k.score        = score;
    k.N            = (int)a->N;
    k.M            = (int)a->M;
    k.D            = (int)a->D;
    k.k            = a->k;
    k.by_domain    = a->by_domain;
    k.kth          = a->kth;
    k.itself       = a->itself;
    k.slices       = (int)asd_knn_slices(a);
    ASD_TRY(ASD_LAUNCH(knn_length_k, dim3(asd_blocks(a->N, LENGTH_ROWS), G),
                       dim3(WARP * LENGTH_ROWS), 0, s, bank, n, bank_inverse, k.N, k.D));
    ASD_TRY(ASD_LAUNCH(knn_length_k, dim3(asd_blocks(a->M, LENGTH_ROWS), G),
                       dim3(WARP * LENGTH_ROWS), 0, s, x, m, x_inverse, k.M, k.D));
    if (a->k == 1)
        return near_and_merge<1>(k, G, s);
    if (a->k <= 4)
        return near_and_merge<4>(k, G, s);
    if (a->k <= 10)
        return near_and_merge<10>(k, G, s);
    return near_and_merge<ASD_KNN_MOST>(k, G, s);
}
