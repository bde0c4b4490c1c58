/* embed_h5_read.c - see embed_h5.h: the half that reads.
 *
 * Every size is compared with the file's own length before memory is taken for it, so a damaged
 * file cannot ask for more than it holds.
 */
#include "base/file.h"
#include "data/embed_h5_parts.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct asd_embed_file {
    char             path[PATH_MAX];
    char             content_hash[ASD_EMBED_HASH_DIGITS + 1];
    uint64_t         bytes; /* of the file */
    asd_embeddings   head;
    hid_t            file, set;
    asd_embed_file **shard; /* (n_shards), NULL when the rows are in this file */
    int64_t         *first; /* (n_shards + 1) their first clips */
    int64_t          n_shards;
};

static asd_status broken(const asd_embed_file *f, const char *what)
{
    return asd_h5_fail(ASD_E_DATA, f->path, what);
}

/* --- attributes --- */

static asd_status open_attribute(const asd_embed_file *f, const char *name, H5T_class_t want,
                                 hid_t *a, hid_t *type)
{
    asd_status st    = ASD_OK;
    hid_t      space = -1;
    *type            = -1;
    if ((*a = H5Aopen(f->file, name, H5P_DEFAULT)) < 0)
        return ASD_FAIL(ASD_E_DATA, "%s: there is no attribute \"%s\"", f->path, name);
    if ((*type = H5Aget_type(*a)) < 0 || (space = H5Aget_space(*a)) < 0)
        st = broken(f, name);
    else if (H5Tget_class(*type) != want || H5Sget_simple_extent_npoints(space) != 1 ||
             (want == H5T_STRING && H5Tis_variable_str(*type) != 0))
        st = ASD_FAIL(ASD_E_DATA, "%s: attribute \"%s\" is not one %s", f->path, name,
                      want == H5T_STRING ? "text of fixed length" : "whole number");
    if (space >= 0)
        H5Sclose(space);
    return st;
}

static void close_attribute(hid_t a, hid_t type)
{
    if (type >= 0)
        H5Tclose(type);
    if (a >= 0)
        H5Aclose(a);
}

static asd_status get_number(const asd_embed_file *f, const char *name, int64_t *out)
{
    hid_t      a, type;
    asd_status st = open_attribute(f, name, H5T_INTEGER, &a, &type);
    if (!st && H5Aread(a, H5T_NATIVE_INT64, out) < 0)
        st = broken(f, name);
    close_attribute(a, type);
    return st;
}

static asd_status get_text(const asd_embed_file *f, const char *name, size_t most, char **out)
{
    hid_t      a, type;
    asd_status st   = open_attribute(f, name, H5T_STRING, &a, &type);
    size_t     size = st ? 0 : H5Tget_size(type);
    if (!st && (!size || size > most))
        st = ASD_FAIL(ASD_E_DATA, "%s: attribute \"%s\" of %zu bytes, want 1 to %zu", f->path, name,
                      size, most);
    if (!st && !(*out = calloc(size + 1, 1)))
        st = ASD_FAIL(ASD_E_OOM, "%s: no memory for \"%s\"", f->path, name);
    if (!st && H5Aread(a, type, *out) < 0)
        st = broken(f, name);
    close_attribute(a, type);
    return st;
}

/* --- lists --- */

typedef struct list {
    hid_t  set, type;
    size_t width;
} list;

static void close_list(list *l)
{
    if (l->type >= 0)
        H5Tclose(l->type);
    if (l->set >= 0)
        H5Dclose(l->set);
}

