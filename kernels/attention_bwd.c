/* attention_bwd.c - the CPU's backward of attention, see attention.c.
 *
 * A chunk is a head of a clip. For each tile of queries and block of keys it makes p and ds anew,
 * in two buffers on the stack, and adds what they give: to dq of the tile, dk and dv of the block,
 * dt along the diagonals, and the gate's sums.
 */
#include "kernels/attention_cpu.h"

#include "base/par.h"

#include <string.h>

/* A tile, and keys of a block: two buffers of 64 x 256 floats are 128 KiB. Rows are LD apart, see
 * attention.c. */
enum { QUERIES = 64, KEYS = 256, LD = KEYS + 16 };

/* dp becomes ds scale = p (dp - delta) scale. */
ASD_SIMD static void score_gradients(const float *restrict p, float *restrict dp, float delta,
                                     float scale, int64_t n)
{
    for (int64_t j = 0; j < n; ++j)
        dp[j] = p[j] * (dp[j] - delta) * scale;
    for (int64_t j = n; j < asd_whole_lanes(n); ++j)
        dp[j] = 0;
}

/* Where a head's gradients go. */
typedef struct head_gradient {
    float       *dq, *dk, *dv; /* rows 3 C apart; NULL: not asked for */
    const float *dy, *y, *lse; /* rows C apart */
    float       *gate_sums;    /* dwa, dwb, dba, dbb, dc */
    float       *dt;           /* by distance, like head.t; NULL: not asked for */
} head_gradient;

typedef struct tile {
    int64_t first, rows;
    float   gate[QUERIES], ga[QUERIES], gb[QUERIES];
    float   delta[QUERIES]; /* rowsum(y dy) */
    float   dgate[QUERIES];
} tile;

/* to += left' right: left (rows of the tile, n), right (rows, K) */
static void add_turned(const asd_attention_head *a, const tile *t, const float *left, int64_t n,
                       const float *right, int64_t ld, float *to)
{
    asd_gemm_job j = {.transpose_a = 1,
                      .m           = n,
                      .n           = a->s.K,
                      .k           = t->rows,
                      .a           = left,
                      .lda         = LD,
                      .b           = right,
                      .ldb         = ld,
                      .beta        = 1,
                      .y           = to,
                      .ldy         = 3 * a->s.C};
    asd_gemm_here(&j);
}

/* One block of keys of a tile: p and ds scale in two buffers, and what they add to. */
static void bwd_block(const asd_attention_head *a, const head_gradient *g, tile *t, int64_t from,
                      float *p, float *ds)
{
    int64_t ld = 3 * a->s.C, n = a->keys - from < KEYS ? a->keys - from : KEYS;
    asd_attention_dots(a, a->q + t->first * ld, ld, t->rows, a->k + from * ld, n, p, LD);
    asd_attention_dots(a, g->dy + t->first * a->s.C, a->s.C, t->rows, a->v + from * ld, n, ds, LD);
    for (int64_t r = 0; r < t->rows; ++r) {
        float       *row = p + r * LD, *dp = ds + r * LD;
        int64_t      at   = from - (t->first + r);
        const float *bias = a->t ? a->t + at : NULL;
        asd_score_bias(row, bias, a->scale, t->gate[r], n);
        asd_score_exp(row, g->lse[t->first + r], n);
        score_gradients(row, dp, t->delta[r], a->scale, n);
        if (bias)
            t->dgate[r] += asd_row_dot(dp, bias, asd_whole_lanes(n)) / a->scale;
        if (g->dt)
            asd_row_add(g->dt + at, dp, t->gate[r] / a->scale, n);
    }
    if (!g->dq)
        return;
    /* y = p v  ->  dv = p' dy;  s = q k' scale  ->  dk = ds' q scale, dq = ds k scale */
    add_turned(a, t, p, n, g->dy + t->first * a->s.C, a->s.C, g->dv + from * ld);
    add_turned(a, t, ds, n, a->q + t->first * ld, ld, g->dk + from * ld);
    asd_gemm_job j = {.m    = t->rows,
                      .n    = a->s.K,
                      .k    = n,
                      .a    = ds,
                      .lda  = LD,
                      .b    = a->k + from * ld,
                      .ldb  = ld,
                      .beta = 1,
                      .y    = g->dq + t->first * ld,
                      .ldy  = ld};
    asd_gemm_here(&j);
}

/* g = ga (gb c - 1) + 2  ->  dga = dg (gb c - 1), dgb = dg ga c, dc = dg ga gb; through the
 * sigmoids to the sums u = w q + bias, and from there to w, bias and q. */
static void bwd_gates(const asd_attention_head *a, const head_gradient *g, const tile *t)
{
    int64_t K = a->s.K, ld = 3 * a->s.C;
    for (int64_t r = 0; r < t->rows; ++r) {
        const float *q  = a->q + (t->first + r) * ld;
        float        ga = t->ga[r], gb = t->gb[r], dg = t->dgate[r];
        float        da = dg * (gb * a->c - 1) * ga * (1 - ga), db = dg * ga * a->c * gb * (1 - gb);
        asd_row_add(g->gate_sums, q, da, K);
        asd_row_add(g->gate_sums + K, q, db, K);
        g->gate_sums[2 * K] += da;
        g->gate_sums[2 * K + 1] += db;
        g->gate_sums[2 * K + 2] += dg * ga * gb;
        if (g->dq) {
            asd_row_add(g->dq + (t->first + r) * ld, a->wa, da, K);
            asd_row_add(g->dq + (t->first + r) * ld, a->wb, db, K);
        }
    }
}

