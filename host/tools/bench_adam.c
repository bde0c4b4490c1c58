/* bench_adam.c - one optimiser step over all parameters, which is no op of the tape: AdamW with the
 * gradient's norm and clipping, checked against the formulas of kernels/adam.h in double. */
#include "tools/bench.h"

#include "base/rng.h"
#include "kernels/adam.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { W, G, M, V, N_ARRAYS };

static const asd_adam adam = {.beta1        = 0.9,
                              .beta2        = 0.999,
                              .eps          = 1e-8,
                              .weight_decay = 0.01,
                              .clip_norm    = 1,
                              .decoupled    = 1};

typedef struct adam_rig {
    bench_device   *d;
    int64_t         n;
    asd_step        step;
    float          *array[N_ARRAYS]; /* (n) each, on the device */
    float          *fresh[N_ARRAYS]; /* the same at the start, on the host */
    double         *work;            /* CPU */
    asd_adam_layout layout;          /* CUDA, as the next two */
    void           *step_there, *norm;
} adam_rig;

static asd_status update_cpu(void *ctx)
{
    adam_rig *r = ctx;
    asd_adam_update_cpu(&adam, &r->step, r->n, r->array[W], r->array[G], r->array[M], r->array[V],
                        r->work);
    return ASD_OK;
}

static asd_status update_cuda(void *ctx)
{
    adam_rig *r = ctx;
    return asd_adam_update_cuda(&adam, &r->layout, r->step_there, r->array[W], r->array[G],
                                r->array[M], r->array[V], NULL, r->norm, r->d->stream);
}

static asd_status update(void *ctx)
{
    adam_rig *r = ctx;
    return r->d->kind == ASD_CUDA ? update_cuda(r) : update_cpu(r);
}

/* Error of the three results together, each relative to its own size. */
static double compare(const adam_rig *r, float *const *got)
{
    double sum = 0, t = (double)r->step.step + 1, lr = (double)r->step.lr;
    double error[N_ARRAYS] = {0}, size[N_ARRAYS] = {0};
    for (int64_t i = 0; i < r->n; ++i)
        sum += (double)r->fresh[G][i] * (double)r->fresh[G][i];
    double clip = fmin(1, adam.clip_norm / (sqrt(sum) + 1e-6));
    for (int64_t i = 0; i < r->n; ++i) {
        double g = (double)r->fresh[G][i] * clip, want[N_ARRAYS];
        want[M]  = adam.beta1 * (double)r->fresh[M][i] + (1 - adam.beta1) * g;
        want[V]  = adam.beta2 * (double)r->fresh[V][i] + (1 - adam.beta2) * g * g;
        want[W]  = (double)r->fresh[W][i] * (1 - lr * adam.weight_decay) -
                  lr / (1 - pow(adam.beta1, t)) * want[M] /
                      (sqrt(want[V] / (1 - pow(adam.beta2, t))) + adam.eps);
        want[G] = (double)r->fresh[G][i]; /* left as it is */
        for (int a = 0; a < N_ARRAYS; ++a) {
            error[a] += ((double)got[a][i] - want[a]) * ((double)got[a][i] - want[a]);
            size[a] += want[a] * want[a];
        }
    }
    double worst = 0;
    for (int a = 0; a < N_ARRAYS; ++a) {
        double one = sqrt(error[a] / size[a]);
        worst      = one <= worst ? worst : one; /* NaN wins */
    }
    return worst;
}

static asd_status start(adam_rig *r)
{
    for (int a = 0; a < N_ARRAYS; ++a)
        ASD_TRY(
            r->d->backend->upload(r->d, r->array[a], r->fresh[a], (size_t)r->n * sizeof(float)));
    return ASD_OK;
}

