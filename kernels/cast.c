/* cast.c - the same values in another precision; the gradient may be scaled on its way back.
 *
 *   y  = x              rounded to y's dtype
 *   dx = k dy           k = 1, or BEATs' layer-wise gradient decay (Chen et al. 2023, fine-tuning)
 *
 * x, y: any shape, fp32 or bf16 each. With k != 1 this is no derivative of y: it makes the layers
 * below learn more slowly.
 * Used by: transformer encoders.
 */
#include "kernels/cpu_bf16.h"
#include "kernels/op.h"

#include "base/par.h"

#include <math.h>
#include <string.h>

enum { CHUNK = 16384 };

static asd_status cast_infer(asd_node *n)
{
    const asd_cast_attr *a = n->attr;
    if (n->in[0].dtype != ASD_F32 && n->in[0].dtype != ASD_BF16)
        return ASD_FAIL(ASD_E_SHAPE, "cast: x is %s, want f32 or bf16",
                        asd_dtype_name(n->in[0].dtype));
    if ((a->to != ASD_F32 && a->to != ASD_BF16) || !isfinite(a->grad_scale))
        return ASD_FAIL(ASD_E_CONFIG, "cast: to %s with gradient x %g, want f32 or bf16 and finite",
                        asd_dtype_name(a->to), (double)a->grad_scale);
    n->y = (asd_spec){a->to, n->in[0].shape};
    return ASD_OK;
}

static float get(asd_dtype t, const void *x, int64_t i)
{
    return t == ASD_F32 ? ((const float *)x)[i] : asd_bf16_value(((const uint16_t *)x)[i]);
}

static void put(asd_dtype t, void *x, int64_t i, float v)
{
    if (t == ASD_F32)
        ((float *)x)[i] = v;
    else
        ((uint16_t *)x)[i] = asd_bf16_of(v);
}

static int64_t chunk_end(const asd_call *c, int64_t chunk)
{
    int64_t n = asd_count(c->y.shape), end = (chunk + 1) * CHUNK;
    return end < n ? end : n;
}

static void fwd_chunk(void *ctx, int64_t chunk)
{
    const asd_call *c = ctx;
    int64_t         o = chunk * CHUNK, n = chunk_end(c, chunk) - o;
    size_t          from = asd_dtype_size(c->x[0].dtype), to = asd_dtype_size(c->y.dtype);
    const void     *x = (const char *)c->x[0].x + (size_t)o * from;
    void           *y = (char *)c->y.x + (size_t)o * to;
    if (from == to)
        memcpy(y, x, (size_t)n * to);
    else if (to == sizeof(float))
        asd_bf16_widen(x, y, n);
    else
        asd_bf16_narrow(x, y, n);
}

static void bwd_chunk(void *ctx, int64_t chunk)
{
    const asd_call      *c = ctx;
    const asd_cast_attr *a = c->attr;
    asd_dtype            t = c->x[0].g_dtype;
    for (int64_t i = chunk * CHUNK; i < chunk_end(c, chunk); ++i)
        put(t, c->x[0].g, i,
            a->grad_scale * get(c->y.g_dtype, c->y.g, i) + (c->acc[0] ? get(t, c->x[0].g, i) : 0));
}

static asd_status cast_fwd_cpu(const asd_call *c)
{
    asd_par_for((asd_count(c->y.shape) + CHUNK - 1) / CHUNK, fwd_chunk, (void *)c);
    return ASD_OK;
}

static asd_status cast_bwd_cpu(const asd_call *c)
{
    if (c->x[0].g)
        asd_par_for((asd_count(c->y.shape) + CHUNK - 1) / CHUNK, bwd_chunk, (void *)c);
    return ASD_OK;
}

static const asd_cast_attr to_f32 = {ASD_F32, 1}, to_bf16 = {ASD_BF16, 1};
#define CASE(n, attribute, is_bench)                                                               \
    {                                                                                              \
        .name = "n=" #n "," #attribute, .n_in = 1, .attr = &attribute, .bench = is_bench,          \
        .in = {{ASD_F32, {1, {n}}}},                                                               \
    }
static const asd_case cast_cases[] = {
    CASE(1, to_f32, 0),
    CASE(37, to_f32, 0),
    CASE(7, to_bf16, 0),
    CASE(521, to_bf16, 0),
    {.name = "B=2,P=3,C=8,to_bf16", .n_in = 1, .attr = &to_bf16, .in = {{ASD_F32, {3, {2, 3, 8}}}}},
    CASE(4202496, to_bf16, 1),
    {.name = NULL},
};

const asd_op asd_op_cast = {
    .name     = "cast",
    .min_in   = 1,
    .n_in     = 1,
    .infer    = cast_infer,
    .fwd      = {cast_fwd_cpu, ASD_CUDA_FN(cast_fwd_cuda)},
    .bwd      = {cast_bwd_cpu, ASD_CUDA_FN(cast_bwd_cuda)},
    .bf16     = ASD_KEEPS_X(0),
    .cpu_bf16 = cast_fwd_cpu,
    .cases    = cast_cases,
};
