/* cpu_math.h - exp, log and the normal distribution in fp32, written so that a loop over them
 * becomes vector code: no branch, no table, no call.
 *
 * The same bits on every instruction set (cpu.h). The polynomials are least-squares fits in 40
 * digits, reweighted until the largest relative error is smallest; the errors named here are theirs
 * plus rounding, measured by tests/test_cpu_math.c.
 */
#ifndef ASD_KERNELS_CPU_MATH_H
#define ASD_KERNELS_CPU_MATH_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#define ASD_INLINE static inline __attribute__((always_inline))

ASD_INLINE uint32_t asd_bits(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

ASD_INLINE float asd_from_bits(uint32_t u)
{
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

/* mask all ones: a; all zeros: b. Choices are made of whole numbers here, because a comparison of
 * floats may trap, and for fear of that the compiler keeps branches and gives up vectors. */
ASD_INLINE float asd_choose(uint32_t mask, float a, float b)
{
    return asd_from_bits((asd_bits(a) & mask) | (asd_bits(b) & ~mask));
}

/* e^x for x <= 88, within 2 ulp; 0 below -87.3 (where fp32 has no full digits left) and at -Inf;
 * NaN at NaN. */
ASD_INLINE float asd_exp_f32(float x)
{
    /* x = n ln 2 + r with |r| <= ln 2 / 2. Adding 1.5 * 2^23 rounds to a whole number, which then
     * stands in the low bits. */
    uint32_t u     = asd_bits(x); /* of negative numbers, larger is further from 0; NaN is last */
    uint32_t under = 0u - ((uint32_t)(u > asd_bits(-87.3f)) & (uint32_t)(u <= asd_bits(-INFINITY)));
    float    in    = asd_choose(under, -87.3f, x);
    float    big   = in * 1.44269504f + 12582912.0f;
    float    n     = big - 12582912.0f;
    float    r     = (in - n * 0.693359375f) - n * -2.12194440e-4f; /* ln 2 in two parts */
    float    p     = 1.381454398e-3f;
    p              = p * r + 8.368780309e-3f;
    p              = p * r + 4.16683931e-2f;
    p              = p * r + 1.666652011e-1f;
    p              = p * r + 4.999999342e-1f;
    p              = p * r * r + r + 1;
    return asd_choose(under, 0, p * asd_from_bits((asd_bits(big) << 23) + 0x3f800000u)); /* 2^n */
}

/* ln x for positive normal x, within 1 ulp; x itself where it is NaN or +Inf. */
ASD_INLINE float asd_log_f32(float x)
{
    /* x = 2^n (1 + f) with 2/3 <= 1 + f < 4/3. ln (1 + f) = f - f^2/2 + f^3 P(f). */
    uint32_t u = asd_bits(x), special = 0u - (uint32_t)(u >= 0x7f800000u);
    uint32_t above = u - 0x3f2aaaabu; /* bits of 2/3 */
    float    n     = (float)((int32_t)above >> 23);
    float    f     = asd_from_bits((above & 0x007fffffu) + 0x3f2aaaabu) - 1;
    float    p     = -1.288595883e-1f;
    p              = p * f + 1.398571808e-1f;
    p              = p * f - 1.218562631e-1f;
    p              = p * f + 1.400557203e-1f;
    p              = p * f - 1.668038436e-1f;
    p              = p * f + 2.001042747e-1f;
    p              = p * f - 2.499980008e-1f;
    p              = p * f + 3.333321551e-1f;
    p              = f * f * (f * p - 0.5f) + n * -2.12194440e-4f;
    return asd_choose(special, x, n * 0.693359375f + (f + p)); /* ln 2 in two parts */
}

/* Phi(x), the probability that a standard normal number is below x: within 4e-7 of its value down
 * to x = -5, and 2e-6 further out, where exp(-x^2 / 2) feels the rounding of x^2. density: the
 * derivative, exp(-x^2/2) / sqrt(2 pi).
 *
 * With z = |x| / sqrt 2: Phi(-|x|) = erfc(z) / 2 = exp(-z^2) t P(t) / 2, t = 1 / (1 + z / 1.5). */
ASD_INLINE float asd_normal_f32(float x, float *density)
{
    float e  = asd_exp_f32(-0.5f * x * x);
    float z  = asd_from_bits(asd_bits(x) & 0x7fffffffu);
    float t  = 1 / (1 + z * 0.471404521f); /* 1 / (1.5 sqrt 2) */
    float u  = t * 2.3f - 1.3f;            /* -1 .. 1 for z = 10 .. 0 */
    float p  = 1.207233582e-4f;
    p        = p * u - 2.548715324e-4f;
    p        = p * u - 5.312111411e-4f;
    p        = p * u + 2.770053057e-3f;
    p        = p * u - 8.858158203e-4f;
    p        = p * u - 2.211729079e-2f;
    p        = p * u + 2.838605058e-2f;
    p        = p * u + 3.043949117e-1f;
    p        = p * u + 6.88117369e-1f;
    float q  = 0.5f * e * t * p;
    *density = e * 0.398942280f;
    return asd_choose(0u - (asd_bits(x) >> 31), q, 1 - q);
}

/* Sixteen running sums, added up in a fixed order: the same for every vector width. */
enum { ASD_LANES = 16 };

ASD_INLINE float asd_lanes_sum(const float *s)
{
    float t[ASD_LANES];
    memcpy(t, s, sizeof t);
    for (int half = ASD_LANES / 2; half; half /= 2)
        for (int k = 0; k < half; ++k)
            t[k] += t[k + half];
    return t[0];
}

#endif
