/* layernorm.c - normalise each row to zero mean and unit variance, then scale and shift; with a
 * residual, normalise the sum.
 *
 *   v  = x                   or  x + alpha r
 *   y  = (v - m) s w + b              m = mean v,  s = 1 / sqrt(mean (v - m)^2 + eps)
 *   dv = s (g - mean g - h mean(g h))         g = w dy,  h = (v - m) s
 *   dx = dv      dr = alpha dv      dw = sum_r dy h      db = sum_r dy
 *
 * x, y: (..., C) read as (R, C)   w, b: (C)   r: as x, optional   saved: (R, 2) = m, s
 * This is the whole of a post-norm layer's "add and norm" (BEATs: alpha = (2 layers)^(1/4)). A
 * pre-norm layer also needs v itself further on, which is a second output: there the sum is an op
 * of its own, and its result goes in here as x.
 * Numerics: statistics in fp32 and two passes over the row, because the variance by one pass loses
 * all digits where |mean| is a few thousand times the deviation. Backward makes h from v again:
 * from y it would need w without zeros. dw and db in parts of rows (rows.h).
 * Used by: transformer encoders.
 */
#include "kernels/cpu.h"
#include "kernels/cpu_bf16.h"
#include "kernels/cpu_math.h"
#include "kernels/op.h"
#include "kernels/rows.h"

#include "base/par.h"

#include <math.h>
#include <string.h>

enum { BLOCK = 256 };

static asd_status layernorm_infer(asd_node *n)
{
    char                      sx[64], sk[64];
    const asd_layernorm_attr *a = n->attr;
    asd_shape                 x = n->in[0].shape, C = ASD_SHAPE1(asd_last(x));
    if (x.n < 1 || asd_count(x) < 1)
        return ASD_FAIL(ASD_E_SHAPE, "layernorm: x %s, want (..., C) and not empty",
                        asd_shape_text(x, sx, sizeof sx));
    for (int k = 1; k < 3; ++k)
        if (!asd_shape_equal(n->in[k].shape, C))
            return ASD_FAIL(ASD_E_SHAPE, "layernorm: x %s, %s %s, want (%lld)",
                            asd_shape_text(x, sx, sizeof sx), k == 1 ? "w" : "b",
                            asd_shape_text(n->in[k].shape, sk, sizeof sk), (long long)C.d[0]);
    if (n->n_in == 4 && (!asd_shape_equal(n->in[3].shape, x) || n->in[3].dtype != n->in[0].dtype))
        return ASD_FAIL(ASD_E_SHAPE, "layernorm: x %s %s, residual %s %s, want the same",
                        asd_dtype_name(n->in[0].dtype), asd_shape_text(x, sx, sizeof sx),
                        asd_dtype_name(n->in[3].dtype),
                        asd_shape_text(n->in[3].shape, sk, sizeof sk));
    if (!(a->eps > 0) || !isfinite(a->alpha))
        return ASD_FAIL(ASD_E_CONFIG, "layernorm: eps %g, alpha %g, want eps > 0 and alpha finite",
                        (double)a->eps, (double)a->alpha);
    n->y              = n->in[0];
    n->saved_bytes    = (size_t)asd_rows(x) * 2 * sizeof(float);
    n->bwd_work_bytes = (size_t)(asd_parts(asd_rows(x)) * 2 * C.d[0]) * sizeof(float);
    return ASD_OK;
}

ASD_SIMD static float row_mean(const float *v, int64_t C)
{
    float   s[ASD_LANES] = {0};
    int64_t i            = 0;
    for (; i + ASD_LANES <= C; i += ASD_LANES)
        for (int k = 0; k < ASD_LANES; ++k)
            s[k] += v[i + k];
    for (; i < C; ++i)
        s[i % ASD_LANES] += v[i];
    return asd_lanes_sum(s) / (float)C;
}

ASD_SIMD static float row_variance(const float *v, int64_t C, float mean)
{
    float   s[ASD_LANES] = {0};
    int64_t i            = 0;
    for (; i + ASD_LANES <= C; i += ASD_LANES)
        for (int k = 0; k < ASD_LANES; ++k)
            s[k] += (v[i + k] - mean) * (v[i + k] - mean);
    for (; i < C; ++i)
        s[i % ASD_LANES] += (v[i] - mean) * (v[i] - mean);
    return asd_lanes_sum(s) / (float)C;
}

ASD_SIMD static void add_scaled(const float *restrict x, const float *restrict r, float alpha,
                                float *restrict v, int64_t C)
{
    for (int64_t i = 0; i < C; ++i)
        v[i] = x[i] + alpha * r[i];
}

