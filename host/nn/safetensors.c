/* safetensors.c - see safetensors.h. */
#include "nn/safetensors.h"

#include "base/file.h"
#include "base/utf8.h"
#include "nn/st_header.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const dtype_name[ASD_NDTYPES] = {
    [ASD_F32] = "F32", [ASD_I16] = "I16", [ASD_I32] = "I32", [ASD_BF16] = "BF16"};

/* --- writing --- */

static json_t *describe(const asd_st_raw *e, size_t from, size_t to)
{
    json_t *shape = json_array();
    for (int i = 0; i < e->n_dims; ++i)
        json_array_append_new(shape, json_integer(e->dim[i]));
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", e->dtype, "shape", shape, "data_offsets",
                     (json_int_t)from, (json_int_t)to);
}

static size_t raw_bytes(const asd_st_raw *e)
{
    size_t n = e->element_bytes;
    for (int i = 0; i < e->n_dims; ++i)
        n *= (size_t)e->dim[i];
    return n;
}

/* JSON knows UTF-8 only, and a name twice would leave data that no reader finds. */
static asd_status check_entries(const char *path, const asd_st_raw *entry, int64_t n,
                                const char *const *metadata, int64_t n_meta)
{
    for (int64_t i = 0; i < 2 * n_meta; ++i)
        if (!asd_utf8_valid(metadata[i]))
            return ASD_FAIL(ASD_E_DATA, "%s: metadata \"%s\" is not UTF-8", path, metadata[i]);
    for (int64_t i = 0; i < n; ++i)
        if (!asd_utf8_valid(entry[i].name) || !strcmp(entry[i].name, "__metadata__"))
            return ASD_FAIL(ASD_E_DATA,
                            "%s: a tensor cannot be called \"%s\": want UTF-8, not "
                            "__metadata__",
                            path, entry[i].name);
    return ASD_OK;
}

static asd_status make_header(const char *path, const asd_st_raw *entry, int64_t n,
                              const char *const *metadata, int64_t n_meta, char **text)
{
    json_t *root = json_object();
    size_t  at   = 0;
    *text        = NULL;
    if (n_meta) {
        json_t *meta = json_object();
        for (int64_t i = 0; i < n_meta; ++i)
            json_object_set_new(meta, metadata[2 * i], json_string(metadata[2 * i + 1]));
        json_object_set_new(root, "__metadata__", meta);
    }
    for (int64_t i = 0; i < n; ++i) {
        size_t bytes = raw_bytes(&entry[i]);
        if (json_object_get(root, entry[i].name)) {
            json_decref(root);
            return ASD_FAIL(ASD_E_DATA, "%s: tensor %s twice", path, entry[i].name);
        }
        json_object_set_new(root, entry[i].name, describe(&entry[i], at, at + bytes));
        at += bytes;
    }
    if (json_object_size(root) == (size_t)n + (n_meta > 0))
        *text = json_dumps(root, JSON_COMPACT | JSON_PRESERVE_ORDER);
    json_decref(root);
    return *text ? ASD_OK
                 : ASD_FAIL(ASD_E_OOM, "%s: no memory for the header of %lld tensors", path,
                            (long long)n);
}

asd_status asd_safetensors_write_raw(const char *path, const asd_st_raw *entry, int64_t n,
                                     const char *const *metadata, int64_t n_meta)
{
    asd_outfile f;
    char       *header;
    ASD_TRY(check_entries(path, entry, n, metadata, n_meta));
    ASD_TRY(make_header(path, entry, n, metadata, n_meta, &header));
    asd_status st = asd_outfile_open(&f, path);
    if (!st) {
        size_t        length = strlen(header), padded = (length + 7) / 8 * 8;
        unsigned char size[8];
        for (int i = 0; i < 8; ++i)
            size[i] = (unsigned char)(padded >> 8 * i);
        fwrite(size, 1, 8, f.stream);
        fwrite(header, 1, length, f.stream);
        fwrite("        ", 1, padded - length, f.stream); /* the format pads with spaces */
        for (int64_t i = 0; i < n; ++i)
            fwrite(entry[i].data, 1, raw_bytes(&entry[i]), f.stream);
        st = asd_outfile_commit(&f);
    }
    free(header);
    return st;
}

