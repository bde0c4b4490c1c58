/* test_ops.c - every case of every op on every backend: the table is the test list.
 *
 *   ops/NAME/fwd/CASE             the CPU, which is the specification
 *   ops/NAME/bf16/fwd/CASE        the CPU with bf16 where the op takes it, by way of cpu_bf16.h
 *   ops/NAME/cuda/fwd/CASE        CUDA in fp32: a GPU, or the shim (test_ops_simt)
 *   ops/NAME/cuda-bf16/fwd/CASE   CUDA with bf16 where the op takes it
 *
 * fwd: against naive double loops, with canaries around every buffer and NaN in y, scratch and
 * saved memory beforehand; again for equal bits; on the CPU with 1, 2 and 3 threads, on CUDA by a
 * captured graph, for equal bits.
 * bwd: the CPU against central differences of the double reference with a random cotangent; CUDA
 * against the CPU; each gradient left out, and each alone (on the shim, which runs a thread at a
 * time, in the first case with so many inputs); store and add; equal bits as above. Large shapes
 * (bench): on the CPU for equal bits alone.
 *
 * ASD_TEST_HASTE=1 leaves out large shapes, and parts of the gradients on CUDA as on the shim.
 * ASD_TEST_HASTE=once runs what is left once forward and once backward, with all gradients stored:
 * for what changes neither with the repetition nor with which gradients are wanted.
 *
 * Tolerance. The forward may err by twice what the same formula errs in that precision: estimated
 * from the reference itself, run on inputs moved by half an ulp of fp32 (in which all sums are
 * done), plus the rounding of y to its dtype, plus 4 ulp of the largest term.
 */
#include "op_rig.h"
#include "ref/ref_ops.h"

#include "base/device.h"
#include "base/par.h"
#include "base/rng.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static double rms(const double *x, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; ++i)
        sum += x[i] * x[i];
    return sqrt(sum / (double)n);
}

static int half_ulps(const op_rig *r, int k)
{
    return r->op->roundings ? r->op->roundings : r->c->in[k].dtype == ASD_F32;
}

/* How far the reference moves when every float input moves by half an ulp of fp32 (or by what the
 * op's `roundings` say) in a random direction: the error that the same maths has in fp32 before its
 * own roundings. Returned as a root mean square over y. */
static double input_rounding_error(const op_rig *r, asd_ref_fwd ref)
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
            moved[k][i] = r->ref[k][i] * (1 + half_ulps(r, k) * sign);
        }
    }
    ref(&r->node, r->call.training, (const double *const *)moved, y, NULL);
    for (int64_t i = 0; i < n; ++i) {
        double d = y[i] - r->y_ref[i];
        sum += isfinite(d) ? d * d : 0;
    }
    for (int k = 0; k < r->c->n_in; ++k)
        free(moved[k]);
    free(y);
    return sqrt(sum / (double)n);
}

/* Root mean square of what rounding y to its dtype costs. */
static double output_rounding_error(const op_rig *r)
{
    int64_t   n   = asd_count(r->node.y.shape);
    asd_dtype t   = r->node.y.dtype;
    double    sum = 0;
    uint32_t  one;
    for (int64_t i = 0; i < n && t == ASD_BF16; ++i) {
        op_rig_put(t, &one, 0, r->y_ref[i]);
        double d = op_rig_get(t, &one, 0) - r->y_ref[i];
        sum += d * d;
    }
    return sqrt(sum / (double)n);
}

static void check_state(const op_rig *r, double *const *state)
{
    for (int k = 0; k < r->c->n_in; ++k)
        for (int64_t i = 0;
             r->op->updates >> k & 1 && r->call.training && i < asd_count(r->c->in[k].shape); ++i) {
            double want = state[k][i], ulp = r->bf16 ? 0x1p-22 : 0x1p-24;
            assert_near(op_rig_get(ASD_F32, op_rig_host(&r->x[k]), i), want,
                        4 * ulp * (1 + fabs(want)));
        }
}

