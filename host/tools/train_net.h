/* train_net.h - one network of a run: the autoencoder of one machine and section, and its training
 * state.
 *
 * A step of a network is a pure function of its parameters and (seed, machine, epoch, position):
 * the order of rows comes from the counter-based generator, so nothing of it need be saved.
 */
#ifndef ASD_TOOLS_TRAIN_NET_H
#define ASD_TOOLS_TRAIN_NET_H

#include "data/features.h"
#include "detect/residual.h"
#include "kernels/adam.h"
#include "models/ae_plan.h"

typedef struct asd_net {
    const asd_cfg     *cfg;
    const asd_machine *machine;
    int                section;
    char               key[256]; /* "fan.section_00": prefix of its tensors */
    uint64_t           cell;     /* hash of the key: its coordinate in random numbers */
    asd_params         params;

    /* training data */
    asd_features   f;
    char           clips_hash[33]; /* of audio and domains: what a resumed run must find again */
    int32_t       *row; /* (n_rows) first frame of each vector; the first n_val are held out */
    unsigned char *is_target; /* (n_rows) */
    int64_t        n_rows, n_val, n_train;
    int32_t       *order; /* (n_train) rows of the epoch */
    int64_t        order_epoch;
    int32_t       *index;           /* (batch) first frames, for the plan */
    int32_t       *batch_row;       /* (batch) numbers of rows */
    unsigned char *batch_is_target; /* (batch) */

    /* plans by batch size: [0] full, [1] the last batch of an epoch; val likewise */
    asd_ae_plan train[2], val[2];
    int64_t     steps_per_epoch, steps;
    double     *work;

    /* saved with a checkpoint */
    float  *batch_loss; /* (steps_per_epoch) of the current epoch, training mode */
    float  *val_loss;   /* (n_val_batches) of the latest epoch that ended   */
    int64_t n_val_batches;
    int64_t n_batch_loss; /* scoring: batch_loss holds training, then validation batches */

    /* after training */
    float  *covariance[2]; /* (F, F) */
    float  *batch_mahalanobis;
    int64_t n_batch_mahalanobis;
} asd_net;

typedef struct asd_net_record {
    int64_t step, epoch; /* step counts from 1 when logged */
    float   loss;
    double  grad_norm;
    int     epoch_end;
    double  train_loss, val_loss; /* means over the epoch, when epoch_end */
    int64_t rows;
} asd_net_record;

/* One network per machine and section of training clips, in order of (machine, section). *nets:
 * (*n), owned by the caller; cfg and dataset must outlive them. */
asd_status asd_nets_make(const asd_dataset *d, const asd_cfg *cfg, asd_net **nets, int64_t *n);
void       asd_nets_free(asd_net *nets, int64_t n);
/* Clips of the network's section; *clips: (*n) pointers, freed by the caller. */
asd_status asd_net_clips(const asd_net *net, int test, const asd_clip ***clips, int64_t *n);
/* Parameters without data: declared and allocated; training also gradients and moments, with
 * initial values. */
asd_status asd_net_alloc(asd_net *net, int training);
/* Reads the training clips; afterwards it is known which steps there are. */
asd_status asd_net_load(asd_net *net);

/* --- training on the CPU (train_group.h: on a device) --- */

asd_status asd_net_plan(asd_net *net); /* after loading, before the first step */
/* Does step number `step` (from 0). ASD_E_NUMERIC when the loss is not finite. */
asd_status asd_net_step(asd_net *net, int64_t step, asd_net_record *out);
/* The official extra pass: covariances, and the batch values of the official threshold rule. */
asd_status asd_net_finish(asd_net *net);

/* --- what both share --- */

/* net->order becomes that of the epoch: training row order[i] is row n_val + order[i]. */
void asd_net_order(asd_net *net, int64_t epoch);
/* Rows of batch number `position` of n rows. */
int64_t  asd_batch_size(int64_t n, int64_t batch, int64_t position);
asd_adam asd_net_optimiser(const asd_cfg *cfg);
/* ASD_E_NUMERIC when the loss or the norm of a step is not finite. */
asd_status asd_net_check(const asd_net *net, const asd_net_record *r);
/* The means of batch_loss and val_loss into the record of an epoch's last step. */
void asd_net_end_epoch(const asd_net *net, asd_net_record *out);

/* The extra pass, batch by batch: the training batches of one more epoch, then the held-out ones,
 * steps_per_epoch + n_val_batches in all. */
typedef struct asd_net_pass {
    asd_residual_cov cov;
    double          *means; /* (batches, F) */
} asd_net_pass;

/* Clear on any return. */
asd_status asd_net_pass_init(asd_net *net, asd_net_pass *p);
void       asd_net_pass_clear(asd_net_pass *p);
/* Sets net->index, batch_row and batch_is_target to the rows of batch b; returns their number. */
int64_t    asd_net_pass_rows(asd_net *net, int64_t b);
void       asd_net_pass_add(asd_net *net, asd_net_pass *p, int64_t b, const asd_residuals *r);
asd_status asd_net_pass_end(asd_net *net, asd_net_pass *p);
/* View for detectors. */
asd_residual_stats asd_net_stats(const asd_net *net);

#endif
