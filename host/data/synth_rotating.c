/* synth_rotating.c - fan, gearbox, bearing: machines made of shafts. Formulas in docs/synth.md. */
#include "data/synth_parts.h"

#include <string.h>

static double mean_hz(const synth_clip *c)
{
    return (c->turns[c->n - 1] - c->turns[0]) / (double)(c->n - 1) * c->rate;
}

/* --- fan ---------------------------------------------------------------------------------------
 * Every blade passes with one pressure pulse a turn. The Fourier series of the whole turn is
 *   c_k = P_k sum_b w_b exp(-2 pi i k (b / Z + e_b)),   P_k = k exp(-(2 pi k sigma)^2 / 2)
 * with blade weights w_b and spacing errors e_b: equal blades leave only k = m Z, the blade-pass
 * harmonics; a blade that differs brings back all multiples of the shaft speed. Tone amplitude
 * grows with speed^2.5 and turbulence with speed^2.8 (sound power of a dipole: speed^5 to speed^6).
 */
enum { BLADES = 7, FAN_HARMONICS = 8 * BLADES };

static void fan_tables(synth_clip *c, asd_rng *unit, synth_table *tone, synth_table *swell)
{
    const double sigma     = 0.018; /* pulse width, turns: a blade's chord over the circumference */
    double       imbalance = synth_severity(c, 0), broken = synth_severity(c, 1);
    double       weight[BLADES], place[BLADES], peak = 0;
    for (int b = 0; b < BLADES; ++b) {
        weight[b] = 1 + 0.05 * asd_rng_normal(unit);
        place[b]  = (double)b / BLADES + 0.003 * asd_rng_normal(unit);
    }
    weight[0] *= exp(-0.9 * broken);
    synth_table_clear(tone);
    synth_table_clear(swell);
    for (int m = 1; m <= FAN_HARMONICS; ++m)
        peak = fmax(peak, m * exp(-pow(SYNTH_TAU * m * sigma, 2) / 2));
    for (int k = 1; k <= FAN_HARMONICS; ++k) {
        double pulse = k * exp(-pow(SYNTH_TAU * k * sigma, 2) / 2) / peak / BLADES;
        double re = 0, im = 0;
        for (int b = 0; b < BLADES; ++b) {
            re += weight[b] * cos(SYNTH_TAU * k * place[b]);
            im -= weight[b] * sin(SYNTH_TAU * k * place[b]);
        }
        double size = hypot(re, im), turn = atan2(im, re) / SYNTH_TAU;
        synth_table_add(tone, k, pulse * size, turn);
        if (k <=
            2 * BLADES) /* turbulence swells as a blade passes, and less with a piece missing */
            synth_table_add(swell, k, 0.25 * size / BLADES, turn);
    }
    /* Unbalanced mass: a force at the shaft rate, a little of its octave, and a tip gap that opens
     * and closes once a turn. */
    synth_table_add(tone, 1, 0.05 + 0.9 * imbalance + 0.25 * broken, 0.1);
    synth_table_add(tone, 2, 0.02 + 0.35 * imbalance, 0.3);
    synth_table_add(swell, 1, 0.35 * imbalance + 0.15 * broken, 0.1);
}

