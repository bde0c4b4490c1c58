/* test_nn.c - the parameter store, the optimiser against a naive one in double precision, and
 * safetensors files: whole, hostile and mutated.
 */
#include "harness.h"

#include "base/file.h"
#include "base/par.h"
#include "base/rng.h"
#include "kernels/adam.h"
#include "models/ae_plan.h"
#include "nn/safetensors.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- parameters --- */

static void official(asd_params *p, int training, uint64_t seed, uint64_t machine)
{
    asd_cfg cfg;
    assert_ok(asd_opts_defaults(asd_cfg_opts, &cfg));
    asd_params_init(p);
    assert_ok(asd_ae_declare(p, &cfg));
    assert_ok(asd_params_alloc(p, training));
    asd_params_reset(p, seed, machine);
    asd_opts_clear(asd_cfg_opts, &cfg);
}

/* systems C1: 267,928 trainable numbers; 9 normalised layers of 128 or 8 columns keep a mean and a
 * variance each. */
static void test_official_count(void **state)
{
    (void)state;
    asd_params p;
    official(&p, 0, 1, 1);
    assert_int_equal(asd_params_count(&p, 1), 267928);
    assert_int_equal(asd_params_count(&p, 0), 2064);
    assert_null(p.g);
    assert_null(p.m);
    assert_null(p.v);
    asd_params_clear(&p);
}

/* Which floats of the trainable block are padding. */
static unsigned char *padding(const asd_params *p)
{
    unsigned char *pad = malloc((size_t)p->n_trainable);
    memset(pad, 1, (size_t)p->n_trainable);
    for (int k = 0; k < p->n; ++k)
        if (p->param[k].trainable)
            memset(pad + p->param[k].offset, 0, (size_t)asd_count(p->param[k].shape));
    return pad;
}

static void test_layout(void **state)
{
    (void)state;
    asd_params p;
    official(&p, 1, 1, 1);
    int64_t at[2] = {0, 0};
    for (int k = 0; k < p.n; ++k) {
        const asd_param *q = &p.param[k];
        assert_int_equal(q->offset, at[q->trainable]);
        assert_int_equal((uintptr_t)asd_params_value(&p, k) % 64, 0);
        at[q->trainable] += (asd_count(q->shape) + 15) / 16 * 16;
        assert_int_equal(asd_params_find(&p, q->name), k);
    }
    assert_int_equal(p.n_trainable, at[1]);
    assert_int_equal(p.n_state, at[0]);
    assert_int_equal(asd_params_find(&p, "encoder.0.linear.weigh"), -1);
    unsigned char *pad  = padding(&p);
    asd_adam       a    = {.beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .weight_decay = 0.1};
    asd_step       now  = {.lr = 0.1f};
    double        *work = malloc((size_t)asd_adam_work(p.n_trainable) * sizeof *work);
    for (; now.step < 3; ++now.step) { /* a step moves every weight and no padding */
        for (int64_t i = 0; i < p.n_trainable; ++i)
            p.g[i] = pad[i] ? 0 : 1;
        asd_adam_update_cpu(&a, &now, p.n_trainable, p.w, p.g, p.m, p.v, work);
    }
    for (int64_t i = 0; i < p.n_trainable; ++i)
        assert_true(pad[i] ? p.w[i] == 0 && p.m[i] == 0 && p.v[i] == 0 : p.v[i] > 0);
    free(work);
    free(pad);
    asd_params_clear(&p);
}

/* PyTorch's default for a linear layer: uniform in +-1/sqrt(fan_in), weight and bias. */
static void test_initial_values(void **state)
{
    (void)state;
    asd_params p;
    official(&p, 1, 13711, 7);
    for (int k = 0; k < p.n; ++k) {
        const asd_param *q   = &p.param[k];
        const float     *x   = asd_params_value(&p, k);
        int64_t          n   = asd_count(q->shape);
        double           sum = 0, square = 0, most = 0;
        double           want = strstr(q->name, "norm.weight") || strstr(q->name, "running_var");
        for (int64_t i = 0; i < n; ++i) {
            sum += (double)x[i];
            square += (double)x[i] * (double)x[i];
            most = fmax(most, fabs((double)x[i]));
            if (!strstr(q->name, ".linear."))
                assert_true(x[i] == (float)want);
        }
        if (!strstr(q->name, ".linear."))
            continue;
        double bound = 1 / sqrt(strstr(q->name, "encoder.0.")   ? 640
                                : strstr(q->name, "decoder.0.") ? 8
                                                                : 128);
        double sd    = bound / sqrt(3);
        assert_true(most <= bound * (1 + 1e-7));
        if (n < 1000)
            continue;
        assert_true(most > 0.99 * bound);
        assert_near(sum / (double)n, 0, 4 * sd / sqrt((double)n));
        assert_near(sqrt(square / (double)n), sd, 0.03 * sd);
    }
    asd_params_clear(&p);
}

