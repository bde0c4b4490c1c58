/* get_record.c - the table of Zenodo records, and what a record's JSON says about its files. */
#include "data/get.h"

#include "base/opt.h"
#include "base/utf8.h"

#include <ctype.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* Records: dcase2026 2.1. From 2023 on the official baselines unpack into raw/, before that into
 * the part's own folder. */
#define YEAR(year, raw, dev, add, eval)                                                            \
    {"dcase" year "-dev", dev, "dev_data" raw, year " development set"},                           \
        {"dcase" year "-add", add, "eval_data" raw, year " additional training set"},              \
    {                                                                                              \
        "dcase" year "-eval", eval, "eval_data" raw, year " evaluation (test) set"                 \
    }
const asd_get_set asd_get_sets[] = {
    YEAR("2026", "/raw", 19336329, 20151556, 20437238),
    YEAR("2025", "/raw", 15097779, 15392814, 15519362),
    YEAR("2024", "/raw", 10902294, 11259435, 11363076),
    YEAR("2023", "/raw", 7882613, 7830345, 7860847),
    YEAR("2022", "", 6355122, 6462969, 6586456),
    YEAR("2021", "", 4562016, 4660992, 4884786),
    YEAR("2020", "", 3678171, 3727685, 3841772),
    {NULL, 0, NULL, NULL},
};
#undef YEAR

asd_status asd_get_find(const char *name, const asd_get_set **out)
{
    const char *names[sizeof asd_get_sets / sizeof *asd_get_sets];
    int64_t     n = 0;
    *out          = NULL;
    for (const asd_get_set *s = asd_get_sets; s->name; ++s) {
        if (!strcmp(s->name, name)) {
            *out = s;
            return ASD_OK;
        }
        names[n++] = s->name;
    }
    const char *near = asd_nearest(name, names, n);
    return ASD_FAIL(ASD_E_USAGE, "unknown data set \"%s\"%s%s%s (asd-data get --list shows all)",
                    name, near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

/* A key becomes a file name in our folder: a plain one, and never hidden. */
static int good_key(const char *key)
{
    if (!*key || *key == '.' || strlen(key) > 180 || !asd_utf8_valid(key))
        return 0;
    for (const char *p = key; *p; ++p)
        if (*p == '/' || *p == '\\' || (unsigned char)*p < 0x20 || *p == 0x7F)
            return 0;
    return 1;
}

static int good_md5(const char *text)
{
    for (int i = 0; i < 32; ++i)
        if (!isxdigit((unsigned char)text[i]))
            return 0;
    return text[32] == 0;
}

/* Appends text to url, with every byte but those of `keep` and letters and digits as %XX. */
static void append_escaped(char *url, const char *text, const char *keep)
{
    char *out = url + strlen(url);
    for (const unsigned char *p = (const unsigned char *)text; *p; ++p)
        out += sprintf(out, isalnum(*p) || strchr(keep, *p) ? "%c" : "%%%02X", *p);
}

/* The path of a link on our base; Zenodo leaves blanks in it as they are. A file without a link
 * gets the API's usual form. */
static asd_status make_url(const json_t *file, const char *base, int64_t id, asd_get_file *f)
{
    const char *link = json_string_value(json_object_get(json_object_get(file, "links"), "self"));
    const char *host = link ? strstr(link, "://") : NULL;
    const char *path = host ? strchr(host + 3, '/') : NULL;
    size_t      size = strlen(base) + 3 * strlen(path ? path : f->key) + 80;
    if (!(f->url = malloc(size)))
        return ASD_FAIL(ASD_E_OOM, "record %" PRId64 ": no memory for a link", id);
    if (path) {
        snprintf(f->url, size, "%s", base);
        append_escaped(f->url, path, "-._~/%?=&+:@!$'()*,;");
    } else {
        snprintf(f->url, size, "%s/api/records/%" PRId64 "/files/", base, id);
        append_escaped(f->url, f->key, "-._~");
        strcat(f->url, "/content");
    }
    return ASD_OK;
}

static asd_status parse_file(const json_t *file, const char *base, int64_t id, asd_get_file *f)
{
    const char   *key  = json_string_value(json_object_get(file, "key"));
    const char   *sum  = json_string_value(json_object_get(file, "checksum"));
    const json_t *size = json_object_get(file, "size");
    if (!key || !good_key(key))
        return ASD_FAIL(ASD_E_DATA,
                        "record %" PRId64 ": a file named \"%.100s\"; want a plain name", id,
                        key ? key : "");
    snprintf(f->key, sizeof f->key, "%s", key);
    if (!sum || strncmp(sum, "md5:", 4) || !good_md5(sum + 4))
        return ASD_FAIL(ASD_E_DATA,
                        "record %" PRId64
                        ": %s has the checksum \"%.50s\"; want md5: and 32 digits",
                        id, key, sum ? sum : "");
    for (int i = 0; i < 33; ++i)
        f->md5[i] = (char)tolower((unsigned char)sum[4 + i]);
    f->size = json_integer_value(size);
    if (!json_is_integer(size) || f->size < 1)
        return ASD_FAIL(ASD_E_DATA, "record %" PRId64 ": %s has no size", id, key);
    return make_url(file, base, id, f);
}

asd_status asd_get_record_parse(const char *json, size_t n, const char *base_url, int64_t id,
                                asd_get_record *out)
{
    json_error_t error;
    asd_status   st   = ASD_OK;
    json_t      *root = json_loadb(json, n, 0, &error);
    *out              = (asd_get_record){.title = ""};
    if (!json_is_object(root)) {
        st = ASD_FAIL(ASD_E_DATA, "record %" PRId64 ": the answer is not JSON (line %d: %s)", id,
                      root ? 1 : error.line, root ? "no object" : error.text);
        goto done;
    }
    const json_t *files = json_object_get(root, "files");
    const json_t *about = json_object_get(root, "metadata");
    const char   *title = json_string_value(json_object_get(about, "title"));
    const char   *licence =
        json_string_value(json_object_get(json_object_get(about, "license"), "id"));
    snprintf(out->title, sizeof out->title, "%s", title ? title : "");
    snprintf(out->licence, sizeof out->licence, "%s", licence ? licence : "");
    if (!json_array_size(files)) {
        st = ASD_FAIL(ASD_E_DATA, "record %" PRId64 " lists no files (is it public?)", id);
        goto done;
    }
    if (!(out->file = calloc(json_array_size(files), sizeof *out->file))) {
        st = ASD_FAIL(ASD_E_OOM, "record %" PRId64 ": no memory for its files", id);
        goto done;
    }
    for (size_t i = 0; i < json_array_size(files); ++i) {
        asd_get_file *f = out->file + out->n++;
        ASD_GO(done, st, parse_file(json_array_get(files, i), base_url, id, f));
        for (int64_t k = 0; k < out->n - 1; ++k)
            if (!strcmp(out->file[k].key, f->key)) {
                st = ASD_FAIL(ASD_E_DATA, "record %" PRId64 ": %s is listed twice", id, f->key);
                goto done;
            }
    }
done:
    json_decref(root);
    return st;
}

void asd_get_record_clear(asd_get_record *r)
{
    for (int64_t i = 0; i < r->n; ++i)
        free(r->file[i].url);
    free(r->file);
    *r = (asd_get_record){.title = ""};
}
