/* residual.c - mean rows, covariances and quadratic forms of reconstruction residuals. See
 * residual.h. */
#include "detect/residual.h"

#include "base/arena.h"
#include "kernels/cpu.h"

#include <lapacke.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SOURCE, TARGET };
enum { MAX_BANDS = 4096 }; /* of rows that are taken on the stack; a recipe has at most 1,024 */

void asd_residual_mean(const asd_residuals *r, double *mean)
{
    int64_t rows = r->B * r->stack;
    memset(mean, 0, (size_t)r->F * sizeof *mean);
    for (int64_t i = 0; i < rows; ++i)
        for (int64_t f = 0; f < r->F; ++f)
            mean[f] += (double)(r->x[i * r->F + f] - r->y[i * r->F + f]);
    for (int64_t f = 0; f < r->F; ++f)
        mean[f] /= (double)rows;
}

/* gram += e e', upper triangle */
ASD_SIMD static void add_outer(const double *e, int64_t F, double *gram)
{
    for (int64_t i = 0; i < F; ++i)
        for (int64_t k = i; k < F; ++k)
            gram[i * F + k] += e[i] * e[k];
}

void asd_residual_gram(const asd_residuals *r, double *gram)
{
    int64_t rows = r->B * r->stack, F = r->F;
    double  e[MAX_BANDS];
    ASD_ASSERT(F <= MAX_BANDS);
    memset(gram, 0, (size_t)(F * F) * sizeof *gram);
    for (int64_t i = 0; i < rows; ++i) {
        for (int64_t f = 0; f < F; ++f)
            e[f] = (double)(r->x[i * F + f] - r->y[i * F + f]);
        add_outer(e, F, gram);
    }
    for (int64_t i = 0; i < F; ++i)
        for (int64_t k = i; k < F; ++k)
            gram[k * F + i] = gram[i * F + k] /= (double)rows;
}

double asd_quadratic_form(const double *p, const double *v, int64_t F)
{
    double sum = 0;
    for (int64_t i = 0; i < F; ++i) {
        double row = 0;
        for (int64_t k = 0; k < F; ++k)
            row += p[i * F + k] * v[k];
        sum += row * v[i];
    }
    return sum;
}

asd_status asd_residual_cov_init(asd_residual_cov *c, int64_t F, int64_t max_rows)
{
    memset(c, 0, sizeof *c);
    c->F        = F;
    c->max_rows = max_rows;
    c->sum[0]   = asd_calloc_aligned((size_t)(F * F), sizeof(double));
    c->sum[1]   = asd_calloc_aligned((size_t)(F * F), sizeof(double));
    c->rows     = asd_calloc_aligned((size_t)(max_rows * F), sizeof(float));
    c->outer    = asd_calloc_aligned((size_t)(F * F), sizeof(float));
    if (!c->sum[0] || !c->sum[1] || !c->rows || !c->outer)
        return ASD_FAIL(ASD_E_OOM, "no memory for covariances of %lld bands", (long long)F);
    return ASD_OK;
}

void asd_residual_cov_clear(asd_residual_cov *c)
{
    free(c->sum[0]);
    free(c->sum[1]);
    free(c->rows);
    free(c->outer);
    memset(c, 0, sizeof *c);
}

/* Copies the residual rows of one domain side by side and takes their mean away. Returns their
 * number. */
ASD_SIMD static int64_t centred_rows(asd_residual_cov *c, const asd_residuals *r,
                                     const unsigned char *is_target, int d)
{
    int64_t n = 0, F = c->F, width = r->stack * F;
    for (int64_t b = 0; b < r->B; ++b)
        if (is_target[b] == d) {
            for (int64_t i = 0; i < width; ++i)
                c->rows[n * F + i] = r->x[b * width + i] - r->y[b * width + i];
            n += r->stack;
        }
    double mean[MAX_BANDS];
    memset(mean, 0, (size_t)F * sizeof *mean);
    for (int64_t i = 0; i < n; ++i)
        for (int64_t f = 0; f < F; ++f)
            mean[f] += (double)c->rows[i * F + f];
    for (int64_t f = 0; f < F; ++f)
        mean[f] /= (double)(n ? n : 1);
    for (int64_t i = 0; i < n; ++i)
        for (int64_t f = 0; f < F; ++f)
            c->rows[i * F + f] = (float)((double)c->rows[i * F + f] - mean[f]);
    return n;
}

void asd_residual_cov_add(asd_residual_cov *c, const asd_residuals *r,
                          const unsigned char *is_target)
{
    ASD_ASSERT(r->F == c->F && r->F <= MAX_BANDS && r->B * r->stack <= c->max_rows);
    for (int d = 0; d < 2; ++d) {
        int64_t n = centred_rows(c, r, is_target, d);
        if (!n)
            continue;
        asd_gemm_job outer = {.transpose_a = 1,
                              .m           = c->F,
                              .n           = c->F,
                              .k           = n,
                              .a           = c->rows,
                              .lda         = c->F,
                              .b           = c->rows,
                              .ldb         = c->F,
                              .y           = c->outer,
                              .ldy         = c->F};
        asd_gemm(&outer);
        for (int64_t i = 0; i < c->F * c->F; ++i)
            c->sum[d][i] += (double)c->outer[i];
        c->vectors[d] += n / r->stack;
    }
}

asd_status asd_residual_cov_finish(const asd_residual_cov *c, float *source, float *target)
{
    if (c->vectors[SOURCE] < 2)
        return ASD_FAIL(ASD_E_DATA, "%lld source vectors, want at least 2 for a covariance",
                        (long long)c->vectors[SOURCE]);
    for (int64_t i = 0; i < c->F * c->F; ++i) {
        source[i] = (float)(c->sum[SOURCE][i] / (double)(c->vectors[SOURCE] - 1));
        target[i] = c->vectors[TARGET] < 2
                        ? source[i]
                        : (float)(c->sum[TARGET][i] / (double)(c->vectors[TARGET] - 1));
    }
    return ASD_OK;
}

asd_status asd_spd_inverse(const float *a, int64_t n, const char *what, double *inverse)
{
    lapack_int N    = (lapack_int)n;
    double     norm = 0, rcond = 0;
    for (int64_t i = 0; i < n; ++i) {
        double row = 0;
        for (int64_t k = 0; k < n; ++k) {
            inverse[i * n + k] = 0.5 * ((double)a[i * n + k] + (double)a[k * n + i]);
            row += fabs(inverse[i * n + k]);
        }
        norm = row > norm ? row : norm;
    }
    lapack_int info = LAPACKE_dpotrf(LAPACK_ROW_MAJOR, 'L', N, inverse, N);
    if (!info)
        info = LAPACKE_dpocon(LAPACK_ROW_MAJOR, 'L', N, inverse, N, norm, &rcond);
    if (info || rcond < 1e-15)
        return ASD_FAIL(ASD_E_NUMERIC,
                        "%s: the %lld x %lld covariance of residuals is singular (reciprocal "
                        "condition %.1e): too few "
                        "training vectors, or clips of digital silence",
                        what, (long long)n, (long long)n, info ? 0.0 : rcond);
    info = LAPACKE_dpotri(LAPACK_ROW_MAJOR, 'L', N, inverse, N);
    ASD_ASSERT(!info);
    for (int64_t i = 0; i < n; ++i)
        for (int64_t k = i + 1; k < n; ++k)
            inverse[i * n + k] = inverse[k * n + i];
    return ASD_OK;
}
