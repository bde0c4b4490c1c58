/* weights.c - see weights.h. */
#include "nn/weights_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- dtypes --- */

static const struct {
    const char *name;
    size_t      bytes;
} dtypes[ASD_N_WDTYPES] = {
    [ASD_W_F32] = {"F32", 4},   [ASD_W_F64] = {"F64", 8}, [ASD_W_F16] = {"F16", 2},
    [ASD_W_BF16] = {"BF16", 2}, [ASD_W_I64] = {"I64", 8}, [ASD_W_I32] = {"I32", 4},
    [ASD_W_I16] = {"I16", 2},   [ASD_W_I8] = {"I8", 1},   [ASD_W_U8] = {"U8", 1},
    [ASD_W_BOOL] = {"BOOL", 1}};

const char *asd_wdtype_name(asd_wdtype t)
{
    return dtypes[t].name;
}

size_t asd_wdtype_bytes(asd_wdtype t)
{
    return dtypes[t].bytes;
}

/* --- building --- */

/* Room for one more in *array. */
static int more(void *array, size_t size, int64_t n, int64_t *room)
{
    void **a = array;
    if (n < *room)
        return 1;
    const int64_t next  = *room ? 2 * *room : 64;
    void         *grown = realloc(*a, (size_t)next * size);
    if (!grown)
        return 0;
    *a    = grown;
    *room = next;
    return 1;
}

static asd_status copy_text(asd_weights_builder *b, const char *text, size_t n, char **out)
{
    b->name_bytes += n + 1;
    if (b->name_bytes > ASD_W_MAX_NAME_BYTES)
        return ASD_FAIL(ASD_E_DATA, "%s: names and texts of more than %d bytes", b->w->path,
                        ASD_W_MAX_NAME_BYTES);
    if (!(*out = malloc(n + 1)))
        return ASD_FAIL(ASD_E_OOM, "%s: no memory for a text of %zu bytes", b->w->path, n);
    for (size_t i = 0; i < n; ++i)
        (*out)[i] = text[i] ? text[i] : '?'; /* a NUL would hide the rest */
    (*out)[n] = 0;
    return ASD_OK;
}

asd_status asd_weights_add(asd_weights_builder *b, const asd_weight *t)
{
    asd_weights *w  = b->w;
    const size_t n  = strlen(t->name);
    int          ok = n > 0 && n + strlen(t->where) < ASD_W_MAX_NAME;
    for (size_t i = 0; ok && i < n; ++i)
        ok = (unsigned char)t->name[i] >= 0x20 && t->name[i] != 0x7f;
    if (!ok)
        return ASD_FAIL(ASD_E_DATA,
                        "%s: a tensor called \"%.100s\"; want 1 to %d bytes without control "
                        "characters",
                        w->path, t->name, ASD_W_MAX_NAME);
    if (!more(&w->tensor, sizeof *w->tensor, w->n, &b->tensors_room))
        return ASD_FAIL(ASD_E_OOM, "%s: no memory for %" PRId64 " tensors", w->path, w->n + 1);
    asd_weight *to = &w->tensor[w->n++];
    *to            = *t;
    to->name = to->where = NULL;
    ASD_TRY(copy_text(b, t->name, n, &to->name));
    return copy_text(b, t->where, strlen(t->where), &to->where);
}

asd_status asd_weights_add_meta(asd_weights_builder *b, const char *key, asd_meta_kind kind,
                                const char *text, size_t text_bytes, double number)
{
    asd_weights *w = b->w;
    if (!more(&w->meta, sizeof *w->meta, w->n_meta, &b->meta_room))
        return ASD_FAIL(ASD_E_OOM, "%s: no memory for %" PRId64 " settings", w->path,
                        w->n_meta + 1);
    asd_weights_meta *m = &w->meta[w->n_meta++];
    *m                  = (asd_weights_meta){.kind = kind, .number = number};
    ASD_TRY(copy_text(b, key, strlen(key), &m->key));
    return kind == ASD_META_TEXT ? copy_text(b, text, text_bytes, &m->text) : ASD_OK;
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const asd_weights_meta *)a)->key, ((const asd_weights_meta *)b)->key);
}