static void test_initial_bits(void **state)
{
    (void)state;
    asd_params a, b, other[2];
    official(&a, 1, 13711, 7);
    official(&b, 0, 13711, 7);
    official(&other[0], 1, 13712, 7);
    official(&other[1], 1, 13711, 8);
    size_t bytes = (size_t)a.n_trainable * sizeof(float);
    assert_memory_equal(a.w, b.w, bytes);
    for (int i = 0; i < 2; ++i) {
        int64_t same = 0, n = asd_count(a.param[0].shape);
        for (int64_t k = 0; k < n; ++k)
            same += a.w[k] == other[i].w[k];
        assert_true(same < n / 1000);
    }
    /* two parameters of one shape share no numbers either */
    int j = asd_params_find(&a, "encoder.1.linear.weight"),
        k = asd_params_find(&a, "encoder.2.linear.weight");
    assert_true(memcmp(asd_params_value(&a, j), asd_params_value(&a, k), 64) != 0);
    asd_params_clear(&a);
    asd_params_clear(&b);
    asd_params_clear(&other[0]);
    asd_params_clear(&other[1]);
}

/* --- Adam --- */

typedef struct adam_case {
    asd_adam a;
    float    lr;
} adam_case;

static const adam_case adams[] = {
    {{0.9, 0.999, 1e-8, 0, 0, 0}, 1e-3f},    {{0.9, 0.999, 1e-8, 0.05, 0, 0}, 1e-2f},
    {{0.9, 0.999, 1e-8, 0.05, 0, 1}, 1e-2f}, {{0.9, 0.98, 1e-6, 0.01, 2.5, 1}, 3e-3f},
    {{0.5, 0.9, 1e-3, 0, 0.1, 0}, 1e-2f},    {{0, 0.5, 1e-8, 0, 0, 0}, 1e-3f},
    {{0.9, 0.999, 1e-8, 0, 1e9, 0}, 1e-3f},
};

/* torch.optim.Adam and AdamW as their documentation writes them, in double. Returns the norm. */
static double naive_adam(const adam_case *c, int t, int64_t n, double *w, const float *g, double *m,
                         double *v)
{
    double norm = 0;
    for (int64_t i = 0; i < n; ++i)
        norm += (double)g[i] * (double)g[i];
    norm = sqrt(norm);
    for (int64_t i = 0; i < n; ++i) {
        double gi = (double)g[i], lr = (double)c->lr;
        if (c->a.clip_norm > 0 && c->a.clip_norm / (norm + 1e-6) < 1)
            gi *= c->a.clip_norm / (norm + 1e-6);
        if (c->a.decoupled)
            w[i] -= lr * c->a.weight_decay * w[i];
        else
            gi += c->a.weight_decay * w[i];
        m[i]         = c->a.beta1 * m[i] + (1 - c->a.beta1) * gi;
        v[i]         = c->a.beta2 * v[i] + (1 - c->a.beta2) * gi * gi;
        double m_hat = m[i] / (1 - pow(c->a.beta1, t)), v_hat = v[i] / (1 - pow(c->a.beta2, t));
        w[i] -= lr * m_hat / (sqrt(v_hat) + c->a.eps);
    }
    return norm;
}

enum { ADAM_N = 40013, ADAM_STEPS = 50 }; /* three chunks, the last one odd */

typedef struct adam_run {
    float  *w, *g, *m, *v;
    double *dw, *dm, *dv, *work;
} adam_run;

