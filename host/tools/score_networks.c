/* score_networks.c - scores of test clips by what trained autoencoders fail to reconstruct.
 *
 * Blind by construction: the data set gives no label or domain of a test clip (data/dataset.h),
 * every clip is scored by its own forward pass, and thresholds come from training clips.
 */
#include "tools/score_recipe.h"

#include "base/arena.h"
#include "base/file.h"
#include "base/log.h"
#include "base/par.h"
#include "base/stop.h"
#include "score/scores.h"
#include "score/threshold.h"
#include "tools/open_device.h"
#include "tools/reconstruct.h"
#include "tools/train_ckpt.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Scores of one list of clips by every detector: score[d * n + i]. */
typedef struct clip_scores {
    const asd_clip **clip;
    int64_t          n;
    double          *score;
} clip_scores;

/* Features are read in groups of clips, so that memory stays at one group: 64 ten-second clips are
 * 10 MB. */
enum { GROUP = 64, MAX_CHUNKS = 16 };

typedef struct score_job {
    asd_net                *net;
    const asd_detector_use *detector;
    int64_t                 n_detectors;
    clip_scores            *out;
    const asd_features     *f;
    int64_t                 from, n_chunks; /* clips out->clip[from ..] are the features' clips */
    asd_ae_plan             plan[MAX_CHUNKS];
    float                  *x[MAX_CHUNKS]; /* on a device: a clip's vectors, of room[] numbers */
    int64_t                 room[MAX_CHUNKS];
    const float            *y; /* on a device: all vectors of the group; else NULL */
    asd_failure             failure;
} score_job;

static asd_status score_residuals(score_job *j, int64_t i, const asd_residuals *r)
{
    for (int64_t d = 0; d < j->n_detectors; ++d) {
        double *s = &j->out->score[d * j->out->n + j->from + i];
        ASD_TRY(j->detector[d].detector->score(j->detector[d].state, r, s));
        if (!isfinite(*s))
            return ASD_FAIL(ASD_E_NUMERIC, "%s: %s gives a score of %g",
                            j->out->clip[j->from + i]->path, j->detector[d].label, *s);
    }
    return ASD_OK;
}

/* One clip, one forward pass over all its vectors: the same call whether the clip comes alone or
 * with others. */
static asd_status score_clip(score_job *j, int64_t chunk, int64_t i)
{
    const asd_cfg *cfg   = j->net->cfg;
    asd_ae_plan   *p     = &j->plan[chunk];
    int64_t        stack = cfg->front_end_stack_frames, F = j->f->F;
    int64_t        T = j->f->first[i + 1] - j->f->first[i], B = T - stack + 1;
    if (p->B != B) {
        asd_ae_plan_clear(p);
        ASD_TRY(asd_ae_plan_make(&j->net->params, cfg, T, B, 0, p));
    }
    int32_t *index = malloc((size_t)B * sizeof *index);
    if (!index)
        return ASD_FAIL(ASD_E_OOM, "no memory for %lld vectors", (long long)B);
    for (int64_t b = 0; b < B; ++b)
        index[b] = (int32_t)b;
    asd_status st = asd_ae_forward(p, j->f->x + j->f->first[i] * F, index);
    free(index);
    asd_residuals r = {asd_ae_x(p), asd_ae_y(p), B, stack, F};
    return st ? st : score_residuals(j, i, &r);
}

/* Its vectors' outputs are in j->y already. */
static asd_status score_reconstructed(score_job *j, int64_t chunk, int64_t i)
{
    int64_t stack = j->net->cfg->front_end_stack_frames, F = j->f->F, C = stack * F;
    int64_t B = j->f->first[i + 1] - j->f->first[i] - stack + 1;
    if (j->room[chunk] < B * C) {
        free(j->x[chunk]);
        j->room[chunk] = B * C;
        if (!(j->x[chunk] = malloc((size_t)(B * C) * sizeof(float)))) {
            j->room[chunk] = 0;
            return ASD_FAIL(ASD_E_OOM, "no memory for %lld vectors", (long long)B);
        }
    }
    for (int64_t b = 0; b < B; ++b)
        memcpy(j->x[chunk] + b * C, j->f->x + (j->f->first[i] + b) * F, (size_t)C * sizeof(float));
    asd_residuals r = {j->x[chunk], j->y + (j->f->first[i] - i * (stack - 1)) * C, B, stack, F};
    return score_residuals(j, i, &r);
}

