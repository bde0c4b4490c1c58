/* ref_encoder.c - see ref_encoder.h. */
#include "ref/ref_encoder.h"

#include <math.h>

void asd_ref_layernorm(const asd_node *n, int training, const double *const *x, double *y,
                       double *const *state)
{
    (void)training, (void)state;
    const asd_layernorm_attr *a = n->attr;
    int64_t                   C = asd_last(n->y.shape);
    for (int64_t o = 0; o < asd_count(n->y.shape); o += C) {
        double mean = 0, var = 0;
        for (int64_t c = 0; c < C; ++c)
            mean += (y[o + c] = x[0][o + c] + (n->n_in == 4 ? (double)a->alpha * x[3][o + c] : 0));
        mean /= (double)C;
        for (int64_t c = 0; c < C; ++c)
            var += (y[o + c] - mean) * (y[o + c] - mean) / (double)C;
        for (int64_t c = 0; c < C; ++c)
            y[o + c] = (y[o + c] - mean) / sqrt(var + (double)a->eps) * x[1][c] + x[2][c];
    }
}

void asd_ref_softmax(const asd_node *n, int training, const double *const *x, double *y,
                     double *const *state)
{
    (void)training, (void)state;
    double  scale = (double)((const asd_softmax_attr *)n->attr)->scale;
    int64_t C     = asd_last(n->y.shape);
    for (int64_t o = 0; o < asd_count(n->y.shape); o += C) {
        double max = -INFINITY, sum = 0;
        for (int64_t c = 0; c < C; ++c)
            max = fmax(max, scale * x[0][o + c]);
        for (int64_t c = 0; c < C; ++c)
            sum += exp(scale * x[0][o + c] - max);
        for (int64_t c = 0; c < C; ++c)
            y[o + c] = exp(scale * x[0][o + c] - max) / sum;
    }
}

void asd_ref_gelu(const asd_node *n, int training, const double *const *x, double *y,
                  double *const *state)
{
    (void)training, (void)state;
    for (int64_t i = 0; i < asd_count(n->y.shape); ++i)
        y[i] = x[0][i] * 0.5 * erfc(-x[0][i] / sqrt(2));
}

void asd_ref_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c[4] = {counter[0], counter[1], counter[2], counter[3]}, k[2] = {key[0], key[1]};
    for (int round = 0; round < 10; ++round) {
        uint64_t p0 = 0xD2511F53ull * c[0], p1 = 0xCD9E8D57ull * c[2];
        uint32_t next[4] = {(uint32_t)(p1 >> 32) ^ c[1] ^ k[0], (uint32_t)p1,
                            (uint32_t)(p0 >> 32) ^ c[3] ^ k[1], (uint32_t)p0};
        for (int i = 0; i < 4; ++i)
            c[i] = next[i];
        k[0] += 0x9E3779B9u; /* golden ratio */
        k[1] += 0xBB67AE85u; /* sqrt 3 - 1 */
    }
    for (int i = 0; i < 4; ++i)
        out[i] = c[i];
}

/* splitmix64's last steps (Steele, Lea and Flood, OOPSLA 2014) */
static uint64_t spread(uint64_t z)
{
    z += 0x9e3779b97f4a7c15ull;
    z ^= z >> 30;
    z *= 0xbf58476d1ce4e5b9ull;
    z ^= z >> 27;
    z *= 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

uint32_t asd_ref_random_word(uint64_t seed, uint32_t purpose, uint64_t a, uint64_t b, int64_t i)
{
    uint64_t key        = spread(seed) ^ spread(a + 0x6a09e667f3bcc909ull);
    uint32_t k[2]       = {(uint32_t)key, (uint32_t)(key >> 32)}, out[4];
    uint32_t counter[4] = {(uint32_t)(i / 4), purpose, (uint32_t)b, (uint32_t)(b >> 32)};
    asd_ref_philox(counter, k, out);
    return out[i % 4];
}

void asd_ref_dropout(const asd_node *n, int training, const double *const *x, double *y,
                     double *const *state)
{
    (void)state;
    const asd_dropout_attr *a = n->attr;
    double                  p = (double)a->drop_prob;
    enum { DROPOUT = 4 }; /* ASD_RNG_DROPOUT */
    for (int64_t i = 0; i < asd_count(n->y.shape); ++i) {
        double u = training ? asd_ref_random_word(0, DROPOUT, 0, a->stream, i) / 0x1p32 : 1;
        y[i]     = !training ? x[0][i] : u < floor(p * 0x1p32) / 0x1p32 ? 0 : x[0][i] / (1 - p);
    }
}

void asd_ref_l2norm(const asd_node *n, int training, const double *const *x, double *y,
                    double *const *state)
{
    (void)training, (void)state;
    double  eps = (double)((const asd_l2norm_attr *)n->attr)->eps;
    int64_t C   = asd_last(n->y.shape);
    for (int64_t o = 0; o < asd_count(n->y.shape); o += C) {
        double square = 0;
        for (int64_t c = 0; c < C; ++c)
            square += x[0][o + c] * x[0][o + c];
        for (int64_t c = 0; c < C; ++c)
            y[o + c] = x[0][o + c] / fmax(sqrt(square), eps);
    }
}

void asd_ref_meanpool(const asd_node *n, int training, const double *const *x, double *y,
                      double *const *state)
{
    (void)training, (void)state;
    int64_t B = n->in[0].shape.d[0], P = n->in[0].shape.d[1], C = n->in[0].shape.d[2];
    for (int64_t b = 0; b < B; ++b) {
        int64_t length = n->n_in == 2 ? (int64_t)fmin(x[1][b], (double)P) : P;
        for (int64_t c = 0; c < C; ++c) {
            double sum = 0;
            for (int64_t p = 0; p < length; ++p)
                sum += x[0][(b * P + p) * C + c];
            y[b * C + c] = length ? sum / (double)length : 0;
        }
    }
}

void asd_ref_bias(const asd_node *n, int training, const double *const *x, double *y,
                  double *const *state)
{
    (void)training, (void)state;
    int64_t count = asd_count(n->y.shape), C = asd_last(n->y.shape);
    int64_t G = n->in[1].shape.n == 2 ? n->in[1].shape.d[0] : 1;
    for (int64_t i = 0; i < count; ++i)
        y[i] = x[0][i] + x[1][i / (count / G) * C + i % C];
}
