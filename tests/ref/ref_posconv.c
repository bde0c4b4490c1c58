/* ref_posconv.c - see ref_posconv.h. */
#include "ref/ref_posconv.h"

#include <math.h>
#include <stdlib.h>

void asd_ref_weightnorm(const asd_node *n, int training, const double *const *x, double *y,
                        double *const *state)
{
    (void)training, (void)state;
    int64_t k = asd_last(n->y.shape), count = asd_count(n->y.shape);
    for (int64_t j = 0; j < k; ++j) {
        double square = 0;
        for (int64_t i = j; i < count; i += k)
            square += x[1][i] * x[1][i];
        for (int64_t i = j; i < count; i += k)
            y[i] = x[0][j] * x[1][i] / sqrt(square);
    }
}

/* From the definition: PyTorch's Conv1d pads k/2 zeros on both sides, and an even k's last output
 * is dropped. A channel's tokens are copied together first, else the shape of BEATs takes a minute.
 */
void asd_ref_posconv(const asd_node *n, int training, const double *const *x, double *y,
                     double *const *state)
{
    (void)training, (void)state;
    int64_t B = n->y.shape.d[0], P = n->y.shape.d[1], C = n->y.shape.d[2];
    int64_t W = n->in[1].shape.d[1], k = n->in[1].shape.d[2];
    double *in = malloc((size_t)(C * P) * sizeof *in), *out = malloc((size_t)P * sizeof *out);
    for (int64_t b = 0; b < B; ++b) {
        for (int64_t i = 0; i < P * C; ++i)
            in[i % C * P + i / C] = x[0][b * P * C + i];
        for (int64_t o = 0; o < C; ++o) {
            for (int64_t t = 0; t < P; ++t)
                out[t] = x[2][o];
            for (int64_t i = 0; i < W; ++i)
                for (int64_t j = 0; j < k; ++j) {
                    double        w    = x[1][(o * W + i) * k + j];
                    const double *from = in + (o / W * W + i) * P;
                    const int64_t back = k / 2 - j;
                    const int64_t end  = back < 0 ? P + back : P;
                    for (int64_t t = back > 0 ? back : 0; t < end; ++t)
                        out[t] += w * from[t - back];
                }
            for (int64_t t = 0; t < P; ++t)
                y[(b * P + t) * C + o] = out[t];
        }
    }
    free(in);
    free(out);
}