static void adam_new(adam_run *r, int64_t n)
{
    r->w    = calloc((size_t)n, sizeof(float));
    r->g    = calloc((size_t)n, sizeof(float));
    r->m    = calloc((size_t)n, sizeof(float));
    r->v    = calloc((size_t)n, sizeof(float));
    r->dw   = calloc((size_t)n, sizeof(double));
    r->dm   = calloc((size_t)n, sizeof(double));
    r->dv   = calloc((size_t)n, sizeof(double));
    r->work = calloc((size_t)asd_adam_work(n), sizeof(double));
    asd_rng rng;
    asd_rng_init(&rng, 5, ASD_RNG_TEST, 0, 0);
    for (int64_t i = 0; i < n; ++i)
        r->dw[i] = (double)(r->w[i] = (float)asd_rng_normal(&rng));
}

static void adam_free(adam_run *r)
{
    free(r->w);
    free(r->g);
    free(r->m);
    free(r->v);
    free(r->dw);
    free(r->dm);
    free(r->dv);
    free(r->work);
}

/* Gradients that differ in size by 10^6 between weights; some are exactly 0, always or at times. */
static void adam_gradient(adam_run *r, int step)
{
    asd_rng rng;
    asd_rng_init(&rng, 6, ASD_RNG_TEST, (uint64_t)step, 0);
    for (int64_t i = 0; i < ADAM_N; ++i) {
        r->g[i] = (float)(asd_rng_normal(&rng) * pow(10, (double)(i % 7) - 5));
        if (i % 11 == 0 || (i + step) % 5 == 0)
            r->g[i] = 0;
    }
}

static void test_adam(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof adams / sizeof *adams; ++k) {
        const adam_case *c = &adams[k];
        adam_run         r;
        adam_new(&r, ADAM_N);
        for (int t = 1; t <= ADAM_STEPS; ++t) {
            adam_gradient(&r, t);
            asd_step now  = {.step = t - 1, .lr = c->lr};
            double   want = naive_adam(c, t, ADAM_N, r.dw, r.g, r.dm, r.dv);
            assert_near(asd_adam_update_cpu(&c->a, &now, ADAM_N, r.w, r.g, r.m, r.v, r.work), want,
                        1e-12 * want);
        }
        for (int64_t i = 0; i < ADAM_N; ++i) {
            /* w: one rounding a step; the update itself a few, each of a step of about lr */
            double limit = ADAM_STEPS * 0x1p-24 * (fabs(r.dw[i]) + 8 * (double)c->lr) * 1.5;
            if (!(fabs((double)r.w[i] - r.dw[i]) <= limit))
                fail_msg("case %zu: weight %ld is %.9g after %d steps, want %.9g within %g", k,
                         (long)i, (double)r.w[i], ADAM_STEPS, r.dw[i], limit);
        }
        adam_free(&r);
    }
}

static void test_adam_threads(void **state)
{
    (void)state;
    adam_run r[3];
    int      before = asd_par_threads();
    for (int k = 0; k < 3; ++k) {
        adam_new(&r[k], ADAM_N);
        asd_par_set_threads(k + 1);
        for (int t = 1; t <= 5; ++t) {
            asd_step now = {.step = t - 1, .lr = 1e-3f};
            adam_gradient(&r[k], t);
            asd_adam_update_cpu(&adams[3].a, &now, ADAM_N, r[k].w, r[k].g, r[k].m, r[k].v,
                                r[k].work);
        }
    }
    asd_par_set_threads(before);
    for (int k = 1; k < 3; ++k) {
        assert_memory_equal(r[0].w, r[k].w, ADAM_N * sizeof(float));
        assert_memory_equal(r[0].m, r[k].m, ADAM_N * sizeof(float));
        assert_memory_equal(r[0].v, r[k].v, ADAM_N * sizeof(float));
    }
    for (int k = 0; k < 3; ++k)
        adam_free(&r[k]);
}

/* --- safetensors: writing --- */

static const float   f32[6] = {1.5f, -0.0f, 3, INFINITY, 1e-45f, 6};
static const int32_t i32[3] = {-2147483647 - 1, 0, 7};
static const int16_t i16[3] = {-32768, 5, 32767};

