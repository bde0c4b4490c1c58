/* train_run.c - see train_run.h. */
#include "tools/train_run.h"

#include "base/build.h"
#include "base/file.h"
#include "base/log.h"
#include "base/par.h"
#include "tools/info.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

static int decides_weights(const char *key)
{
    static const char *const no[]  = {"train.log_every_steps", "train.ckpt_"};
    static const char *const yes[] = {"seed", "data.", "front_end.", "model.", "train."};
    for (size_t i = 0; i < sizeof no / sizeof *no; ++i)
        if (!strncmp(key, no[i], strlen(no[i])))
            return 0;
    for (size_t i = 0; i < sizeof yes / sizeof *yes; ++i)
        if (!strncmp(key, yes[i], strlen(yes[i])))
            return 1;
    return 0;
}

asd_status asd_run_train_hash(const asd_cfg *cfg, char hash[33])
{
    char  *text = NULL;
    size_t size = 0;
    FILE  *f    = open_memstream(&text, &size);
    if (!f)
        return ASD_FAIL(ASD_E_OOM, "no memory for the configuration's hash");
    for (const asd_opt *o = asd_cfg_opts; o->key; ++o)
        if (decides_weights(o->key)) {
            fprintf(f, "%s: ", o->key);
            asd_opt_print(o, cfg, f);
            fputc('\n', f);
        }
    if (fclose(f)) {
        free(text);
        return ASD_FAIL(ASD_E_OOM, "no memory for the configuration's hash");
    }
    asd_hash_bytes(text, size, hash);
    free(text);
    return ASD_OK;
}

/* A recipe that embeds has its files in the folder: other streams, another folder, so that a smoke
 * run and a real one do not meet. */
static asd_status add_streams(const asd_cfg *cfg, char hash[33])
{
    char  *text = NULL;
    size_t size = 0;
    FILE  *f    = open_memstream(&text, &size);
    if (f)
        fprintf(f, "%s %d\n", hash, cfg->embed_length);
    for (int64_t i = 0; f && i < cfg->embed_streams.n; ++i)
        fprintf(f, "%s\n", cfg->embed_streams.item[i]);
    if (!f || fclose(f)) {
        free(text);
        return ASD_FAIL(ASD_E_OOM, "no memory for the streams' hash");
    }
    asd_hash_bytes(text, size, hash);
    free(text);
    return ASD_OK;
}

asd_status asd_run_folder(const char *folder, const asd_recipe *recipe, char out[PATH_MAX])
{
    char        hash[33];
    const char *name =
        recipe->cfg.name && *recipe->cfg.name ? recipe->cfg.name : asd_base_name(recipe->path);
    if (folder)
        return asd_path(out, "%s", folder);
    ASD_TRY(asd_run_train_hash(&recipe->cfg, hash));
    if (recipe->cfg.embed_streams.n)
        ASD_TRY(add_streams(&recipe->cfg, hash));
    return asd_path(out, "runs/%s-%.8s", name, hash);
}

static asd_status read_info(asd_run *run)
{
    char         path[PATH_MAX];
    json_error_t why;
    ASD_TRY(asd_path(path, "%s/run.json", run->folder));
    if (!asd_is_file(path))
        return ASD_OK;
    run->info = json_load_file(path, JSON_REJECT_DUPLICATES, &why);
    if (!json_is_object(run->info))
        return ASD_FAIL(ASD_E_DATA, "%s:%d:%d: %s", path, why.line, why.column,
                        run->info ? "not a JSON object" : why.text);
    return ASD_OK;
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *s = json_string_value(json_object_get(object, key));
    return s ? s : "";
}

static asd_status check_config(const asd_run *run, const asd_recipe *recipe)
{
    const char *theirs = text_of(run->info, "train_hash");
    if (strcmp(theirs, run->train_hash))
        return ASD_FAIL(ASD_E_CONFIG,
                        "%s holds a run of another configuration (hash %.8s, \"%s\" gives %.8s); "
                        "choose another --run, or "
                        "compare its config.yaml with --print-config",
                        run->folder, *theirs ? theirs : "unknown", recipe->path, run->train_hash);
    return ASD_OK;
}

