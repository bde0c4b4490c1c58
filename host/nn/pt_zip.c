/* pt_zip.c - see pt_zip.h. Offsets are checked against the bytes that are there by subtraction
 * only: a sum of two numbers of a hostile file may wrap around. */
#include "nn/pt_zip.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* APPNOTE 4.3.7, 4.3.12, 4.3.14 to 4.3.16: signatures and lengths of the fixed parts. */
enum { LOCAL = 0x04034b50, CENTRAL = 0x02014b50, END = 0x06054b50 };
enum { END64 = 0x06064b50, LOCATOR64 = 0x07064b50 };
enum { LOCAL_BYTES = 30, CENTRAL_BYTES = 46, END_BYTES = 22, END64_BYTES = 56, LOCATOR_BYTES = 20 };
enum { MAX_COMMENT = 65535, MAX_NAME = 1024, SENTINEL16 = 0xffff, EXTRA_ZIP64 = 1 };
/* Bits of the flags: encrypted, patched, strongly encrypted, hidden headers. */
enum { FLAGS_REFUSED = 1 | 1 << 5 | 1 << 6 | 1 << 13 };
static const uint32_t SENTINEL32 = 0xffffffff;

typedef struct archive {
    const char          *path;
    const unsigned char *at;
    uint64_t             bytes;
    uint64_t             directory, directory_bytes, members;
} archive;

static uint64_t le(const unsigned char *p, int n)
{
    uint64_t v = 0;
    for (int i = n; i-- > 0;)
        v = v << 8 | p[i];
    return v;
}

/* --- the end of the archive --- */

/* The record whose comment ends where the file ends. */
static asd_status find_end(const archive *a, uint64_t *end)
{
    const uint64_t most = END_BYTES + MAX_COMMENT;
    for (uint64_t back = END_BYTES; back <= most && back <= a->bytes; ++back) {
        const unsigned char *p = a->at + (a->bytes - back);
        if (le(p, 4) == END && le(p + 20, 2) == back - END_BYTES) {
            *end = a->bytes - back;
            return ASD_OK;
        }
    }
    return ASD_FAIL(ASD_E_DATA,
                    "%s: begins as a zip archive, but no directory ends its %" PRIu64
                    " bytes: cut short?",
                    a->path, a->bytes);
}

static int has_end64(const archive *a, uint64_t end)
{
    return end >= LOCATOR_BYTES && le(a->at + end - LOCATOR_BYTES, 4) == LOCATOR64;
}

/* Zip64's record, to which the locator in front of the end record points; *end moves to it. PyTorch
 * always writes one. Numbers that the end record itself has room for must be the same. */
static asd_status read_end64(archive *a, uint64_t *end)
{
    const uint64_t at = le(a->at + *end - LOCATOR_BYTES + 8, 8), limit = *end - LOCATOR_BYTES;
    if (limit < END64_BYTES || at != limit - END64_BYTES || le(a->at + at, 4) != END64)
        return ASD_FAIL(ASD_E_DATA,
                        "%s: no zip64 record at %" PRIu64 ", where its locator points: want it "
                        "directly before",
                        a->path, at);
    const unsigned char *p       = a->at + at;
    const uint64_t       members = le(p + 32, 8), bytes = le(p + 40, 8), from = le(p + 48, 8);
    if (le(p + 16, 4) || le(p + 20, 4) || le(p + 24, 8) != members)
        return ASD_FAIL(ASD_E_DATA, "%s: an archive in several parts", a->path);
    if ((a->members != SENTINEL16 && a->members != members) ||
        (a->directory_bytes != SENTINEL32 && a->directory_bytes != bytes) ||
        (a->directory != SENTINEL32 && a->directory != from))
        return ASD_FAIL(ASD_E_DATA,
                        "%s: %" PRIu64 " members at %" PRIu64 " by zip64, %" PRIu64 " at %" PRIu64
                        " by the end record",
                        a->path, members, from, a->members, a->directory);
    a->members         = members;
    a->directory_bytes = bytes;
    a->directory       = from;
    *end               = at;
    return ASD_OK;
}

