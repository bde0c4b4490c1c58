/* score_embeddings.c - scores of test clips by detectors on embeddings: RUN/embed/STREAM.h5 in, one
 * score folder a detector out, and scores/fused.
 *
 * Per machine and section: the rows of each stream are joined with the data set by clip name;
 * detectors, normalisation and thresholds are fitted to training clips, whose domains are known;
 * then the test clips are scored, of which nothing but the rows is looked at.
 */
#include "tools/score_recipe.h"

#include "base/file.h"
#include "base/log.h"
#include "base/stop.h"
#include "data/embed_h5.h"
#include "detect/embedding.h"
#include "score/normalise.h"
#include "tools/embed_cmd.h"
#include "tools/score_stream.h"
#include "tools/train_run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Files up to this size are read whole, and then checked against their hash; larger ones, which
 * hold a row per time patch, are read a machine at a time. */
enum { WHOLE_BYTES = 1 << 30 };

typedef struct stream_file {
    char           *name;  /* of embed_run.parsed */
    asd_embeddings  whole; /* N 0: not read whole */
    asd_embed_file *file;  /* NULL: read whole */
} stream_file;

typedef struct embed_run {
    const asd_recipe *recipe;
    char              folder[PATH_MAX]; /* RUN */
    asd_dataset       data;
    asd_embed_stream *parsed; /* (n_streams) */
    stream_file      *stream; /* (n_streams) */
    int64_t           n_streams, n_pipelines;
    asd_pipeline     *pipeline;
    double           *weight; /* (n_pipelines) in the fusion, 0: none */
    int               fused;
    score_out        *out;
} embed_run;

/* Clips of one machine and section. */
typedef struct clip_group {
    const asd_machine *machine;
    int                section;
    char               key[320]; /* "fan.section_00" */
    const asd_clip   **train, **test;
    int64_t            n_train, n_test;
    unsigned char     *is_target; /* (n_train) */
} clip_group;

/* --- streams --- */

static asd_status open_stream(const embed_run *r, const asd_embed_stream *parsed, stream_file *s)
{
    char path[PATH_MAX];
    ASD_TRY(asd_path(path, "%s/embed/%s.h5", r->folder, s->name));
    if (asd_embed_look(path) == ASD_EMBED_ABSENT || asd_embed_look(path) == ASD_EMBED_UNFINISHED)
        return ASD_FAIL(
            ASD_E_DATA,
            "%s is not there, or not finished: embed first with `asd-embed %s --run %s`", path,
            r->recipe->path, r->folder);
    ASD_TRY(asd_embed_open(path, &s->file));
    const asd_embeddings *head = asd_embed_head(s->file);
    ASD_TRY(score_check_stream(parsed, path, head->key_material));
    int64_t bytes = head->N * head->rows * head->D * (int64_t)sizeof(float);
    if (bytes > WHOLE_BYTES)
        return ASD_OK;
    asd_embed_close(s->file);
    s->file = NULL;
    return asd_embeddings_read(path, &s->whole);
}

static const asd_embeddings *head_of(const stream_file *s)
{
    return s->file ? asd_embed_head(s->file) : &s->whole;
}

/* The rows of n clips. *x: x->x and x->length owned through own and length. */
static asd_status read_rows(stream_file *s, const clip_group *g, const char *split,
                            const asd_clip *const *clip, int64_t n, float **own, int64_t **length,
                            asd_clip_rows *x)
{
    const asd_embeddings *head  = head_of(s);
    int64_t               width = head->rows * head->D;
    *own                        = malloc((size_t)(n * width) * sizeof **own + 1);
    *length                     = malloc((size_t)n * sizeof **length + 1);
    if (!*own || !*length)
        return ASD_FAIL(ASD_E_OOM, "%s: no memory for %lld embeddings", g->key, (long long)n);
    *x = (asd_clip_rows){*own, n, head->rows, head->D, head->n_rows ? *length : NULL};
    for (int64_t i = 0; i < n; ++i) {
        char    name[PATH_MAX];
        int64_t row;
        ASD_TRY(asd_path(name, "%s/%s/%s", g->machine->name, split, clip[i]->name));
        ASD_TRY(asd_embeddings_find(head, name, &row));
        (*length)[i] = head->n_rows ? head->n_rows[row] : head->rows;
        if (s->file)
            ASD_TRY(asd_embed_read(s->file, row, 1, *own + i * width));
        else
            memcpy(*own + i * width, s->whole.x + row * width, (size_t)width * sizeof **own);
    }
    return ASD_OK;
}

/* --- groups of clips --- */

static void group_clear(clip_group *g)
{
    free(g->train);
    free(g->test);
    free(g->is_target);
}

