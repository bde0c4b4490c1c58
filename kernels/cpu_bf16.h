/* cpu_bf16.h - bf16 on the CPU: numbers are stored in it, and sums are done in fp32, as on CUDA.
 *
 * An op that says nothing computes on copies: its bf16 inputs are widened to fp32, which loses
 * nothing, its CPU kernel runs, and y is rounded. One that has a way of its own says so in its row
 * (asd_op.cpu_bf16). Only forward: training in bf16 is for CUDA.
 */
#ifndef ASD_KERNELS_CPU_BF16_H
#define ASD_KERNELS_CPU_BF16_H

#include "kernels/op.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline float asd_bf16_value(uint16_t x)
{
    uint32_t bits = (uint32_t)x << 16; /* bf16: the upper half of a float */
    float    value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* To nearest, ties to even, as devices round; a NaN stays one. */
static inline uint16_t asd_bf16_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    uint32_t nearest = (bits + 0x7fff + (bits >> 16 & 1)) >> 16, quiet = bits >> 16 | 0x40;
    return (uint16_t)((int32_t)(bits & 0x7fffffff) > 0x7f800000 ? quiet : nearest);
}

/* n numbers by this thread. */
void asd_bf16_widen(const uint16_t *x, float *y, int64_t n);
void asd_bf16_narrow(const float *x, uint16_t *y, int64_t n);

/* Whether an input or y of the node is bf16: then asd_bf16_fwd is its forward on the CPU. */
int asd_bf16_in(const asd_node *n);
/* Bytes of scratch that it needs, beside those of the node; 0 for none. */
size_t asd_bf16_room(const asd_node *n);
/* room: asd_bf16_room bytes on a 64-byte border. The same bits for any number of threads. */
asd_status asd_bf16_fwd(const asd_call *c, void *room);

#endif
