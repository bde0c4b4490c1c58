/* embed_key.c - see embed_key.h. */
#include "data/embed_key.h"

#include "base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CANONICAL = JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(17) };

asd_status asd_embed_method_text(json_t *method, char **text)
{
    *text = NULL;
    if (!json_object_set_new(method, "format", json_integer(ASD_EMBED_FORMAT)))
        *text = json_dumps(method, CANONICAL);
    return *text ? ASD_OK : ASD_FAIL(ASD_E_OOM, "no memory for the method of an embedding");
}

/* One line "HASH NAME" a clip, in the order of names. */
static asd_status hash_audio(const asd_embeddings *e, char hex[33])
{
    char  *text = NULL;
    size_t size = 0;
    FILE  *f    = open_memstream(&text, &size);
    for (int64_t i = 0; f && i < e->N; ++i)
        fprintf(f, "%s %s\n", e->audio[i], e->clip[i]);
    if (!f || fclose(f)) {
        free(text);
        return ASD_FAIL(ASD_E_OOM, "no memory for the names of %lld clips", (long long)e->N);
    }
    asd_hash_bytes(text, size, hex);
    free(text);
    return ASD_OK;
}

asd_status asd_embed_key_make(const char *method, const asd_embeddings *e, char **material,
                              char **key)
{
    char    hash[33];
    json_t *o = json_loads(method, 0, NULL);
    *material = *key = NULL;
    ASD_ASSERT(json_is_object(o));
    asd_status st = hash_audio(e, hash);
    if (!st) {
        json_object_set_new(o, "audio",
                            json_pack("{s:I, s:s}", "clips", (json_int_t)e->N, "hash", hash));
        *material = json_dumps(o, CANONICAL);
        *key      = calloc(1, 33);
        if (!*material || !*key)
            st = ASD_FAIL(ASD_E_OOM, "no memory for the key of an embedding");
        else
            asd_hash_bytes(*material, strlen(*material), *key);
    }
    json_decref(o);
    if (st) {
        free(*material);
        free(*key);
        *material = *key = NULL;
    }
    return st;
}

asd_status asd_embed_key_method(const char *path, const char *material, char **method)
{
    json_error_t why;
    json_t      *o = json_loads(material, JSON_REJECT_DUPLICATES, &why);
    *method        = NULL;
    if (!json_is_object(o)) {
        json_decref(o);
        return ASD_FAIL(ASD_E_DATA, "%s: key_material is not a JSON object", path);
    }
    json_object_del(o, "audio");
    *method = json_dumps(o, CANONICAL);
    json_decref(o);
    return *method ? ASD_OK : ASD_FAIL(ASD_E_OOM, "%s: no memory for its method", path);
}

/* 24 letters of a text from `from` on, or a whole value of another kind. */
static void value_text(const json_t *v, size_t from, char *out, size_t size)
{
    char       *text   = v ? json_dumps(v, CANONICAL | JSON_ENCODE_ANY) : NULL;
    const char *string = json_string_value(v);
    if (string)
        snprintf(out, size, "%s%.24s%s", from ? ".." : "", string + from,
                 strlen(string + from) > 24 ? ".." : "");
    else
        snprintf(out, size, "%.60s", text ? text : "absent");
    free(text);
}

/* Where two texts must be shown from for the difference to be seen: 0, or shortly before it. */
static size_t where_different(const json_t *was, const json_t *now)
{
    const char *a = json_string_value(was), *b = json_string_value(now);
    size_t      n = 0;
    while (a && b && a[n] && a[n] == b[n])
        ++n;
    return n > 16 ? n - 8 : 0;
}

static void compare(const char *path, const json_t *was, const json_t *now, FILE *out)
{
    char        a[80], b[80];
    const char *key;
    json_t     *value, *both;
    if (was && now && json_equal(was, now))
        return;
    if (!json_is_object(was) || !json_is_object(now)) {
        size_t from = where_different(was, now);
        value_text(was, from, a, sizeof a);
        value_text(now, from, b, sizeof b);
        fprintf(out, "%s: was %s, now %s; ", path, a, b);
        return;
    }
    if (!(both = json_copy((json_t *)(uintptr_t)was)))
        return;
    json_object_update_missing(both, (json_t *)(uintptr_t)now);
    json_object_foreach(both, key, value)
    {
        char inner[256];
        snprintf(inner, sizeof inner, "%s%s%s", path, *path ? "." : "", key);
        compare(inner, json_object_get(was, key), json_object_get(now, key), out);
    }
    json_decref(both);
}

const char *asd_embed_difference(const char *was, const char *now, char *out, size_t size)
{
    json_t *a = json_loads(was, 0, NULL), *b = json_loads(now, 0, NULL);
    FILE   *f = fmemopen(out, size, "w");
    *out      = 0;
    if (f) {
        compare("", a, b, f);
        fclose(f);
    }
    out[size - 1] = 0;
    size_t n      = strlen(out);
    if (n > 2 && !strcmp(out + n - 2, "; "))
        out[n - 2] = 0;
    json_decref(a);
    json_decref(b);
    return out;
}
