/* pool.h - ops that make one row of a clip's tokens: their shapes, and the walk over clips and
 * columns that they share.
 *
 * x: (B, P, C), lengths: (B) int32, optional -> y: (B, rows C). A length outside 0 .. P counts as
 * the nearer end; without lengths all P tokens count. A clip of length 0 gives 0, and no token
 * behind a clip's length gets a gradient.
 *
 * A chunk is one clip and 64 of its columns, whatever B is, so a clip has the same bits alone and
 * in a batch. pool.cuh is the same for CUDA.
 */
#ifndef ASD_KERNELS_POOL_H
#define ASD_KERNELS_POOL_H

#include "kernels/op.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { ASD_POOL_COLUMNS = 64, ASD_POOL_TOKENS = 16 }; /* columns of a chunk, tokens of one sum */

/* Checks x and lengths; y is (B, rows C) of x's dtype. */
asd_status asd_pool_infer(asd_node *n, int64_t rows);

typedef struct asd_pool_block {
    int64_t b, at;         /* clip, first column */
    int64_t n, C, columns; /* tokens that count, elements between tokens, columns of this block */
    const float *x;        /* (n, columns), rows C apart */
    float       *dx;       /* the same place in x's gradient; NULL forward */
} asd_pool_block;

typedef void (*asd_pool_fn)(const asd_call *c, const asd_pool_block *k);

/* fn for every block, in parallel. Backward does nothing where no gradient is asked for; fn writes
 * or adds the n tokens that count, and the others become 0 if the gradient is stored. */
void asd_pool_forward(const asd_call *c, asd_pool_fn fn);
void asd_pool_backward(const asd_call *c, asd_pool_fn fn);

#ifndef __cplusplus
/* Cases of such an op: what stands behind the shape in the name, and the attributes. */
#define ASD_POOL_CASE(B, P, C, behind, attributes, is_bench)                                       \
    {                                                                                              \
        .name = "B=" #B ",P=" #P ",C=" #C behind, .n_in = 1, .bench = is_bench,                    \
        .attr = attributes, .in = {{ASD_F32, {3, {B, P, C}}}},                                     \
    }
#define ASD_POOL_LENGTHS(B, P, C, behind, attributes, limit)                                       \
    {                                                                                              \
        .name = "B=" #B ",P=" #P ",C=" #C behind ",lengths", .n_in = 2, .index_limit = limit,      \
        .attr = attributes, .in = {{ASD_F32, {3, {B, P, C}}}, {ASD_I32, {1, {B}}}},                \
        .fill = {ASD_FILL_NORMAL, ASD_FILL_INDEX},                                                 \
    }
/* Those of an op whose attributes are no choice. */
#define ASD_POOL_CASES(attributes)                                                                 \
    {                                                                                              \
        ASD_POOL_CASE(1, 1, 1, "", attributes, 0), ASD_POOL_CASE(3, 5, 7, "", attributes, 0),      \
            ASD_POOL_CASE(2, 67, 8, "", attributes, 0),                                            \
            ASD_POOL_CASE(2, 3, 72, "", attributes, 0),                                            \
            ASD_POOL_CASE(1, 33, 131, "", attributes, 0),                                          \
            ASD_POOL_LENGTHS(7, 5, 3, "", attributes, 8),                                          \
            ASD_POOL_LENGTHS(9, 37, 8, "", attributes, 3),                                         \
            ASD_POOL_LENGTHS(5, 41, 8, "", attributes, 50),                                        \
            ASD_POOL_CASE(34, 496, 768, "", attributes, 1), {.name = NULL},                        \
    }

/* sum[i] = the sum over a block's tokens of term(x[i], a[i]): sixteen at a time and then the sums
 * of sixteen, because 496 in one chain would double the error. a: NULL for zeros, not sum. */
typedef float (*asd_pool_term)(float x, float a);

__attribute__((always_inline)) static inline void
asd_pool_sum(const asd_pool_block *k, const float *a, asd_pool_term term, float *sum)
{
    const float *x = k->x;
    int64_t      n = k->n, C = k->C, columns = k->columns;
    for (int64_t i = 0; i < columns; ++i)
        sum[i] = 0;
    for (int64_t from = 0; from < n; from += ASD_POOL_TOKENS) {
        float part[ASD_POOL_COLUMNS] = {0};
        for (int64_t p = from; p < n && p < from + ASD_POOL_TOKENS; ++p)
            for (int64_t i = 0; i < columns; ++i)
                part[i] += term(x[p * C + i], a ? a[i] : 0);
        for (int64_t i = 0; i < columns; ++i)
            sum[i] += part[i];
    }
}
#endif

#ifdef __cplusplus
}
#endif
#endif
