/* yaml.h - the part of YAML that recipes use, as a flat list of "dotted.key" -> value.
 *
 * Mappings, scalars, and lists of scalars. Anchors, aliases, tags, lists in lists, mappings in
 * lists, several documents and doubled keys are errors: recipes are pure data, and what cannot be
 * written cannot surprise (an alias cannot blow up what is not expanded). The text is hostile until
 * shown otherwise: size, depth, characters and counts are limited.
 */
#ifndef ASD_BASE_YAML_H
#define ASD_BASE_YAML_H

#include "base/status.h"

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ASD_YAML_MAX_BYTES ((size_t)256 << 10)

typedef enum asd_yaml_kind {
    ASD_YAML_NULL,   /* nothing, `null` or `~` */
    ASD_YAML_PLAIN,  /* a scalar without quotes */
    ASD_YAML_QUOTED, /* '...', "...", | or >: always a text */
    ASD_YAML_LIST,
    ASD_YAML_EMPTY_MAP, /* {}: a mapping with entries is flattened instead */
} asd_yaml_kind;

typedef struct asd_yaml_item {
    asd_yaml_kind kind; /* NULL, PLAIN or QUOTED */
    char         *text; /* NULL for kind NULL; UTF-8, owned */
    int           line, column;
} asd_yaml_item;

typedef struct asd_yaml_entry {
    char          *key;          /* "train.lr", owned */
    int            line, column; /* of the last part of the key, from 1; columns are characters */
    asd_yaml_item  value;        /* a list has no text, but a kind and a position */
    asd_yaml_item *item;         /* (n_items) of a list, owned */
    int64_t        n_items;
} asd_yaml_entry;

typedef struct asd_yaml {
    asd_yaml_entry *entry;
    int64_t         n;
} asd_yaml;

/* Reads `size` bytes, after which a NUL stands. root_key NULL: a file, whose root is a mapping, and
 * errors begin with "where:LINE:COLUMN". Otherwise: one value for that key, and errors begin with
 * `where` alone. Errors are ASD_E_CONFIG (or ASD_E_OOM); *out is then empty. */
asd_status asd_yaml_parse(const char *text, size_t size, const char *where, const char *root_key,
                          asd_yaml *out);
void       asd_yaml_clear(asd_yaml *y);

#ifdef __cplusplus
}
#endif
#endif
