/* opt.c - values of option tables: set from text with checks, print so that they read back, free.
 *
 * The command line is in opt_parse.c, --help in opt_help.c.
 */
#include "base/opt.h"

#include "base/utf8.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static void *field(const asd_opt *opt, void *values)
{
    return (char *)values + opt->offset;
}

static const void *const_field(const asd_opt *opt, const void *values)
{
    return (const char *)values + opt->offset;
}

static void list_clear(asd_list *list)
{
    for (int64_t i = 0; i < list->n; ++i)
        free(list->item[i]);
    free(list->item);
    list->item = NULL;
    list->n    = 0;
}

void asd_opt_reset(const asd_opt *opt, void *values)
{
    void *p = field(opt, values);
    switch (opt->type) {
    case ASD_OPT_FLAG:
    case ASD_OPT_BOOL:
    case ASD_OPT_CHOICE: *(int *)p = 0; break;
    case ASD_OPT_INT: *(int64_t *)p = 0; break;
    case ASD_OPT_REAL: *(double *)p = 0; break;
    case ASD_OPT_TEXT:
        free(*(char **)p);
        *(char **)p = NULL;
        break;
    case ASD_OPT_LIST: list_clear(p); break;
    }
}

void asd_opts_clear(const asd_opt *opts, void *values)
{
    for (; opts->key; ++opts)
        asd_opt_reset(opts, values);
}

/* 9e+15 -> 9e15, 1e-08 -> 1e-8 */
static void trim_exponent(char *number)
{
    char *e = strchr(number, 'e');
    if (!e)
        return;
    char *to     = e[1] == '-' ? e + 2 : e + 1;
    char *digits = e + 2 + strspn(e + 2, "0");
    memmove(to, digits, strlen(digits) + 1);
}

const char *asd_opt_number(double x, char *buf, size_t size)
{
    if (fabs(x) < 1e7 && x == floor(x)) {
        snprintf(buf, size, "%.0f", x);
        return buf;
    }
    snprintf(buf, size, "%g", x);
    if (strtod(buf, NULL) != x)
        snprintf(buf, size, "%.15g", x);
    trim_exponent(buf);
    return buf;
}

static asd_status out_of_range(const asd_opt *opt, const char *text, const char *where,
                               asd_status code)
{
    char lo[32], hi[32];
    return ASD_FAIL(code, "%s: %.60s is out of range, want %s to %s%s%s", where, text,
                    asd_opt_number(opt->min, lo, sizeof lo),
                    asd_opt_number(opt->max, hi, sizeof hi), *opt->unit ? " " : "", opt->unit);
}

/* strtoll and strtod skip blanks and take hexadecimal, infinity and NaN: only digits, signs, point
 * and exponent may reach them. */
static int only(const char *text, const char *allowed)
{
    return *text && strspn(text, allowed) == strlen(text);
}

static asd_status set_int(const asd_opt *opt, int64_t *value, const char *text, const char *where,
                          asd_status code)
{
    char *end;
    errno       = 0;
    long long v = strtoll(text, &end, 10);
    if (!only(text, "+-0123456789") || *end)
        return ASD_FAIL(code, "%s: \"%.60s\" is not a whole number", where, text);
    if (errno == ERANGE || (double)v < opt->min || (double)v > opt->max)
        return out_of_range(opt, text, where, code);
    *value = v;
    return ASD_OK;
}

static asd_status set_real(const asd_opt *opt, double *value, const char *text, const char *where,
                           asd_status code)
{
    char  *end;
    double v = strtod(text, &end);
    if (!only(text, "+-.0123456789eE") || *end)
        return ASD_FAIL(code, "%s: \"%.60s\" is not a number", where, text);
    if (!isfinite(v) || v < opt->min || v > opt->max)
        return out_of_range(opt, text, where, code);
    *value = v == 0 ? 0 : v; /* -0 would print as another value than 0 */
    return ASD_OK;
}

/* Copies choice number i of "a|b|c" to buf; 0 when there is none. */
static int choice_name(const char *choices, int i, char *buf, size_t size)
{
    for (; i > 0; --i) {
        if (!(choices = strchr(choices, '|')))
            return 0;
        ++choices;
    }
    snprintf(buf, size, "%.*s", (int)strcspn(choices, "|"), choices);
    return 1;
}

