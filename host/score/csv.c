/* csv.c - see csv.h. */
#include "score/csv.h"

#include "base/file.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const size_t MAX_BYTES = (size_t)64 << 20;

/* Cuts one line, ending in 0, into cells. */
static asd_status cut_line(const asd_csv *c, char *text, asd_csv_row *row)
{
    if (strchr(text, '"'))
        return ASD_FAIL(ASD_E_DATA, "%s:%" PRId64 ": quoted cells are not taken: %.80s", c->path,
                        row->line, text);
    char *copy = text;
    for (;; *copy++ = 0) {
        if (row->n == ASD_CSV_CELLS) {
            for (char *p = text; p < copy; ++p) /* mend, to show the row */
                *p = *p ? *p : ',';
            return ASD_FAIL(ASD_E_DATA, "%s:%" PRId64 ": more than %d columns: %.80s", c->path,
                            row->line, ASD_CSV_CELLS, text);
        }
        row->cell[row->n++] = copy;
        copy                = strchr(copy, ',');
        if (!copy)
            return ASD_OK;
    }
}

/* Cuts out->text, which has `size` bytes and a 0 behind them. */
static asd_status cut_text(const char *name, size_t size, int comments, asd_csv *out)
{
    if (!(out->path = strdup(name)))
        return ASD_FAIL(ASD_E_OOM, "%s: path", name);
    if (strlen(out->text) != size)
        return ASD_FAIL(ASD_E_DATA, "%s: NUL byte at offset %zu: not a text file", name,
                        strlen(out->text));
    if (!strncmp(out->text, "\xef\xbb\xbf", 3))
        return ASD_FAIL(ASD_E_DATA, "%s:1: begins with a byte-order mark; save as plain UTF-8",
                        name);
    size_t n_lines = 1;
    for (const char *p = out->text; *p; ++p)
        n_lines += *p == '\n';
    if (!(out->row = calloc(n_lines, sizeof *out->row)))
        return ASD_FAIL(ASD_E_OOM, "%s: %zu rows", name, n_lines);
    int64_t line = 0, blank = 0;
    for (char *p = out->text, *next; p; p = next) {
        char *end = strchr(p, '\n');
        next      = end ? end + 1 : NULL;
        ++line;
        if (!end)
            end = p + strlen(p);
        if (end > p && end[-1] == '\r')
            --end;
        *end = 0;
        if (!*p) { /* what follows the last line's end is no line */
            blank = blank ? blank : line;
            out->blank_end += next != NULL;
            continue;
        }
        if (comments && *p == '#')
            continue;
        if (blank)
            return ASD_FAIL(ASD_E_DATA, "%s:%" PRId64 ": empty line before row: %.80s", name, blank,
                            p);
        out->row[out->n].line = line;
        ASD_TRY(cut_line(out, p, out->row + out->n));
        ++out->n;
    }
    if (!out->n)
        return ASD_FAIL(ASD_E_DATA, "%s: no rows", name);
    return ASD_OK;
}

asd_status asd_csv_read(const char *path, int comments, asd_csv *out)
{
    size_t size;
    memset(out, 0, sizeof *out);
    ASD_TRY(asd_read_file(path, MAX_BYTES, &out->text, &size));
    return cut_text(path, size, comments, out);
}

asd_status asd_csv_parse(const char *name, const char *data, size_t size, int comments,
                         asd_csv *out)
{
    memset(out, 0, sizeof *out);
    if (!(out->text = malloc(size + 1)))
        return ASD_FAIL(ASD_E_OOM, "%s: %zu bytes", name, size);
    memcpy(out->text, data, size);
    out->text[size] = 0;
    return cut_text(name, size, comments, out);
}

void asd_csv_clear(asd_csv *c)
{
    free(c->path);
    free(c->text);
    free(c->row);
    memset(c, 0, sizeof *c);
}

const char *asd_csv_where(const asd_csv *c, int64_t row, char *buf, size_t size)
{
    const asd_csv_row *r = c->row + row;
    int                n = snprintf(buf, size, "%s:%" PRId64 ": %s", c->path, r->line, r->cell[0]);
    for (int i = 1; i < r->n && n > 0 && (size_t)n < size; ++i)
        n += snprintf(buf + n, size - (size_t)n, ",%s", r->cell[i]);
    return buf;
}

