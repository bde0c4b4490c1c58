/* batchnorm.c - normalise each column over the batch, then scale and shift (Ioffe and Szegedy
 * 2015).
 *
 *   training:   m = mean_r x      var = mean_r (x - m)^2      s = 1 / sqrt(var + eps)
 *               y = (x - m) s w + b
 *               running_mean <- (1 - k) running_mean + k m
 *               running_var  <- (1 - k) running_var + k var R / (R - 1)   (unbiased, as in PyTorch)
 *   inference:  m, var are the running values
 *   dx = w s (dy - mean_r dy - h mean_r (dy h))      h = (x - m) s
 *   dw = sum_r dy h        db = sum_r dy
 *   attribute relu: y = max(y, 0), and dy counts where y > 0 only. y is not kept for that: backward
 *   computes its sign again from x, which it reads anyway. As bits the same as a relu op behind.
 *
 * x, y: (R, C)   w, b, running_mean, running_var: (C)   saved: (2, C) = m, s
 * Grouped, G batches side by side: x, y: (G, R, C)   parameters: (G, C)   saved: (2, G, C). Each
 * group has the bits it would have alone.
 * Numerics: statistics in two passes. One pass (mean of squares minus square of the mean) cancels
 * when |mean| >> std: log-mel input around -60 dB with a std of 6 dB loses two of fp32's seven
 * digits.
 * Mapping: blocks of 64 columns (their sums stay in registers), rows in order, so the bits do not
 * depend on threads; four blocks to a chunk, because 256 x 128 takes 7 us and waking a thread for
 * half of it costs more.
 * Used by: autoencoder.
 */
#include "kernels/cpu.h"
#include "kernels/op.h"

#include "base/par.h"

#include <math.h>
#include <string.h>

enum { COLUMNS = 64, BLOCKS = 4 };

static asd_status batchnorm_infer(asd_node *n)
{
    char      sx[64], sp[64], sk[64];
    asd_shape x = n->in[0].shape, p = ASD_SHAPE1(asd_last(x));
    if (x.n != 2 && x.n != 3)
        return ASD_FAIL(ASD_E_SHAPE, "batchnorm: x %s, want (R, C) or (G, R, C)",
                        asd_shape_text(x, sx, sizeof sx));
    if (x.n == 3)
        p = ASD_SHAPE2(x.d[0], asd_last(x));
    for (int k = 1; k < 5; ++k)
        if (!asd_shape_equal(n->in[k].shape, p))
            return ASD_FAIL(ASD_E_SHAPE, "batchnorm: input %d is %s, want %s to fit x %s", k,
                            asd_shape_text(n->in[k].shape, sk, sizeof sk),
                            asd_shape_text(p, sp, sizeof sp), asd_shape_text(x, sx, sizeof sx));
    n->y           = n->in[0];
    n->saved_bytes = 2 * (size_t)asd_count(p) * sizeof(float);
    return ASD_OK;
}

/* A block of columns of one group, which is what one thread works on at a time. */
typedef struct block {
    int64_t R, C, columns;
    int64_t x; /* where it begins in x, y, dx, dy: rows are C apart */
    int64_t p; /* and in the parameters */
    int64_t P; /* parameters of all groups together: the first half of `saved` */
} block;

static int64_t blocks_of_group(const asd_call *c)
{
    return (asd_last(c->y.shape) + COLUMNS - 1) / COLUMNS;
}

static int64_t n_blocks(const asd_call *c)
{
    return blocks_of_group(c) * (asd_count(c->x[1].shape) / asd_last(c->y.shape));
}

static block block_of(const asd_call *c, int64_t i)
{
    int64_t C = asd_last(c->y.shape), P = asd_count(c->x[1].shape);
    int64_t R = asd_rows(c->y.shape) / (P / C);
    int64_t g = i / blocks_of_group(c), o = i % blocks_of_group(c) * COLUMNS;
    return (block){R, C, C - o < COLUMNS ? C - o : COLUMNS, g * R * C + o, g * C + o, P};
}

