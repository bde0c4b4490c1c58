/* attention_head.c - see attention_cpu.h. */
#include "kernels/attention_cpu.h"

#include <math.h>
#include <string.h>

/* --- rows --- */

ASD_SIMD void asd_row_add(float *restrict y, const float *restrict x, float by, int64_t n)
{
    for (int64_t i = 0; i < n; ++i)
        y[i] += x[i] * by;
}

/* s = scale s + gate t; t NULL: no bias. Behind n up to whole lanes: -Inf, which weighs nothing. */
ASD_SIMD void asd_score_bias(float *restrict s, const float *restrict t, float scale, float gate,
                             int64_t n)
{
    if (t)
        for (int64_t j = 0; j < n; ++j)
            s[j] = s[j] * scale + gate * t[j];
    else
        for (int64_t j = 0; j < n; ++j)
            s[j] *= scale;
    for (int64_t j = n; j < asd_whole_lanes(n); ++j)
        s[j] = -INFINITY;
}

ASD_SIMD void asd_score_exp(float *s, float less, int64_t n)
{
    for (int64_t j = 0; j < n; ++j)
        s[j] = asd_exp_f32(s[j] - less);
}

/* --- one head of one clip --- */

static const float *gate_input(const asd_call *c, int which)
{
    return c->x[asd_attention_input(c->attr, which)].x;
}

asd_attention_head asd_attention_head_of(const asd_call *c, int64_t b, int64_t h)
{
    asd_attention_sizes s = asd_attention_sizes_of(c->attr, c->x[0].shape);
    asd_attention_head  a = {.s = s, .keys = s.P, .scale = 1 / sqrtf((float)s.K)};
    a.q                   = (const float *)c->x[0].x + b * s.P * 3 * s.C + h * s.K;
    a.k                   = a.q + s.C;
    a.v                   = a.q + 2 * s.C;
    if (s.masked) {
        int64_t n = ((const int32_t *)c->x[1].x)[b];
        a.keys    = n < 0 ? 0 : n > s.P ? s.P : n;
    }
    if (s.gated) {
        const float *fold = (const float *)c->work + s.H * asd_attention_distances(s.P);
        a.t               = (const float *)c->work + h * asd_attention_distances(s.P) + s.P - 1;
        a.wa              = fold;
        a.wb              = fold + s.K;
        a.ba              = fold[2 * s.K];
        a.bb              = fold[2 * s.K + 1];
        a.c               = gate_input(c, ASD_ATTENTION_A)[h];
    }
    return a;
}

static float sigmoid(float x)
{
    return 1 / (1 + expf(-x));
}

/* The two sigmoids of query i, and its gate. */
float asd_attention_gate_of(const asd_attention_head *a, int64_t i, float *ga, float *gb)
{
    const float *q = a->q + i * 3 * a->s.C;
    *ga            = sigmoid(asd_row_dot(q, a->wa, a->s.K) + a->ba);
    *gb            = sigmoid(asd_row_dot(q, a->wb, a->s.K) + a->bb);
    return *ga * (*gb * a->c - 1) + 2;
}

/* left (m rows, 3C apart) times right' (n rows): products of every query and key. */
void asd_attention_dots(const asd_attention_head *a, const float *left, int64_t ld_left, int64_t m,
                        const float *right, int64_t n, float *out, int64_t ld)
{
    asd_gemm_job j = {.transpose_b = 1,
                      .m           = m,
                      .n           = n,
                      .k           = a->s.K,
                      .a           = left,
                      .lda         = ld_left,
                      .b           = right,
                      .ldb         = 3 * a->s.C,
                      .y           = out,
                      .ldy         = ld};
    asd_gemm_here(&j);
}

/* The tables that all heads read: t from the bias table, and the folded gate. */
void asd_attention_tables(const asd_call *c)
{
    asd_attention_sizes s = asd_attention_sizes_of(c->attr, c->x[0].shape);
    if (!s.gated)
        return;
    const int32_t *bucket = c->state;
    const float   *table  = gate_input(c, ASD_ATTENTION_TABLE);
    const float   *w = gate_input(c, ASD_ATTENTION_W), *bias = gate_input(c, ASD_ATTENTION_B);
    float         *t = c->work, *fold = t + s.H * asd_attention_distances(s.P);
    memset(t, 0, (size_t)asd_attention_fwd_work(s) * sizeof *t);
    for (int64_t h = 0; h < s.H; ++h)
        for (int64_t d = 0; d < 2 * s.P - 1; ++d)
            t[h * asd_attention_distances(s.P) + d] = table[bucket[d] * s.H + h];
    for (int64_t r = 0; r < ASD_ATTENTION_GATE_ROWS; ++r) {
        int64_t second = r / (ASD_ATTENTION_GATE_ROWS / 2);
        asd_row_add(fold + second * s.K, w + r * s.K, 1, s.K);
        fold[2 * s.K + second] += bias[r];
    }
}
