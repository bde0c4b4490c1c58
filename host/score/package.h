/* package.h - a zip file held in memory: written atomically and the same for the same content, read
 * with limits.
 */
#ifndef ASD_SCORE_PACKAGE_H
#define ASD_SCORE_PACKAGE_H

#include "base/status.h"

#include <stdint.h>

typedef struct asd_package_file {
    char  *name; /* path inside the zip, '/' between folders */
    char  *data; /* (size) and a 0 behind */
    size_t size;
} asd_package_file;

typedef struct asd_package {
    asd_package_file *file; /* (n) sorted by name once read or written */
    int64_t           n;
} asd_package;

/* Copies. */
asd_status asd_package_add(asd_package *p, const char *name, const void *data, size_t size);
const asd_package_file *asd_package_find(const asd_package *p, const char *name);
/* Equal content gives equal bytes: sorted names, one fixed time stamp. Needs at least one file. */
asd_status asd_package_write(asd_package *p, const char *path);
/* ASD_E_DATA: not a zip, damaged, encrypted, a name twice, more than 4,096 files or 256 MiB.
 * Folders are left out. Clear after any return. */
asd_status asd_package_read(const char *path, asd_package *out);
void       asd_package_clear(asd_package *p);

#endif