static void check_forward(op_rig *r)
{
    asd_ref_fwd ref               = asd_ref_find(r->op->name);
    int64_t     n                 = asd_count(r->node.y.shape);
    double     *state[ASD_MAX_IN] = {NULL}, error = 0;
    if (!ref)
        fail_msg("%s has no reference in tests/ref", r->op->name);
    for (int k = 0; k < r->c->n_in; ++k)
        state[k] = calloc((size_t)asd_count(r->c->in[k].shape), sizeof(double));
    ref(&r->node, r->call.training, (const double *const *)r->ref, r->y_ref, state);
    op_rig_fwd(r);
    for (int64_t i = 0; i < n; ++i) {
        double y = op_rig_get(r->node.y.dtype, op_rig_host(&r->y), i);
        if (!isfinite(y))
            fail_msg("y[%ld] is %g: not written, or scratch was read before it was written",
                     (long)i, y);
        error += (y - r->y_ref[i]) * (y - r->y_ref[i]);
    }
    error        = sqrt(error / (double)n);
    double limit = 2 * (input_rounding_error(r, ref) + output_rounding_error(r)) +
                   4 * 0x1p-24 * rms(r->y_ref, n);
    if (!r->op->flops && !r->op->bwd[ASD_CPU])
        limit = 0; /* copies are exact */
    if (!(error <= limit))
        fail_msg("root mean square error %g, limit %g", error, limit);
    check_state(r, state);
    for (int k = 0; k < r->c->n_in; ++k)
        free(state[k]);
}

/* --- equal bits --- */

enum { MAX_COPIES = ASD_MAX_IN + 1 };

typedef struct copies {
    void *x[MAX_COPIES];
} copies;

static const rig_buffer *result(const op_rig *r, int i)
{
    return i < ASD_MAX_IN ? &r->g[i] : &r->y;
}

static void keep(const op_rig *r, copies *c, int backward)
{
    for (int i = 0; i < MAX_COPIES; ++i) {
        const rig_buffer *b = result(r, i);
        c->x[i]             = NULL;
        if (!b->block || (i == ASD_MAX_IN) == backward)
            continue;
        c->x[i] = malloc(b->bytes + 1);
        memcpy(c->x[i], op_rig_host(b), b->bytes);
    }
}

static void compare_bits(const op_rig *r, const copies *c, const char *how)
{
    for (int i = 0; i < MAX_COPIES; ++i)
        if (c->x[i] && memcmp(c->x[i], op_rig_host(result(r, i)), result(r, i)->bytes))
            fail_msg("%s: other bits in %s %d", how, i < ASD_MAX_IN ? "gradient" : "y", i);
}

static void drop(copies *c)
{
    for (int i = 0; i < MAX_COPIES; ++i)
        free(c->x[i]);
}

typedef enum haste { HASTE_NONE, HASTE_SOME, HASTE_ONCE } haste;

static haste in_haste(void)
{
    const char *s = getenv("ASD_TEST_HASTE");
    return !s || !*s ? HASTE_NONE : strcmp(s, "once") ? HASTE_SOME : HASTE_ONCE;
}

/* What ran last runs again. given: NULL for the forward alone. */
static void check_same_bits(op_rig *r, const unsigned char *given)
{
    static const unsigned char store[ASD_MAX_IN];
    int                        threads = asd_par_threads();
    copies                     first;
    if (in_haste() == HASTE_ONCE)
        return;
    keep(r, &first, given != NULL);
    for (int t = 1; t <= (r->backend == ASD_CPU ? 3 : 1); ++t) {
        asd_par_set_threads(t);
        op_rig_fwd(r);
        if (given)
            op_rig_bwd(r, given, store);
        compare_bits(r, &first, "again");
    }
    asd_par_set_threads(threads);
    if (r->backend == ASD_CUDA) {
        op_rig_replay(r, given, store);
        compare_bits(r, &first, "captured and replayed");
    }
    drop(&first);
}

/* --- backward --- */

/* d/dx[k][i] of sum_j dy[j] y[j], by central differences of the reference. */
static double difference(const op_rig *r, asd_ref_fwd ref, const double *dy, int k, int64_t i)
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

/* What a gradient may err: fp32 sums over y, and in bf16 the rounding of the result and of values
 * that backward finds already rounded. */
static double gradient_limit(const op_rig *r, int k, double want, double scale, double offset)
{
    double limit = 3e-6 * (1 + scale) * sqrt((double)asd_count(r->node.y.shape));
    if (r->bf16 && r->call.x[k].g_dtype == ASD_BF16)
        limit += 2 * 0x1p-9 * (fabs(want) + fabs(want + offset));
    if (r->bf16 && r->op->keeps & ASD_KEEPS_Y && r->node.y.dtype == ASD_BF16)
        /* attention also rounds two factors of its products, p and ds */
        limit += (r->op == &asd_op_attention ? 8 : 4) * 0x1p-9 * (fabs(want) + scale);
    return limit;
}

static void compare_gradient(const op_rig *r, int k, double offset, const double *want)
{
    int64_t n     = asd_count(r->c->in[k].shape);
    double  scale = rms(want, n);
    for (int64_t i = 0; i < n; ++i) {
        double got   = op_rig_get(r->call.x[k].g_dtype, op_rig_host(&r->g[k]), i);
        double limit = gradient_limit(r, k, want[i], scale, offset);
        if (!(fabs(got - offset - want[i]) <= limit))
            fail_msg("gradient of input %d, element %ld: %.9g, want %.9g, limit %g", k, (long)i,
                     got - offset, want[i], limit);
    }
}

