/* posconv.cu - posconv.c on the device: the choice of kernel, and those in fp32 arithmetic for any
 * shape and dtype; tensor cores are in posconv_mma.cu.
 *
 * y and dx are one kernel: dx is the convolution of dy with the taps in reverse and the channels
 * exchanged. 9.4 MFLOP a token at BEATs' size, 77 GFLOP for 16,368 tokens; every value in shared
 * memory is used 8 to 48 times.
 * Deterministic: every output is one thread's sum in a fixed order; db in parts of rows (rows.h).
 */
#include "cuda/kernel.cuh"

#include "cuda/lines.cuh"
#include "kernels/posconv.h"

enum { THREADS = 128, RUN = 8 }; /* RUN: neighbours that a thread makes, tokens or taps */

/* --- y and dx --- */

enum { TOKENS = 64, OUT_LANES = 16, CHANNELS = 8, TAPS = 16, WINDOW = TOKENS + TAPS - 1 };

/* Tokens lie with a gap after every eighth: threads 8 tokens apart read different banks. */
static __device__ __forceinline__ int window_at(int t)
{
    return t + t / RUN;
}
enum { WINDOW_ROOM = WINDOW + WINDOW / RUN + 1 };

/* A block makes 64 tokens of 16 OUTS channels of one group of one clip: grid (token tiles, channel
 * tiles x G, B). Thread (tx, ty) of 8 x 16: tokens 8 tx .. 8 tx + 7 of channels ty + 16 r. Shared:
 * 8 input channels of the window, and 16 taps of them for all the block's channels. */
template <typename T, typename U, int OUTS>
static __global__ void __launch_bounds__(THREADS)
    posconv_k(const T *__restrict__ x, const U *__restrict__ w, const float *__restrict__ bias,
              T *__restrict__ y, asd_posconv_sizes s, asd_posconv_taps a, int add)
{
    enum { OUT = OUT_LANES * OUTS };
    ASD_SHARED(float, window, CHANNELS *WINDOW_ROOM);
    ASD_SHARED(float, weight, CHANNELS *TAPS *OUT);
    int tiles = (int)((s.W + OUT - 1) / OUT), g = (int)blockIdx.y / tiles;
    int out0 = (int)blockIdx.y % tiles * OUT, tx = (int)threadIdx.x % RUN,
        ty     = (int)threadIdx.x / RUN;
    int64_t t0 = (int64_t)blockIdx.x * TOKENS, W = s.W;
    x += blockIdx.z * s.P * s.C + g * W;
    w += a.first + g * a.group_step;
    float sum[OUTS][RUN] = {};
    for (int64_t i0 = 0; i0 < W; i0 += CHANNELS)
        for (int64_t j0 = 0; j0 < s.k; j0 += TAPS) {
            __syncthreads();
            for (int n = (int)threadIdx.x; n < CHANNELS * WINDOW; n += THREADS) {
                int64_t i = i0 + n % CHANNELS, t = t0 + j0 + n / CHANNELS - a.before;
                window[n % CHANNELS * WINDOW_ROOM + window_at(n / CHANNELS)] =
                    i < W && t >= 0 && t < s.P ? to_f32(x[t * s.C + i]) : 0.0f;
            }
            for (int n = (int)threadIdx.x; n < CHANNELS * TAPS * OUT; n += THREADS) {
                int64_t j = j0 + n % TAPS, i = i0 + n / TAPS % CHANNELS;
                int64_t o = out0 + n / (TAPS * CHANNELS);
                weight[n % (TAPS * CHANNELS) * OUT + n / (TAPS * CHANNELS)] =
                    i < W && j < s.k && o < W
                        ? to_f32(w[o * a.out_step + i * a.in_step + j * a.tap_step])
                        : 0.0f;
            }
            __syncthreads();
            for (int i = 0; i < CHANNELS; ++i) {
                float run[RUN];
#pragma unroll
                for (int r = 0; r < RUN - 1; ++r)
                    run[r] = window[i * WINDOW_ROOM + window_at(tx * RUN + r)];
#pragma unroll
                for (int j = 0; j < TAPS; ++j) {
                    run[(j + RUN - 1) % RUN] =
                        window[i * WINDOW_ROOM + window_at(tx * RUN + j + RUN - 1)];
#pragma unroll
                    for (int o = 0; o < OUTS; ++o) {
                        float f = weight[(i * TAPS + j) * OUT + ty + OUT_LANES * o];
#pragma unroll
                        for (int r = 0; r < RUN; ++r)
                            sum[o][r] += f * run[(j + r) % RUN];
                    }
                }
            }
        }
#pragma unroll
    for (int o = 0; o < OUTS; ++o)
#pragma unroll
        for (int r = 0; r < RUN; ++r) {
            int64_t t = t0 + tx * RUN + r, channel = out0 + ty + OUT_LANES * o;
            if (t >= s.P || channel >= W)
                continue;
            T    *to  = y + (blockIdx.z * s.P + t) * s.C + g * W + channel;
            float all = sum[o][r] + (bias ? bias[g * W + channel] : 0.0f);
            *to       = from_f32<T>(add ? to_f32(*to) + all : all);
        }
}

