/* cpu_fft.c - power spectra of eight real frames at once; see cpu_fft.h.
 *
 *   Z[k] = sum_{n < M} (x[2n] + i x[2n+1]) exp(-2 pi i n k / M)           M = n_fft / 2
 *   X[k] = (Z[k] + conj Z[M-k]) / 2 - (i/2) exp(-2 pi i k / n_fft) (Z[k] - conj Z[M-k])
 *   power[k] = |X[k]|^2,  k = 0 .. M
 *
 * Z in place, decimation in frequency: a pass of radix 2 where log2 M is odd, then radix 4, whose
 * eight vectors just fit into sixteen registers. A pass turns each block of L values into four
 * blocks of L/4, the r-th of which becomes the bins that are r mod 4; so bin k ends at the place
 * that its digits spell backwards, and the split into X reads through that table.
 *
 * Counted for n_fft 512, eight frames: 4 passes of 64 butterflies with 34 vector operations, and
 * 128 splits with 24: 11,800 operations on 16 KB, which stay in the first-level cache.
 *
 * Numerics: fp32, factors from double, rounded once. Nothing is contracted (cpu.h): the same bits
 * on every instruction set.
 * Tried and dropped: kissfft one frame at a time, 6 times slower.
 */
#include "kernels/cpu_fft.h"

#include "kernels/cpu.h"

#include <string.h>

int asd_fft_takes(int64_t n_fft)
{
    return n_fft >= ASD_FFT_LEAST && n_fft <= ASD_FFT_MOST && !(n_fft & (n_fft - 1));
}

static int odd_log2(int64_t n)
{
    int odd = 0;
    for (; n > 1; n /= 2)
        odd = !odd;
    return odd;
}

/* Where a transform of L values that starts at `at` leaves bin k. radix: of its first pass. */
static int32_t place_of(int64_t k, int64_t L, int64_t radix)
{
    int64_t at = 0;
    for (; L > 1; radix = 4) {
        L /= radix;
        at += k % radix * L;
        k /= radix;
    }
    return (int32_t)at;
}

size_t asd_fft_bytes(int64_t n_fft)
{
    return (size_t)n_fft * 2 * sizeof(float) + (size_t)n_fft / 2 * sizeof(int32_t) + 2 * ASD_ALIGN;
}

void asd_fft_plan_init(asd_fft_plan *p, int64_t n_fft, asd_arena *arena)
{
    int64_t M = n_fft / 2;
    ASD_ASSERT(asd_fft_takes(n_fft));
    p->n_fft = n_fft;
    p->turn  = asd_arena_take(arena, (size_t)n_fft * 2, sizeof(float));
    p->place = asd_arena_take(arena, (size_t)M, sizeof(int32_t));
    ASD_ASSERT(p->turn && p->place);
    for (int64_t k = 0; k < n_fft; ++k) {
        double angle       = 6.283185307179586 * (double)k / (double)n_fft;
        p->turn[2 * k]     = (float)cos(angle);
        p->turn[2 * k + 1] = (float)sin(angle);
    }
    for (int64_t k = 0; k < M; ++k)
        p->place[k] = place_of(k, M, odd_log2(M) ? 2 : 4);
}

/* (re, im) at z times exp(-i angle), the factor's cosine and sine at w. */
#define STORE_TURNED(z, re, im, w)                                                                 \
    do {                                                                                           \
        (z)[0] = (re) * (w)[0] + (im) * (w)[1];                                                    \
        (z)[1] = (im) * (w)[0] - (re) * (w)[1];                                                    \
    } while (0)

/* z: (M) re, im */
ASD_INLINE void pass2(const asd_fft_plan *p, asd_frames *z, int64_t M)
{
    for (int64_t j = 0; j < M / 2; ++j) {
        asd_frames  *a = z + 2 * j, *b = a + M;
        const float *w  = p->turn + 4 * j; /* 2 pi j / M */
        asd_frames   re = a[0] - b[0], im = a[1] - b[1];
        a[0] += b[0];
        a[1] += b[1];
        STORE_TURNED(b, re, im, w);
    }
}

/* The four-point transform of what stands q apart from z on. */
#define BUTTERFLY4(z, q)                                                                           \
    asd_frames *a = (z), *b = a + 2 * (q), *c = b + 2 * (q), *d = c + 2 * (q);                     \
    asd_frames  sr = a[0] + c[0], si = a[1] + c[1], tr = a[0] - c[0], ti = a[1] - c[1];            \
    asd_frames  ur = b[0] + d[0], ui = b[1] + d[1], vr = b[1] - d[1], vi = d[0] - b[0];            \
    a[0] = sr + ur;                                                                                \
    a[1] = si + ui

