/* pt_globals.c - the names that a pickle may use, and what they become. See pt_pickle.h. */
#include "nn/pt_pickle.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* --- tables --- */

/* Element types of torch's storages. UntypedStorage counts bytes. */
static const struct {
    const char *module, *name;
    asd_wdtype  dtype;
} storage_class[] = {
    {"torch", "FloatStorage", ASD_W_F32},
    {"torch", "DoubleStorage", ASD_W_F64},
    {"torch", "HalfStorage", ASD_W_F16},
    {"torch", "BFloat16Storage", ASD_W_BF16},
    {"torch", "LongStorage", ASD_W_I64},
    {"torch", "IntStorage", ASD_W_I32},
    {"torch", "ShortStorage", ASD_W_I16},
    {"torch", "CharStorage", ASD_W_I8},
    {"torch", "ByteStorage", ASD_W_U8},
    {"torch", "BoolStorage", ASD_W_BOOL},
    {"torch.storage", "UntypedStorage", ASD_W_U8},
    {"torch", "UntypedStorage", ASD_W_U8},
};

/* What calling such a class leaves: a record of its arguments. Files of fairseq name these beside
 * their tensors. A name that ends in '*' stands for all of the module and of those below it. */
static const char *const inert_call[][2] = {
    {"argparse", "Namespace"},
    {"omegaconf", "*"},
    {"fairseq", "*"},
    {"pathlib", "Path"},
    {"pathlib", "PosixPath"},
    {"pathlib", "PurePosixPath"},
    {"torch", "device"},
    {"datetime", "datetime"},
    {"datetime", "timedelta"},
    {"numpy", "dtype"},
    {"numpy.core.multiarray", "scalar"},
    {"numpy.core.multiarray", "_reconstruct"},
    {"numpy._core.multiarray", "scalar"},
    {"numpy._core.multiarray", "_reconstruct"},
    {"_codecs", "encode"},
};

/* Modules through which a pickle reaches the system or the interpreter, those below them included.
 * A checkpoint that names one was not written by a training program. */
static const char *const refused_module[] = {
    "os",
    "posix",
    "nt",
    "posixpath",
    "sys",
    "subprocess",
    "shutil",
    "socket",
    "ctypes",
    "importlib",
    "imp",
    "runpy",
    "pickle",
    "_pickle",
    "cPickle",
    "dill",
    "cloudpickle",
    "marshal",
    "code",
    "codeop",
    "pty",
    "commands",
    "popen2",
    "webbrowser",
    "functools",
    "operator",
    "_operator",
    "types",
    "inspect",
    "multiprocessing",
    "threading",
    "asyncio",
    "pip",
    "pdb",
    "bdb",
    "timeit",
    "platform",
    "tempfile",
    "urllib",
    "http",
    "requests",
    "ftplib",
    "telnetlib",
    "smtplib",
    "io",
    "_io",
    "gc",
    "signal",
    "torch.hub",
    "torch.jit",
    "torch.serialization",
    "torch.utils.cpp_extension",
};

/* Types of Python that do nothing when they are only named. */
static const char *const plain_builtin[] = {"int",   "float", "bool", "str",       "bytes", "list",
                                            "tuple", "dict",  "set",  "frozenset", "object"};

#define N_OF(a) (sizeof(a) / sizeof *(a))

/* --- names --- */

static int named(const asd_pt_value *g, const char *module, const char *name)
{
    return asd_pt_is(g->text, g->bytes, module) && asd_pt_is(g->name, g->name_bytes, name);
}

/* The module is this one or below it. */
static int in_module(const asd_pt_value *g, const char *module)
{
    const size_t n = strlen(module);
    return g->bytes >= n && !memcmp(g->text, module, n) && (g->bytes == n || g->text[n] == '.');
}

static int in_builtins(const asd_pt_value *g)
{
    return in_module(g, "builtins") || in_module(g, "__builtin__") || in_module(g, "__builtins__");
}

static asd_status refuse(const asd_pt_pickle *p, const asd_pt_value *g, const char *why)
{
    return ASD_FAIL(ASD_E_DATA, "%s: the pickle %s %.*s.%.*s: refused, nothing was executed",
                    p->path, why, (int)g->bytes, g->text, (int)g->name_bytes, g->name);
}

asd_status asd_pt_check_global(const asd_pt_pickle *p, int32_t global)
{
    const asd_pt_value *g = &p->value[global];
    for (size_t i = 0; i < N_OF(refused_module); ++i)
        if (in_module(g, refused_module[i]))
            return refuse(p, g, "names");
    if (in_builtins(g)) {
        for (size_t i = 0; i < N_OF(plain_builtin); ++i)
            if (asd_pt_is(g->name, g->name_bytes, plain_builtin[i]))
                return ASD_OK;
        return refuse(p, g, "names");
    }
    return ASD_OK;
}

