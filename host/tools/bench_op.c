/* bench_op.c - one case of an op as something to check and to time: its memory, inputs and counts.
 *
 * Random normal numbers, not constants: on a GPU those draw less power and run faster.
 */
#include "tools/bench_op.h"

#include "base/par.h"
#include "base/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- values --- */

/* Round to nearest, ties to even. */
static uint16_t bf16_of(double v)
{
    float    f = (float)v;
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return (uint16_t)((u + 0x7FFFu + (u >> 16 & 1)) >> 16);
}

double bench_load(asd_dtype t, const void *x, int64_t i)
{
    if (t == ASD_F32)
        return (double)((const float *)x)[i];
    if (t == ASD_I16)
        return ((const int16_t *)x)[i];
    if (t == ASD_I32)
        return ((const int32_t *)x)[i];
    uint32_t u = (uint32_t)((const uint16_t *)x)[i] << 16;
    float    f;
    memcpy(&f, &u, sizeof f);
    return (double)f;
}

/* Returns the value that was stored. */
double bench_store(asd_dtype t, void *x, int64_t i, double v)
{
    if (t == ASD_F32)
        ((float *)x)[i] = (float)v;
    else if (t == ASD_I16)
        ((int16_t *)x)[i] = (int16_t)v;
    else if (t == ASD_I32)
        ((int32_t *)x)[i] = (int32_t)v;
    else
        ((uint16_t *)x)[i] = bf16_of(v);
    return bench_load(t, x, i);
}

static double draw(asd_rng *r, const asd_case *c, int k, asd_dtype t, int64_t i)
{
    switch (c->fill[k]) {
    case ASD_FILL_NORMAL: return 0.3 + asd_rng_normal(r);
    case ASD_FILL_POSITIVE: return asd_rng_range(r, 0.5, 1.5);
    case ASD_FILL_INDEX: return (double)asd_rng_below(r, (uint32_t)c->index_limit);
    case ASD_FILL_PCM: break;
    }
    double v = 0.3 * sin(0.05 * (double)i) + 0.1 * sin(0.7 * (double)i) + 0.02 * asd_rng_normal(r);
    return t == ASD_I16 ? nearbyint(32767 * v) : v;
}

/* Numbers are drawn in blocks, each a cell of its own: the same for any number of threads. */
enum { BLOCK = 1 << 16 };

static int64_t blocks(int64_t n)
{
    return (n + BLOCK - 1) / BLOCK;
}

static int64_t block_end(int64_t n, int64_t block)
{
    return (block + 1) * BLOCK < n ? (block + 1) * BLOCK : n;
}

typedef struct normals_job {
    uint64_t seed, a, b;
    int64_t  n;
    double  *out;
} normals_job;

static void normals_block(void *ctx, int64_t block)
{
    const normals_job *j = ctx;
    asd_rng            rng;
    asd_rng_init(&rng, j->seed, ASD_RNG_TEST, j->a, j->b << 32 | (uint64_t)block);
    for (int64_t i = block * BLOCK; i < block_end(j->n, block); ++i)
        j->out[i] = asd_rng_normal(&rng);
}

void bench_normals(uint64_t seed, uint64_t a, uint64_t b, int64_t n, double *out)
{
    normals_job j = {seed, a, b, n, out};
    asd_par_for(blocks(n), normals_block, &j);
}

typedef struct input_job {
    bench_op_rig *r;
    int           k;
} input_job;

static void input_block(void *ctx, int64_t block)
{
    const input_job *j = ctx;
    bench_op_rig    *r = j->r;
    asd_dtype        t = r->node.in[j->k].dtype;
    asd_rng          rng;
    asd_rng_init(&rng, 1, ASD_RNG_TEST, asd_rng_hash(r->op->name),
                 (uint64_t)j->k << 32 | (uint64_t)block);
    for (int64_t i = block * BLOCK; i < block_end(asd_count(r->node.in[j->k].shape), block); ++i)
        r->x[j->k][i] = bench_store(t, r->fresh[j->k], i, draw(&rng, r->c, j->k, t, i));
}

/* --- calls --- */

static asd_status forward(void *ctx)
{
    bench_op_rig *r = ctx;
    return r->op->fwd[r->d->kind](&r->call);
}

static asd_status backward(void *ctx)
{
    bench_op_rig *r = ctx;
    asd_call      c = r->call;
    c.work          = r->bwd_work;
    return r->op->bwd[r->d->kind](&c);
}

/* Device memory of all ones is a NaN in every float type. */
static asd_status fill_nan(bench_op_rig *r, void *device, size_t bytes)
{
    void *ones = malloc(bytes ? bytes : 1);
    if (!ones)
        return ASD_FAIL(ASD_E_OOM, "%s: no memory for a check", r->op->name);
    memset(ones, 0xFF, bytes);
    asd_status st = r->d->backend->upload(r->d, device, ones, bytes);
    free(ones);
    return st;
}

