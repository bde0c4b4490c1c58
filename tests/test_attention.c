/* test_attention.c - attention beyond the small cases of test_ops.c, on every backend: gradients of
 * clips that are several tiles long, against the double reference along random directions; clips
 * that do not know of each other; keys behind a clip's length that are never read; the buckets.
 */
#include "op_rig.h"
#include "ref/ref_ops.h"

#include "base/device.h"
#include "base/rng.h"
#include "kernels/attention.h"
#include "nn/tape.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- shapes --- */

typedef struct shape {
    int64_t B, P, H, K;
    int     masked, gated;
} shape;

typedef struct made {
    asd_attention_attr attr;
    asd_case           c;
    char               name[80];
} made;

static void make_case(shape s, made *m)
{
    memset(m, 0, sizeof *m);
    snprintf(m->name, sizeof m->name, "B=%d,P=%d,H=%d,K=%d,%d,%d", (int)s.B, (int)s.P, (int)s.H,
             (int)s.K, s.masked, s.gated);
    m->attr = (asd_attention_attr){
        .heads = s.H, .masked = s.masked, .gated = s.gated, .buckets = 32, .max_distance = 90};
    asd_case *c      = &m->c;
    c->name          = m->name;
    c->attr          = &m->attr;
    c->index_limit   = s.P + 1;
    c->in[c->n_in++] = (asd_spec){ASD_F32, ASD_SHAPE3(s.B, s.P, 3 * s.H * s.K)};
    c->fill[c->n_in] = ASD_FILL_INDEX;
    if (s.masked)
        c->in[c->n_in++] = (asd_spec){ASD_I32, ASD_SHAPE1(s.B)};
    if (!s.gated)
        return;
    c->fill[c->n_in] = ASD_FILL_POSITIVE;
    c->in[c->n_in++] = (asd_spec){ASD_F32, ASD_SHAPE2(32, s.H)};
    c->in[c->n_in++] = (asd_spec){ASD_F32, ASD_SHAPE2(8, s.K)};
    c->in[c->n_in++] = (asd_spec){ASD_F32, ASD_SHAPE1(8)};
    c->in[c->n_in++] = (asd_spec){ASD_F32, ASD_SHAPE1(s.H)};
}

typedef struct variant {
    asd_backend backend;
    int         bf16, method;
} variant;

static const variant variants[] = {{ASD_CPU, 0, ASD_ATTENTION_AUTO},
                                   {ASD_CUDA, 0, ASD_ATTENTION_AUTO},
                                   {ASD_CUDA, 1, ASD_ATTENTION_AUTO},
                                   {ASD_CUDA, 1, ASD_ATTENTION_HOPPER}};

static int has_hopper(void)
{
    asd_gpu_info info;
    assert_ok(asd_gpu_ask(0, &info));
    return info.major == 9 && info.minor == 0;
}

static int n_variants(void)
{
    const char *why;
    return asd_cuda_count(&why) <= 0 ? 1 : has_hopper() ? 4 : 3;
}

static int suits(variant how, shape s)
{
    return how.method != ASD_ATTENTION_HOPPER || s.K == 64;
}

/* --- gradients along directions --- */

/* Slope of sum(dy y) when input k moves along v, by central differences. */
static double slope(op_rig *r, const double *dy, int k, const double *v)
{
    asd_ref_fwd  ref = asd_ref_find("attention");
    int64_t      n = asd_count(r->c->in[k].shape), ny = asd_count(r->node.y.shape);
    double      *y = malloc((size_t)ny * sizeof *y), *at = malloc((size_t)n * sizeof *at), sum = 0;
    double      *kept = r->ref[k];
    const double h    = 1e-6;
    r->ref[k]         = at;
    for (int side = -1; side <= 1; side += 2) {
        for (int64_t i = 0; i < n; ++i)
            at[i] = kept[i] + side * h * v[i];
        ref(&r->node, 1, (const double *const *)r->ref, y, NULL);
        for (int64_t i = 0; i < ny; ++i)
            sum += side * dy[i] * y[i];
    }
    r->ref[k] = kept;
    free(at);
    free(y);
    return sum / (2 * h);
}

