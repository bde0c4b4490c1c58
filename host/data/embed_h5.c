/* embed_h5.c - see embed_h5.h: the half that writes. */
#include "base/file.h"
#include "data/embed_h5_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct asd_embed_writer {
    char           path[PATH_MAX], tmp[PATH_MAX];
    asd_embed_form form;
    int64_t        N, rows, D, written;
    hid_t          file, set;
    XXH3_state_t  *hash;
};

/* --- pieces of a file; < 0 on failure --- */

static hid_t text_type(size_t width, H5T_cset_t set)
{
    hid_t t = H5Tcopy(H5T_C_S1);
    if (t >= 0 && (H5Tset_size(t, width) < 0 || H5Tset_strpad(t, H5T_STR_NULLPAD) < 0 ||
                   H5Tset_cset(t, set) < 0)) {
        H5Tclose(t);
        return -1;
    }
    return t;
}

/* dims NULL: a virtual data set's properties are given, else it lies in one piece. Times of
 * creation are left out, so that equal contents are equal files. */
static hid_t make_set(hid_t file, const char *name, hid_t type, int rank, const hsize_t *dims,
                      hid_t given)
{
    hid_t set = -1, p = given >= 0 ? given : H5Pcreate(H5P_DATASET_CREATE);
    hid_t space = H5Screate_simple(rank, dims, NULL);
    if (p >= 0 && space >= 0 && H5Pset_obj_track_times(p, 0) >= 0 &&
        (given >= 0 || (H5Pset_alloc_time(p, H5D_ALLOC_TIME_EARLY) >= 0 &&
                        H5Pset_fill_time(p, H5D_FILL_TIME_NEVER) >= 0)))
        set = H5Dcreate2(file, name, type, space, H5P_DEFAULT, p, H5P_DEFAULT);
    if (space >= 0)
        H5Sclose(space);
    if (p >= 0 && given < 0)
        H5Pclose(p);
    return set;
}

static int put_list(hid_t file, const char *name, hid_t stored, hid_t memory, int64_t n,
                    const void *data)
{
    hsize_t dims = (hsize_t)n;
    hid_t   set  = make_set(file, name, stored, 1, &dims, -1);
    if (set < 0)
        return -1;
    herr_t bad = H5Dwrite(set, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, data);
    return H5Dclose(set) < 0 || bad < 0 ? -1 : 0;
}

static int put_attribute(hid_t file, const char *name, hid_t stored, hid_t memory, const void *data)
{
    hid_t space = H5Screate(H5S_SCALAR), a = -1;
    int   bad = 1;
    if (space >= 0 && (a = H5Acreate2(file, name, stored, space, H5P_DEFAULT, H5P_DEFAULT)) >= 0) {
        bad = H5Awrite(a, memory, data) < 0;
        bad |= H5Aclose(a) < 0;
    }
    if (space >= 0)
        H5Sclose(space);
    return bad ? -1 : 0;
}

static int put_text(hid_t file, const char *name, const char *text)
{
    hid_t type = text_type(strlen(text) ? strlen(text) : 1, H5T_CSET_UTF8);
    int   bad  = type < 0 || put_attribute(file, name, type, type, text) < 0;
    if (type >= 0)
        H5Tclose(type);
    return bad ? -1 : 0;
}

static int put_number(hid_t file, const char *name, int64_t value)
{
    return put_attribute(file, name, H5T_STD_I64LE, H5T_NATIVE_INT64, &value);
}

static int put_texts(hid_t file, const char *name, char *const *text, int64_t n, size_t width,
                     H5T_cset_t set)
{
    hid_t type   = text_type(width, set);
    char *packed = asd_h5_pack(text, n, width);
    int   bad    = type < 0 || !packed || put_list(file, name, type, type, n, packed) < 0;
    if (type >= 0)
        H5Tclose(type);
    free(packed);
    return bad ? -1 : 0;
}

