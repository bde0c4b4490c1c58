/* on_device.h - rows of many machines side by side on a device: what a detector's run_device works
 * with.
 *
 * Machines go over in stretches that fit into the device's free memory. How long a stretch is does
 * not show: kernels give a machine the same bits alone and among others.
 */
#ifndef ASD_DETECT_ON_DEVICE_H
#define ASD_DETECT_ON_DEVICE_H

#include "cuda/gpu.h"
#include "detect/embedding.h"

/* One machine of a run_device (detector.h): its rows after all steps, each clip one row. */
struct asd_rows_task {
    asd_clip_rows        train, test;
    const unsigned char *is_target; /* (train.n) */
    const char          *what;      /* for messages */
    double              *loo;       /* (train.n, 2), as fit_rows gives it */
    double              *score;     /* (test.n, 2) */
    int                  heads;
    const char          *left; /* NULL: done; else why not, and nothing was written: a constant */
};

/* Distances to both domains' training clips are told apart: both have some. */
int asd_rows_two_domains(const asd_rows_task *t);

/* Memory on a device that is freed at once. {.gpu = ...} is empty. */
enum { ASD_DEVICE_BLOCKS = 24 };
typedef struct asd_device_blocks {
    asd_gpu *gpu;
    int      n;
    void    *block[ASD_DEVICE_BLOCKS];
} asd_device_blocks;
/* NULL after a failure, which *st keeps: further calls do nothing. `what` is for the message. */
void *asd_device_block(asd_device_blocks *b, size_t bytes, const char *what, asd_status *st);
void  asd_device_blocks_clear(asd_device_blocks *b);

/* Rows of G machines on a device, padded with zeros to the longest. */
typedef struct asd_device_rows {
    int64_t        G, N, M, D; /* most training rows, most rows to score (at least 1) */
    float         *train;      /* (G, N, D) */
    float         *test;       /* (G, M, D) */
    int32_t       *n, *m;      /* (G) rows of each */
    unsigned char *is_target;  /* (G, N) 0 or 1 */
} asd_device_rows;
/* Uploaded when it returns; memory is b's. */
asd_status asd_device_rows_upload(const asd_rows_task *task, int64_t G, asd_stream *s,
                                  asd_device_blocks *b, asd_device_rows *out);
/* Waits, and takes machine g's rows from y: (G, rows, columns) doubles on the device. */
asd_status asd_device_take(asd_stream *s, const double *y, int64_t g, int64_t rows, int64_t columns,
                           int64_t n, double *out);

/* Calls run(ctx, tasks, G, s) for stretches of the n machines, as long as bytes(ctx, G, N, M, D),
 * what a stretch needs, is half of the device's free memory at most; at least one machine. */
typedef struct asd_stretches {
    const void *ctx;
    double (*bytes)(const void *ctx, double G, double N, double M, double D);
    asd_status (*run)(const void *ctx, asd_rows_task *task, int64_t G, asd_stream *s);
} asd_stretches;
asd_status asd_in_stretches(const asd_stretches *how, asd_rows_task *task, int64_t n,
                            asd_stream *s);

#endif