/* mean, var: (columns) of x's columns, x pointing at the first of them; ld = C */
ASD_SIMD static void column_statistics(const float *x, int64_t R, int64_t ld, int64_t columns,
                                       float *mean, float *var)
{
    float sum[COLUMNS] = {0}, square[COLUMNS] = {0};
    for (int64_t r = 0; r < R; ++r)
        for (int64_t c = 0; c < columns; ++c)
            sum[c] += x[r * ld + c];
    for (int64_t c = 0; c < columns; ++c)
        mean[c] = sum[c] / (float)R;
    for (int64_t r = 0; r < R; ++r)
        for (int64_t c = 0; c < columns; ++c) {
            float d = x[r * ld + c] - mean[c];
            square[c] += d * d;
        }
    for (int64_t c = 0; c < columns; ++c)
        var[c] = square[c] / (float)R;
}

ASD_SIMD static void normalise(const float *restrict x, int64_t R, int64_t ld, int64_t columns,
                               const float *mean, const float *rstd, const float *w, const float *b,
                               int relu, float *restrict y)
{
    float scale[COLUMNS], shift[COLUMNS];
    for (int64_t c = 0; c < columns; ++c) {
        scale[c] = rstd[c] * w[c];
        shift[c] = b[c];
    }
    if (relu)
        for (int64_t r = 0; r < R; ++r)
            for (int64_t c = 0; c < columns; ++c) {
                float z       = (x[r * ld + c] - mean[c]) * scale[c] + shift[c];
                y[r * ld + c] = z < 0 ? 0 : z; /* NaN passes, as in relu.c */
            }
    else
        for (int64_t r = 0; r < R; ++r)
            for (int64_t c = 0; c < columns; ++c)
                y[r * ld + c] = (x[r * ld + c] - mean[c]) * scale[c] + shift[c];
}

static void fwd_block(const asd_call *call, int64_t i)
{
    const asd_batchnorm_attr *a = call->attr;
    block                     k = block_of(call, i);
    const float *x = (const float *)call->x[0].x + k.x, *w = call->x[1].x, *b = call->x[2].x;
    float *running_mean = (float *)call->x[3].x + k.p, *running_var = (float *)call->x[4].x + k.p;
    float *mean = (float *)call->saved + k.p, *rstd = (float *)call->saved + k.P + k.p;
    float  var[COLUMNS];
    if (call->training) {
        column_statistics(x, k.R, k.C, k.columns, mean, var);
        for (int64_t c = 0; c < k.columns; ++c) {
            float unbiased  = k.R > 1 ? var[c] * ((float)k.R / (float)(k.R - 1)) : var[c];
            running_mean[c] = (1 - a->momentum) * running_mean[c] + a->momentum * mean[c];
            running_var[c]  = (1 - a->momentum) * running_var[c] + a->momentum * unbiased;
        }
    } else {
        memcpy(mean, running_mean, (size_t)k.columns * sizeof(float));
        memcpy(var, running_var, (size_t)k.columns * sizeof(float));
    }
    for (int64_t c = 0; c < k.columns; ++c)
        rstd[c] = 1 / sqrtf(var[c] + a->eps);
    normalise(x, k.R, k.C, k.columns, mean, rstd, w + k.p, b + k.p, a->relu,
              (float *)call->y.x + k.x);
}

static void fwd_chunk(void *ctx, int64_t chunk)
{
    for (int64_t b = chunk * BLOCKS; b < (chunk + 1) * BLOCKS && b < n_blocks(ctx); ++b)
        fwd_block(ctx, b);
}

static asd_status batchnorm_fwd_cpu(const asd_call *c)
{
    asd_par_for((n_blocks(c) + BLOCKS - 1) / BLOCKS, fwd_chunk, (void *)c);
    return ASD_OK;
}

/* Element `at` of dy as the normalisation sees it: what the ReLU behind it lets through. The sign
 * of y comes from the forward's own expression, so from its bits. */
static inline float upstream(const float *x, const float *dy, int64_t at, float mean, float scale,
                             float shift, int relu)
{
    return !relu || (x[at] - mean) * scale + shift > 0 ? dy[at] : 0;
}

/* dw, db: (columns) added to when not NULL; dx stored, or added when `add`. b is read for the ReLU
 * alone. */
