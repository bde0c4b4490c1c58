/* eval_audit.c - `asd-eval audit RECIPE`: does a clip's score come from its own sound alone?
 *
 * The test clips are scored again under other circumstances, and every score and decision must have
 * the same bits as before:
 *   names    opaque names, in a random order
 *   labels   labels and domains in the names drawn at random
 *   order    in reverse, embedded in batches of another size, on one thread
 *   alone    each the only test clip of its machine, embedded one at a time
 * Training clips keep names and domains: those are known to everyone. Embeddings of the test clips
 * are computed again, so what is audited is the way from the file to the score (--cached: from the
 * embedding on).
 *
 * A transductive recipe, which says so, may look at the machine's other test clips: `alone` is then
 * reported but not demanded.
 */
#include "tools/eval_cmds.h"

#include "base/file.h"
#include "base/log.h"
#include "base/par.h"
#include "base/stop.h"
#include "score/scores.h"
#include "tools/audit_set.h"
#include "tools/open_device.h"
#include "tools/score_recipe.h"
#include "tools/train_run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct audit_args {
    asd_recipe_args recipe;
    int             json, cached;
    int64_t         clips, alone;
    char           *weights, *work;
} audit_args;

static const asd_opt opts[] = {
    ASD_COMMON_OPTS,
    ASD_RECIPE_OPTS,
    {"weights", 0, ASD_OPT_TEXT, offsetof(audit_args, weights), NULL, 0, 0, NULL, "FILE",
     "checkpoints of the recipe's encoders, as for asd-embed"},
    {"cached", 0, ASD_OPT_FLAG, offsetof(audit_args, cached), "0", 0, 1, NULL, "",
     "take the test clips' embeddings from the run instead of embedding them again: the detectors "
     "alone are audited"},
    {"clips", 0, ASD_OPT_INT, offsetof(audit_args, clips), "0", 0, 1000000, NULL, "N",
     "test clips of each machine that are scored again; 0 = all, as always if transductive"},
    {"alone", 0, ASD_OPT_INT, offsetof(audit_args, alone), "4", 1, 1000000, NULL, "N",
     "test clips of each machine that are scored one at a time"},
    {"work", 0, ASD_OPT_TEXT, offsetof(audit_args, work), NULL, 0, 0, NULL, "DIR",
     "make DIR/asd-audit for what is needed on the way, instead of RUN/audit; removed at the end"},
    {"json", 0, ASD_OPT_FLAG, offsetof(audit_args, json), "0", 0, 1, NULL, "",
     "print the result as JSON"},
    {0},
};

static const asd_command command = {
    .name     = "asd-eval audit",
    .operands = "RECIPE",
    .about = "Check that the scores of a finished run come from the sound of one clip at a time: "
             "not from its name, label or domain, not from other test clips, their order or the "
             "batch. Exit code 5 if one of "
             "the four checks fails.",
    .opts  = opts,
    .min_operands = 1,
    .max_operands = 1,
    .examples     = "asd-eval audit kist-ulicp --data DIR --run runs/kist --weights FILE\n"
                    "asd-eval audit dcase-baseline --data DIR --run runs/baseline --clips 20",
};

enum { NAMES, LABELS, ORDER, ALONE, N_CHECKS };
static const struct {
    const char  *name, *about;
    audit_naming naming;
} checks[N_CHECKS] = {
    {"names", "opaque names", AUDIT_OPAQUE},
    {"labels", "labels and domains in names drawn at random", AUDIT_LABELLED},
    {"order", "reversed, another batch size, one thread", AUDIT_REVERSED},
    {"alone", "one clip at a time", AUDIT_OPAQUE},
};

/* What a check found of one detector. */
typedef struct finding {
    int64_t clips, differ;
    double  largest; /* difference of a score */
    char    worst[512], text[128];
} finding;

typedef struct audit {
    const audit_args *args;
    const asd_recipe *recipe;
    const asd_device *device;
    char              run[PATH_MAX], work[PATH_MAX];
    asd_dataset       data;
    asd_names         label;           /* score folders of the reference */
    asd_scores       *reference;       /* (label.n) */
    finding          *found[N_CHECKS]; /* (label.n) each */
    int               failed[N_CHECKS];
} audit;

/* --- scoring a copy --- */

static asd_status score_into(const audit *a, const char *data, const char *run, const char *folder)
{
    char       unused[PATH_MAX];
    json_t    *used = NULL;
    score_out  out  = {.folder = folder, .result = json_array()};
    score_from from = {data, run, a->args->recipe.device, a->device};
    ASD_TRY(asd_remove_tree(folder));
    asd_status st = score_recipe(a->recipe, &from, &out, &used, unused);
    json_decref(used);
    json_decref(out.result);
    return st;
}

