/* test_ops.c - every case of every op: the table is the test list.
 *
 *   ops/NAME/fwd/CASE   against naive double loops, with canaries around every buffer, NaN in y,
 * scratch and saved memory beforehand, twice for equal bits, and with 1, 2 and 3 threads for equal
 * bits ops/NAME/bwd/CASE   against central differences of the double reference with a random
 * cotangent; dx NULL for each input in turn; store and add
 *
 * Tolerance. The forward may err by twice what the same formula errs when its inputs carry one
 * rounding of fp32: estimated from the reference itself, run on inputs moved by half an ulp, plus 4
 * ulp of the largest term.
 */
#include "harness.h"
#include "ref/ref_ops.h"

#include "base/arena.h"
#include "base/par.h"
#include "base/rng.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CANARY_BYTES = 256 };
static const unsigned char CANARY = 0xA5;

/* A buffer with canaries on both sides. */
typedef struct guarded {
    unsigned char *block;
    size_t         bytes;
} guarded;

static void *guard_new(guarded *g, size_t bytes)
{
    g->bytes = bytes;
    g->block = asd_calloc_aligned(2 * CANARY_BYTES + asd_align_up(bytes), 1);
    memset(g->block, CANARY, CANARY_BYTES);
    memset(g->block + CANARY_BYTES + bytes, CANARY, asd_align_up(bytes) - bytes + CANARY_BYTES);
    return g->block + CANARY_BYTES;
}

static void guard_free(guarded *g)
{
    free(g->block);
    g->block = NULL;
}

static void guard_check(const guarded *g, const char *what)
{
    if (!g->block)
        return;
    for (size_t i = 0; i < CANARY_BYTES; ++i)
        if (g->block[i] != CANARY)
            fail_msg("%s: written %zu bytes before its start", what, CANARY_BYTES - i);
    for (size_t i = g->bytes; i < asd_align_up(g->bytes) + CANARY_BYTES; ++i)
        if (g->block[CANARY_BYTES + i] != CANARY)
            fail_msg("%s: written %zu bytes past its end", what, i - g->bytes);
}

typedef struct rig {
    const asd_op   *op;
    const asd_case *c;
    asd_node        node;
    asd_call        call;
    asd_step        step;
    guarded         x[ASD_MAX_IN], g[ASD_MAX_IN], y, dy, saved, work, bwd_work;
    void           *fresh[ASD_MAX_IN]; /* inputs as they were made: some ops update theirs */
    double         *ref[ASD_MAX_IN];   /* the same in double */
    double         *y_ref;
} rig;

static size_t bytes_of(asd_spec s)
{
    return (size_t)asd_count(s.shape) * asd_dtype_size(s.dtype);
}

static double draw(asd_rng *r, const asd_case *c, asd_fill fill, asd_dtype dtype, int64_t i)
{
    switch (fill) {
    case ASD_FILL_NORMAL: return (double)(float)(0.3 + asd_rng_normal(r));
    case ASD_FILL_POSITIVE: return (double)(float)asd_rng_range(r, 0.5, 1.5);
    case ASD_FILL_INDEX: return (double)asd_rng_below(r, (uint32_t)c->index_limit);
    case ASD_FILL_PCM: {
        double x =
            0.3 * sin(0.05 * (double)i) + 0.1 * sin(0.7 * (double)i) + 0.02 * asd_rng_normal(r);
        return dtype == ASD_I16 ? nearbyint(32767 * x) : (double)(float)x;
    }
    }
    return 0;
}

static void store(asd_dtype t, void *x, int64_t i, double v)
{
    if (t == ASD_F32)
        ((float *)x)[i] = (float)v;
    else if (t == ASD_I16)
        ((int16_t *)x)[i] = (int16_t)v;
    else
        ((int32_t *)x)[i] = (int32_t)v;
}

static void fill_nan(void *p, size_t bytes)
{
    memset(p, 0xFF, bytes); /* all ones is a NaN in float and double */
}