static void check_direction(op_rig *r, const double *dy, int k)
{
    int64_t n = asd_count(r->c->in[k].shape);
    double *v = malloc((size_t)n * sizeof *v), along = 0, size = 0;
    asd_rng rng;
    asd_rng_init(&rng, 5, ASD_RNG_TEST, (uint64_t)k, 0);
    for (int64_t i = 0; i < n; ++i) {
        double g = op_rig_get(r->call.x[k].g_dtype, op_rig_host(&r->g[k]), i);
        v[i]     = asd_rng_normal(&rng);
        along += g * v[i];
        size += g * g;
    }
    assert_true(size > 0);
    /* bf16: about three roundings of 2^-9 in each term; fp32: sums over up to 2,000
     * queries that cancel */
    double want = slope(r, dy, k, v), limit = (r->bf16 ? 0x1p-6 : 3e-5) * sqrt(size);
    if (!(fabs(along - want) <= limit))
        fail_msg("%s%s: gradient of input %d along a direction: %.9g, want %.9g, limit %g",
                 op_rig_label(r->backend, r->bf16), r->c->name, k, along, want, limit);
    free(v);
}

static void check_gradients(shape s, variant how)
{
    static const unsigned char store[ASD_MAX_IN];
    unsigned char              given[ASD_MAX_IN] = {0};
    made                       m;
    op_rig                     r;
    make_case(s, &m);
    m.attr.method = how.method;
    op_rig_new(&r, &asd_op_attention, &m.c, how.backend, how.bf16);
    double *dy = malloc((size_t)asd_count(r.node.y.shape) * sizeof *dy);
    op_rig_gradients(&r, dy);
    for (int k = 0; k < m.c.n_in; ++k)
        given[k] = (unsigned char)op_rig_has_grad(&r, k);
    op_rig_fwd(&r);
    op_rig_bwd(&r, given, store);
    for (int k = 0; k < m.c.n_in; ++k)
        if (given[k])
            check_direction(&r, dy, k);
    op_rig_free(&r);
    free(dy);
}

/* More than one tile of queries and of keys on each backend, and not whole ones. */
static void test_gradients(void **state)
{
    static const shape shapes[] = {
        {1, 131, 1, 32, 0, 1}, {2, 70, 2, 64, 1, 1}, {1, 67, 1, 128, 1, 1},
        {1, 97, 1, 64, 0, 0},  {3, 66, 1, 32, 1, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; ++i)
        for (int v = 0; v < n_variants(); ++v)
            if (suits(variants[v], shapes[i]))
                check_gradients(shapes[i], variants[v]);
}

/* The CPU's blocks of keys: 256 backward, 512 forward. */
static void test_long(void **state)
{
    static const shape shapes[] = {{1, 700, 1, 32, 0, 1}, {2, 1031, 1, 64, 1, 1}};
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; ++i)
        check_gradients(shapes[i], variants[0]);
}

/* --- clips apart --- */

typedef struct outcome {
    void *y, *dqkv;
} outcome;

/* Clips first .. first + s.B - 1 of `from`, which has the inputs of all of them (NULL: its own);
 * y and dqkv as bytes. lengths: (s.B) */
static outcome run(shape s, variant how, const op_rig *from, int64_t first, const int32_t *lengths,
                   op_rig *r, made *m)
{
    static const unsigned char store[ASD_MAX_IN];
    unsigned char              given[ASD_MAX_IN] = {1};
    outcome                    o;
    make_case(s, m);
    m->attr.method = how.method;
    op_rig_new(r, &asd_op_attention, &m->c, how.backend, how.bf16);
    double *dy = malloc((size_t)asd_count(r->node.y.shape) * sizeof *dy);
    op_rig_gradients(r, dy);
    for (int k = 0; from && k < m->c.n_in; ++k)
        memcpy(r->fresh[k], (const char *)from->fresh[k] + (k ? 0 : first * (int64_t)r->x[0].bytes),
               r->x[k].bytes);
    if (from)
        memcpy(op_rig_host(&r->dy), (char *)op_rig_host(&from->dy) + first * (int64_t)r->dy.bytes,
               r->dy.bytes);
    if (s.masked)
        memcpy(r->fresh[1], lengths, (size_t)s.B * sizeof *lengths);
    op_rig_fwd(r);
    o.y = malloc(r->y.bytes);
    memcpy(o.y, op_rig_host(&r->y), r->y.bytes);
    op_rig_bwd(r, given, store);
    o.dqkv = malloc(r->g[0].bytes);
    memcpy(o.dqkv, op_rig_host(&r->g[0]), r->g[0].bytes);
    free(dy);
    return o;
}

