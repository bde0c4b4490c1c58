/* encoder_synth.h - encoders with weights made from their tensors' names (synthetic.h), as the
 * specifications' known answers want them, and a small rig to run and differentiate them. */
#ifndef ASD_TESTS_ENCODER_SYNTH_H
#define ASD_TESTS_ENCODER_SYNTH_H

#include "models/parts.h"

/* One tensor in its file's layout, asd_synth_count elements; free it. Copies of BEATs' table of
 * places have layer 0's name. */
float  *asd_synth_tensor(const asd_encoder_desc *d, const encoder_name *n);
int64_t asd_synth_count(const encoder_name *n);
/* Fills a store that was recorded from this description. */
void asd_synth_weights(const asd_encoder_desc *d, asd_params *p);
/* An encoder of the kind, full size, with such weights; d NULL: the kind's default. */
asd_encoder *asd_synth_encoder(const char *kind, const asd_encoder_desc *d);

/* A tape with an encoder; loss = sum of (what is differentiated) x r(cotangent). */
typedef struct synth_net {
    asd_encoder_desc  d;
    asd_params        params;
    asd_tape          tape;
    asd_encoder_graph g;
    asd_plan         *plan;
    asd_val           y, cotangent, loss;
} synth_net;

/* pool: what is differentiated of the last layer (ASD_POOL_NONE: all tokens). training 0: only y.
 * lengths: (B) or NULL. Runs forward, and backward when training. */
void synth_net_run(synth_net *n, const asd_encoder_desc *d, int64_t B, int64_t S, const float *x,
                   const int32_t *lengths, asd_pool pool, const char *cotangent, int training);
void synth_net_free(synth_net *n);
/* Values of y into a new block; free it. */
float *synth_net_y(const synth_net *n);
double synth_net_loss(const synth_net *n);
/* Gradient of the file's tensor `core`: its L2 norm; first: the first elements in the file's order,
 * or NULL. */
double synth_net_grad(const synth_net *n, const char *core, int n_first, float *first);

#endif
