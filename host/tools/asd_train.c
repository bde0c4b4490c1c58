/* asd_train.c - `asd-train RECIPE`: train what the recipe trains; resume by itself. */
#include "base/log.h"
#include "base/stop.h"
#include "tools/open_device.h"
#include "tools/train_loop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct train_args {
    asd_recipe_args recipe;
    int             json, plan;
} train_args;

static const asd_opt opts[] = {
    ASD_COMMON_OPTS,
    ASD_RECIPE_OPTS,
    {"plan", 0, ASD_OPT_FLAG, offsetof(train_args, plan), "0", 0, 1, NULL, "",
     "print the ops of a step with shapes, bytes and live ranges, and end"},
    {"json", 0, ASD_OPT_FLAG, offsetof(train_args, json), "0", 0, 1, NULL, "",
     "print run.json's content at the end"},
    {0},
};

static const asd_command command = {
    .name     = "asd-train",
    .operands = "RECIPE",
    .about = "Train the networks of a recipe on the training clips of a data set, one per machine "
             "and section.\n"
             "Started again with the same run folder it goes on where it was; SIGTERM saves and "
             "exits with 75.",
    .opts  = opts,
    .min_operands = 1,
    .max_operands = 1,
    .examples =
        "asd-train recipes/dcase-baseline.yaml --data DIR --run runs/baseline\n"
        "asd-train dcase-baseline --data DIR --smoke\n"
        "asd-train dcase-baseline --data DIR --set train.epochs=20 --set 'data.machines=[fan]'",
};

/* The plan of the first network's step, over as many frames as one batch needs. */
static asd_status print_plan(const asd_cfg *cfg)
{
    asd_params  params;
    asd_ae_plan p = {0};
    asd_params_init(&params);
    asd_status st = asd_ae_declare(&params, cfg);
    if (!st)
        st = asd_params_alloc(&params, 1);
    if (!st && !(st = asd_ae_plan_make(&params, cfg, cfg->front_end_stack_frames, cfg->train_batch,
                                       1, &p))) {
        asd_plan_print(p.plan, stdout);
        printf("parameters: %lld trainable, %lld in running statistics\n",
               (long long)asd_params_count(&params, 1), (long long)asd_params_count(&params, 0));
    }
    asd_ae_plan_clear(&p);
    asd_params_clear(&params);
    return st;
}

/* A run may go on elsewhere than it began; its bits are then those of neither. */
static void record_device(asd_run *run, const asd_device *device, const asd_gpu *gpu)
{
    json_t     *now = asd_device_json(device, gpu), *was = json_object_get(run->info, "device");
    const char *state = asd_run_state(run);
    if (*state && was && now && !json_equal(was, now))
        asd_warn("%s began on %s and goes on on %s: equal within rounding, not bit for bit",
                 run->folder, json_string_value(was), json_string_value(now));
    json_object_set_new(run->info, "device", now);
}

static asd_status train(const train_args *args, const asd_recipe *recipe, const asd_device *device,
                        int argc, char **argv)
{
    asd_status  st = ASD_OK;
    asd_dataset data;
    asd_net    *nets = NULL;
    int64_t     n    = 0;
    asd_run     run  = {.lock = -1};
    asd_gpu    *gpu  = NULL;
    if (!args->recipe.data)
        return ASD_FAIL(ASD_E_USAGE,
                        "--data DIR is missing: the folder of dev_data/raw, or of machine folders");
    if (args->recipe.precision != ASD_PRECISION_FP32)
        return ASD_FAIL(ASD_E_USAGE, "--precision bf16: the autoencoder is trained in fp32");
    if (recipe->cfg.embed_streams.n)
        return ASD_FAIL(
            ASD_E_USAGE,
            "%s trains nothing: it has embed.streams; run asd-embed, then asd-eval score",
            recipe->path);
    const asd_list *only = &recipe->cfg.data_machines, *detectors = &recipe->cfg.score_detectors;
    ASD_TRY(asd_detectors_check(detectors->item, detectors->n));
    ASD_TRY(asd_dataset_open(args->recipe.data, only->item, only->n, &data));
    ASD_GO(close_data, st, asd_run_open(&run, args->recipe.run, recipe, argc, argv));
    if (!strcmp(asd_run_state(&run), "done")) {
        asd_note("%s: done already", run.folder);
    } else {
        asd_note("run folder %s", run.folder);
        ASD_GO(close_run, st, asd_nets_make(&data, &recipe->cfg, &nets, &n));
        ASD_GO(close_run, st, asd_device_open(args->recipe.device, device, &gpu));
        record_device(&run, device, gpu);
        ASD_GO(close_run, st, asd_train_loop(&run, &recipe->cfg, nets, n, gpu));
    }
    if (args->json) {
        json_dumpf(run.info, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(17));
        putchar('\n');
    } else {
        puts(run.folder);
    }
close_run:
    asd_nets_free(nets, n);
    asd_gpu_close(gpu);
close_data:
    asd_run_close(&run);
    asd_dataset_clear(&data);
    return st;
}

int main(int argc, char **argv)
{
    train_args   args = {0};
    asd_operands operands;
    asd_recipe   recipe = {0};
    asd_device   device;
    int          exit_now = 0;
    char       **typed    = malloc((size_t)argc * sizeof *typed); /* parsing reorders argv */
    if (typed)
        memcpy(typed, argv, (size_t)argc * sizeof *typed);
    asd_status st = typed ? asd_opts_parse(&command, argc, argv, &args, &operands, &exit_now)
                          : ASD_FAIL(ASD_E_OOM, "no memory for %d arguments", argc);
    asd_common_apply(&args.recipe.common, "asd-train");
    if (!st && !exit_now)
        st = asd_recipe_from_args(&args.recipe, operands.v[0], &recipe, &device, &exit_now);
    if (!st && !exit_now)
        st = asd_stop_install();
    if (!st && !exit_now)
        st = args.plan ? print_plan(&recipe.cfg) : train(&args, &recipe, &device, argc, typed);
    asd_recipe_clear(&recipe);
    asd_opts_clear(opts, &args);
    free(typed);
    return asd_main_end(st);
}
