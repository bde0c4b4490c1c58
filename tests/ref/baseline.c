/* baseline.c - see baseline.h. */
#include "ref/baseline.h"

#include "harness.h"
#include "kernels/adam.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { F = BASELINE_F };

static const int64_t         WIDTH[] = {640, 128, 128, 128, 128, 8, 128, 128, 128, 128, 640};
static const asd_logmel_attr LOGMEL  = {1024, 512, 128, 16000, 0, 8000, 2.220446049250313e-16, 0};

void baseline_check(const char *what, double value, double want, double fp32_error)
{
    double tolerance = 2 * fp32_error + BASELINE_ROUNDING * fabs(want);
    if (!(fabs(value - want) <= tolerance))
        fail_msg("%s: %.9g, want %.9g within %.3g", what, value, want, tolerance);
}

/* --- clips and features --- */

/* Log-mel of one clip by the op, from int16 or float samples: *y: (T, 128), caller frees. */
static int64_t log_mel(const int16_t *x, int64_t n, int as_float, float **y)
{
    asd_params params;
    asd_tape   tape;
    asd_plan  *plan;
    asd_params_init(&params);
    asd_tape_init(&tape, &params, 0);
    asd_val samples =
        asd_tape_input(&tape, "samples", as_float ? ASD_F32 : ASD_I16, ASD_SHAPE2(1, n));
    asd_val out = asd_logmel(&tape, samples, LOGMEL);
    assert_ok(asd_params_alloc(&params, 0));
    assert_ok(asd_plan_build(&tape, ASD_NO_VAL, &out, 1, NULL, &plan));
    if (as_float)
        for (int64_t i = 0; i < n; ++i)
            ((float *)asd_plan_data(plan, samples))[i] = (float)x[i] / 32768;
    else
        memcpy(asd_plan_data(plan, samples), x, (size_t)n * sizeof *x);
    assert_ok(asd_plan_forward(plan));
    int64_t T     = asd_logmel_frames(&LOGMEL, n);
    size_t  bytes = (size_t)(T * F) * sizeof **y;
    *y            = malloc(bytes);
    memcpy(*y, asd_plan_data(plan, out), bytes);
    asd_plan_free(plan);
    asd_tape_clear(&tape);
    asd_params_clear(&params);
    return T;
}

/* Lays the frames out: source, target, then the others. */
static void lay_frames(baseline_data *m)
{
    static const char *const role[] = {"source", "target", "test"};
    for (int i = 0; i < m->n_clips; ++i)
        m->n_frames += m->clip[i].T;
    m->frames    = malloc((size_t)(m->n_frames * F) * sizeof *m->frames);
    m->start     = malloc((size_t)m->n_frames * sizeof *m->start);
    m->is_target = malloc((size_t)m->n_frames * sizeof *m->is_target);
    int64_t at   = 0;
    for (int k = 0; k < 3; ++k)
        for (int i = 0; i < m->n_clips; ++i) {
            baseline_clip *c = &m->clip[i];
            if (strcmp(c->role, role[k]) != 0)
                continue;
            c->first = at;
            memcpy(m->frames + at * F, c->y, (size_t)(c->T * F) * sizeof *c->y);
            for (int64_t t = 0; k < 2 && t + BASELINE_STACK <= c->T; ++t) {
                m->start[m->n_rows]       = (int32_t)(at + t);
                m->is_target[m->n_rows++] = k == 1;
            }
            at += c->T;
        }
    m->n_frames = at;
    assert_int_equal(m->n_rows, golden_number(&m->g, "rows"));
}

void baseline_open(baseline_data *m, int as_float)
{
    memset(m, 0, sizeof *m);
    golden_open(&m->g, "baseline");
    json_t *clips = golden_at(&m->g, "clips");
    m->n_clips    = (int)json_array_size(clips);
    assert_in_range(m->n_clips, 1, BASELINE_MAX_CLIPS);
    for (int i = 0; i < m->n_clips; ++i) {
        baseline_clip *c = &m->clip[i];
        int64_t        n;
        int16_t       *x = golden_clip(&m->g, i, &n);
        c->name = json_string_value(json_object_get(json_array_get(clips, (size_t)i), "name"));
        c->role = json_string_value(json_object_get(json_array_get(clips, (size_t)i), "role"));
        c->T    = log_mel(x, n, as_float, &c->y);
        free(x);
    }
    lay_frames(m);
}

void baseline_close(baseline_data *m)
{
    for (int i = 0; i < m->n_clips; ++i)
        free(m->clip[i].y);
    free(m->frames);
    free(m->start);
    free(m->is_target);
    golden_close(&m->g);
}

