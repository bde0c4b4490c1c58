/* test_encoder_files.c - small encoders written as checkpoints in the released layouts and read
 * back: the same outputs, bit for bit, as with the weights put in by hand; and what does not fit is
 * refused and listed. Which values stay in the file is in test_encoder_mapped.c. */
#include "encoder_files.h"
#include "harness.h"

#include <limits.h>

static void test_layouts(void **state)
{
    static const layout layouts[] = {
        {.kind = "beats", .form = WW_ZIP, .where = "model", .rename = as_is},
        {.kind = "beats", .form = WW_LEGACY, .where = "model", .rename = as_is, .one_table = 1},
        {.kind      = "beats",
         .form      = WW_SAFETENSORS,
         .where     = "",
         .rename    = wrapped_beats,
         .one_table = 1},
        {.kind = "eat", .form = WW_ZIP, .where = "model", .rename = fairseq_eat, .extra = 1},
        {.kind = "eat", .form = WW_ZIP, .where = "model", .rename = fairseq_eat_tuned},
        {.kind = "eat", .form = WW_SAFETENSORS, .where = "", .rename = hugging_face_eat},
        {.kind = "dasheng", .form = WW_ZIP, .where = "model", .rename = as_is, .extra = 1},
        {.kind = "dasheng", .form = WW_SAFETENSORS, .where = "", .rename = hugging_face_dasheng},
    };
    float x[S], y[2][64];
    char  path[PATH_MAX];
    (void)state;
    asd_synthetic_noise(S, x);
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; ++i) {
        asd_encoder_desc d = small(layouts[i].kind);
        asd_encoder     *e;
        assert_ok(asd_path(path, "%s/weights", asd_test_folder()));
        write_file(&layouts[i], path);
        assert_ok(asd_encoder_open(NULL, path, &e));
        assert_string_equal(asd_encoder_describe(e)->kind, layouts[i].kind);
        assert_int_equal(strlen(asd_encoder_hash(e)), 64);
        assert_true(asd_test_contains(asd_encoder_key(e), asd_encoder_hash(e)));
        run(e, x, y[0]);
        asd_encoder_close(e);
        e = asd_synth_encoder(d.kind, &d);
        run(e, x, y[1]);
        asd_encoder_close(e);
        if (memcmp(y[0], y[1], sizeof y[0]) != 0)
            fail_msg("layout %zu (%s): %g, want %g", i, layouts[i].kind, (double)y[0][0],
                     (double)y[1][0]);
    }
}

static void test_refused(void **state)
{
    static const struct {
        layout      l;
        const char *kind, *want;
    } bad[] = {
        {{"beats", WW_ZIP, "model", as_is, 0, "encoder.layers.1.fc2.bias", NULL, 0, 0},
         NULL,
         "1 missing: encoder.layers.1.fc2.bias"},
        {{"beats", WW_ZIP, "model", as_is, 0, NULL, "encoder.layers.1.fc2.bias", 0, 2},
         NULL,
         "1 not expected: surprise.weight; 1 of another shape: encoder.layers.1.fc2.bias is [63], "
         "want [64]"},
        {{"beats", WW_ZIP, "model", as_is, 0, NULL, NULL, 1, 0},
         NULL,
         "encoder.layers.1.self_attn.relative_attention_bias.weight differs"},
        {{"eat", WW_ZIP, "model", fairseq_eat, 0, "blocks.1.attn.qkv.bias", NULL, 0, 1},
         NULL,
         "does not fit eat: 1 missing: blocks.1.attn.qkv.bias"},
        {{"dasheng", WW_ZIP, "model", as_is, 0, NULL, "init_bn.1.running_var", 0, 1},
         NULL,
         "init_bn.1.running_var is [63], want [64]"},
        {{"dasheng", WW_ZIP, "model", as_is, 0, NULL, NULL, 0, 0},
         "beats",
         "a checkpoint of dasheng, want one of beats"},
        {{"beats", WW_ZIP, "model", as_is, 0, "encoder.layers.1.fc1.weight", NULL, 0, 0},
         NULL,
         "does not fit beats: 1 missing: encoder.layers.1.fc1.weight"},
        {{"dasheng", WW_ZIP, "model", as_is, 0, "time_pos_embed", NULL, 0, 0}, NULL, "none of its"},
    };
    char         path[PATH_MAX];
    asd_encoder *e;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; ++i) {
        assert_ok(asd_path(path, "%s/weights", asd_test_folder()));
        write_file(&bad[i].l, path);
        assert_fails(asd_encoder_open(bad[i].kind, path, &e), ASD_E_DATA, bad[i].want);
        assert_null(e);
    }
    assert_fails(asd_encoder_open("wav2vec", path, &e), ASD_E_CONFIG, "beats, eat, sslam, dasheng");
}

