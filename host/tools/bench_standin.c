/* bench_standin.c - which library does the same work as a subject; on a GPU the products of linear
 * by cuBLASLt. What cuDNN has is in bench/cudnn.cu, which only a build with CUDA and cudnn.h has.
 */
#include "tools/bench_standin.h"

#include "base/log.h"
#include "cuda/gemm.h"
#include "tools/bench_op.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- results of its own on a device --- */

asd_status bench_own_alloc(bench_own *o, bench_device *d, const bench_subject *of)
{
    const asd_call *c = of->ready;
    *o                = (bench_own){.d = d, .of = of};
    if (of->line.pass == BENCH_FWD)
        return d->backend->alloc(d, bench_bytes(c->y.shape, c->y.dtype), "a stand-in", &o->y);
    for (int k = 0; k < c->n_in; ++k)
        if (c->x[k].g)
            ASD_TRY(d->backend->alloc(d, bench_bytes(c->x[k].shape, c->x[k].g_dtype), "a stand-in",
                                      &o->g[k]));
    return ASD_OK;
}

void bench_own_free(bench_own *o)
{
    if (!o->d)
        return;
    o->d->backend->release(o->d, o->y);
    for (int k = 0; k < ASD_MAX_IN; ++k)
        o->d->backend->release(o->d, o->g[k]);
    memset(o, 0, sizeof *o);
}

static asd_status difference_of(bench_device *d, const void *a, const void *b, asd_shape shape,
                                asd_dtype t, double *out)
{
    size_t     bytes = bench_bytes(shape, t);
    int64_t    n     = asd_count(shape);
    char      *host  = malloc(2 * bytes + 1);
    double     apart = 0, size = 0;
    asd_status st;
    if (!host)
        return ASD_FAIL(ASD_E_OOM, "no memory to compare a stand-in");
    ASD_GO(done, st, d->backend->download(d, host, a, bytes));
    ASD_GO(done, st, d->backend->download(d, host + bytes, b, bytes));
    for (int64_t i = 0; i < n; ++i) {
        double x = bench_load(t, host, i), y = bench_load(t, host + bytes, i);
        apart += (x - y) * (x - y);
        size += y * y;
    }
    apart = size > 0 ? sqrt(apart / size) : sqrt(apart);
    *out  = apart <= *out ? *out : apart; /* NaN wins */
done:
    free(host);
    return st;
}

asd_status bench_own_difference(const bench_own *o, double *out)
{
    const asd_call *c = o->of->ready;
    *out              = 0;
    if (o->y)
        ASD_TRY(difference_of(o->d, o->y, c->y.x, c->y.shape, c->y.dtype, out));
    for (int k = 0; k < c->n_in; ++k)
        if (o->g[k])
            ASD_TRY(difference_of(o->d, o->g[k], c->x[k].g, c->x[k].shape, c->x[k].g_dtype, out));
    return ASD_OK;
}

/* --- linear by cuBLASLt: the products alone, without the gradient of b --- */

typedef struct products {
    bench_own     own;
    asd_cuda_gemm gemm[2];
    int           n;
} products;

static asd_status run_products(void *ctx)
{
    const products *p = ctx;
    for (int i = 0; i < p->n; ++i)
        ASD_TRY(asd_cuda_gemm_run(p->own.d->stream, &p->gemm[i]));
    return ASD_OK;
}

static asd_status products_difference(void *ctx, double *out)
{
    return bench_own_difference(&((const products *)ctx)->own, out);
}

static void close_products(void *ctx)
{
    bench_own_free(&((products *)ctx)->own);
    free(ctx);
}

/* x: (G, R, C)   w: (G, O, C)   y: (G, R, O), G = 1 when w has no such dimension */
static void make_products(products *p, const bench_subject *of)
{
    const asd_call *c = of->ready;
    int64_t         G = c->x[1].shape.n == 3 ? c->x[1].shape.d[0] : 1, R = asd_rows(c->y.shape) / G;
    int64_t         C = asd_last(c->x[0].shape), O = asd_last(c->y.shape);
    asd_cuda_gemm   all = {.m = R, .batch = G, .dtype = c->x[0].dtype, .y_dtype = c->y.dtype};
    if (of->line.pass == BENCH_FWD) {
        p->gemm[p->n]    = all;
        asd_cuda_gemm *g = &p->gemm[p->n++];
        g->transpose_b   = 1;
        g->n = g->ldy = O, g->k = g->lda = g->ldb = C;
        g->step_a = R * C, g->step_b = O * C, g->step_y = R * O;
        g->a = c->x[0].x, g->b = c->x[1].x, g->y = p->own.y;
        if (c->n_in == 3 && c->x[2].dtype == ASD_F32)
            g->bias = c->x[2].x, g->step_bias = O;
        return;
    }
    if (c->x[0].g) { /* dx = dy w */
        p->gemm[p->n]    = all;
        asd_cuda_gemm *g = &p->gemm[p->n++];
        g->n = g->ldb = g->ldy = C, g->k = g->lda = O;
        g->step_a = R * O, g->step_b = O * C, g->step_y = R * C;
        g->a = c->y.g, g->b = c->x[1].x, g->y = p->own.g[0];
        g->y_dtype = c->x[0].g_dtype;
    }
    if (c->x[1].g) { /* dw = dy' x */
        p->gemm[p->n]    = all;
        asd_cuda_gemm *g = &p->gemm[p->n++];
        g->transpose_a   = 1;
        g->m = g->lda = O, g->n = g->ldb = g->ldy = C, g->k = R;
        g->step_a = R * O, g->step_b = R * C, g->step_y = O * C;
        g->a = c->y.g, g->b = c->x[0].x, g->y = p->own.g[1];
        g->y_dtype = c->x[1].g_dtype;
    }
}

static asd_status cublaslt_open(bench_standin *s, bench_device *d, const bench_subject *of)
{
    products *p = calloc(1, sizeof *p);
    if (!p)
        return ASD_FAIL(ASD_E_OOM, "no memory for a stand-in");
    asd_status st = bench_own_alloc(&p->own, d, of);
    if (st) {
        close_products(p);
        return st;
    }
    make_products(p, of);
    d->backend->release(d, p->own.g[2]); /* products know no gradient of b */
    p->own.g[2]   = NULL;
    s->call       = run_products;
    s->ctx        = p;
    s->difference = products_difference;
    s->close      = close_products;
    snprintf(s->name, sizeof s->name, "cuBLASLt");
    return ASD_OK;
}

/* --- choosing --- */

#ifdef ASD_BENCH_CUDNN
static const bench_standin_maker cudnn = bench_cudnn_open;
#else
static const bench_standin_maker cudnn = NULL;
#endif

asd_status bench_standin_open(bench_standin *s, bench_device *d, const bench_subject *of)
{
    memset(s, 0, sizeof *s);
    if (!of->node)
        return ASD_OK;
    if (d->kind == ASD_CPU)
        return bench_onednn_open(s, of);
    if (!strcmp(of->line.op, "linear"))
        return cublaslt_open(s, d, of);
    return cudnn ? cudnn(s, d, of) : ASD_OK;
}

void bench_standin_close(bench_standin *s)
{
    if (s->close)
        s->close(s->ctx);
    memset(s, 0, sizeof *s);
}
