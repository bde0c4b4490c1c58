/* weights_map.c - see weights_map.h. First all names and shapes are looked at, then all values are
 * copied. */
#include "nn/weights_map.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CAPTURES = 4, LISTED = 10, NAME_ROOM = 1100 };

/* --- patterns --- */

typedef struct captures {
    const char *at[MAX_CAPTURES];
    size_t      n[MAX_CAPTURES];
    int         count;
} captures;

/* Shortest first, so the last wildcard takes what is left. */
static int fits(const char *pattern, const char *s, captures *c)
{
    for (; *pattern && *pattern != '*'; ++pattern, ++s)
        if (*pattern != *s)
            return 0;
    if (!*pattern)
        return !*s;
    const int   any  = pattern[1] == '*';
    const char *rest = pattern + 1 + any;
    const int   k    = c->count++;
    ASD_ASSERT(k < MAX_CAPTURES);
    for (size_t n = 1; s[n - 1] && (any || s[n - 1] != '.'); ++n) {
        c->at[k]    = s;
        c->n[k]     = n;
        const int m = c->count;
        if (fits(rest, s + n, c))
            return 1;
        c->count = m;
    }
    return 0;
}

int asd_weights_rename(const asd_weights_rule *rule, const char *name, char *to, size_t size)
{
    captures c = {.count = 0};
    size_t   n = 0;
    int      k = 0;
    if (!fits(rule->from, name, &c))
        return 0;
    for (const char *p = rule->to ? rule->to : ""; *p;) {
        const int   wild = *p == '*';
        const char *from = p;
        size_t      more = 1;
        ASD_ASSERT(!wild || k < c.count);
        if (wild) {
            from = c.at[k];
            more = c.n[k++];
        }
        p += wild && p[1] == '*' ? 2 : 1;
        ASD_ASSERT(n + more < size);
        memcpy(to + n, from, more);
        n += more;
    }
    to[n] = 0;
    return 1;
}

static int fits_any(const char *const *patterns, const char *name)
{
    for (; *patterns; ++patterns) {
        captures c = {.count = 0};
        if (fits(*patterns, name, &c))
            return 1;
    }
    return 0;
}

const char *asd_weights_prefix(const asd_weights *w, const char *name, const char *const *prefixes)
{
    char whole[NAME_ROOM];
    for (; *prefixes; ++prefixes) {
        snprintf(whole, sizeof whole, "%s%s", *prefixes, name);
        if (asd_weights_find(w, whole))
            return *prefixes;
    }
    return NULL;
}

/* --- what is wrong, collected --- */

typedef struct list {
    char    text[1200];
    size_t  n;
    int64_t count;
} list;

