/* info_print.c - asd.info/1 for people. */
#include "tools/info.h"

#include <ctype.h>
#include <string.h>

enum { COLUMNS = 100 };

static void format(const char *key, const json_t *value, char *buf, size_t size)
{
    size_t n = strlen(key);
    buf[0]   = 0;
    if (json_is_string(value)) {
        snprintf(buf, size, "%s", json_string_value(value));
    } else if (json_is_integer(value) && n > 6 && !strcmp(key + n - 6, "_bytes")) {
        snprintf(buf, size, "%.1f GiB", (double)json_integer_value(value) / (1 << 30));
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

/* "memory_available_bytes" -> "memory available"; OMP_NUM_THREADS stays. */
static void print_name(const char *key, int width, FILE *out)
{
    char name[64];
    snprintf(name, sizeof name, "%s", key);
    size_t n = strlen(name);
    if (n > 6 && !strcmp(name + n - 6, "_bytes"))
        name[n - 6] = 0;
    for (char *c = name; *c; ++c)
        if (*c == '_' && islower((unsigned char)c[1]))
            *c = ' ';
    fprintf(out, "  %-*s  ", width, name);
}

void info_print(const json_t *info, FILE *out)
{
    enum { WIDTH = 22 };
    const char   *section, *key;
    const json_t *rows, *value;
    char          text[4096];
    json_object_foreach((json_t *)info, section, rows)
    {
        if (!json_is_object(rows) || !json_object_size(rows))
            continue;
        fprintf(out, "%s\n", section);
        json_object_foreach((json_t *)rows, key, value)
        {
            format(key, value, text, sizeof text);
            print_name(key, WIDTH, out);
            print_words(text, WIDTH + 4, out);
        }
    }
}
