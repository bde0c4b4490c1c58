/* test_encoder_golden.c - small encoders against the original implementations: every layer, the
 * loss and all gradients (golden/encoders/, made by make_encoders.py there). */
#include "harness.h"
#include "ref/encoder_synth.h"
#include "ref/synthetic.h"

#include "base/file.h"
#include "nn/safetensors.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

typedef struct golden {
    const char *kind, *file;
    int64_t     samples;
    int         first_layer; /* of the file's layer.0 */
} golden;

static double norm2(const float *x, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; ++i)
        sum += (double)x[i] * (double)x[i];
    return sqrt(sum);
}

static float *copy_of(const asd_st_tensor *t)
{
    size_t bytes = (size_t)asd_count(t->shape) * sizeof(float);
    float *x     = malloc(bytes);
    memcpy(x, t->data, bytes);
    return x;
}

/* Tokens of every layer; returns how many layers the file has. */
static int check_layers(const golden *g, const asd_encoder_desc *d, const asd_safetensors *s,
                        const float *x)
{
    asd_encoder *e = asd_synth_encoder(g->kind, d);
    int          n = 0;
    for (;; ++n) {
        char name[32];
        snprintf(name, sizeof name, "layer.%d", n);
        const asd_st_tensor *t = asd_safetensors_find(s, name);
        if (!t)
            break;
        asd_encoder_run *r;
        int              layer = n + g->first_layer;
        int64_t          count = asd_count(t->shape);
        assert_ok(asd_encoder_plan(e, 1, g->samples, &layer, 1, ASD_POOL_NONE, NULL, 0, &r));
        assert_int_equal(asd_encoder_rows(r) * asd_encoder_dim(r), count);
        float *want = copy_of(t), *y = malloc((size_t)count * sizeof *y);
        assert_ok(asd_encoder_forward(r, x, y));
        double size = norm2(want, count) / sqrt((double)count);
        for (int64_t i = 0; i < count; ++i)
            if (!(fabs((double)y[i] - (double)want[i]) <= 2e-5 * size))
                fail_msg("%s, layer %d, element %ld: %.8g, want %.8g", g->file, layer, (long)i,
                         (double)y[i], (double)want[i]);
        free(want);
        free(y);
        asd_encoder_run_free(r);
    }
    asd_encoder_close(e);
    return n;
}

/* "grad.NAME" whole, "norm.NAME" the length alone. */
static int check_gradient(const golden *g, const synth_net *n, const asd_st_tensor *t)
{
    const char *core  = t->name + 5;
    int         whole = !strncmp(t->name, "grad.", 5);
    int64_t     count = asd_count(t->shape);
    if (!whole && strncmp(t->name, "norm.", 5) != 0)
        return 0;
    float *want = copy_of(t), *got = calloc((size_t)count, sizeof *got);
    double length = synth_net_grad(n, core, whole ? (int)count : 0, got), error = 0;
    double wanted = whole ? norm2(want, count) : (double)want[0];
    for (int64_t i = 0; whole && i < count; ++i)
        error += pow((double)got[i] - (double)want[i], 2);
    error = whole ? sqrt(error) : fabs(length - wanted);
    /* the last: gradients that are zero in theory, as that of a key's bias */
    if (!(error <= 2e-4 * wanted + 1e-4))
        fail_msg("%s: gradient of %s: length %g, want %g, off by %g", g->file, core, length, wanted,
                 error);
    free(want);
    free(got);
    return 1;
}

static void check(const golden *g)
{
    char             path[PATH_MAX];
    asd_safetensors  s;
    asd_encoder_desc d;
    synth_net        n;
    float           *x         = malloc((size_t)g->samples * sizeof *x), loss;
    int              gradients = 0;
    assert_ok(asd_encoder_default(g->kind, 1, &d));
    assert_ok(
        asd_path(path, "%s/tests/golden/encoders/%s.safetensors", asd_test_source(), g->file));
    assert_ok(asd_safetensors_open(path, &s));
    if (strcmp(g->kind, "beats") != 0)
        asd_synthetic_sweep(g->samples, x);
    else
        asd_synthetic_noise(g->samples, x);
    assert_int_equal(check_layers(g, &d, &s, x) + g->first_layer, d.depth + 1);
    synth_net_run(&n, &d, 1, g->samples, x, NULL, ASD_POOL_NONE, "cotangent", 1);
    assert_ok(asd_safetensors_get(&s, "loss", ASD_F32, ASD_SHAPE1(1), &loss));
    assert_near(synth_net_loss(&n), (double)loss, 1e-4 * fabs((double)loss) + 1e-3);
    for (int64_t i = 0; i < s.n; ++i)
        gradients += check_gradient(g, &n, &s.tensor[i]);
    assert_true(gradients > 25);
    synth_net_free(&n);
    asd_safetensors_close(&s);
    free(x);
}

static void test_beats(void **state)
{
    (void)state;
    check(&(golden){"beats", "beats", 9000, 0});
}

static void test_eat(void **state)
{
    (void)state;
    check(&(golden){"eat", "eat", 20000, 0});
}

static void test_dasheng(void **state)
{
    (void)state;
    check(&(golden){"dasheng", "dasheng", 20000, 1});
}

static void test_dasheng_chunks(void **state)
{
    (void)state;
    check(&(golden){"dasheng", "dasheng-chunks", 170000, 1});
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("models/originals/beats", test_beats),
    ASD_CASE("models/originals/eat", test_eat),
    ASD_CASE("models/originals/dasheng", test_dasheng),
    ASD_CASE("models/originals/dasheng-chunks", test_dasheng_chunks),
};
ASD_TEST_MAIN(cases)
