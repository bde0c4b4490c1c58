/* test_gemm.c - matrix products on the device against sums in double: every transposition, rows
 * that lie apart, batches that share a matrix, biases, both precisions, store and add.
 */
#include "harness.h"

#include "base/device.h"
#include "base/rng.h"
#include "cuda/gemm.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct gemm_case {
    int       m, n, k, batch;
    int       ta, tb;
    asd_dtype dtype, y_dtype;
    int       beta, bias;
    int       pad;                          /* elements between rows */
    int       share_a, share_b, share_bias; /* one for the whole batch */
} gemm_case;

static const gemm_case all[] = {
    {1, 1, 1, 1, 0, 0, ASD_F32, ASD_F32, 0, 0, 0, 0, 0, 0},
    {256, 128, 640, 1, 0, 1, ASD_F32, ASD_F32, 0, 1, 0, 0, 0, 0}, /* a layer of the baseline */
    {256, 640, 128, 1, 0, 0, ASD_F32, ASD_F32, 1, 0, 0, 0, 0, 0},
    {128, 640, 256, 1, 1, 0, ASD_F32, ASD_F32, 1, 0, 0, 0, 0, 0},
    {37, 8, 13, 1, 1, 1, ASD_F32, ASD_F32, 0, 1, 3, 0, 0, 0},
    {1, 17, 29, 1, 0, 0, ASD_F32, ASD_F32, 0, 1, 5, 0, 0, 0},
    {23, 1, 7, 1, 0, 1, ASD_F32, ASD_F32, 1, 1, 1, 0, 0, 0},
    {24, 16, 40, 7, 0, 1, ASD_F32, ASD_F32, 0, 1, 0, 0, 0, 0},
    {11, 5, 9, 3, 0, 1, ASD_F32, ASD_F32, 0, 1, 0, 0, 0, 0}, /* odd steps: no 16-byte borders */
    {11, 5, 9, 3, 1, 0, ASD_F32, ASD_F32, 1, 0, 2, 1, 0, 0},
    {11, 8, 9, 3, 0, 0, ASD_F32, ASD_F32, 0, 1, 0, 0, 1, 1},
    {64, 96, 128, 1, 0, 1, ASD_BF16, ASD_BF16, 0, 1, 0, 0, 0, 0},
    {64, 96, 128, 1, 0, 0, ASD_BF16, ASD_BF16, 1, 0, 0, 0, 0, 0},
    {96, 64, 200, 1, 1, 0, ASD_BF16, ASD_F32, 1, 0, 0, 0, 0, 0}, /* dw: fp32 from bf16 */
    {13, 7, 21, 1, 0, 1, ASD_BF16, ASD_BF16, 0, 1, 1, 0, 0, 0},
    {16, 24, 32, 5, 0, 1, ASD_BF16, ASD_BF16, 0, 1, 0, 0, 0, 0},
    {16, 23, 32, 5, 0, 1, ASD_BF16, ASD_BF16, 0, 1, 0, 0, 0, 1},
    {16, 24, 32, 5, 1, 1, ASD_BF16, ASD_F32, 0, 1, 0, 0, 0, 0},
};
enum { N_CASES = sizeof all / sizeof *all };

static float bf16_value(uint16_t x)
{
    uint32_t bits = (uint32_t)x << 16;
    float    y;
    memcpy(&y, &bits, sizeof y);
    return y;
}

static uint16_t bf16_cut(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (uint16_t)(bits >> 16);
}

/* An array on both sides; `value` is what the device's bits mean. */
typedef struct array {
    asd_dtype dtype;
    int64_t   n;
    void     *host, *device;
    double   *value;
} array;

static asd_gpu    *gpu;
static asd_stream *stream;

static void array_new(array *x, asd_dtype dtype, int64_t n, asd_rng *rng)
{
    size_t bytes = (size_t)n * asd_dtype_size(dtype);
    *x           = (array){.dtype = dtype, .n = n};
    x->host      = malloc(bytes);
    x->value     = malloc((size_t)n * sizeof *x->value);
    for (int64_t i = 0; i < n; ++i) {
        float v = (float)(0.3 + asd_rng_normal(rng));
        if (dtype == ASD_BF16)
            ((uint16_t *)x->host)[i] = bf16_cut(v);
        else
            ((float *)x->host)[i] = v;
        x->value[i] = dtype == ASD_BF16 ? (double)bf16_value(bf16_cut(v)) : (double)v;
    }
    assert_ok(asd_gpu_alloc(gpu, bytes, "an array", "", &x->device));
    assert_ok(asd_stream_upload(stream, x->device, x->host, bytes));
    assert_ok(asd_stream_wait(stream));
}

