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
