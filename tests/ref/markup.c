/* markup.c - see markup.h. */
#include "ref/markup.h"

#include "base/utf8.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 64, MAX_NAME = 64, MAX_ATTRIBUTES = 32, MAX_IDS = 4096 };

typedef struct checker {
    const char       *text, *at;
    char              open[MAX_DEPTH][MAX_NAME];
    size_t            depth;
    char             *id[MAX_IDS], *href[MAX_IDS];
    int               n_ids, n_hrefs;
    int               is_file; /* see asd_markup_check_file */
    asd_markup_facts *facts;
} checker;

static int wrong(checker *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int wrong(checker *c, const char *format, ...)
{
    char    what[128];
    va_list args;
    if (*c->facts->wrong)
        return 0;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    snprintf(c->facts->wrong, sizeof c->facts->wrong, "%s at byte %zu: %.60s", what,
             (size_t)(c->at - c->text), c->at);
    return 0;
}

static int is_name(int ch)
{
    return isalnum(ch) || ch == '-' || ch == '_' || ch == ':';
}

static int take_name(checker *c, char name[MAX_NAME])
{
    size_t n = 0;
    while (is_name((unsigned char)c->at[n]) && n + 1 < MAX_NAME)
        ++n;
    if (!n || is_name((unsigned char)c->at[n]) || isdigit((unsigned char)*c->at))
        return wrong(c, "no name");
    memcpy(name, c->at, n);
    name[n] = 0;
    c->at += n;
    return 1;
}

/* One character of text or of an attribute: an entity, or itself. */
static int take_character(checker *c)
{
    static const char *const entities[] = {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;"};
    uint32_t                 code;
    if (*c->at == '&') {
        for (size_t i = 0; i < 5; ++i)
            if (!strncmp(c->at, entities[i], strlen(entities[i]))) {
                c->at += strlen(entities[i]);
                return 1;
            }
        return wrong(c, "unknown entity");
    }
    int n = asd_utf8_next(c->at, &code);
    if (!n)
        return wrong(c, "not UTF-8");
    if ((code < 0x20 && !strchr("\t\n\r", (int)code)) || code == 0xfffe || code == 0xffff)
        return wrong(c, "character U+%04X is not allowed", (unsigned)code);
    c->at += n;
    return 1;
}

static int take_attribute(checker *c, char names[MAX_ATTRIBUTES][MAX_NAME], int n)
{
    if (n == MAX_ATTRIBUTES)
        return wrong(c, "too many attributes");
    if (!take_name(c, names[n]))
        return 0;
    for (int i = 0; i < n; ++i)
        if (!strcmp(names[i], names[n]))
            return wrong(c, "attribute %s twice", names[n]);
    if (*c->at++ != '=' || *c->at++ != '"')
        return wrong(c, "attribute %s without a quoted value", names[n]);
    const char *value = c->at;
    while (*c->at && *c->at != '"') {
        if (*c->at == '<')
            return wrong(c, "< in attribute %s", names[n]);
        if (!take_character(c))
            return 0;
    }
    if (!*c->at)
        return wrong(c, "attribute %s has no end", names[n]);
    size_t size = (size_t)(c->at - value);
    if (!strncmp(names[n], "on", 2) || !strcmp(names[n], "src") || !strcmp(names[n], "srcset") ||
        !strcmp(names[n], "action"))
        return wrong(c, "attribute %s", names[n]);
    if (!c->is_file && (!strcmp(names[n], "style") || strstr(names[n], "xlink")))
        return wrong(c, "attribute %s", names[n]);
    if (!strcmp(names[n], "style") && memmem(value, size, "url(", 4))
        return wrong(c, "attribute %s that loads something", names[n]);
    if (!strcmp(names[n], "href") || !strcmp(names[n], "xlink:href")) {
        if (*value != '#' || c->n_hrefs == MAX_IDS)
            return wrong(c, "link that leads elsewhere");
        c->href[c->n_hrefs++] = strndup(value + 1, size - 1);
    }
    if (!strcmp(names[n], "id")) {
        if (c->n_ids == MAX_IDS)
            return wrong(c, "too many ids");
        c->id[c->n_ids++] = strndup(value, size);
        for (int i = 0; i + 1 < c->n_ids; ++i)
            if (!strcmp(c->id[i], c->id[c->n_ids - 1]))
                return wrong(c, "id %s twice", c->id[i]);
    }
    ++c->at;
    return 1;
}

/* Raw text in HTML, character data in XML: has to be the same in both. */
static int take_style(checker *c)
{
    const char *end = strstr(c->at, "</style>");
    if (!end)
        return wrong(c, "style without end");
    for (; c->at < end; ++c->at)
        if (*c->at == '<' || *c->at == '&' || !strncmp(c->at, "url(", 4) ||
            !strncmp(c->at, "@import", 7) || !strncmp(c->at, "expression", 10))
            return wrong(c, "style sheet that is not plain");
    return 1;
}

static int take_tag(checker *c)
{
    char name[MAX_NAME], names[MAX_ATTRIBUTES][MAX_NAME];
    ++c->at;
    if (*c->at == '/') {
        ++c->at;
        if (!take_name(c, name))
            return 0;
        if (*c->at != '>' || !c->depth || strcmp(c->open[c->depth - 1], name))
            return wrong(c, "</%s> closes <%s>", name, c->depth ? c->open[c->depth - 1] : "");
        --c->depth, ++c->at;
        return 1;
    }
    if (!take_name(c, name))
        return 0;
    ++c->facts->n_elements;
    c->facts->n_svg += !strcmp(name, "svg");
    c->facts->n_scripts += !strcasecmp(name, "script");
    int n = 0;
    while (*c->at == ' ') {
        ++c->at;
        if (!take_attribute(c, names, n++))
            return 0;
    }
    if (!strncmp(c->at, "/>", 2)) {
        c->at += 2;
        return 1;
    }
    if (*c->at != '>')
        return wrong(c, "<%s> has no end", name);
    ++c->at;
    if (c->depth == MAX_DEPTH)
        return wrong(c, "nested too deep");
    strcpy(c->open[c->depth++], name);
    if (c->depth > c->facts->depth)
        c->facts->depth = c->depth;
    return strcmp(name, "style") ? 1 : take_style(c);
}

static void check_links(checker *c)
{
    for (int i = 0; i < c->n_hrefs; ++i) {
        int found = 0;
        for (int k = 0; k < c->n_ids && !found; ++k)
            found = !strcmp(c->href[i], c->id[k]);
        if (!found)
            wrong(c, "link to #%.60s, which is not there", c->href[i]);
    }
}

static void check(const char *text, int is_file, asd_markup_facts *out)
{
    const char *first =
        is_file ? "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n" : "<!DOCTYPE html>\n";
    checker *c = calloc(1, sizeof *c);
    memset(out, 0, sizeof *out);
    c->text = c->at = text;
    c->facts        = out;
    c->is_file      = is_file;
    if (!strncmp(text, first, strlen(first)))
        c->at += strlen(first);
    while (*c->at && !*out->wrong) {
        if (*c->at == '<')
            take_tag(c);
        else if (*c->at == '>' || (!c->depth && !isspace((unsigned char)*c->at)))
            wrong(c, "stray text");
        else
            take_character(c);
    }
    if (!*out->wrong && c->depth)
        wrong(c, "<%s> is not closed", c->open[c->depth - 1]);
    if (!*out->wrong)
        check_links(c);
    out->n_ids = c->n_ids;
    for (int i = 0; i < c->n_ids; ++i)
        free(c->id[i]);
    for (int i = 0; i < c->n_hrefs; ++i)
        free(c->href[i]);
    free(c);
}

void asd_markup_check(const char *text, asd_markup_facts *out)
{
    check(text, 0, out);
}

void asd_markup_check_file(const char *text, asd_markup_facts *out)
{
    check(text, 1, out);
}
