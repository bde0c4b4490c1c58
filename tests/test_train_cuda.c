/* test_train_cuda.c - all networks of a run on a device at once: held to the CPU, to themselves
 * after any interruption, and to their words when training must not go on. Without a device the
 * cases are skipped; the same file runs against the kernels' source on the CPU.
 */
#include "train_rig.h"

#include "base/log.h"
#include "base/stop.h"
#include "tools/eval_cmds.h"
#include "tools/reconstruct.h"
#include "tools/train_loop.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void near(double have, double want, double relative, const char *what, int64_t at)
{
    if (!(fabs(have - want) <= relative * fabs(want) + 1e-30))
        fail_msg("%s %lld: %.9g on the device, %.9g on the CPU: %.2g apart, want %.2g", what,
                 (long long)at, have, want, fabs(have / want - 1), relative);
}

/* Of a block of numbers the largest difference, in units of the block's largest number. */
static void near_block(const float *have, const float *want, int64_t n, double limit,
                       const char *what)
{
    double size = 0, apart = 0;
    for (int64_t i = 0; i < n; ++i) {
        size  = fmax(size, fabs((double)want[i]));
        apart = fmax(apart, fabs((double)have[i] - (double)want[i]));
        assert_true(isfinite(have[i]));
    }
    if (!(apart <= limit * size))
        fail_msg("%s: %.3g apart, the largest is %.3g, want %.2g of it", what, apart, size, limit);
}

/* Names of what is compared with lr alone. The bias in front of a batch normalisation changes
 * nothing, so its gradient is rounding alone and Adam, which divides by its size, walks it about by
 * up to lr a step. The running mean follows, late: that is what held-out losses and the final pass
 * see of it. */
static int is_idle(const char *name)
{
    return strstr(name, ".running_mean") ||
           (strstr(name, ".linear.bias") && strcmp(name, "decoder.1.linear.bias") != 0);
}

static void check_weights(const asd_net *have, const asd_net *want)
{
    int idle = 0;
    for (int k = 0; k < want->params.n; ++k) {
        const asd_param *p = &want->params.param[k];
        const float     *a = asd_params_value(&have->params, k),
                    *b     = asd_params_value(&want->params, k);
        int64_t n          = asd_count(p->shape);
        if (is_idle(p->name)) {
            ++idle;
            for (int64_t i = 0; i < n; ++i)
                assert_near((double)a[i], (double)b[i],
                            2 * want->cfg->train_lr * (double)want->steps);
        } else {
            near_block(a, b, n, 5e-3, p->name);
        }
    }
    assert_int_equal(idle, 6);
}

/* Tolerances are ten times what was seen, and the header of train_group.h tells them. */
static void test_like_cpu(void **state)
{
    (void)state;
    for (int clip = 0; clip < 2; ++clip) {
        rig cpu, dev;
        rig_new(&dev, 1, clip ? 0.5 : 0);
        rig_new(&cpu, 0, clip ? 0.5 : 0);
        int64_t         steps = cpu.nets[0].steps;
        asd_net_record *all   = calloc((size_t)(dev.n * steps), sizeof *all), r;
        assert_int_equal(steps, 10);
        assert_int_equal(dev.nets[2].steps, 8);
        run_device(&dev, 0, steps, all, steps);
        assert_ok(asd_groups_download(dev.groups));
        assert_ok(asd_groups_finish(dev.groups));
        for (int64_t i = 0; i < cpu.n; ++i) {
            asd_net *a = &dev.nets[i], *b = &cpu.nets[i];
            for (int64_t s = 0; s < b->steps; ++s) {
                const asd_net_record *q = &all[i * steps + s];
                assert_ok(asd_net_step(b, s, &r));
                assert_int_equal(q->step, r.step);
                assert_int_equal(q->epoch, r.epoch);
                assert_int_equal(q->rows, r.rows);
                assert_int_equal(q->epoch_end, r.epoch_end);
                near((double)q->loss, (double)r.loss, 2e-6, "loss of step", s);
                near(q->grad_norm, r.grad_norm, 2e-4, "norm of step", s);
                if (r.epoch_end) {
                    near(q->train_loss, r.train_loss, 2e-6, "training loss of step", s);
                    near(q->val_loss, r.val_loss, 5e-4, "held-out loss of step", s);
                }
            }
            assert_ok(asd_net_finish(b));
            check_weights(a, b);
            near_block(a->covariance[0], b->covariance[0], 144, 5e-3, "covariance");
            near_block(a->covariance[1], b->covariance[1], 144, 5e-3, "covariance");
            assert_int_equal(a->n_batch_mahalanobis, b->n_batch_mahalanobis);
            near_block(a->batch_mahalanobis, b->batch_mahalanobis, b->n_batch_mahalanobis, 5e-3,
                       "distances of batches");
        }
        free(all);
        rig_free(&dev);
        rig_free(&cpu);
    }
}

