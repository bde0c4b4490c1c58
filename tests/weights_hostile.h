/* weights_hostile.h - archives and pickles made byte by byte, and the check that they are refused.
 * Included by the tests of hostile checkpoints after harness.h. */
#ifndef ASD_TESTS_WEIGHTS_HOSTILE_H
#define ASD_TESTS_WEIGHTS_HOSTILE_H

#include "nn/weights_parts.h"
#include "weights_writer.h"

/* --- an archive around a pickle --- */

typedef struct part {
    const char *name;
    const void *data;
    size_t      n;
} part;

static const char floats[64] = {0}; /* a storage of 16 */

/* In memory; caller frees. */
static inline char *archive_of(const part *p, int n_parts, size_t *n)
{
    char  *bytes = NULL;
    ww_zip z     = {.f = open_memstream(&bytes, n)};
    assert_non_null(z.f);
    for (int i = 0; i < n_parts; ++i)
        ww_member(&z, p[i].name, p[i].data, p[i].n);
    ww_end_zip(&z);
    assert_int_equal(fclose(z.f), 0);
    return bytes;
}

/* As asd_weights_open, with this text and the file's name in it. */
static inline void refuse_bytes(const char *bytes, size_t n, const char *message)
{
    asd_weights w;
    assert_fails(asd_weights_parse("h.pt", bytes, n, 1, &w), ASD_E_DATA, message);
    assert_true(asd_test_contains(asd_error_text(), "h.pt"));
    asd_weights_close(&w);
}

typedef struct bad {
    const char *bytes;
    size_t      n;
    const char *message;
} bad;
#define BAD(p, m)                                                                                  \
    {                                                                                              \
        p, sizeof(p) - 1, m                                                                        \
    }

/* Pieces of pickles of protocol 2. */
#define X(text, n) "X" n "\0\0\0" text
#define ONE(value) "\x80\2}" X("t", "\1") value "s."
#define STORE(type, key, count)                                                                    \
    "(" X("storage", "\7") "ctorch\n" type "\n" X(key, "\1") X("cpu", "\3") count "tQ"
#define TENSOR(storage, offset, size, stride)                                                      \
    ONE("ctorch._utils\n_rebuild_tensor_v2\n(" storage offset size stride "\x89}tR")
#define F16 STORE("FloatStorage", "0", "K\x10")

#endif
