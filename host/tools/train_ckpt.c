/* train_ckpt.c - see train_ckpt.h. */
#include "tools/train_ckpt.h"

#include "base/file.h"
#include "base/log.h"
#include "nn/safetensors.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- a growing list of tensors to write --- */

typedef struct entries {
    asd_st_entry *e;
    char        **name;
    int64_t       n, room;
    int           failed;
} entries;

static void add(entries *l, const char *key, const char *name, const char *suffix, asd_shape shape,
                const float *x)
{
    if (l->n == l->room) {
        int64_t       room  = l->room ? 2 * l->room : 256;
        asd_st_entry *e     = realloc(l->e, (size_t)room * sizeof *e);
        char        **names = e ? realloc(l->name, (size_t)room * sizeof *names) : NULL;
        if (e)
            l->e = e;
        if (!names) {
            l->failed = 1;
            return;
        }
        l->name = names;
        l->room = room;
    }
    char *full = NULL;
    if (asprintf(&full, "%s/%s%s", key, name, suffix) < 0) {
        l->failed = 1;
        return;
    }
    l->name[l->n] = full;
    l->e[l->n++]  = (asd_st_entry){full, ASD_F32, shape, x};
}

static asd_status write_entries(entries *l, const char *folder, const char *file,
                                const asd_run *run)
{
    const char *metadata[] = {"format",        "pt",          "train_hash",
                              run->train_hash, "asd_version", ASD_VERSION};
    char        path[PATH_MAX];
    asd_status  st = asd_path(path, "%s/%s", folder, file);
    if (!st)
        st = l->failed ? ASD_FAIL(ASD_E_OOM, "%s: no memory for the list of tensors", path)
                       : asd_safetensors_write(path, l->e, l->n, metadata, 3);
    for (int64_t i = 0; i < l->n; ++i)
        free(l->name[i]);
    free(l->name);
    free(l->e);
    memset(l, 0, sizeof *l);
    return st;
}

static asd_status write_model(const asd_run *run, const char *folder, const asd_net *nets,
                              int64_t n, int finished)
{
    entries l = {0};
    for (int64_t i = 0; i < n; ++i) {
        const asd_net *net    = &nets[i];
        int64_t        F      = net->cfg->front_end_n_mels;
        asd_shape      square = ASD_SHAPE2(F, F);
        for (int k = 0; k < net->params.n; ++k)
            add(&l, net->key, net->params.param[k].name, "", net->params.param[k].shape,
                asd_params_value(&net->params, k));
        if (!finished)
            continue;
        add(&l, net->key, "covariance.source", "", square, net->covariance[0]);
        add(&l, net->key, "covariance.target", "", square, net->covariance[1]);
        add(&l, net->key, "batches.train_mse", "", ASD_SHAPE1(net->steps_per_epoch),
            net->batch_loss);
        add(&l, net->key, "batches.val_mse", "", ASD_SHAPE1(net->n_val_batches), net->val_loss);
        add(&l, net->key, "batches.mahalanobis", "", ASD_SHAPE1(net->n_batch_mahalanobis),
            net->batch_mahalanobis);
    }
    return write_entries(&l, folder, "model.safetensors", run);
}

static asd_status write_optim(const asd_run *run, const char *folder, const asd_net *nets,
                              int64_t n)
{
    entries l = {0};
    for (int64_t i = 0; i < n; ++i) {
        const asd_net *net = &nets[i];
        for (int k = 0; k < net->params.n; ++k) {
            const asd_param *p = &net->params.param[k];
            if (!p->trainable)
                continue;
            add(&l, net->key, p->name, ".m", p->shape, net->params.m + p->offset);
            add(&l, net->key, p->name, ".v", p->shape, net->params.v + p->offset);
        }
        add(&l, net->key, "epoch.train_loss", "", ASD_SHAPE1(net->steps_per_epoch),
            net->batch_loss);
        add(&l, net->key, "epoch.val_loss", "", ASD_SHAPE1(net->n_val_batches), net->val_loss);
    }
    return write_entries(&l, folder, "optim.safetensors", run);
}

