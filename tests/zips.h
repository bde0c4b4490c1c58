/* zips.h - zip archives for tests, good and bad. Included by test_get.c and test_zip.c. */
#ifndef ASD_TESTS_ZIPS_H
#define ASD_TESTS_ZIPS_H

#include "base/file.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zip.h>

typedef struct entry {
    const char *name; /* ends with '/': a folder */
    const char *data;
    size_t      size;
    unsigned    mode; /* Unix file type, 0 for none given */
} entry;

/* Writes the archive to path and returns its bytes, which the caller frees. */
static char *make_zip(const char *path, const entry *e, int n, size_t *size)
{
    zip_t *z = zip_open(path, ZIP_CREATE | ZIP_TRUNCATE, NULL);
    char  *bytes;
    assert_non_null(z);
    for (int i = 0; i < n; ++i) {
        zip_int64_t at;
        if (e[i].name[strlen(e[i].name) - 1] == '/') {
            at = zip_dir_add(z, e[i].name, ZIP_FL_ENC_UTF_8);
        } else {
            zip_source_t *s = zip_source_buffer(z, e[i].data, e[i].size, 0);
            assert_non_null(s);
            at = zip_file_add(z, e[i].name, s, ZIP_FL_ENC_UTF_8);
        }
        assert_true(at >= 0);
        if (e[i].mode)
            assert_int_equal(zip_file_set_external_attributes(z, (zip_uint64_t)at, 0,
                                                              ZIP_OPSYS_UNIX, e[i].mode << 16),
                             0);
    }
    assert_int_equal(zip_close(z), 0);
    assert_ok(asd_read_file(path, 1 << 26, &bytes, size));
    return bytes;
}

/* Replaces every occurrence of `from` by `to`, which is as long. Returns how many there were. */
static inline int patch(char *bytes, size_t size, const char *from, const char *to)
{
    const size_t n     = strlen(from);
    int          count = 0;
    for (size_t i = 0; i + n <= size; ++i)
        if (!memcmp(bytes + i, from, n)) {
            memcpy(bytes + i, to, n);
            ++count;
        }
    return count;
}

#endif
