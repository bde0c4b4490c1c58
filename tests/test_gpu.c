/* test_gpu.c - the device's interface (cuda/gpu.h) and the opening of CUDA's libraries. Built once
 * with the program's own device code and once against the one that runs kernels on the CPU; cases
 * that need a device skip where there is none.
 */
#include "harness.h"
#include "ref/nets.h"

#include "base/device.h"
#include "cuda/gpu.h"
#include "cuda/libraries.h"
#include "kernels/cpu_bf16.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- libraries --- */

/* Any library serves; one that tells no version counts as 0.0.0. */
static const asd_library_spec absent = {
    .name       = "cuNothing",
    .sonames    = {"libcunothing.so.13", "libcunothing.so.12"},
    .version    = "cunothingGetVersion",
    .major_unit = 1000,
    .pip_folder = "cunothing",
    .install    = "it cannot be installed",
};

static const asd_library_spec maths = {
    .name       = "maths",
    .sonames    = {"libcunothing.so.13", "libm.so.6"},
    .version    = "noSuchFunction",
    .major_unit = 1000,
    .pip_folder = "maths",
    .install    = "every system has it",
};

static void test_library_absent(void **state)
{
    (void)state;
    asd_library l;
    unsetenv("ASD_CUDA_LIBRARIES");
    assert_int_equal(setenv("CUDA_HOME", "/a cuda", 1), 0);
    assert_fails(asd_library_open(&absent, &l), ASD_E_DEVICE, "cuNothing is needed");
    static const char *const told[] = {"libcunothing.so.13, libcunothing.so.12",
                                       "linker's path",
                                       "/a cuda/lib64",
                                       "/a cuda/lib",
                                       "/usr/local/cuda/lib64",
                                       "it cannot be installed"};
    for (size_t i = 0; i < sizeof told / sizeof *told; ++i)
        if (!asd_test_contains(asd_error_text(), told[i]))
            fail_msg("\"%s\" lacks \"%s\"", asd_error_text(), told[i]);
    assert_null(l.handle);
    unsetenv("CUDA_HOME");
}

static void test_library_open(void **state)
{
    (void)state;
    asd_library l;
    void       *symbol;
    unsetenv("ASD_CUDA_LIBRARIES");
    assert_ok(asd_library_open(&maths, &l));
    assert_string_equal(l.version, "0.0.0");
    assert_ok(asd_library_function(&l, "cosf", &symbol));
    assert_non_null(symbol);
    assert_fails(asd_library_function(&l, "cufftExecR2C", &symbol), ASD_E_DEVICE,
                 "maths 0.0.0 has no function cufftExecR2C");
    assert_null(symbol);
}

/* Found, and of a version that will not do. */
static void test_library_old(void **state)
{
    (void)state;
    asd_library      l;
    asd_library_spec old = maths;
    old.oldest_major     = 11;
    assert_fails(asd_library_open(&old, &l), ASD_E_DEVICE, "needs 11.0 or later");
    assert_null(l.handle);
}

/* A file of that name that is no library: the reason is told, not "not found" alone. */
static void test_library_damaged(void **state)
{
    (void)state;
    char        path[512];
    asd_library l;
    const char *folder = asd_test_folder();
    snprintf(path, sizeof path, "%s/libcunothing.so.12", folder);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs("this is no library", f);
    fclose(f);
    assert_int_equal(setenv("ASD_CUDA_LIBRARIES", folder, 1), 0);
    assert_fails(asd_library_open(&absent, &l), ASD_E_DEVICE, path);
    assert_fails(asd_library_open(&maths, &l), ASD_E_DEVICE, "maths"); /* that folder only */
    unsetenv("ASD_CUDA_LIBRARIES");
}