static inline __attribute__((always_inline)) void
column_gradients_of(const float *restrict x, const float *restrict dy, int64_t R, int64_t ld,
                    int64_t columns, const float *mean, const float *rstd, const float *w,
                    const float *b, int relu, float *restrict dx, int add, float *dw, float *db)
{
    float sum[COLUMNS] = {0}, dot[COLUMNS] = {0}; /* sum_r dy, sum_r dy h */
    float mean_dy[COLUMNS], mean_dyh[COLUMNS], scale[COLUMNS], shift[COLUMNS];
    for (int64_t c = 0; c < columns; ++c) {
        scale[c] = rstd[c] * w[c];
        shift[c] = relu ? b[c] : 0;
    }
    for (int64_t r = 0; r < R; ++r)
        for (int64_t c = 0; c < columns; ++c) {
            float g = upstream(x, dy, r * ld + c, mean[c], scale[c], shift[c], relu);
            sum[c] += g;
            dot[c] += g * ((x[r * ld + c] - mean[c]) * rstd[c]);
        }
    for (int64_t c = 0; c < columns; ++c) {
        mean_dy[c]  = sum[c] / (float)R;
        mean_dyh[c] = dot[c] / (float)R;
    }
    if (dw)
        for (int64_t c = 0; c < columns; ++c)
            dw[c] += dot[c];
    if (db)
        for (int64_t c = 0; c < columns; ++c)
            db[c] += sum[c];
    /* y = (x - m) s w + b, with m and s functions of x  ->  dx = w s (dy - mean dy - h mean (dy h))
     */
    if (dx && add)
        for (int64_t r = 0; r < R; ++r)
            for (int64_t c = 0; c < columns; ++c) {
                float g = upstream(x, dy, r * ld + c, mean[c], scale[c], shift[c], relu);
                float h = (x[r * ld + c] - mean[c]) * rstd[c];
                dx[r * ld + c] += scale[c] * (g - mean_dy[c] - h * mean_dyh[c]);
            }
    else if (dx)
        for (int64_t r = 0; r < R; ++r)
            for (int64_t c = 0; c < columns; ++c) {
                float g        = upstream(x, dy, r * ld + c, mean[c], scale[c], shift[c], relu);
                float h        = (x[r * ld + c] - mean[c]) * rstd[c];
                dx[r * ld + c] = scale[c] * (g - mean_dy[c] - h * mean_dyh[c]);
            }
}

/* Compiled once for each, so that the loops hold no branch. */
ASD_SIMD static void column_gradients(const float *x, const float *dy, int64_t R, int64_t ld,
                                      int64_t columns, const float *mean, const float *rstd,
                                      const float *w, const float *b, int relu, float *dx, int add,
                                      float *dw, float *db)
{
    if (relu)
        column_gradients_of(x, dy, R, ld, columns, mean, rstd, w, b, 1, dx, add, dw, db);
    else
        column_gradients_of(x, dy, R, ld, columns, mean, rstd, w, b, 0, dx, add, dw, db);
}

static void bwd_block(const asd_call *call, int64_t i)
{
    const asd_batchnorm_attr *a     = call->attr;
    block                     k     = block_of(call, i);
    const float              *saved = call->saved;
    float                    *dw = call->x[1].g, *db = call->x[2].g, *dx = call->x[0].g;
    if (dw && !call->acc[1])
        memset(dw + k.p, 0, (size_t)k.columns * sizeof *dw);
    if (db && !call->acc[2])
        memset(db + k.p, 0, (size_t)k.columns * sizeof *db);
    column_gradients((const float *)call->x[0].x + k.x, (const float *)call->y.g + k.x, k.R, k.C,
                     k.columns, saved + k.p, saved + k.P + k.p, (const float *)call->x[1].x + k.p,
                     (const float *)call->x[2].x + k.p, a->relu, dx ? dx + k.x : NULL, call->acc[0],
                     dw ? dw + k.p : NULL, db ? db + k.p : NULL);
}

static void bwd_chunk(void *ctx, int64_t chunk)
{
    for (int64_t b = chunk * BLOCKS; b < (chunk + 1) * BLOCKS && b < n_blocks(ctx); ++b)
        bwd_block(ctx, b);
}

static asd_status batchnorm_bwd_cpu(const asd_call *c)
{
    ASD_ASSERT(c->training);
    asd_par_for((n_blocks(c) + BLOCKS - 1) / BLOCKS, bwd_chunk, (void *)c);
    return ASD_OK;
}