/* Gradients stored over NaN, and added to ones; input `skip` gets none, or only `only` gets one
 * (-1: no such input). */
static void check_gradients(op_rig *r, double *const *want, int skip, int only)
{
    unsigned char given[ASD_MAX_IN] = {0}, store[ASD_MAX_IN] = {0}, add[ASD_MAX_IN] = {0};
    for (int k = 0; k < r->c->n_in; ++k)
        if ((given[k] = k != skip && (only < 0 || k == only) && want[k]))
            memset(op_rig_host(&r->g[k]), 0xFF, r->g[k].bytes);
    op_rig_fwd(r);
    op_rig_bwd(r, given, store);
    for (int k = 0; k < r->c->n_in; ++k)
        if (given[k])
            compare_gradient(r, k, 0, want[k]);
    if (in_haste() == HASTE_ONCE)
        return;
    if (skip < 0 && only < 0)
        check_same_bits(r, given);
    for (int k = 0; k < r->c->n_in; ++k) {
        add[k] = (unsigned char)(skip < 0 || (k + skip) % 2);
        for (int64_t i = 0; given[k] && i < asd_count(r->c->in[k].shape); ++i)
            op_rig_put(r->call.x[k].g_dtype, op_rig_host(&r->g[k]), i, 1);
    }
    op_rig_fwd(r);
    op_rig_bwd(r, given, add);
    for (int k = 0; k < r->c->n_in; ++k)
        if (given[k])
            compare_gradient(r, k, add[k], want[k]);
}

/* The truth of a small case. */
static void differences(op_rig *r, const double *dy, double **want)
{
    asd_ref_fwd ref = asd_ref_find(r->op->name);
    for (int k = 0; k < r->c->n_in; ++k)
        for (int64_t i = 0; want[k] && i < asd_count(r->c->in[k].shape); ++i)
            want[k][i] = difference(r, ref, dy, k, i);
}

/* What the CPU makes of the same numbers in fp32: the truth on CUDA. */
static void cpu_gradients(const op_rig *r, double **want)
{
    static const unsigned char store[ASD_MAX_IN];
    unsigned char              given[ASD_MAX_IN] = {0};
    op_rig                     cpu;
    double                    *dy = malloc((size_t)asd_count(r->node.y.shape) * sizeof *dy);
    op_rig_new(&cpu, r->op, r->c, ASD_CPU, 0);
    op_rig_gradients(&cpu, dy);
    for (int k = 0; k < r->c->n_in; ++k) {
        given[k] = want[k] != NULL;
        for (int64_t i = 0; i < asd_count(r->c->in[k].shape); ++i)
            op_rig_put(cpu.node.in[k].dtype, cpu.fresh[k], i, r->ref[k][i]);
    }
    for (int64_t j = 0; j < asd_count(r->node.y.shape); ++j)
        op_rig_put(cpu.node.y.dtype, op_rig_host(&cpu.dy), j,
                   op_rig_get(r->node.y.dtype, op_rig_host(&r->dy), j));
    op_rig_fwd(&cpu);
    op_rig_bwd(&cpu, given, store);
    for (int k = 0; k < r->c->n_in; ++k)
        for (int64_t i = 0; want[k] && i < asd_count(r->c->in[k].shape); ++i)
            want[k][i] = op_rig_get(cpu.call.x[k].g_dtype, op_rig_host(&cpu.g[k]), i);
    op_rig_free(&cpu);
    free(dy);
}

/* Each gradient left out, and each alone? */
static int wants_parts(const op_rig *r)
{
#ifdef ASD_SIMT
    const int first_only = 1;
#else
    const int first_only = r->backend == ASD_CUDA && in_haste();
#endif
    if (r->c->bench || in_haste() == HASTE_ONCE)
        return 0;
    for (const asd_case *c = r->op->cases; first_only && c != r->c; ++c)
        if (c->n_in >= r->c->n_in && !c->inference)
            return 0;
    return 1;
}

static void check_backward(op_rig *r)
{
    double *dy               = malloc((size_t)asd_count(r->node.y.shape) * sizeof *dy),
           *want[ASD_MAX_IN] = {NULL};
    op_rig_gradients(r, dy);
    for (int k = 0; k < r->c->n_in; ++k)
        if (op_rig_has_grad(r, k))
            want[k] = malloc((size_t)asd_count(r->c->in[k].shape) * sizeof(double));
    if (r->backend == ASD_CUDA)
        cpu_gradients(r, want);
    else
        differences(r, dy, want);
    check_gradients(r, want, -1, -1);
    for (int k = 0; k < r->c->n_in && wants_parts(r); ++k)
        if (want[k]) {
            check_gradients(r, want, k, -1);
            check_gradients(r, want, -1, k);
        }
    for (int k = 0; k < r->c->n_in; ++k)
        free(want[k]);
    free(dy);
}

