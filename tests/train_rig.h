/* train_rig.h - three small machines whose networks are trained on a device or on the CPU. */
#ifndef ASD_TESTS_TRAIN_RIG_H
#define ASD_TESTS_TRAIN_RIG_H

#include "clips.h"

#include "tools/train_group.h"

#include <string.h>

/* fan and gearbox have the same clips and share a group; valve has fewer. */
static inline const char *machines(void)
{
    static const char *root;
    if (!root) {
        root = asd_test_folder();
        asd_test_machine(root, "fan", 6, 3);
        asd_test_machine(root, "gearbox", 6, 1);
        asd_test_machine(root, "valve", 5, 1);
    }
    return root;
}

typedef struct rig {
    asd_cfg         cfg;
    asd_dataset     data;
    asd_net        *nets;
    int64_t         n;
    asd_gpu        *gpu; /* NULL: the CPU */
    asd_groups     *groups;
    asd_net_record *record;
    int            *done;
} rig;

/* 6 clips of 30 frames, 26 vectors each: 156 rows, 15 held out; 141 training rows are 5 steps of 32
 * with 13 in the last; 5 clips: 117 training rows, 4 steps with 21 in the last. */
static inline void rig_cfg(asd_cfg *cfg)
{
    assert_ok(asd_opts_defaults(asd_cfg_opts, cfg));
    cfg->front_end_n_fft       = 512;
    cfg->front_end_hop_samples = 272;
    cfg->front_end_n_mels      = 12;
    cfg->model_hidden          = 20;
    cfg->model_depth           = 1;
    cfg->model_code            = 4;
    cfg->train_epochs          = 2;
}

static inline void rig_open(rig *r, int device, double clip_norm, int64_t batch,
                            double val_fraction)
{
    memset(r, 0, sizeof *r);
    if (device && asd_gpu_open(0, &r->gpu)) {
        print_message("skipped: %s\n", asd_error_text());
        skip();
    }
    rig_cfg(&r->cfg);
    r->cfg.train_clip_norm    = clip_norm;
    r->cfg.train_batch        = batch;
    r->cfg.train_val_fraction = val_fraction;
    assert_ok(asd_dataset_open(machines(), NULL, 0, &r->data));
    assert_ok(asd_nets_make(&r->data, &r->cfg, &r->nets, &r->n));
    assert_int_equal(r->n, 3);
    for (int64_t i = 0; i < r->n; ++i) {
        assert_ok(asd_net_alloc(&r->nets[i], 1));
        assert_ok(asd_net_load(&r->nets[i]));
        if (!device)
            assert_ok(asd_net_plan(&r->nets[i]));
    }
    r->record = calloc((size_t)r->n * ASD_GROUP_STEPS, sizeof *r->record);
    r->done   = calloc((size_t)r->n, sizeof *r->done);
    if (device) {
        assert_ok(asd_groups_new(r->gpu, &r->cfg, r->nets, r->n, &r->groups));
        assert_ok(asd_groups_upload(r->groups, 0));
    }
}

static inline void rig_new(rig *r, int device, double clip_norm)
{
    rig_open(r, device, clip_norm, 32, 0.1);
    assert_int_equal(r->nets[0].n_train, 141);
    assert_int_equal(r->nets[0].n_val, 15);
}

static inline void rig_free(rig *r)
{
    asd_groups_free(r->groups);
    asd_nets_free(r->nets, r->n);
    asd_gpu_close(r->gpu);
    asd_dataset_clear(&r->data);
    asd_opts_clear(asd_cfg_opts, &r->cfg);
    free(r->record);
    free(r->done);
}

/* Steps from .. to-1 on the device in as many runs as the epochs' ends ask for; all records into
 * `all` (n, steps). */
static inline void run_device(rig *r, int64_t from, int64_t to, asd_net_record *all, int64_t steps)
{
    while (from < to) {
        int64_t end = asd_groups_end(r->groups, from);
        end         = end < to ? end : to;
        assert_ok(asd_groups_run(r->groups, from, end, r->record, r->done));
        for (int64_t i = 0; i < r->n; ++i)
            for (int k = 0; k < r->done[i]; ++k)
                all[i * steps + from + k] = r->record[i * ASD_GROUP_STEPS + k];
        from = end;
    }
}

#endif
