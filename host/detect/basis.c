/* basis.c - means, covariances and whitened axes of training rows. See basis.h.
 *
 *   C = sum over rows of w r r' / sum of w       r: a row minus its domain's mean
 *   C v_i = l_i v_i                              axis i = v_i / sqrt(l_i)
 * fewer rows than columns: with Z the rows sqrt(w / W) r,  Z Z' u = l u  gives  v = Z' u / sqrt(l).
 *
 * Covariances are cut into blocks of columns by shape alone, each one single-threaded product, so
 * that threads do not change bits. Only the k largest eigenpairs are computed (dsyevr): of
 * 768 x 768 with k = 128 this takes less than half of the time of all of them by dsyevd.
 */
#include "detect/basis.h"

#include "base/arena.h"
#include "base/par.h"
#include "kernels/cpu.h" /* ASD_SIMD */

#include <cblas.h>
#include <float.h>
#include <lapacke.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 128 }; /* columns of one product */
enum { LANES = ASD_DETECT_LANES };

asd_counts asd_count_domains(const unsigned char *is_target, int64_t n)
{
    asd_counts c = {{0, 0}};
    for (int64_t i = 0; i < n; ++i)
        ++c.n[is_target[i] != 0];
    return c;
}

/* --- residuals --- */

/* Domain of row i as far as centring goes. */
static int centre_of(const asd_basis *b, const unsigned char *is_target, int64_t i)
{
    return !b->one_centre && is_target[i];
}

/* mean: (2, D); a domain without rows, or a shared centre, has the mean of the other (of all). */
static void row_means(const asd_basis *b, const float *x, int64_t n, const unsigned char *is_target,
                      double *mean)
{
    int64_t D = b->D, count[2] = {0, 0};
    memset(mean, 0, (size_t)(2 * D) * sizeof *mean);
    for (int64_t i = 0; i < n; ++i) {
        double *m = mean + centre_of(b, is_target, i) * D;
        ++count[centre_of(b, is_target, i)];
        for (int64_t d = 0; d < D; ++d)
            m[d] += (double)x[i * D + d];
    }
    for (int c = 0; c < 2; ++c)
        for (int64_t d = 0; d < D && count[c]; ++d)
            mean[c * D + d] /= (double)count[c];
    for (int c = 0; c < 2; ++c)
        if (!count[c])
            memcpy(mean + c * D, mean + (1 - c) * D, (size_t)D * sizeof *mean);
}

typedef struct residual_job {
    const asd_basis     *b;
    const float         *x;
    const unsigned char *is_target;
    const double        *root, *mean;
    double              *rows;
} residual_job;

static void residual_chunk(void *ctx, int64_t first, int64_t count)
{
    const residual_job *j = ctx;
    int64_t             D = j->b->D;
    for (int64_t i = first; i < first + count; ++i) {
        double        w = j->root[j->is_target[i] != 0];
        const double *m = j->mean + centre_of(j->b, j->is_target, i) * D;
        for (int64_t d = 0; d < D; ++d)
            j->rows[i * D + d] = w * ((double)j->x[i * D + d] - m[d]);
    }
}

/* *rows: (n, D) owned, rows minus their centres, times root[domain]. Fills b->mean and returns the
 * target's centre minus it in *offset: (D) owned. */
static asd_status residual_rows(asd_basis *b, const float *x, int64_t n,
                                const unsigned char *is_target, const double root[2], double **rows,
                                double **offset)
{
    int64_t D    = b->D;
    double *mean = malloc((size_t)(2 * D) * sizeof *mean);
    *rows        = malloc((size_t)(n * D) * sizeof **rows);
    *offset      = malloc((size_t)D * sizeof **offset);
    b->mean      = malloc((size_t)D * sizeof *b->mean);
    if (!mean || !*rows || !*offset || !b->mean) {
        free(mean);
        return ASD_FAIL(ASD_E_OOM, "no memory for %lld rows of %lld", (long long)n, (long long)D);
    }
    row_means(b, x, n, is_target, mean);
    residual_job j = {b, x, is_target, root, mean, *rows};
    asd_par_ranges(n, 32, residual_chunk, &j);
    memcpy(b->mean, mean, (size_t)D * sizeof *mean);
    for (int64_t d = 0; d < D; ++d)
        (*offset)[d] = mean[D + d] - mean[d];
    free(mean);
    return ASD_OK;
}

/* --- products of the rows with themselves --- */

typedef struct gram_job {
    const double *z; /* (n, D) */
    int64_t       n, D;
    int           of_rows; /* z z' (n, n) instead of z' z (D, D) */
    double       *out;
} gram_job;

