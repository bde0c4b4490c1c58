/* score_embeddings.c - scores of test clips by detectors on embeddings: RUN/embed/STREAM.h5 in, one
 * score folder a detector out, and scores/fused.
 *
 * Per machine and section: the rows of each stream are joined with the data set by clip name;
 * detectors, normalisation and thresholds are fitted to training clips, whose domains are known;
 * then the test clips are scored, of which nothing but the rows is looked at. Detectors that have a
 * device form and are to use it have done so before, for all machines at once (score_device.h).
 */
#include "tools/score_recipe.h"

#include "base/file.h"
#include "base/log.h"
#include "base/stop.h"
#include "score/normalise.h"
#include "tools/embed_cmd.h"
#include "tools/open_device.h"
#include "tools/score_device.h"
#include "tools/score_stream.h"
#include "tools/train_run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct embed_run {
    const asd_recipe *recipe;
    char              folder[PATH_MAX]; /* RUN */
    asd_dataset       data;
    asd_embed_stream *parsed; /* (n_streams) */
    score_file       *file;   /* (n_streams) */
    int64_t           n_streams, n_pipelines;
    asd_pipeline     *pipeline;
    double           *weight; /* (n_pipelines) in the fusion, 0: none */
    int               fused;
    score_out        *out;
    score_group      *group; /* (n_groups) with test clips, in the order of the machines */
    int64_t           n_groups;
    score_raw        *raw; /* (n_pipelines, n_groups) what a device has scored */
} embed_run;

/* Scores of one pipeline: normalised, of training and of test clips. */
typedef struct group_scores {
    double *train, *test;
} group_scores;

/* --- one group --- */

/* Raw scores by the CPU. */
static asd_status score_raw_here(embed_run *r, const score_group *g, asd_pipeline *p,
                                 score_raw *out)
{
    score_rows train = {.name = NULL}, test = {.name = NULL};
    asd_status st = score_raw_new(g, out);
    if (!st)
        st = score_rows_read(r->file, p, g, 0, &train);
    if (!st)
        st = score_rows_read(r->file, p, g, 1, &test);
    if (!st) {
        uint64_t       seed = (uint64_t)r->recipe->cfg.seed;
        asd_train_rows rows = score_train_rows(g, &train, p->n_streams, seed);
        st                  = asd_pipeline_fit(p, &rows, g->key, out->loo);
        out->heads          = p->heads;
    }
    if (!st)
        st = asd_pipeline_score(p, test.x, test.name, g->key, out->score);
    score_rows_clear(&train);
    score_rows_clear(&test);
    return st;
}

/* Normalises what one pipeline says of a group. */
static asd_status normalise(embed_run *r, const score_group *g, const char *label,
                            const score_raw *raw, group_scores *out)
{
    asd_normaliser z = {0};
    char           what[512];
    snprintf(what, sizeof what, "%s, %s", g->key, label);
    asd_status st = asd_normaliser_fit(&z, r->recipe->cfg.score_normalise, raw->heads, raw->loo,
                                       g->is_target, g->n_train, what);
    if (!st)
        asd_normalise_train(&z, raw->loo, g->n_train, out->train);
    if (!st)
        st = asd_normalise(&z, raw->score, g->n_test, out->test);
    for (int64_t i = 0; i < g->n_test && !st; ++i)
        if (!isfinite(out->test[i]))
            st = ASD_FAIL(ASD_E_NUMERIC, "%s: %s gives a score of %g", g->test[i]->path, label,
                          out->test[i]);
    asd_normaliser_clear(&z);
    return st;
}

static asd_status run_pipeline(embed_run *r, const score_group *g, int64_t k, group_scores *out)
{
    asd_pipeline *p   = &r->pipeline[k];
    score_raw    *raw = &r->raw[k * r->n_groups + (g - r->group)];
    asd_status    st  = raw->loo ? ASD_OK : score_raw_here(r, g, p, raw);
    if (!st)
        st = normalise(r, g, p->label, raw, out);
    score_raw_clear(raw);
    return st;
}

/* Training clips that were the only one of their domain may have no score: the threshold goes
 * without them. */
static asd_status emit_group(const embed_run *r, const score_group *g, const char *label,
                             const double *train, const double *test)
{
    double *finite = malloc((size_t)(g->n_train + 1) * sizeof *finite), threshold;
    int64_t n      = 0;
    if (!finite)
        return ASD_FAIL(ASD_E_OOM, "%s: no memory for a threshold", g->key);
    for (int64_t i = 0; i < g->n_train; ++i)
        if (isfinite(train[i]))
            finite[n++] = train[i];
    asd_status st = score_threshold(&r->recipe->cfg, label, g->key, finite, n, &threshold);
    free(finite);
    return st ? st
              : score_emit(r->out, label, g->machine->name, g->section, g->test, g->n_test, test,
                           threshold);
}

