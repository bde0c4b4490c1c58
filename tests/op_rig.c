/* op_rig.c - see op_rig.h. */
#include "op_rig.h"

#include "base/arena.h"
#include "base/rng.h"
#include "kernels/cpu_bf16.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Canaries are NaNs in fp32 and bf16, and negative as an index, so that a read of one that counts
 * for anything shows too. Bytes of even places differ from buffer to buffer. */
enum { CANARY_BYTES = 256, CANARY_FIRST = 0xC0, CANARY_ODD = 0xFF, CANARIES = 63 };

/* --- numbers --- */

double op_rig_get(asd_dtype t, const void *x, int64_t i)
{
    uint32_t u;
    float    f;
    switch (t) {
    case ASD_I16: return ((const int16_t *)x)[i];
    case ASD_I32: return ((const int32_t *)x)[i];
    case ASD_BF16:
        u = (uint32_t)((const uint16_t *)x)[i] << 16;
        memcpy(&f, &u, sizeof f);
        return (double)f;
    default: return (double)((const float *)x)[i];
    }
}

void op_rig_put(asd_dtype t, void *x, int64_t i, double v)
{
    float    f = (float)v;
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    switch (t) {
    case ASD_I16: ((int16_t *)x)[i] = (int16_t)v; break;
    case ASD_I32: ((int32_t *)x)[i] = (int32_t)v; break;
    case ASD_BF16: ((uint16_t *)x)[i] = (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16); break;
    default: ((float *)x)[i] = f;
    }
}

double op_rig_ulp(asd_dtype t)
{
    return t == ASD_BF16 ? 0x1p-9 : 0x1p-24;
}

const char *op_rig_label(asd_backend backend, int bf16)
{
    return backend == ASD_CPU ? (bf16 ? "bf16/" : "") : bf16 ? "cuda-bf16/" : "cuda/";
}

/* --- memory --- */

static size_t block_bytes(size_t bytes)
{
    return 2 * CANARY_BYTES + asd_align_up(bytes);
}

static unsigned char canary(const rig_buffer *b, size_t i)
{
    return i % 2 ? CANARY_ODD : b->canary;
}

static void *buffer_new(op_rig *r, rig_buffer *b, size_t bytes)
{
    b->bytes  = bytes;
    b->block  = asd_calloc_aligned(block_bytes(bytes), 1);
    b->canary = (unsigned char)(CANARY_FIRST + r->n_buffers++ % CANARIES);
    for (size_t i = 0; i < block_bytes(bytes); ++i)
        if (i < CANARY_BYTES || i >= CANARY_BYTES + bytes)
            b->block[i] = canary(b, i);
    if (r->backend == ASD_CPU)
        return b->block + CANARY_BYTES;
    assert_ok(asd_gpu_alloc(r->gpu, block_bytes(bytes), "a test's buffer", "", &b->device));
    return (char *)b->device + CANARY_BYTES;
}

void *op_rig_host(const rig_buffer *b)
{
    return b->block + CANARY_BYTES;
}

static void *place(const op_rig *r, const rig_buffer *b)
{
    return (r->backend == ASD_CPU ? (char *)b->block : (char *)b->device) + CANARY_BYTES;
}

static void buffer_free(op_rig *r, rig_buffer *b)
{
    free(b->block);
    asd_gpu_free(r->gpu, b->device);
}

static void push(const op_rig *r, const rig_buffer *b)
{
    if (b->device)
        assert_ok(asd_stream_upload(r->stream, b->device, b->block, block_bytes(b->bytes)));
}

static void pull(const op_rig *r, const rig_buffer *b)
{
    if (b->device)
        assert_ok(asd_stream_download(r->stream, b->block, b->device, block_bytes(b->bytes)));
}

static void buffer_check(const rig_buffer *b, const char *what)
{
    if (!b->block)
        return;
    for (size_t i = 0; i < CANARY_BYTES; ++i)
        if (b->block[i] != canary(b, i))
            fail_msg("%s: written %zu bytes before its start", what, CANARY_BYTES - i);
    for (size_t i = b->bytes; i < asd_align_up(b->bytes) + CANARY_BYTES; ++i)
        if (b->block[CANARY_BYTES + i] != canary(b, CANARY_BYTES + i))
            fail_msg("%s: written %zu bytes past its end", what, i - b->bytes);
}

static void each(op_rig *r, void (*f)(const op_rig *, const rig_buffer *))
{
    for (int k = 0; k < r->c->n_in; ++k) {
        f(r, &r->x[k]);
        f(r, &r->g[k]);
    }
    f(r, &r->y);
    f(r, &r->dy);
    f(r, &r->saved);
    f(r, &r->work);
    f(r, &r->bwd_work);
    f(r, &r->wide);
    f(r, &r->step);
}

static size_t bytes_of(asd_spec s)
{
    return (size_t)asd_count(s.shape) * asd_dtype_size(s.dtype);
}

