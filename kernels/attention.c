/* attention.c - every token looks at every token of its clip; with BEATs' gated position bias.
 *
 *   s[i, j] = q[i] k[j]' / sqrt(K)  +  g[i] t[j - i]                (the second term if gated)
 *   p[i, :] = softmax over the keys j < length                      y[i] = sum_j p[i, j] v[j]
 *   t[d]    = table[bucket(d), h]                                   one number for each distance
 *   g[i]    = a (b c_h - 1) + 2     a, b = sigmoid of the sums of rows 0..3 and 4..7 of w q[i] +
 * bias
 *
 *   dv = p' dy      dp = dy v'      ds = p (dp - rowsum(y dy))
 *   dq = ds k / sqrt(K) + (gate's part)      dk = ds' q / sqrt(K)
 *   dg[i] = sum_j ds[i, j] t[j - i]          dt[d] = sum_i g[i] ds[i, i + d]
 *
 * qkv: (B, P, 3 C), a row is the heads' q, then their k, then their v; C = H K   y: (B, P, C)
 * lengths: (B) i32, optional: those outside 0 .. P count as the nearer end, a clip of length 0
 * gives 0; queries behind the length are answered as all others
 * table: (buckets, H)   w: (8, K)   bias: (8)   c: (H), see asd_attention_bucket
 * saved: (B, H, P) fp32, the log of each query's sum of exponentials
 *
 * No (B, H, P, P) tensor anywhere, and no (H, P, P) one: the bias is a vector for each head. A
 * chunk is a tile of queries of one head against blocks of keys on the stack, so that scores are
 * made, used and forgotten in the second-level cache; where keys are more than one block, the
 * running maximum and sum are corrected as blocks come (Milakov and Gimelshein, arXiv 1805.02867).
 * The backward makes the scores anew from the saved log-sums; a chunk is a whole head there, which
 * adds its queries' tiles in order. Chunks know one clip alone, so a clip has the same bits in any
 * batch.
 *
 * Numerics: fp32; sums over keys in sixteen lanes, gradients of the gate's parameters and of the
 * table first inside a head, then over clips and heads in order.
 * See: BEATs (ICML 2023); FlashAttention 2 (arXiv 2307.08691) for the backward.
 * Used by: the encoders.
 */
#include "kernels/attention_cpu.h"

#include "base/par.h"

#include <stdlib.h>
#include <string.h>

/* --- shapes --- */

static asd_status check_gate(const asd_node *n, const asd_attention_attr *a, asd_attention_sizes s)
{
    static const char *const name[ASD_ATTENTION_GATE] = {"table", "grep_w", "grep_b", "grep_a"};
    char                     got[64], wanted[64];
    const asd_shape          want[ASD_ATTENTION_GATE] = {
                 ASD_SHAPE2(a->buckets, s.H), ASD_SHAPE2(ASD_ATTENTION_GATE_ROWS, s.K),
                 ASD_SHAPE1(ASD_ATTENTION_GATE_ROWS), ASD_SHAPE1(s.H)};
    if (a->buckets < 4 || a->buckets % 4 || a->max_distance <= a->buckets / 4)
        return ASD_FAIL(ASD_E_CONFIG,
                        "attention: %lld buckets and max_distance %lld, want a multiple of 4 and a "
                        "distance above a quarter of it",
                        (long long)a->buckets, (long long)a->max_distance);
    for (int i = 0; i < ASD_ATTENTION_GATE; ++i) {
        const asd_spec *x = &n->in[asd_attention_input(a, i)];
        if (x->dtype != ASD_F32 || !asd_shape_equal(x->shape, want[i]))
            return ASD_FAIL(ASD_E_SHAPE, "attention: %s is %s %s, want f32 %s", name[i],
                            asd_dtype_name(x->dtype), asd_shape_text(x->shape, got, sizeof got),
                            asd_shape_text(want[i], wanted, sizeof wanted));
    }
    return ASD_OK;
}

