/* nets.h - random networks for the tests of plans: the same from the same numbers, on every
 * backend. */
#ifndef ASD_TESTS_REF_NETS_H
#define ASD_TESTS_REF_NETS_H

#include "base/rng.h"
#include "nn/tape.h"

/* Records a network of some ten layers and its loss over R rows, *x its input: each op takes a
 * random earlier value, so values are read zero to many times, and layers share weights. */
asd_val asd_ref_random_net(asd_tape *t, asd_rng *rng, int64_t R, asd_val *x);

/* Allocates the store and makes every weight random and not small: with the biases' initial zeros a
 * ReLU stands on its kink. */
void asd_ref_random_weights(asd_params *p, asd_rng *rng, int training);

void asd_ref_fill(asd_rng *rng, float *x, int64_t n); /* standard normal */

#endif