static void rig_new(rig *r, const asd_op *op, const asd_case *c)
{
    asd_rng rng;
    memset(r, 0, sizeof *r);
    r->op        = op;
    r->c         = c;
    r->node.op   = op;
    r->node.attr = c->attr;
    r->node.n_in = c->n_in;
    memcpy(r->node.in, c->in, sizeof c->in);
    assert_ok(op->infer(&r->node));
    r->call = (asd_call){
        .op = op, .attr = c->attr, .n_in = c->n_in, .training = !c->inference, .step = &r->step};
    asd_rng_init(&rng, 1, ASD_RNG_TEST, asd_rng_hash(op->name), asd_rng_hash(c->name));
    for (int k = 0; k < c->n_in; ++k) {
        int64_t n    = asd_count(c->in[k].shape);
        r->call.x[k] = (asd_tensor){guard_new(&r->x[k], bytes_of(c->in[k])), NULL, c->in[k].dtype,
                                    c->in[k].dtype, c->in[k].shape};
        r->ref[k]    = malloc((size_t)n * sizeof(double));
        r->fresh[k]  = malloc(bytes_of(c->in[k]));
        for (int64_t i = 0; i < n; ++i) {
            r->ref[k][i] = draw(&rng, c, c->fill[k], c->in[k].dtype, i);
            store(c->in[k].dtype, r->call.x[k].x, i, r->ref[k][i]);
        }
        memcpy(r->fresh[k], r->call.x[k].x, bytes_of(c->in[k]));
    }
    r->call.y     = (asd_tensor){guard_new(&r->y, bytes_of(r->node.y)), NULL, r->node.y.dtype,
                                 r->node.y.dtype, r->node.y.shape};
    r->call.saved = guard_new(&r->saved, r->node.saved_bytes);
    r->call.work  = guard_new(&r->work, r->node.fwd_work_bytes);
    guard_new(&r->bwd_work, r->node.bwd_work_bytes);
    r->y_ref = malloc((size_t)asd_count(r->node.y.shape) * sizeof(double));
    if (op->prepare[ASD_CPU])
        assert_ok(op->prepare[ASD_CPU](&r->call));
}

static void rig_check(const rig *r)
{
    for (int k = 0; k < r->c->n_in; ++k) {
        guard_check(&r->x[k], "an input");
        guard_check(&r->g[k], "an input's gradient");
        if (!(r->op->updates >> k & 1))
            assert_memory_equal(r->call.x[k].x, r->fresh[k], bytes_of(r->c->in[k]));
    }
    guard_check(&r->y, "y");
    guard_check(&r->dy, "dy");
    guard_check(&r->saved, "saved");
    guard_check(&r->work, "scratch");
    guard_check(&r->bwd_work, "backward scratch");
}

static void rig_free(rig *r)
{
    if (r->op->release[ASD_CPU])
        r->op->release[ASD_CPU](&r->call);
    for (int k = 0; k < r->c->n_in; ++k) {
        guard_free(&r->x[k]);
        guard_free(&r->g[k]);
        free(r->fresh[k]);
        free(r->ref[k]);
    }
    guard_free(&r->y);
    guard_free(&r->dy);
    guard_free(&r->saved);
    guard_free(&r->work);
    guard_free(&r->bwd_work);
    free(r->y_ref);
}

static void run_fwd(rig *r)
{
    for (int k = 0; k < r->c->n_in; ++k)
        memcpy(r->call.x[k].x, r->fresh[k], bytes_of(r->c->in[k]));
    fill_nan(r->call.y.x, r->y.bytes);
    fill_nan(r->call.saved, r->saved.bytes);
    fill_nan(r->call.work, r->work.bytes);
    assert_ok(r->op->fwd[ASD_CPU](&r->call));
    rig_check(r);
}

/* How far the reference moves when every float input moves by half an ulp in a random direction:
 * the error that the same maths has in fp32 before its own roundings. Returned as a root mean
 * square over y. */