static void fill_nan(const rig_buffer *b)
{
    memset(op_rig_host(b), 0xFF, b->bytes); /* all ones is a NaN in every float type */
}

/* --- making one --- */

static double draw(asd_rng *r, const asd_case *c, asd_fill fill, asd_dtype dtype, int64_t i)
{
    switch (fill) {
    case ASD_FILL_NORMAL: return 0.3 + asd_rng_normal(r);
    case ASD_FILL_POSITIVE: return asd_rng_range(r, 0.5, 1.5);
    case ASD_FILL_INDEX: return (double)asd_rng_below(r, (uint32_t)c->index_limit);
    case ASD_FILL_PCM: {
        double x =
            0.3 * sin(0.05 * (double)i) + 0.1 * sin(0.7 * (double)i) + 0.02 * asd_rng_normal(r);
        return dtype == ASD_I16 ? nearbyint(32767 * x) : x;
    }
    }
    return 0;
}

static void fill_inputs(op_rig *r)
{
    asd_rng rng;
    asd_rng_init(&rng, 1, ASD_RNG_TEST, asd_rng_hash(r->op->name), asd_rng_hash(r->c->name));
    for (int k = 0; k < r->c->n_in; ++k) {
        asd_spec s = r->node.in[k];
        int64_t  n = asd_count(s.shape);
        r->call.x[k] =
            (asd_tensor){buffer_new(r, &r->x[k], bytes_of(s)), NULL, s.dtype, s.dtype, s.shape};
        r->ref[k]   = malloc((size_t)n * sizeof(double));
        r->fresh[k] = malloc(bytes_of(s));
        for (int64_t i = 0; i < n; ++i) {
            op_rig_put(s.dtype, r->fresh[k], i, draw(&rng, r->c, r->c->fill[k], s.dtype, i));
            r->ref[k][i] = op_rig_get(s.dtype, r->fresh[k], i);
        }
    }
}

void op_rig_new(op_rig *r, const asd_op *op, const asd_case *c, asd_backend backend, int bf16)
{
    *r           = (op_rig){.op = op, .c = c, .backend = backend, .bf16 = bf16};
    r->node.op   = op;
    r->node.attr = c->attr;
    r->node.n_in = c->n_in;
    memcpy(r->node.in, c->in, sizeof c->in);
    for (int k = 0; k < c->n_in; ++k)
        if (bf16 && op->bf16 >> k & 1 && c->in[k].dtype == ASD_F32)
            r->node.in[k].dtype = ASD_BF16;
    if (backend == ASD_CUDA) {
        assert_ok(asd_gpu_open(0, &r->gpu));
        assert_ok(asd_stream_new(r->gpu, &r->stream));
    }
    assert_ok(op->infer(&r->node));
    r->call = (asd_call){
        .op = op, .attr = c->attr, .n_in = c->n_in, .training = !c->inference, .stream = r->stream};
    fill_inputs(r);
    asd_spec y   = r->node.y;
    r->call.y    = (asd_tensor){buffer_new(r, &r->y, bytes_of(y)), NULL, y.dtype, y.dtype, y.shape};
    r->call.step = buffer_new(r, &r->step, sizeof(asd_step));
    memcpy(op_rig_host(&r->step), &r->now, sizeof r->now);
    r->call.saved = buffer_new(r, &r->saved, r->node.saved_bytes);
    r->call.work  = buffer_new(r, &r->work, r->node.fwd_work_bytes);
    buffer_new(r, &r->bwd_work, r->node.bwd_work_bytes);
    buffer_new(r, &r->wide, backend == ASD_CPU ? asd_bf16_room(&r->node) : 0);
    r->y_ref = malloc((size_t)asd_count(y.shape) * sizeof(double));
    if (op->prepare[backend])
        assert_ok(op->prepare[backend](&r->call));
}

void op_rig_free(op_rig *r)
{
    if (r->op->release[r->backend])
        r->op->release[r->backend](&r->call);
    for (int k = 0; k < r->c->n_in; ++k) {
        buffer_free(r, &r->x[k]);
        buffer_free(r, &r->g[k]);
        free(r->fresh[k]);
        free(r->ref[k]);
    }
    buffer_free(r, &r->y);
    buffer_free(r, &r->dy);
    buffer_free(r, &r->saved);
    buffer_free(r, &r->work);
    buffer_free(r, &r->bwd_work);
    buffer_free(r, &r->wide);
    buffer_free(r, &r->step);
    free(r->y_ref);
    asd_stream_free(r->stream);
    asd_gpu_close(r->gpu);
}

int op_rig_has_grad(const op_rig *r, int k)
{
    asd_dtype t = r->node.in[k].dtype;
    return (t == ASD_F32 || t == ASD_BF16) && !(r->op->no_grad >> k & 1);
}

