/* bench_encoder.c - asd-bench encoder: clips a second of a whole encoder, PyTorch's beside it.
 *
 * Ours is timed from samples to pooled embeddings, front-end included; the peer from the features
 * that our front-end made, so it has a little less to do. Both have the same random weights, which
 * the peer reads from a file: before anything is timed their embeddings are compared.
 *
 * On the CPU it says which share of the peak of its threads that is: all arithmetic of the ops by
 * their own counts, the front-end's too, over the time of a call.
 */
#include "tools/bench.h"
#include "tools/bench_peak.h"

#include "base/file.h"
#include "base/log.h"
#include "base/opt.h"
#include "base/par.h"
#include "base/rng.h"
#include "models/encoder.h"
#include "nn/safetensors.h"
#include "tools/open_device.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MAX_CALLS = 400, SEED = 1 };
static const double PEAK_SECONDS = 0.15;

typedef struct args {
    asd_common common;
    char      *device, *encoder, *weights, *python, *peer, *output;
    int        precision, alone;
    int64_t    batch, calls;
    double     seconds;
} args;

static const asd_opt opts[] = {
    {"device", 0, ASD_OPT_TEXT, offsetof(args, device), "auto", 0, 0, NULL, "cpu|cuda[:N]|auto",
     "where to run"},
    {"precision", 0, ASD_OPT_CHOICE, offsetof(args, precision), "fp32", 0, 0, "fp32|bf16", "",
     "of matrix products' factors and of activations"},
    {"encoder", 0, ASD_OPT_TEXT, offsetof(args, encoder), "beats", 0, 0, NULL, "NAME",
     "beats, eat, sslam or dasheng; tiny_beats .. for a try"},
    {"weights", 0, ASD_OPT_TEXT, offsetof(args, weights), NULL, 0, 0, NULL, "FILE",
     "a checkpoint; random weights without"},
    {"batch", 0, ASD_OPT_INT, offsetof(args, batch), "8", 1, 4096, NULL, "CLIPS", "clips a call"},
    {"seconds", 0, ASD_OPT_REAL, offsetof(args, seconds), "10", 0.03, 600, NULL, "S",
     "length of a clip"},
    {"calls", 0, ASD_OPT_INT, offsetof(args, calls), "5", 1, MAX_CALLS, NULL, "N",
     "timed calls, after one that is not"},
    {"alone", 0, ASD_OPT_FLAG, offsetof(args, alone), "0", 0, 1, NULL, "", "do not time PyTorch"},
    {"python", 0, ASD_OPT_TEXT, offsetof(args, python), "python3", 0, 0, NULL, "PROGRAM",
     "the Python that has PyTorch"},
    {"peer", 0, ASD_OPT_TEXT, offsetof(args, peer), NULL, 0, 0, NULL, "FILE",
     "the peer's script; found by itself beside the program"},
    {"output", 'o', ASD_OPT_TEXT, offsetof(args, output), NULL, 0, 0, NULL, "FILE",
     "also write the JSON line there"},
    ASD_JSON_OPT,
    ASD_COMMON_OPTS,
    {0},
};

static const asd_command command = {
    .name     = "asd-bench encoder",
    .operands = "",
    .about =
        "Embeds the same batch again and again: samples to one vector a clip, the last layer's\n"
        "mean. Beside it PyTorch with the same weights, from the same features; the two are\n"
        "compared first.",
    .opts         = opts,
    .max_operands = 0,
    .examples =
        "  asd-bench encoder --encoder beats --batch 8 --device cpu -j 2\n"
        "  asd-bench encoder --encoder beats --precision bf16 --device cpu -j 2\n"
        "  asd-bench encoder --encoder dasheng --precision bf16 --device cuda --batch 132\n",
};

