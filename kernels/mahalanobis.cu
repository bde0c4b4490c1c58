/* mahalanobis.cu - mahalanobis.h on the device, in double on the ordinary units (34 TFLOP/s of an
 * H100; its tensor units know double too, but the products are not the bottleneck by then).
 *
 * 364 machines of 1000 x 768: covariances 233 GFLOP (78 tiles of 64 x 64 of the lower triangle,
 * each reads its 128 columns, 14.5 GB from L2), factors 60 GFLOP, distances of 200 rows 55 GFLOP:
 * 10 ms at that rate; 3.4 GB through memory, 1 ms. Not measured.
 *
 * The factor goes tile column by tile column: a launch for the diagonal tiles of all machines, a
 * launch for the tiles below them, each tile subtracts what the columns before it say and is then
 * solved in shared memory. A matrix has up to D / 64 - 1 blocks at a time, so few machines are
 * spread over a device too. Distances are the same solve: rows of x stand where rows of the matrix
 * stood. In axes that the caller has (principal ones, fewer than columns) they are a product: 200
 * rows of 364 machines in 128 axes are 14 GFLOP.
 */
#include "cuda/kernel.cuh"

#include "cuda/reduce.cuh"
#include "cuda/tile.cuh"
#include "kernels/mahalanobis.h"

#include <math.h>

/* A tile in shared memory, (TILE, LD): a row's neighbours lie in other banks. */
enum { LD = TILE + 1, TILE_SIZE = TILE * LD, OWN_ROWS = TILE - 1 };
static_assert(TILE_SIZE >= 2 * (int)tile_shared<double>::SIZE,
              "products are staged in a tile's place");

struct maha_args {
    const float         *x;
    const int32_t       *count;
    const unsigned char *is_target;
    double              *mean, *factor, *shrink;
    int32_t             *info;
    double               weight;
    int                  n, D, one_centre, ledoit_wolf, held_out;
};

static __device__ __forceinline__ int rows_of(const maha_args &a, int64_t g)
{
    int n = a.count ? a.count[g] : a.n;
    return n < 0 ? 0 : n > a.n ? a.n : n;
}

static __device__ __forceinline__ double weight_of(const maha_args &a, int source, int target)
{
    if (a.ledoit_wolf)
        return 1;
    return a.weight > 0 ? a.weight : source && target ? (double)source / target : 1;
}

/* --- means --- */

enum { MEAN_SLICES = 8, MEAN_THREADS = WARP * MEAN_SLICES };

/* blockIdx: 32 columns, machine. A warp takes rows in turn, a lane a column. */
static __global__ void __launch_bounds__(MEAN_THREADS) maha_mean_k(maha_args a)
{
    ASD_SHARED(double, sums, 2 * MEAN_THREADS);
    ASD_SHARED(int, targets, MEAN_SLICES);
    int     lane = (int)threadIdx.x % WARP, slice = (int)threadIdx.x / WARP;
    int     column = (int)blockIdx.x * WARP + lane;
    int64_t g      = blockIdx.y;
    int     n = rows_of(a, g), target = 0;
    double  sum[2] = {0, 0};
    for (int r = slice; r < n; r += MEAN_SLICES) {
        int    is = a.is_target[g * a.n + r] != 0;
        double v  = column < a.D ? (double)a.x[(g * a.n + r) * a.D + column] : 0;
        target += is;
        sum[0] += is ? 0 : v;
        sum[1] += is ? v : 0;
    }
    sums[threadIdx.x]                = sum[0];
    sums[MEAN_THREADS + threadIdx.x] = sum[1];
    if (lane == 0)
        targets[slice] = target;
    __syncthreads();
    if (slice)
        return;
    sum[0] = sum[1] = 0;
    target          = 0;
    for (int s = 0; s < MEAN_SLICES; ++s) {
        sum[0] += sums[s * WARP + lane];
        sum[1] += sums[MEAN_THREADS + s * WARP + lane];
        target += targets[s];
    }
    int source = n - target;
    if (column < a.D) {
        double  all = (sum[0] + sum[1]) / (n ? n : 1);
        bool    one = a.one_centre || !source || !target;
        double *to  = a.mean + g * 2 * a.D + column;
        to[0]       = one ? all : sum[0] / source;
        to[a.D]     = one ? all : sum[1] / target;
    }
    if (blockIdx.x == 0 && lane == 0) {
        a.info[g * ASD_MAHA_INFO + ASD_MAHA_SOURCE] = source;
        a.info[g * ASD_MAHA_INFO + ASD_MAHA_TARGET] = target;
        a.info[g * ASD_MAHA_INFO + ASD_MAHA_BROKEN] = 0;
        a.shrink[2 * g]                             = 1;
        a.shrink[2 * g + 1]                         = 0;
    }
}

