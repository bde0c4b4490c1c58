/* test_encoder_beats.c - BEATs at full size with synthetic weights against the known answers of the
 * original code (specification, section 11): 1 s of noise, 48 tokens. */
#include "harness.h"
#include "ref/encoder_synth.h"
#include "ref/synthetic.h"

#include <stdlib.h>
#include <string.h>

enum { S = 16000, P = 48, C = 768 };

static void check_row(const float *x, const double want[4])
{
    for (int i = 0; i < 4; ++i)
        assert_near((double)x[i], want[i], 1e-4);
}

static double norm2(const float *x, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; ++i)
        sum += (double)x[i] * (double)x[i];
    return sqrt(sum);
}

static void near_relative(double x, double want, double relative)
{
    assert_near(x, want, relative * fabs(want));
}

static asd_encoder_desc full(void)
{
    asd_encoder_desc d;
    assert_ok(asd_encoder_default("beats", 0, &d));
    return d;
}

static void test_forward(void **state)
{
    static const struct {
        double first[4], last[4], norm;
    } want[4] = {
        {{0.640568, 0.26969, 0.547561, -0.616099}, {0}, 0},
        {{-0.211972, -0.199589, 0.593516, -0.162027},
         {-0.00498745, -0.580764, -0.180892, 0.862429},
         192.206348},
        {{0.0185438, -0.142783, 0.182931, 0.161066},
         {1.07875, -1.58668, -0.480071, -0.0438894},
         193.167566},
        {{0.221561, 1.8232, -0.677609, 1.27625},
         {0.798514, 0.684974, -0.539794, 1.18841},
         193.249397},
    };
    (void)state;
    asd_encoder     *e = asd_synth_encoder("beats", NULL);
    asd_encoder_run *r;
    float           *x = malloc(S * sizeof *x), *y = malloc(4 * P * C * sizeof *y), mean[C];
    asd_synthetic_noise(S, x);
    assert_ok(asd_encoder_plan(e, 1, S, (int[]){0, 1, 6, 12}, 4, ASD_POOL_NONE, NULL, 0, &r));
    assert_int_equal(asd_encoder_rows(r), P);
    assert_int_equal(asd_encoder_dim(r), C);
    assert_ok(asd_encoder_forward(r, x, y));
    asd_encoder_run_free(r);
    for (int l = 0; l < 4; ++l) {
        check_row(y + l * P * C, want[l].first);
        if (want[l].norm > 0) {
            check_row(y + (l * P + P - 1) * C, want[l].last);
            near_relative(norm2(y + l * P * C, P * C), want[l].norm, 1e-6);
        }
    }
    assert_ok(asd_encoder_plan(e, 1, S, (int[]){12}, 1, ASD_POOL_MEAN, NULL, 0, &r));
    assert_ok(asd_encoder_forward(r, x, mean));
    asd_encoder_run_free(r);
    check_row(mean, (double[]){0.6293, 0.967712, -0.618834, 1.3013});
    near_relative(norm2(mean, C), 26.538446, 1e-6);
    asd_encoder_close(e);
    free(x);
    free(y);
}

/* Two clips, the second with padding from sample 9000; and the classifier. */
static void test_mask(void **state)
{
    static const double probs[2][4] = {{0.286405, 0.450689, 0.384222, 0.304582},
                                       {0.252258, 0.487364, 0.369072, 0.315644}};
    asd_encoder_desc    d           = full();
    float              *x           = malloc(2 * S * sizeof *x);
    synth_net           n;
    (void)state;
    d.head_classes = 527;
    asd_synthetic_noise(S, x);
    memcpy(x + S, x, S * sizeof *x);
    int32_t lengths[2] = {(int32_t)asd_encoder_valid_tokens(&d, S, S),
                          (int32_t)asd_encoder_valid_tokens(&d, S, 9000)};
    assert_int_equal(lengths[0], P);
    assert_int_equal(lengths[1], 28);
    assert_int_equal(asd_encoder_valid_tokens(&d, 160000, 100000), 313);
    synth_net_run(&n, &d, 2, S, x, lengths, ASD_POOL_NONE, "cotangent", 0);
    float *y = synth_net_y(&n);
    check_row(y, (double[]){0.221561, 1.8232, -0.677609, 1.27625});
    check_row(y + P * C, (double[]){0.104928, 1.8773, -0.700061, 1.384});
    check_row(y + (P + 47) * C, (double[]){0.337212, 0.368158, -0.558446, 1.19662});
    free(y);
    synth_net_free(&n);
    synth_net_run(&n, &d, 2, S, x, lengths, ASD_POOL_HEAD, "cotangent", 0);
    y          = synth_net_y(&n);
    double sum = 0;
    for (int i = 0; i < 2 * 527; ++i) {
        double p = 1 / (1 + exp(-(double)y[i]));
        sum += i < 527 ? p : 0;
        if (i % 527 < 4)
            assert_near(p, probs[i / 527][i % 527], 1e-5);
    }
    near_relative(sum, 266.749590, 1e-6);
    free(y);
    synth_net_free(&n);
    free(x);
}

