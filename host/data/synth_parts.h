/* synth_parts.h - what the parts of the generator share. Only data/synth_*.c include it.
 *
 * Signals are float, one value a sample; filter states and phases are double. Noise keeps its power
 * per hertz, and impulses their effect, whatever the rate, so a machine sounds alike at any rate.
 */
#ifndef ASD_DATA_SYNTH_PARTS_H
#define ASD_DATA_SYNTH_PARTS_H

#include "base/rng.h"
#include "data/synth.h"

#include <math.h>

#define SYNTH_TAU 6.283185307179586 /* 2 pi */

/* --- random cells ------------------------------------------------------------------------------
 * Cell b of a clip's or a unit's key a: one for each use, so that adding draws to one part leaves
 * all others as they were. */
enum synth_cell {
    CELL_TRAITS, /* what makes this unit (seed, machine) itself                      */
    CELL_FAULT,  /* kind and severity                                                */
    CELL_LEVEL,  /* gains and the day's drift of one clip                            */
    CELL_SHAFT,  /* speed jitter                                                     */
    CELL_LOAD,
    CELL_WHITE, /* first noise source of the machine                                 */
    CELL_WHITE2,
    CELL_EVENTS, /* impulses, clicks, strokes                                        */
    CELL_ROOM,
    CELL_SCENE,
    CELL_NOISE,
    CELL_NOISE_SHARED, /* white streams of the ambient noise                         */
    CELL_NOISE_LOW,
    CELL_NOISE_NEAR,
    CELL_NOISE_FAR,
    CELL_NOISE_MODULATION,
    CELL_NOISE_NEIGHBOUR, /* and the next SYNTH_NEIGHBOURS numbers                   */
};

/* --- machines ----------------------------------------------------------------------------------
 */
typedef struct synth_point { /* an operating point */
    const char *attribute;   /* "spd_1"; alternating key and value */
    double      speed;       /* relative to the machine's nominal speed */
    double      load;        /* relative to nominal                     */
} synth_point;

enum { SYNTH_MAX_POINTS = 8, SYNTH_MAX_FAULTS = 4 };

typedef struct synth_clip synth_clip;

/* One machine: a row of the table in synth_machines.c. */
typedef struct synth_machine {
    const char *name;
    void (*render)(synth_clip *c, float *y);  /* writes the dry sound y: (n)                     */
    int         hides_attributes;             /* names say noAttribute                           */
    double      fault_gain;                   /* scales severity; sets how hard the machine is   */
    double      snr_offset_db;                /* added to --snr-db                               */
    double      shift_db;                     /* target SNR - source SNR                         */
    const char *fault[SYNTH_MAX_FAULTS + 1];  /* NULL ends                                       */
    synth_point source[SYNTH_MAX_POINTS + 1]; /* attribute NULL ends                             */
    synth_point target[SYNTH_MAX_POINTS + 1];
} synth_machine;

extern const synth_machine synth_machines[];
extern const int           synth_n_machines;

void synth_fan(synth_clip *c, float *y);
void synth_gearbox(synth_clip *c, float *y);
void synth_bearing(synth_clip *c, float *y);
void synth_slider(synth_clip *c, float *y);
void synth_valve(synth_clip *c, float *y);
void synth_toycar(synth_clip *c, float *y);

struct synth_clip {
    uint64_t             seed;
    uint64_t             key, unit_key; /* of this clip; of this unit of the machine */
    const synth_machine *machine;
    const synth_point   *point;
    int64_t              n;
    double               rate;
    int                  fault;
    double               severity; /* 0 when normal */
    asd_synth_facts     *facts;    /* never NULL    */
    double              *turns;    /* (n) scratch: shaft angle in revolutions       */
    float               *a, *b;    /* (n) scratch                                    */
};

static inline asd_rng synth_rng(const synth_clip *c, enum synth_cell cell)
{
    asd_rng r;
    asd_rng_init(&r, c->seed, ASD_RNG_SYNTH, c->key, cell);
    return r;
}

static inline asd_rng synth_traits(const synth_clip *c)
{
    asd_rng r;
    asd_rng_init(&r, c->seed, ASD_RNG_SYNTH, c->unit_key, CELL_TRAITS);
    return r;
}

/* Severity of fault `kind` in this clip: 0 unless it is the clip's fault. */
static inline double synth_severity(const synth_clip *c, int kind)
{
    return c->fault == kind ? c->severity : 0;
}

/* Lognormal factor with a standard deviation in dB: how levels scatter from clip to clip. */
static inline double synth_scatter(asd_rng *r, double sd_db)
{
    return pow(10, sd_db / 20 * asd_rng_normal(r));
}

static inline double synth_db(double db)
{
    return pow(10, db / 20);
}

/* --- signal parts (synth_dsp.c) ----------------------------------------------------------------
 */

/* White noise of variance rate / 16000 (constant power per hertz). x: (n) */
void synth_white(asd_rng *r, double rate, float *x, int64_t n);

