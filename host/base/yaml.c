/* yaml.c - flattens libfyaml's event stream. Events, not its document tree: nothing is expanded,
 * merged or resolved, and every token keeps its position.
 */
#include "base/yaml.h"

#include "base/utf8.h"

#include <libfyaml.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_DEPTH = 16,   /* recipes have two levels */
    MAX_KEY   = 200,  /* bytes of a whole dotted key */
    MAX_COUNT = 4096, /* entries, and items of a list */
};

typedef struct frame {
    size_t key_length; /* bytes of `key` that belong to this mapping */
    int    n_pairs;
} frame;

typedef struct reader {
    struct fy_parser *parser;
    struct fy_diag   *diag;
    const char       *where;
    int               is_value; /* one value for a key, not a file */
    asd_yaml         *out;
    int64_t           capacity;
    int64_t           item_capacity; /* of the list being read */
    frame             stack[MAX_DEPTH];
    int               depth;   /* open mappings */
    int               in_list; /* the last entry's list is open */
    int               has_key; /* a key was read, its value comes next */
    int               n_documents;
    char              key[MAX_KEY + 1]; /* dotted key of the value being read */
    int               key_line, key_column;
} reader;

static const char *place(const reader *r, int line, int column, char *buf, size_t size)
{
    if (r->is_value)
        snprintf(buf, size, "%s", r->where);
    else
        snprintf(buf, size, "%s:%d:%d", r->where, line, column);
    return buf;
}

#define FAIL_HERE(r, line, column, ...)                                                            \
    fail_here(r, line, column, __LINE__, __VA_ARGS__) /* keeps the line for -v */

static asd_status fail_here(const reader *r, int line, int column, int source_line,
                            const char *format, ...) __attribute__((format(printf, 5, 6)));
static asd_status fail_here(const reader *r, int line, int column, int source_line,
                            const char *format, ...)
{
    char    text[1024], at[1200];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    return asd_fail_at(__FILE__, source_line, ASD_E_CONFIG, "%s: %s",
                       place(r, line, column, at, sizeof at), text);
}

static asd_status no_memory(const reader *r)
{
    return ASD_FAIL(ASD_E_OOM, "%s: no memory for the recipe", r->where);
}

/* libfyaml takes bytes that YAML does not; with this, what it sees is clean UTF-8. */
static asd_status check_characters(const reader *r, const char *text, size_t size)
{
    int         line = 1, column = 1;
    const char *end  = text + size;
    const char *what = NULL;
    while (text < end && !what) {
        uint32_t c;
        int      length = asd_utf8_next(text, &c); /* never beyond the NUL after the text */
        if (length == 0)
            what = "not UTF-8";
        else if (c == 0)
            what = "a zero byte";
        else if ((c < 0x20 && c != '\t' && c != '\n' && c != '\r') || (c >= 0x7f && c < 0xa0) ||
                 c == 0xfffe || c == 0xffff)
            what = "a control character";
        if (what)
            return FAIL_HERE(r, line, column, "%s (byte 0x%02x)", what, (unsigned char)*text);
        text += length;
        ++column;
        if (c == '\n')
            ++line, column = 1;
    }
    return ASD_OK;
}

/* Position of an event; that of the latest key where libfyaml has none (an absent value). */
static void position(const reader *r, struct fy_event *e, int *line, int *column)
{
    const struct fy_mark *m = fy_event_start_mark(e);
    *line                   = m ? m->line + 1 : r->key_line;
    *column                 = m ? m->column + 1 : r->key_column;
    if (m && e->type == FYET_SCALAR) { /* libfyaml marks the text, not the quote before it */
        enum fy_scalar_style style = fy_token_scalar_style(e->scalar.value);
        *column -= style == FYSS_SINGLE_QUOTED || style == FYSS_DOUBLE_QUOTED;
    }
}

static asd_status add_entry(reader *r, asd_yaml_kind kind, int line, int column)
{
    asd_yaml *y = r->out;
    if (y->n == MAX_COUNT)
        return FAIL_HERE(r, line, column, "more than %d keys", MAX_COUNT);
    if (y->n == r->capacity) {
        r->capacity          = r->capacity ? 2 * r->capacity : 32;
        asd_yaml_entry *more = realloc(y->entry, (size_t)r->capacity * sizeof *more);
        if (!more)
            return no_memory(r);
        y->entry = more;
    }
    asd_yaml_entry *e = &y->entry[y->n];
    *e                = (asd_yaml_entry){.line   = r->key_line,
                                         .column = r->key_column,
                                         .value  = {.kind = kind, .line = line, .column = column}};
    if (!(e->key = strdup(r->key)))
        return no_memory(r);
    ++y->n;
    return ASD_OK;
}

