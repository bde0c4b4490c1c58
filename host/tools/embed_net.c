/* embed_net.c - encoders and their weights by name, and an encoder as the embedder of a job. */
#include "base/file.h"
#include "data/checkpoint.h"
#include "tools/embed_cmd.h"

#include <stdlib.h>
#include <string.h>

/* --- names and weights --- */

const char *const *embed_encoder_names(void)
{
    static const char *const names[] = {
#define ENCODER(name, file, text) #name, "tiny_" #name,
#include "models/models.def"
#undef ENCODER
        NULL};
    return names;
}

void embed_list_encoders(FILE *out)
{
#define ENCODER(name, file, text) fprintf(out, "    %-10s %s\n", #name, text);
#include "models/models.def"
#undef ENCODER
}

static asd_status check_name(const char *name)
{
    const char *const *names = embed_encoder_names();
    int64_t            n     = 0;
    for (; names[n]; ++n)
        if (!strcmp(names[n], name))
            return ASD_OK;
    const char *near = asd_nearest(name, names, n);
    return ASD_FAIL(ASD_E_USAGE, "there is no encoder \"%s\"; %s%s%s", name,
                    near ? "did you mean \"" : "", near ? near : "--list-encoders shows them",
                    near ? "\"?" : "");
}

/* The FILE of "NAME=FILE" in a list with commas; "" when there is none. */
static asd_status of_list(const char *list, const char *name, char file[PATH_MAX])
{
    *file = 0;
    while (*list) {
        size_t      length = strcspn(list, ",");
        const char *equals = memchr(list, '=', length);
        if (!equals || equals == list || equals + 1 == list + length)
            return ASD_FAIL(ASD_E_USAGE, "--weights: \"%.*s\" is not NAME=FILE", (int)length, list);
        char one[128];
        if (equals - list < (int)sizeof one) {
            memcpy(one, list, (size_t)(equals - list));
            one[equals - list] = 0;
            ASD_TRY(check_name(one));
            if (!strcmp(one, name))
                ASD_TRY(asd_path(file, "%.*s", (int)(list + length - equals - 1), equals + 1));
        }
        list += length + (list[length] == ',');
    }
    return ASD_OK;
}

/* file: "FOLDER/base" when it is there; two that are there are one too many. */
static asd_status try_file(const char *folder, const char *name, const char *base,
                           char file[PATH_MAX])
{
    char path[PATH_MAX];
    ASD_TRY(asd_path(path, "%s/%s", folder, base));
    if (!asd_is_file(path))
        return ASD_OK;
    if (*file)
        return ASD_FAIL(ASD_E_USAGE,
                        "--weights %s: %s and %s are both there; say which with %s=FILE", folder,
                        asd_base_name(file), base, name);
    memcpy(file, path, sizeof path);
    return ASD_OK;
}

/* NAME.pt and the like, or a file that the manifest of checkpoints has for this encoder. */
static asd_status of_folder(const char *folder, const char *name, char file[PATH_MAX])
{
    static const char *const ends[] = {"pt", "pth", "safetensors"};
    char                     base[80];
    *file = 0;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; ++i) {
        snprintf(base, sizeof base, "%.60s.%s", name, ends[i]);
        ASD_TRY(try_file(folder, name, base, file));
    }
    for (const asd_checkpoint *c = asd_checkpoints; c->name; ++c)
        if (!strcmp(c->architecture, name))
            ASD_TRY(try_file(folder, name, c->file, file));
    if (!*file)
        return ASD_FAIL(ASD_E_DATA,
                        "%s: there is no %s.pt, %s.pth, %s.safetensors, and no file that "
                        "`asd-data get --list` shows for %s",
                        folder, name, name, name, name);
    return ASD_OK;
}