static int put_head(hid_t file, const asd_embeddings *e)
{
    return put_texts(file, "clip", e->clip, e->N, asd_h5_width(e->clip, e->N), H5T_CSET_UTF8) < 0 ||
                   put_list(file, "n_samples", H5T_STD_I64LE, H5T_NATIVE_INT64, e->N,
                            e->n_samples) < 0 ||
                   (e->n_rows && put_list(file, "n_rows", H5T_STD_I64LE, H5T_NATIVE_INT64, e->N,
                                          e->n_rows) < 0) ||
                   put_texts(file, "audio", e->audio, e->N, ASD_EMBED_HASH_DIGITS, H5T_CSET_ASCII) <
                       0 ||
                   put_text(file, "key", e->key) < 0 ||
                   put_text(file, "key_material", e->key_material) < 0 ||
                   put_number(file, "format_version", ASD_EMBED_FORMAT) < 0
               ? -1
               : 0;
}

/* --- writer --- */

static asd_status check_head(const char *path, const asd_embeddings *e)
{
    ASD_ASSERT(e->N > 0 && e->rows > 0 && e->D > 0 && e->clip && e->n_samples && e->audio);
    ASD_ASSERT((e->form == ASD_EMBED_ROWS) == (e->n_rows != NULL));
    ASD_ASSERT(e->form != ASD_EMBED_PLAIN || e->rows == 1);
    ASD_ASSERT(e->key && e->key_material && strlen(e->key_material) <= ASD_EMBED_MAX_TEXT);
    for (int64_t i = 0; i < e->N; ++i) {
        ASD_ASSERT(strlen(e->audio[i]) == ASD_EMBED_HASH_DIGITS);
        if (!*e->clip[i] || strlen(e->clip[i]) > ASD_EMBED_MAX_NAME)
            return ASD_FAIL(ASD_E_DATA, "%s: clip name \"%.80s\" of %zu bytes, want 1 to %d", path,
                            e->clip[i], strlen(e->clip[i]), ASD_EMBED_MAX_NAME);
        if (i && strcmp(e->clip[i - 1], e->clip[i]) >= 0)
            return ASD_FAIL(ASD_E_DATA, "%s: clip %s after %s: want ascending names, none twice",
                            path, e->clip[i], e->clip[i - 1]);
    }
    return ASD_OK;
}

static asd_status begin(const char *path, const asd_embeddings *head, asd_embed_writer **out)
{
    asd_status        st     = ASD_OK;
    hid_t             access = -1, creation = -1;
    const char       *base = asd_base_name(path);
    asd_embed_writer *w    = calloc(1, sizeof *w);
    *out                   = NULL;
    if (!w || !(w->hash = XXH3_createState())) {
        free(w);
        return ASD_FAIL(ASD_E_OOM, "%s: no memory to write it", path);
    }
    w->file = w->set = -1;
    w->form          = head->form;
    w->N = head->N, w->rows = head->rows, w->D = head->D;
    ASD_GO(done, st, check_head(path, head));
    ASD_GO(done, st, asd_path(w->path, "%s", path));
    /* keep in step with asd_outfile_open: asd_remove_unfinished knows these names */
    ASD_GO(done, st,
           asd_path(w->tmp, "%.*s.%s.tmp-%ld", (int)(base - path), path, base, (long)getpid()));
    ASD_GO(done, st, asd_h5_hash_head(w->hash, head, path));
    if ((access = asd_h5_access()) < 0 || (creation = H5Pcreate(H5P_FILE_CREATE)) < 0 ||
        H5Pset_obj_track_times(creation, 0) < 0 ||
        (w->file = H5Fcreate(w->tmp, H5F_ACC_TRUNC, creation, access)) < 0 ||
        put_head(w->file, head) < 0)
        st = asd_h5_fail(ASD_E_IO, path, "cannot write");
done:
    if (access >= 0)
        H5Pclose(access);
    if (creation >= 0)
        H5Pclose(creation);
    *out = w;
    return st;
}

