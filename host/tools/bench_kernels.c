/* bench_kernels.c - asd-bench kernels: walks the table of ops and their cases. */
#include "tools/bench.h"

#include "base/file.h"
#include "base/log.h"
#include "base/opt.h"
#include "base/stop.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FP32, BF16 };
enum { ADAM_PARAMETERS = 2600000 };

typedef struct args {
    asd_common common;
    char      *device, *output, *python, *peer;
    int        precision, pass, all, alone;
    asd_list   op;
    char      *case_text;
    double     min_time, warm_up;
    int64_t    cold;
} args;

static const asd_opt opts[] = {
    {"device", 0, ASD_OPT_TEXT, offsetof(args, device), "auto", 0, 0, NULL, "cpu|cuda[:N]|auto",
     "where to run"},
    {"precision", 0, ASD_OPT_CHOICE, offsetof(args, precision), "fp32", 0, 0, "fp32|bf16", "",
     "of the inputs that an op takes in either"},
    {"op", 0, ASD_OPT_LIST, offsetof(args, op), "[]", 0, 1000, NULL, "NAME",
     "this op only, or adam, the optimiser; may be given several times"},
    {"case", 0, ASD_OPT_TEXT, offsetof(args, case_text), NULL, 0, 0, NULL, "TEXT",
     "cases whose name contains this"},
    {"pass", 0, ASD_OPT_CHOICE, offsetof(args, pass), "both", 0, 0, "both|fwd|bwd", "",
     "forward, backward or both"},
    {"all", 0, ASD_OPT_FLAG, offsetof(args, all), "0", 0, 1, NULL, "",
     "also the small cases that are there for tests"},
    {"alone", 0, ASD_OPT_FLAG, offsetof(args, alone), "0", 0, 1, NULL, "",
     "time neither library stand-ins nor PyTorch"},
    {"min-time", 0, ASD_OPT_REAL, offsetof(args, min_time), "0.4", 0.001, 60, NULL, "S",
     "seconds of hot calls a line, for ours and for each that it is compared with"},
    {"warm-up", 0, ASD_OPT_REAL, offsetof(args, warm_up), "0.1", 0, 60, NULL, "S",
     "seconds of calls before them"},
    {"cold", 0, ASD_OPT_INT, offsetof(args, cold), "15", 0, BENCH_MAX_COLD, NULL, "N",
     "calls with emptied caches a line; 0 = none"},
    {"python", 0, ASD_OPT_TEXT, offsetof(args, python), "python3", 0, 0, NULL, "PROGRAM",
     "the Python that has PyTorch"},
    {"peer", 0, ASD_OPT_TEXT, offsetof(args, peer), NULL, 0, 0, NULL, "FILE",
     "the peer's script; found by itself beside the program"},
    {"output", 'o', ASD_OPT_TEXT, offsetof(args, output), NULL, 0, 0, NULL, "FILE",
     "also write the JSON lines there, whole or not at all"},
    ASD_JSON_OPT,
    ASD_COMMON_OPTS,
    {0},
};

static const asd_command command = {
    .name     = "asd-bench kernels",
    .operands = "",
    .about =
        "Every op of the table, forward and backward, on its benchmark cases. Each is checked\n"
        "first: a result that is wrong is told, not timed, and the program ends with 1. Beside "
        "the\n"
        "times: share of the roofline measured at the start, library stand-in, PyTorch.",
    .opts         = opts,
    .max_operands = 0,
    .examples     = "  asd-bench kernels --device cpu -j 2\n"
                    "  asd-bench kernels --device cuda --precision bf16 --op linear -o today.jsonl\n"
                    "  asd-bench compare yesterday.jsonl today.jsonl\n",
};

/* A run under way. */
typedef struct bench {
    const args   *a;
    bench_device  device;
    bench_options options;
    bench_peer   *peer;
    asd_outfile   file; /* of -o; its stream NULL without */
    int           lines, failed, above_roof;
    char          first_failed[300];
} bench;

/* --- what to run --- */