/* A forward on inputs as they were made, into memory that holds nothing useful. */
asd_status bench_fresh_forward(bench_op_rig *r)
{
    for (int k = 0; k < r->c->n_in; ++k)
        ASD_TRY(r->d->backend->upload(r->d, r->call.x[k].x, r->fresh[k],
                                      bench_bytes(r->node.in[k].shape, r->node.in[k].dtype)));
    ASD_TRY(fill_nan(r, r->call.y.x, bench_bytes(r->node.y.shape, r->node.y.dtype)));
    ASD_TRY(fill_nan(r, r->call.saved, r->node.saved_bytes));
    ASD_TRY(fill_nan(r, r->call.work, r->node.fwd_work_bytes));
    ASD_TRY(forward(r));
    return r->d->backend->wait(r->d);
}

asd_status bench_fresh_backward(bench_op_rig *r)
{
    ASD_TRY(bench_fresh_forward(r));
    for (int k = 0; k < r->c->n_in; ++k)
        if (r->call.x[k].g)
            ASD_TRY(
                fill_nan(r, r->call.x[k].g, bench_bytes(r->call.x[k].shape, r->call.x[k].g_dtype)));
    ASD_TRY(fill_nan(r, r->bwd_work, r->node.bwd_work_bytes));
    ASD_TRY(backward(r));
    return r->d->backend->wait(r->d);
}

/* --- counts --- */

/* Forward: inputs read, y and saved written. Backward: kept inputs, kept y, saved and dy read,
 * gradients written. */
static double count_bytes(const bench_op_rig *r)
{
    int    b     = r->backward;
    double y     = (double)bench_bytes(r->node.y.shape, r->node.y.dtype);
    double bytes = (double)r->node.saved_bytes + (!b || r->op->keeps & ASD_KEEPS_Y ? y : 0);
    if (r->op->bytes)
        return r->op->bytes(&r->node, b);
    bytes += b ? (double)bench_bytes(r->node.y.shape, r->call.y.g_dtype) : 0;
    for (int k = 0; k < r->c->n_in; ++k) {
        if (!b || r->op->keeps & ASD_KEEPS_X(k))
            bytes += (double)bench_bytes(r->node.in[k].shape, r->node.in[k].dtype);
        if (b && r->call.x[k].g)
            bytes += (double)bench_bytes(r->node.in[k].shape, r->call.x[k].g_dtype);
    }
    return bytes;
}

static void describe(const bench_op_rig *r, bench_line *l)
{
    char   one[80];
    size_t used = 0;
    for (int k = 0; k <= r->c->n_in && used < sizeof l->shape; ++k)
        used +=
            (size_t)snprintf(l->shape + used, sizeof l->shape - used, "%s%s",
                             k == r->c->n_in ? " -> "
                             : k             ? " "
                                             : "",
                             asd_shape_text(k == r->c->n_in ? r->node.y.shape : r->node.in[k].shape,
                                            one, sizeof one));
    l->op        = r->op->name;
    l->case_name = r->c->name;
    l->pass      = r->backward ? BENCH_BWD : BENCH_FWD;
    l->dtype = r->node.in[0].dtype == ASD_BF16 || r->node.y.dtype == ASD_BF16 ? ASD_BF16 : ASD_F32;
    l->flops = r->op->flops ? r->op->flops(&r->node, r->backward) : 0;
    l->bytes = count_bytes(r);
}

/* --- opening --- */

static void op_close(void *ctx)
{
    bench_op_rig *r = ctx;
    bench_device *d = r->d;
    if (r->call.op && r->op->release[d->kind])
        r->op->release[d->kind](&r->call);
    for (int k = 0; k < ASD_MAX_IN; ++k) {
        d->backend->release(d, r->call.x[k].x);
        d->backend->release(d, r->call.x[k].g);
        free(r->fresh[k]);
        free(r->x[k]);
    }
    d->backend->release(d, r->call.y.x);
    d->backend->release(d, r->call.y.g);
    d->backend->release(d, r->call.saved);
    d->backend->release(d, r->call.work);
    d->backend->release(d, r->bwd_work);
    d->backend->release(d, (void *)r->call.step);
    free(r->dy);
    free(r);
}

/* Gradients of parameters are fp32 whatever they are; an input is a parameter when it has not the
 * shape of an activation, input 0 or the output. */
static asd_dtype gradient_dtype(const bench_op_rig *r, int k)
{
    int activation = k == 0 || asd_shape_equal(r->node.in[k].shape, r->node.in[0].shape) ||
                     asd_shape_equal(r->node.in[k].shape, r->node.y.shape);
    return activation ? r->node.in[k].dtype : ASD_F32;
}

