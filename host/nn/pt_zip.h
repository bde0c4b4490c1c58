/* pt_zip.h - the members of an uncompressed zip archive that lies in memory: where each payload is.
 *
 * Strict, because the archive is hostile and its payloads are used in place: the directory must end
 * the file, every member must be stored (method 0), not encrypted, lie before the directory,
 * overlap no other and be called the same in both headers; no name comes twice. Sizes are the
 * central directory's (local ones may be zero: PyTorch streams them behind the payload). Zip64 is
 * read. Format: PKWARE APPNOTE.TXT 4.3.
 */
#ifndef ASD_NN_PT_ZIP_H
#define ASD_NN_PT_ZIP_H

#include "base/status.h"

#include <stdint.h>

typedef struct asd_pt_member {
    const char          *name; /* (name_bytes) in the archive, no terminating 0 */
    size_t               name_bytes;
    const unsigned char *data;
    size_t               bytes;
    uint32_t             crc;
    size_t               from, to; /* of the member, local header to end of payload */
} asd_pt_member;

typedef struct asd_pt_zip {
    const char    *path;   /* the caller's, for messages */
    asd_pt_member *member; /* (n) sorted by name */
    int64_t        n;
} asd_pt_zip;

/* path: for messages. The archive must outlive the result. ASD_E_DATA; ASD_E_OOM. Call
 * asd_pt_zip_close on any return. */
asd_status asd_pt_zip_open(const char *path, const void *archive, size_t bytes, asd_pt_zip *out);
void       asd_pt_zip_close(asd_pt_zip *z);

/* NULL if absent. The name is given in two parts: folder "archive", rest "data.pkl". */
const asd_pt_member *asd_pt_zip_find(const asd_pt_zip *z, const char *folder, size_t folder_bytes,
                                     const char *rest, size_t rest_bytes);
/* Compares the CRC-32 of a member's payload with the directory's. ASD_E_DATA. */
asd_status asd_pt_zip_check(const asd_pt_zip *z, const asd_pt_member *m);

#endif
