/* embed_shards.c - the files of several processes become one. See embed_run.h. */
#include "base/log.h"
#include "data/embed_key.h"
#include "data/embed_run_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

asd_status asd_embed_shard_path(const char *path, int64_t shard, int64_t n_shards, char *out)
{
    size_t n   = strlen(path);
    int    cut = n > 3 && !strcmp(path + n - 3, ".h5") ? 3 : 0;
    return asd_path(out, "%.*s.%lld-of-%lld.h5", (int)n - cut, path, (long long)shard,
                    (long long)n_shards);
}

/* All shards' clips and audio, to make the whole's key from. */
typedef struct gathering {
    char           **clip, **audio;
    int64_t          n;
    asd_embed_file **file; /* (n_shards) whose texts they are */
} gathering;

/* *method: "" takes the shard's. Owned by the caller. */
static asd_status add_shard(gathering *g, asd_embed_file *f, const char *path, char **method)
{
    const asd_embeddings *e    = asd_embed_head(f);
    char                 *have = NULL, why[1024];
    ASD_TRY(asd_embed_key_method(path, e->key_material, &have));
    if (!**method) {
        free(*method);
        *method = have;
        have    = NULL;
    }
    int same = !have || !strcmp(have, *method);
    if (!same)
        asd_embed_difference(have, *method, why, sizeof why);
    free(have);
    if (!same)
        return ASD_FAIL(ASD_E_DATA, "%s: made in another way than is wanted: %s", path, why);
    char **clip = realloc(g->clip, (size_t)(g->n + e->N) * sizeof *clip);
    if (clip)
        g->clip = clip;
    char **audio = realloc(g->audio, (size_t)(g->n + e->N) * sizeof *audio);
    if (audio)
        g->audio = audio;
    if (!clip || !audio)
        return ASD_FAIL(ASD_E_OOM, "%s: no memory for its clips", path);
    memcpy(g->clip + g->n, e->clip, (size_t)e->N * sizeof *clip);
    memcpy(g->audio + g->n, e->audio, (size_t)e->N * sizeof *audio);
    g->n += e->N;
    return ASD_OK;
}

/* Somebody's file is not replaced by the joined one unasked; an earlier one of this method is. */
static asd_status check_target(const char *path, const char *method)
{
    asd_embed_file *f    = NULL;
    char           *have = NULL, why[1024];
    asd_status      st   = ASD_OK;
    switch (asd_embed_look(path)) {
    case ASD_EMBED_ABSENT:
    case ASD_EMBED_UNFINISHED: return ASD_OK;
    case ASD_EMBED_OTHER:
        return ASD_FAIL(ASD_E_DATA, "%s: in the way of the joined file; -f replaces it", path);
    case ASD_EMBED_COMPLETE: break;
    }
    ASD_TRY(asd_embed_open(path, &f));
    st = asd_embed_key_method(path, asd_embed_head(f)->key_material, &have);
    if (!st && strcmp(have, method))
        st = ASD_FAIL(ASD_E_DATA,
                      "%s: in the way of the joined file, and made in another way: %s; -f replaces "
                      "it",
                      path, asd_embed_difference(have, method, why, sizeof why));
    free(have);
    asd_embed_close(f);
    return st;
}