typedef struct bench {
    const args       *a;
    asd_encoder      *e;
    asd_gpu          *gpu;
    asd_stream       *stream;
    asd_tape          tape;
    asd_encoder_graph g;
    asd_val           y;
    asd_plan         *plan;
    int64_t           B, S, D;
    float            *out; /* (B, D) */
    bench_spread      ours, peer;
    double            flops, difference;
    double            peak; /* FLOP/s of the CPU in use; 0: not measured */
    const char       *peak_by;
    char              device[200], peer_name[128], peer_note[400];
} bench;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static asd_status prepare(bench *b)
{
    const args *a      = b->a;
    float      *x      = NULL;
    asd_status  st     = ASD_OK;
    asd_tape   *t      = &b->tape;
    int         bf16   = a->precision;
    b->B               = a->batch;
    b->S               = (int64_t)llround(a->seconds * ASD_ENCODER_RATE_HZ);
    asd_params *params = asd_encoder_params(b->e);
    asd_tape_init(t, params, 0);
    b->g                      = (asd_encoder_graph){.samples =
                                                        asd_tape_input(t, "samples", ASD_F32, ASD_SHAPE2(b->B, b->S)),
                                                    .lengths = ASD_NO_VAL,
                                                    .bf16    = bf16};
    const asd_encoder_desc *d = asd_encoder_describe(b->e);
    ASD_TRY(asd_encoder_record(t, d, &b->g));
    b->y = asd_encoder_pool(t, d, &b->g, d->depth, ASD_POOL_MEAN);
    b->D = asd_last(asd_tape_shape(t, b->y));
    if (b->stream) {
        params->bf16_weights |= bf16;
        ASD_TRY(asd_params_to_gpu(params, b->stream));
    } else if (bf16) {
        ASD_TRY(asd_params_round(params));
    }
    ASD_TRY(
        asd_plan_build(t, ASD_NO_VAL, (asd_val[]){b->y, b->g.features}, 2, b->stream, &b->plan));
    ASD_TRY(asd_encoder_fill(&b->g, b->plan));
    for (int i = 0; i < t->n_nodes; ++i)
        if (t->node[i].n.op->flops)
            b->flops += t->node[i].n.op->flops(&t->node[i].n, 0);
    b->out = malloc((size_t)(b->B * b->D) * sizeof *b->out);
    x      = malloc((size_t)(b->B * b->S) * sizeof *x);
    if (!b->out || !x) {
        st = ASD_FAIL(ASD_E_OOM, "no memory for %lld clips", (long long)b->B);
        goto done;
    }
    asd_rng r;
    asd_rng_init(&r, SEED, ASD_RNG_SYNTH, 0, 0);
    for (int64_t i = 0; i < b->B * b->S; ++i)
        x[i] = (float)asd_rng_range(&r, -0.1, 0.1);
    ASD_GO(done, st, asd_plan_write(b->plan, b->g.samples, x));
    st = asd_plan_forward(b->plan);
    if (!st)
        st = asd_plan_read(b->plan, b->y, b->out); /* waits: x may go */
done:
    free(x);
    return st;
}

static asd_status time_ours(bench *b)
{
    double time[MAX_CALLS], before = 0;
    if (!b->stream)
        before = bench_peak(b->a->precision, PEAK_SECONDS, &b->peak_by);
    for (int64_t i = 0; i < b->a->calls; ++i) {
        double start = now();
        ASD_TRY(asd_plan_forward(b->plan));
        ASD_TRY(asd_plan_read(b->plan, b->y, b->out));
        time[i] = now() - start;
    }
    if (!b->stream) { /* on both sides of the times that it is set against */
        double after = bench_peak(b->a->precision, PEAK_SECONDS, &b->peak_by);
        b->peak      = fmax(before, after);
    }
    b->ours = bench_spread_of(time, (int)b->a->calls);
    return ASD_OK;
}

/* --- the peer --- */

/* Weights by our names, features and our embedding, for the peer to read. */
static asd_status write_for_peer(bench *b, const char *path)
{
    const asd_params *p        = asd_encoder_params(b->e);
    asd_shape         f        = asd_tape_shape(&b->tape, b->g.features);
    asd_st_entry     *entry    = calloc((size_t)p->n + 2, sizeof *entry);
    float            *features = malloc((size_t)asd_count(f) * sizeof *features);
    asd_status        st       = ASD_OK;
    if (!entry || !features) {
        st = ASD_FAIL(ASD_E_OOM, "no memory for the peer's file");
        goto done;
    }
    ASD_GO(done, st, asd_plan_read(b->plan, b->g.features, features));
    for (int i = 0; i < p->n; ++i)
        entry[i] =
            (asd_st_entry){p->param[i].name, ASD_F32, p->param[i].shape, asd_params_peek(p, i)};
    entry[p->n]     = (asd_st_entry){"features", ASD_F32, f, features};
    entry[p->n + 1] = (asd_st_entry){"embedding", ASD_F32, ASD_SHAPE2(b->B, b->D), b->out};
    st              = asd_safetensors_write(path, entry, p->n + 2, NULL, 0);
done:
    free(entry);
    free(features);
    return st;
}

static int find_script(const args *a, char out[PATH_MAX])
{
    if (a->peer)
        return !asd_path(out, "%s", a->peer);
    return !asd_beside_program(out, "../bench/peers/encoder.py") ||
           !asd_beside_program(out, "../share/asd/peers/encoder.py");
}

