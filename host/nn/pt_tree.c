/* pt_tree.c - from the values of a pickle to named tensors and a configuration. */
#include "nn/weights_parts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_VISITS = 1 << 21 }; /* a dictionary that holds another twice, that another twice, ... */

typedef struct walk {
    asd_weights_builder *b;
    const asd_pt_pickle *p;
    int64_t              visits;
    char                 path[ASD_W_MAX_NAME + 1];
    size_t               n;      /* bytes of path */
    size_t               parent; /* bytes of it that are the path of what holds this value */
    int                  odd;    /* a key of the path had control characters, or was no text */
} walk;

asd_status asd_pt_give(const asd_pt_pickle *p, asd_pt_storage *s, const unsigned char *data,
                       uint64_t bytes)
{
    const uint64_t want = (uint64_t)s->n * asd_wdtype_bytes(s->dtype); /* n is below 2^59 */
    if (bytes != want)
        return ASD_FAIL(ASD_E_DATA,
                        "%s: storage %.*s claims %" PRId64 " elements of %s, %" PRIu64
                        " bytes; the file has %" PRIu64 " for it",
                        p->path, (int)s->key_bytes, s->key, s->n, asd_wdtype_name(s->dtype), want,
                        bytes);
    s->data  = data;
    s->found = 1;
    return ASD_OK;
}

/* --- one tensor --- */

static asd_status read_dims(walk *k, const asd_pt_value *size, const asd_pt_value *stride,
                            asd_weight *t)
{
    const asd_pt_pickle *p = k->p;
    if (size->n_items != stride->n_items || size->n_items > ASD_W_MAX_DIMS)
        return ASD_FAIL(ASD_E_DATA,
                        "%s: tensor %s: %d sizes and %d strides, want as many, %d at most", p->path,
                        k->path, size->n_items, stride->n_items, ASD_W_MAX_DIMS);
    t->n_dims = size->n_items;
    for (int i = 0; i < t->n_dims; ++i) {
        const asd_pt_value *d = &p->value[size->item[i]], *s = &p->value[stride->item[i]];
        if (d->kind != ASD_PT_INT || s->kind != ASD_PT_INT)
            return ASD_FAIL(ASD_E_DATA, "%s: tensor %s: dimension %d is %s with %s as stride",
                            p->path, k->path, i, asd_pt_kind_name(d->kind),
                            asd_pt_kind_name(s->kind));
        if (d->integer < 0 || s->integer < 0)
            return ASD_FAIL(ASD_E_DATA,
                            "%s: tensor %s: dimension %d has size %" PRId64 " and stride %" PRId64
                            ", want neither negative",
                            p->path, k->path, i, d->integer, s->integer);
        t->dim[i]    = d->integer;
        t->stride[i] = s->integer;
    }
    return ASD_OK;
}

/* Every element lies in the storage, and there are no more of them than it has: a stride of 0 would
 * make any number out of one. */
static asd_status check_range(const walk *k, const asd_weight *t, int64_t offset, int64_t n)
{
    int64_t count = 1, last = offset;
    int     ok = offset >= 0 && offset <= n;
    for (int i = 0; i < t->n_dims; ++i)
        if (t->dim[i] == 0)
            count = 0;
    for (int i = 0; ok && count && i < t->n_dims; ++i) {
        int64_t reach;
        ok = !__builtin_mul_overflow(count, t->dim[i], &count) &&
             !__builtin_mul_overflow(t->dim[i] - 1, t->stride[i], &reach) &&
             !__builtin_add_overflow(last, reach, &last);
    }
    if (ok && (count == 0 || (last < n && count <= n)))
        return ASD_OK;
    char shape[128];
    return ASD_FAIL(ASD_E_DATA,
                    "%s: tensor %s of shape %s from element %" PRId64
                    " does not fit its storage of "
                    "%" PRId64 " elements",
                    k->p->path, k->path, asd_weight_shape_text(t, shape, sizeof shape), offset, n);
}

