/* ref_tokens.c - see ref_tokens.h. */
#include "ref/ref_tokens.h"

#include <math.h>

void asd_ref_add(const asd_node *n, int training, const double *const *x, double *y,
                 double *const *state)
{
    (void)training, (void)state;
    double alpha = (double)((const asd_add_attr *)n->attr)->alpha;
    for (int64_t i = 0; i < asd_count(n->y.shape); ++i)
        y[i] = x[0][i] + alpha * x[1][i];
}

void asd_ref_patches(const asd_node *n, int training, const double *const *x, double *y,
                     double *const *state)
{
    (void)training, (void)state;
    const asd_patches_attr *a = n->attr;
    int64_t B = n->in[0].shape.d[0], T = n->in[0].shape.d[1], F = n->in[0].shape.d[2];
    int64_t nt = T / a->pt, nf = F / a->pf;
    for (int64_t b = 0; b < B; ++b)
        for (int64_t t = 0; t < nt; ++t)
            for (int64_t f = 0; f < nf; ++f)
                for (int64_t i = 0; i < a->pt; ++i)
                    for (int64_t j = 0; j < a->pf; ++j)
                        y[((b * nt + t) * nf + f) * a->pt * a->pf +
                          (a->mel_major ? j * a->pt + i : i * a->pf + j)] =
                            x[0][(b * T + t * a->pt + i) * F + f * a->pf + j];
}

void asd_ref_tokens(const asd_node *n, int training, const double *const *x, double *y,
                    double *const *state)
{
    (void)training, (void)state;
    int64_t B = n->in[0].shape.d[0], P = n->in[0].shape.d[1], C = n->in[0].shape.d[2];
    for (int64_t b = 0; b < B; ++b) {
        for (int64_t i = 0; n->n_in == 3 && i < C; ++i)
            *y++ = x[2][i];
        for (int64_t i = 0; i < P * C; ++i)
            *y++ = x[0][b * P * C + i] + x[1][i];
    }
}

void asd_ref_take(const asd_node *n, int training, const double *const *x, double *y,
                  double *const *state)
{
    (void)training, (void)state;
    const asd_take_attr *a = n->attr;
    int64_t              P = n->in[0].shape.d[1], C = n->in[0].shape.d[2];
    for (int64_t b = 0; b < n->in[0].shape.d[0]; ++b)
        for (int64_t i = 0; i < a->n * C; ++i)
            *y++ = x[0][(b * P + a->first) * C + i];
}

void asd_ref_bandmean(const asd_node *n, int training, const double *const *x, double *y,
                      double *const *state)
{
    (void)training, (void)state;
    int64_t bands = ((const asd_bandmean_attr *)n->attr)->bands, C = n->in[0].shape.d[2];
    for (int64_t i = 0; i < asd_count(n->y.shape); ++i)
        y[i] = 0;
    for (int64_t i = 0; i < asd_count(n->in[0].shape); ++i)
        y[i / C / bands * C + i % C] += x[0][i] / (double)bands;
}

/* Tokens of clip b that count. */
static int64_t length_of(const asd_node *n, const double *const *x, int64_t b)
{
    int64_t P = n->in[0].shape.d[1];
    return n->n_in == 2 ? (int64_t)fmin(x[1][b], (double)P) : P;
}

void asd_ref_meanstd(const asd_node *n, int training, const double *const *x, double *y,
                     double *const *state)
{
    (void)training, (void)state;
    int64_t P = n->in[0].shape.d[1], C = n->in[0].shape.d[2];
    for (int64_t b = 0; b < n->in[0].shape.d[0]; ++b)
        for (int64_t c = 0; c < C; ++c) {
            int64_t length = length_of(n, x, b);
            double  mean = 0, var = 0;
            for (int64_t p = 0; p < length; ++p)
                mean += x[0][(b * P + p) * C + c] / (double)length;
            for (int64_t p = 0; p < length; ++p)
                var += pow(x[0][(b * P + p) * C + c] - mean, 2) / (double)length;
            y[2 * b * C + c]       = mean;
            y[(2 * b + 1) * C + c] = sqrt(var);
        }
}

void asd_ref_gempool(const asd_node *n, int training, const double *const *x, double *y,
                     double *const *state)
{
    (void)training, (void)state;
    double  power = (double)((const asd_gem_attr *)n->attr)->p;
    double  eps   = (double)((const asd_gem_attr *)n->attr)->eps;
    int64_t P = n->in[0].shape.d[1], C = n->in[0].shape.d[2];
    for (int64_t b = 0; b < n->in[0].shape.d[0]; ++b)
        for (int64_t c = 0; c < C; ++c) {
            int64_t length = length_of(n, x, b);
            double  sum    = 0;
            for (int64_t p = 0; p < length; ++p)
                sum += pow(fmax(x[0][(b * P + p) * C + c], eps), power);
            y[b * C + c] = length ? pow(sum / (double)length, 1 / power) : 0;
        }
}