static void finish(asd_embed_writer *w)
{
    if (w->set >= 0)
        H5Dclose(w->set);
    if (w->file >= 0)
        H5Fclose(w->file);
    if (*w->tmp)
        unlink(w->tmp);
    XXH3_freeState(w->hash);
    free(w);
}

void asd_embed_abandon(asd_embed_writer *w)
{
    asd_h5_quiet quiet;
    if (!w)
        return;
    asd_h5_enter(&quiet);
    finish(w);
    asd_h5_leave(&quiet);
}

asd_status asd_embed_create(const char *path, const asd_embeddings *head, asd_embed_writer **out)
{
    hsize_t      dims[3];
    int          rank = asd_h5_dims(head, dims);
    asd_h5_quiet quiet;
    asd_h5_enter(&quiet);
    asd_status st = begin(path, head, out);
    if (!st && ((*out)->set =
                    make_set((*out)->file, ASD_EMBED_DATASET, H5T_IEEE_F32LE, rank, dims, -1)) < 0)
        st = asd_h5_fail(ASD_E_IO, path, "cannot write");
    asd_h5_leave(&quiet);
    if (st) {
        asd_embed_abandon(*out);
        *out = NULL;
    }
    return st;
}

asd_status asd_embed_write(asd_embed_writer *w, int64_t n, const float *x)
{
    asd_embeddings part     = {.form = w->form, .N = n, .rows = w->rows, .D = w->D};
    hsize_t        count[3] = {0}, start[3] = {(hsize_t)w->written, 0, 0};
    int            rank = asd_h5_dims(&part, count);
    asd_status     st   = ASD_OK;
    asd_h5_quiet   quiet;
    ASD_ASSERT(n > 0 && w->written + n <= w->N && w->set >= 0);
    asd_h5_enter(&quiet);
    hid_t memory = H5Screate_simple(rank, count, NULL), stored = H5Dget_space(w->set);
    if (memory < 0 || stored < 0 ||
        H5Sselect_hyperslab(stored, H5S_SELECT_SET, start, NULL, count, NULL) < 0 ||
        H5Dwrite(w->set, H5T_NATIVE_FLOAT, memory, stored, H5P_DEFAULT, x) < 0)
        st = asd_h5_fail(ASD_E_IO, w->path, "cannot write");
    if (memory >= 0)
        H5Sclose(memory);
    if (stored >= 0)
        H5Sclose(stored);
    asd_h5_leave(&quiet);
    if (!st)
        XXH3_128bits_update(w->hash, x, (size_t)(n * w->rows * w->D) * sizeof *x);
    w->written += n;
    return st;
}

static asd_status sync_and_rename(const asd_embed_writer *w)
{
    char        folder[PATH_MAX];
    const char *base = asd_base_name(w->path);
    int         fd   = open(w->tmp, O_RDWR | O_CLOEXEC);
    int         bad  = fd < 0 || fsync(fd);
    int         why  = errno;
    if (fd >= 0 && close(fd) && !bad)
        bad = 1, why = errno;
    if (!bad && rename(w->tmp, w->path))
        bad = 1, why = errno;
    if (bad)
        return ASD_FAIL(ASD_E_IO, "%s: cannot write: %s", w->path, strerror(why));
    ASD_TRY(asd_path(folder, "%.*s", (int)(base - w->path), w->path));
    return asd_sync_folder(*folder ? folder : ".");
}

/* `complete` is written when everything else is in the file; then closing it must succeed too,
 * because that is when the last bytes meet a full disk. */
