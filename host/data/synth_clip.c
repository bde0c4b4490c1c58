/* synth_clip.c - from a clip's identity to its samples.
 *
 *   x_m = g_m (A (h_m * y) + N n_m)        m: near, far
 * y: the machine's dry sound, h_m: the room, n_m: the ambient noise; A brings the machine at its
 * first operating point to -34 dBFS at the near microphone, N sets the noise by the SNR. Both are
 * measured once a machine on sounds of their own cells, so a clip never depends on another clip.
 */
#include "data/synth_parts.h"

#include "base/arena.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PLACEMENTS = 3 }; /* the rig is set up anew now and then: three times, twice in the target */
#define NOMINAL_RMS 0.02 /* -34 dBFS: headroom for clicks 30 dB above the mean */
#define CALIBRATION_S 8

struct asd_synth {
    asd_synth_params params;
    int              machine;
    double           machine_gain;
    double           noise_gain[2]; /* per domain, at 0 dB SNR */
    synth_room       room[2][PLACEMENTS];
};

struct asd_synth_work {
    synth_convolver *convolver;
    double          *turns;                                 /* (n) */
    float           *a, *b, *dry, *wet[2], *noise[2], *tmp; /* (n), tmp (2, n) */
};

/* --- parameters and names ----------------------------------------------------------------------
 */
void asd_synth_defaults(asd_synth_params *p)
{
    *p = (asd_synth_params){.seed         = 0,
                            .rate_hz      = 16000,
                            .seconds      = 10,
                            .snr_db       = 6,
                            .severity     = 1,
                            .train_source = 990,
                            .train_target = 10,
                            .test         = 50};
}

static asd_status check_range(const char *name, double value, double lo, double hi)
{
    if (!(value >= lo && value <= hi))
        return ASD_FAIL(ASD_E_USAGE, "%s is %g, want %g to %g", name, value, lo, hi);
    return ASD_OK;
}

asd_status asd_synth_check(const asd_synth_params *p)
{
    ASD_TRY(check_range("rate", p->rate_hz, 8000, 96000));
    ASD_TRY(check_range("seconds", p->seconds, 0.5, 120));
    ASD_TRY(check_range("snr-db", p->snr_db, -30, 60));
    ASD_TRY(check_range("severity", p->severity, 0, 5));
    ASD_TRY(check_range("train-source", (double)p->train_source, 0, 10000));
    ASD_TRY(check_range("train-target", (double)p->train_target, 0, 10000));
    return check_range("test", (double)p->test, 0, 10000); /* names have four digits */
}

int asd_synth_n_machines(void)
{
    return synth_n_machines;
}

const char *asd_synth_machine(int machine)
{
    return synth_machines[machine].name;
}

int asd_synth_find(const char *name)
{
    for (int m = 0; m < synth_n_machines; ++m)
        if (!strcmp(name, synth_machines[m].name))
            return m;
    return -1;
}

int asd_synth_n_faults(int machine)
{
    int n = 0;
    while (synth_machines[machine].fault[n])
        ++n;
    return n;
}

const char *asd_synth_fault(int machine, int kind)
{
    return synth_machines[machine].fault[kind];
}

int64_t asd_synth_frames(const asd_synth_params *p)
{
    return (int64_t)llround(p->seconds * p->rate_hz);
}

static const char *domain_name(asd_domain d)
{
    return d == ASD_TARGET ? "target" : "source";
}

/* Operating points go round in turn: every attribute is there, however small the set. */
static const synth_point *point_of(const synth_machine *m, const asd_synth_id *id)
{
    const synth_point *p = id->domain == ASD_TARGET ? m->target : m->source;
    int64_t            n = 0;
    while (p[n].attribute)
        ++n;
    return &p[id->number % n];
}

void asd_synth_attribute(int machine, const asd_synth_id *id, char *out, size_t size)
{
    const synth_machine *m = &synth_machines[machine];
    snprintf(out, size, "%s", m->hides_attributes ? "noAttribute" : point_of(m, id)->attribute);
}