void synth_fan(synth_clip *c, float *y)
{
    asd_rng     unit = synth_traits(c), level = synth_rng(c, CELL_LEVEL);
    synth_table tone, swell, motor, mains;
    double      blocked = synth_severity(c, 2);
    double speed = c->point->speed * (1 + 0.012 * asd_rng_normal(&level)) * (1 - 0.02 * blocked);
    synth_shaft(synth_rng(c, CELL_SHAFT), c->rate, 24 * speed, 0.004, 0.4, c->turns, c->n);
    fan_tables(c, &unit, &tone, &swell);

    /* Motor: magnetic pull at twice the mains frequency, and its slots. */
    synth_table_clear(&motor);
    synth_table_clear(&mains);
    synth_table_add(&mains, 1, 1, 0);
    double slots = 0.05 * synth_scatter(&unit, 2);
    synth_table_add(&motor, 24, slots, 0.2);
    synth_table_add(&motor, 48, 0.5 * slots, 0.7);

    double tone_gain = 0.8 * pow(speed, 2.5) * synth_scatter(&level, 1.5) * (1 + 0.8 * blocked);
    double air_gain  = 1.1 * pow(speed, 2.8) * synth_scatter(&level, 1.2);
    double low_gain  = air_gain * (1 + 0.9 * blocked) * c->point->load;
    double high_gain = 0.5 * air_gain * synth_scatter(&level, 1.0);
    double hum       = 0.06 * synth_scatter(&level, 2);
    double hum_step = 100 / c->rate, hum_turn = asd_rng_uniform(&level);

    asd_rng white = synth_rng(c, CELL_WHITE);
    synth_white(&white, c->rate, c->a, c->n);
    synth_filter low  = synth_bandpass(c->rate, 320 * speed, 0.45);
    synth_filter high = synth_bandpass(c->rate, 2100 * speed, 0.5);
    synth_slow   gust = synth_slow_new(synth_rng(c, CELL_LOAD), c->rate, 0.8);
    memset(c->b, 0, (size_t)c->n * sizeof *c->b);
    for (int64_t i = 0; i < c->n; ++i) {
        double air = low_gain * synth_filter_next(&low, c->a[i]) +
                     high_gain * synth_filter_next(&high, c->a[i]);
        air *= (1 + synth_table_at(&swell, c->turns[i])) * (1 + 0.06 * synth_slow_next(&gust));
        y[i]    = (float)(air + tone_gain * synth_table_at(&tone, c->turns[i]) +
                       synth_table_at(&motor, c->turns[i]) +
                       hum * synth_table_at(&mains, hum_turn += hum_step));
        c->b[i] = y[i];
    }
    /* The casing rings along. */
    synth_modes casing = {0};
    for (int k = 0; k < 4; ++k) {
        double gain = 0.03 * synth_scatter(&unit, 3);
        double hz   = (210 + 330 * k) * (1 + 0.1 * asd_rng_normal(&unit));
        synth_modes_set(&casing, k, c->rate, hz, 0.012, gain);
    }
    synth_modes_run(&casing, c->b, y, c->n);
    c->facts->shaft_hz  = mean_hz(c);
    c->facts->tone_hz   = BLADES * c->facts->shaft_hz;
    c->facts->defect_hz = c->facts->shaft_hz;
}

/* --- gearbox -----------------------------------------------------------------------------------
 * Two stages. Stage g meshes at f_g = Z_g * (its pinion's speed); the contact force is
 *   F_g(t) = L^0.8 (1 + A_g(t)) sum_m a_m cos(2 pi m (Z_g n_g(t) + P_g(t)) + b_m)
 * n_g: pinion angle in turns; A_g, P_g: amplitude and phase modulation once a turn of either wheel
 * (eccentricity, tooth errors), which make the sidebands f_g +- j f_shaft. The force excites the
 * housing's modes. A cracked tooth is softer: force and phase lag while it is in contact, and a
 * knock as the next tooth takes the load.
 */
enum { TEETH_1 = 23, TEETH_2 = 47, TEETH_3 = 19, TEETH_4 = 61, MESH_HARMONICS = 6 };

/* Modulation of one wheel turn: low orders of random size, common to amplitude and phase. */
static void wheel_modulation(asd_rng *unit, double size, synth_table *t)
{
    synth_table_clear(t);
    for (int k = 1; k <= 4; ++k) {
        double turn = asd_rng_uniform(unit); /* C leaves the order of a call's arguments open */
        synth_table_add(t, k, size * synth_scatter(unit, 2) / k, turn);
    }
}

static void gear_modes(synth_clip *c, asd_rng *unit, synth_modes *housing)
{
    static const double hz[6] = {430, 780, 1250, 1900, 2900, 4300};
    memset(housing, 0, sizeof *housing);
    for (int k = 0; k < 6; ++k) {
        double f = hz[k] * (1 + 0.06 * asd_rng_normal(unit));
        synth_modes_set(housing, k, c->rate, f, 5.0 / f, 0.11 * synth_scatter(unit, 3));
    }
}

