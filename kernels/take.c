/* take.c - some consecutive tokens of each clip.
 *
 *   y[b, p]  = x[b, first + p]
 *   dx[b, p] = dy[b, p - first] where that exists, else 0
 *
 * x: (B, P, C)   y: (B, n, C)
 * Used by: the token in front of EAT and SSLAM, or all others.
 */
#include "kernels/op.h"

#include "base/par.h"

#include <string.h>

static asd_status take_infer(asd_node *n)
{
    char                 sx[64];
    const asd_take_attr *a = n->attr;
    asd_shape            x = n->in[0].shape;
    if (x.n != 3 || asd_count(x) < 1)
        return ASD_FAIL(ASD_E_SHAPE, "take: x %s, want (B, P, C) and not empty",
                        asd_shape_text(x, sx, sizeof sx));
    if (a->first < 0 || a->n < 1 || a->first > x.d[1] - a->n)
        return ASD_FAIL(ASD_E_SHAPE, "take: %lld tokens from %lld on, of x %s", (long long)a->n,
                        (long long)a->first, asd_shape_text(x, sx, sizeof sx));
    n->y = (asd_spec){n->in[0].dtype, ASD_SHAPE3(x.d[0], a->n, x.d[2])};
    return ASD_OK;
}

/* Chunks: one clip. */
static void fwd_chunk(void *ctx, int64_t b)
{
    const asd_call      *c = ctx;
    const asd_take_attr *a = c->attr;
    int64_t              P = c->x[0].shape.d[1], C = c->x[0].shape.d[2];
    memcpy((float *)c->y.x + b * a->n * C, (const float *)c->x[0].x + (b * P + a->first) * C,
           (size_t)(a->n * C) * sizeof(float));
}

static void bwd_chunk(void *ctx, int64_t b)
{
    const asd_call      *c = ctx;
    const asd_take_attr *a = c->attr;
    int64_t              P = c->x[0].shape.d[1], C = c->x[0].shape.d[2], n = a->n * C;
    const float         *dy = (const float *)c->y.g + b * n;
    float               *dx = (float *)c->x[0].g + b * P * C, *to = dx + a->first * C;
    if (c->acc[0]) {
        for (int64_t i = 0; i < n; ++i)
            to[i] += dy[i];
        return;
    }
    memset(dx, 0, (size_t)(a->first * C) * sizeof *dx);
    memcpy(to, dy, (size_t)n * sizeof *dx);
    memset(to + n, 0, (size_t)((P - a->first) * C - n) * sizeof *dx);
}

static asd_status take_fwd_cpu(const asd_call *c)
{
    asd_par_for(c->y.shape.d[0], fwd_chunk, (void *)c);
    return ASD_OK;
}

static asd_status take_bwd_cpu(const asd_call *c)
{
    /* y = some of x  ->  dx = dy there */
    if (c->x[0].g)
        asd_par_for(c->y.shape.d[0], bwd_chunk, (void *)c);
    return ASD_OK;
}

static double take_bytes(const asd_node *n, int backward)
{
    double size = (double)asd_dtype_size(n->y.dtype);
    double y    = (double)asd_count(n->y.shape) * size;
    return backward ? y + (double)asd_count(n->in[0].shape) * size : 2 * y;
}

static const asd_take_attr first = {0, 1}, rest = {1, 4}, middle = {2, 3}, all = {0, 5},
                           patches = {1, 512};

#define CASE(B, P, C, how, is_bench)                                                               \
    {                                                                                              \
        .name = "B=" #B ",P=" #P ",C=" #C "," #how, .n_in = 1, .bench = is_bench, .attr = &(how),  \
        .in = {{ASD_F32, {3, {B, P, C}}}},                                                         \
    }
static const asd_case take_cases[] = {
    CASE(1, 1, 1, first, 0),        CASE(3, 5, 7, rest, 0), CASE(2, 9, 8, middle, 0),
    CASE(4, 5, 16, first, 0),       CASE(2, 5, 3, all, 0),  CASE(34, 513, 768, first, 1),
    CASE(34, 513, 768, patches, 1), {.name = NULL},
};

const asd_op asd_op_take = {
    .name   = "take",
    .min_in = 1,
    .n_in   = 1,
    .infer  = take_infer,
    .fwd    = {take_fwd_cpu, ASD_CUDA_FN(take_fwd_cuda)},
    .bwd    = {take_bwd_cpu, ASD_CUDA_FN(take_bwd_cuda)},
    .bf16   = ASD_KEEPS_X(0),
    .bytes  = take_bytes,
    .cases  = take_cases,
};
