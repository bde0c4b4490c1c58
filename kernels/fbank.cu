/* fbank.cu - samples to normalised Kaldi fbank on the GPU in one kernel; the definition is
 * fbank.c's.
 *
 * Mapping: fft.cuh's for N = 512: 16 threads a frame, two frames of consecutive rows (b, t) a warp,
 * 4 warps a block, each on its own. Thread l holds samples 2n, 2n+1 at n = l + 16 m, m < 13 (of
 * which 400 samples fill twelve and a half), read as pairs, consecutive lanes consecutive pairs.
 * The mean is a sum over registers and 16 lanes. Pre-emphasis wants the sample before a pair: it is
 * the second of the pair one lane down, and for lane 0 that of lane 15 one step before: one shuffle
 * a step. The rest of the 512 are zeros that the compiler sees. Then power in shared memory and
 * bands as in mel.cuh; each output is written once, 32 neighbours at a time. Nothing goes through
 * global memory in between. Rows behind a clip's end cost as much as others: 26 of 1024 for EAT.
 *
 * Counted for 10 s clips of int16 in batches of 256, 128 bands = 255,488 frames:
 *   device memory   82 MB in, 131 MB out                                     71 us at 3.0 TB/s
 *   cache           each sample is asked for 2.5 times, 205 MB; tables 9 KB per multiprocessor
 *   arithmetic      12 k FLOP transform and split, 4 k samples and bands     4.1 GFLOP: 68 us at
 *                   60 TFLOP/s
 *   shared memory   wavefronts of a warp, for 2 frames: exchange 64, split 49, bands about 16
 *                   steps of 2 reads at about 2 ways = 64; with the cache's 13 + 13 + 32 + 32: ~270
 *                   255,488 / 2 / 132 / 1.755 GHz of them                     149 us
 *   instructions    about 1,500 a warp and 2 frames at 4 a clock             207 us
 * so about 0.9 us a clip. Not measured.
 *
 * Numerics: fp32, no fast-math; the window carries the transform's 1/2, the scale int16's 2^-15,
 * both exact.
 */
#include "cuda/kernel.cuh"

#include "cuda/mel.cuh"
#include "cuda/reduce.cuh" /* group_sum */
#include "kernels/fbank.h"

#include <limits.h>

enum { BLOCK = 128, N = ASD_FBANK_FFT, STEPS = (ASD_FBANK_FRAME + 31) / 32 };

template <typename T> struct fbank_rows {
    const T *x; /* (B, S) */
    float   *y; /* (rows, n_mels) */
    int64_t  S;
    int      rows;      /* B times rows_clip */
    int      rows_clip; /* rows of a clip in y ... */
    int      frames;    /* ... and how many of them hold frames, at most */
    float    scale, mean, divisor;
};

/* re, im: samples 2n and 2n+1 of frame t of clip b at n = lane + 16 m; zero from 400 on. */
template <typename T>
static __device__ __forceinline__ void load_frame(const fbank_rows<T> &a, int row, int lane,
                                                  float (&re)[STEPS], float (&im)[STEPS])
{
    int      b        = row / a.rows_clip;
    int64_t  at       = b * a.S + (int64_t)(row - b * a.rows_clip) * ASD_FBANK_HOP;
    const T *x        = a.x + at;
    bool     in_pairs = at % 2 == 0;
#pragma unroll
    for (int m = 0; m < STEPS; ++m) {
        int j = 2 * lane + 32 * m;
        if (j >= ASD_FBANK_FRAME)
            continue;
        if (in_pairs) {
            sample_pair<T> pair = *reinterpret_cast<const sample_pair<T> *>(x + j);
            re[m]               = (float)pair.x * a.scale;
            im[m]               = (float)pair.y * a.scale;
        } else {
            re[m] = (float)x[j] * a.scale;
            im[m] = (float)x[j + 1] * a.scale;
        }
    }
}

/* Samples to what is transformed: less their mean, pre-emphasised, windowed. All lanes of the warp
 * must come. */
static __device__ __forceinline__ void emphasise(const float *__restrict__ window, int lane,
                                                 float (&re)[STEPS], float (&im)[STEPS])
{
    const float2 *w   = reinterpret_cast<const float2 *>(window);
    float         sum = 0;
#pragma unroll
    for (int m = 0; m < STEPS; ++m)
        sum += re[m] + im[m];
    float mean = group_sum<16>(sum) / (float)ASD_FBANK_FRAME;
    float last = 0; /* of lane 15 one step before */
#pragma unroll
    for (int m = 0; m < STEPS; ++m) {
        float down   = __shfl_sync(ALL_LANES, im[m], (lane + 15) % 16, 16);
        float before = lane > 0 ? down : m > 0 ? last : re[0];
        last         = down;
        float2 wm    = lane + 16 * m < ASD_FBANK_FRAME / 2 ? w[lane + 16 * m] : make_float2(0, 0);
        float  d0 = before - mean, d1 = re[m] - mean, d2 = im[m] - mean;
        re[m] = (d1 - ASD_FBANK_PREEMPHASIS * d0) * wm.x;
        im[m] = (d2 - ASD_FBANK_PREEMPHASIS * d1) * wm.y;
    }
}