/* BLOCK columns of the upper triangle: what lies above the block on the diagonal, then that block.
 */
static void gram_chunk(void *ctx, int64_t chunk)
{
    const gram_job *j = ctx;
    int64_t         m = j->of_rows ? j->n : j->D, last = (m - 1) / BLOCK;
    int64_t         from  = (last - chunk) * BLOCK; /* the tallest first: threads end together */
    int64_t         width = m - from < BLOCK ? m - from : BLOCK;
    int64_t         inner = j->of_rows ? j->D : j->n;
    const double   *own   = j->z + (j->of_rows ? from * j->D : from);
    CBLAS_TRANSPOSE left  = j->of_rows ? CblasNoTrans : CblasTrans;
    CBLAS_TRANSPOSE right = j->of_rows ? CblasTrans : CblasNoTrans;
    if (from)
        cblas_dgemm(CblasRowMajor, left, right, (int)from, (int)width, (int)inner, 1, j->z,
                    (int)j->D, own, (int)j->D, 0, j->out + from, (int)m);
    cblas_dsyrk(CblasRowMajor, CblasUpper, left, (int)width, (int)inner, 1, own, (int)j->D, 0,
                j->out + from * m + from, (int)m);
}

/* Upper triangle (row-major) of z z' or z' z. *out: owned. */
static asd_status gram(const double *z, int64_t n, int64_t D, int of_rows, double **out)
{
    int64_t  m = of_rows ? n : D;
    gram_job j = {z, n, D, of_rows, NULL};
    if (!(*out = j.out = asd_calloc_aligned((size_t)(m * m), sizeof **out)))
        return ASD_FAIL(ASD_E_OOM, "no memory for a covariance of %lld", (long long)m);
    asd_par_for((m + BLOCK - 1) / BLOCK, gram_chunk, &j);
    return ASD_OK;
}

/* --- principal axes --- */

/* The k largest eigenpairs of the symmetric tridiagonal (d, e), d and e: (m), destroyed. w: (m) of
 * which the first k become values, rising; v: (m, k) column-major; support: (2 m) scratch. Returns
 * LAPACK's info.
 *
 * All values by QL without roots, then inverse iteration for k vectors, takes half the time of
 * relatively robust representations, which begin with bisection; but it wants a matrix that does
 * not fall apart into blocks, as that of rows which span less than all columns does. */
static lapack_int top_tridiagonal(double *d, double *e, lapack_int m, lapack_int k, double *w,
                                  double *v, lapack_int *support)
{
    double     largest = 0;
    int        whole   = 1;
    lapack_int found = 0, info = 0, try_accurate = 1;
    for (lapack_int i = 0; i < m; ++i)
        largest = fmax(largest, fabs(d[i]));
    for (lapack_int i = 0; i + 1 < m; ++i)
        whole &= fabs(e[i]) > 1e-10 * largest;
    if (whole) {
        double     *value = malloc((size_t)(2 * m) * sizeof *value), *off = value + m;
        lapack_int *block = malloc((size_t)(2 * m + k) * sizeof *block), *split = block + m;
        info = value && block ? 0 : -1;
        for (lapack_int i = 0; i < m && !info; ++i) {
            value[i] = d[i];
            off[i]   = e[i];
            block[i] = 1;
            split[i] = 0;
        }
        if (!info && !(info = LAPACKE_dsterf(m, value, off))) {
            split[0] = m;
            memcpy(w, value + m - k, (size_t)k * sizeof *w);
            info = LAPACKE_dstein(LAPACK_COL_MAJOR, m, d, e, k, w, block, split, v, m, split + m);
        }
        free(value);
        free(block);
        if (!info)
            return 0; /* else what always works */
    }
    e[m - 1] = 0;
    info = LAPACKE_dstemr(LAPACK_COL_MAJOR, 'V', 'I', m, d, e, 0, 0, m - k + 1, m, &found, w, v, m,
                          k, support, &try_accurate);
    return info ? info : found == k ? 0 : 1;
}

/* The k largest eigenpairs of the upper triangle a (m, m), which is destroyed; value: (k) falling;
 * vector: (k, m), one a row. Row-major upper is LAPACK's lower: no transposed copy. */