asd_status asd_csv_want_cells(const asd_csv *c, int min, int max, const char *columns)
{
    char where[512];
    for (int64_t i = 0; i < c->n; ++i)
        if (c->row[i].n < min || c->row[i].n > max)
            return ASD_FAIL(ASD_E_DATA, "%s: %d column%s, want %s",
                            asd_csv_where(c, i, where, sizeof where), c->row[i].n,
                            c->row[i].n == 1 ? "" : "s", columns);
    return ASD_OK;
}

asd_status asd_csv_number(const asd_csv *c, int64_t row, int cell, const char *what, double *out)
{
    const char *text = c->row[row].cell[cell];
    char       *end, where[512];
    asd_csv_where(c, row, where, sizeof where);
    *out = strtod(text, &end);
    while (*end == ' ' || *end == '\t')
        ++end;
    if (end == text || *end || strpbrk(text, "xXpP"))
        return ASD_FAIL(ASD_E_DATA, "%s: %s \"%.40s\" is not a number%s", where, what, text,
                        row == 0 ? "; these files have no header line" : "");
    if (!isfinite(*out))
        return ASD_FAIL(ASD_E_DATA, "%s: %s \"%.40s\" is not finite", where, what, text);
    return ASD_OK;
}

asd_status asd_csv_bit(const asd_csv *c, int64_t row, int cell, const char *what, int *out)
{
    char   where[512];
    double x;
    ASD_TRY(asd_csv_number(c, row, cell, what, &x));
    if (x != 0 && x != 1)
        return ASD_FAIL(ASD_E_DATA, "%s: %s \"%.40s\", want 0 or 1",
                        asd_csv_where(c, row, where, sizeof where), what, c->row[row].cell[cell]);
    *out = x == 1;
    return ASD_OK;
}

struct sort_context {
    const asd_csv *c;
    int            cell;
};

static int by_cell(const void *a, const void *b, void *context)
{
    const struct sort_context *s = context;
    return strcmp(s->c->row[*(const int64_t *)a].cell[s->cell],
                  s->c->row[*(const int64_t *)b].cell[s->cell]);
}

asd_status asd_csv_sort(const asd_csv *c, int cell, const char *what, int64_t *order)
{
    struct sort_context s = {c, cell};
    char                where[512];
    for (int64_t i = 0; i < c->n; ++i)
        order[i] = i;
    qsort_r(order, (size_t)c->n, sizeof *order, by_cell, &s);
    for (int64_t i = 1; i < c->n; ++i)
        if (!by_cell(order + i - 1, order + i, &s)) {
            int64_t a = order[i - 1], b = order[i];
            return ASD_FAIL(ASD_E_DATA, "%s: %s doubled, first on line %" PRId64,
                            asd_csv_where(c, a > b ? a : b, where, sizeof where), what,
                            c->row[a < b ? a : b].line);
        }
    return ASD_OK;
}

const char *asd_real_text(double x, char buf[32])
{
    if (!isfinite(x)) {
        snprintf(buf, 32, "%s", isnan(x) ? "nan" : x < 0 ? "-inf" : "inf");
        return buf;
    }
    int precision = 0; /* digits after the first */
    do
        snprintf(buf, 32, "%.*e", precision, x);
    while (strtod(buf, NULL) != x && ++precision <= 16);
    int exponent = atoi(strchr(buf, 'e') + 1);
    if (exponent >= -4 && exponent < 16) /* repr's border between the two notations */
        snprintf(buf, 32, "%.*f", precision > exponent + 1 ? precision - exponent : 1, x);
    return buf;
}

int asd_score_file_name(const char *name, const char *prefix, char *machine, int *section)
{
    size_t skip = strlen(prefix), size = strlen(name);
    if (strncmp(name, prefix, skip) || size < 4 || strcmp(name + size - 4, ".csv"))
        return 0;
    name += skip;
    int year, end = 0;
    if (sscanf(name, "DCASE%4dT2%n", &year, &end) == 1 && end == 11)
        name += end;
    else
        end = 0;
    /* The last "_section_", as a machine's name may hold underscores. */
    const char *mark = NULL;
    for (const char *p = name; (p = strstr(p, "_section_")); ++p)
        mark = p;
    if (!mark || mark == name || mark - name > 255)
        return 0;
    const char *digits = mark + 9;
    if (!isdigit((unsigned char)digits[0]) || !isdigit((unsigned char)digits[1]) ||
        strncmp(digits + 2, "_test", 5))
        return 0;
    if (!end && strcmp(digits + 7, ".csv"))
        return 0;
    *section = (digits[0] - '0') * 10 + digits[1] - '0';
    snprintf(machine, 256, "%.*s", (int)(mark - name), name);
    return 1;
}
