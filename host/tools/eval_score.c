/* eval_score.c - `asd-eval score RECIPE`: anomaly scores and decisions of the test clips of a
 * finished run.
 */
#include "tools/eval_cmds.h"

#include "base/file.h"
#include "base/log.h"
#include "base/stop.h"
#include "detect/detector.h"
#include "tools/score_recipe.h"
#include "tools/train_run.h"

#include <stdio.h>
#include <string.h>

typedef struct score_args {
    asd_recipe_args recipe;
    int             json, list_detectors;
    char           *clip; /* NULL: all */
} score_args;

static const asd_opt opts[] = {
    ASD_COMMON_OPTS,
    ASD_RECIPE_OPTS,
    {"clip", 0, ASD_OPT_TEXT, offsetof(score_args, clip), NULL, 0, 0, NULL, "NAME",
     "score only the test clips of this file name and print them; nothing is written"},
    {"list-detectors", 0, ASD_OPT_FLAG, offsetof(score_args, list_detectors), "0", 0, 1, NULL, "",
     "show the detectors that a recipe can name, and end"},
    {"json", 0, ASD_OPT_FLAG, offsetof(score_args, json), "0", 0, 1, NULL, "",
     "print score folders, thresholds and counts as JSON"},
    {0},
};

static const asd_command command = {
    .name     = "asd-eval score",
    .operands = "RECIPE",
    .about    = "Score the test clips of a data set with a finished run of asd-train or asd-embed. "
                "Writes one "
                "folder per detector, "
                "RUN/scores/DETECTOR/, with anomaly_score_*.csv and decision_result_*.csv for every "
                "machine.",
    .opts     = opts,
    .min_operands = 0,
    .max_operands = 1,
    .examples     = "asd-eval score recipes/dcase-baseline.yaml --data DIR --run runs/baseline\n"
                    "asd-eval omega runs/baseline/scores/mse",
};

/* The folders of result, each once. */
static void print_folders(const json_t *result)
{
    for (size_t i = 0; i < json_array_size(result); ++i) {
        const char *folder =
            json_string_value(json_object_get(json_array_get(result, i), "folder"));
        size_t k = 0;
        while (k < i && strcmp(folder, json_string_value(
                                           json_object_get(json_array_get(result, k), "folder"))))
            ++k;
        if (k == i)
            printf("%s\n", folder);
    }
}

/* Folders of other detectors, which `asd-eval omega RUN` and `report` would show beside these. */
static asd_status warn_of_others(const json_t *result, const char *folder)
{
    asd_names names;
    char      path[PATH_MAX], list[512] = "";
    size_t    used = 0;
    ASD_TRY(asd_list_folder(folder, &names));
    for (int64_t i = 0; i < names.n; ++i) {
        size_t k = 0;
        if (asd_path(path, "%s/%s", folder, names.name[i]) || !asd_is_folder(path))
            continue;
        while (
            k < json_array_size(result) &&
            strcmp(path, json_string_value(json_object_get(json_array_get(result, k), "folder"))))
            ++k;
        if (k == json_array_size(result) && used < sizeof list)
            used += (size_t)snprintf(list + used, sizeof list - used, "%s%.60s", used ? ", " : "",
                                     names.name[i]);
    }
    asd_names_free(&names);
    if (*list)
        asd_warn("%s: %s: scores of before, not made now; remove them if they are of another "
                 "configuration",
                 folder, list);
    return ASD_OK;
}

static asd_status score(const score_args *args, const asd_recipe *recipe, const asd_device *device)
{
    char       folder[PATH_MAX] = "", run[PATH_MAX];
    json_t    *used             = NULL;
    score_out  out              = {.only = args->clip, .json = args->json, .result = json_array()};
    score_from from = {args->recipe.data, args->recipe.run, args->recipe.device, device};
    asd_status st   = asd_run_folder(args->recipe.run, recipe, run);
    if (!st)
        st = score_recipe(recipe, &from, &out, &used, folder);
    if (!st && !args->clip)
        st = warn_of_others(out.result, folder);
    if (!st && args->json) {
        json_t *root = json_pack("{s:s, s:s, s:O, s:O}", "schema", "asd.score/1", "run", run,
                                 "device", used, "scores", out.result);
        json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(17));
        putchar('\n');
        json_decref(root);
    } else if (!st && !args->clip) {
        print_folders(out.result);
    }
    json_decref(used);
    json_decref(out.result);
    return st;
}

int eval_score_main(int argc, char **argv)
{
    score_args   args;
    asd_operands operands;
    asd_recipe   recipe = {0};
    asd_device   device;
    int          exit_now = 0;
    asd_status   st       = asd_opts_parse(&command, argc, argv, &args, &operands, &exit_now);
    asd_common_apply(&args.recipe.common, "asd-eval");
    if (!st && !exit_now && args.list_detectors) {
        asd_detectors_list(stdout);
        exit_now = 1;
    }
    if (!st && !exit_now && operands.n < 1)
        st = ASD_FAIL(ASD_E_USAGE, "asd-eval score: RECIPE is missing; see asd-eval score --help");
    if (!st && !exit_now)
        st = asd_recipe_from_args(&args.recipe, operands.v[0], &recipe, &device, &exit_now);
    if (!st && !exit_now)
        st = asd_stop_install();
    if (!st && !exit_now)
        st = score(&args, &recipe, &device);
    asd_recipe_clear(&recipe);
    asd_opts_clear(opts, &args);
    return asd_main_end(st);
}