static asd_status score_clips_of(embed_run *r, const score_group *g, asd_progress *bar)
{
    int64_t      n = g->n_train + g->n_test, done = bar->done;
    double      *sum = calloc((size_t)n + 1, sizeof *sum);
    double      *own = malloc((size_t)(n + 1) * sizeof *own);
    group_scores s   = {own, own + g->n_train};
    asd_status   st = sum && own ? ASD_OK : ASD_FAIL(ASD_E_OOM, "%s: no memory for scores", g->key);
    for (int64_t k = 0; k < r->n_pipelines && !st; ++k) {
        st = run_pipeline(r, g, k, &s);
        for (int64_t i = 0; i < n && !st && r->weight[k] > 0; ++i)
            sum[i] += r->weight[k] * own[i];
        if (!st)
            st = emit_group(r, g, r->pipeline[k].label, s.train, s.test);
        asd_progress_step(bar, done + n * (k + 1) / r->n_pipelines, NULL);
        if (!st && asd_stop_wanted())
            st = ASD_FAIL(ASD_E_STOPPED, "stopped by %s while scoring; start again to score",
                          asd_stop_signal());
    }
    if (!st && r->fused)
        st = emit_group(r, g, "fused", sum, sum + g->n_train);
    free(sum);
    free(own);
    return st;
}

/* Sections of a machine's training clips, and no test clip without one. */
static asd_status add_groups(embed_run *r, const asd_machine *m)
{
    for (int64_t i = 0; i < m->n_test; ++i) {
        int64_t k = 0;
        while (k < m->n_train && m->train[k].section != m->test[i].section)
            ++k;
        if (k == m->n_train)
            return ASD_FAIL(ASD_E_DATA, "%s: no training clips of section %02d to score it by",
                            m->test[i].path, m->test[i].section);
    }
    for (int64_t i = 0; i < m->n_train; ++i) {
        int64_t k = 0;
        while (m->train[k].section != m->train[i].section)
            ++k;
        if (k < i)
            continue; /* there with its first clip */
        score_group *more = realloc(r->group, (size_t)(r->n_groups + 1) * sizeof *more);
        if (!more)
            return ASD_FAIL(ASD_E_OOM, "no memory for %lld machines", (long long)r->n_groups + 1);
        r->group       = more;
        score_group *g = &r->group[r->n_groups++];
        ASD_TRY(score_group_make(m, m->train[i].section, r->out->only, g));
        if (!g->n_test) { /* nothing to score */
            score_group_clear(g);
            --r->n_groups;
        }
    }
    return ASD_OK;
}

static asd_status make_groups(embed_run *r)
{
    for (int64_t i = 0; i < r->data.n; ++i)
        ASD_TRY(add_groups(r, &r->data.machine[i]));
    r->raw = calloc((size_t)(r->n_pipelines * r->n_groups) + 1, sizeof *r->raw);
    return r->raw ? ASD_OK : ASD_FAIL(ASD_E_OOM, "no memory for scores");
}

/* --- the run --- */

static asd_status open_recipe(embed_run *r)
{
    const asd_cfg  *cfg    = &r->recipe->cfg;
    const asd_list *list   = &cfg->score_detectors;
    char          **names  = calloc((size_t)cfg->embed_streams.n + 1, sizeof *names);
    const char    **labels = calloc((size_t)list->n + 1, sizeof *labels);
    r->file                = calloc((size_t)cfg->embed_streams.n + 1, sizeof *r->file);
    r->weight              = calloc((size_t)list->n + 1, sizeof *r->weight);
    asd_status st          = names && labels && r->file && r->weight
                                 ? ASD_OK
                                 : ASD_FAIL(ASD_E_OOM, "no memory for streams");
    if (!st)
        st = asd_embed_streams_parse(cfg->embed_streams.item, cfg->embed_streams.n,
                                     cfg->embed_length, embed_encoder_names(), &r->parsed);
    for (; !st && r->n_streams < cfg->embed_streams.n; ++r->n_streams)
        names[r->n_streams] = r->file[r->n_streams].name = r->parsed[r->n_streams].name;
    if (!st)
        st = asd_pipelines_parse(list->item, list->n, names, r->n_streams, &r->pipeline);
    r->n_pipelines = st ? 0 : list->n;
    for (int64_t i = 0; i < r->n_pipelines; ++i)
        labels[i] = r->pipeline[i].label;
    if (!st)
        st = asd_fusion_parse(cfg->score_fusion.item, cfg->score_fusion.n, labels, list->n,
                              r->weight);
    r->fused = cfg->score_fusion.n > 0;
    free(names);
    free(labels);
    return st;
}

