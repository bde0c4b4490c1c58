/* file.h - files that are complete or absent, and the few path helpers that everyone needs.
 *
 * An asd_outfile is written under a temporary name in the same folder, synced, and renamed over the
 * target in asd_outfile_commit; asd_outfile_abandon (or a crash) leaves the old file untouched.
 *
 *   asd_outfile f;
 *   ASD_TRY(asd_outfile_open(&f, path));
 *   fprintf(f.stream, ...);
 *   return asd_outfile_commit(&f);
 */
#ifndef ASD_BASE_FILE_H
#define ASD_BASE_FILE_H

#include "base/status.h"

#include <limits.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct asd_outfile {
    FILE *stream; /* NULL when closed */
    char  path[PATH_MAX];
    char  tmp[PATH_MAX];
} asd_outfile;

asd_status asd_outfile_open(asd_outfile *f, const char *path);
asd_status asd_outfile_commit(asd_outfile *f);  /* flush, fsync, rename, fsync of the folder */
void       asd_outfile_abandon(asd_outfile *f); /* remove the temporary file; safe after commit */

/* Removes what killed processes left of outfiles in this folder. The caller knows that nobody else
 * is writing there. */
asd_status asd_remove_unfinished(const char *folder);
asd_status asd_remove_unfinished_of(const char *path); /* of this one file alone */

/* Whole file into memory, with a terminating 0 not counted in *size. Free with free().
 * A file longer than max_bytes is ASD_E_DATA; a missing one ASD_E_DATA; other trouble ASD_E_IO. */
asd_status asd_read_file(const char *path, size_t max_bytes, char **data, size_t *size);
/* Whole file at once, atomically. */
asd_status asd_write_file(const char *path, const void *data, size_t size);

asd_status asd_make_folders(const char *path); /* mkdir -p */
asd_status asd_remove_tree(const char *path);  /* rm -rf; missing is fine */
int        asd_is_folder(const char *path);
int        asd_is_file(const char *path);
asd_status asd_sync_folder(const char *path); /* so that a rename in it is on disk */
/* printf into a path buffer of PATH_MAX bytes; ASD_E_IO when it does not fit. */
asd_status asd_path(char out[PATH_MAX], const char *format, ...)
    __attribute__((format(printf, 2, 3)));
const char *asd_base_name(const char *path); /* text after the last '/' */
/* "../share/x", seen from the folder of the running program's file, as a real path. ASD_E_DATA: not
 * there. This is how an unpacked bundle finds its own parts. */
asd_status asd_beside_program(char out[PATH_MAX], const char *relative);

/* Sorted names (strcmp order) of a folder's entries, without "." and "..". Free with
 * asd_names_free. */
typedef struct asd_names {
    char  **name;
    int64_t n;
} asd_names;
asd_status asd_list_folder(const char *path, asd_names *out);
void       asd_names_free(asd_names *names);

/* XXH3 128-bit as 32 hexadecimal digits: identity of audio, weights and configurations in our own
 * files. */
void       asd_hash_bytes(const void *data, size_t size, char hex[33]);
asd_status asd_hash_file(const char *path, char hex[33]);

#ifdef __cplusplus
}
#endif
#endif