static void test_library_versions(void **state)
{
    (void)state;
    char        text[256], small[24], folder[512];
    const char *names[] = {"cuBLASLt ", "cuFFT ", "cuDNN ", "NCCL "};
    snprintf(folder, sizeof folder, "%s", asd_test_folder());
    assert_int_equal(setenv("ASD_CUDA_LIBRARIES", folder, 1), 0);
    assert_string_equal(asd_library_versions(text, sizeof text),
                        "cuBLASLt not found, cuFFT not found, cuDNN not found, NCCL not found");
    assert_string_equal(asd_library_versions(small, sizeof small), "cuBLASLt not found, cuF");
    unsetenv("ASD_CUDA_LIBRARIES");
    for (size_t i = 0; i < sizeof names / sizeof *names; ++i)
        assert_true(asd_test_contains(asd_library_versions(text, sizeof text), names[i]));
}

/* --- without a device --- */

static int devices(void)
{
    const char *why;
    return asd_cuda_count(&why);
}

static void test_no_device(void **state)
{
    (void)state;
    const char  *why = NULL;
    asd_gpu     *g;
    asd_gpu_info info;
    asd_device   chosen;
    if (asd_cuda_count(&why))
        skip();
    assert_true(strlen(why) > 10 && !strchr(why, '\n'));
    assert_fails(asd_gpu_open(0, &g), ASD_E_DEVICE, why);
    assert_null(g);
    assert_fails(asd_gpu_ask(0, &info), ASD_E_DEVICE, why);
    assert_fails(asd_device_choose("cuda", &chosen), ASD_E_DEVICE, why);
    assert_ok(asd_device_choose("auto", &chosen));
    assert_int_equal(chosen.cuda, 0);
}

/* What a user sees: exit code 4 and one line. */
static void test_program_without(void **state)
{
    (void)state;
    char        line[1024], *out;
    const char *bin = getenv("ASD_BIN");
    if (devices())
        skip();
    snprintf(line, sizeof line,
             "'%s/asd-train' '%s/recipes/dcase-baseline.yaml' --device cuda 2>&1",
             bin && *bin ? bin : "build", asd_test_source());
    assert_int_equal(asd_test_shell(line, &out), 4);
    char *end = strchr(out, '\n');
    if (!end || end[1] || !asd_test_contains(out, "--device cuda: "))
        fail_msg("want one line, got: %s", out);
    free(out);
}

/* --- a device --- */

typedef struct device {
    asd_gpu    *gpu;
    asd_stream *stream, *other;
    float      *a, *b;    /* (N) on the device */
    float      *x, *back; /* (N) page-locked */
} device;

enum { N = 3001 };

static void device_new(device *d)
{
    const size_t bytes = N * sizeof(float);
    assert_ok(asd_gpu_open(0, &d->gpu));
    assert_ok(asd_stream_new(d->gpu, &d->stream));
    assert_ok(asd_stream_new(d->gpu, &d->other));
    assert_ok(asd_gpu_alloc(d->gpu, bytes, "a", "", (void **)&d->a));
    assert_ok(asd_gpu_alloc(d->gpu, bytes, "b", "", (void **)&d->b));
    assert_ok(asd_gpu_alloc_pinned(d->gpu, bytes, "x", (void **)&d->x));
    assert_ok(asd_gpu_alloc_pinned(d->gpu, bytes, "back", (void **)&d->back));
    for (int i = 0; i < N; ++i)
        d->x[i] = (float)(i % 97 - 48);
}

static void device_free(device *d)
{
    asd_gpu_free(d->gpu, d->a);
    asd_gpu_free(d->gpu, d->b);
    asd_gpu_free_pinned(d->gpu, d->x);
    asd_gpu_free_pinned(d->gpu, d->back);
    asd_stream_free(d->stream);
    asd_stream_free(d->other);
    asd_gpu_close(d->gpu);
}

/* d->b = relu(d->a), or of nothing at all. */
static asd_status relu(device *d, asd_stream *s, int64_t n)
{
    asd_tensor x = {d->a, NULL, ASD_F32, ASD_F32, ASD_SHAPE1(n)},
               y = {d->b, NULL, ASD_F32, ASD_F32, ASD_SHAPE1(n)};
    asd_call c   = {.op = &asd_op_relu, .n_in = 1, .x = {x}, .y = y, .stream = s};
    return asd_op_relu.fwd[ASD_CUDA](&c);
}

