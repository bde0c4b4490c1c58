/* cpu_gemm.c - asd_gemm: a product cut into blocks of y, each by the tiles of cpu_tile.c.
 *
 * A block packs its part of B for itself, which costs 4 to 6 % of its arithmetic at 192 rows, so
 * blocks are as tall as they can be while every thread still has some: BLOCK_ROWS, halved as long
 * as there are fewer than MANY blocks, and then all of a height. Where they are cut does not matter
 * to the bits (cpu_tile.h).
 *
 * Tried and dropped: oneDNN's sgemm, which was here before (docs/decisions/0008).
 */
#include "kernels/cpu.h"
#include "kernels/cpu_tile.h"

#include "base/par.h"
#include "base/status.h"

enum { BLOCK_ROWS = 768, LEAST_ROWS = 192, BLOCK_COLUMNS = 192, MANY = 16 };
enum { WHOLE_ROWS = 24 }; /* whole tiles of every kind: 4, 6 and 8 rows */

typedef struct cut {
    int64_t rows, columns; /* of a block */
    int64_t row_blocks, col_blocks;
} cut;

static int64_t pieces(int64_t n, int64_t size)
{
    return (n + size - 1) / size;
}

static cut cut_of(const asd_gemm_job *j)
{
    int64_t batch = j->batch ? j->batch : 1;
    cut     c     = {BLOCK_ROWS, BLOCK_COLUMNS, 0, pieces(j->n, BLOCK_COLUMNS)};
    while (c.rows > LEAST_ROWS && pieces(j->m, c.rows) * c.col_blocks * batch < MANY)
        c.rows /= 2;
    c.row_blocks = pieces(j->m, c.rows);
    c.rows       = pieces(pieces(j->m, c.row_blocks), WHOLE_ROWS) * WHOLE_ROWS;
    return c;
}

int64_t asd_gemm_blocks(const asd_gemm_job *j)
{
    cut c = cut_of(j);
    return c.row_blocks * c.col_blocks * (j->batch ? j->batch : 1);
}

static asd_matrix stored(const float *x, int transposed, int64_t ld)
{
    asd_matrix m = {x, transposed ? 1 : ld, transposed ? ld : 1};
    return m;
}

/* Rows and columns [row, row + m) x [column, column + n) of product i of the batch. */
static void run(const asd_gemm_job *j, int64_t i, int64_t row, int64_t m, int64_t column, int64_t n)
{
    asd_matrix   a    = stored(j->a + i * j->step_a, j->transpose_a, j->lda);
    asd_matrix   b    = stored(j->b + i * j->step_b, j->transpose_b, j->ldb);
    float       *y    = j->y + i * j->step_y + row * j->ldy + column;
    const float *base = j->bias ? j->bias + i * j->step_bias + column : j->beta != 0 ? y : NULL;
    ASD_ASSERT(j->bias || j->beta == 0 || j->beta == 1);
    a.x += row * a.row;
    b.x += column * b.column;
    asd_product(m, n, j->k, a, b, base, j->bias ? 0 : j->ldy, y, j->ldy);
}

static int64_t at_most(int64_t n, int64_t most)
{
    return n < most ? n : most;
}

/* Blocks that read the same part of B are neighbours. */
asd_gemm_part asd_gemm_part_of(const asd_gemm_job *j, int64_t block)
{
    cut           c = cut_of(j);
    asd_gemm_part p = {.product = block / (c.row_blocks * c.col_blocks),
                       .row     = block % c.row_blocks * c.rows,
                       .column  = block / c.row_blocks % c.col_blocks * c.columns};
    p.rows          = at_most(j->m - p.row, c.rows);
    p.columns       = at_most(j->n - p.column, c.columns);
    return p;
}

void asd_gemm_block(const asd_gemm_job *j, int64_t block)
{
    asd_gemm_part p = asd_gemm_part_of(j, block);
    run(j, p.product, p.row, p.rows, p.column, p.columns);
}

void asd_gemm_here(const asd_gemm_job *j)
{
    ASD_ASSERT(j->batch <= 1);
    run(j, 0, 0, j->m, 0, j->n);
}

static void gemm_chunk(void *ctx, int64_t chunk)
{
    asd_gemm_block(ctx, chunk);
}

void asd_gemm(const asd_gemm_job *j)
{
    asd_par_for(asd_gemm_blocks(j), gemm_chunk, (void *)j);
}
