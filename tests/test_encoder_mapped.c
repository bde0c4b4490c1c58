/* test_encoder_mapped.c - values of small encoders that stay in their checkpoint and values that
 * are copied: which, where, and that neither changes a bit of what comes out. */
#include "encoder_files.h"
#include "harness.h"

#include "kernels/cpu_bf16.h"
#include "nn/safetensors.h"

#include <limits.h>
#include <math.h>

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

/* EAT's table of places, when a file has it: whole it stays there, half of it is copied over the
 * computed one. */
static void test_places(void **state)
{
    asd_encoder_desc d = small("eat");
    asd_encoder     *e = NULL, *computed = asd_synth_encoder("eat", &d);
    int              at    = asd_params_find(&computed->params, "pos");
    const float     *table = asd_params_peek(&computed->params, at);
    char             path[PATH_MAX];
    (void)state;
    assert_ok(asd_path(path, "%s/weights", asd_test_folder()));
    for (int half = 0; half < 2; ++half) {
        layout       l     = stays[2];
        int64_t      given = half ? d.pos_rows / 2 : d.pos_rows, n = given * d.dim;
        encoder_name name = {.n_dims = 3, .dim = {1, given, d.dim}};
        l.extra           = half ? 4 : 3;
        write_file(&l, path);
        assert_ok(asd_encoder_open(NULL, path, &e));
        snprintf(name.core, sizeof name.core, "fixed_positional_encoder.positions");
        float       *want = asd_synth_tensor(&d, &name);
        const float *have = asd_params_peek(&e->params, at);
        assert_int_equal(is_in_file(&e->params, have), !half);
        assert_memory_equal(have, want, (size_t)n * sizeof *have);
        assert_memory_equal(have + n, table + n, (size_t)(d.pos_rows * d.dim - n) * sizeof *have);
        free(want);
        asd_encoder_close(e);
    }
    asd_encoder_close(computed);
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
    ASD_CASE("models/mapped/which", test_mapped),
    ASD_CASE("models/mapped/places", test_places),
    ASD_CASE("models/mapped/any-border", test_borders),
    ASD_CASE("models/mapped/not-finite", test_not_finite),
    ASD_CASE("models/mapped/16-bits", test_narrow),
    ASD_CASE("models/mapped/adapter", test_adapter_mapped),
};
ASD_TEST_MAIN(cases)