/* --- covariances --- */

/* blockIdx: tile of the lower triangle, machine. C: (D, D), in factor's place */
static __global__ void __launch_bounds__(TILE_THREADS, 3) maha_covariance_k(maha_args a)
{
    ASD_SHARED(double, staged, 2 * tile_shared<double>::SIZE);
    int64_t g = blockIdx.y;
    int     i = 0, own = (int)threadIdx.x % TILE;
    while ((i + 1) * (i + 2) / 2 <= (int)blockIdx.x)
        ++i;
    int                  row = i * TILE, column = ((int)blockIdx.x - i * (i + 1) / 2) * TILE;
    int                  n = rows_of(a, g), source = a.info[g * ASD_MAHA_INFO + ASD_MAHA_SOURCE];
    double               weight     = weight_of(a, source, n - source);
    const float         *x          = a.x + g * a.n * a.D;
    const unsigned char *is         = a.is_target + g * a.n;
    double               mean[2][2] = {{0, 0}, {0, 0}}; /* of this thread's row and column */
#pragma unroll
    for (int side = 0; side < 2; ++side) {
        int c = (side ? column : row) + own;
#pragma unroll
        for (int domain = 0; domain < 2 && c < a.D; ++domain)
            mean[side][domain] = a.mean[(g * 2 + domain) * a.D + c];
    }
    double sum[TILE_ROWS][TILE_COLUMNS] = {{0}};
    tile_products<double, 1>(
        sum, staged + 0, n,
        [&](int r, int k) {
            double w = is[k] ? weight : 1;
            return row + r < a.D ? w * ((double)x[(int64_t)k * a.D + row + r] -
                                        (is[k] ? mean[0][1] : mean[0][0]))
                                 : 0;
        },
        [&](int c, int k) {
            return column + c < a.D ? (double)x[(int64_t)k * a.D + column + c] -
                                          (is[k] ? mean[1][1] : mean[1][0])
                                    : 0;
        });
    double scale = 1 / (source + weight * (n - source));
#pragma unroll
    for (int r = 0; r < TILE_ROWS; ++r)
#pragma unroll
        for (int c = 0; c < TILE_COLUMNS; ++c) {
            int at = row + tile_row(r), to = column + tile_column<double>(c);
            if (at < a.D && to < a.D)
                a.factor[(g * a.D + at) * a.D + to] = scale * sum[r][c];
        }
}

/* blockIdx: tile of the lower triangle, machine. gram: (G, n, n), Z Z' of rows sqrt(w / sum of w)
 * r. What is past a machine's rows is left as it is. */
