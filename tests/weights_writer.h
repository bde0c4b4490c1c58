/* weights_writer.h - makes checkpoints as others write them, for tests: PyTorch's zip and legacy
 * forms and safetensors, from lists of tensors and settings. Included where it is used.
 *
 *   const ww_tensor t[] = {{"model", "fc1.weight", 2, {4, 3}, x}, {"model._ema", ...}};
 *   const ww_setting s[] = {{"cfg", "encoder_layers", WW_INT, 12, NULL}};
 *   ww_write(WW_ZIP, path, t, 2, s, 1);
 *
 * `where` is the path of dictionaries around a name, joined by '.', "" for the outermost; the
 * dictionaries are made in the order of their first appearance, settings first. One that holds a
 * tensor is an OrderedDict with _metadata, as state_dict() gives it. For safetensors `where` of a
 * tensor is put before its name, and settings (texts only) are its metadata.
 *
 * The zip is laid out as PyTorch's: stored, streamed (sizes and CRC behind the payload, flags
 * 0x0808), payloads on borders of 64 bytes by padding in the local extra field.
 */
#ifndef ASD_TESTS_WEIGHTS_WRITER_H
#define ASD_TESTS_WEIGHTS_WRITER_H

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum ww_form { WW_ZIP, WW_LEGACY, WW_SAFETENSORS } ww_form;
typedef enum ww_kind { WW_INT, WW_REAL, WW_BOOL, WW_NONE, WW_TEXT } ww_kind;

typedef struct ww_tensor {
    const char  *where, *name;
    int          n_dims;
    int64_t      dim[6];
    const float *x; /* C order */
} ww_tensor;

typedef struct ww_setting {
    const char *where, *key;
    ww_kind     kind;
    double      number;
    const char *text;
} ww_setting;

/* A file in memory while it is made. */
typedef struct ww_buffer {
    unsigned char *at;
    size_t         n, room;
} ww_buffer;

static inline void ww_put(ww_buffer *b, const void *data, size_t n)
{
    if (b->n + n > b->room) {
        b->room = 2 * (b->n + n) + 64;
        b->at   = realloc(b->at, b->room);
        assert_non_null(b->at);
    }
    if (n)
        memcpy(b->at + b->n, data, n);
    b->n += n;
}

static inline void ww_le(ww_buffer *b, uint64_t v, int n)
{
    unsigned char byte[8];
    for (int i = 0; i < n; ++i)
        byte[i] = (unsigned char)(v >> 8 * i);
    ww_put(b, byte, (size_t)n);
}

static inline void ww_op(ww_buffer *b, int op)
{
    ww_le(b, (uint64_t)op, 1);
}

/* --- pickle, protocol 2 --- */

typedef struct ww_pickler {
    ww_buffer         b;
    const ww_tensor  *t;
    const ww_setting *s;
    int               n_t, n_s, legacy;
    uint32_t          memo;
    int64_t           global[4]; /* where each was remembered, -1 = not yet */
} ww_pickler;

static inline uint32_t ww_remember(ww_pickler *p)
{
    ww_op(&p->b, p->memo < 256 ? 'q' : 'r');
    ww_le(&p->b, p->memo, p->memo < 256 ? 1 : 4);
    return p->memo++;
}

static inline void ww_text(ww_pickler *p, const char *s, size_t n)
{
    ww_op(&p->b, 'X');
    ww_le(&p->b, n, 4);
    ww_put(&p->b, s, n);
    ww_remember(p);
}

static inline void ww_word(ww_pickler *p, const char *s)
{
    ww_text(p, s, strlen(s));
}

static inline void ww_int(ww_pickler *p, int64_t v)
{
    if (v >= 0 && v < 256) {
        ww_op(&p->b, 'K');
        ww_le(&p->b, (uint64_t)v, 1);
    } else if (v >= 0 && v < 65536) {
        ww_op(&p->b, 'M');
        ww_le(&p->b, (uint64_t)v, 2);
    } else if (v >= INT32_MIN && v <= INT32_MAX) {
        ww_op(&p->b, 'J');
        ww_le(&p->b, (uint64_t)v, 4);
    } else {
        ww_op(&p->b, 0x8a);
        ww_op(&p->b, 8);
        ww_le(&p->b, (uint64_t)v, 8);
    }
}

