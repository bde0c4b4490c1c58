/* test_synth.c - the generator: same seed same bits, and the physics in the spectrum. */
#include "harness.h"

#include "data/synth.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- helpers --- */

/* Two channels apart; x: (n) owned. */
typedef struct sound {
    float          *x[2];
    int64_t         n;
    double          rate;
    asd_synth_facts facts;
} sound;

static asd_synth_params short_params(double seconds)
{
    asd_synth_params p;
    asd_synth_defaults(&p);
    p.seconds = seconds;
    return p;
}

typedef struct maker {
    asd_synth_params p;
    asd_synth       *synth;
    asd_synth_work  *work;
} maker;

static maker maker_open(const asd_synth_params *p, const char *machine)
{
    maker m = {.p = *p};
    assert_ok(asd_synth_open(p, asd_synth_find(machine), &m.synth));
    assert_ok(asd_synth_work_new(m.synth, &m.work));
    return m;
}

static void maker_close(maker *m)
{
    asd_synth_work_free(m->work);
    asd_synth_free(m->synth);
}

static asd_synth_id test_id(asd_domain domain, asd_condition condition, int64_t number)
{
    return (asd_synth_id){ASD_TEST, domain, condition, number};
}

static sound make(const maker *m, asd_synth_id id)
{
    int64_t n = asd_synth_frames(&m->p);
    sound   s = {.n = n, .rate = m->p.rate_hz};
    float  *x = malloc((size_t)n * 2 * sizeof *x);
    for (int c = 0; c < 2; ++c)
        s.x[c] = malloc((size_t)n * sizeof *s.x[c]);
    asd_synth_render(m->synth, m->work, &id, x, &s.facts);
    for (int64_t i = 0; i < n; ++i)
        for (int c = 0; c < 2; ++c)
            s.x[c][i] = x[2 * i + c];
    free(x);
    return s;
}

static void drop(sound *s)
{
    free(s->x[0]);
    free(s->x[1]);
}

/* The first test clip of the source domain with this fault (drawn for normal clips too). */
static asd_synth_id with_fault(const maker *m, asd_condition condition, int kind)
{
    for (int64_t i = 0; i < 40; ++i) {
        asd_synth_id id   = test_id(ASD_SOURCE, condition, i);
        sound        s    = make(m, id);
        int          same = s.facts.fault == kind;
        drop(&s);
        if (same)
            return id;
    }
    fail_msg("no clip with fault %d among 40", kind);
    return test_id(ASD_SOURCE, condition, 0);
}

/* Power of one frequency: the Hann-windowed Fourier sum, in units of a sine's amplitude squared. */
static double line_power(const double *x, int64_t n, double rate, double hz)
{
    double re = 0, im = 0, w = 6.283185307179586 * hz / rate;
    for (int64_t i = 0; i < n; ++i) {
        double win = 1 - cos(6.283185307179586 * (double)i / (double)n);
        re += win * x[i] * cos(w * (double)i);
        im -= win * x[i] * sin(w * (double)i);
    }
    return 4 * (re * re + im * im) / ((double)n * (double)n);
}

/* The strongest line within +-2 % of hz over the median of the lines from 0.8 to 1.2 hz: a peak
 * that wanders with the speed is found, a slope of the spectrum is not. */
static double peak_over_floor(const double *x, int64_t n, double rate, double hz, double half_width)
{
    enum { LINES = 81 };
    double p[LINES], peak = 0;
    for (int k = 0; k < LINES; ++k) {
        double f = hz + half_width * (k - LINES / 2) / (LINES / 2);
        p[k]     = line_power(x, n, rate, f);
        if (abs(k - LINES / 2) <= LINES / 20)
            peak = fmax(peak, p[k]);
    }
    for (int i = 1; i < LINES; ++i) /* insertion sort */
        for (int k = i; k && p[k] < p[k - 1]; --k) {
            double t = p[k];
            p[k]     = p[k - 1];
            p[k - 1] = t;
        }
    return peak / p[LINES / 2];
}