static __global__ void __launch_bounds__(TILE_THREADS, 3) maha_gram_k(maha_args a, double *gram)
{
    ASD_SHARED(double, staged, 2 * tile_shared<double>::SIZE);
    int64_t g = blockIdx.y;
    int     i = 0;
    while ((i + 1) * (i + 2) / 2 <= (int)blockIdx.x)
        ++i;
    int row = i * TILE, column = ((int)blockIdx.x - i * (i + 1) / 2) * TILE, n = rows_of(a, g);
    if (row >= n)
        return; /* the whole block */
    int                  source                       = a.info[g * ASD_MAHA_INFO + ASD_MAHA_SOURCE];
    double               weight                       = weight_of(a, source, n - source);
    const float         *x                            = a.x + g * a.n * a.D;
    const unsigned char *is                           = a.is_target + g * a.n;
    const double        *mean                         = a.mean + g * 2 * a.D;
    double               sum[TILE_ROWS][TILE_COLUMNS] = {{0}};
    auto                 residual                     = [&](int r, int d) {
        return r < n ? (double)x[(int64_t)r * a.D + d] - mean[(is[r] ? a.D : 0) + d] : 0;
    };
    tile_products<double, 0>(
        sum, staged + 0, a.D, [&](int r, int d) { return residual(row + r, d); },
        [&](int c, int d) { return residual(column + c, d); });
    double scale = 1 / (source + weight * (n - source));
#pragma unroll
    for (int r = 0; r < TILE_ROWS; ++r)
#pragma unroll
        for (int c = 0; c < TILE_COLUMNS; ++c) {
            int at = row + tile_row(r), to = column + tile_column<double>(c);
            if (at < n && to < n)
                gram[(g * a.n + at) * a.n + to] =
                    scale * sqrt((is[at] ? weight : 1) * (is[to] ? weight : 1)) * sum[r][c];
        }
}

enum { SHRINK_THREADS = 256 };

/* blockIdx: machine. delta = |C - mu I|^2 / D, beta = (sum of |r|^4 / n - |C|^2) / (n D), rho =
 * min(beta, delta) / delta */
static __global__ void __launch_bounds__(SHRINK_THREADS) maha_shrink_k(maha_args a)
{
    ASD_SHARED(double, scratch, SHRINK_THREADS / WARP);
    int64_t       g = blockIdx.x;
    int           n = rows_of(a, g), lane = (int)threadIdx.x % WARP, D = a.D;
    const double *c = a.factor + g * D * D, *mean = a.mean + g * 2 * D;
    double        trace = 0, square = 0, fourth = 0;
    for (int r = (int)threadIdx.x / WARP; r < D; r += SHRINK_THREADS / WARP)
        for (int k = lane; k <= r; k += WARP) {
            double v = c[(int64_t)r * D + k];
            trace += k == r ? v : 0;
            square += (k == r ? 1 : 2) * v * v;
        }
    for (int r = (int)threadIdx.x / WARP; r < n; r += SHRINK_THREADS / WARP) {
        const float  *x      = a.x + (g * a.n + r) * D;
        const double *m      = mean + (a.is_target[g * a.n + r] ? D : 0);
        double        length = 0;
        for (int k = lane; k < D; k += WARP)
            length += ((double)x[k] - m[k]) * ((double)x[k] - m[k]);
#pragma unroll
        for (int d = WARP / 2; d; d /= 2)
            length += __shfl_xor_sync(ALL_LANES, length, d);
        fourth += lane == 0 ? length * length / n : 0;
    }
    trace  = block_sum<SHRINK_THREADS>(trace, scratch + 0);
    square = block_sum<SHRINK_THREADS>(square, scratch + 0);
    fourth = block_sum<SHRINK_THREADS>(fourth, scratch + 0);
    if (threadIdx.x)
        return;
    double mu = trace / D, delta = (square - D * mu * mu) / D;
    double beta         = (fourth - square) / ((double)n * D);
    double rho          = delta > 0 ? fmin(fmax(beta, 0.0), delta) / delta : 0;
    a.shrink[2 * g]     = (1 - rho) * (a.held_out && n > 1 ? (double)n / (n - 1) : 1);
    a.shrink[2 * g + 1] = rho * mu;
}

/* --- factors --- */

/* Element of the lower triangle, or of the unit matrix that tiles are padded with. */
static __device__ __forceinline__ double factor_at(const double *factor, int D, int row, int column)
{
    return row < D && column < D ? factor[(int64_t)row * D + column] : row == column ? 1 : 0;
}

