/* load.c - a checkpoint's tensors into an encoder's parameters, strictly: every parameter from the
 * file, every tensor of the file used, every shape as it must be; what is not so is listed, all of
 * it at once.
 *
 * A parameter that one whole tensor fills as it lies in the file (fp32, C order, on a border of
 * four bytes) is mapped: its value is the file's, and memory that the kernel shares and may take
 * back. Others are copied: BEATs' q, k and v are three tensors of one parameter, Dasheng's table of
 * places is transposed, files of less than 32 bits are widened. The pages that were copied from are
 * given back at once, so that weights are never in memory twice. */
#include "models/parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* --- names --- */

static int ends_with(const char *name, const char *end)
{
    size_t n = strlen(name), k = strlen(end);
    return n >= k && !strcmp(name + n - k, end) && (n == k || name[n - k - 1] == '.');
}

/* Length of what stands before the anchor, -1 if no tensor of the state dictionary ends with it. */
static int64_t prefix_length(const asd_weights *w, const char *anchor)
{
    for (int64_t i = 0; i < w->n; ++i)
        if (!strcmp(w->tensor[i].where, w->root) && ends_with(w->tensor[i].name, anchor))
            return (int64_t)(strlen(w->tensor[i].name) - strlen(anchor));
    return -1;
}

void encoder_file_close(encoder_file *f)
{
    for (int64_t i = 0; f->core && i < f->w->n; ++i)
        free(f->core[i]);
    free(f->core);
    f->core = NULL;
}

asd_status encoder_file_open(const asd_weights *w, const encoder_kind *k, encoder_file *f)
{
    int64_t     prefix = prefix_length(w, k->anchor);
    const char *whole  = NULL;
    char        buffer[256];
    *f = (encoder_file){w, NULL};
    if (prefix < 0)
        return ASD_FAIL(ASD_E_DATA, "%s: no tensor is called %s, so this is not such a checkpoint",
                        w->path, k->anchor);
    if (!(f->core = calloc((size_t)w->n + 1, sizeof *f->core)))
        return ASD_FAIL(ASD_E_OOM, "no memory for %lld names", (long long)w->n);
    for (int64_t i = 0; i < w->n && !whole; ++i)
        if (!strcmp(w->tensor[i].where, w->root) && ends_with(w->tensor[i].name, k->anchor))
            whole = w->tensor[i].name;
    if (k->wrapper && prefix >= (int64_t)strlen(k->wrapper) &&
        !strncmp(whole + prefix - strlen(k->wrapper), k->wrapper, strlen(k->wrapper)))
        prefix -= (int64_t)strlen(k->wrapper); /* only part of the network is in the wrapper */
    for (int64_t i = 0; i < w->n; ++i) {
        const char *name = w->tensor[i].name;
        if (strcmp(w->tensor[i].where, w->root) != 0)
            continue;
        if (!strncmp(name, whole, (size_t)prefix))
            name += prefix;
        name = k->core(name, buffer);
        if (name && !(f->core[i] = strdup(name)))
            return ASD_FAIL(ASD_E_OOM, "no memory for %lld names", (long long)w->n);
    }
    return ASD_OK;
}

/* A tensor may claim more than its file holds: a stride of 0 repeats one number. Before memory is
 * taken, all that the description wants must be there at two bytes an element at the least. */
asd_status encoder_check_claims(const encoder_file *f, const asd_encoder_desc *d)
{
    encoder_names l    = {0};
    double        want = 0;
    encoder_kind_find(d->kind)->names(d, &l);
    for (int i = 0; i < l.n; ++i) {
        double count = l.name[i].flags & NAME_OPTIONAL ? 0 : 1;
        for (int k = 0; k < l.name[i].n_dims; ++k)
            count *= (double)l.name[i].dim[k];
        want += count;
    }
    int failed = l.failed;
    encoder_names_free(&l);
    if (failed)
        return ASD_FAIL(ASD_E_OOM, "no memory to read %s", f->w->path);
    if (2 * want > (double)f->w->map_bytes)
        return ASD_FAIL(ASD_E_DATA,
                        "%s: its shapes are those of %.0f numbers, but it has %zu bytes",
                        f->w->path, want, f->w->map_bytes);
    return ASD_OK;
}