static asd_status write_state(const asd_run *run, const char *folder, const asd_net *nets,
                              int64_t n, const asd_ckpt_state *state)
{
    char    path[PATH_MAX];
    json_t *clips = json_object();
    for (int64_t i = 0; i < n; ++i)
        json_object_set_new(clips, nets[i].key, json_string(nets[i].clips_hash));
    json_t *root = json_pack("{s:s, s:I, s:f, s:I, s:b, s:s, s:o}", "schema", "asd.state/1", "step",
                             (json_int_t)state->step, "seconds", state->seconds, "metrics_bytes",
                             (json_int_t)state->metrics_bytes, "finished", state->finished,
                             "train_hash", run->train_hash, "clips", clips);
    char   *text = json_dumps(root, JSON_INDENT(2));
    json_decref(root);
    if (!text)
        return ASD_FAIL(ASD_E_OOM, "%s: no memory for state.json", folder);
    asd_status st = asd_path(path, "%s/state.json", folder);
    if (!st)
        st = asd_write_file(path, text, strlen(text));
    free(text);
    return st;
}

/* --- folders --- */

static int64_t step_of(const char *name)
{
    long long step = -1;
    char      rest;
    return sscanf(name, "step-%lld%c", &step, &rest) == 1 ? step : -1;
}

/* Moves a checkpoint under a hidden name at once and then removes it, so that a folder with a
 * checkpoint's name is always complete. */
static asd_status put_away(const char *ckpt, const char *folder)
{
    char hidden[PATH_MAX];
    if (!asd_is_folder(folder))
        return ASD_OK;
    ASD_TRY(asd_path(hidden, "%s/.tmp-old-%s-%ld", ckpt, asd_base_name(folder), (long)getpid()));
    ASD_TRY(asd_remove_tree(hidden));
    if (rename(folder, hidden))
        return ASD_FAIL(ASD_E_IO, "%s: cannot rename: %s", folder, strerror(errno));
    return asd_remove_tree(hidden);
}

/* Removes what a killed run left under hidden names, and the oldest checkpoints beyond `keep`. */
static asd_status tidy(const char *ckpt, int64_t newest, int64_t keep)
{
    asd_names  names;
    char       path[PATH_MAX];
    int64_t    newer = 0;
    asd_status st    = asd_list_folder(ckpt, &names);
    for (int64_t i = 0; i < names.n && !st; ++i) {
        const char *name = names.name[i];
        int         gone = !strncmp(name, ".tmp-", 5);
        int64_t     step = step_of(name);
        if (step >= 0 && step != newest) {
            newer = 0;
            for (int64_t k = 0; k < names.n; ++k)
                newer += step_of(names.name[k]) > step;
            gone = newer >= keep || step > newest;
        }
        if (gone && !(st = asd_path(path, "%s/%s", ckpt, name)))
            st = step >= 0 ? put_away(ckpt, path) : asd_remove_tree(path);
    }
    asd_names_free(&names);
    return st;
}

static asd_status point_last(const char *ckpt, int64_t step)
{
    char target[64], tmp[PATH_MAX], last[PATH_MAX];
    snprintf(target, sizeof target, "step-%lld", (long long)step);
    ASD_TRY(asd_path(tmp, "%s/.tmp-last-%ld", ckpt, (long)getpid()));
    ASD_TRY(asd_path(last, "%s/last", ckpt));
    unlink(tmp);
    if (symlink(target, tmp) || rename(tmp, last))
        return ASD_FAIL(ASD_E_IO, "%s: cannot link to %s: %s", last, target, strerror(errno));
    return asd_sync_folder(ckpt);
}

static asd_status write_files(const asd_run *run, const char *folder, const asd_net *nets,
                              int64_t n, const asd_ckpt_state *state)
{
    ASD_TRY(asd_make_folders(folder));
    ASD_TRY(write_model(run, folder, nets, n, state->finished));
    ASD_TRY(write_optim(run, folder, nets, n));
    ASD_TRY(write_state(run, folder, nets, n, state));
    return asd_sync_folder(folder);
}

asd_status asd_ckpt_save(const asd_run *run, const asd_net *nets, int64_t n,
                         const asd_ckpt_state *state)
{
    char ckpt[PATH_MAX], tmp[PATH_MAX], final[PATH_MAX];
    ASD_TRY(asd_path(ckpt, "%s/ckpt", run->folder));
    ASD_TRY(asd_path(tmp, "%s/.tmp-step-%lld-%ld", ckpt, (long long)state->step, (long)getpid()));
    ASD_TRY(asd_path(final, "%s/step-%lld", ckpt, (long long)state->step));
    asd_status st = write_files(run, tmp, nets, n, state);
    if (st) {
        asd_remove_tree(tmp); /* a full disk needs the room */
        return st;
    }
    ASD_TRY(
        put_away(ckpt, final)); /* of an earlier start, or the last step's before the final pass */
    if (rename(tmp, final))
        return ASD_FAIL(ASD_E_IO, "%s: cannot rename: %s", final, strerror(errno));
    ASD_TRY(point_last(ckpt, state->step));
    return tidy(ckpt, state->step, nets[0].cfg->train_ckpt_keep);
}

