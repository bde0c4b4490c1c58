/* eval.c - joins scores with the truth by name (omega.h). */
#include "score/omega.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void clear_set(asd_eval_set *s)
{
    for (int64_t i = 0; s->name && i < s->n; ++i)
        free(s->name[i]);
    free(s->machine);
    free(s->name);
    free(s->score);
    free(s->target);
    free(s->anomaly);
    free(s->decision);
    memset(s, 0, sizeof *s);
}

void asd_eval_clear(asd_eval *e)
{
    for (int64_t i = 0; i < e->n; ++i)
        clear_set(e->set + i);
    free(e->set);
    memset(e, 0, sizeof *e);
}

/* A clip under one of its names: row of the scores, or of the truth. */
typedef struct key {
    const char *name;
    int64_t     at;
} key;

static int by_key(const void *a, const void *b)
{
    return strcmp(((const key *)a)->name, ((const key *)b)->name);
}

/* match: (truth->n) row of the scores for each clip of the truth. */
static asd_status match_truth(const asd_score_set *s, const asd_truth_set *truth, const char *path,
                              int64_t *match)
{
    asd_status st   = ASD_OK;
    int64_t    n    = 0;
    key       *keys = malloc((size_t)(2 * truth->n + 1) * sizeof *keys);
    if (!keys)
        return ASD_FAIL(ASD_E_OOM, "%s: %" PRId64 " clips", s->machine, truth->n);
    for (int64_t i = 0; i < truth->n; ++i) {
        keys[n++] = (key){truth->clip[i].name, i};
        if (truth->clip[i].labelled && strcmp(truth->clip[i].labelled, truth->clip[i].name))
            keys[n++] = (key){truth->clip[i].labelled, i};
        match[i] = -1;
    }
    qsort(keys, (size_t)n, sizeof *keys, by_key);
    for (int64_t i = 0; !st && i < s->n; ++i) {
        key  want = {s->name[i], 0};
        key *got  = bsearch(&want, keys, (size_t)n, sizeof *keys, by_key);
        if (!got)
            st = ASD_FAIL(ASD_E_DATA, "%s section %02d: scored clip %s is not in the truth of %s",
                          s->machine, s->section, s->name[i], path);
        else if (match[got->at] >= 0)
            st = ASD_FAIL(ASD_E_DATA, "%s section %02d: %s and %s are the same clip, scored twice",
                          s->machine, s->section, s->name[match[got->at]], s->name[i]);
        else
            match[got->at] = i;
    }
    int64_t missing = 0, first = 0;
    for (int64_t i = truth->n; i-- > 0;)
        if (match[i] < 0)
            ++missing, first = i;
    if (!st && missing)
        st = ASD_FAIL(ASD_E_DATA,
                      "%s section %02d: no score for %s (%" PRId64 " of %" PRId64
                      " clips of %s are missing)",
                      s->machine, s->section, truth->clip[first].name, missing, truth->n, path);
    free(keys);
    return st;
}

static asd_status copy_row(const asd_score_set *s, int64_t from, const char *name, uint8_t target,
                           uint8_t anomaly, asd_eval_set *out)
{
    int64_t i       = out->n++;
    out->score[i]   = s->score[from];
    out->target[i]  = target;
    out->anomaly[i] = anomaly;
    if (s->decision)
        out->decision[i] = s->decision[from];
    ++out->count[target][anomaly];
    if (!(out->name[i] = strdup(name)))
        return ASD_FAIL(ASD_E_OOM, "%s: names", s->machine);
    return ASD_OK;
}

static asd_status check_counts(const asd_eval_set *s)
{
    for (int t = 0; t < 2; ++t)
        if (!s->count[t][0])
            return ASD_FAIL(ASD_E_DATA,
                            "%s section %02d: no normal clip of the %s domain among %" PRId64
                            ", so its AUC does not exist",
                            s->machine, s->section, t ? "target" : "source", s->n);
    if (!(s->count[0][1] + s->count[1][1]))
        return ASD_FAIL(ASD_E_DATA, "%s section %02d: no anomalous clip among %" PRId64, s->machine,
                        s->section, s->n);
    return ASD_OK;
}

/* Rows come out sorted by name: by the truth's name where there is one, so that scores under
 * anonymous and under labelled names of the same clips give the same bits everywhere. */
