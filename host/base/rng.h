/* rng.h - counter-based random numbers: Philox 4x32-10 (Salmon et al., SC 2011), the same bits on
 * CPU and GPU.
 *
 * There is no state to carry and so nothing to restore on resume: a draw is a pure function of
 *   seed     the run's seed
 *   purpose  what the numbers are for (asd_rng_purpose), so that two uses never share a stream
 *   a, b     two 64-bit coordinates chosen by the caller, for example epoch and clip; never a rank
 * or a thread An asd_rng walks the draws of one (seed, purpose, a, b) cell in order.
 *
 * Layout of the 128-bit counter: block number (32), purpose (32), low and high word of b; key: seed
 * mixed with a.
 */
#ifndef ASD_BASE_RNG_H
#define ASD_BASE_RNG_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum asd_rng_purpose {
    ASD_RNG_INIT = 1,  /* parameter initialisation: a = machine hash, b = parameter index   */
    ASD_RNG_ORDER,     /* order of the training rows: a = machine hash, b = epoch           */
    ASD_RNG_SPLIT,     /* validation split: a = machine hash                                */
    ASD_RNG_DROPOUT,   /* a = step, b = op                                                  */
    ASD_RNG_BOOTSTRAP, /* a = replicate, b = stratum                                        */
    ASD_RNG_SYNTH,     /* a = clip, b = component                                           */
    ASD_RNG_TEST,      /* unit tests                                                        */
    ASD_RNG_DETECT,    /* detectors: a = restart, b = hash of the detector's name           */
} asd_rng_purpose;

typedef struct asd_rng {
    uint32_t key[2];
    uint32_t counter[4];
    uint32_t block[4]; /* the four words of the current block */
    int      left;     /* words of it not used yet            */
    double   spare;    /* second normal of a pair             */
    int      has_spare;
} asd_rng;

void     asd_rng_init(asd_rng *r, uint64_t seed, asd_rng_purpose purpose, uint64_t a, uint64_t b);
uint32_t asd_rng_u32(asd_rng *r);
uint64_t asd_rng_u64(asd_rng *r);
/* The next n words, the same as n calls of asd_rng_u32 but several times as fast. out: (n) */
void     asd_rng_fill_u32(asd_rng *r, int64_t n, uint32_t *out);
double   asd_rng_uniform(asd_rng *r); /* [0, 1), 53 bits                      */
double   asd_rng_range(asd_rng *r, double lo, double hi);
double   asd_rng_normal(asd_rng *r);            /* mean 0, standard deviation 1 (Box-Muller) */
uint32_t asd_rng_below(asd_rng *r, uint32_t n); /* 0 .. n-1 without bias (Lemire 2019); n > 0 */
/* Uniform random permutation of 0 .. n-1 (Fisher-Yates). out: (n) */
void asd_rng_permutation(asd_rng *r, int64_t n, int32_t *out);
/* 64-bit FNV-1a of a text: a stable coordinate for a machine's name. */
uint64_t asd_rng_hash(const char *text);

#ifdef __cplusplus
}
#endif
#endif