/* --- placing --- */

float *encoder_place(const asd_params *p, const encoder_name *n)
{
    int k = asd_params_find(p, n->param);
    ASD_ASSERT(k >= 0); /* the list names what the builder makes */
    return asd_params_value(p, k) + asd_count(p->param[k].shape) / n->parts * n->part;
}

void encoder_put(const asd_params *p, const encoder_name *n, const float *data, int64_t count)
{
    float *to = encoder_place(p, n);
    if (n->flags & NAME_TRANSPOSED) { /* (1, C, 1, rows) -> (rows, C) */
        int64_t C = n->dim[1], rows = n->dim[3];
        for (int64_t c = 0; c < C; ++c)
            for (int64_t r = 0; r < rows; ++r)
                to[r * C + c] = data[c * rows + r];
        return;
    }
    memcpy(to, data, (size_t)count * sizeof *to);
}

static int fits(const encoder_name *n, const asd_weight *t)
{
    if (t->n_dims != n->n_dims)
        return 0;
    for (int i = 0; i < n->n_dims; ++i) {
        int shorter = n->flags & NAME_SHORT && i == 1 && t->dim[i] > 0 && t->dim[i] < n->dim[i];
        if (t->dim[i] != n->dim[i] && !shorter)
            return 0;
    }
    return 1;
}

/* Mapped pages that are not needed any more. They are the file's, so nothing is lost. */
static void give_back(const void *data, size_t bytes)
{
    uintptr_t page  = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t first = ((uintptr_t)data + page - 1) / page * page;
    uintptr_t end   = ((uintptr_t)data + bytes) / page * page;
    if (end > first)
        madvise((void *)first, end - first, MADV_DONTNEED);
}

void encoder_file_rest(const encoder_file *f)
{
    if (f->w->map)
        give_back(f->w->map, f->w->map_bytes);
}

static asd_status read_tensor(asd_encoder *e, const encoder_file *f, const encoder_name *n,
                              const asd_weight *t, int again)
{
    int        k      = asd_params_find(&e->params, n->param);
    int64_t    count  = asd_weight_count(t);
    int        direct = !(n->flags & NAME_TRANSPOSED) && !again;
    float     *copy   = NULL;
    asd_status st     = ASD_OK;
    if (e->params.param[k].mapped && !again)
        return asd_weight_check(f->w, t);
    if (!direct && !(copy = malloc((size_t)count * sizeof *copy)))
        return ASD_FAIL(ASD_E_OOM, "no memory for %s", t->name);
    ASD_GO(done, st, asd_weight_read(f->w, t, direct ? encoder_place(&e->params, n) : copy));
    if (again && memcmp(copy, asd_params_peek(&e->params, k), (size_t)count * sizeof *copy) != 0) {
        st =
            ASD_FAIL(ASD_E_DATA,
                     "%s: %s differs from the copies before it, but it is one table for all layers",
                     f->w->path, t->name);
        goto done;
    }
    if (!direct && !again)
        encoder_put(&e->params, n, copy, count);
    give_back(t->data, t->storage_bytes_left);
done:
    free(copy);
    return st;
}

/* --- what does not fit --- */

typedef struct problems {
    char text[3][1200];
    int  n[3];
} problems;
enum { MISSING, UNEXPECTED, MISSHAPEN };

static void note(problems *p, int kind, const char *text)
{
    size_t at = strlen(p->text[kind]), room = sizeof p->text[kind] - at;
    if (strlen(text) + 8 < room)
        snprintf(p->text[kind] + at, room, "%s%s", p->n[kind] ? ", " : "", text);
    ++p->n[kind];
}

