/* dataset.c - see dataset.h. First dataset_find.c lists the machine folders, then each is read. */
#include "data/dataset.h"

#include "base/file.h"
#include "base/log.h"
#include "data/dataset_find.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* What makes a folder a machine, and where its clips lie. */
const asd_clip_folder asd_clip_folders[ASD_N_CLIP_FOLDERS] = {
    {"train", ASD_TRAIN},
    {"test", ASD_TEST},
    {"source_test", ASD_TEST},
    {"target_test", ASD_TEST},
};

static asd_status copy_text(const char *text, char **out)
{
    return (*out = strdup(text)) ? ASD_OK : ASD_FAIL(ASD_E_OOM, "no memory for \"%s\"", text);
}

asd_status asd_problems_add(asd_problems *p, const char *text)
{
    if ((p->n & (p->n - 1)) == 0) { /* full at every power of two */
        char **more = realloc(p->text, (size_t)(p->n ? 2 * p->n : 1) * sizeof *more);
        if (!more)
            return ASD_FAIL(ASD_E_OOM, "no memory for a list of problems");
        p->text = more;
    }
    ASD_TRY(copy_text(text, &p->text[p->n]));
    ++p->n;
    return ASD_OK;
}

void asd_problems_clear(asd_problems *p)
{
    for (int64_t i = 0; i < p->n; ++i)
        free(p->text[i]);
    free(p->text);
    *p = (asd_problems){0};
}

/* Wrong data is collected where there is a list for it; all else is passed up. */
static asd_status collect(asd_problems *problems, asd_status st)
{
    return st == ASD_E_DATA && problems ? asd_problems_add(problems, asd_error_text()) : st;
}

static int has_extension(const char *name, const char *extension)
{
    size_t n = strlen(name), m = strlen(extension);
    return n >= m && !strcasecmp(name + n - m, extension);
}

/* Whether a folder entry is a clip, or may lie there and be left alone; anything else is an error.
 */
static asd_status classify(const char *path, const char *name, int *is_clip)
{
    static const char *const notes[] = {".csv", ".txt", ".md"};
    *is_clip                         = 0;
    if (name[0] == '.')
        return ASD_OK;
    if (has_extension(name, ".wav")) {
        *is_clip = 1;
        return ASD_OK;
    }
    for (size_t i = 0; i < sizeof notes / sizeof *notes; ++i)
        if (has_extension(name, notes[i]))
            return ASD_OK;
    return ASD_FAIL(ASD_E_DATA,
                    "%s: %s among the clips; want .wav files only (.csv, .txt, .md and hidden "
                    "files are left alone)",
                    path, asd_is_folder(path) ? "a folder" : "not a .wav file");
}

/* A training name must carry its label; of a test name only the section is read. */
static asd_status read_name(const char *path, const char *name, asd_split split, asd_clip *clip)
{
    asd_clip_name label;
    clip->domain = ASD_DOMAIN_UNKNOWN;
    if (split == ASD_TEST) {
        ASD_TRY(asd_clip_name_check(name));
        clip->section = asd_clip_name_section(name);
        return copy_text("", &clip->attribute);
    }
    ASD_TRY(asd_clip_name_parse(name, &label));
    if (label.condition == ASD_COND_UNKNOWN)
        return ASD_FAIL(ASD_E_DATA,
                        "%s: a training clip without a label; want "
                        "section_SS_DOMAIN_train_normal_NNNN_ATTR.wav (is this the test set?)",
                        path);
    if (label.condition == ASD_ANOMALY)
        return ASD_FAIL(ASD_E_DATA, "%s: a training clip labelled anomaly; want normal clips only",
                        path);
    if (label.split == ASD_TEST)
        return ASD_FAIL(ASD_E_DATA, "%s: a test clip in the train folder", path);
    clip->section = label.section;
    clip->domain  = label.domain == ASD_TARGET ? ASD_TARGET : ASD_SOURCE;
    return copy_text(label.attribute, &clip->attribute);
}

static void clear_clip(asd_clip *clip)
{
    free(clip->path);
    free(clip->name);
    free(clip->attribute);
    *clip = (asd_clip){.section = -1, .domain = ASD_DOMAIN_UNKNOWN};
}

static void free_clips(asd_clip *clip, int64_t n)
{
    for (int64_t i = 0; i < n; ++i)
        clear_clip(clip + i);
    free(clip);
}