ASD_SIMD static void add_residual(const float *restrict r, float alpha, float *restrict v,
                                  int64_t C)
{
    for (int64_t i = 0; i < C; ++i)
        v[i] = v[i] + alpha * r[i];
}

ASD_SIMD static void normalise(const float *v, float mean, float rstd, const float *restrict w,
                               const float *restrict b, float *y, int64_t C)
{
    for (int64_t i = 0; i < C; ++i) /* v may be y */
        y[i] = (v[i] - mean) * rstd * w[i] + b[i];
}

static void fwd_rows(void *ctx, int64_t first, int64_t rows)
{
    const asd_call           *c = ctx;
    const asd_layernorm_attr *a = c->attr;
    int64_t                   C = asd_last(c->y.shape);
    const float              *w = c->x[1].x, *b = c->x[2].x;
    for (int64_t r = first; r < first + rows; ++r) {
        const float *v = (const float *)c->x[0].x + r * C;
        float       *y = (float *)c->y.x + r * C, *saved = (float *)c->saved + 2 * r;
        if (c->n_in == 4) { /* the sum waits in y */
            add_scaled(v, (const float *)c->x[3].x + r * C, a->alpha, y, C);
            v = y;
        }
        saved[0] = row_mean(v, C);
        saved[1] = 1 / sqrtf(row_variance(v, C, saved[0]) + a->eps);
        normalise(v, saved[0], saved[1], w, b, y, C);
    }
}

static asd_status layernorm_fwd_cpu(const asd_call *c)
{
    asd_par_ranges(asd_rows(c->y.shape), asd_chunk_rows(asd_last(c->y.shape)), fwd_rows, (void *)c);
    return ASD_OK;
}

/* In bf16 a row is widened into v: on the stack, or where it is too long in scratch. */
enum { STACK_ROW = 1024 };

static size_t layernorm_bf16_work(const asd_node *n)
{
    return asd_last(n->y.shape) > STACK_ROW ? (size_t)asd_count(n->y.shape) * sizeof(float) : 0;
}

static void bf16_rows(void *ctx, int64_t first, int64_t rows)
{
    const asd_call           *c = ctx;
    const asd_layernorm_attr *a = c->attr;
    int64_t                   C = asd_last(c->y.shape);
    float                     row[STACK_ROW], residual[BLOCK];
    for (int64_t r = first; r < first + rows; ++r) {
        float *v     = C > STACK_ROW ? (float *)c->work + r * C : row,
              *saved = (float *)c->saved + 2 * r;
        asd_bf16_widen((const uint16_t *)c->x[0].x + r * C, v, C);
        for (int64_t o = 0; o < C && c->n_in == 4; o += BLOCK) {
            int64_t n = C - o < BLOCK ? C - o : BLOCK;
            asd_bf16_widen((const uint16_t *)c->x[3].x + r * C + o, residual, n);
            add_residual(residual, a->alpha, v + o, n);
        }
        saved[0] = row_mean(v, C);
        saved[1] = 1 / sqrtf(row_variance(v, C, saved[0]) + a->eps);
        normalise(v, saved[0], saved[1], c->x[1].x, c->x[2].x, v, C);
        asd_bf16_narrow(v, (uint16_t *)c->y.x + r * C, C);
    }
}

static asd_status layernorm_bf16_cpu(const asd_call *c)
{
    asd_par_ranges(asd_rows(c->y.shape), asd_chunk_rows(asd_last(c->y.shape)), bf16_rows,
                   (void *)c);
    return ASD_OK;
}

/* One row's backward, in blocks of columns that stay in the first cache. */
typedef struct row {
    const float *x, *r, *dy, *w; /* r NULL: none */
    float        alpha, mean, rstd;
    int64_t      C;
} row;

ASD_SIMD static void make_h(const row *a, int64_t o, int64_t n, float *restrict h)
{
    const float *x = a->x + o, *r = a->r ? a->r + o : NULL;
    float        alpha = a->alpha, mean = a->mean, rstd = a->rstd;
    if (r)
        for (int64_t i = 0; i < n; ++i)
            h[i] = (x[i] + alpha * r[i] - mean) * rstd;
    else
        for (int64_t i = 0; i < n; ++i)
            h[i] = (x[i] - mean) * rstd;
}

/* s: sums of g, added to; t: of g h. One function each: with both sums in one loop, the compiler
 * fills its vectors by shuffling. */
ASD_SIMD static void add_g(const float *restrict dy, const float *restrict w, int64_t n,
                           float *restrict s)
{
    float   sum[ASD_LANES];
    int64_t i = 0;
    memcpy(sum, s, sizeof sum);
    for (; i + ASD_LANES <= n; i += ASD_LANES)
        for (int k = 0; k < ASD_LANES; ++k)
            sum[k] += dy[i + k] * w[i + k];
    for (; i < n; ++i)
        sum[i % ASD_LANES] += dy[i] * w[i];
    memcpy(s, sum, sizeof sum);
}

