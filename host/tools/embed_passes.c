/* embed_passes.c - the streams of a run: which exist, which share a pass, what became of them.
 *
 * A pass is one encoder on one signal, cut in one way and pooled in one way; its outputs are
 * layers, and each stream is one of them (or all). Streams that are up to date leave the pass
 * before it is planned, so that it goes no deeper than it must.
 */
#include "base/file.h"
#include "base/log.h"
#include "base/par.h"
#include "data/embed_key.h"
#include "kernels/cpu_bf16_product.h" /* asd_products_by */
#include "tools/embed_cmd.h"

#include <stdlib.h>
#include <string.h>

static int is_level(const asd_embed_stream *s)
{
    return !strcmp(s->encoder, ASD_STREAM_LEVEL);
}

static int share_pass(const asd_embed_stream *a, const asd_embed_stream *b)
{
    const asd_embed_how *x = &a->how, *y = &b->how;
    return !strcmp(a->encoder, b->encoder) && x->channel == y->channel && x->length == y->length &&
           (x->channel != ASD_SIGNAL_SUBTRACTED ||
            (x->alpha == y->alpha && x->floor == y->floor && x->gain == y->gain));
}

/* --- methods --- */

static json_t *length_method(const asd_embed_how *how)
{
    return how->length == ASD_LENGTH_WHOLE ? json_string("whole")
                                           : json_sprintf("first %d s", ASD_FIRST_SECONDS);
}

static asd_status method_of(const embed_job *j, const asd_embed_stream *s, const asd_encoder *e,
                            char **text)
{
    char    pool[16];
    json_t *o;
    if (is_level(s)) {
        o = embed_level_method();
    } else {
        const asd_encoder_desc *d = asd_encoder_describe(e);
        o = json_pack("{s:{s:s, s:s, s:s}, s:o, s:s, s:o, s:s, s:s, s:i}", "encoder", "kind",
                      d->kind, "weights", asd_encoder_hash(e), "key", asd_encoder_key(e), "channel",
                      embed_signal_method(&s->how), "pool",
                      asd_embed_how_choice("pool", s->how.pool, pool, sizeof pool), "length",
                      length_method(&s->how), "precision",
                      j->args->recipe.precision == ASD_PRECISION_BF16 ? "bf16" : "fp32", "device",
                      j->gpu ? "cuda" : "cpu", "rate_hz", ASD_ENCODER_RATE_HZ);
        if (o && !j->gpu)
            json_object_set_new(
                o, "products",
                json_string(asd_products_by(j->args->recipe.precision == ASD_PRECISION_BF16)));
        if (o && s->how.layer == ASD_LAYER_ALL)
            json_object_set_new(o, "layer", json_string("all"));
        else if (o)
            json_object_set_new(
                o, "layer", json_integer(s->how.layer == ASD_LAYER_LAST ? d->depth : s->how.layer));
    }
    asd_status st = o ? asd_embed_method_text(o, text) : ASD_FAIL(ASD_E_OOM, "no memory for a key");
    json_decref(o);
    return st;
}

static asd_status check_stream(const asd_embed_stream *s, const asd_encoder *e)
{
    const asd_encoder_desc *d = asd_encoder_describe(e);
    if (s->how.layer > d->depth)
        return ASD_FAIL(ASD_E_CONFIG, "stream %s: layer %lld, %s has %d", s->name,
                        (long long)s->how.layer, s->encoder, d->depth);
    if (s->how.pool == ASD_POOL_CLS && !d->n_cls)
        return ASD_FAIL(ASD_E_CONFIG, "stream %s: pool cls, %s has no class token", s->name,
                        s->encoder);
    return ASD_OK;
}

/* --- a pass --- */

typedef struct pass {
    asd_embed_output *output; /* (n) */
    int64_t          *stream; /* (n) their streams */
    char            **method; /* (n) */
    int64_t           n;
} pass;

static void pass_clear(pass *p)
{
    for (int64_t i = 0; i < p->n; ++i)
        free(p->method[i]);
    free(p->output);
    free(p->stream);
    free(p->method);
}

static asd_status pass_make(const embed_job *j, int64_t first, const unsigned char *done,
                            const asd_encoder *e, pass *p)
{
    memset(p, 0, sizeof *p);
    p->output = calloc((size_t)j->n, sizeof *p->output);
    p->stream = calloc((size_t)j->n, sizeof *p->stream);
    p->method = calloc((size_t)j->n, sizeof *p->method);
    if (!p->output || !p->stream || !p->method)
        return ASD_FAIL(ASD_E_OOM, "no memory for %lld streams", (long long)j->n);
    for (int64_t i = first; i < j->n; ++i) {
        const asd_embed_stream *s = &j->stream[i];
        if (done[i] || !share_pass(&j->stream[first], s))
            continue;
        if (e)
            ASD_TRY(check_stream(s, e));
        int64_t k    = p->n++;
        p->stream[k] = i;
        ASD_TRY(method_of(j, s, e, &p->method[k]));
        p->output[k] = (asd_embed_output){
            .path   = j->path[i],
            .method = p->method[k],
            .form   = s->how.layer == ASD_LAYER_ALL ? ASD_EMBED_LAYERS
                      : !is_level(s) && (s->how.pool == ASD_POOL_NONE || s->how.pool == ASD_POOL_TIME)
                          ? ASD_EMBED_ROWS
                          : ASD_EMBED_PLAIN,
            .n      = 1};
    }
    return ASD_OK;
}

