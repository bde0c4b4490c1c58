/* posconv_mma.cu - posconv.c on tensor cores: bf16, groups of 16, 32 or 48 channels.
 *
 * Each group of a clip is a product without unfolding: y (P, W) = windows (P, k W) times w (k W,
 * W), where row t of `windows` is tokens t .. t + k - 1 of the group's channels, so the fragment of
 * tap j is the one of tap 0 read j rows further down. A block holds 512 tokens' window in shared
 * memory (61 KB for W = 48, k = 128) and streams the taps' W x W weights past it.
 *
 * Cost at W = 48, k = 128, P = 496: 4.7 GFLOP a clip; weights from the second cache 590 KB a block,
 * 512 FLOP a byte; of shared memory 28 cycles for 24 mma a warp, which take 35. 33 clips are 528
 * blocks, four waves of 132. Not measured on a GPU.
 * Packing w costs a pass of 18.9 MB in and 9.4 MB out.
 *
 * dx is the same with dy for x, taps in reverse and channels exchanged: the packing does that. dw
 * is a product over tokens for each tap: (W, B P) times (B P, W), dy and x both read turned.
 */
#include "cuda/kernel.cuh"

#include "cuda/mma.cuh"
#include "cuda/pack.cuh"
#include "kernels/posconv.h"

enum { THREADS = 256, WARPS = THREADS / WARP };

/* --- weights --- */

/* packed: (G, k, W/16, W, 16) bf16: [g][tap][in / 16][out][in % 16]. A thread for 16 inputs of one
 * output and tap; neighbours take neighbouring taps. */
template <typename U, int W>
static __global__ void __launch_bounds__(THREADS)
    posconv_pack_k(const U *__restrict__ w, bf16 *__restrict__ packed, asd_posconv_taps a,
                   int64_t k, int64_t count)
{
    int64_t n = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (n >= count)
        return;
    int64_t j = n % k, in = n / k % (W / 16) * 16, out = n / k / (W / 16) % W,
            g = n / k / (W / 16) / W;
    const U *from =
        w + a.first + g * a.group_step + out * a.out_step + in * a.in_step + j * a.tap_step;
    bf16 *to = packed + (((g * k + j) * (W / 16) + in / 16) * W + out) * 16;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        pack<bf16> p;
#pragma unroll
        for (int i = 0; i < 8; ++i)
            pack_set(p, i, to_f32(from[(half * 8 + i) * a.in_step]));
        store16(to + half * 8, p);
    }
}

/* --- y and dx --- */

/* A warp makes 64 tokens by all channels. Weights arrive two taps at a time, two steps ahead. */
enum { TILES = 4, TOKENS = WARPS * TILES * 16, STEP_TAPS = 2, STEPS = 3 };

static __host__ __device__ inline int window_rows(int64_t k)
{
    return (int)((TOKENS + k - 1 + 7) / 8 * 8);
}

template <int W> static size_t shared_bytes(int64_t k)
{
    return ((size_t)window_rows(k) * W + (size_t)STEPS * STEP_TAPS * W * W) * sizeof(bf16);
}

/* Taps 2 q and 2 q + 1 of the group: (W/16 W, 16) tiles. */
template <int W>
static __device__ __forceinline__ void load_step(shared_ptr<bf16> weight, const bf16 *packed,
                                                 int64_t q, int64_t k)
{
    enum { TAP = W * W, PIECES = TAP / 8 };
    for (int n = (int)threadIdx.x; n < STEP_TAPS * PIECES; n += THREADS) {
        int64_t tap   = q * STEP_TAPS + n / PIECES;
        int     piece = n % PIECES;
        cp_async16(weight + ((int)(q % STEPS) * STEP_TAPS + n / PIECES) * TAP +
                       tile_at<16>(piece / 2, piece % 2 * 8),
                   packed + tap * TAP + piece * 8, tap < k);
    }
}

