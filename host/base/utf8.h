/* utf8.h - reading UTF-8 strictly: no overlong forms, no surrogates, nothing above U+10FFFF. */
#ifndef ASD_BASE_UTF8_H
#define ASD_BASE_UTF8_H

#include <stdint.h>

/* Decodes the character at s (NUL-terminated) into *c. Returns its bytes, 1 to 4, or 0 if s does
 * not begin with a valid character. */
static inline int asd_utf8_next(const char *s, uint32_t *c)
{
    const unsigned char *u      = (const unsigned char *)s;
    const int            length = u[0] < 0x80   ? 1
                                  : u[0] < 0xc2 ? 0
                                  : u[0] < 0xe0 ? 2
                                  : u[0] < 0xf0 ? 3
                                  : u[0] < 0xf5 ? 4
                                                : 0;
    if (length <= 1) {
        *c = u[0];
        return length;
    }
    uint32_t v = u[0] & (0x7fu >> length);
    for (int i = 1; i < length; ++i) {
        if ((u[i] & 0xc0) != 0x80) /* also ends at the NUL */
            return 0;
        v = v << 6 | (u[i] & 0x3fu);
    }
    if ((length == 3 && (v < 0x800 || (v >= 0xd800 && v < 0xe000))) ||
        (length == 4 && (v < 0x10000 || v > 0x10ffff)))
        return 0;
    *c = v;
    return length;
}

static inline int asd_utf8_valid(const char *s)
{
    uint32_t c;
    for (int n; *s; s += n)
        if (!(n = asd_utf8_next(s, &c)))
            return 0;
    return 1;
}

/* Characters in s; an invalid byte counts as one. Used for columns, so wide glyphs are not known.
 */
static inline int64_t asd_utf8_length(const char *s)
{
    uint32_t c;
    int64_t  count = 0;
    for (int n; *s; s += n, ++count)
        if (!(n = asd_utf8_next(s, &c)))
            n = 1;
    return count;
}

#endif
