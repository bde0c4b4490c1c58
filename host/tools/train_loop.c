/* train_loop.c - see train_loop.h.
 *
 * All networks of a run advance together, BLOCK steps at a time: within a block each network is one
 * chunk of asd_par_for, so several machines keep all cores busy without waiting for each other, and
 * one machine alone uses the cores inside its ops. Either way the bits are those of one thread. On
 * a device a block is longer, and train_group.h does it.
 */
#include "tools/train_loop.h"

#include "base/file.h"
#include "base/log.h"
#include "base/par.h"
#include "base/stop.h"
#include "tools/train_ckpt.h"
#include "tools/train_group.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    BLOCK = 16
}; /* steps between looks at the clock and at signals: about 0.1 s of the baseline on two cores */

typedef struct loop {
    asd_run        *run;
    const asd_cfg  *cfg;
    asd_net        *nets;
    int64_t         n;
    asd_ckpt_state  state;
    int64_t         steps; /* of the network with the most */
    int64_t         from, to;
    asd_gpu        *gpu;     /* NULL: the CPU */
    asd_groups     *groups;  /* on a device; NULL on the CPU */
    int64_t         stretch; /* most steps of a block: ASD_GROUP_STEPS on a device, or BLOCK */
    asd_net_record *record;  /* (n, stretch) of the block */
    int            *done;    /* (n) how many of them */
    asd_failure     failure;
    FILE           *metrics;
    double          started;        /* asd_now() at which state.seconds would be 0 */
    double          clips, clips_0; /* clip passes done; those before this start */
    double          since;          /* asd_now() when this start began to train */
    double          last_ckpt;
    int64_t         last_ckpt_step;
} loop;

/* --- metrics --- */

static asd_status open_metrics(loop *l)
{
    char path[PATH_MAX];
    ASD_TRY(asd_path(path, "%s/log/metrics.jsonl", l->run->folder));
    struct stat info;
    l->metrics = fopen(path, "ae");
    if (!l->metrics || fstat(fileno(l->metrics), &info))
        return ASD_FAIL(ASD_E_IO, "%s: cannot write: %s", path, strerror(errno));
    if (info.st_size < l->state.metrics_bytes)
        return ASD_FAIL(ASD_E_DATA,
                        "%s: %lld bytes, the checkpoint was made at %lld: lines are lost; put the "
                        "file back or choose another --run",
                        path, (long long)info.st_size, (long long)l->state.metrics_bytes);
    /* lines behind the checkpoint belong to steps that are about to be done again */
    if (ftruncate(fileno(l->metrics), l->state.metrics_bytes))
        return ASD_FAIL(ASD_E_IO, "%s: cannot write: %s", path, strerror(errno));
    return ASD_OK;
}

/* On disk before the checkpoint that counts its bytes. The length is asked of the file: ftell does
 * not know of the cut above before something is written. */
static asd_status flush_metrics(loop *l)
{
    struct stat info;
    if (fflush(l->metrics) || ferror(l->metrics) || fsync(fileno(l->metrics)) ||
        fstat(fileno(l->metrics), &info))
        return ASD_FAIL(ASD_E_IO, "%s/log/metrics.jsonl: cannot write: %s", l->run->folder,
                        strerror(errno));
    l->state.metrics_bytes = info.st_size;
    return ASD_OK;
}

/* Numbers that read back equal: %.9g for float, and JSON has no NaN. */
static void put_number(FILE *f, const char *key, double x, int digits)
{
    if (isfinite(x))
        fprintf(f, ", \"%s\": %.*g", key, digits, x);
    else
        fprintf(f, ", \"%s\": null", key);
}

static void log_record(loop *l, const asd_net *net, const asd_net_record *r)
{
    double seconds = asd_now() - l->started,
           rate    = (l->clips - l->clips_0) / fmax(asd_now() - l->since, 1e-9);
    if (r->step % l->cfg->train_log_every_steps && r->step != 1 && !r->epoch_end)
        return;
    char *machine = json_dumps(json_object_get(json_object_get(l->run->info, "machines"), net->key),
                               JSON_ENCODE_ANY);
    fprintf(l->metrics, "{\"step\": %lld, \"epoch\": %lld, \"machine\": %s, \"section\": %d",
            (long long)r->step, (long long)r->epoch, machine ? machine : "null", net->section);
    free(machine);
    put_number(l->metrics, "loss", (double)r->loss, 9);
    put_number(l->metrics, "lr", l->cfg->train_lr, 9);
    put_number(l->metrics, "grad_norm", r->grad_norm, 9);
    put_number(l->metrics, "clips_per_s", rate, 5);
    put_number(l->metrics, "seconds", seconds, 6);
    if (r->epoch_end) {
        put_number(l->metrics, "train_loss", r->train_loss, 9);
        put_number(l->metrics, "val_loss", r->val_loss, 9);
    }
    fputs("}\n", l->metrics);
}