static const asd_st_entry whole[] = {
    {"a/weight", ASD_F32, {2, {2, 3}}, f32},          {"empty", ASD_F32, {2, {0, 4}}, f32},
    {"scalar", ASD_F32, {0, {0}}, f32 + 2},           {"i", ASD_I32, {1, {3}}, i32},
    {"Müller \"q\"\\", ASD_I16, {3, {1, 3, 1}}, i16},
};
static const char *const metadata[] = {"format", "pt", "note", "line\nbreak"};

static const char *file_in_folder(const char *name)
{
    static char path[PATH_MAX];
    assert_ok(asd_path(path, "%s/%s", asd_test_folder(), name));
    return path;
}

static void test_round_trip(void **state)
{
    (void)state;
    asd_safetensors s;
    const char     *path = file_in_folder("a.safetensors");
    assert_ok(asd_safetensors_write(path, whole, 5, metadata, 2));
    assert_ok(asd_safetensors_open(path, &s));
    assert_int_equal(s.n, 5);
    for (int i = 0; i < 5; ++i) {
        const asd_st_tensor *t       = asd_safetensors_find(&s, whole[i].name);
        char                 got[64] = {0};
        assert_non_null(t);
        assert_int_equal(t->dtype, whole[i].dtype);
        assert_true(asd_shape_equal(t->shape, whole[i].shape));
        assert_ok(asd_safetensors_get(&s, whole[i].name, whole[i].dtype, whole[i].shape, got));
        assert_memory_equal(got, whole[i].data,
                            (size_t)asd_count(t->shape) * asd_dtype_size(t->dtype));
    }
    float x[6];
    assert_null(asd_safetensors_find(&s, "a/weigh"));
    assert_fails(asd_safetensors_get(&s, "gone", ASD_F32, ASD_SHAPE1(6), x), ASD_E_DATA,
                 "gone is missing");
    assert_fails(asd_safetensors_get(&s, "a/weight", ASD_F32, ASD_SHAPE1(6), x), ASD_E_DATA,
                 "a/weight is F32 (2, 3), want F32 (6)");
    assert_fails(asd_safetensors_get(&s, "a/weight", ASD_I32, ASD_SHAPE2(2, 3), x), ASD_E_DATA,
                 "want I32 (2, 3)");
    asd_safetensors_close(&s);
}

/* What the reference implementation demands of a file (safetensors 0.4, Rust): the length of the
 * header in 8 bytes, '{' first, text of JSON padded with spaces, offsets from 0 without a gap in
 * the order of the data, and nothing after the last tensor. */
