/* posconv.c - a grouped convolution over the tokens of a clip, as long as the clip: a position.
 *
 *   y[t, o]  = b[o] + sum_{i,j} w[o, i, j] x[t + j - k/2, i]        x = 0 outside the clip
 *   dx[s, i] = sum_{o,j} w[o, i, j] dy[s - j + k/2, o]
 *   dw[o, i, j] = sum_{clips,t} dy[t, o] x[t + j - k/2, i]        db[o] = sum_{clips,t} dy[t, o]
 *
 * x, y: (B, P, C)   w: (C, W, k)   b: (C)   C = G W: y's channel o sees the W channels of its own
 * group. An even k sees k/2 tokens before and k/2 - 1 behind (PyTorch's padding of k/2 less its
 * last output).
 *
 * Each clip is turned to channels first, between zeros: (C, L = P + k - 1). Then the windows of one
 * channel, a (P, k) matrix, are its own row read with a distance of 1 between rows of the matrix,
 * and y is a sum of W products of depth k, with w read as it lies. Nothing is unfolded. dx is the
 * same with windows read backwards, dw the product of dy and the windows.
 * Numerics: fp32; a sum of W (for dx W, for dw B) chains of at most 256 products (cpu_tile.h), so
 * a clip has the bits it would have alone.
 * Used by: BEATs.
 */
#include "kernels/cpu.h"
#include "kernels/cpu_tile.h"
#include "kernels/posconv.h"
#include "kernels/rows.h"

#include "base/par.h"

#include <string.h>

static asd_status posconv_infer(asd_node *n)
{
    char      sx[64], sw[64], sb[64];
    asd_shape x = n->in[0].shape, w = n->in[1].shape;
    int64_t   G  = ((const asd_posconv_attr *)n->attr)->groups;
    int       ok = x.n == 3 && w.n == 3 && asd_count(x) > 0 && G > 0 && x.d[2] % G == 0 &&
             w.d[0] == x.d[2] && w.d[1] == x.d[2] / G && w.d[2] > 0 &&
             asd_shape_equal(n->in[2].shape, ASD_SHAPE1(x.d[2]));
    if (!ok)
        return ASD_FAIL(ASD_E_SHAPE,
                        "posconv: x %s, w %s, b %s, want (B, P, C), (C, C/%lld, k) and (C) for "
                        "%lld groups",
                        asd_shape_text(x, sx, sizeof sx), asd_shape_text(w, sw, sizeof sw),
                        asd_shape_text(n->in[2].shape, sb, sizeof sb), (long long)G, (long long)G);
    asd_posconv_sizes s     = asd_posconv_sizes_of(x, w);
    size_t            clips = (size_t)(s.B * s.C * s.L) * sizeof(float);
    n->y                    = n->in[0];
    size_t packed           = (size_t)(s.C * s.W * s.k) * 2; /* bf16, on CUDA */
    n->fwd_work_bytes       = clips > packed ? clips : packed;
    n->bwd_work_bytes =
        n->fwd_work_bytes + clips + (size_t)(asd_parts(s.B * s.P) * s.C) * sizeof(float);
    return ASD_OK;
}

typedef struct job {
    const asd_call   *c;
    asd_posconv_sizes s;
    float            *x_turned, *dy_turned; /* (B, C, L) */
    float            *lines;                /* (parts, C): sums of dy */
} job;

static job job_of(const asd_call *c, int backward)
{
    job j      = {.c = c, .s = asd_posconv_sizes_of(c->x[0].shape, c->x[1].shape)};
    j.x_turned = c->work;
    if (backward) {
        j.dy_turned = j.x_turned + j.s.B * j.s.C * j.s.L;
        j.lines     = j.dy_turned + j.s.B * j.s.C * j.s.L;
    }
    return j;
}

/* The group's channels of one clip, `before` zeros in front and as many behind as L wants. */
static void turn_group(const asd_posconv_sizes *s, const float *x, int64_t before, float *to)
{
    for (int64_t i = 0; i < s->W; ++i) {
        memset(to + i * s->L, 0, (size_t)before * sizeof *to);
        memset(to + i * s->L + before + s->P, 0, (size_t)(s->k - 1 - before) * sizeof *to);
    }
    asd_turn(s->P, s->W, x, s->C, to + before, s->L);
}

