/* test_cpu_math.c - the vector maths of the CPU kernels against the C library's, over the whole
 * range. */
#include "harness.h"

#include "kernels/cpu_math.h"

#include <math.h>

/* In units of the last place of the fp32 nearest to `want`. */
static double ulps(float got, double want)
{
    float near = (float)want;
    return fabs((double)got - want) / (double)(nextafterf(fabsf(near), INFINITY) - fabsf(near));
}

static void test_exp(void **state)
{
    double worst = 0;
    (void)state;
    for (int i = -87200; i <= 88000; ++i) {
        float  x = (float)i * 1e-3f;
        double e = ulps(asd_exp_f32(x), exp((double)x));
        worst    = e > worst ? e : worst;
    }
    if (!(worst <= 2))
        fail_msg("exp is %g ulp off, want at most 2", worst);
}

static void test_exp_special(void **state)
{
    (void)state;
    assert_true(asd_exp_f32(0) == 1);
    assert_true(asd_exp_f32(-0.0f) == 1);
    assert_true(asd_exp_f32(-INFINITY) == 0);
    assert_true(asd_exp_f32(-1e30f) == 0);
    assert_true(asd_exp_f32(-88) == 0);
    assert_true(isnan(asd_exp_f32(NAN)));
}

static void test_log(void **state)
{
    double worst = 0;
    (void)state;
    for (uint32_t u = 0x00800000u; u < 0x7f800000u; u += 4093) { /* every power of two */
        float  x = asd_from_bits(u);
        double e = ulps(asd_log_f32(x), log((double)x));
        worst    = e > worst ? e : worst;
    }
    for (uint32_t u = asd_bits(0.5f); u < asd_bits(2.0f); u += 7) { /* where the sum cancels */
        float  x = asd_from_bits(u);
        double e = x == 1 ? 0 : ulps(asd_log_f32(x), log((double)x));
        worst    = e > worst ? e : worst;
    }
    if (!(worst <= 1))
        fail_msg("log is %g ulp off, want at most 1", worst);
}

static void test_log_special(void **state)
{
    (void)state;
    assert_true(asd_log_f32(1) == 0);
    assert_true(asd_log_f32(0x1p-23f) == -15.942385f); /* the Kaldi floor */
    assert_true(asd_log_f32(0x1p-126f) == (float)(-126 * 0.69314718055994531));
    assert_true(asd_log_f32(INFINITY) == INFINITY);
    assert_true(isnan(asd_log_f32(NAN)) && isnan(asd_log_f32(-NAN)));
}

static void test_normal(void **state)
{
    (void)state;
    for (int i = -12900; i <= 12900; ++i) {
        float  x    = (float)i * 1e-3f, density;
        float  p    = asd_normal_f32(x, &density);
        double want = 0.5 * erfc(-(double)x / sqrt(2));
        double d    = exp(-0.5 * (double)x * (double)x) / sqrt(2 * 3.14159265358979323846);
        double far  = fabs((double)x) > 5 ? 8e-6 : 1.2e-6;
        assert_near(p, want, want * far);
        assert_near(density, d, d * far);
    }
    float density;
    assert_near(asd_normal_f32(0, &density), 0.5, 1e-7);
    assert_true(asd_normal_f32(40, &density) == 1 && density == 0);
    assert_true(asd_normal_f32(-40, &density) == 0 && density == 0);
    assert_true(asd_normal_f32(-1e30f, &density) == 0 && density == 0);
    assert_true(isnan(asd_normal_f32(NAN, &density)));
}

static void test_lanes(void **state)
{
    float s[ASD_LANES];
    (void)state;
    for (int k = 0; k < ASD_LANES; ++k)
        s[k] = (float)(1 << k);
    assert_true(asd_lanes_sum(s) == (float)((1 << ASD_LANES) - 1));
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("kernels/cpu_math/exp/ulps", test_exp),
    ASD_CASE("kernels/cpu_math/exp/special", test_exp_special),
    ASD_CASE("kernels/cpu_math/log/ulps", test_log),
    ASD_CASE("kernels/cpu_math/log/special", test_log_special),
    ASD_CASE("kernels/cpu_math/normal/whole-range", test_normal),
    ASD_CASE("kernels/cpu_math/lanes/each-once", test_lanes),
};

ASD_TEST_MAIN(cases)
