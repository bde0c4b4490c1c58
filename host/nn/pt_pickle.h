/* pt_pickle.h - what a pickle of PyTorch describes, found without executing anything.
 *
 * A pickle is a program for a stack machine: GLOBAL names any function of Python, REDUCE calls it.
 * This machine knows a fixed list of opcodes and a fixed list of names (pt_globals.c), and makes a
 * tree of values out of them; nothing is looked up, imported or called.
 *   - Names of the list that make tensors, storages, dictionaries become such values.
 *   - Other classes that are only made and filled (NEWOBJ, BUILD) become inert records: their name
 *     and their attributes, no behaviour. So do the few that REDUCE makes in files of fairseq.
 *   - Whatever else a pickle would call, and names of modules that reach the system or the
 *     interpreter, are refused by name (ASD_E_DATA).
 * Opcodes: protocol 2 as PyTorch writes it, and those of protocols 3 and 4 that other writers use.
 * Limits: MAX values below. Every value costs its file a byte or more, so memory is bounded by the
 * file's length, not by its claims.
 *
 * Texts and bytes are not copied: they point into the pickle, which must outlive the values.
 */
#ifndef ASD_NN_PT_PICKLE_H
#define ASD_NN_PT_PICKLE_H

#include "nn/weights.h"

enum {
    ASD_PT_MAX_VALUES   = 1 << 21,
    ASD_PT_MAX_STACK    = 1 << 18, /* open marks, and values that nothing took yet */
    ASD_PT_MAX_MEMO     = 1 << 21,
    ASD_PT_MAX_TEXT     = 1 << 24, /* bytes of one text */
    ASD_PT_MAX_STORAGES = 1 << 16,
};

typedef enum asd_pt_kind {
    ASD_PT_NONE,
    ASD_PT_BOOL,
    ASD_PT_INT,
    ASD_PT_BIGINT, /* two's complement, little-endian, in text */
    ASD_PT_FLOAT,
    ASD_PT_TEXT,
    ASD_PT_BYTES,
    ASD_PT_TUPLE,
    ASD_PT_LIST,
    ASD_PT_SET,
    ASD_PT_DICT,   /* items: key, value, key, value, ... */
    ASD_PT_GLOBAL, /* text: the module; name */
    ASD_PT_RECORD, /* text and name as GLOBAL; items as DICT */
    ASD_PT_STORAGE,
    ASD_PT_TENSOR, /* items: storage, offset, size, stride */
    ASD_PT_N_KINDS
} asd_pt_kind;

/* What a persistent id says of a storage. One for each key of a file. */
typedef struct asd_pt_storage {
    const char *key; /* (key_bytes) */
    size_t      key_bytes;
    asd_wdtype  dtype;
    int64_t     n; /* elements claimed */
    /* Filled by the container: */
    const unsigned char *data;
    int                  found;
} asd_pt_storage;

typedef struct asd_pt_value {
    asd_pt_kind kind;
    const char *text; /* TEXT, BYTES, BIGINT, GLOBAL, RECORD: (bytes), no terminating 0 */
    size_t      bytes;
    const char *name; /* GLOBAL, RECORD: (name_bytes) */
    size_t      name_bytes;
    union {
        int64_t integer; /* INT, BOOL; STORAGE: index of asd_pt_storage */
        double  real;
    };
    int32_t *item; /* (n_items) indices of values */
    int32_t  n_items, room;
    int64_t  view_from, view_n; /* STORAGE: the part of it that is meant, elements */
} asd_pt_value;

typedef struct asd_pt_pickle {
    const char     *path; /* the caller's, for messages */
    asd_pt_value   *value;
    int64_t         n_values, values_room;
    asd_pt_storage *storage; /* (n_storages) in order of appearance */
    int64_t         n_storages, storages_room;
    int32_t *bucket; /* (ASD_PT_MAX_STORAGES * 2) storage of a key's hash, -1; NULL if none */
    int32_t  root;   /* the value that the pickle leaves */
} asd_pt_pickle;

/* Reads one pickle from `bytes` at *at and moves *at behind its STOP. path: for messages. Call
 * asd_pt_pickle_close on any return. ASD_E_DATA, ASD_E_OOM. */
asd_status asd_pt_pickle_read(const char *path, const void *bytes, size_t n, size_t *at,
                              asd_pt_pickle *out);
void       asd_pt_pickle_close(asd_pt_pickle *p);

const char *asd_pt_kind_name(asd_pt_kind k); /* "a tuple" */
/* 1 if a text is this word. */
int asd_pt_is(const char *text, size_t bytes, const char *word);
/* NULL if no persistent id has this key. */
asd_pt_storage *asd_pt_find_storage(const asd_pt_pickle *p, const char *key, size_t key_bytes);

/* --- between pt_pickle.c and pt_globals.c: values are indices, because the array grows --- */

asd_status asd_pt_new(asd_pt_pickle *p, asd_pt_kind kind, int32_t *out);
asd_status asd_pt_append(asd_pt_pickle *p, int32_t to, int32_t item);
/* Appends all items of `from`. */
asd_status asd_pt_append_all(asd_pt_pickle *p, int32_t to, int32_t from);
/* Refuses a global that no checkpoint has a reason to name. */
asd_status asd_pt_check_global(const asd_pt_pickle *p, int32_t global);
/* What calling the global with a tuple of arguments would give. */
asd_status asd_pt_reduce(asd_pt_pickle *p, int32_t global, int32_t args, int32_t *out);
/* What global.__new__(global, *args) would give. */
asd_status asd_pt_make_object(asd_pt_pickle *p, int32_t global, int32_t args, int32_t *out);
/* What a persistent id stands for. */
asd_status asd_pt_persistent(asd_pt_pickle *p, int32_t id, int32_t *out);

#endif
