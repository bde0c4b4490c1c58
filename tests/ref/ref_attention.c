/* ref_attention.c - see ref_attention.h. Written from the formulas of BEATs' specification: the
 * scores of a query against all keys, in a row; padded keys left out of the sum.
 *
 * Heads are done side by side, and loops run over what lies together, since asd-bench runs this on
 * clips of full length.
 */
#include "ref/ref_attention.h"

#include "base/par.h"

#include <math.h>
#include <stdlib.h>

typedef struct job {
    const asd_node      *n;
    const double *const *x;
    double              *y;
} job;

static int64_t bucket_of(int64_t d, const asd_attention_attr *a)
{
    double half = (double)(a->buckets / 2), exact = half / 2, n = fabs((double)d), b = n;
    if (n >= exact)
        b = fmin(half - 1, exact + trunc(log(n / exact) / log((double)a->max_distance / exact) *
                                         (half - exact)));
    return (int64_t)(d > 0 ? half + b : b);
}

static double gate_of(const double *q, int64_t K, const double *w, const double *bias, double c)
{
    double u[2] = {0, 0};
    for (int r = 0; r < 8; ++r) {
        u[r / 4] += bias[r];
        for (int64_t k = 0; k < K; ++k)
            u[r / 4] += w[r * K + k] * q[k];
    }
    return 1 / (1 + exp(-u[0])) * (c / (1 + exp(-u[1])) - 1) + 2;
}

static void one_head(void *ctx, int64_t bh)
{
    const job                *j = ctx;
    const asd_attention_attr *a = j->n->attr;
    int64_t H = a->heads, P = j->n->y.shape.d[1], C = j->n->y.shape.d[2], K = C / H, b = bh / H,
            h = bh % H, keys = P, at = 1 + a->masked;
    const double *q = j->x[0] + b * P * 3 * C + h * K, *k = q + C, *v = q + 2 * C;
    double       *s = malloc((size_t)P * sizeof *s), *kt = malloc((size_t)(P * K) * sizeof *kt);
    double       *bias = calloc((size_t)(2 * P), sizeof *bias);
    if (a->masked)
        keys = (int64_t)fmax(0, fmin(j->x[1][b], (double)P));
    for (int64_t d = 1 - P; a->gated && d < P; ++d)
        bias[d + P - 1] = j->x[at][bucket_of(d, a) * H + h];
    for (int64_t t = 0; t < P; ++t)
        for (int64_t i = 0; i < K; ++i)
            kt[i * P + t] = k[t * 3 * C + i];
    for (int64_t i = 0; i < P; ++i) {
        double *y = j->y + (b * P + i) * C + h * K, max = -INFINITY, sum = 0;
        double  gate =
            a->gated ? gate_of(q + i * 3 * C, K, j->x[at + 1], j->x[at + 2], j->x[at + 3][h]) : 0;
        for (int64_t t = 0; t < keys; ++t)
            s[t] = gate * bias[t - i + P - 1];
        for (int64_t c = 0; c < K; ++c)
            for (int64_t t = 0; t < keys; ++t)
                s[t] += q[i * 3 * C + c] / sqrt((double)K) * kt[c * P + t];
        for (int64_t t = 0; t < keys; ++t)
            max = fmax(max, s[t]);
        for (int64_t t = 0; t < keys; ++t)
            sum += s[t] = exp(s[t] - max);
        for (int64_t c = 0; c < K; ++c)
            y[c] = 0;
        for (int64_t t = 0; t < keys; ++t)
            for (int64_t c = 0; c < K; ++c)
                y[c] += s[t] / sum * v[t * 3 * C + c];
    }
    free(s);
    free(kt);
    free(bias);
}

void asd_ref_attention(const asd_node *n, int training, const double *const *x, double *y,
                       double *const *state)
{
    (void)training, (void)state;
    job j = {n, x, y};
    asd_par_for(n->y.shape.d[0] * ((const asd_attention_attr *)n->attr)->heads, one_head, &j);
}
