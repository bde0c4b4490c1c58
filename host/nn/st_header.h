/* st_header.h - the header of a safetensors file, checked: what both readers of that format share
 * (nn/safetensors.h for files of our own, nn/weights.h for those of others). The format is
 * described in nn/safetensors.h. */
#ifndef ASD_NN_ST_HEADER_H
#define ASD_NN_ST_HEADER_H

#include "base/status.h"

#include <jansson.h>
#include <stdint.h>

enum { ASD_ST_MAX_DIMS = 8 };

/* What a reader takes. */
typedef struct asd_st_rules {
    const char *const *dtype; /* (n_dtypes) names; NULL: none at this place */
    const size_t      *dtype_bytes;
    int                n_dtypes;
    const char        *want; /* "F32, BF16 or I16", for messages */
    int                max_dims;
} asd_st_rules;

typedef struct asd_st_field {
    const char *name;  /* the header's */
    int         dtype; /* index in the rules */
    int         n_dims;
    int64_t     dim[ASD_ST_MAX_DIMS];
    const char *data; /* aligned to nothing */
    size_t      bytes;
} asd_st_field;

typedef struct asd_st_header {
    asd_st_field *field; /* (n) sorted by data: they cover it without gap or overlap */
    int64_t       n;
    json_t       *root; /* owns the names */
} asd_st_header;

/* map: the whole file, which must outlive the result. path: for messages. ASD_E_DATA, ASD_E_OOM.
 * Call asd_st_header_clear on any return. */
asd_status asd_st_header_read(const char *path, const void *map, size_t map_bytes,
                              const asd_st_rules *rules, asd_st_header *out);
void       asd_st_header_clear(asd_st_header *h);

#endif
