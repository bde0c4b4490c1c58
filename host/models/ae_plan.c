/* ae_plan.c - see ae_plan.h. */
#include "models/ae_plan.h"

#include <string.h>

static void record(asd_ae_plan *p, asd_params *params, const asd_cfg *cfg, int training)
{
    asd_tape *t     = &p->tape;
    asd_shape batch = p->groups ? ASD_SHAPE2(p->groups, p->B) : ASD_SHAPE1(p->B);
    asd_tape_init(t, params, training);
    p->frames = asd_tape_bound(t, "frames", ASD_F32, ASD_SHAPE2(p->R, cfg->front_end_n_mels));
    p->index  = asd_tape_input(t, "index", ASD_I32, batch);
    p->x      = asd_frame_stack(t, p->frames, p->index, cfg->front_end_stack_frames);
    p->y      = asd_autoencoder(t, p->x, cfg);
    p->loss   = p->groups ? asd_mse_grouped(t, p->y, p->x) : asd_mse(t, p->y, p->x);
}

asd_status asd_ae_declare_groups(asd_params *params, const asd_cfg *cfg, int64_t groups)
{
    asd_ae_plan p = {.R = cfg->front_end_stack_frames, .B = 1, .groups = groups};
    record(&p, params, cfg, 0);
    asd_status st = p.tape.status ? ASD_FAIL(p.tape.status, "%s", p.tape.error) : ASD_OK;
    asd_tape_clear(&p.tape);
    return st;
}

asd_status asd_ae_declare(asd_params *params, const asd_cfg *cfg)
{
    return asd_ae_declare_groups(params, cfg, 0);
}

asd_status asd_ae_plan_make_on(asd_params *params, const asd_cfg *cfg, asd_ae_size size,
                               int training, asd_stream *s, asd_ae_plan *out)
{
    memset(out, 0, sizeof *out);
    out->R      = size.R;
    out->B      = size.B;
    out->groups = size.groups;
    record(out, params, cfg, training);
    asd_val readable[3] = {out->x, out->y, out->loss};
    return training ? asd_plan_build(&out->tape, out->loss, NULL, 0, s, &out->plan)
                    : asd_plan_build(&out->tape, ASD_NO_VAL, readable, 3, s, &out->plan);
}

asd_status asd_ae_plan_make(asd_params *params, const asd_cfg *cfg, int64_t R, int64_t B,
                            int training, asd_ae_plan *out)
{
    return asd_ae_plan_make_on(params, cfg, (asd_ae_size){R, B, 0}, training, NULL, out);
}

void asd_ae_plan_clear(asd_ae_plan *p)
{
    asd_plan_free(p->plan);
    asd_tape_clear(&p->tape);
    memset(p, 0, sizeof *p);
}

asd_status asd_ae_forward(asd_ae_plan *p, const float *frames, const int32_t *index)
{
    asd_plan_bind(p->plan, p->frames, frames);
    memcpy(asd_plan_data(p->plan, p->index), index, (size_t)p->B * sizeof *index);
    return asd_plan_forward(p->plan);
}
