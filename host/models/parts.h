/* parts.h - what the files of the encoders share: the kinds' functions, and recording with the
 * description at hand. */
#ifndef ASD_MODELS_PARTS_H
#define ASD_MODELS_PARTS_H

#include "models/encoder.h"
#include "nn/weights.h"

/* --- a checkpoint by core names --- */

struct encoder_kind;

/* A file's tensors under the names of the original network: wrappers' prefixes are gone, and what
 * belongs to no encoder (teachers, decoders, tables) is left out. */
typedef struct encoder_file {
    const asd_weights *w;
    char             **core; /* (w->n) NULL: not the encoder's */
} encoder_file;

asd_status encoder_file_open(const asd_weights *w, const struct encoder_kind *k, encoder_file *f);
void       encoder_file_close(encoder_file *f);
/* Gives back the memory of the file's pages, which its checksums have all read. */
void              encoder_file_rest(const encoder_file *f);
const asd_weight *encoder_file_find(const encoder_file *f, const char *core);

/* One tensor of a file and where it goes. */
enum { NAME_TRANSPOSED = 1, NAME_OPTIONAL = 2, NAME_SAME = 4, NAME_SHORT = 8 };
typedef struct encoder_name {
    char    core[96], other[96]; /* other: newer spelling, or "" */
    char    param[64];
    int     n_dims;
    int64_t dim[4];
    int     part, parts; /* of the parameter's first axis */
    int     flags; /* TRANSPOSED: the file has (C, rows), the parameter (rows, C). SAME: several
                    * tensors fill one parameter and must be equal. SHORT: the file may have
                    * fewer rows (axis 1), the first ones */
} encoder_name;

typedef struct encoder_names {
    encoder_name *name;
    int           n, room;
    int           failed; /* out of memory: entries go to scratch */
    encoder_name  scratch;
} encoder_names;

void encoder_names_free(encoder_names *l);

/* The new entry, to be changed; a scratch entry after `failed`. */
encoder_name *encoder_names_add(encoder_names *l, const char *param, int n_dims, const int64_t *dim,
                                const char *core_format, ...) __attribute__((format(printf, 5, 6)));
/* NAME.weight and NAME.bias of a linear layer (out, in), and of a norm (n). */
void encoder_names_linear(encoder_names *l, const char *param, int64_t out, int64_t in,
                          const char *core);
void encoder_names_norm(encoder_names *l, const char *param, int64_t n, const char *core);

/* A block as EAT, SSLAM and Dasheng call its layers. */
void encoder_names_vit_block(encoder_names *l, const asd_encoder_desc *d, int i);

typedef struct encoder_kind {
    void (*defaults)(asd_encoder_desc *d, int tiny);
    const char *anchor;  /* a tensor that only this family has: finds kind and prefix */
    const char *wrapper; /* what may stand before the anchor, but not before all; or NULL */
    /* Core name of a tensor behind the prefix, or NULL to leave it out; may use buffer. */
    const char *(*core)(const char *name, char buffer[256]);
    /* Sizes from the file; d has the defaults. */
    asd_status (*describe)(const encoder_file *f, asd_encoder_desc *d);
    void (*names)(const asd_encoder_desc *d, encoder_names *l);
} encoder_kind;

#define ENCODER(name, family, what) extern const encoder_kind encoder_kind_##family;
#include "models/models.def"
#undef ENCODER

const encoder_kind *encoder_kind_find(const char *name); /* NULL if unknown */

/* Size of a file's tensor along an axis, for describe(). ASD_E_DATA when it is not there. */
asd_status encoder_file_dim(const encoder_file *f, const char *core, int axis, int64_t *out);
/* One more than the largest i of a tensor "BEFORE<i>...", so that what blocks on the way lack is
 * missing by its name; at most ASD_ENCODER_MAX_DEPTH + 1. */
int encoder_file_depth(const encoder_file *f, const char *before);

/* --- the encoder --- */

struct asd_encoder {
    asd_encoder_desc d;
    asd_params       params;
    char             hash[512], key[1280];
    int              planned; /* weights may not change any more */
    uint64_t         seed;
};

/* ASD_E_DATA when the description is larger than the file. */
asd_status encoder_check_claims(const encoder_file *f, const asd_encoder_desc *d);
/* Allocates e->params and fills them from a file, strictly. Values that need no copy are mapped:
 * whoever has the file must then keep it as long as e. */
asd_status encoder_load(asd_encoder *e, const encoder_file *f);
/* Where the first element of n is in the parameters' blocks: not of a mapped parameter. */
float *encoder_place(const asd_params *p, const encoder_name *n);
/* Copies a tensor in the file's layout there; rows: of a NAME_SHORT tensor. */
void encoder_put(const asd_params *p, const encoder_name *n, const float *data, int64_t count);
void encoder_make_key(asd_encoder *e);
/* The front-end's settings, record.c. frames: of the op's attribute. */
asd_fbank_attr encoder_fbank_attr(const asd_encoder_desc *d, int64_t frames);
asd_meldb_attr encoder_meldb_attr(const asd_encoder_desc *d, int64_t frames);
/* What every random or missing table is set to: EAT's places. Nothing to do for a mapped table. */
void encoder_fill_places(asd_encoder *e);

/* --- recording --- */

typedef struct encoder_tape {
    asd_tape               *t;
    const asd_encoder_desc *d;
    int                     bf16;
} encoder_tape;

/* NAME as the tape's parameter, or as a constant where the description is frozen. */
asd_val encoder_param(const encoder_tape *e, const char *name, asd_shape shape, asd_init init,
                      int64_t fan_in);
asd_val encoder_linear(const encoder_tape *e, asd_val x, const char *name, int64_t out, int bias);
asd_val encoder_norm(const encoder_tape *e, asd_val x, asd_val residual, float alpha,
                     const char *name, float eps);
asd_val encoder_cast(const encoder_tape *e, asd_val x, asd_dtype to, float grad_scale);
/* x: (B, P, dim) -> the same. lengths: (B) or ASD_NO_VAL. rel_table: (buckets, heads) or ASD_NO_VAL
 */
asd_val encoder_block(const encoder_tape *e, asd_val x, int index, asd_val lengths,
                      asd_val rel_table);

#endif
