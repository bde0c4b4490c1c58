/* scan_print.c - a scan as a table for people and as JSON for programs. */
#include "data/scan.h"

#include "base/utf8.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_COLUMNS = 22 };

typedef struct cell {
    char b[32];
} cell;

/* "16000", "1/2", or `many` where the values do not fit `width`; "-" for none. */
static cell show_values(const asd_value_set *v, size_t width, const char *many)
{
    char   b[ASD_SCAN_VALUES * 22 + 1] = "-";
    size_t n                           = 0;
    cell   c;
    for (int i = 0; i < v->n && i < ASD_SCAN_VALUES; ++i)
        n += (size_t)snprintf(b + n, sizeof b - n, "%s%" PRId64, i ? "/" : "", v->value[i]);
    snprintf(c.b, sizeof c.b, "%s",
             n > width || n >= sizeof c.b || v->n > ASD_SCAN_VALUES ? many : b);
    return c;
}

static cell show_seconds(const asd_scan_machine *m)
{
    cell c = {"-"};
    if (m->n_audio && m->seconds_min == m->seconds_max)
        snprintf(c.b, sizeof c.b, "%.5g", m->seconds_min);
    else if (m->n_audio)
        snprintf(c.b, sizeof c.b, "%.3g-%.3g", m->seconds_min, m->seconds_max);
    if (strlen(c.b) > 9)
        snprintf(c.b, sizeof c.b, "varies");
    return c;
}

/* Left-aligned in `columns`, cut with "~" where longer; counts characters, not bytes. */
static void print_name(const char *name, int columns, FILE *out)
{
    int64_t     length = asd_utf8_length(name);
    const char *end    = name;
    uint32_t    c;
    if (length <= columns) {
        fprintf(out, "%s%*s", name, (int)(columns - length), "");
        return;
    }
    for (int i = 0; i < columns - 1; ++i)
        end += asd_utf8_next(end, &c);
    fprintf(out, "%.*s~", (int)(end - name), name);
}

/* Labelled test clips without a domain (2020) stand in the source columns: the baseline's rule. */
static int64_t test_cell(const asd_scan_machine *m, int domain, int condition)
{
    return m->test[domain][condition] + (domain == ASD_SOURCE ? m->test_no_domain[condition] : 0);
}

static void print_row(const asd_scan *s, int64_t k, FILE *out)
{
    const asd_scan_machine *m    = s->machine + k;
    cell                    bits = show_values(&m->bits, 3, "mix");
    print_name(s->data.machine[k].name, NAME_COLUMNS, out);
    fprintf(out, " %3d %6" PRId64 " %5" PRId64, m->section.n, m->train[ASD_SOURCE],
            m->train[ASD_TARGET]);
    for (int i = 0; i < 4; ++i)
        fprintf(out, " %5" PRId64, test_cell(m, i / 2, i % 2));
    fprintf(out, " %5" PRId64 " %4" PRId64 " %9s %6s %3s %3s%s\n", m->test_unlabelled,
            m->n_attributes, show_seconds(m).b, show_values(&m->rate_hz, 6, "mixed").b,
            show_values(&m->channels, 3, "mix").b, bits.b, m->has_float ? "f" : "");
}

static void print_attributes(const asd_scan *s, FILE *out)
{
    for (int64_t k = 0; k < s->data.n; ++k) {
        const asd_scan_machine *m = s->machine + k;
        if (!m->n_attributes)
            continue;
        fprintf(out, "\nattributes of %s (training clips: source, target)\n",
                s->data.machine[k].name);
        for (int64_t i = 0; i < m->n_attributes; ++i)
            fprintf(out, "  %6" PRId64 " %5" PRId64 "  %s\n", m->attribute[i].train[ASD_SOURCE],
                    m->attribute[i].train[ASD_TARGET], m->attribute[i].text);
    }
}

/* Channels that all clips have, 0 when they differ or were not read. */
static int common_channels(const asd_scan *s)
{
    int64_t channels = 0;
    for (int64_t k = 0; k < s->data.n; ++k) {
        const asd_value_set *v = &s->machine[k].channels;
        if (v->n > 1 || (v->n && channels && v->value[0] != channels))
            return 0;
        if (v->n)
            channels = v->value[0];
    }
    return (int)channels;
}

typedef struct totals {
    int64_t train, test;
    double  hours;
} totals;

static totals sum_up(const asd_scan *s)
{
    totals t = {0};
    for (int64_t k = 0; k < s->data.n; ++k) {
        t.train += s->data.machine[k].n_train;
        t.test += s->data.machine[k].n_test;
        t.hours += s->machine[k].seconds / 3600;
    }
    return t;
}

