/* train_group_run.c - steps and the final pass of groups of networks on a device. See
 * train_group.h.
 */
#include "tools/train_group_parts.h"

#include "base/par.h"

#include <stdlib.h>
#include <string.h>

/* --- running --- */

/* Validations are whole, so their counter may begin at 0 whenever it likes. */
static asd_status set_step(group *g, int64_t step)
{
    asd_step now = {.step = step < g->steps ? step : g->steps,
                    .seed = (uint64_t)g->cfg->seed,
                    .lr   = (float)g->cfg->train_lr},
             val = {0};
    ASD_TRY(asd_stream_upload(g->s, g->step, &now, sizeof now));
    ASD_TRY(asd_stream_upload(g->s, g->val_step, &val, sizeof val));
    return asd_stream_wait(g->s);
}

asd_status asd_groups_upload(asd_groups *g, int64_t step)
{
    for (int64_t i = 0; i < g->n; ++i) {
        group *p = &g->group[i];
        asd_group_move(p, GATHER);
        ASD_TRY(asd_params_to_gpu(&p->params, p->s));
        ASD_TRY(set_step(p, step));
    }
    return ASD_OK;
}

asd_status asd_groups_download(asd_groups *g)
{
    for (int64_t i = 0; i < g->n; ++i) {
        group *p = &g->group[i];
        ASD_TRY(asd_params_from_gpu(&p->params, p->s));
        asd_group_move(p, SCATTER);
    }
    return ASD_OK;
}

int64_t asd_groups_end(const asd_groups *g, int64_t step)
{
    int64_t end = step + ASD_GROUP_STEPS;
    for (int64_t i = 0; i < g->n; ++i) {
        int64_t in_epoch  = g->group[i].steps_per_epoch,
                epoch_end = (step / in_epoch + 1) * in_epoch;
        if (step < g->group[i].steps && epoch_end < end)
            end = epoch_end;
    }
    return end;
}

static int64_t rows_of(const group *g, int64_t step)
{
    return asd_batch_size(g->net[0]->n_train, g->cfg->train_batch, step % g->steps_per_epoch);
}

static int ends_epoch(const group *g, int64_t from, int64_t to)
{
    return from < to && to % g->steps_per_epoch == 0;
}

/* What comes after the steps of a run: validation, the log on its way to the host, and the next
 * epoch's rows. */
static asd_status enqueue_end(group *g, int64_t from, int64_t to)
{
    int64_t batch = g->cfg->train_batch, losses = ASD_GROUP_STEPS * g->n;
    for (int64_t b = 0; ends_epoch(g, from, to) && b < g->n_val_batches; ++b) {
        int full = asd_batch_size(g->net[0]->n_val, batch, b) == batch;
        ASD_TRY(asd_group_launch(g, &g->val[full ? FULL : REST]));
    }
    ASD_TRY(asd_stream_download(g->s, g->host_loss, g->log.loss, (size_t)losses * sizeof(float)));
    ASD_TRY(asd_stream_download(g->s, g->host_norm, g->log.norm, (size_t)losses * sizeof(double)));
    ASD_TRY(asd_stream_download(g->s, g->host_val, g->val_log.loss,
                                (size_t)(g->n_val_batches * g->n) * sizeof(float)));
    return asd_group_need_epoch(g, from / g->steps_per_epoch + 1);
}