/* Adds n outputs from `layer` on in this pooling, unless they are there. Returns where they are. */
static int add_outputs(asd_encoder_output *list, int *n, int layer, int n_layers, asd_pool pool)
{
    for (int at = 0; at + n_layers <= *n; ++at) {
        int same = 1;
        for (int k = 0; k < n_layers && same; ++k)
            same = list[at + k].layer == layer + k && list[at + k].pool == pool;
        if (same)
            return at;
    }
    for (int k = 0; k < n_layers; ++k)
        list[*n + k] = (asd_encoder_output){layer + k, pool};
    *n += n_layers;
    return *n - n_layers;
}

/* What the pass must give for outputs that are not there yet, and each one's place in it. Streams
 * of all layers come first, so that single layers find theirs among them. ASD_E_CONFIG: too many.
 */
static asd_status choose_outputs(const embed_job *j, pass *p, int depth, asd_encoder_output *list,
                                 int *n)
{
    *n = 0;
    for (int all = 1; all >= 0; --all)
        for (int64_t k = 0; k < p->n; ++k) {
            const asd_embed_how *how   = &j->stream[p->stream[k]].how;
            asd_embed_output    *o     = &p->output[k];
            const int            layer = how->layer == ASD_LAYER_LAST ? depth : (int)how->layer;
            if (o->up_to_date || (how->layer == ASD_LAYER_ALL) != all)
                continue;
            o->n = all ? depth : 1;
            if (*n + o->n > ASD_ENCODER_MAX_OUTPUTS)
                return ASD_FAIL(ASD_E_CONFIG,
                                "stream %s: more than %d layers and poolings of one encoder and "
                                "channel",
                                j->stream[p->stream[k]].name, ASD_ENCODER_MAX_OUTPUTS);
            o->first = add_outputs(list, n, all ? 1 : layer, (int)o->n, (asd_pool)how->pool);
        }
    return ASD_OK;
}

/* Outputs that are up to date go behind the others. Returns how many are not. */
static int64_t put_done_last(pass *p)
{
    int64_t todo = 0;
    for (int64_t k = 0; k < p->n; ++k) {
        if (p->output[k].up_to_date)
            continue;
        asd_embed_output output = p->output[k];
        int64_t          stream = p->stream[k];
        char            *method = p->method[k];
        p->output[k] = p->output[todo], p->output[todo] = output;
        p->stream[k] = p->stream[todo], p->stream[todo] = stream;
        p->method[k] = p->method[todo], p->method[todo] = method;
        ++todo;
    }
    return todo;
}

/* A shard is named by its own file until all are joined. */
static asd_status report(embed_job *j, const pass *p, int64_t clips)
{
    const int64_t n = j->n_shards > 1 ? j->n_shards : 1, shard = n > 1 ? j->shard : 1;
    for (int64_t k = 0; k < p->n; ++k) {
        const asd_embed_output *o = &p->output[k];
        char                    path[PATH_MAX];
        int                     part  = n > 1 && !o->joined;
        int64_t                 own   = clips * shard / n - clips * (shard - 1) / n;
        const char             *state = o->up_to_date      ? "up to date"
                                        : j->args->dry_run ? "would be made"
                                        : j->n_shards > 1  ? "shard made"
                                                           : "made";
        ASD_TRY(part ? asd_embed_shard_path(o->path, shard, n, path)
                     : asd_path(path, "%s", o->path));
        json_array_set_new(j->files, (size_t)p->stream[k],
                           json_pack("{s:s, s:s, s:s, s:I, s:s, s:b}", "path", path, "stream",
                                     j->stream[p->stream[k]].name, "state", state, "clips",
                                     (json_int_t)(part ? own : clips), "key", o->key, "joined",
                                     o->joined));
    }
    return ASD_OK;
}

