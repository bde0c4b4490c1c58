/* synth_set.c - writes a synthetic set so that it is complete or absent.
 *
 *   dir/.synth-partial/PLAN.json      what is being made; another plan there is thrown away
 *   dir/.synth-partial/dev_data/...   clips, each written atomically; those that exist are kept
 *   dir/.synth-partial/COMMIT         from here on dir/dev_data is ours to replace
 * then dev_data is renamed into place, SYNTH.json is written, and .synth-partial goes.
 */
#include "data/synth_parts.h"

#include "audio/wav.h"
#include "base/file.h"
#include "base/log.h"
#include "base/opt.h" /* asd_nearest */
#include "base/par.h"
#include "base/stop.h"

#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHUNK = 4, WAVE = 16 * CHUNK, GENERATOR = 1 }; /* GENERATOR: raised when the bits change */

typedef struct plan {
    const asd_synth_params *p;
    int                     n_machines;
    int                     machine[64]; /* indices, ascending */
    int64_t                 clips;       /* a machine */
    char                   *json;        /* of SYNTH.json; owned */
    const char             *dir;
    char                    partial[PATH_MAX];
} plan;

/* --- what is to be made ------------------------------------------------------------------------
 */
static asd_status choose_machines(plan *pl, const char *const *names, int n)
{
    char wanted[64] = {0};
    ASD_ASSERT(synth_n_machines <= 64);
    for (int i = 0; i < n; ++i) {
        int m = asd_synth_find(names[i]);
        if (m < 0) {
            const char *all[64];
            for (int k = 0; k < synth_n_machines; ++k)
                all[k] = synth_machines[k].name;
            const char *hint = asd_nearest(names[i], all, synth_n_machines);
            return ASD_FAIL(ASD_E_USAGE, "no machine \"%s\"%s%s%s", names[i],
                            hint ? "; did you mean \"" : "", hint ? hint : "", hint ? "\"?" : "");
        }
        wanted[m] = 1;
    }
    for (int m = 0; m < synth_n_machines; ++m)
        if (!n || wanted[m])
            pl->machine[pl->n_machines++] = m;
    return ASD_OK;
}

static asd_status make_json(plan *pl)
{
    const asd_synth_params *p    = pl->p;
    json_t                 *list = json_array();
    for (int i = 0; i < pl->n_machines; ++i)
        json_array_append_new(list, json_string(synth_machines[pl->machine[i]].name));
    json_t *o    = json_pack("{s:s, s:i, s:I, s:i, s:f, s:f, s:f, s:I, s:I, s:I, s:o}", "schema",
                             "asd.synth/1", "generator", GENERATOR, "seed", (json_int_t)p->seed,
                             "rate_hz", p->rate_hz, "seconds", p->seconds, "snr_db", p->snr_db,
                             "severity", p->severity, "train_source", (json_int_t)p->train_source,
                             "train_target", (json_int_t)p->train_target, "test_per_cell",
                             (json_int_t)p->test, "machines", list);
    char   *text = o ? json_dumps(o, JSON_INDENT(2) | JSON_PRESERVE_ORDER) : NULL;
    json_decref(o);
    int made = text && asprintf(&pl->json, "%s\n", text) > 0;
    free(text);
    return made ? ASD_OK : ASD_FAIL(ASD_E_OOM, "%s: no memory for SYNTH.json", pl->dir);
}

/* Clip i of a machine: training source and target, then the four test cells. */
static asd_synth_id clip_id(const asd_synth_params *p, int64_t i)
{
    if (i < p->train_source)
        return (asd_synth_id){ASD_TRAIN, ASD_SOURCE, ASD_NORMAL, i};
    i -= p->train_source;
    if (i < p->train_target)
        return (asd_synth_id){ASD_TRAIN, ASD_TARGET, ASD_NORMAL, i};
    i -= p->train_target;
    int64_t cell = i / p->test;
    return (asd_synth_id){ASD_TEST, cell < 2 ? ASD_SOURCE : ASD_TARGET,
                          cell & 1 ? ASD_ANOMALY : ASD_NORMAL, i % p->test};
}

