/* bench_pipeline.c - `asd-bench pipeline`: audio files to a file of embeddings, clips a second.
 *
 *   read    files -> samples -> hash -> signal, by the reader threads alone
 *   cache   the same, and D values of each clip into a finished HDF5 file
 *   embed   the same through an encoder: what asd-embed does
 *
 * Each round does all clips once; a sample is the time of one clip in it. Rounds of the three take
 * turns. Before any is timed, the file of `embed` is held against clips that went through the
 * encoder alone, and that of `cache` against the samples, both bit by bit.
 */
#include "base/file.h"
#include "base/log.h"
#include "base/par.h"
#include "base/rng.h"
#include "base/stop.h"
#include "data/streams.h"
#include "tools/bench.h"
#include "tools/embed_cmd.h"
#include "tools/open_device.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { CACHE_D = 768, N_STAGES = 3, CHECKED = 3 };
static const int64_t     cache_width          = CACHE_D;
static const char *const stage_name[N_STAGES] = {"read", "cache", "embed"};

typedef struct pipeline_args {
    asd_common common;
    char      *device, *encoder, *weights, *output, *data;
    int        precision;
    int64_t    clips, batch, rounds;
    double     seconds;
} pipeline_args;

#define ROW(key, letter, type, field, def, min, max, choices, unit, text)                          \
    {                                                                                              \
        key, letter, type, offsetof(pipeline_args, field), def, min, max, choices, unit, text      \
    }
static const asd_opt opts[] = {
    ASD_COMMON_OPTS,
    ASD_JSON_OPT,
    ROW("device", 0, ASD_OPT_TEXT, device, "auto", 0, 0, NULL, "cpu|cuda[:N]|auto",
        "where the encoder computes"),
    ROW("precision", 0, ASD_OPT_CHOICE, precision, "fp32", 0, 0, "fp32|bf16", "",
        "arithmetic of the encoder"),
    ROW("encoder", 0, ASD_OPT_TEXT, encoder, "beats", 0, 0, NULL, "NAME", "as of asd-embed"),
    ROW("weights", 0, ASD_OPT_TEXT, weights, "random", 0, 0, NULL, "FILE", "as of asd-embed"),
    ROW("data", 0, ASD_OPT_TEXT, data, NULL, 0, 0, NULL, "DIR",
        "a data set to read; else noise is made in $TMPDIR"),
    ROW("clips", 0, ASD_OPT_INT, clips, "32", CHECKED, 1000000, NULL, "clips",
        "clips of noise, or the first of DIR"),
    ROW("seconds", 0, ASD_OPT_REAL, seconds, "10", 0.5, 600, NULL, "s", "length of clips of noise"),
    ROW("batch", 0, ASD_OPT_INT, batch, "8", 1, 4096, NULL, "clips", "clips at once"),
    ROW("rounds", 0, ASD_OPT_INT, rounds, "5", 1, 1000, NULL, "", "times that everything is done"),
    ROW("output", 'o', ASD_OPT_TEXT, output, NULL, 0, 0, NULL, "FILE", "JSON lines go here too"),
    {0},
};

static const asd_command command = {
    .name     = "asd-bench pipeline",
    .operands = "",
    .about    = "Audio files to a file of embeddings: clips a second of reading, of caching, and "
                "of it all.\nThe encoder has random weights unless others are given.",
    .opts     = opts,
    .examples = "asd-bench pipeline --encoder beats --clips 32 -j 2\n"
                "asd-bench pipeline --device cuda --precision bf16 --batch 132 --data DIR",
};

typedef struct pipeline {
    const pipeline_args *a;
    char                 folder[PATH_MAX], path[PATH_MAX];
    embed_inputs         in;
    asd_embed_how        how;
    asd_encoder         *e;
    embed_net           *net;
    asd_embedder         embedder[N_STAGES];
    float               *cache_y;
    asd_gpu             *gpu;
    asd_stream          *stream;
    double              *time[N_STAGES]; /* (rounds) seconds */
    bench_check          check[N_STAGES];
} pipeline;

/* --- clips --- */

