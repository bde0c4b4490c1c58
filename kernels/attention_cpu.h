/* attention_cpu.h - what the CPU's forward and backward of attention share: rows of scores, and one
 * head of one clip. */
#ifndef ASD_KERNELS_ATTENTION_CPU_H
#define ASD_KERNELS_ATTENTION_CPU_H

#include "kernels/attention.h"
#include "kernels/cpu.h"
#include "kernels/cpu_math.h"

/* --- rows --- */

static inline int64_t asd_whole_lanes(int64_t n)
{
    return (n + ASD_LANES - 1) / ASD_LANES * ASD_LANES;
}

/* y += by x */
void asd_row_add(float *y, const float *x, float by, int64_t n);
/* s = scale s + gate t; t NULL: no bias. Behind n up to whole lanes: -Inf, which weighs nothing. */
void asd_score_bias(float *s, const float *t, float scale, float gate, int64_t n);
/* s = exp(s - less); n: whole lanes */
void asd_score_exp(float *s, float less, int64_t n);

/* --- scratch --- */

/* Floats of a vector with a value for each distance, -(P-1) .. P-1, and room behind it: rows of
 * scores are read in whole ASD_LANES. */
static inline int64_t asd_attention_distances(int64_t P)
{
    return (2 * P - 1 + 2 * ASD_LANES - 1) / ASD_LANES * ASD_LANES;
}

/* The gate's sums of a head: dwa (K), dwb (K), their biases, dc. */
static inline int64_t asd_attention_gate_sums(int64_t K)
{
    return 2 * K + 3;
}

/* Floats of scratch: t (H, asd_attention_distances), then wa and wb (K) and their biases; behind
 * them, in the backward, the gate's sums and dt of each clip's heads. */
static inline int64_t asd_attention_fwd_work(asd_attention_sizes s)
{
    return s.gated ? s.H * asd_attention_distances(s.P) + 2 * s.K + 2 : 0;
}

static inline int64_t asd_attention_bwd_work(asd_attention_sizes s)
{
    return s.gated ? asd_attention_fwd_work(s) +
                         s.B * s.H * (asd_attention_gate_sums(s.K) + asd_attention_distances(s.P))
                   : 0;
}

/* --- one head of one clip --- */

typedef struct asd_attention_head {
    asd_attention_sizes s;
    const float        *q, *k, *v; /* rows 3 C apart */
    int64_t             keys;      /* that count */
    float               scale;     /* 1 / sqrt(K) */
    const float        *t;         /* t[d]; NULL without a gate */
    const float        *wa, *wb;   /* (K), sums of rows of w, and of bias behind them: */
    float               ba, bb, c;
} asd_attention_head;

asd_attention_head asd_attention_head_of(const asd_call *c, int64_t b, int64_t h);

/* Fills the tables in c->work that all heads read: t, and the folded gate. */
void asd_attention_tables(const asd_call *c);

/* The two sigmoids of query i, and its gate. */
float asd_attention_gate_of(const asd_attention_head *a, int64_t i, float *ga, float *gb);

/* out = left right', the products of m queries' rows and n keys' rows, which lie 3 C apart. */
void asd_attention_dots(const asd_attention_head *a, const float *left, int64_t ld_left, int64_t m,
                        const float *right, int64_t n, float *out, int64_t ld);

#endif
