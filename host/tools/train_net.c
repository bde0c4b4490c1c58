/* train_net.c - see train_net.h. */
#include "tools/train_net.h"

#include "base/arena.h"
#include "base/file.h"
#include "base/log.h"
#include "base/rng.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- which networks there are --- */

static int has_section(const asd_machine *m, int section)
{
    for (int64_t i = 0; i < m->n_train; ++i)
        if (m->train[i].section == section)
            return 1;
    return 0;
}

static asd_status add_net(const asd_machine *m, int section, const asd_cfg *cfg, asd_net **nets,
                          int64_t *n)
{
    asd_net *more = realloc(*nets, (size_t)(*n + 1) * sizeof *more);
    if (!more)
        return ASD_FAIL(ASD_E_OOM, "no memory for %lld networks", (long long)*n + 1);
    *nets        = more;
    asd_net *net = &more[(*n)++];
    memset(net, 0, sizeof *net);
    net->cfg         = cfg;
    net->machine     = m;
    net->section     = section;
    net->order_epoch = -1;
    asd_params_init(&net->params);
    int length =
        snprintf(net->key, sizeof net->key, "%s.section_%02d", m->name, section < 0 ? 0 : section);
    if (length >= (int)sizeof net->key)
        return ASD_FAIL(ASD_E_DATA,
                        "%.80s...: a machine's name of %zu characters, want less than 240", m->name,
                        strlen(m->name));
    net->cell = asd_rng_hash(net->key);
    return ASD_OK;
}

asd_status asd_nets_make(const asd_dataset *d, const asd_cfg *cfg, asd_net **nets, int64_t *n)
{
    *nets = NULL;
    *n    = 0;
    for (int64_t i = 0; i < d->n; ++i) {
        const asd_machine *m = &d->machine[i];
        if (!m->n_train)
            return ASD_FAIL(ASD_E_DATA,
                            "%s: no training clips; leave the machine out with data.machines",
                            m->folder);
        for (int section = -1; section < 100; ++section)
            if (has_section(m, section))
                ASD_TRY(add_net(m, section, cfg, nets, n));
    }
    return ASD_OK;
}

static void clear_net(asd_net *net)
{
    for (int i = 0; i < 2; ++i) {
        asd_ae_plan_clear(&net->train[i]);
        asd_ae_plan_clear(&net->val[i]);
        free(net->covariance[i]);
    }
    asd_params_clear(&net->params);
    asd_features_clear(&net->f);
    free(net->row);
    free(net->is_target);
    free(net->order);
    free(net->index);
    free(net->batch_row);
    free(net->batch_is_target);
    free(net->work);
    free(net->batch_loss);
    free(net->val_loss);
    free(net->batch_mahalanobis);
}

void asd_nets_free(asd_net *nets, int64_t n)
{
    for (int64_t i = 0; i < n; ++i)
        clear_net(&nets[i]);
    free(nets);
}

asd_status asd_net_clips(const asd_net *net, int test, const asd_clip ***clips, int64_t *n)
{
    const asd_clip *all   = test ? net->machine->test : net->machine->train;
    int64_t         count = test ? net->machine->n_test : net->machine->n_train;
    *n                    = 0;
    if (!(*clips = malloc((size_t)(count + 1) * sizeof **clips)))
        return ASD_FAIL(ASD_E_OOM, "no memory for %lld clips", (long long)count);
    for (int64_t i = 0; i < count; ++i)
        if (all[i].section == net->section)
            (*clips)[(*n)++] = &all[i];
    return ASD_OK;
}

/* --- memory --- */

asd_status asd_net_alloc(asd_net *net, int training)
{
    size_t square = (size_t)(net->cfg->front_end_n_mels * net->cfg->front_end_n_mels);
    ASD_TRY(asd_ae_declare(&net->params, net->cfg));
    ASD_TRY(asd_params_alloc(&net->params, training));
    for (int d = 0; d < 2; ++d)
        if (!(net->covariance[d] = asd_calloc_aligned(square, sizeof(float))))
            return ASD_FAIL(ASD_E_OOM, "%s: no memory for covariances", net->key);
    if (training)
        asd_params_reset(&net->params, (uint64_t)net->cfg->seed, net->cell);
    return ASD_OK;
}

