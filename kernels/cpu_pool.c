/* cpu_pool.c - the walk of pool.h on the CPU. */
#include "kernels/pool.h"

#include "base/par.h"

#include <string.h>

asd_status asd_pool_infer(asd_node *n, int64_t rows)
{
    char        sx[64], sn[64];
    asd_shape   x    = n->in[0].shape;
    const char *name = n->op->name;
    if (x.n != 3 || asd_count(x) < 1)
        return ASD_FAIL(ASD_E_SHAPE, "%s: x %s, want (B, P, C) and not empty", name,
                        asd_shape_text(x, sx, sizeof sx));
    if (n->n_in == 2 &&
        (n->in[1].dtype != ASD_I32 || !asd_shape_equal(n->in[1].shape, ASD_SHAPE1(x.d[0]))))
        return ASD_FAIL(ASD_E_SHAPE, "%s: x %s, lengths %s %s, want i32 (%lld)", name,
                        asd_shape_text(x, sx, sizeof sx), asd_dtype_name(n->in[1].dtype),
                        asd_shape_text(n->in[1].shape, sn, sizeof sn), (long long)x.d[0]);
    n->y = (asd_spec){n->in[0].dtype, ASD_SHAPE2(x.d[0], rows * x.d[2])};
    return ASD_OK;
}

typedef struct walk {
    const asd_call *c;
    asd_pool_fn     fn;
    int             backward;
} walk;

static int64_t column_blocks(const asd_call *c)
{
    return (c->x[0].shape.d[2] + ASD_POOL_COLUMNS - 1) / ASD_POOL_COLUMNS;
}

static int64_t length_of(const asd_call *c, int64_t b)
{
    int64_t P = c->x[0].shape.d[1], n = c->n_in == 2 ? ((const int32_t *)c->x[1].x)[b] : P;
    return n < 0 ? 0 : n > P ? P : n;
}

static void walk_chunk(void *ctx, int64_t chunk)
{
    const walk     *w = ctx;
    const asd_call *c = w->c;
    int64_t         P = c->x[0].shape.d[1], C = c->x[0].shape.d[2], blocks = column_blocks(c);
    int64_t         b = chunk / blocks, at = chunk % blocks * ASD_POOL_COLUMNS;
    asd_pool_block  k = {.b       = b,
                         .at      = at,
                         .n       = length_of(c, b),
                         .C       = C,
                         .columns = C - at < ASD_POOL_COLUMNS ? C - at : ASD_POOL_COLUMNS,
                         .x       = (const float *)c->x[0].x + b * P * C + at};
    if (w->backward)
        k.dx = (float *)c->x[0].g + b * P * C + at;
    w->fn(c, &k);
    for (int64_t p = k.n; p < P && w->backward && !c->acc[0]; ++p)
        memset(k.dx + p * C, 0, (size_t)k.columns * sizeof *k.dx);
}

void asd_pool_forward(const asd_call *c, asd_pool_fn fn)
{
    walk w = {c, fn, 0};
    asd_par_for(c->x[0].shape.d[0] * column_blocks(c), walk_chunk, &w);
}

void asd_pool_backward(const asd_call *c, asd_pool_fn fn)
{
    walk w = {c, fn, 1};
    if (c->x[0].g)
        asd_par_for(c->x[0].shape.d[0] * column_blocks(c), walk_chunk, &w);
}
