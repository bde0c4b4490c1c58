/* fft.cuh - power spectrum of N real samples inside a kernel, held in registers.
 *
 *   Z[k] = sum_{n < M} (x[2n] + i x[2n+1]) exp(-2 pi i n k / M)           M = N / 2
 *   X[k] = (Z[k] + conj Z[M-k]) / 2 - (i/2) exp(-2 pi i k / N) (Z[k] - conj Z[M-k])
 *   power[k] = |X[k]|^2,  k = 0 .. M
 *
 * One complex transform of half the length and a split, not two frames as the parts of one complex
 * number: there the rounding errors of a loud frame would land in the other one, and digital
 * silence next to noise would read -120 dB instead of the floor.
 *
 * Mapping: LANES threads share a frame, each holds E of its M complex values: thread t has those at
 * t + LANES m, m = 0 .. E-1, before and after each pass. A pass is E / R butterflies of R values in
 * registers (Stockham's order, so nothing is bit-reversed in memory); between passes the values
 * cross through shared memory. A team is the threads that wait for each other: one warp with
 * 32 / LANES frames, or for N = 4096 a block of 128 threads with one frame.
 *
 *      N     M    E  LANES  frames/team  passes        exchanges
 *     64    32    8      4            8  8 4                   1
 *    128    64    8      8            4  8 8                   1
 *    256   128   16      8            4  16 8                  1
 *    512   256   16     16            2  16 16                 1
 *   1024   512   32     16            2  32 16                 1
 *   2048  1024   32     32            1  32 32                 1
 *   4096  2048   16    128            1  16 16 8               2
 *
 * Shared memory of a frame: re[M], im[M] with one word of padding after each PAD. Of the exchange,
 * thread t writes at t E + r and reads at t + LANES m: with PAD = max(E, min(LANES, 32)) the first
 * falls on banks t (E + 1) + r, the second on consecutive ones, and frames are LANES banks apart,
 * so that no access of a warp meets a conflict. (Except the second exchange of N = 4096: 2 ways in
 * a quarter of the banks.)
 *
 * Numerics: all twiddle factors from double, rounded once; no fast-math. The relative error is that
 * of a textbook fp32 FFT, about 0.5 log2 N ulp of the frame's root mean square.
 *
 * Used by: logmel.cu. A Kaldi fbank (N = 512) needs the same with its own way to fill re, im.
 */
#ifndef ASD_CUDA_FFT_CUH
#define ASD_CUDA_FFT_CUH

#include "cuda/kernel.cuh"

template <int N> struct real_fft {
    static_assert(N >= 64 && N <= 4096 && !(N & (N - 1)), "a power of two, 64 .. 4096");
    enum {
        M       = N / 2,
        E       = N < 256                 ? 8
                  : N < 1024 || N == 4096 ? 16
                                          : 32,
        LANES   = M / E,
        R1      = E,
        R2      = LANES < E ? LANES : E,
        R3      = M / (R1 * R2), /* 1: two passes do */
        TEAM    = LANES < WARP ? WARP : LANES,
        FRAMES  = TEAM / LANES,
        BANKS   = LANES < WARP ? LANES : WARP,
        PAD     = E > BANKS ? E : BANKS,
        PADDED  = M + M / PAD,
        FLOATS  = 2 * PADDED + (BANKS + WARP - 2 * PADDED % WARP) % WARP, /* one frame's memory */
        TABLE_2 = 0,
        TABLE_3 = TABLE_2 + (R2 - 1) * R1,
        SPLIT   = TABLE_3 + (R3 - 1) * R1 * R2,
        TABLE   = SPLIT + M / 2, /* float2 in the table of twiddle factors */
    };
};

/* re, im: cosine and minus sine of 2 pi i / 32 as the compiler's constants. */
static __device__ __forceinline__ constexpr float fft_cos32(int i)
{
    return i == 1   ? 0.98078528040323044913f
           : i == 2 ? 0.92387953251128675613f
           : i == 3 ? 0.83146961230254523708f
           : i == 4 ? 0.70710678118654752440f
           : i == 5 ? 0.55557023301960222474f
           : i == 6 ? 0.38268343236508977173f
           : i == 7 ? 0.19509032201612826785f
           : i == 0 ? 1.0f
           : i == 8 ? 0.0f
                    : -fft_cos32(16 - i);
}
static __device__ __forceinline__ constexpr float fft_sin32(int i)
{
    return i <= 8 ? fft_cos32(8 - i) : fft_cos32(i - 8);
}

