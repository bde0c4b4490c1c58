/* on_device.c - see on_device.h. */
#include "detect/on_device.h"

#include <stdlib.h>
#include <string.h>

int asd_rows_two_domains(const asd_rows_task *t)
{
    asd_counts count = asd_count_domains(t->is_target, t->train.n);
    return count.n[0] && count.n[1];
}

void *asd_device_block(asd_device_blocks *b, size_t bytes, const char *what, asd_status *st)
{
    void *p = NULL;
    ASD_ASSERT(b->n < ASD_DEVICE_BLOCKS);
    if (*st || (*st = asd_gpu_alloc(b->gpu, bytes ? bytes : 1, what, "--device cpu", &p)))
        return NULL;
    return b->block[b->n++] = p;
}

void asd_device_blocks_clear(asd_device_blocks *b)
{
    while (b->n)
        asd_gpu_free(b->gpu, b->block[--b->n]);
}

asd_status asd_device_rows_upload(const asd_rows_task *task, int64_t G, asd_stream *s,
                                  asd_device_blocks *b, asd_device_rows *out)
{
    asd_device_rows y     = {.G = G, .N = 1, .M = 1, .D = task[0].train.D};
    int32_t        *count = malloc((size_t)(2 * G) * sizeof *count);
    unsigned char  *is    = NULL;
    asd_status      st    = ASD_OK;
    for (int64_t g = 0; g < G; ++g) {
        ASD_ASSERT(task[g].train.D == y.D && task[g].test.D == y.D);
        y.N = task[g].train.n > y.N ? task[g].train.n : y.N;
        y.M = task[g].test.n > y.M ? task[g].test.n : y.M;
    }
    if (!count || !(is = calloc((size_t)(G * y.N), 1)))
        st = ASD_FAIL(ASD_E_OOM, "no memory for the domains of %lld machines", (long long)G);
    size_t row  = (size_t)y.D * sizeof(float);
    y.train     = asd_device_block(b, (size_t)(G * y.N) * row, "training rows", &st);
    y.test      = asd_device_block(b, (size_t)(G * y.M) * row, "rows to score", &st);
    y.is_target = asd_device_block(b, (size_t)(G * y.N), "domains", &st);
    y.n         = asd_device_block(b, (size_t)(2 * G) * sizeof *count, "numbers of rows", &st);
    y.m         = st ? NULL : y.n + G;
    for (int64_t g = 0; g < G && !st; ++g) {
        const asd_rows_task *t = &task[g];
        count[g]               = (int32_t)t->train.n;
        count[G + g]           = (int32_t)t->test.n;
        for (int64_t i = 0; i < t->train.n; ++i)
            is[g * y.N + i] = t->is_target[i] != 0;
        st = asd_stream_upload(s, y.train + g * y.N * y.D, t->train.x, (size_t)t->train.n * row);
        if (!st)
            st = asd_stream_upload(s, y.test + g * y.M * y.D, t->test.x, (size_t)t->test.n * row);
    }
    if (!st)
        st = asd_stream_upload(s, y.is_target, is, (size_t)(G * y.N));
    if (!st)
        st = asd_stream_upload(s, y.n, count, (size_t)(2 * G) * sizeof *count);
    /* what was enqueued reads host memory, so even a failure waits for it */
    asd_status end = asd_stream_wait(s);
    free(count);
    free(is);
    *out = y;
    return st ? st : end;
}

asd_status asd_device_take(asd_stream *s, const double *y, int64_t g, int64_t rows, int64_t columns,
                           int64_t n, double *out)
{
    ASD_TRY(
        asd_stream_download(s, out, y + g * rows * columns, (size_t)(n * columns) * sizeof *out));
    return asd_stream_wait(s);
}

asd_status asd_in_stretches(const asd_stretches *how, asd_rows_task *task, int64_t n, asd_stream *s)
{
    enum { MOST = 65535 }; /* of a grid's second and third dimension */
    asd_gpu_info info;
    ASD_TRY(asd_gpu_query(asd_stream_gpu(s), &info));
    double room = (double)info.free_bytes / 2;
    for (int64_t from = 0, G; from < n; from += G) {
        int64_t N = 1, M = 1;
        for (G = 0; from + G < n && G < MOST; ++G) {
            const asd_rows_task *t = &task[from + G];
            N                      = t->train.n > N ? t->train.n : N;
            M                      = t->test.n > M ? t->test.n : M;
            if (G && how->bytes(how->ctx, (double)(G + 1), (double)N, (double)M,
                                (double)t->train.D) > room)
                break;
        }
        ASD_TRY(how->run(how->ctx, task + from, G, s));
    }
    return ASD_OK;
}
