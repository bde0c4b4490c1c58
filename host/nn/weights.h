/* weights.h - the tensors and the configuration of a checkpoint that somebody else made: PyTorch's
 * zip form, PyTorch's legacy form, safetensors.
 *
 * The file is mapped, never copied, and nothing in it is executed: a pickle is read by a machine
 * with a fixed list of opcodes that knows a fixed list of names (nn/pt_pickle.h). Files are
 * hostile: every length, offset, shape, stride and checksum is checked before use, and no memory is
 * taken on the word of a header. What is refused is ASD_E_DATA, with the file, what was found and
 * what was wanted.
 *
 * Names. A checkpoint is a dictionary of dictionaries. A tensor is called as the innermost one
 * calls it, `where` is the path of the dictionaries around it, joined by '.':
 *   {"model": {"fc1.weight": T, "_ema": {"fc1.weight": U}}}
 *     T: name "fc1.weight", where "model"        U: name "fc1.weight", where "model._ema"
 * The state dictionary, `root`, is the one that a loader means: the outermost if it holds tensors
 * itself, else "model", else "state_dict", else the first that holds a tensor. asd_weights_find
 * looks there and nowhere else.
 *
 * Numbers, texts and None beside the tensors are `meta`, keys joined by '.': "cfg.encoder_layers".
 * True and False are 1 and 0; elements of lists have their index as key. For safetensors: the pairs
 * of "__metadata__".
 *
 * Ownership: asd_weights owns all; tensors point into the mapped file and live as long as it, or as
 * whoever took the mapping (asd_weights_take_map). A file that is mapped must not be written to:
 * one that another process cuts short ends this one (SIGBUS), as with every mapping. To replace it
 * by a rename, or to remove it, is harmless.
 */
#ifndef ASD_NN_WEIGHTS_H
#define ASD_NN_WEIGHTS_H

#include "base/status.h"

#include <stdint.h>

typedef enum asd_wdtype {
    ASD_W_F32,
    ASD_W_F64,
    ASD_W_F16,
    ASD_W_BF16,
    ASD_W_I64,
    ASD_W_I32,
    ASD_W_I16,
    ASD_W_I8,
    ASD_W_U8,
    ASD_W_BOOL,
    ASD_N_WDTYPES
} asd_wdtype;

const char *asd_wdtype_name(asd_wdtype t);  /* "F32", as safetensors spells them */
size_t      asd_wdtype_bytes(asd_wdtype t); /* of an element */

enum { ASD_W_MAX_DIMS = 8 };

typedef struct asd_weight {
    char       *name;  /* UTF-8, never empty, no control characters */
    char       *where; /* "" for the outermost dictionary */
    asd_wdtype  dtype;
    int         n_dims; /* 0: one element */
    int64_t     dim[ASD_W_MAX_DIMS];
    int64_t     stride[ASD_W_MAX_DIMS]; /* elements, never negative; C order or not */
    const void *data;                   /* first element, little-endian, aligned to nothing */
    size_t      storage_bytes_left;     /* from data to the end of its storage */
} asd_weight;

typedef enum asd_meta_kind { ASD_META_TEXT, ASD_META_NUMBER, ASD_META_NONE } asd_meta_kind;

typedef struct asd_weights_meta {
    char         *key;
    asd_meta_kind kind;
    char         *text; /* NULL unless a text */
    double        number;
} asd_weights_meta;

typedef struct asd_weights {
    char             *path;
    const char       *format; /* "pytorch zip", "pytorch legacy", "safetensors" */
    const char       *root;   /* `where` of the state dictionary; one of tensor's */
    asd_weight       *tensor; /* (n) in the file's order */
    int64_t           n;
    asd_weights_meta *meta; /* (n_meta) sorted by key */
    int64_t           n_meta;

    int64_t *by_name; /* (n) indices of tensor, sorted by name, then where */
    void    *map;     /* NULL: not ours */
    size_t   map_bytes;
} asd_weights;

/* Opens a checkpoint; what it is, its first bytes say. The checksums of a zip form are checked, so
 * every byte is read once. ASD_E_DATA: missing, damaged, hostile, or of a kind that is not read
 * (TorchScript, tar, big-endian, compressed); ASD_E_IO; ASD_E_OOM. Call asd_weights_close on any
 * return. */
asd_status asd_weights_open(const char *path, asd_weights *out);
void       asd_weights_close(asd_weights *w);
/* The mapping of the file, from now on the caller's: tensors live until the caller unmaps its
 * (map_bytes) bytes, even after asd_weights_close. Once. */
void *asd_weights_take_map(asd_weights *w);

/* In the state dictionary; NULL if absent. */
const asd_weight *asd_weights_find(const asd_weights *w, const char *name);
const asd_weight *asd_weights_find_in(const asd_weights *w, const char *where, const char *name);

int64_t asd_weight_count(const asd_weight *t); /* elements: 1 for n_dims 0 */
int     asd_weight_is_c_order(const asd_weight *t);
/* "[768,512]" into to (size bytes); returns to. */
const char *asd_weight_shape_text(const asd_weight *t, char *to, size_t size);

/* Copies a tensor to fp32 in C order, asd_weight_count(t) elements, from any strides and dtype;
 * what fp32 cannot hold is rounded to nearest. ASD_E_DATA naming file and tensor when a value is
 * not finite. */
asd_status asd_weight_read(const asd_weights *w, const asd_weight *t, float *to);
/* The elements in the mapped file, when they are fp32, in C order and aligned as floats are; else
 * NULL. Whoever uses them in place of asd_weight_read checks them: ASD_E_DATA as there. */
const float *asd_weight_mapped(const asd_weight *t);
asd_status   asd_weight_check(const asd_weights *w, const asd_weight *t);

/* 1 if there and a number. */
int asd_weights_number(const asd_weights *w, const char *key, double *value);
/* NULL if absent or not a text. */
const char *asd_weights_text(const asd_weights *w, const char *key);

/* SHA-256 of the file: of one that is open (before its map is taken), of the very bytes that are
 * mapped; or by its name. ASD_E_DATA when it is missing. */
asd_status asd_weights_sha256(const asd_weights *w, char hex[65]);
asd_status asd_weights_hash(const char *path, char hex[65]);

#endif