/* Chunk: one group of one clip. */
static void fwd_chunk(void *ctx, int64_t chunk)
{
    const job               *j = ctx;
    const asd_posconv_sizes *s = &j->s;
    int64_t                  b = chunk / s->G, o = chunk % s->G * s->W, at = b * s->P * s->C + o;
    float                   *x = j->x_turned + (b * s->C + o) * s->L, *y = j->c->y.x;
    const float             *w = (const float *)j->c->x[1].x + o * s->W * s->k;
    turn_group(s, (const float *)j->c->x[0].x + at, s->before, x);
    for (int64_t i = 0; i < s->W; ++i) {
        asd_matrix   windows = {x + i * s->L, 1, 1}, taps = {w + i * s->k, 1, s->W * s->k};
        const float *base = i ? y + at : (const float *)j->c->x[2].x + o;
        asd_product(s->P, s->W, s->k, windows, taps, base, i ? s->C : 0, y + at, s->C);
    }
}

static asd_status posconv_fwd_cpu(const asd_call *c)
{
    job j = job_of(c, 0);
    asd_par_for(j.s.B * j.s.G, fwd_chunk, &j);
    return ASD_OK;
}

/* Chunk: one group of one clip. y[t] += w[o, i, j] x[t + j - before]
 *   ->  dx[s] = sum_{o,j} w[o, i, j] dy[s - j + before]: windows of dy read from their end, with
 * k - 1 - before zeros in front of the clip. */
static void dx_chunk(void *ctx, int64_t chunk)
{
    const job               *j = ctx;
    const asd_posconv_sizes *s = &j->s;
    int64_t                  b = chunk / s->G, i = chunk % s->G * s->W, at = b * s->P * s->C + i;
    float                   *dy = j->dy_turned + (b * s->C + i) * s->L, *dx = j->c->x[0].g;
    const float             *w = (const float *)j->c->x[1].x + i * s->W * s->k;
    turn_group(s, (const float *)j->c->y.g + at, s->k - 1 - s->before, dy);
    if (j->c->x[1].g)
        turn_group(s, (const float *)j->c->x[0].x + at, s->before,
                   j->x_turned + (b * s->C + i) * s->L);
    for (int64_t o = 0; dx && o < s->W; ++o) {
        asd_matrix windows = {dy + o * s->L + s->k - 1, 1, -1},
                   taps    = {w + o * s->W * s->k, 1, s->k};
        asd_product(s->P, s->W, s->k, windows, taps, o || j->c->acc[0] ? dx + at : NULL, s->C,
                    dx + at, s->C);
    }
}

/* Chunk: one input channel i of one group. y[t] += w[o, i, j] x[t + j - before]
 *   ->  dw[o, i, j] = sum_{clips,t} dy[t, o] x[t + j - before] */
static void dw_chunk(void *ctx, int64_t chunk)
{
    const job               *j     = ctx;
    const asd_posconv_sizes *s     = &j->s;
    int64_t                  first = chunk / s->W * s->W, i = chunk % s->W, ld = s->W * s->k;
    float                   *dw = (float *)j->c->x[1].g + first * ld + i * s->k;
    for (int64_t b = 0; b < s->B; ++b) {
        asd_matrix dy = {j->dy_turned + (b * s->C + first) * s->L + s->k - 1 - s->before, s->L, 1};
        asd_matrix windows = {j->x_turned + (b * s->C + first + i) * s->L, 1, 1};
        asd_product(s->W, s->k, s->P, dy, windows, b || j->c->acc[1] ? dw : NULL, ld, dw, ld);
    }
}

ASD_SIMD static void add_to(const float *restrict from, float *restrict to, int64_t C)
{
    for (int64_t i = 0; i < C; ++i)
        to[i] += from[i];
}

/* One part of the rows of all clips. y += b  ->  db = sum over rows of dy */
static void db_part(void *ctx, int64_t part)
{
    const job *j = ctx;
    int64_t    R = j->s.B * j->s.P, C = j->s.C, rows = asd_part_rows(R);
    memset(j->lines + part * C, 0, (size_t)C * sizeof(float));
    for (int64_t r = part * rows; r < R && r < (part + 1) * rows; ++r)
        add_to((const float *)j->c->y.g + r * C, j->lines + part * C, C);
}

