/* test_encoder_files.c - small encoders written as checkpoints in the released layouts and read
 * back: the same outputs, bit for bit, as with the weights put in by hand, whether the values were
 * copied or are used where they lie; and what does not fit is refused and listed. */
#include "harness.h"
#include "ref/encoder_synth.h"
#include "ref/synthetic.h"
#include "weights_writer.h"

#include "base/file.h"
#include "kernels/cpu_bf16.h"
#include "nn/safetensors.h"

#include <limits.h>
#include <math.h>

enum { S = 8000, MAX_TENSORS = 160 };

typedef struct layout {
    const char *kind;
    ww_form     form;
    const char *where;
    void (*rename)(const char *core, char name[160]);
    int         one_table;            /* BEATs: only layer 0 has the table of places */
    const char *leave_out, *misshape; /* tensors by core name, or NULL */
    int         other_table;          /* the last copy differs */
    int         extra;                /* 1: what must be ignored; 2: what must not */
} layout;

/* Tensors in memory while a file is written. */
typedef struct file {
    ww_tensor t[MAX_TENSORS];
    char      name[MAX_TENSORS][160];
    float    *x[MAX_TENSORS];
    int       n;
} file;

static asd_encoder_desc small(const char *kind)
{
    asd_encoder_desc d;
    assert_ok(asd_encoder_default(kind, 1, &d));
    if (strcmp(kind, "beats") != 0)
        d.heads = 1; /* no file of the others says how many: 64 wide each */
    return d;
}

static void add(file *f, const char *where, const char *name, int n_dims, const int64_t *dim,
                float *x)
{
    assert_true(f->n < MAX_TENSORS);
    snprintf(f->name[f->n], sizeof f->name[0], "%s", name);
    f->t[f->n] = (ww_tensor){.where = where, .name = f->name[f->n], .n_dims = n_dims, .x = x};
    memcpy(f->t[f->n].dim, dim, (size_t)n_dims * sizeof *dim);
    f->x[f->n++] = x;
}

static void add_extras(file *f, const layout *l)
{
    static const char *const ignored[3][2] = {
        {"beats", NULL},
        {"eat", "modality_encoders.IMAGE.decoder.blocks.0.0.weight"},
        {"dasheng", "front_end.0.spectrogram.window"}};
    int64_t two = 2;
    for (int i = 0; i < 3 && l->extra == 1; ++i)
        if (!strcmp(ignored[i][0], l->kind) && ignored[i][1])
            add(f, l->where, ignored[i][1], 1, &two, calloc(2, sizeof(float)));
    if (l->extra == 1 && !strcmp(l->kind, "eat")) /* the teacher */
        add(f, "model._ema", "blocks.0.norm1.weight", 1, &two, calloc(2, sizeof(float)));
    if (l->extra == 2)
        add(f, l->where, "surprise.weight", 1, &two, calloc(2, sizeof(float)));
}

static void write_file(const layout *l, const char *path)
{
    static const ww_setting cfg[] = {
        {"cfg", "encoder_layers", WW_INT, 2, NULL},
        {"cfg", "encoder_attention_heads", WW_INT, 2, NULL},
        {"cfg", "deep_norm", WW_BOOL, 1, NULL},
        {"cfg", "relative_position_embedding", WW_BOOL, 1, NULL},
        {"cfg", "gru_rel_pos", WW_BOOL, 1, NULL},
        {"cfg", "max_distance", WW_INT, 800, NULL},
        {"cfg", "activation_fn", WW_TEXT, 0, "gelu"},
    };
    asd_encoder_desc d     = small(l->kind);
    encoder_names    names = {0};
    file            *f     = calloc(1, sizeof *f);
    encoder_name     table = {0};
    encoder_kind_find(l->kind)->names(&d, &names);
    for (int i = 0; i < names.n; ++i) {
        encoder_name n = names.name[i];
        char         name[160];
        if (l->leave_out && !strcmp(n.core, l->leave_out))
            continue;
        if (n.flags & NAME_SHORT || (l->one_table && n.flags == (NAME_SAME | NAME_OPTIONAL)))
            continue; /* EAT's places are computed */
        l->rename(n.core, name);
        if (n.flags & NAME_SAME && n.flags & NAME_OPTIONAL)
            snprintf(n.core, sizeof n.core, "%s", table.core);
        else if (n.flags & NAME_SAME)
            table = n;
        float *x = asd_synth_tensor(&d, &n);
        if (l->other_table && n.flags == (NAME_SAME | NAME_OPTIONAL))
            x[3] += 1;
        if (l->misshape && !strcmp(n.core, l->misshape))
            n.dim[0] -= 1;
        add(f, l->where, name, n.n_dims, n.dim, x);
    }
    add_extras(f, l);
    ww_write(l->form, path, f->t, f->n, cfg,
             l->form != WW_SAFETENSORS && !strcmp(l->kind, "beats") ? sizeof cfg / sizeof *cfg : 0);
    for (int i = 0; i < f->n; ++i)
        free(f->x[i]);
    free(f);
    encoder_names_free(&names);
}

