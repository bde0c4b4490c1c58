/* synth_noise.c - the factory around the machine, as two microphones hear it.
 *
 *   roar        pink-like noise with a slow swell. Half of its power comes from a place and is
 * heard by both microphones (delayed); the rest is diffuse, and the same at both only below the
 * frequency where the microphones are half a wavelength apart: near = G (sqrt(s) a + sqrt(1-s) (LP
 * b + HP c)),  far likewise with HP d a .. d independent white noise, LP + HP power-complementary
 * one-pole filters neighbours  two other machines: harmonic tones of their own speed, not always
 * running knocks      things that fall or are struck: Poisson instants, three damped modes each air
 * blow guns: rare bursts of high noise The scene (spectrum, neighbours, rates) belongs to the
 * domain; each clip scatters around it.
 */
#include "data/synth_parts.h"

#include <string.h>

enum { POLES = 5, NEIGHBOURS = 2 };

typedef struct scene {
    double pole_hz[POLES], pole_gain[POLES];
    double far_gain; /* the far microphone stands nearer to the rest of the factory */
    double shared;   /* s */
    double neighbour_hz[NEIGHBOURS], neighbour_gain[NEIGHBOURS];
    double knocks_s, air_s; /* a second */
} scene;

/* One factory; in the target domain the neighbours are louder, more is struck, and the roar leans
 * to the treble. */
static scene scene_of(uint64_t seed, asd_domain domain)
{
    int     target = domain == ASD_TARGET;
    asd_rng r;
    scene   s = {.pole_hz = {35, 140, 560, 2240, 6400}};
    asd_rng_init(&r, seed, ASD_RNG_SYNTH, asd_rng_hash("scene"), CELL_SCENE);
    for (int k = 0; k < POLES; ++k) /* equal power a pole is pink; a scene leans from it */
        s.pole_gain[k] = sqrt(560 / s.pole_hz[k]) * synth_db((target ? 0.1 : -0.1) * (k - 2)) *
                         synth_scatter(&r, 1);
    s.far_gain = synth_db(asd_rng_range(&r, 2.5, 4));
    s.shared   = asd_rng_range(&r, 0.4, 0.6);
    for (int k = 0; k < NEIGHBOURS; ++k) {
        s.neighbour_hz[k]   = asd_rng_range(&r, 40, 150) * (1 + 2 * k);
        s.neighbour_gain[k] = (target ? 0.4 : 0.35) * synth_scatter(&r, 2);
    }
    s.knocks_s = target ? 0.4 : 0.3;
    s.air_s    = target ? 0.05 : 0.04;
    return s;
}

/* Filters white noise x in place into roar. */
static void roar(const scene *s, asd_rng shape, double rate, float *x, int64_t n)
{
    double keep[POLES], gain[POLES], y[POLES] = {0};
    for (int k = 0; k < POLES; ++k) {
        keep[k] = exp(-SYNTH_TAU * s->pole_hz[k] / rate);
        gain[k] = (1 - keep[k]) * s->pole_gain[k] * synth_scatter(&shape, 2);
    }
    for (int64_t i = 0; i < n; ++i) {
        double sum = 0;
        for (int k = 0; k < POLES; ++k) {
            y[k] = gain[k] * x[i] + keep[k] * y[k];
            sum += y[k];
        }
        x[i] = (float)sum;
    }
}

static void white(uint64_t seed, uint64_t key, enum synth_cell cell, double rate, float *x,
                  int64_t n)
{
    asd_rng r;
    asd_rng_init(&r, seed, ASD_RNG_SYNTH, key, cell);
    synth_white(&r, rate, x, n);
}

/* One microphone's input to the roar filter: mic holds its own white noise, a and b are shared. */
static void mix_shared(double shared, double keep, const float *a, const float *b, int64_t delay,
                       float *mic, int64_t n)
{
    double  ga = sqrt(shared), gd = sqrt(1 - shared), low_b = 0, low_own = 0;
    int64_t from = delay < 0 ? delay + n : delay; /* noise has no beginning: it may wrap */
    for (int64_t i = 0; i < n; ++i, ++from) {
        if (from == n)
            from = 0;
        low_b   = b[i] * (1 - keep) + low_b * keep;
        low_own = mic[i] * (1 - keep) + low_own * keep;
        mic[i]  = (float)(ga * a[from] + gd * (low_b + mic[i] - low_own));
    }
}

static void neighbours(const scene *s, asd_rng r, uint64_t seed, uint64_t key, double rate,
                       double gain, float *near_mic, float *far_mic, int64_t n)
{
    for (int k = 0; k < NEIGHBOURS; ++k) {
        synth_table tone;
        asd_rng     own;
        double      level = gain * s->neighbour_gain[k] * synth_scatter(&r, 3);
        int         runs  = asd_rng_uniform(&r) < 0.6;
        asd_rng_init(&own, seed, ASD_RNG_SYNTH, key, (uint64_t)CELL_NOISE_NEIGHBOUR + (uint64_t)k);
        if (!runs)
            continue;
        synth_table_clear(&tone);
        for (int m = 1; m <= 8; ++m) {
            double phase = asd_rng_uniform(&own);
            synth_table_add(&tone, m, synth_scatter(&own, 3) / m, phase);
        }
        double     turn = asd_rng_uniform(&own), lag = asd_rng_uniform(&own);
        double     hz    = s->neighbour_hz[k] * (1 + 0.02 * asd_rng_normal(&own));
        synth_slow speed = synth_slow_new(own, rate, 0.6);
        for (int64_t i = 0; i < n; ++i) {
            turn += hz / rate * (1 + 0.005 * synth_slow_next(&speed));
            near_mic[i] += (float)(level * synth_table_at(&tone, turn));
            far_mic[i] += (float)(level * s->far_gain * synth_table_at(&tone, turn + lag));
        }
    }
}

