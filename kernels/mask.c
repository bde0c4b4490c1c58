/* mask.c - rows of a clip behind its length become zero.
 *
 *   y[b, p]  = x[b, p] if p < n_b, else 0          n_b = lengths[b], cut to 0 .. P
 *   dx[b, p] = dy[b, p] if p < n_b, else 0
 *
 * x, y: (B, P, C)   lengths: (B) int32
 * What is behind the length is not multiplied by zero but replaced: it may be NaN.
 * Used by: beats (padded tokens before the positional convolution), dasheng (padded frames).
 */
#include "kernels/op.h"

#include "base/par.h"

#include <string.h>

enum { CHUNK = 16384 };

static asd_status mask_infer(asd_node *n)
{
    char      sx[64], sl[64];
    asd_shape x = n->in[0].shape;
    if (x.n != 3 || !asd_shape_equal(n->in[1].shape, ASD_SHAPE1(x.d[0])) ||
        n->in[1].dtype != ASD_I32)
        return ASD_FAIL(ASD_E_SHAPE, "mask: x %s, lengths %s %s, want (B, P, C) and i32 (B)",
                        asd_shape_text(x, sx, sizeof sx), asd_dtype_name(n->in[1].dtype),
                        asd_shape_text(n->in[1].shape, sl, sizeof sl));
    n->y = n->in[0];
    return ASD_OK;
}

static int64_t chunk_rows(int64_t C)
{
    return C < CHUNK ? CHUNK / C : 1;
}

static int kept(const asd_call *c, int64_t row)
{
    int64_t P = c->y.shape.d[1];
    return row % P < ((const int32_t *)c->x[1].x)[row / P];
}

static void fwd_chunk(void *ctx, int64_t chunk)
{
    const asd_call *c = ctx;
    int64_t         R = asd_rows(c->y.shape), C = asd_last(c->y.shape), rows = chunk_rows(C);
    for (int64_t r = chunk * rows; r < R && r < (chunk + 1) * rows; ++r) {
        float *y = (float *)c->y.x + r * C;
        if (kept(c, r))
            memcpy(y, (const float *)c->x[0].x + r * C, (size_t)C * sizeof *y);
        else
            memset(y, 0, (size_t)C * sizeof *y);
    }
}

static void bwd_chunk(void *ctx, int64_t chunk)
{
    const asd_call *c = ctx;
    int64_t         R = asd_rows(c->y.shape), C = asd_last(c->y.shape), rows = chunk_rows(C);
    for (int64_t r = chunk * rows; r < R && r < (chunk + 1) * rows; ++r) {
        const float *dy = (const float *)c->y.g + r * C;
        float       *dx = (float *)c->x[0].g + r * C;
        if (kept(c, r) && c->acc[0])
            for (int64_t i = 0; i < C; ++i)
                dx[i] += dy[i];
        else if (kept(c, r))
            memcpy(dx, dy, (size_t)C * sizeof *dx);
        else if (!c->acc[0])
            memset(dx, 0, (size_t)C * sizeof *dx);
    }
}

static asd_status mask_fwd_cpu(const asd_call *c)
{
    int64_t rows = chunk_rows(asd_last(c->y.shape));
    asd_par_for((asd_rows(c->y.shape) + rows - 1) / rows, fwd_chunk, (void *)c);
    return ASD_OK;
}

static asd_status mask_bwd_cpu(const asd_call *c)
{
    int64_t rows = chunk_rows(asd_last(c->y.shape));
    if (c->x[0].g)
        asd_par_for((asd_rows(c->y.shape) + rows - 1) / rows, bwd_chunk, (void *)c);
    return ASD_OK;
}

#define CASE(B, P, C, limit, is_bench)                                                             \
    {                                                                                              \
        .name = "B=" #B ",P=" #P ",C=" #C, .n_in = 2, .bench = is_bench, .index_limit = limit,     \
        .in   = {{ASD_F32, {3, {B, P, C}}}, {ASD_I32, {1, {B}}}},                                  \
        .fill = {ASD_FILL_NORMAL, ASD_FILL_INDEX},                                                 \
    }
/* limit above P: lengths that reach over the end */
static const asd_case mask_cases[] = {
    CASE(1, 1, 1, 2, 0),  CASE(5, 7, 3, 9, 0),        CASE(3, 13, 8, 14, 0),
    CASE(2, 5, 67, 4, 0), CASE(34, 496, 768, 500, 1), {.name = NULL},
};

const asd_op asd_op_mask = {
    .name    = "mask",
    .min_in  = 2,
    .n_in    = 2,
    .infer   = mask_infer,
    .fwd     = {mask_fwd_cpu, ASD_CUDA_FN(mask_fwd_cuda)},
    .bwd     = {mask_bwd_cpu, ASD_CUDA_FN(mask_bwd_cuda)},
    .keeps   = ASD_KEEPS_X(1),
    .no_grad = ASD_KEEPS_X(1),
    .bf16    = ASD_KEEPS_X(0),
    .cases   = mask_cases,
};