/* A data set of N values of this class; call close_list on any return. */
static asd_status open_list(const asd_embed_file *f, const char *name, H5T_class_t want, list *l)
{
    hid_t      space = -1;
    hsize_t    n     = 0;
    asd_status st    = ASD_OK;
    l->type          = -1;
    if ((l->set = H5Dopen2(f->file, name, H5P_DEFAULT)) < 0)
        return ASD_FAIL(ASD_E_DATA, "%s: there is no data set \"%s\"", f->path, name);
    if ((l->type = H5Dget_type(l->set)) < 0 || (space = H5Dget_space(l->set)) < 0) {
        st = broken(f, name);
    } else if (H5Sget_simple_extent_ndims(space) != 1 ||
               H5Sget_simple_extent_dims(space, &n, NULL) < 0 || n != (hsize_t)f->head.N) {
        st = ASD_FAIL(ASD_E_DATA, "%s: \"%s\" has %lld values, \"embedding\" %lld clips", f->path,
                      name, (long long)n, (long long)f->head.N);
    } else if (H5Tget_class(l->type) != want ||
               (want == H5T_STRING && H5Tis_variable_str(l->type) != 0)) {
        st = ASD_FAIL(ASD_E_DATA, "%s: \"%s\" does not hold %s", f->path, name,
                      want == H5T_STRING ? "texts of fixed length" : "whole numbers");
    } else {
        l->width = H5Tget_size(l->type);
        if (!l->width || l->width > ASD_EMBED_MAX_NAME || n > f->bytes / l->width)
            st = ASD_FAIL(ASD_E_DATA,
                          "%s: \"%s\" claims %lld values of %zu bytes, the file has %lld", f->path,
                          name, (long long)n, l->width, (long long)f->bytes);
    }
    if (space >= 0)
        H5Sclose(space);
    return st;
}

static asd_status get_numbers(const asd_embed_file *f, const char *name, int64_t min, int64_t max,
                              int64_t **out)
{
    list       l;
    asd_status st = open_list(f, name, H5T_INTEGER, &l);
    if (!st && !(*out = calloc((size_t)f->head.N, sizeof **out)))
        st = ASD_FAIL(ASD_E_OOM, "%s: no memory for \"%s\"", f->path, name);
    if (!st && H5Dread(l.set, H5T_NATIVE_INT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, *out) < 0)
        st = broken(f, name);
    for (int64_t i = 0; i < f->head.N && !st; ++i)
        if ((*out)[i] < min || (*out)[i] > max)
            st = ASD_FAIL(ASD_E_DATA, "%s: %s[%lld] is %lld, want %lld to %lld", f->path, name,
                          (long long)i, (long long)(*out)[i], (long long)min, (long long)max);
    close_list(&l);
    return st;
}

static asd_status get_texts(const asd_embed_file *f, const char *name, char ***out)
{
    list       l;
    char      *packed = NULL;
    size_t     n      = (size_t)f->head.N;
    asd_status st     = open_list(f, name, H5T_STRING, &l);
    if (!st && (!(packed = malloc(n * l.width + 1)) || !(*out = calloc(n, sizeof **out))))
        st = ASD_FAIL(ASD_E_OOM, "%s: no memory for \"%s\"", f->path, name);
    if (!st && H5Dread(l.set, l.type, H5S_ALL, H5S_ALL, H5P_DEFAULT, packed) < 0)
        st = broken(f, name);
    if (!st)
        packed[n * l.width] = '\0';
    for (size_t i = 0; i < n && !st; ++i)
        if (!((*out)[i] = strndup(packed + i * l.width, l.width)))
            st = ASD_FAIL(ASD_E_OOM, "%s: no memory for \"%s\"", f->path, name);
    free(packed);
    close_list(&l);
    return st;
}

static asd_status get_lists(asd_embed_file *f)
{
    asd_embeddings *e = &f->head;
    ASD_TRY(get_texts(f, "clip", &e->clip));
    ASD_TRY(get_texts(f, "audio", &e->audio));
    ASD_TRY(get_numbers(f, "n_samples", 1, INT64_MAX, &e->n_samples));
    if (e->form == ASD_EMBED_ROWS)
        ASD_TRY(get_numbers(f, "n_rows", 0, e->rows, &e->n_rows));
    for (int64_t i = 0; i < e->N; ++i) {
        if (strlen(e->audio[i]) != ASD_EMBED_HASH_DIGITS)
            return ASD_FAIL(ASD_E_DATA, "%s: audio[%lld] is \"%s\", want %d digits", f->path,
                            (long long)i, e->audio[i], ASD_EMBED_HASH_DIGITS);
        if (!*e->clip[i] || (i && strcmp(e->clip[i - 1], e->clip[i]) >= 0))
            return ASD_FAIL(ASD_E_DATA, "%s: clip[%lld] is \"%s\": want ascending names", f->path,
                            (long long)i, e->clip[i]);
    }
    return ASD_OK;
}

/* --- the embedding --- */

