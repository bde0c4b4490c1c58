/* lora.cu - lora.c on the device: products by cuBLASLt in fp32, and two kernels for the copy of the
 * base and the scale. For 34 clips of BEATs with r = 64 on q and v, forward and backward are 20
 * GFLOP a layer, and the base is copied once each way (155 MB). Not measured. */
#include "cuda/kernel.cuh"

#include "cuda/each.cuh"
#include "cuda/gemm.h"
#include "kernels/lora.h"

/* to = factor from (+ to); from may be to */
static __global__ void __launch_bounds__(EACH_THREADS)
    lora_scale_k(const float *from, float *to, int64_t n, float factor, int add)
{
    int64_t o = each_first<float>();
    if (o >= n)
        return;
    pack<float> in = each_load(from, o, n);
    float       out[pack<float>::N];
#pragma unroll
    for (int i = 0; i < pack<float>::N; ++i)
        out[i] = factor * pack_get(in, i);
    each_put(to, o, n, out, add);
}

static asd_status scale(const asd_call *c, const void *from, void *to, int64_t n, float factor,
                        int add)
{
    return ASD_LAUNCH(lora_scale_k, each_blocks<float>(n), dim3(EACH_THREADS), 0, c->stream,
                      (const float *)from, (float *)to, n, factor, add);
}

/* y (m, n; ldy) = op(a) op(b) + beta y in fp32 */
static asd_status product(const asd_call *c, int ta, int tb, int64_t m, int64_t n, int64_t k,
                          const void *a, int64_t lda, const void *b, int64_t ldb, float beta,
                          void *y, int64_t ldy)
{
    asd_cuda_gemm g = {};
    g.transpose_a   = ta;
    g.transpose_b   = tb;
    g.m             = m;
    g.n             = n;
    g.k             = k;
    g.batch         = 1;
    g.dtype = g.y_dtype = ASD_F32;
    g.a                 = a;
    g.lda               = lda;
    g.b                 = b;
    g.ldb               = ldb;
    g.beta              = beta;
    g.y                 = y;
    g.ldy               = ldy;
    return asd_cuda_gemm_run(c->stream, &g);
}

extern "C" asd_status lora_fwd_cuda(const asd_call *c)
{
    const asd_lora_attr *l = (const asd_lora_attr *)c->attr;
    ASD_TRY(scale(c, c->x[0].x, c->y.x, asd_count(c->y.shape), 1, 0));
    for (int k = 0; k < l->n_targets; ++k) {
        asd_lora_target t = asd_lora_target_of(c, k);
        float          *z = (float *)c->saved + t.z;
        ASD_TRY(product(c, 0, 1, t.R, t.r, t.I, c->x[1].x, t.I, t.A->x, t.I, 0, z, t.r));
        ASD_TRY(scale(c, z, z, t.R * t.r, l->scale, 0));
        ASD_TRY(product(c, 0, 1, t.R, t.O, t.r, z, t.r, t.B->x, t.r, 1,
                        (float *)c->y.x + l->offset[k], t.columns));
    }
    return ASD_OK;
}

static asd_status target_gradients(const asd_call *c, int k, int first)
{
    const asd_lora_attr *l  = (const asd_lora_attr *)c->attr;
    asd_lora_target      t  = asd_lora_target_of(c, k);
    const float         *dy = (const float *)c->y.g + l->offset[k];
    float               *z = (float *)c->saved + t.z, *u = (float *)c->work + t.z;
    /* y_k = ... + z B'  ->  dB = dy_k' z */
    if (t.B->g)
        ASD_TRY(
            product(c, 1, 0, t.O, t.r, t.R, dy, t.columns, z, t.r, c->acc[3 + 2 * k], t.B->g, t.r));
    if (!t.A->g && !c->x[1].g)
        return ASD_OK;
    /* z = scale x A'  ->  u = scale dy_k B, dA = u' x, dx = u A */
    ASD_TRY(product(c, 0, 0, t.R, t.r, t.O, dy, t.columns, t.B->x, t.r, 0, u, t.r));
    ASD_TRY(scale(c, u, u, t.R * t.r, l->scale, 0));
    if (t.A->g)
        ASD_TRY(product(c, 1, 0, t.r, t.I, t.R, u, t.r, c->x[1].x, t.I, c->acc[2 + 2 * k], t.A->g,
                        t.I));
    if (c->x[1].g)
        ASD_TRY(product(c, 0, 0, t.R, t.I, t.r, u, t.r, t.A->x, t.I,
                        first && !c->acc[1] ? 0.0f : 1.0f, c->x[1].g, t.I));
    return ASD_OK;
}

extern "C" asd_status lora_bwd_cuda(const asd_call *c)
{
    const asd_lora_attr *l = (const asd_lora_attr *)c->attr;
    if (c->x[0].g)
        ASD_TRY(scale(c, c->y.g, c->x[0].g, asd_count(c->y.shape), 1, c->acc[0]));
    for (int k = 0; k < l->n_targets; ++k)
        ASD_TRY(target_gradients(c, k, k == 0));
    return ASD_OK;
}