/* Nothing held out; batches larger than all rows, and batches that leave one row over. */
static void test_odd_batches(void **state)
{
    (void)state;
    static const int64_t batches[] = {1000, 31, 155}; /* 156 rows: 156, 5 x 31 + 1, 155 + 1 */
    for (size_t k = 0; k < sizeof batches / sizeof *batches; ++k) {
        rig dev, cpu;
        rig_open(&dev, 1, 0, batches[k], 0);
        rig_open(&cpu, 0, 0, batches[k], 0);
        int64_t         steps = cpu.nets[0].steps_per_epoch;
        asd_net_record *all   = calloc((size_t)(dev.n * steps), sizeof *all), r;
        assert_int_equal(steps, 156 / batches[k] + (156 % batches[k] > 1));
        run_device(&dev, 0, steps, all, steps);
        assert_ok(asd_groups_finish(dev.groups));
        for (int64_t s = 0; s < steps; ++s) {
            assert_ok(asd_net_step(&cpu.nets[0], s, &r));
            near((double)all[s].loss, (double)r.loss, 2e-6, "loss of step", s);
            assert_int_equal(all[s].rows, r.rows);
        }
        assert_true(all[steps - 1].epoch_end && isnan(all[steps - 1].val_loss));
        free(all);
        rig_free(&dev);
        rig_free(&cpu);
    }
}

static void copy_params(asd_params *to, const asd_params *from)
{
    size_t bytes = (size_t)from->n_trainable * sizeof(float);
    memcpy(to->w, from->w, bytes);
    memcpy(to->m, from->m, bytes);
    memcpy(to->v, from->v, bytes);
    memcpy(to->state, from->state, (size_t)from->n_state * sizeof(float));
}

static void same_params(const asd_params *a, const asd_params *b)
{
    size_t bytes = (size_t)a->n_trainable * sizeof(float);
    assert_memory_equal(a->w, b->w, bytes);
    assert_memory_equal(a->m, b->m, bytes);
    assert_memory_equal(a->v, b->v, bytes);
    assert_memory_equal(a->state, b->state, (size_t)a->n_state * sizeof(float));
}

/* Stopped in the middle of an epoch and of the run, and gone on with in another process's memory:
 * the same bits, in the weights, in every record, in the final pass. Twice from the start: too. */
