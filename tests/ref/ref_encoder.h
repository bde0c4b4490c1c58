/* ref_encoder.h - the references of the ops that encoders need, for ref_ops.c's table. */
#ifndef ASD_TESTS_REF_ENCODER_H
#define ASD_TESTS_REF_ENCODER_H

#include "ref/ref_ops.h"

#define REF(op)                                                                                    \
    void asd_ref_##op(const asd_node *n, int training, const double *const *x, double *y,          \
                      double *const *state)
REF(layernorm);
REF(softmax);
REF(gelu);
REF(dropout); /* for seed 0 and step 0, which the rig of op_rig.h runs with */
REF(l2norm);
REF(meanpool);
REF(bias);
#undef REF

/* Philox 4x32-10 from its paper (Salmon et al., SC 2011): counter and key to four words. */
void asd_ref_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);
/* Word i of the cell (seed, purpose, a, b), as base/rng.h lays it out. */
uint32_t asd_ref_random_word(uint64_t seed, uint32_t purpose, uint64_t a, uint64_t b, int64_t i);

#endif