template <typename T>
static __global__ void __launch_bounds__(BLOCK, 6) fbank_fwd_k(fbank_rows<T> a, mel_tables k)
{
    using F = real_fft<N>;
    static_assert((int)F::LANES == 16 && (int)F::TEAM == WARP, "what the shuffles count on");
    ASD_DYNAMIC_SHARED(float, shared);
    int   lane = (int)threadIdx.x % F::LANES, frame = (int)threadIdx.x / F::LANES;
    int   first     = (int)blockIdx.x * (BLOCK / F::LANES); /* row of the block's first frame */
    int   row       = first + frame;
    int   team      = frame / F::FRAMES * F::FRAMES; /* the team's first frame in the block */
    float re[STEPS] = {}, im[STEPS] = {}, zr[F::E] = {}, zi[F::E] = {};
    if (row < a.rows && row % a.rows_clip < a.frames)
        load_frame(a, row, lane, re, im);
    emphasise(k.window, lane, re, im);
#pragma unroll
    for (int m = 0; m < STEPS; ++m) {
        zr[m] = re[m];
        zi[m] = im[m];
    }
    real_fft_power<N>(zr, zi, lane, shared + frame * F::FLOATS, k.turn);
    bool there[F::FRAMES]; /* or behind the clip's end */
#pragma unroll
    for (int f = 0; f < F::FRAMES; ++f)
        there[f] = (first + team + f) % a.rows_clip < a.frames;
    mel_energies<N>(k, shared + team * F::FLOATS, [&](int f, int m, float energy) {
        int   to = first + team + f;
        float ln = there[f] ? logf(energy < ASD_FBANK_FLOOR ? ASD_FBANK_FLOOR : energy) : 0;
        if (to < a.rows)
            a.y[(int64_t)to * k.n_mels + m] = (ln - a.mean) / a.divisor;
    });
}

template <typename T> static asd_status run(const asd_call *c, float unit)
{
    const asd_fbank_attr *attr = (const asd_fbank_attr *)c->attr;
    const mel_state      *s    = (const mel_state *)c->state;
    using F                    = real_fft<N>;
    const int     per_block    = BLOCK / F::LANES;
    fbank_rows<T> a            = {};
    a.x                        = (const T *)c->x[0].x;
    a.y                        = (float *)c->y.x;
    a.S                        = c->x[0].shape.d[1];
    a.rows                     = (int)asd_rows(c->y.shape);
    a.rows_clip                = (int)c->y.shape.d[1];
    int64_t T_                 = asd_fbank_frames(a.S);
    a.frames                   = T_ < a.rows_clip ? (int)T_ : a.rows_clip;
    a.scale                    = (float)attr->in_scale * unit;
    a.mean                     = (float)attr->mean;
    a.divisor                  = (float)attr->divisor;
    if (a.rows == 0)
        return ASD_OK;
    return ASD_LAUNCH(fbank_fwd_k<T>, asd_blocks(a.rows, per_block), BLOCK,
                      per_block * F::FLOATS * sizeof(float), c->stream, a, s->t);
}

extern "C" asd_status fbank_fwd_cuda(const asd_call *c)
{
    return c->x[0].dtype == ASD_I16 ? run<int16_t>(c, 0x1p-15f) : run<float>(c, 1);
}

extern "C" asd_status fbank_prepare_cuda(asd_call *c)
{
    const asd_fbank_attr *a    = (const asd_fbank_attr *)c->attr;
    int64_t               rows = asd_rows(c->y.shape);
    float                 window[ASD_FBANK_FRAME];
    if (rows > INT_MAX - BLOCK)
        return ASD_FAIL(ASD_E_SHAPE, "fbank: %lld frames on CUDA, want fewer than 2^31",
                        (long long)rows);
    asd_mel_band *band = (asd_mel_band *)calloc((size_t)a->n_mels, sizeof *band);
    float     *weight = (float *)calloc((size_t)asd_fbank_bands(a, NULL, NULL) + 1, sizeof *weight);
    mel_state *s      = (mel_state *)calloc(1, sizeof *s);
    asd_status st     = ASD_OK;
    c->state          = s;
    if (band && weight && s) {
        asd_fbank_window(a, 0.5, window);
        asd_fbank_bands(a, band, weight);
        st = mel_tables_new(s, c->stream, "fbank's tables", window, ASD_FBANK_FRAME,
                            mel_turns_of<N>(), band, weight, a->n_mels);
    } else {
        st = ASD_FAIL(ASD_E_OOM, "fbank: no memory for its tables");
    }
    free(weight);
    free(band);
    return st;
}

extern "C" void fbank_release_cuda(asd_call *c)
{
    mel_state *s = (mel_state *)c->state;
    if (s)
        mel_tables_free(s);
    free(s);
    c->state = NULL;
}
