/* panels.c - products in double whose rows know nothing of each other. See basis.h.
 *
 * Four rows of x against eight columns: 32 sums in vector registers, over D in order. On AVX2 that
 * is 8 multiplications and 8 additions for 2 loads of the panel and 4 broadcasts.
 */
#include "detect/basis.h"

#include "base/arena.h"
#include "base/par.h"
#include "kernels/cpu.h" /* ASD_SIMD */

#include <stdlib.h>
#include <string.h>

enum { ROWS = 4, COLUMNS = 8, MAX_CHUNK = 128 };
enum { CHUNK_NUMBERS = 65536 }; /* of a thread's rows */
_Static_assert(CHUNK_NUMBERS >= ROWS * ASD_MAX_COLUMNS, "four rows of any width fit");

typedef double quad __attribute__((vector_size(4 * sizeof(double)), aligned(32)));

asd_status asd_panels_new(asd_panels *p, int64_t D, int64_t k)
{
    int64_t n = (k + COLUMNS - 1) / COLUMNS;
    ASD_ASSERT(D <= ASD_MAX_COLUMNS);
    p->D = D;
    p->k = k;
    p->a = asd_calloc_aligned((size_t)(n * D * COLUMNS), sizeof(double));
    if (!p->a)
        return ASD_FAIL(ASD_E_OOM, "no memory for a matrix of %lld x %lld", (long long)D,
                        (long long)k);
    return ASD_OK;
}

void asd_panels_clear(asd_panels *p)
{
    free(p->a);
    memset(p, 0, sizeof *p);
}

/* x: (ROWS, D); out: (ROWS, COLUMNS). Two vectors of four a row: gcc keeps wider ones in memory. */
ASD_SIMD static void multiply_panel(const double *x, int64_t D, const double *panel, double *out)
{
    const quad   *a  = (const quad *)panel;
    const double *x1 = x + D, *x2 = x + 2 * D, *x3 = x + 3 * D;
    quad          s[2 * ROWS] = {{0}};
    for (int64_t d = 0; d < D; ++d) {
        quad left = a[2 * d], right = a[2 * d + 1];
        s[0] += x[d] * left;
        s[1] += x[d] * right;
        s[2] += x1[d] * left;
        s[3] += x1[d] * right;
        s[4] += x2[d] * left;
        s[5] += x2[d] * right;
        s[6] += x3[d] * left;
        s[7] += x3[d] * right;
    }
    memcpy(out, s, sizeof s);
}

typedef struct multiply_job {
    const asd_panels *p;
    const float      *x;
    const double     *wide, *centre;
    int64_t           n;
    double           *y;
} multiply_job;

/* Rows [at, at + ROWS) in double, centred; zeros behind the last one. */
static void load_rows(const multiply_job *j, int64_t at, double *rows)
{
    int64_t D = j->p->D, n = j->n - at < ROWS ? j->n - at : ROWS;
    if (j->wide) {
        memcpy(rows, j->wide + at * D, (size_t)(n * D) * sizeof *rows);
    } else {
        for (int64_t i = 0; i < n; ++i)
            for (int64_t d = 0; d < D; ++d)
                rows[i * D + d] = (double)j->x[(at + i) * D + d] - (j->centre ? j->centre[d] : 0);
    }
    memset(rows + n * D, 0, (size_t)((ROWS - n) * D) * sizeof *rows);
}

/* Rows [at, at + n) of y, n <= chunk rows, from their loaded form: each panel is fetched once for
 * all of them. */
static void multiply_rows(const multiply_job *j, int64_t at, int64_t n, const double *rows)
{
    int64_t D = j->p->D, k = j->p->k;
    double  out[ROWS * COLUMNS];
    for (int64_t c = 0; c < k; c += COLUMNS) {
        int64_t width = k - c < COLUMNS ? k - c : COLUMNS;
        for (int64_t r = 0; r < n; r += ROWS) {
            multiply_panel(rows + r * D, D, j->p->a + c * D, out);
            for (int64_t i = 0; i < ROWS && r + i < n; ++i)
                memcpy(j->y + (at + r + i) * k + c, out + i * COLUMNS, (size_t)width * sizeof *out);
        }
    }
}

/* Rows that one thread takes at a time: what half a megabyte of cache holds, by the width alone. */
static int64_t chunk_rows(int64_t D)
{
    int64_t n = CHUNK_NUMBERS / D / ROWS * ROWS;
    return n < ROWS ? ROWS : n > MAX_CHUNK ? MAX_CHUNK : n;
}

static void multiply_chunk(void *ctx, int64_t chunk)
{
    const multiply_job *j = ctx;
    double              rows[CHUNK_NUMBERS];
    int64_t             size = chunk_rows(j->p->D), at = chunk * size;
    int64_t             n = j->n - at < size ? j->n - at : size;
    for (int64_t r = 0; r < n; r += ROWS)
        load_rows(j, at + r, rows + r * j->p->D);
    multiply_rows(j, at, n, rows);
}

static void multiply(const multiply_job *j)
{
    int64_t size = chunk_rows(j->p->D);
    asd_par_for((j->n + size - 1) / size, multiply_chunk, (void *)j);
}

void asd_panels_multiply(const asd_panels *p, const float *x, int64_t n, const double *centre,
                         double *y)
{
    multiply_job j = {.p = p, .x = x, .centre = centre, .n = n, .y = y};
    multiply(&j);
}

void asd_panels_multiply_d(const asd_panels *p, const double *x, int64_t n, double *y)
{
    multiply_job j = {.p = p, .wide = x, .n = n, .y = y};
    multiply(&j);
}
