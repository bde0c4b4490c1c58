/* synth_moving.c - slider, valve, toy car: machines that move in strokes, clicks and bumps.
 * Formulas in docs/synth.md. */
#include "data/synth_parts.h"

#include <string.h>

static void set_modes(synth_clip *c, asd_rng *unit, asd_rng *level, const double *hz, int n,
                      double turns, double gain, synth_modes *m)
{
    memset(m, 0, sizeof *m);
    for (int k = 0; k < n; ++k) {
        double f = hz[k] * (1 + 0.06 * asd_rng_normal(unit)) * (1 + 0.004 * asd_rng_normal(level));
        synth_modes_set(m, k, c->rate, f, turns / f,
                        gain * synth_scatter(unit, 2.5) * synth_scatter(level, 0.8));
    }
}

/* --- slider ------------------------------------------------------------------------------------
 * A carriage driven to and fro by a ball screw. One stroke has the speed profile (h: 0..1)
 *   v(h) = clip((h - 0.06) / 0.14) clip((0.94 - h) / 0.14)
 * with rests at both ends. Rail noise ~ v^0.75 times the roughness at the carriage's position,
 * which is the same at each pass; the screw turns with v; the carriage knocks when it starts and
 * stops. Below the speed v_s friction falls with speed and the carriage sticks and slips: impulses
 * every few milliseconds, of size 1 - v / v_s.
 */
enum { RAIL = 256 };

typedef struct stroke_faults {
    double rub, ragged, pit; /* severities */
} stroke_faults;

/* All strokes: speed to c->b, place on the rail (0 .. 1) to c->turns, impulses added to drive. */
static void slider_strokes(synth_clip *c, asd_rng *unit, double speed, stroke_faults bad,
                           float *drive)
{
    asd_rng event  = synth_rng(c, CELL_EVENTS);
    double  length = 1.05 / speed * c->rate; /* samples a stroke */
    double  slip_v = 0.25 + 0.30 * fmin(bad.rub, 2), pit_at = 0.35 + 0.3 * asd_rng_uniform(unit);
    double  start = -length * asd_rng_uniform(&event);
    for (int64_t s = 0; start < (double)c->n; ++s) {
        double span       = length * (1 + 0.01 * asd_rng_normal(&event) +
                                0.10 * bad.ragged * asd_rng_normal(&event));
        double pause      = 0.25 + 0.5 * asd_rng_uniform(&event),
               wait       = 0.5 * bad.ragged * asd_rng_uniform(&event);
        double way        = s & 1 ? 0.9 : 1.0; /* back and forth differ */
        span              = fmax(span, 0.4 * length);
        int64_t last      = (int64_t)fmin(ceil(start + span), (double)c->n);
        double  next_slip = 0;
        for (int64_t i = start < 0 ? 0 : (int64_t)ceil(start); i < last; ++i) {
            double h = ((double)i - start) / span;
            double v = fmin(fmax((h - 0.06) / 0.14, 0), 1) * fmin(fmax((0.94 - h) / 0.14, 0), 1);
            if (fabs(h - pause) < 0.08) /* an irregular drive hesitates */
                v *= 1 - fmin(wait, 0.95) * (1 + cos(SYNTH_TAU / 0.16 * (h - pause))) / 2;
            c->b[i]     = (float)(v * way * speed);
            c->turns[i] = s & 1 ? 1 - h : h;
            if (v > 0.01 && v < slip_v && (double)i >= next_slip) {
                double size = (1 - v / slip_v) * (1.2 + 7 * bad.rub) * synth_scatter(&event, 3);
                synth_impulse(drive, c->n, (double)i, size);
                next_slip = (double)i + c->rate * (0.004 + 0.006 * asd_rng_uniform(&event));
            }
        }
        synth_impulse(drive, c->n, start + 0.06 * span, 7 * speed * synth_scatter(&event, 2));
        synth_impulse(drive, c->n, start + 0.94 * span,
                      9 * speed * (1 + 0.8 * bad.ragged) * synth_scatter(&event, 2));
        double at = s & 1 ? 1 - pit_at : pit_at; /* a pit in the rail: two balls roll over it */
        synth_impulse(drive, c->n, start + at * span, 16 * bad.pit * synth_scatter(&event, 2));
        synth_impulse(drive, c->n, start + (at + 0.025) * span,
                      11 * bad.pit * synth_scatter(&event, 2));
        start += span;
    }
}