static asd_status make_noise(pipeline *p)
{
    const int64_t frames = (int64_t)(p->a->seconds * ASD_ENCODER_RATE_HZ);
    char          path[PATH_MAX];
    asd_rng       rng;
    asd_status    st   = ASD_OK;
    float        *x    = malloc((size_t)(2 * frames) * sizeof *x);
    char        **file = calloc((size_t)p->a->clips, sizeof *file);
    if (!x || !file)
        st = ASD_FAIL(ASD_E_OOM, "no memory for %lld clips", (long long)p->a->clips);
    for (int64_t i = 0; i < p->a->clips && !st; ++i) {
        asd_rng_init(&rng, 1, ASD_RNG_TEST, (uint64_t)i, 0);
        for (int64_t k = 0; k < 2 * frames; ++k)
            x[k] = (float)asd_rng_range(&rng, -0.5, 0.5);
        if ((st = asd_path(path, "%s/%06lld.wav", p->folder, (long long)i)) ||
            (st = asd_wav_write16(path, x, frames, 2, ASD_ENCODER_RATE_HZ)))
            break;
        if (!(file[i] = strdup(path)))
            st = ASD_FAIL(ASD_E_OOM, "no memory for %lld clips", (long long)p->a->clips);
    }
    if (!st)
        st = embed_inputs_operands(file, p->a->clips, &p->in);
    for (int64_t i = 0; file && i < p->a->clips; ++i)
        free(file[i]);
    free(file);
    free(x);
    return st;
}

static asd_status get_clips(pipeline *p)
{
    const char *tmp = getenv("TMPDIR");
    ASD_TRY(asd_path(p->folder, "%s/asd-bench-XXXXXX", tmp && *tmp ? tmp : "/tmp"));
    if (!mkdtemp(p->folder)) {
        p->folder[0] = 0;
        return ASD_FAIL(ASD_E_IO, "cannot make a folder in %s", tmp && *tmp ? tmp : "/tmp");
    }
    ASD_TRY(asd_path(p->path, "%s/e.h5", p->folder));
    if (!p->a->data)
        return make_noise(p);
    ASD_TRY(embed_inputs_data(p->a->data, NULL, 0, &p->in));
    while (p->in.n > p->a->clips) { /* the first of the set */
        free(p->in.clip[--p->in.n].path);
        free(p->in.clip[p->in.n].name);
    }
    return p->in.n >= CHECKED ? ASD_OK
                              : ASD_FAIL(ASD_E_DATA, "%s: %lld clips, want at least %d", p->a->data,
                                         (long long)p->in.n, CHECKED);
}

/* --- stages --- */

static asd_status no_encoder(void *ctx, int64_t B, int64_t S, const float *x, const float **y,
                             int64_t *rows)
{
    float *out = ctx;
    for (int64_t b = 0; b < B; ++b)
        memcpy(out + b * CACHE_D, x + b * S, sizeof(float) * CACHE_D);
    y[0]    = out;
    rows[0] = 1;
    return ASD_OK;
}

static asd_status open_stages(pipeline *p)
{
    asd_device device = {0};
    ASD_TRY(asd_opts_defaults(asd_embed_how_opts, &p->how));
    ASD_TRY(asd_device_choose(p->a->device, &device));
    ASD_TRY(asd_device_open(p->a->device, &device, &p->gpu));
    if (p->gpu)
        ASD_TRY(asd_stream_new(p->gpu, &p->stream));
    ASD_TRY(embed_encoder_open(p->a->encoder, p->a->weights, NULL, 1, 1, &p->e));
    const asd_encoder_output last = {asd_encoder_describe(p->e)->depth, ASD_POOL_MEAN};
    ASD_TRY(embed_net_new(p->e, &last, 1, 1, p->stream, p->a->precision == ASD_PRECISION_BF16,
                          &p->net, &p->embedder[2]));
    if (!(p->cache_y = malloc(sizeof(float) * CACHE_D * (size_t)p->a->batch)))
        return ASD_FAIL(ASD_E_OOM, "no memory for a batch of %lld", (long long)p->a->batch);
    p->embedder[1] = (asd_embedder){.ctx         = p->cache_y,
                                    .run         = no_encoder,
                                    .n_outputs   = 1,
                                    .D           = &cache_width,
                                    .min_samples = CACHE_D};
    for (int k = 0; k < N_STAGES; ++k)
        if (!(p->time[k] = calloc((size_t)p->a->rounds, sizeof(double))))
            return ASD_FAIL(ASD_E_OOM, "no memory for %lld rounds", (long long)p->a->rounds);
    return ASD_OK;
}

