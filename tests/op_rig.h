/* op_rig.h - one op, one case, one backend: memory with canaries, filled inputs, and runs of
 * forward and backward that destroy beforehand what a kernel may not rely on.
 *
 * On CUDA each buffer has a twin on the device: `host` is pushed there before a run and pulled back
 * after it, canaries included.
 */
#ifndef ASD_TESTS_OP_RIG_H
#define ASD_TESTS_OP_RIG_H

#include "harness.h"

#include "cuda/gpu.h"
#include "kernels/op.h"

typedef struct rig_buffer {
    unsigned char *block; /* canaries, values, canaries */
    void          *device;
    size_t         bytes;
    unsigned char  canary; /* every buffer its own, so that a copy from border to border shows */
} rig_buffer;

typedef struct op_rig {
    const asd_op   *op;
    const asd_case *c;
    asd_backend     backend;
    int             bf16; /* inputs that may be bf16 are */
    asd_node        node;
    asd_call        call; /* pointers of the backend */
    asd_step        now;
    rig_buffer      x[ASD_MAX_IN], g[ASD_MAX_IN], y, dy, saved, work, bwd_work, wide, step;
    void           *fresh[ASD_MAX_IN]; /* inputs as they were made: some ops update theirs */
    double         *ref[ASD_MAX_IN];   /* the same in double */
    double         *y_ref;
    int             n_buffers;
    asd_gpu        *gpu;
    asd_stream     *stream;
} op_rig;

void op_rig_new(op_rig *r, const asd_op *op, const asd_case *c, asd_backend backend, int bf16);
void op_rig_free(op_rig *r);

/* From fresh inputs, with NaN in y, saved memory and scratch; checks canaries and that inputs are
 * as they were. */
void op_rig_fwd(op_rig *r);
/* After a forward. Everything that `keeps` does not name is destroyed first. given[k] 0: no
 * gradient for input k is asked for; acc[k]: add to what is there. */
void op_rig_bwd(op_rig *r, const unsigned char *given, const unsigned char *acc);
/* The same two by a captured graph, launched twice; y (and the gradients) of the second launch. */
void op_rig_replay(op_rig *r, const unsigned char *given, const unsigned char *acc);

int op_rig_has_grad(const op_rig *r, int k);
/* Makes the gradients' memory, and dy: standard normal, rounded to y's dtype; also in double. */
void op_rig_gradients(op_rig *r, double *dy);

/* Elements as double, and back with rounding. */
double      op_rig_get(asd_dtype t, const void *x, int64_t i);
void        op_rig_put(asd_dtype t, void *x, int64_t i, double v);
void       *op_rig_host(const rig_buffer *b);            /* the values on the host */
double      op_rig_ulp(asd_dtype t);                     /* half of one, relative    */
const char *op_rig_label(asd_backend backend, int bf16); /* "", "bf16/", "cuda/", "cuda-bf16/" */

#endif