/* Large shapes on the CPU: the same bits for every number of threads. */
static void check_backward_bits(op_rig *r)
{
    static const unsigned char store[ASD_MAX_IN];
    unsigned char              given[ASD_MAX_IN] = {0};
    double                    *dy = malloc((size_t)asd_count(r->node.y.shape) * sizeof *dy);
    op_rig_gradients(r, dy);
    for (int k = 0; k < r->c->n_in; ++k)
        given[k] = (unsigned char)op_rig_has_grad(r, k);
    op_rig_fwd(r);
    op_rig_bwd(r, given, store);
    check_same_bits(r, given);
    free(dy);
}

/* --- the list --- */

typedef struct job {
    const asd_op   *op;
    const asd_case *c;
    asd_backend     backend;
    int             bf16, backward;
} job;

static void run_case(void **state)
{
    const job *j = *state;
    op_rig     r;
    op_rig_new(&r, j->op, j->c, j->backend, j->bf16);
    if (!j->backward) {
        check_forward(&r);
        check_same_bits(&r, NULL);
    } else if (j->c->bench && j->backend == ASD_CPU) {
        check_backward_bits(&r);
    } else {
        check_backward(&r);
    }
    op_rig_free(&r);
}

/* An op without cases, without a CPU forward, or without CUDA where there is CUDA, is a hole in the
 * table. */
static void test_table(void **state)
{
    const char *why;
    int         n = 0, cuda = asd_cuda_count(&why) > 0;
    (void)state;
    for (const asd_op *const *op = asd_ops; *op; ++op, ++n) {
        assert_non_null((*op)->fwd[ASD_CPU]);
        assert_non_null(asd_ref_find((*op)->name));
        assert_ptr_equal(asd_op_find((*op)->name), *op);
        if (cuda && (!(*op)->fwd[ASD_CUDA] || !(*op)->bwd[ASD_CUDA] != !(*op)->bwd[ASD_CPU]))
            fail_msg("%s has no CUDA kernel for one of its passes", (*op)->name);
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

/* The shim runs a thread at a time: it takes no benchmark shape. The largest are for GPUs; in bf16
 * the CPU computes as in fp32 but for the way in and out.
 * ASD_TEST_SMALL=1 leaves a GPU with the shim's, for tools that slow it down a hundredfold. */
static int wanted(const asd_case *c, asd_backend backend, int bf16)
{
#ifdef ASD_SIMT
    const int small = 1;
#else
    const int small      = getenv("ASD_TEST_SMALL") != NULL;
#endif
    if (small)
        return backend == ASD_CUDA && !c->bench;
    if (in_haste())
        return !c->bench;
    return backend == ASD_CUDA || c->bench < (bf16 ? 1 : 2);
}

enum { MAX = 4096 };

typedef struct list {
    struct CMUnitTest test[MAX];
    job               job[MAX];
    char              name[MAX][160];
    size_t            n;
} list;

static void add(list *l, job j)
{
    ASD_ASSERT(l->n < MAX);
    l->job[l->n] = j;
    snprintf(l->name[l->n], sizeof l->name[0], "ops/%s/%s%s/%s", j.op->name,
             op_rig_label(j.backend, j.bf16), j.backward ? "bwd" : "fwd", j.c->name);
    l->test[l->n] = (struct CMUnitTest){l->name[l->n], run_case, NULL, NULL, &l->job[l->n]};
    ++l->n;
}

int main(int argc, char **argv)
{
    static list l;
    const char *why;
    int         cuda = asd_cuda_count(&why) > 0;
    l.test[l.n++]    = (struct CMUnitTest){"ops/table/complete", test_table, NULL, NULL, NULL};
    for (const asd_op *const *op = asd_ops; *op; ++op)
        for (const asd_case *c = (*op)->cases; c->name; ++c)
            for (int variant = 0; variant < (cuda ? 4 : 2); ++variant) {
                asd_backend backend = variant < 2 ? ASD_CPU : ASD_CUDA;
                int         bf16    = variant % 2;
                if (!wanted(c, backend, bf16) || (bf16 && !(*op)->bf16))
                    continue;
                if ((*op)->fwd[backend])
                    add(&l, (job){*op, c, backend, bf16, 0});
                if ((*op)->bwd[backend] && !c->inference && !(bf16 && backend == ASD_CPU))
                    add(&l, (job){*op, c, backend, bf16, 1});
            }
    return asd_test_run(l.test, l.n, argc, argv);
}