asd_status asd_embed_join_shards(const char *path, int64_t n_shards, const char *wanted, int force)
{
    asd_status st       = ASD_OK;
    char     **name     = calloc((size_t)n_shards, sizeof *name);
    char      *material = NULL, *key = NULL, *method = strdup(wanted ? wanted : "");
    char       shard[PATH_MAX];
    gathering  g = {.file = calloc((size_t)n_shards, sizeof(*g.file))};
    if (!name || !g.file || !method) {
        st = ASD_FAIL(ASD_E_OOM, "%s: no memory for %lld shards", path, (long long)n_shards);
        goto done;
    }
    for (int64_t i = 0; i < n_shards; ++i) {
        ASD_GO(done, st, asd_embed_shard_path(path, i + 1, n_shards, shard));
        ASD_GO(done, st, asd_embed_open(shard, &g.file[i]));
        ASD_GO(done, st, add_shard(&g, g.file[i], shard, &method));
        if (!(name[i] = strdup(asd_base_name(shard)))) {
            st = ASD_FAIL(ASD_E_OOM, "%s: no memory for its name", shard);
            goto done;
        }
    }
    if (!force)
        ASD_GO(done, st, check_target(path, method));
    asd_embeddings whole = {.N = g.n, .clip = g.clip, .audio = g.audio};
    ASD_GO(done, st, asd_embed_key_make(method, &whole, &material, &key));
    st = asd_embed_join(path, name, n_shards, key, material);
done:
    for (int64_t i = 0; i < n_shards; ++i) {
        if (g.file)
            asd_embed_close(g.file[i]);
        if (name)
            free(name[i]);
    }
    free(g.file);
    free(name);
    free(g.clip);
    free(g.audio);
    free(material);
    free(method);
    free(key);
    return st;
}

void embed_shard_range(const asd_embed_job *j, int64_t shard, int64_t *first, int64_t *end)
{
    int64_t n = j->n_shards > 1 ? j->n_shards : 1;
    *first    = j->n * (shard - 1) / n;
    *end      = j->n * shard / n;
}

/* *why: "" for a shard of this job's clips, made as o is. Their sound is for its own process. */
static asd_status check_shard(const asd_embed_job *j, const asd_embed_output *o, int64_t shard,
                              const char *path, char *why, size_t size)
{
    asd_embed_file *f    = NULL;
    char           *have = NULL;
    int64_t         first, end;
    *why = 0;
    ASD_TRY(asd_embed_open(path, &f));
    const asd_embeddings *e  = asd_embed_head(f);
    asd_status            st = asd_embed_key_method(path, e->key_material, &have);
    embed_shard_range(j, shard, &first, &end);
    if (!st && strcmp(have, o->method))
        asd_embed_difference(have, o->method, why, size);
    else if (!st && e->N != end - first)
        snprintf(why, size, "%lld clips, want %lld", (long long)e->N, (long long)(end - first));
    for (int64_t i = 0; !st && !*why && i < e->N; ++i)
        if (strcmp(e->clip[i], j->clip[first + i].name) != 0)
            snprintf(why, size, "it has %.300s, want %.300s", e->clip[i], j->clip[first + i].name);
    free(have);
    asd_embed_close(f);
    return st;
}

asd_status asd_embed_join_if_last(const asd_embed_job *j, asd_embed_output *o)
{
    char shard[PATH_MAX], folder[PATH_MAX], why[1024];
    for (int64_t i = 1; i <= j->n_shards; ++i) {
        ASD_TRY(asd_embed_shard_path(o->path, i, j->n_shards, shard));
        if (asd_embed_look(shard) != ASD_EMBED_COMPLETE)
            return ASD_OK;
    }
    for (int64_t i = 1; i <= j->n_shards; ++i) {
        ASD_TRY(asd_embed_shard_path(o->path, i, j->n_shards, shard));
        ASD_TRY(check_shard(j, o, i, shard, why, sizeof why));
        if (*why && !j->force)
            return ASD_FAIL(ASD_E_DATA, "%s: not joined with the others: %s; -f makes it anew",
                            shard, why);
        if (*why) {
            asd_note("%s: not joined before it is made anew: %s", shard, why);
            return ASD_OK;
        }
    }
    /* Two that finish together write the same bytes under names of their own, one after the other.
     */
    const char *base = asd_base_name(o->path);
    ASD_TRY(asd_path(folder, "%.*s", (int)(base - o->path), o->path));
    int lock = open(*folder ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (lock < 0 || flock(lock, LOCK_EX)) {
        asd_status st =
            ASD_FAIL(ASD_E_IO, "%s: cannot lock: %s", *folder ? folder : ".", strerror(errno));
        if (lock >= 0)
            close(lock);
        return st;
    }
    asd_status st = asd_remove_unfinished_of(o->path);
    if (!st)
        st = asd_embed_join_shards(o->path, j->n_shards, o->method, j->force);
    close(lock);
    o->joined = !st;
    return st;
}