static inline void ww_global(ww_pickler *p, int which)
{
    static const char *const name[4] = {"collections\nOrderedDict\n",
                                        "torch._utils\n_rebuild_tensor_v2\n",
                                        "torch\nFloatStorage\n", "torch\nLongStorage\n"};
    if (p->global[which] >= 0) {
        ww_op(&p->b, p->global[which] < 256 ? 'h' : 'j');
        ww_le(&p->b, (uint64_t)p->global[which], p->global[which] < 256 ? 1 : 4);
        return;
    }
    ww_op(&p->b, 'c');
    ww_put(&p->b, name[which], strlen(name[which]));
    p->global[which] = ww_remember(p);
}

static inline void ww_ordered_dict(ww_pickler *p)
{
    ww_global(p, 0);
    ww_put(&p->b, ")R", 2);
    ww_remember(p);
}

static inline int64_t ww_count(const ww_tensor *t)
{
    int64_t n = 1;
    for (int i = 0; i < t->n_dims; ++i)
        n *= t->dim[i];
    return n;
}

/* Storage keys: 0, 1, ... in the zip form, addresses in the legacy form. */
static inline void ww_key(const ww_pickler *p, int i, char key[32])
{
    snprintf(key, 32, "%" PRId64, p->legacy ? INT64_C(94012345678912) + 64 * i : (int64_t)i);
}

static inline void ww_put_tensor(ww_pickler *p, int i)
{
    const ww_tensor *t = &p->t[i];
    char             key[32];
    int64_t          stride[6], step = 1;
    for (int k = t->n_dims; k-- > 0; step *= t->dim[k])
        stride[k] = step;
    ww_key(p, i, key);
    ww_global(p, 1);
    ww_put(&p->b, "((", 2);
    ww_word(p, "storage");
    ww_global(p, 2);
    ww_word(p, key);
    ww_word(p, "cuda:0");
    ww_int(p, ww_count(t));
    if (p->legacy)
        ww_op(&p->b, 'N');
    ww_op(&p->b, 't');
    ww_remember(p);
    ww_op(&p->b, 'Q');
    ww_int(p, 0);
    for (int pass = 0; pass < 2; ++pass) {
        ww_op(&p->b, '(');
        for (int k = 0; k < t->n_dims; ++k)
            ww_int(p, pass ? stride[k] : t->dim[k]);
        ww_op(&p->b, 't');
        ww_remember(p);
    }
    ww_op(&p->b, 0x89);
    ww_ordered_dict(p);
    ww_op(&p->b, 't');
    ww_remember(p);
    ww_op(&p->b, 'R');
    ww_remember(p);
}

static inline void ww_put_setting(ww_pickler *p, const ww_setting *s)
{
    uint64_t bits;
    switch (s->kind) {
    case WW_INT: ww_int(p, (int64_t)s->number); break;
    case WW_REAL:
        memcpy(&bits, &s->number, 8);
        ww_op(&p->b, 'G');
        for (int i = 8; i-- > 0;)
            ww_op(&p->b, (int)(bits >> 8 * i & 255));
        break;
    case WW_BOOL: ww_op(&p->b, s->number != 0 ? 0x88 : 0x89); break;
    case WW_NONE: ww_op(&p->b, 'N'); break;
    case WW_TEXT: ww_word(p, s->text);
    }
}

static inline const char *ww_where(const ww_pickler *p, int i)
{
    return i < p->n_s ? p->s[i].where : p->t[i - p->n_s].where;
}

/* The name of the dictionary in `path` on the way to `where`; its bytes, 0 if where is not below.
 */
static inline size_t ww_next(const char *path, const char *where, const char **name)
{
    const size_t n = strlen(path);
    if (!*where || strncmp(path, where, n) || (n && where[n] != '.'))
        return 0;
    *name = where + n + (n > 0);
    return strcspn(*name, ".");
}

/* The dictionary at `path`: its own leaves and, at their first appearance, those below. */
static inline void ww_put_dict(ww_pickler *p, const char *path)
{
    int has_tensor = 0, n_pairs = 0;
    for (int i = 0; i < p->n_t; ++i)
        has_tensor |= !strcmp(p->t[i].where, path);
    if (has_tensor) {
        ww_ordered_dict(p);
    } else {
        ww_op(&p->b, '}');
        ww_remember(p);
    }
    ww_op(&p->b, '(');
    for (int i = 0; i < p->n_s + p->n_t; ++i) {
        const char *name = NULL, *other = NULL, *where = ww_where(p, i);
        if (!strcmp(where, path)) {
            ww_word(p, i < p->n_s ? p->s[i].key : p->t[i - p->n_s].name);
            if (i < p->n_s)
                ww_put_setting(p, &p->s[i]);
            else
                ww_put_tensor(p, i - p->n_s);
        } else {
            const size_t n    = ww_next(path, where, &name);
            int          seen = n == 0;
            for (int k = 0; k < i && !seen; ++k)
                seen = ww_next(path, ww_where(p, k), &other) == n && !memcmp(name, other, n);
            if (seen)
                continue;
            char below[256];
            snprintf(below, sizeof below, "%.*s", (int)(name + n - where), where);
            ww_text(p, name, n);
            ww_put_dict(p, below);
        }
        if (++n_pairs % 1000 == 0) /* the pickler's batches */
            ww_put(&p->b, "u(", 2);
    }
    ww_op(&p->b, 'u');
    if (has_tensor) {
        ww_op(&p->b, '}');
        ww_word(p, "_metadata");
        ww_ordered_dict(p);
        ww_put(&p->b, "sb", 2);
    }
}

