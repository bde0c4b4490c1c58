/* types.h - CUDA's vector types and bf16 for simt.h, as small as the kernels need them. */
#ifndef ASD_CUDA_SIMT_TYPES_H
#define ASD_CUDA_SIMT_TYPES_H

#include <cstdint>
#include <cstring>

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_)
    {
    }
};

#define SIMT_VECTORS(T, name, align)                                                               \
    struct alignas(2 * align) name##2                                                              \
    {                                                                                              \
        T x, y;                                                                                    \
    };                                                                                             \
    struct alignas(4 * align) name##4                                                              \
    {                                                                                              \
        T x, y, z, w;                                                                              \
    };                                                                                             \
    static inline name##2 make_##name##2(T x, T y)                                                 \
    {                                                                                              \
        return {x, y};                                                                             \
    }                                                                                              \
    static inline name##4 make_##name##4(T x, T y, T z, T w)                                       \
    {                                                                                              \
        return {x, y, z, w};                                                                       \
    }
SIMT_VECTORS(float, float, 4)
SIMT_VECTORS(int, int, 4)
SIMT_VECTORS(unsigned, uint, 4)
SIMT_VECTORS(short, short, 2)
#undef SIMT_VECTORS
struct alignas(16) double2 {
    double x, y;
};
static inline double2 make_double2(double x, double y)
{
    return {x, y};
}

struct bf16 {
    uint16_t bits;
};

static inline float asd_bf16_to_f32(bf16 x)
{
    uint32_t u = (uint32_t)x.bits << 16;
    float    y;
    memcpy(&y, &u, sizeof y);
    return y;
}

/* To nearest, ties to even; a NaN stays one. */
static inline bf16 asd_bf16_from_f32(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    if ((u & 0x7fffffffu) > 0x7f800000u)
        return {(uint16_t)(u >> 16 | 0x40)};
    return {(uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16)};
}

#endif
