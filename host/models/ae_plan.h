/* ae_plan.h - the autoencoder planned for one batch shape, over frames that the caller holds.
 *
 *   frames (R, F) bound, index (B) in the plan -> x: (B, stack F) -> y: (B, stack F) -> loss: mean
 * squared error
 *
 * Training plans differentiate the loss; inference plans keep x, y and loss readable. All plans of
 * a network share one parameter store. Free with asd_ae_plan_clear; the store must outlive the
 * plan.
 */
#ifndef ASD_MODELS_AE_PLAN_H
#define ASD_MODELS_AE_PLAN_H

#include "models/models.h"
#include "nn/plan.h"

typedef struct asd_ae_plan {
    asd_tape  tape;
    asd_plan *plan;
    asd_val   frames, index, x, y, loss;
    int64_t   B, R;
} asd_ae_plan;

/* Records the network once so that the store knows its parameters; call before asd_params_alloc. */
asd_status asd_ae_declare(asd_params *params, const asd_cfg *cfg);

asd_status asd_ae_plan_make(asd_params *params, const asd_cfg *cfg, int64_t R, int64_t B,
                            int training, asd_ae_plan *out);
void       asd_ae_plan_clear(asd_ae_plan *p);

/* Runs on rows that begin at frames index[0 .. B-1]. frames: (R, F). */
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
