/* bench_foundation.c - how fast the parts of the baseline run on this machine: JSON lines on
 * stdout.
 *
 *   logmel/clip       features of one clip of 10 s, one thread
 *   train/step        one step of the official autoencoder, 256 rows
 *   bootstrap/omega   10,000 replicates of 7 machines x 200 clips, all cells, one thread
 *
 * Single ops are measured by `asd-bench kernels`.
 *
 *   bench_foundation [-j THREADS] [-c COMMIT] [GLOB...]      globs of the names above; none = all
 *
 * Each line: median, smallest, 20th and 80th percentile of the time of one call in seconds, hot
 * (called again and again) and cold (after the caches were filled with something else), and, where
 * they mean something, Gflop/s and GB/s of the hot median. Flops are the op's own count; bytes
 * count every tensor that the call must read or write once.
 */
#include "base/arena.h"
#include "base/par.h"
#include "base/rng.h"
#include "kernels/adam.h"
#include "models/models.h"
#include "nn/plan.h"
#include "score/omega.h"

#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MAX_TIMES = 2000, FLUSH_BYTES = 64 << 20 };

typedef struct bench {
    const char *commit;
    int         threads;
    char      **glob;
    int         n_globs;
    char        cpu[128];
    char       *flush; /* (FLUSH_BYTES) read and written to empty the caches */
} bench;

/* What a measurement calls. */
typedef asd_status (*bench_call)(void *ctx);

static void fail(const char *what, asd_status st)
{
    if (st) {
        fprintf(stderr, "bench_foundation: %s: %s\n", what, asd_error_text());
        exit(1);
    }
}