/* --- steps --- */

static void run_net(void *ctx, int64_t i)
{
    loop    *l   = ctx;
    asd_net *net = &l->nets[i];
    l->done[i]   = 0;
    for (int64_t s = l->from; s < l->to && s < net->steps; ++s) {
        asd_status st = asd_net_step(net, s, &l->record[i * l->stretch + l->done[i]]);
        asd_failure_note(&l->failure, i, st);
        if (st)
            return;
        ++l->done[i];
    }
}

static asd_status for_all_nets(loop *l, asd_par_fn fn)
{
    asd_failure_init(&l->failure);
    asd_par_for(l->n, fn, l);
    return asd_failure_end(&l->failure);
}

static asd_status run_block(loop *l)
{
    ASD_TRY(l->groups ? asd_groups_run(l->groups, l->from, l->to, l->record, l->done)
                      : for_all_nets(l, run_net));
    for (int64_t k = 0; k < l->stretch; ++k)
        for (int64_t i = 0; i < l->n; ++i) {
            const asd_net *net = &l->nets[i];
            if (k >= l->done[i])
                continue;
            const asd_net_record *r = &l->record[i * l->stretch + k];
            l->clips += (double)r->rows * (double)net->f.n / (double)net->n_rows;
            log_record(l, net, r);
        }
    l->state.step = l->to;
    return ASD_OK;
}

static int64_t block_end(const loop *l)
{
    int64_t to    = l->groups ? asd_groups_end(l->groups, l->state.step) : l->state.step + BLOCK;
    int64_t every = l->cfg->train_ckpt_every_steps;
    if (to > l->steps)
        to = l->steps;
    if (every > 0 && (l->state.step / every + 1) * every < to)
        to = (l->state.step / every + 1) * every;
    return to;
}

static asd_status save(loop *l)
{
    l->state.seconds = asd_now() - l->started;
    if (l->groups)
        ASD_TRY(asd_groups_download(l->groups));
    ASD_TRY(flush_metrics(l));
    ASD_TRY(asd_ckpt_save(l->run, l->nets, l->n, &l->state));
    l->last_ckpt      = asd_now();
    l->last_ckpt_step = l->state.step;
    return ASD_OK;
}

static int ckpt_due(const loop *l)
{
    int64_t every = l->cfg->train_ckpt_every_steps;
    if (l->state.step == l->steps || (every > 0 && l->state.step % every == 0))
        return 1;
    return l->cfg->train_ckpt_every_s > 0 && asd_now() - l->last_ckpt >= l->cfg->train_ckpt_every_s;
}

static asd_status stop(loop *l)
{
    if (l->last_ckpt_step != l->state.step)
        ASD_TRY(save(l));
    ASD_TRY(asd_run_set_state(l->run, "stopped", l->state.step));
    return ASD_FAIL(ASD_E_STOPPED,
                    "stopped by %s at step %lld of %lld; state saved in %s, start again to go on",
                    asd_stop_signal(), (long long)l->state.step, (long long)l->steps,
                    l->run->folder);
}

static void show_progress(loop *l, asd_progress *bar)
{
    char   text[96];
    double loss = 0;
    int    n    = 0;
    for (int64_t i = 0; i < l->n; ++i)
        if (l->done[i]) {
            loss += (double)l->record[i * l->stretch + l->done[i] - 1].loss;
            ++n;
        }
    snprintf(text, sizeof text, "loss %.3f, %.0f clips/s", n ? loss / n : NAN,
             (l->clips - l->clips_0) / fmax(asd_now() - l->since, 1e-9));
    asd_progress_step(bar, l->state.step, text);
}

static asd_status run_steps(loop *l)
{
    asd_status   st = ASD_OK;
    asd_progress bar;
    asd_progress_init(&bar, "train", "steps", l->steps, l->state.step);
    while (!st && l->state.step < l->steps) {
        l->from = l->state.step;
        l->to   = block_end(l);
        st      = run_block(l);
        if (st)
            break;
        show_progress(l, &bar);
        if (ckpt_due(l))
            st = save(l);
        if (!st && asd_stop_wanted() && l->state.step < l->steps) {
            asd_progress_done(&bar);
            return stop(l);
        }
    }
    asd_progress_done(&bar);
    return st;
}

/* --- the whole --- */

static void finish_net(void *ctx, int64_t i)
{
    loop *l = ctx;
    asd_failure_note(&l->failure, i, asd_net_finish(&l->nets[i]));
}

