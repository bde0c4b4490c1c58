/* cfg.c - recipes: the table, resolving (default < parents < own keys < smoke < --set), printing.
 */
#include "base/cfg.h"

#include "base/file.h"
#include "base/utf8.h"
#include "base/yaml.h"

#include <stdlib.h>
#include <string.h>

const asd_opt asd_cfg_opts[] = {
#define CFG(field, key, type, ctype, def, min, max, choices, unit, text)                           \
    {key, 0, ASD_OPT_##type, offsetof(asd_cfg, field), def, min, max, choices, unit, text},
#include "base/cfg.def"
#undef CFG
    {0}};

enum {
    N_ROWS    = sizeof asd_cfg_opts / sizeof *asd_cfg_opts - 1,
    MAX_BASES = 8, /* depth of parents of parents */
    MAX_FILES =
        64, /* files read for one recipe, so that doubled parents cannot multiply for ever */
};

/* One load in progress. */
typedef struct loader {
    asd_recipe *out;
    asd_cfg     scratch;                   /* where smoke: is tried when it is not asked for */
    char        real[MAX_BASES][PATH_MAX]; /* files being read, the recipe first: to see a cycle */
    int         depth, n_files;
    int         smoke;     /* the pass that takes only the smoke: keys */
    int         has_smoke; /* some file had a smoke: section */
} loader;

/* --- keys --- */

static const asd_opt *find_row(const char *key)
{
    for (const asd_opt *o = asd_cfg_opts; o->key; ++o)
        if (!strcmp(o->key, key))
            return o;
    return NULL;
}

static int is_section(const char *key)
{
    size_t length = strlen(key);
    for (const asd_opt *o = asd_cfg_opts; o->key; ++o)
        if (!strncmp(o->key, key, length) && o->key[length] == '.')
            return 1;
    return 0;
}

static const char *last_part(const char *key)
{
    const char *dot = strrchr(key, '.');
    return dot ? dot + 1 : key;
}

/* The nearest key; else, for a key in the wrong section, the only one with the same last part. */
static const char *nearest_key(const char *key)
{
    const char *names[N_ROWS + 2], *found, *same = NULL;
    int         n_same = 0;
    for (int i = 0; i < N_ROWS; ++i)
        names[i] = asd_cfg_opts[i].key;
    names[N_ROWS]     = "base";
    names[N_ROWS + 1] = "smoke";
    if ((found = asd_nearest(key, names, N_ROWS + 2)))
        return found;
    for (int i = 0; i < N_ROWS; ++i)
        if (!strcmp(last_part(names[i]), last_part(key)))
            same = names[i], ++n_same;
    return n_same == 1 ? same : NULL;
}

static asd_status unknown_key(const char *where, const char *key)
{
    char           parent[256];
    const asd_opt *o;
    snprintf(parent, sizeof parent, "%s", key);
    for (char *dot; (dot = strrchr(parent, '.')) && !(*dot = 0);)
        if ((o = find_row(parent)))
            return ASD_FAIL(ASD_E_CONFIG, "%s: %s is one value, not a section", where, o->key);
    const char *near = nearest_key(key);
    return ASD_FAIL(ASD_E_CONFIG, "%s: unknown key %s%s%s%s", where, key,
                    near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
}

/* --- one value --- */

static const char *wanted(const asd_opt *o)
{
    switch (o->type) {
    case ASD_OPT_INT: return "a whole number";
    case ASD_OPT_REAL: return "a number";
    case ASD_OPT_FLAG:
    case ASD_OPT_BOOL: return "true or false";
    case ASD_OPT_CHOICE: return o->choices;
    case ASD_OPT_LIST: return "a list such as [a, b]";
    case ASD_OPT_TEXT: return "a text";
    }
    return "";
}

static void item_place(char *buf, size_t size, const char *path, const asd_yaml_item *v,
                       const char *key)
{
    if (path)
        snprintf(buf, size, "%s:%d:%d: %s", path, v->line, v->column, key);
    else
        snprintf(buf, size, "--set %s", key);
}

/* A comma in brackets splits a YAML list; a text that lost its other half shows by its brackets. */
static int is_torn(const char *text)
{
    int depth = 0;
    for (; *text; ++text) {
        depth += (*text == '(') - (*text == ')');
        if (depth < 0)
            return 1;
    }
    return depth != 0;
}

/* append: `key+: [x]` keeps what parents gave. */
static asd_status set_list(const asd_opt *o, asd_cfg *cfg, const asd_yaml_entry *e,
                           const char *path, int append)
{
    char where[4400];
    item_place(where, sizeof where, path, &e->value, o->key);
    if (e->value.kind != ASD_YAML_LIST)
        return ASD_FAIL(ASD_E_CONFIG, "%s: want a list such as [a, b]", where);
    if (!append)
        asd_opt_reset(o, cfg);
    for (int64_t i = 0; i < e->n_items; ++i) {
        item_place(where, sizeof where, path, &e->item[i], o->key);
        if (e->item[i].kind == ASD_YAML_NULL)
            return ASD_FAIL(ASD_E_CONFIG, "%s: item %ld is empty", where, (long)i + 1);
        if (e->item[i].kind == ASD_YAML_PLAIN && is_torn(e->item[i].text))
            return ASD_FAIL(ASD_E_CONFIG,
                            "%s: \"%.60s\" has an open bracket; put quotes around a text with "
                            "commas",
                            where, e->item[i].text);
        ASD_TRY(asd_opt_set(o, cfg, e->item[i].text, where, ASD_E_CONFIG));
    }
    if ((double)e->n_items < o->min) {
        item_place(where, sizeof where, path, &e->value, o->key);
        return ASD_FAIL(ASD_E_CONFIG, "%s: %ld items, want at least %.0f", where, (long)e->n_items,
                        o->min);
    }
    return ASD_OK;
}

static asd_status set_value(const asd_opt *o, asd_cfg *cfg, const asd_yaml_entry *e,
                            const char *path, int append)
{
    char                 where[4400];
    const asd_yaml_item *v = &e->value;
    if (o->type == ASD_OPT_LIST)
        return set_list(o, cfg, e, path, append);
    item_place(where, sizeof where, path, v, o->key);
    if (append)
        return ASD_FAIL(ASD_E_CONFIG, "%s: is no list, so nothing can be added to it with %s+",
                        where, o->key);
    if (v->kind == ASD_YAML_LIST || v->kind == ASD_YAML_EMPTY_MAP)
        return ASD_FAIL(ASD_E_CONFIG, "%s: found a %s, want %s", where,
                        v->kind == ASD_YAML_LIST ? "list" : "section", wanted(o));
    if (v->kind == ASD_YAML_NULL && o->type == ASD_OPT_TEXT) {
        asd_opt_reset(o, cfg);
        return ASD_OK;
    }
    if (v->kind == ASD_YAML_NULL)
        return ASD_FAIL(ASD_E_CONFIG, "%s: has no value, want %s", where, wanted(o));
    if (v->kind == ASD_YAML_QUOTED &&
        (o->type == ASD_OPT_INT || o->type == ASD_OPT_REAL || o->type == ASD_OPT_BOOL))
        return ASD_FAIL(ASD_E_CONFIG, "%s: found the text \"%.60s\", want %s without quotes", where,
                        v->text, wanted(o));
    return asd_opt_set(o, cfg, v->text, where, ASD_E_CONFIG);
}

static asd_status keep_origin(char **origin, const asd_opt *o, const char *text)
{
    char *copy = strdup(text);
    if (!copy)
        return ASD_FAIL(ASD_E_OOM, "%s: no memory for its origin", o->key);
    free(origin[o - asd_cfg_opts]);
    origin[o - asd_cfg_opts] = copy;
    return ASD_OK;
}

/* Applies one entry to cfg. path NULL: from --set. origin NULL: origins are not kept. */
static asd_status apply(const asd_yaml_entry *e, const char *key, const char *path, asd_cfg *cfg,
                        char **origin)
{
    char   where[4400], plain[256];
    size_t length = strlen(key);
    int    append = length > 1 && key[length - 1] == '+';
    snprintf(plain, sizeof plain, "%.*s", (int)(length - (size_t)append), key);
    const asd_opt *o = find_row(plain);
    if (!o) {
        int is_empty = e->value.kind == ASD_YAML_EMPTY_MAP || e->value.kind == ASD_YAML_NULL;
        if (is_empty && is_section(key)) /* `train:` with nothing below */
            return ASD_OK;
        if (path)
            snprintf(where, sizeof where, "%s:%d:%d", path, e->line, e->column);
        else
            snprintf(where, sizeof where, "--set");
        if (is_section(key))
            return ASD_FAIL(ASD_E_CONFIG, "%s: %s is a section, not a value", where, key);
        return unknown_key(where, key);
    }
    ASD_TRY(set_value(o, cfg, e, path, append));
    if (!origin)
        return ASD_OK;
    if (path)
        snprintf(where, sizeof where, "%s:%d:%d", path, e->line, e->column);
    return keep_origin(origin, o, path ? where : "--set");
}

/* --- files --- */

static asd_status load_file(loader *l, const char *path, const char *named_at);

static asd_status load_base(loader *l, const char *path, const asd_yaml_item *name)
{
    char       named_at[4400], found[PATH_MAX];
    asd_status st;
    snprintf(named_at, sizeof named_at, "%s:%d:%d: base", path, name->line, name->column);
    if (name->kind == ASD_YAML_NULL)
        return ASD_FAIL(ASD_E_CONFIG, "%s: has no value, want a recipe or a list of recipes",
                        named_at);
    if ((st = asd_recipe_find(name->text, path, named_at, found)))
        return st;
    return load_file(l, found, named_at);
}

static asd_status load_bases(loader *l, const char *path, const asd_yaml *y)
{
    for (int64_t i = 0; i < y->n; ++i) {
        const asd_yaml_entry *e = &y->entry[i];
        if (strcmp(e->key, "base"))
            continue;
        if (e->value.kind == ASD_YAML_EMPTY_MAP)
            return ASD_FAIL(ASD_E_CONFIG, "%s:%d:%d: base: found a section, want a recipe", path,
                            e->value.line, e->value.column);
        if (e->value.kind != ASD_YAML_LIST)
            return load_base(l, path, &e->value);
        for (int64_t k = 0; k < e->n_items; ++k)
            ASD_TRY(load_base(l, path, &e->item[k]));
    }
    return ASD_OK;
}

/* The first pass takes the ordinary keys and only checks the smoke: keys; the second the reverse.
 */
static asd_status apply_entries(loader *l, const char *path, const asd_yaml *y)
{
    for (int64_t i = 0; i < y->n; ++i) {
        const asd_yaml_entry *e        = &y->entry[i];
        int                   is_smoke = !strncmp(e->key, "smoke.", 6);
        if (!strcmp(e->key, "base"))
            continue;
        if (!strcmp(e->key, "smoke")) {
            if (e->value.kind != ASD_YAML_EMPTY_MAP && e->value.kind != ASD_YAML_NULL)
                return ASD_FAIL(ASD_E_CONFIG, "%s:%d:%d: smoke is a section, not a value", path,
                                e->line, e->column);
            l->has_smoke = 1;
        } else if (is_smoke && l->smoke) {
            ASD_TRY(apply(e, e->key + 6, path, &l->out->cfg, l->out->origin));
        } else if (is_smoke) {
            l->has_smoke = 1;
            ASD_TRY(apply(e, e->key + 6, path, &l->scratch, NULL));
        } else if (!l->smoke) {
            ASD_TRY(apply(e, e->key, path, &l->out->cfg, l->out->origin));
        }
    }
    return ASD_OK;
}

static asd_status enter(loader *l, const char *path, const char *named_at)
{
    const char *prefix = named_at ? named_at : path, *colon = named_at ? ": " : "";
    const char *shown = named_at ? path : "";
    if (l->depth == MAX_BASES || l->n_files == MAX_FILES)
        return ASD_FAIL(ASD_E_CONFIG, "%s%s%s: parents go deeper than %d or are more than %d",
                        prefix, colon, shown, MAX_BASES, MAX_FILES);
    if (!realpath(path, l->real[l->depth]))
        return ASD_FAIL(ASD_E_CONFIG, "%s%s%s: cannot read", prefix, colon, shown);
    for (int i = 0; i < l->depth; ++i)
        if (!strcmp(l->real[i], l->real[l->depth]))
            return ASD_FAIL(ASD_E_CONFIG, "%s%s%s: a cycle: it is its own parent", prefix, colon,
                            shown);
    ++l->depth;
    ++l->n_files;
    return ASD_OK;
}

static asd_status load_file(loader *l, const char *path, const char *named_at)
{
    asd_yaml   y    = {0};
    char      *text = NULL;
    size_t     size;
    asd_status st;
    ASD_TRY(enter(l, path, named_at));
    if ((st = asd_read_file(path, ASD_YAML_MAX_BYTES, &text, &size))) {
        if (st == ASD_E_DATA) /* what is asked for is a recipe, not data */
            st = ASD_FAIL(ASD_E_CONFIG, "%s%s%s", named_at ? named_at : "", named_at ? ": " : "",
                          asd_error_text());
        goto done;
    }
    ASD_GO(done, st, asd_yaml_parse(text, size, path, NULL, &y));
    ASD_GO(done, st, load_bases(l, path, &y));
    ASD_GO(done, st, apply_entries(l, path, &y));
done:
    --l->depth;
    asd_yaml_clear(&y);
    free(text);
    return st;
}

/* --- the whole recipe --- */

static asd_status apply_set(asd_recipe *r, const char *set)
{
    const char *equals = strchr(set, '=');
    char        where[300], key[256];
    asd_yaml    y;
    asd_status  st = ASD_OK;
    if (!equals || equals == set || equals - set >= (long)sizeof key)
        return ASD_FAIL(ASD_E_CONFIG, "--set %.60s: want key=value, as in --set train.lr=0.01",
                        set);
    snprintf(key, sizeof key, "%.*s", (int)(equals - set), set);
    snprintf(where, sizeof where, "--set %s", key);
    if (!strcmp(key, "base") || !strcmp(key, "smoke") || !strncmp(key, "smoke.", 6))
        return ASD_FAIL(ASD_E_CONFIG, "%s: belongs in a recipe file, cannot be set here", where);
    ASD_TRY(asd_yaml_parse(equals + 1, strlen(equals + 1), where, key, &y));
    if (y.n == 0) { /* nothing, or only a comment, stands for null */
        const asd_yaml_entry null = {.key = key, .value = {.kind = ASD_YAML_NULL}};
        st                        = apply(&null, key, NULL, &r->cfg, r->origin);
    }
    for (int64_t i = 0; i < y.n && !st; ++i)
        st = apply(&y.entry[i], y.entry[i].key, NULL, &r->cfg, r->origin);
    asd_yaml_clear(&y);
    return st;
}

static asd_status set_hash(asd_recipe *r)
{
    char      *text = NULL;
    size_t     size = 0;
    FILE      *f    = open_memstream(&text, &size);
    asd_status st   = f ? asd_recipe_print(r, 0, f) : ASD_OK;
    if (!f || fclose(f))
        st = ASD_FAIL(ASD_E_OOM, "%s: no memory for its hash", r->path);
    if (!st)
        asd_hash_bytes(text, size, r->hash);
    free(text);
    return st;
}

asd_status asd_recipe_set(asd_recipe *r, const char *key, const char *text, const char *origin,
                          asd_status code)
{
    const asd_opt *o = find_row(key);
    if (!o)
        return unknown_key(origin, key);
    if (!asd_utf8_valid(text))
        return ASD_FAIL(code, "%s: not UTF-8", origin);
    if (o->type == ASD_OPT_LIST)
        asd_opt_reset(o, &r->cfg);
    ASD_TRY(asd_opt_set(o, &r->cfg, text, origin, code));
    ASD_TRY(keep_origin(r->origin, o, origin));
    ASD_TRY(asd_cfg_check(r));
    return set_hash(r);
}

asd_status asd_recipe_load(const char *path, char *const *sets, int64_t n, int smoke,
                           asd_recipe *out)
{
    asd_status st = ASD_OK;
    char       found[PATH_MAX];
    loader    *l = NULL;
    *out         = (asd_recipe){0};
    ASD_TRY(asd_opts_defaults(asd_cfg_opts, &out->cfg));
    if (!(l = calloc(1, sizeof *l)) || !(out->path = strdup(path)) ||
        !(out->origin = calloc(N_ROWS, sizeof *out->origin))) {
        st = ASD_FAIL(ASD_E_OOM, "%s: no memory for the recipe", path);
        goto done;
    }
    l->out = out;
    for (int i = 0; i < N_ROWS; ++i)
        if (!(out->origin[i] = strdup("default"))) {
            st = ASD_FAIL(ASD_E_OOM, "%s: no memory for the recipe", path);
            goto done;
        }
    ASD_GO(done, st, asd_opts_defaults(asd_cfg_opts, &l->scratch));
    ASD_GO(done, st, asd_recipe_find(path, NULL, NULL, found));
    ASD_GO(done, st, load_file(l, found, NULL));
    if (smoke && !l->has_smoke) {
        st = ASD_FAIL(ASD_E_CONFIG, "%s: has no smoke: section", found);
        goto done;
    }
    if (smoke) {
        l->smoke = 1, l->n_files = 0;
        ASD_GO(done, st, load_file(l, found, NULL));
    }
    for (int64_t i = 0; i < n; ++i)
        ASD_GO(done, st, apply_set(out, sets[i]));
    ASD_GO(done, st, asd_cfg_check(out));
    st = set_hash(out);
done:
    if (l)
        asd_opts_clear(asd_cfg_opts, &l->scratch);
    free(l);
    return st;
}

void asd_recipe_clear(asd_recipe *r)
{
    asd_opts_clear(asd_cfg_opts, &r->cfg);
    for (int i = 0; r->origin && i < N_ROWS; ++i)
        free(r->origin[i]);
    free(r->origin);
    free(r->path);
    *r = (asd_recipe){0};
}