static double *as_double(const sound *s, int channel)
{
    double *y = calloc((size_t)s->n, sizeof *y);
    for (int64_t i = 0; i < s->n; ++i)
        y[i] = s->x[channel][i];
    return y;
}

/* --- bits --- */

static void test_same_bits(void **state)
{
    (void)state;
    asd_synth_params p = short_params(1);
    for (int k = 0; k < asd_synth_n_machines(); ++k) {
        maker a = maker_open(&p, asd_synth_machine(k)), b = maker_open(&p, asd_synth_machine(k));
        asd_synth_id id    = test_id(ASD_TARGET, ASD_ANOMALY, 7);
        sound        first = make(&a, id);
        sound        other = make(&b, test_id(ASD_SOURCE, ASD_NORMAL, 1)); /* b has a history */
        sound        again = make(&b, id);
        for (int c = 0; c < 2; ++c) {
            assert_memory_equal(first.x[c], again.x[c], (size_t)first.n * sizeof(float));
            assert_memory_not_equal(first.x[c], other.x[c], (size_t)first.n * sizeof(float));
        }
        assert_memory_not_equal(first.x[0], first.x[1], (size_t)first.n * sizeof(float));
        drop(&first);
        drop(&other);
        drop(&again);
        maker_close(&a);
        maker_close(&b);
    }
}

static void test_seed_and_identity(void **state)
{
    (void)state;
    asd_synth_params p = short_params(0.5), q = p;
    q.seed               = 1;
    maker              a = maker_open(&p, "fan"), b = maker_open(&q, "fan");
    const asd_synth_id id[] = {{ASD_TRAIN, ASD_SOURCE, ASD_NORMAL, 0},
                               {ASD_TEST, ASD_SOURCE, ASD_NORMAL, 0},
                               {ASD_TEST, ASD_TARGET, ASD_NORMAL, 0},
                               {ASD_TEST, ASD_SOURCE, ASD_ANOMALY, 0},
                               {ASD_TRAIN, ASD_SOURCE, ASD_NORMAL, 3}};
    sound              s[6];
    for (int k = 0; k < 5; ++k)
        s[k] = make(&a, id[k]);
    s[5] = make(&b, id[0]);
    for (int i = 0; i < 6; ++i)
        for (int k = 0; k < i; ++k)
            assert_memory_not_equal(s[i].x[0], s[k].x[0], (size_t)s[i].n * sizeof(float));
    for (int k = 0; k < 6; ++k)
        drop(&s[k]);
    maker_close(&a);
    maker_close(&b);
}

static void test_in_range(void **state)
{
    (void)state;
    asd_synth_params p = short_params(1);
    p.severity         = 3;
    p.snr_db           = -10; /* loud noise: knocks are the highest peaks */
    for (int k = 0; k < asd_synth_n_machines(); ++k) {
        maker m = maker_open(&p, asd_synth_machine(k));
        for (int64_t i = 0; i < 6; ++i) {
            sound s = make(&m, test_id(i & 1 ? ASD_TARGET : ASD_SOURCE, ASD_ANOMALY, i));
            for (int c = 0; c < 2; ++c) {
                double sum = 0, mean = 0;
                for (int64_t t = 0; t < s.n; ++t) {
                    assert_true(fabsf(s.x[c][t]) <= 0.951f);
                    sum += (double)s.x[c][t] * s.x[c][t];
                    mean += s.x[c][t];
                }
                assert_true(sqrt(sum / (double)s.n) > 0.003); /* well above 16-bit rounding */
                assert_true(fabs(mean / (double)s.n) < 0.02);
            }
            drop(&s);
        }
        maker_close(&m);
    }
}

static void test_rates(void **state)
{
    (void)state;
    const int rates[] = {8000, 16000, 48000};
    double    level[3];
    for (int k = 0; k < 3; ++k) {
        asd_synth_params p = short_params(1);
        p.rate_hz          = rates[k];
        maker  m           = maker_open(&p, "gearbox");
        sound  s           = make(&m, test_id(ASD_SOURCE, ASD_NORMAL, 0));
        double sum         = 0;
        assert_int_equal(s.n, rates[k]);
        for (int64_t t = 0; t < s.n; ++t)
            sum += (double)s.x[0][t] * s.x[0][t];
        level[k] = 10 * log10(sum / (double)s.n);
        drop(&s);
        maker_close(&m);
    }
    assert_near(level[0], level[1], 4);
    assert_near(level[2], level[1], 4);
}

