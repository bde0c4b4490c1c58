/* meldb.cu - samples to a mel spectrogram in decibels on the GPU; the definition is meldb.c's.
 *
 * Two kernels, because nothing may be clamped before a clip's loudest value is known:
 *   meldb_fwd_k    samples in, decibels out, mapping as in fbank.cu (any N of fft.cuh); a block
 *                  stays within a clip and leaves its largest and smallest value in scratch
 *   meldb_clamp_k  a block per 4096 values of a clip: finds the clip's extremes among those of its
 *                  blocks (126 of them for 10 s), raises what is below the clamp and writes the
 *                  rows of zeros behind
 * Where the smallest value is above the clamp, which is so for most recordings (a clip below 20 dB
 * has no value that far down), the second reads nothing more. The largest of many is the same in
 * every order, so the bits do not depend on the blocks.
 *
 * Counted for 10 s clips of int16 in batches of 256, 64 bands = 256,256 frames of 512:
 *   device memory   82 MB in, 66 MB out                                      49 us at 3.0 TB/s
 *                   (clamping: at most 66 MB read and written again)
 *   cache           each sample is asked for 3.2 times, 262 MB; tables 9 KB per multiprocessor
 *   arithmetic      15 k FLOP a frame                                        3.8 GFLOP: 64 us at
 *                   60 TFLOP/s
 *   instructions    about 1,400 a warp and 2 frames at 4 a clock             194 us
 * so about 0.8 us a clip. Not measured.
 *
 * Numerics: fp32, no fast-math; the window carries the transform's 1/2 and int16's 2^-15.
 */
#include "cuda/kernel.cuh"

#include "cuda/mel.cuh"
#include "cuda/reduce.cuh" /* block_max */
#include "kernels/meldb.h"

#include <limits.h>

enum { BLOCK = 128, CLAMP_VALUES = 4096 /* of a block of the second kernel */ };

struct extremes {
    float most, least;
};

template <typename T> struct meldb_clips {
    const T  *x;     /* (B, S) */
    float    *y;     /* (B, rows, n_mels) */
    extremes *found; /* (B, blocks) */
    int64_t   S, hop;
    int       frames, rows; /* of a clip: with sound, and all */
    int       blocks;       /* of a clip */
};

/* Mirrored about the clip's first and last sample. */
static __device__ __forceinline__ int64_t mirrored(int64_t at, int64_t S)
{
    at = at < 0 ? -at : at;
    return at < S ? at : 2 * (S - 1) - at;
}

/* Block blockIdx.x % blocks of clip blockIdx.x / blocks. */
template <int N, typename T>
static __global__ void __launch_bounds__(BLOCK, real_fft<N>::E == 32 ? 3 : 6)
    meldb_fwd_k(meldb_clips<T> a, mel_tables k)
{
    using F = real_fft<N>;
    ASD_DYNAMIC_SHARED(float, shared);
    ASD_SHARED(float, scratch, BLOCK / WARP);
    int    t = (int)threadIdx.x % F::LANES, frame = (int)threadIdx.x / F::LANES;
    int    b = (int)blockIdx.x / a.blocks, part = (int)blockIdx.x % a.blocks;
    int    first    = part * (BLOCK / F::LANES); /* the block's first frame in its clip */
    int    team     = frame / F::FRAMES * F::FRAMES;
    float  re[F::E] = {}, im[F::E] = {}, most = -INFINITY, least = INFINITY;
    float *y = a.y + ((int64_t)b * a.rows + first + team) * k.n_mels;
    if (first + frame < a.frames)
        mel_load_frame<N>(a.x, b * a.S, (first + frame) * a.hop - N / 2, a.S, k.window, t, re, im,
                          [&](int64_t at) { return (float)a.x[b * a.S + mirrored(at, a.S)]; });
    real_fft_power<N>(re, im, t, shared + frame * F::FLOATS, k.turn);
    mel_energies<N>(k, shared + team * F::FLOATS, [&](int f, int m, float energy) {
        if (first + team + f >= a.frames)
            return;
        float power                  = energy < ASD_MELDB_FLOOR ? ASD_MELDB_FLOOR : energy;
        float dB                     = 4.3429448190325175f /* 10 / ln 10 */ * logf(power);
        most                         = fmaxf(most, dB);
        least                        = fminf(least, dB);
        y[(int64_t)f * k.n_mels + m] = dB;
    });
    most  = block_max<BLOCK>(most, scratch);
    least = -block_max<BLOCK>(-least, scratch);
    if (threadIdx.x == 0)
        a.found[blockIdx.x] = {most, least};
}

