/* bench_results.c - reads what bench_print.c writes. A file is hostile until each line has the
 * keys, types and ranges that are used. */
#include "tools/bench.h"

#include "base/file.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_BYTES = 256 << 20, MAX_SAMPLES = 10000, MAX_RECORDS = 100000 };

void bench_results_clear(bench_results *r)
{
    for (int64_t i = 0; i < r->n; ++i)
        free(r->record[i].sample);
    free(r->record);
    memset(r, 0, sizeof *r);
}

/* A text of the line that must be there and fit. */
static asd_status take_text(const json_t *line, const char *key, const char *where, char *out,
                            size_t size)
{
    const char *text = json_string_value(json_object_get(line, key));
    if (!text || !*text || strlen(text) >= size)
        return ASD_FAIL(ASD_E_DATA, "%s: \"%s\" is missing or no text of 1 to %zu bytes", where,
                        key, size - 1);
    strcpy(out, text);
    return ASD_OK;
}

static asd_status take_samples(const json_t *line, const char *where, bench_record *r)
{
    const json_t *list = json_object_get(line, "samples_us");
    size_t        n    = json_array_size(list);
    if (n < 1 || n > MAX_SAMPLES)
        return ASD_FAIL(ASD_E_DATA, "%s: \"samples_us\" is missing or no list of 1 to %d times",
                        where, MAX_SAMPLES);
    if (!(r->sample = malloc(n * sizeof *r->sample)))
        return ASD_FAIL(ASD_E_OOM, "%s: no memory for %zu samples", where, n);
    for (size_t i = 0; i < n; ++i) {
        double us = json_number_value(json_array_get(list, i));
        if (!(us > 0 && us < 1e12))
            return ASD_FAIL(ASD_E_DATA,
                            "%s: \"samples_us\" number %zu is no time between 0 and 1e12", where,
                            i + 1);
        r->sample[r->n++] = 1e-6 * us;
    }
    return ASD_OK;
}

static asd_status take_line(const json_t *line, const char *where, bench_record *r)
{
    const json_t *passed = json_object_get(json_object_get(line, "check"), "passed");
    memset(r, 0, sizeof *r);
    ASD_TRY(take_text(line, "op", where, r->op, sizeof r->op));
    ASD_TRY(take_text(line, "case", where, r->case_name, sizeof r->case_name));
    ASD_TRY(take_text(line, "dtype", where, r->dtype, sizeof r->dtype));
    ASD_TRY(take_text(line, "pass", where, r->pass, sizeof r->pass));
    ASD_TRY(take_text(line, "device", where, r->device, sizeof r->device));
    if (!json_is_boolean(passed))
        return ASD_FAIL(ASD_E_DATA, "%s: \"check\" has no \"passed\" that is true or false", where);
    r->failed = !json_is_true(passed);
    return r->failed ? ASD_OK : take_samples(line, where, r);
}

static int same_line(const bench_record *a, const bench_record *b)
{
    return !strcmp(a->op, b->op) && !strcmp(a->case_name, b->case_name) &&
           !strcmp(a->dtype, b->dtype) && !strcmp(a->pass, b->pass) &&
           !strcmp(a->device, b->device);
}

/* Takes the record; its samples move or are freed. */
static asd_status add(bench_results *out, bench_record *r, const char *where)
{
    bench_record *old = NULL;
    for (int64_t i = 0; i < out->n && !old; ++i)
        if (same_line(&out->record[i], r))
            old = &out->record[i];
    if (!old) {
        if (out->n >= MAX_RECORDS)
            return ASD_FAIL(ASD_E_DATA, "%s: more than %d lines", where, MAX_RECORDS);
        bench_record *grown = realloc(out->record, (size_t)(out->n + 1) * sizeof *grown);
        if (!grown)
            return ASD_FAIL(ASD_E_OOM, "%s: no memory", where);
        out->record           = grown;
        out->record[out->n++] = *r;
        *r                    = (bench_record){.sample = NULL};
        return ASD_OK;
    }
    double *grown = realloc(old->sample, (size_t)(old->n + r->n + 1) * sizeof *grown);
    if (!grown)
        return ASD_FAIL(ASD_E_OOM, "%s: no memory", where);
    if (r->n)
        memcpy(grown + old->n, r->sample, (size_t)r->n * sizeof *grown);
    old->sample = grown;
    old->n += r->n;
    old->failed |= r->failed;
    return ASD_OK;
}

static asd_status take_json(const json_t *o, const char *where, bench_results *out)
{
    const char  *schema = json_string_value(json_object_get(o, "schema"));
    const char  *what   = json_string_value(json_object_get(o, "what"));
    bench_record r      = {.sample = NULL};
    if (!schema || strcmp(schema, "asd.bench/1"))
        return ASD_FAIL(ASD_E_DATA, "%s: schema is %.40s, want asd.bench/1", where,
                        schema ? schema : "missing");
    if (!what || (strcmp(what, "run") && strcmp(what, "kernel")))
        return ASD_FAIL(ASD_E_DATA, "%s: \"what\" is %.40s, want run or kernel", where,
                        what ? what : "missing");
    if (!strcmp(what, "run"))
        return ASD_OK;
    asd_status st = take_line(o, where, &r);
    if (!st)
        st = add(out, &r, where);
    free(r.sample);
    return st;
}

asd_status bench_results_read(const char *path, bench_results *out)
{
    char      *text;
    size_t     size;
    char       where[320];
    asd_status st   = ASD_OK;
    int64_t    line = 0;
    memset(out, 0, sizeof *out);
    snprintf(out->path, sizeof out->path, "%s", path);
    ASD_TRY(asd_read_file(path, MAX_BYTES, &text, &size));
    for (char *at = text, *end = text + size; at < end && !st;) {
        char        *stop = memchr(at, '\n', (size_t)(end - at));
        size_t       n    = stop ? (size_t)(stop - at) : (size_t)(end - at);
        json_error_t error;
        snprintf(where, sizeof where, "%s:%lld", out->path, (long long)++line);
        if (n) {
            json_t *o = json_loadb(at, n, JSON_REJECT_DUPLICATES, &error);
            st = o ? take_json(o, where, out) : ASD_FAIL(ASD_E_DATA, "%s: %s", where, error.text);
            json_decref(o);
        }
        at += n + 1;
    }
    free(text);
    if (!st && !out->n)
        st = ASD_FAIL(ASD_E_DATA, "%s: no results of asd-bench kernels", path);
    if (st)
        bench_results_clear(out);
    return st;
}
