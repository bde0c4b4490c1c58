/* cpu_tile.h - the innermost loops of matrix products on the CPU.
 *
 *   y = base + A B        A: (m, k)   B: (k, n), packed beforehand   y: (m, n)
 *
 * An element of y is one chain of fused multiply-adds over k, from zero, in order, and then one
 * addition to base: whatever m and n are and wherever the element lies, its bits are the same, on
 * AVX2 and AVX-512 alike. (Processors without FMA multiply and then add.) Libraries do not keep
 * this: oneDNN 2.6's sgemm sums the last 1 to 3 rows of a product in another order than the rest.
 *
 * A is read in place with any distance between its rows, also one that is shorter than a row: the
 * windows of a convolution are such a matrix.
 */
#ifndef ASD_KERNELS_CPU_TILE_H
#define ASD_KERNELS_CPU_TILE_H

#include <stdint.h>

enum { ASD_TILE_MAX_ROWS = 8, ASD_TILE_MAX_COLUMNS = 48 };

/* A matrix in place: element (i, j) is x[i * row + j * column]. */
typedef struct asd_matrix {
    const float *x;
    int64_t      row, column;
} asd_matrix;

typedef struct asd_tile {
    const char *name;          /* "avx512f", "avx2", "plain" */
    int64_t     rows, columns; /* what one call makes */
    /* `rows` (1 .. tile rows) rows of y by all columns of the tile; b: (k, columns) dense. base
     * NULL: nothing is added, y is not read. */
    void (*run)(int64_t rows, int64_t k, asd_matrix a, const float *b, const float *base,
                int64_t ldbase, float *y, int64_t ldy);
    /* 8 x 8: to[c * ldto + r] = from[r * ldfrom + c] */
    void (*turn)(const float *from, int64_t ldfrom, float *to, int64_t ldto);
} asd_tile;

const asd_tile              *asd_tile_best(void); /* of this processor */
extern const asd_tile *const asd_tile_all[];      /* ended by NULL; for tests */
int                          asd_tile_runs(const asd_tile *t);

/* Elements of a packed (k, n). */
int64_t asd_tile_packed(const asd_tile *t, int64_t k, int64_t n);
/* packed[panel][kk][column], a panel is the tile's columns, the last one padded with zeros. */
void asd_tile_pack(const asd_tile *t, asd_matrix b, int64_t k, int64_t n, float *packed);
/* y = base + A B from B packed whole. base: NULL (y is not read), or y itself, or with ldbase 0 one
 * row for all. */
void asd_tile_product(const asd_tile *t, int64_t m, int64_t n, int64_t k, asd_matrix a,
                      const float *packed, const float *base, int64_t ldbase, float *y,
                      int64_t ldy);

/* The same from B in place, in this thread: packed piece by piece into 288 KB of stack. k is cut
 * after every ASD_TILE_DEPTH: each stretch is a chain of its own, added to y in order. */
enum { ASD_TILE_DEPTH = 256 };
void asd_product(int64_t m, int64_t n, int64_t k, asd_matrix a, asd_matrix b, const float *base,
                 int64_t ldbase, float *y, int64_t ldy);

/* to[c * ldto + r] = from[r * ldfrom + c]; rows, columns: of from. */
void asd_turn(int64_t rows, int64_t columns, const float *from, int64_t ldfrom, float *to,
              int64_t ldto);

#endif
