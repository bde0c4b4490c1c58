/* audit_rows.c - the embedding files of a copy of a data set, put together from rows of others. See
 * audit_set.h.
 */
#include "tools/audit_set.h"

#include "base/file.h"
#include "data/embed_h5.h"
#include "data/embed_key.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct row {
    char   *name;  /* in the copy */
    int     again; /* from the file of test clips that were embedded again */
    int64_t at;
    int     owned; /* name is */
} row;

typedef struct row_list {
    row    *row;
    int64_t n;
} row_list;

static int by_row_name(const void *a, const void *b)
{
    return strcmp(((const row *)a)->name, ((const row *)b)->name);
}

/* Training rows of the reference, and all of `again`; without it the reference's rows of the test
 * clips, under their new names. */
static asd_status choose_rows(const asd_embeddings *from[2], const audit_clip *clip, int64_t n,
                              row_list *out)
{
    int64_t room = from[0]->N + n + (from[1] ? from[1]->N : 0);
    char    was[PATH_MAX], name[PATH_MAX];
    if (!(out->row = malloc((size_t)room * sizeof *out->row)))
        return ASD_FAIL(ASD_E_OOM, "no memory for %lld rows", (long long)room);
    for (int64_t i = 0; i < from[0]->N; ++i)
        if (strstr(from[0]->clip[i], "/train/"))
            out->row[out->n++] = (row){from[0]->clip[i], 0, i, 0};
    for (int64_t i = 0; from[1] && i < from[1]->N; ++i)
        out->row[out->n++] = (row){from[1]->clip[i], 1, i, 0};
    for (int64_t i = 0; !from[1] && i < n; ++i) {
        row r = {.owned = 1};
        ASD_TRY(asd_path(was, "%s/test/%s", clip[i].machine->name, clip[i].clip->name));
        ASD_TRY(asd_path(name, "%s/test/%s", clip[i].machine->name, clip[i].name));
        ASD_TRY(asd_embeddings_find(from[0], was, &r.at));
        if (!(r.name = strdup(name)))
            return ASD_FAIL(ASD_E_OOM, "no memory for names");
        out->row[out->n++] = r;
    }
    qsort(out->row, (size_t)out->n, sizeof *out->row, by_row_name);
    return ASD_OK;
}

static void rows_clear(row_list *l)
{
    for (int64_t i = 0; i < l->n; ++i)
        if (l->row[i].owned)
            free(l->row[i].name);
    free(l->row);
}

static asd_status make_head(const asd_embeddings *from[2], const row_list *l, asd_embeddings *head)
{
    size_t n        = (size_t)l->n;
    *head           = *from[0];
    head->x         = NULL;
    head->N         = l->n;
    head->rows      = from[1] && from[1]->rows > head->rows ? from[1]->rows : head->rows;
    head->clip      = malloc(n * sizeof *head->clip);
    head->audio     = malloc(n * sizeof *head->audio);
    head->n_samples = malloc(n * sizeof *head->n_samples);
    head->n_rows    = from[0]->n_rows ? malloc(n * sizeof *head->n_rows) : NULL;
    if (!head->clip || !head->audio || !head->n_samples || (from[0]->n_rows && !head->n_rows))
        return ASD_FAIL(ASD_E_OOM, "no memory for %lld rows", (long long)l->n);
    for (int64_t i = 0; i < l->n; ++i) {
        const asd_embeddings *e = from[l->row[i].again];
        head->clip[i]           = l->row[i].name;
        head->audio[i]          = e->audio[l->row[i].at];
        head->n_samples[i]      = e->n_samples[l->row[i].at];
        if (head->n_rows)
            head->n_rows[i] = e->n_rows[l->row[i].at];
    }
    return ASD_OK;
}