static void test_resume(void **state)
{
    (void)state;
    static const int64_t stops[] = {0, 1, 5, 8, 10};
    enum { PARTS = sizeof stops / sizeof *stops };
    rig a, part[PARTS];
    rig_new(&a, 1, 0);
    int64_t         steps = a.nets[0].steps;
    asd_net_record *whole = calloc((size_t)(a.n * steps), sizeof *whole),
                   *parts = calloc((size_t)(a.n * steps), sizeof *parts);
    run_device(&a, 0, steps, whole, steps);
    assert_ok(asd_groups_download(a.groups));
    assert_ok(asd_groups_finish(a.groups));
    rig_new(&part[0], 1, 0);
    for (int k = 0; k + 1 < PARTS; ++k) {
        rig *b = &part[k], *next = &part[k + 1]; /* networks point into their rig */
        run_device(b, stops[k], stops[k + 1], parts, steps);
        assert_ok(asd_groups_download(b->groups));
        rig_new(next, 1, 0);
        for (int64_t i = 0; i < b->n; ++i) {
            asd_net *to = &next->nets[i], *from = &b->nets[i];
            copy_params(&to->params, &from->params);
            memcpy(to->batch_loss, from->batch_loss, (size_t)from->steps_per_epoch * sizeof(float));
            memcpy(to->val_loss, from->val_loss, (size_t)from->n_val_batches * sizeof(float));
        }
        assert_ok(asd_groups_upload(next->groups, stops[k + 1]));
        rig_free(b);
    }
    assert_memory_equal(whole, parts, (size_t)(a.n * steps) * sizeof *whole);
    assert_ok(asd_groups_finish(part[PARTS - 1].groups));
    for (int64_t i = 0; i < a.n; ++i) {
        asd_net *x = &a.nets[i], *y = &part[PARTS - 1].nets[i];
        same_params(&x->params, &y->params);
        assert_memory_equal(x->batch_loss, y->batch_loss,
                            (size_t)x->steps_per_epoch * sizeof(float));
        assert_memory_equal(x->val_loss, y->val_loss, (size_t)x->n_val_batches * sizeof(float));
        for (int d = 0; d < 2; ++d)
            assert_memory_equal(x->covariance[d], y->covariance[d], 144 * sizeof(float));
        assert_memory_equal(x->batch_mahalanobis, y->batch_mahalanobis,
                            (size_t)x->n_batch_mahalanobis * sizeof(float));
    }
    free(whole);
    free(parts);
    rig_free(&a);
    rig_free(&part[PARTS - 1]);
}

static float *value(asd_net *net, const char *name, int64_t *n)
{
    int k = asd_params_find(&net->params, name);
    *n    = asd_count(net->params.param[k].shape);
    return asd_params_value(&net->params, k);
}

/* One network of three goes wrong: the error is its own, in the words of the CPU. */
static void test_not_finite(void **state)
{
    (void)state;
    rig     r;
    int64_t n;
    rig_new(&r, 1, 0);
    *value(&r.nets[1], "decoder.1.linear.bias", &n) = 1e30f;
    assert_ok(asd_groups_upload(r.groups, 3));
    assert_fails(asd_groups_run(r.groups, 3, 4, r.record, r.done), ASD_E_NUMERIC,
                 "gearbox.section_00: loss is inf at step 4");
    *value(&r.nets[1], "decoder.1.linear.bias", &n) = 0;
    float *w = value(&r.nets[2], "decoder.1.linear.weight", &n);
    for (int64_t i = 0; i < n; ++i)
        w[i] *= 1e-7f;
    w = value(&r.nets[2], "decoder.0.norm.weight", &n);
    for (int64_t i = 0; i < n; ++i)
        w[i] = 1e24f;
    assert_ok(asd_groups_upload(r.groups, 0));
    assert_fails(asd_groups_run(r.groups, 0, 1, r.record, r.done), ASD_E_NUMERIC,
                 "valve.section_00: the gradient's norm is");
    rig_free(&r);
    setenv("ASD_CHECK", "1", 1); /* what the message advises: now the op is named */
    rig_new(&r, 1, 0);
    unsetenv("ASD_CHECK");
    assert_ok(asd_groups_run(r.groups, 0, 1, r.record, r.done));
    *value(&r.nets[1], "encoder.1.linear.bias", &n) = NAN;
    assert_ok(asd_groups_upload(r.groups, 1));
    assert_fails(asd_groups_run(r.groups, 1, 2, r.record, r.done), ASD_E_NUMERIC,
                 "linear: element");
    rig_free(&r);
}