static asd_status attention_infer(asd_node *n)
{
    const asd_attention_attr *a = n->attr;
    asd_shape                 x = n->in[0].shape;
    char                      text[64];
    int                       want = 1 + (a->masked != 0) + (a->gated ? ASD_ATTENTION_GATE : 0);
    if (n->n_in != want)
        return ASD_FAIL(ASD_E_SHAPE, "attention: %d inputs, want %d", n->n_in, want);
    if (x.n != 3 || asd_count(x) < 1 || a->heads < 1 || x.d[2] % (3 * a->heads))
        return ASD_FAIL(ASD_E_SHAPE, "attention: qkv %s with %lld heads, want (B, P, 3 heads K)",
                        asd_shape_text(x, text, sizeof text), (long long)a->heads);
    asd_attention_sizes s = asd_attention_sizes_of(a, x);
    if (s.K != 32 && s.K != 64 && s.K != 128)
        return ASD_FAIL(ASD_E_SHAPE, "attention: heads of width %lld, want 32, 64 or 128",
                        (long long)s.K);
    if (a->masked &&
        (n->in[1].dtype != ASD_I32 || !asd_shape_equal(n->in[1].shape, ASD_SHAPE1(s.B))))
        return ASD_FAIL(ASD_E_SHAPE, "attention: lengths are %s %s, want i32 (%lld)",
                        asd_dtype_name(n->in[1].dtype),
                        asd_shape_text(n->in[1].shape, text, sizeof text), (long long)s.B);
    if (a->gated)
        ASD_TRY(check_gate(n, a, s));
    n->y              = (asd_spec){n->in[0].dtype, ASD_SHAPE3(s.B, s.P, s.C)};
    n->saved_bytes    = (size_t)(s.B * s.H * s.P) * sizeof(float);
    n->fwd_work_bytes = (size_t)asd_attention_fwd_work(s) * sizeof(float);
    n->bwd_work_bytes = (size_t)asd_attention_bwd_work(s) * sizeof(float);
    if (asd_attention_cuda_work(s) > n->bwd_work_bytes) /* whichever backend it will be */
        n->bwd_work_bytes = asd_attention_cuda_work(s);
    return ASD_OK;
}

/* state: (2P-1) buckets by distance; without a gate there is none. */
static asd_status attention_prepare(asd_call *c)
{
    const asd_attention_attr *a = c->attr;
    int64_t                   P = c->x[0].shape.d[1];
    if (!a->gated)
        return ASD_OK;
    if (!(c->state = malloc((size_t)(2 * P - 1) * sizeof(int32_t))))
        return ASD_FAIL(ASD_E_OOM, "attention: no memory for the buckets of %lld tokens",
                        (long long)P);
    asd_attention_fill_buckets(a, P, c->state);
    return ASD_OK;
}

static void attention_release(asd_call *c)
{
    free(c->state);
    c->state = NULL;
}

/* --- forward --- */

/* A tile, and keys of a block: 128 x 512 floats are 256 KiB. Rows LD apart, since rows 2048 bytes
 * apart share two sets of the first-level cache: that took 10 % longer. */
enum { QUERIES = 128, KEYS = 512, LD = KEYS + 16, LANES = ASD_LANES };

ASD_SIMD static void multiply(float *y, float by, int64_t n)
{
    for (int64_t i = 0; i < n; ++i)
        y[i] *= by;
}

/* n: whole lanes */
ASD_SIMD static float row_max(const float *s, int64_t n)
{
    float m[LANES];
    for (int k = 0; k < LANES; ++k)
        m[k] = -INFINITY;
    for (int64_t i = 0; i < n; i += LANES)
        for (int k = 0; k < LANES; ++k)
            m[k] = s[i + k] > m[k] ? s[i + k] : m[k];
    for (int k = 1; k < LANES; ++k)
        m[0] = m[k] > m[0] ? m[k] : m[0];
    return m[0];
}

ASD_SIMD static float row_sum(const float *s, int64_t n)
{
    float sum[LANES] = {0};
    for (int64_t i = 0; i < n; i += LANES)
        for (int k = 0; k < LANES; ++k)
            sum[k] += s[i + k];
    return asd_lanes_sum(sum);
}

static int64_t tiles(int64_t P)
{
    return (P + QUERIES - 1) / QUERIES;
}