/* The value of a mapping's key is complete: the next event is a key, or ends the mapping. */
static void value_done(reader *r)
{
    r->has_key = 0;
    if (r->depth)
        r->key[r->stack[r->depth - 1].key_length] = 0;
}

/* The text of a scalar, NUL-terminated; the caller frees it. Not fy_token_get_text0: where its
 * length estimate is wrong it cuts the text and leaks. */
static asd_status take_text(const reader *r, struct fy_token *token, int line, int column,
                            char **out)
{
    asd_status                  st   = ASD_OK;
    struct fy_token_iter       *iter = fy_token_iter_create(token);
    const struct fy_iter_chunk *c    = NULL;
    char                       *text = NULL;
    size_t                      size = 0;
    int                         bad  = 0;
    FILE                       *f    = open_memstream(&text, &size);
    *out                             = NULL;
    while (iter && f && (c = fy_token_iter_chunk_next(iter, c, &bad)))
        fwrite(c->str, 1, c->len, f);
    if ((f && fclose(f)) || !iter || !f)
        st = no_memory(r);
    else if (bad)
        st = FAIL_HERE(r, line, column, "a text that cannot be read");
    else if (strlen(text) != size)
        st = FAIL_HERE(r, line, column, "a zero character in a text");
    else if (fy_token_scalar_style(token) == FYSS_SINGLE_QUOTED && strstr(text, "''"))
        /* libfyaml 0.7.12 reads one quote too many where two follow each other (fixed in 2026) */
        st = FAIL_HERE(r, line, column, "two quotes in a row within '...': use \"...\"");
    fy_token_iter_destroy(iter);
    if (st) {
        free(text);
        return st;
    }
    *out = text;
    return ASD_OK;
}

static asd_status read_key(reader *r, const char *text, int line, int column)
{
    frame *f    = &r->stack[r->depth - 1];
    size_t size = strlen(text);
    if (!size)
        return FAIL_HERE(r, line, column, "an empty key");
    if (f->key_length + 1 + size > MAX_KEY)
        return FAIL_HERE(r, line, column, "a key of more than %d bytes", MAX_KEY);
    snprintf(r->key + f->key_length, sizeof r->key - f->key_length, "%s%s",
             f->key_length ? "." : "", text);
    r->key_line   = line;
    r->key_column = column;
    r->has_key    = 1;
    ++f->n_pairs;
    return ASD_OK;
}

static int is_null_word(const char *text)
{
    return !*text || !strcmp(text, "~") || !strcmp(text, "null") || !strcmp(text, "Null") ||
           !strcmp(text, "NULL");
}

/* Takes over text. */
static void fill_item(asd_yaml_item *item, const struct fy_event *e, char *text, int line,
                      int column)
{
    int quoted   = fy_token_scalar_style(e->scalar.value) != FYSS_PLAIN;
    item->line   = line;
    item->column = column;
    item->kind   = quoted ? ASD_YAML_QUOTED : is_null_word(text) ? ASD_YAML_NULL : ASD_YAML_PLAIN;
    item->text   = item->kind == ASD_YAML_NULL ? NULL : text;
    if (item->kind == ASD_YAML_NULL)
        free(text);
}

/* Makes room for one more item in the list that is read. */
static asd_status grow_list(reader *r, int line, int column)
{
    asd_yaml_entry *list = &r->out->entry[r->out->n - 1];
    if (list->n_items == MAX_COUNT)
        return FAIL_HERE(r, line, column, "%s: more than %d items", list->key, MAX_COUNT);
    if (list->n_items == r->item_capacity) {
        r->item_capacity    = r->item_capacity ? 2 * r->item_capacity : 8;
        asd_yaml_item *more = realloc(list->item, (size_t)r->item_capacity * sizeof *more);
        if (!more)
            return no_memory(r);
        list->item = more;
    }
    return ASD_OK;
}

