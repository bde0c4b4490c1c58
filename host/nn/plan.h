/* plan.h - a tape laid out in memory: a flat array of calls with fixed addresses in one arena.
 *
 * The planner keeps only the ops that the loss or an output needs, gives each value, gradient,
 * saved statistic and scratch buffer its live range over forward and backward, and places all of
 * them in one block so that ranges that overlap in time never overlap in memory. It decides which
 * backward stores a gradient and which adds to it. Running a plan allocates nothing and takes no
 * branch on data.
 *
 * Ownership: asd_plan_free frees the arena and the ops' state. The tape (it holds the ops'
 * attributes), the parameter store, bound inputs and the stream must outlive the plan.
 */
#ifndef ASD_NN_PLAN_H
#define ASD_NN_PLAN_H

#include "cuda/gpu.h"
#include "nn/tape.h"

#include <stdio.h>

typedef struct asd_plan asd_plan;

/* loss: what to differentiate when the tape is for training, or ASD_NO_VAL for a forward-only plan;
 * of a loss with several elements (one a group, asd_mse_grouped) it is their sum. outputs:
 * (n_outputs) values that stay readable after a run. The parameter store must be allocated (with
 * gradients, if there is a loss).
 *
 * stream: NULL computes on the CPU. Else the plan is for CUDA: its memory is the stream's device's,
 * running it enqueues on the stream, and the parameters must be there (asd_params_to_gpu).
 * ASD_E_DEVICE: an op has no CUDA kernel, or a value is bf16 and the CPU is to train.
 * Of bf16 parameters the copies must be there: asd_params_round for the CPU.
 *
 * ASD_CHECK=1 in the environment makes every run test each output for NaN and Inf and name the
 * step (ASD_E_NUMERIC); on CUDA it waits after each, so that a failing kernel is named too. */
asd_status asd_plan_build(asd_tape *tape, asd_val loss, const asd_val *outputs, int n_outputs,
                          asd_stream *stream, asd_plan **out);
void       asd_plan_free(asd_plan *p);

/* Memory of an input, the loss or an output; NULL for values whose memory is reused. On CUDA it is
 * device memory: asd_plan_write and asd_plan_read work on both. */
void  *asd_plan_data(const asd_plan *p, asd_val v);
float *asd_plan_grad(const asd_plan *p, asd_val v); /* inputs with want_grad, else NULL */
/* The whole of an input from the host, and of a readable value to the host, in the value's dtype
 * (bf16: the bits). Writing is enqueued on CUDA, so the host memory must stay as it is until the
 * next wait, and be page-locked to overlap; reading waits. */
asd_status asd_plan_write(asd_plan *p, asd_val input, const void *host);
asd_status asd_plan_read(const asd_plan *p, asd_val v, void *host);
asd_status asd_plan_read_grad(const asd_plan *p, asd_val v, float *host);
/* Lends memory (on CUDA: the device's) for an input made with asd_tape_bound; before the first run.
 * A captured graph keeps the address that it was captured with. */
void asd_plan_bind(asd_plan *p, asd_val v, const void *data);

/* Per-step values; set before a run. On CUDA the kernels read a copy on the device: */
asd_step *asd_plan_step(asd_plan *p);
/* where they read it, for an optimiser that runs beside the plan (the same on the CPU), */
const asd_step *asd_plan_step_seen(const asd_plan *p);
/* and what brings it there if it changed. asd_plan_forward does so by itself, but not the launch of
 * a captured graph, and in a capture it cannot be done (ASD_E_DEVICE). */
asd_status asd_plan_send_step(asd_plan *p);

/* A step as a graph: run it once as it is (libraries choose their algorithms then), and from then
 * on
 *
 *   asd_status record(void *ctx)           zeroes gradients, asd_plan_forward, asd_plan_backward,
 *                                          the optimiser: everything on the plan's stream
 *   asd_capture(stream, record, ctx, &graph)                                        once
 *   *asd_plan_step(p) = ...; asd_plan_write(p, x, ...); asd_plan_send_step(p);      each step
 *   asd_graph_launch(graph, stream);
 *
 * With ASD_CHECK there is nothing to check in a graph: run the steps one by one
 * (asd_plan_checks). */
asd_status asd_plan_forward(asd_plan *p);
/* Adds to the parameters' gradients; zero them first (asd_params_zero_grad). */
asd_status asd_plan_backward(asd_plan *p);
int        asd_plan_checks(const asd_plan *p); /* ASD_CHECK=1 when it was built */

size_t asd_plan_bytes(const asd_plan *p); /* arena */
/* One line a step: op, shape of y, bytes, live range, which inputs' gradients are stored (=), added
 * (+) or not taken (-), dtype of y, kernel. */
void asd_plan_print(const asd_plan *p, FILE *out);

#endif
