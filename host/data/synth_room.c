/* synth_room.c - what two microphones hear of a machine in a hall.
 *
 * A shoebox hall of volume V, surface S and reverberation time T60. Early sound: image sources up
 * to the third reflection, amplitude b^q / d at delay d / c (d: distance, q: reflections, Eyring:
 * b^2 = exp(-0.161 V / (S T60))), each reflection taking some treble. Late sound: Gaussian noise
 * from the mixing time sqrt(V) ms on, with the power of the diffuse field p(t) = 13.8 / T60
 * exp(-13.8 t / T60) / r_c^2,    r_c = 0.057 sqrt(V / T60) relative to the direct sound at one
 * metre, so the direct-to-reverberant ratio of a microphone at distance d is (r_c / d)^2. Above 1.5
 * kHz the tail decays in 0.6 T60. See: Allen and Berkley 1979 (images); Kuttruff, Room Acoustics
 * (diffuse field, mixing time).
 */
#include "data/synth_parts.h"

#include "base/arena.h"

#include <kiss_fftr.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SOUND_M_S 343.0

typedef struct hall {
    double size[3], t60, reflect, critical_m;
} hall;

/* One hall; in the target domain it is a fifth more reverberant (a gate shut, racks emptied). */
static hall hall_of(uint64_t seed, asd_domain domain)
{
    asd_rng r;
    asd_rng_init(&r, seed, ASD_RNG_SYNTH, asd_rng_hash("hall"), CELL_ROOM);
    hall h; /* one draw a statement: C leaves the order inside braces open */
    h.size[0]    = asd_rng_range(&r, 9, 13);
    h.size[1]    = asd_rng_range(&r, 7.5, 10);
    h.size[2]    = asd_rng_range(&r, 3.5, 5);
    double v     = h.size[0] * h.size[1] * h.size[2];
    double s     = 2 * (h.size[0] * h.size[1] + h.size[1] * h.size[2] + h.size[0] * h.size[2]);
    h.t60        = asd_rng_range(&r, 0.35, 0.5) * (domain == ASD_TARGET ? 1.2 : 1);
    h.reflect    = exp(-0.161 * v / (s * h.t60) / 2);
    h.critical_m = 0.057 * sqrt(v / h.t60);
    return h;
}

/* A band-limited impulse at a fractional time: a Hann-windowed sinc whose cutoff drops by 15 % a
 * reflection. */
static void add_arrival(float *h, int64_t taps, double at, double amplitude, int reflections)
{
    enum { HALF = 16 };
    double cut = pow(0.85, reflections);
    for (int64_t i = (int64_t)at - HALF + 1; i <= (int64_t)at + HALF; ++i) {
        double t = (double)i - at, u = SYNTH_TAU / 2 * cut * t;
        double sinc = fabs(u) < 1e-9 ? 1 : sin(u) / u;
        if (i >= 0 && i < taps)
            h[i] += (float)(amplitude * cut * sinc * (0.5 + 0.5 * cos(SYNTH_TAU / 2 * t / HALF)));
    }
}

/* Image n along one axis of length l; |n| reflections. */
static double image(double x, double l, int n)
{
    return n & 1 ? n * l + l - x : n * l + x;
}

static void early(const hall *hl, const double *source, const double *mic, double rate, float *h,
                  int64_t taps)
{
    enum { ORDER = 3 };
    for (int i = -ORDER; i <= ORDER; ++i)
        for (int j = -ORDER; j <= ORDER; ++j)
            for (int k = -ORDER; k <= ORDER; ++k) {
                int q = abs(i) + abs(j) + abs(k);
                if (q > ORDER)
                    continue;
                double x = image(source[0], hl->size[0], i) - mic[0];
                double y = image(source[1], hl->size[1], j) - mic[1];
                double z = image(source[2], hl->size[2], k) - mic[2];
                double d = sqrt(x * x + y * y + z * z);
                add_arrival(h, taps, d / SOUND_M_S * rate, pow(hl->reflect, q) / d, q);
            }
}

static void late(const hall *hl, asd_rng *r, double rate, float *h, int64_t taps)
{
    double mix   = sqrt(hl->size[0] * hl->size[1] * hl->size[2]) * 1e-3 * rate;
    double power = 13.8 / hl->t60 / rate / (hl->critical_m * hl->critical_m);
    double keep = exp(-SYNTH_TAU * 1500 / rate), low = 0, end = 0.9 * (double)taps;
    for (int64_t i = 0; i < taps; ++i) {
        double t = (double)i / rate, noise = asd_rng_normal(r);
        low = noise * (1 - keep) + low * keep;
        double tail =
            low * exp(-6.9 * t / hl->t60) + (noise - low) * exp(-6.9 * t / (0.6 * hl->t60));
        double fade = fmin(fmax((double)i / mix - 0.5, 0), 1); /* in around the mixing time ... */
        if ((double)i > end) /* ... and out before the response is cut */
            fade *= ((double)taps - (double)i) / ((double)taps - end);
        h[i] += (float)(sqrt(power) * fade * tail);
    }
}