static asd_status read_end(archive *a)
{
    uint64_t end = 0;
    ASD_TRY(find_end(a, &end));
    const unsigned char *p = a->at + end;
    a->members             = le(p + 10, 2);
    a->directory_bytes     = le(p + 12, 4);
    a->directory           = le(p + 16, 4);
    if (le(p + 4, 2) || le(p + 6, 2) || le(p + 8, 2) != a->members)
        return ASD_FAIL(ASD_E_DATA, "%s: an archive in several parts", a->path);
    if (has_end64(a, end))
        ASD_TRY(read_end64(a, &end));
    if (a->directory > end || a->directory_bytes != end - a->directory)
        return ASD_FAIL(ASD_E_DATA,
                        "%s: zip directory of %" PRIu64 " bytes at %" PRIu64
                        ", want it to end at %" PRIu64,
                        a->path, a->directory_bytes, a->directory, end);
    if (a->members > a->directory_bytes / CENTRAL_BYTES)
        return ASD_FAIL(ASD_E_DATA,
                        "%s: %" PRIu64 " members claimed by a zip directory of %" PRIu64 " bytes",
                        a->path, a->members, a->directory_bytes);
    return ASD_OK;
}

/* --- one member --- */

/* What stands at the sentinel 0xffffffff is in the extra field, in this order: size, packed size,
 * offset (APPNOTE 4.5.3). */
static asd_status read_extra64(const archive *a, const unsigned char *extra, uint64_t n,
                               uint64_t *const value[3], const char *name, int name_bytes)
{
    while (n >= 4) {
        const uint64_t id = le(extra, 2), length = le(extra + 2, 2);
        if (length > n - 4)
            break;
        if (id == EXTRA_ZIP64) {
            uint64_t at = 0;
            for (int i = 0; i < 3; ++i)
                if (*value[i] == SENTINEL32) {
                    if (length - at < 8)
                        break;
                    *value[i] = le(extra + 4 + at, 8);
                    at += 8;
                }
            return ASD_OK; /* a sentinel that stays is refused as a range outside the file */
        }
        extra += 4 + length;
        n -= 4 + length;
    }
    return ASD_FAIL(ASD_E_DATA, "%s: member %.*s: zip64 sizes are missing", a->path, name_bytes,
                    name);
}

static int good_name(const unsigned char *s, uint64_t n)
{
    if (n == 0 || n > MAX_NAME)
        return 0;
    for (uint64_t i = 0; i < n; ++i)
        if (s[i] < 0x20 || s[i] == 0x7f)
            return 0;
    return 1;
}

/* The local header must say the same; the payload lies behind it. */
static asd_status place(const archive *a, uint64_t from, asd_pt_member *m)
{
    const int name_bytes = (int)m->name_bytes;
    if (from > a->directory || a->directory - from < LOCAL_BYTES || le(a->at + from, 4) != LOCAL)
        return ASD_FAIL(ASD_E_DATA, "%s: member %.*s: no header at %" PRIu64 " of %" PRIu64,
                        a->path, name_bytes, m->name, from, a->directory);
    const unsigned char *p    = a->at + from;
    const uint64_t       head = LOCAL_BYTES + le(p + 26, 2) + le(p + 28, 2);
    if (le(p + 26, 2) != m->name_bytes || a->directory - from < head ||
        memcmp(p + LOCAL_BYTES, m->name, m->name_bytes))
        return ASD_FAIL(ASD_E_DATA, "%s: member %.*s is called otherwise in its own header",
                        a->path, name_bytes, m->name);
    if (le(p + 8, 2) || (le(p + 6, 2) & FLAGS_REFUSED))
        return ASD_FAIL(ASD_E_DATA,
                        "%s: member %.*s: its own header says method %" PRIu64 ", flags 0x%" PRIx64
                        ", the directory stored and plain",
                        a->path, name_bytes, m->name, le(p + 8, 2), le(p + 6, 2));
    if (m->bytes > a->directory - from - head)
        return ASD_FAIL(ASD_E_DATA,
                        "%s: member %.*s claims %zu bytes, %" PRIu64
                        " are left before the directory",
                        a->path, name_bytes, m->name, m->bytes, a->directory - from - head);
    m->data = p + head;
    m->from = from;
    m->to   = from + head + m->bytes;
    return ASD_OK;
}

