/* bias.c - adds a vector to every row; in groups, each group of rows has its own.
 *
 *   y  = x + b
 *   dx = dy        db = sum over the (group's) rows of dy
 *
 * x, y: (..., C), b: (C); or x, y: (G, ..., C), b: (G, C). Read as (G, R, C).
 * Numerics: db in fp32, in parts of rows (rows.h), whatever x is.
 * Used by: layers whose product has no bias of its own.
 */
#include "kernels/cpu.h"
#include "kernels/op.h"
#include "kernels/rows.h"

#include "base/par.h"

#include <string.h>

static asd_status bias_infer(asd_node *n)
{
    char      sx[64], sb[64];
    asd_shape x = n->in[0].shape, b = n->in[1].shape;
    int64_t   C = asd_last(x), G = b.n == 2 ? b.d[0] : 1;
    if (x.n < b.n || asd_count(x) < 1 || b.n < 1 || b.n > 2 || asd_last(b) != C ||
        (b.n == 2 && x.d[0] != G))
        return ASD_FAIL(ASD_E_SHAPE,
                        "bias: x %s, b %s, want (..., C) and (C), or (G, ..., C) and "
                        "(G, C)",
                        asd_shape_text(x, sx, sizeof sx), asd_shape_text(b, sb, sizeof sb));
    n->y              = n->in[0];
    n->bwd_work_bytes = (size_t)(G * asd_parts(asd_rows(x) / G) * C) * sizeof(float);
    return ASD_OK;
}

static int64_t groups(const asd_call *c)
{
    return c->x[1].shape.n == 2 ? c->x[1].shape.d[0] : 1;
}

ASD_SIMD static void add_row(const float *restrict x, const float *restrict b, float *restrict y,
                             int64_t C)
{
    for (int64_t i = 0; i < C; ++i)
        y[i] = x[i] + b[i];
}

ASD_SIMD static void add_to(const float *restrict from, float *restrict to, int64_t C)
{
    for (int64_t i = 0; i < C; ++i)
        to[i] += from[i];
}

static void fwd_rows(void *ctx, int64_t first, int64_t rows)
{
    const asd_call *c = ctx;
    int64_t         C = asd_last(c->y.shape), R = asd_rows(c->y.shape);
    for (int64_t r = first; r < first + rows; ++r)
        add_row((const float *)c->x[0].x + r * C,
                (const float *)c->x[1].x + r / (R / groups(c)) * C, (float *)c->y.x + r * C, C);
}

/* Chunk: part p of group g. Its rows of dx, and its line of the sums. */
static void bwd_part(void *ctx, int64_t chunk)
{
    const asd_call *c = ctx;
    int64_t C = asd_last(c->y.shape), R = asd_rows(c->y.shape) / groups(c), parts = asd_parts(R);
    int64_t g = chunk / parts, p = chunk % parts, rows = asd_part_rows(R);
    float  *dx = c->x[0].g, *line = c->x[1].g ? (float *)c->work + chunk * C : NULL;
    if (line)
        memset(line, 0, (size_t)C * sizeof *line);
    for (int64_t r = p * rows; r < R && r < (p + 1) * rows; ++r) {
        int64_t      o  = (g * R + r) * C;
        const float *dy = (const float *)c->y.g + o;
        if (dx && c->acc[0])
            add_to(dy, dx + o, C);
        else if (dx)
            memcpy(dx + o, dy, (size_t)C * sizeof *dx);
        if (line)
            add_to(dy, line, C);
    }
}

static asd_status bias_fwd_cpu(const asd_call *c)
{
    asd_par_ranges(asd_rows(c->y.shape), asd_chunk_rows(asd_last(c->y.shape)), fwd_rows, (void *)c);
    return ASD_OK;
}

static asd_status bias_bwd_cpu(const asd_call *c)
{
    /* y = x + b  ->  dx = dy, db = sum over rows of dy */
    int64_t C = asd_last(c->y.shape), G = groups(c), parts = asd_parts(asd_rows(c->y.shape) / G);
    asd_par_for(G * parts, bwd_part, (void *)c);
    for (int64_t g = 0; g < G && c->x[1].g; ++g)
        asd_sum_lines((const float *)c->work + g * parts * C, parts, C, C,
                      (float *)c->x[1].g + g * C, c->acc[1]);
    return ASD_OK;
}

static double bias_flops(const asd_node *n, int backward)
{
    (void)backward;
    return (double)asd_count(n->y.shape);
}

#define CASE(R, C, is_bench)                                                                       \
    {                                                                                              \
        .name = "R=" #R ",C=" #C, .n_in = 2, .bench = is_bench,                                    \
        .in = {{ASD_F32, {2, {R, C}}}, {ASD_F32, {1, {C}}}},                                       \
    }
#define CASE_GROUPS(G, R, C, is_bench)                                                             \
    {                                                                                              \
        .name = "G=" #G ",R=" #R ",C=" #C, .n_in = 2, .bench = is_bench,                           \
        .in = {{ASD_F32, {3, {G, R, C}}}, {ASD_F32, {2, {G, C}}}},                                 \
    }
/* R = 521: more parts than the second pass has slices on CUDA (lines.cuh). */
static const asd_case bias_cases[] = {
    CASE(1, 1, 0),
    CASE(3, 5, 0),
    CASE(131, 3, 0),
    CASE(67, 8, 0),
    CASE(521, 2, 0),
    CASE(3, 264, 0),
    CASE(5, 521, 0),
    CASE_GROUPS(3, 5, 7, 0),
    CASE_GROUPS(2, 19, 8, 0),
    {.name = "G=3,C=8", .n_in = 2, .in = {{ASD_F32, {2, {3, 8}}}, {ASD_F32, {2, {3, 8}}}}},
    {.name = "B=2,P=3,C=4", .n_in = 2, .in = {{ASD_F32, {3, {2, 3, 4}}}, {ASD_F32, {1, {4}}}}},
    CASE_GROUPS(7, 256, 128, 1),
    CASE(1984, 768, 1),
    {.name = NULL},
};

const asd_op asd_op_bias = {
    .name   = "bias",
    .min_in = 2,
    .n_in   = 2,
    .infer  = bias_infer,
    .fwd    = {bias_fwd_cpu, ASD_CUDA_FN(bias_fwd_cuda)},
    .bwd    = {bias_bwd_cpu, ASD_CUDA_FN(bias_bwd_cuda)},
    .bf16   = ASD_KEEPS_X(0),
    .flops  = bias_flops,
    .cases  = bias_cases,
};
