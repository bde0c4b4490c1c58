/* bench_standin.h - what stand-ins on a device share: results of their own, compared with ours. */
#ifndef ASD_TOOLS_BENCH_STANDIN_H
#define ASD_TOOLS_BENCH_STANDIN_H

#include "tools/bench.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct bench_own {
    bench_device        *d;
    const bench_subject *of;
    void *y, *g[ASD_MAX_IN]; /* on the device; NULL where ours has none, or it has none */
} bench_own;

/* y for a forward, the gradients that ours has for a backward. Free on failure too. */
asd_status bench_own_alloc(bench_own *o, bench_device *d, const bench_subject *of);
void       bench_own_free(bench_own *o); /* safe on zeros */
/* The largest relative root mean square difference between its results and ours. */
asd_status bench_own_difference(const bench_own *o, double *out);

typedef asd_status (*bench_standin_maker)(bench_standin *s, bench_device *d,
                                          const bench_subject *of);
/* bench/cudnn.cu. s->call stays NULL when cuDNN is not there or has nothing like it. */
asd_status bench_cudnn_open(bench_standin *s, bench_device *d, const bench_subject *of);

#ifdef __cplusplus
}
#endif
#endif
