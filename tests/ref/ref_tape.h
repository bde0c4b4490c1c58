/* ref_tape.h - the truth for whole networks: a tape run in double precision with the naive ops of
 * ref_ops.h.
 *
 * Nothing of the planner is used: every value has its own memory, nothing is reused, and there is
 * no backward. Gradients come from central differences of the loss.
 */
#ifndef ASD_TESTS_REF_TAPE_H
#define ASD_TESTS_REF_TAPE_H

#include "nn/tape.h"

typedef struct asd_ref_tape {
    const asd_tape *tape;
    double        **value; /* (n_values); values of one parameter share their memory, and
                            * a view with its base */
} asd_ref_tape;

/* Parameters and running statistics are copied from the tape's store; inputs are zero. */
void asd_ref_tape_new(asd_ref_tape *r, const asd_tape *tape);
void asd_ref_tape_free(asd_ref_tape *r);
/* Copies an input in. data: floats, or int32 when the value has that type. */
void asd_ref_tape_input(asd_ref_tape *r, asd_val v, const void *data);
/* Runs all ops in the tape's mode. Running statistics stay as they are. Returns the sum of
 * value `loss`. */
double asd_ref_tape_run(asd_ref_tape *r, asd_val loss);
/* d loss / d element i of an input or parameter value v, by central differences. */
double asd_ref_tape_slope(asd_ref_tape *r, asd_val loss, asd_val v, int64_t i);

#endif
