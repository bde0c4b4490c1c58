/* saved.c - see saved.h. */
#include "detect/saved.h"

#include "nn/safetensors.h"
#include "nn/weights.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME = 96 };
#define FORMAT "asd.detector/1"

typedef struct field {
    char        name[NAME];
    asd_wdtype  dtype;
    const void *data; /* NULL: number */
    int64_t     n, number;
} field;

struct asd_saved {
    asd_status   st;
    const char  *path;
    char         prefix[NAME];
    asd_weights *from;    /* loading */
    field       *field;   /* saving */
    int64_t      n, room; /* fields so far */
    void        *own[8];
    int          n_own;
    int          streams; /* that come to the step at hand */
    int64_t      width[ASD_MAX_STREAMS];
};

int asd_saved_ok(const asd_saved *v)
{
    return !v->st;
}

int asd_saved_loads(const asd_saved *v)
{
    return v->from != NULL;
}

int asd_saved_streams(const asd_saved *v)
{
    return v->streams;
}

int64_t asd_saved_width(const asd_saved *v, int stream)
{
    return v->width[stream];
}

int64_t asd_saved_joined(const asd_saved *v)
{
    int64_t all = 0;
    for (int i = 0; i < v->streams; ++i)
        all += v->width[i];
    return all;
}

void asd_saved_own(asd_saved *v, void *p)
{
    if (p) {
        ASD_ASSERT(v->n_own < (int)(sizeof v->own / sizeof *v->own));
        v->own[v->n_own++] = p;
    } else if (!v->st) {
        v->st = ASD_FAIL(ASD_E_OOM, "%s: no memory for fields", v->path);
    }
}

size_t asd_saved_enter(asd_saved *v, const char *name, int64_t index)
{
    size_t was = strlen(v->prefix);
    snprintf(v->prefix + was, sizeof v->prefix - was, "%s.%lld.", name, (long long)index);
    return was;
}

void asd_saved_leave(asd_saved *v, size_t was)
{
    v->prefix[was] = '\0';
}

static void full_name(const asd_saved *v, const char *name, char (*out)[NAME])
{
    int n = snprintf(*out, sizeof *out, "%s%s", v->prefix, name);
    ASD_ASSERT(n > 0 && n < NAME);
}

void asd_saved_wrong(asd_saved *v, const char *name)
{
    char full[NAME];
    full_name(v, name, &full);
    if (!v->st)
        v->st = ASD_FAIL(ASD_E_DATA, "%s: field %s does not fit the others", v->path, full);
}

/* --- one field --- */

static void keep(asd_saved *v, const char *name, asd_wdtype dtype, const void *data, int64_t n,
                 int64_t number)
{
    if (v->n == v->room) {
        int64_t room = v->room ? 2 * v->room : 32;
        field  *more = realloc(v->field, (size_t)room * sizeof *more);
        if (!more) {
            v->st = ASD_FAIL(ASD_E_OOM, "%s: no memory for %lld fields", v->path, (long long)room);
            return;
        }
        v->field = more;
        v->room  = room;
    }
    field *f = &v->field[v->n++];
    *f       = (field){.dtype = dtype, .data = data, .n = n, .number = number};
    full_name(v, name, &f->name);
}

/* The tensor of n elements, or NULL and a failure. */
static const void *find(asd_saved *v, const char *name, asd_wdtype dtype, int64_t n)
{
    char full[NAME], shape[160];
    full_name(v, name, &full);
    const asd_weight *t = asd_weights_find(v->from, full);
    ++v->n;
    if (t && t->dtype == dtype && t->n_dims == 1 && t->dim[0] == n)
        return t->data;
    v->st = t ? ASD_FAIL(ASD_E_DATA, "%s: field %s is %s %s, want %s [%lld]", v->path, full,
                         asd_wdtype_name(t->dtype), asd_weight_shape_text(t, shape, sizeof shape),
                         asd_wdtype_name(dtype), (long long)n)
              : ASD_FAIL(ASD_E_DATA, "%s: field %s is missing", v->path, full);
    return NULL;
}

