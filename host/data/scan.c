/* scan.c - see scan.h. Names first, one machine after the other; then all headers in parallel. */
#include "data/scan.h"

#include "base/file.h"
#include "base/log.h"
#include "base/par.h"
#include "base/stop.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void add_value(asd_value_set *set, int64_t value)
{
    int at = 0, kept = set->n < ASD_SCAN_VALUES ? set->n : ASD_SCAN_VALUES;
    while (at < kept && set->value[at] < value)
        ++at;
    if (at < kept && set->value[at] == value)
        return;
    ++set->n;
    if (at == ASD_SCAN_VALUES)
        return;
    int last = kept < ASD_SCAN_VALUES ? kept : ASD_SCAN_VALUES - 1;
    memmove(set->value + at + 1, set->value + at, (size_t)(last - at) * sizeof *set->value);
    set->value[at] = value;
}

/* --- names --- */

static asd_status count_attribute(asd_scan_machine *m, const asd_clip *clip)
{
    int64_t at = 0;
    if (!*clip->attribute || !strcmp(clip->attribute, "noAttribute"))
        return ASD_OK;
    while (at < m->n_attributes && strcmp(m->attribute[at].text, clip->attribute) < 0)
        ++at;
    if (at == m->n_attributes || strcmp(m->attribute[at].text, clip->attribute)) {
        asd_scan_attribute *more =
            realloc(m->attribute, (size_t)(m->n_attributes + 1) * sizeof *more);
        if (!more)
            return ASD_FAIL(ASD_E_OOM, "no memory for attribute \"%s\"", clip->attribute);
        m->attribute = more;
        memmove(more + at + 1, more + at, (size_t)(m->n_attributes++ - at) * sizeof *more);
        more[at] = (asd_scan_attribute){.train = {0}};
        snprintf(more[at].text, sizeof more[at].text, "%s", clip->attribute);
    }
    ++m->attribute[at].train[clip->domain];
    return ASD_OK;
}

static asd_status count_test_clip(asd_scan *s, asd_scan_machine *m, const asd_clip *clip)
{
    asd_clip_name n;
    if (asd_clip_name_parse(clip->name, &n)) {
        if (!m->odd++)
            m->first_odd = clip->name;
        ++m->test_unlabelled;
        return ASD_OK;
    }
    add_value(&m->section, n.section);
    if (n.split == ASD_TRAIN) {
        char text[PATH_MAX + 64];
        snprintf(text, sizeof text, "%s: a training clip in the test folder", clip->path);
        return asd_problems_add(&s->problems, text);
    }
    if (n.condition == ASD_COND_UNKNOWN)
        ++m->test_unlabelled;
    else if (n.domain == ASD_DOMAIN_UNKNOWN)
        ++m->test_no_domain[n.condition];
    else
        ++m->test[n.domain][n.condition];
    return ASD_OK;
}

static asd_status count_names(asd_scan *s, int64_t k)
{
    const asd_machine *d = s->data.machine + k;
    asd_scan_machine  *m = s->machine + k;
    for (int64_t i = 0; i < d->n_train; ++i) {
        ++m->train[d->train[i].domain];
        add_value(&m->section, d->train[i].section);
        ASD_TRY(count_attribute(m, d->train + i));
    }
    for (int64_t i = 0; i < d->n_test; ++i)
        ASD_TRY(count_test_clip(s, m, d->test + i));
    return ASD_OK;
}

/* --- audio --- */

enum { CLIPS_A_CHUNK = 16, CHUNKS_A_STEP = 64 };

typedef struct probe {
    asd_scan        *scan;
    const asd_clip **clip;    /* (n) */
    int             *machine; /* (n) index of the clip's machine */
    asd_wav_info    *info;    /* (n) */
    char           **failure; /* (n) NULL where the file is good, owned */
    asd_status      *status;  /* (n) */
    int64_t          n, from;
} probe;

static void probe_chunk(void *ctx, int64_t chunk)
{
    probe        *p     = ctx;
    const int64_t begin = p->from + chunk * CLIPS_A_CHUNK;
    for (int64_t i = begin; i < p->n && i < begin + CLIPS_A_CHUNK; ++i) {
        const char *path = p->clip[i]->path;
        p->status[i]     = p->scan->depth == ASD_SCAN_SAMPLES ? asd_wav_verify(path, p->info + i)
                                                              : asd_wav_probe(path, p->info + i);
        if (p->status[i])
            p->failure[i] = strdup(asd_error_text());
    }
}