static void score_chunk(void *ctx, int64_t chunk)
{
    score_job *j  = ctx;
    asd_status st = ASD_OK;
    for (int64_t i = chunk; i < j->f->n && !st; i += j->n_chunks) {
        st = j->y ? score_reconstructed(j, chunk, i) : score_clip(j, chunk, i);
        asd_failure_note(&j->failure, i, st);
    }
}

/* device: NULL for the CPU */
static asd_status score_clips(asd_net *net, asd_reconstructor *device,
                              const asd_detector_use *detector, int64_t n_detectors,
                              clip_scores *out, asd_progress *bar)
{
    asd_status st = ASD_OK;
    score_job  j  = {.net = net, .detector = detector, .n_detectors = n_detectors, .out = out};
    if (!(out->score = calloc((size_t)(n_detectors * out->n) + 1, sizeof *out->score)))
        st = ASD_FAIL(ASD_E_OOM, "%s: no memory for %lld scores", net->key, (long long)out->n);
    for (j.from = 0; j.from < out->n && !st; j.from += GROUP) {
        asd_features f;
        int64_t      n = out->n - j.from < GROUP ? out->n - j.from : GROUP;
        if ((st = asd_features_load(out->clip + j.from, n, net->cfg, NULL, &f)))
            break;
        j.f        = &f;
        j.n_chunks = n < MAX_CHUNKS ? n : MAX_CHUNKS;
        asd_failure_init(&j.failure);
        if (device)
            asd_failure_note(&j.failure, 0, asd_reconstruct(device, &f, &j.y));
        if (!j.failure.status)
            asd_par_for(j.n_chunks, score_chunk, &j);
        st = asd_failure_end(&j.failure);
        asd_features_clear(&f);
        asd_progress_step(bar, bar->done + n, NULL);
        if (!st && asd_stop_wanted())
            st = ASD_FAIL(ASD_E_STOPPED, "stopped by %s while scoring; start again to score",
                          asd_stop_signal());
    }
    for (int i = 0; i < MAX_CHUNKS; ++i) {
        asd_ae_plan_clear(&j.plan[i]);
        free(j.x[i]);
    }
    return st;
}

/* --- thresholds --- */

static asd_status fit_threshold(const asd_net *net, const asd_detector_use *d, const double *train,
                                int64_t n, double *threshold)
{
    const asd_cfg     *cfg    = net->cfg;
    asd_residual_stats stats  = asd_net_stats(net);
    double            *copy   = NULL;
    const float       *values = NULL;
    if (cfg->score_threshold == ASD_THRESHOLD_OFFICIAL_BATCHES) {
        d->detector->batches(&stats, &values, &n);
        if (!(copy = malloc((size_t)(n + 1) * sizeof *copy)))
            return ASD_FAIL(ASD_E_OOM, "%s: no memory for a threshold", net->key);
        for (int64_t i = 0; i < n; ++i)
            copy[i] = (double)values[i];
        train = copy;
    }
    asd_status st = score_threshold(cfg, d->label, net->key, train, n, threshold);
    free(copy);
    return st;
}

/* --- the run --- */

typedef struct score_run {
    asd_run           run;
    asd_dataset       data;
    asd_net          *nets;
    int64_t           n_nets, n_detectors;
    asd_detector_use *detector;
    score_out        *out;
    asd_gpu          *gpu; /* NULL: the CPU */
} score_run;

static asd_status open_run(score_run *r, const asd_recipe *recipe, const char *data,
                           const char *run)
{
    const asd_cfg  *cfg  = &recipe->cfg;
    const asd_list *only = &cfg->data_machines;
    r->detector          = calloc((size_t)cfg->score_detectors.n + 1, sizeof *r->detector);
    if (!r->detector)
        return ASD_FAIL(ASD_E_OOM, "no memory for detectors");
    ASD_TRY(asd_detectors_check(cfg->score_detectors.item, cfg->score_detectors.n));
    for (; r->n_detectors < cfg->score_detectors.n; ++r->n_detectors)
        ASD_TRY(asd_detector_parse(cfg->score_detectors.item[r->n_detectors],
                                   &r->detector[r->n_detectors]));
    ASD_TRY(asd_run_open_done(&r->run, run, recipe));
    ASD_TRY(asd_dataset_open(data, only->item, only->n, &r->data));
    ASD_TRY(asd_nets_make(&r->data, cfg, &r->nets, &r->n_nets));
    for (int64_t i = 0; i < r->n_nets; ++i)
        ASD_TRY(asd_net_alloc(&r->nets[i], 0));
    return asd_ckpt_load_model(&r->run, r->nets, r->n_nets);
}

