/* basis.h - linear algebra of the detectors: products whose rows know nothing of each other, and
 * the whitened basis that a Mahalanobis distance is measured in.
 *
 * All in double: a distance is a small difference of large numbers where embeddings have a mean far
 * from zero. A library's product may add in another order when the number of rows changes, so a
 * clip would score differently in company; asd_panels_multiply adds the terms of an element in one
 * order, whatever the rows beside it and the number of threads.
 */
#ifndef ASD_DETECT_BASIS_H
#define ASD_DETECT_BASIS_H

#include "detect/embedding.h"

/* A matrix (D, k) in panels of 8 columns: (ceil(k / 8), D, 8), padded with zeros. Or a lower
 * triangle L (D, D), by which multiplying is solving. */
typedef struct asd_panels {
    int64_t D, k;
    int     solves;
    double *a; /* owned */
} asd_panels;

asd_status asd_panels_new(asd_panels *p, int64_t D, int64_t k); /* zeroed; D <= ASD_MAX_COLUMNS */
/* l: (D, D) column-major, of which the lower triangle is copied; its diagonal is not 0 */
asd_status asd_panels_factor(asd_panels *p, int64_t D, const double *l);
/* Numbers of p->a, by D, k and solves; those of a (as many) in memory of its own. */
int64_t    asd_panels_numbers(const asd_panels *p);
asd_status asd_panels_copy(asd_panels *p, const double *a);
void       asd_panels_clear(asd_panels *p);
/* Of a matrix, not of a factor. */
static inline double *asd_panels_at(const asd_panels *p, int64_t row, int64_t column)
{
    return &p->a[(column / 8 * p->D + row) * 8 + column % 8];
}
/* y = (x - centre) p, of a factor the solution of y L' = x - centre. x: (n, D) float; centre: (D)
 * or NULL; y: (n, k). */
void asd_panels_multiply(const asd_panels *p, const float *x, int64_t n, const double *centre,
                         double *y);
/* The same of rows in double. */
void asd_panels_multiply_d(const asd_panels *p, const double *x, int64_t n, double *y);

/* The innermost loop, for tests: of x (depth, ASD_PANEL_ROWS), packed, and a panel (depth, 8), out
 * (ASD_PANEL_ROWS, 8) = or += x' panel. Best first, ended by NULL. */
enum { ASD_PANEL_ROWS = 6 };
typedef void (*asd_panel_tile)(int64_t depth, const double *x, const double *panel, int add,
                               double *out);
extern const asd_panel_tile asd_panel_tile_all[];
int                         asd_panel_tile_runs(asd_panel_tile tile); /* on this processor */

/* Means by domain, and axes a_i such that the squared distance of x to domain m is the sum over i
 * of (a_i' (x - mean_m))^2: whitened principal axes, or the rows of the inverse of a Cholesky
 * factor, by solving with it. */
typedef struct asd_basis {
    int64_t    D, k;
    int        one_centre; /* both domains share the mean of all rows */
    asd_counts count;
    double    *mean;      /* (D) that rows are centred by before projecting: the source's, or all */
    double    *target[2]; /* (k) where the domains' means fall: 0 for the centred one */
    double    *value;     /* (k) variances along the axes; NULL for a Cholesky factor */
    asd_panels axis;
} asd_basis;

enum { ASD_CENTRE_DOMAIN, ASD_CENTRE_ALL };

/* How rows are weighted and centred. */
typedef struct asd_basis_rule {
    int     centre; /* ASD_CENTRE_* */
    int64_t k;      /* axes at most; fewer when the rows span fewer */
    double  weight; /* of a target row; 0: source rows / target rows */
} asd_basis_rule;

/* systems E1, 1-3: top-k eigenvectors of (sum_s r r' + w sum_t r r') / (n_s + w n_t), r a row minus
 * its domain's mean. Variances below 1e-6 of the first are raised to that; directions in which the
 * rows do not vary beyond rounding are left out, for there eigenvectors are arbitrary. With fewer
 * rows than columns the rows' Gram matrix is decomposed instead. x: (n, D) finite.
 * ASD_E_NUMERIC naming `what` when all rows of each domain are equal. Call asd_basis_clear on any
 * return. */
asd_status asd_basis_fit(asd_basis *b, const float *x, int64_t n, int64_t D,
                         const unsigned char *is_target, const asd_basis_rule *rule,
                         const char *what);
/* The same with its products made elsewhere: (m, m), m the smaller of n and D, the upper triangle
 * of the weighted covariance (n >= D) or of the Gram matrix of the rows sqrt(w / sum of w) r. They
 * are destroyed. */
asd_status asd_basis_fit_products(asd_basis *b, const float *x, int64_t n, int64_t D,
                                  const unsigned char *is_target, const asd_basis_rule *rule,
                                  double *products, const char *what);
/* systems E3: S = mean of r r', shrunk towards its mean variance by the exact Ledoit-Wolf weight
 * (Ledoit and Wolf 2004): *shrinkage in [0, 1]. Axes: its Cholesky factor, by solving.
 * held_out (NULL: not wanted): the same with S n / (n - 1), from which leaving one row out is a
 * rank-one downdate. ASD_E_NUMERIC as above, or when nothing is shrunk and the rows span too
 * little.
 */
asd_status asd_basis_ledoit_wolf(asd_basis *b, const float *x, int64_t n, int64_t D,
                                 const unsigned char *is_target, int centre, const char *what,
                                 double *shrinkage, asd_basis *held_out);
/* y: (n, k) whitened coordinates from b->mean. */
void asd_basis_project(const asd_basis *b, const float *x, int64_t n, double *y);
/* Running sums, added up in one order: the same for every width of vectors. */
enum { ASD_DETECT_LANES = 8 };
static inline double asd_detect_lanes_sum(const double s[ASD_DETECT_LANES])
{
    return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}
/* sum of a[i] b[i], the same on every processor; a may be b */
double asd_dot(const double *a, const double *b, int64_t n);
/* |y - target_m| of one projected row */
double asd_basis_distance(const asd_basis *b, const double *y, int domain);
void   asd_basis_clear(asd_basis *b);

#endif
