/* systems.c - see systems.h. */
#include "score/systems.h"

#include "base/file.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static int holds_scores(const asd_names *files)
{
    for (int64_t i = 0; i < files->n; ++i) {
        size_t n = strlen(files->name[i]);
        if (!strncmp(files->name[i], "anomaly_score_", 14) && n > 4 &&
            !strcmp(files->name[i] + n - 4, ".csv"))
            return 1;
    }
    return 0;
}

static asd_status add(asd_systems *s, const char *folder)
{
    char **names = realloc(s->name, (size_t)(s->n + 1) * sizeof *names);
    s->name      = names ? names : s->name;
    char **paths = realloc(s->folder, (size_t)(s->n + 1) * sizeof *paths);
    s->folder    = paths ? paths : s->folder;
    if (!names || !paths)
        return ASD_FAIL(ASD_E_OOM, "%s: systems", folder);
    size_t end = strlen(folder);
    while (end > 1 && folder[end - 1] == '/')
        --end;
    s->folder[s->n] = strndup(folder, end);
    s->name[s->n]   = s->folder[s->n] ? strdup(asd_base_name(s->folder[s->n])) : NULL;
    ++s->n;
    return s->name[s->n - 1] ? ASD_OK : ASD_FAIL(ASD_E_OOM, "%s: systems", folder);
}

/* path itself, or its sub-folders. */
static asd_status look_in(const char *path, asd_systems *out)
{
    asd_names  files, inner;
    asd_status st;
    char       folder[PATH_MAX];
    ASD_TRY(asd_list_folder(path, &files));
    if (holds_scores(&files)) {
        st = add(out, path);
        goto done;
    }
    st = ASD_OK;
    for (int64_t i = 0; i < files.n; ++i) {
        ASD_GO(done, st, asd_path(folder, "%s/%s", path, files.name[i]));
        if (!asd_is_folder(folder))
            continue;
        ASD_GO(done, st, asd_list_folder(folder, &inner));
        int yes = holds_scores(&inner);
        asd_names_free(&inner);
        if (yes)
            ASD_GO(done, st, add(out, folder));
    }
done:
    asd_names_free(&files);
    return st;
}

asd_status asd_systems_find(const char *path, asd_systems *out)
{
    char scores[PATH_MAX];
    memset(out, 0, sizeof *out);
    ASD_TRY(look_in(path, out));
    ASD_TRY(asd_path(scores, "%s/scores", path));
    int has_scores = asd_is_folder(scores);
    if (!out->n && has_scores)
        ASD_TRY(look_in(scores, out));
    if (!out->n)
        return ASD_FAIL(ASD_E_DATA,
                        "%s: no anomaly_score_<machine>_section_<SS>_test.csv here%s, nor in a "
                        "sub-folder",
                        path, has_scores ? " or in scores" : "");
    return ASD_OK;
}

asd_status asd_systems_find_one(const char *path, char *folder)
{
    asd_systems s;
    asd_status  st = asd_systems_find(path, &s);
    if (!st && s.n > 1) {
        char names[512] = "";
        for (int64_t i = 0, at = 0; i < s.n && at < (int64_t)sizeof names; ++i)
            at += snprintf(names + at, sizeof names - (size_t)at, "%s%s", i ? ", " : "", s.name[i]);
        st = ASD_FAIL(ASD_E_DATA, "%s: holds %" PRId64 " systems, want one of them: %s", path, s.n,
                      names);
    }
    if (!st)
        st = asd_path(folder, "%s", s.folder[0]);
    asd_systems_clear(&s);
    return st;
}

void asd_systems_clear(asd_systems *s)
{
    for (int64_t i = 0; i < s->n; ++i) {
        free(s->name[i]);
        free(s->folder[i]);
    }
    free(s->name);
    free(s->folder);
    memset(s, 0, sizeof *s);
}
