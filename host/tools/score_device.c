/* score_device.c - see score_device.h. */
#include "tools/score_device.h"

#include "base/log.h"
#include "base/stop.h"

#include <stdlib.h>
#include <string.h>

/* Rows that are in host memory at a time, and copied to the device together: at least one machine.
 * Seven machines of 1200 clips of 768 are 26 MB. */
enum { HOST_BYTES = 1 << 30 };

asd_status score_raw_new(const score_group *g, score_raw *out)
{
    out->heads = 0;
    out->loo   = malloc((size_t)(2 * g->n_train + 1) * sizeof *out->loo);
    out->score = malloc((size_t)(2 * g->n_test + 1) * sizeof *out->score);
    return out->loo && out->score ? ASD_OK
                                  : ASD_FAIL(ASD_E_OOM, "%s: no memory for scores", g->key);
}

void score_raw_clear(score_raw *r)
{
    free(r->loo);
    free(r->score);
    *r = (score_raw){NULL, NULL, 0};
}

int score_device_wanted(const asd_pipeline *p, int64_t n)
{
    char why[128];
    for (int64_t i = 0; i < n; ++i)
        if (!asd_pipeline_lacks(&p[i], why, sizeof why))
            return 1;
    return 0;
}

/* Groups on their way through one pipeline. */
typedef struct stretch {
    score_rows        *train, *test; /* (room) */
    asd_pipeline_task *task;         /* (room) */
    int64_t            room, n;
} stretch;

static void stretch_empty(stretch *t)
{
    for (int64_t i = 0; i < t->n; ++i) {
        score_rows_clear(&t->train[i]);
        score_rows_clear(&t->test[i]);
    }
    t->n = 0;
}

static double bytes_of(const score_rows *r, int n_streams)
{
    double sum = 0;
    for (int i = 0; i < n_streams; ++i)
        sum += (double)r->x[i].n * (double)r->x[i].rows * (double)r->x[i].D * sizeof(float);
    return sum;
}

/* Reads groups from g on; *next: the first that has to wait. */
static asd_status stretch_read(const score_device *d, const asd_pipeline *p, score_raw *raw,
                               int64_t g, stretch *t, int64_t *next)
{
    for (double bytes = 0; g < d->n_groups && bytes < HOST_BYTES; ++g) {
        const score_group *group = &d->group[g];
        int64_t            i     = t->n++;
        memset(&t->train[i], 0, sizeof t->train[i]);
        memset(&t->test[i], 0, sizeof t->test[i]);
        ASD_TRY(score_raw_new(group, &raw[g]));
        ASD_TRY(score_rows_read(d->file, p, group, 0, &t->train[i]));
        ASD_TRY(score_rows_read(d->file, p, group, 1, &t->test[i]));
        t->task[i] = (asd_pipeline_task){
            .train = score_train_rows(group, &t->train[i], p->n_streams, d->seed),
            .clip  = t->test[i].name,
            .what  = group->key,
            .loo   = raw[g].loo,
            .score = raw[g].score};
        memcpy(t->task[i].stream, t->test[i].x, sizeof t->task[i].stream);
        bytes += bytes_of(&t->train[i], p->n_streams) + bytes_of(&t->test[i], p->n_streams);
    }
    *next = g;
    return ASD_OK;
}

static asd_status run_pipeline(const score_device *d, asd_pipeline *p, score_raw *raw, stretch *t,
                               asd_stream *s, int64_t *done)
{
    asd_status st = ASD_OK;
    for (int64_t g = 0, next = 0; g < d->n_groups && !st; g = next) {
        int64_t here = 0;
        st           = stretch_read(d, p, raw, g, t, &next);
        if (!st)
            st = asd_pipeline_run(p, t->task, t->n, s, &here);
        for (int64_t i = 0; i < t->n && !st; ++i)
            raw[g + i].heads = t->task[i].heads;
        stretch_empty(t);
        *done += here;
        if (!st && asd_stop_wanted())
            st = ASD_FAIL(ASD_E_STOPPED, "stopped by %s while scoring; start again to score",
                          asd_stop_signal());
    }
    return st;
}

asd_status score_device_run(const score_device *d, asd_stream *s, int64_t *done)
{
    stretch t = {.room = d->n_groups};
    t.train   = malloc((size_t)(t.room + 1) * sizeof *t.train);
    t.test    = malloc((size_t)(t.room + 1) * sizeof *t.test);
    t.task    = malloc((size_t)(t.room + 1) * sizeof *t.task);
    int ok    = t.train && t.test && t.task;
    *done     = 0;
    asd_status st =
        ok ? ASD_OK
           : ASD_FAIL(ASD_E_OOM, "no memory for the rows of %lld machines", (long long)t.room);
    for (int64_t k = 0; k < d->n_pipelines && !st; ++k) {
        asd_pipeline *p = &d->pipeline[k];
        char          why[128];
        int64_t       here = 0;
        if (asd_pipeline_lacks(p, why, sizeof why)) {
            asd_detail("%s: on the CPU: %s", p->label, why);
            continue;
        }
        st = run_pipeline(d, p, d->raw + k * d->n_groups, &t, s, &here);
        if (!st)
            asd_detail("%s: %lld of %lld machines on the device", p->label, (long long)here,
                       (long long)d->n_groups);
        *done += here;
    }
    free(t.train);
    free(t.test);
    free(t.task);
    return st;
}
