/* tokens.c - adds each token its row of a table, and puts one token in front that is the same for
 * all clips.
 *
 *   y[b, 0]     = cls                     (if there is one: then m = 1, else 0)
 *   y[b, m + p] = x[b, p] + table[p]
 *   dx[b, p] = dy[b, m + p]    dtable[p] = sum_b dy[b, m + p]    dcls = sum_b dy[b, 0]
 *
 * x: (B, P, C)   table: (N, C), N >= P, of which the first P rows are read   cls: (C), optional
 * y: (B, m + P, C)
 * Numerics: dtable and dcls in fp32, clips added in order; rows behind P get 0.
 * Used by: positions of EAT, SSLAM and Dasheng.
 */
#include "kernels/cpu.h"
#include "kernels/op.h"

#include "base/par.h"

#include <string.h>

static asd_status tokens_infer(asd_node *n)
{
    char      sx[64], st[64];
    asd_shape x = n->in[0].shape, table = n->in[1].shape;
    int       cls = ((const asd_tokens_attr *)n->attr)->cls;
    if (x.n != 3 || asd_count(x) < 1 || table.n != 2 || table.d[0] < x.d[1] ||
        table.d[1] != x.d[2] || n->in[1].dtype != ASD_F32)
        return ASD_FAIL(ASD_E_SHAPE,
                        "tokens: x %s, table %s %s, want (B, P, C) and at least P rows of C in f32",
                        asd_shape_text(x, sx, sizeof sx), asd_dtype_name(n->in[1].dtype),
                        asd_shape_text(table, st, sizeof st));
    if (cls != n->n_in - 2)
        return ASD_FAIL(ASD_E_SHAPE, "tokens: %d tokens in front, and %d vectors for them", cls,
                        n->n_in - 2);
    if (cls && (n->in[2].dtype != ASD_F32 || !asd_shape_equal(n->in[2].shape, ASD_SHAPE1(x.d[2]))))
        return ASD_FAIL(ASD_E_SHAPE, "tokens: x %s, the token in front %s %s, want f32 (%lld)",
                        asd_shape_text(x, sx, sizeof sx), asd_dtype_name(n->in[2].dtype),
                        asd_shape_text(n->in[2].shape, st, sizeof st), (long long)x.d[2]);
    n->y = (asd_spec){n->in[0].dtype, ASD_SHAPE3(x.d[0], cls + x.d[1], x.d[2])};
    return ASD_OK;
}

ASD_SIMD static void add_row(const float *restrict a, const float *restrict b, float *restrict y,
                             int64_t C)
{
    for (int64_t i = 0; i < C; ++i)
        y[i] = a[i] + b[i];
}

ASD_SIMD static void add_to(const float *restrict from, float *restrict to, int64_t C)
{
    for (int64_t i = 0; i < C; ++i)
        to[i] += from[i];
}

/* Chunk: one clip. */
static void fwd_chunk(void *ctx, int64_t b)
{
    const asd_call *c = ctx;
    int64_t         P = c->x[0].shape.d[1], C = c->x[0].shape.d[2], m = c->n_in - 2;
    const float    *x = (const float *)c->x[0].x + b * P * C, *table = c->x[1].x;
    float          *y = (float *)c->y.x + b * (m + P) * C;
    if (m)
        memcpy(y, c->x[2].x, (size_t)C * sizeof *y);
    for (int64_t p = 0; p < P; ++p)
        add_row(x + p * C, table + p * C, y + (m + p) * C, C);
}

/* Chunk: token q of y for all clips, or behind the last a row of the table that none of them has.
 */
static void bwd_chunk(void *ctx, int64_t q)
{
    const asd_call *c = ctx;
    int64_t         B = c->x[0].shape.d[0], P = c->x[0].shape.d[1], C = c->x[0].shape.d[2];
    int64_t         m = c->n_in - 2, p = q - m;
    const float    *dy  = (const float *)c->y.g + q * C;
    float          *dx  = p >= 0 && p < P && c->x[0].g ? (float *)c->x[0].g + p * C : NULL;
    float          *sum = p < 0 ? c->x[2].g : c->x[1].g ? (float *)c->x[1].g + p * C : NULL;
    if (sum && !c->acc[p < 0 ? 2 : 1])
        memset(sum, 0, (size_t)C * sizeof *sum);
    for (int64_t b = 0; b < B && p < P; ++b, dy += (m + P) * C) {
        if (sum)
            add_to(dy, sum, C);
        if (dx && c->acc[0])
            add_to(dy, dx + b * P * C, C);
        else if (dx)
            memcpy(dx + b * P * C, dy, (size_t)C * sizeof *dx);
    }
}

static asd_status tokens_fwd_cpu(const asd_call *c)
{
    asd_par_for(c->x[0].shape.d[0], fwd_chunk, (void *)c);
    return ASD_OK;
}

static asd_status tokens_bwd_cpu(const asd_call *c)
{
    /* y = x + table  ->  dx = dy, dtable = sum over clips of dy */
    asd_par_for(c->n_in - 2 + c->x[1].shape.d[0], bwd_chunk, (void *)c);
    return ASD_OK;
}

static double tokens_flops(const asd_node *n, int backward)
{
    (void)backward;
    return (double)asd_count(n->in[0].shape);
}

static const asd_tokens_attr none = {0}, one = {1};

#define CASE(B, P, C, N, is_bench)                                                                 \
    {                                                                                              \
        .name = "B=" #B ",P=" #P ",C=" #C ",N=" #N, .n_in = 2, .bench = is_bench, .attr = &none,   \
        .in = {{ASD_F32, {3, {B, P, C}}}, {ASD_F32, {2, {N, C}}}},                                 \
    }
#define CASE_CLS(B, P, C, N, is_bench)                                                             \
    {                                                                                              \
        .name = "B=" #B ",P=" #P ",C=" #C ",N=" #N ",cls", .n_in = 3, .bench = is_bench,           \
        .attr = &one,                                                                              \
        .in   = {{ASD_F32, {3, {B, P, C}}}, {ASD_F32, {2, {N, C}}}, {ASD_F32, {1, {C}}}},          \
    }
static const asd_case tokens_cases[] = {
    CASE(1, 1, 1, 1, 0),
    CASE(3, 5, 7, 9, 0),
    CASE(2, 17, 8, 17, 0),
    CASE_CLS(1, 1, 1, 1, 0),
    CASE_CLS(3, 4, 16, 6, 0),
    CASE_CLS(5, 3, 13, 3, 0),
    CASE(34, 250, 768, 252, 1),
    CASE_CLS(34, 512, 768, 512, 1),
    {.name = NULL},
};

const asd_op asd_op_tokens = {
    .name   = "tokens",
    .min_in = 2,
    .n_in   = 3,
    .infer  = tokens_infer,
    .fwd    = {tokens_fwd_cpu, ASD_CUDA_FN(tokens_fwd_cuda)},
    .bwd    = {tokens_bwd_cpu, ASD_CUDA_FN(tokens_bwd_cuda)},
    .bf16   = ASD_KEEPS_X(0),
    .flops  = tokens_flops,
    .cases  = tokens_cases,
};