/* --- what the names of the list become --- */

static asd_status bad_args(const asd_pt_pickle *p, const asd_pt_value *g, const asd_pt_value *args,
                           const char *want)
{
    return ASD_FAIL(ASD_E_DATA, "%s: %.*s.%.*s with %d arguments, want %s", p->path, (int)g->bytes,
                    g->text, (int)g->name_bytes, g->name, args->n_items, want);
}

static asd_pt_kind kind_of(const asd_pt_pickle *p, int32_t args, int32_t i)
{
    const asd_pt_value *a = &p->value[args];
    return i < a->n_items ? p->value[a->item[i]].kind : ASD_PT_N_KINDS;
}

/* OrderedDict(): its pairs follow, or are given as a list of pairs. */
static asd_status make_dict(asd_pt_pickle *p, int32_t global, int32_t args, int32_t *out)
{
    ASD_TRY(asd_pt_new(p, ASD_PT_DICT, out));
    if (p->value[args].n_items == 0)
        return ASD_OK;
    const int32_t pairs = p->value[args].item[0];
    if (p->value[args].n_items != 1 || p->value[pairs].kind != ASD_PT_LIST)
        return bad_args(p, &p->value[global], &p->value[args], "none or a list of pairs");
    for (int32_t i = 0; i < p->value[pairs].n_items; ++i) {
        const int32_t     pair = p->value[pairs].item[i];
        const asd_pt_kind kind = p->value[pair].kind;
        if ((kind != ASD_PT_TUPLE && kind != ASD_PT_LIST) || p->value[pair].n_items != 2)
            return bad_args(p, &p->value[global], &p->value[args], "a list of pairs");
        ASD_TRY(asd_pt_append_all(p, *out, pair));
    }
    return ASD_OK;
}

/* _rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks[, metadata]); older files
 * have _rebuild_tensor with the first four. */
static asd_status make_tensor(asd_pt_pickle *p, int32_t global, int32_t args, int32_t *out)
{
    static const asd_pt_kind want[4] = {ASD_PT_STORAGE, ASD_PT_INT, ASD_PT_TUPLE, ASD_PT_TUPLE};
    for (int i = 0; i < 4; ++i)
        if (kind_of(p, args, i) != want[i])
            return bad_args(p, &p->value[global], &p->value[args],
                            "a storage, an offset, a tuple of sizes, a tuple of strides, ...");
    ASD_TRY(asd_pt_new(p, ASD_PT_TENSOR, out));
    for (int i = 0; i < 4; ++i)
        ASD_TRY(asd_pt_append(p, *out, p->value[args].item[i]));
    return ASD_OK;
}

/* _rebuild_parameter(tensor, requires_grad, hooks[, state]) */
static asd_status make_parameter(asd_pt_pickle *p, int32_t global, int32_t args, int32_t *out)
{
    if (kind_of(p, args, 0) != ASD_PT_TENSOR)
        return bad_args(p, &p->value[global], &p->value[args], "a tensor first");
    *out = p->value[args].item[0];
    return ASD_OK;
}

static asd_status make_size(asd_pt_pickle *p, int32_t global, int32_t args, int32_t *out)
{
    if (p->value[args].n_items != 1 || kind_of(p, args, 0) != ASD_PT_TUPLE)
        return bad_args(p, &p->value[global], &p->value[args], "a tuple");
    *out = p->value[args].item[0];
    return ASD_OK;
}

static asd_status make_set(asd_pt_pickle *p, int32_t global, int32_t args, int32_t *out)
{
    ASD_TRY(asd_pt_new(p, ASD_PT_SET, out));
    if (p->value[args].n_items == 0)
        return ASD_OK;
    if (p->value[args].n_items != 1 || kind_of(p, args, 0) != ASD_PT_LIST)
        return bad_args(p, &p->value[global], &p->value[args], "a list");
    return asd_pt_append_all(p, *out, p->value[args].item[0]);
}

/* defaultdict(factory): the factory is named, never called. */
static asd_status make_default_dict(asd_pt_pickle *p, int32_t global, int32_t args, int32_t *out)
{
    (void)global;
    (void)args;
    return asd_pt_new(p, ASD_PT_DICT, out);
}