static void drop(outcome o)
{
    free(o.y);
    free(o.dqkv);
}

static void test_batch(void **state)
{
    const shape          whole     = {3, 70, 2, 64, 1, 1};
    static const int32_t lengths[] = {70, 33, 70};
    (void)state;
    asd_test_skip_repetition();
    for (int v = 0; v < n_variants(); ++v) {
        op_rig  all, one;
        made    m, n;
        outcome together = run(whole, variants[v], NULL, 0, lengths, &all, &m);
        for (int64_t b = 0; b < whole.B; ++b) {
            shape s     = whole;
            s.B         = 1;
            outcome own = run(s, variants[v], &all, b, lengths + b, &one, &n);
            if (memcmp(own.y, (char *)together.y + b * (int64_t)one.y.bytes, one.y.bytes))
                fail_msg("%sclip %d: other bits alone than in a batch",
                         op_rig_label(variants[v].backend, variants[v].bf16), (int)b);
            if (memcmp(own.dqkv, (char *)together.dqkv + b * (int64_t)one.g[0].bytes,
                       one.g[0].bytes))
                fail_msg("%sclip %d: other bits of the gradient alone than in a batch",
                         op_rig_label(variants[v].backend, variants[v].bf16), (int)b);
            op_rig_free(&one);
            drop(own);
        }
        op_rig_free(&all);
        drop(together);
    }
}

static double element(const op_rig *r, const void *x, int64_t i)
{
    return op_rig_get(r->node.in[0].dtype, x, i);
}

/* Keys and values behind the length are NaN here: whatever reads them shows. A clip of length 0
 * gives 0 and no gradient. */
static void test_padding(void **state)
{
    enum { P = 70, LENGTH = 37 };
    static const int32_t lengths[] = {LENGTH, 0};
    (void)state;
    for (int v = 0; v < n_variants(); ++v) {
        const int64_t K = suits(variants[v], (shape){.K = 32}) ? 32 : 64;
        const shape   s = {2, P, 1, K, 1, 1};
        op_rig        plain, r;
        made          m, n;
        outcome       want = run(s, variants[v], NULL, 0, lengths, &plain, &m);
        for (int64_t i = LENGTH; i < P; ++i)
            for (int64_t c = K; c < 3 * K; ++c)
                op_rig_put(plain.node.in[0].dtype, plain.fresh[0], i * 3 * K + c, (double)NAN);
        outcome got = run(s, variants[v], &plain, 0, lengths, &r, &n);
        assert_memory_equal(got.y, want.y, r.y.bytes);
        assert_memory_equal(got.dqkv, want.dqkv, r.g[0].bytes);
        for (int64_t i = 0; i < P * K; ++i)
            assert_true(element(&r, got.y, P * K + i) == 0);
        for (int64_t i = 0; i < P; ++i)
            for (int64_t c = 0; c < 3 * K; ++c) {
                double g = element(&r, got.dqkv, i * 3 * K + c);
                assert_true(isfinite(g) && (i < LENGTH || c < K || g == 0));
                assert_true(element(&r, got.dqkv, (P + i) * 3 * K + c) == 0);
            }
        op_rig_free(&plain);
        op_rig_free(&r);
        drop(want);
        drop(got);
    }
}

/* --- the kernel for Hopper --- */

/* y of a forward on CUDA with bf16, by this method; returns 0 where the device cannot. */
static int forward_by(shape s, int method, double *y)
{
    made   m;
    op_rig r;
    make_case(s, &m);
    m.attr.method = method;
    if (method == ASD_ATTENTION_HOPPER && !has_hopper())
        return 0;
    op_rig_new(&r, &asd_op_attention, &m.c, ASD_CUDA, 1);
    op_rig_fwd(&r);
    for (int64_t i = 0; i < asd_count(r.node.y.shape); ++i)
        y[i] = op_rig_get(ASD_BF16, op_rig_host(&r.y), i);
    op_rig_free(&r);
    return 1;
}

/* The same sums in another order: y differs by roundings of p and of y itself. 530 tokens: every
 * stage of keys is filled more than twice. */