static asd_status add_tensor(walk *k, const asd_pt_value *v)
{
    const asd_pt_pickle  *p       = k->p;
    const asd_pt_value   *storage = &p->value[v->item[0]];
    const asd_pt_storage *s       = &p->storage[storage->integer];
    const int64_t         offset  = p->value[v->item[1]].integer;
    asd_weight            t       = {.dtype = s->dtype};
    if (k->odd || k->n == k->parent)
        return ASD_FAIL(ASD_E_DATA,
                        "%s: a tensor called \"%s\"; want a text without control characters as "
                        "its name",
                        p->path, k->path);
    if (!s->found)
        return ASD_FAIL(ASD_E_DATA, "%s: tensor %s: its storage %.*s is not in the file", p->path,
                        k->path, (int)s->key_bytes, s->key);
    ASD_TRY(read_dims(k, &p->value[v->item[2]], &p->value[v->item[3]], &t));
    ASD_TRY(check_range(k, &t, offset, storage->view_n));
    const size_t element = asd_wdtype_bytes(s->dtype);
    t.data               = s->data + (size_t)(storage->view_from + offset) * element;
    t.storage_bytes_left = (size_t)(storage->view_n - offset) * element;
    char where[ASD_W_MAX_NAME + 1];
    memcpy(where, k->path, k->parent);
    where[k->parent] = 0;
    t.where          = where;
    t.name           = k->path + k->parent + (k->parent > 0);
    return asd_weights_add(k->b, &t);
}

/* --- leaves of the configuration --- */

static double big_number(const asd_pt_value *v)
{
    const unsigned char *u        = (const unsigned char *)v->text;
    const int            negative = v->bytes && u[v->bytes - 1] & 0x80;
    double               x        = 0;
    for (size_t i = v->bytes; i-- > 0;)
        x = x * 256 + (negative ? 255 - u[i] : u[i]);
    return negative ? -x - 1 : x;
}

static asd_status add_name(walk *k, const asd_pt_value *v)
{
    char text[512];
    int  n = snprintf(text, sizeof text, "%.*s.%.*s", (int)v->bytes, v->text, (int)v->name_bytes,
                      v->name);
    return asd_weights_add_meta(k->b, k->path, ASD_META_TEXT, text, (size_t)n, 0);
}

static asd_status add_leaf(walk *k, const asd_pt_value *v)
{
    switch (v->kind) {
    case ASD_PT_NONE: return asd_weights_add_meta(k->b, k->path, ASD_META_NONE, NULL, 0, 0);
    case ASD_PT_BOOL:
    case ASD_PT_INT:
        return asd_weights_add_meta(k->b, k->path, ASD_META_NUMBER, NULL, 0, (double)v->integer);
    case ASD_PT_BIGINT:
        return asd_weights_add_meta(k->b, k->path, ASD_META_NUMBER, NULL, 0, big_number(v));
    case ASD_PT_FLOAT:
        return asd_weights_add_meta(k->b, k->path, ASD_META_NUMBER, NULL, 0, v->real);
    case ASD_PT_TEXT:
        return asd_weights_add_meta(k->b, k->path, ASD_META_TEXT, v->text, v->bytes, 0);
    case ASD_PT_GLOBAL: return add_name(k, v);
    case ASD_PT_TENSOR: return add_tensor(k, v);
    default: /* bytes and bare storages say nothing about a network */ return ASD_OK;
    }
}

/* --- containers --- */

static asd_status visit(walk *k, int32_t index, int depth);

/* Appends ".key" to the path. Keys that are no text or int are called by their place. */
static asd_status enter(walk *k, const asd_pt_value *key, int64_t place)
{
    char        own[64];
    const char *text = own;
    size_t      n;
    if (key && key->kind == ASD_PT_TEXT) {
        text = key->text;
        n    = key->bytes;
    } else if (!key || key->kind == ASD_PT_INT || key->kind == ASD_PT_BOOL) {
        n = (size_t)snprintf(own, sizeof own, "%" PRId64, key ? key->integer : place);
    } else {
        n = (size_t)snprintf(own, sizeof own, "(%s %" PRId64 ")", asd_pt_kind_name(key->kind),
                             place);
    }
    const size_t dot = k->n > 0;
    if (n > ASD_W_MAX_NAME || k->n + dot + n > ASD_W_MAX_NAME)
        return ASD_FAIL(ASD_E_DATA,
                        "%s: a key below \"%s\" makes a name of %zu bytes, want %d at most",
                        k->p->path, k->path, k->n + dot + n, ASD_W_MAX_NAME);
    if (dot)
        k->path[k->n++] = '.';
    for (size_t i = 0; i < n; ++i) {
        const unsigned char c       = (unsigned char)text[i];
        const int           control = c < 0x20 || c == 0x7f;
        k->odd |= control;
        k->path[k->n++] = control ? '?' : (char)c;
    }
    k->path[k->n] = 0;
    k->odd |= n == 0;
    return ASD_OK;
}

