/* bench_detectors.c - `asd-bench detectors`: fit and score of machines by detectors on embeddings,
 * beside the same in NumPy and SciPy (bench/peers/detectors.py, a process of its own that is run
 * between two rounds of ours and gets the same rows). Scores of both must agree, and those of a
 * device with the CPU's.
 *
 * All machines have the same rows: what is timed does not look at them.
 */
#include "tools/bench.h"

#include "base/build.h"
#include "base/cfg.h"
#include "base/file.h"
#include "base/log.h"
#include "base/par.h"
#include "base/rng.h"
#include "detect/embedding.h"
#include "detect/on_device.h"
#include "kernels/mahalanobis.h"
#include "tools/open_device.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef struct detectors_args {
    asd_common common;
    int64_t    rows, tests, columns, machines;
    double     seconds;
    char      *device, *peer;
    int        json;
} detectors_args;

static const asd_opt opts[] = {
    ASD_COMMON_OPTS,
    {"rows", 0, ASD_OPT_INT, offsetof(detectors_args, rows), "1000", 20, 100000, NULL, "N",
     "training clips, one in a hundred of the target domain"},
    {"tests", 0, ASD_OPT_INT, offsetof(detectors_args, tests), "1000", 1, 100000, NULL, "N",
     "clips scored"},
    {"columns", 0, ASD_OPT_INT, offsetof(detectors_args, columns), "768", 1, ASD_MAX_COLUMNS, NULL,
     "N", "width of an embedding"},
    {"machines", 0, ASD_OPT_INT, offsetof(detectors_args, machines), "1", 1, 10000, NULL, "N",
     "machines; on a GPU all at once"},
    {"device", 0, ASD_OPT_TEXT, offsetof(detectors_args, device), "auto", 0, 0, NULL,
     "cpu|cuda[:N]|auto", "where to compute"},
    {"seconds", 0, ASD_OPT_REAL, offsetof(detectors_args, seconds), "2", 0.01, 600, NULL, "s",
     "time to spend on each detector, for ours and for the peer"},
    {"python", 0, ASD_OPT_TEXT, offsetof(detectors_args, peer), NULL, 0, 0, NULL, "PYTHON",
     "a Python with NumPy and SciPy to be compared with"},
    {"json", 0, ASD_OPT_FLAG, offsetof(detectors_args, json), "0", 0, 1, NULL, "",
     "print a JSON object a line"},
    {0},
};

static const asd_command command = {
    .name     = "asd-bench detectors",
    .operands = "",
    .about    = "Time fit and score of machines by detectors on embeddings, leave-one-out scores "
                "included; on a GPU from rows in host memory to scores there, and the fit alone of "
                "rows on the device. With --python also the same in NumPy and SciPy, without "
                "leave-one-out scores, with as many threads, one machine after another.",
    .opts     = opts,
    .max_operands = 0,
    .examples     = "asd-bench detectors -j 1 --python /tmp/peers/bin/python\n"
                    "asd-bench detectors --device cuda --machines 364 --json",
};

/* keep in step with CASES of bench/peers/detectors.py */
static const struct {
    const char *name, *text;
} cases[] = {
    {"mahalanobis", "a = x | mahalanobis(k=128, weight=99)"},
    {"ledoit_wolf", "a = x | mahalanobis(cov=ledoit_wolf)"},
    {"knn", "a = x | knn(k=1, bank=domain)"},
};
enum { N_CASES = sizeof cases / sizeof *cases, MAX_RUNS = 4000 };

typedef struct rig {
    const detectors_args *args;
    float                *train, *test; /* (rows, columns), (tests, columns) */
    unsigned char        *is_target;
    double               *loo, *score; /* (rows, 2), (tests, 2) */
    double                time[MAX_RUNS];
    int                   n;
    char                  folder[PATH_MAX], device[200];
    asd_gpu              *gpu;
    asd_stream           *stream; /* NULL: the CPU computes */
    asd_pipeline_task    *task;   /* (machines), for a device, and what it gives: */
    double               *all;    /* (machines, rows + tests, 2) */
} rig;

