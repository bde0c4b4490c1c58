/* zip_extract.h - unpack an archive that we do not trust.
 *
 * Before anything is written, every entry is checked; refused by name (ASD_E_DATA) are absolute
 * paths, "..", backslashes and drive letters, control characters, links and devices, encryption,
 * names that come twice or under a file, and archives that would become larger than max_bytes.
 * While unpacking, an entry may not be longer or shorter than declared, and its CRC must hold.
 */
#ifndef ASD_DATA_ZIP_EXTRACT_H
#define ASD_DATA_ZIP_EXTRACT_H

#include "base/status.h"

#include <stdint.h>

typedef struct asd_zip_file {
    char   *name; /* path inside the archive, '/' between folders */
    int64_t size;
} asd_zip_file;

/* The regular files of an archive, sorted by name. */
typedef struct asd_zip_list {
    asd_zip_file *file; /* (n) */
    int64_t       n;
    int64_t       bytes; /* of all */
} asd_zip_list;

/* Unpacks into `folder`, which exists and is empty. ASD_E_DATA: not a zip, truncated, damaged or
 * refused; ASD_E_IO: cannot write, or less room on the disk than the archive needs; ASD_E_STOPPED.
 * What was written before a failure stays: the caller removes the folder. Call asd_zip_list_clear
 * on any return. */
asd_status asd_zip_extract(const char *zip, const char *folder, int64_t max_bytes,
                           asd_zip_list *out);
void       asd_zip_list_clear(asd_zip_list *list);

/* ASD_E_IO when the disk of `folder` has less than `bytes` free; `what` begins the text. */
asd_status asd_check_room(const char *folder, int64_t bytes, const char *what);

#endif