static asd_status group_make(const embed_run *r, const asd_machine *m, int section, clip_group *g)
{
    memset(g, 0, sizeof *g);
    g->machine = m;
    g->section = section;
    snprintf(g->key, sizeof g->key, "%.200s.section_%02d", m->name, section < 0 ? 0 : section);
    g->train     = malloc((size_t)(m->n_train + 1) * sizeof *g->train);
    g->test      = malloc((size_t)(m->n_test + 1) * sizeof *g->test);
    g->is_target = malloc((size_t)m->n_train + 1);
    if (!g->train || !g->test || !g->is_target)
        return ASD_FAIL(ASD_E_OOM, "%s: no memory for its clips", g->key);
    for (int64_t i = 0; i < m->n_train; ++i)
        if (m->train[i].section == section) {
            g->is_target[g->n_train] = m->train[i].domain == ASD_TARGET;
            g->train[g->n_train++]   = &m->train[i];
        }
    for (int64_t i = 0; i < m->n_test; ++i)
        if (m->test[i].section == section &&
            (!r->out->only || !strcmp(m->test[i].name, r->out->only)))
            g->test[g->n_test++] = &m->test[i];
    return ASD_OK;
}

/* --- one group --- */

/* Scores of one pipeline: normalised, of training and of test clips. */
typedef struct group_scores {
    double *train, *test;
} group_scores;

typedef struct group_rows {
    asd_clip_rows x[ASD_MAX_STREAMS];
    float        *own[ASD_MAX_STREAMS];
    int64_t      *length[ASD_MAX_STREAMS];
    char        **name; /* of the clips; NULL until named */
} group_rows;

static void rows_clear(group_rows *r)
{
    for (int i = 0; i < ASD_MAX_STREAMS; ++i) {
        free(r->own[i]);
        free(r->length[i]);
    }
    free(r->name);
}

static asd_status read_group(embed_run *r, const asd_pipeline *p, const clip_group *g, int test,
                             group_rows *out)
{
    const asd_clip *const *clip = test ? g->test : g->train;
    int64_t                n    = test ? g->n_test : g->n_train;
    memset(out, 0, sizeof *out);
    if (!(out->name = malloc((size_t)(n + 1) * sizeof *out->name)))
        return ASD_FAIL(ASD_E_OOM, "%s: no memory for names", g->key);
    for (int64_t i = 0; i < n; ++i)
        out->name[i] = clip[i]->name;
    for (int i = 0; i < p->n_streams; ++i) {
        int64_t s = 0;
        while (strcmp(r->stream[s].name, p->stream[i]))
            ++s; /* asd_pipelines_parse has found it */
        ASD_TRY(read_rows(&r->stream[s], g, test ? "test" : "train", clip, n, &out->own[i],
                          &out->length[i], &out->x[i]));
    }
    return ASD_OK;
}

/* Fits one pipeline and its normalisation, and scores. */
static asd_status run_pipeline(embed_run *r, const clip_group *g, asd_pipeline *p,
                               group_scores *out)
{
    const asd_cfg *cfg   = &r->recipe->cfg;
    double        *loo   = malloc((size_t)(2 * g->n_train + 1) * sizeof *loo);
    double        *score = malloc((size_t)(2 * g->n_test + 1) * sizeof *score);
    group_rows     train = {.name = NULL}, test = {.name = NULL};
    asd_normaliser z = {0};
    char           what[512];
    snprintf(what, sizeof what, "%s, %s", g->key, p->label);
    asd_status st = loo && score ? read_group(r, p, g, 0, &train)
                                 : ASD_FAIL(ASD_E_OOM, "%s: no memory for scores", what);
    if (!st)
        st = read_group(r, p, g, 1, &test);
    asd_train_rows rows = {.n_streams = p->n_streams,
                           .n         = g->n_train,
                           .is_target = g->is_target,
                           .clip      = train.name,
                           .seed      = (uint64_t)cfg->seed};
    memcpy(rows.stream, train.x, sizeof train.x);
    if (!st)
        st = asd_pipeline_fit(p, &rows, g->key, loo);
    if (!st)
        st = asd_pipeline_score(p, test.x, test.name, g->key, score);
    if (!st)
        st = asd_normaliser_fit(&z, cfg->score_normalise, p->heads, loo, g->is_target, g->n_train,
                                what);
    if (!st)
        asd_normalise_train(&z, loo, g->n_train, out->train);
    if (!st)
        st = asd_normalise(&z, score, g->n_test, out->test);
    for (int64_t i = 0; i < g->n_test && !st; ++i)
        if (!isfinite(out->test[i]))
            st = ASD_FAIL(ASD_E_NUMERIC, "%s: %s gives a score of %g", g->test[i]->path, p->label,
                          out->test[i]);
    asd_normaliser_clear(&z);
    rows_clear(&train);
    rows_clear(&test);
    free(loo);
    free(score);
    return st;
}