static asd_status copy_rows(asd_embed_file *const file[2], const row_list *l,
                            const asd_embeddings *head, asd_embed_writer *w)
{
    int64_t width = head->rows * head->D;
    float  *x     = malloc((size_t)width * sizeof *x);
    if (!x)
        return ASD_FAIL(ASD_E_OOM, "no memory for a row");
    asd_status st = ASD_OK;
    for (int64_t i = 0; i < l->n && !st; ++i) {
        for (int64_t k = 0; k < width; ++k)
            x[k] = NAN; /* behind the rows of a file with fewer */
        st = asd_embed_read(file[l->row[i].again], l->row[i].at, 1, x);
        if (!st)
            st = asd_embed_write(w, 1, x);
    }
    free(x);
    return st;
}

/* Other weights, precision or device would change scores, and no detector would be to blame. */
static asd_status check_method(const char *reference, const asd_embeddings *const from[2])
{
    char      *was = NULL, *now = NULL, why[1024];
    asd_status st = asd_embed_key_method(reference, from[0]->key_material, &was);
    if (!st)
        st = asd_embed_key_method(reference, from[1]->key_material, &now);
    if (!st && strcmp(was, now) != 0)
        st =
            ASD_FAIL(ASD_E_DATA, "%s: the run was embedded in another way than this audit does: %s",
                     reference, asd_embed_difference(was, now, why, sizeof why));
    free(was);
    free(now);
    return st;
}

/* again: NULL for none. */
static asd_status merge(const char *reference, const char *again, const audit_clip *clip, int64_t n,
                        const char *path)
{
    asd_embed_file       *file[2] = {NULL, NULL};
    const asd_embeddings *from[2] = {NULL, NULL};
    asd_embed_writer     *w       = NULL;
    asd_embeddings        head    = {.N = 0};
    row_list              list    = {NULL, 0};
    asd_status            st      = asd_embed_open(reference, &file[0]);
    if (!st && again)
        st = asd_embed_open(again, &file[1]);
    for (int i = 0; i < 2 && !st; ++i)
        from[i] = file[i] ? asd_embed_head(file[i]) : NULL;
    if (!st && again)
        st = check_method(reference, from);
    if (!st)
        st = choose_rows(from, clip, n, &list);
    if (!st)
        st = make_head(from, &list, &head);
    if (!st)
        st = asd_embed_create(path, &head, &w);
    if (!st && (st = copy_rows(file, &list, &head, w)))
        asd_embed_abandon(w);
    else if (!st)
        st = asd_embed_commit(w);
    free(head.clip);
    free(head.audio);
    free(head.n_samples);
    free(head.n_rows);
    rows_clear(&list);
    for (int i = 0; i < 2; ++i)
        if (file[i])
            asd_embed_close(file[i]);
    return st;
}

asd_status audit_rows(const audit_clip *clip, int64_t n, const char *reference, const char *again,
                      const char *run)
{
    char      from[PATH_MAX], folder[PATH_MAX];
    asd_names names = {0};
    ASD_TRY(asd_path(folder, "%s/embed", run));
    ASD_TRY(asd_remove_tree(folder));
    ASD_TRY(asd_make_folders(folder));
    ASD_TRY(asd_path(from, "%s/embed", again ? again : reference));
    ASD_TRY(asd_list_folder(from, &names));
    asd_status st = ASD_OK;
    for (int64_t i = 0; i < names.n && !st; ++i) {
        char   a[PATH_MAX], b[PATH_MAX], to[PATH_MAX];
        size_t length = strlen(names.name[i]);
        if (length < 3 || strcmp(names.name[i] + length - 3, ".h5"))
            continue;
        st = asd_path(a, "%s/embed/%s", reference, names.name[i]);
        if (!st)
            st = asd_path(b, "%s/%s", from, names.name[i]);
        if (!st)
            st = asd_path(to, "%s/%s", folder, names.name[i]);
        if (!st)
            st = merge(a, again ? b : NULL, clip, n, to);
    }
    asd_names_free(&names);
    return st;
}