/* file: "" for random weights */
static asd_status find_weights(const char *name, const char *weights, int alone,
                               char file[PATH_MAX])
{
    *file = 0;
    if (!strcmp(weights, "random"))
        return ASD_OK;
    if (asd_is_folder(weights))
        return of_folder(weights, name, file);
    if (strchr(weights, '=') && !asd_is_file(weights)) {
        ASD_TRY(of_list(weights, name, file));
        if (*file)
            return ASD_OK;
        return ASD_FAIL(ASD_E_USAGE, "--weights %s: no weights of %s among these", weights, name);
    }
    if (!alone)
        return ASD_FAIL(ASD_E_USAGE,
                        "--weights %s: the recipe has several encoders: say NAME=FILE for each, or "
                        "give a folder",
                        weights);
    return asd_path(file, "%s", weights);
}

asd_status embed_encoder_open(const char *name, const char *weights, const char *adapter,
                              uint64_t seed, int alone, asd_encoder **out)
{
    char file[PATH_MAX] = "";
    *out                = NULL;
    ASD_TRY(check_name(name));
    if (adapter && !alone)
        return ASD_FAIL(ASD_E_USAGE, "--adapter %s: the recipe has several encoders", adapter);
    int         tiny = !strncmp(name, "tiny_", 5);
    const char *kind = tiny ? name + 5 : name;
    if (weights && !tiny)
        ASD_TRY(find_weights(name, weights, alone, file));
    else if (!tiny)
        return ASD_FAIL(ASD_E_USAGE,
                        "--weights is missing: the checkpoint of %s (or `random`, to try things "
                        "out)",
                        name);
    if (*file)
        ASD_TRY(asd_encoder_open(kind, file, out));
    else
        ASD_TRY(asd_encoder_random(kind, tiny, seed, out));
    asd_status st = adapter ? asd_encoder_merge_adapter(*out, adapter) : ASD_OK;
    if (st) {
        asd_encoder_close(*out);
        *out = NULL;
    }
    return st;
}

/* --- embedder --- */

enum { KEPT = 2 }; /* plans: of a whole batch, and of the last batch of a length */

struct embed_net {
    asd_encoder       *e;
    asd_encoder_output output[ASD_ENCODER_MAX_OUTPUTS];
    int                n, n_signals, bf16;
    asd_stream        *stream;
    struct {
        asd_encoder_run *run;
        int64_t          B, S, used;
    } plan[KEPT];
    int64_t clock;
    int64_t D[ASD_ENCODER_MAX_OUTPUTS]; /* of all signals */
    float  *y[ASD_ENCODER_MAX_OUTPUTS];
    size_t  room[ASD_ENCODER_MAX_OUTPUTS]; /* values in y */
    float  *raw;                           /* of an output, signal by signal */
    size_t  raw_room;
};

static asd_status plan_for(embed_net *n, int64_t B, int64_t S, asd_encoder_run **run)
{
    int oldest = 0;
    for (int i = 0; i < KEPT; ++i) {
        if (n->plan[i].run && n->plan[i].B == B && n->plan[i].S == S) {
            n->plan[i].used = ++n->clock;
            *run            = n->plan[i].run;
            return ASD_OK;
        }
        if (n->plan[i].used < n->plan[oldest].used)
            oldest = i;
    }
    for (int i = 0; i < KEPT; ++i) /* plans of a length that is over are of no use any more */
        if (i == oldest || n->plan[i].S != S) {
            asd_encoder_run_free(n->plan[i].run);
            n->plan[i].run  = NULL;
            n->plan[i].used = 0;
        }
    ASD_TRY(asd_encoder_plan_outputs(n->e, B, S, n->output, n->n, n->stream, n->bf16,
                                     &n->plan[oldest].run));
    n->plan[oldest].B    = B;
    n->plan[oldest].S    = S;
    n->plan[oldest].used = ++n->clock;
    *run                 = n->plan[oldest].run;
    return ASD_OK;
}