static void as_is(const char *core, char name[160])
{
    snprintf(name, 160, "%s", core);
}

/* A converted BEATs inside somebody's model, saved by a newer PyTorch. */
static void wrapped_beats(const char *core, char name[160])
{
    const char *new_g = "encoder.pos_conv.0.parametrizations.weight.original0";
    const char *new_v = "encoder.pos_conv.0.parametrizations.weight.original1";
    if (!strcmp(core, "encoder.pos_conv.0.weight_g"))
        core = new_g;
    if (!strcmp(core, "encoder.pos_conv.0.weight_v"))
        core = new_v;
    snprintf(name, 160, "backbone.%s", core);
}

static void fairseq_eat(const char *core, char name[160])
{
    if (!strncmp(core, "pre_norm.", 9))
        snprintf(name, 160, "modality_encoders.IMAGE.context_encoder.norm.%s", core + 9);
    else
        snprintf(name, 160, "%s%s", strncmp(core, "blocks.", 7) ? "modality_encoders.IMAGE." : "",
                 core);
}

static void fairseq_eat_tuned(const char *core, char name[160])
{
    char inner[160];
    fairseq_eat(core, inner);
    snprintf(name, 160, "model.%.150s", inner);
}

static void hugging_face_eat(const char *core, char name[160])
{
    snprintf(name, 160, "model.%s", core);
}

static void hugging_face_dasheng(const char *core, char name[160])
{
    snprintf(name, 160, "encoder.%s", core);
}

static void run_in(asd_encoder *e, int bf16, const float *x, float *y)
{
    asd_encoder_run *r;
    assert_ok(asd_encoder_plan(e, 1, S, (int[]){2}, 1, ASD_POOL_MEAN, NULL, bf16, &r));
    assert_ok(asd_encoder_forward(r, x, y));
    asd_encoder_run_free(r);
}

static void run(asd_encoder *e, const float *x, float *y)
{
    run_in(e, 0, x, y);
}

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
         "no tensor is called post_extract_proj.weight"},
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

/* --- values that stay in the file --- */

/* What a file of fp32 in C order does not hold as the encoder needs it. */
static int is_copied(const char *kind, const char *param)
{
    if (!strcmp(kind, "beats"))
        return strstr(param, ".qkv.") != NULL; /* of three tensors */
    return !strcmp(param, "pos");              /* Dasheng's is transposed, EAT's is in no file */
}

static int is_in_file(const asd_params *p, const float *x)
{
    return (uintptr_t)x >= (uintptr_t)p->file && (uintptr_t)x < (uintptr_t)p->file + p->file_bytes;
}

/* Every value is where it should be, and the same as that of an encoder filled by hand. */
static void check_values(asd_encoder *e, const char *kind)
{
    asd_encoder_desc  d     = small(kind);
    asd_encoder      *want  = asd_synth_encoder(kind, &d);
    const asd_params *p     = asd_encoder_params(e);
    int64_t           block = 0;
    for (int k = 0; k < p->n; ++k) {
        const asd_param *q  = &p->param[k];
        const float     *x  = asd_params_peek(p, k);
        int              at = asd_params_find(&want->params, q->name);
        if (is_copied(kind, q->name) ? q->mapped || is_in_file(p, x) || x != q->value
                                     : x != q->mapped || !is_in_file(p, x) || q->value)
            fail_msg("%s: %s: mapped %d, in the file %d", kind, q->name, q->mapped != NULL,
                     is_in_file(p, x));
        assert_memory_equal(x, asd_params_peek(&want->params, at),
                            (size_t)asd_count(q->shape) * sizeof *x);
        if (q->trainable && !q->mapped) { /* no room for what is mapped */
            assert_ptr_equal(x, p->w + block);
            block += (asd_count(q->shape) + 15) / 16 * 16;
        }
    }
    asd_encoder_close(want);
}

static const layout stays[] = {
    {.kind = "beats", .form = WW_ZIP, .where = "model", .rename = as_is},
    {.kind = "beats", .form = WW_SAFETENSORS, .where = "", .rename = wrapped_beats, .one_table = 1},
    {.kind = "eat", .form = WW_ZIP, .where = "model", .rename = fairseq_eat, .extra = 1},
    {.kind = "eat", .form = WW_SAFETENSORS, .where = "", .rename = hugging_face_eat},
    {.kind = "dasheng", .form = WW_SAFETENSORS, .where = "", .rename = hugging_face_dasheng},
};
enum { STAYS = sizeof stays / sizeof *stays };