/* One row per stack of frames that fits in a clip, in clip order; then shuffled once: the first
 * n_val rows are the held-out ones (of vectors, not of clips: systems C1). */
static asd_status make_rows(asd_net *net, const asd_clip *const *clips, int64_t n)
{
    int64_t stack = net->cfg->front_end_stack_frames, k = 0;
    for (int64_t i = 0; i < n; ++i)
        net->n_rows += net->f.first[i + 1] - net->f.first[i] - stack + 1;
    if (net->f.rows > INT32_MAX)
        return ASD_FAIL(ASD_E_DATA, "%s: %lld frames, more than 2^31", net->key,
                        (long long)net->f.rows);
    int32_t       *row    = malloc((size_t)net->n_rows * sizeof *row);
    unsigned char *target = malloc((size_t)net->n_rows);
    net->row              = malloc((size_t)net->n_rows * sizeof *row);
    net->is_target        = malloc((size_t)net->n_rows);
    net->order            = malloc((size_t)net->n_rows * sizeof *net->order);
    net->n_val            = (int64_t)(net->cfg->train_val_fraction * (double)net->n_rows);
    net->n_train          = net->n_rows - net->n_val;
    asd_status st         = ASD_OK;
    if (!row || !target || !net->row || !net->is_target || !net->order) {
        st = ASD_FAIL(ASD_E_OOM, "%s: no memory for %lld rows", net->key, (long long)net->n_rows);
        goto done;
    }
    for (int64_t i = 0; i < n; ++i)
        for (int64_t t = net->f.first[i]; t + stack <= net->f.first[i + 1]; ++t) {
            row[k]      = (int32_t)t;
            target[k++] = clips[i]->domain == ASD_TARGET;
        }
    asd_rng rng;
    asd_rng_init(&rng, (uint64_t)net->cfg->seed, ASD_RNG_SPLIT, net->cell, 0);
    asd_rng_permutation(&rng, net->n_rows, net->order);
    for (int64_t i = 0; i < net->n_rows; ++i) {
        net->row[i]       = row[net->order[i]];
        net->is_target[i] = target[net->order[i]];
    }
done:
    free(row);
    free(target);
    return st;
}

static asd_status hash_clips(asd_net *net, const asd_clip *const *clips, int64_t n)
{
    size_t size = strlen(net->f.hash);
    char  *text = malloc(size + (size_t)n);
    if (!text)
        return ASD_FAIL(ASD_E_OOM, "%s: no memory for %lld clips", net->key, (long long)n);
    memcpy(text, net->f.hash, size);
    for (int64_t i = 0; i < n; ++i)
        text[size + (size_t)i] = clips[i]->domain == ASD_TARGET ? 't' : 's';
    asd_hash_bytes(text, size + (size_t)n, net->clips_hash);
    free(text);
    return ASD_OK;
}

/* Batches of n rows; a last batch of one row is skipped: batch normalisation has no variance there.
 */
static int64_t n_batches(int64_t n, int64_t batch)
{
    return n / batch + (n % batch > 1);
}

static asd_status make_records(asd_net *net)
{
    int64_t batch        = net->cfg->train_batch;
    net->steps_per_epoch = n_batches(net->n_train, batch);
    net->steps           = net->steps_per_epoch * net->cfg->train_epochs;
    net->n_val_batches   = net->n_val / batch + (net->n_val % batch > 0);
    if (!net->steps_per_epoch)
        return ASD_FAIL(ASD_E_DATA, "%s: %lld training rows, want at least 2", net->key,
                        (long long)net->n_train);
    net->batch_loss          = calloc((size_t)net->steps_per_epoch + 1, sizeof(float));
    net->val_loss            = calloc((size_t)net->n_val_batches + 1, sizeof(float));
    net->index               = calloc((size_t)batch, sizeof *net->index);
    net->batch_row           = calloc((size_t)batch, sizeof *net->batch_row);
    net->batch_is_target     = calloc((size_t)batch, 1);
    net->n_batch_mahalanobis = net->steps_per_epoch + net->n_val_batches;
    net->batch_mahalanobis   = calloc((size_t)net->n_batch_mahalanobis, sizeof(float));
    if (!net->batch_loss || !net->val_loss || !net->index || !net->batch_row ||
        !net->batch_is_target || !net->batch_mahalanobis)
        return ASD_FAIL(ASD_E_OOM, "%s: no memory for batch records", net->key);
    return ASD_OK;
}

