/* checkpoint.h - fetching published weights and making sure that they are those.
 *
 * The list is checkpoints/manifest.def. A file arrives under a temporary name, goes on where an
 * earlier run was cut off, is checked, opened once as a checkpoint, and only then gets its name:
 * what lies in DIR under a manifest's name was verified, or was asked for with --allow-unverified.
 *
 * What verifies it, first that is known: the manifest's SHA-256; the MD5 of its Zenodo record. A
 * checkpoint with neither is refused unless `allow_unverified`; its SHA-256 is printed then, so
 * that it can be pinned by hand.
 */
#ifndef ASD_DATA_CHECKPOINT_H
#define ASD_DATA_CHECKPOINT_H

#include "data/get_http.h"

#include <stdio.h>

typedef struct asd_checkpoint {
    const char *name; /* "beats-iter3-plus" */
    const char *file; /* a plain file name */
    const char *architecture, *licence;
    int64_t     bytes;  /* 0: not known */
    const char *sha256; /* "": not known */
    int64_t     record; /* Zenodo; 0: not there */
    const char *origin;
} asd_checkpoint;

extern const asd_checkpoint asd_checkpoints[];                     /* ends with name NULL */
const asd_checkpoint       *asd_checkpoint_find(const char *name); /* NULL if absent */

typedef struct asd_checkpoint_options {
    asd_http    http;
    const char *base_url; /* "https://zenodo.org" */
    const char *url;      /* of this file: http://, https:// or file://; NULL or "": the record's */
    int         allow_unverified, dry_run, force;
} asd_checkpoint_options;

/* Fetches to DIR/FILE; one line of result goes to out. A good file that is there stays (with force
 * it is fetched anew). ASD_E_USAGE: no address is known, or nothing would verify it; ASD_E_DATA:
 * what came is not what was promised, or no checkpoint; ASD_E_IO, ASD_E_STOPPED. */
asd_status asd_checkpoint_get(const asd_checkpoint *c, const char *dir,
                              const asd_checkpoint_options *options, FILE *out);

#endif