static asd_status read_reference(audit *a)
{
    char folder[PATH_MAX], path[PATH_MAX];
    ASD_TRY(asd_path(folder, "%s/reference", a->work));
    ASD_TRY(score_into(a, a->args->recipe.data, a->run, folder));
    ASD_TRY(asd_list_folder(folder, &a->label));
    a->reference = calloc((size_t)a->label.n + 1, sizeof *a->reference);
    for (int c = 0; c < N_CHECKS; ++c)
        a->found[c] = calloc((size_t)a->label.n + 1, sizeof *a->found[c]);
    if (!a->reference || !a->found[0] || !a->found[1] || !a->found[2] || !a->found[3])
        return ASD_FAIL(ASD_E_OOM, "no memory for %lld detectors", (long long)a->label.n);
    for (int64_t d = 0; d < a->label.n; ++d) {
        ASD_TRY(asd_path(path, "%s/%s", folder, a->label.name[d]));
        ASD_TRY(asd_scores_read(path, &a->reference[d]));
    }
    return ASD_OK;
}

/* Score and decision of a machine's clip. */
static asd_status look_up(const asd_scores *s, const char *machine, const char *name, double *score,
                          int *decision)
{
    for (int64_t k = 0; k < s->n; ++k)
        for (int64_t i = 0; i < s->set[k].n && !strcmp(s->set[k].machine, machine); ++i)
            if (!strcmp(s->set[k].name[i], name)) {
                *score    = s->set[k].score[i];
                *decision = s->set[k].decision[i];
                return ASD_OK;
            }
    return ASD_FAIL(ASD_E_DATA, "audit: %s/%s was not scored", machine, name);
}

static asd_status compare_one(const audit *a, int64_t d, const asd_scores *again,
                              const audit_clip *c, finding *f)
{
    double was, now;
    int    decided, decides;
    ASD_TRY(look_up(&a->reference[d], c->machine->name, c->clip->name, &was, &decided));
    ASD_TRY(look_up(again, c->machine->name, c->name, &now, &decides));
    double difference = fabs(now - was);
    ++f->clips;
    if (was == now && decided == decides)
        return ASD_OK;
    if (!f->differ++ || difference > f->largest) {
        f->largest = difference;
        snprintf(f->worst, sizeof f->worst, "%.200s/%.250s", c->machine->name, c->clip->name);
        snprintf(f->text, sizeof f->text, "%.17g became %.17g", was, now);
    }
    return ASD_OK;
}

static asd_status compare_all(audit *a, int check, const char *folder, const audit_clip *clip,
                              int64_t n)
{
    for (int64_t d = 0; d < a->label.n; ++d) {
        char       path[PATH_MAX];
        asd_scores again = {0};
        ASD_TRY(asd_path(path, "%s/%s", folder, a->label.name[d]));
        asd_status st = asd_scores_read(path, &again);
        for (int64_t i = 0; i < n && !st; ++i)
            st = compare_one(a, d, &again, &clip[i], &a->found[check][d]);
        asd_scores_clear(&again);
        ASD_TRY(st);
    }
    return ASD_OK;
}

/* Scores the copy that holds the n clips, with the embeddings in `run`. */
static asd_status score_copy(audit *a, int check, const audit_clip *clip, int64_t n,
                             const char *run)
{
    char data[PATH_MAX], scores[PATH_MAX];
    ASD_TRY(asd_path(data, "%s/%s/data", a->work, checks[check].name));
    ASD_TRY(asd_path(scores, "%s/%s/scores", a->work, checks[check].name));
    ASD_TRY(audit_link(&a->data, clip, n, data));
    ASD_TRY(score_into(a, data, run, scores));
    return compare_all(a, check, scores, clip, n);
}

/* One test clip of each machine at a time: the k-th of every machine together, k = 0, 1 .. */
static asd_status score_alone(audit *a, const audit_clip *clip, int64_t n, const char *run)
{
    audit_clip *one = malloc((size_t)n * sizeof *one);
    if (!one)
        return ASD_FAIL(ASD_E_OOM, "no memory for %lld clips", (long long)n);
    asd_status st = ASD_OK;
    for (int64_t k = 0; !st; ++k) {
        int64_t taken = 0;
        for (int64_t i = 0, rank = 0; i < n; ++i) {
            rank = i && clip[i].machine == clip[i - 1].machine ? rank + 1 : 0;
            if (rank == k)
                one[taken++] = clip[i];
        }
        if (!taken)
            break;
        st = score_copy(a, ALONE, one, taken, run);
    }
    free(one);
    return st;
}