/* --- loading --- */

static asd_status last_folder(const asd_run *run, char out[PATH_MAX], int *found)
{
    /* `last` may point at a checkpoint that a crash removed: then the newest complete one counts.
     */
    char      ckpt[PATH_MAX], path[PATH_MAX];
    asd_names names;
    int64_t   best = -1;
    *found         = 0;
    ASD_TRY(asd_path(ckpt, "%s/ckpt", run->folder));
    ASD_TRY(asd_path(out, "%s/last", ckpt));
    ASD_TRY(asd_path(path, "%s/state.json", out));
    if ((*found = asd_is_file(path)))
        return ASD_OK;
    if (!asd_is_folder(ckpt))
        return ASD_OK;
    ASD_TRY(asd_list_folder(ckpt, &names));
    for (int64_t i = 0; i < names.n; ++i)
        best = step_of(names.name[i]) > best ? step_of(names.name[i]) : best;
    asd_names_free(&names);
    *found = best >= 0;
    return asd_path(out, "%s/step-%lld", ckpt, (long long)best);
}

static asd_status read_state(const asd_run *run, const char *folder, const asd_net *nets, int64_t n,
                             asd_ckpt_state *state)
{
    char         path[PATH_MAX];
    json_error_t why;
    json_int_t   step = 0, bytes = 0;
    const char  *hash = "";
    json_t      *clips;
    asd_status   st = ASD_OK;
    ASD_TRY(asd_path(path, "%s/state.json", folder));
    json_t *root = json_load_file(path, JSON_REJECT_DUPLICATES, &why);
    if (!root)
        return ASD_FAIL(ASD_E_DATA, "%s:%d:%d: %s", path, why.line, why.column, why.text);
    if (json_unpack_ex(root, &why, 0, "{s:I, s:F, s:I, s:b, s:s, s:o}", "step", &step, "seconds",
                       &state->seconds, "metrics_bytes", &bytes, "finished", &state->finished,
                       "train_hash", &hash, "clips", &clips)) {
        st = ASD_FAIL(ASD_E_DATA, "%s: %s", path, why.text);
        goto done;
    }
    state->step          = step;
    state->metrics_bytes = bytes;
    if (strcmp(hash, run->train_hash)) {
        st = ASD_FAIL(ASD_E_CONFIG, "%s: made by another configuration (hash %.8s, want %.8s)",
                      path, hash, run->train_hash);
        goto done;
    }
    for (int64_t i = 0; i < n && !st; ++i) {
        const char *was = json_string_value(json_object_get(clips, nets[i].key));
        if (!was || strcmp(was, nets[i].clips_hash))
            st = ASD_FAIL(ASD_E_DATA,
                          "%s: the training clips of %s have changed since this run began, their "
                          "audio or their domains (hash %.8s, now %.8s); choose another --run",
                          path, nets[i].key, was ? was : "none", nets[i].clips_hash);
    }
    if (!st && (int64_t)json_object_size(clips) != n)
        st = ASD_FAIL(ASD_E_DATA, "%s: made for %zu networks, the data set gives %lld", path,
                      json_object_size(clips), (long long)n);
done:
    json_decref(root);
    return st;
}

static asd_status get(const asd_safetensors *s, const asd_net *net, const char *name,
                      const char *suffix, asd_shape shape, float *to)
{
    char full[512];
    snprintf(full, sizeof full, "%s/%s%s", net->key, name, suffix);
    return asd_safetensors_get(s, full, ASD_F32, shape, to);
}

static asd_status read_weights(const asd_safetensors *s, asd_net *net)
{
    for (int k = 0; k < net->params.n; ++k)
        ASD_TRY(get(s, net, net->params.param[k].name, "", net->params.param[k].shape,
                    asd_params_value(&net->params, k)));
    return ASD_OK;
}

static asd_status read_optim(const asd_safetensors *s, asd_net *net)
{
    for (int k = 0; k < net->params.n; ++k) {
        const asd_param *p = &net->params.param[k];
        if (!p->trainable)
            continue;
        ASD_TRY(get(s, net, p->name, ".m", p->shape, net->params.m + p->offset));
        ASD_TRY(get(s, net, p->name, ".v", p->shape, net->params.v + p->offset));
    }
    ASD_TRY(get(s, net, "epoch.train_loss", "", ASD_SHAPE1(net->steps_per_epoch), net->batch_loss));
    return get(s, net, "epoch.val_loss", "", ASD_SHAPE1(net->n_val_batches), net->val_loss);
}

