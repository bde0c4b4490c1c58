/* synthetic.h - numbers made from names alone, so that known answers need neither weights nor
 * audio: the generator of the encoders' specifications (beats 11, eat-sslam-dasheng 8.1).
 *
 *   h = FNV-1a-64 of the name; element j is the (j+1)-th splitmix64 output from state h;
 *   r = (output >> 40) / 2^23 - 1, in [-1, 1)
 */
#ifndef ASD_TESTS_REF_SYNTHETIC_H
#define ASD_TESTS_REF_SYNTHETIC_H

#include <math.h>
#include <stdint.h>

static inline uint64_t asd_synthetic_seed(const char *name)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (; *name; ++name)
        h = (h ^ (unsigned char)*name) * 0x100000001b3u;
    return h;
}

/* Element j of the sequence that starts with asd_synthetic_seed(name). */
static inline double asd_synthetic_at(uint64_t seed, int64_t j)
{
    uint64_t z = seed + ((uint64_t)j + 1) * 0x9E3779B97F4A7C15u;
    z          = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z          = (z ^ z >> 27) * 0x94D049BB133111EBu;
    z ^= z >> 31;
    return (double)(z >> 40) * 0x1p-23 - 1;
}

/* x[j] = scale * r(name)[j], j < n, in double and rounded once. */
static inline void asd_synthetic_fill(const char *name, double scale, int64_t n, float *x)
{
    uint64_t seed = asd_synthetic_seed(name);
    for (int64_t j = 0; j < n; ++j)
        x[j] = (float)(scale * asd_synthetic_at(seed, j));
}

/* BEATs' clip: 0.1 r("waveform"), the specification's is 16000 samples long. */
static inline void asd_synthetic_noise(int64_t n, float *x)
{
    asd_synthetic_fill("waveform", 0.1, n, x);
}

/* The clip of EAT, SSLAM and Dasheng at 16 kHz: a tone, a sweep and noise. */
static inline void asd_synthetic_sweep(int64_t n, float *x)
{
    const double two_pi = 6.283185307179586;
    uint64_t     seed   = asd_synthetic_seed("wave");
    for (int64_t i = 0; i < n; ++i) {
        double t = (double)i / 16000;
        x[i] = (float)(0.25 * sin(two_pi * 440 * t) + 0.15 * sin(two_pi * (200 * t + 150 * t * t)) +
                       0.05 * asd_synthetic_at(seed, i));
    }
}

#endif
