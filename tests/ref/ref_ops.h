/* ref_ops.h - the truth: every op of kernels/ops.def as naive loops in double precision.
 *
 * Written from the formulas in the ops' headers, not from their code. Backward truth comes from
 * central differences of these functions, so no derivative is written twice.
 */
#ifndef ASD_TESTS_REF_OPS_H
#define ASD_TESTS_REF_OPS_H

#include "kernels/op.h"

/* x[k]: inputs in double (indices and int16 samples as whole numbers); y: output in double.
 * state[k]: for inputs that a training forward updates, the new values are written here (may be
 * NULL). */
typedef void (*asd_ref_fwd)(const asd_node *n, int training, const double *const *x, double *y,
                            double *const *state);

asd_ref_fwd asd_ref_find(const char *op); /* NULL if there is none: then the table test fails */

#endif
