/* gelu.c - the Gaussian error linear unit in its exact form.
 *
 *   y  = x Phi(x)                       Phi(x) = (1 + erf(x / sqrt 2)) / 2
 *   dx = dy (Phi(x) + x phi(x))         phi(x) = exp(-x^2 / 2) / sqrt(2 pi)
 *
 * x, y: any shape
 * Numerics: cpu_math.h on the CPU, which keeps relative accuracy in the left tail; erff on CUDA,
 * where y is then within 4e-7 of the truth but its relative error grows below x = -3.
 * Used by: transformer encoders.
 */
#include "kernels/cpu.h"
#include "kernels/cpu_bf16.h"
#include "kernels/cpu_math.h"
#include "kernels/op.h"

#include "base/par.h"

enum { CHUNK = 16384 };

static asd_status gelu_infer(asd_node *n)
{
    n->y = n->in[0];
    return ASD_OK;
}

ASD_SIMD static void gelu_forward(const float *restrict x, float *restrict y, int64_t n)
{
    for (int64_t i = 0; i < n; ++i) {
        float density;
        y[i] = x[i] * asd_normal_f32(x[i], &density);
    }
}

ASD_SIMD static void gelu_backward(const float *restrict x, const float *restrict dy,
                                   float *restrict dx, int64_t n, int add)
{
    if (add)
        for (int64_t i = 0; i < n; ++i) {
            float density, phi = asd_normal_f32(x[i], &density);
            dx[i] += dy[i] * (phi + x[i] * density);
        }
    else
        for (int64_t i = 0; i < n; ++i) {
            float density, phi = asd_normal_f32(x[i], &density);
            dx[i] = dy[i] * (phi + x[i] * density);
        }
}

static void fwd_range(void *ctx, int64_t o, int64_t n)
{
    const asd_call *c = ctx;
    gelu_forward((const float *)c->x[0].x + o, (float *)c->y.x + o, n);
}

/* In bf16, by pieces that stay in the first cache. */
static void bf16_range(void *ctx, int64_t o, int64_t n)
{
    enum { PIECE = 1024 };
    const asd_call *c = ctx;
    const uint16_t *x = (const uint16_t *)c->x[0].x + o;
    uint16_t       *y = (uint16_t *)c->y.x + o;
    float           wide[PIECE], result[PIECE];
    for (int64_t i = 0; i < n; i += PIECE) {
        int64_t piece = n - i < PIECE ? n - i : PIECE;
        asd_bf16_widen(x + i, wide, piece);
        gelu_forward(wide, result, piece);
        asd_bf16_narrow(result, y + i, piece);
    }
}

static void bwd_range(void *ctx, int64_t o, int64_t n)
{
    const asd_call *c = ctx;
    gelu_backward((const float *)c->x[0].x + o, (const float *)c->y.g + o, (float *)c->x[0].g + o,
                  n, c->acc[0]);
}

static asd_status gelu_fwd_cpu(const asd_call *c)
{
    asd_par_ranges(asd_count(c->y.shape), CHUNK, fwd_range, (void *)c);
    return ASD_OK;
}

static asd_status gelu_bf16_cpu(const asd_call *c)
{
    asd_par_ranges(asd_count(c->y.shape), CHUNK, bf16_range, (void *)c);
    return ASD_OK;
}

static asd_status gelu_bwd_cpu(const asd_call *c)
{
    /* y = x Phi(x)  ->  dx = dy (Phi(x) + x phi(x)) */
    if (c->x[0].g)
        asd_par_ranges(asd_count(c->y.shape), CHUNK, bwd_range, (void *)c);
    return ASD_OK;
}

/* erf and exp count as one each. */
static double gelu_flops(const asd_node *n, int backward)
{
    return (double)asd_count(n->y.shape) * (backward ? 10 : 5);
}

static const asd_case gelu_cases[] = {
    {.name = "n=1", .n_in = 1, .in = {{ASD_F32, {1, {1}}}}},
    {.name = "B=3,C=7", .n_in = 1, .in = {{ASD_F32, {2, {3, 7}}}}},
    {.name = "n=1031", .n_in = 1, .in = {{ASD_F32, {1, {1031}}}}},
    {.name = "R=4,C=520", .n_in = 1, .in = {{ASD_F32, {2, {4, 520}}}}},
    {.name = "n=65537", .n_in = 1, .in = {{ASD_F32, {1, {65537}}}}, .bench = 1},
    {.name = "R=992,C=3072", .n_in = 1, .in = {{ASD_F32, {2, {992, 3072}}}}, .bench = 1},
    {.name = NULL},
};

const asd_op asd_op_gelu = {
    .name     = "gelu",
    .min_in   = 1,
    .n_in     = 1,
    .infer    = gelu_infer,
    .fwd      = {gelu_fwd_cpu, ASD_CUDA_FN(gelu_fwd_cuda)},
    .bwd      = {gelu_bwd_cpu, ASD_CUDA_FN(gelu_bwd_cuda)},
    .keeps    = ASD_KEEPS_X(0),
    .bf16     = ASD_KEEPS_X(0),
    .cpu_bf16 = gelu_bf16_cpu,
    .flops    = gelu_flops,
    .cases    = gelu_cases,
};
