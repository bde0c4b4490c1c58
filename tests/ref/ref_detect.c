/* ref_detect.c - see ref_detect.h. */
#include "ref/ref_detect.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void ref_eigen(double *a, int n, double *value, double *vector)
{
    for (int i = 0; i < n * n; ++i)
        vector[i] = i % (n + 1) == 0;
    for (int sweep = 0; sweep < 60; ++sweep)
        for (int p = 0; p < n; ++p)
            for (int q = p + 1; q < n; ++q) {
                if (a[p * n + q] == 0)
                    continue;
                double theta = (a[q * n + q] - a[p * n + p]) / (2 * a[p * n + q]);
                double t     = (theta < 0 ? -1 : 1) / (fabs(theta) + sqrt(theta * theta + 1));
                double c = 1 / sqrt(t * t + 1), s = t * c;
                for (int i = 0; i < n; ++i) {
                    double u = a[i * n + p], v = a[i * n + q];
                    a[i * n + p] = c * u - s * v;
                    a[i * n + q] = s * u + c * v;
                }
                for (int i = 0; i < n; ++i) {
                    double u = a[p * n + i], v = a[q * n + i];
                    a[p * n + i] = c * u - s * v;
                    a[q * n + i] = s * u + c * v;
                    u = vector[p * n + i], v = vector[q * n + i];
                    vector[p * n + i] = c * u - s * v;
                    vector[q * n + i] = s * u + c * v;
                }
            }
    for (int i = 0; i < n; ++i)
        value[i] = a[i * n + i];
    for (int i = 0; i < n; ++i)
        for (int k = i + 1; k < n; ++k)
            if (value[k] > value[i]) {
                double t = value[i];
                value[i] = value[k];
                value[k] = t;
                for (int d = 0; d < n; ++d) {
                    t                 = vector[i * n + d];
                    vector[i * n + d] = vector[k * n + d];
                    vector[k * n + d] = t;
                }
            }
}

void ref_inverse(const double *a, int n, double *inverse)
{
    double *m = malloc(sizeof *m * (size_t)(n * n));
    memcpy(m, a, sizeof *m * (size_t)(n * n));
    for (int i = 0; i < n * n; ++i)
        inverse[i] = i % (n + 1) == 0;
    for (int c = 0; c < n; ++c) {
        int best = c;
        for (int r = c; r < n; ++r)
            if (fabs(m[r * n + c]) > fabs(m[best * n + c]))
                best = r;
        for (int k = 0; k < n; ++k) {
            double t              = m[c * n + k];
            m[c * n + k]          = m[best * n + k];
            m[best * n + k]       = t;
            t                     = inverse[c * n + k];
            inverse[c * n + k]    = inverse[best * n + k];
            inverse[best * n + k] = t;
        }
        double pivot = m[c * n + c];
        for (int k = 0; k < n; ++k) {
            m[c * n + k] /= pivot;
            inverse[c * n + k] /= pivot;
        }
        for (int r = 0; r < n; ++r) {
            double f = m[r * n + c];
            for (int k = 0; k < n && r != c; ++k) {
                m[r * n + k] -= f * m[c * n + k];
                inverse[r * n + k] -= f * inverse[c * n + k];
            }
        }
    }
    free(m);
}

int ref_mean(const double *x, int n, int D, const unsigned char *is_target, int domain, int skip,
             double *mean)
{
    int count = 0;
    memset(mean, 0, sizeof *mean * (size_t)D);
    for (int i = 0; i < n; ++i)
        if (i != skip && (domain < 0 || is_target[i] == domain)) {
            ++count;
            for (int d = 0; d < D; ++d)
                mean[d] += x[i * D + d];
        }
    for (int d = 0; d < D; ++d)
        mean[d] /= count ? count : 1;
    return count;
}