static void test_hopper(void **state)
{
    static const shape shapes[] = {
        {2, 150, 1, 64, 1, 1}, {1, 67, 2, 64, 0, 0}, {3, 5, 1, 64, 1, 0}, {1, 530, 1, 64, 0, 1}};
    (void)state;
    if (n_variants() < 3)
        skip();
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; ++i) {
        shape   s = shapes[i];
        int64_t n = s.B * s.P * s.H * s.K;
        double *a = malloc((size_t)n * sizeof *a), *b = malloc((size_t)n * sizeof *b), size = 0;
        int     can =
            forward_by(s, ASD_ATTENTION_PORTABLE, a) && forward_by(s, ASD_ATTENTION_HOPPER, b);
        for (int64_t j = 0; can && j < n; ++j) {
            size = fmax(size, fabs(a[j]));
            if (!(fabs(a[j] - b[j]) <= 0x1p-7 * (fabs(a[j]) + 0.25)))
                fail_msg("y[%d] is %g by wgmma, %g by mma", (int)j, b[j], a[j]);
        }
        assert_true(!can || size > 0.5);
        free(a);
        free(b);
        if (!can) {
            print_message("skipped: no device of compute capability 9.0\n");
            skip();
        }
    }
}

/* A rig with y made by one method on CUDA with bf16; dy: also in double. 0 where the device
 * cannot. */
static int rig_by(shape s, int method, op_rig *r, made *m, double **dy)
{
    if (method == ASD_ATTENTION_HOPPER && !has_hopper())
        return 0;
    make_case(s, m);
    m->attr.method = method;
    op_rig_new(r, &asd_op_attention, &m->c, ASD_CUDA, 1);
    *dy = malloc((size_t)asd_count(r->node.y.shape) * sizeof **dy);
    op_rig_gradients(r, *dy);
    for (int64_t b = 0; s.masked && b < s.B; ++b) { /* one clip: two thirds; more: the last empty */
        int64_t keys                = s.B == 1 ? s.P - s.P / 3 : b + 1 < s.B ? s.P - 3 * b : 0;
        ((int32_t *)r->fresh[1])[b] = (int32_t)keys;
        r->ref[1][b]                = (double)keys;
    }
    op_rig_fwd(r);
    return 1;
}

/* The same sums in another order, with p and ds rounded from other digits; twice what was seen. */
static void compare_gradients(const op_rig *a, const op_rig *b)
{
    for (int k = 0; k < a->c->n_in; ++k) {
        if (!op_rig_has_grad(a, k))
            continue;
        int64_t   n    = asd_count(a->c->in[k].shape);
        asd_dtype t    = a->call.x[k].g_dtype;
        double    size = 0;
        for (int64_t i = 0; i < n; ++i) {
            double g = op_rig_get(t, op_rig_host(&a->g[k]), i);
            size += g * g / (double)n;
        }
        assert_true(size > 0 || a->c->in[0].shape.d[1] == 1);
        for (int64_t i = 0; i < n; ++i) {
            double x = op_rig_get(t, op_rig_host(&a->g[k]), i),
                   y = op_rig_get(t, op_rig_host(&b->g[k]), i);
            if (!(fabs(x - y) <= 0x1p-5 * (sqrt(size) + fabs(x)) + 1e-6))
                fail_msg("%s: element %d of gradient %d is %g by wgmma, %g by mma, whose root mean "
                         "square is %g",
                         a->c->name, (int)i, k, y, x, sqrt(size));
        }
    }
}

/* Again, with the same bits; added to itself: twice as much, exactly; and the gate's parameters
 * where nobody asks for dqkv. */
static void run_again(op_rig *r)
{
    unsigned char given[ASD_MAX_IN], acc[ASD_MAX_IN];
    void         *first[ASD_MAX_IN] = {0};
    for (int round = 0; round < 3; ++round) {
        memset(given, 1, sizeof given);
        memset(acc, round == 1, sizeof acc);
        given[0] = round < 2;
        for (int k = 0; k < r->c->n_in; ++k) {
            if (!first[k] && op_rig_has_grad(r, k)) {
                first[k] = malloc(r->g[k].bytes);
                memcpy(first[k], op_rig_host(&r->g[k]), r->g[k].bytes);
            }
        }
        op_rig_bwd(r, given, acc);
        for (int k = 0; k < r->c->n_in; ++k)
            for (int64_t i = 0; first[k] && i < asd_count(r->c->in[k].shape); ++i) {
                asd_dtype t = r->call.x[k].g_dtype;
                double x = op_rig_get(t, first[k], i), y = op_rig_get(t, op_rig_host(&r->g[k]), i);
                double want = round == 1 || (round == 2 && k == 0) ? 2 * x : x;
                if (y != want)
                    fail_msg("run %d: element %d of gradient %d is %g, want %g", round, (int)i, k,
                             y, want);
            }
    }
    for (int k = 0; k < r->c->n_in; ++k)
        free(first[k]);
}

