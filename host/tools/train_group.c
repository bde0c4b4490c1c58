/* train_group.c - see train_group.h.
 *
 * A group's step, captured once for full batches and once for the last one of an epoch:
 *   feed_index   rows of this step, from the epoch's table
 *   zero         the gradients
 *   forward, backward of the plan
 *   adam         norm, clipping and update of all networks
 *   feed_record  losses and norms into the log, and count the step
 * Two tables of rows take turns: while the device works through one epoch the host draws the next
 * one's order. A host that reads the log waits once for up to ASD_GROUP_STEPS steps.
 */
#include "tools/train_group_parts.h"

#include "base/log.h"
#include "base/par.h"

#include <stdlib.h>
#include <string.h>

enum { STAGE_BYTES = 16 << 20 };

/* --- who goes with whom --- */

static asd_status add_member(asd_groups *g, asd_net *net, int64_t number)
{
    group *to = NULL;
    for (int64_t i = 0; i < g->n && !to; ++i)
        if (g->group[i].net[0]->n_train == net->n_train && g->group[i].net[0]->n_val == net->n_val)
            to = &g->group[i];
    if (!to) {
        to  = &g->group[g->n++];
        *to = (group){.cfg             = g->cfg,
                      .gpu             = g->gpu,
                      .steps           = net->steps,
                      .steps_per_epoch = net->steps_per_epoch,
                      .n_val_batches   = net->n_val_batches,
                      .epoch_of        = {-1, -1}};
        asd_params_init(&to->params);
    }
    size_t    room      = (size_t)to->n + 1;
    asd_net **nets      = realloc(to->net, room * sizeof *nets);
    int64_t  *numbers   = nets ? realloc(to->number, room * sizeof *numbers) : NULL;
    int64_t  *first_row = numbers ? realloc(to->first_row, room * sizeof *first_row) : NULL;
    to->net             = nets ? nets : to->net;
    to->number          = numbers ? numbers : to->number;
    to->first_row       = first_row ? first_row : to->first_row;
    if (!first_row)
        return ASD_FAIL(ASD_E_OOM, "%s: no memory for a group of networks", net->key);
    to->net[to->n]       = net;
    to->number[to->n]    = number;
    to->first_row[to->n] = to->rows;
    to->rows += net->f.rows;
    ++to->n;
    return ASD_OK;
}

/* --- memory --- */

static asd_status device_memory(group *g, int64_t n, size_t size, const char *what, void *out)
{
    void *p;
    ASD_TRY(asd_gpu_alloc(g->gpu, (size_t)n * size, what,
                          "train fewer machines at a time with data.machines", &p));
    memcpy(out, &p, sizeof p);
    return ASD_OK;
}

static asd_status pinned_memory(group *g, int64_t n, size_t size, const char *what, void *out)
{
    void *p;
    ASD_TRY(asd_gpu_alloc_pinned(g->gpu, (size_t)n * size, what, &p));
    memcpy(out, &p, sizeof p);
    return ASD_OK;
}

static asd_status alloc_tables(group *g)
{
    int64_t batch = g->cfg->train_batch, in_epoch = g->steps_per_epoch * g->n * batch,
            in_val = g->n_val_batches * g->n * batch;
    int32_t *rows, *val_rows;
    ASD_TRY(device_memory(g, SLOTS * in_epoch, sizeof *rows, "the order of rows", &rows));
    g->feed = (asd_feed){rows, SLOTS, g->steps_per_epoch, g->n, batch};
    ASD_TRY(device_memory(g, in_val + 1, sizeof *val_rows, "the held-out rows", &val_rows));
    g->val_feed = (asd_feed){val_rows, 1, g->n_val_batches, g->n, batch};
    for (int i = 0; i < SLOTS; ++i)
        ASD_TRY(pinned_memory(g, in_epoch > in_val ? in_epoch : in_val, sizeof *rows,
                              "the order of rows", &g->table[i]));
    ASD_TRY(device_memory(g, 1, sizeof *g->step, "the step", &g->step));
    ASD_TRY(device_memory(g, 1, sizeof *g->val_step, "the step", &g->val_step));
    ASD_TRY(device_memory(g, g->n, sizeof *g->norm, "norms", &g->norm));
    g->log         = (asd_feed_log){.rows = ASD_GROUP_STEPS, .groups = g->n};
    g->val_log     = (asd_feed_log){.rows = g->n_val_batches, .groups = g->n};
    int64_t losses = ASD_GROUP_STEPS * g->n, val_losses = g->n_val_batches * g->n;
    ASD_TRY(device_memory(g, losses, sizeof(float), "losses", &g->log.loss));
    ASD_TRY(device_memory(g, losses, sizeof(double), "norms", &g->log.norm));
    ASD_TRY(device_memory(g, val_losses + 1, sizeof(float), "losses", &g->val_log.loss));
    ASD_TRY(pinned_memory(g, losses, sizeof(float), "losses", &g->host_loss));
    ASD_TRY(pinned_memory(g, losses, sizeof(double), "norms", &g->host_norm));
    return pinned_memory(g, val_losses + 1, sizeof(float), "losses", &g->host_val);
}