void asd_synth_name(int machine, const asd_synth_id *id, char *out, size_t size)
{
    char attribute[64];
    asd_synth_attribute(machine, id, attribute, sizeof attribute);
    snprintf(out, size, "section_00_%s_%s_%s_%04d_%s.wav", domain_name(id->domain),
             id->split == ASD_TRAIN ? "train" : "test",
             id->condition == ASD_ANOMALY ? "anomaly" : "normal", (int)id->number, attribute);
}

/* --- scratch memory ----------------------------------------------------------------------------
 */
static asd_status work_new(int64_t n, asd_synth_work **out)
{
    asd_synth_work *w  = calloc(1, sizeof *w);
    asd_status      st = ASD_OK;
    *out               = NULL;
    if (!w)
        return ASD_FAIL(ASD_E_OOM, "no memory for a clip of %lld samples", (long long)n);
    ASD_GO(done, st, synth_convolver_new(&w->convolver));
    float **block[] = {&w->a, &w->b, &w->dry, &w->wet[0], &w->wet[1], &w->noise[0], &w->noise[1]};
    w->turns        = asd_calloc_aligned((size_t)n, sizeof *w->turns);
    w->tmp          = asd_calloc_aligned((size_t)n, 2 * sizeof *w->tmp);
    int full        = !w->turns || !w->tmp;
    for (size_t k = 0; k < sizeof block / sizeof *block; ++k)
        full |= !(*block[k] = asd_calloc_aligned((size_t)n, sizeof **block[k]));
    if (full) {
        st = ASD_FAIL(ASD_E_OOM, "no memory for a clip of %lld samples", (long long)n);
        goto done;
    }
    *out = w;
    w    = NULL;
done:
    asd_synth_work_free(w);
    return st;
}

asd_status asd_synth_work_new(const asd_synth *s, asd_synth_work **out)
{
    return work_new(asd_synth_frames(&s->params), out);
}

void asd_synth_work_free(asd_synth_work *w)
{
    if (!w)
        return;
    synth_convolver_free(w->convolver);
    free(w->turns);
    free(w->a);
    free(w->b);
    free(w->dry);
    for (int m = 0; m < 2; ++m) {
        free(w->wet[m]);
        free(w->noise[m]);
    }
    free(w->tmp);
    free(w);
}

/* --- one clip ----------------------------------------------------------------------------------
 */
static double mean_power(const float *x, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; ++i)
        sum += (double)x[i] * x[i];
    return sum / (double)n;
}

static void machine_sound(const asd_synth *s, asd_synth_work *w, synth_clip *c,
                          const synth_room *room)
{
    char unit[64];
    snprintf(unit, sizeof unit, "unit/%s", c->machine->name);
    c->seed     = s->params.seed;
    c->rate     = s->params.rate_hz;
    c->unit_key = asd_rng_hash(unit);
    c->turns    = w->turns;
    c->a        = w->a;
    c->b        = w->b;
    c->machine->render(c, w->dry);
    synth_convolve(w->convolver, room, w->dry, w->wet[0], w->wet[1], c->n);
}

/* Geometric mean of the power of tenths of a second: a knock or two do not move it. */
static double steady_power(const float *x, int64_t n, int64_t frame)
{
    double  sum  = 0;
    int64_t many = 0;
    for (int64_t i = 0; i + frame <= n; i += frame, ++many)
        sum += log(mean_power(x + i, frame) + 1e-30);
    return exp(sum / (double)many);
}

static asd_status calibrate(asd_synth *s)
{
    const synth_machine *m = &synth_machines[s->machine];
    int64_t              n = (int64_t)CALIBRATION_S * s->params.rate_hz;
    asd_synth_work      *w = NULL;
    asd_synth_facts      facts;
    char                 name[96];
    ASD_TRY(work_new(n, &w));
    snprintf(name, sizeof name, "calibration/%s", m->name);
    synth_clip c = {
        .key = asd_rng_hash(name), .machine = m, .point = m->source, .n = n, .facts = &facts};
    machine_sound(s, w, &c, &s->room[ASD_SOURCE][0]);
    s->machine_gain = NOMINAL_RMS / sqrt(mean_power(w->wet[0], n));
    for (int d = 0; d < 2; ++d) {
        synth_noise(s->params.seed, c.key, (asd_domain)d, &s->room[d][0], 1, s->params.rate_hz,
                    w->noise[0], w->noise[1], w->tmp, n);
        s->noise_gain[d] = NOMINAL_RMS / sqrt(steady_power(w->noise[0], n, s->params.rate_hz / 10));
    }
    asd_synth_work_free(w);
    return ASD_OK;
}

