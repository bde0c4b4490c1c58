/* lora.c - low-rank adapters of up to three column ranges of a linear layer (Hu et al., ICLR 2022).
 *
 *   z_k = scale x A_k'                      y = base, and for each target k
 *   y[:, o_k .. o_k + O_k) += z_k B_k'
 *   dbase = dy
 *   dB_k = dy_k' z_k        u_k = scale dy_k B_k        dA_k = u_k' x        dx = sum_k u_k A_k
 *
 * base, y: (..., O) read as (R, O)   x: (..., I)   A_k: (r_k, I)   B_k: (O_k, r_k)   dy_k: the
 * columns of target k. The inputs are base, x, A_0, B_0, A_1, B_1, ...
 * saved: z_0, z_1, ... one behind the other, each (R, r_k) on a border of 64 bytes
 *
 * `base` is the frozen layer's output with its bias, so a fused q, k, v needs no second product for
 * its adapters, and BEATs' gate sees the adapted q. Merged adapters (W + scale B A) need no op.
 * Numerics: scale goes on z, which is what both backwards want. fp32 on both backends, as PEFT
 * keeps adapters.
 * Used by: block.c, for training.
 */
#include "kernels/cpu.h"
#include "kernels/lora.h"

#include "base/par.h"

#include <math.h>
#include <string.h>

enum { CHUNK = 16384 };

static asd_status check_target(const asd_node *n, int k)
{
    char                 sa[64], sb[64];
    const asd_lora_attr *l = n->attr;
    asd_shape            A = n->in[2 + 2 * k].shape, B = n->in[3 + 2 * k].shape;
    int64_t              I = asd_last(n->in[1].shape), O = asd_last(n->in[0].shape);
    if (A.n != 2 || B.n != 2 || A.d[1] != I || B.d[1] != A.d[0] || l->offset[k] < 0 ||
        l->offset[k] + B.d[0] > O)
        return ASD_FAIL(ASD_E_SHAPE,
                        "lora: target %d: A %s, B %s, columns from %lld; want (r, %lld), (O, r) "
                        "and columns below %lld",
                        k, asd_shape_text(A, sa, sizeof sa), asd_shape_text(B, sb, sizeof sb),
                        (long long)l->offset[k], (long long)I, (long long)O);
    for (int j = 0; j < k; ++j) {
        int64_t end = l->offset[j] + n->in[3 + 2 * j].shape.d[0];
        if (l->offset[k] < end && l->offset[j] < l->offset[k] + B.d[0])
            return ASD_FAIL(ASD_E_SHAPE, "lora: targets %d and %d share columns", j, k);
    }
    return ASD_OK;
}

static asd_status lora_infer(asd_node *n)
{
    char                 sx[64], sy[64];
    const asd_lora_attr *l = n->attr;
    if (l->n_targets < 1 || l->n_targets > ASD_LORA_TARGETS || n->n_in != 2 + 2 * l->n_targets ||
        !isfinite(l->scale))
        return ASD_FAIL(ASD_E_CONFIG,
                        "lora: %d targets with %d inputs, scale %g; want 1 to %d targets, each "
                        "with A and B, and a finite scale",
                        l->n_targets, n->n_in, (double)l->scale, (int)ASD_LORA_TARGETS);
    if (n->in[0].shape.n < 1 || n->in[1].shape.n < 1 ||
        asd_rows(n->in[0].shape) != asd_rows(n->in[1].shape))
        return ASD_FAIL(ASD_E_SHAPE, "lora: base %s, x %s, want as many rows",
                        asd_shape_text(n->in[0].shape, sy, sizeof sy),
                        asd_shape_text(n->in[1].shape, sx, sizeof sx));
    for (int k = 0; k < l->n_targets; ++k) {
        ASD_TRY(check_target(n, k));
        n->saved_bytes += sizeof(float) * (size_t)asd_lora_z_room(asd_rows(n->in[1].shape),
                                                                  n->in[2 + 2 * k].shape.d[0]);
    }
    n->y              = n->in[0];
    n->bwd_work_bytes = n->saved_bytes;
    return ASD_OK;
}

/* --- CPU --- */

