/* machines.h - rows of several machines and a device to put them on, for the tests of kernels that
 * work on many machines at once. Without a device a case that asks for one is skipped.
 */
#ifndef ASD_TESTS_MACHINES_H
#define ASD_TESTS_MACHINES_H

#include "harness.h"

#include "base/rng.h"
#include "cuda/gpu.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct rig {
    asd_gpu    *gpu;
    asd_stream *s;
    void       *block[16]; /* on the device */
    int         n;
} rig;

static void rig_new(rig *r)
{
    memset(r, 0, sizeof *r);
    asd_test_device(&r->gpu, &r->s);
}

static void rig_free(rig *r)
{
    while (r->n)
        asd_gpu_free(r->gpu, r->block[--r->n]);
    asd_stream_free(r->s);
    asd_gpu_close(r->gpu);
}

/* A copy on the device; x NULL: bytes of 0xFF, which is NaN in double. */
static void *to_device(rig *r, const void *x, size_t bytes)
{
    void *p, *fill = malloc(bytes);
    memset(fill, 0xFF, bytes);
    assert_ok(asd_gpu_alloc(r->gpu, bytes, "a test's table", "", &p));
    assert_ok(asd_stream_upload(r->s, p, x ? x : fill, bytes));
    assert_ok(asd_stream_wait(r->s));
    free(fill);
    return r->block[r->n++] = p;
}

static void to_host(rig *r, void *x, const void *device, size_t bytes)
{
    assert_ok(asd_stream_download(r->s, x, device, bytes));
    assert_ok(asd_stream_wait(r->s));
}

/* Rows of G machines on the host. */
typedef struct machines {
    int64_t        G, N, M, D;
    float         *train, *test; /* (G, N, D), (G, M, D) */
    int32_t       *n, *m;        /* (G) rows that each has */
    unsigned char *is_target;    /* (G, N) */
} machines;

/* Skips the case where no device is, before it has anything to free. */
static void need_device(void)
{
    rig r;
    rig_new(&r);
    rig_free(&r);
}

/* Normal numbers with a mean and scale of each column's own, correlated; what is past a machine's
 * rows is NaN. targets: out of ten rows */
static void machines_new(machines *a, int64_t G, int64_t N, int64_t M, int64_t D, int targets)
{
    asd_rng rng;
    need_device();
    *a = (machines){.G = G, .N = N, .M = M, .D = D};
    asd_rng_init(&rng, (uint64_t)(G * N * D), ASD_RNG_TEST, asd_rng_hash("maha"), 0);
    a->train     = malloc((size_t)(G * N * D) * sizeof(float));
    a->test      = malloc((size_t)(G * M * D) * sizeof(float));
    a->n         = malloc((size_t)G * sizeof *a->n);
    a->m         = malloc((size_t)G * sizeof *a->m);
    a->is_target = malloc((size_t)(G * N));
    for (int64_t g = 0; g < G; ++g) {
        a->n[g] = (int32_t)(N - 3 * g);
        a->m[g] = (int32_t)(M - g);
        for (int64_t r = 0; r < N + M; ++r) {
            int    target = r < N ? targets * (r + 1) / 10 > targets * r / 10 : 0;
            int    there  = r < N ? r < a->n[g] : r - N < a->m[g];
            float *row    = r < N ? a->train + (g * N + r) * D : a->test + (g * M + r - N) * D;
            double common = asd_rng_normal(&rng);
            if (r < N)
                a->is_target[g * N + r] = (unsigned char)(target ? 200 : 0);
            for (int64_t d = 0; d < D; ++d) {
                double v = asd_rng_normal(&rng) + 0.7 * common;
                v = v * (0.1 + 0.05 * (double)(d % 7)) + 3 * sin((double)(d + g)) + 0.2 * target;
                row[d] = there ? (float)v : NAN;
            }
        }
    }
}

static void machines_free(machines *a)
{
    free(a->train);
    free(a->test);
    free(a->n);
    free(a->m);
    free(a->is_target);
}

#endif