static inline void ww_pickle(ww_pickler *p)
{
    for (int i = 0; i < 4; ++i)
        p->global[i] = -1;
    p->memo = 0;
    ww_put(&p->b, "\x80\2", 2);
    ww_put_dict(p, "");
    ww_op(&p->b, '.');
}

/* --- zip --- */

typedef struct ww_zip {
    FILE     *f;
    uint64_t  at;
    ww_buffer directory;
    int       n;
} ww_zip;

static inline uint32_t ww_crc(const void *data, size_t n)
{
    const unsigned char *p = data;
    uint32_t             table[256], crc = ~0u;
    for (uint32_t i = 0; i < 256; ++i) {
        uint32_t c = i;
        for (int k = 0; k < 8; ++k)
            c = c & 1 ? c >> 1 ^ 0xedb88320u : c >> 1;
        table[i] = c;
    }
    while (n--)
        crc = crc >> 8 ^ table[(crc ^ *p++) & 255];
    return ~crc;
}

static inline void ww_member(ww_zip *z, const char *name, const void *data, size_t n)
{
    ww_buffer      h     = {0};
    const size_t   named = strlen(name);
    const uint64_t from  = z->at;
    const size_t   pad   = (64 - (from + 30 + named + 4) % 64) % 64;
    const uint32_t crc   = ww_crc(data, n);
    ww_le(&h, 0x04034b50, 4);
    ww_le(&h, 0, 2);      /* version needed */
    ww_le(&h, 0x0808, 2); /* sizes behind, name in UTF-8 */
    ww_le(&h, 0, 6);      /* stored; time and date */
    ww_le(&h, 0, 4);      /* CRC and both sizes: behind the payload */
    ww_le(&h, 0, 8);
    ww_le(&h, named, 2);
    ww_le(&h, 4 + pad, 2);
    ww_put(&h, name, named);
    ww_put(&h, "FB", 2);
    ww_le(&h, pad, 2);
    for (size_t i = 0; i < pad; ++i)
        ww_put(&h, "Z", 1);
    fwrite(h.at, 1, h.n, z->f);
    fwrite(data, 1, n, z->f);
    z->at += h.n + n;
    h.n = 0;
    ww_le(&h, 0x08074b50, 4);
    ww_le(&h, crc, 4);
    ww_le(&h, n, 4);
    ww_le(&h, n, 4);
    fwrite(h.at, 1, h.n, z->f);
    z->at += h.n;
    free(h.at);
    ww_buffer *d = &z->directory;
    ww_le(d, 0x02014b50, 4);
    ww_le(d, 0, 4);      /* versions */
    ww_le(d, 0x0808, 2); /* flags */
    ww_le(d, 0, 6);      /* stored; time and date */
    ww_le(d, crc, 4);
    ww_le(d, n, 4);
    ww_le(d, n, 4);
    ww_le(d, named, 2);
    ww_le(d, 0, 8); /* extra, comment, disk, internal attributes */
    ww_le(d, 0, 4); /* external attributes */
    ww_le(d, from, 4);
    ww_put(d, name, named);
    ++z->n;
}

static inline void ww_end_zip(ww_zip *z)
{
    const size_t size = z->directory.n;
    ww_buffer   *d    = &z->directory;
    ww_le(d, 0x06054b50, 4);
    ww_le(d, 0, 4);
    ww_le(d, (uint64_t)z->n, 2);
    ww_le(d, (uint64_t)z->n, 2);
    ww_le(d, size, 4);
    ww_le(d, z->at, 4);
    ww_le(d, 0, 2);
    fwrite(d->at, 1, d->n, z->f);
    free(d->at);
}

/* --- the three forms --- */

