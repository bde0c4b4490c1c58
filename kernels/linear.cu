/* linear.cu - linear.c on the device: three products by cuBLASLt, and db by kernels of our own.
 *
 *   y = x w' + b        the bias in the product's epilogue
 *   dx = dy w           dw = dy' x        db = sum_r dy
 *
 * db, mapping: a block has 256 rows of 8 lanes of 16 bytes (32 fp32 or 64 bf16 columns, one
 * 128-byte line a row); each thread adds 8 rows in order, then come the lanes of a warp that share
 * a column, then the warps in order. Up to 256 rows that is db and one launch. Above, the blocks
 * leave their sums in scratch and a second kernel adds them in order, one thread a column. What is
 * added to what follows from the shape alone. Shared memory: the warps' sums.
 *
 * db, bytes: dy once, mostly from the cache that the products filled; 16,864 x 3,072 bf16 is 104
 * MB, 35 us at 3 TB/s beside 100 us for each product. Tried on paper and dropped: db as a product
 * with a vector of ones (cuBLASLt has no fast kernel for one column), the library's epilogue for
 * the bias's gradient (it only exists for the product of dw in one layout, and not in batches).
 */
#include "cuda/kernel.cuh"

#include "cuda/gemm.h"
#include "cuda/pack.cuh" /* load_f32, pack_fits */
#include "kernels/linear.h"

enum { THREADS = 256, WARPS = THREADS / WARP, LANES = 8, ROWS = THREADS / LANES };
enum { FLIGHT = 4 }; /* loads of a thread in flight */
enum { SUM_THREADS = 64 };

/* dy: (G, R, O)   out: (G, O), or (gridDim.y, G, O) when there are several stretches of rows.
 * blockIdx: columns, stretch, group */
template <int N, typename T>
__global__ void __launch_bounds__(THREADS)
    linear_db_k(const T *__restrict__ dy, float *__restrict__ out, int64_t R, int64_t O, int add)
{
    ASD_SHARED(float, scratch, WARPS *LANES *N);
    int     warp = (int)threadIdx.x / WARP, lane = (int)threadIdx.x % LANES;
    int64_t column = ((int64_t)blockIdx.x * LANES + lane) * N;
    int64_t from   = (int64_t)blockIdx.y * ASD_LINEAR_DB_ROWS + threadIdx.x / LANES;
    float   sum[N];
    dy += blockIdx.z * R * O + column;
#pragma unroll
    for (int i = 0; i < N; ++i)
        sum[i] = 0;
    if (column < O) /* O is a multiple of N: all of a thread's columns or none */
        for (int k = 0; k < ASD_LINEAR_DB_ROWS / ROWS; k += FLIGHT) {
            float g[FLIGHT][N];
#pragma unroll
            for (int f = 0; f < FLIGHT; ++f) {
                int64_t r = from + (k + f) * ROWS;
#pragma unroll
                for (int i = 0; i < N; ++i)
                    g[f][i] = 0;
                if (r < R)
                    load_f32<N>(dy + r * O, g[f]);
            }
#pragma unroll
            for (int f = 0; f < FLIGHT; ++f)
#pragma unroll
                for (int i = 0; i < N; ++i)
                    sum[i] += g[f][i];
        }
#pragma unroll
    for (int d = WARP / 2; d >= LANES; d /= 2)
#pragma unroll
        for (int i = 0; i < N; ++i)
            sum[i] += __shfl_xor_sync(ALL_LANES, sum[i], d);
    if ((int)threadIdx.x % WARP < LANES)
#pragma unroll
        for (int i = 0; i < N; ++i)
            scratch[(warp * LANES + lane) * N + i] = sum[i];
    __syncthreads();
    column = (int64_t)blockIdx.x * LANES * N + threadIdx.x;
    if ((int)threadIdx.x >= LANES * N || column >= O)
        return;
    float total = 0;
#pragma unroll
    for (int k = 0; k < WARPS; ++k)
        total += scratch[k * LANES * N + (int)threadIdx.x];
    out += ((int64_t)blockIdx.y * gridDim.z + blockIdx.z) * O + column;
    *out = total + (add ? *out : 0);
}

/* part: (stretches, n)   db: (n) */
__global__ void __launch_bounds__(SUM_THREADS)
    linear_db_sum_k(const float *__restrict__ part, float *__restrict__ db, int64_t stretches,
                    int64_t n, int add)
{
    int64_t i   = (int64_t)blockIdx.x * SUM_THREADS + threadIdx.x;
    float   sum = 0;
    if (i >= n)
        return;
#pragma unroll 8
    for (int64_t k = 0; k < stretches; ++k)
        sum += part[k * n + i];
    db[i] = sum + (add ? db[i] : 0);
}