/* Rows that vary most along a few directions, as embeddings do. */
static void fill(float *x, int64_t n, int64_t D, uint64_t which)
{
    double hidden[16];
    for (int64_t i = 0; i < n; ++i) {
        asd_rng r;
        asd_rng_init(&r, 1, ASD_RNG_SYNTH, which, (uint64_t)i);
        for (int k = 0; k < 16; ++k)
            hidden[k] = asd_rng_normal(&r) * (16 - k);
        for (int64_t d = 0; d < D; ++d)
            x[i * D + d] = (float)(0.2 * hidden[d % 16] + 0.1 * hidden[(d / 3) % 16] + 5 +
                                   (0.2 + (double)d / (double)D) * asd_rng_normal(&r));
    }
}

/* What asd_pipeline_run takes: each machine the same rows, and results of its own. */
static asd_status make_tasks(rig *r)
{
    const detectors_args *a   = r->args;
    int64_t               one = 2 * (a->rows + a->tests);
    r->task                   = calloc((size_t)a->machines, sizeof *r->task);
    r->all                    = malloc((size_t)(a->machines * one) * sizeof *r->all);
    if (!r->task || !r->all)
        return ASD_FAIL(ASD_E_OOM, "no memory for %lld machines", (long long)a->machines);
    for (int64_t g = 0; g < a->machines; ++g) {
        asd_pipeline_task *t = &r->task[g];
        t->train.stream[0]   = (asd_clip_rows){r->train, a->rows, 1, a->columns, NULL};
        t->train.n_streams   = 1;
        t->train.n           = a->rows;
        t->train.is_target   = r->is_target;
        t->stream[0]         = (asd_clip_rows){r->test, a->tests, 1, a->columns, NULL};
        t->what              = "bench";
        t->loo               = r->all + g * one;
        t->score             = t->loo + 2 * a->rows;
    }
    return ASD_OK;
}

static asd_status open_device(rig *r)
{
    asd_device device;
    ASD_TRY(asd_device_choose(r->args->device, &device));
    ASD_TRY(asd_device_open(r->args->device, &device, &r->gpu));
    json_t *name = asd_device_json(&device, r->gpu);
    snprintf(r->device, sizeof r->device, "%s",
             name && json_string_value(name) ? json_string_value(name) : "cpu");
    json_decref(name);
    if (!r->gpu)
        return ASD_OK;
    ASD_TRY(asd_stream_new(r->gpu, &r->stream));
    return make_tasks(r);
}

static asd_status rig_make(rig *r, const detectors_args *a)
{
    r->args      = a;
    r->train     = malloc((size_t)(a->rows * a->columns) * sizeof *r->train);
    r->test      = malloc((size_t)(a->tests * a->columns) * sizeof *r->test);
    r->is_target = malloc((size_t)a->rows);
    r->loo       = malloc((size_t)(2 * a->rows) * sizeof *r->loo);
    r->score     = malloc((size_t)(2 * a->tests) * sizeof *r->score);
    if (!r->train || !r->test || !r->is_target || !r->loo || !r->score)
        return ASD_FAIL(ASD_E_OOM, "no memory for %lld rows", (long long)(a->rows + a->tests));
    fill(r->train, a->rows, a->columns, 0);
    fill(r->test, a->tests, a->columns, 1);
    for (int64_t i = 0; i < a->rows; ++i)
        r->is_target[i] = i % 100 == 50 || i == 1;
    return open_device(r);
}