static void expect_relu(const device *d, int n)
{
    for (int i = 0; i < n; ++i)
        if (d->back[i] != fmaxf(0, d->x[i]))
            fail_msg("element %d is %g, want relu(%g)", i, (double)d->back[i], (double)d->x[i]);
}

static void test_open(void **state)
{
    (void)state;
    asd_gpu     *g;
    asd_gpu_info info, again;
    char         text[256];
    if (!devices())
        skip();
    assert_fails(asd_gpu_open(99, &g), ASD_E_DEVICE, "99");
    assert_null(g);
    assert_fails(asd_gpu_open(-1, &g), ASD_E_DEVICE, "-1");
    assert_fails(asd_gpu_ask(99, &info), ASD_E_DEVICE, "there");
    assert_ok(asd_gpu_ask(0, &info));
    assert_true(strlen(info.name) > 2 && info.major >= 8 && info.sms > 0);
    assert_true(info.total_bytes >= info.free_bytes && info.free_bytes > 0);
    assert_ok(asd_gpu_open(0, &g));
    assert_ok(asd_gpu_query(g, &again));
    assert_string_equal(info.name, again.name);
    assert_true(strlen(asd_gpu_libraries(text, sizeof text)) > 3);
    asd_gpu_close(g);
    asd_gpu_close(NULL);
    asd_stream_free(NULL);
    asd_event_free(NULL);
    asd_graph_free(NULL);
    asd_gpu_free(NULL, NULL);
}

static void test_memory(void **state)
{
    (void)state;
    if (!devices())
        skip();
    device d;
    void  *p;
    device_new(&d);
    assert_int_equal((uintptr_t)d.a % 256, 0);
    assert_int_equal((uintptr_t)d.b % 256, 0);
    memset(d.back, 1, N * sizeof(float));
    assert_ok(asd_stream_download(d.stream, d.back, d.a, N * sizeof(float)));
    assert_ok(asd_stream_wait(d.stream));
    for (int i = 0; i < N; ++i)
        assert_true(d.back[i] == 0); /* new memory is zero */
    assert_fails(asd_gpu_alloc(d.gpu, (size_t)1 << 45, "the moon", "moon.size", &p), ASD_E_OOM,
                 "the moon");
    assert_null(p);
    assert_true(asd_test_contains(asd_error_text(), "moon.size"));
    assert_ok(asd_gpu_alloc(d.gpu, 100, "a little", "", &p)); /* it goes on */
    asd_gpu_free(d.gpu, p);
    device_free(&d);
}

/* Up, over, zeroed in part, down; a count of no bytes touches nothing. */
static void test_copies(void **state)
{
    (void)state;
    if (!devices())
        skip();
    device d;
    device_new(&d);
    const size_t bytes = N * sizeof(float);
    assert_ptr_equal(asd_stream_gpu(d.stream), d.gpu);
    assert_true(asd_stream_sms(d.stream) > 0);
    assert_ok(asd_stream_upload(d.stream, d.a, d.x, bytes));
    assert_ok(asd_stream_copy(d.stream, d.b, d.a, bytes));
    assert_ok(asd_stream_zero(d.stream, d.b + 5, 7 * sizeof(float)));
    assert_ok(asd_stream_zero(d.stream, d.b, 0));
    assert_ok(asd_stream_copy(d.stream, NULL, NULL, 0));
    assert_ok(asd_stream_upload(d.stream, NULL, NULL, 0));
    assert_ok(asd_stream_download(d.stream, d.back, d.b, bytes));
    assert_ok(asd_stream_wait(d.stream));
    for (int i = 0; i < N; ++i)
        assert_true(d.back[i] == (i >= 5 && i < 12 ? 0 : d.x[i]));
    device_free(&d);
}