/* Reads the record at *at of the directory and moves on. */
static asd_status read_member(const archive *a, uint64_t *at, asd_pt_member *m)
{
    const uint64_t       left = a->directory + a->directory_bytes - *at;
    const unsigned char *p    = a->at + *at;
    if (left < CENTRAL_BYTES || le(p, 4) != CENTRAL)
        return ASD_FAIL(ASD_E_DATA, "%s: no zip directory record at %" PRIu64, a->path, *at);
    const uint64_t name = le(p + 28, 2), extra = le(p + 30, 2), comment = le(p + 32, 2);
    const uint64_t whole = CENTRAL_BYTES + name + extra + comment;
    if (left < whole || !good_name(p + CENTRAL_BYTES, name))
        return ASD_FAIL(ASD_E_DATA,
                        "%s: the zip directory record at %" PRIu64 " has a name of %" PRIu64
                        " bytes; want 1 to %d, without control characters, inside the directory",
                        a->path, *at, name, MAX_NAME);
    *m     = (asd_pt_member){.name = (const char *)p + CENTRAL_BYTES, .name_bytes = name};
    m->crc = (uint32_t)le(p + 16, 4);
    uint64_t       packed = le(p + 20, 4), size = le(p + 24, 4), from = le(p + 42, 4);
    const uint64_t flags = le(p + 8, 2), method = le(p + 10, 2);
    if (method)
        return ASD_FAIL(ASD_E_DATA,
                        "%s: member %.*s is compressed (method %" PRIu64 "); want it stored, as "
                        "PyTorch writes it",
                        a->path, (int)name, m->name, method);
    if (flags & FLAGS_REFUSED)
        return ASD_FAIL(ASD_E_DATA, "%s: member %.*s is encrypted or patched (flags 0x%" PRIx64 ")",
                        a->path, (int)name, m->name, flags);
    if (packed == SENTINEL32 || size == SENTINEL32 || from == SENTINEL32) {
        uint64_t *const value[3] = {&size, &packed, &from};
        ASD_TRY(read_extra64(a, p + CENTRAL_BYTES + name, extra, value, m->name, (int)name));
    }
    if (packed != size)
        return ASD_FAIL(ASD_E_DATA,
                        "%s: member %.*s: %" PRIu64 " bytes packed, %" PRIu64
                        " unpacked; want the same of a stored member",
                        a->path, (int)name, m->name, packed, size);
    m->bytes = (size_t)size;
    *at += whole;
    return place(a, from, m);
}

/* --- all members --- */

static int by_place(const void *a, const void *b)
{
    const asd_pt_member *x = a, *y = b;
    return x->from != y->from ? (x->from < y->from ? -1 : 1) : (x->to > y->to) - (x->to < y->to);
}

static int by_name(const void *a, const void *b)
{
    const asd_pt_member *x = a, *y = b;
    const size_t         n = x->name_bytes < y->name_bytes ? x->name_bytes : y->name_bytes;
    const int            c = memcmp(x->name, y->name, n);
    return c ? c : (x->name_bytes > y->name_bytes) - (x->name_bytes < y->name_bytes);
}

static asd_status check_members(asd_pt_zip *z)
{
    if (z->n == 0)
        return ASD_FAIL(ASD_E_DATA, "%s: a zip archive without members", z->path);
    qsort(z->member, (size_t)z->n, sizeof *z->member, by_place);
    for (int64_t i = 1; i < z->n; ++i) {
        const asd_pt_member *a = &z->member[i - 1], *b = &z->member[i];
        if (b->from < a->to)
            return ASD_FAIL(
                ASD_E_DATA, "%s: members %.*s (to %zu) and %.*s (from %zu) overlap in the file",
                z->path, (int)a->name_bytes, a->name, a->to, (int)b->name_bytes, b->name, b->from);
    }
    qsort(z->member, (size_t)z->n, sizeof *z->member, by_name);
    for (int64_t i = 1; i < z->n; ++i)
        if (!by_name(&z->member[i - 1], &z->member[i]))
            return ASD_FAIL(ASD_E_DATA, "%s: member %.*s twice", z->path,
                            (int)z->member[i].name_bytes, z->member[i].name);
    return ASD_OK;
}