void synth_slider(synth_clip *c, float *y)
{
    asd_rng       unit = synth_traits(c), level = synth_rng(c, CELL_LEVEL);
    stroke_faults bad   = {synth_severity(c, 0), synth_severity(c, 1), synth_severity(c, 2)};
    double        speed = c->point->speed * (1 + 0.02 * asd_rng_normal(&level));
    double        rough[RAIL + 1];
    for (int k = 0; k < RAIL; ++k)
        rough[k] = synth_scatter(&unit, 1.5);
    rough[RAIL] = rough[RAIL - 1];

    asd_rng white = synth_rng(c, CELL_WHITE);
    float  *drive = c->a;
    memset(drive, 0, (size_t)c->n * sizeof *drive);
    memset(c->b, 0, (size_t)c->n * sizeof *c->b);
    slider_strokes(c, &unit, speed, bad, drive);

    synth_table screw, sine;
    synth_table_clear(&screw);
    synth_table_clear(&sine);
    synth_table_add(&sine, 1, 1, 0);
    static const int order[7] = {1, 2,  4, 7,
                                 8, 14, 16}; /* turn, ball returns (7), motor poles (8) */
    for (int k = 0; k < 7; ++k) {
        double turn = asd_rng_uniform(&unit); /* C leaves the order of a call's arguments open */
        synth_table_add(&screw, order[k],
                        0.5 * synth_scatter(&unit, 3) * synth_scatter(&level, 1.2) / (1 + 0.4 * k),
                        turn);
    }

    double       rail   = 1.1 * synth_scatter(&level, 1.2) * c->point->load * (1 + 1.2 * bad.rub);
    double       squeal = 0.5 * bad.rub * asd_rng_uniform(&level), squeal_turn = 0;
    double       angle   = asd_rng_uniform(&level);
    double       density = sqrt(3 * c->rate / 16000); /* of uniform noise: as synth_white */
    synth_filter band    = synth_bandpass(c->rate, 1300, 0.5);
    asd_rng      tone    = synth_rng(c, CELL_SHAFT);
    synth_slow   wander  = synth_slow_new(tone, c->rate, 0.1);
    for (int64_t i = 0; i < c->n; ++i) {
        double v = c->b[i], hiss = asd_rng_u32(&white) * 0x1p-31 - 1; /* uniform, variance 1/3 */
        angle += 21 * v / c->rate;
        squeal_turn += (2650 + 40 * synth_slow_next(&wander)) / c->rate;
        double rub =
            sqrt(v) * sqrt(sqrt(v)) * rail * rough[(int)(RAIL * c->turns[i])] * density * hiss;
        drive[i] += (float)(0.35 * rub);
        y[i] = (float)(synth_filter_next(&band, rub) + v * synth_table_at(&screw, angle) +
                       squeal * v * synth_table_at(&sine, squeal_turn));
    }
    static const double hz[6] = {340, 760, 1400, 2300, 3600, 5200};
    synth_modes         frame;
    set_modes(c, &unit, &level, hz, 6, 7, 0.35, &frame);
    synth_modes_run(&frame, drive, y, c->n);
    c->facts->shaft_hz  = 21 * speed;
    c->facts->tone_hz   = 7 * 21 * speed;
    c->facts->defect_hz = speed / 1.05;
}

/* --- valve -------------------------------------------------------------------------------------
 * A solenoid valve on a timed pattern of four openings. Switching on: the coil hums at twice the
 * mains frequency, and 12 ms later the plunger hits its stop (impulse into the body's modes, a
 * bounce 8 ms after). While open, air hisses: noise around 3.4 kHz with the gate g(t), which rises
 * in 4 ms and falls in 18 ms. Switching off: a softer impact on the seat.
 */
typedef struct valve_faults {
    double leak, stick, seat; /* severities */
} valve_faults;

