/* embed_parts.c - see embed_parts.h. */
#include "data/embed_parts.h"

#include "base/file.h"
#include "base/log.h"
#include "data/embed_key.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum { JOIN_BYTES = 64 << 20 }; /* rows in memory while joining */

typedef struct entry {
    char   *clip;
    char    audio[33];
    int64_t part, row, n_samples, n_rows;
} entry;

struct asd_embed_parts {
    char           path[PATH_MAX], folder[PATH_MAX];
    char          *method, key[33];
    int            lock;
    int64_t        last; /* number of the latest part */
    asd_embed_form form;
    int64_t        D, layers;
    entry         *entry; /* (n) sorted by clip, the latest part of a clip alone */
    int64_t        n;
};

static asd_status part_path(const asd_embed_parts *p, int64_t number, char out[PATH_MAX])
{
    return asd_path(out, "%s/%06lld.h5", p->folder, (long long)number);
}

static int by_clip(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    int          side = strcmp(x->clip, y->clip);
    return side ? side : (x->part < y->part) - (x->part > y->part); /* latest first */
}

static void sort_entries(asd_embed_parts *p)
{
    int64_t kept = 0;
    if (p->n)
        qsort(p->entry, (size_t)p->n, sizeof *p->entry, by_clip);
    for (int64_t i = 0; i < p->n; ++i) {
        if (kept && !strcmp(p->entry[kept - 1].clip, p->entry[i].clip))
            free(p->entry[i].clip);
        else
            p->entry[kept++] = p->entry[i];
    }
    p->n = kept;
}

static asd_status add_entries(asd_embed_parts *p, const asd_embeddings *e, int64_t number)
{
    entry *all = realloc(p->entry, (size_t)(p->n + e->N) * sizeof *all);
    if (!all)
        return ASD_FAIL(ASD_E_OOM, "%s: no memory for %lld clips", p->folder, (long long)e->N);
    p->entry  = all;
    p->form   = e->form;
    p->D      = e->D;
    p->layers = e->rows;
    for (int64_t i = 0; i < e->N; ++i) {
        entry *to = &p->entry[p->n];
        *to       = (entry){.part      = number,
                            .row       = i,
                            .n_samples = e->n_samples[i],
                            .n_rows    = e->n_rows ? e->n_rows[i] : e->rows};
        if (!(to->clip = strdup(e->clip[i])))
            return ASD_FAIL(ASD_E_OOM, "%s: no memory for %s", p->folder, e->clip[i]);
        memcpy(to->audio, e->audio[i], 33);
        ++p->n;
    }
    return ASD_OK;
}

static asd_status take_part(asd_embed_parts *p, int64_t number)
{
    char           path[PATH_MAX];
    asd_embeddings e;
    const char    *why = NULL;
    ASD_TRY(part_path(p, number, path));
    asd_status st = asd_embeddings_read(path, &e);
    if (st == ASD_E_OOM)
        return st;
    if (st)
        why = asd_error_text();
    else if (strcmp(e.key, p->key))
        why = "made in another way";
    else if (p->n && (e.form != p->form || e.D != p->D ||
                      (e.form == ASD_EMBED_LAYERS && e.rows != p->layers)))
        why = "of another shape";
    st = ASD_OK;
    if (why) {
        asd_note("%s: not used: %s", path, why);
        if (unlink(path))
            st = ASD_FAIL(ASD_E_IO, "%s: cannot remove: %s", path, strerror(errno));
    } else {
        st = add_entries(p, &e, number);
    }
    asd_embeddings_clear(&e);
    return st;
}

static asd_status scan(asd_embed_parts *p)
{
    asd_names  names;
    asd_status st = asd_list_folder(p->folder, &names);
    for (int64_t i = 0; i < names.n && !st; ++i) {
        char     *end    = NULL;
        long long number = strtoll(names.name[i], &end, 10);
        if (end == names.name[i] || strcmp(end, ".h5") || number < 1)
            continue;
        p->last = number > p->last ? number : p->last;
        st      = take_part(p, number);
    }
    asd_names_free(&names);
    sort_entries(p);
    return st;
}