/* --- reconstruction --- */

/* Every vector of every clip as the CPU's network gives it; and the same bits whether clips come
 * one by one, together or after others. */
static void test_reconstruct(void **state)
{
    (void)state;
    rig                r;
    asd_net_record     record;
    asd_reconstructor *device;
    const asd_clip   **clips;
    asd_features       all, one;
    const float       *y;
    int64_t            n, row = 0, C = 5 * 12;
    asd_gpu           *gpu;
    if (asd_gpu_open(0, &gpu)) {
        print_message("skipped: %s\n", asd_error_text());
        skip();
    }
    rig_new(&r, 0, 0);
    for (int64_t s = 0; s < 4; ++s)
        assert_ok(asd_net_step(&r.nets[0], s, &record));
    assert_ok(asd_reconstructor_new(gpu, &r.nets[0], &device));
    assert_ok(asd_net_clips(&r.nets[0], 1, &clips, &n));
    assert_int_equal(n, 3);
    assert_ok(asd_features_load(clips, n, &r.cfg, NULL, &all));
    assert_ok(asd_reconstruct(device, &all, &y));
    int64_t vectors = all.rows - 4 * n;
    float  *kept    = malloc((size_t)(vectors * C) * sizeof *kept);
    memcpy(kept, y, (size_t)(vectors * C) * sizeof *kept);
    for (int64_t i = 0; i < n; ++i) {
        asd_ae_plan p;
        int64_t     T = all.first[i + 1] - all.first[i], B = T - 4;
        int32_t     index[64];
        assert_true(B <= 64);
        for (int32_t b = 0; b < B; ++b)
            index[b] = b;
        assert_ok(asd_ae_plan_make(&r.nets[0].params, &r.cfg, T, B, 0, &p));
        assert_ok(asd_ae_forward(&p, all.x + all.first[i] * 12, index));
        near_block(kept + row * C, asd_ae_y(&p), B * C, 1e-5, "reconstruction");
        asd_ae_plan_clear(&p);
        assert_ok(asd_features_load(clips + i, 1, &r.cfg, NULL, &one));
        assert_ok(asd_reconstruct(device, &one, &y));
        assert_memory_equal(y, kept + row * C, (size_t)(B * C) * sizeof *y);
        asd_features_clear(&one);
        row += B;
    }
    assert_int_equal(row, vectors);
    free(kept);
    free(clips);
    asd_features_clear(&all);
    asd_reconstructor_free(device);
    asd_gpu_close(gpu);
    rig_free(&r);
}

/* --- a whole run: checkpoints, kills, stops --- */

/* This program again, called asd-train with the folders of data and run, trains on a device or on
 * the CPU: something that can be killed. Called asd-eval, it is asd-eval score. */
static int train_run(const char *root, const char *folder, int device)
{
    char        path[PATH_MAX];
    asd_recipe  recipe = {0};
    asd_run     run    = {.lock = -1};
    asd_dataset data   = {0};
    asd_net    *nets   = NULL;
    asd_gpu    *gpu    = NULL;
    int64_t     n      = 0;
    asd_status  st;
    ASD_GO(done, st, asd_stop_install());
    ASD_GO(done, st, asd_path(path, "%s/tiny.yaml", root));
    ASD_GO(done, st, asd_recipe_load(path, NULL, 0, 0, &recipe));
    ASD_GO(done, st, asd_dataset_open(root, NULL, 0, &data));
    ASD_GO(done, st, asd_run_open(&run, folder, &recipe, 0, NULL));
    ASD_GO(done, st, asd_nets_make(&data, &recipe.cfg, &nets, &n));
    if (device)
        ASD_GO(done, st, asd_gpu_open(0, &gpu));
    st = asd_train_loop(&run, &recipe.cfg, nets, n, gpu);
done:
    asd_nets_free(nets, n);
    asd_gpu_close(gpu);
    asd_run_close(&run);
    asd_dataset_clear(&data);
    asd_recipe_clear(&recipe);
    return asd_main_end(st);
}