static asd_status clip_path(const plan *pl, const char *root, int machine, const asd_synth_id *id,
                            char path[PATH_MAX])
{
    char name[192];
    asd_synth_name(machine, id, name, sizeof name);
    (void)pl;
    return asd_path(path, "%s/dev_data/raw/%s/%s/%s", root, synth_machines[machine].name,
                    id->split == ASD_TRAIN ? "train" : "test", name);
}

static int clip_is_there(const plan *pl, const char *path)
{
    struct stat s;
    return !stat(path, &s) && S_ISREG(s.st_mode) && s.st_size == 44 + 4 * asd_synth_frames(pl->p);
}

/* --- clips -------------------------------------------------------------------------------------
 */
typedef struct job {
    const plan      *pl;
    const asd_synth *synth;
    int              machine;
    int64_t          first, last; /* clips of this wave */
    pthread_mutex_t  lock;        /* of all below */
    asd_synth_work  *idle[1024];  /* scratch memory between chunks */
    int              n_idle;
    asd_status       st;
    char             text[4096]; /* the first failure */
} job;

static asd_status render_chunk(job *j, asd_synth_work *w, float *x, int64_t chunk)
{
    const plan *pl = j->pl;
    int64_t from = j->first + chunk * CHUNK, to = from + CHUNK < j->last ? from + CHUNK : j->last;
    for (int64_t i = from; i < to; ++i) {
        asd_synth_id id = clip_id(pl->p, i);
        char         path[PATH_MAX];
        ASD_TRY(clip_path(pl, pl->partial, j->machine, &id, path));
        if (clip_is_there(pl, path))
            continue;
        asd_synth_render(j->synth, w, &id, x, NULL);
        ASD_TRY(asd_wav_write16(path, x, asd_synth_frames(pl->p), 2, pl->p->rate_hz));
    }
    return ASD_OK;
}

static void chunk_fn(void *ctx, int64_t chunk)
{
    job            *j  = ctx;
    asd_synth_work *w  = NULL;
    asd_status      st = ASD_OK;
    pthread_mutex_lock(&j->lock);
    int stop = j->st != ASD_OK;
    if (j->n_idle)
        w = j->idle[--j->n_idle];
    pthread_mutex_unlock(&j->lock);
    float *x = malloc((size_t)asd_synth_frames(j->pl->p) * 2 * sizeof *x);
    if (!x)
        st = ASD_FAIL(ASD_E_OOM, "no memory for a clip");
    else if (!w)
        st = asd_synth_work_new(j->synth, &w);
    if (!st && !stop)
        st = render_chunk(j, w, x, chunk);
    free(x);
    pthread_mutex_lock(&j->lock);
    if (st && !j->st) { /* failures are kept by thread: carry the text over */
        j->st = st;
        snprintf(j->text, sizeof j->text, "%s", asd_error_text());
    }
    if (w && j->n_idle < (int)(sizeof j->idle / sizeof *j->idle)) {
        j->idle[j->n_idle++] = w;
        w                    = NULL;
    }
    pthread_mutex_unlock(&j->lock);
    asd_synth_work_free(w);
}

/* attributes_00.csv: file_name,d1p,d1v,... with the attribute text taken apart at underscores. */
static asd_status write_attributes(const plan *pl, int machine)
{
    const synth_machine *m = &synth_machines[machine];
    char                 path[PATH_MAX];
    asd_outfile          f;
    int                  pairs = 0;
    ASD_TRY(asd_path(path, "%s/dev_data/raw/%s/attributes_00.csv", pl->partial, m->name));
    ASD_TRY(asd_outfile_open(&f, path));
    for (const char *a = m->source[0].attribute; a && !m->hides_attributes;
         a = strchr(a, '_'), a = a ? a + 1 : a)
        ++pairs;
    pairs /= 2;
    fprintf(f.stream, "file_name");
    for (int k = 1; k <= pairs; ++k)
        fprintf(f.stream, ",d%dp,d%dv", k, k);
    fprintf(f.stream, "\n");
    for (int64_t i = 0; i < pl->clips; ++i) {
        asd_synth_id id = clip_id(pl->p, i);
        char         name[192], text[64];
        asd_synth_name(machine, &id, name, sizeof name);
        fprintf(f.stream, "%s/%s/%s", m->name, id.split == ASD_TRAIN ? "train" : "test", name);
        asd_synth_attribute(machine, &id, text, sizeof text);
        char *rest = text;
        for (char *part; pairs && (part = strsep(&rest, "_"));)
            fprintf(f.stream, ",%s", part);
        fprintf(f.stream, "\n");
    }
    return asd_outfile_commit(&f);
}

