/* fuzz.h - what the fuzz targets share: libFuzzer calls one(bytes, n) millions of times, and a
 * parser must give back a result or an error, whatever they are. A broken rule aborts. */
#ifndef ASD_TESTS_FUZZ_H
#define ASD_TESTS_FUZZ_H

#include "base/status.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(rule)                                                                                 \
    do {                                                                                           \
        if (!(rule)) {                                                                             \
            fprintf(stderr, "%s:%d: broken: %s (%s)\n", __FILE__, __LINE__, #rule,                 \
                    asd_error_text());                                                             \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* The input as a file, for parsers that open one; its path is good until the next call. */
static inline const char *fuzz_file(const uint8_t *data, size_t size)
{
    static char path[64];
    static int  fd = -1;
    if (fd < 0)
        fd = memfd_create("fuzz", 0);
    MUST(fd >= 0 && !ftruncate(fd, 0) && pwrite(fd, data, size, 0) == (ssize_t)size);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return path;
}

/* The input as a text; caller frees. */
static inline char *fuzz_text(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    MUST(text);
    memcpy(text, data, size);
    text[size] = 0;
    return text;
}

#endif
