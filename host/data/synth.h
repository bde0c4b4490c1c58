/* synth.h - a two-microphone machine-sound generator in the DCASE 2026 layout.
 *
 * Each machine is made from its physics (docs/synth.md has the formulas), heard in a room by a near
 * and a far microphone, under factory noise. A clip is a pure function of the parameters and its
 * identity (machine, split, domain, condition, number): it has the same bits whichever other clips
 * are made, in any order, by any number of threads.
 *
 * Anomalies run through the very code of the normal clips with a severity above 0; with `severity`
 * 0 they cannot be told from normal clips.
 *
 * Ownership: x_new / x_open allocate, the matching _free frees and accepts NULL. An asd_synth is
 * read-only after opening and may be shared by threads; an asd_synth_work belongs to one thread.
 */
#ifndef ASD_DATA_SYNTH_H
#define ASD_DATA_SYNTH_H

#include "base/status.h"
#include "data/dataset.h" /* asd_domain, asd_split, asd_condition */

#include <stdint.h>

typedef struct asd_synth_params {
    uint64_t seed;
    int      rate_hz;      /* 8000 .. 96000                                                     */
    double   seconds;      /* 0.5 .. 120                                                        */
    double   snr_db;       /* machine over noise at the near microphone, source domain, average */
    double   severity;     /* multiplies every fault; 0 = no anomaly at all, 1 = default        */
    int64_t  train_source; /* normal training clips of the source domain, a machine             */
    int64_t  train_target; /* the same of the target domain                                     */
    int64_t  test;         /* test clips of each of the four cells domain x condition           */
} asd_synth_params;

/* 990 + 10 + 4 x 50 clips of 10 s at 16 kHz, as the challenge has them. */
void asd_synth_defaults(asd_synth_params *p);
/* ASD_E_USAGE with the name, the value and the range. */
asd_status asd_synth_check(const asd_synth_params *p);

int         asd_synth_n_machines(void);
const char *asd_synth_machine(int machine);         /* "fan", 0 .. n-1, in ASCII order */
int         asd_synth_find(const char *name);       /* -1 when there is none */
int         asd_synth_n_faults(int machine);        /* kinds of anomaly */
const char *asd_synth_fault(int machine, int kind); /* "broken blade" */

typedef struct asd_synth_id {
    asd_split     split;
    asd_domain    domain;
    asd_condition condition;
    int64_t       number; /* 0 .. 9999 */
} asd_synth_id;

/* What is true of a clip: for tests and for people who look at it, never written with the set.
 * Frequencies are the clip's means; those that a machine does not have are 0. */
typedef struct asd_synth_facts {
    double shaft_hz;  /* fan and bearing shaft, gearbox input, toy wheel, slider screw  */
    double tone_hz;   /* blade pass, gear mesh, commutation, valve switching rate       */
    double defect_hz; /* rate of the fault's impulses, also when its severity is 0      */
    int    fault;     /* kind, also drawn for normal clips (which have severity 0)      */
    double severity;  /* of this clip                                                   */
    double snr_db[2]; /* measured, near and far                                         */
    double scale;     /* 1, or less where a rare peak had to be kept below full scale   */
} asd_synth_facts;

typedef struct asd_synth      asd_synth;      /* one machine: its unit, rooms, noise levels */
typedef struct asd_synth_work asd_synth_work; /* scratch memory of one thread               */

asd_status asd_synth_open(const asd_synth_params *p, int machine, asd_synth **out);
void       asd_synth_free(asd_synth *s);
asd_status asd_synth_work_new(const asd_synth *s, asd_synth_work **out);
void       asd_synth_work_free(asd_synth_work *w);

int64_t asd_synth_frames(const asd_synth_params *p); /* samples a channel */
/* x: (frames, 2) interleaved, near then far, within (-1, 1). facts may be NULL. */
void asd_synth_render(const asd_synth *s, asd_synth_work *w, const asd_synth_id *id, float *x,
                      asd_synth_facts *facts);
/* "section_00_source_train_normal_0000_spd_1.wav", and its attribute: "spd_1" or "noAttribute". */
void asd_synth_name(int machine, const asd_synth_id *id, char *out, size_t size);
void asd_synth_attribute(int machine, const asd_synth_id *id, char *out, size_t size);

/* Writes the set: dir/dev_data/raw/<machine>/{train,test}/NAME.wav, attributes_00.csv beside them,
 * and at last dir/SYNTH.json (parameters, no labels).
 * machines: (n_machines) names, 0 = all. dir is made if missing. The set is built in
 * dir/.synth-partial and renamed when complete, so dir/dev_data is whole or absent; an interrupted
 * run (ASD_E_STOPPED) goes on where it was. A complete set with the same parameters is left as it
 * is. A folder with anything else in it is ASD_E_USAGE, unless `force` is set and it holds a
 * synthetic set, which is then replaced: recordings are never deleted. */
asd_status asd_synth_write(const asd_synth_params *p, const char *const *machines, int n_machines,
                           const char *dir, int force);

#endif
