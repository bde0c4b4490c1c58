/* special.c - see special.h.
 *
 * The incomplete gamma function is a prefactor D = x^a e^-x / Gamma(a + 1) times a power series
 * (x < a + 1) or a continued fraction. For a >= 10 the prefactor is written around x = a,
 *   D = exp(-a (mu - log(1 + mu))) / (sqrt(2 pi a) G*(a)),  mu = (x - a) / a,
 * with Stirling's G*: the direct form subtracts numbers of size a log a and would lose all digits
 * at the shapes of 1e6 that nearly normal scores lead to.
 */
#include "score/special.h"

#include "base/status.h"

#include <float.h>
#include <math.h>

#define SQRT_2PI 2.5066282746310002
#define SQRT_HALF 0.70710678118654752

/* psi(x) = ln x - 1/2x - sum B_2k / (2k x^2k), after psi(x) = psi(x + 1) - 1/x up to x >= 12. */
double asd_digamma(double x)
{
    double shift = 0;
    for (; x < 12; x += 1)
        shift -= 1 / x;
    double r = 1 / (x * x);
    double tail =
        r *
        (1.0 / 12 -
         r * (1.0 / 120 -
              r * (1.0 / 252 - r * (1.0 / 240 - r * (1.0 / 132 - r * (691.0 / 32760 - r / 12))))));
    return shift + log(x) - 0.5 / x - tail;
}

/* psi'(x) = 1/x + 1/2x^2 + sum B_2k / x^(2k+1). */
double asd_trigamma(double x)
{
    double shift = 0;
    for (; x < 12; x += 1)
        shift += 1 / (x * x);
    double r = 1 / (x * x);
    double tail =
        r *
        (1.0 / 6 -
         r * (1.0 / 30 -
              r * (1.0 / 42 - r * (1.0 / 30 - r * (5.0 / 66 - r * (691.0 / 2730 - r * 7 / 6))))));
    return shift + (1 + 0.5 / x + tail) / x;
}

/* mu - log(1 + mu), without cancellation near 0. */
static double phi(double mu)
{
    if (fabs(mu) > 0.25)
        return mu - log1p(mu);
    double sum = 0, power = mu * mu;
    for (int k = 2; k < 40; ++k, power *= -mu)
        sum += power / k;
    return sum;
}

/* x^a e^-x / Gamma(a + 1) */
static double prefactor(double a, double x)
{
    if (a < 10) {
        int sign;
        return exp(a * log(x) - x - lgamma_r(a + 1, &sign));
    }
    double r = 1 / (a * a);
    double stirling =
        (1.0 / 12 - r * (1.0 / 360 - r * (1.0 / 1260 - r * (1.0 / 1680 - r / 1188)))) / a;
    return exp(-a * phi((x - a) / a) - stirling) / (SQRT_2PI * sqrt(a));
}

double asd_gamma_p(double a, double x)
{
    ASD_ASSERT(a > 0 && x >= 0);
    if (x == 0)
        return 0;
    if (isinf(x))
        return 1;
    double d = prefactor(a, x);
    if (x < a + 1) { /* P = D sum x^n / ((a+1) .. (a+n)) */
        double term = 1, sum = 1;
        for (double n = 1; term > sum * 1e-17; n += 1) {
            term *= x / (a + n);
            sum += term;
        }
        return fmin(d * sum, 1);
    }
    /* Q = a D / (x+1-a - 1(1-a)/(x+3-a - ...)), by Lentz's method. */
    double b = x + 1 - a, c = 1 / DBL_MIN, e = 1 / b, h = e;
    for (double n = 1;; n += 1) {
        double an = -n * (n - a);
        b += 2;
        e         = 1 / (an * e + b);
        c         = b + an / c;
        double up = c * e;
        h *= up;
        if (fabs(up - 1) < 4e-16 || n > 1e7)
            break;
    }
    return 1 - a * d * h;
}