asd_status asd_pt_zip_open(const char *path, const void *bytes, size_t n, asd_pt_zip *out)
{
    archive a = {.path = path, .at = bytes, .bytes = n};
    *out      = (asd_pt_zip){.path = path};
    ASD_TRY(read_end(&a));
    /* As many as the directory has room for: checked in read_end, so no claim is believed. */
    if (!(out->member = calloc((size_t)a.members + 1, sizeof *out->member)))
        return ASD_FAIL(ASD_E_OOM, "%s: no memory for %" PRIu64 " members", path, a.members);
    uint64_t at = a.directory;
    for (uint64_t i = 0; i < a.members; ++i, ++out->n)
        ASD_TRY(read_member(&a, &at, &out->member[i]));
    if (at != a.directory + a.directory_bytes)
        return ASD_FAIL(ASD_E_DATA, "%s: %" PRIu64 " bytes behind the last zip directory record",
                        path, a.directory + a.directory_bytes - at);
    return check_members(out);
}

void asd_pt_zip_close(asd_pt_zip *z)
{
    free(z->member);
    *z = (asd_pt_zip){.path = NULL};
}

const asd_pt_member *asd_pt_zip_find(const asd_pt_zip *z, const char *folder, size_t folder_bytes,
                                     const char *rest, size_t rest_bytes)
{
    char name[MAX_NAME];
    if (folder_bytes + rest_bytes > sizeof name)
        return NULL;
    memcpy(name, folder, folder_bytes);
    memcpy(name + folder_bytes, rest, rest_bytes);
    const asd_pt_member key = {.name = name, .name_bytes = folder_bytes + rest_bytes};
    return z->n ? bsearch(&key, z->member, (size_t)z->n, sizeof key, by_name) : NULL;
}

/* --- CRC-32 (APPNOTE 4.4.7: polynomial 0xedb88320, reflected), eight bytes a turn:
 *   table[k][b] = the CRC of byte b followed by k zero bytes --- */

static uint32_t crc32_of(const unsigned char *p, size_t n)
{
    uint32_t table[8][256], crc = ~0u;
    for (uint32_t b = 0; b < 256; ++b) {
        uint32_t c = b;
        for (int i = 0; i < 8; ++i)
            c = c & 1 ? c >> 1 ^ 0xedb88320u : c >> 1;
        table[0][b] = c;
    }
    for (int k = 1; k < 8; ++k)
        for (int b = 0; b < 256; ++b)
            table[k][b] = table[k - 1][b] >> 8 ^ table[0][table[k - 1][b] & 255];
    for (; n >= 8; n -= 8, p += 8) {
        const uint32_t low = crc ^ (uint32_t)le(p, 4);
        crc = table[7][low & 255] ^ table[6][low >> 8 & 255] ^ table[5][low >> 16 & 255] ^
              table[4][low >> 24] ^ table[3][p[4]] ^ table[2][p[5]] ^ table[1][p[6]] ^
              table[0][p[7]];
    }
    for (; n; --n, ++p)
        crc = crc >> 8 ^ table[0][(crc ^ *p) & 255];
    return ~crc;
}

asd_status asd_pt_zip_check(const asd_pt_zip *z, const asd_pt_member *m)
{
    const uint32_t crc = crc32_of(m->data, m->bytes);
    if (crc != m->crc)
        return ASD_FAIL(ASD_E_DATA,
                        "%s: member %.*s is damaged: CRC-32 %08" PRIx32 ", the directory says "
                        "%08" PRIx32,
                        z->path, (int)m->name_bytes, m->name, crc, m->crc);
    return ASD_OK;
}