static double input_rounding_error(const rig *r, asd_ref_fwd ref)
{
    int64_t n = asd_count(r->node.y.shape);
    double *moved[ASD_MAX_IN], *y = malloc((size_t)n * sizeof *y), sum = 0;
    asd_rng rng;
    asd_rng_init(&rng, 2, ASD_RNG_TEST, 0, 0);
    for (int k = 0; k < r->c->n_in; ++k) {
        int64_t count = asd_count(r->c->in[k].shape);
        moved[k]      = malloc((size_t)count * sizeof(double));
        for (int64_t i = 0; i < count; ++i) {
            double sign = asd_rng_u32(&rng) & 1 ? 0x1p-24 : -0x1p-24;
            moved[k][i] = r->ref[k][i] * (r->c->in[k].dtype == ASD_F32 ? 1 + sign : 1);
        }
    }
    ref(&r->node, r->call.training, (const double *const *)moved, y, NULL);
    for (int64_t i = 0; i < n; ++i)
        sum += (y[i] - r->y_ref[i]) * (y[i] - r->y_ref[i]);
    for (int k = 0; k < r->c->n_in; ++k)
        free(moved[k]);
    free(y);
    return sqrt(sum / (double)n);
}

static double rms(const double *x, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; ++i)
        sum += x[i] * x[i];
    return sqrt(sum / (double)n);
}

static void check_forward(rig *r)
{
    asd_ref_fwd ref               = asd_ref_find(r->op->name);
    int64_t     n                 = asd_count(r->node.y.shape);
    double     *state[ASD_MAX_IN] = {NULL}, error = 0;
    if (!ref)
        fail_msg("%s has no reference in tests/ref", r->op->name);
    for (int k = 0; k < r->c->n_in; ++k)
        state[k] = calloc((size_t)asd_count(r->c->in[k].shape), sizeof(double));
    ref(&r->node, r->call.training, (const double *const *)r->ref, r->y_ref, state);
    run_fwd(r);
    const float *y = r->call.y.x;
    for (int64_t i = 0; i < n; ++i) {
        if (!isfinite(y[i]))
            fail_msg("y[%ld] is %g: not written, or scratch was read before it was written",
                     (long)i, (double)y[i]);
        error += ((double)y[i] - r->y_ref[i]) * ((double)y[i] - r->y_ref[i]);
    }
    error        = sqrt(error / (double)n);
    double limit = 2 * input_rounding_error(r, ref) + 4 * 0x1p-24 * rms(r->y_ref, n);
    if (!r->op->flops && !r->op->bwd[ASD_CPU])
        limit = 0; /* copies are exact */
    if (!(error <= limit))
        fail_msg("root mean square error %g, limit %g", error, limit);
    for (int k = 0; k < r->c->n_in; ++k)
        if (r->op->updates >> k & 1 && r->call.training)
            for (int64_t i = 0; i < asd_count(r->c->in[k].shape); ++i)
                assert_near(((float *)r->call.x[k].x)[i], state[k][i],
                            4 * 0x1p-24 * (1 + fabs(state[k][i])));
    for (int k = 0; k < r->c->n_in; ++k)
        free(state[k]);
}

static void check_same_bits(rig *r)
{
    int   threads = asd_par_threads();
    void *first   = malloc(r->y.bytes);
    memcpy(first, r->call.y.x, r->y.bytes);
    for (int t = 1; t <= 3; ++t) {
        asd_par_set_threads(t);
        run_fwd(r);
        assert_memory_equal(first, r->call.y.x, r->y.bytes);
    }
    asd_par_set_threads(threads);
    free(first);
}

/* --- backward --- */

/* d/dx[k][i] of sum_j dy[j] y[j], by central differences of the reference. */
static double difference(const rig *r, asd_ref_fwd ref, const double *dy, int k, int64_t i)
{
    int64_t n = asd_count(r->node.y.shape);
    double *y = malloc((size_t)n * sizeof *y), x = r->ref[k][i], h = 1e-5 * (1 + fabs(x)), sum = 0;
    for (int side = -1; side <= 1; side += 2) {
        r->ref[k][i] = x + side * h;
        ref(&r->node, 1, (const double *const *)r->ref, y, NULL);
        for (int64_t j = 0; j < n; ++j)
            sum += side * dy[j] * y[j];
    }
    r->ref[k][i] = x;
    free(y);
    return sum / (2 * h);
}

