/* markup.h - text that came from a file or a user, made safe to show. */
#ifndef ASD_SCORE_MARKUP_H
#define ASD_SCORE_MARKUP_H

#include <stddef.h>
#include <stdio.h>

/* Writes text so that it is safe as content and inside a quoted attribute, in HTML and in XML:
 * & < > " ' become entities. Bytes that are not UTF-8, control characters, and the invisible marks
 * that reorder the text around them become U+FFFD. */
void asd_markup_text(FILE *out, const char *text);
/* The same characters replaced, nothing escaped, and one line: white space becomes spaces. Cut at a
 * character's end to fit `size` (4 or more) bytes with the terminating 0. Returns out. */
char *asd_clean_text(char *out, size_t size, const char *text);

#endif