asd_status asd_net_load(asd_net *net)
{
    const asd_clip **clips;
    int64_t          n;
    ASD_TRY(asd_net_clips(net, 0, &clips, &n));
    char label[288];
    snprintf(label, sizeof label, "read %s", net->machine->name);
    asd_status st = asd_features_load(clips, n, net->cfg, label, &net->f);
    if (!st)
        st = make_rows(net, clips, n);
    if (!st)
        st = hash_clips(net, clips, n);
    free(clips);
    return st ? st : make_records(net);
}

asd_status asd_net_plan(asd_net *net)
{
    int64_t batch = net->cfg->train_batch, R = net->f.rows;
    net->work = calloc((size_t)asd_adam_work(net->params.n_trainable), sizeof(double));
    if (!net->work)
        return ASD_FAIL(ASD_E_OOM, "%s: no memory for the optimiser", net->key);
    if (net->n_train >= batch) {
        ASD_TRY(asd_ae_plan_make(&net->params, net->cfg, R, batch, 1, &net->train[0]));
        ASD_TRY(asd_ae_plan_make(&net->params, net->cfg, R, batch, 0, &net->val[0]));
    }
    if (net->n_train % batch > 1)
        ASD_TRY(
            asd_ae_plan_make(&net->params, net->cfg, R, net->n_train % batch, 1, &net->train[1]));
    return ASD_OK;
}

/* --- steps --- */

void asd_net_order(asd_net *net, int64_t epoch)
{
    asd_rng rng;
    if (net->order_epoch == epoch)
        return;
    asd_rng_init(&rng, (uint64_t)net->cfg->seed, ASD_RNG_ORDER, net->cell, (uint64_t)epoch);
    asd_rng_permutation(&rng, net->n_train, net->order);
    net->order_epoch = epoch;
}

/* Forward in inference mode over rows batch_row[0 .. n-1]; the plan for its size is made when first
 * needed. */
static asd_status infer(asd_net *net, int64_t n, asd_ae_plan **used)
{
    asd_ae_plan *p = n == net->cfg->train_batch ? &net->val[0] : &net->val[1];
    if (p->B != n) {
        asd_ae_plan_clear(p);
        ASD_TRY(asd_ae_plan_make(&net->params, net->cfg, net->f.rows, n, 0, p));
    }
    for (int64_t i = 0; i < n; ++i)
        net->index[i] = net->row[net->batch_row[i]];
    *used = p;
    return asd_ae_forward(p, net->f.x, net->index);
}

int64_t asd_batch_size(int64_t n, int64_t batch, int64_t position)
{
    int64_t left = n - position * batch;
    return left < batch ? left : batch;
}

/* Numbers of the held-out rows are 0 .. n_val-1; training rows follow. */
static asd_status validate(asd_net *net)
{
    int64_t batch = net->cfg->train_batch;
    for (int64_t b = 0; b < net->n_val_batches; ++b) {
        asd_ae_plan *p;
        int64_t      n = asd_batch_size(net->n_val, batch, b);
        for (int64_t i = 0; i < n; ++i)
            net->batch_row[i] = (int32_t)(b * batch + i);
        ASD_TRY(infer(net, n, &p));
        net->val_loss[b] = asd_ae_loss(p);
    }
    return ASD_OK;
}