/* The peer's one line: {"peer": name, "seconds": [..], "difference": x} or {"skip": "why"}. */
static void read_answer(bench *b, FILE *in)
{
    json_t *o     = json_loadf(in, JSON_REJECT_DUPLICATES, NULL),
           *times = json_object_get(o, "seconds");
    double time[MAX_CALLS];
    int    n = 0;
    snprintf(b->peer_note, sizeof b->peer_note, "the peer's answer is not understood");
    if (json_is_string(json_object_get(o, "skip")))
        snprintf(b->peer_note, sizeof b->peer_note, "%s",
                 json_string_value(json_object_get(o, "skip")));
    for (; json_is_array(times) && n < MAX_CALLS && n < (int)json_array_size(times); ++n)
        time[n] = json_number_value(json_array_get(times, (size_t)n));
    if (n && json_is_string(json_object_get(o, "peer"))) {
        b->peer       = bench_spread_of(time, n);
        b->difference = json_number_value(json_object_get(o, "difference"));
        snprintf(b->peer_name, sizeof b->peer_name, "%s",
                 json_string_value(json_object_get(o, "peer")));
        b->peer_note[0] = 0;
    }
    json_decref(o);
}

/* A word of a shell command. */
static asd_status quoted(char *to, size_t room, const char *text)
{
    if (strchr(text, '\'') || strlen(text) + 4 > room)
        return ASD_FAIL(ASD_E_USAGE, "%s: too long a name, or with a quotation mark", text);
    snprintf(to, room, "'%s'", text);
    return ASD_OK;
}

static asd_status time_peer(bench *b)
{
    const asd_encoder_desc *d      = asd_encoder_describe(b->e);
    const char             *folder = getenv("TMPDIR");
    char                    script[PATH_MAX], file[PATH_MAX], line[4 * PATH_MAX];
    char                    python[PATH_MAX], q_script[PATH_MAX], q_file[PATH_MAX];
    asd_status              st = ASD_OK;
    if (!find_script(b->a, script)) {
        snprintf(b->peer_note, sizeof b->peer_note,
                 "its script encoder.py is not beside this program; name it with --peer");
        return ASD_OK;
    }
    ASD_TRY(
        asd_path(file, "%s/asd-bench-%ld.safetensors", folder ? folder : "/tmp", (long)getpid()));
    ASD_TRY(quoted(python, sizeof python, b->a->python));
    ASD_TRY(quoted(q_script, sizeof q_script, script));
    ASD_TRY(quoted(q_file, sizeof q_file, file));
    ASD_GO(done, st, write_for_peer(b, file));
    snprintf(line, sizeof line,
             "%s %s --file %s --kind %s --heads %lld --alpha %.9g --eps %.9g --max-distance %lld "
             "--chunk %lld --frames %lld --calls %lld --threads %d --device %s --precision %s",
             python, q_script, q_file, d->kind, (long long)d->heads, (double)d->skip_alpha,
             (double)d->eps, (long long)d->max_distance, (long long)d->chunk_tokens,
             (long long)(b->g.P / asd_encoder_bands(d) * d->patch_t), (long long)b->a->calls,
             asd_par_threads(), b->stream ? "cuda" : "cpu", b->a->precision ? "bf16" : "fp32");
    FILE *in = popen(line, "r");
    if (!in) {
        st = ASD_FAIL(ASD_E_IO, "cannot start %s", b->a->python);
        goto done;
    }
    read_answer(b, in);
    pclose(in);
done:
    remove(file);
    return st;
}

/* --- the result --- */

static json_t *as_json(const bench *b)
{
    const bench_spread *s = &b->ours;
    json_t             *o =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:f, s:I, s:f, s:f, s:f, s:f, s:f, s:f}",
                  "schema", "asd.bench-encoder/1", "encoder", b->a->encoder, "weights",
                  asd_encoder_hash(b->e), "device", b->device, "precision",
                  b->a->precision ? "bf16" : "fp32", "batch", (json_int_t)b->B, "seconds",
                  b->a->seconds, "calls", (json_int_t)s->n, "median_s", s->median, "p20_s", s->p20,
                  "p80_s", s->p80, "clips_per_s", (double)b->B / s->median, "gflop_per_clip",
                  1e-9 * b->flops / (double)b->B, "gflop_per_s", 1e-9 * b->flops / s->median);
    if (o && b->peak > 0) {
        json_object_set_new(o, "peak_gflop_per_s", json_real(1e-9 * b->peak));
        json_object_set_new(o, "peak_by", json_string(b->peak_by));
        json_object_set_new(o, "of_peak", json_real(b->flops / s->median / b->peak));
    }
    if (o && b->peer.n)
        json_object_set_new(o, "peer",
                            json_pack("{s:s, s:f, s:f, s:f, s:f, s:f}", "name", b->peer_name,
                                      "median_s", b->peer.median, "p20_s", b->peer.p20, "p80_s",
                                      b->peer.p80, "ratio", b->peer.median / s->median,
                                      "difference", b->difference));
    return o;
}