/* The tile (TILE, LD) of rows from `row` and columns from `column`, and 1 / its diagonal. */
static __device__ __forceinline__ void
load_tile(const double *factor, int D, int at, shared_ptr<double> tile, shared_ptr<double> inverse)
{
    for (int e = (int)threadIdx.x; e < TILE * TILE; e += TILE_THREADS)
        tile[e / TILE * LD + e % TILE] = factor_at(factor, D, at + e / TILE, at + e % TILE);
    if ((int)threadIdx.x < TILE)
        inverse[threadIdx.x] =
            1 / factor_at(factor, D, at + (int)threadIdx.x, at + (int)threadIdx.x);
}

/* x <- x inverse(l)' but for the division of each column by its own diagonal element, so that an
 * element that others still read is never written: x[r][k] inverse[k] is the solution. Two threads
 * a row. A barrier before x and l are read, one after. */
static __device__ __forceinline__ void solve_rows(shared_ptr<double> x, shared_ptr<double> l,
                                                  shared_ptr<double> inverse)
{
    int row = (int)threadIdx.x % TILE, half = (int)threadIdx.x / TILE;
    for (int k = 0; k + 1 < TILE; ++k) {
        __syncthreads();
        double v = x[row * LD + k] * inverse[k];
#pragma unroll 4
        for (int c = k + 1 + half; c < TILE; c += 2)
            x[row * LD + c] -= v * l[c * LD + k];
    }
    __syncthreads();
}

/* blockIdx: machine. Tile `step` of the diagonal: less what the columns before say, then factored.
 * Columns stay undivided until the end, as in solve_rows: f is the row's element over the pivot. */
static __global__ void __launch_bounds__(TILE_THREADS, 3) maha_diagonal_k(maha_args a, int step)
{
    ASD_SHARED(double, tile, TILE_SIZE);
    ASD_SHARED(double, least, TILE);
    int64_t g  = blockIdx.x;
    int     at = step * TILE, row = (int)threadIdx.x % TILE, half = (int)threadIdx.x / TILE;
    double *factor = a.factor + g * a.D * a.D, scale = a.shrink[2 * g], add = a.shrink[2 * g + 1];
    double  sum[TILE_ROWS][TILE_COLUMNS] = {{0}};
    auto    before                       = [&](int r, int k) {
        return at + r < a.D ? factor_at(factor, a.D, at + r, k) : 0;
    };
    tile_products<double, 0>(sum, tile + 0, at, before, before);
    /* a pivot that is no more than what rounding leaves of the element it began as */
    double rounding = 0x1p-52 * a.D;
#pragma unroll
    for (int i = 0; i < TILE_ROWS; ++i)
#pragma unroll
        for (int j = 0; j < TILE_COLUMNS; ++j) {
            int    r = tile_row(i), c = tile_column<double>(j);
            double v = factor_at(factor, a.D, at + r, at + c);
            if (at + r < a.D && at + c < a.D)
                v = scale * v + (r == c ? add : 0);
            if (r == c)
                least[r] = rounding * v;
            tile[r * LD + c] = v - sum[i][j];
        }
    int broken = 0;
    for (int k = 0; k < TILE; ++k) {
        __syncthreads();
        double pivot = tile[k * LD + k], f = tile[row * LD + k] / pivot;
        if (!broken && !(pivot > least[k]))
            broken = at + k + 1;
#pragma unroll 4
        for (int c = k + 1 + half; c <= row; c += 2)
            tile[row * LD + c] -= f * tile[c * LD + k];
    }
    __syncthreads();
    if (threadIdx.x == 0 && broken && !a.info[g * ASD_MAHA_INFO + ASD_MAHA_BROKEN])
        a.info[g * ASD_MAHA_INFO + ASD_MAHA_BROKEN] = broken;
    for (int e = (int)threadIdx.x; e < TILE * TILE; e += TILE_THREADS) {
        int r = e / TILE, c = e % TILE;
        if (at + r < a.D && c <= r)
            factor[(int64_t)(at + r) * a.D + at + c] = tile[r * LD + c] / sqrt(tile[c * LD + c]);
    }
}