/* --- network --- */

/* Name of the parameter that the golden calls `leaf` in layer i. */
int baseline_param(const baseline_net *n, int i, const char *leaf)
{
    static const struct {
        const char *golden, *ours;
    } names[]      = {{"weight", "linear.weight"},
                      {"bias", "linear.bias"},
                      {"scale", "norm.weight"},
                      {"shift", "norm.bias"},
                      {"running_mean", "norm.running_mean"},
                      {"running_var", "norm.running_var"}};
    char name[128] = "";
    for (size_t k = 0; k < sizeof names / sizeof *names; ++k)
        if (!strcmp(names[k].golden, leaf))
            snprintf(name, sizeof name, "%s.%d.%s", i < 5 ? "encoder" : "decoder", i % 5,
                     names[k].ours);
    return asd_params_find(&n->params, name);
}

static float *value_of(const baseline_net *n, int i, const char *leaf, int64_t *count)
{
    int p = baseline_param(n, i, leaf);
    if (p < 0)
        fail_msg("the network has no %s in layer %d", leaf, i);
    *count = asd_count(n->params.param[p].shape);
    return asd_params_value(&n->params, p);
}

void baseline_plan_init(baseline_plan *l, baseline_net *n, const baseline_data *m, int64_t rows,
                        int training)
{
    asd_tape_init(&l->tape, &n->params, training);
    asd_val frames = asd_tape_bound(&l->tape, "frames", ASD_F32, ASD_SHAPE2(m->n_frames, F));
    l->index       = asd_tape_input(&l->tape, "index", ASD_I32, ASD_SHAPE1(rows));
    l->x           = asd_frame_stack(&l->tape, frames, l->index, BASELINE_STACK);
    l->out         = asd_autoencoder(&l->tape, l->x, &n->cfg);
    l->loss        = asd_mse(&l->tape, l->out, l->x);
    if (!n->params.allocated)
        assert_ok(asd_params_alloc(&n->params, 1));
    asd_val outputs[3] = {l->loss, l->x, l->out};
    assert_ok(
        asd_plan_build(&l->tape, training ? l->loss : ASD_NO_VAL, outputs, 3, NULL, &l->plan));
    asd_plan_bind(l->plan, frames, m->frames);
}

void baseline_plan_clear(baseline_plan *l)
{
    asd_plan_free(l->plan);
    asd_tape_clear(&l->tape);
}

/* The formula's weights, everything else as a fresh network has it. */
void baseline_net_start(baseline_net *n)
{
    int64_t c;
    asd_params_reset(&n->params, 1, 1);
    for (int i = 0; i < BASELINE_LAYERS; ++i)
        golden_layer(i, WIDTH[i], WIDTH[i + 1], value_of(n, i, "weight", &c),
                     value_of(n, i, "bias", &c));
}

void baseline_net_init(baseline_net *n)
{
    memset(n, 0, sizeof *n);
    asd_params_init(&n->params);
    n->cfg.model_hidden      = 128;
    n->cfg.model_depth       = 4;
    n->cfg.model_code        = 8;
    n->cfg.model_bn_eps      = 1e-3;
    n->cfg.model_bn_momentum = 0.01;
}

void baseline_net_clear(baseline_net *n)
{
    asd_params_clear(&n->params);
}

double baseline_loss(const baseline_plan *l)
{
    return (double)*(const float *)asd_plan_data(l->plan, l->loss);
}

/* Loss of all rows in inference mode. */
double baseline_eval_loss(baseline_net *n, const baseline_data *m)
{
    baseline_plan l;
    baseline_plan_init(&l, n, m, m->n_rows, 0);
    memcpy(asd_plan_data(l.plan, l.index), m->start, (size_t)m->n_rows * sizeof *m->start);
    assert_ok(asd_plan_forward(l.plan));
    double loss = baseline_loss(&l);
    baseline_plan_clear(&l);
    return loss;
}

