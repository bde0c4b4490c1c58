/* st_header.c - see st_header.h. */
#include "nn/st_header.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_HEADER = 100 << 20 }; /* the reference implementation's limit */

typedef struct file {
    const char         *path;
    const asd_st_rules *rules;
    const char         *data;
    size_t              data_bytes;
} file;

static asd_status read_shape(const file *s, const char *name, const json_t *json, asd_st_field *f)
{
    size_t  i;
    json_t *d;
    double count = 1; /* of the dimensions that are not 0: their product must not overflow either */
    if (!json_is_array(json) || json_array_size(json) > (size_t)s->rules->max_dims)
        return ASD_FAIL(ASD_E_DATA, "%s: tensor %s: want a shape of at most %d numbers", s->path,
                        name, s->rules->max_dims);
    f->n_dims = (int)json_array_size(json);
    json_array_foreach(json, i, d)
    {
        if (!json_is_integer(d) || json_integer_value(d) < 0)
            return ASD_FAIL(ASD_E_DATA, "%s: tensor %s: dimension %zu is not a whole number >= 0",
                            s->path, name, i);
        f->dim[i] = json_integer_value(d);
        count *= f->dim[i] ? (double)f->dim[i] : 1;
    }
    if (count > 1e15)
        return ASD_FAIL(ASD_E_DATA, "%s: tensor %s: dimensions of %g elements", s->path, name,
                        count);
    return ASD_OK;
}

static size_t bytes_of(const file *s, const asd_st_field *f)
{
    size_t n = s->rules->dtype_bytes[f->dtype];
    for (int i = 0; i < f->n_dims; ++i)
        n *= (size_t)f->dim[i];
    return n;
}

static asd_status read_field(const file *s, const char *name, const json_t *json, asd_st_field *f)
{
    const char   *dtype   = json_string_value(json_object_get(json, "dtype"));
    const json_t *offsets = json_object_get(json, "data_offsets");
    const int     n       = s->rules->n_dtypes;
    f->name               = name;
    while (f->dtype < n &&
           !(dtype && s->rules->dtype[f->dtype] && !strcmp(dtype, s->rules->dtype[f->dtype])))
        ++f->dtype;
    if (f->dtype == n)
        return ASD_FAIL(ASD_E_DATA, "%s: tensor %s: dtype %s, want %s", s->path, name,
                        dtype ? dtype : "missing", s->rules->want);
    ASD_TRY(read_shape(s, name, json_object_get(json, "shape"), f));
    if (json_array_size(offsets) != 2 || !json_is_integer(json_array_get(offsets, 0)) ||
        !json_is_integer(json_array_get(offsets, 1)))
        return ASD_FAIL(ASD_E_DATA, "%s: tensor %s: want two data_offsets", s->path, name);
    json_int_t from = json_integer_value(json_array_get(offsets, 0)),
               to   = json_integer_value(json_array_get(offsets, 1));
    if (from < 0 || to < from || (uint64_t)to > s->data_bytes)
        return ASD_FAIL(ASD_E_DATA, "%s: tensor %s: data_offsets [%lld, %lld] outside 0 .. %zu",
                        s->path, name, (long long)from, (long long)to, s->data_bytes);
    if ((size_t)(to - from) != bytes_of(s, f))
        return ASD_FAIL(ASD_E_DATA, "%s: tensor %s: %lld bytes, its shape wants %zu", s->path, name,
                        (long long)(to - from), bytes_of(s, f));
    f->data  = s->data + from;
    f->bytes = (size_t)(to - from);
    return ASD_OK;
}

static int by_data(const void *a, const void *b)
{
    const asd_st_field *x = a, *y = b;
    if (x->data != y->data)
        return x->data < y->data ? -1 : 1;
    return (x->bytes > y->bytes) - (x->bytes < y->bytes); /* those without elements first */
}

/* Tensors cover the data exactly: no overlap, no gap, nothing behind. */
static asd_status check_cover(const file *s, asd_st_header *h)
{
    const char *at = s->data;
    if (h->n)
        qsort(h->field, (size_t)h->n, sizeof *h->field, by_data);
    for (int64_t i = 0; i < h->n; ++i) {
        const asd_st_field *f = &h->field[i];
        if (f->data != at && f->bytes)
            return ASD_FAIL(ASD_E_DATA,
                            "%s: tensor %s starts at %td, want %td: tensors overlap or leave a gap",
                            s->path, f->name, f->data - s->data, at - s->data);
        at += f->bytes;
    }
    if (at != s->data + s->data_bytes)
        return ASD_FAIL(ASD_E_DATA, "%s: %zu bytes of data, its tensors hold %td", s->path,
                        s->data_bytes, at - s->data);
    return ASD_OK;
}

asd_status asd_st_header_read(const char *path, const void *map, size_t map_bytes,
                              const asd_st_rules *rules, asd_st_header *out)
{
    const unsigned char *byte = map;
    uint64_t             size = 0;
    json_error_t         why;
    const char          *name;
    json_t              *value;
    *out = (asd_st_header){.root = NULL};
    if (map_bytes < 8)
        return ASD_FAIL(ASD_E_DATA, "%s: not a safetensors file: %zu bytes, want at least 8", path,
                        map_bytes);
    for (int i = 0; i < 8; ++i)
        size |= (uint64_t)byte[i] << 8 * i;
    if (size > MAX_HEADER || size > map_bytes - 8)
        return ASD_FAIL(ASD_E_DATA,
                        "%s: header of %llu bytes in a file of %zu: cut short, or not safetensors",
                        path, (unsigned long long)size, map_bytes);
    out->root = json_loadb((const char *)map + 8, (size_t)size, JSON_REJECT_DUPLICATES, &why);
    if (!json_is_object(out->root))
        return ASD_FAIL(ASD_E_DATA, "%s: header: %s", path,
                        out->root ? "not a JSON object" : why.text);
    const file s = {path, rules, (const char *)map + 8 + size, map_bytes - 8 - (size_t)size};
    if (!(out->field = calloc(json_object_size(out->root) + 1, sizeof *out->field)))
        return ASD_FAIL(ASD_E_OOM, "%s: no memory for %zu tensors", path,
                        json_object_size(out->root));
    json_object_foreach(out->root, name, value)
    {
        if (!strcmp(name, "__metadata__"))
            continue;
        ASD_TRY(read_field(&s, name, value, &out->field[out->n]));
        ++out->n;
    }
    return check_cover(&s, out);
}

void asd_st_header_clear(asd_st_header *h)
{
    free(h->field);
    json_decref(h->root);
    *h = (asd_st_header){.root = NULL};
}