static int op_wanted(const args *a, const char *name)
{
    for (int64_t i = 0; i < a->op.n; ++i)
        if (!strcmp(a->op.item[i], name))
            return 1;
    return !a->op.n;
}

/* kind: `bench` of the case; 2 is for GPUs alone. */
static int case_wanted(const args *a, const char *name, int kind, asd_backend device)
{
    return (kind || a->all) && (kind < 2 || device == ASD_CUDA) &&
           (!a->case_text || strstr(name, a->case_text));
}

static asd_status check_names(const args *a)
{
    const char *names[128] = {"adam"};
    int64_t     n          = 1;
    for (const asd_op *const *op = asd_ops; *op && n < 128; ++op)
        names[n++] = (*op)->name;
    for (int64_t i = 0; i < a->op.n; ++i) {
        const char *near = asd_nearest(a->op.item[i], names, n);
        if (strcmp(a->op.item[i], "adam") && !asd_op_find(a->op.item[i]))
            return ASD_FAIL(ASD_E_USAGE, "--op %s: no such op%s%s%s", a->op.item[i],
                            near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
    }
    return ASD_OK;
}

/* The script lies in bench/peers of the source tree, seen from a build folder, or is installed. */
static int find_peer(char out[PATH_MAX])
{
    static const char *const places[] = {"../bench/peers/kernels.py",
                                         "../share/asd/peers/kernels.py"};
    char                     exe[PATH_MAX];
    ssize_t                  n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    if (n <= 0)
        return 0;
    exe[n]                        = 0;
    exe[asd_base_name(exe) - exe] = 0;
    for (size_t i = 0; i < sizeof places / sizeof *places; ++i)
        if (!asd_path(out, "%s%s", exe, places[i]) && asd_is_file(out))
            return 1;
    return 0;
}

static asd_status open_peer(bench *b)
{
    char script[PATH_MAX],
        why[300] = "its script kernels.py is not beside this program; name it with --peer";
    if (b->a->alone)
        return ASD_OK;
    if (b->a->peer)
        ASD_TRY(asd_path(script, "%s", b->a->peer));
    if (b->a->peer || find_peer(script))
        ASD_TRY(bench_peer_open(b->a->python, script, &b->device, &b->peer, why, sizeof why));
    if (!b->peer)
        asd_note("no times of PyTorch: %s", why);
    return ASD_OK;
}

/* --- running --- */

static asd_status finish_line(bench *b, bench_subject *s)
{
    bench_line *l = &s->line;
    char        roof;
    double      share = bench_roofline(&b->device, l, &roof);
    ++b->lines;
    b->above_roof += roof == 'c' && share > 1.1;
    if (!l->check.passed && !b->failed++)
        snprintf(b->first_failed, sizeof b->first_failed, "%s %s %s: %s", l->op, l->case_name,
                 bench_pass_name(l->pass), l->check.why);
    ASD_TRY(bench_print_line(stdout, b->a->common.json, &b->device, l));
    return b->file.stream ? bench_print_line(b->file.stream, 1, &b->device, l) : ASD_OK;
}

static asd_status run_subject(bench *b, bench_subject *s)
{
    if (asd_stop_wanted())
        return ASD_FAIL(ASD_E_STOPPED, "stopped by %s after %d lines", asd_stop_signal(), b->lines);
    asd_status st = bench_run(&b->device, s, &b->options, b->peer);
    return st ? st : finish_line(b, s);
}

static asd_status run_case(bench *b, const asd_op *op, const asd_case *c)
{
    asd_dtype precision = b->a->precision == BF16 ? ASD_BF16 : ASD_F32;
    for (bench_pass pass = BENCH_FWD; pass <= BENCH_BWD; ++pass) {
        bench_subject s;
        asd_kernel kernel = pass == BENCH_FWD ? op->fwd[b->device.kind] : op->bwd[b->device.kind];
        if (!kernel || (pass == BENCH_BWD && c->inference) ||
            (b->a->pass && b->a->pass != (int)pass + 1))
            continue;
        ASD_TRY(bench_op_open(&s, &b->device, op, c, precision, pass));
        asd_status st = run_subject(b, &s);
        s.close(s.ctx);
        ASD_TRY(st);
    }
    return ASD_OK;
}

static asd_status run_adam(bench *b)
{
    bench_subject s;
    ASD_TRY(bench_adam_open(&s, &b->device, ADAM_PARAMETERS));
    asd_status st = run_subject(b, &s);
    s.close(s.ctx);
    return st;
}

static asd_status run_all(bench *b)
{
    for (const asd_op *const *op = asd_ops; *op; ++op)
        for (const asd_case *c = (*op)->cases; c->name; ++c)
            if (op_wanted(b->a, (*op)->name) &&
                case_wanted(b->a, c->name, c->bench, b->device.kind) &&
                !(b->a->precision == BF16 && !(*op)->bf16))
                ASD_TRY(run_case(b, *op, c));
    if (op_wanted(b->a, "adam") && !b->a->case_text && !b->a->pass && b->a->precision == FP32)
        ASD_TRY(run_adam(b));
    if (!b->lines)
        return ASD_FAIL(ASD_E_USAGE, "nothing of that name to measure%s",
                        b->a->all ? "" : "; small cases need --all");
    return ASD_OK;
}

/* Libraries and PyTorch wait for each other's threads at barriers: beside another program they lose
 * far more than we do, and a ratio says nothing. */
static void warn_of_load(const bench *b)
{
    double load;
    if (b->device.kind == ASD_CPU && getloadavg(&load, 1) == 1 && load > 0.5 * b->device.threads)
        asd_warn("the machine's load is %.1f already: times will be long, and ratios mean little",
                 load);
}

static asd_status run(bench *b)
{
    const args *a = b->a;
    ASD_TRY(check_names(a));
    ASD_TRY(bench_device_open(&b->device, a->device));
    if (a->precision == BF16 && b->device.kind == ASD_CPU)
        return ASD_FAIL(ASD_E_USAGE, "--precision bf16: on the CPU ops are timed in fp32 only");
    warn_of_load(b);
    ASD_TRY(asd_stop_install());
    ASD_TRY(open_peer(b));
    ASD_TRY(b->device.backend->ceilings(&b->device, a->min_time));
    if (a->output)
        ASD_TRY(asd_outfile_open(&b->file, a->output));
    const char *peer = b->peer ? bench_peer_name(b->peer) : NULL;
    ASD_TRY(bench_print_head(stdout, a->common.json, &b->device, &b->options, peer));
    if (b->file.stream)
        ASD_TRY(bench_print_head(b->file.stream, 1, &b->device, &b->options, peer));
    asd_status st = run_all(b);
    if (st && st != ASD_E_STOPPED)
        return st;
    if (b->above_roof)
        asd_warn("%d lines are above the ceiling of arithmetic: it was measured while something "
                 "else ran",
                 b->above_roof);
    if (b->file.stream) /* of a run that was stopped, what it has */
        ASD_TRY(asd_outfile_commit(&b->file));
    if (st)
        return st;
    if (b->failed)
        return ASD_FAIL(ASD_E_NUMERIC, "%d of %d checks failed; the first: %s", b->failed, b->lines,
                        b->first_failed);
    return ASD_OK;
}

int bench_kernels_main(int argc, char **argv)
{
    args         a;
    asd_operands operands;
    int          over;
    asd_status   st = asd_opts_parse(&command, argc, argv, &a, &operands, &over);
    if (!st && !over) {
        asd_common_apply(&a.common, command.name);
        bench b = {.a       = &a,
                   .options = {.min_seconds  = a.min_time,
                               .warm_seconds = a.warm_up,
                               .cold_calls   = (int)a.cold,
                               .library      = !a.alone}};
        st      = run(&b);
        asd_outfile_abandon(&b.file); /* nothing after a commit */
        bench_peer_close(b.peer);
        bench_device_close(&b.device);
    }
    asd_opts_clear(opts, &a);
    return asd_main_end(st);
}