static asd_status commit(asd_embed_writer *w)
{
    char       hex[ASD_EMBED_HASH_DIGITS + 1];
    asd_status st = ASD_OK;
    asd_h5_hash_end(w->hash, hex);
    herr_t bad = H5Dclose(w->set);
    w->set     = -1;
    if (bad < 0 || put_text(w->file, "content_hash", hex) < 0 ||
        H5Fflush(w->file, H5F_SCOPE_LOCAL) < 0 || put_number(w->file, "complete", 1) < 0)
        st = asd_h5_fail(ASD_E_IO, w->path, "cannot write");
    if (!st) {
        bad     = H5Fclose(w->file);
        w->file = -1;
        if (bad < 0)
            st = asd_h5_fail(ASD_E_IO, w->path, "cannot write");
    }
    return st ? st : sync_and_rename(w);
}

asd_status asd_embed_commit(asd_embed_writer *w)
{
    asd_h5_quiet quiet;
    ASD_ASSERT(w->written == w->N);
    asd_h5_enter(&quiet);
    asd_status st = commit(w);
    if (!st)
        *w->tmp = 0;
    finish(w);
    asd_h5_leave(&quiet);
    return st;
}

asd_status asd_embed_save(const char *path, const asd_embeddings *e)
{
    asd_embed_writer *w;
    ASD_TRY(asd_embed_create(path, e, &w));
    asd_status st = asd_embed_write(w, e->N, e->x);
    if (!st)
        return asd_embed_commit(w);
    asd_embed_abandon(w);
    return st;
}

/* --- join --- */

typedef struct join_job {
    const char      *path;
    asd_embed_file **shard; /* (n) */
    char *const     *name;
    int64_t          n;
    asd_embeddings   whole;
} join_job;

/* The whole borrows the texts of the shards' heads. */
static asd_status gather(join_job *j)
{
    asd_embeddings *e = &j->whole;
    for (int64_t i = 0; i < j->n; ++i) {
        const asd_embeddings *s = asd_embed_head(j->shard[i]);
        if (i && (s->form != e->form || s->D != e->D ||
                  (s->form == ASD_EMBED_LAYERS && s->rows != e->rows)))
            return ASD_FAIL(ASD_E_DATA, "%s: %lld x %lld values a clip, %s has %lld x %lld",
                            j->name[i], (long long)s->rows, (long long)s->D, j->name[0],
                            (long long)e->rows, (long long)e->D);
        e->form = s->form;
        e->D    = s->D;
        e->rows = s->rows > e->rows ? s->rows : e->rows;
        e->N += s->N;
    }
    size_t n     = (size_t)e->N;
    e->clip      = malloc(n * sizeof *e->clip);
    e->audio     = malloc(n * sizeof *e->audio);
    e->n_samples = malloc(n * sizeof *e->n_samples);
    e->n_rows    = e->form == ASD_EMBED_ROWS ? malloc(n * sizeof *e->n_rows) : NULL;
    if (!e->clip || !e->audio || !e->n_samples || (e->form == ASD_EMBED_ROWS && !e->n_rows))
        return ASD_FAIL(ASD_E_OOM, "%s: no memory for %zu clips", j->path, n);
    for (int64_t i = 0, at = 0; i < j->n; at += asd_embed_head(j->shard[i])->N, ++i) {
        const asd_embeddings *s = asd_embed_head(j->shard[i]);
        memcpy(e->clip + at, s->clip, (size_t)s->N * sizeof *s->clip);
        memcpy(e->audio + at, s->audio, (size_t)s->N * sizeof *s->audio);
        memcpy(e->n_samples + at, s->n_samples, (size_t)s->N * sizeof *s->n_samples);
        if (e->n_rows)
            memcpy(e->n_rows + at, s->n_rows, (size_t)s->N * sizeof *s->n_rows);
    }
    return ASD_OK;
}

/* H5Pset_virtual takes the file's name as a pattern in which %b stands for a number. */
static asd_status escape(const char *name, char out[PATH_MAX])
{
    size_t n = 0;
    for (; *name && n + 3 < PATH_MAX; ++name) {
        if (*name == '%')
            out[n++] = '%';
        out[n++] = *name;
    }
    out[n] = 0;
    return *name ? ASD_FAIL(ASD_E_IO, "%s: name too long for a shard", out) : ASD_OK;
}

