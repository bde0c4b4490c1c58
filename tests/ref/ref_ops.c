/* ref_ops.c - see ref_ops.h. */
#include "ref/ref_ops.h"
#include "ref/ref_attention.h"
#include "ref/ref_encoder.h"
#include "ref/ref_front.h"
#include "ref/ref_posconv.h"
#include "ref/ref_tokens.h"
#include "ref/ref_models.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void ref_linear(const asd_node *n, int training, const double *const *x, double *y,
                       double *const *state)
{
    (void)training, (void)state;
    int64_t R = asd_rows(n->y.shape), C = asd_last(n->in[0].shape), O = asd_last(n->y.shape);
    for (int64_t r = 0; r < R; ++r) /* of all groups; row r is of group g */
        for (int64_t o = 0; o < O; ++o) {
            int64_t g   = n->in[1].shape.n == 3 ? r / n->y.shape.d[1] : 0;
            double  sum = n->n_in == 3 ? x[2][g * O + o] : 0;
            for (int64_t c = 0; c < C; ++c)
                sum += x[0][r * C + c] * x[1][(g * O + o) * C + c];
            y[r * O + o] = sum;
        }
}

static void ref_batchnorm(const asd_node *n, int training, const double *const *x, double *y,
                          double *const *state)
{
    const asd_batchnorm_attr *a = n->attr;
    int64_t G = n->in[0].shape.n == 3 ? n->in[0].shape.d[0] : 1, C = asd_last(n->y.shape);
    int64_t R = asd_rows(n->y.shape) / G;
    for (int64_t i = 0; i < G * C; ++i) { /* column i % C of group i / C */
        int64_t at   = i / C * R * C + i % C;
        double  mean = 0, var = 0;
        for (int64_t r = 0; r < R; ++r)
            mean += x[0][at + r * C] / (double)R;
        for (int64_t r = 0; r < R; ++r)
            var += pow(x[0][at + r * C] - mean, 2) / (double)R;
        if (training && state) {
            double k    = (double)a->momentum;
            state[3][i] = (1 - k) * x[3][i] + k * mean;
            state[4][i] = (1 - k) * x[4][i] + k * (R > 1 ? var * (double)R / (double)(R - 1) : var);
        }
        if (!training) {
            mean = x[3][i];
            var  = x[4][i];
        }
        for (int64_t r = 0; r < R; ++r) {
            double z = (x[0][at + r * C] - mean) / sqrt(var + (double)a->eps) * x[1][i] + x[2][i];
            y[at + r * C] = a->relu && z < 0 ? 0 : z;
        }
    }
}

static void ref_relu(const asd_node *n, int training, const double *const *x, double *y,
                     double *const *state)
{
    (void)training, (void)state;
    for (int64_t i = 0; i < asd_count(n->y.shape); ++i)
        y[i] = x[0][i] > 0 ? x[0][i] : 0;
}

static void ref_mse(const asd_node *n, int training, const double *const *x, double *y,
                    double *const *state)
{
    (void)training, (void)state;
    const asd_mse_attr *a     = n->attr;
    int64_t             G     = a && a->groups > 0 ? a->groups : 1;
    int64_t             count = asd_count(n->in[0].shape) / G;
    for (int64_t g = 0; g < G; ++g) {
        double sum = 0;
        for (int64_t i = g * count; i < (g + 1) * count; ++i)
            sum += (x[0][i] - x[1][i]) * (x[0][i] - x[1][i]);
        y[g] = sum / (double)count;
    }
}

static void ref_frame_stack(const asd_node *n, int training, const double *const *x, double *y,
                            double *const *state)
{
    (void)training, (void)state;
    const asd_frame_stack_attr *a = n->attr;
    int64_t                     F = n->in[0].shape.d[1], B = asd_count(n->in[1].shape);
    for (int64_t b = 0; b < B; ++b)
        for (int64_t s = 0; s < a->stack; ++s)
            for (int64_t f = 0; f < F; ++f)
                y[(b * a->stack + s) * F + f] = x[0][((int64_t)x[1][b] + s) * F + f];
}

/* Slaney's mel scale from its definition: mel 0 .. 15 linear to 1 kHz, then 27 steps to 6.4 kHz. */
static double mel_edge(const asd_logmel_attr *a, int64_t m)
{
    double edge[2], hz[2] = {a->fmin_hz, a->fmax_hz};
    for (int i = 0; i < 2; ++i)
        edge[i] = hz[i] <= 1000 ? hz[i] / (200.0 / 3) : 15 + 27 * log(hz[i] / 1000) / log(6.4);
    double mel = edge[0] + (edge[1] - edge[0]) * (double)m / (double)(a->n_mels + 1);
    return mel <= 15 ? mel * (200.0 / 3) : 1000 * pow(6.4, (mel - 15) / 27);
}

/* out[f] = sum_i x[i step] exp(-2 pi i f i / n), f < n: halved while n is even, the odd rest by the
 * sum itself. turn: (n step) cos and sin of 2 pi i / (n step) */
static void fourier(const double *x, int64_t n, int64_t step, const double (*turn)[2],
                    double (*out)[2])
{
    if (n % 2) {
        for (int64_t f = 0; f < n; ++f) {
            out[f][0] = out[f][1] = 0;
            for (int64_t i = 0; i < n; ++i) {
                out[f][0] += x[i * step] * turn[f * i % n * step][0];
                out[f][1] -= x[i * step] * turn[f * i % n * step][1];
            }
        }
        return;
    }
    fourier(x, n / 2, 2 * step, turn, out);
    fourier(x + step, n / 2, 2 * step, turn, out + n / 2);
    for (int64_t f = 0; f < n / 2; ++f) {
        double *even = out[f], *odd = out[f + n / 2], c = turn[f * step][0], s = turn[f * step][1];
        double  re = odd[0] * c + odd[1] * s, im = odd[1] * c - odd[0] * s;
        odd[0] = even[0] - re;
        odd[1] = even[1] - im;
        even[0] += re;
        even[1] += im;
    }
}