static void rig_clear(rig *r)
{
    if (*r->folder)
        asd_remove_tree(r->folder);
    free(r->train);
    free(r->test);
    free(r->is_target);
    free(r->loo);
    free(r->score);
    free(r->task);
    free(r->all);
    asd_stream_free(r->stream);
    asd_gpu_close(r->gpu);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static asd_status fit_and_score(rig *r, const char *text)
{
    const detectors_args *a = r->args;
    asd_pipeline          p;
    asd_clip_rows         test  = {r->test, a->tests, 1, a->columns, NULL};
    asd_train_rows        train = {.stream    = {{r->train, a->rows, 1, a->columns, NULL}},
                                   .n_streams = 1,
                                   .n         = a->rows,
                                   .is_target = r->is_target};
    asd_status            st    = asd_pipeline_parse(text, &p);
    if (!st)
        st = asd_pipeline_fit(&p, &train, "bench", r->loo);
    if (!st)
        st = asd_pipeline_score(&p, &test, NULL, "bench", r->score);
    asd_pipeline_clear(&p);
    return st;
}

/* All machines at once on the device; scores of the last one are then the rig's. */
static asd_status run_on_device(rig *r, const char *text)
{
    const detectors_args *a = r->args;
    asd_pipeline          p;
    int64_t               done = 0;
    asd_status            st   = asd_pipeline_parse(text, &p);
    if (!st)
        st = asd_pipeline_run(&p, r->task, a->machines, r->stream, &done);
    asd_pipeline_clear(&p);
    if (!st && done != a->machines)
        st = ASD_FAIL(ASD_E_CHECK, "%s: the device did %lld of %lld machines", text,
                      (long long)done, (long long)a->machines);
    if (!st)
        memcpy(r->score, r->task[a->machines - 1].score, (size_t)(2 * a->tests) * sizeof *r->score);
    return st;
}

static asd_status run_all(rig *r, const void *text)
{
    if (r->stream)
        return run_on_device(r, text);
    for (int64_t g = 0; g < r->args->machines; ++g)
        ASD_TRY(fit_and_score(r, text));
    return ASD_OK;
}

static asd_status time_ours(rig *r, asd_status (*run)(rig *, const void *), const void *what,
                            double seconds)
{
    double end = now() + seconds;
    do {
        double begin = now();
        ASD_TRY(run(r, what));
        if (r->n < MAX_RUNS)
            r->time[r->n++] = now() - begin;
    } while (now() < end);
    return ASD_OK;
}

/* Of n scores from those that are right; NaN if one is. */
static double largest_difference(const double *right, const double *score, size_t n)
{
    double worst = 0;
    for (size_t i = 0; i < n; ++i) {
        double e = fabs(right[i] - score[i]) / (1e-12 + fabs(right[i]));
        worst    = e <= worst ? worst : e; /* NaN wins */
    }
    return worst;
}

/* Once, to warm up; what a device gives is held against the CPU. */
static asd_status run_first(rig *r, const char *name, const char *text)
{
    size_t n = (size_t)(2 * r->args->tests);
    if (!r->stream)
        return run_all(r, text);
    double *cpu = malloc(n * sizeof *cpu), worst = 0;
    if (!cpu)
        return ASD_FAIL(ASD_E_OOM, "no memory for %zu scores", n);
    asd_status st = fit_and_score(r, text);
    memcpy(cpu, r->score, n * sizeof *cpu);
    if (!st)
        st = run_all(r, text);
    if (!st)
        worst = largest_difference(cpu, r->score, n);
    free(cpu);
    if (!st && !(worst < 1e-6))
        st = ASD_FAIL(ASD_E_CHECK, "%s: scores of %s differ from the CPU's by %.1e", name,
                      r->device, worst);
    return st;
}

/* --- the peer --- */

static asd_status write_rows(rig *r)
{
    const detectors_args *a = r->args;
    char                  path[PATH_MAX];
    const char           *tmp = getenv("TMPDIR");
    ASD_TRY(asd_path(r->folder, "%s/asd-bench-XXXXXX", tmp ? tmp : "/tmp"));
    if (!mkdtemp(r->folder)) {
        *r->folder = 0;
        return ASD_FAIL(ASD_E_IO, "a temporary folder: %s", strerror(errno));
    }
    ASD_TRY(asd_path(path, "%s/train", r->folder));
    ASD_TRY(asd_write_file(path, r->train, (size_t)(a->rows * a->columns) * sizeof(float)));
    ASD_TRY(asd_path(path, "%s/test", r->folder));
    ASD_TRY(asd_write_file(path, r->test, (size_t)(a->tests * a->columns) * sizeof(float)));
    ASD_TRY(asd_path(path, "%s/target", r->folder));
    return asd_write_file(path, r->is_target, (size_t)a->rows);
}

/* What the script printed: one JSON object. */
static asd_status run_peer(const rig *r, const char *name, json_t **out)
{
    const detectors_args *a = r->args;
    char                  text[3 * PATH_MAX], script[PATH_MAX];
    json_error_t          why;
    if (asd_beside_program(script, "../bench/peers/detectors.py"))
        ASD_TRY(asd_path(script, "bench/peers/detectors.py"));
    snprintf(text, sizeof text,
             "'%s' '%s' --folder '%s' --columns %lld --case %s --seconds %g "
             "--threads %d",
             a->peer, script, r->folder, (long long)a->columns, name, a->seconds,
             asd_par_threads());
    FILE *f = popen(text, "r");
    if (!f)
        return ASD_FAIL(ASD_E_IO, "cannot start %s: %s", a->peer, strerror(errno));
    *out   = json_loadf(f, 0, &why);
    int rc = pclose(f);
    if (!json_is_object(*out) || rc)
        return ASD_FAIL(ASD_E_IO, "%s %s: failed (%d): %s", a->peer, script, rc, why.text);
    return ASD_OK;
}

/* Largest difference of the scores that the script left in the folder from ours, relative. */
static asd_status compare_scores(const rig *r, const char *name, double *worst)
{
    char   path[PATH_MAX], *data = NULL;
    size_t size, want            = (size_t)(2 * r->args->tests) * sizeof(double);
    ASD_TRY(asd_path(path, "%s/%s", r->folder, name));
    ASD_TRY(asd_read_file(path, want, &data, &size));
    *worst = size == want
                 ? largest_difference((const double *)data, r->score, want / sizeof(double))
                 : (double)INFINITY;
    free(data);
    return *worst < 1e-6
               ? ASD_OK
               : ASD_FAIL(ASD_E_CHECK, "%s: scores differ from the peer's by %.1e", name, *worst);
}

/* --- a line --- */

/* scored: what is timed includes the scores of the test clips; the fit alone does not. */
static void print_line(const rig *r, const char *name, int scored, const bench_spread *ours,
                       const json_t *peer, double worst)
{
    const detectors_args *a = r->args;
    double theirs = json_number_value(json_object_get(peer, "median_s")) * (double)a->machines;
    if (!a->json) {
        printf("%-16s ", name);
        if (a->machines > 1)
            printf("%lld machines, ", (long long)a->machines);
        printf("%lld x %lld, ", (long long)a->rows, (long long)a->columns);
        if (scored)
            printf("%lld scored", (long long)a->tests);
        else
            printf("fit alone");
        printf("   %8.2f ms", 1e3 * ours->median);
        if (peer)
            printf("   %s %.2f ms   x %.2f   scores within %.0e",
                   json_string_value(json_object_get(peer, "peer")), 1e3 * theirs,
                   theirs / ours->median, worst);
        putchar('\n');
        return;
    }
    json_t *o = json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:i, s:s, s:f, s:f, s:f, s:i}",
                          "schema", "asd.bench.detectors/1", "detector", name, "device", r->device,
                          "machines", (json_int_t)a->machines, "rows", (json_int_t)a->rows, "tests",
                          (json_int_t)a->tests, "columns", (json_int_t)a->columns, "threads",
                          asd_par_threads(), "commit", asd_build.commit, "median_s", ours->median,
                          "p20_s", ours->p20, "p80_s", ours->p80, "n", ours->n);
    if (peer) {
        json_object_set_new(o, "peer", json_copy((json_t *)peer));
        json_object_set_new(o, "ratio", json_real(theirs / ours->median));
        json_object_set_new(o, "largest_relative_difference", json_real(worst));
    }
    json_dumpf(o, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9));
    putchar('\n');
    json_decref(o);
}