static asd_status top_eigen(double *a, int64_t m, int64_t k, const char *what, double *value,
                            double *vector)
{
    lapack_int M = (lapack_int)m, K = (lapack_int)k;
    /* zeros: LAPACKE looks for NaN in m values and m off-diagonal elements, though k and m - 1 have
     * a meaning, and refuses what it finds in memory that nobody wrote */
    double     *w = calloc((size_t)(4 * m), sizeof *w), *v;
    double     *d = w + m, *e = d + m, *tau = e + m;
    lapack_int *support = malloc((size_t)(2 * m) * sizeof *support), info = 0;
    asd_status  st = ASD_OK;
    v              = malloc((size_t)(m * k) * sizeof *v);
    if (!w || !v || !support) {
        st = ASD_FAIL(ASD_E_OOM, "%s: no memory for %lld eigenvectors", what, (long long)k);
        goto done;
    }
    info = LAPACKE_dsytrd(LAPACK_COL_MAJOR, 'L', M, a, M, d, e, tau);
    if (!info)
        info = top_tridiagonal(d, e, M, K, w, v, support);
    if (!info)
        info = LAPACKE_dormtr(LAPACK_COL_MAJOR, 'L', 'L', 'N', M, K, a, M, tau, v, M);
    if (info) {
        st = ASD_FAIL(ASD_E_NUMERIC, "%s: the eigenvectors of a %lld x %lld covariance: LAPACK %d",
                      what, (long long)m, (long long)m, (int)info);
        goto done;
    }
    for (int64_t i = 0; i < k; ++i) {
        value[i] = w[k - 1 - i];
        memcpy(vector + i * m, v + (k - 1 - i) * m, (size_t)m * sizeof *v);
    }
done:
    free(w);
    free(v);
    free(support);
    return st;
}

/* Axes i = v_i / sqrt(l_i) as columns of panels, v from the eigenvectors u of z z' or z' z. */
static asd_status fill_axes(asd_basis *b, const double *z, int64_t n, const double *u, int of_rows,
                            const double *raw)
{
    int64_t       D = b->D, k = b->k;
    double       *turned = NULL;
    const double *v      = u; /* (k, D) */
    if (of_rows) {
        if (!(turned = malloc((size_t)(k * D) * sizeof *turned)))
            return ASD_FAIL(ASD_E_OOM, "no memory for %lld axes", (long long)k);
        cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)k, (int)D, (int)n, 1, u, (int)n,
                    z, (int)D, 0, turned, (int)D);
        v = turned;
    }
    for (int64_t i = 0; i < k; ++i) {
        double scale = 1 / sqrt(b->value[i]);
        if (of_rows)
            scale /= sqrt(raw[i]); /* |z' u| = sqrt(l) */
        for (int64_t d = 0; d < D; ++d)
            *asd_panels_at(&b->axis, d, i) = v[i * D + d] * scale;
    }
    free(turned);
    return ASD_OK;
}

/* Where the two centres fall: the first on 0, the other on offset' axes. */
static asd_status place_targets(asd_basis *b, const double *offset)
{
    for (int m = 0; m < 2; ++m)
        if (!(b->target[m] = calloc((size_t)b->k, sizeof(double))))
            return ASD_FAIL(ASD_E_OOM, "no memory for a centre");
    asd_panels_multiply_d(&b->axis, offset, 1, b->target[1]);
    return ASD_OK;
}

static void start(asd_basis *b, int64_t D, const unsigned char *is_target, int64_t n, int centre)
{
    memset(b, 0, sizeof *b);
    b->D          = D;
    b->count      = asd_count_domains(is_target, n);
    b->one_centre = centre == ASD_CENTRE_ALL;
    (void)asd_par_threads(); /* sets the libraries to one thread each */
}

/* Everything but the products of rows with each other: c (m, m), upper triangle, of z z' (m = n,
 * fewer rows than columns) or z' z (m = D). c is destroyed. */
static asd_status axes_from(asd_basis *b, const double *z, int64_t n, double *c, int64_t most,
                            const double *offset, const char *what)
{
    int64_t    D       = b->D;
    int        of_rows = n < D;
    int64_t    m = of_rows ? n : D, k = most < m ? most : m;
    double    *raw = malloc((size_t)k * sizeof *raw), *u = malloc((size_t)(k * m) * sizeof *u);
    asd_status st = raw && u
                        ? top_eigen(c, m, k, what, raw, u)
                        : ASD_FAIL(ASD_E_OOM, "%s: no memory for %lld axes", what, (long long)k);
    /* what rounding of a sum of products leaves of a variance that is zero */
    double zero = st ? 0 : 4 * (double)(n > D ? n : D) * DBL_EPSILON * raw[0];
    if (!st && !(raw[0] > 0))
        st = ASD_FAIL(ASD_E_NUMERIC,
                      "%s: all training rows of a domain are equal, so there is no "
                      "variance to measure a distance in",
                      what);
    while (!st && k > 1 && raw[k - 1] <= zero)
        --k;
    b->k = k;
    if (!st && !(b->value = malloc((size_t)k * sizeof *b->value)))
        st = ASD_FAIL(ASD_E_OOM, "%s: no memory for %lld variances", what, (long long)k);
    for (int64_t i = 0; i < k && !st; ++i)
        b->value[i] = fmax(raw[i], 1e-6 * raw[0]);
    if (!st)
        st = asd_panels_new(&b->axis, D, k);
    if (!st)
        st = fill_axes(b, z, n, u, of_rows, raw);
    if (!st)
        st = place_targets(b, offset);
    free(raw);
    free(u);
    return st;
}

