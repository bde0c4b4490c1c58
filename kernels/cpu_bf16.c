/* cpu_bf16.c - see cpu_bf16.h. */
#include "kernels/cpu_bf16.h"

#include "kernels/cpu.h"

#include "base/arena.h"
#include "base/par.h"

enum { CHUNK = 16384 };

/* --- numbers --- */

ASD_SIMD void asd_bf16_widen(const uint16_t *restrict x, float *restrict y, int64_t n)
{
    for (int64_t i = 0; i < n; ++i)
        y[i] = asd_bf16_value(x[i]);
}

ASD_SIMD void asd_bf16_narrow(const float *restrict x, uint16_t *restrict y, int64_t n)
{
    for (int64_t i = 0; i < n; ++i)
        y[i] = asd_bf16_of(x[i]);
}

typedef struct pair {
    uint16_t *narrow;
    float    *wide;
} pair;

static void widen_range(void *ctx, int64_t o, int64_t n)
{
    const pair *p = ctx;
    asd_bf16_widen(p->narrow + o, p->wide + o, n);
}

static void narrow_range(void *ctx, int64_t o, int64_t n)
{
    const pair *p = ctx;
    asd_bf16_narrow(p->wide + o, p->narrow + o, n);
}

/* --- calls --- */

int asd_bf16_in(const asd_node *n)
{
    for (int k = 0; k < n->n_in; ++k)
        if (n->in[k].dtype == ASD_BF16)
            return 1;
    return n->y.dtype == ASD_BF16;
}

static size_t wide_bytes(asd_dtype dtype, asd_shape shape)
{
    return dtype == ASD_BF16 ? asd_align_up((size_t)asd_count(shape) * sizeof(float)) : 0;
}

size_t asd_bf16_room(const asd_node *n)
{
    size_t bytes = wide_bytes(n->y.dtype, n->y.shape);
    if (!asd_bf16_in(n))
        return 0;
    if (n->op->cpu_bf16)
        return n->op->cpu_bf16_work ? asd_align_up(n->op->cpu_bf16_work(n)) : 0;
    for (int k = 0; k < n->n_in; ++k)
        bytes += wide_bytes(n->in[k].dtype, n->in[k].shape);
    return bytes;
}

/* t becomes fp32, in the next part of the room. */
static pair give_room(asd_tensor *t, char **room)
{
    pair p = {t->x, (float *)*room};
    *room += wide_bytes(t->dtype, t->shape);
    t->x     = p.wide;
    t->dtype = ASD_F32;
    return p;
}

asd_status asd_bf16_fwd(const asd_call *c, void *room)
{
    asd_call wide = *c;
    char    *free = room;
    pair     y;
    if (c->op->cpu_bf16) {
        wide.work = c->op->cpu_bf16_work ? room : c->work; /* NULL where it needs none */
        return c->op->cpu_bf16(&wide);
    }
    for (int k = 0; k < c->n_in; ++k)
        if (c->x[k].dtype == ASD_BF16) {
            pair x = give_room(&wide.x[k], &free);
            asd_par_ranges(asd_count(c->x[k].shape), CHUNK, widen_range, &x);
        }
    if (c->y.dtype != ASD_BF16)
        return c->op->fwd[ASD_CPU](&wide);
    y = give_room(&wide.y, &free);
    ASD_TRY(c->op->fwd[ASD_CPU](&wide));
    asd_par_ranges(asd_count(c->y.shape), CHUNK, narrow_range, &y);
    return ASD_OK;
}
