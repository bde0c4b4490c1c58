/* params.h - the named parameters of one network, in one block per family.
 *
 * A builder asks for parameters by name (nn/tape.h); the first build creates them, later builds
 * (other batch sizes, inference) find them again and only check the shape. asd_params_alloc then
 * lays out
 *   w, g, m, v  (n_trainable)   values, gradients, first and second moments
 *   state       (n_state)       running statistics: saved with the weights, touched by no optimiser
 * Every parameter starts on a 64-byte border; the padding stays zero.
 *
 * A value that lies in memory already, as floats in C order, need not be copied: asd_params_map,
 * before the allocation, gives the store its address instead of room in the host's block. Such a
 * value is only read (asd_params_peek); asd_params_own copies it for whoever must write. Nothing
 * that a plan writes may be mapped: no parameter that is trained, no running statistics.
 *
 * asd_params_to_gpu makes the whole blocks on a device, from where CUDA plans and optimisers take
 * them; the host's are then as old as the latest copy in either direction. Ownership: the store
 * owns all memory but that of mapped values, which must stay as it is until asd_params_clear; a
 * file's mapping the store can take over (asd_params_keep). Plans hold views, so the store must
 * outlive them, and the device the store's copy.
 */
#ifndef ASD_NN_PARAMS_H
#define ASD_NN_PARAMS_H

#include "cuda/gpu.h"
#include "kernels/op.h"

typedef enum asd_init {
    ASD_INIT_ZERO,
    ASD_INIT_ONE,
    ASD_INIT_FAN_IN, /* uniform in +-1/sqrt(fan_in): PyTorch's default for linear layers */
} asd_init;

typedef struct asd_param {
    char     *name;
    asd_shape shape;
    asd_init  init;
    int64_t   fan_in;
    int       trainable;
    int64_t   offset; /* first element in its block: of g, m, v, w16 and on a device always; of the
                       * host's w and state when no value is mapped */
    const float *mapped; /* where the value lies outside the store, or NULL */
    float       *value;  /* in the store's memory; NULL before the allocation, and for a mapped one
                          * that nobody owns */
} asd_param;

/* The blocks on a device. w16: w rounded to bf16, NULL unless bf16_weights; whoever changes w there
 * (the optimiser) writes it too. g, m, v: NULL for inference. */
typedef struct asd_params_on_gpu {
    float    *w, *g, *m, *v, *state;
    uint16_t *w16;
    void     *memory; /* all of them */
} asd_params_on_gpu;

typedef struct asd_params {
    asd_param *param; /* (n) in the order of the first build */
    int        n, room;
    int64_t    n_trainable, n_state; /* elements of the blocks, padding included */
    float     *w, *g, *m, *v, *state;
    int        n_mapped; /* parameters with `mapped` */
    int        allocated;
    int        bf16_weights; /* somebody wants parameters in bf16 (asd_tape_param_bf16) */
    uint16_t  *w16;          /* w rounded to bf16, for the CPU; NULL before asd_params_round */

    void  *file; /* a mapping, unmapped with the store; or NULL */
    size_t file_bytes;

    asd_gpu          *gpu; /* where on_gpu is; NULL: nowhere */
    asd_params_on_gpu on_gpu;
} asd_params;

void asd_params_init(asd_params *p);
void asd_params_clear(asd_params *p);

/* Index of the parameter, created if the store is not allocated yet. ASD_E_SHAPE when it exists
 * with another shape, or when it is new and the store is already allocated. */
asd_status asd_params_need(asd_params *p, const char *name, asd_shape shape, asd_init init,
                           int64_t fan_in, int trainable, int *index);
/* The value of a parameter lies at `value`, of which (asd_count(shape)) floats are there: the
 * host's block gets no room for it. Before asd_params_alloc, once a parameter. */
void asd_params_map(asd_params *p, int index, const float *value);
/* Takes over a mapping (mmap) that mapped values lie in; asd_params_clear unmaps it. One a store.
 */
void asd_params_keep(asd_params *p, void *map, size_t bytes);
/* training: also gradients and moments. ASD_E_OOM; ASD_E_CONFIG when a trainable parameter is
 * mapped and `training`. */
asd_status asd_params_alloc(asd_params *p, int training);
/* Initial values by each parameter's rule; cell = (machine, index) of ASD_RNG_INIT. */
void asd_params_reset(asd_params *p, uint64_t seed, uint64_t machine);
int  asd_params_find(const asd_params *p, const char *name); /* -1 if absent */
/* The value, to be read, wherever it lies. */
const float *asd_params_peek(const asd_params *p, int index);
/* The value, to be written: not of a mapped parameter, unless it is owned. */
float *asd_params_value(const asd_params *p, int index);
/* Copies a mapped value into memory of the store; other parameters are left alone. Plans that were
 * built before still read the old place. ASD_E_OOM. */
asd_status asd_params_own(asd_params *p, int index);
/* Makes w16 if it is not there, and fills it from the values: before a plan for the CPU in bf16 is
 * built, and again when they have changed. */
asd_status asd_params_round(asd_params *p);
/* Sets all gradients to zero: on the host at once (s NULL), or on the device, enqueued. */
asd_status asd_params_zero_grad(asd_params *p, asd_stream *s);

/* Makes the blocks on the stream's device if they are not there, and copies values, m and v (and
 * values rounded to bf16) there; gradients become zero. Done when it returns. ASD_E_OOM names the
 * memory asked; ASD_E_SHAPE when they are on another device. */
asd_status asd_params_to_gpu(asd_params *p, asd_stream *s);
/* Copies w, g, m, v and state back to the host: before a checkpoint. Mapped values stay as they
 * are. Done when it returns. */
asd_status asd_params_from_gpu(asd_params *p, asd_stream *s);
float     *asd_params_value_on_gpu(const asd_params *p, int index); /* NULL when not on a device */

int64_t asd_params_count(const asd_params *p, int trainable); /* elements without padding */

#endif