/* Events to drive, gate to gate (0 closed, 1 open), coil current to coil; returns openings. */
static int64_t valve_pattern(synth_clip *c, asd_rng *unit, double speed, valve_faults bad,
                             float *drive, float *gate, float *coil)
{
    asd_rng event = synth_rng(c, CELL_EVENTS);
    double  on[4], off[4];
    for (int k = 0; k < 4; ++k) {
        on[k]  = (0.16 + 0.16 * asd_rng_uniform(unit)) / speed;
        off[k] = (0.22 + 0.25 * asd_rng_uniform(unit)) / speed;
    }
    off[3] += 0.35 / speed; /* the pattern ends with a longer rest */
    double  t   = -1.5 / speed * asd_rng_uniform(&event);
    double  end = (double)c->n / c->rate, bounce = 0.008;
    int64_t openings = 0, at = 0;
    double  g = 0, level = 0;
    for (int k = 0; t < end; k = (k + 1) & 3) {
        double late = 0.012 * (1 + 0.06 * asd_rng_normal(&event)) +
                      bad.stick * (0.010 + 0.030 * asd_rng_uniform(&event));
        double shut = 0.009 * (1 + 0.06 * asd_rng_normal(&event)) +
                      0.012 * bad.stick * asd_rng_uniform(&event);
        double hit   = 30 * synth_scatter(&event, 1.2) * exp(-0.35 * bad.stick);
        double set   = 17 * synth_scatter(&event, 1.2) * (1 + 0.5 * bad.seat);
        double opens = t + late, closes = t + on[k] + shut;
        synth_impulse(drive, c->n, opens * c->rate, hit);
        synth_impulse(drive, c->n, (opens + bounce) * c->rate, 0.3 * hit * (1 + 1.2 * bad.stick));
        synth_impulse(drive, c->n, closes * c->rate, set);
        for (int j = 1; j <= 3; ++j) /* a worn seat lets the plunger chatter */
            synth_impulse(drive, c->n, (closes + j * 0.9 * bounce) * c->rate,
                          set * 0.45 * bad.seat / j);
        double stops = t + on[k], next = stops + off[k];
        double rise = exp(-1 / (0.004 * c->rate)),
               fall = exp(-1 / (0.018 * (1 + 2 * bad.seat) * c->rate));
        for (; at < c->n && (double)at / c->rate < next; ++at) {
            double now = (double)at / c->rate;
            level      = now >= opens && now < closes;
            g          = level + (g - level) * (level > g ? rise : fall);
            gate[at]   = (float)g;
            coil[at]   = now >= t && now < stops;
        }
        t = next;
        ++openings;
    }
    return openings;
}

void synth_valve(synth_clip *c, float *y)
{
    asd_rng      unit = synth_traits(c), level = synth_rng(c, CELL_LEVEL);
    valve_faults bad   = {synth_severity(c, 0), synth_severity(c, 1), synth_severity(c, 2)};
    double       speed = c->point->speed * (1 + 0.005 * asd_rng_normal(&level));
    float       *drive = c->a, *gate = c->b;
    memset(drive, 0, (size_t)c->n * sizeof *drive);
    int64_t openings =
        valve_pattern(c, &unit, speed, bad, drive, gate, y); /* y holds the coil for now */

    asd_rng white = synth_rng(c, CELL_WHITE), leak_rng = synth_rng(c, CELL_LOAD);
    double  air           = 2.2 * c->point->load * synth_scatter(&level, 2),
           hum            = 0.9 * synth_scatter(&level, 1.5);
    double       hum_step = 100 / c->rate, turn = asd_rng_uniform(&level);
    double       leak    = 0.22 * bad.leak;
    synth_filter jet     = synth_bandpass(c->rate, 3400 * (1 + 0.03 * asd_rng_normal(&level)), 0.7);
    synth_slow   flutter = synth_slow_new(leak_rng, c->rate, 0.05);
    double       pull = 0, rise = 64 / c->rate, density = sqrt(3 * c->rate / 16000);
    synth_table  coil;
    synth_table_clear(&coil);
    synth_table_add(&coil, 1, 1, 0);
    synth_table_add(&coil, 2, 0.5, 0);
    synth_table_add(&coil, 4, 0.25, 0);
    for (int64_t i = 0; i < c->n; ++i) {
        double hiss = density * (asd_rng_u32(&white) * 0x1p-31 - 1);
        double open = gate[i] + leak * (1 - gate[i]) * (1 + 0.3 * synth_slow_next(&flutter));
        pull += (y[i] - pull) * rise;
        turn += hum_step;
        y[i] = (float)(air * open * synth_filter_next(&jet, hiss) +
                       hum * pull * synth_table_at(&coil, turn));
    }
    static const double hz[6] = {520, 1150, 1950, 3100, 4600, 6400};
    synth_modes         body;
    set_modes(c, &unit, &level, hz, 6, 9, 0.5, &body);
    synth_modes_run(&body, drive, y, c->n);
    c->facts->shaft_hz  = 0;
    c->facts->tone_hz   = (double)openings * c->rate / (double)c->n;
    c->facts->defect_hz = c->facts->tone_hz;
}

/* --- toy car -----------------------------------------------------------------------------------
 * A brushed motor with three slots: six commutations a turn, with the ripple of uneven segments. An
 * eight-tooth pinion drives the wheels, nine motor turns to one wheel turn. The road gives noise
 * below 1 kHz, loose parts rattle at random instants, more often where the wheel bumps. Cars differ
 * (attribute car_X): body modes and motor.
 */
enum { PINION = 8, REDUCTION = 9 };

/* What makes this car differ from the model it is one of. */
static asd_rng car_traits(const synth_clip *c)
{
    asd_rng  r;
    uint64_t car = 0; /* the text between "car_" and "_spd" */
    for (const char *p = c->point->attribute + 4; *p && *p != '_'; ++p)
        car = car * 256 + (unsigned char)*p;
    asd_rng_init(&r, c->seed, ASD_RNG_SYNTH, c->unit_key + car, CELL_TRAITS);
    return r;
}

