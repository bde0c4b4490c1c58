/* ref_attention.h - the reference of attention, for ref_ops.c's table. */
#ifndef ASD_TESTS_REF_ATTENTION_H
#define ASD_TESTS_REF_ATTENTION_H

#include "ref/ref_ops.h"

void asd_ref_attention(const asd_node *n, int training, const double *const *x, double *y,
                       double *const *state);

#endif