static void test_layout_of_file(void **state)
{
    (void)state;
    char       *data;
    size_t      size, at = 0;
    uint64_t    length = 0;
    const char *path   = file_in_folder("b.safetensors");
    assert_ok(asd_safetensors_write(path, whole, 5, metadata, 2));
    assert_ok(asd_read_file(path, 1 << 20, &data, &size));
    for (int i = 0; i < 8; ++i)
        length |= (uint64_t)(unsigned char)data[i] << 8 * i;
    assert_true(length % 8 == 0 && 8 + length < size);
    assert_int_equal(data[8], '{');
    json_t *root = json_loadb(data + 8, length, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(root);
    const char *tail = data + 8 + length;
    while (tail[-1] == ' ')
        --tail;
    assert_int_equal(tail[-1], '}');
    assert_true(data + 8 + length - tail < 8);
    assert_string_equal(
        json_string_value(json_object_get(json_object_get(root, "__metadata__"), "note")),
        "line\nbreak");
    for (int i = 0; i < 5; ++i) {
        json_t *t = json_object_get(root, whole[i].name), *o = json_object_get(t, "data_offsets"),
               *shape                    = json_object_get(t, "shape");
        static const char *const names[] = {"F32", "I16", "I32", "BF16"};
        size_t bytes = (size_t)asd_count(whole[i].shape) * asd_dtype_size(whole[i].dtype);
        assert_string_equal(json_string_value(json_object_get(t, "dtype")), names[whole[i].dtype]);
        assert_int_equal(json_array_size(shape), whole[i].shape.n);
        for (int d = 0; d < whole[i].shape.n; ++d)
            assert_int_equal(json_integer_value(json_array_get(shape, (size_t)d)),
                             whole[i].shape.d[d]);
        assert_int_equal(json_integer_value(json_array_get(o, 0)), at);
        assert_int_equal(json_integer_value(json_array_get(o, 1)), at + bytes);
        assert_memory_equal(data + 8 + length + at, whole[i].data, bytes);
        at += bytes;
    }
    assert_int_equal(8 + length + at, size);
    json_decref(root);
    free(data);
}

/* What cannot be written whole is not written at all. */
static void test_write_refuses(void **state)
{
    (void)state;
    const char        *path    = file_in_folder("c.safetensors");
    const asd_st_entry twice[] = {{"a", ASD_F32, {1, {1}}, f32}, {"a", ASD_F32, {1, {1}}, f32}};
    const asd_st_entry bytes[] = {{"fan\xff", ASD_F32, {1, {1}}, f32}};
    const asd_st_entry taken[] = {{"__metadata__", ASD_F32, {1, {1}}, f32}};
    const char *const  bad[]   = {"key", "\xc3"};
    assert_fails(asd_safetensors_write(path, twice, 2, NULL, 0), ASD_E_DATA, "tensor a twice");
    assert_fails(asd_safetensors_write(path, bytes, 1, NULL, 0), ASD_E_DATA, "UTF-8");
    assert_fails(asd_safetensors_write(path, taken, 1, NULL, 0), ASD_E_DATA, "__metadata__");
    assert_fails(asd_safetensors_write(path, whole, 1, bad, 1), ASD_E_DATA, "UTF-8");
    assert_false(asd_is_file(path));
    assert_fails(asd_safetensors_write("/nonexistent/x", whole, 1, NULL, 0), ASD_E_IO,
                 "/nonexistent/x");
}

/* --- safetensors: hostile files --- */

/* Thousands of these: no sync as in asd_write_file, and a new file, because file systems flush one
 * that is written over. */
static void put(const char *path, const char *data, size_t size)
{
    unlink(path);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

/* 8 bytes of length, the header as given, then `bytes` zero bytes. */
static void write_raw(const char *path, uint64_t length, const char *header, size_t bytes)
{
    size_t n    = strlen(header);
    char  *file = calloc(8 + n + bytes + 1, 1);
    for (int i = 0; i < 8; ++i)
        file[i] = (char)(length >> 8 * i);
    memcpy(file + 8, header, n);
    put(path, file, 8 + n + bytes);
    free(file);
}

#define T(dtype, shape, offsets)                                                                   \
    "{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

static const struct {
    const char *header;
    size_t      bytes;
    const char *message;
} hostile[] = {
    {"{\"a\":" T("F32", "[2]", "[0,8]") "}", 8, NULL}, /* the same shape of file, whole */
    {"{}", 0, NULL},
    {"{\"a\":" T("F32", "[]", "[0,4]") "}", 4, NULL},
    {"{\"b\":" T("F32", "[1]", "[4,8]") ",\"a\":" T("F32", "[1]", "[0,4]") "}", 8, NULL},
    {"{\"a\":" T("F32", "[0,99999999999999]", "[0,0]") "}", 0, NULL},
    {"", 0, "header"},
    {"[]", 0, "not a JSON object"},
    {"7", 0, "header"},
    {"{\"a\":", 0, "header"},
    {"{} {}", 0, "end of file expected"},
    {"{\"a\":1}", 0, "dtype missing"},
    {"{\"a\":{}}", 0, "dtype missing"},
    {"{\"a\":" T("F64", "[1]", "[0,8]") "}", 8, "tensor a: dtype F64"},
    {"{\"a\":" T("F8_E4M3", "[1]", "[0,2]") "}", 2, "tensor a: dtype F8_E4M3"},
    {"{\"a\":{\"dtype\":7,\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "tensor a: dtype missing"},
    {"{\"a\":" T("F32", "[2]", "[0,8]") "}", 7, "outside 0 .. 7"},
    {"{\"a\":" T("F32", "[2]", "[0,8]") "}", 9, "9 bytes of data, its tensors hold 8"},
    {"{\"a\":" T("F32", "[2]", "[4,12]") "}", 12, "gap"},
    {"{\"a\":" T("F32", "[2]", "[0,8]") ",\"b\":" T("F32", "[2]", "[4,12]") "}", 12, "overlap"},
    {"{\"a\":" T("F32", "[2]", "[0,8]") ",\"b\":" T("F32", "[2]", "[0,8]") "}", 8, "overlap"},
    {"{\"a\":" T("F32", "[1]", "[0,4]") ",\"b\":" T("F32", "[1]", "[8,12]") "}", 12, "gap"},
    {"{\"a\":" T("F32", "[2]", "[0,4]") "}", 4, "4 bytes, its shape wants 8"},
    {"{\"a\":" T("F32", "[2]", "[-4,4]") "}", 8, "outside"},
    {"{\"a\":" T("F32", "[2]", "[8,0]") "}", 8, "outside"},
    {"{\"a\":" T("F32", "[2]", "[0,9223372036854775807]") "}", 8, "outside"},
    {"{\"a\":" T("F32", "[2]", "[0,9223372036854775808]") "}", 8, "too big integer"},
    {"{\"a\":" T("F32", "[-2]", "[0,8]") "}", 8, "dimension 0 is not a whole number"},
    {"{\"a\":" T("F32", "[2.0]", "[0,8]") "}", 8, "dimension 0 is not a whole number"},
    {"{\"a\":" T("F32", "[1,\"2\"]", "[0,8]") "}", 8, "dimension 1 is not a whole number"},
    {"{\"a\":" T("F32", "2", "[0,8]") "}", 8, "shape"},
    {"{\"a\":" T("F32", "[1,1,1,1,2]", "[0,8]") "}", 8, "at most 4"},
    {"{\"a\":" T("F32", "[4611686018427387904,2]", "[0,0]") "}", 8, "elements"},
    {"{\"a\":" T("F32", "[4611686018427387905,4]", "[0,8]") "}", 8, "elements"},
    {"{\"a\":" T("F32", "[4611686018427387904,4,0]", "[0,0]") "}", 0, "elements"},
    {"{\"a\":" T("F32", "[2]", "[0]") "}", 8, "two data_offsets"},
    {"{\"a\":" T("F32", "[2]", "[0,8.0]") "}", 8, "two data_offsets"},
    {"{\"a\":" T("F32", "[2]", "{\"0\":0}") "}", 8, "two data_offsets"},
    {"{\"a\":" T("F32", "[2]", "[0,8]") ",\"a\":" T("F32", "[2]", "[0,8]") "}", 8, "duplicate"},
    {"{\"a\\u0000b\":" T("F32", "[2]", "[0,8]") "}", 8, "header"},
    {"{\"\xff\":" T("F32", "[2]", "[0,8]") "}", 8, "header"},
};

static void test_hostile(void **state)
{
    (void)state;
    const char *path = file_in_folder("h.safetensors");
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; ++i) {
        asd_safetensors s;
        write_raw(path, strlen(hostile[i].header), hostile[i].header, hostile[i].bytes);
        if (!hostile[i].message) {
            assert_ok(asd_safetensors_open(path, &s));
            asd_safetensors_close(&s);
            continue;
        }
        asd_status st = asd_safetensors_open(path, &s);
        if (st != ASD_E_DATA || !strstr(asd_error_text(), hostile[i].message) ||
            !strstr(asd_error_text(), path))
            fail_msg("%s: %s \"%s\", want \"%s\" and the file's name", hostile[i].header,
                     asd_status_name(st), st ? asd_error_text() : "", hostile[i].message);
        assert_null(s.tensor);
        assert_null(s.map);
    }
}

static void test_hostile_length(void **state)
{
    (void)state;
    asd_safetensors s;
    const char     *path  = file_in_folder("l.safetensors");
    const uint64_t  bad[] = {
         3, 1, 1000, (uint64_t)1 << 40, UINT64_MAX, UINT64_MAX - 7, (uint64_t)100 << 20};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; ++i) {
        write_raw(path, bad[i], "{}", 0);
        assert_fails(asd_safetensors_open(path, &s), ASD_E_DATA, path);
    }
    put(path, "", 0);
    assert_fails(asd_safetensors_open(path, &s), ASD_E_DATA, "0 bytes, want at least 8");
    put(path, "\2\0\0\0\0\0\0", 7);
    assert_fails(asd_safetensors_open(path, &s), ASD_E_DATA, "7 bytes");
    assert_fails(asd_safetensors_open("/nonexistent", &s), ASD_E_DATA, "/nonexistent");
    assert_fails(asd_safetensors_open("/", &s), ASD_E_DATA, "not a safetensors file");
    asd_safetensors_close(&s);
}

/* Every prefix of a good file, then thousands of files with a few bytes changed, cut, doubled or
 * moved: each opens whole or is refused, and what opens lies inside the file. */
static int try_mutant(const char *path, const char *data, size_t size)
{
    asd_safetensors s;
    put(path, data, size);
    if (asd_safetensors_open(path, &s)) {
        assert_true(strlen(asd_error_text()) > 0);
        return 0;
    }
    size_t sum = 0;
    for (int64_t i = 0; i < s.n; ++i) {
        const char *x = s.tensor[i].data;
        size_t bytes  = (size_t)asd_count(s.tensor[i].shape) * asd_dtype_size(s.tensor[i].dtype);
        assert_true(x >= (char *)s.map && x + bytes <= (char *)s.map + s.map_bytes);
        sum += bytes;
    }
    assert_true(sum <= size);
    asd_safetensors_close(&s);
    return 1;
}

static void test_mutants(void **state)
{
    (void)state;
    static const char interesting[] = "{}[]\":,-0123456789 \\eE.\xff\x80u";
    char             *good, mutant[4096], path[PATH_MAX];
    size_t            size;
    int               opened = 0;
    asd_rng           r;
    snprintf(path, sizeof path, "%s", file_in_folder("m.safetensors"));
    assert_ok(asd_safetensors_write(path, whole, 5, metadata, 2));
    assert_ok(asd_read_file(path, sizeof mutant / 2, &good, &size));
    assert_true(try_mutant(path, good, size));
    for (size_t n = 0; n < size; ++n)
        assert_false(try_mutant(path, good, n));
    asd_rng_init(&r, 11, ASD_RNG_TEST, 0, 0);
    for (int k = 0; k < 6000; ++k) {
        size_t n = size;
        memcpy(mutant, good, size);
        for (uint32_t edits = 1 + asd_rng_below(&r, 3); edits; --edits) {
            size_t at   = asd_rng_below(&r, 4) ? 8 + asd_rng_below(&r, (uint32_t)n - 8)
                                               : asd_rng_below(&r, 8);
            size_t many = 1 + asd_rng_below(&r, 12);
            many        = at + many > n ? n - at : many;
            switch (asd_rng_below(&r, 5)) {
            case 0: mutant[at] = (char)asd_rng_u32(&r); break;
            case 1: mutant[at] = interesting[asd_rng_below(&r, sizeof interesting - 1)]; break;
            case 2: mutant[at] ^= (char)(1 << asd_rng_below(&r, 8)); break;
            case 3: /* cut */
                memmove(mutant + at, mutant + at + many, n - at - many);
                n -= many;
                break;
            default: /* double */ memmove(mutant + at + many, mutant + at, n - at); n += many;
            }
            if (n < 16)
                break;
        }
        opened += try_mutant(path, mutant, n);
    }
    /* most edits of numbers and names are seen; those of data and metadata cannot be */
    assert_true(opened > 100 && opened < 4000);
    free(good);
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("nn/params/official-count", test_official_count),
    ASD_CASE("nn/params/layout-and-padding", test_layout),
    ASD_CASE("nn/params/initial-values", test_initial_values),
    ASD_CASE("nn/params/initial-bits", test_initial_bits),
    ASD_CASE("nn/adam/50-steps-in-double", test_adam),
    ASD_CASE("nn/adam/threads", test_adam_threads),
    ASD_CASE("nn/safetensors/round-trip", test_round_trip),
    ASD_CASE("nn/safetensors/layout", test_layout_of_file),
    ASD_CASE("nn/safetensors/write-refuses", test_write_refuses),
    ASD_CASE("nn/safetensors/hostile-header", test_hostile),
    ASD_CASE("nn/safetensors/hostile-length", test_hostile_length),
    ASD_CASE("nn/safetensors/mutants", test_mutants),
};

ASD_TEST_MAIN(cases)