/* Reads the log of a run into records. */
static asd_status read_log(group *g, int64_t from, int64_t to, asd_net_record *record, int *done)
{
    for (int64_t i = 0; i < g->n; ++i) {
        asd_net        *net = g->net[i];
        asd_net_record *r   = record + g->number[i] * ASD_GROUP_STEPS;
        done[g->number[i]]  = 0;
        for (int64_t s = from; s < to; ++s, ++r, ++done[g->number[i]]) {
            int64_t at = s % g->log.rows * g->n + i;
            *r         = (asd_net_record){.step      = s + 1,
                                          .epoch     = s / g->steps_per_epoch,
                                          .loss      = g->host_loss[at],
                                          .grad_norm = g->host_norm[at],
                                          .rows      = rows_of(g, s)};
            ASD_TRY(asd_net_check(net, r));
            net->batch_loss[s % g->steps_per_epoch] = r->loss;
        }
        if (!ends_epoch(g, from, to))
            continue;
        for (int64_t b = 0; b < g->n_val_batches; ++b)
            net->val_loss[b] = g->host_val[b * g->n + i];
        asd_net_end_epoch(net, r - 1);
    }
    return ASD_OK;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

asd_status asd_groups_run(asd_groups *g, int64_t from, int64_t to, asd_net_record *record,
                          int *done)
{
    ASD_ASSERT(to <= asd_groups_end(g, from));
    for (int64_t i = 0; i < g->n; ++i)
        if (from < g->group[i].steps)
            ASD_TRY(asd_group_need_epoch(&g->group[i], from / g->group[i].steps_per_epoch));
    for (int64_t s = from; s < to; ++s) /* step by step, so that streams share the device */
        for (int64_t i = 0; i < g->n; ++i) {
            group *p = &g->group[i];
            if (s < p->steps)
                ASD_TRY(asd_group_launch(
                    p, &p->train[rows_of(p, s) == g->cfg->train_batch ? FULL : REST]));
        }
    for (int64_t i = 0; i < g->n; ++i)
        if (from < g->group[i].steps)
            ASD_TRY(enqueue_end(&g->group[i], from, least(to, g->group[i].steps)));
    for (int64_t i = 0; i < g->n; ++i)
        ASD_TRY(asd_stream_wait(g->group[i].s));
    for (int64_t i = 0; i < g->n; ++i)
        ASD_TRY(read_log(&g->group[i], from, least(to, g->group[i].steps), record, done));
    return ASD_OK;
}

/* --- the extra pass --- */

/* The device reconstructs batch b + 1 while the host takes the statistics of batch b. */
typedef struct pass_job {
    group        *g;
    asd_net_pass *pass; /* (n) */
    float        *x;    /* (n, batch, C) inputs, stacked from the features on the host */
    float        *y[2]; /* (n, batch, C) pinned: reconstructions of even and of odd batches */
    asd_event    *ready[2];
    asd_ae_plan   plan[3]; /* by size of batch, made when first needed */
    int64_t       C, b, batches;
} pass_job;

static asd_status plan_of(pass_job *j, int64_t rows, asd_ae_plan **out)
{
    for (int k = 0; k < 3; ++k) {
        *out = &j->plan[k];
        if (j->plan[k].B == rows)
            return ASD_OK;
        if (!j->plan[k].B)
            return asd_group_plan(j->g, rows, 0, &j->plan[k]);
    }
    ASD_ASSERT(!"full batches, the last of training and the last of validation: three sizes");
    return ASD_OK;
}

static int64_t pass_rows(const pass_job *j, int64_t b)
{
    const group *g     = j->g;
    int64_t      batch = g->cfg->train_batch, steps = g->steps_per_epoch;
    return b < steps ? asd_batch_size(g->net[0]->n_train, batch, b)
                     : asd_batch_size(g->net[0]->n_val, batch, b - steps);
}

static asd_status enqueue_batch(pass_job *j, int64_t b)
{
    group       *g = j->g;
    asd_ae_plan *p;
    int64_t      rows  = pass_rows(j, b);
    int          train = b < g->steps_per_epoch;
    ASD_TRY(plan_of(j, rows, &p));
    ASD_TRY(asd_feed_index(train ? &g->feed : &g->val_feed, train ? g->step : g->val_step,
                           asd_plan_data(p->plan, p->index), rows, g->s));
    ASD_TRY(asd_plan_forward(p->plan));
    ASD_TRY(asd_feed_record(train ? &g->log : &g->val_log, asd_plan_data(p->plan, p->loss),
                            train ? g->norm : NULL, train ? g->step : g->val_step, g->s));
    ASD_TRY(asd_stream_download(g->s, j->y[b % 2], asd_plan_data(p->plan, p->y),
                                (size_t)(g->n * rows * j->C) * sizeof(float)));
    return asd_event_record(j->ready[b % 2], g->s);
}

static void add_batch(void *ctx, int64_t i)
{
    pass_job *j    = ctx;
    asd_net  *net  = j->g->net[i];
    int64_t   rows = asd_net_pass_rows(net, j->b), F = net->f.F;
    float    *x = j->x + i * j->g->cfg->train_batch * j->C;
    for (int64_t k = 0; k < rows; ++k) /* frames of a vector lie one behind the other */
        memcpy(x + k * j->C, net->f.x + net->index[k] * F, (size_t)j->C * sizeof *x);
    asd_residuals r = {x, j->y[j->b % 2] + i * rows * j->C, rows, net->cfg->front_end_stack_frames,
                       F};
    asd_net_pass_add(net, &j->pass[i], j->b, &r);
}

static asd_status pass_new(pass_job *j, group *g)
{
    const asd_cfg *cfg = g->cfg;
    *j          = (pass_job){.g = g, .C = cfg->front_end_stack_frames * cfg->front_end_n_mels};
    j->batches  = g->steps_per_epoch + g->n_val_batches;
    size_t size = (size_t)(g->n * cfg->train_batch * j->C) * sizeof(float);
    j->pass     = calloc((size_t)g->n, sizeof *j->pass);
    j->x        = malloc(size);
    if (!j->pass || !j->x)
        return ASD_FAIL(ASD_E_OOM, "no memory for the final pass of %lld networks",
                        (long long)g->n);
    for (int64_t i = 0; i < g->n; ++i)
        ASD_TRY(asd_net_pass_init(g->net[i], &j->pass[i]));
    for (int k = 0; k < 2; ++k) {
        void *y;
        ASD_TRY(asd_gpu_alloc_pinned(g->gpu, size, "reconstructions", &y));
        j->y[k] = y;
        ASD_TRY(asd_event_new(g->gpu, &j->ready[k]));
    }
    return ASD_OK;
}

static void pass_free(pass_job *j)
{
    for (int k = 0; k < 3; ++k)
        asd_ae_plan_clear(&j->plan[k]);
    for (int k = 0; k < 2; ++k) {
        asd_event_free(j->ready[k]);
        asd_gpu_free_pinned(j->g->gpu, j->y[k]);
    }
    for (int64_t i = 0; i < j->g->n && j->pass; ++i)
        asd_net_pass_clear(&j->pass[i]);
    free(j->pass);
    free(j->x);
}

static asd_status finish_group(group *g)
{
    pass_job   j;
    asd_status st = pass_new(&j, g);
    if (!st)
        st = set_step(g, g->steps); /* the epoch after the last one */
    if (!st)
        st = asd_group_need_epoch(g, g->cfg->train_epochs);
    for (int64_t b = 0; b <= j.batches && !st; ++b) {
        if (b < j.batches)
            st = enqueue_batch(&j, b);
        if (b == 0 || st)
            continue;
        if ((st = asd_event_wait(j.ready[(b - 1) % 2])))
            break;
        j.b = b - 1;
        asd_par_for(g->n, add_batch, &j);
    }
    if (!st)
        st = asd_stream_wait(g->s);
    for (int64_t i = 0; i < g->n && !st; ++i)
        st = asd_net_pass_end(g->net[i], &j.pass[i]);
    pass_free(&j);
    return st;
}

asd_status asd_groups_finish(asd_groups *g)
{
    for (int64_t i = 0; i < g->n; ++i)
        ASD_TRY(finish_group(&g->group[i]));
    return ASD_OK;
}