/* Keep in step with fixed_network in make_baseline.py. */
void baseline_net_fixed(baseline_net *n, const golden *g)
{
    int64_t c, bytes;
    float  *w = value_of(n, BASELINE_LAYERS - 1, "weight", &c);
    baseline_net_start(n);
    for (int64_t i = 0; i < c; ++i)
        w[i] *= 16;
    w = value_of(n, BASELINE_LAYERS - 1, "bias", &c);
    for (int64_t i = 0; i < c; ++i)
        w[i] -= 30;
    for (int i = 0; i + 1 < BASELINE_LAYERS; ++i) {
        float  *scale = value_of(n, i, "scale", &c), *shift = value_of(n, i, "shift", &c);
        double *u = malloc(2 * (size_t)c * sizeof *u);
        golden_uniforms(2000 + (uint32_t)i, 2 * c, u);
        for (int64_t k = 0; k < c; ++k) {
            scale[k] = 1 + (float)u[k] / 4;
            shift[k] = (float)u[c + k] / 4;
        }
        free(u);
        static const char *const leaf[2] = {"running_mean", "running_var"};
        for (int k = 0; k < 2; ++k) {
            char name[64];
            snprintf(name, sizeof name, "fixed.%d.%s", i, leaf[k]);
            const float *from = golden_tensor(g, name, &bytes);
            float       *to   = value_of(n, i, leaf[k], &c);
            assert_int_equal(bytes, c);
            memcpy(to, from, (size_t)c * sizeof *to);
        }
    }
}

/* Vectors that start at the given frames and what the network makes of them. The plan stays open:
 * the residuals point into it. */
asd_residuals baseline_residuals(baseline_plan *l, baseline_net *n, const baseline_data *m,
                                 const int32_t *start, int64_t rows)
{
    baseline_plan_init(l, n, m, rows, 0);
    memcpy(asd_plan_data(l->plan, l->index), start, (size_t)rows * sizeof *start);
    assert_ok(asd_plan_forward(l->plan));
    return (asd_residuals){.x     = asd_plan_data(l->plan, l->x),
                           .y     = asd_plan_data(l->plan, l->out),
                           .B     = rows,
                           .stack = BASELINE_STACK,
                           .F     = F};
}

/* --- training --- */

static void one_step(baseline_run *t, int64_t step, const int32_t *order, int64_t rows)
{
    static const asd_adam adam   = {.beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8};
    baseline_plan        *l      = rows == t->batch ? &t->full : &t->rest;
    asd_params           *p      = &t->n.params;
    int32_t              *picked = asd_plan_data(l->plan, l->index);
    double               *work   = malloc((size_t)asd_adam_work(p->n_trainable) * sizeof *work);
    for (int64_t k = 0; k < rows; ++k)
        picked[k] = t->m->start[order[k]];
    memset(p->g, 0, (size_t)p->n_trainable * sizeof *p->g);
    asd_plan_step(l->plan)->step = step;
    asd_plan_step(l->plan)->lr   = (float)t->lr;
    assert_ok(asd_plan_forward(l->plan));
    t->loss[step] = baseline_loss(l);
    assert_ok(asd_plan_backward(l->plan));
    if (step == 0)
        memcpy(t->grad, p->g, (size_t)p->n_trainable * sizeof *p->g);
    asd_adam_update_cpu(&adam, asd_plan_step(l->plan), p->n_trainable, p->w, p->g, p->m, p->v,
                        work);
    free(work);
}

void baseline_train(baseline_run *t, const baseline_data *m, const char *part)
{
    memset(t, 0, sizeof *t);
    t->m     = m;
    t->part  = part;
    t->batch = (int64_t)golden_number(&m->g, "%s/batch", part);
    t->steps = (int64_t)golden_number(&m->g, "%s/steps", part);
    t->lr    = golden_number(&m->g, "%s/lr", part);
    assert_in_range(t->steps, 1, BASELINE_MAX_STEPS);
    baseline_net_init(&t->n);
    baseline_plan_init(&t->full, &t->n, m, t->batch, 1);
    baseline_plan_init(&t->rest, &t->n, m, m->n_rows % t->batch, 1);
    baseline_net_start(&t->n);
    t->initial_eval_loss = baseline_eval_loss(&t->n, m);
    asd_params *p        = &t->n.params;
    size_t      n_w = (size_t)p->n_trainable, n_state = (size_t)p->n_state;
    t->start = malloc((n_w + n_state) * sizeof *t->start);
    t->grad  = malloc(n_w * sizeof *t->grad);
    memcpy(t->start, p->w, n_w * sizeof *p->w);
    memcpy(t->start + n_w, p->state, n_state * sizeof *p->state);
    int32_t *order = malloc((size_t)m->n_rows * sizeof *order);
    int64_t  step  = 0;
    for (uint32_t epoch = 0; step < t->steps; ++epoch) {
        golden_order(epoch, m->n_rows, order);
        for (int64_t k = 0; k < m->n_rows && step < t->steps; k += t->batch, ++step)
            one_step(t, step, order + k, m->n_rows - k < t->batch ? m->n_rows - k : t->batch);
    }
    free(order);
}

void baseline_run_clear(baseline_run *t)
{
    baseline_plan_clear(&t->full);
    baseline_plan_clear(&t->rest);
    baseline_net_clear(&t->n);
    free(t->start);
    free(t->grad);
}