/* One token; one key less than a tile, as many, one more; two passes over keys, with a tile of
 * queries left over and without. */
static void test_hopper_gradients(void **state)
{
    static const shape shapes[] = {
        {1, 1, 1, 64, 0, 1},  {3, 63, 1, 64, 1, 0},  {1, 64, 1, 64, 0, 1},
        {2, 65, 2, 64, 1, 1}, {1, 130, 1, 64, 0, 0}, {1, 197, 1, 64, 1, 1},
    };
    static const unsigned char store[ASD_MAX_IN];
    unsigned char              given[ASD_MAX_IN];
    (void)state;
    if (n_variants() < 3)
        skip();
    memset(given, 1, sizeof given);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; ++i) {
        op_rig  portable, hopper;
        made    m, n;
        double *dy = NULL, *same = NULL;
        if (!rig_by(shapes[i], ASD_ATTENTION_HOPPER, &hopper, &m, &dy)) {
            print_message("skipped: no device of compute capability 9.0\n");
            skip();
        }
        assert_true(rig_by(shapes[i], ASD_ATTENTION_PORTABLE, &portable, &n, &same));
        op_rig_bwd(&portable, given, store);
        op_rig_bwd(&hopper, given, store);
        compare_gradients(&portable, &hopper);
        for (int k = 0; k < m.c.n_in && shapes[i].P > 1; ++k)
            if (op_rig_has_grad(&hopper, k))
                check_direction(&hopper, dy, k);
        if (shapes[i].P == 65)
            run_again(&hopper);
        op_rig_free(&portable);
        op_rig_free(&hopper);
        free(dy);
        free(same);
    }
}

static void test_hopper_refused(void **state)
{
    made        m;
    asd_call    c = {0};
    asd_gpu    *gpu;
    asd_stream *stream;
    (void)state;
    if (n_variants() < 3)
        skip();
    make_case((shape){1, 5, 1, 32, 0, 0}, &m);
    m.attr.method = ASD_ATTENTION_HOPPER;
    assert_ok(asd_gpu_open(0, &gpu));
    assert_ok(asd_stream_new(gpu, &stream));
    c.attr       = &m.attr;
    c.stream     = stream;
    c.x[0].dtype = ASD_F32;
    c.x[0].shape = m.c.in[0].shape;
    assert_fails(asd_op_attention.prepare[ASD_CUDA](&c), ASD_E_CONFIG, "f32, heads of width 32");
    asd_op_attention.release[ASD_CUDA](&c);
    asd_stream_free(stream);
    asd_gpu_close(gpu);
}

/* --- buckets --- */

/* Where BEATs' buckets 80 .. 159 begin, from its specification. */
static void test_buckets(void **state)
{
    static const int64_t first[] = {
        80,  83,  85,  88,  90,  93,  96,  98,  101, 104, 107, 110, 114, 117, 120, 124,
        127, 131, 135, 139, 143, 147, 151, 156, 160, 165, 170, 175, 180, 185, 190, 196,
        201, 207, 213, 220, 226, 233, 239, 246, 253, 261, 268, 276, 284, 293, 301, 310,
        319, 328, 338, 348, 358, 368, 379, 390, 401, 413, 425, 438, 450, 464, 477, 491,
        505, 520, 535, 551, 567, 583, 600, 618, 636, 655, 674, 693, 714, 734, 756, 778,
    };
    (void)state;
    for (int64_t d = 0; d < 3000; ++d) {
        int64_t want = d;
        if (d >= 80)
            for (int64_t i = 0; i < 80 && d >= first[i]; ++i)
                want = 80 + i;
        assert_int_equal(asd_attention_bucket(-d, 320, 800), want);
        assert_int_equal(asd_attention_bucket(d, 320, 800), want + (d > 0 ? 160 : 0));
    }
}

/* --- what it refuses, and the tape --- */