/* made: the products c of axes_from, destroyed; NULL: they are made here. */
static asd_status fit(asd_basis *b, const float *x, int64_t n, int64_t D,
                      const unsigned char *is_target, const asd_basis_rule *rule, double *made,
                      const char *what)
{
    double *z = NULL, *offset = NULL, *c = NULL;
    start(b, D, is_target, n, rule->centre);
    double     weight  = rule->weight > 0                 ? rule->weight
                         : b->count.n[0] && b->count.n[1] ? (double)b->count.n[0] / (double)b->count.n[1]
                                                          : 1;
    double     total   = (double)b->count.n[0] + weight * (double)b->count.n[1];
    double     root[2] = {sqrt(1 / total), sqrt(weight / total)};
    asd_status st      = residual_rows(b, x, n, is_target, root, &z, &offset);
    if (!st && !made)
        st = gram(z, n, D, n < D, &c);
    if (!st)
        st = axes_from(b, z, n, made ? made : c, rule->k, offset, what);
    free(z);
    free(offset);
    free(c);
    return st;
}

asd_status asd_basis_fit(asd_basis *b, const float *x, int64_t n, int64_t D,
                         const unsigned char *is_target, const asd_basis_rule *rule,
                         const char *what)
{
    return fit(b, x, n, D, is_target, rule, NULL, what);
}

asd_status asd_basis_fit_products(asd_basis *b, const float *x, int64_t n, int64_t D,
                                  const unsigned char *is_target, const asd_basis_rule *rule,
                                  double *products, const char *what)
{
    return fit(b, x, n, D, is_target, rule, products, what);
}

/* --- Ledoit-Wolf --- */

/* systems E3: S is the upper triangle of z' z, z = rows / sqrt(n). Returns rho, *mu = tr(S) / D. */
static double shrinkage_of(const double *s, const double *z, int64_t n, int64_t D, double *mu)
{
    double trace = 0, square = 0, fourth = 0;
    for (int64_t i = 0; i < D; ++i) {
        double own = s[i * D + i];
        trace += own;
        square += own * own + 2 * asd_dot(s + i * D + i + 1, s + i * D + i + 1, D - i - 1);
    }
    for (int64_t r = 0; r < n; ++r) {
        double length = asd_dot(z + r * D, z + r * D, D); /* |r|^2 / n */
        fourth += length * length;
    }
    fourth *= (double)n; /* (1/n) sum of |r|^4 */
    *mu          = trace / (double)D;
    double delta = (square - (double)D * *mu * *mu) / (double)D;
    double beta  = (fourth - square) / ((double)n * (double)D);
    if (!(delta > 0))
        return 0;
    return fmin(fmax(beta, 0), delta) / delta;
}

/* a: upper triangle of L L', row-major; destroyed. */
static asd_status cholesky_axes(asd_basis *b, double *a, const char *what)
{
    lapack_int D = (lapack_int)b->D; /* not LAPACKE_dpotrf, which looks for NaN first */
    if (LAPACKE_dpotrf_work(LAPACK_COL_MAJOR, 'L', D, a, D))
        return ASD_FAIL(ASD_E_NUMERIC,
                        "%s: the %d x %d covariance of the training rows is singular and nothing "
                        "is shrunk: columns that say the same",
                        what, (int)D, (int)D);
    b->k = b->D;
    return asd_panels_factor(&b->axis, b->D, a);
}

/* Axes for scale S + add I. */
typedef struct shrunk {
    asd_basis *b;
    double     scale, add;
} shrunk;

