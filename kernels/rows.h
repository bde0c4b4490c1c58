/* rows.h - sums over the rows of (R, C) in parts, the same on both backends.
 *
 * The gradient of a bias or a gain is a sum over rows. It is taken in two passes: each part adds
 * its rows into a line of its own, then the lines are added in order. How many parts there are
 * depends on R alone, not on threads or multiprocessors, so the bits do not either.
 */
#ifndef ASD_KERNELS_ROWS_H
#define ASD_KERNELS_ROWS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A part is a whole number of rounds, at least two, of ROUND rows: one row for each of 8 warps. At
 * most MOST parts: two blocks on each of the 132 multiprocessors of an H100, so that 16,864 rows
 * (34 clips of 496 tokens) are one wave of 64 rows a block, and the lines of 768 columns are 1.6
 * MB, 2 % of what a backward of layernorm moves. */
enum { ASD_PART_ROUND = 8, ASD_PARTS_MOST = 264 };

/* Rows of a part; the last may have fewer. */
static inline int64_t asd_part_rows(int64_t R)
{
    int64_t rounds = (R + ASD_PART_ROUND * ASD_PARTS_MOST - 1) / (ASD_PART_ROUND * ASD_PARTS_MOST);
    return ASD_PART_ROUND * (rounds > 2 ? rounds : 2);
}

static inline int64_t asd_parts(int64_t R)
{
    return (R + asd_part_rows(R) - 1) / asd_part_rows(R);
}

/* out[c] = sum over p of lines[p * ld + c], or added to it; c = 0 .. columns-1. CPU, in parallel.
 */
void asd_sum_lines(const float *lines, int64_t parts, int64_t ld, int64_t columns, float *out,
                   int add);

#ifdef __cplusplus
}
#endif
#endif