static asd_status finish(loop *l)
{
    asd_note("covariances of the residuals (official rule), %lld networks", (long long)l->n);
    ASD_TRY(l->groups ? asd_groups_finish(l->groups) : for_all_nets(l, finish_net));
    l->state.finished = 1;
    return save(l);
}

static asd_status load_data(loop *l)
{
    double  begun    = asd_now();
    json_t *machines = json_object(), *data = json_array();
    for (int64_t i = 0; i < l->n; ++i) {
        asd_net *net = &l->nets[i];
        ASD_TRY(asd_net_alloc(net, 1));
        ASD_TRY(asd_net_load(net));
        if (!l->gpu)
            ASD_TRY(asd_net_plan(net));
        l->steps = net->steps > l->steps ? net->steps : l->steps;
        json_object_set_new(machines, net->key, json_string(net->machine->name));
        json_array_append_new(data, json_pack("{s:s, s:i, s:I, s:I, s:s}", "machine",
                                              net->machine->name, "section", net->section, "clips",
                                              (json_int_t)net->f.n, "vectors",
                                              (json_int_t)net->n_rows, "audio_hash", net->f.hash));
        if (asd_stop_wanted()) {
            json_decref(machines);
            json_decref(data);
            return ASD_FAIL(ASD_E_STOPPED,
                            "stopped by %s while reading clips; nothing was trained yet",
                            asd_stop_signal());
        }
    }
    json_object_set_new(l->run->info, "machines", machines);
    json_object_set_new(l->run->info, "data", data);
    json_object_set_new(l->run->info, "feature_seconds", json_real(asd_now() - begun));
    return ASD_OK;
}

static double clips_done(const loop *l)
{
    double clips = 0;
    for (int64_t i = 0; i < l->n; ++i) {
        const asd_net *net  = &l->nets[i];
        int64_t        step = l->state.step < net->steps ? l->state.step : net->steps;
        clips += (double)step / (double)net->steps_per_epoch * (double)net->f.n *
                 (double)net->n_train / (double)net->n_rows;
    }
    return clips;
}

static asd_status train(loop *l)
{
    int  found;
    char hash[33], text[32];
    ASD_TRY(load_data(l));
    ASD_TRY(asd_ckpt_load(l->run, l->nets, l->n, &l->state, &found));
    if (found && l->state.step < l->steps)
        asd_note("resuming from step %lld of %lld", (long long)l->state.step, (long long)l->steps);
    if (l->gpu) {
        ASD_TRY(asd_groups_new(l->gpu, l->cfg, l->nets, l->n, &l->groups));
        ASD_TRY(asd_groups_upload(l->groups, l->state.step));
    }
    ASD_TRY(open_metrics(l));
    l->since = l->last_ckpt = asd_now();
    l->started              = l->since - l->state.seconds;
    l->clips = l->clips_0 = clips_done(l);
    l->last_ckpt_step     = found ? l->state.step : -1;
    ASD_TRY(asd_run_set_state(l->run, "running", l->state.step));
    ASD_TRY(run_steps(l));
    double seconds = asd_now() - l->since;
    ASD_TRY(finish(l));
    ASD_TRY(asd_ckpt_hash(l->run, hash));
    json_object_set_new(l->run->info, "weights_hash", json_string(hash));
    json_object_set_new(l->run->info, "train_seconds", json_real(l->state.seconds));
    if (l->clips > l->clips_0) {
        json_object_set_new(l->run->info, "clips_per_s",
                            json_real((l->clips - l->clips_0) / seconds));
        asd_note("trained %lld networks for %lld steps in %s, %.0f clips/s", (long long)l->n,
                 (long long)l->steps, asd_format_seconds(seconds, text, sizeof text),
                 (l->clips - l->clips_0) / seconds);
    }
    return asd_run_set_state(l->run, "done", l->state.step);
}

asd_status asd_train_loop(asd_run *run, const asd_cfg *cfg, asd_net *nets, int64_t n, asd_gpu *gpu)
{
    loop l        = {.run = run, .cfg = cfg, .nets = nets, .n = n, .gpu = gpu};
    l.stretch     = gpu ? ASD_GROUP_STEPS : BLOCK;
    l.record      = calloc((size_t)(n * l.stretch) + 1, sizeof *l.record);
    l.done        = calloc((size_t)n + 1, sizeof *l.done);
    asd_status st = l.record && l.done
                        ? train(&l)
                        : ASD_FAIL(ASD_E_OOM, "no memory for %lld networks", (long long)n);
    if (l.metrics && fclose(l.metrics) && !st)
        st = ASD_FAIL(ASD_E_IO, "%s/log/metrics.jsonl: cannot write: %s", run->folder,
                      strerror(errno));
    asd_groups_free(l.groups);
    free(l.record);
    free(l.done);
    return st;
}