static void *take(size_t count, size_t size)
{
    void *p = asd_calloc_aligned(count ? count : 1, size);
    if (!p) {
        fprintf(stderr, "bench_foundation: no memory for %zu bytes\n", count * size);
        exit(4);
    }
    return p;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int wanted(const bench *b, const char *name)
{
    for (int i = 0; i < b->n_globs; ++i)
        if (!fnmatch(b->glob[i], name, 0))
            return 1;
    return b->n_globs == 0;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

typedef struct spread {
    double min, p20, median, p80;
    int    n;
} spread;

/* Calls until 0.5 s and at least 5 calls are over, at most MAX_TIMES. */
static spread measure(bench *b, const char *name, bench_call call, void *ctx, int cold)
{
    double *time  = take(MAX_TIMES, sizeof *time);
    double  begin = now();
    int     n     = 0;
    fail(name, call(ctx)); /* warm up */
    while (n < MAX_TIMES && (n < 5 || now() - begin < 0.5)) {
        for (size_t i = 0; cold && i < FLUSH_BYTES; i += 64)
            ++b->flush[i];
        double start = now();
        fail(name, call(ctx));
        time[n++] = now() - start;
    }
    qsort(time, (size_t)n, sizeof *time, by_size);
    spread s = {time[0], time[n / 5], time[n / 2], time[n * 4 / 5], n};
    free(time);
    return s;
}

/* Average number of running processes over the last minute; above the thread count somebody else
 * was computing and the numbers are worth little. */
static double load_now(void)
{
    double load = -1;
    return getloadavg(&load, 1) == 1 ? load : -1;
}

/* flops, bytes: of one call; 0 = not reported. */
static void report(bench *b, const char *name, bench_call call, void *ctx, double flops,
                   double bytes)
{
    char   date[32];
    time_t t    = time(NULL);
    spread hot  = measure(b, name, call, ctx, 0);
    spread cold = measure(b, name, call, ctx, 1);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", localtime(&t));
    printf(
        "{\"what\": \"%s\", \"date\": \"%s\", \"commit\": \"%s\", \"version\": \"%s\", "
        "\"compiler\": \"%s\", \"cpu\": \"%s\", \"cores\": %ld, \"load\": %.2f, \"threads\": %d, "
        "\"median_s\": %.4g, \"min_s\": %.4g, \"p20_s\": %.4g, \"p80_s\": %.4g, \"repeats\": %d, "
        "\"cold_median_s\": %.4g, \"cold_p20_s\": %.4g, \"cold_p80_s\": %.4g",
        name, date, b->commit, ASD_VERSION, __VERSION__, b->cpu, sysconf(_SC_NPROCESSORS_ONLN),
        load_now(), asd_par_threads(), hot.median, hot.min, hot.p20, hot.p80, hot.n, cold.median,
        cold.p20, cold.p80);
    if (flops > 0)
        printf(", \"gflops\": %.4g", 1e-9 * flops / hot.median);
    if (bytes > 0)
        printf(", \"gbytes_per_s\": %.4g", 1e-9 * bytes / hot.median);
    printf("}\n");
    fflush(stdout);
}

/* --- plans ------------------------------------------------------------------------------------ */

static asd_status forward_plan(void *plan)
{
    return asd_plan_forward(plan);
}

static void bench_logmel(bench *b)
{
    static const asd_logmel_attr attr = {1024, 512, 128, 16000, 0, 8000, 2.220446049250313e-16, 0};
    asd_params                   params;
    asd_tape                     tape;
    asd_plan                    *plan;
    asd_rng                      r;
    if (!wanted(b, "logmel/clip"))
        return;
    asd_params_init(&params);
    asd_tape_init(&tape, &params, 0);
    asd_val x   = asd_tape_input(&tape, "samples", ASD_I16, ASD_SHAPE2(1, 160000));
    asd_val out = asd_logmel(&tape, x, attr);
    fail("logmel", asd_params_alloc(&params, 0));
    fail("logmel", asd_plan_build(&tape, ASD_NO_VAL, &out, 1, NULL, &plan));
    asd_rng_init(&r, 1, ASD_RNG_TEST, 0, 0);
    for (int64_t i = 0; i < 160000; ++i)
        ((int16_t *)asd_plan_data(plan, x))[i] = (int16_t)(3000 * asd_rng_normal(&r));
    asd_par_set_threads(1);
    report(b, "logmel/clip", forward_plan, plan, 0, 160000 * 2 + 313 * 128 * 4);
    asd_par_set_threads(b->threads);
    asd_plan_free(plan);
    asd_tape_clear(&tape);
    asd_params_clear(&params);
}

typedef struct step_bench {
    asd_params params;
    asd_plan  *plan;
    int64_t    step;
    double    *work;
} step_bench;

static asd_status train_step(void *ctx)
{
    static const asd_adam adam = {.beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8};
    step_bench           *s    = ctx;
    asd_params           *p    = &s->params;
    memset(p->g, 0, (size_t)p->n_trainable * sizeof *p->g);
    asd_plan_step(s->plan)->step = s->step++;
    asd_plan_step(s->plan)->lr   = 1e-3f;
    ASD_TRY(asd_plan_forward(s->plan));
    ASD_TRY(asd_plan_backward(s->plan));
    asd_adam_update_cpu(&adam, asd_plan_step(s->plan), p->n_trainable, p->w, p->g, p->m, p->v,
                        s->work);
    return ASD_OK;
}

static void bench_train(bench *b)
{
    enum { FRAMES = 313 * 1000, ROWS = 256 };
    asd_cfg    cfg = {.model_hidden      = 128,
                      .model_depth       = 4,
                      .model_code        = 8,
                      .model_bn_eps      = 1e-3,
                      .model_bn_momentum = 0.01};
    step_bench s   = {.plan = NULL};
    asd_tape   tape;
    asd_rng    r;
    if (!wanted(b, "train/step"))
        return;
    asd_params_init(&s.params);
    asd_tape_init(&tape, &s.params, 1);
    asd_val frames = asd_tape_bound(&tape, "frames", ASD_F32, ASD_SHAPE2(FRAMES, 128));
    asd_val index  = asd_tape_input(&tape, "index", ASD_I32, ASD_SHAPE1(ROWS));
    asd_val x      = asd_frame_stack(&tape, frames, index, 5);
    asd_val loss   = asd_mse(&tape, asd_autoencoder(&tape, x, &cfg), x);
    fail("train", asd_params_alloc(&s.params, 1));
    asd_params_reset(&s.params, 1, 1);
    fail("train", asd_plan_build(&tape, loss, NULL, 0, NULL, &s.plan));
    float *data = take((size_t)FRAMES * 128, sizeof *data);
    asd_rng_init(&r, 1, ASD_RNG_TEST, 0, 0);
    for (int64_t i = 0; i < 313 * 128; ++i)
        data[i] = (float)(-40 + 20 * asd_rng_uniform(&r));
    for (int64_t c = 1; c < FRAMES / 313; ++c) /* the time does not depend on the values */
        memcpy(data + c * 313 * 128, data, 313 * 128 * sizeof *data);
    asd_plan_bind(s.plan, frames, data);
    for (int64_t i = 0; i < ROWS; ++i)
        ((int32_t *)asd_plan_data(s.plan, index))[i] = (int32_t)asd_rng_below(&r, FRAMES - 5);
    s.work = take((size_t)asd_adam_work(s.params.n_trainable), sizeof *s.work);
    /* 2 flops a weight and row forward, 4 backward but 2 in the first layer: no gradient of x */
    report(b, "train/step", train_step, &s, ROWS * (6.0 * 266496 - 2.0 * 640 * 128), 0);
    free(s.work);
    free(data);
    asd_plan_free(s.plan);
    asd_tape_clear(&tape);
    asd_params_clear(&s.params);
}

/* --- bootstrap -------------------------------------------------------------------------------- */

static asd_status omega_once(void *ctx)
{
    asd_omega         omega;
    asd_omega_options options = ASD_OMEGA_DEFAULTS; /* 10,000 replicates, 21 cells */
    asd_status        st      = asd_omega_compute(ctx, &options, &omega);
    asd_omega_clear(&omega);
    return st;
}

/* 7 machines x 200 clips as in the challenge: 50 of each domain and condition. */
static void bench_bootstrap(bench *b)
{
    enum { MACHINES = 7, CLIPS = 200 };
    asd_eval_set set[MACHINES];
    asd_eval     eval = {set, MACHINES};
    char         names[MACHINES][16], clip_names[CLIPS][16], *clip_name[CLIPS];
    asd_rng      r;
    if (!wanted(b, "bootstrap/omega"))
        return;
    asd_rng_init(&r, 1, ASD_RNG_TEST, 0, 0);
    for (int i = 0; i < CLIPS; ++i) {
        snprintf(clip_names[i], sizeof *clip_names, "%04d.wav", i);
        clip_name[i] = clip_names[i];
    }
    for (int m = 0; m < MACHINES; ++m) {
        asd_eval_set *s = &set[m];
        snprintf(names[m], sizeof *names, "machine_%d", m);
        *s = (asd_eval_set){.machine = names[m],
                            .n       = CLIPS,
                            .name    = clip_name,
                            .score   = take(CLIPS, sizeof *s->score),
                            .target  = take(CLIPS, 1),
                            .anomaly = take(CLIPS, 1),
                            .count   = {{50, 50}, {50, 50}}};
        for (int i = 0; i < CLIPS; ++i) {
            s->target[i]  = i >= 100;
            s->anomaly[i] = i / 50 % 2;
            s->score[i]   = asd_rng_normal(&r) + 0.4 * s->anomaly[i];
        }
    }
    asd_par_set_threads(1);
    report(b, "bootstrap/omega", omega_once, &eval, 0, 0);
    asd_par_set_threads(b->threads);
    for (int m = 0; m < MACHINES; ++m) {
        free(set[m].score);
        free(set[m].target);
        free(set[m].anomaly);
    }
}

static void read_cpu(bench *b)
{
    char  line[256];
    FILE *f = fopen("/proc/cpuinfo", "r");
    snprintf(b->cpu, sizeof b->cpu, "unknown");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "model name : %127[^\n\"\\]", b->cpu) == 1)
            break;
    if (f)
        fclose(f);
}

int main(int argc, char **argv)
{
    bench b = {.commit = "unknown", .threads = 0};
    for (int c; (c = getopt(argc, argv, "j:c:")) != -1;) {
        if (c == 'j')
            b.threads = atoi(optarg);
        else if (c == 'c')
            b.commit = optarg;
        else {
            fprintf(stderr, "usage: bench_foundation [-j THREADS] [-c COMMIT] [GLOB...]\n");
            return 2;
        }
    }
    b.glob    = argv + optind;
    b.n_globs = argc - optind;
    b.flush   = take(FLUSH_BYTES, 1);
    read_cpu(&b);
    asd_par_set_threads(b.threads);
    bench_logmel(&b);
    bench_train(&b);
    bench_bootstrap(&b);
    free(b.flush);
    return 0;
}
