/* bench_detectors.c - `asd-bench detectors`: fit and score of one machine by detectors on
 * embeddings, beside the same in NumPy and SciPy (bench/peers/detectors.py, a process of its own
 * that is run between two rounds of ours and gets the same rows). Scores of both must agree.
 */
#include "tools/bench.h"

#include "base/build.h"
#include "base/cfg.h"
#include "base/file.h"
#include "base/log.h"
#include "base/par.h"
#include "base/rng.h"
#include "detect/embedding.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef struct detectors_args {
    asd_common common;
    int64_t    rows, tests, columns;
    double     seconds;
    char      *peer;
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
    .about = "Time fit and score of one machine by detectors on embeddings, leave-one-out scores "
             "included, on the CPU. With --python also the same in NumPy and SciPy, without "
             "leave-one-out scores, with as many threads.",
    .opts  = opts,
    .max_operands = 0,
    .examples = "asd-bench detectors\nasd-bench detectors --python /tmp/peers/bin/python --json",
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
    char                  folder[PATH_MAX];
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

static asd_status rig_make(rig *r, const detectors_args *a)
{
    memset(r, 0, sizeof *r);
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
    return ASD_OK;
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

static asd_status time_ours(rig *r, const char *text, double seconds)
{
    double end = now() + seconds;
    do {
        double begin = now();
        ASD_TRY(fit_and_score(r, text));
        if (r->n < MAX_RUNS)
            r->time[r->n++] = now() - begin;
    } while (now() < end);
    return ASD_OK;
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
    *worst = size == want ? 0 : (double)INFINITY;
    for (int64_t i = 0; i < 2 * r->args->tests && size == want; ++i) {
        double theirs;
        memcpy(&theirs, data + (size_t)i * sizeof theirs, sizeof theirs);
        double e = fabs(theirs - r->score[i]) / (1e-12 + fabs(theirs));
        *worst   = e <= *worst ? *worst : e; /* NaN wins */
    }
    free(data);
    return *worst < 1e-6
               ? ASD_OK
               : ASD_FAIL(ASD_E_CHECK, "%s: scores differ from the peer's by %.1e", name, *worst);
}

/* --- a line --- */

static void print_line(const detectors_args *a, const char *name, const bench_spread *ours,
                       const json_t *peer, double worst)
{
    double theirs = json_number_value(json_object_get(peer, "median_s"));
    if (!a->json) {
        printf("%-12s %lld x %lld, %lld scored   %8.2f ms", name, (long long)a->rows,
               (long long)a->columns, (long long)a->tests, 1e3 * ours->median);
        if (peer)
            printf("   %s %.2f ms   x %.2f   scores within %.0e",
                   json_string_value(json_object_get(peer, "peer")), 1e3 * theirs,
                   theirs / ours->median, worst);
        putchar('\n');
        return;
    }
    json_t *o = json_pack("{s:s, s:s, s:I, s:I, s:I, s:i, s:s, s:f, s:f, s:f, s:i}", "schema",
                          "asd.bench.detectors/1", "detector", name, "rows", (json_int_t)a->rows,
                          "tests", (json_int_t)a->tests, "columns", (json_int_t)a->columns,
                          "threads", asd_par_threads(), "commit", asd_build.commit, "median_s",
                          ours->median, "p20_s", ours->p20, "p80_s", ours->p80, "n", ours->n);
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
    asd_status st = fit_and_score(r, cases[c].text); /* once, to warm up */
    if (!st)
        st = time_ours(r, cases[c].text, half);
    if (!st && r->args->peer) {
        st = run_peer(r, cases[c].name, &peer);
        if (!st)
            st = compare_scores(r, cases[c].name, &worst);
        if (!st)
            st = time_ours(r, cases[c].text, half);
    }
    if (!st) {
        bench_spread ours = bench_spread_of(r->time, r->n);
        print_line(r->args, cases[c].name, &ours, peer, worst);
    }
    json_decref(peer);
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
    if (r)
        rig_clear(r);
    free(r);
    asd_opts_clear(opts, &args);
    return asd_main_end(st);
}