static asd_status bench_case(rig *r, int c)
{
    double  half = r->args->peer ? 0.5 * r->args->seconds : r->args->seconds, worst = 0;
    json_t *peer  = NULL;
    r->n          = 0;
    asd_status st = run_first(r, cases[c].name, cases[c].text);
    if (!st)
        st = time_ours(r, run_all, cases[c].text, half);
    if (!st && r->args->peer) {
        st = run_peer(r, cases[c].name, &peer);
        if (!st)
            st = compare_scores(r, cases[c].name, &worst);
        if (!st)
            st = time_ours(r, run_all, cases[c].text, half);
    }
    if (!st) {
        bench_spread ours = bench_spread_of(r->time, r->n);
        print_line(r, cases[c].name, 1, &ours, peer, worst);
    }
    json_decref(peer);
    return st;
}

/* --- the fit alone, of rows that lie on the device --- */

typedef struct fit_job {
    asd_maha             maha;
    asd_maha_rows        rows;
    const unsigned char *is_target;
    asd_maha_model       model;
} fit_job;

static asd_status fit_once(rig *r, const void *ctx)
{
    const fit_job *j = ctx;
    ASD_TRY(asd_maha_fit(&j->maha, &j->rows, j->is_target, &j->model, r->stream));
    return asd_stream_wait(r->stream);
}