static double waiting_s(asd_rng *r, double events_s)
{
    return -log(1 - asd_rng_uniform(r)) / events_s;
}

static void knocks(const scene *s, asd_rng *r, double rate, double gain, float *near_mic,
                   float *far_mic, int64_t n)
{
    for (double t = waiting_s(r, s->knocks_s); t * rate < (double)n;
         t += waiting_s(r, s->knocks_s)) {
        double size     = gain * 2.2 * synth_scatter(r, 5),
               far_size = size * s->far_gain * synth_scatter(r, 2);
        int64_t begin   = (int64_t)(t * rate),
                lag     = (int64_t)(rate * asd_rng_range(r, -0.007, 0.007));
        for (int k = 0; k < 3; ++k) {
            double hz = asd_rng_range(r, 250, 3500), decay = asd_rng_range(r, 0.02, 0.12);
            double w = SYNTH_TAU * hz / rate, e = exp(-1 / (decay * rate));
            double y = size * sin(w) / (k + 1), last = 0;
            for (int64_t i = 0, many = (int64_t)(7 * decay * rate); i < many; ++i) {
                int64_t at = begin + i, far_at = at + lag;
                if (at < n)
                    near_mic[at] += (float)y;
                if (far_at >= 0 && far_at < n)
                    far_mic[far_at] += (float)(y * far_size / size);
                double next = 2 * e * cos(w) * y - e * e * last;
                last        = y;
                y           = next;
            }
        }
    }
}

static void air(const scene *s, asd_rng *r, double rate, double gain, float *near_mic,
                float *far_mic, int64_t n)
{
    for (double t = waiting_s(r, s->air_s); t * rate < (double)n; t += waiting_s(r, s->air_s)) {
        int64_t begin = (int64_t)(t * rate), many = (int64_t)(rate * asd_rng_range(r, 0.2, 0.9));
        double  size         = gain * 1.2 * synth_scatter(r, 3);
        synth_filter band[2] = {synth_bandpass(rate, asd_rng_range(r, 2500, 5000), 0.6)};
        band[1]              = band[0];
        for (int64_t i = 0; i < many && begin + i < n; ++i) {
            double u = (double)i / (double)many, swell = size * fmin(1, 8 * fmin(u, 1 - u));
            double one = asd_rng_u32(r) * 0x1p-31 - 1, two = asd_rng_u32(r) * 0x1p-31 - 1;
            near_mic[begin + i] += (float)(swell * synth_filter_next(&band[0], one));
            far_mic[begin + i] +=
                (float)(swell * s->far_gain * synth_filter_next(&band[1], 0.5 * one + 0.87 * two));
        }
    }
}

void synth_noise(uint64_t seed, uint64_t key, asd_domain domain, const synth_room *room,
                 double gain, double rate, float *near_mic, float *far_mic, float *tmp, int64_t n)
{
    scene   s = scene_of(seed, domain);
    float  *a = tmp, *b = tmp + n;
    asd_rng r;
    asd_rng_init(&r, seed, ASD_RNG_SYNTH, key, CELL_NOISE);
    white(seed, key, CELL_NOISE_SHARED, rate, a, n);
    white(seed, key, CELL_NOISE_LOW, rate, b, n);
    white(seed, key, CELL_NOISE_NEAR, rate, near_mic, n);
    white(seed, key, CELL_NOISE_FAR, rate, far_mic, n);
    double  apart_m = 2.5, keep = exp(-SYNTH_TAU * 343 / (2 * apart_m) / rate);
    int64_t delay = (int64_t)(room->far_delay_s * rate);
    mix_shared(s.shared, keep, a, b, 0, near_mic, n);
    mix_shared(s.shared, keep, a, b, -delay, far_mic, n);
    roar(&s, r, rate, near_mic, n); /* the same draws of r: one spectrum for both */
    roar(&s, r, rate, far_mic, n);

    asd_rng swell;
    asd_rng_init(&swell, seed, ASD_RNG_SYNTH, key, CELL_NOISE_MODULATION);
    synth_slow slow = synth_slow_new(swell, rate, 1.2);
    for (int64_t i = 0; i < n; ++i) {
        double swing = 1 + 0.15 * synth_slow_next(&slow); /* 5 sigma stay above 0.25 */
        double g     = gain * (swing > 0.25 ? swing : 0.25);
        near_mic[i]  = (float)(g * near_mic[i]);
        far_mic[i]   = (float)(g * s.far_gain * far_mic[i]);
    }
    asd_rng_init(&r, seed, ASD_RNG_SYNTH, key, CELL_SCENE);
    neighbours(&s, r, seed, key, rate, gain, near_mic, far_mic, n);
    asd_rng_init(&r, seed, ASD_RNG_SYNTH, key, CELL_EVENTS + 1000);
    knocks(&s, &r, rate, gain, near_mic, far_mic, n);
    air(&s, &r, rate, gain, near_mic, far_mic, n);
}