static asd_status check(void *ctx, bench_check *out)
{
    adam_rig  *r                = ctx;
    size_t     bytes            = (size_t)r->n * sizeof(float);
    float     *got[2][N_ARRAYS] = {{NULL}};
    asd_status st               = ASD_OK;
    memset(out, 0, sizeof *out);
    out->limit     = 1e-6; /* about ten roundings of 2^-24 */
    out->same_bits = 1;
    for (int i = 0; i < 2; ++i) {
        ASD_GO(done, st, start(r));
        ASD_GO(done, st, update(r));
        ASD_GO(done, st, r->d->backend->wait(r->d));
        for (int a = 0; a < N_ARRAYS; ++a) {
            if (!(got[i][a] = malloc(bytes))) {
                st = ASD_FAIL(ASD_E_OOM, "adam: no memory for a check");
                goto done;
            }
            ASD_GO(done, st, r->d->backend->download(r->d, got[i][a], r->array[a], bytes));
            if (i && memcmp(got[0][a], got[1][a], bytes))
                out->same_bits = 0;
        }
    }
    out->error  = compare(r, got[0]);
    out->passed = out->same_bits && out->error <= out->limit;
    if (!out->same_bits)
        snprintf(out->why, sizeof out->why, "two runs differ in their bits");
    else if (!out->passed)
        snprintf(out->why, sizeof out->why, "error %.3g, limit %.3g", out->error, out->limit);
done:
    for (int i = 0; i < 2; ++i)
        for (int a = 0; a < N_ARRAYS; ++a)
            free(got[i][a]);
    return st;
}

static void close_rig(void *ctx)
{
    adam_rig *r = ctx;
    for (int a = 0; a < N_ARRAYS; ++a) {
        r->d->backend->release(r->d, r->array[a]);
        free(r->fresh[a]);
    }
    r->d->backend->release(r->d, r->step_there);
    r->d->backend->release(r->d, r->norm);
    asd_adam_layout_clear(&r->layout);
    free(r->work);
    free(r);
}

/* What the device wants besides the four arrays. */
static asd_status make_rest(adam_rig *r)
{
    const asd_adam_slice all = {0, r->n};
    if (r->d->kind == ASD_CPU) {
        r->work = calloc((size_t)asd_adam_work(r->n), sizeof *r->work);
        return r->work ? ASD_OK : ASD_FAIL(ASD_E_OOM, "adam: no memory");
    }
    ASD_TRY(r->d->backend->alloc(r->d, sizeof r->step, "adam", &r->step_there));
    ASD_TRY(r->d->backend->upload(r->d, r->step_there, &r->step, sizeof r->step));
    ASD_TRY(r->d->backend->alloc(r->d, sizeof(double), "adam", &r->norm));
    return asd_adam_layout_init(&r->layout, r->d->stream, &all, 1, 1);
}

asd_status bench_adam_open(bench_subject *s, bench_device *d, int64_t n)
{
    asd_status st    = ASD_OK;
    size_t     bytes = (size_t)n * sizeof(float);
    adam_rig  *r     = calloc(1, sizeof *r);
    asd_rng    rng;
    memset(s, 0, sizeof *s);
    if (!r)
        return ASD_FAIL(ASD_E_OOM, "adam: no memory");
    *r = (adam_rig){.d = d, .n = n, .step = {.step = 9, .lr = 1e-3f}};
    st = make_rest(r);
    for (int a = 0; a < N_ARRAYS && !st; ++a) {
        void *p     = NULL;
        st          = d->backend->alloc(d, bytes, "adam", &p);
        r->array[a] = p;
        if (!st && !(r->fresh[a] = malloc(bytes)))
            st = ASD_FAIL(ASD_E_OOM, "adam: no memory");
    }
    if (st) {
        close_rig(r);
        return st;
    }
    asd_rng_init(&rng, 1, ASD_RNG_TEST, asd_rng_hash("adam"), 0);
    for (int a = 0; a < N_ARRAYS; ++a)
        for (int64_t i = 0; i < n; ++i) {
            double v       = asd_rng_normal(&rng);
            r->fresh[a][i] = (float)(a == V ? 1e-3 * v * v : v);
        }
    s->call           = d->kind == ASD_CUDA ? update_cuda : update_cpu;
    s->ctx            = r;
    s->check          = check;
    s->close          = close_rig;
    s->line.op        = "adam";
    s->line.case_name = "n=2.6M";
    s->line.pass      = BENCH_STEP;
    s->line.bytes     = 28.0 * (double)n; /* w, g, m, v read; w, m, v written */
    snprintf(s->line.shape, sizeof s->line.shape, "(%lld)", (long long)n);
    return start(r);
}