static void car_impulses(synth_clip *c, double wheel_hz, double loose, double flat, float *drive)
{
    asd_rng event = synth_rng(c, CELL_EVENTS);
    double  often = 7 * (1 + 1.5 * loose) * wheel_hz / 13, t = 0, last = 0; /* rattles a second */
    for (;;) {
        t -= log(1 - asd_rng_uniform(&event)) * c->rate / often;
        if (t >= (double)c->n)
            break;
        double bump = 0.6 + 0.4 * cos(SYNTH_TAU * c->turns[(int64_t)t] / REDUCTION);
        synth_impulse(drive, c->n, t, 7 * bump * (1 + 0.9 * loose) * synth_scatter(&event, 4));
    }
    for (int64_t i = 0; i < c->n; ++i) { /* a flat spot lands once a wheel turn */
        double w = c->turns[i] / REDUCTION;
        if (i && floor(w) > floor(last))
            synth_impulse(drive, c->n, (double)i, 14 * flat * synth_scatter(&event, 2));
        last = w;
    }
}

void synth_toycar(synth_clip *c, float *y)
{
    asd_rng unit = synth_traits(c), car = car_traits(c), level = synth_rng(c, CELL_LEVEL);
    double  flat = synth_severity(c, 0), loose = synth_severity(c, 1), bent = synth_severity(c, 2);
    double  speed = c->point->speed * (1 + 0.02 * asd_rng_normal(&level));
    synth_shaft(synth_rng(c, CELL_SHAFT), c->rate, 118 * speed, 0.008, 0.35, c->turns, c->n);
    double motor_hz = (c->turns[c->n - 1] - c->turns[0]) / (double)(c->n - 1) * c->rate;
    double wheel_hz = motor_hz / REDUCTION;

    synth_table motor, mesh, wheel;
    synth_table_clear(&motor);
    synth_table_clear(&mesh);
    synth_table_clear(&wheel);
    for (int m = 1; m <= 24; ++m) { /* commutation: multiples of 6; uneven segments: the rest */
        double a = m % 6 ? 0.06 : 0.7 / sqrt(m / 6.0), turn = asd_rng_uniform(&unit);
        synth_table_add(
            &motor, m,
            a * synth_scatter(&unit, 3) * synth_scatter(&car, 1) * synth_scatter(&level, 1), turn);
    }
    for (int m = 1; m <= 4; ++m) {
        double turn = asd_rng_uniform(&unit);
        synth_table_add(&mesh, m,
                        0.7 * synth_scatter(&unit, 2) * synth_scatter(&car, 1) *
                            synth_scatter(&level, 1) / m,
                        turn);
    }
    synth_table_add(&wheel, 1, 0.08 + 0.45 * bent, asd_rng_uniform(&unit));
    synth_table_add(&wheel, 2, 0.04 + 0.15 * bent, asd_rng_uniform(&unit));

    asd_rng white = synth_rng(c, CELL_WHITE);
    float  *drive = c->b;
    synth_white(&white, c->rate, c->a, c->n);
    double       road  = 1.3 * speed * speed * c->point->load * synth_scatter(&level, 1.5);
    double       brush = 0.35 * speed * synth_scatter(&level, 1.5);
    synth_filter low   = synth_bandpass(c->rate, 420, 0.4);
    synth_filter high  = synth_highpass(c->rate, 2500);
    synth_slow   bumpy = synth_slow_new(synth_rng(c, CELL_LOAD), c->rate, 0.15);
    for (int64_t i = 0; i < c->n; ++i) {
        double n = c->turns[i], w = synth_table_at(&wheel, n / REDUCTION);
        double gear = synth_table_at(&mesh, PINION * n + 8 + 0.5 * w) * (1 + w);
        double rest = road * (1 + w) * (1 + 0.2 * synth_slow_next(&bumpy)) *
                          synth_filter_next(&low, c->a[i]) +
                      brush * synth_filter_next(&high, c->a[i]);
        y[i]     = (float)(0.8 * speed * (synth_table_at(&motor, n) + gear) + rest);
        drive[i] = 0.12f * y[i];
    }
    car_impulses(c, wheel_hz, loose, flat, drive);
    static const double hz[6] = {310, 690, 1250, 2150, 3300, 4900};
    synth_modes         body;
    set_modes(c, &unit, &level, hz, 6, 5, 0.45, &body);
    synth_modes_run(&body, drive, y, c->n);
    c->facts->shaft_hz  = wheel_hz;
    c->facts->tone_hz   = 6 * motor_hz;
    c->facts->defect_hz = wheel_hz;
}
