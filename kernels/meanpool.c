/* meanpool.c - the mean of a clip's tokens; with lengths, of its first tokens alone.
 *
 *   y[b]     = sum_{p < n[b]} x[b, p] / n[b]
 *   dx[b, p] = dy[b] / n[b] for p < n[b], else 0
 *
 * x: (B, P, C)   n: (B) int32, optional: without it n[b] = P   y: (B, C)
 * A length outside 0 .. P counts as the nearer end; a clip of length 0 gives 0.
 * Numerics: tokens added in fp32, sixteen at a time and then the sums of sixteen: 496 in one chain
 * would double the error.
 * Used by: pooling of encoders.
 */
#include "kernels/cpu.h"
#include "kernels/op.h"

#include "base/par.h"

#include <string.h>

enum { COLUMNS = 64, TOKENS = 16 }; /* columns of one chunk, tokens of one sum */

static asd_status meanpool_infer(asd_node *n)
{
    char      sx[64], sn[64];
    asd_shape x = n->in[0].shape;
    if (x.n != 3 || asd_count(x) < 1)
        return ASD_FAIL(ASD_E_SHAPE, "meanpool: x %s, want (B, P, C) and not empty",
                        asd_shape_text(x, sx, sizeof sx));
    if (n->n_in == 2 &&
        (n->in[1].dtype != ASD_I32 || !asd_shape_equal(n->in[1].shape, ASD_SHAPE1(x.d[0]))))
        return ASD_FAIL(ASD_E_SHAPE, "meanpool: x %s, lengths %s %s, want i32 (%lld)",
                        asd_shape_text(x, sx, sizeof sx), asd_dtype_name(n->in[1].dtype),
                        asd_shape_text(n->in[1].shape, sn, sizeof sn), (long long)x.d[0]);
    n->y = (asd_spec){n->in[0].dtype, ASD_SHAPE2(x.d[0], x.d[2])};
    return ASD_OK;
}

static int64_t length_of(const asd_call *c, int64_t b)
{
    int64_t P = c->x[0].shape.d[1], n = c->n_in == 2 ? ((const int32_t *)c->x[1].x)[b] : P;
    return n < 0 ? 0 : n > P ? P : n;
}

ASD_SIMD static void mean_columns(const float *x, int64_t n, int64_t C, int64_t columns, float *y)
{
    float sum[COLUMNS] = {0};
    for (int64_t from = 0; from < n; from += TOKENS) {
        float part[COLUMNS] = {0};
        for (int64_t p = from; p < n && p < from + TOKENS; ++p)
            for (int64_t c = 0; c < columns; ++c)
                part[c] += x[p * C + c];
        for (int64_t c = 0; c < columns; ++c)
            sum[c] += part[c];
    }
    for (int64_t c = 0; c < columns; ++c)
        y[c] = n ? sum[c] / (float)n : 0;
}

ASD_SIMD static void spread(const float *restrict dy, float factor, float *restrict dx, int64_t C,
                            int add)
{
    if (add)
        for (int64_t c = 0; c < C; ++c)
            dx[c] += dy[c] * factor;
    else
        for (int64_t c = 0; c < C; ++c)
            dx[c] = dy[c] * factor;
}

static int64_t column_blocks(const asd_call *c)
{
    return (asd_last(c->y.shape) + COLUMNS - 1) / COLUMNS;
}

static void fwd_chunk(void *ctx, int64_t chunk)
{
    const asd_call *c = ctx;
    int64_t         P = c->x[0].shape.d[1], C = c->x[0].shape.d[2], blocks = column_blocks(c);
    int64_t         b = chunk / blocks, o = chunk % blocks * COLUMNS;
    mean_columns((const float *)c->x[0].x + b * P * C + o, length_of(c, b), C,
                 C - o < COLUMNS ? C - o : COLUMNS, (float *)c->y.x + b * C + o);
}

static void bwd_chunk(void *ctx, int64_t b)
{
    const asd_call *c = ctx;
    int64_t         P = c->x[0].shape.d[1], C = c->x[0].shape.d[2], n = length_of(c, b);
    const float    *dy = (const float *)c->y.g + b * C;
    float          *dx = (float *)c->x[0].g + b * P * C;
    for (int64_t p = 0; p < n; ++p)
        spread(dy, 1 / (float)n, dx + p * C, C, c->acc[0]);
    if (!c->acc[0])
        memset(dx + n * C, 0, (size_t)((P - n) * C) * sizeof *dx);
}

static asd_status meanpool_fwd_cpu(const asd_call *c)
{
    asd_par_for(c->y.shape.d[0] * column_blocks(c), fwd_chunk, (void *)c);
    return ASD_OK;
}

static asd_status meanpool_bwd_cpu(const asd_call *c)
{
    /* y = sum x / n  ->  dx = dy / n */
    if (c->x[0].g)
        asd_par_for(c->y.shape.d[0], bwd_chunk, (void *)c);
    return ASD_OK;
}

static double meanpool_flops(const asd_node *n, int backward)
{
    (void)backward;
    return (double)asd_count(n->in[0].shape);
}

#define CASE(B, P, C, is_bench)                                                                    \
    {                                                                                              \
        .name = "B=" #B ",P=" #P ",C=" #C, .n_in = 1, .bench = is_bench,                           \
        .in = {{ASD_F32, {3, {B, P, C}}}},                                                         \
    }
#define CASE_LENGTHS(B, P, C, limit)                                                               \
    {                                                                                              \
        .name = "B=" #B ",P=" #P ",C=" #C ",lengths", .n_in = 2, .index_limit = limit,             \
        .in   = {{ASD_F32, {3, {B, P, C}}}, {ASD_I32, {1, {B}}}},                                  \
        .fill = {ASD_FILL_NORMAL, ASD_FILL_INDEX},                                                 \
    }
static const asd_case meanpool_cases[] = {
    CASE(1, 1, 1, 0),          CASE(3, 5, 7, 0),
    CASE(2, 67, 8, 0),         CASE(2, 3, 72, 0),
    CASE(1, 33, 131, 0),       CASE_LENGTHS(7, 5, 3, 8),
    CASE_LENGTHS(9, 37, 8, 3), CASE_LENGTHS(5, 41, 8, 50),
    CASE(34, 496, 768, 1),     {.name = NULL},
};

const asd_op asd_op_meanpool = {
    .name    = "meanpool",
    .min_in  = 1,
    .n_in    = 2,
    .infer   = meanpool_infer,
    .fwd     = {meanpool_fwd_cpu, ASD_CUDA_FN(meanpool_fwd_cuda)},
    .bwd     = {meanpool_bwd_cpu, ASD_CUDA_FN(meanpool_bwd_cuda)},
    .keeps   = ASD_KEEPS_X(1),
    .no_grad = ASD_KEEPS_X(1),
    .bf16    = ASD_KEEPS_X(0),
    .flops   = meanpool_flops,
    .cases   = meanpool_cases,
};