static asd_status visit_child(walk *k, const asd_pt_value *key, int64_t place, int32_t child,
                              int depth)
{
    const size_t n = k->n, parent = k->parent;
    const int    odd = k->odd;
    k->parent        = n;
    ASD_TRY(enter(k, key, place));
    ASD_TRY(visit(k, child, depth + 1));
    k->path[n] = 0;
    k->n       = n;
    k->parent  = parent;
    k->odd     = odd;
    return ASD_OK;
}

static int by_text(const void *a, const void *b)
{
    const asd_pt_value *x = *(const asd_pt_value *const *)a, *y = *(const asd_pt_value *const *)b;
    const size_t        n = x->bytes < y->bytes ? x->bytes : y->bytes;
    const int           c = n ? memcmp(x->text, y->text, n) : 0;
    return c ? c : (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

/* Python would silently take the last of two equal keys. */
static asd_status check_keys(const walk *k, const asd_pt_value *dict)
{
    int64_t              n   = 0;
    asd_status           st  = ASD_OK;
    const asd_pt_value **key = malloc((size_t)(dict->n_items / 2 + 1) * sizeof *key);
    if (!key)
        return ASD_FAIL(ASD_E_OOM, "%s: no memory for %d keys", k->p->path, dict->n_items / 2);
    for (int32_t i = 0; i + 1 < dict->n_items; i += 2)
        if (k->p->value[dict->item[i]].kind == ASD_PT_TEXT)
            key[n++] = &k->p->value[dict->item[i]];
    qsort(key, (size_t)n, sizeof *key, by_text);
    for (int64_t i = 1; !st && i < n; ++i)
        if (!by_text(&key[i - 1], &key[i]))
            st = ASD_FAIL(ASD_E_DATA, "%s: \"%s\" has the key \"%.*s\" twice", k->p->path, k->path,
                          (int)(key[i]->bytes < 200 ? key[i]->bytes : 200), key[i]->text);
    free(key);
    return st;
}

static asd_status visit(walk *k, int32_t index, int depth)
{
    const asd_pt_value *v = &k->p->value[index];
    if (depth > ASD_W_MAX_DEPTH || ++k->visits > MAX_VISITS)
        return ASD_FAIL(ASD_E_DATA, "%s: \"%.60s\" is %s: does it contain itself?", k->p->path,
                        k->path, depth > ASD_W_MAX_DEPTH ? "too deep" : "too much");
    if (v->kind == ASD_PT_DICT || v->kind == ASD_PT_RECORD) {
        if (v->kind == ASD_PT_RECORD && v->n_items == 0)
            return add_name(k, v);
        ASD_TRY(check_keys(k, v));
        for (int32_t i = 0; i + 1 < v->n_items; i += 2)
            ASD_TRY(visit_child(k, &k->p->value[v->item[i]], i / 2, v->item[i + 1], depth));
        return ASD_OK;
    }
    if (v->kind == ASD_PT_LIST || v->kind == ASD_PT_TUPLE || v->kind == ASD_PT_SET) {
        for (int32_t i = 0; i < v->n_items; ++i)
            ASD_TRY(visit_child(k, NULL, i, v->item[i], depth));
        return ASD_OK;
    }
    return add_leaf(k, v);
}

asd_status asd_weights_from_pickle(asd_weights_builder *b, const asd_pt_pickle *p)
{
    const asd_pt_kind kind = p->value[p->root].kind;
    if (kind != ASD_PT_DICT)
        return ASD_FAIL(ASD_E_DATA, "%s: the pickle holds %s, want a dictionary of tensors",
                        p->path, asd_pt_kind_name(kind));
    walk *k = calloc(1, sizeof *k);
    if (!k)
        return ASD_FAIL(ASD_E_OOM, "%s: no memory", p->path);
    k->b          = b;
    k->p          = p;
    asd_status st = visit(k, p->root, 0);
    free(k);
    return st;
}