static void copy_chunk(void *ctx, int64_t chunk)
{
    const asd_call *c = ctx;
    int64_t         o = chunk * CHUNK, n = asd_count(c->y.shape) - o;
    memcpy((float *)c->y.x + o, (const float *)c->x[0].x + o,
           (size_t)(n < CHUNK ? n : CHUNK) * sizeof(float));
}

static void base_gradient_chunk(void *ctx, int64_t chunk)
{
    const asd_call *c = ctx;
    int64_t         n = asd_count(c->y.shape), end = (chunk + 1) * CHUNK;
    const float    *dy = c->y.g;
    float          *dx = c->x[0].g;
    for (int64_t i = chunk * CHUNK; i < n && i < end; ++i)
        dx[i] = dy[i] + (c->acc[0] ? dx[i] : 0);
}

static void scale_all(float *x, int64_t n, float factor)
{
    for (int64_t i = 0; i < n; ++i)
        x[i] *= factor;
}

static asd_status lora_fwd_cpu(const asd_call *c)
{
    const asd_lora_attr *l = c->attr;
    asd_par_for((asd_count(c->y.shape) + CHUNK - 1) / CHUNK, copy_chunk, (void *)c);
    for (int k = 0; k < l->n_targets; ++k) {
        asd_lora_target t   = asd_lora_target_of(c, k);
        float          *z   = (float *)c->saved + t.z;
        asd_gemm_job    in  = {.transpose_b = 1,
                               .m           = t.R,
                               .n           = t.r,
                               .k           = t.I,
                               .a           = c->x[1].x,
                               .lda         = t.I,
                               .b           = t.A->x,
                               .ldb         = t.I,
                               .y           = z,
                               .ldy         = t.r};
        asd_gemm_job    out = {.transpose_b = 1,
                               .m           = t.R,
                               .n           = t.O,
                               .k           = t.r,
                               .a           = z,
                               .lda         = t.r,
                               .b           = t.B->x,
                               .ldb         = t.r,
                               .beta        = 1,
                               .y           = (float *)c->y.x + l->offset[k],
                               .ldy         = t.columns};
        asd_gemm(&in);
        scale_all(z, t.R * t.r, l->scale);
        asd_gemm(&out);
    }
    return ASD_OK;
}

static void target_gradients(const asd_call *c, int k, int first)
{
    const asd_lora_attr *l  = c->attr;
    asd_lora_target      t  = asd_lora_target_of(c, k);
    const float         *dy = (const float *)c->y.g + l->offset[k];
    float               *u  = (float *)c->work + t.z;
    /* y_k = ... + z B'  ->  dB = dy_k' z */
    if (t.B->g) {
        asd_gemm_job dB = {.transpose_a = 1,
                           .m           = t.O,
                           .n           = t.r,
                           .k           = t.R,
                           .a           = dy,
                           .lda         = t.columns,
                           .b           = (const float *)c->saved + t.z,
                           .ldb         = t.r,
                           .beta        = c->acc[3 + 2 * k],
                           .y           = t.B->g,
                           .ldy         = t.r};
        asd_gemm(&dB);
    }
    if (!t.A->g && !c->x[1].g)
        return;
    /* z = scale x A'  ->  u = scale dy_k B, dA = u' x, dx = u A */
    asd_gemm_job du = {.m   = t.R,
                       .n   = t.r,
                       .k   = t.O,
                       .a   = dy,
                       .lda = t.columns,
                       .b   = t.B->x,
                       .ldb = t.r,
                       .y   = u,
                       .ldy = t.r};
    asd_gemm(&du);
    scale_all(u, t.R * t.r, l->scale);
    if (t.A->g) {
        asd_gemm_job dA = {.transpose_a = 1,
                           .m           = t.r,
                           .n           = t.I,
                           .k           = t.R,
                           .a           = u,
                           .lda         = t.r,
                           .b           = c->x[1].x,
                           .ldb         = t.I,
                           .beta        = c->acc[2 + 2 * k],
                           .y           = t.A->g,
                           .ldy         = t.I};
        asd_gemm(&dA);
    }
    if (c->x[1].g) {
        asd_gemm_job dx = {.m    = t.R,
                           .n    = t.I,
                           .k    = t.r,
                           .a    = u,
                           .lda  = t.r,
                           .b    = t.A->x,
                           .ldb  = t.I,
                           .beta = first && !c->acc[1] ? 0 : 1,
                           .y    = c->x[1].g,
                           .ldy  = t.I};
        asd_gemm(&dx);
    }
}