static void print_table(const bench *b)
{
    const bench_spread *rows[2]  = {&b->ours, &b->peer};
    const char         *names[2] = {"asd", b->peer_name};
    printf("%s, %lld clips of %g s, %s, %s\n", b->a->encoder, (long long)b->B, b->a->seconds,
           b->a->precision ? "bf16" : "fp32", b->device);
    printf("%-24s %12s %12s %12s\n", "", "ms/clip", "clips/s", "GFLOP/s");
    for (int i = 0; i < 2 && rows[i]->n; ++i)
        printf("%-24s %12.2f %12.2f %12.1f\n", names[i], 1e3 * rows[i]->median / (double)b->B,
               (double)b->B / rows[i]->median, 1e-9 * b->flops / rows[i]->median);
    if (b->peak > 0)
        printf("ours is at %.0f %% of %.1f GFLOP/s, the peak of these threads (%s)\n",
               100 * b->flops / b->ours.median / b->peak, 1e-9 * b->peak, b->peak_by);
    if (b->peer.n)
        printf("ours is %.2f times as fast; embeddings differ by %.1e at most, relative to the "
               "largest\n",
               b->peer.median / b->ours.median, b->difference);
}

static asd_status finish(const bench *b)
{
    json_t    *o    = as_json(b);
    char      *text = o ? json_dumps(o, JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;
    asd_status st   = ASD_OK;
    double     most = b->a->precision ? 5e-2 : 1e-4;
    if (!text)
        st = ASD_FAIL(ASD_E_OOM, "no memory for a line of JSON");
    if (!st && b->a->common.json)
        printf("%s\n", text);
    else if (!st)
        print_table(b);
    if (!st && b->a->output) {
        char  *line = NULL;
        size_t size = strlen(text) + 2;
        if (!(line = malloc(size))) {
            st = ASD_FAIL(ASD_E_OOM, "no memory for a line of JSON");
        } else {
            snprintf(line, size, "%s\n", text);
            st = asd_write_file(b->a->output, line, size - 1);
        }
        free(line);
    }
    free(text);
    json_decref(o);
    if (!st && b->peer.n && !(b->difference <= most))
        st = ASD_FAIL(ASD_E_NUMERIC,
                      "PyTorch's embeddings differ by %g of the largest value, want "
                      "at most %g",
                      b->difference, most);
    return st;
}

static asd_status run(bench *b)
{
    const args *a = b->a;
    asd_device  device;
    ASD_TRY(asd_device_choose(a->device, &device));
    ASD_TRY(asd_device_open(a->device, &device, &b->gpu));
    if (b->gpu)
        ASD_TRY(asd_stream_new(b->gpu, &b->stream));
    json_t *name = asd_device_json(&device, b->gpu);
    snprintf(b->device, sizeof b->device, "%s, %d threads",
             name && json_string_value(name) ? json_string_value(name) : "cpu", asd_par_threads());
    json_decref(name);
    if (a->weights)
        ASD_TRY(asd_encoder_open(a->encoder, a->weights, &b->e));
    else
        ASD_TRY(asd_encoder_random(a->encoder, 0, SEED, &b->e));
    ASD_TRY(prepare(b));
    if (!a->alone)
        ASD_TRY(time_peer(b));
    ASD_TRY(time_ours(b));
    if (b->peer_note[0])
        asd_note("no times of PyTorch: %s", b->peer_note);
    return finish(b);
}

int bench_encoder_main(int argc, char **argv)
{
    args         a;
    asd_operands operands;
    int          over;
    asd_status   st = asd_opts_parse(&command, argc, argv, &a, &operands, &over);
    if (!st && !over) {
        bench b = {.a = &a};
        asd_common_apply(&a.common, command.name);
        st = run(&b);
        asd_plan_free(b.plan);
        asd_tape_clear(&b.tape);
        free(b.g.constant);
        free(b.out);
        asd_encoder_close(b.e);
        asd_stream_free(b.stream);
        asd_gpu_close(b.gpu);
    }
    asd_opts_clear(opts, &a);
    return asd_main_end(st);
}