/* Runs backward after a forward, having destroyed all that `keeps` does not name. */
static void run_bwd(rig *r, float *const *dx, const unsigned char *acc)
{
    for (int k = 0; k < r->c->n_in && k < ASD_MAX_IN; ++k) {
        r->call.x[k].g = dx[k];
        r->call.acc[k] = acc[k];
    }
    void *saved_x[ASD_MAX_IN], *work = r->call.work;
    for (int k = 0; k < r->c->n_in && k < ASD_MAX_IN; ++k) {
        saved_x[k] = r->call.x[k].x;
        if (!(r->op->keeps >> k & 1))
            r->call.x[k].x = NULL; /* may have been reused: a read would crash */
    }
    if (!(r->op->keeps & ASD_KEEPS_Y))
        fill_nan(r->call.y.x, r->y.bytes);
    r->call.work = r->bwd_work.block + CANARY_BYTES;
    fill_nan(r->call.work, r->bwd_work.bytes);
    assert_ok(r->op->bwd[ASD_CPU](&r->call));
    r->call.work = work;
    for (int k = 0; k < r->c->n_in && k < ASD_MAX_IN; ++k)
        r->call.x[k].x = saved_x[k];
    rig_check(r);
}

static int has_grad(const rig *r, int k)
{
    return r->c->in[k].dtype == ASD_F32 && !(r->op->no_grad >> k & 1);
}

static void compare_gradient(const rig *r, int k, const float *got, double offset,
                             const double *want, double limit)
{
    for (int64_t i = 0; i < asd_count(r->c->in[k].shape); ++i)
        if (!(fabs((double)got[i] - offset - want[i]) <= limit))
            fail_msg("gradient of input %d, element %ld: %.9g, central difference %.9g, limit %g",
                     k, (long)i, (double)got[i] - offset, want[i], limit);
}

static void check_backward(rig *r)
{
    asd_ref_fwd   ref = asd_ref_find(r->op->name);
    int64_t       ny  = asd_count(r->node.y.shape);
    double       *dy = malloc((size_t)ny * sizeof *dy), *want[ASD_MAX_IN] = {NULL};
    float        *dx[ASD_MAX_IN]  = {NULL};
    unsigned char acc[ASD_MAX_IN] = {0}, add[ASD_MAX_IN];
    asd_rng       rng;
    memset(add, 1, sizeof add);
    asd_rng_init(&rng, 3, ASD_RNG_TEST, 0, 0);
    r->call.y.g = guard_new(&r->dy, (size_t)ny * sizeof(float));
    for (int64_t j = 0; j < ny; ++j)
        dy[j] = (double)(((float *)r->call.y.g)[j] = (float)asd_rng_normal(&rng));
    for (int k = 0; k < r->c->n_in; ++k) {
        if (!has_grad(r, k))
            continue;
        int64_t n = asd_count(r->c->in[k].shape);
        dx[k]     = guard_new(&r->g[k], (size_t)n * sizeof(float));
        want[k]   = malloc((size_t)n * sizeof(double));
        for (int64_t i = 0; i < n; ++i)
            want[k][i] = difference(r, ref, dy, k, i);
    }
    for (int skip = -1; skip < r->c->n_in; ++skip) { /* all gradients, then each left out once */
        float *given[ASD_MAX_IN];
        if (skip >= 0 && !dx[skip])
            continue;
        for (int k = 0; k < r->c->n_in; ++k)
            if ((given[k] = k == skip ? NULL : dx[k]))
                fill_nan(given[k], r->g[k].bytes);
        run_fwd(r);
        run_bwd(r, given, acc);
        for (int k = 0; k < r->c->n_in; ++k) {
            if (!given[k])
                continue;
            int64_t n     = asd_count(r->c->in[k].shape);
            double  limit = 3e-6 * (1 + rms(want[k], n)) * sqrt((double)ny);
            compare_gradient(r, k, given[k], 0, want[k], limit);
            for (int64_t i = 0; i < n; ++i)
                given[k][i] = 1;
        }
        run_fwd(r);
        run_bwd(r, given, add);
        for (int k = 0; k < r->c->n_in; ++k)
            if (given[k])
                compare_gradient(r, k, given[k], 1, want[k],
                                 3e-6 * (1 + rms(want[k], asd_count(r->c->in[k].shape))) *
                                     sqrt((double)ny));
    }
    for (int k = 0; k < r->c->n_in; ++k)
        free(want[k]);
    free(dy);
}

