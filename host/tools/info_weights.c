/* info_weights.c - asd-info FILE: what a checkpoint holds. */
#include "base/file.h"
#include "nn/weights.h"
#include "tools/info.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static json_t *describe_tensor(const asd_weight *t)
{
    json_t *shape = json_array();
    for (int i = 0; i < t->n_dims; ++i)
        json_array_append_new(shape, json_integer(t->dim[i]));
    return json_pack("{s:s, s:s, s:s, s:o, s:I}", "name", t->name, "where", t->where, "dtype",
                     asd_wdtype_name(t->dtype), "shape", shape, "elements",
                     (json_int_t)asd_weight_count(t));
}

static json_t *describe_setting(const asd_weights_meta *m)
{
    if (m->kind == ASD_META_TEXT)
        return json_string(m->text);
    if (m->kind == ASD_META_NONE || !isfinite(m->number)) /* JSON has no infinity */
        return json_null();
    return fabs(m->number) <= 0x1p53 && m->number == nearbyint(m->number)
               ? json_integer((json_int_t)m->number)
               : json_real(m->number);
}

/* The tensors from `first` on that lie in the same dictionary, up to the next that does not. */
static int64_t run_of(const asd_weights *w, int64_t first, int64_t *elements)
{
    int64_t i = first;
    for (*elements = 0; i < w->n && !strcmp(w->tensor[i].where, w->tensor[first].where); ++i)
        *elements += asd_weight_count(&w->tensor[i]);
    return i - first;
}

static int64_t count_root(const asd_weights *w, int64_t *elements)
{
    int64_t n = 0;
    *elements = 0;
    for (int64_t i = 0; i < w->n; ++i)
        if (!strcmp(w->tensor[i].where, w->root)) {
            *elements += asd_weight_count(&w->tensor[i]);
            ++n;
        }
    return n;
}

static asd_status print_json(const asd_weights *w, const char *hash, FILE *out)
{
    json_t *tensors = json_array(), *settings = json_object();
    int64_t elements;
    for (int64_t i = 0; i < w->n; ++i)
        json_array_append_new(tensors, describe_tensor(&w->tensor[i]));
    for (int64_t i = 0; i < w->n_meta; ++i)
        json_object_set_new(settings, w->meta[i].key, describe_setting(&w->meta[i]));
    const int64_t n = count_root(w, &elements);
    json_t       *root =
        json_pack("{s:s, s:s, s:s, s:I, s:s, s:s, s:I, s:I, s:o, s:o}", "schema", "asd.weights/1",
                  "file", w->path, "format", w->format, "bytes", (json_int_t)w->map_bytes, "sha256",
                  hash, "root", w->root, "n_tensors", (json_int_t)n, "n_elements",
                  (json_int_t)elements, "settings", settings, "tensors", tensors);
    asd_status st = ASD_OK;
    if (!root)
        st = ASD_FAIL(ASD_E_DATA, "%s: a name in it or its own is not UTF-8, so JSON cannot say it",
                      w->path);
    else if (json_dumpf(root, out, JSON_INDENT(2)) || fputc('\n', out) == EOF)
        st = ASD_FAIL(ASD_E_IO, "cannot write the result");
    json_decref(root);
    return st;
}

/* Control characters of a hostile file must not reach a terminal. */
static void print_text(const char *text, FILE *out)
{
    for (; *text; ++text) {
        const unsigned char c = (unsigned char)*text;
        fputc(c < 0x20 || c == 0x7f ? '?' : c, out);
    }
}

static void print_setting(const asd_weights_meta *m, FILE *out)
{
    const int width = 34 - (int)strlen(m->key);
    fputs("  ", out);
    print_text(m->key, out);
    fprintf(out, "%*s", width > 1 ? width : 1, "");
    if (m->kind == ASD_META_TEXT)
        print_text(m->text, out);
    else if (m->kind == ASD_META_NUMBER)
        fprintf(out, "%.9g", m->number);
    else
        fputs("None", out);
    fputc('\n', out);
}

static void print_tensor(const asd_weight *t, FILE *out)
{
    char shape[160];
    fprintf(out, "  %-60s %-5s %s\n", t->name, asd_wdtype_name(t->dtype),
            asd_weight_shape_text(t, shape, sizeof shape));
}

static void print_head(const char *where, int64_t n, int64_t elements, const char *more, FILE *out)
{
    fprintf(out, "%s (%" PRId64 " tensor%s, %" PRId64 " elements)%s\n", *where ? where : "tensors",
            n, n == 1 ? "" : "s", elements, more);
}

/* The state dictionary first, what lies beside it after. */
static void print_tensors(const asd_weights *w, FILE *out)
{
    int64_t elements, n = count_root(w, &elements);
    print_head(w->root, n, elements, "", out);
    for (int64_t i = 0; i < w->n; ++i)
        if (!strcmp(w->tensor[i].where, w->root))
            print_tensor(&w->tensor[i], out);
    for (int64_t i = 0; i < w->n; i += n) {
        n = run_of(w, i, &elements);
        if (!strcmp(w->tensor[i].where, w->root))
            continue;
        print_head(w->tensor[i].where, n, elements, ", beside the state dictionary", out);
        for (int64_t k = i; k < i + n; ++k)
            print_tensor(&w->tensor[k], out);
    }
}

asd_status info_weights(const char *path, int json, FILE *out)
{
    asd_weights w;
    char        hash[65];
    asd_status  st = asd_weights_open(path, &w);
    if (!st)
        st = asd_weights_sha256(&w, hash);
    if (!st && json) {
        st = print_json(&w, hash, out);
    } else if (!st) {
        fprintf(out, "%-36s %s\n%-36s %s\n%-36s %zu\n%-36s %s\n", "file", asd_base_name(path),
                "format", w.format, "bytes", w.map_bytes, "SHA-256", hash);
        if (w.n_meta)
            fputs("settings\n", out);
        for (int64_t i = 0; i < w.n_meta; ++i)
            print_setting(&w.meta[i], out);
        print_tensors(&w, out);
        if (ferror(out))
            st = ASD_FAIL(ASD_E_IO, "cannot write the result");
    }
    asd_weights_close(&w);
    return st;
}