static asd_status report(const problems *p, const asd_encoder *e, const encoder_file *f)
{
    static const char *const word[3] = {"missing", "not expected", "of another shape"};
    char                     text[3900];
    size_t                   at = 0;
    text[0]                     = 0;
    for (int k = 0; k < 3; ++k)
        if (p->n[k])
            at += (size_t)snprintf(text + at, sizeof text - at, "%s%d %s: %s", at ? "; " : "",
                                   p->n[k], word[k], p->text[k]);
    return at ? ASD_FAIL(ASD_E_DATA, "%s does not fit %s: %s", f->w->path, e->d.kind, text)
              : ASD_OK;
}

static const asd_weight *find_either(const encoder_file *f, const encoder_name *n)
{
    const asd_weight *t = encoder_file_find(f, n->core);
    return t || !n->other[0] ? t : encoder_file_find(f, n->other);
}

/* Which tensors are there and fit; used: (w->n) those that a name takes. */
static void compare(const encoder_file *f, const encoder_names *l, char *used, problems *p)
{
    char text[256], shape[64];
    for (int i = 0; i < l->n; ++i) {
        const encoder_name *n = &l->name[i];
        const asd_weight   *t = find_either(f, n);
        if (!t && !(n->flags & NAME_OPTIONAL))
            note(p, MISSING, n->core);
        if (!t)
            continue;
        used[t - f->w->tensor] = 1;
        if (!fits(n, t)) {
            asd_weight want = {.n_dims = n->n_dims};
            char       wanted[64];
            memcpy(want.dim, n->dim, sizeof n->dim);
            snprintf(text, sizeof text, "%s is %s, want %s", n->core,
                     asd_weight_shape_text(t, shape, sizeof shape),
                     asd_weight_shape_text(&want, wanted, sizeof wanted));
            note(p, MISSHAPEN, text);
        }
    }
    for (int64_t i = 0; i < f->w->n; ++i)
        if (f->core[i] && !used[i])
            note(p, UNEXPECTED, f->w->tensor[i].name);
}

/* Tells the store where the values lie that need no copy; the shapes fit. Of several tensors for
 * one parameter that must be equal, the first is it. */
static void map_values(asd_encoder *e, const encoder_file *f, const encoder_names *l)
{
    for (int i = 0; i < l->n; ++i) {
        const encoder_name *n = &l->name[i];
        const asd_weight   *t = find_either(f, n);
        const float        *x = t ? asd_weight_mapped(t) : NULL;
        int                 k = asd_params_find(&e->params, n->param);
        if (x && n->parts == 1 && !(n->flags & NAME_TRANSPOSED) && !e->params.param[k].mapped &&
            asd_weight_count(t) == asd_count(e->params.param[k].shape))
            asd_params_map(&e->params, k, x);
    }
}

static asd_status fill(asd_encoder *e, const encoder_file *f, const encoder_names *l)
{
    for (int i = 0; i < l->n; ++i) {
        const encoder_name *n     = &l->name[i];
        const asd_weight   *t     = find_either(f, n);
        int                 again = 0;
        for (int k = 0; k < i && n->flags & NAME_SAME; ++k)
            again |= !strcmp(l->name[k].param, n->param) && find_either(f, &l->name[k]);
        if (t)
            ASD_TRY(read_tensor(e, f, n, t, again));
    }
    return ASD_OK;
}

asd_status encoder_load(asd_encoder *e, const encoder_file *f)
{
    asd_status    st   = ASD_OK;
    encoder_names l    = {0};
    char         *used = calloc((size_t)f->w->n + 1, 1);
    problems     *p    = calloc(1, sizeof *p);
    encoder_kind_find(e->d.kind)->names(&e->d, &l);
    if (!used || !p || l.failed) {
        st = ASD_FAIL(ASD_E_OOM, "no memory to load %s", f->w->path);
        goto done;
    }
    compare(f, &l, used, p);
    ASD_GO(done, st, report(p, e, f));
    map_values(e, f, &l);
    ASD_GO(done, st, asd_params_alloc(&e->params, 0));
    encoder_fill_places(e);
    st = fill(e, f, &l);
done:
    free(used);
    free(p);
    encoder_names_free(&l);
    return st;
}