static asd_status lock_folder(asd_embed_parts *p)
{
    char path[PATH_MAX];
    ASD_TRY(asd_make_folders(p->folder));
    ASD_TRY(asd_path(path, "%s/lock", p->folder));
    if ((p->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666)) < 0)
        return ASD_FAIL(ASD_E_IO, "%s: cannot open: %s", path, strerror(errno));
    if (flock(p->lock, LOCK_EX | LOCK_NB))
        return ASD_FAIL(ASD_E_USAGE, "%s: another process is making this file", p->path);
    ASD_TRY(asd_remove_unfinished_of(p->path)); /* killed while the parts were joined */
    return asd_remove_unfinished(p->folder);
}

static asd_status folder_of(const char *path, char folder[PATH_MAX])
{
    const char *base = asd_base_name(path);
    return asd_path(folder, "%.*s.%s.part", (int)(base - path), path, base);
}

asd_status asd_embed_parts_remove(const char *path)
{
    char folder[PATH_MAX], file[PATH_MAX];
    ASD_TRY(folder_of(path, folder));
    ASD_TRY(asd_path(file, "%s/lock", folder));
    if (!asd_is_folder(folder))
        return ASD_OK;
    int        lock = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    asd_status st   = ASD_OK;
    if (lock >= 0 && !flock(lock, LOCK_EX | LOCK_NB))
        st = asd_remove_tree(folder);
    if (lock >= 0)
        close(lock);
    return st;
}

asd_status asd_embed_parts_open(const char *path, const char *method, asd_embed_parts **out)
{
    asd_status       st = ASD_OK;
    asd_embed_parts *p  = calloc(1, sizeof *p);
    *out                = NULL;
    if (!p || !(p->method = strdup(method))) {
        free(p);
        return ASD_FAIL(ASD_E_OOM, "%s: no memory to make it", path);
    }
    p->lock = -1;
    asd_hash_bytes(method, strlen(method), p->key);
    ASD_GO(done, st, asd_path(p->path, "%s", path));
    ASD_GO(done, st, folder_of(path, p->folder));
    ASD_GO(done, st, lock_folder(p));
    st = scan(p);
done:
    if (st) {
        asd_embed_parts_close(p);
        return st;
    }
    *out = p;
    return ASD_OK;
}

void asd_embed_parts_close(asd_embed_parts *p)
{
    if (!p)
        return;
    if (p->lock >= 0)
        close(p->lock);
    for (int64_t i = 0; i < p->n; ++i)
        free(p->entry[i].clip);
    free(p->entry);
    free(p->method);
    free(p);
}

