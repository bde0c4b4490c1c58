/* test_train.c - one network of a run: its rows, batches and random order, what a step changes, and
 * when training must not go on.
 */
#include "clips.h"

#include "base/par.h"
#include "tools/train_net.h"

#include <math.h>
#include <string.h>

typedef struct rig {
    asd_cfg     cfg;
    asd_dataset data;
    asd_net    *nets, *net;
    int64_t     n;
} rig;

/* A machine of 12 clips of 0.5 s: 59 vectors each with this front-end, 708 in all. */
static void rig_new(rig *r, int64_t batch, const char *root)
{
    memset(r, 0, sizeof *r);
    assert_ok(asd_opts_defaults(asd_cfg_opts, &r->cfg));
    r->cfg.front_end_n_fft       = 256;
    r->cfg.front_end_hop_samples = 128;
    r->cfg.front_end_n_mels      = 16;
    r->cfg.model_hidden          = 24;
    r->cfg.model_code            = 4;
    r->cfg.train_batch           = batch;
    assert_ok(asd_dataset_open(root, NULL, 0, &r->data));
    assert_ok(asd_nets_make(&r->data, &r->cfg, &r->nets, &r->n));
    r->net = r->nets;
    assert_ok(asd_net_alloc(r->net, 1));
    assert_ok(asd_net_load(r->net));
    assert_ok(asd_net_plan(r->net));
}

static void rig_free(rig *r)
{
    asd_nets_free(r->nets, r->n);
    asd_dataset_clear(&r->data);
    asd_opts_clear(asd_cfg_opts, &r->cfg);
}

static const char *fan(void)
{
    static const char *root;
    if (!root)
        asd_test_machine(root = asd_test_folder(), "fan", 12, 1);
    return root;
}

/* Every vector of every clip is a row once, none crosses a border between clips, and the target's
 * rows are those of target clips. */
static void test_rows(void **state)
{
    (void)state;
    rig r;
    rig_new(&r, 64, fan());
    const asd_net *net     = r.net;
    unsigned char *seen    = calloc((size_t)net->f.rows, 1);
    int64_t        targets = 0;
    assert_int_equal(net->f.rows, 12 * 63);
    assert_int_equal(net->n_rows, 12 * 59);
    assert_int_equal(net->n_val, 70); /* a tenth, rounded down */
    assert_int_equal(net->n_train, 708 - 70);
    for (int64_t i = 0; i < net->n_rows; ++i) {
        int64_t clip = net->row[i] / 63;
        assert_true(net->row[i] >= 0 && net->row[i] % 63 < 59);
        assert_int_equal(net->is_target[i], clip >= 10); /* two of twelve, last by name */
        assert_int_equal(seen[net->row[i]]++, 0);
        targets += net->is_target[i];
    }
    assert_int_equal(targets, 2 * 59);
    free(seen);
    rig_free(&r);
}

/* An epoch takes each training row once, in another order than the one before, whatever the batch;
 * a last batch of one row is left out. */
static void test_batches(void **state)
{
    (void)state;
    static const struct {
        int64_t batch, steps, last;
    } want[] = {{64, 10, 62}, {638, 1, 638}, {7, 91, 7},    {49, 13, 49},
                {13, 49, 13}, {100, 7, 38},  {637, 1, 637}, {10000, 1, 638}};
    for (size_t k = 0; k < sizeof want / sizeof *want; ++k) {
        rig            r;
        asd_net_record record;
        int64_t        rows = 0;
        rig_new(&r, want[k].batch, fan());
        assert_int_equal(r.net->steps_per_epoch,
                         (638 + want[k].batch - 1) / want[k].batch - (638 % want[k].batch == 1));
        assert_int_equal(r.net->steps, 100 * r.net->steps_per_epoch);
        for (int64_t s = 0; s < r.net->steps_per_epoch; ++s) {
            assert_ok(asd_net_step(r.net, s, &record));
            assert_int_equal(record.step, s + 1);
            assert_int_equal(record.epoch, 0);
            assert_int_equal(record.epoch_end, s + 1 == r.net->steps_per_epoch);
            rows += record.rows;
        }
        assert_int_equal(record.rows, want[k].last);
        assert_int_equal(r.net->steps_per_epoch, want[k].steps);
        assert_int_equal(rows, 638 - (638 % want[k].batch == 1));
        assert_true(isfinite(record.val_loss) && isfinite(record.train_loss));
        int32_t       *first = malloc(sizeof *first * 638);
        unsigned char *seen  = calloc(638, 1);
        memcpy(first, r.net->order, sizeof *first * 638);
        for (int i = 0; i < 638; ++i)
            assert_int_equal(seen[first[i]]++, 0);
        assert_ok(asd_net_step(r.net, r.net->steps_per_epoch, &record));
        assert_int_equal(record.epoch, 1);
        assert_true(memcmp(first, r.net->order, sizeof *first * 638) != 0);
        free(first);
        free(seen);
        rig_free(&r);
    }
}