/* One folder entry; *taken says whether it became a clip, which the caller then owns. */
static asd_status read_entry(const char *folder, const char *name, asd_split split, asd_clip *clip,
                             int *taken)
{
    char path[PATH_MAX];
    *taken = 0;
    ASD_TRY(asd_path(path, "%s/%s", folder, name));
    ASD_TRY(classify(path, name, taken));
    if (!*taken)
        return ASD_OK;
    ASD_TRY(copy_text(path, &clip->path));
    ASD_TRY(copy_text(name, &clip->name));
    return read_name(path, name, split, clip);
}

/* Appends the clips of one folder to (*clips, *n_clips). */
static asd_status read_clip_folder(const char *folder, asd_split split, asd_problems *problems,
                                   asd_clip **clips, int64_t *n_clips)
{
    asd_status st = ASD_OK;
    asd_names  names;
    int64_t    n_wav = 0;
    ASD_TRY(asd_list_folder(folder, &names));
    asd_clip *more = realloc(*clips, (size_t)(*n_clips + names.n + 1) * sizeof *more);
    if (!more) {
        st = ASD_FAIL(ASD_E_OOM, "%s: no memory for %" PRId64 " names", folder, names.n);
        goto done;
    }
    *clips = more;
    for (int64_t i = 0; i < names.n; ++i) {
        asd_clip clip = {.section = -1, .domain = ASD_DOMAIN_UNKNOWN};
        int      taken;
        st = read_entry(folder, names.name[i], split, &clip, &taken);
        n_wav += taken;
        if (!st && taken)
            (*clips)[(*n_clips)++] = clip;
        else
            clear_clip(&clip);
        ASD_GO(done, st, collect(problems, st));
    }
    if (!n_wav)
        st = collect(problems, ASD_FAIL(ASD_E_DATA, "%s: no .wav files in this folder", folder));
done:
    asd_names_free(&names);
    return st;
}

static int by_clip_name(const void *a, const void *b)
{
    return strcmp(((const asd_clip *)a)->name, ((const asd_clip *)b)->name);
}

/* Sorts by name and drops the second of two equal names, which is a problem. */
static asd_status sort_clips(asd_clip *clip, int64_t *n, asd_problems *problems)
{
    int64_t kept = 0;
    if (*n)
        qsort(clip, (size_t)*n, sizeof *clip, by_clip_name);
    for (int64_t i = 0; i < *n; ++i) {
        if (!kept || strcmp(clip[kept - 1].name, clip[i].name)) {
            clip[kept++] = clip[i];
            continue;
        }
        asd_status st =
            collect(problems, ASD_FAIL(ASD_E_DATA, "%s: this name is there twice, also as %s",
                                       clip[i].path, clip[kept - 1].path));
        clear_clip(clip + i);
        if (st) { /* the rest moves up, so that the caller frees each clip once */
            memmove(clip + kept, clip + i + 1, (size_t)(*n - i - 1) * sizeof *clip);
            *n = kept + *n - i - 1;
            return st;
        }
    }
    *n = kept;
    return ASD_OK;
}

/* Opaque test names carry no section: they get the machine's only one. */
static asd_status fill_sections(asd_machine *m, asd_problems *problems)
{
    int only = -1, several = 0;
    for (int64_t i = 0; i < m->n_train; ++i) {
        several |= only >= 0 && m->train[i].section != only;
        only = m->train[i].section;
    }
    for (int64_t i = 0; i < m->n_test; ++i) {
        if (m->test[i].section >= 0)
            continue;
        if (several)
            ASD_TRY(collect(problems, ASD_FAIL(ASD_E_DATA,
                                               "%s: the name has no section, and %s has several; "
                                               "want section_SS_NNNN.wav",
                                               m->test[i].path, m->name)));
        else
            m->test[i].section = only;
    }
    return ASD_OK;
}

/* A clip beside the train and test folders belongs to neither. */
static asd_status refuse_loose_clips(const char *folder, asd_problems *problems)
{
    asd_status st = ASD_OK;
    asd_names  names;
    ASD_TRY(asd_list_folder(folder, &names));
    for (int64_t i = 0; i < names.n && !st; ++i)
        if (names.name[i][0] != '.' && has_extension(names.name[i], ".wav"))
            st = collect(problems, ASD_FAIL(ASD_E_DATA,
                                            "%s/%s: a clip beside the train and test folders, in "
                                            "neither of them",
                                            folder, names.name[i]));
    asd_names_free(&names);
    return st;
}

