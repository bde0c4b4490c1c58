/* pipeline.c - "LABEL = STREAM[, STREAM] | step(params) | detector(params)": parsed, fitted, run.
 * See embedding.h.
 */
#include "detect/embedding.h"

#include "base/log.h"
#include "detect/on_device.h"
#include "kernels/cpu.h" /* ASD_SIMD */

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- text --- */

static asd_status parse_label(const char *text, const char **p, asd_pipeline *out)
{
    const char *at = *p;
    *p             = asd_detector_word(*p, out->label, sizeof out->label);
    if (!isalnum((unsigned char)out->label[0]) || **p != '=')
        return asd_detector_expected(text, *out->label ? *p : at,
                                     "LABEL = STREAM | detector, LABEL naming a score folder,");
    if (strlen(out->label) > 100)
        return ASD_FAIL(ASD_E_CONFIG, "detector \"%.200s\": a label of more than 100 letters",
                        text);
    ++*p;
    return ASD_OK;
}

static asd_status parse_streams(const char *text, const char **p, asd_pipeline *out)
{
    for (;;) {
        char word[64];
        if (out->n_streams == ASD_MAX_STREAMS)
            return ASD_FAIL(ASD_E_CONFIG, "detector \"%.200s\": more than %d streams", text,
                            ASD_MAX_STREAMS);
        *p = asd_detector_word(*p, word, sizeof word);
        if (!*word)
            return asd_detector_expected(text, *p, "a stream");
        for (int i = 0; i < out->n_streams; ++i)
            if (!strcmp(out->stream[i], word))
                return ASD_FAIL(ASD_E_CONFIG, "detector \"%.200s\": stream %s twice", text, word);
        memcpy(out->stream[out->n_streams++], word, sizeof word);
        if (**p == '|')
            return ASD_OK;
        if (**p != ',')
            return asd_detector_expected(text, *p, "',' or '|'");
        ++*p;
    }
}

static asd_status check_step(const char *text, const asd_pipeline *p, int last)
{
    const asd_detector *d = p->step[p->n_steps - 1].detector;
    if (d->score)
        return ASD_FAIL(ASD_E_CONFIG,
                        "detector \"%.200s\": %s works on an autoencoder's residuals, not on "
                        "embeddings",
                        text, d->name);
    if (!last && !d->map)
        return ASD_FAIL(ASD_E_CONFIG,
                        "detector \"%.200s\": %s gives scores, so it must be the last step", text,
                        d->name);
    if (last && !d->score_rows)
        return ASD_FAIL(ASD_E_CONFIG,
                        "detector \"%.200s\": ends with %s, which gives no scores; want a detector",
                        text, d->name);
    if (last && d->max_streams > 1 &&
        (p->n_streams < d->min_streams || p->n_streams > d->max_streams))
        return d->min_streams == d->max_streams
                   ? ASD_FAIL(ASD_E_CONFIG, "detector \"%.200s\": %s takes %d streams, not %d",
                              text, d->name, d->max_streams, p->n_streams)
                   : ASD_FAIL(ASD_E_CONFIG,
                              "detector \"%.200s\": %s takes %d to %d streams, not %d", text,
                              d->name, d->min_streams, d->max_streams, p->n_streams);
    return ASD_OK;
}

asd_status asd_pipeline_parse(const char *text, asd_pipeline *out)
{
    const char *p = text;
    memset(out, 0, sizeof *out);
    ASD_TRY(parse_label(text, &p, out));
    ASD_TRY(parse_streams(text, &p, out));
    while (*p == '|') {
        ++p;
        if (out->n_steps == ASD_MAX_STEPS)
            return ASD_FAIL(ASD_E_CONFIG, "detector \"%.200s\": more than %d steps", text,
                            ASD_MAX_STEPS);
        ASD_TRY(asd_detector_parse_at(text, &p, &out->step[out->n_steps++]));
        ASD_TRY(check_step(text, out, *p != '|'));
    }
    return *p ? asd_detector_expected(text, p, "'|' or the end") : ASD_OK;
}

