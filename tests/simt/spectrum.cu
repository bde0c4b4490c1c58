/* spectrum.cu - cuda/fft.cuh alone, every bin of it: the bands of logmel.cu never look at the first
 * and the last. Built for the shim and, where there is nvcc, for the device. */
#include "cuda/fft.cuh"

#include "tests/simt/spectrum.h"

enum { BLOCK = 128 };

template <int N>
static __global__ void __launch_bounds__(BLOCK)
    spectrum_k(const float *x, const float2 *table, float *power, int rows)
{
    using F = real_fft<N>;
    ASD_DYNAMIC_SHARED(float, shared);
    int   t = (int)threadIdx.x % F::LANES, frame = (int)threadIdx.x / F::LANES;
    int   row      = (int)blockIdx.x * (BLOCK / F::LANES) + frame;
    float re[F::E] = {}, im[F::E] = {};
    for (int m = 0; m < F::E && row < rows; ++m) {
        int at = row * N + 2 * (t + F::LANES * m);
        re[m]  = 0.5f * x[at];
        im[m]  = 0.5f * x[at + 1];
    }
    real_fft_power<N>(re, im, t, shared + frame * F::FLOATS, table);
    for (int k = t; k <= F::M && row < rows; k += F::LANES)
        power[row * (F::M + 1) + k] = shared[frame * F::FLOATS + k];
}

template <int N>
static asd_status run(asd_stream *s, int rows, const float *x, const float *table, float *power)
{
    int per_block = BLOCK / real_fft<N>::LANES;
    return ASD_LAUNCH((spectrum_k<N>), asd_blocks(rows, per_block), BLOCK,
                      per_block * real_fft<N>::FLOATS * sizeof(float), s, x, (const float2 *)table,
                      power, rows);
}

extern "C" asd_status spectrum_run(asd_stream *s, int n, int rows, const float *x,
                                   const float *table, float *power)
{
    switch (n) {
    case 64: return run<64>(s, rows, x, table, power);
    case 128: return run<128>(s, rows, x, table, power);
    case 256: return run<256>(s, rows, x, table, power);
    case 512: return run<512>(s, rows, x, table, power);
    case 1024: return run<1024>(s, rows, x, table, power);
    case 2048: return run<2048>(s, rows, x, table, power);
    default: return run<4096>(s, rows, x, table, power);
    }
}

template <int N> static size_t table_of(float *out)
{
    if (out)
        real_fft_table<N>((float2 *)out);
    return real_fft<N>::TABLE;
}

extern "C" size_t spectrum_table(int n, float *out)
{
    switch (n) {
    case 64: return table_of<64>(out);
    case 128: return table_of<128>(out);
    case 256: return table_of<256>(out);
    case 512: return table_of<512>(out);
    case 1024: return table_of<1024>(out);
    case 2048: return table_of<2048>(out);
    default: return table_of<4096>(out);
    }
}