asd_status asd_synth_open(const asd_synth_params *p, int machine, asd_synth **out)
{
    asd_status st = ASD_OK;
    *out          = NULL;
    ASD_ASSERT(machine >= 0 && machine < synth_n_machines);
    ASD_TRY(asd_synth_check(p));
    asd_synth *s = calloc(1, sizeof *s);
    if (!s)
        return ASD_FAIL(ASD_E_OOM, "no memory for a machine");
    s->params  = *p;
    s->machine = machine;
    for (int d = 0; d < 2; ++d)
        for (int k = 0; k < PLACEMENTS; ++k)
            ASD_GO(done, st,
                   synth_room_init(&s->room[d][k], p->seed, synth_machines[machine].name,
                                   (asd_domain)d, k, p->rate_hz));
    ASD_GO(done, st, calibrate(s));
    *out = s;
    s    = NULL;
done:
    asd_synth_free(s);
    return st;
}

void asd_synth_free(asd_synth *s)
{
    if (!s)
        return;
    for (int d = 0; d < 2; ++d)
        for (int k = 0; k < PLACEMENTS; ++k)
            synth_room_clear(&s->room[d][k]);
    free(s);
}

void asd_synth_render(const asd_synth *s, asd_synth_work *w, const asd_synth_id *id, float *x,
                      asd_synth_facts *facts)
{
    const synth_machine *m = &synth_machines[s->machine];
    asd_synth_facts      ignored;
    char                 name[192], key[256];
    facts = facts ? facts : &ignored;
    memset(facts, 0, sizeof *facts);
    asd_synth_name(s->machine, id, name, sizeof name);
    snprintf(key, sizeof key, "clip/%s/%s", m->name, name);
    synth_clip c     = {.key     = asd_rng_hash(key),
                        .seed    = s->params.seed,
                        .machine = m,
                        .point   = point_of(m, id),
                        .n       = asd_synth_frames(&s->params),
                        .facts   = facts};
    asd_rng    fault = synth_rng(&c, CELL_FAULT), mix = synth_rng(&c, CELL_ROOM);
    c.fault      = (int)asd_rng_below(&fault, (uint32_t)asd_synth_n_faults(s->machine));
    double grade = asd_rng_range(&fault, 0.4, 1.6); /* some faults are young */
    c.severity   = id->condition == ASD_ANOMALY ? s->params.severity * m->fault_gain * grade : 0;
    int               placements = id->domain == ASD_TARGET ? 2 : PLACEMENTS;
    const synth_room *room       = &s->room[id->domain][asd_rng_below(&mix, (uint32_t)placements)];
    machine_sound(s, w, &c, room);

    double snr = s->params.snr_db + m->snr_offset_db +
                 (id->domain == ASD_TARGET ? m->shift_db : 0) + 3 * asd_rng_normal(&mix);
    double level = s->machine_gain * synth_scatter(&mix, 1);
    synth_noise(c.seed, c.key, id->domain, room, s->noise_gain[id->domain] * synth_db(-snr), c.rate,
                w->noise[0], w->noise[1], w->tmp, c.n);
    float peak = 0;
    for (int mic = 0; mic < 2; ++mic) {
        double g = synth_scatter(&mix, 0.5);
        for (int64_t i = 0; i < c.n; ++i) {
            float v        = (float)(g * (level * w->wet[mic][i] + w->noise[mic][i]));
            x[2 * i + mic] = v;
            peak           = fabsf(v) > peak ? fabsf(v) : peak;
        }
        facts->snr_db[mic] = 10 * log10(level * level * mean_power(w->wet[mic], c.n) /
                                        mean_power(w->noise[mic], c.n));
    }
    facts->scale = peak > 0.95f ? 0.95 / peak : 1;
    if (facts->scale < 1) /* as a recordist would: both channels down, no clipping */
        for (int64_t i = 0; i < 2 * c.n; ++i)
            x[i] = (float)(x[i] * facts->scale);
    facts->fault    = c.fault;
    facts->severity = c.severity;
}