static pid_t start_on(const char *folder, const char *device)
{
    pid_t pid = fork();
    if (!pid) {
        execl("/proc/self/exe", "asd-train", machines(), folder, device, (char *)NULL);
        _exit(127);
    }
    return pid;
}

static pid_t start(const char *folder)
{
    return start_on(folder, "cuda");
}

static int ended(pid_t pid)
{
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* Sends `number` when the checkpoint of step `at` is there. The process must not be done by then.
 */
static int cut(const char *folder, int at, int number)
{
    char  path[PATH_MAX];
    pid_t pid = start(folder);
    assert_ok(asd_path(path, "%s/ckpt/step-%d", folder, at));
    while (!asd_is_folder(path) && !kill(pid, 0) && waitpid(pid, NULL, WNOHANG) == 0)
        usleep(500);
    if (kill(pid, number))
        fail_msg("the run ended before step %d", at);
    return ended(pid);
}

static void same_file(const char *a, const char *b, const char *name)
{
    char command[3 * PATH_MAX];
    snprintf(command, sizeof command, "cmp '%s/%s' '%s/%s'", a, name, b, name);
    if (asd_test_shell(command, NULL))
        fail_msg("%s differs", name);
}

/* Kept from the whole run but for the times. */
static void same_metrics(const char *a, const char *b)
{
    char  command[2 * PATH_MAX];
    char *text[2];
    for (int i = 0; i < 2; ++i) {
        snprintf(command, sizeof command,
                 "sed -E 's/\"(clips_per_s|seconds)\": [^,}]*,? ?//g' '%s/log/metrics.jsonl'",
                 i ? b : a);
        assert_int_equal(asd_test_shell(command, &text[i]), 0);
    }
    assert_string_equal(text[0], text[1]);
    assert_true(strlen(text[0]) > 1000);
    free(text[0]);
    free(text[1]);
}

static void write_recipe(void)
{
    char path[PATH_MAX], source[PATH_MAX];
    assert_ok(asd_path(path, "%s/tiny.yaml", machines()));
    assert_non_null(realpath(asd_test_source(), source));
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f,
            "base: %s/recipes/dcase-baseline.yaml\n"
            "front_end: {n_fft: 512, hop_samples: 272, n_mels: 12}\n"
            "model: {hidden: 20, depth: 1, code: 4}\n"
            "train: {epochs: 2, batch: 32, log_every_steps: 1, ckpt_every_s: 0, "
            "ckpt_every_steps: 2, ckpt_keep: 100}\n",
            source);
    assert_int_equal(fclose(f), 0);
}

static void test_run(void **state)
{
    (void)state;
    char     whole[PATH_MAX], folder[PATH_MAX];
    asd_gpu *gpu;
    if (asd_gpu_open(0, &gpu)) {
        print_message("skipped: %s\n", asd_error_text());
        skip();
    }
    asd_gpu_close(gpu);
    write_recipe();
    assert_ok(asd_path(whole, "%s/run-whole", machines()));
    assert_int_equal(ended(start(whole)), 0);
    for (int stop = 0; stop < 2; ++stop) {
        assert_ok(asd_path(folder, "%s/run-%d", machines(), stop));
        assert_int_equal(cut(folder, 2, stop ? SIGTERM : SIGKILL), stop ? 75 : -SIGKILL);
        assert_int_equal(cut(folder, 6, SIGKILL), -SIGKILL);
        assert_int_equal(ended(start(folder)), 0);
        same_file(whole, folder, "ckpt/last/model.safetensors");
        same_file(whole, folder, "ckpt/last/optim.safetensors");
        same_metrics(whole, folder);
    }
}

