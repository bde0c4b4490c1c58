/* weights_map.h - from the names of a checkpoint to the parameters of a network, strictly.
 *
 * A table of rules says where each tensor of the state dictionary goes; the first rule whose
 * pattern fits a name decides. Nothing is loaded by halves: parameters that no tensor fills,
 * tensors that no rule knows, and shapes that do not fit are all counted, and listed in one message
 * (the first ten of each), before anything is written.
 *
 *   static const asd_weights_rule rule[] = {
 *       {"encoder.layers.*.self_attn.q_proj.**", "layer.*.qkv.**", 0, 0, 3},
 *       {"encoder.layers.*.self_attn.k_proj.**", "layer.*.qkv.**", 0, 1, 3},
 *       {"encoder.layers.*.self_attn.v_proj.**", "layer.*.qkv.**", 0, 2, 3},
 *       {"patch_embedding.weight",               "patch.weight", ASD_MAP_FLAT, 0, 0},
 *       {"predictor.**",                         NULL, 0, 0, 0},
 *   };
 *
 * Patterns: `*` stands for one or more characters without '.', `**` for one or more of any; the
 * text that the k-th of them stands for replaces the k-th of `to`.
 *
 * Shapes: dimensions of 1 count on neither side, so (1,12,1,1) fits (12); with that, they must be
 * equal, unless a flag says more. A parameter that several tensors name (a table that each layer
 * holds) must get the same bits from each.
 */
#ifndef ASD_NN_WEIGHTS_MAP_H
#define ASD_NN_WEIGHTS_MAP_H

#include "nn/params.h"
#include "nn/weights.h"

enum {
    ASD_MAP_FLAT      = 1, /* (O, I, h, w) fits (O, I h w): a convolution seen as a product */
    ASD_MAP_TRANSPOSE = 2, /* the tensor is (C, R), the parameter (R, C) */
    ASD_MAP_FIRST     = 4, /* the tensor may have more rows: the first ones are taken */
};

typedef struct asd_weights_rule {
    const char *from;  /* pattern of the tensor's name */
    const char *to;    /* the parameter's name; NULL: known, and not needed */
    int         how;   /* ASD_MAP_* */
    int         part;  /* the tensor is block `part` of the parameter's rows, ... */
    int         parts; /* ... cut into `parts` equal ones; 0: it is the whole. At most 31 */
} asd_weights_rule;

typedef struct asd_weights_map {
    const char *prefix; /* taken off names that begin with it, before the rules; or NULL */
    const asd_weights_rule *rule; /* (n_rules) */
    int                     n_rules;
    const char *const      *fills; /* patterns of the parameters that the file must fill, ends with
                                    * NULL; NULL: all */
    const char *const *leaves;     /* patterns of those that it need not (adapters); or NULL */
} asd_weights_map;

/* Fills values (and state) of an allocated store on the host. ASD_E_DATA: the message above, a
 * value that is not finite, or copies that differ; ASD_E_OOM. On failure some values may be
 * written. */
asd_status asd_weights_load(const asd_weights *w, const asd_weights_map *map, asd_params *p);

/* The first of `prefixes` (ends with NULL) with which prefix + name is in the state dictionary, or
 * NULL. {"", "model.", NULL} */
const char *asd_weights_prefix(const asd_weights *w, const char *name, const char *const *prefixes);

/* The name that a rule makes of another, for tests and messages: 1 when the pattern fits; to
 * (size bytes) is then `rule->to` filled in, or "" when that is NULL. */
int asd_weights_rename(const asd_weights_rule *rule, const char *name, char *to, size_t size);

#endif
