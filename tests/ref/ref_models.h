/* ref_models.h - the references of the small ops around encoders, for ref_ops.c's table. */
#ifndef ASD_TESTS_REF_MODELS_H
#define ASD_TESTS_REF_MODELS_H

#include "ref/ref_ops.h"

#define REF(op)                                                                                    \
    void asd_ref_##op(const asd_node *n, int training, const double *const *x, double *y,          \
                      double *const *state)
REF(cast);
REF(mask);
REF(affine);
REF(lora);
#undef REF

#endif