static asd_status make_input(bench_op_rig *r, int k)
{
    asd_shape s = r->node.in[k].shape;
    asd_dtype t = r->node.in[k].dtype;
    int64_t   n = asd_count(s);
    void     *x, *g = NULL;
    ASD_TRY(r->d->backend->alloc(r->d, bench_bytes(s, t), r->op->name, &x));
    r->call.x[k] = (asd_tensor){x, NULL, t, gradient_dtype(r, k), s};
    if (r->backward && !(r->op->no_grad >> k & 1) && (t == ASD_F32 || t == ASD_BF16))
        ASD_TRY(r->d->backend->alloc(r->d, bench_bytes(s, r->call.x[k].g_dtype), r->op->name, &g));
    r->call.x[k].g = g;
    r->fresh[k]    = malloc(bench_bytes(s, t) + 1);
    r->x[k]        = malloc((size_t)n * sizeof(double) + 1);
    if (!r->fresh[k] || !r->x[k])
        return ASD_FAIL(ASD_E_OOM, "%s: no memory for its inputs", r->op->name);
    input_job j = {r, k};
    asd_par_for(blocks(n), input_block, &j);
    return r->d->backend->upload(r->d, x, r->fresh[k], bench_bytes(s, t));
}

static asd_status make_output(bench_op_rig *r)
{
    asd_shape s = r->node.y.shape;
    asd_dtype t = r->node.y.dtype;
    int64_t   n = asd_count(s);
    r->call.y   = (asd_tensor){NULL, NULL, t, t, s};
    ASD_TRY(r->d->backend->alloc(r->d, bench_bytes(s, t), r->op->name, &r->call.y.x));
    if (!r->backward)
        return ASD_OK;
    ASD_TRY(r->d->backend->alloc(r->d, bench_bytes(s, t), r->op->name, &r->call.y.g));
    void *dy = malloc(bench_bytes(s, t) + 1);
    r->dy    = malloc((size_t)n * sizeof *r->dy + 1);
    if (!dy || !r->dy) {
        free(dy);
        return ASD_FAIL(ASD_E_OOM, "%s: no memory for its output's gradient", r->op->name);
    }
    bench_normals(3, 0, 0, n, r->dy);
    for (int64_t i = 0; i < n; ++i)
        r->dy[i] = bench_store(t, dy, i, r->dy[i]);
    asd_status st = r->d->backend->upload(r->d, r->call.y.g, dy, bench_bytes(s, t));
    free(dy);
    return st;
}

static asd_status make_rest(bench_op_rig *r)
{
    const bench_backend *b    = r->d->backend;
    const char          *name = r->op->name;
    const asd_step       step = {.step = 0}; /* what the references take, see tests/op_rig.c */
    void                *on_device;
    ASD_TRY(b->alloc(r->d, sizeof step, name, &on_device));
    r->call.step = on_device;
    ASD_TRY(b->upload(r->d, on_device, &step, sizeof step));
    ASD_TRY(b->alloc(r->d, r->node.saved_bytes, name, &r->call.saved));
    ASD_TRY(b->alloc(r->d, r->node.fwd_work_bytes, name, &r->call.work));
    ASD_TRY(b->alloc(r->d, r->node.bwd_work_bytes, name, &r->bwd_work));
    r->call.stream = r->d->stream;
    r->call.op     = r->op;
    if (r->op->prepare[r->d->kind])
        ASD_TRY(r->op->prepare[r->d->kind](&r->call));
    return r->backward ? bench_fresh_forward(r) : ASD_OK; /* the backward reads what it saved */
}

asd_status bench_op_open(bench_subject *s, bench_device *d, const asd_op *op, const asd_case *c,
                         asd_dtype precision, bench_pass pass)
{
    bench_op_rig *r  = calloc(1, sizeof *r);
    asd_status    st = ASD_OK;
    memset(s, 0, sizeof *s);
    if (!r)
        return ASD_FAIL(ASD_E_OOM, "%s: no memory", op->name);
    *r               = (bench_op_rig){.d = d, .op = op, .c = c, .backward = pass == BENCH_BWD};
    r->node.op       = op;
    r->node.attr     = c->attr;
    r->node.n_in     = c->n_in;
    r->call.attr     = c->attr;
    r->call.n_in     = c->n_in;
    r->call.training = !c->inference;
    for (int k = 0; k < c->n_in; ++k) {
        r->node.in[k] = c->in[k];
        if (precision == ASD_BF16 && c->in[k].dtype == ASD_F32 && op->bf16 >> k & 1)
            r->node.in[k].dtype = ASD_BF16;
    }
    ASD_GO(done, st, op->infer(&r->node));
    for (int k = 0; k < c->n_in; ++k)
        ASD_GO(done, st, make_input(r, k));
    ASD_GO(done, st, make_output(r));
    ASD_GO(done, st, make_rest(r));
    s->call  = r->backward ? backward : forward;
    s->ctx   = r;
    s->check = bench_op_check;
    s->close = op_close;
    s->node  = &r->node;
    s->ready = &r->call;
    describe(r, &s->line);
    return ASD_OK;
done:
    op_close(r);
    return st;
}