/* From pageable memory through two pinned buffers: one is filled while the other is on its way. */
typedef struct stage {
    void      *buffer[2];
    asd_event *sent[2];
    int        turn;
} stage;

static asd_status stage_new(stage *t, asd_gpu *gpu)
{
    for (int i = 0; i < 2; ++i) {
        ASD_TRY(asd_gpu_alloc_pinned(gpu, STAGE_BYTES, "staging features", &t->buffer[i]));
        ASD_TRY(asd_event_new(gpu, &t->sent[i]));
    }
    return ASD_OK;
}

static void stage_free(stage *t, asd_gpu *gpu)
{
    for (int i = 0; i < 2; ++i) {
        asd_event_free(t->sent[i]);
        asd_gpu_free_pinned(gpu, t->buffer[i]);
    }
}

static asd_status stage_upload(stage *t, asd_stream *s, char *to, const char *from, size_t bytes)
{
    for (size_t at = 0; at < bytes; at += STAGE_BYTES, ++t->turn) {
        size_t part = bytes - at < STAGE_BYTES ? bytes - at : STAGE_BYTES;
        int    i    = t->turn % 2;
        if (t->turn >= 2)
            ASD_TRY(asd_event_wait(t->sent[i]));
        memcpy(t->buffer[i], from + at, part);
        ASD_TRY(asd_stream_upload(s, to + at, t->buffer[i], part));
        ASD_TRY(asd_event_record(t->sent[i], s));
    }
    return ASD_OK;
}

static asd_status upload_frames(group *g, stage *t)
{
    int64_t F = g->cfg->front_end_n_mels;
    ASD_TRY(device_memory(g, g->rows * F, sizeof *g->frames, "features", &g->frames));
    for (int64_t i = 0; i < g->n; ++i)
        ASD_TRY(stage_upload(t, g->s, (char *)(g->frames + g->first_row[i] * F),
                             (const char *)g->net[i]->f.x,
                             (size_t)(g->net[i]->f.rows * F) * sizeof(float)));
    return asd_stream_wait(g->s);
}

/* --- parameters: (G, ...) on the device, each network's own on the host --- */

static void move(float *side_by_side, float *own, int64_t count, direction d)
{
    if (d == GATHER)
        memcpy(side_by_side, own, (size_t)count * sizeof(float));
    else
        memcpy(own, side_by_side, (size_t)count * sizeof(float));
}

void asd_group_move(group *g, direction d)
{
    for (int k = 0; k < g->params.n; ++k) {
        const asd_param *all = &g->params.param[k];
        for (int64_t i = 0; i < g->n; ++i) {
            asd_params      *own   = &g->net[i]->params;
            const asd_param *p     = &own->param[k];
            int64_t          count = asd_count(p->shape), to = all->offset + i * count;
            ASD_ASSERT(!strcmp(p->name, all->name) && asd_count(all->shape) == g->n * count);
            move(asd_params_value(&g->params, k) + i * count, asd_params_value(own, k), count, d);
            if (!p->trainable)
                continue;
            move(g->params.m + to, own->m + p->offset, count, d);
            move(g->params.v + to, own->v + p->offset, count, d);
        }
    }
}

static asd_status make_params(group *g)
{
    int64_t         n = 0;
    asd_adam_slice *slice;
    ASD_TRY(asd_ae_declare_groups(&g->params, g->cfg, g->n));
    ASD_TRY(asd_params_alloc(&g->params, 1));
    ASD_TRY(asd_params_to_gpu(&g->params, g->s));
    if (!(slice = malloc((size_t)g->params.n * sizeof *slice)))
        return ASD_FAIL(ASD_E_OOM, "no memory for %d parameters", g->params.n);
    for (int k = 0; k < g->params.n; ++k) {
        const asd_param *p = &g->params.param[k];
        if (p->trainable)
            slice[n++] = (asd_adam_slice){p->offset, asd_count(p->shape) / g->n};
    }
    asd_status st = asd_adam_layout_init(&g->adam, g->s, slice, n, g->n);
    free(slice);
    return st;
}

