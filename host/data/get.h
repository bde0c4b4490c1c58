/* get.h - DCASE Task 2 data sets from Zenodo: download, check, unpack, and skip what is there.
 *
 * A set's files, sizes and MD5 come from the record's JSON (BASE/api/records/ID) at run time. In
 * DIR/zip/NAME/ lie, per archive: KEY.part-XXXXXXXX while it is downloaded (X: from its MD5, so a
 * replaced archive never goes on from the old one's bytes), KEY once it is whole, KEY.done when it
 * is unpacked (MD5 and the list of its clips), KEY.bad when its MD5 was wrong. Unpacking goes to a
 * temporary folder beside the target and is moved into place at the end.
 */
#ifndef ASD_DATA_GET_H
#define ASD_DATA_GET_H

#include "data/get_http.h"

#include <limits.h>
#include <stdio.h>

typedef struct asd_get_set {
    const char *name;   /* "dcase2026-dev" */
    int64_t     record; /* Zenodo */
    const char *folder; /* below DIR, where the machine folders go */
    const char *text;
} asd_get_set;
extern const asd_get_set asd_get_sets[]; /* ends with name NULL */
/* ASD_E_USAGE with the nearest name. */
asd_status asd_get_find(const char *name, const asd_get_set **out);

/* One file of a record. */
typedef struct asd_get_file {
    char    key[200]; /* "dev_fan.zip": a plain file name */
    int64_t size;
    char    md5[33];
    char   *url;
} asd_get_file;

typedef struct asd_get_record {
    char          title[300];
    char          licence[80]; /* "" when the record names none */
    asd_get_file *file;        /* (n) */
    int64_t       n;
} asd_get_record;

/* json: the answer of BASE/api/records/ID. Links keep their path but go to base_url. Hostile input
 * is expected: ASD_E_DATA names what is missing or out of order. Call asd_get_record_clear on any
 * return. */
asd_status asd_get_record_parse(const char *json, size_t n, const char *base_url, int64_t id,
                                asd_get_record *out);
void       asd_get_record_clear(asd_get_record *r);
/* MD5 of a file. ASD_E_IO. */
asd_status asd_get_md5(const char *path, char hex[33]);

typedef struct asd_get_options {
    asd_http     http;
    const char  *base_url;   /* "https://zenodo.org" */
    char *const *machine;    /* (n_machines) only archives with one of these in their name */
    int64_t      n_machines; /* 0: all */
    int          keep_zip, dry_run, force;
} asd_get_options;

/* Results, one line an archive, go to `out`. Archives fail one by one: what is wrong with one is
 * said on stderr, the others go on, and the end is ASD_E_DATA. ASD_E_IO, ASD_E_STOPPED end it at
 * once; started again, it goes on. */
asd_status asd_get_run(const asd_get_set *set, const char *dir, const asd_get_options *options,
                       FILE *out);

#endif