/* A test clip that no network is for would be left out in silence. */
static asd_status check_sections(const score_run *r)
{
    for (int64_t m = 0; m < r->data.n; ++m)
        for (int64_t i = 0; i < r->data.machine[m].n_test; ++i) {
            int found = 0;
            for (int64_t k = 0; k < r->n_nets; ++k)
                found |= r->nets[k].machine == &r->data.machine[m] &&
                         r->nets[k].section == r->data.machine[m].test[i].section;
            if (!found)
                return ASD_FAIL(
                    ASD_E_DATA, "%s: no training clips of section %02d, so no network can score it",
                    r->data.machine[m].test[i].path, r->data.machine[m].test[i].section);
        }
    return ASD_OK;
}

static void keep_only(clip_scores *c, const char *name)
{
    int64_t kept = 0;
    for (int64_t i = 0; i < c->n; ++i)
        if (!strcmp(c->clip[i]->name, name))
            c->clip[kept++] = c->clip[i];
    c->n = kept;
}

static asd_status score_net(score_run *r, asd_net *net, asd_progress *bar)
{
    asd_residual_stats stats = asd_net_stats(net);
    clip_scores        train = {0}, test = {0};
    asd_reconstructor *device = NULL;
    double             threshold;
    asd_status         st = asd_net_clips(net, 0, &train.clip, &train.n);
    if (!st)
        st = asd_net_clips(net, 1, &test.clip, &test.n);
    if (!st && r->out->only)
        keep_only(&test, r->out->only);
    for (int64_t d = 0; d < r->n_detectors && !st && test.n; ++d)
        st = asd_detector_fit(&r->detector[d], &stats, net->key);
    if (!st && test.n && r->gpu)
        st = asd_reconstructor_new(r->gpu, net, &device);
    if (!st && test.n)
        st = score_clips(net, device, r->detector, r->n_detectors, &test, bar);
    if (!st && test.n)
        st = score_clips(net, device, r->detector, r->n_detectors, &train, bar);
    for (int64_t d = 0; d < r->n_detectors && !st && test.n; ++d) {
        st = fit_threshold(net, &r->detector[d], train.score + d * train.n, train.n, &threshold);
        if (!st)
            st = score_emit(r->out, r->detector[d].label, net->machine->name, net->section,
                            test.clip, test.n, test.score + d * test.n, threshold);
    }
    asd_reconstructor_free(device);
    free(train.clip);
    free(train.score);
    free(test.clip);
    free(test.score);
    return st;
}

static asd_status score_all(score_run *r)
{
    asd_status   st = ASD_OK;
    asd_progress bar;
    int64_t      total = 0, tests = 0;
    for (int64_t i = 0; i < r->data.n; ++i) {
        total += r->data.machine[i].n_test + r->data.machine[i].n_train;
        tests += r->data.machine[i].n_test;
    }
    if (!tests)
        return ASD_FAIL(ASD_E_DATA, "%s: no test clips", r->data.root);
    asd_progress_init(&bar, "score", "clips", total, 0);
    for (int64_t i = 0; i < r->n_nets && !st; ++i)
        st = score_net(r, &r->nets[i], &bar);
    asd_progress_done(&bar);
    return st;
}

asd_status score_by_networks(const asd_recipe *recipe, const score_from *from, score_out *out,
                             json_t **used)
{
    score_run  r  = {.run = {.lock = -1}, .out = out};
    asd_status st = open_run(&r, recipe, from->data, from->run);
    if (!st)
        st = asd_device_open(from->typed, from->device, &r.gpu);
    *used = asd_device_json(from->device, r.gpu);
    if (!st)
        st = check_sections(&r);
    if (!st && out->only)
        st = score_check_only(&r.data, out->only);
    if (!st)
        st = score_all(&r);
    for (int64_t d = 0; d < r.n_detectors; ++d)
        asd_detector_clear(&r.detector[d]);
    free(r.detector);
    asd_nets_free(r.nets, r.n_nets);
    asd_dataset_clear(&r.data);
    asd_run_close(&r.run);
    asd_gpu_close(r.gpu);
    return st;
}