static asd_status get_shape(asd_embed_file *f)
{
    asd_embeddings *e       = &f->head;
    hsize_t         dims[3] = {0};
    hid_t           space = H5Dget_space(f->set), type = H5Dget_type(f->set);
    int             rank = space < 0 ? -1 : H5Sget_simple_extent_ndims(space);
    asd_status      st   = ASD_OK;
    if (rank < 0 || type < 0)
        st = broken(f, ASD_EMBED_DATASET);
    else if (H5Tget_class(type) != H5T_FLOAT || H5Tget_size(type) != sizeof(float))
        st = ASD_FAIL(ASD_E_DATA, "%s: \"embedding\" is not float32", f->path);
    else if (rank < 2 || rank > 3)
        st =
            ASD_FAIL(ASD_E_DATA, "%s: \"embedding\" has %d dimensions, want 2 or 3", f->path, rank);
    else if (H5Sget_simple_extent_dims(space, dims, NULL) < 0)
        st = broken(f, ASD_EMBED_DATASET);
    for (int k = 0; k < rank && !st; ++k)
        if (dims[k] < 1 || dims[k] > (hsize_t)ASD_EMBED_MAX_ROWS)
            st = ASD_FAIL(ASD_E_DATA, "%s: \"embedding\" has a dimension of %llu", f->path,
                          (unsigned long long)dims[k]);
    if (space >= 0)
        H5Sclose(space);
    if (type >= 0)
        H5Tclose(type);
    if (st)
        return st;
    e->N    = (int64_t)dims[0];
    e->rows = rank == 3 ? (int64_t)dims[1] : 1;
    e->D    = (int64_t)dims[rank - 1];
    e->form = rank == 2                                       ? ASD_EMBED_PLAIN
              : H5Lexists(f->file, "n_rows", H5P_DEFAULT) > 0 ? ASD_EMBED_ROWS
                                                              : ASD_EMBED_LAYERS;
    return ASD_OK;
}

static asd_status open_file(const char *path, int may_be_joined, asd_embed_file **out);

/* The reverse of escape in embed_h5.c. */
static void unescape(char *name)
{
    char *to = name;
    for (const char *from = name; *from; ++from) {
        *to++ = *from;
        from += from[0] == '%' && from[1] == '%';
    }
    *to = 0;
}

/* Opens shard number i of the virtual data set and compares it with its part of the head. */
static asd_status open_shard(asd_embed_file *f, hid_t properties, int64_t i)
{
    char                  name[PATH_MAX] = "", path[PATH_MAX];
    const asd_embeddings *e              = &f->head, *s;
    const char           *base           = asd_base_name(f->path);
    int64_t               first          = f->first[i];
    ssize_t               got = H5Pget_virtual_filename(properties, (size_t)i, name, sizeof name);
    if (got <= 0 || (size_t)got >= sizeof name)
        return broken(f, "shard");
    unescape(name);
    if (strchr(name, '/'))
        return ASD_FAIL(ASD_E_DATA, "%s: shard \"%s\" is not beside it", f->path, name);
    ASD_TRY(asd_path(path, "%.*s%s", (int)(base - f->path), f->path, name));
    ASD_TRY(open_file(path, 0, &f->shard[i]));
    s = &f->shard[i]->head;
    if (s->form != e->form || s->D != e->D || s->rows > e->rows ||
        (s->form == ASD_EMBED_LAYERS && s->rows != e->rows) || s->N > e->N - first)
        return ASD_FAIL(ASD_E_DATA, "%s: shard %s has another shape", f->path, name);
    for (int64_t k = 0; k < s->N; ++k)
        if (strcmp(s->clip[k], e->clip[first + k]) || strcmp(s->audio[k], e->audio[first + k]) ||
            s->n_samples[k] != e->n_samples[first + k] ||
            (e->n_rows && s->n_rows[k] != e->n_rows[first + k]))
            return ASD_FAIL(ASD_E_DATA, "%s: shard %s has %s where %s is wanted, or other audio",
                            f->path, name, s->clip[k], e->clip[first + k]);
    f->first[i + 1] = first + s->N;
    return ASD_OK;
}