static const struct {
    const char *module, *name;
    asd_status (*make)(asd_pt_pickle *, int32_t, int32_t, int32_t *);
} known[] = {
    {"collections", "OrderedDict", make_dict},
    {"collections", "defaultdict", make_default_dict},
    {"torch._utils", "_rebuild_tensor_v2", make_tensor},
    {"torch._utils", "_rebuild_tensor", make_tensor},
    {"torch._utils", "_rebuild_parameter", make_parameter},
    {"torch._utils", "_rebuild_parameter_with_state", make_parameter},
    {"torch", "Size", make_size},
    {"builtins", "set", make_set},
    {"builtins", "frozenset", make_set},
    {"__builtin__", "set", make_set},
    {"__builtin__", "frozenset", make_set},
};

/* A record of a class, arguments under their index. */
static asd_status make_record(asd_pt_pickle *p, int32_t global, int32_t args, int32_t *out)
{
    ASD_TRY(asd_pt_new(p, ASD_PT_RECORD, out));
    const asd_pt_value g      = p->value[global];
    p->value[*out].text       = g.text;
    p->value[*out].bytes      = g.bytes;
    p->value[*out].name       = g.name;
    p->value[*out].name_bytes = g.name_bytes;
    for (int32_t i = 0; i < p->value[args].n_items; ++i) {
        int32_t key = 0;
        ASD_TRY(asd_pt_new(p, ASD_PT_INT, &key));
        p->value[key].integer = i;
        ASD_TRY(asd_pt_append(p, *out, key));
        ASD_TRY(asd_pt_append(p, *out, p->value[args].item[i]));
    }
    return ASD_OK;
}

asd_status asd_pt_reduce(asd_pt_pickle *p, int32_t global, int32_t args, int32_t *out)
{
    const asd_pt_value *g = &p->value[global];
    for (size_t i = 0; i < N_OF(known); ++i)
        if (named(g, known[i].module, known[i].name))
            return known[i].make(p, global, args, out);
    for (size_t i = 0; i < N_OF(inert_call); ++i)
        if (inert_call[i][1][0] == '*' ? in_module(g, inert_call[i][0])
                                       : named(g, inert_call[i][0], inert_call[i][1]))
            return make_record(p, global, args, out);
    return refuse(p, g, "calls");
}

asd_status asd_pt_make_object(asd_pt_pickle *p, int32_t global, int32_t args, int32_t *out)
{
    const asd_pt_value *g = &p->value[global];
    for (size_t i = 0; i < N_OF(known); ++i)
        if (named(g, known[i].module, known[i].name))
            return known[i].make(p, global, args, out);
    if (in_builtins(g) || in_module(g, "torch"))
        return refuse(p, g, "makes a");
    return make_record(p, global, args, out);
}

/* --- storages --- */

static uint32_t hash_of(const char *key, size_t n)
{
    uint32_t h = 2166136261u; /* FNV-1a, 32 bits */
    for (size_t i = 0; i < n; ++i)
        h = (h ^ (unsigned char)key[i]) * 16777619u;
    return h;
}

/* The key's bucket, or the free one where it belongs. */
static int32_t *bucket_of(const asd_pt_pickle *p, const char *key, size_t n)
{
    const uint32_t mask = 2 * ASD_PT_MAX_STORAGES - 1;
    uint32_t       at   = hash_of(key, n) & mask;
    for (; p->bucket[at] >= 0; at = (at + 1) & mask) {
        const asd_pt_storage *s = &p->storage[p->bucket[at]];
        if (s->key_bytes == n && !memcmp(s->key, key, n))
            break;
    }
    return &p->bucket[at];
}

asd_pt_storage *asd_pt_find_storage(const asd_pt_pickle *p, const char *key, size_t key_bytes)
{
    const int32_t i = p->bucket ? *bucket_of(p, key, key_bytes) : -1;
    return i < 0 ? NULL : &p->storage[i];
}