/* One block of keys: scores into s, y and the running maximum and sum of each row. */
static void fwd_block(const asd_attention_head *a, int64_t first, int64_t rows, const float *gate,
                      int64_t from, float *s, float *max, float *sum, float *y)
{
    int64_t ld = 3 * a->s.C, n = a->keys - from < KEYS ? a->keys - from : KEYS;
    asd_attention_dots(a, a->q + first * ld, ld, rows, a->k + from * ld, n, s, LD);
    for (int64_t r = 0; r < rows; ++r) {
        float *row = s + r * LD;
        asd_score_bias(row, a->t ? a->t + from - (first + r) : NULL, a->scale, gate[r], n);
        float m = row_max(row, asd_whole_lanes(n));
        if (from) {
            m             = m > max[r] ? m : max[r];
            float smaller = asd_exp_f32(max[r] - m);
            sum[r] *= smaller;
            multiply(y + r * a->s.C, smaller, a->s.K);
        }
        max[r] = m;
        asd_score_exp(row, m, asd_whole_lanes(n));
        sum[r] += row_sum(row, asd_whole_lanes(n));
    }
    asd_gemm_job j = {.m    = rows,
                      .n    = a->s.K,
                      .k    = n,
                      .a    = s,
                      .lda  = LD,
                      .b    = a->v + from * ld,
                      .ldb  = ld,
                      .beta = from ? 1 : 0,
                      .y    = y,
                      .ldy  = a->s.C};
    asd_gemm_here(&j);
}

static void fwd_chunk(void *ctx, int64_t chunk)
{
    const asd_call    *c = ctx;
    _Alignas(64) float s[QUERIES * LD];
    float              max[QUERIES], sum[QUERIES] = {0}, gate[QUERIES] = {0}, ga, gb;
    int64_t            n_tiles = tiles(c->x[0].shape.d[1]), bh = chunk / n_tiles;
    int64_t            H = ((const asd_attention_attr *)c->attr)->heads, b = bh / H, h = bh % H;
    asd_attention_head a     = asd_attention_head_of(c, b, h);
    int64_t            first = chunk % n_tiles * QUERIES;
    int64_t            rows  = a.s.P - first < QUERIES ? a.s.P - first : QUERIES;
    float             *y     = (float *)c->y.x + (b * a.s.P + first) * a.s.C + h * a.s.K;
    float             *lse   = (float *)c->saved + bh * a.s.P + first;
    for (int64_t r = 0; a.t && r < rows; ++r)
        gate[r] = asd_attention_gate_of(&a, first + r, &ga, &gb);
    for (int64_t from = 0; from < a.keys; from += KEYS)
        fwd_block(&a, first, rows, gate, from, s, max, sum, y);
    for (int64_t r = 0; r < rows; ++r) {
        if (a.keys)
            multiply(y + r * a.s.C, 1 / sum[r], a.s.K);
        else
            memset(y + r * a.s.C, 0, (size_t)a.s.K * sizeof *y);
        lse[r] = a.keys ? max[r] + logf(sum[r]) : 0;
    }
}

static asd_status attention_fwd_cpu(const asd_call *c)
{
    asd_attention_sizes s = asd_attention_sizes_of(c->attr, c->x[0].shape);
    asd_attention_tables(c);
    asd_par_for(s.B * s.H * tiles(s.P), fwd_chunk, (void *)c);
    return ASD_OK;
}

/* --- the op --- */

/* Products of matrices alone: two forward, five backward. */
static double attention_flops(const asd_node *n, int backward)
{
    asd_attention_sizes s   = asd_attention_sizes_of(n->attr, n->in[0].shape);
    double              one = 2.0 * (double)(s.B * s.H * s.P) * (double)(s.P * s.K);
    return (backward ? 5 : 2) * one;
}

#define ATTR(...)                                                                                  \
    &(const asd_attention_attr)                                                                    \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }
#define BIAS(n, far) .gated = 1, .buckets = n, .max_distance = far
#define QKV(B, P, H, K)                                                                            \
    {                                                                                              \
        ASD_F32,                                                                                   \
        {                                                                                          \
            3,                                                                                     \
            {                                                                                      \
                B, P, 3 * (H) * (K)                                                                \
            }                                                                                      \
        }                                                                                          \
    }
#define GATE(H, K, n)                                                                              \
    {ASD_F32, {2, {n, H}}}, {ASD_F32, {2, {8, K}}}, {ASD_F32, {1, {8}}},                           \
    {                                                                                              \
        ASD_F32,                                                                                   \
        {                                                                                          \
            1,                                                                                     \
            {                                                                                      \
                H                                                                                  \
            }                                                                                      \
        }                                                                                          \
    }
#define CASE(B, P, H, K, is_bench, is_inference)                                                   \
    {                                                                                              \
        .name = "B=" #B ",P=" #P ",H=" #H ",K=" #K, .n_in = 1, .attr = ATTR(.heads = H),           \
        .in = {QKV(B, P, H, K)}, .bench = is_bench, .inference = is_inference                      \
    }
