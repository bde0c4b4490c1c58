/* test_simt.c - the shim that proves kernels must itself be proven: kernels with one mistake each
 * (tests/simt/faults.cu,
 * faults_mma.cu) are reported with kernel, block and thread, their correct twins are not.
 */
#include "harness.h"

#include "cuda/gpu.h"

#include "simt/faults.h"

#include <string.h>

typedef struct rig {
    asd_gpu    *gpu;
    asd_stream *stream;
    float      *x, *y;
    int        *flag;
} rig;

static void rig_new(rig *r)
{
    assert_ok(asd_gpu_open(0, &r->gpu));
    assert_ok(asd_stream_new(r->gpu, &r->stream));
    assert_ok(asd_gpu_alloc(r->gpu, 64 * sizeof(float), "x", "", (void **)&r->x));
    assert_ok(asd_gpu_alloc(r->gpu, 64 * sizeof(float), "y", "", (void **)&r->y));
    assert_ok(asd_gpu_alloc(r->gpu, sizeof(int), "flag", "", (void **)&r->flag));
    for (int i = 0; i < 64; ++i)
        r->x[i] = (float)(i + 1);
}

static void rig_free(rig *r)
{
    asd_gpu_free(r->gpu, r->x);
    asd_gpu_free(r->gpu, r->y);
    asd_gpu_free(r->gpu, r->flag);
    asd_stream_free(r->stream);
    asd_gpu_close(r->gpu);
}

typedef struct fault {
    const char *name;
    int         id;
    const char *says; /* NULL: runs, y[0] is `sum` */
    float       sum;
} fault;

static const fault faults[] = {
    {"simt/correct/block-sum", FAULT_NONE, NULL, 2080},
    {"simt/correct/warp-tree", FAULT_NONE_WARP, NULL, 528},
    {"simt/correct/collectives", FAULT_NONE_COLLECTIVES, NULL, 528 + 1 + 2 + 2 * 1 + 4 * 9 + 80},
    {"simt/shared/read-before-written", FAULT_UNWRITTEN,
     "kernel sum_k, block (0,0,0), thread (13,0,0): shared array s[13] is read, but nobody has "
     "written it",
     0},
    {"simt/shared/missing-barrier", FAULT_MISSING_LAST_BARRIER,
     "shared array s[1] is written and read by thread 0: no barrier between", 0},
    {"simt/shared/out-of-bounds", FAULT_OUT_OF_BOUNDS,
     "kernel sum_k, block (0,0,0), thread (5,0,0): shared array s[64] is out of bounds: 4 bytes at "
     "byte 256 of 256",
     0},
    {"simt/barrier/not-all-threads", FAULT_DIVERGENT_BARRIER,
     "thread (0,0,0): waits at a barrier that not all threads reach", 0},
    {"simt/barrier/two-places", FAULT_OTHER_BARRIER,
     "thread (40,0,0): waits at the barrier of faults.cu:", 0},
    {"simt/warp/missing-syncwarp", FAULT_MISSING_SYNCWARP, "kernel warp_k", 0},
    {"simt/warp/lane-not-in-mask", FAULT_SHUFFLE_MASK, "is not in its own mask 0000ffff", 0},
    {"simt/warp/lane-absent", FAULT_SHUFFLE_ABSENT, "warp collective", 0},
    {"simt/correct/cp-async", FAULT_NONE_COPY, NULL, 2080},
    {"simt/copy/missing-wait", FAULT_COPY_NO_WAIT,
     "kernel copy_k, block (0,0,0), thread (0,0,0): shared array s[0] is read while a cp_async16 "
     "of "
     "thread 0 to it is on its way",
     0},
    {"simt/copy/missing-commit", FAULT_COPY_NO_COMMIT, "is on its way: wait for it", 0},
    {"simt/copy/waits-for-older", FAULT_COPY_WAITS_FOR_OLDER, "is on its way: wait for it", 0},
    {"simt/copy/missing-barrier", FAULT_COPY_NO_BARRIER,
     "is read while thread 0 writes it: no barrier between", 0},
    {"simt/copy/over-what-is-read", FAULT_COPY_OVER_READ, "is written and read by thread", 0},
    {"simt/copy/overwritten", FAULT_COPY_OVERWRITTEN,
     "is written while a cp_async16 of thread 3 to it is on its way", 0},
    {"simt/copy/from-misaligned", FAULT_COPY_FROM_MISALIGNED,
     "is not aligned to 16, as cp_async16 wants it", 0},
    {"simt/copy/to-misaligned", FAULT_COPY_TO_MISALIGNED,
     "shared array s: byte 8 is not aligned to 16, as cp_async16 wants it", 0},
    {"simt/pack/global-misaligned", FAULT_PACK_MISALIGNED,
     "is not aligned to 16, as load16 wants it", 0},
    {"simt/pack/shared-misaligned", FAULT_SHARED_PACK_MISALIGNED,
     "shared array s: byte 4 is not aligned to 16, as load_shared16 wants it", 0},
    {"simt/correct/ldmatrix-mma", FAULT_NONE_MMA, NULL, 16 * 21},
    {"simt/ldmatrix/row-misaligned", FAULT_ROW_MISALIGNED,
     "thread (9,0,0): shared array tile: byte 292 is not aligned to 16, as ldmatrix_x4 wants it",
     0},
    {"simt/ldmatrix/row-out-of-bounds", FAULT_ROW_OUT_OF_BOUNDS,
     "thread (31,0,0): shared array tile[256] is out of bounds", 0},
    {"simt/ldmatrix/row-unwritten", FAULT_ROW_UNWRITTEN,
     "shared array tile[37] is read, but nobody has written it", 0},
    {"simt/mma/lane-absent", FAULT_MMA_LANE_ABSENT, "lane 0 waits at mma_16x8x16", 0},
    {"simt/mma/lane-ended", FAULT_MMA_LANE_ENDED,
     "mma_16x8x16 is of the whole warp, and lanes 80000000 have ended", 0},
    {"simt/mma/tf32-not-rounded", FAULT_TF32_NOT_ROUNDED, "to_tf32 is missing", 0},
    {"simt/correct/wgmma", FAULT_NONE_WGMMA, NULL, 136 + 392},
    {"simt/wgmma/not-filled", FAULT_WGMMA_NOT_FILLED, "is read by wgmma without wgmma_filled", 0},
    {"simt/wgmma/not-begun", FAULT_WGMMA_NOT_BEGUN,
     "wgmma_64x64x16 without wgmma_begin since the last wgmma_wait", 0},
    {"simt/wgmma/missing-wait", FAULT_WGMMA_NO_WAIT, NULL, -1},
    {"simt/wgmma/missing-commit", FAULT_WGMMA_NO_COMMIT, NULL, -1},
    {"simt/wgmma/waits-for-older", FAULT_WGMMA_WAITS_FOR_OLDER, NULL, -1},
    {"simt/correct/bulk", FAULT_NONE_BULK, NULL, 4160},
    {"simt/bulk/gate-not-made", FAULT_BULK_NOT_MADE, "gates[0] is no gate", 0},
    {"simt/bulk/no-barrier-after-making", FAULT_BULK_NO_BARRIER,
     "is used, and no barrier since thread 0 made it", 0},
    {"simt/bulk/missing-wait", FAULT_BULK_NO_WAIT,
     "is read while a bulk_fetch of thread 0 to it is on its way", 0},
    {"simt/bulk/only-others-wait", FAULT_BULK_OTHERS_WAIT,
     "thread (32,0,0): shared array tile, byte 64: a bulk_fetch has brought it, and this thread "
     "has not waited",
     0},
    {"simt/bulk/waits-for-old-phase", FAULT_BULK_OLD_PHASE,
     "bulk_fetch goes over shared array tile, byte 0, which warp 0 may still be using", 0},
    {"simt/bulk/over-what-is-read", FAULT_BULK_OVER_READ,
     "thread (32,0,0): gate gates[0]: waits for phase 0 in phase 2", 0},
    {"simt/bulk/missing-syncwarp", FAULT_BULK_NO_SYNCWARP,
     "bulk_fetch goes over shared array tile, byte 0, which warp 0 may still be using", 0},
    {"simt/bulk/missing-arrival", FAULT_BULK_NO_ARRIVAL, "waits in a loop", 0},
    {"simt/bulk/two-arrivals", FAULT_BULK_TWO_ARRIVALS, "one arrival more than the 1", 0},
    {"simt/bulk/fewer-bytes-than-announced", FAULT_BULK_SHORT, "waits in a loop", 0},
    {"simt/bulk/misaligned", FAULT_BULK_MISALIGNED,
     "byte 16 is not aligned to 1024, as bulk_fetch wants it", 0},
    {"simt/wait/endless", FAULT_ENDLESS, "waits in a loop for something that never happens", 0},
};