static asd_status add_storage(asd_pt_pickle *p, const asd_pt_storage *s, int64_t *index)
{
    if (!p->bucket) {
        if (!(p->bucket = malloc(2 * ASD_PT_MAX_STORAGES * sizeof *p->bucket)))
            return ASD_FAIL(ASD_E_OOM, "%s: no memory for the storages", p->path);
        memset(p->bucket, 0xff, 2 * ASD_PT_MAX_STORAGES * sizeof *p->bucket);
    }
    int32_t *bucket = bucket_of(p, s->key, s->key_bytes);
    if (*bucket >= 0) {
        const asd_pt_storage *there = &p->storage[ *index = *bucket];
        if (there->dtype != s->dtype || there->n != s->n)
            return ASD_FAIL(ASD_E_DATA,
                            "%s: storage %.*s is %" PRId64 " of %s and elsewhere %" PRId64 " of %s",
                            p->path, (int)s->key_bytes, s->key, there->n,
                            asd_wdtype_name(there->dtype), s->n, asd_wdtype_name(s->dtype));
        return ASD_OK;
    }
    if (p->n_storages >= ASD_PT_MAX_STORAGES)
        return ASD_FAIL(ASD_E_DATA, "%s: more than %d storages", p->path, ASD_PT_MAX_STORAGES);
    if (p->n_storages == p->storages_room) {
        const int64_t   room = p->storages_room ? 2 * p->storages_room : 64;
        asd_pt_storage *more = realloc(p->storage, (size_t)room * sizeof *more);
        if (!more)
            return ASD_FAIL(ASD_E_OOM, "%s: no memory for %" PRId64 " storages", p->path, room);
        p->storage       = more;
        p->storages_room = room;
    }
    *index             = p->n_storages;
    p->storage[*index] = *s;
    *bucket            = (int32_t)p->n_storages++;
    return ASD_OK;
}

static asd_status storage_dtype(const asd_pt_pickle *p, const asd_pt_value *g, asd_wdtype *out)
{
    for (size_t i = 0; i < N_OF(storage_class); ++i)
        if (named(g, storage_class[i].module, storage_class[i].name)) {
            *out = storage_class[i].dtype;
            return ASD_OK;
        }
    return ASD_FAIL(ASD_E_DATA, "%s: a storage of the class %.*s.%.*s, which is not read", p->path,
                    (int)g->bytes, g->text, (int)g->name_bytes, g->name);
}

/* ("storage", class, key, location, numel) and in the legacy form a sixth: None, or (view's key,
 * offset, size). Where the tensor was when it was written does not matter. */
asd_status asd_pt_persistent(asd_pt_pickle *p, int32_t id, int32_t *out)
{
    static const asd_pt_kind want[5] = {ASD_PT_TEXT, ASD_PT_GLOBAL, ASD_PT_TEXT, ASD_PT_TEXT,
                                        ASD_PT_INT};
    asd_pt_storage           s       = {0};
    int64_t                  index   = 0;
    const asd_pt_value      *v       = &p->value[id];
    int                      ok = v->kind == ASD_PT_TUPLE && (v->n_items == 5 || v->n_items == 6);
    for (int i = 0; ok && i < 5; ++i)
        ok = kind_of(p, id, i) == want[i];
    const asd_pt_value *item[6] = {NULL};
    for (int i = 0; ok && i < v->n_items; ++i)
        item[i] = &p->value[v->item[i]];
    ok = ok && asd_pt_is(item[0]->text, item[0]->bytes, "storage") && item[2]->bytes > 0 &&
         item[2]->bytes < 200;
    if (!ok)
        return ASD_FAIL(ASD_E_DATA,
                        "%s: a persistent id that is not (\"storage\", class, key, location, "
                        "elements)",
                        p->path);
    ASD_TRY(storage_dtype(p, item[1], &s.dtype));
    s.key       = item[2]->text;
    s.key_bytes = item[2]->bytes;
    s.n         = item[4]->integer;
    if (s.n < 0 || s.n > INT64_MAX / 16)
        return ASD_FAIL(ASD_E_DATA, "%s: storage %.*s of %" PRId64 " elements", p->path,
                        (int)s.key_bytes, s.key, s.n);
    int64_t from = 0, n = s.n;
    if (item[5] && item[5]->kind != ASD_PT_NONE) {
        const int32_t view = v->item[5];
        if (item[5]->kind != ASD_PT_TUPLE || kind_of(p, view, 1) != ASD_PT_INT ||
            kind_of(p, view, 2) != ASD_PT_INT)
            return ASD_FAIL(ASD_E_DATA, "%s: storage %.*s: a view that is not (key, offset, size)",
                            p->path, (int)s.key_bytes, s.key);
        from = p->value[item[5]->item[1]].integer;
        n    = p->value[item[5]->item[2]].integer;
        if (from < 0 || n < 0 || from > s.n || n > s.n - from)
            return ASD_FAIL(ASD_E_DATA,
                            "%s: storage %.*s of %" PRId64 " elements: a view of %" PRId64
                            " from %" PRId64,
                            p->path, (int)s.key_bytes, s.key, s.n, n, from);
    }
    ASD_TRY(add_storage(p, &s, &index));
    ASD_TRY(asd_pt_new(p, ASD_PT_STORAGE, out));
    p->value[*out].integer   = index;
    p->value[*out].view_from = from;
    p->value[*out].view_n    = n;
    return ASD_OK;
}