template <typename T, typename U>
static asd_status convolve(const asd_call *c, const void *x, const float *bias, void *y,
                           asd_posconv_sizes s, asd_posconv_taps a, int add)
{
    unsigned tokens = asd_blocks(s.P, TOKENS), G = (unsigned)s.G, B = (unsigned)s.B;
    if (s.W <= OUT_LANES)
        return ASD_LAUNCH((posconv_k<T, U, 1>), dim3(tokens, G, B), dim3(THREADS), 0, c->stream,
                          (const T *)x, (const U *)c->x[1].x, bias, (T *)y, s, a, add);
    return ASD_LAUNCH((posconv_k<T, U, 3>), dim3(tokens, G * asd_blocks(s.W, 3 * OUT_LANES), B),
                      dim3(THREADS), 0, c->stream, (const T *)x, (const U *)c->x[1].x, bias, (T *)y,
                      s, a, add);
}

/* --- dw --- */

enum { DW_OUT = 16, DW_IN = 8, DW_TAPS = 16, DW_TOKENS = 32, DW_WINDOW = DW_TOKENS + DW_TAPS - 1 };

/* A block makes 16 taps of 16 x 8 channel pairs of one group, over all clips and tokens in order:
 * grid (tap tiles, out tiles x in tiles, G). A thread makes 8 taps of two pairs: (out, in) and (out
 * + 8, in). Shared: 32 tokens of dy and their windows of x. */
template <typename T>
static __global__ void __launch_bounds__(THREADS)
    posconv_dw_k(const T *__restrict__ dy, const T *__restrict__ x, float *__restrict__ dw,
                 asd_posconv_sizes s, int add)
{
    ASD_SHARED(float, window, DW_IN *DW_WINDOW);
    ASD_SHARED(float, turn, DW_OUT *DW_TOKENS);
    int     out_tiles = (int)((s.W + DW_OUT - 1) / DW_OUT), g = (int)blockIdx.z;
    int64_t out0 = (int64_t)blockIdx.y % out_tiles * DW_OUT,
            in0 = (int64_t)blockIdx.y / out_tiles * DW_IN, j0 = (int64_t)blockIdx.x * DW_TAPS;
    int half = (int)threadIdx.x % 2, in = (int)threadIdx.x / 2 % DW_IN,
        out           = (int)threadIdx.x / (2 * DW_IN);
    float sum[2][RUN] = {};
    dy += g * s.W;
    x += g * s.W;
    for (int64_t b = 0; b < s.B; ++b)
        for (int64_t t0 = 0; t0 < s.P; t0 += DW_TOKENS) {
            __syncthreads();
            for (int n = (int)threadIdx.x; n < DW_IN * DW_WINDOW; n += THREADS) {
                int64_t i = in0 + n % DW_IN, t = t0 + j0 + n / DW_IN - s.before;
                window[n % DW_IN * DW_WINDOW + n / DW_IN] =
                    i < s.W && t >= 0 && t < s.P ? to_f32(x[(b * s.P + t) * s.C + i]) : 0.0f;
            }
            for (int n = (int)threadIdx.x; n < DW_OUT * DW_TOKENS; n += THREADS) {
                int64_t o = out0 + n % DW_OUT, t = t0 + n / DW_OUT;
                turn[n] = o < s.W && t < s.P ? to_f32(dy[(b * s.P + t) * s.C + o]) : 0.0f;
            }
            __syncthreads();
            shared_ptr<float> from = window + (in * DW_WINDOW + half * RUN);
            float             run[RUN];
#pragma unroll
            for (int r = 0; r < RUN - 1; ++r)
                run[r] = from[r];
#pragma unroll
            for (int t = 0; t < DW_TOKENS; ++t) {
                run[(t + RUN - 1) % RUN] = from[t + RUN - 1];
#pragma unroll
                for (int o = 0; o < 2; ++o) {
                    float d = turn[t * DW_OUT + out + o * (DW_OUT / 2)];
#pragma unroll
                    for (int r = 0; r < RUN; ++r)
                        sum[o][r] += d * run[(t + r) % RUN];
                }
            }
        }
#pragma unroll
    for (int o = 0; o < 2; ++o)
#pragma unroll
        for (int r = 0; r < RUN; ++r) {
            int64_t channel = out0 + out + o * (DW_OUT / 2), j = j0 + half * RUN + r;
            if (channel >= s.W || in0 + in >= s.W || j >= s.k)
                continue;
            float *to = dw + ((g * s.W + channel) * s.W + in0 + in) * s.k + j;
            *to       = add ? *to + sum[o][r] : sum[o][r];
        }
}