/* (re, im) times exp(-2 pi i I / 32), 0 <= I < 16. */
template <int I> static __device__ __forceinline__ void fft_turn(float &re, float &im)
{
    constexpr float c = fft_cos32(I), s = fft_sin32(I);
    float           x = re, y = im;
    if constexpr (I == 8) {
        re = y;
        im = -x;
    } else if constexpr (I == 4) {
        re = c * (x + y);
        im = c * (y - x);
    } else if constexpr (I == 12) {
        re = s * (y - x);
        im = -s * (x + y);
    } else if constexpr (I != 0) {
        re = fmaf(x, c, y * s);
        im = fmaf(y, c, -(x * s));
    }
}

/* Steps J .. R/2-1 of one stage: sums to the first half, turned differences to the second. */
template <int R, int J, int STRIDE, int E>
static __device__ __forceinline__ void fft_stage(float (&re)[E], float (&im)[E], int at)
{
    int   a = at + J * STRIDE, b = a + R / 2 * STRIDE;
    float x = re[a], y = im[a];
    re[a] = x + re[b];
    im[a] = y + im[b];
    re[b] = x - re[b];
    im[b] = y - im[b];
    fft_turn<J * 32 / R>(re[b], im[b]);
    if constexpr (J + 1 < R / 2)
        fft_stage<R, J + 1, STRIDE>(re, im, at);
}

/* R values at at, at + STRIDE, ... become their transform, value k at place fft_reversed<R>(k). */
template <int R, int STRIDE, int E>
static __device__ __forceinline__ void fft_butterfly(float (&re)[E], float (&im)[E], int at)
{
    if constexpr (R > 1) {
        fft_stage<R, 0, STRIDE>(re, im, at);
        fft_butterfly<R / 2, STRIDE>(re, im, at);
        fft_butterfly<R / 2, STRIDE>(re, im, at + R / 2 * STRIDE);
    }
}

/* The bits of k < R in the opposite order. */
template <int R> static __device__ __forceinline__ constexpr int fft_reversed(int k)
{
    int r = 0;
    for (int bit = 1; bit < R; bit *= 2)
        r = r * 2 + (k & bit ? 1 : 0);
    return r;
}

/* Until all threads of a team are here. Every thread of the block must call it where a team is the
 * block. */
template <int N> static __device__ __forceinline__ void fft_team_wait()
{
    if constexpr ((int)real_fft<N>::TEAM == (int)WARP)
        __syncwarp();
    else
        __syncthreads();
}

/* One pass: values that NS-point transforms have made become R NS-point transforms. Leaves the
 * butterflies' results in registers, value r of butterfly b at b + fft_reversed<R>(r) E / R.
 * table: (R-1, NS), entry (r-1, k) = cos and sin of 2 pi r k / (R NS) */
template <int N, int R, int NS, int E>
static __device__ __forceinline__ void fft_pass(float (&re)[E], float (&im)[E], int t,
                                                const float2 *__restrict__ table)
{
#pragma unroll
    for (int b = 0; b < E / R; ++b) {
        int k = (t + real_fft<N>::LANES * b) % NS;
#pragma unroll
        for (int r = 1; NS > 1 && r < R; ++r) {
            int    m = b + r * (E / R);
            float2 w = table[(r - 1) * NS + k];
            float  x = re[m], y = im[m];
            re[m] = fmaf(x, w.x, y * w.y);
            im[m] = fmaf(y, w.x, -(x * w.y));
        }
        fft_butterfly<R, E / R>(re, im, b);
    }
}

/* Registers to shared memory in the order of the larger transforms, and back by t + LANES m.
 * Padding adds up: neither sum below carries over a multiple of PAD. */
template <int N, int R, int NS, int E>
static __device__ __forceinline__ void fft_exchange(float (&re)[E], float (&im)[E], int t,
                                                    shared_ptr<float> s)
{
    using F = real_fft<N>;
#pragma unroll
    for (int b = 0; b < E / R; ++b) {
        int i = t + F::LANES * b, k = i % NS, at = (i - k) * R + k;
        at += at / F::PAD;
#pragma unroll
        for (int r = 0; r < R; ++r) {
            int m = b + fft_reversed<R>(r) * (E / R), to = at + r * NS + r * NS / F::PAD;
            s[to]             = re[m];
            s[to + F::PADDED] = im[m];
        }
    }
    fft_team_wait<N>();
    int at = t + t / F::PAD;
#pragma unroll
    for (int m = 0; m < E; ++m) {
        int from = at + F::LANES * m + F::LANES * m / F::PAD;
        re[m]    = s[from];
        im[m]    = s[from + F::PADDED];
    }
    fft_team_wait<N>();
}