/* allocate: *x is made by malloc when loading, once the file is known to hold as much. */
static void values(asd_saved *v, const char *name, asd_wdtype dtype, void **x, int64_t n,
                   int allocate)
{
    size_t bytes = (size_t)n * asd_wdtype_bytes(dtype);
    if (v->st)
        return;
    ASD_ASSERT(n >= 0);
    if (!v->from) {
        keep(v, name, dtype, *x, n, 0);
        return;
    }
    const void *data = find(v, name, dtype, n);
    if (!data)
        return;
    if (allocate && !(*x = malloc(bytes + 1)))
        v->st = ASD_FAIL(ASD_E_OOM, "%s: no memory for %s", v->path, name);
    else if (n)
        memcpy(*x, data, bytes);
}

void asd_saved_int(asd_saved *v, const char *name, int64_t *x, int64_t least, int64_t most)
{
    char full[NAME];
    if (v->st)
        return;
    if (!v->from) {
        keep(v, name, ASD_W_I64, NULL, 1, *x);
        return;
    }
    void *p = x;
    values(v, name, ASD_W_I64, &p, 1, 0);
    full_name(v, name, &full);
    if (!v->st && (*x < least || *x > most))
        v->st = ASD_FAIL(ASD_E_DATA, "%s: %s is %lld, want %lld to %lld", v->path, full,
                         (long long)*x, (long long)least, (long long)most);
}

void asd_saved_values(asd_saved *v, const char *name, double *x, int64_t n)
{
    void *p = x;
    values(v, name, ASD_W_F64, &p, n, 0);
}

void asd_saved_reals(asd_saved *v, const char *name, double **x, int64_t n)
{
    void *p = *x;
    values(v, name, ASD_W_F64, &p, n, 1);
    *x = p;
}

void asd_saved_floats(asd_saved *v, const char *name, float **x, int64_t n)
{
    void *p = *x;
    values(v, name, ASD_W_F32, &p, n, 1);
    *x = p;
}

void asd_saved_ints(asd_saved *v, const char *name, int64_t **x, int64_t n)
{
    void *p = *x;
    values(v, name, ASD_W_I64, &p, n, 1);
    *x = p;
}

/* --- what several detectors have --- */

void asd_saved_panels(asd_saved *v, const char *name, asd_panels *p, int64_t rows, int64_t columns)
{
    size_t  was    = asd_saved_enter(v, name, 0);
    int64_t solves = p->solves;
    double *a      = v->from ? NULL : p->a;
    asd_saved_int(v, "rows", &p->D, rows, rows);
    asd_saved_int(v, "columns", &p->k, columns ? columns : 1, columns ? columns : ASD_MAX_COLUMNS);
    asd_saved_int(v, "solves", &solves, 0, 1);
    if (!v->st && solves && p->D != p->k)
        asd_saved_wrong(v, "columns");
    if (!v->st) {
        p->solves = (int)solves;
        asd_saved_reals(v, "numbers", &a, asd_panels_numbers(p));
    }
    if (v->from) { /* panels are aligned, unlike what malloc gives */
        if (!v->st)
            v->st = asd_panels_copy(p, a);
        free(a);
    }
    asd_saved_leave(v, was);
}

void asd_saved_basis(asd_saved *v, const char *name, asd_basis *b, int64_t columns)
{
    size_t  was = asd_saved_enter(v, name, 0);
    int64_t one = b->one_centre, has_value = b->value != NULL;
    asd_saved_panels(v, "axis", &b->axis, columns, 0);
    asd_saved_int(v, "one_centre", &one, 0, 1);
    asd_saved_int(v, "whitened", &has_value, 0, 1);
    asd_saved_int(v, "source", &b->count.n[0], 0, INT64_MAX);
    asd_saved_int(v, "target", &b->count.n[1], 0, INT64_MAX);
    if (!v->st) {
        b->D          = b->axis.D;
        b->k          = b->axis.k;
        b->one_centre = (int)one;
        asd_saved_reals(v, "mean", &b->mean, b->D);
        asd_saved_reals(v, "source_mean", &b->target[0], b->k);
        asd_saved_reals(v, "target_mean", &b->target[1], b->k);
        if (has_value)
            asd_saved_reals(v, "variance", &b->value, b->k);
    }
    asd_saved_leave(v, was);
}

/* --- a pipeline --- */

/* "near,far | pca-k-6 | knn": everything that a fit depends on but the clips. */
static void pipeline_text(const asd_pipeline *p, char *out, size_t size)
{
    size_t at = 0;
    for (int i = 0; i < p->n_streams && at < size; ++i)
        at += (size_t)snprintf(out + at, size - at, "%s%s", i ? "," : "", p->stream[i]);
    for (int i = 0; i < p->n_steps && at < size; ++i)
        at += (size_t)snprintf(out + at, size - at, " | %s", p->step[i].label);
    ASD_ASSERT(at < size);
}

