/* ref_tokens.c - see ref_tokens.h. */
#include "ref/ref_tokens.h"

void asd_ref_add(const asd_node *n, int training, const double *const *x, double *y,
                 double *const *state)
{
    (void)training, (void)state;
    double alpha = (double)((const asd_add_attr *)n->attr)->alpha;
    for (int64_t i = 0; i < asd_count(n->y.shape); ++i)
        y[i] = x[0][i] + alpha * x[1][i];
}
