/* attention.h - what attention.c and attention.cu agree on. */
#ifndef ASD_KERNELS_ATTENTION_H
#define ASD_KERNELS_ATTENTION_H

#include "kernels/op.h"

#include <math.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How inputs follow each other: qkv, then lengths if masked, then the four of the gate if gated. */
enum { ASD_ATTENTION_TABLE, ASD_ATTENTION_W, ASD_ATTENTION_B, ASD_ATTENTION_A, ASD_ATTENTION_GATE };
enum { ASD_ATTENTION_GATE_ROWS = 8 }; /* of grep_w: four for each sigmoid */

/* qkv: (B, P, 3 H K) */
typedef struct asd_attention_sizes {
    int64_t B, P, C, H, K;
    int     masked, gated;
} asd_attention_sizes;

static inline asd_attention_sizes asd_attention_sizes_of(const asd_attention_attr *a, asd_shape qkv)
{
    asd_attention_sizes s = {qkv.d[0],  qkv.d[1], qkv.d[2] / 3, a->heads, qkv.d[2] / 3 / a->heads,
                             a->masked, a->gated};
    return s;
}

/* Input of the gate: which is one of ASD_ATTENTION_TABLE .. */
static inline int asd_attention_input(const asd_attention_attr *a, int which)
{
    return 1 + (a->masked != 0) + which;
}

/* Bucket of the distance d = key - query (T5's rule, as BEATs has it): short distances exactly,
 * then by their logarithm up to max_distance; keys behind the query in the upper half. In double,
 * which gives what the originals' fp32 gives for every distance below 2000. */
static inline int64_t asd_attention_bucket(int64_t d, int64_t buckets, int64_t max_distance)
{
    int64_t half = buckets / 2, exact = half / 2, n = d < 0 ? -d : d, b = n;
    if (n >= exact) {
        double share = log((double)n / (double)exact) / log((double)max_distance / (double)exact) *
                       (double)(half - exact);
        b = share >= (double)(half - exact) ? half - 1 : exact + (int64_t)share;
    }
    return (d > 0 ? half : 0) + (b < half ? b : half - 1);
}

/* (2P-1) buckets, of the distances -(P-1) .. P-1. */
static inline void asd_attention_fill_buckets(const asd_attention_attr *a, int64_t P, int32_t *out)
{
    for (int64_t d = 1 - P; d < P; ++d)
        out[d + P - 1] = (int32_t)asd_attention_bucket(d, a->buckets, a->max_distance);
}

asd_status attention_bwd_cpu(const asd_call *c); /* in attention_bwd.c */

/* --- CUDA --- */

/* With a position bias no more tokens on CUDA (the two vectors of a window each that the backward
 * holds then fill the 99 KiB that every GPU since compute capability 8.0 gives a block, see
 * attention_bwd.cu), nor in fp32, whose kernels have a bias always. */
enum { ASD_ATTENTION_CUDA_TOKENS = 2048 };

/* Tiles of a head that the CUDA backward has at the most: 32 tokens each. */
static inline int64_t asd_attention_cuda_tiles(int64_t P)
{
    return (P + 63) / 64 * 2;
}

/* Bytes of scratch of the CUDA backward, see attention_bwd.cu. */
static inline size_t asd_attention_cuda_work(asd_attention_sizes s)
{
    int64_t tiles = asd_attention_cuda_tiles(s.P), padded = 32 * tiles;
    int64_t rows = 3 * s.B * s.H * padded, lines = s.B * s.H * tiles * (2 * s.K + 4);
    int64_t dt = s.B * s.H * tiles * (padded + 64) + s.H * (2 * s.P - 1);
    return (size_t)(rows + (s.gated ? lines + dt : 0)) * sizeof(float);
}

/* Partial sums that a backward kernel leaves, fp32. lines: (B H tiles, 2 K + 4), of the gate's
 * parameters; dt: (B H tiles, window), of the distances from the last of a tile's `rows` queries to
 * the first key on, NULL: not asked for. */
typedef struct asd_attention_partial {
    float *lines, *dt;
    int    tiles, rows, window;
} asd_attention_partial;

/* Tokens whose dq fits into a block's shared memory, without and with a gate, see
 * attention_bwd_sm90.cu; longer clips take the portable backward. */
enum { ASD_ATTENTION_SM90_TOKENS = 544, ASD_ATTENTION_SM90_GATED_TOKENS = 512 };

/* In attention_sm90.cu and attention_bwd_sm90.cu. _bwd_ writes x[0].g and to->lines, to->dt (both
 * no larger than those of the portable kernels), and says the sizes it has given them. */
asd_status asd_attention_fwd_sm90(const asd_call *c);
asd_status asd_attention_bwd_sm90(const asd_call *c, asd_attention_partial *to);
int        asd_attention_cuda_bwd_sm90(const asd_call *c); /* prepare chose it */
asd_status attention_prepare_cuda(asd_call *c);
void       attention_release_cuda(asd_call *c);
const int32_t *
asd_attention_cuda_buckets(const asd_call *c); /* on the device; NULL without a gate */

#ifdef __cplusplus
}
#endif
#endif
