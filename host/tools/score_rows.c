/* score_rows.c - see score_rows.h. */
#include "tools/score_rows.h"

#include "base/file.h"
#include "tools/score_stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Files up to this size are read whole, and then checked against their hash; larger ones, which
 * hold a row per time patch, are read a machine at a time. */
enum { WHOLE_BYTES = 1 << 30 };

/* --- streams --- */

asd_status score_file_open(const asd_embed_stream *parsed, const char *run, const char *recipe,
                           score_file *s)
{
    char path[PATH_MAX];
    ASD_TRY(asd_path(path, "%s/embed/%s.h5", run, s->name));
    if (asd_embed_look(path) == ASD_EMBED_ABSENT || asd_embed_look(path) == ASD_EMBED_UNFINISHED)
        return ASD_FAIL(
            ASD_E_DATA,
            "%s is not there, or not finished: embed first with `asd-embed %s --run %s`", path,
            recipe, run);
    ASD_TRY(asd_embed_open(path, &s->file));
    const asd_embeddings *head = asd_embed_head(s->file);
    ASD_TRY(score_check_stream(parsed, path, head->key_material));
    int64_t bytes = head->N * head->rows * head->D * (int64_t)sizeof(float);
    if (bytes > WHOLE_BYTES)
        return ASD_OK;
    asd_embed_close(s->file);
    s->file = NULL;
    return asd_embeddings_read(path, &s->whole);
}

void score_file_close(score_file *s)
{
    asd_embeddings_clear(&s->whole);
    asd_embed_close(s->file);
    s->file = NULL;
}

const asd_embeddings *score_file_head(const score_file *s)
{
    return s->file ? asd_embed_head(s->file) : &s->whole;
}

/* The rows of n clips. *x: x->x and x->length owned through own and length. */
static asd_status read_rows(score_file *s, const score_group *g, const char *split,
                            const asd_clip *const *clip, int64_t n, float **own, int64_t **length,
                            asd_clip_rows *x)
{
    const asd_embeddings *head  = score_file_head(s);
    int64_t               width = head->rows * head->D;
    *own                        = malloc((size_t)(n * width) * sizeof **own + 1);
    *length                     = malloc((size_t)n * sizeof **length + 1);
    if (!*own || !*length)
        return ASD_FAIL(ASD_E_OOM, "%s: no memory for %lld embeddings", g->key, (long long)n);
    *x = (asd_clip_rows){*own, n, head->rows, head->D, head->n_rows ? *length : NULL};
    for (int64_t i = 0; i < n; ++i) {
        char    name[PATH_MAX];
        int64_t row;
        ASD_TRY(asd_path(name, "%s/%s/%s", g->machine->name, split, clip[i]->name));
        ASD_TRY(asd_embeddings_find(head, name, &row));
        (*length)[i] = head->n_rows ? head->n_rows[row] : head->rows;
        if (s->file)
            ASD_TRY(asd_embed_read(s->file, row, 1, *own + i * width));
        else
            memcpy(*own + i * width, s->whole.x + row * width, (size_t)width * sizeof **own);
    }
    return ASD_OK;
}

/* --- groups of clips --- */

void score_group_clear(score_group *g)
{
    free(g->train);
    free(g->test);
    free(g->is_target);
}

asd_status score_group_make(const asd_machine *m, int section, const char *only, score_group *g)
{
    memset(g, 0, sizeof *g);
    g->machine = m;
    g->section = section;
    snprintf(g->key, sizeof g->key, "%.200s.section_%02d", m->name, section < 0 ? 0 : section);
    g->train     = malloc((size_t)(m->n_train + 1) * sizeof *g->train);
    g->test      = malloc((size_t)(m->n_test + 1) * sizeof *g->test);
    g->is_target = malloc((size_t)m->n_train + 1);
    if (!g->train || !g->test || !g->is_target)
        return ASD_FAIL(ASD_E_OOM, "%s: no memory for its clips", g->key);
    for (int64_t i = 0; i < m->n_train; ++i)
        if (m->train[i].section == section) {
            g->is_target[g->n_train] = m->train[i].domain == ASD_TARGET;
            g->train[g->n_train++]   = &m->train[i];
        }
    for (int64_t i = 0; i < m->n_test; ++i)
        if (m->test[i].section == section && (!only || !strcmp(m->test[i].name, only)))
            g->test[g->n_test++] = &m->test[i];
    return ASD_OK;
}

/* --- rows --- */

void score_rows_clear(score_rows *r)
{
    for (int i = 0; i < ASD_MAX_STREAMS; ++i) {
        free(r->own[i]);
        free(r->length[i]);
    }
    free(r->name);
}

asd_status score_rows_read(score_file *file, const asd_pipeline *p, const score_group *g, int test,
                           score_rows *out)
{
    const asd_clip *const *clip = test ? g->test : g->train;
    int64_t                n    = test ? g->n_test : g->n_train;
    memset(out, 0, sizeof *out);
    if (!(out->name = malloc((size_t)(n + 1) * sizeof *out->name)))
        return ASD_FAIL(ASD_E_OOM, "%s: no memory for names", g->key);
    for (int64_t i = 0; i < n; ++i)
        out->name[i] = clip[i]->name;
    for (int i = 0; i < p->n_streams; ++i) {
        int64_t s = 0;
        while (strcmp(file[s].name, p->stream[i]))
            ++s; /* asd_pipelines_parse has found it */
        ASD_TRY(read_rows(&file[s], g, test ? "test" : "train", clip, n, &out->own[i],
                          &out->length[i], &out->x[i]));
    }
    return ASD_OK;
}

asd_train_rows score_train_rows(const score_group *g, const score_rows *train, int n_streams,
                                uint64_t seed)
{
    asd_train_rows rows = {.n_streams = n_streams,
                           .n         = g->n_train,
                           .is_target = g->is_target,
                           .clip      = train->name,
                           .seed      = seed};
    memcpy(rows.stream, train->x, sizeof train->x);
    return rows;
}