static asd_status open_shards(asd_embed_file *f, hid_t properties)
{
    size_t n = 0;
    if (H5Pget_virtual_count(properties, &n) < 0)
        return broken(f, ASD_EMBED_DATASET);
    if (n < 1 || n > (size_t)f->head.N)
        return ASD_FAIL(ASD_E_DATA, "%s: %zu shards of %lld clips", f->path, n,
                        (long long)f->head.N);
    if (!(f->shard = calloc(n, sizeof(*f->shard))) || !(f->first = calloc(n + 1, sizeof *f->first)))
        return ASD_FAIL(ASD_E_OOM, "%s: no memory for %zu shards", f->path, n);
    f->n_shards = (int64_t)n;
    for (int64_t i = 0; i < f->n_shards; ++i)
        ASD_TRY(open_shard(f, properties, i));
    if (f->first[n] != f->head.N)
        return ASD_FAIL(ASD_E_DATA, "%s: its shards have %lld clips, want %lld", f->path,
                        (long long)f->first[n], (long long)f->head.N);
    return ASD_OK;
}

static asd_status get_rows(asd_embed_file *f, int may_be_joined)
{
    const asd_embeddings *e      = &f->head;
    hid_t                 p      = H5Dget_create_plist(f->set);
    H5D_layout_t          layout = p < 0 ? H5D_LAYOUT_ERROR : H5Pget_layout(p);
    asd_status            st     = ASD_OK;
    if (layout == H5D_LAYOUT_ERROR)
        st = broken(f, ASD_EMBED_DATASET);
    else if (layout == H5D_VIRTUAL && may_be_joined)
        st = open_shards(f, p);
    else if (layout != H5D_CONTIGUOUS)
        st = ASD_FAIL(ASD_E_DATA, "%s: \"embedding\" does not lie in one piece", f->path);
    else if ((double)e->N * (double)e->rows * (double)e->D * sizeof(float) > (double)f->bytes)
        st = ASD_FAIL(ASD_E_DATA,
                      "%s: \"embedding\" claims %lld x %lld x %lld values, the file "
                      "has %llu bytes",
                      f->path, (long long)e->N, (long long)e->rows, (long long)e->D,
                      (unsigned long long)f->bytes);
    if (p >= 0)
        H5Pclose(p);
    return st;
}

/* --- the file --- */

static asd_status open_h5(asd_embed_file *f)
{
    struct stat s;
    if (stat(f->path, &s) || !S_ISREG(s.st_mode))
        return ASD_FAIL(ASD_E_DATA, "%s: there is no such file", f->path);
    f->bytes     = (uint64_t)s.st_size;
    hid_t access = asd_h5_access();
    if (access >= 0)
        f->file = H5Fopen(f->path, H5F_ACC_RDONLY, access);
    asd_status st = f->file < 0 ? broken(f, "not a whole HDF5 file") : ASD_OK;
    if (access >= 0)
        H5Pclose(access);
    return st;
}

static asd_status read_head(asd_embed_file *f, int may_be_joined)
{
    int64_t format = 0, complete = 0;
    char   *hash = NULL;
    ASD_TRY(open_h5(f));
    if (H5Aexists(f->file, "format_version") <= 0)
        return ASD_FAIL(ASD_E_DATA, "%s: an HDF5 file, but not one of embeddings", f->path);
    ASD_TRY(get_number(f, "format_version", &format));
    if (format != ASD_EMBED_FORMAT)
        return ASD_FAIL(ASD_E_DATA, "%s: format version %lld, this program reads %d", f->path,
                        (long long)format, ASD_EMBED_FORMAT);
    if (H5Aexists(f->file, "complete") <= 0)
        return ASD_FAIL(ASD_E_DATA, "%s: was never finished; asd-embed makes it again", f->path);
    ASD_TRY(get_number(f, "complete", &complete));
    if (complete != 1)
        return ASD_FAIL(ASD_E_DATA, "%s: complete = %lld, want 1", f->path, (long long)complete);
    ASD_TRY(get_text(f, "content_hash", ASD_EMBED_HASH_DIGITS, &hash));
    snprintf(f->content_hash, sizeof f->content_hash, "%s", hash);
    free(hash);
    ASD_TRY(get_text(f, "key", 256, &f->head.key));
    ASD_TRY(get_text(f, "key_material", ASD_EMBED_MAX_TEXT, &f->head.key_material));
    if ((f->set = H5Dopen2(f->file, ASD_EMBED_DATASET, H5P_DEFAULT)) < 0)
        return ASD_FAIL(ASD_E_DATA, "%s: there is no data set \"embedding\"", f->path);
    ASD_TRY(get_shape(f));
    ASD_TRY(get_lists(f));
    return get_rows(f, may_be_joined);
}