void synth_gearbox(synth_clip *c, float *y)
{
    asd_rng unit = synth_traits(c), level = synth_rng(c, CELL_LEVEL);
    double  crack = synth_severity(c, 0), wear = synth_severity(c, 1), skew = synth_severity(c, 2);
    double  speed = c->point->speed * (1 + 0.015 * asd_rng_normal(&level));
    double  force = pow(c->point->load, 0.8) * synth_scatter(&level, 1.2);
    synth_shaft(synth_rng(c, CELL_SHAFT), c->rate, 24 * speed, 0.003, 0.25, c->turns, c->n);

    synth_table pinion, wheel, mesh_1, mesh_2, tooth;
    wheel_modulation(&unit, 0.07 + 0.16 * skew, &pinion);
    wheel_modulation(&unit, 0.07 + 0.10 * skew, &wheel);
    synth_table_clear(&mesh_1);
    synth_table_clear(&mesh_2);
    for (int m = 1; m <= MESH_HARMONICS; ++m) {
        double worn = m > 1 ? 1 + 0.9 * wear : 1; /* wear bends the flank: higher harmonics first */
        double a    = worn * synth_scatter(&unit, 2) * synth_scatter(&level, 0.8) / pow(m, 1.3);
        synth_table_add(&mesh_1, m, a, asd_rng_uniform(&unit));
        synth_table_add(&mesh_2, m, 0.7 * a, asd_rng_uniform(&unit));
    }
    synth_table_clear(&tooth); /* contact window of one tooth: a raised cosine power */
    for (int k = 0; k <= TEETH_1; ++k)
        synth_table_add(&tooth, k, (k ? 2.0 : 1.0) / (TEETH_1 + 1), 0);

    asd_rng    white = synth_rng(c, CELL_WHITE), event = synth_rng(c, CELL_EVENTS);
    synth_slow load = synth_slow_new(synth_rng(c, CELL_LOAD), c->rate, 0.7);
    synth_white(&white, c->rate, c->a, c->n);
    double friction = 0.22 * speed * synth_scatter(&level, 1.5) * (1 + 0.8 * wear);
    double ratio = (double)TEETH_1 / TEETH_2, last = c->turns[0];
    float *drive = c->b;
    for (int64_t i = 0; i < c->n; ++i) {
        double n1 = c->turns[i], n2 = n1 * ratio;
        double mod = synth_table_at(&pinion, n1) + synth_table_at(&wheel, n2);
        double hit = crack * synth_table_at(&tooth, n1);
        double f1  = synth_table_at(&mesh_1, TEETH_1 * n1 + 8 + 0.4 * mod - 0.15 * hit);
        double f2  = synth_table_at(&mesh_2, TEETH_3 * n2 + 8 + 0.4 * mod);
        double l   = force * (1 + 0.08 * synth_slow_next(&load));
        double rub = friction * c->a[i] * (1 + 0.3 * f1);
        drive[i] =
            (float)(l * (f1 * (1 + mod) * (1 - (hit < 0.9 ? hit : 0.9)) + f2 * (1 + mod)) + rub);
        if ((int64_t)n1 > (int64_t)last) /* the next tooth takes over with a knock */
            drive[i] += (float)(crack * l * 9 * synth_scatter(&event, 2));
        last = n1;
    }
    for (int64_t i = 0; i < c->n; ++i)
        y[i] = 0.35f * drive[i];
    synth_modes housing;
    gear_modes(c, &unit, &housing);
    synth_modes_run(&housing, drive, y, c->n);
    c->facts->shaft_hz  = mean_hz(c);
    c->facts->tone_hz   = TEETH_1 * c->facts->shaft_hz;
    c->facts->defect_hz = c->facts->shaft_hz;
}