static asd_status read_scalar(reader *r, struct fy_event *e, int line, int column)
{
    char      *text;
    asd_status st;
    ASD_TRY(take_text(r, e->scalar.value, line, column, &text));
    if (r->in_list) {
        ASD_GO(done, st, grow_list(r, line, column));
        asd_yaml_entry *list = &r->out->entry[r->out->n - 1];
        fill_item(&list->item[list->n_items++], e, text, line, column);
        text = NULL;
    } else if (r->depth && !r->has_key) {
        st = read_key(r, text, line, column);
    } else if (!r->depth && !r->is_value) { /* an empty file has this event too */
        st = is_null_word(text)
                 ? ASD_OK
                 : FAIL_HERE(r, line, column, "\"%.40s\" is no recipe: want lines of `key: value`",
                             text);
    } else {
        ASD_GO(done, st, add_entry(r, ASD_YAML_NULL, line, column));
        fill_item(&r->out->entry[r->out->n - 1].value, e, text, line, column);
        text = NULL;
        value_done(r);
    }
done:
    free(text);
    return st;
}

static asd_status open_mapping(reader *r, int line, int column)
{
    if (r->in_list)
        return FAIL_HERE(r, line, column,
                         "%s: a list holds plain values, found a mapping in it; put quotes around "
                         "texts with \": \"",
                         r->key);
    if (r->depth && !r->has_key)
        return FAIL_HERE(r, line, column, "a key must be a plain text, found a mapping");
    if (r->depth == MAX_DEPTH)
        return FAIL_HERE(r, line, column, "more than %d levels", MAX_DEPTH);
    r->stack[r->depth++] = (frame){strlen(r->key), 0};
    r->has_key           = 0;
    return ASD_OK;
}

static asd_status close_mapping(reader *r, int line, int column)
{
    frame *f              = &r->stack[--r->depth];
    r->key[f->key_length] = 0;
    if (!f->n_pairs && *r->key)
        ASD_TRY(add_entry(r, ASD_YAML_EMPTY_MAP, line, column));
    value_done(r);
    return ASD_OK;
}

static asd_status open_list(reader *r, int line, int column)
{
    if (r->in_list)
        return FAIL_HERE(r, line, column, "%s: a list in a list", r->key);
    if (r->depth && !r->has_key)
        return FAIL_HERE(r, line, column, "a key must be a plain text, found a list");
    if (!r->depth && !r->is_value)
        return FAIL_HERE(r, line, column, "a list is no recipe: want lines of `key: value`");
    ASD_TRY(add_entry(r, ASD_YAML_LIST, line, column));
    r->in_list       = 1;
    r->item_capacity = 0;
    return ASD_OK;
}

static asd_status refuse_decoration(const reader *r, const struct fy_token *anchor,
                                    const struct fy_token *tag, int line, int column)
{
    if (anchor)
        return FAIL_HERE(r, line, column, "anchors (&name) are not taken; write the value out");
    if (tag)
        return FAIL_HERE(r, line, column, "tags (!name) are not taken");
    return ASD_OK;
}

static asd_status take_event(reader *r, struct fy_event *e)
{
    int line, column;
    position(r, e, &line, &column);
    switch (e->type) {
    case FYET_DOCUMENT_START:
        if (++r->n_documents > 1)
            return FAIL_HERE(r, line, column, "a second document begins; a recipe is one");
        return ASD_OK;
    case FYET_ALIAS:
        return FAIL_HERE(r, line, column, "aliases (*name) are not taken; write the value out");
    case FYET_SCALAR:
        ASD_TRY(refuse_decoration(r, e->scalar.anchor, e->scalar.tag, line, column));
        return read_scalar(r, e, line, column);
    case FYET_MAPPING_START:
        ASD_TRY(refuse_decoration(r, e->mapping_start.anchor, e->mapping_start.tag, line, column));
        return open_mapping(r, line, column);
    case FYET_MAPPING_END: return close_mapping(r, line, column);
    case FYET_SEQUENCE_START:
        ASD_TRY(
            refuse_decoration(r, e->sequence_start.anchor, e->sequence_start.tag, line, column));
        return open_list(r, line, column);
    case FYET_SEQUENCE_END:
        r->in_list = 0;
        value_done(r);
        return ASD_OK;
    default: return ASD_OK; /* stream start and end, document end */
    }
}

/* libfyaml's own first error. */
static asd_status syntax_error(const reader *r)
{
    void                       *prev  = NULL;
    const struct fy_diag_error *first = fy_diag_errors_iterate(r->diag, &prev);
    if (first)
        return FAIL_HERE(r, first->line, first->column, "%.*s", (int)strcspn(first->msg, "\n"),
                         first->msg);
    return FAIL_HERE(r, r->key_line ? r->key_line : 1, r->key_line ? r->key_column : 1,
                     "not YAML after here");
}