enum { TEXT = ASD_MAX_STREAMS * 65 + ASD_MAX_STEPS * 131 + 1 };

static void pipeline_fields(asd_pipeline *p, asd_saved *v)
{
    int64_t heads = p->heads;
    asd_saved_int(v, "heads", &heads, 1, 2);
    asd_saved_int(v, "rows", &p->rows, 1, INT32_MAX);
    for (int i = 0; i < p->n_streams; ++i) {
        size_t was = asd_saved_enter(v, "stream", i);
        asd_saved_int(v, "columns", &p->D[i], 1, ASD_MAX_COLUMNS);
        asd_saved_leave(v, was);
    }
    p->heads   = (int)heads;
    v->streams = p->n_streams;
    memcpy(v->width, p->D, sizeof p->D);
    for (int i = 0; i < p->n_steps && !v->st; ++i) {
        const asd_detector *d   = p->step[i].detector;
        size_t              was = asd_saved_enter(v, "step", i);
        d->fields(p->step[i].state, p->step[i].params, v);
        asd_saved_leave(v, was);
        for (int k = 0; k < v->streams && !v->st && d->map_width; ++k)
            v->width[k] = d->map_width(p->step[i].state, k);
    }
}

asd_status asd_pipeline_save(const asd_pipeline *p, const char *what, const char *path)
{
    char         text[TEXT];
    asd_pipeline here = *p; /* fields only reads, and takes a pointer for both directions */
    asd_saved    v    = {.path = path};
    for (int i = 0; i < p->n_steps; ++i)
        ASD_ASSERT(p->step[i].state);
    pipeline_text(p, text, sizeof text);
    const char *meta[] = {"format", FORMAT, "pipeline", text, "machine", what};
    pipeline_fields(&here, &v);
    asd_st_raw *entry = v.st ? NULL : malloc((size_t)(v.n + 1) * sizeof *entry);
    if (!v.st && !entry)
        v.st = ASD_FAIL(ASD_E_OOM, "%s: no memory for %lld fields", path, (long long)v.n);
    for (int64_t i = 0; i < v.n && !v.st; ++i) {
        field *f = &v.field[i];
        entry[i] =
            (asd_st_raw){f->name, asd_wdtype_name(f->dtype),     asd_wdtype_bytes(f->dtype), 1,
                         {f->n},  f->data ? f->data : &f->number};
    }
    if (!v.st)
        v.st = asd_safetensors_write_raw(path, entry, v.n, meta, sizeof meta / sizeof *meta / 2);
    for (int i = 0; i < v.n_own; ++i)
        free(v.own[i]);
    free(entry);
    free(v.field);
    return v.st;
}

static asd_status check_meta(const asd_weights *w, const char *key, const char *want)
{
    const char *found = asd_weights_text(w, key);
    if (found && !strcmp(found, want))
        return ASD_OK;
    return ASD_FAIL(ASD_E_DATA, "%s: %s is %s%s%s, want \"%s\"", w->path, key, found ? "\"" : "",
                    found ? found : "not there", found ? "\"" : "", want);
}

asd_status asd_pipeline_load(asd_pipeline *p, const char *what, const char *path)
{
    char        text[TEXT];
    asd_weights w;
    asd_saved   v = {.path = path, .from = &w};
    pipeline_text(p, text, sizeof text);
    v.st = asd_weights_open(path, &w);
    if (!v.st)
        v.st = check_meta(&w, "format", FORMAT);
    if (!v.st)
        v.st = check_meta(&w, "pipeline", text);
    if (!v.st)
        v.st = check_meta(&w, "machine", what);
    for (int i = 0; i < p->n_steps && !v.st; ++i)
        v.st = asd_detector_new_state(&p->step[i], what);
    if (!v.st)
        pipeline_fields(p, &v);
    if (!v.st && v.n != w.n)
        v.st = ASD_FAIL(ASD_E_DATA, "%s: %lld fields, want %lld", path, (long long)w.n,
                        (long long)v.n);
    for (int i = 0; i < p->n_steps && v.st; ++i)
        asd_detector_drop_state(&p->step[i]);
    asd_weights_close(&w);
    return v.st;
}
