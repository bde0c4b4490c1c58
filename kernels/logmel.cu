/* logmel.cu - samples to log-mel spectrogram on the GPU; the definition is logmel.c's.
 *
 * Two methods, chosen by n_fft alone (asd_logmel_is_fused):
 *   fused    n_fft = 64, 128 .. 4096: one kernel, samples in, decibels out
 *   cuFFT    any other even length, and what the first is measured against: windowed frames to
 *            memory, cuFFT in place, then one kernel for power, bands and log; 32 MiB of frames at
 *            a time, so that they stay in the second-level cache
 *
 * Fused. Mapping: fft.cuh's: LANES threads per frame, 32 / LANES frames of consecutive rows (b, t)
 * per warp, 4 warps per block, every warp on its own (n_fft = 4096: one frame per block). A thread
 * reads its sample pairs straight into the registers of the transform: consecutive lanes read
 * consecutive pairs, and the half that two frames share comes from the first-level cache. Then the
 * power spectrum lies in shared memory and lane l sums bands l, l + 32, .. for all frames of its
 * warp (mel.cuh). The weights, 13 KB at 1024 / 128, stay in the first-level cache as window and
 * twiddles do.
 *
 * Counted for the baseline, n_fft 1024, hop 512, 128 bands, 10 s clips in batches of 256 = 80,128
 * frames:
 *   device memory   82 MB of int16 in, 41 MB out                         41 us at 3.0 TB/s
 *   cache           each sample is asked for twice, 164 MB; tables 25 KB per multiprocessor
 *   arithmetic      23 k FLOP transform and split, 4 k power and bands   2.2 GFLOP: 36 us at
 *                   60 TFLOP/s
 *   shared memory   wavefronts of a warp, for 2 frames: exchange 128, split 97, bands 43 steps of
 *                   2 reads at about 2 ways = 172; with the cache's 32 + 64 + 60 + 32 + 43: ~630
 *                   80,128 / 2 / 132 / 1.755 GHz of them                 109 us
 *   instructions    about 2,600 a warp and 2 frames at 4 a clock         112 us
 * so 0.6 - 0.8 us a clip if the two overlap fairly well. Not measured.
 *
 * Numerics: fp32, no fast-math; the window carries 1/2 (fft.cuh) and int16's 2^-15, both exact.
 * Used by: the baseline's front-end.
 */
#include "cuda/kernel.cuh"

#include "cuda/fft.h"
#include "cuda/mel.cuh"
#include "kernels/logmel.h"

#include <limits.h>
#include <stdlib.h>

enum { BLOCK = 128, MAX_FFT = 32768 /* its power spectrum fits into any device's shared memory */ };

template <typename T> struct logmel_rows {
    const T *x;      /* (B, S) */
    float   *y;      /* (B T, n_mels) */
    int64_t  S, hop; /* samples */
    int      rows;   /* B T */
    int      T_;     /* frames of a clip */
    float    floor;
};

struct logmel_state {
    mel_state mel;
    asd_fft  *fft; /* cuFFT: chunk_rows transforms */
    int64_t   chunk_rows;
};

static __device__ __forceinline__ float decibel(float power, float floor)
{
    return 4.3429448190325175f /* 10 / ln 10 */ * logf(power > floor ? power : floor);
}

/* --- fused --- */

/* Frame `row`, windowed; zero off the clip. */
template <int N, typename T>
static __device__ __forceinline__ void
load_row(const logmel_rows<T> &a, const float *__restrict__ window, int row, int t,
         float (&re)[real_fft<N>::E], float (&im)[real_fft<N>::E])
{
    int     b     = row / a.T_;
    int64_t start = (row - b * a.T_) * a.hop - N / 2, clip = b * a.S;
    mel_load_frame<N>(a.x, clip, start, a.S, window, t, re, im, [&](int64_t at) {
        return at >= 0 && at < a.S ? (float)a.x[clip + at] : 0.0f;
    });
}