asd_adam asd_net_optimiser(const asd_cfg *cfg)
{
    return (asd_adam){.beta1        = cfg->train_beta1,
                      .beta2        = cfg->train_beta2,
                      .eps          = cfg->train_eps,
                      .weight_decay = cfg->train_weight_decay,
                      .clip_norm    = cfg->train_clip_norm,
                      .decoupled    = cfg->train_optimiser == ASD_OPTIMISER_ADAMW};
}

void asd_net_end_epoch(const asd_net *net, asd_net_record *out)
{
    double train = 0, val = 0;
    for (int64_t i = 0; i < net->steps_per_epoch; ++i)
        train += (double)net->batch_loss[i];
    for (int64_t b = 0; b < net->n_val_batches; ++b)
        val +=
            (double)net->val_loss[b] * (double)asd_batch_size(net->n_val, net->cfg->train_batch, b);
    out->epoch_end  = 1;
    out->train_loss = train / (double)net->steps_per_epoch;
    out->val_loss   = net->n_val ? val / (double)net->n_val : NAN;
}

asd_status asd_net_check(const asd_net *net, const asd_net_record *r)
{
    if (!isfinite(r->loss))
        return ASD_FAIL(ASD_E_NUMERIC,
                        "%s: loss is %g at step %lld; lower train.lr, or find the op with "
                        "ASD_CHECK=1 in the environment",
                        net->key, (double)r->loss, (long long)r->step);
    if (!isfinite(r->grad_norm)) /* the weights are spoilt, but no loss has shown it yet */
        return ASD_FAIL(
            ASD_E_NUMERIC,
            "%s: the gradient's norm is %g at step %lld; lower train.lr, or find the op "
            "with ASD_CHECK=1 in the environment",
            net->key, r->grad_norm, (long long)r->step);
    return ASD_OK;
}

asd_status asd_net_step(asd_net *net, int64_t step, asd_net_record *out)
{
    const asd_cfg *cfg   = net->cfg;
    int64_t        epoch = step / net->steps_per_epoch, position = step % net->steps_per_epoch;
    int64_t        n    = asd_batch_size(net->n_train, cfg->train_batch, position);
    asd_ae_plan   *p    = n == cfg->train_batch ? &net->train[0] : &net->train[1];
    asd_step      *now  = asd_plan_step(p->plan);
    asd_adam       adam = asd_net_optimiser(cfg);
    asd_net_order(net, epoch);
    for (int64_t i = 0; i < n; ++i)
        net->index[i] = net->row[net->n_val + net->order[position * cfg->train_batch + i]];
    *now = (asd_step){.step = step, .seed = (uint64_t)cfg->seed, .lr = (float)cfg->train_lr};
    ASD_TRY(asd_ae_forward(p, net->f.x, net->index));
    memset(net->params.g, 0, (size_t)net->params.n_trainable * sizeof(float));
    ASD_TRY(asd_plan_backward(p->plan));
    *out = (asd_net_record){.step = step + 1, .epoch = epoch, .loss = asd_ae_loss(p), .rows = n};
    ASD_TRY(asd_net_check(net, out));
    out->grad_norm = asd_adam_update_cpu(&adam, now, net->params.n_trainable, net->params.w,
                                         net->params.g, net->params.m, net->params.v, net->work);
    ASD_TRY(asd_net_check(net, out));
    net->batch_loss[position] = out->loss;
    if (position + 1 < net->steps_per_epoch)
        return ASD_OK;
    ASD_TRY(validate(net));
    asd_net_end_epoch(net, out);
    return ASD_OK;
}

/* --- after training --- */

asd_status asd_net_pass_init(asd_net *net, asd_net_pass *p)
{
    int64_t F = net->f.F;
    memset(p, 0, sizeof *p);
    asd_net_order(net, net->cfg->train_epochs);
    ASD_TRY(asd_residual_cov_init(&p->cov, F,
                                  net->cfg->train_batch * net->cfg->front_end_stack_frames));
    p->means = malloc((size_t)(net->n_batch_mahalanobis * F) * sizeof *p->means);
    return p->means ? ASD_OK : ASD_FAIL(ASD_E_OOM, "%s: no memory for batch means", net->key);
}