typedef asd_status (*reader)(const asd_safetensors *s, asd_net *net);

static asd_status read_all(const char *folder, const char *file, asd_net *nets, int64_t n,
                           reader read)
{
    char            path[PATH_MAX];
    asd_safetensors s;
    ASD_TRY(asd_path(path, "%s/%s", folder, file));
    ASD_TRY(asd_safetensors_open(path, &s));
    asd_status st = ASD_OK;
    for (int64_t i = 0; i < n && !st; ++i)
        st = read(&s, &nets[i]);
    asd_safetensors_close(&s);
    return st;
}

asd_status asd_ckpt_load(const asd_run *run, asd_net *nets, int64_t n, asd_ckpt_state *state,
                         int *found)
{
    char folder[PATH_MAX];
    memset(state, 0, sizeof *state);
    ASD_TRY(last_folder(run, folder, found));
    if (!*found)
        return ASD_OK;
    ASD_TRY(read_state(run, folder, nets, n, state));
    ASD_TRY(read_all(folder, "model.safetensors", nets, n, read_weights));
    return read_all(folder, "optim.safetensors", nets, n, read_optim);
}

/* Joins the two lists of batch losses that the official threshold rule uses. */
static asd_status read_batches(const asd_safetensors *s, asd_net *net)
{
    static const char *const names[] = {"batches.train_mse", "batches.val_mse",
                                        "batches.mahalanobis"};
    const asd_st_tensor     *t[3];
    char                     full[512];
    for (int i = 0; i < 3; ++i) {
        snprintf(full, sizeof full, "%s/%s", net->key, names[i]);
        t[i] = asd_safetensors_find(s, full);
        if (!t[i] || t[i]->dtype != ASD_F32 || t[i]->shape.n != 1)
            return ASD_FAIL(ASD_E_DATA, "%s: tensor %s is missing or not a list of numbers",
                            s->path, full);
    }
    int64_t n_train = t[0]->shape.d[0], n_val = t[1]->shape.d[0], n_maha = t[2]->shape.d[0];
    net->batch_loss        = malloc((size_t)(n_train + n_val + 1) * sizeof(float));
    net->batch_mahalanobis = malloc((size_t)(n_maha + 1) * sizeof(float));
    if (!net->batch_loss || !net->batch_mahalanobis)
        return ASD_FAIL(ASD_E_OOM, "%s: no memory for batch values", s->path);
    memcpy(net->batch_loss, t[0]->data, (size_t)n_train * sizeof(float));
    memcpy(net->batch_loss + n_train, t[1]->data, (size_t)n_val * sizeof(float));
    memcpy(net->batch_mahalanobis, t[2]->data, (size_t)n_maha * sizeof(float));
    net->n_batch_loss        = n_train + n_val;
    net->n_batch_mahalanobis = n_maha;
    return ASD_OK;
}

static asd_status read_model(const asd_safetensors *s, asd_net *net)
{
    int64_t   F      = net->cfg->front_end_n_mels;
    asd_shape square = ASD_SHAPE2(F, F);
    ASD_TRY(read_weights(s, net));
    ASD_TRY(get(s, net, "covariance.source", "", square, net->covariance[0]));
    ASD_TRY(get(s, net, "covariance.target", "", square, net->covariance[1]));
    return read_batches(s, net);
}

static asd_status need_last(const asd_run *run, char folder[PATH_MAX])
{
    int found;
    ASD_TRY(last_folder(run, folder, &found));
    return found ? ASD_OK : ASD_FAIL(ASD_E_DATA, "%s/ckpt holds no checkpoint", run->folder);
}

asd_status asd_ckpt_load_model(const asd_run *run, asd_net *nets, int64_t n)
{
    char folder[PATH_MAX];
    ASD_TRY(need_last(run, folder));
    return read_all(folder, "model.safetensors", nets, n, read_model);
}

asd_status asd_ckpt_hash(const asd_run *run, char hash[33])
{
    char folder[PATH_MAX], path[PATH_MAX];
    ASD_TRY(need_last(run, folder));
    ASD_TRY(asd_path(path, "%s/model.safetensors", folder));
    return asd_hash_file(path, hash);
}
