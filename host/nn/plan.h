/* plan.h - a tape laid out in memory: a flat array of calls with fixed addresses in one arena.
 *
 * The planner keeps only the ops that the loss or an output needs, gives each value, gradient,
 * saved statistic and scratch buffer its live range over forward and backward, and places all of
 * them in one block so that ranges that overlap in time never overlap in memory. It decides which
 * backward stores a gradient and which adds to it. Running a plan allocates nothing and takes no
 * branch on data.
 *
 * Ownership: asd_plan_free frees the arena and the ops' state. The tape (it holds the ops'
 * attributes), the parameter store and bound inputs must outlive the plan.
 */
#ifndef ASD_NN_PLAN_H
#define ASD_NN_PLAN_H

#include "nn/tape.h"

#include <stdio.h>

typedef struct asd_plan asd_plan;

/* loss: what to differentiate when the tape is for training, or ASD_NO_VAL for a forward-only plan;
 * of a loss with several elements (one a group, asd_mse_grouped) it is their sum. outputs:
 * (n_outputs) values that stay readable after a run. The parameter store must be allocated (with
 * gradients, if there is a loss). ASD_CHECK=1 in the environment makes every run test each output
 * for NaN and Inf and name the step (ASD_E_NUMERIC). */
asd_status asd_plan_build(asd_tape *tape, asd_val loss, const asd_val *outputs, int n_outputs,
                          asd_backend backend, asd_plan **out);
void       asd_plan_free(asd_plan *p);

/* Memory of an input, the loss or an output; NULL for values whose memory is reused. */
void  *asd_plan_data(const asd_plan *p, asd_val v);
float *asd_plan_grad(const asd_plan *p, asd_val v); /* inputs with want_grad, else NULL */
/* Lends memory for an input made with asd_tape_bound; before the first run. */
void asd_plan_bind(asd_plan *p, asd_val v, const void *data);

asd_step  *asd_plan_step(asd_plan *p); /* per-step values; set before a run */
asd_status asd_plan_forward(asd_plan *p);
/* Adds to the parameters' gradients; zero them first (memset of params->g). */
asd_status asd_plan_backward(asd_plan *p);

size_t asd_plan_bytes(const asd_plan *p); /* arena */
void   asd_plan_print(const asd_plan *p,
                      FILE           *out); /* one line a step: op, shapes, bytes, live range */

#endif
