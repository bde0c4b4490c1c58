/* add.c - the sum of two tensors, the second with a factor.
 *
 *   y  = a + alpha b
 *   da = dy        db = alpha dy
 *
 * a, b, y: the same shape, any
 * Where b is a, or a view of it, both gradients go to one memory: da is written first, and what
 * comes from b is added to it.
 * Used by: residuals without a norm behind them, positions made from the tokens.
 */
#include "kernels/cpu.h"
#include "kernels/op.h"

#include "base/par.h"

#include <string.h>

enum { CHUNK = 16384 };

static asd_status add_infer(asd_node *n)
{
    char sa[64], sb[64];
    if (!asd_shape_equal(n->in[0].shape, n->in[1].shape) || n->in[0].dtype != n->in[1].dtype)
        return ASD_FAIL(
            ASD_E_SHAPE, "add: a %s %s, b %s %s, want the same twice",
            asd_dtype_name(n->in[0].dtype), asd_shape_text(n->in[0].shape, sa, sizeof sa),
            asd_dtype_name(n->in[1].dtype), asd_shape_text(n->in[1].shape, sb, sizeof sb));
    n->y = n->in[0];
    return ASD_OK;
}

static float alpha_of(const asd_call *c)
{
    return ((const asd_add_attr *)c->attr)->alpha;
}

/* y may be neither; a and b may be the same. */
ASD_SIMD static void add_forward(const float *a, const float *b, float alpha, float *restrict y,
                                 int64_t n)
{
    for (int64_t i = 0; i < n; ++i)
        y[i] = a[i] + alpha * b[i];
}

ASD_SIMD static void scale_to(const float *restrict dy, float factor, float *restrict dx, int64_t n,
                              int add)
{
    if (add)
        for (int64_t i = 0; i < n; ++i)
            dx[i] += factor * dy[i];
    else
        for (int64_t i = 0; i < n; ++i)
            dx[i] = factor * dy[i];
}

static void fwd_range(void *ctx, int64_t o, int64_t n)
{
    const asd_call *c = ctx;
    add_forward((const float *)c->x[0].x + o, (const float *)c->x[1].x + o, alpha_of(c),
                (float *)c->y.x + o, n);
}

static void bwd_range(void *ctx, int64_t o, int64_t n)
{
    const asd_call *c  = ctx;
    const float    *dy = (const float *)c->y.g + o;
    for (int k = 0; k < 2; ++k)
        if (c->x[k].g)
            scale_to(dy, k ? alpha_of(c) : 1, (float *)c->x[k].g + o, n, c->acc[k]);
}

static asd_status add_fwd_cpu(const asd_call *c)
{
    asd_par_ranges(asd_count(c->y.shape), CHUNK, fwd_range, (void *)c);
    return ASD_OK;
}

static asd_status add_bwd_cpu(const asd_call *c)
{
    /* y = a + alpha b  ->  da = dy, db = alpha dy */
    if (c->x[0].g || c->x[1].g)
        asd_par_ranges(asd_count(c->y.shape), CHUNK, bwd_range, (void *)c);
    return ASD_OK;
}

static double add_flops(const asd_node *n, int backward)
{
    return (double)asd_count(n->y.shape) * (backward ? 1 : 2);
}

static const asd_add_attr one = {1}, half = {0.5f}, minus = {-1.25f};

#define CASE(text, factor, is_bench, ...)                                                          \
    {                                                                                              \
        .name = text, .n_in = 2, .bench = is_bench, .attr = &(factor),                             \
        .in = {{ASD_F32, __VA_ARGS__}, {ASD_F32, __VA_ARGS__}},                                    \
    }
static const asd_case add_cases[] = {
    CASE("n=1", one, 0, {1, {1}}),
    CASE("B=3,C=7,half", half, 0, {2, {3, 7}}),
    CASE("n=1031,minus", minus, 0, {1, {1031}}),
    CASE("B=2,P=5,C=8", one, 0, {3, {2, 5, 8}}),
    CASE("n=65537", half, 1, {1, {65537}}),
    CASE("B=34,P=496,C=768", one, 1, {3, {34, 496, 768}}),
    {.name = NULL},
};

const asd_op asd_op_add = {
    .name   = "add",
    .min_in = 2,
    .n_in   = 2,
    .infer  = add_infer,
    .fwd    = {add_fwd_cpu, ASD_CUDA_FN(add_fwd_cuda)},
    .bwd    = {add_bwd_cpu, ASD_CUDA_FN(add_bwd_cuda)},
    .bf16   = ASD_KEEPS_X(0) | ASD_KEEPS_X(1),
    .flops  = add_flops,
    .cases  = add_cases,
};