static int64_t clips_of(const audit *a, int check)
{
    int64_t all = a->recipe->cfg.transductive ? 0 : a->args->clips;
    if (check != ALONE)
        return all;
    return all && all < a->args->alone ? all : a->args->alone;
}

/* The embeddings of a copy, in `run`. */
static asd_status make_rows(const audit *a, int check, const audit_clip *clip, int64_t n,
                            const char *run)
{
    int64_t        batch = a->recipe->cfg.embed_batch;
    char           again[PATH_MAX];
    audit_embedder how = {.recipe  = a->recipe,
                          .args    = &a->args->recipe,
                          .weights = a->args->weights,
                          .batch   = check == ALONE   ? 1
                                     : check == ORDER ? (batch == 3 ? 5 : 3)
                                                      : batch};
    if (a->args->cached)
        return audit_rows(clip, n, a->run, NULL, run);
    ASD_TRY(asd_path(again, "%s/again", run));
    ASD_TRY(asd_remove_tree(again));
    ASD_TRY(audit_embed(clip, n, &how, again));
    return audit_rows(clip, n, a->run, again, run);
}

static asd_status run_check(audit *a, int check)
{
    const asd_cfg *cfg  = &a->recipe->cfg;
    audit_clip    *clip = NULL;
    int64_t        n    = 0;
    char           run[PATH_MAX];
    int            threads = (int)a->args->recipe.common.jobs;
    asd_status     st      = audit_choose(&a->data, clips_of(a, check), &clip, &n);
    if (!st)
        st = asd_path(run, "%s", a->run);
    if (!st)
        audit_name(clip, n, checks[check].naming, (uint64_t)cfg->seed + 1);
    if (check == ORDER)
        asd_par_set_threads(1);
    if (!st && cfg->embed_streams.n) {
        st = asd_path(run, "%s/%s/run", a->work, checks[check].name);
        if (!st)
            st = make_rows(a, check, clip, n, run);
    }
    if (!st)
        st = check == ALONE ? score_alone(a, clip, n, run) : score_copy(a, check, clip, n, run);
    if (check == ORDER)
        asd_par_set_threads(threads);
    for (int64_t d = 0; d < a->label.n && !st; ++d)
        a->failed[check] |= a->found[check][d].differ > 0;
    free(clip);
    return st;
}

/* --- what is said --- */

static int demanded(const audit *a, int check)
{
    return check != ALONE || !a->recipe->cfg.transductive;
}

static int passed(const audit *a)
{
    for (int c = 0; c < N_CHECKS; ++c)
        if (a->failed[c] && demanded(a, c))
            return 0;
    return 1;
}

static void print_text(const audit *a)
{
    for (int c = 0; c < N_CHECKS; ++c) {
        int64_t clips = a->label.n ? a->found[c][0].clips : 0;
        printf("%-7s %-6s %s, %lld clips, %lld detectors\n", checks[c].name,
               !a->failed[c]    ? "pass"
               : demanded(a, c) ? "FAIL"
                                : "differs",
               checks[c].about, (long long)clips, (long long)a->label.n);
        for (int64_t d = 0; d < a->label.n; ++d) {
            const finding *f = &a->found[c][d];
            if (f->differ)
                printf("        %s: %lld of %lld clips differ, most %s: %s\n", a->label.name[d],
                       (long long)f->differ, (long long)f->clips, f->worst, f->text);
        }
    }
    if (a->recipe->cfg.transductive)
        puts("the recipe is transductive: scores may depend on the machine's other test clips");
}

static void print_json(const audit *a)
{
    json_t *list = json_array();
    for (int c = 0; c < N_CHECKS; ++c) {
        json_t *detectors = json_array();
        for (int64_t d = 0; d < a->label.n; ++d) {
            const finding *f = &a->found[c][d];
            json_array_append_new(detectors,
                                  json_pack("{s:s, s:I, s:I, s:f}", "detector", a->label.name[d],
                                            "clips", (json_int_t)f->clips, "differ",
                                            (json_int_t)f->differ, "largest", f->largest));
        }
        json_array_append_new(list, json_pack("{s:s, s:b, s:b, s:o}", "check", checks[c].name,
                                              "passed", !a->failed[c], "demanded", demanded(a, c),
                                              "detectors", detectors));
    }
    json_t *root = json_pack("{s:s, s:s, s:b, s:b, s:o}", "schema", "asd.audit/1", "recipe",
                             a->recipe->cfg.name, "transductive", a->recipe->cfg.transductive,
                             "passed", passed(a), "checks", list);
    json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(17));
    putchar('\n');
    json_decref(root);
}