static asd_status make_machine(const plan *pl, int machine, int64_t before, asd_progress *bar)
{
    static const char *const split[2] = {"train", "test"};
    asd_synth               *synth    = NULL;
    asd_status               st       = ASD_OK;
    char                     path[PATH_MAX];
    job                     *j = calloc(1, sizeof *j);
    if (!j)
        return ASD_FAIL(ASD_E_OOM, "no memory for a machine");
    *j = (job){.pl = pl, .machine = machine, .lock = PTHREAD_MUTEX_INITIALIZER};
    for (int k = 0; k < 2; ++k) {
        ASD_GO(done, st,
               asd_path(path, "%s/dev_data/raw/%s/%s", pl->partial, synth_machines[machine].name,
                        split[k]));
        ASD_GO(done, st, asd_make_folders(path));
    }
    ASD_GO(done, st, asd_synth_open(pl->p, machine, &synth));
    j->synth = synth;
    for (j->first = 0; j->first < pl->clips; j->first = j->last) {
        if (asd_stop_wanted()) {
            st = ASD_FAIL(ASD_E_STOPPED, "%s: stopped after %lld clips of %s; start again to go on",
                          pl->dir, (long long)j->first, synth_machines[machine].name);
            goto done;
        }
        j->last = j->first + WAVE < pl->clips ? j->first + WAVE : pl->clips;
        asd_par_for((j->last - j->first + CHUNK - 1) / CHUNK, chunk_fn, j);
        if (j->st) {
            st = ASD_FAIL(j->st, "%s", j->text);
            goto done;
        }
        asd_progress_step(bar, before + j->last, synth_machines[machine].name);
    }
    st = write_attributes(pl, machine);
done:
    while (j->n_idle)
        asd_synth_work_free(j->idle[--j->n_idle]);
    pthread_mutex_destroy(&j->lock);
    free(j);
    asd_synth_free(synth);
    return st;
}

/* --- the folder --------------------------------------------------------------------------------
 */

/* 1 when the file exists and holds exactly this text. */
static int file_is(const char *folder, const char *name, const char *text)
{
    char   path[PATH_MAX], *data = NULL;
    size_t size = 0;
    if (asd_path(path, "%s/%s", folder, name) || !asd_is_file(path) ||
        asd_read_file(path, 1 << 20, &data, &size)) {
        asd_error_clear();
        return 0;
    }
    int same = size == strlen(text) && !memcmp(data, text, size);
    free(data);
    return same;
}

static int exists(const char *folder, const char *name)
{
    char        path[PATH_MAX];
    struct stat s;
    return !asd_path(path, "%s/%s", folder, name) && !lstat(path, &s);
}

static asd_status is_complete(const plan *pl, int *complete)
{
    *complete = file_is(pl->dir, "SYNTH.json", pl->json);
    for (int k = 0; *complete && k < pl->n_machines; ++k)
        for (int64_t i = 0; *complete && i < pl->clips; ++i) {
            asd_synth_id id = clip_id(pl->p, i);
            char         path[PATH_MAX];
            ASD_TRY(clip_path(pl, pl->dir, pl->machine[k], &id, path));
            *complete = clip_is_there(pl, path);
        }
    return ASD_OK;
}

/* May a set be put here? */
static asd_status check_folder(const plan *pl, int force)
{
    asd_names names;
    char      other[PATH_MAX] = "";
    if (!exists(pl->dir, "."))
        return ASD_OK;
    ASD_TRY(asd_list_folder(pl->dir, &names));
    for (int64_t i = 0; i < names.n && !*other; ++i)
        if (strcmp(names.name[i], ".synth-partial"))
            snprintf(other, sizeof other, "%s", names.name[i]);
    asd_names_free(&names);
    int committing = file_is(pl->partial, "PLAN.json", pl->json) && exists(pl->partial, "COMMIT");
    if (!*other || committing)
        return ASD_OK;
    if (!force)
        return ASD_FAIL(
            ASD_E_USAGE,
            "%s: not empty (it holds %s); want an empty folder, or -f to replace a synthetic set",
            pl->dir, other);
    if (exists(pl->dir, "dev_data") && !exists(pl->dir, "SYNTH.json"))
        return ASD_FAIL(ASD_E_USAGE,
                        "%s: holds dev_data without SYNTH.json, so it was not made by this "
                        "program; it is never replaced",
                        pl->dir);
    return ASD_OK;
}

