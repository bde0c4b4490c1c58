/* ae_plan.h - the autoencoder planned for one batch shape, over frames that the caller holds.
 *
 *   frames (R, F) bound, index (B) in the plan -> x: (B, stack F) -> y: (B, stack F) -> loss: mean
 * squared error
 *
 * With groups = G, G networks side by side: index (G, B), x and y (G, B, stack F), loss (G). All
 * share the frames.
 *
 * Training plans differentiate the loss; inference plans keep x, y and loss readable. All plans of
 * a network share one parameter store. Free with asd_ae_plan_clear; the store must outlive the
 * plan.
 */
#ifndef ASD_MODELS_AE_PLAN_H
#define ASD_MODELS_AE_PLAN_H

#include "models/models.h"
#include "nn/plan.h"

typedef struct asd_ae_size {
    int64_t R, B;
    int64_t groups; /* 0: one network, nothing has a leading dimension */
} asd_ae_size;

typedef struct asd_ae_plan {
    asd_tape  tape;
    asd_plan *plan;
    asd_val   frames, index, x, y, loss;
    int64_t   B, R, groups;
} asd_ae_plan;

/* Records the network once so that the store knows its parameters; call before asd_params_alloc. */
asd_status asd_ae_declare(asd_params *params, const asd_cfg *cfg);
asd_status asd_ae_declare_groups(asd_params *params, const asd_cfg *cfg, int64_t groups);

/* On the CPU. */
asd_status asd_ae_plan_make(asd_params *params, const asd_cfg *cfg, int64_t R, int64_t B,
                            int training, asd_ae_plan *out);
/* On the device of stream s, NULL for the CPU. There the store must be on the device already, and
 * the caller binds frames in device memory and writes the plan's index. */
asd_status asd_ae_plan_make_on(asd_params *params, const asd_cfg *cfg, asd_ae_size size,
                               int training, asd_stream *s, asd_ae_plan *out);
void       asd_ae_plan_clear(asd_ae_plan *p);

/* Runs on rows that begin at frames index[0 .. B-1], on the CPU. frames: (R, F). */
asd_status asd_ae_forward(asd_ae_plan *p, const float *frames, const int32_t *index);

static inline const float *asd_ae_x(const asd_ae_plan *p)
{
    return (const float *)asd_plan_data(p->plan, p->x);
}
static inline const float *asd_ae_y(const asd_ae_plan *p)
{
    return (const float *)asd_plan_data(p->plan, p->y);
}
static inline float asd_ae_loss(const asd_ae_plan *p)
{
    return *(const float *)asd_plan_data(p->plan, p->loss);
}

#endif