static void add_audio(asd_scan_machine *m, const asd_wav_info *info)
{
    const double seconds = (double)info->frames / info->rate_hz;
    if (!m->n_audio || seconds < m->seconds_min)
        m->seconds_min = seconds;
    if (seconds > m->seconds_max)
        m->seconds_max = seconds;
    m->seconds += seconds;
    m->has_float |= info->is_float;
    add_value(&m->rate_hz, info->rate_hz);
    add_value(&m->channels, info->channels);
    add_value(&m->bits, info->bits);
    ++m->n_audio;
}

static asd_status probe_init(probe *p, asd_scan *s)
{
    const asd_dataset *d = &s->data;
    *p                   = (probe){.scan = s};
    for (int64_t k = 0; k < d->n; ++k)
        p->n += d->machine[k].n_train + d->machine[k].n_test;
    const size_t n = (size_t)p->n + 1;
    p->clip        = calloc(n, sizeof *p->clip);
    p->machine     = calloc(n, sizeof *p->machine);
    p->info        = calloc(n, sizeof *p->info);
    p->failure     = calloc(n, sizeof *p->failure);
    p->status      = calloc(n, sizeof *p->status);
    if (!p->clip || !p->machine || !p->info || !p->failure || !p->status)
        return ASD_FAIL(ASD_E_OOM, "no memory for %" PRId64 " headers", p->n);
    int64_t at = 0;
    for (int64_t k = 0; k < d->n; ++k) {
        const asd_machine *m = d->machine + k;
        for (int64_t i = 0; i < m->n_train + m->n_test; ++i) {
            p->clip[at]      = i < m->n_train ? m->train + i : m->test + (i - m->n_train);
            p->machine[at++] = (int)k;
        }
    }
    return ASD_OK;
}

static void probe_clear(probe *p)
{
    for (int64_t i = 0; p->failure && i < p->n; ++i)
        free(p->failure[i]);
    free(p->clip);
    free(p->machine);
    free(p->info);
    free(p->failure);
    free(p->status);
}

static asd_status probe_all(asd_scan *s)
{
    probe        p;
    asd_progress bar;
    asd_status   st;
    ASD_GO(done, st, probe_init(&p, s));
    asd_progress_init(&bar, s->depth == ASD_SCAN_SAMPLES ? "read" : "probe", "clips", p.n, 0);
    for (; p.from < p.n; p.from += CLIPS_A_CHUNK * CHUNKS_A_STEP) {
        int64_t chunks = (p.n - p.from + CLIPS_A_CHUNK - 1) / CLIPS_A_CHUNK;
        asd_par_for(chunks < CHUNKS_A_STEP ? chunks : CHUNKS_A_STEP, probe_chunk, &p);
        asd_progress_step(&bar, p.from, NULL);
        if (asd_stop_wanted()) {
            asd_progress_done(&bar);
            st = ASD_FAIL(ASD_E_STOPPED, "stopped by %s", asd_stop_signal());
            goto done;
        }
    }
    asd_progress_step(&bar, p.n, NULL);
    asd_progress_done(&bar);
    for (int64_t i = 0; i < p.n; ++i) {
        if (!p.status[i])
            add_audio(s->machine + p.machine[i], p.info + i);
        else if (p.failure[i])
            ASD_GO(done, st, asd_problems_add(&s->problems, p.failure[i]));
        else
            ASD_GO(done, st, ASD_FAIL(ASD_E_OOM, "no memory for a message"));
    }
done:
    probe_clear(&p);
    return st;
}

asd_status asd_scan_run(const char *root, char *const *only, int64_t n_only, asd_scan_depth depth,
                        asd_scan *out)
{
    asd_status st;
    *out = (asd_scan){.depth = depth};
    ASD_GO(failed, st, asd_dataset_survey(root, only, n_only, &out->problems, &out->data));
    if (!(out->machine = calloc((size_t)out->data.n + 1, sizeof *out->machine))) {
        st = ASD_FAIL(ASD_E_OOM, "%s: no memory for %" PRId64 " machines", root, out->data.n);
        goto failed;
    }
    for (int64_t k = 0; k < out->data.n; ++k)
        ASD_GO(failed, st, count_names(out, k));
    if (depth != ASD_SCAN_NAMES)
        ASD_GO(failed, st, probe_all(out));
    ASD_GO(failed, st, asd_scan_compare(out));
    return ASD_OK;
failed:
    asd_scan_clear(out);
    return st;
}

void asd_scan_clear(asd_scan *s)
{
    for (int64_t k = 0; s->machine && k < s->data.n; ++k)
        free(s->machine[k].attribute);
    free(s->machine);
    asd_dataset_clear(&s->data);
    asd_problems_clear(&s->problems);
    asd_problems_clear(&s->warnings);
    *s = (asd_scan){.depth = ASD_SCAN_NAMES};
}
