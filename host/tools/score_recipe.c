/* score_recipe.c - what all ways of scoring share: files, thresholds, and which way a recipe asks
 * for.
 */
#include "tools/score_recipe.h"

#include "base/file.h"
#include "score/scores.h"
#include "score/threshold.h"
#include "tools/train_run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

asd_status score_threshold(const asd_cfg *cfg, const char *label, const char *key,
                           const double *train, int64_t n, double *threshold)
{
    asd_status st =
        asd_threshold_fit(cfg->score_threshold, train, n, cfg->score_threshold_quantile, threshold);
    if (st) { /* the fit knows numbers only: say whose they are */
        char why[512];
        snprintf(why, sizeof why, "%s", asd_error_text());
        return ASD_FAIL(st, "threshold of %s for %s: %s", label, key, why);
    }
    return ASD_OK;
}

static asd_status write_scores(const char *folder, const char *machine, int section,
                               const asd_clip *const *clip, int64_t n, const double *score,
                               double threshold)
{
    char          name[256];
    asd_score_set set = {.section = section < 0 ? 0 : section, .n = n};
    snprintf(name, sizeof name, "%s", machine);
    set.machine  = name;
    set.name     = malloc((size_t)(n + 1) * sizeof *set.name);
    set.score    = malloc((size_t)(n + 1) * sizeof *set.score);
    set.decision = malloc((size_t)(n + 1) * sizeof *set.decision);
    asd_status st =
        set.name && set.score && set.decision
            ? ASD_OK
            : ASD_FAIL(ASD_E_OOM, "%s: no memory for %lld scores", machine, (long long)n);
    for (int64_t i = 0; i < n && !st; ++i) {
        set.name[i]     = clip[i]->name;
        set.score[i]    = score[i];
        set.decision[i] = score[i] > threshold;
    }
    if (!st)
        st = asd_score_set_write(folder, &set);
    free(set.name);
    free(set.score);
    free(set.decision);
    return st;
}

asd_status score_emit(const score_out *o, const char *label, const char *machine, int section,
                      const asd_clip *const *clip, int64_t n, const double *score, double threshold)
{
    char folder[PATH_MAX];
    for (int64_t i = 0; i < n && o->only; ++i)
        if (o->json)
            json_array_append_new(o->result,
                                  json_pack("{s:s, s:s, s:s, s:f, s:i}", "detector", label,
                                            "machine", machine, "clip", clip[i]->name, "score",
                                            score[i], "decision", score[i] > threshold));
        else
            printf("%s,%s,%s,%.17g,%d\n", label, machine, clip[i]->name, score[i],
                   score[i] > threshold);
    if (o->only)
        return ASD_OK;
    ASD_TRY(asd_path(folder, "%s/%s", o->folder, label));
    ASD_TRY(asd_make_folders(folder));
    json_array_append_new(o->result,
                          json_pack("{s:s, s:s, s:s, s:i, s:I, s:f}", "folder", folder, "detector",
                                    label, "machine", machine, "section", section < 0 ? 0 : section,
                                    "clips", (json_int_t)n, "threshold", threshold));
    return write_scores(folder, machine, section, clip, n, score, threshold);
}

asd_status score_check_only(const asd_dataset *data, const char *only)
{
    const char **names = NULL, *near;
    int64_t      n     = 0;
    for (int64_t m = 0; m < data->n; ++m)
        for (int64_t i = 0; i < data->machine[m].n_test; ++i) {
            if (!strcmp(data->machine[m].test[i].name, only))
                return ASD_OK;
            ++n;
        }
    if (!(names = malloc((size_t)(n + 1) * sizeof *names)))
        return ASD_FAIL(ASD_E_OOM, "no memory for %lld names", (long long)n);
    n = 0;
    for (int64_t m = 0; m < data->n; ++m)
        for (int64_t i = 0; i < data->machine[m].n_test; ++i)
            names[n++] = data->machine[m].test[i].name;
    near = asd_nearest(only, names, n);
    free(names);
    return ASD_FAIL(ASD_E_DATA, "--clip %s: no test clip of that name under %s%s%s%s", only,
                    data->root, near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
}

asd_status score_recipe(const asd_recipe *recipe, const score_from *from, score_out *out,
                        json_t **used, char folder[PATH_MAX])
{
    if (!from->data)
        return ASD_FAIL(ASD_E_USAGE,
                        "--data DIR is missing: the folder of dev_data/raw, or of machine folders");
    if (!out->folder) {
        char where[PATH_MAX];
        ASD_TRY(asd_run_folder(from->run, recipe, where));
        ASD_TRY(asd_path(folder, "%s/scores", where));
        out->folder = folder;
    }
    if (!recipe->cfg.embed_streams.n)
        return score_by_networks(recipe, from, out, used);
    return score_by_embeddings(recipe, from, out, used);
}