/* s: upper triangle, kept. */
static asd_status shrunk_axes(const shrunk *to, const double *s, const double *offset,
                              const char *what)
{
    int64_t D = to->b->D;
    double *a = malloc((size_t)(D * D) * sizeof *a);
    if (!a)
        return ASD_FAIL(ASD_E_OOM, "%s: no memory for a covariance of %lld", what, (long long)D);
    for (int64_t i = 0; i < D; ++i) {
        for (int64_t k = i; k < D; ++k)
            a[i * D + k] = to->scale * s[i * D + k];
        a[i * D + i] += to->add;
    }
    asd_status st = cholesky_axes(to->b, a, what);
    free(a);
    return st ? st : place_targets(to->b, offset);
}

typedef struct shrunk_job {
    const shrunk *to;
    const double *s, *offset;
    const char   *what;
    asd_failure   failure;
} shrunk_job;

static void shrunk_chunk(void *ctx, int64_t chunk)
{
    shrunk_job *j = ctx;
    asd_failure_note(&j->failure, chunk, shrunk_axes(&j->to[chunk], j->s, j->offset, j->what));
}

/* All n of them side by side: a factorization has no parts that threads could share. */
static asd_status all_shrunk(const shrunk *to, int n, const double *s, const double *offset,
                             const char *what)
{
    shrunk_job j = {.to = to, .s = s, .offset = offset, .what = what};
    asd_failure_init(&j.failure);
    asd_par_for(n, shrunk_chunk, &j);
    return asd_failure_end(&j.failure);
}

static asd_status copy_mean(asd_basis *to, const asd_basis *from)
{
    if (!(to->mean = malloc((size_t)from->D * sizeof *to->mean)))
        return ASD_FAIL(ASD_E_OOM, "no memory for a centre");
    memcpy(to->mean, from->mean, (size_t)from->D * sizeof *to->mean);
    return ASD_OK;
}

asd_status asd_basis_ledoit_wolf(asd_basis *b, const float *x, int64_t n, int64_t D,
                                 const unsigned char *is_target, int centre, const char *what,
                                 double *shrinkage, asd_basis *held_out)
{
    double *z = NULL, *offset = NULL, *s = NULL, mu = 0, rho = 0;
    double  root = 1 / sqrt((double)n), roots[2] = {root, root};
    start(b, D, is_target, n, centre);
    if (held_out)
        start(held_out, D, is_target, n, centre);
    asd_status st = residual_rows(b, x, n, is_target, roots, &z, &offset);
    if (!st)
        st = gram(z, n, D, 0, &s);
    if (!st) {
        rho = shrinkage_of(s, z, n, D, &mu);
        if (!(mu > 0))
            st = ASD_FAIL(ASD_E_NUMERIC,
                          "%s: all training rows of a domain are equal, so there is no variance to "
                          "measure a distance in",
                          what);
    }
    if (!st && held_out)
        st = copy_mean(held_out, b);
    if (!st) {
        double grow  = (double)n / (double)(n > 1 ? n - 1 : 1);
        shrunk to[2] = {{b, 1 - rho, rho * mu}, {held_out, (1 - rho) * grow, rho * mu}};
        st           = all_shrunk(to, held_out ? 2 : 1, s, offset, what);
    }
    *shrinkage = rho;
    free(z);
    free(offset);
    free(s);
    return st;
}

/* --- use --- */

void asd_basis_project(const asd_basis *b, const float *x, int64_t n, double *y)
{
    asd_panels_multiply(&b->axis, x, n, b->mean, y);
}

ASD_SIMD double asd_dot(const double *a, const double *b, int64_t n)
{
    double  sum[LANES] = {0};
    int64_t i          = 0;
    for (; i + LANES <= n; i += LANES)
        for (int k = 0; k < LANES; ++k)
            sum[k] += a[i + k] * b[i + k];
    for (int k = 0; i + k < n; ++k)
        sum[k] += a[i + k] * b[i + k];
    return asd_detect_lanes_sum(sum);
}

ASD_SIMD static double square_between(const double *a, const double *b, int64_t n)
{
    double  sum[LANES] = {0};
    int64_t i          = 0;
    for (; i + LANES <= n; i += LANES)
        for (int k = 0; k < LANES; ++k)
            sum[k] += (a[i + k] - b[i + k]) * (a[i + k] - b[i + k]);
    for (int k = 0; i + k < n; ++k)
        sum[k] += (a[i + k] - b[i + k]) * (a[i + k] - b[i + k]);
    return asd_detect_lanes_sum(sum);
}

double asd_basis_distance(const asd_basis *b, const double *y, int domain)
{
    return sqrt(square_between(y, b->target[domain], b->k));
}

void asd_basis_clear(asd_basis *b)
{
    free(b->mean);
    free(b->target[0]);
    free(b->target[1]);
    free(b->value);
    asd_panels_clear(&b->axis);
    memset(b, 0, sizeof *b);
}