template <int N, typename T>
static __global__ void __launch_bounds__(BLOCK, real_fft<N>::E == 32 ? 4 : 6)
    logmel_fwd_k(logmel_rows<T> a, mel_tables k)
{
    using F = real_fft<N>;
    ASD_DYNAMIC_SHARED(float, shared);
    int   t = (int)threadIdx.x % F::LANES, frame = (int)threadIdx.x / F::LANES;
    int   first    = (int)blockIdx.x * (BLOCK / F::LANES); /* row of the block's first frame */
    int   team     = frame / F::FRAMES * F::FRAMES;        /* the team's first frame in the block */
    float re[F::E] = {}, im[F::E] = {};
    if (first + frame < a.rows)
        load_row<N>(a, k.window, first + frame, t, re, im);
    real_fft_power<N>(re, im, t, shared + frame * F::FLOATS, k.turn);
    mel_energies<N>(k, shared + team * F::FLOATS, [&](int f, int m, float energy) {
        int row = first + team + f;
        if (row < a.rows)
            a.y[(int64_t)row * k.n_mels + m] = decibel(energy, a.floor);
    });
}

template <int N, typename T>
static asd_status run_fused(const asd_call *c, const logmel_state *s, const logmel_rows<T> &a)
{
    int per_block = BLOCK / real_fft<N>::LANES;
    return ASD_LAUNCH((logmel_fwd_k<N, T>), asd_blocks(a.rows, per_block), BLOCK,
                      per_block * real_fft<N>::FLOATS * sizeof(float), c->stream, a, s->mel.t);
}

/* --- cuFFT --- */

/* One block per row of the chunk: frame `first_row + row`, windowed; rows past the last are zero.
 * spectra: (chunk rows, n_fft + 2) */
template <typename T>
static __global__ void __launch_bounds__(BLOCK)
    logmel_frame_k(logmel_rows<T> a, mel_tables k, int n_fft, int first_row, float *spectra)
{
    int     row = first_row + (int)blockIdx.x, b = row / a.T_;
    int64_t start = (row - b * a.T_) * a.hop - n_fft / 2;
    float  *out   = spectra + (int64_t)blockIdx.x * (n_fft + 2);
    for (int i = (int)threadIdx.x; i < n_fft; i += BLOCK) {
        int64_t at = start + i;
        out[i] = row < a.rows && at >= 0 && at < a.S ? (float)a.x[b * a.S + at] * k.window[i] : 0;
    }
}

/* One block per row: power of all bins to shared memory, then a thread per band.
 * spectra: (chunk rows, n_fft/2 + 1) re, im */
template <typename T>
static __global__ void __launch_bounds__(BLOCK)
    logmel_bands_k(logmel_rows<T> a, mel_tables k, int n_fft, int first_row, const float *spectra)
{
    ASD_DYNAMIC_SHARED(float, power);
    int           bins = n_fft / 2 + 1;
    const float2 *z = reinterpret_cast<const float2 *>(spectra + (int64_t)blockIdx.x * (n_fft + 2));
    for (int f = (int)threadIdx.x; f < bins; f += BLOCK) {
        float2 v = z[f];
        power[f] = fmaf(v.x, v.x, v.y * v.y);
    }
    __syncthreads();
    for (int m = (int)threadIdx.x; m < k.n_mels; m += BLOCK) {
        int2  band = k.band[m];
        float sum  = 0;
#pragma unroll 4
        for (int i = 0; i < band.y; ++i)
            sum = fmaf(k.weight[i * k.n_mels + m], power[band.x + i], sum);
        a.y[(int64_t)(first_row + (int)blockIdx.x) * k.n_mels + m] = decibel(sum, a.floor);
    }
}

template <typename T>
static asd_status run_cufft(const asd_call *c, const logmel_state *s, const logmel_rows<T> &a)
{
    int    n_fft = (int)((const asd_logmel_attr *)c->attr)->n_fft, chunk = (int)s->chunk_rows;
    float *spectra = (float *)c->work;
    for (int row = 0; row < a.rows; row += chunk) {
        int rows = a.rows - row < chunk ? a.rows - row : chunk;
        ASD_TRY(ASD_LAUNCH(logmel_frame_k<T>, chunk, BLOCK, 0, c->stream, a, s->mel.t, n_fft, row,
                           spectra));
        ASD_TRY(asd_fft_run(s->fft, c->stream, spectra));
        ASD_TRY(ASD_LAUNCH(logmel_bands_k<T>, rows, BLOCK, (n_fft / 2 + 1) * sizeof(float),
                           c->stream, a, s->mel.t, n_fft, row, spectra));
    }
    return ASD_OK;
}