static void array_free(array *x)
{
    asd_gpu_free(gpu, x->device);
    free(x->host);
    free(x->value);
}

static void array_read(array *x)
{
    assert_ok(
        asd_stream_download(stream, x->host, x->device, (size_t)x->n * asd_dtype_size(x->dtype)));
    assert_ok(asd_stream_wait(stream));
}

static double array_at(const array *x, int64_t i)
{
    return x->dtype == ASD_BF16 ? (double)bf16_value(((uint16_t *)x->host)[i])
                                : (double)((float *)x->host)[i];
}

/* Element (i, j) of matrix `batch` and the room its rounding may take: fp32 sums in any order, the
 * rounding of a bf16 result and of a bias that went through bf16. TF32's 10 bits are far outside.
 */
static double reference(const asd_cuda_gemm *g, const gemm_case *c, const array *a, const array *b,
                        const array *y, const array *bias, int64_t batch, int i, int j,
                        double *room)
{
    double sum = 0, size = 0;
    for (int k = 0; k < c->k; ++k) {
        double p = a->value[batch * g->step_a + (c->ta ? k * g->lda + i : i * g->lda + k)] *
                   b->value[batch * g->step_b + (c->tb ? j * g->ldb + k : k * g->ldb + j)];
        sum += p;
        size += fabs(p);
    }
    double add = c->bias ? bias->value[batch * g->step_bias + j] : 0;
    if (c->beta)
        add += y->value[batch * g->step_y + i * g->ldy + j];
    size += fabs(add);
    *room = (c->k + 2) * 6e-8 * size;
    if (c->y_dtype == ASD_BF16)
        *room += (fabs(sum + add) + (c->bias ? fabs(add) : 0) + fabs(sum)) / 256;
    return sum + add;
}

static asd_status run(void *ctx)
{
    return asd_cuda_gemm_run(stream, ctx);
}

static void check(const asd_cuda_gemm *g, const gemm_case *c, const array *a, const array *b,
                  array *y, const array *bias)
{
    size_t bytes = (size_t)y->n * asd_dtype_size(y->dtype);
    void  *fresh = malloc(bytes), *first = malloc(bytes);
    memcpy(fresh, y->host, bytes);
    assert_ok(asd_cuda_gemm_run(stream, g));
    array_read(y);
    memcpy(first, y->host, bytes);
    for (int64_t z = 0; z < c->batch; ++z)
        for (int i = 0; i < c->m; ++i)
            for (int j = 0; j < g->ldy; ++j) {
                int64_t at = z * g->step_y + i * g->ldy + j;
                double  room, got = array_at(y, at);
                if (j >= c->n) { /* between the rows: not ours */
                    if (got != y->value[at])
                        fail_msg("row %d of matrix %ld: written behind its end", i, (long)z);
                    continue;
                }
                double want = reference(g, c, a, b, y, bias, z, i, j, &room);
                if (!(fabs(got - want) <= room))
                    fail_msg("matrix %ld, (%d, %d): %.9g, want %.9g within %.2g", (long)z, i, j,
                             got, want, room);
            }
    /* the same bits again, and from a graph */
    asd_graph *graph;
    for (int k = 0; k < 2; ++k) {
        assert_ok(asd_stream_upload(stream, y->device, fresh, bytes));
        if (k) {
            assert_ok(asd_capture(stream, run, (void *)g, &graph));
            assert_ok(asd_graph_launch(graph, stream));
        } else {
            assert_ok(asd_cuda_gemm_run(stream, g));
        }
        array_read(y);
        assert_memory_equal(y->host, first, bytes);
    }
    asd_graph_free(graph);
    free(fresh);
    free(first);
}