static asd_status posconv_bwd_cpu(const asd_call *c)
{
    job j = job_of(c, 1);
    if (c->x[0].g || c->x[1].g)
        asd_par_for(j.s.B * j.s.G, dx_chunk, &j);
    if (c->x[1].g)
        asd_par_for(j.s.C, dw_chunk, &j);
    if (c->x[2].g) {
        int64_t parts = asd_parts(j.s.B * j.s.P);
        asd_par_for(parts, db_part, &j);
        asd_sum_lines(j.lines, parts, j.s.C, j.s.C, c->x[2].g, c->acc[2]);
    }
    return ASD_OK;
}

static double posconv_flops(const asd_node *n, int backward)
{
    double products =
        2.0 * (double)asd_count(n->y.shape) * (double)(n->in[1].shape.d[1] * n->in[1].shape.d[2]);
    return backward ? 2 * products : products;
}

static const asd_posconv_attr groups1 = {1}, groups2 = {2}, groups3 = {3}, groups16 = {16};

#define CASE(B, P, C, G, W, k, is_bench)                                                           \
    {                                                                                              \
        .name = "B=" #B ",P=" #P ",C=" #C ",G=" #G ",k=" #k, .n_in = 3, .bench = is_bench,         \
        .attr = &groups##G,                                                                        \
        .in   = {{ASD_F32, {3, {B, P, C}}}, {ASD_F32, {3, {C, W, k}}}, {ASD_F32, {1, {C}}}},       \
    }
#define FORWARD(B, P, C, G, W, k)                                                                  \
    {                                                                                              \
        .name = "B=" #B ",P=" #P ",C=" #C ",G=" #G ",k=" #k ",forward", .n_in = 3, .inference = 1, \
        .attr = &groups##G,                                                                        \
        .in   = {{ASD_F32, {3, {B, P, C}}}, {ASD_F32, {3, {C, W, k}}}, {ASD_F32, {1, {C}}}},       \
    }
/* Windows of one token, of two (none behind), longer than the clip; 17, 33 and 49 channels do not
 * fill a tile; k = 300 is deeper than one stretch of a product;
 * then widths of tensor cores: a second step of tokens, a second block of taps, a second block of
 * tokens. */
static const asd_case posconv_cases[] = {
    CASE(2, 1, 1, 1, 1, 1, 0),
    CASE(2, 3, 4, 2, 2, 2, 0),
    CASE(2, 5, 3, 3, 1, 3, 0),
    CASE(1, 4, 6, 2, 3, 9, 0),
    CASE(2, 7, 6, 3, 2, 16, 0),
    CASE(3, 11, 5, 1, 5, 4, 0),
    CASE(1, 23, 17, 1, 17, 5, 0),
    CASE(2, 9, 32, 16, 2, 8, 0),
    CASE(1, 3, 2, 2, 1, 300, 0),
    CASE(1, 67, 2, 1, 2, 31, 0),
    CASE(1, 67, 16, 1, 16, 2, 0),
    CASE(2, 5, 16, 1, 16, 18, 0),
    CASE(1, 5, 48, 1, 48, 2, 0),
    FORWARD(2, 530, 32, 2, 16, 9),
    FORWARD(1, 37, 64, 2, 32, 3),
    FORWARD(1, 70, 96, 2, 48, 7),
    CASE(1, 301, 98, 2, 49, 7, 1),
    CASE(1, 496, 768, 16, 48, 128, 1),
    CASE(8, 496, 768, 16, 48, 128, 2),
    CASE(33, 496, 768, 16, 48, 128, 2),
    {.name = NULL},
};

const asd_op asd_op_posconv = {
    .name   = "posconv",
    .min_in = 3,
    .n_in   = 3,
    .infer  = posconv_infer,
    .fwd    = {posconv_fwd_cpu, ASD_CUDA_FN(posconv_fwd_cuda)},
    .bwd    = {posconv_bwd_cpu, ASD_CUDA_FN(posconv_bwd_cuda)},
    .bf16   = ASD_KEEPS_X(0) | ASD_KEEPS_X(1),
    .keeps  = ASD_KEEPS_X(0) | ASD_KEEPS_X(1),
    .flops  = posconv_flops,
    .cases  = posconv_cases,
};
