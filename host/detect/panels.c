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

enum { ROWS = 4, COLUMNS = 8, CHUNK = 32 }; /* CHUNK: rows that one thread takes at a time */

typedef double columns __attribute__((vector_size(COLUMNS * sizeof(double)), aligned(64)));

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

/* x: (ROWS, D); sum: (ROWS) vectors of one panel's columns */
ASD_SIMD static void multiply_panel(const double *x, int64_t D, const double *panel, double *out)
{
    const columns *a  = (const columns *)panel;
    columns        s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};
    const double  *x1 = x + D, *x2 = x + 2 * D, *x3 = x + 3 * D;
    for (int64_t d = 0; d < D; ++d) {
        s0 += x[d] * a[d];
        s1 += x1[d] * a[d];
        s2 += x2[d] * a[d];
        s3 += x3[d] * a[d];
    }
    memcpy(out, &s0, sizeof s0);
    memcpy(out + COLUMNS, &s1, sizeof s1);
    memcpy(out + 2 * COLUMNS, &s2, sizeof s2);
    memcpy(out + 3 * COLUMNS, &s3, sizeof s3);
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

static void multiply_rows(const multiply_job *j, int64_t at, const double *rows)
{
    int64_t n = j->n - at < ROWS ? j->n - at : ROWS, D = j->p->D, k = j->p->k;
    double  out[ROWS * COLUMNS];
    for (int64_t c = 0; c < k; c += COLUMNS) {
        int64_t width = k - c < COLUMNS ? k - c : COLUMNS;
        multiply_panel(rows, D, j->p->a + c * D, out);
        for (int64_t i = 0; i < n; ++i)
            memcpy(j->y + (at + i) * k + c, out + i * COLUMNS, (size_t)width * sizeof *out);
    }
}

static void multiply_chunk(void *ctx, int64_t chunk)
{
    const multiply_job *j = ctx;
    double              rows[ROWS * ASD_MAX_COLUMNS];
    for (int64_t at = chunk * CHUNK; at < j->n && at < (chunk + 1) * CHUNK; at += ROWS) {
        load_rows(j, at, rows);
        multiply_rows(j, at, rows);
    }
}

void asd_panels_multiply(const asd_panels *p, const float *x, int64_t n, const double *centre,
                         double *y)
{
    multiply_job j = {.p = p, .x = x, .centre = centre, .n = n, .y = y};
    asd_par_for((n + CHUNK - 1) / CHUNK, multiply_chunk, &j);
}

void asd_panels_multiply_d(const asd_panels *p, const double *x, int64_t n, double *y)
{
    multiply_job j = {.p = p, .wide = x, .n = n, .y = y};
    asd_par_for((n + CHUNK - 1) / CHUNK, multiply_chunk, &j);
}