asd_status asd_safetensors_write(const char *path, const asd_st_entry *entry, int64_t n,
                                 const char *const *metadata, int64_t n_meta)
{
    asd_st_raw *raw = calloc((size_t)n + 1, sizeof *raw);
    if (!raw)
        return ASD_FAIL(ASD_E_OOM, "%s: no memory for %lld tensors", path, (long long)n);
    for (int64_t i = 0; i < n; ++i) {
        const asd_st_entry *e = &entry[i];
        raw[i]                = (asd_st_raw){.name          = e->name,
                                             .dtype         = dtype_name[e->dtype],
                                             .element_bytes = asd_dtype_size(e->dtype),
                                             .n_dims        = e->shape.n,
                                             .data          = e->data};
        memcpy(raw[i].dim, e->shape.d, sizeof raw[i].dim);
    }
    asd_status st = asd_safetensors_write_raw(path, raw, n, metadata, n_meta);
    free(raw);
    return st;
}

/* --- reading --- */

static asd_status map_file(asd_safetensors *s)
{
    struct stat info;
    int         fd = open(s->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return ASD_FAIL(errno == ENOENT ? ASD_E_DATA : ASD_E_IO, "%s: cannot read: %s", s->path,
                        strerror(errno));
    if (fstat(fd, &info) || !S_ISREG(info.st_mode) || info.st_size < 8) {
        close(fd);
        return ASD_FAIL(ASD_E_DATA, "%s: not a safetensors file: %lld bytes, want at least 8",
                        s->path, (long long)info.st_size);
    }
    void *map = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (map == MAP_FAILED)
        return ASD_FAIL(ASD_E_IO, "%s: cannot map: %s", s->path, strerror(errno));
    s->map       = map;
    s->map_bytes = (size_t)info.st_size;
    return ASD_OK;
}

/* Keep in step with dtype_name. */
static const size_t dtype_bytes[ASD_NDTYPES] = {
    [ASD_F32] = 4, [ASD_I16] = 2, [ASD_I32] = 4, [ASD_BF16] = 2};
static const asd_st_rules rules = {dtype_name, dtype_bytes, ASD_NDTYPES, "F32, BF16, I32 or I16",
                                   ASD_MAX_DIMS};

static asd_status read_header(asd_safetensors *s)
{
    asd_st_header h;
    asd_status    st = asd_st_header_read(s->path, s->map, s->map_bytes, &rules, &h);
    if (!st && !(s->tensor = calloc((size_t)h.n + 1, sizeof *s->tensor)))
        st = ASD_FAIL(ASD_E_OOM, "%s: no memory for %lld tensors", s->path, (long long)h.n);
    for (int64_t i = 0; !st && i < h.n; ++i) {
        const asd_st_field *f = &h.field[i];
        asd_st_tensor      *t = &s->tensor[s->n];
        t->dtype              = (asd_dtype)f->dtype;
        t->shape.n            = f->n_dims;
        memcpy(t->shape.d, f->dim, (size_t)f->n_dims * sizeof *f->dim);
        t->data = f->data;
        if (!(t->name = strdup(f->name)))
            st = ASD_FAIL(ASD_E_OOM, "%s: no memory for a name", s->path);
        else
            ++s->n;
    }
    asd_st_header_clear(&h);
    return st;
}

asd_status asd_safetensors_open(const char *path, asd_safetensors *out)
{
    memset(out, 0, sizeof *out);
    if (!(out->path = strdup(path)))
        return ASD_FAIL(ASD_E_OOM, "%s: no memory for a name", path);
    asd_status st = map_file(out);
    if (!st)
        st = read_header(out);
    if (st)
        asd_safetensors_close(out);
    return st;
}

void asd_safetensors_close(asd_safetensors *s)
{
    for (int64_t i = 0; i < s->n; ++i)
        free(s->tensor[i].name);
    free(s->tensor);
    free(s->path);
    if (s->map)
        munmap(s->map, s->map_bytes);
    memset(s, 0, sizeof *s);
}

const asd_st_tensor *asd_safetensors_find(const asd_safetensors *s, const char *name)
{
    for (int64_t i = 0; i < s->n; ++i)
        if (!strcmp(s->tensor[i].name, name))
            return &s->tensor[i];
    return NULL;
}

asd_status asd_safetensors_get(const asd_safetensors *s, const char *name, asd_dtype dtype,
                               asd_shape shape, void *to)
{
    char                 found[64], wanted[64];
    const asd_st_tensor *t = asd_safetensors_find(s, name);
    if (!t)
        return ASD_FAIL(ASD_E_DATA, "%s: tensor %s is missing", s->path, name);
    if (t->dtype != dtype || !asd_shape_equal(t->shape, shape))
        return ASD_FAIL(ASD_E_DATA, "%s: tensor %s is %s %s, want %s %s", s->path, name,
                        dtype_name[t->dtype], asd_shape_text(t->shape, found, sizeof found),
                        dtype_name[dtype], asd_shape_text(shape, wanted, sizeof wanted));
    memcpy(to, t->data, (size_t)asd_count(shape) * asd_dtype_size(dtype));
    return ASD_OK;
}