/* One stream makes what another takes. */
static void test_events(void **state)
{
    (void)state;
    if (!devices())
        skip();
    device     d;
    asd_event *begin, *end;
    double     seconds = -1;
    device_new(&d);
    assert_ok(asd_event_new(d.gpu, &begin));
    assert_ok(asd_event_new(d.gpu, &end));
    assert_ok(asd_event_wait(begin)); /* never recorded: nothing to wait for */
    assert_ok(asd_event_record(begin, d.stream));
    assert_ok(asd_stream_upload(d.stream, d.a, d.x, N * sizeof(float)));
    assert_ok(relu(&d, d.stream, N));
    assert_ok(asd_event_record(end, d.stream));
    assert_ok(asd_stream_after(d.other, end));
    assert_ok(asd_stream_download(d.other, d.back, d.b, N * sizeof(float)));
    assert_ok(asd_stream_wait(d.other));
    expect_relu(&d, N);
    assert_ok(asd_event_wait(end));
    assert_ok(asd_event_seconds(begin, end, &seconds));
    assert_true(seconds >= 0 && seconds < 10);
    asd_event_free(begin);
    asd_event_free(end);
    device_free(&d);
}

static void test_bad_launch(void **state)
{
    (void)state;
    if (!devices())
        skip();
    device d;
    device_new(&d);
    assert_fails(relu(&d, d.stream, 0), ASD_E_DEVICE, "launch of (relu_fwd_k<T>), grid (0, 1, 1)");
    assert_ok(asd_stream_wait(d.stream)); /* refused, not run: nothing is wrong with the device */
    assert_ok(asd_stream_upload(d.stream, d.a, d.x, N * sizeof(float)));
    assert_ok(relu(&d, d.stream, N));
    assert_ok(asd_stream_download(d.stream, d.back, d.b, N * sizeof(float)));
    assert_ok(asd_stream_wait(d.stream));
    expect_relu(&d, N);
    device_free(&d);
}

/* --- captures --- */

typedef struct recording {
    device    *d;
    asd_event *fork, *join; /* not NULL: the kernel runs on the other stream */
    int        fails;
} recording;

static asd_status record(void *ctx)
{
    recording  *r = ctx;
    device     *d = r->d;
    asd_stream *s = r->fork ? d->other : d->stream;
    ASD_TRY(asd_stream_upload(d->stream, d->a, d->x, N * sizeof(float)));
    if (r->fork) {
        ASD_TRY(asd_event_record(r->fork, d->stream));
        ASD_TRY(asd_stream_after(d->other, r->fork));
    }
    if (!asd_stream_capturing(s))
        return ASD_FAIL(ASD_E_CHECK, "the stream does not know that it is captured");
    ASD_TRY(relu(d, s, r->fails ? 0 : N));
    if (r->fork) {
        ASD_TRY(asd_event_record(r->join, d->other));
        ASD_TRY(asd_stream_after(d->stream, r->join));
    }
    return asd_stream_download(d->stream, d->back, d->b, N * sizeof(float));
}

static void capture_and_launch(device *d, recording *r)
{
    asd_graph *graph;
    memset(d->back, 1, N * sizeof(float));
    assert_ok(asd_capture(d->stream, record, r, &graph));
    assert_int_equal(asd_stream_capturing(d->stream), 0);
    assert_ok(asd_stream_wait(d->stream));
    assert_true(d->back[0] != 0); /* recorded, not run */
    assert_true(asd_graph_nodes(graph) >= 3);
    for (int k = 0; k < 3; ++k) {
        for (int i = 0; i < N; ++i)
            d->x[i] += (float)k; /* the host's memory is read at each launch */
        assert_ok(asd_graph_launch(graph, d->stream));
        assert_ok(asd_stream_wait(d->stream));
        expect_relu(d, N);
    }
    asd_graph_free(graph);
}

static void test_capture(void **state)
{
    (void)state;
    if (!devices())
        skip();
    device d;
    device_new(&d);
    recording r = {.d = &d};
    capture_and_launch(&d, &r);
    assert_ok(asd_event_new(d.gpu, &r.fork));
    assert_ok(asd_event_new(d.gpu, &r.join));
    capture_and_launch(&d, &r);
    asd_event_free(r.fork);
    asd_event_free(r.join);
    device_free(&d);
}