ASD_SIMD static void add_gh(const float *restrict h, const float *restrict dy,
                            const float *restrict w, int64_t n, float *restrict t)
{
    float   sum[ASD_LANES];
    int64_t i = 0;
    memcpy(sum, t, sizeof sum);
    for (; i + ASD_LANES <= n; i += ASD_LANES)
        for (int k = 0; k < ASD_LANES; ++k)
            sum[k] += dy[i + k] * w[i + k] * h[i + k];
    for (; i < n; ++i)
        sum[i % ASD_LANES] += dy[i] * w[i] * h[i];
    memcpy(t, sum, sizeof sum);
}

ASD_SIMD static void add_line(const float *restrict h, const float *restrict dy, int64_t n,
                              float *restrict dw, float *restrict db)
{
    for (int64_t i = 0; i < n; ++i) {
        dw[i] += dy[i] * h[i];
        db[i] += dy[i];
    }
}

ASD_SIMD static void make_dv(const float *restrict h, const float *restrict dy,
                             const float *restrict w, float rstd, float mean_g, float mean_gh,
                             int64_t n, float *restrict dv)
{
    for (int64_t i = 0; i < n; ++i)
        dv[i] = rstd * (dy[i] * w[i] - mean_g - h[i] * mean_gh);
}

ASD_SIMD static void put(float *restrict d, const float *restrict dv, float factor, int64_t n,
                         int add)
{
    if (add)
        for (int64_t i = 0; i < n; ++i)
            d[i] += factor * dv[i];
    else
        for (int64_t i = 0; i < n; ++i)
            d[i] = factor * dv[i];
}

/* dx, dr: this row of the gradients, NULL for none. line: dw, db of the part, NULL for none. */
static void bwd_row(const asd_call *c, const row *a, float *dx, float *dr, float *line)
{
    float s[2 * ASD_LANES] = {0}, h[BLOCK], dv[BLOCK];
    for (int64_t o = 0; o < a->C; o += BLOCK) {
        int64_t n = a->C - o < BLOCK ? a->C - o : BLOCK;
        make_h(a, o, n, h);
        add_g(a->dy + o, a->w + o, n, s);
        add_gh(h, a->dy + o, a->w + o, n, s + ASD_LANES);
        if (line)
            add_line(h, a->dy + o, n, line + o, line + a->C + o);
    }
    float mean_g  = asd_lanes_sum(s) / (float)a->C,
          mean_gh = asd_lanes_sum(s + ASD_LANES) / (float)a->C;
    for (int64_t o = 0; o < a->C && (dx || dr); o += BLOCK) {
        int64_t n = a->C - o < BLOCK ? a->C - o : BLOCK;
        make_h(a, o, n, h);
        make_dv(h, a->dy + o, a->w + o, a->rstd, mean_g, mean_gh, n, dv);
        if (dx)
            put(dx + o, dv, 1, n, c->acc[0]);
        if (dr)
            put(dr + o, dv, a->alpha, n, c->acc[3]);
    }
}

static void bwd_part(void *ctx, int64_t part)
{
    const asd_call           *c = ctx;
    const asd_layernorm_attr *a = c->attr;
    int64_t R = asd_rows(c->y.shape), C = asd_last(c->y.shape), rows = asd_part_rows(R);
    int     with_r = c->n_in == 4;
    float  *dx = c->x[0].g, *dr = with_r ? c->x[3].g : NULL, *line = NULL;
    if (c->x[1].g || c->x[2].g) {
        line = (float *)c->work + part * 2 * C;
        memset(line, 0, (size_t)(2 * C) * sizeof *line);
    }
    for (int64_t r = part * rows; r < R && r < (part + 1) * rows; ++r) {
        const float *saved = (const float *)c->saved + 2 * r;
        row          one   = {.x     = (const float *)c->x[0].x + r * C,
                              .r     = with_r ? (const float *)c->x[3].x + r * C : NULL,
                              .dy    = (const float *)c->y.g + r * C,
                              .w     = c->x[1].x,
                              .alpha = a->alpha,
                              .mean  = saved[0],
                              .rstd  = saved[1],
                              .C     = C};
        bwd_row(c, &one, dx ? dx + r * C : NULL, dr ? dr + r * C : NULL, line);
    }
}