static int64_t n_readers(const pipeline *p)
{
    int64_t threads = asd_par_threads();
    return p->gpu ? (threads < 16 ? threads : 16) : threads > 1 ? 2 : 1;
}

static asd_status read_all(pipeline *p)
{
    asd_embed_reader   *r     = NULL;
    const asd_embed_ear ear   = embed_ear(&p->how);
    int64_t            *order = malloc((size_t)p->in.n * sizeof *order);
    asd_status          st    = ASD_OK;
    if (!order)
        return ASD_FAIL(ASD_E_OOM, "no memory for %lld clips", (long long)p->in.n);
    for (int64_t i = 0; i < p->in.n; ++i)
        order[i] = i;
    st = asd_embed_reader_new(p->in.clip, order, p->in.n, &ear, (int)n_readers(p),
                              2 * p->a->batch + n_readers(p), &r);
    for (int64_t i = 0; i < p->in.n && !st; ++i) {
        float *x = NULL;
        st       = asd_embed_reader_next(r, &x);
        free(x);
    }
    asd_embed_reader_free(r);
    free(order);
    return st;
}

static asd_status run_stage(pipeline *p, int stage)
{
    for (int64_t i = 0; i < p->in.n; ++i)
        p->in.clip[i].audio[0] = 0;
    if (!stage)
        return read_all(p);
    asd_embed_output o = {
        .path = p->path, .method = "{\"format\":1}", .form = ASD_EMBED_PLAIN, .n = 1};
    asd_embed_job j = {.clip      = p->in.clip,
                       .n         = p->in.n,
                       .ear       = embed_ear(&p->how),
                       .embedder  = p->embedder[stage],
                       .output    = &o,
                       .n_outputs = 1,
                       .batch     = p->a->batch,
                       .readers   = n_readers(p)};
    return asd_embed_run(&j);
}

/* The file against clips that went alone. */
static asd_status check_stage(pipeline *p, int stage)
{
    bench_check        *c   = &p->check[stage];
    const asd_embed_ear ear = embed_ear(&p->how);
    asd_embeddings      e   = {0};
    asd_status          st  = run_stage(p, stage);
    c->passed = c->same_bits = 1;
    if (st || !stage)
        return st;
    ASD_GO(done, st, asd_embeddings_read(p->path, &e));
    for (int64_t k = 0; k < CHECKED && !st; ++k) {
        const int64_t     i   = k * (p->in.n - 1) / (CHECKED - 1);
        int64_t           row = 0, rows = 0;
        float            *x = NULL;
        const float      *y = NULL;
        asd_embed_reader *r = NULL;
        ASD_GO(done, st, asd_embeddings_find(&e, p->in.clip[i].name, &row));
        ASD_GO(done, st, asd_embed_reader_new(p->in.clip, &i, 1, &ear, 1, 1, &r));
        st = asd_embed_reader_next(r, &x);
        asd_embed_reader_free(r);
        if (!st)
            st = p->embedder[stage].run(p->embedder[stage].ctx, 1,
                                        asd_embed_samples(&ear, &p->in.clip[i].info), x, &y, &rows);
        if (!st && memcmp(y, e.x + row * e.D, (size_t)e.D * sizeof *y)) {
            c->passed = c->same_bits = 0;
            snprintf(c->why, sizeof c->why, "clip %lld has other values than alone", (long long)i);
        }
        free(x);
    }
done:
    asd_embeddings_clear(&e);
    unlink(p->path);
    return st;
}

/* --- results --- */

static json_t *line_json(const pipeline *p, int stage, const char *device)
{
    const double n       = (double)p->in.n;
    json_t      *samples = json_array();
    for (int64_t r = 0; r < p->a->rounds; ++r)
        json_array_append_new(samples, json_real(1e6 * p->time[stage][r] / n));
    double median = bench_median(p->time[stage], p->a->rounds);
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:i, s:{s:b, s:b, s:s}, s:o, "
                     "s:f}",
                     "schema", "asd.bench/1", "what", "kernel", "op", "pipeline", "case",
                     stage == 2 ? p->a->encoder : stage_name[stage], "pass", "step", "dtype",
                     p->a->precision == ASD_PRECISION_BF16 ? "bf16" : "f32", "device", device,
                     "clips", (json_int_t)p->in.n, "batch", (json_int_t)p->a->batch, "threads",
                     asd_par_threads(), "check", "passed", p->check[stage].passed, "same_bits",
                     p->check[stage].same_bits, "why", p->check[stage].why, "samples_us", samples,
                     "clips_per_s", n / median);
}