static const asd_batchnorm_attr plain = {.eps = 1e-3f, .momentum = 0.01f};
static const asd_batchnorm_attr relu  = {.eps = 1e-3f, .momentum = 0.01f, .relu = 1};
#define CASE(R, C, suffix, a, is_inference, is_bench)                                              \
    {                                                                                              \
        .name = "R=" #R ",C=" #C suffix, .n_in = 5, .attr = &a, .inference = is_inference,         \
        .bench = is_bench,                                                                         \
        .in    = {{ASD_F32, {2, {R, C}}},                                                          \
                  {ASD_F32, {1, {C}}},                                                             \
                  {ASD_F32, {1, {C}}},                                                             \
                  {ASD_F32, {1, {C}}},                                                             \
                  {ASD_F32, {1, {C}}}},                                                            \
        .fill  = {ASD_FILL_NORMAL, ASD_FILL_POSITIVE, ASD_FILL_NORMAL, ASD_FILL_NORMAL,            \
                  ASD_FILL_POSITIVE},                                                              \
    }
#define GROUPED(G, R, C, suffix, a, is_inference, is_bench)                                        \
    {                                                                                              \
        .name = "G=" #G ",R=" #R ",C=" #C suffix, .n_in = 5, .attr = &a,                           \
        .inference = is_inference, .bench = is_bench,                                              \
        .in   = {{ASD_F32, {3, {G, R, C}}},                                                        \
                 {ASD_F32, {2, {G, C}}},                                                           \
                 {ASD_F32, {2, {G, C}}},                                                           \
                 {ASD_F32, {2, {G, C}}},                                                           \
                 {ASD_F32, {2, {G, C}}}},                                                          \
        .fill = {ASD_FILL_NORMAL, ASD_FILL_POSITIVE, ASD_FILL_NORMAL, ASD_FILL_NORMAL,             \
                 ASD_FILL_POSITIVE},                                                               \
    }
static const asd_case batchnorm_cases[] = {
    CASE(2, 1, "", plain, 0, 0),
    CASE(3, 5, "", plain, 0, 0),
    CASE(31, 67, "", plain, 0, 0),
    CASE(3, 521, "", plain, 0, 0),
    CASE(150, 8, "", plain, 0, 0),
    CASE(1, 3, ",inference", plain, 1, 0),
    CASE(5, 131, ",inference", plain, 1, 0),
    CASE(1031, 5, ",inference", plain, 1, 0),
    CASE(513, 8, ",inference", plain, 1, 0),
    GROUPED(1, 2, 1, "", plain, 0, 0),
    GROUPED(3, 5, 7, "", plain, 0, 0),
    GROUPED(2, 3, 67, "", plain, 0, 0),
    GROUPED(7, 37, 3, "", plain, 0, 0),
    GROUPED(3, 1, 131, ",inference", plain, 1, 0),
    CASE(2, 1, ",relu", relu, 0, 0),
    CASE(31, 67, ",relu", relu, 0, 0),
    CASE(137, 8, ",relu", relu, 0, 0),
    CASE(17, 24, ",relu,inference", relu, 1, 0),
    GROUPED(3, 5, 7, ",relu", relu, 0, 0),
    GROUPED(2, 11, 4, ",relu", relu, 0, 0),
    GROUPED(3, 2, 13, ",relu,inference", relu, 1, 0),
    CASE(256, 128, "", plain, 0, 1),
    CASE(256, 8, "", plain, 0, 1),
    GROUPED(7, 256, 128, "", plain, 0, 1),
    GROUPED(7, 256, 8, "", plain, 0, 1),
    CASE(256, 128, ",relu", relu, 0, 1),
    GROUPED(7, 256, 128, ",relu", relu, 0, 1),
    GROUPED(7, 256, 8, ",relu", relu, 0, 1),
    {.name = NULL},
};

const asd_op asd_op_batchnorm = {
    .name    = "batchnorm",
    .min_in  = 5,
    .n_in    = 5,
    .infer   = batchnorm_infer,
    .fwd     = {batchnorm_fwd_cpu, ASD_CUDA_FN(batchnorm_fwd_cuda)},
    .bwd     = {batchnorm_bwd_cpu, ASD_CUDA_FN(batchnorm_bwd_cuda)},
    .bf16    = ASD_KEEPS_X(0),
    .keeps   = ASD_KEEPS_X(0) | ASD_KEEPS_X(1) | ASD_KEEPS_X(2),
    .no_grad = ASD_KEEPS_X(3) | ASD_KEEPS_X(4),
    .updates = ASD_KEEPS_X(3) | ASD_KEEPS_X(4),
    .cases   = batchnorm_cases,
};