static void note(list *l, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void note(list *l, const char *format, ...)
{
    va_list args;
    if (l->count++ >= LISTED || l->n + 4 >= sizeof l->text)
        return;
    if (l->n)
        l->n += (size_t)snprintf(l->text + l->n, sizeof l->text - l->n, ", ");
    va_start(args, format);
    const int n = vsnprintf(l->text + l->n, sizeof l->text - l->n, format, args);
    va_end(args);
    l->n += (size_t)n;
    if (l->n >= sizeof l->text)
        l->n = sizeof l->text - 1;
}

typedef struct load {
    const asd_weights     *w;
    const asd_weights_map *map;
    asd_params            *p;
    uint32_t              *filled; /* (p->n) a bit for each part that some tensor gives */
    uint32_t              *wanted; /* (p->n) the bits that make it whole; 0: not seen */
    list                   missing, unexpected, misshapen;
} load;

/* --- shapes --- */

typedef struct plain {
    int     n;
    int64_t d[ASD_W_MAX_DIMS];
} plain;

static plain without_ones(int n, const int64_t *d)
{
    plain s = {0};
    for (int i = 0; i < n; ++i)
        if (d[i] != 1)
            s.d[s.n++] = d[i];
    return s;
}

static int64_t count_of(const plain *s, int from)
{
    int64_t n = 1;
    for (int i = from; i < s->n; ++i)
        n *= s->d[i];
    return n;
}

/* Makes (rows, columns) of the shape's first dimension and the rest. */
static plain flat(const plain *s)
{
    return s->n ? without_ones(2, (const int64_t[]){s->d[0], count_of(s, 1)}) : *s;
}

/* The part of the parameter that the tensor is to fill. */
static plain part_of(asd_shape shape, int parts)
{
    int64_t d[ASD_MAX_DIMS];
    for (int i = 0; i < shape.n; ++i)
        d[i] = shape.d[i];
    if (parts && shape.n)
        d[0] /= parts;
    return without_ones(shape.n, d);
}

static int shapes_fit(const asd_weight *t, asd_shape shape, const asd_weights_rule *r)
{
    plain have = without_ones(t->n_dims, t->dim), want = part_of(shape, r->parts);
    if (r->parts && (!shape.n || shape.d[0] % r->parts))
        return 0;
    if (r->how & ASD_MAP_FLAT)
        have = flat(&have);
    if (r->how & ASD_MAP_TRANSPOSE) {
        if (have.n != 2)
            return 0;
        const int64_t rows = have.d[1];
        have.d[1]          = have.d[0];
        have.d[0]          = rows;
    }
    if ((r->how & ASD_MAP_FIRST) && have.n && want.n == have.n && have.d[0] > want.d[0])
        have.d[0] = want.d[0];
    int same = have.n == want.n;
    for (int i = 0; same && i < have.n; ++i)
        same = have.d[i] == want.d[i];
    return same;
}

/* --- looking --- */

/* The rule of a tensor and the index of its parameter; 0 when it goes nowhere. */
static int place(const load *l, const asd_weight *t, const asd_weights_rule **rule, int *index,
                 char to[NAME_ROOM])
{
    const char  *name   = t->name;
    const size_t prefix = l->map->prefix ? strlen(l->map->prefix) : 0;
    if (prefix && !strncmp(name, l->map->prefix, prefix))
        name += prefix;
    *index = -1;
    for (int i = 0; i < l->map->n_rules; ++i) {
        *rule = &l->map->rule[i];
        if (asd_weights_rename(*rule, name, to, NAME_ROOM)) {
            if ((*rule)->to)
                *index = asd_params_find(l->p, to);
            return 1;
        }
    }
    return 0;
}

static int in_root(const asd_weights *w, const asd_weight *t)
{
    return !strcmp(t->where, w->root);
}

static void look(load *l)
{
    char                    to[NAME_ROOM], have[160], want[160];
    const asd_weights_rule *r = NULL;
    int                     index;
    for (int64_t i = 0; i < l->w->n; ++i) {
        const asd_weight *t = &l->w->tensor[i];
        if (!in_root(l->w, t))
            continue;
        if (!place(l, t, &r, &index, to)) {
            note(&l->unexpected, "%.100s", t->name);
        } else if (r->to && index < 0) {
            note(&l->unexpected, "%.100s (as %.100s)", t->name, to);
        } else if (r->to) {
            const asd_shape shape = l->p->param[index].shape;
            if (!shapes_fit(t, shape, r))
                note(&l->misshapen, "%.100s %s for %.100s %s%s", t->name,
                     asd_weight_shape_text(t, have, sizeof have), to,
                     asd_shape_text(shape, want, sizeof want), r->parts ? " in parts" : "");
            l->wanted[index] = r->parts ? (1u << r->parts) - 1 : 1;
            l->filled[index] |= r->parts ? 1u << r->part : 1;
        }
    }
    for (int i = 0; i < l->p->n; ++i) {
        const char *name = l->p->param[i].name;
        if ((l->map->fills && !fits_any(l->map->fills, name)) ||
            (l->map->leaves && fits_any(l->map->leaves, name) && !l->filled[i]))
            continue;
        if (!l->filled[i])
            note(&l->missing, "%.100s", name);
        else if (l->filled[i] != l->wanted[i])
            note(&l->missing, "a part of %.100s", name);
    }
}

static asd_status verdict(const load *l)
{
    const list *const each[] = {&l->missing, &l->unexpected, &l->misshapen};
    const char *const what[] = {"missing", "unexpected", "of another shape"};
    char              text[3900];
    size_t            n = 0;
    for (int i = 0; i < 3; ++i)
        if (each[i]->count)
            n += (size_t)snprintf(text + n, sizeof text - n, "%s%" PRId64 " %s: %s%s",
                                  n ? "; " : "", each[i]->count, what[i], each[i]->text,
                                  each[i]->count > LISTED ? ", ..." : "");
    return n ? ASD_FAIL(ASD_E_DATA, "%s: the weights do not fit the network: %s", l->w->path, text)
             : ASD_OK;
}

/* --- copying --- */

/* x: (C, R) -> to: (R, C) */
static void transpose(const float *x, int64_t rows, int64_t columns, float *to)
{
    for (int64_t r = 0; r < rows; ++r)
        for (int64_t c = 0; c < columns; ++c)
            to[r * columns + c] = x[c * rows + r];
}

/* Copies a tensor to its place; again: another tensor has been there. */
static asd_status copy(const load *l, const asd_weight *t, const asd_weights_rule *r, int index,
                       int again)
{
    const asd_param *param = &l->p->param[index];
    const int64_t    whole = asd_count(param->shape), n = r->parts ? whole / r->parts : whole;
    const int64_t    count = asd_weight_count(t);
    float           *to    = asd_params_value(l->p, index) + (r->parts ? n * r->part : 0);
    asd_status       st    = ASD_OK;
    float           *x = malloc((size_t)(2 * count + 1) * sizeof *x), *y = x + count;
    if (!x)
        return ASD_FAIL(ASD_E_OOM, "%s: no memory for tensor %s", l->w->path, t->name);
    ASD_GO(done, st, asd_weight_read(l->w, t, x));
    if (r->how & ASD_MAP_TRANSPOSE) {
        const plain s = without_ones(t->n_dims, t->dim);
        const plain f = r->how & ASD_MAP_FLAT ? flat(&s) : s;
        transpose(x, f.d[1], f.d[0], y);
    } else {
        y = x;
    }
    if (again && memcmp(to, y, (size_t)n * sizeof *to))
        st = ASD_FAIL(ASD_E_DATA, "%s: %s differs from another copy of %s", l->w->path, t->name,
                      param->name);
    memcpy(to, y, (size_t)n * sizeof *to);
done:
    free(x);
    return st;
}

static asd_status copy_all(load *l)
{
    char                    to[NAME_ROOM];
    const asd_weights_rule *r = NULL;
    int                     index;
    memset(l->filled, 0, (size_t)l->p->n * sizeof *l->filled);
    for (int64_t i = 0; i < l->w->n; ++i) {
        const asd_weight *t = &l->w->tensor[i];
        if (!in_root(l->w, t) || !place(l, t, &r, &index, to) || index < 0)
            continue;
        const uint32_t bit = r->parts ? 1u << r->part : 1;
        ASD_TRY(copy(l, t, r, index, (l->filled[index] & bit) != 0));
        l->filled[index] |= bit;
    }
    return ASD_OK;
}

asd_status asd_weights_load(const asd_weights *w, const asd_weights_map *map, asd_params *p)
{
    asd_status st = ASD_OK;
    load      *l  = calloc(1, sizeof *l);
    ASD_ASSERT(p->allocated);
    if (!l || !(l->filled = calloc((size_t)p->n + 1, sizeof *l->filled)) ||
        !(l->wanted = calloc((size_t)p->n + 1, sizeof *l->wanted))) {
        st = ASD_FAIL(ASD_E_OOM, "%s: no memory for a table of %d parameters", w->path, p->n);
        goto done;
    }
    l->w   = w;
    l->map = map;
    l->p   = p;
    look(l);
    ASD_GO(done, st, verdict(l));
    st = copy_all(l);
done:
    if (l) {
        free(l->filled);
        free(l->wanted);
    }
    free(l);
    return st;
}
