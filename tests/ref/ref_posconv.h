/* ref_posconv.h - the references of the positional convolution, for ref_ops.c's table. */
#ifndef ASD_TESTS_REF_POSCONV_H
#define ASD_TESTS_REF_POSCONV_H

#include "ref/ref_ops.h"

#define REF(op)                                                                                    \
    void asd_ref_##op(const asd_node *n, int training, const double *const *x, double *y,          \
                      double *const *state)
REF(weightnorm);
REF(posconv);
#undef REF

#endif
