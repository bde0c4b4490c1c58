/* bench_check.c - is what an op computes right? The checks that a large shape can afford.
 *
 * tests/test_ops.c does the rest on small shapes.
 *
 * Forward: against the naive double loops of tests/ref, by root mean square over y; the limit is
 * that of test_ops.c: twice what the formula itself moves when each fp32 input moves by half an
 * ulp, plus 4 ulp; for a bf16 result also twice the error of rounding the true one.
 *
 * Backward: a gradient is right when its product with any direction v is the slope of sum(dy y)
 * along v. For two random normal v an input (one
 * where it has more than 2^20 elements), <dx, v> is held against central differences of the
 * double reference. One wrong element among n shows as about 1/sqrt(n) of |dx|, so a limit of 1e-5
 * sees single wrong elements up to n = 10^10. The step of the difference that suits depends on the
 * op (kinks want a short one, sums a long one), so a few are tried and the best agreement counts.
 */
#include "tools/bench_op.h"

#include "base/par.h"
#include "base/rng.h"
#include "ref/ref_ops.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double rms(const double *x, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; ++i)
        sum += x[i] * x[i];
    return sqrt(sum / (double)n);
}

/* A tensor's values or gradient from the device: raw bytes, and in double. Free both. */
static asd_status fetch(bench_op_rig *r, const void *device, asd_shape s, asd_dtype t, void **raw,
                        double **out)
{
    int64_t n = asd_count(s);
    *raw      = malloc(bench_bytes(s, t) + 1);
    *out      = malloc((size_t)n * sizeof **out + 1);
    if (!*raw || !*out)
        return ASD_FAIL(ASD_E_OOM, "%s: no memory for a check", r->op->name);
    ASD_TRY(r->d->backend->download(r->d, *raw, device, bench_bytes(s, t)));
    for (int64_t i = 0; i < n; ++i)
        (*out)[i] = bench_load(t, *raw, i);
    return ASD_OK;
}

/* --- checks --- */