/* blockIdx: tile below the diagonal one of `step`, machine. */
static __global__ void __launch_bounds__(TILE_THREADS, 3) maha_panel_k(maha_args a, int step)
{
    ASD_DYNAMIC_SHARED(double, memory);
    ASD_SHARED(double, inverse, TILE);
    shared_ptr<double> x = memory + 0, l = memory + TILE_SIZE;
    int64_t            g  = blockIdx.y;
    int                at = step * TILE, row = (step + 1 + (int)blockIdx.x) * TILE;
    double            *factor = a.factor + g * a.D * a.D, scale = a.shrink[2 * g];
    double             sum[TILE_ROWS][TILE_COLUMNS] = {{0}};
    tile_products<double, 0>(
        sum, l, at,
        [&](int r, int k) { return row + r < a.D ? factor_at(factor, a.D, row + r, k) : 0; },
        [&](int r, int k) { return factor_at(factor, a.D, at + r, k); });
#pragma unroll
    for (int i = 0; i < TILE_ROWS; ++i)
#pragma unroll
        for (int j = 0; j < TILE_COLUMNS; ++j) {
            int r = tile_row(i), c = tile_column<double>(j);
            x[r * LD + c] =
                row + r < a.D ? scale * factor_at(factor, a.D, row + r, at + c) - sum[i][j] : 0;
        }
    load_tile(factor, a.D, at, l, inverse + 0);
    solve_rows(x, l, inverse + 0);
    for (int e = (int)threadIdx.x; e < TILE * TILE; e += TILE_THREADS)
        if (row + e / TILE < a.D)
            factor[(int64_t)(row + e / TILE) * a.D + at + e % TILE] =
                x[e / TILE * LD + e % TILE] * inverse[e % TILE];
}

/* --- distances --- */

/* blockIdx: 63 rows of x, machine; the target's mean is the 64th row, so that a block knows where
 * it falls. y: (64, D) of this block's own, in global memory. */
static __global__ void __launch_bounds__(TILE_THREADS, 3)
    maha_distance_k(maha_args a, double *work, double *score, double *cross)
{
    ASD_DYNAMIC_SHARED(double, memory);
    ASD_SHARED(double, inverse, TILE);
    shared_ptr<double> x = memory + 0, l = memory + TILE_SIZE;
    int64_t            g     = blockIdx.y;
    int                first = (int)blockIdx.x * OWN_ROWS, n = rows_of(a, g);
    int                own = (int)threadIdx.x % TILE, half = (int)threadIdx.x / TILE;
    const double      *factor = a.factor + g * a.D * a.D, *mean = a.mean + g * 2 * a.D;
    double            *y      = work + (g * gridDim.x + blockIdx.x) * TILE * a.D;
    double             source = 0, target = 0, both = 0;
    if (first >= n)
        return; /* the whole block */
    for (int at = 0; at < a.D; at += TILE) {
        double sum[TILE_ROWS][TILE_COLUMNS] = {{0}};
        tile_products<double, 0>(
            sum, l, at, [&](int r, int k) { return y[(int64_t)r * a.D + k]; },
            [&](int r, int k) { return at + r < a.D ? factor_at(factor, a.D, at + r, k) : 0; });
#pragma unroll
        for (int i = 0; i < TILE_ROWS; ++i)
#pragma unroll
            for (int j = 0; j < TILE_COLUMNS; ++j) {
                int    r = tile_row(i), c = tile_column<double>(j), d = at + c;
                double v = 0;
                if (d < a.D && r == OWN_ROWS)
                    v = mean[a.D + d];
                else if (d < a.D && first + r < n)
                    v = (double)a.x[(g * a.n + first + r) * a.D + d];
                if (d < a.D)
                    v -= mean[d];
                x[r * LD + c] = v - sum[i][j];
            }
        load_tile(factor, a.D, at, l, inverse + 0);
        solve_rows(x, l, inverse + 0);
        for (int c = half; c < TILE; c += 2) {
            double v = x[own * LD + c] * inverse[c], t = x[OWN_ROWS * LD + c] * inverse[c];
            source += v * v;
            target += (v - t) * (v - t);
            both += v * (v - t);
        }
        for (int e = (int)threadIdx.x; e < TILE * TILE; e += TILE_THREADS)
            if (at + e % TILE < a.D)
                y[(int64_t)(e / TILE) * a.D + at + e % TILE] =
                    x[e / TILE * LD + e % TILE] * inverse[e % TILE];
    }
    __syncthreads();
    l[threadIdx.x]                    = source;
    l[TILE_THREADS + threadIdx.x]     = target;
    l[2 * TILE_THREADS + threadIdx.x] = both;
    __syncthreads();
    if (half || own >= OWN_ROWS || first + own >= n)
        return;
    bool    broken = a.info[g * ASD_MAHA_INFO + ASD_MAHA_BROKEN];
    double *to     = score + (g * a.n + first + own) * 2;
    for (int h = 0; h < 2; ++h)
        to[h] = broken ? (double)NAN
                       : sqrt(l[h * TILE_THREADS + own] + l[h * TILE_THREADS + TILE + own]);
    if (cross)
        cross[g * a.n + first + own] =
            broken ? (double)NAN : l[2 * TILE_THREADS + own] + l[2 * TILE_THREADS + TILE + own];
}