static void now_text(char out[32])
{
    time_t    t = time(NULL);
    struct tm tm;
    gmtime_r(&t, &tm);
    strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

static json_t *new_info(const asd_run *run, const asd_recipe *recipe, int argc, char **argv)
{
    char    when[32];
    json_t *command = json_array(), *config = json_object(), *system = info_collect();
    now_text(when);
    for (int i = 0; i < argc; ++i)
        json_array_append_new(command, json_string(argv[i]));
    for (const asd_opt *o = asd_cfg_opts; o->key; ++o) {
        char  *text = NULL;
        size_t size = 0;
        FILE  *f    = NULL;
        if (o->type == ASD_OPT_TEXT) {
            const char *value = *(char *const *)((const char *)&recipe->cfg + o->offset);
            json_object_set_new(config, o->key, value ? json_string(value) : json_null());
        } else if ((f = open_memstream(&text, &size))) {
            asd_opt_print(o, &recipe->cfg, f);
            fclose(f);
            json_object_set_new(config, o->key, json_string(text));
        }
        free(text);
    }
    return json_pack("{s:s, s:s, s:s, s:o, s:s, s:s, s:s, s:s, s:o, s:s, s:i, s:i, s:s, s:o}",
                     "schema", "asd.run/1", "asd_version", asd_build.version, "asd_commit",
                     asd_build.commit, "command", command, "recipe", recipe->path, "name",
                     recipe->cfg.name ? recipe->cfg.name : "", "config_hash", recipe->hash,
                     "train_hash", run->train_hash, "config", config, "started", when, "threads",
                     asd_par_threads(), "ranks", 1, "device", "cpu", "system",
                     system ? system : json_null());
}

static asd_status write_config(const asd_run *run, const asd_recipe *recipe)
{
    char        path[PATH_MAX];
    asd_outfile f;
    ASD_TRY(asd_path(path, "%s/config.yaml", run->folder));
    ASD_TRY(asd_outfile_open(&f, path));
    asd_status st = asd_recipe_print(recipe, 0, f.stream);
    if (st) {
        asd_outfile_abandon(&f);
        return st;
    }
    return asd_outfile_commit(&f);
}

static asd_status lock(asd_run *run)
{
    char path[PATH_MAX];
    ASD_TRY(asd_path(path, "%s/.lock", run->folder));
    run->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (run->lock < 0)
        return ASD_FAIL(ASD_E_IO, "%s: cannot open: %s", path, strerror(errno));
    if (flock(run->lock, LOCK_EX | LOCK_NB))
        return ASD_FAIL(ASD_E_USAGE, "%s: another asd-train is working in this folder",
                        run->folder);
    return ASD_OK;
}

asd_status asd_run_open(asd_run *run, const char *folder, const asd_recipe *recipe, int argc,
                        char **argv)
{
    static const char *const parts[] = {"log", "ckpt"};
    char                     path[PATH_MAX];
    memset(run, 0, sizeof *run);
    run->lock = -1;
    ASD_TRY(asd_run_train_hash(&recipe->cfg, run->train_hash));
    ASD_TRY(asd_run_folder(folder, recipe, run->folder));
    for (size_t i = 0; i < sizeof parts / sizeof *parts; ++i) {
        ASD_TRY(asd_path(path, "%s/%s", run->folder, parts[i]));
        ASD_TRY(asd_make_folders(path));
    }
    ASD_TRY(lock(run));
    ASD_TRY(asd_remove_unfinished(run->folder));
    ASD_TRY(read_info(run));
    if (run->info)
        ASD_TRY(check_config(run, recipe));
    else if (!(run->info = new_info(run, recipe, argc, argv)))
        return ASD_FAIL(ASD_E_OOM, "no memory for run.json");
    ASD_TRY(write_config(run, recipe));
    ASD_TRY(asd_path(path, "%s/log/rank-0.log", run->folder));
    return asd_log_to_file(path);
}

asd_status asd_run_open_done(asd_run *run, const char *folder, const asd_recipe *recipe)
{
    memset(run, 0, sizeof *run);
    run->lock = -1;
    ASD_TRY(asd_run_train_hash(&recipe->cfg, run->train_hash));
    ASD_TRY(asd_run_folder(folder, recipe, run->folder));
    ASD_TRY(read_info(run));
    if (!run->info)
        return ASD_FAIL(ASD_E_DATA,
                        "%s/run.json is not there: train first with `asd-train %s --run %s`",
                        run->folder, recipe->path, run->folder);
    ASD_TRY(check_config(run, recipe));
    if (strcmp(asd_run_state(run), "done"))
        return ASD_FAIL(
            ASD_E_DATA,
            "%s: training is not done (state \"%s\"): start asd-train again to finish it",
            run->folder, asd_run_state(run));
    return ASD_OK;
}

const char *asd_run_state(const asd_run *run)
{
    return text_of(run->info, "state");
}

asd_status asd_run_set_state(asd_run *run, const char *state, int64_t step)
{
    char path[PATH_MAX], when[32];
    now_text(when);
    json_object_set_new(run->info, "state", json_string(state));
    json_object_set_new(run->info, "step", json_integer(step));
    json_object_set_new(run->info, "updated", json_string(when));
    ASD_TRY(asd_path(path, "%s/run.json", run->folder));
    char *text = json_dumps(run->info, JSON_INDENT(2) | JSON_REAL_PRECISION(17));
    if (!text)
        return ASD_FAIL(ASD_E_OOM, "no memory for run.json");
    asd_status st = asd_write_file(path, text, strlen(text));
    free(text);
    return st;
}

void asd_run_close(asd_run *run)
{
    if (run->lock >= 0)
        close(run->lock);
    json_decref(run->info);
    memset(run, 0, sizeof *run);
    run->lock = -1;
}
