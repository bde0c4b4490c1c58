/* frame_stack.c - rows of consecutive frames, gathered by index: the autoencoder's input vectors.
 *
 *   y[b] = x[i_b], x[i_b + 1], ..., x[i_b + stack - 1]        oldest frame first
 *
 * x: (R, F) frames of many clips, one after another   i: (B) or (G, B) int32, first frame of each
 * row   y: (B, stack F) or (G, B, stack F)
 * The frames of a row lie side by side in x, so a row is one copy of stack F numbers and the
 * 640-vectors of a machine (five times its features) never exist. The caller keeps a row inside its
 * clip: 0 <= i, i + stack <= R. Not differentiable: the front-end is fixed.
 * See: dcase2026 6.1.   Used by: autoencoder.
 */
#include "kernels/op.h"

#include <string.h>

static asd_status frame_stack_infer(asd_node *n)
{
    const asd_frame_stack_attr *a = n->attr;
    char                        sx[64], si[64];
    asd_shape                   i = n->in[1].shape;
    if (n->in[0].shape.n != 2 || i.n < 1 || i.n > 2 || n->in[1].dtype != ASD_I32 || a->stack < 1 ||
        a->stack > n->in[0].shape.d[0])
        return ASD_FAIL(ASD_E_SHAPE,
                        "frame_stack: x %s and i %s with stack %lld, want (R >= stack, F) and (B) "
                        "or (G, B) int32",
                        asd_shape_text(n->in[0].shape, sx, sizeof sx),
                        asd_shape_text(i, si, sizeof si), (long long)a->stack);
    i.d[i.n++] = a->stack * n->in[0].shape.d[1];
    n->y       = (asd_spec){n->in[0].dtype, i};
    return ASD_OK;
}

static asd_status frame_stack_fwd_cpu(const asd_call *c)
{
    const asd_frame_stack_attr *a = c->attr;
    const char                 *x = c->x[0].x;
    const int32_t              *i = c->x[1].x;
    char                       *y = c->y.x;
    int64_t                     R = c->x[0].shape.d[0], B = asd_rows(c->y.shape);
    size_t                      frame = (size_t)c->x[0].shape.d[1] * asd_dtype_size(c->y.dtype);
    size_t                      row   = (size_t)a->stack * frame;
    for (int64_t b = 0; b < B; ++b) {
        ASD_ASSERT(i[b] >= 0 && i[b] + a->stack <= R);
        memcpy(y + (size_t)b * row, x + (size_t)i[b] * frame, row);
    }
    return ASD_OK;
}

static const asd_frame_stack_attr attr1 = {1}, attr3 = {3}, attr5 = {5};
#define CASE(R, F, B, S, is_bench)                                                                 \
    {                                                                                              \
        .name = "R=" #R ",F=" #F ",B=" #B ",stack=" #S, .n_in = 2, .attr = &attr##S,               \
        .in = {{ASD_F32, {2, {R, F}}}, {ASD_I32, {1, {B}}}}, .bench = is_bench,                    \
        .fill = {ASD_FILL_NORMAL, ASD_FILL_INDEX}, .index_limit = R - S + 1,                       \
    }
#define GROUPED(R, F, G, B, S, is_bench)                                                           \
    {                                                                                              \
        .name = "R=" #R ",F=" #F ",G=" #G ",B=" #B ",stack=" #S, .n_in = 2, .attr = &attr##S,      \
        .in = {{ASD_F32, {2, {R, F}}}, {ASD_I32, {2, {G, B}}}}, .bench = is_bench,                 \
        .fill = {ASD_FILL_NORMAL, ASD_FILL_INDEX}, .index_limit = R - S + 1,                       \
    }
static const asd_case frame_stack_cases[] = {
    CASE(1, 1, 1, 1, 0),
    CASE(3, 2, 5, 3, 0),
    CASE(101, 7, 13, 5, 0),
    GROUPED(1, 1, 1, 1, 1, 0),
    GROUPED(17, 5, 3, 7, 3, 0),
    GROUPED(43, 4, 7, 2, 5, 0),
    CASE(31300, 128, 256, 5, 1),
    GROUPED(31300, 128, 7, 256, 5, 1),
    {.name = NULL},
};

/* The rows that are gathered, not all frames there are. */
static double frame_stack_bytes(const asd_node *n, int backward)
{
    (void)backward;
    return 2.0 * (double)asd_count(n->y.shape) * (double)asd_dtype_size(n->y.dtype) +
           (double)asd_count(n->in[1].shape) * (double)asd_dtype_size(n->in[1].dtype);
}

const asd_op asd_op_frame_stack = {
    .name    = "frame_stack",
    .min_in  = 2,
    .n_in    = 2,
    .infer   = frame_stack_infer,
    .fwd     = {frame_stack_fwd_cpu, ASD_CUDA_FN(frame_stack_fwd_cuda)},
    .bf16    = ASD_KEEPS_X(0),
    .no_grad = ASD_KEEPS_X(1),
    .bytes   = frame_stack_bytes,
    .cases   = frame_stack_cases,
};
