/* safetensors.c - see safetensors.h. */
#include "nn/safetensors.h"

#include "base/file.h"
#include "base/utf8.h"

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
enum { MAX_HEADER = 100 << 20 }; /* the reference implementation's limit */

/* --- writing --- */

static json_t *describe(const asd_st_entry *e, size_t from, size_t to)
{
    json_t *shape = json_array();
    for (int i = 0; i < e->shape.n; ++i)
        json_array_append_new(shape, json_integer(e->shape.d[i]));
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", dtype_name[e->dtype], "shape", shape,
                     "data_offsets", (json_int_t)from, (json_int_t)to);
}

static size_t bytes_of(asd_dtype t, asd_shape s)
{
    return (size_t)asd_count(s) * asd_dtype_size(t);
}

/* JSON knows UTF-8 only, and a name twice would leave data that no reader finds. */
static asd_status check_entries(const char *path, const asd_st_entry *entry, int64_t n,
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

static asd_status make_header(const char *path, const asd_st_entry *entry, int64_t n,
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
        size_t bytes = bytes_of(entry[i].dtype, entry[i].shape);
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

asd_status asd_safetensors_write(const char *path, const asd_st_entry *entry, int64_t n,
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
            fwrite(entry[i].data, 1, bytes_of(entry[i].dtype, entry[i].shape), f.stream);
        st = asd_outfile_commit(&f);
    }
    free(header);
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

static asd_status read_shape(const asd_safetensors *s, const char *name, const json_t *json,
                             asd_shape *shape)
{
    size_t  i;
    json_t *d;
    double count = 1; /* of the dimensions that are not 0: their product must not overflow either */
    if (!json_is_array(json) || json_array_size(json) > ASD_MAX_DIMS)
        return ASD_FAIL(ASD_E_DATA, "%s: tensor %s: want a shape of at most %d numbers", s->path,
                        name, ASD_MAX_DIMS);
    shape->n = (int)json_array_size(json);
    json_array_foreach(json, i, d)
    {
        if (!json_is_integer(d) || json_integer_value(d) < 0)
            return ASD_FAIL(ASD_E_DATA, "%s: tensor %s: dimension %zu is not a whole number >= 0",
                            s->path, name, i);
        shape->d[i] = json_integer_value(d);
        count *= shape->d[i] ? (double)shape->d[i] : 1;
    }
    if (count > 1e15)
        return ASD_FAIL(ASD_E_DATA, "%s: tensor %s: dimensions of %g elements", s->path, name,
                        count);
    return ASD_OK;
}

static asd_status read_tensor(const asd_safetensors *s, const char *name, const json_t *json,
                              const char *data, size_t data_bytes, asd_st_tensor *t)
{
    const char   *dtype   = json_string_value(json_object_get(json, "dtype"));
    const json_t *offsets = json_object_get(json, "data_offsets");
    int           type    = 0;
    while (type < ASD_NDTYPES && !(dtype && !strcmp(dtype, dtype_name[type])))
        ++type;
    if (type == ASD_NDTYPES)
        return ASD_FAIL(ASD_E_DATA, "%s: tensor %s: dtype %s, want F32, BF16, I32 or I16", s->path,
                        name, dtype ? dtype : "missing");
    t->dtype = (asd_dtype)type;
    ASD_TRY(read_shape(s, name, json_object_get(json, "shape"), &t->shape));
    if (json_array_size(offsets) != 2 || !json_is_integer(json_array_get(offsets, 0)) ||
        !json_is_integer(json_array_get(offsets, 1)))
        return ASD_FAIL(ASD_E_DATA, "%s: tensor %s: want two data_offsets", s->path, name);
    json_int_t from = json_integer_value(json_array_get(offsets, 0)),
               to   = json_integer_value(json_array_get(offsets, 1));
    if (from < 0 || to < from || (uint64_t)to > data_bytes)
        return ASD_FAIL(ASD_E_DATA, "%s: tensor %s: data_offsets [%lld, %lld] outside 0 .. %zu",
                        s->path, name, (long long)from, (long long)to, data_bytes);
    if ((size_t)(to - from) != bytes_of(t->dtype, t->shape))
        return ASD_FAIL(ASD_E_DATA, "%s: tensor %s: %lld bytes, its shape wants %zu", s->path, name,
                        (long long)(to - from), bytes_of(t->dtype, t->shape));
    t->data = data + from;
    if (!(t->name = strdup(name)))
        return ASD_FAIL(ASD_E_OOM, "%s: no memory for a name", s->path);
    return ASD_OK;
}

static int by_data(const void *a, const void *b)
{
    const char *x = ((const asd_st_tensor *)a)->data, *y = ((const asd_st_tensor *)b)->data;
    return x < y ? -1 : x > y;
}

/* Tensors cover the data exactly: no overlap, no gap, nothing behind. */
static asd_status check_cover(asd_safetensors *s, const char *data, size_t data_bytes)
{
    const char *at = data;
    if (s->n) /* stable for tensors without elements: they share an address and any order is a cover
               */
        qsort(s->tensor, (size_t)s->n, sizeof *s->tensor, by_data);
    for (int64_t i = 0; i < s->n; ++i) {
        const asd_st_tensor *t = &s->tensor[i];
        if ((const char *)t->data != at && bytes_of(t->dtype, t->shape))
            return ASD_FAIL(ASD_E_DATA,
                            "%s: tensor %s starts at %td, want %td: tensors overlap or leave a gap",
                            s->path, t->name, (const char *)t->data - data, at - data);
        at += bytes_of(t->dtype, t->shape);
    }
    if (at != data + data_bytes)
        return ASD_FAIL(ASD_E_DATA, "%s: %zu bytes of data, its tensors hold %td", s->path,
                        data_bytes, at - data);
    return ASD_OK;
}

static asd_status read_header(asd_safetensors *s)
{
    const unsigned char *map  = s->map;
    uint64_t             size = 0;
    json_error_t         why;
    asd_status           st = ASD_OK;
    for (int i = 0; i < 8; ++i)
        size |= (uint64_t)map[i] << 8 * i;
    if (size > MAX_HEADER || size > s->map_bytes - 8)
        return ASD_FAIL(ASD_E_DATA,
                        "%s: header of %llu bytes in a file of %zu: cut short, or not safetensors",
                        s->path, (unsigned long long)size, s->map_bytes);
    json_t *root = json_loadb((const char *)map + 8, (size_t)size, JSON_REJECT_DUPLICATES, &why);
    if (!json_is_object(root)) {
        st = ASD_FAIL(ASD_E_DATA, "%s: header: %s", s->path, root ? "not a JSON object" : why.text);
        goto done;
    }
    const char *data       = (const char *)map + 8 + size, *name;
    size_t      data_bytes = s->map_bytes - 8 - (size_t)size;
    json_t     *value;
    s->tensor = calloc(json_object_size(root) + 1, sizeof *s->tensor);
    if (!s->tensor) {
        st = ASD_FAIL(ASD_E_OOM, "%s: no memory for %zu tensors", s->path, json_object_size(root));
        goto done;
    }
    json_object_foreach(root, name, value)
    {
        if (!strcmp(name, "__metadata__"))
            continue;
        if ((st = read_tensor(s, name, value, data, data_bytes, &s->tensor[s->n])))
            goto done;
        ++s->n;
    }
    st = check_cover(s, data, data_bytes);
done:
    json_decref(root);
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
    memcpy(to, t->data, bytes_of(dtype, shape));
    return ASD_OK;
}