static asd_status set_choice(const asd_opt *opt, int *value, const char *text, const char *where,
                             asd_status code)
{
    char        name[ASD_OPT_MAX_CHOICES][64];
    const char *names[ASD_OPT_MAX_CHOICES];
    char        all[512] = "";
    int         n        = 0;
    for (; choice_name(opt->choices, n, name[n], sizeof name[n]); ++n) {
        ASD_ASSERT(n + 1 < ASD_OPT_MAX_CHOICES);
        if (!strcmp(name[n], text)) {
            *value = n;
            return ASD_OK;
        }
        names[n]    = name[n];
        size_t used = strlen(all);
        snprintf(all + used, sizeof all - used, "%s%s", n ? ", " : "", name[n]);
    }
    const char *near = asd_nearest(text, names, n);
    return ASD_FAIL(code, "%s: \"%.60s\" is none of %s%s%s%s", where, text, all,
                    near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
}

static asd_status set_bool(int *value, const char *text, const char *where, asd_status code)
{
    if (strcmp(text, "true") && strcmp(text, "false"))
        return ASD_FAIL(code, "%s: \"%.60s\" is neither true nor false", where, text);
    *value = *text == 't';
    return ASD_OK;
}

static asd_status list_add(const asd_opt *opt, asd_list *list, const char *text, size_t length,
                           const char *where, asd_status code)
{
    char hi[32];
    if (opt->max > 0 && (double)list->n >= opt->max)
        return ASD_FAIL(code, "%s: more than %s values", where,
                        asd_opt_number(opt->max, hi, sizeof hi));
    char **more = realloc(list->item, (size_t)(list->n + 1) * sizeof *more);
    if (more)
        list->item = more;
    char *copy = more ? strndup(text, length) : NULL;
    if (!copy)
        return ASD_FAIL(ASD_E_OOM, "%s: no memory for a text", where);
    list->item[list->n++] = copy;
    return ASD_OK;
}

asd_status asd_opt_set(const asd_opt *opt, void *values, const char *text, const char *where,
                       asd_status code)
{
    void *p = field(opt, values);
    switch (opt->type) {
    case ASD_OPT_FLAG:
        if (strcmp(text, "0") && strcmp(text, "1"))
            return ASD_FAIL(code, "%s: \"%.60s\" is neither 0 nor 1", where, text);
        *(int *)p = *text == '1';
        return ASD_OK;
    case ASD_OPT_BOOL: return set_bool(p, text, where, code);
    case ASD_OPT_INT: return set_int(opt, p, text, where, code);
    case ASD_OPT_REAL: return set_real(opt, p, text, where, code);
    case ASD_OPT_CHOICE: return set_choice(opt, p, text, where, code);
    case ASD_OPT_LIST: return list_add(opt, p, text, strlen(text), where, code);
    case ASD_OPT_TEXT: break;
    }
    char *copy = strdup(text); /* before the old one goes: text may be the old one */
    if (!copy)
        return ASD_FAIL(ASD_E_OOM, "%s: no memory for a text", where);
    free(*(char **)p);
    *(char **)p = copy;
    return ASD_OK;
}

/* Defaults of lists are written in our tables as "[]" or "[a, b]", without quotes. */
static asd_status set_default_list(const asd_opt *opt, asd_list *list)
{
    const char *s = opt->def;
    ASD_ASSERT(*s == '[' && s[strlen(s) - 1] == ']');
    for (++s; *(s += strspn(s, " ,")) != ']';) {
        size_t length = strcspn(s, ",]");
        ASD_TRY(list_add(opt, list, s, length, opt->key, ASD_E_CONFIG));
        s += length;
    }
    return ASD_OK;
}

asd_status asd_opts_defaults(const asd_opt *opts, void *values)
{
    /* The struct may hold anything: owned pointers are made NULL before a failure can return. */
    for (const asd_opt *o = opts; o->key; ++o) {
        if (o->type == ASD_OPT_TEXT)
            *(char **)field(o, values) = NULL;
        if (o->type == ASD_OPT_LIST)
            *(asd_list *)field(o, values) = (asd_list){NULL, 0};
        asd_opt_reset(o, values);
    }
    for (const asd_opt *o = opts; o->key; ++o) {
        if (!o->def)
            continue;
        if (o->type == ASD_OPT_LIST)
            ASD_TRY(set_default_list(o, field(o, values)));
        else
            ASD_TRY(asd_opt_set(o, values, o->def, o->key, ASD_E_CONFIG));
    }
    return ASD_OK;
}

/* A text may stand without quotes if every YAML reader takes it for this very text, also within
 * [ ]: it begins with a letter or a slash, has only harmless characters, and is no word or number.
 */
static int is_plain(const char *s)
{
    static const char *const words[] = {"null", "true", "false", "yes", "no",
                                        "on",   "off",  "y",     "n"};
    if (!isalpha((unsigned char)*s) && *s != '/' && *s != '_')
        return 0;
    for (const char *p = s; *p; ++p)
        if (!isalnum((unsigned char)*p) && !strchr("_-./+=()|", *p) && !(*p == ' ' && p[1]))
            return 0;
    for (size_t i = 0; i < sizeof words / sizeof *words; ++i)
        if (!strcasecmp(s, words[i]))
            return 0;
    return 1;
}

static void print_text(const char *s, FILE *out)
{
    if (is_plain(s)) {
        fputs(s, out);
        return;
    }
    fputc('"', out);
    while (*s) {
        uint32_t c;
        int      length = asd_utf8_next(s, &c);
        if (length == 0) { /* not UTF-8: recipes refuse it; --help and logs may still meet it */
            fprintf(out, "\\x%02x", (unsigned char)*s++);
            continue;
        }
        if (c == '"' || c == '\\')
            fprintf(out, "\\%c", (char)c);
        else if (c == '\n')
            fputs("\\n", out);
        else if (c == '\t')
            fputs("\\t", out);
        else if (c < 0x20 || (c >= 0x7f && c < 0xa0))
            fprintf(out, "\\x%02x", c);
        else if (c == 0x2028 || c == 0x2029 || c == 0xfeff) /* YAML line ends and byte order mark */
            fprintf(out, "\\u%04x", c);
        else
            fwrite(s, 1, (size_t)length, out);
        s += length;
    }
    fputc('"', out);
}

/* The shortest of 15, 16, 17 digits that reads back to the same double. */
static void print_real(double x, FILE *out)
{
    char buf[40];
    for (int digits = 15; digits <= 17; ++digits) {
        snprintf(buf, sizeof buf, "%.*g", digits, x);
        if (strtod(buf, NULL) == x)
            break;
    }
    trim_exponent(buf);
    fputs(buf, out);
}

void asd_opt_print(const asd_opt *opt, const void *values, FILE *out)
{
    const void     *p    = const_field(opt, values);
    const asd_list *list = p;
    char            name[64];
    switch (opt->type) {
    case ASD_OPT_FLAG: fputs(*(const int *)p ? "1" : "0", out); break;
    case ASD_OPT_BOOL: fputs(*(const int *)p ? "true" : "false", out); break;
    case ASD_OPT_INT: fprintf(out, "%lld", (long long)*(const int64_t *)p); break;
    case ASD_OPT_REAL: print_real(*(const double *)p, out); break;
    case ASD_OPT_CHOICE:
        if (!choice_name(opt->choices, *(const int *)p, name, sizeof name))
            asd_assert_failed(__FILE__, __LINE__, opt->key);
        fputs(name, out);
        break;
    case ASD_OPT_TEXT:
        if (*(char *const *)p)
            print_text(*(char *const *)p, out);
        else
            fputs("null", out);
        break;
    case ASD_OPT_LIST:
        fputc('[', out);
        for (int64_t i = 0; i < list->n; ++i) {
            fputs(i ? ", " : "", out);
            print_text(list->item[i], out);
        }
        fputc(']', out);
        break;
    }
}

/* Damerau-Levenshtein distance (optimal string alignment) of names up to 63 characters. */
static int edit_distance(const char *a, const char *b)
{
    enum { MAX = 63 };
    int na = (int)strnlen(a, MAX + 1), nb = (int)strnlen(b, MAX + 1);
    int row[3][MAX + 1]; /* d of the last three prefixes of a, against every prefix of b */
    if (na > MAX || nb > MAX)
        return 1000;
    for (int i = 0; i <= na; ++i) {
        int *d = row[i % 3], *d1 = row[(i + 2) % 3], *d2 = row[(i + 1) % 3];
        d[0] = i;
        for (int j = 1; j <= nb; ++j) {
            if (i == 0) {
                d[j] = j;
                continue;
            }
            int change = d1[j - 1] + (a[i - 1] != b[j - 1]);
            int drop   = (d1[j] < d[j - 1] ? d1[j] : d[j - 1]) + 1;
            d[j]       = change < drop ? change : drop;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                d2[j - 2] + 1 < d[j])
                d[j] = d2[j - 2] + 1;
        }
    }
    return row[na % 3][nb];
}

const char *asd_nearest(const char *name, const char *const *candidates, int64_t n)
{
    size_t      length = strlen(name);
    int         best   = 2 + (int)(length < 64 ? length : 64) / 3; /* must be beaten */
    const char *found = NULL, *longer = NULL;
    int64_t     n_longer = 0;
    for (int64_t i = 0; i < n; ++i) {
        int d = edit_distance(name, candidates[i]);
        if (d < best)
            best = d, found = candidates[i];
        if (length && !strncmp(candidates[i], name, length))
            longer = candidates[i], ++n_longer;
    }
    if (!found && n_longer == 1)
        found = longer;
    return found;
}