static asd_status print_stage(const pipeline *p, int stage, const char *device, asd_outfile *file)
{
    double        spread_of[1000];
    const int64_t n = p->a->rounds;
    for (int64_t r = 0; r < n; ++r)
        spread_of[r] = (double)p->in.n / p->time[stage][r];
    bench_spread s = bench_spread_of(spread_of, (int)n);
    json_t      *o = line_json(p, stage, device);
    if (!o)
        return ASD_FAIL(ASD_E_OOM, "no memory for a result");
    if (file->stream) {
        json_dumpf(o, file->stream, JSON_COMPACT | JSON_REAL_PRECISION(6));
        fputc('\n', file->stream);
    }
    if (p->a->common.json) {
        json_dumpf(o, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6));
        putchar('\n');
    } else {
        printf("%-6s %10.2f  %9.2f - %9.2f  %s\n", stage_name[stage], s.median, s.p20, s.p80,
               p->check[stage].passed ? "" : p->check[stage].why);
    }
    json_decref(o);
    return ASD_OK;
}

static asd_status measure(pipeline *p)
{
    for (int64_t r = 0; r < p->a->rounds; ++r)
        for (int k = 0; k < N_STAGES; ++k) {
            if (asd_stop_wanted())
                return ASD_FAIL(ASD_E_STOPPED, "stopped by %s", asd_stop_signal());
            double start = asd_now();
            ASD_TRY(run_stage(p, k));
            p->time[k][r] = asd_now() - start;
            unlink(p->path);
        }
    return ASD_OK;
}

static asd_status run(pipeline *p)
{
    asd_outfile   file = {0};
    struct rusage use;
    asd_status    st     = ASD_OK;
    int           failed = 0;
    char          device[200];
    ASD_TRY(asd_stop_install());
    ASD_TRY(get_clips(p));
    ASD_TRY(open_stages(p));
    json_t *name = asd_device_json(&(asd_device){.cuda = p->gpu != NULL}, p->gpu);
    snprintf(device, sizeof device, "%s", name ? json_string_value(name) : "");
    json_decref(name);
    for (int k = 0; k < N_STAGES; ++k) {
        ASD_TRY(check_stage(p, k));
        failed += !p->check[k].passed;
    }
    ASD_TRY(measure(p));
    if (p->a->output)
        ASD_TRY(asd_outfile_open(&file, p->a->output));
    if (!p->a->common.json)
        printf("%lld clips, %s, %s, batch %lld, %d threads\n%-6s %10s  %9s - %9s\n",
               (long long)p->in.n, p->a->encoder, device, (long long)p->a->batch, asd_par_threads(),
               "stage", "clips/s", "20 %", "80 %");
    for (int k = 0; k < N_STAGES && !st; ++k)
        st = print_stage(p, k, device, &file);
    if (file.stream)
        st = st ? (asd_outfile_abandon(&file), st) : asd_outfile_commit(&file);
    if (!getrusage(RUSAGE_SELF, &use))
        asd_note("memory at most %.0f MB", (double)use.ru_maxrss / 1024);
    if (!st && failed)
        st = ASD_FAIL(ASD_E_NUMERIC, "%d of %d stages give other values than clips alone", failed,
                      N_STAGES);
    return st;
}

int bench_pipeline_main(int argc, char **argv)
{
    pipeline_args a = {0};
    asd_operands  operands;
    int           over;
    asd_status    st = asd_opts_parse(&command, argc, argv, &a, &operands, &over);
    if (!st && !over) {
        asd_common_apply(&a.common, command.name);
        pipeline p = {.a = &a};
        st         = run(&p);
        embed_net_free(p.net);
        asd_encoder_close(p.e);
        asd_stream_free(p.stream);
        asd_gpu_close(p.gpu);
        embed_inputs_clear(&p.in);
        asd_embed_how_clear(&p.how);
        free(p.cache_y);
        for (int k = 0; k < N_STAGES; ++k)
            free(p.time[k]);
        if (*p.folder) {
            asd_status gone = asd_remove_tree(p.folder);
            st              = st ? st : gone;
        }
    }
    asd_opts_clear(opts, &a);
    return asd_main_end(st);
}
