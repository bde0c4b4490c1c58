/* ref_front.h - the references of the front-ends, for ref_ops.c's table. */
#ifndef ASD_TESTS_REF_FRONT_H
#define ASD_TESTS_REF_FRONT_H

#include "ref/ref_ops.h"

#define REF(op)                                                                                    \
    void asd_ref_##op(const asd_node *n, int training, const double *const *x, double *y,          \
                      double *const *state)
REF(fbank);
REF(meldb);
#undef REF

/* Mel energies of frame t of one clip of S samples in [-1, 1), before floor and logarithm.
 * energy: (n_mels) */
void asd_ref_fbank_energy(const asd_fbank_attr *a, const double *x, int64_t t, double *energy);
void asd_ref_meldb_energy(const asd_meldb_attr *a, const double *x, int64_t S, int64_t t,
                          double *energy);

#endif