static asd_status join_set(const asd_score_set *s, const asd_truth *truth, asd_eval_set *out)
{
    const asd_truth_set *t    = truth ? asd_truth_find(truth, s->machine, s->section) : NULL;
    asd_status           st   = ASD_OK;
    key                 *keys = NULL;
    int64_t              n = s->n > 0 ? s->n : 1, *match = NULL;
    if (truth && !t)
        return ASD_FAIL(ASD_E_DATA, "%s section %02d: %s has no truth for these scores", s->machine,
                        s->section, truth->path);
    out->section  = s->section;
    out->machine  = strdup(s->machine);
    out->name     = calloc((size_t)n, sizeof *out->name);
    out->score    = malloc((size_t)n * sizeof *out->score);
    out->target   = malloc((size_t)n);
    out->anomaly  = malloc((size_t)n);
    out->decision = s->decision ? malloc((size_t)n * sizeof *out->decision) : NULL;
    keys          = malloc((size_t)n * sizeof *keys);
    match         = malloc((size_t)(t ? t->n : n) * sizeof *match);
    if (!out->machine || !out->name || !out->score || !out->target || !out->anomaly ||
        (s->decision && !out->decision) || !keys || !match) {
        st = ASD_FAIL(ASD_E_OOM, "%s: %" PRId64 " clips", s->machine, s->n);
        goto done;
    }
    if (t) {
        ASD_GO(done, st, match_truth(s, t, truth->path, match));
        for (int64_t i = 0; i < t->n; ++i)
            ASD_GO(
                done, st,
                copy_row(s, match[i], t->clip[i].name, t->clip[i].target, t->clip[i].anomaly, out));
    } else {
        for (int64_t i = 0; i < s->n; ++i)
            keys[i] = (key){s->name[i], i};
        qsort(keys, (size_t)s->n, sizeof *keys, by_key);
        for (int64_t i = 0; i < s->n; ++i) {
            uint8_t target, anomaly;
            ASD_GO(done, st, asd_truth_from_name(keys[i].name, s->section, &target, &anomaly));
            ASD_GO(done, st, copy_row(s, keys[i].at, keys[i].name, target, anomaly, out));
        }
    }
    st = check_counts(out);
done:
    free(keys);
    free(match);
    return st;
}

asd_status asd_eval_join(const asd_scores *scores, const asd_truth *truth, asd_eval *out)
{
    memset(out, 0, sizeof *out);
    for (int64_t i = 0; truth && i < truth->n; ++i) {
        const asd_truth_set *t = truth->set + i;
        int64_t              k = 0;
        while (k < scores->n &&
               (scores->set[k].section != t->section || strcmp(scores->set[k].machine, t->machine)))
            ++k;
        if (k == scores->n)
            return ASD_FAIL(ASD_E_DATA, "no scores for machine %s section %02d, which %s holds",
                            t->machine, t->section, truth->path);
    }
    if (!scores->n)
        return ASD_FAIL(ASD_E_DATA, "no scores to evaluate");
    if (!(out->set = calloc((size_t)scores->n, sizeof *out->set)))
        return ASD_FAIL(ASD_E_OOM, "%" PRId64 " machines", scores->n);
    for (int64_t i = 0; i < scores->n; ++i) {
        asd_status st = join_set(scores->set + i, truth, out->set + out->n++);
        if (st) {
            asd_eval_clear(out);
            return st;
        }
    }
    return ASD_OK;
}

static int wanted(const char *machine, char *const *only, int64_t n_only)
{
    for (int64_t i = 0; i < n_only; ++i)
        if (!strcmp(machine, only[i]))
            return 1;
    return !n_only;
}

/* Hides the sets of other machines: they move behind the new end, and n goes back before clearing.
 */
static int64_t keep_scores(asd_scores *s, char *const *only, int64_t n_only)
{
    int64_t kept = 0;
    for (int64_t i = 0; i < s->n; ++i)
        if (wanted(s->set[i].machine, only, n_only)) {
            asd_score_set swap = s->set[kept];
            s->set[kept++]     = s->set[i];
            s->set[i]          = swap;
        }
    return kept;
}

static int64_t keep_truth(asd_truth *t, char *const *only, int64_t n_only)
{
    int64_t kept = 0;
    for (int64_t i = 0; i < t->n; ++i)
        if (wanted(t->set[i].machine, only, n_only)) {
            asd_truth_set swap = t->set[kept];
            t->set[kept++]     = t->set[i];
            t->set[i]          = swap;
        }
    return kept;
}

static asd_status check_only(const char *folder, const asd_scores *s, char *const *only,
                             int64_t n_only)
{
    for (int64_t k = 0; k < n_only; ++k) {
        int64_t i = 0;
        while (i < s->n && strcmp(s->set[i].machine, only[k]))
            ++i;
        if (i == s->n)
            return ASD_FAIL(ASD_E_DATA, "%s: no scores of machine %s", folder, only[k]);
    }
    return ASD_OK;
}

asd_status asd_eval_open(const char *folder, const char *truth_path, char *const *only,
                         int64_t n_only, asd_eval *out)
{
    asd_scores scores;
    asd_truth  truth = {0};
    asd_status st;
    memset(out, 0, sizeof *out);
    ASD_GO(done, st, asd_scores_read(folder, &scores));
    ASD_GO(done, st, check_only(folder, &scores, only, n_only));
    if (truth_path)
        ASD_GO(done, st, asd_truth_read(truth_path, &truth));
    int64_t all_scores = scores.n, all_truth = truth.n;
    scores.n = keep_scores(&scores, only, n_only);
    truth.n  = keep_truth(&truth, only, n_only);
    st       = asd_eval_join(&scores, truth_path ? &truth : NULL, out);
    scores.n = all_scores;
    truth.n  = all_truth;
done:
    asd_scores_clear(&scores);
    asd_truth_clear(&truth);
    return st;
}
