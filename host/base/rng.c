/* rng.c - see rng.h. Philox itself comes from Random123, the reference implementation. */
#include "base/rng.h"

#include "base/status.h"

#include <math.h>
#include <string.h>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic"
#include <Random123/philox.h>
#pragma GCC diagnostic pop

/* splitmix64 finaliser: spreads (seed, a) over the 64-bit key. */
static uint64_t mix64(uint64_t z)
{
    z += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

void asd_rng_init(asd_rng *r, uint64_t seed, asd_rng_purpose purpose, uint64_t a, uint64_t b)
{
    uint64_t key = mix64(seed) ^ mix64(a + 0x6a09e667f3bcc909u);
    memset(r, 0, sizeof *r);
    r->key[0]     = (uint32_t)key;
    r->key[1]     = (uint32_t)(key >> 32);
    r->counter[1] = (uint32_t)purpose;
    r->counter[2] = (uint32_t)b;
    r->counter[3] = (uint32_t)(b >> 32);
}

static void next_block(asd_rng *r)
{
    philox4x32_ctr_t c = {{r->counter[0], r->counter[1], r->counter[2], r->counter[3]}};
    philox4x32_key_t k = {{r->key[0], r->key[1]}};
    philox4x32_ctr_t y = philox4x32(c, k);
    memcpy(r->block, y.v, sizeof r->block);
    r->left = 4;
    ++r->counter[0];
    ASD_ASSERT(r->counter[0] !=
               0); /* 2^34 words a cell: a caller that needs more must use another cell */
}

uint32_t asd_rng_u32(asd_rng *r)
{
    if (!r->left)
        next_block(r);
    return r->block[4 - r->left--];
}

/* LANES counters go through the ten rounds side by side: a round is two multiplications that wait
 * for the round before, so one counter alone leaves the multiplier idle. Constants as in
 * Random123's philox4x32. */
enum { LANES = 4 };

static void four_blocks(const asd_rng *r, uint32_t *out)
{
    uint32_t c0[LANES], c1[LANES], c2[LANES], c3[LANES], k0 = r->key[0], k1 = r->key[1];
    for (int i = 0; i < LANES; ++i) {
        c0[i] = r->counter[0] + (uint32_t)i;
        c1[i] = r->counter[1];
        c2[i] = r->counter[2];
        c3[i] = r->counter[3];
    }
    for (int round = 0; round < 10; ++round) {
        for (int i = 0; i < LANES; ++i) {
            uint64_t a = (uint64_t)0xD2511F53u * c0[i], b = (uint64_t)0xCD9E8D57u * c2[i];
            c0[i] = (uint32_t)(b >> 32) ^ c1[i] ^ k0;
            c1[i] = (uint32_t)b;
            c2[i] = (uint32_t)(a >> 32) ^ c3[i] ^ k1;
            c3[i] = (uint32_t)a;
        }
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    for (int i = 0; i < LANES; ++i) {
        out[4 * i]     = c0[i];
        out[4 * i + 1] = c1[i];
        out[4 * i + 2] = c2[i];
        out[4 * i + 3] = c3[i];
    }
}

void asd_rng_fill_u32(asd_rng *r, int64_t n, uint32_t *out)
{
    ASD_ASSERT(n >= 0);
    int64_t i = 0;
    while (i < n && r->left)
        out[i++] = asd_rng_u32(r);
    for (; n - i >= 4 * LANES && r->counter[0] <= UINT32_MAX - LANES; i += 4 * LANES) {
        four_blocks(r, out + i);
        r->counter[0] += LANES;
    }
    while (i < n)
        out[i++] = asd_rng_u32(r);
}

uint64_t asd_rng_u64(asd_rng *r)
{
    uint64_t lo = asd_rng_u32(r);
    return lo | (uint64_t)asd_rng_u32(r) << 32;
}

double asd_rng_uniform(asd_rng *r)
{
    return (double)(asd_rng_u64(r) >> 11) * 0x1p-53;
}

double asd_rng_range(asd_rng *r, double lo, double hi)
{
    return lo + (hi - lo) * asd_rng_uniform(r);
}

double asd_rng_normal(asd_rng *r)
{
    if (r->has_spare) {
        r->has_spare = 0;
        return r->spare;
    }
    double radius = sqrt(-2.0 * log(1.0 - asd_rng_uniform(r))); /* 1 - u is never 0 */
    double angle  = 6.283185307179586 * asd_rng_uniform(r);
    r->spare      = radius * sin(angle);
    r->has_spare  = 1;
    return radius * cos(angle);
}

uint32_t asd_rng_below(asd_rng *r, uint32_t n)
{
    ASD_ASSERT(n > 0);
    uint64_t m = (uint64_t)asd_rng_u32(r) * n;
    if ((uint32_t)m < n) {
        uint32_t reject =
            (uint32_t)(-n) % n; /* 2^32 mod n: these low values would be drawn once too often */
        while ((uint32_t)m < reject)
            m = (uint64_t)asd_rng_u32(r) * n;
    }
    return (uint32_t)(m >> 32);
}

void asd_rng_permutation(asd_rng *r, int64_t n, int32_t *out)
{
    ASD_ASSERT(n >= 0 && n < INT32_MAX);
    for (int64_t i = 0; i < n; ++i)
        out[i] = (int32_t)i;
    for (int64_t i = n - 1; i > 0; --i) {
        int64_t j   = asd_rng_below(r, (uint32_t)(i + 1));
        int32_t tmp = out[i];
        out[i]      = out[j];
        out[j]      = tmp;
    }
}

uint64_t asd_rng_hash(const char *text)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (const unsigned char *p = (const unsigned char *)text; *p; ++p)
        h = (h ^ *p) * 0x100000001b3u;
    return h;
}
