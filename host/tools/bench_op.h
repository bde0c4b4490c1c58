/* bench_op.h - the rig that bench_op.c makes and bench_check.c checks: one case of an op with all
 * its memory on a device. */
#ifndef ASD_TOOLS_BENCH_OP_H
#define ASD_TOOLS_BENCH_OP_H

#include "tools/bench.h"

typedef struct bench_op_rig {
    bench_device   *d;
    const asd_op   *op;
    const asd_case *c;
    int             backward;
    asd_node        node;
    asd_call        call; /* device pointers */
    void           *bwd_work;
    void           *fresh[ASD_MAX_IN]; /* inputs on the host: some ops update theirs */
    double         *x[ASD_MAX_IN];     /* the same in double */
    double         *dy;
} bench_op_rig;

static inline size_t bench_bytes(asd_shape s, asd_dtype t)
{
    return (size_t)asd_count(s) * asd_dtype_size(t);
}

/* Element i as a double; bench_store rounds (bf16: to nearest, ties to even) and returns what it
 * stored. */
double bench_load(asd_dtype t, const void *x, int64_t i);
double bench_store(asd_dtype t, void *x, int64_t i, double v);

/* n standard normal numbers: those of ASD_RNG_TEST with this seed and coordinates, cut into blocks
 * that are drawn side by side. */
void bench_normals(uint64_t seed, uint64_t a, uint64_t b, int64_t n, double *out);

/* A call on inputs as they were made, into memory that holds NaN, waited for. The backward runs the
 * forward first. */
asd_status bench_fresh_forward(bench_op_rig *r);
asd_status bench_fresh_backward(bench_op_rig *r);

/* ctx: bench_op_rig */
asd_status bench_op_check(void *ctx, bench_check *out);

#endif
