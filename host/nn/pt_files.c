/* pt_files.c - the two containers in which PyTorch puts a pickle and the storages it names. */
#include "base/par.h"
#include "nn/pt_zip.h"
#include "nn/weights_parts.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* --- the zip form: ROOT/data.pkl, ROOT/data/KEY, ROOT/byteorder --- */

typedef struct check_job {
    const asd_pt_zip *zip;
    asd_failure       failure;
} check_job;

static void check_member(void *ctx, int64_t i)
{
    check_job *j = ctx;
    asd_failure_note(&j->failure, i, asd_pt_zip_check(j->zip, &j->zip->member[i]));
}

static asd_status check_members(const asd_pt_zip *zip)
{
    check_job j = {.zip = zip};
    asd_failure_init(&j.failure);
    asd_par_for(zip->n, check_member, &j);
    return asd_failure_end(&j.failure);
}

static int ends_in(const asd_pt_member *m, const char *end)
{
    const size_t n = strlen(end);
    return m->name_bytes > n && !memcmp(m->name + m->name_bytes - n, end, n);
}

/* The member ROOT/data.pkl; *root_bytes counts ROOT with its '/'. */
static asd_status find_pickle(const asd_pt_zip *z, const asd_pt_member **pickle, size_t *root_bytes)
{
    *pickle = NULL;
    for (int64_t i = 0; i < z->n; ++i) {
        const asd_pt_member *m = &z->member[i];
        if (ends_in(m, "/constants.pkl"))
            return ASD_FAIL(ASD_E_DATA,
                            "%s: a TorchScript archive (it holds %.*s), want a state dictionary as "
                            "torch.save writes it",
                            z->path, (int)m->name_bytes, m->name);
        if (!ends_in(m, "/data.pkl"))
            continue;
        if (*pickle)
            return ASD_FAIL(ASD_E_DATA, "%s: both %.*s and %.*s, want one pickle", z->path,
                            (int)(*pickle)->name_bytes, (*pickle)->name, (int)m->name_bytes,
                            m->name);
        *pickle     = m;
        *root_bytes = m->name_bytes - strlen("data.pkl");
    }
    return *pickle
               ? ASD_OK
               : ASD_FAIL(ASD_E_DATA,
                          "%s: a zip archive without ROOT/data.pkl: not a checkpoint of PyTorch",
                          z->path);
}

static asd_status check_byte_order(const asd_pt_zip *z, const char *root, size_t root_bytes)
{
    const asd_pt_member *m = asd_pt_zip_find(z, root, root_bytes, "byteorder", 9);
    if (m && (m->bytes < 6 || memcmp(m->data, "little", 6)))
        return ASD_FAIL(ASD_E_DATA, "%s: byte order \"%.*s\", want little", z->path,
                        (int)(m->bytes < 20 ? m->bytes : 20), (const char *)m->data);
    return ASD_OK;
}

static asd_status give_members(const asd_pt_zip *z, const char *root, size_t root_bytes,
                               asd_pt_pickle *p)
{
    char name[256] = "data/"; /* keys are below 200 bytes */
    for (int64_t i = 0; i < p->n_storages; ++i) {
        asd_pt_storage *s = &p->storage[i];
        memcpy(name + 5, s->key, s->key_bytes);
        const asd_pt_member *m = asd_pt_zip_find(z, root, root_bytes, name, 5 + s->key_bytes);
        if (!m)
            return ASD_FAIL(ASD_E_DATA, "%s: storage %.*s is not in the archive", z->path,
                            (int)s->key_bytes, s->key);
        ASD_TRY(asd_pt_give(p, s, m->data, m->bytes));
    }
    return ASD_OK;
}

asd_status asd_weights_read_zip(asd_weights_builder *b, int check)
{
    asd_status           st;
    asd_pt_zip           zip        = {.path = NULL};
    asd_pt_pickle        p          = {.path = NULL};
    const asd_pt_member *pickle     = NULL;
    size_t               root_bytes = 0, at = 0;
    ASD_GO(done, st, asd_pt_zip_open(b->w->path, b->w->map, b->w->map_bytes, &zip));
    ASD_GO(done, st, find_pickle(&zip, &pickle, &root_bytes));
    ASD_GO(done, st, check_byte_order(&zip, pickle->name, root_bytes));
    if (check)
        ASD_GO(done, st, check_members(&zip));
    ASD_GO(done, st, asd_pt_pickle_read(b->w->path, pickle->data, pickle->bytes, &at, &p));
    if (at != pickle->bytes) {
        st = ASD_FAIL(ASD_E_DATA, "%s: %zu bytes behind the end of the pickle", b->w->path,
                      pickle->bytes - at);
        goto done;
    }
    ASD_GO(done, st, give_members(&zip, pickle->name, root_bytes, &p));
    st = asd_weights_from_pickle(b, &p);
done:
    asd_pt_pickle_close(&p);
    asd_pt_zip_close(&zip);
    return st;
}