static asd_status make_room(float **y, size_t *room, int64_t values)
{
    if ((size_t)values <= *room)
        return ASD_OK;
    free(*y);
    *room = 0;
    if (!(*y = malloc((size_t)values * sizeof **y)))
        return ASD_FAIL(ASD_E_OOM, "no memory for %lld values of a batch", (long long)values);
    *room = (size_t)values;
    return ASD_OK;
}

/* The signals of a clip are clips to the encoder; their vectors then lie side by side:
 * raw (B, n_signals, rows, D) -> y (B, rows, n_signals D) */
static asd_status read_output(embed_net *n, asd_encoder_run *run, int k, int64_t B, int64_t rows)
{
    const int64_t D = asd_encoder_output_dim(run, k), all = n->n_signals;
    ASD_ASSERT(all * D == n->D[k]);
    ASD_TRY(make_room(&n->y[k], &n->room[k], B * rows * all * D));
    if (all == 1)
        return asd_encoder_read(run, k, n->y[k]);
    ASD_TRY(make_room(&n->raw, &n->raw_room, B * rows * all * D));
    ASD_TRY(asd_encoder_read(run, k, n->raw));
    for (int64_t b = 0; b < B; ++b)
        for (int64_t s = 0; s < all; ++s)
            for (int64_t r = 0; r < rows; ++r)
                memcpy(n->y[k] + ((b * rows + r) * all + s) * D,
                       n->raw + ((b * all + s) * rows + r) * D, (size_t)D * sizeof *n->raw);
    return ASD_OK;
}

static asd_status run_net(void *ctx, int64_t B, int64_t S, const float *x, const float **y,
                          int64_t *rows)
{
    embed_net       *n = ctx;
    asd_encoder_run *run;
    ASD_TRY(plan_for(n, B * n->n_signals, S, &run));
    ASD_TRY(asd_encoder_compute(run, x));
    for (int k = 0; k < n->n; ++k) {
        rows[k] = asd_encoder_output_rows(run, k);
        ASD_TRY(read_output(n, run, k, B, rows[k]));
        y[k] = n->y[k];
    }
    return ASD_OK;
}

asd_status embed_net_new(asd_encoder *e, const asd_encoder_output *outputs, int n_outputs,
                         int n_signals, asd_stream *stream, int bf16, embed_net **out,
                         asd_embedder *embedder)
{
    const asd_encoder_desc *d = asd_encoder_describe(e);
    embed_net              *n = calloc(1, sizeof *n);
    *out                      = NULL;
    ASD_ASSERT(n_outputs > 0 && n_outputs <= ASD_ENCODER_MAX_OUTPUTS);
    if (!n)
        return ASD_FAIL(ASD_E_OOM, "no memory for an embedder");
    n->e         = e;
    n->n         = n_outputs;
    n->n_signals = n_signals;
    n->bf16      = bf16;
    n->stream    = stream;
    memcpy(n->output, outputs, (size_t)n_outputs * sizeof *outputs);
    for (int k = 0; k < n_outputs; ++k) {
        asd_pool pool = outputs[k].pool;
        n->D[k]       = n_signals * (pool == ASD_POOL_MEANSTD ? 2 * d->dim
                                     : pool == ASD_POOL_HEAD  ? d->head_classes
                                                              : d->dim);
    }
    int64_t longest = asd_encoder_max_samples(d);
    *embedder       = (asd_embedder){.ctx         = n,
                                     .run         = run_net,
                                     .n_outputs   = n_outputs,
                                     .D           = n->D,
                                     .min_samples = asd_encoder_min_samples(d),
                                     .max_samples = longest == INT64_MAX ? 0 : longest};
    *out            = n;
    return ASD_OK;
}

void embed_net_free(embed_net *n)
{
    if (!n)
        return;
    for (int i = 0; i < KEPT; ++i)
        asd_encoder_run_free(n->plan[i].run);
    for (int k = 0; k < n->n; ++k)
        free(n->y[k]);
    free(n->raw);
    free(n);
}