static asd_status read_machine_folder(asd_machine *m, const char *folder, asd_problems *problems)
{
    ASD_TRY(refuse_loose_clips(folder, problems));
    for (int i = 0; i < ASD_N_CLIP_FOLDERS; ++i) {
        char path[PATH_MAX];
        ASD_TRY(asd_path(path, "%s/%s", folder, asd_clip_folders[i].name));
        if (!asd_is_folder(path))
            continue;
        if (asd_clip_folders[i].split == ASD_TRAIN)
            ASD_TRY(read_clip_folder(path, ASD_TRAIN, problems, &m->train, &m->n_train));
        else
            ASD_TRY(read_clip_folder(path, ASD_TEST, problems, &m->test, &m->n_test));
    }
    return ASD_OK;
}

/* found is sorted by machine, so the folders of one machine follow each other. */
static asd_status read_machines(const asd_found *found, asd_problems *problems, asd_dataset *out)
{
    if (!(out->machine = calloc((size_t)found->n + 1, sizeof *out->machine)))
        return ASD_FAIL(ASD_E_OOM, "%s: no memory for %" PRId64 " machines", out->root, found->n);
    for (int64_t i = 0; i < found->n; ++i) {
        const asd_found_machine *f = found->machine + i;
        asd_machine             *m = out->machine + out->n;
        if (out->n && !strcmp(m[-1].name, f->name)) {
            --m;
        } else {
            ++out->n;
            ASD_TRY(copy_text(f->name, &m->name));
            ASD_TRY(copy_text(f->folder, &m->folder));
        }
        ASD_TRY(read_machine_folder(m, f->folder, problems));
    }
    for (int64_t i = 0; i < out->n; ++i) {
        asd_machine *m = out->machine + i;
        ASD_TRY(sort_clips(m->train, &m->n_train, problems));
        ASD_TRY(sort_clips(m->test, &m->n_test, problems));
        ASD_TRY(fill_sections(m, problems));
    }
    return ASD_OK;
}

asd_status asd_dataset_open(const char *root, char *const *only, int64_t n_only, asd_dataset *out)
{
    return asd_dataset_survey(root, only, n_only, NULL, out);
}

asd_status asd_dataset_survey(const char *root, char *const *only, int64_t n_only,
                              asd_problems *problems, asd_dataset *out)
{
    asd_status st;
    asd_found  found = {0};
    *out             = (asd_dataset){0};
    ASD_GO(done, st, copy_text(root, &out->root));
    ASD_GO(done, st, asd_find_machines(root, &found));
    ASD_GO(done, st, asd_found_select(&found, root, only, n_only));
    ASD_GO(done, st, read_machines(&found, problems, out));
    asd_found_report(&found);
done:
    asd_found_clear(&found);
    if (st)
        asd_dataset_clear(out);
    return st;
}

void asd_dataset_clear(asd_dataset *d)
{
    for (int64_t i = 0; i < d->n; ++i) {
        free_clips(d->machine[i].train, d->machine[i].n_train);
        free_clips(d->machine[i].test, d->machine[i].n_test);
        free(d->machine[i].name);
        free(d->machine[i].folder);
    }
    free(d->machine);
    free(d->root);
    *d = (asd_dataset){0};
}

asd_status asd_dataset_labels(const asd_machine *m, asd_clip_name *out)
{
    for (int64_t i = 0; i < m->n_test; ++i) {
        ASD_TRY(asd_clip_name_parse(m->test[i].name, out + i));
        if (out[i].split == ASD_TRAIN)
            return ASD_FAIL(ASD_E_DATA, "%s: a training clip in the test folder", m->test[i].path);
    }
    return ASD_OK;
}

static int same_label(const asd_clip *a, const asd_clip *b)
{
    return a->domain == b->domain && !strcmp(a->attribute, b->attribute);
}

/* A machine has few labels, so the search backwards ends soon. */
int64_t asd_dataset_n_labels(const asd_dataset *d, int channels)
{
    int64_t n = 0;
    for (int64_t k = 0; k < d->n; ++k) {
        const asd_machine *m = d->machine + k;
        for (int64_t i = 0; i < m->n_train; ++i) {
            int64_t j = i - 1;
            while (j >= 0 && !same_label(m->train + i, m->train + j))
                --j;
            n += j < 0;
        }
    }
    return n * channels;
}