static asd_status rename_to(const char *from_dir, const char *from, const char *to_dir,
                            const char *to)
{
    char a[PATH_MAX], b[PATH_MAX];
    ASD_TRY(asd_path(a, "%s/%s", from_dir, from));
    ASD_TRY(asd_path(b, "%s/%s", to_dir, to));
    if (rename(a, b))
        return ASD_FAIL(ASD_E_IO, "%s: cannot rename to %s: %s", a, b, strerror(errno));
    return ASD_OK;
}

static asd_status write_text(const char *folder, const char *name, const char *text)
{
    char path[PATH_MAX];
    ASD_TRY(asd_path(path, "%s/%s", folder, name));
    return asd_write_file(path, text, strlen(text));
}

/* Every step may be the last before a crash; started again, the rest is done. */
static asd_status commit(const plan *pl)
{
    char path[PATH_MAX];
    if (exists(pl->partial, "dev_data")) {
        ASD_TRY(write_text(pl->partial, "COMMIT", ""));
        ASD_TRY(asd_path(path, "%s/SYNTH.json", pl->dir));
        if (unlink(path) && errno != ENOENT)
            return ASD_FAIL(ASD_E_IO, "%s: cannot remove: %s", path, strerror(errno));
        if (exists(pl->dir, "dev_data")) {
            ASD_TRY(asd_path(path, "%s/old", pl->partial));
            ASD_TRY(asd_remove_tree(path));
            ASD_TRY(rename_to(pl->dir, "dev_data", pl->partial, "old"));
        }
        ASD_TRY(rename_to(pl->partial, "dev_data", pl->dir, "dev_data"));
        ASD_TRY(asd_sync_folder(pl->dir));
    }
    ASD_TRY(write_text(pl->dir, "SYNTH.json", pl->json));
    return asd_remove_tree(pl->partial);
}

static asd_status make_all(plan *pl)
{
    char         path[PATH_MAX];
    asd_progress bar;
    int          committing = exists(pl->partial, "COMMIT");
    if (!file_is(pl->partial, "PLAN.json", pl->json)) {
        ASD_TRY(asd_remove_tree(pl->partial));
        ASD_TRY(asd_make_folders(pl->partial));
        ASD_TRY(write_text(pl->partial, "PLAN.json", pl->json));
        committing = 0;
    }
    if (committing && !exists(pl->partial, "dev_data") && exists(pl->dir, "dev_data"))
        return commit(pl); /* only SYNTH.json was missing */
    ASD_TRY(asd_path(path, "%s/dev_data/raw", pl->partial));
    ASD_TRY(asd_make_folders(path));
    asd_progress_init(&bar, "synth", "clips", pl->clips * pl->n_machines, 0);
    for (int k = 0; k < pl->n_machines; ++k)
        ASD_TRY(make_machine(pl, pl->machine[k], k * pl->clips, &bar));
    asd_progress_done(&bar);
    return commit(pl);
}

asd_status asd_synth_write(const asd_synth_params *p, const char *const *machines, int n_machines,
                           const char *dir, int force)
{
    asd_status st       = ASD_OK;
    int        complete = 0;
    plan       pl = {.p = p, .dir = dir, .clips = p->train_source + p->train_target + 4 * p->test};
    ASD_TRY(asd_synth_check(p));
    ASD_TRY(asd_path(pl.partial, "%s/.synth-partial", dir));
    ASD_TRY(choose_machines(&pl, machines, n_machines));
    ASD_TRY(make_json(&pl));
    ASD_GO(done, st, is_complete(&pl, &complete));
    if (complete) {
        asd_note("%s: this set is already there", dir);
        goto done;
    }
    ASD_GO(done, st, check_folder(&pl, force));
    ASD_GO(done, st, asd_make_folders(dir));
    st = make_all(&pl);
done:
    free(pl.json);
    return st;
}