/* blockIdx: 64 rows of x, machine. Thread (own, half) adds every other axis of row `own`. */
static __global__ void __launch_bounds__(TILE_THREADS, 3)
    maha_axes_k(maha_args a, asd_maha_axes axes, double *score)
{
    ASD_DYNAMIC_SHARED(double, memory);
    shared_ptr<double> y = memory + 0, staged = memory + TILE_SIZE;
    int64_t            g     = blockIdx.y;
    int                first = (int)blockIdx.x * TILE, n = rows_of(a, g), K = (int)axes.K;
    int                own = (int)threadIdx.x % TILE, half = (int)threadIdx.x / TILE;
    const double      *axis = axes.axis + g * K * a.D, *centre = axes.centre + g * a.D;
    const double      *place   = axes.place + g * 2 * K;
    const float       *x       = a.x + (g * a.n + first) * a.D;
    double             sums[2] = {0, 0};
    if (first >= n)
        return; /* the whole block */
    for (int at = 0; at < K; at += TILE) {
        double sum[TILE_ROWS][TILE_COLUMNS] = {{0}};
        tile_products<double, 0>(
            sum, staged, a.D,
            [&](int r, int d) {
                return first + r < n ? (double)x[(int64_t)r * a.D + d] - centre[d] : 0;
            },
            [&](int c, int d) { return at + c < K ? axis[(int64_t)(at + c) * a.D + d] : 0; });
#pragma unroll
        for (int i = 0; i < TILE_ROWS; ++i)
#pragma unroll
            for (int j = 0; j < TILE_COLUMNS; ++j)
                y[tile_row(i) * LD + tile_column<double>(j)] = sum[i][j];
        __syncthreads();
        for (int c = half; c < TILE && at + c < K; c += 2)
#pragma unroll
            for (int h = 0; h < 2; ++h) {
                double v = y[own * LD + c] - place[h * K + at + c];
                sums[h] += v * v;
            }
        /* the barriers inside tile_products come before y is written again */
    }
    staged[threadIdx.x]                = sums[0];
    staged[TILE_THREADS + threadIdx.x] = sums[1];
    __syncthreads();
    if (half || first + own >= n)
        return;
    for (int h = 0; h < 2; ++h)
        score[(g * a.n + first + own) * 2 + h] =
            sqrt(staged[h * TILE_THREADS + own] + staged[h * TILE_THREADS + TILE + own]);
}

/* --- host --- */

static maha_args args_of(const asd_maha *a, const asd_maha_rows *x, const asd_maha_model *m)
{
    maha_args k   = {};
    k.x           = x->x;
    k.count       = x->count;
    k.mean        = m->mean;
    k.factor      = m->factor;
    k.shrink      = m->shrink;
    k.info        = m->info;
    k.weight      = a->weight;
    k.n           = (int)x->n;
    k.D           = (int)a->D;
    k.one_centre  = a->one_centre;
    k.ledoit_wolf = a->ledoit_wolf;
    k.held_out    = a->held_out;
    return k;
}

