/* markup.h - is this text well-formed XML that loads nothing from elsewhere? For reports. */
#ifndef ASD_TESTS_MARKUP_H
#define ASD_TESTS_MARKUP_H

#include <stddef.h>

typedef struct asd_markup_facts {
    int    n_elements, n_svg, n_scripts, n_ids;
    char   wrong[256]; /* "" when all is well, else what and where */
    size_t depth;      /* deepest nesting */
} asd_markup_facts;

/* Checks nesting, quoting, unique attributes, the five XML entities and &#39;, characters (UTF-8
 * and allowed in XML), unique ids; that every href is "#id" of an element; that there is no src, no
 * event handler, no style attribute, no url( or @import in a style sheet. A leading <!DOCTYPE html>
 * is fine; comments and processing instructions are not. Stops at the first thing wrong. */
void asd_markup_check(const char *text, asd_markup_facts *out);
/* The same for an SVG file as cairo writes it, which may also begin with <?xml ...?>, link with
 * xlink:href to ids of its own, and have style attributes. */
void asd_markup_check_file(const char *text, asd_markup_facts *out);

#endif
