/* bench_peak.h - what the processor's arithmetic units do when nothing else holds them up. */
#ifndef ASD_TOOLS_BENCH_PEAK_H
#define ASD_TOOLS_BENCH_PEAK_H

#include <stdint.h>

/* Independent chains of fused multiply-adds in registers. */
typedef struct bench_chains {
    const char *name;            /* "avx2 fma, fp32" */
    int         bf16;            /* factors are pairs of bf16 */
    int64_t     flops;           /* of one step of all chains */
    float (*run)(int64_t steps); /* what the chains end in, so that they cannot be left out */
} bench_chains;

extern const bench_chains *const bench_chains_all[]; /* best first, ended by NULL */
int                              bench_chains_run(const bench_chains *c); /* on this processor */

/* FLOP/s on all threads in use, the best of repetitions over about `seconds`. bf16: of what
 * products of bf16 are made of here, which is fp32 where the processor does not multiply bf16. *by:
 * its name.
 */
double bench_peak(int bf16, double seconds, const char **by);

#endif