/* With its default diagnostics libfyaml writes to stderr even when told to be quiet and collect. */
static void write_nothing(struct fy_diag *diag, void *user, const char *text, size_t size)
{
    (void)diag, (void)user, (void)text, (void)size;
}

static asd_status open_parser(reader *r, const char *text, size_t size)
{
    struct fy_diag_cfg diag_cfg;
    fy_diag_cfg_default(&diag_cfg);
    diag_cfg.fp        = NULL;
    diag_cfg.output_fn = write_nothing;
    if (!(r->diag = fy_diag_create(&diag_cfg)))
        return no_memory(r);
    fy_diag_set_collect_errors(r->diag, true);
    const struct fy_parse_cfg cfg = {.flags = FYPCF_QUIET | FYPCF_COLLECT_DIAG, .diag = r->diag};
    if (!(r->parser = fy_parser_create(&cfg)) || fy_parser_set_string(r->parser, text, size))
        return no_memory(r);
    return ASD_OK;
}

static int by_key_then_place(const void *a, const void *b)
{
    const asd_yaml_entry *x = *(asd_yaml_entry *const *)a, *y = *(asd_yaml_entry *const *)b;
    int                   order = strcmp(x->key, y->key);
    return order ? order : x < y ? -1 : x > y;
}

static asd_status refuse_doubles(const reader *r)
{
    const asd_yaml  *y     = r->out;
    asd_yaml_entry **order = malloc((size_t)(y->n + 1) * sizeof *order);
    asd_status       st    = ASD_OK;
    if (!order)
        return no_memory(r);
    for (int64_t i = 0; i < y->n; ++i)
        order[i] = &y->entry[i];
    qsort(order, (size_t)y->n, sizeof *order, by_key_then_place);
    for (int64_t i = 1; i < y->n && !st; ++i)
        if (!strcmp(order[i]->key, order[i - 1]->key))
            st =
                FAIL_HERE(r, order[i]->line, order[i]->column,
                          "%s is given twice, first in line %d", order[i]->key, order[i - 1]->line);
    free(order);
    return st;
}

asd_status asd_yaml_parse(const char *text, size_t size, const char *where, const char *root_key,
                          asd_yaml *out)
{
    asd_status st = ASD_OK;
    reader     r  = {.where = where, .is_value = root_key != NULL, .out = out};
    *out          = (asd_yaml){0};
    if (root_key && strlen(root_key) > MAX_KEY)
        return ASD_FAIL(ASD_E_CONFIG, "%.40s...: a key of more than %d bytes", where, MAX_KEY);
    snprintf(r.key, sizeof r.key, "%s", root_key ? root_key : "");
    if (size > ASD_YAML_MAX_BYTES)
        return ASD_FAIL(ASD_E_CONFIG, "%s: %zu bytes, a recipe has at most %zu", where, size,
                        ASD_YAML_MAX_BYTES);
    if (size >= 3 &&
        !memcmp(text, "\xef\xbb\xbf", 3)) /* byte order mark, as Windows editors write */
        text += 3, size -= 3;
    ASD_TRY(check_characters(&r, text, size));
    ASD_GO(done, st, open_parser(&r, text, size));
    for (int ended = 0; !st && !ended;) {
        struct fy_event *e = fy_parser_parse(r.parser);
        if (!e) {
            st = syntax_error(&r);
            break;
        }
        ended = e->type == FYET_STREAM_END;
        st    = take_event(&r, e);
        fy_parser_event_free(r.parser, e);
    }
    if (!st)
        st = refuse_doubles(&r);
done:
    if (r.parser)
        fy_parser_destroy(r.parser);
    if (r.diag)
        fy_diag_destroy(r.diag);
    if (st)
        asd_yaml_clear(out);
    return st;
}

void asd_yaml_clear(asd_yaml *y)
{
    for (int64_t i = 0; i < y->n; ++i) {
        asd_yaml_entry *e = &y->entry[i];
        for (int64_t k = 0; k < e->n_items; ++k)
            free(e->item[k].text);
        free(e->item);
        free(e->value.text);
        free(e->key);
    }
    free(y->entry);
    *y = (asd_yaml){0};
}