/* Large shapes: no finite differences, but the same bits for every number of threads. */
static void check_backward_bits(rig *r)
{
    int           threads        = asd_par_threads();
    float        *dx[ASD_MAX_IN] = {NULL}, *first[ASD_MAX_IN] = {NULL};
    unsigned char acc[ASD_MAX_IN] = {0};
    asd_rng       rng;
    asd_rng_init(&rng, 3, ASD_RNG_TEST, 0, 0);
    r->call.y.g = guard_new(&r->dy, (size_t)asd_count(r->node.y.shape) * sizeof(float));
    for (int64_t j = 0; j < asd_count(r->node.y.shape); ++j)
        ((float *)r->call.y.g)[j] = (float)asd_rng_normal(&rng);
    for (int k = 0; k < r->c->n_in; ++k)
        if (has_grad(r, k)) {
            dx[k]    = guard_new(&r->g[k], (size_t)asd_count(r->c->in[k].shape) * sizeof(float));
            first[k] = malloc(r->g[k].bytes);
        }
    for (int t = 1; t <= 3; ++t) {
        asd_par_set_threads(t);
        run_fwd(r);
        run_bwd(r, dx, acc);
        for (int k = 0; k < r->c->n_in; ++k) {
            if (dx[k] && t == 1)
                memcpy(first[k], dx[k], r->g[k].bytes);
            else if (dx[k])
                assert_memory_equal(first[k], dx[k], r->g[k].bytes);
        }
    }
    asd_par_set_threads(threads);
    for (int k = 0; k < r->c->n_in; ++k)
        free(first[k]);
}

typedef struct job {
    const asd_op   *op;
    const asd_case *c;
    int             backward;
} job;

static void run_case(void **state)
{
    const job *j = *state;
    rig        r;
    rig_new(&r, j->op, j->c);
    if (!j->backward) {
        check_forward(&r);
        check_same_bits(&r);
    } else if (j->c->bench) {
        check_backward_bits(&r);
    } else {
        check_backward(&r);
    }
    rig_free(&r);
}

/* A differentiable op without cases, or an op without a CPU forward, is a hole in the table. */
static void test_table(void **state)
{
    (void)state;
    int n = 0;
    for (const asd_op *const *op = asd_ops; *op; ++op, ++n) {
        assert_non_null((*op)->fwd[ASD_CPU]);
        assert_non_null(asd_ref_find((*op)->name));
        assert_ptr_equal(asd_op_find((*op)->name), *op);
        int small = 0;
        for (const asd_case *c = (*op)->cases; c->name; ++c)
            small += !c->bench && (c->inference == 0 || !(*op)->bwd[ASD_CPU]) +
                                      ((*op)->prepare[ASD_CPU] != NULL);
        if (!small)
            fail_msg("%s has no small case that checks its backward", (*op)->name);
    }
    assert_true(n > 0);
    assert_null(asd_op_find("nothing"));
}

int main(int argc, char **argv)
{
    enum { MAX = 512 };
    static struct CMUnitTest tests[MAX];
    static job               jobs[MAX];
    static char              names[MAX][160];
    size_t                   n = 0;
    tests[n++] = (struct CMUnitTest){"ops/table/complete", test_table, NULL, NULL, NULL};
    for (const asd_op *const *op = asd_ops; *op; ++op)
        for (const asd_case *c = (*op)->cases; c->name; ++c)
            for (int backward = 0; backward <= ((*op)->bwd[ASD_CPU] && !c->inference); ++backward) {
                jobs[n] = (job){*op, c, backward};
                snprintf(names[n], sizeof names[n], "ops/%s/%s/%s", (*op)->name,
                         backward ? "bwd" : "fwd", c->name);
                tests[n] = (struct CMUnitTest){names[n], run_case, NULL, NULL, &jobs[n]};
                ++n;
            }
    return asd_test_run(tests, n, argc, argv);
}
