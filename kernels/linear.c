/* linear.c - y = x w' + b, the fully connected layer.
 *
 *   y = x w' + b
 *   dx = dy w        dw = dy' x        db = sum_r dy
 *
 * x: (..., C) read as (R, C)   w: (O, C)   b: (O), optional   y: (..., O)
 * Grouped, G layers side by side: x: (G, B, C)   w: (G, O, C)   b: (G, O)   y: (G, B, O). Each
 * group has the bits it would have alone.
 *
 * Numerics: fp32 products with fp32 accumulation (cpu_tile.h; of bf16 cpu_bf16_product.h); db in
 * fp32, rows added in order.
 *
 * Used by: autoencoder.
 */
#include "kernels/cpu.h"
#include "kernels/cpu_bf16.h"
#include "kernels/cpu_bf16_product.h"
#include "kernels/linear.h"

#include "base/par.h"

#include <string.h>

static asd_status linear_infer(asd_node *n)
{
    char      sx[64], sw[64];
    asd_shape x = n->in[0].shape, w = n->in[1].shape, b = w;
    int       fits = w.n == 3 ? x.n == 3 && w.d[0] == x.d[0] : w.n == 2 && x.n >= 1;
    if (!fits || asd_last(w) != asd_last(x))
        return ASD_FAIL(
            ASD_E_SHAPE,
            "linear: x %s does not fit w %s, want w (O, %lld), or (G, O, C) for x (G, B, C)",
            asd_shape_text(x, sx, sizeof sx), asd_shape_text(w, sw, sizeof sw),
            (long long)asd_last(x));
    --b.n; /* (G, O) or (O) */
    if (n->n_in == 3 && !asd_shape_equal(n->in[2].shape, b))
        return ASD_FAIL(ASD_E_SHAPE, "linear: b %s, want %s",
                        asd_shape_text(n->in[2].shape, sx, sizeof sx),
                        asd_shape_text(b, sw, sizeof sw));
    if (n->in[0].dtype != n->in[1].dtype)
        return ASD_FAIL(ASD_E_SHAPE, "linear: x is %s and w %s, want the same",
                        asd_dtype_name(n->in[0].dtype), asd_dtype_name(n->in[1].dtype));
    n->y                           = n->in[0];
    n->y.shape.d[n->y.shape.n - 1] = asd_last(b);
    asd_linear_sizes s             = asd_linear_sizes_of(x, w);
    int64_t          stretches     = asd_linear_db_stretches(s);
    n->bwd_work_bytes =
        n->n_in == 3 && stretches > 1 ? (size_t)(stretches * s.G * s.O) * sizeof(float) : 0;
    return ASD_OK;
}

/* y = op(a) op(b) for each of G groups, all dense; op(a): (m, k), op(b): (k, n). */
static asd_gemm_job dense(int64_t G, int64_t m, int64_t n, int64_t k, const float *a,
                          int transpose_a, const float *b, int transpose_b, float *y)
{
    asd_gemm_job j = {.transpose_a = transpose_a,
                      .transpose_b = transpose_b,
                      .batch       = G,
                      .step_a      = m * k,
                      .step_b      = k * n,
                      .step_y      = m * n,
                      .m           = m,
                      .n           = n,
                      .k           = k,
                      .a           = a,
                      .lda         = transpose_a ? m : k,
                      .b           = b,
                      .ldb         = transpose_b ? k : n,
                      .y           = y,
                      .ldy         = n};
    return j;
}

static asd_status linear_fwd_cpu(const asd_call *c)
{
    asd_linear_sizes s = asd_linear_sizes_of(c->x[0].shape, c->x[1].shape);
    asd_gemm_job     y = dense(s.G, s.R, s.O, s.C, c->x[0].x, 0, c->x[1].x, 1, c->y.x);
    y.bias             = c->n_in == 3 ? c->x[2].x : NULL;
    y.step_bias        = s.O;
    asd_gemm(&y);
    return ASD_OK;
}

/* In bf16: y is summed in fp32, in scratch, and rounded block by block. */
typedef struct bf16_job {
    const asd_call      *c;
    asd_linear_sizes     s;
    asd_gemm_job         cut; /* how y is cut into blocks */
    const asd_pair_tile *tile;
} bf16_job;