double asd_gamma_inv(double a, double q)
{
    ASD_ASSERT(a > 0 && q > 0 && q < 1);
    /* Wilson and Hilferty: (x / a)^(1/3) is nearly normal; for the lower tail of small shapes
     * P(a, x) is nearly x^a / Gamma(a + 1). */
    int    sign;
    double w = 1 - 1 / (9 * a) + asd_normal_inv(q) / (3 * sqrt(a));
    double x = a * w * w * w;
    if (w < 0.2)
        x = exp((log(q) + lgamma_r(a + 1, &sign)) / a);
    double lo = 0, hi = INFINITY;
    for (int i = 0; i < 200; ++i) {
        double excess = asd_gamma_p(a, x) - q;
        if (excess == 0)
            break;
        if (excess > 0)
            hi = x;
        else
            lo = x;
        double next = x - excess / (prefactor(a, x) * a / x); /* density = dP/dx */
        if (!(next > lo && next < hi))
            next = isinf(hi) ? 2 * x : 0.5 * (lo + hi);
        double step = fabs(next - x);
        x           = next;
        if (step <= 1e-15 * x)
            break;
    }
    return x;
}

double asd_normal_cdf(double z)
{
    return 0.5 * erfc(-z * SQRT_HALF);
}

double asd_normal_inv(double p)
{
    ASD_ASSERT(p >= 0 && p <= 1);
    if (p > 0.5)
        return -asd_normal_inv(1 - p);
    if (p == 0)
        return -INFINITY;
    if (p == 0.5)
        return 0;
    /* Start with error < 5e-4 (Abramowitz and Stegun 26.2.23), then Halley's steps on the cdf. */
    double t = sqrt(-2 * log(p));
    double z = -(t - (2.515517 + t * (0.802853 + t * 0.010328)) /
                         (1 + t * (1.432788 + t * (0.189269 + t * 0.001308))));
    for (int i = 0; i < 3; ++i) {
        /* near 1/2 both are taken from there, or the difference would have no digits left */
        double excess = p > 0.25 ? 0.5 * erf(z * SQRT_HALF) - (p - 0.5) : asd_normal_cdf(z) - p;
        double u      = excess * SQRT_2PI * exp(0.5 * z * z);
        z -= u / (1 + 0.5 * z * u);
    }
    return z;
}

/* Regularised incomplete beta function for x < (a + 1) / (a + b + 2), by its continued fraction. */
static double beta_fraction(double a, double b, double x)
{
    int    sign;
    double front = exp(lgamma_r(a + b, &sign) - lgamma_r(a, &sign) - lgamma_r(b, &sign) +
                       a * log(x) + b * log1p(-x)) /
                   a;
    double c = 1, d = 1 / (1 - (a + b) * x / (a + 1)), h = d;
    for (double m = 1; m < 1e5; m += 1) {
        double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        d           = 1 / (1 + even * d);
        c           = 1 + even / c;
        h *= d * c;
        double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        d          = 1 / (1 + odd * d);
        c          = 1 + odd / c;
        h *= d * c;
        if (fabs(d * c - 1) < 1e-16)
            break;
    }
    return front * h;
}

/* P(T > t) for t >= 0: I_x(dof/2, 1/2) / 2 with x = dof / (dof + t^2). */
static double student_tail(double t, double dof)
{
    double x = dof / (dof + t * t), a = 0.5 * dof, b = 0.5;
    if (x < (a + 1) / (a + b + 2))
        return 0.5 * beta_fraction(a, b, x);
    return 0.5 * (1 - beta_fraction(b, a, t * t / (dof + t * t)));
}

double asd_student_inv(double p, double dof)
{
    ASD_ASSERT(p > 0 && p < 1 && dof > 0);
    if (p < 0.5)
        return -asd_student_inv(1 - p, dof);
    if (p == 0.5)
        return 0;
    double lo = 0, hi = 1;
    while (student_tail(hi, dof) > 1 - p)
        hi *= 2;
    for (int i = 0; i < 200 && hi - lo > 1e-15 * hi; ++i) {
        double mid                                    = 0.5 * (lo + hi);
        *(student_tail(mid, dof) > 1 - p ? &lo : &hi) = mid;
    }
    return 0.5 * (lo + hi);
}