static asd_status check_streams(const char *text, const asd_pipeline *p, char *const *streams,
                                int64_t n)
{
    for (int k = 0; k < p->n_streams; ++k) {
        int64_t i = 0;
        while (i < n && strcmp(streams[i], p->stream[k]))
            ++i;
        if (i < n)
            continue;
        const char *near = asd_nearest(p->stream[k], (const char *const *)streams, n);
        return ASD_FAIL(
            ASD_E_CONFIG, "detector \"%.200s\": embed.streams has no stream \"%s\"%s%s%s", text,
            p->stream[k], near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
    }
    return ASD_OK;
}

asd_status asd_pipelines_parse(char *const *text, int64_t n, char *const *streams,
                               int64_t n_streams, asd_pipeline **out)
{
    asd_pipeline *list = calloc((size_t)n + 1, sizeof *list);
    asd_status    st =
        list ? ASD_OK : ASD_FAIL(ASD_E_OOM, "no memory for %lld detectors", (long long)n);
    for (int64_t i = 0; i < n && !st; ++i) {
        st = asd_pipeline_parse(text[i], &list[i]);
        if (!st)
            st = check_streams(text[i], &list[i], streams, n_streams);
        if (!st && !strcmp(list[i].label, "fused"))
            st = ASD_FAIL(ASD_E_CONFIG, "detector \"%.200s\": the label fused is the fusion's",
                          text[i]);
        for (int64_t k = 0; k < i && !st; ++k)
            if (!strcmp(list[k].label, list[i].label))
                st = ASD_FAIL(ASD_E_CONFIG, "score.detectors names %s twice", list[i].label);
    }
    if (out && !st) {
        *out = list;
        return ASD_OK;
    }
    for (int64_t i = 0; list && i < n; ++i)
        asd_pipeline_clear(&list[i]);
    free(list);
    if (out)
        *out = NULL;
    return st;
}

void asd_pipeline_clear(asd_pipeline *p)
{
    for (int i = 0; i < p->n_steps; ++i)
        asd_detector_clear(&p->step[i]);
    memset(p, 0, sizeof *p);
}

/* --- rows --- */

float *asd_rows_join(const asd_clip_rows *stream, int n_streams, asd_clip_rows *out)
{
    *out = (asd_clip_rows){NULL, stream[0].n, stream[0].rows, 0, stream[0].length};
    for (int i = 0; i < n_streams; ++i)
        out->D += stream[i].D;
    float  *x    = malloc((size_t)(out->n * out->rows * out->D) * sizeof *x + 1);
    int64_t rows = out->n * out->rows, at = 0;
    for (int i = 0; x && i < n_streams; at += stream[i++].D)
        for (int64_t r = 0; r < rows; ++r)
            memcpy(x + r * out->D + at, stream[i].x + r * stream[i].D,
                   (size_t)stream[i].D * sizeof *x);
    out->x = x;
    return x;
}

/* Whole numbers, so that it is vector code. */
ASD_SIMD static int all_finite(const float *x, int64_t n)
{
    uint32_t special = 0;
    for (int64_t i = 0; i < n; ++i) {
        uint32_t u;
        memcpy(&u, &x[i], sizeof u);
        special |= 0u - (uint32_t)((u & 0x7f800000u) == 0x7f800000u);
    }
    return !special;
}

static asd_status check_finite(const asd_clip_rows *x, const char *what, const char *stream,
                               char *const *clip)
{
    int64_t width = x->rows * x->D;
    for (int64_t i = 0; i < x->n; ++i)
        for (int64_t d = 0, n = asd_clip_length(x, i) * x->D;
             d < n && !all_finite(x->x + i * width, n); ++d)
            if (!isfinite(x->x[i * width + d]))
                return clip ? ASD_FAIL(ASD_E_DATA,
                                       "%s: stream %s, %s: value %lld of the embedding is not "
                                       "finite",
                                       what, stream, clip[i], (long long)d)
                            : ASD_FAIL(ASD_E_DATA,
                                       "%s: stream %s, row %lld: value %lld of the embedding is "
                                       "not finite",
                                       what, stream, (long long)i, (long long)d);
    return ASD_OK;
}

static asd_status check_rows(const asd_pipeline *p, const asd_clip_rows *stream, char *const *clip,
                             const char *what)
{
    int64_t columns = 0;
    for (int i = 0; i < p->n_streams; ++i) {
        const asd_clip_rows *x = &stream[i];
        if (x->n != stream[0].n || x->rows != stream[0].rows)
            return ASD_FAIL(ASD_E_SHAPE,
                            "%s, %s: stream %s has %lld clips of %lld rows, stream %s %lld of %lld",
                            what, p->label, p->stream[i], (long long)x->n, (long long)x->rows,
                            p->stream[0], (long long)stream[0].n, (long long)stream[0].rows);
        for (int64_t k = 0; k < x->n; ++k)
            if (asd_clip_length(x, k) < 1 || asd_clip_length(x, k) > x->rows)
                return ASD_FAIL(ASD_E_DATA,
                                "%s, %s: stream %s, row %lld: %lld rows, want 1 to %lld", what,
                                p->label, p->stream[i], (long long)k,
                                (long long)asd_clip_length(x, k), (long long)x->rows);
        columns += x->D;
        ASD_TRY(check_finite(x, what, p->stream[i], clip));
    }
    if (columns > ASD_MAX_COLUMNS)
        return ASD_FAIL(ASD_E_DATA, "%s, %s: %lld columns, want at most %d", what, p->label,
                        (long long)columns, ASD_MAX_COLUMNS);
    return ASD_OK;
}

/* Rows on their way through the steps; the first ones are the caller's. */
typedef struct flow {
    asd_clip_rows stream[ASD_MAX_STREAMS];
    float        *owned[ASD_MAX_STREAMS];
    int           n;
} flow;

static void flow_clear(flow *f)
{
    for (int i = 0; i < ASD_MAX_STREAMS; ++i)
        free(f->owned[i]);
}

static void flow_set(flow *f, int i, float *x, asd_clip_rows rows)
{
    free(f->owned[i]);
    f->owned[i]  = x;
    f->stream[i] = rows;
}

static asd_status run_map(const asd_detector_use *use, flow *f)
{
    for (int i = 0; i < f->n; ++i) {
        asd_clip_rows in = f->stream[i], out = in;
        out.D    = use->detector->map_width(use->state, i);
        float *x = malloc((size_t)(out.n * out.rows * out.D) * sizeof *x + 1);
        if (!x)
            return ASD_FAIL(ASD_E_OOM, "no memory for %lld rows", (long long)(out.n * out.rows));
        out.x         = x;
        asd_status st = use->detector->map(use->state, i, &in, x);
        flow_set(f, i, x, out);
        ASD_TRY(st);
    }
    return ASD_OK;
}

/* For a detector that does not tell streams apart. */
static asd_status join(flow *f, const asd_detector *d)
{
    asd_clip_rows all;
    if (f->n == 1 || d->max_streams > 1)
        return ASD_OK;
    float *x = asd_rows_join(f->stream, f->n, &all);
    if (!x)
        return ASD_FAIL(ASD_E_OOM, "no memory for %lld joined rows", (long long)all.n);
    f->n = 1;
    flow_set(f, 0, x, all);
    return ASD_OK;
}

static flow flow_from(const asd_clip_rows *stream, int n)
{
    flow f = {.n = n};
    memcpy(f.stream, stream, (size_t)n * sizeof *stream);
    return f;
}

/* The first n_steps of them; the detector's loo: (n, 2). */
static asd_status fit_steps(asd_pipeline *p, const asd_train_rows *train, flow *f, int n_steps,
                            const char *what, double *loo)
{
    for (int i = 0; i < n_steps; ++i) {
        asd_detector_use *use  = &p->step[i];
        asd_train_rows    here = *train;
        ASD_TRY(asd_detector_new_state(use, what));
        if (use->detector->score_rows)
            ASD_TRY(join(f, use->detector));
        memcpy(here.stream, f->stream, sizeof f->stream);
        here.n_streams = f->n;
        if (use->detector->score_rows)
            return use->detector->fit_rows(use->state, use->params, &here, what, loo, &p->heads);
        ASD_TRY(use->detector->fit_map(use->state, use->params, &here, what));
        ASD_TRY(run_map(use, f));
    }
    return ASD_OK;
}

static asd_status check_train(const asd_pipeline *p, const asd_train_rows *train, const char *what,
                              const char *where)
{
    ASD_ASSERT(train->n_streams == p->n_streams);
    if (train->n < 2)
        return ASD_FAIL(ASD_E_DATA, "%s: %lld training clips, want at least 2", where,
                        (long long)train->n);
    for (int i = 0; i < p->n_steps; ++i)
        if (!p->step[i].detector->many_rows && train->stream[0].rows != 1)
            return ASD_FAIL(
                ASD_E_DATA,
                "%s: %s takes one row a clip, stream %s has %lld; want a pooled embedding", where,
                p->step[i].detector->name, p->stream[0], (long long)train->stream[0].rows);
    const asd_detector *last = p->step[p->n_steps - 1].detector;
    for (int i = 0; i < p->n_streams && last->many_rows; ++i)
        if (!train->stream[i].length)
            return ASD_FAIL(ASD_E_DATA,
                            "%s: %s takes rows in time, stream %s has one vector a %s; "
                            "want pool=time",
                            where, last->name, p->stream[i],
                            train->stream[i].rows == 1 ? "clip" : "layer");
    return check_rows(p, train->stream, train->clip, what);
}

static void remember_shape(asd_pipeline *p, const asd_train_rows *train)
{
    p->rows = train->stream[0].rows;
    for (int i = 0; i < p->n_streams; ++i)
        p->D[i] = train->stream[i].D;
}

asd_status asd_pipeline_fit(asd_pipeline *p, const asd_train_rows *train, const char *what,
                            double *loo)
{
    char where[384];
    snprintf(where, sizeof where, "%s, %s", what, p->label);
    ASD_TRY(check_train(p, train, what, where));
    flow       f  = flow_from(train->stream, p->n_streams);
    asd_status st = fit_steps(p, train, &f, p->n_steps, where, loo);
    flow_clear(&f);
    remember_shape(p, train);
    return st;
}

static asd_status check_scored(const asd_pipeline *p, const asd_clip_rows *stream,
                               char *const *clip, const char *what)
{
    for (int i = 0; i < p->n_streams; ++i)
        if (stream[i].D != p->D[i] || stream[i].rows != p->rows)
            return ASD_FAIL(ASD_E_SHAPE,
                            "%s, %s: stream %s has clips of %lld x %lld, the training clips %lld x "
                            "%lld",
                            what, p->label, p->stream[i], (long long)stream[i].rows,
                            (long long)stream[i].D, (long long)p->rows, (long long)p->D[i]);
    return check_rows(p, stream, clip, what);
}

/* The first n_steps of them; the detector's score: (n, 2). */
static asd_status score_steps(const asd_pipeline *p, flow *f, int n_steps, double *score)
{
    for (int i = 0; i < n_steps; ++i) {
        const asd_detector_use *use = &p->step[i];
        if (!use->detector->score_rows) {
            ASD_TRY(run_map(use, f));
            continue;
        }
        ASD_TRY(join(f, use->detector));
        ASD_TRY(use->detector->score_rows(use->state, f->stream, score));
    }
    return ASD_OK;
}

asd_status asd_pipeline_score(const asd_pipeline *p, const asd_clip_rows *stream, char *const *clip,
                              const char *what, double *score)
{
    ASD_TRY(check_scored(p, stream, clip, what));
    if (!stream[0].n)
        return ASD_OK;
    flow       f  = flow_from(stream, p->n_streams);
    asd_status st = score_steps(p, &f, p->n_steps, score);
    flow_clear(&f);
    return st;
}

/* --- many machines on a device --- */

const char *asd_pipeline_lacks(const asd_pipeline *p, char *buf, size_t size)
{
    const asd_detector_use *last = &p->step[p->n_steps - 1];
    if (!last->detector->run_device) {
        snprintf(buf, size, "%s has no device form", last->detector->name);
        return buf;
    }
    const char *what = last->detector->device_lacks(last->params);
    if (!what)
        return NULL;
    snprintf(buf, size, "%s(%s) has no device form", last->detector->name, what);
    return buf;
}

/* A machine's rows as they come to the detector. */
typedef struct arrived {
    flow train, test;
    char where[384];
} arrived;

/* Everything before the detector. A step's state is this machine's only until the next machine. */
static asd_status arrive(asd_pipeline *p, asd_pipeline_task *t, arrived *a, asd_rows_task *out)
{
    const asd_detector *d = p->step[p->n_steps - 1].detector;
    snprintf(a->where, sizeof a->where, "%s, %s", t->what, p->label);
    ASD_TRY(check_train(p, &t->train, t->what, a->where));
    remember_shape(p, &t->train);
    ASD_TRY(check_scored(p, t->stream, t->clip, t->what));
    a->train = flow_from(t->train.stream, p->n_streams);
    a->test  = flow_from(t->stream, p->n_streams);
    ASD_TRY(fit_steps(p, &t->train, &a->train, p->n_steps - 1, a->where, NULL));
    ASD_TRY(score_steps(p, &a->test, p->n_steps - 1, NULL));
    ASD_TRY(join(&a->train, d));
    ASD_TRY(join(&a->test, d));
    *out = (asd_rows_task){.train     = a->train.stream[0],
                           .test      = a->test.stream[0],
                           .is_target = t->train.is_target,
                           .what      = a->where,
                           .loo       = t->loo,
                           .score     = t->score};
    return ASD_OK;
}

/* The detector alone on the CPU. */
static asd_status run_left(asd_pipeline *p, const asd_pipeline_task *t, const asd_rows_task *rows)
{
    asd_detector_use *use  = &p->step[p->n_steps - 1];
    asd_train_rows    here = t->train;
    here.n_streams         = 1;
    here.stream[0]         = rows->train;
    asd_detail("%s: on the CPU: %s", rows->what, rows->left);
    ASD_TRY(asd_detector_new_state(use, rows->what));
    ASD_TRY(use->detector->fit_rows(use->state, use->params, &here, rows->what, t->loo, &p->heads));
    return rows->test.n ? use->detector->score_rows(use->state, &rows->test, t->score) : ASD_OK;
}

/* Machines whose rows have one width go together: after a step, widths may differ. */
static asd_status run_widths(const asd_detector_use *use, asd_rows_task *rows, int64_t n,
                             asd_stream *s)
{
    for (int64_t from = 0, to; from < n; from = to) {
        for (to = from + 1; to < n && rows[to].train.D == rows[from].train.D;)
            ++to;
        ASD_TRY(use->detector->run_device(use->params, rows + from, to - from, s));
    }
    return ASD_OK;
}

asd_status asd_pipeline_run(asd_pipeline *p, asd_pipeline_task *task, int64_t n, asd_stream *s,
                            int64_t *done)
{
    arrived       *a    = calloc((size_t)n + 1, sizeof *a);
    asd_rows_task *rows = calloc((size_t)n + 1, sizeof *rows);
    asd_status     st =
        a && rows ? ASD_OK
                      : ASD_FAIL(ASD_E_OOM, "%s: no memory for %lld machines", p->label, (long long)n);
    *done = 0;
    for (int64_t i = 0; i < n && !st; ++i)
        st = arrive(p, &task[i], &a[i], &rows[i]);
    if (!st)
        st = run_widths(&p->step[p->n_steps - 1], rows, n, s);
    for (int64_t i = 0; i < n && !st; ++i) {
        p->heads = rows[i].heads;
        *done += !rows[i].left;
        if (rows[i].left)
            st = run_left(p, &task[i], &rows[i]);
        task[i].heads = p->heads;
    }
    for (int64_t i = 0; a && i < n; ++i) {
        flow_clear(&a[i].train);
        flow_clear(&a[i].test);
    }
    free(a);
    free(rows);
    return st;
}