/* --- host --- */

template <typename T> static asd_status run(const asd_call *c)
{
    const asd_logmel_attr *attr = (const asd_logmel_attr *)c->attr;
    const logmel_state    *s    = (const logmel_state *)c->state;
    logmel_rows<T>         a    = {};
    a.x                         = (const T *)c->x[0].x;
    a.y                         = (float *)c->y.x;
    a.S                         = c->x[0].shape.d[1];
    a.hop                       = attr->hop_samples;
    a.rows                      = (int)asd_rows(c->y.shape);
    a.T_                        = (int)c->y.shape.d[1];
    a.floor                     = (float)attr->floor;
    if (a.rows == 0)
        return ASD_OK;
    if (s->fft)
        return run_cufft(c, s, a);
    switch (attr->n_fft) {
    case 64: return run_fused<64>(c, s, a);
    case 128: return run_fused<128>(c, s, a);
    case 256: return run_fused<256>(c, s, a);
    case 512: return run_fused<512>(c, s, a);
    case 1024: return run_fused<1024>(c, s, a);
    case 2048: return run_fused<2048>(c, s, a);
    default: return run_fused<4096>(c, s, a);
    }
}

extern "C" asd_status logmel_fwd_cuda(const asd_call *c)
{
    return c->x[0].dtype == ASD_I16 ? run<int16_t>(c) : run<float>(c);
}

static asd_status prepare_tables(asd_call *c, logmel_state *s)
{
    const asd_logmel_attr *a      = (const asd_logmel_attr *)c->attr;
    int                    fused  = asd_logmel_is_fused(a);
    double                 scale  = (c->x[0].dtype == ASD_I16 ? 0x1p-15 : 1) * (fused ? 0.5 : 1);
    size_t                 n      = (size_t)asd_logmel_bands(a, NULL, NULL) + 1;
    asd_mel_band          *band   = (asd_mel_band *)malloc((size_t)a->n_mels * sizeof *band);
    float                 *weight = (float *)malloc(n * sizeof *weight);
    float                 *window = (float *)malloc((size_t)a->n_fft * sizeof *window);
    asd_status             st     = ASD_OK;
    if (band && weight && window) {
        asd_logmel_bands(a, band, weight);
        asd_logmel_window(a, scale, window);
        st = mel_tables_new(&s->mel, c->stream, "logmel's tables", window, a->n_fft,
                            fused ? mel_turns_for(a->n_fft) : mel_turns{0, NULL}, band, weight,
                            a->n_mels);
    } else {
        st = ASD_FAIL(ASD_E_OOM, "logmel: no memory for its tables");
    }
    free(window);
    free(weight);
    free(band);
    return st;
}

extern "C" asd_status logmel_prepare_cuda(asd_call *c)
{
    const asd_logmel_attr *a    = (const asd_logmel_attr *)c->attr;
    int64_t                rows = asd_rows(c->y.shape);
    if (rows > INT_MAX - BLOCK)
        return ASD_FAIL(ASD_E_SHAPE, "logmel: %lld frames on CUDA, want fewer than 2^31",
                        (long long)rows);
    if (!asd_logmel_is_fused(a) && a->n_fft > MAX_FFT)
        return ASD_FAIL(ASD_E_CONFIG, "logmel: n_fft %lld on CUDA, want at most %d",
                        (long long)a->n_fft, MAX_FFT);
    logmel_state *s = (logmel_state *)calloc(1, sizeof *s);
    if (!s)
        return ASD_FAIL(ASD_E_OOM, "logmel: no memory for its state");
    c->state = s;
    ASD_TRY(prepare_tables(c, s));
    s->chunk_rows = asd_logmel_chunk_rows(a, rows);
    if (!asd_logmel_is_fused(a) && rows)
        ASD_TRY(asd_fft_new(c->stream, a->n_fft, s->chunk_rows, &s->fft));
    return ASD_OK;
}

extern "C" void logmel_release_cuda(asd_call *c)
{
    logmel_state *s = (logmel_state *)c->state;
    if (s) {
        asd_fft_free(s->fft);
        mel_tables_free(&s->mel);
    }
    free(s);
    c->state = NULL;
}