static asd_status lora_bwd_cpu(const asd_call *c)
{
    const asd_lora_attr *l = c->attr;
    if (c->x[0].g)
        asd_par_for((asd_count(c->y.shape) + CHUNK - 1) / CHUNK, base_gradient_chunk, (void *)c);
    for (int k = 0; k < l->n_targets; ++k)
        target_gradients(c, k, k == 0);
    return ASD_OK;
}

static double lora_flops(const asd_node *n, int backward)
{
    const asd_lora_attr *l     = n->attr;
    double               flops = 0, R = (double)asd_rows(n->y.shape);
    for (int k = 0; k < l->n_targets; ++k) {
        asd_shape A = n->in[2 + 2 * k].shape, B = n->in[3 + 2 * k].shape;
        flops += 2 * R * (double)(asd_count(A) + asd_count(B));
    }
    return backward ? 2 * flops : flops;
}

static const asd_lora_attr one          = {.scale = 0.125f, .n_targets = 1};
static const asd_lora_attr qv           = {.scale = 0.5f, .n_targets = 2, .offset = {0, 10}};
static const asd_lora_attr all          = {.scale = 1, .n_targets = 3, .offset = {5, 0, 9}};
static const asd_lora_attr full         = {.scale = 0.125f, .n_targets = 2, .offset = {0, 1536}};
static const asd_case      lora_cases[] = {
         {.name = "R=1,I=1,O=1,r=1",
          .n_in = 4,
          .attr = &one,
          .in   = {{ASD_F32, {2, {1, 1}}},
                   {ASD_F32, {2, {1, 1}}},
                   {ASD_F32, {2, {1, 1}}},
                   {ASD_F32, {2, {1, 1}}}}},
         {.name = "B=2,P=5,I=7,O=15,r=3,q,v",
          .n_in = 6,
          .attr = &qv,
          .in   = {{ASD_F32, {3, {2, 5, 15}}},
                   {ASD_F32, {3, {2, 5, 7}}},
                   {ASD_F32, {2, {3, 7}}},
                   {ASD_F32, {2, {5, 3}}},
                   {ASD_F32, {2, {3, 7}}},
                   {ASD_F32, {2, {5, 3}}}}},
         {.name = "R=67,I=5,O=11,r=2,4,1,unordered",
          .n_in = 8,
          .attr = &all,
          .in   = {{ASD_F32, {2, {67, 11}}},
                   {ASD_F32, {2, {67, 5}}},
                   {ASD_F32, {2, {2, 5}}},
                   {ASD_F32, {2, {3, 2}}},
                   {ASD_F32, {2, {4, 5}}},
                   {ASD_F32, {2, {5, 4}}},
                   {ASD_F32, {2, {1, 5}}},
                   {ASD_F32, {2, {2, 1}}}}},
         {.name  = "R=496,I=768,O=2304,r=64,q,v",
          .n_in  = 6,
          .attr  = &full,
          .bench = 1,
          .in    = {{ASD_F32, {2, {496, 2304}}},
                    {ASD_F32, {2, {496, 768}}},
                    {ASD_F32, {2, {64, 768}}},
                    {ASD_F32, {2, {768, 64}}},
                    {ASD_F32, {2, {64, 768}}},
                    {ASD_F32, {2, {768, 64}}}}},
         {.name = NULL},
};

const asd_op asd_op_lora = {
    .name   = "lora",
    .min_in = 4,
    .n_in   = 8,
    .infer  = lora_infer,
    .fwd    = {lora_fwd_cpu, ASD_CUDA_FN(lora_fwd_cuda)},
    .bwd    = {lora_bwd_cpu, ASD_CUDA_FN(lora_bwd_cuda)},
    .keeps  = ASD_KEEPS_X(1) | ASD_KEEPS_X(2) | ASD_KEEPS_X(3) | ASD_KEEPS_X(4) | ASD_KEEPS_X(5) |
             ASD_KEEPS_X(6) | ASD_KEEPS_X(7),
    .flops = lora_flops,
    .cases = lora_cases,
};