/* One tap: sum += windows w. ALL: all four tiles of the warp have tokens, else `live` of them. */
template <int W, bool ALL>
static __device__ __forceinline__ void add_tap(mma_c (&sum)[TILES][W / 8], shared_ptr<bf16> window,
                                               int rows, int first, shared_ptr<bf16> weight,
                                               int live)
{
    int l  = mma_lane();
    int a0 = tile_at<16>(first + l % 16, l / 16 * 8),
        b0 = tile_at<16>(l % 8 + l / 16 * 8, l / 8 % 2 * 8);
#pragma unroll
    for (int in = 0; in < W / 16; ++in) {
        mma_a a[TILES];
#pragma unroll
        for (int m = 0; m < TILES; ++m)
            if (ALL || m < live)
                ldmatrix_x4(a[m].x, window + (in * rows * 16 + a0 + m * 256));
#pragma unroll
        for (int out = 0; out < W / 16; ++out) {
            uint32_t r[4];
            ldmatrix_x4(r, weight + ((in * W + out * 16) * 16 + b0));
            mma_b left = {{r[0], r[1]}}, right = {{r[2], r[3]}};
#pragma unroll
            for (int m = 0; m < TILES; ++m)
                if (ALL || m < live) {
                    mma_16x8x16(sum[m][2 * out], a[m], left);
                    mma_16x8x16(sum[m][2 * out + 1], a[m], right);
                }
        }
    }
}

/* Two neighbouring channels of one token. */
static __device__ __forceinline__ void put_pair(bf16 *to, float low, float high, int add)
{
    if (add) {
        low += to_f32(to[0]);
        high += to_f32(to[1]);
    }
    *reinterpret_cast<uint32_t *>(to) = bf16x2(low, high);
}

/* A block makes 512 tokens of one group of one clip: grid (token tiles, G, B). Shared: the window,
 * W/16 tiles of (rows, 16); then STEPS x STEP_TAPS taps of weights. */
template <int W>
static __global__ void __launch_bounds__(THREADS)
    posconv_mma_k(const bf16 *__restrict__ x, const bf16 *__restrict__ packed,
                  const float *__restrict__ bias, bf16 *__restrict__ y, asd_posconv_sizes s,
                  int64_t before, int add)
{
    ASD_DYNAMIC_SHARED(bf16, window);
    int              rows = window_rows(s.k), g = (int)blockIdx.y, warp = (int)threadIdx.x / WARP;
    shared_ptr<bf16> weight = window + rows * W;
    int64_t          t0 = (int64_t)blockIdx.x * TOKENS, left = s.P - t0;
    int64_t          steps = (s.k + STEP_TAPS - 1) / STEP_TAPS;
    int              first = warp * TILES * 16, live = (int)((left - first + 15) / 16);
    int              used = left < TOKENS ? (int)((left + 15) / 16 * 16 + s.k - 1) : rows;
    x += blockIdx.z * s.P * s.C + g * W;
    packed += g * s.k * W * W;
    for (int n = (int)threadIdx.x; n < used * (W / 8); n += THREADS) {
        int     row = n / (W / 8), piece = n % (W / 8);
        int64_t t = t0 + row - before;
        cp_async16(window + piece / 2 * rows * 16 + tile_at<16>(row, piece % 2 * 8),
                   x + t * s.C + piece * 8, t >= 0 && t < s.P);
    }
    for (int q = 0; q < STEPS - 1; ++q) {
        load_step<W>(weight, packed, q, s.k);
        cp_async_commit();
    }
    mma_c sum[TILES][W / 8] = {};
    for (int64_t q = 0; q < steps; ++q) {
        cp_async_wait<STEPS - 2>();
        __syncthreads(); /* step q is here for all, and all have done with step q - 1 */
        load_step<W>(weight, packed, q + STEPS - 1, s.k);
        cp_async_commit();
        for (int tap = 0; tap < STEP_TAPS && q * STEP_TAPS + tap < s.k; ++tap) {
            shared_ptr<bf16> w  = weight + ((int)(q % STEPS) * STEP_TAPS + tap) * W * W;
            int              at = first + (int)q * STEP_TAPS + tap;
            if (live >= TILES)
                add_tap<W, true>(sum, window, rows, at, w, TILES);
            else
                add_tap<W, false>(sum, window, rows, at, w, live);
        }
    }
    y += (blockIdx.z * s.P + t0) * s.C + g * W;
#pragma unroll
    for (int m = 0; m < TILES; ++m)
#pragma unroll
        for (int n = 0; n < W / 8; ++n)
#pragma unroll
            for (int i = 0; i < 4; i += 2) {
                int64_t t = first + m * 16 + mma_row(i);
                int     o = n * 8 + mma_column(0);
                if (t < left)
                    put_pair(y + t * s.C + o, sum[m][n].x[i] + (bias ? bias[g * W + o] : 0.0f),
                             sum[m][n].x[i + 1] + (bias ? bias[g * W + o + 1] : 0.0f), add);
            }
}