static inline void ww_write_zip(FILE *f, ww_pickler *p)
{
    ww_zip z = {.f = f};
    char   key[32], name[64];
    ww_pickle(p);
    ww_member(&z, "archive/data.pkl", p->b.at, p->b.n);
    ww_member(&z, "archive/byteorder", "little", 6);
    for (int i = 0; i < p->n_t; ++i) {
        ww_key(p, i, key);
        snprintf(name, sizeof name, "archive/data/%s", key);
        ww_member(&z, name, p->t[i].x, (size_t)ww_count(&p->t[i]) * sizeof(float));
    }
    ww_member(&z, "archive/version", "3\n", 2);
    ww_member(&z, "archive/.data/serialization_id", "0123456789", 10);
    ww_end_zip(&z);
}

static inline void ww_write_legacy(FILE *f, ww_pickler *p)
{
    static const char head[] = "\x80\2\x8a\x0al\xfc\x9c\x46\xf9 j\xa8P\x19."
                               "\x80\2M\xe9\3."
                               "\x80\2}q\0(X\x10\0\0\0protocol_versionq\1M\xe9\3"
                               "X\x0d\0\0\0little_endianq\2\x88X\x0a\0\0\0type_sizesq\3}q\4u.";
    char              key[32];
    p->legacy = 1;
    ww_put(&p->b, head, sizeof head - 1);
    ww_pickle(p);
    p->memo = 0;
    ww_put(&p->b, "\x80\2]q\0(", 6);
    p->memo = 1;
    for (int i = 0; i < p->n_t; ++i) {
        ww_key(p, i, key);
        ww_word(p, key);
    }
    ww_put(&p->b, "e.", 2);
    fwrite(p->b.at, 1, p->b.n, f);
    for (int i = 0; i < p->n_t; ++i) {
        p->b.n = 0;
        ww_le(&p->b, (uint64_t)ww_count(&p->t[i]), 8);
        fwrite(p->b.at, 1, 8, f);
        fwrite(p->t[i].x, sizeof(float), (size_t)ww_count(&p->t[i]), f);
    }
}

/* Names and texts must need no escapes. */
static inline void ww_write_safetensors(FILE *f, ww_pickler *p)
{
    char     text[600];
    uint64_t at = 0;
    ww_put(&p->b, "{\"__metadata__\":{", 17);
    for (int i = 0; i < p->n_s; ++i) {
        assert_int_equal(p->s[i].kind, WW_TEXT);
        int n =
            snprintf(text, sizeof text, "%s\"%s\":\"%s\"", i ? "," : "", p->s[i].key, p->s[i].text);
        ww_put(&p->b, text, (size_t)n);
    }
    ww_put(&p->b, "}", 1);
    for (int i = 0; i < p->n_t; ++i) {
        const ww_tensor *t     = &p->t[i];
        const uint64_t   bytes = (uint64_t)ww_count(t) * sizeof(float);
        int n = snprintf(text, sizeof text, ",\"%s%s%s\":{\"dtype\":\"F32\",\"shape\":[", t->where,
                         *t->where ? "." : "", t->name);
        for (int k = 0; k < t->n_dims; ++k)
            n += snprintf(text + n, sizeof text - (size_t)n, "%s%" PRId64, k ? "," : "", t->dim[k]);
        n += snprintf(text + n, sizeof text - (size_t)n,
                      "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", at, at + bytes);
        ww_put(&p->b, text, (size_t)n);
        at += bytes;
    }
    ww_put(&p->b, "}       ", 1 + (8 - (p->b.n + 1) % 8) % 8);
    const uint64_t size = p->b.n;
    unsigned char  length[8];
    for (int i = 0; i < 8; ++i)
        length[i] = (unsigned char)(size >> 8 * i);
    fwrite(length, 1, 8, f);
    fwrite(p->b.at, 1, p->b.n, f);
    for (int i = 0; i < p->n_t; ++i)
        fwrite(p->t[i].x, sizeof(float), (size_t)ww_count(&p->t[i]), f);
}

/* Fails the case when the file cannot be written. */
static inline void ww_write(ww_form form, const char *path, const ww_tensor *t, int n_t,
                            const ww_setting *s, int n_s)
{
    static void (*const write[])(FILE *, ww_pickler *) = {ww_write_zip, ww_write_legacy,
                                                          ww_write_safetensors};
    ww_pickler p                                       = {.t = t, .s = s, .n_t = n_t, .n_s = n_s};
    remove(path); /* file systems flush one that is written over */
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    write[form](f, &p);
    free(p.b.at);
    assert_int_equal(ferror(f), 0);
    assert_int_equal(fclose(f), 0);
}

#endif