void asd_net_pass_clear(asd_net_pass *p)
{
    asd_residual_cov_clear(&p->cov);
    free(p->means);
    memset(p, 0, sizeof *p);
}

int64_t asd_net_pass_rows(asd_net *net, int64_t b)
{
    int     validation = b >= net->steps_per_epoch;
    int64_t batch = net->cfg->train_batch, at = (b - validation * net->steps_per_epoch) * batch;
    int64_t n    = validation ? net->n_val : net->n_train;
    int64_t size = n - at < batch ? n - at : batch;
    for (int64_t i = 0; i < size; ++i) {
        net->batch_row[i] =
            validation ? (int32_t)(at + i) : (int32_t)net->n_val + net->order[at + i];
        net->batch_is_target[i] = net->is_target[net->batch_row[i]];
        net->index[i]           = net->row[net->batch_row[i]];
    }
    return size;
}

void asd_net_pass_add(asd_net *net, asd_net_pass *p, int64_t b, const asd_residuals *r)
{
    asd_residual_mean(r, p->means + b * r->F);
    if (b < net->steps_per_epoch)
        asd_residual_cov_add(&p->cov, r, net->batch_is_target);
}

/* Selective Mahalanobis of each batch's mean residual: what the official threshold is fitted to. */
static asd_status batch_distances(asd_net *net, const double *means)
{
    int64_t    F            = net->f.F;
    double    *precision[2] = {malloc((size_t)(F * F) * sizeof(double)),
                               malloc((size_t)(F * F) * sizeof(double))};
    asd_status st           = ASD_OK;
    for (int d = 0; d < 2 && !st; ++d)
        st = precision[d] ? asd_spd_inverse(net->covariance[d], F, net->key, precision[d])
                          : ASD_FAIL(ASD_E_OOM, "%s: no memory for a precision matrix", net->key);
    for (int64_t b = 0; b < net->n_batch_mahalanobis && !st; ++b)
        net->batch_mahalanobis[b] = (float)fmin(asd_quadratic_form(precision[0], means + b * F, F),
                                                asd_quadratic_form(precision[1], means + b * F, F));
    free(precision[0]);
    free(precision[1]);
    /* Too little data for a Mahalanobis distance is no failure of training: the detector says so
     * when it is used. */
    if (st == ASD_E_NUMERIC) {
        asd_warn("%s", asd_error_text());
        net->n_batch_mahalanobis = 0;
        st                       = ASD_OK;
    }
    return st;
}

asd_status asd_net_pass_end(asd_net *net, asd_net_pass *p)
{
    ASD_TRY(asd_residual_cov_finish(&p->cov, net->covariance[0], net->covariance[1]));
    return batch_distances(net, p->means);
}

asd_status asd_net_finish(asd_net *net)
{
    asd_net_pass pass;
    asd_ae_plan *p;
    asd_status   st = asd_net_pass_init(net, &pass);
    for (int64_t b = 0; b < net->steps_per_epoch + net->n_val_batches && !st; ++b) {
        int64_t n = asd_net_pass_rows(net, b);
        if ((st = infer(net, n, &p)))
            break;
        asd_residuals r = {asd_ae_x(p), asd_ae_y(p), n, net->cfg->front_end_stack_frames, net->f.F};
        asd_net_pass_add(net, &pass, b, &r);
    }
    if (!st)
        st = asd_net_pass_end(net, &pass);
    asd_net_pass_clear(&pass);
    return st;
}

asd_residual_stats asd_net_stats(const asd_net *net)
{
    return (asd_residual_stats){.F                   = net->cfg->front_end_n_mels,
                                .covariance          = {net->covariance[0], net->covariance[1]},
                                .batch_mse           = net->batch_loss,
                                .n_batch_mse         = net->n_batch_loss,
                                .batch_mahalanobis   = net->batch_mahalanobis,
                                .n_batch_mahalanobis = net->n_batch_mahalanobis};
}