/* The file's name may go: its mapping is the encoder's. */
static void test_mapped(void **state)
{
    char         path[PATH_MAX];
    asd_encoder *e;
    (void)state;
    assert_ok(asd_path(path, "%s/weights", asd_test_folder()));
    for (int i = 0; i < STAYS; ++i) {
        write_file(&stays[i], path);
        assert_ok(asd_encoder_open(NULL, path, &e));
        assert_int_equal(remove(path), 0);
        check_values(e, stays[i].kind);
        asd_encoder_close(e);
    }
}

/* Spaces in the header of a safetensors file, whose data they push on; the first value becomes
 * `first` unless that is 0. */
static void push(const char *path, size_t spaces, float first)
{
    char  *data;
    size_t size, header = 0;
    assert_ok(asd_read_file(path, 1 << 26, &data, &size));
    for (int i = 8; i-- > 0;)
        header = header << 8 | (unsigned char)data[i];
    char *pushed = malloc(size + spaces);
    memcpy(pushed, data, 8 + header);
    memset(pushed + 8 + header, ' ', spaces);
    memcpy(pushed + 8 + header + spaces, data + 8 + header, size - 8 - header);
    for (int i = 0; i < 8; ++i)
        pushed[i] = (char)((header + spaces) >> 8 * i);
    if (first != 0)
        memcpy(pushed + 8 + header + spaces, &first, sizeof first);
    assert_ok(asd_write_file(path, pushed, size + spaces));
    free(pushed);
    free(data);
}

/* Values on any border of four bytes are mapped, others copied; neither changes a bit of what comes
 * out, in fp32 and in bf16. */
static void test_borders(void **state)
{
    static const size_t spaces[] = {0, 4, 20, 56, 1, 2, 7};
    float               x[S], want[2][64], y[64];
    char                path[PATH_MAX];
    asd_encoder        *e;
    (void)state;
    asd_synthetic_noise(S, x);
    assert_ok(asd_path(path, "%s/weights", asd_test_folder()));
    for (int i = 0; i < STAYS; ++i) {
        asd_encoder_desc d = small(stays[i].kind);
        if (stays[i].form != WW_SAFETENSORS)
            continue;
        e = asd_synth_encoder(d.kind, &d);
        for (int bf16 = 0; bf16 < 2; ++bf16)
            run_in(e, bf16, x, want[bf16]);
        asd_encoder_close(e);
        for (size_t k = 0; k < sizeof spaces / sizeof *spaces; ++k) {
            write_file(&stays[i], path);
            push(path, spaces[k], 0);
            assert_ok(asd_encoder_open(NULL, path, &e));
            assert_int_equal(asd_encoder_params(e)->n_mapped > 0, spaces[k] % 4 == 0);
            assert_int_equal(asd_encoder_params(e)->file != NULL, spaces[k] % 4 == 0);
            for (int bf16 = 0; bf16 < 2; ++bf16) {
                run_in(e, bf16, x, y);
                if (memcmp(y, want[bf16], sizeof y) != 0)
                    fail_msg("%s, %zu bytes on, bf16 %d: %g, want %g", d.kind, spaces[k], bf16,
                             (double)y[0], (double)want[bf16][0]);
            }
            asd_encoder_close(e);
        }
    }
}

static void test_not_finite(void **state)
{
    char         path[PATH_MAX];
    asd_encoder *e;
    (void)state;
    assert_ok(asd_path(path, "%s/weights", asd_test_folder()));
    for (int i = 0; i < STAYS; ++i)
        for (size_t spaces = 0; spaces < 2 && stays[i].form == WW_SAFETENSORS; ++spaces) {
            write_file(&stays[i], path);
            push(path, spaces, spaces ? NAN : INFINITY);
            assert_fails(asd_encoder_open(NULL, path, &e), ASD_E_DATA,
                         spaces ? "element 0 is nan in fp32, want finite"
                                : "element 0 is inf in fp32, want finite");
            assert_null(e);
        }
}

