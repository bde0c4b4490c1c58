/* asd_embed.c - `asd-embed RECIPE`, `asd-embed --encoder NAME .. -o FILE INPUT...`: clips become
 * files of embeddings.
 */
#include "base/log.h"
#include "base/stop.h"
#include "tools/embed_cmd.h"
#include "tools/open_device.h"

#include <stdlib.h>
#include <string.h>

#define EMBED_TEXT(key, letter, field, unit, text)                                                 \
    {                                                                                              \
        key, letter, ASD_OPT_TEXT, offsetof(embed_args, field), NULL, 0, 0, NULL, unit, text       \
    }
#define EMBED_FLAG(key, letter, field, text)                                                       \
    {                                                                                              \
        key, letter, ASD_OPT_FLAG, offsetof(embed_args, field), "0", 0, 1, NULL, "", text          \
    }
#define EMBED_INT(key, field, max, unit, text)                                                     \
    {                                                                                              \
        key, 0, ASD_OPT_INT, offsetof(embed_args, field), "0", 0, max, NULL, unit, text            \
    }
static const asd_opt opts[] = {
    ASD_COMMON_OPTS,
    ASD_RECIPE_OPTS,
    EMBED_TEXT("encoder", 0, encoder, "NAME", "embed INPUT with this encoder instead of a recipe"),
    EMBED_TEXT("weights", 0, weights, "FILE",
               "its checkpoint; NAME=FILE,..; a folder with NAME.pt; or random"),
    EMBED_TEXT("adapter", 0, adapter, "DIR", "a LoRA adapter that is merged into the weights"),
    /* keep in step with asd_embed_how_opts: how[i] is its row i */
    EMBED_TEXT("channel", 0, how[0], "WHICH", "near, far, both, difference or subtracted"),
    EMBED_TEXT("layer", 0, how[1], "N", "transformer block from 1; last (default) or all"),
    EMBED_TEXT("pool", 0, how[2], "HOW", "mean, meanstd, gem, cls, time, head, or none"),
    EMBED_TEXT("length", 0, how[3], "WHAT", "first (10 s, default) or whole"),
    EMBED_TEXT("alpha", 0, how[4], "X", "subtracted: share of the far channel taken off, 0.5"),
    EMBED_TEXT("floor", 0, how[5], "X", "subtracted: what stays of the near channel, 0.05"),
    EMBED_TEXT("gain", 0, how[6], "none|median", "subtracted: scale of the far channel before"),
    EMBED_TEXT("output", 'o', output, "FILE", "the HDF5 file, with --encoder"),
    EMBED_INT("batch", batch, 4096, "N", "clips at once; 0 = the recipe's, or 8"),
    EMBED_TEXT("shard", 0, shard, "I/N", "only the I-th of N parts; the last one joins them"),
    EMBED_FLAG("join", 0, join, "with --shard 1/N: compute nothing, join the N shards"),
    EMBED_INT("part-clips", part_clips, 1000000, "N",
              "clips after which finished work is on disk; 0 = 256, or 20 s"),
    EMBED_FLAG("list-encoders", 0, list, "show encoders and the parameters of streams, and end"),
    EMBED_FLAG("json", 0, json, "print the result as JSON"),
    EMBED_FLAG("dry-run", 'n', dry_run, "say what would be made, make nothing"),
    EMBED_FLAG("force", 'f', force, "replace files that are there but are not what is wanted"),
    {0},
};