static int compare_names(const asd_weight *x, const char *name, const char *where)
{
    const int c = strcmp(x->name, name);
    return c ? c : strcmp(x->where, where);
}

static int by_name(const void *a, const void *b, void *ctx)
{
    const asd_weight *t = ctx, *y = &t[*(const int64_t *)b];
    return compare_names(&t[*(const int64_t *)a], y->name, y->where);
}

static int any_in(const asd_weights *w, const char *where)
{
    for (int64_t i = 0; i < w->n; ++i)
        if (!strcmp(w->tensor[i].where, where))
            return 1;
    return 0;
}

asd_status asd_weights_finish(asd_weights_builder *b)
{
    asd_weights *w = b->w;
    if (!(w->by_name = malloc((size_t)(w->n + 1) * sizeof *w->by_name)))
        return ASD_FAIL(ASD_E_OOM, "%s: no memory for %" PRId64 " tensors", w->path, w->n);
    for (int64_t i = 0; i < w->n; ++i)
        w->by_name[i] = i;
    if (w->n)
        qsort_r(w->by_name, (size_t)w->n, sizeof *w->by_name, by_name, w->tensor);
    for (int64_t i = 1; i < w->n; ++i)
        if (!by_name(&w->by_name[i - 1], &w->by_name[i], w->tensor))
            return ASD_FAIL(ASD_E_DATA, "%s: tensor %s twice", w->path,
                            w->tensor[w->by_name[i]].name);
    if (w->n_meta)
        qsort(w->meta, (size_t)w->n_meta, sizeof *w->meta, by_key);
    for (int64_t i = 1; i < w->n_meta; ++i)
        if (!by_key(&w->meta[i - 1], &w->meta[i]))
            return ASD_FAIL(ASD_E_DATA, "%s: setting %s twice", w->path, w->meta[i].key);
    static const char *const usual[] = {"", "model", "state_dict"};
    w->root                          = w->n ? w->tensor[0].where : "";
    for (int i = 0; i < 3; ++i)
        if (any_in(w, usual[i])) {
            w->root = usual[i];
            break;
        }
    return ASD_OK;
}

/* --- opening --- */

static int begins(const asd_weights *w, const char *bytes, size_t n)
{
    return w->map_bytes >= n && !memcmp(w->map, bytes, n);
}

/* PyTorch before 0.1.10 wrote tar archives. */
static int is_tar(const asd_weights *w)
{
    return w->map_bytes >= 262 && !memcmp((const char *)w->map + 257, "ustar", 5);
}

static asd_status read_any(asd_weights *w, int check)
{
    asd_weights_builder b = {.w = w};
    if (begins(w, "PK\3\4", 4)) {
        w->format = "pytorch zip";
        ASD_TRY(asd_weights_read_zip(&b, check));
    } else if (begins(w, "\x80\2\x8a\x0al\xfc\x9c\x46\xf9 j\xa8P\x19", 14)) {
        w->format = "pytorch legacy";
        ASD_TRY(asd_weights_read_legacy(&b));
    } else if (is_tar(w)) {
        return ASD_FAIL(ASD_E_DATA,
                        "%s: a tar archive, as PyTorch wrote before version 0.1.10; want zip, "
                        "legacy or safetensors: load and save it with a newer PyTorch",
                        w->path);
    } else if (w->map_bytes > 8 && memchr("{ \t\r\n", ((const char *)w->map)[8], 5)) {
        w->format = "safetensors";
        ASD_TRY(asd_weights_read_safetensors(&b));
    } else {
        return ASD_FAIL(ASD_E_DATA,
                        "%s: no checkpoint that is known here (%zu bytes); want PyTorch's zip "
                        "or legacy form, or safetensors",
                        w->path, w->map_bytes);
    }
    return asd_weights_finish(&b);
}