static void test_machines_differ(void **state)
{
    (void)state;
    enum { BANDS = 24, MAX = 16 };
    double shape[MAX][BANDS];
    int    n = asd_synth_n_machines();
    assert_true(n >= 6 && n <= MAX);
    for (int k = 0; k < n; ++k) {
        asd_synth_params p = short_params(1);
        p.snr_db           = 30;
        maker   m          = maker_open(&p, asd_synth_machine(k));
        sound   s          = make(&m, test_id(ASD_SOURCE, ASD_NORMAL, 0));
        double *x = as_double(&s, 0), mean = 0;
        for (int b = 0; b < BANDS; ++b) { /* log power in third octaves from 60 Hz */
            double sum = 0;
            for (int j = 0; j < 8; ++j)
                sum += line_power(x, s.n, s.rate, 60 * pow(2, (b + j / 8.0) / 3.5));
            shape[k][b] = 10 * log10(sum);
            mean += shape[k][b] / BANDS;
        }
        for (int b = 0; b < BANDS; ++b)
            shape[k][b] -= mean;
        free(x);
        drop(&s);
        maker_close(&m);
    }
    for (int i = 0; i < n; ++i)
        for (int k = 0; k < i; ++k) {
            double sum = 0;
            for (int b = 0; b < BANDS; ++b)
                sum += pow(shape[i][b] - shape[k][b], 2) / BANDS;
            if (sqrt(sum) < 4)
                fail_msg("%s and %s: spectra within %.1f dB", asd_synth_machine(i),
                         asd_synth_machine(k), sqrt(sum));
        }
}

/* --- rooms, noise, domains --- */

static void test_far_is_noisier(void **state)
{
    (void)state;
    asd_synth_params p = short_params(1);
    for (int k = 0; k < asd_synth_n_machines(); ++k) {
        maker  m    = maker_open(&p, asd_synth_machine(k));
        double near = 0, far = 0, target = 0;
        for (int64_t i = 0; i < 12; ++i) {
            sound s = make(&m, test_id(ASD_SOURCE, ASD_NORMAL, i)),
                  t = make(&m, test_id(ASD_TARGET, ASD_NORMAL, i));
            near += s.facts.snr_db[0] / 12;
            far += s.facts.snr_db[1] / 12;
            target += t.facts.snr_db[0] / 12;
            drop(&s);
            drop(&t);
        }
        assert_true(far < near - 4);
        assert_near(near, p.snr_db, 6);
        assert_near(target, near, 8);
        maker_close(&m);
    }
}

/* Squared coherence of two sounds around hz: 1 the same, 0 independent. */
static double coherence(const float *a, const float *b, int64_t n, double rate, double hz)
{
    enum { FRAME = 512 };
    const float *x[2] = {a, b};
    double       w = 6.283185307179586 * hz / rate, power[2] = {0}, cross[2] = {0};
    for (int64_t at = 0; at + FRAME <= n; at += FRAME) {
        double re[2] = {0}, im[2] = {0};
        for (int k = 0; k < 2; ++k) {
            for (int i = 0; i < FRAME; ++i) {
                double v = x[k][at + i] * (1 - cos(6.283185307179586 * i / FRAME));
                re[k] += v * cos(w * i);
                im[k] -= v * sin(w * i);
            }
            power[k] += re[k] * re[k] + im[k] * im[k];
        }
        cross[0] += re[0] * re[1] + im[0] * im[1];
        cross[1] += im[0] * re[1] - re[0] * im[1];
    }
    return (cross[0] * cross[0] + cross[1] * cross[1]) / (power[0] * power[1]);
}

