/* embed_request.c - what a command line of asd-embed asks for, as streams and paths; what it gets.
 */
#include "base/file.h"
#include "base/log.h"
#include "tools/embed_cmd.h"
#include "tools/train_run.h"

#include <stdlib.h>
#include <string.h>

asd_status embed_parse_shard(const char *text, int join, embed_job *j)
{
    char *end = NULL;
    if (!text)
        return join ? ASD_FAIL(ASD_E_USAGE, "--join needs --shard 1/N: how many shards there are")
                    : ASD_OK;
    j->shard = strtol(text, &end, 10);
    if (end != text && *end == '/') {
        const char *second = end + 1;
        j->n_shards        = strtol(second, &end, 10);
        if (end != second && !*end && j->n_shards >= 1 && j->n_shards <= 100000 && j->shard >= 1 &&
            j->shard <= j->n_shards)
            return ASD_OK;
    }
    return ASD_FAIL(ASD_E_USAGE, "--shard %s: want I/N with I from 1 to N, as in 2/4", text);
}

/* --seed without a recipe, whose key it is otherwise. */
asd_status embed_parse_seed(const char *text, embed_job *j)
{
    const asd_opt row  = {"seed", 0, ASD_OPT_INT, 0, "0", 0, 9.0e15, NULL, "", ""};
    int64_t       seed = 0;
    if (text)
        ASD_TRY(asd_opt_set(&row, &seed, text, "--seed", ASD_E_USAGE));
    j->seed = (uint64_t)seed;
    return ASD_OK;
}

/* Options that would be without effect are refused, not dropped. */
static asd_status check_one_stream(const embed_args *a)
{
    const asd_recipe_args *r     = &a->recipe;
    const char            *given = r->data           ? "data"
                                   : r->run          ? "run"
                                   : r->sets.n       ? "set"
                                   : r->smoke        ? "smoke"
                                   : r->print_config ? "print-config"
                                                     : NULL;
    if (given)
        return ASD_FAIL(ASD_E_USAGE, "--%s goes with a RECIPE, not with --encoder", given);
    if (!strncmp(a->encoder, "tiny_", 5) && a->weights && strcmp(a->weights, "random") != 0)
        return ASD_FAIL(ASD_E_USAGE,
                        "--weights %s: the weights of %s are random; want --encoder %s for this "
                        "file",
                        a->weights, a->encoder, a->encoder + 5);
    for (int i = 0; asd_embed_how_opts[i].key && !strcmp(a->encoder, ASD_STREAM_LEVEL); ++i)
        if (a->how[i])
            return ASD_FAIL(ASD_E_USAGE, "--%s: %s takes no parameters", asd_embed_how_opts[i].key,
                            ASD_STREAM_LEVEL);
    return ASD_OK;
}

asd_status embed_one_stream(const embed_args *a, embed_job *j)
{
    asd_embed_stream *s = calloc(1, sizeof *s);
    char              where[32];
    if (!(j->stream = s))
        return ASD_FAIL(ASD_E_OOM, "no memory for a stream");
    j->n = 1;
    if (!a->output)
        return ASD_FAIL(ASD_E_USAGE, "-o FILE is missing: the file to write");
    ASD_TRY(check_one_stream(a));
    ASD_TRY(asd_opts_defaults(asd_embed_how_opts, &s->how));
    for (int i = 0; asd_embed_how_opts[i].key; ++i) {
        snprintf(where, sizeof where, "--%s", asd_embed_how_opts[i].key);
        if (a->how[i])
            ASD_TRY(asd_opt_set(&asd_embed_how_opts[i], &s->how, a->how[i], where, ASD_E_USAGE));
    }
    ASD_TRY(asd_embed_how_check(&s->how, a->encoder, ASD_E_USAGE));
    snprintf(s->encoder, sizeof s->encoder, "%s", a->encoder);
    snprintf(s->name, sizeof s->name, "%.60s", asd_base_name(a->output));
    if (!(j->path = calloc(1, sizeof *j->path)))
        return ASD_FAIL(ASD_E_OOM, "no memory for a path");
    return asd_path(j->path[0], "%s", a->output);
}

asd_status embed_recipe_streams(const embed_args *a, const asd_recipe *recipe, embed_job *j)
{
    const asd_cfg *c = &recipe->cfg;
    char           folder[PATH_MAX], embed[PATH_MAX];
    for (int i = 0; asd_embed_how_opts[i].key; ++i)
        if (a->how[i])
            return ASD_FAIL(ASD_E_USAGE,
                            "--%s goes with --encoder; the recipe's embed.streams say "
                            "it for each stream",
                            asd_embed_how_opts[i].key);
    if (a->output)
        return ASD_FAIL(ASD_E_USAGE, "-o goes with --encoder; a recipe's files are in RUN/embed");
    if (!a->recipe.data)
        return ASD_FAIL(ASD_E_USAGE,
                        "--data DIR is missing: the folder of dev_data/raw, or of machine folders");
    if (!c->embed_streams.n)
        return ASD_FAIL(ASD_E_CONFIG, "%s: embed.streams is empty: the recipe embeds nothing",
                        recipe->path);
    ASD_TRY(asd_embed_streams_parse(c->embed_streams.item, c->embed_streams.n, c->embed_length,
                                    embed_encoder_names(), &j->stream));
    j->n = c->embed_streams.n;
    ASD_TRY(asd_run_folder(a->recipe.run, recipe, folder));
    if (!(j->path = calloc((size_t)j->n, sizeof *j->path)))
        return ASD_FAIL(ASD_E_OOM, "no memory for %lld paths", (long long)j->n);
    for (int64_t i = 0; i < j->n; ++i)
        ASD_TRY(asd_path(j->path[i], "%s/embed/%s.h5", folder, j->stream[i].name));
    if (a->dry_run)
        return ASD_OK;
    ASD_TRY(asd_path(embed, "%s/embed", folder));
    return asd_make_folders(embed);
}

void embed_print(const embed_args *a, const embed_job *j)
{
    size_t  i;
    json_t *file;
    if (a->json) {
        json_t *o = json_pack("{s:s, s:O, s:I, s:f}", "schema", "asd.embed/1", "files", j->files,
                              "computed_clips", (json_int_t)j->computed, "clips_per_s",
                              j->seconds > 0 ? (double)j->computed / j->seconds : 0.0);
        json_dumpf(o, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
        putchar('\n');
        json_decref(o);
        return;
    }
    json_array_foreach(j->files, i, file)
    {
        const char *path = json_string_value(json_object_get(file, "path"));
        if (a->dry_run)
            printf("%s: %s, %lld clips\n", path, json_string_value(json_object_get(file, "state")),
                   (long long)json_integer_value(json_object_get(file, "clips")));
        else
            puts(path);
    }
    if (j->computed)
        asd_note("%lld clips in %.1f s, %.2f clips/s", (long long)j->computed, j->seconds,
                 (double)j->computed / j->seconds);
}