static asd_status open_file(const char *path, int may_be_joined, asd_embed_file **out)
{
    asd_embed_file *f = calloc(1, sizeof *f);
    *out              = NULL;
    if (!f)
        return ASD_FAIL(ASD_E_OOM, "%s: no memory to read it", path);
    f->file = f->set = -1;
    asd_status st    = asd_path(f->path, "%s", path);
    if (!st)
        st = read_head(f, may_be_joined);
    if (st) {
        asd_embed_close(f);
        return st;
    }
    *out = f;
    return ASD_OK;
}

asd_status asd_embed_open(const char *path, asd_embed_file **out)
{
    asd_h5_quiet quiet;
    asd_h5_enter(&quiet);
    asd_status st = open_file(path, 1, out);
    asd_h5_leave(&quiet);
    return st;
}

void asd_embed_close(asd_embed_file *f)
{
    asd_h5_quiet quiet;
    if (!f)
        return;
    for (int64_t i = 0; i < f->n_shards; ++i)
        asd_embed_close(f->shard[i]);
    asd_h5_enter(&quiet);
    if (f->set >= 0)
        H5Dclose(f->set);
    if (f->file >= 0)
        H5Fclose(f->file);
    asd_h5_leave(&quiet);
    free(f->shard);
    free(f->first);
    asd_embeddings_clear(&f->head);
    free(f);
}

const asd_embeddings *asd_embed_head(const asd_embed_file *f)
{
    return &f->head;
}

asd_embed_found asd_embed_look(const char *path)
{
    struct stat     s;
    asd_embed_found found = ASD_EMBED_OTHER;
    asd_embed_file *f     = NULL;
    asd_h5_quiet    quiet;
    if (lstat(path, &s))
        return ASD_EMBED_ABSENT;
    if (!asd_embed_open(path, &f)) {
        asd_embed_close(f);
        return ASD_EMBED_COMPLETE;
    }
    asd_h5_enter(&quiet);
    hid_t file = S_ISREG(s.st_mode) ? H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT) : -1;
    if (file >= 0 && H5Aexists(file, "format_version") > 0 && !H5Aexists(file, "complete"))
        found = ASD_EMBED_UNFINISHED;
    if (file >= 0)
        H5Fclose(file);
    asd_h5_leave(&quiet);
    return found;
}

/* --- rows --- */

static asd_status read_own(asd_embed_file *f, int64_t first, int64_t n, float *x)
{
    asd_embeddings part     = {.form = f->head.form, .N = n, .rows = f->head.rows, .D = f->head.D};
    hsize_t        count[3] = {0}, start[3] = {(hsize_t)first, 0, 0};
    int            rank = asd_h5_dims(&part, count);
    asd_status     st   = ASD_OK;
    asd_h5_quiet   quiet;
    asd_h5_enter(&quiet);
    hid_t memory = H5Screate_simple(rank, count, NULL), stored = H5Dget_space(f->set);
    if (memory < 0 || stored < 0 ||
        H5Sselect_hyperslab(stored, H5S_SELECT_SET, start, NULL, count, NULL) < 0 ||
        H5Dread(f->set, H5T_NATIVE_FLOAT, memory, stored, H5P_DEFAULT, x) < 0)
        st = broken(f, ASD_EMBED_DATASET);
    if (memory >= 0)
        H5Sclose(memory);
    if (stored >= 0)
        H5Sclose(stored);
    asd_h5_leave(&quiet);
    return st;
}

/* Spreads clips of `rows` rows to clips of `to` rows, in place from the last one; NaN behind. */
static void spread(float *x, int64_t n, int64_t rows, int64_t to, int64_t D)
{
    for (int64_t i = n - 1; i >= 0 && rows < to; --i) {
        memmove(x + i * to * D, x + i * rows * D, (size_t)(rows * D) * sizeof *x);
        for (int64_t k = rows * D; k < to * D; ++k)
            x[i * to * D + k] = NAN;
    }
}