/* The microphones share part of the noise, and two clips share none. */
static void test_noise_is_partly_coherent(void **state)
{
    (void)state;
    asd_synth_params p = short_params(6);
    p.snr_db           = -30; /* noise alone */
    maker m            = maker_open(&p, "fan");
    sound s            = make(&m, test_id(ASD_SOURCE, ASD_NORMAL, 0)),
          t            = make(&m, test_id(ASD_SOURCE, ASD_NORMAL, 1));
    for (double hz = 600; hz < 2000; hz += 300) {
        double together = coherence(s.x[0], s.x[1], s.n, s.rate, hz);
        double apart    = coherence(s.x[0], t.x[1], s.n, s.rate, hz);
        if (!(together > 0.06 && together < 0.8 && apart < 0.04)) /* 187 frames: chance is 0.005 */
            fail_msg("%g Hz: coherence %.3f, between clips %.3f", hz, together, apart);
    }
    drop(&s);
    drop(&t);
    maker_close(&m);
}

/* The gearbox runs at 0.9 and 1.0 of its speed in the source domain, at 0.96 in the target's. */
static void test_domains_shift_speed(void **state)
{
    (void)state;
    enum { N = 48 };
    asd_synth_params p     = short_params(0.5);
    maker            m     = maker_open(&p, "gearbox");
    double           hz[3] = {0}; /* spd_1, spd_2, target; a clip scatters by 1.5 % */
    for (int64_t i = 0; i < N; ++i) {
        sound s = make(&m, test_id(ASD_SOURCE, ASD_NORMAL, i));
        hz[i % 4 / 2] += s.facts.shaft_hz / (N / 2.0);
        drop(&s);
        s = make(&m, test_id(ASD_TARGET, ASD_NORMAL, i));
        hz[2] += s.facts.shaft_hz / N;
        drop(&s);
    }
    assert_near(hz[0] / hz[1], 0.9, 0.015);
    assert_near(hz[2] / hz[1], 0.96, 0.015);
    maker_close(&m);
}

/* --- physics --- */

static void test_fan_lines(void **state)
{
    (void)state;
    asd_synth_params p = short_params(2);
    p.snr_db           = 40;
    p.severity         = 3;
    maker   m          = maker_open(&p, "fan");
    sound   s          = make(&m, test_id(ASD_SOURCE, ASD_NORMAL, 1));
    double *x          = as_double(&s, 0);
    assert_true(peak_over_floor(x, s.n, s.rate, s.facts.tone_hz, 12) > 30);
    assert_true(peak_over_floor(x, s.n, s.rate, 2 * s.facts.tone_hz, 12) > 10);
    double normal =
        line_power(x, s.n, s.rate, s.facts.shaft_hz) / line_power(x, s.n, s.rate, s.facts.tone_hz);
    free(x);
    drop(&s);
    /* An unbalanced rotor shakes once a turn. */
    s = make(&m, with_fault(&m, ASD_ANOMALY, 0));
    x = as_double(&s, 0);
    double bad =
        line_power(x, s.n, s.rate, s.facts.shaft_hz) / line_power(x, s.n, s.rate, s.facts.tone_hz);
    assert_true(bad > 4 * normal);
    free(x);
    drop(&s);
    maker_close(&m);
}

/* Power of the pairs of sidebands of the first mesh tone over the tone itself. */
static double gear_sidebands(const maker *m, asd_synth_id id)
{
    sound   s    = make(m, id);
    double *x    = as_double(&s, 0);
    double  side = 0, mesh = s.facts.tone_hz, shaft = s.facts.shaft_hz;
    for (int j = 1; j <= 2; ++j)
        side += line_power(x, s.n, s.rate, mesh + j * shaft) +
                line_power(x, s.n, s.rate, mesh - j * shaft);
    side /= line_power(x, s.n, s.rate, mesh);
    free(x);
    drop(&s);
    return side;
}