static const asd_command command = {
    .name     = "asd-embed",
    .operands = "RECIPE | --encoder NAME -o FILE INPUT...",
    .about = "Embed clips into HDF5 files: the streams of a recipe into RUN/embed/NAME.h5, or one "
             "data set or some audio files into FILE. "
             "A file that is there and made from the same is left alone; killed and started again "
             "it goes on where it was; SIGTERM saves and exits with 75.",
    .opts  = opts,
    .min_operands = 0,
    .max_operands = -1,
    .examples     = "asd-embed kist-ulicp --data DIR --weights BEATs_iter3_plus_AS2M.pt\n"
                    "asd-embed --encoder beats --weights FILE --channel near --layer 12 -o e.h5 DIR\n"
                    "asd-embed --encoder tiny_beats --pool none -o e.h5 a.wav b.wav\n"
                    "asd-embed kist-ulicp --data DIR --weights FILE --shard 2/4",
};

static void list(void)
{
    puts("encoders (--encoder, embed.streams; tiny_NAME: two small blocks with random weights):");
    embed_list_encoders(stdout);
    puts("parameters of a stream NAME = ENCODER(key=value, ..); NAME = level() has none:");
    asd_embed_how_list(stdout);
}

static asd_status embed(const embed_args *a, const asd_recipe *recipe, const asd_device *device,
                        const asd_operands *operands)
{
    asd_status   st = ASD_OK;
    embed_inputs in = {0};
    embed_job    j  = {.args   = a,
                       .inputs = &in,
                       .batch  = a->batch ? a->batch
                                 : recipe ? recipe->cfg.embed_batch
                                          : 8,
                       .seed   = recipe ? (uint64_t)recipe->cfg.seed : 0,
                       .files  = json_array()};
    ASD_GO(done, st, embed_parse_shard(a->shard, a->join, &j));
    if (!recipe)
        ASD_GO(done, st, embed_parse_seed(a->recipe.seed, &j));
    ASD_GO(done, st, recipe ? embed_recipe_streams(a, recipe, &j) : embed_one_stream(a, &j));
    if (a->join) {
        ASD_GO(done, st, embed_join_all(&j));
    } else {
        ASD_GO(done, st,
               recipe ? embed_inputs_data(a->recipe.data, recipe->cfg.data_machines.item,
                                          recipe->cfg.data_machines.n, &in)
                      : embed_inputs_operands(operands->v, operands->n, &in));
        ASD_GO(done, st, asd_device_open(a->recipe.device, device, &j.gpu));
        if (j.gpu)
            ASD_GO(done, st, asd_stream_new(j.gpu, &j.gpu_stream));
        ASD_GO(done, st, embed_run_all(&j));
    }
    embed_print(a, &j);
done:
    embed_job_clear(&j);
    embed_inputs_clear(&in);
    return st;
}

/* With --encoder: operands are clips. Without: one recipe. */
static asd_status run(const embed_args *a, const asd_operands *operands)
{
    asd_recipe recipe   = {0};
    asd_device device   = {0};
    int        exit_now = 0;
    asd_status st;
    ASD_TRY(asd_stop_install());
    if (a->encoder) {
        if (!operands->n && !a->join)
            return ASD_FAIL(ASD_E_USAGE, "INPUT is missing: a data set, or audio files");
        ASD_TRY(asd_device_choose(a->recipe.device, &device));
        return embed(a, NULL, &device, operands);
    }
    if (operands->n != 1)
        return ASD_FAIL(ASD_E_USAGE, "want one RECIPE, or --encoder NAME and INPUTs; got %d",
                        operands->n);
    st = asd_recipe_from_args(&a->recipe, operands->v[0], &recipe, &device, &exit_now);
    if (!st && !exit_now)
        st = embed(a, &recipe, &device, operands);
    asd_recipe_clear(&recipe);
    return st;
}

int main(int argc, char **argv)
{
    embed_args   args = {0};
    asd_operands operands;
    int          exit_now = 0;
    asd_status   st       = asd_opts_parse(&command, argc, argv, &args, &operands, &exit_now);
    asd_common_apply(&args.recipe.common, "asd-embed");
    if (!st && !exit_now && args.list)
        list();
    else if (!st && !exit_now)
        st = run(&args, &operands);
    asd_opts_clear(opts, &args);
    return asd_main_end(st);
}
