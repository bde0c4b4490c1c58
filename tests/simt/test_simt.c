/* test_simt.c - the shim that proves kernels must itself be proven: kernels with one mistake each
 * (tests/simt/faults.cu) are reported with kernel, block and thread, their correct twins are not.
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
    {"simt/wait/endless", FAULT_ENDLESS, "waits in a loop for something that never happens", 0},
};

static void test_fault(void **state)
{
    const fault *f = *state;
    rig          r;
    rig_new(&r);
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