static void test_gear_sidebands(void **state)
{
    (void)state;
    asd_synth_params p = short_params(2);
    p.snr_db           = 40;
    p.severity         = 3;
    maker   m          = maker_open(&p, "gearbox");
    sound   s          = make(&m, test_id(ASD_SOURCE, ASD_NORMAL, 0));
    double *x          = as_double(&s, 0);
    assert_true(peak_over_floor(x, s.n, s.rate, s.facts.tone_hz, 10) > 100);
    /* Sidebands stand where they must, and not half way between. */
    double at = line_power(x, s.n, s.rate, s.facts.tone_hz + s.facts.shaft_hz) +
                line_power(x, s.n, s.rate, s.facts.tone_hz - s.facts.shaft_hz);
    double off = line_power(x, s.n, s.rate, s.facts.tone_hz + 0.73 * s.facts.shaft_hz) +
                 line_power(x, s.n, s.rate, s.facts.tone_hz - 0.73 * s.facts.shaft_hz);
    assert_true(at > 4 * off);
    free(x);
    drop(&s);
    double normal = gear_sidebands(&m, with_fault(&m, ASD_NORMAL, 2));
    double skewed = gear_sidebands(&m, with_fault(&m, ASD_ANOMALY, 2));
    assert_true(skewed > 2 * normal);
    maker_close(&m);
}

/* The envelope: what is left above 1 kHz, squared. */
static double envelope_line(const maker *m, asd_synth_id id)
{
    sound   s = make(m, id);
    double *e = calloc((size_t)s.n, sizeof *e), last = 0, y = 0, mean = 0;
    for (int64_t i = 0; i < s.n; ++i) {
        y    = 0.67 * (y + s.x[0][i] - last); /* one-pole high-pass */
        last = s.x[0][i];
        e[i] = y * y;
        mean += e[i] / (double)s.n;
    }
    for (int64_t i = 0; i < s.n; ++i)
        e[i] -= mean;
    double line = peak_over_floor(e, s.n, s.rate, s.facts.defect_hz, 15);
    free(e);
    drop(&s);
    return line;
}

static void test_bearing_envelope(void **state)
{
    (void)state;
    asd_synth_params p = short_params(2);
    p.snr_db           = 30;
    p.severity         = 3;
    maker m            = maker_open(&p, "bearing");
    for (int kind = 0; kind < 3; ++kind) {
        double bad  = envelope_line(&m, with_fault(&m, ASD_ANOMALY, kind));
        double good = envelope_line(&m, with_fault(&m, ASD_NORMAL, kind));
        if (!(bad > 25 && bad > 2 * good))
            fail_msg("%s: line %.1f over the floor, %.1f when normal",
                     asd_synth_fault(asd_synth_find("bearing"), kind), bad, good);
    }
    /* 9 balls, ball to pitch 0.23: outer and inner race add up to nine shaft turns. */
    sound o = make(&m, with_fault(&m, ASD_NORMAL, 0)), i = make(&m, with_fault(&m, ASD_NORMAL, 1));
    assert_near(o.facts.defect_hz / o.facts.shaft_hz + i.facts.defect_hz / i.facts.shaft_hz, 9,
                1e-9);
    drop(&o);
    drop(&i);
    maker_close(&m);
}

/* A leaking valve is louder while it is closed: the quietest tenths of a second show it. */
static double quiet_power(const maker *m, asd_synth_id id)
{
    enum { FRAME = 800 };
    sound  s   = make(m, id);
    double low = 1e9;
    for (int64_t at = 0; at + FRAME <= s.n; at += FRAME) {
        double sum = 0, last = 0;
        for (int i = 0; i < FRAME; ++i) { /* differences: the hiss, not the hum */
            sum += pow(s.x[0][at + i] - last, 2) / FRAME;
            last = s.x[0][at + i];
        }
        low = fmin(low, sum);
    }
    drop(&s);
    return low;
}

static void test_valve_leak(void **state)
{
    (void)state;
    asd_synth_params p = short_params(2);
    p.snr_db           = 30;
    p.severity         = 3;
    maker m            = maker_open(&p, "valve");
    assert_true(quiet_power(&m, with_fault(&m, ASD_ANOMALY, 0)) >
                4 * quiet_power(&m, with_fault(&m, ASD_NORMAL, 0)));
    maker_close(&m);
}

/* --- severity --- */