/* --- the legacy form: pickles of a magic number, a version, facts about the machine, the object, a
 * list of storage keys; then for each key a count and the elements --- */

static asd_status next_pickle(const asd_weights *w, size_t *at, asd_pt_pickle *p, asd_pt_kind want,
                              const char *what)
{
    ASD_TRY(asd_pt_pickle_read(w->path, w->map, w->map_bytes, at, p));
    const asd_pt_kind kind = p->value[p->root].kind;
    return kind == want ? ASD_OK
                        : ASD_FAIL(ASD_E_DATA, "%s: %s is %s, want %s", w->path, what,
                                   asd_pt_kind_name(kind), asd_pt_kind_name(want));
}

static asd_status check_machine(const asd_weights *w, const asd_pt_pickle *p)
{
    const asd_pt_value *facts = &p->value[p->root];
    for (int32_t i = 0; i + 1 < facts->n_items; i += 2) {
        const asd_pt_value *key = &p->value[facts->item[i]], *v = &p->value[facts->item[i + 1]];
        if (key->kind != ASD_PT_TEXT || !asd_pt_is(key->text, key->bytes, "little_endian"))
            continue;
        if (v->kind == ASD_PT_BOOL && v->integer)
            return ASD_OK;
        return ASD_FAIL(ASD_E_DATA, "%s: written on a big-endian machine, want little", w->path);
    }
    return ASD_FAIL(ASD_E_DATA, "%s: nothing says little_endian", w->path);
}

static asd_status check_head(const asd_weights *w, size_t *at)
{
    static const struct {
        const char *what;
        asd_pt_kind kind;
    } head[] = {{"the magic number", ASD_PT_BIGINT},
                {"the version", ASD_PT_INT},
                {"the description of the machine", ASD_PT_DICT}};
    for (int i = 0; i < 3; ++i) {
        asd_pt_pickle p;
        asd_status    st = next_pickle(w, at, &p, head[i].kind, head[i].what);
        if (!st && i == 1 && p.value[p.root].integer != 1001)
            st = ASD_FAIL(ASD_E_DATA, "%s: legacy format version %" PRId64 ", want 1001", w->path,
                          p.value[p.root].integer);
        if (!st && i == 2)
            st = check_machine(w, &p);
        asd_pt_pickle_close(&p);
        ASD_TRY(st);
    }
    return ASD_OK;
}

static asd_status give_storages(const asd_weights *w, const asd_pt_pickle *keys, size_t at,
                                asd_pt_pickle *p)
{
    const unsigned char *map  = w->map;
    const asd_pt_value  *list = &keys->value[keys->root];
    for (int32_t i = 0; i < list->n_items; ++i) {
        const asd_pt_value *key = &keys->value[list->item[i]];
        asd_pt_storage     *s =
            key->kind == ASD_PT_TEXT ? asd_pt_find_storage(p, key->text, key->bytes) : NULL;
        if (!s || s->found)
            return ASD_FAIL(ASD_E_DATA, "%s: storage %d of the list: %s", w->path, i,
                            s ? "listed twice" : "no tensor names it");
        uint64_t count = 0;
        if (w->map_bytes - at < 8)
            return ASD_FAIL(ASD_E_DATA, "%s: cut short: storage %d of %d is missing", w->path, i,
                            list->n_items);
        for (int k = 8; k-- > 0;)
            count = count << 8 | map[at + (size_t)k];
        at += 8;
        const uint64_t left = w->map_bytes - at, element = asd_wdtype_bytes(s->dtype);
        if (count != (uint64_t)s->n || count > left / element)
            return ASD_FAIL(ASD_E_DATA,
                            "%s: storage %.*s: %" PRIu64 " elements of %s, the pickle says %" PRId64
                            ", and %" PRIu64 " bytes are left of the file",
                            w->path, (int)s->key_bytes, s->key, count, asd_wdtype_name(s->dtype),
                            s->n, left);
        ASD_TRY(asd_pt_give(p, s, map + at, count * element));
        at += (size_t)(count * element);
    }
    if (at != w->map_bytes)
        return ASD_FAIL(ASD_E_DATA, "%s: %zu bytes behind the last storage", w->path,
                        w->map_bytes - at);
    return ASD_OK;
}

asd_status asd_weights_read_legacy(asd_weights_builder *b)
{
    asd_status    st;
    asd_pt_pickle object = {.path = NULL}, keys = {.path = NULL};
    size_t        at = 0;
    ASD_GO(done, st, check_head(b->w, &at));
    ASD_GO(done, st, next_pickle(b->w, &at, &object, ASD_PT_DICT, "the object"));
    ASD_GO(done, st, next_pickle(b->w, &at, &keys, ASD_PT_LIST, "the list of storages"));
    ASD_GO(done, st, give_storages(b->w, &keys, at, &object));
    st = asd_weights_from_pickle(b, &object);
done:
    asd_pt_pickle_close(&object);
    asd_pt_pickle_close(&keys);
    return st;
}