static asd_status layernorm_bwd_cpu(const asd_call *c)
{
    /* y = (v - m) s w + b  ->  dv = s (g - mean g - h mean(g h)), dw = sum dy h, db = sum dy */
    int64_t parts = asd_parts(asd_rows(c->y.shape)), C = asd_last(c->y.shape);
    asd_par_for(parts, bwd_part, (void *)c);
    for (int k = 1; k < 3; ++k)
        if (c->x[k].g)
            asd_sum_lines((const float *)c->work + (k - 1) * C, parts, 2 * C, C, c->x[k].g,
                          c->acc[k]);
    return ASD_OK;
}

/* Forward: sum, difference, square and sum, scale, shift. Backward: h twice, two dot products, dv,
 * dw, db. */
static double layernorm_flops(const asd_node *n, int backward)
{
    double count = (double)asd_count(n->y.shape), sum = n->n_in == 4 ? 2 : 0;
    return backward ? count * (15 + 2 * sum) : count * (8 + sum);
}

/* Forward: read x (and r), write y. Backward: read x (and r) and dy, write dx (and dr). */
static double layernorm_bytes(const asd_node *n, int backward)
{
    double one   = (double)asd_count(n->y.shape) * (double)asd_dtype_size(n->y.dtype);
    double C     = (double)asd_last(n->y.shape) * sizeof(float);
    double saved = (double)n->saved_bytes;
    return one * (n->n_in == 4 ? (backward ? 5 : 3) : (backward ? 3 : 2)) + 2 * C + saved +
           (backward ? 2 * C : 0);
}

static const asd_layernorm_attr plain = {.eps = 1e-5f, .alpha = 1};
static const asd_layernorm_attr deep  = {.eps = 1e-5f, .alpha = 2.2133638394f}; /* 24^(1/4) */
#define CASE(R, C, is_bench)                                                                       \
    {                                                                                              \
        .name = "R=" #R ",C=" #C, .n_in = 3, .attr = &plain, .bench = is_bench,                    \
        .in = {{ASD_F32, {2, {R, C}}}, {ASD_F32, {1, {C}}}, {ASD_F32, {1, {C}}}},                  \
    }
#define CASE_RESIDUAL(R, C, is_bench)                                                              \
    {                                                                                              \
        .name = "R=" #R ",C=" #C ",residual", .n_in = 4, .attr = &deep, .bench = is_bench,         \
        .in = {{ASD_F32, {2, {R, C}}},                                                             \
               {ASD_F32, {1, {C}}},                                                                \
               {ASD_F32, {1, {C}}},                                                                \
               {ASD_F32, {2, {R, C}}}},                                                            \
    }
/* C of 8 k: a row in the registers of one warp (up to 1024) or of eight (up to 8192); others and
 * wider: the general kernels. R above 16: several parts. */
static const asd_case layernorm_cases[] = {
    CASE(2, 8, 0),
    CASE(1, 1, 0),
    CASE(3, 5, 0),
    CASE(9, 40, 0),
    CASE(131, 3, 0),
    CASE(2, 521, 0),
    CASE(2, 1000, 0),
    CASE(2, 1032, 0),
    CASE(1, 4104, 0),
    CASE_RESIDUAL(1, 1, 0),
    CASE_RESIDUAL(5, 7, 0),
    CASE_RESIDUAL(19, 16, 0),
    CASE_RESIDUAL(67, 8, 0),
    CASE_RESIDUAL(3, 264, 0),
    CASE_RESIDUAL(2, 768, 0),
    CASE_RESIDUAL(1, 2056, 0),
    {.name = "B=2,P=3,C=4,residual",
     .n_in = 4,
     .attr = &deep,
     .in   = {{ASD_F32, {3, {2, 3, 4}}},
              {ASD_F32, {1, {4}}},
              {ASD_F32, {1, {4}}},
              {ASD_F32, {3, {2, 3, 4}}}}},
    CASE(17, 8200, 1),
    CASE_RESIDUAL(41, 768, 1),
    CASE(1984, 512, 1),
    CASE_RESIDUAL(16864, 768, 1),
    {.name = NULL},
};

const asd_op asd_op_layernorm = {
    .name          = "layernorm",
    .min_in        = 3,
    .n_in          = 4,
    .infer         = layernorm_infer,
    .fwd           = {layernorm_fwd_cpu, ASD_CUDA_FN(layernorm_fwd_cuda)},
    .bwd           = {layernorm_bwd_cpu, ASD_CUDA_FN(layernorm_bwd_cuda)},
    .keeps         = ASD_KEEPS_X(0) | ASD_KEEPS_X(1) | ASD_KEEPS_X(3),
    .bf16          = ASD_KEEPS_X(0) | ASD_KEEPS_X(3),
    .cpu_bf16      = layernorm_bf16_cpu,
    .cpu_bf16_work = layernorm_bf16_work,
    .flops         = layernorm_flops,
    .bytes         = layernorm_bytes,
    .cases         = layernorm_cases,
};