asd_status synth_room_init(synth_room *room, uint64_t seed, const char *machine, asd_domain domain,
                           int placement, double rate)
{
    asd_status    st   = ASD_OK;
    kiss_fftr_cfg plan = NULL;
    float        *time = NULL;
    char          name[160];
    asd_rng       r;
    memset(room, 0, sizeof *room);
    /* Both domains use the same spots; in the target domain the microphones stand farther off. */
    snprintf(name, sizeof name, "placement/%s/%d", machine, placement);
    asd_rng_init(&r, seed, ASD_RNG_SYNTH, asd_rng_hash(name), CELL_ROOM);
    hall   hl = hall_of(seed, domain);
    double source[3], distance[2];
    source[0]      = hl.size[0] * asd_rng_range(&r, 0.35, 0.65);
    source[1]      = hl.size[1] * asd_rng_range(&r, 0.35, 0.65);
    source[2]      = asd_rng_range(&r, 0.7, 1.1);
    double stretch = domain == ASD_TARGET ? 1.05 : 1.0, turn = SYNTH_TAU * asd_rng_uniform(&r);
    distance[0] = stretch * asd_rng_range(&r, 0.3, 0.42);
    distance[1] = stretch * asd_rng_range(&r, 2.2, 3.0);
    room->taps  = (int64_t)fmin(0.3 * rate, SYNTH_MAX_TAPS);
    room->far_delay_s =
        (distance[1] - distance[0]) / SOUND_M_S * cos(SYNTH_TAU * asd_rng_uniform(&r));

    plan = kiss_fftr_alloc(SYNTH_FFT, 0, NULL, NULL);
    time = asd_calloc_aligned(SYNTH_FFT, sizeof *time);
    if (!plan || !time) {
        st = ASD_FAIL(ASD_E_OOM, "%s: no memory for the room", name);
        goto done;
    }
    for (int m = 0; m < 2; ++m) {
        double angle  = turn + (m ? asd_rng_range(&r, 0.3, 1.2) : 0);
        double mic[3] = {source[0] + distance[m] * cos(angle), source[1] + distance[m] * sin(angle),
                         source[2] + asd_rng_range(&r, 0.05, 0.3)};
        for (int k = 0; k < 3; ++k) /* at least 30 cm from the walls */
            mic[k] = fmin(fmax(mic[k], 0.3), hl.size[k] - 0.3);
        room->h[m]        = asd_calloc_aligned((size_t)room->taps, sizeof *room->h[m]);
        room->spectrum[m] = asd_calloc_aligned(SYNTH_BINS, 2 * sizeof *room->spectrum[m]);
        if (!room->h[m] || !room->spectrum[m]) {
            st = ASD_FAIL(ASD_E_OOM, "%s: no memory for the room", name);
            goto done;
        }
        early(&hl, source, mic, rate, room->h[m], room->taps);
        late(&hl, &r, rate, room->h[m], room->taps);
        memcpy(time, room->h[m], (size_t)room->taps * sizeof *time);
        kiss_fftr(plan, time, (kiss_fft_cpx *)(void *)room->spectrum[m]);
        for (int i = 0; i < 2 * SYNTH_BINS; ++i) /* the inverse transform lacks its 1 / N */
            room->spectrum[m][i] *= 1.0f / SYNTH_FFT;
    }
done:
    kiss_fftr_free(plan);
    free(time);
    if (st)
        synth_room_clear(room);
    return st;
}

void synth_room_clear(synth_room *room)
{
    for (int m = 0; m < 2; ++m) {
        free(room->h[m]);
        free(room->spectrum[m]);
    }
    memset(room, 0, sizeof *room);
}

/* --- overlap-add -------------------------------------------------------------------------------
 */
struct synth_convolver {
    kiss_fftr_cfg forward, inverse;
    float         time[SYNTH_FFT];
    kiss_fft_cpx  in[SYNTH_BINS], out[SYNTH_BINS];
};

asd_status synth_convolver_new(synth_convolver **out)
{
    synth_convolver *v = asd_calloc_aligned(1, sizeof *v);
    *out               = NULL;
    if (v) {
        v->forward = kiss_fftr_alloc(SYNTH_FFT, 0, NULL, NULL);
        v->inverse = kiss_fftr_alloc(SYNTH_FFT, 1, NULL, NULL);
    }
    if (!v || !v->forward || !v->inverse) {
        synth_convolver_free(v);
        return ASD_FAIL(ASD_E_OOM, "no memory for transforms of %d samples", SYNTH_FFT);
    }
    *out = v;
    return ASD_OK;
}

void synth_convolver_free(synth_convolver *v)
{
    if (!v)
        return;
    kiss_fftr_free(v->forward);
    kiss_fftr_free(v->inverse);
    free(v);
}

void synth_convolve(synth_convolver *v, const synth_room *room, const float *x, float *near_mic,
                    float *far_mic, int64_t n)
{
    float  *y[2] = {near_mic, far_mic};
    int64_t step = SYNTH_FFT - room->taps + 1;
    memset(near_mic, 0, (size_t)n * sizeof *near_mic);
    memset(far_mic, 0, (size_t)n * sizeof *far_mic);
    for (int64_t s = 0; s < n; s += step) {
        int64_t have      = n - s < step ? n - s : step,
                room_left = n - s < SYNTH_FFT ? n - s : SYNTH_FFT;
        memcpy(v->time, x + s, (size_t)have * sizeof *x);
        memset(v->time + have, 0, (size_t)(SYNTH_FFT - have) * sizeof *x);
        kiss_fftr(v->forward, v->time, v->in);
        for (int m = 0; m < 2; ++m) {
            const float *h = room->spectrum[m];
            for (int k = 0; k < SYNTH_BINS; ++k) {
                v->out[k].r = v->in[k].r * h[2 * k] - v->in[k].i * h[2 * k + 1];
                v->out[k].i = v->in[k].r * h[2 * k + 1] + v->in[k].i * h[2 * k];
            }
            kiss_fftri(v->inverse, v->out, v->time);
            for (int64_t i = 0; i < room_left; ++i)
                y[m][s + i] += v->time[i];
        }
    }
}
