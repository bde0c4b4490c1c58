/* plan_parts.h - what is inside a plan: for plan.c, which makes it, and plan_run.c, which runs it.
 */
#ifndef ASD_NN_PLAN_PARTS_H
#define ASD_NN_PLAN_PARTS_H

#include "cuda/gpu.h"
#include "nn/plan.h"

typedef struct item {
    size_t bytes, offset;
    int    from, to; /* live range, both ends included; from > to: not used */
    int    order;    /* among items of one size, so that no address decides the layout */
} item;

/* A view has a tensor of its own, of the same memory; all the rest is its base's (asd_plan_base).
 */
typedef struct planned_value {
    asd_tensor    tensor;
    item          x, g;
    asd_val       base; /* itself, or what it is a view of */
    int           needs_grad;
    int           readable, grad_readable;
    int           lent;         /* the caller's memory */
    unsigned char grad_written; /* during backward planning */
} planned_value;

typedef struct planned_call {
    asd_call call;
    item     saved, fwd_work, bwd_work;
    item     wide; /* asd_bf16_room */
    void    *bwd_scratch, *wide_scratch;
    int      node;           /* on the tape */
    asd_val  in[ASD_MAX_IN]; /* for asd_plan_bind: bases */
    int      has_backward;
    int      bf16_on_cpu; /* its forward is asd_bf16_fwd */
} planned_call;

/* Copies of the step's values on their way to the device: the host may be this many steps ahead
 * before it waits. */
enum { STEP_SLOTS = 4 };

struct asd_plan {
    asd_backend    backend;
    asd_stream    *stream; /* NULL on the CPU */
    planned_value *value;  /* (n_values) */
    int            n_values;
    planned_call  *call; /* (n) kept ops in tape order */
    int            n;
    char          *base;
    size_t         bytes;
    asd_step       step; /* as the caller sets it */
    int            check;
    void          *check_x; /* ASD_CHECK on CUDA: room for the largest tensor, on the host */

    asd_step  *step_device; /* what the kernels read: behind the arena */
    asd_step   sent;        /* what is there, or on its way */
    asd_step  *slot;        /* (STEP_SLOTS) page-locked */
    asd_event *slot_free[STEP_SLOTS];
    int        next_slot;
};

static inline planned_value *asd_plan_base(const asd_plan *p, asd_val v)
{
    return &p->value[p->value[v].base];
}

/* plan_run.c. The arena of p->bytes, on the CPU or the device, and what sending steps needs. */
asd_status asd_plan_alloc(asd_plan *p);
void       asd_plan_release(asd_plan *p);
asd_status asd_plan_alloc_checks(asd_plan *p); /* once the shapes of all tensors are set */
/* Into the plan's memory: at once on the CPU, enqueued on the device. */
asd_status asd_plan_copy_in(const asd_plan *p, void *to, const void *from, size_t bytes);
asd_status asd_plan_wait(const asd_plan *p);

#endif
