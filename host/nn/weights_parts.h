/* weights_parts.h - between the readers of the three formats and weights.c. */
#ifndef ASD_NN_WEIGHTS_PARTS_H
#define ASD_NN_WEIGHTS_PARTS_H

#include "nn/pt_pickle.h"
#include "nn/weights.h"

/* Limits on what a hostile file may make of a few bytes that it names often. */
enum {
    ASD_W_MAX_NAME       = 1024,     /* bytes of a name and of what is around it */
    ASD_W_MAX_NAME_BYTES = 64 << 20, /* of all names and texts */
    ASD_W_MAX_DEPTH      = 64,       /* dictionaries in dictionaries */
};

typedef struct asd_weights_builder {
    asd_weights *w;
    int64_t      tensors_room, meta_room;
    size_t       name_bytes;
} asd_weights_builder;

/* Copies name and where; the rest of t as it is. ASD_E_DATA for a name that is empty, too long or
 * holds control characters. */
asd_status asd_weights_add(asd_weights_builder *b, const asd_weight *t);
asd_status asd_weights_add_meta(asd_weights_builder *b, const char *key, asd_meta_kind kind,
                                const char *text, size_t text_bytes, double number);
/* Sorts, refuses what comes twice, finds the root. */
asd_status asd_weights_finish(asd_weights_builder *b);

/* The three readers: w has path, map, map_bytes. */
asd_status asd_weights_read_zip(asd_weights_builder *b, int check); /* check: the checksums */
asd_status asd_weights_read_legacy(asd_weights_builder *b);
asd_status asd_weights_read_safetensors(asd_weights_builder *b);

/* The tensors and the configuration of a pickle whose storages have been found. */
asd_status asd_weights_from_pickle(asd_weights_builder *b, const asd_pt_pickle *p);
/* Gives storage s its `bytes` bytes at data; they must be what it claims. */
asd_status asd_pt_give(const asd_pt_pickle *p, asd_pt_storage *s, const unsigned char *data,
                       uint64_t bytes);

/* The whole of asd_weights_open, for bytes that lie in memory (tests and fuzzing). check: compare
 * checksums. `bytes` must outlive the result. */
asd_status asd_weights_parse(const char *path, const void *bytes, size_t n, int check,
                             asd_weights *out);

#endif
