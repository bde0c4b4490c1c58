/* mel.cuh - from a frame's power spectrum in shared memory to mel energies, and the tables that a
 * front-end keeps on the device.
 *
 * Weights are stored (widest band, n_mels): the i-th weight of consecutive bands side by side, so
 * that the lanes of a step read them coalesced, and each is read once for all frames of a team.
 * Lane l sums bands l, l + TEAM, ..: the lanes of one step have bands of nearly the same width. The
 * tables (7 KB at 512 / 128) stay in the first-level cache.
 *
 * Used by: logmel.cu, fbank.cu, meldb.cu.
 */
#ifndef ASD_CUDA_MEL_CUH
#define ASD_CUDA_MEL_CUH

#include "cuda/fft.cuh"
#include "kernels/logmel.h" /* asd_mel_band */

#include <stdlib.h>

/* Two neighbouring samples, read at once. */
template <typename T> struct alignas(2 * sizeof(T)) sample_pair {
    T x, y;
};

/* All pointers into one block of device memory. */
struct mel_tables {
    const float  *window; /* (frame) */
    const float2 *turn;   /* real_fft<N>::TABLE, or none */
    const int2   *band;   /* (n_mels) first bin, number of bins */
    const float  *weight; /* (widest band, n_mels) */
    int           n_mels;
};

/* re, im: windowed samples 2n and 2n+1 at n = t + LANES m of the frame that begins at sample
 * `start` of a clip of S, which begins at all[clip]. beyond(at): the sample at `at` of a frame that
 * crosses a border of the clip, and of one that starts at an odd sample. */
template <int N, typename T, typename Beyond>
static __device__ __forceinline__ void mel_load_frame(const T *all, int64_t clip, int64_t start,
                                                      int64_t S, const float *__restrict__ window,
                                                      int     t, float (&re)[real_fft<N>::E],
                                                      float (&im)[real_fft<N>::E], Beyond beyond)
{
    using F         = real_fft<N>;
    const float2 *w = reinterpret_cast<const float2 *>(window);
    if (start >= 0 && start + N <= S && (clip + start) % 2 == 0) {
        const sample_pair<T> *x = reinterpret_cast<const sample_pair<T> *>(all + clip + start);
#pragma unroll
        for (int m = 0; m < F::E; ++m) {
            sample_pair<T> pair = x[t + F::LANES * m];
            float2         wm   = w[t + F::LANES * m];
            re[m]               = (float)pair.x * wm.x;
            im[m]               = (float)pair.y * wm.y;
        }
    } else {
#pragma unroll
        for (int m = 0; m < F::E; ++m) {
            int64_t at = start + 2 * (t + F::LANES * m);
            float2  wm = w[t + F::LANES * m];
            re[m]      = beyond(at) * wm.x;
            im[m]      = beyond(at + 1) * wm.y;
        }
    }
}

/* Calls each(f, m, energy) for all frames f of a team and bands m, which its threads share.
 * p: the team's first frame's power, real_fft<N>::FLOATS apart, visible to the team. */
template <int N, typename EACH>
static __device__ __forceinline__ void mel_energies(const mel_tables &k, shared_ptr<float> p,
                                                    EACH each)
{
    using F = real_fft<N>;
    for (int m = (int)threadIdx.x % F::TEAM; m < k.n_mels; m += F::TEAM) {
        int2         band           = k.band[m];
        const float *w              = k.weight + m;
        float        sum[F::FRAMES] = {};
#pragma unroll 4
        for (int i = 0; i < band.y; ++i) {
            float h = w[i * k.n_mels];
#pragma unroll
            for (int f = 0; f < F::FRAMES; ++f)
                sum[f] = fmaf(h, p[f * F::FLOATS + band.x + i], sum[f]);
        }
#pragma unroll
        for (int f = 0; f < F::FRAMES; ++f)
            each(f, m, sum[f]);
    }
}

/* --- host --- */

