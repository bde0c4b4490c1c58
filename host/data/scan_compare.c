/* scan_compare.c - what differs from DCASE 2026 (dcase2026 2.3 and 2.6), one warning a kind.
 *
 * Earlier years differ in all of these, so a warning says what was found and what 2026 has, and
 * names the machines; it is never an error.
 */
#include "data/scan.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

enum { TRAIN_SOURCE = 990, TRAIN_TARGET = 10, TEST_CLIPS = 200, TEST_CELL = 50 };
enum { RATE_HZ = 16000, CHANNELS = 2, BITS = 16 };

typedef struct text {
    char   b[1024];
    size_t n;
} text;

static void add(text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(text *t, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(t->b + t->n, sizeof t->b - t->n, format, ap);
    va_end(ap);
    if (n > 0)
        t->n = t->n + (size_t)n < sizeof t->b ? t->n + (size_t)n : sizeof t->b - 1;
}

static void add_values(text *t, const asd_value_set *v)
{
    for (int i = 0; i < v->n && i < ASD_SCAN_VALUES; ++i)
        add(t, "%s%" PRId64, i ? "/" : "", v->value[i]);
    if (v->n > ASD_SCAN_VALUES)
        add(t, "/... (%d values)", v->n);
}

static int is_only(const asd_value_set *v, int64_t value)
{
    return v->n == 0 || (v->n == 1 && v->value[0] == value);
}

/* Each check appends what it found in machine m, and returns whether it differs. d gives names. */

static int check_train(text *t, const asd_machine *d, const asd_scan_machine *m)
{
    if (d->n_train == 0 || (m->train[0] == TRAIN_SOURCE && m->train[1] == TRAIN_TARGET))
        return 0;
    add(t, "%" PRId64 "+%" PRId64, m->train[0], m->train[1]);
    return 1;
}

static int check_test(text *t, const asd_machine *d, const asd_scan_machine *m)
{
    int even = 1;
    for (int k = 0; k < 4; ++k)
        even &= m->test[k / 2][k % 2] == TEST_CELL;
    if (d->n_test == 0 || even || (d->n_test == TEST_CLIPS && m->test_unlabelled == d->n_test))
        return 0;
    add(t, "%" PRId64, d->n_test);
    return 1;
}

static int check_missing(text *t, const asd_machine *d, const asd_scan_machine *m)
{
    (void)m;
    if (d->n_train && d->n_test)
        return 0;
    add(t, "no %s", d->n_train ? "test" : "train");
    return 1;
}

static int check_rate(text *t, const asd_machine *d, const asd_scan_machine *m)
{
    (void)d;
    if (is_only(&m->rate_hz, RATE_HZ))
        return 0;
    add_values(t, &m->rate_hz);
    return 1;
}

static int check_channels(text *t, const asd_machine *d, const asd_scan_machine *m)
{
    (void)d;
    if (is_only(&m->channels, CHANNELS))
        return 0;
    add_values(t, &m->channels);
    return 1;
}

static int check_bits(text *t, const asd_machine *d, const asd_scan_machine *m)
{
    (void)d;
    if (is_only(&m->bits, BITS) && !m->has_float)
        return 0;
    add_values(t, &m->bits);
    add(t, "%s", m->has_float ? " float" : "");
    return 1;
}

static int check_length(text *t, const asd_machine *d, const asd_scan_machine *m)
{
    (void)d;
    if (m->seconds_min == m->seconds_max)
        return 0;
    add(t, "%.4g to %.4g s", m->seconds_min, m->seconds_max);
    return 1;
}

static int check_sections(text *t, const asd_machine *d, const asd_scan_machine *m)
{
    (void)d;
    if (is_only(&m->section, 0))
        return 0;
    add_values(t, &m->section);
    return 1;
}

static int check_odd(text *t, const asd_machine *d, const asd_scan_machine *m)
{
    (void)d;
    if (!m->odd)
        return 0;
    add(t, "%" PRId64 ", e.g. %s", m->odd, m->first_odd);
    return 1;
}

static const struct {
    int (*check)(text *, const asd_machine *, const asd_scan_machine *);
    const char *what, *want;
} checks[] = {
    {check_missing, "folder absent", "train and test"},
    {check_train, "training clips (source+target)", "990+10"},
    {check_test, "test clips", "200: 50 in each domain and condition, or unlabelled"},
    {check_sections, "sections", "0 alone"},
    {check_rate, "sample rate in Hz", "16000"},
    {check_channels, "channels", "2"},
    {check_bits, "bits a sample", "16"},
    {check_length, "clips of different lengths", "one length a machine"},
    {check_odd, "test names of no known form, so without label", "section_SS_..."},
};

asd_status asd_scan_compare(asd_scan *s)
{
    for (size_t c = 0; c < sizeof checks / sizeof *checks; ++c) {
        text list = {.b = {0}}, first = {.b = {0}}, all = {.b = {0}};
        int  n = 0, equal = 1;
        for (int64_t k = 0; k < s->data.n; ++k) {
            text        found = {.b = {0}};
            const char *name  = s->data.machine[k].name;
            if (!checks[c].check(&found, s->data.machine + k, s->machine + k))
                continue;
            if (!n++)
                first = found;
            equal &= !strcmp(first.b, found.b);
            if (n <= 12)
                add(&list, "%s%s %s", n > 1 ? ", " : "", name, found.b);
        }
        if (!n)
            continue;
        if (equal && n > 1 && n == s->data.n)
            add(&all, "%s: %s in all %d machines", checks[c].what, first.b, n);
        else
            add(&all, "%s: %s%s", checks[c].what, list.b, n > 12 ? ", ..." : "");
        add(&all, " (DCASE 2026: %s)", checks[c].want);
        ASD_TRY(asd_problems_add(&s->warnings, all.b));
    }
    return ASD_OK;
}