static void test_refusals(void **state)
{
    made m;
    (void)state;
    make_case((shape){2, 5, 2, 32, 1, 1}, &m);
    asd_node good = {.op = &asd_op_attention, .attr = &m.attr, .n_in = m.c.n_in}, n;
    memcpy(good.in, m.c.in, sizeof good.in);
    n = good;
    assert_ok(n.op->infer(&n));
    assert_true(asd_shape_equal(n.y.shape, ASD_SHAPE3(2, 5, 64)));
    n.in[0].shape.d[2] = 191;
    assert_fails(n.op->infer(&n), ASD_E_SHAPE, "(2, 5, 191) with 2 heads");
    n                  = good;
    n.in[0].shape.d[2] = 96;
    assert_fails(n.op->infer(&n), ASD_E_SHAPE, "heads of width 16, want 32, 64 or 128");
    n             = good;
    n.in[1].dtype = ASD_F32;
    assert_fails(n.op->infer(&n), ASD_E_SHAPE, "lengths are f32 (2), want i32 (2)");
    n                  = good;
    n.in[2].shape.d[0] = 320;
    assert_fails(n.op->infer(&n), ASD_E_SHAPE, "table is f32 (320, 2), want f32 (32, 2)");
    n             = good;
    n.in[5].dtype = ASD_BF16;
    assert_fails(n.op->infer(&n), ASD_E_SHAPE, "grep_a is bf16 (2), want f32 (2)");
    n      = good;
    n.n_in = 5;
    assert_fails(n.op->infer(&n), ASD_E_SHAPE, "5 inputs, want 6");
    n                   = good;
    m.attr.max_distance = 8;
    assert_fails(n.op->infer(&n), ASD_E_CONFIG, "32 buckets and max_distance 8");
}

static void test_tape(void **state)
{
    asd_params params;
    asd_tape   t;
    (void)state;
    asd_params_init(&params);
    asd_tape_init(&t, &params, 0);
    asd_val qkv     = asd_tape_input(&t, "qkv", ASD_F32, ASD_SHAPE3(2, 7, 192));
    asd_val lengths = asd_tape_input(&t, "lengths", ASD_I32, ASD_SHAPE1(2));
    asd_val gate[]  = {asd_tape_param(&t, "table", ASD_SHAPE2(320, 2), ASD_INIT_ONE, 0),
                       asd_tape_param(&t, "w", ASD_SHAPE2(8, 32), ASD_INIT_ONE, 0),
                       asd_tape_param(&t, "b", ASD_SHAPE1(8), ASD_INIT_ONE, 0),
                       asd_tape_param(&t, "a", ASD_SHAPE1(2), ASD_INIT_ONE, 0)};
    asd_val plain   = asd_attention(&t, qkv, 2, ASD_NO_VAL);
    asd_val masked  = asd_attention(&t, qkv, 1, lengths);
    asd_val gated   = asd_attention_gated(&t, qkv, 2, lengths, gate, 320, 800);
    assert_int_equal(t.status, ASD_OK);
    assert_int_equal(t.n_nodes, 3);
    for (int i = 0; i < 3; ++i)
        assert_true(asd_shape_equal(asd_tape_shape(&t, (asd_val[]){plain, masked, gated}[i]),
                                    ASD_SHAPE3(2, 7, 64)));
    assert_int_equal(t.node[0].n.n_in, 1);
    assert_int_equal(t.node[1].n.n_in, 2);
    assert_int_equal(t.node[2].n.n_in, 6);
    assert_int_equal(((const asd_attention_attr *)t.node[2].n.attr)->max_distance, 800);
    assert_int_equal(asd_attention(&t, qkv, 5, ASD_NO_VAL), ASD_NO_VAL);
    assert_int_equal(t.status, ASD_E_SHAPE);
    asd_tape_clear(&t);
    asd_params_clear(&params);
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("attention/buckets/BEATs", test_buckets),
    ASD_CASE("attention/bwd/along directions", test_gradients),
    ASD_CASE("attention/bwd/long clips on the CPU", test_long),
    ASD_CASE("attention/batch/same bits alone", test_batch),
    ASD_CASE("attention/masked/padding is not read", test_padding),
    ASD_CASE("attention/hopper/as portable", test_hopper),
    ASD_CASE("attention/hopper/bwd as portable", test_hopper_gradients),
    ASD_CASE("attention/hopper/refused", test_hopper_refused),
    ASD_CASE("attention/infer/refusals", test_refusals),
    ASD_CASE("attention/tape/inputs", test_tape),
};

ASD_TEST_MAIN(cases)
