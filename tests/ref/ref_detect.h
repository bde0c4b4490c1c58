/* ref_detect.h - the detectors on embeddings by their definitions, in double, with naive loops: no
 * shared code with host/detect. Domains: is_target 0 or 1. All x: (n, D).
 */
#ifndef ASD_TESTS_REF_DETECT_H
#define ASD_TESTS_REF_DETECT_H

#include <stdint.h>

/* Eigenpairs of a symmetric a (n, n), which is destroyed, by Jacobi rotations; value falling,
 * vector (n, n) one a row. */
void ref_eigen(double *a, int n, double *value, double *vector);
/* Inverse of a (n, n) by Gauss-Jordan with row pivots. */
void ref_inverse(const double *a, int n, double *inverse);
/* Mean of the rows of a domain (-1: all), row `skip` left out (-1: none). Returns their number. */
int ref_mean(const double *x, int n, int D, const unsigned char *is_target, int domain, int skip,
             double *mean);

/* systems E1, 1-4: d to the source and to the target mean for m rows y. weight 0: n_s / n_t. With
 * all != 0 there is one centre, and both columns are equal. d: (m, 2) */
void ref_weighted(const double *x, int n, int D, const unsigned char *is_target, double weight,
                  int k, int all, const double *y, int m, double *d);
/* systems E3. rho < 0: the exact Ledoit-Wolf weight, which is returned; else rho and mu are used as
 * given. */
double ref_ledoit_wolf(const double *x, int n, int D, const unsigned char *is_target, double rho,
                       double *mu, const double *y, int m, double *d);
/* systems E10: the mean of the k smallest (kth != 0: the k-th smallest) of the distances of y (D)
 * to the rows of a domain (-1: all), row `skip` left out. */
double ref_knn(const double *x, int n, int D, const unsigned char *is_target, int domain, int skip,
               const double *y, int k, int kth, int cosine);

#endif
