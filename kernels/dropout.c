/* dropout.c - in training, sets each value to zero with probability p and scales the others by
 * 1 / (1 - p); else copies.
 *
 *   y  = m x / (1 - p)          m = 0 where u < p, else 1
 *   dx = m dy / (1 - p)
 *
 * x, y: any shape
 * The mask is never stored: u is word i of the random cell (seed, ASD_RNG_DROPOUT, step, stream) of
 * base/rng.h, for element i of x, so backward, the CPU and CUDA, and a resumed run all make the
 * same one. `stream` tells one dropout of a network from the next.
 * Used by: transformer encoders.
 */
#include "kernels/cpu.h"
#include "kernels/cpu_math.h"
#include "kernels/dropout.h"
#include "kernels/op.h"

#include "base/par.h"
#include "base/rng.h"

#include <string.h>

enum { CHUNK = 16384, WORDS = 1024 };

static asd_status dropout_infer(asd_node *n)
{
    const asd_dropout_attr *a = n->attr;
    if (!(a->drop_prob >= 0 && a->drop_prob < 1))
        return ASD_FAIL(ASD_E_CONFIG, "dropout: probability %g, want 0 <= p < 1",
                        (double)a->drop_prob);
    if (asd_count(n->in[0].shape) > ASD_DROPOUT_MOST)
        return ASD_FAIL(ASD_E_SHAPE, "dropout: %lld values, want at most 2^34, one cell of numbers",
                        (long long)asd_count(n->in[0].shape));
    n->y = n->in[0];
    return ASD_OK;
}

ASD_SIMD static void mask(const float *restrict x, const uint32_t *restrict word, uint32_t drop,
                          float scale, float *restrict y, int64_t n, int add)
{
    if (add)
        for (int64_t i = 0; i < n; ++i)
            y[i] += asd_choose(0u - (uint32_t)(word[i] < drop), 0, x[i] * scale);
    else
        for (int64_t i = 0; i < n; ++i)
            y[i] = asd_choose(0u - (uint32_t)(word[i] < drop), 0, x[i] * scale);
}

/* Elements o .. o+n-1; o is a multiple of 4, so of whole blocks of random numbers. */
static void apply(const asd_call *c, int64_t o, int64_t n, const float *x, float *y, int add)
{
    const asd_dropout_attr *a = c->attr;
    uint32_t                word[WORDS];
    asd_rng                 rng;
    asd_rng_init(&rng, c->step->seed, ASD_RNG_DROPOUT, (uint64_t)c->step->step, a->stream);
    rng.counter[0] = (uint32_t)(o / 4); /* a block is four words */
    for (int64_t i = 0; i < n; i += WORDS) {
        int64_t count = n - i < WORDS ? n - i : WORDS;
        asd_rng_fill_u32(&rng, count, word);
        mask(x + o + i, word, asd_dropout_below(a->drop_prob), 1 / (1 - a->drop_prob), y + o + i,
             count, add);
    }
}

static void fwd_range(void *ctx, int64_t o, int64_t n)
{
    const asd_call *c = ctx;
    if (c->training)
        apply(c, o, n, c->x[0].x, c->y.x, 0);
    else
        memcpy((float *)c->y.x + o, (const float *)c->x[0].x + o, (size_t)n * sizeof(float));
}

static void bwd_range(void *ctx, int64_t o, int64_t n)
{
    const asd_call *c = ctx;
    apply(c, o, n, c->y.g, c->x[0].g, c->acc[0]);
}

static asd_status dropout_fwd_cpu(const asd_call *c)
{
    asd_par_ranges(asd_count(c->y.shape), CHUNK, fwd_range, (void *)c);
    return ASD_OK;
}

static asd_status dropout_bwd_cpu(const asd_call *c)
{
    /* y = m x / (1 - p)  ->  dx = m dy / (1 - p) */
    ASD_ASSERT(c->training);
    if (c->x[0].g)
        asd_par_ranges(asd_count(c->y.shape), CHUNK, bwd_range, (void *)c);
    return ASD_OK;
}

/* Of the arithmetic that a network's counts include: one product. */
static double dropout_flops(const asd_node *n, int backward)
{
    (void)backward;
    return (double)asd_count(n->y.shape);
}

static const asd_dropout_attr tenth = {.drop_prob = 0.1f, .stream = 5};
static const asd_dropout_attr half  = {.drop_prob = 0.5f, .stream = 0x123456789abcdefu};
static const asd_dropout_attr never = {.drop_prob = 0, .stream = 1};
#define CASE(label, attribute, n, is_inference, is_bench)                                          \
    {                                                                                              \
        .name = label, .n_in = 1, .attr = attribute, .in = {{ASD_F32, {1, {n}}}},                  \
        .inference = is_inference, .bench = is_bench                                               \
    }
static const asd_case dropout_cases[] = {
    CASE("n=1,p=0.5", &half, 1, 0, 0),
    CASE("n=7,p=0.5", &half, 7, 0, 0),
    CASE("n=1031,p=0.1", &tenth, 1031, 0, 0),
    CASE("n=2048,p=0.5", &half, 2048, 0, 0),
    CASE("n=13,p=0", &never, 13, 0, 0),
    CASE("n=67,p=0.5,inference", &half, 67, 1, 0),
    CASE("n=16399,p=0.1", &tenth, 16399, 0, 1),
    {.name  = "R=3968,C=768,p=0.1",
     .n_in  = 1,
     .attr  = &tenth,
     .in    = {{ASD_F32, {2, {3968, 768}}}},
     .bench = 1},
    {.name = NULL},
};

const asd_op asd_op_dropout = {
    .name   = "dropout",
    .min_in = 1,
    .n_in   = 1,
    .infer  = dropout_infer,
    .fwd    = {dropout_fwd_cpu, ASD_CUDA_FN(dropout_fwd_cuda)},
    .bwd    = {dropout_bwd_cpu, ASD_CUDA_FN(dropout_bwd_cuda)},
    .bf16   = ASD_KEEPS_X(0),
    .flops  = dropout_flops,
    .cases  = dropout_cases,
};