/* One frame. turn: (n_fft) cos and sin of 2 pi i / n_fft; wx: (n_fft) scratch for the windowed
 * frame; bins: (n_fft) scratch; power: (n_fft/2 + 1) */
static void frame_power(const asd_logmel_attr *a, const double *x, int64_t S, double scale,
                        int64_t t, const double (*turn)[2], double *wx, double (*bins)[2],
                        double *power)
{
    for (int64_t i = 0; i < a->n_fft; ++i) {
        int64_t at = t * a->hop_samples + i - a->n_fft / 2;
        wx[i]      = at < 0 || at >= S ? 0 : (0.5 - 0.5 * turn[i][0]) * x[at] * scale;
    }
    fourier(wx, a->n_fft, 1, turn, bins);
    for (int64_t f = 0; f <= a->n_fft / 2; ++f)
        power[f] = bins[f][0] * bins[f][0] + bins[f][1] * bins[f][1];
}

/* h: (n_mels, n_fft/2 + 1). range: (n_mels) first and last bin that band m may weigh, outside of
 * which h is zero. */
static void mel_weights(const asd_logmel_attr *a, double *h, int64_t (*range)[2])
{
    for (int64_t m = 0; m < a->n_mels; ++m) {
        double f0 = mel_edge(a, m), f1 = mel_edge(a, m + 1), f2 = mel_edge(a, m + 2);
        range[m][0] = a->n_fft / 2;
        range[m][1] = 0;
        for (int64_t f = 0; f <= a->n_fft / 2; ++f, ++h) {
            double hz = (double)f * a->rate_hz / (double)a->n_fft;
            *h        = fmax(0, fmin((hz - f0) / (f1 - f0), (f2 - hz) / (f2 - f1))) * 2 / (f2 - f0);
            if (*h > 0) {
                range[m][0] = f < range[m][0] ? f : range[m][0];
                range[m][1] = f;
            }
        }
    }
}

static void ref_logmel(const asd_node *n, int training, const double *const *x, double *y,
                       double *const *state)
{
    (void)training, (void)state;
    const asd_logmel_attr *a = n->attr;
    int64_t                B = n->y.shape.d[0], T = n->y.shape.d[1], S = n->in[0].shape.d[1];
    double                 scale = n->in[0].dtype == ASD_I16 ? 1.0 / 32768 : 1;
    int64_t                bins  = a->n_fft / 2 + 1;
    double                *power = malloc((size_t)bins * sizeof *power);
    double                *h     = malloc((size_t)(a->n_mels * bins) * sizeof *h);
    double                *wx    = malloc((size_t)a->n_fft * sizeof *wx);
    double(*turn)[2]             = malloc((size_t)a->n_fft * sizeof *turn);
    double(*z)[2]                = malloc((size_t)a->n_fft * sizeof *z);
    int64_t(*range)[2]           = malloc((size_t)a->n_mels * sizeof *range);
    mel_weights(a, h, range);
    for (int64_t i = 0; i < a->n_fft; ++i) {
        turn[i][0] = cos(6.28318530717958647692 * (double)i / (double)a->n_fft);
        turn[i][1] = sin(6.28318530717958647692 * (double)i / (double)a->n_fft);
    }
    for (int64_t b = 0; b < B; ++b)
        for (int64_t t = 0; t < T; ++t) {
            frame_power(a, x[0] + b * S, S, scale, t, (const double(*)[2])turn, wx, z, power);
            for (int64_t m = 0; m < a->n_mels; ++m) {
                double sum = 0;
                for (int64_t f = range[m][0]; f <= range[m][1]; ++f)
                    sum += h[m * bins + f] * power[f];
                y[(b * T + t) * a->n_mels + m] = 10 * log10(fmax(sum, a->floor));
            }
        }
    free(h);
    free(range);
    free(z);
    free(turn);
    free(wx);
    free(power);
}

static const struct {
    const char *op;
    asd_ref_fwd fwd;
} table[] = {
    {"linear", ref_linear},
    {"batchnorm", ref_batchnorm},
    {"relu", ref_relu},
    {"mse", ref_mse},
    {"frame_stack", ref_frame_stack},
    {"logmel", ref_logmel},
    {"fbank", asd_ref_fbank},
    {"meldb", asd_ref_meldb},
    {"layernorm", asd_ref_layernorm},
    {"softmax", asd_ref_softmax},
    {"gelu", asd_ref_gelu},
    {"dropout", asd_ref_dropout},
    {"l2norm", asd_ref_l2norm},
    {"meanpool", asd_ref_meanpool},
    {"bias", asd_ref_bias},
    {"add", asd_ref_add},
    {"attention", asd_ref_attention},
    {"weightnorm", asd_ref_weightnorm},
    {"posconv", asd_ref_posconv},
    {"patches", asd_ref_patches},
    {"tokens", asd_ref_tokens},
    {"take", asd_ref_take},
    {"bandmean", asd_ref_bandmean},
    {"meanstd", asd_ref_meanstd},
    {"gempool", asd_ref_gempool},
    {"cast", asd_ref_cast},
    {"mask", asd_ref_mask},
    {"affine", asd_ref_affine},
    {"lora", asd_ref_lora},
};

asd_ref_fwd asd_ref_find(const char *op)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; ++i)
        if (!strcmp(table[i].op, op))
            return table[i].fwd;
    return NULL;
}
