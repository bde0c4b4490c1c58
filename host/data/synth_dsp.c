/* synth_dsp.c - oscillators, noise, filters and resonances of the generator. See synth_parts.h. */
#include "data/synth_parts.h"

#include <string.h>

void synth_white(asd_rng *r, double rate, float *x, int64_t n)
{
    /* The sum of two 16-bit uniforms: a triangle of variance 2 * 65536^2 / 12. Filters and
     * short-time spectra add hundreds of samples, so the shape of one sample does not matter. */
    const float scale = (float)(sqrt(rate / 16000) / (65536 * sqrt(1.0 / 6)));
    for (int64_t i = 0; i < n; ++i) {
        uint32_t u = asd_rng_u32(r);
        x[i]       = ((float)(u & 0xffff) + (float)(u >> 16) - 65535.0f) * scale;
    }
}

synth_slow synth_slow_new(asd_rng r, double rate, double tau_s)
{
    synth_slow s = {.rng = r, .keep = exp(-SYNTH_SLOW_STEP / (rate * tau_s))};
    s.value = s.goal = asd_rng_normal(&s.rng);
    return s;
}

void synth_slow_turn(synth_slow *s)
{
    s->value = s->goal;
    s->goal  = s->keep * s->value + sqrt(1 - s->keep * s->keep) * asd_rng_normal(&s->rng);
    s->slope = (s->goal - s->value) / SYNTH_SLOW_STEP;
    s->left  = SYNTH_SLOW_STEP;
}

void synth_shaft(asd_rng r, double rate, double hz, double jitter, double tau_s, double *turns,
                 int64_t n)
{
    double     angle = asd_rng_uniform(&r);
    synth_slow speed = synth_slow_new(r, rate, tau_s);
    for (int64_t i = 0; i < n; ++i) {
        turns[i] = angle;
        angle += hz / rate * (1 + jitter * synth_slow_next(&speed));
    }
}

void synth_table_clear(synth_table *t)
{
    memset(t, 0, sizeof *t);
}

void synth_table_add(synth_table *t, int k, double amplitude, double turn)
{
    /* cos(a + (i+1) d) = 2 cos(d) cos(a + i d) - cos(a + (i-1) d) */
    double step = SYNTH_TAU * k / SYNTH_TABLE, twice = 2 * cos(step);
    double now = amplitude * cos(SYNTH_TAU * turn), last = amplitude * cos(SYNTH_TAU * turn - step);
    for (int i = 0; i < SYNTH_TABLE; ++i) {
        t->y[i] += (float)now;
        double next = twice * now - last;
        last        = now;
        now         = next;
    }
    t->y[SYNTH_TABLE] = t->y[0];
}

/* Bilinear transform of the second-order prototype; w is the prewarped corner, q its quality. */
static synth_filter section(double rate, double hz, double q, double n0, double n1, double n2)
{
    double       w = tan(SYNTH_TAU / 2 * fmin(hz, 0.49 * rate) / rate);
    double       d = 1 + w / q + w * w; /* (s^2 + s w / q + w^2) at s = (1 - z) / (1 + z) */
    synth_filter f = {.a1 = 2 * (w * w - 1) / d, .a2 = (1 - w / q + w * w) / d};
    /* numerator n2 s^2 + n1 s w / q + n0 w^2 */
    double high = n2, band = n1 * w / q, low = n0 * w * w;
    f.b0 = (high + band + low) / d;
    f.b1 = 2 * (low - high) / d;
    f.b2 = (high - band + low) / d;
    return f;
}

synth_filter synth_lowpass(double rate, double hz)
{
    return section(rate, hz, sqrt(0.5), 1, 0, 0);
}

synth_filter synth_highpass(double rate, double hz)
{
    return section(rate, hz, sqrt(0.5), 0, 0, 1);
}

synth_filter synth_bandpass(double rate, double hz, double q)
{
    return section(rate, hz, q, 0, 1, 0);
}

void synth_modes_set(synth_modes *m, int k, double rate, double hz, double decay_s, double gain)
{
    ASD_ASSERT(k >= 0 && k < SYNTH_MODES);
    double w = SYNTH_TAU * hz / rate, r = exp(-1 / (decay_s * rate));
    /* y[t] = b x[t] + 2 r cos(w) y[t-1] - r^2 y[t-2]  answers an impulse by b r^t sin(w(t+1)) / sin
     * w
     */
    m->b[k]  = hz < 0.45 * rate ? gain * sin(w) : 0;
    m->a1[k] = 2 * r * cos(w);
    m->a2[k] = -r * r;
}

void synth_modes_run(synth_modes *m, const float *x, float *y, int64_t n)
{
    for (int64_t i = 0; i < n; ++i) {
        double sum = 0;
        for (int k = 0; k < SYNTH_MODES; ++k) {
            double v = m->b[k] * x[i] + m->a1[k] * m->y1[k] + m->a2[k] * m->y2[k];
            m->y2[k] = m->y1[k];
            m->y1[k] = v;
            sum += v;
        }
        y[i] += (float)sum;
    }
}
