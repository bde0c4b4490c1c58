/* par.c - see par.h. OpenMP carries the threads, as it does in oneDNN: one pool, not two. */
#include "base/par.h"

#include <omp.h>

void asd_par_set_threads(int n)
{
    if (n > 0)
        omp_set_num_threads(n);
}

int asd_par_threads(void)
{
    return omp_in_parallel() ? 1 : omp_get_max_threads();
}

void asd_par_for(int64_t n_chunks, asd_par_fn fn, void *ctx)
{
    if (n_chunks <= 1 || asd_par_threads() == 1) {
        for (int64_t i = 0; i < n_chunks; ++i)
            fn(ctx, i);
        return;
    }
#pragma omp parallel for schedule(dynamic, 1)
    for (int64_t i = 0; i < n_chunks; ++i)
        fn(ctx, i);
}