/* --- db --- */

/* A block adds part y of the rows of (R, C), 32 columns of them. */
template <typename T>
static __global__ void __launch_bounds__(LINE_THREADS)
    posconv_db_k(const T *__restrict__ dy, float *__restrict__ lines, int64_t R, int64_t part_rows,
                 int C)
{
    ASD_SHARED(float, buffer, LINE_THREADS);
    int     tile = (int)blockIdx.x * WARP, column = tile + (int)threadIdx.x % WARP;
    int64_t first = blockIdx.y * part_rows, end = first + part_rows < R ? first + part_rows : R;
    float   sum[1] = {0};
    for (int64_t r = first + threadIdx.x / WARP; r < end && column < C; r += LINE_WARPS)
        sum[0] += to_f32(dy[r * C + column]);
    line_put<1, 1>(sum, buffer, C - tile, lines + (int64_t)blockIdx.y * C + tile);
}

/* --- the op --- */

static int by_mma(const asd_call *c, asd_posconv_sizes s)
{
    return c->x[0].dtype == ASD_BF16 && asd_posconv_mma_fits(s);
}

static asd_status convolve_by(const asd_call *c, const void *x, const float *bias, void *y,
                              asd_posconv_sizes s, asd_posconv_taps a, int add)
{
    if (by_mma(c, s))
        return asd_posconv_mma(c, x, bias, y, a, add);
    if (c->x[0].dtype == ASD_F32)
        return convolve<float, float>(c, x, bias, y, s, a, add);
    return c->x[1].dtype == ASD_F32 ? convolve<bf16, float>(c, x, bias, y, s, a, add)
                                    : convolve<bf16, bf16>(c, x, bias, y, s, a, add);
}

extern "C" asd_status posconv_fwd_cuda(const asd_call *c)
{
    asd_posconv_sizes s = asd_posconv_sizes_of(c->x[0].shape, c->x[1].shape);
    return convolve_by(c, c->x[0].x, (const float *)c->x[2].x, c->y.x, s,
                       asd_posconv_forward_taps(s), 0);
}

template <typename T> static asd_status backward_dw(const asd_call *c, asd_posconv_sizes s)
{
    if (by_mma(c, s))
        return asd_posconv_dw_mma(c);
    return ASD_LAUNCH((posconv_dw_k<T>),
                      dim3(asd_blocks(s.k, DW_TAPS),
                           asd_blocks(s.W, DW_OUT) * asd_blocks(s.W, DW_IN), (unsigned)s.G),
                      dim3(THREADS), 0, c->stream, (const T *)c->y.g, (const T *)c->x[0].x,
                      (float *)c->x[1].g, s, c->acc[1]);
}

template <typename T> static asd_status backward_db(const asd_call *c, asd_posconv_sizes s)
{
    int64_t R = s.B * s.P, parts = asd_parts(R);
    float  *lines = (float *)c->work;
    ASD_TRY(ASD_LAUNCH((posconv_db_k<T>), dim3(asd_blocks(s.C, WARP), (unsigned)parts),
                       dim3(LINE_THREADS), 0, c->stream, (const T *)c->y.g, lines, R,
                       asd_part_rows(R), (int)s.C));
    sum_lines sums = {};
    sums.lines     = lines;
    sums.parts     = parts;
    sums.ld        = s.C;
    sums.columns   = (int)s.C;
    sums.out[0]    = (float *)c->x[2].g;
    sums.add[0]    = c->acc[2];
    return sum_lines_run(c->stream, sums, 1, 1);
}

template <typename T> static asd_status backward(const asd_call *c)
{
    asd_posconv_sizes s = asd_posconv_sizes_of(c->x[0].shape, c->x[1].shape);
    /* y[t, o] += w[o, i, j] x[t + j - before, i]  ->  dx[t, i] += w[o, i, j] dy[t - j + before, o]:
     * tap j' = k - 1 - j sees dy[t + j' - (k - 1 - before), o] */
    if (c->x[0].g)
        ASD_TRY(
            convolve_by(c, c->y.g, nullptr, c->x[0].g, s, asd_posconv_backward_taps(s), c->acc[0]));
    /* ->  dw[o, i, j] = sum over clips and t of dy[t, o] x[t + j - before, i] */
    if (c->x[1].g)
        ASD_TRY(backward_dw<T>(c, s));
    return c->x[2].g ? backward_db<T>(c, s) : ASD_OK;
}

extern "C" asd_status posconv_bwd_cuda(const asd_call *c)
{
    return c->x[0].dtype == ASD_BF16 ? backward<bf16>(c) : backward<float>(c);
}
