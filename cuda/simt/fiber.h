/* fiber.h - stacks to switch between. A fiber runs `entry` once it is first resumed, and must never
 * return from it. */
#ifndef ASD_CUDA_SIMT_FIBER_H
#define ASD_CUDA_SIMT_FIBER_H

#include <cstddef>

namespace simt
{

struct fiber;

fiber *fiber_new(void (*entry)(void *), void *ctx);
/* Forgets what the fiber was doing; it will run entry(ctx) from the start. */
void fiber_restart(fiber *f);
void fiber_free(fiber *f);
void fiber_resume(fiber *f); /* from the scheduler's own stack; returns when f yields */
void fiber_yield();          /* back to the scheduler, from inside a fiber           */

} // namespace simt

#endif