/* --- bearing -----------------------------------------------------------------------------------
 * Nine balls, ball to pitch diameter r = 0.23, contact angle 0, outer ring at rest:
 *   cage FTF = f/2 (1 - r)      outer race BPFO = 9 FTF      inner race BPFI = 9/2 f (1 + r)
 *   ball spin BSF = f/(2 r) (1 - r^2), two knocks a turn of the ball
 * A pit gives an impulse each time it is rolled over; the interval scatters by 1.2 % because balls
 * slip. The load zone modulates: the inner race passes it once a shaft turn, a ball once a cage
 * turn.
 */
enum { BALLS = 9 };
#define BALL_RATIO 0.23

static void bearing_impulses(synth_clip *c, double shaft_hz, double gain, float *drive)
{
    asd_rng event      = synth_rng(c, CELL_EVENTS);
    double  cage       = shaft_hz / 2 * (1 - BALL_RATIO);
    double  rate[3]    = {BALLS * cage, BALLS * shaft_hz / 2 * (1 + BALL_RATIO),
                          shaft_hz / BALL_RATIO * (1 - BALL_RATIO * BALL_RATIO)};
    double  zone_hz[3] = {0, shaft_hz, cage}, depth[3] = {0, 0.8, 0.6};
    int     kind        = c->fault;
    c->facts->defect_hz = rate[kind];
    double step = c->rate / rate[kind], t = step * asd_rng_uniform(&event);
    double zone = asd_rng_uniform(&event);
    for (; t < (double)c->n; t += step * (1 + 0.012 * asd_rng_normal(&event))) {
        double load = 1 + depth[kind] * cos(SYNTH_TAU * (zone_hz[kind] * t / c->rate + zone));
        synth_impulse(drive, c->n, t, gain * load * synth_scatter(&event, 1.5));
    }
}

void synth_bearing(synth_clip *c, float *y)
{
    asd_rng unit = synth_traits(c), level = synth_rng(c, CELL_LEVEL);
    double  speed = c->point->speed * (1 + 0.015 * asd_rng_normal(&level));
    synth_shaft(synth_rng(c, CELL_SHAFT), c->rate, 29 * speed, 0.003, 0.3, c->turns, c->n);
    double shaft_hz = mean_hz(c);

    synth_table shaft, swell;
    synth_table_clear(&shaft);
    synth_table_clear(&swell);
    for (int k = 1; k <= 6; ++k) {
        double turn = asd_rng_uniform(&unit);
        synth_table_add(&shaft, k,
                        1.3 * synth_scatter(&unit, 3) * synth_scatter(&level, 1.2) / pow(k, 0.8),
                        turn);
    }
    synth_table_add(&swell, 1, 0.12, asd_rng_uniform(&unit));
    synth_table_add(&swell, 2, 0.06, asd_rng_uniform(&unit));

    /* Rolling contact: noise that grows with speed and load, and drives the modes. */
    asd_rng    white = synth_rng(c, CELL_WHITE);
    synth_slow film  = synth_slow_new(synth_rng(c, CELL_LOAD), c->rate, 0.5);
    float     *drive = c->a;
    synth_white(&white, c->rate, drive, c->n);
    double roll = pow(speed, 1.5) * sqrt(c->point->load) * synth_scatter(&level, 1.5);
    for (int64_t i = 0; i < c->n; ++i) {
        double film_gain = 1 + 0.1 * synth_slow_next(&film);
        drive[i] = (float)(drive[i] * roll * film_gain * (1 + synth_table_at(&swell, c->turns[i])));
        y[i]     = (float)(0.5 * drive[i] + synth_table_at(&shaft, c->turns[i]));
    }
    bearing_impulses(c, shaft_hz, 6 * c->severity * speed, drive);
    static const double hz[5] = {620, 1350, 2400, 3700, 5600};
    synth_modes         frame = {0};
    for (int k = 0; k < 5; ++k) {
        double f =
            hz[k] * (1 + 0.05 * asd_rng_normal(&unit)) * (1 + 0.004 * asd_rng_normal(&level));
        synth_modes_set(&frame, k, c->rate, f, 6.0 / f + 0.0005,
                        0.5 * synth_scatter(&unit, 2.5) * synth_scatter(&level, 1.0));
    }
    synth_modes_run(&frame, drive, y, c->n);
    c->facts->shaft_hz = shaft_hz;
}