static void run_case(const gemm_case *c, int number)
{
    array         a, b, y, bias;
    asd_rng       rng;
    int64_t       rows_a = c->ta ? c->k : c->m, rows_b = c->tb ? c->n : c->k;
    asd_cuda_gemm g = {.transpose_a = c->ta,
                       .transpose_b = c->tb,
                       .m           = c->m,
                       .n           = c->n,
                       .k           = c->k,
                       .batch       = c->batch,
                       .dtype       = c->dtype,
                       .y_dtype     = c->y_dtype,
                       .beta        = (float)c->beta,
                       .lda         = (c->ta ? c->m : c->k) + c->pad,
                       .ldb         = (c->tb ? c->k : c->n) + c->pad,
                       .ldy         = c->n + c->pad};
    g.step_a        = c->share_a ? 0 : rows_a * g.lda;
    g.step_b        = c->share_b ? 0 : rows_b * g.ldb;
    g.step_y        = c->m * g.ldy;
    g.step_bias     = c->share_bias ? 0 : c->n;
    asd_rng_init(&rng, 1, ASD_RNG_TEST, asd_rng_hash("gemm"), (uint64_t)number);
    array_new(&a, c->dtype, rows_a * g.lda * (c->share_a ? 1 : c->batch), &rng);
    array_new(&b, c->dtype, rows_b * g.ldb * (c->share_b ? 1 : c->batch), &rng);
    array_new(&y, c->y_dtype, g.step_y * c->batch, &rng);
    array_new(&bias, ASD_F32, c->n * (c->share_bias ? 1 : c->batch), &rng);
    g.a    = a.device;
    g.b    = b.device;
    g.y    = y.device;
    g.bias = c->bias ? bias.device : NULL;
    print_message("case %d: (%d, %d) x (%d, %d), batch %d, %s to %s%s%s\n", number, c->m, c->k,
                  c->k, c->n, c->batch, asd_dtype_name(c->dtype), asd_dtype_name(c->y_dtype),
                  c->bias ? ", bias" : "", c->beta ? ", added" : "");
    check(&g, c, &a, &b, &y, &bias);
    array_free(&a);
    array_free(&b);
    array_free(&y);
    array_free(&bias);
}

static void test_all(void **state)
{
    (void)state;
    const char *why;
    if (!asd_cuda_count(&why))
        skip();
    assert_ok(asd_gpu_open(0, &gpu));
    assert_ok(asd_stream_new(gpu, &stream));
    for (int i = 0; i < N_CASES; ++i)
        run_case(&all[i], i);
    asd_stream_free(stream);
    asd_gpu_close(gpu);
}

/* With beta 0 nothing of y is read: what lies there may be no number. */
static void test_not_read(void **state)
{
    (void)state;
    const char *why;
    if (!asd_cuda_count(&why))
        skip();
    float x[16], nan[16], got[16], *device;
    assert_ok(asd_gpu_open(0, &gpu));
    assert_ok(asd_stream_new(gpu, &stream));
    assert_ok(asd_gpu_alloc(gpu, 3 * sizeof x, "three", "", (void **)&device));
    for (int i = 0; i < 16; ++i) {
        x[i]   = i % 5 == 0; /* one */
        nan[i] = NAN;
    }
    assert_ok(asd_stream_upload(stream, device, x, sizeof x));
    assert_ok(asd_stream_upload(stream, device + 16, x, sizeof x));
    assert_ok(asd_stream_upload(stream, device + 32, nan, sizeof nan));
    asd_cuda_gemm g = {.m     = 4,
                       .n     = 4,
                       .k     = 4,
                       .batch = 1,
                       .a     = device,
                       .lda   = 4,
                       .b     = device + 16,
                       .ldb   = 4,
                       .y     = device + 32,
                       .ldy   = 4};
    assert_ok(asd_cuda_gemm_run(stream, &g));
    assert_ok(asd_stream_download(stream, got, device + 32, sizeof got));
    assert_ok(asd_stream_wait(stream));
    assert_memory_equal(got, x, sizeof got);
    asd_gpu_free(gpu, device);
    asd_stream_free(stream);
    asd_gpu_close(gpu);
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("gemm/equal/all-forms", test_all),
    ASD_CASE("gemm/store/not-read", test_not_read),
};

ASD_TEST_MAIN(cases)
