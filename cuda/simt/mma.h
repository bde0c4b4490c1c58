/* mma.h - the primitives of mma.cuh for the shim: each lane gives what it holds, and takes what the
 * instruction would leave in its registers. A warp that is not all there, an address that is not on
 * 16 bytes and a tf32 operand that was never rounded are errors. */
#ifndef ASD_CUDA_SIMT_MMA_H
#define ASD_CUDA_SIMT_MMA_H

#include "cuda/simt/simt.h"

namespace simt
{

/* A collective of the whole warp, wherever it was called from. all: one T of each lane. */
template <typename T> void whole_warp(const char *what, const T &mine, T (&all)[32])
{
    const void *got;
    unsigned    gave = warp_exchange(0xffffffffu, &mine, sizeof mine, &got, __LINE__, what);
    if (gave != 0xffffffffu)
        fail("%s is of the whole warp, and lanes %08x have ended", what, ~gave);
    memcpy((void *)all, got, sizeof all);
}

static inline float half_of(uint32_t pair, int high)
{
    return asd_bf16_to_f32(bf16{(uint16_t)(high ? pair >> 16 : pair)});
}

static inline uint32_t pair_of(bf16 low, bf16 high)
{
    return (uint32_t)high.bits << 16 | low.bits;
}

struct operands {
    uint32_t a[4], b[2];
};

/* a(m, k) and b(k, n) where mma.cuh says that the lanes hold them. */
static inline float a_bf16(const operands *lane, int m, int k)
{
    return half_of(lane[m % 8 * 4 + k % 8 / 2].a[m / 8 + k / 8 * 2], k % 2);
}
static inline float b_bf16(const operands *lane, int k, int n)
{
    return half_of(lane[n * 4 + k % 8 / 2].b[k / 8], k % 2);
}
static inline float tf32(uint32_t bits)
{
    float x;
    if (bits & 0x1fff)
        fail("an operand of mma_16x8x8_tf32 has more bits than tf32: to_tf32 is missing");
    memcpy(&x, &bits, sizeof x);
    return x;
}
static inline float a_tf32(const operands *lane, int m, int k)
{
    return tf32(lane[m % 8 * 4 + k % 4].a[m / 8 + k / 4 * 2]);
}
static inline float b_tf32(const operands *lane, int k, int n)
{
    return tf32(lane[n * 4 + k % 4].b[k / 4]);
}

/* The sum of a step is exact, then rounded once; the hardware is not better than that. */
template <typename A, typename B>
void multiply(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], int depth, A get_a,
              B get_b, const char *what)
{
    operands mine, all[32];
    memcpy(mine.a, a, sizeof mine.a);
    memcpy(mine.b, b, sizeof mine.b);
    whole_warp(what, mine, all);
    for (int i = 0; i < 4; ++i) {
        int    m = lane() / 4 + i / 2 * 8, n = lane() % 4 * 2 + i % 2;
        double sum = c[i];
        for (int k = 0; k < depth; ++k)
            sum += (double)get_a(all, m, k) * (double)get_b(all, k, n);
        c[i] = (float)sum;
    }
}

struct row8 {
    bf16 x[8];
};

template <int N>
void load_matrices(uint32_t (&r)[N], ptr<bf16> row, int transposed, const char *what)
{
    row8 mine = {}, all[32];
    int  l = lane(), g = l / 4, t = l % 4;
    if (l < 8 * N) {
        shared_align(row.a, row.at * (int64_t)sizeof(bf16), 16, what);
        for (int i = 0; i < 8; ++i)
            mine.x[i] = row[i];
    }
    whole_warp(what, mine, all);
    for (int i = 0; i < N; ++i) {
        const row8 *m = all + (size_t)i * 8;
        r[i]          = transposed ? pair_of(m[2 * t].x[g], m[2 * t + 1].x[g])
                                   : pair_of(m[g].x[2 * t], m[g].x[2 * t + 1]);
    }
}

} // namespace simt

static inline uint32_t bf16x2(float low, float high)
{
    return simt::pair_of(asd_bf16_from_f32(low), asd_bf16_from_f32(high));
}

static inline void store_bf16x2(shared_ptr<bf16> p, uint32_t two)
{
    simt::shared_align(p.a, p.at * (int64_t)sizeof(bf16), 4, "store_bf16x2");
    p[0] = bf16{(uint16_t)two};
    p[1] = bf16{(uint16_t)(two >> 16)};
}

static inline uint32_t to_tf32(float x)
{
    uint32_t u = __float_as_uint(x);
    if ((u & 0x7f800000u) == 0x7f800000u) /* an infinity; a NaN that stays one */
        return (u & 0x007fffffu) ? 0x7fffe000u : u;
    return (u + 0x1000u) & ~0x1fffu;
}

static inline float exp2_fast(float x)
{
    float y = exp2f(x);
    return y < 0x1p-126f ? 0 : y;
}

static inline void mma_16x8x16(mma_c &c, const mma_a &a, const mma_b &b)
{
    simt::multiply(c.x, a.x, b.x, 16, simt::a_bf16, simt::b_bf16, "mma_16x8x16");
}
static inline void mma_16x8x8_tf32(mma_c &c, const mma_a &a, const mma_b &b)
{
    simt::multiply(c.x, a.x, b.x, 8, simt::a_tf32, simt::b_tf32, "mma_16x8x8_tf32");
}

static inline void ldmatrix_x4(uint32_t (&r)[4], shared_ptr<bf16> row)
{
    simt::load_matrices(r, row, 0, "ldmatrix_x4");
}
static inline void ldmatrix_x4_trans(uint32_t (&r)[4], shared_ptr<bf16> row)
{
    simt::load_matrices(r, row, 1, "ldmatrix_x4_trans");
}
static inline void ldmatrix_x2(uint32_t (&r)[2], shared_ptr<bf16> row)
{
    simt::load_matrices(r, row, 0, "ldmatrix_x2");
}
static inline void ldmatrix_x2_trans(uint32_t (&r)[2], shared_ptr<bf16> row)
{
    simt::load_matrices(r, row, 1, "ldmatrix_x2_trans");
}

template <typename T> static inline void cp_async16(shared_ptr<T> dst, const T *src, bool valid)
{
    simt::async_copy16(dst.a, dst.at * (int64_t)sizeof(T), src, valid);
}
static inline void cp_async_commit()
{
    simt::async_commit();
}
template <int YOUNGEST> static inline void cp_async_wait()
{
    simt::async_wait(YOUNGEST);
}

#endif