/* What a front-end keeps between calls. */
struct mel_state {
    asd_gpu   *gpu;
    void      *memory;
    mel_tables t;
};

static inline size_t mel_round_up(size_t bytes)
{
    return (bytes + 255) / 256 * 256;
}

/* Where each table starts in one block of memory, in bytes. */
struct mel_layout {
    size_t  turn, band, weight, end;
    int64_t widest; /* band, in bins; at least 1 */
};

static inline mel_layout mel_lay_out(int64_t frame, size_t n_turns, int64_t n_mels,
                                     const asd_mel_band *band)
{
    mel_layout l = {};
    l.widest     = 1;
    for (int64_t m = 0; m < n_mels; ++m)
        l.widest = band[m].n > l.widest ? band[m].n : l.widest;
    l.turn   = mel_round_up((size_t)frame * sizeof(float));
    l.band   = l.turn + mel_round_up(n_turns * sizeof(float2));
    l.weight = l.band + mel_round_up((size_t)n_mels * sizeof(int2));
    l.end    = l.weight + mel_round_up((size_t)(l.widest * n_mels) * sizeof(float));
    return l;
}

/* The transform's table: how many entries, and what fills them. */
struct mel_turns {
    size_t n;
    void (*fill)(float2 *);
};

template <int N> static inline mel_turns mel_turns_of()
{
    return {(size_t)real_fft<N>::TABLE, real_fft_table<N>};
}

/* Of a frame of n_fft samples, a power of two from 64 to 4096. */
static inline mel_turns mel_turns_for(int64_t n_fft)
{
    switch (n_fft) {
    case 64: return mel_turns_of<64>();
    case 128: return mel_turns_of<128>();
    case 256: return mel_turns_of<256>();
    case 512: return mel_turns_of<512>();
    case 1024: return mel_turns_of<1024>();
    case 2048: return mel_turns_of<2048>();
    default: return mel_turns_of<4096>();
    }
}

/* window: (frame), times 1/2 for the transform of fft.cuh. turns: {0, NULL} where there is none.
 * band, weight: as asd_mel_band says. Waits for the upload. s: zeroed; freed by mel_tables_free
 * even after a failure. */
static inline asd_status mel_tables_new(mel_state *s, asd_stream *stream, const char *what,
                                        const float *window, int64_t frame, mel_turns turns,
                                        const asd_mel_band *band, const float *weight,
                                        int64_t n_mels)
{
    mel_layout l    = mel_lay_out(frame, turns.n, n_mels, band);
    char      *host = (char *)calloc(l.end, 1);
    if (!host)
        return ASD_FAIL(ASD_E_OOM, "no memory for %s", what);
    for (int64_t j = 0; j < frame; ++j)
        ((float *)host)[j] = window[j];
    if (turns.n)
        turns.fill((float2 *)(host + l.turn));
    for (int64_t m = 0; m < n_mels; ++m) {
        ((int2 *)(host + l.band))[m] = make_int2((int)band[m].first, (int)band[m].n);
        for (int64_t i = 0; i < band[m].n; ++i)
            ((float *)(host + l.weight))[i * n_mels + m] = weight[band[m].weight + i];
    }
    s->gpu        = asd_stream_gpu(stream);
    asd_status st = asd_gpu_alloc(s->gpu, l.end, what, "no option makes them smaller", &s->memory);
    if (!st)
        st = asd_stream_upload(stream, s->memory, host, l.end);
    if (!st)
        st = asd_stream_wait(stream);
    free(host);
    const char *at = (const char *)s->memory;
    s->t.window    = (const float *)at;
    s->t.turn      = (const float2 *)(at + l.turn);
    s->t.band      = (const int2 *)(at + l.band);
    s->t.weight    = (const float *)(at + l.weight);
    s->t.n_mels    = (int)n_mels;
    return st;
}

/* Frees what s holds, not s. */
static inline void mel_tables_free(mel_state *s)
{
    asd_gpu_free(s->gpu, s->memory);
}

#endif