/* With severity 0 a clip labelled anomaly is made as a normal one; a severity of next to nothing
 * changes next to nothing: there is no second path. */
static void test_severity_is_continuous(void **state)
{
    (void)state;
    asd_synth_params zero = short_params(1), tiny = zero, full = zero;
    zero.severity = 0;
    tiny.severity = 1e-9;
    for (int k = 0; k < asd_synth_n_machines(); ++k) {
        const char *name = asd_synth_machine(k);
        maker a = maker_open(&zero, name), b = maker_open(&tiny, name), c = maker_open(&full, name);
        for (int kind = 0; kind < asd_synth_n_faults(k); ++kind) {
            asd_synth_id id    = with_fault(&a, ASD_ANOMALY, kind);
            sound        s[3]  = {make(&a, id), make(&b, id), make(&c, id)};
            double       small = 0, large = 0;
            assert_true(s[0].facts.severity == 0 && s[2].facts.severity > 0.1);
            for (int64_t i = 0; i < s[0].n; ++i) {
                small = fmax(small, fabs((double)s[1].x[0][i] - s[0].x[0][i]));
                large = fmax(large, fabs((double)s[2].x[0][i] - s[0].x[0][i]));
            }
            if (!(small < 1e-3 && large > 10 * small && large > 2e-3))
                fail_msg("%s, %s: tiny severity changes %g, full %g", name,
                         asd_synth_fault(k, kind), small, large);
            for (int j = 0; j < 3; ++j)
                drop(&s[j]);
        }
        maker_close(&a);
        maker_close(&b);
        maker_close(&c);
    }
}

/* Student's t of one statistic between normal and anomalous clips. */
static double condition_t(const char *machine, double severity)
{
    enum { N = 40 };
    asd_synth_params p = short_params(0.5);
    p.severity         = severity;
    maker  m           = maker_open(&p, machine);
    double mean[2] = {0}, square[2] = {0};
    for (int64_t i = 0; i < N; ++i)
        for (int c = 0; c < 2; ++c) {
            sound  s   = make(&m, test_id(ASD_SOURCE, c ? ASD_ANOMALY : ASD_NORMAL, i));
            double sum = 0;
            for (int64_t t = 1; t < s.n; ++t)
                sum += pow(s.x[0][t] - s.x[0][t - 1], 2);
            double v = log(sum);
            mean[c] += v / N;
            square[c] += v * v / N;
            drop(&s);
        }
    maker_close(&m);
    double var = square[0] - mean[0] * mean[0] + square[1] - mean[1] * mean[1];
    return (mean[1] - mean[0]) / sqrt(var / N);
}

static void test_severity_zero_is_normal(void **state)
{
    (void)state;
    for (int k = 0; k < asd_synth_n_machines(); ++k)
        assert_near(condition_t(asd_synth_machine(k), 0), 0, 3.5);
    assert_true(condition_t("bearing", 5) > 3.5); /* the statistic can see a fault */
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("synth/bits/same-twice", test_same_bits),
    ASD_CASE("synth/bits/seed-and-identity", test_seed_and_identity),
    ASD_CASE("synth/clip/in-range", test_in_range),
    ASD_CASE("synth/clip/rates", test_rates),
    ASD_CASE("synth/clip/machines-differ", test_machines_differ),
    ASD_CASE("synth/room/far-is-noisier", test_far_is_noisier),
    ASD_CASE("synth/noise/partly-coherent", test_noise_is_partly_coherent),
    ASD_CASE("synth/domain/speed-shifts", test_domains_shift_speed),
    ASD_CASE("synth/fan/blade-pass-and-imbalance", test_fan_lines),
    ASD_CASE("synth/gearbox/mesh-sidebands", test_gear_sidebands),
    ASD_CASE("synth/bearing/envelope-at-defect-rate", test_bearing_envelope),
    ASD_CASE("synth/valve/leak-fills-the-pause", test_valve_leak),
    ASD_CASE("synth/severity/continuous", test_severity_is_continuous),
    ASD_CASE("synth/severity/zero-is-normal", test_severity_zero_is_normal),
};
ASD_TEST_MAIN(cases)