void ref_weighted(const double *x, int n, int D, const unsigned char *is_target, double weight,
                  int k, int all, const double *y, int m, double *d)
{
    double *mean = malloc(sizeof *mean * (size_t)(2 * D)), *c, *value, *vector, total = 0;
    c      = calloc((size_t)(D * D), sizeof *c);
    value  = malloc(sizeof *value * (size_t)D);
    vector = malloc(sizeof *vector * (size_t)(D * D));
    int ns = ref_mean(x, n, D, is_target, all ? -1 : 0, -1, mean);
    int nt = ref_mean(x, n, D, is_target, all ? -1 : 1, -1, mean + D);
    if (weight == 0)
        weight = (double)ns / nt;
    for (int i = 0; i < n; ++i) {
        double w = is_target[i] ? weight : 1;
        total += w;
        for (int a = 0; a < D; ++a)
            for (int b = 0; b < D; ++b)
                c[a * D + b] += w * (x[i * D + a] - mean[is_target[i] * D + a]) *
                                (x[i * D + b] - mean[is_target[i] * D + b]);
    }
    for (int i = 0; i < D * D; ++i)
        c[i] /= total;
    ref_eigen(c, D, value, vector);
    for (int i = 0; i < m; ++i)
        for (int h = 0; h < 2; ++h) {
            double sum = 0;
            for (int a = 0; a < k && a < D && value[a] > 1e-12 * value[0]; ++a) {
                double p = 0;
                for (int b = 0; b < D; ++b)
                    p += vector[a * D + b] * (y[i * D + b] - mean[h * D + b]);
                sum += p * p / fmax(value[a], 1e-6 * value[0]);
            }
            d[2 * i + h] = sqrt(sum);
        }
    free(mean);
    free(c);
    free(value);
    free(vector);
}

double ref_ledoit_wolf(const double *x, int n, int D, const unsigned char *is_target, double rho,
                       double *mu, const double *y, int m, double *d)
{
    double *mean = malloc(sizeof *mean * (size_t)(2 * D));
    double *s = calloc((size_t)(D * D), sizeof *s), *p = malloc(sizeof *p * (size_t)(D * D));
    ref_mean(x, n, D, is_target, 0, -1, mean);
    ref_mean(x, n, D, is_target, 1, -1, mean + D);
    double fourth = 0, square = 0, trace = 0;
    for (int i = 0; i < n; ++i) {
        double length = 0;
        for (int a = 0; a < D; ++a) {
            double r = x[i * D + a] - mean[is_target[i] * D + a];
            length += r * r;
            for (int b = 0; b < D; ++b)
                s[a * D + b] += r * (x[i * D + b] - mean[is_target[i] * D + b]) / n;
        }
        fourth += length * length / n;
    }
    for (int a = 0; a < D; ++a) {
        trace += s[a * D + a];
        for (int b = 0; b < D; ++b)
            square += s[a * D + b] * s[a * D + b];
    }
    if (rho < 0) {
        *mu          = trace / D;
        double delta = (square - D * *mu * *mu) / D, beta = (fourth - square) / ((double)n * D);
        rho = delta > 0 ? fmin(beta, delta) / delta : 0;
    }
    for (int a = 0; a < D; ++a)
        for (int b = 0; b < D; ++b)
            s[a * D + b] = (1 - rho) * s[a * D + b] + (a == b ? rho * *mu : 0);
    ref_inverse(s, D, p);
    for (int i = 0; i < m; ++i)
        for (int h = 0; h < 2; ++h) {
            double sum = 0;
            for (int a = 0; a < D; ++a)
                for (int b = 0; b < D; ++b)
                    sum += (y[i * D + a] - mean[h * D + a]) * p[a * D + b] *
                           (y[i * D + b] - mean[h * D + b]);
            d[2 * i + h] = sqrt(sum);
        }
    free(mean);
    free(s);
    free(p);
    return rho;
}

static int rising(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double ref_knn(const double *x, int n, int D, const unsigned char *is_target, int domain, int skip,
               const double *y, int k, int kth, int cosine)
{
    double *d = malloc(sizeof *d * (size_t)n), sum = 0;
    int     count = 0;
    for (int i = 0; i < n; ++i) {
        double dot = 0, xx = 0, yy = 0, difference = 0;
        if (i == skip || (domain >= 0 && is_target[i] != domain))
            continue;
        for (int a = 0; a < D; ++a) {
            dot += x[i * D + a] * y[a];
            xx += x[i * D + a] * x[i * D + a];
            yy += y[a] * y[a];
            difference += (x[i * D + a] - y[a]) * (x[i * D + a] - y[a]);
        }
        d[count++] = cosine ? 1 - (xx > 0 && yy > 0 ? dot / sqrt(xx * yy) : 0) : sqrt(difference);
    }
    qsort(d, (size_t)count, sizeof *d, rising);
    if (k > count)
        k = count;
    for (int i = 0; i < k; ++i)
        sum += d[i];
    sum = k == 0 ? (double)INFINITY : kth ? d[k - 1] : sum / k;
    free(d);
    return sum;
}
