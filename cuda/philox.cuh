/* philox.cuh - the random numbers of base/rng.h on the device: Philox 4x32-10 (Salmon et al., SC
 * 2011), the same words for the same (seed, purpose, a, b).
 *
 * A word is a function of where it stands, so a kernel needs no state and may make the same words
 * again in the backward. Keep in step with base/rng.c: mix64, asd_rng_init.
 */
#ifndef ASD_CUDA_PHILOX_CUH
#define ASD_CUDA_PHILOX_CUH

#include "cuda/kernel.cuh"

/* A cell of random words: the key, and the words of the counter that stay. */
struct random_cell {
    uint32_t key[2], purpose, b[2];
};

/* splitmix64's last steps */
static __device__ __forceinline__ uint64_t random_mix(uint64_t z)
{
    z += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* purpose: asd_rng_purpose */
static __device__ __forceinline__ random_cell random_open(uint64_t seed, uint32_t purpose,
                                                          uint64_t a, uint64_t b)
{
    uint64_t    key = random_mix(seed) ^ random_mix(a + 0x6a09e667f3bcc909u);
    random_cell r;
    r.key[0]  = (uint32_t)key;
    r.key[1]  = (uint32_t)(key >> 32);
    r.purpose = purpose;
    r.b[0]    = (uint32_t)b;
    r.b[1]    = (uint32_t)(b >> 32);
    return r;
}

/* Words 4 block .. 4 block + 3 of the cell. */
static __device__ __forceinline__ void random_block(const random_cell &r, uint32_t block,
                                                    uint32_t *word)
{
    uint32_t c0 = block, c1 = r.purpose, c2 = r.b[0], c3 = r.b[1], k0 = r.key[0], k1 = r.key[1];
#pragma unroll
    for (int round = 0; round < 10; ++round) {
        uint64_t p = (uint64_t)0xD2511F53u * c0, q = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(q >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)q;
        c2 = (uint32_t)(p >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    word[0] = c0;
    word[1] = c1;
    word[2] = c2;
    word[3] = c3;
}

#endif