#define CASE_MASKED(B, P, H, K, limit, is_inference)                                               \
    {                                                                                              \
        .name = "B=" #B ",P=" #P ",H=" #H ",K=" #K ",masked", .n_in = 2,                           \
        .attr = ATTR(.heads = H, .masked = 1), .index_limit = limit,                               \
        .in = {QKV(B, P, H, K), {ASD_I32, {1, {B}}}}, .inference = is_inference, .fill = {         \
            ASD_FILL_NORMAL,                                                                       \
            ASD_FILL_INDEX                                                                         \
        }                                                                                          \
    }
#define CASE_GATED(B, P, H, K, n, far, is_bench, is_inference)                                     \
    {                                                                                              \
        .name = "B=" #B ",P=" #P ",H=" #H ",K=" #K ",gated", .n_in = 5,                            \
        .attr = ATTR(.heads = H, BIAS(n, far)), .in = {QKV(B, P, H, K), GATE(H, K, n)},            \
        .fill = {ASD_FILL_NORMAL, ASD_FILL_POSITIVE}, .bench = is_bench, .inference = is_inference \
    }
#define CASE_BOTH(B, P, H, K, n, far, limit, is_inference)                                         \
    {                                                                                              \
        .name = "B=" #B ",P=" #P ",H=" #H ",K=" #K ",masked,gated", .n_in = 6,                     \
        .attr = ATTR(.heads = H, .masked = 1, BIAS(n, far)), .index_limit = limit,                 \
        .in   = {QKV(B, P, H, K), {ASD_I32, {1, {B}}}, GATE(H, K, n)},                             \
        .fill = {ASD_FILL_NORMAL, ASD_FILL_INDEX, ASD_FILL_POSITIVE}, .inference = is_inference    \
    }
/* Differences of every element are dear, so the longer clips are for the forward alone here;
 * tests/test_attention.c checks their gradients along random directions. */
static const asd_case attention_cases[] = {
    CASE(1, 1, 1, 32, 0, 0),
    CASE(2, 7, 2, 32, 0, 0),
    CASE(1, 4, 1, 128, 0, 0),
    CASE_MASKED(5, 7, 1, 32, 10, 0),
    CASE_MASKED(2, 5, 2, 64, 6, 0),
    CASE_GATED(2, 6, 3, 32, 8, 4, 0, 0),
    CASE_GATED(1, 3, 12, 32, 320, 800, 0, 0),
    CASE_BOTH(2, 7, 1, 64, 8, 5, 9, 0),
    CASE_BOTH(2, 5, 1, 128, 16, 9, 6, 0),
    CASE_BOTH(1, 19, 1, 32, 8, 9, 20, 0),
    CASE(1, 130, 1, 128, 0, 1),
    CASE(2, 67, 3, 32, 0, 1),
    CASE_MASKED(2, 129, 1, 64, 131, 1),
    CASE_GATED(1, 67, 2, 64, 320, 800, 0, 1),
    CASE_GATED(1, 193, 1, 32, 32, 90, 0, 1),
    CASE_BOTH(2, 133, 1, 64, 32, 40, 134, 1),
    CASE(8, 496, 12, 64, 1, 0),
    CASE_GATED(8, 496, 12, 64, 320, 800, 1, 0),
    CASE(33, 496, 12, 64, 2, 0),
    CASE_GATED(33, 496, 12, 64, 320, 800, 2, 0),
    {.name = NULL},
};

const asd_op asd_op_attention = {
    .name    = "attention",
    .min_in  = 1,
    .n_in    = 6,
    .infer   = attention_infer,
    .fwd     = {attention_fwd_cpu, ASD_CUDA_FN(attention_fwd_cuda)},
    .bwd     = {attention_bwd_cpu, ASD_CUDA_FN(attention_bwd_cuda)},
    .prepare = {attention_prepare, ASD_CUDA_FN(attention_prepare_cuda)},
    .release = {attention_release, ASD_CUDA_FN(attention_release_cuda)},
    .keeps   = ASD_KEEPS_X(0) | ASD_KEEPS_X(1) | ASD_KEEPS_X(2) | ASD_KEEPS_X(3) | ASD_KEEPS_X(4) |
             ASD_KEEPS_X(5) | ASD_KEEPS_Y,
    .bf16  = ASD_KEEPS_X(0),
    .flops = attention_flops,
    .cases = attention_cases,
};