static head_gradient gradient_of(const asd_call *c, asd_attention_sizes s, int64_t b, int64_t h)
{
    int64_t       bh = b * s.H + h, y = b * s.P * s.C + h * s.K;
    float        *sums = (float *)c->work + asd_attention_fwd_work(s);
    head_gradient g    = {.dy  = (const float *)c->y.g + y,
                          .y   = (const float *)c->y.x + y,
                          .lse = (const float *)c->saved + bh * s.P};
    if (c->x[0].g) {
        g.dq = (float *)c->x[0].g + b * s.P * 3 * s.C + h * s.K;
        g.dk = g.dq + s.C;
        g.dv = g.dq + 2 * s.C;
        for (int64_t i = 0; !c->acc[0] && i < 3 * s.P; ++i)
            memset(g.dq + i * s.C, 0, (size_t)s.K * sizeof *g.dq);
    }
    if (s.gated) {
        float *dt =
            sums + s.B * s.H * asd_attention_gate_sums(s.K) + bh * asd_attention_distances(s.P);
        g.gate_sums = sums + bh * asd_attention_gate_sums(s.K);
        memset(g.gate_sums, 0, (size_t)asd_attention_gate_sums(s.K) * sizeof *sums);
        if (c->x[asd_attention_input(c->attr, ASD_ATTENTION_TABLE)].g) {
            memset(dt, 0, (size_t)asd_attention_distances(s.P) * sizeof *dt);
            g.dt = dt + s.P - 1;
        }
    }
    return g;
}

static void bwd_chunk(void *ctx, int64_t bh)
{
    const asd_call    *c = ctx;
    _Alignas(64) float p[QUERIES * LD], ds[QUERIES * LD];
    int64_t            H = ((const asd_attention_attr *)c->attr)->heads;
    asd_attention_head a = asd_attention_head_of(c, bh / H, bh % H);
    head_gradient      g = gradient_of(c, a.s, bh / H, bh % H);
    for (int64_t first = 0; first < a.s.P && a.keys; first += QUERIES) {
        tile t = {.first = first, .rows = a.s.P - first < QUERIES ? a.s.P - first : QUERIES};
        for (int64_t r = 0; r < t.rows; ++r) {
            t.delta[r] = asd_row_dot(g.y + (first + r) * a.s.C, g.dy + (first + r) * a.s.C, a.s.K);
            if (a.t)
                t.gate[r] = asd_attention_gate_of(&a, first + r, &t.ga[r], &t.gb[r]);
        }
        for (int64_t from = 0; from < a.keys; from += KEYS)
            bwd_block(&a, &g, &t, from, p, ds);
        if (a.t)
            bwd_gates(&a, &g, &t);
    }
}

/* dtable of head h: over clips in order, then by bucket in order of distance. */
static void table_chunk(void *ctx, int64_t h)
{
    const asd_call     *c      = ctx;
    asd_attention_sizes s      = asd_attention_sizes_of(c->attr, c->x[0].shape);
    const int32_t      *bucket = c->state;
    float              *dtable = c->x[asd_attention_input(c->attr, ASD_ATTENTION_TABLE)].g;
    const float        *dt     = (const float *)c->work + asd_attention_fwd_work(s) +
                      s.B * s.H * asd_attention_gate_sums(s.K);
    for (int64_t d = 0; d < 2 * s.P - 1; ++d) {
        float sum = 0;
        for (int64_t b = 0; b < s.B; ++b)
            sum += dt[(b * s.H + h) * asd_attention_distances(s.P) + d];
        dtable[bucket[d] * s.H + h] += sum;
    }
}

/* A parameter's gradient, cleared first if it is to be stored; NULL if it is not asked for. */
static float *cleared(const asd_call *c, int which)
{
    int    k = asd_attention_input(c->attr, which);
    float *g = c->x[k].g;
    if (g && !c->acc[k])
        memset(g, 0, (size_t)asd_count(c->x[k].shape) * sizeof *g);
    return g;
}

static void gate_gradients(const asd_call *c, asd_attention_sizes s)
{
    float *dw = cleared(c, ASD_ATTENTION_W), *dbias = cleared(c, ASD_ATTENTION_B);
    float *dc = cleared(c, ASD_ATTENTION_A), *dtable = cleared(c, ASD_ATTENTION_TABLE);
    float *sums = (float *)c->work + asd_attention_fwd_work(s);
    for (int64_t bh = 0; dc && bh < s.B * s.H; ++bh)
        dc[bh % s.H] += sums[bh * asd_attention_gate_sums(s.K) + 2 * s.K + 2];
    for (int64_t bh = 1; bh < s.B * s.H; ++bh) /* into the first line */
        asd_row_add(sums, sums + bh * asd_attention_gate_sums(s.K), 1, 2 * s.K + 2);
    for (int64_t r = 0; r < ASD_ATTENTION_GATE_ROWS; ++r) {
        int64_t second = r / (ASD_ATTENTION_GATE_ROWS / 2);
        if (dw)
            asd_row_add(dw + r * s.K, sums + second * s.K, 1, s.K);
        if (dbias)
            dbias[r] += sums[2 * s.K + second];
    }
    if (dtable)
        asd_par_for(s.H, table_chunk, (void *)c);
}

asd_status attention_bwd_cpu(const asd_call *c)
{
    asd_attention_sizes s = asd_attention_sizes_of(c->attr, c->x[0].shape);
    asd_attention_tables(c);
    asd_par_for(s.B * s.H, bwd_chunk, (void *)c);
    if (s.gated)
        gate_gradients(c, s);
    return ASD_OK;
}