/* Numbers of 16 bits are widened, into memory of the encoder's. */
static void test_narrow(void **state)
{
    asd_encoder_desc d     = small("eat");
    encoder_names    names = {0};
    char             path[PATH_MAX], name[MAX_TENSORS][160];
    asd_st_entry     entry[MAX_TENSORS];
    uint16_t        *x[MAX_TENSORS];
    int              n = 0;
    asd_encoder     *e;
    (void)state;
    encoder_kind_find("eat")->names(&d, &names);
    for (int i = 0; i < names.n; ++i) {
        const encoder_name *from = &names.name[i];
        if (from->flags & NAME_SHORT)
            continue;
        float    *wide  = asd_synth_tensor(&d, from);
        asd_shape shape = {.n = from->n_dims};
        memcpy(shape.d, from->dim, sizeof from->dim);
        x[n] = malloc((size_t)asd_synth_count(from) * sizeof *x[n]);
        asd_bf16_narrow(wide, x[n], asd_synth_count(from));
        free(wide);
        hugging_face_eat(from->core, name[n]);
        entry[n] = (asd_st_entry){name[n], ASD_BF16, shape, x[n]};
        ++n;
    }
    encoder_names_free(&names);
    assert_ok(asd_path(path, "%s/weights", asd_test_folder()));
    assert_ok(asd_safetensors_write(path, entry, n, NULL, 0));
    assert_ok(asd_encoder_open(NULL, path, &e));
    const asd_params *p = asd_encoder_params(e);
    assert_int_equal(p->n_mapped, 0);
    assert_null(p->file);
    int at = asd_params_find(p, "blocks.1.fc2.weight");
    assert_true(at >= 0);
    for (int i = 0; i < n; ++i)
        for (int64_t k = 0;
             !strcmp(name[i], "model.blocks.1.mlp.fc2.weight") && k < asd_count(entry[i].shape);
             ++k)
            assert_true(asd_params_peek(p, at)[k] == asd_bf16_value(x[i][k]));
    asd_encoder_close(e);
    for (int i = 0; i < n; ++i)
        free(x[i]);
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

/* An adapter into weights that are mapped: they become the encoder's own, the file stays. */
static void test_adapter_mapped(void **state)
{
    enum { R = 4, C = 64 };
    static const char  config[] = "{\"r\": 4, \"lora_alpha\": 2, \"peft_type\": \"LORA\"}";
    static const char *name[]   = {"base_model.model.blocks.1.mlp.fc1.lora_A.weight",
                                   "base_model.model.blocks.1.mlp.fc1.lora_B.weight"};
    asd_encoder_desc   d        = small("eat");
    const char        *folder   = asd_test_folder();
    char               path[PATH_MAX], hash[2][65];
    float              x[S], y[3][C], *half[2];
    ww_tensor          t[2];
    asd_encoder       *e;
    (void)state;
    for (int i = 0; i < 2; ++i) {
        int64_t out = i ? d.mlp : R, in = i ? R : C;
        half[i] = malloc((size_t)(out * in) * sizeof *half[i]);
        asd_synthetic_fill(name[i], 0.1, out * in, half[i]);
        t[i] = (ww_tensor){"", name[i], 2, {out, in}, half[i]};
    }
    assert_ok(asd_path(path, "%s/adapter_model.safetensors", folder));
    ww_write(WW_SAFETENSORS, path, t, 2, NULL, 0);
    assert_ok(asd_path(path, "%s/adapter_config.json", folder));
    assert_ok(asd_write_file(path, config, sizeof config - 1));
    assert_ok(asd_path(path, "%s/weights", folder));
    write_file(&stays[3], path);
    assert_ok(asd_weights_hash(path, hash[0]));
    asd_synthetic_noise(S, x);
    for (int by_hand = 0; by_hand < 2; ++by_hand) {
        if (by_hand)
            e = asd_synth_encoder("eat", &d);
        else
            assert_ok(asd_encoder_open(NULL, path, &e));
        assert_ok(asd_encoder_merge_adapter(e, folder));
        const asd_params *p  = asd_encoder_params(e);
        int               at = asd_params_find(p, "blocks.1.fc1.weight");
        assert_int_equal(p->param[at].mapped != NULL, !by_hand);
        assert_ptr_equal(asd_params_peek(p, at), p->param[at].value);
        run(e, x, y[by_hand]);
        asd_encoder_close(e);
    }
    assert_memory_equal(y[0], y[1], sizeof y[0]);
    assert_ok(asd_weights_hash(path, hash[1]));
    assert_string_equal(hash[0], hash[1]);
    assert_ok(asd_encoder_open(NULL, path, &e));
    run(e, x, y[2]);
    assert_true(memcmp(y[0], y[2], sizeof y[0]) != 0); /* the adapter does something */
    asd_encoder_close(e);
    free(half[0]);
    free(half[1]);
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("models/files/released-layouts", test_layouts),
    ASD_CASE("models/files/refused", test_refused),
    ASD_CASE("models/files/mapped", test_mapped),
    ASD_CASE("models/files/mapped-on-any-border", test_borders),
    ASD_CASE("models/files/not-finite", test_not_finite),
    ASD_CASE("models/files/16-bits", test_narrow),
    ASD_CASE("models/files/claims", test_claims),
    ASD_CASE("models/files/adapter", test_adapter),
    ASD_CASE("models/files/adapter-into-mapped", test_adapter_mapped),
};
ASD_TEST_MAIN(cases)