/* Means, and C in factor's place. */
static asd_status moments(const maha_args &k, unsigned G, asd_stream *s)
{
    unsigned tiles = asd_blocks(k.D, TILE);
    ASD_TRY(ASD_LAUNCH(maha_mean_k, dim3(asd_blocks(k.D, WARP), G), dim3(MEAN_THREADS), 0, s, k));
    return ASD_LAUNCH(maha_covariance_k, dim3(tiles * (tiles + 1) / 2, G), dim3(TILE_THREADS), 0, s,
                      k);
}

extern "C" asd_status maha_covariance_cuda(const asd_maha *a, const asd_maha_rows *train,
                                           const unsigned char *is_target, const asd_maha_model *to,
                                           asd_stream *s)
{
    maha_args k = args_of(a, train, to);
    k.is_target = is_target;
    return moments(k, (unsigned)a->G, s);
}

extern "C" asd_status maha_gram_cuda(const asd_maha *a, const asd_maha_rows *train,
                                     const unsigned char *is_target, const asd_maha_model *to,
                                     double *gram, asd_stream *s)
{
    maha_args k     = args_of(a, train, to);
    unsigned  tiles = asd_blocks(train->n, TILE), G = (unsigned)a->G;
    k.is_target = is_target;
    ASD_TRY(ASD_LAUNCH(maha_mean_k, dim3(asd_blocks(k.D, WARP), G), dim3(MEAN_THREADS), 0, s, k));
    return ASD_LAUNCH(maha_gram_k, dim3(tiles * (tiles + 1) / 2, G), dim3(TILE_THREADS), 0, s, k,
                      gram);
}

extern "C" asd_status maha_fit_cuda(const asd_maha *a, const asd_maha_rows *train,
                                    const unsigned char *is_target, const asd_maha_model *to,
                                    asd_stream *s)
{
    maha_args k = args_of(a, train, to);
    unsigned  G = (unsigned)a->G, tiles = asd_blocks(a->D, TILE);
    size_t    bytes = 2 * TILE_SIZE * sizeof(double);
    k.is_target     = is_target;
    ASD_TRY(moments(k, G, s));
    if (a->ledoit_wolf)
        ASD_TRY(ASD_LAUNCH(maha_shrink_k, dim3(G), dim3(SHRINK_THREADS), 0, s, k));
    for (unsigned step = 0; step < tiles; ++step) {
        ASD_TRY(ASD_LAUNCH(maha_diagonal_k, dim3(G), dim3(TILE_THREADS), 0, s, k, (int)step));
        if (step + 1 < tiles)
            ASD_TRY(ASD_LAUNCH(maha_panel_k, dim3(tiles - step - 1, G), dim3(TILE_THREADS), bytes,
                               s, k, (int)step));
    }
    return ASD_OK;
}

extern "C" asd_status maha_score_cuda(const asd_maha *a, const asd_maha_model *from,
                                      const asd_maha_rows *x, double *work, double *score,
                                      double *cross, asd_stream *s)
{
    return ASD_LAUNCH(maha_distance_k, dim3(asd_blocks(x->n, OWN_ROWS), (unsigned)a->G),
                      dim3(TILE_THREADS), 2 * TILE_SIZE * sizeof(double), s, args_of(a, x, from),
                      work, score, cross);
}

extern "C" asd_status maha_axes_cuda(const asd_maha *a, const asd_maha_axes *axes,
                                     const asd_maha_rows *x, double *score, asd_stream *s)
{
    asd_maha_model none = {};
    return ASD_LAUNCH(maha_axes_k, dim3(asd_blocks(x->n, TILE), (unsigned)a->G), dim3(TILE_THREADS),
                      2 * TILE_SIZE * sizeof(double), s, args_of(a, x, &none), *axes, score);
}
