/* ref_tokens.h - the references of the ops on tokens, for ref_ops.c's table. */
#ifndef ASD_TESTS_REF_TOKENS_H
#define ASD_TESTS_REF_TOKENS_H

#include "ref/ref_ops.h"

#define REF(op)                                                                                    \
    void asd_ref_##op(const asd_node *n, int training, const double *const *x, double *y,          \
                      double *const *state)
REF(add);
REF(patches);
REF(tokens);
REF(take);
REF(bandmean);
REF(meanstd);
REF(gempool);
#undef REF

#endif
