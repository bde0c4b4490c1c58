/* info_print.c - asd.info/1 for people. */
#include "tools/info.h"

#include <ctype.h>
#include <string.h>

enum { COLUMNS = 100 };

/* "memory_available_bytes" -> "memory available"; OMP_NUM_THREADS stays. */
static const char *name_of(const char *key, char *name, size_t size)
{
    static const char *const units[] = {"_bytes", "_hz"};
    snprintf(name, size, "%s", key);
    for (size_t i = 0; i < sizeof units / sizeof *units; ++i) {
        size_t n = strlen(name), u = strlen(units[i]);
        if (n > u && !strcmp(name + n - u, units[i]))
            name[n - u] = 0;
    }
    for (char *c = name; *c; ++c)
        if (*c == '_' && islower((unsigned char)c[1]))
            *c = ' ';
    return name;
}

static void format(const char *key, const json_t *value, char *buf, size_t size)
{
    size_t n = strlen(key);
    buf[0]   = 0;
    if (json_is_string(value)) {
        snprintf(buf, size, "%s", json_string_value(value));
    } else if (json_is_integer(value) && n > 6 && !strcmp(key + n - 6, "_bytes")) {
        snprintf(buf, size, "%.1f GiB", (double)json_integer_value(value) / (1 << 30));
    } else if (json_is_integer(value) && n > 3 && !strcmp(key + n - 3, "_hz")) {
        snprintf(buf, size, "%lld MHz", (long long)json_integer_value(value) / 1000000);
    } else if (json_is_integer(value)) {
        snprintf(buf, size, "%lld", (long long)json_integer_value(value));
    } else if (json_is_real(value)) {
        snprintf(buf, size, "%g", json_real_value(value));
    } else if (json_is_array(value)) {
        for (size_t i = 0, at = 0; i < json_array_size(value) && at < size; ++i)
            at += (size_t)snprintf(buf + at, size - at, "%s%s", i ? " " : "",
                                   json_string_value(json_array_get(value, i)));
    } else {
        snprintf(buf, size, "-");
    }
}

/* {"name": "X", "memory_bytes": 1073741824, "clock_hz": null} -> "X, memory 1.0 GiB" */
static void format_object(const json_t *object, char *buf, size_t size)
{
    const char   *key;
    const json_t *value;
    char          name[64], text[512];
    size_t        at = 0;
    buf[0]           = 0;
    json_object_foreach((json_t *)object, key, value)
    {
        if (json_is_null(value) || !strcmp(key, "index") || at >= size)
            continue;
        format(key, value, text, sizeof text);
        int named = strcmp(key, "name") != 0;
        at +=
            (size_t)snprintf(buf + at, size - at, "%s%s%s%s", at ? ", " : "",
                             named ? name_of(key, name, sizeof name) : "", named ? " " : "", text);
    }
}

/* Words of text from column `indent`, which is reached already. */
static void print_words(const char *text, int indent, FILE *out)
{
    int column = indent;
    while (*text) {
        int length = (int)strcspn(text, " ");
        if (column > indent && column + 1 + length > COLUMNS) {
            fprintf(out, "\n%*s", indent, "");
            column = indent;
        } else if (column > indent) {
            fputc(' ', out);
            ++column;
        }
        fprintf(out, "%.*s", length, text);
        column += length;
        text += length + (int)strspn(text + length, " ");
    }
    fputc('\n', out);
}

void info_print(const json_t *info, FILE *out)
{
    enum { WIDTH = 22 };
    const char   *section, *key;
    const json_t *rows, *value;
    char          text[4096], name[64];
    json_object_foreach((json_t *)info, section, rows)
    {
        if (!json_is_object(rows) || !json_object_size(rows))
            continue;
        fprintf(out, "%s\n", section);
        json_object_foreach((json_t *)rows, key, value)
        {
            size_t n = json_is_object(json_array_get(value, 0)) ? json_array_size(value) : 0;
            for (size_t i = 0; i < n; ++i) { /* "device 0  NVIDIA ..." */
                format_object(json_array_get(value, i), text, sizeof text);
                fprintf(out, "  %s %-*zu  ", key, WIDTH - (int)strlen(key) - 1, i);
                print_words(text, WIDTH + 4, out);
            }
            if (n)
                continue;
            format(key, value, text, sizeof text);
            fprintf(out, "  %-*s  ", WIDTH, name_of(key, name, sizeof name));
            print_words(text, WIDTH + 4, out);
        }
    }
}