/* A weight collects its gradient in fp32; what has the shape of an activation is one. */
static asd_dtype gradient_dtype(const op_rig *r, int k)
{
    int activation = asd_shape_equal(r->node.in[k].shape, r->node.in[0].shape) ||
                     asd_shape_equal(r->node.in[k].shape, r->node.y.shape);
    return activation ? r->node.in[k].dtype : ASD_F32;
}

void op_rig_gradients(op_rig *r, double *dy)
{
    asd_rng   rng;
    asd_dtype t  = r->node.y.dtype;
    int64_t   ny = asd_count(r->node.y.shape);
    r->call.y.g  = buffer_new(r, &r->dy, bytes_of(r->node.y));
    asd_rng_init(&rng, 3, ASD_RNG_TEST, 0, 0);
    for (int64_t j = 0; j < ny; ++j) {
        op_rig_put(t, op_rig_host(&r->dy), j, asd_rng_normal(&rng));
        dy[j] = op_rig_get(t, op_rig_host(&r->dy), j);
    }
    for (int k = 0; k < r->c->n_in; ++k) {
        if (!op_rig_has_grad(r, k))
            continue;
        r->call.x[k].g_dtype = gradient_dtype(r, k);
        buffer_new(r, &r->g[k],
                   (size_t)asd_count(r->node.in[k].shape) * asd_dtype_size(r->call.x[k].g_dtype));
    }
}

/* --- running --- */

static void finish(op_rig *r)
{
    if (r->stream) {
        each(r, pull);
        assert_ok(asd_stream_wait(r->stream));
    }
    for (int k = 0; k < r->c->n_in; ++k) {
        buffer_check(&r->x[k], "an input");
        buffer_check(&r->g[k], "an input's gradient");
        if (!(r->op->updates >> k & 1) &&
            memcmp(op_rig_host(&r->x[k]), r->fresh[k], bytes_of(r->node.in[k])))
            fail_msg("input %d was written", k);
    }
    buffer_check(&r->y, "y");
    buffer_check(&r->dy, "dy");
    buffer_check(&r->saved, "saved");
    buffer_check(&r->work, "scratch");
    buffer_check(&r->bwd_work, "backward scratch");
    buffer_check(&r->wide, "scratch of bf16");
    buffer_check(&r->step, "step");
}

static void before_fwd(op_rig *r)
{
    for (int k = 0; k < r->c->n_in; ++k)
        memcpy(op_rig_host(&r->x[k]), r->fresh[k], bytes_of(r->node.in[k]));
    fill_nan(&r->y);
    fill_nan(&r->saved);
    fill_nan(&r->work);
    fill_nan(&r->wide);
    each(r, push);
}

void op_rig_fwd(op_rig *r)
{
    before_fwd(r);
    if (r->backend == ASD_CPU && asd_bf16_in(&r->node))
        assert_ok(asd_bf16_fwd(&r->call, place(r, &r->wide)));
    else
        assert_ok(r->op->fwd[r->backend](&r->call));
    finish(r);
}

/* The call as backward gets it: what `keeps` does not name is not there. */
static asd_call backward_call(op_rig *r, const unsigned char *given, const unsigned char *acc)
{
    asd_call c = r->call;
    for (int k = 0; k < r->c->n_in; ++k) {
        c.x[k].g = given[k] ? place(r, &r->g[k]) : NULL;
        c.acc[k] = acc[k];
        if (!(r->op->keeps >> k & 1))
            c.x[k].x = NULL; /* may have been reused: a read would crash */
    }
    c.work = place(r, &r->bwd_work);
    return c;
}

void op_rig_bwd(op_rig *r, const unsigned char *given, const unsigned char *acc)
{
    asd_call c = backward_call(r, given, acc);
    if (!(r->op->keeps & ASD_KEEPS_Y))
        fill_nan(&r->y);
    fill_nan(&r->bwd_work);
    each(r, push);
    assert_ok(r->op->bwd[r->backend](&c));
    finish(r);
}

void op_rig_replay(op_rig *r, const unsigned char *given, const unsigned char *acc)
{
    asd_call   c     = given ? backward_call(r, given, acc) : r->call;
    asd_graph *graph = NULL;
    fill_nan(&r->bwd_work);
    before_fwd(r);
    assert_ok(asd_stream_wait(r->stream));
    assert_ok(asd_capture_begin(r->stream));
    asd_status st = r->op->fwd[ASD_CUDA](&r->call);
    if (!st && given)
        st = r->op->bwd[ASD_CUDA](&c);
    asd_status end = asd_capture_end(r->stream, &graph);
    assert_ok(st);
    assert_ok(end);
    for (int i = 0; i < 2; ++i) {
        before_fwd(r);
        assert_ok(asd_graph_launch(graph, r->stream));
        finish(r);
    }
    asd_graph_free(graph);
}