/* What failed inside is told, and the stream works afterwards. */
static void test_capture_fails(void **state)
{
    (void)state;
    if (!devices())
        skip();
    device     d;
    asd_graph *graph = NULL;
    device_new(&d);
    recording r = {.d = &d, .fails = 1};
    assert_fails(asd_capture(d.stream, record, &r, &graph), ASD_E_DEVICE, "launch of");
    assert_null(graph);
    r.fails = 0;
    assert_ok(asd_capture_begin(d.stream));
    assert_true(asd_capture_begin(d.stream) == ASD_E_DEVICE); /* it is being captured already */
    if (!asd_capture_end(d.stream, &graph))
        asd_graph_free(graph);
    capture_and_launch(&d, &r);
    device_free(&d);
}

/* --- a parameter store's copy on the device --- */

typedef struct store {
    asd_gpu    *gpu;
    asd_stream *stream;
    asd_params  params;
    asd_tape    tape;
    asd_rng     rng;
} store;

static void store_new(store *r, uint64_t seed)
{
    memset(r, 0, sizeof *r);
    assert_ok(asd_gpu_open(0, &r->gpu));
    assert_ok(asd_stream_new(r->gpu, &r->stream));
    asd_params_init(&r->params);
    asd_tape_init(&r->tape, &r->params, 1);
    asd_rng_init(&r->rng, seed, ASD_RNG_TEST, asd_rng_hash("gpu"), 0);
}

static void store_free(store *r)
{
    asd_tape_clear(&r->tape);
    asd_params_clear(&r->params);
    asd_stream_free(r->stream);
    asd_gpu_close(r->gpu);
}

static float *copy_of(const float *x, int64_t n)
{
    float *y = malloc((size_t)n * sizeof *y + 1);
    memcpy(y, x, (size_t)n * sizeof *y);
    return y;
}

static void test_bf16_rounding(void **state)
{
    (void)state;
    if (!devices())
        skip();
    /* halfway cases go to even; NaN stays NaN, and large numbers become infinite */
    static const struct {
        uint32_t f32;
        uint16_t bf16;
    } known[] = {{0x3f800000, 0x3f80}, {0x3f808000, 0x3f80}, {0x3f808001, 0x3f81},
                 {0x3f818000, 0x3f82}, {0x7f7fffff, 0x7f80}, {0x80000001, 0x8000},
                 {0xff800000, 0xff80}, {0x7f800001, 0x7fc0}};
    enum { KNOWN = sizeof known / sizeof *known };
    store    r;
    uint16_t got[KNOWN];
    store_new(&r, 32);
    asd_tape_param_bf16(&r.tape, "w", ASD_SHAPE1(KNOWN), ASD_INIT_ZERO, 0);
    assert_ok(asd_params_alloc(&r.params, 1));
    for (int i = 0; i < KNOWN; ++i)
        memcpy(&r.params.w[i], &known[i].f32, sizeof known[i].f32);
    assert_ok(asd_params_to_gpu(&r.params, r.stream));
    assert_ok(asd_stream_download(r.stream, got, r.params.on_gpu.w16, sizeof got));
    assert_ok(asd_stream_wait(r.stream));
    for (int i = 0; i < KNOWN; ++i)
        if (got[i] != known[i].bf16)
            fail_msg("%08x became %04x, want %04x", known[i].f32, got[i], known[i].bf16);
    store_free(&r);
}