/* The first detector that broke this check; the fusion when no other did. NULL: it passed. */
static const finding *culprit(const audit *a, int check, const char **label)
{
    const finding *first = NULL;
    for (int64_t d = 0; d < a->label.n; ++d) {
        const finding *f = &a->found[check][d];
        if (f->differ && (!first || !strcmp(*label, "fused"))) {
            *label = a->label.name[d];
            first  = f;
        }
    }
    return first;
}

static asd_status verdict(const audit *a)
{
    const char *label = "";
    for (int c = 0; c < N_CHECKS; ++c) {
        const finding *f = demanded(a, c) ? culprit(a, c, &label) : NULL;
        if (f)
            return ASD_FAIL(ASD_E_CHECK,
                            "audit of %s: %s: %s gives %lld of %lld clips another score (%s): it "
                            "looks at more than the clip's sound",
                            a->recipe->cfg.name, checks[c].about, label, (long long)f->differ,
                            (long long)f->clips, f->worst);
    }
    return ASD_OK;
}

static asd_status run_audit(audit *a)
{
    const asd_cfg *cfg = &a->recipe->cfg;
    if (!a->args->recipe.data)
        return ASD_FAIL(ASD_E_USAGE,
                        "--data DIR is missing: the folder of dev_data/raw, or of machine folders");
    ASD_TRY(asd_run_folder(a->args->recipe.run, a->recipe, a->run));
    /* a folder of our own in --work too: what lies in it is removed */
    ASD_TRY(asd_path(a->work, "%s/%s", a->args->work ? a->args->work : a->run,
                     a->args->work ? "asd-audit" : "audit"));
    ASD_TRY(asd_make_folders(a->work));
    ASD_TRY(asd_dataset_open(a->args->recipe.data, cfg->data_machines.item, cfg->data_machines.n,
                             &a->data));
    ASD_TRY(read_reference(a));
    for (int c = 0; c < N_CHECKS; ++c) {
        ASD_TRY(run_check(a, c));
        asd_note("audit: %s: %s", checks[c].about, a->failed[c] ? "scores differ" : "the same");
    }
    return ASD_OK;
}

static asd_status audit_recipe(const audit_args *args, const asd_recipe *recipe,
                               const asd_device *device)
{
    static const char *const parts[] = {"reference", "names", "labels", "order", "alone"};
    char                     path[PATH_MAX];
    audit                    a  = {.args = args, .recipe = recipe, .device = device};
    asd_status               st = run_audit(&a);
    for (size_t i = 0; i < sizeof parts / sizeof *parts && *a.work; ++i)
        if (!asd_path(path, "%s/%s", a.work, parts[i]) && asd_remove_tree(path) && !st)
            st = ASD_FAIL(ASD_E_IO, "%s: cannot be removed", path);
    if (*a.work)
        rmdir(a.work); /* only when it is empty */
    if (!st) {
        if (args->json)
            print_json(&a);
        else
            print_text(&a);
        st = verdict(&a);
    }
    for (int64_t d = 0; d < a.label.n && a.reference; ++d)
        asd_scores_clear(&a.reference[d]);
    free(a.reference);
    for (int c = 0; c < N_CHECKS; ++c)
        free(a.found[c]);
    asd_names_free(&a.label);
    asd_dataset_clear(&a.data);
    return st;
}

int eval_audit_main(int argc, char **argv)
{
    audit_args   args;
    asd_operands operands;
    asd_recipe   recipe = {0};
    asd_device   device;
    int          exit_now = 0;
    asd_status   st       = asd_opts_parse(&command, argc, argv, &args, &operands, &exit_now);
    asd_common_apply(&args.recipe.common, "asd-eval");
    if (!st && !exit_now)
        st = asd_recipe_from_args(&args.recipe, operands.v[0], &recipe, &device, &exit_now);
    if (!st && !exit_now)
        st = asd_device_settle(&args.recipe.device, &device);
    if (!st && !exit_now)
        st = asd_stop_install();
    if (!st && !exit_now)
        st = audit_recipe(&args, &recipe, &device);
    asd_recipe_clear(&recipe);
    asd_opts_clear(opts, &args);
    return asd_main_end(st);
}
