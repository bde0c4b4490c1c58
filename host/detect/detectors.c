/* detectors.c - the table of detectors, and `name(key=value, ...)` as recipes write it. */
#include "detect/detector.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define DETECTOR(name) extern const asd_detector asd_detector_##name;
#include "detect/detectors.def"
#undef DETECTOR

const asd_detector *const asd_detectors[] = {
#define DETECTOR(name) &asd_detector_##name,
#include "detect/detectors.def"
#undef DETECTOR
    NULL,
};

/* --- name(key=value, ...) --- */

static const char *skip_spaces(const char *p)
{
    while (isspace((unsigned char)*p))
        ++p;
    return p;
}

const char *asd_detector_word(const char *p, char *out, size_t size)
{
    size_t n = 0;
    p        = skip_spaces(p);
    while (isalnum((unsigned char)*p) || (*p && strchr("_.+-", *p))) {
        if (n + 1 < size)
            out[n++] = *p;
        ++p;
    }
    out[n] = 0;
    return skip_spaces(p);
}

asd_status asd_detector_expected(const char *text, const char *at, const char *what)
{
    return ASD_FAIL(ASD_E_CONFIG, "detector \"%.200s\": want %s at character %td", text, what,
                    at - text + 1);
}

static asd_status find_detector(const char *text, const char *name, const asd_detector **out)
{
    const char *names[64];
    int64_t     n = 0;
    for (const asd_detector *const *d = asd_detectors; *d && n < 64; ++d) {
        names[n++] = (*d)->name;
        if (!strcmp((*d)->name, name)) {
            *out = *d;
            return ASD_OK;
        }
    }
    const char *near = asd_nearest(name, names, n);
    return ASD_FAIL(ASD_E_CONFIG, "detector \"%.200s\": there is no detector \"%s\"%s%s%s", text,
                    name, near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

/* *given: bit i for row i that was set already; the label would not say which value counts. */
static asd_status set_param(asd_detector_use *d, const char *text, const char *key,
                            const char *value, unsigned *given)
{
    const char *names[16];
    int64_t     n = 0;
    char        where[256];
    snprintf(where, sizeof where, "detector \"%.120s\": %.60s", text, key);
    for (const asd_opt *o = d->detector->params; o->key && n < 16; ++o) {
        names[n++] = o->key;
        if (strcmp(o->key, key))
            continue;
        if (*given >> (n - 1) & 1)
            return ASD_FAIL(ASD_E_CONFIG, "detector \"%.200s\": %s twice", text, key);
        *given |= 1u << (n - 1);
        ASD_TRY(asd_opt_set(o, d->params, value, where, ASD_E_CONFIG));
        if (!o->def || strcmp(o->def, value)) {
            size_t used = strlen(d->label);
            snprintf(d->label + used, sizeof d->label - used, "-%s-%s", key, value);
        }
        return ASD_OK;
    }
    const char *near = asd_nearest(key, names, n);
    return ASD_FAIL(ASD_E_CONFIG, "detector \"%.200s\": %s has no parameter \"%s\"%s%s%s", text,
                    d->detector->name, key, near ? "; did you mean \"" : "", near ? near : "",
                    near ? "\"?" : "");
}

/* What stands between the brackets, and the closing one. */
static asd_status parse_params(const char *text, const char **at, asd_detector_use *out)
{
    char        key[64], value[64];
    const char *p     = skip_spaces(*at + 1);
    unsigned    given = 0;
    while (*p != ')') {
        p = asd_detector_word(p, key, sizeof key);
        if (isdigit((unsigned char)*key) && *p != '=' && !given && out->detector->params->key) {
            ASD_TRY(set_param(out, text, out->detector->params->key, key, &given));
        } else {
            if (!*key || *p != '=')
                return asd_detector_expected(text, p, "key=value");
            p = asd_detector_word(p + 1, value, sizeof value);
            if (!*value)
                return asd_detector_expected(text, p, "a value");
            ASD_TRY(set_param(out, text, key, value, &given));
        }
        if (*p == ',') {
            p = skip_spaces(p + 1);
            if (*p == ')')
                return asd_detector_expected(text, p, "key=value");
        } else if (*p != ')') {
            return asd_detector_expected(text, p, "',' or ')'");
        }
    }
    *at = skip_spaces(p + 1);
    return ASD_OK;
}

asd_status asd_detector_parse_at(const char *text, const char **p, asd_detector_use *out)
{
    char name[64];
    *p = asd_detector_word(*p, name, sizeof name);
    memset(out, 0, sizeof *out);
    ASD_TRY(find_detector(text, name, &out->detector));
    snprintf(out->label, sizeof out->label, "%s", name);
    if (!(out->params = calloc(1, out->detector->params_bytes + 1)))
        return ASD_FAIL(ASD_E_OOM, "no memory for detector %s", name);
    ASD_TRY(asd_opts_defaults(out->detector->params, out->params));
    return **p == '(' ? parse_params(text, p, out) : ASD_OK;
}

asd_status asd_detector_parse(const char *text, asd_detector_use *out)
{
    const char *p = text;
    ASD_TRY(asd_detector_parse_at(text, &p, out));
    if (!out->detector->score)
        return ASD_FAIL(ASD_E_CONFIG,
                        "detector \"%.200s\": %s works on embeddings, as in \"LABEL = STREAM | "
                        "%s\"; this recipe has no embed.streams",
                        text, out->detector->name, out->detector->name);
    if (*p && strchr(text, '(') && strchr(text, '(') < p)
        return asd_detector_expected(text, p, "the end");
    return *p ? asd_detector_expected(text, p, "'(' or the end") : ASD_OK;
}

asd_status asd_detectors_check(char *const *text, int64_t n)
{
    asd_detector_use *use = calloc((size_t)n + 1, sizeof *use);
    asd_status        st =
        use ? ASD_OK : ASD_FAIL(ASD_E_OOM, "no memory for %lld detectors", (long long)n);
    for (int64_t i = 0; i < n && !st; ++i) {
        st = asd_detector_parse(text[i], &use[i]);
        for (int64_t k = 0; k < i && !st; ++k)
            if (!strcmp(use[k].label, use[i].label))
                st = ASD_FAIL(ASD_E_CONFIG, "score.detectors names %s twice", use[i].label);
    }
    for (int64_t i = 0; use && i < n; ++i)
        asd_detector_clear(&use[i]);
    free(use);
    return st;
}

void asd_detectors_list(FILE *out)
{
    for (const asd_detector *const *d = asd_detectors; *d; ++d) {
        const char *kind = (*d)->score ? "residuals" : (*d)->score_rows ? "embeddings" : "step";
        fprintf(out, "%-24s %s [%s]\n", (*d)->name, (*d)->about, kind);
        for (const asd_opt *o = (*d)->params; o->key; ++o)
            fprintf(out, "    %-20s %s (%s%sdefault %s)\n", o->key, o->text,
                    o->choices ? o->choices : o->unit, o->choices || *o->unit ? "; " : "",
                    o->def ? o->def : "none");
    }
}

void asd_detector_drop_state(asd_detector_use *d)
{
    if (d->state && d->detector->clear)
        d->detector->clear(d->state);
    free(d->state);
    d->state = NULL;
}

asd_status asd_detector_new_state(asd_detector_use *d, const char *what)
{
    asd_detector_drop_state(d);
    if (!(d->state = calloc(1, d->detector->state_bytes + 1)))
        return ASD_FAIL(ASD_E_OOM, "%s: no memory for detector %s", what, d->detector->name);
    return ASD_OK;
}

asd_status asd_detector_fit(asd_detector_use *d, const asd_residual_stats *stats, const char *what)
{
    ASD_TRY(asd_detector_new_state(d, what));
    return d->detector->fit ? d->detector->fit(d->state, d->params, stats, what) : ASD_OK;
}

void asd_detector_clear(asd_detector_use *d)
{
    asd_detector_drop_state(d);
    if (d->params)
        asd_opts_clear(d->detector->params, d->params);
    free(d->params);
    memset(d, 0, sizeof *d);
}