static const entry *find(const asd_embed_parts *p, const char *clip)
{
    int64_t low = 0, high = p->n;
    while (low < high) {
        int64_t mid  = low + (high - low) / 2;
        int     side = strcmp(p->entry[mid].clip, clip);
        if (!side)
            return &p->entry[mid];
        if (side < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

const char *asd_embed_parts_audio(const asd_embed_parts *p, const char *clip)
{
    const entry *e = find(p, clip);
    return e ? e->audio : NULL;
}

asd_status asd_embed_parts_add(asd_embed_parts *p, asd_embeddings *e)
{
    char path[PATH_MAX], *const key = e->key, *const material = e->key_material;
    ASD_TRY(part_path(p, p->last + 1, path));
    e->key          = p->key;
    e->key_material = p->method;
    asd_status st   = asd_embed_save(path, e);
    e->key          = key;
    e->key_material = material;
    if (!st)
        st = add_entries(p, e, ++p->last);
    if (!st)
        sort_entries(p);
    return st;
}

/* --- join --- */

/* Head of the whole: names and audio are borrowed. */
static asd_status make_head(const asd_embed_parts *p, char *const *clip, char *const *audio,
                            int64_t n, const entry **from, asd_embeddings *e)
{
    memset(e, 0, sizeof *e);
    e->form      = p->form;
    e->N         = n;
    e->D         = p->D;
    e->rows      = p->form == ASD_EMBED_LAYERS ? p->layers : 1;
    e->clip      = (char **)(uintptr_t)clip;
    e->audio     = (char **)(uintptr_t)audio;
    e->n_samples = malloc((size_t)n * sizeof *e->n_samples);
    e->n_rows    = p->form == ASD_EMBED_ROWS ? malloc((size_t)n * sizeof *e->n_rows) : NULL;
    if (!e->n_samples || (p->form == ASD_EMBED_ROWS && !e->n_rows))
        return ASD_FAIL(ASD_E_OOM, "%s: no memory for %lld clips", p->path, (long long)n);
    for (int64_t i = 0; i < n; ++i) {
        from[i] = find(p, clip[i]);
        ASD_ASSERT(from[i] && !strcmp(from[i]->audio, audio[i]));
        e->n_samples[i] = from[i]->n_samples;
        if (!e->n_rows)
            continue;
        e->n_rows[i] = from[i]->n_rows;
        e->rows      = from[i]->n_rows > e->rows ? from[i]->n_rows : e->rows;
    }
    return asd_embed_key_make(p->method, e, &e->key_material, &e->key);
}

/* The rows of clips first .. first + n - 1 that are in part `number` go into x: (n, rows, D). */
static asd_status take_rows(const asd_embed_parts *p, const entry *const *from,
                            const asd_embeddings *e, int64_t first, int64_t n, int64_t number,
                            float *x)
{
    char            path[PATH_MAX];
    asd_embed_file *f = NULL;
    ASD_TRY(part_path(p, number, path));
    ASD_TRY(asd_embed_open(path, &f));
    int64_t    rows = asd_embed_head(f)->rows;
    float     *clip = malloc((size_t)(rows * e->D) * sizeof *clip);
    asd_status st   = clip ? ASD_OK : ASD_FAIL(ASD_E_OOM, "%s: no memory for a clip", path);
    for (int64_t i = 0; i < n && !st; ++i) {
        const entry *source = from[first + i];
        float       *to     = x + i * e->rows * e->D;
        if (source->part != number || (st = asd_embed_read(f, source->row, 1, clip)))
            continue;
        memcpy(to, clip, (size_t)(source->n_rows * e->D) * sizeof *to);
        for (int64_t k = source->n_rows * e->D; k < e->rows * e->D; ++k)
            to[k] = NAN;
    }
    free(clip);
    asd_embed_close(f);
    return st;
}

static asd_status write_rows(const asd_embed_parts *p, const entry *const *from,
                             const asd_embeddings *e, asd_embed_writer *w)
{
    int64_t one       = e->rows * e->D * (int64_t)sizeof(float);
    int64_t block     = JOIN_BYTES / one < 1 ? 1 : JOIN_BYTES / one;
    block             = block < e->N ? block : e->N;
    float     *x      = malloc((size_t)(block * one));
    int64_t   *looked = calloc((size_t)p->last + 1, sizeof *looked); /* 1 + block, for each part */
    asd_status st     = ASD_OK;
    if (!x || !looked)
        st = ASD_FAIL(ASD_E_OOM, "%s: no memory for %lld bytes", p->path, (long long)(block * one));
    for (int64_t first = 0; first < e->N && !st; first += block) {
        int64_t n = e->N - first < block ? e->N - first : block;
        for (int64_t i = first; i < first + n && !st; ++i) { /* each part is opened once */
            if (looked[from[i]->part] == first + 1)
                continue;
            looked[from[i]->part] = first + 1;
            st                    = take_rows(p, from, e, first, n, from[i]->part, x);
        }
        if (!st)
            st = asd_embed_write(w, n, x);
    }
    free(looked);
    free(x);
    return st;
}

asd_status asd_embed_parts_join(asd_embed_parts *p, char *const *clip, char *const *audio,
                                int64_t n, char key[33])
{
    asd_embed_writer *w    = NULL;
    asd_embeddings    e    = {0};
    const entry     **from = calloc((size_t)n, sizeof(*from));
    asd_status        st   = ASD_OK;
    if (!from)
        return ASD_FAIL(ASD_E_OOM, "%s: no memory for %lld clips", p->path, (long long)n);
    ASD_GO(done, st, make_head(p, clip, audio, n, from, &e));
    ASD_GO(done, st, asd_embed_create(p->path, &e, &w));
    snprintf(key, 33, "%s", e.key);
    st = write_rows(p, from, &e, w);
    if (st)
        asd_embed_abandon(w);
    else
        st = asd_embed_commit(w);
    if (!st)
        st = asd_remove_tree(p->folder);
done:
    free(e.n_samples);
    free(e.n_rows);
    free(e.key);
    free(e.key_material);
    free(from);
    return st;
}
