/* stft.c - see stft.h. */
#include "audio/stft.h"

#include <kiss_fftr.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct asd_stft {
    int           n_fft, hop;
    kiss_fftr_cfg forward, inverse;
    float        *window, *frame; /* (n_fft) */
};

asd_status asd_stft_new(int n_fft, int hop, asd_stft **out)
{
    *out = NULL;
    ASD_ASSERT(n_fft >= 4 && n_fft % 2 == 0 && hop >= 1 && hop <= n_fft / 2);
    asd_stft *s = calloc(1, sizeof *s);
    if (s) {
        s->n_fft   = n_fft;
        s->hop     = hop;
        s->forward = kiss_fftr_alloc(n_fft, 0, NULL, NULL);
        s->inverse = kiss_fftr_alloc(n_fft, 1, NULL, NULL);
        s->window  = malloc((size_t)n_fft * sizeof *s->window);
        s->frame   = malloc((size_t)n_fft * sizeof *s->frame);
    }
    if (!s || !s->forward || !s->inverse || !s->window || !s->frame) {
        asd_stft_free(s);
        return ASD_FAIL(ASD_E_OOM, "no memory for spectra of %d samples", n_fft);
    }
    for (int j = 0; j < n_fft; ++j)
        s->window[j] = (float)(0.5 - 0.5 * cos(6.283185307179586 * j / n_fft));
    *out = s;
    return ASD_OK;
}

void asd_stft_free(asd_stft *s)
{
    if (!s)
        return;
    free(s->forward);
    free(s->inverse);
    free(s->window);
    free(s->frame);
    free(s);
}

int64_t asd_stft_frames(const asd_stft *s, int64_t n)
{
    return 1 + n / s->hop;
}

/* Samples j = *from .. *to - 1 of frame t lie in the signal. Returns its first sample's place. */
static int64_t overlap(const asd_stft *s, int64_t n, int64_t t, int64_t *from, int64_t *to)
{
    int64_t start = t * s->hop - s->n_fft / 2;
    *from         = start < 0 ? -start : 0;
    *to           = n - start < s->n_fft ? n - start : s->n_fft;
    return start;
}

void asd_stft_frame(asd_stft *s, const float *x, int64_t n, int64_t t, float (*bins)[2])
{
    int64_t from, to, start = overlap(s, n, t, &from, &to);
    memset(s->frame, 0, (size_t)s->n_fft * sizeof *s->frame);
    for (int64_t j = from; j < to; ++j)
        s->frame[j] = x[start + j] * s->window[j];
    kiss_fftr(s->forward, s->frame, (kiss_fft_cpx *)bins);
}

void asd_stft_add(asd_stft *s, float (*bins)[2], int64_t n, int64_t t, float *sum, float *weight)
{
    int64_t from, to, start = overlap(s, n, t, &from, &to);
    float   scale = 1 / (float)s->n_fft; /* kissfft's inverse has none */
    kiss_fftri(s->inverse, (const kiss_fft_cpx *)bins, s->frame);
    for (int64_t j = from; j < to; ++j) {
        sum[start + j] += s->frame[j] * scale * s->window[j];
        weight[start + j] += s->window[j] * s->window[j];
    }
}
