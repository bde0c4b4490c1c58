/* cfg_find.c - where recipes are looked for. */
#include "base/cfg.h"

#include "base/file.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_FOLDERS = 6 };

typedef struct folders {
    char path[MAX_FOLDERS][PATH_MAX];
    int  n;
} folders;

static void add_folder(folders *f, const char *path)
{
    if (f->n < MAX_FOLDERS && strlen(path) < PATH_MAX && asd_is_folder(path))
        strcpy(f->path[f->n++], path);
}

/* "recipes/x.yaml" -> "recipes", "x.yaml" -> "." */
static asd_status folder_of(const char *path, char out[PATH_MAX])
{
    const char *base = asd_base_name(path);
    if (base == path)
        return asd_path(out, ".");
    return asd_path(out, "%.*s", base - path > 1 ? (int)(base - path - 1) : 1, path);
}

static void add_program_folders(folders *f)
{
    static const char *const below[] = {"../share/asd/recipes", "../recipes"};
    char                     path[PATH_MAX];
    for (int i = 0; i < 2; ++i)
        if (!asd_beside_program(path, below[i]))
            add_folder(f, path);
}

static asd_status list_folders(const char *from, folders *f)
{
    char        beside[PATH_MAX];
    const char *named = getenv("ASD_RECIPES");
    f->n              = 0;
    if (from) {
        ASD_TRY(folder_of(from, beside));
        add_folder(f, beside);
    }
    add_folder(f, "recipes");
    if (named && *named)
        add_folder(f, named);
    add_program_folders(f);
    add_folder(f, ASD_RECIPES_DIR); /* for programs of others, which lie elsewhere */
    return ASD_OK;
}

static int has_suffix(const char *name)
{
    size_t n = strlen(name);
    return n > 5 && !strcmp(name + n - 5, ".yaml");
}

/* "a/b" below ".": "a/b". */
static asd_status join(char out[PATH_MAX], const char *folder, const char *name, const char *suffix)
{
    if (!strcmp(folder, "."))
        return asd_path(out, "%s%s", name, suffix);
    return asd_path(out, "%s%s%s%s", folder, strcmp(folder, "/") ? "/" : "", name, suffix);
}

/* The nearest name in the folders, in buf; 0 when none is near. */
static int nearest_recipe(const folders *f, const char *name, char *buf, size_t size)
{
    int found = 0;
    for (int i = 0; i < f->n && !found; ++i) {
        asd_names names;
        if (asd_list_folder(f->path[i], &names))
            continue; /* only a hint is lost */
        int64_t n = 0;
        for (int64_t k = 0; k < names.n; ++k)
            if (has_suffix(names.name[k])) {
                char *swap                               = names.name[n];
                names.name[n]                            = names.name[k];
                names.name[k]                            = swap;
                names.name[n][strlen(names.name[n]) - 5] = 0;
                ++n;
            }
        const char *near = asd_nearest(name, (const char *const *)names.name, n);
        if (near)
            snprintf(buf, size, "%s", near);
        found = near != NULL;
        asd_names_free(&names);
    }
    return found;
}

asd_status asd_recipe_find(const char *name, const char *from, const char *where,
                           char found[PATH_MAX])
{
    char        beside[PATH_MAX] = ".", near[256];
    const char *begin = where ? where : "", *colon = where ? ": " : "";
    asd_status  st;
    folders    *f = NULL;
    if (from)
        ASD_TRY(folder_of(from, beside));
    ASD_TRY(join(found, *name == '/' ? "." : beside, name, ""));
    if (asd_is_file(found))
        return ASD_OK;
    if (!*name || strchr(name, '/'))
        return ASD_FAIL(ASD_E_CONFIG, "%s%srecipe %s: no such file", begin, colon, found);
    if (!(f = malloc(sizeof *f)))
        return ASD_FAIL(ASD_E_OOM, "%s%srecipe %.60s: no memory", begin, colon, name);
    ASD_GO(done, st, list_folders(from, f));
    for (int i = 0; i < f->n; ++i) {
        ASD_GO(done, st, join(found, f->path[i], name, has_suffix(name) ? "" : ".yaml"));
        if (asd_is_file(found))
            goto done;
    }
    int is_near = nearest_recipe(f, name, near, sizeof near);
    st = ASD_FAIL(ASD_E_CONFIG, "%s%srecipe %.60s: neither a file nor a standard recipe%s%s%s",
                  begin, colon, name, is_near ? "; did you mean " : "", is_near ? near : "",
                  is_near ? "?" : "");
done:
    free(f);
    return st;
}