static void bf16_block(void *ctx, int64_t block)
{
    const bf16_job  *j         = ctx;
    asd_linear_sizes s         = j->s;
    asd_gemm_part    p         = asd_gemm_part_of(&j->cut, block);
    int64_t          first_row = p.product * s.R + p.row, first_column = p.product * s.O + p.column;
    int64_t          at   = first_row * s.O + p.column;
    const uint16_t  *x    = (const uint16_t *)j->c->x[0].x + first_row * s.C;
    const uint16_t  *w    = (const uint16_t *)j->c->x[1].x + first_column * s.C;
    const float     *bias = j->c->n_in == 3 ? (const float *)j->c->x[2].x + first_column : NULL;
    float           *sum  = (float *)j->c->work + at;
    uint16_t        *y    = (uint16_t *)j->c->y.x + at;
    asd_bf16_product(j->tile, p.rows, p.columns, s.C, x, s.C, w, s.C, bias, sum, s.O);
    for (int64_t r = 0; r < p.rows; ++r)
        asd_bf16_narrow(sum + r * s.O, y + r * s.O, p.columns);
}

static size_t linear_bf16_work(const asd_node *n)
{
    return (size_t)asd_count(n->y.shape) * sizeof(float);
}

static asd_status linear_bf16_cpu(const asd_call *c)
{
    asd_linear_sizes s = asd_linear_sizes_of(c->x[0].shape, c->x[1].shape);
    bf16_job         j = {c, s, {.m = s.R, .n = s.O, .batch = s.G}, asd_pair_tile_best()};
    asd_par_for(asd_gemm_blocks(&j.cut), bf16_block, &j);
    return ASD_OK;
}

/* One thread sums a block of columns over all rows, in row order. */
enum { DB_COLUMNS = 64 };

ASD_SIMD static void add_columns(const float *dy, int64_t R, int64_t O, int64_t from,
                                 int64_t columns, float *db)
{
    float sum[DB_COLUMNS] = {0};
    for (int64_t r = 0; r < R; ++r)
        for (int64_t o = 0; o < columns; ++o)
            sum[o] += dy[r * O + from + o];
    for (int64_t o = 0; o < columns; ++o)
        db[from + o] += sum[o];
}

static int64_t column_blocks(int64_t O)
{
    return (O + DB_COLUMNS - 1) / DB_COLUMNS;
}

/* The three gradients need nothing of each other, so they share one parallel region: chunks of dx,
 * of dw, of db. */
typedef struct backward_job {
    asd_gemm_job     dx, dw;
    int64_t          n_dx, n_dw, n_db;
    const float     *dy;
    float           *db;
    asd_linear_sizes s;
} backward_job;

static void bwd_chunk(void *ctx, int64_t chunk)
{
    const backward_job *j = ctx;
    if (chunk < j->n_dx) {
        asd_gemm_block(&j->dx, chunk);
    } else if (chunk < j->n_dx + j->n_dw) {
        asd_gemm_block(&j->dw, chunk - j->n_dx);
    } else {
        int64_t R = j->s.R, O = j->s.O, i = chunk - j->n_dx - j->n_dw;
        int64_t g = i / column_blocks(O), from = i % column_blocks(O) * DB_COLUMNS;
        add_columns(j->dy + g * R * O, R, O, from, O - from < DB_COLUMNS ? O - from : DB_COLUMNS,
                    j->db + g * O);
    }
}

static asd_status linear_bwd_cpu(const asd_call *c)
{
    asd_linear_sizes s = asd_linear_sizes_of(c->x[0].shape, c->x[1].shape);
    int64_t          R = s.R, C = s.C, O = s.O;
    backward_job     j = {.dy = c->y.g, .s = s};
    /* y = x w'  ->  dx = dy w */
    if (c->x[0].g) {
        j.dx      = dense(s.G, R, C, O, c->y.g, 0, c->x[1].x, 0, c->x[0].g);
        j.dx.beta = c->acc[0];
        j.n_dx    = asd_gemm_blocks(&j.dx);
    }
    /* y = x w'  ->  dw = dy' x */
    if (c->x[1].g) {
        j.dw      = dense(s.G, O, C, R, c->y.g, 1, c->x[0].x, 0, c->x[1].g);
        j.dw.beta = c->acc[1];
        j.n_dw    = asd_gemm_blocks(&j.dw);
    }
    /* y = ... + b  ->  db = sum over rows of dy */
    if (c->n_in == 3 && c->x[2].g) {
        j.db   = c->x[2].g;
        j.n_db = s.G * column_blocks(O);
        if (!c->acc[2])
            memset(j.db, 0, (size_t)(s.G * O) * sizeof(float));
    }
    asd_par_for(j.n_dx + j.n_dw + j.n_db, bwd_chunk, &j);
    return ASD_OK;
}