/* With the first stream that is open, and the first of the same encoder. */
static asd_status check_with_others(const embed_run *r, int64_t s)
{
    const char *own  = score_file_head(&r->file[s])->key_material;
    int         open = 0, same = 0;
    for (int64_t k = 0; k < s && !same; ++k) {
        if (!r->file[k].file && !r->file[k].whole.N)
            continue;
        same = !strcmp(r->parsed[k].encoder, r->parsed[s].encoder);
        if (!open || same)
            ASD_TRY(score_check_pair(&r->parsed[k], score_file_head(&r->file[k])->key_material,
                                     &r->parsed[s], own));
        open = 1;
    }
    return ASD_OK;
}

/* Streams that a detector reads; others may be missing. */
static asd_status open_streams(embed_run *r)
{
    for (int64_t s = 0; s < r->n_streams; ++s) {
        int used = 0;
        for (int64_t k = 0; k < r->n_pipelines; ++k)
            for (int i = 0; i < r->pipeline[k].n_streams; ++i)
                used |= !strcmp(r->pipeline[k].stream[i], r->file[s].name);
        if (!used)
            continue;
        ASD_TRY(score_file_open(&r->parsed[s], r->folder, r->recipe->path, &r->file[s]));
        ASD_TRY(check_with_others(r, s));
    }
    return ASD_OK;
}

/* Detectors with a device form, on the device that was chosen. */
static asd_status run_device(embed_run *r, const score_from *from, json_t **used)
{
    asd_gpu     *gpu  = NULL;
    asd_stream  *s    = NULL;
    int64_t      done = 0;
    score_device d    = {.file        = r->file,
                         .pipeline    = r->pipeline,
                         .n_pipelines = r->n_pipelines,
                         .group       = r->group,
                         .n_groups    = r->n_groups,
                         .seed        = (uint64_t)r->recipe->cfg.seed,
                         .raw         = r->raw};
    if (!from->device->cuda)
        return ASD_OK;
    if (!score_device_wanted(r->pipeline, r->n_pipelines)) {
        asd_detail("all detectors on the CPU: none of the recipe's has a device form");
        return ASD_OK;
    }
    asd_status st = asd_device_open(from->typed, from->device, &gpu);
    if (!st)
        st = asd_stream_new(gpu, &s);
    if (!st)
        st = score_device_run(&d, s, &done);
    if (!st && done) {
        json_decref(*used);
        *used = asd_device_json(from->device, gpu);
    }
    asd_stream_free(s);
    asd_gpu_close(gpu);
    return st;
}

static void close_run(embed_run *r)
{
    for (int64_t i = 0; i < r->n_groups; ++i)
        score_group_clear(&r->group[i]);
    for (int64_t i = 0; r->raw && i < r->n_pipelines * r->n_groups; ++i)
        score_raw_clear(&r->raw[i]);
    for (int64_t i = 0; i < r->n_streams; ++i)
        score_file_close(&r->file[i]);
    for (int64_t i = 0; i < r->n_pipelines; ++i)
        asd_pipeline_clear(&r->pipeline[i]);
    asd_embed_streams_free(r->parsed, r->n_streams);
    free(r->group);
    free(r->raw);
    free(r->file);
    free(r->pipeline);
    free(r->weight);
    asd_dataset_clear(&r->data);
}

asd_status score_by_embeddings(const asd_recipe *recipe, const score_from *from, score_out *out,
                               json_t **used)
{
    const asd_cfg *cfg = &recipe->cfg;
    embed_run      r   = {.recipe = recipe, .out = out};
    asd_progress   bar;
    int64_t        total = 0, tests = 0;
    asd_status     st = open_recipe(&r);
    *used             = json_string("cpu");
    if (!st)
        st = asd_run_folder(from->run, recipe, r.folder);
    if (!st)
        st = asd_dataset_open(from->data, cfg->data_machines.item, cfg->data_machines.n, &r.data);
    for (int64_t i = 0; i < r.data.n && !st; ++i) {
        total += r.data.machine[i].n_train + r.data.machine[i].n_test;
        tests += r.data.machine[i].n_test;
    }
    if (!st && !tests)
        st = ASD_FAIL(ASD_E_DATA, "%s: no test clips", r.data.root);
    if (!st && out->only)
        st = score_check_only(&r.data, out->only);
    if (!st)
        st = open_streams(&r);
    if (!st && !cfg->transductive && cfg->score_normalise >= ASD_NORMALISE_Z_TEST)
        asd_warn("score.normalise looks at all test clips, and the recipe does not say that it is "
                 "transductive");
    if (!st)
        st = make_groups(&r);
    if (!st)
        st = run_device(&r, from, used);
    asd_progress_init(&bar, "score", "clips", total, 0);
    for (int64_t i = 0; i < r.n_groups && !st; ++i)
        st = score_clips_of(&r, &r.group[i], &bar);
    asd_progress_done(&bar);
    close_run(&r);
    return st;
}