asd_status asd_embed_read(asd_embed_file *f, int64_t first, int64_t n, float *x)
{
    const asd_embeddings *e = &f->head;
    ASD_ASSERT(first >= 0 && n > 0 && n <= e->N - first);
    if (!f->shard)
        return read_own(f, first, n, x);
    for (int64_t i = 0; i < f->n_shards; ++i) {
        int64_t from = first > f->first[i] ? first : f->first[i];
        int64_t end  = first + n < f->first[i + 1] ? first + n : f->first[i + 1];
        float  *to   = x + (from - first) * e->rows * e->D;
        if (from >= end)
            continue;
        ASD_TRY(read_own(f->shard[i], from - f->first[i], end - from, to));
        spread(to, end - from, f->shard[i]->head.rows, e->rows, e->D);
    }
    return ASD_OK;
}

/* x: (N, rows, D) of a file with rows of its own, NULL for a joined one */
static asd_status check_hash(const asd_embed_file *f, const float *x)
{
    char                  hex[ASD_EMBED_HASH_DIGITS + 1];
    const asd_embeddings *e    = &f->head;
    XXH3_state_t         *hash = XXH3_createState();
    if (!hash)
        return ASD_FAIL(ASD_E_OOM, "%s: no memory to check it", f->path);
    asd_status st = asd_h5_hash_head(hash, e, f->path);
    if (!st && x)
        XXH3_128bits_update(hash, x, (size_t)(e->N * e->rows * e->D) * sizeof *x);
    asd_h5_hash_end(hash, hex);
    XXH3_freeState(hash);
    if (!st && strcmp(hex, f->content_hash))
        st = ASD_FAIL(ASD_E_DATA, "%s: damaged: its content has hash %.8s, content_hash says %.8s",
                      f->path, hex, f->content_hash);
    return st;
}

static asd_status read_all(asd_embed_file *f, float *x)
{
    const asd_embeddings *e = &f->head;
    if (!f->shard) {
        ASD_TRY(read_own(f, 0, e->N, x));
        return check_hash(f, x);
    }
    ASD_TRY(check_hash(f, NULL));
    for (int64_t i = 0; i < f->n_shards; ++i) {
        const asd_embeddings *s  = &f->shard[i]->head;
        float                *to = x + f->first[i] * e->rows * e->D;
        ASD_TRY(read_own(f->shard[i], 0, s->N, to));
        ASD_TRY(check_hash(f->shard[i], to));
        spread(to, s->N, s->rows, e->rows, e->D);
    }
    return ASD_OK;
}

asd_status asd_embeddings_read(const char *path, asd_embeddings *out)
{
    asd_embed_file *f = NULL;
    memset(out, 0, sizeof *out);
    asd_status st = asd_embed_open(path, &f);
    if (!st) {
        *out        = f->head;
        size_t size = (size_t)(out->N * out->rows * out->D) * sizeof *out->x;
        if (!(out->x = malloc(size)))
            st = ASD_FAIL(ASD_E_OOM, "%s: no memory for %zu bytes of embeddings", path, size);
        else
            st = read_all(f, out->x);
        memset(&f->head, 0, sizeof f->head); /* its parts are the caller's now */
    }
    asd_embed_close(f);
    if (st)
        asd_embeddings_clear(out);
    return st;
}

void asd_embeddings_clear(asd_embeddings *e)
{
    for (int64_t i = 0; i < e->N; ++i) {
        if (e->clip)
            free(e->clip[i]);
        if (e->audio)
            free(e->audio[i]);
    }
    free(e->clip);
    free(e->audio);
    free(e->x);
    free(e->n_samples);
    free(e->n_rows);
    free(e->key);
    free(e->key_material);
    memset(e, 0, sizeof *e);
}

asd_status asd_embeddings_find(const asd_embeddings *e, const char *clip, int64_t *row)
{
    int64_t low = 0, high = e->N;
    while (low < high) {
        int64_t mid  = low + (high - low) / 2;
        int     side = strcmp(e->clip[mid], clip);
        if (!side) {
            *row = mid;
            return ASD_OK;
        }
        if (side < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return ASD_FAIL(ASD_E_DATA, "no embedding of the clip %s among %lld", clip, (long long)e->N);
}