template <int N, typename T> static asd_status bias_gradient(const asd_call *c, asd_linear_sizes s)
{
    int64_t stretches = asd_linear_db_stretches(s);
    int     several = stretches > 1, add = c->acc[2];
    float  *db = (float *)c->x[2].g, *part = several ? (float *)c->work : db;
    dim3    grid(asd_blocks(s.O, LANES * N), (unsigned)stretches, (unsigned)s.G);
    ASD_TRY(ASD_LAUNCH((linear_db_k<N, T>), grid, THREADS, 0, c->stream, (const T *)c->y.g, part,
                       s.R, s.O, several ? 0 : add));
    if (!several)
        return ASD_OK;
    return ASD_LAUNCH(linear_db_sum_k, asd_blocks(s.G * s.O, SUM_THREADS), SUM_THREADS, 0,
                      c->stream, part, db, stretches, s.G * s.O, add);
}

template <typename T> static asd_status bias_gradient_of(const asd_call *c, asd_linear_sizes s)
{
    return pack_fits<T>(s.O) ? bias_gradient<pack<T>::N, T>(c, s) : bias_gradient<1, T>(c, s);
}

/* y = op(a) op(b) for each of G groups, all dense; op(a): (m, k), op(b): (k, n), of the dtype of x.
 */
static asd_cuda_gemm dense(const asd_call *c, int64_t G, int64_t m, int64_t n, int64_t k,
                           const void *a, int transpose_a, const void *b, int transpose_b, void *y,
                           asd_dtype y_dtype)
{
    asd_cuda_gemm g = {};
    g.transpose_a   = transpose_a;
    g.transpose_b   = transpose_b;
    g.m             = m;
    g.n             = n;
    g.k             = k;
    g.batch         = G;
    g.dtype         = c->x[0].dtype;
    g.y_dtype       = y_dtype;
    g.a             = a;
    g.lda           = transpose_a ? m : k;
    g.step_a        = m * k;
    g.b             = b;
    g.ldb           = transpose_b ? k : n;
    g.step_b        = k * n;
    g.y             = y;
    g.ldy           = n;
    g.step_y        = m * n;
    return g;
}

extern "C" asd_status linear_fwd_cuda(const asd_call *c)
{
    asd_linear_sizes s = asd_linear_sizes_of(c->x[0].shape, c->x[1].shape);
    asd_cuda_gemm g = dense(c, s.G, s.R, s.O, s.C, c->x[0].x, 0, c->x[1].x, 1, c->y.x, c->y.dtype);
    g.bias          = c->n_in == 3 ? (const float *)c->x[2].x : NULL;
    g.step_bias     = s.O;
    return asd_cuda_gemm_run(c->stream, &g);
}

/* y = x w'  ->  dx = dy w */
static asd_status input_gradient(const asd_call *c, asd_linear_sizes s)
{
    asd_cuda_gemm g =
        dense(c, s.G, s.R, s.C, s.O, c->y.g, 0, c->x[1].x, 0, c->x[0].g, c->x[0].dtype);
    g.beta = c->acc[0];
    return asd_cuda_gemm_run(c->stream, &g);
}

/* y = x w'  ->  dw = dy' x, in fp32 */
static asd_status weight_gradient(const asd_call *c, asd_linear_sizes s)
{
    asd_cuda_gemm g =
        dense(c, s.G, s.O, s.C, s.R, c->y.g, 1, c->x[0].x, 0, c->x[1].g, c->x[1].g_dtype);
    g.beta = c->acc[1];
    return asd_cuda_gemm_run(c->stream, &g);
}

extern "C" asd_status linear_bwd_cuda(const asd_call *c)
{
    asd_linear_sizes s = asd_linear_sizes_of(c->x[0].shape, c->x[1].shape);
    if (c->x[0].g)
        ASD_TRY(input_gradient(c, s));
    if (c->x[1].g)
        ASD_TRY(weight_gradient(c, s));
    /* y = ... + b  ->  db = sum over rows of dy */
    if (c->n_in < 3 || !c->x[2].g)
        return ASD_OK;
    return c->y.dtype == ASD_BF16 ? bias_gradient_of<bf16>(c, s) : bias_gradient_of<float>(c, s);
}