static void test_fault(void **state)
{
    const fault *f = *state;
    rig          r;
    rig_new(&r);
    if (f->id >= FAULT_NONE_BULK)
        assert_ok(faults_bulk_run(r.stream, f->id, r.x, r.y));
    else if (f->id >= FAULT_NONE_COPY)
        assert_ok(faults_mma_run(r.stream, f->id, r.x, r.y));
    else
        assert_ok(faults_run(r.stream, f->id, r.x, r.y, r.flag));
    if (f->says) {
        assert_fails(asd_stream_wait(r.stream), ASD_E_DEVICE, f->says);
        /* and the shim is as good as new */
        assert_ok(faults_run(r.stream, FAULT_NONE, r.x, r.y, r.flag));
        assert_ok(asd_stream_wait(r.stream));
        assert_near(r.y[0], 2080, 0);
    } else {
        assert_ok(asd_stream_wait(r.stream));
        assert_near(r.y[0], f->sum, 0);
    }
    rig_free(&r);
}

static void test_configuration(void **state)
{
    (void)state;
    rig r;
    rig_new(&r);
    assert_fails(faults_run(r.stream, FAULT_TOO_MANY_THREADS, r.x, r.y, r.flag), ASD_E_DEVICE,
                 "invalid configuration");
    rig_free(&r);
}

int main(int argc, char **argv)
{
    enum { N = sizeof faults / sizeof *faults };
    static struct CMUnitTest tests[N + 1];
    for (int i = 0; i < N; ++i)
        tests[i] = (struct CMUnitTest){faults[i].name, test_fault, NULL, NULL, (void *)&faults[i]};
    tests[N] =
        (struct CMUnitTest){"simt/launch/too-many-threads", test_configuration, NULL, NULL, NULL};
    return asd_test_run(tests, N + 1, argc, argv);
}