/* A slow random walk around 0: Ornstein-Uhlenbeck with time constant tau and standard deviation 1,
 * one new point every SYNTH_SLOW_STEP samples, straight lines between. */
enum { SYNTH_SLOW_STEP = 128 };
typedef struct synth_slow {
    asd_rng rng;
    double  keep, value, goal, slope;
    int     left;
} synth_slow;
synth_slow           synth_slow_new(asd_rng r, double rate, double tau_s);
void                 synth_slow_turn(synth_slow *s); /* the next point */
static inline double synth_slow_next(synth_slow *s)
{
    if (!s->left)
        synth_slow_turn(s);
    --s->left;
    return s->value += s->slope;
}

/* Shaft angle in revolutions of a shaft of mean speed hz, whose speed scatters by `jitter` with
 * time constant tau. turns: (n) */
void synth_shaft(asd_rng r, double rate, double hz, double jitter, double tau_s, double *turns,
                 int64_t n);

/* One period of a periodic signal: sum_k re[k] cos(2 pi k u) - im[k] sin(2 pi k u), k < n_coef. */
enum { SYNTH_TABLE = 2048 };
typedef struct synth_table {
    float y[SYNTH_TABLE + 1]; /* the last repeats the first */
} synth_table;
void synth_table_clear(synth_table *t);
void synth_table_add(synth_table *t, int k, double amplitude, double turn); /* one harmonic */
/* turns >= 0 in revolutions. */
static inline double synth_table_at(const synth_table *t, double turns)
{
    double  u = (turns - (double)(int64_t)turns) * SYNTH_TABLE;
    int64_t i = (int64_t)u;
    double  f = u - (double)i;
    return t->y[i] + f * (t->y[i + 1] - t->y[i]);
}

/* Second-order section, direct form 2 transposed. */
typedef struct synth_filter {
    double b0, b1, b2, a1, a2, z1, z2;
} synth_filter;
synth_filter         synth_lowpass(double rate, double hz);            /* Butterworth */
synth_filter         synth_highpass(double rate, double hz);           /* Butterworth */
synth_filter         synth_bandpass(double rate, double hz, double q); /* peak gain 1 */
static inline double synth_filter_next(synth_filter *f, double x)
{
    double y = f->b0 * x + f->z1;
    f->z1    = f->b1 * x - f->a1 * y + f->z2;
    f->z2    = f->b2 * x - f->a2 * y;
    return y;
}

/* Structural resonances: mode k answers a unit impulse with gain exp(-t / decay) sin(2 pi hz t).
 * Modes above 0.45 of the rate stay silent. */
enum { SYNTH_MODES = 8 };
typedef struct synth_modes {
    double b[SYNTH_MODES], a1[SYNTH_MODES], a2[SYNTH_MODES];
    double y1[SYNTH_MODES], y2[SYNTH_MODES];
} synth_modes;
void synth_modes_set(synth_modes *m, int k, double rate, double hz, double decay_s, double gain);
void synth_modes_run(synth_modes *m, const float *x, float *y, int64_t n); /* y += answer to x */

/* Adds an impulse at time t (in samples, may fall between two; outside [0, n-1) it is dropped). */
static inline void synth_impulse(float *x, int64_t n, double t, double amplitude)
{
    int64_t i = (int64_t)t;
    if (t < 0 || i >= n - 1)
        return;
    double f = t - (double)i;
    x[i] += (float)(amplitude * (1 - f));
    x[i + 1] += (float)(amplitude * f);
}

/* --- rooms (synth_room.c) ----------------------------------------------------------------------
 */
enum { SYNTH_FFT = 16384, SYNTH_BINS = SYNTH_FFT / 2 + 1, SYNTH_MAX_TAPS = 8192 };

/* One placement of machine and microphones: what the near and the far microphone hear of it. */
typedef struct synth_room {
    int64_t taps;
    float  *h[2];        /* (taps) impulse responses                            */
    float  *spectrum[2]; /* (SYNTH_BINS, 2) their transforms, over SYNTH_FFT     */
    double  far_delay_s; /* far minus near, of sound from the rest of the hall   */
} synth_room;
asd_status synth_room_init(synth_room *room, uint64_t seed, const char *machine, asd_domain domain,
                           int placement, double rate);
void       synth_room_clear(synth_room *room);

typedef struct synth_convolver synth_convolver; /* one thread's FFT plans and blocks */
asd_status                     synth_convolver_new(synth_convolver **out);
void                           synth_convolver_free(synth_convolver *v);
/* near_mic, far_mic: (n) = the first n samples of x * h */
void synth_convolve(synth_convolver *v, const synth_room *room, const float *x, float *near_mic,
                    float *far_mic, int64_t n);

/* --- ambient noise (synth_noise.c) -------------------------------------------------------------
 * near_mic, far_mic: (n), overwritten. gain: of everything; tmp: (2, n) scratch. */
void synth_noise(uint64_t seed, uint64_t key, asd_domain domain, const synth_room *room,
                 double gain, double rate, float *near_mic, float *far_mic, float *tmp, int64_t n);

#endif