void asd_scan_print(const asd_scan *s, int verbose, FILE *out)
{
    const totals t        = sum_up(s);
    const int    channels = common_channels(s);
    fprintf(out, "%-*s     ---train---- test source test target\n", NAME_COLUMNS, "");
    fprintf(out,
            "%-*s sec source  targ  norm  anom  norm  anom unlab attr  length s     Hz  ch bit\n",
            NAME_COLUMNS, "machine");
    for (int64_t k = 0; k < s->data.n; ++k)
        print_row(s, k, out);
    fprintf(out, "\n%" PRId64 " machine%s, %" PRId64 " training and %" PRId64 " test clips",
            s->data.n, s->data.n == 1 ? "" : "s", t.train, t.test);
    if (s->depth != ASD_SCAN_NAMES)
        fprintf(out, ", %.2f h, headers%s checked", t.hours,
                s->depth == ASD_SCAN_SAMPLES ? " and samples" : "");
    fprintf(out, "\n%" PRId64 " training labels (machine x attribute x domain)",
            asd_dataset_n_labels(&s->data, 1));
    if (channels > 1)
        fprintf(out, ", %" PRId64 " with the channel", asd_dataset_n_labels(&s->data, channels));
    fputc('\n', out);
    if (verbose)
        print_attributes(s, out);
}

/* --- JSON --- */

static json_t *values_json(const asd_value_set *v)
{
    json_t *a = json_array();
    for (int i = 0; i < v->n && i < ASD_SCAN_VALUES; ++i)
        json_array_append_new(a, json_integer(v->value[i]));
    return a;
}

static json_t *texts_json(const asd_problems *p)
{
    json_t *a = json_array();
    for (int64_t i = 0; i < p->n; ++i) {
        json_t *text = json_string(p->text[i]);
        /* The path of a wrong file may be any bytes; jansson takes UTF-8 alone. */
        json_array_append_new(a, text ? text : json_string("(a text that is not UTF-8)"));
    }
    return a;
}

static json_t *machine_json(const asd_scan *s, int64_t k)
{
    const asd_machine      *d          = s->data.machine + k;
    const asd_scan_machine *m          = s->machine + k;
    json_t                 *attributes = json_array(), *audio = json_null();
    for (int64_t i = 0; i < m->n_attributes; ++i)
        json_array_append_new(attributes,
                              json_pack("{s:s, s:I, s:I}", "attribute", m->attribute[i].text,
                                        "source", (json_int_t)m->attribute[i].train[ASD_SOURCE],
                                        "target", (json_int_t)m->attribute[i].train[ASD_TARGET]));
    if (s->depth != ASD_SCAN_NAMES)
        audio =
            json_pack("{s:I, s:[f,f], s:f, s:o, s:o, s:o, s:b}", "clips", (json_int_t)m->n_audio,
                      "seconds", m->seconds_min, m->seconds_max, "hours", m->seconds / 3600,
                      "rate_hz", values_json(&m->rate_hz), "channels", values_json(&m->channels),
                      "bits", values_json(&m->bits), "float", m->has_float);
    json_t *test = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "source_normal",
                             (json_int_t)m->test[ASD_SOURCE][ASD_NORMAL], "source_anomaly",
                             (json_int_t)m->test[ASD_SOURCE][ASD_ANOMALY], "target_normal",
                             (json_int_t)m->test[ASD_TARGET][ASD_NORMAL], "target_anomaly",
                             (json_int_t)m->test[ASD_TARGET][ASD_ANOMALY], "normal",
                             (json_int_t)m->test_no_domain[ASD_NORMAL], "anomaly",
                             (json_int_t)m->test_no_domain[ASD_ANOMALY], "unlabelled",
                             (json_int_t)m->test_unlabelled);
    return json_pack("{s:s, s:s, s:o, s:{s:I, s:I}, s:o, s:I, s:o, s:o}", "machine", d->name,
                     "folder", d->folder, "sections", values_json(&m->section), "train", "source",
                     (json_int_t)m->train[ASD_SOURCE], "target", (json_int_t)m->train[ASD_TARGET],
                     "test", test, "n_attributes", (json_int_t)m->n_attributes, "attributes",
                     attributes, "audio", audio);
}

asd_status asd_scan_json(const asd_scan *s, FILE *out)
{
    const totals t        = sum_up(s);
    const int    channels = common_channels(s), audio = s->depth != ASD_SCAN_NAMES;
    json_t      *machines = json_array();
    for (int64_t k = 0; k < s->data.n; ++k) {
        json_t *m = machine_json(s, k);
        if (!m) {
            json_decref(machines);
            return ASD_FAIL(ASD_E_OOM, "%s: cannot be written as JSON (is the path UTF-8?)",
                            s->data.machine[k].folder);
        }
        json_array_append_new(machines, m);
    }
    json_t *all =
        json_pack("{s:s, s:s, s:o, s:{s:I, s:I, s:I, s:o}, s:I, s:o, s:o, s:o}", "schema",
                  "asd.scan/1", "root", s->data.root, "machines", machines, "totals", "machines",
                  (json_int_t)s->data.n, "train", (json_int_t)t.train, "test", (json_int_t)t.test,
                  "hours", audio ? json_real(t.hours) : json_null(), "labels",
                  (json_int_t)asd_dataset_n_labels(&s->data, 1), "labels_with_channel",
                  channels ? json_integer(asd_dataset_n_labels(&s->data, channels)) : json_null(),
                  "warnings", texts_json(&s->warnings), "problems", texts_json(&s->problems));
    int bad = !all || json_dumpf(all, out, JSON_INDENT(2)) || fputc('\n', out) == EOF;
    json_decref(all);
    return bad ? ASD_FAIL(ASD_E_IO, "%s: cannot write JSON", s->data.root) : ASD_OK;
}
