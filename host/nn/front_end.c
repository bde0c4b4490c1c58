/* front_end.c - see front_end.h. */
#include "nn/front_end.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Raise one where its arithmetic changes; tests/test_front_end.c then wants its new numbers. */
#define FBANK "1" /* kernels/fbank.c */
#define MELDB "1" /* kernels/meldb.c */

static const asd_fbank_attr beats   = {ASD_WINDOW_POVEY, 32768, 128, 15.41663, 2 * 6.55582, 0};
static const asd_fbank_attr eat     = {ASD_WINDOW_HANN, 1, 128, -4.268, 2 * 4.569, 0};
static const asd_meldb_attr dasheng = {512, 160, 64, 0, 8000, 120, 0};

const asd_front_end asd_front_ends[] = {
    {"kaldi-fbank-beats/" FBANK, &beats, NULL},
    {"kaldi-fbank-eat/" FBANK, &eat, NULL},
    {"dasheng-mel-db/" MELDB, NULL, &dasheng},
    {NULL, NULL, NULL},
};

const asd_front_end *asd_front_end_find(const char *name)
{
    size_t n = strlen(name);
    for (const asd_front_end *f = asd_front_ends; f->name; ++f)
        if (!strcmp(f->name, name) || (!strncmp(f->name, name, n) && f->name[n] == '/'))
            return f;
    return NULL;
}

/* The fewest digits that strtod turns back into x. */
static const char *digits(double x, char buf[32])
{
    int whole = x == floor(x) && fabs(x) < 1e15;
    if (whole)
        snprintf(buf, 32, "%.0f", x);
    for (int precision = 1; !whole && precision <= 17; ++precision) {
        snprintf(buf, 32, "%.*g", precision, x);
        if (strtod(buf, NULL) == x)
            break;
    }
    return buf;
}

const char *asd_front_end_fbank(const asd_fbank_attr *a, char *buf)
{
    char divisor[32], scale[32], mean[32];
    snprintf(buf, ASD_FRONT_END_TEXT,
             "{\"divisor\":%s,\"frames\":%lld,\"front_end\":\"kaldi-fbank/" FBANK
             "\",\"in_scale\":%s,\"mean\":%s,\"n_mels\":%lld,\"window\":\"%s\"}",
             digits(a->divisor, divisor), (long long)a->frames, digits(a->in_scale, scale),
             digits(a->mean, mean), (long long)a->n_mels,
             a->window == ASD_WINDOW_HANN ? "hann" : "povey");
    return buf;
}

const char *asd_front_end_meldb(const asd_meldb_attr *a, char *buf)
{
    char low[32], high[32], top[32];
    snprintf(buf, ASD_FRONT_END_TEXT,
             "{\"fmax_hz\":%s,\"fmin_hz\":%s,\"frames\":%lld,\"front_end\":\"mel-db/" MELDB
             "\",\"hop_samples\":%lld,\"n_fft\":%lld,\"n_mels\":%lld,\"top_db\":%s}",
             digits(a->fmax_hz, high), digits(a->fmin_hz, low), (long long)a->frames,
             (long long)a->hop_samples, (long long)a->n_fft, (long long)a->n_mels,
             digits(a->top_db, top));
    return buf;
}
