/* baseline.h - the baseline as the golden has it: its clips as features, its network, its training
 * runs, on our tape, plan and optimiser.
 *
 * Everything here fails the running case instead of returning an error.
 */
#ifndef ASD_TESTS_REF_BASELINE_H
#define ASD_TESTS_REF_BASELINE_H

#include "detect/residual.h"
#include "models/models.h"
#include "nn/plan.h"
#include "ref/golden.h"

enum {
    BASELINE_F         = 128,
    BASELINE_STACK     = 5,
    BASELINE_LAYERS    = 10,
    BASELINE_MAX_CLIPS = 16,
    BASELINE_MAX_STEPS = 64
};

/* Rounding of a compared number: two to four units in the last place of a float. */
#define BASELINE_ROUNDING 0x1p-22

/* Fails unless |value - want| <= 2 fp32_error + rounding of want. */
void baseline_check(const char *what, double value, double want, double fp32_error);

/* --- clips and features --- */

typedef struct baseline_clip {
    const char *name, *role; /* owned by the golden */
    float      *y;           /* (T, F) log-mel */
    int64_t     T;
    int64_t     first; /* its first frame in baseline_data.frames */
} baseline_clip;

/* Frames of all clips after one another, training clips first, and where each 640-vector of the
 * training clips starts. */
typedef struct baseline_data {
    golden         g;
    baseline_clip  clip[BASELINE_MAX_CLIPS];
    int            n_clips;
    float         *frames; /* (n_frames, F) */
    int64_t        n_frames, n_rows;
    int32_t       *start;     /* (n_rows) first frame */
    unsigned char *is_target; /* (n_rows) */
} baseline_data;

/* as_float: samples go through the front-end as float instead of int16. */
void baseline_open(baseline_data *m, int as_float);
void baseline_close(baseline_data *m);

/* --- network --- */

typedef struct baseline_net {
    asd_params params;
    asd_cfg    cfg;
} baseline_net;

/* The network laid out for one number of rows. */
typedef struct baseline_plan {
    asd_tape  tape;
    asd_plan *plan;
    asd_val   index, x, out, loss;
} baseline_plan;

void baseline_net_init(baseline_net *n);
void baseline_net_clear(baseline_net *n);
void baseline_plan_init(baseline_plan *l, baseline_net *n, const baseline_data *m, int64_t rows,
                        int training);
void baseline_plan_clear(baseline_plan *l);
/* The formula's weights, everything else as a fresh network has it. */
void baseline_net_start(baseline_net *n);
/* The given network of the golden's part "fixed". */
void baseline_net_fixed(baseline_net *n, const golden *g);
/* Index of what the golden calls weight, bias, scale, shift, running_mean or running_var of layer
 * i; -1 if that layer has none. */
int    baseline_param(const baseline_net *n, int i, const char *leaf);
double baseline_loss(const baseline_plan *l); /* of the last forward */
/* Loss of all training rows in inference mode. */
double baseline_eval_loss(baseline_net *n, const baseline_data *m);
/* Vectors that start at the given frames, and what the network makes of them in inference mode.
 * Points into the plan: baseline_plan_clear when done. */
asd_residuals baseline_residuals(baseline_plan *l, baseline_net *n, const baseline_data *m,
                                 const int32_t *start, int64_t rows);

/* --- training --- */

/* One of the golden's training runs, "train" or "slow". */
typedef struct baseline_run {
    const baseline_data *m;
    const char          *part;
    baseline_net         n;
    baseline_plan        full, rest; /* a whole batch, and the shorter one that ends an epoch */
    int64_t              batch, steps;
    double               lr;
    double               initial_eval_loss;
    double               loss[BASELINE_MAX_STEPS]; /* of each step, before its update */
    float               *start; /* trainable block, then state block, as they were at first */
    float               *grad;  /* gradients of the first step */
} baseline_run;

void baseline_train(baseline_run *t, const baseline_data *m, const char *part);
void baseline_run_clear(baseline_run *t);

#endif