static asd_status map_file(asd_weights *w)
{
    struct stat info = {0};
    int         fd   = open(w->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* no wait for a pipe */
    if (fd < 0)
        return ASD_FAIL(errno == ENOENT ? ASD_E_DATA : ASD_E_IO, "%s: cannot read: %s", w->path,
                        strerror(errno));
    if (fstat(fd, &info) || !S_ISREG(info.st_mode) || info.st_size < 1) {
        close(fd);
        return ASD_FAIL(ASD_E_DATA, "%s: not a checkpoint: %s", w->path,
                        S_ISREG(info.st_mode) ? "it is empty" : "not a file");
    }
    void *map = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (map == MAP_FAILED)
        return ASD_FAIL(ASD_E_IO, "%s: cannot map: %s", w->path, strerror(errno));
    w->map       = map;
    w->map_bytes = (size_t)info.st_size;
    return ASD_OK;
}

asd_status asd_weights_open(const char *path, asd_weights *out)
{
    *out = (asd_weights){.root = ""};
    if (!(out->path = strdup(path)))
        return ASD_FAIL(ASD_E_OOM, "%s: no memory for a name", path);
    ASD_TRY(map_file(out));
    return read_any(out, 1);
}

asd_status asd_weights_parse(const char *path, const void *bytes, size_t n, int check,
                             asd_weights *out)
{
    *out = (asd_weights){.root = ""};
    if (!(out->path = strdup(path)))
        return ASD_FAIL(ASD_E_OOM, "%s: no memory for a name", path);
    out->map       = (void *)(uintptr_t)bytes; /* read only */
    out->map_bytes = n;
    asd_status st  = read_any(out, check);
    out->map       = NULL; /* the caller's */
    return st;
}

void asd_weights_close(asd_weights *w)
{
    for (int64_t i = 0; i < w->n; ++i) {
        free(w->tensor[i].name);
        free(w->tensor[i].where);
    }
    for (int64_t i = 0; i < w->n_meta; ++i) {
        free(w->meta[i].key);
        free(w->meta[i].text);
    }
    free(w->tensor);
    free(w->meta);
    free(w->by_name);
    free(w->path);
    if (w->map)
        munmap(w->map, w->map_bytes);
    *w = (asd_weights){.root = ""};
}

void *asd_weights_take_map(asd_weights *w)
{
    void *map = w->map;
    ASD_ASSERT(map);
    w->map = NULL;
    return map;
}

/* --- looking up --- */

const asd_weight *asd_weights_find_in(const asd_weights *w, const char *where, const char *name)
{
    int64_t low = 0, high = w->n;
    while (low < high) {
        const int64_t     mid = low + (high - low) / 2;
        const asd_weight *t   = &w->tensor[w->by_name[mid]];
        const int         c   = compare_names(t, name, where);
        if (!c)
            return t;
        if (c < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

const asd_weight *asd_weights_find(const asd_weights *w, const char *name)
{
    return asd_weights_find_in(w, w->root, name);
}

static const asd_weights_meta *find_meta(const asd_weights *w, const char *key)
{
    const asd_weights_meta want = {.key = (char *)(uintptr_t)key}; /* only compared */
    return w->n_meta ? bsearch(&want, w->meta, (size_t)w->n_meta, sizeof want, by_key) : NULL;
}

int asd_weights_number(const asd_weights *w, const char *key, double *value)
{
    const asd_weights_meta *m = find_meta(w, key);
    if (!m || m->kind != ASD_META_NUMBER)
        return 0;
    *value = m->number;
    return 1;
}

const char *asd_weights_text(const asd_weights *w, const char *key)
{
    const asd_weights_meta *m = find_meta(w, key);
    return m ? m->text : NULL;
}

/* --- SHA-256 --- */

asd_status asd_weights_sha256(const asd_weights *w, char hex[65])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned      n = 0;
    ASD_ASSERT(w->map);
    if (!EVP_Digest(w->map, w->map_bytes, digest, &n, EVP_sha256(), NULL) || n != 32)
        return ASD_FAIL(ASD_E_IO, "%s: OpenSSL cannot compute a SHA-256 here", w->path);
    for (unsigned i = 0; i < 32; ++i)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    return ASD_OK;
}

asd_status asd_weights_hash(const char *path, char hex[65])
{
    asd_weights w = {.path = (char *)(uintptr_t)path}; /* only for messages */
    ASD_TRY(map_file(&w));
    const asd_status st = asd_weights_sha256(&w, hex);
    munmap(w.map, w.map_bytes);
    return st;
}
