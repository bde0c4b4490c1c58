/* markup.c - see markup.h. */
#include "score/markup.h"

#include "base/utf8.h"

#include <string.h>

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

/* What XML 1.0 does not allow, or what would reorder or hide neighbouring text. */
static int is_unfit(uint32_t c)
{
    if (c < 0x20)
        return c != '\t' && c != '\n' && c != '\r';
    return (c >= 0x7f && c <= 0x9f) || (c >= 0x200b && c <= 0x200f) ||
           (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || c == 0xfeff ||
           (c & 0xfffe) == 0xfffe || (c >= 0xfdd0 && c <= 0xfdef);
}

/* The character at *s, or U+FFFD in its place; moves *s behind it. *length: bytes of the result. */
static const char *next_fit(const char **s, uint32_t *code, size_t *length)
{
    const char *at = *s;
    int         n  = asd_utf8_next(at, code);
    *s += n ? n : 1;
    *length = (size_t)n;
    if (n && !is_unfit(*code))
        return at;
    *code = 0xfffd, *length = strlen(REPLACEMENT);
    return REPLACEMENT;
}

void asd_markup_text(FILE *out, const char *text)
{
    for (const char *s = text; *s;) {
        uint32_t    code;
        size_t      length;
        const char *character = next_fit(&s, &code, &length);
        if (code == '&')
            fputs("&amp;", out);
        else if (code == '<')
            fputs("&lt;", out);
        else if (code == '>')
            fputs("&gt;", out);
        else if (code == '"')
            fputs("&quot;", out);
        else if (code == '\'')
            fputs("&#39;", out);
        else
            fwrite(character, 1, length, out);
    }
}

char *asd_clean_text(char *out, size_t size, const char *text)
{
    size_t n = 0;
    for (const char *s = text; *s;) {
        uint32_t    code;
        size_t      length;
        const char *character = next_fit(&s, &code, &length);
        if (n + length >= size)
            break;
        if (code < 0x20) /* tab and line ends: the only controls left */
            out[n] = ' ';
        else
            memcpy(out + n, character, length);
        n += length;
    }
    out[n] = 0;
    return out;
}