static double linear_flops(const asd_node *n, int backward)
{
    double products = 2.0 * (double)asd_rows(n->y.shape) * (double)asd_last(n->in[0].shape) *
                      (double)asd_last(n->y.shape);
    return backward ? 2 * products : products;
}

#define CASE(B, C, O, is_bench)                                                                    \
    {                                                                                              \
        .name = "B=" #B ",C=" #C ",O=" #O, .n_in = 3, .bench = is_bench,                           \
        .in = {{ASD_F32, {2, {B, C}}}, {ASD_F32, {2, {O, C}}}, {ASD_F32, {1, {O}}}},               \
    }
#define GROUPED(G, B, C, O, is_bench)                                                              \
    {                                                                                              \
        .name = "G=" #G ",B=" #B ",C=" #C ",O=" #O, .n_in = 3, .bench = is_bench,                  \
        .in = {{ASD_F32, {3, {G, B, C}}}, {ASD_F32, {3, {G, O, C}}}, {ASD_F32, {2, {G, O}}}},      \
    }
static const asd_case linear_cases[] = {
    CASE(1, 1, 1, 0),
    CASE(2, 3, 5, 0),
    CASE(7, 1, 13, 0),
    CASE(67, 5, 1, 0),
    CASE(129, 17, 67, 0),
    {.name = "B=2,T=3,C=4,O=5",
     .n_in = 3,
     .in   = {{ASD_F32, {3, {2, 3, 4}}}, {ASD_F32, {2, {5, 4}}}, {ASD_F32, {1, {5}}}}},
    {.name = "B=3,C=4,O=2,no-bias",
     .n_in = 2,
     .in   = {{ASD_F32, {2, {3, 4}}}, {ASD_F32, {2, {2, 4}}}}},
    GROUPED(1, 1, 1, 1, 0),
    GROUPED(3, 5, 7, 2, 0),
    GROUPED(2, 67, 3, 5, 0),
    GROUPED(7, 2, 13, 67, 0),
    {.name = "G=5,B=3,C=4,O=2,no-bias",
     .n_in = 2,
     .in   = {{ASD_F32, {3, {5, 3, 4}}}, {ASD_F32, {3, {5, 2, 4}}}}},
    CASE(257, 2, 3, 0),
    GROUPED(2, 515, 1, 8, 0),
    CASE(256, 640, 128, 1),
    CASE(256, 128, 128, 1),
    CASE(256, 128, 640, 1),
    GROUPED(7, 256, 640, 128, 1),
    GROUPED(7, 256, 128, 128, 1),
    GROUPED(7, 256, 128, 640, 1),
    CASE(496, 768, 2304, 2),
    CASE(496, 768, 3072, 1),
    CASE(496, 3072, 768, 2),
    CASE(16368, 768, 2304, 2),
    CASE(16368, 768, 3072, 2),
    CASE(16368, 3072, 768, 2),
    {.name = NULL},
};

const asd_op asd_op_linear = {
    .name          = "linear",
    .min_in        = 2,
    .n_in          = 3,
    .infer         = linear_infer,
    .fwd           = {linear_fwd_cpu, ASD_CUDA_FN(linear_fwd_cuda)},
    .bwd           = {linear_bwd_cpu, ASD_CUDA_FN(linear_bwd_cuda)},
    .bf16          = ASD_KEEPS_X(0) | ASD_KEEPS_X(1),
    .cpu_bf16      = linear_bf16_cpu,
    .cpu_bf16_work = linear_bf16_work,
    .keeps         = ASD_KEEPS_X(0) | ASD_KEEPS_X(1),
    .flops         = linear_flops,
    .cases         = linear_cases,
};