/* --- scores --- */

enum { DETECTORS = 2, TEST_CLIPS = 5, SCORES = DETECTORS * TEST_CLIPS };

/* Scores the run and reads what it wrote. only: one clip's name; then *n is the lines printed. */
static void score_on(const char *folder, const char *device, const char *only, double score[SCORES],
                     int *n)
{
    static const char *const script =
        "'%s' score '%s/tiny.yaml' --data '%s' --run '%s' --device %s -q %s %s >'%s/out' && "
        "if [ -n '%s' ]; then cut -d, -f4 '%s/out'; else "
        "cat $(ls '%s'/scores/*/anomaly_score_*.csv) | cut -d, -f2; fi";
    char command[8 * PATH_MAX], *text, *at, *end;
    char self[PATH_MAX], as[PATH_MAX];
    /* the shell must call this file by the other name */
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    assert_true(length > 0);
    self[length] = 0;
    assert_ok(asd_path(as, "%s/asd-eval", machines()));
    if (symlink(self, as))
        assert_int_equal(errno, EEXIST);
    snprintf(command, sizeof command, script, as, machines(), machines(), folder, device,
             only ? "--clip" : "", only ? only : "", machines(), only ? only : "", machines(),
             folder);
    assert_int_equal(asd_test_shell(command, &text), 0);
    *n = 0;
    for (at = text; *n < SCORES; at = end) {
        score[*n] = strtod(at, &end);
        if (end == at)
            break;
        ++*n;
    }
    free(text);
}

/* A run trained on the device and one trained on the CPU, each scored on both. */
static void test_scores(void **state)
{
    (void)state;
    char     folder[2][PATH_MAX];
    double   score[2][2][SCORES], alone[SCORES];
    int      n;
    asd_gpu *gpu;
    if (asd_gpu_open(0, &gpu)) {
        print_message("skipped: %s\n", asd_error_text());
        skip();
    }
    asd_gpu_close(gpu);
    write_recipe();
    for (int trained = 0; trained < 2; ++trained) {
        assert_ok(asd_path(folder[trained], "%s/scored-%d", machines(), trained));
        assert_int_equal(ended(start_on(folder[trained], trained ? "cuda" : "cpu")), 0);
        for (int scored = 0; scored < 2; ++scored) {
            score_on(folder[trained], scored ? "cuda" : "cpu", NULL, score[trained][scored], &n);
            assert_int_equal(n, SCORES);
        }
    }
    for (int i = 0; i < SCORES; ++i) {
        near(score[0][1][i], score[0][0][i], 1e-5, "score of the CPU's run", i);
        near(score[1][1][i], score[1][0][i], 1e-5, "score of the device's run", i);
        near(score[1][1][i], score[0][0][i], 5e-3, "score of another run", i);
    }
    /* the first clip of fan, by itself: the bits that it had among others */
    score_on(folder[1], "cuda", "section_00_0000.wav", alone, &n);
    assert_true(n >= DETECTORS);
    assert_true(alone[0] == score[1][1][0]);
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("train/device/like-cpu", test_like_cpu),
    ASD_CASE("train/device/odd-batches", test_odd_batches),
    ASD_CASE("train/device/resume", test_resume),
    ASD_CASE("train/device/not-finite", test_not_finite),
    ASD_CASE("train/device/reconstruct", test_reconstruct),
    ASD_CASE("train/device/run-cut-and-resumed", test_run),
    ASD_CASE("train/device/scores-like-cpu", test_scores),
};

int main(int argc, char **argv)
{
    const char *name = asd_base_name(argv[0]);
    if (!strcmp(name, "asd-train"))
        return train_run(argv[1], argv[2], !strcmp(argv[3], "cuda"));
    if (!strcmp(name, "asd-eval"))
        return eval_score_main(argc - 1, argv + 1);
    return asd_test_run(cases, sizeof cases / sizeof *cases, argc, argv);
}
