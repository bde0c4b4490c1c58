/* ref_models.c - see ref_models.h. */
#include "ref/ref_models.h"

#include <math.h>

void asd_ref_cast(const asd_node *n, int training, const double *const *x, double *y,
                  double *const *state)
{
    (void)training, (void)state;
    for (int64_t i = 0; i < asd_count(n->y.shape); ++i)
        y[i] = x[0][i];
}

void asd_ref_mask(const asd_node *n, int training, const double *const *x, double *y,
                  double *const *state)
{
    (void)training, (void)state;
    int64_t P = n->y.shape.d[1], C = n->y.shape.d[2];
    for (int64_t i = 0; i < asd_count(n->y.shape); ++i)
        y[i] = (double)(i / C % P) < x[1][i / (P * C)] ? x[0][i] : 0;
}

void asd_ref_affine(const asd_node *n, int training, const double *const *x, double *y,
                    double *const *state)
{
    (void)training, (void)state;
    double  eps = (double)((const asd_affine_attr *)n->attr)->eps;
    int64_t C   = asd_last(n->y.shape);
    for (int64_t i = 0; i < asd_count(n->y.shape); ++i) {
        int64_t c = i % C;
        y[i]      = (x[0][i] - x[3][c]) / sqrt(x[4][c] + eps) * x[1][c] + x[2][c];
    }
}

void asd_ref_lora(const asd_node *n, int training, const double *const *x, double *y,
                  double *const *state)
{
    (void)training, (void)state;
    const asd_lora_attr *a = n->attr;
    int64_t              R = asd_rows(n->y.shape), O = asd_last(n->y.shape);
    int64_t              I = asd_last(n->in[1].shape);
    for (int64_t i = 0; i < R * O; ++i)
        y[i] = x[0][i];
    for (int k = 0; k < a->n_targets; ++k) {
        const double *A = x[2 + 2 * k], *B = x[3 + 2 * k];
        int64_t       r = n->in[2 + 2 * k].shape.d[0], columns = n->in[3 + 2 * k].shape.d[0];
        for (int64_t row = 0; row < R; ++row)
            for (int64_t j = 0; j < r; ++j) {
                double z = 0;
                for (int64_t i = 0; i < I; ++i)
                    z += A[j * I + i] * x[1][row * I + i];
                for (int64_t o = 0; o < columns; ++o)
                    y[row * O + a->offset[k] + o] += (double)a->scale * z * B[o * r + j];
            }
    }
}