/* Z to the power of X. Z[t + LANES m] is in register b + fft_reversed<R>(r) E / R, where b and r
 * are the remainder and the quotient of m by E / R. The upper half of Z goes to the second half of
 * the frame's memory, where each thread finds the partners M-k of its k < M/2; power comes to s[0
 * .. M], which does not overlap. table: (M/2) cos and sin of 2 pi k / N */
template <int N, int R, int E>
static __device__ __forceinline__ void fft_split(const float (&re)[E], const float (&im)[E], int t,
                                                 shared_ptr<float> s,
                                                 const float2 *__restrict__ table)
{
    using F = real_fft<N>;
    static_assert((int)F::M < (int)F::PADDED, "power[M] ends before the partners begin");
    shared_ptr<float> upper = s + F::PADDED;
#pragma unroll
    for (int m = E / 2; m < E; ++m) {
        int from                          = m % (E / R) + fft_reversed<R>(m / (E / R)) * (E / R);
        upper[t + F::LANES * (m - E / 2)] = re[from];
        upper[t + F::LANES * (m - E / 2) + F::M / 2] = im[from];
    }
    fft_team_wait<N>();
#pragma unroll
    for (int m = 0; m < E / 2; ++m) {
        int   from = m % (E / R) + fft_reversed<R>(m / (E / R)) * (E / R);
        int   k    = t + F::LANES * m;
        float ar = re[from], ai = im[from], br = ar, bi = ai; /* Z[M] is Z[0] */
        if (k > 0) {
            br = upper[F::M / 2 - k];
            bi = upper[F::M - k];
        }
        float2 w  = table[k];
        float  er = ar + br, ei = ai - bi, dr = ar - br, di = ai + bi;
        float  xr = fmaf(w.x, di, -(w.y * dr)), xi = -fmaf(w.x, dr, w.y * di);
        float  pr = er + xr, pi = ei + xi, qr = er - xr, qi = ei - xi;
        s[k]        = fmaf(pr, pr, pi * pi);
        s[F::M - k] = fmaf(qr, qr, qi * qi);
    }
    if (t == 0) { /* X[M/2] = conj Z[M/2] */
        enum { MIDDLE = E / 2 % (E / R) + fft_reversed<R>(E / 2 / (E / R)) * (E / R) };
        s[F::M / 2] = 4 * fmaf(re[MIDDLE], re[MIDDLE], im[MIDDLE] * im[MIDDLE]);
    }
    fft_team_wait<N>();
}

/* Power spectrum of a frame. re, im: half the samples, x[2n]/2 and x[2n+1]/2 at n = t + LANES m (a
 * factor that fits into the window), lost. t: the thread's number among the frame's LANES. s: the
 * frame's real_fft<N>::FLOATS of shared memory; power in s[0 .. N/2] and visible to the whole team.
 * table: real_fft<N>::TABLE entries by real_fft_table<N>. All threads of the block must come. */
template <int N>
static __device__ __forceinline__ void
real_fft_power(float (&re)[real_fft<N>::E], float (&im)[real_fft<N>::E], int t, shared_ptr<float> s,
               const float2 *__restrict__ table)
{
    using F = real_fft<N>;
    fft_pass<N, F::R1, 1>(re, im, t, table);
    fft_exchange<N, F::R1, 1>(re, im, t, s);
    fft_pass<N, F::R2, F::R1>(re, im, t, table + F::TABLE_2);
    if constexpr ((int)F::R3 > 1) {
        fft_exchange<N, F::R2, F::R1>(re, im, t, s);
        fft_pass<N, F::R3, F::R1 * F::R2>(re, im, t, table + F::TABLE_3);
        fft_split<N, F::R3>(re, im, t, s, table + F::SPLIT);
    } else {
        fft_split<N, F::R2>(re, im, t, s, table + F::SPLIT);
    }
}

/* Entry (r-1, k) of a pass at out. */
static inline void fft_table_pass(float2 *out, int R, int NS)
{
    for (int r = 1; r < R; ++r)
        for (int k = 0; k < NS; ++k) {
            double turn           = 6.283185307179586 * r * k / ((double)R * NS);
            out[(r - 1) * NS + k] = make_float2((float)cos(turn), (float)sin(turn));
        }
}

/* On the host: fills out[real_fft<N>::TABLE]. */
template <int N> static inline void real_fft_table(float2 *out)
{
    using F = real_fft<N>;
    fft_table_pass(out + F::TABLE_2, F::R2, F::R1);
    fft_table_pass(out + F::TABLE_3, F::R3, F::R1 * F::R2);
    for (int k = 0; k < F::M / 2; ++k)
        out[F::SPLIT + k] = make_float2((float)cos(6.283185307179586 * k / N),
                                        (float)sin(6.283185307179586 * k / N));
}

#endif