static asd_status map_shards(const join_job *j, hid_t properties)
{
    hsize_t     whole[3], start[3] = {0};
    int         rank   = asd_h5_dims(&j->whole, whole);
    const float filler = NAN;
    asd_status  st     = ASD_OK;
    if (H5Pset_fill_value(properties, H5T_NATIVE_FLOAT, &filler) < 0)
        return asd_h5_fail(ASD_E_IO, j->path, "cannot join");
    for (int64_t i = 0; i < j->n && !st; ++i) {
        hsize_t dims[3];
        char    name[PATH_MAX];
        asd_h5_dims(asd_embed_head(j->shard[i]), dims);
        ASD_TRY(escape(j->name[i], name));
        hid_t to = H5Screate_simple(rank, whole, NULL), from = H5Screate_simple(rank, dims, NULL);
        if (to < 0 || from < 0 ||
            H5Sselect_hyperslab(to, H5S_SELECT_SET, start, NULL, dims, NULL) < 0 ||
            H5Pset_virtual(properties, to, name, "/" ASD_EMBED_DATASET, from) < 0)
            st = asd_h5_fail(ASD_E_IO, j->path, "cannot join");
        if (to >= 0)
            H5Sclose(to);
        if (from >= 0)
            H5Sclose(from);
        start[0] += dims[0];
    }
    return st;
}

static asd_status write_joined(const join_job *j)
{
    asd_embed_writer *w  = NULL;
    asd_status        st = begin(j->path, &j->whole, &w);
    hsize_t           dims[3];
    int               rank = asd_h5_dims(&j->whole, dims);
    hid_t             p    = H5Pcreate(H5P_DATASET_CREATE);
    if (!st && p < 0)
        st = asd_h5_fail(ASD_E_IO, j->path, "cannot join");
    if (!st)
        st = map_shards(j, p);
    if (!st && (w->set = make_set(w->file, ASD_EMBED_DATASET, H5T_IEEE_F32LE, rank, dims, p)) < 0)
        st = asd_h5_fail(ASD_E_IO, j->path, "cannot join");
    if (!st && !(st = commit(w)))
        *w->tmp = 0;
    if (p >= 0)
        H5Pclose(p);
    if (w)
        finish(w);
    return st;
}

asd_status asd_embed_join(const char *path, char *const *shards, int64_t n, const char *key,
                          const char *key_material)
{
    asd_status   st   = ASD_OK;
    const char  *base = asd_base_name(path);
    char         shard[PATH_MAX];
    asd_h5_quiet quiet;
    join_job     j = {.path = path, .name = shards, .n = n};
    ASD_ASSERT(n > 0);
    j.whole.key          = (char *)(uintptr_t)key; /* borrowed, only read */
    j.whole.key_material = (char *)(uintptr_t)key_material;
    if (!(j.shard = calloc((size_t)n, sizeof(*j.shard))))
        return ASD_FAIL(ASD_E_OOM, "%s: no memory for %lld shards", path, (long long)n);
    for (int64_t i = 0; i < n; ++i) {
        ASD_ASSERT(!strchr(shards[i], '/'));
        ASD_GO(done, st, asd_path(shard, "%.*s%s", (int)(base - path), path, shards[i]));
        ASD_GO(done, st, asd_embed_open(shard, &j.shard[i]));
    }
    ASD_GO(done, st, gather(&j));
    asd_h5_enter(&quiet);
    st = write_joined(&j);
    asd_h5_leave(&quiet);
done:
    for (int64_t i = 0; i < n; ++i)
        asd_embed_close(j.shard[i]);
    free(j.shard);
    free(j.whole.clip);
    free(j.whole.audio);
    free(j.whole.n_samples);
    free(j.whole.n_rows);
    return st;
}