/* --- which rows --- */

/* The order of epoch g->fill_epoch of network i, into its slot's table. */
static void fill_net(void *ctx, int64_t i)
{
    group   *g     = ctx;
    asd_net *net   = g->net[i];
    int64_t  batch = g->cfg->train_batch;
    int32_t *table = g->table[g->fill_epoch % SLOTS];
    asd_net_order(net, g->fill_epoch);
    for (int64_t p = 0; p < g->steps_per_epoch; ++p) {
        int32_t *to = table + (p * g->n + i) * batch;
        int64_t  n  = asd_batch_size(net->n_train, batch, p);
        for (int64_t k = 0; k < n; ++k)
            to[k] = (int32_t)g->first_row[i] + net->row[net->n_val + net->order[p * batch + k]];
    }
}

/* The slot was last used by epoch - 2, which the host has waited for. */
asd_status asd_group_need_epoch(group *g, int64_t epoch)
{
    int64_t slot = epoch % SLOTS, count = g->steps_per_epoch * g->n * g->cfg->train_batch;
    if (g->epoch_of[slot] == epoch)
        return ASD_OK;
    g->fill_epoch     = epoch;
    g->epoch_of[slot] = epoch;
    asd_par_for(g->n, fill_net, g);
    return asd_stream_upload(g->s, (int32_t *)g->feed.table + slot * count, g->table[slot],
                             (size_t)count * sizeof(int32_t));
}

/* Held-out rows are the same in every epoch. Uses the pinned memory of slot 0 before any epoch. */
static asd_status upload_val_rows(group *g)
{
    int64_t batch = g->cfg->train_batch;
    for (int64_t b = 0; b < g->n_val_batches; ++b)
        for (int64_t i = 0; i < g->n; ++i) {
            const asd_net *net = g->net[i];
            int64_t        n   = asd_batch_size(net->n_val, batch, b);
            for (int64_t k = 0; k < n; ++k)
                g->table[0][(b * g->n + i) * batch + k] =
                    (int32_t)g->first_row[i] + net->row[b * batch + k];
        }
    ASD_TRY(asd_stream_upload(g->s, (int32_t *)g->val_feed.table, g->table[0],
                              (size_t)(g->n_val_batches * g->n * batch) * sizeof(int32_t)));
    return asd_stream_wait(g->s);
}

/* --- graphs --- */

asd_status asd_group_plan(group *g, int64_t B, int training, asd_ae_plan *p)
{
    ASD_TRY(asd_ae_plan_make_on(&g->params, g->cfg, (asd_ae_size){g->rows, B, g->n}, training, g->s,
                                p));
    asd_plan_bind(p->plan, p->frames, g->frames);
    return ASD_OK;
}

static asd_status enqueue_step(group *g, asd_ae_plan *p)
{
    asd_adam    adam = asd_net_optimiser(g->cfg);
    asd_params *w    = &g->params;
    ASD_TRY(asd_feed_index(&g->feed, g->step, asd_plan_data(p->plan, p->index), p->B, g->s));
    ASD_TRY(asd_params_zero_grad(w, g->s));
    ASD_TRY(asd_plan_forward(p->plan));
    ASD_TRY(asd_plan_backward(p->plan));
    ASD_TRY(asd_adam_update_cuda(&adam, &g->adam, g->step, w->on_gpu.w, w->on_gpu.g, w->on_gpu.m,
                                 w->on_gpu.v, NULL, g->norm, g->s));
    return asd_feed_record(&g->log, asd_plan_data(p->plan, p->loss), g->norm, g->step, g->s);
}

static asd_status enqueue_validation(group *g, asd_ae_plan *p)
{
    ASD_TRY(
        asd_feed_index(&g->val_feed, g->val_step, asd_plan_data(p->plan, p->index), p->B, g->s));
    ASD_TRY(asd_plan_forward(p->plan));
    return asd_feed_record(&g->val_log, asd_plan_data(p->plan, p->loss), NULL, g->val_step, g->s);
}

typedef struct capture_job {
    group       *g;
    batch_graph *b;
} capture_job;

static asd_status record(void *ctx)
{
    capture_job *j = ctx;
    return j->b->enqueue(j->g, &j->b->plan);
}

asd_status asd_group_launch(group *g, batch_graph *b)
{
    return b->graph ? asd_graph_launch(b->graph, g->s) : b->enqueue(g, &b->plan);
}