static asd_status fit_prepare(rig *r, asd_device_blocks *b, fit_job *j)
{
    const detectors_args *a = r->args;
    size_t                G = (size_t)a->machines, D = (size_t)a->columns;
    asd_rows_task        *task = calloc(G, sizeof *task);
    asd_device_rows       rows;
    asd_status            st = ASD_OK;
    if (!task)
        return ASD_FAIL(ASD_E_OOM, "no memory for %zu machines", G);
    for (size_t g = 0; g < G; ++g) {
        task[g].train     = r->task[g].train.stream[0];
        task[g].test      = r->task[g].stream[0];
        task[g].test.n    = 1; /* not looked at */
        task[g].is_target = r->is_target;
    }
    *j              = (fit_job){.maha = {.G = (int64_t)G, .D = a->columns, .weight = 99}};
    st              = asd_device_rows_upload(task, (int64_t)G, r->stream, b, &rows);
    j->model.mean   = asd_device_block(b, G * 2 * D * sizeof(double), "means", &st);
    j->model.factor = asd_device_block(b, G * D * D * sizeof(double), "factors", &st);
    j->model.shrink = asd_device_block(b, G * 2 * sizeof(double), "shrinkages", &st);
    j->model.info = asd_device_block(b, G * ASD_MAHA_INFO * sizeof(int32_t), "facts of fits", &st);
    if (!st) {
        j->rows      = (asd_maha_rows){rows.train, rows.n, rows.N};
        j->is_target = rows.is_target;
    }
    free(task);
    return st;
}

static asd_status bench_fit(rig *r)
{
    asd_device_blocks b = {.gpu = r->gpu};
    fit_job           j;
    asd_status        st = fit_prepare(r, &b, &j);
    r->n                 = 0;
    if (!st)
        st = fit_once(r, &j);
    if (!st)
        st = time_ours(r, fit_once, &j, r->args->seconds);
    if (!st) {
        bench_spread ours = bench_spread_of(r->time, r->n);
        print_line(r, "mahalanobis fit", 0, &ours, NULL, 0);
    }
    asd_device_blocks_clear(&b);
    return st;
}

int bench_detectors_main(int argc, char **argv)
{
    detectors_args args;
    asd_operands   operands;
    int            exit_now = 0;
    rig           *r        = NULL;
    asd_status     st       = asd_opts_parse(&command, argc, argv, &args, &operands, &exit_now);
    asd_common_apply(&args.common, "asd-bench");
    if (!st && !exit_now) {
        r  = calloc(1, sizeof *r);
        st = r ? rig_make(r, &args) : ASD_FAIL(ASD_E_OOM, "no memory for a benchmark");
    }
    if (!st && !exit_now && args.peer)
        st = write_rows(r);
    for (int c = 0; c < N_CASES && !st && !exit_now; ++c)
        st = bench_case(r, c);
    if (!st && !exit_now && r->stream)
        st = bench_fit(r);
    if (r)
        rig_clear(r);
    free(r);
    asd_opts_clear(opts, &args);
    return asd_main_end(st);
}