template <typename U, int W>
static asd_status convolve(const asd_call *c, const void *x, const float *bias, void *y,
                           asd_posconv_taps a, int add)
{
    asd_posconv_sizes s      = asd_posconv_sizes_of(c->x[0].shape, c->x[1].shape);
    bf16             *packed = (bf16 *)c->work;
    int64_t           count  = s.C * (W / 16) * s.k;
    ASD_TRY(ASD_LAUNCH((posconv_pack_k<U, W>), dim3(asd_blocks(count, THREADS)), dim3(THREADS), 0,
                       c->stream, (const U *)c->x[1].x, packed, a, s.k, count));
    return ASD_LAUNCH((posconv_mma_k<W>),
                      dim3(asd_blocks(s.P, TOKENS), (unsigned)s.G, (unsigned)s.B), dim3(THREADS),
                      shared_bytes<W>(s.k), c->stream, (const bf16 *)x, packed, bias, (bf16 *)y, s,
                      a.before, add);
}

/* --- dw --- */

/* Tokens of a step, taps of a warp and of a block, x's tokens of a step, floats from pair to pair.
 */
enum { CHUNK = 64, TAPS = 2, SLOTS = WARPS * TAPS, ROWS = CHUNK + SLOTS, PLACE = SLOTS + 1 };

/* A block makes 16 taps of one group's (W, W) channel pairs, over the tokens of all clips in
 * order: grid (tap tiles, G). A warp makes TAPS neighbouring taps. Shared: of STEPS steps, dy as
 * W/16 tiles (CHUNK, 16), and x as W/16 tiles (ROWS, 16) that reach over the block's taps; at the
 * end 16 x 16 pairs of all the block's taps, so that taps, which are neighbours in memory, are
 * written side by side. */
template <int W>
static __global__ void __launch_bounds__(THREADS)
    posconv_dw_mma_k(const bf16 *__restrict__ dy, const bf16 *__restrict__ x,
                     float *__restrict__ dw, asd_posconv_sizes s, int add)
{
    const int STEP = (CHUNK + ROWS) * W, PIECES = W / 8;
    ASD_DYNAMIC_SHARED(bf16, shared);
    ASD_SHARED(float, turned, 256 * PLACE);
    int     g = (int)blockIdx.y, warp = (int)threadIdx.x / WARP;
    int64_t j0 = (int64_t)blockIdx.x * SLOTS, chunks = (s.P + CHUNK - 1) / CHUNK,
            all = s.B * chunks;
    dy += g * W;
    x += g * W;
    auto load = [&](int64_t q) {
        int64_t          b = q / chunks, t0 = q % chunks * CHUNK;
        shared_ptr<bf16> to = shared + (int)(q % STEPS) * STEP;
        for (int n = (int)threadIdx.x; q < all && n < (CHUNK + ROWS) * PIECES; n += THREADS) {
            int     row = n / PIECES, piece = n % PIECES, of_x = row >= CHUNK;
            int     r = of_x ? row - CHUNK : row, size = of_x ? ROWS : CHUNK;
            int64_t t = of_x ? t0 + r + j0 - s.before : t0 + r;
            cp_async16(to + (of_x ? CHUNK * W : 0) + piece / 2 * size * 16 +
                           tile_at<16>(r, piece % 2 * 8),
                       (of_x ? x : dy) + (b * s.P + t) * s.C + piece * 8, t >= 0 && t < s.P);
        }
        cp_async_commit();
    };
    mma_c sum[TAPS][W / 16][W / 8] = {};
    for (int q = 0; q < STEPS - 1; ++q)
        load(q);
    for (int64_t q = 0; q < all; ++q) {
        cp_async_wait<STEPS - 2>();
        __syncthreads();
        load(q + STEPS - 1);
        shared_ptr<bf16> of_dy = shared + (int)(q % STEPS) * STEP, of_x = of_dy + CHUNK * W;
#pragma unroll
        for (int t = 0; t < CHUNK; t += 16) {
            mma_a a[W / 16];
#pragma unroll
            for (int m = 0; m < W / 16; ++m)
                a[m] = mma_load_a_trans<16>(of_dy + m * CHUNK * 16, t, 0);
#pragma unroll
            for (int tap = 0; tap < TAPS; ++tap)
#pragma unroll
                for (int n = 0; n < W / 16; ++n) {
                    mma_b b[2];
                    mma_load_b_trans<16>(b, of_x + n * ROWS * 16, t + warp * TAPS + tap, 0);
#pragma unroll
                    for (int m = 0; m < W / 16; ++m) {
                        mma_16x8x16(sum[tap][m][2 * n], a[m], b[0]);
                        mma_16x8x16(sum[tap][m][2 * n + 1], a[m], b[1]);
                    }
                }
        }
    }
#pragma unroll
    for (int m = 0; m < W / 16; ++m)
#pragma unroll
        for (int n = 0; n < W / 16; ++n) {
            __syncthreads(); /* the pairs before have been read */
#pragma unroll
            for (int tap = 0; tap < TAPS; ++tap)
#pragma unroll
                for (int i = 0; i < 8; ++i)
                    turned[(mma_row(i % 4) * 16 + i / 4 * 8 + mma_column(i % 4)) * PLACE +
                           warp * TAPS + tap] = sum[tap][m][2 * n + i / 4].x[i % 4];
            __syncthreads();
            for (int e = (int)threadIdx.x; e < 256 * SLOTS; e += THREADS) {
                int     pair = e / SLOTS, slot = e % SLOTS;
                int64_t o = m * 16 + pair / 16, i = n * 16 + pair % 16;
                if (j0 + slot >= s.k)
                    continue;
                float *to = dw + ((g * W + o) * W + i) * s.k + j0 + slot;
                float  v  = turned[pair * PLACE + slot];
                *to       = add ? *to + v : v;
            }
        }
}