/* Shapes that only a stride of 0 could fill: refused before memory is taken. */
static void test_claims(void **state)
{
    static const layout l = {.kind = "beats", .form = WW_ZIP, .where = "model", .rename = as_is};
    const encoder_kind *k = encoder_kind_find("beats");
    asd_encoder_desc    d;
    asd_weights         w;
    encoder_file        f;
    char                path[PATH_MAX];
    (void)state;
    assert_ok(asd_path(path, "%s/weights", asd_test_folder()));
    write_file(&l, path);
    assert_ok(asd_weights_open(path, &w));
    assert_ok(encoder_file_open(&w, k, &f));
    assert_ok(asd_encoder_default("beats", 0, &d));
    assert_ok(k->describe(&f, &d));
    assert_ok(encoder_check_claims(&f, &d));
    for (int64_t i = 0; i < w.n; ++i)
        if (f.core[i] && !strcmp(f.core[i], "encoder.layers.0.fc1.weight"))
            w.tensor[i].dim[0] = INT32_MAX;
    assert_ok(k->describe(&f, &d));
    assert_fails(encoder_check_claims(&f, &d), ASD_E_DATA, "its shapes are those of");
    encoder_file_close(&f);
    asd_weights_close(&w);
}

/* An adapter read from PEFT's files does what the op does beside the weights. */
static void test_adapter(void **state)
{
    enum { R = 4, C = 64 };
    asd_encoder_desc d      = small("beats");
    const char      *folder = asd_test_folder();
    char             path[PATH_MAX], name[8][160], hash[65];
    float            x[S], merged[C], *half[8];
    ww_tensor        t[8];
    asd_encoder     *e;
    synth_net        net;
    (void)state;
    for (int i = 0; i < 8; ++i) {
        snprintf(name[i], sizeof name[i],
                 "base_model.model.encoder.layers.%d.self_attn.%c_proj.lora_%c.weight", i / 4,
                 "qv"[i / 2 % 2], "AB"[i % 2]);
        half[i] = malloc(R * C * sizeof(float));
        asd_synthetic_fill(name[i], i % 2 ? 0.05 : sqrt(3.0 / C), R * C, half[i]);
        t[i] = (ww_tensor){"", name[i], 2, {i % 2 ? C : R, i % 2 ? R : C}, half[i]};
    }
    assert_ok(asd_path(path, "%s/adapter_model.safetensors", folder));
    ww_write(WW_SAFETENSORS, path, t, 8, NULL, 0);
    e = asd_synth_encoder("beats", &d);
    assert_fails(asd_encoder_merge_adapter(e, folder), ASD_E_DATA, "adapter_config.json");
    assert_ok(asd_path(path, "%s/adapter_config.json", folder));
    const char *dora = "{\"r\": 4, \"use_dora\": true}";
    assert_ok(asd_write_file(path, dora, strlen(dora)));
    assert_fails(asd_encoder_merge_adapter(e, folder), ASD_E_DATA, "use_dora is true");
    const char *config =
        "{\n  \"bias\": \"none\",\n  \"lora_alpha\": 2,\n  \"peft_type\": \"LORA\",\n"
        "  \"r\": 4,\n  \"rank_pattern\": {},\n  \"revision\": null,\n"
        "  \"target_modules\": [\"v_proj\", \"q_proj\"],\n  \"use_dora\": false\n}\n";
    assert_ok(asd_write_file(path, config, strlen(config)));
    t[7].dim[0] = R, t[7].dim[1] = C; /* the last of the pairs: those before it are not added */
    assert_ok(asd_path(path, "%s/adapter_model.safetensors", folder));
    ww_write(WW_SAFETENSORS, path, t, 8, NULL, 0);
    assert_fails(asd_encoder_merge_adapter(e, folder), ASD_E_DATA, "want (r, 64) and (64, r)");
    t[7].dim[0] = C, t[7].dim[1] = R;
    ww_write(WW_SAFETENSORS, path, t, 8, NULL, 0);
    snprintf(hash, sizeof hash, "%s", asd_encoder_hash(e));
    assert_ok(asd_encoder_merge_adapter(e, folder));
    assert_string_not_equal(hash, asd_encoder_hash(e));
    asd_synthetic_noise(S, x);
    run(e, x, merged);
    assert_fails(asd_encoder_merge_adapter(e, folder), ASD_E_CONFIG, "before the first plan");
    asd_encoder_close(e);
    d.lora_rank    = R;
    d.lora_scale   = 0.5f;
    d.lora_targets = ASD_LORA_Q | ASD_LORA_V;
    synth_net_run(&net, &d, 1, S, x, NULL, ASD_POOL_MEAN, "loss", 0);
    float *y = synth_net_y(&net), most = 0;
    d.lora_rank = 0;
    e           = asd_synth_encoder("beats", &d);
    float plain[C];
    run(e, x, plain);
    for (int i = 0; i < C; ++i) {
        assert_near((double)merged[i], (double)y[i], 1e-5);
        most = fmaxf(most, fabsf(plain[i] - y[i]));
    }
    assert_true(most > 1e-3f); /* it does something */
    asd_encoder_close(e);
    free(y);
    synth_net_free(&net);
    for (int i = 0; i < 8; ++i)
        free(half[i]);
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("models/files/released-layouts", test_layouts),
    ASD_CASE("models/files/refused", test_refused),
    ASD_CASE("models/files/claims", test_claims),
    ASD_CASE("models/files/adapter", test_adapter),
};
ASD_TEST_MAIN(cases)