static asd_status run_pass(embed_job *j, int64_t first, unsigned char *done, asd_encoder *e)
{
    const asd_embed_stream *s = &j->stream[first];
    asd_encoder_output      list[ASD_ENCODER_MAX_OUTPUTS];
    int                     n_list = 0;
    embed_net              *net    = NULL;
    pass                    p;
    char                    what[100];
    snprintf(what, sizeof what, "embed %s", s->name);
    int64_t       threads = asd_par_threads();
    asd_embed_job job     = {.clip       = j->inputs->clip,
                             .n          = j->inputs->n,
                             .ear        = e ? embed_ear(&s->how) : embed_level_ear(),
                             .batch      = j->batch,
                             .readers    = !e || j->gpu  ? (threads < 16 ? threads : 16)
                                           : threads > 1 ? 2
                                                         : 1,
                             .shard      = j->shard,
                             .n_shards   = j->n_shards,
                             .force      = j->args->force,
                             .part_clips = j->args->part_clips,
                             .what       = what};
    asd_status    st      = pass_make(j, first, done, e, &p);
    job.output            = p.output;
    job.n_outputs         = p.n;
    if (!st)
        st = asd_embed_check(&job);
    job.n_outputs = st ? 0 : put_done_last(&p);
    if (!st && job.n_outputs && e &&
        !(st = choose_outputs(j, &p, asd_encoder_describe(e)->depth, list, &n_list)))
        st = embed_net_new(e, list, n_list, job.ear.n_signals, j->gpu_stream,
                           j->args->recipe.precision == ASD_PRECISION_BF16, &net, &job.embedder);
    else if (!st && !e)
        st = embed_level_new(&job.embedder);
    if (!st && !j->args->dry_run) {
        job.n_outputs = p.n; /* those that are up to date are joined, perhaps */
        st            = asd_embed_run(&job);
    }
    if (!st)
        st = report(j, &p, j->inputs->n);
    for (int64_t k = 0; k < p.n; ++k)
        done[p.stream[k]] = 1;
    j->computed += job.computed;
    j->seconds += job.seconds;
    embed_net_free(net);
    if (!e)
        embed_level_free(&job.embedder);
    pass_clear(&p);
    return st;
}

static int is_alone(const embed_job *j)
{
    const char *name = NULL;
    for (int64_t i = 0; i < j->n; ++i) {
        if (is_level(&j->stream[i]))
            continue;
        if (name && strcmp(name, j->stream[i].encoder))
            return 0;
        name = j->stream[i].encoder;
    }
    return 1;
}

/* One encoder is in memory at a time. */
asd_status embed_run_all(embed_job *j)
{
    unsigned char *done = calloc((size_t)j->n + 1, 1);
    asd_status     st   = ASD_OK;
    if (!done)
        return ASD_FAIL(ASD_E_OOM, "no memory for %lld streams", (long long)j->n);
    for (int64_t i = 0; i < j->n; ++i)
        json_array_append_new(j->files, json_null());
    for (int64_t i = 0; i < j->n && !st; ++i) {
        asd_encoder *e = NULL;
        if (done[i])
            continue;
        if (!is_level(&j->stream[i]))
            st = embed_encoder_open(j->stream[i].encoder, j->args->weights, j->args->adapter,
                                    j->seed, is_alone(j), &e);
        for (int64_t k = i; k < j->n && !st; ++k)
            if (!done[k] && !strcmp(j->stream[k].encoder, j->stream[i].encoder))
                st = run_pass(j, k, done, e);
        asd_encoder_close(e);
    }
    free(done);
    return st;
}

/* Dry: the shards are opened, and nothing is joined. */
static asd_status join_one(const embed_job *j, int64_t i, int64_t *clips)
{
    char shard[PATH_MAX];
    *clips = 0;
    for (int64_t k = 1; k <= j->n_shards; ++k) {
        asd_embed_file *f = NULL;
        ASD_TRY(asd_embed_shard_path(j->path[i], k, j->n_shards, shard));
        ASD_TRY(asd_embed_open(shard, &f));
        *clips += asd_embed_head(f)->N;
        asd_embed_close(f);
    }
    return j->args->dry_run ? ASD_OK
                            : asd_embed_join_shards(j->path[i], j->n_shards, NULL, j->args->force);
}

asd_status embed_join_all(embed_job *j)
{
    for (int64_t i = 0; i < j->n; ++i) {
        char            key[33] = "";
        int64_t         clips;
        asd_embed_file *f = NULL;
        ASD_TRY(join_one(j, i, &clips));
        if (!j->args->dry_run) {
            ASD_TRY(asd_embed_open(j->path[i], &f));
            snprintf(key, sizeof key, "%s", asd_embed_head(f)->key);
            asd_embed_close(f);
        }
        json_array_append_new(j->files, json_pack("{s:s, s:s, s:s, s:I, s:s, s:b}", "path",
                                                  j->path[i], "stream", j->stream[i].name, "state",
                                                  j->args->dry_run ? "would be joined" : "joined",
                                                  "clips", (json_int_t)clips, "key", key, "joined",
                                                  !j->args->dry_run));
    }
    return ASD_OK;
}

void embed_job_clear(embed_job *j)
{
    asd_stream_free(j->gpu_stream);
    asd_gpu_close(j->gpu);
    asd_embed_streams_free(j->stream, j->n);
    free(j->path);
    json_decref(j->files);
    memset(j, 0, sizeof *j);
}