template <int W> static asd_status weights(const asd_call *c)
{
    asd_posconv_sizes s = asd_posconv_sizes_of(c->x[0].shape, c->x[1].shape);
    return ASD_LAUNCH((posconv_dw_mma_k<W>), dim3(asd_blocks(s.k, SLOTS), (unsigned)s.G),
                      dim3(THREADS), (size_t)STEPS * (CHUNK + ROWS) * W * sizeof(bf16), c->stream,
                      (const bf16 *)c->y.g, (const bf16 *)c->x[0].x, (float *)c->x[1].g, s,
                      c->acc[1]);
}

/* --- choices --- */

/* What a block may have on every device from sm_80 on; sm_80 itself has 163 KB. */
enum { MOST_SHARED = 99 << 10 };

extern "C" int asd_posconv_mma_fits(asd_posconv_sizes s)
{
    size_t bytes = s.W == 16   ? shared_bytes<16>(s.k)
                   : s.W == 32 ? shared_bytes<32>(s.k)
                   : s.W == 48 ? shared_bytes<48>(s.k)
                               : MOST_SHARED + 1;
    return bytes <= MOST_SHARED;
}

template <typename U>
static asd_status convolve_by(const asd_call *c, const void *x, const float *bias, void *y,
                              asd_posconv_taps a, int add)
{
    switch (c->x[1].shape.d[1]) {
    case 16: return convolve<U, 16>(c, x, bias, y, a, add);
    case 32: return convolve<U, 32>(c, x, bias, y, a, add);
    default: return convolve<U, 48>(c, x, bias, y, a, add);
    }
}

extern "C" asd_status asd_posconv_mma(const asd_call *c, const void *x, const float *bias, void *y,
                                      asd_posconv_taps a, int add)
{
    return c->x[1].dtype == ASD_F32 ? convolve_by<float>(c, x, bias, y, a, add)
                                    : convolve_by<bf16>(c, x, bias, y, a, add);
}

extern "C" asd_status asd_posconv_dw_mma(const asd_call *c)
{
    switch (c->x[1].shape.d[1]) {
    case 16: return weights<16>(c);
    case 32: return weights<32>(c);
    default: return weights<48>(c);
    }
}