static void test_params_there_and_back(void **state)
{
    (void)state;
    if (!devices())
        skip();
    store r;
    store_new(&r, 41);
    asd_params *p = &r.params;
    asd_val     x = asd_tape_input(&r.tape, "x", ASD_F32, ASD_SHAPE2(3, 5));
    asd_batchnorm(&r.tape, asd_linear(&r.tape, x, "a", 7), "n",
                  (asd_batchnorm_attr){1e-3f, 0.01f, 0});
    asd_ref_random_weights(p, &r.rng, 1);
    float *blocks[] = {p->w, p->m, p->v, p->state}, *kept[4];
    for (int k = 0; k < 4; ++k) {
        int64_t n = k == 3 ? p->n_state : p->n_trainable;
        asd_ref_fill(&r.rng, blocks[k], n);
        kept[k] = copy_of(blocks[k], n);
    }
    p->g[3] = 5;
    for (int twice = 0; twice < 2; ++twice) { /* again: the memory is kept */
        float *before = p->on_gpu.w;
        assert_ok(asd_params_to_gpu(p, r.stream));
        assert_true(!twice || before == p->on_gpu.w);
        for (int k = 0; k < 4; ++k)
            memset(blocks[k], 0, (size_t)(k == 3 ? p->n_state : p->n_trainable) * sizeof(float));
        assert_ok(asd_params_from_gpu(p, r.stream));
        for (int k = 0; k < 4; ++k)
            assert_memory_equal(blocks[k], kept[k],
                                (size_t)(k == 3 ? p->n_state : p->n_trainable) * sizeof(float));
    }
    assert_true(p->g[3] == 0);
    for (int k = 0; k < 4; ++k)
        free(kept[k]);
    store_free(&r);
}

/* Values that lie elsewhere go to their places in the whole blocks, and only others come back. */
static void test_params_mapped(void **state)
{
    (void)state;
    if (!devices())
        skip();
    store r;
    float x[35], got[64];
    store_new(&r, 42);
    asd_params *p = &r.params;
    asd_tape_param(&r.tape, "first", ASD_SHAPE1(3), ASD_INIT_ZERO, 0);
    asd_tape_param_bf16(&r.tape, "mapped", ASD_SHAPE2(5, 7), ASD_INIT_ZERO, 0);
    asd_ref_fill(&r.rng, x, 35);
    asd_params_map(p, 1, x);
    assert_ok(asd_params_alloc(p, 0));
    memcpy(asd_params_value(p, 0), x, 3 * sizeof *x);
    assert_int_equal(p->n_trainable, 16 + 48);
    assert_ok(asd_params_to_gpu(p, r.stream));
    assert_ok(asd_stream_download(r.stream, got, p->on_gpu.w, sizeof got));
    assert_ok(asd_stream_wait(r.stream));
    assert_memory_equal(got, x, 3 * sizeof *x);
    assert_memory_equal(got + 16, x, sizeof x);
    for (int i = 3; i < 64; ++i)
        assert_true((i >= 16 && i < 51) || got[i] == 0); /* padding */
    uint16_t got16[64];
    assert_ok(asd_stream_download(r.stream, got16, p->on_gpu.w16, sizeof got16));
    assert_ok(asd_stream_wait(r.stream));
    for (int i = 0; i < 64; ++i)
        assert_int_equal(got16[i], asd_bf16_of(got[i]));
    memset(asd_params_value(p, 0), 0, 3 * sizeof *x);
    assert_ok(asd_params_from_gpu(p, r.stream));
    assert_memory_equal(asd_params_value(p, 0), x, 3 * sizeof *x);
    assert_ptr_equal(asd_params_peek(p, 1), x);
    store_free(&r);
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("gpu/library/absent", test_library_absent),
    ASD_CASE("gpu/library/open", test_library_open),
    ASD_CASE("gpu/library/old", test_library_old),
    ASD_CASE("gpu/library/damaged", test_library_damaged),
    ASD_CASE("gpu/library/versions", test_library_versions),
    ASD_CASE("gpu/none/one-clear-line", test_no_device),
    ASD_CASE("gpu/none/exit-code", test_program_without),
    ASD_CASE("gpu/device/open-and-ask", test_open),
    ASD_CASE("gpu/device/memory", test_memory),
    ASD_CASE("gpu/stream/copies", test_copies),
    ASD_CASE("gpu/stream/events", test_events),
    ASD_CASE("gpu/stream/refused-launch", test_bad_launch),
    ASD_CASE("gpu/capture/launch-again", test_capture),
    ASD_CASE("gpu/capture/failure-inside", test_capture_fails),
    ASD_CASE("gpu/params/bf16-rounding", test_bf16_rounding),
    ASD_CASE("gpu/params/there-and-back", test_params_there_and_back),
    ASD_CASE("gpu/params/mapped", test_params_mapped),
};

ASD_TEST_MAIN(cases)
