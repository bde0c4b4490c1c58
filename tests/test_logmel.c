/* test_logmel.c - what the cases of test_ops cannot say about the log-mel front-end, on every
 * backend that there is: silence beside noise, chunks of the cuFFT method, and what is refused. */
#include "op_rig.h"

#include "base/device.h"
#include "kernels/logmel.h"

#include <math.h>
#include <stdlib.h>

#define FLOOR 2.220446049250313e-16

static int n_backends(void)
{
    const char *why;
    return asd_cuda_count(&why) > 0 && asd_op_logmel.fwd[ASD_CUDA] ? 2 : 1;
}

/* The first half of the clip is loud, the second half digital silence. */
static void check_silence(const asd_logmel_attr *a, asd_backend backend)
{
    enum { S = 16384 };
    asd_case c = {.name      = "silence",
                  .n_in      = 1,
                  .attr      = a,
                  .in        = {{ASD_I16, {2, {1, S}}}},
                  .fill      = {ASD_FILL_PCM},
                  .inference = 1};
    op_rig   r;
    op_rig_new(&r, &asd_op_logmel, &c, backend, 0);
    for (int64_t i = S / 2; i < S; ++i)
        ((int16_t *)r.fresh[0])[i] = 0;
    op_rig_fwd(&r);
    int64_t      T = r.node.y.shape.d[1];
    const float *y = op_rig_host(&r.y);
    for (int64_t t = 0; t < T; ++t) {
        int64_t start = t * a->hop_samples - a->n_fft / 2;
        for (int64_t m = 0; m < a->n_mels; ++m) {
            double dB = (double)y[t * a->n_mels + m];
            if (start >= S / 2)
                assert_near(dB, 10 * log10(FLOOR), 2e-5);
            else if (start + a->n_fft <= S / 2 && !(dB > -110))
                fail_msg("n_fft %ld: band %ld of frame %ld is %g dB, which is noise of 66 dB below "
                         "full scale",
                         (long)a->n_fft, (long)m, (long)t, dB);
        }
    }
    op_rig_free(&r);
}

static void test_silence(void **state)
{
    (void)state;
    for (int64_t n_fft = 64; n_fft <= 4096; n_fft *= 2)
        for (int method = ASD_LOGMEL_FUSED; method <= ASD_LOGMEL_CUFFT; ++method)
            for (int backend = 0; backend < n_backends(); ++backend) {
                /* odd hop: about half of the frames start at odd samples */
                asd_logmel_attr a = {n_fft, n_fft / 2 + 1, 16, 16000, 200, 8000, FLOOR, method};
                check_silence(&a, (asd_backend)backend);
            }
}

/* Two chunks, the second with a row to spare. */
static void test_chunks(void **state)
{
    (void)state;
    static const asd_logmel_attr a = {32768, 16, 5, 16000, 0, 8000, FLOOR, ASD_LOGMEL_CUFFT};
    const asd_case               c = {.name      = "chunks",
                                      .n_in      = 1,
                                      .attr      = &a,
                                      .in        = {{ASD_F32, {2, {1, 4800}}}},
                                      .fill      = {ASD_FILL_PCM},
                                      .inference = 1};
    op_rig                       cpu, r;
    assert_int_equal(asd_logmel_chunk_rows(&a, 255), 255);
    assert_int_equal(asd_logmel_chunk_rows(&a, 301), 151);
    assert_int_equal(asd_logmel_chunk_rows(&a, 0), 0);
    op_rig_new(&cpu, &asd_op_logmel, &c, ASD_CPU, 0);
    assert_int_equal(cpu.node.y.shape.d[1], 301);
    assert_int_equal(cpu.node.fwd_work_bytes, 151 * (32768 + 2) * sizeof(float));
    op_rig_fwd(&cpu);
    for (int backend = 1; backend < n_backends(); ++backend) {
        op_rig_new(&r, &asd_op_logmel, &c, (asd_backend)backend, 0);
        op_rig_fwd(&r);
        const float *got = op_rig_host(&r.y), *want = op_rig_host(&cpu.y);
        for (int64_t i = 0; i < 301 * 5; ++i)
            assert_near((double)got[i], (double)want[i], 1e-4);
        op_rig_free(&r);
    }
    op_rig_free(&cpu);
}

static asd_status infer(int64_t n_fft, int method, size_t *work_bytes)
{
    asd_logmel_attr a = {n_fft, 5, 3, 16000, 0, 8000, FLOOR, method};
    asd_node        n = {
               .op = &asd_op_logmel, .attr = &a, .n_in = 1, .in = {{ASD_F32, ASD_SHAPE2(2, 99)}}};
    asd_status st = asd_op_logmel.infer(&n);
    *work_bytes   = n.fwd_work_bytes;
    return st;
}

static void test_method(void **state)
{
    (void)state;
    size_t work;
    assert_fails(infer(1000, ASD_LOGMEL_FUSED, &work), ASD_E_CONFIG, "n_fft 1000");
    assert_fails(infer(32, ASD_LOGMEL_FUSED, &work), ASD_E_CONFIG, "n_fft 32");
    assert_fails(infer(8192, ASD_LOGMEL_FUSED, &work), ASD_E_CONFIG, "n_fft 8192");
    assert_fails(infer(1024, 3, &work), ASD_E_CONFIG, "method 3");
    assert_fails(infer(1024, -1, &work), ASD_E_CONFIG, "method -1");
    assert_ok(infer(1024, ASD_LOGMEL_AUTO, &work));
    assert_int_equal(work, 0);
    assert_ok(infer(1024, ASD_LOGMEL_CUFFT, &work));
    assert_int_equal(work, 2 * 20 * 1026 * sizeof(float));
    assert_ok(infer(1000, ASD_LOGMEL_AUTO, &work));
    assert_int_equal(work, 2 * 20 * 1002 * sizeof(float));
}

static void test_too_long(void **state)
{
    (void)state;
    const asd_logmel_attr a = {65536, 5, 3, 16000, 0, 8000, FLOOR, ASD_LOGMEL_AUTO};
    asd_call              c = {.op   = &asd_op_logmel,
                               .attr = &a,
                               .n_in = 1,
                               .x    = {{.dtype = ASD_F32, .shape = ASD_SHAPE2(1, 9)}},
                               .y    = {.dtype = ASD_F32, .shape = ASD_SHAPE3(1, 2, 3)}};
    asd_gpu              *gpu;
    if (n_backends() < 2)
        skip();
    assert_ok(asd_gpu_open(0, &gpu));
    assert_ok(asd_stream_new(gpu, &c.stream));
    assert_fails(asd_op_logmel.prepare[ASD_CUDA](&c), ASD_E_CONFIG, "n_fft 65536");
    asd_op_logmel.release[ASD_CUDA](&c);
    asd_stream_free(c.stream);
    asd_gpu_close(gpu);
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("logmel/silence/beside-noise", test_silence),
    ASD_CASE("logmel/cufft/two-chunks", test_chunks),
    ASD_CASE("logmel/method/by-n_fft", test_method),
    ASD_CASE("logmel/cufft/n_fft-too-long", test_too_long),
};
ASD_TEST_MAIN(cases)