/* All blocks of L values; z: (M) re, im */
ASD_INLINE void pass4(const asd_fft_plan *p, asd_frames *z, int64_t M, int64_t L)
{
    int64_t q = L / 4, step = 2 * (p->n_fft / L);
    for (int64_t base = 0; base < M; base += L) {
        BUTTERFLY4(z + 2 * base, q);
        b[0] = tr + vr;
        b[1] = ti + vi;
        c[0] = sr - ur;
        c[1] = si - ui;
        d[0] = tr - vr;
        d[1] = ti - vi;
    }
    for (int64_t j = 1; j < q; ++j) {
        const float *w = p->turn + j * step;
        for (int64_t base = 0; base < M; base += L) {
            BUTTERFLY4(z + 2 * (base + j), q);
            asd_frames br = tr + vr, bi = ti + vi, cr = sr - ur, ci = si - ui;
            asd_frames dr = tr - vr, di = ti - vi;
            STORE_TURNED(b, br, bi, w);
            STORE_TURNED(c, cr, ci, p->turn + 2 * j * step);
            STORE_TURNED(d, dr, di, p->turn + 3 * j * step);
        }
    }
}

/* X[k] and X[M-k] from Z[k] = a and Z[M-k] = b. The factors 1/2 are taken out of the squares. */
ASD_INLINE void split(const asd_frames *a, const asd_frames *b, const float *w, asd_frames *low,
                      asd_frames *high)
{
    asd_frames er = a[0] + b[0], ei = a[1] - b[1], dr = a[0] - b[0], di = a[1] + b[1];
    asd_frames xr = di * w[0] - dr * w[1], xi = -(dr * w[0] + di * w[1]);
    asd_frames pr = er + xr, pi = ei + xi, qr = er - xr, qi = ei - xi;
    *low  = (pr * pr + pi * pi) * 0.25f;
    *high = (qr * qr + qi * qi) * 0.25f;
}

ASD_SIMD void asd_fft_power(const asd_fft_plan *p, asd_frames *rows, asd_frames *power)
{
    int64_t M = p->n_fft / 2, L = M;
    if (odd_log2(M)) {
        pass2(p, rows, M);
        L /= 2;
    }
    for (; L > 1; L /= 4)
        pass4(p, rows, M, L);
    split(rows, rows, p->turn, &power[0], &power[M]); /* Z[M] is Z[0] */
    for (int64_t k = 1; k < M / 2; ++k)
        split(rows + 2 * p->place[k], rows + 2 * p->place[M - k], p->turn + 2 * k, &power[k],
              &power[M - k]);
    const asd_frames *middle = rows + 2 * p->place[M / 2]; /* X[M/2] = conj Z[M/2] */
    power[M / 2]             = middle[0] * middle[0] + middle[1] * middle[1];
}

/* Eight by eight: out[i][l] = in[l][i]. */
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
ASD_INLINE void transpose(const asd_frames in[ASD_FRAMES], asd_frames out[ASD_FRAMES])
{
    asd_frames pair[ASD_FRAMES], four[ASD_FRAMES];
    for (int i = 0; i < 8; i += 2) {
        pair[i]     = SHUFFLE(in[i], in[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
        pair[i + 1] = SHUFFLE(in[i], in[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
    }
    for (int i = 0; i < 8; i += 4)
        for (int k = 0; k < 2; ++k) {
            four[i + 2 * k]     = SHUFFLE(pair[i + k], pair[i + k + 2], 0, 1, 8, 9, 4, 5, 12, 13);
            four[i + 2 * k + 1] = SHUFFLE(pair[i + k], pair[i + k + 2], 2, 3, 10, 11, 6, 7, 14, 15);
        }
    for (int i = 0; i < 4; ++i) {
        out[i]     = SHUFFLE(four[i], four[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
        out[i + 4] = SHUFFLE(four[i], four[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
    }
}

ASD_SIMD void asd_fft_gather(const float *x, int64_t hop, int64_t n, asd_frames *rows)
{
    int64_t j = 0;
    for (; j + ASD_FRAMES <= n; j += ASD_FRAMES) {
        asd_frames in[ASD_FRAMES];
        for (int l = 0; l < ASD_FRAMES; ++l)
            memcpy(&in[l], x + j + l * hop, sizeof in[l]);
        transpose(in, rows + j);
    }
    for (; j < n; ++j)
        for (int l = 0; l < ASD_FRAMES; ++l)
            rows[j][l] = x[j + l * hop];
}

ASD_SIMD void asd_fft_scatter(const asd_frames *rows, int64_t n, int64_t frames, float *y,
                              int64_t step)
{
    int64_t j = 0;
    for (; j + ASD_FRAMES <= n; j += ASD_FRAMES) {
        asd_frames out[ASD_FRAMES];
        transpose(rows + j, out);
        for (int64_t l = 0; l < frames; ++l)
            memcpy(y + l * step + j, &out[l], sizeof out[l]);
    }
    for (; j < n; ++j)
        for (int64_t l = 0; l < frames; ++l)
            y[l * step + j] = rows[j][l];
}