static void test_gradients(void **state)
{
    static const struct {
        const char *core;
        double      decayed, whole;
    } want[] = {
        {"encoder.layers.11.fc2.weight", 1772.5903, 1772.5903},
        {"encoder.layers.11.self_attn.q_proj.weight", 126.15355, 126.15355},
        {"encoder.layers.0.self_attn.q_proj.weight", 1.5063782, 415.21236},
        {"encoder.layers.0.self_attn.v_proj.weight", 4.3053355, 1186.7063},
        {"encoder.layers.0.self_attn.grep_linear.weight", 0.02026285, 5.5851748},
        {"encoder.layers.0.self_attn.grep_a", 0.0018646817, 0.51397378},
        {"encoder.layers.0.self_attn.relative_attention_bias.weight", 7.7780506, 22.636993},
        {"encoder.layer_norm.weight", 0.27788532, 127.65875},
        {"encoder.pos_conv.0.weight_g", 0.025050009, 11.507815},
        {"encoder.pos_conv.0.weight_v", 0.050339424, 23.125612},
        {"post_extract_proj.weight", 6.1768167, 2837.5904},
        {"patch_embedding.weight", 4.3701645, 2007.6259},
    };
    asd_encoder_desc d = full();
    float           *x = malloc(S * sizeof *x), first;
    synth_net        n;
    (void)state;
    asd_synthetic_noise(S, x);
    for (int whole = 0; whole < 2; ++whole) {
        d.grad_decay = whole ? 1 : 0.6f;
        synth_net_run(&n, &d, 1, S, x, NULL, ASD_POOL_NONE, "cotangent", 1);
        near_relative(synth_net_loss(&n), 57.509767, 1e-4);
        for (size_t i = 0; i < sizeof want / sizeof *want; ++i)
            near_relative(synth_net_grad(&n, want[i].core, 0, NULL),
                          whole ? want[i].whole : want[i].decayed, 1e-3);
        if (whole) {
            synth_net_grad(&n, "encoder.layers.0.self_attn.q_proj.weight", 1, &first);
            near_relative((double)first, 0.0615249, 2e-3);
            synth_net_grad(&n, "encoder.layers.0.self_attn.v_proj.weight", 1, &first);
            near_relative((double)first, 0.965011, 2e-3);
            synth_net_grad(&n, "encoder.layers.0.self_attn.relative_attention_bias.weight", 1,
                           &first);
            near_relative((double)first, -2.58811, 2e-3);
            synth_net_grad(&n, "patch_embedding.weight", 1, &first);
            near_relative((double)first, 0.238123, 2e-3);
        }
        synth_net_free(&n);
    }
    free(x);
}

static double adapter_norm(const synth_net *n, const char *param)
{
    int k = asd_params_find(&n->params, param);
    assert_true(k >= 0);
    const asd_param *p = &n->params.param[k];
    return norm2(n->params.g + p->offset, asd_count(p->shape));
}

static void test_lora(void **state)
{
    static const struct {
        const char *param;
        double      want;
    } grads[] = {
        {"blocks.0.q.lora_A", 12.221242},  {"blocks.0.q.lora_B", 15.737896},
        {"blocks.0.v.lora_A", 32.972451},  {"blocks.0.v.lora_B", 45.475145},
        {"blocks.11.q.lora_A", 3.4710217}, {"blocks.11.q.lora_B", 4.934242},
        {"blocks.11.v.lora_A", 35.360687}, {"blocks.11.v.lora_B", 37.666345},
    };
    asd_encoder_desc d = full();
    float           *x = malloc(S * sizeof *x);
    synth_net        n;
    (void)state;
    d.lora_rank    = 64;
    d.lora_scale   = 0.125f;
    d.lora_targets = ASD_LORA_Q | ASD_LORA_V;
    d.frozen       = 1;
    asd_synthetic_noise(S, x);
    synth_net_run(&n, &d, 1, S, x, NULL, ASD_POOL_NONE, "cotangent", 1);
    float *y = synth_net_y(&n);
    check_row(y, (double[]){0.287346, 1.85529, -0.745257, 1.3021});
    near_relative(norm2(y, P * C), 193.269637, 1e-6);
    near_relative(synth_net_loss(&n), 60.560836, 1e-4);
    assert_int_equal(asd_params_count(&n.params, 1), 2359296);
    for (size_t i = 0; i < sizeof grads / sizeof *grads; ++i)
        near_relative(adapter_norm(&n, grads[i].param), grads[i].want, 1e-3);
    free(y);
    synth_net_free(&n);
    free(x);
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("models/beats/golden/forward", test_forward),
    ASD_CASE("models/beats/golden/mask-and-head", test_mask),
    ASD_CASE("models/beats/golden/gradients", test_gradients),
    ASD_CASE("models/beats/golden/lora", test_lora),
};
ASD_TEST_MAIN(cases)