/* Block blockIdx.x % parts of clip blockIdx.x / parts: CLAMP_VALUES of its rows * n_mels values. */
static __global__ void __launch_bounds__(BLOCK)
    meldb_clamp_k(float *y, const extremes *found, int blocks, int parts, int64_t values,
                  int64_t with_sound, float top_db)
{
    ASD_SHARED(float, scratch, BLOCK / WARP);
    int     b    = (int)blockIdx.x / parts;
    int64_t from = (int64_t)((int)blockIdx.x % parts) * CLAMP_VALUES, to = from + CLAMP_VALUES;
    float   most = -INFINITY, least = INFINITY;
    to = to < values ? to : values;
    y += b * values;
    for (int i = (int)threadIdx.x; i < blocks; i += BLOCK) {
        extremes e = found[(int64_t)b * blocks + i];
        most       = fmaxf(most, e.most);
        least      = fminf(least, e.least);
    }
    float floor = block_max<BLOCK>(most, scratch) - top_db;
    least       = -block_max<BLOCK>(-least, scratch);
    if (least < floor)
        for (int64_t i = from + threadIdx.x; i < to && i < with_sound; i += BLOCK)
            if (y[i] < floor)
                y[i] = floor;
    for (int64_t i = (from > with_sound ? from : with_sound) + threadIdx.x; i < to; i += BLOCK)
        y[i] = 0;
}

template <int N, typename T>
static asd_status run_n(const asd_call *c, const mel_state *s, const meldb_clips<T> &a)
{
    using F       = real_fft<N>;
    int per_block = BLOCK / F::LANES, B = (int)c->x[0].shape.d[0];
    ASD_ASSERT(per_block == asd_meldb_frames_block(N));
    ASD_TRY(ASD_LAUNCH((meldb_fwd_k<N, T>), (unsigned)(B * a.blocks), BLOCK,
                       per_block * F::FLOATS * sizeof(float), c->stream, a, s->t));
    int64_t  values = (int64_t)a.rows * s->t.n_mels, sound = (int64_t)a.frames * s->t.n_mels;
    unsigned parts = asd_blocks(values, CLAMP_VALUES);
    float    top   = (float)((const asd_meldb_attr *)c->attr)->top_db;
    return ASD_LAUNCH(meldb_clamp_k, (unsigned)B * parts, BLOCK, 0, c->stream, a.y, a.found,
                      a.blocks, (int)parts, values, sound, top);
}

template <typename T> static asd_status run(const asd_call *c)
{
    const asd_meldb_attr *attr = (const asd_meldb_attr *)c->attr;
    const mel_state      *s    = (const mel_state *)c->state;
    meldb_clips<T>        a    = {};
    a.x                        = (const T *)c->x[0].x;
    a.y                        = (float *)c->y.x;
    a.found                    = (extremes *)c->work;
    a.S                        = c->x[0].shape.d[1];
    a.hop                      = attr->hop_samples;
    a.frames                   = (int)(1 + a.S / a.hop);
    a.rows                     = (int)c->y.shape.d[1];
    a.blocks                   = (int)asd_meldb_blocks(attr, a.frames);
    if (c->x[0].shape.d[0] == 0)
        return ASD_OK;
    switch (attr->n_fft) {
    case 64: return run_n<64>(c, s, a);
    case 128: return run_n<128>(c, s, a);
    case 256: return run_n<256>(c, s, a);
    case 512: return run_n<512>(c, s, a);
    case 1024: return run_n<1024>(c, s, a);
    case 2048: return run_n<2048>(c, s, a);
    default: return run_n<4096>(c, s, a);
    }
}

extern "C" asd_status meldb_fwd_cuda(const asd_call *c)
{
    return c->x[0].dtype == ASD_I16 ? run<int16_t>(c) : run<float>(c);
}

extern "C" asd_status meldb_prepare_cuda(asd_call *c)
{
    const asd_meldb_attr *a    = (const asd_meldb_attr *)c->attr;
    int64_t               rows = asd_rows(c->y.shape);
    if (rows > INT_MAX / 64 || rows * a->n_mels / CLAMP_VALUES > INT_MAX / 2)
        return ASD_FAIL(ASD_E_SHAPE, "meldb: %lld frames on CUDA, want fewer than 2^25",
                        (long long)rows);
    asd_mel_band *band = (asd_mel_band *)calloc((size_t)a->n_mels, sizeof *band);
    float     *weight = (float *)calloc((size_t)asd_meldb_bands(a, NULL, NULL) + 1, sizeof *weight);
    float     *window = (float *)calloc((size_t)a->n_fft, sizeof *window);
    mel_state *s      = (mel_state *)calloc(1, sizeof *s);
    asd_status st     = ASD_OK;
    c->state          = s;
    if (band && weight && window && s) {
        asd_meldb_window(a, c->x[0].dtype == ASD_I16 ? 0x1p-16 : 0.5, window);
        asd_meldb_bands(a, band, weight);
        st = mel_tables_new(s, c->stream, "meldb's tables", window, a->n_fft,
                            mel_turns_for(a->n_fft), band, weight, a->n_mels);
    } else {
        st = ASD_FAIL(ASD_E_OOM, "meldb: no memory for its tables");
    }
    free(window);
    free(weight);
    free(band);
    return st;
}

extern "C" void meldb_release_cuda(asd_call *c)
{
    mel_state *s = (mel_state *)c->state;
    if (s)
        mel_tables_free(s);
    free(s);
    c->state = NULL;
}
