/* special.h - the special functions of statistics that C's library lacks, in double precision.
 *
 * Relative error about 1e-13 where not said otherwise; checked against SciPy in tests/test_score.c.
 */
#ifndef ASD_SCORE_SPECIAL_H
#define ASD_SCORE_SPECIAL_H

double asd_digamma(double x);             /* x > 0 */
double asd_trigamma(double x);            /* x > 0 */
double asd_gamma_p(double a, double x);   /* regularised lower incomplete gamma, a > 0, x >= 0 */
double asd_gamma_inv(double a, double q); /* x with asd_gamma_p(a, x) = q, 0 < q < 1 */

double asd_normal_cdf(double z);
/* -Inf at 0, Inf at 1; asd_normal_inv(1 - p) is exactly -asd_normal_inv(p) when 1 - p is exact. */
double asd_normal_inv(double p);

/* Student's t with `dof` degrees of freedom: t with P(T <= t) = p, 0 < p < 1. */
double asd_student_inv(double p, double dof);

#endif