static void wrong(bench_check *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void wrong(bench_check *out, const char *format, ...)
{
    va_list args;
    if (*out->why)
        return; /* the first reason stands */
    va_start(args, format);
    vsnprintf(out->why, sizeof out->why, format, args);
    va_end(args);
}

/* Keeps the largest ratio of error to limit. */
static void judge(bench_check *out, const char *what, double error, double limit)
{
    if (!(error <= limit))
        wrong(out, "%s: error %.3g, limit %.3g", what, fabs(error), limit); /* no "-nan" */
    if (!out->limit || !(error * out->limit <= out->error * limit)) {
        out->error = error;
        out->limit = limit;
    }
}

/* x with every float moved by half an ulp up or down, or by the op's `roundings` of them. Keep in
 * step with tests/test_ops.c. */
typedef struct moved {
    double *x[ASD_MAX_IN];
} moved;

static void moved_free(moved *m)
{
    for (int k = 0; k < ASD_MAX_IN; ++k)
        free(m->x[k]);
}

static asd_status moved_new(const bench_op_rig *r, moved *m)
{
    memset(m, 0, sizeof *m);
    for (int k = 0; k < r->c->n_in; ++k) {
        size_t bytes = (size_t)asd_count(r->node.in[k].shape) * sizeof(double);
        if (!(m->x[k] = malloc(bytes + 1))) {
            moved_free(m);
            return ASD_FAIL(ASD_E_OOM, "%s: no memory for a check", r->op->name);
        }
        memcpy(m->x[k], r->x[k], bytes);
    }
    return ASD_OK;
}

static asd_status forward_limit(const bench_op_rig *r, asd_ref_fwd ref, const double *y,
                                double *limit)
{
    int64_t n = asd_count(r->node.y.shape);
    moved   m;
    asd_rng rng;
    double *at = malloc((size_t)n * sizeof *at), sum = 0, rounding = 0;
    if (!at)
        return ASD_FAIL(ASD_E_OOM, "%s: no memory for a check", r->op->name);
    asd_status st = moved_new(r, &m);
    if (!st) {
        asd_rng_init(&rng, 2, ASD_RNG_TEST, 0, 0);
        for (int k = 0; k < r->c->n_in; ++k) {
            int    rounded = r->c->in[k].dtype == ASD_F32;
            double by      = 0x1p-24 * (r->op->roundings ? r->op->roundings : rounded);
            for (int64_t i = 0; by > 0 && i < asd_count(r->c->in[k].shape); ++i)
                m.x[k][i] *= asd_rng_u32(&rng) & 1 ? 1 + by : 1 - by;
        }
        ref(&r->node, r->call.training, (const double *const *)m.x, at, NULL);
        for (int64_t i = 0; i < n; ++i) {
            uint16_t b16;
            sum += (at[i] - y[i]) * (at[i] - y[i]);
            rounding += pow(bench_store(ASD_BF16, &b16, 0, y[i]) - y[i], 2);
        }
        *limit = 2 * sqrt(sum / (double)n) + 4 * 0x1p-24 * rms(y, n);
        if (r->node.y.dtype == ASD_BF16)
            *limit += 2 * sqrt(rounding / (double)n);
        if (!r->op->flops && !r->op->bwd[ASD_CPU] && r->node.y.dtype == r->c->in[0].dtype)
            *limit = 0; /* copies are exact; keep in step with tests/test_ops.c */
        moved_free(&m);
    }
    free(at);
    return st;
}

/* Inputs that a training forward updates in place. */
static asd_status check_state(bench_op_rig *r, double *const *want, bench_check *out)
{
    asd_status   st    = ASD_OK;
    const double limit = r->node.in[0].dtype == ASD_BF16 ? 0x1p-20 : 0x1p-22;
    for (int k = 0; k < r->c->n_in && !st; ++k) {
        int64_t n   = asd_count(r->node.in[k].shape);
        void   *raw = NULL;
        double *got = NULL;
        if (!(r->op->updates >> k & 1) || !r->call.training)
            continue;
        st = fetch(r, r->call.x[k].x, r->node.in[k].shape, r->node.in[k].dtype, &raw, &got);
        for (int64_t i = 0; i < n && !st; ++i)
            if (!(fabs(got[i] - want[k][i]) <= limit * (1 + fabs(want[k][i]))))
                wrong(out, "input %d, updated in place: element %lld is %.9g, want %.9g", k,
                      (long long)i, got[i], want[k][i]);
        free(raw);
        free(got);
    }
    return st;
}

static asd_status compare_forward(bench_op_rig *r, asd_ref_fwd ref, const double *got,
                                  bench_check *out)
{
    int64_t    n                 = asd_count(r->node.y.shape);
    double    *state[ASD_MAX_IN] = {NULL}, error = 0, limit = 0, size;
    double    *y  = malloc((size_t)n * sizeof *y);
    asd_status st = ASD_OK;
    for (int k = 0; k < r->c->n_in; ++k)
        if (!(state[k] = calloc((size_t)asd_count(r->c->in[k].shape) + 1, sizeof(double))))
            st = ASD_E_OOM;
    if (!y || st) {
        st = ASD_FAIL(ASD_E_OOM, "%s: no memory for a check", r->op->name);
        goto done;
    }
    ref(&r->node, r->call.training, (const double *const *)r->x, y, state);
    ASD_GO(done, st, forward_limit(r, ref, y, &limit));
    for (int64_t i = 0; i < n; ++i)
        error += (got[i] - y[i]) * (got[i] - y[i]); /* NaN stays and fails */
    size = rms(y, n) > 0 ? rms(y, n) : 1;
    judge(out, "y", sqrt(error / (double)n) / size, limit / size);
    st = check_state(r, state, out);
done:
    for (int k = 0; k < r->c->n_in; ++k)
        free(state[k]);
    free(y);
    return st;
}

static asd_status check_forward(bench_op_rig *r, asd_ref_fwd ref, bench_check *out)
{
    void      *raw[2] = {NULL, NULL};
    double    *y[2]   = {NULL, NULL};
    asd_status st     = ASD_OK;
    for (int i = 0; i < 2; ++i) {
        ASD_GO(done, st, bench_fresh_forward(r));
        ASD_GO(done, st, fetch(r, r->call.y.x, r->node.y.shape, r->node.y.dtype, raw + i, y + i));
    }
    out->same_bits = !memcmp(raw[0], raw[1], bench_bytes(r->node.y.shape, r->node.y.dtype));
    st             = compare_forward(r, ref, y[0], out);
done:
    for (int i = 0; i < 2; ++i) {
        free(raw[i]);
        free(y[i]);
    }
    return st;
}

/* Input k moved along v by h and by -h: the two sides side by side. */
typedef struct slope_job {
    const bench_op_rig *r;
    asd_ref_fwd         ref;
    int                 k;
    double              h, *v, *x[2], *y[2]; /* v, x: (n of input k); y: (n of y) */
} slope_job;

static void slope_job_free(slope_job *j)
{
    free(j->v);
    for (int side = 0; side < 2; ++side) {
        free(j->x[side]);
        free(j->y[side]);
    }
}

static asd_status slope_job_new(slope_job *j, const bench_op_rig *r, asd_ref_fwd ref, int k)
{
    size_t n = (size_t)asd_count(r->node.in[k].shape), ny = (size_t)asd_count(r->node.y.shape);
    *j        = (slope_job){.r = r, .ref = ref, .k = k, .v = malloc(n * sizeof(double) + 1)};
    int there = j->v != NULL;
    for (int side = 0; side < 2; ++side) {
        j->x[side] = malloc(n * sizeof(double) + 1);
        j->y[side] = malloc(ny * sizeof(double) + 1);
        there      = there && j->x[side] && j->y[side];
    }
    if (there)
        return ASD_OK;
    slope_job_free(j);
    return ASD_FAIL(ASD_E_OOM, "%s: no memory for a check", r->op->name);
}

static void slope_side(void *ctx, int64_t side)
{
    const slope_job *j = ctx;
    const double    *x[ASD_MAX_IN];
    for (int k = 0; k < ASD_MAX_IN; ++k)
        x[k] = j->r->x[k];
    for (int64_t i = 0; i < asd_count(j->r->node.in[j->k].shape); ++i)
        j->x[side][i] = x[j->k][i] + (side ? j->h : -j->h) * j->v[i];
    x[j->k] = j->x[side];
    j->ref(&j->r->node, 1, x, j->y[side], NULL);
}

/* Slope of sum(dy y) when input k moves along v, by central differences with step h. */
static double slope(slope_job *j, double h)
{
    double sum = 0;
    j->h       = h;
    asd_par_for(2, slope_side, j);
    for (int64_t i = 0; i < asd_count(j->r->node.y.shape); ++i)
        sum += j->r->dy[i] * (j->y[1][i] - j->y[0][i]);
    return sum / (2 * h);
}

/* Roundings of the gradient itself and of what the backward reads; test_ops.c has the tight limits.
 */
static double gradient_limit(const bench_op_rig *r, int k)
{
    int bf16 = r->node.in[k].dtype == ASD_BF16 || r->node.y.dtype == ASD_BF16;
    return bf16 ? 0x1p-6 : 1e-5;
}

/* What an error is relative to. Small cases may have a gradient that cancels to nothing (a batch
 * normalisation of two rows); there it is at least a tenth of dy. */
static double gradient_size(const bench_op_rig *r, const double *g, int64_t n)
{
    double size = rms(g, n) * sqrt((double)n);
    if (n <= 1024)
        size = fmax(size, 0.1 * sqrt((double)n) * rms(r->dy, asd_count(r->node.y.shape)));
    return size > 0 ? size : 1;
}

static asd_status compare_gradient(bench_op_rig *r, asd_ref_fwd ref, int k, const double *g,
                                   bench_check *out)
{
    static const double steps[] = {1e-5, 1e-7, 1e-3, 1e-9};
    int64_t             n       = asd_count(r->node.in[k].shape);
    double              limit = gradient_limit(r, k), size = gradient_size(r, g, n);
    slope_job           j;
    char                what[40];
    snprintf(what, sizeof what, "gradient of input %d", k);
    ASD_TRY(slope_job_new(&j, r, ref, k));
    for (uint64_t direction = 0; direction < (n > 1 << 20 ? 1 : 2); ++direction) {
        double along = 0, best = INFINITY;
        bench_normals(4, direction, (uint64_t)k, n, j.v);
        for (int64_t i = 0; i < n; ++i)
            along += g[i] * j.v[i];
        for (size_t s = 0; s < sizeof steps / sizeof *steps && !(best <= limit / 4); ++s)
            best = fmin(best, fabs(along - slope(&j, steps[s])) / size);
        judge(out, what, isfinite(along) ? best : NAN, limit);
    }
    slope_job_free(&j);
    return ASD_OK;
}

static asd_status check_backward(bench_op_rig *r, asd_ref_fwd ref, bench_check *out)
{
    void      *raw[2][ASD_MAX_IN] = {{NULL}};
    double    *g[2][ASD_MAX_IN]   = {{NULL}};
    asd_status st                 = ASD_OK;
    out->same_bits                = 1;
    for (int i = 0; i < 2; ++i) {
        ASD_GO(done, st, bench_fresh_backward(r));
        for (int k = 0; k < r->c->n_in; ++k)
            if (r->call.x[k].g)
                ASD_GO(done, st,
                       fetch(r, r->call.x[k].g, r->call.x[k].shape, r->call.x[k].g_dtype,
                             &raw[i][k], &g[i][k]));
    }
    for (int k = 0; k < r->c->n_in; ++k) {
        if (!r->call.x[k].g)
            continue;
        if (memcmp(raw[0][k], raw[1][k], bench_bytes(r->call.x[k].shape, r->call.x[k].g_dtype)))
            out->same_bits = 0;
        ASD_GO(done, st, compare_gradient(r, ref, k, g[0][k], out));
    }
done:
    for (int i = 0; i < 2; ++i)
        for (int k = 0; k < ASD_MAX_IN; ++k) {
            free(raw[i][k]);
            free(g[i][k]);
        }
    return st;
}

asd_status bench_op_check(void *ctx, bench_check *out)
{
    bench_op_rig *r   = ctx;
    asd_ref_fwd   ref = asd_ref_find(r->op->name);
    memset(out, 0, sizeof *out);
    if (!ref) {
        wrong(out, "no naive reference to check against");
        return ASD_OK;
    }
    ASD_TRY(r->backward ? check_backward(r, ref, out) : check_forward(r, ref, out));
    if (!out->same_bits)
        wrong(out, "two runs differ in their bits");
    out->passed = !*out->why;
    return ASD_OK;
}