/* Training clips that were the only one of their domain may have no score: the threshold goes
 * without them. */
static asd_status emit_group(const embed_run *r, const clip_group *g, const char *label,
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

static asd_status score_group(embed_run *r, const clip_group *g, asd_progress *bar)
{
    int64_t      n = g->n_train + g->n_test, done = bar->done;
    double      *sum = calloc((size_t)n + 1, sizeof *sum);
    double      *own = malloc((size_t)(n + 1) * sizeof *own);
    group_scores s   = {own, own + g->n_train};
    asd_status   st = sum && own ? ASD_OK : ASD_FAIL(ASD_E_OOM, "%s: no memory for scores", g->key);
    for (int64_t k = 0; k < r->n_pipelines && !st; ++k) {
        asd_pipeline *p = &r->pipeline[k];
        st              = run_pipeline(r, g, p, &s);
        for (int64_t i = 0; i < n && !st && r->weight[k] > 0; ++i)
            sum[i] += r->weight[k] * own[i];
        if (!st)
            st = emit_group(r, g, p->label, s.train, s.test);
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
static asd_status score_machine(embed_run *r, const asd_machine *m, asd_progress *bar)
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
            continue; /* done with its first clip */
        clip_group g;
        asd_status st = group_make(r, m, m->train[i].section, &g);
        if (!st && g.n_test)
            st = score_group(r, &g, bar);
        group_clear(&g);
        ASD_TRY(st);
    }
    return ASD_OK;
}

/* --- the run --- */

static asd_status open_recipe(embed_run *r)
{
    const asd_cfg  *cfg    = &r->recipe->cfg;
    const asd_list *list   = &cfg->score_detectors;
    char          **names  = calloc((size_t)cfg->embed_streams.n + 1, sizeof *names);
    const char    **labels = calloc((size_t)list->n + 1, sizeof *labels);
    r->stream              = calloc((size_t)cfg->embed_streams.n + 1, sizeof *r->stream);
    r->weight              = calloc((size_t)list->n + 1, sizeof *r->weight);
    asd_status st          = names && labels && r->stream && r->weight
                                 ? ASD_OK
                                 : ASD_FAIL(ASD_E_OOM, "no memory for streams");
    if (!st)
        st = asd_embed_streams_parse(cfg->embed_streams.item, cfg->embed_streams.n,
                                     cfg->embed_length, embed_encoder_names(), &r->parsed);
    for (; !st && r->n_streams < cfg->embed_streams.n; ++r->n_streams)
        names[r->n_streams] = r->stream[r->n_streams].name = r->parsed[r->n_streams].name;
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

/* Streams that a detector reads; others may be missing. */
static asd_status open_streams(embed_run *r)
{
    for (int64_t s = 0; s < r->n_streams; ++s) {
        int used = 0;
        for (int64_t k = 0; k < r->n_pipelines; ++k)
            for (int i = 0; i < r->pipeline[k].n_streams; ++i)
                used |= !strcmp(r->pipeline[k].stream[i], r->stream[s].name);
        if (used)
            ASD_TRY(open_stream(r, &r->parsed[s], &r->stream[s]));
    }
    return ASD_OK;
}

static void close_run(embed_run *r)
{
    for (int64_t i = 0; i < r->n_streams; ++i) {
        asd_embeddings_clear(&r->stream[i].whole);
        asd_embed_close(r->stream[i].file);
    }
    for (int64_t i = 0; i < r->n_pipelines; ++i)
        asd_pipeline_clear(&r->pipeline[i]);
    asd_embed_streams_free(r->parsed, r->n_streams);
    free(r->stream);
    free(r->pipeline);
    free(r->weight);
    asd_dataset_clear(&r->data);
}

asd_status score_by_embeddings(const asd_recipe *recipe, const score_from *from, score_out *out)
{
    const asd_cfg *cfg = &recipe->cfg;
    embed_run      r   = {.recipe = recipe, .out = out};
    asd_progress   bar;
    int64_t        total = 0, tests = 0;
    asd_status     st = open_recipe(&r);
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
    asd_progress_init(&bar, "score", "clips", total, 0);
    for (int64_t i = 0; i < r.data.n && !st; ++i)
        st = score_machine(&r, &r.data.machine[i], &bar);
    asd_progress_done(&bar);
    close_run(&r);
    return st;
}