/* A step is a function of parameters and step number alone: a network that is handed another's
 * parameters and moments goes on with its bits. */
static void test_step_is_pure(void **state)
{
    (void)state;
    rig            a, b;
    asd_net_record ra, rb;
    int            before = asd_par_threads();
    rig_new(&a, 64, fan());
    rig_new(&b, 64, fan());
    for (int64_t s = 0; s < 17; ++s)
        assert_ok(asd_net_step(a.net, s, &ra));
    size_t bytes       = (size_t)a.net->params.n_trainable * sizeof(float),
           state_bytes = (size_t)a.net->params.n_state * sizeof(float);
    memcpy(b.net->params.w, a.net->params.w, bytes);
    memcpy(b.net->params.m, a.net->params.m, bytes);
    memcpy(b.net->params.v, a.net->params.v, bytes);
    memcpy(b.net->params.state, a.net->params.state, state_bytes);
    for (int64_t s = 17; s < 33; ++s) {
        asd_par_set_threads(1 + (int)s % 3);
        assert_ok(asd_net_step(a.net, s, &ra));
        asd_par_set_threads(1);
        assert_ok(asd_net_step(b.net, s, &rb));
        assert_true(ra.loss == rb.loss && ra.grad_norm == rb.grad_norm);
    }
    asd_par_set_threads(before);
    assert_memory_equal(a.net->params.w, b.net->params.w, bytes);
    assert_memory_equal(a.net->params.state, b.net->params.state, state_bytes);
    rig_free(&a);
    rig_free(&b);
}

/* --- when training must not go on --- */

static float *value(const rig *r, const char *name, int64_t *n)
{
    int k = asd_params_find(&r->net->params, name);
    *n    = asd_count(r->net->params.param[k].shape);
    return asd_params_value(&r->net->params, k);
}

static void test_loss_not_finite(void **state)
{
    (void)state;
    rig            r;
    int64_t        n;
    asd_net_record record;
    rig_new(&r, 64, fan());
    assert_ok(asd_net_step(r.net, 0, &record));
    *value(&r, "decoder.4.linear.bias", &n) = 1e30f;
    assert_fails(asd_net_step(r.net, 1, &record), ASD_E_NUMERIC,
                 "fan.section_00: loss is inf at step 2");
    *value(&r, "decoder.4.linear.bias", &n) = NAN;
    assert_fails(asd_net_step(r.net, 2, &record), ASD_E_NUMERIC,
                 "fan.section_00: loss is nan at step 3");
    rig_free(&r);
}

/* The loss still fits into fp32, its gradient does not: the update spoils the weights. In a run's
 * last step no later loss would tell. */
static void test_gradient_not_finite(void **state)
{
    (void)state;
    rig            r;
    int64_t        n;
    asd_net_record record;
    rig_new(&r, 64, fan());
    float *w = value(&r, "decoder.4.linear.weight", &n);
    for (int64_t i = 0; i < n; ++i)
        w[i] *= 1e-7f;
    w = value(&r, "decoder.3.norm.weight", &n);
    for (int64_t i = 0; i < n; ++i)
        w[i] = 1e25f; /* y is about 1e18, the gradient of its weights 1e15 times 1e25 */
    assert_fails(asd_net_step(r.net, 0, &record), ASD_E_NUMERIC,
                 "fan.section_00: the gradient's norm is");
    assert_true(isfinite(record.loss));
    rig_free(&r);
}

static void test_too_little_data(void **state)
{
    (void)state;
    rig         r;
    const char *root = asd_test_folder();
    char        path[PATH_MAX];
    memset(&r, 0, sizeof r);
    assert_ok(asd_path(path, "%s/fan/train", root));
    assert_ok(asd_make_folders(path));
    assert_ok(asd_path(path, "%s/fan/train/section_00_source_train_normal_0000_x.wav", root));
    asd_test_clip(path, 2048, 1, 16000); /* five frames: one vector */
    assert_ok(asd_opts_defaults(asd_cfg_opts, &r.cfg));
    assert_ok(asd_dataset_open(root, NULL, 0, &r.data));
    assert_ok(asd_nets_make(&r.data, &r.cfg, &r.nets, &r.n));
    assert_ok(asd_net_alloc(r.nets, 1));
    assert_fails(asd_net_load(r.nets), ASD_E_DATA,
                 "fan.section_00: 1 training rows, want at least 2");
    rig_free(&r);
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("train/rows/every-vector-once", test_rows),
    ASD_CASE("train/batches/every-size", test_batches),
    ASD_CASE("train/step/pure", test_step_is_pure),
    ASD_CASE("train/stop/loss-not-finite", test_loss_not_finite),
    ASD_CASE("train/stop/gradient-not-finite", test_gradient_not_finite),
    ASD_CASE("train/stop/too-little-data", test_too_little_data),
};

ASD_TEST_MAIN(cases)