static asd_status make_graph(group *g, int64_t n_rows, int training, batch_graph *two)
{
    int64_t batch = g->cfg->train_batch, rest = n_rows % batch;
    int64_t size[2] = {n_rows >= batch ? batch : 0, rest > training ? rest : 0};
    for (int k = FULL; k <= REST; ++k) {
        if (!size[k])
            continue;
        ASD_TRY(asd_group_plan(g, size[k], training, &two[k].plan));
        two[k].enqueue = training ? enqueue_step : enqueue_validation;
        if (asd_plan_checks(two[k].plan.plan))
            continue;
        /* Once as it is, so that kernels are loaded and libraries have chosen before the capture,
         * and a launch that fails says so; whatever it computes, asd_groups_upload overwrites. */
        ASD_TRY(two[k].enqueue(g, &two[k].plan));
        ASD_TRY(asd_stream_wait(g->s));
        ASD_TRY(asd_capture(g->s, record, &(capture_job){g, &two[k]}, &two[k].graph));
    }
    return ASD_OK;
}

static asd_status make_group(group *g, stage *t)
{
    if (g->rows > INT32_MAX)
        return ASD_FAIL(ASD_E_DATA,
                        "%lld frames of %lld networks, more than 2^31: train fewer machines at a "
                        "time with data.machines",
                        (long long)g->rows, (long long)g->n);
    ASD_TRY(asd_stream_new(g->gpu, &g->s));
    ASD_TRY(alloc_tables(g));
    ASD_TRY(upload_frames(g, t));
    ASD_TRY(upload_val_rows(g));
    ASD_TRY(make_params(g));
    ASD_TRY(make_graph(g, g->net[0]->n_train, 1, g->train));
    ASD_TRY(make_graph(g, g->net[0]->n_val, 0, g->val));
    asd_detail("%lld networks at once, %s and others: %lld steps an epoch, a step of %d launches",
               (long long)g->n, g->net[0]->key, (long long)g->steps_per_epoch,
               g->train[FULL].graph ? asd_graph_nodes(g->train[FULL].graph) : 0);
    return ASD_OK;
}

static void clear_group(group *g)
{
    for (int k = 0; k < 2; ++k) {
        asd_graph_free(g->train[k].graph);
        asd_graph_free(g->val[k].graph);
        asd_ae_plan_clear(&g->train[k].plan);
        asd_ae_plan_clear(&g->val[k].plan);
        asd_gpu_free_pinned(g->gpu, g->table[k]);
    }
    asd_adam_layout_clear(&g->adam);
    asd_params_clear(&g->params);
    void *device[] = {g->frames,   (void *)g->feed.table, (void *)g->val_feed.table,
                      g->step,     g->val_step,           g->norm,
                      g->log.loss, g->log.norm,           g->val_log.loss};
    for (size_t i = 0; i < sizeof device / sizeof *device; ++i)
        asd_gpu_free(g->gpu, device[i]);
    asd_gpu_free_pinned(g->gpu, g->host_loss);
    asd_gpu_free_pinned(g->gpu, g->host_norm);
    asd_gpu_free_pinned(g->gpu, g->host_val);
    asd_stream_free(g->s);
    free(g->net);
    free(g->number);
    free(g->first_row);
}

asd_status asd_groups_new(asd_gpu *gpu, const asd_cfg *cfg, asd_net *nets, int64_t n,
                          asd_groups **out)
{
    stage       t = {0};
    asd_status  st;
    asd_groups *g = calloc(1, sizeof *g);
    *out          = NULL;
    if (!g || !(g->group = calloc((size_t)n + 1, sizeof *g->group))) {
        st = ASD_FAIL(ASD_E_OOM, "no memory for %lld networks", (long long)n);
        goto done;
    }
    g->gpu = gpu;
    g->cfg = cfg;
    for (int64_t i = 0; i < n; ++i)
        ASD_GO(done, st, add_member(g, &nets[i], i));
    ASD_GO(done, st, stage_new(&t, gpu));
    for (int64_t i = 0; i < g->n; ++i)
        ASD_GO(done, st, make_group(&g->group[i], &t));
    *out = g;
    g    = NULL;
done:
    stage_free(&t, gpu);
    asd_groups_free(g);
    return st;
}

void asd_groups_free(asd_groups *g)
{
    if (!g)
        return;
    for (int64_t i = 0; i < g->n; ++i)
        clear_group(&g->group[i]);
    free(g->group);
    free(g);
}
