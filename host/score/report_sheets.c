/* report_sheets.c - see report_sheets.h: which sheets there are, and how they become files. What
 * stands on them is in report_sheet.c. */
#include "score/report_sheets.h"

#include "base/log.h"
#include "score/report_sheet.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MAX_PART = 48 }; /* bytes of a name that go into a file name */

/* "-" and the name, in characters that every file system and every TeX takes. */
static void add_part(char *out, size_t size, const char *name)
{
    size_t n = strlen(out), part = 0;
    if (n + 1 < size)
        out[n++] = '-';
    for (; *name && n + 1 < size && part < MAX_PART; ++name, ++part) {
        unsigned char ch = (unsigned char)*name;
        out[n++] =
            ch < 0x80 && (isalnum(ch) || ch == '_' || ch == '-' || ch == '.') ? (char)ch : '_';
    }
    out[n] = 0;
}

static int is_taken(const asd_sheets *all, const char *stem)
{
    size_t length = strlen(stem);
    for (int64_t i = 0; i < all->n; ++i) /* some file systems do not tell A from a */
        if (!strncasecmp(all->file[i].name, stem, length) && all->file[i].name[length] == '.' &&
            !strchr(all->file[i].name + length + 1, '.'))
            return 1;
    return 0;
}

static asd_status draw_as(const asd_sheet *s, asd_paper_format format, const char *stem,
                          asd_sheets *out)
{
    asd_status      st;
    asd_paper      *paper = NULL;
    asd_sheet_file *all   = realloc(out->file, (size_t)(out->n + 1) * sizeof *all);
    if (!all)
        return ASD_FAIL(ASD_E_OOM, "figures: out of memory");
    out->file            = all;
    asd_sheet_file *file = &all[out->n++];
    memset(file, 0, sizeof *file);
    snprintf(file->name, sizeof file->name, "%s.%s", stem, asd_paper_suffixes[format]);
    ASD_GO(done, st, asd_paper_new(format, s->width, s->height, s->title, s->r->font, &paper));
    ASD_GO(done, st, asd_sheet_draw(s, paper));
    if (asd_paper_unknown_glyphs(paper) && format == ASD_PAPER_PDF) { /* both are drawn alike */
        if (!out->n_boxed++)
            snprintf(out->boxed, sizeof out->boxed, "%s", stem);
    }
    st = asd_paper_finish(paper, &file->data, &file->size);
done:
    asd_paper_free(paper);
    return st;
}

static asd_status add_sheet(const asd_sheet *s, const char *stem, asd_sheets *out)
{
    char name[112];
    snprintf(name, sizeof name, "%s", stem);
    for (int k = 2; is_taken(out, name); ++k)
        snprintf(name, sizeof name, "%.90s-%d", stem, k);
    for (int format = 0; format < ASD_NPAPERS; ++format)
        ASD_TRY(draw_as(s, format, name, out));
    return ASD_OK;
}

static asd_status add_machine(const asd_report *r, int64_t index, asd_sheets *out)
{
    const asd_report_machine *m = &r->machine[index];
    asd_sheet                 s;
    for (int kind = 0; kind < 2; ++kind) {
        char stem[112];
        snprintf(stem, sizeof stem, kind ? "scores" : "roc");
        add_part(stem, sizeof stem, m->name);
        if (r->many_sections)
            snprintf(stem + strlen(stem), sizeof stem - strlen(stem), "-%02d", m->section);
        if (kind)
            asd_sheet_scores(r, index, &s);
        else
            asd_sheet_roc(r, index, &s);
        ASD_TRY(add_sheet(&s, stem, out));
    }
    return ASD_OK;
}

static asd_status add_run(const asd_report *r, int64_t index, asd_sheets *out)
{
    const asd_report_run *run = &r->run[index];
    for (int64_t k = 0; k < run->n_curves; ++k) {
        asd_sheet s;
        char      stem[112] = "loss";
        if (r->n_runs > 1)
            add_part(stem, sizeof stem, asd_base_name(run->path));
        if (*run->curve[k].machine)
            add_part(stem, sizeof stem, run->curve[k].machine);
        asd_sheet_loss(r, &run->curve[k], &s);
        ASD_TRY(add_sheet(&s, stem, out));
    }
    return ASD_OK;
}

asd_status asd_sheets_draw(const asd_report *r, asd_sheets *out)
{
    asd_sheet s;
    *out = (asd_sheets){.n = 0};
    ASD_TRY(asd_sheet_omega(r, &s));
    ASD_TRY(add_sheet(&s, "omega", out));
    ASD_TRY(asd_sheet_pairs(r, &s));
    if (s.n_rows)
        ASD_TRY(add_sheet(&s, "differences", out));
    for (int64_t i = 0; i < r->n_systems; ++i) {
        char stem[112] = "cells";
        add_part(stem, sizeof stem, r->system[i].name);
        asd_sheet_cells(r, i, &s);
        ASD_TRY(add_sheet(&s, stem, out));
    }
    for (int64_t i = 0; i < r->n_machines; ++i)
        ASD_TRY(add_machine(r, i, out));
    for (int64_t i = 0; i < r->n_runs; ++i)
        ASD_TRY(add_run(r, i, out));
    if (out->n_boxed)
        asd_warn("%" PRId64 " figures (%s ...) name something in characters that no font here has; "
                 "boxes stand for them",
                 out->n_boxed, out->boxed);
    return ASD_OK;
}

asd_status asd_sheets_write(const asd_sheets *s, const char *folder)
{
    ASD_TRY(asd_make_folders(folder));
    for (int64_t i = 0; i < s->n; ++i) {
        char path[PATH_MAX];
        ASD_TRY(asd_path(path, "%s/%s", folder, s->file[i].name));
        ASD_TRY(asd_write_file(path, s->file[i].data, s->file[i].size));
    }
    return ASD_OK;
}

void asd_sheets_clear(asd_sheets *s)
{
    for (int64_t i = 0; i < s->n; ++i)
        free(s->file[i].data);
    free(s->file);
    *s = (asd_sheets){.n = 0};
}
